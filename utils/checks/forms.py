"""The one place that converts what learners hand back: numpy or torch, any float type, lists, Python numbers.

A right answer in another form is a right answer. Which form a lesson needs is what its reference returns: `form_of`
describes a value, `fitted` makes a function whose results have a given form wherever that loses nothing. What can't be
converted is left as it came, for the check to name, but for half-precision floats: they are refused by a sentence that
says which form is wanted, because no comparison can be made with three digits.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from utils.checks.calling import Mistake

_HALF = (torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Form:
    """The form of a result. kind: tensor, array, number, integer, truth, text, list, tuple, dict, none or other.

    content: of tensors and arrays, "float", "int" or "bool". dtypes: the tensor types that were seen. single: a tensor
    of shape () was among them. trains: a gradient flowed. items: the form of a list's items; of each place of a tuple;
    of each key of a dictionary.
    """

    kind: str
    content: str = ""
    dtypes: frozenset = frozenset()
    items: tuple[Any, ...] = field(default=())
    single: bool = False
    trains: bool = False

    def words(self) -> str:
        """The form in words, for a message."""
        if self.kind in ("tensor", "array"):
            return f"a {'torch tensor' if self.kind == 'tensor' else 'numpy array'} of {self.content}s"
        if self.kind in ("list", "tuple"):
            return f"a {self.kind}" + (f" of {self.items[0].words()}" if self.items else "")
        named = {"number": "one number", "integer": "one whole number", "truth": "True or False", "text": "a string"}
        return named.get(self.kind, f"a {self.kind}")


OTHER, NONE = Form("other"), Form("none")


def form_of(value: Any) -> Form:
    """The form of a value."""
    if value is None:
        return NONE
    if isinstance(value, torch.Tensor):
        dtypes = frozenset({value.dtype})
        return Form("tensor", _content(value), dtypes, single=value.dim() == 0, trains=value.requires_grad)
    if isinstance(value, np.ndarray):
        return Form("array", {"b": "bool", "i": "int", "u": "int", "f": "float"}.get(value.dtype.kind, "other"))
    for kind, types in (("truth", (bool, np.bool_)), ("integer", (int, np.integer)), ("number", (float, np.floating))):
        if isinstance(value, types):
            return Form(kind)
    if isinstance(value, str):
        return Form("text")
    if type(value) is list:
        return Form("list", items=_one_or_none(form_of(item) for item in value))
    if type(value) is tuple:
        return Form("tuple", items=tuple(form_of(item) for item in value))
    if isinstance(value, dict):
        return Form("dict", items=tuple((key, form_of(item)) for key, item in value.items()))
    return OTHER


def both(one: Form, other: Form) -> Form:
    """The form that two results of one function share: OTHER (nothing is converted) where they share none."""
    if NONE in (one, other):
        return one if other == NONE else other
    if {one.kind, other.kind} == {"number", "integer"}:
        return Form("number")
    if one.kind != other.kind:
        return OTHER
    if one.kind in ("tensor", "array"):
        if one.content != other.content:
            return OTHER
        single, trains = one.single or other.single, one.trains or other.trains
        return Form(one.kind, one.content, one.dtypes | other.dtypes, single=single, trains=trains)
    if one.kind == "list":
        return Form("list", items=_one_or_none([*one.items, *other.items]))
    if one.kind == "tuple":
        if len(one.items) != len(other.items):
            return OTHER
        return Form("tuple", items=tuple(both(a, b) for a, b in zip(one.items, other.items)))
    if one.kind == "dict":
        forms = dict(one.items)
        for key, form in other.items:
            forms[key] = both(forms[key], form) if key in forms else form
        return Form("dict", items=tuple(forms.items()))
    return one


def converted(value: Any, form: Form, given: Iterable[Any] = ()) -> Any:
    """The value in the wanted form where that loses nothing, else the value itself. Never raises.

    given: what the function was called with; a float tensor takes the type of the floats in there.
    """
    try:
        return _CONVERTERS.get(form.kind, lambda value, form, given: value)(value, form, given)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        return value


def learnt(function: Callable, attempts: Callable[[Callable], Any]) -> Form:
    """The form of a function's results, learnt from all that it returns while `attempts` uses it."""
    seen = [NONE]

    @functools.wraps(function)
    def recorded(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        seen.append(both(seen.pop(), form_of(result)))
        return result

    attempts(recorded)
    return seen[0]


def fitted(function: Callable, form: Form, changed: list[bool] | None = None) -> Callable:
    """The function, its results in the wanted form.

    changed: for a check. It is told by True that a result was converted, and half-precision floats raise `Mistake`.
    """

    @functools.wraps(function)
    def fits(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        if changed is not None and (half := _half(result, form)):
            raise Mistake(f"Your result is in {half}, which keeps three digits; return {form.words()} in float32.")
        new = converted(result, form, [*args, *kwargs.values()])
        if changed is not None and new is not result:
            changed.append(True)
        return new

    return fits


def array_of(value: Any) -> np.ndarray:
    """Numbers of any form as a numpy array of float64. Raises TypeError or ValueError for what holds no numbers."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().to(torch.float64).numpy()
    if isinstance(value, (list, tuple)):
        return np.array([array_of(item) for item in value], dtype=np.float64)
    return np.asarray(value, dtype=np.float64)


def shape_of(value: Any) -> tuple[int, ...] | None:
    """The shape of a tensor, an array, a number, a nested list of them; None for what holds no numbers."""
    if isinstance(value, torch.Tensor):
        return tuple(value.shape)
    try:
        return array_of(value).shape
    except (TypeError, ValueError):
        return None


# --------------------------------------------------------------------------------------------------------- converters


def _to_tensor(value: Any, form: Form, given: Iterable[Any]) -> Any:
    if not isinstance(value, torch.Tensor) and (form.trains or (_is_single(value) and not form.single)):
        return value  # the gradient is lost, or a number came where there should be many: for the check to say
    tensor = value if isinstance(value, torch.Tensor) else _stacked(value)
    content = _content(tensor)
    if content == form.content:
        return _in_float_type(tensor, form, given) if content == "float" else _in_type(tensor, form)
    if form.content == "float" and content == "int":
        return _in_float_type(tensor.to(torch.float32), form, given)
    exact = tensor.detach().to(torch.float64)
    if form.content == "int" and content == "float" and bool((exact == exact.round()).all()):
        return _in_type(tensor.detach(), form)
    if form.content == "bool" and content in ("int", "float") and bool(((exact == 0) | (exact == 1)).all()):
        return tensor.detach().bool()
    return value


def _is_single(value: Any) -> bool:
    return isinstance(value, (int, float, np.generic)) or (isinstance(value, np.ndarray) and value.ndim == 0)


def _stacked(value: Any) -> torch.Tensor:
    """A tensor from an array, a number, or (nested) lists of numbers and tensors."""
    if type(value) is list and any(isinstance(item, (torch.Tensor, list, tuple)) for item in value):
        return torch.stack([item if isinstance(item, torch.Tensor) else _stacked(item) for item in value])
    if type(value) not in (list, tuple) and not isinstance(value, (np.ndarray, np.generic, int, float)):
        raise TypeError("no numbers")
    tensor = torch.as_tensor(np.asarray(value).copy())
    return tensor.to(torch.float32) if tensor.dtype == torch.float64 and not isinstance(value, np.ndarray) else tensor


def _in_type(tensor: torch.Tensor, form: Form) -> torch.Tensor:
    return tensor if tensor.dtype in form.dtypes else tensor.to(_first(form.dtypes))


def _in_float_type(tensor: torch.Tensor, form: Form, given: Iterable[Any]) -> torch.Tensor:
    """The float type of what came in, where the reference can return it; else the reference's own."""
    came_in = [item.dtype for item in given if isinstance(item, torch.Tensor) and item.is_floating_point()]
    wanted = came_in[0] if came_in and came_in[0] in form.dtypes else None
    if wanted is None:
        wanted = tensor.dtype if tensor.dtype in form.dtypes else _first(form.dtypes)
    return tensor if tensor.dtype == wanted else tensor.to(wanted)


def _first(dtypes: Iterable[torch.dtype]) -> torch.dtype:
    return min(dtypes, key=str)  # float32 before float64, int64 alone


def _to_array(value: Any, form: Form, given: Iterable[Any]) -> Any:
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        value = value.to(torch.float32).numpy() if value.dtype in _HALF else value.numpy()
    elif isinstance(value, (list, tuple)) and value and not isinstance(value[0], str):
        value = array_of(value) if form.content == "float" else np.asarray(value)
    if isinstance(value, (np.ndarray, np.generic)) and form.content == "float" and value.dtype.kind in "iuf":
        return value if value.dtype.kind == "f" and value.dtype.itemsize > 2 else value.astype(np.float64)
    return value


def _single(value: Any) -> Any:
    """The one number in a tensor, an array or a numpy scalar."""
    if isinstance(value, (torch.Tensor, np.ndarray, np.generic)) and int(np.prod(value.shape)) == 1:
        return value.item()
    return value


def _to_number(value: Any, form: Form, given: Iterable[Any]) -> Any:
    single = _single(value)
    return float(single) if isinstance(single, (int, float)) and not isinstance(single, bool) else value


def _to_integer(value: Any, form: Form, given: Iterable[Any]) -> Any:
    single = _single(value)
    if isinstance(single, float) and single.is_integer():
        single = int(single)
    return single if isinstance(single, int) and not isinstance(single, bool) else value


def _to_truth(value: Any, form: Form, given: Iterable[Any]) -> Any:
    single = _single(value)
    return single if isinstance(single, bool) else value


def _to_text(value: Any, form: Form, given: Iterable[Any]) -> Any:
    return str(value) if isinstance(value, np.str_) else value


def _to_list(value: Any, form: Form, given: Iterable[Any]) -> Any:
    rows = _rows(value)
    if rows is None:
        return value
    return _unless_same(value, [converted(row, form.items[0], given) for row in rows] if form.items else rows)


def _to_tuple(value: Any, form: Form, given: Iterable[Any]) -> Any:
    rows = _rows(value)
    if rows is None or len(rows) != len(form.items):
        return value
    return _unless_same(value, tuple(converted(row, item, given) for row, item in zip(rows, form.items)))


def _to_dict(value: Any, form: Form, given: Iterable[Any]) -> Any:
    if not isinstance(value, Mapping):
        return value
    forms, plain = dict(form.items), {_single(key): item for key, item in value.items()}
    shared = functools.reduce(both, forms.values(), NONE)
    new = {key: converted(item, forms.get(key, shared), given) for key, item in plain.items()}
    same = [*new] == [*value] and all(new[key] is value[key] for key in new)
    return value if same else new


def _unless_same(value: Any, new: list | tuple) -> Any:
    """The value itself where nothing in it was converted."""
    same = type(value) is type(new) and all(one is other for one, other in zip(value, new))
    return value if same else new


_CONVERTERS: dict[str, Callable[[Any, Form, Iterable[Any]], Any]] = {
    "tensor": _to_tensor,
    "array": _to_array,
    "number": _to_number,
    "integer": _to_integer,
    "truth": _to_truth,
    "text": _to_text,
    "list": _to_list,
    "tuple": _to_tuple,
    "dict": _to_dict,
}


def _rows(value: Any) -> list | None:
    """The items of a list, a tuple, a tensor, an array, a range or what makes items one after another; else None."""
    if isinstance(value, torch.Tensor):
        return list(value.unbind(0)) if value.dim() else None
    if isinstance(value, np.ndarray):
        return list(value) if value.ndim else None
    if isinstance(value, (list, tuple, range)):
        return list(value)
    ordered = hasattr(value, "__next__") or type(value).__name__ in ("dict_keys", "dict_values", "deque")
    return list(value) if ordered else None


def _content(tensor: torch.Tensor) -> str:
    if tensor.dtype == torch.bool:
        return "bool"
    return "float" if tensor.is_floating_point() else "other" if tensor.is_complex() else "int"


def _one_or_none(forms: Iterable[Form]) -> tuple[Form, ...]:
    shared = functools.reduce(both, forms, NONE)
    return () if shared == NONE else (shared,)


def _half(value: Any, form: Form) -> str:
    """ "float16" or "bfloat16" if the result, or something in it, came so and the lesson's own isn't; else ""."""
    if isinstance(value, torch.Tensor) and value.dtype in _HALF and value.dtype not in form.dtypes:
        return str(value.dtype).removeprefix("torch.")
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype == np.float16:
        return "float16"
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return next((half for item in value if (half := _half(item, OTHER))), "")
    return ""
