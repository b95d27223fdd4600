"""Web pages of executed notebooks: self-contained, readable without a network, maths included.

`make run L=02` executes one lesson, unattempted, and writes build/02_tracing.html. `make html` writes a page for every
executed solution. Both write build/index.html, which leads to the pages that are there. Formulas are turned into MathML
here, which every current browser draws by itself; nbconvert would fetch a script for them from the network.
"""

from __future__ import annotations

import argparse
import html
import re
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode

from utils.authoring import notebooks
from utils.authoring.notebooks import BUILD, LESSONS, ROOT, SOLUTIONS, execute

_TEMPLATES = Path(__file__).parent / "templates"
_DISPLAY = re.compile(r"(?<!\\)\$\$(.+?)\$\$", re.DOTALL)
_INLINE = re.compile(r"(?<![\\$])\$(?!\s)([^$\n]+?)(?<!\s)\$(?![\d$])")
_DETAILS = re.compile(r"<details>\s*<summary>(?P<summary>.*?)</summary>(?P<body>.*?)</details>", re.DOTALL)
_REMOTE_IMAGE = re.compile(r"!\[(?P<alt>[^\]]*)\]\(https?://[^)]*\)")
_CODE = re.compile(r"(```.*?```|`[^`\n]*`)", re.DOTALL)
_SIBLING = re.compile(r"\[(?P<words>[^\]]+)\]\((?P<stem>\d\d_\w+)\.ipynb\)")
_MINUTES = re.compile(
    r"^(?:\| *|[-*] +)\**minutes\**(?: *\| *|:\**\s+)(?P<words>[^|\n]+)", re.IGNORECASE | re.MULTILINE
)
_EMPTY_HEAD = re.compile(r"<th\b[^>]*>\s*</th>")
_REMOTE = re.compile(
    r'<script\b[^>]*\bsrc="https?://[^>]*>\s*</script>|<link\b[^>]*\bhref="https?://[^>]*>|@import[^;]*https?://[^;]*;',
    re.IGNORECASE,
)
_LOADER = re.compile(
    r"<!-- Load mathjax -->|<script\b[^>]*\bsrc=\"\"[^>]*>\s*</script>"
    r"|<!-- MathJax configuration -->.*?<!-- End of mathjax configuration -->"
    r"|<script\b[^>]*>(?:(?!</script>).)*?mermaid(?:(?!</script>).)*?</script>",
    re.IGNORECASE | re.DOTALL,
)


# --------------------------------------------------------------------------------------------------------- one lesson


def page(notebook: NotebookNode, title: str, siblings: Collection[str] = ()) -> str:
    """An executed notebook as one HTML page that asks the network for nothing.

    siblings: stems of the pages beside it ("03_probing"); a link to any other lesson becomes its words.
    """
    from nbconvert import HTMLExporter

    notebook = notebooks.copy_of(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            text = _beside(_without_remote_images(cell.source), siblings)
            cell.source = _mathml(_unfoldable(text))
    exporter = HTMLExporter(
        template_name="lab",
        template_file=str(_TEMPLATES / "lesson.html.j2"),
        mathjax_url="",
        require_js_url="",
        jquery_url="",
        embed_images=True,
        filters={"folded_title": _folded_title},
    )
    exporter.exclude_input_prompt = exporter.exclude_output_prompt = True
    resources = {"metadata": {"name": title}, "lab": {"style": _style()}}
    body, _ = exporter.from_notebook_node(notebook, resources=resources)
    # nbconvert's template still writes loaders for MathJax and Mermaid; here they could only fail.
    return _EMPTY_HEAD.sub("<td></td>", _LOADER.sub("", _REMOTE.sub("", body)))


def _style() -> str:
    return (_TEMPLATES / "style.css").read_text(encoding="utf-8")


def _folded_title(source: str) -> str:
    """The title of a folded cell, or "" for a cell in sight."""
    return source.split("\n", 1)[0].removeprefix(notebooks.TITLE) if source.startswith(notebooks.TITLE) else ""


def _beside(markdown: str, siblings: Collection[str]) -> str:
    """Markdown whose links to other notebooks lead to their pages, or are words where there is no page."""
    return _SIBLING.sub(
        lambda m: f"[{m['words']}]({m['stem']}.html)" if m["stem"] in siblings else m["words"], markdown
    )


def _without_remote_images(markdown: str) -> str:
    """Markdown whose images from elsewhere are replaced by their alt text."""
    return _REMOTE_IMAGE.sub(lambda m: m["alt"], markdown)


def _unfoldable(markdown: str) -> str:
    """Markdown whose `<details>` are HTML throughout: nbconvert closes a block of HTML at the first empty line."""
    from nbconvert.filters import markdown2html

    def whole(match: re.Match) -> str:
        body = re.sub(r"\n\s*\n", "\n", markdown2html(_mathml(match["body"].strip())).strip())
        return f"\n\n<details><summary>{match['summary']}</summary>{body}</details>\n\n"

    return _DETAILS.sub(whole, markdown)


def _mathml(markdown: str) -> str:
    """Markdown with its formulas as MathML; code is left alone."""
    from latex2mathml.converter import convert

    parts = _CODE.split(markdown)
    for i in range(0, len(parts), 2):
        parts[i] = _DISPLAY.sub(lambda m: convert(m[1].strip(), display="block"), parts[i])
        parts[i] = _INLINE.sub(lambda m: convert(m[1].strip()), parts[i])
    return "".join(parts)


# ---------------------------------------------------------------------------------------------------------- the index


@dataclass(frozen=True)
class Entry:
    """What the index says of a lesson."""

    stem: str
    title: str
    minutes: str
    sentence: str


def entry(path: Path) -> Entry:
    """A lesson's title and minutes, as its first cell has them, and the README's sentence of it.

    Raises ValueError, naming the file, for a lesson that says no minutes or that the README leaves out.
    """
    opening = notebooks.read(path).cells[0].source
    minutes = _MINUTES.search(opening)
    said = re.search(rf"\]\(lessons/{path.stem}\.ipynb\) \| (.+?) \|", (ROOT / "README.md").read_text(encoding="utf-8"))
    if minutes is None or said is None:
        raise ValueError(f"{path.name}: its first cell must say its minutes, and README.md what one does in it")
    words = minutes["words"].strip()
    return Entry(path.stem, notebooks.heading(opening), f"{words} minutes" if words[-1].isdigit() else words, said[1])


def index(entries: list[Entry], made: Collection[str]) -> str:
    """The page that leads to the lessons. made: stems of the pages that are there; others are named without a link."""
    rows = []
    for shown in entries:
        title = html.escape(shown.title)
        if shown.stem in made:
            title = f'<a href="{shown.stem}.html">{title}</a>'
        sentence = html.escape(shown.sentence[0].upper() + shown.sentence[1:])
        minutes = f'<span class="minutes">{html.escape(shown.minutes)}</span>'
        rows.append(f"<li><strong>{title}</strong><br>{sentence}.<br>{minutes}</li>")
    return f"""<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>LLM Biology Lab</title><style>{_style()}</style></head>
<body class="lab-index"><main>
<h1>LLM Biology Lab</h1>
<p>A real, small language model on your bench, and the instruments to observe, record, dissect and stimulate it.</p>
<ol>
{chr(10).join(rows)}
</ol>
</main></body>
</html>
"""


# ---------------------------------------------------------------------------------------------------------------- main


def write(pages: dict[Path, NotebookNode], folder: Path = BUILD) -> list[Path]:
    """Write a page of each notebook (by the path of its file) and the index into a folder; return the pages' paths."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = [entry(path) for path in notebooks.paths(SOLUTIONS)]
    made = {path.stem for path in pages} | {shown.stem for shown in entries if (folder / f"{shown.stem}.html").exists()}
    written = []
    for path, notebook in pages.items():
        target = folder / f"{path.stem}.html"
        target.write_text(page(notebook, notebooks.heading(notebook.cells[0].source), made), encoding="utf-8")
        written.append(target)
    (folder / "index.html").write_text(index(entries, made), encoding="utf-8")
    return written


def main(arguments: list[str] | None = None) -> int:
    """Command line: `page 02` runs that lesson and writes its page; `page --solutions` writes all stored solutions."""
    parser = argparse.ArgumentParser(description="Write self-contained pages of notebooks into build/.")
    parser.add_argument("which", nargs="*", help="numbers or names of lessons, such as 02")
    parser.add_argument(
        "--solutions", action="store_true", help="pages of the solutions as stored, without running them"
    )
    options = parser.parse_args(arguments)
    pages = {}
    if options.solutions:
        pages = {path: notebooks.read(path) for path in notebooks.paths(SOLUTIONS, options.which)}
    else:
        for path in notebooks.paths(LESSONS, options.which):
            notebook, seconds = execute.run(notebooks.read(path), path.parent)
            print(f"{path.name} ran in {seconds:.0f} s")
            pages[path] = execute.clean(notebook)
    print(*write(pages), BUILD / "index.html", sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
