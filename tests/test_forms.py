"""What learners hand back, in every form: converted in one place, or refused by a message that names the form."""

import functools
from collections import OrderedDict, defaultdict
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from utils import checks
from utils.authoring.notebooks import variants
from utils.checks import Exercise, calling, comparing, forms
from utils.checks.calling import Mistake


@pytest.mark.parametrize("lesson", checks.lessons())
def test_every_form_of_a_right_answer_is_accepted_or_refused_by_its_name(lesson):
    outcomes = variants.try_lesson(lesson)
    assert outcomes
    for outcome in outcomes:
        assert outcome.accepted or outcome.named, f"{outcome.number} refuses a {outcome.form}: {outcome.said}"


TENSOR = forms.form_of(torch.tensor([1.5, 2.5]))


@pytest.mark.parametrize(
    ("value", "form", "wanted"),
    [
        (np.array([1.5, 2.5]), TENSOR, torch.tensor([1.5, 2.5])),
        ([1, 2], TENSOR, torch.tensor([1.0, 2.0])),
        ([torch.tensor(1.5), torch.tensor(2.5)], TENSOR, torch.tensor([1.5, 2.5])),
        (torch.tensor([1, 2]), TENSOR, torch.tensor([1.0, 2.0])),
        ([True, False], forms.form_of(torch.tensor([True])), torch.tensor([True, False])),
        (torch.tensor([1.0, 0.0]), forms.form_of(torch.tensor([True])), torch.tensor([True, False])),
        ([3.0, 1.0], forms.form_of(torch.tensor([7])), torch.tensor([3, 1])),
        (torch.tensor([1.5]), forms.form_of(np.ones(2)), np.array([1.5], dtype=np.float32)),
        (torch.tensor([[2.5]], requires_grad=True), forms.form_of(1.0), 2.5),
        (np.float32(2.5), forms.form_of(1.0), 2.5),
        (np.int64(2), forms.form_of(1.0), 2.0),
        (torch.tensor(2), forms.form_of(1), 2),
        (3.0, forms.form_of(1), 3),
        (np.bool_(True), forms.form_of(False), True),
        (np.array([1.5, 2.0, 3.0]), forms.form_of((1.0, 2.0, 3)), (1.5, 2.0, 3)),
        (["a", "b"], forms.form_of(("a", "b")), ("a", "b")),
        (range(3), forms.form_of([1]), [0, 1, 2]),
        ({np.int64(1): np.float32(2)}, forms.form_of({3: 1.0}), {1: 2.0}),
    ],
)
def test_a_value_is_converted(value, form, wanted):
    came = forms.converted(value, form)
    assert type(came) is type(wanted)
    if isinstance(wanted, (torch.Tensor, np.ndarray)):
        assert came.dtype == wanted.dtype and came.tolist() == wanted.tolist()
    else:
        assert came == wanted and forms.form_of(came) == forms.form_of(wanted)


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (2.5, forms.form_of(1)),  # not whole
        (True, forms.form_of(1.0)),  # a verdict is no number
        (1, forms.form_of(True)),
        (2.5, TENSOR),  # one number where there should be many
        ("text", TENSOR),
        ({"a": 1}, TENSOR),
        ([1.0, 2.0], forms.form_of((1.0, 2.0, 3.0))),  # too few
        (torch.ones(2), forms.form_of(1.0)),
        (2.5, forms.form_of(torch.ones((), requires_grad=True))),  # the gradient is lost
        (object(), forms.form_of([1])),
        (torch.max(torch.ones(2, 3), 0), TENSOR),  # values and indices are two things
    ],
)
def test_what_would_lose_something_is_left_as_it_came(value, form):
    assert forms.converted(value, form) is value


def test_a_float_takes_the_type_of_what_came_in_where_the_reference_can():
    form = forms.both(TENSOR, forms.form_of(torch.ones(2, dtype=torch.float64)))
    single, double = torch.ones(2), torch.ones(2, dtype=torch.float64)
    assert forms.converted(double, form, [single]).dtype == torch.float32
    assert forms.converted(single, form, [double]).dtype == torch.float64
    assert forms.converted(double, TENSOR, [double]).dtype == torch.float32


def mean(x):
    return float(x.mean())


def check_mean(function):
    comparing.expect_close(calling.call(function, torch.tensor([1.0, 2.0])), 1.5, "Take the mean.")


def test_the_lesson_goes_on_with_the_learners_own_function_or_with_one_that_converts():
    exercise = Exercise("1.1", "t", mean, check_mean)
    as_float, as_numpy = (lambda x: x.mean().item()), (lambda x: np.float32(x.mean()))
    assert checks.mark(exercise, as_float).answer is as_float
    answer = checks.mark(exercise, as_numpy).answer
    assert type(answer(torch.ones(2))) is float and answer.__wrapped__ is as_numpy
    assert checks.mark(exercise, lambda x: 7.0).answer is None


def test_half_precision_is_refused_by_the_form_that_is_wanted():
    exercise = Exercise("1.1", "t", lambda x: x * 2, lambda f: calling.call(f, torch.ones(2)))
    assert (
        "bfloat16, which keeps three digits; return a torch tensor"
        in checks.mark(exercise, lambda x: x.bfloat16()).message
    )


def test_two_float_types_that_met_are_told_in_words():
    with pytest.raises(Mistake, match="give what you build the type of the inputs"):
        calling.call(lambda x: torch.ones(2) @ x, torch.ones(2, dtype=torch.float64))


@dataclass
class Record:
    rows: list
    size: int = 1


@pytest.mark.parametrize(
    ("given", "change"),
    [
        ([1, 2], lambda x: x.__setitem__(0, 5)),
        ([[1], [2]], lambda x: x[1].append(3)),
        ([torch.ones(2)], lambda x: x[0].mul_(2)),
        ([torch.ones(2)], lambda x: x.__setitem__(0, "gone")),
        ({"a": {"b": np.ones(2)}}, lambda x: x["a"]["b"].fill(0)),
        (defaultdict(list, a=[1]), lambda x: x["new"]),
        (OrderedDict(a=1, b=2), lambda x: x.move_to_end("a")),
        (Record([1]), lambda x: x.rows.append(2)),
        (Record([1]), lambda x: setattr(x, "size", 2)),
        ([Record([[1]])], lambda x: x[0].rows[0].append(2)),
        ({1, 2}, lambda x: x.add(3)),
        ((torch.ones(1),), lambda x: x[0].zero_()),
    ],
)
def test_a_change_in_place_is_seen_wherever_it_is(given, change):
    before = repr(given)
    with pytest.raises(Mistake, match="changed its input"):
        calling.call(lambda x: (change(x), 1)[1], given)
    assert repr(given) == before
    assert calling.call(lambda x: 1, given) == 1


def test_hooks_are_called_as_the_model_calls_them():
    ones = torch.ones(1, 2)
    for right in (
        lambda activation, hook: activation * 2,
        lambda activation, *, hook: activation * 2,
        lambda activation, hook=None, factor=2: activation * factor,
        functools.partial(lambda activation, factor, hook: activation * factor, factor=2),
    ):
        assert calling.call_hook(right, ones).tolist() == [[2, 2]]
    assert calling.call_hook(lambda activation, hook: hook.layer(), ones, "blocks.7.hook_out") == 7
    assert calling.call_hook(lambda activation, hook: None, ones) is None
    with pytest.raises(Mistake, match="second argument must be called `hook`"):
        calling.call_hook(lambda activation, _: activation, ones)
    with pytest.raises(Mistake, match="changed its input"):
        calling.call_hook(lambda activation, hook: activation.mul_(2), ones)
