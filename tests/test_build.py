"""The builder: stubs from solutions, and a loud, located refusal when a rule of the course is broken."""

import nbformat
import pytest

from utils import checks
from utils.authoring import notebooks
from utils.authoring.notebooks import build, limits
from utils.authoring.notebooks.setup_cell import SETUP_CELL
from utils.checks import Exercise, Option, Question

SOLUTION = '''def double(x):
    """Twice x.

    x: (n,) tensor. Returns (n,).
    """
    ### BEGIN SOLUTION
    y = x + x
    return y
    ### END SOLUTION

double = lab.check("97.1", double)'''
HEADING = "### Exercise 97.1 · Doubling · 2 min · difficulty 1/5\n\nWrite it."
HINTS = "\n".join(
    f"<details><summary>Hint {i} · {kind}</summary>\n\nText.\n\n</details>"
    for i, kind in enumerate(("nudge", "approach", "nearly there"), 1)
)
FIGURE = 'plots.show(fig, alt="A line that rises over three layers.")'
OPENING = (
    "# Lesson 97 · Test\n\nMinutes: 5. Prerequisites: none. Compute: little.\n"
    "[Open in Colab](https://colab.research.google.com/x)"
)


@pytest.fixture(autouse=True)
def lesson_97(monkeypatch):
    """A lesson that exists only here."""
    exercise = Exercise("97.1", "Doubling", lambda x: 2 * x, lambda fn: None)
    question = Question("?", [Option("a", True, "yes"), Option("b", False, "no")])
    monkeypatch.setattr(checks, "lessons", lambda: ["97"])
    monkeypatch.setattr(checks, "exercises", lambda lesson: {"97.1": exercise})
    monkeypatch.setattr(checks, "quiz", lambda lesson: [question])


def notebook(**changes):
    """A sound solution notebook; keyword arguments replace the source of a cell by its name."""
    sources = {
        "opening": ("markdown", OPENING),
        "setup": ("code", SETUP_CELL),
        "heading": ("markdown", HEADING),
        "exercise": ("code", SOLUTION),
        "hints": ("markdown", HINTS),
        "figure": ("code", FIGURE),
        "quiz": ("code", 'lab.quiz("97")'),
        "scale": ("markdown", "## Scale up\n\nText."),
        "card": ("code", 'lab.replication_card("p", "", "c", {}, {"result": 1}, ["w"])'),
        "references": ("markdown", "## References\n\nText."),
    }
    cells = []
    for count, (name, (kind, source)) in enumerate(sources.items(), 1):
        source = changes.get(name, source)
        if source is None:
            continue
        new = nbformat.v4.new_markdown_cell if kind == "markdown" else nbformat.v4.new_code_cell
        cell = new(source)
        cell["id"] = name
        if kind == "code":
            cell.execution_count = count
        notebooks.set_metadata(cell)
        cells.append(cell)
    return nbformat.v4.new_notebook(cells=cells)


def messages(notebook_):
    return "\n".join(str(problem) for problem in build.problems(notebook_, "97_test"))


def test_a_sound_notebook_has_no_problems():
    assert messages(notebook()) == ""


def test_the_stub_keeps_everything_but_the_solution():
    lesson = build.lesson_from(notebook())
    cell = next(c for c in lesson.cells if c["id"] == "exercise")
    assert "x + x" not in cell.source and "Twice x" in cell.source
    assert "    # YOUR CODE HERE\n    raise NotImplementedError" in cell.source
    assert cell.source.endswith('double = lab.check("97.1", double)')
    assert all(c.execution_count is None and not c.outputs for c in notebooks.code_cells(lesson))


def test_the_stub_runs_and_is_not_attempted():
    namespace = {"lab": type("Lab", (), {"check": staticmethod(lambda number, fn: fn)})}
    exec(build.strip_solution(SOLUTION), namespace)
    with pytest.raises(NotImplementedError):
        namespace["double"](1)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (SOLUTION.replace("    ### END SOLUTION\n", ""), "never closed"),
        (SOLUTION.replace("    y = x + x", "    ### BEGIN SOLUTION\n    y = x + x"), "nested"),
        (SOLUTION.replace("### BEGIN SOLUTION", "# nothing"), "without a '### BEGIN SOLUTION'"),
        (SOLUTION.replace("### END SOLUTION", "###END SOLUTION"), "misspelt"),
        (SOLUTION.replace('\n\ndouble = lab.check("97.1", double)', ""), "solution region without a check"),
        (SOLUTION.replace("double = lab", "lab"), "must be the cell's last line"),
        (SOLUTION.replace('"97.1", double)', '"97.1", other)'), "hands in 'other'"),
        ("def double(x):\n    ### BEGIN SOLUTION\n    return 2 * x\n    ### END SOLUTION\n\n"
         'double = lab.check("97.1", double)', "docstring"),
        ('def double(x):\n    """D."""\n    return 2 * x\n\ndouble = lab.check("97.1", double)', "show its solution"),
    ],
)  # fmt: skip
def test_broken_exercises_are_named_with_their_cell(source, words):
    found = messages(notebook(exercise=source))
    assert words in found and "solutions/97_test.ipynb, cell 3" in found


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"heading": "### Exercise 97.1 · Doubling\n\nNo minutes."}, "6 min · difficulty"),
        ({"heading": HEADING.replace("97.1", "97.2")}, "just above"),
        ({"hints": "<details><summary>Hint 1 · nudge</summary>x</details>"}, "hint ladder"),
        ({"hints": None}, "hint ladder"),
        ({"exercise": "x = 1", "heading": "text"}, "the notebook's exercises are []"),
        ({"figure": "plots.show(fig)"}, "without alt="),
        ({"figure": "plots.tokens(a, b, unit='bits')"}, "without alt="),
        ({"scale": "![](a.png)\n\n## Scale up"}, "image without alt text"),
        ({"scale": '<img src="a.png" alt="">\n\n## Scale up'}, "image without alt text"),
        ({"scale": "text"}, "'scale up' is missing"),
        ({"references": "text"}, "'references' is missing"),
        ({"quiz": "pass"}, "lab.quiz"),
        ({"card": "pass"}, "lab.replication_card"),
        ({"setup": "import sys"}, "set-up cell"),
        ({"opening": "# Lesson 96 · Test"}, "must open with"),
        ({"opening": "# Lesson 97 · Test"}, "'minutes'"),
    ],
)
def test_broken_rules_are_named(changes, words):
    assert words in messages(notebook(**changes))


FOLDED = {"cellView": "form", "jupyter": {"source_hidden": True}}


def test_a_titled_cell_is_folded_and_keeps_only_its_tags():
    nb = notebook(figure=f"# @title The figure: a line\n{FIGURE}")
    cell = next(c for c in nb.cells if c["id"] == "figure")
    cell.metadata = {"collapsed": True, "tags": ["nbval-ignore-output"]}
    notebooks.set_metadata(cell)
    assert dict(cell.metadata) == {**FOLDED, "tags": ["nbval-ignore-output"]}
    lesson = {c["id"]: c for c in build.lesson_from(nb).cells}
    assert dict(lesson["figure"].metadata) == dict(lesson["setup"].metadata) == FOLDED
    assert all(not lesson[name].metadata for name in ("opening", "exercise", "quiz"))
    assert cell not in notebooks.in_sight(nb) and notebooks.title_of(cell) == "The figure: a line"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (f"# NBVAL_IGNORE_OUTPUT\n{FIGURE}", "'# NBVAL_IGNORE_OUTPUT' is in sight"),
        (f"# @title Title\n{FIGURE}  # noqa: E501", "'# noqa' is in sight"),
        (f"{FIGURE}  # fmt: skip", "'# fmt: skip' is in sight"),
        (f"#@title Title\n{FIGURE}", "as the first line"),
        (f"{FIGURE}\n# @title Title", "as the first line"),
        (f"# @title  \n{FIGURE}", "needs a title"),
    ],
)
def test_marks_in_sight_and_titles_out_of_place_are_named(source, words):
    found = messages(notebook(figure=source))
    assert words in found and "solutions/97_test.ipynb, cell 5" in found


def test_an_exercise_is_not_folded():
    assert "must be in sight" in messages(notebook(exercise="# @title Doubling\n" + SOLUTION))


def test_what_is_in_sight_has_limits():
    long = "\n".join(["x = 1"] * 26)
    assert "cell 5: 26 lines are in sight; at most 25" in messages(notebook(figure=long))
    assert messages(notebook(figure="# @title Numbers\n" + long)) == ""
    wide = f"x = {'1' * 100}"
    assert "cell 5: wider than 100 characters: x = 111" in messages(notebook(figure=wide))
    assert messages(notebook(figure="# @title A number\n" + wide)) == ""
    nb = notebook()
    nb.cells[5].outputs = [nbformat.v4.new_output("stream", text="word " * 21)]
    assert "cell 5: wider than 100 characters: word" in messages(nb)
    nb = notebook()
    nb.cells[4:4] = [nbformat.v4.new_code_cell("\n".join(["x = 1"] * 25), execution_count=1) for _ in range(19)]
    assert "lines of code are in sight" in messages(nb) and "at most 450" in messages(nb)


def test_the_solution_does_not_count_but_its_stub_does():
    long = SOLUTION.replace("    y = x + x\n", "    y = x + x\n" * 40)
    assert messages(notebook(exercise=long)) == ""


def test_the_list_of_lessons_not_there_yet_only_shrinks(monkeypatch):
    found = limits.Limits(visible=600, longest=25, wide=7)
    for entry, words in [
        (limits.Limits(600, 25, 7), None),
        (limits.Limits(650, 25, 7), None),
        (limits.Limits(599, 25, 7), "600 lines of code are in sight"),
        (limits.Limits(600, 25, 6), "7 lines of code in sight or of printed output are wider"),
        (limits.Limits(700, 25, 7), "better than its entry in NOT_YET of limits.py: write Limits(visible=600"),
        (limits.Limits(600, 60, 7), "better than its entry"),
    ]:
        monkeypatch.setitem(limits.NOT_YET, "97", entry)
        sentences = limits.excesses("97", found)
        assert (words is None and not sentences) or (len(sentences) == 1 and words in sentences[0])
    monkeypatch.setitem(limits.NOT_YET, "97", limits.Limits(500, 30, 10))
    assert "take it off NOT_YET" in limits.excesses("97", limits.Limits(450, 25, 0))[0]


COURSE = ["96_before", "97_test", "98_after"]


@pytest.mark.parametrize(
    ("course", "line", "sound"),
    [
        (COURSE, "[← Lesson 96](96_before.ipynb) · [Lesson 98 →](98_after.ipynb)", True),
        (COURSE[1:], "[Lesson 98 →](98_after.ipynb)", True),
        (COURSE[:2], "[← Lesson 96](96_before.ipynb)", True),
        (COURSE, "[Lesson 98](98_after.ipynb) · [Lesson 96](96_before.ipynb)", False),
        (COURSE, "[Lesson 96](../solutions/96_before.ipynb) · [Lesson 98](98_after.ipynb)", False),
        (COURSE, "[Lesson 98](98_after.ipynb)", False),
        (COURSE, "That was all.", False),
    ],
)
def test_the_last_line_leads_to_the_last_and_the_next_lesson(course, line, sound):
    nb = notebook(references=f"## References\n\nText.\n\n{line}\n")
    found = [str(problem) for problem in build.problems(nb, "97_test", course)]
    assert found == [] if sound else "cell 9: the last line of Markdown must lead to" in found[0]


def test_unexecuted_failed_and_noisy_cells_are_named():
    nb = notebook()
    cells = {cell["id"]: cell for cell in nb.cells}
    cells["figure"].execution_count = None
    cells["quiz"].outputs = [nbformat.v4.new_output("error", ename="ValueError", evalue="no", traceback=[])]
    cells["card"].outputs = [nbformat.v4.new_output("stream", name="stderr", text="a warning")]
    cells["setup"].outputs = [nbformat.v4.new_output("display_data", data={"image/png": "aaaa"})]
    found = messages(nb)
    for words in ("cell 5: this code cell was not executed", "ValueError: no", "stored stderr", "bare image output"):
        assert words in found


def test_a_stored_widget_view_is_named():
    nb = notebook()
    view = {notebooks.WIDGET_VIEW: {"model_id": "x"}, "text/plain": "w"}
    nb.cells[6].outputs = [nbformat.v4.new_output("display_data", data=view)]
    assert "stored widget view" in messages(nb)


def test_build_keeps_the_metadata_of_solutions_and_check_only_tells(tmp_path):
    solutions, lessons = tmp_path / "solutions", tmp_path / "lessons"
    nb = notebook()
    nb.cells[1].metadata = nbformat.from_dict({"jupyter": {"source_hidden": False}, "scrolled": True})
    notebooks.write(nb, solutions / "97_test.ipynb")
    with pytest.raises(build.BuildError, match="solutions/97_test.ipynb: is not as `make build` would keep it"):
        build.build(solutions, lessons, check=True)
    build.build(solutions, lessons)
    assert dict(notebooks.read(solutions / "97_test.ipynb").cells[1].metadata) == FOLDED
    build.build(solutions, lessons, check=True)


def test_build_writes_and_check_notices_an_edit(tmp_path):
    solutions, lessons = tmp_path / "solutions", tmp_path / "lessons"
    notebooks.write(notebook(), solutions / "97_test.ipynb")
    with pytest.raises(build.BuildError, match="lessons/97_test.ipynb: is not what"):
        build.build(solutions, lessons, check=True)
    (path,) = build.build(solutions, lessons)
    build.build(solutions, lessons, check=True)
    path.write_text(path.read_text().replace("YOUR CODE", "MY CODE"))
    with pytest.raises(build.BuildError, match="never edit a lesson by hand"):
        build.build(solutions, lessons, check=True)


def test_a_broken_notebook_writes_nothing_and_an_orphan_is_named(tmp_path):
    solutions, lessons = tmp_path / "solutions", tmp_path / "lessons"
    notebooks.write(notebook(hints=None), solutions / "97_test.ipynb")
    notebooks.write(notebook(), lessons / "96_orphan.ipynb")
    with pytest.raises(build.BuildError, match=r"hint ladder[\s\S]*96_orphan.ipynb: has no partner"):
        build.build(solutions, lessons)
    assert not (lessons / "97_test.ipynb").exists()


def test_same_content_same_bytes(tmp_path):
    notebooks.write(notebook(), tmp_path / "a.ipynb")
    notebooks.write(notebooks.read(tmp_path / "a.ipynb"), tmp_path / "b.ipynb")
    assert (tmp_path / "a.ipynb").read_bytes() == (tmp_path / "b.ipynb").read_bytes()


def test_only_real_comparisons_are_counted():
    def cell(source="x", count=1, outputs=()):
        made = nbformat.v4.new_code_cell(source, execution_count=count)
        made.outputs = list(outputs)
        return made

    stream = nbformat.v4.new_output("stream", text="12\n")
    bare = nbformat.v4.new_output("display_data", data={"text/html": '<img src="data:image/png;base64,AAAA">'})
    assert notebooks.is_compared(cell(outputs=[stream]))
    assert not notebooks.is_compared(cell(outputs=[]))
    assert not notebooks.is_compared(cell(count=None, outputs=[stream]))
    ignored = cell(outputs=[stream])
    ignored.metadata["tags"] = ["nbval-ignore-output"]
    assert not notebooks.is_compared(ignored)
    assert notebooks.comparable_text(bare) == '<img src="">'


def test_unreadable_files_and_unknown_names_are_named(tmp_path):
    (tmp_path / "01_bad.ipynb").write_text("{")
    with pytest.raises(ValueError, match="01_bad.ipynb is not a readable notebook"):
        notebooks.read(tmp_path / "01_bad.ipynb")
    with pytest.raises(ValueError, match="no notebook '55'"):
        notebooks.paths(tmp_path, ["55"])


@pytest.mark.parametrize(
    "markup",
    [
        "[![Open in Colab](https://example.org/badge.svg)](https://example.org)",
        '<img alt="a line" src="//example.org/a.png">',
        "<img src=https://example.org/a.png>",
        "<script async src='https://example.org/a.js'></script>",
        '<link rel="stylesheet" href="https://example.org/a.css">',
        '<div style="background: url(https://example.org/a.png)">',
        "<style>@import 'https://example.org/a.css';</style>",
        '<iframe title="x" src="https://example.org"></iframe>',
    ],
)
def test_what_is_fetched_to_show_a_page_is_refused(markup):
    assert "fetched from another computer when it is shown" in messages(notebook(scale="## Scale up\n\n" + markup))
    book = notebook()
    figure = next(c for c in book.cells if c["id"] == "figure")
    figure.outputs = [nbformat.v4.new_output("display_data", data={"text/html": markup})]
    assert "fetched from another computer" in messages(book)


def test_links_and_pictures_of_our_own_are_fine():
    kept = (
        '## Scale up\n\n[a link](https://example.org) <a href="https://example.org">too</a>\n'
        '<img alt="a line" src="data:image/png;base64,AAAA"> ![a map](figures/map.png)'
    )
    assert messages(notebook(scale=kept)) == ""
