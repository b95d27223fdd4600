"""The measures of a dictionary, on cases whose answer can be worked out by hand."""

import math
from types import SimpleNamespace

import pytest
import torch

from utils import sae
from utils.sae import evaluation


def identity_sae(width: int = 4) -> sae.ReLUSAE:
    """Latent i is on for +e_i, latent width + i for -e_i: reconstructs anything, exactly."""
    made = sae.ReLUSAE(width, 2 * width, l1=0.0)
    with torch.no_grad():
        made.W_dec.copy_(torch.cat([torch.eye(width), -torch.eye(width)]))
        made.W_enc.copy_(made.W_dec.t())
    return made.eval()


def test_variance_explained_is_one_for_a_copy_and_zero_for_the_mean():
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    assert evaluation.variance_explained(x, x) == pytest.approx(1.0)
    assert evaluation.variance_explained(x, x.mean(0).expand_as(x)) == pytest.approx(0.0, abs=1e-6)
    assert evaluation.variance_explained(x, -x) < 0


def test_variance_explained_counts_all_dimensions_together():
    # Dimension 0 varies ten times as much: losing dimension 1 costs one part in 101, not one half.
    x = torch.tensor([[10.0, 1.0], [-10.0, -1.0]])
    assert evaluation.variance_explained(x, x * torch.tensor([1.0, 0.0])) == pytest.approx(100 / 101)


@pytest.mark.parametrize(
    ("x", "reconstruction", "words"),
    [
        (torch.zeros(3, 2), torch.zeros(3, 4), "one shape"),
        (torch.ones(1, 2), torch.ones(1, 2), "at least two rows"),
        (torch.ones(3, 2), torch.ones(3, 2), "no variance"),
    ],
)
def test_variance_explained_names_bad_input(x, reconstruction, words):
    with pytest.raises(ValueError, match=words):
        evaluation.variance_explained(x, reconstruction)


def test_density_and_fit_of_a_known_dictionary():
    x = torch.tensor([[1.0, 0, 0, 0], [2.0, 0, 0, 0], [0, -1.0, 0, 0], [3.0, 0, 0, 4.0]])
    share = evaluation.density(identity_sae(), x)
    assert share.tolist() == [0.75, 0, 0, 0.25, 0, 0.25, 0, 0]
    found = evaluation.fit(identity_sae(), x)
    assert found.variance_explained == pytest.approx(1.0)
    assert found.l0 == pytest.approx(1.25)
    assert found.dead == pytest.approx(5 / 8)
    assert found.dense == pytest.approx(3 / 8)
    assert found.shrinkage == pytest.approx(1.0)
    assert found.n == 4


def test_shrinkage_sees_latents_that_are_half_their_size():
    halved = identity_sae()
    with torch.no_grad():
        halved.W_enc.mul_(0.5)
    assert evaluation.fit(halved, torch.eye(4)).shrinkage == pytest.approx(0.5)


def test_matched_cosines_finds_a_permuted_dictionary_and_takes_the_largest():
    rows = torch.eye(5)
    assert evaluation.matched_cosines(rows, 3 * rows[torch.tensor([4, 2, 0, 1, 3])]).tolist() == [1.0] * 5
    assert evaluation.matched_cosines(rows[:1], -rows).tolist() == [0.0]
    some = evaluation.matched_cosines(rows, torch.cat([rows[:3], torch.zeros(1, 5)]))
    assert some.tolist() == [1, 1, 1, 0, 0], "what was not found scores low, and a latent of length 0 is harmless"
    with pytest.raises(ValueError, match="one width"):
        evaluation.matched_cosines(rows, torch.eye(4))
    with pytest.raises(ValueError, match="others"):
        evaluation.matched_cosines(rows, torch.zeros(0, 5))


class TinyModel:
    """Four tokens, width 4, one hook; the logits are the hooked activations, so every loss can be worked out."""

    embedding = torch.tensor([[50.0, 0, 0, 0], [0, 5.0, 0, 0], [0, 0, 5.0, 0], [0, 0, 0, 5.0]])

    def to_tokens(self, text):
        return torch.tensor([[0, *(int(c) for c in text)]])

    def run_with_hooks(self, ids, fwd_hooks):
        acts = self.embedding[ids]
        for _, hook in fwd_hooks:
            acts = hook(acts, hook=SimpleNamespace(name="here"))
        return acts


def test_loss_recovered_of_a_perfect_dictionary_is_one_against_both():
    found = evaluation.loss_recovered(
        TinyModel(), identity_sae(), "here", ["1111", "222"], torch.full((4,), 0.5), progress=False
    )
    assert found.spliced == pytest.approx(found.clean)
    assert found.against_mean == pytest.approx(1.0) and found.against_zero == pytest.approx(1.0)
    assert found.zero == pytest.approx(math.log(4))  # all logits equal
    assert found.mean == pytest.approx(math.log(4))
    assert found.n == 3 + 2 and found.n_left == 2
    assert found.clean == pytest.approx(math.log(math.exp(5) + 3) - 5, abs=1e-5)


def test_loss_recovered_of_an_empty_dictionary_is_zero_against_its_own_bias():
    empty = identity_sae()
    with torch.no_grad():
        empty.b_enc.fill_(-100.0)
    found = evaluation.loss_recovered(TinyModel(), empty, "here", ["123"], torch.ones(4), progress=False)
    assert found.against_zero == pytest.approx(0.0, abs=1e-6)


def test_massive_activations_are_left_alone_in_every_condition():
    found = evaluation.loss_recovered(
        TinyModel(), identity_sae(), "here", ["0011"], torch.zeros(4), massive_norm=20.0, progress=False
    )
    assert found.n_left == 3  # the document start and the two tokens of length 50
    assert found.zero > found.clean


def test_loss_recovered_names_bad_input():
    with pytest.raises(ValueError, match="texts is empty"):
        evaluation.loss_recovered(TinyModel(), identity_sae(), "here", [], torch.zeros(4))
    with pytest.raises(ValueError, match=r"mean must have shape \(4,\)"):
        evaluation.loss_recovered(TinyModel(), identity_sae(), "here", ["12"], torch.zeros(3))
    with pytest.raises(ValueError, match="at least two tokens"):
        evaluation.loss_recovered(TinyModel(), identity_sae(), "here", ["1"], torch.zeros(4), progress=False)
