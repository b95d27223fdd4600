"""How good are scores: accuracy, AUROC, recall at a false-positive rate, calibration, and their intervals."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from jaxtyping import Float

from utils.inputs import Count, Fraction, Groups, Number, Range, Seed, checked, same_length
from utils.probing.inputs import Labels, both_classes, computable
from utils.statistics import (
    Interval,
    Resamples,
    auroc_difference,
    auroc_interval,
    bootstrap_paired,
    mean_share,
    resampled,
)

Scores = Float[torch.Tensor, "*layer n"]
Rate = Annotated[float, Range(low=0, below=1)]
Metric = Callable[[torch.Tensor, torch.Tensor], Any]


@checked
def accuracy(scores: Scores, labels: Labels, threshold: Number = 0.0) -> Float[torch.Tensor, "*layer"]:
    """Share of rows on the right side of the threshold. scores: (*layer, n). Returns one number a layer."""
    scores, labels = _together(scores, labels)
    return ((scores > threshold) == labels).double().mean(-1)


@checked
def auroc(scores: Scores, labels: Labels) -> Float[torch.Tensor, "*layer"]:
    """Chance that a random True row scores above a random False one, ties counting half. scores: (*layer, n).

    Raises ValueError for one class only.
    """
    scores, labels = _together(scores, labels)
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


@checked
def threshold_at_fpr(negatives: Float[torch.Tensor, " n"], fpr: Rate) -> float:
    """The lowest of the negatives' own scores that at most a share `fpr` of them lie strictly above.

    An interpolated quantile would let one too many through now and then. negatives: (n,), at least one; fpr: 0 up to 1.
    Raises ValueError for none, and for a rate outside.
    """
    if not len(negatives):
        raise ValueError("negatives is empty; a threshold needs at least one")
    return float(negatives.sort(descending=True).values[int(fpr * len(negatives) + 1e-9)])


@checked
def recall_at_fpr(scores: Float[torch.Tensor, " n"], labels: Labels, fpr: Rate = 0.01) -> Recall:
    """Recall at a fixed false-positive rate: how a probe used as an alarm would do. scores: (n,).

    The threshold is the lowest with which no more than `fpr` of the False rows score strictly above it. Below
    1 / fpr False rows, that means none at all: say so when you report it (`n_false` is in the result).
    Raises ValueError for one class only.
    """
    scores, labels = _together(scores, labels)
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


@checked
def calibration(probabilities: Float[torch.Tensor, " n"], labels: Labels, bins: Count = 10) -> Calibration:
    """Expected calibration error and Brier score of probabilities of True, (n,).

    Source: Guo et al. 2017, arXiv 1706.04599 (ECE, equal-width bins); Brier 1950. Raises ValueError for numbers
    outside 0 to 1.
    """
    said, labels = _together(probabilities, labels)
    if bool((said < 0).any() | (said > 1).any()):
        raise ValueError(
            f"probabilities must be numbers from 0 to 1, got {float(said.min()):g} to {float(said.max()):g}"
        )
    said_np, true = said.cpu().double().numpy(), labels.cpu().numpy().astype(float)
    which = np.minimum((said_np * bins).astype(int), bins - 1)
    filled = np.unique(which)
    count = np.array([(which == b).sum() for b in filled])
    mean_said = np.array([said_np[which == b].mean() for b in filled])
    happened = np.array([true[which == b].mean() for b in filled])
    ece = float((count / count.sum() * np.abs(mean_said - happened)).sum())
    return Calibration(ece, float(((said_np - true) ** 2).mean()), mean_said, happened, count)


@checked
def metrics(
    scores: Float[torch.Tensor, " n"],
    labels: Labels,
    groups: Groups | None = None,
    *,
    fpr: Rate = 0.01,
    n_resamples: Resamples = 1000,
    seed: Seed = 0,
) -> dict[str, Interval]:
    """Accuracy, AUROC and recall at a fixed false-positive rate, each with an interval over groups.

    scores: (n,) held-out scores. groups: n names; without them every row is its own group.
    """

    def of(metric: Metric) -> Interval:
        found = interval(metric, scores, labels, groups, n_resamples=n_resamples, seed=seed)
        assert isinstance(found, Interval)  # one row of scores
        return found

    return {
        "accuracy": of(accuracy),
        "auroc": of(auroc),
        "recall": of(lambda s, y: recall_at_fpr(s, y, fpr).recall),
    }


@checked
def interval(
    metric: Metric,
    scores: Scores,
    labels: Labels,
    groups: Groups | None = None,
    *,
    n_resamples: Resamples = 1000,
    confidence: Fraction = 0.95,
    seed: Seed = 0,
) -> Interval | list[Interval]:
    """Interval of `metric(scores, labels)`; whole groups are the units.

    scores: (n,), or (layer, n) for a list of intervals, one a layer. `accuracy` and `auroc` have formulas
    (`statistics.mean_share`, `statistics.auroc_interval`); any other metric is resampled (`statistics.resampled`),
    leaving out resamples that hold one class only. Raises ValueError for one class, fewer than two groups, or a metric
    that isn't a finite number.
    """
    scores, labels = _together(scores, labels)
    both_classes(labels)
    truth = labels.cpu().numpy()
    found: list[Interval]
    if metric is accuracy:
        right = ((scores > 0) == labels).cpu().numpy().astype(float)
        found = [mean_share(row, groups, confidence) for row in np.atleast_2d(right)]
    elif metric is auroc:
        rows = np.atleast_2d(scores.cpu().double().numpy())
        found = [auroc_interval(row, truth, groups, confidence) for row in rows]
    else:
        found = _resampled(metric, scores, labels, groups, n_resamples, confidence, seed)
    return found[0] if scores.ndim == 1 else found


@checked
def compare(
    first: Float[torch.Tensor, " n"],
    second: Float[torch.Tensor, " n"],
    labels: Labels,
    groups: Groups | None = None,
    *,
    metric: Metric = accuracy,
    n_resamples: Resamples = 1000,
    seed: Seed = 0,
) -> Interval:
    """How much better the first probe is than the second on the same rows: the paired difference of a metric.

    first, second: (n,) held-out scores of the two. Both are scored on the same rows, so what is hard for both cancels.
    An interval that excludes 0 is evidence of a difference. Raises as `interval` does.
    """
    both = torch.stack([first.detach().double(), second.detach().to(first.device).double()])
    both, labels = _together(both, labels)
    both_classes(labels)
    if metric is auroc:
        one, other = both.cpu().numpy()
        return auroc_difference(one, other, labels.cpu().numpy(), groups)
    if metric is accuracy:
        one, other = ((both > 0) == labels).cpu().numpy().astype(float)
        return bootstrap_paired(one, other, groups=groups)

    def difference(pair: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(metric(pair[0], y)) - torch.as_tensor(metric(pair[1], y))

    return _resampled(difference, both, labels, groups, n_resamples, 0.95, seed)[0]


def _together(scores: Scores, labels: Labels) -> tuple[Scores, Labels]:
    """Scores in a type to compute in, and the labels beside them."""
    return computable(scores), labels.to(scores.device)


def _resampled(
    metric: Metric,
    scores: Scores,
    labels: Labels,
    groups: Sequence[Hashable] | None,
    n_resamples: int,
    confidence: float,
    seed: int,
) -> list[Interval]:
    """Intervals of the metric, one an entry of it, by resampling rows or groups of them."""
    if groups is not None:
        same_length(labels=labels, groups=groups)

    def of_rows(index: np.ndarray) -> np.ndarray | float:
        picked = torch.from_numpy(index).to(scores.device)
        some = labels[picked]
        if bool(some.all()) or not bool(some.any()):
            return float("nan")  # left out
        found = torch.as_tensor(metric(scores[..., picked], some), dtype=torch.float64).cpu()
        if not bool(torch.isfinite(found).all()):
            raise ArithmeticError("metric must give a finite number on every resample, got NaN or infinity")
        return found.numpy()

    try:
        return resampled(of_rows, len(labels), groups, n_resamples, confidence, seed)
    except ArithmeticError as error:
        raise ValueError(str(error)) from None
