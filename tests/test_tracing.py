"""Patching and knock-outs on tiny random models, where the right answer is known: all, nothing, one at a time."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from conftest import ARCHITECTURES, save_tiny_model

from utils import tracing
from utils.tracing import patching, running

CLEAN = torch.tensor([0, 40, 51, 62, 73, 84, 95])
CORRUPT = torch.tensor([0, 40, 52, 60, 73, 84, 95])
PAIR = tracing.Pair(CLEAN, CORRUPT, answer=10, other=200, subject=(2, 4), name="a / b")
SHORT = tracing.Pair(CLEAN[:6], CORRUPT[:6], 10, 200, (2, 4))  # another length
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


# ------------------------------------------------------------------------------------------------------------- patching


def test_patching_everything_recovers_one_and_nothing_zero(model):
    clean, corrupt = difference(model, CLEAN), difference(model, CORRUPT)
    where = torch.stack([torch.ones(7, dtype=torch.bool), torch.zeros(7, dtype=torch.bool)])
    got = tracing.recovery(tracing.patch(model, PAIR, where), clean, corrupt, minimum=1e-4)
    assert torch.allclose(got[:, 0], torch.ones(N_LAYERS), atol=1e-3)
    assert torch.allclose(got[:, 1], torch.zeros(N_LAYERS), atol=1e-3)


def test_the_whole_subject_at_layer_zero_is_the_clean_prompt(model):
    where = tracing.position_classes(PAIR)[:2].any(0, keepdim=True)
    got = tracing.patch(model, PAIR, where, layers=[0])
    assert float(got) == pytest.approx(difference(model, CLEAN), abs=1e-5)


def test_the_branching_pass_equals_one_patched_run_at_a_time(model):
    where = tracing.position_classes(PAIR)
    for component, name in (("resid", "hook_resid_pre"), ("attn", "hook_attn_out"), ("mlp", "hook_mlp_out")):
        source = tracing.record(model, CLEAN, component)
        got = tracing.patch(model, PAIR, where, component)
        assert torch.equal(got, tracing.patch(model, PAIR, where, component, source=source))
        for layer in range(N_LAYERS):
            for site, mask in enumerate(where):

                def overwrite(x, hook, layer=layer, mask=mask, source=source):
                    return torch.where(mask[:, None], source[layer], x)

                expected = difference(model, CORRUPT, [(f"blocks.{layer}.{name}", overwrite)])
                assert float(got[layer, site]) == pytest.approx(expected, abs=1e-5), (component, layer, site)


def test_patching_heads_equals_one_at_a_time(model):
    source = tracing.record(model, CLEAN, "head")
    assert source.shape == (N_LAYERS, 7, N_HEADS, 8)
    got = tracing.patch(model, PAIR, component="head")
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
    assert running.base_run(forgetful, CORRUPT[None], [0]).start(4) == 0
    where, source = tracing.position_classes(PAIR), tracing.record(forgetful, CLEAN)
    got = tracing.patch(forgetful, PAIR, where)
    for layer in range(N_LAYERS):
        for site, mask in enumerate(where):

            def overwrite(x, hook, layer=layer, mask=mask):
                return torch.where(mask[:, None], source[layer], x)

            expected = difference(forgetful, CORRUPT, [(f"blocks.{layer}.hook_resid_pre", overwrite)])
            assert float(got[layer, site]) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("cost", [0, 1000])
def test_it_does_not_matter_which_patches_share_a_pass(model, cost, monkeypatch):
    together = tracing.patch(model, PAIR, layers=[1, 0])
    monkeypatch.setattr(patching, "PASS_TOKENS", cost)  # a pass for each first position, or one for all
    assert torch.allclose(tracing.patch(model, PAIR, layers=[1, 0]), together, atol=1e-5)


@pytest.mark.parametrize("component", ["resid", "head"])
def test_many_pairs_at_once_are_as_one_at_a_time(model, component):
    early = tracing.Pair(CLEAN, torch.tensor([0, 41, 51, 62, 73, 84, 95]), 10, 200, (1, 3))  # another subject
    pairs = [PAIR, SHORT, early, PAIR.swapped()]

    def where(pair):
        mask = tracing.position_classes(pair)
        return mask[..., None].expand(-1, -1, N_HEADS) if component == "head" else mask

    got = tracing.patch(model, pairs, where, component, layers=[1, 0], batch_size=2)
    assert torch.equal(got, tracing.patch(model, tuple(pairs), where, component, range(1, -1, -1), batch_size=2))
    own = [tracing.record(model, pair.corrupt, component) for pair in pairs]
    stranger = tracing.patch(model, pairs, where, component, source=own)
    for i, pair in enumerate(pairs):
        alone = tracing.patch(model, pair, where(pair), component, layers=[1, 0])
        assert torch.allclose(got[i], alone, atol=1e-5)
        ends = tracing.endpoints(model, [pair])[0]
        assert torch.allclose(stranger[i], ends[1].expand_as(stranger[i]), atol=1e-5)  # itself, written into itself


@pytest.mark.parametrize("component", ["resid", "head"])
def test_records_of_many_prompts_are_those_of_each(model, component):
    prompts = [CLEAN, CLEAN[:4], CORRUPT, CLEAN[:5]]
    for tokens, kept in zip(prompts, tracing.record(model, prompts, component, batch_size=2)):
        assert torch.allclose(kept, tracing.record(model, tokens, component), atol=1e-5)


def test_trace_is_the_recovery_of_every_pair(llama, monkeypatch):
    monkeypatch.setattr(patching, "recovery", partial(tracing.recovery, minimum=1e-4))
    got = tracing.trace(llama, [PAIR, PAIR.swapped()])
    assert got.shape == (2, N_LAYERS, len(tracing.CLASSES) + 1)
    clean, corrupt = difference(llama, CLEAN), difference(llama, CORRUPT)
    expected = (tracing.patch(llama, PAIR) - corrupt) / (clean - corrupt)
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
    both = tracing.patch(llama, PAIR)
    assert torch.allclose(tracing.patch(llama, PAIR, layers=[1, 0]), both[[1, 0]], atol=1e-6)
    assert torch.allclose(tracing.patch(llama, PAIR, layers=[1]), both[1:], atol=1e-6)


def test_noising_is_denoising_the_swapped_pair(llama):
    """Writing the corrupt run into the clean one is the same experiment with the two names exchanged."""
    where = tracing.position_classes(PAIR)
    noised = tracing.patch(llama, PAIR.swapped(), where, source=tracing.record(llama, CORRUPT))
    denoised = tracing.patch(llama, PAIR.swapped())
    assert torch.allclose(noised, denoised)
    twice = PAIR.swapped().swapped()
    assert torch.equal(twice.clean, PAIR.clean) and torch.equal(twice.corrupt, PAIR.corrupt)
    assert (twice.answer, twice.other, twice.name) == (PAIR.answer, PAIR.other, PAIR.name)


def test_hooks_are_gone_afterwards(llama):
    before = difference(llama, CORRUPT)
    tracing.patch(llama, PAIR)
    tracing.patching_parts(llama, PAIR)
    tracing.cut_views(llama, PAIR, [[0], [0, 1]])
    assert difference(llama, CORRUPT) == before


def test_matched_noise_is_as_long_as_the_step_it_stands_in_for(llama):
    base, other = tracing.record(llama, CORRUPT), tracing.record(llama, CLEAN)
    noise = tracing.matched_noise(base, other, seed=3)
    assert torch.allclose((noise - base).norm(dim=-1), (other - base).norm(dim=-1), atol=1e-5)
    assert torch.equal(noise[:, :2], base[:, :2])  # before the subject nothing differs, so nothing moves
    assert not torch.allclose(noise[:, 3], tracing.matched_noise(base, other, seed=4)[:, 3])


def test_a_patch_that_writes_what_is_there_is_not_run(llama, monkeypatch):
    """Before block 0 the words that two prompts share are the same: patching them is the corrupt run itself."""
    full = tracing.patch(llama, PAIR)
    copies = []
    branch = running.branch
    monkeypatch.setattr(patching, "branch", lambda *a: copies.append(a[4]) or branch(*a))
    again = tracing.patch(llama, PAIR)
    assert torch.equal(again, full)
    assert sum(each.get(0, 0) for each in copies) == 2 and sum(each.get(1, 0) for each in copies) == 4
    assert again[0, 2:].tolist() == pytest.approx([difference(llama, CORRUPT)] * 2, abs=1e-5)
    copies.clear()
    nothing = tracing.patch(llama, PAIR, layers=[0], source=tracing.record(llama, CORRUPT))
    assert copies == [] and nothing[0].tolist() == pytest.approx([difference(llama, CORRUPT)] * 4, abs=1e-5)


def test_trace_takes_ends_that_are_known(llama, monkeypatch):
    monkeypatch.setattr(patching, "recovery", partial(tracing.recovery, minimum=1e-4))
    pairs = [PAIR, SHORT]
    assert torch.equal(tracing.trace(llama, PAIR), tracing.trace(llama, [PAIR])[0])
    known = tracing.trace(llama, pairs, ends=tracing.endpoints(llama, pairs))
    assert torch.allclose(known, tracing.trace(llama, pairs))
    with pytest.raises(ValueError, match=r"ends must have shape \(2, 2\)"):
        tracing.trace(llama, pairs, ends=torch.zeros(1, 2))


# ---------------------------------------------------------------------------------------- knock-outs, and their oracles


def answers_when(model, pair, hooks):
    """Preference and log P(answer) of the clean prompt in a plain hooked run."""
    with torch.no_grad():
        logits = model.run_with_hooks(pair.clean[None], fwd_hooks=hooks, return_type="logits")[0, -1]
    log_probs = logits.float().log_softmax(-1)
    return [float(log_probs[pair.answer] - log_probs[pair.other]), float(log_probs[pair.answer])]


def zeroed(model, pair, layers):
    """When the attention of some layers adds nothing at the last position."""

    def silence(x, hook):
        x = x.clone()
        x[:, -1] = 0
        return x

    return answers_when(model, pair, [(f"blocks.{layer}.hook_attn_out", silence) for layer in layers])


def blinded(model, pair, layers, start, stop):
    """When some layers can't look at some positions from the last one: the rest still sums to one."""

    def look_away(pattern, hook):
        pattern = pattern.clone()
        pattern[:, :, -1, start:stop] = 0
        return pattern / pattern.sum(-1, keepdim=True)

    return answers_when(model, pair, [(f"blocks.{layer}.attn.hook_pattern", look_away) for layer in layers])


CUTS = [[1], [], [1, 0], [0]]


def test_cuts_of_many_pairs_are_those_of_one_at_a_time(model):
    pairs = [PAIR, SHORT, PAIR.swapped()]
    got = tracing.cut_views(model, pairs, CUTS, batch_size=2)
    rough = tracing.cut_views(model, pairs, CUTS, silent=True)
    between = tracing.cut_views(model, pairs, CUTS, where=lambda pair: tracing.sites(pair)[1])
    assert got.shape == (3, len(CUTS), len(tracing.MEASURES))
    for i, pair in enumerate(pairs):
        for k, cut in enumerate(CUTS):
            assert got[i, k].tolist() == pytest.approx(blinded(model, pair, cut, *pair.subject), abs=1e-5)
            assert rough[i, k].tolist() == pytest.approx(zeroed(model, pair, cut), abs=1e-5)
            expected = blinded(model, pair, cut, pair.subject[1], len(pair.clean) - 1)
            assert between[i, k].tolist() == pytest.approx(expected, abs=1e-5)
    assert torch.allclose(tracing.cut_views(model, PAIR, CUTS), got[0], atol=1e-5)


# -------------------------------------------------------------------------------------------------------------- metrics


def test_logit_difference_keeps_the_other_axes():
    logits = torch.arange(24.0).reshape(2, 3, 4)
    assert torch.equal(tracing.logit_difference(logits, 3, 1), torch.full((2, 3), 2.0))
    log_probs = logits.log_softmax(-1)
    assert torch.allclose(tracing.logit_difference(log_probs, 3, 1), torch.full((2, 3), 2.0))


def test_recovery_runs_from_corrupt_to_clean():
    got = tracing.recovery(torch.tensor([-2.0, 0.0, 4.0, 7.0]), clean=4.0, corrupt=-2.0)
    assert torch.allclose(got, torch.tensor([0.0, 1 / 3, 1.0, 1.5]))


# ----------------------------------------------------------------------------------------- held against TransformerLens


def test_a_patch_is_an_interchange_of_the_whole_stream(model):
    """`tools.analysis.interchange` writes a subspace at one position: all of d_model is our patch of one site."""
    from transformer_lens.tools.analysis import interchange

    everything = interchange.SubspaceInterchange(torch.eye(model.cfg.d_model))

    def answers(tokens):
        return model(tokens)[:, -1, [PAIR.answer, PAIR.other]]

    got = tracing.patch(model, PAIR, EVERY)
    for layer in range(N_LAYERS):
        name = f"blocks.{layer}.hook_resid_pre"
        for position in range(2, 7):
            there = torch.tensor([position])
            source = interchange.collect_activations(model, name, CLEAN[None], answers, positions=there)
            theirs = interchange.intervened_logits(
                model, name, everything, CORRUPT[None], source, answers, positions=there
            )
            assert float(got[layer, position]) == pytest.approx(float(theirs[0, 0] - theirs[0, 1]), abs=1e-4)


# ------------------------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize("batch_size", [0, -1, 2.5, "4", None])
def test_a_wrong_batch_size_is_refused(llama, batch_size):
    """It used to run nothing and return zeros: "no effect"."""
    for call in (tracing.patch, partial(tracing.cut_views, cuts=[[0]]), tracing.patching_parts):
        with pytest.raises((TypeError, ValueError), match="batch_size must be"):
            call(llama, [PAIR], batch_size=batch_size)


def test_tensors_arrays_and_lists_give_the_same(llama):
    expected = tracing.record(llama, CLEAN)
    for tokens in (CLEAN.numpy(), CLEAN.tolist(), CLEAN.int()):
        assert torch.equal(tracing.record(llama, tokens), expected)
    for prompts in (torch.stack([CLEAN, CORRUPT]), [CLEAN.tolist(), CORRUPT.numpy()]):
        # Two prompts at once take other matrix kernels than one, on some CPUs: the last digits may differ.
        torch.testing.assert_close(tracing.record(llama, prompts)[0], expected)
    where = tracing.position_classes(PAIR)
    got = tracing.patch(llama, PAIR, where, source=expected)
    assert torch.equal(tracing.patch(llama, PAIR, where.numpy(), layers=torch.arange(2), source=expected.numpy()), got)
    assert torch.equal(tracing.patch(llama, [PAIR], where.tolist(), source=[expected])[0], got)


def test_tokens_without_values_are_refused(llama):
    """A tensor on torch's "meta" device used to give whatever stood in memory."""
    with pytest.raises((TypeError, ValueError), match="prompts must be"):
        tracing.record(llama, torch.empty(5, dtype=torch.long, device="meta"))


def test_what_is_not_finite_is_refused(llama):
    source = tracing.record(llama, CLEAN)
    source[1, 2, 3] = float("nan")
    with pytest.raises(ValueError, match="source holds 1 NaN"):
        tracing.patch(llama, PAIR, source=source)
    with pytest.raises(ValueError, match="base holds 1 NaN"):
        tracing.matched_noise(source, source)
    with pytest.raises(ValueError, match="patched holds 1 NaN"):
        tracing.recovery(torch.tensor([1.0, float("nan")]), 1.0, 0.0)
    with pytest.raises(ValueError, match="clean must be a finite number"):
        tracing.recovery(torch.ones(2), float("nan"), 0.0)
    with pytest.raises(ValueError, match="at least 0.0 nats"):
        tracing.recovery(torch.ones(2), 1.0, 1.0, minimum=0.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: tracing.logit_difference(torch.zeros(5), 5, 0), "answer must be a token id below 5, got 5"),
        (lambda m: tracing.logit_difference(torch.zeros(5), 0, -1), "other must be at least 0, got -1"),
        (lambda m: tracing.recovery(torch.zeros(2), 1.0, 1.1), "at least 0.5 nats"),
        (lambda m: tracing.record(m, CLEAN, "neuron"), "component must be one of 'resid', 'attn', 'mlp', 'head'"),
        (lambda m: tracing.record(m, CLEAN + 1000), "prompts must be ids from 0 to|prompts holds"),
        (lambda m: tracing.record(m, [CLEAN, CLEAN.float()]), r"prompts\[1\] must be"),
        (lambda m: tracing.record(m, "text"), "prompts must be"),
        (lambda m: tracing.patch(m, PAIR, torch.ones(1, 6, dtype=torch.bool)), "where must be a bool mask"),
        (lambda m: tracing.patch(m, PAIR, torch.full((1, 7), 0.5)), "where must be"),
        (lambda m: tracing.patch(m, PAIR, layers=[2]), "layers must be different whole numbers"),
        (lambda m: tracing.patch(m, PAIR, layers=[]), "layers must be different whole numbers"),
        (lambda m: tracing.patch(m, PAIR, layers=1), "layers must be"),
        (lambda m: tracing.patch(m, PAIR, source=torch.zeros(2, 6, 32)), "same length"),
        (lambda m: tracing.patch(m, PAIR, source=torch.zeros(2, 7, 31)), "same component"),
        (lambda m: tracing.patch(m, PAIR, component="head", source=torch.zeros(2, 7, 32)), "same component"),
        (lambda m: tracing.patch(m, []), "at least one pair"),
        (lambda m: tracing.patch(m, CLEAN), "pairs"),
        (lambda m: tracing.patch("llama", PAIR), "model must be a TransformerBridge"),
        (lambda m: tracing.patch(m, [PAIR], source=[]), "one tensor a pair, got 0 for 1"),
        (lambda m: tracing.patch(m, [PAIR], source=[torch.zeros(2, 6, 32)]), "same length"),
        (lambda m: tracing.patch(m, [PAIR], lambda p: torch.ones(1, 6, dtype=torch.bool)), "where must be a"),
        (lambda m: tracing.patch(m, [PAIR, PAIR.swapped()], lambda p: EVERY[p.answer > 50 :]), "as many sites"),
        (lambda m: tracing.matched_noise(torch.zeros(1, 2, 3), torch.zeros(1, 2, 4)), "other has shape"),
        (lambda m: tracing.cut_views(m, [], [[0]]), "at least one pair"),
        (lambda m: tracing.cut_views(m, PAIR, []), "at least one cut"),
        (lambda m: tracing.cut_views(m, PAIR, [[1, 1]]), "layers must be different"),
        (lambda m: tracing.cut_views(m, PAIR, [[0]], lambda p: EVERY[0, 1:]), r"mask of shape \(7,\)"),
        (lambda m: tracing.cut_views(m, PAIR, [[0]], lambda p: EVERY.any(0)), "leaves some position"),
        (lambda m: tracing.trace(m, []), "at least one pair"),
        (lambda m: tracing.endpoints(m, []), "at least one pair"),
        (lambda m: tracing.endpoints(m, tracing.Pair(CLEAN + 300, CORRUPT + 300, 1, 2, (2, 4))), "pairs.clean"),
    ],
)  # fmt: skip
def test_bad_input_is_named(llama, call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call(llama)
