"""Figures can't be shown without alt text, a title and labelled axes."""

import numpy as np
import pytest
import torch

from utils import plots

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
    import re

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
