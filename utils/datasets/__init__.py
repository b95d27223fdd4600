"""The course's datasets: small, shipped with the code, each with a card that names its leaks.

>>> from utils import datasets
>>> places = datasets.landmarks()
>>> places[0].prompt()
'The Golden Gate Bridge is located in the city of'

>>> datasets.card("landmarks").licence
'CC BY 4.0'

Adding one: see the convention in `utils/datasets/card.py`, then import it below.
"""

from importlib import import_module
from pkgutil import iter_modules

from utils.datasets.bridges import Sight, bridges
from utils.datasets.capitals import Capital, capitals
from utils.datasets.card import Card
from utils.datasets.cities import City, cities, city_table
from utils.datasets.colours import Thing, colour_things, colours
from utils.datasets.corpus import Excerpt, corpus, corpus_sample
from utils.datasets.fewshot import FewShot, few_shot
from utils.datasets.grammar import grammar
from utils.datasets.labelled import Labelled, derange, split_groups, swap
from utils.datasets.landmark_statements import landmark_statements
from utils.datasets.landmarks import Landmark, landmarks
from utils.datasets.numbers import numbers
from utils.datasets.quotations import Quotation, quotations
from utils.datasets.sentiment import sentiment
from utils.datasets.spanish import spanish
from utils.datasets.tales import HeldOut, held_out_surprisals, tales
from utils.inputs import checked, one_of

__all__ = [
    "Capital",
    "Card",
    "City",
    "Excerpt",
    "FewShot",
    "HeldOut",
    "Labelled",
    "Landmark",
    "Quotation",
    "Sight",
    "Thing",
    "bridges",
    "capitals",
    "card",
    "cards",
    "cities",
    "city_table",
    "colour_things",
    "colours",
    "corpus",
    "corpus_sample",
    "derange",
    "few_shot",
    "grammar",
    "held_out_surprisals",
    "landmark_statements",
    "landmarks",
    "numbers",
    "quotations",
    "sentiment",
    "spanish",
    "split_groups",
    "swap",
    "tales",
]


@checked
def card(name: str) -> Card:
    """The card of the dataset called `name`. Raises ValueError and lists the names there are."""
    known = cards()
    return known[one_of("name", name, known)]


def cards() -> dict[str, Card]:
    """Every dataset's card, by name: all texts that come with the course are on one of them."""
    modules = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
    return {module.CARD.name: module.CARD for module in modules if hasattr(module, "CARD")}
