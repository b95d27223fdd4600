"""A lesson as JupyterLab shows it: folded cells folded, opened by a click and by the keyboard, code that fits."""

from __future__ import annotations

import os

import pytest

from utils.authoring import notebooks
from utils.authoring.notebooks import limits

PLACEHOLDER = ".jp-InputPlaceholder"


@pytest.fixture
def opened(tab, jupyterlab, lesson):
    """The lesson, open in JupyterLab as it is on disk, with all its cells on the page."""
    tab.goto(f"{jupyterlab}/lab/tree/{os.path.basename(lesson)}?reset")
    cells = len(notebooks.read(lesson).cells)
    tab.wait_for_function(f"document.querySelectorAll('.jp-Notebook .jp-Cell').length === {cells}", timeout=60_000)
    tab.wait_for_selector(PLACEHOLDER)
    return tab


def test_folded_cells_are_folded_and_say_what_they_do(opened, lesson):
    titles = [notebooks.title_of(cell) for cell in notebooks.code_cells(notebooks.read(lesson))]
    shown = opened.locator(f"{PLACEHOLDER} .jp-PlaceholderText").all_text_contents()
    assert shown == [notebooks.TITLE + title for title in titles if title is not None] != []
    assert opened.get_by_text("runpy").count() == 0


def test_a_click_opens_a_folded_cell(opened):
    folded = opened.locator(PLACEHOLDER).count()
    opened.locator(PLACEHOLDER).first.click()
    opened.wait_for_function(f"document.querySelectorAll('{PLACEHOLDER}').length === {folded - 1}")
    assert opened.locator(".jp-CodeCell").first.get_by_text("import runpy").is_visible()


def test_the_keyboard_opens_a_folded_cell(opened):
    """Shift+Enter goes to the next cell, folded or not; Enter opens it."""
    folded = opened.locator(PLACEHOLDER).count()
    opened.locator(".jp-MarkdownCell").first.click()
    opened.keyboard.press("Escape")
    opened.keyboard.press("Shift+Enter")
    opened.wait_for_selector(f".jp-Cell.jp-mod-active {PLACEHOLDER}")
    opened.keyboard.press("Enter")
    opened.wait_for_function(f"document.querySelectorAll('{PLACEHOLDER}').length === {folded - 1}")


def test_the_widest_line_that_the_builder_allows_is_not_cut_off(opened):
    """At 1280 pixels, with the file browser open, as JupyterLab starts."""
    widths = """(line, n) => {
        const probe = document.createElement('span'); probe.textContent = 'x'.repeat(n); line.append(probe);
        const found = [probe.getBoundingClientRect().width, line.clientWidth]; probe.remove(); return found }"""
    wide, room = opened.locator(".jp-CodeCell .cm-line").first.evaluate(widths, limits.LINE)
    assert 0 < wide <= room
