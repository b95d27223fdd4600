"""The wrong-answer bank: for every exercise, answers that must be rejected with their own message, and right ones.

`tests/bank/lesson_03.py` holds `WRONG = {"3.1": [(name, function, words of the message), …]}` and
`RIGHT = {"3.1": [(how it differs, function), …]}`; of an exercise that hands in a value, the value. A check is measured
by them: one that accepts noise, or that rejects a right answer written differently, fails here. A *choose* exercise
needs no entries: its options are the answers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.machinery import SourceFileLoader
from types import ModuleType
from typing import Any

from utils import checks
from utils.authoring.notebooks import ROOT, fallbacks

MIN_WRONG, MIN_RIGHT = 3, 2


@dataclass
class Tally:
    """How a lesson's checks did against its bank. generic: answers rejected by a message that names no mistake."""

    wrong_rejected: int = 0
    wrong_total: int = 0
    right_accepted: int = 0
    right_total: int = 0
    generic: int = 0
    failures: list[str] = field(default_factory=list)


def load(lesson: str) -> ModuleType:
    """The bank module of a lesson ("03"). Raises ValueError, naming the file that is missing."""
    path = ROOT / "tests" / "bank" / f"lesson_{lesson}.py"
    if not path.exists():
        raise ValueError(f"lesson {lesson} has no bank of wrong answers: tests/bank/{path.name} is missing")
    loader = SourceFileLoader(f"bank_lesson_{lesson}", str(path))
    module = ModuleType(loader.name)
    loader.exec_module(module)
    return module


def tally(lesson: str) -> Tally:
    """Run every answer of a lesson's bank through its check, and count."""
    bank, result = load(lesson), Tally()
    known = checks.exercises(lesson)
    for number in sorted({*bank.WRONG, *bank.RIGHT} - set(known)):
        result.failures.append(f"{number}: in the bank, but not an exercise")
    for number, exercise in known.items():
        wrong, right = bank.WRONG.get(number, []), bank.RIGHT.get(number, [])
        if exercise.kind == "choose":
            wrong, right = _choices(exercise)
        if len(wrong) < MIN_WRONG or len(right) < MIN_RIGHT:
            too_few = (
                f"{number}: needs {MIN_WRONG} wrong and {MIN_RIGHT} right answers, has {len(wrong)} and {len(right)}"
            )
            result.failures.append(too_few)
        for name, answer, words in wrong:
            result.wrong_total += 1
            verdict = checks.mark(exercise, answer)
            if verdict.status == checks.NOT_YET and words in verdict.message:
                result.wrong_rejected += 1
                result.generic += fallbacks.is_generic(verdict)
            else:
                result.failures.append(
                    f"{number}, wrong ({name}): {verdict.status}: {verdict.message} | wanted {words!r}"
                )
        for name, answer in right:
            result.right_total += 1
            verdict = checks.mark(exercise, answer)
            if verdict.status == checks.PASSED:
                result.right_accepted += 1
            else:
                result.failures.append(f"{number}, right ({name}): {verdict.status}: {verdict.message}")
    return result


def _choices(exercise: checks.Exercise) -> tuple[list[tuple[str, Any, str]], list[tuple[str, Any]]]:
    """Wrong and right answers of a *choose* exercise: its options, and what is none of them."""
    passes = {letter: checks.mark(exercise, letter) for letter in exercise.options}
    rights = [letter for letter, verdict in passes.items() if verdict.status == checks.PASSED]
    wrong = [
        (f"option {letter}", letter, passes[letter].message) for letter in exercise.options if letter not in rights
    ]
    odd: list[Any] = ["", "no such option", 7, [rights[0]], True, exercise.check]
    wrong += [(f"{type(answer).__name__} {answer!r}"[:40], answer, "Hand in one letter, ") for answer in odd]
    spelt = [(form, form.format(letter)) for letter in rights for form in ("{}", " {} ", "({})", "{}.")]
    return wrong, [*spelt, ("a capital", rights[0].upper())]
