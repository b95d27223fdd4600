"""The benchmark runner itself. Speeds are figures of the report, never assertions."""

import pytest

from utils.authoring import benchmarks


class Clock:
    """Stands in for the time module, so that what a run takes is said by the test and not by the machine."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def taking(self, seconds: float, calls: list[str] | None = None, name: str = ""):
        def work():
            self.now += seconds
            if calls is not None:
                calls.append(name)

        return work


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(benchmarks, "time", made)
    return made


def test_compare_alternates_and_reports_medians(clock):
    calls = []
    ours, peer = clock.taking(2.0, calls, "ours"), clock.taking(5.0, calls, "peer")
    result = benchmarks.compare(ours, peer, work=100, unit="things/s", note="a test", n=3)
    assert result == {"ours": 50.0, "peer": 20.0, "ratio": 2.5, "unit": "things/s", "n": 3, "note": "a test"}
    assert calls == ["ours", "peer"] + ["ours", "peer", "peer", "ours", "ours", "peer"]


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="work above 0"):
        benchmarks.compare(int, int, work=0, unit="", note="")
    with pytest.raises(ValueError, match="unknown benchmark 'nothing'; there are activations_vs_bare_forward"):
        benchmarks.run(["nothing"])


def test_run_prints_a_table_and_returns_the_results(monkeypatch, capsys, clock):
    monkeypatch.setattr(benchmarks, "BENCHMARKS", {})
    benchmarks.benchmark("nap")(
        lambda: benchmarks.compare(clock.taking(4.0), clock.taking(1.0), work=1, unit="naps/s", note="naps", n=1)
    )
    results = benchmarks.run(["nap"])
    assert results["nap"]["unit"] == "naps/s" and results["nap"]["ratio"] == 0.25
    assert "nap: naps" in capsys.readouterr().out


def test_the_course_registers_its_own():
    names = {"activations_vs_bare_forward", "activations_vs_run_with_cache"}
    names |= {"steered_generation_vs_bridge", "steered_generation_vs_reading"}
    assert names <= set(benchmarks.load_registry())


@pytest.mark.slow
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
