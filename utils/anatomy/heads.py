"""Where heads look, scored on random tokens that are said twice: nothing but the repetition to go by.

Attention says where a head looks, not what it moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from utils.inputs import Count, Index, Seed, checked
from utils.interventions.ablations import Head
from utils.reading.recording import UNSCORED, Hook, plain
from utils.reading.tokens import TokenBatch, token_batch

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


MOST_TOKENS = 10_000_000  # drawn at once: a slip of the keyboard must not hang the computer


@checked
def repeated_tokens(
    n: Count, period: Count, *, low: Index, high: Count, start: Index | None, seed: Seed = 0, repeat: bool = True
) -> Int[Tensor, "n pos"]:
    """Random ids, then the same ids again: text with nothing to go by but the repetition.

    n rows of 1 + 2 * period ids (start token, first copy, second copy); ids from low (included) to high (excluded).
    start: the document-start id, or None for models that have none (rows are then 2 * period long). repeat=False
    draws the second half afresh: the control. Raises ValueError for sizes below 1 or an empty range of ids.
    """
    if low >= high:
        raise ValueError(f"low must be below high, got {low} and {high}")
    if n * period > MOST_TOKENS:
        raise ValueError(f"n must be at most {MOST_TOKENS // period} rows for a period of {period}, got {n}")
    random = torch.Generator().manual_seed(seed)
    first = torch.randint(low, high, (n, period), generator=random)
    second = first if repeat else torch.randint(low, high, (n, period), generator=random)
    parts = [first, second] if start is None else [torch.full((n, 1), start), first, second]
    return torch.cat(parts, dim=1)


@checked
def offset_score(
    pattern: Float[Tensor, "*n query key"], offset: Index, first_query: Index | None = None
) -> Float[Tensor, "*n"]:
    """Mean attention from each position to the one `offset` places before it.

    pattern: (..., query, key) attention weights. first_query: average over queries from here on (default: the first
    that has a key there). Offset 1 is the previous token; with a repetition every `period` tokens, `period` is the same
    token's first occurrence and `period - 1` the token *after* it, where an induction head looks. Returns (...).
    Raises ValueError for a pattern that is not square or an offset without any query.
    Source: Olsson et al. 2022 (arXiv 2209.11895), prefix-matching score.
    """
    if pattern.shape[-1] != pattern.shape[-2]:
        raise ValueError(f"pattern must have as many keys as queries, got shape {tuple(pattern.shape)}")
    length = pattern.shape[-1]
    begin = offset if first_query is None else first_query
    if not offset < length:
        raise ValueError(f"offset must be below {length}, the length of the pattern, got {offset}")
    if not offset <= begin < length:
        raise ValueError(f"first_query must be from {offset} (the offset) to {length - 1}, got {begin}")
    return plain(_along(pattern, offset, begin))


def _along(pattern: Tensor, offset: int, begin: int) -> Tensor:
    """Mean of the diagonal `offset` below the main one, from query `begin` on."""
    # The diagonal `offset` below the main one starts at query = offset.
    return pattern.diagonal(-offset, dim1=-2, dim2=-1)[..., begin - offset :].mean(-1)


@dataclass(frozen=True)
class HeadScores:
    """Where each head looks on repeated tokens; each is (layer, head, n), one number a row of tokens.

    induction: at the token after this one's first occurrence. duplicate: at the first occurrence itself.
    previous: at the token before. first: at position 0 (an attention sink). All over the second copy's queries.
    """

    induction: Float[Tensor, "layer head n"]
    duplicate: Float[Tensor, "layer head n"]
    previous: Float[Tensor, "layer head n"]
    first: Float[Tensor, "layer head n"]

    @checked
    def heads(
        self, kind: Literal["induction", "duplicate", "previous", "first"] = "induction", above: float = 0.4
    ) -> list[Head]:
        """The (layer, head) pairs whose mean score is above a threshold, strongest first."""
        mean = getattr(self, kind).mean(-1)
        found = [(int(i), int(j)) for i, j in (mean > above).nonzero()]
        return sorted(found, key=lambda head: -float(mean[head]))


@checked
def head_scores(model: TransformerBridge, tokens: TokenBatch, period: Count, hooks: Sequence[Hook] = ()) -> HeadScores:
    """Score every head of the model on tokens that repeat every `period`, keeping no pattern in memory.

    tokens: (n, pos), from `repeated_tokens`. hooks: further forward hooks, to score an operated model.
    Raises ValueError if the second copy does not fit, or the model does not compute attention patterns.
    """
    given = token_batch(model, tokens)
    length = given.shape[1]
    if not 2 <= period <= length // 2:
        raise ValueError(f"period must be from 2 to {length // 2} for {length} positions, got {period}")
    begin = length - period  # first position of the second copy, with or without a start token
    kinds: dict[str, list[Tensor]] = {"induction": [], "duplicate": [], "previous": [], "first": []}

    def score(pattern: Tensor, hook: Any) -> None:
        kinds["induction"].append(plain(_along(pattern, period - 1, begin).T))
        kinds["duplicate"].append(plain(_along(pattern, period, begin).T))
        kinds["previous"].append(plain(_along(pattern, 1, begin).T))
        kinds["first"].append(plain(pattern[:, :, begin:, 0].mean(-1).T))

    names = [f"blocks.{layer}.attn.hook_pattern" for layer in range(model.cfg.n_layers)]
    with torch.no_grad():
        looking: list[Any] = [*hooks, *((name, score) for name in names), UNSCORED]
        model.run_with_hooks(given, fwd_hooks=looking, return_type=None)
    if len(kinds["induction"]) != len(names):
        raise ValueError("model gave no attention patterns; load it with attn_implementation='eager'")
    return HeadScores(**{kind: torch.stack(rows) for kind, rows in kinds.items()})
