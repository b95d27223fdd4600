"""The landmarks and the dataset card: what they promise, and what they refuse."""

import pytest

from utils import datasets
from utils.datasets import Card, Landmark


def test_landmarks_are_what_their_card_says():
    places = datasets.landmarks(more=True)
    assert len(places) == datasets.card("landmarks").n == len({place.name for place in places})
    assert (
        places[: len(datasets.landmarks())] == datasets.landmarks()
    )  # the order is part of the promise: pairs are made in it
    assert places[0] == Landmark("Golden Gate Bridge", "San Francisco")
    assert all(place.name.strip() == place.name and place.city.strip() == place.city for place in places)
    assert all(place.name.isascii() and place.city.isascii() for place in places)


def test_names_that_give_the_city_away_are_marked():
    marked = {place.name for place in datasets.landmarks() if place.names_its_city}
    assert {"London Eye", "Tokyo Tower"} <= marked and "Eiffel Tower" not in marked


def test_a_template_holds_the_landmark_once():
    assert Landmark("Alamo", "San Antonio").prompt("Where is {landmark}?") == "Where is Alamo?"
    for template in ("Where is it?", "{landmark} or {landmark}?"):
        with pytest.raises(ValueError, match="exactly once"):
            Landmark("Alamo", "San Antonio").prompt(template)


def card(**changes):
    fields = {"name": "a", "what": "b?", "how_made": "c", "n": 3, "licence": "CC BY 4.0", "leaks": ("d",)}
    return Card(**{**fields, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": " "}, "Card.name must be a non-empty text"),
        ({"what": ""}, "Card.what must be"),
        ({"licence": None}, "Card.licence must be"),
        ({"n": -1}, "Card.n must be a whole number"),
        ({"n": 2.5}, "Card.n must be a whole number"),
        ({"leaks": ()}, "at least one sentence"),
        ({"leaks": "one text"}, "must be a tuple"),
    ],
)
def test_a_card_without_its_facts_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        card(**changes)


def test_a_card_reads_as_text_and_as_html():
    made = card(what="x < y?", n="3 cities")
    assert "Size: 3 cities" in str(made) and "  - d" in str(made)
    assert "x &lt; y?" in made._repr_html_()


def test_an_unknown_card_names_the_known_ones():
    with pytest.raises(ValueError, match="landmarks.*got the string 'dragons'"):
        datasets.card("dragons")
