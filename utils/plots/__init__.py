"""Every figure of the course.

A lesson draws with the grammar: `dots`, `bars`, `curves`, `strip`, `grid`, `cloud`, `distribution` for what was
measured, `stream`, `patching`, `push`, `three_ways` for how something works. Each takes the data, words for its axes,
and computes its own alt text. What they are made of (`figure`, `line`, `heatmap`, `tokens`, `show`, `html`) is here for
the rest.
"""

from utils.plots.base import (
    COLOURS,
    DIVERGING,
    MARKERS,
    PALETTE,
    SEQUENTIAL,
    figure,
    heatmap,
    html,
    line,
    show,
    tokens,
    tokens_html,
)
from utils.plots.drawings import patching, push, stream, three_ways
from utils.plots.grammar import bars, cloud, curves, distribution, dots, grid, strip

__all__ = [
    "COLOURS",
    "DIVERGING",
    "MARKERS",
    "PALETTE",
    "SEQUENTIAL",
    "bars",
    "cloud",
    "curves",
    "distribution",
    "dots",
    "figure",
    "grid",
    "heatmap",
    "html",
    "line",
    "patching",
    "push",
    "show",
    "stream",
    "strip",
    "three_ways",
    "tokens",
    "tokens_html",
]
