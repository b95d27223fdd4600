"""utils.writing.generation: known distributions, reproducible draws, and batches that change nothing."""

import math
import warnings

import pytest
import torch
from conftest import save_tiny_model

from utils.models import load_model
from utils.reading.batches import padded_left
from utils.writing import decoding, generation

PROMPTS = ["the cat sat", "a", "bananas are yellow , roses"]
POST = "blocks.1.hook_resid_post"

# Twenty of unequal length, for the comparison with transformers.
TWENTY = [
    "The", "Once upon a time", "The Golden Gate Bridge is located in the city of", "2 + 2 =",
    "My favourite colour is", "In 1969, for the first time, people walked on", "def add(a, b):\n    return",
    "The capital of France is", "Bananas are", "She opened the door and saw a very large", "Water boils at",
    "Dear Sir or Madam,", "The quick brown fox jumps over", "To make bread you need flour, water, salt and",
    "Il était une fois", "1, 2, 3, 4,", "The heart pumps", "Why did the chicken", "An electron is a particle with a",
    "It was the best of times, it was the worst of times, it was the age of wisdom, it was",
]  # fmt: skip


def slowly(model, ids, n, settings, generator, hooks=()):
    """The slow and plain way: the whole text again for every token, no padding, nothing kept."""
    ids, out = torch.tensor([ids]), []
    for _ in range(n):
        logits = model.run_with_hooks(ids, fwd_hooks=list(hooks))[0, -1]
        token = generation.draw(generation.probabilities(logits, **settings), generator)
        if token == model.tokenizer.eos_token_id:
            break
        out.append(token)
        ids = torch.cat([ids, torch.tensor([[token]])], dim=1)
    return out


def clean(model):
    """No hook is on the bridge, nor on any module of it or of the plain copy."""
    copies = [copy for _, copy, _ in decoding._COPIES.values() if copy is not None]
    unembeddings = [copy.get_output_embeddings() for copy in copies]  # these keep one of the engine's own
    modules = [module for part in [model, *copies] for module in part.modules() if module not in unembeddings]
    hooked = [module for module in modules if decoding._foreign(module)]
    return not hooked and not any(point.fwd_hooks for point in model.hook_dict.values())


def test_temperature_sharpens_and_flattens():
    logits = torch.tensor([2.0, 1.0, 0.0])
    expected = torch.exp(logits / 0.5) / torch.exp(logits / 0.5).sum()
    torch.testing.assert_close(generation.probabilities(logits, 0.5), expected)
    assert generation.probabilities(logits, 0).tolist() == [1, 0, 0]
    torch.testing.assert_close(generation.probabilities(logits, 1e6), torch.full((3,), 1 / 3), atol=1e-5, rtol=0)
    assert torch.isfinite(generation.probabilities(torch.tensor([3e4, -3e4]))).all()


def test_top_k_and_top_p_keep_what_they_should():
    logits = torch.tensor([0.1, 0.5, 0.15, 0.25]).log()
    torch.testing.assert_close(generation.probabilities(logits, top_k=2), torch.tensor([0, 2 / 3, 0, 1 / 3]))
    torch.testing.assert_close(generation.probabilities(logits, top_p=0.6), torch.tensor([0, 2 / 3, 0, 1 / 3]))
    assert generation.probabilities(logits, top_p=0.01).tolist() == [0, 1, 0, 0]  # at least one always stays
    torch.testing.assert_close(generation.probabilities(logits, top_k=99, top_p=1.0), logits.exp())
    both = generation.probabilities(torch.stack([logits, logits.flip(0)]), top_k=1)
    assert both.argmax(-1).tolist() == [1, 2] and both.sum(-1).tolist() == [1, 1]


def test_draws_follow_the_distribution_and_the_seed():
    probs = torch.tensor([0.0, 0.7, 0.0, 0.3])
    generator = torch.Generator().manual_seed(0)
    counts = torch.bincount(torch.tensor([generation.draw(probs, generator) for _ in range(4000)]), minlength=4)
    assert counts[0] == counts[2] == 0 and abs(counts[1] / 4000 - 0.7) < 0.03
    again = [generation.draw(probs, torch.Generator().manual_seed(7)) for _ in range(3)]
    assert len(set(again)) == 1
    with pytest.raises(ValueError, match="sum to 1"):
        generation.draw(torch.tensor([0.5, 0.2]), generator)


@pytest.mark.parametrize("settings", [{"temperature": 0}, {"temperature": 0.9, "top_k": 20, "top_p": 0.9}])
def test_a_batch_gives_what_one_prompt_alone_gives(tiny_model, settings):
    """Left padding, the mask and the kept keys and values must change nothing."""
    together = generation.generate_ids(tiny_model, PROMPTS, 8, seed=3, **settings)
    for i, prompt in enumerate(PROMPTS):
        ids = tiny_model.to_tokens(prompt)[0].tolist()
        generator = torch.Generator().manual_seed(3 * 100_003 + i)
        assert together[i] == slowly(tiny_model, ids, 8, settings, generator)


def test_seeds_matter_and_the_end_token_ends(tiny_model):
    first = generation.generate(tiny_model, PROMPTS, 8, seed=1)
    assert first == generation.generate(tiny_model, PROMPTS, 8, seed=1)
    assert first != generation.generate(tiny_model, PROMPTS, 8, seed=2)
    tiny_model.tokenizer.eos_token_id = generation.generate_ids(tiny_model, ["a"], 3, temperature=0)[0][1]
    assert len(generation.generate_ids(tiny_model, ["a"], 3, temperature=0)[0]) <= 1


def test_next_token_logits(tiny_model):
    expected = [tiny_model(tiny_model.to_tokens(prompt))[0, -1] for prompt in PROMPTS]
    torch.testing.assert_close(generation.next_token_logits(tiny_model, PROMPTS[0]), expected[0])
    together = generation.next_token_logits(tiny_model, PROMPTS)
    torch.testing.assert_close(together, torch.stack(expected), atol=1e-5, rtol=1e-5)
    ids = [tiny_model.to_tokens(prompt)[0].tolist() for prompt in PROMPTS]
    torch.testing.assert_close(generation.next_token_logits(tiny_model, ids), together)


@pytest.mark.parametrize("prompts", ["", [], ["a", ""], ["a", 3], [[1, 2], []], [[1.5]], 7])
def test_next_token_logits_refuses_bad_prompts(tiny_model, prompts):
    with pytest.raises((TypeError, ValueError), match="prompts"):
        generation.next_token_logits(tiny_model, prompts)


def test_repeated_share():
    assert generation.repeated_share([1, 2, 3, 4, 5]) == 0
    assert generation.repeated_share([1] * 10, n=4) == pytest.approx(6 / 7)
    with pytest.raises(ValueError, match="at least n = 4"):
        generation.repeated_share([1, 2, 3])
    # a tensor's entries are all different objects: it once read as never repeating
    for form in (torch.ones(10).long(), torch.ones(10).long().numpy(), (1,) * 10):
        assert generation.repeated_share(form) == pytest.approx(6 / 7)
    for wrong in ("aaaaaaaaaa", [0.5] * 10, None):
        with pytest.raises(TypeError, match="^ids"):
            generation.repeated_share(wrong)
    with pytest.raises(ValueError, match="^n must be at least 1"):
        generation.repeated_share([1, 2, 3], n=0)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"prompts": []}, ValueError, "prompts is empty"),
        ({"prompts": "the cat"}, TypeError, "prompts must be a list"),
        ({"prompts": ["the", 3]}, TypeError, r"prompts\[1\]"),
        ({"prompts": ["the", ""]}, ValueError, r"prompts\[1\] is an empty string"),
        ({"new_tokens": 0}, ValueError, "new_tokens"),
        ({"new_tokens": 500}, ValueError, "exceed the context"),
        ({"temperature": -1}, ValueError, "temperature"),
        ({"temperature": float("nan")}, ValueError, "temperature"),
        ({"top_k": 0}, ValueError, "top_k"),
        ({"top_p": 1.5}, ValueError, "top_p"),
        ({"top_p": float("nan")}, ValueError, "top_p"),
        ({"new_tokens": 10**9}, ValueError, "new_tokens"),
        ({"new_tokens": 2.0}, TypeError, "new_tokens"),
        ({"prompts": ["the", float("nan")]}, TypeError, r"prompts\[1\]"),
        ({"prompts": ["the cat \ud83d"]}, ValueError, r"prompts\[0\] holds half a character"),
        ({"prompts": ["red " * 100]}, ValueError, r"prompts\[0\] has .* tokens; this model reads at most 64"),
        ({"seed": -1}, ValueError, "seed"),
        ({"precision": "float8"}, ValueError, "precision must be"),
        ({"prepend_bos": "no"}, TypeError, "prepend_bos"),
    ],
)
def test_bad_input_is_named(tiny_model, change, error, says):
    with pytest.raises(error, match=says):
        generation.generate(tiny_model, **({"prompts": PROMPTS, "new_tokens": 3} | change))


def test_bad_logits_are_named():
    with pytest.raises(ValueError, match="NaN"):
        generation.probabilities(torch.tensor([1.0, float("nan")]))
    for row in ([1.0, math.inf], [-math.inf, -math.inf], []):
        with pytest.raises((TypeError, ValueError), match="logits"):
            generation.probabilities(torch.tensor(row))
    with pytest.raises(TypeError, match="logits"):
        generation.probabilities("the cat")


def test_numbers_come_in_any_form():
    logits = torch.tensor([1.0, -math.inf, 2.0])  # -inf rules a token out
    expected = logits.softmax(-1)
    for form in (logits, logits.numpy(), logits.tolist()):
        torch.testing.assert_close(generation.probabilities(form), expected)
        drawn = generation.draw(generation.probabilities(form).tolist(), torch.Generator().manual_seed(0))
        assert drawn == generation.draw(expected, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("temperature", [1e-320, 1e-45, 1e-7])
def test_next_to_no_temperature_is_greedy(temperature):
    """Dividing by it overflows: it once gave NaN, silently."""
    found = generation.probabilities(torch.tensor([1.0, 3.0, 2.0]), temperature)
    assert found.tolist() == [0.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("probs", "generator"),
    [
        (torch.tensor([2.0, -1.0]), torch.Generator()),
        (torch.tensor([math.nan, 1.0]), torch.Generator()),
        (torch.ones(1, 1), torch.Generator()),
        (torch.ones(1), 0),
        ("the cat", torch.Generator()),
    ],
)
def test_what_cannot_be_drawn_from_is_named(probs, generator):
    with pytest.raises((TypeError, ValueError), match="probs|generator"):
        generation.draw(probs, generator)


# ------------------------------------------------------------------------------- the likeliest few, and many at once


def sorted_cut(logits, top_k, top_p):
    """top_k and top_p by sorting everything: slow, and plainly right."""
    probs = torch.softmax(logits, -1)
    ordered, order = probs.sort(dim=-1, descending=True, stable=True)
    if top_k is not None:
        ordered[..., top_k:] = 0
    if top_p is not None:
        share = ordered / ordered.sum(-1, keepdim=True)
        ordered[share.cumsum(-1) - share >= top_p] = 0
    kept = torch.zeros_like(probs).scatter(-1, order, ordered)
    return kept / kept.sum(-1, keepdim=True)


@pytest.mark.parametrize("top_k", [None, 1, 40, 700, 3000])
@pytest.mark.parametrize("top_p", [None, 0.05, 0.9, 0.999, 1.0])
@pytest.mark.parametrize("spread", [0.0, 0.3, 4.0])
def test_the_short_cut_keeps_what_sorting_keeps(top_k, top_p, spread):
    """Flat rows, where the likeliest few hold too little, and rows of ties included."""
    logits = spread * torch.randn(3, 2000, generator=torch.Generator().manual_seed(1))
    logits[1] = logits[1].round()  # ties, also at the border
    found = generation.probabilities(logits, top_k=top_k, top_p=top_p)
    expected = sorted_cut(logits, top_k, top_p)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
    if top_p is None or top_p < 1 and spread:  # else rounding of the running sum decides where the border is
        assert ((found > 0) == (expected > 0)).all()


def test_drawing_rows_at_once_draws_the_same():
    probs = torch.softmax(3 * torch.randn(6, 500, generator=torch.Generator().manual_seed(2)), -1)
    probs[2] = torch.nn.functional.one_hot(torch.tensor(7), 500)
    probs[3, 250:] = 0
    probs[3] /= probs[3].sum()
    for seed in range(50):
        one_by_one = [generation.draw(row, torch.Generator().manual_seed(seed + i)) for i, row in enumerate(probs)]
        at_once = generation.draw_rows(probs, [torch.Generator().manual_seed(seed + i) for i in range(6)])
        assert at_once == one_by_one
    with pytest.raises(ValueError, match="sum to 1"):
        generation.draw_rows(probs * 0.5, [torch.Generator()] * 6)
    with pytest.raises(ValueError, match="as many as generators"):
        generation.draw_rows(probs, [torch.Generator()] * 2)


# ------------------------------------------------------------------------------------------------------ interventions


def push(strength=2.0, seed=0, width=32):
    direction = strength * torch.randn(width, generator=torch.Generator().manual_seed(seed))

    def hook(acts, hook):
        return acts + direction.to(acts)

    return hook


NAMES = ["hook_embed"] + [f"blocks.1.{end}" for end in ("hook_resid_pre", "hook_resid_post", "hook_out")]
NAMES += ["blocks.0.hook_attn_out", "blocks.0.hook_mlp_out", "blocks.0.mlp.hook_out"]
INSIDE = ["blocks.0.attn.hook_z", "blocks.1.hook_resid_mid", "blocks.0.mlp.hook_in", "ln_final.hook_normalized"]


@pytest.mark.parametrize("name", NAMES + INSIDE)
@pytest.mark.parametrize("settings", [{"temperature": 0}, {"temperature": 1.3}])
def test_with_an_intervention_as_without_a_cache(tiny_model, name, settings):
    """Fast names and others alike, and every name really intervenes."""
    double = [(name, lambda acts, hook: 3 * acts)] if "hook_z" in name else [(name, push())]
    assert bool(decoding.why_not_direct(tiny_model, double)) == (name in INSIDE)
    found = generation.generate_ids(tiny_model, PROMPTS, 8, seed=5, hooks=double, **settings)
    for i, prompt in enumerate(PROMPTS):
        ids = tiny_model.to_tokens(prompt)[0].tolist()
        generator = torch.Generator().manual_seed(5 * 100_003 + i)
        assert found[i] == slowly(tiny_model, ids, 8, settings, generator, double)
    if settings["temperature"]:
        assert found != generation.generate_ids(tiny_model, PROMPTS, 8, seed=5, **settings)
    assert clean(tiny_model)


@pytest.mark.parametrize("architecture", ["gpt2", "gpt_neox", "qwen2", "llama", "gemma2"])
def test_the_plain_copy_and_the_bridge_write_the_same(tmp_path, monkeypatch, architecture):
    model = load_model(save_tiny_model(tmp_path, architecture), device="cpu")
    hooks = [("blocks.0.hook_resid_post", push()), ("blocks.1.hook_resid_pre", push(seed=1)), ("hook_embed", push(0.1))]
    hooks += [("blocks.1.hook_attn_out", push(seed=2)), ("blocks.1.hook_mlp_out", push(seed=3))]
    prompts = [*PROMPTS, PROMPTS[0]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reason = decoding.why_not_direct(model, hooks)
    assert bool(reason) == (architecture == "gemma2"), reason
    direct = generation.generate_ids(model, prompts, 10, seed=2, hooks=hooks)
    monkeypatch.setattr(decoding, "why_not_direct", lambda *_: "asked for")
    assert isinstance(decoding.reader(model, hooks), decoding._Bridge)
    assert generation.generate_ids(model, prompts, 10, seed=2, hooks=hooks) == direct


def test_hooks_and_changes_made_elsewhere_count(tiny_model):
    """What was attached to the model by other means must not be passed over, nor weights exchanged since."""
    plain = generation.generate_ids(tiny_model, PROMPTS, 6, temperature=0)
    given = generation.generate_ids(tiny_model, PROMPTS, 6, temperature=0, hooks=[(POST, push(9.0))])
    assert given != plain
    with tiny_model.hooks(fwd_hooks=[(POST, push(9.0))]):
        assert "attached" in decoding.why_not_direct(tiny_model)
        assert generation.generate_ids(tiny_model, PROMPTS, 6, temperature=0) == given
    handle = tiny_model.blocks[1].register_forward_hook(lambda _, __, out: push(9.0)(out, None))
    assert "torch hooks" in decoding.why_not_direct(tiny_model)
    assert generation.generate_ids(tiny_model, PROMPTS, 6, temperature=0) == given
    handle.remove()
    assert generation.generate_ids(tiny_model, PROMPTS, 6, temperature=0) == plain
    weight = tiny_model.blocks[0].mlp.out.weight
    kept = weight.data
    weight.data = -3 * kept  # as utils.organisms puts an adapter on
    assert not decoding.why_not_direct(tiny_model)
    changed = generation.generate_ids(tiny_model, PROMPTS, 6, temperature=0)
    ids = tiny_model.to_tokens(PROMPTS[0])[0].tolist()
    assert changed[0] == slowly(tiny_model, ids, 6, {"temperature": 0}, None or torch.Generator())
    assert changed != plain
    weight.data = kept
    assert generation.generate_ids(tiny_model, PROMPTS, 6, temperature=0) == plain


def test_bfloat16_is_asked_for_and_rounds_the_products_only(tiny_model):
    dtypes = set()
    hooks = [(POST, lambda acts, hook: dtypes.add(acts.dtype))]
    found = generation.generate_ids(tiny_model, PROMPTS, 6, temperature=0, hooks=hooks, precision="bfloat16")
    assert dtypes == {torch.float32} and len(found) == 3 and clean(tiny_model)
    ids = tiny_model.to_tokens("the cat sat on the mat")
    exact, rounded = (
        copy(input_ids=ids).logits
        for copy in (decoding._plain_copy(tiny_model)[0], decoding.in_bfloat16(tiny_model, ()))
    )
    assert 0 < (exact - rounded).abs().max() < 0.05 * exact.abs().max()
    torch.testing.assert_close(exact, tiny_model(ids), atol=1e-5, rtol=1e-4)  # the model itself is as it was
    assert all(parameter.dtype == torch.float32 for parameter in tiny_model.parameters())
    with pytest.raises(ValueError, match="inside a module"):
        hooks = [("blocks.0.attn.hook_z", push())]
        generation.generate_ids(tiny_model, PROMPTS, 3, hooks=hooks, precision="bfloat16")
    with pytest.raises(ValueError, match="precision must be"):
        generation.generate_ids(tiny_model, PROMPTS, 3, precision="int8")


def test_a_hook_may_look_without_changing(tiny_model):
    seen = []
    looking = [(POST, lambda acts, hook: seen.append((hook.name, tuple(acts.shape))))]
    plain = generation.generate_ids(tiny_model, PROMPTS, 4, seed=1)
    assert generation.generate_ids(tiny_model, PROMPTS, 4, seed=1, hooks=looking) == plain
    assert seen[0][1][0] == 3 and seen[0][1][2] == 32 and all(shape[1:] == (1, 32) for _, shape in seen[1:])
    assert {name for name, _ in seen} == {"blocks.1.hook_out"}


@pytest.mark.parametrize("name", [POST, "blocks.0.attn.hook_z"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("at", [0, 3])
def test_an_interrupt_leaves_no_hook_behind(tiny_model, name, error, at):
    calls = []

    def interrupted(acts, hook):
        calls.append(1)
        if len(calls) > at:
            raise error
        return acts

    plain = generation.generate_ids(tiny_model, PROMPTS, 6, seed=4)
    with pytest.raises(error):
        generation.generate_ids(tiny_model, PROMPTS, 6, seed=4, hooks=[(POST, push()), (name, interrupted)])
    assert len(calls) == at + 1 and clean(tiny_model)
    assert decoding._HERE.get() is None
    assert generation.generate_ids(tiny_model, PROMPTS, 6, seed=4) == plain


def test_places_tells_a_hook_where_it_is(tiny_model):
    """Only generated tokens are pushed; then only the prompt's last; then only the start token."""
    lengths = [tiny_model.to_tokens(prompt).shape[1] for prompt in PROMPTS]
    seen = []

    def keep(acts, hook):
        here = generation.places(acts)
        seen.append((here.positions.tolist(), here.rows.tolist(), here.prompt_lengths.tolist()))
        assert (here.real == (here.positions >= 0)).all()

    generation.generate_ids(tiny_model, PROMPTS, 3, temperature=0, hooks=[(POST, keep)])
    longest = max(lengths)
    assert seen[0][0] == [[-1] * (longest - n) + list(range(n)) for n in lengths]
    assert seen[0][2] == lengths
    for step, (positions, rows, prompt_lengths) in enumerate(seen[1:]):
        assert positions == [[n + step] for n in prompt_lengths] and prompt_lengths == [lengths[i] for i in rows]

    choices = {
        "generated": lambda here: here.positions >= here.prompt_lengths[:, None],
        "last": lambda here: here.positions == here.prompt_lengths[:, None] - 1,
        "start": lambda here: here.positions == 0,
        "not the start": lambda here: here.positions > 0,
    }
    for chosen in choices.values():

        def hook(acts, hook, chosen=chosen):
            return torch.where(chosen(generation.places(acts))[..., None], push(6.0)(acts, hook), acts)

        found = generation.generate_ids(tiny_model, PROMPTS, 8, temperature=0, hooks=[(POST, hook)])
        for i, prompt in enumerate(PROMPTS):
            ids = tiny_model.to_tokens(prompt)

            def by_hand(acts, hook, n=lengths[i], chosen=chosen):
                whole = torch.arange(acts.shape[1])[None]
                here = generation.Places(whole, torch.tensor([n]), torch.tensor([0]))
                return torch.where(chosen(here)[..., None], push(6.0)(acts, hook), acts)

            expected = slowly(tiny_model, ids[0].tolist(), 8, {"temperature": 0}, torch.Generator(), [(POST, by_hand)])
            assert found[i] == expected

    outside = []
    tiny_model.run_with_hooks(
        tiny_model.to_tokens("a cat"), fwd_hooks=[(POST, lambda acts, hook: outside.append(generation.places(acts)))]
    )
    assert outside[0].positions[0, 0] == 0 and outside[0].rows.tolist() == [0] and outside[0].real.all()


def test_rows_may_be_treated_differently(tiny_model):
    """One batch for a whole sweep of strengths, equal prompts and rows that end early included."""
    strengths = torch.tensor([0.0, 0.0, 3.0, -3.0, 9.0])

    def sweep(acts, hook):
        here = generation.places(acts)
        return acts + strengths[here.rows][:, None, None] * push(1.0)(torch.zeros(32), None)

    prompts = [PROMPTS[0]] * 5
    ends = [generation.generate_ids(tiny_model, prompts[:1], 3, temperature=0)[0][2]]
    together = generation.generate_ids(tiny_model, prompts, 8, temperature=0, hooks=[(POST, sweep)], stop=ends)
    for i, strength in enumerate(strengths.tolist()):
        alone = [(POST, lambda acts, hook, s=strength: acts + s * push(1.0)(torch.zeros(32), None))]
        assert (
            together[i] == generation.generate_ids(tiny_model, prompts[:1], 8, temperature=0, hooks=alone, stop=ends)[0]
        )
    assert len(together[0]) < 8 and len({len(row) for row in together}) > 1

    def by_closure(acts, hook):
        return acts + strengths[:, None, None]

    with pytest.raises(ValueError, match=r"places\(acts\).rows"):
        generation.generate_ids(tiny_model, prompts, 8, hooks=[(POST, by_closure)])
    assert clean(tiny_model)


# ------------------------------------------------------------------------------- seeds, stops, chat, batches, streams


def test_a_row_does_not_depend_on_its_batch_mates(tiny_model):
    mates = [PROMPTS[0], PROMPTS[1], PROMPTS[1], "the dog sat on the log and the cat"]
    others = [PROMPTS[0], "a bridge in the city", PROMPTS[1], "1 2 3"]
    hooks = [(POST, push(0.5))]
    first, second = (generation.generate_ids(tiny_model, batch, 12, seed=8, hooks=hooks) for batch in (mates, others))
    assert first[0] == second[0] and first[2] == second[2]
    assert first[1] != first[2]  # the same prompt in another place is another text
    for size in (1, 2, 3):
        assert generation.generate_ids(tiny_model, mates, 12, seed=8, hooks=hooks, batch_size=size) == first


def test_many_prompts_run_in_several_batches(tiny_model, monkeypatch):
    prompts = [PROMPTS[i % 3] for i in range(10)]
    whole = generation.generate_ids(tiny_model, prompts, 5, seed=1)
    monkeypatch.setattr(generation, "TOKENS_KEPT", 40)
    job = generation._Job(tiny_model, prompts, 5)
    batches = job.batches(None)
    assert len(batches) > 2 and sorted(i for batch in batches for i in batch) == list(range(10))
    assert all(len(batch) == 1 or len(batch) * (max(len(job.rows[i]) for i in batch) + 5) <= 40 for batch in batches)
    assert generation.generate_ids(tiny_model, prompts, 5, seed=1) == whole


def test_equal_prompts_are_read_once(tiny_model):
    shapes = []
    hooks = [(POST, lambda acts, hook: shapes.append(tuple(acts.shape[:2])))]
    generation.generate_ids(
        tiny_model, ["the cat sat", "a", "the cat sat", "the cat sat"], 2, temperature=0, hooks=hooks
    )
    assert shapes[0][0] == 2 and shapes[1] == (4, 1)


def test_a_text_ends_at_any_stop_token(tiny_model):
    whole = generation.generate_ids(tiny_model, PROMPTS, 8, temperature=1.5, seed=5)
    stop = whole[0][3]
    assert stop not in whole[0][:3]
    cut = generation.generate_ids(tiny_model, PROMPTS, 8, temperature=1.5, seed=5, stop=[stop])
    assert cut[0] == whole[0][:3]
    for short, long in zip(cut, whole):
        assert short == (long[: long.index(stop)] if stop in long else long)
    word = tiny_model.tokenizer.decode([stop])
    if len(tiny_model.tokenizer(word, add_special_tokens=False)["input_ids"]) == 1:
        assert generation.generate_ids(tiny_model, PROMPTS, 8, temperature=1.5, seed=5, stop=[word]) == cut


def test_without_a_stop_every_text_gets_its_full_length(tiny_model):
    whole = generation.generate_ids(tiny_model, ["a"], 6, temperature=0)[0]
    tiny_model.tokenizer.eos_token_id = whole[1]
    assert len(generation.generate_ids(tiny_model, ["a"], 6, temperature=0)[0]) <= 1
    assert generation.generate_ids(tiny_model, ["a"], 6, temperature=0, stop=None) == [whole]


@pytest.mark.parametrize("settings", [{"temperature": 0}, {"seed": 3, "top_p": 0.9, "stop": [40]}])
def test_a_stream_ends_as_the_batch_does(tiny_model, settings):
    hooks = [(POST, push())]
    steps = list(generation.stream(tiny_model, PROMPTS, 9, hooks=hooks, **settings))
    final = generation.generate(tiny_model, PROMPTS, 9, hooks=hooks, **settings)
    assert steps[-1] == final and 1 < len(steps) <= 10
    for before, after in zip(steps, steps[1:]):
        assert all(long.startswith(short) for short, long in zip(before, after))


def test_two_streams_take_turns_and_may_be_left(tiny_model):
    plain = generation.generate(tiny_model, PROMPTS, 8, seed=1)
    pushed = generation.generate(tiny_model, PROMPTS, 8, seed=1, hooks=[(POST, push())])
    turns = list(
        zip(
            generation.stream(tiny_model, PROMPTS, 8, seed=1),
            generation.stream(tiny_model, PROMPTS, 8, seed=1, hooks=[(POST, push())]),
        )
    )
    assert turns[-1] == (plain, pushed) or len(turns) < 8
    left = generation.stream(tiny_model, PROMPTS, 8, hooks=[(POST, push())])
    next(left)
    assert clean(tiny_model)
    left.close()
    with pytest.raises(ValueError, match="prompts is empty"):
        generation.stream(tiny_model, [])


def test_chat_prompts_follow_the_template(tiny_model):
    tiny_model.tokenizer.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m.role }} {{ m.content }}<|im_end|>{% endfor %}<|im_start|>"
    )
    conversations = ["the cat", [{"role": "user", "content": "a dog"}]]
    ids = generation.chat_prompts(tiny_model, conversations, system="be red", answer_start="the")
    text = tiny_model.tokenizer.decode(ids[1])
    assert text == "<|im_start|>system be red<|im_end|><|im_start|>user a dog<|im_end|><|im_start|>the"
    out = generation.generate_ids(tiny_model, ids, 4, temperature=0)
    assert out[0] == slowly(tiny_model, ids[0], 4, {"temperature": 0}, torch.Generator())
    for wrong in ["the cat", [], [3], [[]], [""], ["a", float("nan")], None]:
        with pytest.raises((TypeError, ValueError), match="messages"):
            generation.chat_prompts(tiny_model, wrong)
    with pytest.raises(TypeError, match="system"):
        generation.chat_prompts(tiny_model, ["a"], system=3)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"prompts": [[1, 2], []]}, ValueError, r"prompts\[1\] is an empty list"),
        ({"prompts": [[1, 2], "a"]}, TypeError, r"prompts\[1\]"),
        ({"prompts": [[1, 9999]]}, ValueError, r"prompts\[0\] holds ids outside"),
        ({"prompts": torch.ones(1, 3)}, TypeError, "prompts must be a list of strings"),
        ({"hooks": {POST: push()}}, TypeError, "hooks must be a list"),
        ({"hooks": [POST]}, TypeError, r"hooks\[0\]"),
        ({"hooks": [(3, push())]}, TypeError, r"hooks\[0\]\[0\] must be a string"),
        ({"hooks": [(POST, "push")]}, TypeError, r"hooks\[0\]\[1\] must be a function"),
        ({"hooks": [("blocks.2.hook_resid_post", push())]}, ValueError, "unknown hook .* from 0 to 1"),
        ({"hooks": [(POST, lambda acts, hook: acts[:, :1])]}, ValueError, "the hook on blocks.1.hook_resid_post"),
        ({"hooks": [(POST, lambda acts, hook: acts.double())]}, ValueError, "float64"),
        ({"hooks": [(POST, lambda acts, hook: 3)]}, TypeError, "returned int"),
        ({"hooks": [(POST, lambda acts, hook: acts * float("nan"))]}, ValueError, "NaN"),
        ({"stop": "a"}, TypeError, "stop"),
        ({"stop": ["the cat sat"]}, ValueError, "expected exactly one"),
        ({"stop": [99999]}, ValueError, "stop: an entry must be at most 319"),
        ({"stop": [None]}, TypeError, "stop"),
        ({"seed": 1.5}, TypeError, "seed"),
        ({"batch_size": 0}, ValueError, "batch_size"),
        ({"tempo": 1}, TypeError, "tempo"),
    ],
)
def test_what_is_wrong_is_named(tiny_model, change, error, says):
    with pytest.raises(error, match=says):
        generation.generate_ids(tiny_model, **({"prompts": PROMPTS, "new_tokens": 3, "temperature": 0} | change))
    assert clean(tiny_model)


# ------------------------------------------------------------------------------------------------------ the specimen


@pytest.mark.slow
@pytest.mark.specimen
def test_greedy_text_is_what_transformers_writes(specimen):
    """Token for token on twenty prompts of unequal length, by a copy of the model that nothing has wrapped."""
    from transformers import AutoModelForCausalLM

    from utils.specimen import specimen_folder

    assert len(set(TWENTY)) == 20 and not decoding.why_not_direct(specimen)
    plain = AutoModelForCausalLM.from_pretrained(specimen_folder(), dtype=torch.float32, local_files_only=True).eval()
    rows = [specimen.to_tokens(prompt)[0] for prompt in TWENTY]
    assert len({len(row) for row in rows}) >= 8
    ids, mask = padded_left(rows)
    with torch.no_grad():
        out = plain.generate(ids, attention_mask=mask, max_new_tokens=12, do_sample=False, pad_token_id=2)
    end = specimen.tokenizer.eos_token_id
    expected = [row[ids.shape[1] :].tolist() for row in out]
    expected = [row[: row.index(end)] if end in row else row for row in expected]
    assert generation.generate_ids(specimen, TWENTY, 12, temperature=0) == expected


@pytest.mark.slow
@pytest.mark.specimen
def test_a_steered_specimen_writes_what_it_writes_without_a_cache(specimen):
    """The last eight tokens of each text checked in one pass: each is the likeliest after all that comes before."""
    hooks = [("blocks.12.hook_resid_post", push(8.0, width=576)), ("blocks.20.hook_resid_pre", push(4.0, 1, 576))]
    prompts = TWENTY[2:6]
    found = generation.generate_ids(specimen, prompts, 8, temperature=0, hooks=hooks)
    assert found != generation.generate_ids(specimen, prompts, 8, temperature=0)
    for prompt, row in zip(prompts, found):
        start = specimen.to_tokens(prompt)[0].tolist()
        with torch.no_grad():
            logits = specimen.run_with_hooks(torch.tensor([start + row]), fwd_hooks=hooks)[0]
        assert logits[len(start) - 1 : -1].argmax(-1).tolist() == row


# ------------------------------------------------------------------------------------------------- several ways at once

WAYS = {"greedy": {"temperature": 0}, "nucleus": {"top_p": 0.7}, "plain": {}}


@pytest.mark.parametrize("rows", [48, 3])
def test_ways_side_by_side_write_what_each_writes_alone(tiny_model, monkeypatch, rows):
    monkeypatch.setattr(generation, "_ROWS_COMPARED", rows)  # 3: one prompt at a time
    found = generation.write_in_ways(tiny_model, PROMPTS, WAYS, 6, seed=2)
    for name, settings in WAYS.items():
        assert found[name].ids.tolist() == generation.generate_ids(
            tiny_model, PROMPTS, 6, seed=2, stop=None, **settings
        )
        for i, prompt in enumerate(PROMPTS):
            ids = torch.cat([tiny_model.to_tokens(prompt), found[name].ids[i : i + 1]], 1)
            with torch.no_grad():
                log_probs = tiny_model(ids)[0].log_softmax(-1)
            read = -log_probs[torch.arange(ids.shape[1] - 7, ids.shape[1] - 1), ids[0, -6:]] / math.log(2)
            torch.testing.assert_close(found[name].bits[i], read, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("ways, says", [({}, "at least one way"), ({"a": {"stop": None}}, "may set temperature")])
def test_ways_that_are_none(tiny_model, ways, says):
    with pytest.raises(ValueError, match=f"^ways.*{says}"):
        generation.write_in_ways(tiny_model, PROMPTS, ways, 2)
