"""The exercise mechanism: three verdicts, named mistakes, and a learner's code that can't hurt the lesson."""

import numpy as np
import pytest
import torch

from utils import checks
from utils.checks import NOT_ATTEMPTED, NOT_YET, PASSED, Exercise, calling, comparing
from utils.checks.calling import Mistake


def double(x):
    return 2 * x


def check_double(fn):
    result = calling.call(fn, torch.tensor([1.0, 2.0]))
    comparing.expect_close(result, torch.tensor([2.0, 4.0]), "Multiply by two.")


EXERCISE = Exercise("1.1", "Doubling", double, check_double)


def verdict(fn):
    return checks.mark(EXERCISE, fn)


def test_a_stub_is_not_attempted():
    def stub(x):
        raise NotImplementedError

    assert verdict(stub).status == NOT_ATTEMPTED


def test_a_right_answer_passes_and_a_wrong_one_is_named():
    assert verdict(lambda x: x + x).status == PASSED
    wrong = verdict(lambda x: 3 * x)
    assert wrong.status == NOT_YET
    assert wrong.message == "Every number is 1.5 times the right one. Multiply by two."


def test_an_error_is_told_with_its_type_and_line():
    def stops(x):
        y = x + 1
        return y.no_such_thing

    message = verdict(stops).message
    assert "AttributeError on line 3 of your function" in message


def test_a_library_that_is_not_implemented_is_an_error_and_not_an_open_exercise():
    def library_stops(x):
        return np.ma.MaskedArray.__array_prepare__(x) if False else _not_mine()

    namespace = {}
    exec(compile("def not_mine():\n    raise NotImplementedError('no kernel')", "library.py", "exec"), namespace)
    _not_mine = namespace["not_mine"]
    result = verdict(library_stops)
    assert result.status == NOT_YET and "NotImplementedError" in result.message


def test_none_and_changed_inputs_are_named():
    assert "forget the `return`" in verdict(lambda x: None).message
    assert "changed its input" in verdict(lambda x: x.mul_(2)).message


def test_the_inputs_of_a_check_survive_a_function_that_changes_them():
    given = [torch.ones(2), np.ones(2), {"a": [1, 2]}]
    with pytest.raises(Mistake, match="changed its input"):
        calling.call(lambda items: items[2]["a"].append(3) or 1, given)
    assert given[2] == {"a": [1, 2]}


@pytest.mark.parametrize("odd", ["text", [1, "a"], object(), torch.tensor([float("nan"), 1.0]), torch.ones(3), 5])
def test_results_of_any_kind_get_a_sentence(odd):
    result = verdict(lambda x: odd)
    assert result.status == NOT_YET and len(result.message) > 20


def test_a_result_instead_of_a_function_is_named():
    assert "without brackets" in verdict(torch.ones(2)).message


def test_a_check_that_breaks_on_an_odd_result_does_not_end_the_lesson():
    def fragile(fn):
        return fn(1).shape[3]

    result = checks.mark(Exercise("1.1", "t", double, fragile), lambda x: torch.ones(2))
    assert result.status == NOT_YET and "could not be compared" in result.message


def test_expectations_name_what_came_and_what_was_wanted():
    with pytest.raises(Mistake, match=r"shape \(2, 3\); expected \(3,\). Average over examples"):
        comparing.expect_shape(torch.ones(2, 3), (3,), "Average over examples.")
    with pytest.raises(Mistake, match="is a str; expected a float"):
        comparing.expect_type("a", float)
    with pytest.raises(Mistake, match="NaN or infinity"):
        comparing.expect_close(torch.tensor([float("inf")]), torch.tensor([1.0]), "wrong")
    comparing.expect_close([1.0, 2.0], torch.tensor([1, 2]), "lists and tensors compare by value")
    comparing.expect_close(torch.tensor([1.0 + 5e-6]), torch.tensor([1.0]), "small differences are fine")


RIGHT = torch.tensor([[1.25, -0.5], [3.0, 0.125]])


@pytest.mark.parametrize(
    ("came", "words"),
    [
        (-RIGHT, "Every sign is turned round"),
        (RIGHT.abs(), "absolute values"),
        (RIGHT.round(decimals=1), "rounded: keep all digits"),
        (RIGHT.clamp(min=0), "below 0 was cut off"),
        (RIGHT.clamp(0, 1), "outside 0 to 1"),
        (1 - RIGHT, "1 minus the right one"),
        (torch.where(RIGHT == 0.125, 0.875, RIGHT), "below a half was turned into 1 minus itself"),
        (RIGHT * 0, "Every number is 0"),
        (RIGHT.flip(0), "the other way along axis 0"),
        (RIGHT.T, "stand in other places"),
        (RIGHT / 2, "Every number is 0.5 times"),
        (RIGHT + 3, "off by the same 3"),
        (torch.tensor([[1.25, -0.5], [9.0, 0.125]]), r"3 of 4 are right; number \(1, 0\) is 9, expected 3"),
    ],
)
def test_wrong_numbers_are_told_how_they_are_wrong(came, words):
    with pytest.raises(Mistake, match=words + ".*The fallback"):
        comparing.expect_close(came, RIGHT, "The fallback.")


def test_a_case_told_in_words_is_named_with_what_came():
    cases = [((1.0,), 2.0, "Twice 1 is 2."), ((0.0,), 0.0, "Twice 0 is 0.")]
    comparing.expect_each(double, cases)
    with pytest.raises(Mistake, match="Twice 0 is 0. Yours gives 3."):
        comparing.expect_each(lambda x: 3 - x, [((1.0,), 2.0, "Twice 1 is 2."), *cases[1:]])


def test_an_argument_that_makes_no_difference_is_named():
    given, other = {"x": torch.ones(2), "scale": 2.0}, {"x": torch.zeros(2), "scale": 3.0}
    comparing.expect_used(lambda x, scale: x * scale, given, other)
    with pytest.raises(Mistake, match="the same whatever `scale` is"):
        comparing.expect_used(lambda x, scale: x * 2, given, other)


def test_numbers_of_which_nothing_is_known_get_the_message_alone():
    assert comparing.difference(torch.tensor([7.0, 5.0]), torch.tensor([1.0, -2.0])) == ""
    assert comparing.difference(7.0, 1.0) == "" and comparing.difference([1.0], 1.0) == ""


def test_is_close_never_raises():
    assert comparing.is_close(1, 1.0)
    assert not comparing.is_close("a", 1)
    assert not comparing.is_close(torch.ones(2), torch.ones(3))


def test_one_number_takes_every_kind_of_single_number_and_names_the_rest():
    for result in (2, 2.0, np.float32(2), np.array([2.0]), torch.tensor(2), torch.tensor([[2.0]], requires_grad=True)):
        assert comparing.one_number(result, "a mean") == 2.0
    for result, words in (
        (torch.ones(3), r"has shape \(3,\); expected one number, a mean"),
        ([2.0], "is a list; expected one number"),
        (True, "is a bool"),
        (torch.tensor(False), "is a bool"),
        (float("nan"), "NaN or infinity"),
    ):
        with pytest.raises(Mistake, match=words):
            comparing.one_number(result, "a mean")


def test_unknown_numbers_are_refused_with_what_there_is():
    with pytest.raises(ValueError, match=r'must look like "3.1"'):
        checks.find("99.1")
    with pytest.raises(ValueError, match="must look like"):
        checks.find(3.1)
    first = checks.lessons()[0]
    with pytest.raises(ValueError, match="has the exercises"):
        checks.find(f"{int(first)}.99")


@pytest.mark.parametrize("lesson", checks.lessons())
def test_every_lesson_lists_sound_exercises_and_questions(lesson):
    numbers = [f"{int(lesson)}.{i}" for i in range(1, len(checks.exercises(lesson)) + 1)]
    assert list(checks.exercises(lesson)) == numbers, "exercises are numbered in order"
    assert len(checks.quiz(lesson)) >= 5
    for question in checks.quiz(lesson):
        rights = [option.right for option in question.options]
        assert any(rights) and not all(rights), f"{question.prompt}: needs right and wrong options"
        assert len({option.text for option in question.options}) == len(rights) >= 3
        assert all(len(option.feedback) > 20 for option in question.options), question.prompt
        # The page puts "Yes." or "Not this one." before it.
        assert not any(option.feedback.startswith(("Yes", "Not this")) for option in question.options), question.prompt


@pytest.mark.parametrize("lesson", checks.lessons())
def test_the_reference_passes_its_own_check(lesson):
    for number, exercise in checks.exercises(lesson).items():
        assert checks.mark(exercise, exercise.reference).status == PASSED, number


@pytest.mark.parametrize("lesson", checks.lessons())
def test_no_check_accepts_noise(lesson):
    """Answers that are wrong for every exercise: constants, random numbers of the right shape, the input given back."""
    generator = torch.Generator().manual_seed(0)

    def noise_like(reference):
        def noisy(*args, **kwargs):
            result = reference(*args, **kwargs)
            if isinstance(result, torch.Tensor) and result.is_floating_point():
                return torch.randn(result.shape, generator=generator, dtype=result.dtype)
            if isinstance(result, torch.Tensor):
                return torch.zeros_like(result) if result.any() else torch.ones_like(result)
            if isinstance(result, (bool, int, float, np.floating)):
                return type(result)(not result) if isinstance(result, bool) else result + 1.7
            return 0

        return noisy

    for number, exercise in checks.exercises(lesson).items():
        if exercise.by_value:
            answers = ["", "zzz", 0, [], ["zzz"], {}, lambda *a, **k: "zzz"]
        else:
            answers = [noise_like(exercise.reference), lambda *a, **k: 0, lambda *a, **k: a[0] if a else 0]
        for answer in answers:
            verdict = checks.mark(exercise, answer)
            assert verdict.status == NOT_YET, f"{number} accepts noise: {verdict}"


@pytest.mark.parametrize("lesson", checks.lessons())
def test_every_option_of_a_choice_has_feedback_of_its_own(lesson):
    for number, exercise in checks.exercises(lesson).items():
        said = [checks.mark(exercise, option).message for option in exercise.options]
        assert all(len(message) > 40 for message in said) and len(set(said)) == len(said), number
        assert exercise.kind != "choose" or len(said) >= 3, number


@pytest.mark.parametrize("lesson", checks.lessons())
def test_the_right_option_of_a_quiz_has_no_fixed_place(lesson):
    places = [[option.right for option in question.options].index(True) for question in checks.quiz(lesson)]
    assert len(set(places)) > 1, f"the right option is number {places[0] + 1} in all {len(places)} questions"
