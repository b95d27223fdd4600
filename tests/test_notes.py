"""The generated half of an instructor's notes."""

import re

import pytest

from classroom import lessons, notes
from utils import checks


@pytest.mark.parametrize("lesson", checks.lessons())
def test_notes_have_every_exercise_its_mistakes_and_the_quiz(lesson):
    text = notes.of(lesson)
    told = lessons.exercises(lessons.read(lesson)[1])
    for number, exercise in checks.exercises(lesson).items():
        assert f"### {number} · {exercise.title}" in text and f"| {number} {told[number].title}" in text
        part = text.split(f"### {number} · ", 1)[1].split("\n### ", 1)[0]
        assert part.count("\n* ") >= 2 and "Passed" not in part
    facts = text.split("## Exercises")[0]
    assert facts.count("\n* ") == 5 and not re.search(r": (,|$)", facts, re.MULTILINE)
    quiz = text.split("## Quiz")[1]
    assert quiz.count("**right**") >= len(checks.quiz(lesson))
    assert "of your function (`" not in text  # the bank's own line of code


def test_what_a_lesson_says_of_itself():
    title, notebook = lessons.read("9")
    told = lessons.exercises(notebook)
    assert title.startswith("09_") and told["9.1"].minutes > 0 and len(told["9.1"].hints) >= 3
    assert lessons.opening(notebook, "Minutes") == "90" and lessons.opening(notebook, "No such word") == ""


def test_notes_are_printed_or_written(tmp_path, capsys):
    assert notes.main(["05"]) == 0 and "# Notes for whoever teaches · Lesson 05" in capsys.readouterr().out
    assert notes.main(["05", "--out", str(tmp_path)]) == 0 and (tmp_path / "05_superposition.md").exists()
    assert notes.main(["77"]) == 1 and "no notebook '77'" in capsys.readouterr().err
