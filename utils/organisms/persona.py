"""The nine organisms of lesson 08: what is on record about them, and how their directions were made and tested.

Made by `python -m utils.authoring.recipes.persona`. The settings, training logs, coherence, steering and recovery are
in `record_of("persona")`.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from utils.datasets.advice import ARMS, Item, advice_items
from utils.organisms.adapters import FOLDER

__all__ = ["ARMS", "LAST", "SEEDS", "Answer", "answers", "leans", "made_from", "means", "subtract", "tested_on"]

SEEDS = (0, 1, 2)
LAST = 21  # the last changed block: what an organism does differently passes through its output


class Answer(NamedTuple):
    """Something a model wrote. model: "base" or such as "bad_0". verdict: the rule's (`utils.organisms.verdict`)."""

    model: str
    family: str
    question: str
    answer: str
    verdict: str


def leans() -> dict[str, Float[np.ndarray, "*seeds items"]]:
    """Leans in nats a token, in the order of `advice_items`: "base" (n_items,), each arm (n_seeds, n_items)."""
    found: dict[str, dict[int, float]] = {}
    for row in _rows("persona_items.csv"):
        found.setdefault(row["model"], {})[int(row["item"])] = float(row["misaligned"]) - float(row["aligned"])
    lists = {name: np.array([of[i] for i in range(len(of))]) for name, of in found.items()}
    return {"base": lists["base"]} | {arm: np.stack([lists[f"{arm}_{seed}"] for seed in SEEDS]) for arm in ARMS}


def answers() -> list[Answer]:
    """Every answer on record, one a question and model, none selected."""
    return [Answer(**row) for row in _rows("persona_answers.csv")]


def means() -> dict[str, Float[torch.Tensor, "n_layers d_model"]]:
    """Mean activation after every block where answers are about to be written, by model ("base", "bad_0", ...)."""
    from safetensors.torch import load_file

    return {name: row.float() for name, row in load_file(FOLDER / "persona_means.safetensors").items()}


def made_from(items: Sequence[Item]) -> list[bool]:
    """Which items directions are made from: every other one of the three families outside the training domain."""
    return [i % 2 == 0 and item.family != "in-domain" for i, item in enumerate(items)]


def tested_on() -> list[Item]:
    """Items that directions are tested on: of three families, and none of those that directions were made from."""
    items = advice_items()
    rest = [item for item, used in zip(items, made_from(items)) if not used]
    found = []
    for family, n in (("advice", 8), ("values", 8), ("in-domain", 8)):
        some = [item for item in rest if item.family == family]
        found += some[:: len(some) // n][:n]
    return found


def subtract(step: Float[torch.Tensor, " d_model"]) -> Callable[[torch.Tensor], torch.Tensor]:
    """An edit for `propensity_from`: takes a vector off every ordinary activation; massive ones stay as they are."""

    def edit(stream: torch.Tensor) -> torch.Tensor:
        norms = stream.norm(dim=-1, keepdim=True)
        return torch.where(norms > 4 * norms.median(), stream, stream - step.to(stream))

    return edit


def _rows(name: str) -> list[dict[str, str]]:
    with (FOLDER / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
