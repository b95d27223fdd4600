"""Which messages of a check are generic fallbacks: what a learner reads when no mistake was recognised.

A fallback is the `raise Mistake(…)` that a check ends with when nothing else fitted ("These aren't the right numbers
…"), an `expect_close` after named mistakes were looked for, or the sentence of `checks.mark` about a result that could
not be compared. Found in the source, so that nobody has to mark them: the last statement of a function, or of a block
in which named mistakes were looked for before it.
"""

from __future__ import annotations

import ast
import traceback
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from utils import checks

_ROOM = Path(checks.__file__).parent


def is_generic(verdict: checks.Verdict) -> bool:
    """True if a *not yet* came by a fallback."""
    if verdict.status != checks.NOT_YET:
        return False
    if "could not be compared" in verdict.message:
        return True
    if verdict.cause is None:
        return False
    frames = traceback.extract_tb(verdict.cause.__traceback__)
    own = [f for f in frames if Path(f.filename).parent == _ROOM and Path(f.filename).name.startswith("lesson_")]
    # What `expect_close` names before it gives up: a shape, NaN, numbers that are turned round, rounded, cut off, …
    shape = frames[-1].name in ("expect_shape", "expect_finite", "_name_difference")
    return bool(own) and not shape and own[-1].lineno in fallback_lines(own[-1].filename)


@cache
def fallback_lines(filename: str) -> frozenset[int]:
    """The lines of a lesson's checks on which a fallback is raised."""
    lines: set[int] = set()
    for node in ast.walk(ast.parse(Path(filename).read_text(encoding="utf-8"))):
        for block in (getattr(node, name, None) for name in ("body", "orelse", "finalbody")):
            for statement in _fallbacks(node, block) if isinstance(block, list) else []:
                lines.update(range(statement.lineno, (statement.end_lineno or statement.lineno) + 1))
    return frozenset(lines)


def _fallbacks(owner: ast.AST, block: list[ast.stmt]) -> Iterator[ast.stmt]:
    looked = False
    for place, statement in enumerate(block):
        last = place == len(block) - 1
        if isinstance(statement, ast.Raise) and last and (looked or (isinstance(owner, ast.FunctionDef) and place)):
            yield statement
        if looked and isinstance(statement, ast.Expr) and _calls(statement, "expect_close"):
            yield statement
        looked = looked or _names_mistake(statement)


def _names_mistake(statement: ast.stmt) -> bool:
    """Whether a statement can raise a named mistake: a `raise`, or a call of `reject`."""
    return any(isinstance(node, ast.Raise) for node in ast.walk(statement)) or _calls(statement, "reject")


def _calls(statement: ast.stmt, name: str) -> bool:
    calls = (node.func for node in ast.walk(statement) if isinstance(node, ast.Call))
    return any(isinstance(function, ast.Name) and function.id == name for function in calls)
