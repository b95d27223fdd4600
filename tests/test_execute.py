"""What is stored of a run reads the same every time: no widget views, no timings, streams in one piece."""

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError

from utils.authoring import notebooks
from utils.authoring.notebooks import execute


def test_what_differs_from_run_to_run_is_dropped():
    cell = nbformat.v4.new_code_cell("x", execution_count=7, metadata={"execution": {"start": "now"}, "tags": ["a"]})
    view = {notebooks.WIDGET_VIEW: {"model_id": "1"}, "text/html": "<p>still</p>", "text/plain": "still"}
    cell.outputs = [
        nbformat.v4.new_output("stream", name="stdout", text="one\n"),
        nbformat.v4.new_output("stream", name="stdout", text="two\n"),
        nbformat.v4.new_output("display_data", data=view),
        nbformat.v4.new_output("stream", name="stdout", text="three\n"),
    ]
    cleaned = execute.clean(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("m"), cell])).cells[1]
    assert [output.output_type for output in cleaned.outputs] == ["stream", "display_data", "stream"]
    assert cleaned.outputs[0].text == "one\ntwo\n" and notebooks.WIDGET_VIEW not in cleaned.outputs[1].data
    assert cleaned.execution_count == 1 and dict(cleaned.metadata) == {"tags": ["a"]}


def test_a_folded_cell_stays_folded_when_it_has_run():
    cell = nbformat.v4.new_code_cell("# @title Set-up\nx", metadata={"collapsed": False, "tags": ["a"]})
    cleaned = execute.clean(nbformat.v4.new_notebook(cells=[cell])).cells[0]
    assert dict(cleaned.metadata) == {"cellView": "form", "jupyter": {"source_hidden": True}, "tags": ["a"]}


def test_a_run_has_its_own_progress_file_and_no_bars(tmp_path):
    source = "import os\nprint(os.environ['TQDM_DISABLE'], 'progress' in os.environ['LAB_PROGRESS'])"
    notebook, seconds = execute.run(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)]), tmp_path)
    assert notebook.cells[0].outputs[0].text == "1 True\n" and seconds > 0


def test_the_first_error_stops_the_run(tmp_path):
    cells = [nbformat.v4.new_code_cell("1 / 0"), nbformat.v4.new_code_cell("open('ran', 'w')")]
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        execute.run(nbformat.v4.new_notebook(cells=cells), tmp_path)
    assert not (tmp_path / "ran").exists()
