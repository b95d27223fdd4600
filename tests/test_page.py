"""Pages of notebooks need no network: no remote script, style or image, and formulas as MathML."""

import re

import nbformat
import pytest

from utils.authoring import notebooks
from utils.authoring.notebooks import page

MARKDOWN = """# Title

[![Open in Colab](https://example.org/badge.svg)](https://example.org/x)

<details><summary>Hint 1 · nudge</summary>

Use `mean`, and $a^2$.

```python
x = 1

y = 2
```

</details>

Inline $x_i + \\frac{1}{2}$ and a price of $5, not $6. `$code$` stays.

$$\\sum_{i=1}^{n} \\|x_i\\|^2$$

```python
cost = "$x$"
```
"""


@pytest.fixture(scope="module")
def made():
    figure = '<figure><img alt="A line that rises." src="data:image/png;base64,AAAA"></figure>'
    cells = [nbformat.v4.new_markdown_cell(MARKDOWN), nbformat.v4.new_code_cell("show()", execution_count=1)]
    cells[1].outputs = [nbformat.v4.new_output("display_data", data={"text/html": figure})]
    return page.page(nbformat.v4.new_notebook(cells=cells), "test")


def test_nothing_is_fetched(made):
    assert notebooks.fetched_from_outside(made) == []
    assert not re.search(r"""(?:import\s*\(?|from)\s*["']https?://""", made)
    assert "mathjax" not in re.sub(r"<style.*?</style>", "", made, flags=re.S).lower()


def test_formulas_are_mathml_and_code_is_left_alone(made):
    assert made.count("<math") == 3 and "<mfrac>" in made and 'display="block"' in made
    assert "<code>$code$</code>" in made and "$5, not $6" in made
    assert "&quot;$x$&quot;" in made or '"$x$"' in made


def test_hints_stay_folded_and_remote_images_become_words(made):
    (details,) = re.findall(r"<details>.*?</details>", made, re.DOTALL)
    assert "<summary>Hint 1 · nudge</summary>" in details and "<code>mean</code>" in details and "<pre" in details
    assert "badge.svg" not in made and ">Open in Colab</a>" in made


def test_figures_keep_their_alt_text(made):
    assert 'alt="A line that rises."' in made and "data:image/png;base64,AAAA" in made
