"""The dictionary that comes with the course, and what one needs to know to use it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors.torch import load_file

from utils.sae.files import CONFIG, load
from utils.sae.models import SparseAutoencoder

__all__ = ["Shipped", "load_shipped"]

FOLDER = Path(__file__).resolve().parents[1] / "data" / "sae" / "block12"
SECOND = FOLDER.with_name("block12_second_seed.safetensors")


@dataclass(frozen=True)
class Shipped:
    """A dictionary with its place in the model.

    hook: where its activations come from; massive_norm: longer activations were left out of its training, and should
    be left out when it is used; other_seed: (d_sae, d_model) the directions that a second training run found, which
    differed in nothing but its random seed.
    """

    dictionary: SparseAutoencoder
    hook: str
    massive_norm: float
    other_seed: Float[torch.Tensor, "d_sae d_model"]


def load_shipped() -> Shipped:
    """The specimen's dictionary of block 12: 4,096 latents, made by `python -m utils.authoring.recipes.sae`.

    Raises as `utils.sae.load` does if a file is missing or damaged.
    """
    notes = json.loads((FOLDER / CONFIG).read_text(encoding="utf-8"))["metadata"]
    second = load_file(SECOND)  # a byte a number and a scale a row: enough for directions
    return Shipped(
        dictionary=load(FOLDER),
        hook=notes["hook_name"],
        massive_norm=notes["massive_norm"],
        other_seed=second["decoder"].float() * second["scale"].float(),
    )
