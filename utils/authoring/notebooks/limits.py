"""How much a lesson may put in front of a learner, and the lessons that are not there yet.

A visible cell is one to read: at most 25 lines, a lesson at most 450 lines in sight, and no line that has to be
scrolled sideways. What is only machinery is folded (`# @title …` as a cell's first line).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields

from nbformat import NotebookNode

from utils.authoring import notebooks

LINE = 100  # characters of code, or of printed output, that fit beside JupyterLab's file browser at 1,280 pixels


@dataclass(frozen=True)
class Limits:
    """Lines of code in sight, lines of the longest cell in sight, and lines that are too wide."""

    visible: int
    longest: int
    wide: int


LIMITS = Limits(visible=450, longest=25, wide=0)
# How far a figure may stay below its entry in NOT_YET before the entry must follow it down.
_SLACK = Limits(visible=60, longest=15, wide=15)

# Lessons that have not been rewritten yet, and what each may not exceed. The list only shrinks: the builder refuses
# a lesson above its entry, and an entry that its lesson no longer needs.
NOT_YET: dict[str, Limits] = {
    "05": Limits(visible=575, longest=70, wide=20),
    "06": Limits(visible=675, longest=65, wide=15),
    "07": Limits(visible=625, longest=50, wide=15),
    "08": Limits(visible=625, longest=75, wide=10),
    "09": Limits(visible=525, longest=40, wide=10),
    "10": Limits(visible=575, longest=50, wide=10),
}

# Lessons that still print what they measured, instead of handing it to lab.measured. This list only shrinks, too.
NOT_YET_LESSONS = {"05", "06", "07", "08", "09", "10"}


def measure(lesson: NotebookNode, solution: NotebookNode) -> Limits:
    """What a lesson shows when it opens. solution: its executed partner, whose printed lines are counted too."""
    cells = [cell.source.split("\n") for cell in notebooks.in_sight(lesson)]
    shown = [line for cell in cells for line in cell]
    shown += [line for cell in notebooks.code_cells(solution) for line in printed(cell)]
    return Limits(visible=sum(map(len, cells)), longest=max(map(len, cells), default=0), wide=sum(map(_is_wide, shown)))


def printed(cell: NotebookNode) -> list[str]:
    """The lines that an executed code cell shows as plain text."""
    texts = []
    for output in cell.outputs:
        data = output.get("data", {})
        if output.output_type == "stream":
            texts.append(output.text)
        elif not {"text/html", "text/markdown"} & set(data):
            texts.append(data.get("text/plain", ""))
    return [line for text in texts for line in text.split("\n")]


def cells_beyond(lesson: NotebookNode, solution: NotebookNode) -> Iterator[tuple[int, str]]:
    """Each cell that breaks a limit of its own: its index, and what is too much in it."""
    for index, (cell, executed) in enumerate(zip(lesson.cells, solution.cells)):
        if cell.cell_type != "code":
            continue
        lines = cell.source.split("\n") if notebooks.title_of(cell) is None else []
        if len(lines) > LIMITS.longest:
            yield index, f"{len(lines)} lines are in sight; at most {LIMITS.longest}"
        for line in [*lines, *printed(executed)]:
            if _is_wide(line):
                yield index, f"wider than {LINE} characters: {line.strip()[:60]} …"


def _is_wide(line: str) -> bool:
    return len(line) > LINE


def excesses(lesson: str, found: Limits) -> list[str]:
    """What is wrong with the figures of a lesson ("03"), each in a sentence: too large, or better than its entry."""
    entry = NOT_YET.get(lesson)
    allowed = entry or LIMITS
    words = {
        "visible": "lines of code are in sight; fold what is only machinery (`# @title …`)",
        "longest": "lines are in the longest cell in sight; cut it, fold it, or draw with the plots grammar",
        "wide": f"lines of code in sight or of printed output are wider than {LINE} characters",
    }
    sentences = [
        f"{getattr(found, name)} {said}; at most {getattr(allowed, name)}"
        for name, said in words.items()
        if getattr(found, name) > getattr(allowed, name)
    ]
    if entry is not None and not sentences:
        lower = Limits(*(max(a, b) for a, b in zip(astuple(found), astuple(LIMITS))))
        if lower == LIMITS:
            sentences.append(f"lesson {lesson} holds every limit now: take it off NOT_YET in limits.py")
        elif any(getattr(entry, f.name) - getattr(lower, f.name) >= getattr(_SLACK, f.name) for f in fields(Limits)):
            sentences.append(f"better than its entry in NOT_YET of limits.py: write {lower} there, or a little more")
    return sentences
