"""The SAE benchmarks: what `make report` finds, and that the sides of the one that runs here do the same work."""

import json

import pytest
import torch

from utils.authoring import benchmarks
from utils.authoring.benchmarks import sae as bench_sae


@pytest.fixture
def small(monkeypatch):
    """Sizes for a test: the same code in milliseconds."""
    for name, value in {"D_MODEL": 16, "D_SAE": 64, "K": 4, "BATCH": 32, "STEPS": 2}.items():
        monkeypatch.setattr(bench_sae, name, value)


def test_the_figure_has_the_reports_form(small):
    threads = torch.get_num_threads()
    result = benchmarks.load_registry()["sae_training_vs_matmul"]()
    assert set(result) == {"ours", "peer", "ratio", "unit", "n", "note"}
    assert result["ours"] > 0 and result["n"] >= 5 and "16 -> 64, k 4" in result["note"]
    assert torch.get_num_threads() == threads


def test_every_timed_run_starts_from_the_same_weights(small):
    run = bench_sae._our_run(bench_sae._batches())
    first = {name: value.clone() for name, value in run().state_dict().items()}
    assert all(torch.equal(value, first[name]) for name, value in run().state_dict().items())


def test_a_fast_wrong_step_is_noticed(small, monkeypatch):
    from utils.sae import sparse

    right = sparse._sum_by_latent
    monkeypatch.setattr(sparse, "_sum_by_latent", lambda *arguments: 1.01 * right(*arguments))
    with pytest.raises(AssertionError):
        bench_sae.sae_training_vs_matmul()


def test_the_report_takes_the_kept_figure_if_there_is_one(tmp_path, monkeypatch):
    monkeypatch.setattr(bench_sae, "RESULT", tmp_path / "bench-sae.json")
    assert bench_sae.kept() == {}
    figure = {"ours": 2.0, "peer": 1.0, "ratio": 2.0, "unit": "tokens/s", "n": 5, "note": "what was run"}
    bench_sae.RESULT.write_text(json.dumps({"sae_training_vs_saelens": figure, "interchange": {"TopK": 0.0}}))
    assert bench_sae.kept() == {"sae_training_vs_saelens": figure}


def test_without_saelens_it_says_what_to_do(monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "sae_lens", None)
    assert bench_sae.main() == 1 and "run `make bench-sae`" in capsys.readouterr().err
