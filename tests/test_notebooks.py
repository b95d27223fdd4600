"""The notebooks as they are shipped: structure, badges, language of the metadata, and nothing attempted in a lesson."""

import re

import pytest

from utils import checks
from utils.authoring import notebooks
from utils.authoring.notebooks import LESSONS, ROOT, SOLUTIONS

ALL = notebooks.paths(SOLUTIONS) + notebooks.paths(LESSONS)
MIN_COMPARED = 0.6


def name(path):
    return f"{path.parent.name}/{path.stem}"


def test_lessons_and_solutions_are_partners_with_checks():
    stems = [path.stem for path in notebooks.paths(SOLUTIONS)]
    assert stems == [path.stem for path in notebooks.paths(LESSONS)]
    assert [stem[:2] for stem in stems] == checks.lessons()


@pytest.mark.parametrize("path", ALL, ids=name)
def test_metadata_is_stable(path):
    notebook = notebooks.read(path)
    assert notebook.metadata.kernelspec.name == "python3"
    assert "widgets" not in notebook.metadata
    assert path.read_text(encoding="utf-8") == notebooks.dumps(notebook), "bytes differ from what the builder writes"
    ids = [cell["id"] for cell in notebook.cells]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("path", ALL, ids=name)
def test_the_set_up_cell_is_folded_in_jupyterlab_and_in_colab(path):
    first = notebooks.code_cells(notebooks.read(path))[0]
    assert notebooks.title_of(first).startswith("Set-up")
    assert first.metadata == {"cellView": "form", "jupyter": {"source_hidden": True}}


@pytest.mark.parametrize("path", notebooks.paths(SOLUTIONS), ids=name)
def test_enough_cells_are_really_compared(path):
    code = notebooks.code_cells(notebooks.read(path))
    compared = sum(notebooks.is_compared(cell) for cell in code)
    assert compared >= MIN_COMPARED * len(code), f"{compared} of {len(code)}"


@pytest.mark.parametrize("path", notebooks.paths(SOLUTIONS), ids=name)
def test_every_stored_solution_passed(path):
    for cell in notebooks.code_cells(notebooks.read(path)):
        number = notebooks.exercise_number(cell)
        if number:
            shown = "".join(notebooks.comparable_text(output) for output in cell.outputs)
            assert f"Exercise {number} · Passed." in shown


@pytest.mark.parametrize("path", notebooks.paths(LESSONS), ids=name)
def test_every_exercise_of_a_lesson_is_unattempted(path):
    found = []
    for cell in notebooks.code_cells(notebooks.read(path)):
        number = notebooks.exercise_number(cell)
        assert notebooks.BEGIN not in cell.source and notebooks.END not in cell.source
        if number is None:
            continue
        found.append(number)
        definition = cell.source.rstrip().rsplit("\n", 1)[0]
        namespace = {}
        exec("from __future__ import annotations\n" + definition, namespace)
        function = namespace[notebooks.CHECK_LINE.match(cell.source.rstrip().rsplit("\n", 1)[1])["given"]]
        assert checks.mark(checks.find(number), function).status == checks.NOT_ATTEMPTED
    assert found == list(checks.exercises(path.stem[:2]))


def test_the_readme_lists_every_lesson_with_its_link_to_colab():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    linked = re.findall(r"\]\(lessons/(\w+)\.ipynb\)", text)
    assert linked == [path.stem for path in notebooks.paths(LESSONS)]
    assert re.findall(r"\((https://colab\.research\.google\.com/github/[^)]+)\)", text) == [
        notebooks.colab_address(n) for n in linked
    ]


@pytest.mark.parametrize("path", ALL, ids=name)
def test_the_link_to_colab_leads_to_the_lesson(path):
    opening = notebooks.read(path).cells[0].source
    assert f"[Open in Colab]({notebooks.colab_address(path.stem)})" in opening


@pytest.mark.parametrize("path", [*ALL, ROOT / "README.md", ROOT / "CONTRIBUTING.md"], ids=name)
def test_nothing_is_fetched_from_outside_to_show_a_page(path):
    """A badge was a broken picture at the top of every lesson in a class without a network."""
    if path.suffix == ".md":
        shown = path.read_text(encoding="utf-8")
    else:
        shown = notebooks.html_of(notebooks.read(path))
    assert notebooks.fetched_from_outside(shown) == []
