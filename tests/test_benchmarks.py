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
    assert {"activations_vs_bare_forward", "activations_vs_run_with_cache"} <= set(benchmarks.load_registry())
