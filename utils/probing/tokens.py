"""Probes that are more than one direction at one token: pooled over tokens, attentive, or with a hidden layer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch.nn import functional as F

from utils.probing.inputs import checked, floating


def pool_mean(
    acts: Float[torch.Tensor, "*layer n pos d_model"], mask: Bool[torch.Tensor, "n pos"]
) -> Float[torch.Tensor, "*layer n d_model"]:
    """Mean activation over each text's own tokens, ready for any `fit_*`. mask: True where a token is real."""
    acts, mask = floating("acts", acts), torch.as_tensor(mask, dtype=torch.bool)
    if acts.ndim < 3 or acts.shape[-3:-1] != mask.shape:
        raise ValueError(
            f"mask has shape {tuple(mask.shape)}; expected {tuple(acts.shape[-3:-1])}, the (n, pos) of acts"
        )
    if not bool(mask.any(-1).all()):
        raise ValueError("mask leaves a text without any token")
    weights = mask.to(acts) / mask.sum(-1, keepdim=True).to(acts)
    return (acts * weights.unsqueeze(-1)).sum(-2)


@dataclass(frozen=True)
class AttentionProbe:
    """A probe that chooses where to look: softmax(x · query) over a text's tokens, then a linear read-out."""

    query: Float[torch.Tensor, " d_model"]
    weight: Float[torch.Tensor, " d_model"]
    bias: Float[torch.Tensor, ""]
    centre: Float[torch.Tensor, " d_model"]
    width: Float[torch.Tensor, ""]

    def attention(self, acts: Float[torch.Tensor, "n pos d_model"], mask: Bool[torch.Tensor, "n pos"]) -> torch.Tensor:
        """(n, pos) weights that sum to 1 over each text's tokens."""
        x = (acts.to(self.query) - self.centre) / self.width
        return (x @ self.query).masked_fill(~mask, -torch.inf).softmax(-1)

    def scores(self, acts: Float[torch.Tensor, "n pos d_model"], mask: Bool[torch.Tensor, "n pos"]) -> torch.Tensor:
        """(n,) log-odds."""
        x = (acts.to(self.query) - self.centre) / self.width
        return (self.attention(acts, mask) * (x @ self.weight)).sum(-1) + self.bias

    def direction(self) -> Float[torch.Tensor, " d_model"]:
        """The read-out's direction, of length 1."""
        return F.normalize(self.weight, dim=-1)


def fit_attention(
    acts: Float[torch.Tensor, "n pos d_model"],
    mask: Bool[torch.Tensor, "n pos"],
    labels: Any,
    *,
    l2: float = 1e-2,
    steps: int = 200,
    learning_rate: float = 0.02,
    seed: int = 0,
) -> AttentionProbe:
    """A logistic probe on an attention-weighted mean of each text's tokens, trained with Adam.

    l2: penalty on the mean loss. It starts as mean pooling (a query of zeros), so it can only gain by looking closer.
    """
    pooled = pool_mean(acts, mask)
    pooled, labels = checked(pooled, labels)
    mask = torch.as_tensor(mask, dtype=torch.bool, device=pooled.device)
    x = acts.to(pooled)
    real = x[mask]
    centre, width = real.mean(0), (real - real.mean(0)).norm(dim=-1).median().clamp_min(1e-12)
    x = ((x - centre) / width).masked_fill(~mask.unsqueeze(-1), 0)
    generator = torch.Generator().manual_seed(seed)
    d_model = x.shape[-1]
    query = torch.zeros(d_model).to(x).requires_grad_()
    weight = (torch.randn(d_model, generator=generator) * 1e-3).to(x).requires_grad_()
    offset = x.new_zeros(()).requires_grad_()
    target = labels.to(x)
    optimiser = torch.optim.Adam([query, weight, offset], lr=learning_rate)
    with torch.enable_grad():
        for _ in range(steps):
            attention = (x @ query).masked_fill(~mask, -torch.inf).softmax(-1)
            logits = (attention * (x @ weight)).sum(-1) + offset
            penalty = 0.5 * l2 * (weight.square().sum() + query.square().sum()) / d_model
            loss = F.binary_cross_entropy_with_logits(logits, target) + penalty
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return AttentionProbe(query.detach(), weight.detach(), offset.detach(), centre, width)


@dataclass(frozen=True)
class MLPProbe:
    """A probe with one hidden layer: more able than a line, and so less able to say what the activations hold."""

    hidden: torch.Tensor
    hidden_bias: torch.Tensor
    out: torch.Tensor
    bias: torch.Tensor
    centre: torch.Tensor
    width: torch.Tensor

    def scores(self, acts: Float[torch.Tensor, "n d_model"]) -> Float[torch.Tensor, " n"]:
        """(n,) log-odds."""
        x = (floating("acts", acts).to(self.hidden) - self.centre) / self.width
        return F.relu(x @ self.hidden + self.hidden_bias) @ self.out + self.bias

    def predict(self, acts: Float[torch.Tensor, "n d_model"]) -> Bool[torch.Tensor, " n"]:
        """True where the score is above zero."""
        return self.scores(acts) > 0


def fit_mlp(
    acts: Float[torch.Tensor, "n d_model"],
    labels: Any,
    *,
    width: int = 64,
    weight_decay: float = 1e-3,
    steps: int = 300,
    learning_rate: float = 0.01,
    seed: int = 0,
) -> MLPProbe:
    """A one-hidden-layer probe, for showing what a wider probe can memorise (see `selectivity`).

    Full-batch AdamW on standardised features. Raises ValueError for a width below 1.
    """
    acts, labels = checked(acts, labels)
    if acts.ndim != 2:
        raise ValueError(f"acts has shape {tuple(acts.shape)}; an MLP probe is fitted on one layer, (n, d_model)")
    if not isinstance(width, int) or width < 1:
        raise ValueError(f"width is {width!r}; expected a whole number above 0")
    centre, spread = acts.mean(0), acts.std(0)
    spread = torch.where(spread > 1e-6 * spread.max(), spread, torch.ones_like(spread))
    x, target = (acts - centre) / spread, labels.to(acts)
    generator = torch.Generator().manual_seed(seed)
    d = x.shape[-1]
    hidden = (torch.randn(d, width, generator=generator) * math.sqrt(1 / d)).to(x).requires_grad_()
    out = (torch.randn(width, generator=generator) * math.sqrt(1 / width)).to(x).requires_grad_()
    hidden_bias, offset = x.new_zeros(width).requires_grad_(), x.new_zeros(()).requires_grad_()
    optimiser = torch.optim.AdamW([hidden, hidden_bias, out, offset], lr=learning_rate, weight_decay=weight_decay)
    with torch.enable_grad():
        for _ in range(steps):
            logits = F.relu(x @ hidden + hidden_bias) @ out + offset
            loss = F.binary_cross_entropy_with_logits(logits, target)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return MLPProbe(*(t.detach() for t in (hidden, hidden_bias, out, offset)), centre, spread)
