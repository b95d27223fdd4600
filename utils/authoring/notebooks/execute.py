"""Execute notebooks without a browser, and store what may be stored: outputs that read the same on every machine.

`python -m utils.authoring.notebooks.execute 02` runs solutions/02_*.ipynb in place. Widget views are dropped (a stored
reference to a widget that no longer lives shows an error), and so is everything that changes from run to run.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

from utils.authoring import notebooks
from utils.authoring.notebooks import SOLUTIONS, WIDGET_VIEW

CELL_SECONDS = 600


def notebook_environment(progress: Path) -> dict[str, str]:
    """Environment of a notebook run: no progress bars in outputs, and a progress file of its own."""
    return {**os.environ, "TQDM_DISABLE": "1", "LAB_PROGRESS": str(progress), "PYTHONHASHSEED": "0"}


def run(
    notebook: NotebookNode,
    folder: Path,
    environment: dict[str, str] | None = None,
    watch: Callable[[int], None] | None = None,
) -> tuple[NotebookNode, float]:
    """Execute a notebook with `folder` as its working directory; return it with outputs, and the seconds it took.

    watch: called once with the kernel's process number, for measuring. Raises CellExecutionError at the first error.
    """
    with tempfile.TemporaryDirectory() as scratch:
        environment = environment or notebook_environment(Path(scratch) / "progress.json")
        client = NotebookClient(notebook, timeout=CELL_SECONDS, resources={"metadata": {"path": str(folder)}})
        with client.setup_kernel(env=environment):
            kernel = getattr(client.km, "provisioner", None)
            if watch is not None and kernel is not None:
                watch(kernel.process.pid)
            start = time.perf_counter()
            for index, cell in enumerate(notebook.cells):
                client.execute_cell(cell, index)
            seconds = time.perf_counter() - start
    return notebook, seconds


def clean(notebook: NotebookNode) -> NotebookNode:
    """The executed notebook without what differs from run to run: widget views, timings, widget state.

    Of a cell's metadata only what folds it and its tags (marks for nbval) are kept.
    """
    count = 0
    for cell in notebook.cells:
        notebooks.set_metadata(cell)
        if cell.cell_type != "code":
            continue
        if cell.source.strip():
            count += 1
            cell.execution_count = count
        kept: list[NotebookNode] = []
        for output in cell.outputs:
            if "data" in output:
                output.data.pop(WIDGET_VIEW, None)
                output.metadata = NotebookNode()
                if not output.data:
                    continue
            if "execution_count" in output:
                output.execution_count = count
            output.pop("transient", None)
            if kept and output.output_type == "stream" and kept[-1].get("name") == output.name:
                kept[-1].text += output.text  # a stream arrives in chunks that depend on timing
            else:
                kept.append(output)
        cell.outputs = kept
    return notebook


def main(arguments: list[str] | None = None) -> int:
    """Command line: execute solutions in place. Returns 1 if a cell failed (its file stays as it was)."""
    parser = argparse.ArgumentParser(description="Execute solution notebooks in place.")
    parser.add_argument("which", nargs="*", help="numbers or names, such as 02; all of them when left out")
    options = parser.parse_args(arguments)
    for path in notebooks.paths(SOLUTIONS, options.which):
        try:
            notebook, seconds = run(notebooks.read(path), path.parent)
        except CellExecutionError as error:
            print(f"{path.name}: {error}", file=sys.stderr)
            return 1
        notebooks.write(clean(notebook), path)
        cells = notebooks.code_cells(notebook)
        compared = sum(notebooks.is_compared(cell) for cell in cells)
        print(f"{path.name}: {seconds:.0f} s, {compared} of {len(cells)} code cells have comparable output")
    return 0


if __name__ == "__main__":
    sys.exit(main())
