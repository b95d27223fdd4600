"""Pages as a browser shows them: no serious finding of axe, no line too long to read, folds that open by keyboard."""

from __future__ import annotations

import pytest

from utils.authoring import notebooks
from utils.authoring.notebooks import page

READ = ["03", "06"]  # a lesson of figures and tables, and one of dashboards and token strips
MAX_CHARACTERS = 95  # of a line of text; half of it would do, twice of it is what nobody reads


@pytest.fixture(scope="session")
def folder(chromium, tmp_path_factory):
    """The pages of two solutions, and their index."""
    made = tmp_path_factory.mktemp("pages")
    page.write({path: notebooks.read(path) for path in notebooks.paths(notebooks.SOLUTIONS, READ)}, made)
    return made


@pytest.fixture(params=["index", *READ])
def opened(request, tab, folder):
    """One of the pages, open."""
    (path,) = folder.glob(f"{request.param}*.html")
    tab.goto(path.as_uri())
    return tab


def test_axe_finds_nothing_serious(opened):
    from axe_playwright_python.sync_playwright import Axe

    found = [v for v in Axe().run(opened).response["violations"] if v["impact"] in ("serious", "critical")]
    assert [(v["id"], [node["html"][:200] for node in v["nodes"][:3]]) for v in found] == []


def test_nothing_runs_off_the_page_and_text_has_a_readable_width(opened):
    assert opened.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    width = """() => Math.max(...[...document.querySelectorAll('.jp-RenderedMarkdown > p, li')].map(e => {
        const range = document.createRange(); range.selectNodeContents(e);
        const lines = new Set([...range.getClientRects()].map(r => Math.round(r.bottom))).size;
        return lines < 3 ? 0 : e.textContent.length / lines }))"""
    assert opened.evaluate(width) <= MAX_CHARACTERS


def test_folded_cells_open_by_keyboard(tab, folder):
    (path,) = folder.glob(f"{READ[0]}*.html")
    tab.goto(path.as_uri())
    first = tab.locator("details.lab-folded").first
    assert first.locator("> summary").inner_text().startswith("Set-up") and first.get_attribute("open") is None
    first.locator("> summary").focus()
    tab.keyboard.press("Enter")
    assert first.get_attribute("open") is not None and first.get_by_text("runpy").first.is_visible()


def test_the_index_leads_to_a_lesson_and_back(tab, folder):
    tab.goto((folder / "index.html").as_uri())
    tab.locator("main a").first.click()
    assert "Lesson 03" in tab.title()
    tab.locator("nav a").click()
    assert tab.title() == "LLM Biology Lab"
