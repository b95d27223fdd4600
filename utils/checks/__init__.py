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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import ModuleType
from typing import Any

from utils.checks import forms
from utils.checks.calling import Mistake, NotAttempted
from utils.checks.kinds import KINDS, Score, choosing, chosen, handed_in, letters, words

NOT_ATTEMPTED, NOT_YET, PASSED = "not attempted", "not yet", "passed"


@dataclass(frozen=True)
class Exercise:
    """One exercise: its number ("3.1"), title, the course's own answer, and the check that a right answer passes.

    kind: "write" (a function), "choose" (a letter), "design" or "attack" (a function or a list of texts, scored on
    data the learner hasn't seen). check: raises `Mistake`; of a design or an attack it may return a `Score`. options:
    the letters of a *choose* exercise; `choose` makes one.
    """

    number: str
    title: str
    reference: Any
    check: Callable[[Any], Any]
    kind: str = "write"
    options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {self.kind!r}")
        if self.kind == "write" and not callable(self.reference):
            raise ValueError(f"exercise {self.number}: the reference of a 'write' exercise must be a function")

    @property
    def by_value(self) -> bool:
        """Whether an answer is a value (a letter, a list of texts) and not a function."""
        return not callable(self.reference)

    @property
    def answer_words(self) -> str:
        """What an answer by value looks like, for the lesson's stub: "a", "b" or "c"; a list of texts."""
        return letters(self.options) if self.options else words(self.reference)

    @property
    def lesson(self) -> str:
        """Two-digit lesson number, "03" for exercise 3.1."""
        return f"{int(self.number.split('.')[0]):02d}"


def choose(number: str, title: str, right: str | Sequence[str], feedback: Mapping[str, str]) -> Exercise:
    """A *choose* exercise. right: the letter that passes, or several. feedback: what each option answers, by letter.

    The options' texts stand in the lesson (`- **a** …`). Raises ValueError for a right letter without feedback.
    """
    rights = (right,) if isinstance(right, str) else tuple(right)
    if not rights or not set(rights) < set(feedback):
        raise ValueError(f"right must name some, not all, of the options {', '.join(feedback)}, got {right!r}")
    return Exercise(number, title, rights[0], choosing(rights, feedback), "choose", tuple(feedback))


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
    changed: list[bool] = []
    try:
        answer = _as_handed_in(exercise, attempt, changed)
        said = exercise.check(answer)
        if isinstance(said, Score) and not said.reached:
            raise Mistake(said.sentence())
    except NotAttempted:
        return Verdict(number, NOT_ATTEMPTED, "Not attempted yet. The lesson goes on with the course's own version.")
    except Mistake as mistake:
        return Verdict(number, NOT_YET, str(mistake), mistake)
    except Exception as error:  # an answer of a kind the check did not foresee must not end the lesson
        message = f"Your result could not be compared ({type(error).__name__}: {error}). Check its type and shape."
        return Verdict(number, NOT_YET, message)
    if not exercise.by_value:
        # Results that came in another form come so in the lesson too, where a cell may need the lesson's own.
        answer = forms.fitted(attempt, form(exercise)) if changed else attempt
    told = said.sentence() if isinstance(said, Score) else said if isinstance(said, str) else ""
    goes_on = f"The lesson now uses your {'answer' if exercise.by_value else 'function'}."
    return Verdict(number, PASSED, " ".join(filter(None, ("Passed.", told, goes_on))), answer=answer)


def _as_handed_in(exercise: Exercise, attempt: Any, changed: list[bool]) -> Any:
    """What the check gets: a function whose results have the lesson's form, or a value in the form of the course's."""
    if exercise.by_value:
        if attempt is None:
            raise NotAttempted
        if exercise.options:
            return chosen(attempt, exercise.options)
        return handed_in(attempt, exercise.reference)
    if not callable(attempt):
        came = type(attempt).__name__
        raise Mistake(
            f"lab.check needs your function itself, but got a {came}. Pass its name without brackets after it."
        )
    return attempt if attempt is exercise.reference else forms.fitted(attempt, form(exercise), changed)
