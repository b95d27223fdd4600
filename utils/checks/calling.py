"""Calling a learner's code safely: on copies of the inputs, with every failure turned into a sentence."""

from __future__ import annotations

import copy
import dataclasses
import functools
import inspect
import re
import traceback
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

_MIXED = re.compile(
    r"float != double|double != float|Double did not match|expected .*(Float|Double).* but|same dtype", re.IGNORECASE
)
_DICTIONARIES = (dict, Counter, OrderedDict, defaultdict)


class Mistake(Exception):
    """The learner's answer is wrong in a way we can name. The message is shown to the learner as it stands."""


class NotAttempted(Exception):
    """The exercise's stub is still in place."""


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
        raise Mistake(describe_error(function, error)) from None
    except (Mistake, NotAttempted):
        raise
    except Exception as error:
        raise Mistake(describe_error(function, error)) from None
    if result is None and not allow_none:
        raise Mistake("Your function returned None. Did you forget the `return` line?")
    if not (_same(args, given_args) and _same(kwargs, given_kwargs)):
        raise Mistake("Your function changed its input. Work on a copy: later cells need the original.")
    return result


def call_hook(function: Callable, activation: torch.Tensor, name: str = "blocks.0.hook_resid_post") -> Any:
    """Call a learner's hook function as TransformerLens does, on a copy of the activation: its `hook=` comes by name.

    Returns what the function returned; None where it only looks. Raises `Mistake` as `call` does, and for a function
    that takes no `hook`, saying how it is called.
    """
    try:
        return call(as_hook(function, name), activation, allow_none=True)
    except Mistake as mistake:
        if "unexpected keyword argument 'hook'" in str(mistake):
            raise Mistake(
                "TransformerLens calls a hook function as f(activation, hook=…), by name: its second argument must be "
                "called `hook`."
            ) from None
        raise


def as_hook(function: Callable, name: str = "blocks.0.hook_resid_post") -> Callable[[torch.Tensor], Any]:
    """A hook function as the model sees it: of the activation alone, `hook=` handed over by name.

    Any function fits that takes `hook` by name: f(activation, hook), f(activation, *, hook), a functools.partial.
    """

    @functools.wraps(function, updated=())
    def hooked(activation: torch.Tensor) -> Any:
        return function(activation, hook=SimpleNamespace(name=name, layer=lambda: int(name.split(".")[1])))

    return hooked


def _copied(value: Any) -> Any:
    """A copy, down to what is inside lists, dictionaries and dataclasses; other objects as they are."""
    if isinstance(value, torch.Tensor):
        return copy.deepcopy(value) if value.is_leaf else value.clone()
    if isinstance(value, np.ndarray):
        return value.copy(order="K")
    if type(value) in (list, tuple, set):
        return type(value)(_copied(item) for item in value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_copied(item) for item in value))
    if type(value) in _DICTIONARIES:  # a class of a check's own is there to watch what is done to it
        new = copy.copy(value)
        for key, item in value.items():
            new[key] = _copied(item)
        return new
    if _is_record(value):
        new = copy.copy(value)
        for part in dataclasses.fields(value):
            object.__setattr__(new, part.name, _copied(getattr(value, part.name)))
        return new
    return value


def _is_record(value: Any) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def _same(before: Any, after: Any) -> bool:
    """Whether a copy is still what it was copied from. What isn't copied must be the thing itself."""
    if type(before) is not type(after):
        return False
    if isinstance(before, torch.Tensor):
        same_form = before.shape == after.shape and before.dtype == after.dtype
        return same_form and torch.equal(before.nan_to_num(), after.nan_to_num())
    if isinstance(before, np.ndarray):
        return np.array_equal(before, after, equal_nan=before.dtype.kind in "fc")
    if isinstance(before, (list, tuple)):
        return len(before) == len(after) and all(_same(a, b) for a, b in zip(before, after))
    if isinstance(before, dict):
        return [*before] == [*after] and all(_same(before[key], after[key]) for key in before)
    if _is_record(before):
        return all(_same(getattr(before, p.name), getattr(after, p.name)) for p in dataclasses.fields(before))
    return before is after or (isinstance(before, (set, str, bytes, int, float)) and before == after)


def _frames(function: Callable, error: BaseException) -> list[traceback.FrameSummary]:
    """The frames of an error that lie in the file (or cell) where the learner's function was written."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    frames = traceback.extract_tb(error.__traceback__)
    return [frame for frame in frames if code is not None and frame.filename == code.co_filename]


def _raised_in(function: Callable, error: BaseException) -> bool:
    last, own = traceback.extract_tb(error.__traceback__)[-1], _frames(function, error)
    return bool(own) and (own[-1].filename, own[-1].lineno) == (last.filename, last.lineno)


def describe_error(function: Callable, error: BaseException) -> str:
    """One sentence on an error that a learner's function raised: which, on which of its lines, and why."""
    code, own = getattr(inspect.unwrap(function), "__code__", None), _frames(function, error)
    where = ""
    if own and code is not None:
        line = (own[-1].lineno or code.co_firstlineno) - code.co_firstlineno + 1
        where = f" on line {line} of your function" if line >= 1 else ""
        where += f" (`{own[-1].line}`)" if own[-1].line else ""
    reason = str(error).strip().splitlines()[0] if str(error).strip() else "no message"
    if _MIXED.search(reason):
        reason += ". Two float types met: give what you build the type of the inputs (`x.to(acts.dtype)`)"
    return f"Your code stopped with {type(error).__name__}{where}: {reason}"
