"""The small body that lesson 01 grows: it reads nothing ahead, silences what it is told, and learns the repetition."""

from __future__ import annotations

import pytest
import torch

from utils.organisms.toy import copyist


@pytest.fixture(scope="module")
def grown():
    body = copyist.Copyist(seed=0)
    losses = copyist.grow(body, steps=250)
    return body, losses


def test_it_learns_what_one_layer_does_not(grown):
    body, losses = grown
    assert len(losses) == 250 and losses[0] > 4 and sum(losses[-10:]) / 10 < 2.5
    rows = copyist.said_twice(16, 20, torch.Generator().manual_seed(1))
    seen = body.patterns(rows).mean(1)
    assert seen[1][:, range(20, 40), range(1, 21)].mean() > 3 * seen[0][:, range(20, 40), range(1, 21)].mean()


def test_patterns_and_losses(grown):
    body, _ = grown
    rows = copyist.said_twice(4, 9, torch.Generator().manual_seed(2))
    seen = body.patterns(rows)
    assert seen.shape == (2, 4, 4, 18, 18) and torch.allclose(seen.sum(-1), torch.ones(2, 4, 4, 18))
    assert float(seen.triu(1).abs().max()) == 0
    expected = -body(rows)[:, :-1].log_softmax(-1).gather(-1, rows[:, 1:, None])[..., 0]
    assert torch.allclose(body.losses(rows), expected, atol=1e-5)
    assert not torch.allclose(body.losses(rows, [(0, 1)]), expected)


def test_the_same_seed_grows_the_same(grown):
    one, other = copyist.Copyist(seed=3), copyist.Copyist(seed=3)
    assert copyist.grow(one, steps=3) == copyist.grow(other, steps=3)
    with pytest.raises(ValueError, match="d_model must be a multiple of 8"):
        copyist.Copyist(d_model=12)
