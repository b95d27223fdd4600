"""Splits by group, and sweeps that never score a row by a probe that met its group."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from jaxtyping import Float

from utils.inputs import MOST, Groups, Positive, Range, Seed, checked
from utils.probing.inputs import Acts, Labels, both_classes, members, ready
from utils.probing.probes import Method, Probe, fit, fit_with
from utils.probing.scores import auroc

Folds = Annotated[int, Range(low=2, high=MOST)]


@checked
def group_folds(groups: Groups, n_folds: Folds = 5, seed: Seed = 0) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """(train, test) row numbers, fold after fold; a group is never on both sides, and every row is tested once.

    Raises ValueError when there are fewer groups than folds.
    """
    names = sorted(set(groups), key=str)
    if len(names) < n_folds:
        raise ValueError(f"groups holds {len(names)} distinct group(s); {n_folds} folds need at least {n_folds}")
    random.Random(seed).shuffle(names)
    fold_of = {name: i % n_folds for i, name in enumerate(names)}
    fold = torch.tensor([fold_of[group] for group in groups])
    return iter([(torch.nonzero(fold != k).squeeze(-1), torch.nonzero(fold == k).squeeze(-1)) for k in range(n_folds)])


@checked
def cross_validate(
    acts: Acts,
    labels: Labels,
    groups: Groups,
    method: Method | Callable[..., Probe] = "means",
    *,
    n_folds: Folds = 5,
    seed: Seed = 0,
    **options: Any,
) -> Float[torch.Tensor, "*layer n"]:
    """Held-out scores for every row: each is scored by a probe that never met its group.

    acts: (n, d_model) or a stack. method: "means", "lda", "logistic", or your own `f(acts, labels, **options)` that
    returns something with `scores`. Scores of different folds are put on one scale: each fold's probe is divided by
    the spread of its training scores, with zero kept as the threshold. Raises TypeError or ValueError for groups that
    aren't one name a row, fewer groups than folds, or a fold whose training part holds one class only.
    """
    acts, labels = ready(acts, labels)
    members(groups, len(labels))
    out = torch.zeros(acts.shape[:-1], dtype=acts.dtype, device=acts.device)
    for train, test in group_folds(groups, n_folds, seed):
        train, test = train.to(acts.device), test.to(acts.device)
        both_classes(labels[train], "the training part of a fold")
        probe = fit_with(method, acts[..., train, :], labels[train], options)
        spread = probe.scores(acts[..., train, :]).std(-1, keepdim=True).clamp_min(1e-12)
        out[..., test] = probe.scores(acts[..., test, :]) / spread
    return out


@dataclass(frozen=True)
class Nested:
    """Honest scores of a probe whose layer and penalty were chosen without looking at the rows it is tested on."""

    scores: Float[torch.Tensor, " n"]
    layers: list[int]
    penalties: list[float]


@checked
def nested(
    acts: Float[torch.Tensor, "layer n d_model"],
    labels: Labels,
    groups: Groups,
    method: Method = "logistic",
    *,
    penalties: Sequence[Positive] = (1.0, 10.0, 100.0),
    n_folds: Folds = 5,
    inner_folds: Folds = 3,
    seed: Seed = 0,
) -> Nested:
    """Cross-validation inside cross-validation: choose layer and penalty on training groups only, test on the rest.

    The best layer of a curve, reported with that curve's own score, is a number chosen for being high. Here each outer
    fold chooses by AUROC over inner folds. penalties is used by "logistic" (as `l2`); "means" has none to choose.
    Returns held-out scores (n,), each fold's chosen layer, and its penalty where there was one to choose.
    """
    acts, labels = ready(acts, labels)
    members(groups, len(labels))
    if not len(penalties):
        raise ValueError("penalties is empty; give at least one number")
    settings = [{"l2": p} for p in penalties] if method == "logistic" else [{}]
    out = torch.zeros(len(labels), dtype=acts.dtype, device=acts.device)
    layers: list[int] = []
    chosen: list[float] = []
    for train, test in group_folds(groups, n_folds, seed):
        train, test = train.to(acts.device), test.to(acts.device)
        inner_groups = [groups[i] for i in train.tolist()]
        inner = torch.stack(
            [
                auroc(
                    cross_validate(
                        acts[:, train],
                        labels[train],
                        inner_groups,
                        method,
                        n_folds=inner_folds,
                        seed=seed + 1,
                        **options,
                    ),
                    labels[train],
                )
                for options in settings
            ]
        )
        which, layer = divmod(int(inner.argmax()), acts.shape[0])
        probe = fit(acts[layer, train], labels[train], method, **settings[which])
        spread = probe.scores(acts[layer, train]).std().clamp_min(1e-12)
        out[test] = probe.scores(acts[layer, test]) / spread
        layers.append(layer)
        chosen += settings[which].values()
    return Nested(out, layers, chosen)
