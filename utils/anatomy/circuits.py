"""Circuits read off the weights: who can read what a head writes, and whether a head copies what it looks at.

The weights tell what *can* pass between two parts. Whether it does, on some text, takes a patch
(`utils.interventions.into_readers`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from utils.devices import device_of
from utils.inputs import Index, checked

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

Head = tuple[Index, Index]


@checked
def head_writes(model: TransformerBridge, stream: Float[Tensor, "n d_model"], head: Head) -> Float[Tensor, "n d_model"]:
    """What a head would add to the stream at a position that looks at nothing but one token: its OV circuit.

    stream: (n, d_model), what the head's layer reads at the tokens looked at. Returns (n, d_model), on the CPU: the
    layer's norm, the head's values (shared between heads in some models), its output weights. Biases are left out: they
    say nothing about the token. Raises ValueError for a head the model doesn't have.
    """
    _check_head(model, head, "head")
    layer, number = head
    with torch.no_grad():
        read = model.blocks[layer].ln1(stream.to(device_of(model), model.cfg.dtype)[None])[0]
        return (read @ _shared(model.W_V[layer], number, model) @ model.W_O[layer, number]).float().cpu()


@checked
def composition(
    model: TransformerBridge, senders: list[Head], layer: Index, part: Literal["q", "k", "v"] = "k"
) -> Float[Tensor, "sender reader"]:
    """How much of what each sender writes falls where a layer's queries, keys or values read.

    `‖W_V W_O W_part‖ / (‖W_V W_O‖ ‖W_part‖)`, Frobenius norms, with the reader's norm gain in W_part. Two matrices with
    nothing to do with each other score about 1/sqrt(d_model). Rotating queries or keys (RoPE) changes no length, so it
    changes nothing here. Returns (sender, reader); readers are the layer's heads, or its shared keys and values.
    Raises ValueError for senders that don't stand below the layer and heads the model doesn't have.
    Source: Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits".
    """
    if not senders:
        raise ValueError("senders must hold at least one (layer, head) pair, got none")
    for head in senders:
        _check_head(model, head, "senders")
        if head[0] >= layer:
            raise ValueError(f"senders must stand below layer {layer}, got {head}")
    if layer >= model.cfg.n_layers:
        raise ValueError(f"layer must be below {model.cfg.n_layers}, got {layer}")
    with torch.no_grad():
        gain = model.blocks[layer].ln1.weight
        read = gain[:, None] * {"q": model.W_Q, "k": model.W_K, "v": model.W_V}[part][layer]  # reader d_model d_head
        all_values, outputs, found = model.W_V, model.W_O, []  # stacked afresh at every access: once is enough
        for below, head_number in senders:
            values, output = _shared(all_values[below], head_number, model), outputs[below, head_number]
            # ‖V O R‖² = tr(VᵀV · O R Rᵀ Oᵀ): small matrices only
            gram, through = values.T @ values, output @ read
            written = ((gram @ output) * output).sum()
            passed = torch.einsum("ij,rjk,rik->r", gram, through, through)
            found.append((passed / written / read.pow(2).sum((1, 2))).clamp(min=0).sqrt())
        return torch.stack(found).float().cpu()


@checked
def after_earlier(tokens: Int[Tensor, " pos"]) -> Int[Tensor, " pos"]:
    """For each position, the one after the last earlier occurrence of its token; -1 where there is none.

    tokens: (pos,) ids. An occurrence right before doesn't count: what follows it is the position itself. Position 0
    (the start token) neither looks back nor is looked at. Where an induction head would look, on any text.
    """
    last: dict[int, int] = {}
    found = [-1] * len(tokens)
    for position, token in enumerate(tokens.tolist()):
        if not position:
            continue
        if last.get(token, position) + 1 < position:
            found[position] = last[token] + 1
        last[token] = position
    return torch.tensor(found)


def _shared(weights: Tensor, head: int, model: TransformerBridge) -> Tensor:
    """A head's value weights, (d_model, d_head), out of a layer's; several heads may share them."""
    return weights[head * len(weights) // model.cfg.n_heads]


def _check_head(model: TransformerBridge, head: Head, name: str) -> None:
    if head[0] >= model.cfg.n_layers or head[1] >= model.cfg.n_heads:
        raise ValueError(f"{name}: the model has {model.cfg.n_layers} layers of {model.cfg.n_heads} heads, got {head}")
