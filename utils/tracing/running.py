"""Runs: a prompt read once and kept, and copies of it that branch off where something is changed.

Below a changed layer, and before the first changed position, a changed run *is* the run it was made from. So that run
is made once (`base_run`); each change sets out from it at its layer's door and reads on from its first changed
position, with the base run's keys and values for what lies before (`branch`). All layers go in one pass, and it stays
exact.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, overload

import torch
from jaxtyping import Float, Int
from torch import Tensor

from utils.devices import on_device_of
from utils.inputs import Count, Index, checked
from utils.progress import slow
from utils.reading.batches import same_length_batches
from utils.reading.recording import Hook, plain
from utils.reading.tokens import token_row

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

Component = Literal["resid", "attn", "mlp", "head"]
HOOKS = {"resid": "hook_resid_pre", "attn": "hook_attn_out", "mlp": "hook_mlp_out", "head": "attn.hook_z"}


@overload
def record(
    model: TransformerBridge, prompts: Int[Tensor, " pos"], component: Component = ..., batch_size: int = ...
) -> Float[Tensor, "layer pos *d"]: ...
@overload
def record(
    model: TransformerBridge, prompts: Sequence[Int[Tensor, " pos"]], component: Component = ..., batch_size: int = ...
) -> list[Float[Tensor, "layer pos *d"]]: ...
@checked
def record(
    model: TransformerBridge,
    prompts: Int[Tensor, " pos"] | Sequence[Int[Tensor, " pos"]],
    component: Component = "resid",
    batch_size: Count = 8,
) -> Float[Tensor, "layer pos *d"] | list[Float[Tensor, "layer pos *d"]]:
    """One component's activations in every layer, of one prompt or of each of many.

    prompts: (pos,) token ids, or a list of such. component: "resid" (the residual stream entering each block), "attn"
    or "mlp" (what the block's two halves add), all (layer, pos, d_model); "head" (each head's output before W_O),
    (layer, pos, head, d_head). batch_size: how many prompts of one length run together; nothing is padded.
    Returns a tensor on the CPU for one prompt, a list of them for many. Raises TypeError or ValueError for anything but
    ids of the vocabulary.
    """
    rows = prompt_rows(model, prompts)
    kept: dict[int, Tensor] = {}
    for group in slow(same_length_batches([len(row) for row in rows], batch_size), "reading"):
        kept.update(zip(group, record_batch(model, torch.stack([rows[i] for i in group]), [component])[component]))
    return kept[0] if isinstance(prompts, Tensor) else [kept[i] for i in range(len(rows))]


def prompt_rows(
    model: TransformerBridge, prompts: Tensor | Sequence[Tensor], name: str = "prompts", shortest: int = 1
) -> list[Int[Tensor, " pos"]]:
    """One prompt or many as a list of checked rows of ids, on the CPU."""
    if isinstance(prompts, Tensor):
        return [token_row(model, prompts, name=name, shortest=shortest).cpu()]
    return [token_row(model, row, name=f"{name}[{i}]", shortest=shortest).cpu() for i, row in enumerate(prompts)]


@torch.no_grad()
def record_batch(
    model: TransformerBridge, tokens: Int[Tensor, "batch pos"], components: Iterable[Component]
) -> dict[str, Float[Tensor, "batch layer pos *d"]]:
    """Several components' activations in every layer, on the CPU, from one run of prompts of one length."""
    kept: dict[str, list[Tensor]] = {component: [] for component in components}
    hooks = [
        (name, lambda act, hook, key=component: kept[key].append(plain(act)))
        for component in kept
        for name in hook_names(model, component)
    ]
    run(model, tokens, hooks)
    return {key: stack_layers(model, key, values) for key, values in kept.items()}


def stack_layers(
    model: TransformerBridge, component: str, layers: Sequence[Tensor]
) -> Float[Tensor, "batch layer pos *d"]:
    """One tensor of the activations that a component's hooks saw, heads apart."""
    stack = torch.stack(list(layers), dim=1)
    return by_head(model, stack) if component == "head" else stack


@dataclass(frozen=True)
class BaseRun:
    """Prompts of one length, run once and kept: next-token logits, the stream entering some blocks, keys and values.

    Everything stays where the model is.
    """

    logits: Float[Tensor, "batch d_vocab"]
    stream: dict[int, Float[Tensor, "batch pos d_model"]]
    cache: Any  # None where it doesn't hold every position: a sliding window shorter than the prompt

    def start(self, position: int) -> int:
        """Where to begin reading when nothing before `position` changes: there, or at 0 without a cache."""
        return 0 if self.cache is None else position


@torch.no_grad()
def base_run(model: TransformerBridge, tokens: Int[Tensor, "batch pos"], layers: Iterable[int]) -> BaseRun:
    """Run prompts once and keep what `branch` sets out from: the stream at the doors of `layers`."""
    stream: dict[int, Tensor] = {}

    def keep(layer: int) -> Callable:
        return lambda x, hook: stream.update({layer: x.detach().clone()})

    hooks = [(f"blocks.{layer}.hook_resid_pre", keep(layer)) for layer in sorted(set(layers))]
    logits, cache = run(model, tokens, hooks, return_type="logits_and_cache", use_cache=True)
    kept = [getattr(layer, "keys", None) for layer in getattr(cache, "layers", ())]
    whole = len(kept) == model.cfg.n_layers and all(k is not None and k.shape[-2] == tokens.shape[1] for k in kept)
    return BaseRun(logits, stream, cache if whole else None)


@torch.no_grad()
def branch(
    model: TransformerBridge,
    tokens: Int[Tensor, "batch pos"],
    base: BaseRun,
    first: int,
    copies: dict[int, int],
    hooks: Sequence[Hook],
) -> Float[Tensor, "copy d_vocab"]:
    """Next-token logits of copies of the base runs; `copies[layer]` of each prompt set out at the door of each layer.

    They are computed from position `first` on (use `base.start`), so `hooks` may change nothing before it, and see
    positions counted from there. Copies stand in the batch in the order in which they set out, and within a layer
    prompt by prompt; the newest come last.
    """

    def set_out(layer: int) -> Callable:
        def hook_fn(x: Tensor, hook: Any) -> Tensor:
            new = base.stream[layer][:, first:].repeat_interleave(copies[layer], 0)
            return new if layer == min(copies) else torch.cat([x, new])  # below the first door runs one idle row

        return hook_fn

    doors = [(f"blocks.{layer}.hook_resid_pre", set_out(layer)) for layer in copies]
    options = {"past_key_values": _cut_cache(base.cache, first, copies), "use_cache": True} if first else {}
    return run(model, tokens[:1, first:], [*doors, *hooks], **options)


def _cut_cache(cache: Any, first: int, copies: dict[int, int]) -> Any:
    """The base runs' cache up to position `first`, each layer with a row for every copy that passes through it."""
    cut = copy.copy(cache)
    cut.layers = [copy.copy(layer) for layer in cache.layers]
    for i, layer in enumerate(cut.layers):
        passing = [n for door, n in sorted(copies.items()) if door <= i]
        for name in ("keys", "values"):
            before = getattr(layer, name)[..., :first, :]
            rows = [before.repeat_interleave(n, 0) for n in passing] or [before[:1]]
            setattr(layer, name, torch.cat(rows))
        if hasattr(layer, "cumulative_length"):  # kept by layers with a sliding window
            layer.cumulative_length = first
    return cut


def run(
    model: TransformerBridge, tokens: Int[Tensor, "batch pos"], hooks: Sequence[Hook], return_type: str = "logits",
    **options: Any,
) -> Any:  # fmt: skip
    """Next-token logits (batch, d_vocab) of a hooked run, with the cache if asked. One position a row is unembedded."""
    # The dearest matrix product is needed once a row. As a strided view it would be made row by row, 6 times slower.
    cut = ("unembed.hook_in", lambda x, hook: x[:, -1:].contiguous())
    tokens = on_device_of(model, tokens)
    found = model.run_with_hooks(tokens, fwd_hooks=[*hooks, cut], return_type=return_type, **options)
    return (found[0][:, -1], found[1]) if isinstance(found, tuple) else found[:, -1]


def hook_names(model: TransformerBridge, component: str) -> list[str]:
    """Where a component is seen, one hook a layer."""
    return [f"blocks.{layer}.{HOOKS[component]}" for layer in range(model.cfg.n_layers)]


def by_head(model: TransformerBridge, z: Tensor) -> Tensor:
    """(..., n_heads * d_head) or (..., n_heads, d_head) -> (..., n_heads, d_head): bridges hand out both."""
    heads = model.cfg.n_heads
    if z.shape[-2:] == (heads, model.cfg.d_head):
        return z
    return z.reshape(*z.shape[:-1], heads, -1)


def chosen_layers(model: TransformerBridge, layers: Sequence[Index] | None) -> list[int]:
    """The layers asked for, in that order, or all. Raises ValueError for none, and for layers twice or unknown."""
    n_layers = model.cfg.n_layers
    chosen = list(range(n_layers)) if layers is None else [int(layer) for layer in layers]
    if not chosen or len(set(chosen)) != len(chosen) or not all(0 <= layer < n_layers for layer in chosen):
        raise ValueError(f"layers must be different whole numbers from 0 to {n_layers - 1}, got {chosen}")
    return chosen
