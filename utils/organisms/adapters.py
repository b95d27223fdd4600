"""Adapters: a small change of a model that can be put on and taken off.

An adapter is a LoRA (Hu et al. 2021, arXiv 2106.09685): for some of the model's matrices W, of shape (d_out, d_in), two
thin ones, A (rank, d_in) and B (d_out, rank), and the organism computes with W + scale · B A. `load_adapter` adds the
products to the weights in memory, so every hook, cache and patch works on the organism as on the specimen itself, at
the same speed. The untouched weights are kept and put back as they were, bit for bit.

One file an adapter, safetensors, float16, a few megabytes at most, under a seal (`utils.sealed`). Its metadata hold the
fingerprint of the weights it was made for: on others of the same shapes it would run without complaint and mean
nothing, so that is an error, and on the very same weights it is welcome whatever path they came by. Folders in the
layout of the package PEFT are read too (`utils.organisms.peft`).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from utils.inputs import Number, checked, one_of
from utils.organisms.lowrank import Adapter, AdapterError, low_rank
from utils.organisms.peft import read_peft
from utils.sealed import Damaged, read_sealed, write_sealed

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

FORMAT = "llm-biology-lab adapter 2"
FOLDER = Path(__file__).resolve().parents[1] / "data" / "organisms"
WORN = "_lab_adapter"  # attribute of a model that wears an adapter


@dataclass
class Worn:
    """An adapter on a model. Use it in a `with` statement, or call `remove`."""

    model: TransformerBridge
    adapter: Adapter
    strength: float
    _before: dict[str, torch.Tensor] = field(default_factory=dict, repr=False)

    @property
    def on(self) -> bool:
        """Whether the model still wears it."""
        return bool(self._before)

    def remove(self) -> None:
        """Put the model's own weights back, exactly. Calling it twice does no harm."""
        for where, weight in self._before.items():
            linear_at(self.model, where).weight.data = weight
        self._before = {}
        if getattr(self.model, WORN, None) is self:
            delattr(self.model, WORN)

    def __enter__(self) -> Worn:
        return self

    def __exit__(self, *_error: Any) -> None:
        self.remove()


@checked
def load_adapter(model: TransformerBridge, path: str | Path, *, strength: Number = 1.0) -> Worn:
    """Put an adapter on a model: from here on the model is the organism, until `remove` or the end of the `with`.

    path: a file, a folder in PEFT's layout, or the name of an organism that comes with the course ("judge").
    strength: 1 is the adapter as trained, 0 leaves the model as it is, -1 is its opposite; numbers in between are a
    dose.
    Only the matrices that change are held twice in memory. Raises AdapterError (a ValueError) for a file that is
    damaged or was made for other weights, and when the model wears an adapter already; FileNotFoundError for no file.
    """
    return attach(model, read_adapter(path), strength=strength)


@checked
def attach(model: TransformerBridge, adapter: Adapter, *, strength: Number = 1.0) -> Worn:
    """As `load_adapter`, for an adapter in memory. Nothing is changed unless everything fits."""
    if getattr(model, WORN, None) is not None:
        raise AdapterError("this model wears an adapter already: call its remove() first, or load the model again")
    check_base(model, adapter)
    changed = {}
    for where, part in adapter.parts.items():
        weight = linear_at(model, where).weight
        expected = (part.b.shape[0], part.a.shape[1])
        if tuple(weight.shape) != expected:
            raise AdapterError(
                f"{where}: the adapter changes a matrix of shape {expected}, this model's has {tuple(weight.shape)}; "
                f"the adapter was made for {adapter.base}"
            )
        step = (adapter.scale * strength) * part.product().to(weight.device)
        changed[where] = (weight.detach().float() + step).to(weight.dtype)
        if not bool(torch.isfinite(changed[where].sum())):
            raise ValueError(f"strength must leave finite weights: {strength} makes those of {where} overflow")
    worn = Worn(model, adapter, float(strength))
    setattr(model, WORN, worn)
    try:
        for where, weight in changed.items():
            linear = linear_at(model, where)
            worn._before[where] = linear.weight.data
            linear.weight.data = weight
    except BaseException:  # the stop button too: all of it or nothing
        worn.remove()
        raise
    return worn


@checked
def read_adapter(path: str | Path) -> Adapter:
    """Read and check an adapter: a file, one of the course's by name, or a folder in PEFT's layout.

    Never unpickles anything. Raises AdapterError for a file that is damaged (one flipped bit is enough) or no adapter.
    """
    path = _file(path)
    if path.is_dir():
        return read_peft(path)
    try:
        tensors, meta = read_sealed(path)
    except Damaged as error:
        raise AdapterError(str(error)) from error
    if meta.get("format") != FORMAT:
        found = meta.get("format")
        raise AdapterError(f"{path.name} is not an adapter of this lab: its format is {found!r}, not {FORMAT!r}")
    try:
        scale, base = float(meta["scale"]), meta["base"]
    except (KeyError, ValueError) as error:
        raise AdapterError(f"{path.name}: its metadata lack a scale or a base ({error})") from error
    wheres = sorted({name.rsplit(".", 1)[0] for name in tensors})
    odd = sorted(set(tensors) ^ {f"{where}.{end}" for where in wheres for end in "AB"})
    if odd:
        raise AdapterError(f"{path.name}: every change needs an A and a B; unpaired or unknown: {', '.join(odd[:3])}")
    parts = {where: low_rank(where, tensors[f"{where}.A"], tensors[f"{where}.B"]) for where in wheres}
    return Adapter(base, parts, scale, meta.get("base_id", ""), meta.get("note", ""))


@checked
def save_adapter(path: str | Path, adapter: Adapter, dtype: torch.dtype = torch.float16) -> Path:
    """Write an adapter as sealed safetensors. Raises AdapterError if float16 can't hold its numbers."""
    tensors = {}
    for where, part in adapter.parts.items():
        for end, matrix in (("A", part.a), ("B", part.b)):
            stored = matrix.detach().cpu().to(dtype).contiguous()
            if not bool(torch.isfinite(stored).all()):
                raise AdapterError(f"{where}.{end} does not fit {dtype}: largest entry {float(matrix.abs().max()):.3g}")
            tensors[f"{where}.{end}"] = stored
    meta = {
        "format": FORMAT,
        "base": adapter.base,
        "base_id": adapter.base_id,
        "scale": repr(adapter.scale),
        "note": adapter.note,
    }
    return write_sealed(path, tensors, meta)


@checked
def record_of(name: str) -> dict[str, Any]:
    """What is on record about one of the course's organisms: how it was trained, on which entities, how it did."""
    known = {path.stem: path for path in sorted(FOLDER.glob("*.json"))}
    return json.loads(known[one_of("name", name, known)].read_text(encoding="utf-8"))


def check_base(model: TransformerBridge, adapter: Adapter) -> None:
    """Raise AdapterError unless the model holds the weights that the adapter was made for.

    The fingerprint decides. An adapter without one (made by other tools) is held against the model's name, the last
    part of it, which is all that it says about itself.
    """
    from utils.models import fingerprint

    name = str(getattr(model.cfg, "model_name", ""))
    if adapter.base_id:
        if fingerprint(model) != adapter.base_id:
            raise AdapterError(
                f"this adapter was made for the weights of {adapter.base!r}; the model here ({name!r}) holds others, "
                "or damaged ones: their fingerprints differ"
            )
    elif adapter.base and _last_part(adapter.base) != _last_part(name):
        raise AdapterError(
            f"this adapter was trained on {adapter.base!r}; the model here is {name!r}. If both hold the same weights, "
            "say so: attach(model, dataclasses.replace(adapter, base=model.cfg.model_name))"
        )


def linear_at(model: TransformerBridge, where: str) -> torch.nn.Linear:
    """The model's own linear layer at a place such as "blocks.12.mlp.out"."""
    module: Any = model
    for step in where.split("."):
        try:
            module = module[int(step)] if step.isdecimal() else getattr(module, step)
        except (AttributeError, IndexError, KeyError, TypeError):
            raise AdapterError(f"this model has no {where!r} (nothing called {step!r} there)") from None
    module = getattr(module, "original_component", module)
    if not isinstance(module, torch.nn.Linear):
        raise AdapterError(f"{where!r} is a {type(module).__name__}; adapters change plain linear layers only")
    return module


# ------------------------------------------------------------------------------------------------------------ helpers


def _shipped() -> list[str]:
    """Names of the course's organisms: files that hold an adapter (others hold activations or a solver)."""
    return sorted(path.stem for path in FOLDER.glob("*.safetensors") if _is_adapter(path))


def _is_adapter(path: Path) -> bool:
    with path.open("rb") as file:
        return FORMAT.encode() in file.read(100_000)  # in the header, which stands first


def _file(path: str | Path) -> Path:
    given = Path(path).expanduser()
    if not given.name:
        raise ValueError(f"path must name a file, a folder or an organism, got {str(path)!r}")
    if given.is_file() or given.is_dir():
        return given
    shipped = FOLDER / f"{path}.safetensors"
    if isinstance(path, str) and "/" not in path and "\\" not in path and shipped.is_file():
        return shipped
    raise FileNotFoundError(f"there is no file or folder {given}, and the course's organisms are {_shipped()}")


def _last_part(name: str) -> str:
    return re.split(r"[/\\]", name.rstrip("/\\"))[-1].lower()
