"""Reading a dictionary: where a latent is on, what it says to the output, and whether a label for it holds up.

The order matters. First look at contexts, the strongest and also random ones from every strength, because the top ten
alone flatter nearly every latent. Then put what you think it means into a rule. Then test the rule on text you have not
looked at, beside a latent chosen at random: a label is a claim, and claims are scored.

Source of the method: Bricken et al. 2023 (Towards Monosemanticity); detection scoring after Paulo et al. 2024,
"Automatically Interpreting Millions of Features" (arXiv 2410.13928).
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import regex
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from utils.inputs import Count, Index, Limit, Number, Seed, Text, checked
from utils.reading import activations
from utils.reading.massive import is_massive
from utils.reading.tokens import TokenTexts
from utils.sae.models import SparseAutoencoder

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

__all__ = [
    "Context",
    "Detection",
    "Reading",
    "detection",
    "logit_effects",
    "matching",
    "rank_latents",
    "read_activations",
    "read_texts",
]

PATIENCE = 5.0  # seconds that a pattern may search for


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
    token: Int[Tensor, "n"]
    text: Int[Tensor, "n"]
    ordinary: Bool[Tensor, "n"]
    entry_token: Int[Tensor, "entries"]
    latent: Int[Tensor, "entries"]
    value: Float[Tensor, "entries"]
    strings: dict[int, str]

    def __len__(self) -> int:
        return len(self.token)

    @checked
    def on(self, latent: Index) -> tuple[Int[Tensor, "m"], Float[Tensor, "m"]]:
        """The tokens a latent is on for, strongest first, and its values there. ValueError for no such latent."""
        if latent >= self.d_sae:
            raise ValueError(f"latent must be between 0 and {self.d_sae - 1}, got {latent}")
        bounds = torch.searchsorted(self.latent, torch.tensor([latent, latent + 1]))
        part = slice(int(bounds[0]), int(bounds[1]))
        order = self.value[part].argsort(descending=True, stable=True)
        return self.entry_token[part][order], self.value[part][order]

    def values(self, latent: Index) -> Float[Tensor, "n"]:
        """A latent's value on every token, mostly zero: (n,)."""
        out = torch.zeros(len(self))
        tokens, values = self.on(latent)
        out[tokens] = values
        return out

    def density(self) -> Float[Tensor, "d_sae"]:
        """For each latent the share of ordinary tokens it is on for."""
        return torch.bincount(self.latent, minlength=self.d_sae) / max(1, int(self.ordinary.sum()))

    def words(self) -> list[str]:
        """Each token as a string, in order."""
        return [self.strings[int(i)] for i in self.token]

    @checked
    def context(self, latent: Index, token: Index, before: Index = 10, after: Index = 4) -> Context:
        """The neighbourhood of one token, within its text, with the latent's value on each token of it."""
        if token >= len(self):
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

    @checked
    def top(self, latent: Index, n: Count = 8, *, one_per_text: bool = True) -> list[Context]:
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

    @checked
    def spread(self, latent: Index, n: Count = 8, seed: Seed = 0) -> list[Context]:
        """n contexts, one drawn from each n-th of the latent's ranks, strongest first: what it is usually on for."""
        tokens = self.on(latent)[0]
        if len(tokens) == 0:
            return []
        generator = torch.Generator().manual_seed(seed)
        parts = torch.tensor_split(tokens, min(n, len(tokens)))
        return [self.context(latent, int(p[torch.randint(len(p), (1,), generator=generator)])) for p in parts]


@runtime_checkable
class Decoder(Protocol):
    """What turns token ids into text: a tokenizer, or anything with its `decode`."""

    def decode(self, token_ids: list[int]) -> str: ...


@checked
@torch.no_grad()
def read_texts(
    model: TransformerBridge,
    sae: SparseAutoencoder,
    hook: str,
    texts: TokenTexts,
    *,
    massive_norm: Limit = math.inf,
) -> Reading:
    """Run a model and an SAE over every token of some texts. See `read_activations` for what is left out.

    Raises ValueError for no texts, and as `utils.reading.activations.collect` does.
    """
    found = activations.collect(model, texts, [hook], positions="all", cache=False)
    return read_activations(found, sae, hook, model.tokenizer, massive_norm=massive_norm)


@checked
@torch.no_grad()
def read_activations(
    found: activations.Activations,
    sae: SparseAutoencoder,
    hook: str,
    tokenizer: Decoder,
    *,
    massive_norm: Limit = math.inf,
) -> Reading:
    """Run an SAE over activations that were recorded at *all* positions of some texts.

    found: from `utils.reading.collect(..., positions="all")`; tokenizer: the model's, to show tokens as text.
    massive_norm: activations longer than this, and document starts, are not read (an SAE trained without them has
    nothing to say about them). Raises ValueError if the positions have holes, so that contexts would too.
    """
    if hook not in found.acts:
        raise ValueError(f"hook must be one that was recorded ({', '.join(found.hooks)}), got {hook!r}")
    x = found[hook]
    starts = torch.ones(len(found), dtype=torch.bool)
    starts[1:] = found.text_index[1:] != found.text_index[:-1]
    if (found.position[starts] != 0).any() or (found.position[1:] != found.position[:-1] + 1)[~starts[1:]].any():
        raise ValueError('found has holes: record the activations with positions="all"')
    ordinary = ~is_massive(x, massive_norm, factor=1) & (found.position > 0)
    entries: list[tuple[Tensor, Tensor, Tensor]] = []
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


@checked
def matching(reading: Reading, pattern: Text) -> Bool[Tensor, "n"]:
    """True for every ordinary token that overlaps a match of a regular expression in its text: (n,).

    A phrase may run over several tokens ("Golden Gate"); all of them are marked. Case is ignored.
    Raises ValueError for a pattern that isn't a regular expression, and for one that searches for more than PATIENCE
    seconds: patterns such as (a+)+c can take longer than the universe is old.
    """
    # Not `re`: its searches can't be given a limit.
    try:
        compiled = regex.compile(pattern, regex.IGNORECASE)
    except regex.error as error:
        raise ValueError(f"pattern {pattern!r} is not a regular expression: {error}") from None
    marked = torch.zeros(len(reading), dtype=torch.bool)
    words = reading.words()
    until = time.monotonic() + PATIENCE
    for text in reading.text.unique().tolist():
        where = (reading.text == text).nonzero().squeeze(1).tolist()
        starts, whole = [], ""
        for i in where:
            starts.append(len(whole))
            whole += words[i]
        ends = [*starts[1:], len(whole)]
        try:
            spans = [match.span() for match in compiled.finditer(whole, timeout=max(0.001, until - time.monotonic()))]
        except TimeoutError:
            raise ValueError(
                f"pattern {pattern!r} was still searching after {PATIENCE:g} s: write it simpler"
            ) from None
        for begin, stop in spans:
            for i, start, end in zip(where, starts, ends):
                # A token's leading space is not part of the word.
                first = start + len(whole[start:end]) - len(whole[start:end].lstrip())
                if first < stop and end > begin and first < end:
                    marked[i] = True
    return marked & reading.ordinary


@checked
def rank_latents(reading: Reading, wanted: Bool[Tensor, "n"], n: Count = 10) -> list[tuple[int, float]]:
    """Latents by how well "is it on?" tells wanted tokens from the other ordinary ones: (latent, balanced accuracy).

    wanted: (n,) for instance from `matching`. For *searching* only: a latent picked as the best of thousands must be
    tested on other text, with `detection`. Raises ValueError if there are no wanted or no other tokens.
    """
    if len(wanted) != len(reading):
        raise ValueError(f"wanted has {len(wanted)} entries, expected one for each of the {len(reading)} tokens")
    wanted = wanted & reading.ordinary
    others = reading.ordinary & ~wanted
    if not wanted.any() or not others.any():
        raise ValueError(
            f"wanted must leave ordinary tokens on both sides, got {int(wanted.sum())} wanted and {int(others.sum())} "
            "other ones"
        )
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


@checked
def detection(on_positive: Float[Tensor, "p"], on_negative: Float[Tensor, "q"], threshold: Number = 0.0) -> Detection:
    """Score the rule "the latent is above the threshold" on held-out positives and negatives.

    on_positive, on_negative: the latent's values. Raises ValueError if either is empty or holds NaN.
    """
    for name, values in (("on_positive", on_positive), ("on_negative", on_negative)):
        if len(values) == 0:
            raise ValueError(f"{name} must hold at least one number, got none")
    hits, alarms = ((values > threshold).float().mean() for values in (on_positive, on_negative))
    return Detection(float(hits), float(alarms), len(on_positive), len(on_negative))


@checked
@torch.no_grad()
def logit_effects(
    model: TransformerBridge, direction: Float[Tensor, "d_model"], n: Count = 8
) -> tuple[list[tuple[str, float]], list[tuple[str, float]]]:
    """The tokens a direction pushes up, and those it pushes down, if it went straight to the output.

    direction: (d_model,), for instance a decoder row. It is multiplied by the final norm's weights and the
    unembedding; what later layers make of it is left out, so this is a hint, not an effect. Scores are the logits
    for a direction of length 1, less their mean. Returns two lists of (token, score), strongest first.
    """
    W_U = model.unembed.W_U
    if direction.shape != (W_U.shape[0],):
        raise ValueError(f"direction must have shape ({W_U.shape[0]},), got {tuple(direction.shape)}")
    if n > W_U.shape[1]:
        raise ValueError(f"n must be at most the number of tokens there are ({W_U.shape[1]}), got {n}")
    unit = (direction / direction.norm().clamp_min(1e-12)).to(W_U)
    weight = getattr(model.ln_final, "weight", None)
    scores = (unit if weight is None else unit * weight) @ W_U
    scores = scores - scores.mean()
    up, down = scores.topk(n), (-scores).topk(n)
    return (
        [(model.tokenizer.decode([int(i)]), float(v)) for v, i in zip(up.values, up.indices)],
        [(model.tokenizer.decode([int(i)]), -float(v)) for v, i in zip(down.values, down.indices)],
    )
