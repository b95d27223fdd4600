"""Tensors on the disk under a seal: one flipped bit anywhere in the file, and it is refused.

A sealed file is a safetensors file whose metadata hold a SHA-256 of everything else it says: every tensor's name, type,
shape and bytes, and the other metadata. Weights have no grammar: a flipped bit in an exponent loads like any other
number, and the model it goes into fails in a way that looks like a finding.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["SEAL", "Damaged", "read_sealed", "read_unsealed", "seal_of", "write_sealed"]

SEAL = "sha256"  # the metadata's name for it


class Damaged(ValueError):
    """A file is cut short, altered, or no sealed file at all. The message says which."""


def seal_of(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """SHA-256 (64 hex digits) over tensors and metadata, whatever their order and wherever the tensors are."""
    import torch

    said = sorted((name, value) for name, value in metadata.items() if name != SEAL)
    digest = hashlib.sha256(json.dumps(said).encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"\n{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def write_sealed(path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> Path:
    """Write tensors and metadata under a seal. The file is there whole or not at all, whatever interrupts."""
    from safetensors.torch import save_file

    path = Path(path)
    if not path.name:
        raise ValueError(f"path must name a file, got {str(path)!r}")
    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    said = {name: value for name, value in (metadata or {}).items() if name != SEAL}
    part = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        save_file(stored, part, metadata={**said, SEAL: seal_of(stored, said)})
        part.chmod(0o644)  # safetensors writes 0600, which would lock a classroom out
        part.replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            part.unlink()
    return path


def read_sealed(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a sealed file. Raises Damaged (a ValueError) unless they are what was written."""
    tensors, metadata = read_unsealed(path)
    name = Path(path).name
    if SEAL not in metadata:
        raise Damaged(f"{name} has no seal: it is damaged, or was not written by this version of the lab")
    if metadata.pop(SEAL) != seal_of(tensors, metadata):
        raise Damaged(f"{name} has been altered or damaged (its SHA-256 is not the one it was sealed with)")
    return tensors, metadata


def read_unsealed(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of any safetensors file, unchecked. Raises Damaged if it is none."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise Damaged(
            f"{Path(path).name} is not a readable safetensors file ({str(error).splitlines()[0]}): "
            "it may have been cut short; fetch it again"
        ) from error
