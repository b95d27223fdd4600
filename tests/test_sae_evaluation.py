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
        (torch.zeros(3, 2), torch.zeros(3, 4), "reconstruction has shape"),
        (torch.ones(1, 2), torch.ones(1, 2), "at least two rows"),
        (torch.ones(3, 2), torch.ones(3, 2), "x must have rows that differ"),
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
    with pytest.raises(ValueError, match="others has shape"):
        evaluation.matched_cosines(rows, torch.eye(4))
    with pytest.raises(ValueError, match="others"):
        evaluation.matched_cosines(rows, torch.zeros(0, 5))


def test_loss_recovered_in_a_real_model(tiny_model):
    """Each condition is what running the model with such a hook gives."""
    hook, text = "blocks.0.hook_resid_post", "the cat sat on a mat"
    made = sae.TopKSAE(32, 64, k=4).eval()
    mean = torch.randn(32, generator=torch.Generator().manual_seed(0))
    found = evaluation.loss_recovered(tiny_model, made, hook, [text], mean, progress=False)
    ids = tiny_model.to_tokens(text)

    def loss(change):
        def edit(acts, hook=None):
            out = change(acts)
            out[:, 0] = acts[:, 0]
            return out

        logits = tiny_model.run_with_hooks(ids, fwd_hooks=[(hook, edit)])
        return float(torch.nn.functional.cross_entropy(logits[0, 1:-1], ids[0, 2:]))

    assert found.clean == pytest.approx(loss(lambda x: x.clone()), abs=1e-5)
    assert found.spliced == pytest.approx(loss(lambda x: made(x).detach()), abs=1e-5)
    assert found.mean == pytest.approx(loss(lambda x: mean.expand_as(x).clone()), abs=1e-5)
    assert found.zero == pytest.approx(loss(torch.zeros_like), abs=1e-5)
    assert found.n == ids.shape[1] - 2 and found.n_left == 1


class TinyModel:
    """Four tokens, width 4, one hook; the logits are the hooked activations, so every loss can be worked out."""

    embedding = torch.tensor([[50.0, 0, 0, 0], [0, 5.0, 0, 0], [0, 0, 5.0, 0], [0, 0, 0, 5.0]])
    cfg = blocks = None
    hook_dict = {"here": None}

    def parameters(self):
        return iter([self.embedding])

    def run_with_hooks(self, ids, fwd_hooks):
        acts = self.embedding[ids]
        for _, hook in fwd_hooks:
            acts = hook(acts, hook=SimpleNamespace(name="here"))
        return acts


@pytest.fixture(autouse=True)
def digits(monkeypatch):
    """Texts of digits are ids of TinyModel, after a start token 0."""
    real = evaluation.token_rows

    def rows(model, texts, **options):
        if isinstance(model, TinyModel):
            return [torch.tensor([0, *map(int, text)]) for text in texts]
        return real(model, texts, **options)

    monkeypatch.setattr(evaluation, "token_rows", rows)


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


def test_loss_recovered_names_bad_input(tiny_model):
    hook, made = "blocks.0.hook_resid_post", sae.TopKSAE(32, 64, k=4).eval()

    def refused(words, texts=("the cat sat",), mean=None, **more):
        with pytest.raises((TypeError, ValueError), match=words):
            evaluation.loss_recovered(
                tiny_model, made, hook, texts, torch.zeros(32) if mean is None else mean, progress=False, **more
            )

    refused("^texts", texts=[])
    refused("^texts", texts="the cat sat")
    refused(r"^texts\[1\] has 2 tokens, at least 3", texts=["the cat sat", "a"])
    with pytest.raises(ValueError, match="^hook must be one of the model's hook points"):
        evaluation.loss_recovered(tiny_model, made, "nowhere", ["the cat sat"], torch.zeros(32))
    refused(r"^mean must have shape \(32,\)", mean=torch.zeros(3))
    refused("^mean holds", mean=torch.full((32,), math.nan))
    refused("^massive_norm must be", massive_norm=-1)


def test_an_ablation_that_costs_nothing_leaves_nothing_to_recover():
    with pytest.raises(ValueError, match="mean ablation leaves the loss at 2.0: there is nothing to recover"):
        assert evaluation.LossRecovered(2.0, 2.1, 2.0, 3.0, 10, 1, ()).against_mean


def test_numpy_and_lists_mean_the_same():
    made, x = identity_sae(), torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    for same in (x.tolist(), x.numpy(), x.double()):
        assert evaluation.fit(made, same).n == 20
        torch.testing.assert_close(evaluation.density(made, same), evaluation.density(made, x))
        assert evaluation.variance_explained(same, x * 0.5) == pytest.approx(evaluation.variance_explained(x, x * 0.5))
