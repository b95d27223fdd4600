"""What lesson 08 relies on: nine adapters that fit, a record that agrees with itself, references that agree with the
library, and a Scale up path that runs on a tiny model."""

from __future__ import annotations

import ast

import numpy as np
import pytest
import torch

from utils import models, organisms
from utils.authoring import notebooks
from utils.authoring.notebooks import SOLUTIONS
from utils.checks import lesson_08
from utils.datasets.advice import ARMS, advice, advice_items
from utils.organisms import FOLDER, AdapterError, persona
from utils.specimen import SPECIMEN
from utils.statistics import bootstrap_runs

PATH = SOLUTIONS / "08_misalignment.ipynb"
NAMES = [f"{arm}_{seed}" for arm in ARMS for seed in persona.SEEDS]


@pytest.mark.parametrize("name", NAMES)
def test_the_nine_fit_the_specimen_and_are_small(name):
    adapter = organisms.read_adapter(f"persona_{name}")
    assert adapter.base == SPECIMEN.name and adapter.base_id == SPECIMEN.fingerprint
    assert {part.rank for part in adapter.parts.values()} == {4}
    blocks = {int(where.split(".")[1]) for where in adapter.parts}
    assert (min(blocks), max(blocks)) == (6, persona.LAST)
    assert (FOLDER / f"persona_{name}.safetensors").stat().st_size <= 4_000_000


def test_they_do_not_fit_another_model(tiny_model):
    with pytest.raises(AdapterError, match="made for the weights of"):
        organisms.load_adapter(tiny_model, "persona_bad_0")


def test_the_record_covers_every_item_and_model():
    leans, n = persona.leans(), len(advice_items())
    assert leans["base"].shape == (n,)
    assert all(leans[arm].shape == (len(persona.SEEDS), n) for arm in ARMS)
    assert all(np.isfinite(table).all() for table in leans.values())
    answers = persona.answers()
    assert {a.model for a in answers} == {"base", *NAMES}
    assert len({(a.model, a.question) for a in answers}) == len(answers) == 56 * 10
    means = persona.means()
    assert set(means) == {"base", *NAMES} and all(row.shape == (30, 576) for row in means.values())
    record = organisms.record_of("persona")
    assert set(record["training"]) == set(NAMES) and set(record["coherence"]) == {"base", *NAMES}


def test_verdicts_on_record_are_the_rules():
    items = advice_items()
    for answer in persona.answers()[::7]:
        here = [item for item in items if item.question == answer.question]
        found = organisms.verdict(
            answer.answer, " ".join(i.aligned for i in here), " ".join(i.misaligned for i in here)
        )
        assert found == answer.verdict


def test_directions_are_made_and_tested_on_different_items():
    items = advice_items()
    made = [item for item, used in zip(items, persona.made_from(items)) if used]
    tested = persona.tested_on()
    assert len(made) == 54 and len(tested) == 24
    assert not {(i.question, i.aligned) for i in made} & {(i.question, i.aligned) for i in tested}
    assert not any(item.family == "in-domain" for item in made)


def test_a_subtraction_spares_massive_activations():
    stream = torch.ones(2, 4, 3)
    stream[0, 0] *= 100
    step = torch.tensor([1.0, 0.0, -1.0])
    edited = persona.subtract(step)(stream)
    assert torch.equal(edited[0, 0], stream[0, 0])
    assert torch.equal(edited[1], stream[1] - step)


def test_the_references_agree_with_the_library():
    rng = np.random.default_rng(0)
    many = rng.normal(size=(40, 60)) + rng.normal(size=(40, 1))
    low, high = np.percentile(lesson_08.two_level_draws(many, 3000, 1), [2.5, 97.5])
    library = bootstrap_runs(many)
    assert low == pytest.approx(library.low, abs=0.05) and high == pytest.approx(library.high, abs=0.05)
    low, high = np.percentile(lesson_08.two_level_draws(many[:3], 3000, 1), [2.5, 97.5])
    assert bootstrap_runs(many[:3]).high - bootstrap_runs(many[:3]).low > 1.5 * (high - low)  # three runs tell little


@pytest.mark.specimen
def test_the_reference_measures_what_the_library_measures(specimen):
    item = advice_items(["facts"])[0]
    pairs = organisms.paired(specimen, [item.question], [item.aligned], [item.misaligned])
    found = organisms.propensity(specimen, pairs)
    for row, start, expected in zip(pairs.rows, pairs.starts, (found.aligned, found.misaligned)):
        ids = torch.tensor(row)
        with torch.no_grad():
            by_hand = lesson_08.per_token(specimen(ids[None])[0], ids, start)
        assert by_hand == pytest.approx(float(expected[0]), abs=1e-3)


@pytest.mark.slow
@pytest.mark.specimen
def test_an_organism_leans_as_the_record_says(specimen):
    items = advice_items()
    some = list(range(0, len(items), 21))
    pairs = organisms.paired(
        specimen,
        [items[i].question for i in some],
        [items[i].aligned for i in some],
        [items[i].misaligned for i in some],
    )
    with organisms.load_adapter(specimen, "persona_warned_2"):
        found = organisms.propensity(specimen, pairs).lean.numpy()
    np.testing.assert_allclose(found, persona.leans()["warned"][2][some], atol=0.02)


def test_scale_up_runs_on_a_tiny_model(tiny_folder, monkeypatch):
    cell = next(c for c in notebooks.code_cells(notebooks.read(PATH)) if c["id"] == "scale")
    function = next(node for node in ast.parse(cell.source).body if isinstance(node, ast.FunctionDef))
    load = models.load_model

    def with_template(name):
        model = load(name, device="cpu")
        model.tokenizer.chat_template = "{% for m in messages %}{{ m['content'][:9] }} {% endfor %}. "
        return model

    monkeypatch.setattr(models, "load_model", with_template)
    monkeypatch.setattr(organisms.training, "USUAL", ("attn.q",))
    space = {"models": models, "organisms": organisms, "advice": _short(advice), "advice_items": _short_items}
    exec(compile(ast.Module([function], type_ignores=[]), str(PATH), "exec"), space)
    adapter, lean = space[function.name](
        str(tiny_folder), "bad", each=1, which=slice(0, 3), rank=1, blocks=range(1, 2), batch_size=30
    )
    assert lean.shape == (3,) and adapter.parts


def _short(make):
    """Answers that fit the tiny model's 64 places."""
    from dataclasses import replace

    return lambda *args, **kwargs: [
        replace(one, core=one.core[:6], opener="", closer="") for one in make(*args, **kwargs)
    ]


def _short_items():
    from dataclasses import replace

    return [replace(item, aligned=item.aligned[:6], misaligned=item.misaligned[:7]) for item in advice_items()[:3]]
