"""Lessons as nbgrader assignments: `python -m classroom.nbgrader make 05 06` writes a course folder for nbgrader.

A lesson's solution becomes an nbgrader source notebook: each exercise's cell is an autograded answer, and below it
stands a test cell with points, whose hidden part runs the course's own check on what was handed in (`grading`). The
folder gets nbgrader's settings (limits that suit the lessons, the lesson's own stubs) and a kernel of its own: this
Python, one thread, and a progress record that is nobody's. nbgrader itself isn't imported here, and may live in another
environment; it is the folder it runs in that counts.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from classroom import lessons
from utils import home
from utils.authoring import notebooks
from utils.authoring.notebooks import build
from utils.authoring.notebooks.setup_cell import SETUP_CELL

KERNEL = "llm-biology-lab-grading"
COURSE = notebooks.BUILD / "nbgrader-course"
CELL_SECONDS = 300  # the slowest cell of a lesson takes about 30 s on two idle cores; a grading server is seldom idle

_CONFIG = '''\
"""nbgrader's settings for the LLM Biology Lab. Made once by `python -m classroom.nbgrader make`; yours to change."""

import os

from nbgrader.preprocessors import (
    CheckCellMetadata, ClearHiddenTests, ClearMarkScheme, ClearOutput, ComputeChecksums, IncludeHeaderFooter,
    InstantiateTests, LockCells, NbGraderPreprocessor, SaveCells,
)

c = get_config()  # noqa: F821
here = os.path.dirname(os.path.abspath(__file__)) if "__file__" in globals() else os.getcwd()

c.CourseDirectory.root = here
c.CourseDirectory.course_id = {course_id}

# A cell of a lesson may take this long where others are busy too; nbgrader's own 30 s stop lessons that are right.
c.Execute.timeout = {seconds}
c.Execute.interrupt_on_timeout = True

# The kernel of this folder: the course's Python, one thread, and no progress record of anybody's.
c.Execute.kernel_name = {kernel}
paths = os.environ.get("JUPYTER_PATH", "").split(os.pathsep)
if here not in paths:
    os.environ["JUPYTER_PATH"] = os.pathsep.join([here, *filter(None, paths)])


class LessonStubs(NbGraderPreprocessor):
    """A lesson's own stub in the place of a solution: an answer by value starts as None, so that the lesson runs on."""

    def preprocess_cell(self, cell, resources, cell_index):
        stub = cell.metadata.pop("stub", None)
        if stub is not None:
            cell.source = stub
        elif "### BEGIN SOLUTION" in cell.source:
            raise RuntimeError("a solution without its stub: python -m classroom.nbgrader make writes the source")
        return cell, resources


c.GenerateAssignment.preprocessors = [
    IncludeHeaderFooter, InstantiateTests, LockCells, LessonStubs, ClearOutput, CheckCellMetadata, ComputeChecksums,
    SaveCells, ClearHiddenTests, ClearMarkScheme, ComputeChecksums, CheckCellMetadata,
]
'''

_TEST = """\
# @title Exercise {number}: {points}. Validate says here what is missing
from utils import lab

lab.passed("{number}")
### BEGIN HIDDEN TESTS
from classroom import grading

grading.judge("{number}")
### END HIDDEN TESTS"""


def source_of(lesson: str, short: bool = False) -> tuple[str, NotebookNode]:
    """The stem and the nbgrader source notebook of a lesson ("05").

    short: only set-up and exercises. No model is loaded then, and grading takes seconds: a check needs none.
    Points are an exercise's difficulty. Raises ValueError for a lesson that isn't there.
    """
    stem, solution = lessons.read(lesson)
    told = lessons.exercises(solution)
    cells: list[NotebookNode] = []
    for index, cell in enumerate(solution.cells):
        number = notebooks.exercise_number(cell)
        if short and index and not (number or cell.source == SETUP_CELL or _tells(solution, index)):
            continue
        cell = notebooks.copy_of(cell)
        notebooks.set_metadata(cell, tags=False)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        if cell.source == SETUP_CELL:
            cell.metadata["nbgrader"] = _metadata("set-up", locked=True)
        elif number is not None:
            cell.metadata["nbgrader"] = _metadata(f"exercise-{_dashed(number)}", solution=True)
            cell.metadata["stub"] = build.strip_solution(cell.source)
        cells.append(cell)
        if short and cell.source == SETUP_CELL:
            cells.append(_imports(solution))
        if number is not None:
            cells.append(_test_cell(told[number]))
    cells[0].source = "\n".join(line for line in cells[0].source.split("\n") if not line.startswith("[Open in Colab]"))
    _without_neighbours(cells)
    notebook = notebooks.copy_of(solution)
    notebook.cells = cells
    return stem, notebook


def _tells(notebook: NotebookNode, index: int) -> bool:
    """Whether a cell is Markdown beside an exercise: its task, or its hints."""
    beside = notebook.cells[max(index - 1, 0) : index + 2]
    return notebook.cells[index].cell_type == "markdown" and any(map(notebooks.exercise_number, beside))


def _test_cell(told: lessons.Told) -> NotebookNode:
    points = "1 point" if told.difficulty == 1 else f"{told.difficulty} points"
    dashed = _dashed(told.number)
    cell = nbformat.v4.new_code_cell(
        _TEST.format(number=told.number, points=points),
        id=f"points-{dashed}",
        metadata={"nbgrader": _metadata(f"points-{dashed}", grade=True, locked=True, points=told.difficulty)},
    )
    cell.metadata |= notebooks.FOLDED
    return cell


def _metadata(name: str, **told: Any) -> dict[str, Any]:
    return {"grade": False, "locked": False, "solution": False, "task": False, **told} | {
        "grade_id": name,
        "schema_version": 3,
    }


def _dashed(number: str) -> str:
    return number.replace(".", "-")


def _imports(solution: NotebookNode) -> NotebookNode:
    """One cell with every import of the lesson, for exercises that stand without the rest."""
    found: dict[str, None] = {}
    for cell in notebooks.code_cells(solution):
        if cell.source != SETUP_CELL:
            found |= {
                ast.unparse(n): None for n in ast.parse(cell.source).body if isinstance(n, ast.Import | ast.ImportFrom)
            }
    cell = nbformat.v4.new_code_cell("\n".join(["# @title Imports", *sorted(found)]), id="imports")
    cell.metadata = nbformat.from_dict({**notebooks.FOLDED, "nbgrader": _metadata("imports", locked=True)})
    return cell


def _without_neighbours(cells: list[NotebookNode]) -> None:
    """An assignment has no lessons beside it: links to them are words, and the last line, which leads on, goes."""
    last = next(cell for cell in reversed(cells) if cell.cell_type == "markdown")
    above, _, line = last.source.rstrip().rpartition("\n")
    if re.fullmatch(r"(\W*\[[^\]]+\]\(\w+\.ipynb\))+\W*", line):
        last.source = above.rstrip()
    for cell in cells:
        if cell.cell_type == "markdown":
            cell.source = re.sub(r"\[([^\]]+)\]\(\w+\.ipynb\)", r"\1", cell.source)


def make(course: Path, which: list[str], short: bool = False, seconds: int = CELL_SECONDS) -> list[str]:
    """Write a course folder for nbgrader, and return what was done, a sentence each.

    course: the folder. which: lessons. seconds: the limit of a cell. nbgrader's settings are written once and are the
    teacher's afterwards; sources and kernel are written anew each time. Raises OSError where nothing can be written.
    """
    told = []
    for lesson in which:
        stem, notebook = source_of(lesson, short)
        path = course / "source" / stem / f"{stem}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        home.write_whole(path, nbformat.writes(notebook, indent=1) + "\n")
        tests = [c.metadata.nbgrader.points for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade")]
        told.append(f"{path}: {len(tests)} exercises, {sum(tests)} points")
    kernel = course / "kernels" / KERNEL / "kernel.json"
    kernel.parent.mkdir(parents=True, exist_ok=True)
    home.write_whole(kernel, json.dumps(_kernel(), indent=1) + "\n")
    config = course / "nbgrader_config.py"
    wanted = _CONFIG.format(course_id=repr(course.name), seconds=seconds, kernel=repr(KERNEL))
    if not config.exists():
        home.write_whole(config, wanted)
    elif config.read_text(encoding="utf-8") != wanted:
        told.append(f"{config} was there and stays as it is; remove it to have it written anew")
    return told


def _kernel() -> dict[str, Any]:
    environment = {
        "LAB_FOLDER": str(home.LAB),
        "LAB_PROGRESS": "off",
        "OMP_NUM_THREADS": "1",
        "TQDM_DISABLE": "1",
    }
    environment |= {name: os.environ[name] for name in ("LAB_HOME", "LAB_MODEL_DIR") if os.environ.get(name)}
    return {
        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": "LLM Biology Lab, grading",
        "language": "python",
        "env": environment,
    }


def main(arguments: list[str] | None = None) -> int:
    """Command line. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m classroom.nbgrader", description="Lessons for nbgrader.")
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("make", help="write a course folder with source notebooks")
    one.add_argument("lessons", nargs="*", help="numbers, such as 05 06; all of them when left out")
    one.add_argument("--course", type=Path, default=COURSE, help=f"the course folder ({COURSE.name} in build/)")
    one.add_argument("--short", action="store_true", help="set-up and exercises only: no model, graded in seconds")
    one.add_argument("--seconds", type=int, default=CELL_SECONDS, help=f"limit of a cell ({CELL_SECONDS})")
    options = parser.parse_args(arguments)
    try:
        which = [p.stem[:2] for p in notebooks.paths(notebooks.SOLUTIONS, options.lessons)]
        told = make(options.course.absolute(), which, options.short, options.seconds)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(*told, sep="\n")
    print(f"Next, in {options.course}:  nbgrader generate_assignment NAME")
    return 0


if __name__ == "__main__":
    sys.exit(main())
