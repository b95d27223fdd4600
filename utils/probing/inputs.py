"""Checks of what callers give, with errors that name it. Shared by the modules of this package."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float

Acts = Float[torch.Tensor, "*layer n d_model"]
Labels = Bool[torch.Tensor, " n"]
Groups = Sequence[Hashable]


def floating(name: str, value: Any) -> torch.Tensor:
    """The value as a floating tensor to compute with; half types become float32."""
    if isinstance(value, np.ndarray):
        value = torch.from_numpy(value)
    if not isinstance(value, torch.Tensor):
        raise TypeError(f"{name} is a {type(value).__name__}; expected a floating-point tensor")
    if not value.is_floating_point():
        raise TypeError(f"{name} has dtype {value.dtype}; expected a floating-point tensor")
    return value.float() if value.dtype in (torch.float16, torch.bfloat16) else value


def booleans(labels: Any, device: torch.device | None = None) -> Labels:
    """Labels as a boolean tensor (n,)."""
    labels = torch.as_tensor(np.asarray(labels) if not isinstance(labels, torch.Tensor) else labels)
    if labels.ndim != 1:
        raise ValueError(f"labels has shape {tuple(labels.shape)}; expected (n,)")
    if labels.dtype != torch.bool:
        if not bool(((labels == 0) | (labels == 1)).all()):
            raise ValueError("labels holds something other than True and False (or 1 and 0)")
        labels = labels.bool()
    return labels.to(device) if device is not None else labels


def both_classes(labels: torch.Tensor, where: str = "labels") -> None:
    """Raise ValueError unless labels hold True and False."""
    n_true = int(labels.sum())
    if n_true in (0, len(labels)):
        raise ValueError(f"{where} holds {n_true} True and {len(labels) - n_true} False; both classes are needed")


def same_length(name: str, values: Sequence, n: int) -> None:
    """Raise ValueError unless there is one value a label."""
    if len(values) != n:
        raise ValueError(f"{name} has {len(values)} entries; expected {n}, one for each label")


def checked_scores(scores: Any, labels: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Finite scores (*layer, n) and boolean labels (n,) on one device."""
    scores = floating("scores", scores).detach()
    labels = booleans(labels, scores.device)
    if scores.ndim < 1 or scores.shape[-1] != len(labels):
        raise ValueError(f"scores has shape {tuple(scores.shape)} and labels {len(labels)} entries: lengths differ")
    if not bool(torch.isfinite(scores).all()):
        raise ValueError("scores holds NaN or infinity")
    return scores, labels


def checked(acts: Any, labels: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Activations in a type to compute in, and boolean labels on the same device; or a clear error."""
    acts = floating("acts", acts).detach()
    if acts.ndim < 2:
        raise ValueError(f"acts has shape {tuple(acts.shape)}; expected (n, d_model) or (layer, n, d_model)")
    labels = booleans(labels, acts.device)
    if acts.shape[-2] != len(labels):
        raise ValueError(f"acts has {acts.shape[-2]} rows (shape {tuple(acts.shape)}) but labels has {len(labels)}")
    if not bool(torch.isfinite(acts.sum())) and not bool(torch.isfinite(acts).all()):  # the sum is the quick look
        bad = int((~torch.isfinite(acts)).any(-1).sum())
        raise ValueError(f"acts holds NaN or infinity in {bad} row(s); float16 overflows above 65,504")
    both_classes(labels)
    first = acts[..., :1, :]
    if not bool((acts[..., 1:2, :] != first).any(-1).all()):  # the quick look didn't settle it
        varies = (acts != first).flatten(-2).any(-1)
        if not bool(varies.all()):
            where = (
                ""
                if acts.ndim == 2
                else f" in layer(s) {torch.nonzero(~varies.flatten()).flatten().tolist()} of the stack"
            )
            raise ValueError(f"acts is constant{where}: every row is the same, so no direction can separate the labels")
    return acts, labels
