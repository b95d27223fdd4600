"""An instructor's notes for a lesson, the half that the course knows by itself: `python -m classroom.notes 05`.

Minutes, exercises with kind and difficulty, the mistakes each check knows with what it says of them, what every option
of a choice answers, and the quiz with its answers. The other half is yours: `classroom/README.md` has a form for it.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from classroom import lessons
from utils import checks, home
from utils.authoring import notebooks
from utils.authoring.notebooks import bank

_KINDS = {
    "write": "write a function",
    "choose": "choose and learn why",
    "design": "design, scored on unseen data",
    "attack": "attack, scored on unseen data",
}

_CODE = re.compile(r" on line \d+ of your function \(`.*?`\)", re.DOTALL)


def of(lesson: str) -> str:
    """The generated notes of a lesson ("05") as Markdown. Raises ValueError for a lesson that isn't there."""
    stem, notebook = lessons.read(lesson)
    lesson = stem[:2]
    told = lessons.exercises(notebook)
    title = notebooks.heading(notebook.cells[0].source)
    parts = [f"# Notes for whoever teaches · {title}", "", *_facts(notebook, told), "", "## Exercises", ""]
    parts += ["| exercise | minutes | difficulty | kind | stands in |", "|---|---|---|---|---|"]
    parts += [
        f"| {t.number} {_cell(t.title)} | {t.minutes} | {t.difficulty} of 5 | {_KINDS[t.kind]} | {_cell(t.section)} |"
        for t in told.values()
    ]
    parts += ["", "## What goes wrong, and what the check says", ""]
    known = bank.load(lesson).WRONG
    for number, exercise in checks.exercises(lesson).items():
        parts += [f"### {number} · {exercise.title}", ""]
        parts += _options(exercise) if exercise.options else _mistakes(exercise, known.get(number, []))
        if told[number].hints:
            parts += ["", f"First hint: {_line(told[number].hints[0])}"]
        parts.append("")
    parts += ["## Quiz", ""]
    for index, question in enumerate(checks.quiz(lesson), 1):
        parts += [f"{index}. {_line(question.prompt)}", ""]
        parts += [
            f"   * {'**right**' if option.right else 'wrong'}: {_line(option.text)} – {_line(option.feedback)}"
            for option in question.options
        ]
        parts.append("")
    return "\n".join(parts).rstrip() + "\n"


def _facts(notebook: notebooks.NotebookNode, told: dict[str, lessons.Told]) -> list[str]:
    minutes, shown = sum(t.minutes for t in told.values()), lessons.opening
    kinds = [t.kind for t in told.values()]
    counted = ", ".join(f"{kinds.count(kind)} {kind}" for kind in checks.KINDS if kind in kinds)
    return [
        f"* Learners will be able to: {shown(notebook, 'You will be able to')}",
        f"* Minutes: {shown(notebook, 'Minutes')}, of which {minutes} are exercises",
        f"* Prerequisites: {shown(notebook, 'Prerequisites')}",
        f"* Compute: {shown(notebook, 'Compute')}",
        f"* Exercises: {len(told)} ({counted})",
    ]


def _mistakes(exercise: checks.Exercise, known: list[tuple]) -> list[str]:
    """The bank's wrong answers, and what is said of each; of an error, without the line of the bank's code."""
    said = ((name, _CODE.sub("", checks.mark(exercise, answer).message)) for name, answer, _ in known)
    return [f"* {name}: “{_line(message)}”" for name, message in said]


def _options(exercise: checks.Exercise) -> list[str]:
    lines = []
    for letter in exercise.options:
        verdict = checks.mark(exercise, letter)
        right = verdict.status == checks.PASSED
        said = verdict.message.removeprefix("Passed. ").removesuffix(" The lesson now uses your answer.")
        lines.append(f"* {letter} ({'right' if right else 'wrong'}): “{_line(said)}”")
    return lines


def _line(text: str) -> str:
    return " ".join(text.split())


def _cell(text: str) -> str:
    return _line(text).replace("|", "\\|")


def main(arguments: list[str] | None = None) -> int:
    """Command line: print the notes, or write one page a lesson. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m classroom.notes", description="Notes for whoever teaches.")
    parser.add_argument("lessons", nargs="+", help="numbers, such as 05")
    parser.add_argument("--out", type=Path, help="write NN_name.md into this folder instead of printing")
    options = parser.parse_args(arguments)
    try:
        for path in notebooks.paths(notebooks.SOLUTIONS, options.lessons):
            text = of(path.stem[:2])
            if options.out is None:
                home.say(text)
                continue
            options.out.mkdir(parents=True, exist_ok=True)
            home.write_whole(options.out / f"{path.stem}.md", text)
            print(options.out / f"{path.stem}.md")
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
