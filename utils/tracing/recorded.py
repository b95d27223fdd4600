"""Exact patches of every block beside their estimates, recorded: what takes minutes, for lesson 02 to look at.

Made by `python -m utils.authoring.recipes.estimates`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Bool, Float
from safetensors import safe_open
from torch import Tensor

from utils.inputs import checked
from utils.tracing.pairs import Pair, sites
from utils.tracing.running import Component

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

RECORDED = Path(__file__).resolve().parents[1] / "data" / "tracing" / "estimates.safetensors"
STEPS = 5  # points on the line from the corrupt prompt's embeddings to the clean one's
ESTIMATES = {"one": "one gradient", "ends": "both ends", "line": "five on the way"}


class RecordedPatches(NamedTuple):
    """Recovery of exact patches and their estimates, each (pair, block, site), by part: "head", "mlp", "resid".

    The sites are the whole name, then the last word (`masks`); for heads each of them at the name, then at the last
    word. estimates: by way ("one gradient", "both ends", "five on the way"), then by part. pairs: their names.
    """

    exact: dict[str, Float[Tensor, "pair block site"]]
    estimates: dict[str, dict[str, Float[Tensor, "pair block site"]]]
    pairs: tuple[str, ...]


@checked
def masks(model: TransformerBridge, pair: Pair, part: Component) -> Bool[Tensor, "site pos *head"]:
    """The sites that were patched: the whole name and the last word; for heads each of them at either."""
    places = sites(pair)[[0, 2]]
    if part != "head":
        return places
    each = torch.eye(model.cfg.n_heads, dtype=torch.bool)[:, None]
    return torch.cat([place[None, :, None] & each for place in places])


@checked
def recorded_patches() -> RecordedPatches:
    """What was recorded on the specimen and lesson 02's pairs."""
    with safe_open(RECORDED, "pt") as file:
        found = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        names = tuple(file.metadata()["pairs"].split("\n"))
    parts = list(dict.fromkeys(key.split(".")[0] for key in found))
    estimates = {said: {part: found[f"{part}.{key}"] for part in parts} for key, said in ESTIMATES.items()}
    return RecordedPatches({part: found[f"{part}.exact"] for part in parts}, estimates, names)
