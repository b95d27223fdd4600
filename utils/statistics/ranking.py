"""Scores that only look at order or at straight lines: AUROC and correlation, with their intervals."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from utils.inputs import Fraction, Groups, Labels, Row, checked
from utils.statistics.intervals import (
    Interval,
    correlation_of,
    difference_bounds,
    student_quantile,
    unit_index,
)


@checked
def auroc(scores: Row, labels: Labels) -> float:
    """Chance that a random positive scores above a random negative (ties count half): the area under the ROC curve.

    scores: (n,) finite numbers. labels: (n,) True and False, or 1 and 0. Raises ValueError for one class only or
    lengths that differ. Source: Mann & Whitney 1947; Hanley & McNeil 1982, Radiology 143(1).
    """
    return _Ranked.of(scores, labels, None).area


@checked
def auroc_interval(scores: Row, labels: Labels, groups: Groups | None = None, confidence: Fraction = 0.95) -> Interval:
    """AUROC with an interval that stays honest near 1, with few rows, and with rows that belong together.

    It holds all the areas under which the observed one would be no surprise: the variance is computed at each of
    them, so a perfect order of 30 rows gives [.86, 1], not [1, 1]. Where the rows' own scatter (DeLong; by groups:
    Obuchowski) is larger than that formula's, the interval is widened by as much, and t replaces the normal. Where it
    is smaller it isn't believed: near 1 a hundred rows can agree by luck (then 82 to 90 % of intervals would hold).
    scores, labels, groups: (n,). n of the result counts rows, or groups. Raises ValueError for one class only.
    Sources: Newcombe 2006, Statistics in Medicine 25(4), method 5; DeLong et al. 1988, Biometrics 44(3); Obuchowski
    1997, Biometrics 53(2).
    """
    ranked = _Ranked.of(scores, labels, groups)
    return Interval(ranked.area, *ranked.bounds(confidence), ranked.units, confidence)


@checked
def auroc_difference(
    first: Row,
    second: Row,
    labels: Labels,
    groups: Groups | None = None,
    confidence: Fraction = 0.95,
) -> Interval:
    """How much higher the AUROC of `first` is than that of `second`, two scores of the same rows.

    Put together from their two intervals and their correlation over rows or groups. Sources: as `auroc_interval`, and
    `difference_bounds`.
    """
    one, other = _Ranked.of(first, labels, groups), _Ranked.of(second, labels, groups)
    low, high = difference_bounds(
        (one.area, *one.bounds(confidence)),
        (other.area, *other.bounds(confidence)),
        correlation_of(one.influence, other.influence),
    )
    return Interval(one.area - other.area, low, high, one.units, confidence)


@checked
def correlation(x: Row, y: Row, groups: Groups | None = None, confidence: Fraction = 0.95) -> Interval:
    """Pearson correlation of x and y, both (n,), with an interval over rows (or over groups).

    On Fisher's scale, with an error from leaving out one unit at a time (so neither bells nor independent rows within
    a group are supposed) and Student's t. Where the correlation hangs on one unit alone nothing is known: [-1, 1].
    Raises ValueError if lengths differ, either side is constant, or there are fewer than three units.
    Sources: Fisher 1921, Metron 1; Duncan & Layard 1973, Biometrika 60(3) (jackknife of Fisher's z).
    """
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        raise ValueError("x and y must vary: a constant has no correlation")
    index, units = unit_index(len(x), groups, "x")
    if units < 3:
        raise ValueError(f"x must hold at least three independent units: any two lie on a line, got {units}")
    x, y = x - x.mean(), y - y.mean()
    columns = (np.ones_like(x), x, y, x * x, y * y, x * y)
    sums = np.stack([np.bincount(index, column, units) for column in columns], 1)
    estimate = float(_pearson(sums.sum(0)))
    without = _pearson(sums.sum(0) - sums)
    if not np.isfinite(without).all():
        return Interval(estimate, -1.0, 1.0, units, confidence)
    edge = 1 - 1e-12
    z = np.arctanh(np.clip(without, -edge, edge))
    error = np.sqrt((units - 1) / units * ((z - z.mean()) ** 2).sum())
    centre, half = np.arctanh(np.clip(estimate, -edge, edge)), student_quantile(confidence, units - 1) * error
    return Interval(estimate, float(np.tanh(centre - half)), float(np.tanh(centre + half)), units, confidence)


# ---------------------------------------------------------------------------------------------------------- helpers


@dataclass(frozen=True)
class _Ranked:
    """An area with what its error is made of: the classes' sizes and each unit's influence, (units,)."""

    area: float
    n_true: int
    n_false: int
    influence: Float[np.ndarray, " units"]
    lone: bool  # one of the classes lives in a single unit: its scatter between units can't be seen

    @classmethod
    def of(cls, scores: np.ndarray, labels: np.ndarray, groups: Sequence[Hashable] | None) -> _Ranked:
        """Raises ValueError for one class only, or for groups of another length or of one kind."""
        true, false = scores[labels], scores[~labels]
        if not (len(true) and len(false)):
            raise ValueError(f"labels must hold both classes, got {len(true)} positive and {len(false)} negative")
        index, units = unit_index(len(scores), groups, "groups" if groups is not None else "scores")
        above = np.empty(len(scores))  # each row's share of the other class that it stands right to
        above[labels] = _share_below(true, false)
        above[~labels] = 1 - _share_below(false, true)
        area = float(above[labels].mean())
        pulls = (above - area) / np.where(labels, len(true), len(false))
        lone = min(len(np.unique(index[labels])), len(np.unique(index[~labels]))) < 2
        return cls(area, len(true), len(false), np.bincount(index, pulls, units), lone)

    @property
    def units(self) -> int:
        return len(self.influence)

    def bounds(self, confidence: float) -> tuple[float, float]:
        rows = self.n_true + self.n_false
        scatter = self.units / (self.units - 1) * float((self.influence**2).sum())
        expected = float(self.variance_at(self.area))
        df = self.units - 1 if self.units < rows else max(1, rows - 2)
        seen = scatter > 0 and expected > 0 and not self.lone
        inflation = max(1.0, scatter / expected) if seen else rows / self.units
        reach = student_quantile(confidence, df) ** 2 * inflation

        def surprise(area: float) -> float:
            return (self.area - area) ** 2 - reach * float(self.variance_at(area))

        low = _crossing(surprise, 0.0, self.area) if self.area > 0 else 0.0
        high = _crossing(surprise, 1.0, self.area) if self.area < 1 else 1.0
        return low, high

    def variance_at(self, area: float) -> float:
        """Variance of the observed area if this were the true one (Newcombe 2006, method 5)."""
        mean_n = (self.n_true + self.n_false) / 2
        shape = 1 + (mean_n - 1) * ((1 - area) / (2 - area) + area / (1 + area))
        return area * (1 - area) * shape / (self.n_true * self.n_false)


def _share_below(scores: np.ndarray, others: np.ndarray) -> np.ndarray:
    """For each score the share of the others below it, ties counting half."""
    ordered = np.sort(others)
    below, upto = (np.searchsorted(ordered, scores, side=side) for side in ("left", "right"))
    return (below + upto) / (2 * len(others))


def _crossing(surprise: Callable[[float], float], outside: float, inside: float) -> float:
    """Where surprise turns from positive (outside) to negative (inside), by halving."""
    for _ in range(48):
        middle = (outside + inside) / 2
        outside, inside = (middle, inside) if surprise(middle) > 0 else (outside, middle)
    return (outside + inside) / 2


def _pearson(sums: Float[np.ndarray, "*units 6"]) -> Float[np.ndarray, "*units"]:
    n, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        across, along = n * xx - x * x, n * yy - y * y
        tiny = (across < 1e-9 * n * xx) | (along < 1e-9 * n * yy)
        return np.where(tiny, np.nan, (n * xy - x * y) / np.sqrt(across * along))
