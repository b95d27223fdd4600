"""Is an exercise's function used by its lesson? What a run notes, and what a broken function changes."""

import inspect
import pickle

import nbformat
import numpy as np
import pytest
import torch

from utils import checks, lab
from utils.authoring import notebooks
from utils.authoring.notebooks import used as reading
from utils.checks import Exercise, calling, used


def double(x, hook=None):
    """Twice x."""
    return 2 * x


ORIGINAL = double


def check_double(function):
    if calling.call(function, 2) != 4:
        raise calling.Mistake("Multiply by two.")


def test_a_call_after_the_check_is_noted_once(tmp_path, monkeypatch):
    noted = tmp_path / "used.txt"
    monkeypatch.setenv("LAB_USED", str(noted))
    one, other = used.watched("3.1", double), used.watched("3.2", double)
    assert not noted.exists()
    assert one(3) == one(x=3, hook=1) == 6 and other(1) == 2
    assert noted.read_text().split() == ["3.1", "3.2"]


def test_what_the_lesson_sees_is_the_function_as_it_was(tmp_path, monkeypatch):
    assert used.watched("3.1", double) is double, "without LAB_USED nothing is wrapped"
    monkeypatch.setenv("LAB_USED", str(tmp_path / "used.txt"))
    watched = used.watched("3.1", double)
    assert (watched.__name__, watched.__doc__, watched.__module__) == ("double", "Twice x.", __name__)
    assert inspect.signature(watched) == inspect.signature(double)
    assert calling.call_hook(used.watched("3.1", lambda activation, *, hook: hook.layer()), torch.ones(1)) == 0
    monkeypatch.setitem(globals(), "double", watched)  # as `double = lab.check("3.1", double)` does
    assert pickle.loads(pickle.dumps(watched)) is watched
    assert used.watched("3.1", "c") == "c", "a letter is read where it stands"


def test_the_check_itself_is_no_use(tmp_path, monkeypatch, capsys):
    noted = tmp_path / "used.txt"
    monkeypatch.setenv("LAB_USED", str(noted))
    monkeypatch.setattr(checks, "find", lambda number: Exercise("3.1", "t", ORIGINAL, check_double))
    back = lab.check("3.1", lambda x: x + x)
    assert "Passed." in capsys.readouterr().out and not noted.exists()
    assert back(2) == 4 and noted.read_text() == "3.1\n"


def lesson(tmp_path, last="print(control)"):
    sources = [
        'def double(x):\n    raise NotImplementedError\n\ndouble = lab.check("3.1", double)',
        'control = None  # YOUR ANSWER HERE: "a" or "b"\ncontrol = lab.check("3.2", control)',
        last,
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    notebooks.write(notebook, tmp_path / "03_probing.ipynb")


@pytest.fixture
def registered(tmp_path, monkeypatch):
    choice = checks.choose("3.2", "t", "a", {"a": "Yes, that.", "b": "Not that."})
    exercises = {"3.1": Exercise("3.1", "t", ORIGINAL, check_double), "3.2": choice}
    monkeypatch.setattr(checks, "exercises", lambda lesson: exercises)
    monkeypatch.setattr(reading, "LESSONS", tmp_path)
    monkeypatch.setattr(reading, "NOT_YET", set())


def test_an_exercise_never_called_and_an_answer_never_read_are_told(registered, tmp_path):
    lesson(tmp_path)
    assert reading.never_used(["3.1"], ["03"]) == []
    assert reading.never_used(["4.1"], ["03"]) == ["3.1"]
    lesson(tmp_path, last="control = 3")
    assert reading.never_used(["3.1"], ["03"]) == ["3.2"]


def test_what_a_run_noted_is_held_to_the_list(registered, tmp_path, monkeypatch, capsys):
    lesson(tmp_path)
    monkeypatch.setattr(checks, "lessons", lambda: ["03"])
    noted = tmp_path / "used.txt"
    assert reading.main(["--noted", str(noted)]) == 1, "nothing was noted"
    assert "exercise 3.1 is never used after its check" in capsys.readouterr().out
    noted.write_text("3.1\n3.1\n")
    assert reading.main(["--noted", str(noted)]) == 0
    monkeypatch.setattr(reading, "NOT_YET", {"3.1"})
    assert reading.main(["--noted", str(noted)]) == 1
    assert "take it off" in capsys.readouterr().out


@pytest.mark.parametrize("number", checks.lessons())
def test_every_exercise_is_named_in_a_later_cell_of_its_lesson(number):
    unnamed = {n for n in checks.exercises(number) if not reading.named_later(number, n)}
    assert unnamed <= reading.NOT_YET, "the suite goes further: it looks whether they are called"


@pytest.mark.parametrize(
    "value",
    [
        torch.tensor([1.0, 2.0]),
        torch.tensor(0.2),
        torch.tensor([True, False]),
        torch.tensor([1, 2]),
        np.array([1.0]),
        0.25,
        3,
        True,
        "yes",
        [1.0, "a"],
        (2, 0.5),
        {"a": [1]},
    ],
)
def test_a_broken_function_gives_everything_wrong_in_the_same_form(value):
    wrong = reading._spoiled(value)
    assert type(wrong) is type(value) and str(wrong) != str(value)


def test_a_function_that_gives_back_a_function_is_broken_inside():
    assert reading._spoiled(lambda x: x + 1)(1) == 3


def stored(tmp_path, cells):
    notebook = nbformat.v4.new_notebook()
    for count, (source, text) in enumerate(cells, 1):
        outputs = [nbformat.v4.new_output("stream", name="stdout", text=text)] if text else []
        notebook.cells.append(nbformat.v4.new_code_cell(source, outputs=outputs, execution_count=count))
    path = tmp_path / "03_probing.ipynb"
    notebooks.write(notebook, path)
    return path


def test_a_cell_that_shows_the_same_is_the_same_in_whatever_order_it_came():
    def cell(*kinds):
        data = {kind: kind for kind in kinds}
        return nbformat.v4.new_code_cell("x", outputs=[nbformat.v4.new_output("display_data", data)], execution_count=1)

    assert reading._change(cell("text/html", "text/plain"), cell("text/plain", "text/html")) == ""
    assert reading._change(cell("text/plain"), cell("text/html")) == "the outputs differ"


@pytest.mark.slow
def test_a_broken_function_changes_a_later_cell_or_nothing(tmp_path):
    prepared = (
        f"import sys; sys.path.insert(0, {str(notebooks.ROOT)!r})\n"
        "from utils.checks import find\n"
        'class lab:\n    check = staticmethod(lambda number, function: find("3.2").reference)',
        "",
    )
    handed_in = ('area = None\narea = lab.check("3.2", area)', "")
    value = "import torch\nprint(round(area(torch.tensor([2.0, 1.0]), torch.tensor([True, False])), 2))"
    used_later = stored(tmp_path, [prepared, handed_in, (value, "1.0\n")])
    assert list(reading.changes(used_later)) == []
    assert reading.first_change(used_later, "3.2") == (2, "the outputs differ")
    assert reading.first_change(stored(tmp_path, [prepared, handed_in, ("print(1)", "1\n")]), "3.2") is None
    stops = stored(
        tmp_path, [prepared, handed_in, (f"{value}\nassert area(torch.ones(2), torch.arange(2) > 0) == .5", "1.0\n")]
    )
    assert "the run stops: AssertionError" in reading.first_change(stops, "3.2")[1]
