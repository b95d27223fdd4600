"""Checks of one thing at a time: a number, a text, a row of labels. `utils.inputs` calls them for a whole signature.

Each takes the argument's name and the value, and returns the value in the form a function works with, or raises
`TypeError` (the wrong kind of thing) or `ValueError` (a wrong value) with words that begin with the name.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

MOST = 10_000_000  # of anything that is counted: a slip of the keyboard must not hang the computer


@dataclass(frozen=True)
class Range:
    """Bounds of a number: low and high are allowed themselves, above and below are not."""

    low: float | None = None
    high: float | None = None
    above: float | None = None
    below: float | None = None

    def check(self, name: str, value: float) -> None:
        """Raise ValueError, naming the argument, if the value lies outside."""
        if self.low is not None and value < self.low:
            raise ValueError(f"{name} must be at least {self.low:g}, got {value!r}")
        if self.above is not None and value <= self.above:
            raise ValueError(f"{name} must be above {self.above:g}, got {value!r}")
        if self.high is not None and value > self.high:
            raise ValueError(f"{name} must be at most {self.high:,.12g}, got {value!r}")
        if self.below is not None and value >= self.below:
            raise ValueError(f"{name} must be below {self.below:g}, got {value!r}")


# --------------------------------------------------------------------------------------------- one value at a time


def what(value: Any) -> str:
    """What came, in a few words: for the end of an error message."""
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    if isinstance(value, str):
        return f"the string {value if len(value) < 40 else value[:37] + '...'!r}"
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if shape is not None and dtype is not None:
        return f"{_article(value)} of shape {tuple(shape)} and type {dtype}"
    if isinstance(value, list | tuple | set | frozenset | dict):
        return f"{_article(value)} of {len(value)}"
    return f"the class {value.__name__}" if isinstance(value, type) else _article(value)


def _article(value: Any) -> str:
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def scalar(value: Any) -> Any:
    """A number out of a numpy scalar or a tensor or array without axes; anything else as it is."""
    if isinstance(value, np.generic):
        return value.item()
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        return value.item()
    return value


def whole(
    name: str, value: Any, low: float | None = None, high: float | None = MOST, *, context: str = "a whole number"
) -> int:
    """The value as an int. Floats are refused even when whole, and so are True and False."""
    plain = scalar(value)
    if not isinstance(plain, int) or isinstance(plain, bool):
        raise TypeError(f"{name} must be {context}, got {what(value)}")
    Range(low, high).check(name, plain)
    return plain


def number(name: str, value: Any, bounds: Range = Range()) -> float:
    """The value as a finite float, within bounds."""
    plain = scalar(value)
    if not isinstance(plain, int | float) or isinstance(plain, bool):
        raise TypeError(f"{name} must be a number, got {what(value)}")
    if not math.isfinite(plain):
        raise ValueError(f"{name} must be a finite number, got {plain}")
    bounds.check(name, plain)
    return plain if isinstance(value, int | float) else float(plain)


def limit(name: str, value: Any) -> float:
    """A bound: a number above 0, or infinity, which bounds nothing."""
    plain = scalar(value)
    if isinstance(plain, float) and plain == math.inf:
        return plain
    return number(name, value, Range(above=0))


def flag(name: str, value: Any) -> bool:
    """True or False, and nothing that merely counts as one."""
    plain = scalar(value)
    if not isinstance(plain, bool):
        raise TypeError(f"{name} must be True or False, got {what(value)}")
    return plain


def text(name: str, value: Any, *, empty: bool = True) -> str:
    """A string; with empty=False one that holds more than spaces."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, got {what(value)}")
    if not empty and not value.strip():
        raise ValueError(f"{name} must hold some text, got {value!r}")
    return str(value)


def one_of(name: str, value: Any, options: Iterable[Any]) -> Any:
    """One of the options, which the message lists."""
    options = list(options)
    listed = ", ".join(repr(option) for option in options)
    if not isinstance(value, Hashable) or not any(type(value) is type(o) and value == o for o in options):
        kind = TypeError if options and not isinstance(value, type(options[0])) else ValueError
        raise kind(f"{name} must be {'one of ' if len(options) > 1 else ''}{listed}, got {what(value)}")
    return value


def function(name: str, value: Any) -> Any:
    """Something that can be called."""
    if not callable(value):
        raise TypeError(f"{name} must be a function, got {what(value)}")
    return value


def check_instance(name: str, value: Any, kind: type | tuple[type, ...]) -> Any:
    """A value of this class (or of one of these)."""
    if not isinstance(value, kind):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        raise TypeError(f"{name} must be {' or '.join(_kind_name(k) for k in kinds)}, got {what(value)}")
    return value


def _kind_name(kind: type) -> str:
    article = "an" if kind.__name__[0].lower() in "aeiou" else "a"
    return f"{article} {kind.__name__}"


def is_model(value: Any) -> bool:
    """Whether this is a language model with hooks, as `utils.models.load_model` returns."""
    return all(hasattr(value, part) for part in ("cfg", "blocks", "hook_dict", "run_with_hooks", "parameters"))


def model(name: str, value: Any) -> Any:
    if not is_model(value) or isinstance(value, type):
        raise TypeError(f"{name} must be a TransformerBridge (utils.models.load_model), got {what(value)}")
    return value


# ------------------------------------------------------------------------------------------------ rows of values


def sequence(name: str, value: Any, expected: str) -> list[Any]:
    """A list, tuple, array, tensor, pandas column or other sequence as a list of plain Python values."""
    if isinstance(value, str | bytes | Mapping | set | frozenset) or not hasattr(value, "__len__"):
        single = f"; for a single one write [{name}]" if isinstance(value, str) else ""
        raise TypeError(f"{name} must be {expected}, got {what(value)}{single}")
    if hasattr(value, "detach"):
        if value.is_meta:
            raise TypeError(f"{name} must be {expected}, got a tensor without content (device meta)")
        value = value.detach().cpu()
    if hasattr(value, "tolist"):
        listed = value.tolist()
        if not isinstance(listed, list):
            raise TypeError(f"{name} must be {expected}, got a single value, {listed!r}")
        return listed
    try:
        return list(value)
    except TypeError:
        raise TypeError(f"{name} must be {expected}, got {what(value)}") from None


def texts(name: str, value: Any, *, least: int = 1) -> list[str]:
    """A list of strings from any sequence of them; never one string, read letter by letter."""
    rows = sequence(name, value, "a list of texts")
    for i, row in enumerate(rows):
        if not isinstance(row, str):
            raise TypeError(f"{name}[{i}] must be a string, got {what(row)}")
    if len(rows) < least:
        raise ValueError(f"{name} must hold at least {least} text(s), got {len(rows)}")
    return [str(row) for row in rows]


_TRUE, _FALSE = {"1", "true", "1.0"}, {"0", "false", "0.0"}


def boolean_labels(name: str, value: Any) -> Bool[np.ndarray, "n"]:
    """Labels as booleans (n,): True and False, 1 and 0, 1.0 and 0.0, or those words, as a csv file spells them.

    Never by Python's truth, under which "0" and "False" are true. Raises TypeError or ValueError that names the row.
    """
    if isinstance(value, np.ndarray) and value.dtype == bool and value.ndim == 1:
        return value
    rows = sequence(name, value, "a list of labels, True or False for each row")
    found = np.empty(len(rows), dtype=bool)
    for i, row in enumerate(rows):
        if isinstance(row, list | tuple):
            raise ValueError(f"{name} must have one axis, (n,); row {i} holds {what(row)}")
        plain = scalar(row)
        if isinstance(plain, str):
            word = plain.strip().lower()
            if word not in _TRUE | _FALSE:
                raise ValueError(f"{name}[{i}] must be true or false (or 1 or 0), got {plain!r}")
            found[i] = word in _TRUE
        elif isinstance(plain, bool | int | float) and plain in (0, 1):
            found[i] = bool(plain)
        else:
            kind = ValueError if isinstance(plain, int | float) else TypeError
            raise kind(f"{name}[{i}] must be True or False (or 1 or 0), got {what(plain)}")
    return found


def group_names(name: str, value: Any) -> list[Hashable]:
    """One name a row, as plain Python values, so that equal names are equal whatever they came in.

    A tensor's entries are objects of their own, each different from every other: as groups they would mean nothing.
    """
    rows = [scalar(row) for row in sequence(name, value, "a list of group names, one for each row")]
    for i, row in enumerate(rows):
        if isinstance(row, float) and math.isnan(row) or row is None:
            raise ValueError(f"{name}[{i}] is {row!r}, which names no group")
        if isinstance(row, list):
            raise ValueError(f"{name} must have one axis, (n,); row {i} holds {what(row)}")
        if not isinstance(row, Hashable):
            raise TypeError(f"{name}[{i}] must be a name (a string, a number), got {what(row)}")
    return rows


def numbers(name: str, value: Any) -> Float[np.ndarray, "*shape"]:
    """Finite numbers as a float64 array with at least one axis and one entry."""
    if isinstance(value, str | bytes | Mapping) or value is None:
        raise TypeError(f"{name} must be numbers, got {what(value)}")
    if getattr(value, "is_meta", False):
        raise TypeError(f"{name} must be numbers, got a tensor without content (device meta)")
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.double().numpy() if value.dtype.is_floating_point else value.numpy()
    elif not hasattr(value, "__len__") and not hasattr(value, "__array__"):
        raise TypeError(f"{name} must be a list of numbers, got {what(value)}")
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "biuf":
            raise TypeError
        array = array.astype(np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be numbers (a list, an array or a tensor), got {what(value)}") from None
    if array.ndim == 0 or array.size == 0:
        raise ValueError(f"{name} must hold at least one row, got shape {array.shape}")
    finite = np.isfinite(array)
    if not finite.all():
        raise ValueError(f"{name} must be finite, got {int((~finite).sum())} NaN or infinite value(s)")
    return array


def same_length(**values: Any) -> int:
    """The length that all of these have. Raises ValueError that names two which differ."""
    lengths = {name: len(value) for name, value in values.items()}
    first, n = next(iter(lengths.items()))
    for name, length in lengths.items():
        if length != n:
            raise ValueError(f"{name} has {length} entries, expected {n}, as many as {first}")
    return n
