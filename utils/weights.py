"""Which weights are these? A fingerprint of a model's tensors, the same wherever they lie and whatever they are called.

SHA-256 over every tensor's name, type, shape and bytes, in the order of the names. It depends on nothing else: not on
how a file was cut into parts, on its dates, or on notes in its header. Reading needs nothing but Python, so that the
pre-flight check can use it; 540 MB take about a second, once (`utils.home.remembered`).
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from utils import home

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

INDEX = "model.safetensors.index.json"
_MOST_HEADER_BYTES = 100_000_000
# Stored beside the embedding or left out, as the maker of the file liked, when both are one matrix.
_OUTPUT = ("lm_head.weight", "embed_out.weight")
_WRAPPED = "._original_component"  # what TransformerBridge puts into names
_TYPES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint8": "U8",
    "bool": "BOOL",
}


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that transformers would load from a folder, in order. Empty if there are none."""
    folder = home.as_path("folder", folder)
    if (folder / "model.safetensors").is_file():
        return [folder / "model.safetensors"]
    if (folder / INDEX).is_file():
        try:
            listed = json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values()
            return [folder / name for name in sorted(set(listed))]
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ValueError(f"{folder / INDEX} can't be read") from None
    return sorted(folder.glob("*.safetensors"))


def of_folder(folder: Path) -> str:
    """Fingerprint (64 hex digits) of the weights that a folder holds.

    Raises ValueError if there are none or a file is no safetensors file, OSError if one can't be read.
    """
    files = weight_files(folder)
    if not files:
        raise ValueError(f"{folder} holds no .safetensors file")
    digests: dict[str, str] = {}
    for path in files:
        digests |= home.remembered(path, "tensors", _digests_of_file)
    return _combined(digests)


def of_module(module: Module) -> str:
    """Fingerprint of the parameters a torch module holds now, under the names they have in files of its kind."""
    if not hasattr(module, "named_parameters"):
        raise TypeError(f"module must be a torch module, got {type(module).__name__}")
    digests = {}
    for name, value in module.named_parameters():  # tied ones come once
        name = name.replace(_WRAPPED, "")
        if name == "lm_head.bias" and not bool(value.any()):  # put there by TransformerBridge
            continue
        digests[name] = _digest_of_tensor(value)
    return _combined(digests)


def _combined(digests: Mapping[str, str]) -> str:
    summary = hashlib.sha256()
    for name in sorted(digests):
        if name in _OUTPUT and any(other != name and digests[other] == digests[name] for other in digests):
            continue
        summary.update(f"{name} {digests[name]}\n".encode())
    return summary.hexdigest()


def _digest_of_tensor(value: Tensor) -> str:
    import torch

    kind = _TYPES.get(str(value.dtype).removeprefix("torch."), str(value.dtype))
    digest = hashlib.sha256(f"{kind} {list(value.shape)}\n".encode())
    flat = value.detach().cpu().contiguous().reshape(-1)
    digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _digests_of_file(path: Path) -> dict[str, str]:
    """Each tensor's name and digest, read straight from a safetensors file."""
    found = {}
    with open(path, "rb") as file:
        try:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > _MOST_HEADER_BYTES:
                raise ValueError
            header = json.loads(file.read(length))
            header.pop("__metadata__", None)
            for name, entry in header.items():
                start, end = entry["data_offsets"]
                digest = hashlib.sha256(f"{entry['dtype']} {list(entry['shape'])}\n".encode())
                file.seek(8 + length + start)
                left = end - start
                while left > 0:
                    piece = file.read(min(left, 1 << 20))
                    if not piece:
                        raise ValueError
                    digest.update(piece)
                    left -= len(piece)
                found[name] = digest.hexdigest()
        except (struct.error, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise ValueError(f"{path} is not a whole safetensors file") from None
    return found
