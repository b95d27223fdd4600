"""Comparing what came with what is right, tolerantly, and saying in a sentence where they differ."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from utils.checks.calling import Mistake, call
from utils.checks.forms import array_of, shape_of


def seeded(seed: int) -> torch.Generator:
    """A random generator of one's own, on the CPU: the inputs of a check are the same wherever it runs."""
    return torch.Generator().manual_seed(seed)


def expect_type(result: Any, expected: type | tuple[type, ...], hint: str = "") -> None:
    """Raise `Mistake` unless the result is of the expected type(s). A 0-d tensor does not count as a float."""
    if not isinstance(result, expected):
        wanted = " or ".join(t.__name__ for t in (expected if isinstance(expected, tuple) else (expected,)))
        raise Mistake(_join(f"Your result is a {type(result).__name__}; expected a {wanted}.", hint))


def expect_shape(result: Any, expected: Sequence[int], hint: str = "") -> None:
    """Raise `Mistake` unless the result (tensor, array, number or nested list) has the expected shape."""
    came = shape_of(result)
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
    if not np.isfinite(array_of(result)).all():
        raise Mistake(_join("Your result holds NaN or infinity. Look for a division by zero or a log of zero.", hint))


def expect_close(result: Any, expected: Any, message: str, atol: float = 1e-5) -> None:
    """Raise `Mistake(message)` unless the result equals the expected numbers, within `atol` and one part in 10,000.

    A wrong shape and NaN are named first, because they explain more than "wrong numbers" would. Numbers that differ in
    a way that `difference` knows are told so before the message.
    """
    expect_shape(result, shape_of(expected) or ())
    if np.isfinite(array_of(expected)).all():
        expect_finite(result)
    if not is_close(result, expected, atol):
        _name_difference(result, expected, message, atol)
        raise Mistake(_join(_places(result, expected, atol), message))


def expect_each(function: Callable, cases: Iterable[tuple[Sequence[Any], Any, str]], atol: float = 1e-5) -> None:
    """Call a learner's function on small cases whose answer can be told in words, and raise `Mistake` at the first that
    is missed.

    cases: (arguments, the right result, what holds there and where to look). For after the named mistakes: a case
    says which property is broken, where numbers alone would say that something is.
    """
    for arguments, right, message in cases:
        came = call(function, *arguments)
        if not is_close(came, right, atol):
            raise Mistake(_join(message, f"Yours gives {_brief(came)}."))


def expect_used(function: Callable, given: Mapping[str, Any], other: Mapping[str, Any], atol: float = 1e-5) -> None:
    """Raise `Mistake` if a learner's function gives the same result whatever one of its arguments is.

    given: the arguments by name, in their order (they are handed over by place). other: for those that are tried,
    another value, for which the right result is another one.
    """
    before = call(function, *given.values())
    for name, value in other.items():
        if _alike(call(function, *{**given, name: value}.values()), before, atol):
            raise Mistake(f"Your result is the same whatever `{name}` is. Use the `{name}` that you are given.")


def named(reference: Callable, args: Sequence[Any]) -> dict[str, Any]:
    """Arguments by the names that the reference gives them, in their order: what `expect_used` is given."""
    return dict(zip(inspect.signature(reference).parameters, args))


def _alike(first: Any, second: Any, atol: float) -> bool:
    """True when two results hold the same: numbers within a tolerance, words exactly, containers item by item."""
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(_alike(first[key], second[key], atol) for key in first)
    if is_close(first, second, atol):
        return True
    if type(first) in (list, tuple) and type(first) is type(second):
        return len(first) == len(second) and all(_alike(a, b, atol) for a, b in zip(first, second))
    return isinstance(first, (str, bool, type(None), set, frozenset)) and first == second


def _brief(value: Any) -> str:
    """A number, or a few of them, as a learner would write it."""
    if shape_of(value) is None:
        return f"a {type(value).__name__}"
    numbers = array_of(value)
    return f"{numbers.item():.4g}" if numbers.size == 1 else f"{np.array2string(numbers, precision=3, threshold=12)}"


def _name_difference(result: Any, right: Any, message: str, atol: float) -> None:
    known = difference(result, right, atol)
    if known:
        raise Mistake(_join(known, message))


def difference(result: Any, right: Any, atol: float = 1e-5) -> str:
    """How wrong numbers differ from the right ones, in one sentence: turned round, rounded, cut off, all doubled, …

    The last resort of a check, after the mistakes that it names itself: it knows numbers, and not how they were made.
    Empty where the shapes differ or nothing is known.
    """
    if shape_of(result) is None or shape_of(result) != shape_of(right):
        return ""
    came, wanted = array_of(result), array_of(right)
    known = [
        (np.zeros_like(wanted), "Every number is 0."),
        (-wanted, "Every sign is turned round."),
        (np.abs(wanted), "These are absolute values: the signs are lost."),
        *((wanted.round(digits), "The numbers are right but rounded: keep all digits.") for digits in range(-2, 5)),
        *((_significant(wanted, digits), "The numbers are right but rounded: keep all digits.") for digits in (2, 3)),
        (wanted.clip(min=0), "What is below 0 was cut off."),
        (wanted.clip(max=1), "What is above 1 was cut off."),
        (wanted.clip(0, 1), "What lies outside 0 to 1 was cut off."),
        (1 - wanted, "Each number is 1 minus the right one."),
        (
            np.where(wanted < 0, wanted, np.maximum(wanted, 1 - wanted)),
            "A number below a half was turned into 1 minus itself.",
        ),
    ]
    for numbers, sentence in known:
        if is_close(came, numbers, atol):
            return sentence
    return _pattern(came, wanted, atol) if came.size > 1 else ""


def _significant(numbers: np.ndarray, digits: int) -> np.ndarray:
    """Each number rounded to so many significant digits."""
    return np.array([float(f"{number:.{digits}g}") for number in numbers.flat]).reshape(numbers.shape)


def _pattern(came: np.ndarray, wanted: np.ndarray, atol: float) -> str:
    """What a table of numbers shows that one number could not."""
    for axis in range(wanted.ndim):
        if is_close(came, np.flip(wanted, axis), atol):
            return "The numbers are right but run the other way" + (f" along axis {axis}." if wanted.ndim > 1 else ".")
    if is_close(np.sort(came, axis=None), np.sort(wanted, axis=None), atol):
        return "The numbers are right but stand in other places."
    largest = np.unravel_index(np.abs(wanted).argmax(), wanted.shape)
    factor, shift = came[largest] / wanted[largest] if wanted[largest] else 0.0, came[largest] - wanted[largest]
    if factor and is_close(came, factor * wanted, atol):
        return f"Every number is {factor:.3g} times the right one."
    if is_close(came, wanted + shift, atol):
        return f"Every number is off by the same {shift:.3g}."
    return ""


def _places(result: Any, right: Any, atol: float) -> str:
    """How many of several numbers are right, and the first that isn't. Empty if none is."""
    came, wanted = array_of(result), array_of(right)
    close = np.isclose(came, wanted, atol=atol, rtol=1e-4)
    if not close.any():
        return ""
    first = tuple(int(i) for i in np.argwhere(~close)[0])
    at = first[0] if wanted.ndim == 1 else first
    return (
        f"{int(close.sum())} of {close.size} are right; number {at} is {came[first]:.3g}, expected {wanted[first]:.3g}."
    )


def reject(result: Any, known: Iterable[tuple[Any, str]], atol: float = 1e-5) -> None:
    """Raise `Mistake` with the first message whose numbers are the ones that came back."""
    for numbers, message in known:
        if is_close(result, numbers, atol):
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
    if shape_of(result) is None or shape_of(result) != shape_of(other):
        return False
    return bool(np.allclose(array_of(result), array_of(other), atol=atol, rtol=1e-4, equal_nan=True))


def _join(sentence: str, hint: str) -> str:
    return f"{sentence} {hint}".strip()
