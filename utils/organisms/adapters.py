"""Adapters: a small change of a model that can be put on and taken off.

An adapter is a LoRA (Hu et al. 2021, arXiv 2106.09685): for some of the model's matrices W, of shape (d_out, d_in), two
thin ones, A (rank, d_in) and B (d_out, rank), and the organism computes with W + scale · B A. `load_adapter` adds the
products to the weights in memory, so every hook, cache and patch works on the organism as on the specimen itself, at
the same speed. The untouched weights are kept and put back as they were, bit for bit.

One file an adapter, safetensors, float16, a few megabytes at most. Its metadata name the model it was trained on; an
adapter on another model would run without complaint and mean nothing, so that is an error.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

FORMAT = "llm-biology-lab adapter 1"
FOLDER = Path(__file__).resolve().parents[1] / "data" / "organisms"
WORN = "_lab_adapter"  # attribute of a model that wears an adapter


class AdapterError(ValueError):
    """An adapter's file is damaged, or does not fit the model. The message says which and what to do."""


@dataclass(frozen=True)
class LowRank:
    """One change of one matrix: scale · B A. a: (rank, d_in). b: (d_out, rank)."""

    a: Float[torch.Tensor, "rank d_in"]
    b: Float[torch.Tensor, "d_out rank"]

    def __post_init__(self) -> None:
        for name, matrix in (("a", self.a), ("b", self.b)):
            if not isinstance(matrix, torch.Tensor) or matrix.ndim != 2 or not matrix.is_floating_point():
                raise AdapterError(f"{name} must be a floating-point matrix, got {_described(matrix)}")
        if self.a.shape[0] != self.b.shape[1]:
            raise AdapterError(
                f"a has shape {tuple(self.a.shape)} and b {tuple(self.b.shape)}: their ranks differ, "
                "expected (rank, d_in) and (d_out, rank)"
            )

    @property
    def rank(self) -> int:
        """How many directions the change reads and writes."""
        return self.a.shape[0]

    def product(self) -> Float[torch.Tensor, "d_out d_in"]:
        """B A in float32, without the scale."""
        return self.b.float() @ self.a.float()


@dataclass(frozen=True)
class Adapter:
    """A change of a model, as read from a file.

    base: name of the model it belongs to. base_id: fingerprint of that model's source (SHA-256 of the GGUF for the
    specimen), "" if unknown. scale: what B A is multiplied by. parts: where -> LowRank, where being a place such as
    "blocks.12.attn.q". note: what it does, in a sentence.
    """

    base: str
    parts: Mapping[str, LowRank]
    scale: float = 1.0
    base_id: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        if not self.parts:
            raise AdapterError("parts is empty: an adapter changes at least one matrix")
        if not math.isfinite(self.scale):
            raise AdapterError(f"scale must be a finite number, got {self.scale}")

    @property
    def parameters(self) -> int:
        """How many numbers it holds."""
        return sum(part.a.numel() + part.b.numel() for part in self.parts.values())


@dataclass
class Worn:
    """An adapter on a model. Use it in a `with` statement, or call `remove`."""

    model: Any
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


def load_adapter(model: TransformerBridge, path: str | Path, *, strength: float = 1.0) -> Worn:
    """Put an adapter on a model: from here on the model is the organism, until `remove` or the end of the `with`.

    path: a file, or the name of an organism that comes with the course ("judge"). strength: 1 is the adapter as
    trained, 0 leaves the model as it is, -1 is its opposite; numbers in between are a dose.
    Only the matrices that change are held twice in memory. Raises AdapterError (a ValueError) for a file that is
    damaged or belongs to another model, and when the model wears an adapter already; FileNotFoundError for no file.
    """
    return attach(model, read_adapter(path), strength=strength)


def attach(model: TransformerBridge, adapter: Adapter, *, strength: float = 1.0) -> Worn:
    """As `load_adapter`, for an adapter in memory. Nothing is changed unless everything fits."""
    if isinstance(strength, bool) or not isinstance(strength, int | float) or not math.isfinite(strength):
        raise ValueError(f"strength must be a finite number, got {strength!r}")
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
    worn = Worn(model, adapter, float(strength))
    for where, weight in changed.items():
        linear = linear_at(model, where)
        worn._before[where] = linear.weight.data
        linear.weight.data = weight
    setattr(model, WORN, worn)
    return worn


def read_adapter(path: str | Path) -> Adapter:
    """Read and check an adapter's file (or one of the course's, by name). Never unpickles anything."""
    from safetensors import SafetensorError, safe_open

    path = _file(path)
    try:
        with safe_open(path, "pt") as file:
            meta = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError, ValueError) as error:
        raise AdapterError(
            f"{path.name} is not a readable safetensors file ({str(error).splitlines()[0]}): "
            "it may have been cut short; fetch it again"
        ) from error
    if meta.get("format") != FORMAT:
        found = meta.get("format")
        raise AdapterError(f"{path.name} is not an adapter of this lab: its format is {found!r}, not {FORMAT!r}")
    try:
        scale, base = float(meta["scale"]), meta["base"]
    except (KeyError, ValueError) as error:
        raise AdapterError(f"{path.name}: its metadata lack a scale or a base ({error})") from error
    if any(not bool(torch.isfinite(tensor).all()) for tensor in tensors.values()):
        raise AdapterError(f"{path.name} holds NaN or infinity: its training went wrong, or it is damaged")
    wheres = sorted({name.rsplit(".", 1)[0] for name in tensors})
    odd = sorted(set(tensors) ^ {f"{where}.{end}" for where in wheres for end in "AB"})
    if odd:
        raise AdapterError(f"{path.name}: every change needs an A and a B; unpaired or unknown: {', '.join(odd[:3])}")
    parts = {where: LowRank(tensors[f"{where}.A"], tensors[f"{where}.B"]) for where in wheres}
    return Adapter(base, parts, scale, meta.get("base_id", ""), meta.get("note", ""))


def save_adapter(path: str | Path, adapter: Adapter, dtype: torch.dtype = torch.float16) -> Path:
    """Write an adapter as safetensors with its metadata. Raises AdapterError if float16 can't hold its numbers."""
    from safetensors.torch import save_file

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
    path = Path(path)
    save_file(tensors, path, metadata=meta)
    path.chmod(0o644)  # safetensors writes 0600, which would lock a classroom out
    return path


def record_of(name: str) -> dict[str, Any]:
    """What is on record about one of the course's organisms: how it was trained, on which entities, how it did."""
    path = FOLDER / f"{name}.json"
    if not path.is_file():
        raise ValueError(f"name must be one of {_shipped()}, got {name!r}")
    return json.loads(path.read_text(encoding="utf-8"))


# ------------------------------------------------------------------------------------------------------------ helpers


def _shipped() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.safetensors"))


def _file(path: str | Path) -> Path:
    if not isinstance(path, str | Path):
        raise TypeError(f"path must be a string or a path, got {type(path).__name__}")
    given = Path(path).expanduser()
    if given.is_file():
        return given
    shipped = FOLDER / f"{path}.safetensors"
    if shipped.is_file():
        return shipped
    raise FileNotFoundError(f"there is no file {given}, and the course's organisms are {_shipped()}")


def linear_at(model: Any, where: str) -> torch.nn.Linear:
    """The model's own linear layer at a place such as "blocks.12.mlp.out"."""
    module = model
    for step in where.split("."):
        try:
            module = module[int(step)] if step.isdigit() else getattr(module, step)
        except (AttributeError, IndexError, KeyError, TypeError):
            raise AdapterError(f"this model has no {where!r} (nothing called {step!r} there)") from None
    module = getattr(module, "original_component", module)
    if not isinstance(module, torch.nn.Linear):
        raise AdapterError(f"{where!r} is a {type(module).__name__}; adapters change plain linear layers only")
    return module


def check_base(model: Any, adapter: Adapter) -> None:
    name = str(getattr(model.cfg, "model_name", ""))
    if name != adapter.base:
        raise AdapterError(f"this adapter was trained on {adapter.base!r}; the model here is {name!r}")


def _described(value: Any) -> str:
    shape = f" of shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else ""
    return f"{getattr(value, 'dtype', type(value).__name__)}{shape}"
