"""Countries whose capital is their largest city, and countries and US states where a larger city tempts."""

from __future__ import annotations

from dataclasses import dataclass

from utils.datasets.card import Card
from utils.inputs import checked

__all__ = ["CARD", "Capital", "capitals"]

_EASY = (
    ("France", "Paris"),
    ("Germany", "Berlin"),
    ("Spain", "Madrid"),
    ("Japan", "Tokyo"),
    ("Norway", "Oslo"),
    ("Hungary", "Budapest"),
    ("Kenya", "Nairobi"),
    ("Peru", "Lima"),
    ("Egypt", "Cairo"),
    ("Greece", "Athens"),
    ("Austria", "Vienna"),
    ("Portugal", "Lisbon"),
    ("Poland", "Warsaw"),
    ("Thailand", "Bangkok"),
    ("Cuba", "Havana"),
    ("Ireland", "Dublin"),
    ("Sweden", "Stockholm"),
    ("Denmark", "Copenhagen"),
    ("Finland", "Helsinki"),
    ("Chile", "Santiago"),
)
_TRAP = (
    ("Australia", "Canberra", "Sydney"),
    ("Canada", "Ottawa", "Toronto"),
    ("Turkey", "Ankara", "Istanbul"),
    ("Brazil", "Brasília", "São Paulo"),
    ("Switzerland", "Bern", "Zurich"),
    ("New Zealand", "Wellington", "Auckland"),
    ("Morocco", "Rabat", "Casablanca"),
    ("Vietnam", "Hanoi", "Ho Chi Minh City"),
    ("Nigeria", "Abuja", "Lagos"),
    ("Pakistan", "Islamabad", "Karachi"),
    ("Tanzania", "Dodoma", "Dar es Salaam"),
    ("Myanmar", "Naypyidaw", "Yangon"),
    ("the United States", "Washington", "New York"),
    ("China", "Beijing", "Shanghai"),
    ("Kazakhstan", "Astana", "Almaty"),
    ("Ivory Coast", "Yamoussoukro", "Abidjan"),
    ("Scotland", "Edinburgh", "Glasgow"),
    ("the Philippines", "Manila", "Quezon City"),
    ("Belize", "Belmopan", "Belize City"),
    ("the United Arab Emirates", "Abu Dhabi", "Dubai"),
    ("New York State", "Albany", "New York City"),
    ("California", "Sacramento", "Los Angeles"),
    ("Texas", "Austin", "Houston"),
    ("Florida", "Tallahassee", "Jacksonville"),
    ("Illinois", "Springfield", "Chicago"),
    ("Pennsylvania", "Harrisburg", "Philadelphia"),
    ("Washington State", "Olympia", "Seattle"),
    ("Oregon", "Salem", "Portland"),
    ("Nevada", "Carson City", "Las Vegas"),
    ("Michigan", "Lansing", "Detroit"),
    ("Wisconsin", "Madison", "Milwaukee"),
    ("Minnesota", "Saint Paul", "Minneapolis"),
    ("Missouri", "Jefferson City", "Kansas City"),
    ("Louisiana", "Baton Rouge", "New Orleans"),
    ("Alabama", "Montgomery", "Birmingham"),
    ("Kentucky", "Frankfort", "Louisville"),
    ("New Jersey", "Trenton", "Newark"),
    ("Maryland", "Annapolis", "Baltimore"),
    ("Virginia", "Richmond", "Virginia Beach"),
    ("North Carolina", "Raleigh", "Charlotte"),
    ("South Dakota", "Pierre", "Sioux Falls"),
    ("Kansas", "Topeka", "Wichita"),
    ("Nebraska", "Lincoln", "Omaha"),
    ("New Mexico", "Santa Fe", "Albuquerque"),
    ("Alaska", "Juneau", "Anchorage"),
    ("Montana", "Helena", "Billings"),
    ("Maine", "Augusta", "Portland"),
    ("Vermont", "Montpelier", "Burlington"),
    ("New Hampshire", "Concord", "Manchester"),
    ("Delaware", "Dover", "Wilmington"),
)

CARD = Card(
    name="capitals",
    what="What is this country's capital, and is a larger city named instead?",
    how_made=(
        "Written for this course from general knowledge, before any model was asked. Countries whose capital "
        "or largest city is open to argument (India, South Africa, Bolivia, Ecuador, Israel, Syria) were left out."
    ),
    n=len(_EASY) + len(_TRAP),
    licence="CC BY 4.0",
    leaks=(
        "The two groups differ in more than the trap: one holds mostly European countries with famous capitals.",
        "Astana was called Nur-Sultan from 2019 to 2022, Bern is a capital in all but law: a text may say otherwise.",
        "Long names (Yamoussoukro, Naypyidaw) are unlikely as strings: compare questions, not names.",
    ),
)


@dataclass(frozen=True)
class Capital:
    """A country (or US state) and its capital. larger: a larger city there, "" where the capital is the largest."""

    country: str
    capital: str
    larger: str = ""


@checked
def capitals(tempting: bool) -> list[Capital]:
    """Twenty countries and thirty US states where a larger city tempts, or (tempting=False) twenty where none does."""
    return [Capital(*row) for row in (_TRAP if tempting else _EASY)]
