"""The report has the form that ARCHITECTURE.md gives, and its counts come from the notebooks."""

import json

import nbformat
import pytest

from utils.authoring import benchmarks, notebooks
from utils.authoring.benchmarks import coverage
from utils.authoring.benchmarks import sae as bench_sae
from utils.authoring.notebooks import bank, report

LESSON_KEYS = [
    "name",
    "seconds",
    "peak_mb",
    "private_mb",
    "code_cells",
    "compared_cells",
    "exercises",
    "checks",
    "hints",
    "wrong_rejected",
    "wrong_total",
    "right_accepted",
    "right_total",
    "figures",
    "figures_with_alt",
    "quiz_questions",
    "replication_cards",
    "measured",
    "predictions",
    "visible_code_lines",
    "longest_visible_cell",
    "other_kinds",
    "mutants",
    "mutants_rejected",
    "mutants_equivalent",
    "generic_messages",
    "right_forms",
    "right_forms_accepted",
    "unused_exercises",
]


@pytest.fixture
def found(monkeypatch):
    memory = report._Memory()
    memory.peak, memory.private = 1_500_000_000, 700_000_000
    monkeypatch.setattr(report, "_cold_run", lambda path: (12.34, memory))
    figure = {"name": "x", "ours": 2.0, "peer": 1.0, "ratio": 2.0, "unit": "tokens/s", "n": 3, "note": "what was run"}
    rows = coverage.coverage_table(50, only="over seeds")
    monkeypatch.setattr(coverage, "coverage_table", lambda: rows)
    monkeypatch.setattr(benchmarks, "run", lambda names=None: {"activations_vs_bare_forward": figure})
    monkeypatch.setattr(bench_sae, "kept", lambda: {"sae_training_vs_saelens": figure})
    return report.report(["00"])


def test_the_form_is_the_designs(found):
    assert list(found) == [
        "commit",
        "made",
        "machine",
        "lessons",
        "suite_seconds",
        "repository_mb",
        "benchmarks",
        "coverage",
        "doors",
    ]
    (lesson,) = found["lessons"]
    assert list(lesson) == LESSON_KEYS
    assert (lesson["seconds"], lesson["peak_mb"], lesson["private_mb"]) == (12.3, 1500, 700)
    assert json.loads(json.dumps(found)) == found


def test_the_counts_are_the_notebooks(found):
    (lesson,) = found["lessons"]
    (path,) = notebooks.paths(notebooks.SOLUTIONS, ["00"])
    assert lesson["code_cells"] == len(notebooks.code_cells(notebooks.read(path)))
    assert lesson["exercises"] == lesson["checks"] > 0
    assert lesson["hints"] == 3 * lesson["exercises"]
    tally = bank.tally("00")
    assert (lesson["wrong_rejected"], lesson["wrong_total"]) == (tally.wrong_rejected, tally.wrong_total)
    assert lesson["wrong_rejected"] == lesson["wrong_total"] and lesson["right_accepted"] == lesson["right_total"]
    assert lesson["figures"] == lesson["figures_with_alt"] > 0


def test_the_table_names_every_lesson_and_benchmark(found):
    text = report.table(found)
    assert "3 seeds" in text
    assert (
        "00_orientation" in text
        and "activations_vs_bare_forward" in text
        and "sae_training_vs_saelens" in text
        and "2.00 times" in text
    )


def test_memory_is_really_measured(tmp_path):
    from utils.authoring.notebooks import execute

    source = "block = bytearray(300_000_000)\nimport time\ntime.sleep(0.5)"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    memory = report._Memory()
    _, seconds = execute.run(notebook, tmp_path, watch=memory.watch)
    memory.stop()
    assert memory.peak > 300e6 and seconds >= 0.5
