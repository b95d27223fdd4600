"""What lesson 03 relies on: its references agree with the library, and its "Scale up" code runs on any model."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from utils import datasets, probing
from utils.checks import lesson_03

NOTEBOOK = Path(__file__).parents[1] / "solutions" / "03_probing.ipynb"


def test_the_references_agree_with_the_library():
    generator = torch.Generator().manual_seed(0)
    acts, labels = torch.randn(90, 7, generator=generator) + 4, torch.arange(90) % 3 == 0
    direction = lesson_03.mean_difference(acts, labels)
    probe = probing.fit_mean_difference(acts, labels, centre=False)
    assert torch.allclose(direction, probe.weight, atol=1e-5)
    assert torch.allclose(lesson_03.midpoint_bias(acts, labels, direction), probe.bias, atol=1e-4)
    scores = (acts @ direction).round(decimals=1)
    assert abs(lesson_03.area_under_curve(scores, labels) - probing.auroc(scores, labels).item()) < 1e-6
    for fpr in (0.01, 0.1, 0.3):
        mine = lesson_03.recall_at_fpr(scores, labels, fpr)
        assert abs(mine - probing.recall_at_fpr(scores, labels, fpr).recall) < 1e-6
    edit = lesson_03.mean_ablation(direction, 0.0, torch.ones(90, dtype=torch.bool))
    assert torch.allclose(edit(acts), probing.intervention(direction, "project_out")(acts), atol=1e-4)
    groups = [f"g{i // 3}" for i in range(90)]
    coins = lesson_03.control_task(groups, 0)
    assert torch.equal(coins[::3], coins[1::3])


def test_words_alone_are_below_chance_when_countries_are_shuffled_and_at_chance_when_swapped():
    for design, low, high in (("shuffled", 0.0, 0.35), ("swapped", 0.45, 0.55)):
        data = datasets.cities(150, design=design)
        scores = probing.text_baseline(data.texts, data.labels, data.groups)
        assert low <= probing.auroc(scores, data.labels).item() <= high


def test_truth_is_the_mean_difference_of_a_set_with_as_many_of_both_kinds():
    generator = torch.Generator().manual_seed(1)
    acts, negated = torch.randn(80, 5, generator=generator), torch.arange(80) >= 40
    labels = torch.arange(80) % 2 == 0
    truth, polarity = lesson_03.truth_and_polarity(acts, labels, negated)
    assert torch.allclose(truth, lesson_03.mean_difference(acts, labels), atol=1e-5)
    assert torch.allclose(truth + polarity, lesson_03.mean_difference(acts[:40], labels[:40]), atol=1e-5)


def test_scale_up_runs_on_any_model(tiny_folder):
    """The function of the section itself, taken out of the notebook, on a tiny random model."""
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    source = next("".join(cell["source"]) for cell in cells if cell["id"] == "scale")
    names: dict = {}
    exec(
        "import torch\nfrom utils import datasets, models, probing\nfrom utils.reading import collect\n" + source,
        names,
    )
    found = names["probe_any_model"](tiny_folder, depth=1, n_cities=20)
    assert len(found) == 3 and all(0 <= one <= 1 for one in found)
