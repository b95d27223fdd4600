"""Naming a mistake that any exercise can see: an argument that isn't used."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from utils.checks.calling import Mistake, call
from utils.checks.comparing import is_close


def reject_unused(function: Callable, reference: Callable, args: Sequence[Any], others: Mapping[str, Any]) -> None:
    """Raise `Mistake` if an argument can be exchanged and the learner's result stays the same.

    reference: the course's function, whose arguments have the names. args: what the check called with.
    others: for each argument to try, another value, with which the right result is another one.
    """
    names = list(inspect.signature(reference).parameters)
    first = call(function, *args)
    for name, value in others.items():
        changed = list(args)
        changed[names.index(name)] = value
        if alike(call(function, *changed), first):
            raise Mistake(f"`{name}` isn't used, or not as it should be: with another one your result stays the same.")


def alike(first: Any, second: Any) -> bool:
    """True when two results hold the same: numbers within a tolerance, words exactly, containers item by item."""
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(alike(first[key], second[key]) for key in first)
    if is_close(first, second):
        return True
    if type(first) in (list, tuple) and type(first) is type(second):
        return len(first) == len(second) and all(alike(a, b) for a, b in zip(first, second))
    return isinstance(first, (str, bool, type(None), set, frozenset)) and first == second
