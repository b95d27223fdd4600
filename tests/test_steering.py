"""Steering: directions with provenance, edits that can be joined and always come off, and measures that mean it."""

import json
import math

import pytest
import torch

from utils import sae, steering
from utils.datasets import concepts
from utils.probing import choices, fit_mean_difference
from utils.steering import Direction

D = 32  # width of the tiny model


def direction(layer=0, typical=10.0, seed=0, **kw):
    vector = torch.randn(D, generator=torch.Generator().manual_seed(seed))
    return Direction(vector, layer, typical, kw.pop("name", "test"), kw.pop("kind", "made by hand"), **kw)


def apply(hooks, acts):
    for _, edit in hooks:
        acts = edit(acts)
    return acts


@pytest.fixture()
def acts():
    """Ordinary activations of length about 6, with a massive one at the start of each text."""
    value = torch.randn(3, 5, D, generator=torch.Generator().manual_seed(1))
    value[:, 0] *= 100
    return value


def hooks_on(model):
    return sum(len(point.fwd_hooks) for point in model.hook_dict.values())


# ---------------------------------------------------------------------------------------------------------- directions


def test_a_strength_is_a_multiple_of_the_typical_length_whatever_the_vectors_own():
    short = direction()
    long = Direction(short.vector * 50, 0, 10.0, "long", "made by hand")
    assert short.raw(0.3) == pytest.approx(3.0)
    assert torch.allclose(short.step(0.3), long.step(0.3), atol=1e-6)
    assert float(short.step(-0.3).norm()) == pytest.approx(3.0, rel=1e-5)
    assert "0.3 of a typical activation (3 raw) after block 0" in short.describe(0.3)


def test_a_direction_cannot_be_changed_from_outside():
    vector = torch.ones(D)
    made = Direction(vector, 0, 1.0, "a", "b")
    vector.zero_()
    assert bool(made.vector.all())
    with pytest.raises(AttributeError):
        made.layer = 3


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"vector": [1.0]}, TypeError, "vector must be a floating-point tensor, got list"),
        ({"vector": torch.ones(3, dtype=torch.long)}, TypeError, "got torch.int64"),
        ({"vector": torch.ones(2, 3)}, ValueError, r"shape \(d_model,\), got \(2, 3\)"),
        ({"vector": torch.tensor([1.0, math.nan])}, ValueError, "NaN or infinity"),
        ({"vector": torch.zeros(4)}, ValueError, "all zero"),
        ({"layer": -1}, ValueError, "block number from 0, got -1"),
        ({"layer": True}, ValueError, "got True"),
        ({"typical": 0.0}, ValueError, "typical must be above 0"),
        ({"typical": math.inf}, ValueError, "typical must be a finite number"),
    ],
)
def test_bad_directions_are_refused_by_name(changes, error, words):
    good = {"vector": torch.ones(4), "layer": 0, "typical": 1.0, "name": "a", "kind": "b"}
    with pytest.raises(error, match=words):
        Direction(**good | changes)


def test_a_contrast_is_the_difference_of_text_means_without_massive_tokens(tiny_model):
    from utils.reading.activations import collect, massive_tokens

    positive, negative = ["bananas are yellow", "roses are red , bananas are yellow"], ["1 2 3 4", "5 6"]
    hook = "blocks.1.hook_resid_post"
    found = collect(tiny_model, positive + negative, [hook], "all", cache=False, progress=False)
    keep = (found.position > 0) & ~massive_tokens(found[hook])
    means = [found[hook][keep & (found.text_index == i)].mean(0) for i in range(4)]
    expected = (means[0] + means[1]) / 2 - (means[2] + means[3]) / 2
    made = steering.contrast(tiny_model, positive, negative, 1, name="fruit", typical=6.0)
    assert torch.allclose(made.vector, expected, atol=1e-5)
    assert (made.layer, made.kind, made.source["n_positive"]) == (1, "contrast", 2)
    both = steering.contrasts(tiny_model, positive, negative, [0, 1], name="fruit", typical={0: 6.0, 1: 6.0})
    assert torch.allclose(both[1].vector, expected, atol=1e-5) and both[0].layer == 0
    flipped = steering.contrast(tiny_model, negative, positive, 1, name="fruit", typical=6.0)
    assert flipped.cosine(made) == pytest.approx(-1, abs=1e-5)


def test_a_prompt_pair_is_the_difference_at_the_last_tokens(tiny_model):
    made = steering.prompt_pair(tiny_model, "bananas are yellow", "roses are", 0, typical=1.0)
    ends = []
    for text in ("bananas are yellow", "roses are"):
        _, cache = tiny_model.run_with_cache(tiny_model.to_tokens(text))
        ends.append(cache["blocks.0.hook_resid_post"][0, -1])
    assert torch.allclose(made.vector, ends[0] - ends[1], atol=1e-5)
    assert made.kind == "prompt pair" and "bananas" in made.name


@pytest.mark.parametrize(
    ("sides", "layer", "error", "words"),
    [
        ((["a b"], ["a b"]), 0, ValueError, "all zero"),
        (([], ["a b"]), 0, ValueError, "positive is empty"),
        (("a b", ["a b"]), 0, TypeError, "positive must be a list of texts, got str"),
        ((["a b"], [""]), 0, ValueError, "empty string"),
        ((["a b"], ["c d"]), 2, ValueError, "block number from 0 to 1, got 2"),
        ((["a b"], ["bananas are " * 60]), 0, ValueError, "at most"),
    ],
)
def test_bad_contrasts_are_refused_by_name(tiny_model, sides, layer, error, words):
    with pytest.raises(error, match=words):
        steering.contrast(tiny_model, *sides, layer, name="x", typical=1.0)


def test_a_contrast_takes_all_tokens_or_the_last_and_nothing_else(tiny_model):
    with pytest.raises(ValueError, match='tokens must be "all" or "last"'):
        steering.contrast(tiny_model, ["a b"], ["c d"], 0, name="x", tokens="first", typical=1.0)


def test_typical_norms_are_medians_of_ordinary_tokens(tiny_model):
    norms = steering.typical_norms(tiny_model, [0, 1], ["bananas are yellow , roses are red"])
    assert set(norms) == {0, 1} and all(value > 0 for value in norms.values())
    with pytest.raises(ValueError, match="from 0 to 1"):
        steering.typical_norms(tiny_model, [5])


def test_a_latents_two_sides_are_its_decoder_row_and_its_encoder_column():
    dictionary = sae.TopKSAE(D, 64, k=4, seed=1)
    with torch.no_grad():
        dictionary.W_enc.add_(0.1)
    written = steering.from_latent(dictionary, 7, 0, 10.0)
    read = steering.from_latent(dictionary, 7, 0, 10.0, side="encoder")
    assert torch.allclose(written.vector, dictionary.W_dec[7]) and torch.allclose(read.vector, dictionary.W_enc[:, 7])
    assert written.source == {"latent": 7, "side": "decoder"} and read.kind == "latent's encoder"
    for bad in (64, -1, True, 1.5):
        with pytest.raises(ValueError, match="between 0 and 63"):
            steering.from_latent(dictionary, bad, 0, 10.0)
    with pytest.raises(ValueError, match="side must be"):
        steering.from_latent(dictionary, 7, 0, 10.0, side="both")


def test_a_probes_direction_is_taken_from_one_layer():
    rows = torch.randn(20, D, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(20) % 2 == 0
    probe = fit_mean_difference(rows, labels)
    made = steering.from_probe(probe, 1, 5.0, name="even")
    assert torch.allclose(made.vector, rows[labels].mean(0) - rows[~labels].mean(0), atol=1e-5)
    with pytest.raises(ValueError, match="pick one with probe.layer"):
        steering.from_probe(fit_mean_difference(torch.stack([rows, rows]), labels), 1, 5.0, name="even")


def test_random_directions_are_as_long_and_repeatable():
    one, again, other = (steering.random_like(direction(), 20, seed) for seed in (0, 0, 1))
    assert len(one) == 20 and all(
        float(r.vector.norm()) == pytest.approx(float(direction().vector.norm()), rel=1e-4) for r in one
    )
    assert torch.equal(one[3].vector, again[3].vector) and not torch.equal(one[3].vector, other[3].vector)
    assert float(one[3].step(0.3).norm()) == pytest.approx(3.0, rel=1e-4)
    with pytest.raises(ValueError, match="n must be a whole number from 1"):
        steering.random_like(direction(), 0)


def test_directions_of_two_models_are_not_compared():
    with pytest.raises(ValueError, match="not one model's"):
        direction().cosine(Direction(torch.ones(5), 0, 1.0, "a", "b"))


def test_saving_and_loading_gives_the_same_direction_with_its_provenance(tmp_path):
    made = direction(layer=4, source={"n_positive": 3, "tokens": "all"})
    written = steering.save(made, tmp_path / "folder" / "v1.2")
    assert written.name == "v1.2.safetensors" and (tmp_path / "folder" / "v1.2.json").is_file()
    for path in (tmp_path / "folder" / "v1.2", written, written.with_name("v1.2.json")):
        back = steering.load(path)
        assert torch.equal(back.vector, made.vector)
        assert (back.layer, back.typical, back.name, back.kind, back.source) == (
            4,
            10.0,
            "test",
            "made by hand",
            made.source,
        )


def test_damaged_files_are_named(tmp_path):
    path = steering.save(direction(), tmp_path / "one")
    card = path.with_suffix(".json")
    facts = json.loads(card.read_text())
    for changed, words in (
        ({**facts, "format": "another"}, "not a direction's card"),
        ({**facts, "d_model": 8}, "speaks of 8 numbers"),
        ({k: v for k, v in facts.items() if k != "layer"}, "lacks layer"),
    ):
        card.write_text(json.dumps(changed))
        with pytest.raises(ValueError, match=words):
            steering.load(path)
    card.write_text("{")
    with pytest.raises(ValueError, match="not a readable direction"):
        steering.load(path)
    card.write_text(json.dumps(facts))
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(ValueError, match="not a readable direction"):
        steering.load(path)
    path.unlink()
    with pytest.raises(FileNotFoundError, match="two files"):
        steering.load(path)


# ------------------------------------------------------------------------------------------------------- interventions


def test_adding_moves_ordinary_activations_by_one_step_and_leaves_massive_ones(acts):
    d = direction(typical=6.0)
    out = apply(steering.add(d, 0.5), acts)
    assert torch.allclose(out[:, 1:] - acts[:, 1:], d.step(0.5).expand(3, 4, D), atol=1e-5)
    assert torch.equal(out[:, 0], acts[:, 0])


def test_clamping_sets_the_amount_and_projecting_out_sets_it_to_nothing(acts):
    d = direction(typical=6.0)
    clamped = apply(steering.clamp(d, 0.5), acts)
    assert torch.allclose(clamped[:, 1:] @ d.unit, torch.tensor(3.0), atol=1e-5)
    rest = torch.eye(D) - torch.outer(d.unit, d.unit)
    assert torch.allclose(clamped[:, 1:] @ rest, acts[:, 1:] @ rest, atol=1e-4)
    removed = apply(steering.project_out(d), acts)
    assert torch.allclose(removed[:, 1:] @ d.unit, torch.tensor(0.0), atol=1e-5)
    assert torch.allclose(apply(steering.project_out(d), removed), removed, atol=1e-5)


def test_positions_all_last_or_a_mask(acts):
    d = direction(typical=6.0)
    last = apply(steering.add(d, 0.5, where="last"), acts)
    assert torch.equal(last[:, :-1], acts[:, :-1]) and not torch.equal(last[:, -1], acts[:, -1])
    mask = torch.zeros(3, 5, dtype=torch.bool)
    mask[1, 2] = mask[2, 0] = True
    changed = (apply(steering.add(d, 0.5, where=mask), acts) != acts).any(-1)
    assert changed.nonzero().tolist() == [[1, 2]], "the massive token stays even where the mask names it"


def test_layers_have_their_own_typical_lengths():
    d = direction(layer=0, typical=6.0)
    hooks = steering.add(d, 0.5, layers={0: 6.0, 7: 60.0})
    assert [place for place, _ in hooks] == ["blocks.0.hook_resid_post", "blocks.7.hook_resid_post"]
    still = torch.zeros(1, 1, D)
    assert float(hooks[1][1](still).norm()) == pytest.approx(30.0, rel=1e-5)


def test_interventions_join_in_order(acts):
    a, b = direction(typical=6.0), direction(typical=6.0, seed=9)
    joined = apply(steering.add(a, 0.2) + steering.project_out(b), acts)
    assert torch.allclose(joined[:, 1:] @ b.unit, torch.tensor(0.0), atol=1e-5)
    assert torch.allclose(joined, apply(steering.project_out(b), apply(steering.add(a, 0.2), acts)))


def test_an_edit_does_not_change_its_input(acts):
    before = acts.clone()
    apply(steering.add(direction(typical=6.0), 1.0) + steering.clamp(direction(typical=6.0), 1.0), acts)
    assert torch.equal(acts, before)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda d: steering.add(d, math.nan), ValueError, "strength must be a finite number, got nan"),
        (lambda d: steering.add(d, "0.3"), ValueError, "strength must be a finite number"),
        (lambda d: steering.clamp(d, math.inf), ValueError, "value must be a finite number"),
        (lambda d: steering.add(d, 1.0, where="first"), ValueError, 'where must be "all", "last"'),
        (lambda d: steering.add(d, 1.0, where=torch.ones(2, 2)), ValueError, "boolean mask"),
        (lambda d: steering.add(d, 1.0, layers=[3]), TypeError, "map blocks to typical lengths"),
        (lambda d: steering.add(d, 1.0, layers={}), ValueError, "layers is empty"),
        (lambda d: steering.add(d, 1.0, layers={-1: 5.0}), ValueError, "block numbers from 0, got -1"),
        (lambda d: steering.add(d, 1.0, layers={1: 0.0}), ValueError, r"layers\[1\] must be above 0"),
        (lambda d: apply(steering.add(d, 1.0), torch.ones(1, 2, 5)), ValueError, "has 32 numbers"),
        (
            lambda d: apply(steering.add(d, 1.0, where=torch.ones(2, 2, dtype=torch.bool)), torch.ones(1, 2, D)),
            ValueError,
            r"where has shape \(2, 2\)",
        ),
    ],
)
def test_bad_interventions_are_refused_by_name(make, error, words):
    with pytest.raises(error, match=words):
        make(direction())


def test_steering_changes_the_output_and_leaves_no_trace(tiny_model):
    ids = tiny_model.to_tokens("bananas are yellow")
    d = direction(typical=1.0)
    with torch.no_grad():
        before = tiny_model(ids)
        with steering.steered(tiny_model, steering.add(d, 2.0)):
            during = tiny_model(ids)
        assert not torch.allclose(before, during) and torch.equal(tiny_model(ids), before)
        assert torch.allclose(tiny_model.run_with_hooks(ids, fwd_hooks=steering.add(d, 2.0)), during)
    assert hooks_on(tiny_model) == 0


@pytest.mark.parametrize("ending", [KeyboardInterrupt, RuntimeError, GeneratorExit])
def test_an_interrupted_cell_leaves_no_hook_behind_and_others_hooks_alone(tiny_model, ending):
    mine = tiny_model.hook_dict["blocks.1.hook_resid_post"]
    mine.add_hook(lambda value, hook: value)
    before = hooks_on(tiny_model)
    with pytest.raises(ending), steering.steered(tiny_model, steering.add(direction(), 1.0) * 2):
        assert hooks_on(tiny_model) > before
        raise ending
    assert hooks_on(tiny_model) == before


def test_the_stop_button_in_the_middle_of_a_pass_leaves_no_hook_behind(tiny_model):
    def stop(value, hook=None):
        raise KeyboardInterrupt

    with (
        pytest.raises(KeyboardInterrupt),
        steering.steered(tiny_model, [*steering.add(direction(), 1.0), ("blocks.1.hook_resid_post", stop)]),
    ):
        tiny_model(tiny_model.to_tokens("a b"))
    assert hooks_on(tiny_model) == 0


def test_steered_refuses_what_is_no_list_of_hooks_and_blocks_that_are_not_there(tiny_model):
    with pytest.raises(TypeError, match="hooks must be a list"), steering.steered(tiny_model, direction()):
        pass
    too_deep = steering.add(direction(layer=9), 1.0)
    words = "no 'blocks.9.hook_resid_post'; its blocks are 0 to 1"
    with pytest.raises(ValueError, match=words), steering.steered(tiny_model, too_deep):
        pass
    assert hooks_on(tiny_model) == 0


# ------------------------------------------------------------------------------------------------------------ measures


def test_mentions_are_whole_words_in_any_case():
    texts = ["The BRIDGE.", "abridged", "golden gate!", "Golden  Gate", "(bay)"]
    assert steering.mentions(texts, ["bridge", "golden gate", "bay"]) == [True, False, True, False, True]
    share = steering.mention_share(texts, ["bridge"])
    assert (share.estimate, share.n) == (0.2, 5) and share.low > 0
    with pytest.raises(ValueError, match="lexicon must hold"):
        steering.mentions(texts, ["bridge", " "])
    with pytest.raises(TypeError, match="lists of strings"):
        steering.mentions(texts, "bridge")
    with pytest.raises(ValueError, match="texts is empty"):
        steering.mention_share([], ["bridge"])


def test_distinct_share():
    assert steering.distinct_share([1, 2, 3, 4]) == 1
    assert steering.distinct_share([7] * 11) == pytest.approx(0.1)
    with pytest.raises(ValueError, match="at least n = 2"):
        steering.distinct_share([1])


PROMPTS = ["roses are", "bananas are", "1 2 3"]


def test_gaps_agree_however_they_are_computed(tiny_model):
    choice = choices(tiny_model, PROMPTS, " red , red", " yellow")
    hooks = steering.add(direction(typical=1.0), 1.5)
    score = steering.gap_from(tiny_model, choice, 0)
    assert torch.allclose(score(), steering.gap(tiny_model, choice), atol=1e-4)
    assert torch.allclose(score(hooks), steering.gap(tiny_model, choice, hooks), atol=1e-4)
    assert torch.allclose(score(hooks + hooks), steering.gap(tiny_model, choice, hooks + hooks), atol=1e-4)
    assert not torch.allclose(score(hooks), score(), atol=1e-3)
    with pytest.raises(ValueError, match="starts after block 0; it can't take a hook at 'blocks.1"):
        score(steering.add(direction(layer=1), 1.0))


def test_odds_are_of_the_next_token_with_the_hooks_on(tiny_model):
    hooks = steering.add(direction(typical=1.0), 1.5)
    words = [",", "a", "r"]
    wanted = [tiny_model.tokenizer(word, add_special_tokens=False)["input_ids"][0] for word in words]
    score = steering.odds_from(tiny_model, PROMPTS, words, 0)
    for given in (None, hooks):
        for prompt, value in zip(PROMPTS, score(given)):
            with torch.no_grad():
                logits = tiny_model.run_with_hooks(tiny_model.to_tokens(prompt), fwd_hooks=given or [])
            p = float(logits[0, -1].softmax(-1)[wanted].sum())
            assert float(value) == pytest.approx(math.log(p / (1 - p)), abs=1e-4)
    with pytest.raises(ValueError, match="single tokens; not so: \\['bananas are'\\]"):
        steering.odds_from(tiny_model, PROMPTS, ["a", "bananas are"], 0)
    with pytest.raises(ValueError, match="single tokens"):
        steering.odds_from(tiny_model, PROMPTS, [], 0)
    with pytest.raises(ValueError, match="expected 0 to 0"):
        steering.odds_from(tiny_model, PROMPTS, words, 1)
    with pytest.raises(ValueError, match="texts is empty"):
        steering.odds_from(tiny_model, [], words, 0)


def test_reading_is_the_mean_surprisal_with_the_hooks_on(tiny_model):
    texts = ["bananas are yellow , roses are red", "1 2 3 4 5", "roses are red"]
    hooks = steering.add(direction(typical=1.0), 1.5)
    read = steering.reading_from(tiny_model, texts, 0)
    for given in (None, hooks):
        for text, value in zip(texts, read(given)):
            ids = tiny_model.to_tokens(text)
            with torch.no_grad():
                logp = tiny_model.run_with_hooks(ids, fwd_hooks=given or []).log_softmax(-1)
            expected = -logp[0, 1:-1].gather(-1, ids[0, 2:, None]).mean()
            assert float(value) == pytest.approx(float(expected), abs=1e-4)
    with pytest.raises(ValueError, match="expected 0 to 0"):
        steering.reading_from(tiny_model, texts, 1)
    with pytest.raises(ValueError, match="too short to be read"):
        steering.reading_from(tiny_model, [texts[0], "1"], 0)
    with pytest.raises(TypeError, match="list of strings"):
        steering.reading_from(tiny_model, "text", 0)
    with pytest.raises(ValueError, match="at most"):
        steering.reading_from(tiny_model, ["bananas are " * 60], 0)


def test_surprise_is_judged_by_the_untouched_model(tiny_model):
    ids = [[5, 9, 12], [7], [30, 31, 5, 6, 7]]
    found = steering.surprise(tiny_model, PROMPTS, ids)
    for prompt, tail, value in zip(PROMPTS, ids, found.nats):
        head = tiny_model.to_tokens(prompt)[0].tolist()
        with torch.no_grad():
            logp = tiny_model(torch.tensor([head + tail])).log_softmax(-1)[0]
        expected = -sum(float(logp[len(head) + i - 1, t]) for i, t in enumerate(tail)) / len(tail)
        assert float(value) == pytest.approx(expected, abs=1e-4)
    assert found.tokens.tolist() == [3, 1, 5]
    assert found.perplexity == pytest.approx(math.exp(float((found.nats * found.tokens).sum() / 9)), rel=1e-5)
    with (
        steering.steered(tiny_model, steering.add(direction(), 1.0)),
        pytest.raises(ValueError, match="judge as the steered one"),
    ):
        steering.surprise(tiny_model, PROMPTS, ids)
    for prompts, tails, words in (
        (PROMPTS, ids[:2], "3 prompts and 2 continuations"),
        ([], [], "0 prompts"),
        (PROMPTS, [[1], [], [2]], r"continuations\[1\] is empty"),
    ):
        with pytest.raises(ValueError, match=words):
            steering.surprise(tiny_model, prompts, tails)


@pytest.mark.parametrize("n", [1, 1000, True])
def test_a_bad_number_of_facts_is_refused(tiny_model, n):
    with pytest.raises(ValueError, match="n must be a whole number from 2"):
        steering.facts(tiny_model, n=n)


# ------------------------------------------------------------------------------------------------------------ concepts


def test_concepts_are_paired_and_lexicons_do_not_fire_on_their_own_openers():
    for concept in concepts.CONCEPTS:
        assert len(concept.positive) == len(concept.negative) == len(set(concept.positive)) >= 16
        assert not set(concept.positive) & set(concept.negative)
        share = [
            sum(steering.mentions(side, concept.lexicon)) / len(side) for side in (concept.positive, concept.negative)
        ]
        assert share[0] >= 0.7 and share[1] <= 0.2, (concept.name, share)
        assert not any(steering.mentions(concepts.openers(), concept.lexicon)), concept.name
    golden = concepts.concept("Golden Gate")
    assert not any(steering.mentions(concepts.QUESTIONS, golden.lexicon))
    assert len(set(concepts.openers())) == 24 and len(set(concepts.QUESTIONS)) == 20
    assert concepts.CARD.leaks
    with pytest.raises(ValueError, match="name must be one of"):
        concepts.concept("silver")


# ------------------------------------------------------------------------------------------------ the specimen


@pytest.mark.specimen
def test_golden_gate_steering_raises_the_bridge_more_than_random_pushes_do(specimen):
    golden = concepts.concept("Golden Gate")
    d = steering.contrast(specimen, golden.positive[:8], golden.negative[:8], 12, name="Golden Gate")
    choice = choices(specimen, list(concepts.openers()[:6]), golden.first, golden.second)
    score = steering.gap_from(specimen, choice, 12)
    base = score()
    effect = float((score(steering.add(d, 0.35)) - base).mean())
    others = [float((score(steering.add(r, 0.35)) - base).mean()) for r in steering.random_like(d, 3)]
    assert effect > 4 and effect > 2 * max(map(abs, others))


@pytest.mark.specimen
def test_the_specimen_knows_most_of_the_facts_and_a_large_push_takes_them_away(specimen):
    known = steering.facts(specimen, n=12)
    assert sum(known) >= 9
    d = Direction(torch.randn(576, generator=torch.Generator().manual_seed(0)), 12, 140.0, "noise", "random")
    assert sum(steering.facts(specimen, steering.add(d, 3.0), n=12)) < sum(known)
