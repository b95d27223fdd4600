"""The dictionary that comes with the course, and what one needs to know to use it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor

from utils.home import sha256_of
from utils.inputs import checked
from utils.sae.files import CONFIG, WEIGHTS, load
from utils.sae.models import SparseAutoencoder

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

__all__ = ["Shipped", "load_shipped"]

DATA = Path(__file__).resolve().parents[1] / "data"
FOLDER = DATA / "sae" / "block12"
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
    other_seed: Float[Tensor, "d_sae d_model"]


@checked
def load_shipped(model: TransformerBridge | None = None) -> Shipped:
    """The specimen's dictionary of block 12: 4,096 latents, made by `python -m utils.authoring.recipes.sae`.

    model: if given, it must be the one the dictionary was trained on.
    Raises ValueError if a file isn't the one that was shipped, and as `utils.sae.load` does.
    """
    for path in (FOLDER / CONFIG, FOLDER / WEIGHTS, SECOND):
        _check(path)
    notes = json.loads((FOLDER / CONFIG).read_text(encoding="utf-8"))["metadata"]
    second = load_file(SECOND)  # a byte a number and a scale a row: enough for directions
    return Shipped(
        dictionary=load(FOLDER, model=model),
        hook=notes["hook_name"],
        massive_norm=notes["massive_norm"],
        other_seed=second["decoder"].float() * second["scale"].float(),
    )


def _check(path: Path) -> None:
    """Raise ValueError unless a shipped file is the one that MANIFEST.json lists."""
    entries = json.loads((DATA / "MANIFEST.json").read_text(encoding="utf-8"))["files"]
    name = path.relative_to(DATA).as_posix()
    wanted = next(entry["sha256"] for entry in entries if entry["file"] == name)
    if sha256_of(path) != wanted:
        raise ValueError(f"{path} is damaged or was changed: get it again (git checkout -- {name}), or remake it")
