"""Saving and loading sparse autoencoders in the layout SAELens reads: `cfg.json` and `sae_weights.safetensors`.

Safetensors only, never pickle: a file from a stranger can be wrong, but it can't run code.
A BatchTopK or Matryoshka SAE is saved as what it is when read, a JumpReLU SAE with one threshold for all latents; that
is also what SAELens does. Layout checked against sae-lens 6 by `make bench-sae`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from utils.sae.models import BatchTopKSAE, GatedSAE, JumpReLUSAE, ReLUSAE, SparseAutoencoder, TopKSAE

__all__ = ["load", "save"]

WEIGHTS, CONFIG = "sae_weights.safetensors", "cfg.json"


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
    Returns the folder. Raises ValueError for weights that aren't finite.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    architecture, extra, config = _layout(sae)
    tensors = {"W_enc": sae.W_enc, "b_enc": sae.b_enc, "W_dec": sae.W_dec, "b_dec": sae.b_dec, **extra}
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
        "metadata": {"model_name": model_name, "hook_name": hook, "prepend_bos": True, **(metadata or {})},
    }
    ready = {name: value.detach().to(dtype).cpu().contiguous() for name, value in tensors.items()}
    temporary = folder / (WEIGHTS + ".new")
    save_file(ready, temporary)
    temporary.replace(folder / WEIGHTS)
    (folder / CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    return folder


def load(folder: str | Path) -> SparseAutoencoder:
    """Read an SAE that `save` or SAELens wrote: float32, on the CPU, ready to read with.

    Raises FileNotFoundError for a missing file, ValueError for a file that is cut, of an architecture we don't know,
    or whose shapes don't fit its configuration.
    """
    folder = Path(folder)
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} has no {name}: an SAE is a folder with {CONFIG} and {WEIGHTS}")
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        d_model, d_sae, kind = config["d_in"], config["d_sae"], config["architecture"]
    except (ValueError, KeyError) as error:
        raise ValueError(f"{folder / CONFIG} is not the configuration of an SAE ({error!r})") from None
    if config.get("normalize_activations", "none") != "none":
        raise ValueError(
            f"{folder / CONFIG} asks for normalize_activations={config['normalize_activations']!r}: "
            "fold the scaling into the weights first (SAELens does it when it saves for inference)"
        )
    try:
        tensors = {name: value.float() for name, value in load_file(folder / WEIGHTS).items()}
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{folder / WEIGHTS} can't be read ({error}): it was cut, or is another kind of file"
        ) from None
    sae = _empty(kind, d_model, d_sae, config, folder)
    _fill(sae, tensors, folder)
    return sae.eval()


def _layout(sae: SparseAutoencoder) -> tuple[str, dict[str, torch.Tensor], dict[str, Any]]:
    """SAELens's name for the kind, and the tensors and settings only this kind has."""
    if isinstance(sae, BatchTopKSAE):
        return "jumprelu", {"threshold": sae.threshold.expand(sae.d_sae)}, {}
    if isinstance(sae, TopKSAE):
        # Decoder rows have length 1, so rescaling by it would change nothing.
        return "topk", {}, {"k": sae.k, "rescale_acts_by_decoder_norm": False}
    if isinstance(sae, JumpReLUSAE):
        return "jumprelu", {"threshold": sae.threshold}, {}
    if isinstance(sae, GatedSAE):
        return "gated", {"r_mag": sae.r_mag, "b_gate": sae.b_enc, "b_mag": sae.b_mag}, {}
    if isinstance(sae, ReLUSAE):
        return "standard", {}, {}
    raise TypeError(f"don't know how to save a {type(sae).__name__}")


def _empty(kind: str, d_model: int, d_sae: int, config: dict[str, Any], folder: Path) -> SparseAutoencoder:
    if kind == "topk":
        return TopKSAE(d_model, d_sae, k=config["k"])
    if kind == "jumprelu":
        return JumpReLUSAE(d_model, d_sae)
    if kind == "gated":
        return GatedSAE(d_model, d_sae, l1=0.0)
    if kind == "standard":
        return ReLUSAE(d_model, d_sae, l1=0.0)
    raise ValueError(f"{folder / CONFIG} names the architecture {kind!r}; known: standard, topk, jumprelu, gated")


@torch.no_grad()
def _fill(sae: SparseAutoencoder, tensors: dict[str, torch.Tensor], folder: Path) -> None:
    wanted = dict(W_enc=sae.W_enc, W_dec=sae.W_dec, b_dec=sae.b_dec)
    if isinstance(sae, GatedSAE):
        wanted |= dict(b_gate=sae.b_enc, r_mag=sae.r_mag, b_mag=sae.b_mag)
    else:
        wanted |= dict(b_enc=sae.b_enc)
    if isinstance(sae, JumpReLUSAE):
        wanted |= dict(threshold=sae.log_threshold)
    for name, parameter in wanted.items():
        if name not in tensors:
            raise ValueError(f"{folder / WEIGHTS} has no {name}; it holds {', '.join(sorted(tensors))}")
        if tensors[name].shape != parameter.shape:
            raise ValueError(
                f"{folder / WEIGHTS}: {name} has shape {tuple(tensors[name].shape)}, expected {tuple(parameter.shape)}"
            )
        if not torch.isfinite(tensors[name]).all():
            raise ValueError(f"{folder / WEIGHTS}: {name} holds NaN or infinite values")
        # A threshold of zero (a plain ReLU) has no logarithm: the smallest positive number does the same.
        value = tensors[name].clamp_min(1e-30).log() if name == "threshold" else tensors[name]
        parameter.copy_(value)
