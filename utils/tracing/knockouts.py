"""Knock-outs: what is lost when one layer's attention at the last position can't look, or writes nothing.

Sources: Geva et al. 2023 (arXiv 2304.14767, attention knock-out); McGrath et al. 2023 (2307.15771): another part may
take over what was cut, so a loss understates the part.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from utils.inputs import Count, Index, checked
from utils.progress import slow
from utils.reading.batches import same_length_batches
from utils.tracing.pairs import Pair, pair_list, position_classes
from utils.tracing.patching import difference
from utils.tracing.running import Hook, base_run, branch, chosen_layers

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

KNIVES = ("can't look at the subject", "writes nothing")


@checked
@torch.no_grad()
def knock_out_attention(
    model: TransformerBridge,
    pairs: Pair | Sequence[Pair],
    layers: Sequence[Index] | None = None,
    batch_size: Count = 4,
) -> Float[Tensor, "*pair knife layer"]:
    """Nats of the clean prompt's logit difference lost when one layer's attention at the last position is cut.

    Two `KNIVES`. The gentle one only hides the subject: the scores that look at it are set to minus infinity before the
    softmax, so what is left still sums to one. The rough one silences the layer: its attention adds zero. A zero is not
    an average, the stream may never look like that. Positive: the layer was helping.

    pairs: one, or many; `batch_size` prompts of one length run together, and both knives of all layers in one pass.
    layers: default all. Returns (knife, layer) for one pair, (pair, knife, layer) for many, layers in the order given,
    on the CPU. Raises ValueError for no pairs, and for layers twice or unknown.
    """
    many, chosen = pair_list(model, pairs), chosen_layers(model, layers)
    lost = torch.zeros(len(many), len(KNIVES), len(chosen))
    for rows in slow(same_length_batches([len(pair.clean) for pair in many], batch_size), "knocking out"):
        lost[rows] = _losses(model, [many[i] for i in rows], sorted(chosen))
    lost = lost[..., [sorted(chosen).index(layer) for layer in chosen]]
    return lost[0] if isinstance(pairs, Pair) else lost


def _losses(
    model: TransformerBridge, pairs: Sequence[Pair], layers: Sequence[int]
) -> Float[Tensor, "pair knife layer"]:
    """What `knock_out_attention` gives, for pairs of one length and layers in ascending order."""
    tokens = torch.stack([pair.clean for pair in pairs])
    base = base_run(model, tokens, layers)
    subject = torch.stack([position_classes(pair)[:2].any(0) for pair in pairs]).to(base.logits.device)
    shape = (
        len(pairs),
        len(KNIVES),
    )  # the newest copies: of each prompt first the gentle knife's, then the rough one's
    n_new = shape[0] * shape[1]

    def blind(scores: Tensor, hook: Any) -> Tensor:
        scores = scores.clone()
        newest = scores[-n_new:].reshape(*shape, *scores.shape[1:])  # (prompt, knife, head, query, key)
        newest[:, 0, :, -1].masked_fill_(subject[:, None], torch.finfo(scores.dtype).min)
        return torch.cat([scores[:-n_new], newest.flatten(0, 1)])

    def silence(x: Tensor, hook: Any) -> Tensor:
        x = x.clone()
        x[len(x) - n_new + 1 :: 2, -1] = 0
        return x

    hooks: list[Hook] = [(f"blocks.{layer}.attn.hook_attn_scores", blind) for layer in layers]
    hooks += [(f"blocks.{layer}.hook_attn_out", silence) for layer in layers]
    first = base.start(tokens.shape[1] - 1)
    logits = branch(model, tokens, base, first, dict.fromkeys(layers, len(KNIVES)), hooks)
    logits = logits.reshape(len(layers), *shape, -1)
    lost = []
    for k, pair in enumerate(pairs):
        whole = difference(base.logits[k], pair.answer, pair.other)
        lost.append((whole - difference(logits[:, k], pair.answer, pair.other)).T)
    return torch.stack(lost).float().cpu()
