"""Known answers for the intervals and scores that every claim of the course rests on."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from utils import statistics


def test_bootstrap_covers_the_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        interval = statistics.bootstrap(rng.normal(size=40), n_resamples=300, seed=trial)
        covered += interval.low <= 0 <= interval.high
    assert 0.88 <= covered / 200 <= 0.99


def test_groups_are_resampled_whole_and_widen_the_interval():
    values = np.repeat(np.random.default_rng(1).normal(size=10), 20)
    groups = np.repeat(np.arange(10), 20)
    alone, grouped = statistics.bootstrap(values), statistics.bootstrap(values, groups=groups)
    assert grouped.n == 10 and alone.n == 200
    assert grouped.high - grouped.low > 2.5 * (alone.high - alone.low)


def test_paired_differences_use_the_pairing():
    base = np.random.default_rng(2).normal(size=50) * 10
    interval = statistics.bootstrap_paired(base + 1, base)
    assert interval.low == pytest.approx(1) and interval.high == pytest.approx(1)


def test_wilson_at_the_edges():
    none = statistics.proportion(0, 20)
    assert none.low == 0 and none.high == pytest.approx(0.161, abs=1e-3)
    assert statistics.proportion(20, 20).low == pytest.approx(0.839, abs=1e-3)


def test_auroc_equals_scikit_learn_with_ties():
    rng = np.random.default_rng(3)
    scores, labels = rng.integers(0, 5, 200), rng.integers(0, 2, 200)
    assert statistics.auroc(scores, labels) == pytest.approx(roc_auc_score(labels, scores))


def test_correlation_is_pearsons():
    x, y = np.random.default_rng(4).normal(size=(2, 60))
    assert statistics.correlation(x, y).estimate == pytest.approx(np.corrcoef(x, y)[0, 1])


def test_shuffled_labels_show_chance():
    scores = np.arange(40.0)
    labels = np.arange(40) >= 20
    null = statistics.shuffled_null(lambda shuffled: statistics.auroc(scores, shuffled), labels)
    assert abs(null.mean() - 0.5) < 0.03 and null.max() < 1.0


def test_interval_prints_and_compares():
    interval = statistics.Interval(0.8, 0.72, 0.9, 14)
    assert str(interval) == "0.80 [0.72, 0.90], n = 14" and f"{interval:.1f}" == "0.8 [0.7, 0.9], n = 14"
    assert interval.excludes(0.5) and not interval.excludes(0.8)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: statistics.bootstrap([]), ValueError, "at least one row"),
        (lambda: statistics.bootstrap([1.0]), ValueError, "two independent units"),
        (lambda: statistics.bootstrap([1.0, float("nan")]), ValueError, "finite"),
        (lambda: statistics.bootstrap(["a", "b"]), TypeError, "must be numbers"),
        (lambda: statistics.bootstrap([1.0, 2.0], groups=[1]), ValueError, "a group for each"),
        (lambda: statistics.bootstrap([1.0, 2.0], confidence=95), ValueError, "between 0 and 1"),
        (lambda: statistics.bootstrap_paired([1.0, 2.0], [1.0]), ValueError, "paired"),
        (lambda: statistics.proportion(3, 2), ValueError, "successes"),
        (lambda: statistics.auroc([1.0, 2.0], [True, True]), ValueError, "both classes"),
        (lambda: statistics.auroc([1.0, 2.0], [True]), ValueError, "one length"),
        (lambda: statistics.correlation([1.0, 1.0], [1.0, 2.0]), ValueError, "must vary"),
        (lambda: statistics.coarse(1.0, 0.0), ValueError, "positive"),
        (lambda: statistics.shuffled_null(len, [1]), ValueError, "at least two"),
    ],
)
def test_bad_input_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_an_interval_over_seeds_is_students():
    interval = statistics.over_seeds([1.0, 2.0, 3.0])
    assert (interval.estimate, interval.n) == (2.0, 3)
    assert interval.high - 2.0 == pytest.approx(4.303 / np.sqrt(3), abs=1e-3)  # from a printed table of t
    assert 2.0 - interval.low == pytest.approx(interval.high - 2.0)
    five = statistics.over_seeds([0.1, 0.2, 0.3, 0.4, 0.5])
    assert five.high - five.estimate == pytest.approx(
        2.776 * np.std([0.1, 0.2, 0.3, 0.4, 0.5], ddof=1) / np.sqrt(5), rel=1e-3
    )


@pytest.mark.parametrize("bad", [[1.0], [], [1.0, float("nan")], [[1.0, 2.0], [3.0, 4.0]]])
def test_an_interval_over_seeds_needs_two_finite_numbers(bad):
    with pytest.raises(ValueError, match="values"):
        statistics.over_seeds(bad)


def test_runs_and_items_both_count():
    runs, items = np.array([-1.0, 0.0, 1.0]), np.linspace(-2, 2, 40)
    only_runs, only_items = np.tile(runs[:, None], (1, 40)), np.tile(items, (3, 1))
    wide = statistics.bootstrap_runs(only_runs)
    assert (wide.low, wide.high) == (-1.0, 1.0) and wide.n == 40
    as_items = statistics.bootstrap(items)
    crossed = statistics.bootstrap_runs(only_items)
    assert crossed.high - crossed.low == pytest.approx(as_items.high - as_items.low, rel=0.1)
    both = statistics.bootstrap_runs(only_runs + only_items)
    assert both.high - both.low > crossed.high - crossed.low and both.estimate == pytest.approx(0.0, abs=1e-12)


def test_items_of_a_group_are_drawn_together():
    values = np.repeat(np.linspace(-2, 2, 10), 4)[None].repeat(2, 0)
    alone = statistics.bootstrap_runs(values)
    together = statistics.bootstrap_runs(values, groups=[i // 4 for i in range(40)])
    assert (alone.n, together.n) == (40, 10)
    assert together.high - together.low > 1.5 * (alone.high - alone.low)


@pytest.mark.parametrize(
    ("values", "groups", "words"),
    [
        ([1.0, 2.0], None, r"shape \(n_runs, n_items\)"),
        ([[1.0, 2.0]], None, "at least two runs"),
        ([[1.0], [2.0]], None, "two independent items"),
        ([[1.0, 2.0], [1.0, 3.0]], ["a"], "a group for each of the 2 rows"),
        ([[1.0, float("nan")], [1.0, 3.0]], None, "must be finite"),
    ],
)
def test_tables_that_cannot_be_resampled_are_named(values, groups, words):
    with pytest.raises(ValueError, match=words):
        statistics.bootstrap_runs(values, groups)
