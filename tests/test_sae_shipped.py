"""The shipped dictionary is the one its record describes, and it works on the specimen."""

import hashlib
import json
import shutil

import pytest
import torch

from utils import datasets, sae
from utils.authoring.recipes import sae as make_sae
from utils.datasets.corpus import PATH as CORPUS
from utils.reading import activations, residual_norms
from utils.sae import features

FOLDER = make_sae.OUTPUT / make_sae.NAME
RECORD = json.loads((make_sae.OUTPUT / f"{make_sae.NAME}_record.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def dictionary():
    return sae.load(FOLDER)


def test_it_is_small_enough_and_made_as_the_recipe_says(dictionary):
    assert sum(p.stat().st_size for p in FOLDER.iterdir()) < 12e6
    assert (dictionary.d_sae, dictionary.k) == (make_sae.D_SAE, make_sae.K) == (RECORD["d_sae"], RECORD["k"])
    assert RECORD["corpus_sha256"] == hashlib.sha256(CORPUS.read_bytes()).hexdigest()
    assert RECORD["store"]["n"] >= 2_000_000, "at least two million different tokens"
    assert RECORD["settings"]["learning_rate"] == make_sae.LEARNING_RATE
    log = json.loads((make_sae.OUTPUT / f"{make_sae.NAME}_log.json").read_text(encoding="utf-8"))
    assert log[-1]["tokens"] == RECORD["tokens_of_training"]
    assert log[-1]["unexplained"] < log[len(log) // 2]["unexplained"] < log[1]["unexplained"]


def test_it_comes_with_its_place_in_the_model(dictionary):
    shipped = sae.load_shipped()
    assert shipped.hook == make_sae.HOOK == RECORD["hook"]
    assert shipped.massive_norm == pytest.approx(RECORD["store"]["massive_norm"])
    assert torch.equal(shipped.dictionary.W_dec, dictionary.W_dec)
    assert shipped.other_seed.shape == dictionary.W_dec.shape


@pytest.mark.parametrize(
    "name", ["block12/sae_weights.safetensors", "block12/cfg.json", "block12_second_seed.safetensors"]
)
def test_a_flipped_bit_is_named(name, tmp_path, monkeypatch):
    """Six of six loaded: nobody looked at the content."""
    from utils.sae import shipped

    shutil.copytree(shipped.DATA / "sae", tmp_path / "sae")
    shutil.copy(shipped.DATA / "MANIFEST.json", tmp_path)
    monkeypatch.setattr(shipped, "DATA", tmp_path)
    monkeypatch.setattr(shipped, "FOLDER", tmp_path / "sae" / "block12")
    monkeypatch.setattr(shipped, "SECOND", tmp_path / "sae" / "block12_second_seed.safetensors")
    sae.load_shipped()
    path = tmp_path / "sae" / name
    whole = path.read_bytes()
    for place in (len(whole) // 3, len(whole) // 2, len(whole) - 3):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=rf"{path.name} is damaged or was changed: get it again"):
            sae.load_shipped()
        if name.endswith("weights.safetensors"):  # and by its own folder
            with pytest.raises(ValueError, match="is damaged or was exchanged"):
                sae.load(path.parent)


def test_decoder_rows_have_length_one_after_rounding_to_float16(dictionary):
    torch.testing.assert_close(dictionary.W_dec.norm(dim=1), torch.ones(dictionary.d_sae), atol=2e-3, rtol=0)


def test_the_record_meets_what_the_course_promises():
    held = RECORD["held_out"]["fit"]
    assert held["variance_explained"] >= 0.82 and held["dead"] < 0.02 and held["l0"] <= make_sae.K
    assert RECORD["held_out"]["massive_left_out"] > 0 or RECORD["store"]["n_massive"] > 0


def test_a_second_seed_resembles_the_first_more_than_chance_does(dictionary):
    other = sae.load_shipped().other_seed
    found = sae.matched_cosines(dictionary.W_dec.detach(), other).mean()
    noise = torch.randn(other.shape, generator=torch.Generator().manual_seed(make_sae.NOISE_SEED))
    chance = sae.matched_cosines(dictionary.W_dec.detach(), noise).mean()
    assert float(found) == pytest.approx(RECORD["stability"]["second seed"]["mean"], abs=0.01)
    assert float(chance) == pytest.approx(RECORD["stability"]["random directions"]["mean"], abs=0.01)
    assert chance + 0.2 < found < 0.999


def test_the_readme_gives_the_figures_of_the_record():
    text = " ".join((make_sae.ROOT / "README.md").read_text(encoding="utf-8").split())
    held = RECORD["held_out"]["fit"]["variance_explained"]
    recovered = RECORD["loss"]["recovered_against_mean"].split()[0]
    assert f"it explains {held:.2f} of the variance" in text
    assert f"recovers {100 * float(recovered):.0f} % of the next-token loss against mean ablation" in text


@pytest.mark.specimen
def test_it_knows_its_model(specimen):
    from utils import models

    sae.load_shipped(specimen)
    with pytest.raises(ValueError, match="^model is another one than .* was trained on"):
        sae.load_shipped(models.random_like(specimen, n_layers=1))


@pytest.mark.slow
@pytest.mark.specimen
def test_it_explains_held_out_text_as_well_as_the_record_says(specimen, dictionary):
    texts = [row.text for row in make_sae.held_out_sample(24)]
    found = activations.collect(
        specimen, texts, [make_sae.HOOK], positions=lambda ids: torch.arange(len(ids)) > 0, cache=False, progress=False
    )
    x = found[make_sae.HOOK]
    x = x[residual_norms(x) <= RECORD["store"]["massive_norm"]]
    by_source = RECORD["held_out"]["by_source"].values()
    expected = sum(one["variance_explained"] for one in by_source) / len(by_source)
    assert sae.fit(dictionary, x).variance_explained == pytest.approx(expected, abs=0.06)


@pytest.mark.slow
@pytest.mark.specimen
def test_a_latent_found_in_training_text_detects_bridges_elsewhere(specimen, dictionary):
    bound = RECORD["store"]["massive_norm"]

    def read(split: str) -> features.Reading:
        rows = [r.text for r in datasets.corpus(split, "specimen") if "ridge" in r.text][:25]
        return features.read_texts(specimen, dictionary, make_sae.HOOK, rows, massive_norm=bound)

    search, test = read("train"), read("held_out")
    best = features.rank_latents(search, features.matching(search, r"\bbridges?\b"))[0][0]
    wanted = features.matching(test, r"\bbridges?\b")
    values = test.values(best)
    score = features.detection(values[wanted], values[test.ordinary & ~wanted])
    assert score.n_positive >= 10 and score.balanced_accuracy > 0.75
