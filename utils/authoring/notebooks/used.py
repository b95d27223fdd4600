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
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode, v4

from utils import checks
from utils.authoring import notebooks
from utils.authoring.notebooks import BUILD, LESSONS, SOLUTIONS, measuring
from utils.authoring.notebooks.execute import CELL_SECONDS, notebook_environment

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
    must hold the name.
    """
    called, unused = set(numbers), []
    for lesson in lessons if lessons is not None else checks.lessons():
        for number, exercise in checks.exercises(lesson).items():
            used = _named_later(lesson, number) if exercise.by_value else number in called
            unused += [] if used else [number]
    return unused


def _named_later(lesson: str, number: str) -> bool:
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


def first_change(path: Path, number: str | None, unsteady: Iterable[int] = ()) -> tuple[int, str] | None:
    """Run a solution with an exercise broken, up to the first cell that no longer shows what is stored.

    number: the exercise, or None for a run with nothing broken. unsteady: cells to leave out, because they differ
    anyway. Returns the cell's index and what changed, or None if nothing did.
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
                    return (
                        index,
                        f"the run stops: {error.ename}: {error.evalue.splitlines()[0] if error.evalue else ''}",
                    )
                if started and index not in unsteady and (change := _change(stored.cells[index], cell)):
                    return index, change
                if number is not None and notebooks.exercise_number(cell) == number:
                    _break(client, number, _name(cell))
                    started = True
    return None


def _break(client: NotebookClient, number: str, name: str) -> None:
    line = f"from utils.authoring.notebooks import used as _used; {name} = _used.broken({number!r}, {name})"
    client.nb.cells.append(v4.new_code_cell(line))
    client.execute_cell(client.nb.cells[-1], len(client.nb.cells) - 1)
    client.nb.cells.pop()


def _change(before: NotebookNode, after: NotebookNode) -> str:
    """What differs between a cell's stored outputs and new ones: a measured value first, then any words; "" if none."""
    if before.cell_type != "code" or not notebooks.is_compared(before):
        return ""
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


def unsteady_cells(path: Path) -> list[int]:
    """The cells that differ from what is stored with nothing broken (another machine's last digits)."""
    found: list[int] = []
    while (change := first_change(path, None, found)) is not None:
        if "the run stops" in change[1]:
            raise RuntimeError(f"{path.name}, cell {change[0]}: {change[1]}")
        found.append(change[0])
    return found


def main(arguments: list[str] | None = None) -> int:
    """Command line: read what a run noted, or break each exercise of a lesson in turn. Returns the exit code."""
    parser = argparse.ArgumentParser(description="Say which exercises a lesson really uses.")
    parser.add_argument("lessons", nargs="*", help='numbers of lessons ("05") to run with each function broken')
    parser.add_argument("--noted", type=Path, help="the file that LAB_USED named while the lessons ran")
    options = parser.parse_args(arguments)
    failed = 0
    if options.noted is not None:
        unused = never_used(noted(options.noted) or [])
        for number in sorted({*unused} ^ NOT_YET):
            listed = (
                "is used now: take it off NOT_YET in used.py" if number in NOT_YET else "is never used after its check"
            )
            print(f"exercise {number} {listed}")
            failed += 1
        print(
            f"{sum(len(checks.exercises(n)) for n in checks.lessons()) - len(unused)} exercises used, {len(unused)} not"
        )
    for lesson in options.lessons:
        path = notebooks.paths(SOLUTIONS, [lesson])[0]
        unsteady = unsteady_cells(path)
        for number, exercise in checks.exercises(path.stem[:2]).items():
            if exercise.by_value:
                continue
            change = first_change(path, number, unsteady)
            print(f"{number}: " + (f"cell {change[0]}: {change[1]}" if change else "NOTHING CHANGES"), flush=True)
            failed += change is None
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
