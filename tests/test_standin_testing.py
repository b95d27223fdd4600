"""A graph held against interventions, nulls that keep what they say they keep, and graphs that agree."""

import pytest
import torch

from tests.standin import TOKENS, awake_llama, graph_by_hand, three_transcoders
from utils import models
from utils.standin.graph import attribute, attribute_in
from utils.standin.pruning import prune, scores
from utils.standin.replacement import latent_replacement, neuron_replacement
from utils.standin.testing import (
    agreement,
    changes,
    predicted_changes,
    profile,
    random_encoders,
    rewired,
    shuffled_decoders,
    stability,
)


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return awake_llama(tmp_path_factory.mktemp("standin"))


@pytest.fixture(scope="module")
def transcoders():
    return three_transcoders()


@pytest.fixture(scope="module")
def latents(llama, transcoders):
    replacement = latent_replacement(llama, TOKENS, transcoders)
    return replacement, attribute_in(replacement, [3, 17], ["a", "b"], max_nodes=60)


def neurons(llama, rule):
    replacement = neuron_replacement(llama, TOKENS, rule)
    return replacement, attribute_in(replacement, [3, 17], ["a", "b"], max_nodes=60)


def some_units(graph, step=4):
    return list(range(0, len(graph.units), step))


# ------------------------------------------------------------------------------------------ edges against interventions


@pytest.mark.parametrize("scale", [0.0, 2.0, -1.0])
def test_an_edge_into_a_logit_is_exactly_what_the_frozen_model_does(llama, latents, scale):
    for replacement, graph in (latents, neurons(llama, "half")):
        sources = [*some_units(graph), graph.places("embedding").start + 2]
        predicted = predicted_changes(graph, sources, scale, ways="direct")
        measured = changes(replacement, graph, sources, scale, ways="direct")
        logits = graph.places("logit")
        torch.testing.assert_close(predicted[:, logits], measured[:, logits], atol=1e-3, rtol=1e-3)


def test_an_edge_into_a_latent_is_exact_while_it_stays_on(latents):
    replacement, graph = latents
    sources = some_units(graph, 1)
    predicted = predicted_changes(graph, sources, 0.999, ways="direct")
    measured = changes(replacement, graph, sources, 0.999, ways="direct")
    torch.testing.assert_close(predicted, measured, atol=1e-4, rtol=1e-2)


def test_small_pushes_go_all_ways_as_the_graph_says_it(llama, transcoders):
    replacement = latent_replacement(llama, TOKENS, transcoders)
    graph = attribute_in(replacement, [3, 17], ["a", "b"], max_nodes=None)
    sources = [0, 5, graph.places("embedding").start]
    predicted = predicted_changes(graph, sources, 0.999)
    measured = changes(replacement, graph, sources, 0.999)
    off = (predicted - measured).abs() > 1e-4 + 0.01 * measured.abs()
    assert off.sum() <= 0.01 * off.numel()  # a latent just above its threshold goes off: that bends, however small


def test_patterns_held_and_nothing_held_are_runs_of_the_model_itself(llama, latents):
    replacement, graph = latents
    node = 3
    layer, position, unit = graph.units[node].tolist()
    push = -graph.values[node] * replacement.units[layer].write[unit]

    def add(x, hook):
        x = x.clone()
        x[:, position] += push
        return x

    def logits(*more):
        with torch.no_grad():
            hooks = [(f"blocks.{layer}.mlp.hook_out", add), *more]
            found = llama.run_with_hooks(torch.tensor([TOKENS]), fwd_hooks=hooks)[0, -1]
        return found - found.mean()

    base = replacement.frozen.logits - replacement.frozen.logits.mean()
    patterns = [
        (f"blocks.{b}.attn.hook_pattern", lambda x, hook, held=block.pattern: held[None])
        for b, block in enumerate(replacement.frozen.blocks)
    ]
    for held, hooks in (("nothing", []), ("patterns", patterns)):
        found = changes(replacement, graph, [node], held=held, model=llama)
        wanted = (logits(*hooks) - base)[graph.logit_ids]
        torch.testing.assert_close(found[0, graph.places("logit")], wanted, atol=1e-4, rtol=1e-3)
    apart = [changes(replacement, graph, [node], held=held, model=llama) for held in ("nothing", "patterns")]
    assert (apart[0] - apart[1]).abs().max() > 1e-3


def test_nothing_changes_at_a_scale_of_one(llama, latents):
    replacement, graph = latents
    for held in ("all", "patterns", "nothing"):
        assert changes(replacement, graph, [1, 2], 1.0, held=held, model=llama).abs().max() < 1e-4


def test_the_rule_that_follows_the_slope_predicts_small_pushes_and_half_credits_half(llama):
    """What a rule is for: "gradient" says what a push does; "half" shares out the value, and foretells half of it."""
    slopes, correlations = {}, {}
    for rule in ("half", "gate held", "value held", "gradient"):
        replacement, graph = neurons(llama, rule)
        sources, targets = some_units(graph, 2), list(range(len(graph.units)))
        predicted = predicted_changes(graph, sources, 0.98, ways="direct")
        measured = changes(replacement, graph, sources, 0.98, ways="direct")
        found = agreement(graph, sources, predicted, measured, targets)
        slopes[rule], correlations[rule] = found.slope, found.correlation.estimate
    assert slopes["gradient"] == pytest.approx(1, abs=0.05) and correlations["gradient"] > 0.99
    assert 1.5 < slopes["half"] < 2.5
    assert correlations["half"] > max(correlations["gate held"], correlations["value held"])


def test_agreement_is_about_pairs_that_an_edge_connects(latents):
    _, graph = latents
    sources = some_units(graph)
    predicted = predicted_changes(graph, sources)
    found = agreement(graph, sources, predicted, predicted)
    assert found.correlation.estimate == pytest.approx(1) and found.same_sign.estimate == 1
    assert found.slope == pytest.approx(1)
    assert found.pairs == int((predicted[:, graph.places("logit")] != 0).sum())
    turned = agreement(graph, sources, predicted, -2 * predicted)
    assert turned.same_sign.estimate == 0 and turned.slope == pytest.approx(-2)
    draw = torch.randn(predicted.shape, generator=torch.Generator().manual_seed(0))
    noise = agreement(graph, sources, predicted, draw, list(range(len(graph.units))))
    assert noise.same_sign.low < noise.chance < noise.same_sign.high


def test_what_cannot_be_scaled_or_compared_is_refused(llama, latents):
    replacement, graph = latents
    with pytest.raises(ValueError, match="only units and embeddings"):
        changes(replacement, graph, [graph.places("error").start])
    with pytest.raises(ValueError, match="none of the graph's"):
        predicted_changes(graph, [5000])
    with pytest.raises(ValueError, match="at least one node"):
        changes(replacement, graph, [])
    with pytest.raises(ValueError, match="model must be given"):
        changes(replacement, graph, [0], held="nothing")
    with pytest.raises(ValueError, match='needs held "all"'):
        changes(replacement, graph, [0], held="nothing", ways="direct", model=llama)
    with pytest.raises(ValueError, match="another prompt, model or basis"):
        changes(neuron_replacement(llama, TOKENS), graph, [0])
    predicted = predicted_changes(graph, [0, 1, 2])
    with pytest.raises(ValueError, match="one node a row"):
        agreement(graph, [0, 1], predicted, predicted)
    with pytest.raises(ValueError, match="fewer than three"):
        agreement(graph, [0, 1], predicted[:2], predicted[:2])


# --------------------------------------------------------------------------------------------------------------- nulls


def test_random_encoders_keep_lengths_and_decoders(transcoders):
    found = random_encoders(transcoders, seed=1)
    for b, one in transcoders.items():
        torch.testing.assert_close(found[b].W_enc.norm(dim=0), one.W_enc.norm(dim=0))
        assert torch.equal(found[b].W_dec, one.W_dec) and not torch.allclose(found[b].W_enc, one.W_enc)
    assert torch.equal(found[0].W_enc, random_encoders(transcoders, seed=1)[0].W_enc)
    assert not torch.equal(found[0].W_enc, random_encoders(transcoders, seed=2)[0].W_enc)


def test_shuffled_decoders_keep_their_rows(transcoders):
    found = shuffled_decoders(transcoders)
    for b, one in transcoders.items():
        assert torch.equal(found[b].W_enc, one.W_enc) and not torch.equal(found[b].W_dec, one.W_dec)
        torch.testing.assert_close(found[b].W_dec.sum(0), one.W_dec.sum(0), atol=1e-5, rtol=1e-5)


def test_graphs_of_nulls_still_add_up(llama, transcoders):
    for null in (random_encoders(transcoders), shuffled_decoders(transcoders)):
        graph = attribute(llama, TOKENS, null, max_nodes=None)
        assert graph.missing.abs().max() < 1e-3
    untrained = attribute(models.random_like(llama, 3), TOKENS, transcoders)
    assert untrained.missing.abs().max() < 1e-3 and 0 <= scores(untrained).replacement <= 1


def test_a_rewired_graph_keeps_degrees_and_what_enters_each_target():
    graph = graph_by_hand(n_units=40)
    edges = prune(graph, 0.9, 0.7).edges
    found = rewired(graph, edges, seed=3)
    new = found.adjacency != 0
    assert torch.equal(new.sum(0), edges.sum(0)) and torch.equal(new.sum(1), edges.sum(1))
    kept = graph.adjacency * edges
    torch.testing.assert_close(found.adjacency.sum(1), kept.sum(1), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.adjacency.sort(1).values, kept.sort(1).values)
    assert float((new & ~edges).sum() / edges.sum()) > 0.1  # a good part of it is somewhere else now
    target, source = new.nonzero().T
    assert (graph.order[source] < graph.order[target]).all()
    assert (graph.positions[source] <= graph.positions[target]).all()
    assert torch.equal(found.adjacency, rewired(graph, edges, seed=3).adjacency)
    with pytest.raises(ValueError, match="at least two edges"):
        rewired(graph, torch.zeros_like(edges))
    with pytest.raises(ValueError, match="edges must have shape"):
        rewired(graph, edges[:4, :4])


# -------------------------------------------------------------------------------------------- graphs that should agree


def test_a_graph_agrees_with_itself_and_less_with_others(llama, transcoders):
    graph = attribute(llama, TOKENS, transcoders)
    paraphrase = attribute(llama, [*TOKENS[:3], 45, *TOKENS[4:]], transcoders)
    far = attribute(llama, [0, 200, 150, 80, 60, 33], transcoders)
    itself = stability(graph, graph)
    assert itself.overlap == pytest.approx(1) and itself.top == 1
    assert stability(graph, paraphrase).overlap > stability(graph, far).overlap
    for by, width in (("unit", 2), ("place", 2), ("block", 1)):
        shares = profile(graph, by)
        assert sum(shares.values()) == pytest.approx(1) and all(len(key) == width for key in shares)
    other_seed = attribute(llama, TOKENS, three_transcoders(seed=9))
    assert stability(graph, other_seed, "place").overlap > stability(graph, other_seed, "unit").overlap


def test_graphs_of_two_bases_are_not_compared(llama, transcoders):
    with pytest.raises(ValueError, match="first's basis"):
        stability(attribute(llama, TOKENS, transcoders), attribute(llama, TOKENS, max_nodes=20))
