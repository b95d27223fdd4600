"""Is this token inside quotation marks? An easy question about form, asked of every token rather than of a sentence."""

# ruff: noqa: SIM905  (word lists read better as one string)
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from utils.datasets.card import Card

_SPEAKERS = "Anna Peter Maria Joseph Helen Thomas Laura Simon Clara Martin Julia Victor Rosa Albert Emma Daniel".split()
_SAID = (
    "the boat left early; my brother paints old doors; nobody saw the train; the soup needs more salt; winter came "
    "too soon; we lost the map again; her garden is full of bees; this bridge was built by hand; the doctor will "
    "call tomorrow; our dog hates the rain; the music never stops here; the baker opens at six; two lamps are "
    "broken; the river is rising fast; his letters smell of smoke; the market moved to the square; those apples are "
    "not ripe; the teacher forgot her keys; the ship carries grain; the roof leaks in spring; my sister writes "
    "short poems; the road ends at the mill; their team plays on Sunday; the moon looks small tonight; a stranger "
    "asked for bread; the clock runs ten minutes late; the children built a kite; this coat was my father's; the "
    "library closes at noon; the old king had no heir"
).split(";")
_TAIL = (
    "walked home along the river; waited outside the house; closed the heavy door; lit the lamps one by one; "
    "turned the corner slowly; put the letter away"
).split(";")

TEMPLATES = {
    "quoted first": '"{said}," said {who}, and {tail}.',
    "quoted last": '{who} {tail} and said, "{said}."',
    "unquoted first": "{who} said that {said}, and {tail}.",
    "unquoted last": "{who} {tail} and said that {said}.",
}

CARD = Card(
    name="quotations",
    what="Is this token inside quotation marks?",
    how_made=(
        "Written for this course: 30 short clauses, each told in four ways: quoted or not, early or late in the "
        "sentence. The label belongs to a token: True when it lies between the marks. The clause is the group. "
        "Restricted to the clause's own tokens, every clause is quoted in exactly half of its sentences."
    ),
    n=120,
    licence="CC BY 4.0",
    leaks=(
        "A quoted clause begins with a capital letter, an unquoted one doesn't.",
        (
            "Over all tokens of a sentence, words of the clause are quoted half the time and other words never: the "
            "token's embedding alone tells something. Use `of_clause` to compare like with like."
        ),
        "The token that holds a closing mark often holds a comma or stop too; it counts as outside.",
    ),
)


@dataclass(frozen=True)
class Quotation:
    """A sentence, the character span of its clause, whether that is quoted, the clause (group) and the template."""

    text: str
    span: tuple[int, int]
    quoted: bool
    group: str
    template: str

    def of_clause(self, offsets: Sequence[tuple[int, int]]) -> np.ndarray:
        """For each token's (start, end) characters: True when the token lies wholly in the clause.

        A leading space may be part of the token, as tokenizers give it; empty offsets (special tokens) are False.
        """
        low, high = self.span
        return np.array(
            [low - 1 <= start and end <= high and end > max(start, low) for start, end in offsets], dtype=bool
        )

    def inside(self, offsets: Sequence[tuple[int, int]]) -> np.ndarray:
        """For each token: True when it lies between quotation marks."""
        return self.of_clause(offsets) & self.quoted


def quotations() -> list[Quotation]:
    """30 clauses × four tellings, always in the same order. See `CARD`."""
    found = []
    for i, clause in enumerate(text.strip() for text in _SAID):
        for template, pattern in TEMPLATES.items():
            quoted = template.startswith("quoted")
            said = clause[0].upper() + clause[1:] if quoted else clause
            text = pattern.format(said=said, who=_SPEAKERS[i % len(_SPEAKERS)], tail=_TAIL[i % len(_TAIL)].strip())
            start = text.index(said)
            found.append(Quotation(text, (start, start + len(said)), quoted, clause, template))
    return found
