"""A few runs (training seeds), and tables of runs and items: both are samples of many."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from utils.inputs import Fraction, Groups, Row, checked
from utils.statistics.intervals import Interval, student_quantile, unit_index


@checked
def over_seeds(values: Row, confidence: Fraction = 0.95) -> Interval:
    """The mean over a few runs with Student's t interval: how sure the mean is, given how much the runs differ.

    With three or five seeds a bootstrap is too narrow, because it can't go beyond what it has seen. This one is wide,
    as it should be, and supposes that runs scatter roughly like a bell: three can't show whether they do.
    values: (n,) finite numbers, one a run. Raises ValueError for fewer than two. Source: Student 1908.
    """
    if len(values) < 2:
        raise ValueError(f"values must hold at least two runs, one number each, got {len(values)}")
    mean = float(values.mean())
    half = student_quantile(confidence, len(values) - 1) * float(values.std(ddof=1)) / np.sqrt(len(values))
    return Interval(mean, mean - half, mean + half, len(values), confidence)


@checked
def bootstrap_runs(
    values: Float[np.ndarray, "n_runs n_items"], groups: Groups | None = None, confidence: Fraction = 0.95
) -> Interval:
    """Interval of the grand mean of a table, when runs (training seeds) and items both are samples of many.

    Resampling both (Owen 2007, arXiv 0712.1111) is too narrow with three to ten runs: 73 to 95 % of such intervals
    hold the truth. Here the variance of the mean is put together from those of runs and items, as an analysis of
    variance does, with as many degrees of freedom as the mixture deserves: with three runs that differ, about two.
    It is never narrower than `over_seeds` of the runs' means. Supposed: runs scatter roughly like a bell.

    values: (n_runs, n_items) finite numbers. groups: n_items names. n of the result counts items (or groups).
    Raises ValueError for fewer than two runs or two items. Sources: Satterthwaite 1946, Biometrics Bulletin 2(6);
    Brennan 2001, Generalizability Theory, ch. 6 (two crossed random factors).
    """
    if len(values) < 2:
        raise ValueError(f"values must hold at least two runs, got shape {values.shape}")
    values = values.astype(np.float64)
    index, items = unit_index(values.shape[1], groups)
    n_runs, mean = len(values), float(values.mean())
    # what each cell of a run and an item (or group) adds to the mean, scaled so that all cells count alike
    cells = np.stack([np.bincount(index, row - mean, items) for row in values]) * items / values.shape[1]
    of_run, of_item = cells.mean(1), cells.mean(0)
    rest = cells - of_run[:, None] - of_item
    square = np.array([items * of_run.var(ddof=1), n_runs * of_item.var(ddof=1), (rest**2).sum()])
    freedom = np.array([n_runs - 1, items - 1, (n_runs - 1) * (items - 1)])
    square[2] /= freedom[2]
    # runs plus items counts what is left over twice; taking it off may take too much where both are small
    variance = max(square[0] + square[1] - square[2], square[0], square[1])
    if variance <= 0:
        return Interval(mean, mean, mean, items, confidence)
    df = max(1.0, variance**2 / float((square**2 / freedom).sum()))
    half = student_quantile(confidence, df) * np.sqrt(variance / (n_runs * items))
    of_runs = student_quantile(confidence, n_runs - 1) * np.sqrt(square[0] / (n_runs * items))
    half = float(max(half, of_runs))  # items as a second source of luck can't make it surer than runs alone
    return Interval(mean, mean - half, mean + half, items, confidence)
