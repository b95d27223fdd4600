"""Exercises and quizzes: what they are made of, where they are listed, and how an answer is judged.

One module a lesson (`lesson_03.py`) lists its `EXERCISES` and its `QUIZ`. A check is a function that takes the
learner's function, tries it on small inputs built to tell mistakes apart, and raises `Mistake` with a sentence that
names what went wrong; returning without raising means the answer passed. What checks are written with is in
`calling.py` and `comparing.py`. The reference solutions live beside the checks, because a lesson goes on with the
reference when an exercise is left open.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import ModuleType
from typing import Any

from utils.checks import forms
from utils.checks.calling import Mistake, NotAttempted

NOT_ATTEMPTED, NOT_YET, PASSED = "not attempted", "not yet", "passed"


@dataclass(frozen=True)
class Exercise:
    """One exercise: its number ("3.1"), title, reference solution, and the check that a right answer passes."""

    number: str
    title: str
    reference: Callable
    check: Callable[[Callable], None]

    @property
    def lesson(self) -> str:
        """Two-digit lesson number, "03" for exercise 3.1."""
        return f"{int(self.number.split('.')[0]):02d}"


@dataclass(frozen=True)
class Option:
    """One answer to a quiz question, with the feedback a learner reads after choosing it."""

    text: str
    right: bool
    feedback: str


@dataclass(frozen=True)
class Question:
    """A quiz question. Several options may be right; every option has its own feedback."""

    prompt: str
    options: Sequence[Option]


@dataclass(frozen=True)
class Verdict:
    """What a check says: `not attempted`, `not yet` or `passed`, and why.

    cause: what the check raised, if it did. answer: what passed, as the lesson goes on with it; None otherwise.
    """

    number: str
    status: str
    message: str
    cause: BaseException | None = field(default=None, repr=False, compare=False)
    answer: Any = field(default=None, repr=False, compare=False)


# --------------------------------------------------------------------------------------------------------- registry


def lessons() -> list[str]:
    """Two-digit numbers of the lessons that have checks, in order."""
    names = (module.name for module in pkgutil.iter_modules(__path__))
    return sorted(name.removeprefix("lesson_") for name in names if name.startswith("lesson_"))


@cache
def exercises(lesson: str) -> dict[str, Exercise]:
    """The exercises of a lesson ("03") by number. Raises ValueError if one is listed twice or in the wrong lesson."""
    found: dict[str, Exercise] = {}
    for exercise in _module(lesson).EXERCISES:
        if exercise.lesson != lesson or exercise.number in found:
            raise ValueError(f"exercise {exercise.number} in lesson_{lesson}.py: wrong lesson, or listed twice")
        found[exercise.number] = exercise
    return found


def find(number: str) -> Exercise:
    """The exercise with this number ("3.1"). Raises ValueError, naming what there is, if there is none."""
    lesson = number.split(".")[0].zfill(2) if isinstance(number, str) else ""
    if lesson not in lessons():
        raise ValueError(f'number must look like "3.1" and name a lesson ({", ".join(lessons())}), got {number!r}')
    known = exercises(lesson)
    if number not in known:
        raise ValueError(f"lesson {lesson} has the exercises {', '.join(known)}, not {number!r}")
    return known[number]


def quiz(lesson: str) -> list[Question]:
    """The quiz of a lesson ("03"). Raises ValueError for a lesson that has none."""
    return list(_module(lesson).QUIZ)


def _module(lesson: str) -> ModuleType:
    if lesson not in lessons():
        raise ValueError(f"lesson must be one of {', '.join(lessons())}, got {lesson!r}")
    return importlib.import_module(f"{__name__}.lesson_{lesson}")


@cache
def form(exercise: Exercise) -> forms.Form:
    """The form in which the lesson needs an exercise's results: what the reference returns in its own check."""
    return forms.learnt(exercise.reference, exercise.check)


def mark(exercise: Exercise, attempt: Any) -> Verdict:
    """Run an exercise's check on an attempt and say how it went, in one of three ways. A bad answer never raises."""
    number = exercise.number
    if not callable(attempt):
        came = type(attempt).__name__
        message = f"lab.check needs your function itself, but got a {came}. Pass its name without brackets after it."
        return Verdict(number, NOT_YET, message)
    changed: list[bool] = []
    own = attempt is exercise.reference
    try:
        exercise.check(attempt if own else forms.fitted(attempt, form(exercise), changed))
    except NotAttempted:
        return Verdict(number, NOT_ATTEMPTED, "Not attempted yet. The lesson goes on with the course's own version.")
    except Mistake as mistake:
        return Verdict(number, NOT_YET, str(mistake), mistake)
    except Exception as error:  # an answer of a kind the check did not foresee must not end the lesson
        message = f"Your result could not be compared ({type(error).__name__}: {error}). Check its type and shape."
        return Verdict(number, NOT_YET, message)
    # Results that came in another form come so in the lesson too, where a cell may need the lesson's own.
    answer = forms.fitted(attempt, form(exercise)) if changed else attempt
    return Verdict(number, PASSED, "Passed. The lesson now uses your function.", answer=answer)
