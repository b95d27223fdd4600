"""The probing library on data whose answer is known, and its errors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.preprocessing import StandardScaler

from utils import probing


def clouds(n=120, d=16, layers=None, gap=2.0, offset=20.0, seed=0, dtype=torch.float32):
    """Two clouds that part along the first axis, far from the origin, two rows a group."""
    generator = torch.Generator().manual_seed(seed)
    shape = (n, d) if layers is None else (layers, n, d)
    acts = torch.randn(shape, generator=generator, dtype=torch.float64) + offset
    labels = torch.arange(n) % 2 == 0
    acts[..., labels, 0] += gap
    return acts.to(dtype), labels, [f"g{i // 2}" for i in range(n)]


METHODS = ["means", "lda", "logistic"]


# ----------------------------------------------------------------------------------------------------------- probes


@pytest.mark.parametrize("method", METHODS)
def test_finds_the_axis_that_separates(method):
    acts, labels, _ = clouds(400)
    probe = probing.fit(acts, labels, method)
    assert probe.direction()[0] > 0.8
    assert torch.isclose(probe.direction().norm(), torch.tensor(1.0))
    new, truth, _ = clouds(400, seed=1)
    assert probing.accuracy(probe.scores(new), truth) > 0.78
    assert torch.equal(probe.predict(new), probe.scores(new) > 0)


@pytest.mark.parametrize("method", METHODS)
def test_a_stack_is_fitted_as_its_layers_are(method):
    acts, labels, _ = clouds(layers=5)
    options = {"tolerance": 1e-6} if method == "logistic" else {}
    stack = probing.fit(acts, labels, method, **options)
    for i in range(5):
        alone = probing.fit(acts[i], labels, method, **options)
        assert torch.allclose(stack.scores(acts)[i], alone.scores(acts[i]), atol=1e-3)
        assert torch.allclose(stack.layer(i).scores(acts[i]), stack.scores(acts)[i], atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtypes(method, dtype):
    acts, labels, _ = clouds(dtype=dtype)
    probe = probing.fit(acts, labels, method)
    assert probe.weight.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert probing.auroc(probe.scores(acts), labels) > 0.8


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("method", METHODS)
def test_on_a_gpu(method):
    acts, labels, groups = clouds()
    on_cpu = probing.cross_validate(acts, labels, groups, method)
    on_gpu = probing.cross_validate(acts.cuda(), labels, groups, method)
    assert torch.allclose(on_cpu, on_gpu.cpu(), atol=0.05)


@pytest.mark.parametrize("l2", [0.3, 10.0, 300.0])
@pytest.mark.parametrize("shape", [(200, 20), (60, 90)])
def test_logistic_equals_scikit_learn(l2, shape):
    acts, labels, _ = clouds(*shape, gap=1.0, dtype=torch.float64)
    acts = acts * torch.logspace(-2, 3, shape[1], dtype=torch.float64)  # features of very different size
    mine = probing.fit_logistic(acts, labels, l2=l2, tolerance=1e-7)
    scaler = StandardScaler().fit(acts.numpy())
    peer = LogisticRegression(C=1 / l2, tol=1e-10, max_iter=10000).fit(scaler.transform(acts.numpy()), labels.numpy())
    theirs = torch.from_numpy(peer.decision_function(scaler.transform(acts.numpy())))
    assert torch.allclose(mine.scores(acts), theirs, atol=1e-4)
    assert torch.allclose(mine.probabilities(acts), torch.sigmoid(theirs), atol=1e-4)


def exact_logistic(acts, labels, l2):
    """Weights (for the activations as they are) and bias of scikit-learn's solver, run until nothing moves."""
    x = acts.double().numpy()
    scaler = StandardScaler().fit(x)
    peer = LogisticRegression(C=1 / l2, tol=1e-12, max_iter=1000, solver="newton-cholesky")
    peer.fit(scaler.transform(x), np.asarray(labels))
    weight = peer.coef_[0] / scaler.scale_
    return torch.from_numpy(weight), float(peer.intercept_[0] - weight @ scaler.mean_)


@pytest.mark.parametrize("l2", [0.001, 0.1, 1.0, 100.0])
@pytest.mark.parametrize("shape", [(200, 20), (60, 90), (40, 300)])
def test_the_default_tolerance_gives_coefficients_to_a_thousandth(shape, l2):
    # It once stopped 2 to 46 % away: a small gradient says little where the penalty is weak and n < d.
    acts, labels, _ = clouds(*shape, gap=1.0, offset=3.0)
    acts = acts * torch.logspace(-1, 1, shape[1])
    weight, bias = exact_logistic(acts, labels, l2)
    mine = probing.fit_logistic(acts, labels, l2=l2, centre=False)
    width = acts.std(0).double()
    error = ((mine.weight - weight) * width).norm() / (weight * width).norm()
    assert float(error) < 1e-3
    theirs = acts.double() @ weight + bias
    assert float((mine.scores(acts) - theirs).abs().max() / theirs.abs().max()) < 3e-3


def test_a_stack_in_which_some_layers_are_hard_is_fitted_as_its_layers_are():
    easy, labels, _ = clouds(60, 90, gap=1.0)
    hard, _, _ = clouds(60, 90, gap=6.0)
    stack = probing.fit_logistic(torch.stack([easy, hard]), labels, l2=0.001)
    for i, acts in enumerate((easy, hard)):
        weight, _ = exact_logistic(acts, labels, 0.001)
        assert float((stack.weight[i] - weight).norm() / weight.norm()) < 1e-3


def test_a_fit_that_falls_short_says_so():
    acts, labels, _ = clouds(60, 90, gap=1.0)
    with pytest.warns(UserWarning, match="didn't reach a relative tolerance of 1e-40"):
        probing.fit_logistic(acts, labels, tolerance=1e-40)
    probing.fit_logistic(acts, labels, l2=0.01, max_iterations=1)  # Newton's method takes it from there


def test_centring_and_bias_are_explicit():
    acts, labels, _ = clouds()
    plain = probing.fit_mean_difference(acts, labels, centre=False, bias=False)
    assert torch.allclose(plain.scores(acts), acts @ plain.weight)
    assert 0.4 < probing.accuracy(plain.scores(acts), labels) < 0.6  # the artefact of lesson 03
    for centre, bias in ((True, True), (True, False), (False, True)):
        repaired = probing.fit_mean_difference(acts, labels, centre=centre, bias=bias)
        assert probing.accuracy(repaired.scores(acts), labels) > 0.8
        assert torch.isclose(probing.auroc(repaired.scores(acts), labels), probing.auroc(plain.scores(acts), labels))
    a = probing.fit_logistic(acts, labels, centre=True).scores(acts)
    b = probing.fit_logistic(acts, labels, centre=False).scores(acts)
    assert torch.allclose(a, b, atol=0.01)
    assert not probing.fit_logistic(acts, labels, centre=True, bias=False).bias.any()


def test_one_constant_feature_is_no_trouble():
    acts, labels, _ = clouds()
    acts[:, 3] = 7.0
    for method in METHODS:
        assert torch.isfinite(probing.fit(acts, labels, method).scores(acts)).all()


def test_massive_rows_drag_a_mean_difference_and_clipping_repairs_it():
    acts, labels, _ = clouds(offset=0.0)
    acts[1] = 0
    acts[1, 5] = 5000.0
    assert probing.fit_mean_difference(acts, labels).direction()[0].abs() < 0.1
    assert probing.fit_mean_difference(probing.clip_norms(acts), labels).direction()[0] > 0.8


def test_pooling_never_reads_padding():
    acts = torch.randn(80, 6, 12, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(80, 6, dtype=torch.bool)
    mask[::3, 4:] = False
    acts[~mask] = 1e6
    pooled = probing.pool_mean(acts, mask)
    assert torch.allclose(pooled[1], acts[1].mean(0), atol=1e-4)
    assert torch.allclose(pooled[0], acts[0, :4].mean(0), atol=1e-4)


def test_a_wider_mlp_memorises():
    generator = torch.Generator().manual_seed(0)
    acts, coins = torch.randn(60, 8, generator=generator), torch.arange(60) % 2 == 0
    narrow = probing.accuracy(probing.fit_mlp(acts, coins, width=1).scores(acts), coins)
    wide = probing.accuracy(probing.fit_mlp(acts, coins, width=64).scores(acts), coins)
    assert wide > 0.95 > narrow


# ---------------------------------------------------------------------------------------------------------- metrics


def test_auroc_equals_scikit_learn_with_ties_and_layers():
    generator = torch.Generator().manual_seed(0)
    scores, labels = torch.randint(0, 6, (4, 90), generator=generator).float(), torch.arange(90) % 3 == 0
    peer = [roc_auc_score(labels.numpy(), row.numpy()) for row in scores]
    assert np.allclose(probing.auroc(scores, labels), peer)


def test_recall_at_a_fixed_rate():
    scores = torch.tensor([9.0, 8, 7, 6, 5, 4, 3, 2, 1, 0])
    labels = torch.tensor([True, False, True, True, False, True, False, False, False, True])
    found = probing.recall_at_fpr(scores, labels, 0.2)  # one of five false rows may lie above
    assert (found.recall, found.threshold, found.fpr, found.n_false) == (0.6, 5.0, 0.2, 5)
    assert probing.recall_at_fpr(scores, labels, 0.01).recall == pytest.approx(0.2)
    assert probing.recall_at_fpr(torch.zeros(10), labels, 0.2).recall == 0


def test_calibration():
    labels = torch.arange(1000) % 4 == 0
    quarter = probing.calibration(torch.full((1000,), 0.25), labels)
    assert quarter.ece == pytest.approx(0, abs=1e-6) and quarter.brier == pytest.approx(0.1875)
    assert probing.calibration(torch.full((1000,), 0.95), labels).ece == pytest.approx(0.7)
    said = torch.rand(1000, generator=torch.Generator().manual_seed(0))
    assert probing.calibration(said, labels).brier == pytest.approx(brier_score_loss(labels.numpy(), said.numpy()))


def test_intervals_resample_groups():
    acts, labels, groups = clouds(200, gap=1.0)
    scores = probing.cross_validate(acts, labels, groups)
    found = probing.metrics(scores, labels, groups, n_resamples=300)
    assert set(found) == {"accuracy", "auroc", "recall"}
    for value in found.values():
        assert value.low <= value.estimate <= value.high and value.n == 100
    few = probing.interval(probing.accuracy, scores, labels, [f"g{i // 40}" for i in range(200)], n_resamples=300)
    assert few.n == 5
    stack = probing.interval(probing.auroc, torch.stack([scores, -scores]), labels, groups, n_resamples=100)
    assert stack[0].estimate == pytest.approx(1 - stack[1].estimate)


def test_paired_comparison_sees_what_separate_intervals_miss():
    acts, labels, groups = clouds(300, gap=1.0)
    good = probing.cross_validate(acts, labels, groups)
    worse = good.clone()
    worse[:12] = -worse[:12]
    assert probing.compare(good, good, labels, groups, n_resamples=100).estimate == 0
    difference = probing.compare(good, worse, labels, groups, metric=probing.auroc, n_resamples=300)
    assert difference.estimate > 0 and difference.low <= difference.estimate <= difference.high


# ----------------------------------------------------------------------------- what comes in as list, array or tensor


GROUPED = {
    "interval": lambda a, y, g: probing.interval(probing.auroc, a[0, :, 0], y, g, n_resamples=50),
    "metrics": lambda a, y, g: probing.metrics(a[0, :, 0], y, g, fpr=0.1, n_resamples=50),
    "compare": lambda a, y, g: probing.compare(a[0, :, 0], a[1, :, 0], y, g, n_resamples=50),
    "shuffled_labels": lambda a, y, g: probing.shuffled_labels(y, g).tolist(),
    "control_labels": lambda a, y, g: probing.control_labels(g, seed=1).tolist(),
    "selectivity": lambda a, y, g: str(
        probing.selectivity(
            a[0],
            [i % 2 == 0 for i in range(60)],
            [f"{i % 30}" for i in range(60)],
            [i // 30 for i in range(60)],
            [i % 30 // 2 for i in range(60)],
        )
    ),
    "group_folds": lambda a, y, g: [test.tolist() for _, test in probing.group_folds(g, 3)],
    "cross_validate": lambda a, y, g: probing.cross_validate(a, y, g).tolist(),
    "nested": lambda a, y, g: probing.nested(a, y, g, "means", n_folds=3).scores.tolist(),
    "text_baseline": lambda a, y, g: probing.text_baseline([f"a {i % 7}" for i in range(60)], y, g).tolist(),
    "causal_test": lambda a, y, g: probing.CausalTest(a[0, :, 0], a[:, :, 0], 1.0).interval(g),
}


@pytest.mark.parametrize("use", GROUPED.values(), ids=GROUPED)
def test_groups_mean_the_same_as_list_array_and_tensor(use):
    acts, labels, names = clouds(60, 8, layers=2, gap=1.0)
    numbers = [int(name[1:]) for name in names]
    first, *others = (use(acts, labels, form) for form in (numbers, np.array(numbers), torch.tensor(numbers)))
    assert all(other == first for other in others)
    assert use(acts, labels, np.array(names)) == use(acts, labels, names)


def test_an_interval_over_groups_given_as_a_tensor_counts_groups():
    acts, labels, names = clouds(60, 8)
    groups = torch.tensor([int(name[1:]) for name in names])
    assert probing.interval(probing.auroc, acts[:, 0], labels, groups, n_resamples=50).n == 30
    coins = probing.control_labels(groups)
    assert coins.any() and not coins.all()


@pytest.mark.parametrize(
    "labels",
    [["1", "0"] * 20, ["True", "false"] * 20, [1.0, 0.0] * 20, np.array([1, 0] * 20), np.array([True, False] * 20)],
)
def test_labels_are_read_by_what_they_say(labels):
    acts, truth, _ = clouds(40, 6)
    assert torch.equal(probing.fit(acts, labels).weight, probing.fit(acts, truth).weight)
    assert torch.equal(probing.fit(acts.numpy(), labels).weight, probing.fit(acts.tolist(), truth).weight)


@pytest.mark.parametrize("use", [probing.metrics, lambda s, y: probing.interval(probing.accuracy, s, y)])
def test_one_class_is_refused_and_not_drawn_for_ever(use):
    with pytest.raises(ValueError, match="20 True and 0 False"):
        use(torch.randn(20), [True] * 20)


def test_nan_is_no_significance():
    def score(hook, bad=False):
        start = torch.ones(20, 3, 4)
        found = (start if hook is None else hook(start)).sum((1, 2))
        return found.index_fill(0, torch.tensor([7]), torch.nan) if bad else found

    with pytest.raises(ValueError, match="strength must be a finite number, got nan"):
        probing.causal_test(score, torch.ones(4), strength=float("nan"))
    with pytest.raises(ValueError, match="score must return finite numbers; with no push it gave nan for item 7"):
        probing.causal_test(lambda hook: score(hook, bad=True), torch.ones(4))
    with pytest.raises(ValueError, match="with a push it gave nan for item 7"):
        probing.causal_test(lambda hook: score(hook, bad=hook is not None), torch.ones(4))
    with pytest.raises(ValueError, match="one number an item"):
        probing.causal_test(lambda hook: score(hook).mean(), torch.ones(4))


def test_activations_on_a_gpu_give_what_they_give_here():
    from tests.doors.pretend_gpu import on_gpu, pretend_gpu

    acts, labels, groups = clouds(60, 8, layers=2, gap=1.0)
    uses = [lambda a, m=m: probing.cross_validate(a, labels, groups, m) for m in METHODS]
    uses += [
        lambda a: probing.fit_mlp(a[0], labels, steps=5).scores(a[0]),
        lambda a: probing.clip_norms(a),
        lambda a: probing.intervention(torch.ones(8), mask=torch.ones(2, 60, dtype=torch.bool))(a),
        lambda a: probing.intervention(torch.ones(8), "project_out")(a),
    ]
    expected = [use(acts) for use in uses]
    intervals = probing.metrics(acts[0, :, 0], labels, groups, n_resamples=50)
    hard = probing.fit_logistic(acts, labels, l2=1e-3, max_iterations=2).weight  # Newton's method too
    with pretend_gpu():
        there = acts.to("cuda")
        for use, here in zip(uses, expected):
            found = use(there)
            assert on_gpu(found) and torch.allclose(found.cpu(), here, atol=1e-4)
        assert torch.allclose(
            probing.fit_logistic(there, labels, l2=1e-3, max_iterations=2).weight.cpu(), hard, atol=1e-4
        )
        assert probing.metrics(there[0, :, 0], labels, groups, n_resamples=50) == intervals
        found = probing.causal_test(lambda hook: (there if hook is None else hook(there)).sum((0, 2)), torch.ones(8))
        assert not on_gpu(found.effect) and found.share_as_large < 0.1


# ----------------------------------------------------------------------------------------------- splits and controls


def test_folds_keep_groups_together_and_test_each_row_once():
    groups = [f"g{i % 13}" for i in range(60)]
    tested = []
    for train, test in probing.group_folds(groups, 4, seed=2):
        assert not {groups[i] for i in train} & {groups[i] for i in test}
        tested += test.tolist()
    assert sorted(tested) == list(range(60))


def test_cross_validation_finds_signal_and_no_signal():
    acts, labels, groups = clouds(layers=3, n=200)
    acts[0, :, 0] = torch.randn(200, generator=torch.Generator().manual_seed(1))  # the first layer holds nothing
    found = probing.auroc(probing.cross_validate(acts, labels, groups, "logistic"), labels)
    assert found[0] < 0.65 < 0.85 < found[1:].min()
    shuffled = probing.shuffled_labels(labels, groups, seed=1)
    assert (probing.auroc(probing.cross_validate(acts, shuffled, groups), shuffled) - 0.5).abs().max() < 0.2


def test_cross_validation_takes_your_own_probe():
    acts, labels, groups = clouds()
    mine = probing.cross_validate(acts, labels, groups, lambda a, y: probing.fit_mean_difference(a, y))
    assert torch.equal(mine, probing.cross_validate(acts, labels, groups, "means"))


def test_nested_choice_picks_the_layer_that_holds_it():
    acts, labels, groups = clouds(layers=4, gap=0.0)
    acts[2, labels, 0] += 3.0
    found = probing.nested(acts, labels, groups, penalties=(1.0, 100.0), n_folds=3)
    assert found.layers == [2, 2, 2] and set(found.penalties) <= {1.0, 100.0}
    assert probing.auroc(found.scores, labels) > 0.9
    assert probing.nested(acts, labels, groups, "means", n_folds=3).penalties == []


def test_nested_choice_is_not_fooled_by_many_empty_layers():
    acts, labels, groups = clouds(layers=12, n=80, gap=0.0)
    curve = probing.auroc(probing.cross_validate(acts, labels, groups), labels)
    honest = probing.auroc(probing.nested(acts, labels, groups, "means").scores, labels)
    assert honest < curve.max() and abs(honest - 0.5) < 0.2


def test_control_labels_are_a_coin_a_group():
    groups = [f"g{i % 50}" for i in range(150)]
    labels = probing.control_labels(groups, seed=1)
    assert torch.equal(labels[:50], labels[50:100]) and labels[:50].sum() == 25
    assert not torch.equal(labels, probing.control_labels(groups, seed=2))


def _repeats(n=60, width=80, truth=0.0):
    """n entities, each recognisable, twice in two wordings, half of them true."""
    generator = torch.Generator().manual_seed(0)
    identity = torch.randn(n, width, generator=generator) * 3
    acts = torch.cat([identity, identity]) + torch.randn(2 * n, width, generator=generator)
    labels = (torch.arange(2 * n) % n) % 2 == 0
    acts[labels, 0] += truth
    partners = [i % n // 2 for i in range(2 * n)]
    return acts, labels, [f"g{i % n}" for i in range(2 * n)], ["one"] * n + ["other"] * n, partners


def test_selectivity_of_a_memoriser_is_0_and_of_a_reader_of_the_task_is_above():
    _, labels, names, wording, partners = _repeats()
    by_heart = torch.eye(60)[torch.arange(120) % 60]
    found = probing.selectivity(by_heart, labels, names, wording, partners, "logistic", l2=1.0, n_resamples=50)
    assert found.task.estimate == found.control.estimate == 1.0 and found.gap.high == 0.0
    acts, labels, names, wording, partners = _repeats(truth=30.0)
    found = probing.selectivity(acts, labels, names, wording, partners, n_resamples=100)
    assert found.task.estimate > 0.95 and found.gap.low > 0
    assert found.gap.estimate == pytest.approx(found.task.estimate - found.control.estimate)
    assert found.gap.n == 30


def test_what_partners_share_is_worth_nothing_in_the_task_and_nothing_in_the_control():
    _, labels, names, wording, partners = _repeats()
    shared = torch.eye(30)[partners]  # as the country that both partners' sentences name
    found = probing.selectivity(shared, labels, names, wording, partners, "logistic", l2=1.0, n_resamples=50)
    assert found.task.estimate == pytest.approx(0.5) and found.control.estimate == pytest.approx(0.5)


def test_selectivities_are_compared_in_the_same_resamples():
    acts, labels, names, wording, partners = _repeats(truth=3.0)
    same = (labels, names, wording, partners)
    one = probing.selectivity(acts, *same, n_resamples=100)
    assert (one.minus(one).low, one.minus(one).high) == (0.0, 0.0)
    other = probing.selectivity(acts, *same, "lda", n_resamples=100)
    gained = one.minus(other)
    assert gained.estimate == pytest.approx(one.gap.estimate - other.gap.estimate)
    widths = [found.gap.high - found.gap.low for found in (one, other)]
    assert gained.low <= gained.estimate <= gained.high and gained.high - gained.low < sum(widths)
    with pytest.raises(ValueError, match="weren't resampled alike"):
        one.minus(probing.selectivity(acts, *same, n_resamples=50))


def test_selectivity_refuses_entities_that_are_true_once_and_false_once():
    acts, labels, names, wording, partners = _repeats()
    with pytest.raises(ValueError, match="entities must have one row in each repeat and one label"):
        probing.selectivity(acts, torch.arange(120) < 60, names, wording, partners)
    with pytest.raises(ValueError, match="repeats must name two kinds of row, got 1"):
        probing.selectivity(acts, labels, names, ["one"] * 120, partners)
    with pytest.raises(ValueError, match="one true and one false entity each"):
        probing.selectivity(acts, labels, names, wording, [i % 60 % 30 for i in range(120)])
    with pytest.raises(ValueError, match="is in two pairs"):
        probing.selectivity(acts, labels, names, wording, list(range(120)))


def test_transfer_tells_complete_transfer_inversion_and_none():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(200) % 2 == 0
    acts = torch.randn(200, 12, generator=generator)
    acts[labels, 0] += 2.0
    groups = [i // 4 for i in range(200)]
    for factor, low, high in ((1, 0.8, 1.2), (-1, -1.2, -0.8), (0, -0.4, 0.4)):
        there = torch.randn(200, 12, generator=generator)
        there[labels, 0] += 2.0 * factor
        there[labels, 1] += 2.0 * (factor == 0)
        found = probing.transfer(acts, labels, groups, there, labels, groups, n_resamples=50)
        assert low < found.share.estimate < high and found.own.estimate > 0.8
        assert found.auroc.low < found.auroc.estimate < found.auroc.high and found.auroc.n == 50


def test_covariance_directions_lie_where_the_activations_vary():
    acts = torch.randn(300, 6, generator=torch.Generator().manual_seed(0)) * torch.tensor([20.0, 1, 1, 1, 1, 1]) + 5
    drawn = probing.covariance_directions(acts, 50, seed=1)
    assert torch.allclose(drawn.norm(dim=-1), torch.ones(50), atol=1e-5)
    assert float(drawn[:, 0].abs().median()) > 0.9
    assert torch.equal(drawn, probing.covariance_directions(acts, 50, seed=1))
    with pytest.raises(ValueError, match="acts must hold rows that differ"):
        probing.covariance_directions(torch.ones(5, 3))


def test_shuffled_labels_keep_their_number():
    labels = torch.arange(40) % 4 == 0
    assert probing.shuffled_labels(labels).sum() == labels.sum()
    groups = [i // 4 for i in range(40)]
    traded = probing.shuffled_labels(labels, groups, seed=3)
    assert traded.sum() == labels.sum() and not torch.equal(traded, labels)
    assert (traded.view(10, 4).sum(1) == 1).all()


@pytest.mark.parametrize("kind", ["words", "characters"])
def test_text_baseline(kind):
    words = ["good fine", "bad poor"]
    texts = [f"item {i // 2} was {words[i % 2]}" for i in range(80)]
    labels, groups = torch.arange(80) % 2 == 0, [i // 2 for i in range(80)]
    assert probing.auroc(probing.text_baseline(texts, labels, groups, kind=kind), labels) > 0.95
    nothing = [f"item {i // 2}" for i in range(80)]
    assert probing.auroc(probing.text_baseline(nothing, labels, groups, kind=kind), labels) == 0.5


def test_random_directions_have_the_same_length():
    like = torch.tensor([3.0, 4.0, 0.0])
    drawn = probing.random_directions(like, 30, seed=1)
    assert torch.allclose(drawn.norm(dim=-1), torch.full((30,), 5.0))
    assert torch.equal(drawn, probing.random_directions(like, 30, seed=1))


# ------------------------------------------------------------------------------------------------------ causal test


def test_interventions():
    value, direction = torch.randn(2, 3, 4), torch.tensor([0.0, 2.0, 0.0, 0.0])
    mask = torch.tensor([[True, False, False], [True, True, False]])
    up = probing.intervention(direction, "add", strength=0.5, mask=mask)(value)
    assert torch.allclose(up[mask], value[mask] + torch.tensor([0.0, 1.0, 0.0, 0.0]))
    assert torch.equal(up[~mask], value[~mask])
    down = probing.intervention(direction, "subtract")(value)
    assert torch.allclose(down, value - direction)
    flat = probing.intervention(direction, "project_out")(value)
    assert flat[..., 1].abs().max() < 1e-6 and torch.allclose(flat[..., 0], value[..., 0])


def test_a_causal_test_moves_no_massive_token():
    value = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0))
    value[:, 0] *= 1000
    for mode in ("add", "subtract", "project_out"):
        for typical in (None, 2.0):
            moved = probing.intervention(torch.ones(4), mode, typical=typical)(value)
            assert torch.equal(moved[:, 0], value[:, 0]) and not torch.equal(moved[:, 1:], value[:, 1:])


def test_causal_test_finds_the_direction_that_matters_and_no_other():
    start, read = torch.randn(10, 5, 32), torch.zeros(32)
    read[0] = 1.0

    def score(hook):
        return ((start if hook is None else hook(start)) @ read).mean(-1)

    matters = probing.causal_test(score, read * 3)
    assert matters.effect.mean() == pytest.approx(3, abs=1e-4) and matters.share_as_large == pytest.approx(1 / 21)
    idle = torch.zeros(32)
    idle[1] = 3.0
    assert probing.causal_test(score, idle).share_as_large == 1.0
    assert matters.random.shape == (20, 10)
    assert matters.interval().n == 10


def test_completion_gap_equals_a_plain_reading_of_the_logits(tiny_model):
    prompts = ["the cat sat on", "a"]
    first, second = [" the mat today", " dog"], [" a", " house and garden"]
    choice = probing.choices(tiny_model, prompts, first, second)
    found = probing.completion_gap(tiny_model, choice)
    for i, prompt in enumerate(prompts):
        total = []
        for end in (first[i], second[i]):
            head, ids = tiny_model.to_tokens(prompt)[0], tiny_model.to_tokens(prompt + end)
            logp = tiny_model(ids)[0].log_softmax(-1)
            total.append(sum(logp[p - 1, ids[0, p]] for p in range(len(head), ids.shape[1])))
        assert found[i] == pytest.approx(float(total[0] - total[1]), abs=1e-3)


def test_one_string_is_no_list_of_prompts(tiny_model):
    with pytest.raises(TypeError, match="prompts must be a list of texts, got the string 'The sky is'"):
        probing.choices(tiny_model, "The sky is", " blue", " red")
    with pytest.raises(ValueError, match="first has 1 entries, expected 2"):
        probing.choices(tiny_model, ["a", "b"], [" c"], " d")
    with pytest.raises(ValueError, match="nothing is added"):
        probing.choices(tiny_model, ["a", "b"], "", " d")


def test_a_model_without_a_start_token_keeps_its_first_word(startless_model):
    choice = probing.choices(startless_model, ["the cat sat"], " on", " mat")
    ids = startless_model.tokenizer("the cat sat", add_special_tokens=False)["input_ids"]
    assert choice.tokens[0, : len(ids)].tolist() == ids and bool(choice.prompt_mask[0, : len(ids)].all())
    assert torch.isfinite(probing.completion_gap(startless_model, choice)).all()


@pytest.mark.parametrize("ends", [(" dog", " cat"), (" the old dog", " cat")])
def test_gap_scorer_equals_completion_gap(tiny_model, ends):
    choice = probing.choices(tiny_model, ["the cat sat on", "a house"], *ends)
    direction = torch.randn(tiny_model.cfg.d_model, generator=torch.Generator().manual_seed(0))
    score = probing.gap_scorer(tiny_model, choice, 0)
    for hook in (
        None,
        probing.intervention(direction, mask=choice.last_prompt),
        probing.intervention(direction, "project_out"),
    ):
        slow = probing.completion_gap(tiny_model, choice, hook, "blocks.0.hook_resid_post")
        assert torch.allclose(score(hook), slow, atol=1e-4)
        assert torch.allclose(score(hook), slow, atol=1e-4)  # nothing is remembered from call to call


@pytest.mark.parametrize("ends", [(" dog", " cat"), (" the old dog", " cat")])
def test_many_edits_at_once_equal_one_after_the_other(tiny_model, ends):
    choice = probing.choices(tiny_model, ["the cat sat on", "a house"], *ends)
    score = probing.gap_scorer(tiny_model, choice, 0)
    directions = torch.randn(23, tiny_model.cfg.d_model, generator=torch.Generator().manual_seed(0))
    for where in (choice.last_prompt, choice.prompt_mask, None):
        edits = [probing.intervention(one, mask=where) for one in directions]
        expected = torch.stack([score(edit) for edit in edits])
        found = probing.gaps_of_edits(tiny_model, choice, 0, edits, where=where)
        assert torch.allclose(found, expected, atol=1e-4)
    with pytest.raises(ValueError, match="outside `where`"):
        probing.gaps_of_edits(tiny_model, choice, 0, edits, where=choice.last_prompt)
    with pytest.raises(ValueError, match="at least one hook function"):
        probing.gaps_of_edits(tiny_model, choice, 0, [])


# ------------------------------------------------------------------------------------------------------- bad input

A, Y, G = clouds()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "acts, labels, message",
    [
        (A, torch.ones(120, dtype=torch.bool), "120 True and 0 False"),
        (A, Y[:50], "labels has shape .50,., expected .n,. with n = 120, as in acts"),
        (A * torch.tensor(float("nan")), Y, "acts holds 1920 NaN or infinite"),
        (torch.ones(120, 4), Y, "acts is constant"),
        (torch.stack([A, torch.ones_like(A)]), Y, r"layer\(s\) \[1\] of the stack"),
        (A[0], Y, "expected .*n, d_model."),
        (A, torch.arange(120), r"labels\[2\] must be True or False .or 1 or 0., got 2"),
        (A, Y.view(60, 2), "labels has shape .60, 2., expected .n,."),
        (A, ["PAST", "PRES"] * 60, r"labels\[0\] must be true or false .or 1 or 0., got 'PAST'"),
        (A, [True, "maybe"] * 60, r"labels\[1\] must be true or false"),
    ],
)
def test_bad_activations_and_labels(method, acts, labels, message):
    with pytest.raises(ValueError, match=message):
        probing.fit(acts, labels, method)


def test_lists_arrays_and_whole_numbers_are_welcome():
    assert probing.fit(A.numpy(), Y.numpy()).weight.shape == (16,)
    assert probing.fit([[1, 0], [0, 1], [2, 0], [0, 2]], [1, 0, 1, 0]).direction()[0] > 0
    with pytest.raises(TypeError, match="acts must be numbers"):
        probing.fit(["a", "b"], [1, 0])


@pytest.mark.parametrize(
    "wrong, message",
    [
        (lambda: probing.fit(A, Y, "svm"), "method must be one of"),
        (lambda: probing.fit_logistic(A, Y, l2=0), "l2 must be above 0"),
        (lambda: probing.fit_logistic(A, Y, scale="max"), "scale must be one of"),
        (lambda: probing.fit_lda(A, Y, shrinkage=0), "shrinkage must be above 0"),
        (lambda: probing.nested(torch.stack([A]), Y, G, penalties=[]), "penalties is empty"),
        (
            lambda: probing.fit_mlp(A, Y, learning_rate=1e30, steps=20),
            "learning_rate 1e.30 or .* diverged",
        ),
        (lambda: probing.fit_mlp(A, Y, width=0), "width must be at least 1"),
        (lambda: probing.fit_mlp(torch.stack([A, A]), Y), r"expected \(n, d_model\)"),
        (lambda: probing.fit(A, Y).scores(A[:, :3]), "expects"),
        (lambda: probing.fit(A, Y).layer(0), "isn't a stack"),
        (lambda: probing.fit(A, Y).probabilities(A), "has no probabilities"),
        (lambda: list(probing.group_folds(["a", "b"], 3)), "2 distinct group"),
        (lambda: list(probing.group_folds(G, 1)), "n_folds must be at least 2"),
        (lambda: probing.cross_validate(A, Y, G[:7]), "groups has 7 entries, expected 120"),
        (lambda: probing.cross_validate(A, Y, [bool(y) for y in Y], n_folds=2), "both classes are needed"),
        (lambda: probing.nested(A, Y, G), r"expected \(layer, n, d_model\)"),
        (lambda: probing.auroc(A[:, 0], Y[:9]), "labels has shape .9,., expected"),
        (lambda: probing.auroc(A[:, 0] * float("nan"), Y), "scores holds 120 NaN"),
        (lambda: probing.recall_at_fpr(A[:, 0], Y, 1.0), "fpr must be below 1"),
        (lambda: probing.calibration(A[:, 0], Y), "numbers from 0 to 1"),
        (lambda: probing.interval(probing.auroc, A[:, 0], Y, ["a"] * 120), "at least two independent groups"),
        (lambda: probing.control_labels(["a", "a"]), "at least 2"),
        (
            lambda: probing.selectivity(A, Y, range(120), [0, 1] * 60, [0] * 120),
            "entities must have one row in each repeat",
        ),
        (lambda: probing.shuffled_labels(Y, ["a"] * 50 + ["b"] * 70), "differ in size"),
        (lambda: probing.text_baseline(["x"], Y, G), "texts has 1 entries, expected 120"),
        (lambda: probing.text_baseline(["x"] * 120, Y, G, kind="bytes"), "kind must be one of"),
        (lambda: probing.random_directions(A), r"like has shape \(120, 16\), expected \(d_model,\)"),
        (lambda: probing.clip_norms(A, 0), "factor must be above 0"),
        (lambda: probing.pool_mean(A.view(12, 10, 16), torch.ones(3, 3)), "mask has shape"),
        (lambda: probing.pool_mean(A.view(12, 10, 16), torch.zeros(12, 10)), "without any token"),
        (lambda: probing.intervention(torch.zeros(4)), "aren't all zero"),
        (lambda: probing.intervention(torch.ones(4), "erase"), "mode must be one of"),
        (lambda: probing.causal_test(lambda h: A[:, 0], A[0], n_random=5), "n_random must be at least 20"),
        (lambda: probing.fit_logistic(A, Y, max_iterations=0), "max_iterations must be at least 1"),
        (lambda: probing.fit(A, Y).predict(A * float("nan")), "acts holds 1920 NaN"),
        (lambda: probing.fit_mlp(A, Y, steps=1).predict(A * float("inf")), "acts holds 1920 NaN or inf"),
        (lambda: probing.interval(probing.auroc, A[:, 0], Y, confidence=-1), "confidence must be above 0, got -1"),
        (lambda: probing.interval(probing.auroc, A[:, 0], Y, n_resamples=0), "n_resamples must be at least 40"),
        (lambda: probing.interval(lambda s, y: float("nan"), A[:, 0], Y), "metric must give a finite number"),
        (lambda: probing.random_directions(A[0] * 0), "like is all zero"),
    ],
)
def test_bad_input_is_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()
