"""Many comparisons at once: on paper, and by simulation with known truth."""

from __future__ import annotations

import numpy as np
import pytest

from utils import statistics


def test_step_down_on_paper():
    observed = np.array([5.0, 2.5, 0.5])
    null = np.array([[0.0, 1.0, 2.0], [3.0, 0.0, 0.0], [0.0, 0.0, 1.0], [1.0, 2.0, 0.0]])
    # 5 against the maxima 2, 3, 1, 2; then 2.5 against those of the last two, 2, 0, 1, 2; then 0.5 against 2, 0, 1, 0
    assert statistics.step_down(observed, null).tolist() == [0.2, 0.2, 0.6]
    turned = statistics.step_down(observed[[2, 0, 1]], null[:, [2, 0, 1]])
    assert turned.tolist() == [0.6, 0.2, 0.2]
    with pytest.raises(ValueError, match="null has 2 columns, expected 3"):
        statistics.step_down(observed, null[:, :2])


def test_contrast_on_paper():
    values = np.array([[1.0, 2.0, 3.0, 0.0, 0.0, 0.0, 5.0, 4.0, 6.0]])
    difference, t, null = statistics.contrast_null(values, list("aaabbbccc"), draws=7)
    assert difference.tolist() == [[2 - 2.5, 0 - 3.5, 5 - 1.0]]
    error = np.sqrt(1 / 3 + (0 + 1 / 3) / 4)
    assert t[0, 0] == pytest.approx(-0.5 / error) and null.shape == (7, 1, 3)
    with pytest.raises(ValueError, match="groups must name two groups or more with three cases each"):
        statistics.contrast_null(values, list("aaabbbcca"))


def test_one_true_effect_does_not_cost_false_names():
    """Ten cases a kind, one huge effect of one kind: named, and a false name in about one study in twenty at most."""
    rng, groups, false, found = np.random.default_rng(0), list("abcd" * 10), 0, 0
    for _ in range(60):
        values = rng.normal(size=(6, 40)) + rng.normal(size=40)  # measures share noise: the same passage
        values[0, np.array(groups) == "d"] += 4
        _, t, null = statistics.contrast_null(values, groups, draws=300)
        p = statistics.step_down(t.ravel(), null.reshape(300, -1)).reshape(t.shape)
        found += p[0, 3] <= 0.05
        p[0] = 1  # the others' contrasts with kind d are true, too
        false += (p <= 0.05).any()
    assert found == 60 and false <= 7
