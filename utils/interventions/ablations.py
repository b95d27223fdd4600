"""Take a part out and see what breaks: hooks that silence heads or whole outputs, and the controls for them.

An ablation shows that a part is needed on these inputs, in this state of the rest; other parts may compensate. Zero is
simple, but no part's output is near zero, so what reads it sees something it never saw; a mean keeps the constant part
and takes the information away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from utils.inputs import Count, Index, Seed, checked
from utils.reading.recording import Hook, record_named
from utils.reading.tokens import TokenBatch, token_batch

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

Head = tuple[Index, Index]


@checked
def head_means(model: TransformerBridge, tokens: TokenBatch) -> Float[Tensor, "layer head d_head"]:
    """Mean output of each head (before its output projection) over all positions but the first.

    tokens: (n, pos), reference text of at least two positions. Position 0 is left out: what happens at the start token
    is unlike the rest.
    """
    tokens = token_batch(model, tokens, shortest=2)
    names = [f"blocks.{layer}.attn.hook_z" for layer in range(model.cfg.n_layers)]
    kept = record_named(model, tokens, names)
    return torch.stack([kept[name][:, 1:].mean((0, 1)) for name in names])


@checked
def ablate_heads(heads: Sequence[Head], means: Float[Tensor, "layer head d_head"] | None = None) -> list[Hook]:
    """Hooks that silence some heads: replaced by zero, or by their mean output where `means` is given.

    heads: (layer, head) pairs. means: (layer, head, d_head) from `head_means`. Pass the result as `fwd_hooks` to
    `run_with_hooks`, or as `hooks` to the library's functions. Raises ValueError for no heads, for heads that `means`
    doesn't hold and, when it runs, for a head the model doesn't have.
    Source: zero and mean ablation as compared in Wang et al. 2022 (arXiv 2211.00593).
    """
    if not len(heads):
        raise ValueError("heads must hold at least one (layer, head) pair, got none")
    if means is not None:
        outside = [pair for pair in heads if pair[0] >= means.shape[0] or pair[1] >= means.shape[1]]
        if outside:
            raise ValueError(f"heads: {outside} are not among the {tuple(means.shape[:2])} (layers, heads) of means")
    by_layer: dict[int, list[int]] = {}
    for layer, head in heads:
        by_layer.setdefault(layer, []).append(head)

    def silence(layer: int, chosen: list[int]) -> Callable:
        def hook_function(z: Tensor, hook: Any) -> Tensor:
            if max(chosen) >= z.shape[2]:
                raise ValueError(f"heads: layer {layer} has heads 0 to {z.shape[2] - 1}, got {max(chosen)}")
            z = z.clone()
            z[:, :, chosen] = 0.0 if means is None else means[layer, chosen].to(z)
            return z

        return hook_function

    return [(f"blocks.{layer}.attn.hook_z", silence(layer, chosen)) for layer, chosen in by_layer.items()]


@checked
def matched_heads(heads: Sequence[Head], n_heads: Count, *, exclude: Sequence[Head] = (), seed: Seed = 0) -> list[Head]:
    """As many random heads in the same layers: the control for an ablation.

    heads: those it is a control for. exclude: further heads never drawn (the `heads` themselves never are).
    Raises ValueError if a layer has too few heads left.
    """
    rng = np.random.default_rng(seed)
    banned = {*map(tuple, heads), *map(tuple, exclude)}
    drawn: list[Head] = []
    for layer in sorted({layer for layer, _ in heads}):
        wanted = sum(other == layer for other, _ in heads)
        pool = [head for head in range(n_heads) if (layer, head) not in banned]
        if len(pool) < wanted:
            raise ValueError(f"heads: layer {layer} has {len(pool)} other heads, {wanted} are needed")
        drawn += [(layer, int(head)) for head in rng.choice(pool, size=wanted, replace=False)]
    return drawn


@checked
def output_means(
    model: TransformerBridge, names: Sequence[str], batches: Sequence[TokenBatch]
) -> dict[str, Float[Tensor, " d_model"]]:
    """Mean of each named output over all positions but the first, over several batches (of any lengths).

    Returns name -> (d_model,). Raises ValueError for no batches, for batches of one position, and for a name the model
    doesn't have.
    """
    if not len(batches):
        raise ValueError("batches must hold at least one batch of token ids, got none")
    given = [token_batch(model, batch, name=f"batches[{i}]", shortest=2) for i, batch in enumerate(batches)]
    kept = [record_named(model, batch, names) for batch in given]
    return {name: torch.cat([each[name][:, 1:].flatten(0, 1) for each in kept]).mean(0) for name in names}


@checked
def ablate_outputs(names: Sequence[str], means: Mapping[str, Float[Tensor, " d_model"]] | None = None) -> list[Hook]:
    """Hooks that replace whole outputs ("blocks.5.hook_mlp_out") by zero or by their mean, from position 1 on.

    means: hook name -> (d_model,). The start token is left alone. Raises ValueError for no names or a missing mean.
    """
    _check_means(names, means)

    def replace(name: str) -> Callable:
        def hook_function(value: Tensor, hook: Any) -> Tensor:
            value = value.clone()
            value[:, 1:] = 0.0 if means is None else means[name].to(value)
            return value

        return hook_function

    return [(name, replace(name)) for name in names]


@checked
def push_outputs(names: Sequence[str], means: Mapping[str, Float[Tensor, " d_model"]], seed: Seed = 0) -> list[Hook]:
    """Hooks that add to each output a random vector as long as what `ablate_outputs` would take away: its control.

    For each token from position 1 on the length is that of the output minus its mean, and the direction is random. The
    information stays in; only noise of the same size comes on top. Random directions leave the range a model has seen,
    so this control is a strict one. Raises ValueError for no names or a missing mean.
    """
    _check_means(names, means)

    def push(name: str, number: int) -> Callable:
        def hook_function(value: Tensor, hook: Any) -> Tensor:
            random = torch.Generator().manual_seed((seed * 1000 + number) % 2**63)
            away = value[:, 1:] - means[name].to(value)
            noise = torch.randn(away.shape, generator=random).to(value)
            noise = noise / noise.norm(dim=-1, keepdim=True) * away.norm(dim=-1, keepdim=True)
            value = value.clone()
            value[:, 1:] += noise
            return value

        return hook_function

    return [(name, push(name, number)) for number, name in enumerate(names)]


def _check_means(names: Sequence[str], means: Mapping[str, Tensor] | None) -> None:
    if not len(names):
        raise ValueError("names must hold at least one hook name, got none")
    missing = [name for name in names if means is not None and name not in means]
    if missing:
        raise ValueError(f"means must hold one mean a name; missing: {', '.join(missing)}")
