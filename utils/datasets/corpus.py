"""The corpus the shipped sparse autoencoder was trained on: about ten thousand excerpts of very different text.

Works (a book, an article, a module, a question) are held out whole, so that what is measured on the held-out part
is measured on documents never seen in training.
"""

from __future__ import annotations

import json
import lzma
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from utils.datasets.card import Card

__all__ = ["CARD", "Excerpt", "corpus"]

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
        "utils/authoring/make_corpus.py cuts works into excerpts of about a thousand characters. The sources are files "
        "inside packages of the Python package index at pinned versions (encyclopaedia articles, a modern Bible, fairy "
        "tales, two novels, verse, a workshop's proceedings, two parliaments, Python's manual, docstrings and code), "
        "and 1,536 answers that the specimen itself wrote about bridges, landmarks, cities and everyday things "
        "(utils/authoring/sample_topics.py). Six works in a hundred of each source are held out."
    ),
    n="see the counts printed by make_corpus; excerpts, not independent of each other within a work",
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
)


@lru_cache(maxsize=1)
def _rows() -> tuple[Excerpt, ...]:
    with lzma.open(PATH, "rt", encoding="utf-8") as lines:
        return tuple(Excerpt(**json.loads(line)) for line in lines)


def corpus(split: str = "train", source: str | None = None) -> tuple[Excerpt, ...]:
    """The excerpts of one side, in file order, or only those of one source.

    split: "train" or "held_out". source: one of the sources on the card, or None for all.
    Raises ValueError for another split or source.
    """
    if split not in ("train", "held_out"):
        raise ValueError(f'split must be "train" or "held_out", got {split!r}')
    sources = {row.source for row in _rows()}
    if source is not None and source not in sources:
        raise ValueError(f"source must be one of {', '.join(sorted(sources))}, got {source!r}")
    return tuple(row for row in _rows() if row.split == split and source in (None, row.source))
