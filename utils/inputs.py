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
nothing) a function checks itself, with the functions of `utils.validators`, which this module passes on.

Ranges are part of a type: `Count`, `Index`, `Seed`, `Fraction`, `Share`, `Positive`, `NonNegative`, `Number`, `Text`.
So are things that come in many shapes: `Texts`, `Labels`, `Groups`, `Numbers`, `Row`.
"""

from __future__ import annotations

import builtins
import collections.abc
import functools
import inspect
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

from utils.validators import (
    MOST,
    Range,
    boolean_labels,
    check_instance,
    flag,
    function,
    group_names,
    is_model,
    limit,
    model,
    number,
    numbers,
    one_of,
    same_length,
    sequence,
    text,
    texts,
    what,
    whole,
)

if typing.TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "Count",
    "Fraction",
    "Groups",
    "Index",
    "Labels",
    "Limit",
    "NonNegative",
    "Number",
    "Numbers",
    "Positive",
    "Range",
    "Row",
    "Seed",
    "Share",
    "Text",
    "Texts",
    "boolean_labels",
    "check_instance",
    "checked",
    "flag",
    "function",
    "group_names",
    "is_model",
    "number",
    "numbers",
    "one_of",
    "resolved",
    "same_length",
    "sequence",
    "text",
    "texts",
    "what",
    "whole",
]


@dataclass(frozen=True)
class _As:
    """A mark in an annotation: convert with this function of (name, value)."""

    convert: Callable[[str, Any], Any]
    expected: str


# ----------------------------------------------------------------------------------------------- types with ranges

Count = Annotated[int, Range(low=1, high=MOST)]
Index = Annotated[int, Range(low=0, high=MOST)]
Seed = Annotated[int, Range(low=0, high=2**63 - 1)]
Fraction = Annotated[float, Range(above=0, below=1)]
Share = Annotated[float, Range(low=0, high=1)]
Positive = Annotated[float, Range(above=0)]
NonNegative = Annotated[float, Range(low=0)]
Number = Annotated[float, Range()]
Limit = Annotated[float, _As(limit, "a number above 0, or infinity")]
Text = Annotated[str, _As(lambda name, value: text(name, value, empty=False), "a string")]
Texts = Annotated[Sequence[str], _As(texts, "a list of texts")]
Labels = Annotated[Bool[np.ndarray, "n"], _As(boolean_labels, "a list of labels")]
Groups = Annotated[Sequence[Hashable], _As(group_names, "a list of group names")]
Numbers = Annotated[Float[np.ndarray, "*shape"], _As(numbers, "numbers")]
Row = Annotated[Float[np.ndarray, "n"], _As(numbers, "numbers")]


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
        return target
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
        return lambda name, value, sizes: model(name, value)
    if isinstance(hint, type) and hasattr(hint, "dim_str"):  # an Annotated array looks like one, too
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
            rows = sequence(name, value, f"a tuple of {len(doors)}")
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
            rows = sequence(name, value, "a list")
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
