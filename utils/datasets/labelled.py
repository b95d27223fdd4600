"""A labelled set of sentences, and splits that keep every entity on one side.

A probe that has met *Paris* in training can score well on another sentence about Paris by recognising Paris. So every
sentence here carries the group it belongs to (its city, object, word pair ...), and the only split offered is by group.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Int

from utils.datasets.card import Card
from utils.inputs import (
    Count,
    Fraction,
    Groups,
    Labels,
    Seed,
    Texts,
    boolean_labels,
    checked,
    numbers_or_bools,
    one_of,
    same_length,
    what,
    whole,
)


@checked
@dataclass(frozen=True)
class Labelled:
    """Sentences with a yes/no label, the entity each is about, and the template it was made from.

    texts: n sentences. labels: (n,) bool. groups: n entities; sentences of one group never part in a split.
    templates: n names; labels are balanced within each. pairs: (n,) int, equal for the sentences that differ only in
    what makes them true or false. notes: further columns, each of length n.
    Raises TypeError or ValueError for columns of other kinds, naming the row, or of unequal lengths.
    """

    name: str
    texts: Texts
    labels: Labels
    groups: Groups
    templates: Sequence[str]
    pairs: Int[np.ndarray, "n"]
    card: Card
    notes: Mapping[str, Sequence] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for column in ("texts", "groups", "templates"):  # nobody should change a row of it
            object.__setattr__(self, column, tuple(getattr(self, column)))
        n = len(self.texts)
        columns = {
            "labels": self.labels,
            "groups": self.groups,
            "templates": self.templates,
            "pairs": self.pairs,
        }
        for column, values in {**columns, **self.notes}.items():
            if len(values) != n:
                raise ValueError(f"{column} has {len(values)} entries; expected {n}, one for each text")

    def __len__(self) -> int:
        return len(self.texts)

    def __repr__(self) -> str:
        true = int(self.labels.sum())
        return (
            f"Labelled({self.name!r}, n = {len(self)}: {true} true, {len(self) - true} false; "
            f"{len(set(self.groups))} groups, {len(set(self.templates))} templates)"
        )

    def take(self, rows: Sequence[int] | Sequence[bool] | np.ndarray) -> Labelled:
        """The chosen rows (indices, or a boolean mask of length n), in that order.

        Raises TypeError for anything but whole numbers or a mask, ValueError for rows there are none of.
        """
        chosen = numbers_or_bools("rows", rows, "whole numbers or a mask")
        if chosen.ndim != 1 or (chosen.dtype == bool and len(chosen) != len(self)):
            raise ValueError(f"rows must be (k,) indices or a mask ({len(self)},), got shape {chosen.shape}")
        if chosen.dtype == bool:
            chosen = np.flatnonzero(chosen)
        elif chosen.size and chosen.dtype.kind not in "iu":
            raise TypeError(f"rows must be whole numbers or a mask, got {what(rows)}")
        chosen = chosen.astype(int)
        if chosen.size and not (-len(self) <= chosen.min() and chosen.max() < len(self)):
            raise ValueError(f"rows must be between 0 and {len(self) - 1}, got {chosen.min()} to {chosen.max()}")

        def pick(values: Sequence) -> tuple:
            return tuple(values[i] for i in chosen)

        return replace(
            self,
            texts=pick(self.texts),
            labels=self.labels[chosen],
            groups=pick(self.groups),
            templates=pick(self.templates),
            pairs=self.pairs[chosen],
            notes={key: pick(values) for key, values in self.notes.items()},
        )

    def where(self, **columns: Any) -> Labelled:
        """Rows whose template, group, label or note equals what is asked: ``data.where(template="is not in")``.

        Raises ValueError for a column there isn't, and for a value that never occurs in its column.
        """
        keep = np.ones(len(self), dtype=bool)
        known = {"template": self.templates, "group": self.groups, "label": self.labels, **self.notes}
        for column, wanted in columns.items():
            values = known[one_of("column", column, sorted(known))]
            sought = boolean_labels("label", [wanted])[0] if column == "label" else wanted
            here = np.array([bool(value == sought) for value in values])
            if not here.any():
                raise ValueError(f"{column} must occur in the set, got {wanted!r}; there are {_some(values)}")
            keep &= here
        return self.take(keep)

    @checked
    def sample(self, n_groups: Count, seed: Seed = 0) -> Labelled:
        """Every sentence of `n_groups` groups drawn without replacement."""
        names = sorted(set(self.groups), key=str)
        if n_groups > len(names):
            raise ValueError(f"n_groups must be at most {len(names)}, the groups of this set, got {n_groups}")
        chosen = set(random.Random(seed).sample(names, n_groups))
        return self.take(np.array([group in chosen for group in self.groups]))

    def split(self, test_fraction: Fraction = 0.3, seed: Seed = 0) -> tuple[np.ndarray, np.ndarray]:
        """Row numbers for training and testing, with every group on one side only.

        Returns (train, test), two integer arrays that together hold every row once.
        """
        return split_groups(self.groups, test_fraction=test_fraction, seed=seed)


@checked
def split_groups(groups: Groups, test_fraction: Fraction = 0.3, seed: Seed = 0) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers for training and testing, with every group on one side only.

    groups: one name a row: a list, an array or a tensor. Raises ValueError when there are fewer than two groups.
    """
    names = sorted(set(groups), key=str)
    if len(names) < 2:
        raise ValueError(f"groups holds {len(names)} distinct group; at least 2 are needed to split by group")
    random.Random(seed).shuffle(names)
    n_test = min(max(1, round(len(names) * test_fraction)), len(names) - 1)
    held_out = set(names[:n_test])
    is_test = np.array([group in held_out for group in groups])
    return np.flatnonzero(~is_test), np.flatnonzero(is_test)


@checked
def derange(values: Sequence[str], forbidden: Sequence[Set[str]] | None = None, seed: Seed = 0) -> list[str]:
    """Shuffle `values` so that no position keeps its own value (nor gets one that is forbidden there).

    The result holds exactly the same values, so each is used as often in a false sentence as in a true one: a reader
    of that word alone can't guess the label. Raises ValueError when no such order is found.
    """
    forbidden = _forbidden(values, forbidden)
    banned = [{value} | set(extra) for value, extra in zip(values, forbidden, strict=True)]
    rng = random.Random(seed)
    for _ in range(50):
        order = list(values)
        rng.shuffle(order)
        for _ in range(20):
            wrong = [i for i, value in enumerate(order) if value in banned[i]]
            if not wrong:
                return order
            for i in wrong:
                for j in rng.sample(range(len(order)), len(order)):
                    if order[j] not in banned[i] and order[i] not in banned[j]:
                        order[i], order[j] = order[j], order[i]
                        break
    worst = Counter(values).most_common(1)[0]
    raise ValueError(f"values can't be deranged: {worst[0]!r} fills {worst[1]} of {len(values)} places")


@checked
def swap(
    values: Sequence[str], forbidden: Sequence[Set[str]] | None = None, seed: Seed = 0
) -> tuple[list[str], list[int]]:
    """Partner the positions off and let partners swap values: (what each gets, the number of its partnership).

    Paris gets Peru and Lima gets France. The four sentences of a partnership then hold each city once truly and once
    falsely, and each country too, so whatever is learnt about single words from other partnerships is worth nothing
    here: a reader of words is at chance in every split that keeps partners together. (A plain shuffle, `derange`, is
    balanced over the whole set only. In a split, a country said more often truly on one side is said more often falsely
    on the other, and a reader of words falls far *below* chance.)
    With an odd number of positions one partnership has three. Raises ValueError when none can be found.
    """
    forbidden = _forbidden(values, forbidden)
    banned = [{value} | set(extra) for value, extra in zip(values, forbidden, strict=True)]
    rng = random.Random(seed)
    common = Counter(values)
    for _ in range(200):
        free = list(range(len(values)))
        rng.shuffle(free)
        free.sort(key=lambda i: -common[values[i]] - len(banned[i]))  # the hardest to place go first
        block, number = [-1] * len(values), 0
        said = [""] * len(values)
        left = []
        while free:
            i = free.pop(0)
            able = [j for j in free if values[j] not in banned[i] and values[i] not in banned[j]]
            if not able:
                left.append(i)
                continue
            j = rng.choice(able)
            free.remove(j)
            said[i], said[j] = values[j], values[i]
            block[i] = block[j] = number
            number += 1
        if len(left) == 1 and number:
            (i,) = left
            for j in rng.sample(range(len(values)), len(values)):
                if j == i:
                    continue
                k = next(m for m in range(len(values)) if m != j and block[m] == block[j])
                if all(values[b] not in banned[a] for a, b in ((i, j), (j, k), (k, i))):
                    said[i], said[j], said[k] = values[j], values[k], values[i]
                    block[i] = block[j]
                    left = []
                    break
        if not left:
            return said, block
    worst = common.most_common(1)[0]
    raise ValueError(f"values can't be partnered: {worst[0]!r} fills {worst[1]} of {len(values)} places")


def partner_names(names: Sequence[str], block: Sequence[int]) -> list[str]:
    """A readable name for each position's partnership: "Lima + Paris"."""
    members: dict[int, list[str]] = defaultdict(list)
    for name, number in zip(names, block, strict=True):
        members[number].append(name)
    return [" + ".join(sorted(members[number])) for number in block]


@checked
def true_false(rows: Sequence[Mapping], name: str, card: Card) -> Labelled:
    """Pack rows (dicts with text, label, group, template, pair and any notes) into a Labelled set.

    Rows may come from `csv.DictReader`: a label is True or False, 1 or 0, or those words ("0", "false", "1.0"), and a
    pair a whole number or its digits. Raises TypeError or ValueError for anything else, and for a row that lacks a
    column, naming the row.
    """
    if not rows:
        raise ValueError("rows is empty: a set needs at least one sentence")
    core = ("text", "label", "group", "template", "pair")
    columns: dict[str, list] = {key: [] for key in (*core, *(key for key in rows[0] if key not in core))}
    for i, row in enumerate(rows):
        if row.keys() != columns.keys():
            odd = sorted(map(str, row.keys() ^ columns.keys()))
            raise ValueError(f"rows[{i}] must have the columns {list(columns)}; missing or not in others: {odd}")
        for key, value in row.items():
            columns[key].append(value)
    texts, labels, groups, templates, pairs = (columns.pop(key) for key in core)
    return Labelled(
        name=name,
        texts=texts,
        labels=boolean_labels("rows: label", labels),
        groups=groups,
        templates=templates,
        pairs=np.array([_whole_of(i, pair) for i, pair in enumerate(pairs)], dtype=int),
        card=card,
        notes={key: tuple(values) for key, values in columns.items()},
    )


def check_templates(templates: Sequence[str], known: Collection[str]) -> None:
    """Raise ValueError unless there are templates, each known and none named twice."""
    if not templates or len(set(templates)) < len(templates) or not set(templates) <= set(known):
        raise ValueError(f"templates must be among {sorted(known)}, each at most once, got {list(templates)}")


def _forbidden(values: Sequence[str], forbidden: Sequence[Set[str]] | None) -> Sequence[Set[str]]:
    if forbidden is None:
        return [set() for _ in values]
    same_length(values=values, forbidden=forbidden)
    return forbidden


def _some(values: Iterable) -> str:
    names = list(dict.fromkeys(map(repr, values)))
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "")


def _whole_of(row: int, pair: Any) -> int:
    if isinstance(pair, str) and pair.strip().isdecimal():
        return int(pair)
    return whole(f"rows[{row}]: pair", pair)
