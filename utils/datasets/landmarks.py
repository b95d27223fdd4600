"""Famous places and the cities they stand in: candidates for the counterfactual pairs of lesson 02.

A candidate is not yet an example. What the model knows is for the model to say: lesson 02 screens the
list with a rule it states first, and reports how many were kept (`utils.tracing.make_pairs`).
"""

from __future__ import annotations

from dataclasses import dataclass

from utils.datasets.card import Card
from utils.inputs import checked

__all__ = ["CARD", "TEMPLATE", "Landmark", "landmarks"]

TEMPLATE = "The {landmark} is located in the city of"  # the next token should begin the city's name

# Written from general knowledge, not from what any model answers. Places whose city is open to argument (a
# palace near a town, a name that several cities share) are left out.
_PLACES: tuple[tuple[str, str], ...] = (
    ("Golden Gate Bridge", "San Francisco"),
    ("Eiffel Tower", "Paris"),
    ("Colosseum", "Rome"),
    ("Brandenburg Gate", "Berlin"),
    ("Statue of Liberty", "New York"),
    ("Big Ben", "London"),
    ("Sydney Opera House", "Sydney"),
    ("Burj Khalifa", "Dubai"),
    ("Hagia Sophia", "Istanbul"),
    ("Acropolis", "Athens"),
    ("Sagrada Familia", "Barcelona"),
    ("Kremlin", "Moscow"),
    ("Space Needle", "Seattle"),
    ("Louvre Museum", "Paris"),
    ("Buckingham Palace", "London"),
    ("Empire State Building", "New York"),
    ("Prado Museum", "Madrid"),
    ("Rijksmuseum", "Amsterdam"),
    ("Little Mermaid statue", "Copenhagen"),
    ("Petronas Towers", "Kuala Lumpur"),
    ("Forbidden City", "Beijing"),
    ("Tokyo Tower", "Tokyo"),
    ("CN Tower", "Toronto"),
    ("Gateway Arch", "St. Louis"),
    ("Willis Tower", "Chicago"),
    ("Alamo", "San Antonio"),
    ("White House", "Washington"),
    ("Lincoln Memorial", "Washington"),
    ("Christ the Redeemer statue", "Rio de Janeiro"),
    ("Leaning Tower", "Pisa"),
    ("Duomo", "Milan"),
    ("Uffizi Gallery", "Florence"),
    ("Charles Bridge", "Prague"),
    ("Schonbrunn Palace", "Vienna"),
    ("Taj Mahal", "Agra"),
    ("Gateway of India", "Mumbai"),
    ("Red Fort", "Delhi"),
    ("Great Sphinx", "Giza"),
    ("Blue Mosque", "Istanbul"),
    ("Parthenon", "Athens"),
    ("Notre-Dame Cathedral", "Paris"),
    ("Hermitage Museum", "Saint Petersburg"),
    ("Fenway Park", "Boston"),
    ("Liberty Bell", "Philadelphia"),
    ("Grand Palace", "Bangkok"),
    ("Edinburgh Castle", "Edinburgh"),
    ("Trevi Fountain", "Rome"),
    ("Western Wall", "Jerusalem"),
    ("Wrigley Field", "Chicago"),
    ("Brooklyn Bridge", "New York"),
    ("Bellagio", "Las Vegas"),
    ("Oriental Pearl Tower", "Shanghai"),
    ("Marina Bay Sands", "Singapore"),
    ("Table Mountain", "Cape Town"),
    ("Tower of London", "London"),
    ("Arc de Triomphe", "Paris"),
    ("Getty Center", "Los Angeles"),
    ("Hollywood Sign", "Los Angeles"),
    ("Guggenheim Museum Bilbao", "Bilbao"),
    ("Alcatraz Island", "San Francisco"),
    ("Times Square", "New York"),
    ("Anne Frank House", "Amsterdam"),
    ("Atomium", "Brussels"),
    ("Berlin Wall", "Berlin"),
    ("Tiananmen Square", "Beijing"),
    ("Pantheon", "Rome"),
    ("Spanish Steps", "Rome"),
    ("London Eye", "London"),
    ("Reichstag", "Berlin"),
    ("Ponte Vecchio", "Florence"),
    ("Freedom Tower", "New York"),
    ("Park Guell", "Barcelona"),
    ("Temple of Heaven", "Beijing"),
    ("Victoria Harbour", "Hong Kong"),
    ("Kinkaku-ji temple", "Kyoto"),
    ("Osaka Castle", "Osaka"),
    ("Pike Place Market", "Seattle"),
    ("Graceland", "Memphis"),
    ("Belem Tower", "Lisbon"),
    ("Guinness Storehouse", "Dublin"),
    ("Sensoji Temple", "Tokyo"),
    ("Meiji Shrine", "Tokyo"),
    ("Doge's Palace", "Venice"),
    ("Rialto Bridge", "Venice"),
    ("Alhambra", "Granada"),
    ("Wawel Castle", "Krakow"),
    ("Gyeongbokgung Palace", "Seoul"),
    ("Hungarian Parliament Building", "Budapest"),
    ("Vasa Museum", "Stockholm"),
)

CARD = Card(
    name="landmarks",
    what="In which city does this place stand?",
    how_made=(
        "Written by the course's authors from general knowledge: well-known places and the city each "
        "stands in, one template for all. Spelt without accents. No text was copied from any source."
    ),
    n=len(_PLACES),
    licence="CC BY 4.0",
    leaks=(
        "Some names contain their city (London Eye): copying is enough. `Landmark.names_its_city` marks "
        "them; lesson 02 leaves them out.",
        "Some names contain a country or a language's spelling (Hungarian Parliament Building, Uffizi): "
        "half an answer without the fact.",
        "Only the city's first token is compared, and cities share first tokens: ' San' begins San "
        "Francisco and San Antonio, ' New' begins New York and New Delhi.",
        "Cities are far from equally frequent: a model that knows nothing prefers New York to Agra.",
        "The list is Western and touristic; what holds on it is a statement about it.",
    ),
)


@dataclass(frozen=True)
class Landmark:
    """A place and the city it stands in."""

    name: str
    city: str

    @property
    def names_its_city(self) -> bool:
        """True when the city can be copied from the name, as in "London Eye"."""
        return self.city.lower() in self.name.lower()

    @checked
    def prompt(self, template: str = TEMPLATE) -> str:
        """The sentence up to the city. `template` holds `{landmark}` once.

        >>> Landmark("Golden Gate Bridge", "San Francisco").prompt()
        'The Golden Gate Bridge is located in the city of'
        """
        if template.count("{landmark}") != 1:
            raise ValueError(f"template must hold '{{landmark}}' exactly once, got {template!r}")
        return template.replace("{landmark}", self.name)


def landmarks() -> list[Landmark]:
    """All candidate landmarks, always in the same order (Golden Gate Bridge first). See `CARD`."""
    return [Landmark(name, city) for name, city in _PLACES]
