"""A direction to push along: a vector at the output of one block, with where it came from, and how it is kept.

How hard a push is depends on how long the activations are at that place (about 110 after block 5 of the specimen, about
240 after block 20), so strengths are given as multiples of the *typical* length there: the median over ordinary tokens.
`Direction.raw` says what that is in the model's own units.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from utils.home import write_whole
from utils.inputs import Index, Number, Positive, checked

FORMAT = "llm-biology-lab direction 1"


@checked
@dataclass(frozen=True)
class Direction:
    """A vector at the output of one block, with where it came from.

    vector: (d_model,), as it was found (a tensor, an array, a list): its own length says how far apart the two sides
    lie, and steering ignores it. layer: the block after which it lives. typical: median length of an ordinary
    activation there. kind: how it was made ("contrast", "latent", "probe", "random", …). source: what it was made from.
    Raises TypeError or ValueError for a vector that isn't one, holds NaN or infinity, or is all zero.
    """

    vector: Float[torch.Tensor, " d_model"]
    layer: Index
    typical: Positive
    name: str
    kind: str
    source: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not bool(self.vector.any()):
            raise ValueError("vector is all zero, so it points nowhere: are the two sides the same?")
        object.__setattr__(self, "vector", self.vector.detach().float().cpu().clone())

    @property
    def unit(self) -> Float[torch.Tensor, " d_model"]:
        """The direction with length 1."""
        return self.vector / self.vector.norm()

    @property
    def hook(self) -> str:
        """Where it lives, as a hook name."""
        return f"blocks.{self.layer}.hook_resid_post"

    @checked
    def raw(self, strength: Number) -> float:
        """How long a push of this strength is, in the model's own units. Raises ValueError unless it is finite."""
        return float(strength) * self.typical

    def step(self, strength: Number) -> Float[torch.Tensor, " d_model"]:
        """What a push of this strength adds to an activation. Negative strengths push the other way."""
        return self.unit * self.raw(strength)

    @checked
    def cosine(self, other: Direction) -> float:
        """Cosine of the angle between two directions: 1 the same, 0 unrelated, -1 opposite."""
        if self.vector.shape != other.vector.shape:
            raise ValueError(
                f"other has {len(other.vector)} numbers and this direction {len(self.vector)}: not one model's"
            )
        return float(self.unit @ other.unit)

    def describe(self, strength: Number) -> str:
        """A strength in both units, for captions."""
        return f"{strength:g} of a typical activation ({self.raw(strength):.0f} raw) after block {self.layer}"


# ------------------------------------------------------------------------------------------------------------- on disk


@checked
def save(direction: Direction, path: str | Path) -> Path:
    """Write `<path>.safetensors` (the vector) and `<path>.json` (all the rest, readable). Returns the first path.

    Nothing is written where something can't be. Raises TypeError for a source that no JSON file can hold.
    """
    from safetensors.torch import save

    weights, card = _files(path)
    data = save({"vector": direction.vector.contiguous()})
    facts = {
        "format": FORMAT,
        "name": direction.name,
        "kind": direction.kind,
        "layer": direction.layer,
        "typical": direction.typical,
        "d_model": len(direction.vector),
        "sha256": hashlib.sha256(data).hexdigest(),
        "source": dict(direction.source),
    }
    text = json.dumps(facts, indent=1, default=_plain) + "\n"
    weights.parent.mkdir(parents=True, exist_ok=True)
    for file, content in ((weights, data), (card, text.encode())):
        write_whole(file, content)
    return weights


@checked
def load(path: str | Path) -> Direction:
    """Read a direction that `save` wrote; nothing is unpickled. Other formats: `load_gguf`, or `Direction` by hand.

    Raises FileNotFoundError if one of the two files is missing, ValueError if one is damaged, they don't belong
    together, or the file is of another kind.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    _refuse_foreign(Path(path))
    weights, card = _files(path)
    for file in (weights, card):
        if not file.is_file():
            raise FileNotFoundError(f"path: there is no {file}; a direction is two files, .safetensors and .json")
    try:
        facts = json.loads(card.read_text(encoding="utf-8"))
        data = weights.read_bytes()
        vector = load(data)["vector"]
    except (ValueError, KeyError, SafetensorError) as error:
        raise ValueError(f"{weights.stem}: not a readable direction ({error}); it may have been cut short") from error
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise ValueError(f"{card.name} is not a direction's card: its format is not {FORMAT!r}")
    missing = sorted({"name", "kind", "layer", "typical", "d_model", "source"} - set(facts))
    if missing:
        raise ValueError(f"{card.name} lacks {', '.join(missing)}")
    if facts["d_model"] != vector.numel():
        raise ValueError(f"{card.name} speaks of {facts['d_model']} numbers, {weights.name} holds {vector.numel()}")
    if facts.get("sha256", hashlib.sha256(data).hexdigest()) != hashlib.sha256(data).hexdigest():
        raise ValueError(f"{weights.name} isn't the file that {card.name} was written for: it was changed or damaged")
    return Direction(vector, facts["layer"], facts["typical"], facts["name"], facts["kind"], facts["source"])


@checked
def load_gguf(path: str | Path, typical: Mapping[Index, Positive], *, name: str = "") -> dict[int, Direction]:
    """Read a control vector in llama.cpp's format, as the package repeng writes it: block -> Direction.

    Its tensors are called "direction.N" and belong to the output of block N, as here. repeng adds them as long as they
    are; here strengths are multiples of a typical length, which the file doesn't know: give
    `typical_norms(model, layers)`, with every block that you want. name: what to call it, the file's name if not given.
    Raises FileNotFoundError if there is no such file, ValueError for a file of another kind, a block of `typical` that
    the file has no direction for, and one that isn't a row of numbers.
    """
    path = Path(path)
    if not path.name:
        raise ValueError(f"path must name a file, got {str(path)!r}")
    if not path.is_file():
        raise FileNotFoundError(f"path: there is no {path}")
    try:
        found, hint = _gguf_directions(path)
    except (ValueError, KeyError, IndexError, OSError, OverflowError) as error:
        raise ValueError(f"path: {path.name} is not a readable GGUF control vector ({error})") from error
    if not typical:
        raise ValueError(f"typical must name at least one block; the file has directions for {sorted(found)}")
    absent = sorted(set(typical) - set(found))
    if absent:
        raise ValueError(f"typical names blocks {absent}; the file has directions for {sorted(found)}")
    source = {"file": path.name, "model_hint": hint}
    return {
        layer: Direction(torch.from_numpy(found[layer]), layer, length, name or path.stem, "control vector", source)
        for layer, length in typical.items()
    }


def _gguf_directions(path: Path) -> tuple[dict[int, np.ndarray], str]:
    """Every "direction.N" of a GGUF file as float32, and the kind of model that the file says it is for."""
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise ValueError("it doesn't begin with the letters GGUF")
    from gguf import GGUFReader
    from gguf.quants import dequantize

    reader = GGUFReader(path)
    field = reader.get_field("general.architecture")
    kind = field.contents() if field is not None else None
    if kind != "controlvector":
        raise ValueError(f"its architecture is {kind!r}, a control vector's is 'controlvector'")
    found = {}
    for tensor in reader.tensors:
        stem, _, layer = tensor.name.partition(".")
        if stem != "direction" or not layer.isdecimal():
            raise ValueError(f"it holds a tensor {tensor.name!r}, expected direction.N")
        found[int(layer)] = np.array(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)
    if not found:
        raise ValueError("it holds no direction")
    hint = reader.get_field("controlvector.model_hint")
    return found, str(hint.contents()) if hint is not None else ""


def _refuse_foreign(path: Path) -> None:
    """Other people's formats, by name: what to do instead."""
    if path.suffix == ".gguf":
        raise ValueError(f"path: {path.name} is a GGUF file; read it with load_gguf(path, typical)")
    if path.suffix in (".npy", ".npz"):
        raise ValueError(f"path: {path.name} is a numpy file; np.load it and hand the array to Direction(...)")
    if path.suffix in (".pt", ".pth", ".bin", ".pkl"):
        raise ValueError(
            f"path: {path.name} is a pickle, which can run code when it is read, so the lab doesn't. Where it came "
            "from, write it as safetensors, or hand its vector to Direction(...)"
        )


def _plain(value: Any) -> Any:
    """Numbers, tensors and arrays of a direction's source as JSON can hold them."""
    if isinstance(value, torch.Tensor | np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"source holds a {type(value).__name__}, which can't be written to a JSON file")


def _files(path: str | Path) -> tuple[Path, Path]:
    path = Path(path)
    if not path.name:
        raise ValueError(f"path must name a file, got {str(path)!r}")
    stem = path.with_suffix("") if path.suffix in (".safetensors", ".json") else path
    return stem.with_name(stem.name + ".safetensors"), stem.with_name(stem.name + ".json")
