"""Reliability: forecasts that come true, forecasts that promise too much, and bins that say how sure they are."""

import numpy as np
import pytest

from utils import statistics


def forecasts(n=4000, seed=0):
    rng = np.random.default_rng(seed)
    stated = rng.random(n)
    return stated, rng.random(n) < stated


def test_honest_forecasts_lie_on_the_diagonal():
    stated, came = forecasts()
    bins = statistics.reliability(stated, came)
    assert len(bins) == 10 and sum(b.forecasts for b in bins) == 4000
    assert sum(not b.came_true.excludes(b.stated) for b in bins) >= 9
    assert statistics.calibration_error(stated, came) < 0.03
    assert not statistics.overconfidence(stated, came).excludes(0)


def test_boasting_shows():
    stated, came = forecasts()
    boast = np.sqrt(stated)
    assert statistics.calibration_error(boast, came) == pytest.approx(1 / 6, abs=0.02)
    assert statistics.overconfidence(boast, came).low > 0.12


def test_texts_are_the_units_and_thin_bins_are_left_out():
    stated, came = forecasts(400)
    bins = statistics.reliability(stated, came, groups=[i // 100 for i in range(400)])
    assert {b.came_true.n for b in bins} == {4}
    assert [b.forecasts for b in statistics.reliability([0.05, 0.95, 0.96], [False, True, True])] == [2]


def test_what_is_no_forecast_is_named():
    with pytest.raises(ValueError, match="probabilities must lie between 0 and 1, got 0.5 to 1.5"):
        statistics.calibration_error([0.5, 1.5], [True, False])
    with pytest.raises(ValueError, match="came_true has shape"):
        statistics.reliability([0.5, 0.5], [True])
    with pytest.raises(ValueError, match="groups must name a group for each of the 2 forecasts, got 1"):
        statistics.reliability([0.5, 0.5], [True, False], groups=["a"])
