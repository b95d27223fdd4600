"""Make lessons/ from solutions/, and refuse to when a rule of the course is broken.

`python -m utils.authoring.notebooks.build` writes the lessons, and the metadata that folds a solution's cells. With
`--check` it writes nothing and fails if anything is not byte for byte what would be written. Every problem names its
file and its cell. The idea of keeping stub and solution in one cell is nbgrader's, and so are the two markers; all else
of nbgrader is in `classroom/nbgrader.py`.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode

from utils import checks
from utils.authoring import notebooks
from utils.authoring.notebooks import BEGIN, END, LESSONS, SOLUTIONS, limits, measuring, printing
from utils.authoring.notebooks.setup_cell import SETUP_CELL

MAX_BYTES = 1_500_000
Found = Iterator[tuple[int | None, str]]  # the cell a problem is in (None: the whole notebook), and what it is
_HEADING = re.compile(r"^### Exercise (?P<number>\d+\.\d+) · .+ · \d+ min · difficulty [1-5]/5\s*$", re.MULTILINE)
# What speaks to a tool, not to a learner: tags of the cell and pyproject.toml say it out of sight.
_MARK = re.compile(r"#\s*(NBVAL_\w+|noqa\b|fmt:\s*\w+)")
_HINTS = ("nudge", "approach", "nearly there")
_ALT_CALLS = {"show", "html", "tokens", "tokens_html"}


class BuildError(Exception):
    """One or more notebooks break a rule; the message lists every problem with file and cell."""


@dataclass(frozen=True)
class Problem:
    """A broken rule, where it is and what it is."""

    file: str
    cell: int | None
    message: str

    def __str__(self) -> str:
        where = self.file if self.cell is None else f"{self.file}, cell {self.cell}"
        return f"{where}: {self.message}"


# ------------------------------------------------------------------------------------------------ from solution to stub


def strip_solution(source: str) -> str:
    """Replace each marked solution region by a stub that raises NotImplementedError.

    A region that isn't inside a function is an answer by value (a letter, a list of texts): its stub is `name = None`.
    Raises ValueError for a region that is unclosed, nested, or closed without being open.
    """
    lines: list[str] = []
    inside = False
    for text in source.split("\n"):
        marker = text.strip()
        if marker == BEGIN:
            if inside:
                raise ValueError(f"nested {BEGIN!r}: the region above it is still open")
            inside = True
            indent = text[: len(text) - len(text.lstrip())]
            lines += [f"{indent}# YOUR CODE HERE", f"{indent}raise NotImplementedError"] if indent else [_blank(source)]
        elif marker == END:
            if not inside:
                raise ValueError(f"{END!r} without a {BEGIN!r} above it")
            inside = False
        elif marker.upper().replace(" ", "") in (BEGIN.replace(" ", ""), END.replace(" ", "")):
            raise ValueError(f"marker {marker!r} is misspelt; write {BEGIN!r} or {END!r}")
        elif not inside:
            lines.append(text)
    if inside:
        raise ValueError(f"{BEGIN!r} is never closed")
    return "\n".join(lines)


def _blank(source: str) -> str:
    """The stub of an answer by value, and what to put there: `control = None  # YOUR ANSWER HERE: "a", "b" or "c"`."""
    match = notebooks.CHECK_LINE.match(source.rstrip().rsplit("\n", 1)[-1])
    if match is None:
        raise ValueError('a solution region outside a function needs `name = lab.check("3.1", name)` as the last line')
    exercise = checks.find(match["number"])
    if not exercise.by_value:
        raise ValueError(f"exercise {exercise.number} hands in a function: its solution region stands inside one")
    return f"{match['given']} = None  # YOUR ANSWER HERE: {exercise.answer_words}"


def lesson_from(solution: NotebookNode) -> NotebookNode:
    """The lesson notebook of a solution: stubs in place of solutions, no outputs, no execution counts."""
    lesson = notebooks.copy_of(solution)
    for cell in lesson.cells:
        notebooks.set_metadata(cell, tags=False)  # nbval compares nothing in a lesson, so its marks say nothing there
        if cell.cell_type == "code":
            cell.source = strip_solution(cell.source)
            cell.outputs, cell.execution_count = [], None
    return lesson


# --------------------------------------------------------------------------------------------------------------- rules


def problems(solution: NotebookNode, name: str, course: Sequence[str] = ()) -> list[Problem]:
    """Every rule of the course that a solution notebook breaks. name: its file stem ("03_probing").

    course: the stems of all lessons in order, so that the links to the last and the next one can be looked at.
    """
    file = f"solutions/{name}.ipynb"
    found: list[Problem] = []
    for rule in (
        _markers,
        _exercises,
        _execution,
        _folding,
        _limits,
        _alt_texts,
        _offline,
        _frame,
        measuring.doubled,
        printing.printed,
        printing.predicted,
    ):
        found += [Problem(file, cell, message) for cell, message in rule(solution, name[:2])]
    if name in course:
        found += [Problem(file, cell, message) for cell, message in _links(solution, name, course)]
    return found


def _markers(notebook: NotebookNode, _lesson: str) -> Found:
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        try:
            stripped = strip_solution(cell.source)
        except ValueError as error:
            yield index, str(error)
            continue
        if stripped != cell.source and notebooks.exercise_number(cell) is None:
            yield (
                index,
                'a solution region without a check: the last line must read `name = lab.check("3.1", name)`',
            )


def _exercises(notebook: NotebookNode, lesson: str) -> Found:
    seen: list[str] = []
    for index, cell in enumerate(notebook.cells):
        number = notebooks.exercise_number(cell)
        if number is None:
            if cell.cell_type == "code" and "lab.check(" in cell.source:
                yield (
                    index,
                    'lab.check must be the cell\'s last line, written `name = lab.check("3.1", name)`',
                )
            continue
        seen.append(number)
        if BEGIN not in cell.source:
            yield index, f"exercise {number} has no {BEGIN!r}: the lesson would show its solution"
        match = notebooks.CHECK_LINE.match(cell.source.rstrip().rsplit("\n", 1)[-1])
        if match and match["name"] != match["given"]:
            yield index, f"exercise {number} hands in {match['given']!r} but keeps it as {match['name']!r}"
        exercise = _known(number)
        by_value = exercise is not None and exercise.by_value
        if not by_value and not _function_has_docstring(cell.source, match["given"] if match else ""):
            yield index, f"exercise {number} must define its function with a docstring that gives shapes"
        above = notebook.cells[index - 1] if index else None
        offered = re.findall(r"^- \*\*(\w+)\*\*", above.source, re.MULTILINE) if above is not None else []
        if exercise is not None and exercise.options and tuple(offered) != exercise.options:
            options = ", ".join(exercise.options)
            yield index, f"exercise {number} needs its options just above, each `- **a** …`: {options}; found {offered}"
        heading = _HEADING.search(above.source) if above is not None and above.cell_type == "markdown" else None
        if heading is None or heading["number"] != number:
            yield (
                index,
                f"exercise {number} needs `### Exercise {number} · title · 6 min · difficulty 2/5` just above",
            )
        below = notebook.cells[index + 1] if index + 1 < len(notebook.cells) else None
        hints = re.findall(r"<summary>(.*?)</summary>", below.source) if below is not None else []
        # Every option of a choice answers back: that is its ladder.
        choice = exercise is not None and exercise.kind == "choose"
        if not choice and (below is None or below.cell_type != "markdown" or not _is_ladder(hints)):
            yield (
                index,
                f"exercise {number} needs a hint ladder just below: {', '.join(_HINTS)}, each in <details>",
            )
    if lesson not in checks.lessons():
        yield None, f"utils/checks/lesson_{lesson}.py does not exist"
        return
    registered = list(checks.exercises(lesson))
    if seen != registered:
        yield None, f"the notebook's exercises are {seen}, utils/checks/lesson_{lesson}.py has {registered}"


def _known(number: str) -> checks.Exercise | None:
    try:
        return checks.find(number)
    except ValueError:
        return None  # told below, with the list of those there are


def _is_ladder(hints: list[str]) -> bool:
    return len(hints) >= len(_HINTS) and all(word in hint.lower() for word, hint in zip(_HINTS, hints))


def _function_has_docstring(source: str, name: str) -> bool:
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return False
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    return bool(functions) and bool(ast.get_docstring(functions[-1]))


def _execution(notebook: NotebookNode, _lesson: str) -> Found:
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        if cell.execution_count is None:
            yield index, "this code cell was not executed: run `python -m utils.authoring.notebooks.execute`"
        for output in cell.outputs:
            if output.output_type == "error":
                yield index, f"stored error output: {output.ename}: {output.evalue}"
            if output.output_type == "stream" and output.name == "stderr":
                yield index, f"stored stderr output: {output.text[:120]!r}"
            if notebooks.WIDGET_VIEW in output.get("data", {}):
                yield index, "stored widget view: it shows an error when the notebook is opened"
    size = len(notebooks.dumps(notebook).encode())
    if size > MAX_BYTES:
        yield None, f"the notebook is {size / 1e6:.2f} MB; at most {MAX_BYTES / 1e6:.1f} MB"


def _folding(notebook: NotebookNode, _lesson: str) -> Found:
    """Folded cells are marked by their first line alone, and what speaks to tools stands in tags, out of sight."""
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        if mark := _MARK.search(cell.source):
            yield index, f"{mark[0]!r} is in sight: a tag of the cell or pyproject.toml says it (nbval-ignore-output)"
        misplaced = any(re.match(r"#\s*@", line.strip()) for line in cell.source.split("\n")[1:])
        if misplaced or (re.match(r"\s*#\s*@", cell.source) and notebooks.title_of(cell) is None):
            yield index, f"write `{notebooks.TITLE}Words that say what it does` as the first line, or not at all"
        if notebooks.title_of(cell) == "":
            yield index, "a folded cell needs a title that says what it does"
        if notebooks.title_of(cell) is not None and notebooks.exercise_number(cell) is not None:
            yield index, "an exercise must be in sight, not folded"


def _limits(notebook: NotebookNode, lesson: str) -> Found:
    try:
        made = lesson_from(notebook)
    except ValueError:
        return  # told by _markers
    if lesson not in limits.NOT_YET:
        yield from limits.cells_beyond(made, notebook)
    for sentence in limits.excesses(lesson, limits.measure(made, notebook)):
        yield None, sentence


def _links(notebook: NotebookNode, name: str, course: Sequence[str]) -> Found:
    """The last line of Markdown leads to the last and the next lesson, by files that lie beside this one."""
    at = list(course).index(name)
    wanted = [*course[max(at - 1, 0) : at], *course[at + 1 : at + 2]]
    cells = [(index, cell) for index, cell in enumerate(notebook.cells) if cell.cell_type == "markdown"]
    index, cell = cells[-1] if cells else (0, None)
    line = cell.source.rstrip().rsplit("\n", 1)[-1] if cell else ""
    if re.findall(r"\]\((\w+)\.ipynb\)", line) != wanted:
        links = " · ".join(f"[Lesson {stem[:2]} · Title]({stem}.ipynb)" for stem in wanted)
        yield index, f"the last line of Markdown must lead to the last and the next lesson: {links}"


def _alt_texts(notebook: NotebookNode, _lesson: str) -> Found:
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            if re.search(r"!\[\s*\]\(", cell.source) or _images_without_alt(cell.source):
                yield index, "an image without alt text"
            continue
        for line in _figure_calls_without_alt(cell.source):
            yield index, f"line {line}: a figure is shown without alt="
        for output in cell.outputs:
            data = output.get("data", {})
            if any(kind.startswith("image/") for kind in data):
                yield index, "a bare image output has no alt text: show figures with plots.show(fig, alt=…)"
            if _images_without_alt(str(data.get("text/html", ""))):
                yield index, "an image without alt text in the output"


def _offline(notebook: NotebookNode, _lesson: str) -> Found:
    """A page is shown in a class without a network, and says to nobody that it was read."""
    for index, cell in enumerate(notebook.cells):
        parts = [cell.source] if cell.cell_type == "markdown" else []
        for output in cell.get("outputs", []):
            parts += [str(text) for kind, text in output.get("data", {}).items() if kind != "text/plain"]
        for fetched in notebooks.fetched_from_outside("\n".join(parts)):
            yield index, f"fetched from another computer when it is shown: {fetched}"


def _images_without_alt(markup: str) -> bool:
    images = re.findall(r"<img\b[^>]*>", markup)
    return any(not re.search(r'\balt="[^"]*\w[^"]*"', image) for image in images)


def _figure_calls_without_alt(source: str) -> list[int]:
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return []  # ruff names the syntax error
    calls = [(node, node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [
        call.lineno
        for call, shown in calls
        if isinstance(shown, ast.Attribute)
        and shown.attr in _ALT_CALLS
        and isinstance(shown.value, ast.Name)
        and shown.value.id == "plots"
        and "alt" not in {keyword.arg for keyword in call.keywords}
        and len(call.args) < (2 if shown.attr in ("show", "html") else 4)
    ]


def _frame(notebook: NotebookNode, lesson: str) -> Found:
    """What every lesson has: the link to Colab, the set-up cell, a quiz, replication cards, Scale up, references."""
    code = notebooks.code_cells(notebook)
    if not code or code[0].source != SETUP_CELL:
        yield None, "the first code cell must be the set-up cell of utils/authoring/notebooks/setup_cell.py, unchanged"
    if any("_SOLUTIONS_" in cell.source or "import solutions" in cell.source for cell in code):
        yield None, "a notebook must not import from solutions/"
    opening = notebook.cells[0].source if notebook.cells else ""
    if not opening.startswith(f"# Lesson {lesson} · "):
        yield 0, f"the first cell must open with `# Lesson {lesson} · title`"
    for word in ("minutes", "prerequisites", "compute", "[open in colab](https://colab.research.google.com/"):
        if word not in opening.lower():
            yield 0, f"the first cell must name {word!r}"
    headings = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown").lower()
    for section in ("scale up", "references"):
        if not re.search(rf"^##+ .*{section}", headings, re.MULTILINE):
            yield None, f"a section {section!r} is missing"
    all_code = "\n".join(cell.source for cell in code)
    for call in (f'lab.quiz("{lesson}")', "lab.replication_card("):
        if call not in all_code:
            yield None, f"{call} is missing"
    ids = [cell.get("id") for cell in notebook.cells]
    if None in ids or len(set(ids)) < len(ids):
        yield None, "cell ids must be there and unique"


# ---------------------------------------------------------------------------------------------------------------- main


def build(solutions: Path = SOLUTIONS, lessons: Path = LESSONS, check: bool = False) -> list[Path]:
    """Write (or with check=True only compare) the lesson of every solution, and return the lessons' paths.

    A solution keeps its source and its outputs; its cells' metadata is made to fit (what folds them, and tags).
    Raises BuildError listing every problem: rules broken, lessons out of step, lessons without a solution.
    """
    found: list[Problem] = []
    lessons_made: dict[Path, str] = {}
    course = [path.stem for path in notebooks.paths(solutions)]
    for path in notebooks.paths(solutions):
        notebook = notebooks.read(path)
        for cell in notebook.cells:
            notebooks.set_metadata(cell)
        if path.read_bytes() != notebooks.dumps(notebook).encode("utf-8"):
            if check:
                found.append(Problem(f"solutions/{path.name}", None, "is not as `make build` would keep it"))
            else:
                notebooks.write(notebook, path)
        broken = problems(notebook, path.stem, course)
        found += broken
        if not any("SOLUTION" in problem.message for problem in broken):
            lessons_made[lessons / path.name] = notebooks.dumps(lesson_from(notebook))
    for path in notebooks.paths(lessons):
        if not (solutions / path.name).exists():
            found.append(Problem(f"lessons/{path.name}", None, "has no partner in solutions/"))
    if check:
        for path, text in lessons_made.items():
            if not path.exists() or path.read_bytes() != text.encode("utf-8"):
                message = "is not what `make build` makes of its solution (never edit a lesson by hand)"
                found.append(Problem(f"lessons/{path.name}", None, message))
    if found:
        raise BuildError("\n".join(str(problem) for problem in found))
    if not check:
        lessons.mkdir(exist_ok=True)
        for path, text in lessons_made.items():
            path.write_bytes(text.encode("utf-8"))
    return list(lessons_made)


def main(arguments: list[str] | None = None) -> int:
    """Command line: build the lessons, or `--check` them. Returns the exit code."""
    parser = argparse.ArgumentParser(description="Make lessons/ from solutions/.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a lesson is out of step")
    options = parser.parse_args(arguments)
    try:
        made = build(check=options.check)
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{len(made)} lessons {'are in step' if options.check else 'written'}: {', '.join(p.stem for p in made)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
