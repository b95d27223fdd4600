"""Hiding: from a block on, some heads can no longer look back at the subject, at any later position.

`cut_views` cuts whole blocks at the last position. Here a cut is any set of heads, in any blocks, and no
position after the subject may look at it through them: what they would have fetched is missing, whoever wanted it.

Source: attention knock-out, Geva et al. 2023 (arXiv 2304.14767), there for windows of layers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from utils.inputs import Count, Index, checked
from utils.progress import slow
from utils.reading.batches import same_length_batches
from utils.tracing.pairs import Pair, pair_list
from utils.tracing.patching import difference
from utils.tracing.running import Hook, base_run, branch

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


class Hidden(NamedTuple):
    """What is left under each cut, of the clean (0) and the corrupt (1) prompt of each pair.

    difference: logit of the clean answer minus that of the other, nats. top: the likeliest next token.
    """

    difference: Float[Tensor, "pair cut side"]
    top: Int[Tensor, "pair cut side"]


@checked
@torch.no_grad()
def hide_subject(
    model: TransformerBridge,
    pairs: Sequence[Pair],
    cuts: Sequence[Sequence[tuple[Index, Index]]],
    batch_size: Count = 4,
) -> Hidden:
    """Logit differences and likeliest next tokens when the heads of a cut can't look back at the subject.

    pairs: `batch_size` of one length run together. cuts: each a list of (block, head); [] cuts nothing. The scores by
    which later positions look at the subject are set to minus infinity before the softmax, so what is left still sums
    to one; the subject's own tokens go on seeing each other. A cut prompt is computed from the first block cut. On the
    CPU. Raises ValueError for no pairs, no cuts, and heads that the model doesn't have.
    """
    many = pair_list(model, pairs)
    if not len(cuts):
        raise ValueError("cuts must hold at least one list of (block, head), got none")
    n_layers, n_heads = model.cfg.n_layers, model.cfg.n_heads
    for i, cut in enumerate(cuts):
        for block, head in cut:
            if not (0 <= block < n_layers and 0 <= head < n_heads):
                raise ValueError(
                    f"cuts[{i}] must hold blocks 0 to {n_layers - 1} and heads 0 to {n_heads - 1}, got {(block, head)}"
                )
    found = Hidden(torch.zeros(len(many), len(cuts), 2), torch.zeros(len(many), len(cuts), 2, dtype=torch.long))
    for rows in slow(same_length_batches([len(pair.clean) for pair in many], batch_size), "hiding"):
        some = [many[i] for i in rows]
        for which, logits in _under_each(model, some, cuts).items():
            for k, pair in enumerate(some):
                found.difference[rows[k], which] = difference(logits[k], pair.answer, pair.other).float().cpu()
                found.top[rows[k], which] = logits[k].argmax(-1).cpu()
    return found


def _under_each(
    model: TransformerBridge, pairs: Sequence[Pair], cuts: Sequence[Sequence[tuple[int, int]]]
) -> dict[int, Float[Tensor, "pair side d_vocab"]]:
    """Next-token logits under each cut, for pairs of one length."""
    tokens = torch.stack([ids for pair in pairs for ids in (pair.clean, pair.corrupt)])
    spans = [pair.subject for pair in pairs for _ in range(2)]
    doors = [min((block for block, _ in cut), default=model.cfg.n_layers - 1) for cut in cuts]
    base = base_run(model, tokens, doors)
    first = base.start(min(start for start, _ in spans))
    copies = {door: doors.count(door) for door in sorted(set(doors))}
    # The copies' order in the batch, as `branch` makes them: by door, then prompt by prompt.
    order = [
        (which, row)
        for door in copies
        for row in range(len(tokens))
        for which in range(len(cuts))
        if doors[which] == door
    ]

    def blind(block: int) -> Callable:
        def hook_fn(scores: Tensor, hook: Any) -> Tensor:  # (copy, head, query, key), queries counted from `first`
            scores = scores.clone()
            for place, (which, row) in enumerate(order[: len(scores)]):
                heads = [head for at, head in cuts[which] if at == block]
                if heads:
                    start, stop = spans[row]
                    part = scores[place, heads, stop - first :]
                    part[..., start:stop] = torch.finfo(scores.dtype).min
                    scores[place, heads, stop - first :] = part
            return scores

        return hook_fn

    hooks: list[Hook] = [
        (f"blocks.{block}.attn.hook_attn_scores", blind(block)) for block in sorted({b for cut in cuts for b, _ in cut})
    ]
    logits = branch(model, tokens, base, first, copies, hooks)
    found = {which: torch.zeros(len(tokens), logits.shape[-1]).to(logits) for which in range(len(cuts))}
    for one, (which, row) in zip(logits, order):
        found[which][row] = one
    return {which: rows.reshape(len(pairs), 2, -1) for which, rows in found.items()}
