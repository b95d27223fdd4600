"""utils.sae.models and utils.sae.sparse: six kinds with weights set by hand, and what must hold for any weights."""

import json
import math

import pytest
import torch

from utils.sae import (
    BatchTopKSAE,
    GatedSAE,
    JumpReLUSAE,
    MatryoshkaSAE,
    ReLUSAE,
    TopKSAE,
    sparse,
)
from utils.sae.models import AUXILIARY_WEIGHT, SparseAutoencoder

KINDS = {
    "relu": lambda d, n, **kw: ReLUSAE(d, n, l1=0.5, **kw),
    "topk": lambda d, n, **kw: TopKSAE(d, n, k=2, **kw),
    "batchtopk": lambda d, n, **kw: BatchTopKSAE(d, n, k=2, **kw),
    "matryoshka": lambda d, n, **kw: MatryoshkaSAE(d, n, k=2, groups=(max(1, n // 3), n), **kw),
    "jumprelu": lambda d, n, **kw: JumpReLUSAE(d, n, l0=0.3, **kw),
    "gated": lambda d, n, **kw: GatedSAE(d, n, l1=0.5, **kw),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def by_hand(kind):
    """Two dimensions, three latents: right, up, and down. b_dec = (1, 0), b_enc = (0, 0, -1)."""
    sae = KINDS[kind](2, 3).eval()
    directions = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    with torch.no_grad():
        sae.W_dec.copy_(directions)
        sae.W_enc.copy_(directions.t())
        sae.b_dec.copy_(torch.tensor([1.0, 0.0]))
        sae.b_enc.copy_(torch.tensor([0.0, 0.0, -1.0]))
    return sae


def random_sae(kind, d_model=6, d_sae=15, seed=0, dtype=torch.float64):
    """Every parameter away from its starting value, so that a forgotten one shows."""
    sae = KINDS[kind](d_model, d_sae, seed=seed).to(dtype).eval()
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for name, parameter in sae.named_parameters():
            if name not in ("W_dec", "log_threshold"):
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=dtype))
        if kind == "jumprelu":
            sae.log_threshold.copy_(torch.linspace(-2, 0, d_sae))
        if kind in ("batchtopk", "matryoshka"):
            sae.threshold.fill_(0.8)
    return sae


def data(n=40, d_model=6, seed=2, dtype=torch.float64):
    return torch.randn(n, d_model, generator=torch.Generator().manual_seed(seed), dtype=dtype)


# ------------------------------------------------------------------------------------ known answers

X = torch.tensor([[3.0, 0.5], [1.0, -4.0], [0.0, 0.0]])
# x - b_dec is (2, .5), (0, -4), (-1, 0), so the pre-activations are
PRE = torch.tensor([[2.0, 0.5, -1.5], [0.0, -4.0, 3.0], [-1.0, 0.0, -1.0]])


@every_kind
def test_pre_activations_known(kind):
    assert torch.equal(by_hand(kind).pre_activations(X), PRE)


def test_relu_known():
    sae = by_hand("relu")
    assert torch.equal(sae.encode(X), PRE.clamp_min(0))
    losses = sae.loss(X)
    # reconstructions (3, .5), (1, -3), (1, 0): errors 0, 1, 1; latents add up to 2.5 + 3 + 0
    assert losses.reconstruction.item() == pytest.approx(2 / 3)
    assert losses.sparsity.item() == pytest.approx(0.5 * 5.5 / 3)
    assert losses.auxiliary.item() == 0
    assert losses.total.item() == pytest.approx(2 / 3 + 0.5 * 5.5 / 3)
    assert losses.fired.tolist() == [1, 1, 1]


def test_topk_known():
    sae = by_hand("topk")
    sae.k = 1
    # The third row's largest is 0, which is not on; its second row has one positive, kept.
    assert torch.equal(sae.encode(X), torch.tensor([[2.0, 0, 0], [0, 0, 3.0], [0, 0, 0]]))
    losses = sae.loss(X)
    assert losses.reconstruction.item() == pytest.approx((0.25 + 1 + 1) / 3)
    assert losses.fired.tolist() == [1, 0, 1]
    assert losses.total.item() == losses.reconstruction.item()
    sae.k = 3
    assert torch.equal(sae.encode(X), PRE.clamp_min(0))  # negative ones are never on


def test_batchtopk_known():
    sae = by_hand("batchtopk").train()
    sae.k = 1  # three rows: the three largest of all, which leaves the third row without any
    chosen = sae.select(X)
    dense = torch.zeros(3, 3)
    dense[chosen.rows, chosen.latents] = chosen.values
    assert torch.equal(dense, torch.tensor([[2.0, 0.5, 0], [0, 0, 3.0], [0, 0, 0]]))
    assert sae.threshold.item() == 0.5  # the first batch sets it
    assert torch.equal(sae.encode(X), torch.tensor([[2.0, 0, 0], [0, 0, 3.0], [0, 0, 0]]))  # only what exceeds it
    sae.select(2 * (X - sae.b_dec) + sae.b_dec)  # keeps 4, 1, and 5 + 2: the smallest kept is 1
    assert sae.threshold.item() == pytest.approx(0.99 * 0.5 + 0.01 * 1.0)
    before = sae.threshold.item()
    sae.eval().select(X)
    assert sae.threshold.item() == before  # reading does not move it


def test_matryoshka_known():
    sae = by_hand("matryoshka").train()
    sae.groups = (1, 3)
    sae.k = 1
    losses = sae.loss(X)
    # with latent 0 alone: (3, 0), (1, 0), (1, 0), errors .25, 16, 1; with all three: (3, .5), (1, -3), (1, 0)
    assert losses.reconstruction.item() == pytest.approx(((0.25 + 16 + 1) / 3 + (0 + 1 + 1) / 3) / 2)
    assert losses.fired.tolist() == [1, 1, 1]


def test_jumprelu_known():
    sae = by_hand("jumprelu")
    with torch.no_grad():
        sae.log_threshold.copy_(torch.tensor([1.9, 0.6, 3.1]).log())
    assert torch.equal(sae.encode(X), torch.tensor([[2.0, 0, 0], [0, 0, 0], [0, 0, 0]]))
    losses = sae.loss(X)
    assert losses.sparsity.item() == pytest.approx(0.3 / 3)  # one latent on in three activations
    assert losses.reconstruction.item() == pytest.approx((0.25 + 16 + 1) / 3)
    assert losses.fired.tolist() == [1, 0, 0]


def test_gated_known():
    sae = by_hand("gated")
    with torch.no_grad():
        sae.r_mag.copy_(torch.tensor([math.log(2), 0.0, 0.0]))
        sae.b_mag.copy_(torch.tensor([0.25, -1.0, 0.5]))
    # on where PRE > 0; sizes 2 * 2 + .25, relu(.5 - 1), 4 + .5 (b_enc belongs to the gate alone)
    latents = torch.tensor([[4.25, 0, 0], [0, 0, 4.5], [0, 0, 0]])
    torch.testing.assert_close(sae.encode(X), latents)
    losses = sae.loss(X)
    assert losses.sparsity.item() == pytest.approx(0.5 * 5.5 / 3)  # the gate's pre-activations, not the magnitudes
    assert losses.auxiliary.item() == pytest.approx((0 + 1 + 1) / 3)  # x rebuilt from the gate
    # (5.25, 0) for (3, .5), (1, -4.5) for (1, -4), (1, 0) for (0, 0)
    assert losses.reconstruction.item() == pytest.approx((2.25**2 + 0.25 + 0.25 + 1) / 3)


# ----------------------------------------------------------------------------------- for any weights


@every_kind
def test_forward_is_decode_of_encode(kind):
    sae, x = random_sae(kind), data()
    latents = sae.encode(x)
    assert latents.shape == (40, 15) and (latents >= 0).all() and 0 < (latents > 0).double().mean() < 0.9
    assert torch.equal(sae(x), sae.decode(latents))
    torch.testing.assert_close(sae.decode(latents), latents @ sae.W_dec + sae.b_dec)
    assert torch.equal(sae.decode(torch.zeros(15, dtype=torch.float64)), sae.b_dec)


@every_kind
def test_any_leading_shape(kind):
    sae, x = random_sae(kind), data(12)
    torch.testing.assert_close(sae.encode(x.reshape(3, 4, 6)).reshape(12, 15), sae.encode(x))
    torch.testing.assert_close(sae.encode(x[0]), sae.encode(x)[0])
    torch.testing.assert_close(sae(x[0]), sae(x)[0])


@every_kind
def test_one_activation_does_not_depend_on_its_neighbours(kind):
    sae, x = random_sae(kind), data()
    torch.testing.assert_close(sae.encode(x)[:5], sae.encode(torch.cat([x[:5], 100 * x[5:]]))[:5])


@every_kind
@pytest.mark.parametrize("factor", [0.01, 3.0, 250.0])
def test_rescale_is_homogeneous(kind, factor):
    sae, x = random_sae(kind), data()
    latents, reconstruction = sae.encode(x), sae(x)
    sae.rescale(factor)
    torch.testing.assert_close(sae.encode(factor * x), factor * latents, atol=1e-12, rtol=1e-10)
    torch.testing.assert_close(sae(factor * x), factor * reconstruction, atol=1e-12, rtol=1e-10)
    sae.rescale(1 / factor)
    torch.testing.assert_close(sae(x), reconstruction, atol=1e-12, rtol=1e-10)


@pytest.mark.parametrize("factor", [0.0, -1.0, math.inf, math.nan])
def test_rescale_refuses(factor):
    with pytest.raises(ValueError, match="factor must be"):
        random_sae("relu").rescale(factor)


@every_kind
def test_losses_add_up_and_reach_every_parameter(kind):
    sae, x = random_sae(kind).train(), data()
    losses = sae.loss(x)
    assert losses.total.item() == pytest.approx(
        (losses.reconstruction + losses.sparsity + losses.auxiliary).item(), abs=1e-12
    )
    losses.total.backward()
    for name, parameter in sae.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
    assert losses.fired.shape == (15,) and losses.fired.max() <= len(x)


@every_kind
def test_input_of_another_float_type(kind):
    """Weights decide the type: float64 or float16 activations give a float32 loss, dead latents or none."""
    for dtype in (torch.float16, torch.float64):
        sae = random_sae(kind, dtype=torch.float32).train()
        sae.tokens_since_fired[:5] = sae.dead_after
        losses = sae.loss(data(dtype=dtype))
        assert losses.total.dtype == torch.float32
        losses.total.backward()
        assert sae.eval().encode(data(dtype=dtype)).dtype == torch.float32


@every_kind
def test_fired_is_what_encode_says(kind):
    sae, x = random_sae(kind).train(), data()
    fired = sae.loss(x).fired
    if kind in ("batchtopk", "matryoshka"):  # in training the batch decides, not the threshold
        assert fired.sum() == sae.k * len(x)
    else:
        assert torch.equal(fired, (sae.encode(x) > 0).sum(0))


# -------------------------------------------------------------------------- sparse against dense


def dense_top_k(pre, k):
    values, columns = pre.topk(k, dim=-1)
    return torch.zeros_like(pre).scatter(-1, columns, values.relu())


def dense_batch_top_k(pre, k):
    values, places = pre.flatten().topk(k * len(pre))
    return torch.zeros_like(pre).flatten().scatter(0, places, values.relu()).reshape(pre.shape)


@pytest.mark.parametrize("kind", ["topk", "batchtopk", "matryoshka"])
@pytest.mark.parametrize("k", [1, 2, 7, 15])
def test_sparse_path_equals_dense_products(kind, k):
    """Value and every gradient, x's included, to 1e-10 in float64."""
    sae = random_sae(kind).train()
    sae.k = k
    x = data().requires_grad_()
    choose = dense_top_k if kind == "topk" else dense_batch_top_k
    latents = choose(sae.pre_activations(x), k)
    prefixes = sae.groups if kind == "matryoshka" else (sae.d_sae,)
    errors = [(x - latents[:, :size] @ sae.W_dec[:size] - sae.b_dec).square().sum(-1).mean() for size in prefixes]
    dense = torch.stack(errors).mean()
    names = [name for name, _ in sae.named_parameters()]
    expected = torch.autograd.grad(dense, [x, *sae.parameters()])
    losses = sae.loss(x)
    found = torch.autograd.grad(losses.total, [x, *sae.parameters()])
    torch.testing.assert_close(losses.total, dense, atol=1e-10, rtol=1e-10)
    for name, a, b in zip(["x", *names], found, expected):
        torch.testing.assert_close(a, b, atol=1e-10, rtol=1e-10, msg=lambda m, name=name: f"{name}: {m}")
    assert torch.equal(losses.fired, (latents > 0).sum(0))


def test_sparse_gradients_by_finite_differences():
    sae, x = random_sae("topk"), data(4).requires_grad_()

    def f(x, W_enc, b_enc, W_dec):
        chosen = sparse.encode_selected(x, W_enc, b_enc, sparse.row_top_k(2))
        return sparse.decode_selected(chosen, W_dec)

    torch.autograd.gradcheck(f, (x, sae.W_enc, sae.b_enc, sae.W_dec))


def test_nothing_selected_is_no_error():
    sae = random_sae("batchtopk").train()
    with torch.no_grad():
        sae.b_enc.fill_(-100.0)
    losses = sae.loss(data())
    losses.total.backward()
    assert losses.fired.sum() == 0 and sae.threshold.item() == 0.8
    torch.testing.assert_close(losses.reconstruction, (data() - sae.b_dec).square().sum(-1).mean())
    assert torch.isfinite(sae.b_dec.grad).all() and sae.W_enc.grad.abs().sum() == 0


def test_batch_top_k_counts_ties_once():
    """Equal values at the boundary: still k a row on average, not all of them."""
    values, latents, rows = sparse.batch_top_k(2)(torch.ones(5, 8))
    assert len(values) == 10 and (rows.diff() >= 0).all()
    pre = torch.tensor([[3.0, 1.0, 1.0], [1.0, 2.0, -1.0]])
    values, latents, rows = sparse.batch_top_k(1)(pre)
    assert sorted(values.tolist()) == [2.0, 3.0]
    values, latents, rows = sparse.batch_top_k(2)(pre)  # 3, 2 and two of the three ones
    assert sorted(values.tolist()) == [1.0, 1.0, 2.0, 3.0] and (rows.diff() >= 0).all()


def test_below_switches_off_the_rest():
    chosen = sparse.Selected(torch.tensor([1.0, 2.0]), torch.tensor([4, 1]), torch.tensor([0, 1]), 2)
    assert chosen.below(4).values.tolist() == [0.0, 2.0]
    assert chosen.below(4).fired(6).tolist() == [0, 1, 0, 0, 0, 0]


def test_batchtopk_keeps_k_on_average_and_its_threshold_carries_over():
    sae = BatchTopKSAE(16, 64, k=4).train()
    stream = torch.randn(200, 128, 16, generator=torch.Generator().manual_seed(0))
    for x in stream:
        assert sae.loss(x).fired.sum() == 4 * 128
    sae.eval()
    on = (sae.encode(torch.cat(list(stream[:20]))) > 0).sum(-1).float()
    assert abs(on.mean().item() - 4) < 0.4 and on.min() < 3 < 5 < on.max()  # easy ones fewer, hard ones more


# ---------------------------------------------------------------------------- the auxiliary loss


@pytest.mark.parametrize("kind", ["topk", "batchtopk", "matryoshka"])
def test_auxiliary_loss_reaches_dead_latents_only(kind):
    sae = random_sae(kind).train()
    dead = torch.tensor([3, 8, 11])
    with torch.no_grad():
        sae.b_enc[dead] = -2.0  # weaker than the others, but now and then above zero
        sae.W_enc[:, dead] *= 3
    x = data(400)
    assert sae.loss(x).auxiliary.item() == 0  # nothing counts as dead yet
    sae.tokens_since_fired[dead] = sae.dead_after
    assert sae.dead.nonzero().flatten().tolist() == dead.tolist()
    losses = sae.loss(x)
    assert losses.auxiliary.item() > 0
    grads = torch.autograd.grad(losses.auxiliary, [sae.W_enc, sae.b_enc, sae.W_dec])
    for grad in (grads[0].t(), grads[1][:, None], grads[2]):
        touched = (grad.abs().sum(1) > 0).nonzero().flatten().tolist()
        assert touched == dead.tolist()
    sae.auxiliary = False
    assert sae.loss(x).auxiliary.item() == 0


def test_auxiliary_loss_by_the_definition():
    """Gao et al. 2024, A.2: the largest d_model / 2 dead latents rebuild the error; the weight is 1/32."""
    sae = random_sae("topk").train()
    sae.tokens_since_fired[:] = sae.dead_after
    x = data()
    losses = sae.loss(x)
    error = x - sae(x)
    latents = dense_top_k(sae.pre_activations(x), 3)
    expected = AUXILIARY_WEIGHT * (error - latents @ sae.W_dec).square().sum(-1).mean()
    torch.testing.assert_close(losses.auxiliary, expected)
    # the error is a target, not a thing to be changed: the living latents get nothing from it
    sae.tokens_since_fired[1:] = 0
    (grad,) = torch.autograd.grad(sae.loss(x).auxiliary, [sae.W_dec])
    assert grad[1:].abs().sum() == 0
    # one dead latent of the three that could be asked: a third of the weight
    latent = sae.pre_activations(x)[:, :1].relu()
    expected = AUXILIARY_WEIGHT / 3 * (error - latent @ sae.W_dec[:1]).square().sum(-1).mean()
    torch.testing.assert_close(sae.loss(x).auxiliary, expected)


def test_dead_are_those_that_have_not_fired_for_long():
    sae = TopKSAE(4, 3, k=1, dead_after=100)
    sae.count(torch.tensor([5, 0, 0]), 60)
    assert sae.tokens_since_fired.tolist() == [0, 60, 60] and not sae.dead.any()
    sae.count(torch.tensor([0, 1, 0]), 60)
    assert sae.dead.tolist() == [False, False, True]
    sae.count(torch.tensor([0, 0, 7]), 60)
    assert sae.dead.tolist() == [True, False, False]


# --------------------------------------------------------------------------------- JumpReLU and Gated


def test_jumprelu_gradients_are_the_papers():
    """arXiv 2407.14435, eq. 11 and 12: -theta/eps * K((z - theta)/eps) and -1/eps * K(...), K the rectangle."""
    from utils.sae.models import _Jump, _Step

    eps = 0.2
    z = torch.tensor([[0.45, 1.3, 0.0], [0.59, 1.05, 0.7], [0.61, 0.95, 0.3]], dtype=torch.float64).requires_grad_()
    theta = torch.tensor([0.5, 1.0, 0.05], dtype=torch.float64).requires_grad_()
    weight = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]], dtype=torch.float64)
    # within eps/2 = 0.1 of the threshold, and above zero (a ReLU comes first)
    window = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 0]], dtype=torch.float64)
    on = (z > theta).double()

    out = _Jump.apply(z, theta, eps)
    assert torch.equal(out, z * on)
    grad_z, grad_theta = torch.autograd.grad((weight * out).sum(), [z, theta])
    torch.testing.assert_close(grad_z, weight * on)
    torch.testing.assert_close(grad_theta, -(theta / eps) * (window * weight).sum(0))

    out = _Step.apply(z, theta, eps)
    assert torch.equal(out, on)
    (grad_theta,) = torch.autograd.grad((weight * out).sum(), [theta])
    torch.testing.assert_close(grad_theta, -(1 / eps) * (window * weight).sum(0))
    assert torch.autograd.grad((weight * _Step.apply(z, theta, eps)).sum(), [z], allow_unused=True)[0] is None


def test_jumprelu_price_raises_thresholds():
    sae = random_sae("jumprelu")
    sae.bandwidth = 1.0
    (grad,) = torch.autograd.grad(sae.loss(data()).sparsity, [sae.log_threshold])
    assert (grad <= 0).all() and grad.min() < 0  # downhill is up


def test_gated_magnitudes_pay_no_l1():
    sae, x = random_sae("gated"), data()
    losses = sae.loss(x)
    grads = torch.autograd.grad(losses.sparsity, [sae.r_mag, sae.b_mag, sae.W_dec, sae.b_enc], allow_unused=True)
    assert grads[0] is None and grads[1] is None and grads[2] is None and grads[3].abs().sum() > 0
    losses = sae.loss(x)
    # the gate's own reconstruction goes through a decoder that it may not move
    assert torch.autograd.grad(losses.auxiliary, [sae.W_dec], allow_unused=True) == (None,)
    losses = sae.loss(x)
    assert torch.autograd.grad(losses.reconstruction, [sae.b_enc], allow_unused=True)[0] in (None,) or (
        torch.autograd.grad(sae.loss(x).reconstruction, [sae.b_enc])[0].abs().max() < 1e-12
    )


# ----------------------------------------------------------------------------- around a training step


@every_kind
def test_starts_with_unit_rows_and_a_tied_encoder(kind):
    a, b, c = KINDS[kind](6, 15, seed=3), KINDS[kind](6, 15, seed=3), KINDS[kind](6, 15, seed=4)
    torch.testing.assert_close(a.W_dec.norm(dim=1), torch.ones(15))
    assert torch.equal(a.W_enc, a.W_dec.t()) and torch.equal(a.W_dec, b.W_dec) and not torch.equal(a.W_dec, c.W_dec)
    assert a.W_enc.data_ptr() != a.W_dec.data_ptr() and (a.d_model, a.d_sae) == (6, 15)


def test_making_a_sae_leaves_the_global_seed_alone():
    torch.manual_seed(0)
    first = torch.rand(1)
    torch.manual_seed(0)
    TopKSAE(6, 15, k=2)
    assert torch.equal(torch.rand(1), first)


def test_decoder_rows_and_their_gradient():
    sae = random_sae("topk")
    with torch.no_grad():
        sae.W_dec.mul_(torch.linspace(0.5, 3, 15)[:, None])
        sae.W_dec[4] = 0
    sae.normalise_decoder()
    norms = sae.W_dec.norm(dim=1)
    assert norms[4] == 0 and torch.allclose(norms[torch.arange(15) != 4], torch.ones(14, dtype=torch.float64))
    sae.remove_parallel_gradient()  # no gradient yet: nothing to do
    sae.loss(data()).total.backward()
    before = sae.W_dec.grad.clone()
    sae.remove_parallel_gradient()
    assert (sae.W_dec.grad * sae.W_dec).sum(1).abs().max() < 1e-12
    removed = before - sae.W_dec.grad
    torch.testing.assert_close(removed, (before * sae.W_dec).sum(1, keepdim=True) * sae.W_dec)


def test_start_at_is_the_mean():
    sae = random_sae("relu")
    sae.start_at(data())
    torch.testing.assert_close(sae.b_dec.detach(), data().mean(0))


# --------------------------------------------------------------------------------------- bad input


@every_kind
def test_bad_activations_are_named(kind):
    sae = random_sae(kind, dtype=torch.float32)
    x = data(dtype=torch.float32)
    bad = x.clone()
    bad[3, 2] = math.nan
    for f in (sae.encode, sae, sae.loss):
        with pytest.raises(ValueError, match=r"x must have shape \(..., 6\), got \(40, 5\)"):
            f(x[:, :5])
        with pytest.raises(ValueError, match="x holds NaN or infinite"):
            f(bad)
        with pytest.raises(TypeError, match="x must be numbers, got a tensor of torch.bool"):
            f(x > 0)
        with pytest.raises(TypeError, match="x must be numbers, got the string"):
            f("numbers")
        with pytest.raises(ValueError, match="x must have shape"):
            f(torch.tensor(1.0))
    with pytest.raises(ValueError, match=r"latents must have shape \(..., 15\)"):
        sae.decode(x)
    with pytest.raises(ValueError, match="x holds NaN or infinite"):
        sae.start_at(bad * math.inf)


@every_kind
def test_numpy_and_lists_mean_the_same(kind):
    sae, x = random_sae(kind, dtype=torch.float32), data(dtype=torch.float32)
    for f in (sae.encode, sae):
        for same in (x.numpy(), x.tolist(), x.double()):
            torch.testing.assert_close(f(same), f(x))
        torch.testing.assert_close(f(x.round().long()), f(x.round()))


@every_kind
def test_loss_wants_a_batch(kind):
    sae = random_sae(kind, dtype=torch.float32)
    for x in (data(dtype=torch.float32)[0], data(dtype=torch.float32)[:0], data(dtype=torch.float32)[None]):
        with pytest.raises(ValueError, match=r"x must be a batch of shape \(batch, 6\), at least one row"):
            sae.loss(x)


@every_kind
@pytest.mark.parametrize("size", [0, -3, 2.0, True, "8"])
def test_bad_sizes_are_named(kind, size):
    with pytest.raises((TypeError, ValueError), match="^d_model must be"):
        SparseAutoencoder(size, 8)
    with pytest.raises((TypeError, ValueError), match="^d_sae must be"):
        SparseAutoencoder(8, size)


@pytest.mark.parametrize("make", [TopKSAE, BatchTopKSAE])
@pytest.mark.parametrize("k", [0, -1, 9, 2.5, True, None])
def test_bad_k_is_named(make, k):
    with pytest.raises((TypeError, ValueError), match="^k must be"):
        make(4, 8, k=k)


@pytest.mark.parametrize("price", [-0.1, math.nan, math.inf, "1", True, None])
def test_bad_prices_are_named(price):
    for make, name in ((ReLUSAE, "l1"), (GatedSAE, "l1"), (JumpReLUSAE, "l0")):
        with pytest.raises((TypeError, ValueError), match=f"^{name} must be"):
            make(4, 8, **{name: price})


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_bad_jumprelu_numbers_are_named(value):
    for name in ("bandwidth", "threshold"):
        with pytest.raises(ValueError, match=f"^{name} must be"):
            JumpReLUSAE(4, 8, **{name: value})


@pytest.mark.parametrize("groups", [(), (4,), (4, 4, 8), (8, 4), (4, 9), (0, 8), (2.5, 8), 8, "48"])
def test_bad_groups_are_named(groups):
    with pytest.raises((TypeError, ValueError), match=r"^groups(\[0\])? must"):
        MatryoshkaSAE(4, 8, k=2, groups=groups)


def test_other_settings_are_named():
    for name, value in (("seed", -1), ("dead_after", 0), ("auxiliary", 1)):
        with pytest.raises((TypeError, ValueError), match=f"^{name} must be"):
            TopKSAE(4, 8, k=2, **{name: value})


def test_a_description_tells_kinds_and_settings_apart():
    made = [
        TopKSAE(4, 8, k=2),
        TopKSAE(4, 8, k=3),
        TopKSAE(4, 8, k=2, auxiliary=False),
        TopKSAE(4, 8, k=2, dead_after=5),
        TopKSAE(4, 9, k=2),
        TopKSAE(4, 8, k=2).double(),
        BatchTopKSAE(4, 8, k=2),
        MatryoshkaSAE(4, 8, k=2, groups=(4, 8)),
        MatryoshkaSAE(4, 8, k=2, groups=(2, 8)),
        ReLUSAE(4, 8, l1=1.0),
        ReLUSAE(4, 8, l1=2.0),
        GatedSAE(4, 8, l1=1.0),
        JumpReLUSAE(4, 8, l0=1.0),
        JumpReLUSAE(4, 8, l0=1.0, bandwidth=0.2),
    ]
    seen = [json.dumps(one.description(), sort_keys=True) for one in made]
    assert len(set(seen)) == len(made)
    assert TopKSAE(4, 8, k=2, seed=5).description() == made[0].description()
