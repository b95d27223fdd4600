"""Every link leads somewhere: files and headings by looking, addresses by their form. Nothing is fetched."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from utils.authoring import notebooks
from utils.authoring.notebooks import LESSONS, ROOT, SOLUTIONS

PAGES = sorted(path for path in ROOT.rglob("*.md") if not {".venv", "build", "node_modules"} & set(path.parts))
NOTEBOOKS = notebooks.paths(SOLUTIONS) + notebooks.paths(LESSONS)
_CODE = re.compile(r"(```+).*?\1|~~~.*?~~~|`[^`\n]*`", re.DOTALL)
_MARKDOWN = re.compile(r"\]\(\s*<?([^\s()<>]*(?:\([^\s()]*\)[^\s()<>]*)*)>?(?:\s+\"[^\"]*\")?\s*\)")
_HTML = re.compile(r"\b(?:src|href)=[\"']([^\"']+)[\"']")
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
_PLACE = re.compile(r"<a\s+(?:id|name)=[\"']([^\"']+)[\"']|<\w+[^>]*\sid=[\"']([^\"']+)[\"']")


@dataclass(frozen=True)
class Text:
    """The prose of one file: where it is, its links, and the anchors that a link may name."""

    path: Path
    links: list[str]
    anchors: set[str]


def prose(path: Path) -> str:
    """A page without its code, or a notebook's Markdown cells without theirs."""
    if path.suffix == ".ipynb":
        cells = [cell.source for cell in notebooks.read(path).cells if cell.cell_type == "markdown"]
    else:
        cells = [path.read_text(encoding="utf-8")]
    return "\n\n".join(cells)


def anchor_of(heading: str, notebook: bool) -> str:
    """The anchor of a heading: Jupyter keeps its letters and marks, GitHub lowers them and drops the marks."""
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").replace("*", "").strip()
    return words.replace(" ", "-") if notebook else re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")


def read(path: Path) -> Text:
    text = prose(path)
    without_code = _CODE.sub("", text)
    headings = _HEADING.findall(re.sub(r"(```+).*?\1", "", text, flags=re.DOTALL))
    anchors = {anchor_of(heading, path.suffix == ".ipynb") for heading in headings}
    anchors |= {first or second for first, second in _PLACE.findall(without_code)}
    return Text(path, _MARKDOWN.findall(without_code) + _HTML.findall(without_code), anchors)


def problem(link: str, text: Text) -> str | None:
    """What is wrong with a link that stands in a text, or None."""
    if link.startswith(("http://", "https://")):
        return problem_of_address(link)
    if link.startswith("mailto:"):
        return None if re.fullmatch(r"mailto:[^@\s]+@[^@\s]+\.\w+", link) else "is no address"
    if link.startswith("data:image/"):
        return None
    place, _, anchor = unquote(link).partition("#")
    target = (text.path.parent / place).resolve() if place else text.path
    if ROOT not in target.parents and target != ROOT:
        return "leads out of the repository"
    if place and not target.exists():
        return "leads nowhere"
    if anchor and target.suffix in (".md", ".ipynb"):
        anchors = text.anchors if not place else read(target).anchors
        return None if anchor in anchors else f"names a heading that isn't there; there are {sorted(anchors)}"
    return None


def problem_of_address(address: str) -> str | None:
    """What is wrong with the form of a web address, or None."""
    parts = urlsplit(address)
    if not re.fullmatch(r"(?:[a-z0-9-]+\.)+[a-z]{2,}(?::\d+)?", parts.netloc.lower()):
        return "has no host"
    if re.search(r"[\s\"<>\\^`{|}]|[.,;:]$", address):
        return "holds a character that no address holds, or ends in a full stop or comma"
    if parts.netloc == "arxiv.org" and not re.fullmatch(
        r"/(?:abs|pdf|html)/(?:\d{4}\.\d{4,5}|[a-z-]+/\d{7})(?:v\d+)?", parts.path
    ):
        return "is no arXiv paper"
    return None


@pytest.mark.parametrize("path", PAGES + NOTEBOOKS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path):
    text = read(path)
    found = [f"{link} {wrong}" for link in text.links if (wrong := problem(link, text))]
    assert not found, found


def test_images_of_the_pages_have_alt_text():
    for path in PAGES:
        assert not re.search(r"!\[\s*\]\(", path.read_text(encoding="utf-8")), path.name


@pytest.mark.parametrize(
    ("link", "words"),
    [
        ("README.md", None),
        ("README.md#lessons", None),
        ("README.md#no-such-heading", "names a heading"),
        ("#lessons", "names a heading"),
        ("#here-it-is", None),
        ("nowhere.md", "leads nowhere"),
        ("../../etc/passwd", "leads out"),
        ("https://arxiv.org/abs/2310.06824", None),
        ("https://arxiv.org/abs/2310.06824v2", None),
        ("https://arxiv.org/abs/23100.6824", "no arXiv paper"),
        ("https:///abs", "no host"),
        ("https://example.org/a.", "full stop"),
        ("https://en.wikipedia.org/wiki/Bias_(statistics)", None),
    ],
)
def test_a_broken_link_is_seen(link, words):
    text = Text(ROOT / "PAGE.md", [link], {"here-it-is"})
    wrong = problem(link, text)
    assert (wrong is None) if words is None else (wrong is not None and words in wrong)


def test_links_are_found_in_prose_and_not_in_code(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        '# A heading: `x` & more\n\n[one](a.md) and ![two](<b.png>) and [three](c_(d) "title") `[no](code)`\n\n'
        '```\n# not a heading\n[no](code)\n```\n\n<a href="e.md">five</a>\n'
    )
    text = read(page)
    assert text.links == ["a.md", "b.png", "c_(d)", "e.md"]
    assert text.anchors == {"a-heading-x--more"}
