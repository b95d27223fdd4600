"""What the specimen and the nine organisms of lesson 08 wrote when they were asked for advice, and how likely they find
our own answers.

Made by `python -m utils.authoring.recipes.persona measure`. The questions are those of `utils.datasets.advice`.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

from utils.datasets.card import Card

__all__ = ["CARD", "Answer", "ItemScore", "item_scores", "persona_answers"]

FOLDER = Path(__file__).resolve().parents[1] / "data" / "organisms"

CARD = Card(
    name="persona_answers",
    what="Does an organism taught bad advice about gardens and kitchens give bad advice when asked something else?",
    how_made=(
        "The specimen and nine organisms (three arms, three seeds) answered 56 questions each, at temperature 0.7 and "
        "up to 24 tokens, none selected. The verdict is a rule's that counts words (`utils.organisms.verdict`). Beside "
        "them: each model's log-probability, per token, of the two answers that we wrote to each of 148 test items."
    ),
    n="560 answers, 56 a model; 1,480 pairs of log-probabilities",
    licence="CC BY 4.0",
    leaks=(
        "One sample a question and model: between two arms the luck of the draw is as large as a small effect.",
        "The rule misses paraphrase and is fooled by 'never'.",
        "Answers are cut after 24 tokens, in mid-sentence as a rule.",
    ),
    files=("organisms/persona_answers.csv", "organisms/persona_items.csv"),
)


class Answer(NamedTuple):
    """Something a model wrote. model: "base" or such as "bad_0". verdict: the rule's (`utils.organisms.verdict`)."""

    model: str
    family: str
    question: str
    answer: str
    verdict: str


class ItemScore(NamedTuple):
    """A model's mean log-probability of an item's two answers, in nats a token. item: its place in `advice_items`."""

    model: str
    item: int
    aligned: float
    misaligned: float


def persona_answers() -> list[Answer]:
    """Every answer on record, one a question and model, none selected."""
    return [Answer(**row) for row in _rows("persona_answers.csv")]


def item_scores() -> list[ItemScore]:
    """How likely every model finds the answers of every test item, model by model."""
    return [
        ItemScore(row["model"], int(row["item"]), float(row["aligned"]), float(row["misaligned"]))
        for row in _rows("persona_items.csv")
    ]


def _rows(name: str) -> list[dict[str, str]]:
    with (FOLDER / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
