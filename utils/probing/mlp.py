"""A probe with a hidden layer: what a wider probe can memorise."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch.nn import functional as F

from utils.inputs import Count, NonNegative, Positive, Seed, checked
from utils.probing.inputs import Labels, computable, ready


@dataclass(frozen=True)
class MLPProbe:
    """A probe with one hidden layer: more able than a line, and so less able to say what the activations hold."""

    hidden: Float[torch.Tensor, "d_model width"]
    hidden_bias: Float[torch.Tensor, " width"]
    out: Float[torch.Tensor, " width"]
    bias: Float[torch.Tensor, ""]
    centre: Float[torch.Tensor, " d_model"]
    width: Float[torch.Tensor, " d_model"]

    @checked
    def scores(self, acts: Float[torch.Tensor, "n d_model"]) -> Float[torch.Tensor, " n"]:
        """(n,) log-odds. Raises ValueError for activations of another width, or with NaN or infinity in them."""
        if acts.shape[-1] != len(self.centre):
            raise ValueError(f"acts has shape {tuple(acts.shape)}; this probe expects (n, {len(self.centre)})")
        x = (computable(acts).to(self.hidden) - self.centre) / self.width
        return F.relu(x @ self.hidden + self.hidden_bias) @ self.out + self.bias

    def predict(self, acts: Float[torch.Tensor, "n d_model"]) -> Bool[torch.Tensor, " n"]:
        """True where the score is above zero."""
        return self.scores(acts) > 0


@checked
def fit_mlp(
    acts: Float[torch.Tensor, "n d_model"],
    labels: Labels,
    *,
    width: Count = 64,
    weight_decay: NonNegative = 1e-3,
    steps: Count = 300,
    learning_rate: Positive = 0.01,
    seed: Seed = 0,
) -> MLPProbe:
    """A one-hidden-layer probe, for showing what a wider probe can memorise (see `selectivity`).

    Full-batch AdamW on standardised features. Raises ValueError for a width below 1.
    """
    acts, labels = ready(acts, labels)
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
    if not all(bool(torch.isfinite(part).all()) for part in (hidden, hidden_bias, out, offset)):
        raise ValueError(f"learning_rate {learning_rate:g} or weight_decay {weight_decay:g} is too large: it diverged")
    return MLPProbe(hidden.detach(), hidden_bias.detach(), out.detach(), offset.detach(), centre, spread)
