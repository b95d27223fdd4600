"""A labelled set of sentences, and splits that keep every entity on one side.

A probe that has met *Paris* in training can score well on another sentence about Paris by recognising Paris. So every
sentence here carries the group it belongs to (its city, object, word pair ...), and the only split offered is by group.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from utils.datasets.card import Card


@dataclass(frozen=True)
class Labelled:
    """Sentences with a yes/no label, the entity each is about, and the template it was made from.

    texts: n sentences. labels: (n,) bool. groups: n entities; sentences of one group never part in a split.
    templates: n names; labels are balanced within each. pairs: (n,) int, equal for the sentences that differ only in
    what makes them true or false. notes: further columns, each of length n.
    """

    name: str
    texts: tuple[str, ...]
    labels: np.ndarray
    groups: tuple[str, ...]
    templates: tuple[str, ...]
    pairs: np.ndarray
    card: Card
    notes: dict[str, tuple] = field(default_factory=dict)

    def __post_init__(self) -> None:
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

    def take(self, rows: Sequence[int] | np.ndarray) -> Labelled:
        """The chosen rows (indices, or a boolean mask of length n), in that order."""
        rows = np.asarray(rows)
        if rows.dtype == bool:
            if rows.shape != (len(self),):
                raise ValueError(f"rows is a mask of shape {rows.shape}; expected ({len(self)},)")
            rows = np.flatnonzero(rows)
        rows = rows.astype(int)

        def pick(values: Sequence) -> tuple:
            return tuple(values[i] for i in rows)

        return replace(
            self,
            texts=pick(self.texts),
            labels=self.labels[rows],
            groups=pick(self.groups),
            templates=pick(self.templates),
            pairs=self.pairs[rows],
            notes={key: pick(values) for key, values in self.notes.items()},
        )

    def where(self, **columns: Hashable) -> Labelled:
        """Rows whose template, group or note equals what is asked: ``data.where(template="is not in")``."""
        keep = np.ones(len(self), dtype=bool)
        known = {"template": self.templates, "group": self.groups, "label": self.labels, **self.notes}
        for column, wanted in columns.items():
            if column not in known:
                raise ValueError(f"no column {column!r}; this set has {sorted(known)}")
            keep &= np.array([value == wanted for value in known[column]])
        return self.take(keep)

    def sample(self, n_groups: int, seed: int = 0) -> Labelled:
        """Every sentence of `n_groups` groups drawn without replacement."""
        names = sorted(set(self.groups))
        if not 1 <= n_groups <= len(names):
            raise ValueError(f"n_groups is {n_groups}; this set has {len(names)} groups")
        chosen = set(random.Random(seed).sample(names, n_groups))
        return self.take(np.array([group in chosen for group in self.groups]))

    def split(self, test_fraction: float = 0.3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Row numbers for training and testing, with every group on one side only.

        Returns (train, test), two integer arrays that together hold every row once.
        """
        return split_groups(self.groups, test_fraction=test_fraction, seed=seed)


def split_groups(
    groups: Sequence[Hashable], test_fraction: float = 0.3, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers for training and testing, with every group on one side only.

    Raises ValueError when there are fewer than two groups, or when a side would be empty.
    """
    if not 0 < test_fraction < 1:
        raise ValueError(f"test_fraction is {test_fraction}; expected a number between 0 and 1")
    names = sorted(set(groups), key=str)
    if len(names) < 2:
        raise ValueError(f"groups holds {len(names)} distinct group; at least 2 are needed to split by group")
    random.Random(seed).shuffle(names)
    n_test = min(max(1, round(len(names) * test_fraction)), len(names) - 1)
    held_out = set(names[:n_test])
    is_test = np.array([group in held_out for group in groups])
    return np.flatnonzero(~is_test), np.flatnonzero(is_test)


def derange(values: Sequence[str], forbidden: Sequence[set[str]] | None = None, seed: int = 0) -> list[str]:
    """Shuffle `values` so that no position keeps its own value (nor gets one that is forbidden there).

    The result holds exactly the same values, so each is used as often in a false sentence as in a true one: a reader
    of that word alone can't guess the label. Raises ValueError when no such order is found.
    """
    forbidden = forbidden or [set() for _ in values]
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


def swap(
    values: Sequence[str], forbidden: Sequence[set[str]] | None = None, seed: int = 0
) -> tuple[list[str], list[int]]:
    """Partner the positions off and let partners swap values: (what each gets, the number of its partnership).

    Paris gets Peru and Lima gets France. The four sentences of a partnership then hold each city once truly and once
    falsely, and each country too, so whatever is learnt about single words from other partnerships is worth nothing
    here: a reader of words is at chance in every split that keeps partners together. (A plain shuffle, `derange`, is
    balanced over the whole set only. In a split, a country said more often truly on one side is said more often falsely
    on the other, and a reader of words falls far *below* chance.)
    With an odd number of positions one partnership has three. Raises ValueError when none can be found.
    """
    forbidden = forbidden or [set() for _ in values]
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


def true_false(rows: Sequence[dict], name: str, card: Card) -> Labelled:
    """Pack rows (dicts with text, label, group, template, pair and any notes) into a Labelled set."""
    core = {"text", "label", "group", "template", "pair"}
    notes: dict[str, list] = defaultdict(list)
    for row in rows:
        for key in row:
            if key not in core:
                notes[key].append(row[key])
    return Labelled(
        name=name,
        texts=tuple(row["text"] for row in rows),
        labels=np.array([bool(row["label"]) for row in rows]),
        groups=tuple(row["group"] for row in rows),
        templates=tuple(row["template"] for row in rows),
        pairs=np.array([row["pair"] for row in rows], dtype=int),
        card=card,
        notes={key: tuple(values) for key, values in notes.items()},
    )
