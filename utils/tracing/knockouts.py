"""Knock-outs: what becomes of the answer when the last position may not look at some words, in one block or in many.

Sources: Geva et al. 2023 (arXiv 2304.14767, attention knock-out in windows of layers); McGrath et al. 2023
(2307.15771): another part may take over what was cut, so what is lost understates the part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from utils.devices import to_cpu
from utils.inputs import Count, Index, checked
from utils.progress import slow
from utils.reading.batches import same_length_batches
from utils.tracing.pairs import Pair, pair_list, sites
from utils.tracing.patching import difference
from utils.tracing.running import Hook, base_run, branch, chosen_layers

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

MEASURES = ("logit difference", "log P(answer)")


@checked
@torch.no_grad()
def cut_views(
    model: TransformerBridge,
    pairs: Pair | Sequence[Pair],
    cuts: Sequence[Sequence[Index]],
    where: Callable[[Pair], Bool[Tensor, " pos"]] | None = None,
    silent: bool = False,
    batch_size: Count = 4,
) -> Float[Tensor, "*pair cut measure"]:
    """What the clean prompt answers when its last position may not look at some words in some blocks.

    cuts: the blocks of each cut, [[23], [22, 23, 24], []]; no block is the prompt as it is. where: gives the words that
    are hidden, a mask (pos,); default the subject. Their scores are set to minus infinity before the softmax, so what
    is left still sums to one. silent: the rough knife instead: the attention of these blocks adds zero at the last
    position. A zero is not an average, and the stream may never look like that.

    Returns `MEASURES` in nats, (cut, measure) for one pair, (pair, cut, measure) for many, on the CPU. All cuts of a
    prompt run in one pass, from the last position on: nothing before it changes. Raises ValueError for no pairs, no
    cuts, blocks twice or unknown, and for a mask that hides every position or has another shape.
    """
    many = pair_list(model, pairs)
    if not len(cuts):
        raise ValueError("cuts must hold at least one cut, got none")
    blocks = [sorted(chosen_layers(model, cut)) if len(cut) else [] for cut in cuts]
    hidden = [_hidden(where, pair) for pair in many]
    found = torch.zeros(len(many), len(cuts), len(MEASURES))
    for rows in slow(same_length_batches([len(pair.clean) for pair in many], batch_size), "cutting"):
        found[rows] = _answers(model, [many[i] for i in rows], blocks, torch.stack([hidden[i] for i in rows]), silent)
    return found[0] if isinstance(pairs, Pair) else found


def _hidden(where: Callable[[Pair], Any] | None, pair: Pair) -> Bool[Tensor, " pos"]:
    mask = sites(pair)[0] if where is None else _as_mask(where(pair))
    if mask.shape != pair.clean.shape or bool(mask.all()):
        raise ValueError(f"where must give a mask of shape ({len(pair.clean)},) that leaves some position to look at")
    return mask


@checked
def _as_mask(where: Bool[Tensor, " pos"]) -> Bool[Tensor, " pos"]:
    return to_cpu(where)


def _answers(
    model: TransformerBridge,
    pairs: Sequence[Pair],
    cuts: Sequence[Sequence[int]],
    hidden: Bool[Tensor, "pair pos"],
    silent: bool,
) -> Float[Tensor, "pair cut measure"]:
    """What `cut_views` gives, for pairs of one length."""
    tokens = torch.stack([pair.clean for pair in pairs])
    base = base_run(model, tokens, {cut[0] for cut in cuts if cut})
    hidden = hidden.to(base.logits.device)
    answers = torch.stack([_measures(row, pair) for row, pair in zip(base.logits, pairs)])[:, None].repeat(
        1, len(cuts), 1
    )
    # A cut sets out at the door of its first block; the copies stand in the batch door by door, prompt by prompt.
    by_door = {door: [i for i, cut in enumerate(cuts) if cut and cut[0] == door] for door in sorted(base.stream)}
    standing = [(pair, cut) for door, own in by_door.items() for pair in range(len(pairs)) for cut in own]

    def rows_cut(block: int, n_rows: int) -> list[int]:
        return [row for row, (_, cut) in enumerate(standing[:n_rows]) if block in cuts[cut]]

    def blind(scores: Tensor, hook: Any, block: int) -> Tensor:
        scores, rows = scores.clone(), rows_cut(block, len(scores))
        mask = hidden[[standing[row][0] for row in rows]][:, None]  # (row, 1, key)
        scores[rows, :, -1] = scores[rows, :, -1].masked_fill(mask, torch.finfo(scores.dtype).min)
        return scores

    def silence(x: Tensor, hook: Any, block: int) -> Tensor:
        x = x.clone()
        x[rows_cut(block, len(x)), -1] = 0
        return x

    change, name = (silence, "hook_attn_out") if silent else (blind, "attn.hook_attn_scores")
    hooks: list[Hook] = [
        (f"blocks.{block}.{name}", lambda x, hook, block=block: change(x, hook, block))
        for block in sorted({block for cut in cuts for block in cut})
    ]
    if standing:
        copies = {door: len(own) for door, own in by_door.items()}
        found = branch(model, tokens, base, base.start(tokens.shape[1] - 1), copies, hooks)
        for row, (pair, cut) in enumerate(standing):
            answers[pair, cut] = _measures(found[row], pairs[pair])
    return answers.cpu()


def _measures(logits: Float[Tensor, " d_vocab"], pair: Pair) -> Float[Tensor, " measure"]:
    logits = logits.float()
    return torch.stack([difference(logits, pair.answer, pair.other), logits[pair.answer] - logits.logsumexp(-1)])
