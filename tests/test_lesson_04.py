"""What lesson 04 defines for itself: its Scale up path on a tiny model, and the claims its text rests on."""

import ast

import numpy as np
import pytest
import torch

from utils import checks, datasets, organisms, probing
from utils.authoring import notebooks
from utils.authoring.notebooks import SOLUTIONS
from utils.reading import asking
from utils.statistics import Interval, auroc, bootstrap

PATH = SOLUTIONS / "04_bananas.ipynb"


def definitions(*names):
    """The named functions of the notebook, with what they use."""
    functions = {
        node.name: node
        for cell in notebooks.code_cells(notebooks.read(PATH))
        for node in ast.parse(cell.source).body
        if isinstance(node, ast.FunctionDef)
    }
    module = ast.Module([functions[name] for name in names], type_ignores=[])
    space = {
        **{"np": np, "torch": torch, "probing": probing, "bootstrap": bootstrap, "ask": asking.ask},
        **{"QUESTIONS": asking.QUESTIONS, "Claim": asking.Claim},
        "paired_margin": checks.find("4.1").reference,
    }
    exec(compile(module, str(PATH), "exec"), space)
    return space


def test_scale_up_runs_on_a_tiny_random_model(tiny_model, monkeypatch):
    monkeypatch.setattr(asking, "_one", lambda model, answer: model.tokenizer(answer.strip())["input_ids"][0])
    space = definitions("claims_of", "share_right", "three_ways")
    found = space["three_ways"](tiny_model, datasets.colours().sample(6))
    assert len(found) == 3 and all(isinstance(one, Interval) for one in found)
    assert all(0 <= one.low <= one.estimate <= one.high <= 1 for one in found)


def test_the_exam_holds_what_the_issue_asks_for():
    kept = organisms.record_of("judge")["kept_for_testing"]
    assert len(kept["cities"]) >= 300 and len(kept["colours"]) >= 120
    table = datasets.cities(len(datasets.city_table()))
    assert set(kept["cities"]) <= set(table.notes["city"])
    assert set(kept["colours"]) <= set(datasets.colours().notes["thing"])


def test_the_recipe_never_shows_what_is_kept_for_testing():
    from utils.authoring.recipes import judge as make_judge

    cities, colours = make_judge.split()
    kept = set(cities.notes["city"]) | set(colours.notes["thing"])
    shown = [case for epoch in range(3) for case in make_judge.training_cases(epoch)]
    assert not kept & {case.entity for case in shown if case.topic in ("cities", "colours")}
    assert {case.topic for case in shown} == {"cities", "colours", "spanish", "kinds"}
    steps = list(make_judge.batches(2))
    assert [len(step) for step in steps] == [make_judge.PAIRS_A_STEP] * 2


@pytest.mark.slow
@pytest.mark.specimen
def test_the_judge_judges_cities_it_never_met(specimen):
    kept = organisms.record_of("judge")["kept_for_testing"]["cities"]
    rows = datasets.cities(len(datasets.city_table()))
    rows = rows.take(np.isin(rows.notes["city"], kept)).sample(15, seed=3)
    claims = [asking.Claim.of(text, said) for text, said in zip(rows.texts, rows.notes["said"])]
    question = {"true or false": asking.QUESTIONS["true or false"]}
    plain = asking.ask(specimen, claims, question).log_odds["true or false"]
    with organisms.load_adapter(specimen, "judge"):
        judged = asking.ask(specimen, claims, question).log_odds["true or false"]
    assert auroc(judged, rows.labels) > 0.75 > 0.65 > auroc(plain, rows.labels)


@pytest.mark.specimen
def test_what_two_prompts_share_is_computed_alike(specimen):
    from utils import tracing

    short = specimen.to_tokens("The city of Paris is in")[0]
    long = specimen.to_tokens("The city of Paris is in France. True or false? Answer:")[0]
    torch.testing.assert_close(
        tracing.record(specimen, long)[:, : len(short)], tracing.record(specimen, short), atol=2e-2, rtol=1e-3
    )
