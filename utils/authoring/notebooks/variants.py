"""The forms in which a right answer may come: numpy, other float types, lists, plain numbers, one number in a tensor …

Every exercise's reference is handed in once in each form that its result can take. Each must be accepted, or refused by
a message that names the form wanted.
"""

from __future__ import annotations

import functools
import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from utils import checks

Change = Callable[[Any], Any]


@dataclass(frozen=True)
class Outcome:
    """One exercise in one form. said: the message if it was refused."""

    number: str
    form: str
    accepted: bool
    said: str

    @property
    def named(self) -> bool:
        """Whether a refusal says which form is wanted."""
        return bool(re.search(r"(return|expected|make|stay with|hand in)\b.*\b(" + _WORDS + r")", self.said, re.I))


_WORDS = "tensor|detached|array|list|tuple|dictionary|number|float32|float|int|True|False|string|function|numbers"


def _floats(change: Change) -> Change:
    return lambda x: change(x) if isinstance(x, torch.Tensor) and x.is_floating_point() else x


def _tensors(change: Change) -> Change:
    return lambda x: change(x) if isinstance(x, torch.Tensor) else x


def _numbers(change: Change) -> Change:
    return lambda x: change(x) if type(x) in (int, float) else x


def _truths(change: Change) -> Change:
    return lambda x: change(x) if type(x) is bool else x


def _whole_list(change: Change, kind: type) -> Change:
    def changed(x: Any) -> Any:
        plain = isinstance(x, (list, tuple)) and type(x) is kind and all(type(item) in (int, float) for item in x)
        return change(x) if plain and len(x) > 0 else x

    return changed


def _plain(x: torch.Tensor) -> np.ndarray:
    return x.detach().numpy()


FORMS: dict[str, Change] = {
    "float64 tensor": _floats(lambda x: x.double()),
    "float16 tensor": _floats(lambda x: x.half()),
    "bfloat16 tensor": _floats(lambda x: x.bfloat16()),
    "tensor with a gradient": _floats(lambda x: x if x.requires_grad else x.clone().requires_grad_()),
    "tensor in another order of memory": _floats(lambda x: x.T.contiguous().T if x.dim() == 2 else x),
    "numpy array": _tensors(_plain),
    "numpy array of float64": _floats(lambda x: _plain(x).astype(np.float64)),
    "list of numbers": _tensors(lambda x: x.tolist()),
    "int32 tensor": _tensors(lambda x: x.int() if x.dtype == torch.int64 else x),
    "whole numbers as floats": _tensors(lambda x: x.float() if x.dtype == torch.int64 else x),
    "0 and 1 for False and True": _tensors(lambda x: x.long() if x.dtype == torch.bool else x),
    "0.0 and 1.0 for False and True": _tensors(lambda x: x.float() if x.dtype == torch.bool else x),
    "np.float32": lambda x: np.float32(x) if type(x) is float else x,
    "np.float64": lambda x: np.float64(x) if type(x) is float else x,
    "numpy integer": lambda x: np.int64(x) if type(x) is int else x,
    "tensor of shape ()": _numbers(torch.tensor),
    "tensor of shape () with a gradient": lambda x: torch.tensor(x, requires_grad=True) if type(x) is float else x,
    "tensor of shape (1,)": _numbers(lambda x: torch.tensor([x])),
    "float64 tensor of shape ()": lambda x: torch.tensor(x, dtype=torch.float64) if type(x) is float else x,
    "numpy array of shape ()": _numbers(np.array),
    "int for a whole float": lambda x: int(x) if type(x) is float and x.is_integer() else x,
    "float for an int": lambda x: float(x) if type(x) is int else x,
    "np.bool_": _truths(np.bool_),
    "bool tensor of shape ()": _truths(torch.tensor),
    "tuple for a list": lambda x: tuple(x) if type(x) is list else x,
    "list for a tuple": lambda x: list(x) if type(x) is tuple else x,
    "array for a list": _whole_list(np.array, list),
    "tensor for a list": _whole_list(torch.tensor, list),
    "array for a tuple": _whole_list(np.array, tuple),
    "tensor for a tuple": _whole_list(torch.tensor, tuple),
    "OrderedDict": lambda x: OrderedDict(x) if type(x) is dict else x,
    "generator for a list": lambda x: (item for item in x) if type(x) is list else x,
}


def in_form(function: Callable, change: Change, changed: list[bool]) -> Callable:
    """The function, every part of its result changed; `changed` is told whether there was anything to change."""

    def apply(value: Any) -> Any:
        inner = value
        if type(value) in (list, tuple):
            inner = type(value)(apply(item) for item in value)
        elif type(value) is dict:
            inner = {key: apply(item) for key, item in value.items()}
        new = change(inner)
        changed.extend([True] * (new is not inner))
        return new

    @functools.wraps(function)
    def other_form(*args: Any, **kwargs: Any) -> Any:
        return apply(function(*args, **kwargs))

    del other_form.__wrapped__  # its lines are not the reference's
    return other_form


def try_exercise(exercise: checks.Exercise) -> list[Outcome]:
    """One exercise in every form that its result can take."""
    outcomes: list[Outcome] = []
    if exercise.by_value:
        return outcomes  # a letter or a list of texts has one form
    for name, change in FORMS.items():
        changed: list[bool] = []
        verdict = checks.mark(exercise, in_form(exercise.reference, change, changed))
        if changed:
            said = "" if verdict.status == checks.PASSED else verdict.message
            outcomes.append(Outcome(exercise.number, name, verdict.status == checks.PASSED, said))
    return outcomes


def try_lesson(lesson: str) -> list[Outcome]:
    """Every exercise of a lesson ("03") in every form."""
    return [outcome for exercise in checks.exercises(lesson).values() for outcome in try_exercise(exercise)]
