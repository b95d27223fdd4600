"""Numbers with their uncertainty: bootstrap intervals, paired comparisons, rank-based scores.

Every claim in the course carries an interval. The bootstrap here resamples whole groups (a city, a prompt, a seed)
when groups are given, because two statements about one city are not two independent observations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval and the number of independent units (groups, where groups were given)."""

    estimate: float
    low: float
    high: float
    n: int
    confidence: float = 0.95

    def __str__(self) -> str:
        return format(self, ".2f")

    def __format__(self, spec: str) -> str:
        """`f"{interval:.1f}"` formats all three numbers alike: "0.8 [0.7, 0.9], n = 14"."""
        spec = spec or ".2f"
        return f"{self.estimate:{spec}} [{self.low:{spec}}, {self.high:{spec}}], n = {self.n}"

    def excludes(self, value: float) -> bool:
        """True when the value lies outside the interval."""
        return not self.low <= value <= self.high


def bootstrap(
    values: Float[np.ndarray, "n *rest"] | Sequence[float],
    statistic: Callable[[np.ndarray], float] = np.mean,
    groups: Sequence[Any] | None = None,
    n_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap interval of a statistic of the rows of `values`.

    values: (n, ...) finite numbers; the statistic is computed on resampled rows. groups: n labels; whole groups are
    resampled together. Raises ValueError for fewer than two units, non-finite numbers or lengths that differ.
    Source: Efron & Tibshirani 1993, An Introduction to the Bootstrap, ch. 13 (percentile intervals) and ch. 8.
    """
    values = _finite("values", values)
    _check_fraction("confidence", confidence)
    rows = _rows_of_groups(len(values), groups)
    if len(rows) < 2:
        raise ValueError(f"values must hold at least two independent units for an interval, got {len(rows)}")
    rng = np.random.default_rng(seed)
    draws = np.empty(n_resamples)
    for i in range(n_resamples):
        picked = rng.integers(len(rows), size=len(rows))
        index = picked if groups is None else np.concatenate([rows[j] for j in picked])
        draws[i] = statistic(values[index])
    tail = 100 * (1 - confidence) / 2
    low, high = np.nanpercentile(draws, [tail, 100 - tail])
    return Interval(float(statistic(values)), float(low), float(high), len(rows), confidence)


def bootstrap_paired(
    first: Sequence[float] | np.ndarray,
    second: Sequence[float] | np.ndarray,
    statistic: Callable[[np.ndarray], float] = np.mean,
    groups: Sequence[Any] | None = None,
    n_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Interval of a statistic of the paired difference `first - second`, the pairs being resampled together.

    first, second: (n,) numbers measured on the same units, in the same order. Raises ValueError if lengths differ.
    """
    first, second = _finite("first", first), _finite("second", second)
    if first.shape != second.shape:
        raise ValueError(f"first and second must be paired, got shapes {first.shape} and {second.shape}")
    return bootstrap(first - second, statistic, groups, n_resamples, confidence, seed)


def over_seeds(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """The mean over a few runs with Student's t interval: how sure the mean is, given how much the runs differ.

    With three or five seeds a bootstrap is too narrow, because it can't go beyond what it has seen. This one is wide,
    as it should be, and supposes that runs scatter roughly like a bell.
    values: (n,) finite numbers, one a run. Raises ValueError for fewer than two, or numbers that aren't finite.
    """
    from scipy.stats import t

    numbers = _finite("values", values)
    _check_fraction("confidence", confidence)
    if numbers.ndim != 1 or len(numbers) < 2:
        raise ValueError(f"values must hold at least two runs, one number each, got shape {numbers.shape}")
    mean = float(numbers.mean())
    half = float(t.ppf((1 + confidence) / 2, len(numbers) - 1) * numbers.std(ddof=1) / np.sqrt(len(numbers)))
    return Interval(mean, mean - half, mean + half, len(numbers), confidence)


def bootstrap_runs(
    values: Float[np.ndarray, "n_runs n_items"] | Sequence[Sequence[float]],
    groups: Sequence[Any] | None = None,
    n_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Interval of the grand mean of a table, when runs (training seeds) and items both are samples of many.

    Each resample draws runs and, independently, items (or whole groups of them), both with replacement. With three
    runs the run level is known badly, and the interval is too narrow by nature: read `over_seeds` beside it.
    values: (n_runs, n_items) finite numbers. groups: n_items labels. n of the result counts items (or groups).
    Raises ValueError for fewer than two runs or two items. Source: Owen 2007, "The pigeonhole bootstrap",
    arXiv 0712.1111.
    """
    table = _finite("values", values)
    _check_fraction("confidence", confidence)
    if table.ndim != 2 or table.shape[0] < 2:
        raise ValueError(f"values must have shape (n_runs, n_items) with at least two runs, got {table.shape}")
    rows = _rows_of_groups(table.shape[1], groups)
    if len(rows) < 2:
        raise ValueError(f"values must hold at least two independent items, got {len(rows)}")
    sizes = np.array([len(r) for r in rows]) if groups is not None else np.ones(table.shape[1])
    sums = np.stack([table[:, r].sum(1) for r in rows], 1) if groups is not None else table
    rng = np.random.default_rng(seed)
    draws = np.empty(n_resamples)
    for i in range(n_resamples):
        runs, items = rng.integers(len(table), size=len(table)), rng.integers(len(sizes), size=len(sizes))
        draws[i] = sums[np.ix_(runs, items)].sum() / (len(table) * sizes[items].sum())
    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile(draws, [tail, 100 - tail])
    return Interval(float(table.mean()), float(low), float(high), len(sizes), confidence)


def proportion(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Wilson score interval of a proportion: honest at 0 of 20 and 20 of 20, where the bootstrap says nothing.

    Raises ValueError unless 0 <= successes <= n and n >= 1. Source: Wilson 1927, JASA 22(158).
    """
    if not (0 <= successes <= n and n >= 1):
        raise ValueError(f"need 0 <= successes <= n and n >= 1, got successes={successes}, n={n}")
    _check_fraction("confidence", confidence)
    z = _normal_quantile(1 - (1 - confidence) / 2)
    share = successes / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    low, high = max(0.0, float(centre - half)), min(1.0, float(centre + half))
    return Interval(share, low, high, n, confidence)


def correlation(
    x: Sequence[float] | np.ndarray,
    y: Sequence[float] | np.ndarray,
    groups: Sequence[Any] | None = None,
    n_resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Pearson correlation of x and y, both (n,), with a bootstrap interval over rows (or over groups).

    Raises ValueError if lengths differ or either side is constant.
    """
    x, y = _finite("x", x), _finite("y", y)
    if x.shape != y.shape or x.ndim != 1:
        raise ValueError(f"x and y must be 1-d and of one length, got shapes {x.shape} and {y.shape}")
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        raise ValueError("x and y must vary: a constant has no correlation")

    def pearson(pairs: np.ndarray) -> float:
        spread = pairs.std(0)
        if not spread.all():
            return float("nan")
        centred = pairs - pairs.mean(0)
        return float((centred[:, 0] * centred[:, 1]).mean() / spread.prod())

    return bootstrap(np.stack([x, y], axis=1), pearson, groups, n_resamples, seed=seed)


def auroc(scores: Float[np.ndarray, " n"] | Sequence[float], labels: Bool[np.ndarray, " n"] | Sequence[bool]) -> float:
    """Chance that a random positive scores above a random negative (ties count half): the area under the ROC curve.

    scores: (n,) finite numbers. labels: (n,) booleans. Raises ValueError for one class only or lengths that differ.
    Source: Mann & Whitney 1947; Hanley & McNeil 1982.
    """
    scores, labels = _finite("scores", scores), np.asarray(labels, dtype=bool)
    if scores.shape != labels.shape or scores.ndim != 1:
        raise ValueError(f"scores and labels must be 1-d and of one length, got {scores.shape} and {labels.shape}")
    n_pos, n_neg = int(labels.sum()), int((~labels).sum())
    if not (n_pos and n_neg):
        raise ValueError(f"labels must hold both classes, got {n_pos} positive and {n_neg} negative")
    _, rank, counts = np.unique(scores, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(counts) - (counts - 1) / 2  # ranks from 1; tied scores share their mean rank
    return float((mean_rank[rank][labels].sum() - n_pos * (n_pos + 1) / 2) / (n_pos * n_neg))


def shuffled_null(
    statistic: Callable[[np.ndarray], float],
    labels: Sequence[Any] | np.ndarray,
    n_shuffles: int = 200,
    seed: int = 0,
) -> Float[np.ndarray, " n_shuffles"]:
    """The statistic under shuffled labels: what chance alone gives. statistic takes an (n,) array of labels."""
    labels, rng = np.asarray(labels), np.random.default_rng(seed)
    if len(labels) < 2:
        raise ValueError(f"labels must hold at least two entries, got {len(labels)}")
    return np.array([statistic(rng.permutation(labels)) for _ in range(n_shuffles)])


def coarse(value: float, step: float) -> str:
    """A number rounded to a step, for text that must read the same on every machine: coarse(0.837, 0.05) is "0.85".

    >>> coarse(0.837, 0.05), coarse(1234, 100), coarse(-0.01, 0.5)
    ('0.85', '1200', '0.0')
    """
    if not (step > 0 and np.isfinite(step)):
        raise ValueError(f"step must be a positive number, got {step}")
    digits = max(0, -int(np.floor(np.log10(step) + 1e-9)))
    if step < 1 and round(step, digits) != step:
        digits += 1
    rounded = round(value / step) * step + 0.0
    return f"{rounded:.{digits}f}" if rounded else f"{0:.{digits}f}"


def _finite(name: str, values: Any) -> np.ndarray:
    if hasattr(values, "detach"):
        values = values.detach().cpu().double().numpy()
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be numbers, got {type(values).__name__}") from None
    if array.ndim == 0 or array.size == 0:
        raise ValueError(f"{name} must hold at least one row, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got {int((~np.isfinite(array)).sum())} NaN or infinite entries")
    return array


def _rows_of_groups(n: int, groups: Sequence[Any] | None) -> list[np.ndarray] | range:
    if groups is None:
        return range(n)
    if len(groups) != n:
        raise ValueError(f"groups must name a group for each of the {n} rows, got {len(groups)}")
    _, index = np.unique(np.asarray(groups), return_inverse=True)
    order = np.argsort(index, kind="stable")
    return np.split(order, np.cumsum(np.bincount(index))[:-1])


def _check_fraction(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise ValueError(f"{name} must lie between 0 and 1, got {value}")


def _normal_quantile(p: float) -> float:
    from statistics import NormalDist

    return NormalDist().inv_cdf(p)
