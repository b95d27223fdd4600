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

# A second list, made in the same way for lesson 02, where many places are needed that a small model knows. It is kept
# apart because other lessons have measured on the first one.
_MORE_PLACES: tuple[tuple[str, str], ...] = (
    ("Ellis Island", "New York"),
    ("Central Park", "New York"),
    ("Chrysler Building", "New York"),
    ("Rockefeller Center", "New York"),
    ("Yankee Stadium", "New York"),
    ("Navy Pier", "Chicago"),
    ("Cloud Gate", "Chicago"),
    ("Soldier Field", "Chicago"),
    ("Lincoln Center", "New York"),
    ("Pentagon", "Washington"),
    ("Capitol Hill", "Washington"),
    ("Independence Hall", "Philadelphia"),
    ("Faneuil Hall", "Boston"),
    ("French Quarter", "New Orleans"),
    ("Bourbon Street", "New Orleans"),
    ("Dodger Stadium", "Los Angeles"),
    ("Griffith Observatory", "Los Angeles"),
    ("Coit Tower", "San Francisco"),
    ("Lombard Street", "San Francisco"),
    ("Fisherman's Wharf", "San Francisco"),
    ("Caesars Palace", "Las Vegas"),
    ("Luxor Hotel", "Las Vegas"),
    ("Waikiki Beach", "Honolulu"),
    ("Pearl Harbor", "Honolulu"),
    ("Riverwalk", "San Antonio"),
    ("Beale Street", "Memphis"),
    ("Grand Ole Opry", "Nashville"),
    ("Ryman Auditorium", "Nashville"),
    ("Churchill Downs", "Louisville"),
    ("Mall of America", "Minneapolis"),
    ("Rock and Roll Hall of Fame", "Cleveland"),
    ("Coors Field", "Denver"),
    ("Lambeau Field", "Green Bay"),
    ("Stone Mountain", "Atlanta"),
    ("World of Coca-Cola", "Atlanta"),
    ("South Beach", "Miami"),
    ("Ocean Drive", "Miami"),
    ("Balboa Park", "San Diego"),
    ("Copacabana Beach", "Rio de Janeiro"),
    ("Sugarloaf Mountain", "Rio de Janeiro"),
    ("Maracana Stadium", "Rio de Janeiro"),
    ("Casa Rosada", "Buenos Aires"),
    ("Teatro Colon", "Buenos Aires"),
    ("Zocalo", "Mexico City"),
    ("Chapultepec Castle", "Mexico City"),
    ("Stanley Park", "Vancouver"),
    ("Rogers Centre", "Toronto"),
    ("Parliament Hill", "Ottawa"),
    ("Chateau Frontenac", "Quebec"),
    ("Notre-Dame Basilica", "Montreal"),
    ("Bondi Beach", "Sydney"),
    ("Harbour Bridge", "Sydney"),
    ("Federation Square", "Melbourne"),
    ("Trafalgar Square", "London"),
    ("Hyde Park", "London"),
    ("Westminster Abbey", "London"),
    ("British Museum", "London"),
    ("Wembley Stadium", "London"),
    ("Old Trafford", "Manchester"),
    ("Cavern Club", "Liverpool"),
    ("Anfield", "Liverpool"),
    ("Royal Mile", "Edinburgh"),
    ("Trinity College", "Dublin"),
    ("Temple Bar", "Dublin"),
    ("Titanic Quarter", "Belfast"),
    ("Sacre-Coeur", "Paris"),
    ("Champs-Elysees", "Paris"),
    ("Orsay Museum", "Paris"),
    ("Moulin Rouge", "Paris"),
    ("Pompidou Centre", "Paris"),
    ("Camp Nou", "Barcelona"),
    ("La Rambla", "Barcelona"),
    ("Casa Batllo", "Barcelona"),
    ("Plaza Mayor", "Madrid"),
    ("Santiago Bernabeu Stadium", "Madrid"),
    ("Giralda", "Seville"),
    ("Jeronimos Monastery", "Lisbon"),
    ("Clerigos Tower", "Porto"),
    ("Vatican Museums", "Rome"),
    ("Roman Forum", "Rome"),
    ("St. Peter's Basilica", "Rome"),
    ("Castel Sant'Angelo", "Rome"),
    ("La Scala", "Milan"),
    ("San Siro", "Milan"),
    ("St. Mark's Square", "Venice"),
    ("Bridge of Sighs", "Venice"),
    ("Grand Canal", "Venice"),
    ("Van Gogh Museum", "Amsterdam"),
    ("Grand Place", "Brussels"),
    ("Manneken Pis", "Brussels"),
    ("Checkpoint Charlie", "Berlin"),
    ("Reichstag Building", "Berlin"),
    ("Alexanderplatz", "Berlin"),
    ("Marienplatz", "Munich"),
    ("Allianz Arena", "Munich"),
    ("Elbphilharmonie", "Hamburg"),
    ("St. Stephen's Cathedral", "Vienna"),
    ("Belvedere Palace", "Vienna"),
    ("Hofburg Palace", "Vienna"),
    ("Wenceslas Square", "Prague"),
    ("Astronomical Clock", "Prague"),
    ("Fisherman's Bastion", "Budapest"),
    ("Chain Bridge", "Budapest"),
    ("Matthias Church", "Budapest"),
    ("Palace of Culture and Science", "Warsaw"),
    ("Tivoli Gardens", "Copenhagen"),
    ("Nyhavn", "Copenhagen"),
    ("Gamla Stan", "Stockholm"),
    ("Vigeland Park", "Oslo"),
    ("Munch Museum", "Oslo"),
    ("Senate Square", "Helsinki"),
    ("Red Square", "Moscow"),
    ("Bolshoi Theatre", "Moscow"),
    ("St. Basil's Cathedral", "Moscow"),
    ("Winter Palace", "Saint Petersburg"),
    ("Topkapi Palace", "Istanbul"),
    ("Galata Tower", "Istanbul"),
    ("Grand Bazaar", "Istanbul"),
    ("Plaka", "Athens"),
    ("Temple of Zeus", "Athens"),
    ("Erechtheion", "Athens"),
    ("Dome of the Rock", "Jerusalem"),
    ("Wailing Wall", "Jerusalem"),
    ("Church of the Holy Sepulchre", "Jerusalem"),
    ("Egyptian Museum", "Cairo"),
    ("Khan el-Khalili", "Cairo"),
    ("Tahrir Square", "Cairo"),
    ("Bibliotheca Alexandrina", "Alexandria"),
    ("Hassan II Mosque", "Casablanca"),
    ("Jemaa el-Fnaa", "Marrakesh"),
    ("Robben Island", "Cape Town"),
    ("Palm Jumeirah", "Dubai"),
    ("Burj Al Arab", "Dubai"),
    ("Sheikh Zayed Mosque", "Abu Dhabi"),
    ("Kaaba", "Mecca"),
    ("Great Mosque", "Mecca"),
    ("Azadi Tower", "Tehran"),
    ("India Gate", "Delhi"),
    ("Lotus Temple", "Delhi"),
    ("Qutub Minar", "Delhi"),
    ("Charminar", "Hyderabad"),
    ("Victoria Memorial", "Kolkata"),
    ("Howrah Bridge", "Kolkata"),
    ("Marine Drive", "Mumbai"),
    ("Golden Temple", "Amritsar"),
    ("Hawa Mahal", "Jaipur"),
    ("Shwedagon Pagoda", "Yangon"),
    ("Wat Arun", "Bangkok"),
    ("Emerald Buddha temple", "Bangkok"),
    ("Merlion", "Singapore"),
    ("Gardens by the Bay", "Singapore"),
    ("Raffles Hotel", "Singapore"),
    ("The Bund", "Shanghai"),
    ("Summer Palace", "Beijing"),
    ("Bird's Nest stadium", "Beijing"),
    ("Mao Mausoleum", "Beijing"),
    ("Terracotta Army", "Xi'an"),
    ("Victoria Peak", "Hong Kong"),
    ("Taipei 101", "Taipei"),
    ("Namsan Tower", "Seoul"),
    ("Lotte Tower", "Seoul"),
    ("Shibuya Crossing", "Tokyo"),
    ("Imperial Palace", "Tokyo"),
    ("Ginza", "Tokyo"),
    ("Fushimi Inari Shrine", "Kyoto"),
    ("Golden Pavilion", "Kyoto"),
    ("Dotonbori", "Osaka"),
    ("Peace Memorial Park", "Hiroshima"),
    ("Atomic Bomb Dome", "Hiroshima"),
)

CARD = Card(
    name="landmarks",
    what="In which city does this place stand?",
    how_made=(
        "Written by the course's authors from general knowledge: well-known places and the city each "
        "stands in, one template for all. Spelt without accents. No text was copied from any source. A first list, "
        "and a second one (`more=True`) made in the same way."
    ),
    n=len(_PLACES) + len(_MORE_PLACES),
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


@checked
def landmarks(more: bool = False) -> list[Landmark]:
    """Candidate landmarks, always in the same order (Golden Gate Bridge first). See `CARD`. more: both lists."""
    return [Landmark(name, city) for name, city in (*_PLACES, *(_MORE_PLACES if more else ()))]
