"""Is an exercise's function used by a later cell of its lesson? One that nothing depends on is no exercise.

`python -m utils.authoring.notebooks.used --noted build/used.txt` reads what the lessons noted while the suite ran them
(LAB_USED) and fails for an exercise that was never called after its check. `… used 05` goes further, too slow for the
suite: it runs the solution once for each exercise with the function replaced by a broken one, and says in which cell
the outputs or the measured values change, or the run stops.
"""

from __future__ import annotations

import argparse
import ast
import functools
import inspect
import sys
import tempfile
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import torch
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode, v4

from utils import checks
from utils.authoring import notebooks
from utils.authoring.notebooks import BUILD, LESSONS, SOLUTIONS, measuring
from utils.authoring.notebooks.execute import CELL_SECONDS, clean, notebook_environment

USED = BUILD / "used.txt"  # what the suite lets the lessons note
# Exercises whose function no later cell calls: this only shrinks.
NOT_YET: set[str] = set()


# ------------------------------------------------------------------------------------------------- what a run noted


def noted(path: Path = USED) -> list[str] | None:
    """The exercises that the last run of the lessons noted, or None where there was none."""
    return path.read_text(encoding="utf-8").split() if path.exists() else None


def never_used(numbers: Iterable[str], lessons: Iterable[str] | None = None) -> list[str]:
    """The exercises of some lessons (all, when left out) that no later cell uses. numbers: what a run noted.

    A function must have been called after its check; of an answer by value (a letter, a list of texts) a later cell
    must read the name.
    """
    called, unused = set(numbers), []
    for lesson in lessons if lessons is not None else checks.lessons():
        for number, exercise in checks.exercises(lesson).items():
            used = named_later(lesson, number) if exercise.by_value else number in called
            unused += [] if used else [number]
    return unused


def named_later(lesson: str, number: str) -> bool:
    """Whether a later cell of a lesson ("03") reads the name under which an exercise was handed in."""
    cells = notebooks.code_cells(notebooks.read(notebooks.paths(LESSONS, [lesson])[0]))
    at = next((i for i, cell in enumerate(cells) if notebooks.exercise_number(cell) == number), None)
    return at is not None and any(_reads(cell.source, _name(cells[at])) for cell in cells[at + 1 :])


def _name(cell: NotebookNode) -> str:
    match = notebooks.CHECK_LINE.match(cell.source.rstrip().rsplit("\n", 1)[-1])
    return match["name"] if match else ""


def _reads(source: str, name: str) -> bool:
    names = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name))
    return any(node.id == name and isinstance(node.ctx, ast.Load) for node in names)


# ------------------------------------------------------------------------------------------------- a broken function


def broken(number: str, function: Callable) -> Callable:
    """An exercise's function with everything in its results wrong, in the form they had."""
    if checks.form(checks.find(number)).kind == "none":
        return lambda *args, **kwargs: None  # it works by what it does: so it does nothing

    @functools.wraps(function)
    def wrong(*args: Any, **kwargs: Any) -> Any:
        return _spoiled(function(*args, **kwargs))

    return wrong


def _spoiled(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        if value.dtype == torch.bool:
            return ~value
        turned = value.flip(0) if value.dim() else value
        return 0.37 - turned if value.is_floating_point() else turned
    if isinstance(value, np.ndarray):
        return ~value if value.dtype == bool else 0.37 - value if value.dtype.kind == "f" else value[::-1].copy()
    if isinstance(value, bool):
        return not value
    if isinstance(value, (float, np.floating)):
        return type(value)(0.37 - value)
    if isinstance(value, int):
        return value + 1
    if isinstance(value, str):
        return value + " x"
    if type(value) in (list, tuple):
        return type(value)(_spoiled(item) for item in value)
    if type(value) is dict:
        return {key: _spoiled(item) for key, item in value.items()}
    return functools.wraps(value)(lambda *a, **k: _spoiled(value(*a, **k))) if inspect.isfunction(value) else value


def changes(path: Path, number: str | None = None) -> Generator[tuple[int, str], None, None]:
    """Run a solution with an exercise broken, and yield each later cell that doesn't show what is stored, and how.

    number: the exercise; nothing is broken without one (what differs then is unsteady: another machine's last digits).
    The run ends where the notebook stops, or where the caller does.
    """
    notebook = notebooks.read(path)
    stored = notebooks.copy_of(notebook)
    with tempfile.TemporaryDirectory() as scratch:
        environment = notebook_environment(Path(scratch) / "progress.json")
        client = NotebookClient(notebook, timeout=CELL_SECONDS, resources={"metadata": {"path": str(path.parent)}})
        with client.setup_kernel(env=environment):
            started = number is None
            for index, cell in enumerate(notebook.cells):
                try:
                    client.execute_cell(cell, index)
                except CellExecutionError as error:
                    yield index, f"the run stops: {error.ename}: {error.evalue}".split("\n")[0]
                    return
                if started and (change := _change(stored.cells[index], cell)):
                    yield index, change
                if number is not None and notebooks.exercise_number(cell) == number:
                    _break(client, number, _name(cell))
                    started = True


def first_change(path: Path, number: str, unsteady: Iterable[int] = ()) -> tuple[int, str] | None:
    """The first change that a broken exercise makes, unsteady cells left out; None if it makes none."""
    with closing(changes(path, number)) as found:
        return next(((index, what) for index, what in found if index not in unsteady), None)


def _break(client: NotebookClient, number: str, name: str) -> None:
    line = f"from utils.authoring.notebooks import used as _used; {name} = _used.broken({number!r}, {name})"
    client.nb.cells.append(v4.new_code_cell(line))
    client.execute_cell(client.nb.cells[-1], len(client.nb.cells) - 1)
    client.nb.cells.pop()


def _change(before: NotebookNode, after: NotebookNode) -> str:
    """What differs between a cell's stored outputs and new ones: a measured value first, then any words; "" if none."""
    if before.cell_type != "code" or not notebooks.is_compared(before):
        return ""
    ran = clean(v4.new_notebook(cells=[nbformat.from_dict(after)]))
    (after,) = nbformat.reads(notebooks.dumps(ran), as_version=4).cells  # as the stored one was written
    new = {one["name"]: one for one in measuring.values(after)}
    for one in measuring.values(before):
        if one["name"] not in new:
            return f"{one['name']!r} is no longer measured"
        value = new[one["name"]]["value"]
        if abs(value - one["value"]) > (one["tolerance"] or 0):
            return f"{one['name']!r} is {value:.4g}, was {one['value']:.4g}"
    old_text, new_text = (
        "".join(notebooks.comparable_text(output) for output in cell.outputs) for cell in (before, after)
    )
    return "" if old_text == new_text else "the outputs differ"


def main(arguments: list[str] | None = None) -> int:
    """Command line: read what a run noted, or break each exercise of a lesson in turn. Returns the exit code."""
    parser = argparse.ArgumentParser(description="Say which exercises a lesson really uses.")
    parser.add_argument("which", nargs="*", help='lessons ("05") or exercises ("5.8") to run with each function broken')
    parser.add_argument("--noted", type=Path, help="the file that LAB_USED named while the lessons ran")
    options = parser.parse_args(arguments)
    failed = 0
    if options.noted is not None:
        unused = never_used(noted(options.noted) or [])
        for number in sorted({*unused} ^ NOT_YET):
            better = number in NOT_YET
            print(f"exercise {number} is {'used now: take it off NOT_YET' if better else 'never used after its check'}")
            failed += 1
        print(
            f"{sum(len(checks.exercises(n)) for n in checks.lessons()) - len(unused)} exercises used, {len(unused)} not"
        )
    numbers = {name for name in options.which if "." in name}
    for lesson in sorted({checks.find(name).lesson if "." in name else name for name in options.which}):
        path = notebooks.paths(SOLUTIONS, [lesson])[0]
        unsteady = [index for index, _ in changes(path)]
        print(f"{path.stem}: cells that differ with nothing broken, left out: {unsteady or 'none'}", flush=True)
        for number, exercise in checks.exercises(path.stem[:2]).items():
            if exercise.by_value or (numbers and number not in numbers):
                continue
            change = first_change(path, number, unsteady)
            print(f"{number}: " + (f"cell {change[0]}: {change[1]}" if change else "NOTHING CHANGES"), flush=True)
            failed += change is None
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
