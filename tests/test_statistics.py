"""Known answers for the intervals and scores that every claim of the course rests on."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from utils import statistics
from utils.authoring.benchmarks import coverage

# ------------------------------------------------------------------------------------------------- do they hold?


@pytest.mark.slow
@pytest.mark.parametrize("setting", coverage.settings(), ids=lambda s: f"{s.method} {s.setting}")
def test_an_interval_holds_the_truth_as_often_as_it_says(setting):
    n = 300 if setting.method == "median" else 1500
    row = coverage._measure(setting, n, seed=0)
    noise = 2 * np.sqrt(0.93 * 0.07 / n)  # of the simulation: a method at 93 % fails here once in forty seeds
    assert row["now"] >= 0.93 - noise, row
    assert row["before"] is None or row["width_now"] < 5 * row["width_before"] + 0.2, "true, and useless"


@pytest.mark.slow
def test_the_percentile_bootstrap_would_not_pass():
    rows = {row["setting"]: row for row in coverage.coverage_table(200, only="share")}
    assert rows["0.9, n = 10"]["before"] < 0.8 < 0.9 < rows["0.9, n = 10"]["now"]
    assert "share by groups" in coverage.text(list(rows.values()))


# ---------------------------------------------------------------------------------------------------- known answers


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_values_that_differ_by_rounding_alone_have_a_closed_interval_without_a_warning():
    """Their skewness is 0 divided by 0."""
    values = np.full(7, 1e-120)
    values[3] = 1.1e-120
    found = statistics.bootstrap(values)
    assert found.low <= found.estimate <= found.high and found.high < 1e-100


def test_a_symmetric_mean_has_students_interval():
    values = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    found = statistics.bootstrap(values)
    half = 2.776 * values.std(ddof=1) / np.sqrt(5)  # from a printed table of t
    assert found.estimate == 3 and found.n == 5
    assert found.low <= 3 - half + 1e-3 and found.high >= 3 + half - 1e-3
    many = statistics.bootstrap(np.random.default_rng(0).normal(size=2000))
    assert many.high - many.low == pytest.approx(2 * 1.96 / np.sqrt(2000), rel=0.05)


def test_a_long_tail_gets_the_longer_side():
    found = statistics.bootstrap(np.random.default_rng(0).exponential(size=12))
    assert found.high - found.estimate > 1.3 * (found.estimate - found.low)


def test_zeros_and_ones_get_a_score_interval():
    found, said = statistics.bootstrap([1.0] * 9 + [0.0]), statistics.proportion(9, 10)
    assert (found.low, found.high) == (said.low, said.high)
    assert statistics.bootstrap([1.0] * 10).low == pytest.approx(0.722, abs=1e-3)
    assert statistics.bootstrap([True, False, True, True]).estimate == 0.75


def test_groups_are_the_units_and_widen_the_interval():
    values = np.repeat(np.random.default_rng(1).normal(size=10), 20)
    groups = np.repeat(np.arange(10), 20)
    alone, grouped = statistics.bootstrap(values), statistics.bootstrap(values, groups=groups)
    assert grouped.n == 10 and alone.n == 200
    assert grouped.high - grouped.low > 2.5 * (alone.high - alone.low)
    by_group = statistics.bootstrap(values[::20])
    assert (grouped.low, grouped.high) == pytest.approx((by_group.low, by_group.high))


def test_rows_of_one_group_count_as_little_as_they_tell():
    said = np.repeat([1.0, 1, 1, 1, 0, 1, 1, 0], 25)
    grouped = statistics.bootstrap(said, groups=np.repeat(np.arange(8), 25))
    rows = statistics.proportion(150, 200)
    assert grouped.high - grouped.low > 3 * (rows.high - rows.low) and 0 < grouped.low < grouped.high < 1
    sure = statistics.bootstrap(np.ones(40), groups=np.repeat(np.arange(4), 10))
    assert sure.high == 1 and sure.low < 0.6


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor, lambda g: [str(x) for x in g]])
def test_groups_mean_the_same_in_whatever_they_come(kind):
    rng = np.random.default_rng(0)
    values, labels, names = rng.normal(size=60), rng.random(60) < 0.5, [i // 6 for i in range(60)]
    groups = kind(names)
    assert statistics.bootstrap(values, groups=groups) == statistics.bootstrap(values, groups=names)
    assert statistics.bootstrap(values, np.median, groups).n == 10
    assert statistics.auroc_interval(values, labels, groups) == statistics.auroc_interval(values, labels, names)
    assert statistics.correlation(values, values + labels, groups).n == 10
    assert statistics.bootstrap_runs(values.reshape(2, 30), groups[:30]).n == 5


def test_numbers_mean_the_same_in_whatever_they_come():
    values = [0.5, 0.25, -1.0, 3.0]
    for kind in (np.array, torch.tensor, lambda v: torch.tensor(v, dtype=torch.float16), tuple):
        assert statistics.bootstrap(kind(values)) == statistics.bootstrap(values)
        assert statistics.over_seeds(kind(values)) == statistics.over_seeds(values)
        assert statistics.auroc(kind(values), kind([1, 0, 0, 1])) == statistics.auroc(
            values, [True, False, False, True]
        )


def test_paired_differences_use_the_pairing():
    base = np.random.default_rng(2).normal(size=50) * 10
    interval = statistics.bootstrap_paired(base + 1, base)
    assert interval.low == pytest.approx(1) and interval.high == pytest.approx(1)


def test_one_right_answer_more_is_no_difference():
    first, second = np.ones(20), np.ones(20)
    second[0] = 0
    found = statistics.bootstrap_paired(first, second)
    assert found.estimate == pytest.approx(0.05) and found.low < 0 < found.high
    same = statistics.bootstrap_paired(first, first)
    assert same.low < 0 < same.high < 0.2  # 20 equal answers don't prove that two never differ
    ten = statistics.bootstrap_paired(np.repeat([1.0, 0], 10), np.zeros(20))
    assert ten.excludes(0)


def test_shares_stay_within_their_bounds():
    none = statistics.mean_share([0.0] * 10)
    assert none.low == 0 and 0.2 < none.high < 0.4
    half = statistics.mean_share([0.0, 1.0, 0.5, 0.25, 0.75])
    assert 0 <= half.low < 0.5 < half.high <= 1
    assert statistics.mean_share([0.0, 0.25, 0.0, 0.0], signed=True).low < 0


def test_any_statistic_works_and_a_seed_fixes_it():
    values = np.random.default_rng(3).normal(size=(30, 2))

    def slope(rows):
        return float(np.polyfit(rows[:, 0], rows[:, 1], 1)[0])

    one, again, other = (statistics.bootstrap(values, slope, n_resamples=200, seed=seed) for seed in (0, 0, 1))
    assert one == again != other and one.low < one.estimate < one.high
    assert one.low == pytest.approx(other.low, abs=0.2)
    median = statistics.bootstrap(values[:, 0], np.median)
    assert median.low < median.estimate == np.median(values[:, 0]) < median.high


def test_resamples_without_an_answer_are_left_out_but_not_most_of_them():
    table = np.stack([np.arange(12.0), np.arange(12) % 2], 1)

    def area(rows):
        return statistics.auroc(rows[:, 0], rows[:, 1] > 0.5)

    assert 0 <= statistics.bootstrap(table, area, n_resamples=100).low <= 1
    with pytest.raises(ValueError, match="statistic is undefined on"):
        statistics.bootstrap(np.arange(12.0), lambda rows: float("nan") if len(set(rows)) < 12 else 1.0)


def test_wilson_at_the_edges():
    none = statistics.proportion(0, 20)
    assert none.low == 0 and none.high == pytest.approx(0.161, abs=1e-3)
    assert statistics.proportion(20, 20).low == pytest.approx(0.839, abs=1e-3)


def test_auroc_equals_scikit_learn_with_ties():
    rng = np.random.default_rng(3)
    scores, labels = rng.integers(0, 5, 200), rng.integers(0, 2, 200)
    assert statistics.auroc(scores, labels) == pytest.approx(roc_auc_score(labels, scores))
    assert statistics.auroc_interval(scores, labels).estimate == pytest.approx(roc_auc_score(labels, scores))


def test_a_perfect_order_is_not_a_certain_one():
    scores, labels = np.arange(30.0), np.arange(30) >= 15
    found = statistics.auroc_interval(scores, labels)
    assert (found.estimate, found.high) == (1, 1) and 0.8 < found.low < 0.95
    flipped = statistics.auroc_interval(-scores, labels)
    assert (flipped.low, flipped.high) == pytest.approx((0, 1 - found.low))
    grouped = statistics.auroc_interval(scores, labels, np.arange(30) // 5)
    assert grouped.low < found.low and grouped.n == 6


def test_two_orders_of_the_same_rows_are_compared_as_pairs():
    rng = np.random.default_rng(0)
    labels = np.arange(80) % 2 == 0
    good = rng.normal(size=80) + 1.5 * labels
    worse = good + 0.8 * rng.normal(size=80)
    found = statistics.auroc_difference(good, worse, labels)
    apart = [statistics.auroc_interval(s, labels) for s in (good, worse)]
    assert found.estimate == pytest.approx(apart[0].estimate - apart[1].estimate)
    assert found.high - found.low < 0.8 * sum(a.high - a.low for a in apart)
    assert statistics.auroc_difference(good, good, labels).low == pytest.approx(0, abs=0.05)


def test_correlation_is_pearsons():
    x, y = np.random.default_rng(4).normal(size=(2, 60))
    found = statistics.correlation(x, y)
    assert found.estimate == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert found.high - found.low == pytest.approx(2 * 1.96 / np.sqrt(57), rel=0.25)
    one = np.eye(1, 10)[0]
    assert statistics.correlation(one, one).low == -1  # one row makes it: nothing is known without it


def test_interval_prints_and_compares():
    interval = statistics.Interval(0.8, 0.72, 0.9, 14)
    assert str(interval) == "0.80 [0.72, 0.90], n = 14" and f"{interval:.1f}" == "0.8 [0.7, 0.9], n = 14"
    assert interval.excludes(0.5) and not interval.excludes(0.8)


NAN = float("nan")
TABLE = [[1.0, 2.0], [1.0, 3.0]]


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: statistics.bootstrap([1.0]), ValueError, "values must hold at least two independent rows"),
        (lambda: statistics.bootstrap([]), ValueError, "values must"),
        (lambda: statistics.bootstrap([1.0, NAN]), ValueError, "values must be finite"),
        (lambda: statistics.bootstrap(["a", "b"]), TypeError, "values must be numbers"),
        (lambda: statistics.bootstrap([1.0, 2.0], groups=[1]), ValueError, "groups must name a group for each"),
        (lambda: statistics.bootstrap([1.0, 2.0], groups="ab"), TypeError, "groups must be a list"),
        (lambda: statistics.bootstrap([1.0, 2.0], groups=[1, 1]), ValueError, "two independent groups"),
        (lambda: statistics.bootstrap([1.0, 2.0], confidence=95), ValueError, "confidence must be below 1"),
        (lambda: statistics.bootstrap([1.0, 2.0], confidence=-1), ValueError, "confidence must be above 0"),
        (lambda: statistics.bootstrap([1.0, 2.0], n_resamples=0), ValueError, "n_resamples must be at least 40"),
        (lambda: statistics.bootstrap([1.0, 2.0], n_resamples=10**7), ValueError, "n_resamples must be at most"),
        (lambda: statistics.bootstrap([1.0, 2.0], len, seed=-1), ValueError, "seed must be at least 0"),
        (lambda: statistics.bootstrap([1.0, 2.0], "mean"), TypeError, "statistic must be a function"),
        (lambda: statistics.bootstrap([1.0, 2.0], lambda rows: rows), TypeError, "statistic must return one number"),
        (lambda: statistics.bootstrap([1.0, 2.0], lambda rows: NAN), ValueError, "statistic must be a finite number"),
        (lambda: statistics.bootstrap_paired([1.0, 2.0], [1.0]), ValueError, r"second has shape \(1,\)"),
        (lambda: statistics.mean_share([0.5, 1.5]), ValueError, "shares must lie between 0 and 1, got 0.5 to 1.5"),
        (lambda: statistics.proportion(3, 2), ValueError, "successes must be at most n"),
        (lambda: statistics.proportion(0.45, 20), TypeError, "successes must be a whole number, got 0.45"),
        (lambda: statistics.proportion(0, 0), ValueError, "n must be at least 1"),
        (lambda: statistics.auroc([1.0, 2.0], [True, True]), ValueError, "labels must hold both classes"),
        (lambda: statistics.auroc([1.0, 2.0], [True]), ValueError, r"labels has shape \(1,\)"),
        (
            lambda: statistics.auroc([1.0, 2.0, 3.0, 4.0], [0, 2, 0, 5]),
            ValueError,
            r"labels\[1\] must be True or False",
        ),
        (lambda: statistics.auroc([1.0, NAN], [0, 1]), ValueError, "scores must be finite"),
        (lambda: statistics.correlation([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]), ValueError, "must vary"),
        (lambda: statistics.correlation([1.0, 2.0], [1.0, 2.0]), ValueError, "at least three independent units"),
        (lambda: statistics.coarse(1.0, 0.0), ValueError, "step must be above 0"),
        (lambda: statistics.coarse(NAN, 0.1), ValueError, "value must be a finite number"),
        (lambda: statistics.over_seeds([1.0]), ValueError, "values must hold at least two runs"),
        (lambda: statistics.over_seeds([1.0, NAN]), ValueError, "values must be finite"),
        (lambda: statistics.over_seeds(TABLE), ValueError, r"values has shape \(2, 2\), expected \(n,\)"),
        (lambda: statistics.bootstrap_runs([1.0, 2.0]), ValueError, r"expected \(n_runs, n_items\)"),
        (lambda: statistics.bootstrap_runs([[1.0, 2.0]]), ValueError, "at least two runs"),
        (lambda: statistics.bootstrap_runs([[1.0], [2.0]]), ValueError, "two independent rows"),
        (lambda: statistics.bootstrap_runs(TABLE, ["a"]), ValueError, "a group for each of the 2 rows"),
        (lambda: statistics.bootstrap_runs([[1.0, NAN], [1.0, 3.0]]), ValueError, "values holds 1 NaN"),
        (lambda: statistics.Interval(0, 0, 0, 2).excludes("1"), TypeError, "value must be a number"),
    ],
)
def test_bad_input_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()


# ------------------------------------------------------------------------------------------------------------ runs


def test_an_interval_over_seeds_is_students():
    interval = statistics.over_seeds([1.0, 2.0, 3.0])
    assert (interval.estimate, interval.n) == (2.0, 3)
    assert interval.high - 2.0 == pytest.approx(4.303 / np.sqrt(3), abs=1e-3)  # from a printed table of t
    assert 2.0 - interval.low == pytest.approx(interval.high - 2.0)
    five = statistics.over_seeds([0.1, 0.2, 0.3, 0.4, 0.5])
    assert five.high - five.estimate == pytest.approx(
        2.776 * np.std([0.1, 0.2, 0.3, 0.4, 0.5], ddof=1) / np.sqrt(5), rel=1e-3
    )


def test_runs_and_items_both_count():
    runs, items = np.array([-1.0, 0.0, 1.0]), np.linspace(-2, 2, 40)
    only_runs, only_items = np.tile(runs[:, None], (1, 40)), np.tile(items, (3, 1))
    seeds = statistics.over_seeds(runs)
    wide = statistics.bootstrap_runs(only_runs)
    assert (wide.low, wide.high) == pytest.approx((seeds.low, seeds.high)) and wide.n == 40
    crossed, by_item = statistics.bootstrap_runs(only_items), statistics.bootstrap(items)
    assert crossed.high - crossed.low == pytest.approx(by_item.high - by_item.low, rel=0.02)
    both = statistics.bootstrap_runs(only_runs + only_items)
    assert both.high - both.low > crossed.high - crossed.low and both.estimate == pytest.approx(0.0, abs=1e-12)
    same = statistics.bootstrap_runs(np.ones((3, 4)))
    assert (same.low, same.high) == (1, 1)


def test_items_of_a_group_belong_together():
    values = np.repeat(np.linspace(-2, 2, 10), 4)[None].repeat(2, 0)
    alone = statistics.bootstrap_runs(values)
    together = statistics.bootstrap_runs(values, groups=[i // 4 for i in range(40)])
    assert (alone.n, together.n) == (40, 10)
    assert together.high - together.low > 1.5 * (alone.high - alone.low)
