"""The grammar of figures: one call takes what was measured and words for the axes, and draws, describes and shows it.

Everywhere: `title` says what is drawn. `says` is one sentence on where to look, without the result; it becomes the
caption. The alt text is computed from the data. `against` holds values to compare with, {"chance": 0.5}, drawn as
lines with their names; `band` a range to compare with, ("shuffled labels", low, high), such as a null's. A value is a
number or a `statistics.Interval`. `show=False` gives the HTML back instead of showing it, for use inside a widget.
Numbers that may differ on another computer carry `measured.MARK` in what is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from utils.inputs import Index, Text, Texts, checked
from utils.measured import MARK
from utils.plots import base
from utils.plots.base import COLOURS, MARKERS, PALETTE
from utils.statistics import Interval
from utils.validators import number

Band = tuple[str, float, float]
_TOLD = 12  # an alt text tells so many values one by one; of more, the ends and the extremes
_WIDE = 34  # longer names of rows than this are broken


@checked
def dots(
    values: Mapping[str, Any],
    title: Text,
    x: Text,
    against: Mapping[str, float] | None = None,
    band: Band | None = None,
    says: str = "",
    show: bool = True,
) -> str | None:
    """A dot with its interval for each name, one under the other. The axis need not begin at 0.

    values: {name: value}, or {series: {name: value}} for several dots a row. x: what is measured, with its unit.
    Raises ValueError for no values, NaN or infinity.
    """
    series = _series("values", values)
    names = list(dict.fromkeys(name for row in series.values() for name in row))
    height = 1.5 + 0.38 * len(names) + (0.14 * len(names) * (len(series) - 1))
    fig, ax = base.figure(height=height)
    step = 0.62 / max(len(series), 2)
    for turn, (label, row) in enumerate(series.items()):
        shift = (turn - (len(series) - 1) / 2) * step
        at = np.array([names.index(name) + shift for name in row])
        _points(ax, at, list(row.values()), turn, label, across=True)
    ax.set_yticks(range(len(names)), [_folded(name) for name in names])
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.grid(visible=False, axis="y")
    _compare(ax, against, band, across=True)
    ax.set(title=title, xlabel=x)
    _legend(ax, len(series) > 1 or bool(against) or band is not None)
    return _shown(fig, _told_rows("Dots with intervals", title, x, series, against, band), says, show)


@checked
def bars(
    values: Mapping[str, Any],
    title: Text,
    y: Text,
    against: Mapping[str, float] | None = None,
    band: Band | None = None,
    says: str = "",
    show: bool = True,
) -> str | None:
    """A bar from 0 for each name, with its interval where there is one. For differences from a baseline use `dots`.

    values: {name: value}, or {series: {name: value}}. y: what is measured, with its unit. Long names lie on their side.
    Raises ValueError for no values, NaN or infinity.
    """
    series = _series("values", values)
    names = list(dict.fromkeys(name for row in series.values() for name in row))
    across = sum(map(len, names)) + 3 * len(names) > 70
    fig, ax = base.figure(height=1.5 + 0.42 * len(names) * max(1, 0.6 * len(series)) if across else 3.6)
    wide = 0.8 / len(series)
    for turn, (label, row) in enumerate(series.items()):
        at = np.array([names.index(name) for name in row]) + (turn - (len(series) - 1) / 2) * wide
        draw = ax.barh if across else ax.bar
        hatch = ("", "//", "..", "xx", "--", "oo", "**")[turn % 7]  # so that series differ without colour as well
        draw(
            at,
            [_value(v) for v in row.values()],
            wide * 0.9,
            color=PALETTE[turn % len(PALETTE)],
            label=label,
            hatch=hatch,
            edgecolor="white",
            zorder=2,
        )
        _whiskers(ax, at, list(row.values()), COLOURS["black"], across)
    labels = [_folded(name) for name in names]
    if across:
        ax.set_yticks(range(len(names)), labels)
        ax.set_ylim(len(names) - 0.4, -0.6)
        ax.set(title=title, xlabel=y)
    else:
        ax.set_xticks(range(len(names)), labels)
        ax.set(title=title, ylabel=y)
    ax.grid(visible=False, axis="y" if across else "x")
    (ax.axvline if across else ax.axhline)(0, color=COLOURS["black"], linewidth=1, zorder=1)
    _compare(ax, against, band, across)
    _legend(ax, len(series) > 1 or bool(against) or band is not None)
    return _shown(fig, _told_rows("Bars from 0", title, y, series, against, band), says, show)


@checked
def curves(
    x: Any,
    lines: Mapping[str, Any],
    title: Text,
    x_label: Text,
    y_label: Text,
    marks: Mapping[str, float] | None = None,
    against: Mapping[str, float] | None = None,
    band: Band | None = None,
    predicted: Sequence[float] | None = None,
    says: str = "",
    show: bool = True,
) -> str | None:
    """A line for each name, with a band where its values are intervals.

    x: (n,) numbers, spaced as they are. lines: {name: n values}; NaN leaves a gap. marks: {name: x}, upright lines.
    predicted: n values that the learner drew before, None if they drew nothing: a dashed grey line.
    Raises ValueError for lengths that differ, infinity, or no lines.
    """
    at = base.plain("x", x)
    if not lines:
        raise ValueError("lines must hold at least one line, got none")
    fig, ax = base.figure(height=3.9)
    found = {name: _line_of(f"lines[{name!r}]", values, len(at)) for name, values in lines.items()}
    for name, (middle, low, high) in found.items():
        base.line(ax, at, middle, low, high, label=name, marker=None if len(at) <= 40 else "")
    if predicted is not None:
        drawn = _line_of("predicted", predicted, len(at))[0]
        ax.plot(at, drawn, color=COLOURS["grey"], linestyle="--", marker="x", label="what you predicted")
    _compare(ax, against, band, across=False)
    for name, place in (marks or {}).items():
        place = number(f"marks[{name!r}]", place)
        ax.axvline(place, color=COLOURS["black"], linewidth=1, linestyle=":")
        ax.annotate(
            name,
            (place, 1),
            xycoords=("data", "axes fraction"),
            xytext=(3, -2),
            va="top",
            textcoords="offset points",
            fontsize=9,
        )
    if np.array_equal(at, at.round()):
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(title=title, xlabel=x_label, ylabel=y_label)
    _legend(ax, len(found) > 1 or predicted is not None or bool(against) or band is not None)
    told = [f"{name}: {_told_line(at, middle)}" for name, (middle, _, _) in found.items()]
    alt = f"Lines. {title}. Across: {x_label}. Up: {y_label}. {'; '.join(told)}.{_told_others(against, band)}"
    return _shown(fig, alt, says, show)


@checked
def strip(
    tokens: Texts,
    values: Any,
    unit: Text,
    title: Text,
    centre: float | None = None,
    limits: tuple[float, float] | None = None,
    says: str = "",
    show: bool = True,
) -> str | None:
    """Tokens in order, each coloured by its value with the number under it.

    tokens: one text a token (`reading.token_strings`). values: (n,) finite numbers. unit: what they are ("bits").
    centre: the value without colour, for effects with a sign. Raises ValueError for lengths that differ, NaN, infinity.
    """
    numbers = base.plain("values", values)
    if len(numbers) != len(tokens):
        raise ValueError(f"values must hold one number a token ({len(tokens)}), got shape {numbers.shape}")
    if not np.isfinite(numbers).all():
        raise ValueError("values must be finite, got NaN")
    span = limits or (numbers.min(), numbers.max())
    digits = int(np.clip(2 - np.floor(np.log10(max(abs(span[0]), abs(span[1]), 1e-9))), 1, 3))
    most, least = tokens[int(numbers.argmax())], tokens[int(numbers.argmin())]
    alt = (
        f"{title}: {len(tokens)} tokens with a number each. Most: {most!r} {_n(numbers.max())}, "
        f"least: {least!r} {_n(numbers.min())}, mean {_n(numbers.mean())} {unit}."
    )
    told = f"{says} {alt}".strip()
    markup = base.tokens_html(list(tokens), numbers, unit, told, digits, centre, limits, MARK)
    markup = f"<p style='margin:0.6em 0 0'><strong>{base.escaped(title)}</strong></p>{markup}"
    return displayed(markup, show)


@checked
def grid(
    matrix: Any,
    rows: Sequence[Any],
    columns: Sequence[Any],
    title: Text,
    label: Text,
    x_label: Text,
    y_label: Text,
    centre: float | None = None,
    limits: tuple[float, float] | None = None,
    says: str = "",
    show: bool = True,
) -> str | None:
    """A heat map, block × token for instance. Of many rows or columns every second, third … is named.

    matrix: (rows, columns) numbers; NaN stays white. label: what the colours mean, with the unit.
    centre: the value drawn white, for effects with a sign. Raises ValueError as `heatmap` does.
    """
    cells = base.plain("matrix", matrix)
    if cells.ndim != 2 or cells.shape != (len(rows), len(columns)):
        raise ValueError(
            f"matrix must have one row and column a name, ({len(rows)}, {len(columns)}), got {cells.shape}"
        )
    fig, ax = base.figure(height=min(6.4, max(2.4, 1.6 + 0.24 * len(rows))))
    base.heatmap(ax, cells, None, None, label, centre, limits)
    _name_ticks(ax, [_token_name(name) for name in columns], [str(name) for name in rows])
    if len(rows) * len(columns) <= 64:
        _write_cells(ax, cells)
    ax.set(title=title, xlabel=x_label, ylabel=y_label)
    flat = np.where(np.isnan(cells), -np.inf, cells)
    top = divmod(int(flat.argmax()), len(columns))
    bottom = divmod(int(np.where(np.isnan(cells), np.inf, cells).argmin()), len(columns))
    alt = (
        f"Heat map. {title}. {len(rows)} rows ({y_label}) by {len(columns)} columns ({x_label}), colour: {label}. "
        f"Largest {_n(cells[top])} at {rows[top[0]]}, {columns[top[1]]!s}; "
        f"smallest {_n(cells[bottom])} at {rows[bottom[0]]}, {columns[bottom[1]]!s}; mean {_n(np.nanmean(cells))}."
    )
    return _shown(fig, alt, says, show)


@checked
def cloud(
    points: Any,
    classes: Sequence[Any],
    title: Text,
    x_label: Text,
    y_label: Text,
    arrows: Mapping[str, tuple[float, float]] | None = None,
    limits: tuple[float, float, float, float] | None = None,
    says: str = "",
    show: bool = True,
) -> str | None:
    """Points in a plane, a colour and a shape for each class, with arrows from the middle of them all.

    points: (n, 2). classes: (n,) names. arrows: {name: (dx, dy)} in the units of the axes, which are equal in both, so
    that angles are true. limits: (left, right, bottom, top), to keep them from frame to frame of a slider.
    Raises ValueError for shapes that don't fit, NaN or infinity.
    """
    place = base.plain("points", points)
    if place.ndim != 2 or place.shape[1] != 2 or len(place) != len(classes) or not len(place):
        raise ValueError(f"points must be (n, 2) with one class each ({len(classes)}), got shape {place.shape}")
    if not np.isfinite(place).all():
        raise ValueError("points must be finite, got NaN")
    names = [str(c) for c in classes]
    fig, ax = base.figure(height=5.2)
    told = []
    for turn, name in enumerate(dict.fromkeys(names)):
        own = place[np.array([n == name for n in names])]
        colour, marker = PALETTE[turn % len(PALETTE)], MARKERS[turn % len(MARKERS)]
        ax.scatter(*own.T, s=22, color=colour, marker=marker, alpha=0.6, linewidths=0, label=f"{name} ({len(own)})")
        told.append(f"{name}, {len(own)} points around ({_n(own[:, 0].mean())}, {_n(own[:, 1].mean())})")
    middle = place.mean(0)
    for turn, (name, step) in enumerate((arrows or {}).items()):
        end = middle + np.array([number(f"arrows[{name!r}]", part) for part in step])
        style = {
            "arrowstyle": "-|>",
            "linewidth": 2.2,
            "color": COLOURS["black"],
            "linestyle": ("-", "--", ":")[turn % 3],
        }
        ax.annotate("", xy=end, xytext=middle, arrowprops=style)
        ax.annotate(
            name,
            end,
            xytext=(4, 4),
            textcoords="offset points",
            fontsize=10,
            fontweight="bold",
            bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1},
        )
        told.append(f"arrow {name} by ({_n(step[0])}, {_n(step[1])})")
    if limits is not None:
        ax.set(xlim=limits[:2], ylim=limits[2:])
    ax.set_aspect("equal", adjustable="box" if limits is not None else "datalim")
    ax.set(title=title, xlabel=x_label, ylabel=y_label)
    ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1), fontsize=9)
    alt = f"A cloud of points. {title}. Across: {x_label}. Up: {y_label}. {'; '.join(told)}."
    return _shown(fig, alt, says, show)


@checked
def distribution(
    values: Mapping[str, Any],
    title: Text,
    x_label: Text,
    mark: Mapping[str, float] | None = None,
    bins: Index = 30,
    says: str = "",
    show: bool = True,
) -> str | None:
    """How values spread: up to 40 as dots (shaken apart, up and down only), more as a histogram.

    values: {name: numbers}. mark: {name: x}, upright lines: what was measured beside its null, a threshold.
    Raises ValueError for no values, NaN or infinity, or fewer than one bin.
    """
    sets = {name: base.plain(f"values[{name!r}]", numbers).ravel() for name, numbers in values.items()}
    if not sets or any(not len(own) or np.isnan(own).any() for own in sets.values()):
        raise ValueError("values must hold at least one number a name, and no NaN")
    if bins < 1:
        raise ValueError(f"bins must be at least 1, got {bins}")
    few = max(map(len, sets.values())) <= 40
    fig, ax = base.figure(height=1.6 + 0.55 * len(sets) if few else 3.4)
    edges = np.histogram_bin_edges(np.concatenate(list(sets.values())), bins)
    for turn, (name, own) in enumerate(sets.items()):
        colour = PALETTE[turn % len(PALETTE)]
        if few:
            up = turn + np.random.default_rng(0).uniform(-0.18, 0.18, len(own))
            ax.plot(own, up, MARKERS[turn % len(MARKERS)], color=colour, alpha=0.75)
        else:
            weights = np.full(len(own), 100 / len(own))
            label = f"{name} (n = {len(own)})"
            style = ("-", "--", "-.", ":")[turn % 4]
            ax.hist(own, edges, weights=weights, histtype="stepfilled", color=colour, alpha=0.22)
            ax.hist(
                own, edges, weights=weights, histtype="step", color=colour, linewidth=1.8, linestyle=style, label=label
            )
    if few:
        ax.set_yticks(range(len(sets)), [_folded(f"{name} (n = {len(own)})") for name, own in sets.items()])
        ax.set_ylim(len(sets) - 0.4, -0.6)
    else:
        ax.set_ylabel("% of each set")
    for turn, (name, place) in enumerate((mark or {}).items()):
        place = number(f"mark[{name!r}]", place)
        ax.axvline(place, color=COLOURS["vermillion"], linewidth=2, linestyle=("-", "--", ":")[turn % 3], label=name)
    ax.set(title=title, xlabel=x_label)
    _legend(ax, not few or bool(mark))
    told = [
        f"{name}: n = {len(own)}, median {_n(np.median(own))}, from {_n(own.min())} to {_n(own.max())}"
        for name, own in sets.items()
    ]
    told += [f"{name} at {_n(place)}" for name, place in (mark or {}).items()]
    alt = f"A distribution. {title}. Across: {x_label}. {'; '.join(told)}."
    return _shown(fig, alt, says, show)


# ------------------------------------------------------------------------------------------------- what is given


def _series(argument: str, given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """{series: {name: value}}, each a finite number or an interval; without series there is one, named ""."""
    if not given:
        raise ValueError(f"{argument} must hold at least one value, got none")
    nested = [isinstance(values, Mapping) for values in given.values()]
    if any(nested) and not all(nested):
        raise ValueError(f"{argument} must be all {{name: value}} or all {{series: {{name: value}}}}, got a mixture")
    series = {str(k): dict(v) for k, v in given.items()} if all(nested) else {"": dict(given)}
    for label, row in series.items():
        if not row:
            raise ValueError(f"{argument}[{label!r}] must hold at least one value, got none")
        for name, value in row.items():
            for part in _ends(value) if isinstance(value, Interval) else (value,):
                number(f"{argument}[{name!r}]", part)
    return {label: {str(name): value for name, value in row.items()} for label, row in series.items()}


def _value(value: Any) -> float:
    return float(value.estimate if isinstance(value, Interval) else value)


def _ends(value: Interval) -> tuple[float, float, float]:
    return value.estimate, value.low, value.high


def _line_of(argument: str, values: Any, n: int) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """A line's middle and, if it is made of intervals, its ends; each (n,)."""
    if isinstance(values, Sequence) and values and all(isinstance(value, Interval) for value in values):
        middle, low, high = (base.plain(argument, list(part)) for part in zip(*map(_ends, values)))
    else:
        middle, low, high = base.plain(argument, values), None, None
    if middle.shape != (n,):
        raise ValueError(f"{argument} must hold one value for each of the {n} in x, got shape {middle.shape}")
    return middle, low, high


# ------------------------------------------------------------------------------------------------------- drawing


def _points(ax: Axes, at: np.ndarray, values: list[Any], turn: int, label: str, across: bool) -> None:
    colour = PALETTE[turn % len(PALETTE)]
    middles = [_value(value) for value in values]
    _whiskers(ax, at, values, colour, across)
    where = (middles, at) if across else (at, middles)
    ax.plot(*where, MARKERS[turn % len(MARKERS)], color=colour, markersize=7, label=label or None, zorder=3)


def _whiskers(ax: Axes, at: np.ndarray, values: list[Any], colour: str, across: bool) -> None:
    for place, value in zip(at, values):
        if isinstance(value, Interval):
            draw = ax.hlines if across else ax.vlines
            draw(place, value.low, value.high, color=colour, linewidth=2, zorder=3)


def _compare(ax: Axes, against: Mapping[str, float] | None, band: Band | None, across: bool) -> None:
    for turn, (name, value) in enumerate((against or {}).items()):
        draw = ax.axvline if across else ax.axhline
        style = ("--", ":", "-.")[turn % 3]
        draw(
            number(f"against[{name!r}]", value),
            color=COLOURS["grey"],
            linestyle=style,
            linewidth=1.5,
            label=name,
            zorder=1,
        )
    if band is not None:
        name, low, high = band[0], number("band[1]", band[1]), number("band[2]", band[2])
        if low > high:
            raise ValueError(f"band must have its low end first, got {low} and {high}")
        shade = ax.axvspan if across else ax.axhspan
        shade(low, high, color=COLOURS["grey"], alpha=0.22, linewidth=0, label=name, zorder=0)


def _legend(ax: Axes, wanted: bool) -> None:
    """Names to the right of the axes, where they cover nothing."""
    handles, labels = ax.get_legend_handles_labels()
    if wanted and any(labels):
        ax.legend(
            handles, [_folded(label, 28) for label in labels], loc="upper left", bbox_to_anchor=(1.01, 1), fontsize=9.5
        )


def _name_ticks(ax: Axes, columns: list[str], rows: list[str]) -> None:
    every = max(1, -(-len(rows) // 24))
    ax.set_yticks(range(0, len(rows), every), rows[::every])
    every = max(1, -(-len(columns) // 30))
    slanted = sum(map(len, columns)) > 60
    turned: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if slanted else {}
    ax.set_xticks(range(0, len(columns), every), columns[::every], **turned)


def _write_cells(ax: Axes, cells: np.ndarray) -> None:
    """The numbers themselves, in black or white, whichever is read more easily on the cell's colour."""
    image = ax.images[0]
    for (row, column), value in np.ndenumerate(cells):
        if not np.isnan(value):
            bright = base.luminance(*image.cmap(image.norm(value))[:3]) > 0.179
            ax.text(
                column, row, f"{value:.2g}", ha="center", va="center", fontsize=9, color="black" if bright else "white"
            )


def _folded(text: str, width: int = _WIDE) -> str:
    """A name on lines of at most about `width` signs."""
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + len(word) + 1 > width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}" if lines[-1] else word
    return "\n".join(lines)


def _token_name(name: Any) -> str:
    """A column's name; of a token, its blank and line end are seen."""
    text = str(name)
    return text.replace("\n", "⏎").replace("\t", "⇥") if text.strip() else text.replace("\n", "⏎").replace(" ", "·")


# ------------------------------------------------------------------------------------------------------ in words


def _n(value: float) -> str:
    """A number for an alt text, marked as one that may differ on another computer."""
    return f"{MARK}{value:.3g}"


def _told_value(value: Any) -> str:
    if not isinstance(value, Interval):
        return _n(_value(value))
    return f"{_n(value.estimate)} [{_n(value.low)}, {_n(value.high)}]"


def _told_rows(
    kind: str,
    title: str,
    axis: str,
    series: Mapping[str, Mapping[str, Any]],
    against: Mapping[str, float] | None,
    band: Band | None,
) -> str:
    told = []
    for label, row in series.items():
        entries = [f"{name} {_told_value(value)}" for name, value in row.items()]
        if len(entries) > _TOLD:
            middles = [_value(value) for value in row.values()]
            most, least = int(np.argmax(middles)), int(np.argmin(middles))
            entries = [f"{len(entries)} rows", f"largest {entries[most]}", f"smallest {entries[least]}"]
        told.append((f"{label}: " if label else "") + ", ".join(entries))
    return f"{kind}. {title}. Measured: {axis}. {'; '.join(told)}.{_told_others(against, band)}"


def _told_others(against: Mapping[str, float] | None, band: Band | None) -> str:
    told = [f"{name} at {_n(value)}" for name, value in (against or {}).items()]
    if band is not None:
        told.append(f"{band[0]} from {_n(band[1])} to {_n(band[2])}")
    return f" To compare: {', '.join(told)}." if told else ""


def _told_line(x: np.ndarray, y: np.ndarray) -> str:
    there = np.flatnonzero(~np.isnan(y))
    if not len(there):
        return "no values"
    first, last = there[0], there[-1]
    most, least = there[int(y[there].argmax())], there[int(y[there].argmin())]
    return (
        f"{_n(y[first])} at {_n(x[first])}, {_n(y[last])} at {_n(x[last])}, "
        f"highest {_n(y[most])} at {_n(x[most])}, lowest {_n(y[least])} at {_n(x[least])}"
    )


def _shown(fig: Figure, alt: str, says: str, show: bool) -> str | None:
    return displayed(base.rendered(fig, alt, says), show)


def displayed(markup: str, show: bool) -> str | None:
    if not show:
        return markup
    from IPython.display import HTML, display

    display(HTML(markup))
    return None
