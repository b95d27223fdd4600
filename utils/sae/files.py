"""Saving and loading sparse autoencoders in the layout SAELens reads: `cfg.json` and `sae_weights.safetensors`.

Safetensors only, never pickle: a file from a stranger can be wrong, but it can't run code.
A BatchTopK or Matryoshka SAE is saved as what it is when read, a JumpReLU SAE with one threshold for all latents; that
is also what SAELens does. Layout checked against sae-lens 6 by `make bench-sae`.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from utils.sae.models import BatchTopKSAE, GatedSAE, JumpReLUSAE, ReLUSAE, SparseAutoencoder, TopKSAE

__all__ = ["load", "load_gemma_scope", "save"]

WEIGHTS, CONFIG = "sae_weights.safetensors", "cfg.json"
LAYOUT = "6.0.0"  # the version of SAELens that introduced it


def save(
    sae: SparseAutoencoder,
    folder: str | Path,
    *,
    hook: str,
    model_name: str,
    dtype: torch.dtype = torch.float32,
    metadata: dict[str, Any] | None = None,
) -> Path:
    """Write an SAE to a folder; its biases must be in the model's own units (they are, after `train`).

    hook: where its activations come from, as "blocks.12.hook_resid_post"; dtype: torch.float16 halves the file.
    Returns the folder. Raises ValueError for weights that aren't finite, TypeError for a kind that has no layout.
    """
    folder = Path(folder)
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise ValueError(f"dtype must be a floating-point torch dtype, got {dtype!r}")
    architecture, extra, config = _layout(sae)
    tensors = {"W_enc": sae.W_enc, "W_dec": sae.W_dec, "b_dec": sae.b_dec, **extra}
    for name, value in tensors.items():
        if not torch.isfinite(value.detach().to(dtype)).all():
            raise ValueError(f"{name} holds values that aren't finite numbers in {dtype}: nothing was saved")
    config = {
        "architecture": architecture,
        "d_in": sae.d_model,
        "d_sae": sae.d_sae,
        "dtype": str(dtype).removeprefix("torch."),
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        **config,
        "metadata": {
            # Without a version SAELens takes the layout for an old one, and drops what it doesn't know.
            "sae_lens_version": LAYOUT,
            "sae_lens_training_version": None,  # not trained with SAELens
            "model_name": model_name,
            "hook_name": hook,
            "prepend_bos": True,
            **(metadata or {}),
        },
    }
    ready = {name: value.detach().to(dtype).cpu().contiguous() for name, value in tensors.items()}
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / (WEIGHTS + ".new")
    save_file(ready, temporary)
    temporary.replace(folder / WEIGHTS)
    (folder / CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    return folder


def load(folder: str | Path) -> SparseAutoencoder:
    """Read an SAE that `save` or SAELens wrote: float32, on the CPU, ready to read with.

    Two options of SAELens are folded into the weights, so that latents are the same: b_dec not taken off the input
    (apply_b_dec_to_input), and latents measured in units of their decoder row (rescale_acts_by_decoder_norm).
    Raises FileNotFoundError for a missing file, ValueError for a file that is cut, of an architecture we don't know,
    or whose shapes don't fit its configuration.
    """
    folder = Path(folder)
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} has no {name}: an SAE is a folder with {CONFIG} and {WEIGHTS}")
    config = _read_config(folder)
    try:
        tensors = {name: value.float() for name, value in load_file(folder / WEIGHTS).items()}
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{folder / WEIGHTS} can't be read ({error}): it was cut, or is another kind of file"
        ) from None
    sae = _empty(config, folder)
    _fill(sae, tensors, folder / WEIGHTS)
    _fold(sae, config)
    return sae.eval()


def load_gemma_scope(path: str | Path) -> JumpReLUSAE:
    """Read one of Gemma Scope's files, `params.npz`, as its makers publish them: float32, on the CPU.

    Their encoder doesn't take b_dec off its input; that is folded into b_enc, so that latents are the same.
    Raises FileNotFoundError for a missing file, ValueError for one that is cut, holds anything but arrays of numbers,
    or lacks one of W_enc, W_dec, b_enc, b_dec, threshold. Source: Lieberum et al. 2024, arXiv 2408.05147.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} doesn't exist: give the params.npz of one Gemma Scope SAE")
    try:
        # Arrays only: an npz may also hold pickled objects, and those could run code.
        with np.load(path, allow_pickle=False) as arrays:
            tensors = {name: torch.from_numpy(arrays[name]).float() for name in arrays.files}
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} can't be read ({error}): it was cut, or is another kind of file") from None
    if "W_enc" not in tensors or tensors["W_enc"].ndim != 2:
        raise ValueError(f"{path} has no W_enc of shape (d_model, d_sae); it holds {', '.join(sorted(tensors))}")
    sae = JumpReLUSAE(*tensors["W_enc"].shape)
    _fill(sae, tensors, path)
    _fold(sae, {"apply_b_dec_to_input": False})
    return sae.eval()


def _read_config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        config["d_in"], config["d_sae"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder / CONFIG} is not the configuration of an SAE ({error!r})") from None
    normalise = config.get("normalize_activations")
    if normalise not in (None, False, "none"):
        raise ValueError(
            f"{folder / CONFIG} asks for normalize_activations={normalise!r}: fold the scaling into the weights first "
            "(SAELens's fold_activation_norm_scaling_factor does it)"
        )
    # SAELens before 6 called a TopK SAE standard, with another activation function.
    if config.get("activation_fn", config.get("activation_fn_str")) == "topk":
        config |= {"architecture": "topk", "k": (config.get("activation_fn_kwargs") or {}).get("k")}
    return config


def _layout(sae: SparseAutoencoder) -> tuple[str, dict[str, torch.Tensor], dict[str, Any]]:
    """SAELens's name for the kind, and the tensors and settings only this kind has."""
    if isinstance(sae, BatchTopKSAE):
        return "jumprelu", {"b_enc": sae.b_enc, "threshold": sae.threshold.expand(sae.d_sae)}, {}
    if isinstance(sae, TopKSAE):
        # Decoder rows have length 1, so rescaling by it would change nothing.
        return "topk", {"b_enc": sae.b_enc}, {"k": sae.k, "rescale_acts_by_decoder_norm": False}
    if isinstance(sae, JumpReLUSAE):
        return "jumprelu", {"b_enc": sae.b_enc, "threshold": sae.threshold}, {}
    if isinstance(sae, GatedSAE):
        return "gated", {"r_mag": sae.r_mag, "b_gate": sae.b_enc, "b_mag": sae.b_mag}, {}
    if isinstance(sae, ReLUSAE):
        return "standard", {"b_enc": sae.b_enc}, {}
    raise TypeError(f"don't know how to save a {type(sae).__name__}")


def _empty(config: dict[str, Any], folder: Path) -> SparseAutoencoder:
    kind, d_model, d_sae = config.get("architecture"), config["d_in"], config["d_sae"]
    if kind == "topk":
        return TopKSAE(d_model, d_sae, k=config.get("k"))
    if kind == "jumprelu":
        return JumpReLUSAE(d_model, d_sae)
    if kind == "gated":
        return GatedSAE(d_model, d_sae, l1=0.0)
    if kind == "standard":
        return ReLUSAE(d_model, d_sae, l1=0.0)
    raise ValueError(f"{folder / CONFIG} names the architecture {kind!r}; known: standard, topk, jumprelu, gated")


@torch.no_grad()
def _fill(sae: SparseAutoencoder, tensors: dict[str, torch.Tensor], source: Path) -> None:
    wanted = {"W_enc": sae.W_enc, "W_dec": sae.W_dec, "b_dec": sae.b_dec}
    if isinstance(sae, GatedSAE):
        wanted |= {"b_gate": sae.b_enc, "r_mag": sae.r_mag, "b_mag": sae.b_mag}
    else:
        wanted |= {"b_enc": sae.b_enc}
    if isinstance(sae, JumpReLUSAE):
        wanted |= {"threshold": sae.log_threshold}
    for name, parameter in wanted.items():
        if name not in tensors:
            raise ValueError(f"{source} has no {name}; it holds {', '.join(sorted(tensors))}")
        if tensors[name].shape != parameter.shape:
            raise ValueError(
                f"{source}: {name} has shape {tuple(tensors[name].shape)}, expected {tuple(parameter.shape)}"
            )
        if not torch.isfinite(tensors[name]).all():
            raise ValueError(f"{source}: {name} holds NaN or infinite values")
        # A threshold of zero (a plain ReLU) has no logarithm: the smallest positive number does the same.
        value = tensors[name].clamp_min(1e-30).log() if name == "threshold" else tensors[name]
        parameter.copy_(value)


@torch.no_grad()
def _fold(sae: SparseAutoencoder, config: dict[str, Any]) -> None:
    """Change the weights so that options of SAELens which ours don't have make no difference to latents."""
    if config.get("rescale_acts_by_decoder_norm"):
        norms = sae.W_dec.norm(dim=1)
        sae.W_enc.mul_(norms)
        sae.b_enc.mul_(norms)
        sae.W_dec.div_(norms[:, None].clamp_min(1e-30))
    if not config.get("apply_b_dec_to_input", True):
        shift = sae.b_dec @ sae.W_enc  # ours take b_dec off the input: put back what that takes off the latents
        sae.b_enc.add_(shift)
        if isinstance(sae, GatedSAE):
            sae.b_mag.add_(shift * sae.r_mag.exp())
