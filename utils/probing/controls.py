"""Controls: what a probe reaches on meaningless labels, from the words alone, along random directions."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch.nn import functional as F

from utils.probing.inputs import Acts, Groups, Labels, booleans, both_classes, checked, floating, same_length
from utils.probing.probes import Method, fit
from utils.probing.scores import accuracy
from utils.probing.splits import group_folds


def control_labels(groups: Groups, seed: int = 0) -> Labels:
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


def selectivity(
    acts: Float[torch.Tensor, "n d_model"],
    labels: Any,
    groups: Groups,
    method: Method | Callable[..., Any] = "means",
    *,
    seed: int = 0,
    **options: Any,
) -> Selectivity:
    """How much of a probe's accuracy a probe of the same kind reaches on meaningless labels.

    Half of each group's rows train and the other half test, for the task and for the control alike: a control task can
    only be learnt on groups met in training (Hewitt & Liang 2019, arXiv 1909.03368, give each word type a random
    label). So the task's accuracy here is *not* the one to report for new groups. Groups of one row are left out;
    raises ValueError when fewer than four rows remain on a side.
    """
    acts, labels = checked(acts, labels)
    same_length("groups", groups, len(labels))
    rng, members = random.Random(seed), defaultdict(list)
    for row, group in enumerate(groups):
        members[group].append(row)
    train, test = [], []
    for rows in members.values():
        if len(rows) > 1:
            rng.shuffle(rows)
            train += rows[: len(rows) // 2]
            test += rows[len(rows) // 2 :]
    if len(train) < 4 or len(test) < 4:
        raise ValueError("groups has too few groups with two rows or more: a control task needs rows on both sides")
    train_, test_ = torch.tensor(train, device=acts.device), torch.tensor(test, device=acts.device)
    control = control_labels(groups, seed).to(acts.device)
    fitter = method if callable(method) else lambda a, y, **kw: fit(a, y, method, **kw)
    found = []
    for target in (labels, control):
        probe = fitter(acts[train_], target[train_], **options)
        found.append(float(accuracy(probe.scores(acts[test_]), target[test_])))
    return Selectivity(*found, len(test))


def shuffled_labels(labels: Any, groups: Groups | None = None, seed: int = 0) -> Labels:
    """The labels in another order. With groups, whole groups trade their labels (groups must be of one size)."""
    labels = booleans(labels)
    rng = random.Random(seed)
    if groups is None:
        order = list(range(len(labels)))
        rng.shuffle(order)
        return labels[order]
    same_length("groups", groups, len(labels))
    members: dict[Hashable, list[int]] = defaultdict(list)
    for row, group in enumerate(groups):
        members[group].append(row)
    if len({len(rows) for rows in members.values()}) > 1:
        raise ValueError("groups differ in size: their labels can't be traded; shuffle without groups instead")
    blocks = list(members.values())
    source = [rows.copy() for rows in blocks]
    rng.shuffle(source)
    out = labels.clone()
    for to, come in zip(blocks, source):
        rng.shuffle(come)
        out[to] = labels[come]
    return out


def text_baseline(
    texts: Sequence[str],
    labels: Any,
    groups: Groups,
    *,
    kind: Literal["words", "characters"] = "words",
    n_folds: int = 5,
    seed: int = 0,
) -> Float[torch.Tensor, " n"]:
    """Held-out scores of a classifier that sees the text alone: a bag of words, or character 2- to 4-grams.

    The folds are those of `cross_validate` with the same seed. What it reaches is there to be read without any model;
    only what a probe reaches beyond it says something about activations.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    labels = booleans(labels)
    same_length("texts", texts, len(labels))
    same_length("groups", groups, len(labels))
    both_classes(labels)
    if kind not in {"words", "characters"}:
        raise ValueError(f"kind is {kind!r}; expected 'words' or 'characters'")
    target, out = labels.cpu().numpy(), torch.zeros(len(labels))
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


def random_directions(
    like: Float[torch.Tensor, " d_model"], n: int = 20, seed: int = 0
) -> Float[torch.Tensor, "n d_model"]:
    """`n` directions drawn evenly from the sphere, each as long as `like`."""
    like = floating("like", like)
    if like.ndim != 1:
        raise ValueError(f"like has shape {tuple(like.shape)}; expected one direction, (d_model,)")
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(n, like.shape[0], generator=generator, dtype=torch.float64)
    return (F.normalize(drawn, dim=-1).to(like) * like.norm()).to(like)


def clip_norms(acts: Acts, factor: float = 4.0) -> Acts:
    """Shorten massive activations: rows longer than `factor` times the layer's median norm get exactly that length.

    A few tokens carry a residual a hundred times longer than the rest (Sun et al. 2024, arXiv 2402.17762); one of them
    in a training set decides where an unscaled probe points. Clip before fitting, or leave such rows out
    (`utils.reading.activations.massive_tokens` finds them), and say which.
    """
    acts = floating("acts", acts)
    if not factor > 0:
        raise ValueError(f"factor is {factor}; expected a number above 0")
    norms = acts.norm(dim=-1, keepdim=True)
    limit = factor * norms.median(dim=-2, keepdim=True).values
    return acts * torch.where(norms > limit, limit / norms.clamp_min(1e-12), torch.ones_like(norms))
