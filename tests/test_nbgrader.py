"""nbgrader for real: released, validated, graded, fed back, in nbgrader's own environment (`make nbgrader`).

The lessons are cut down to set-up and exercises (`--short`): the same cells are graded, without a model in between.
"""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from conftest import ROOT

from classroom import grading, lessons
from classroom import nbgrader as maker
from utils import checks, lab
from utils.authoring import notebooks
from utils.authoring.notebooks import bank
from utils.checks import handed

LESSONS = ("05", "06", "09")
TOOLS = ROOT / "build" / "nbgrader" / ("Scripts" if os.name == "nt" else "bin")
NBGRADER = TOOLS / ("nbgrader.exe" if os.name == "nt" else "nbgrader")
needs_nbgrader = pytest.mark.skipif(not NBGRADER.exists(), reason="no nbgrader here: `make nbgrader` installs it")


# ------------------------------------------------------------------------------------------------ without nbgrader


@pytest.mark.parametrize("lesson", checks.lessons())
@pytest.mark.parametrize("short", [True, False], ids=["short", "whole"])
def test_every_exercise_has_its_answer_cell_its_stub_and_its_points(lesson, short):
    stem, notebook = maker.source_of(lesson, short)
    nbformat.validate(notebook)
    told = lessons.exercises(lessons.read(lesson)[1])
    graded = {cell.metadata.nbgrader.grade_id: cell for cell in notebook.cells if "nbgrader" in cell.metadata}
    made = {
        notebooks.exercise_number(cell): cell
        for cell in notebooks.read(notebooks.LESSONS / f"{stem}.ipynb").cells
        if notebooks.exercise_number(cell)
    }
    assert list(told) == list(made) == list(checks.exercises(lesson))
    for number, exercise in told.items():
        answer, test = (graded[f"{kind}-{number.replace('.', '-')}"] for kind in ("exercise", "points"))
        assert answer.metadata.nbgrader.solution and answer.metadata.stub == made[number].source
        assert test.metadata.nbgrader.points == exercise.difficulty and test.metadata.nbgrader.locked
        assert notebook.cells.index(test) == notebook.cells.index(answer) + 1
    assert graded["set-up"].metadata.nbgrader.locked
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert "Open in Colab" not in text and ".ipynb)" not in text
    assert not any(cell.get("outputs") for cell in notebook.cells)


@pytest.mark.parametrize("lesson", checks.lessons())
def test_exercises_stand_without_the_rest_of_their_lesson(lesson, monkeypatch, capsys):
    """What a short assignment runs: imports, then every solution; each gets its points."""
    monkeypatch.setenv("LAB_PROGRESS", "off")
    notebook = maker.source_of(lesson, short=True)[1]
    names: dict = {}
    for cell in notebooks.code_cells(notebook)[1:]:  # the first is the set-up
        exec(compile(cell.source, str(cell.id), "exec"), names)


def test_what_was_handed_in_counts_and_not_what_came_back(monkeypatch, capsys):
    monkeypatch.setenv("LAB_PROGRESS", "off")
    monkeypatch.setattr(handed, "_HANDED", {})
    reference = checks.find("5.1").reference

    def stub(x, W, b):
        raise NotImplementedError

    with pytest.raises(handed.NotPassed, match="Not attempted"):
        lab.passed("5.1")
    with pytest.raises(handed.NotPassed, match="nothing was handed in"):
        grading.judge("5.1")
    name = lab.check("5.1", stub)
    assert name is reference
    lab.check("5.1", name)  # the same line run again hands in the course's own
    for test in (lab.passed, grading.judge):
        with pytest.raises(handed.NotPassed, match="[Nn]ot attempted"):
            test("5.1")
    lab.check("5.1", lambda x, W, b: x * 0)
    wrong = checks.mark(checks.find("5.1"), lambda x, W, b: x * 0).message
    for test in (lab.passed, grading.judge):
        with pytest.raises(handed.NotPassed, match=re.escape(wrong)):
            test("5.1")
    lab.check("5.1", lambda x, W, b: reference(x, W, b))
    lab.passed("5.1")
    grading.judge("5.1")


def test_a_submission_that_spoils_the_checks_by_the_way_is_still_judged(monkeypatch, capsys):
    monkeypatch.setenv("LAB_PROGRESS", "off")
    monkeypatch.setattr(handed, "_HANDED", {"5.1": lambda x, W, b: x * 0})
    own = checks.mark
    monkeypatch.setattr(checks, "mark", lambda exercise, attempt: checks.Verdict(exercise.number, "passed", ""))
    lab.passed("5.1")
    with pytest.raises(handed.NotPassed):
        grading.judge("5.1")
    monkeypatch.setattr(handed, "_HANDED", {"5.1": checks.find("5.2").reference})
    with pytest.raises(handed.NotPassed, match="the course's own function"):
        grading.judge("5.1")
    import utils.checks

    assert utils.checks is checks is sys.modules["utils.checks"]
    monkeypatch.setattr(checks, "mark", own)


def test_the_teachers_settings_are_kept(tmp_path, capsys):
    assert maker.main(["make", "05", "--short", "--course", str(tmp_path)]) == 0
    config = tmp_path / "nbgrader_config.py"
    assert "c.Execute.timeout = 300" in config.read_text() and "stays as it is" not in capsys.readouterr().out
    config.write_text("# mine\n")
    assert maker.main(["make", "05", "--short", "--course", str(tmp_path)]) == 0
    assert config.read_text() == "# mine\n" and "stays as it is" in capsys.readouterr().out
    assert maker.main(["make", "77", "--course", str(tmp_path)]) == 1
    assert "no notebook '77'" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert maker.main(["make", "05", "--course", str(tmp_path / "file")]) == 1


# --------------------------------------------------------------------------------------------------- with nbgrader

_SCORES = """
import json, sys
from nbgrader.api import Gradebook
with Gradebook("sqlite:///gradebook.db") as book:
    found = {s.student.id + " " + s.assignment.name: {g.name: [g.score, g.max_score] for n in s.notebooks
             for g in n.grades} for a in book.assignments for s in a.submissions}
print(json.dumps(found))
"""
_WRONG = """
from utils.authoring.notebooks import bank
{given} = bank.load("{lesson}").WRONG["{number}"][0][1]
{given} = lab.check("{number}", {given})"""


def run(course: Path, *arguments: str, progress: Path) -> str:
    """nbgrader in the course folder, as a teacher would call it; what it said."""
    environment = {**os.environ, "PATH": f"{TOOLS}{os.pathsep}{os.environ['PATH']}", "LAB_PROGRESS": str(progress)}
    environment |= {"JUPYTER_CONFIG_DIR": str(course / "jupyter"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([NBGRADER, *arguments], cwd=course, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 or arguments[0] == "validate", done.stdout + done.stderr
    return done.stdout + done.stderr


def wrong_answer(lesson: str, number: str) -> object:
    """The bank's first wrong answer, or a *choose* exercise's first wrong letter."""
    exercise = checks.find(number)
    if exercise.kind != "choose":
        return bank.load(lesson).WRONG[number][0][1]
    return next(o for o in exercise.options if checks.mark(exercise, o).status != checks.PASSED)


def submission(release: Path, lesson: str, how: str) -> nbformat.NotebookNode:
    """The released notebook with its answers "right" or "wrong", or "open"."""
    notebook = nbformat.read(release, as_version=4)
    solved = {notebooks.exercise_number(cell): cell.source for cell in lessons.read(lesson)[1].cells}
    for cell in notebook.cells:
        number = notebooks.exercise_number(cell)
        if number is None or how == "open":
            continue
        if how == "right":
            cell.source = solved[number]
        else:
            given = notebooks.CHECK_LINE.match(cell.source.rsplit("\n", 1)[-1])["given"]
            answer = wrong_answer(lesson, number)
            cell.source = (
                f'{given} = {answer!r}\n{given} = lab.check("{number}", {given})'
                if isinstance(answer, str)
                else _WRONG.format(given=given, lesson=lesson, number=number)
            )
    return notebook


@needs_nbgrader
@pytest.mark.slow
def test_graded_from_release_to_feedback(tmp_path):
    course, progress = tmp_path / "course", tmp_path / "grader.json"
    progress.write_text('{"5.1": {"status": "not yet", "attempts": 1}}')
    before = progress.read_bytes()
    assert maker.main(["make", *LESSONS, "--short", "--course", str(course)]) == 0
    people = {"ada": "right", "ben": "open", "cyd": "wrong"}
    stems = {}
    for lesson in LESSONS:
        stem = stems[lesson] = lessons.read(lesson)[0]
        run(course, "generate_assignment", stem, progress=progress)
        release = course / "release" / stem / f"{stem}.ipynb"
        text = release.read_text(encoding="utf-8")
        assert "SOLUTION" not in text and "HIDDEN" not in text and "judge" not in text
        for person, how in people.items():
            handed_in = course / "submitted" / person / stem / f"{stem}.ipynb"
            handed_in.parent.mkdir(parents=True)
            nbformat.write(submission(release, lesson, how), handed_in)

    # A learner's own look before handing in.
    stem = stems["05"]
    tests = len(checks.exercises("05"))
    said = run(course, "validate", f"release/{stem}/{stem}.ipynb", progress=progress)
    assert f"VALIDATION FAILED ON {tests} CELL" in said and "Not attempted" in said
    said = run(course, "validate", f"submitted/ada/{stem}/{stem}.ipynb", progress=progress)
    assert "Success! Your notebook passes all the tests" in said

    # What somebody may do who wants points for nothing.
    cheat = course / "submitted" / "dov" / stem / f"{stem}.ipynb"
    cheat.parent.mkdir(parents=True)
    notebook = submission(course / "release" / stem / f"{stem}.ipynb", "05", "wrong")
    spoil = 'lab.passed = print\nchecks.mark = lambda e, a: checks.Verdict(e.number, "passed", "")'
    notebook.cells.insert(3, nbformat.v4.new_code_cell(f"from utils import checks, lab\n{spoil}"))
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("grade"):
            cell.source = "pass"
    nbformat.write(notebook, cheat)

    for stem in stems.values():
        run(course, "autograde", stem, progress=progress)
        run(course, "generate_feedback", stem, progress=progress)
    python = TOOLS / Path(sys.executable).name
    python = python if python.exists() else TOOLS / "python"
    told = subprocess.run([python, "-c", _SCORES], cwd=course, capture_output=True, text=True, check=True).stdout
    scores = json.loads(told)
    for lesson, stem in stems.items():
        numbers = [f"points-{number.replace('.', '-')}" for number in checks.exercises(lesson)]
        for person, how in people.items():
            got = scores[f"{person} {stem}"]
            assert sorted(got) == sorted(numbers)
            wanted = {name: maximum if how == "right" else 0 for name, (_, maximum) in got.items()}
            assert {name: score for name, (score, _) in got.items()} == wanted, (person, stem)
        feedback = shown(course / "feedback" / "cyd" / stem / f"{stem}.html")
        for number, exercise in checks.exercises(lesson).items():
            message = checks.mark(exercise, wrong_answer(lesson, number)).message
            assert flat(message) in feedback, number
        feedback = shown(course / "feedback" / "ben" / stem / f"{stem}.html")
        assert feedback.count("Notpassed:") == len(numbers) and "Notattempted" in feedback
    assert not any(score for score, _ in scores[f"dov {stems['05']}"].values())
    assert progress.read_bytes() == before and not list(course.rglob("progress*.json"))
    shutil.rmtree(course)


def flat(text: str) -> str:
    """Without blanks and Markdown's marks, which a page sets as it likes."""
    return re.sub(r"[\s`*]", "", text)


def shown(page: Path) -> str:
    return flat(html.unescape(re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8"))))
