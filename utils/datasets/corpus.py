"""The corpus the shipped sparse autoencoder was trained on: about ten thousand excerpts of very different text.

Works (a book, an article, a module, a question) are held out whole, so that what is measured on the held-out part
is measured on documents never seen in training.
"""

from __future__ import annotations

import json
import lzma
import random
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

from utils.datasets.card import Card
from utils.inputs import Count, Index, Seed, checked, one_of

__all__ = ["CARD", "Excerpt", "corpus", "corpus_sample"]

PATH = Path(__file__).resolve().parents[1] / "data" / "corpus.jsonl.xz"


class Excerpt(NamedTuple):
    """About a thousand characters of one work; split is "train" or "held_out"."""

    source: str
    work: str
    split: str
    text: str


CARD = Card(
    name="corpus",
    what="Excerpts of very different text, whose activations the shipped sparse autoencoder was trained on.",
    how_made=(
        "utils/authoring/recipes/corpus.py cuts works into excerpts of a thousand characters or so. Sources are files "
        "inside packages of the Python package index at pinned versions (encyclopaedia articles, a modern Bible, fairy "
        "tales, two novels, verse, a workshop's proceedings, two parliaments, Python's manual, docstrings and code), "
        "and 1,536 answers that the specimen itself wrote about bridges, landmarks, cities and everyday things "
        "(utils/authoring/recipes/sample_topics.py). Six works in a hundred of each source are held out."
    ),
    n="see the counts printed by its recipe; excerpts, not independent of each other within a work",
    licence=(
        "mixed, by source: Wikipedia CC BY-SA 4.0; Bible, tales, novels, verse and workshop public domain; House of "
        "Commons Open Parliament Licence; Spanish Congress official record; manual and code PSF licence; docstrings "
        "BSD-3-Clause; the specimen's answers CC0"
    ),
    leaks=(
        "The articles all begin with the letter A (an alphabetical dump): no fair sample of subjects.",
        "The specimen's answers were sampled because they speak of bridges and places, and are often untrue.",
        "Held-out works come from the same sources as training works: text of another kind is reconstructed worse.",
        "Some of it (Wikipedia, the Bible, Shakespeare) was surely in the specimen's own training data.",
    ),
    files=("corpus.jsonl.xz",),
)


@lru_cache(maxsize=1)
def _rows() -> tuple[Excerpt, ...]:
    with lzma.open(PATH, "rt", encoding="utf-8") as lines:
        return tuple(Excerpt(**json.loads(line)) for line in lines)


@checked
def corpus(split: Literal["train", "held_out"] = "train", source: str | None = None) -> tuple[Excerpt, ...]:
    """The excerpts of one side, in file order, or only those of one source.

    split: "train" or "held_out". source: one of the sources on the card, or None for all.
    Raises ValueError for another split or source.
    """
    if source is not None:
        one_of("source", source, sorted({row.source for row in _rows()}))
    return tuple(row for row in _rows() if row.split == split and source in (None, row.source))


@checked
def corpus_sample(
    split: Literal["train", "held_out"], per_source: Count, also: Mapping[str, Index] | None = None, seed: Seed = 0
) -> tuple[Excerpt, ...]:
    """A small mixed sample: `per_source` excerpts of every source in turn, then some that hold what is wanted.

    also: regular expression -> how many further excerpts that match it (case matters), because what is rare would
    hardly be met in a small sample. The same seed gives the same excerpts, none of them twice.
    Raises ValueError as `corpus` does, for per_source below 1, what is no regular expression, and if there are fewer
    excerpts than asked for.
    """
    for pattern in also or {}:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"also holds {pattern!r}, which is no regular expression: {error}") from None
    rows = list(corpus(split))
    random.Random(seed).shuffle(rows)
    by_source: dict[str, list[Excerpt]] = {}
    for row in rows:
        by_source.setdefault(row.source, []).append(row)
    if short := [source for source, found in by_source.items() if len(found) < per_source]:
        raise ValueError(f"fewer than {per_source} {split} excerpts of {', '.join(sorted(short))}")
    chosen = [by_source[source][i] for i in range(per_source) for source in sorted(by_source)]
    for pattern, n in (also or {}).items():
        taken = set(chosen)
        found = [row for row in rows if row not in taken and re.search(pattern, row.text)][:n]
        if len(found) < n:
            raise ValueError(f"only {len(found)} further {split} excerpts match {pattern!r}, expected {n}")
        chosen += found
    return tuple(chosen)
