"""Activation patching: copy one activation from a run on another prompt, and read what changes.

Sources: Meng et al. 2022 (arXiv 2202.05262, causal tracing); Wang et al. 2022 (2211.00593, logit difference, path
patching); Zhang & Nanda 2023 (2309.16042, metrics and methods of patching); Heimersheim & Nanda 2024 (2404.15255, how
to read a patch).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from utils.devices import to_cpu
from utils.inputs import Count, Index, NonNegative, Seed, checked
from utils.progress import slow
from utils.reading.batches import same_length_batches
from utils.reading.likelihood import next_token_logits
from utils.tracing.pairs import Pair, pair_list, position_classes
from utils.tracing.running import HOOKS, Component, base_run, branch, by_head, chosen_layers, record_batch

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

    Source = Float[Tensor, "layer pos *d"] | Sequence[Float[Tensor, "layer pos *d"]]
else:  # one tensor or one a pair: which of the two is said by `pairs`, so it is held in `_sources`
    Source = Any

# -------------------------------------------------------------------------------------------------------------- metrics


@checked
def logit_difference(logits: Float[Tensor, "*batch d_vocab"], answer: Index, other: Index) -> Float[Tensor, "*batch"]:
    """How many nats the model prefers `answer` to `other`: the difference of their logits.

    logits: (..., d_vocab). The softmax's normaliser cancels, so this is also the difference of log-probabilities,
    and a linear readout of the final residual. Raises ValueError for token ids outside the vocabulary.
    Source: Wang et al. 2022 (2211.00593).
    """
    return difference(logits, answer, other)


def difference(logits: Tensor, answer: int, other: int) -> Tensor:
    """`logit_difference`, where gradients and devices are the caller's business."""
    d_vocab = logits.shape[-1]
    if not d_vocab:
        raise ValueError(f"logits must have shape (..., d_vocab), got {tuple(logits.shape)}")
    for name, token in (("answer", answer), ("other", other)):
        if not 0 <= token < d_vocab:
            raise ValueError(f"{name} must be a token id below {d_vocab}, got {token}")
    return logits[..., answer] - logits[..., other]


@checked
def recovery(
    patched: Float[Tensor, "*sites"], clean: float, corrupt: float, minimum: NonNegative = 0.5
) -> Float[Tensor, "*sites"]:
    """How far a patch moves the corrupt run to the clean one: 0 is no effect, 1 is all the way.

    patched: logit differences (nats) of patched runs, any shape. Below 0 and above 1 are possible and mean what they
    say. Raises ValueError when clean and corrupt lie less than `minimum` nats apart: the ratio would be noise.
    Source: the normalisation of Wang et al. 2022 (2211.00593); its pitfalls: Zhang & Nanda 2023 (2309.16042).
    """
    span = float(clean) - float(corrupt)
    if abs(span) < minimum or span == 0:
        raise ValueError(
            f"clean ({float(clean):.3f}) and corrupt ({float(corrupt):.3f}) must differ by at least {minimum} nats, "
            "or dividing by their difference only magnifies noise"
        )
    return (to_cpu(patched) - float(corrupt)) / span


# ------------------------------------------------------------------------------------------------------------- patching


@checked
def patch(
    model: TransformerBridge,
    pairs: Pair | Sequence[Pair],
    where: Bool[Tensor, "site pos *head"] | Callable[[Pair], Bool[Tensor, "site pos *head"]] | None = None,
    component: Component = "resid",
    layers: Sequence[Index] | None = None,
    source: Source | None = None,
    batch_size: Count = 4,
) -> Float[Tensor, "*pair layer site"]:
    """Logit difference of the corrupt run with one component overwritten at one layer and one set of positions.

    pairs: one, or many; the corrupt prompts of many run together, `batch_size` of one length at a time.
    where: a mask (site, pos), or (site, pos, head) for component "head", in which every site is a patch of its own; or
        a function that gives a pair's mask, as many sites for each. Default `position_classes`, and for "head" each
        head at the last position.
    component: as in `record`. layers: which, default all.
    source: what to write, as `record` gives it (one tensor, or one a pair); default the clean prompts' own activations.
        A control goes here: another prompt's, or `matched_noise`.

    Returns nats on the CPU, (layer, site) for one pair, (pair, layer, site) for many, layers in the order given. How it
    is made fast and stays exact: see `utils.tracing.running`; a patch that writes what stands there already is not run.
    Raises TypeError or ValueError for no pairs and for shapes that don't fit.
    """
    many = pair_list(model, pairs)
    chosen = chosen_layers(model, layers)
    masks = [_mask(model, where, pair, component) for pair in many]
    if len({len(mask) for mask in masks}) > 1:
        raise ValueError(f"where must give every pair as many sites, got {sorted({len(mask) for mask in masks})}")
    sources = None if source is None else _sources(model, source, pairs, many, component)
    values = torch.zeros(len(many), len(chosen), len(masks[0]))
    for rows in slow(same_length_batches([len(pair.corrupt) for pair in many], batch_size), "patching"):
        some = [many[i] for i in rows]
        if sources is None:
            written = record_batch(model, torch.stack([pair.clean for pair in some]), [component])[component]
        else:
            written = torch.stack([sources[i] for i in rows])
        values[rows] = _patch(model, some, written, torch.stack([masks[i] for i in rows]), component, chosen)
    return values[0] if isinstance(pairs, Pair) else values


@torch.no_grad()
def _patch(
    model: TransformerBridge,
    pairs: Sequence[Pair],
    source: Float[Tensor, "pair layer pos *d"],
    where: Bool[Tensor, "pair site pos *head"],
    component: Component,
    layers: Sequence[int],
) -> Float[Tensor, "pair layer site"]:
    """What `patch` does, for pairs of one length."""
    ascending, tokens = sorted(layers), torch.stack([pair.corrupt for pair in pairs])
    base = base_run(model, tokens, layers)
    source, where = source.to(base.logits), where.to(base.logits.device)
    unpatched = torch.stack([difference(row, p.answer, p.other) for row, p in zip(base.logits, pairs)])
    values = unpatched[:, None, None].repeat(1, len(layers), where.shape[1]).float().cpu()
    # Writing what stands there already changes nothing: before block 0 the words the prompts share are the same.
    moves = {layer: [True] * where.shape[1] for layer in ascending}
    if component == "resid":
        for layer in ascending:
            differs = (source[:, layer] != base.stream[layer]).any(-1)  # (pair, pos)
            moves[layer] = (where & differs[:, None]).flatten(2).any(-1).any(0).tolist()
    for first, group in _by_first_position(where, ascending, model.cfg.n_layers):
        first = base.start(first)
        sites = {layer: [site for site in group if moves[layer][site]] for layer in ascending}
        sites = {layer: kept for layer, kept in sites.items() if kept}
        if not sites:
            continue

        def overwrite(layer: int, first: int = first, sites: dict[int, list[int]] = sites) -> Callable:
            shape = (len(pairs), len(sites[layer]))
            chosen = where[:, sites[layer], first:, ..., None]  # one more axis: d_model or d_head

            def hook_fn(x: Tensor, hook: Any) -> Tensor:
                new = x[-shape[0] * shape[1] :]
                split = by_head(model, new) if component == "head" else new
                split = split.reshape(*shape, *split.shape[1:])
                patched = torch.where(chosen, source[:, layer, None, first:], split)
                return torch.cat([x[: -len(new)], patched.reshape(new.shape)])

            return hook_fn

        hooks = [(f"blocks.{layer}.{HOOKS[component]}", overwrite(layer)) for layer in sites]
        logits = branch(model, tokens, base, first, {layer: len(kept) for layer, kept in sites.items()}, hooks)
        by_layer = logits.split([len(pairs) * len(kept) for kept in sites.values()])  # lowest layer first
        for (layer, kept), rows in zip(sites.items(), by_layer):
            for i, (pair, one) in enumerate(zip(pairs, rows.reshape(len(pairs), len(kept), -1))):
                values[i, layers.index(layer), kept] = difference(one, pair.answer, pair.other).to(values)
    return values


PASS_TOKENS = 40  # what a further pass costs besides its own tokens, measured in tokens


def _by_first_position(
    where: Bool[Tensor, "pair site pos *head"], layers: Sequence[int], n_layers: int
) -> list[tuple[int, list[int]]]:
    """Sites to run together: (first patched position, site numbers). Near neighbours share a pass."""
    touched = where.flatten(3).any(-1).any(0) if where.ndim > 3 else where.any(0)
    n_pos = touched.shape[1]
    starts = [int(row.nonzero()[0]) if bool(row.any()) else n_pos - 1 for row in touched]
    depth = len(where) * sum(n_layers - layer for layer in layers) / n_layers  # whole passes that one site costs
    groups: list[tuple[int, list[int]]] = []
    for site in sorted(range(len(starts)), key=starts.__getitem__):
        if groups and (starts[site] - groups[-1][0]) * depth <= PASS_TOKENS:
            groups[-1][1].append(site)
        else:
            groups.append((starts[site], [site]))
    return groups


def _mask(model: TransformerBridge, where: Any, pair: Pair, component: str) -> Bool[Tensor, "site pos *head"]:
    """The mask of one pair, checked, on the CPU."""
    if where is None:
        where = partial(_each_head_at_last, model.cfg.n_heads) if component == "head" else position_classes
    mask = _as_mask(where(pair) if callable(where) else where)
    n_pos = len(pair.corrupt)
    expected = (n_pos, model.cfg.n_heads) if component == "head" else (n_pos,)
    if mask.ndim != 1 + len(expected) or tuple(mask.shape[1:]) != expected or not len(mask):
        raise ValueError(
            f"where must be a bool mask of shape (site, {', '.join(map(str, expected))}), got {tuple(mask.shape)}"
        )
    return mask


@checked
def _as_mask(where: Bool[Tensor, "site pos *head"]) -> Bool[Tensor, "site pos *head"]:
    return to_cpu(where)


def _each_head_at_last(n_heads: int, pair: Pair) -> Bool[Tensor, "head pos head"]:
    masks = torch.zeros(n_heads, len(pair.clean), n_heads, dtype=torch.bool)
    masks[:, -1] = torch.eye(n_heads, dtype=torch.bool)
    return masks


def _sources(
    model: TransformerBridge, source: Any, given: Pair | Sequence[Pair], pairs: Sequence[Pair], component: str
) -> list[Float[Tensor, "layer pos *d"]]:
    """One tensor a pair, of the shape that `record` would give. `given` is `pairs` as the caller gave it."""
    each = [source] if isinstance(given, Pair) else source
    if not hasattr(each, "__len__") or len(each) != len(pairs):
        got = len(each) if hasattr(each, "__len__") else type(each).__name__
        raise ValueError(f"source must hold one tensor a pair, got {got} for {len(pairs)} pairs")
    found = [_as_source(one) for one in each]
    width = (model.cfg.n_heads, model.cfg.d_head) if component == "head" else (model.cfg.d_model,)
    for one, pair in zip(found, pairs):
        expected = (model.cfg.n_layers, len(pair.corrupt), *width)
        if tuple(one.shape) != expected:
            raise ValueError(
                f"source must have shape {expected}, got {tuple(one.shape)}: it has to come from a prompt of the same "
                "length, and from the same component"
            )
    return found


@checked
def _as_source(source: Float[Tensor, "layer pos *d"]) -> Float[Tensor, "layer pos *d"]:
    return to_cpu(source)


# ------------------------------------------------------------------------------------------------- endpoints and traces


@checked
def endpoints(model: TransformerBridge, pairs: Pair | Sequence[Pair]) -> Float[Tensor, "*pair 2"]:
    """Logit difference (nats) of the clean and of the corrupt prompt: what recoveries 1 and 0 stand for.

    Returns (2,) for one pair, (pair, 2) for many.
    """
    many = pair_list(model, pairs)
    prompts = [tokens for pair in many for tokens in (pair.clean, pair.corrupt)]
    logits = next_token_logits(model, prompts)
    values = [difference(row, many[i // 2].answer, many[i // 2].other) for i, row in enumerate(logits)]
    found = torch.stack(values).reshape(len(many), 2)
    return found[0] if isinstance(pairs, Pair) else found


@checked
def trace(
    model: TransformerBridge,
    pairs: Pair | Sequence[Pair],
    layers: Sequence[Index] | None = None,
    ends: Float[Tensor, "*pair 2"] | None = None,
) -> Float[Tensor, "*pair layer site"]:
    """Recovery after patching the residual stream, for every pair: the map this package is named after.

    Sites are `CLASSES` and, last, the whole subject. layers: default all. ends: what `endpoints` gives for these
    pairs, if you have it already. Raises ValueError for no pairs, and for ends of another shape.
    """
    many = pair_list(model, pairs)
    found = endpoints(model, many) if ends is None else ends.reshape(-1, 2)
    if len(found) != len(many):
        raise ValueError(f"ends must have shape ({len(many)}, 2), got {tuple(found.shape)}")
    patched = patch(model, many, _classes_and_subject, layers=layers)
    traced = torch.stack([recovery(one, *end) for one, end in zip(patched, found.tolist())])
    return traced[0] if isinstance(pairs, Pair) else traced


def _classes_and_subject(pair: Pair) -> Bool[Tensor, "site pos"]:
    classes = position_classes(pair)
    return torch.cat([classes, classes[:2].any(0, keepdim=True)])


@checked
def matched_noise(
    base: Float[Tensor, "layer pos d_model"], other: Float[Tensor, "layer pos d_model"], seed: Seed = 0
) -> Float[Tensor, "layer pos d_model"]:
    """A control for patching: `base` plus a random step exactly as long as the step to `other`, at each position.

    Where base and other agree the step is zero. Raises ValueError for shapes that differ.
    """
    base, other = to_cpu(base), to_cpu(other)
    noise = torch.randn(base.shape, generator=torch.Generator().manual_seed(seed)).to(base)
    length = (other - base).norm(dim=-1, keepdim=True)
    return base + noise / noise.norm(dim=-1, keepdim=True) * length
