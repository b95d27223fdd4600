"""A good call again, with its model on the pretend GPU: it must say the same, and hand its answer back on the CPU."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from tests.doors.pretend_gpu import on_gpu, pretend_gpu
from tests.doors.witness import Call, has_hooks
from utils.validators import is_model

_TIMES = ("cpu_s", "seconds")  # no two runs agree on them


def models_in(call: Call) -> list[Any]:
    """The language models among a call's arguments; none if the caller's own hooks, of one place, run in them."""
    if has_hooks(call.arguments):
        return []
    return [value for value in call.arguments.values() if is_model(value) and not isinstance(value, type)]


def difference(call: Call) -> str | None:
    """What is different with the model on the pretend GPU, or "". None: the call can't be repeated even on the CPU."""
    with _quietly():
        try:
            here = _settled(call.again())
        except Exception:
            return None
        with pretend_gpu():
            for model in models_in(call):
                model.to("cuda")
            try:
                there = _settled(call.again())
            except Exception as error:
                return f"{type(error).__name__}: {str(error)[:300]}"
            finally:
                for model in models_in(call):
                    model.to("cpu")
            return _compare("result", here, there)


def _settled(result: Any) -> Any:
    """A generator's items as a list, and what was put on a model taken off again; anything else as it is."""
    if hasattr(result, "remove") and hasattr(result, "model"):
        result.remove()
        return None
    return list(result) if isinstance(result, Iterator) else result


def _compare(name: str, here: Any, there: Any) -> str:
    if isinstance(there, torch.Tensor):
        if on_gpu(there):
            return f"{name} stayed on the GPU"
        same = here.shape == there.shape and torch.allclose(here.float(), there.float(), atol=1e-4, equal_nan=True)
        return "" if same else f"{name} differs by {float((here.float() - there.float()).abs().max()):.2g}"
    if isinstance(there, np.ndarray):
        close = there.dtype.kind not in "fiu" or np.allclose(here, there, atol=1e-4, equal_nan=True)
        return "" if close else f"{name} differs"
    if isinstance(there, float):
        return "" if here == there or abs(here - there) <= 1e-4 * max(1, abs(here)) else f"{name}: {here} and {there}"
    if isinstance(there, Mapping):
        return _first(_compare(f"{name}[{key!r}]", here[key], there[key]) for key in there)
    if hasattr(there, "_fields"):
        names = [name for name in there._fields if name not in _TIMES]
        return _first(_compare(f"{name}.{f}", getattr(here, f), getattr(there, f)) for f in names)
    if isinstance(there, list | tuple):
        return _first(_compare(f"{name}[{i}]", a, b) for i, (a, b) in enumerate(zip(here, there)))
    if dataclasses.is_dataclass(there):
        fields = [field.name for field in dataclasses.fields(there) if field.name not in _TIMES]
        return _first(_compare(f"{name}.{f}", getattr(here, f), getattr(there, f)) for f in fields)
    return ""


def _first(problems: Iterator[str]) -> str:
    return next((problem for problem in problems if problem), "")


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.chdir(folder),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        yield
