"""Switching latents off: what changes, and what must not."""

import pytest
import torch

from utils import sae
from utils.sae.interventions import ablate_latents
from utils.writing.decoding import Places, standing


def two_of_three() -> sae.ReLUSAE:
    """Reads dimensions 0 and 1; dimension 2 is always in the error."""
    made = sae.ReLUSAE(3, 2, l1=0.0)
    with torch.no_grad():
        made.W_dec.copy_(torch.eye(3)[:2])
        made.W_enc.copy_(torch.eye(3)[:, :2])
    return made.eval()


ACTS = torch.tensor([[[9.0, 9.0, 9.0], [1.0, 2.0, 3.0], [4.0, 0.0, 5.0]]])


def test_subtracting_a_latent_keeps_the_error_and_the_other_latents():
    out = ablate_latents(two_of_three(), [0])(ACTS)
    assert out.tolist() == [[[9, 9, 9], [0, 2, 3], [0, 0, 5]]]


def test_replacing_by_the_reconstruction_loses_the_error_too():
    out = ablate_latents(two_of_three(), [0], keep_error=False)(ACTS)
    assert out.tolist() == [[[9, 9, 9], [0, 2, 0], [0, 0, 0]]]
    plain = ablate_latents(two_of_three(), [], keep_error=False)(ACTS)
    assert plain.tolist() == [[[9, 9, 9], [1, 2, 0], [4, 0, 0]]]


def test_nothing_to_ablate_changes_nothing():
    assert torch.equal(ablate_latents(two_of_three(), [])(ACTS), ACTS)


def test_massive_activations_and_the_document_start_keep_their_value():
    out = ablate_latents(two_of_three(), [0, 1], massive_norm=6.0)(ACTS)
    assert out.tolist() == [[[9, 9, 9], [0, 0, 3], [4, 0, 5]]]


def test_the_input_is_left_as_it_was():
    before = ACTS.clone()
    ablate_latents(two_of_three(), [0, 1], keep_error=False)(ACTS)
    assert torch.equal(ACTS, before)


def test_unknown_latents_are_named():
    with pytest.raises(ValueError, match=r"latents must be between 0 and 1, got \[2\]"):
        ablate_latents(two_of_three(), [2])
    for wrong, name in (([-1], r"latents\[0\]"), ([0, 1.0], r"latents\[1\]"), (0, "latents"), ("01", "latents")):
        with pytest.raises((TypeError, ValueError), match=f"^{name} must be"):
            ablate_latents(two_of_three(), wrong)
    assert torch.equal(
        ablate_latents(two_of_three(), torch.tensor([0]))(ACTS), ablate_latents(two_of_three(), [0])(ACTS)
    )


def test_in_a_model_it_changes_the_logits_only_where_the_latent_was_on(tiny_model):
    hook = "blocks.0.hook_resid_post"
    made = sae.TopKSAE(tiny_model.cfg.d_model, 16, k=2).eval()
    tokens = tiny_model.to_tokens("the cat sat on a mat")
    _, cache = tiny_model.run_with_cache(tokens, names_filter=hook)
    values = made.encode(cache[hook][0])[1:]
    latent = int((values > 0).sum(0).argmax())
    clean = tiny_model(tokens)
    hooked = tiny_model.run_with_hooks(tokens, fwd_hooks=[(hook, ablate_latents(made, [latent]))])
    first = 1 + int((values[:, latent] > 0).nonzero()[0])
    torch.testing.assert_close(hooked[:, :first], clean[:, :first])
    assert not torch.allclose(hooked[:, first], clean[:, first])


def test_while_text_is_generated_the_newest_token_is_not_the_start():
    """With kept keys and values a hook sees one new token a step, in column 0; only a text's first token is spared."""
    newest = Places(torch.tensor([[7], [0]]), torch.tensor([3, 1]), None)
    acts = torch.tensor([[[1.0, 2.0, 3.0]], [[1.0, 2.0, 3.0]]])
    with standing(newest):
        out = ablate_latents(two_of_three(), [0])(acts)
    assert out.tolist() == [[[0, 2, 3]], [[1, 2, 3]]]
