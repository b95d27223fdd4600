"""Superposition where the truth is known: toy models, and synthetic activations made of features that we chose.

A network with fewer dimensions than things to say can give each thing a direction of its own, leave some out, or let
directions overlap. The toy model of Elhage et al. 2022 (arXiv 2209.10652) shows when it does which:

    x' = relu(x W^T W + b)      x: n_features sparse numbers, W: (n_hidden, n_features), so W x is the bottleneck

Here W always has one column a feature; `directions` always has one row a feature, as a decoder does.

toy models    sparse_features, train_toys, strategy_losses
geometry      feature_norms, interference, dimensionality
known truth   random_directions, World, superposed, hierarchy
a baseline    principal_directions

How well a dictionary does is measured by `utils.sae`: `variance_explained`, and `matched_cosines` of true and found.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float

from utils.inputs import Count, Positive, Seed, Share, checked

__all__ = [
    "Sample",
    "Toys",
    "World",
    "dimensionality",
    "feature_norms",
    "hierarchy",
    "interference",
    "principal_directions",
    "random_directions",
    "sparse_features",
    "strategy_losses",
    "superposed",
    "train_toys",
]

_SMALL = 1e-8
# Directions are drawn from a stream of their own. A dictionary that starts from `torch.randn` with the same seed as its
# world would otherwise start at the true features, and seem to find them all.
_STREAM = 0x5EED_0000
_DRAWN_AT_ONCE = 50  # batches


# ------------------------------------------------------------------------------------------------------- toy models


class Toys(NamedTuple):
    """Trained toy models: W (models, n_hidden, n_features), b (models, n_features), loss (models,) of the last step."""

    W: Float[torch.Tensor, "models n_hidden n_features"]
    b: Float[torch.Tensor, "models n_features"]
    loss: Float[torch.Tensor, "models"]


@checked
def sparse_features(
    n: Count, density: Float[torch.Tensor, "models"] | float, n_features: Count, generator: torch.Generator
) -> Float[torch.Tensor, "*models n n_features"]:
    """Draw features that are on with probability `density`, and then uniform between 0 and 1.

    density: a probability, or a tensor of one for each model. Returns (n, n_features), or (models, n, n_features).
    Raises ValueError for a density outside (0, 1] or sizes below 1. Source: Elhage et al. 2022, section 2.
    """
    p = torch.as_tensor(density, dtype=torch.float32)
    if not bool(((p > 0) & (p <= 1)).all()):
        raise ValueError(f"density must lie in (0, 1], one number or one a model, got {density}")
    shape = (*p.shape, n, n_features)
    values = torch.rand(shape, generator=generator)
    return values * (torch.rand(shape, generator=generator) < p[..., None, None])


@checked
def train_toys(
    density: Float[torch.Tensor, "models"],
    importance: Float[torch.Tensor, "models n_features"],
    n_hidden: Count,
    *,
    steps: Count = 1000,
    batch: Count = 256,
    learning_rate: Positive = 0.01,
    seed: Seed = 0,
) -> Toys:
    """Train many independent toy models at once, each with its own sparsity and importances.

    density: (models,) how often a feature is on. importance: (models, n_features) weight of each feature's squared
    error. The models share nothing: their losses are added, so each gets its own gradient, and Adam works number by
    number. The learning rate falls to zero along a half cosine.
    Raises ValueError for shapes that don't fit, densities outside (0, 1], negative importances or sizes below 1.
    Source: Elhage et al. 2022, arXiv 2209.10652.
    """
    density, importance = density.detach().cpu().float(), importance.detach().cpu().float()
    if not importance.numel():
        raise ValueError(f"importance must be of at least one model and feature, got shape {tuple(importance.shape)}")
    if not bool((importance >= 0).all()):
        raise ValueError("importance must be zero or more everywhere")
    models, n_features = importance.shape
    generator = torch.Generator().manual_seed(seed)
    W = torch.randn(models, n_hidden, n_features, generator=generator) / math.sqrt(n_hidden) * 0.8
    W, b = W.requires_grad_(), torch.zeros(models, n_features, requires_grad=True)
    optimiser = torch.optim.Adam([W, b], lr=learning_rate, fused=True)
    loss = torch.zeros(models)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = learning_rate * 0.5 * (1 + math.cos(math.pi * step / steps))
        x = sparse_features(batch, density, n_features, generator)
        output = torch.relu(torch.baddbmm(b[:, None], x @ W.mT, W))
        loss = ((x - output).square() * importance[:, None]).sum(-1).mean(-1)
        optimiser.zero_grad()
        loss.sum().backward()
        optimiser.step()
    if not bool(torch.isfinite(loss).all()):
        raise ValueError(f"learning_rate must be lower than {learning_rate}: the losses are no longer finite")
    return Toys(W.detach(), b.detach(), loss.detach())


@checked
def strategy_losses(
    density: Float[torch.Tensor, "..."] | float, importance: Float[torch.Tensor, "..."] | float
) -> Float[torch.Tensor, "*grid strategies"]:
    """What three ways of fitting two features into one dimension cost, by integration instead of training.

    density: probability that a feature is on. importance: of the second feature; the first has 1. Both broadcast.
    Returns (..., 3): keep the first alone, keep the second alone, share the line with opposite signs. The feature
    left out is guessed at its mean (its bias); sharing has no bias and errs only when both are on.
    Raises ValueError for a density outside (0, 1]. After Elhage et al. 2022, the phase change for n = 2, m = 1.
    """
    p, second = torch.as_tensor(density).float(), torch.as_tensor(importance).float()
    try:
        p, second = torch.broadcast_tensors(p, second)
    except RuntimeError:
        raise ValueError(
            f"importance must broadcast with density {tuple(p.shape)}, got {tuple(second.shape)}"
        ) from None
    if not bool(((p > 0) & (p <= 1)).all()):
        raise ValueError(f"density must lie in (0, 1], got {density}")
    left_out = p / 3 - (p / 2).square()  # the variance of a feature: mean square less squared mean
    shared = p.square() * (1 + second) / 6  # both on: each is wrong by the smaller of the two
    return torch.stack([second * left_out, left_out, shared], -1)


# ---------------------------------------------------------------------------------------------------------- geometry


@checked
def feature_norms(W: Float[torch.Tensor, "*models n_hidden n_features"]) -> Float[torch.Tensor, "*models n_features"]:
    """Length of each feature's column: near 1 if it is represented, near 0 if not. W: (..., n_hidden, n_features)."""
    return W.norm(dim=-2)


@checked
def interference(W: Float[torch.Tensor, "*models n_hidden n_features"]) -> Float[torch.Tensor, "*models n_features"]:
    """How much of a feature's direction the other features lie on: the sum over j != i of (W_i/|W_i| . W_j)^2.

    0: it has its direction to itself. 1 or more: as much of others as of itself. W: (..., n_hidden, n_features).
    Source: Elhage et al. 2022, the colour of their phase diagrams.
    """
    overlap = (W / W.norm(dim=-2, keepdim=True).clamp_min(_SMALL)).mT @ W
    return overlap.square().sum(-1) - overlap.diagonal(dim1=-2, dim2=-1).square()


@checked
def dimensionality(W: Float[torch.Tensor, "*models n_hidden n_features"]) -> Float[torch.Tensor, "*models n_features"]:
    """The share of a dimension each feature has: |W_i|^2 / sum over j of (W_i/|W_i| . W_j)^2.

    1: a dimension to itself; 1/2: an antipodal pair; 2/5: a pentagon; 0: not represented.
    W: (..., n_hidden, n_features). Returns (..., n_features). Source: Elhage et al. 2022.
    """
    squared = feature_norms(W).square()
    return squared / (squared + interference(W)).clamp_min(_SMALL)


# -------------------------------------------------------------------------------------------------------- known truth


class Sample(NamedTuple):
    """Synthetic activations and what they were made of.

    x: (n, d_model) activations; features: (n, n_features) the true magnitudes, 0 where a feature is off.
    """

    x: Float[torch.Tensor, "n d_model"]
    features: Float[torch.Tensor, "n n_features"]


@checked
@dataclass(frozen=True)
class World:
    """A source of activations whose features are known.

    directions: (n_features, d_model), rows of length 1. probability: (n_features,) how often each feature is on, given
    its parent if it has one. parent: for each feature the index of the feature it implies, or -1; a parent comes
    before its children. exclusive: whether children of one parent are never on together. low, high: magnitudes are
    uniform between them.
    Raises ValueError for shapes that don't fit, probabilities outside [0, 1], a parent that comes after its child,
    exclusive children whose probabilities add up to more than 1, or magnitudes that aren't positive.
    """

    directions: Float[torch.Tensor, "n_features d_model"]
    probability: Float[torch.Tensor, "n_features"]
    parent: Sequence[int] = ()
    exclusive: bool = False
    low: Positive = 1.0
    high: Positive = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "parent", tuple(self.parent))
        n = len(self.directions)
        if not self.directions.numel():
            raise ValueError(f"directions must hold at least one, got shape {tuple(self.directions.shape)}")
        if not bool(((self.probability >= 0) & (self.probability <= 1)).all()):
            raise ValueError("probability must lie in [0, 1] for every feature")
        if self.low > self.high:
            raise ValueError(f"magnitudes need 0 < low <= high, got {self.low} and {self.high}")
        if self.parent and len(self.parent) != n:
            raise ValueError(f"parent must name one feature (or -1) for each of {n} features, got {len(self.parent)}")
        for child, parent in enumerate(self.parent):
            if not -1 <= parent < child:
                raise ValueError(f"parent of feature {child} must be -1 or an earlier feature, got {parent}")
        if self.exclusive:
            for parent in set(self.parent) - {-1}:
                total = float(self.probability[list(self.children(parent))].sum())
                if total > 1 + 1e-6:
                    raise ValueError(
                        f"exclusive children of feature {parent} have probabilities that add up to {total}"
                    )

    @property
    def n_features(self) -> int:
        return len(self.directions)

    @property
    def d_model(self) -> int:
        return self.directions.shape[1]

    def children(self, parent: int) -> tuple[int, ...]:
        """The features that imply this one."""
        return tuple(child for child, p in enumerate(self.parent) if p == parent)

    @checked
    def sample(self, n: Count, generator: torch.Generator) -> Sample:
        """Draw n activations. Raises ValueError for n below 1."""
        on = self._on(n, generator)
        size = self.low + (self.high - self.low) * torch.rand(on.shape, generator=generator)
        features = size * on
        return Sample(features @ self.directions, features)

    @checked
    def batches(self, batch: Count, seed: Seed) -> Iterator[Float[torch.Tensor, "batch d_model"]]:
        """Endless batches (batch, d_model) of fresh activations, the same for the same seed."""
        generator = torch.Generator().manual_seed(seed)
        while True:  # many batches are drawn at once: a draw costs more than its numbers
            yield from self.sample(_DRAWN_AT_ONCE * batch, generator).x.split(batch)

    def _on(self, n: int, generator: torch.Generator) -> Bool[torch.Tensor, "n n_features"]:
        draws = torch.rand(n, self.n_features, generator=generator)
        on = draws < self.probability
        if self.exclusive:
            # One draw decides among the children of a parent: each owns a stretch of the line from 0 to 1.
            for parent in sorted(set(self.parent) - {-1}):
                family = list(self.children(parent))
                ends = self.probability[family].cumsum(0)
                shared = draws[:, family[:1]]
                on[:, family] = (shared < ends) & (shared >= ends - self.probability[family])
        for child, parent in enumerate(self.parent):
            if parent >= 0:
                on[:, child] &= on[:, parent]
        return on


@checked
def random_directions(
    n: Count, d_model: Count, seed: Seed = 0, orthogonal: bool = False
) -> Float[torch.Tensor, "n d_model"]:
    """n random directions of length 1. orthogonal: at right angles to each other (needs n <= d_model).

    Raises ValueError for sizes below 1, or more orthogonal directions than dimensions.
    """
    generator = torch.Generator().manual_seed(_STREAM + seed)
    if not orthogonal:
        directions = torch.randn(n, d_model, generator=generator)
        return directions / directions.norm(dim=1, keepdim=True)
    if n > d_model:
        raise ValueError(f"{d_model} dimensions have room for {d_model} orthogonal directions, not n = {n}")
    return torch.linalg.qr(torch.randn(d_model, n, generator=generator)).Q.T.contiguous()


@checked
def superposed(
    n_features: Count = 64,
    d_model: Count = 24,
    mean_on: Positive = 2.0,
    *,
    low: Positive = 0.5,
    high: Positive = 1.5,
    seed: Seed = 0,
) -> World:
    """More features than dimensions, in random directions, some common and some rare.

    mean_on: how many features are on in an activation, on average. Frequencies fall as 1 / sqrt(rank): the commonest of
    64 is on 8 times as often as the rarest. Raises ValueError when that asks for a probability above 1.
    """
    frequency = torch.arange(1, n_features + 1).float().rsqrt()
    probability = frequency * mean_on / frequency.sum()
    if float(probability.max()) > 1:
        raise ValueError(f"mean_on must be lower than {mean_on}: the commonest feature would be on more than always")
    return World(random_directions(n_features, d_model, seed), probability, low=low, high=high)


@checked
def hierarchy(
    d_model: Count = 50,
    probability: Sequence[Share] = (0.25, 0.2, 0.25, 0.25),
    parent: Sequence[int] = (-1, 0, -1, -1),
    *,
    exclusive: bool = False,
    low: Positive = 1.0,
    high: Positive = 1.0,
    seed: Seed = 0,
) -> World:
    """Orthogonal features of which some imply others. By default four in 50 dimensions: feature 1 implies feature 0.

    probability: of each feature, given its parent. Raises ValueError as `World` does.
    After Chanin et al. 2024, arXiv 2409.14507, section on toy models.
    """
    if not probability:
        raise ValueError("probability is empty: a world needs at least one feature")
    directions = random_directions(len(probability), d_model, seed, orthogonal=True)
    return World(directions, torch.tensor(probability), tuple(parent), exclusive, low, high)


# --------------------------------------------------------------------------------------------------------- a baseline


@checked
def principal_directions(x: Float[torch.Tensor, "rows d_model"], n: Count) -> Float[torch.Tensor, "two_n d_model"]:
    """The n leading principal directions of x, each with both its signs: (2 n, d_model).

    Both signs, because a principal direction has none of its own while a feature has one.
    Raises ValueError for n above min(rows, d_model) or an x that isn't 2-d.
    """
    if n > min(x.shape):
        raise ValueError(f"n must be at most {min(x.shape)} for an x of shape {tuple(x.shape)}, got {n}")
    directions = torch.linalg.svd(x - x.mean(0), full_matrices=False).Vh[:n]
    return torch.cat([directions, -directions])
