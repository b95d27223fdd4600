"""Web pages of executed notebooks: self-contained, readable without a network, maths included.

`make run L=02` executes one lesson, unattempted, and writes build/02_tracing.html. `make html` writes a page for every
executed solution. Formulas are turned into MathML here, which every current browser draws by itself; nbconvert would
fetch a script for them from the network.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from nbformat import NotebookNode

from utils.authoring import notebooks
from utils.authoring.notebooks import BUILD, LESSONS, SOLUTIONS, execute

_DISPLAY = re.compile(r"(?<!\\)\$\$(.+?)\$\$", re.DOTALL)
_INLINE = re.compile(r"(?<![\\$])\$(?!\s)([^$\n]+?)(?<!\s)\$(?![\d$])")
_DETAILS = re.compile(r"<details>\s*<summary>(?P<summary>.*?)</summary>(?P<body>.*?)</details>", re.DOTALL)
_REMOTE_IMAGE = re.compile(r"!\[(?P<alt>[^\]]*)\]\(https?://[^)]*\)")
_CODE = re.compile(r"(```.*?```|`[^`\n]*`)", re.DOTALL)
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


def page(notebook: NotebookNode, title: str) -> str:
    """An executed notebook as one HTML page that asks the network for nothing."""
    from nbconvert import HTMLExporter

    notebook = notebooks.copy_of(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = _mathml(_unfoldable(_without_remote_images(cell.source)))
    exporter = HTMLExporter(template_name="lab", mathjax_url="", require_js_url="", jquery_url="", embed_images=True)
    exporter.exclude_input_prompt = exporter.exclude_output_prompt = True
    body, _ = exporter.from_notebook_node(notebook, resources={"metadata": {"name": title}})
    # nbconvert's template still writes loaders for MathJax and Mermaid; here they could only fail.
    return _LOADER.sub("", _REMOTE.sub("", body))


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


def _write(notebook: NotebookNode, name: str) -> Path:
    BUILD.mkdir(exist_ok=True)
    target = BUILD / f"{name}.html"
    target.write_text(page(notebook, name), encoding="utf-8")
    return target


def main(arguments: list[str] | None = None) -> int:
    """Command line: `page 02` runs that lesson and writes its page; `page --solutions` writes all stored solutions."""
    parser = argparse.ArgumentParser(description="Write self-contained pages of notebooks into build/.")
    parser.add_argument("which", nargs="*", help="numbers or names of lessons, such as 02")
    parser.add_argument(
        "--solutions", action="store_true", help="pages of the solutions as stored, without running them"
    )
    options = parser.parse_args(arguments)
    if options.solutions:
        for path in notebooks.paths(SOLUTIONS, options.which):
            print(_write(notebooks.read(path), path.stem))
        return 0
    for path in notebooks.paths(LESSONS, options.which):
        notebook, seconds = execute.run(notebooks.read(path), path.parent)
        print(f"{path.name} ran in {seconds:.0f} s: {_write(execute.clean(notebook), path.stem)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
