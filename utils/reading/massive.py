"""The lab's one rule for massive tokens: more than `MASSIVE` times as long as an ordinary activation.

About one token in two hundred of the specimen (the document start, some punctuation) carries a residual up to a hundred
times as long as the others: a few enormous dimensions that act like a constant, on which later tokens lean
(Sun et al. 2024, arXiv 2402.17762). One of them can decide where an unscaled probe or a sparse autoencoder points, and
moving one breaks the model in a way that has nothing to do with the direction. So they are left out, and left alone.

The rule is the same everywhere; what "ordinary" refers to is the `typical` length, and there are three cases:

- activations in hand, studied once: their own, `massive_tokens(acts)`;
- an intervention, a dictionary, anything made from one set of activations and used on others: the typical length of
  the set it was made from, kept with it, `is_massive(acts, typical)`. A rule that asked each new batch for its own
  median would call a token massive in one batch and ordinary in the next;
- anything that is saved: the threshold itself (`factor * typical`, a length) is recorded in what is saved, and used
  as it stands: `is_massive(acts, threshold, factor=1)`.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float

from utils.inputs import Positive, Range, checked, number

__all__ = ["MASSIVE", "is_massive", "massive_tokens", "residual_norms", "typical_norm"]

MASSIVE = 4.0


@checked
def residual_norms(acts: Float[torch.Tensor, "*n d_model"]) -> Float[torch.Tensor, "*n"]:
    """Length of each activation vector, in float32, on the device the activations are on.

    acts: (..., d_model). Returns (...). Raises TypeError if it doesn't hold numbers, ValueError if it is empty or
    holds NaN or infinity.
    """
    return _norms(acts)


@checked
def typical_norm(acts: Float[torch.Tensor, "*n d_model"], factor: Positive = MASSIVE) -> float:
    """How long an ordinary activation is: the median length of those that aren't massive.

    acts: (..., d_model), document starts left out. Raises as `residual_norms` does, and ValueError for a factor that
    isn't above 0.
    """
    return _typical(_norms(acts), factor)


def is_massive(
    acts: Float[torch.Tensor, "*n d_model"], typical: float, factor: float = MASSIVE
) -> Bool[torch.Tensor, "*n"]:
    """True where a vector is more than `factor` times as long as `typical`, the length of an ordinary one.

    typical: `typical_norm` of the activations the length was measured on. For a threshold that was recorded as a
    length, hand that over with factor=1; infinity calls nothing massive. acts: (..., d_model). Returns (...) bool, on
    the device of acts. Raises as `residual_norms` does, and ValueError for typical or factor that aren't above 0.
    """
    # Not `checked`: hooks call this for every block and token, where a look at every number would cost as much again.
    if not isinstance(acts, torch.Tensor) or not acts.is_floating_point():
        return is_massive(_as_floats(acts), typical, factor)
    if typical != float("inf"):
        typical = number("typical", typical, Range(above=0))
    return _norms(acts) > number("factor", factor, Range(above=0)) * typical


@checked
def massive_tokens(acts: Float[torch.Tensor, "*n d_model"], factor: Positive = MASSIVE) -> Bool[torch.Tensor, "*n"]:
    """`is_massive` for activations in hand: the typical length is their own.

    acts: (..., d_model). Returns (...) bool. Use it on activations you study once, of some dozens of tokens at least;
    where a rule is made here and used elsewhere, keep the length with it (see the top of this module).
    Raises as `residual_norms` does, and ValueError for a factor that isn't above 0.
    """
    norms = _norms(acts)
    return norms > factor * _typical(norms, factor)


def _norms(acts: torch.Tensor) -> torch.Tensor:
    if acts.ndim == 0 or acts.numel() == 0:
        raise ValueError(f"acts must hold at least one vector, got shape {tuple(acts.shape)}")
    norms = acts.float().norm(dim=-1)
    if not torch.isfinite(norms).all():
        raise ValueError("acts holds NaN or infinite values; look for the text that made them first")
    return norms


def _typical(norms: torch.Tensor, factor: float) -> float:
    ordinary = norms[norms <= factor * norms.median()]
    return float((ordinary if len(ordinary) else norms).median())


@checked
def _as_floats(acts: Float[torch.Tensor, "*n d_model"]) -> torch.Tensor:
    return acts
