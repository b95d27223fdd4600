"""The benchmark runner itself. Speeds are figures of the report, never assertions."""

import time

import pytest

from utils.authoring import benchmarks


def test_compare_alternates_and_reports_medians():
    calls = []

    def ours():
        calls.append("ours")

    def peer():
        calls.append("peer")
        time.sleep(0.01)

    result = benchmarks.compare(ours, peer, work=100, unit="things/s", note="a test", n=3)
    assert set(result) == {"ours", "peer", "ratio", "unit", "n", "note"}
    assert calls == ["ours", "peer"] + ["ours", "peer", "peer", "ours", "ours", "peer"]
    assert result["ratio"] > 1 and result["ours"] > result["peer"] and result["n"] == 3


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="work above 0"):
        benchmarks.compare(int, int, work=0, unit="", note="")
    with pytest.raises(ValueError, match="unknown benchmark 'nothing'; there are activations_vs_bare_forward"):
        benchmarks.run(["nothing"])


def test_run_prints_a_table_and_returns_the_results(monkeypatch, capsys):
    monkeypatch.setattr(benchmarks, "BENCHMARKS", {})
    benchmarks.benchmark("nap")(
        lambda: benchmarks.compare(lambda: time.sleep(0.001), lambda: None, work=1, unit="naps/s", note="naps", n=1)
    )
    results = benchmarks.run(["nap"])
    assert results["nap"]["unit"] == "naps/s" and results["nap"]["ratio"] < 1
    assert "nap: naps" in capsys.readouterr().out


def test_the_course_registers_its_own():
    names = {"activations_vs_bare_forward", "activations_vs_run_with_cache"}
    names |= {"steered_generation_vs_bridge", "steered_generation_vs_reading"}
    assert names <= set(benchmarks.load_registry())


@pytest.mark.specimen
@pytest.mark.parametrize("name", ["steered_generation_vs_bridge", "steered_generation_vs_reading"])
def test_the_generation_benchmarks_run(specimen, monkeypatch, name):
    """On four rows and two tokens: that both sides agree is asserted inside; no figure is."""
    from utils import models
    from utils.authoring.benchmarks import generation as bench_generation

    monkeypatch.setattr(bench_generation, "ROWS", 4)
    monkeypatch.setattr(bench_generation, "NEW_TOKENS", 2)
    monkeypatch.setattr(bench_generation, "compare", lambda *a, n, **k: benchmarks.compare(*a, n=1, **k))
    monkeypatch.setattr(models, "load_model", lambda **_: specimen)
    result = benchmarks.load_registry()[name]()
    assert result["ours"] > 0 and result["peer"] > 0 and result["unit"] == "tokens/s"
    assert "temperature 1" in result["note"] or "without logits" in result["note"]
