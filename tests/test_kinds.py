"""Choose, design, attack: their verdicts, their cells in solution and lesson, their entries in the bank."""

from types import SimpleNamespace

import pytest

from utils import checks, lab
from utils.authoring import notebooks
from utils.authoring.notebooks import bank, build, mutants, variants
from utils.checks import NOT_ATTEMPTED, NOT_YET, PASSED, Exercise, Score
from utils.checks.calling import Mistake, call

FEEDBACK = {
    "a": "Zero ablation leaves the stream where it never is: what breaks may be anything downstream.",
    "b": "Another layer's mean keeps the size and changes the meaning: two things move at once.",
    "c": "The mean over other prompts keeps what all share, and takes away only what is this prompt's.",
}
CHOICE = checks.choose("3.1", "Which control?", "c", FEEDBACK)

UNSEEN = ["the cat sat", "a dog ran off", "no", "it rained all day long"]


def longer_than(texts):
    """A rule: which texts hold more than two words. texts: n strings. -> n bools."""
    return [len(text.split()) > 2 for text in texts]


def check_rule(function):
    said = call(function, list(UNSEEN))
    if len(said) != len(UNSEEN):
        raise Mistake(f"{len(said)} verdicts for {len(UNSEEN)} texts: one for each.")
    hits = sum(a == b for a, b in zip(said, longer_than(UNSEEN)))
    missed = next((t for t, a, b in zip(UNSEEN, said, longer_than(UNSEEN)) if a != b), "")
    return Score(hits / len(UNSEEN), 0.75, len(UNSEEN), "texts", hint=f"Missed: {missed!r}.")


def check_attack(texts):
    if len(set(texts)) < len(texts):
        raise Mistake("A text comes twice.")
    return Score(sum("cat" in text for text in texts) / len(texts), 0.5, len(texts), "texts")


DESIGN = Exercise("3.2", "A rule", longer_than, check_rule, kind="design")
ATTACK = Exercise("3.3", "Fool it", ["a cat", "the cat"], check_attack, kind="attack")


@pytest.mark.parametrize("given", ["c", " C ", "c)", "(c)"])
def test_the_right_letter_passes_with_its_feedback(given):
    verdict = checks.mark(CHOICE, given)
    assert (verdict.status, verdict.answer) == (PASSED, "c")
    assert verdict.message == f"Passed. {FEEDBACK['c']} The lesson now uses your answer."


def test_wrong_letters_answer_back_and_other_things_are_named():
    assert checks.mark(CHOICE, None).status == NOT_ATTEMPTED
    for letter in "ab":
        verdict = checks.mark(CHOICE, letter)
        assert (verdict.status, verdict.message, verdict.answer) == (NOT_YET, FEEDBACK[letter], None)
    for odd, came in (("d", "'d'"), (3, "3"), (["c"], "a list"), (lambda: "c", "a function")):
        message = checks.mark(CHOICE, odd).message
        assert message == f'Hand in one letter, "a", "b" or "c"; got {came}.'


def test_several_letters_may_be_right_and_none_or_all_may_not():
    several = checks.choose("3.1", "t", ("c", "a"), FEEDBACK)
    assert checks.mark(several, "a").status == checks.mark(several, "c").status == PASSED
    assert several.reference == "c"
    for right in ((), ("a", "b", "c"), "z"):
        with pytest.raises(ValueError, match="right must name some"):
            checks.choose("3.1", "t", right, FEEDBACK)


def test_a_design_is_scored_and_the_score_shown_either_way():
    passed = checks.mark(DESIGN, lambda texts: [len(t) > 5 for t in texts])
    assert passed.status == PASSED
    assert passed.message == (
        "Passed. Score on 4 texts you have not seen: 1.00; needed 0.75. The lesson now uses your function."
    )
    short = checks.mark(DESIGN, lambda texts: [True, False, True, True])
    assert short.status == NOT_YET
    assert short.message == "Score on 4 texts you have not seen: 0.50; needed 0.75. Missed: 'a dog ran off'."
    assert checks.mark(DESIGN, lambda texts: [True]).message == "1 verdicts for 4 texts: one for each."


def test_a_score_just_short_is_not_shown_as_reached():
    assert "0.7499; needed 0.75" in Score(0.7499, 0.75, 9, "texts").sentence()
    assert Score(0.75, 0.75, 9, "texts").reached


def test_an_attack_hands_in_texts_and_what_is_none_is_named():
    assert checks.mark(ATTACK, None).status == NOT_ATTEMPTED
    mine = ["a cat", "one more cat"]
    verdict = checks.mark(ATTACK, tuple(mine))
    assert verdict.status == PASSED and verdict.answer == mine
    assert "0.00; needed 0.50" in checks.mark(ATTACK, ["a", "b"]).message
    assert checks.mark(ATTACK, ["a", "a"]).message == "A text comes twice."
    for odd, words in (
        (lambda: 1, "got a function"),
        (3, "got an int"),
        ([1, 2], "not all that is in your list is text"),
    ):
        message = checks.mark(ATTACK, odd).message
        assert message.startswith("Hand in a list of texts; ") and words in message


def test_a_kind_that_does_not_exist_and_a_written_value_are_refused():
    with pytest.raises(ValueError, match="kind must be one of write, choose"):
        Exercise("3.1", "t", longer_than, check_rule, kind="guess")
    with pytest.raises(ValueError, match="must be a function"):
        Exercise("3.1", "t", "c", check_rule)


@pytest.fixture
def registered(monkeypatch):
    exercises = {exercise.number: exercise for exercise in (CHOICE, DESIGN, ATTACK)}
    monkeypatch.setattr(checks, "find", exercises.__getitem__)
    monkeypatch.setattr(checks, "exercises", lambda lesson: exercises)
    return exercises


def test_the_lesson_goes_on_with_the_courses_answer_until_ones_own_is_right(registered, capsys):
    assert lab.check("3.1", None) == lab.check("3.1", "a") == "c" == lab.check("3.1", " C")
    assert lab.check("3.3", None) == ["a cat", "the cat"]
    shown = capsys.readouterr().out
    assert "Exercise 3.1 · Not attempted." in shown and "Exercise 3.1 · Not yet. Zero ablation" in shown
    assert "Exercise 3.1 · Passed. The mean over other prompts" in shown


CELL = '### BEGIN SOLUTION\ncontrol = "c"\n### END SOLUTION\ncontrol = lab.check("3.1", control)'


def test_the_stub_of_a_value_says_what_goes_there(registered):
    assert build.strip_solution(CELL) == (
        'control = None  # YOUR ANSWER HERE: "a", "b" or "c"\ncontrol = lab.check("3.1", control)'
    )
    texts = '### BEGIN SOLUTION\nmine = [\n    "a cat",\n]\n### END SOLUTION\nmine = lab.check("3.3", mine)'
    assert build.strip_solution(texts).startswith("mine = None  # YOUR ANSWER HERE: a list of texts\n")
    with pytest.raises(ValueError, match="hands in a function"):
        build.strip_solution(CELL.replace("3.1", "3.2"))
    with pytest.raises(ValueError, match="as the last line"):
        build.strip_solution(CELL + "\nprint(1)")


def broken(registered, options, source=CELL):
    heading = "### Exercise 3.1 · Which control? · 3 min · difficulty 2/5\n\n" + options
    cells = [
        SimpleNamespace(cell_type="markdown", source=heading),
        SimpleNamespace(cell_type="code", source=source),
    ]
    return [message for index, message in build._exercises(SimpleNamespace(cells=cells), "03") if index is not None]


def test_the_builder_wants_the_options_above_and_no_ladder_below(registered):
    assert broken(registered, "- **a** zero\n- **b** another layer's mean\n- **c** the mean") == []
    assert "needs its options just above" in broken(registered, "- **a** zero\n- **c** the mean")[0]


def test_the_bank_of_a_choice_are_its_options(registered, monkeypatch):
    wrong = [("none", ["a"], "0.00; needed"), ("twice", ["a", "a"], "comes twice"), ("no list", 3, "Hand in a list")]
    right = [("one", ["cat", "a"]), ("a tuple", ("cat",))]
    rule = [("all", lambda t: [True] * len(t))], [("by letters", lambda t: [len(x) > 5 for x in t])] * 2
    entries = SimpleNamespace(WRONG={"3.3": wrong, "3.2": []}, RIGHT={"3.3": right, "3.2": rule[1]})
    monkeypatch.setattr(bank, "load", lambda lesson: entries)
    result = bank.tally("03")
    assert result.failures == ["3.2: needs 3 wrong and 2 right answers, has 0 and 2"]
    assert result.wrong_total == result.wrong_rejected > 8 and result.right_total == result.right_accepted


def test_only_written_functions_are_spoiled_and_values_have_one_form():
    assert mutants.try_exercise(CHOICE).outcomes == mutants.try_exercise(DESIGN).outcomes == []
    assert variants.try_exercise(CHOICE) == [] and all(o.accepted or o.named for o in variants.try_exercise(DESIGN))


def test_a_stub_of_a_value_is_found_by_its_number():
    cell = SimpleNamespace(cell_type="code", source=CELL)
    assert notebooks.exercise_number(cell) == "3.1"
