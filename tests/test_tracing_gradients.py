"""Attribution to parts and to input tokens: it adds up, it is the slope it claims to be, and others find the same."""

from __future__ import annotations

import warnings

import pytest
import torch
from conftest import ARCHITECTURES, save_tiny_model

from utils import tracing
from utils.tracing import gradients

CLEAN = torch.tensor([0, 40, 51, 62, 73, 84, 95])
CORRUPT = torch.tensor([0, 40, 52, 60, 73, 84, 95])
PAIR = tracing.Pair(CLEAN, CORRUPT, answer=10, other=200, subject=(2, 4), name="a / b")
SHORT = tracing.Pair(CLEAN[:6], CORRUPT[:6], 10, 200, (2, 4))  # another length
N_LAYERS, N_HEADS = 2, 4


@pytest.fixture(scope="module", params=ARCHITECTURES)
def model(request, tmp_path_factory):
    from utils import models

    return models.load_model(save_tiny_model(tmp_path_factory.mktemp("tracing"), request.param), device="cpu")


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    from utils import models

    return models.load_model(save_tiny_model(tmp_path_factory.mktemp("tracing"), "llama"), device="cpu")


def difference(model, tokens, hooks=()):
    with torch.no_grad():
        logits = model.run_with_hooks(tokens[None], fwd_hooks=list(hooks), return_type="logits")[0, -1]
    return float(logits[PAIR.answer] - logits[PAIR.other])


# --------------------------------------------------------------------------------------------- direct logit attribution


def test_direct_logit_attribution_adds_up(model, request):
    parts = tracing.direct_logit_attribution(model, CLEAN, 10, 200)
    if "gemma2" not in request.node.name:  # squashes its logits: attributed before the squashing
        assert parts.summed == pytest.approx(parts.total, abs=1e-5)
    assert parts.total == pytest.approx(difference(model, CLEAN), abs=1e-5)
    assert parts.heads.shape == (N_LAYERS, N_HEADS)


def test_heads_add_up_to_their_layer_where_there_is_no_bias(llama):
    parts = tracing.direct_logit_attribution(llama, CLEAN, 10, 200)
    assert torch.allclose(parts.heads.sum(1), parts.attn, atol=1e-6)


def test_direct_attributions_of_many_prompts_are_those_of_each(model):
    prompts, answers, others = [CLEAN, CLEAN[:5], CORRUPT], [10, 20, 200], [200, 30, 10]
    found = tracing.direct_logit_attribution(model, prompts, answers, others, batch_size=2)
    for tokens, couple, got in zip(prompts, zip(answers, others), found):
        alone = tracing.direct_logit_attribution(model, tokens, *couple)
        assert got.total == pytest.approx(alone.total, abs=1e-5) and got.total == difference_of(model, tokens, couple)
        assert got.summed == pytest.approx(alone.summed, abs=1e-5)
        assert torch.allclose(got.heads, alone.heads, atol=1e-5) and torch.allclose(got.mlp, alone.mlp, atol=1e-5)
    with pytest.raises(ValueError, match="answer must hold one token id a prompt, got 1 for 3"):
        tracing.direct_logit_attribution(model, prompts, answers[:1], others)


def difference_of(model, tokens, couple):
    with torch.no_grad():
        logits = model(tokens[None])[0, -1]
    return pytest.approx(float(logits[couple[0]] - logits[couple[1]]), abs=1e-5)


def test_it_is_the_direct_attribution_of_transformer_lens(model, request, tmp_path):
    """`tools.analysis.direct_logit_attribution` folds the final norm into the unembedding; the shares are the same.

    Theirs are "component" (embeddings, then each layer's attention and MLP) and leave out the constants that no
    component writes, which are our `bias`. Gemma-2 they can't fold: its shares are held to their sum, above, only.
    """
    from transformer_lens.tools import analysis

    from utils import models

    architecture = request.node.callspec.params["model"]
    if architecture == "gemma2":
        pytest.skip("its norms after the sublayers aren't folded by TransformerLens' compatibility mode")
    folded = models.load_model(save_tiny_model(tmp_path, architecture), device="cpu")
    folded.enable_compatibility_mode()
    theirs = analysis.direct_logit_attribution(folded, CLEAN[None], 10, 200)
    ours = tracing.direct_logit_attribution(model, CLEAN, 10, 200)
    shares = dict(zip(theirs.labels, theirs.attribution.flatten().tolist()))
    for layer in range(N_LAYERS):
        assert float(ours.attn[layer]) == pytest.approx(shares[f"{layer}_attn_out"], abs=1e-4)
        assert float(ours.mlp[layer]) == pytest.approx(shares[f"{layer}_mlp_out"], abs=1e-4)
    embedded = sum(value for label, value in shares.items() if "embed" in label)
    assert ours.embed == pytest.approx(embedded, abs=1e-4)
    heads = analysis.direct_logit_attribution(folded, CLEAN[None], 10, 200, unit="head")
    by_label = dict(zip(heads.labels, heads.attribution.flatten().tolist()))
    for layer in range(N_LAYERS):
        for head in range(N_HEADS):
            assert float(ours.heads[layer, head]) == pytest.approx(by_label[f"L{layer}H{head}"], abs=1e-4)


# ------------------------------------------------------------------------------------------------- attribution patching


@pytest.mark.parametrize("component", ["resid", "attn", "mlp", "head"])
def test_attribution_patching_is_the_slope_of_patching(model, component):
    """For a step of one hundredth of the way the straight line and the model must agree."""
    clean, base = tracing.record(model, CLEAN, component), tracing.record(model, CORRUPT, component)
    step = 1e-2
    source = base + step * (clean - base)
    where = tracing.position_classes(PAIR)
    if component == "head":
        where = where[..., None].expand(-1, -1, N_HEADS)
    places = tracing.patching_parts(model, PAIR, [component])[component].estimate  # (layer, pos) or (layer, pos, head)
    estimate = places.flatten(1) @ where.flatten(1).float().T * step
    exact = tracing.patch(model, PAIR, where, component, source=source) - difference(model, CORRUPT)
    assert torch.allclose(estimate, exact, atol=2e-2 * float(exact.abs().max()) + 1e-6)


def test_gradients_along_a_line_are_the_mean_of_those_at_its_points(llama):
    """EAP-IG by hand: the corrupt prompt's embeddings moved towards the clean one's, one gradient a point."""
    ends = tracing.input_residual(llama, CORRUPT), tracing.input_residual(llama, CLEAN)
    slopes = [
        tracing.input_gradient(llama, CORRUPT, torch.lerp(*ends, (k + 0.5) / 3), PAIR.answer, PAIR.other)
        for k in range(3)
    ]
    found = tracing.patching_parts(llama, PAIR, ("resid",), steps=3)["resid"]
    assert torch.allclose(found.gradient[0], torch.stack(slopes).mean(0), atol=1e-5)
    assert torch.equal(found.corrupt, tracing.patching_parts(llama, PAIR)["resid"].corrupt)
    # At the embeddings this is integrated gradients: with many points it adds up to the whole effect.
    many = tracing.patching_parts(llama, PAIR, ("resid",), steps=50)["resid"].estimate[0].sum()
    assert float(many) == pytest.approx(difference(llama, CLEAN) - difference(llama, CORRUPT), abs=1e-4)


def test_parts_of_many_pairs_are_those_of_each(model):
    pairs = [PAIR, PAIR.swapped(), SHORT]
    together = tracing.patching_parts(model, pairs, ("resid", "head"), batch_size=2)
    for pair, parts in zip(pairs, together):
        alone = tracing.patching_parts(model, pair, ("resid", "head"))
        for component, (clean, base, gradient) in parts.items():
            assert torch.allclose(clean, tracing.record(model, pair.clean, component), atol=1e-5)
            assert torch.allclose(base, tracing.record(model, pair.corrupt, component), atol=1e-5)
            assert torch.allclose(gradient, alone[component].gradient, atol=1e-5)


def test_the_estimates_are_those_of_transformer_lens(model):
    """`tools.analysis.attribution_patch` scores nodes: the embedding, each head's z and each MLP at each position."""
    from transformer_lens.tools import analysis

    model.original_model.requires_grad_(True)  # theirs sets out from the weights, ours from the embeddings
    try:
        theirs = analysis.attribution_patch(
            model, CLEAN[None], CORRUPT[None], lambda logits: logits[0, -1, PAIR.answer] - logits[0, -1, PAIR.other]
        )
    finally:
        model.original_model.requires_grad_(False)
    ours = tracing.patching_parts(model, PAIR, ["head", "mlp"])
    compared = 0
    for node, score in theirs.node_scores.items():
        if node.kind == "attn_head_out":
            got = ours["head"].estimate[node.layer, node.position, node.head]
        elif node.kind == "mlp_out":
            got = ours["mlp"].estimate[node.layer, node.position]
        else:
            continue
        assert float(got) == pytest.approx(score, abs=1e-4), node
        compared += 1
    assert compared == N_LAYERS * len(CLEAN) * (N_HEADS + 1)


def test_attribution_patching_leaves_no_gradients_on_the_weights(llama):
    tracing.patching_parts(llama, PAIR)
    assert all(parameter.grad is None for parameter in llama.parameters())


# ------------------------------------------------------------------------------------------- shares of the input tokens


def test_integrated_gradients_are_complete(model):
    baseline = tracing.input_residual(model, CORRUPT)
    found = tracing.integrated_gradients(model, CLEAN, 10, 200, baseline, steps=64)
    expected = difference(model, CLEAN) - difference(model, CORRUPT)
    assert float(found.shares.sum()) == pytest.approx(expected, abs=1e-3)
    assert found.effect == pytest.approx(expected, abs=1e-5)
    assert found.gap == pytest.approx(0, abs=1e-3) and found.complete and found.steps == 64
    same = (CLEAN == CORRUPT).nonzero().flatten()
    assert torch.equal(found.shares[same], torch.zeros(len(same)))  # a token that does not change gets nothing


def test_integrated_gradients_of_no_change_are_zero(llama):
    found = tracing.integrated_gradients(llama, CLEAN, 10, 200, tracing.input_residual(llama, CLEAN), steps=2)
    assert torch.equal(found.shares, torch.zeros(7)) and found.gap == pytest.approx(0, abs=1e-6)


def test_the_batch_size_does_not_change_integrated_gradients(llama):
    zeros = torch.zeros(7, 32)
    one = tracing.integrated_gradients(llama, CLEAN, 10, 200, zeros, steps=6, batch_size=1)
    all_ = tracing.integrated_gradients(llama, CLEAN, 10, 200, zeros, steps=6, batch_size=16)
    assert torch.allclose(one.shares, all_.shares, atol=1e-5)


def test_by_default_the_steps_are_doubled_until_the_shares_add_up(confident, monkeypatch):
    """32 steps from a zero baseline used to be the default: a model with RMSNorm misses most of the effect there."""
    zeros, small = torch.zeros(7, 32), 0.01 * inputs(confident, CLEAN)
    few = tracing.integrated_gradients(confident, CLEAN, 10, 200, small, steps=8)
    assert not few.complete  # said in the result when the number of steps was chosen by the caller
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = tracing.integrated_gradients(confident, CLEAN, 10, 200, small)
        both = tracing.integrated_gradients(
            confident, [CLEAN, CORRUPT], [10] * 2, [200] * 2, [small, inputs(confident, CLEAN)]
        )
    assert found.complete and found.steps == 32 and abs(found.gap) <= 0.05 * max(1, abs(found.effect))
    assert both[0].steps == 32 and both[1].steps == 16  # each stops where it adds up, twice running
    assert torch.allclose(both[0].shares, found.shares, atol=1e-3)
    monkeypatch.setattr(gradients, "MOST_STEPS", 64)
    with pytest.warns(UserWarning, match="after 64 steps the shares still miss the effect"):
        never = tracing.integrated_gradients(confident, CLEAN, 10, 200, zeros)
    assert not never.complete and abs(never.gap) > 2


@pytest.fixture()
def confident(tmp_path):
    """A tiny random model that prefers things by nats, so that a share of an effect means something."""
    from utils import models

    model = models.load_model(save_tiny_model(tmp_path, "llama"), device="cpu")
    model.original_model.lm_head.weight = torch.nn.Parameter(200 * model.W_U.T, requires_grad=False)
    return model


def inputs(model, tokens):
    return tracing.input_residual(model, tokens)


def test_gradient_times_input_is_the_slope_towards_the_baseline(llama):
    here, baseline = inputs(llama, CLEAN), inputs(llama, CORRUPT)
    near = here + 1e-3 * (baseline - here)
    shares = tracing.integrated_gradients(llama, CLEAN, 10, 200, baseline).gradient_times_input

    def change(x, hook):
        return near[None]

    moved = difference(llama, CLEAN) - difference(llama, CLEAN, [("blocks.0.hook_resid_pre", change)])
    assert float(shares.sum()) * 1e-3 == pytest.approx(moved, rel=0.05, abs=1e-6)
    slope = tracing.input_gradient(llama, CLEAN, here, 10, 200)
    assert torch.allclose(shares, ((here - baseline) * slope).sum(-1), atol=1e-6)


def test_shares_of_many_prompts_are_those_of_each(model):
    pairs = [PAIR, SHORT, PAIR.swapped()]
    prompts, answers, others = zip(*((pair.clean, pair.answer, pair.other) for pair in pairs))
    baselines = tracing.input_residual(model, [pair.corrupt for pair in pairs])
    together = tracing.integrated_gradients(model, prompts, answers, others, baselines, steps=4)
    for i, found in enumerate(together):
        alone = tracing.integrated_gradients(model, prompts[i], answers[i], others[i], baselines[i], steps=4)
        assert torch.allclose(found.shares, alone.shares, atol=1e-5)
        assert torch.allclose(found.gradient_times_input, alone.gradient_times_input, atol=1e-5)
        assert found.gap == pytest.approx(alone.gap, abs=1e-5)


def test_input_residual_is_what_enters_the_first_block(model):
    assert torch.allclose(tracing.input_residual(model, CLEAN), tracing.record(model, CLEAN)[0])


# ------------------------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: tracing.patching_parts(m, [PAIR], ["neuron"]), r"components\[0\] must be one of"),
        (lambda m: tracing.patching_parts(m, [PAIR], "resid"), "components must be a list"),
        (lambda m: tracing.patching_parts(m, []), "at least one pair"),
        (lambda m: tracing.patching_parts(m, PAIR, []), "components must hold at least one"),
        (lambda m: tracing.integrated_gradients(m, CLEAN, 1, 2), "baseline"),
        (lambda m: tracing.integrated_gradients(m, CLEAN, 1, 2, torch.zeros(7, 32), steps=0), "steps must be at"),
        (lambda m: tracing.integrated_gradients(m, CLEAN, 1, 2, torch.zeros(7, 32), steps=1.5), "steps must be"),
        (lambda m: tracing.integrated_gradients(m, CLEAN, 1, 2, torch.zeros(3, 32)), "baseline must have shape"),
        (lambda m: tracing.integrated_gradients(m, CLEAN, 1, 2, torch.zeros(7, 31)), "baseline must have shape"),
        (lambda m: tracing.integrated_gradients(m, CLEAN, 1, 2, torch.full((7, 32), float("nan"))), "baseline holds"),
        (lambda m: tracing.integrated_gradients(m, [CLEAN], [1], [2], [torch.zeros(7, 32)] * 2), "one tensor a prompt"),
        (lambda m: tracing.integrated_gradients(m, [CLEAN], 1, 2, [torch.zeros(7, 32)]), "must be lists"),
        (lambda m: tracing.integrated_gradients(m, CLEAN, [1], [2], torch.zeros(7, 32)), "must be one token id"),
        (lambda m: tracing.direct_logit_attribution(m, CLEAN, 1, 400), "other must be a token id below 320"),
        (lambda m: tracing.direct_logit_attribution(m, CLEAN.float(), 1, 2), "prompts.* must be"),
        (lambda m: tracing.input_gradient(m, CLEAN, torch.zeros(7, 31), 1, 2), "point must have shape"),
        (lambda m: tracing.input_gradient(m, CLEAN, torch.zeros(3, 32), 1, 2), "point has shape"),
    ],
)  # fmt: skip
def test_bad_input_is_named(llama, call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call(llama)


def test_recorded_patches_belong_together():
    """Shapes, and what must hold whatever was measured: before block 0 the whole name patched is the clean prompt."""
    record = tracing.recorded_patches()
    for part, exact in record.exact.items():
        assert exact.shape == (len(record.pairs), 30, 18 if part == "head" else 2)
        assert all(by_part[part].shape == exact.shape for by_part in record.estimates.values())
    assert torch.allclose(record.exact["resid"][:, 0, 0], torch.ones(len(record.pairs)), atol=1e-3)
    assert torch.allclose(record.exact["resid"][:, 0, 1], torch.zeros(len(record.pairs)), atol=1e-3)
