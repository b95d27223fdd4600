"""Calling a learner's code safely: on copies of the inputs, with every failure turned into a sentence."""

from __future__ import annotations

import copy
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np
import torch


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


def describe_error(function: Callable, error: BaseException) -> str:
    """One sentence on an error that a learner's function raised: which, on which of its lines, and why."""
    code, own = getattr(function, "__code__", None), _frames(function, error)
    where = ""
    if own and code is not None:
        line = (own[-1].lineno or code.co_firstlineno) - code.co_firstlineno + 1
        where = f" on line {line} of your function" if line >= 1 else ""
        where += f" (`{own[-1].line}`)" if own[-1].line else ""
    reason = str(error).strip().splitlines()[0] if str(error).strip() else "no message"
    return f"Your code stopped with {type(error).__name__}{where}: {reason}"
