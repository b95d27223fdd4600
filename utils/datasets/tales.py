"""Passages of fairy tales that people wrote, and what some of them cost the specimen, token by token.

Human text for lesson 00: in the public domain, with a source, and long enough to be cut into an opening that the
specimen continues and the lines that really followed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from utils.datasets.card import Card
from utils.datasets.corpus import Excerpt, corpus
from utils.inputs import Index, checked

__all__ = ["CARD", "HeldOut", "held_out_surprisals", "tales"]

PATH = Path(__file__).resolve().parents[1] / "data" / "surprisals.jsonl"
SHORTEST = 600  # characters, about 150 tokens: room for an opening and what follows it
# Their English reads like one modern translator's, whose text is not free (the corpus is to lose them as well).
LEFT_OUT = frozenset(
    {
        "The Hare and the Hedgehog",
        "Herr Korbes",
        "Pack of Scoundrels",
        "The Crumbs on the Table",
        "The Wolf and the Man",
    }
)
MISPRINTED = {"CThe mother of Hans": "The mother of Hans"}  # how an excerpt begins, and how it should

CARD = Card(
    name="tales",
    what="What do people write after an opening, and what does the specimen write there?",
    how_made=(
        "Grimm's and Andersen's tales from the corpus of this course (source 'tales'), one excerpt a tale. "
        "surprisals.jsonl: 24 tokens of each second excerpt, then the 40 that follow, once as printed and once as the "
        "specimen wrote them (nucleus 0.9, seed 2): bits a token, by utils/authoring/recipes/surprisals.py."
    ),
    n="one excerpt for each of about fifty tales; the surprisals are of a second excerpt of those that have one",
    licence="public domain (Grimm and Andersen, 19th-century translations); surprisals CC0",
    leaks=(
        "A few translators wrote them all: fifty tales are fewer than fifty authors.",
        "Most first excerpts are a tale's beginning, a few ('Brier Rose') start in its middle.",
        "Famous tales were almost surely in the specimen's training data, so people's lines may cost it too few bits.",
        "A hundred and fifty years old: 'thou' and 'hath' alone tell them from what a model writes today.",
    ),
    files=("surprisals.jsonl",),
)


class HeldOut(NamedTuple):
    """Bits of 40 tokens after one opening: as a person wrote on (`human`), and as the specimen did (`nucleus`)."""

    work: str
    human: tuple[float, ...]
    nucleus: tuple[float, ...]


@checked
def tales(which: Index = 0) -> tuple[Excerpt, ...]:
    """One excerpt a tale, in alphabetical order of the tales: its first long one (which=0), its second (1), and so on.

    Raises ValueError where no tale has so many.
    """
    by_work: dict[str, list[Excerpt]] = {}
    for row in [*corpus("held_out", "tales"), *corpus("train", "tales")]:
        if row.work not in LEFT_OUT and len(row.text) >= SHORTEST:
            for wrong, right in MISPRINTED.items():
                if row.text.startswith(wrong):
                    row = row._replace(text=right + row.text.removeprefix(wrong))
            by_work.setdefault(row.work, []).append(row)
    found = tuple(by_work[work][which] for work in sorted(by_work) if len(by_work[work]) > which)
    if not found:
        raise ValueError(f"which must be below {max(map(len, by_work.values()))}, got {which}: no tale has so many")
    return found


@lru_cache(maxsize=1)
def held_out_surprisals() -> Sequence[HeldOut]:
    """What the lines after each second excerpt's opening cost, as printed and as the specimen wrote on. See `CARD`."""
    rows = [json.loads(line) for line in PATH.read_text(encoding="utf-8").splitlines()]
    return tuple(HeldOut(row["work"], tuple(row["human"]), tuple(row["nucleus"])) for row in rows)
