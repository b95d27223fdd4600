"""Measured values that a notebook has stored, and the run that is held to them.

nbval compares words; it leaves the digits of measured values out (tests/sanitize.cfg). This module is a pytest plugin
beside it (`-p utils.authoring.notebooks.measuring`): before a notebook's kernel starts, it writes what that notebook
has stored into a file and names it in LAB_MEASURED, and `utils.measured.hold` raises where a value is out.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nbformat import NotebookNode

from utils import measured
from utils.authoring import notebooks


def values(cell: NotebookNode) -> list[dict[str, Any]]:
    """The measured values that a code cell has stored, in order."""
    shown = (str(output.get("data", {}).get("text/html", "")) for output in cell.get("outputs", []))
    return [one for markup in shown for one in measured.stored_in(markup)]


def stored(notebook: NotebookNode) -> dict[str, dict[str, Any]]:
    """Every measured value of a notebook by name, in order; without a tolerance where a cell's outputs may differ."""
    found = {}
    for cell in notebooks.code_cells(notebook):
        compared = notebooks.is_compared(cell)
        for one in values(cell):
            found[one["name"]] = one if compared else {**one, "tolerance": None}
    return found


def doubled(notebook: NotebookNode, _lesson: str) -> Iterator[tuple[int, str]]:
    """A rule of the builder: a name stands for one value. Yields each cell that gives a name away again."""
    first: dict[str, int] = {}
    for index, cell in enumerate(notebook.cells):
        for one in values(cell):
            if first.setdefault(one["name"], index) != index:
                yield index, f"{one['name']!r} is measured in cell {first[one['name']]} already: use another name"


# ------------------------------------------------------------------------------------------------------- the plugin


_files = pytest.StashKey[dict[str, str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Start without any file written."""
    config.stash[_files] = {}


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Name the stored values of an item's notebook in the environment; nbval starts its kernel right after."""
    os.environ.pop(measured.STORED, None)
    if item.path.suffix != ".ipynb":
        return
    files = item.config.stash[_files]
    if str(item.path) not in files:
        with tempfile.NamedTemporaryFile("w", suffix=".json", delete=False, encoding="utf-8") as file:
            json.dump(stored(notebooks.read(item.path)), file, ensure_ascii=False)
        files[str(item.path)] = file.name
    os.environ[measured.STORED] = files[str(item.path)]


def pytest_unconfigure(config: pytest.Config) -> None:
    """Take the files away again."""
    os.environ.pop(measured.STORED, None)
    for name in config.stash.get(_files, {}).values():
        Path(name).unlink(missing_ok=True)
