"""Twelve short passages of plain English, for measuring how surprising text is to a model.

Written for this course, so that no model can have read them before. Each is one paragraph of about sixty
words; the registers differ on purpose.
"""

from __future__ import annotations

from dataclasses import dataclass

from utils.datasets.card import Card

__all__ = ["CARD", "Passage", "passages"]

_PASSAGES: tuple[tuple[str, str], ...] = (
    (
        "story",
        "Marta reached the last stop of the tram just before dark. The driver switched off the lights, picked up "
        "his bag and nodded at her as if they had met before. Beyond the fence the allotments began, row after "
        "row of small sheds. She had the key in her pocket, and the number her grandmother had written down, "
        "but no idea which shed it belonged to.",
    ),
    (
        "recipe",
        "Peel the carrots and cut them into slices as thick as a coin. Melt the butter in a wide pan, add the "
        "carrots with a pinch of salt and half a glass of water, and cover. After ten minutes take off the lid "
        "and let the liquid boil away. Stir in the honey and the lemon juice at the very end, and serve them "
        "while they are still hot.",
    ),
    (
        "science",
        "Moss has no roots. It drinks through its leaves, which are only one cell thick, and when the weather "
        "turns dry it simply stops living for a while. A cushion of moss that has been brown and brittle for "
        "months will turn green again within minutes of a shower. Botanists have revived samples that had "
        "spent several years in a drawer.",
    ),
    (
        "news",
        "The town council voted on Tuesday to keep the old swimming pool open for another two years. Repairs to "
        "the roof will cost about four hundred thousand, half of which will come from a regional fund. Several "
        "members said they would have preferred to build a new pool near the station, but the owners of the "
        "land have so far refused to sell it.",
    ),
    (
        "letter",
        "Thank you for the photographs, which arrived this morning. It was strange to see the garden without the "
        "pear tree, although I know you had no choice after the storm. The children are well and ask about you "
        "every week. Tom has learned to ride his bicycle and has already fallen into the pond. Please write "
        "soon and tell us whether you can come in May.",
    ),
    (
        "instructions",
        "Before you change the battery, switch the lamp off and wait for a minute until it has cooled. Turn the "
        "lamp over and press the two clips on the bottom at the same time. The cover will come off. Take out the "
        "old battery and put in the new one so that the plus sign faces you. Never leave the battery where a "
        "small child could find it.",
    ),
    (
        "history",
        "For almost two centuries the ferry was the only way across the estuary. It carried farmers and their "
        "animals to the market in the morning and brought them home at night, and in hard winters it did not "
        "run at all. When the bridge was finally opened, the last ferryman was the first person to be driven "
        "over it. He is said to have kept his eyes closed all the way.",
    ),
    (
        "explanation",
        "A rainbow has no fixed place. What you see is light that has been bent and reflected inside millions of "
        "drops, and only those drops that stand at the right angle to you and the sun send any of it to your "
        "eyes. Take one step to the side and other drops do the work. Two people standing next to each other "
        "never look at quite the same rainbow.",
    ),
    (
        "dialogue",
        '"You are late," said the watchmaker without looking up. "I was here at nine," the boy answered, "but the '
        'door was locked." The old man put down his tweezers and looked at the wall, where eleven clocks showed '
        'eleven different times. "Which one did you go by?" he asked. The boy pointed to the smallest. "Ah," said '
        'the watchmaker. "That one has always been honest."',
    ),
    (
        "opinion",
        "People often complain that small shops are too expensive, and then wonder why their street is empty. A "
        "shop is not only a place where things are sold. It is a light in the window in November and somebody "
        "who notices when a neighbour has not been seen for a week. None of this appears on the price tag, and "
        "that is exactly why it disappears without anyone deciding that it should.",
    ),
    (
        "sport",
        "With five minutes left the visitors were two goals behind and had nothing to lose. Their coach sent on a "
        "seventeen-year-old who had never played at this level, and with his first touch he hit the post. His "
        "second was better. By the time the referee blew the whistle the score was level, the goalkeeper was in "
        "tears, and nobody in the stadium was still sitting down.",
    ),
    (
        "travel",
        "The path to the lighthouse is longer than it looks on the map. It follows the edge of the cliff for "
        "three miles, then drops to a beach of round grey stones where walking is hard work. Take water with "
        "you, because there is none on the way. If the tide is high you will have to wait, but there are worse "
        "places to sit for an hour than a warm rock above the sea.",
    ),
)

CARD = Card(
    name="passages",
    what="How surprising is plain English prose to a model?",
    how_made="Written for this course by its authors, one paragraph a register. Nothing was copied or generated.",
    n=len(_PASSAGES),
    licence="CC BY 4.0",
    leaks=(
        "All were written by the same authors in the same weeks: twelve passages are fewer than twelve authors.",
        "British spelling and tidy prose; text from the web is messier and more surprising.",
        "Short: a model that could use a whole book as context would be less surprised.",
    ),
)


@dataclass(frozen=True)
class Passage:
    """One paragraph and the kind of text it is."""

    register: str
    text: str


def passages() -> list[Passage]:
    """The twelve passages, always in the same order. See `CARD`."""
    return [Passage(register, text) for register, text in _PASSAGES]
