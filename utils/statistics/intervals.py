"""An estimate with its interval, and the formulas that the other modules of this package share.

Everything here works on *units*: independent observations, or groups of rows that belong together. A mean over units
of unequal size is a ratio, sum of sums over sum of sizes, and its error comes from leaving out one unit at a time.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import betainc, ndtri, stdtrit

from utils.inputs import Count, Fraction, Index, Number, Positive, checked


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

    @checked
    def excludes(self, value: Number) -> bool:
        """True when the value lies outside the interval."""
        return not self.low <= value <= self.high


@checked
def proportion(successes: Index, n: Count, confidence: Fraction = 0.95) -> Interval:
    """Interval of a proportion, Wilson's: honest at 0 of 20 and 20 of 20, where a resample says nothing.

    Counts come in steps, so no interval covers exactly 95 %. Wilson's alone falls to 84 % for true shares within 2 % of
    a bound; where the mid-P interval reaches further, that end is taken. Then it is 93 to 99 %.

    successes, n: whole numbers; to get a share's interval give the counts, not the share.
    Raises TypeError for a share, ValueError unless 0 <= successes <= n and n >= 1. Sources: Wilson 1927, JASA 22(158);
    Brown, Cai & DasGupta 2001, Statistical Science 16(2); Agresti & Gottard 2005, Statistical Science 20(4) (mid-P).
    """
    if successes > n:
        raise ValueError(f"successes must be at most n, got successes={successes}, n={n}")
    share = successes / n
    low, high = _share_ends(share, n, normal_quantile(confidence), confidence)
    return Interval(share, low, high, n, confidence)


@checked
def coarse(value: Number, step: Positive) -> str:
    """A number rounded to a step, for text that must read the same on every machine: coarse(0.837, 0.05) is "0.85".

    >>> coarse(0.837, 0.05), coarse(1234, 100), coarse(-0.01, 0.5)
    ('0.85', '1200', '0.0')
    """
    digits = max(0, -int(np.floor(np.log10(step) + 1e-9)))
    if step < 1 and round(step, digits) != step:
        digits += 1
    rounded = round(value / step) * step + 0.0
    return f"{rounded:.{digits}f}" if rounded else f"{0:.{digits}f}"


# ------------------------------------------------------------------------------------------------------------ units


def unit_index(n: int, groups: Sequence[Hashable] | None, name: str = "values") -> tuple[np.ndarray, int]:
    """For each of n rows the number of its unit, (n,), and how many units there are; a row is one without groups.

    Units are numbered in the order of their first row. Raises ValueError for lengths that differ or a single unit.
    """
    index: np.ndarray = np.arange(n)
    units = n
    if groups is not None:
        if len(groups) != n:
            raise ValueError(f"groups must name a group for each of the {n} rows, got {len(groups)}")
        number: dict[Hashable, int] = {}
        index = np.asarray([number.setdefault(group, len(number)) for group in groups])
        units = len(number)
    if units < 2:
        what = "rows" if groups is None else "groups"
        raise ValueError(f"{name} must hold at least two independent {what} for an interval, got {units}")
    return index, units


@dataclass(frozen=True)
class UnitMean:
    """A mean over units. influence: (units,) how far each pulls it, summing to about 0; rows: how many there are."""

    mean: float
    influence: Float[np.ndarray, " units"]
    rows: int

    @property
    def units(self) -> int:
        return len(self.influence)

    @property
    def error(self) -> float:
        """Standard error: the spread of the leave-one-out means (jackknife)."""
        n = self.units
        return float(np.sqrt(((self.influence) ** 2).sum() / (n * (n - 1))))


def mean_over_units(values: Float[np.ndarray, " n"], index: np.ndarray, units: int) -> UnitMean:
    """The mean of n rows, and what each unit adds to it, by leaving it out.

    Source: Efron & Stein 1981, Annals of Statistics 9(3) (jackknife); for groups of unequal size it is the
    heteroskedasticity-robust CR3: Cameron & Miller 2015, Journal of Human Resources 50(2).
    """
    mean = float(values.mean())
    sizes = np.bincount(index, minlength=units)
    sums = np.bincount(index, values - mean, units)
    influence = (units - 1) * sums / (len(values) - sizes)
    return UnitMean(mean, influence, len(values))


# --------------------------------------------------------------------------------------------------------- formulas


def normal_quantile(confidence: float) -> float:
    """How many standard errors a two-sided interval reaches under a normal distribution."""
    return float(ndtri((1 + confidence) / 2))


def student_quantile(confidence: float, df: float) -> float:
    """The same under Student's t, with df degrees of freedom (not necessarily whole)."""
    return float(stdtrit(df, (1 + confidence) / 2))


def mean_bounds(of: UnitMean, confidence: float) -> tuple[float, float]:
    """Interval of a mean: the wider on each side of Student's t and of t after Hall's removal of skewness.

    t alone is exact for bell-shaped measurements and falls short for skewed ones (exponential, n = 10: 90 %). Hall's
    cubic transformation takes the skewness out first, and is a little short for bells. Together they keep 93 %.
    Sources: Student 1908; Hall 1992, JRSS B 54(1), "On the removal of skewness by transformation".
    """
    n, error = of.units, of.error
    if error == 0:
        return of.mean, of.mean
    q = student_quantile(confidence, n - 1)
    pulls = of.influence - of.influence.mean()
    spread = float((pulls**2).mean())
    skew = float((pulls**3).mean() / spread**1.5) if spread**1.5 > 0 else 0.0  # pulls that differ by rounding alone
    low, high = (of.mean - error * _hall_inverse(end, skew / np.sqrt(n)) for end in (q, -q))
    return float(min(low, of.mean - error * q)), float(max(high, of.mean + error * q))


def _hall_inverse(y: float, skew: float) -> float:
    """Undo g(t) = t + a t² + a² t³ / 3 + b, with a = skew / 3, b = skew / 6, skew being that of the mean."""
    a, b = skew / 3, skew / 6
    if abs(a) < 1e-9:
        return y
    return float((np.cbrt(1 + 3 * a * (y - b)) - 1) / a)


def share_bounds(of: UnitMean, confidence: float, *, counts: bool) -> tuple[float, float]:
    """Interval of a mean of shares (each between 0 and 1): as `proportion`, with the number of rows that are worth one.

    So many independent yes-or-no rows would scatter as these units do; never more than there are when the rows are
    yes or no themselves (`counts`), and one a unit where nothing scatters at all. With groups, t replaces the normal.
    Sources: Wilson 1927; Korn & Graubard 1998, Survey Methodology 24(2) (effective size, t); Franco, Little, Louis &
    Slud 2019, J. Survey Statistics and Methodology 7(3) (Wilson's interval with it).
    """
    share = min(1.0, max(0.0, of.mean))
    alone = counts and of.units == of.rows
    quantile = normal_quantile(confidence) if alone else student_quantile(confidence, of.units - 1)
    worth: float = of.units
    if alone:
        worth = of.rows
    elif of.error > 0 and 0 < share < 1:
        worth = share * (1 - share) / of.error**2
        if counts:
            worth = min(worth, of.rows)
    return _share_ends(share, worth, quantile, confidence)


def _share_ends(share: float, n: float, quantile: float, confidence: float) -> tuple[float, float]:
    """Wilson's ends, or mid-P's where those reach further. n need not be whole; quantile: normal, or larger."""
    low, high = _wilson(share, n, quantile)
    fewer = n * (normal_quantile(confidence) / quantile) ** 2  # Korn & Graubard: what t costs, paid in rows
    tail = (1 - confidence) / 2
    return min(low, _mid_p_low(share, fewer, tail)), max(high, 1 - _mid_p_low(1 - share, fewer, tail))


def _mid_p_low(share: float, n: float, tail: float) -> float:
    """The share under which seeing as many successes as this or more, half of "as many" counted, has this chance."""
    count, low, high = share * n, 0.0, share
    if share <= 0 or n - count < 1e-9:
        return 0.0 if share <= 0 else (2 * tail) ** (1 / n)
    for _ in range(48):
        middle = (low + high) / 2
        more, as_many = betainc(count + 1, n - count, middle), betainc(count, n - count + 1, middle)
        low, high = (middle, high) if (more + as_many) / 2 < tail else (low, middle)
    return low


def _wilson(share: float, n: float, quantile: float) -> tuple[float, float]:
    shrink = 1 + quantile**2 / n
    centre = (share + quantile**2 / (2 * n)) / shrink
    half = quantile / shrink * np.sqrt(share * (1 - share) / n + quantile**2 / (4 * n**2))
    low = 0.0 if share == 0 else max(0.0, float(centre - half))
    return low, 1.0 if share == 1 else min(1.0, float(centre + half))


def difference_bounds(
    first: tuple[float, float, float], second: tuple[float, float, float], correlation: float
) -> tuple[float, float]:
    """Interval of first - second, each given as (estimate, low, high), from their own intervals and correlation.

    Near a bound each side keeps its own lopsided error. Sources: Newcombe 1998, Statistics in Medicine 17(22), method
    10 (paired shares); Zou & Donner 2008, Statistics in Medicine 27(10) (any two quantities).
    """
    (a, a_low, a_high), (b, b_low, b_high) = first, second

    def reach(of_a: float, of_b: float) -> float:
        return float(np.sqrt(max(0.0, of_a**2 + of_b**2 - 2 * correlation * of_a * of_b)))

    return a - b - reach(a - a_low, b_high - b), a - b + reach(a_high - a, b - b_low)


def correlation_of(first: Float[np.ndarray, " units"], second: Float[np.ndarray, " units"]) -> float:
    """How two influences go together over units; 0 where one of them doesn't vary (then nothing is known)."""
    product = np.sqrt((first @ first) * (second @ second))
    return float(first @ second / product) if product > 0 else 0.0
