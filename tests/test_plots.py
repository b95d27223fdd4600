"""Figures can't be shown without alt text, a title and labelled axes."""

import numpy as np
import pytest

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


@pytest.mark.parametrize("alt", ["", "short", None, 3])
def test_alt_text_is_required(alt):
    with pytest.raises(ValueError, match="alt must say in words"):
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


def test_line_refuses_lengths_that_differ():
    _, ax = plots.figure()
    with pytest.raises(ValueError, match="one length"):
        plots.line(ax, [0, 1], [0, 1, 2])
    with pytest.raises(ValueError, match="low needs high"):
        plots.line(ax, [0, 1], [0, 1], low=[0, 1])


def test_tokens_carry_their_numbers_as_text():
    markup = plots.tokens_html(["The", " <cat>", "\n"], [0.5, 12.25, 3.0], "bits", ALT)
    assert "·&lt;cat&gt;" in markup and "12.2" in markup and "⏎" in markup and "bits" in markup
    with pytest.raises(ValueError, match="one number a token"):
        plots.tokens_html(["a"], [1.0, 2.0], "bits", ALT)
    with pytest.raises(ValueError, match="finite"):
        plots.tokens_html(["a"], [float("nan")], "bits", ALT)


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
