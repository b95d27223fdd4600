"""From a file's tensors to a sparse autoencoder: what must be there, and what options are folded into the weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from utils.inputs import checked
from utils.sae.models import GatedSAE, JumpReLUSAE, ReLUSAE, SparseAutoencoder, TopKSAE

__all__ = ["KINDS", "Layout", "built", "check_shapes", "shapes_in"]

KINDS = ("standard", "topk", "jumprelu", "gated")  # SAELens' names
SCALES = ("finetuning_scaling_factor", "scaling_factor")  # both names have been in use


@dataclass(frozen=True)
class Layout:
    """What a file says its weights are.

    kind: one of KINDS; k: of a TopK; takes_b_dec_off: whether b_dec is taken off the input; in_decoder_units: whether
    latents are measured in units of their decoder row; rescaled: whether latents are multiplied by a tensor, one of
    SCALES, before they are decoded.
    """

    kind: str
    d_model: int
    d_sae: int
    k: int | None
    takes_b_dec_off: bool
    in_decoder_units: bool
    rescaled: bool

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The tensors that belong to it: name -> shape."""
        wide = {
            "standard": ("b_enc",),
            "topk": ("b_enc",),
            "jumprelu": ("b_enc", "threshold"),
            "gated": ("b_gate", "r_mag", "b_mag"),
        }[self.kind]
        common = {"W_enc": (self.d_model, self.d_sae), "W_dec": (self.d_sae, self.d_model), "b_dec": (self.d_model,)}
        return {**common, **dict.fromkeys(wide, (self.d_sae,))}


@checked
def shapes_in(path: Path) -> dict[str, tuple[int, ...]]:
    """The names and shapes of the tensors in a safetensors file, from its header. ValueError if it can't be read."""
    try:
        with safe_open(path, "pt") as file:
            names = file.keys()
            return {name: tuple(file.get_slice(name).get_shape()) for name in names}
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} {_why_unreadable(path, error)}") from None


def _why_unreadable(path: Path, error: Exception) -> str:
    """What a file is that could not be read as safetensors, as the end of a sentence."""
    with path.open("rb") as file:
        head = file.read(64)
    if not head:
        return "is empty: it was cut"
    if head.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not the file itself: get it with `git lfs pull`"
    if head.startswith(b"PK"):
        return "is a zip file (a PyTorch checkpoint, or numpy's npz), not safetensors: it is not opened"
    if head.startswith(b"\x80"):
        return "is a pickle, which could run code: it is not opened"
    return f"can't be read ({error}): it was cut, or is another kind of file"


@checked
def check_shapes(layout: Layout, shapes: dict[str, tuple[int, ...]], source: Path) -> None:
    """Raise ValueError, naming the tensor, unless a file holds what its layout says, and nothing unknown."""
    wanted = layout.shapes()
    for name, shape in wanted.items():
        if name not in shapes:
            raise ValueError(f"{source} has no {name}; it holds {', '.join(sorted(shapes))}")
        if shapes[name] != shape:
            raise ValueError(f"{source}: {name} has shape {shapes[name]}, expected {shape}")
    for name, shape in shapes.items():
        if name in SCALES and shape not in ((layout.d_sae,), ()):
            raise ValueError(f"{source}: {name} has shape {shape}, expected {(layout.d_sae,)}")
        if name not in wanted and name not in SCALES:
            raise ValueError(f"{source} holds {name}, which isn't part of a {layout.kind} SAE: nothing was read")


@checked
def built(layout: Layout, tensors: dict[str, torch.Tensor], source: Path) -> SparseAutoencoder:
    """The SAE that a layout and its tensors describe, ready to read with: float32, on the CPU.

    Options which ours don't have are folded into the weights, so that they make no difference to latents.
    Raises ValueError, naming the tensor, for NaN, infinity and a scale that nobody asked for.
    """
    tensors = {name: value.float() for name, value in tensors.items()}
    check_shapes(layout, {name: tuple(value.shape) for name, value in tensors.items()}, source)
    for name, value in tensors.items():
        if not torch.isfinite(value).all():
            raise ValueError(f"{source}: {name} holds NaN or infinite values")
    sae = _empty(layout)
    with torch.no_grad():
        for name in layout.shapes():
            _put(sae, name, tensors[name])
        _rescale_decoder(sae, tensors, layout, source)
        if layout.in_decoder_units:
            norms = sae.W_dec.norm(dim=1)
            sae.W_enc.mul_(norms)
            sae.b_enc.mul_(norms)
            sae.W_dec.div_(norms[:, None].clamp_min(1e-30))
        if not layout.takes_b_dec_off:
            shift = sae.b_dec @ sae.W_enc  # ours take b_dec off the input: put back what that takes off the latents
            sae.b_enc.add_(shift)
            if isinstance(sae, GatedSAE):
                sae.b_mag.add_(shift * sae.r_mag.exp())
    return sae.eval()


def _empty(layout: Layout) -> SparseAutoencoder:
    if layout.kind == "topk":
        assert layout.k is not None
        return TopKSAE(layout.d_model, layout.d_sae, k=layout.k)
    if layout.kind == "jumprelu":
        return JumpReLUSAE(layout.d_model, layout.d_sae)
    if layout.kind == "gated":
        return GatedSAE(layout.d_model, layout.d_sae, l1=0.0)
    return ReLUSAE(layout.d_model, layout.d_sae, l1=0.0)


def _put(sae: SparseAutoencoder, name: str, value: torch.Tensor) -> None:
    if isinstance(sae, JumpReLUSAE) and name == "threshold":
        # A threshold of zero (a plain ReLU) has no logarithm: the smallest positive number does the same.
        sae.log_threshold.copy_(value.clamp_min(1e-30).log())
    else:
        getattr(sae, {"b_gate": "b_enc"}.get(name, name)).copy_(value)


def _rescale_decoder(sae: SparseAutoencoder, tensors: dict[str, torch.Tensor], layout: Layout, source: Path) -> None:
    """Latents that are multiplied before they are decoded: the same as longer decoder rows."""
    for name in SCALES:
        factors = tensors.get(name)
        if factors is None or bool((factors == 1).all()):
            continue  # for a time SAELens wrote ones into every file
        if not layout.rescaled:
            raise ValueError(
                f"{source} holds a {name} that isn't 1, and nothing says that it is to be used "
                "(finetuning_scaling_factor): nothing was read"
            )
        if layout.in_decoder_units:
            raise ValueError(f"{source} has both a {name} and rescale_acts_by_decoder_norm: not known here")
        sae.W_dec.mul_(factors.reshape(-1, 1))
