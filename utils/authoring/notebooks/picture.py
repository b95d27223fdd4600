"""Take the README's picture out of an executed solution, so that it shows what the course really measured.

`python -m utils.authoring.notebooks.picture` writes `utils/data/picture.png` from the figure of the cell named below.
"""

from __future__ import annotations

import base64
import re
import sys

from utils.authoring import notebooks
from utils.authoring.notebooks.manifest import DATA

LESSON, CELL = "02", "patch-map-figure"
PICTURE = DATA / "picture.png"


def figure_of(lesson: str, cell_id: str) -> tuple[bytes, str]:
    """The PNG and the alt text of the first figure a cell of a solution shows. Raises ValueError if it shows none."""
    (path,) = notebooks.paths(notebooks.SOLUTIONS, [lesson])
    cells = [cell for cell in notebooks.read(path).cells if cell["id"] == cell_id and cell.cell_type == "code"]
    markup = "".join(str(output.get("data", {}).get("text/html", "")) for cell in cells for output in cell.outputs)
    found = re.search(r'<img alt="([^"]*)"[^>]*src="data:image/png;base64,([A-Za-z0-9+/=]+)"', markup)
    if found is None:
        raise ValueError(f"{path.name} has no executed cell {cell_id!r} that shows a figure")
    return base64.b64decode(found[2]), found[1]


def main() -> int:
    """Write the picture and print its alt text, for the README. Returns the exit code."""
    image, alt = figure_of(LESSON, CELL)
    PICTURE.write_bytes(image)
    print(f"{PICTURE.relative_to(notebooks.ROOT)}\nalt text: {alt}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
