"""What every figure rests on: one style, one colour-blind-safe palette, and an alt text that cannot be forgotten.

Figures are drawn off screen and shown as an HTML `<figure>` with an `<img alt=…>`, because JupyterLab drops alt text
that is set through output metadata. `show` refuses a figure without title, axis labels or a real alt text.
"""

from __future__ import annotations

import base64
import html as _html
import io
import textwrap
from typing import Annotated, Any

import matplotlib
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, Normalize, TwoSlopeNorm, is_color_like
from matplotlib.figure import Figure
from matplotlib.text import Text as MatplotlibText

from utils.inputs import Number, Range, Row, Text, Texts, checked, what

# Okabe & Ito 2008: eight colours that people with any common colour vision can tell apart.
COLOURS = {
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "vermillion": "#D55E00",
    "purple": "#CC79A7",
    "sky": "#56B4E9",
    "yellow": "#F0E442",
    "grey": "#767676",
    "black": "#1B1B1B",
}
PALETTE = [COLOURS[name] for name in ("blue", "orange", "green", "vermillion", "purple", "sky", "grey")]
MARKERS = ["o", "s", "^", "D", "v", "P", "X"]  # so that lines differ in shape as well as in colour
SEQUENTIAL, DIVERGING = "cividis", "PuOr"  # both readable without red-green vision

_STYLE = {
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.labelsize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
    "axes.prop_cycle": cycler(color=PALETTE),
    "lines.linewidth": 2,
    "lines.markersize": 4.5,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
}
_PIXELS_PER_INCH = 96  # how wide an inch is on the page; the image itself is drawn finer, for sharp screens
_MIN_ALT = 25
_Panels = Annotated[int, Range(low=1, high=40)]
_Inches = Annotated[float, Range(above=0, high=60)]
_Digits = Annotated[int, Range(low=0, high=12)]


@checked
def figure(
    rows: _Panels = 1, cols: _Panels = 1, width: _Inches = 7.5, height: _Inches = 3.6, **kwargs: Any
) -> tuple[Figure, Any]:
    """A new styled figure and its axes (one Axes, or an array of them). width and height in inches for the whole.

    Further arguments go to `Figure.subplots` (sharex, sharey, width_ratios …). The figure never shows by itself:
    hand it to `show`.
    """
    with matplotlib.rc_context(_STYLE):
        fig = Figure(figsize=(width, height), layout="constrained")
        axes = fig.subplots(rows, cols, **kwargs)
    return fig, axes


@checked
def line(
    ax: Axes,
    x: Any,
    y: Any,
    low: Any = None,
    high: Any = None,
    label: str | None = None,
    colour: str | None = None,
    marker: str | None = None,
    **kwargs: Any,
) -> None:
    """A line with an optional band from `low` to `high` (an interval). colour: a name in COLOURS or any colour.

    x: numbers or names. y, low, high: numbers; NaN leaves a gap. Without colour and marker, lines take the palette and
    the markers in turn. Raises ValueError if lengths differ, for infinity or for a colour nobody knows.
    """
    named = isinstance(x, list | tuple) and all(isinstance(name, str) for name in x)
    x = list(x) if named else plain("x", x)
    given = {"y": y, "low": low, "high": high}
    drawn = {name: plain(name, values) for name, values in given.items() if name == "y" or values is not None}
    lengths = {"x": len(x)} | {name: len(values) for name, values in drawn.items()}
    if len(set(lengths.values())) > 1 or (low is None) != (high is None):
        raise ValueError(f"x, y, low and high must have one length, and low needs high; got {lengths}")
    turn = len(ax.lines)
    colour = PALETTE[turn % len(PALETTE)] if colour is None else COLOURS.get(colour, colour)
    if not is_color_like(colour):
        raise ValueError(f"colour must be one of {', '.join(COLOURS)} or a colour of matplotlib's, got {colour!r}")
    marker = MARKERS[turn % len(MARKERS)] if marker is None else marker
    ax.plot(x, drawn["y"], color=colour, marker=marker, label=label, **kwargs)
    if low is not None and high is not None:
        ax.fill_between(x, drawn["low"], drawn["high"], color=colour, alpha=0.18, linewidth=0)


@checked
def heatmap(
    ax: Axes,
    matrix: Any,
    x_labels: Texts | None = None,
    y_labels: Texts | None = None,
    label: str = "",
    centre: Number | None = None,
    limits: tuple[float, float] | None = None,
) -> None:
    """A matrix (rows, cols) as coloured cells with a colour bar. label: the bar's text, with the unit.

    matrix: numbers; NaN stays white. centre: the value drawn white, with two hues to its sides (0 for effects with a
    sign); None: one hue, dark to light. x_labels, y_labels: one a column, one a row.
    Raises ValueError for a matrix that is not 2-d, other numbers of labels, or no label for the bar.
    """
    cells = plain("matrix", matrix)
    if cells.ndim != 2 or not cells.size:
        raise ValueError(f"matrix must be 2-d (rows, cols), got shape {cells.shape}")
    if not np.isfinite(cells).any():
        raise ValueError("matrix must hold a number somewhere, got NaN only")
    if not label:
        raise ValueError("label must say what the colours mean, with the unit")
    for name, texts, n in (("y_labels", y_labels, len(cells)), ("x_labels", x_labels, cells.shape[1])):
        if texts is not None and len(texts) != n:
            raise ValueError(f"{name} must hold {n} texts for a matrix of shape {cells.shape}, got {len(texts)}")
    low, high = _limits(cells, centre, limits)
    norm = Normalize(low, high) if centre is None else TwoSlopeNorm(centre, low, high)
    cmap = SEQUENTIAL if centre is None else DIVERGING
    image = ax.imshow(cells, aspect="auto", cmap=cmap, norm=norm, interpolation="nearest")
    ax.grid(False)
    if x_labels is not None:
        rotation = 45 if max(len(t) for t in x_labels) * len(x_labels) > 60 else 0
        ax.set_xticks(range(len(x_labels)), x_labels, rotation=rotation, ha="right" if rotation else "center")
    if y_labels is not None:
        ax.set_yticks(range(len(y_labels)), y_labels)
    ax.figure.colorbar(image, ax=ax, label=label)


@checked
def show(fig: Figure, alt: str, caption: str = "") -> None:
    """Show a figure with its alt text (what it shows, in words and computed numbers) and an optional caption.

    Raises ValueError when the alt text is missing or too short to say anything, or a title or axis label is missing.
    """
    from IPython.display import HTML, display

    display(HTML(html(fig, alt, caption)))


@checked
def html(fig: Figure, alt: str, caption: str = "") -> str:
    """The figure as an HTML `<figure>`: what `show` displays, for use inside a widget. Raises as `show` does."""
    _check_labels(fig)
    return rendered(fig, alt, caption)


def rendered(fig: Figure, alt: str, caption: str = "") -> str:
    """The figure as HTML, its labels not looked at: for drawings, which have no axes. Raises ValueError without alt."""
    _check_alt(alt)
    _finish(fig)
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
    data = base64.b64encode(buffer.getvalue()).decode()
    width = round(fig.get_figwidth() * _PIXELS_PER_INCH)
    under = f"<figcaption>{_html.escape(caption)}</figcaption>" if caption else ""
    return (
        f'<figure style="margin:0.5em 0;max-width:{width}px"><img alt="{_html.escape(alt)}" '
        f'style="width:100%;background:#fff" src="data:image/png;base64,{data}">{under}</figure>'
    )


def tokens(texts: Texts, values: Row, unit: Text, alt: str, **options: Any) -> None:
    """Show tokens in order, each coloured by its value with the number written under it.

    texts: one string a token, as `reading.token_strings` gives them. values: one finite number a token. unit: what the
    numbers are ("bits"). options: digits, centre and limits of `tokens_html`. Raises as that does.
    """
    from IPython.display import HTML, display

    display(HTML(tokens_html(texts, values, unit, alt, **options)))


@checked
def tokens_html(
    texts: Texts,
    values: Row,
    unit: Text,
    alt: str,
    digits: _Digits = 1,
    centre: Number | None = None,
    limits: tuple[float, float] | None = None,
    mark: str = "",
) -> str:
    """The HTML that `tokens` displays, for use inside a widget.

    A blank is shown as "·", a line's end as "⏎", a tab as "⇥", and a token that holds only a part of a character (an
    emoji is often three tokens) as "…". digits: after the point. centre, limits: as in `heatmap`.
    mark: put before each number (`strip` marks what may differ on another computer).
    Raises ValueError for lengths that differ, numbers that aren't finite or a missing alt text.
    """
    _check_alt(alt)
    if len(values) != len(texts):
        raise ValueError(f"values must hold one number a token ({len(texts)}), got shape {values.shape}")
    low, high = _limits(values, centre, limits)
    cmap = matplotlib.colormaps["Blues" if centre is None else DIVERGING]
    cells = "".join(
        _token_cell(text, value, cmap, 0.0 if high == low else (value - low) / (high - low), digits, mark)
        for text, value in zip(texts, values)
    )
    escaped = _html.escape(alt)
    return (
        f'<figure aria-label="{escaped}" style="margin:0.5em 0;line-height:1.2">{cells}'
        f'<figcaption style="font-size:0.85em">Under each token: {_html.escape(unit)}. {escaped}</figcaption></figure>'
    )


def _token_cell(text: str, value: float, cmap: Colormap, share: float, digits: int, mark: str) -> str:
    red, green, blue, _ = cmap(0.05 + 0.9 * min(max(share, 0.0), 1.0))
    ink = "#000" if luminance(red, green, blue) > 0.179 else "#fff"
    shown = _html.escape(text.translate({10: "⏎", 13: "␍", 9: "⇥", 32: "·"}) or "…")
    colour = f"rgb({red * 255:.0f},{green * 255:.0f},{blue * 255:.0f})"
    return (
        f'<span style="display:inline-block;text-align:center;margin:1px;padding:1px 4px;border-radius:3px;'
        f'background:{colour};color:{ink};font-family:monospace">{shown}<br>'
        f"<small>{mark}{value:.{digits}f}</small></span>"
    )


def luminance(*channels: float) -> float:
    """Relative luminance of an sRGB colour (WCAG 2.1); above 0.179, black text has more contrast than white."""
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def plain(name: str, values: Any) -> np.ndarray:
    """Numbers from a list, an array or a tensor, float64; NaN is allowed (a gap), infinity isn't."""
    if getattr(values, "is_meta", False):
        raise TypeError(f"{name} must be numbers, got a tensor without content (device meta)")
    if hasattr(values, "detach"):
        values = values.detach().cpu().double().numpy()
    if isinstance(values, str) or not hasattr(values, "__len__"):
        raise TypeError(f"{name} must be numbers (a list, an array or a tensor), got {what(values)}")
    try:
        array = np.asarray(values)
        if array.dtype.kind not in "biuf":
            raise TypeError
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be numbers, got {what(values)} with something else in it") from None
    if np.isinf(array).any():
        raise ValueError(f"{name} must not hold infinity: it can't be drawn")
    return array.astype(np.float64)


def _limits(numbers: np.ndarray, centre: float | None, limits: tuple[float, float] | None) -> tuple[float, float]:
    """The ends of the colours: the numbers' own or those asked for, equally far from the centre where there is one."""
    if limits is not None and limits[0] >= limits[1]:
        raise ValueError(f"limits must rise from low to high, got {limits}")
    low, high = limits or (float(np.nanmin(numbers)), float(np.nanmax(numbers)))
    if centre is None:
        return low, high
    reach = max(abs(low - centre), abs(high - centre), 1e-12)
    return centre - reach, centre + reach


def _finish(fig: Figure) -> None:
    """Left-aligned bold titles and legends without a frame, however the author made them."""
    for ax in fig.axes:
        if title := ax.get_title("center"):
            ax.set_title("")
            _fold(ax.set_title(title, loc="left", fontweight="bold"), fig)
        if legend := ax.get_legend():
            legend.set_frame_on(False)


def _fold(title: MatplotlibText, fig: Figure) -> None:
    """Break a title that would run out of the figure: long row names leave little room above the axes."""
    fig.draw_without_rendering()  # places the axes
    box = title.get_window_extent()
    room = fig.bbox.width - box.x0
    if box.width > room:
        letters = int(len(title.get_text()) * room / box.width) - 1
        title.set_text(textwrap.fill(title.get_text(), max(letters, 12)))


def escaped(text: str) -> str:
    """Text that HTML shows as it is."""
    return _html.escape(text)


def _check_alt(alt: str) -> None:
    if len(alt.strip()) < _MIN_ALT:
        raise ValueError(f"alt must say in words what the figure shows (at least {_MIN_ALT} characters), got {alt!r}")


def _check_labels(fig: Figure) -> None:
    drawn = [ax for ax in fig.axes if ax.axison and ax.has_data() and not hasattr(ax, "_colorbar")]
    titled = fig.get_suptitle() or any(ax.get_title(loc) for ax in fig.axes for loc in ("left", "center", "right"))
    missing = [] if titled else ["a title"]
    shared_x, shared_y = fig.get_supxlabel(), fig.get_supylabel()
    for i, ax in enumerate(drawn):
        group_x = [ax, *ax.get_shared_x_axes().get_siblings(ax)]
        group_y = [ax, *ax.get_shared_y_axes().get_siblings(ax)]
        if not (shared_x or any(a.get_xlabel() for a in group_x)):
            missing.append(f"an x label on axes {i}")
        if not (shared_y or any(a.get_ylabel() for a in group_y)):
            missing.append(f"a y label on axes {i}")
    if missing:
        raise ValueError(f"the figure still needs {', '.join(missing)}")
