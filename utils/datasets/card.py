"""What every dataset of the course says about itself: a small card.

The convention, for whoever adds a dataset to this package:

- one module a dataset, `utils/datasets/<name>.py`, with a module constant `CARD` of that name (so that
  `datasets.card(name)` finds it) and one function that returns plain records (frozen dataclasses or
  arrays), always in the same order;
- no work, no file and no network at import;
- the card says how the data was made, how many records there are, under which licence, and which
  short cuts are known (a *leak* is anything that gives the answer away without the skill one hopes to
  measure). `n` is a number of records, or a short text where one number would mislead.

The idea of a short, fixed form comes from "Datasheets for Datasets" (Gebru et al. 2018,
arXiv 1803.09010) and "Data Statements" (Bender & Friedman 2018).
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

__all__ = ["Card"]


@dataclass(frozen=True)
class Card:
    """A dataset's card: what it asks, how it was made, how many records, licence, known leaks.

    `leaks` is a tuple of sentences and must not be empty: nobody has found a dataset without any.
    `files`: the data set's files in `utils/data`, where it is more than what stands in its module.
    Raises ValueError for an empty text, a negative count or an empty tuple of leaks.
    """

    name: str
    what: str
    how_made: str
    n: int | str
    licence: str
    leaks: tuple[str, ...]
    files: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field in ("name", "what", "how_made", "licence"):
            value = getattr(self, field)
            if not isinstance(value, str) or not value.strip():
                raise ValueError(f"Card.{field} must be a non-empty text, got {value!r}")
        if not isinstance(self.n, (int, str)) or self.n == "" or (isinstance(self.n, int) and self.n < 0):
            raise ValueError(f"Card.n must be a whole number, zero or more, or a short text, got {self.n!r}")
        if isinstance(self.leaks, str) or not tuple(self.leaks):
            raise ValueError(f"Card.leaks must be a tuple with at least one sentence, got {self.leaks!r}")

    def __str__(self) -> str:
        leaks = "\n".join(f"  - {leak}" for leak in self.leaks)
        return (
            f"{self.name}: {self.what}\nSize: {self.n}\nLicence: {self.licence}\n"
            f"How made: {self.how_made}\nKnown leaks:\n{leaks}"
        )

    def _repr_html_(self) -> str:
        leaks = "".join(f"<li>{escape(leak)}</li>" for leak in self.leaks)
        rows = (
            ("what", self.what),
            ("size", str(self.n)),
            ("how made", self.how_made),
            ("licence", self.licence),
        )
        body = "".join(f"<tr><th scope='row'>{k}</th><td>{escape(v)}</td></tr>" for k, v in rows)
        return (
            f"<table><caption>Dataset card: {escape(self.name)}</caption>{body}"
            f"<tr><th scope='row'>known leaks</th><td><ul>{leaks}</ul></td></tr></table>"
        )
