"""Toy models, worlds of known features, and the scores that compare a dictionary with the truth."""

import math

import pytest
import torch

from utils import sae
from utils.organisms.toy import superposition as sup


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# ---------------------------------------------------------------------------------------------------- toy models


def test_features_are_on_as_often_as_asked_and_between_0_and_1():
    x = sup.sparse_features(20_000, 0.2, 3, generator())
    assert x.shape == (20_000, 3) and float(x.min()) == 0 and float(x.max()) < 1
    torch.testing.assert_close((x > 0).float().mean(0), torch.full((3,), 0.2), atol=0.02, rtol=0)
    torch.testing.assert_close(x[x > 0].mean(), torch.tensor(0.5), atol=0.02, rtol=0)


def test_each_model_has_its_own_density():
    x = sup.sparse_features(5000, torch.tensor([0.1, 0.9]), 4, generator())
    assert x.shape == (2, 5000, 4)
    assert float((x[0] > 0).float().mean()) < 0.15 < 0.85 < float((x[1] > 0).float().mean())


@pytest.mark.parametrize("density", [0.0, 1.5, -0.1, [[0.1]]])
def test_a_density_must_be_a_probability(density):
    with pytest.raises(ValueError, match="density"):
        sup.sparse_features(5, torch.tensor(density), 3, generator())


def test_training_keeps_the_important_feature_when_all_are_always_on():
    toys = sup.train_toys(
        torch.ones(2), torch.tensor([[1.0, 0.1], [0.1, 1.0]]), 1, steps=400, batch=64, learning_rate=0.03
    )
    norms = sup.feature_norms(toys.W)
    assert norms[0, 0] > 0.8 > 0.3 > norms[0, 1] and norms[1, 1] > 0.8 > 0.3 > norms[1, 0]
    assert toys.W.shape == (2, 1, 2) and toys.b.shape == (2, 2) and toys.loss.shape == (2,)


def test_models_trained_together_do_not_touch_each_other():
    alone = sup.train_toys(torch.tensor([0.3]), torch.ones(1, 3), 2, steps=1, batch=4, seed=3)
    again = sup.train_toys(torch.tensor([0.3]), torch.ones(1, 3), 2, steps=1, batch=4, seed=3)
    assert torch.equal(alone.W, again.W)
    # A model whose importances are all 0 gets no gradient, whatever its neighbour does.
    both = sup.train_toys(torch.tensor([0.3, 0.3]), torch.tensor([[1.0] * 3, [0.0] * 3]), 2, steps=30, batch=16, seed=3)
    start = sup.train_toys(torch.tensor([0.3, 0.3]), torch.zeros(2, 3), 2, steps=1, batch=16, seed=3)
    assert torch.equal(both.W[1], start.W[1]) and not torch.equal(both.W[0], start.W[0])


def test_training_names_bad_input():
    with pytest.raises(
        ValueError,
        match=r"importance has shape \(2, 5\), expected .* models = 3, as in density",
    ):
        sup.train_toys(torch.ones(3), torch.ones(2, 5), 2)
    with pytest.raises(ValueError, match="importance must be zero or more"):
        sup.train_toys(torch.ones(1), -torch.ones(1, 5), 2)
    with pytest.raises(ValueError, match="n_hidden"):
        sup.train_toys(torch.ones(1), torch.ones(1, 5), 0)


@pytest.mark.parametrize(("p", "r"), [(0.1, 1.0), (0.5, 0.3), (0.9, 4.0)])
def test_the_losses_on_paper_are_those_of_drawn_features(p, r):
    x = sup.sparse_features(400_000, p, 2, generator(1))
    importance = torch.tensor([1.0, r])
    mean = torch.tensor([p / 2, p / 2])
    first = torch.stack([x[:, 0], mean[1].expand(len(x))], 1)
    second = torch.stack([mean[0].expand(len(x)), x[:, 1]], 1)
    line = x @ torch.tensor([1.0, -1.0])
    shared = torch.stack([line.relu(), (-line).relu()], 1)
    drawn = torch.stack([((x - out).square() * importance).sum(-1).mean() for out in (first, second, shared)])
    torch.testing.assert_close(sup.strategy_losses(p, r), drawn, rtol=0.02, atol=1e-4)


def test_paper_losses_meet_where_the_lesson_says():
    losses = sup.strategy_losses(4 / 7, 1.0)
    torch.testing.assert_close(losses[0], losses[2])
    assert sup.strategy_losses(torch.rand(3, 1) * 0.9 + 0.05, torch.ones(4)).shape == (3, 4, 3)
    with pytest.raises(ValueError, match="density"):
        sup.strategy_losses(0.0, 1.0)


# ------------------------------------------------------------------------------------------------------ geometry


def ring(n, length=1.0):
    angle = torch.arange(n) * 2 * math.pi / n
    return length * torch.stack([angle.cos(), angle.sin()])


@pytest.mark.parametrize(("W", "share"), [(ring(5), 2 / 5), (ring(3), 2 / 3), (ring(4), 1 / 2), (torch.eye(2), 1.0)])
def test_dimensionality_of_regular_shapes(W, share):
    torch.testing.assert_close(sup.dimensionality(W), torch.full((W.shape[1],), share))
    torch.testing.assert_close(sup.dimensionality(3 * W), sup.dimensionality(W))


def test_what_is_not_represented_has_no_dimensions_and_no_interference():
    W = torch.tensor([[1.0, 0.0, -1.0], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(sup.dimensionality(W), torch.tensor([0.5, 0.0, 0.5]))
    torch.testing.assert_close(sup.interference(W), torch.tensor([1.0, 0.0, 1.0]))
    torch.testing.assert_close(sup.feature_norms(W), torch.tensor([1.0, 0.0, 1.0]))


def test_geometry_takes_many_models_and_names_what_is_no_matrix():
    W = torch.randn(4, 2, 5, generator=generator())
    for measure in (sup.dimensionality, sup.interference, sup.feature_norms):
        together = measure(W)
        assert together.shape == (4, 5)
        torch.testing.assert_close(together[2], measure(W[2]))
        with pytest.raises(ValueError, match=r"W has shape \(5,\), expected \(\*models, n_hidden, n_features\)"):
            measure(torch.ones(5))
        with pytest.raises(ValueError, match="W holds 1 NaN or infinite value"):
            measure([[1.0, float("nan")]])
        torch.testing.assert_close(measure(W.tolist()), together)
        torch.testing.assert_close(measure(W.numpy()), together)


# -------------------------------------------------------------------------------------------------------- worlds


def test_activations_are_the_sum_of_their_features():
    world = sup.superposed(20, 8, 1.5, seed=4)
    sample = world.sample(3000, generator())
    torch.testing.assert_close(sample.x, sample.features @ world.directions)
    sizes = sample.features[sample.features > 0]
    assert float(sizes.min()) >= 0.5 and float(sizes.max()) <= 1.5
    assert abs(float((sample.features > 0).sum(-1).float().mean()) - 1.5) < 0.1
    assert world.probability[0] > 4 * world.probability[-1]


def test_batches_are_repeated_by_a_seed_and_never_repeat_themselves():
    world = sup.superposed(20, 8, 1.5)
    first, second = (world.batches(16, seed=5) for _ in range(2))
    pairs = [(next(first), next(second)) for _ in range(120)]
    assert all(torch.equal(a, b) and a.shape == (16, 8) for a, b in pairs)
    assert not torch.equal(pairs[0][0], pairs[1][0]) and not torch.equal(pairs[0][0], pairs[50][0])
    assert not torch.equal(next(world.batches(16, seed=6)), pairs[0][0])


def test_a_child_is_never_on_without_its_parent():
    world = sup.hierarchy()
    assert world.d_model == 50 and world.n_features == 4 and world.children(0) == (1,)
    torch.testing.assert_close(world.directions @ world.directions.T, torch.eye(4), atol=1e-5, rtol=0)
    on = world.sample(20_000, generator()).features > 0
    assert not bool((on[:, 1] & ~on[:, 0]).any())
    assert abs(float(on[:, 1].float().mean()) - 0.05) < 0.01


def test_exclusive_children_share_out_their_parent():
    world = sup.hierarchy(10, (0.5, 0.3, 0.3, 0.4), (-1, 0, 0, 0), exclusive=True)
    on = world.sample(20_000, generator()).features > 0
    assert int(on[:, 1:].sum(1).max()) == 1
    assert torch.equal(on[:, 1:].any(1), on[:, 0])  # the probabilities add up to 1: never a parent alone
    share = on[on[:, 0], 1:].float().mean(0)
    torch.testing.assert_close(share, torch.tensor([0.3, 0.3, 0.4]), atol=0.02, rtol=0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"probability": torch.ones(2)}, "probability"),
        ({"probability": torch.tensor([0.1, 0.2, 1.2])}, "must lie in"),
        ({"parent": (-1, 0)}, "parent must name one feature"),
        ({"parent": (1, -1, -1)}, "an earlier feature"),
        ({"low": 0.0}, "low must be above 0"),
        ({"low": 2.0, "high": 1.0}, "low <= high"),
        ({"parent": (-1, 0, 0), "exclusive": True, "probability": torch.tensor([0.5, 0.6, 0.6])}, "add up to"),
    ],
)
def test_impossible_worlds_are_refused(change, words):
    given = {"directions": torch.eye(3), "probability": torch.full((3,), 0.2), **change}
    with pytest.raises(ValueError, match=words):
        sup.World(**given)


def test_sizes_are_checked():
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        sup.superposed().sample(0, generator())
    with pytest.raises(ValueError, match="room for 3"):
        sup.random_directions(4, 3, orthogonal=True)
    with pytest.raises(ValueError, match="d_model"):
        sup.random_directions(4, 0)


@pytest.mark.parametrize("seed", range(3))
def test_an_untrained_dictionary_of_the_same_seed_does_not_start_at_the_truth(seed):
    world = sup.superposed(64, 32, 1.5, seed=seed)
    fresh = sae.ReLUSAE(32, 64, l1=0.1, seed=seed).W_dec.detach()
    assert float(sae.matched_cosines(world.directions, fresh).mean()) < 0.6


# -------------------------------------------------------------------------------------------------------- scores


def test_principal_directions_name_bad_input():
    with pytest.raises(ValueError, match="n must be at most 3"):
        sup.principal_directions(torch.ones(4, 3), 5)


def test_principal_directions_come_with_both_signs():
    x = torch.randn(500, 4, generator=generator()) * torch.tensor([5.0, 1.0, 0.2, 0.1]) + 3
    found = sup.principal_directions(x, 2)
    assert found.shape == (4, 4)
    torch.testing.assert_close(found[:2], -found[2:])
    assert abs(float(found[0, 0])) > 0.99


# ------------------------------------------------------------------------------------- the lesson's Scale up path


def test_scale_up_takes_any_width_and_kind():
    import ast

    from utils import checks
    from utils.authoring import notebooks

    notebook = notebooks.read(notebooks.SOLUTIONS / "05_superposition.ipynb")
    wanted = {"families", "latents_of", "tree_marks", "trained", "absorption_at"}
    body = [
        node
        for cell in notebooks.code_cells(notebook)
        for node in ast.parse(cell.source).body
        if isinstance(node, ast.FunctionDef) and node.name in wanted
    ]
    space = {"torch": torch, "sae": sae, "sup": sup, "absorption_rate": checks.find("5.9").reference}
    exec(compile(ast.Module(body, type_ignores=[]), "lesson 05", "exec"), space)
    space["tree"] = space["families"](0.25)
    space["tree_cases"] = space["tree"].sample(2000, generator())
    for kind in ("ReLU", "BatchTopK", "Matryoshka"):
        absorbed, missed, explained = space["absorption_at"](12, kind, steps=3)
        assert 0 <= absorbed <= 1 and 0 <= missed <= 1 and explained < 1
