"""Sentences about one famous bridge, and about everything that a detector for it might mistake for it.

One sentence frame, five things said in it: what differs between two groups is the name alone. A latent that is on for
"Golden Gate Bridge" may stand for that bridge, for bridges, for San Francisco, for sights, or for a word; each group
beside it rules one of these out.
"""

from __future__ import annotations

from typing import NamedTuple

from utils.datasets.card import Card

__all__ = ["CARD", "Sight", "bridges"]

NAMES: dict[str, tuple[str, ...]] = {
    "golden gate": ("the Golden Gate Bridge",),
    "other bridge": ("the Brooklyn Bridge", "the Tower Bridge", "the Sydney Harbour Bridge", "the Rialto Bridge"),
    "same city": ("Alcatraz Island", "Lombard Street", "Fisherman's Wharf", "the San Francisco City Hall"),
    "other sight": ("the Eiffel Tower", "the Louvre", "the Colosseum", "the Taj Mahal"),
    "same words": ("the golden gate", "the gate of the golden palace", "the wooden gate", "the golden lion"),
}

FRAMES = (
    "We walked to {name} after breakfast.",
    "My sister painted a picture of {name} last summer.",
    "There was a long article about {name} in the newspaper.",
    "The old photograph shows {name} in the fog.",
    "He proposed to her in front of {name} at sunset.",
    "From the window of the hotel you can see {name} in the distance.",
    "Thousands of people visit {name} every year.",
    "I have never been to {name} before.",
    "She wrote her first poem about {name} when she was nine.",
    "The children ran all the way to {name} and back.",
    "In the film the hero hides near {name} for three days.",
    "They want to repair {name} before the winter.",
    "The guide told us the story of {name} twice.",
    "On the postcard there was a drawing of {name} in blue ink.",
    "Nobody had warned us how crowded {name} would be.",
    "It took us an hour to reach {name} by bus.",
    "The book begins with a description of {name} at night.",
    "Her office has a view of {name} and the hills.",
    "The police closed the road to {name} this morning.",
    "He dreamed of {name} for many years.",
)

CARD = Card(
    name="bridges",
    what="Is this sentence about the Golden Gate Bridge, or about something near it in one respect?",
    how_made=(
        "Twenty sentence frames, written for this course, each filled with a name of every group: the bridge, other "
        "bridges, other sights of the same city, sights elsewhere, and the words golden and gate in another sense."
    ),
    n=len(FRAMES) * len(NAMES),
    licence="CC BY 4.0",
    leaks=(
        "The first group has one name, the others four: one bridge is compared with kinds of thing.",
        "Frames are shared by all groups, so sentences are not independent between groups: compare them pairwise.",
        "A name's last token differs between groups (Bridge, Tower, Street), and a detector of words can use it.",
    ),
)


class Sight(NamedTuple):
    """A sentence, the group of the name in it, the name, and which frame it was made from.

    span: the name's first and last + 1 character in the sentence.
    """

    text: str
    group: str
    name: str
    frame: int

    @property
    def span(self) -> tuple[int, int]:
        start = self.text.index(self.name)
        return start, start + len(self.name)


def bridges() -> list[Sight]:
    """Twenty sentences a group, frame by frame, always in the same order. See `CARD`."""
    return [
        Sight(frame.format(name=names[i % len(names)]), group, names[i % len(names)], i)
        for i, frame in enumerate(FRAMES)
        for group, names in NAMES.items()
    ]
