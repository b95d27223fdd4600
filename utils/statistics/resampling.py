"""One number out of many measurements, with its interval: a mean, a share, or any statistic you can compute."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Annotated

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr, ndtri

from utils.inputs import Fraction, Groups, Numbers, Range, Row, Seed, checked
from utils.statistics.intervals import (
    Interval,
    correlation_of,
    difference_bounds,
    mean_bounds,
    mean_over_units,
    share_bounds,
    student_quantile,
    unit_index,
)

Resamples = Annotated[int, Range(low=40, high=100_000)]  # fewer than 40 have no 2.5 % at their ends


@checked
def bootstrap(
    values: Numbers,
    statistic: Callable[[np.ndarray], float] = np.mean,
    groups: Groups | None = None,
    n_resamples: Resamples = 2000,
    confidence: Fraction = 0.95,
    seed: Seed = 0,
) -> Interval:
    """Interval of a statistic of the rows of `values`.

    values: (n, ...) finite numbers, n rows. groups: n names; whole groups are the units then. Three ways:

    - the mean (as `np.mean`) of 0 and 1 only: a score interval, as in `proportion`. Where 0 and 1 are differences of
      two yes-or-no answers use `bootstrap_paired`, which knows that they could have been -1;
    - any other mean: Student's t and its correction for skewness, whichever is wider (no resampling);
    - any other statistic: resampled rows (or groups), BCa, with widened ends. Supposed: the statistic changes smoothly
      with the data (medians and quantiles are fine). Known to fall short of 93 % at ten units: standard deviations
      (88 %), the largest or smallest value, and whatever lies near a bound; for AUROC use `auroc_interval`.

    n_resamples, seed: of the resamples, where there are any. A resample for which the statistic is undefined (NaN or
    ValueError) is left out; more than half raise. Raises ValueError for fewer than two units.
    Sources: `mean_bounds`, `share_bounds`, `resampled`.
    """
    if statistic is not np.mean:
        _number(statistic(values))
        found = resampled(lambda picked: statistic(values[picked]), len(values), groups, n_resamples, confidence, seed)
        return found[0]
    index, units = unit_index(len(values), groups)
    by_row = values.reshape(len(values), -1).mean(1)
    of = mean_over_units(by_row, index, units)
    counts = bool(((values == 0) | (values == 1)).all()) and values.size == len(values)
    low, high = share_bounds(of, confidence, counts=True) if counts else mean_bounds(of, confidence)
    return Interval(of.mean, low, high, units, confidence)


@checked
def bootstrap_paired(
    first: Numbers,
    second: Numbers,
    statistic: Callable[[np.ndarray], float] = np.mean,
    groups: Groups | None = None,
    n_resamples: Resamples = 2000,
    confidence: Fraction = 0.95,
    seed: Seed = 0,
) -> Interval:
    """Interval of a statistic of the paired difference `first - second`, pairs (or groups of them) being the units.

    first, second: (n,) numbers measured on the same units, in the same order. The mean difference of two lists of 0
    and 1 is taken as a difference of paired shares (`mean_share` with `signed`). Raises ValueError if lengths differ.
    """
    if first.shape != second.shape:
        raise ValueError(f"first and second must be paired, got shapes {first.shape} and {second.shape}")
    if statistic is not np.mean:
        return bootstrap(first - second, statistic, groups, n_resamples, confidence, seed)
    if first.ndim == 1 and all(bool(((side == 0) | (side == 1)).all()) for side in (first, second)):
        return mean_share(first - second, groups, confidence, signed=True)
    index, units = unit_index(len(first), groups, "first")
    of = mean_over_units((first - second).reshape(len(first), -1).mean(1), index, units)
    return Interval(of.mean, *mean_bounds(of, confidence), units, confidence)


@checked
def mean_share(
    shares: Row,
    groups: Groups | None = None,
    confidence: Fraction = 0.95,
    *,
    signed: bool = False,
) -> Interval:
    """Mean of shares, one a row, with an interval that knows that a share can't leave 0 and 1.

    shares: (n,) numbers from 0 to 1: what part of a task's answers changed, say. signed: they are differences of two
    shares, from -1 to 1; say so even if none is negative, or the interval can't reach below 0. groups: n names.
    Where all are 0 (or all 1) the interval isn't a point: it tells which shares could have hidden from n units.
    Raises ValueError for numbers outside the range or fewer than two units. Sources: `share_bounds`,
    `difference_bounds`, `mean_bounds`.
    """
    lowest = -1 if signed else 0
    if bool(((shares < lowest) | (shares > 1)).any()):
        raise ValueError(f"shares must lie between {lowest} and 1, got {shares.min():g} to {shares.max():g}")
    index, units = unit_index(len(shares), groups, "shares")
    counts = bool(np.isin(shares, (-1, 0, 1)).all())
    of = mean_over_units(shares, index, units)
    if signed:
        gains, losses = (mean_over_units(np.maximum(side, 0), index, units) for side in (shares, -shares))
        ends = [(part.mean, *share_bounds(part, confidence, counts=counts)) for part in (gains, losses)]
        low, high = difference_bounds(ends[0], ends[1], correlation_of(gains.influence, losses.influence))
    else:
        low, high = share_bounds(of, confidence, counts=counts)
    if not counts:  # parts of shares can be skewed: few tasks that moved much among many that didn't
        skewed = mean_bounds(of, confidence)
        low, high = max(lowest, min(low, skewed[0])), min(1.0, max(high, skewed[1]))
    return Interval(of.mean, low, high, units, confidence)


def resampled(
    evaluate: Callable[[np.ndarray], float | np.ndarray],
    n: int,
    groups: Sequence[Hashable] | None,
    n_resamples: int,
    confidence: float,
    seed: int,
) -> list[Interval]:
    """Intervals of any statistic of n rows, one an entry of it: the accelerated bootstrap (BCa), for few units.

    evaluate: takes row numbers (repeats allowed) and returns the statistic of those rows, a number or (m,) of them;
    NaN or a ValueError where it is undefined. groups: n names, whose rows stay together.

    BCa moves the two percentiles for bias and skewness. With few units all of them are too close in, since a resample
    is drawn from n units but scatters like n-1; the ends are taken where t with n-1 degrees of freedom and n/(n-1)
    would put them, and the wider of corrected and uncorrected ends is kept.
    Sources: Efron 1987, JASA 82(397) (BCa); Hesterberg 2015, American Statistician 69(4), section 5 (expanded ends).
    """
    index, units = unit_index(n, groups)
    rows = np.split(np.argsort(index, kind="stable"), np.cumsum(np.bincount(index, minlength=units))[:-1])
    rng = np.random.default_rng(seed)
    estimate = np.atleast_1d(np.asarray(evaluate(np.arange(n)), dtype=float))

    def each(picks: Iterable[np.ndarray]) -> Float[np.ndarray, "defined m"]:
        of_rows = picks if groups is None else (np.concatenate([rows[i] for i in picked]) for picked in picks)
        found = [_defined(evaluate, picked) for picked in of_rows]
        return np.array([one for one in found if one is not None]).reshape(-1, len(estimate))

    draws = each(rng.integers(units, size=units) for _ in range(n_resamples))
    if len(draws) < n_resamples / 2:
        raise ValueError(
            f"statistic is undefined on {n_resamples - len(draws)} of {n_resamples} resamples of {units} units: too few"
        )
    without = each(np.delete(np.arange(units), i) for i in range(units))
    below = ((draws < estimate).mean(0) + (draws <= estimate).mean(0)) / 2
    bias = ndtri(np.clip(below, 1 / len(draws), 1 - 1 / len(draws)))
    acceleration = _acceleration(without) if len(without) == units else np.zeros_like(estimate)
    reach = student_quantile(confidence, units - 1) * np.sqrt(units / (units - 1))
    ends = {}
    for side, wider in ((-1, np.minimum), (1, np.maximum)):
        moved = bias + side * reach
        corrected = ndtr(bias + moved / np.maximum(1 - acceleration * moved, 1e-3))
        plain = np.quantile(draws, ndtr(side * reach), axis=0)
        ends[side] = wider(plain, [np.quantile(column, share) for column, share in zip(draws.T, corrected)])
    columns = zip(estimate.tolist(), ends[-1].tolist(), ends[1].tolist())
    return [Interval(one, low, high, units, confidence) for one, low, high in columns]


# ---------------------------------------------------------------------------------------------------------- helpers


def _acceleration(without: Float[np.ndarray, "units m"]) -> Float[np.ndarray, "m"]:
    """How fast the error changes with the statistic: a sixth of the skewness of what each unit does to it."""
    pulls = without.mean(0) - without
    square = (pulls**2).sum(0)
    return np.divide((pulls**3).sum(0), 6 * square**1.5, out=np.zeros_like(square), where=square > 0)


def _defined(evaluate: Callable, picked: np.ndarray) -> np.ndarray | None:
    try:
        found = np.atleast_1d(np.asarray(evaluate(picked), dtype=float))
    except (ValueError, ZeroDivisionError):  # it worked on all rows: these hold too little of something
        return None
    return found if np.isfinite(found).all() else None


def _number(found: object) -> float:
    try:
        number = float(np.asarray(found, dtype=float))
    except (TypeError, ValueError):
        raise TypeError(f"statistic must return one number, got {type(found).__name__}") from None
    if not np.isfinite(number):
        raise ValueError(f"statistic must be a finite number on all rows, got {number}")
    return number
