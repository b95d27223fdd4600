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

from utils.datasets.card import Card
from utils.datasets.landmarks import Landmark, landmarks

__all__ = ["Card", "Landmark", "card", "landmarks"]


def card(name: str) -> Card:
    """The card of the dataset called `name`. Raises ValueError and lists the names there are."""
    modules = {m.name: import_module(f"{__name__}.{m.name}") for m in iter_modules(__path__)}
    cards = {key: module.CARD for key, module in modules.items() if hasattr(module, "CARD")}
    if name not in cards:
        raise ValueError(f"name must be one of {sorted(cards)}, got {name!r}")
    return cards[name]
