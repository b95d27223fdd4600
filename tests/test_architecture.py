"""ARCHITECTURE.md tells where things are, and the code does as it says: arrows run down, no circle, no long module."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "ARCHITECTURE.md"
LONGEST = 700  # lines of a module; checks are lists of exercises, and may be longer


def _modules() -> dict[str, Path]:
    paths = sorted((ROOT / "utils").rglob("*.py"))
    return {
        p.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__"): p for p in paths
    }


def _imports(path: Path, known: set[str], within: bool) -> Iterator[str]:
    """Modules of the library that a file imports; within: inside functions too."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    nodes = ast.walk(tree) if within else iter(tree.body)
    for node in nodes:
        if id(node) in skipped:
            continue
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "utils":
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in known else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)


def _floors() -> dict[str, int]:
    """Room -> floor, from the list in the page: the ground floor is 1."""
    listed = re.search(r"```floors\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert listed, "ARCHITECTURE.md has no list of floors"
    found = {}
    for line in listed[1].strip().splitlines():
        number, rooms = re.fullmatch(r"(\d+) +(.*?)(?:  #.*)?", line).groups()
        found |= dict.fromkeys(rooms.split(), int(number))
    return found


def _room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_every_room_stands_on_a_floor_and_every_floor_is_real():
    rooms = {_room(module) for module in _modules()} - {""}
    assert set(_floors()) == rooms


def test_arrows_run_down():
    """A room imports rooms below it, or beside it; inside functions too."""
    modules, floors = _modules(), _floors()
    up = [
        f"{module} (floor {floors[_room(module)]}) imports {other} (floor {floors[_room(other)]})"
        for module, path in modules.items()
        if _room(module)
        for other in _imports(path, set(modules), within=True)
        if _room(other) and floors[_room(other)] > floors[_room(module)]
    ]
    assert not up, "\n".join(up)


def test_no_module_imports_itself_in_a_circle():
    """Imports of whole modules; a package's own __init__, which only hands names on, is left out."""
    modules = _modules()
    plain = {name: path for name, path in modules.items() if path.name != "__init__.py"}
    graph = {name: set(_imports(path, set(modules), within=True)) & set(plain) for name, path in plain.items()}
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, "a circle: " + " -> ".join([*way[way.index(name) :], name])
        if name not in done:
            for other in graph[name]:
                visit(other, (*way, name))
            done.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize("name", sorted(_modules()))
def test_no_module_is_too_long_to_read(name):
    lines = len(_modules()[name].read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST or name.startswith("utils.checks."), f"{lines} lines"


def test_models_opens_with_load_model():
    tree = ast.parse((ROOT / "utils" / "models.py").read_text(encoding="utf-8"))
    first = next(node for node in tree.body if isinstance(node, ast.FunctionDef))
    assert first.name == "load_model" and first.lineno < 100


def test_no_model_is_of_any_type():
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in _modules().values()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(r"\bmodel: Any\b", line)
    ]
    assert not found, found


def test_the_page_names_only_what_is_there():
    """Every path and every `name` of an answer to "where is …?" exists."""
    text = PAGE.read_text(encoding="utf-8")
    for path in re.findall(r"`((?:utils|tests|lessons|solutions|classroom)/[\w./]+)`", text):
        assert (ROOT / path).exists(), path
    modules = _modules()
    for dotted in re.findall(r"`(utils\.[\w.]+)`", text):
        module = next(
            (m for m in sorted(modules, key=len, reverse=True) if dotted == m or dotted.startswith(m + ".")), ""
        )
        names = ast.parse(modules[module].read_text(encoding="utf-8"))
        wanted = dotted.removeprefix(module).lstrip(".").split(".")[0]
        known = {getattr(node, "name", "") for node in names.body}
        known |= {t.id for n in names.body if isinstance(n, ast.Assign) for t in n.targets if isinstance(t, ast.Name)}
        known |= {a.asname or a.name for n in names.body if isinstance(n, ast.ImportFrom) for a in n.names}
        assert not wanted or wanted in known, dotted
