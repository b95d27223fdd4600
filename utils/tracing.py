"""Follow an answer through the model: which parts write it, which parts it would change if they changed.

Four instruments, from cheap and indirect to dear and causal:

- *Direct logit attribution* splits the final logit difference into what each layer and head wrote. It sees
  only the last step: a part that works through later parts gets no credit.
- *Attribution* (gradient x input, integrated gradients) shares the output out over the input tokens. It depends
  on a baseline that somebody has to choose.
- *Activation patching* copies one activation from a run on another prompt and reads what changes. It is causal, and
  it is about this pair of prompts: what the two share is invisible to it.
- *Attribution patching* estimates every patch at once from one gradient. It is a straight-line guess, and worst
  where the model bends: early layers, saturated attention, large patches.

What misleads. *Redundancy*: with a backup in place, removing a part changes little though the part was working.
*Off-distribution*: a patched run mixes two prompts, and no real prompt may look like that. *Normalisation*: a recovery
of 0.5 can mean that half of the answer arrived, or that the old answer was destroyed; patch from an unrelated prompt
to tell these apart (`tests/test_tracing.py` and lesson 02 both do). *Saturation*: where the output is flat, the
gradient is zero although the part matters.

All runs use TransformerLens hooks (`run_with_hooks`) and work on any causal model that TransformerBridge wraps.
Positions, axes: `batch pos d_model head d_head d_vocab`; logits and their differences are in nats.

Sources: Meng et al. 2022 (arXiv 2202.05262, causal tracing); Wang et al. 2022 (2211.00593, logit difference, path
patching); Zhang & Nanda 2023 (2309.16042, metrics and methods of patching); Heimersheim & Nanda 2024 (2404.15255, how
to read a patch); Nanda 2023 ("Attribution Patching", neelnanda.io); Syed et al. 2023 (2310.10348); Kramar et al. 2024
(2403.00745, AtP*); Geva et al. 2023 (2304.14767, attention knockout); Sundararajan et al. 2017 (1703.01365, integrated
gradients); Elhage et al. 2021 (transformer-circuits.pub, the residual stream as a sum).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

    from utils.datasets import Landmark

__all__ = [
    "CLASSES",
    "Attribution",
    "Pair",
    "PairSet",
    "activation_gradient",
    "attention_cuts",
    "attribution_patching",
    "direct_logit_attribution",
    "direct_logit_attributions",
    "endpoints",
    "gradient_times_input",
    "input_attributions",
    "input_gradient",
    "input_residual",
    "integrated_gradients",
    "knock_out_attention",
    "last_logits",
    "logit_difference",
    "make_pairs",
    "matched_noise",
    "next_logits",
    "patch",
    "patch_attention",
    "patch_heads",
    "patch_mlp",
    "patch_pairs",
    "patching_parts",
    "patch_residual",
    "position_classes",
    "record",
    "records",
    "recovery",
    "trace",
    "zero_attention",
]

CLASSES = ("subject, earlier", "subject, last", "in between", "last")
_HOOKS = {"resid": "hook_resid_pre", "attn": "hook_attn_out", "mlp": "hook_mlp_out", "head": "attn.hook_z"}


# ------------------------------------------------------------------------------------------------------ pairs


@dataclass(frozen=True, eq=False)  # tensors have no single truth value to compare by
class Pair:
    """Two prompts that differ in one subject only, and the first token of each one's answer.

    clean, corrupt: (pos,) token ids of one length, beginning-of-text token included. subject: (start, stop) positions
    outside which the prompts are identical. answer, other: token ids that follow the clean and the corrupt prompt.
    Raises ValueError when the prompts are not aligned: a patch copies position for position, and would otherwise
    mix up words. Unequal subjects must be paired with others of their own length.
    """

    clean: Int[Tensor, " pos"]
    corrupt: Int[Tensor, " pos"]
    answer: int
    other: int
    subject: tuple[int, int]
    name: str = ""

    def __post_init__(self) -> None:
        for field in ("clean", "corrupt"):
            _check_ids(field, getattr(self, field))
        if len(self.clean) != len(self.corrupt):
            raise ValueError(
                f"clean has {len(self.clean)} tokens and corrupt {len(self.corrupt)}: "
                "position-for-position patching needs prompts of one length"
            )
        if self.answer == self.other:
            raise ValueError(f"answer and other are both token {self.answer}: their logit difference is always 0")
        start, stop = self.subject
        if not 0 <= start < stop < len(self.clean):
            raise ValueError(f"subject must be (start, stop) before the last position, got {self.subject}")
        differs = (self.clean != self.corrupt).nonzero().flatten()
        if not len(differs):
            raise ValueError("clean and corrupt are the same prompt: there is nothing to patch")
        if int(differs.min()) < start or int(differs.max()) >= stop:
            raise ValueError(f"the prompts differ at positions {differs.tolist()}, outside the subject {self.subject}")

    def swapped(self) -> Pair:
        """The same pair read the other way: the corrupt prompt becomes the clean one."""
        name = " / ".join(reversed(self.name.split(" / ")))
        return Pair(self.corrupt, self.clean, self.other, self.answer, self.subject, name)


@dataclass(frozen=True)
class PairSet:
    """Counterfactual pairs with the rule that made them and what the rule threw away.

    `dropped` maps a reason to the names it removed, so that kept and total can always be reported.
    """

    pairs: tuple[Pair, ...]
    rule: str
    n_candidates: int
    dropped: dict[str, tuple[str, ...]]

    def __len__(self) -> int:
        return len(self.pairs)

    def __iter__(self) -> Iterator[Pair]:
        return iter(self.pairs)

    def __getitem__(self, index: int) -> Pair:
        return self.pairs[index]

    def __str__(self) -> str:
        reasons = ", ".join(f"{len(names)} {reason}" for reason, names in self.dropped.items())
        return (
            f"{len(self)} pairs from {self.n_candidates} candidates (left out: {reasons or 'none'})\nRule: {self.rule}"
        )


def make_pairs(
    model: TransformerBridge,
    places: Sequence[Landmark],
    template: str | None = None,
    min_margin: float = 0.1,
) -> PairSet:
    """Keep the places the model knows and pair those whose names are equally long.

    A place is kept when (1) its name does not contain its city, (2) the model's top next token is the first token of
    the city, by at least `min_margin` nats over the runner-up (so that no rounding can change the set). Kept
    places are taken in order; each is paired with the first later one of the same number of subject tokens whose
    city begins with another token. Each place is used once at most, so the pairs are independent of one another.
    Raises ValueError for an empty list or a negative margin.
    """
    if not len(places):
        raise ValueError("places must hold at least one landmark, got none")
    if min_margin < 0:
        raise ValueError(f"min_margin must be 0 or more nats, got {min_margin}")
    dropped: dict[str, list[str]] = {"name holds the city": [], "not known": [], "no partner": []}
    asked = []
    for place in places:
        if place.names_its_city:
            dropped["name holds the city"].append(place.name)
        else:
            prompt = place.prompt(template) if template else place.prompt()
            tokens = model.to_tokens(prompt)[0]
            answer = int(model.to_tokens(" " + place.city, prepend_bos=False)[0, 0])
            asked.append((place, tokens, answer, _subject_span(model, prompt, place.name)))
    known = []
    for item, logits in zip(asked, next_logits(model, [tokens for _, tokens, _, _ in asked])):
        top = logits.topk(2)
        if int(top.indices[0]) == item[2] and float(top.values[0] - top.values[1]) >= min_margin:
            known.append(item)
        else:
            dropped["not known"].append(item[0].name)

    pairs, free = [], list(known)
    while free:
        place, tokens, answer, subject = free.pop(0)
        partner = next((k for k in free if k[3] == subject and k[2] != answer and len(k[1]) == len(tokens)), None)
        if partner is None:
            dropped["no partner"].append(place.name)
            continue
        free.remove(partner)
        name = f"{place.name} / {partner[0].name}"
        pairs.append(Pair(tokens, partner[1], answer, partner[2], subject, name))
    rule = (
        "the name does not contain the city; the top next token is the city's first token by at least "
        f"{min_margin} nats; partners have equally many subject tokens and other first tokens; each place once"
    )
    return PairSet(tuple(pairs), rule, len(places), {k: tuple(v) for k, v in dropped.items() if v})


def _subject_span(model: TransformerBridge, prompt: str, subject: str) -> tuple[int, int]:
    """Positions (start, stop) of the subject's tokens; a space before a word belongs to the word's token."""
    at = prompt.index(subject)
    before = prompt[:at].rstrip(" ")
    return model.to_tokens(before).shape[1], model.to_tokens(prompt[: at + len(subject)]).shape[1]


def next_logits(
    model: TransformerBridge, prompts: Sequence[Int[Tensor, " pos"]], batch_size: int = 16
) -> list[Float[Tensor, " d_vocab"]]:
    """Next-token logits of many prompts, in their order. Equal lengths run together, so nothing is padded."""
    for tokens in prompts:
        _check_ids("prompts", tokens)
    out: dict[int, Tensor] = {}
    with torch.no_grad():
        for rows in _same_length(prompts, batch_size):
            out.update(zip(rows, _run(model, torch.stack([prompts[i] for i in rows]), [])))
    return [out[i] for i in range(len(prompts))]


def _same_length(prompts: Sequence[Tensor], batch_size: int) -> Iterator[list[int]]:
    """Numbers of the prompts, those of one length together, at most `batch_size` at a time."""
    by_length: dict[int, list[int]] = {}
    for i, tokens in enumerate(prompts):
        by_length.setdefault(len(tokens), []).append(i)
    for rows in by_length.values():
        yield from (rows[k : k + batch_size] for k in range(0, len(rows), batch_size))


def position_classes(pair: Pair) -> Bool[Tensor, "site pos"]:
    """Which positions belong to each of `CLASSES`: a (4, pos) mask.

    Pairs of different lengths have no common positions, but they have these in common: the subject's tokens before
    its last one, its last one, the words in between, the last position. The positions before the subject are in
    no class: up to the subject the two prompts are identical, and so is everything computed there.
    """
    start, stop = pair.subject
    masks = torch.zeros(len(CLASSES), len(pair.clean), dtype=torch.bool)
    masks[0, start : stop - 1] = True
    masks[1, stop - 1] = True
    masks[2, stop:-1] = True
    masks[3, -1] = True
    return masks


# ---------------------------------------------------------------------------------------------------- metrics


def logit_difference(logits: Float[Tensor, "*batch d_vocab"], answer: int, other: int) -> Float[Tensor, "*batch"]:
    """How many nats the model prefers `answer` to `other`: the difference of their logits.

    logits: (..., d_vocab). The softmax's normaliser cancels, so this is also the difference of log-probabilities,
    and a linear readout of the final residual. Raises ValueError for token ids outside the vocabulary.
    Source: Wang et al. 2022 (2211.00593).
    """
    d_vocab = logits.shape[-1]
    for name, token in (("answer", answer), ("other", other)):
        if not 0 <= token < d_vocab:
            raise ValueError(f"{name} must be a token id below {d_vocab}, got {token}")
    return logits[..., answer] - logits[..., other]


def recovery(
    patched: Float[Tensor, "*sites"], clean: float | Tensor, corrupt: float | Tensor, minimum: float = 0.5
) -> Float[Tensor, "*sites"]:
    """How far a patch moves the corrupt run to the clean one: 0 is no effect, 1 is all the way.

    patched: logit differences (nats) of patched runs, any shape. Below 0 and above 1 are possible and mean what they
    say. Raises ValueError when clean and corrupt lie less than `minimum` nats apart: the ratio would be noise.
    Source: the normalisation of Wang et al. 2022 (2211.00593); its pitfalls: Zhang & Nanda 2023 (2309.16042).
    """
    span = float(clean) - float(corrupt)
    if abs(span) < minimum:
        raise ValueError(
            f"clean ({float(clean):.3f}) and corrupt ({float(corrupt):.3f}) must differ by at least {minimum} nats, "
            "or dividing by their difference only magnifies noise"
        )
    return (torch.as_tensor(patched) - float(corrupt)) / span


# ------------------------------------------------------------------------------------------------ running


def record(
    model: TransformerBridge, tokens: Int[Tensor, " pos"], component: str = "resid"
) -> Float[Tensor, "layer pos *d"]:
    """One component's activations in every layer of one run.

    component: "resid" (the residual stream entering each block), "attn" or "mlp" (what the block's two halves add),
    all (layer, pos, d_model); "head" (each head's output before W_O), (layer, pos, head, d_head).
    """
    _check_component(component)
    _check_ids("tokens", tokens)
    return _record(model, tokens[None], [component])[component][0]


def records(
    model: TransformerBridge, prompts: Sequence[Int[Tensor, " pos"]], component: str = "resid", batch_size: int = 8
) -> list[Float[Tensor, "layer pos *d"]]:
    """`record` for many prompts, in their order. Equal lengths run together, so nothing is padded."""
    _check_component(component)
    for tokens in prompts:
        _check_ids("prompts", tokens)
    kept: dict[int, Tensor] = {}
    for rows in _same_length(prompts, batch_size):
        kept.update(zip(rows, _record(model, torch.stack([prompts[i] for i in rows]), [component])[component]))
    return [kept[i] for i in range(len(prompts))]


@torch.no_grad()
def _record(
    model: TransformerBridge, tokens: Int[Tensor, "batch pos"], components: Iterable[str]
) -> dict[str, Float[Tensor, "batch layer pos *d"]]:
    """Several components' activations in every layer, from one run of prompts of one length."""
    kept: dict[str, list[Tensor]] = {component: [] for component in components}
    hooks = [
        (name, lambda act, hook, key=component: kept[key].append(act.detach().clone()))
        for component in kept
        for name in _names(model, component)
    ]
    _run(model, tokens, hooks)
    return {key: _stack(model, key, values) for key, values in kept.items()}


def _stack(model: TransformerBridge, component: str, layers: Sequence[Tensor]) -> Float[Tensor, "batch layer pos *d"]:
    stack = torch.stack(list(layers), dim=1)
    return _by_head(model, stack) if component == "head" else stack


def last_logits(model: TransformerBridge, tokens: Int[Tensor, " pos"]) -> Float[Tensor, " d_vocab"]:
    """The logits of the next token after one prompt. The unembedding is applied to the last position only."""
    _check_ids("tokens", tokens)
    with torch.no_grad():
        return _run(model, tokens[None], [])[0]


def patch(
    model: TransformerBridge,
    pair: Pair,
    source: Float[Tensor, "layer pos *d"],
    where: Bool[Tensor, "site pos *head"],
    component: str = "resid",
    layers: Iterable[int] | None = None,
    start: Float[Tensor, "pos d_model"] | None = None,
) -> Float[Tensor, "layer site"]:
    """Logit difference of the corrupt run with one component overwritten at one layer and one set of positions.

    source: what to write, as `record` returns it (usually of `pair.clean`). where: a mask (site, pos), or
    (site, pos, head) for component "head"; every site is a patch of its own. layers: which (default all). start: put
    these (pos, d_model) into the first block instead of the corrupt prompt's own embeddings. Returns nats, one
    row a layer in the order given.

    How it is made fast and stays exact: below the patched layer, and before the first patched position, a patched run
    *is* the corrupt run. So that run is made once and kept; each patch sets out from it at its layer's door and reads
    on from its first patched position, with the corrupt run's keys and values for what lies before. All layers go in
    one pass. A patch that writes what stands there already is not run.
    Raises ValueError for shapes that don't fit. Sources: Meng et al. 2022 (2202.05262), Wang et al. 2022
    (2211.00593).
    """
    _check_component(component)
    layers = _layers(model, layers)
    _check_where(model, where, len(pair.corrupt), component)
    _check_source(model, source, len(pair.corrupt))
    return _patch(model, [pair], source[None], where[None], component, layers, start)[0]


def patch_pairs(
    model: TransformerBridge,
    pairs: Iterable[Pair],
    where: Callable[[Pair], Bool[Tensor, "site pos *head"]] | None = None,
    component: str = "resid",
    layers: Iterable[int] | None = None,
    source: Sequence[Float[Tensor, "layer pos *d"]] | None = None,
    batch_size: int = 4,
) -> Float[Tensor, "pair layer site"]:
    """`patch` for many pairs, those of one length together: the same numbers in less time.

    where: a function that gives a pair's mask, default `position_classes`; as many sites for each pair. source: what to
    write, one tensor a pair, default the clean runs' own activations. batch_size: how many pairs run together.
    Returns logit differences in nats. Raises ValueError for no pairs, and for shapes that don't fit, as `patch` does.
    """
    _check_component(component)
    pairs, layers = list(pairs), _layers(model, layers)
    if not pairs:
        raise ValueError("pairs must hold at least one pair, got none")
    if source is not None and len(source) != len(pairs):
        raise ValueError(f"source must hold one tensor a pair, got {len(source)} for {len(pairs)} pairs")
    masks = [(where or position_classes)(pair) for pair in pairs]
    for i, (pair, mask) in enumerate(zip(pairs, masks)):
        _check_where(model, mask, len(pair.corrupt), component)
        if source is not None:
            _check_source(model, source[i], len(pair.corrupt))
    if len({len(mask) for mask in masks}) > 1:
        raise ValueError(f"where must give every pair as many sites, got {sorted({len(mask) for mask in masks})}")
    values = torch.zeros(len(pairs), len(layers), len(masks[0]))
    for rows in _same_length([pair.corrupt for pair in pairs], batch_size):
        chosen = [pairs[i] for i in rows]
        if source is None:
            written = _record(model, torch.stack([pair.clean for pair in chosen]), [component])[component]
        else:
            written = torch.stack([source[i] for i in rows])
        values[rows] = _patch(model, chosen, written, torch.stack([masks[i] for i in rows]), component, layers)
    return values


def _patch(
    model: TransformerBridge,
    pairs: Sequence[Pair],
    source: Float[Tensor, "pair layer pos *d"],
    where: Bool[Tensor, "pair site pos *head"],
    component: str,
    layers: Sequence[int],
    start: Float[Tensor, "pos d_model"] | None = None,
) -> Float[Tensor, "pair layer site"]:
    """What `patch` and `patch_pairs` do, for pairs of one length."""
    ascending, tokens = sorted(layers), torch.stack([pair.corrupt for pair in pairs])
    base = _base_run(model, tokens, layers, start)
    unpatched = torch.stack([logit_difference(row, p.answer, p.other) for row, p in zip(base.logits, pairs)])
    values = unpatched[:, None, None].repeat(1, len(layers), where.shape[1]).to(source.dtype).cpu()
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

        def overwrite(layer: int, first: int = first, sites: dict = sites) -> Callable:
            shape = (len(pairs), len(sites[layer]))
            chosen = where[:, sites[layer], first:, ..., None]  # one more axis: d_model or d_head

            def hook_fn(x: Tensor, hook) -> Tensor:
                new = x[-shape[0] * shape[1] :]
                split = _by_head(model, new) if component == "head" else new
                split = split.reshape(*shape, *split.shape[1:])
                patched = torch.where(chosen, source[:, layer, None, first:], split)
                return torch.cat([x[: -len(new)], patched.reshape(new.shape)])

            return hook_fn

        hooks = [(f"blocks.{layer}.{_HOOKS[component]}", overwrite(layer)) for layer in sites]
        logits = _branch(model, tokens, base, first, {layer: len(kept) for layer, kept in sites.items()}, hooks)
        by_layer = logits.split([len(pairs) * len(kept) for kept in sites.values()])  # lowest layer first
        for (layer, kept), rows in zip(sites.items(), by_layer):
            for i, (pair, one) in enumerate(zip(pairs, rows.reshape(len(pairs), len(kept), -1))):
                values[i, layers.index(layer), kept] = logit_difference(one, pair.answer, pair.other).to(values)
    return values


def patch_residual(
    model: TransformerBridge,
    pair: Pair,
    where: Bool[Tensor, "site pos"] | None = None,
    source: Float[Tensor, "layer pos d_model"] | None = None,
    layers: Iterable[int] | None = None,
) -> Float[Tensor, "layer site"]:
    """Logit differences (nats) when the residual stream entering each block is taken from the clean run.

    where: default `position_classes(pair)`. source: default the clean run; a control goes here. See `patch`.
    """
    source = record(model, pair.clean) if source is None else source
    return patch(model, pair, source, position_classes(pair) if where is None else where, "resid", layers)


def trace(
    model: TransformerBridge,
    pairs: Iterable[Pair],
    layers: Iterable[int] | None = None,
    ends: Float[Tensor, "pair 2"] | None = None,
) -> Float[Tensor, "pair layer site"]:
    """Recovery after patching the residual stream, for every pair: the map this module is named after.

    Sites are `CLASSES` and, last, the whole subject. layers: default all. ends: what `endpoints` gives for these
    pairs, if you have it already. Raises ValueError for no pairs, and for ends of another shape.
    """

    def where(pair: Pair) -> Tensor:
        classes = position_classes(pair)
        return torch.cat([classes, classes[:2].any(0, keepdim=True)])

    pairs = list(pairs)
    ends = endpoints(model, pairs) if ends is None else torch.as_tensor(ends)
    if tuple(ends.shape) != (len(pairs), 2):
        raise ValueError(f"ends must have shape ({len(pairs)}, 2), got {tuple(ends.shape)}")
    return torch.stack([recovery(one, *end) for one, end in zip(patch_pairs(model, pairs, where, layers=layers), ends)])


def endpoints(model: TransformerBridge, pairs: Iterable[Pair]) -> Float[Tensor, "pair 2"]:
    """Logit difference (nats) of every pair's clean and corrupt prompt: what recoveries 1 and 0 stand for."""
    pairs = list(pairs)
    if not pairs:
        raise ValueError("pairs must hold at least one pair, got none")
    prompts = [tokens for pair in pairs for tokens in (pair.clean, pair.corrupt)]
    logits = next_logits(model, prompts)
    values = [logit_difference(row, pairs[i // 2].answer, pairs[i // 2].other) for i, row in enumerate(logits)]
    return torch.stack(values).reshape(len(pairs), 2)


def patch_attention(
    model: TransformerBridge,
    pair: Pair,
    where: Bool[Tensor, "site pos"] | None = None,
    layers: Iterable[int] | None = None,
) -> Float[Tensor, "layer site"]:
    """As `patch_residual`, for what each attention layer adds to the stream (all its heads together)."""
    where = position_classes(pair) if where is None else where
    return patch(model, pair, record(model, pair.clean, "attn"), where, "attn", layers)


def patch_mlp(
    model: TransformerBridge,
    pair: Pair,
    where: Bool[Tensor, "site pos"] | None = None,
    layers: Iterable[int] | None = None,
) -> Float[Tensor, "layer site"]:
    """As `patch_residual`, for what each MLP adds to the stream."""
    where = position_classes(pair) if where is None else where
    return patch(model, pair, record(model, pair.clean, "mlp"), where, "mlp", layers)


def patch_heads(
    model: TransformerBridge,
    pair: Pair,
    positions: Bool[Tensor, " pos"] | None = None,
    layers: Iterable[int] | None = None,
) -> Float[Tensor, "layer head"]:
    """Logit differences (nats) when one head's output is taken from the clean run, at the given positions.

    positions: (pos,) mask, default the last position only.
    """
    if positions is None:
        positions = torch.zeros(len(pair.clean), dtype=torch.bool)
        positions[-1] = True
    n_heads = model.cfg.n_heads
    where = positions[None, :, None] & torch.eye(n_heads, dtype=torch.bool)[:, None, :]
    return patch(model, pair, record(model, pair.clean, "head"), where, "head", layers)


def matched_noise(
    base: Float[Tensor, "layer pos d_model"], other: Float[Tensor, "layer pos d_model"], seed: int = 0
) -> Float[Tensor, "layer pos d_model"]:
    """A control for patching: `base` plus a random step exactly as long as the step to `other`, at each position.

    Where base and other agree the step is zero. Raises ValueError for shapes that differ.
    """
    if base.shape != other.shape:
        raise ValueError(f"base and other must have one shape, got {tuple(base.shape)} and {tuple(other.shape)}")
    noise = torch.randn(base.shape, generator=torch.Generator().manual_seed(seed)).to(base)
    length = (other - base).norm(dim=-1, keepdim=True)
    return base + noise / noise.norm(dim=-1, keepdim=True) * length


# --------------------------------------------------------------------------------------------------- knock-outs


def zero_attention(
    model: TransformerBridge,
    tokens: Int[Tensor, " pos"],
    answer: int,
    other: int,
    layers: Iterable[int] | None = None,
) -> Float[Tensor, " layer"]:
    """Nats of logit difference lost when one layer's attention writes nothing at the last position.

    Positive: the layer was helping. A zero is not an average: the stream may never look like that (see the module's
    notes), and with redundancy the loss understates the part. layers: ascending, default all. Returns (len(layers),).
    """
    _check_ids("tokens", tokens)
    layers = _layers(model, layers, ascending=True)

    def silence(x: Tensor, hook) -> Tensor:
        x = x.clone()
        x[-1, -1] = 0  # the newest copy, at the last position
        return x

    base = _base_run(model, tokens[None], layers)
    hooks = [(f"blocks.{layer}.hook_attn_out", silence) for layer in layers]
    logits = _branch(model, tokens[None], base, base.start(len(tokens) - 1), dict.fromkeys(layers, 1), hooks)
    return logit_difference(base.logits, answer, other) - logit_difference(logits, answer, other)


def knock_out_attention(
    model: TransformerBridge,
    tokens: Int[Tensor, " pos"],
    answer: int,
    other: int,
    positions: Bool[Tensor, " pos"],
    window: int = 1,
    layers: Iterable[int] | None = None,
) -> Float[Tensor, " layer"]:
    """Nats lost when the last position can't look at `positions`, in `window` layers centred on each of `layers`.

    The attention scores are set to minus infinity before the softmax, so what is left still sums to one. layers:
    ascending, default all. Returns (len(layers),). Raises ValueError for a mask that is empty or covers everything, and
    for an even or negative window. Source: "attention knockout", Geva et al. 2023 (2304.14767).
    """
    _check_ids("tokens", tokens)
    if positions.dtype != torch.bool or positions.shape != tokens.shape:
        raise ValueError(f"positions must be a bool mask of shape {tuple(tokens.shape)}, got {positions}")
    if not positions.any() or positions.all():
        raise ValueError("positions must leave out at least one position and name at least one")
    if window < 1 or window % 2 == 0:
        raise ValueError(f"window must be odd and positive, got {window}")
    centres, half = _layers(model, layers, ascending=True), window // 2
    first = [max(0, centre - half) for centre in centres]  # where each window's copy branches off

    def block(scores: Tensor, hook, layer: int) -> Tensor:
        rows = [i for i, centre in enumerate(centres) if abs(centre - layer) <= half]
        scores = scores.clone()
        scores[rows, :, -1] = scores[rows, :, -1].masked_fill(positions, torch.finfo(scores.dtype).min)
        return scores

    base = _base_run(model, tokens[None], first)
    hooks = [
        (f"blocks.{layer}.attn.hook_attn_scores", partial(block, layer=layer))
        for layer in range(model.cfg.n_layers)
        if any(abs(centre - layer) <= half for centre in centres)
    ]
    copies = {layer: first.count(layer) for layer in first}
    logits = _branch(model, tokens[None], base, base.start(len(tokens) - 1), copies, hooks)
    return logit_difference(base.logits, answer, other) - logit_difference(logits, answer, other)


def attention_cuts(
    model: TransformerBridge, pairs: Iterable[Pair], layers: Iterable[int] | None = None, batch_size: int = 4
) -> Float[Tensor, "pair knife layer"]:
    """`knock_out_attention` of the subject (window 1) and `zero_attention`, for every pair's clean prompt, in nats.

    Both knives of all layers go in one pass, and pairs of one length together: the same numbers in a third of the time.
    layers: ascending, default all. Returns (pair, 2, layer). Raises ValueError for no pairs.
    """
    pairs, layers = list(pairs), _layers(model, layers, ascending=True)
    if not pairs:
        raise ValueError("pairs must hold at least one pair, got none")
    lost = torch.zeros(len(pairs), 2, len(layers))
    for rows in _same_length([pair.clean for pair in pairs], batch_size):
        chosen = [pairs[i] for i in rows]
        tokens = torch.stack([pair.clean for pair in chosen])
        subject = torch.stack([position_classes(pair)[:2].any(0) for pair in chosen]).to(tokens.device)
        shape = (len(chosen), 2)  # the newest copies: of each prompt first the gentle knife's, then the rough one's

        def blind(scores: Tensor, hook, shape: tuple = shape, subject: Tensor = subject) -> Tensor:
            scores = scores.clone()
            newest = scores[-shape[0] * shape[1] :].reshape(*shape, *scores.shape[1:])  # (prompt, knife, head, q, key)
            newest[:, 0, :, -1].masked_fill_(subject[:, None], torch.finfo(scores.dtype).min)
            return torch.cat([scores[: -shape[0] * shape[1]], newest.flatten(0, 1)])

        def silence(x: Tensor, hook, shape: tuple = shape) -> Tensor:
            x = x.clone()
            x[len(x) - shape[0] * shape[1] + 1 :: 2, -1] = 0
            return x

        base = _base_run(model, tokens, layers)
        hooks = [(f"blocks.{layer}.attn.hook_attn_scores", blind) for layer in layers]
        hooks += [(f"blocks.{layer}.hook_attn_out", silence) for layer in layers]
        logits = _branch(model, tokens, base, base.start(tokens.shape[1] - 1), dict.fromkeys(layers, 2), hooks)
        logits = logits.reshape(len(layers), *shape, -1)
        for k, (i, pair) in enumerate(zip(rows, chosen)):
            whole = logit_difference(base.logits[k], pair.answer, pair.other)
            lost[i] = (whole - logit_difference(logits[:, k], pair.answer, pair.other)).T.to(lost)
    return lost


# ------------------------------------------------------------------------------------ direct logit attribution


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


def direct_logit_attribution(
    model: TransformerBridge, tokens: Int[Tensor, " pos"], answer: int, other: int
) -> Attribution:
    """Split the logit difference at the last position into what each layer and head wrote to it.

    The final norm divides by a number that depends on the whole stream. Held at the value of this run it turns the
    readout into a fixed direction, and a dot product with each part's output gives its share. Frozen, it no longer
    tells what would happen *without* the part: the scale would move too. Parts that act through later parts get no
    credit. Models that squash their logits (Gemma-2) are attributed before the squashing; then `summed` is not `total`.
    Source: Elhage et al. 2021; Wang et al. 2022 (2211.00593).
    """
    return direct_logit_attributions(model, [tokens], [(answer, other)])[0]


@torch.no_grad()
def direct_logit_attributions(
    model: TransformerBridge,
    prompts: Sequence[Int[Tensor, " pos"]],
    answers: Sequence[tuple[int, int]],
    batch_size: int = 16,
) -> list[Attribution]:
    """`direct_logit_attribution` of many prompts, in their order. Equal lengths run together, so nothing is padded.

    answers: (answer, other) of each prompt. Raises ValueError for lengths that differ.
    """
    for tokens in prompts:
        _check_ids("prompts", tokens)
    if len(answers) != len(prompts):
        raise ValueError(f"answers must hold one couple a prompt, got {len(answers)} for {len(prompts)} prompts")
    out: dict[int, Attribution] = {}
    written = [model.blocks[i].attn.W_O for i in range(model.cfg.n_layers)] if len(prompts) else []
    for rows in _same_length(prompts, batch_size):
        kept: dict[str, list[Tensor]] = {name: [] for name in ("resid", "attn", "mlp", "head")}
        hooks = []
        for component in kept:
            for name in _names(model, component):
                hooks.append((name, lambda x, hook, key=component, kept=kept: kept[key].append(x[:, -1].detach())))
        scale: list[Tensor] = []
        hooks.append(("ln_final.hook_scale", lambda x, hook, scale=scale: scale.append(x.detach())))
        logits = _run(model, torch.stack([prompts[i] for i in rows]), hooks)
        scales = scale[0].reshape(len(rows), -1)[:, -1].tolist()
        parts = {key: torch.stack(values, dim=1) for key, values in kept.items()}  # (prompt, layer, ...)
        z = _by_head(model, parts["head"])  # (prompt, layer, head, d_head)
        for k, i in enumerate(rows):
            direction, bias = _frozen_readout(model, scales[k], *answers[i])
            through = torch.stack([w @ direction for w in written])
            out[i] = Attribution(
                embed=float(parts["resid"][k, 0] @ direction),
                heads=torch.einsum("lhd,lhd->lh", z[k], through),
                attn=parts["attn"][k] @ direction,
                mlp=parts["mlp"][k] @ direction,
                bias=bias,
                total=float(logit_difference(logits[k], *answers[i])),
            )
    return [out[i] for i in range(len(prompts))]


def _frozen_readout(
    model: TransformerBridge, scale: float, answer: int, other: int
) -> tuple[Float[Tensor, " d_model"], float]:
    """Direction and constant that give the logit difference from the final stream, at one fixed norm scale."""
    norm = model.ln_final
    readout = model.W_U[:, answer] - model.W_U[:, other]
    weight = norm.weight + 1 if norm.uses_weight_offset else norm.weight
    direction = readout * weight / scale
    bias = 0.0
    if not norm.uses_rms_norm:  # LayerNorm also takes the mean off: a projection, so it may act on the direction
        direction = direction - direction.mean()
        if norm.original_component.bias is not None:
            bias += float(readout @ norm.original_component.bias)
    if getattr(model, "b_U", None) is not None:
        bias += float(model.b_U[answer] - model.b_U[other])
    return direction, bias


# ---------------------------------------------------------------------------------------------------- gradients


def attribution_patching(
    model: TransformerBridge,
    pair: Pair,
    where: Bool[Tensor, "site pos *head"] | None = None,
    component: str = "resid",
    source: Float[Tensor, "layer pos *d"] | None = None,
) -> Float[Tensor, "layer site"]:
    """Estimate of every patch's change in logit difference (nats), from one gradient on the corrupt run.

    To first order a patch changes the output by (source - corrupt) . gradient, summed over the patched positions.
    One forward and one backward pass give all layers and sites. Compare with `patch(...) - corrupt difference`. The
    guess is poor for large patches through curved parts: the residual stream of early layers above all.
    where, component, source: as in `patch`. Returns (n_layers, site). Sources: Nanda 2023; Syed et al. 2023
    (2310.10348); Kramar et al. 2024 (2403.00745).
    """
    _check_component(component)
    source = record(model, pair.clean, component) if source is None else source
    where = position_classes(pair) if where is None else where
    base, gradient = activation_gradient(model, pair, component)
    if source.shape != base.shape:
        raise ValueError(f"source must have shape {tuple(base.shape)}, got {tuple(source.shape)}")
    contribution = ((source - base) * gradient).sum(-1)  # (layer, pos) or (layer, pos, head)
    if tuple(where.shape[1:]) != tuple(contribution.shape[1:]) or where.dtype != torch.bool:
        raise ValueError(
            f"where must be a bool mask of shape (site, {', '.join(map(str, contribution.shape[1:]))}), "
            f"got {where.dtype} {tuple(where.shape)}"
        )
    return contribution.flatten(1) @ where.flatten(1).to(contribution).T


def activation_gradient(
    model: TransformerBridge, pair: Pair, component: str = "resid"
) -> tuple[Float[Tensor, "layer pos *d"], Float[Tensor, "layer pos *d"]]:
    """One component's activations on the corrupt run, and the logit difference's gradient at each of them.

    Shapes as in `record`. One forward and one backward pass; no gradient is kept on the weights.
    """
    _check_component(component)
    base, gradient = _gradients(model, [pair], [component])[component]
    return base[0], gradient[0]


def patching_parts(
    model: TransformerBridge, pairs: Iterable[Pair], components: Sequence[str] = ("resid",), batch_size: int = 4
) -> list[dict[str, tuple[Tensor, Tensor, Tensor]]]:
    """What attribution patching multiplies, for many pairs: (clean activations, corrupt ones, gradient at the corrupt).

    One dict a pair, component -> three tensors shaped as in `record`. Two runs and one backward pass serve all
    components and all pairs of one length, `batch_size` of them at a time. The first two are what `record` gives, the
    last two what `activation_gradient` gives. Raises ValueError for an unknown component.
    """
    pairs = list(pairs)
    for component in components:
        _check_component(component)
    parts: list[dict] = [{} for _ in pairs]
    for rows in _same_length([pair.corrupt for pair in pairs], batch_size):
        chosen = [pairs[i] for i in rows]
        clean = _record(model, torch.stack([pair.clean for pair in chosen]), components)
        for key, (base, gradient) in _gradients(model, chosen, components).items():
            for i, three in zip(rows, zip(clean[key], base, gradient)):
                parts[i][key] = three
    return parts


def _gradients(
    model: TransformerBridge, pairs: Sequence[Pair], components: Sequence[str]
) -> dict[str, tuple[Float[Tensor, "pair layer pos *d"], Float[Tensor, "pair layer pos *d"]]]:
    """Activations on the corrupt runs and the gradient of each pair's logit difference, for pairs of one length."""
    kept: dict[str, list[Tensor]] = {component: [] for component in components}

    def leaf(x: Tensor, hook) -> Tensor:  # cut the graph here: gradients stop, and no weight needs one
        return x.detach().requires_grad_()

    def keep(x: Tensor, hook, key: str) -> Tensor:  # handed back, because what a hook sees may be a reshaped view
        kept[key].append(x)
        return x

    hooks = [("blocks.0.hook_resid_pre", leaf)]
    hooks += [(name, partial(keep, key=key)) for key in kept for name in _names(model, key)]
    with torch.enable_grad():
        logits = _run(model, torch.stack([pair.corrupt for pair in pairs]), hooks)
        # No prompt of the batch sees another, so the gradient of the sum is each pair's own.
        total = sum(logit_difference(row, pair.answer, pair.other) for row, pair in zip(logits, pairs))
        flat = iter(torch.autograd.grad(total, [x for layers in kept.values() for x in layers]))
    found = {}
    for key, layers in kept.items():
        slopes = [next(flat) for _ in layers]
        found[key] = (_stack(model, key, [x.detach() for x in layers]), _stack(model, key, slopes))
    return found


def input_residual(model: TransformerBridge, tokens: Int[Tensor, " pos"]) -> Float[Tensor, "pos d_model"]:
    """What enters the first block: token embeddings, plus position embeddings where the model adds them."""
    _check_ids("tokens", tokens)
    return _input_residuals(model, tokens[None])[0]


@torch.no_grad()
def _input_residuals(model: TransformerBridge, prompts: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos d_model"]:
    kept: list[Tensor] = []
    hooks = [("blocks.0.hook_resid_pre", lambda x, hook: kept.append(x.detach().clone()))]
    model.run_with_hooks(prompts, fwd_hooks=hooks, stop_at_layer=1, return_type=None)
    return kept[0]


def input_gradient(
    model: TransformerBridge,
    tokens: Int[Tensor, " pos"],
    point: Float[Tensor, "pos d_model"],
    answer: int,
    other: int,
) -> Float[Tensor, "pos d_model"]:
    """Gradient of the logit difference when the first block is given `point` in place of the embeddings."""
    _check_ids("tokens", tokens)
    if point.ndim != 2 or len(point) != len(tokens):
        raise ValueError(f"point must be (pos, d_model) with pos = {len(tokens)}, got {tuple(point.shape)}")
    return _input_gradients(model, tokens, point[None], answer, other)[0][0]


def gradient_times_input(
    model: TransformerBridge,
    tokens: Int[Tensor, " pos"],
    answer: int,
    other: int,
    baseline: Float[Tensor, "pos d_model"] | None = None,
) -> Float[Tensor, " pos"]:
    """Each input token's share of the logit difference by gradient x (input - baseline), in nats.

    baseline: (pos, d_model), what "nothing there" means, default zeros. A straight-line guess at what happens
    when the token becomes its baseline; it does not add up to anything. Source: Simonyan et al. 2013 (1312.6034) for
    the gradient; Shrikumar et al. 2017 (1704.02685) for the product and the choice of a baseline.
    """
    inputs = input_residual(model, tokens)
    baseline = _check_baseline(inputs, baseline)
    gradient, _ = _input_gradients(model, tokens, inputs[None], answer, other)
    return ((inputs - baseline) * gradient[0]).sum(-1)


def integrated_gradients(
    model: TransformerBridge,
    tokens: Int[Tensor, " pos"],
    answer: int,
    other: int,
    baseline: Float[Tensor, "pos d_model"] | None = None,
    steps: int = 32,
    batch_size: int = 16,
) -> tuple[Float[Tensor, " pos"], float]:
    """Each input token's share by integrated gradients (nats), and the completeness gap.

    The gradient is averaged along the straight line from the baseline's embeddings to the input's (midpoint rule,
    `steps` points) and multiplied by their difference. In the limit the shares add up to f(input) - f(baseline); the
    second result is their sum minus that, so 0 is perfect. The points in between are no prompt that ever was: the
    answer is about that line, and another baseline is another question.
    Raises ValueError for a baseline of another shape and for fewer than one step.
    Source: Sundararajan et al. 2017 (1703.01365).
    """
    if steps < 1 or batch_size < 1:
        raise ValueError(f"steps and batch_size must be at least 1, got {steps} and {batch_size}")
    inputs = input_residual(model, tokens)
    baseline = _check_baseline(inputs, baseline)
    mean_gradient = torch.zeros_like(inputs)
    alphas = (torch.arange(steps, dtype=inputs.dtype, device=inputs.device) + 0.5) / steps
    for chunk in alphas.split(batch_size):
        points = baseline + chunk[:, None, None] * (inputs - baseline)
        gradients, _ = _input_gradients(model, tokens, points, answer, other)
        mean_gradient += gradients.sum(0) / steps
    shares = ((inputs - baseline) * mean_gradient).sum(-1)
    with torch.no_grad():
        ends = torch.stack([inputs, baseline])
        at_input, at_baseline = _from_embeddings(model, tokens, ends, answer, other)
    return shares, float(shares.sum() - (at_input - at_baseline))


def input_attributions(
    model: TransformerBridge, pairs: Iterable[Pair], steps: int = 8, batch_size: int = 2
) -> list[tuple[Float[Tensor, " pos"], Float[Tensor, " pos"]]]:
    """`gradient_times_input` and `integrated_gradients` of every pair's clean prompt, against its corrupt one, in nats.

    One pass reads the points of the lines and their ends, of `batch_size` pairs of one length. For completeness,
    compare the integrated shares' sum with the difference of the pair's `endpoints`. Raises ValueError as they do.
    """
    pairs = list(pairs)
    if steps < 1 or batch_size < 1:
        raise ValueError(f"steps and batch_size must be at least 1, got {steps} and {batch_size}")
    found: dict[int, tuple[Tensor, Tensor]] = {}
    for rows in _same_length([pair.clean for pair in pairs], batch_size):
        chosen = [pairs[i] for i in rows]
        prompts = torch.stack([tokens for pair in chosen for tokens in (pair.clean, pair.corrupt)])
        inputs = _input_residuals(model, prompts).unflatten(0, (-1, 2))
        step = inputs[:, 0] - inputs[:, 1]  # (pair, pos, d_model)
        middles = (torch.arange(steps, dtype=step.dtype, device=step.device) + 0.5) / steps
        along = torch.cat([middles, middles.new_ones(1)])[:, None, None]
        points = (inputs[:, None, 1] + along * step[:, None]).flatten(0, 1).detach().requires_grad_()
        with torch.enable_grad():
            read = prompts[::2].repeat_interleave(len(along), 0)
            logits = _run(model, read, [("blocks.0.hook_resid_pre", lambda x, hook, points=points: points)])
            by_pair = logits.unflatten(0, (len(rows), -1))
            total = sum(logit_difference(own, pair.answer, pair.other).sum() for own, pair in zip(by_pair, chosen))
            (gradient,) = torch.autograd.grad(total, points)
        gradient = gradient.unflatten(0, (len(rows), -1))
        simple = (step * gradient[:, -1]).sum(-1)
        careful = (step * gradient[:, :-1].mean(1)).sum(-1)
        found.update(zip(rows, zip(simple, careful)))
    return [found[i] for i in range(len(pairs))]


def _input_gradients(model, tokens, points: Tensor, answer: int, other: int) -> tuple[Tensor, Tensor]:
    """Gradients (batch, pos, d_model) and values (batch,) of the logit difference at given embeddings."""
    points = points.detach().requires_grad_()
    with torch.enable_grad():
        values = _from_embeddings(model, tokens, points, answer, other)
        (gradient,) = torch.autograd.grad(values.sum(), points)
    return gradient, values.detach()


def _from_embeddings(model, tokens, points: Tensor, answer: int, other: int) -> Tensor:
    hooks = [("blocks.0.hook_resid_pre", lambda x, hook: points)]
    logits = _run(model, tokens[None].expand(len(points), -1), hooks)
    return logit_difference(logits, answer, other)


# ------------------------------------------------------------------------------------------------------ helpers


@dataclass(frozen=True)
class _Base:
    """Prompts of one length, run once and kept: next-token logits, the stream entering some blocks, keys and values."""

    logits: Float[Tensor, "batch d_vocab"]
    stream: dict[int, Float[Tensor, "batch pos d_model"]]
    cache: Any  # None where it doesn't hold every position: a sliding window shorter than the prompt

    def start(self, position: int) -> int:
        """Where to begin reading when nothing before `position` changes: there, or at 0 without a cache."""
        return 0 if self.cache is None else position


@torch.no_grad()
def _base_run(
    model: TransformerBridge,
    tokens: Int[Tensor, "batch pos"],
    layers: Iterable[int],
    start: Float[Tensor, "pos d_model"] | None = None,
) -> _Base:
    """Run prompts once and keep what `_branch` sets out from: the stream at the doors of `layers`."""
    stream: dict[int, Tensor] = {}

    def keep(layer: int) -> Callable:
        return lambda x, hook: stream.update({layer: x.detach().clone()})

    hooks = [] if start is None else [("blocks.0.hook_resid_pre", lambda x, hook: start.expand_as(x))]
    hooks += [(f"blocks.{layer}.hook_resid_pre", keep(layer)) for layer in sorted(set(layers))]
    logits, cache = _run(model, tokens, hooks, return_type="logits_and_cache", use_cache=True)
    kept = [getattr(layer, "keys", None) for layer in getattr(cache, "layers", ())]
    whole = len(kept) == model.cfg.n_layers and all(k is not None and k.shape[-2] == tokens.shape[1] for k in kept)
    return _Base(logits, stream, cache if whole else None)


@torch.no_grad()
def _branch(
    model: TransformerBridge,
    tokens: Int[Tensor, "batch pos"],
    base: _Base,
    first: int,
    copies: dict[int, int],
    hooks: list,
) -> Float[Tensor, "copy d_vocab"]:
    """Next-token logits of copies of the base runs; `copies[layer]` of each prompt set out at the door of each layer.

    They are computed from position `first` on (use `base.start`), so `hooks` may change nothing before it, and see
    positions counted from there. Copies stand in the batch in the order in which they set out, and within a layer
    prompt by prompt; the newest come last.
    """

    def set_out(layer: int) -> Callable:
        def hook_fn(x: Tensor, hook) -> Tensor:
            new = base.stream[layer][:, first:].repeat_interleave(copies[layer], 0)
            return new if layer == min(copies) else torch.cat([x, new])  # below the first door runs one idle row

        return hook_fn

    doors = [(f"blocks.{layer}.hook_resid_pre", set_out(layer)) for layer in copies]
    options = {"past_key_values": _cut_cache(base.cache, first, copies), "use_cache": True} if first else {}
    return _run(model, tokens[:1, first:], doors + hooks, **options)


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


_PASS_TOKENS = 40  # what a further pass costs besides its own tokens, measured in tokens


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
        if groups and (starts[site] - groups[-1][0]) * depth <= _PASS_TOKENS:
            groups[-1][1].append(site)
        else:
            groups.append((starts[site], [site]))
    return groups


def _run(model: TransformerBridge, tokens: Tensor, hooks: list, return_type: str = "logits", **options: Any) -> Any:
    """Next-token logits (batch, d_vocab) of a hooked run, with the cache if asked. One position a row is unembedded."""
    # The dearest matrix product is needed once a row. As a strided view it would be made row by row, 6 times slower.
    cut = ("unembed.hook_in", lambda x, hook: x[:, -1:].contiguous())
    found = model.run_with_hooks(tokens, fwd_hooks=[*hooks, cut], return_type=return_type, **options)
    return (found[0][:, -1], found[1]) if isinstance(found, tuple) else found[:, -1]


def _names(model: TransformerBridge, component: str) -> list[str]:
    return [f"blocks.{layer}.{_HOOKS[component]}" for layer in range(model.cfg.n_layers)]


def _by_head(model: TransformerBridge, z: Tensor) -> Tensor:
    """(..., n_heads * d_head) or (..., n_heads, d_head) -> (..., n_heads, d_head): bridges hand out both."""
    heads = model.cfg.n_heads
    if z.shape[-2:] == (heads, model.cfg.d_head):
        return z
    return z.reshape(*z.shape[:-1], heads, -1)


def _layers(model: TransformerBridge, layers: Iterable[int] | None, ascending: bool = False) -> list[int]:
    n_layers = model.cfg.n_layers
    chosen = list(range(n_layers)) if layers is None else [int(layer) for layer in layers]
    if not chosen or len(set(chosen)) != len(chosen) or not all(0 <= layer < n_layers for layer in chosen):
        raise ValueError(f"layers must be different whole numbers from 0 to {n_layers - 1}, got {chosen}")
    if ascending and chosen != sorted(chosen):
        raise ValueError(f"layers must be in ascending order here, got {chosen}")
    return chosen


def _check_component(component: str) -> None:
    if component not in _HOOKS:
        raise ValueError(f"component must be one of {', '.join(_HOOKS)}, got {component!r}")


def _check_where(model: TransformerBridge, where: Tensor, n_pos: int, component: str) -> None:
    expected = (n_pos, model.cfg.n_heads) if component == "head" else (n_pos,)
    if where.dtype != torch.bool or where.ndim != 1 + len(expected) or tuple(where.shape[1:]) != expected:
        raise ValueError(
            f"where must be a bool mask of shape (site, {', '.join(map(str, expected))}), "
            f"got {where.dtype} {tuple(where.shape)}"
        )


def _check_source(model: TransformerBridge, source: Tensor, n_pos: int) -> None:
    if tuple(source.shape[:2]) != (model.cfg.n_layers, n_pos):
        raise ValueError(
            f"source must begin with (n_layers, pos) = ({model.cfg.n_layers}, {n_pos}), got {tuple(source.shape)}: "
            "it has to come from a prompt of the same length"
        )


def _check_ids(name: str, tokens: Tensor) -> None:
    if not isinstance(tokens, Tensor):
        raise TypeError(f"{name} must be a tensor of token ids, got {type(tokens).__name__}")
    if tokens.ndim != 1 or tokens.is_floating_point() or tokens.dtype == torch.bool or len(tokens) < 2:
        raise ValueError(
            f"{name} must be a 1-d tensor of at least two token ids, got {tokens.dtype} {tuple(tokens.shape)}"
        )


def _check_baseline(inputs: Tensor, baseline: Tensor | None) -> Tensor:
    if baseline is None:
        return torch.zeros_like(inputs)
    if baseline.shape != inputs.shape:
        raise ValueError(f"baseline must have shape {tuple(inputs.shape)}, got {tuple(baseline.shape)}")
    return baseline
