"""Every figure of the course: one style, one colour-blind-safe palette, and an alt text that cannot be forgotten.

Figures are drawn off screen and shown as an HTML `<figure>` with an `<img alt=…>`, because JupyterLab drops alt text
that is set through output metadata. `show` refuses a figure without title, axis labels or a real alt text.
"""

from __future__ import annotations

import base64
import html as _html
import io
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, Normalize, TwoSlopeNorm
from matplotlib.figure import Figure

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
    "axes.prop_cycle": matplotlib.cycler(color=PALETTE),
    "lines.linewidth": 2,
    "lines.markersize": 4.5,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
}
_PIXELS_PER_INCH = 96  # how wide an inch is on the page; the image itself is drawn finer, for sharp screens
_MIN_ALT = 25


def figure(rows: int = 1, cols: int = 1, width: float = 7.5, height: float = 3.6, **kwargs: Any) -> tuple[Figure, Any]:
    """A new styled figure and its axes (one Axes, or an array of them). width and height in inches for the whole.

    Further arguments go to `Figure.subplots` (sharex, sharey, width_ratios …). The figure never shows by itself:
    hand it to `show`.
    """
    with matplotlib.rc_context(_STYLE):
        fig = Figure(figsize=(width, height), layout="constrained")
        axes = fig.subplots(rows, cols, **kwargs)
    return fig, axes


def line(
    ax: Axes,
    x: Sequence[float],
    y: Sequence[float],
    low: Sequence[float] | None = None,
    high: Sequence[float] | None = None,
    label: str | None = None,
    colour: str | None = None,
    marker: str | None = None,
    **kwargs: Any,
) -> None:
    """A line with an optional band from `low` to `high` (an interval). colour: a name in COLOURS or any colour.

    Without colour and marker, lines take the palette and the markers in turn. Raises ValueError if lengths differ.
    """
    lengths = {"x": len(x), "y": len(y)} | {n: len(v) for n, v in (("low", low), ("high", high)) if v is not None}
    if len(set(lengths.values())) > 1 or (low is None) != (high is None):
        raise ValueError(f"x, y, low and high must have one length, and low needs high; got {lengths}")
    turn = len(ax.lines)
    colour = COLOURS.get(colour or "", colour) or PALETTE[turn % len(PALETTE)]
    marker = MARKERS[turn % len(MARKERS)] if marker is None else marker
    ax.plot(x, _plain(y), color=colour, marker=marker, label=label, **kwargs)
    if low is not None and high is not None:
        ax.fill_between(x, _plain(low), _plain(high), color=colour, alpha=0.18, linewidth=0)


def heatmap(
    ax: Axes,
    matrix: Any,
    x_labels: Sequence[str] | None = None,
    y_labels: Sequence[str] | None = None,
    label: str = "",
    centre: float | None = None,
    limits: tuple[float, float] | None = None,
) -> None:
    """A matrix (rows, cols) as coloured cells with a colour bar. label: the bar's text, with the unit.

    centre: the value drawn white, with two hues to its sides (0 for effects with a sign); None: one hue, dark to light.
    Raises ValueError for a matrix that is not 2-d, or without a label for the bar.
    """
    matrix = _plain(matrix)
    if matrix.ndim != 2:
        raise ValueError(f"matrix must be 2-d (rows, cols), got shape {matrix.shape}")
    if not label:
        raise ValueError("label must say what the colours mean, with the unit")
    low, high = limits or (float(np.nanmin(matrix)), float(np.nanmax(matrix)))
    if centre is None:
        norm: Normalize = Normalize(low, high)
    else:
        reach = max(abs(low - centre), abs(high - centre), 1e-12)
        norm = TwoSlopeNorm(centre, centre - reach, centre + reach)
    cmap = SEQUENTIAL if centre is None else DIVERGING
    image = ax.imshow(matrix, aspect="auto", cmap=cmap, norm=norm, interpolation="nearest")
    ax.grid(False)
    if x_labels is not None:
        rotation = 45 if max(len(t) for t in x_labels) * len(x_labels) > 60 else 0
        ax.set_xticks(range(len(x_labels)), x_labels, rotation=rotation, ha="right" if rotation else "center")
    if y_labels is not None:
        ax.set_yticks(range(len(y_labels)), y_labels)
    ax.figure.colorbar(image, ax=ax, label=label)


def show(fig: Figure, alt: str, caption: str = "") -> None:
    """Show a figure with its alt text (what it shows, in words and computed numbers) and an optional caption.

    Raises ValueError when the alt text is missing or too short to say anything, or a title or axis label is missing.
    """
    from IPython.display import HTML, display

    display(HTML(html(fig, alt, caption)))


def html(fig: Figure, alt: str, caption: str = "") -> str:
    """The figure as an HTML `<figure>`: what `show` displays, for use inside a widget. Raises as `show` does."""
    _check_alt(alt)
    _check_labels(fig)
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


def tokens(
    texts: Sequence[str],
    values: Sequence[float],
    unit: str,
    alt: str,
    digits: int = 1,
    centre: float | None = None,
    limits: tuple[float, float] | None = None,
) -> None:
    """Show tokens in order, each coloured by its value with the number written under it.

    texts: one string a token. values: one finite number a token. unit: what the numbers are ("bits"). The other
    arguments are those of `heatmap` and `show`. Raises ValueError for lengths that differ or a missing alt text.
    """
    from IPython.display import HTML, display

    display(HTML(tokens_html(texts, values, unit, alt, digits, centre, limits)))


def tokens_html(
    texts: Sequence[str],
    values: Sequence[float],
    unit: str,
    alt: str,
    digits: int = 1,
    centre: float | None = None,
    limits: tuple[float, float] | None = None,
) -> str:
    """The HTML that `tokens` displays, for use inside a widget."""
    _check_alt(alt)
    numbers = _plain(values)
    if numbers.shape != (len(texts),) or not len(texts):
        raise ValueError(f"values must hold one number a token ({len(texts)}), got shape {numbers.shape}")
    if not np.isfinite(numbers).all():
        raise ValueError("values must be finite")
    low, high = limits or (float(numbers.min()), float(numbers.max()))
    if centre is not None:
        reach = max(abs(low - centre), abs(high - centre), 1e-12)
        low, high = centre - reach, centre + reach
    cmap = matplotlib.colormaps["Blues" if centre is None else DIVERGING]
    cells = "".join(
        _token_cell(text, value, cmap, 0.0 if high == low else (value - low) / (high - low), digits)
        for text, value in zip(texts, numbers)
    )
    escaped = _html.escape(alt)
    return (
        f'<figure role="group" aria-label="{escaped}" style="margin:0.5em 0;line-height:1.2">{cells}'
        f'<figcaption style="font-size:0.85em">Under each token: {_html.escape(unit)}. {escaped}</figcaption></figure>'
    )


def _token_cell(text: str, value: float, cmap: Colormap, share: float, digits: int) -> str:
    red, green, blue, _ = cmap(0.05 + 0.9 * min(max(share, 0.0), 1.0))
    ink = "#000" if _luminance(red, green, blue) > 0.179 else "#fff"
    shown = _html.escape(text.replace("\n", "⏎").replace(" ", "·") or "∅")
    colour = f"rgb({red * 255:.0f},{green * 255:.0f},{blue * 255:.0f})"
    return (
        f'<span style="display:inline-block;text-align:center;margin:1px;padding:1px 4px;border-radius:3px;'
        f'background:{colour};color:{ink};font-family:monospace">{shown}<br>'
        f"<small>{value:.{digits}f}</small></span>"
    )


def _luminance(*channels: float) -> float:
    """Relative luminance of an sRGB colour (WCAG 2.1); above 0.179, black text has more contrast than white."""
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _plain(values: Any) -> np.ndarray:
    if hasattr(values, "detach"):
        values = values.detach().cpu().float().numpy()
    return np.asarray(values, dtype=np.float64)


def _finish(fig: Figure) -> None:
    """Left-aligned bold titles and legends without a frame, however the author made them."""
    for ax in fig.axes:
        if title := ax.get_title("center"):
            ax.set_title("")
            ax.set_title(title, loc="left", fontweight="bold")
        if legend := ax.get_legend():
            legend.set_frame_on(False)


def _check_alt(alt: str) -> None:
    if not isinstance(alt, str) or len(alt.strip()) < _MIN_ALT:
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
