"""Reading Gemma Scope, the open dictionaries of the Gemma models, as their makers publish them.

Gemma Scope 1 (Lieberum et al. 2024, arXiv 2408.05147): one `params.npz` a dictionary. Gemma Scope 2 (for Gemma 3): one
`params.safetensors`, with a `config.json` beside it that says what it is. Both are JumpReLU SAEs whose encoder doesn't
take b_dec off its input.
"""

from __future__ import annotations

import json
import math
import zipfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from utils.inputs import Text, checked
from utils.sae.layout import Layout, built, check_shapes, shapes_in
from utils.sae.models import JumpReLUSAE

__all__ = ["load_gemma_scope"]

FILES = ("params.npz", "params.safetensors")
# All that the configurations of Gemma Scope 2 hold, and the values that a sparse autoencoder of one place has.
_SAID = {"architecture": ("jump_relu",), "type": ("sae",), "affine_connection": (False,)}
_NOTED = ("model_name", "hf_hook_point_in", "hf_hook_point_out", "width", "l0")


@checked
def load_gemma_scope(path: Text | Path) -> JumpReLUSAE:
    """Read one SAE of Gemma Scope 1 or 2: float32, on the CPU, ready to read with.

    path: `params.npz`, `params.safetensors`, or the folder that holds one of them. That b_dec isn't taken off the input
    is folded into b_enc, so that latents are the same.
    Raises FileNotFoundError for a missing file; ValueError for one that is cut, holds Python objects, lacks one of
    W_enc, W_dec, b_enc, b_dec, threshold or holds anything else (a transcoder's skip connection), or is not a sparse
    autoencoder of one place (transcoders, crosscoders).
    """
    path = _file(Path(path))
    shapes = _npz_shapes(path) if _is_zip(path) else shapes_in(path)
    names = {name: "W_" + name[2:] if name.startswith("w_") else name for name in shapes}
    shapes = {names[name]: shape for name, shape in shapes.items()}
    first = shapes.get("W_enc")
    if first is None or len(first) != 2 or 0 in first:
        raise ValueError(
            f"{path} has no W_enc of shape (d_model, d_sae); it holds "
            f"{', '.join(f'{name} {shape}' for name, shape in sorted(shapes.items()))}"
        )
    layout = Layout("jumprelu", *first, k=None, takes_b_dec_off=False, in_decoder_units=False, rescaled=False)
    check_shapes(layout, shapes, path)
    _check_config(path.with_name("config.json"), layout.d_sae)
    found = _npz_tensors(path) if _is_zip(path) else load_file(path)
    sae = built(layout, {names[name]: value for name, value in found.items()}, path)
    assert isinstance(sae, JumpReLUSAE)
    return sae


def _file(path: Path) -> Path:
    """The file itself, if a folder was given."""
    if path.is_file():
        return path
    if not path.is_dir():
        raise FileNotFoundError(
            f"path: {path} doesn't exist: give the params file of one Gemma Scope SAE, or its folder"
        )
    here = [path / name for name in FILES if (path / name).is_file()]
    if len(here) == 1:
        return here[0]
    listed = ", ".join(sorted(p.name for p in path.iterdir())[:8]) or "nothing"
    wanted = f"exactly one of {' and '.join(FILES)}"
    raise FileNotFoundError(f"path: {path} must hold {wanted}; it holds {listed}")


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"PK"


def _check_config(path: Path, d_sae: int) -> None:
    """Raise ValueError if the configuration beside the weights says that they are something else."""
    if not path.is_file():
        return
    try:
        config = dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} can't be read ({error})") from None
    for key, value in config.items():
        if key in _SAID and value not in _SAID[key]:
            raise ValueError(
                f"{path} says {key}={value!r}: only {key}={_SAID[key][0]!r} is a sparse autoencoder as ours"
            )
        if key not in _SAID and key not in _NOTED and value not in (None, False):
            raise ValueError(f"{path} sets {key}={value!r}, a key that isn't known here: nothing was read")
    ends = [config[key] for key in ("hf_hook_point_in", "hf_hook_point_out") if config.get(key) is not None]
    if len(set(map(str, ends))) > 1:
        raise ValueError(f"{path} reads at {ends[0]} and writes at {ends[1]}: it is a transcoder")
    if config.get("width") not in (None, d_sae):
        raise ValueError(f"{path} says width={config['width']!r}, and the weights have {d_sae} latents")


def _npz_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of an npz, from the headers of its members; nothing is unpacked or allocated yet."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            return {entry.filename.removesuffix(".npy"): _npy_shape(archive, entry) for entry in entries}
    except (OSError, ValueError, EOFError, NotImplementedError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} can't be read ({error}): it was cut, or is another kind of file") from None


def _npy_shape(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> tuple[int, ...]:
    with archive.open(entry) as member:
        version = np.lib.format.read_magic(member)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(member)
        left = entry.file_size - member.tell()
    if dtype.hasobject:
        raise ValueError(f"{entry.filename} holds Python objects (pickled), which could run code")
    if dtype.kind != "f":
        raise ValueError(f"{entry.filename} holds {dtype}, expected floating-point numbers")
    if math.prod(shape) * dtype.itemsize != left:
        raise ValueError(f"{entry.filename} has another size than its shape {shape} says")
    return tuple(shape)


def _npz_tensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: torch.from_numpy(arrays[name].astype(np.float32)) for name in arrays.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} can't be read ({error}): it was cut") from None
