"""Many comparisons at once: which of them stand when the luckiest of many is always high?"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from utils.inputs import Count, Groups, Row, Seed, checked
from utils.statistics.intervals import unit_index


@checked
def step_down(observed: Row, null: Float[np.ndarray, "draws m"]) -> Float[np.ndarray, " m"]:
    """Adjusted p-values of m comparisons, each against the highest of those that are still in the race.

    observed: (m,) statistics, high where there is an effect. null: (draws, m), the same m statistics in each of many
    draws where there is none; a draw keeps what they share (the same passages, the same lesion). The highest observed
    one is held against each draw's maximum over all m, the next against the maximum over all but that one, and so on;
    no p-value is smaller than the one before it. p counts the observed value as one of the draws, so it is never 0.
    Naming all with p of at most 0.05 names a false one in at most 5 % of studies. Statistics should be studentised:
    a few noisy ones would otherwise set the maximum for all.
    Sources: Westfall & Young 1993, Resampling-Based Multiple Testing; Romano & Wolf 2005, Econometrica 73(4).
    """
    if null.shape[1] != len(observed):
        raise ValueError(f"null has {null.shape[1]} columns, expected {len(observed)}, one for each of observed")
    order = np.argsort(-observed, kind="stable")
    # the maximum over this one and all that stand below it, in every draw
    highest = np.maximum.accumulate(null[:, order[::-1]], axis=1)[:, ::-1]
    p = (1 + (highest >= observed[order]).sum(0)) / (1 + len(null))
    adjusted = np.empty(len(observed))
    adjusted[order] = np.maximum.accumulate(p)
    return adjusted


@checked
def contrast_null(
    values: Float[np.ndarray, "m n"], groups: Groups, draws: Count = 1000, seed: Seed = 0
) -> tuple[Float[np.ndarray, "m group"], Float[np.ndarray, "m group"], Float[np.ndarray, "draws m group"]]:
    """How much more a group has than the mean of the other groups, for m measures: the difference, its t, and a null.

    values: (m, n), one row a measure (a lesion), one column a case (a passage). groups: n names; groups are taken in
    the order of their first case, and each needs three cases or more. Returns (difference, t, null): (m, group) twice,
    and (draws, m, group), the t of draws with replacement *within* each group, centred on what was observed. So no
    true difference reaches the null, as it does where names are shuffled, and what measures and groups share is kept.
    Raises ValueError for fewer than two groups, or fewer than three cases in one.
    """
    index, n_groups = unit_index(values.shape[1], groups)
    cases = [np.flatnonzero(index == g) for g in range(n_groups)]
    if n_groups < 2 or min(map(len, cases)) < 3:
        raise ValueError(f"groups must name two groups or more with three cases each, got {list(map(len, cases))}")
    values = values.astype(np.float64)

    def contrast(picked: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        mean = np.stack([values[:, rows].mean(1) for rows in picked], axis=1)
        square = np.stack([values[:, rows].var(1, ddof=1) / len(rows) for rows in picked], axis=1)
        others = (mean.sum(1, keepdims=True) - mean) / (n_groups - 1)
        noise = square + (square.sum(1, keepdims=True) - square) / (n_groups - 1) ** 2
        return mean - others, np.sqrt(np.maximum(noise, 1e-12))

    difference, error = contrast(cases)
    rng, null = np.random.default_rng(seed), np.empty((draws, *difference.shape))
    for draw in range(draws):
        drawn, its_error = contrast([rng.choice(rows, len(rows)) for rows in cases])
        null[draw] = (drawn - difference) / its_error
    return difference, difference / error, null
