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


def test_a_folded_cell_stays_folded_and_shows_what_it_made():
    cells = [nbformat.v4.new_code_cell("# @title Set-up: find <it>\nhidden = 1", execution_count=1)]
    cells += [nbformat.v4.new_code_cell("seen = 2", execution_count=2)]
    cells[0].outputs = [nbformat.v4.new_output("stream", text="found\n")]
    made = page.page(nbformat.v4.new_notebook(cells=cells), "test")
    (folded,) = re.findall(r'<details class="lab-folded">.*?</details>', made, re.DOTALL)
    assert "<summary>Set-up: find &lt;it&gt;</summary>" in folded and "hidden" in folded
    assert "seen" not in folded and "found" not in folded and "found" in made


def test_a_page_has_its_lesson_s_title_and_leads_to_its_siblings():
    text = "[← Lesson 96](96_before.ipynb) · [Lesson 98 →](98_after.ipynb)"
    made = page.page(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)]), "T & U", ["96_before"])
    assert "<title>T &amp; U</title>" in made and '<a href="index.html">' in made
    assert '<a href="96_before.html">← Lesson 96</a>' in made and "Lesson 98 →" in made and "98_after" not in made


def test_tables_have_no_empty_heads():
    text = "| | b |\n|---|---|\n| a | 1 |"
    made = page.page(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)]), "test")
    assert re.search(r"<td>\s*</td>\s*<th>b</th>", made) and not re.search(r"<th[^>]*>\s*</th>", made)


def test_the_index_names_every_lesson_with_its_minutes_and_leads_to_the_pages_that_are_there(tmp_path):
    entries = [page.entry(path) for path in notebooks.paths(notebooks.SOLUTIONS)]
    assert all(shown.title.startswith(f"Lesson {shown.stem[:2]} · ") for shown in entries)
    assert all(re.search(r"\d\d.* minutes", shown.minutes) and shown.sentence for shown in entries)
    made = page.index(entries, [entries[1].stem])
    assert re.findall(r'href="(\w+)\.html"', made) == [entries[1].stem] and made.count("<li>") == len(entries)
    assert notebooks.fetched_from_outside(made) == []


def test_pages_are_written_with_their_index(tmp_path):
    first, second = notebooks.paths(notebooks.SOLUTIONS)[:2]
    bare = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(f"# T\n\n[next]({second.name})")])
    (written,) = page.write({first: bare}, tmp_path)
    assert f"{second.stem}.html" not in written.read_text(encoding="utf-8")
    page.write({first: bare, second: bare}, tmp_path)
    assert f'href="{second.stem}.html"' in written.read_text(encoding="utf-8")
    assert f'href="{first.stem}.html"' in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_figures_keep_their_alt_text(made):
    assert 'alt="A line that rises."' in made and "data:image/png;base64,AAAA" in made
