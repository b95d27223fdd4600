"""What every exercise check is made of: named mistakes, tolerant comparison, and a safe way to call a learner's code.

One module a lesson (`lesson_03.py`) lists its `EXERCISES` and its `QUIZ`. A check is a function that takes the
learner's function, tries it on small inputs built to tell mistakes apart, and raises `Mistake` with a sentence that
names what went wrong. Returning without raising means the answer passed. The reference solutions live beside the
checks, because a lesson goes on with the reference when an exercise is left open.
"""

from __future__ import annotations

import copy
import importlib
import math
import pkgutil
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import torch

NOT_ATTEMPTED, NOT_YET, PASSED = "not attempted", "not yet", "passed"


class Mistake(Exception):
    """The learner's answer is wrong in a way we can name. The message is shown to the learner as it stands."""


class NotAttempted(Exception):
    """The exercise's stub is still in place."""


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
    """What a check says: one of `not attempted`, `not yet`, `passed`, and why."""

    number: str
    status: str
    message: str


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


def judge(exercise: Exercise, attempt: Any) -> Verdict:
    """Run an exercise's check on an attempt and say how it went, in one of three ways. A bad answer never raises."""
    number = exercise.number
    if not callable(attempt):
        came = type(attempt).__name__
        message = f"lab.check needs your function itself, but got a {came}. Pass its name without brackets after it."
        return Verdict(number, NOT_YET, message)
    try:
        exercise.check(attempt)
    except NotAttempted:
        return Verdict(number, NOT_ATTEMPTED, "Not attempted yet. The lesson goes on with the course's own version.")
    except Mistake as mistake:
        return Verdict(number, NOT_YET, str(mistake))
    except Exception as error:  # an answer of a kind the check did not foresee must not end the lesson
        message = f"Your result could not be compared ({type(error).__name__}: {error}). Check its type and shape."
        return Verdict(number, NOT_YET, message)
    return Verdict(number, PASSED, "Passed. The lesson now uses your function.")


# ------------------------------------------------------------------------------------------ calling a learner's code


def call(function: Callable, *args: Any, allow_none: bool = False, **kwargs: Any) -> Any:
    """Call a learner's function on copies of the inputs and return its result.

    Raises `NotAttempted` for an untouched stub, and `Mistake` when the function stops with an error (named, with the
    line), returns None, or changes its inputs. Tensors, arrays and plain containers are copied; other objects
    (a model, a function) are handed over as they are.
    """
    given_args, given_kwargs = _copied(args), _copied(kwargs)
    try:
        result = function(*given_args, **given_kwargs)
    except NotImplementedError as error:
        if _raised_in(function, error):
            raise NotAttempted from None
        raise Mistake(_describe_error(function, error)) from None
    except (Mistake, NotAttempted):
        raise
    except Exception as error:
        raise Mistake(_describe_error(function, error)) from None
    if result is None and not allow_none:
        raise Mistake("Your function returned None. Did you forget the `return` line?")
    if not (_same(args, given_args) and _same(kwargs, given_kwargs)):
        raise Mistake("Your function changed its input. Work on a copy: later cells need the original.")
    return result


def _copied(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return copy.deepcopy(value) if value.is_leaf else value.clone()
    if isinstance(value, np.ndarray):
        return value.copy(order="K")
    if type(value) in (list, tuple, set):
        return type(value)(_copied(item) for item in value)
    if type(value) is dict:
        return {key: _copied(item) for key, item in value.items()}
    return value


def _same(before: Any, after: Any) -> bool:
    if isinstance(before, torch.Tensor):
        same_form = before.shape == after.shape and before.dtype == after.dtype
        return same_form and torch.equal(before.nan_to_num(), after.nan_to_num())
    if isinstance(before, np.ndarray):
        return np.array_equal(before, after, equal_nan=before.dtype.kind in "fc")
    if type(before) in (list, tuple):
        return len(before) == len(after) and all(_same(a, b) for a, b in zip(before, after))
    if type(before) is dict:
        return before.keys() == after.keys() and all(_same(before[key], after[key]) for key in before)
    return before is after or type(before) is not set or before == after


def _frames(function: Callable, error: BaseException) -> list[traceback.FrameSummary]:
    """The frames of an error that lie in the file (or cell) where the learner's function was written."""
    code = getattr(function, "__code__", None)
    frames = traceback.extract_tb(error.__traceback__)
    return [frame for frame in frames if code is not None and frame.filename == code.co_filename]


def _raised_in(function: Callable, error: BaseException) -> bool:
    last, own = traceback.extract_tb(error.__traceback__)[-1], _frames(function, error)
    return bool(own) and (own[-1].filename, own[-1].lineno) == (last.filename, last.lineno)


def _describe_error(function: Callable, error: BaseException) -> str:
    code, own = getattr(function, "__code__", None), _frames(function, error)
    where = ""
    if own and code is not None:
        line = (own[-1].lineno or code.co_firstlineno) - code.co_firstlineno + 1
        where = f" on line {line} of your function" if line >= 1 else ""
        where += f" (`{own[-1].line}`)" if own[-1].line else ""
    reason = str(error).strip().splitlines()[0] if str(error).strip() else "no message"
    return f"Your code stopped with {type(error).__name__}{where}: {reason}"


# ------------------------------------------------------------------------------------------------ saying what is wrong


def expect_type(result: Any, expected: type | tuple[type, ...], hint: str = "") -> None:
    """Raise `Mistake` unless the result is of the expected type(s). A 0-d tensor does not count as a float."""
    if not isinstance(result, expected):
        wanted = " or ".join(t.__name__ for t in (expected if isinstance(expected, tuple) else (expected,)))
        raise Mistake(_join(f"Your result is a {type(result).__name__}; expected a {wanted}.", hint))


def expect_shape(result: Any, expected: Sequence[int], hint: str = "") -> None:
    """Raise `Mistake` unless the result (tensor, array, number or nested list) has the expected shape."""
    came = _shape(result)
    if came is None:
        raise Mistake(
            _join(
                f"Your result is a {type(result).__name__}; expected numbers of shape {tuple(expected)}.",
                hint,
            )
        )
    if came != tuple(expected):
        raise Mistake(_join(f"Your result has shape {came}; expected {tuple(expected)}.", hint))


def expect_finite(result: Any, hint: str = "") -> None:
    """Raise `Mistake` if the result holds NaN or infinity."""
    if not np.isfinite(_array(result)).all():
        raise Mistake(_join("Your result holds NaN or infinity. Look for a division by zero or a log of zero.", hint))


def expect_close(result: Any, expected: Any, message: str, atol: float = 1e-5) -> None:
    """Raise `Mistake(message)` unless the result equals the expected numbers, within `atol` and one part in 10,000.

    A wrong shape and NaN are named first, because they explain more than "wrong numbers" would.
    """
    expect_shape(result, _shape(expected) or ())
    if np.isfinite(_array(expected)).all():
        expect_finite(result)
    if not is_close(result, expected, atol):
        raise Mistake(message)


def one_number(result: Any, what: str) -> float:
    """A float from a number, or from a tensor or array that holds one.

    Raises `Mistake` for anything else, saying `what` was wanted, and for NaN and infinity.
    """
    if isinstance(result, (torch.Tensor, np.ndarray, np.generic)) and math.prod(result.shape) == 1:
        result = result.item()
    if not isinstance(result, (int, float)) or isinstance(result, bool):
        kind = f"has shape {tuple(result.shape)}" if hasattr(result, "shape") else f"is a {type(result).__name__}"
        raise Mistake(f"Your result {kind}; expected one number, {what}.")
    expect_finite(result)
    return float(result)


def is_close(result: Any, other: Any, atol: float = 1e-5) -> bool:
    """True when both hold the same shape and the same numbers (within `atol` and one part in 10,000). Never raises."""
    if _shape(result) is None or _shape(result) != _shape(other):
        return False
    return bool(np.allclose(_array(result), _array(other), atol=atol, rtol=1e-4, equal_nan=True))


def _array(value: Any) -> np.ndarray:
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().to(torch.float64).numpy()
    if isinstance(value, (list, tuple)):
        return np.array([_array(item) for item in value], dtype=np.float64)
    return np.asarray(value, dtype=np.float64)


def _shape(value: Any) -> tuple[int, ...] | None:
    if isinstance(value, torch.Tensor):
        return tuple(value.shape)
    try:
        return _array(value).shape
    except (TypeError, ValueError):
        return None


def _join(sentence: str, hint: str) -> str:
    return f"{sentence} {hint}".strip()
