"""The local replacement model and its attribution graph: sums that are the model's, edges that autograd agrees with."""

from dataclasses import replace

import pytest
import torch

from tests.conftest import save_tiny_model
from tests.standin import LAYERS, TOKENS, D, awake, awake_llama, three_transcoders
from utils import models
from utils.standin import random_transcoder
from utils.standin.frozen import freeze
from utils.standin.graph import attribute, attribute_in, top_logits, unit_effects
from utils.standin.replacement import RULES, latent_replacement, neuron_replacement


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return awake_llama(tmp_path_factory.mktemp("standin"))


@pytest.fixture(scope="module")
def transcoders():
    return three_transcoders()


@pytest.fixture(scope="module", params=["gpt2", "qwen2", "gpt_neox"])
def other(request, tmp_path_factory):
    """LayerNorm and biases; biases of values in grouped-query attention; attention and MLP side by side."""
    folder = save_tiny_model(tmp_path_factory.mktemp(request.param), request.param)
    return awake(models.load_model(folder, device="cpu"))


# ------------------------------------------------------------------------------------------ the local replacement model


def model_logits(model):
    with torch.no_grad():
        return model(torch.tensor([TOKENS]))[0, -1]


@pytest.mark.parametrize("rule", RULES)
def test_with_neurons_it_gives_the_models_logits(llama, rule):
    replacement = neuron_replacement(llama, TOKENS, rule)
    assert (replacement.run().logits - model_logits(llama)).abs().max() < 1e-3
    assert replacement.unexplained == 0


def test_with_latents_skip_and_error_it_gives_the_models_logits(llama, transcoders):
    replacement = latent_replacement(llama, TOKENS, transcoders)
    assert (replacement.run().logits - model_logits(llama)).abs().max() < 1e-3
    assert replacement.unexplained > 0.5  # nobody trained these
    for layer, units in enumerate(replacement.units):
        x = replacement.frozen.blocks[layer].mlp_in
        torch.testing.assert_close(units.output(x, units.values) - units.error, transcoders[layer](x))


def test_other_architectures_give_their_logits_too(other):
    n = other.cfg.n_layers
    set_of_two = {b: random_transcoder(b, D, 48, k=6, skip=b == 1) for b in range(n)}
    for replacement in (neuron_replacement(other, TOKENS), latent_replacement(other, TOKENS, set_of_two)):
        assert (replacement.run().logits - model_logits(other)).abs().max() < 1e-3
        graph = attribute_in(replacement, [3, 8], ["a", "b"], max_nodes=60)
        assert graph.missing.abs().max() < 1e-4


def test_a_native_bridge_without_a_tokenizer_works():
    from transformer_lens.config import TransformerBridgeConfig
    from transformer_lens.model_bridge import TransformerBridge

    config = TransformerBridgeConfig(
        d_model=16, n_layers=2, n_heads=2, d_head=8, n_ctx=16, d_vocab=40, d_mlp=32, act_fn="gelu"
    )
    native = TransformerBridge.boot_native(config)
    graph = attribute(native, [1, 2, 3], max_nodes=10)
    assert graph.words == ["<1>", "<2>", "<3>"] and graph.missing.abs().max() < 1e-4


def test_many_runs_at_once_are_each_of_them(llama, transcoders):
    for replacement in (latent_replacement(llama, TOKENS, transcoders), neuron_replacement(llama, TOKENS)):
        starts = torch.stack([replacement.frozen.embedding * s for s in (1.0, 0.5)])
        together = replacement.run(embedding=starts)
        for k, start in enumerate(starts):
            alone = replacement.run(embedding=start)
            torch.testing.assert_close(together.logits[k], alone.logits, atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(together.values[1][k], alone.values[1], atol=1e-4, rtol=1e-4)


# ---------------------------------------------------------------------------------------------------- rows that add up


def test_all_that_enters_a_latent_or_a_logit_adds_up_to_it(llama, transcoders):
    graph = attribute(llama, TOKENS, transcoders, max_nodes=None, constant_start=False)
    replacement = latent_replacement(llama, TOKENS, transcoders)
    assert len(graph.units) == graph.n_active == sum(int((u.values != 0).sum()) for u in replacement.units)
    assert graph.missing.abs().max() < 1e-3
    for i in range(0, len(graph.units), 7):
        layer, position, unit = graph.units[i].tolist()
        before = transcoders[layer].pre_activations(replacement.frozen.blocks[layer].mlp_in)[position, unit]
        assert float(graph.adjacency[i].sum() + graph.bias[i]) == pytest.approx(float(before), abs=1e-3)
    logits = model_logits(llama)
    first = graph.places("logit").start
    for k, token in enumerate(graph.logit_ids):
        wanted = float(logits[token] - logits.mean())
        assert float(graph.adjacency[first + k].sum() + graph.bias[first + k]) == pytest.approx(wanted, abs=1e-3)


@pytest.mark.parametrize("rule", ["half", "gate held", "value held"])
def test_all_that_enters_a_neuron_adds_up_to_it_by_the_rules_that_share_it_out(llama, rule):
    graph = attribute(llama, TOKENS, rule=rule, max_nodes=150)
    assert graph.missing.abs().max() < 1e-3
    assert graph.rule == rule and graph.n_active > 150


def test_the_start_tokens_mlps_are_constants_where_that_is_asked_for(llama, transcoders):
    for some in (transcoders, None):
        live = attribute(llama, TOKENS, some, max_nodes=60, constant_start=False)
        held = attribute(llama, TOKENS, some, max_nodes=60)  # the prompt begins with the start token
        assert held.constant_start and not live.constant_start and held.n_active < live.n_active
        assert (live.units[:, 1] == 0).any() and not (held.units[:, 1] == 0).any()
        assert held.missing.abs().max() < 1e-3
        at_start = [held.places("error").start + block * len(TOKENS) for block in range(LAYERS)]
        assert not held.adjacency[:, at_start].any() and held.adjacency[:, held.places("embedding").start].any()
        both = [[g.find(*place) for g in (live, held)] for place in held.units.tolist() if place in live.units.tolist()]
        a, b = torch.tensor(both).T
        torch.testing.assert_close(live.adjacency[a][:, a], held.adjacency[b][:, b], atol=1e-4, rtol=1e-3)
    assert not attribute(llama, TOKENS[1:], transcoders).constant_start


def test_by_the_derivative_it_does_not(llama):
    graph = attribute(llama, TOKENS, rule="gradient", max_nodes=150)
    logits, units = graph.missing[graph.places("logit")], graph.missing[graph.places("unit")]
    assert logits.abs().max() < 1e-3  # nothing bends between the last neurons and a logit
    assert units.abs().max() > 0.1


def test_units_left_out_are_in_the_errors(llama, transcoders):
    whole = attribute(llama, TOKENS, transcoders, max_nodes=None)
    few = attribute(llama, TOKENS, transcoders, max_nodes=20)
    assert len(few.units) == 20 and few.n_active == whole.n_active == len(whole.units)
    assert few.missing.abs().max() < 1e-3
    logit = whole.adjacency[-1], few.adjacency[-1]
    kept = [whole.find(*place) for place in few.units.tolist()]
    torch.testing.assert_close(logit[1][:20], logit[0][kept])
    both = [g.adjacency[-1][g.places("unit")].sum() + g.adjacency[-1][g.places("error")].sum() for g in (whole, few)]
    assert float(both[0]) == pytest.approx(float(both[1]), abs=1e-3)


def test_those_kept_are_the_ones_with_the_largest_total_effect(llama):
    replacement = neuron_replacement(llama, TOKENS)
    ids = top_logits(replacement.frozen.logits)
    graph = attribute_in(replacement, ids, [str(i) for i in ids], max_nodes=25)
    readout = replacement.frozen.W_U[:, ids].T - replacement.frozen.W_U.mean(1)
    effects = torch.stack(unit_effects(replacement, readout))  # (block, target, pos, unit)
    score = torch.einsum("t,btpu->bpu", graph.probabilities, effects.abs())
    kept = [float(score[tuple(place)]) for place in graph.units.tolist()]
    assert sorted(kept) == pytest.approx(score.flatten().topk(25).values.sort().values.tolist())


# ------------------------------------------------------------------------------------------------ edges, by another way


def linear_logits(replacement, values, ids):
    """Centred logits if units had these values: all else held."""
    stream = replacement.frozen.embedding
    for block, units, made in zip(replacement.frozen.blocks, replacement.units, values):
        middle = stream + block.attention(stream)
        x = block.norm2(stream if block.parallel else middle)
        stream = middle + units.output(x, made)
    logits = replacement.frozen.unembed(stream)
    return (logits - logits.mean())[ids]


def test_edges_into_logits_are_autograds(llama, transcoders):
    for replacement in (latent_replacement(llama, TOKENS, transcoders), neuron_replacement(llama, TOKENS)):
        ids = [3, 17]
        graph = attribute_in(replacement, ids, ["a", "b"], max_nodes=40)
        values = [units.values.clone().requires_grad_() for units in replacement.units]
        with torch.enable_grad():
            gradients = torch.autograd.grad(linear_logits(replacement, values, ids)[1], values)
        for i, (layer, position, unit) in enumerate(graph.units.tolist()):
            wanted = float(gradients[layer][position, unit] * replacement.units[layer].values[position, unit])
            assert float(graph.adjacency[-1, i]) == pytest.approx(wanted, abs=1e-4)


def test_edges_into_latents_are_autograds_through_attention_and_the_skip(llama, transcoders):
    replacement = latent_replacement(llama, TOKENS, transcoders)
    graph = attribute_in(replacement, [3], ["a"], max_nodes=None)
    target = int((graph.units[:, 0] == 2).nonzero()[-1])
    _, position, unit = graph.units[target].tolist()
    values = [units.values.clone().requires_grad_() for units in replacement.units]
    embedding = replacement.frozen.embedding.clone().requires_grad_()
    with torch.enable_grad():
        stream = embedding
        for layer, (block, units) in enumerate(zip(replacement.frozen.blocks, replacement.units)):
            middle = stream + block.attention(stream)
            x = block.norm2(middle)
            if layer == 2:
                read = (x @ transcoders[2].W_enc)[position, unit]
                break
            stream = middle + units.output(x, values[layer])
        gradients = torch.autograd.grad(read, [embedding, *values[:2]])
    row = graph.adjacency[target]
    torch.testing.assert_close(
        row[graph.places("embedding")], (gradients[0] * embedding).sum(-1).detach(), atol=1e-4, rtol=1e-4
    )
    for i, (layer, at, number) in enumerate(graph.units.tolist()):
        made = replacement.units[layer].values[at, number]
        wanted = float(gradients[layer + 1][at, number] * made) if layer < 2 else 0.0
        assert float(row[i]) == pytest.approx(wanted, abs=1e-4)


def test_edges_lead_upwards_and_never_back_in_the_prompt(llama, transcoders):
    for graph in (attribute(llama, TOKENS, transcoders), attribute(llama, TOKENS, max_nodes=100)):
        target, source = graph.adjacency.nonzero().T
        assert (graph.order[source] < graph.order[target]).all()
        assert (graph.positions[source] <= graph.positions[target]).all()
        assert not graph.adjacency[graph.places("error")].any() and not graph.adjacency[graph.places("embedding")].any()


def test_the_size_of_batches_changes_nothing(llama, transcoders):
    one, other = (attribute(llama, TOKENS, transcoders, batch_size=size) for size in (3, 500))
    torch.testing.assert_close(one.adjacency, other.adjacency, atol=1e-5, rtol=1e-4)


def test_total_effects_are_direct_ones_and_those_through_units(llama, transcoders):
    graph = attribute(llama, TOKENS, transcoders, max_nodes=None)
    n = len(graph.units)
    through = graph.adjacency.clone()
    through[:n] /= graph.totals[:n, None]
    through[n:] = 0
    wanted = graph.adjacency @ torch.linalg.inv(torch.eye(len(graph)) - through)
    torch.testing.assert_close(graph.total_effects(list(range(len(graph)))), wanted, atol=1e-3, rtol=1e-3)
    embedded = graph.total_effects()[:, graph.places("embedding")]
    assert embedded.shape == (len(graph.logit_ids), len(TOKENS))


# --------------------------------------------------------------------------------------------------------------- nodes


def test_nodes_say_what_they_are(llama, transcoders):
    graph = attribute(llama, TOKENS, transcoders, targets=["a", 5], max_nodes=10)
    assert len(graph) == 10 + LAYERS * len(TOKENS) + len(TOKENS) + 2
    kinds = [graph.node(i).kind for i in range(len(graph))]
    assert kinds == ["unit"] * 10 + ["error"] * 18 + ["embedding"] * 6 + ["logit"] * 2
    assert graph.node(10 + 7).layer == 1 and graph.node(10 + 7).position == 1
    assert graph.find(*graph.units[4].tolist()) == 4
    assert str(graph.node(len(graph) - 1)) == f"logit {graph.logit_words[1]!r}"
    assert "error" in str(graph.node(10)) and "unit" in str(graph.node(0)) and "embedding" in str(graph.node(28))
    with pytest.raises(ValueError, match="no node of this graph"):
        graph.find(0, 0, 47_000)
    with pytest.raises(ValueError, match="node must be at most"):
        graph.node(len(graph))


def test_the_likeliest_tokens_are_as_few_as_hold_the_probability():
    logits = torch.tensor([0.6, 0.3, 0.06, 0.04]).log()
    assert top_logits(logits) == [0, 1, 2]
    assert top_logits(logits, most=2) == [0, 1]
    assert top_logits(logits, probability=0.5) == [0]


# ----------------------------------------------------------------------------------------------------------- bad input


def test_a_prompt_of_one_token_is_refused(llama, transcoders):
    with pytest.raises(ValueError, match="prompt of one token has nothing to attribute to"):
        attribute(llama, [5], transcoders)


def test_a_set_that_does_not_fit_is_refused(llama, transcoders):
    with pytest.raises(ValueError, match="none for block 1"):
        attribute(llama, TOKENS, {b: transcoders[b] for b in (0, 2)})
    with pytest.raises(ValueError, match="of another model"):
        attribute(llama, TOKENS, {b: random_transcoder(b, 16, 48) for b in range(LAYERS)})
    with pytest.raises(ValueError, match="was made for block 1"):
        attribute(llama, TOKENS, {**transcoders, 0: transcoders[1]})
    with pytest.raises(ValueError, match="blocks 0 to 2"):
        attribute(llama, TOKENS, {**transcoders, 3: random_transcoder(3, D, 48)})


def test_nan_is_refused_wherever_it_stands(llama, transcoders):
    broken = replace(transcoders[1], W_dec=transcoders[1].W_dec.clone())
    broken.W_dec[3] = float("nan")  # it was whole when it was made
    with pytest.raises(ValueError, match="NaN"):
        attribute(llama, TOKENS, {**transcoders, 1: broken})
    norm = llama.blocks[1].ln2.original_component.weight
    kept = norm.detach().clone()
    try:
        with torch.no_grad():
            norm.fill_(float("nan"))
        with pytest.raises(ValueError, match="NaN or infinite values on this prompt"):
            freeze(llama, TOKENS)
    finally:
        with torch.no_grad():
            norm.copy_(kept)


@pytest.mark.parametrize(
    ("targets", "error", "message"),
    [
        ([" no such token"], ValueError, r"targets\[0\] ' no such token' is \d+ tokens, not one of the vocabulary"),
        ([""], ValueError, "is 0 tokens"),
        ([100_000], ValueError, "id from 0 to 319"),
        ([3, 3], ValueError, "a token twice"),
        ([], ValueError, "at least one token"),
    ],
    ids=["text", "empty", "id", "twice", "none"],
)
def test_targets_that_are_no_tokens_are_refused(llama, targets, error, message):
    with pytest.raises(error, match=message):
        attribute(llama, TOKENS, targets=targets)


def test_what_has_no_such_form_is_refused(tmp_path, llama):
    gemma = models.load_model(save_tiny_model(tmp_path / "gemma2", "gemma2"), device="cpu")
    with pytest.raises(ValueError, match="norms what attention and MLPs write"):
        attribute(gemma, TOKENS)
    gpt2 = models.load_model(save_tiny_model(tmp_path / "gpt2", "gpt2"), device="cpu")
    with pytest.raises(ValueError, match="have no gate"):
        attribute(gpt2, TOKENS, rule="gate held")
    with pytest.raises(ValueError, match="max_nodes must be given for neurons"):
        attribute(llama, TOKENS, max_nodes=None)


# -------------------------------------------------------------------------------------------------------- the specimen


@pytest.mark.slow
@pytest.mark.specimen
def test_the_specimens_neurons_add_up(specimen):
    from utils.reading.tokens import text_tokens

    tokens = text_tokens(specimen, "The city of San")[0]
    replacement = neuron_replacement(specimen, tokens)
    with torch.no_grad():
        logits = specimen(tokens[None])[0, -1]
    assert (replacement.run().logits - logits).abs().max() < 1e-3 * (logits - logits.mean()).abs().max()
    graph = attribute(specimen, tokens, max_nodes=100)
    size = graph.adjacency.abs().sum(1) + graph.bias.abs() + 1
    assert (graph.missing.abs() / size).max() < 1e-4
