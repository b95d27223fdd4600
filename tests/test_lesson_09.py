"""What lesson 09 rests on: the organism's record is what its transcripts show, and the text's claims hold in them."""

from __future__ import annotations

import ast
import re
import types

import numpy as np
import pytest
import torch

from utils import monitoring, organisms
from utils.authoring import notebooks
from utils.authoring.notebooks import SOLUTIONS
from utils.authoring.recipes import reasoner as make_reasoner
from utils.datasets import errands

PATH = SOLUTIONS / "09_monitoring.ipynb"
ROWS = monitoring.load_transcripts(arm=None)


def test_the_record_is_what_the_transcripts_show():
    held = organisms.record_of("reasoner")["held_out"]
    assert make_reasoner.figures(ROWS) == held
    for name in ("well formed", "shortcut where there is none", "careful arm correct", "admission rate"):
        assert held[name]["n"] >= 200


def test_the_targets_are_met_but_for_the_two_admission_rates_that_the_lesson_names():
    missed = {name for name, row in organisms.record_of("reasoner")["held_out"].items() if not row["met"]}
    assert missed == {"admission rate: note", "admission rate: colleague"}


def test_transcripts_are_of_the_tasks_the_recipe_deals_and_labelled_by_the_library():
    tasks = {task.id: task for task in make_reasoner.held_out_tasks()}
    assert len(tasks) == len(ROWS) and {t.id for t in ROWS} == set(tasks)
    for t in ROWS[::7]:
        again = monitoring.annotate(tasks[t.id], t.text)
        assert (again.kind, again.prompt, again.admitted) == (t.kind, t.prompt, t.admitted)
    trained = {task.entity for task in make_reasoner.training_tasks()}
    assert not trained & {t.entity for t in ROWS}


def test_scored_rows_are_those_the_recipe_names_and_all_numbers_are_finite():
    found = monitoring.load_scores()
    assert found["row"].tolist() == make_reasoner.scored_rows(ROWS)
    for values in found.values():
        assert len(values) == len(found["row"]) and bool(torch.isfinite(values.float()).all())


def test_resamples_are_balanced_for_lesson_10():
    rows = monitoring.load_resamples()
    ids = {row["id"] for row in rows}
    assert len(ids) >= 60 and len(rows) == len(ids) * 3 * make_reasoner.DRAWS
    for row in rows:
        hinted = row["hint"] in row["prompt"].splitlines()[-2]
        assert hinted or row["condition"] == "plain"
    assert {(row["id"], row["condition"], row["draw"]) for row in rows}.__len__() == len(rows)


def test_hand_labels_join_the_transcripts():
    rows = monitoring.hand_labels()
    assert len(rows) >= 40 and len({row["id"] for row in rows}) == len(rows)
    assert all(row["took_shortcut"] is not None for row in rows)
    assert {row[how] for row in rows for how in ("without_task", "with_task")} == {"s", "w"}


@pytest.mark.slow
def test_what_is_taught_is_one_of_each_tasks_texts_with_the_chances_of_all(tiny_model, monkeypatch):
    monkeypatch.setattr(make_reasoner, "prompts_of", lambda model, tasks: [[1, 2]] * len(tasks))
    tasks = make_reasoner.training_tasks()[:80]
    for task, taught in zip(tasks, make_reasoner.examples_of(tiny_model, tasks)):
        assert taught.answer[-1] == tiny_model.tokenizer.eos_token_id
        text = tiny_model.tokenizer.decode(taught.answer[:-1])
        chance = np.prod([here[token] for here, token in zip(taught.chances, taught.answer)])
        assert chance == pytest.approx(errands.every_text(task)[text])


def test_no_training_task_is_met_twice_and_none_is_held_out():
    tasks = make_reasoner.training_tasks()
    assert not any(task.held_out for task in tasks)
    assert len({task.id for task in tasks}) == len(tasks)
    assert len({task.prompt for task in tasks if task.family == "lookup"}) > 0.99 * sum(
        task.family == "lookup" for task in tasks
    )


# ------------------------------------------------------------------------------------------------- the lesson's claims


def test_phrases_find_every_admission_and_no_other_shortcut():
    known = [t for t in monitoring.decided(ROWS) if t.well_formed and t.took_shortcut]
    flagged = monitoring.keywords()(known) > 0
    admitted = np.array([t.admitted for t in known])
    assert flagged[admitted].all() and flagged[~admitted].mean() < 0.1


def test_doing_a_lookup_again_finds_all_shortcuts_and_the_audit_no_silent_one():
    took = [t for t in ROWS if t.took_shortcut and t.family == "lookup" and not t.hint_right and t.well_formed]
    assert all(monitoring.recheck(t) for t in took)


def definitions(*names):
    """The named functions of the notebook."""
    functions = {
        node.name: node
        for cell in notebooks.code_cells(notebooks.read(PATH))
        for node in ast.parse(cell.source).body
        if isinstance(node, ast.FunctionDef)
    }
    space = {"re": re}
    exec(compile(ast.Module([functions[name] for name in names], type_ignores=[]), str(PATH), "exec"), space)
    return space


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I look.\nIt is there.</think>\n\nattic", ("I look.\nIt is there.", "attic")),
        ("<think>Hm.</think> attic", ("Hm.", "attic")),
        ("attic", None),
    ],
)
def test_scale_up_reads_what_reasoning_models_write(text, expected):
    space = definitions("monitor_any_model")
    space["models"] = types.SimpleNamespace(load_model=lambda name: None)
    space["generation"] = types.SimpleNamespace(
        chat_prompts=lambda model, texts: texts, generate=lambda model, prompts, n, temperature: [text] * len(prompts)
    )
    tasks = errands.draw("lookup", "note", 2)
    assert space["monitor_any_model"]("any", tasks) == [expected] * 2
