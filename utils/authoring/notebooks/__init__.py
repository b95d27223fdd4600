"""Reading, writing and counting the course's notebooks. One place knows what a notebook looks like on disk."""

from __future__ import annotations

import copy
import re
import tomllib
from pathlib import Path

import nbformat
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[3]
SOLUTIONS, LESSONS, BUILD = ROOT / "solutions", ROOT / "lessons", ROOT / "build"

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"  # spelt as nbgrader spells them
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
CHECK_LINE = re.compile(r'^(?P<name>\w+) = lab\.check\("(?P<number>\d+\.\d+)", (?P<given>\w+)\)$')
# A figure's pixels differ between machines, its alt text and caption must not; nbval gets the same from sanitize.cfg.
_PIXELS = re.compile(r"data:image/png;base64,[A-Za-z0-9+/=]+")
# The first line of a cell that is folded: JupyterLab shows it in place of the code, Colab as the title of a form.
TITLE = "# @title "
FOLDED = {"cellView": "form", "jupyter": {"source_hidden": True}}
_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def paths(folder: Path, which: list[str] | None = None) -> list[Path]:
    """The notebooks of a folder in order; `which` picks by number or name ("02", "02_tracing").

    Raises ValueError for a name that matches nothing.
    """
    found = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not which:
        return found
    picked = []
    for name in which:
        matches = [path for path in found if path.stem == name or path.stem.startswith(f"{name.zfill(2)}_")]
        if not matches:
            raise ValueError(f"no notebook {name!r} in {folder.name}/; there are {', '.join(p.stem for p in found)}")
        picked += matches
    return picked


def read(path: Path) -> NotebookNode:
    """Read a notebook (format 4). Raises ValueError, naming the file, if it is not one."""
    try:
        return nbformat.read(path, as_version=4)
    except Exception as error:
        raise ValueError(f"{path} is not a readable notebook: {error}") from error


def dumps(notebook: NotebookNode) -> str:
    """The notebook as text: the same bytes for the same content, on every machine."""
    notebook = nbformat.from_dict(notebook)
    notebook.metadata = nbformat.from_dict(_METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return nbformat.writes(notebook, indent=1, sort_keys=True).rstrip("\n") + "\n"


def write(notebook: NotebookNode, path: Path) -> None:
    """Write a notebook with stable bytes (UTF-8, Unix line ends)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(dumps(notebook).encode("utf-8"))


def colab_address(name: str) -> str:
    """Where Colab opens a lesson; the repository's slug comes from pyproject.toml, its one place."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["llm-biology-lab"]
    place = f"{project['repository']}/blob/{project['branch']}"
    return f"https://colab.research.google.com/github/{place}/lessons/{name}.ipynb"


# What a browser fetches by itself when it shows a page; a link is fetched only when somebody follows it.
_FETCHED = re.compile(
    r"""!\[[^\]]*\]\(\s*<?(?:https?:)?//[^)]*\)"""
    r"""|<(?:script|img|iframe|source|video|audio|embed|input)\b[^>]*?\bsrc\s*=\s*["']?(?:https?:)?//[^>]*>"""
    r"""|<link\b[^>]*?\bhref\s*=\s*["']?(?:https?:)?//[^>]*>"""
    r"""|<object\b[^>]*?\bdata\s*=\s*["']?(?:https?:)?//[^>]*>"""
    r"""|@import\s+(?:url\()?["']?(?:https?:)?//[^;]*|\burl\(\s*["']?(?:https?:)?//[^)]*\)""",
    re.IGNORECASE,
)


def fetched_from_outside(markup: str) -> list[str]:
    """What in some Markdown or HTML a browser would fetch from another computer just to show it."""
    return [match[0][:100] for match in _FETCHED.finditer(markup)]


def copy_of(notebook: NotebookNode) -> NotebookNode:
    """A deep copy, so that a caller may change cells without touching the notebook it was given."""
    return copy.deepcopy(notebook)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """The code cells that are not empty."""
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def exercise_number(cell: NotebookNode) -> str | None:
    """The number of the exercise a code cell hands in ("3.1"), or None for any other cell."""
    if cell.cell_type != "code":
        return None
    last = cell.source.rstrip().rsplit("\n", 1)[-1]
    match = CHECK_LINE.match(last)
    return match["number"] if match else None


def heading(markdown: str) -> str:
    """The first heading of some Markdown ("Lesson 03 · Probing"). Raises ValueError if there is none."""
    found = re.search(r"^#+ +(.+?)\s*$", markdown, re.MULTILINE)
    if found is None:
        raise ValueError(f"no heading in {markdown[:60]!r}")
    return found[1]


def title_of(cell: NotebookNode) -> str | None:
    """The words after `# @title` of a code cell that is folded, or None for a cell in sight."""
    if cell.cell_type != "code" or not cell.source.startswith(TITLE):
        return None
    return cell.source.split("\n", 1)[0].removeprefix(TITLE).strip()


def in_sight(notebook: NotebookNode) -> list[NotebookNode]:
    """The code cells whose code a learner sees when the notebook opens."""
    return [cell for cell in code_cells(notebook) if title_of(cell) is None]


def set_metadata(cell: NotebookNode, tags: bool = True) -> None:
    """Give a cell the metadata its source asks for (folded or not), and keep nothing else of it but the tags."""
    kept = dict(FOLDED) if title_of(cell) is not None else {}
    if tags and cell.metadata.get("tags"):
        kept["tags"] = cell.metadata.tags
    cell.metadata = nbformat.from_dict(kept)


def is_compared(cell: NotebookNode) -> bool:
    """True if nbval really compares something here: the cell has run, is not ignored, and left comparable output."""
    if cell.execution_count is None or {"nbval-ignore-output", "nbval-skip"} & set(cell.metadata.get("tags", [])):
        return False
    return any(comparable_text(output).strip() for output in cell.outputs)


def comparable_text(output: NotebookNode) -> str:
    """The text of an output that nbval compares, without widget references and without a figure's pixels."""
    if output.output_type == "stream":
        return output.text
    data = output.get("data", {})
    return "".join(_PIXELS.sub("", str(text)) for kind, text in data.items() if kind.startswith("text/"))


def html_of(notebook: NotebookNode) -> str:
    """All HTML and Markdown a reader of the notebook sees: markdown cells, and HTML and Markdown outputs."""
    parts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    for cell in code_cells(notebook):
        for output in cell.outputs:
            data = output.get("data", {})
            parts += [data.get("text/html", ""), data.get("text/markdown", "")]
    return "\n".join(parts)
