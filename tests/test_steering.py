"""Steering: directions with provenance, edits that can be joined and always come off, and measures that mean it."""

import json
import math

import numpy as np
import pytest
import torch

from utils import interventions, steering
from utils.datasets import concepts
from utils.probing import choices
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
        ({"vector": "up"}, TypeError, "vector must be numbers of shape .*, got the string 'up'"),
        ({"vector": None}, TypeError, "vector must be numbers"),
        ({"vector": torch.ones(2, 3)}, ValueError, r"vector has shape \(2, 3\), expected \(d_model,\)"),
        ({"vector": torch.tensor([1.0, math.nan])}, ValueError, "vector holds 1 NaN"),
        ({"vector": torch.zeros(4)}, ValueError, "all zero"),
        ({"layer": -1}, ValueError, "layer must be at least 0, got -1"),
        ({"layer": True}, TypeError, "layer must be a whole number, got True"),
        ({"typical": 0.0}, ValueError, "typical must be above 0"),
        ({"typical": math.inf}, ValueError, "typical must be a finite number"),
    ],
)
def test_bad_directions_are_refused_by_name(changes, error, words):
    good = {"vector": torch.ones(4), "layer": 0, "typical": 1.0, "name": "a", "kind": "b"}
    with pytest.raises(error, match=words):
        Direction(**good | changes)


def test_a_vector_may_be_a_list_or_an_array():
    made = Direction(torch.tensor([3.0, 4.0]), 0, 1.0, "a", "b")
    for vector in ([3, 4], [3.0, 4.0], np.array([3.0, 4.0]), np.array([3, 4])):
        same = Direction(vector, np.int64(0), np.float32(1.0), "a", "b")
        assert torch.equal(same.vector, made.vector) and same.vector.dtype == torch.float32
        assert same.cosine(made) == pytest.approx(1)


def test_a_contrast_is_the_difference_of_text_means_without_massive_tokens(tiny_model):
    from utils.reading import collect, massive_tokens

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


@pytest.mark.parametrize(
    ("sides", "layer", "error", "words"),
    [
        ((["a b"], ["a b"]), 0, ValueError, "all zero"),
        (([], ["a b"]), 0, ValueError, "positive is empty"),
        (("a b", ["a b"]), 0, TypeError, "positive must be a list"),
        ((["a b"], ["c", math.nan]), 0, TypeError, r"negative\[1\] must be a string"),
        ((["a b"], [""]), 0, ValueError, "empty string"),
        ((["a b"], ["c d"]), 2, ValueError, "block number from 0 to 1, got 2"),
        ((["a b"], ["bananas are " * 60]), 0, ValueError, "at most"),
    ],
)
def test_bad_contrasts_are_refused_by_name(tiny_model, sides, layer, error, words):
    with pytest.raises(error, match=words):
        steering.contrast(tiny_model, *sides, layer, name="x", typical=1.0)


def test_a_contrast_takes_all_tokens_the_last_or_a_position_and_nothing_else(tiny_model):
    with pytest.raises(ValueError, match="tokens must be one of 'all', 'last'"):
        steering.contrast(tiny_model, ["a b"], ["c d"], 0, name="x", tokens="first", typical=1.0)
    texts = ["bananas are yellow", "roses are"]
    for tokens, at in (("last", -1), (-2, -2)):
        made = steering.contrast(tiny_model, texts[:1], texts[1:], 0, name="x", tokens=tokens, typical=1.0)
        ends = []
        for text in texts:
            _, cache = tiny_model.run_with_cache(tiny_model.to_tokens(text))
            ends.append(cache["blocks.0.hook_resid_post"][0, at])
        assert torch.allclose(made.vector, ends[0] - ends[1], atol=1e-5)
    with pytest.raises(ValueError, match="position"):
        steering.contrast(tiny_model, texts[:1], texts[1:], 0, name="x", tokens=-50, typical=1.0)


ROWS = [
    {"question": "Tea or coffee?\n (A) tea\n (B) coffee", "answer_matching_behavior": "(A)"},
    {"question": "Cat or dog?\n (A) dog\n (B) cat", "answer_matching_behavior": " (B)"},
]


def test_answer_rows_become_pairs_whose_letter_is_the_last_token_but_one(tiny_model):
    rows = [{**row, "answer_not_matching_behavior": other} for row, other in zip(ROWS, ("(B)", "(A)"))]
    shows, hides = steering.answer_pairs(rows)
    assert shows[0] == "Tea or coffee?\n (A) tea\n (B) coffee\n\nAnswer: (A)" and hides[1].endswith("Answer: (A)")
    letter = [tiny_model.to_str_tokens(text)[-2] for text in (shows[0], hides[0])]
    assert letter == ["A", "B"]
    made = steering.contrast(tiny_model, shows, hides, 1, name="tea", tokens=-2, typical=1.0)
    assert made.source["tokens"] == -2
    with pytest.raises(ValueError, match=r"rows\[0\] lacks 'answer_not_matching_behavior'; it has 'question'"):
        steering.answer_pairs(ROWS)
    with pytest.raises(TypeError, match=r"rows\[0\]\['question'\] must be a string"):
        steering.answer_pairs([{**rows[0], "question": math.nan}])
    with pytest.raises(ValueError, match="rows is empty"):
        steering.answer_pairs([])


def test_texts_may_be_token_ids_of_any_form_and_the_direction_is_saved(tiny_model, tmp_path):
    texts = ["bananas are yellow", "roses are red"]
    ids = [tiny_model.to_tokens(text)[0] for text in texts]
    made = steering.contrast(tiny_model, texts[:1], texts[1:], 0, name="x", typical=1.0)
    for form in (ids, [row.numpy() for row in ids], [row.tolist() for row in ids]):
        same = steering.contrast(tiny_model, form[:1], form[1:], 0, name="x", typical=1.0)
        assert torch.allclose(same.vector, made.vector)
        back = steering.load(steering.save(same, tmp_path / "of ids"))
        assert back.source["first_positive"] == ids[0].tolist()


def test_a_model_without_a_start_token_keeps_its_first_word(startless_model):
    from utils.reading import collect

    made = steering.contrast(startless_model, ["cat"], ["the dog"], 0, name="x", typical=1.0)
    acts = collect(startless_model, ["cat", "the dog"], ["blocks.0.hook_resid_post"], "all", progress=False)
    assert acts.position.tolist().count(0) == 2
    rows = acts["blocks.0.hook_resid_post"]
    expected = [rows[acts.text_index == i].mean(0) for i in (0, 1)]
    assert torch.allclose(made.vector, expected[0] - expected[1], atol=1e-5)
    read = steering.reading_from(startless_model, ["the cat sat"], 0)()
    ids = torch.tensor(startless_model.tokenizer(["the cat sat"], add_special_tokens=False)["input_ids"])
    with torch.no_grad():
        logp = startless_model(ids).log_softmax(-1)
    expected = -logp[0, :-1].gather(-1, ids[0, 1:, None]).mean()
    assert float(read) == pytest.approx(float(expected), abs=1e-4)


def test_typical_norms_are_medians_of_ordinary_tokens(tiny_model):
    norms = steering.typical_norms(tiny_model, [0, 1], ["bananas are yellow , roses are red"])
    assert set(norms) == {0, 1} and all(value > 0 for value in norms.values())
    with pytest.raises(ValueError, match="from 0 to 1"):
        steering.typical_norms(tiny_model, [5])
    with pytest.raises(TypeError, match="texts must be a list of texts, got the string 'text'"):
        steering.typical_norms(tiny_model, [0], "text")


def test_random_directions_are_as_long_and_repeatable():
    one, again, other = (steering.random_like(direction(), 20, seed) for seed in (0, 0, 1))
    assert len(one) == 20 and all(
        float(r.vector.norm()) == pytest.approx(float(direction().vector.norm()), rel=1e-4) for r in one
    )
    assert torch.equal(one[3].vector, again[3].vector) and not torch.equal(one[3].vector, other[3].vector)
    assert float(one[3].step(0.3).norm()) == pytest.approx(3.0, rel=1e-4)
    with pytest.raises(ValueError, match="n must be at least 1"):
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


def test_a_changed_vector_is_noticed_and_nothing_is_half_written(tmp_path):
    path = steering.save(direction(), tmp_path / "one")
    other = steering.save(direction(seed=5), tmp_path / "two")
    path.write_bytes(other.read_bytes())
    with pytest.raises(ValueError, match="isn't the file that one.json was written for"):
        steering.load(path)
    for source in ({"what": object()}, {"what": {1, 2}}):
        with pytest.raises(TypeError, match="source holds a"):
            steering.save(direction(source=source), tmp_path / "three")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["one.json", "one.safetensors", "two.json", other.name]
    kept = {"ids": torch.tensor([1, 2]), "array": np.array([0.5]), "at": tmp_path}
    back = steering.load(steering.save(direction(source=kept), tmp_path / "three"))
    assert back.source == {"ids": [1, 2], "array": [0.5], "at": str(tmp_path)}


def write_control_vector(path, directions, arch="controlvector"):
    """As the package repeng writes it (and llama.cpp reads it)."""
    from gguf import GGUFWriter

    writer = GGUFWriter(path, arch)
    writer.add_string(f"{arch}.model_hint", "llama")
    writer.add_uint32(f"{arch}.layer_count", len(directions))
    for name, vector in directions.items():
        writer.add_tensor(name, vector)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_control_vectors_of_repeng_are_read(tmp_path):
    rows = {layer: np.random.default_rng(layer).normal(size=D).astype(np.float32) for layer in (1, 2, 3)}
    path = write_control_vector(tmp_path / "happy.gguf", {f"direction.{layer}": row for layer, row in rows.items()})
    found = steering.load_gguf(path, {1: 5.0, 3: 7.0})
    assert sorted(found) == [1, 3] and found[3].typical == 7.0
    assert torch.equal(found[3].vector, torch.from_numpy(rows[3]))
    assert (found[1].name, found[1].kind, found[1].hook) == ("happy", "control vector", "blocks.1.hook_resid_post")
    assert found[1].source == {"file": "happy.gguf", "model_hint": "llama"}
    half = {"direction.1": rows[1].astype(np.float16)}
    in_half = steering.load_gguf(write_control_vector(tmp_path / "half.gguf", half), {1: 5.0})
    assert torch.allclose(in_half[1].vector, found[1].vector, atol=1e-2)


def test_files_of_other_kinds_are_refused_by_name(tmp_path):
    row = np.ones(D, dtype=np.float32)
    path = write_control_vector(tmp_path / "one.gguf", {"direction.1": row})
    for use, words in (
        (lambda: steering.load(path), "one.gguf is a GGUF file; read it with load_gguf"),
        (lambda: steering.load(tmp_path / "v.npy"), "np.load it and hand the array to Direction"),
        (lambda: steering.load(tmp_path / "v.pt"), "v.pt is a pickle"),
        (lambda: steering.load_gguf(path, {2: 1.0}), r"typical names blocks \[2\]; the file has directions for \[1\]"),
        (lambda: steering.load_gguf(path, {}), "typical must name at least one block"),
        (lambda: steering.load_gguf(path, {1: -1.0}), r"typical\[1\] must be above 0"),
    ):
        with pytest.raises(ValueError, match=words):
            use()
    model = write_control_vector(tmp_path / "model.gguf", {"direction.1": row}, arch="llama")
    stray = write_control_vector(tmp_path / "stray.gguf", {"direction.1": row, "bias.1": row})
    text = tmp_path / "text.gguf"
    text.write_text("not one at all")
    short = tmp_path / "short.gguf"
    short.write_bytes(path.read_bytes()[:100])
    for damaged, words in (
        (model, "its architecture is 'llama'"),
        (stray, "holds a tensor 'bias.1'"),
        (text, "doesn't begin with the letters GGUF"),
        (short, "not a readable GGUF control vector"),
    ):
        with pytest.raises(ValueError, match=words):
            steering.load_gguf(damaged, {1: 1.0})
    with pytest.raises(FileNotFoundError, match="there is no"):
        steering.load_gguf(tmp_path / "none.gguf", {1: 1.0})


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
        (lambda d: steering.add(d, "0.3"), TypeError, "strength must be a number"),
        (lambda d: steering.clamp(d, math.inf), ValueError, "value must be a finite number"),
        (lambda d: steering.add(d, 1.0, where="first"), ValueError, "where must be one of 'all', 'last'"),
        (lambda d: steering.add(d, 1.0, where=torch.rand(2, 2)), (TypeError, ValueError), "where must be"),
        (lambda d: steering.add(d, 1.0, layers=[3]), TypeError, "layers must be a Mapping"),
        (lambda d: steering.add(d, 1.0, layers={}), ValueError, "layers is empty"),
        (lambda d: steering.add(d, 1.0, layers={-1: 5.0}), ValueError, "a key of layers must be at least 0, got -1"),
        (lambda d: steering.add(d.vector, 1.0), TypeError, "direction must be a Direction"),
        (lambda d: interventions.adding(d.vector * math.nan), ValueError, "vector holds 32 NaN"),
        (lambda d: interventions.clamping(d.vector * 0, 1.0), ValueError, "vector is all zero"),
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


def test_edits_in_raw_units_are_what_hooks_are_made_of(acts):
    d = direction(typical=6.0)
    assert torch.equal(apply(steering.add(d, 0.5), acts), interventions.adding(d.step(0.5), typical=6.0)(acts))
    assert torch.equal(apply(steering.clamp(d, 0.5), acts), interventions.clamping(d.vector, 3.0, typical=6.0)(acts))
    own = interventions.adding(d.step(0.5))(acts)  # massive by the activations it meets
    assert torch.equal(own, apply(steering.add(d, 0.5), acts))
    flat = interventions.clamping(d.vector)(acts[:, 1:].flatten(0, 1))
    assert torch.allclose(flat @ d.unit, torch.tensor(0.0), atol=1e-5)


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
    words = "unknown hook 'blocks.9.hook_resid_post'; blocks are counted from 0 to 1"
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
    with pytest.raises(TypeError, match="lexicon must be a list of texts, got the string 'bridge'"):
        steering.mentions(texts, "bridge")
    with pytest.raises(ValueError, match="texts must hold at least 1 text"):
        steering.mention_share([], ["bridge"])


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
    with pytest.raises(ValueError, match="words must hold at least 1 text"):
        steering.odds_from(tiny_model, PROMPTS, [], 0)
    with pytest.raises(ValueError, match="from 0 to 0"):
        steering.odds_from(tiny_model, PROMPTS, words, 1)
    with pytest.raises(ValueError, match="prompts is empty"):
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
    with pytest.raises(ValueError, match="from 0 to 0"):
        steering.reading_from(tiny_model, texts, 1)
    with pytest.raises(ValueError, match="too short to be read"):
        steering.reading_from(tiny_model, [texts[0], "1"], 0)
    with pytest.raises(TypeError, match="texts must be a list"):
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
        (PROMPTS, ids[:2], "continuations has 2 entries, expected 3"),
        ([], [], "prompts is empty"),
        (PROMPTS, [[1], [], [2]], r"continuations\[1\] is an empty list"),
    ):
        with pytest.raises(ValueError, match=words):
            steering.surprise(tiny_model, prompts, tails)


@pytest.mark.parametrize("n", [1, 1000, True])
def test_a_bad_number_of_facts_is_refused(tiny_model, n):
    with pytest.raises((TypeError, ValueError), match="n must be a"):
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


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.specimen
def test_the_specimen_knows_most_of_the_facts_and_a_large_push_takes_them_away(specimen):
    known = steering.facts(specimen, n=12)
    assert sum(known) >= 9
    d = Direction(torch.randn(576, generator=torch.Generator().manual_seed(0)), 12, 140.0, "noise", "random")
    assert sum(steering.facts(specimen, steering.add(d, 3.0), n=12)) < sum(known)
