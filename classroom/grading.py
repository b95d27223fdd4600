"""What a hidden test of a graded lesson calls: the course's own check, once more, on what was really handed in.

It runs in the submission's kernel, after the learner's cells. So it trusts nothing that those cells could have changed
by the way: the checks are loaded afresh from disk, and the course's own function, handed in as it stands, is no answer.
Who sets out to deceive a program from inside it can do so; the code is there for the grader to read.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

_PACKAGE = "utils.checks"


def judge(number: str) -> None:
    """Raise `NotPassed` with the check's message unless what was handed in for an exercise ("3.1") passes."""
    handed = importlib.import_module(f"{_PACKAGE}.handed")
    attempt = handed._HANDED.get(number, judge)
    if attempt is judge:
        raise handed.NotPassed(
            f"Exercise {number}: nothing was handed in. Its cell must run to its last line, the one with lab.check."
        )
    if (getattr(attempt, "__module__", None) or "").startswith(_PACKAGE):
        raise handed.NotPassed(f"Exercise {number}: this is the course's own function, not an answer.")
    with _afresh() as checks:
        verdict = checks.mark(checks.find(number), attempt)
    if verdict.status != checks.PASSED:
        raise handed.NotPassed(f"Exercise {number} · {verdict.status}. {verdict.message}")


@contextmanager
def _afresh() -> Iterator[Any]:
    """The checks, loaded once more from their files; the notebook's own come back afterwards."""
    utils = importlib.import_module("utils")
    before = _taken_out()
    try:
        yield importlib.import_module(_PACKAGE)
    finally:
        _taken_out()
        sys.modules.update(before)
        utils.checks = before[_PACKAGE]  # type: ignore[attr-defined]


def _taken_out() -> dict[str, ModuleType]:
    names = [name for name in sys.modules if name == _PACKAGE or name.startswith(f"{_PACKAGE}.")]
    return {name: sys.modules.pop(name) for name in names}
