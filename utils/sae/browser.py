"""Search a dictionary by a word or phrase, and click through the latents that answer to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from utils import widgets
from utils.sae.features import Reading, dashboard_html, matching, rank_latents

__all__ = ["browse", "find_latents"]

Effects = Callable[[int], tuple[list[tuple[str, float]], list[tuple[str, float]]]]


def find_latents(reading: Reading, query: str, n: int = 12) -> list[tuple[str, int]]:
    """The latents that best tell the tokens of a query from all others, or the latent whose number was typed.

    query: a word, a phrase or a regular expression (case is ignored), or a latent's number. Gives (what to show,
    latent), best first, only latents above chance. The score was *chosen* as the best of all latents on this very
    text: it says where to look, not how good the latent is.
    Raises ValueError for an empty query, a pattern that can't be read, and a phrase that isn't in the text.
    """
    query = query.strip()
    if not query:
        raise ValueError("query is empty: type a word, a phrase or a latent's number")
    if query.isdecimal():
        latent = int(query)
        n_on = len(reading.on(latent)[0])
        return [(f"latent {latent}: on for {n_on} tokens", latent)]
    wanted = matching(reading, query)
    if not wanted.any():
        raise ValueError(f"{query!r} doesn't occur in the {len(reading)} tokens that were read")
    ranked = [(latent, score) for latent, score in rank_latents(reading, wanted, n) if score > 0.5]
    return [(f"latent {latent}: balanced accuracy {score:.2f} here", latent) for latent, score in ranked]


def browse(reading: Reading, effects: Effects | None = None, query: str = "the", n: int = 12) -> None:
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
        code=f"sae.find_latents(reading, {query!r})",
    )
