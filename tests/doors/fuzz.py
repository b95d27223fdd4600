"""What comes back when one argument of a good call is spoiled: our own words, somebody else's, silence, or nothing."""

from __future__ import annotations

import contextlib
import inspect
import io
import math
import os
import signal
import tempfile
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from tests.doors.witness import Call

SECONDS = 5


def spoiled() -> list[tuple[str, Any]]:
    """Values that are wrong for most arguments, with a word for each."""
    nan = math.nan
    return [
        ("None", None),
        ("an object", object()),
        ("an empty string", ""),
        ("a string", "text"),
        ("-1", -1),
        ("0", 0),
        ("1.5", 1.5),
        ("NaN", nan),
        ("infinity", math.inf),
        ("True", True),
        ("a huge count", 10**12),
        ("an empty list", []),
        ("a list with NaN", [nan]),
        ("texts with NaN", ["a", nan]),
        ("an empty tensor", torch.zeros(0)),
        ("a tensor of NaN", torch.full((2, 3), nan)),
        ("a tensor of four axes", torch.zeros(2, 3, 4, 5)),
        ("a meta tensor", torch.zeros(2, 3, device="meta")),
        ("an array of strings", np.array(["a", "b"])),
        ("a dict", {"a": 1}),
    ]


@dataclass(frozen=True)
class Trial:
    """One spoiled call: the function, the argument, the value in words, what became of it, and the words that came."""

    function: str
    argument: str
    value: str
    outcome: str  # clear, unnamed, foreign, nan, hang, accepted
    words: str


def trials(name: str, call: Call, keep: Callable[[str], bool] = lambda key: True) -> Iterator[Trial]:
    """Spoil each argument of a call in each way. keep: which of the trials, by "function argument value"."""
    for argument, parameter in inspect.signature(call.function).parameters.items():
        if argument in ("self", "cls") or parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        for word, value in spoiled():
            if keep(f"{name} {argument} {word}"):
                yield _trial(name, call, argument, word, value)


def _trial(name: str, call: Call, argument: str, word: str, value: Any) -> Trial:
    try:
        with _quiet(), _limited():
            result = call.again(**{argument: value})
    except _Late:
        return Trial(name, argument, word, "hang", f"over {SECONDS} s")
    except (TypeError, ValueError, FileNotFoundError) as error:
        words = str(error)
        named = argument in words
        ours = named or "/utils/" in _origin(error)
        return Trial(name, argument, word, "clear" if named else "unnamed" if ours else "foreign", words[:200])
    except Exception as error:
        own = type(error).__module__.startswith("utils.")
        kind = ("clear" if argument in str(error) else "unnamed") if own else "foreign"
        return Trial(name, argument, word, kind, f"{type(error).__name__}: {error}"[:200])
    return Trial(name, argument, word, "nan" if holds_nan(result) else "accepted", "")


def _origin(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace.tb_frame.f_code.co_filename if trace else ""


def holds_nan(value: Any, depth: int = 3) -> bool:
    """Whether NaN stands anywhere in a result."""
    if isinstance(value, float | np.floating):
        return math.isnan(value)
    if isinstance(value, torch.Tensor):
        return bool(value.is_floating_point() and not value.is_meta and torch.isnan(value).any())
    if isinstance(value, np.ndarray):
        return value.dtype.kind == "f" and bool(np.isnan(value).any())
    if depth and isinstance(value, list | tuple):
        return any(holds_nan(one, depth - 1) for one in value[:100])
    if depth and isinstance(value, dict):
        return any(holds_nan(one, depth - 1) for one in value.values())
    if depth and hasattr(value, "__dataclass_fields__"):
        return any(holds_nan(getattr(value, f), depth - 1) for f in value.__dataclass_fields__)
    return False


class _Late(BaseException):
    """Raised by the clock; not an Exception, so that no handler inside catches it."""


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGALRM"):
        yield
        return

    def late(*_: Any) -> None:
        raise _Late

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Nothing printed, no warnings, and files written into a folder that goes."""
    here = os.getcwd()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        os.chdir(folder)
        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                yield
        finally:
            os.chdir(here)


def tally(found: list[Trial]) -> Counter:
    """How many trials ended how."""
    return Counter(trial.outcome for trial in found)


def clear_share(found: list[Trial]) -> float:
    """Of the trials that were refused, the share refused in our own words, naming the argument."""
    counts = tally(found)
    refused = counts["clear"] + counts["unnamed"] + counts["foreign"]
    return counts["clear"] / refused if refused else math.nan
