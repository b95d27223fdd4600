"""A dictionary to look at: one latent on a page, and a search by word or phrase that leads to the pages."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Sequence

import numpy as np

from utils import widgets
from utils.inputs import Count, Index, Text, checked
from utils.plots import tokens_html
from utils.sae.features import Reading, matching, rank_latents

__all__ = ["browse", "dashboard_html", "find_latents"]

Effects = Callable[[int], tuple[list[tuple[str, float]], list[tuple[str, float]]]]


@checked
def dashboard_html(reading: Reading, latent: Index, effects: Effects | None = None, n: Count = 5) -> str:
    """One latent on one page: density, strongest contexts, random contexts, and the tokens it would push up and down.

    effects: latent -> its logit effects (see `logit_effects`), or None. n: contexts of each kind.
    Each token carries its number, so that colour is never the only sign. Returns HTML.
    """
    tokens, values = reading.on(latent)
    share = len(tokens) / max(1, int(reading.ordinary.sum()))
    parts = [f"<h4>Latent {latent}</h4><p>On for {len(tokens)} tokens, {share:.2%} of those read.</p>"]
    if len(tokens) == 0:
        return parts[0] + "<p>It is never on in this text.</p>"
    limits = (0.0, float(values[0]))
    for title, contexts in (
        ("Strongest, one a text", reading.top(latent, n)),
        ("Drawn from all strengths", reading.spread(latent, n)),
    ):
        parts.append(f"<h5>{title}</h5>")
        for context in contexts:
            alt = f"Latent {latent} is {context.value:.1f} on the token {context.tokens[context.at]!r}."
            values_here = np.array(context.values)
            parts.append(tokens_html(context.tokens, values_here, "value of the latent", alt, 1, None, limits))
    if effects is not None:
        for word, side in zip(("up", "down"), effects(latent)):
            listed = ", ".join(f"{html.escape(repr(token))} {score:+.2f}" for token, score in side)
            parts.append(f"<p>Straight to the output it pushes {word}: {listed}</p>")
    return "".join(parts)


@checked
def find_latents(reading: Reading, query: Text, n: Count = 12) -> list[tuple[str, int]]:
    """The latents that best tell the tokens of a query from all others, or the latent whose number was typed.

    query: a word or a phrase, as it stands in the text (case is ignored), or a latent's number; for a regular
    expression see `matching`. Gives (what to show, latent), best first, only latents above chance. The score was
    *chosen* as the best of all latents on this very text: it says where to look, not how good the latent is.
    Raises ValueError for an empty query and a phrase that isn't in the text.
    """
    query = query.strip()
    if query.isdecimal() and len(query) < 10:
        latent = int(query)
        n_on = len(reading.on(latent)[0])
        return [(f"latent {latent}: on for {n_on} tokens", latent)]
    wanted = matching(reading, re.escape(query))
    if not wanted.any():
        raise ValueError(f"query {query!r} doesn't occur in the {len(reading)} tokens that were read")
    ranked = [(latent, score) for latent, score in rank_latents(reading, wanted, n) if score > 0.5]
    return [(f"latent {latent}: balanced accuracy {score:.2f} here", latent) for latent, score in ranked]


@checked
def browse(reading: Reading, effects: Effects | None = None, query: Text = "the", n: Count = 12) -> None:
    """A widget: type a token or phrase, choose one of the latents found, read its dashboard.

    reading: what was read, from `read_texts`; effects: latent -> its logit effects (see `logit_effects`), or None.
    """

    def find(typed: str) -> Sequence[tuple[str, int]]:
        return find_latents(reading, typed, n)

    def page(latent: int) -> str:
        return dashboard_html(reading, latent, effects)

    widgets.search(
        find,
        page,
        query,
        label="Word, phrase or latent number",
        title=f"Look through {reading.d_sae} latents",
        code="sae.find_latents(reading, {query})",
    )
