"""utils.tracing on tiny random models, where the right answer is known: patch everything, patch nothing, add up."""

from __future__ import annotations

import pytest
import torch
from conftest import ARCHITECTURES, save_tiny_model

from utils import tracing
from utils.datasets import Landmark

CLEAN = torch.tensor([0, 40, 51, 62, 73, 84, 95])
CORRUPT = torch.tensor([0, 40, 52, 60, 73, 84, 95])
PAIR = tracing.Pair(CLEAN, CORRUPT, answer=10, other=200, subject=(2, 4), name="a / b")
N_LAYERS, N_HEADS = 2, 4
EVERY = torch.eye(7, dtype=torch.bool)


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


# ------------------------------------------------------------------------------------------------------ patching


def test_patching_everything_recovers_one_and_nothing_zero(model):
    clean, corrupt = difference(model, CLEAN), difference(model, CORRUPT)
    where = torch.stack([torch.ones(7, dtype=torch.bool), torch.zeros(7, dtype=torch.bool)])
    got = tracing.recovery(tracing.patch_residual(model, PAIR, where), clean, corrupt, minimum=1e-4)
    assert torch.allclose(got[:, 0], torch.ones(N_LAYERS), atol=1e-3)
    assert torch.allclose(got[:, 1], torch.zeros(N_LAYERS), atol=1e-3)


def test_the_whole_subject_at_layer_zero_is_the_clean_prompt(model):
    where = tracing.position_classes(PAIR)[:2].any(0, keepdim=True)
    got = tracing.patch_residual(model, PAIR, where, layers=[0])
    assert float(got) == pytest.approx(difference(model, CLEAN), abs=1e-5)


def test_the_branching_pass_equals_one_patched_run_at_a_time(model):
    where = tracing.position_classes(PAIR)
    for component, name in (("resid", "hook_resid_pre"), ("attn", "hook_attn_out"), ("mlp", "hook_mlp_out")):
        source = tracing.record(model, CLEAN, component)
        got = tracing.patch(model, PAIR, source, where, component)
        for layer in range(N_LAYERS):
            for site, mask in enumerate(where):

                def overwrite(x, hook, layer=layer, mask=mask, source=source):
                    return torch.where(mask[:, None], source[layer], x)

                expected = difference(model, CORRUPT, [(f"blocks.{layer}.{name}", overwrite)])
                assert float(got[layer, site]) == pytest.approx(expected, abs=1e-5), (component, layer, site)


def test_patching_heads_equals_one_at_a_time(model):
    source = tracing.record(model, CLEAN, "head")
    assert source.shape == (N_LAYERS, 7, N_HEADS, 8)
    got = tracing.patch_heads(model, PAIR)
    assert got.shape == (N_LAYERS, N_HEADS)
    for layer in range(N_LAYERS):
        for head in range(N_HEADS):

            def overwrite(x, hook, layer=layer, head=head):
                z = x.reshape(1, 7, N_HEADS, 8).clone()
                z[0, -1, head] = source[layer, -1, head]
                return z.reshape(x.shape)

            expected = difference(model, CORRUPT, [(f"blocks.{layer}.attn.hook_z", overwrite)])
            assert float(got[layer, head]) == pytest.approx(expected, abs=1e-5)


def test_a_cache_that_forgets_is_not_used(tmp_path):
    """A sliding window shorter than the prompt: everything is computed again, and the numbers are the same."""
    import transformers

    from utils import models

    folder = save_tiny_model(tmp_path, "gemma2")
    config = transformers.AutoConfig.from_pretrained(folder)
    config.sliding_window = 3
    config.save_pretrained(folder)
    forgetful = models.load_model(folder, device="cpu")
    assert tracing._base_run(forgetful, CORRUPT[None], [0]).start(4) == 0
    where, source = tracing.position_classes(PAIR), tracing.record(forgetful, CLEAN)
    got = tracing.patch(forgetful, PAIR, source, where)
    for layer in range(N_LAYERS):
        for site, mask in enumerate(where):

            def overwrite(x, hook, layer=layer, mask=mask):
                return torch.where(mask[:, None], source[layer], x)

            expected = difference(forgetful, CORRUPT, [(f"blocks.{layer}.hook_resid_pre", overwrite)])
            assert float(got[layer, site]) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("cost", [0, 1000])
def test_it_does_not_matter_which_patches_share_a_pass(model, cost, monkeypatch):
    together = tracing.patch_residual(model, PAIR, layers=[1, 0])
    monkeypatch.setattr(tracing, "_PASS_TOKENS", cost)  # a pass for each first position, or one for all
    assert torch.allclose(tracing.patch_residual(model, PAIR, layers=[1, 0]), together, atol=1e-5)


@pytest.mark.parametrize("component", ["resid", "head"])
def test_many_pairs_at_once_are_as_one_at_a_time(model, component):
    short = tracing.Pair(CLEAN[:6], CORRUPT[:6], 10, 200, (2, 4))  # another length
    early = tracing.Pair(CLEAN, torch.tensor([0, 41, 51, 62, 73, 84, 95]), 10, 200, (1, 3))  # another subject
    pairs = [PAIR, short, early, PAIR.swapped()]

    def where(pair):
        mask = tracing.position_classes(pair)
        return mask[..., None].expand(-1, -1, N_HEADS) if component == "head" else mask

    got = tracing.patch_pairs(model, pairs, where, component, layers=[1, 0], batch_size=2)
    own = [tracing.record(model, pair.corrupt, component) for pair in pairs]
    stranger = tracing.patch_pairs(model, pairs, where, component, source=own)
    for i, pair in enumerate(pairs):
        source = tracing.record(model, pair.clean, component)
        alone = tracing.patch(model, pair, source, where(pair), component, layers=[1, 0])
        assert torch.allclose(got[i], alone, atol=1e-5)
        ends = tracing.endpoints(model, [pair])[0]
        assert torch.allclose(stranger[i], ends[1].expand_as(stranger[i]), atol=1e-5)  # itself, written into itself


@pytest.mark.parametrize("component", ["resid", "head"])
def test_records_of_many_prompts_are_those_of_each(model, component):
    prompts = [CLEAN, CLEAN[:4], CORRUPT, CLEAN[:5]]
    for tokens, kept in zip(prompts, tracing.records(model, prompts, component, batch_size=2)):
        assert torch.allclose(kept, tracing.record(model, tokens, component), atol=1e-5)


def test_trace_is_the_recovery_of_every_pair(llama, monkeypatch):
    monkeypatch.setattr(tracing.recovery, "__defaults__", (1e-4,))  # a random model hardly prefers anything
    got = tracing.trace(llama, [PAIR, PAIR.swapped()])
    assert got.shape == (2, N_LAYERS, len(tracing.CLASSES) + 1)
    clean, corrupt = difference(llama, CLEAN), difference(llama, CORRUPT)
    expected = (tracing.patch_residual(llama, PAIR) - corrupt) / (clean - corrupt)
    assert torch.allclose(got[0, :, :4], expected, atol=1e-3)
    assert torch.allclose(got[:, 0, 4], torch.ones(2), atol=1e-3)


def test_endpoints_are_the_two_prompts_preferences(llama):
    short = tracing.Pair(CLEAN[:5], CORRUPT[:5], 10, 200, (2, 4))  # another length: run in a batch of its own
    got = tracing.endpoints(llama, [PAIR, short, PAIR.swapped()])
    assert got.shape == (3, 2)
    assert got[0].tolist() == pytest.approx([difference(llama, CLEAN), difference(llama, CORRUPT)], abs=1e-5)
    assert got[1].tolist() == pytest.approx([difference(llama, CLEAN[:5]), difference(llama, CORRUPT[:5])], abs=1e-5)
    assert torch.allclose(got[2], -got[0].flip(0), atol=1e-6)


def test_layers_may_be_chosen_in_any_order(llama):
    both = tracing.patch_residual(llama, PAIR)
    assert torch.allclose(tracing.patch_residual(llama, PAIR, layers=[1, 0]), both[[1, 0]], atol=1e-6)
    assert torch.allclose(tracing.patch_residual(llama, PAIR, layers=[1]), both[1:], atol=1e-6)


def test_noising_is_denoising_the_swapped_pair(llama):
    """Writing the corrupt run into the clean one is the same experiment with the two names exchanged."""
    where = tracing.position_classes(PAIR)
    noised = tracing.patch(llama, PAIR.swapped(), tracing.record(llama, CORRUPT), where)
    denoised = tracing.patch_residual(llama, PAIR.swapped())
    assert torch.allclose(noised, denoised)
    twice = PAIR.swapped().swapped()
    assert torch.equal(twice.clean, PAIR.clean) and torch.equal(twice.corrupt, PAIR.corrupt)
    assert (twice.answer, twice.other, twice.name) == (PAIR.answer, PAIR.other, PAIR.name)


def test_start_replaces_the_embeddings_of_the_base_run(llama):
    where = torch.zeros(1, 7, dtype=torch.bool)
    got = tracing.patch(llama, PAIR, tracing.record(llama, CLEAN), where, start=tracing.input_residual(llama, CLEAN))
    assert torch.allclose(got, torch.full((N_LAYERS, 1), difference(llama, CLEAN)), atol=1e-5)


def test_hooks_are_gone_afterwards(llama):
    before = difference(llama, CORRUPT)
    tracing.patch_residual(llama, PAIR)
    tracing.attribution_patching(llama, PAIR)
    tracing.zero_attention(llama, CLEAN, 10, 200)
    assert difference(llama, CORRUPT) == before


def test_matched_noise_is_as_long_as_the_step_it_stands_in_for(llama):
    base, other = tracing.record(llama, CORRUPT), tracing.record(llama, CLEAN)
    noise = tracing.matched_noise(base, other, seed=3)
    assert torch.allclose((noise - base).norm(dim=-1), (other - base).norm(dim=-1), atol=1e-5)
    assert torch.equal(noise[:, :2], base[:, :2])  # before the subject nothing differs, so nothing moves
    assert not torch.allclose(noise[:, 3], tracing.matched_noise(base, other, seed=4)[:, 3])


# --------------------------------------------------------------------------------------------------- knock-outs


def test_zero_attention_equals_one_layer_at_a_time(model):
    got = tracing.zero_attention(model, CLEAN, 10, 200)
    for layer in range(N_LAYERS):

        def zero(x, hook):
            x = x.clone()
            x[:, -1] = 0
            return x

        expected = difference(model, CLEAN) - difference(model, CLEAN, [(f"blocks.{layer}.hook_attn_out", zero)])
        assert float(got[layer]) == pytest.approx(expected, abs=1e-5)


def test_knocked_out_attention_is_renormalised_over_the_rest(llama):
    positions = tracing.position_classes(PAIR)[:2].any(0)
    got = tracing.knock_out_attention(llama, CLEAN, 10, 200, positions)
    for layer in range(N_LAYERS):

        def block(pattern, hook):
            pattern = pattern.clone()
            pattern[:, :, -1, positions] = 0
            return pattern / pattern.sum(-1, keepdim=True)

        expected = difference(llama, CLEAN) - difference(llama, CLEAN, [(f"blocks.{layer}.attn.hook_pattern", block)])
        assert float(got[layer]) == pytest.approx(expected, abs=1e-5)
    wide = tracing.knock_out_attention(llama, CLEAN, 10, 200, positions, window=5)
    assert torch.allclose(wide, wide[:1].expand(N_LAYERS))  # every window covers both layers
    some = tracing.knock_out_attention(llama, CLEAN, 10, 200, positions, layers=[1])
    assert torch.allclose(some, got[1:], atol=1e-6)
    zeroed = tracing.zero_attention(llama, CLEAN, 10, 200)
    assert torch.allclose(tracing.zero_attention(llama, CLEAN, 10, 200, layers=[1]), zeroed[1:], atol=1e-6)


# ---------------------------------------------------------------------------------------------------- attribution


def test_direct_logit_attribution_adds_up(model, request):
    parts = tracing.direct_logit_attribution(model, CLEAN, 10, 200)
    if "gemma2" not in request.node.name:  # squashes its logits: attributed before the squashing
        assert parts.summed == pytest.approx(parts.total, abs=1e-5)
    assert parts.total == pytest.approx(difference(model, CLEAN), abs=1e-5)
    assert parts.heads.shape == (N_LAYERS, N_HEADS)


def test_heads_add_up_to_their_layer_where_there_is_no_bias(llama):
    parts = tracing.direct_logit_attribution(llama, CLEAN, 10, 200)
    assert torch.allclose(parts.heads.sum(1), parts.attn, atol=1e-6)


@pytest.mark.parametrize("component", ["resid", "attn", "mlp", "head"])
def test_attribution_patching_is_the_slope_of_patching(model, component):
    """For a step of one thousandth of the way the straight line and the model must agree."""
    clean, base = tracing.record(model, CLEAN, component), tracing.record(model, CORRUPT, component)
    step = 1e-2
    source = base + step * (clean - base)
    where = tracing.position_classes(PAIR)
    if component == "head":
        where = where[..., None].expand(-1, -1, N_HEADS)
    estimate = tracing.attribution_patching(model, PAIR, where, component) * step
    exact = tracing.patch(model, PAIR, source, where, component) - difference(model, CORRUPT)
    assert torch.allclose(estimate, exact, atol=2e-2 * float(exact.abs().max()) + 1e-6)


def test_parts_of_many_pairs_are_those_of_each(model):
    pairs = [PAIR, PAIR.swapped(), tracing.Pair(CLEAN[:6], CORRUPT[:6], 10, 200, (2, 4))]
    parts = tracing.patching_parts(model, pairs, ("resid", "head"), batch_size=2)
    for pair, part in zip(pairs, parts):
        for component, (clean, base, gradient) in part.items():
            corrupt, slope = tracing.activation_gradient(model, pair, component)
            assert torch.allclose(clean, tracing.record(model, pair.clean, component), atol=1e-5)
            assert torch.allclose(base, corrupt, atol=1e-5) and torch.allclose(gradient, slope, atol=1e-5)


def test_attribution_patching_leaves_no_gradients_on_the_weights(llama):
    tracing.attribution_patching(llama, PAIR)
    assert all(parameter.grad is None for parameter in llama.parameters())


def test_integrated_gradients_are_complete(model):
    baseline = tracing.input_residual(model, CORRUPT)
    shares, gap = tracing.integrated_gradients(model, CLEAN, 10, 200, baseline, steps=64)
    expected = difference(model, CLEAN) - difference(model, CORRUPT)
    assert float(shares.sum()) == pytest.approx(expected, abs=1e-3)
    assert gap == pytest.approx(0, abs=1e-3)
    same = (CLEAN == CORRUPT).nonzero().flatten()
    assert torch.equal(shares[same], torch.zeros(len(same)))  # a token that does not change gets nothing


def test_integrated_gradients_of_no_change_are_zero(llama):
    shares, gap = tracing.integrated_gradients(llama, CLEAN, 10, 200, tracing.input_residual(llama, CLEAN), steps=2)
    assert torch.equal(shares, torch.zeros(7)) and gap == pytest.approx(0, abs=1e-6)


def test_the_batch_size_does_not_change_integrated_gradients(llama):
    one, _ = tracing.integrated_gradients(llama, CLEAN, 10, 200, steps=6, batch_size=1)
    all_, _ = tracing.integrated_gradients(llama, CLEAN, 10, 200, steps=6, batch_size=16)
    assert torch.allclose(one, all_, atol=1e-5)


def test_gradient_times_input_is_the_slope_towards_the_baseline(llama):
    inputs, baseline = tracing.input_residual(llama, CLEAN), tracing.input_residual(llama, CORRUPT)
    near = inputs + 1e-3 * (baseline - inputs)
    shares = tracing.gradient_times_input(llama, CLEAN, 10, 200, baseline)

    def change(x, hook):
        return near[None]

    moved = difference(llama, CLEAN) - difference(llama, CLEAN, [("blocks.0.hook_resid_pre", change)])
    assert float(shares.sum()) * 1e-3 == pytest.approx(moved, rel=0.05, abs=1e-6)


def test_input_residual_is_what_enters_the_first_block(model):
    assert torch.allclose(tracing.input_residual(model, CLEAN), tracing.record(model, CLEAN)[0])


# ---------------------------------------------------------------------------------------------------- metrics, pairs


def test_logit_difference_keeps_the_other_axes():
    logits = torch.arange(24.0).reshape(2, 3, 4)
    assert torch.equal(tracing.logit_difference(logits, 3, 1), torch.full((2, 3), 2.0))
    log_probs = logits.log_softmax(-1)
    assert torch.allclose(tracing.logit_difference(log_probs, 3, 1), torch.full((2, 3), 2.0))


def test_recovery_runs_from_corrupt_to_clean():
    got = tracing.recovery(torch.tensor([-2.0, 0.0, 4.0, 7.0]), clean=4.0, corrupt=-2.0)
    assert torch.allclose(got, torch.tensor([0.0, 1 / 3, 1.0, 1.5]))


def test_position_classes_do_not_overlap_and_start_at_the_subject():
    masks = tracing.position_classes(PAIR)
    assert masks.sum(0).tolist() == [0, 0, 1, 1, 1, 1, 1]
    assert [m.nonzero().flatten().tolist() for m in masks] == [[2], [3], [4, 5], [6]]


def fake_answers(monkeypatch, llama, answers):
    def logits(model, prompts, batch_size=16):
        out = []
        for tokens in prompts:
            text = model.tokenizer.decode(tokens[1:])
            row = torch.zeros(model.cfg.d_vocab)
            city = next((city for name, city in answers.items() if name in text), None)
            if city is not None:
                row[int(model.to_tokens(" " + city, prepend_bos=False)[0, 0])] = 5.0
            out.append(row)
        return out

    monkeypatch.setattr(tracing, "next_logits", logits)


def test_make_pairs_keeps_what_is_known_and_pairs_equal_lengths(llama, monkeypatch):
    places = [Landmark(name, city) for name, city in (
        ("Abc", "San"), ("Def", "dog"), ("Ghi", "cat"), ("cat Hall", "cat"), ("Jklm", "dog"), ("Nop", "San"),
    )]  # fmt: skip
    fake_answers(monkeypatch, llama, {"Abc": "San", "Def": "dog", "Ghi": "dog", "Jklm": "dog", "Nop": "San"})
    pairs = tracing.make_pairs(llama, places)
    assert pairs.dropped["name holds the city"] == ("cat Hall",)
    assert pairs.dropped["not known"] == ("Ghi",)
    assert pairs[0].name == "Abc / Def"
    used = [name for pair in pairs for name in pair.name.split(" / ")]
    assert len(used) == len(set(used))
    for pair in pairs:
        start, stop = pair.subject
        assert llama.tokenizer.decode(pair.clean[start:stop]).strip() == pair.name.split(" / ")[0]
    assert len(pairs) * 2 + sum(map(len, pairs.dropped.values())) == pairs.n_candidates == 6
    assert "from 6 candidates" in str(pairs)


def test_make_pairs_leaves_out_narrow_wins(llama, monkeypatch):
    fake_answers(monkeypatch, llama, {"Abc": "San", "Def": "dog"})
    pairs = tracing.make_pairs(llama, [Landmark("Abc", "San"), Landmark("Def", "dog")], min_margin=6.0)
    assert len(pairs) == 0 and pairs.dropped == {"not known": ("Abc", "Def")}


@pytest.mark.specimen
def test_the_specimen_knows_at_least_twelve_pairs(specimen):
    from utils.datasets import landmarks

    pairs = tracing.make_pairs(specimen, landmarks())
    assert len(pairs) >= 12
    assert pairs[0].name == "Golden Gate Bridge / Eiffel Tower"
    pair = pairs[0]
    parts = tracing.direct_logit_attribution(specimen, pair.clean, pair.answer, pair.other)
    assert parts.summed == pytest.approx(parts.total, abs=1e-3)


# --------------------------------------------------------------------------------------------------------- bad input


def pair(**changes):
    arguments = {"clean": CLEAN, "corrupt": CORRUPT, "answer": 10, "other": 200, "subject": (2, 4), **changes}
    return tracing.Pair(**arguments)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"corrupt": CORRUPT[:-1]}, "clean has 7 tokens and corrupt 6"),
        ({"other": 10}, "answer and other are both token 10"),
        ({"subject": (2, 3)}, r"differ at positions \[2, 3\], outside the subject"),
        ({"subject": (4, 2)}, "subject must be"),
        ({"subject": (2, 7)}, "subject must be"),
        ({"corrupt": CLEAN}, "same prompt"),
        ({"clean": CLEAN.float()}, "clean must be a 1-d tensor of at least two token ids"),
        ({"clean": CLEAN[None]}, "clean must be a 1-d tensor"),
    ],
)
def test_pairs_that_do_not_align_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        pair(**changes)


def test_tokens_must_be_a_tensor():
    with pytest.raises(TypeError, match="clean must be a tensor of token ids, got list"):
        pair(clean=[1, 2, 3])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: tracing.logit_difference(torch.zeros(5), 5, 0), "answer must be a token id below 5, got 5"),
        (lambda m: tracing.logit_difference(torch.zeros(5), 0, -1), "other must be a token id below 5, got -1"),
        (lambda m: tracing.recovery(torch.zeros(2), 1.0, 1.1), "at least 0.5 nats"),
        (lambda m: tracing.record(m, CLEAN, "neuron"), "component must be one of resid, attn, mlp, head"),
        (lambda m: tracing.patch_residual(m, PAIR, torch.ones(1, 6, dtype=torch.bool)), "where must be a bool"),
        (lambda m: tracing.patch_residual(m, PAIR, torch.ones(1, 7)), "where must be a bool mask"),
        (lambda m: tracing.patch_residual(m, PAIR, layers=[2]), "layers must be different whole numbers"),
        (lambda m: tracing.patch_residual(m, PAIR, layers=[]), "layers must be different whole numbers"),
        (lambda m: tracing.patch_residual(m, PAIR, source=torch.zeros(2, 6, 32)), "same length"),
        (lambda m: tracing.patch_pairs(m, []), "at least one pair"),
        (lambda m: tracing.patch_pairs(m, [PAIR], source=[]), "one tensor a pair, got 0 for 1"),
        (lambda m: tracing.patch_pairs(m, [PAIR], source=[torch.zeros(2, 6, 32)]), "same length"),
        (lambda m: tracing.patch_pairs(m, [PAIR], lambda p: torch.ones(1, 6, dtype=torch.bool)), "where must be a"),
        (lambda m: tracing.patch_pairs(m, [PAIR, PAIR.swapped()], lambda p: EVERY[p.answer > 50 :]), "as many sites"),
        (lambda m: tracing.patching_parts(m, [PAIR], ["neuron"]), "component must be one of"),
        (lambda m: tracing.next_logits(m, [torch.tensor([1.0, 2.0])]), "prompts must be a 1-d tensor"),
        (lambda m: tracing.matched_noise(torch.zeros(1, 2, 3), torch.zeros(1, 2, 4)), "one shape"),
        (lambda m: tracing.attribution_patching(m, PAIR, torch.ones(1, 6, dtype=torch.bool)), "where must be"),
        (lambda m: tracing.attribution_patching(m, PAIR, source=torch.zeros(2, 6, 32)), "source must have"),
        (lambda m: tracing.integrated_gradients(m, CLEAN, 1, 2, steps=0), "at least 1, got 0"),
        (lambda m: tracing.integrated_gradients(m, CLEAN, 1, 2, torch.zeros(3, 32)), "baseline must have shape"),
        (lambda m: tracing.gradient_times_input(m, CLEAN, 1, 2, torch.zeros(3, 32)), "baseline must have shape"),
        (lambda m: tracing.knock_out_attention(m, CLEAN, 1, 2, torch.ones(7, dtype=torch.bool)), "leave out"),
        (lambda m: tracing.knock_out_attention(m, CLEAN, 1, 2, CLEAN > 60, window=2), "window must be odd"),
        (lambda m: tracing.knock_out_attention(m, CLEAN, 1, 2, CLEAN), "positions must be a bool mask"),
        (lambda m: tracing.zero_attention(m, CLEAN, 1, 2, layers=[1, 0]), "ascending order"),
        (lambda m: tracing.make_pairs(m, []), "at least one landmark"),
        (lambda m: tracing.trace(m, []), "at least one pair"),
        (lambda m: tracing.endpoints(m, []), "at least one pair"),
        (lambda m: tracing.input_gradient(m, CLEAN, torch.zeros(3, 32), 1, 2), "point must be"),
        (lambda m: tracing.activation_gradient(m, PAIR, "neuron"), "component must be one of"),
        (lambda m: tracing.make_pairs(m, [Landmark("A", "B")], min_margin=-1), "min_margin must be 0 or more"),
        (lambda m: tracing.last_logits(m, torch.tensor([1.0, 2.0])), "tokens must be a 1-d tensor"),
    ],
)  # fmt: skip
def test_bad_input_is_named(llama, call, message):
    with pytest.raises(ValueError, match=message):
        call(llama)


# ------------------------------------------------------------------------------------------ many at once, and skipped


SHORT = tracing.Pair(CLEAN[:6], CORRUPT[:6], 10, 200, (2, 4))


def test_a_patch_that_writes_what_is_there_is_not_run(llama, monkeypatch):
    """Before block 0 the words that two prompts share are the same: patching them is the corrupt run itself."""
    full = tracing.patch_residual(llama, PAIR)
    copies = []
    branch = tracing._branch
    monkeypatch.setattr(tracing, "_branch", lambda *a: copies.append(a[4]) or branch(*a))
    again = tracing.patch_residual(llama, PAIR)
    assert torch.equal(again, full)
    assert sum(each.get(0, 0) for each in copies) == 2 and sum(each.get(1, 0) for each in copies) == 4
    assert again[0, 2:].tolist() == pytest.approx([difference(llama, CORRUPT)] * 2, abs=1e-5)
    copies.clear()
    nothing = tracing.patch(llama, PAIR, tracing.record(llama, CORRUPT), tracing.position_classes(PAIR), layers=[0])
    assert copies == [] and nothing[0].tolist() == pytest.approx([difference(llama, CORRUPT)] * 4, abs=1e-5)


def test_trace_takes_ends_that_are_known(llama, monkeypatch):
    monkeypatch.setattr(tracing.recovery, "__defaults__", (1e-4,))
    pairs = [PAIR, SHORT]
    known = tracing.trace(llama, pairs, ends=tracing.endpoints(llama, pairs))
    assert torch.allclose(known, tracing.trace(llama, pairs))
    with pytest.raises(ValueError, match=r"ends must have shape \(2, 2\)"):
        tracing.trace(llama, pairs, ends=torch.zeros(1, 2))


def test_both_knives_of_many_pairs_are_those_of_each(model):
    pairs = [PAIR, SHORT, PAIR.swapped()]
    got = tracing.attention_cuts(model, pairs, batch_size=2)
    assert got.shape == (3, 2, N_LAYERS)
    for pair, (gentle, rough) in zip(pairs, got):
        prompt, name = (model, pair.clean, pair.answer, pair.other), tracing.position_classes(pair)[:2].any(0)
        assert torch.allclose(gentle, tracing.knock_out_attention(*prompt, name), atol=1e-5)
        assert torch.allclose(rough, tracing.zero_attention(*prompt), atol=1e-5)
    assert torch.allclose(tracing.attention_cuts(model, pairs, layers=[1]), got[:, :, 1:], atol=1e-5)
    with pytest.raises(ValueError, match="at least one pair"):
        tracing.attention_cuts(model, [])


def test_direct_attributions_of_many_prompts_are_those_of_each(model):
    prompts, answers = [CLEAN, CLEAN[:5], CORRUPT], [(10, 200), (20, 30), (200, 10)]
    for tokens, couple, got in zip(prompts, answers, tracing.direct_logit_attributions(model, prompts, answers)):
        alone = tracing.direct_logit_attribution(model, tokens, *couple)
        assert got.total == pytest.approx(alone.total, abs=1e-5) and got.total == difference_of(model, tokens, couple)
        assert got.summed == pytest.approx(alone.summed, abs=1e-5)
        assert torch.allclose(got.heads, alone.heads, atol=1e-5) and torch.allclose(got.mlp, alone.mlp, atol=1e-5)
    with pytest.raises(ValueError, match="one couple a prompt"):
        tracing.direct_logit_attributions(model, prompts, answers[:1])


def difference_of(model, tokens, couple):
    with torch.no_grad():
        logits = model(tokens[None])[0, -1]
    return pytest.approx(float(logits[couple[0]] - logits[couple[1]]), abs=1e-5)


def test_input_attributions_of_many_pairs_are_those_of_each(model):
    pairs = [PAIR, SHORT, PAIR.swapped()]
    for pair, (simple, careful) in zip(pairs, tracing.input_attributions(model, pairs, steps=4, batch_size=2)):
        baseline = tracing.input_residual(model, pair.corrupt)
        prompt = (model, pair.clean, pair.answer, pair.other, baseline)
        assert torch.allclose(simple, tracing.gradient_times_input(*prompt), atol=1e-5)
        assert torch.allclose(careful, tracing.integrated_gradients(*prompt, steps=4)[0], atol=1e-5)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        tracing.input_attributions(model, pairs, steps=0)
