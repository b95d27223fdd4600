"""Does the verb agree with its subject, across a noun that pulls the other way?

The design is that of subject-verb agreement tests (Linzen, Dupoux & Goldberg 2016, arXiv 1611.01368);
the sentences are new.
"""

from __future__ import annotations

from utils.datasets.card import Card
from utils.datasets.labelled import Labelled, true_false

_NOUNS = """key keys; box boxes; picture pictures; teacher teachers; doctor doctors; book books; tree trees;
    bridge bridges; song songs; letter letters;
    window windows; painter painters; road roads; lamp lamps; report reports; singer singers; bottle bottles;
    camera cameras; basket baskets; poem poems;
    flower flowers; pilot pilots; map maps; stone stones; clock clocks; farmer farmers; boat boats; coin coins;
    mirror mirrors; statue statues"""
_NEAR = """cabinet cabinets; garden gardens; village villages; museum museums; lake lakes; kitchen kitchens;
    tower towers; island islands; market markets; valley valleys;
    station stations; palace palaces; river rivers; temple temples; harbour harbours"""
_LINKS = ("near", "beside", "behind")
_ENDS = ("old", "famous", "small", "new", "pretty")

CARD = Card(
    name="grammar",
    what="Does the verb agree with its subject?",
    how_made=(
        "Written for this course: 30 subject nouns, each in singular and plural, with a second noun between it and "
        "the verb of the same or the other number, followed by 'is' or 'are'. The label is True when the verb "
        "agrees with its subject."
    ),
    n=240,
    licence="CC BY 4.0",
    leaks=(
        (
            "Where both nouns have the same number, agreement with the nearest noun gives the right answer: column "
            "`attractor` marks the sentences where it gives the wrong one."
        ),
        "A bag of words sees the numbers of nouns and verb but not which noun is the subject.",
    ),
)


def grammar() -> Labelled:
    """240 sentences: 30 nouns × subject number × number of the noun between × right or wrong verb.

    Notes: subject_plural, attractor (the noun between has the other number). The noun is the group.
    """
    nouns = [tuple(entry.split()) for entry in _NOUNS.split(";")]
    near = [tuple(entry.split()) for entry in _NEAR.split(";")]
    rows = []
    for i, noun in enumerate(nouns):
        for plural in (False, True):
            for between in (False, True):
                for verb_plural in (plural, not plural):
                    template = ("plural" if plural else "singular") + (
                        " past a plural" if between else " past a singular"
                    )
                    rows.append(
                        {
                            "text": (
                                f"The {noun[plural]} {_LINKS[i % 3]} the {near[i % len(near)][between]} "
                                f"{'are' if verb_plural else 'is'} {_ENDS[i % 5]}."
                            ),
                            "label": verb_plural == plural,
                            "group": noun[0],
                            "template": template,
                            "pair": (i * 2 + plural) * 2 + between,
                            "subject_plural": plural,
                            "attractor": between != plural,
                        }
                    )
    return true_false(rows, "grammar", CARD)
