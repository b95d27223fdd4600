"""Influence, pruning, scores and supernodes: circuit-tracer's arithmetic, written another way."""

from dataclasses import replace

import pytest
import torch

from tests.standin import graph_by_hand
from utils.standin.pruning import group, influence, normalised, prune, scores


@pytest.fixture(scope="module")
def graph():
    return graph_by_hand()


def all_ways(graph, adjacency):
    """(I - shares)^-1, the sum over all ways of all lengths."""
    return torch.linalg.inv(torch.eye(len(graph)) - normalised(adjacency))


def weights(graph):
    start = torch.zeros(len(graph))
    start[graph.places("logit")] = graph.probabilities
    return start


def test_influence_is_the_sum_over_all_ways(graph):
    wanted = weights(graph) @ all_ways(graph, graph.adjacency) - weights(graph)
    torch.testing.assert_close(influence(graph), wanted)
    assert not influence(graph)[graph.places("logit")].any()


def test_a_chain_hands_all_of_it_on(graph):
    adjacency = torch.zeros_like(graph.adjacency)
    logit, embedding = graph.places("logit").start, graph.places("embedding").start
    adjacency[logit, 20], adjacency[20, embedding] = -3.0, 0.2
    found = influence(graph, adjacency)
    assert found[20] == pytest.approx(0.5) and found[embedding] == pytest.approx(0.5)
    assert scores(graph, adjacency).replacement == pytest.approx(1.0)


def test_scores_are_those_published(graph):
    ways = all_ways(graph, graph.adjacency)
    flow = weights(graph) @ ways
    embedded = float(flow[graph.places("embedding")].sum())
    errors = float(flow[graph.places("error")].sum())
    found = scores(graph)
    assert found.replacement == pytest.approx(embedded / (embedded + errors), abs=1e-5)
    explained = 1 - normalised(graph.adjacency)[:, graph.places("error")].sum(1)
    assert found.completeness == pytest.approx(float(explained @ flow / flow.sum()), abs=1e-5)


def test_without_errors_both_scores_are_one(graph):
    adjacency = graph.adjacency.clone()
    adjacency[:, graph.places("error")] = 0
    found = scores(graph, adjacency)
    assert found.replacement == pytest.approx(1) and found.completeness == pytest.approx(1)


@pytest.mark.parametrize(("nodes", "edges"), [(0.8, 0.98), (0.5, 0.9), (0.3, 0.5)])
def test_pruning_keeps_what_holds_the_share(graph, nodes, edges):
    found = prune(graph, nodes, edges)
    inner = graph.places("embedding").start
    assert found.nodes[inner:].all()
    assert not (found.edges & ~(found.nodes[:, None] & found.nodes)).any()
    units = graph.places("unit")
    kept = found.nodes.nonzero()[:, 0].tolist()
    for i in kept:
        if i < inner:
            assert found.edges[:, i].any()
        if i < units.stop:
            assert found.edges[i].any()
    flow = influence(graph)
    least = flow[:inner][found.nodes[:inner]].min() if found.nodes[:inner].any() else 0.0
    above = flow > least  # no more influential node is dropped unless it has lost its edges
    assert (found.cumulative[:inner][found.nodes[:inner]] <= nodes + 0.2).all() and above.any()


def test_a_lower_threshold_keeps_fewer(graph):
    sizes = [int(prune(graph, share).nodes.sum()) for share in (0.3, 0.6, 0.9)]
    assert sizes == sorted(sizes) and sizes[0] < sizes[-1]
    whole = prune(graph, 1.0, 1.0)
    assert int(whole.edges.sum()) <= int((graph.adjacency != 0).sum())


def test_cumulative_shares_end_at_one(graph):
    found = prune(graph)
    assert float(found.cumulative.max()) == pytest.approx(1, abs=1e-5)
    top = int(influence(graph).argmax())
    assert found.cumulative[top] == found.cumulative[influence(graph) > 0].min()


def test_groups_add_up(graph):
    late = [int(i) for i in (graph.units[:, 0] == 2).nonzero()[:3, 0]]
    early = [int(i) for i in (graph.units[:, 0] == 0).nonzero()[:2, 0]]
    logit = graph.places("logit").start
    found = group(graph, {"early": early, "late": late, "answer": [logit]})
    assert found.names == ["early", "late", "answer"]
    wanted = sum(float(graph.adjacency[t, s]) for t in late for s in early)
    assert float(found.weight[1, 0]) == pytest.approx(wanted, abs=1e-5)
    assert float(found.weight[0, 1]) == 0 and float(found.weight[1, 1]) == 0
    size = graph.adjacency[late].abs()
    assert float(found.share[1, 0]) == pytest.approx(float(size[:, early].sum() / size.sum()), abs=1e-5)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({}, "at least one group"),
        ({"a": []}, "'a' is empty"),
        ({"a": [1], "b": [1]}, "in 'a' and in 'b'"),
        ({"a": [5000]}, "none of the graph's"),
    ],
    ids=["none", "empty", "twice", "unknown"],
)
def test_groups_that_cannot_be_are_refused(graph, groups, message):
    with pytest.raises(ValueError, match=message):
        group(graph, groups)


def test_a_graph_with_nothing_in_it_is_pruned_to_its_ends(graph):
    empty = replace(graph, adjacency=torch.zeros_like(graph.adjacency))
    found = prune(empty)
    assert not found.edges.any() and int(found.nodes.sum()) == len(graph) - graph.places("embedding").start
    assert scores(empty).replacement == 0
