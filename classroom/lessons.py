"""What a lesson's notebook says about itself: its title, its minutes, its exercises with their stars and hints."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from nbformat import NotebookNode

from utils import checks
from utils.authoring import notebooks

_EXERCISE = re.compile(
    r"^### Exercise (?P<number>\d+\.\d+) · (?P<title>.+?) · (?P<minutes>\d+) min · difficulty (?P<stars>[1-5])/5\s*$",
    re.MULTILINE,
)
_HINT = re.compile(r"<details>\s*<summary>(?P<name>.*?)</summary>(?P<text>.*?)</details>", re.DOTALL)


@dataclass(frozen=True)
class Told:
    """An exercise as its lesson tells it. minutes: meant for it. difficulty: 1 to 5. hints: the ladder's texts."""

    number: str
    title: str
    minutes: int
    difficulty: int
    kind: str
    section: str
    hints: list[str] = field(default_factory=list)


def read(lesson: str) -> tuple[str, NotebookNode]:
    """The stem ("05_superposition") and the notebook of a lesson's solution. Raises ValueError if there is none."""
    path = notebooks.paths(notebooks.SOLUTIONS, [lesson])[0]
    return path.stem, notebooks.read(path)


def exercises(notebook: NotebookNode) -> dict[str, Told]:
    """The exercises of a lesson by number, as the headings above them tell."""
    found: dict[str, Told] = {}
    section = ""
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type != "markdown":
            continue
        for line in re.findall(r"^## +(.+)$", cell.source, re.MULTILINE):
            section = line.strip()
        head = _EXERCISE.search(cell.source)
        if head is None:
            continue
        below = notebook.cells[index + 2].source if index + 2 < len(notebook.cells) else ""
        number = head["number"]
        found[number] = Told(
            number,
            head["title"],
            int(head["minutes"]),
            int(head["stars"]),
            checks.find(number).kind,
            section,
            [match["text"].strip() for match in _HINT.finditer(below)],
        )
    return found


def opening(notebook: NotebookNode, word: str) -> str:
    """What the first cell says after a word ("Minutes"), in a list or in a table; "" if it doesn't."""
    cell = notebook.cells[0].source
    for form in (r"^- \*\*{}\*\*: *(.+)$", r"^\| *\**{}\** *\|(.+)\|$"):
        if found := re.search(form.format(re.escape(word)), cell, re.MULTILINE | re.IGNORECASE):
            return found[1].strip()
    return ""
