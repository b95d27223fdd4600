"""Drawings of how something works: the stream, patching, a push, three ways of asking. They hold no measurement."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from utils.inputs import Count, Index, Text, Texts, checked
from utils.plots import base
from utils.plots.base import COLOURS
from utils.plots.grammar import displayed

_INK, _ATTENTION, _MLP = COLOURS["black"], COLOURS["blue"], COLOURS["vermillion"]
_ROUND = "round,pad=0.02,rounding_size=0.06"


@checked
def stream(
    n_blocks: Count,
    title: Text,
    marks: Mapping[int, str] | None = None,
    says: str = "",
    show: bool = True,
) -> str | None:
    """The residual stream of one token, a line from its vector to the next token's scores: blocks read and add.

    n_blocks: how many the model has; the first, the last and the marked ones are drawn, the rest are dots. marks:
    {block: words}, written under it. Raises ValueError for a marked block that isn't there, or more than four.
    """
    marks = dict(marks or {})
    if missing := [block for block in marks if not 0 <= block < n_blocks]:
        raise ValueError(f"marks must name blocks from 0 to {n_blocks - 1}, got {missing[0]}")
    drawn = sorted({0, n_blocks - 1, *marks})
    if len(drawn) > 6:
        raise ValueError(f"marks must name at most four blocks between the first and the last, got {len(marks)}")
    fig, ax = _paper(9.6, 3.7, 12.6, 4.6)
    y, at, x_of = 2.6, 2.4, {}
    _box(ax, 0.75, y, 1.3, 0.8, "token →\nvector", COLOURS["grey"])
    for turn, block in enumerate(drawn):
        if turn and block > drawn[turn - 1] + 1:
            ax.text(at - 0.25, y + 0.22, "…", fontsize=16, ha="center", color=_INK)
            at += 0.35
        x_of[block] = at
        at += 8.0 / max(len(drawn), 3)
    end = at
    ax.set_xlim(-0.1, end + 1.9)
    ax.annotate("", (end + 0.35, y), (1.4, y), arrowprops={"arrowstyle": "-|>", "linewidth": 4, "color": _INK})
    _box(ax, end + 1.05, y, 1.35, 0.8, "scores of the\nnext token", COLOURS["grey"])
    for block, x in x_of.items():
        _organ(ax, x, y, "attention", _ATTENTION, above=True)
        _organ(ax, x + 0.75, y, "MLP", _MLP, above=False)
        ax.text(x + 0.35, 0.28, f"block {block}", ha="center", fontsize=10, fontweight="bold")
        if block in marks:
            ax.text(x + 0.35, -0.02, marks[block], ha="center", va="top", fontsize=9)
    ax.text(1.5, y - 0.14, "residual\nstream", fontsize=9.5, fontstyle="italic", va="top")
    words = "; ".join(f"block {block}: {said}" for block, said in marks.items())
    alt = (
        f"A drawing. {title}. One line, the residual stream, runs from the token's vector to the scores of the next "
        f"token. In each of {n_blocks} blocks attention, then the MLP, reads the line and adds to it."
        + (f" Marked: {words}." if words else "")
    )
    return _shown(fig, title, alt, says, show)


@checked
def patching(
    clean: Texts,
    corrupt: Texts,
    position: Index,
    block: Index,
    title: Text,
    says: str = "",
    show: bool = True,
) -> str | None:
    """Two runs, one above the other: the state at one block and token is taken from the first and put into the second.

    clean, corrupt: the tokens of both (the same number). position: which token, block: where. Raises ValueError for
    lengths that differ or a position outside.
    """
    if len(clean) != len(corrupt) or position >= len(clean):
        raise ValueError(
            f"clean and corrupt must have one length and hold position {position}, got {len(clean)} and {len(corrupt)}"
        )
    wide = len(clean)
    fig, ax = _paper(9.6, 4.2, 1.5 * wide + 2.2, 6.2)
    for y, name, tokens, colour in ((4.0, "run A", clean, _ATTENTION), (0.9, "run B", corrupt, _MLP)):
        ax.text(-0.1, y, name, fontsize=11, fontweight="bold", color=colour, ha="right", va="center")
        for i, token in enumerate(tokens):
            x = 0.8 + 1.5 * i
            ax.text(x, y - 0.85, token.strip() or "·", ha="center", fontsize=10, fontfamily="monospace")
            ax.annotate(
                "", (x, y + 0.95), (x, y - 0.55), arrowprops={"arrowstyle": "-|>", "linewidth": 2, "color": colour}
            )
    x = 0.8 + 1.5 * position
    for y, colour in ((4.0, _ATTENTION), (0.9, _MLP)):
        ax.plot(
            [x], [y + 0.1], "o", markersize=13, markerfacecolor="white", markeredgecolor=colour, markeredgewidth=2.5
        )
    ax.annotate(
        "",
        (x + 0.12, 1.25),
        (x + 0.12, 3.85),
        arrowprops={"arrowstyle": "-|>", "linewidth": 2.6, "color": _INK, "connectionstyle": "arc3,rad=-0.35"},
    )
    ax.text(x + 0.95, 2.55, f"state before block {block}", fontsize=10, va="center")
    ax.text(1.5 * wide - 0.3, 0.9, "what does B\nanswer now?", fontsize=10, va="center")
    alt = (
        f"A drawing. {title}. Run A reads {' '.join(t.strip() for t in clean)}; run B reads "
        f"{' '.join(t.strip() for t in corrupt)}. An arrow carries the state of token {position} "
        f"({clean[position].strip()}) before block {block} from A into B, and B's answer is read."
    )
    return _shown(fig, title, alt, says, show)


@checked
def push(title: Text, says: str = "", show: bool = True) -> str | None:
    """One state and one direction in a plane: added to, set to a value (clamped), and taken out (projected)."""
    fig, ax = _paper(7.6, 4.0, 7.6, 4.0)
    origin, state = (1.0, 0.6), (3.0, 2.9)
    ax.plot([0.3, 7.2], [0.6, 0.6], color=COLOURS["grey"], linewidth=1, linestyle="--")
    ax.text(7.2, 0.32, "the direction", ha="right", fontsize=10, fontstyle="italic")
    ax.annotate("", state, origin, arrowprops={"arrowstyle": "-|>", "linewidth": 2.4, "color": _INK})
    ax.text(2.55, 3.02, "a state", fontsize=11, fontweight="bold", ha="right")
    for x, words, colour, style in (
        (4.4, "pushed: a step added", COLOURS["blue"], "-"),
        (6.2, "clamped: its part set", COLOURS["vermillion"], "--"),
        (1.0, "projected: its part gone", COLOURS["green"], ":"),
    ):
        bend = "arc3,rad=-0.3" if x == 6.2 else "arc3,rad=0"
        ax.annotate(
            "",
            (x, 2.9),
            state,
            arrowprops={
                "arrowstyle": "-|>",
                "linewidth": 2.4,
                "color": colour,
                "linestyle": style,
                "connectionstyle": bend,
            },
        )
        ax.plot([x, x], [0.6, 2.9], color=colour, linewidth=1, linestyle=":")
        ax.plot([x], [0.6], "o", color=colour, markersize=5)
        ax.text(
            x,
            2.55,
            words,
            fontsize=9.5,
            color=colour,
            ha="center",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
        )
    alt = (
        f"A drawing. {title}. An arrow is a state; a line is a direction. A push moves the state along the direction "
        "by a fixed step, a clamp until its part along the direction has a set value, a projection until it is 0."
    )
    return _shown(fig, title, alt, says, show)


@checked
def three_ways(
    stem: Text, ending: Text, question: Text, answers: tuple[str, str], title: Text, says: str = "", show: bool = True
) -> str | None:
    """One claim read once, and the three places where it can be asked: before its end, at its full stop, after it.

    stem, ending: the claim's two parts. question: what is put after it, answers: the two that are compared.
    """
    fig, ax = _paper(9.6, 3.6, 12.4, 4.6)
    boxes = (
        (1.9, stem.strip(), 3.6, COLOURS["grey"]),
        (4.75, ending.strip(), 1.5, COLOURS["grey"]),
        (6.0, ".", 0.5, COLOURS["grey"]),
        (8.5, question.strip(), 4.1, COLOURS["grey"]),
    )
    for x, words, wide, colour in boxes:
        _box(ax, x, 0.6, wide, 0.8, words, colour)
    for x, head, words, colour in (
        (3.6, "1 · likelihood", f"how likely is\n“{ending.strip()}” here?", COLOURS["blue"]),
        (6.0, "2 · activations", "what can a probe read\nin the stream here?", COLOURS["green"]),
        (10.5, "3 · words", f"“{answers[0].strip()}” or “{answers[1].strip()}”?", COLOURS["vermillion"]),
    ):
        ax.annotate("", (x, 2.5), (x, 1.08), arrowprops={"arrowstyle": "-|>", "linewidth": 2.4, "color": colour})
        ax.text(x, 3.55, head, ha="center", fontsize=11, fontweight="bold", color=colour)
        ax.text(x, 3.4, words, ha="center", va="top", fontsize=9.5)
    ax.annotate("", (11.4, -0.25), (0.1, -0.25), arrowprops={"arrowstyle": "-|>", "linewidth": 1.4, "color": _INK})
    ax.text(5.75, -0.42, "the model reads from left to right, once", ha="center", va="top", fontsize=9.5)
    alt = (
        f"A drawing. {title}. The model reads “{stem.strip()} {ending.strip()}. {question.strip()}” from left to "
        f"right, once. Three arrows leave it. First, before “{ending.strip()}”: likelihood, how likely is that word "
        "here? Second, at the full stop: activations, what can a probe read in the stream? Third, at the very end: "
        f"words, “{answers[0].strip()}” or “{answers[1].strip()}”?"
    )
    return _shown(fig, title, alt, says, show)


def _paper(width: float, height: float, x: float, y: float) -> tuple[Figure, Axes]:
    fig, ax = base.figure(width=width, height=height)
    ax.set(xlim=(-0.2, x), ylim=(-0.75, y))
    ax.set_axis_off()
    return fig, ax


def _box(ax: Axes, x: float, y: float, wide: float, high: float, words: str, colour: str) -> None:
    ax.add_patch(
        FancyBboxPatch(
            (x - wide / 2, y - high / 2), wide, high, _ROUND, facecolor="white", edgecolor=colour, linewidth=1.6
        )
    )
    ax.text(x, y, words, ha="center", va="center", fontsize=9.5)


def _organ(ax: Axes, x: float, y: float, words: str, colour: str, above: bool) -> None:
    """A part of a block beside the stream: one arrow out of the line (it reads), one back into it (it adds)."""
    side = 1 if above else -1
    middle = y + side * 1.25
    _box(ax, x, middle, 1.0 if above else 0.72, 0.62, words, colour)
    for start, end in (
        ((x - 0.24, y), (x - 0.24, middle - side * 0.34)),
        ((x + 0.24, middle - side * 0.34), (x + 0.24, y)),
    ):
        ax.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "linewidth": 1.6, "color": colour})
    ax.text(x + 0.3, y + side * 0.42, "+", fontsize=11, color=colour, fontweight="bold", va="center")


def _shown(fig: Figure, title: str, alt: str, says: str, show: bool) -> str | None:
    fig.axes[0].set_title(title)
    return displayed(base.rendered(fig, alt, says), show)
