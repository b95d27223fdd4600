"""Reading a dictionary: where a latent is on, what it says to the output, and whether a label for it holds up.

The order matters. First look at contexts, the strongest and also random ones from every strength, because the top ten
alone flatter nearly every latent. Then put what you think it means into a rule. Then test the rule on text you have not
looked at, beside a latent chosen at random: a label is a claim, and claims are scored.

Source of the method: Bricken et al. 2023 (Towards Monosemanticity); detection scoring after Paulo et al. 2024,
"Automatically Interpreting Millions of Features" (arXiv 2410.13928).
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int

from utils.plots import tokens_html
from utils.reading import activations
from utils.sae.models import SparseAutoencoder

__all__ = [
    "Context",
    "Detection",
    "Reading",
    "dashboard_html",
    "detection",
    "logit_effects",
    "matching",
    "rank_latents",
    "read_activations",
    "read_texts",
]


@dataclass(frozen=True)
class Context:
    """A piece of one text around one token.

    tokens: as strings; values: the latent on each of them; at: index, within `tokens`, of the token it is about.
    """

    text: int
    tokens: tuple[str, ...]
    values: tuple[float, ...]
    at: int

    @property
    def value(self) -> float:
        """The latent's value on the token the context is about."""
        return self.values[self.at]

    def __str__(self) -> str:
        marked = [f"[{t}]" if i == self.at else t for i, t in enumerate(self.tokens)]
        return "".join(marked).replace("\n", "⏎")


@dataclass(frozen=True)
class Reading:
    """All latents on all ordinary tokens of some texts, as a list of the entries that aren't zero.

    Tokens are numbered through all texts. Document starts and massive activations are kept as tokens on which every
    latent is 0, so that contexts have no holes; `ordinary` says which tokens were really read.
    token: (n,) ids; text: (n,) which text each is from; entry_token, latent, value: (entries,), sorted by latent.
    strings: for every token id met, the text it stands for.
    """

    d_sae: int
    token: Int[torch.Tensor, "n"]
    text: Int[torch.Tensor, "n"]
    ordinary: Bool[torch.Tensor, "n"]
    entry_token: Int[torch.Tensor, "entries"]
    latent: Int[torch.Tensor, "entries"]
    value: Float[torch.Tensor, "entries"]
    strings: dict[int, str]

    def __len__(self) -> int:
        return len(self.token)

    def on(self, latent: int) -> tuple[Int[torch.Tensor, "m"], Float[torch.Tensor, "m"]]:
        """The tokens a latent is on for, strongest first, and its values there. ValueError for no such latent."""
        if not 0 <= latent < self.d_sae:
            raise ValueError(f"latent must be between 0 and {self.d_sae - 1}, got {latent}")
        bounds = torch.searchsorted(self.latent, torch.tensor([latent, latent + 1]))
        part = slice(int(bounds[0]), int(bounds[1]))
        order = self.value[part].argsort(descending=True, stable=True)
        return self.entry_token[part][order], self.value[part][order]

    def values(self, latent: int) -> Float[torch.Tensor, "n"]:
        """A latent's value on every token, mostly zero: (n,)."""
        out = torch.zeros(len(self))
        tokens, values = self.on(latent)
        out[tokens] = values
        return out

    def density(self) -> Float[torch.Tensor, "d_sae"]:
        """For each latent the share of ordinary tokens it is on for."""
        return torch.bincount(self.latent, minlength=self.d_sae) / max(1, int(self.ordinary.sum()))

    def words(self) -> list[str]:
        """Each token as a string, in order."""
        return [self.strings[int(i)] for i in self.token]

    def context(self, latent: int, token: int, before: int = 10, after: int = 4) -> Context:
        """The neighbourhood of one token, within its text, with the latent's value on each token of it."""
        if not 0 <= token < len(self):
            raise ValueError(f"token must be between 0 and {len(self) - 1}, got {token}")
        where = torch.arange(max(0, token - before), min(len(self), token + after + 1))
        where = where[self.text[where] == self.text[token]]
        values = self.values(latent)[where]
        return Context(
            text=int(self.text[token]),
            tokens=tuple(self.strings[int(i)] for i in self.token[where]),
            values=tuple(values.tolist()),
            at=int((where == token).nonzero()),
        )

    def top(self, latent: int, n: int = 8, *, one_per_text: bool = True) -> list[Context]:
        """The n strongest contexts, by default from different texts. Fewer if the latent is on less often."""
        found, seen = [], set()
        for token in self.on(latent)[0].tolist():
            text = int(self.text[token])
            if one_per_text and text in seen:
                continue
            seen.add(text)
            found.append(self.context(latent, token))
            if len(found) == n:
                break
        return found

    def spread(self, latent: int, n: int = 8, seed: int = 0) -> list[Context]:
        """n contexts, one drawn from each n-th of the latent's ranks, strongest first: what it is usually on for."""
        tokens = self.on(latent)[0]
        if len(tokens) == 0:
            return []
        generator = torch.Generator().manual_seed(seed)
        parts = torch.tensor_split(tokens, min(n, len(tokens)))
        return [self.context(latent, int(p[torch.randint(len(p), (1,), generator=generator)])) for p in parts]


@torch.no_grad()
def read_texts(
    model: Any,
    sae: SparseAutoencoder,
    hook: str,
    texts: Sequence[str],
    *,
    massive_norm: float = float("inf"),
) -> Reading:
    """Run a model and an SAE over every token of some texts. See `read_activations` for what is left out.

    Raises ValueError for no texts, and as `utils.reading.activations.collect` does.
    """
    if not texts:
        raise ValueError("texts is empty: give at least one text")
    found = activations.collect(model, list(texts), [hook], positions="all", cache=False, progress=False)
    return read_activations(found, sae, hook, model.tokenizer, massive_norm=massive_norm)


@torch.no_grad()
def read_activations(
    found: activations.Activations,
    sae: SparseAutoencoder,
    hook: str,
    tokenizer: Any,
    *,
    massive_norm: float = float("inf"),
) -> Reading:
    """Run an SAE over activations that were recorded at *all* positions of some texts.

    found: from `utils.reading.collect(..., positions="all")`; tokenizer: the model's, to show tokens as text.
    massive_norm: activations longer than this, and document starts, are not read (an SAE trained without them has
    nothing to say about them). Raises ValueError if the positions have holes, so that contexts would too.
    """
    x = found[hook]
    starts = torch.ones(len(found), dtype=torch.bool)
    starts[1:] = found.text_index[1:] != found.text_index[:-1]
    if (found.position[starts] != 0).any() or (found.position[1:] != found.position[:-1] + 1)[~starts[1:]].any():
        raise ValueError('the activations have holes: record them with positions="all"')
    ordinary = (activations.residual_norms(x) <= massive_norm) & (found.position > 0)
    entries: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
    for start in range(0, len(x), 2048):
        latents = sae.encode(x[start : start + 2048]) * ordinary[start : start + 2048, None]
        token, latent = latents.nonzero(as_tuple=True)
        entries.append((token + start, latent, latents[token, latent]))
    token, latent, value = (torch.cat(parts) for parts in zip(*entries))
    order = latent.argsort(stable=True)
    ids = found.token.unique().tolist()
    return Reading(
        d_sae=sae.d_sae,
        token=found.token,
        text=found.text_index,
        ordinary=ordinary,
        entry_token=token[order],
        latent=latent[order],
        value=value[order],
        strings={i: tokenizer.decode([i]) for i in ids},
    )


def matching(reading: Reading, pattern: str) -> Bool[torch.Tensor, "n"]:
    """True for every ordinary token that overlaps a match of a regular expression in its text: (n,).

    A phrase may run over several tokens ("Golden Gate"); all of them are marked. Case is ignored.
    Raises ValueError for a pattern that isn't a regular expression.
    """
    try:
        compiled = re.compile(pattern, re.IGNORECASE)
    except re.error as error:
        raise ValueError(f"pattern {pattern!r} is not a regular expression: {error}") from None
    marked = torch.zeros(len(reading), dtype=torch.bool)
    words = reading.words()
    for text in reading.text.unique().tolist():
        where = (reading.text == text).nonzero().squeeze(1).tolist()
        starts, whole = [], ""
        for i in where:
            starts.append(len(whole))
            whole += words[i]
        ends = [*starts[1:], len(whole)]
        for match in compiled.finditer(whole):
            for i, start, end in zip(where, starts, ends):
                # A token's leading space is not part of the word.
                first = start + len(whole[start:end]) - len(whole[start:end].lstrip())
                if first < match.end() and end > match.start() and first < end:
                    marked[i] = True
    return marked & reading.ordinary


def rank_latents(reading: Reading, wanted: Bool[torch.Tensor, "n"], n: int = 10) -> list[tuple[int, float]]:
    """Latents by how well "is it on?" tells wanted tokens from the other ordinary ones: (latent, balanced accuracy).

    wanted: (n,) for instance from `matching`. For *searching* only: a latent picked as the best of thousands must be
    tested on other text, with `detection`. Raises ValueError if there are no wanted or no other tokens.
    """
    wanted = wanted & reading.ordinary
    others = reading.ordinary & ~wanted
    if not wanted.any() or not others.any():
        raise ValueError(f"need wanted and other tokens, got {int(wanted.sum())} and {int(others.sum())}")
    hits = torch.bincount(reading.latent[wanted[reading.entry_token]], minlength=reading.d_sae)
    alarms = torch.bincount(reading.latent[others[reading.entry_token]], minlength=reading.d_sae)
    score = 0.5 * (hits / wanted.sum() + 1 - alarms / others.sum())
    best = score.argsort(descending=True, stable=True)[:n]
    return [(int(i), float(score[i])) for i in best]


@dataclass(frozen=True)
class Detection:
    """How well a latent being on tells texts (or tokens) with a property from those without.

    hits: share of the positives it is on for; false_alarms: share of the negatives; balanced_accuracy: the mean of
    hits and 1 - false_alarms, 0.5 for a latent that knows nothing; n_positive, n_negative.
    """

    hits: float
    false_alarms: float
    n_positive: int
    n_negative: int

    @property
    def balanced_accuracy(self) -> float:
        return (self.hits + 1 - self.false_alarms) / 2


def detection(
    on_positive: Sequence[float] | Float[torch.Tensor, "p"],
    on_negative: Sequence[float] | Float[torch.Tensor, "q"],
    threshold: float = 0.0,
) -> Detection:
    """Score the rule "the latent is above the threshold" on held-out positives and negatives.

    on_positive, on_negative: the latent's values. Raises ValueError if either is empty or holds NaN.
    """
    parts = []
    for name, values in (("on_positive", on_positive), ("on_negative", on_negative)):
        numbers = torch.as_tensor(values, dtype=torch.float32)
        if numbers.numel() == 0 or torch.isnan(numbers).any():
            raise ValueError(f"{name} must hold at least one number and no NaN, got {numbers.numel()} values")
        parts.append(numbers)
    hits, alarms = ((p > threshold).float().mean() for p in parts)
    return Detection(float(hits), float(alarms), parts[0].numel(), parts[1].numel())


@torch.no_grad()
def logit_effects(
    model: Any, direction: Float[torch.Tensor, "d_model"], n: int = 8
) -> tuple[list[tuple[str, float]], list[tuple[str, float]]]:
    """The tokens a direction pushes up, and those it pushes down, if it went straight to the output.

    direction: (d_model,), for instance a decoder row. It is multiplied by the final norm's weights and the
    unembedding; what later layers make of it is left out, so this is a hint, not an effect. Scores are the logits
    for a direction of length 1, less their mean. Returns two lists of (token, score), strongest first.
    """
    W_U = model.unembed.W_U
    if direction.shape != (W_U.shape[0],):
        raise ValueError(f"direction must have shape ({W_U.shape[0]},), got {tuple(direction.shape)}")
    unit = direction / direction.norm().clamp_min(1e-12)
    weight = getattr(model.ln_final, "weight", None)
    scores = (unit if weight is None else unit * weight) @ W_U
    scores = scores - scores.mean()
    up, down = scores.topk(n), (-scores).topk(n)
    return (
        [(model.tokenizer.decode([int(i)]), float(v)) for v, i in zip(up.values, up.indices)],
        [(model.tokenizer.decode([int(i)]), -float(v)) for v, i in zip(down.values, down.indices)],
    )


def dashboard_html(
    reading: Reading,
    latent: int,
    effects: Callable[[int], tuple[list[tuple[str, float]], list[tuple[str, float]]]] | None = None,
    n: int = 5,
) -> str:
    """One latent on one page: density, strongest contexts, random contexts, and the tokens it would push up and down.

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
            parts.append(tokens_html(context.tokens, context.values, "value of the latent", alt, 1, None, limits))
    if effects is not None:
        for word, side in zip(("up", "down"), effects(latent)):
            listed = ", ".join(f"{html.escape(repr(token))} {score:+.2f}" for token, score in side)
            parts.append(f"<p>Straight to the output it pushes {word}: {listed}</p>")
    return "".join(parts)
