"""One good call of every public function, kept while other tests run: the ground that trials start from."""

from __future__ import annotations

import ast
import copy
import importlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# Whole rooms whose functions aren't a learner's or a researcher's to call.
CLOSED = ("utils/authoring/", "utils/checks/")


@dataclass(frozen=True)
class Call:
    """A call that went well: the function as callers see it, and its arguments by name."""

    function: Callable
    arguments: dict[str, Any]

    def again(self, **changed: Any) -> Any:
        """Make the call again with copies of its arguments, some of them changed."""
        signature = inspect.signature(self.function)
        given = {name: _copied(value) for name, value in self.arguments.items()} | changed
        positional: list[Any] = []
        named: dict[str, Any] = {}
        for name, parameter in signature.parameters.items():
            if name not in given:
                continue
            if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
                positional += list(given[name])
            elif parameter.kind is inspect.Parameter.VAR_KEYWORD:
                named |= given[name]
            elif parameter.kind is inspect.Parameter.KEYWORD_ONLY or len(positional) < _place(signature, name):
                named[name] = given[name]
            else:
                positional.append(given[name])
        return self.function(*positional, **named)


def _place(signature: inspect.Signature, name: str) -> int:
    return list(signature.parameters).index(name)


def _copied(value: Any) -> Any:
    """A copy of what a function might change, unless that is large or alive."""
    import numpy as np
    import torch

    if isinstance(value, torch.Tensor):
        return value.detach().clone().requires_grad_(value.requires_grad) if value.numel() < 1_000_000 else value
    if isinstance(value, np.ndarray):
        return value.copy() if value.size < 1_000_000 else value
    if isinstance(value, list | dict | set):
        return copy.copy(value)
    if isinstance(value, torch.Generator):
        return value.clone_state()
    return value


def public_functions() -> dict[str, Callable]:
    """Every function that a caller can reach by name: dotted name -> function."""
    found: dict[str, Callable] = {}
    for path in sorted((ROOT / "utils").rglob("*.py")):
        place = path.relative_to(ROOT).as_posix()
        if place.startswith(CLOSED) or path.name.startswith("__main__"):
            continue
        module = place.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for name in _defined(path):
            found[f"{module}.{name}"] = getattr(importlib.import_module(module), name)
    return found


def _defined(path: Path) -> Iterator[str]:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node.name


def has_hooks(arguments: dict[str, Any]) -> bool:
    """Whether a caller's own hooks take part, given by name or among the settings that are passed on."""
    return any(given.get("hooks") for given in (arguments, *arguments.values()) if isinstance(given, dict))


class Witness:
    """Sees every good call of a `checked` function, and keeps the first of each."""

    def __init__(self) -> None:
        self.calls: dict[str, Call] = {}
        self.liars: dict[str, str] = {}  # function -> what in its signature was not true

    def __call__(self, function: Callable, arguments: dict[str, Any], result: Any) -> None:
        from tests.doors.shapes import lie

        if not function.__module__.startswith("utils."):
            return
        name = f"{function.__module__}.{function.__qualname__}"
        if name not in self.liars and (problem := lie(function, arguments, result)):
            self.liars[name] = problem
        if name not in self.calls or (has_hooks(self.calls[name].arguments) and not has_hooks(arguments)):
            self.calls[name] = Call(function, {key: _copied(value) for key, value in arguments.items()})


SEEN = Witness()
