"""Signatures are held to: jaxtyping's axes and beartype's types, on every good call that the tests make."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any

import jaxtyping
from beartype.door import is_bearable

from utils import inputs


def lie(function: Callable, arguments: dict[str, Any], result: Any) -> str:
    """What in the signature isn't true of this call, or "". Axes have one size throughout a call."""
    target = function.__checked__  # type: ignore[attr-defined]
    hints = {name: inputs.resolved(target, hint) for name, hint in target.__annotations__.items()}
    with jaxtyping.jaxtyped("context"):
        for name, value in arguments.items():
            # Lists and numpy arrays are turned into what the signature says at the door: not looked at here.
            hint = hints.get(name)
            if _is_array(hint) and isinstance(value, hint.array_type) and not isinstance(value, hint):
                return f"{name} is {inputs.what(value)}, said to be {hint.__name__}"
        if "return" in hints and not _holds(result, hints["return"]):
            return f"it returned {inputs.what(result)}, said to be {hints['return']}"
    return _field_lie(result)


def _field_lie(result: Any) -> str:
    """The same for the fields of a dataclass that was returned."""
    if not dataclasses.is_dataclass(result) or isinstance(result, type):
        return ""
    with jaxtyping.jaxtyped("context"):
        for field in dataclasses.fields(result):
            hint = inputs.resolved(type(result), field.type)
            if not _holds(getattr(result, field.name), hint):
                value = inputs.what(getattr(result, field.name))
                return f"{type(result).__name__}.{field.name} is {value}, said to be {hint}"
    return ""


def _is_array(hint: Any) -> bool:
    return isinstance(hint, type) and hasattr(hint, "dim_str")  # not an alias with a conversion, such as Numbers


def _holds(value: Any, hint: Any) -> bool:
    if hint is None:
        return value is None
    if (
        isinstance(value, contextlib.AbstractContextManager)
        or hint is Any
        or "_ModelType" in str(hint)
        or "TransformerBridge" in str(hint)
    ):
        return True
    return is_bearable(value, hint)
