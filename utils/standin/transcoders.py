"""What stands in for an MLP: a transcoder, a sparse dictionary from what the MLP reads to what it writes.

An SAE writes a vector as a sum of a few directions. A transcoder does a layer's work with them:

    MLP(x)  ~  b_dec + latents[0] * W_dec[0] + latents[1] * W_dec[1] + ...  (+ x @ W_skip)

x is the normalised residual that the MLP reads (the norm's gain included), the sum is what it adds to the stream. So a
latent is read off the input in one product and writes one direction, and what a latent does to a later one is a number
that doesn't depend on the prompt. That is what makes a graph of them possible.

Only a few latents may be on: the k largest of each position (TopK) or those above a threshold of their own (JumpReLU).
The skip, if there is one, is a plain linear map beside them: it lowers the error and explains nothing.

Sources: Dunefsky et al. 2024, arXiv 2406.11944 (transcoders); Paulo et al. 2025, arXiv 2501.18823 (the skip).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from utils.inputs import Count, Index, Seed, checked
from utils.sae.models import finite_rows, where_asked
from utils.validators import limit, what, whole

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

__all__ = ["Transcoder", "check_set", "hooks_of", "random_transcoder"]


@dataclass(frozen=True, eq=False)
class Transcoder:
    """One block's stand-in for its MLP. Weights are float tensors in the model's own units.

    layer: the block; W_enc (d_model, d_sae), b_enc (d_sae): the encoder; W_dec (d_sae, d_model), b_dec (d_model): the
    decoder; W_skip (d_model, d_model): x @ W_skip is added, or None; k: how many latents may be on at a position, and
    threshold None; or k None and threshold (d_sae): a latent is on where it exceeds it (zeros: a plain ReLU);
    massive_norm: outputs of the MLP longer than this were left out of its training (`utils.reading.massive`).

    Raises TypeError or ValueError, naming the part, for shapes that don't fit each other, NaN, or both k and threshold.
    """

    layer: int
    W_enc: Float[Tensor, "d_model d_sae"]
    b_enc: Float[Tensor, " d_sae"]
    W_dec: Float[Tensor, "d_sae d_model"]
    b_dec: Float[Tensor, " d_model"]
    W_skip: Float[Tensor, "d_model d_model"] | None = None
    k: int | None = None
    threshold: Float[Tensor, " d_sae"] | None = None
    massive_norm: float = math.inf

    def __post_init__(self) -> None:
        whole("layer", self.layer, 0)
        limit("massive_norm", self.massive_norm)
        for name, value in self.tensors().items():
            if not isinstance(value, Tensor) or not value.is_floating_point():
                raise TypeError(f"{name} must be a tensor of floating-point numbers, got {what(value)}")
        if self.W_enc.ndim != 2 or 0 in self.W_enc.shape:
            raise ValueError(f"W_enc must have shape (d_model, d_sae), got {tuple(self.W_enc.shape)}")
        d_model, d_sae = self.W_enc.shape
        shapes = {
            **{"b_enc": (d_sae,), "W_dec": (d_sae, d_model), "b_dec": (d_model,)},
            **{"W_skip": (d_model, d_model), "threshold": (d_sae,)},
        }
        for name, value in self.tensors().items():
            wanted, came = shapes.get(name, (d_model, d_sae)), tuple(value.shape)
            if came != wanted:
                raise ValueError(f"{name} must have shape {wanted}, since W_enc has {(d_model, d_sae)}, got {came}")
            if not torch.isfinite(value).all():
                raise ValueError(f"{name} of block {self.layer}'s transcoder holds NaN or infinite values")
        if (self.k is None) == (self.threshold is None):
            both = "neither" if self.k is None else "both"
            raise ValueError(f"k or threshold must be given, and only one of them: got {both}")
        if self.k is not None:
            whole("k", self.k, 1, d_sae)
        if self.threshold is not None and bool((self.threshold < 0).any()):
            raise ValueError("threshold must not be below 0: a latent that is on is positive")

    # ------------------------------------------------------------------------------------------ what it is made of

    @property
    def d_model(self) -> int:
        return self.W_enc.shape[0]

    @property
    def d_sae(self) -> int:
        return self.W_enc.shape[1]

    def tensors(self) -> dict[str, Tensor]:
        """Its weights by name; W_skip and threshold only where it has them."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        plain = ("layer", "k", "massive_norm")
        return {name: value for name, value in found.items() if name not in plain and value is not None}

    def to(self, place: torch.device | torch.dtype | str) -> Transcoder:
        """The same on another device, or in another floating-point type."""
        moved: dict[str, Any] = {name: value.detach().to(place) for name, value in self.tensors().items()}
        return replace(self, **moved)

    # ------------------------------------------------------------------------------------------------ what it does

    def pre_activations(self, x: Float[Tensor, "*n d_model"]) -> Float[Tensor, "*n d_sae"]:
        """How well x matches each latent's encoder direction: (..., d_sae)."""
        return where_asked(x, finite_rows("x", x, self.d_model, self.W_enc) @ self.W_enc + self.b_enc)

    def encode(self, x: Float[Tensor, "*n d_model"]) -> Float[Tensor, "*n d_sae"]:
        """The latents of x, the normalised residual that the MLP reads: (..., d_sae), zero or positive.

        They are on the device of x, in the type of the weights; gradients flow to x through the latents that are on.
        Raises TypeError if x doesn't hold numbers, ValueError for another width, NaN or infinity.
        """
        pre = finite_rows("x", x, self.d_model, self.W_enc) @ self.W_enc + self.b_enc
        if self.k is not None:
            values, columns = pre.topk(self.k, dim=-1)
            latents = torch.zeros_like(pre).scatter(-1, columns, values.relu())
        else:
            assert self.threshold is not None, "__post_init__ asks for one of the two"
            latents = pre.relu() * (pre > self.threshold)
        return where_asked(x, latents)

    def decode(self, latents: Float[Tensor, "*n d_sae"]) -> Float[Tensor, "*n d_model"]:
        """What latents write, b_dec included and the skip not: (..., d_model). Raises as `encode` does."""
        return where_asked(latents, finite_rows("latents", latents, self.d_sae, self.W_enc) @ self.W_dec + self.b_dec)

    def skip(self, x: Float[Tensor, "*n d_model"]) -> Float[Tensor, "*n d_model"]:
        """What the linear skip writes: x @ W_skip, (..., d_model); zeros without one. Raises as `encode` does."""
        here = finite_rows("x", x, self.d_model, self.W_enc)
        return where_asked(x, torch.zeros_like(here) if self.W_skip is None else here @ self.W_skip)

    def __call__(self, x: Float[Tensor, "*n d_model"]) -> Float[Tensor, "*n d_model"]:
        """What it writes in the MLP's place, decode(encode(x)) + x @ W_skip: (..., d_model). Raises as `encode`."""
        written = self.decode(self.encode(x))
        return written if self.W_skip is None else written + self.skip(x)


@checked
def hooks_of(layer: Index) -> tuple[str, str]:
    """The two hook points of a block between which a transcoder stands: what its MLP reads, what it writes."""
    return f"blocks.{layer}.mlp.hook_in", f"blocks.{layer}.mlp.hook_out"


@checked
def check_set(
    transcoders: Mapping[int, Transcoder], model: TransformerBridge, blocks: Iterable[int] | None = None
) -> dict[int, Transcoder]:
    """The set (block -> transcoder), held against a model: the wanted blocks, in order.

    blocks: which are wanted; None for every block of the model.
    Raises TypeError for something else than transcoders; ValueError for missing blocks, blocks that the model hasn't
    got, a transcoder that stands at another block than its own, and one of another width.
    """
    for block, one in transcoders.items():
        whole("transcoders: a block", block, 0)
        if not isinstance(one, Transcoder):
            raise TypeError(f"transcoders[{block}] must be a Transcoder, got {what(one)}")
        if one.layer != block:
            raise ValueError(
                f"transcoders[{block}] was made for block {one.layer}: a transcoder fits its own block only"
            )
        if block >= model.cfg.n_layers:
            raise ValueError(
                f"transcoders[{block}]: the model has blocks 0 to {model.cfg.n_layers - 1}; these are of another model"
            )
        if one.d_model != model.cfg.d_model:
            raise ValueError(
                f"transcoders[{block}] has width {one.d_model}, the model {model.cfg.d_model}: it is of another model"
            )
    wanted = range(model.cfg.n_layers) if blocks is None else [whole("blocks: each", block, 0) for block in blocks]
    missing = [block for block in wanted if block not in transcoders]
    if missing:
        raise ValueError(f"transcoders: none for block {', '.join(map(str, missing))}; there are {sorted(transcoders)}")
    return {block: transcoders[block] for block in sorted(set(wanted))}


@checked
def random_transcoder(
    layer: Index, d_model: Count, d_sae: Count, *, k: Count | None = 8, skip: bool = False, seed: Seed = 0
) -> Transcoder:
    """A transcoder that was never trained, for trying things out and as a null.

    Encoder directions and decoder rows are drawn uniformly, of length 1; b_enc and b_dec are small normal draws.
    k: TopK; None makes a JumpReLU with thresholds of 0.1. skip: with a linear skip, a random map of small entries.
    """
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    rows, directions = draw(d_sae, d_model), draw(d_model, d_sae)
    return Transcoder(
        layer=layer,
        W_enc=directions / directions.norm(dim=0),
        b_enc=0.1 * draw(d_sae),
        W_dec=rows / rows.norm(dim=1, keepdim=True),
        b_dec=0.1 * draw(d_model),
        W_skip=draw(d_model, d_model) / (4 * math.sqrt(d_model)) if skip else None,
        k=None if k is None else min(k, d_sae),
        threshold=torch.full((d_sae,), 0.1) if k is None else None,
    )
