"""Is the graph right? Edges held against interventions, graphs that mean nothing, and graphs that should agree.

A graph is a claim: "this node, at its value here, put so much into that one." It is tested by changing the node and
looking. Three worlds to look in, from the graph's own to the model's:

- everything held ("all"): the local replacement model; attention patterns, norm scales and errors stay. What fails here
  fails because units bend: latents go off, neurons curve.
- patterns held ("patterns"): the model itself, its heads looking where they looked.
- nothing held ("nothing"): the model as it is. What fails only here is attention that looks elsewhere: no edge of the
  graph knows about that.

And what would any graph show? Nulls: `random_encoders`, `shuffled_decoders`, `rewired`; and an untrained model
(`utils.models.random_like`), whose graph is made like any other.
Sources: Ameisen et al. 2025 (methods, validation by perturbation); Maslov & Sneppen 2002, Science 296 (rewiring).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from utils.devices import on_device_of
from utils.inputs import Count, Index, Number, Seed, checked
from utils.progress import tqdm
from utils.reading.recording import plain
from utils.standin.graph import Graph
from utils.standin.pruning import influence
from utils.standin.replacement import Replacement
from utils.standin.transcoders import Transcoder
from utils.statistics import Interval, bootstrap, correlation

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

__all__ = [
    "Agreement",
    "Held",
    "Stability",
    "Ways",
    "agreement",
    "changes",
    "predicted_changes",
    "profile",
    "random_encoders",
    "rewired",
    "shuffled_decoders",
    "stability",
]

_SALT = 0x5EED  # a null must not draw, from an equal seed, the very numbers that the set itself was started with
Held = Literal["all", "patterns", "nothing"]
Ways = Literal["all", "direct"]


# ------------------------------------------------------------------------------------------ edges against interventions


@checked
def predicted_changes(
    graph: Graph, sources: Sequence[Index], scale: Number = 0.0, ways: Ways = "all"
) -> Float[Tensor, "source node"]:
    """How the graph says that every unit's value and every logit change when each source alone is scaled.

    sources: node numbers. scale: 0 takes it away, 2 doubles it, -1 turns it round. ways: "all", through other units
    too, or "direct", the edge alone. Rows of embeddings and errors are 0, as in `changes`.
    """
    _check_sources(graph, sources)
    chosen = list(sources)
    if ways == "direct":
        return (scale - 1) * graph.adjacency[:, chosen].T
    return (scale - 1) * graph.total_effects(list(range(len(graph))))[:, chosen].T


@checked
@torch.no_grad()
def changes(
    replacement: Replacement,
    graph: Graph,
    sources: Sequence[Index],
    scale: Number = 0.0,
    *,
    held: Held = "all",
    ways: Ways = "all",
    model: TransformerBridge | None = None,
    batch_size: Count = 16,
) -> Float[Tensor, "source node"]:
    """How every unit's value and every logit (minus the mean) really change when each source alone is scaled.

    replacement: the one the graph was made in. sources: units or embeddings, by node number. held: see the module's
    head; "patterns" and "nothing" need the model. ways: "direct" also holds all other units, so that only the edge
    itself is left (with held "all" only). Errors and embeddings don't change: 0. Raises ValueError for a source that is
    an error or a logit, for another replacement than the graph's, and for a missing model.
    """
    _check_sources(graph, sources)
    _check_pair(replacement, graph)
    if ways == "direct" and held != "all":
        raise ValueError('ways: "direct" needs held "all": the model itself can\'t hold its units')
    if held != "all" and model is None:
        raise ValueError(f"model must be given where held is {held!r}")
    rows = []
    for some in tqdm(list(torch.tensor(list(sources)).split(batch_size)), desc="changing nodes", leave=False):
        group = some.tolist()
        if held == "all":
            logits, values = _in_replacement(replacement, graph, group, scale, ways)
        else:
            assert model is not None
            logits, values = _in_model(model, replacement, graph, group, scale, held)
        rows.append(_differences(replacement, graph, logits, values))
    return torch.cat(rows)


def _check_sources(graph: Graph, sources: Sequence[int]) -> None:
    if not len(sources):
        raise ValueError("sources must hold at least one node, got none")
    for i in sources:
        if i >= len(graph):
            raise ValueError(f"sources: node {i} is none of the graph's {len(graph)}")
        if graph.kind(i) not in ("unit", "embedding"):
            raise ValueError(f"sources: node {i} is {graph.node(i)}; only units and embeddings can be scaled")


def _check_pair(replacement: Replacement, graph: Graph) -> None:
    same = replacement.basis == graph.basis and torch.equal(replacement.frozen.tokens, graph.tokens)
    if not same or len(replacement.units) != graph.n_layers:
        raise ValueError("replacement: the graph was made of another prompt, model or basis")


def _embeddings(replacement: Replacement, graph: Graph, sources: list[int], scale: float) -> Tensor:
    start = replacement.frozen.embedding.repeat(len(sources), 1, 1)
    for row, i in enumerate(sources):
        if graph.kind(i) == "embedding":
            start[row, graph.node(i).position] *= scale
    return start


def _in_replacement(
    replacement: Replacement, graph: Graph, sources: list[int], scale: float, ways: Ways
) -> tuple[Tensor, list[Tensor]]:
    units = [(row, graph.node(i)) for row, i in enumerate(sources) if graph.kind(i) == "unit"]

    def change(layer: int, made: Tensor) -> Tensor:
        base = replacement.units[layer].values
        found = base.expand_as(made).clone() if ways == "direct" else made.clone()
        for row, node in units:
            if node.layer == layer:
                found[row, node.position, node.index] = scale * base[node.position, node.index]
        return found

    run = replacement.run(change, _embeddings(replacement, graph, sources, scale))
    return run.logits, run.values


def _in_model(
    model: TransformerBridge, replacement: Replacement, graph: Graph, sources: list[int], scale: float, held: Held
) -> tuple[Tensor, list[Tensor]]:
    frozen, n = replacement.frozen, graph.n_layers
    start = _embeddings(replacement, graph, sources, scale)
    pushes: dict[int, Tensor] = {}
    for row, i in enumerate(sources):
        node = graph.node(i)
        if node.kind == "unit":
            push = pushes.setdefault(node.layer, torch.zeros_like(start))
            push[row, node.position] += (scale - 1) * node.value * replacement.units[node.layer].write[node.index]
    seen: dict[int, Tensor] = {}

    def keep(layer: int) -> Callable:
        return lambda x, hook: seen.update({layer: plain(x)})

    def put(value: Tensor) -> Callable:
        return lambda x, hook: value.expand_as(x).to(x)

    def add(value: Tensor) -> Callable:
        return lambda x, hook: x + value.to(x)

    hooks: list[Any] = [("blocks.0.hook_in", put(start))]
    hooks += [(f"blocks.{layer}.mlp.hook_in", keep(layer)) for layer in range(n)]
    hooks += [(f"blocks.{layer}.mlp.hook_out", add(push)) for layer, push in pushes.items()]
    if held == "patterns":
        hooks += [
            (f"blocks.{layer}.attn.hook_pattern", put(block.pattern)) for layer, block in enumerate(frozen.blocks)
        ]
    tokens = on_device_of(model, frozen.tokens.repeat(len(sources), 1))
    logits: Any = model.run_with_hooks(tokens, fwd_hooks=hooks, return_type="logits")
    return plain(logits[:, -1]), [units.at(seen[layer]) for layer, units in enumerate(replacement.units)]


def _differences(replacement: Replacement, graph: Graph, logits: Tensor, values: list[Tensor]) -> Tensor:
    found = torch.zeros(len(logits), len(graph))
    for layer, made in enumerate(values):
        here = (graph.units[:, 0] == layer).nonzero()[:, 0]
        _, positions, numbers = graph.units[here].T
        found[:, here] = made[:, positions, numbers] - replacement.units[layer].values[positions, numbers]
    base = replacement.frozen.logits
    moved = (logits - logits.mean(-1, keepdim=True)) - (base - base.mean())
    found[:, graph.places("logit")] = moved[:, graph.logit_ids]
    return found


@dataclass(frozen=True)
class Agreement:
    """Predicted beside measured. correlation: Pearson's, over pairs, sources as units; same_sign: share of pairs;
    chance: the share that independent signs would give. slope: measured per predicted. pairs, sources: how many."""

    correlation: Interval
    same_sign: Interval
    chance: float
    slope: float
    pairs: int
    sources: int


@checked
def agreement(
    graph: Graph,
    sources: Sequence[Index],
    predicted: Float[Tensor, "source node"],
    measured: Float[Tensor, "source node"],
    targets: Sequence[Index] | None = None,
) -> Agreement:
    """Hold predicted changes against measured ones, for all targets that lie behind a source.

    predicted, measured: from `predicted_changes` and `changes`, for the same sources. targets: node numbers; None for
    the logits. Pairs whose prediction is 0 (nothing leads there) are left out. Raises ValueError for fewer than three
    sources with a target.
    """
    if len(sources) != len(predicted):
        raise ValueError(f"sources must hold one node a row, got {len(sources)} for {len(predicted)} rows")
    if predicted.shape[1] != len(graph):
        raise ValueError(f"predicted must have a column a node ({len(graph)}), got {predicted.shape[1]}")
    columns = list(range(len(graph)))[graph.places("logit")] if targets is None else list(targets)
    if not columns:
        raise ValueError("targets must hold at least one node, got none")
    outside = [t for t in columns if t >= len(graph)]
    if outside:
        raise ValueError(f"targets: node {outside[0]} is none of the graph's {len(graph)}")
    expected, seen = predicted[:, columns].numpy(), measured[:, columns].numpy()
    pair = expected != 0
    names = np.repeat(np.arange(len(sources)), pair.sum(1))
    if len(set(names.tolist())) < 3:
        raise ValueError("sources: fewer than three of them lead to a target; nothing can be compared")
    x, y = expected[pair].astype(float), seen[pair].astype(float)
    same = (np.sign(x) == np.sign(y)).astype(float)
    up, down = (x > 0).mean(), (y > 0).mean()
    groups = names.tolist()
    return Agreement(
        correlation=correlation(x, y, groups),
        same_sign=bootstrap(same, groups=groups),
        chance=float(up * down + (1 - up) * (1 - down)),
        slope=float((x * y).sum() / (x * x).sum()),
        pairs=len(x),
        sources=len(set(groups)),
    )


# ---------------------------------------------------------------------------------------------------------------- nulls


@checked
def random_encoders(transcoders: Mapping[int, Transcoder], seed: Seed = 0) -> dict[int, Transcoder]:
    """The same set with encoder directions drawn at random, each as long as the trained one; decoders stay.

    Latents then come on for no reason (as many of them with TopK; with thresholds the number may differ), and errors
    grow. What a graph of these still shows needs no trained reading.
    """
    draw = torch.Generator().manual_seed(seed ^ _SALT)

    def fresh(W: Tensor) -> Tensor:
        drawn = torch.randn(W.shape, generator=draw).to(W)
        return drawn / drawn.norm(dim=0) * W.norm(dim=0)

    return {layer: replace(one, W_enc=fresh(one.W_enc)) for layer, one in sorted(transcoders.items())}


@checked
def shuffled_decoders(transcoders: Mapping[int, Transcoder], seed: Seed = 0) -> dict[int, Transcoder]:
    """The same set with decoder rows dealt out anew within each block: latents read as trained, write another's row."""
    draw = torch.Generator().manual_seed(seed ^ _SALT)
    return {
        layer: replace(one, W_dec=one.W_dec[torch.randperm(len(one.W_dec), generator=draw)])
        for layer, one in sorted(transcoders.items())
    }


@checked
def rewired(graph: Graph, edges: Bool[Tensor, "node node"], seed: Seed = 0, swaps: Count = 10) -> Graph:
    """A random graph of the same degrees: pairs of edges swap their sources, again and again.

    edges: those kept, (target, source), as in `Pruned.edges`; all others are gone. Each node keeps how many edges leave
    and enter it, and each target the very weights that enter it; edges still lead upwards and never back in the prompt.
    swaps: tries an edge. Its scores, and a drawing of it, show what degrees alone give. Raises ValueError for fewer
    than two edges.
    """
    if edges.shape != graph.adjacency.shape:
        raise ValueError(f"edges must have shape {tuple(graph.adjacency.shape)}, got {tuple(edges.shape)}")
    listed = [tuple(edge) for edge in edges.nonzero().tolist()]
    if len(listed) < 2:
        raise ValueError(f"edges must hold at least two edges to swap, got {len(listed)}")
    weights = [float(graph.adjacency[target, source]) for target, source in listed]
    order, positions = graph.order.tolist(), graph.positions.tolist()
    draw, there = random.Random(seed), set(listed)

    def allowed(target: int, source: int) -> bool:
        return (
            order[source] < order[target] and positions[source] <= positions[target] and (target, source) not in there
        )

    for _ in range(swaps * len(listed)):
        i, j = draw.randrange(len(listed)), draw.randrange(len(listed))
        (target_i, source_i), (target_j, source_j) = listed[i], listed[j]
        if source_i == source_j or target_i == target_j:
            continue
        if allowed(target_i, source_j) and allowed(target_j, source_i):
            there -= {listed[i], listed[j]}
            listed[i], listed[j] = (target_i, source_j), (target_j, source_i)
            there |= {listed[i], listed[j]}
    adjacency = torch.zeros_like(graph.adjacency)
    for (target, source), weight in zip(listed, weights):
        adjacency[target, source] = weight
    return replace(graph, adjacency=adjacency)


# --------------------------------------------------------------------------------------------- graphs that should agree

Key = Literal["unit", "place", "block"]


@checked
def profile(graph: Graph, by: Key = "unit") -> dict[tuple[int, ...], float]:
    """The influence of a graph's units added up by key, as shares of their sum.

    by: "unit", (block, number) over all positions: same units, another prompt; "place", (block, position): same prompt,
    another set of transcoders, whose numbers mean nothing here; "block".
    """
    found: dict[tuple[int, ...], float] = {}
    flow = influence(graph)[graph.places("unit")].tolist()
    for (layer, position, index), share in zip(graph.units.tolist(), flow):
        key = {"unit": (layer, index), "place": (layer, position), "block": (layer,)}[by]
        found[key] = found.get(key, 0.0) + share
    total = sum(found.values())
    return {key: value / total for key, value in found.items()} if total else found


@dataclass(frozen=True)
class Stability:
    """Two graphs' profiles. overlap: the sum of the smaller shares, 1 for equal profiles, 0 for nothing shared.
    top: the share of the first's `n` strongest keys that are among the second's. keys: how many either has."""

    overlap: float
    top: float
    n: int
    keys: int


@checked
def stability(first: Graph, second: Graph, by: Key = "unit", n: Count = 20) -> Stability:
    """How far two graphs tell the same story: of paraphrases (by "unit"), or of seeds (by "place" or "block").

    Needs a null beside it: two unrelated prompts share units too (those that are always on). Raises ValueError if the
    graphs are of different bases.
    """
    if first.basis != second.basis:
        raise ValueError(f"second must be in the first's basis ({first.basis}), got {second.basis}")
    one, other = profile(first, by), profile(second, by)
    strongest = [set(sorted(p, key=lambda key: -p[key])[:n]) for p in (one, other)]
    shorter = max(1, min(len(strongest[0]), len(strongest[1])))
    return Stability(
        overlap=sum(min(one[key], other[key]) for key in one.keys() & other.keys()),
        top=len(strongest[0] & strongest[1]) / shorter,
        n=shorter,
        keys=len(one.keys() | other.keys()),
    )
