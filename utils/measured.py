"""Measured values: how a lesson shows a number, remembers it for its sentences, and is held to it.

A value is handed in with its unit, its interval or n, and the tolerance within which another CPU may differ. It is
shown with the digits its interval deserves; the output keeps it in full, beside the shown form, so that the suite can
hold a new run against the stored one (`hold`). Every shown digit that may differ carries `MARK`, a sign without width:
tests/sanitize.cfg leaves those numbers out of nbval's comparison of words. `utils.lab` shows what is made here.
"""

from __future__ import annotations

import difflib
import html
import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from utils.statistics import Interval
from utils.validators import number, what

MARK = "\u2060"  # word joiner: invisible, and no part of the number when that is copied by a double click
ATTRIBUTE = "data-lab-measured"
STORED = "LAB_MEASURED"  # the environment variable that names a file of stored values: {name: {"value": …, "n": …}}
_SLACK = 1 + 1e-9  # a difference of exactly one tolerance is within it, whatever the last bit says
_SPECS = ("value", "interval")


@dataclass(frozen=True)
class Measured:
    """One number with what is known about it. low, high: None without an interval; n: None where nothing is counted."""

    name: str
    value: float
    unit: str
    tolerance: float
    low: float | None = None
    high: float | None = None
    n: int | None = None
    confidence: float = 0.95


def entry(
    name: str,
    value: Any,
    unit: str,
    tolerance: float,
    interval: tuple[float, float] | None = None,
    n: int | None = None,
    argument: str = "value",
) -> Measured:
    """A measured value, its parts checked. argument: what the messages call the value.

    Raises TypeError for a value that is no number and no Interval; ValueError for NaN, ends in the wrong order, an
    interval or n given twice, or a name with braces or line ends (a sentence couldn't hold it).
    """
    if re.search(r"[{}\n]", name):
        raise ValueError(f"name must be one line without braces, got {name!r}")
    if not isinstance(value, Interval):
        if hasattr(value, "__len__") or isinstance(value, bool) or value is None:
            raise TypeError(f"{argument} must be a number or an Interval, got {what(value)}")
        low, high = interval or (None, None)
        found = Measured(name, float(number(argument, value)), unit, float(tolerance), low, high, n)
    else:
        if interval is not None:
            raise ValueError(f"interval must be left out where {argument} is an Interval, which has its own")
        if n not in (None, value.n):
            raise ValueError(f"n must be the Interval's own, {value.n}, or left out, got {n}")
        ends = [float(number(f"{argument}.{part}", getattr(value, part))) for part in ("estimate", "low", "high")]
        found = Measured(name, ends[0], unit, float(tolerance), ends[1], ends[2], value.n, value.confidence)
    if found.low is not None and found.high is not None and found.low > found.high:
        raise ValueError(f"interval must have its low end first, got {found.low} and {found.high}")
    return found


# --------------------------------------------------------------------------------------------------- as it is shown


def value_text(one: Measured) -> str:
    """The number alone, with the digits its interval (or else its tolerance) deserves: "0.803"."""
    return _numbers(one)[0]


def interval_text(one: Measured) -> str:
    """The number and its interval: "0.803 [0.781, 0.824]"; the number alone where there is none."""
    value, *ends = _numbers(one)
    return f"{value} [{', '.join(ends)}]" if ends else value


def full_text(one: Measured) -> str:
    """All of it: "0.803, 95 % [0.781, 0.824], n = 300"."""
    return sure_text(one) + _counted(one.n)


def sure_text(one: Measured) -> str:
    """The number, its interval and how sure that is: "0.803, 95 % [0.781, 0.824]"."""
    value, *ends = _numbers(one)
    return f"{value}, {100 * one.confidence:g} % [{', '.join(ends)}]" if ends else value


def _counted(n: int | None) -> str:
    return "" if n is None else f", n = {n}"


def _numbers(one: Measured) -> list[str]:
    """The value and its ends, marked, all with one count of decimals and one power of ten."""
    numbers = [one.value] + [end for end in (one.low, one.high) if end is not None]
    half = (one.high - one.low) / 2 if one.low is not None and one.high is not None else 0.0
    if half > 0:
        step = _power(half) - 1
    else:
        step = _power(one.tolerance) if one.tolerance > 0 else -_decimals(one.value)
    largest = max(abs(number) for number in numbers)
    tens = _power(largest) if largest > 0 else 0
    exact = half == 0 and one.tolerance == 0
    if -4 <= tens < 6 or (exact and tens >= 6 and one.value.is_integer()):
        return [MARK + _plain(number, max(0, -step), grouped=tens >= 4) for number in numbers]
    return [f"{MARK}{_plain(number / 10.0**tens, max(0, tens - step))}e{tens}" for number in numbers]


def _power(number: float) -> int:
    """The power of ten of a number's first digit: 2 of 345, -3 of 0.0012."""
    return math.floor(math.log10(abs(number)))


def _decimals(number: float) -> int:
    """How many decimals an exact number has; six of one that never ends."""
    return next((count for count in range(6) if round(number, count) == number), 6)


def _plain(number: float, decimals: int, grouped: bool = False) -> str:
    """A number with so many decimals (at most what a float holds), and no minus in front of a zero."""
    text = f"{number:{',' if grouped else ''}.{min(decimals, 15)}f}"
    return text.lstrip("-") if not float(text.replace(",", "")) else text


def one_as_text(one: Measured) -> str:
    """A value on a line of its own, for a terminal: "accuracy (share): 0.803, 95 % [0.781, 0.824], n = 300"."""
    return f"{one.name} ({one.unit}): {full_text(one)}"


def one_as_html(one: Measured) -> str:
    """A value on a line of its own, with all its digits in an attribute."""
    e = html.escape
    value = value_text(one)
    shown = f"<strong>{e(value)}</strong>{e(full_text(one).removeprefix(value))}"
    return (
        f'<div {ATTRIBUTE}="{_kept([one])}" style="margin:2px 0;font-variant-numeric:tabular-nums">'
        f"{e(one.name)} ({e(one.unit)}): {shown}</div>"
    )


# ----------------------------------------------------------------------------------------------------------- tables


@dataclass(frozen=True)
class Table:
    """Measured values in rows and columns; a table of one column has no name for it."""

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: Mapping[tuple[str, str], Measured]
    unit: str | Mapping[str, str]


def table(
    title: str,
    rows: Mapping[str, Any],
    unit: str | Mapping[str, str],
    tolerance: float | Mapping[str, float],
    n: int | None,
) -> Table:
    """A table out of {row: {column: value}} or {row: value}. Raises TypeError and ValueError as `entry` does."""
    if not rows:
        raise ValueError("rows must hold at least one row, got none")
    single = not any(isinstance(row, Mapping) for row in rows.values())
    cells = {}
    for row, values in rows.items():
        if not single and not isinstance(values, Mapping):
            raise TypeError(f"rows[{row!r}] must be a dict of columns, like the other rows, got {what(values)}")
        for column, value in ({"": values} if single else values).items():
            name = " · ".join(str(part) for part in (title, row, column) if part != "")
            place = f"rows[{row!r}]" + ("" if single else f"[{column!r}]")
            own_n = None if isinstance(value, Interval) else n
            about = _of_column("unit", unit, column), _of_column("tolerance", tolerance, column)
            cells[str(row), str(column)] = entry(name, value, *about, n=own_n, argument=place)
    if not cells:
        raise ValueError("rows must hold at least one value, got none")
    names = [one.name for one in cells.values()]
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"rows and columns must have names of their own, {doubled[0]!r} stands for two values")
    columns = tuple(dict.fromkeys(column for _, column in cells))
    return Table(title, tuple(map(str, rows)), columns, cells, unit)


def _of_column(argument: str, given: Any, column: Any) -> Any:
    if not isinstance(given, Mapping):
        return given
    if column not in given:
        raise ValueError(f"{argument} must name every column, {column!r} is missing")
    return given[column]


def _heading(found: Table) -> str:
    """What the whole table shares: its title, unit, kind of interval, and n where all cells have the same."""
    notes = [found.unit] if isinstance(found.unit, str) else []
    levels = {one.confidence for one in found.cells.values() if one.low is not None}
    if len(levels) == 1:
        notes.append(f"{100 * levels.pop():g} % intervals")
    if (n := _shared_n(found)) is not None:
        notes.append(f"n = {n}")
    return f"{found.title} ({', '.join(notes)})" if notes else found.title


def _shared_n(found: Table) -> int | None:
    counts = {one.n for one in found.cells.values()}
    return counts.pop() if len(counts) == 1 else None


def _cell_text(found: Table, row: str, column: str) -> str:
    one = found.cells.get((row, column))
    if one is None:
        return "–"
    return interval_text(one) + (_counted(one.n) if _shared_n(found) is None else "")


def _column_text(found: Table, column: str) -> str:
    return column if isinstance(found.unit, str) else f"{column} ({found.unit[column]})"


def table_as_text(found: Table) -> str:
    """A table for a terminal: a line a row, and nothing padded (a pad would move with the digits)."""
    lines = [_heading(found)]
    for row in found.rows:
        cells = [f"{_column_text(found, column)} {_cell_text(found, row, column)}".strip() for column in found.columns]
        lines.append(f"  {row}: {' | '.join(cells)}")
    return "\n".join(lines)


def table_as_html(found: Table) -> str:
    """A table with a caption and named rows and columns, all digits in an attribute."""
    e = html.escape
    place = "padding:3px 14px 3px 0;border-bottom:1px solid #767676"
    head = f'style="text-align:left;vertical-align:bottom;{place}"'
    row_head = f'style="min-width:9em;{head[7:]}'  # beside many columns a name would fold into one word a line
    cell = f'style="text-align:left;vertical-align:top;white-space:nowrap;{place}"'
    titles = "".join(f'<th scope="col" {head}>{e(_column_text(found, column))}</th>' for column in found.columns)
    top = f"<thead><tr><td {head}></td>{titles}</tr></thead>" if found.columns != ("",) else ""
    body = "".join(
        f'<tr><th scope="row" {row_head}>{e(row)}</th>'
        + "".join(f"<td {cell}>{e(_cell_text(found, row, column))}</td>" for column in found.columns)
        + "</tr>"
        for row in found.rows
    )
    heading = _heading(found)
    caption = "caption-side:top;text-align:left;color:inherit;font-weight:bold;padding:4px 0"
    if len(heading) <= 90:  # a narrow table would fold it into a column of words
        caption += ";white-space:nowrap"
    return (
        f'<div style="overflow-x:auto" tabindex="0" role="region" aria-label="{e(found.title)}">'
        f'<table {ATTRIBUTE}="{_kept(list(found.cells.values()))}" '
        'style="border-collapse:collapse;margin:6px 0;font-variant-numeric:tabular-nums">'
        f'<caption style="{caption}">{e(heading)}</caption>{top}<tbody>{body}</tbody></table></div>'
    )


# ------------------------------------------------------------------------------------------- kept, and held against


def _kept(values: list[Measured]) -> str:
    return html.escape(json.dumps([asdict(one) for one in values], ensure_ascii=False), quote=True)


def stored_in(markup: str) -> list[dict[str, Any]]:
    """The values that some HTML keeps in full: what `one_as_html` and `table_as_html` wrote into it."""
    found = re.findall(rf'{ATTRIBUTE}="([^"]*)"', markup)
    return [one for kept in found for one in json.loads(html.unescape(kept))]


_measured: dict[
    str, tuple[Measured, Any]
] = {}  # of this kernel: name -> the value and the run of the cell it came from


def remember(values: list[Measured]) -> None:
    """Keep values for the sentences of this kernel.

    Raises ValueError for a name that the same run of the same cell has given away already. Running a cell again gives
    its names again; that two cells share a name the builder refuses, which sees the whole notebook.
    """
    run = _run_of_cell()
    for one in values:
        if run is not None and one.name in _measured and _measured[one.name][1] == run:
            raise ValueError(f"name must be used once, this cell has measured {one.name!r} already")
        _measured[one.name] = (one, run)


def _run_of_cell() -> int | None:
    """The number of the cell's run in this kernel, or None outside a notebook."""
    from IPython import get_ipython

    shell = get_ipython()
    return None if shell is None else shell.execution_count


def known(name: str) -> Measured | None:
    """The value of that name measured last in this kernel."""
    return _measured[name][0] if name in _measured else None


def hold(values: list[Measured]) -> None:
    """Hold values against the stored ones of this notebook, where `LAB_MEASURED` names their file.

    Raises AssertionError for a name that isn't stored, a stored value before it that was not measured, another n,
    or a value or end further off than the tolerance it was stored with.
    """
    if not (path := os.environ.get(STORED, "")):
        return
    stored = json.loads(Path(path).read_text(encoding="utf-8"))
    for one in values:
        if one.name not in stored:
            near = difflib.get_close_matches(one.name, stored, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise AssertionError(f"{one.name!r} is measured here, but not stored in the notebook{hint}")
        order = list(stored)
        if passed := [name for name in order[: order.index(one.name)] if name not in _measured]:
            raise AssertionError(f"{passed[0]!r} is stored before {one.name!r}, and was not measured")
        if problem := _difference(one, stored[one.name]):
            raise AssertionError(f"{one.name!r}: {problem}")


def _difference(one: Measured, stored: Mapping[str, Any]) -> str:
    if one.n != stored["n"]:
        return f"n is {one.n}, stored is {stored['n']}"
    tolerance = stored["tolerance"]
    if tolerance is None:  # a cell whose outputs aren't compared, such as one that tells a time
        return ""
    if one.tolerance != tolerance:
        return f"its tolerance is {one.tolerance}, it was stored with {tolerance}: execute the notebook again"
    for part in ("value", "low", "high"):
        new, old = getattr(one, part), stored[part]
        if (new is None) != (old is None):
            return f"{part} is {new}, stored is {old}"
        if new is not None and abs(new - old) > tolerance * _SLACK:
            return f"{part} is {new!r}, stored is {old!r}: further off than {tolerance}"
    return ""


# -------------------------------------------------------------------------------------------------------- sentences

_BRACES = re.compile(r"\{\{|\}\}|\{([^{}\n]*)\}|[{}]")
# Code between backticks and formulas between dollars have braces of their own.
_QUIET = re.compile(r"((?<!`)(`+)(?!`)[^\n]+?(?<!`)\2(?!`)|(?<![\\$])\$\$?(?!\s)[^$\n]+?(?<!\s)\$\$?(?![\d$]))")


def fill(sentence: str) -> str:
    """A sentence with the values that its braces name: {name}, {name:value}, {name:interval}. {{ is a brace itself.

    In code and formulas braces that name nothing are left alone; elsewhere they raise ValueError.
    """
    parts = _QUIET.split(sentence)  # text, quiet, its backticks, text, …
    for i in range(0, len(parts), 3):
        parts[i] = _BRACES.sub(_filled, parts[i])
    for i in range(1, len(parts), 3):
        parts[i] = _BRACES.sub(lambda match: _shown(match[1] or "") or match[0], parts[i])
    return "".join(part for i, part in enumerate(parts) if i % 3 < 2)


def _filled(match: re.Match) -> str:
    if match[0] in ("{{", "}}"):
        return match[0][0]
    if (shown := _shown(match[1] or "")) is not None:
        return shown
    if match[1] is None:
        raise ValueError(f"the text holds a lone {match[0]!r}: write {match[0] * 2!r} for a brace itself")
    name = re.sub(rf":({'|'.join(_SPECS)})$", "", match[1].strip())
    near = difflib.get_close_matches(name, _measured, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "run the cell that measures it first."
    raise ValueError(f"the text names {name!r} in braces, which has not been measured in this kernel: {hint}")


def _shown(inside: str) -> str | None:
    """What a brace's inside stands for, or None if it names nothing."""
    if (one := known(inside.strip())) is not None:
        return full_text(one)
    name, colon, spec = inside.rpartition(":")
    one = known(name.strip())
    if not colon or one is None or spec.strip() not in _SPECS:
        return None
    return value_text(one) if spec.strip() == "value" else interval_text(one)
