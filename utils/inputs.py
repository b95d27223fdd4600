"""The doors of the library: what a caller gives is checked once, where it comes in.

A signature says what a function works with; `checked` holds every call to it, and turns what means the same into it:

    @checked
    def interval(scores: Float[Tensor, "n"], labels: Labels, confidence: Fraction = 0.95) -> Interval: ...

    interval([0.2, 0.9], ["0", "1"])    # lists, numpy arrays and tensors mean the same
    interval([0.2, nan], [0, 1])        # ValueError: scores holds 1 NaN or infinite value(s)
    interval(scores, labels[:-1])       # ValueError: labels has shape (9,), expected (n,) with n = 10, as in scores
    interval(scores, labels, 1.5)       # ValueError: confidence must be below 1, got 1.5

Every message begins with the argument's name and says what was expected and what came: `TypeError` for the wrong kind
of thing, `ValueError` for a wrong value. What a signature can't say (two lists that must differ, a mask that leaves
nothing) a function checks itself, with the functions of this module.

Ranges are part of a type: `Count`, `Index`, `Seed`, `Fraction`, `Share`, `Positive`, `NonNegative`, `Number`, `Text`.
So are things that come in many shapes: `Texts`, `Labels`, `Groups`, `Numbers`.
"""

from __future__ import annotations

import builtins
import collections.abc
import functools
import inspect
import math
import os
import re
import sys
import types
import typing
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import numpy as np
from jaxtyping import Bool, Float

if typing.TYPE_CHECKING:
    from torch import Tensor

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


@dataclass(frozen=True)
class _As:
    """A mark in an annotation: convert with this function of (name, value)."""

    convert: Callable[[str, Any], Any]
    expected: str


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


def _scalar(value: Any) -> Any:
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
    plain = _scalar(value)
    if not isinstance(plain, int) or isinstance(plain, bool):
        raise TypeError(f"{name} must be {context}, got {what(value)}")
    Range(low, high).check(name, plain)
    return plain


def number(name: str, value: Any, bounds: Range = Range()) -> float:
    """The value as a finite float, within bounds."""
    plain = _scalar(value)
    if not isinstance(plain, int | float) or isinstance(plain, bool):
        raise TypeError(f"{name} must be a number, got {what(value)}")
    if not math.isfinite(plain):
        raise ValueError(f"{name} must be a finite number, got {plain}")
    bounds.check(name, plain)
    return plain if isinstance(value, int | float) else float(plain)


def flag(name: str, value: Any) -> bool:
    """True or False, and nothing that merely counts as one."""
    plain = _scalar(value)
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


def _model(name: str, value: Any) -> Any:
    if not is_model(value) or isinstance(value, type):
        raise TypeError(f"{name} must be a TransformerBridge (utils.models.load_model), got {what(value)}")
    return value


# ------------------------------------------------------------------------------------------------ rows of values


def _rows(name: str, value: Any, expected: str) -> list[Any]:
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
    rows = _rows(name, value, "a list of texts")
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
    rows = _rows(name, value, "a list of labels, True or False for each row")
    found = np.empty(len(rows), dtype=bool)
    for i, row in enumerate(rows):
        if isinstance(row, list | tuple):
            raise ValueError(f"{name} must have one axis, (n,); row {i} holds {what(row)}")
        plain = _scalar(row)
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
    rows = [_scalar(row) for row in _rows(name, value, "a list of group names, one for each row")]
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


# ----------------------------------------------------------------------------------------------- types with ranges

Count = Annotated[int, Range(low=1, high=MOST)]
Index = Annotated[int, Range(low=0, high=MOST)]
Seed = Annotated[int, Range(low=0, high=2**63 - 1)]
Fraction = Annotated[float, Range(above=0, below=1)]
Share = Annotated[float, Range(low=0, high=1)]
Positive = Annotated[float, Range(above=0)]
NonNegative = Annotated[float, Range(low=0)]
Number = Annotated[float, Range()]
Text = Annotated[str, _As(lambda name, value: text(name, value, empty=False), "a string")]
Texts = Annotated[Sequence[str], _As(texts, "a list of texts")]
Labels = Annotated[Bool[np.ndarray, "n"], _As(boolean_labels, "a list of labels")]
Groups = Annotated[Sequence[Hashable], _As(group_names, "a list of group names")]
Numbers = Annotated[Float[np.ndarray, "*shape"], _As(numbers, "numbers")]


# ------------------------------------------------------------------------------------------------------ signatures

F = TypeVar("F", bound=Callable[..., Any])
# Tests set this to see every call that went well: (function, its arguments as given, the result). None costs nothing.
witness: Callable[[Any, dict[str, Any], Any], None] | None = None
_Door = Callable[[str, Any, "dict[str, tuple[Any, str]]"], Any]


def checked(target: F) -> F:
    """Hold every call of a function (or the making of a dataclass) to its annotations: see the top of this module.

    Raises TypeError for a wrong kind of thing and ValueError for a wrong value, naming the argument. Arguments left at
    their defaults aren't looked at. Annotations of classes that the door doesn't know are checked with isinstance.
    """
    if isinstance(target, type):
        target.__init__ = checked(target.__init__)  # type: ignore[misc]
        return target  # type: ignore[return-value]
    signature = inspect.signature(target)
    first = next(iter(signature.parameters), "")
    ready: dict[str, _Door] = {}

    def doors() -> dict[str, _Door]:
        if not ready:
            for name, parameter in signature.parameters.items():
                if parameter.annotation is inspect.Parameter.empty or (name == first and name in ("self", "cls")):
                    ready[name] = _pass
                else:
                    ready[name] = _door(resolved(target, parameter.annotation))
        return ready

    @functools.wraps(target)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{target.__qualname__}: {error}") from None
        given = dict(bound.arguments) if witness is not None else {}
        sizes: dict[str, tuple[Any, str]] = {}
        known = doors()
        for name, value in bound.arguments.items():
            parameter = signature.parameters[name]
            if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
                bound.arguments[name] = tuple(known[name](f"{name}[{i}]", one, sizes) for i, one in enumerate(value))
            elif parameter.kind is inspect.Parameter.VAR_KEYWORD:
                bound.arguments[name] = {key: known[name](key, one, sizes) for key, one in value.items()}
            elif value is not parameter.default:
                bound.arguments[name] = known[name](name, value, sizes)
        result = target(*bound.args, **bound.kwargs)
        if witness is not None:
            witness(call, given, result)
        return result

    call.__checked__ = target  # type: ignore[attr-defined]
    return call  # type: ignore[return-value]


class _Names(dict):
    """The names an annotation may use: the function's module, then types imported for the checker only."""

    def __missing__(self, key: str) -> Any:
        if hasattr(builtins, key):
            return getattr(builtins, key)
        if key == "TransformerBridge":
            return _ModelType
        if key in ("Tensor", "torch"):
            import torch

            return torch if key == "torch" else torch.Tensor
        if hasattr(typing, key):
            return getattr(typing, key)
        if hasattr(collections.abc, key):
            return getattr(collections.abc, key)
        if key == "Path":
            from pathlib import Path

            return Path
        return Any


class _ModelType:
    """Stands for TransformerBridge where importing it would take seconds."""


def resolved(target: Any, annotation: Any) -> Any:
    """The type that an annotation of a function or class means, in its own module."""
    if not isinstance(annotation, str):
        return annotation
    module = sys.modules.get(target.__module__)
    return eval(annotation, {}, _Names(vars(module) if module else {}))


def _pass(name: str, value: Any, sizes: dict) -> Any:
    return value


def _door(hint: Any) -> _Door:
    """What to do with a value that has this annotation."""
    if hint is Any or hint is inspect.Parameter.empty or isinstance(hint, TypeVar):
        return _pass
    if hint is None or hint is type(None):
        return _exactly_none
    if isinstance(hint, type) and hint.__name__ in ("TransformerBridge", "_ModelType"):
        return lambda name, value, sizes: _model(name, value)
    if hasattr(hint, "dim_str") and hasattr(hint, "array_type"):
        return _array_door(hint)
    origin = get_origin(hint)
    if origin is Annotated:
        return _annotated_door(hint)
    if origin in (Union, types.UnionType):
        return _union_door(get_args(hint))
    if origin is Literal:
        options = get_args(hint)
        return lambda name, value, sizes: one_of(name, value, options)
    plain: dict[Any, _Door] = {
        int: lambda name, value, sizes: whole(name, value, high=None),
        float: lambda name, value, sizes: number(name, value),
        bool: lambda name, value, sizes: flag(name, value),
        str: lambda name, value, sizes: text(name, value),
    }
    if hint in plain:
        return plain[hint]
    if hint is collections.abc.Callable or origin is collections.abc.Callable:
        return lambda name, value, sizes: function(name, value)
    base = origin or hint
    if base in (collections.abc.Sequence, collections.abc.Collection, list, tuple):
        return _sequence_door(hint, base)
    if base is collections.abc.Iterable:
        return _iterable_door
    if not isinstance(base, type):
        return _pass
    if issubclass(base, os.PathLike):
        return lambda name, value, sizes: check_instance(name, value, (base,))
    if base in (collections.abc.Mapping, dict) and get_args(hint):
        return _mapping_door(hint, base)
    if base.__name__ == "Tensor" and base.__module__ == "torch":
        return _bare_tensor_door
    return lambda name, value, sizes: check_instance(name, value, base)


def _exactly_none(name: str, value: Any, sizes: dict) -> None:
    if value is not None:
        raise TypeError(f"{name} must be None, got {what(value)}")


def _annotated_door(hint: Any) -> _Door:
    base, *marks = get_args(hint)
    for mark in marks:
        if isinstance(mark, _As):
            return _converting_door(mark.convert, getattr(base, "dim_str", None))
        if isinstance(mark, Range):
            if base is int:
                return lambda name, value, sizes: whole(name, value, mark.low, mark.high)
            return lambda name, value, sizes: number(name, value, mark)
    return _door(base)


def _converting_door(convert: Callable[[str, Any], Any], dims: str | None) -> _Door:
    def door(name: str, value: Any, sizes: dict) -> Any:
        found = convert(name, value)
        if dims is not None:
            _check_shape(name, found.shape, dims, sizes)
        return found

    return door


def _union_door(options: tuple[Any, ...]) -> _Door:
    """The first option that takes the value; if none does, the message of the one that came nearest."""
    optional = any(option is type(None) for option in options)
    doors = [_door(option) for option in options if option is not type(None)]

    def door(name: str, value: Any, sizes: dict) -> Any:
        if value is None and optional:
            return None
        failures: list[Exception] = []
        for each in doors:
            trial = dict(sizes)
            try:
                found = each(name, value, trial)
            except (TypeError, ValueError) as error:
                failures.append(error)
                continue
            sizes.update(trial)
            return found
        wrong_value = [failure for failure in failures if isinstance(failure, ValueError)]
        if wrong_value or len(failures) == 1:  # the right kind of thing, with a wrong value: say that
            raise (wrong_value or failures)[0]
        expected = [
            re.sub(r", got .*", "", str(failure).removeprefix(f"{name} must be "), flags=re.S) for failure in failures
        ]
        if any(str(failure).startswith(f"{name}[") for failure in failures):  # a row of it was wrong: the row's message
            raise next(failure for failure in failures if str(failure).startswith(f"{name}["))
        raise TypeError(f"{name} must be {' or '.join(dict.fromkeys(expected))}, got {what(value)}")

    return door


def _sequence_door(hint: Any, base: Any) -> _Door:
    arguments = list(get_args(hint))
    if base is tuple and arguments and Ellipsis not in arguments:
        doors = [_door(a) for a in arguments]

        def fixed(name: str, value: Any, sizes: dict) -> tuple:
            rows = _rows(name, value, f"a tuple of {len(doors)}")
            if len(rows) != len(doors):
                raise ValueError(f"{name} must hold {len(doors)} entries, got {len(rows)}")
            return tuple(door(f"{name}[{i}]", row, sizes) for i, (door, row) in enumerate(zip(doors, rows)))

        return fixed
    inner = arguments[0] if arguments else Any
    if inner is str:
        return lambda name, value, sizes: texts(name, value, least=0)
    each = _door(inner)

    def door(name: str, value: Any, sizes: dict) -> Any:
        if each is _pass and isinstance(value, Sequence) and not isinstance(value, str | bytes):
            return value
        if isinstance(value, Sequence) and not isinstance(value, str | bytes):
            rows: Any = value  # a sequence of our own keeps its class
        else:
            rows = _rows(name, value, "a list")
        for i, row in enumerate(rows):
            if each(f"{name}[{i}]", row, {}) is not row:
                break
        else:
            return rows
        return [each(f"{name}[{i}]", row, {}) for i, row in enumerate(rows)]

    return door


def _iterable_door(name: str, value: Any, sizes: dict) -> Any:
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise TypeError(f"{name} must be a list or another row of things, got {what(value)}")
    return value


def _mapping_door(hint: Any, base: Any) -> _Door:
    keys, values = (_door(a) for a in get_args(hint))

    def door(name: str, value: Any, sizes: dict) -> Any:
        check_instance(name, value, Mapping)
        return {keys(f"a key of {name}", k, {}): values(f"{name}[{k!r}]", v, {}) for k, v in value.items()}

    return door


# ------------------------------------------------------------------------------------------------ arrays and shapes


def _bare_tensor_door(name: str, value: Any, sizes: dict) -> Any:
    return _as_tensor(name, value, "a tensor")


def _array_door(hint: Any) -> _Door:
    """Arrays of a dtype and a shape, such as `Float[Tensor, "n d_model"]` or `Int[np.ndarray, "n"]`."""
    dims, kinds = hint.dim_str, set(map(str, hint.dtypes)) if not isinstance(hint.dtypes, str) else {hint.dtypes}
    wants_numpy = hint.array_type is np.ndarray
    kind = _kind_of(kinds)
    one_label_a_row = kind == "bool" and dims.strip().isidentifier()

    def door(name: str, value: Any, sizes: dict) -> Any:
        expected = f"{_KINDS[kind]} of shape ({', '.join(dims.split())})"
        if one_label_a_row and not (hasattr(value, "detach") and str(value.dtype) == "torch.bool"):
            value = boolean_labels(name, value)
        found = numbers_or_bools(name, value, expected) if wants_numpy else _as_tensor(name, value, expected)
        found = _of_kind(name, found, kind, expected)
        _check_shape(name, tuple(found.shape), dims, sizes)
        if kind == "float":
            _check_finite(name, found)
        return found

    return door


_KINDS = {"float": "numbers", "int": "whole numbers", "bool": "True and False", "any": "numbers"}


def _kind_of(kinds: set[str]) -> str:
    joined = " ".join(kinds)
    floats, ints, bools = "float" in joined, "int" in joined, "bool" in joined
    if floats and not ints:
        return "float"
    if ints and not floats and not bools:
        return "int"
    return "bool" if bools and not floats else "any"


def numbers_or_bools(name: str, value: Any, expected: str) -> np.ndarray:
    """The value as a numpy array of numbers or booleans, whatever it came in."""
    if getattr(value, "is_meta", False):
        raise TypeError(f"{name} must be {expected}, got a tensor without content (device meta)")
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = (value.float() if str(value.dtype) == "torch.bfloat16" else value).numpy()
    return _plain_array(name, value, expected)


def _plain_array(name: str, value: Any, expected: str) -> np.ndarray:
    if isinstance(value, str | bytes | Mapping | set) or value is None:
        raise TypeError(f"{name} must be {expected}, got {what(value)}")
    try:
        if isinstance(value, list | tuple) and any(hasattr(row, "detach") for row in value):
            value = [row.detach().cpu().numpy() if hasattr(row, "detach") else row for row in value]
        array = np.asarray(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be {expected}, got {what(value)}, whose rows don't fit together") from None
    if array.size == 0 and array.dtype.kind == "f":
        return array
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must be {expected}, got {what(value)}")
    return array


def _as_tensor(name: str, value: Any, expected: str) -> Tensor:
    import torch

    if isinstance(value, torch.Tensor):
        if value.is_meta or value.is_complex() or value.layout != torch.strided:
            raise TypeError(
                f"{name} must be {expected}, got a tensor without ordinary numbers ({value.device}, {value.dtype})"
            )
        return value
    array = _plain_array(name, value, expected)
    if array.dtype.kind == "f" and not isinstance(value, np.ndarray):
        array = array.astype(np.float32)  # Python's numbers carry no wish for 64 bits: what torch would make of them
    return torch.as_tensor(array if array.flags.writeable else array.copy())


def _of_kind(name: str, found: Any, kind: str, expected: str) -> Any:
    dtype = str(found.dtype).removeprefix("torch.")
    is_float, is_bool = "float" in dtype, dtype == "bool"
    if kind == "any" or (kind == "float" and is_float) or (kind == "bool" and is_bool):
        return found
    if kind == "int" and not is_float and not is_bool:
        return found
    if kind == "bool" and not is_bool and bool(((found == 0) | (found == 1)).all()):
        return found.bool() if hasattr(found, "detach") else found.astype(bool)
    if kind == "float" and not is_float and not is_bool:
        return found.float() if hasattr(found, "detach") else found.astype(np.float64)
    raise TypeError(f"{name} must be {expected}, got {what(found)}")


def _check_finite(name: str, found: Any) -> None:
    if hasattr(found, "detach"):
        import torch

        if not found.numel() or bool(torch.isfinite(found.detach().sum())):  # the sum is the quick look
            return
        bad = int((~torch.isfinite(found)).sum())
    else:
        bad = int((~np.isfinite(found)).sum())
    if bad:
        raise ValueError(f"{name} holds {bad} NaN or infinite value(s)")


def _check_shape(name: str, shape: tuple[int, ...], dims: str, sizes: dict[str, tuple[Any, str]]) -> None:
    """Hold a shape against an annotation's axis names, and the names' sizes against the arguments before."""
    names = dims.split()
    said = f"({', '.join(names)}{',' if len(names) == 1 else ''})"
    loose = [i for i, n in enumerate(names) if n == "..." or n.startswith("*")]
    if (not loose and len(shape) != len(names)) or len(shape) < len(names) - len(loose):
        raise ValueError(f"{name} has shape {shape}, expected {said}")
    if loose:
        at = loose[0]
        span = len(shape) - (len(names) - 1)
        if not _fits(names[at].lstrip("*"), shape[at : at + span], name, sizes) and names[at] != "...":
            known, source = sizes[names[at].lstrip("*")]
            raise ValueError(f"{name} has shape {shape}, expected {said} with {names[at]} = {known}, as in {source}")
        names = names[:at] + ["_"] * span + names[at + 1 :]
    for axis, size in zip(names, shape):
        if axis.isdigit():
            if size != int(axis):
                raise ValueError(f"{name} has shape {shape}, expected {said}")
        elif axis.isidentifier() and axis != "_" and not _fits(axis, size, name, sizes):
            known, source = sizes[axis]
            raise ValueError(f"{name} has shape {shape}, expected {said} with {axis} = {known}, as in {source}")


def _fits(axis: str, size: Any, name: str, sizes: dict[str, tuple[Any, str]]) -> bool:
    if axis in ("", "..."):
        return True
    return sizes.setdefault(axis, (size, name))[0] == size
