"""Doing only the arithmetic that a sparse code needs.

With 32 of 4,096 latents on, a training step spends four of its five matrix products multiplying zeros. Here the
latents that are on are kept as a list, and the decoder, and both weight gradients, touch only them. The results are
those of the dense products, to rounding (tests/test_sae_models.py).

`torch.nn.functional.embedding_bag` does the work: a weighted sum of chosen rows of a matrix.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int

Chooser = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor, torch.Tensor]]


@dataclass(frozen=True)
class Selected:
    """The latents that are on: entry i is latent `latents[i]` of activation `rows[i]` with size `values[i]`.

    Entries are in the order of their rows; n_rows is the number of activations in the batch.
    """

    values: Float[torch.Tensor, "entries"]
    latents: Int[torch.Tensor, "entries"]
    rows: Int[torch.Tensor, "entries"]
    n_rows: int

    def below(self, size: int) -> Selected:
        """The same, with latents from number `size` on switched off."""
        return replace(self, values=self.values * (self.latents < size))

    def fired(self, d_sae: int) -> Int[torch.Tensor, "d_sae"]:
        """How many activations each latent was on for."""
        return torch.bincount(self.latents[self.values > 0], minlength=d_sae)


def row_top_k(k: int) -> Chooser:
    """Choose the k largest of each row."""

    def choose(pre: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        values, latents = pre.topk(k, dim=-1)
        rows = torch.arange(len(pre), device=pre.device).repeat_interleave(k)
        return values.reshape(-1), latents.reshape(-1), rows

    return choose


def batch_top_k(k: int) -> Chooser:
    """Choose the k * rows largest of the whole matrix."""

    def choose(pre: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        # Only the k-th largest is needed, and only positive values can be kept: far fewer than all.
        candidates = pre[pre > 0]
        wanted = min(k * len(pre), len(candidates))
        if wanted == 0:
            empty = torch.zeros(0, dtype=torch.long, device=pre.device)
            return pre.new_zeros(0), empty, empty
        bound = candidates.kthvalue(len(candidates) - wanted + 1).values
        rows, latents = (pre >= bound).nonzero(as_tuple=True)
        values = pre[rows, latents]
        if len(values) > wanted:  # ties at the bound: the first ones are kept, so that the number is right
            above = values > bound
            first = (~above).cumsum(0) <= wanted - above.sum()
            rows, latents, values = rows[above | first], latents[above | first], values[above | first]
        return values, latents, rows

    return choose


def encode_selected(
    x: Float[torch.Tensor, "batch d_model"],
    W_enc: Float[torch.Tensor, "d_model d_sae"],
    b_enc: Float[torch.Tensor, "d_sae"],
    choose: Chooser,
) -> Selected:
    """The chosen latents of x, through a ReLU; gradients reach x, W_enc and b_enc as in the dense product."""
    with torch.no_grad():
        pre = torch.addmm(b_enc, x, W_enc)
        values, latents, rows = choose(pre)
    values = _Chosen.apply(x, W_enc, b_enc, values, latents, rows)
    return Selected(values.relu(), latents, rows, len(x))


def decode_selected(
    selected: Selected, W_dec: Float[torch.Tensor, "d_sae d_model"]
) -> Float[torch.Tensor, "batch d_model"]:
    """For each activation the sum of its latents' decoder rows, each times the latent: (batch, d_model)."""
    summed = F.embedding_bag(
        selected.latents,
        W_dec.detach(),
        _starts(selected.rows, selected.n_rows),
        per_sample_weights=selected.values,
        mode="sum",
    )
    return _WithRowGradient.apply(summed, W_dec, selected.values.detach(), selected.latents, selected.rows)


class _Chosen(torch.autograd.Function):
    """Entries (rows, latents) of x @ W_enc + b_enc, already computed, with the gradient of just these entries."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        W_enc: torch.Tensor,
        b_enc: torch.Tensor,
        values: torch.Tensor,
        latents: torch.Tensor,
        rows: torch.Tensor,
    ) -> torch.Tensor:
        ctx.save_for_backward(x, W_enc, latents, rows)
        return values.clone()

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, W_enc, latents, rows = ctx.saved_tensors
        d_sae = W_enc.shape[1]
        weight = _sum_by_latent(x, grad, latents, rows, d_sae)
        bias = torch.zeros(d_sae, dtype=grad.dtype, device=grad.device).index_add_(0, latents, grad)
        if ctx.needs_input_grad[0]:
            grad_x = F.embedding_bag(latents, W_enc.t(), _starts(rows, len(x)), per_sample_weights=grad, mode="sum")
        else:
            grad_x = None
        return grad_x, weight.t(), bias, None, None, None


class _WithRowGradient(torch.autograd.Function):
    """The decoded sum as it is; on the way back W_dec gets its gradient here.

    embedding_bag would find the same gradient, but adds up entries in the order they come. In the order of the
    latents each row of the gradient is written once: a training step takes a twelfth less time.
    """

    @staticmethod
    def forward(
        ctx: Any,
        summed: torch.Tensor,
        W_dec: torch.Tensor,
        values: torch.Tensor,
        latents: torch.Tensor,
        rows: torch.Tensor,
    ) -> torch.Tensor:
        ctx.save_for_backward(values, latents, rows)
        ctx.d_sae = len(W_dec)
        return summed.view_as(summed)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        values, latents, rows = ctx.saved_tensors
        weight = _sum_by_latent(grad, values, latents, rows, ctx.d_sae) if ctx.needs_input_grad[1] else None
        return grad, weight, None, None, None


def _sum_by_latent(
    x: torch.Tensor, sizes: torch.Tensor, latents: torch.Tensor, rows: torch.Tensor, d_sae: int
) -> torch.Tensor:
    """For each latent the sum of the rows of x it was on for, each times its size: (d_sae, d_model)."""
    order = latents.argsort(stable=True)
    starts = _starts(latents[order], d_sae)
    return F.embedding_bag(rows[order], x, starts, per_sample_weights=sizes[order], mode="sum")


def _starts(sorted_keys: torch.Tensor, n: int) -> torch.Tensor:
    """Where each key's entries begin in a sorted list of keys 0 .. n-1: (n,)."""
    counts = torch.bincount(sorted_keys, minlength=n)
    return counts.cumsum(0) - counts
