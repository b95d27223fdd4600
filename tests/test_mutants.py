"""Every reference, spoiled by machine: the engine itself, and each lesson's checks against it."""

import time

import pytest
import torch

from utils import checks
from utils.authoring.notebooks import bank, fallbacks, mutants, mutations
from utils.checks import Exercise, calling, comparing

# Lessons whose checks are not there yet: how many mutants they may still accept, and what share of their rejections may
# be generic. This only shrinks.
SURVIVORS: dict[str, int] = {}
GENERIC: dict[str, float] = {}
MOST_GENERIC = 0.05
TABLE = torch.tensor([[1.127, 2.0, 3.0], [4.0, 5.0, 9.352]])


def centred(x, scale=1.0):
    """Subtract the row means and scale."""
    if scale == 0:
        raise ValueError("scale is 0")
    return (x - x.mean(1, keepdim=True)) * scale


def check_centred(function):
    comparing.expect_close(calling.call(function, TABLE), centred(TABLE), "Subtract the row means.")


def outcomes(reference, check):
    result = mutants.try_exercise(Exercise("1.1", "t", reference, check))
    return result, {outcome.mutant.key: outcome for outcome in result.outcomes}


def test_a_mutant_is_one_change_and_guards_and_docstrings_are_left_alone():
    made = mutations.mutants_of(centred)
    keys = [mutant.key for mutant in made]
    assert len(set(keys)) == len(keys)
    line = "return (x - x.mean(1, keepdim=True)) * scale"
    for kind in ("mean to sum", "1 -> 0", "keepdim= dropped", "Sub to Add", "Mult to Div", "second factor dropped"):
        assert f"{kind} | {line} | 1" in keys, keys
    assert "mean to median | " + line + " | 1" in keys
    assert {"scale ignored | centred", "x changed in place | centred", "result rounded | centred"} <= set(keys)
    assert not any("raise" in key or "if scale" in key for key in keys)
    assert all("  ->  " in mutant.difference for mutant in made if line in mutant.key)


def test_what_a_check_does_not_try_survives_and_the_rest_is_rejected():
    result, by_key = outcomes(centred, check_centred)
    survivors = {outcome.mutant.key for outcome in result.survivors}
    line = "return (x - x.mean(1, keepdim=True)) * scale"
    assert survivors >= {f"Mult to Div | {line} | 1", f"second factor dropped | {line} | 1"}
    assert by_key[f"mean to sum | {line} | 1"].rejected and by_key["x changed in place | centred"].rejected

    def both(function):
        check_centred(function)
        comparing.expect_close(calling.call(function, TABLE, 2.5), centred(TABLE, 2.5), "Multiply by `scale`.")
        comparing.expect_close(calling.call(function, TABLE, scale=2.5), centred(TABLE, 2.5), "Multiply by `scale`.")

    assert not outcomes(centred, both)[0].survivors


def test_reasons_make_survivors_equivalent_and_stale_ones_are_told():
    key = "Mult to Div | return (x - x.mean(1, keepdim=True)) * scale | 1"
    reasons = {key: "it is always 1 here", "gone | centred": "was there once"}
    result = mutants.try_exercise(Exercise("1.1", "t", centred, check_centred), reasons)
    assert [o.mutant.key for o in result.equivalent] == [key]
    assert result.stale == ["gone | centred"]
    assert "STALE" in mutants.text(result) and "SURVIVES" in mutants.text(result)


def test_an_endless_mutant_is_stopped():
    def countdown(n):
        """Count down to 0."""
        steps = 0
        while n > 0:
            n -= 1
            steps += 1
        return steps

    def check(function):
        if calling.call(function, 5) != 5:
            raise calling.Mistake("Count the steps.")

    exercise = Exercise("1.1", "t", countdown, check)
    endless = next(m for m in mutations.mutants_of(countdown) if m.key == "line dropped | n -= 1 | 1")
    start = time.perf_counter()
    outcome = mutants.judge(exercise, endless, seconds=0.2)
    assert outcome.rejected and "stopped after" in outcome.message and time.perf_counter() - start < 2


def test_a_dropped_seed_a_cut_gradient_and_a_helper_are_tried():
    def noisy_loss(x, seed):
        """A loss with noise, which carries its gradient."""
        generator = torch.Generator().manual_seed(seed)
        return (x * torch.randn(x.shape, generator=generator)).sum()

    keys = " ".join(mutant.key for mutant in mutations.mutants_of(noisy_loss))
    for kind in ("seed fixed", "seed dropped", "generator= dropped", "gradient cut", "result without gradient"):
        assert kind in keys, kind

    keys = " ".join(mutant.key for mutant in mutations.mutants_of(with_helper))
    assert "Add to Sub | return x + 1" in keys


def _helper(x):
    return x + 1


def with_helper(x):
    """Twice what the helper says."""
    return 2 * _helper(x)


def test_a_change_deep_inside_an_argument_is_made():
    nested = [{"a": (torch.zeros(2),)}]
    assert mutations._write_over(nested) and nested[0]["a"][0].tolist() == [1, 1]
    assert not mutations._write_over("text") and not mutations._write_over(3)


SOURCE = """def check(function):
    result = call(function, 1)
    if result == 2:
        raise Mistake("Half of it.")
    if result > 3:
        if result > 9:
            raise Mistake("Far too much.")
        raise Mistake("Wrong.")
    reject(result, [(5, "The input.")])
    expect_close(result, 1, "Not it.")
    raise Mistake(
        "Wrong too."
    )
"""


def test_the_last_raise_of_a_check_is_its_fallback(tmp_path):
    path = tmp_path / "lesson_98.py"
    path.write_text(SOURCE)
    assert sorted(fallbacks.fallback_lines(str(path))) == [8, 10, 11, 12, 13]


def test_a_verdict_that_could_not_be_compared_is_generic():
    exercise = Exercise("1.1", "t", centred, lambda f: calling.call(f, TABLE).no_such)
    assert fallbacks.is_generic(checks.mark(exercise, lambda x: 1))
    named = Exercise("1.1", "t", centred, check_centred)
    assert not fallbacks.is_generic(checks.mark(named, centred))
    assert not fallbacks.is_generic(checks.mark(named, lambda x: None))


@pytest.mark.parametrize("lesson", checks.lessons())
def test_every_mutant_is_rejected_or_equivalent_for_a_reason(lesson):
    results = mutants.try_lesson(lesson)
    survivors = [outcome.mutant.key for result in results for outcome in result.survivors]
    assert len(survivors) <= SURVIVORS.get(lesson, 0), "\n".join(map(mutants.text, results))
    stale = [f"{result.number}: {key}" for result in results for key in result.stale]
    assert not stale, f"listed as equivalent, but rejected or gone: {stale}"
    assert all(len(reason) >= 8 for result in results for reason in result.reasons.values()), "a reason, please"
    known = {exercise.number for exercise in checks.exercises(lesson).values()}
    assert set(getattr(bank.load(lesson), "EQUIVALENT", {})) <= known
    share = mutants.generic_share(results, bank.tally(lesson))
    assert share <= GENERIC.get(lesson, MOST_GENERIC), f"{share:.1%} of the rejections name no mistake"


def test_the_share_of_generic_messages_counts_bank_and_mutants():
    result, _ = outcomes(centred, check_centred)
    assert mutants.generic_share([result], bank.Tally()) == 0
    spoiled = mutants.Result("1.1", [mutants.Outcome(mutations.mutants_of(centred)[0], True, "Wrong.", True)])
    assert mutants.generic_share([spoiled], bank.Tally(wrong_rejected=3, generic=1)) == 0.5
    assert mutants.generic_share([], bank.Tally()) == 0
