"""Controls: what a probe reaches on meaningless labels, from the words alone, along random directions."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch.nn import functional as F

from utils.inputs import Count, Groups, Seed, Texts, checked, same_length
from utils.probing.inputs import Labels, both_classes, computable, members, ready
from utils.probing.probes import Method, Probe, fit_with
from utils.probing.scores import accuracy
from utils.probing.splits import Folds, group_folds


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
    """Accuracy on the task, on the control task with the same words, and the gap between them."""

    task: float
    control: float
    n_test: int

    @property
    def selectivity(self) -> float:
        """Task accuracy minus control accuracy."""
        return self.task - self.control


@checked
def selectivity(
    acts: Float[torch.Tensor, "n d_model"],
    labels: Labels,
    groups: Groups,
    method: Method | Callable[..., Probe] = "means",
    *,
    seed: Seed = 0,
    **options: Any,
) -> Selectivity:
    """How much of a probe's accuracy a probe of the same kind reaches on meaningless labels.

    Half of each group's rows train and the other half test, for the task and for the control alike: a control task can
    only be learnt on groups met in training (Hewitt & Liang 2019, arXiv 1909.03368, give each word type a random
    label). So the task's accuracy here is *not* the one to report for new groups. Groups of one row are left out;
    raises ValueError when fewer than four rows remain on a side.
    """
    acts, labels = ready(acts, labels)
    rng = random.Random(seed)
    train: list[int] = []
    test: list[int] = []
    for rows in members(groups, len(labels)).values():
        if len(rows) > 1:
            rng.shuffle(rows)
            train += rows[: len(rows) // 2]
            test += rows[len(rows) // 2 :]
    if len(train) < 4 or len(test) < 4:
        raise ValueError("groups has too few groups with two rows or more: a control task needs rows on both sides")
    train_, test_ = torch.tensor(train, device=acts.device), torch.tensor(test, device=acts.device)
    control = control_labels(groups, seed).to(acts.device)
    found = []
    for target in (labels, control):
        probe = fit_with(method, acts[train_], target[train_], options)
        found.append(float(accuracy(probe.scores(acts[test_]), target[test_])))
    return Selectivity(found[0], found[1], len(test))


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
