"""A map of regions: which information can be read where, on words whose neighbours say nothing about them.

What a fitted reader finds is present, and need not be used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from utils.devices import to_cpu
from utils.inputs import Count, Index, Range, Seed, checked

Reader = Literal["trained", "nearest mean"]
Rows = Annotated[int, Range(low=1, high=100_000)]


@dataclass(frozen=True)
class LabelledTokens:
    """Sequences of known words with labels at every position (-1: no label there). All are (n, pos).

    current, previous, following: which of the words stands there, before it, and after it (0, 1, …).
    place: place in its copy, from 0. copy: 0 in the first copy, 1 in the second.
    """

    tokens: Int[Tensor, "n pos"]
    current: Int[Tensor, "n pos"]
    previous: Int[Tensor, "n pos"]
    following: Int[Tensor, "n pos"]
    place: Int[Tensor, "n pos"]
    copy: Int[Tensor, "n pos"]


@checked
def repeated_words(
    word_ids: Int[Tensor, " word"] | Sequence[int], n: Rows, period: Count, *, start: Index | None, seed: Seed = 0
) -> LabelledTokens:
    """Rows of `period` different random words, each row said twice: tissue for a map with known answers.

    word_ids: one id a word. In random order no word says anything about the word before it, after it, or its place, so
    anything but `current` that can be read at a position was brought there by the model. `following` can only be known
    in the second copy; in the first it is the control. `previous` has no label at the first word of a copy, `following`
    none at its last. Raises ValueError for repeated ids or a period longer than the list.
    """
    words = to_cpu(torch.as_tensor(word_ids))
    if len(words) < 2 or len(words.unique()) != len(words):
        raise ValueError(f"word_ids must be two different ids or more, one a word, got {words.tolist()}")
    if len(words) and int(words.min()) < 0:
        raise ValueError(f"word_ids must be ids from 0, got {int(words.min())}")
    if not 2 <= period <= len(words):
        raise ValueError(f"period must be from 2 to {len(words)}, the number of words, got {period}")
    random = torch.Generator().manual_seed(seed)
    once = torch.stack([torch.randperm(len(words), generator=random)[:period] for _ in range(n)])
    none = torch.full((n, 1), -1)
    before, after = torch.cat([none, once[:, :-1]], 1), torch.cat([once[:, 1:], none], 1)
    place = torch.arange(period).expand(n, -1)
    zero = torch.zeros_like(once)

    def twice(first: Tensor, second: Tensor, at_start: Tensor = none) -> Tensor:
        return torch.cat([first, second] if start is None else [at_start, first, second], dim=1)

    ids = words[once]
    at_start = torch.full((n, 1), -1 if start is None else start)
    return LabelledTokens(
        tokens=twice(ids, ids, at_start),
        current=twice(once, once),
        previous=twice(before, before),
        following=twice(after, after),
        place=twice(place, place),
        copy=twice(zero, zero + 1),
    )


@checked
def read_labels(
    train: Float[Tensor, "n d_model"],
    train_labels: Int[Tensor, " n"],
    test: Float[Tensor, "m d_model"],
    reader: Reader = "trained",
) -> Int[Tensor, " m"]:
    """Guess labels from activations with one of two simple readers, and return the guesses for `test`, (m,).

    reader: "nearest mean" compares with the mean activation of each class and hears what is loud; "trained" fits a
    ridge classifier and also hears what is quiet. Coordinates are standardised on `train`. Which of the two you use
    changes the map: say which. Raises ValueError for an unknown reader, one class only, shapes that don't fit, or
    activations that aren't finite.
    """
    train, train_labels, test = to_cpu(train).float(), to_cpu(train_labels), to_cpu(test).float()
    classes, index = train_labels.unique(return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"train_labels must hold at least two classes, got {len(classes)}")
    centre, spread = train.mean(0), train.std(0) + 1e-6
    train, test = (train - centre) / spread, (test - centre) / spread
    one_hot = torch.nn.functional.one_hot(index).to(train)
    if reader == "nearest mean":
        means = (one_hot.T @ train) / one_hot.sum(0)[:, None]
        guess = torch.cdist(test, means).argmin(1)
    else:
        # A penalty as large as the data's own variance: few rows, many dimensions.
        gram = train.T @ train + 0.3 * len(train) * torch.eye(train.shape[1], dtype=train.dtype)
        share = one_hot.mean(0)
        weight = torch.linalg.solve(gram, train.T @ (one_hot - share))
        guess = (test @ weight + share).argmax(1)
    return classes[guess]


@checked
def region_map(
    stream: Float[Tensor, "index n pos d_model"],
    labels: Int[Tensor, "n pos"],
    *,
    test_rows: Int[Tensor, " m"] | Sequence[int],
    where: Bool[Tensor, "n pos"] | None = None,
    reader: Reader = "trained",
    shuffle_seed: Seed | None = None,
) -> Float[Tensor, "index m"]:
    """How well a property of tokens can be read at each depth, for rows the reader has not seen.

    stream: (index, n, pos, d_model). labels: (n, pos), -1 where there is none. test_rows: rows held out; the reader is
    fitted on the others. where: use only these positions. shuffle_seed: fit on shuffled labels, a control that must
    come out at chance. Returns (index, m): the share of right guesses in each held-out row, for a bootstrap over rows.
    Raises ValueError for shapes that don't fit, activations that aren't finite, no row to fit on, or a held-out row
    without any label.
    """
    stream, labels = to_cpu(stream), to_cpu(labels)
    used = labels >= 0 if where is None else (labels >= 0) & to_cpu(where)
    held_out = to_cpu(torch.as_tensor(test_rows)).long()
    if len(held_out) and not 0 <= int(held_out.min()) <= int(held_out.max()) < len(labels):
        raise ValueError(f"test_rows must be rows from 0 to {len(labels) - 1}, got {held_out.tolist()}")
    rows = torch.zeros(len(labels), dtype=torch.bool)
    rows[held_out] = True
    if rows.all() or not rows.any():
        raise ValueError(f"test_rows must name some of the {len(rows)} rows and not all, got {int(rows.sum())}")
    fit, held = used & ~rows[:, None], used & rows[:, None]
    counts = held[rows].sum(1)
    if not counts.all():
        raise ValueError("test_rows must have labels: a held-out row has no labelled position")
    fit_labels = labels[fit]
    if len(fit_labels.unique()) < 2:
        raise ValueError("labels must hold at least two classes in the rows that aren't held out, to fit a reader on")
    if shuffle_seed is not None:
        random = torch.Generator().manual_seed(shuffle_seed)
        fit_labels = fit_labels[torch.randperm(len(fit_labels), generator=random)]
    shares = []
    for layer in stream:
        right = read_labels(layer[fit], fit_labels, layer[held], reader) == labels[held]
        shares.append(torch.stack([part.float().mean() for part in right.split(counts.tolist())]))
    return torch.stack(shares)
