"""Does a direction fitted on one set of statements read another, and as well as the other's own probe?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float

from utils.inputs import Groups, Seed, checked
from utils.probing.inputs import members, ready
from utils.probing.scores import auroc
from utils.probing.splits import cross_validate
from utils.statistics import Interval, Resamples


@dataclass(frozen=True)
class Transfer:
    """AUROC on another set of a direction fitted elsewhere, of the set's own probe (held out), and what of it arrives.

    share: (auroc - 0.5) / (own - 0.5): 1 is complete transfer, 0 none, below 0 an inversion.
    """

    auroc: Interval
    own: Interval
    share: Interval


@checked
def transfer(
    acts: Float[torch.Tensor, "n d_model"],
    labels: Bool[torch.Tensor, " n"],
    groups: Groups,
    to_acts: Float[torch.Tensor, "m d_model"],
    to_labels: Bool[torch.Tensor, " m"],
    to_groups: Groups,
    *,
    n_resamples: Resamples = 200,
    seed: Seed = 0,
) -> Transfer:
    """A mean difference fitted on one set, (n, d_model), and measured on another, (m, d_model), beside its own probe.

    Everything is resampled by group, the set it was fitted on too; the own probe is cross-validated in each resample.
    So the intervals hold what comes of both samples. Percentile intervals. The two sets must share no entity, or the
    direction has met what it is measured on. Raises as `cross_validate` does.
    """
    acts, labels = ready(acts, labels)
    to_acts, to_labels = ready(to_acts, to_labels)
    blocks = list(members(groups, len(labels)).values())
    to_blocks = list(members(to_groups, len(to_labels)).values())

    def measured(rows: list[int], to_rows: list[int]) -> tuple[float, float, float]:
        here, truth = acts[rows], labels[rows]
        direction = here[truth].mean(0) - here[~truth].mean(0)
        there, to_truth, names = to_acts[to_rows], to_labels[to_rows], [to_groups[i] for i in to_rows]
        found = float(auroc(there @ direction, to_truth))
        own = float(auroc(cross_validate(there, to_truth, names, "means", seed=seed), to_truth))
        return found, own, (found - 0.5) / (own - 0.5) if own != 0.5 else float("nan")

    rng = np.random.default_rng(seed)

    def drawn(some: list[list[int]]) -> list[int]:
        return [row for i in rng.integers(0, len(some), len(some)) for row in some[i]]

    point = measured(sum(blocks, []), sum(to_blocks, []))
    draws = np.array([measured(drawn(blocks), drawn(to_blocks)) for _ in range(n_resamples)])
    low, high = np.nanquantile(draws, [0.025, 0.975], axis=0)
    return Transfer(*(Interval(p, float(a), float(b), len(to_blocks), 0.95) for p, a, b in zip(point, low, high)))
