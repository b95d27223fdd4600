"""Rules of the builder: measured numbers go to `lab.measured`, and predictions are asked before they are answered.

A printed True, a rounded number or a format such as `.1f` is what a test can compare and a learner can't read: the
number, its interval and its n are hidden. `lab.measured` shows them, and the suite compares them in full.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from nbformat import NotebookNode

from utils.authoring.notebooks import limits

Found = Iterator[tuple[int | None, str]]
_SHOWS = {"print", "display", "say", "Markdown", "replication_card"}
_VERDICTS = {"all", "any", "allclose", "isclose", "array_equal", "equal", "bool", "isinstance"}
_ROUNDED = {"round", "coarse"}
_WRAPS = {"str", "repr", "list", "tuple", "dict", "sorted", "format", "join", "zip", "item", "tolist"}
_VALUES = _VERDICTS | _ROUNDED | _WRAPS  # calls whose value is looked at; others show things themselves
_FLOAT_SPEC = re.compile(r"[eEfFgGn%]$")
_FLOAT_TEXT = re.compile(r"%[-+ 0#]*\d*(?:\.\d+)?[eEfFgG]|\{[^{}]*:[^{}]*[eEfFgGn%]\}")
_ADVICE = "assert it, or hand the number to lab.measured (and name it in braces in lab.say)"


def printed(notebook: NotebookNode, lesson: str) -> Found:
    """Every cell that shows a comparison, True or False, a rounded number or a float in a format of its own.

    A lesson of NOT_YET_LESSONS may, until nothing of it is left: then it must leave the list.
    """
    found = list(_shown_cells(notebook))
    if lesson not in limits.NOT_YET_LESSONS:
        yield from found
    elif not found:
        yield None, f"nothing it measures is printed any more: take {lesson!r} out of NOT_YET_LESSONS in limits.py"


def _shown_cells(notebook: NotebookNode) -> Found:
    verdicts: dict[str, str] = {}  # names that hold what must not be shown, cell after cell
    for index, tree in _trees(notebook):
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
                verdicts.pop(node.targets[0].id, None)
                if problem := _problem(node.value, {}):
                    verdicts[node.targets[0].id] = problem
        for value in _shown_values(tree):
            if problem := _problem(value, verdicts) or _float_format(value):
                yield index, f"line {value.lineno}: {problem} is shown: {_ADVICE}"


def _trees(notebook: NotebookNode) -> Iterator[tuple[int, ast.Module]]:
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        try:
            yield index, ast.parse(cell.source)
        except SyntaxError:
            continue  # ruff names the syntax error


def _shown_values(tree: ast.Module) -> Iterator[ast.expr]:
    """What a cell puts on the page: arguments of print and its like, and the value of its last line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _name(node.func) in _SHOWS:
            yield from node.args
            yield from (keyword.value for keyword in node.keywords if keyword.arg not in ("sep", "end", "flush"))
    last = tree.body[-1] if tree.body else None
    if isinstance(last, ast.Expr) and not (isinstance(last.value, ast.Call) and _name(last.value.func) not in _VALUES):
        yield last.value


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _problem(value: ast.AST, verdicts: dict[str, str]) -> str:
    """What is wrong with showing a value, "" for nothing. What a comparison only chooses or counts may be shown."""
    parts: list[ast.AST] = []
    if isinstance(value, ast.Compare) or (isinstance(value, ast.UnaryOp) and isinstance(value.op, ast.Not)):
        return "a comparison"
    if isinstance(value, ast.Constant):
        return "True or False" if isinstance(value.value, bool) else ""
    if isinstance(value, ast.Name):
        return verdicts.get(value.id, "")
    if isinstance(value, ast.Call):
        name = _name(value.func)
        if name in _VERDICTS:
            return f"{name}(), True or False,"
        if name in _ROUNDED:
            return f"a number made coarse by {name}()"
        parts = [*value.args, value.func.value] if name in _WRAPS and isinstance(value.func, ast.Attribute) else []
        parts = list(value.args) if name in _WRAPS and not parts else parts
    elif isinstance(value, ast.IfExp):
        parts = [value.body, value.orelse]
    elif isinstance(value, ast.BoolOp):
        parts = list(value.values)
    elif isinstance(value, ast.ListComp | ast.SetComp | ast.GeneratorExp):
        parts = [value.elt]
    elif isinstance(value, ast.DictComp):
        parts = [value.key, value.value]
    elif isinstance(value, ast.Dict):
        parts = [*(key for key in value.keys if key is not None), *value.values]
    elif isinstance(
        value, ast.JoinedStr | ast.FormattedValue | ast.List | ast.Tuple | ast.Set | ast.Starred | ast.BinOp
    ):
        parts = list(ast.iter_child_nodes(value))
    return next((problem for part in parts if (problem := _problem(part, verdicts))), "")


def _float_format(value: ast.expr) -> str:
    """A format for floats anywhere in what is shown: in an f-string, in format() or after a %."""
    for node in ast.walk(value):
        if isinstance(node, ast.FormattedValue) and isinstance(node.format_spec, ast.JoinedStr):
            spec = "".join(str(part.value) for part in node.format_spec.values if isinstance(part, ast.Constant))
            if _FLOAT_SPEC.search(spec):
                return f"a number in the format {spec!r}"
        text = ""
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod) and isinstance(node.left, ast.Constant):
            text = str(node.left.value)
        elif isinstance(node, ast.Call) and _name(node.func) == "format":
            first = node.func.value if isinstance(node.func, ast.Attribute) else node.args[-1] if node.args else None
            given = str(first.value) if isinstance(first, ast.Constant) else ""
            text = given if isinstance(node.func, ast.Attribute) else f"{{:{given}}}"
        if match := _FLOAT_TEXT.search(text):
            return f"a number in the format {match[0]!r}"
    return ""


# -------------------------------------------------------------------------------------------------------- predictions


def predicted(notebook: NotebookNode, lesson: str) -> Found:
    """A prediction is asked once, under the lesson's number, before its answer, and its answer comes."""
    asked: dict[str, int] = {}
    answered: set[str] = set()
    for index, tree in _trees(notebook):
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            keywords = {keyword.arg: keyword.value for keyword in node.keywords}
            if _is_lab(node, "predict"):
                key = _text(keywords.get("key") or _first(node))
                if not key.startswith(f"{lesson}."):
                    yield index, f"a prediction's key must be written out and begin with '{lesson}.', got {key!r}"
                if key in asked:
                    yield index, f"{key!r} is predicted in cell {asked[key]} already"
                if "answer" in keywords:
                    yield index, f"{key!r} must be asked without an answer: the learner gives it"
                asked[key] = index
            elif _is_lab(node, "measured", "reveal", "prediction"):
                named = keywords.get("predicted") if node.func.attr == "measured" else _first(node)
                if named is None:
                    continue
                if (key := _text(named)) not in asked:
                    yield index, f"{key!r} is answered, but was not predicted above"
                if node.func.attr != "prediction":
                    answered.add(key)
    for key, index in asked.items():
        if key not in answered:
            yield index, f"{key!r} is predicted, but never answered: lab.measured(…, predicted=…) or lab.reveal"


def _is_lab(call: ast.Call, *names: str) -> bool:
    function = call.func
    return isinstance(function, ast.Attribute) and function.attr in names and _name(function.value) == "lab"


def _first(call: ast.Call) -> ast.expr | None:
    return call.args[0] if call.args else None


def _text(node: ast.expr | None) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
