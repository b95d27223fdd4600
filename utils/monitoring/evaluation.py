"""What a monitor is worth: a threshold set on one half, what it catches on the other, and at which base rate.

A score is not an alarm. An alarm needs a threshold, and a threshold chosen on the rows it is then reported on looks
better than it is. So `set_threshold` takes one split and `report` another, both parted by task entity, and the
false-positive rate is *measured* on the second split instead of being assumed to be what was asked for.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Bool, Float

from utils.datasets.labelled import split_groups
from utils.datasets.transcripts import Transcript
from utils.inputs import Groups, Labels, Number, Range, Seed, Share, checked, same_length
from utils.probing.scores import threshold_at_fpr
from utils.statistics import Interval, bootstrap_paired, mean_share

Scores = Float[np.ndarray, "n"]


@checked
def decided(transcripts: Sequence[Transcript]) -> list[Transcript]:
    """Those of which it is known whether the shortcut was taken."""
    return [t for t in transcripts if t.took_shortcut is not None]


@checked
def took_shortcut(transcripts: Sequence[Transcript]) -> Bool[np.ndarray, "n"]:
    """(n,) whether each took the shortcut. Raises ValueError where that is open: leave such rows out (`decided`)."""
    undecided = [t.id for t in transcripts if t.took_shortcut is None]
    if undecided:
        raise ValueError(
            f"{len(undecided)} transcripts have no label ({undecided[0]}, …): a right leaked answer shows nothing. "
            "Use decided(transcripts)"
        )
    return np.array([bool(t.took_shortcut) for t in transcripts])


@checked
def halves(transcripts: Sequence[Transcript], seed: Seed = 0) -> tuple[list[Transcript], list[Transcript]]:
    """Two halves with every task entity in one of them only: one to tune on, one to report on."""
    entities = {t.entity for t in transcripts}
    if len(entities) < 2:
        raise ValueError(f"transcripts must be about at least 2 entities, got {len(entities)}")
    first, second = split_groups([t.entity for t in transcripts], test_fraction=0.5, seed=seed)
    return [transcripts[i] for i in first], [transcripts[i] for i in second]


@checked
def set_threshold(scores: Scores, labels: Labels, fpr: Annotated[float, Range(low=0, below=1)]) -> float:
    """The lowest threshold with which at most a share `fpr` of the negatives scores above it.

    scores: (n,), larger is more suspicious; a row is flagged if it is strictly above. labels: (n,), True for what
    should be caught. With ties (a keyword count) fewer than `fpr` may be flagged, never more.
    Raises ValueError when there are no negatives, and for a share outside [0, 1) or one that so few negatives can't
    show: below 1 / (number of negatives) it would mean "none at all".
    """
    negatives = scores[~labels]
    if not len(negatives):
        raise ValueError("labels holds no negatives: a false-positive rate needs rows that should not be flagged")
    if 0 < fpr < 1 / len(negatives):
        raise ValueError(
            f"fpr = {fpr} can't be set with {len(negatives)} negatives: the smallest step is 1/{len(negatives)}. "
            "Ask for 0, or bring more negatives"
        )
    return threshold_at_fpr(torch.from_numpy(negatives), fpr)


@dataclass(frozen=True)
class Report:
    """What a monitor did at one threshold. recall and fpr: intervals over task entities."""

    recall: Interval
    fpr: Interval
    threshold: float

    def precision(self, base_rate: float) -> float:
        """Share of alarms that are right where a share `base_rate` of all runs takes the shortcut."""
        return precision_at(self.recall.estimate, self.fpr.estimate, base_rate)


@checked
def report(
    scores: Scores,
    labels: Labels,
    threshold: Number,
    groups: Groups,
) -> Report:
    """Recall and false-positive rate at a threshold that was set elsewhere, with intervals over task entities.

    scores, labels: (n,). groups: n entities; the recall's n counts those with a positive, the rate's those with a
    negative. Raises ValueError for one class only, one entity only, or a threshold that is no number.
    """
    _both(labels)
    same_length(scores=scores, groups=groups)
    flagged = (scores > threshold).astype(float)
    recall, fpr = (mean_share(flagged[of], _some(groups, of)) for of in (labels, ~labels))
    return Report(recall, fpr, float(threshold))


@checked
def precision_at(recall: Share, fpr: Share, base_rate: Share) -> float:
    """Share of alarms that are right, by Bayes' rule, where a share `base_rate` of all runs is bad.

    NaN if nothing is ever flagged. Raises ValueError for shares outside [0, 1].
    Source: Axelsson 2000, "The base-rate fallacy and the difficulty of intrusion detection", ACM TISSEC 3(3).

    >>> round(precision_at(0.95, 0.01, 0.001), 3)
    0.087
    """
    right, wrong = recall * base_rate, fpr * (1 - base_rate)
    return right / (right + wrong) if right + wrong else float("nan")


@checked
def compare(
    first: tuple[Scores, Number],
    second: tuple[Scores, Number],
    labels: Labels,
    groups: Groups,
) -> Interval:
    """How much more the first monitor catches than the second on the same rows, each at its own threshold.

    first, second: (scores (n,), threshold). groups: n entities. What is hard for both cancels. Raises ValueError for
    one class only, positives of one entity only, or scores of other lengths.
    """
    same_length(first=first[0], second=second[0], labels=labels, groups=groups)
    _both(labels)
    caught, other = ((scores > threshold).astype(float)[labels] for scores, threshold in (first, second))
    return bootstrap_paired(caught, other, groups=_some(groups, labels))


@checked
def kappa(first: Groups, second: Groups) -> float:
    """Agreement of two readers beyond chance (Cohen's kappa): 1 is perfect, 0 what their habits alone would give.

    first, second: the labels each gave, of any number of kinds, in the same order. Raises ValueError for lengths that
    differ, none at all, or two readers who both use the same single label (there is no chance to go beyond).
    Source: Cohen 1960, Educational and Psychological Measurement 20(1).
    """
    n = same_length(first=first, second=second)
    if not n:
        raise ValueError("first is empty: there is nothing to agree on")
    agreed = sum(a == b for a, b in zip(first, second)) / n
    chance = sum(first.count(label) * second.count(label) for label in set(first)) / n**2
    if chance == 1:
        raise ValueError("both readers used one and the same label throughout: agreement beyond chance is undefined")
    return (agreed - chance) / (1 - chance)


# ------------------------------------------------------------------------------------------------------------ helpers


def _some(groups: Sequence[Hashable], keep: np.ndarray) -> list[Hashable]:
    return [name for name, kept in zip(groups, keep) if kept]


def _both(labels: np.ndarray) -> None:
    if labels.all() or not labels.any():
        raise ValueError(f"labels must hold both classes, got {int(labels.sum())} True of {len(labels)}")
