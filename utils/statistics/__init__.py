"""Numbers with their uncertainty: means, shares, rank-based scores and whatever else a lesson measures.

Every claim in the course carries an interval, and "95 %" is meant: by simulation each of them holds the truth at least
93 times in 100 at the sizes the lessons work with (`python -m utils.authoring.benchmarks.coverage` repeats the table).
Two statements about one city are not two independent observations: give `groups`, and whole groups (a city, a prompt,
a seed) are what is counted.

| module | what is in it |
|---|---|
| `intervals` | `Interval`, and the formulas: means, shares, differences of shares |
| `resampling` | `bootstrap`, `bootstrap_paired`, `mean_share`: one number out of many measurements |
| `runs` | `over_seeds`, `bootstrap_runs`: a few runs, or a table of runs and items |
| `ranking` | `auroc` and its interval, `correlation` |
| `multiple` | `step_down`, `contrast_null`: many comparisons at once, and a null that true effects don't reach |
| `calibration` | `reliability`, `calibration_error`: do stated probabilities come true? |
"""

from utils.statistics.calibration import Bin, calibration_error, overconfidence, reliability
from utils.statistics.intervals import Interval, coarse, proportion
from utils.statistics.multiple import contrast_null, step_down
from utils.statistics.ranking import auroc, auroc_difference, auroc_interval, correlation
from utils.statistics.resampling import Resamples, bootstrap, bootstrap_paired, mean_share, resampled
from utils.statistics.runs import bootstrap_runs, over_seeds

__all__ = [
    "Bin",
    "Interval",
    "Resamples",
    "auroc",
    "auroc_difference",
    "auroc_interval",
    "bootstrap",
    "bootstrap_paired",
    "bootstrap_runs",
    "calibration_error",
    "coarse",
    "contrast_null",
    "correlation",
    "mean_share",
    "over_seeds",
    "overconfidence",
    "proportion",
    "reliability",
    "resampled",
    "step_down",
]
