"""Figures can't be shown without alt text, a title and labelled axes."""

import configparser
import html
import re

import numpy as np
import pytest
import torch

from utils import plots, statistics
from utils.measured import MARK
from utils.plots import grammar

ALT = "A line that rises from 0 to 2 over three layers."


def drawn(title="Title", xlabel="layer", ylabel="nats"):
    fig, ax = plots.figure()
    plots.line(ax, [0, 1, 2], [0, 1, 2], [0, 0.5, 1.5], [0.1, 1.5, 2.5], label="a")
    ax.set(title=title, xlabel=xlabel, ylabel=ylabel)
    return fig


def test_a_whole_figure_becomes_accessible_html():
    markup = plots.html(drawn(), ALT, "A caption & more")
    assert f'alt="{ALT}"' in markup and "<figcaption>A caption &amp; more" in markup
    assert "data:image/png;base64," in markup


@pytest.mark.parametrize(("alt", "error"), [("", ValueError), ("short", ValueError), (None, TypeError), (3, TypeError)])
def test_alt_text_is_required(alt, error):
    with pytest.raises(error, match="alt must"):
        plots.html(drawn(), alt)


@pytest.mark.parametrize(
    ("missing", "words"), [({"title": ""}, "a title"), ({"xlabel": ""}, "an x label"), ({"ylabel": ""}, "a y label")]
)
def test_title_and_labels_are_required(missing, words):
    with pytest.raises(ValueError, match=words):
        plots.html(drawn(**missing), ALT)


def test_shared_axes_need_one_label():
    fig, axes = plots.figure(1, 2, sharey=True)
    for ax in axes:
        plots.line(ax, [0, 1], [1, 2])
        ax.set(title="t", xlabel="layer")
    axes[0].set_ylabel("nats")
    assert "<img" in plots.html(fig, ALT)


def test_heatmap_needs_a_matrix_and_a_unit():
    fig, ax = plots.figure()
    with pytest.raises(ValueError, match="2-d"):
        plots.heatmap(ax, np.ones(3), label="nats")
    with pytest.raises(ValueError, match="label must say"):
        plots.heatmap(ax, np.ones((2, 2)))
    plots.heatmap(ax, np.array([[-1.0, 2.0]]), ["a", "b"], ["row"], label="nats", centre=0.0)
    ax.set(title="t", xlabel="x", ylabel="y")
    assert "<img" in plots.html(fig, ALT)


AX = plots.figure()[1]


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: plots.line(AX, [0, 1], [0, 1, 2]), ValueError, "one length"),
        (lambda: plots.line(AX, [0, 1], [0, 1], low=[0, 1]), ValueError, "low needs high"),
        (lambda: plots.line("ax", [0, 1], [0, 1]), TypeError, "ax must be an Axes"),
        (lambda: plots.line(AX, [0, 1], ["a", "b"]), TypeError, "y must be numbers"),
        (lambda: plots.line(AX, [0, 1], None), TypeError, "y must be numbers"),
        (lambda: plots.line(AX, [0, 1], torch.ones(2, device="meta")), TypeError, "y must be numbers"),
        (lambda: plots.line(AX, 3, [0, 1]), TypeError, "x must be numbers"),
        (lambda: plots.line(AX, "ab", [0, 1]), TypeError, "x must be numbers"),
        (lambda: plots.line(AX, [0, 1], [0, float("inf")]), ValueError, "y must not hold infinity"),
        (lambda: plots.line(AX, [0, 1], [0, 1], colour="blu"), ValueError, "colour must be one of blue, orange"),
        (lambda: plots.heatmap(AX, np.ones(3), label="nats"), ValueError, "matrix must be 2-d"),
        (lambda: plots.heatmap(AX, np.full((2, 2), np.nan), label="nats"), ValueError, "NaN only"),
        (lambda: plots.heatmap(AX, "ab", label="nats"), TypeError, "matrix must be numbers"),
        (lambda: plots.heatmap(AX, np.ones((2, 2)), ["a"], label="nats"), ValueError, "x_labels must hold 2 texts"),
        (lambda: plots.heatmap(AX, np.ones((2, 2)), "ab", label="nats"), TypeError, "x_labels must be a list of texts"),
        (lambda: plots.heatmap(AX, np.ones((2, 2)), label="n", limits=(1, 0)), ValueError, "limits must rise"),
        (lambda: plots.figure(0), ValueError, "rows must be at least 1"),
        (lambda: plots.figure(width=1e9), ValueError, "width must be at most 60"),
        (lambda: plots.html("fig", ALT), TypeError, "fig must be a Figure"),
        (lambda: plots.tokens_html("ab", [1.0, 2.0], "bits", ALT), TypeError, "texts must be a list of texts"),
        (lambda: plots.tokens_html(["a"], [1.0, 2.0], "bits", ALT), ValueError, "one number a token"),
        (lambda: plots.tokens_html(["a"], [float("nan")], "bits", ALT), ValueError, "values must be finite"),
        (lambda: plots.tokens_html(["a"], [1.0], "", ALT), ValueError, "unit must hold some text"),
        (lambda: plots.tokens_html(["a"], [1.0], "bits", ALT, digits=-1), ValueError, "digits must be at least 0"),
    ],
)
def test_bad_input_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor, lambda v: torch.tensor(v, dtype=torch.bfloat16)])
def test_numbers_are_drawn_in_whatever_they_come(kind):
    fig, ax = plots.figure()
    plots.line(ax, kind([0.0, 1.0]), kind([1.0, 2.0]), kind([0.5, 1.5]), kind([1.5, 2.5]))
    assert ax.lines[0].get_ydata().tolist() == [1.0, 2.0]
    plots.heatmap(plots.figure()[1], kind([[1.0, 2.0]]), label="nats")
    assert "2.0" in plots.tokens_html(["a", "b"], kind([1.0, 2.0]), "bits", ALT)


def test_a_gap_in_a_line_is_a_gap():
    _, ax = plots.figure()
    plots.line(ax, ["a", "b", "c"], [1.0, np.nan, 2.0])
    assert np.isnan(ax.lines[0].get_ydata()[1])


def test_tokens_carry_their_numbers_as_text():
    markup = plots.tokens_html(["The", " <cat>", "\n", "\t", "", "🦜"], [0.5, 12.25, 3.0, 1, 1, 1], "bits", ALT)
    assert "·&lt;cat&gt;" in markup and "12.2" in markup and "⏎" in markup and "⇥" in markup and "bits" in markup
    assert ">…<br>" in markup and "🦜" in markup, "a token that holds a part of a character goes on in the next"
    assert f'<figure aria-label="{ALT}"' in markup and "role=" not in markup  # a figure is one by itself


def test_token_text_keeps_contrast_on_every_colour():
    """Relative luminance contrast of ink on its background is at least 4.5 (WCAG 2.1 AA)."""

    def luminance(rgb):
        parts = [c / 255 for c in rgb]
        return sum(
            w * (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4)
            for w, c in zip((0.2126, 0.7152, 0.0722), parts)
        )

    markup = plots.tokens_html(["t"] * 50, list(range(50)), "bits", ALT)
    for red, green, blue, ink in re.findall(r"background:rgb\((\d+),(\d+),(\d+)\);color:(#\w+)", markup):
        back, fore = luminance([int(red), int(green), int(blue)]), 0.0 if ink == "#000" else 1.0
        assert (max(back, fore) + 0.05) / (min(back, fore) + 0.05) >= 4.5


# ---------------------------------------------------------------------------------------------------------- grammar

IV = statistics.Interval(0.8, 0.7, 0.9, 30)
DRAWN = {
    "dots": lambda: plots.dots(
        {"a": {"x": IV, "y": 0.5}, "b": {"x": 0.2}}, title="T", x="AUROC", against={"chance": 0.5}, show=False
    ),
    "bars": lambda: plots.bars({"x": IV, "y": 0.25}, title="T", y="share", band=("shuffled", 0.1, 0.2), show=False),
    "curves": lambda: plots.curves(
        [0, 4, 9],
        {"a": [IV] * 3, "b": [1, np.nan, 3]},
        title="T",
        x_label="block",
        y_label="nats",
        marks={"chosen": 4},
        predicted=[1, 2, 3],
        show=False,
    ),
    "grid": lambda: plots.grid(
        [[1.0, 2.0], [3.0, np.nan]],
        [0, 1],
        ["The", " cat"],
        title="T",
        label="nats",
        x_label="token",
        y_label="block",
        show=False,
    ),
    "cloud": lambda: plots.cloud(
        [[0, 0], [2, 1.0]],
        ["true", "false"],
        title="T",
        x_label="x",
        y_label="y",
        arrows={"truth": (1.5, 0.2)},
        show=False,
    ),
    "distribution": lambda: plots.distribution(
        {"null": range(50)}, title="T", x_label="nats", mark={"measured": 3.25}, show=False
    ),
    "few": lambda: plots.distribution({"null": [1, 2, 3]}, title="T", x_label="nats", show=False),
    "stream": lambda: plots.stream(30, title="T", marks={23: "the fact moves"}, show=False),
    "patching": lambda: plots.patching(["The", " cat"], ["The", " dog"], 1, 12, title="T", show=False),
    "push": lambda: plots.push(title="T", show=False),
    "three ways": lambda: plots.three_ways(
        "Bananas are", "yellow", "True or false?", (" True", " False"), title="T", show=False
    ),
}
TOLD = {
    "dots": ["a: x 0.8 [0.7, 0.9], y 0.5; b: x 0.2", "chance at 0.5"],
    "bars": ["x 0.8 [0.7, 0.9], y 0.25", "shuffled from 0.1 to 0.2"],
    "curves": ["b: 1 at 0, 3 at 9, highest 3 at 9, lowest 1 at 0"],
    "grid": ["Largest 3 at 1, The; smallest 1 at 0, The; mean 2."],
    "cloud": ["true, 1 points around (0, 0)", "arrow truth by (1.5, 0.2)"],
    "distribution": ["null: n = 50, median 24.5, from 0 to 49", "measured at 3.25"],
    "few": ["n = 3, median 2"],
    "stream": ["In each of 30 blocks", "block 23: the fact moves"],
    "patching": ["state of token 1 (cat) before block 12 from A into B"],
    "push": ["a projection until it is 0"],
    "three ways": ["First, before “yellow”", "Second, at the full stop", "“True” or “False”?"],
}


@pytest.mark.parametrize("name", DRAWN)
def test_a_figure_of_the_grammar_tells_its_data_in_words(name):
    alt = html.unescape(re.search(r'alt="([^"]*)"', DRAWN[name]())[1]).replace(MARK, "")
    assert all(words in alt for words in TOLD[name]), alt


def test_numbers_of_an_alt_text_are_left_out_of_the_comparison_and_its_words_are_not():
    sanitised = [
        DRAWN["dots"](),
        plots.dots(
            {"a": {"x": 0.31, "y": 0.5}, "b": {"x": 0.2}}, title="T", x="AUROC", against={"chance": 0.5}, show=False
        ),
    ]
    rules = configparser.ConfigParser(interpolation=None)
    rules.read("tests/sanitize.cfg", encoding="utf-8")
    for section in rules.sections():
        sanitised = [re.sub(rules[section]["regex"], rules[section]["replace"], markup) for markup in sanitised]
    assert "NUMBER" in sanitised[0] and "0.8" not in sanitised[0] and "chance at" in sanitised[0]
    assert sanitised[0] != sanitised[1], "an interval that is gone is a difference"
    assert "style=" not in sanitised[0], "how a page is dressed is not a result"


def test_a_strip_marks_its_numbers_and_shows_small_ones():
    markup = plots.strip(["a", " b"], [12.5, 0.04], unit="bits", title="Surprisal", show=False)
    assert f"{MARK}12.5" in markup and f"{MARK}0.0" in markup and "<strong>Surprisal</strong>" in markup
    assert f"{MARK}0.012" in plots.strip(["a"], [0.012], unit="bits", title="Surprisal", show=False)


def test_a_title_is_folded_where_it_would_leave_the_figure():
    fig, ax = plots.figure(width=6)
    title = "Where each pair of landmarks starts and where it should arrive in the end"
    ax.plot([0, 1])
    ax.set_yticks([0, 1], ["a very long name of a row", "Hungarian Parliament Building"])
    ax.set(title=title, xlabel="x", ylabel="y")
    plots.html(fig, "A line that rises, with a long title above it.")
    fig.draw_without_rendering()
    (drawn,) = [text for text in ax.get_children() if getattr(text, "get_text", str)().startswith("Where")]
    assert drawn.get_text().split() == title.split() and "\n" in drawn.get_text()
    assert drawn.get_window_extent().x1 <= fig.bbox.width


def test_bars_start_at_zero_and_dots_need_not():
    figures = []
    keep = grammar.base.rendered

    def seen(fig, alt, caption=""):
        figures.append(fig)
        return keep(fig, alt, caption)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grammar.base, "rendered", seen)
        plots.bars({"a": 0.80, "b": 0.82}, title="T", y="share", show=False)
        plots.dots({"a": 0.80, "b": 0.82}, title="T", x="share", show=False)
        DRAWN["cloud"]()
        DRAWN["curves"]()
    assert figures[0].axes[0].get_ylim()[0] <= 0 < figures[1].axes[0].get_xlim()[0]
    assert figures[2].axes[0].get_aspect() == 1.0, "angles are true only if both axes have one scale"
    assert figures[3].axes[0].lines[0].get_xdata().tolist() == [0, 4, 9], "blocks are spaced as they are"


NAN = float("nan")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: plots.dots({}, title="T", x="x"), "values must hold at least one value, got none"),
        (lambda: plots.dots({"a": NAN}, title="T", x="x"), r"values\['a'\] must be"),
        (lambda: plots.dots({"a": 1, "b": {"c": 1}}, title="T", x="x"), "got a mixture"),
        (lambda: plots.dots({"a": 1}, title="", x="x"), "title must hold some text"),
        (lambda: plots.bars({"a": {}}, title="T", y="y"), r"values\['a'\] must hold at least one value"),
        (lambda: plots.bars({"a": 1}, title="T", y="y", band=("b", 2.0, 1.0)), "band must have its low end first"),
        (lambda: plots.curves([0, 1], {"a": [1]}, title="T", x_label="x", y_label="y"), "for each of the 2 in x"),
        (lambda: plots.curves([0, 1], {}, title="T", x_label="x", y_label="y"), "lines must hold at least one line"),
        (lambda: plots.curves([0, 1], {"a": [1, float("inf")]}, title="T", x_label="x", y_label="y"), "infinity"),
        (lambda: plots.strip(["a"], [1, 2], unit="bits", title="T"), "one number a token"),
        (lambda: plots.strip(["a"], [NAN], unit="bits", title="T"), "values must be finite"),
        (lambda: plots.grid([[1.0]], [0, 1], [0], title="T", label="l", x_label="x", y_label="y"), r"\(2, 1\), got"),
        (lambda: plots.cloud([[0, 1]], [], title="T", x_label="x", y_label="y"), "points must be"),
        (lambda: plots.cloud([[0, NAN]], ["a"], title="T", x_label="x", y_label="y"), "points must be finite"),
        (lambda: plots.distribution({"a": []}, title="T", x_label="x"), "values must hold at least one number"),
        (lambda: plots.distribution({"a": [1]}, title="T", x_label="x", bins=0), "bins must be at least 1"),
        (lambda: plots.stream(12, title="T", marks={12: "x"}), "blocks from 0 to 11, got 12"),
        (lambda: plots.patching(["a"], ["b"], 1, 0, title="T"), "hold position 1"),
    ],
)
def test_a_wrong_figure_is_refused_by_the_arguments_name(call, words):
    with pytest.raises(ValueError, match=words):
        call()
