"""Transcoders on the disk: one sealed safetensors file a block, in floats or as a byte a number.

As bytes, each latent's encoder direction, its decoder row, and each row of the skip is kept as whole numbers from -127
to 127 and a scale; biases and thresholds stay float32. A set is then about a quarter as large; what that costs in
unexplained variance is measured in the recipe and shipped beside the files.

A file carries the fingerprint of the model it was trained on. What was cut, altered or exchanged is refused by name.
Other people's layouts: `utils.standin.layouts`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from utils.inputs import Text, checked
from utils.models import fingerprint
from utils.sealed import read_sealed, write_sealed
from utils.standin.transcoders import Transcoder, check_set, hooks_of

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

__all__ = ["block_file", "load_transcoders", "notes_of", "save_transcoders"]

FORMAT = "transcoder 1"
FLOATS = {"float32": torch.float32, "float16": torch.float16}
BYTES = ("W_enc", "W_dec", "W_skip")  # what may be kept as a byte a number
BY_COLUMN = ("W_enc",)  # kept with a latent as a row


@checked
def block_file(folder: Text | Path, block: int) -> Path:
    """Where a block's transcoder is kept in a folder."""
    return Path(folder) / f"block_{block:02d}.safetensors"


@checked
def save_transcoders(
    transcoders: Mapping[int, Transcoder],
    folder: Text | Path,
    *,
    model: TransformerBridge,
    model_name: Text,
    dtype: Literal["float32", "float16", "int8"] = "float32",
    notes: Mapping[str, Any] | None = None,
) -> list[Path]:
    """Write transcoders to a folder, one file a block; other blocks' files in it stay. Returns the paths.

    model: the one they were trained on, whose fingerprint is kept; model_name: for people; dtype: see the top of this
    module; notes: more to be kept with each, as json can.
    Raises ValueError as `check_set` does for those of another model, and for weights that float16 can't hold.
    """
    found = check_set(transcoders, model, blocks=list(transcoders))
    try:
        json.dumps(dict(notes or {}), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise TypeError(f"notes must hold what json can ({error}): nothing was saved") from None
    mark = fingerprint(model)
    ready = {block: _packed(one, dtype) for block, one in found.items()}  # all of them, before the first is written
    Path(folder).mkdir(parents=True, exist_ok=True)
    paths = []
    for block, one in found.items():
        hook_in, hook_out = hooks_of(block)
        said = {
            **{"format": FORMAT, "layer": block, "k": one.k, "dtype": dtype, "hook_in": hook_in, "hook_out": hook_out},
            **{"massive_norm": None if one.massive_norm == float("inf") else one.massive_norm},
            **{"model_name": model_name, "model_fingerprint": mark, "notes": dict(notes or {})},
        }
        paths.append(write_sealed(block_file(folder, block), ready[block], {"transcoder": json.dumps(said)}))
    return paths


@checked
def load_transcoders(
    folder: Text | Path, *, model: TransformerBridge | None = None, blocks: Sequence[int] | None = None
) -> dict[int, Transcoder]:
    """Read a set that `save_transcoders` wrote: block -> Transcoder, float32, on the CPU.

    model: if given, it must be the one they were trained on. blocks: which are wanted; None for all that are there,
    or, with a model, for each of its blocks.
    Raises FileNotFoundError for a folder without them and for missing blocks; ValueError for a file that was cut or
    altered, that isn't a transcoder, that was renamed to another block, or of another model.
    """
    folder = Path(folder)
    there = sorted(folder.glob("block_*.safetensors")) if folder.is_dir() else []
    if not there:
        raise FileNotFoundError(f"folder: {folder} holds no transcoders, files named block_00.safetensors and so on")
    if blocks is not None:
        wanted = list(dict.fromkeys(blocks))
    elif model is not None:
        wanted = list(range(model.cfg.n_layers))
    else:
        wanted = [int(path.stem.removeprefix("block_")) for path in there if path.stem[6:].isdecimal()]
    missing = [block for block in wanted if not block_file(folder, block).is_file()]
    if missing:
        raise FileNotFoundError(f"blocks: {folder} has no transcoder of block {', '.join(map(str, missing))}")
    mark = None if model is None else fingerprint(model)
    found = {}
    for block in wanted:
        tensors, said = _read(block_file(folder, block))
        if mark is not None and said["model_fingerprint"] != mark:
            name, trained_on = block_file(folder, block).name, said["model_name"]
            raise ValueError(f"model is another one than {name} was trained on ({trained_on}): its weights differ")
        found[block] = _unpacked(tensors, said, block_file(folder, block))
    return found if model is None else check_set(found, model, blocks=wanted)


@checked
def notes_of(folder: Text | Path, block: int) -> dict[str, Any]:
    """What a block's file says of itself: layer, k, dtype, hook_in, hook_out, model_name, notes and so on.

    Raises FileNotFoundError and ValueError as `load_transcoders` does.
    """
    if not block_file(folder, block).is_file():
        raise FileNotFoundError(f"folder: {folder} has no transcoder of block {block}")
    return _read(block_file(folder, block))[1]


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    tensors, metadata = read_sealed(path)
    try:
        said = json.loads(metadata["transcoder"])
        kind, layer = said["format"], said["layer"]
    except (KeyError, ValueError, TypeError):
        raise ValueError(f"{path.name} is not a transcoder's file") from None
    if kind != FORMAT:
        raise ValueError(f"{path.name} is of the format {kind!r}, known: {FORMAT!r}")
    if path != block_file(path.parent, layer):
        raise ValueError(f"{path.name} holds the transcoder of block {layer}: it was renamed")
    return tensors, said


# ------------------------------------------------------------------------------------------------ a byte a number


def _row_bytes(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Rows as whole numbers from -127 to 127 and a scale each: (n, m) int8, (n,) float32."""
    scale = rows.float().abs().amax(dim=1).clamp_min(1e-30) / 127
    return (rows.float() / scale[:, None]).round().to(torch.int8), scale


def _packed(one: Transcoder, dtype: str) -> dict[str, Tensor]:
    found = {}
    for name, value in one.tensors().items():
        if dtype == "int8" and name in BYTES:
            found[f"{name}.bytes"], found[f"{name}.scale"] = _row_bytes(value.T if name in BY_COLUMN else value)
        else:
            kept = value.to(FLOATS.get(dtype, torch.float32) if name in BYTES else torch.float32)
            if not torch.isfinite(kept).all():
                raise ValueError(f"{name} of block {one.layer} holds values that {dtype} can't: nothing was saved")
            found[name] = kept
    return found


def _unpacked(tensors: dict[str, Tensor], said: dict[str, Any], path: Path) -> Transcoder:
    values = {}
    for name, value in tensors.items():
        if name.endswith(".scale"):
            continue
        if name.endswith(".bytes"):
            name = name.removesuffix(".bytes")
            rows = value.float() * tensors[f"{name}.scale"][:, None]
            values[name] = rows.T.contiguous() if name in BY_COLUMN else rows
        else:
            values[name] = value.float()
    massive = said["massive_norm"]
    try:
        return Transcoder(
            layer=said["layer"], k=said["k"], massive_norm=float("inf") if massive is None else massive, **values
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path.name}: {error}") from None
