"""Every claim that the judge of lesson 04 was trained on, in order, with the question it was asked.

Made by `python -m utils.authoring.recipes.judge`, from `cities`, `colours`, `spanish` and a topic of its own.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

from utils.datasets.card import Card

__all__ = ["CARD", "JudgeClaim", "judge_claims"]

PATH = Path(__file__).resolve().parents[1] / "data" / "organisms" / "judge_claims.csv"

CARD = Card(
    name="judge_claims",
    what="What was the judge taught? A true and a false claim about one entity, and the question it had to answer.",
    how_made=(
        "Eight entities a training step, dealt by seed: cities and coloured things that aren't kept for testing, "
        "Spanish words, and kinds of things (a sparrow is a bird) listed in utils/authoring/recipes/judge.py. Each is "
        "shown in a true and in a false version with one template and one question."
    ),
    n=1280,
    licence="CC BY 4.0 (cities from GeoNames)",
    leaks=(
        "Made to train with, not to test with: whoever reports a judge's score on these rows reports its memory.",
        "Entities come back in later steps with other partners: rows of one entity are not independent.",
        "All claims affirm; none of them is negated.",
    ),
    files=("organisms/judge_claims.csv",),
)


class JudgeClaim(NamedTuple):
    """One entity in one training step. question: a name in the judge's list of questions. true, false: the claims."""

    step: int
    topic: str
    entity: str
    question: str
    true: str
    false: str


def judge_claims() -> list[JudgeClaim]:
    """The claims, in the order of training."""
    with PATH.open(encoding="utf-8", newline="") as file:
        return [JudgeClaim(int(row.pop("step")), **row) for row in csv.DictReader(file)]
