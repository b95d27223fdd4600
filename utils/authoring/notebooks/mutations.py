"""How a mutant is made: one place of a reference solution changed, as a learner might have got it wrong.

Two ways. *In the source*: the reference's syntax tree with one node replaced (a constant moved, `>` for `>=`, a mean
for a median, an axis changed, a clamp dropped, arguments swapped …). *Around it*: the reference called with an argument
ignored, its result rounded, made positive or cut off from the gradient, its input changed in place.
Guards (`if …: raise`) are left alone: a learner's function isn't asked to refuse bad input.
"""

from __future__ import annotations

import ast
import copy
import functools
import inspect
import math
import re
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

import numpy as np
import torch

_SWAPS = {
    "mean": ["median", "sum"],
    "nanmean": ["mean"],
    "median": ["mean"],
    "fmean": ["median"],
    "sum": ["mean"],
    "max": ["min"],
    "min": ["max"],
    "amax": ["amin"],
    "amin": ["amax"],
    "argmax": ["argmin"],
    "argmin": ["argmax"],
    "any": ["all"],
    "all": ["any"],
    "floor": ["ceil"],
    "ceil": ["floor"],
    "clamp_min": ["clamp_max"],
    "log2": ["log"],
    "log_softmax": ["softmax"],
    "cumsum": ["cumprod"],
    "startswith": ["endswith"],
    "square": ["abs"],
}
# Calls that may be left out: what they were applied to stands in their place.
_DROPPED = frozenset(
    """clamp clamp_ clamp_min clamp_max clip abs absolute sort sorted softmax log_softmax relu detach set unique sigmoid
    exp log log2 sqrt square norm normalize round reversed flip strip lower upper rstrip lstrip tanh cumsum rsqrt
    nan_to_num fill_diagonal triu tril masked_fill unsqueeze squeeze double""".split()  # noqa: SIM905 - a list to read
)
_SEEDERS = {"manual_seed", "default_rng", "RandomState", "Random", "seeded"}
_COMPARE: dict[type, list[type]] = {
    ast.Gt: [ast.GtE, ast.Lt],
    ast.GtE: [ast.Gt, ast.LtE],
    ast.Lt: [ast.LtE, ast.Gt],
    ast.LtE: [ast.Lt, ast.GtE],
    ast.Eq: [ast.NotEq],
    ast.NotEq: [ast.Eq],
    ast.In: [ast.NotIn],
    ast.NotIn: [ast.In],
    ast.Is: [ast.IsNot],
    ast.IsNot: [ast.Is],
}
_OPERATORS: dict[type, list[type]] = {
    ast.Add: [ast.Sub],
    ast.Sub: [ast.Add],
    ast.Mult: [ast.Div],
    ast.Div: [ast.Mult],
    ast.FloorDiv: [ast.Div],
    ast.Mod: [ast.FloorDiv],
    ast.Pow: [ast.Mult],
    ast.BitAnd: [ast.BitOr],
    ast.BitOr: [ast.BitAnd],
    ast.MatMult: [],
}
_AXES = {"dim", "axis", "dims"}
_SHARE = re.compile(r"\b(shares?|fraction|probabilit\w*|distribution|rate|p-value|AUROC|accurac\w+)\b", re.IGNORECASE)
_EITHER_WAY = {"min", "max", "minimum", "maximum", "equal", "isclose", "allclose"}  # two arguments, any order


_CUT = "gradient cut"


@dataclass(frozen=True)
class Mutant:
    """A spoiled reference: its key (stable), the difference in one line, the function.

    touched: what it changed in what it was called with; empty after a check in which there was nothing to change.
    """

    key: str
    difference: str
    function: Callable
    touched: list[bool] = field(default_factory=lambda: [True])


def mutants_of(reference: Callable) -> list[Mutant]:
    """Every mutant of a reference, in the order of its source; none twice."""
    seen: Counter[tuple[str, str]] = Counter()
    made = []
    for kind, line, difference, function, touched in _in_source(reference):
        seen[kind, line] += 1
        made.append(Mutant(f"{kind} | {line} | {seen[kind, line]}", difference, function, touched))
    for kind, difference, function, touched in _around(reference):
        made.append(Mutant(f"{kind} | {reference.__name__}", difference, function, touched))
    return made


# ------------------------------------------------------------------------------------------------------- in the source


def _in_source(reference: Callable) -> Iterator[tuple[str, str, str, Callable, list[bool]]]:
    """Mutants of the reference's own tree, and of the private helpers that it calls."""
    for function in _sources(reference):
        source = textwrap.dedent(inspect.getsource(function))
        tree = ast.parse(source)
        definition = tree.body[0]
        if not isinstance(definition, ast.FunctionDef):
            continue
        definition.decorator_list = []
        _drop_docstrings(definition)
        lines, known = source.splitlines(), {ast.unparse(definition)}
        promise = str(reference.__doc__)
        for place, (kind, replacement) in _sites(definition, promise):
            mutated = copy.deepcopy(definition)
            before = _statement_text(definition, place)
            _put(mutated, place, replacement)
            code = ast.unparse(ast.fix_missing_locations(mutated))
            if code in known:
                continue
            known.add(code)
            node = _at(definition, place)
            line = lines[_line_of(definition, place, node) - 1].strip()
            after = _statement_text(mutated, place)
            # A cut gradient matters where one flows: where the task promises it, or the check asks for it.
            touched = [True] if kind != _CUT or "gradient" in promise else []
            made = _compiled(reference, function, mutated, touched)
            if made is not None:
                yield kind, line, f"{before}  ->  {after}", made, touched


def _sources(reference: Callable) -> list[FunctionType]:
    """The reference, and the helpers of its module (names that begin with _) that it calls, directly or not."""
    found: list[FunctionType] = []
    waiting = [inspect.unwrap(reference)]
    while waiting:
        function = waiting.pop(0)
        if not isinstance(function, FunctionType) or function in found:
            continue
        found.append(function)
        names = function.__code__.co_names
        helpers = (function.__globals__.get(name) for name in names if name.startswith("_"))
        waiting += [h for h in helpers if isinstance(h, FunctionType) and h.__module__ == function.__module__]
    return found


def _compiled(
    reference: Callable, changed: FunctionType, mutated: ast.FunctionDef, touched: list[bool]
) -> Callable | None:
    """The reference in a copy of its module's names, with one function changed."""

    def cut(value: Any) -> Any:
        flows = isinstance(value, torch.Tensor) and value.requires_grad
        touched.extend([True] * flows)
        return value.detach() if flows else value

    names = dict(vars(sys.modules[changed.__module__])) | {"_cut": cut}
    try:
        exec(compile(ast.Module([mutated], []), f"<mutant of {changed.__name__}>", "exec"), names)
    except SyntaxError:
        return None
    own = inspect.unwrap(reference)
    if changed is own:
        return names[changed.__name__]
    for helper in _sources(reference)[1:]:
        if helper is not changed:
            names[helper.__name__] = FunctionType(
                helper.__code__, names, helper.__name__, helper.__defaults__, helper.__closure__
            )
    again = FunctionType(own.__code__, names, own.__name__, own.__defaults__, own.__closure__)
    again.__kwdefaults__ = own.__kwdefaults__
    return again


def _drop_docstrings(definition: ast.AST) -> None:
    for node in ast.walk(definition):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and len(node.body) > 1 and ast.get_docstring(node):
            node.body = node.body[1:]


Place = tuple[tuple[str, int | None], ...]  # the way down from the definition: field, and index where it is a list


def _walk(node: ast.AST, place: Place = ()) -> Iterator[tuple[Place, ast.AST]]:
    """Every node below, in the order of the source, guards and annotations left out."""
    for name, value in ast.iter_fields(node):
        if name in ("returns", "annotation", "decorator_list", "type_params", "ctx"):
            continue
        for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(child, ast.AST) or _is_guard(child):
                continue
            here = (*place, (name, index))
            yield here, child
            yield from _walk(child, here)


def _is_guard(node: ast.AST) -> bool:
    if isinstance(node, (ast.Raise, ast.Assert)):
        return True
    return isinstance(node, ast.If) and isinstance(node.body[-1], ast.Raise) and not node.orelse


def _sites(definition: ast.FunctionDef, promise: str) -> Iterator[tuple[Place, tuple[str, ast.AST]]]:
    for place, node in _walk(definition):
        parent = _at(definition, place[:-1])
        for change in _changes(node, parent, place[-1][0], promise):
            yield place, change
        if isinstance(node, ast.expr) and isinstance(parent, ast.BinOp) and not _is_literal(node):
            yield place, (_CUT, ast.Call(ast.Name("_cut", ast.Load()), [copy.deepcopy(node)], []))


def _is_literal(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) or (isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Constant))


def _changes(node: ast.AST, parent: ast.AST, name: str, promise: str) -> Iterator[tuple[str, ast.AST]]:
    """What one node may be replaced by: (kind, new node)."""
    new: Any  # a copy, of the node's own type
    if isinstance(node, ast.Constant):
        yield from _constants(node.value, parent, name, promise)
    elif isinstance(node, ast.UnaryOp):
        if (
            isinstance(node.op, ast.USub)
            and _is_literal(node)
            and isinstance(value := ast.literal_eval(node), (int, float))
        ):
            yield from _constants(ast.literal_eval(node), parent, name, promise)
        else:
            yield f"{ast.unparse(node)[:1].strip() or 'not'} dropped", node.operand
    elif isinstance(node, ast.Compare):
        for i, op in enumerate(node.ops):
            for other in _COMPARE[type(op)]:
                new = copy.deepcopy(node)
                new.ops[i] = other()
                yield f"{type(op).__name__} to {other.__name__}", new
    elif isinstance(node, ast.BinOp):
        for other in _OPERATORS.get(type(node.op), []):
            new = copy.deepcopy(node)
            new.op = other()
            yield f"{type(node.op).__name__} to {other.__name__}", new
        if isinstance(node.op, (ast.Add, ast.Sub, ast.Div, ast.FloorDiv)) and not isinstance(node.left, ast.List):
            yield f"second part of {type(node.op).__name__} dropped", node.left
        if isinstance(node.op, ast.Mult):
            yield "second factor dropped", node.left
            yield "first factor dropped", node.right
        if isinstance(node.op, ast.MatMult):
            yield "sides of @ swapped", ast.BinOp(node.right, node.op, node.left)
    elif isinstance(node, ast.BoolOp):
        new = copy.deepcopy(node)
        new.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield "and/or", new
        for i in range(len(node.values)):
            rest = [value for j, value in enumerate(node.values) if j != i]
            yield f"condition {i + 1} dropped", rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)
    elif isinstance(node, ast.Call):
        yield from _calls(node, parent)
    elif isinstance(node, ast.Attribute):
        if node.attr in _SWAPS and not isinstance(parent, ast.Call):
            return
        if node.attr in ("T", "mT"):
            yield "transpose dropped", node.value
    elif isinstance(node, ast.Slice):
        for end in ("lower", "upper", "step"):
            if getattr(node, end) is not None:
                new = copy.deepcopy(node)
                setattr(new, end, None)
                yield f"{end} end of a slice dropped", new
    elif isinstance(node, ast.IfExp):
        yield "always the first", node.body
        yield "always the second", node.orelse
    elif isinstance(node, ast.comprehension):
        for i in range(len(node.ifs)):
            new = copy.deepcopy(node)
            del new.ifs[i]
            yield "filter dropped", new
    elif isinstance(node, ast.If):
        for value in (True, False):
            new = copy.deepcopy(node)
            new.test = ast.Constant(value)
            yield f"if {value}", new
    elif isinstance(node, ast.Tuple) and isinstance(parent, ast.Return) and len(node.elts) == 2:
        yield "results swapped", ast.Tuple(node.elts[::-1], ast.Load())
    elif isinstance(node, (ast.AugAssign, ast.Continue, ast.Break)) or _sets_part(node) or _is_call(node):
        yield "line dropped", ast.Pass()
    elif isinstance(node, ast.With):
        yield "with dropped", ast.If(ast.Constant(True), node.body, [])
    if isinstance(node, ast.AugAssign):
        for other in _OPERATORS.get(type(node.op), []):
            new = copy.deepcopy(node)
            new.op = other()
            yield f"{type(node.op).__name__} to {other.__name__}", new


def _sets_part(node: ast.AST) -> bool:
    return isinstance(node, ast.Assign) and isinstance(node.targets[0], (ast.Subscript, ast.Attribute))


def _is_call(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)


def _constants(value: Any, parent: ast.AST, name: str, promise: str) -> Iterator[tuple[str, ast.AST]]:
    others: list[Any] = []
    axis = isinstance(parent, ast.keyword) and parent.arg in _AXES
    if isinstance(parent, (ast.FormattedValue, ast.JoinedStr)) or name == "kind" or value in ("nan", "inf", "-inf"):
        return
    if isinstance(parent, ast.arguments) and not isinstance(value, (bool, float)):
        return  # a default seed or number of draws is one choice of many
    if isinstance(value, bool):
        others = [not value]
    elif axis and isinstance(value, int):
        others = [0 if value else 1]
        if value < 0 and ("…" in promise or "..." in promise):
            others.append(1)
    elif isinstance(value, int):
        others = [value + 1, value - 1] if abs(value) < 30 else [value * 2, value // 2]
    elif isinstance(value, float) and 0 < abs(value) < 1e-4:
        others = [0.0, 0.1]
    elif isinstance(value, float):
        others = [value * 1.2 + 0.05, value * 0.8 - 0.05]
    elif isinstance(value, str) and value and not axis:
        others = [value + "x" if value.strip() else ""]
    for other in others:
        other = round(other, 6) if isinstance(other, float) else other
        yield f"{value!r} -> {other!r}", ast.Constant(other)


def _calls(node: ast.Call, parent: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    function = node.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    module = isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name)
    owner = ast.unparse(function.value) if module and isinstance(function, ast.Attribute) else ""
    library = owner in ("torch", "np", "F", "math", "functional", "statistics")
    if library or isinstance(function, ast.Name):
        subject = node.args[0] if node.args else None
    else:
        subject = function.value if isinstance(function, ast.Attribute) else None
    for other in _SWAPS.get(name, []):
        new = copy.deepcopy(node)
        if isinstance(new.func, ast.Attribute):
            new.func.attr = other
        elif other in ("min", "max", "sum", "any", "all"):
            new.func = ast.Name(other, ast.Load())
        else:
            continue
        if other == "median" and owner not in ("np", "statistics") and len(node.args) + len(node.keywords) > library:
            yield "mean to median", ast.Attribute(new, "values", ast.Load())
        elif {name, other} == {"mean", "median"} and isinstance(parent, ast.Attribute) and parent.attr == "values":
            continue
        else:
            yield f"{name} to {other}", new
    if name in _DROPPED and subject is not None and not isinstance(subject, ast.Starred):
        yield f"{name} dropped", subject
    if name in _SEEDERS and node.args:
        new = copy.deepcopy(node)
        new.args = [ast.Constant(0)]
        yield "seed fixed", new
        if name == "manual_seed" and subject is not None and not library:
            yield "seed dropped", subject
        elif name != "manual_seed":
            yield "seed dropped", ast.Call(function, [], [])
    if name == "int" and len(node.args) == 1 and isinstance(node.args[0], ast.BinOp):
        up = ast.BinOp(ast.UnaryOp(ast.USub(), node.args[0]), ast.FloorDiv(), ast.Constant(1))
        yield "rounded up", ast.Call(function, [ast.UnaryOp(ast.USub(), up)], [])
        yield "rounded to the nearest", ast.Call(ast.Name("round", ast.Load()), node.args, [])
    if name == "median" and owner == "np":
        lower = [*node.keywords, ast.keyword("method", ast.Constant("lower"))]
        percentile = ast.Attribute(ast.Name("np", ast.Load()), "percentile", ast.Load())
        yield (
            "median to its lower middle",
            ast.Call(percentile, [node.args[0], ast.Constant(50), *node.args[1:]], lower),
        )
    for i, keyword in enumerate(node.keywords):
        if keyword.arg is not None:
            new = copy.deepcopy(node)
            del new.keywords[i]
            yield f"{keyword.arg}= dropped", new
    for i in range(len(node.args) - 1):
        if name in _EITHER_WAY or any(isinstance(arg, ast.Starred) for arg in node.args[i : i + 2]):
            continue
        new = copy.deepcopy(node)
        new.args[i], new.args[i + 1] = new.args[i + 1], new.args[i]
        yield f"arguments {i + 1} and {i + 2} swapped", new
    if name == "range" and node.args:
        for shift in (1, -1):
            new = copy.deepcopy(node)
            last = min(len(node.args), 2) - 1
            new.args[last] = ast.BinOp(new.args[last], ast.Add() if shift > 0 else ast.Sub(), ast.Constant(1))
            yield f"range {shift:+d}", new


def _at(node: ast.AST, place: Place) -> Any:
    for name, index in place:
        node = getattr(node, name) if index is None else getattr(node, name)[index]
    return node


def _put(tree: ast.AST, place: Place, new: ast.AST) -> None:
    owner, (name, index) = _at(tree, place[:-1]), place[-1]
    if index is None:
        setattr(owner, name, copy.deepcopy(new))
    else:
        getattr(owner, name)[index] = copy.deepcopy(new)


def _statement_text(tree: ast.AST, place: Place) -> str:
    """The innermost statement around a place, on one line; of a block, its first line."""
    statement = tree
    for end in range(len(place) + 1):
        node = _at(tree, place[:end])
        if isinstance(node, (ast.stmt, ast.excepthandler)):
            statement = node
    return ast.unparse(statement).splitlines()[0]


def _line_of(tree: ast.AST, place: Place, node: ast.AST) -> int:
    for end in range(len(place), -1, -1):
        line = getattr(_at(tree, place[:end]), "lineno", None)
        if line is not None:
            return line
    return 1


# --------------------------------------------------------------------------------------------------------- around it


def _around(reference: Callable) -> Iterator[tuple[str, str, Callable, list[bool]]]:
    """Mutants that need no source: an argument ignored, an input written over, a result changed."""
    signature = inspect.signature(reference)
    own = [p for p in signature.parameters.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    for parameter in own:
        touched: list[bool] = []
        if parameter.name != "hook":  # which hook point it is matters to few
            ignored = _ignores(reference, signature, parameter, touched)
            yield f"{parameter.name} ignored", f"{parameter.name} is hard-coded, or says nothing", ignored, touched
        touched = []
        changed = _writes_over(reference, signature, parameter.name, touched)
        yield f"{parameter.name} changed in place", f"{parameter.name} is written over afterwards", changed, touched
    source, promise = inspect.getsource(inspect.unwrap(reference)), str(reference.__doc__)
    results: list[tuple[str, _Change]] = [("rounded", _rounded), ("without gradient", _detached)]
    if _SHARE.search(promise):
        results.append(("folded: the larger of x and 1 - x", _folded))
    elif re.search(r"[\w\])] - |return -|\(-[a-z]|log", source):
        results += [("made positive", torch.abs), ("clamped to [0, 1]", _clamped)]
    for kind, change in results:
        touched = [True] * (change is _detached and "gradient" in promise)
        yield f"result {kind}", f"the result is {kind}", _with_result(reference, change, touched), touched


def _ignores(
    reference: Callable, signature: inspect.Signature, parameter: inspect.Parameter, touched: list[bool]
) -> Callable:
    """A setting hard-coded (its default, or what the first call gave); data that say nothing."""
    kept: list[Any] = [] if parameter.default is parameter.empty else [parameter.default]

    @functools.wraps(reference)
    def mutant(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        value = bound.arguments[parameter.name]
        if isinstance(value, (bool, int, float, str)) or callable(value):
            kept[:] = kept or [value]
            bound.arguments[parameter.name] = kept[0]
            touched.append(True)
        else:
            # Data: hard-coding what the check gives is no mistake that anybody makes. Not using them is.
            bound.arguments[parameter.name] = empty = _emptied(value)
            touched.extend([True] * (empty is not value))
        return reference(*bound.args, **bound.kwargs)

    return mutant


def _emptied(value: Any) -> Any:
    """Data of the same form that say nothing: zeros, or the first item over and over."""
    if isinstance(value, torch.Tensor):
        return torch.zeros_like(value)
    if isinstance(value, np.ndarray):
        return np.zeros_like(value)
    if type(value) in (list, tuple) and len(value) > 1:
        return type(value)([value[0]] * len(value))
    if type(value) is dict and len(value) > 1:
        return dict.fromkeys(value, next(iter(value.values())))
    return type(value)() if type(value) in (set, frozenset) else value


def _writes_over(reference: Callable, signature: inspect.Signature, name: str, touched: list[bool]) -> Callable:
    @functools.wraps(reference)
    def mutant(*args: Any, **kwargs: Any) -> Any:
        result = reference(*args, **kwargs)
        if isinstance(result, torch.Tensor):
            result = result.clone()  # it may be a view of what is written over
        bound = signature.bind(*args, **kwargs)
        touched.extend([True] * _write_over(bound.arguments.get(name)))
        return result

    return mutant


def _write_over(value: Any) -> bool:
    """Change the innermost mutable thing in place. True when there was one."""
    if isinstance(value, torch.Tensor):
        with torch.no_grad():
            value.copy_(~value if value.dtype == torch.bool else value + 1)
    elif isinstance(value, np.ndarray):
        value[...] = ~value if value.dtype == bool else value[::-1] if value.dtype.kind in "UO" else value + 1
    elif isinstance(value, list):
        return any(_write_over(item) for item in value) or _grown(value)
    elif isinstance(value, tuple):
        return any(_write_over(item) for item in value)
    elif isinstance(value, dict):
        return any(_write_over(item) for item in value.values()) or _grown(value)
    elif isinstance(value, set):
        value.add("more")
    else:
        return False
    return True


def _grown(value: list | dict) -> bool:
    if isinstance(value, list):
        value.append(value[0] if value else 0)
    else:
        value["more"] = 0
    return True


_Change = Callable[[torch.Tensor], torch.Tensor | None]  # None: there is nothing to change


def _with_result(reference: Callable, change: _Change, touched: list[bool]) -> Callable:
    def changed(value: torch.Tensor) -> torch.Tensor:
        new = change(value)
        touched.extend([True] * (new is not None))
        return value if new is None else new

    @functools.wraps(reference)
    def mutant(*args: Any, **kwargs: Any) -> Any:
        return _each(reference(*args, **kwargs), changed)

    return mutant


def _each(value: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """A result with every float in it changed, inside lists, tuples and dictionaries too."""
    if isinstance(value, torch.Tensor) and value.is_floating_point():
        return change(value)
    if isinstance(value, float):
        return float(change(torch.tensor(value, dtype=torch.float64)))
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return change(torch.as_tensor(value)).numpy()
    if type(value) in (list, tuple):
        return type(value)(_each(item, change) for item in value)
    if type(value) is dict:
        return {key: _each(item, change) for key, item in value.items()}
    return value


def _rounded(value: torch.Tensor) -> torch.Tensor:
    """To two significant digits of the largest number."""
    largest = float(value.detach().abs().nan_to_num(posinf=0).max()) if value.numel() else 0.0
    return value.round(decimals=1 - math.floor(math.log10(largest))) if largest else value


def _clamped(value: torch.Tensor) -> torch.Tensor:
    return value.clamp(0, 1)


def _folded(value: torch.Tensor) -> torch.Tensor | None:
    return torch.maximum(value, 1 - value) if bool(((value >= 0) & (value <= 1)).all()) else None


def _detached(value: torch.Tensor) -> torch.Tensor | None:
    return value.detach() if value.requires_grad else None
