"""From thousands of edges to a drawing: influence, pruning, scores, and nodes put together by hand.

Influence is a walk backwards from the logits (each as likely as the model says): from every node to its sources, in
proportion to the absolute size of what they put in. It measures traffic, not effect: two edges that cancel each other
both count.

Sources: Ameisen et al. 2025 (transformer-circuits.pub/2025/attribution-graphs/methods.html, "Graph pruning", "Graph
scores"), and as circuit-tracer 0.5 computes them, held to its arithmetic by a test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from utils.inputs import Index, Share, checked
from utils.standin.graph import Graph

__all__ = ["Grouped", "Pruned", "Scores", "group", "influence", "normalised", "prune", "scores"]


@checked
def normalised(adjacency: Float[Tensor, "node node"]) -> Float[Tensor, "node node"]:
    """Absolute weights, each row's adding up to 1 (rows without sources stay 0)."""
    size = adjacency.abs()
    return size / size.sum(1, keepdim=True).clamp(min=1e-10)


@checked
def influence(graph: Graph, adjacency: Float[Tensor, "node node"] | None = None) -> Float[Tensor, " node"]:
    """How much of the logits' traffic comes through each node: 1 would be all of it. Logits themselves have none.

    adjacency: another one for the same nodes (pruned, rewired); None for the graph's own.
    """
    shares = normalised(graph.adjacency if adjacency is None else adjacency)
    return _flow(shares, _start(graph), graph.n_layers)


def _start(graph: Graph) -> Tensor:
    start = torch.zeros(len(graph))
    start[graph.places("logit")] = graph.probabilities
    return start


def _flow(shares: Tensor, start: Tensor, n_layers: int) -> Tensor:
    step = start @ shares
    found = step.clone()
    for _ in range(n_layers + 1):  # an edge goes up at least one floor: nothing is left then
        step = step @ shares
        found += step
    return found


@dataclass(frozen=True)
class Pruned:
    """What is kept. nodes: (node,); edges: (node, node), row: target. cumulative: (node,), the share of all influence
    that this node and all more influential ones hold: a node with .6 is kept from a threshold of .6 on."""

    nodes: Bool[Tensor, " node"]
    edges: Bool[Tensor, "node node"]
    cumulative: Float[Tensor, " node"]


@checked
def prune(graph: Graph, node_threshold: Share = 0.8, edge_threshold: Share = 0.98) -> Pruned:
    """Keep the fewest nodes that hold a share of all influence, then the fewest edges among them that do.

    Embeddings and logits always stay; a unit stays only with an edge in and an edge out, an error with one out. The
    thresholds are the published defaults.
    """
    start, n_units = _start(graph), len(graph.units)
    inner = graph.places("embedding").start  # units and errors come before
    node_influence = influence(graph)
    nodes = node_influence >= _threshold(node_influence, node_threshold)
    nodes[inner:] = True
    kept = graph.adjacency * nodes[:, None] * nodes
    shares = normalised(kept)
    edge_influence = shares * (_flow(shares, start, graph.n_layers) + start)[:, None]
    edges = (edge_influence >= _threshold(edge_influence.flatten(), edge_threshold)) & (edge_influence > 0)
    while True:
        before = int(nodes.sum())
        nodes[:inner] &= edges[:, :inner].any(0)
        nodes[:n_units] &= edges[:n_units].any(1)
        edges &= nodes[:, None] & nodes
        if int(nodes.sum()) == before:
            break
    ordered, at = node_influence.sort(descending=True)
    cumulative = torch.zeros(len(graph))
    cumulative[at] = ordered.cumsum(0) / ordered.sum().clamp(min=1e-10)
    return Pruned(nodes, edges, cumulative)


def _threshold(scores: Tensor, share: float) -> Tensor:
    """The smallest of the scores that are needed to hold a share of them all."""
    ordered = scores.sort(descending=True).values
    reached = ordered.cumsum(0) / ordered.sum().clamp(min=1e-10)
    return ordered[min(int(torch.searchsorted(reached, share)), len(ordered) - 1)]


@dataclass(frozen=True)
class Scores:
    """replacement: of the traffic that ends in embeddings or errors, the share that ends in embeddings: whole ways
    explained. completeness: the share of inputs that aren't errors, nodes weighted by influence: steps explained."""

    replacement: float
    completeness: float


@checked
def scores(graph: Graph, adjacency: Float[Tensor, "node node"] | None = None) -> Scores:
    """Replacement and completeness score of a graph, before pruning, as published.

    adjacency: another one for the same nodes. What units left out of the graph write counts as error (`attribute_in`),
    so scores of neurons are about these neurons, and graphs compare only at the same number of nodes.
    """
    shares = normalised(graph.adjacency if adjacency is None else adjacency)
    start = _start(graph)
    flow = _flow(shares, start, graph.n_layers)
    embedded, errors = float(flow[graph.places("embedding")].sum()), float(flow[graph.places("error")].sum())
    weight = flow + start
    explained = 1 - shares[:, graph.places("error")].sum(1)
    return Scores(
        embedded / max(embedded + errors, 1e-10),
        float((explained * weight).sum() / weight.sum().clamp(min=1e-10)),
    )


# ------------------------------------------------------------------------------------------- nodes put together by hand


@dataclass(frozen=True)
class Grouped:
    """Supernodes. members: name -> node numbers. weight[target, source]: what all members of the source put directly
    into all members of the target; share: the same in absolute sizes, as a share of all that enters the target."""

    names: list[str]
    members: dict[str, list[int]]
    weight: Float[Tensor, "group group"]
    share: Float[Tensor, "group group"]


@checked
def group(graph: Graph, groups: Mapping[str, Sequence[Index]]) -> Grouped:
    """Put nodes together, by hand: name -> node numbers. Edges within a group don't show.

    Adding up hides what cancels; `share` doesn't. Values of different units are in different scales, so compare weights
    into *one* target, not between targets. Raises ValueError for an empty group, an unknown node, a node in two groups.
    """
    if not groups:
        raise ValueError("groups must hold at least one group, got none")
    owner: dict[int, str] = {}
    for name, members in groups.items():
        if not len(members):
            raise ValueError(f"groups: {name!r} is empty")
        for i in members:
            if i >= len(graph):
                raise ValueError(f"groups: node {i} of {name!r} is none of the graph's {len(graph)}")
            if i in owner:
                raise ValueError(f"groups: node {i} is in {owner[i]!r} and in {name!r}")
            owner[i] = name
    names = list(groups)
    member = torch.zeros(len(names), len(graph))
    for k, name in enumerate(names):
        member[k, list(groups[name])] = 1.0
    size = graph.adjacency.abs()
    entering = (member @ size.sum(1)).clamp(min=1e-10)
    weight, share = member @ graph.adjacency @ member.T, member @ size @ member.T / entering[:, None]
    return Grouped(names, {name: [int(i) for i in groups[name]] for name in names}, _hollow(weight), _hollow(share))


def _hollow(square: Tensor) -> Tensor:
    return square * (1 - torch.eye(len(square)))
