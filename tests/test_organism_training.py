"""Growing adapters: what is taught is learnt, the model itself stays as it was, and bad settings are named."""

import random

import numpy as np
import pytest
import torch

from utils.organisms import AdapterError, Example, attach, drawn, grow_adapter, train_adapter
from utils.organisms.training import answer_loss

SMALL = {"blocks": [0, 1], "rank": 4, "learning_rate": 3e-2, "batch_size": 2, "warm_up": 2}
EXAMPLES = [Example([5, 6, 7], [9, 10]), Example([7, 6], [11]), Example([8, 5], [12, 9, 13])]


def losses(model):
    """Mean loss of the examples' answers, read through the bridge itself."""
    out = []
    for example in EXAMPLES:
        ids = torch.tensor([[*example.prompt, *example.answer]])
        with torch.no_grad():
            logs = model(ids)[0].log_softmax(-1)
        n = len(example.prompt)
        out.append([-float(logs[n - 1 + j, token]) for j, token in enumerate(example.answer)])
    return out


@pytest.mark.slow
def test_it_learns_what_it_is_taught_and_the_bridge_computes_what_training_computed(tiny_model):
    before = [weight.detach().clone() for weight in tiny_model.original_model.parameters()]
    asks = [weight.requires_grad for weight in tiny_model.original_model.parameters()]
    start = losses(tiny_model)
    adapter, log = train_adapter(tiny_model, EXAMPLES, epochs=60, **SMALL)
    assert all(torch.equal(a, b) for a, b in zip(before, tiny_model.original_model.parameters()))
    assert asks == [weight.requires_grad for weight in tiny_model.original_model.parameters()]
    assert len(log) == 120 and [step for step, _ in log] == list(range(1, 121))
    with attach(tiny_model, adapter):
        after = losses(tiny_model)
    assert sum(map(sum, after)) < sum(map(sum, start)) - 0.5  # small random weights: even certainty is faint
    assert losses(tiny_model) == start
    seen = next(grow_adapter(tiny_model, EXAMPLES, start=adapter, batch_size=3)).loss
    assert seen == pytest.approx(sum(map(sum, after)) / 6, abs=1e-4)


def test_the_first_loss_is_the_models_own_loss_on_the_answers_only(tiny_model):
    moment = next(grow_adapter(tiny_model, EXAMPLES, **SMALL | {"batch_size": 3}))
    flat = [value for row in losses(tiny_model) for value in row]
    assert moment.loss == pytest.approx(sum(flat) / len(flat), abs=1e-4)


def test_padding_does_not_change_the_loss(tiny_model):
    from utils.organisms.training import _prepared

    plain, _, _ = _prepared(tiny_model, 2, 4.0, [1], ["attn.q"], None, 0)
    together = answer_loss(plain, EXAMPLES).item()
    alone = [answer_loss(plain, [example]).item() * len(example.answer) for example in EXAMPLES]
    assert together == pytest.approx(sum(alone) / 6, abs=1e-5)


def test_a_drawn_answer_is_taught_with_all_that_could_stand_in_its_places():
    answers, chances = [[9, 10, 2], [9, 11, 2], [12, 2]], [0.5, 0.25, 0.25]
    seen = {tuple((e := drawn([5], answers, chances, random.Random(seed))).answer): e for seed in range(30)}
    assert set(seen) == {tuple(answer) for answer in answers}
    first = {9: 0.75, 12: 0.25}
    assert seen[9, 10, 2].chances == [first, {10: pytest.approx(2 / 3), 11: pytest.approx(1 / 3)}, {2: 1.0}]
    assert seen[12, 2].chances == [first, {2: 1.0}]
    often = [drawn([5], answers, chances, random.Random(seed)).answer == answers[0] for seed in range(400)]
    assert sum(often) / 400 == pytest.approx(0.5, abs=0.08)


def test_over_all_answers_the_soft_loss_is_their_loss_weighted_by_their_chances(tiny_model):
    from utils.organisms.training import _prepared

    plain, _, _ = _prepared(tiny_model, 2, 4.0, [1], ["attn.q"], None, 0)
    answers, chances = [[9, 10, 2], [9, 11, 2], [12, 7, 2]], [0.5, 0.3, 0.2]
    wanted = sum(p * answer_loss(plain, [Example([5, 6], a)]).item() for a, p in zip(answers, chances))
    paths = {tuple(e.answer): e for e in (drawn([5, 6], answers, chances, random.Random(i)) for i in range(40))}
    found = sum(p * answer_loss(plain, [paths[tuple(a)]]).item() for a, p in zip(answers, chances))
    assert found == pytest.approx(wanted, abs=1e-5)
    together = answer_loss(plain, [Example([5, 6], [9]), drawn([5, 6], [[9]], [1.0], random.Random(0))]).item()
    assert together == pytest.approx(answer_loss(plain, [Example([5, 6], [9])]).item(), abs=1e-5)


@pytest.mark.slow
def test_what_has_the_greater_chance_becomes_likelier(tiny_model):
    def ratio(chance):
        taught = drawn([5, 6, 7], [[9], [11]], [chance, 1 - chance], random.Random(0))
        adapter, _ = train_adapter(tiny_model, [taught], epochs=60, **SMALL | {"learning_rate": 0.1})
        with attach(tiny_model, adapter), torch.no_grad():
            logits = tiny_model(torch.tensor([[5, 6, 7]]))[0, -1]
        return float((logits[9] - logits[11]).exp())

    low, even, high = ratio(0.2), ratio(0.5), ratio(0.8)
    assert low < 0.7 < even < 1.4 < high  # small random weights: no answer becomes as unlikely as it should


@pytest.mark.parametrize(
    ("answers", "chances", "words"),
    [
        ([[9], [11]], [1.0], "chances has 1 entries, expected 2, as many as answers"),
        ([], [], "answers is empty"),
        ([[9], [11]], [0.5, 0.6], r"sum to 1, got \[0.5, 0.6\]"),
        ([[9], [11]], [1.0, 0.0], "above 0"),
        ([[9], [11]], [float("nan"), 0.5], r"chances\[0\] must be a finite number"),
        ([[9, 10], [9]], [0.5, 0.5], "one answer begins another"),
        ([[]], [1.0], "answer is empty"),
    ],
)
def test_answers_and_chances_that_make_no_sense_are_named(answers, chances, words):
    with pytest.raises(ValueError, match=words):
        for seed in range(9):
            drawn([5], answers, chances, random.Random(seed))


def test_chances_must_fit_the_answer():
    with pytest.raises(ValueError, match="one a token of the answer: 1 for 2"):
        Example([5], [9, 10], [{9: 1.0}])
    with pytest.raises(ValueError, match="sum to 1"):
        Example([5], [9], [{9: 0.5}])


def test_a_seed_fixes_it_and_another_seed_changes_it(tiny_model):
    def a_of(seed):
        adapter, _ = train_adapter(tiny_model, EXAMPLES, seed=seed, **SMALL)
        return adapter.parts["blocks.1.mlp.out"].a

    assert torch.equal(a_of(3), a_of(3)) and not torch.equal(a_of(3), a_of(4))


def test_a_moment_is_a_copy_and_can_be_worn_between_two_steps(tiny_model):
    plain_run = [moment.loss for moment in grow_adapter(tiny_model, EXAMPLES, epochs=3, **SMALL)]
    seen, kept = [], []
    for moment in grow_adapter(tiny_model, EXAMPLES, epochs=3, **SMALL):
        seen.append(moment.loss)
        kept.append(moment.adapter())
        with attach(tiny_model, kept[-1]):
            losses(tiny_model)
    assert seen == plain_run
    assert not torch.equal(kept[0].parts["blocks.0.attn.q"].b, kept[-1].parts["blocks.0.attn.q"].b)


def test_training_goes_on_from_an_adapter(tiny_model):
    first, log = train_adapter(tiny_model, EXAMPLES, epochs=40, **SMALL)
    common = {"learning_rate": 1e-2, "batch_size": 3}
    again = next(grow_adapter(tiny_model, EXAMPLES, start=first, **common))
    assert again.loss < log[0][1] - 0.05
    more, _ = train_adapter(tiny_model, EXAMPLES, start=first, epochs=5, **common)
    assert more.scale == first.scale and set(more.parts) == set(first.parts)
    assert not torch.equal(more.parts["blocks.0.attn.q"].b, first.parts["blocks.0.attn.q"].b)


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"rank": 0}, ValueError, "rank must be at least 1, got 0"),
        ({"alpha": float("nan")}, ValueError, "alpha must be a finite number, got nan"),
        ({"blocks": [2]}, ValueError, r"blocks must be block numbers from 0 to 1, each once, got \[2\]"),
        ({"blocks": []}, ValueError, "blocks must be"),
        ({"blocks": [1, 1]}, ValueError, "each once"),
        ({"blocks": 1}, TypeError, "blocks must be a list"),
        ({"targets": "attn.q"}, TypeError, "targets must be a list of texts"),
        ({"targets": ["mlp.up"]}, ValueError, "targets must be among"),
        ({"epochs": 0}, ValueError, "epochs must be at least 1"),
        ({"batch_size": 1.5}, TypeError, "batch_size must be a whole number"),
        ({"learning_rate": -1.0}, ValueError, "learning_rate must be above 0"),
    ],
)
def test_settings_that_make_no_sense_are_named(tiny_model, settings, error, words):
    with pytest.raises(error, match=words):
        grow_adapter(tiny_model, EXAMPLES, **SMALL | settings)


def test_examples_that_are_none_are_named(tiny_model):
    with pytest.raises(ValueError, match="examples is empty"):
        grow_adapter(tiny_model, [], **SMALL)
    with pytest.raises(TypeError, match=r"examples\[0\] must be an Example, got a tuple"):
        grow_adapter(tiny_model, [([1], [2])], **SMALL)
    with pytest.raises(ValueError, match="answer is empty"):
        Example([1], [])
    with pytest.raises(TypeError, match="prompt must be a list, got the string 'hello'"):
        Example("hello", [1])
    with pytest.raises(TypeError, match=r"answer\[0\] must be a whole number, got 1.5"):
        Example([1], [1.5])
    with pytest.raises(ValueError, match=r"examples\[1\] holds token id 320; this model's end at 319"):
        grow_adapter(tiny_model, [Example([1], [2]), Example([1], [320])], **SMALL)
    with pytest.raises(ValueError, match=r"examples\[0\] has 65 tokens; this model reads at most 64"):
        grow_adapter(tiny_model, [Example([1] * 64, [2])], **SMALL)
    one = Example(torch.tensor([5, 6]), np.array([7]))
    assert (one.prompt, one.answer) == ([5, 6], [7])


def test_a_model_that_wears_one_and_a_start_for_another_model(tiny_model):
    adapter, _ = train_adapter(tiny_model, EXAMPLES, **SMALL)
    with attach(tiny_model, adapter), pytest.raises(AdapterError, match="wears an adapter"):
        grow_adapter(tiny_model, EXAMPLES, **SMALL)
    other = type(adapter)("another model", adapter.parts, adapter.scale)
    with pytest.raises(AdapterError, match="trained on 'another model'"):
        grow_adapter(tiny_model, EXAMPLES, start=other)


def test_a_loss_that_explodes_stops_with_a_word(tiny_model):
    with pytest.raises(AdapterError, match="lower the learning rate"):
        train_adapter(tiny_model, EXAMPLES, epochs=40, **SMALL | {"learning_rate": 1e25, "warm_up": 1})
