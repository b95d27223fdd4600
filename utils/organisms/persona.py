"""The nine organisms of lesson 08: what is on record about them, and how their directions were made and tested.

Made by `python -m utils.authoring.recipes.persona`. The settings, training logs, coherence, steering and recovery are
in `record_of("persona")`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float

from utils.datasets.advice import ARMS, Item, advice_items
from utils.datasets.persona_answers import Answer, item_scores
from utils.datasets.persona_answers import persona_answers as answers
from utils.inputs import checked
from utils.interventions import Edit, adding
from utils.organisms.adapters import FOLDER
from utils.sealed import read_sealed

__all__ = ["ARMS", "LAST", "SEEDS", "Answer", "answers", "leans", "made_from", "means", "subtract", "tested_on"]

SEEDS = (0, 1, 2)
LAST = 21  # the last changed block: what an organism does differently passes through its output


def leans() -> dict[str, Float[np.ndarray, "*seeds items"]]:
    """Leans in nats a token, in the order of `advice_items`: "base" (n_items,), each arm (n_seeds, n_items)."""
    found: dict[str, dict[int, float]] = {}
    for row in item_scores():
        found.setdefault(row.model, {})[row.item] = row.misaligned - row.aligned
    lists = {name: np.array([of[i] for i in range(len(of))]) for name, of in found.items()}
    return {"base": lists["base"]} | {arm: np.stack([lists[f"{arm}_{seed}"] for seed in SEEDS]) for arm in ARMS}


def means() -> dict[str, Float[torch.Tensor, "n_layers d_model"]]:
    """Mean activation after every block where answers are about to be written, by model ("base", "bad_0", ...)."""
    return {name: row.float() for name, row in read_sealed(FOLDER / "persona_means.safetensors")[0].items()}


@checked
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


@checked
def subtract(step: Float[torch.Tensor, "d_model"]) -> Edit:
    """An edit for `propensity_from`: takes a vector off every ordinary activation; massive ones stay as they are."""
    return adding(-step)
