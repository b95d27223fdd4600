"""Controls: what a probe reaches on meaningless labels, from the words alone, along random directions."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch.nn import functional as F

from utils.inputs import Count, Groups, Seed, Texts, checked, same_length
from utils.probing.inputs import Labels, both_classes, computable, members, ready
from utils.probing.probes import Method, Probe, fit_with
from utils.probing.splits import Folds, group_folds
from utils.statistics import Interval, Resamples
from utils.statistics import auroc as auroc_of


@checked
def control_labels(groups: Groups, seed: Seed = 0) -> Labels:
    """Labels of a control task: one coin flip a group, the same for all its rows, heads and tails even.

    There is nothing to find in them: a probe that scores well has memorised which group is which.
    Source: Hewitt & Liang 2019, arXiv 1909.03368.
    """
    names = sorted(set(groups), key=str)
    if len(names) < 2:
        raise ValueError(f"groups holds {len(names)} distinct group; a control task needs at least 2")
    random.Random(seed).shuffle(names)
    heads = set(names[: len(names) // 2])
    return torch.tensor([group in heads for group in groups])


@dataclass(frozen=True)
class Selectivity:
    """AUROC on the task, on control tasks with the same sentences, and the gap between them."""

    task: Interval
    control: Interval
    gap: Interval
    resampled: np.ndarray = field(repr=False, compare=False)  # the gap in each resample

    def minus(self, other: Selectivity) -> Interval:
        """How much more selective this probe is than another: the paired difference of their gaps.

        Both must come from `selectivity` on the same rows with the same seed, so that resample i drew the same pairs
        and coins in both; what is hard for both cancels. Raises ValueError for different numbers of pairs or resamples.
        """
        if (self.gap.n, len(self.resampled)) != (other.gap.n, len(other.resampled)):
            raise ValueError(
                "the two selectivities weren't resampled alike: same pairs and same n_resamples are needed"
            )
        low, high = np.quantile(self.resampled - other.resampled, [0.025, 0.975])
        return Interval(self.gap.estimate - other.gap.estimate, float(low), float(high), self.gap.n, 0.95)


@checked
def selectivity(
    acts: Float[torch.Tensor, "n d_model"],
    labels: Labels,
    entities: Groups,
    repeats: Groups,
    pairs: Groups,
    method: Method | Callable[..., Probe] = "means",
    *,
    n_coins: Count = 5,
    n_resamples: Resamples = 300,
    seed: Seed = 0,
    **options: Any,
) -> Selectivity:
    """How much of a probe's score a probe of the same kind reaches on labels that mean nothing.

    Each entity has two rows, one in each of two `repeats` (two templates), *with the same label*: one trains, the other
    is scored, both ways. A probe that only knows entities by heart then scores as well on the task as on the control.
    With one true and one false row an entity it would be told the opposite of what is asked.
    Each of `pairs` holds two entities, one true and one false. The control flips a coin a pair (`n_coins` times) that
    trades their labels or doesn't, so that what partners share (here: the country) is worth as little there as in the
    task; with a coin an entity it could be learnt by heart in the control alone.
    The score is AUROC; the entities are met in training, so it is *not* the one to report for new ones. Intervals
    resample pairs, and the coins with them. Raises ValueError for entities without exactly two rows, one in each repeat
    and of one label, and for pairs that aren't one true and one false entity.
    Source: Hewitt & Liang 2019, arXiv 1909.03368.
    """
    acts, labels = ready(acts, labels)
    same_length(labels=labels, entities=entities, repeats=repeats, pairs=pairs)
    kinds = sorted(set(repeats), key=str)
    if len(kinds) != 2:
        raise ValueError(f"repeats must name two kinds of row, got {len(kinds)}")
    twice: list[list[int]] = []
    for name, rows in members(entities, len(labels)).items():
        if sorted((repeats[i] for i in rows), key=str) != kinds or len({bool(labels[i]) for i in rows}) > 1:
            raise ValueError(f"entities must have one row in each repeat and one label; {name!r} has not")
        if pairs[rows[0]] != pairs[rows[1]]:
            raise ValueError(f"pairs must be the same in both rows of an entity; {name!r} is in two pairs")
        twice.append(sorted(rows, key=lambda i: str(repeats[i])))
    first, second = torch.tensor(twice, device=acts.device).T
    partners = list(members([pairs[rows[0]] for rows in twice], len(twice)).values())
    if any(sorted(bool(labels[twice[i][0]]) for i in two) != [False, True] for two in partners):
        raise ValueError("pairs must hold one true and one false entity each")
    coins = [labels ^ control_labels(pairs, seed + turn).to(acts.device) for turn in range(n_coins)]

    def scored(target: torch.Tensor) -> list[np.ndarray]:
        out = []
        for train, test in ((first, second), (second, first)):
            probe = fit_with(method, acts[train], target[train], options)
            out.append(probe.scores(acts[test]).detach().cpu().double().numpy())
        return out

    runs = [(scored(target), target[first].cpu().numpy()) for target in (labels, *coins)]

    def areas(picked: np.ndarray, some: np.ndarray) -> np.ndarray:
        found = [np.mean([auroc_of(s[picked], truth[picked]) for s in scores]) for scores, truth in runs]
        control = float(np.mean([found[1 + i] for i in some]))
        return np.array([found[0], control, found[0] - control])

    rng, both, n = np.random.default_rng(seed), np.array(partners), len(partners)
    drawn = np.array(
        [areas(both[rng.integers(0, n, n)].ravel(), rng.integers(0, n_coins, n_coins)) for _ in range(n_resamples)]
    )
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    point = areas(both.ravel(), np.arange(n_coins))
    task, control, gap = (Interval(float(p), float(a), float(b), n, 0.95) for p, a, b in zip(point, low, high))
    return Selectivity(task, control, gap, drawn[:, 2])


@checked
def shuffled_labels(labels: Labels, groups: Groups | None = None, seed: Seed = 0) -> Labels:
    """The labels in another order. With groups, whole groups trade their labels (groups must be of one size)."""
    rng = random.Random(seed)
    if groups is None:
        order = list(range(len(labels)))
        rng.shuffle(order)
        return labels[order]
    blocks = list(members(groups, len(labels)).values())
    if len({len(rows) for rows in blocks}) > 1:
        raise ValueError("groups differ in size: their labels can't be traded; shuffle without groups instead")
    source = [rows.copy() for rows in blocks]
    rng.shuffle(source)
    out = labels.clone()
    for to, come in zip(blocks, source):
        rng.shuffle(come)
        out[to] = labels[come]
    return out


@checked
def text_baseline(
    texts: Texts,
    labels: Labels,
    groups: Groups,
    *,
    kind: Literal["words", "characters"] = "words",
    n_folds: Folds = 5,
    seed: Seed = 0,
) -> Float[torch.Tensor, " n"]:
    """Held-out scores of a classifier that sees the text alone: a bag of words, or character 2- to 4-grams.

    The folds are those of `cross_validate` with the same seed. What it reaches is there to be read without any model;
    only what a probe reaches beyond it says something about activations.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    same_length(labels=labels, texts=texts, groups=groups)
    labels = labels.cpu()
    both_classes(labels)
    target, out = labels.numpy(), torch.zeros(len(labels))
    for train, test in group_folds(groups, n_folds, seed):
        both_classes(labels[train], "the training part of a fold")
        see = (
            TfidfVectorizer(token_pattern=r"\w+|[^\w\s]")
            if kind == "words"
            else TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4))
        )
        model = make_pipeline(see, LogisticRegression(C=10.0, max_iter=500))
        model.fit([texts[i] for i in train], target[train.numpy()])
        out[test] = torch.tensor(model.decision_function([texts[i] for i in test]), dtype=torch.float32)
    return out


@checked
def random_directions(
    like: Float[torch.Tensor, " d_model"], n: Count = 20, seed: Seed = 0
) -> Float[torch.Tensor, "n d_model"]:
    """`n` directions drawn evenly from the sphere, each as long as `like`. Raises ValueError if that is no length."""
    like = computable(like)
    if not bool(like.any()):
        raise ValueError("like is all zero: a direction drawn as long as it would point nowhere")
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(n, like.shape[0], generator=generator, dtype=torch.float64)
    return (F.normalize(drawn, dim=-1).to(like) * like.norm()).to(like)


@checked
def covariance_directions(
    acts: Float[torch.Tensor, "n d_model"], n: Count = 20, seed: Seed = 0
) -> Float[torch.Tensor, "n_drawn d_model"]:
    """`n` random directions of length 1 that vary as these activations do: random mixtures of their centred rows.

    A null for a push. Activations fill few of their dimensions; a direction drawn evenly from the sphere lies mostly
    in the empty ones, where the model is least sensitive. Raises ValueError for rows that are all alike.
    """
    acts = computable(acts)
    centred = acts - acts.mean(0)
    if not bool(centred.any()):
        raise ValueError("acts must hold rows that differ, got rows that are all alike")
    weights = torch.randn(n, len(acts), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return F.normalize(weights.to(acts) @ centred, dim=-1)
