"""Texts of many lengths in one pass: sorted by length, padded, and the padding never read.

Padding goes to the right wherever a whole text is read at once: attention is causal, so no real token can see what
comes after it, no mask is needed, and any id will do. It goes to the left, with a mask, where text is written: there
the last column has to be the last token of every row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Int

from utils.inputs import Count, Index, checked

__all__ = ["length_sorted_batches", "padded", "padded_left", "same_length_batches"]


@checked
def length_sorted_batches(lengths: Sequence[Index], tokens_per_batch: Count) -> list[list[int]]:
    """Indices grouped so that similar lengths run together, at most tokens_per_batch tokens, padding too.

    A text longer than that runs alone.

    >>> length_sorted_batches([5, 2, 9, 2], tokens_per_batch=10)
    [[1, 3], [0], [2]]
    """
    batches: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        # Sorted, so this text is the longest so far: adding it makes every row this long.
        if batches and lengths[i] * (len(batches[-1]) + 1) <= tokens_per_batch:
            batches[-1].append(i)
        else:
            batches.append([i])
    return batches


@checked
def same_length_batches(lengths: Sequence[Index], batch_size: Count) -> Iterator[list[int]]:
    """Indices of texts of exactly one length, at most `batch_size` at a time, so that nothing is padded.

    >>> list(same_length_batches([5, 2, 5, 5], batch_size=2))
    [[0, 2], [3], [1]]
    """
    by_length: dict[int, list[int]] = {}
    for i, length in enumerate(lengths):
        by_length.setdefault(length, []).append(i)
    for rows in by_length.values():
        yield from (rows[k : k + batch_size] for k in range(0, len(rows), batch_size))


def padded(rows: Sequence[Int[torch.Tensor, "_"]]) -> Int[torch.Tensor, "batch pos"]:
    """Rows of ids in one tensor, filled up with 0 on the right."""
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True)


def padded_left(
    rows: Sequence[Int[torch.Tensor, "_"]],
) -> tuple[Int[torch.Tensor, "batch pos"], Int[torch.Tensor, "batch pos"]]:
    """Rows of ids in one tensor, filled up with 0 on the left, and the mask: 1 for tokens, 0 for padding."""
    longest = max(map(len, rows))
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, longest - len(row) :] = row
        mask[i, longest - len(row) :] = 1
    return ids, mask
