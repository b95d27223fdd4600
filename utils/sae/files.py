"""Saving and loading sparse autoencoders in the layout SAELens reads: `cfg.json` and `sae_weights.safetensors`.

Safetensors only, never pickle: a file from a stranger can be wrong, but it can't run code.
A BatchTopK or Matryoshka SAE is saved as what it is when read, a JumpReLU SAE with one threshold for all latents; that
is also what SAELens does. Layout checked against sae-lens 6 by `make bench-sae`.

What is saved here carries a fingerprint of its weights, which `load` checks, and one of the model they were trained on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file

from utils.home import sha256_of
from utils.inputs import Positive, Text, checked
from utils.models import fingerprint
from utils.sae.layout import built, check_shapes, shapes_in
from utils.sae.models import BatchTopKSAE, GatedSAE, JumpReLUSAE, ReLUSAE, SparseAutoencoder, TopKSAE
from utils.sae.saelens import understand

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

__all__ = ["CONFIG", "WEIGHTS", "load", "save"]

WEIGHTS, CONFIG = "sae_weights.safetensors", "cfg.json"
LAYOUT = "6.0.0"  # the version of SAELens that introduced it


@checked
def save(
    sae: SparseAutoencoder,
    folder: Text | Path,
    *,
    hook: Text,
    model_name: Text,
    massive_norm: Positive | None = None,
    model: TransformerBridge | None = None,
    dtype: torch.dtype = torch.float32,
    metadata: Mapping[str, Any] | None = None,
) -> Path:
    """Write an SAE to a folder; its biases must be in the model's own units (they are, after `train`).

    hook: where its activations come from, as "blocks.12.hook_resid_post"; massive_norm: activations longer than this
    were left out of its training; model: the one it was trained on, whose fingerprint is kept; dtype: torch.float16
    halves the file; metadata: more to be kept, as json can.
    Returns the folder. Raises ValueError for weights that aren't finite, TypeError for a kind that has no layout.
    """
    folder = Path(folder)
    if not dtype.is_floating_point:
        raise ValueError(f"dtype must be a floating-point torch dtype, got {dtype!r}")
    architecture, extra, more = _layout(sae)
    tensors = {"W_enc": sae.W_enc, "W_dec": sae.W_dec, "b_dec": sae.b_dec, **extra}
    for name, value in tensors.items():
        if not torch.isfinite(value.detach().to(dtype)).all():
            raise ValueError(f"sae: {name} holds values that aren't finite numbers in {dtype}: nothing was saved")
    notes = {
        # Without a version SAELens takes the layout for an old one, and drops what it doesn't know.
        "sae_lens_version": LAYOUT,
        "sae_lens_training_version": None,  # not trained with SAELens
        "model_name": model_name,
        "hook_name": hook,
        "prepend_bos": True,
        **({"massive_norm": massive_norm} if massive_norm is not None else {}),
        **({"model_fingerprint": fingerprint(model)} if model is not None else {}),
        **(metadata or {}),
    }
    config = {
        "architecture": architecture,
        "d_in": sae.d_model,
        "d_sae": sae.d_sae,
        "dtype": str(dtype).removeprefix("torch."),
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        **more,
        "metadata": notes,
    }
    try:
        json.dumps(config, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise TypeError(f"metadata must hold what json can ({error}): nothing was saved") from None
    ready = {name: value.detach().to(dtype).cpu().contiguous() for name, value in tensors.items()}
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / (WEIGHTS + ".new")
    save_file(ready, temporary)
    config["weights_sha256"] = sha256_of(temporary)
    temporary.replace(folder / WEIGHTS)
    temporary = folder / (CONFIG + ".new")
    temporary.write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    temporary.replace(folder / CONFIG)
    return folder


@checked
def load(folder: Text | Path, *, model: TransformerBridge | None = None) -> SparseAutoencoder:
    """Read an SAE that `save` or SAELens wrote, of any version: float32, on the CPU, ready to read with.

    What SAELens sets by options is folded into the weights, so that latents and reconstructions are the same: b_dec not
    taken off the input (apply_b_dec_to_input), latents measured in units of their decoder row
    (rescale_acts_by_decoder_norm), latents rescaled before they are decoded (finetuning_scaling_factor).
    model: if given, it must be the one the SAE was trained on, where `save` was told.
    Raises FileNotFoundError for a missing file; ValueError for weights that have changed since they were saved, for a
    file that is cut, of an architecture we don't know, whose shapes don't fit its configuration, or whose configuration
    sets anything that isn't understood; ValueError for another model.
    """
    folder = Path(folder)
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"folder: {folder} has no {name}: {_what_it_lacks(folder)}")
    config = _read_config(folder / CONFIG)
    path = folder / WEIGHTS
    kept = config.get("weights_sha256")  # none from SAELens, nor from versions of ours before this was kept
    if kept is not None and sha256_of(path) != kept:
        raise ValueError(
            f"{path} is damaged or was exchanged: its content isn't what {CONFIG} says it was when it was saved"
        )
    if model is not None:
        _check_model(config, model, folder)
    layout = understand(config, folder / CONFIG)
    check_shapes(layout, shapes_in(path), path)  # before anything is made that is as large as the configuration says
    return built(layout, load_file(path), path)


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        config["d_in"], config["d_sae"], dict(config.get("metadata") or {})
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is not the configuration of an SAE ({error!r})") from None
    return config


def _what_it_lacks(folder: Path) -> str:
    found = [name for name in ("params.npz", "params.safetensors") if (folder / name).is_file()]
    if found:
        return f"it holds {' and '.join(found)}, as Gemma Scope does: read it with load_gemma_scope"
    return f"an SAE is a folder with {CONFIG} and {WEIGHTS}"


def _check_model(config: dict[str, Any], model: TransformerBridge, folder: Path) -> None:
    notes = config.get("metadata") or {}
    kept = notes.get("model_fingerprint")
    if kept is None:
        raise ValueError(f"model: {folder} doesn't say which model it was trained on; load it without model")
    if fingerprint(model) != kept:
        raise ValueError(
            f"model is another one than {folder} was trained on ({notes.get('model_name')}): its weights differ"
        )


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
    raise TypeError(f"sae: don't know how to save a {type(sae).__name__}")
