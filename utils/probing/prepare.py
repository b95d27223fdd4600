"""Activations made ready for a probe: pooled over a text's tokens, massive rows shortened."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch.nn import functional as F

from utils.inputs import Positive, checked
from utils.probing.inputs import Acts, computable
from utils.reading.massive import MASSIVE, is_massive, typical_norm


@checked
def pool_mean(
    acts: Float[torch.Tensor, "*layer n pos d_model"], mask: Bool[torch.Tensor, "n pos"]
) -> Float[torch.Tensor, "*layer n d_model"]:
    """Mean activation over each text's own tokens, ready for any `fit_*`. mask: True where a token is real.

    Raises ValueError for a mask of another shape, or one that leaves a text without any token.
    """
    acts, mask = computable(acts), mask.to(acts.device)
    if not bool(mask.any(-1).all()):
        raise ValueError("mask leaves a text without any token")
    real = acts.masked_fill(~mask.unsqueeze(-1), 0)
    return real.sum(-2) / mask.sum(-1, keepdim=True).to(acts)


@checked
def clip_norms(acts: Acts, factor: Positive = MASSIVE) -> Acts:
    """Shorten massive activations: rows longer than `factor` times the layer's typical length get exactly that length.

    A few tokens carry a residual a hundred times longer than the rest (Sun et al. 2024, arXiv 2402.17762); one of them
    in a training set decides where an unscaled probe points. Clip before fitting, or leave such rows out
    (`utils.reading.massive_tokens` finds them), and say which.
    """
    acts = computable(acts)
    if acts.ndim > 2:
        return torch.stack([clip_norms(layer, factor) for layer in acts])
    length = typical_norm(acts, factor)
    too_long = is_massive(acts, length, factor) if length else acts.norm(dim=-1) > 0
    shorter = F.normalize(acts, dim=-1) * factor * length
    return torch.where(too_long.unsqueeze(-1), shorter, acts)
