"""Direct logit attribution: the final logit difference split into what each layer and head wrote to it.

It sees only the last step: a part that works through later parts gets no credit.
Sources: Elhage et al. 2021 (transformer-circuits.pub, the residual stream as a sum); Wang et al. 2022 (2211.00593).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import torch
from jaxtyping import Float, Int
from torch import Tensor

from utils.inputs import Count, Index, checked
from utils.progress import slow
from utils.reading.batches import same_length_batches
from utils.tracing.patching import difference
from utils.tracing.running import HOOKS, by_head, hook_names, prompt_rows, run

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


@dataclass(frozen=True)
class Attribution:
    """Where the final logit difference comes from, in nats; the parts add up to `total`.

    embed: the token (and position) embedding. heads: (layer, head). attn: (layer,), all of a layer's heads and its
    output bias. mlp: (layer,). bias: final norm's and unembedding's constants. total: the model's own logit difference.
    """

    embed: float
    heads: Float[Tensor, "layer head"]
    attn: Float[Tensor, " layer"]
    mlp: Float[Tensor, " layer"]
    bias: float
    total: float

    @property
    def summed(self) -> float:
        """embed + attention + MLPs + bias: equal to `total` up to rounding."""
        return self.embed + float(self.attn.sum()) + float(self.mlp.sum()) + self.bias


@overload
def direct_logit_attribution(
    model: TransformerBridge, prompts: Int[Tensor, " pos"], answer: int, other: int, batch_size: int = ...
) -> Attribution: ...
@overload
def direct_logit_attribution(
    model: TransformerBridge,
    prompts: Sequence[Int[Tensor, " pos"]],
    answer: Sequence[int],
    other: Sequence[int],
    batch_size: int = ...,
) -> list[Attribution]: ...
@checked
@torch.no_grad()
def direct_logit_attribution(
    model: TransformerBridge,
    prompts: Int[Tensor, " pos"] | Sequence[Int[Tensor, " pos"]],
    answer: Index | Sequence[Index],
    other: Index | Sequence[Index],
    batch_size: Count = 16,
) -> Attribution | list[Attribution]:
    """Split the logit difference at the last position into what each layer and head wrote to it.

    prompts: (pos,) token ids, with two token ids; or a list of prompts, with a list of answers and one of others.
    batch_size: how many prompts of one length run together; nothing is padded.

    The final norm divides by a number that depends on the whole stream. Held at the value of this run it turns the
    readout into a fixed direction, and a dot product with each part's output gives its share. Frozen, it no longer
    tells what would happen *without* the part: the scale would move too. Parts that act through later parts get no
    credit. Models that squash their logits (Gemma-2) are attributed before the squashing; then `summed` is not `total`.
    Raises TypeError or ValueError for lists of different lengths and for ids outside the vocabulary.
    """
    rows = prompt_rows(model, prompts)
    couples = answer_couples(answer, other, None if isinstance(prompts, Tensor) else len(rows))
    found: dict[int, Attribution] = {}
    for group in slow(same_length_batches([len(row) for row in rows], batch_size), "reading"):
        tokens = torch.stack([rows[i] for i in group])
        found.update(zip(group, _attributions(model, tokens, [couples[i] for i in group])))
    return found[0] if isinstance(prompts, Tensor) else [found[i] for i in range(len(rows))]


def answer_couples(answer: Any, other: Any, n: int | None) -> list[tuple[int, int]]:
    """(answer, other) of each of n prompts, given as two lists; of one prompt (n None), given as two ids."""
    if n is None:
        if not isinstance(answer, int) or not isinstance(other, int):
            raise TypeError("answer and other must be one token id each for a single prompt")
        return [(answer, other)]
    if isinstance(answer, int) or isinstance(other, int):
        raise TypeError(f"answer and other must be lists, one token id for each of {n} prompts")
    for name, ids in (("answer", answer), ("other", other)):
        if len(ids) != n:
            raise ValueError(f"{name} must hold one token id a prompt, got {len(ids)} for {n} prompts")
    return list(zip(answer, other))


def _attributions(
    model: TransformerBridge, tokens: Int[Tensor, "batch pos"], couples: Sequence[tuple[int, int]]
) -> list[Attribution]:
    """What `direct_logit_attribution` gives, for prompts of one length."""
    kept: dict[str, list[Tensor]] = {component: [] for component in HOOKS}
    hooks: list[tuple[str, Any]] = [
        (name, lambda x, hook, key=component: kept[key].append(x[:, -1].detach().float()))
        for component in kept
        for name in hook_names(model, component)
    ]
    scale: list[Tensor] = []
    hooks.append(("ln_final.hook_scale", lambda x, hook: scale.append(x.detach())))
    logits = run(model, tokens, hooks)
    scales = scale[0].reshape(len(tokens), -1)[:, -1].tolist()
    parts = {key: torch.stack(values, dim=1) for key, values in kept.items()}  # (prompt, layer, ...)
    heads = by_head(model, parts["head"])  # (prompt, layer, head, d_head)
    written = [block.attn.W_O.float() for block in model.blocks]
    found = []
    for k, (answer, other) in enumerate(couples):
        total = float(difference(logits[k], answer, other))
        direction, bias = _frozen_readout(model, scales[k], answer, other)
        through = torch.stack([w @ direction for w in written])
        found.append(
            Attribution(
                embed=float(parts["resid"][k, 0] @ direction),
                heads=torch.einsum("lhd,lhd->lh", heads[k], through).cpu(),
                attn=(parts["attn"][k] @ direction).cpu(),
                mlp=(parts["mlp"][k] @ direction).cpu(),
                bias=bias,
                total=total,
            )
        )
    return found


def _frozen_readout(
    model: TransformerBridge, scale: float, answer: int, other: int
) -> tuple[Float[Tensor, " d_model"], float]:
    """Direction and constant that give the logit difference from the final stream, at one fixed norm scale."""
    norm = model.ln_final
    readout = (model.W_U[:, answer] - model.W_U[:, other]).float()
    weight = norm.weight + 1 if norm.uses_weight_offset else norm.weight
    direction = readout * weight.float() / scale
    bias = 0.0
    if not norm.uses_rms_norm:  # LayerNorm also takes the mean off: a projection, so it may act on the direction
        direction = direction - direction.mean()
        if norm.original_component.bias is not None:
            bias += float(readout @ norm.original_component.bias.float())
    if getattr(model, "b_U", None) is not None:
        bias += float(model.b_U[answer] - model.b_U[other])
    return direction, bias
