"""How good are scores: accuracy, AUROC, recall at a false-positive rate, calibration, and their intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from utils.probing.inputs import Groups, both_classes, checked_scores
from utils.statistics import Interval, auroc_difference, auroc_interval, bootstrap_paired, mean_share, resampled


def accuracy(scores: torch.Tensor, labels: Any, threshold: float = 0.0) -> Float[torch.Tensor, "*layer"]:
    """Share of rows on the right side of the threshold. scores: (*layer, n). Returns one number a layer."""
    scores, labels = checked_scores(scores, labels)
    return ((scores > threshold) == labels).double().mean(-1)


def auroc(scores: torch.Tensor, labels: Any) -> Float[torch.Tensor, "*layer"]:
    """Chance that a random True row scores above a random False one, ties counting half. scores: (*layer, n)."""
    scores, labels = checked_scores(scores, labels)
    both_classes(labels)
    ordered = scores.sort(-1).values.contiguous()
    below = torch.searchsorted(ordered, scores.contiguous(), right=False)
    upto = torch.searchsorted(ordered, scores.contiguous(), right=True)
    rank = (below + upto + 1).double() / 2  # mean rank among ties, counted from 1
    n_true = int(labels.sum())
    n_false = len(labels) - n_true
    return (rank[..., labels].sum(-1) - n_true * (n_true + 1) / 2) / (n_true * n_false)


@dataclass(frozen=True)
class Recall:
    """Share of True rows caught when at most `fpr` of the False rows may be flagged, and the threshold that does it."""

    recall: float
    threshold: float
    fpr: float
    n_false: int


def threshold_at_fpr(negatives: Float[torch.Tensor, " n"], fpr: float) -> float:
    """The lowest of the negatives' own scores that at most a share `fpr` of them lie strictly above.

    An interpolated quantile would let one too many through now and then. negatives: (n,), at least one; fpr: 0 up to 1.
    """
    return float(negatives.sort(descending=True).values[int(fpr * len(negatives) + 1e-9)])


def recall_at_fpr(scores: torch.Tensor, labels: Any, fpr: float = 0.01) -> Recall:
    """Recall at a fixed false-positive rate: how a probe used as an alarm would do. scores: (n,).

    The threshold is the lowest with which no more than `fpr` of the False rows score strictly above it. Below
    1 / fpr False rows, that means none at all: say so when you report it (`n_false` is in the result).
    """
    scores, labels = checked_scores(scores, labels)
    if scores.ndim != 1:
        raise ValueError(f"scores has shape {tuple(scores.shape)}; expected one row of scores, (n,)")
    if not 0 <= fpr < 1:
        raise ValueError(f"fpr is {fpr}; expected a number from 0 up to 1")
    both_classes(labels)
    false = scores[~labels]
    threshold = threshold_at_fpr(false, fpr)
    caught = (scores[labels] > threshold).double().mean()
    flagged = (scores[~labels] > threshold).double().mean()
    return Recall(float(caught), threshold, float(flagged), len(false))


@dataclass(frozen=True)
class Calibration:
    """How far said probabilities lie from what happens. Bins that hold no row are left out."""

    ece: float
    brier: float
    said: np.ndarray
    happened: np.ndarray
    count: np.ndarray


def calibration(probabilities: torch.Tensor, labels: Any, bins: int = 10) -> Calibration:
    """Expected calibration error and Brier score of probabilities of True, (n,).

    Source: Guo et al. 2017, arXiv 1706.04599 (ECE, equal-width bins); Brier 1950.
    """
    said, labels = checked_scores(probabilities, labels)
    if said.ndim != 1 or bool((said < 0).any() | (said > 1).any()):
        raise ValueError("probabilities must be one row of numbers from 0 to 1, shape (n,)")
    if not isinstance(bins, int) or bins < 1:
        raise ValueError(f"bins is {bins!r}; expected a whole number above 0")
    said_np, true = said.cpu().double().numpy(), labels.cpu().numpy().astype(float)
    which = np.minimum((said_np * bins).astype(int), bins - 1)
    filled = np.unique(which)
    count = np.array([(which == b).sum() for b in filled])
    mean_said = np.array([said_np[which == b].mean() for b in filled])
    happened = np.array([true[which == b].mean() for b in filled])
    ece = float((count / count.sum() * np.abs(mean_said - happened)).sum())
    return Calibration(ece, float(((said_np - true) ** 2).mean()), mean_said, happened, count)


def metrics(
    scores: torch.Tensor,
    labels: Any,
    groups: Groups | None = None,
    *,
    fpr: float = 0.01,
    n_resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Interval]:
    """Accuracy, AUROC and recall at a fixed false-positive rate, each with an interval that resamples groups.

    scores: (n,) held-out scores. groups: n names; without them every row is its own group.
    """
    return {
        "accuracy": interval(accuracy, scores, labels, groups, n_resamples=n_resamples, seed=seed),
        "auroc": interval(auroc, scores, labels, groups, n_resamples=n_resamples, seed=seed),
        "recall": interval(
            lambda s, y: recall_at_fpr(s, y, fpr).recall, scores, labels, groups, n_resamples=n_resamples, seed=seed
        ),
    }


def interval(
    metric: Callable[[torch.Tensor, torch.Tensor], Any],
    scores: torch.Tensor,
    labels: Any,
    groups: Groups | None = None,
    *,
    n_resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval | list[Interval]:
    """Interval of `metric(scores, labels)`; whole groups are the units.

    scores: (n,), or (layer, n) for a list of intervals, one a layer. `accuracy` and `auroc` have formulas
    (`statistics.mean_share`, `statistics.auroc_interval`); any other metric is resampled (`statistics.resampled`),
    leaving out resamples that hold one class only. Raises ValueError for one class or fewer than two groups.
    """
    scores, labels = checked_scores(scores, labels)
    both_classes(labels)
    if metric is accuracy:
        right = ((scores > 0) == labels).cpu().numpy().astype(float)
        found = [mean_share(row, groups, confidence) for row in np.atleast_2d(right)]
    elif metric is auroc:
        found = [auroc_interval(row, labels, groups, confidence) for row in np.atleast_2d(scores.cpu().double())]
    else:
        found = resampled(
            lambda index: _of_rows(metric, scores, labels, index), len(labels), groups, n_resamples, confidence, seed
        )
    return found[0] if scores.ndim == 1 else found


def _of_rows(metric: Callable, scores: torch.Tensor, labels: torch.Tensor, index: np.ndarray) -> np.ndarray | float:
    """The metric of some rows; NaN where they hold one class only."""
    picked = torch.from_numpy(index).to(scores.device)
    some = labels[picked]
    if bool(some.all()) or not bool(some.any()):
        return float("nan")
    return torch.as_tensor(metric(scores[..., picked], some), dtype=torch.float64).cpu().numpy()


def compare(
    first: torch.Tensor,
    second: torch.Tensor,
    labels: Any,
    groups: Groups | None = None,
    *,
    metric: Callable[[torch.Tensor, torch.Tensor], Any] = accuracy,
    n_resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """How much better the first probe is than the second on the same rows: the paired difference of a metric.

    first, second: (n,) held-out scores of the two. Both are scored on the same rows, so what is hard for both cancels.
    An interval that excludes 0 is evidence of a difference.
    """
    first, labels = checked_scores(first, labels)
    second, _ = checked_scores(second, labels)
    if first.shape != second.shape:
        raise ValueError(
            f"first and second have shapes {tuple(first.shape)} and {tuple(second.shape)}; expected the same"
        )

    if metric is auroc:
        return auroc_difference(first, second, labels, groups)
    if metric is accuracy:
        right = (((side > 0) == labels).cpu().numpy().astype(float) for side in (first, second))
        return bootstrap_paired(*right, groups=groups)

    def difference(both: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(metric(both[0], y)) - torch.as_tensor(metric(both[1], y))

    return resampled(
        lambda index: _of_rows(difference, torch.stack([first.double(), second.double()]), labels, index),
        len(labels),
        groups,
        n_resamples,
        0.95,
        seed,
    )[0]
