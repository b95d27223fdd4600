"""Do stated probabilities come true? Reliability diagrams and the calibration error, with intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from utils.inputs import Count, Groups, Labels, Row, checked
from utils.statistics.intervals import Interval
from utils.statistics.resampling import bootstrap_paired, mean_share


@dataclass(frozen=True)
class Bin:
    """Forecasts of about one probability: their mean, the share that came true (n counts units), and how many."""

    stated: float
    came_true: Interval
    forecasts: int


@checked
def reliability(probabilities: Row, came_true: Labels, bins: Count = 10, groups: Groups | None = None) -> list[Bin]:
    """Forecasts sorted into bins of equal width, from low to high; a bin with fewer than two units is left out.

    probabilities: (n,) from 0 to 1. came_true: (n,) True and False. groups: n names; forecasts of one text belong
    together. Raises ValueError for probabilities outside 0 to 1 and lengths that differ.
    Source: DeGroot & Fienberg 1983, The Statistician 32(1); Guo et al. 2017 (arXiv 1706.04599).
    """
    _check(probabilities)
    if groups is not None and len(groups) != len(probabilities):
        raise ValueError(f"groups must name a group for each of the {len(probabilities)} forecasts, got {len(groups)}")
    place = np.minimum((probabilities * bins).astype(int), bins - 1)
    names = np.arange(len(place)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    found = []
    for number in range(bins):
        here = place == number
        if len(set(names[here])) < 2:
            continue
        share = mean_share(came_true[here].astype(float), groups=names[here].tolist())
        found.append(Bin(float(probabilities[here].mean()), share, int(here.sum())))
    return found


@checked
def calibration_error(probabilities: Row, came_true: Labels, bins: Count = 10) -> float:
    """Mean distance between stated and observed shares, each bin weighted by its forecasts (ECE).

    0: every bin's forecasts come true as often as they say. Never below 0, so that a small sample of perfect forecasts
    has some. Source: Guo et al. 2017 (arXiv 1706.04599). Raises ValueError as `reliability` does.
    """
    _check(probabilities)
    place = np.minimum((probabilities * bins).astype(int), bins - 1)
    gaps = np.bincount(place, came_true.astype(float) - probabilities, bins)
    return float(np.abs(gaps).sum() / len(probabilities))


@checked
def overconfidence(probabilities: Row, came_true: Labels, groups: Groups | None = None) -> Interval:
    """Mean stated probability minus the share that came true: above 0, more was promised than was kept.

    Raises ValueError as `reliability` does, and for a single unit.
    """
    _check(probabilities)
    return bootstrap_paired(probabilities, came_true.astype(float), groups=groups)


def _check(probabilities: np.ndarray) -> None:
    if not len(probabilities):
        raise ValueError("probabilities must hold at least one forecast, got none")
    if float(probabilities.min()) < 0 or float(probabilities.max()) > 1:
        raise ValueError(
            f"probabilities must lie between 0 and 1, got {probabilities.min():g} to {probabilities.max():g}"
        )
