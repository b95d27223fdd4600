"""Where directions to steer along come from: contrasts of texts, and random ones for the control.

A direction itself, `Direction`, is `utils.interventions`' (a dictionary's row or a probe's direction makes one as well:
``Direction(sae.W_dec[7], 12, typical, "latent 7", "latent")``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Bool, Float, Int

from utils.inputs import Count, Index, Positive, Seed, Texts, checked, text
from utils.interventions.directions import Direction
from utils.probing.controls import random_directions
from utils.reading.activations import Activations, collect
from utils.reading.massive import massive_tokens, typical_norm
from utils.reading.tokens import TokenTexts, start_token, text_ids, token_rows

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

Tokens = Literal["all", "last"] | int


@checked
def typical_norms(model: TransformerBridge, layers: Sequence[Index], texts: Texts | None = None) -> dict[int, float]:
    """The median length of ordinary activations after each of these blocks.

    texts: what to read; the course's twelve passages if not given, as far as the model can read them. Document starts
    and massive ones are left out. Raises TypeError or ValueError for bad texts or a block the model doesn't have.
    """
    if texts is None:
        from utils.datasets.passages import passages

        start = [] if (first := start_token(model)) is None else [first]
        ids = [[*start, *text_ids(model, passage.text)] for passage in passages()]
        rows = token_rows(model, [row[: model.cfg.n_ctx] for row in ids])
    else:
        rows = token_rows(model, texts)
    hooks = _hooks(model, layers)
    found = collect(model, rows, hooks, positions="all")
    ordinary = ~_starts(model, found)
    return {layer: typical_norm(found[hook][ordinary]) for layer, hook in zip(layers, hooks)}


@checked
def contrasts(
    model: TransformerBridge,
    positive: TokenTexts,
    negative: TokenTexts,
    layers: Sequence[Index],
    *,
    name: str,
    tokens: Tokens = "all",
    typical: Mapping[Index, Positive] | None = None,
) -> dict[int, Direction]:
    """`contrast` at several blocks, reading the texts once: block -> Direction."""
    rows = [*token_rows(model, positive, name="positive"), *token_rows(model, negative, name="negative")]
    hooks = _hooks(model, layers)
    if typical is not None and not set(layers) <= set(typical):
        raise ValueError(f"typical lacks blocks {sorted(set(layers) - set(typical))}")
    positions = tokens if isinstance(tokens, str) else [tokens] * len(rows)
    found = collect(model, rows, hooks, positions=positions)
    typical = typical_norms(model, layers) if typical is None else typical
    source = {
        "model": _model_name(model),
        "tokens": tokens,
        "n_positive": len(positive),
        "n_negative": len(negative),
        "first_positive": _shown(positive[0]),
        "first_negative": _shown(negative[0]),
    }
    result = {}
    for layer, hook in zip(layers, hooks):
        acts = found[hook]
        keep = ~_starts(model, found) & ~massive_tokens(acts)
        lost = set(range(len(rows))) - set(found.text_index[keep].tolist())
        if lost:
            i, at = min(lost), "" if isinstance(tokens, str) else f" at tokens={tokens}"
            side = f"positive[{i}]" if i < len(positive) else f"negative[{i - len(positive)}]"
            raise ValueError(f"{side} has no ordinary token{at} to average: document start or massive ones only")
        means = _text_means(acts[keep], found.text_index[keep], len(rows))
        vector = means[: len(positive)].mean(0) - means[len(positive) :].mean(0)
        result[layer] = Direction(vector, layer, typical[layer], name, "contrast", source)
    return result


@checked
def contrast(
    model: TransformerBridge,
    positive: TokenTexts,
    negative: TokenTexts,
    layer: Index,
    *,
    name: str,
    tokens: Tokens = "all",
    typical: Positive | None = None,
) -> Direction:
    """The mean activation of texts that have a property minus that of texts that don't.

    positive, negative: strings, or rows of token ids. tokens: average over all of a text's ordinary tokens ("all"), or
    take one of them: the "last", or the one at a position (-2 is the last but one: the letter of an answer "(A)", see
    `answer_pairs`). Each text counts once, however long. Document starts and massive activations are left out.
    Source: Rimsky et al. 2023, "Steering Llama 2 via Contrastive Activation Addition", arXiv 2312.06681 (one token
    of pairs that differ in an answer letter); Zou et al. 2023, "Representation Engineering", arXiv 2310.01405.
    Raises TypeError or ValueError for bad texts, a block the model doesn't have, a position that a text doesn't have,
    or two sides that are the same.
    """
    known = None if typical is None else {layer: typical}
    return contrasts(model, positive, negative, [layer], name=name, tokens=tokens, typical=known)[layer]


@checked
def answer_pairs(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[str]]:
    r"""The two sides of a contrast out of question rows: with the answer that shows a behaviour, and with the other.

    rows: as in the JSON files of Contrastive Activation Addition and of Anthropic's model-written evaluations, with
    "question", "answer_matching_behavior" and "answer_not_matching_behavior" (such as "(A)" and "(B)"). Each text is
    the question, an empty line, "Answer:" and the answer. Where answers are letters in brackets, the letter is the last
    token but one: `contrast(model, *answer_pairs(rows), layer, name="...", tokens=-2)`.
    Raises TypeError or ValueError that names the row and what it lacks.

    >>> answer_pairs([{"question": "Tea?", "answer_matching_behavior": "(A)", "answer_not_matching_behavior": "(B)"}])
    (['Tea?\n\nAnswer: (A)'], ['Tea?\n\nAnswer: (B)'])
    """
    if not len(rows):
        raise ValueError("rows is empty; give at least one question")
    sides: tuple[list[str], list[str]] = ([], [])
    for i in range(len(rows)):
        question = _field(rows, i, "question")
        for side, key in zip(sides, ("answer_matching_behavior", "answer_not_matching_behavior")):
            side.append(f"{question.rstrip()}\n\nAnswer: {_field(rows, i, key).strip()}")
    return sides


@checked
def random_like(direction: Direction, n: Count = 20, seed: Seed = 0) -> list[Direction]:
    """n directions drawn evenly from the sphere, at the same place: the same strength is a push of the same length."""
    drawn = random_directions(direction.vector, n, seed)
    return [
        replace(direction, vector=row, name=f"random {i}", kind="random", source={"seed": seed, "number": i})
        for i, row in enumerate(drawn)
    ]


# ------------------------------------------------------------------------------------------------------------- helpers


def _hooks(model: TransformerBridge, layers: Sequence[int]) -> list[str]:
    last = model.cfg.n_layers - 1
    if not len(layers):
        raise ValueError("layers is empty; name at least one block")
    for layer in layers:
        if layer > last:
            raise ValueError(f"layer must be a block number from 0 to {last}, got {layer!r}")
    return [f"blocks.{layer}.hook_resid_post" for layer in layers]


def _starts(model: TransformerBridge, found: Activations) -> Bool[torch.Tensor, " n"]:
    """True at the document starts. A model without a start token has none: its texts begin with their first word."""
    start = start_token(model)
    if start is None:
        return torch.zeros(len(found), dtype=torch.bool)
    return (found.position == 0) & (found.token == start)


def _text_means(
    acts: Float[torch.Tensor, "n d_model"], index: Int[torch.Tensor, " n"], n_texts: int
) -> Float[torch.Tensor, "texts d_model"]:
    """The mean activation of each text."""
    counts = torch.bincount(index, minlength=n_texts)
    sums = torch.zeros(n_texts, acts.shape[1]).index_add_(0, index, acts.float())
    return sums / counts[:, None]


def _field(rows: Sequence[Mapping[str, Any]], i: int, key: str) -> str:
    if key not in rows[i]:
        raise ValueError(f"rows[{i}] lacks {key!r}; it has {', '.join(map(repr, rows[i])) or 'nothing'}")
    return text(f"rows[{i}][{key!r}]", rows[i][key], empty=False)


def _shown(one: Any) -> str | list[int]:
    """A text as a card holds it: itself, or its ids."""
    return one if isinstance(one, str) else [int(token) for token in one]


def _model_name(model: TransformerBridge) -> str:
    return str(getattr(model.cfg, "model_name", "")).rstrip("/").rsplit("/", 1)[-1]
