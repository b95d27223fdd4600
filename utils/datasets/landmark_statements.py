"""Landmarks as statements, true and false: a second topic with the same relation as cities ("is in")."""

from __future__ import annotations

from collections.abc import Sequence

from utils.datasets.card import Card
from utils.datasets.labelled import Labelled, check_templates, partner_names, swap, true_false
from utils.datasets.landmarks import Landmark, landmarks
from utils.inputs import Seed, checked

TEMPLATES = {
    "is located in": "The {landmark} is located in {city}.",
    "is not located in": "The {landmark} is not located in {city}.",
}
NEGATED = {"is not located in"}

CARD = Card(
    name="landmark_statements",
    what="Does this landmark stand in this city?",
    how_made=(
        "The landmarks of utils/datasets/landmarks.py that do not hold their city's name. Landmarks are partnered and "
        "partners swap cities, so every city is said as often truly as falsely, in every split."
    ),
    n=81,  # landmarks; each gives two statements a template
    licence="CC BY 4.0",
    leaks=(
        "Cities with several landmarks (Paris, New York) are met on both sides of a split by landmark.",
        "Famous landmarks stand next to their city's name in most texts: co-occurrence alone separates the classes.",
    ),
)


def _places() -> list[Landmark]:
    return [place for place in landmarks() if not place.names_its_city]


@checked
def landmark_statements(templates: Sequence[str] = ("is located in",), seed: Seed = 0) -> Labelled:
    """For each template and landmark one true statement and one false one. Two partnered landmarks are the group.

    Notes: landmark, city (the true one), said, negated. Raises ValueError for an unknown template.
    """
    check_templates(templates, TEMPLATES)
    places = _places()
    said, block = swap([place.city for place in places], seed=seed)
    groups = partner_names([place.name for place in places], block)
    rows = []
    for t, template in enumerate(templates):
        for i, place in enumerate(places):
            for city in (place.city, said[i]):
                rows.append(
                    {
                        "text": TEMPLATES[template].format(landmark=place.name, city=city),
                        "label": (city == place.city) != (template in NEGATED),
                        "group": groups[i],
                        "template": template,
                        "pair": t * len(places) + i,
                        "landmark": place.name,
                        "city": place.city,
                        "said": city,
                        "negated": template in NEGATED,
                    }
                )
    return true_false(rows, "landmark_statements", CARD)
