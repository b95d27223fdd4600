"""utils.standin.transcoders: what stands in for an MLP, and a set of them held against a model."""

from dataclasses import replace

import pytest
import torch

from utils.standin import Transcoder, check_set, hooks_of, random_transcoder

D, N = 8, 24


def inputs(*shape, seed=0):
    return torch.randn(*shape, D, generator=torch.Generator().manual_seed(seed))


# ------------------------------------------------------------------------------------------------ what it does


@pytest.mark.parametrize("k", [4, None])
def test_it_is_the_sum_it_says_it_is(k):
    one = random_transcoder(3, D, N, k=k, skip=True)
    x = inputs(2, 5)
    pre = torch.einsum("bpd,ds->bps", x, one.W_enc) + one.b_enc
    if k is None:
        latents = torch.where(pre > 0.1, pre, 0.0)
    else:
        bound = pre.sort(dim=-1, descending=True).values[..., k - 1 : k]
        latents = torch.where((pre >= bound) & (pre > 0), pre, 0.0)
    torch.testing.assert_close(one.encode(x), latents)
    written = torch.einsum("bps,sd->bpd", latents, one.W_dec) + one.b_dec + torch.einsum("bpd,de->bpe", x, one.W_skip)
    torch.testing.assert_close(one(x), written)
    torch.testing.assert_close(one.decode(latents) + one.skip(x), written)


def test_without_a_skip_nothing_is_added():
    one = random_transcoder(0, D, N)
    x = inputs(6)
    torch.testing.assert_close(one(x), one.decode(one.encode(x)))
    assert not one.skip(x).any()


@pytest.mark.parametrize("k", [1, 4])
def test_at_most_k_are_on_and_none_is_negative(k):
    latents = random_transcoder(0, D, N, k=k).encode(inputs(200))
    assert int((latents > 0).sum(-1).max()) <= k
    assert latents.min() >= 0


@pytest.mark.parametrize("k", [4, None])
def test_gradients_flow_through_the_latents_that_are_on_alone(k):
    one = random_transcoder(0, D, N, k=k)
    x = inputs(1).requires_grad_()
    latents = one.encode(x)
    (gradient,) = torch.autograd.grad(latents.sum(), x)
    torch.testing.assert_close(gradient[0], one.W_enc[:, latents[0] > 0].sum(1))


def test_a_latents_size_scales_with_the_direction_of_its_decoder():
    one = random_transcoder(0, D, N)
    assert torch.allclose(one.W_dec.norm(dim=1), torch.ones(N))


def test_it_can_be_put_into_another_type():
    one = random_transcoder(0, D, N, skip=True).to(torch.float64)
    assert all(value.dtype == torch.float64 for value in one.tensors().values())
    assert one(inputs(3).double()).dtype == torch.float64
    assert one.k == 8


# --------------------------------------------------------------------------------------------- bad input


def parts(**changes):
    one = random_transcoder(0, D, N, k=4)
    return {name: getattr(one, name) for name in ("layer", "W_enc", "b_enc", "W_dec", "b_dec", "W_skip", "k")} | changes


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"b_enc": torch.zeros(D)}, r"b_enc must have shape \(24,\)"),
        ({"W_dec": torch.zeros(D, N)}, r"W_dec must have shape \(24, 8\).*got \(8, 24\)"),
        ({"W_skip": torch.zeros(N, D)}, r"W_skip must have shape \(8, 8\)"),
        ({"b_dec": torch.full((D,), float("nan"))}, "b_dec of block 0's transcoder holds NaN"),
        ({"k": None}, "k or threshold must be given, and only one of them: got neither"),
        ({"threshold": torch.zeros(N)}, "only one of them: got both"),
        ({"k": None, "threshold": torch.full((N,), -1.0)}, "threshold must not be below 0"),
        ({"k": N + 1}, "k must be"),
        ({"k": 0}, "k must be"),
        ({"layer": -1}, "layer must be"),
        ({"W_enc": torch.zeros(D)}, r"W_enc must have shape \(d_model, d_sae\)"),
        ({"massive_norm": -2.0}, "massive_norm"),
    ],
)
def test_parts_that_dont_fit_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        Transcoder(**parts(**changes))


@pytest.mark.parametrize("value", [torch.zeros(D, N, dtype=torch.long), "weights", None])
def test_weights_must_be_tensors_of_floats(value):
    with pytest.raises(TypeError, match="W_enc must be a tensor of floating-point numbers"):
        Transcoder(**parts(W_enc=value) if value is not None else parts(W_enc=[1.0]))


def test_inputs_that_arent_what_the_mlp_reads():
    one = random_transcoder(0, D, N)
    with pytest.raises(ValueError, match=r"x must have shape \(..., 8\), got \(3, 9\)"):
        one(torch.zeros(3, 9))
    with pytest.raises(ValueError, match="x holds NaN"):
        one.encode(torch.full((3, D), float("nan")))
    with pytest.raises(ValueError, match=r"latents must have shape \(..., 24\)"):
        one.decode(torch.zeros(3, D))
    with pytest.raises(TypeError, match="x must be numbers"):
        one.encode(torch.zeros(3, D, dtype=torch.bool))


# ------------------------------------------------------------------------------------------- a set of them


def tiny_set(**changes):
    return {block: random_transcoder(block, 32, 64, seed=block) for block in range(2)} | changes


def test_a_whole_set_is_handed_back_in_order(tiny_model):
    mixed = dict(reversed(tiny_set().items()))
    assert list(check_set(mixed, tiny_model)) == [0, 1]
    assert list(check_set(mixed, tiny_model, blocks=[1])) == [1]
    assert all(name in tiny_model.hook_dict for block in range(2) for name in hooks_of(block))


def test_a_set_that_isnt_this_models(tiny_model):
    some = tiny_set()
    with pytest.raises(ValueError, match=r"none for block 0; there are \[1\]"):
        check_set({1: some[1]}, tiny_model)
    with pytest.raises(ValueError, match=r"transcoders\[1\] was made for block 0"):
        check_set({0: some[0], 1: some[0]}, tiny_model)
    with pytest.raises(ValueError, match=r"transcoders\[7\]: the model has blocks 0 to 1"):
        check_set(some | {7: replace(some[0], layer=7)}, tiny_model)
    with pytest.raises(ValueError, match=r"transcoders\[0\] has width 8, the model 32"):
        check_set(some | {0: random_transcoder(0, D, N)}, tiny_model)
    with pytest.raises(TypeError, match=r"transcoders\[0\] must be a Transcoder"):
        check_set({0: "mlp"}, tiny_model)


def test_mlp_reads_at_the_first_hook_and_writes_at_the_second(tiny_model):
    """The input is behind the norm, gain included: the MLP's own weights turn it into the output."""
    read, written = hooks_of(1)
    _, cache = tiny_model.run_with_cache(torch.tensor([[0, 5, 9, 40]]))
    mlp = tiny_model.blocks[1].mlp.original_component
    torch.testing.assert_close(mlp(cache[read]), cache[written])
