"""Lesson 05, superposition: reference solutions, checks that name the likely mistake, and the quiz."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from utils.checks import Exercise, Option, Question
from utils.checks.calling import Mistake, call
from utils.checks.comparing import (
    expect_close,
    expect_each,
    expect_finite,
    expect_shape,
    expect_type,
    expect_used,
    is_close,
    one_number,
    reject,
    seeded,
)

# ------------------------------------------------------------------------------------------------- 5.1 the toy model


def toy_output(x, W, b):
    """relu(x W^T W + b). x (batch, n_features), W (n_hidden, n_features), b (n_features,) -> (batch, n_features)."""
    return torch.relu(x @ W.T @ W + b)


def check_toy_output(function):
    generator = seeded(51)
    x = torch.rand(6, 5, generator=generator) * (torch.rand(6, 5, generator=generator) < 0.6)
    W, b = torch.randn(2, 5, generator=generator), torch.randn(5, generator=generator) * 0.4
    try:
        result = call(function, x, W, b)
    except Mistake as mistake:
        if "shapes cannot be multiplied" in str(mistake) or "size mismatch" in str(mistake):
            raise Mistake(
                f"{mistake}. W is (n_hidden, n_features): squeezing is `x @ W.T`, unfolding is `… @ W`."
            ) from None
        raise
    expect_type(result, torch.Tensor, "Return the reconstructed features.")
    if tuple(result.shape) == (6, 2):
        raise Mistake("Your result is the bottleneck, shape (batch, n_hidden). Unfold it again with `@ W`.")
    expect_shape(result, (6, 5), "One reconstruction for each feature of each row.")
    expect_finite(result)
    right = toy_output(x, W, b)
    if is_close(result, right):
        given = {"x": x, "W": W, "b": b}
        expect_used(function, given, {"x": x.flip(0), "W": W.flip(0, 1), "b": b - 0.5})
        return
    linear = x @ W.T @ W
    if is_close(result, right * (x > 0)):
        raise Mistake(
            "Features that are off in `x` were set to 0. The model sees the bottleneck only: what interference lets "
            "through must stay."
        )
    if is_close(result, torch.relu(linear - b)):
        raise Mistake("The bias is subtracted. Add b, before the ReLU.")
    if is_close(result, torch.sigmoid(linear + b)) or is_close(result, torch.tanh(linear + b)):
        raise Mistake("The cut at the output is a ReLU: below 0 becomes 0, the rest stays as it is.")
    if is_close(result, (linear + b).abs()):
        raise Mistake("You took absolute values. A ReLU cuts off what is negative: it becomes 0.")
    if is_close(result, (linear + b).clamp(0, 1)):
        raise Mistake("You cut off above 1, too. A ReLU cuts off only what is below 0.")
    if is_close(result, linear + b):
        raise Mistake("The ReLU is missing. Without it this is a linear model, and there is no superposition.")
    if is_close(result, torch.relu(linear)):
        raise Mistake("The bias is missing: add b before the ReLU. It is what lets small interference be rounded to 0.")
    if is_close(result, torch.relu(linear) + b):
        raise Mistake("The bias comes after the ReLU. Add it before, so that the ReLU can cut off what is below -b.")
    if is_close(result, torch.relu(x @ W.T) @ W + b) or is_close(result, torch.relu(torch.relu(x @ W.T) @ W + b)):
        raise Mistake("There is a ReLU in the bottleneck. The hidden layer is linear; the one ReLU is at the output.")
    if is_close(result, x):
        raise Mistake("This is the input itself. It must pass through the bottleneck of n_hidden numbers.")
    expect_used(function, {"x": x, "W": W, "b": b}, {"x": x.flip(0), "W": W.flip(0, 1), "b": b - 0.5})
    expect_close(
        result, right, "These aren't the right numbers. Squeeze with W^T, unfold with W, add b, then one ReLU."
    )


# ------------------------------------------------------------------------------------------------- 5.2 training it


def train_toy(W, b, batches, importance, learning_rate):
    """Train a toy model with Adam, one step a batch. -> (W, b, losses)."""
    W, b = W.clone().requires_grad_(), b.clone().requires_grad_()
    optimiser = torch.optim.Adam([W, b], lr=learning_rate)
    losses = []
    for x in batches:
        loss = (importance * (x - toy_output(x, W, b)).square()).sum(-1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return W.detach(), b.detach(), losses


def _toy_losses(
    W,
    b,
    batches,
    importance,
    learning_rate,
    *,
    weighted=True,
    reduce="sum",
    clear=True,
    kind=torch.optim.Adam,
    start=1.0,
):
    """The losses of a near miss, so that it can be named."""
    W, b = W.clone().requires_grad_(), (start * b).requires_grad_()
    optimiser, losses = kind([W, b], lr=learning_rate), []
    for x in batches:
        error = (x - toy_output(x, W, b)).square()
        error = error * importance if weighted else error
        loss = error.sum(-1).mean() if reduce == "sum" else error.mean() if reduce == "mean" else error.sum()
        if clear:
            optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


def check_train_toy(function):
    generator = seeded(52)
    W, b = torch.randn(2, 4, generator=generator) * 0.5, torch.tensor([0.1, -0.2, 0.05, 0.3])
    batches = [
        torch.rand(16, 4, generator=generator) * (torch.rand(16, 4, generator=generator) < 0.5) for _ in range(40)
    ]
    importance = torch.tensor([1.0, 0.5, 2.0, 0.25])
    given = (W, b, batches, importance, 0.05)
    result = call(function, *given)
    if not isinstance(result, (tuple, list)) or len(result) != 3:
        raise Mistake("Return three things: W, b, and the list of losses.")
    W_after, b_after, losses = result
    if not isinstance(losses, (list, tuple)):
        raise Mistake("The third thing must be a list with one loss a batch.")
    losses = [one_number(loss, "a loss") for loss in losses]
    if len(losses) != len(batches):
        raise Mistake(f"{len(losses)} losses came back for {len(batches)} batches: one step, and one loss, a batch.")
    for name, value, shape in (("W", W_after, (2, 4)), ("b", b_after, (4,))):
        expect_type(value, torch.Tensor, f"{name} must be a tensor.")
        expect_shape(value, shape, f"{name} keeps its shape.")
    wanted_W, wanted_b, wanted = train_toy(*given)
    if not _near(losses, wanted):
        for message, kind in (
            ("The importances aren't used: weight each feature's squared error with them.", {"weighted": False}),
            ("You averaged over the features. Sum over features, then mean over the batch.", {"reduce": "mean"}),
            ("You summed over the batch too. Sum over features, then *mean* over the batch.", {"reduce": "all"}),
            ("Gradients pile up from batch to batch: call zero_grad() before each backward().", {"clear": False}),
            ("This is plain gradient descent. Use torch.optim.Adam, as the text asks.", {"kind": torch.optim.SGD}),
            ("This is AdamW, which shrinks W and b on the way. Use torch.optim.Adam.", {"kind": torch.optim.AdamW}),
            ("Your bias starts at 0. Start from a copy of the `b` you are given.", {"start": 0.0}),
        ):
            if _near(losses, _toy_losses(*given, **kind)):
                raise Mistake(message)
        for rate in (0.001, 0.01, 0.1):
            if _near(losses, _toy_losses(*given[:4], rate)):
                raise Mistake(f"The learning rate is {rate}, not the one given: `lr=learning_rate`.")
        if _near(losses, [float(f"{loss:.2g}") for loss in wanted]):
            raise Mistake("The losses are rounded: keep all digits.")
        if torch.equal(W_after.detach(), W) or abs(losses[-1] - losses[0]) < 1e-9:
            raise Mistake("W hasn't changed. Make a copy that requires a gradient, and take one Adam step a batch.")
        if abs(losses[0] - wanted[0]) > 1e-3:
            raise Mistake(
                f"The first loss is {losses[0]:.3f}, expected {wanted[0]:.3f}: importance times squared error, summed "
                "over features, mean over the batch."
            )
        _expect_training_arguments_used(function, given)
        raise Mistake(
            f"The loss ends at {losses[-1]:.3f}, expected {wanted[-1]:.3f}. One Adam step on W and b a batch."
        )
    if is_close(b_after, b):
        raise Mistake("The bias was never trained. Give both W and b to the optimiser.")
    if not (is_close(W_after, wanted_W, 2e-3) and is_close(b_after, wanted_b, 2e-3)):
        raise Mistake("The losses are right, but not the W and b that came back: return them as they are at the end.")
    if W_after.requires_grad or b_after.requires_grad:
        raise Mistake("W and b still carry their gradients' history. Return them detached: `W.detach()`.")
    _expect_training_arguments_used(function, given)


def _expect_training_arguments_used(function, given):
    W, b, batches, importance, rate = given
    few, other = batches[:5], [x.flip(1) for x in batches[:5]]
    names = ("W", "b", "batches", "importance", "learning_rate")
    others = dict(zip(names, (W.flip(0, 1), b + 0.3, other, importance.flip(0), 0.01)))
    expect_used(lambda *args: float(function(*args)[2][-1]), dict(zip(names, (W, b, few, importance, rate))), others)


def _near(losses, wanted, atol=1e-4):
    return all(abs(a - b) <= 0.002 * abs(b) + atol for a, b in zip(losses, wanted))


# ------------------------------------------------------------------------------------------------- 5.3 dimensionality


def dimensionality(W):
    """|W_i|^2 / sum_j (W_i/|W_i| . W_j)^2 for each column i of W (n_hidden, n_features) -> (n_features,)."""
    norms = W.norm(dim=0)
    overlap = (W / norms.clamp_min(1e-8)).T @ W
    return norms.square() / overlap.square().sum(1).clamp_min(1e-8)


def check_dimensionality(function):
    W = torch.tensor([[1.2, 0.3, -0.9, 0.1, 0.0], [0.1, 0.8, 0.4, 0.7, 0.0], [0.0, 0.2, 0.5, -0.6, 0.0]])
    expected = dimensionality(W)
    result = call(function, W)
    expect_type(result, torch.Tensor, "Return one number a feature.")
    if tuple(result.shape) == (3,):
        raise Mistake("One number for each hidden dimension came back. A feature is a *column* of W: one number each.")
    expect_shape(result, (5,), "One number for each feature, a column of W.")
    if torch.isnan(result[4]):
        raise Mistake(
            "A feature that isn't represented (a column of zeros) gives NaN. It has 0 dimensions: clamp norms."
        )
    expect_finite(result)
    if is_close(result, expected, 1e-4):
        _check_simple_shapes(function)
        return
    squared = W.square().sum(0)
    unit = W / W.norm(dim=0).clamp_min(1e-8)
    others = (unit.T @ W).square() - torch.diag(squared)
    known = [
        (
            # Two mistakes, one result: unit vectors throughout, and the right table summed over i instead of j.
            (unit.T @ unit).square().sum(1).clamp_min(1e-8).reciprocal() * (squared > 0),
            "Lengths have dropped out. Either both sides were normalised (only W_i is made a unit vector; W_j keeps "
            "its length), or the sum runs over i: for each i, sum over j.",
        ),
        (
            squared / (unit.T @ unit).square().sum(1).clamp_min(1e-8),
            "Both sides of the sum were normalised. Only W_i is made a unit vector there; W_j keeps its length.",
        ),
        (
            squared / (W.T @ W).square().sum(1).clamp_min(1e-8),
            "W_i wasn't normalised in the sum: divide it by its length, so that the sum is measured along a unit "
            "vector.",
        ),
        (
            squared / others.sum(1).clamp_min(1e-8),
            "The sum leaves out j = i. It runs over all features, the feature itself included.",
        ),
        (others.sum(1), "This is the interference, the sum over the *other* features. Put |W_i|^2 over the whole sum."),
        (
            squared.sqrt() / (unit.T @ W).square().sum(1).clamp_min(1e-8),
            "The numerator is the length; it should be squared.",
        ),
        (squared / (unit.T @ W).abs().sum(1).clamp_min(1e-8), "The overlaps are summed without being squared."),
        (squared, "This is |W_i|^2 alone: divide by how crowded the feature's direction is."),
    ]
    reject(result, known, 1e-4)
    _check_simple_shapes(function)
    message = "These aren't the right numbers: |W_i|^2 over the sum, over all j, of (W_i/|W_i| . W_j)^2."
    expect_close(result, expected, message, 1e-4)


def _check_simple_shapes(function):
    """Shapes whose dimensionalities are known without a computer."""
    angle = torch.arange(5.0)[None] * 2 * torch.pi / 5
    pentagon = torch.cat([angle.cos(), angle.sin()])
    uneven = torch.tensor([[1.0, 0.6, -0.2], [0.0, 0.8, 0.3]])
    cases = [
        ((torch.eye(3),), torch.ones(3), "Three features, each alone on an axis, have 1 dimension each."),
        (
            (2 * torch.eye(2),),
            torch.ones(2),
            "Alone on its axis a feature has 1 dimension, however long its column is.",
        ),
        ((torch.tensor([[1.0, -1.0]]),), torch.full((2,), 0.5), "Two features back to back on one axis have 1/2 each."),
        ((pentagon,), torch.full((5,), 0.4), "A regular pentagon should give 2/5 for each of its five features."),
        (
            (torch.tensor([[1.0, 3.0]]),),
            torch.tensor([0.1, 0.9]),
            "Columns 1 and 3 on one axis share it as 1 to 9: 0.1 and 0.9.",
        ),
        (
            (0.03 * uneven,),
            dimensionality(uneven),
            "Short columns have dimensions, too: nothing changes when all of W is multiplied by 0.03. Guard against "
            "dividing by 0 with something tiny (1e-8), and cut nothing off.",
        ),
    ]
    expect_each(function, cases, 1e-3)


# ------------------------------------------------------------------------------------------------- 5.4 the SAE's loss


def relu_sae_loss(x, W_enc, b_enc, W_dec, b_dec, l1):
    """Squared error (summed over d_model) plus l1 times the sum of the latents, mean over the batch. -> scalar."""
    latents = torch.relu((x - b_dec) @ W_enc + b_enc)
    error = (x - (latents @ W_dec + b_dec)).square().sum(-1)
    return (error + l1 * latents.sum(-1)).mean()


def _expect_loss(result, rows):
    """A loss is a tensor of shape () that remembers how it was made."""
    if isinstance(result, float):
        raise Mistake("Your result is a float: the gradient is lost. Return a tensor, so that it can be trained.")
    expect_type(result, torch.Tensor, "Return the loss as a tensor of shape ().")
    if tuple(result.shape) == (rows,):
        raise Mistake("One loss for each row came back. Take the mean over the batch.")
    expect_shape(result, (), "The loss is one number.")
    expect_finite(result)


def check_relu_sae_loss(function):
    generator = seeded(54)
    x = torch.randn(7, 4, generator=generator) + 0.5
    W_enc, W_dec = torch.randn(4, 6, generator=generator), torch.randn(6, 4, generator=generator)
    b_enc, b_dec, l1 = torch.randn(6, generator=generator) * 0.5, torch.randn(4, generator=generator), 0.7
    given = (x, W_enc, b_enc, W_dec, b_dec, l1)
    expected = relu_sae_loss(*given)
    result = call(function, *given)
    _expect_loss(result, rows=7)
    if is_close(result, expected, 1e-3):
        _check_sae_gradient(function, given)
        return
    pre = (x - b_dec) @ W_enc + b_enc
    z = pre.relu()
    error = (x - (z @ W_dec + b_dec)).square()
    z_raw = (x @ W_enc + b_enc).relu()
    raw = (x - (z_raw @ W_dec + b_dec)).square().sum(-1)
    one_sided = (x - z @ W_dec).square().sum(-1)
    known = [
        (raw + l1 * z_raw.sum(-1), "b_dec isn't taken off the input. The encoder sees x - b_dec."),
        (one_sided + l1 * z.sum(-1), "b_dec isn't added to the reconstruction."),
        (
            error.mean(-1) + l1 * z.sum(-1),
            "The squared error is averaged over d_model: sum it, then mean over the batch.",
        ),
        (error.sum(-1) + l1 * z.mean(-1), "The L1 is averaged over the latents. Sum them, then mean over the batch."),
        (error.sum(-1), "The L1 term is missing: nothing makes the latents sparse."),
        (error.sum(-1) + z.sum(-1), "The L1 term isn't weighted: multiply it by l1."),
        (
            error.sum(-1) + l1 * z.square().sum(-1),
            "You squared the latents: that is L2, which makes them small, not few.",
        ),
        (
            error.sum(-1) + l1 * (z > 0).sum(-1),
            "You counted the latents that are on. A count has no gradient: sum the latents.",
        ),
        (
            (x - (pre @ W_dec + b_dec)).square().sum(-1) + l1 * pre.abs().sum(-1),
            "The ReLU is missing: latents can't be negative.",
        ),
        (error.sum(-1) - l1 * z.sum(-1), "The L1 term has the wrong sign: it is a price, so it is added."),
        (
            (x - (pre @ W_dec + b_dec)).square().sum(-1) + l1 * pre.sum(-1),
            "The ReLU is missing: latents can't be negative.",
        ),
        (_sae_rows(x, W_enc, -b_enc, W_dec, b_dec, l1), "b_enc is subtracted. Add it, before the ReLU."),
        (_sae_rows(x, W_enc, 0 * b_enc, W_dec, b_dec, l1), "b_enc is missing: add it before the ReLU."),
        (
            _sae_rows(x + 2 * b_dec, W_enc, b_enc, W_dec, b_dec, l1, target=x),
            "b_dec is added to the input. The encoder sees x - b_dec.",
        ),
        (error.abs().sqrt().sum(-1) + l1 * z.sum(-1), "The error isn't squared: you added its sizes."),
        ((x - (z @ W_dec + b_dec)).sum(-1) + l1 * z.sum(-1), "The error isn't squared, so its signs cancel."),
        (error.sum(-1).sqrt() + l1 * z.sum(-1), "You took the length of the error. The *squared* error is wanted."),
        (
            (x + z @ W_dec + b_dec).square().sum(-1) + l1 * z.sum(-1),
            "The reconstruction is added to x. The error is their difference.",
        ),
        (
            x.square().sum(-1) + l1 * z.sum(-1),
            "The reconstruction is missing from the error: x minus what was decoded.",
        ),
        (
            (x - (z @ W_dec - b_dec)).square().sum(-1) + l1 * z.sum(-1),
            "b_dec is subtracted after decoding. It was taken off before encoding, so add it again.",
        ),
        (
            error.sum(-1) + l1 / z.sum(-1),
            "You divided l1 by the sum of the latents. The price is l1 *times* their sum.",
        ),
        (error.sum(-1) + l1, "The price doesn't depend on the latents: l1 times their sum."),
        (z.sum(-1) * l1, "This is the price alone. Add the squared error."),
        (error.sum(-1) * (1 + l1), "l1 weighs the error. It is the price of the latents: l1 times their sum."),
    ]
    reject(result, [(rows.mean(), message) for rows, message in known], 1e-3)
    right = _sae_rows(*given)
    if is_close(result, right.median(), 1e-3) or is_close(result, right.quantile(0.5), 1e-3):
        raise Mistake("You took the median over the batch. Take the mean, as the docstring says.")
    if is_close(result, right.max(), 1e-3) or is_close(result, right[0], 1e-3):
        raise Mistake("This is one row's loss. Take the mean over the batch.")
    if is_close(result, (error.sum(-1) + l1 * z.sum(-1)).sum(), 1e-3):
        raise Mistake("You summed over the batch. Take the mean, or the batch size changes the learning rate.")
    _expect_sae_arguments_used(function, given)
    expect_close(
        result,
        expected,
        "That isn't the loss. Encode x - b_dec with a ReLU, decode, add b_dec; squared error plus l1 times latents.",
        1e-3,
    )


def _sae_rows(x, W_enc, b_enc, W_dec, b_dec, l1, target=None):
    """Each row's loss. target: what is to be rebuilt, if it isn't x."""
    z = torch.relu((x - b_dec) @ W_enc + b_enc)
    return ((x if target is None else target) - z @ W_dec - b_dec).square().sum(-1) + l1 * z.sum(-1)


def _expect_sae_arguments_used(function, given):
    names = ("x", "W_enc", "b_enc", "W_dec", "b_dec", "l1")
    other = {name: value.flip(0) + 0.1 if isinstance(value, torch.Tensor) else 0.1 for name, value in zip(names, given)}
    expect_used(function, dict(zip(names, given)), other)


WEIGHTS = ("W_enc", "b_enc", "W_dec", "b_dec")


def _gradients(function, given):
    """The gradients of a loss by the four weights of an SAE. None where none arrives."""
    leaves = [value.clone().requires_grad_() if isinstance(value, torch.Tensor) else value for value in given]
    loss = function(*leaves)
    if not loss.requires_grad:
        raise Mistake(
            "No gradient flows through your loss. Stay with tensors: no .item(), .detach() or torch.no_grad()."
        )
    loss.backward()
    return dict(zip(WEIGHTS, (leaf.grad for leaf in leaves[1:5])))


def _check_sae_gradient(function, given):
    """The loss is right; what it would train must be, too."""
    came, wanted = _gradients(function, given), _gradients(relu_sae_loss, given)
    error_alone = _gradients(relu_sae_loss, (*given[:5], 0.0))
    for name, gradient in came.items():
        if gradient is None:
            raise Mistake(f"No gradient reaches {name}: it could not be trained.")
    if is_close(came["W_enc"], error_alone["W_enc"], 1e-4):
        raise Mistake(
            "The loss is right, but its L1 term has no gradient: a number (`.item()`) or a detached tensor is a price "
            "that nothing can lower."
        )
    if is_close(came["W_enc"], wanted["W_enc"] - error_alone["W_enc"], 1e-4):
        raise Mistake(
            "The loss is right, but the error's gradient never reaches the encoder: the latents were detached before "
            "decoding."
        )
    if not is_close(came["b_dec"], wanted["b_dec"], 1e-4):
        raise Mistake(
            "The loss is right, but b_dec gets only a part of its gradient. It comes in twice, in `x - b_dec` and "
            "after decoding: detach neither."
        )
    for name, gradient in came.items():
        if not is_close(gradient, wanted[name], 1e-4):
            raise Mistake(f"The loss is right, but the gradient that reaches {name} isn't: something was detached.")
    _expect_sae_arguments_used(function, given)


# ------------------------------------------------------------------------------------------------- 5.5 the score


def mean_max_cosine(found, true):
    """Mean over true directions of the largest cosine with a found one. -> float."""
    found = found / found.norm(dim=1, keepdim=True)
    true = true / true.norm(dim=1, keepdim=True)
    return (true @ found.T).amax(1).mean().item()


def check_mean_max_cosine(function):
    generator = seeded(55)
    true = torch.randn(4, 6, generator=generator) * torch.tensor([[0.5], [1.0], [3.0], [2.0]])
    found = torch.cat([true[:3] * torch.tensor([[2.0], [-1.0], [0.2]]), torch.randn(6, 6, generator=generator)])
    found = found + 0.3 * torch.randn(9, 6, generator=generator)
    # Two true features whose best found direction is one and the same: pairing them off one to one shows.
    true = torch.cat([true, true[2:3] + 0.3 * torch.randn(1, 6, generator=generator)])
    result = one_number(call(function, found, true), "the mean over the true features")
    right = mean_max_cosine(found, true)
    if is_close(result, right, 1e-4):
        _check_simple_dictionaries(function)
        return
    f, t = found / found.norm(dim=1, keepdim=True), true / true.norm(dim=1, keepdim=True)
    cosine = t @ f.T
    known = [
        (
            cosine.amax(0).mean(),
            "The best *true* feature for each found one: that asks if latents are pure. Go the other way.",
        ),
        (
            cosine.abs().amax(1).mean(),
            "You took the sign away. A latent that points the opposite way hasn't found the feature.",
        ),
        ((true @ found.T).amax(1).mean(), "These are dot products: make both sides length 1, or long rows win."),
        ((true @ f.T).amax(1).mean(), "Only the found directions have length 1. Normalise the true ones too."),
        ((t @ found.T).amax(1).mean(), "Only the true directions have length 1. Normalise the found ones too."),
        (cosine.mean(), "This is the mean over all pairs. Take the best found direction for each true one first."),
        (cosine.max(), "This is the single best pair. Take the best for each true feature, then the mean of those."),
        (cosine.amax(1).sum(), "This is a sum over features. Take the mean."),
        (cosine.amax(1).min(), "This is the worst-found feature. Take the mean over the true features."),
    ]
    reject(result, [(float(value), message) for value, message in known], 1e-4)
    rows, columns = linear_sum_assignment(-cosine.numpy())
    if is_close(result, float(cosine[rows, columns].mean()), 1e-4):
        raise Mistake(
            "You paired features and directions off, one to one. Each true feature looks for its best direction by "
            "itself; two may share one."
        )
    _check_simple_dictionaries(function)
    message = "That isn't the score. Unit rows, a table of cosines (true, found), the largest in each row, their mean."
    expect_close(result, right, message, 1e-4)


def _check_simple_dictionaries(function):
    """Dictionaries whose score is known without a computer."""
    axes = torch.eye(3)
    scales = torch.tensor([[2.0], [0.5], [3.0]])
    cases = [
        ((axes, axes), 1.0, "Every feature is found exactly: the score is 1."),
        ((scales * axes, axes), 1.0, "Found exactly, though the found rows have lengths 2, 0.5 and 3: the score is 1."),
        ((axes, scales * axes), 1.0, "Found exactly, though the true rows have lengths 2, 0.5 and 3: the score is 1."),
        ((-axes[:1], axes[:1]), -1.0, "The one found direction points the opposite way: the score is -1."),
        ((axes[:1], axes), 1 / 3, "One of three features is found, the others are at right angles: the score is 1/3."),
        ((axes, axes[:1]), 1.0, "The one feature is among the three found directions: the score is 1."),
    ]
    expect_each(function, cases, 1e-4)


# ------------------------------------------------------------------------------------------------- 5.6 shrinkage


def size_line(true, latent):
    """Slope and intercept of the least-squares line from true to latent size, where both are on. -> two floats."""
    on = (true > 0) & (latent > 0)
    a, z = true[on], latent[on]
    slope = ((a - a.mean()) * (z - z.mean())).sum() / (a - a.mean()).square().sum()
    return slope.item(), (z.mean() - slope * a.mean()).item()


def check_size_line(function):
    generator = seeded(56)
    true = (0.5 + torch.rand(60, generator=generator)) * (torch.rand(60, generator=generator) < 0.6)
    latent = (0.8 * true - 0.2 + 0.1 * torch.randn(60, generator=generator)).relu() * (
        torch.rand(60, generator=generator) < 0.85
    )
    latent[true == 0] = 0.3 * (torch.rand(int((true == 0).sum()), generator=generator) < 0.3)
    true[true > 0] -= 0.47  # some of both are on, and smaller than 0.1
    result = call(function, true, latent)
    if isinstance(result, (torch.Tensor, np.ndarray)):
        result = result.tolist()
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        raise Mistake("Return two numbers: the slope and the intercept.")
    slope, intercept = (one_number(value, "a slope or an intercept") for value in result)
    wanted = size_line(true, latent)

    def is_line(other):
        return is_close([slope, intercept], [float(v) for v in other], 1e-3)

    if is_line(wanted):
        _check_simple_lines(function)
        return
    if is_line(wanted[::-1]):
        raise Mistake("Right numbers, other order: return the slope first, then the intercept.")
    on = (true > 0) & (latent > 0)
    if is_line(size_line(latent, true)):
        raise Mistake(
            "The axes are swapped: this line predicts the true size from the latent. Fit latent against true."
        )
    for rows, message in (
        (torch.ones_like(on), "All rows were used. Where a feature or its latent is off there is no size to compare."),
        (
            true > 0,
            "Rows where the latent is off were used: that is a missed feature, not a shrunken one. Leave them out.",
        ),
        (
            latent > 0,
            "Rows where the feature is off were used: there the latent has nothing to measure. Leave them out.",
        ),
        (
            (true > 0) | (latent > 0),
            "Rows where only one of the two is on were used. Keep those where *both* are on: `&`, not `|`.",
        ),
        ((true > 0.1) & (latent > 0.1), "Small sizes were left out. On means above 0, however little."),
        ((true > 0) & (latent > 0.1), "Small latents were left out. On means above 0, however little."),
        ((true > 0.1) & (latent > 0), "Small features were left out. On means above 0, however little."),
    ):
        a, z = true[rows], latent[rows]
        m = ((a - a.mean()) * (z - z.mean())).sum() / (a - a.mean()).square().sum()
        if is_line((m, z.mean() - m * a.mean())):
            raise Mistake(message)
    a, z = true[on], latent[on]
    if is_close(slope, float((a * z).sum() / a.square().sum()), 1e-3):
        raise Mistake(
            "This line is forced through the origin. Shrinkage by a constant shows only in an intercept: fit one."
        )
    if is_close(slope, float((z / a).mean()), 1e-3) or is_close(slope, float(z.mean() / a.mean()), 1e-3):
        raise Mistake(
            "This is a mean ratio, not a slope. Centre both sizes, then covariance over the variance of the true one."
        )
    if is_close(slope, float(torch.corrcoef(torch.stack([a, z]))[0, 1]), 1e-3):
        raise Mistake(
            "This is the correlation: it has lost the units. Divide the covariance by the variance of `true`."
        )
    if is_close(slope, wanted[0], 1e-3):
        raise Mistake("The slope is right, the intercept isn't: mean latent minus slope times mean true size.")
    _check_simple_lines(function)
    message = "That isn't the least-squares line. Keep rows where both are on; covariance over variance of `true`."
    expect_close([slope, intercept], wanted, message, 1e-3)


def _check_simple_lines(function):
    """Lines that can be seen without a computer."""
    true = torch.tensor([1.0, 2.0, 4.0, 5.0])
    gone = torch.tensor([1.0, 0.0, 2.0, 4.0, 0.0, 5.0]), torch.tensor([3.0, 7.0, 5.0, 9.0, 0.0, 11.0])
    tent = torch.tensor([1.0, 1.0, 3.0, 3.0]), torch.tensor([1.0, 2.0, 5.0, 6.0])
    cases = [
        ((true, true), (1.0, 0.0), "A latent that says the true size has slope 1 and intercept 0."),
        ((true, true - 0.5), (1.0, -0.5), "A latent that is 0.5 too small everywhere has slope 1 and intercept -0.5."),
        ((true, true / 2), (0.5, 0.0), "A latent that says half of the true size has slope 1/2 and intercept 0."),
        ((true, 2 * true + 1), (2.0, 1.0), "Points on the line 2 · true + 1 have slope 2 and intercept 1."),
        (gone, (2.0, 1.0), "Rows in which one of the two is off are left out; the others lie on 2 · true + 1."),
        (tent, (2.0, -0.5), "Sizes 1, 1, 3, 3 with latents 1, 2, 5, 6: the line runs through (1, 1.5) and (3, 5.5)."),
    ]
    expect_each(lambda *given: [one_number(v, "a slope or an intercept") for v in function(*given)], cases, 1e-3)


# ------------------------------------------------------------------------------------------------- 5.7 auxiliary loss


def auxiliary_loss(x, reconstruction, pre, W_dec, dead, k):
    """Squared error of explaining the (fixed) error by the k largest dead latents. -> scalar tensor."""
    error = (x - reconstruction).detach()
    values, columns = pre[:, dead].topk(k, dim=-1)
    latents = torch.zeros_like(pre[:, dead]).scatter(-1, columns, values.relu())
    return (error - latents @ W_dec[dead]).square().sum(-1).mean()


def _dead_case():
    generator = seeded(57)
    x, reconstruction = torch.randn(5, 4, generator=generator), torch.randn(5, 4, generator=generator)
    pre = torch.randn(5, 9, generator=generator) + 0.3
    pre[0] -= 2.5  # a row in which the largest dead latents are negative
    W_dec = torch.randn(9, 4, generator=generator)
    dead = torch.tensor([0, 1, 0, 1, 1, 0, 0, 1, 0]).bool()
    pre[:, 0] += 1.0  # a lively one, though not always among the largest
    pre[1, dead] = torch.tensor([-3.0, 0.5, 0.4, 0.2])  # a row in which the largest by size is negative
    return x, reconstruction, pre, W_dec, dead, 2


def check_auxiliary_loss(function):
    given = x, reconstruction, pre, W_dec, dead, k = _dead_case()
    expected = auxiliary_loss(*given)
    result = call(function, *given)
    _expect_loss(result, rows=5)
    if is_close(result, expected, 1e-3):
        _check_auxiliary_gradient(function, given)
        _expect_auxiliary_arguments_used(function, given)
        return

    def near_miss(mask, k=k, target=None, relu=True, keep_all=False):
        chosen = pre[:, mask]
        values, columns = chosen.topk(min(k, chosen.shape[1]), dim=-1)
        latents = torch.zeros_like(chosen).scatter(-1, columns, values.relu() if relu else values)
        latents = chosen.relu() if keep_all else latents
        target = x - reconstruction if target is None else target
        return (target - latents @ W_dec[mask]).square().sum(-1)

    everyone = torch.ones_like(dead)
    total = x + reconstruction
    left = x - reconstruction - _dead_latents(pre, dead, k) @ W_dec[dead]
    by_size = pre[:, dead] * torch.zeros_like(pre[:, dead]).scatter(-1, pre[:, dead].abs().topk(k).indices, 1.0)
    by_row = _dead_latents(pre[:, dead].T, torch.ones(5, dtype=torch.bool), k).T
    masked = torch.zeros_like(pre).scatter(-1, pre.topk(k, dim=-1).indices, pre.topk(k, dim=-1).values.relu()) * dead
    known = [
        (
            near_miss(dead, relu=False),
            "A negative pre-activation got in. Put a ReLU on what you keep: a latent is never below 0.",
        ),
        (near_miss(dead, keep_all=True), "All dead latents were used. Only the k largest of each row may help."),
        (near_miss(dead, k - 1), "k - 1 latents helped in each row. A floor at the k-th value keeps it, too: `>=`."),
        (near_miss(dead, k + 1), "k + 1 latents helped in each row: count again."),
        (
            (x - reconstruction - by_size.relu() @ W_dec[dead]).square().sum(-1),
            "You picked by absolute size. A strongly negative pre-activation says the feature is absent.",
        ),
        (
            (x - reconstruction - by_row @ W_dec[dead]).square().sum(-1),
            "Each latent kept its k best rows. Each *row* keeps its k best latents: the last axis.",
        ),
        (near_miss(dead, target=total), "You added x and the reconstruction. What is left over is their difference."),
        (left.abs().sum(-1), "The error isn't squared: you added its sizes."),
        (left.sum(-1), "The error isn't squared, so its signs cancel."),
        (left.norm(dim=-1), "You took the length of the error. The *squared* error is wanted."),
        (near_miss(everyone), "Living latents joined in. Pick among the dead ones only: `pre[:, dead]`."),
        (near_miss(~dead), "You used the living latents: `dead` is True where a latent is dead."),
        (
            near_miss(dead, target=x),
            "They were asked to rebuild x. Ask them for what is left over: x - reconstruction.",
        ),
        (
            near_miss(dead, target=reconstruction - x),
            "The error has the wrong sign: what is left over is x - reconstruction.",
        ),
        (
            (x - reconstruction - masked @ W_dec).square().sum(-1),
            "You took the k largest of *all* latents and then kept the dead ones among them, which are hardly ever "
            "there. Pick among the dead only.",
        ),
        (
            (x - reconstruction).square().sum(-1),
            "The dead latents explain nothing: this is the plain reconstruction error.",
        ),
    ]
    reject(result, [(rows.mean(), message) for rows, message in known], 1e-3)
    for factor in (5, 1 / 4, 5 / 4):
        if is_close(result, factor * expected, 1e-3):
            raise Mistake("Sum over d_model and take the mean over the batch: the loss's size is off by a constant.")
    if is_close(result, near_miss(dead).median(), 1e-3):
        raise Mistake("You took the median over the batch. Take the mean, as the docstring says.")
    _check_simple_errors(function)
    _expect_auxiliary_arguments_used(function, given)
    expect_close(
        result,
        expected,
        "That isn't the loss. The k largest dead pre-activations, ReLU, decode, compare with x - reconstruction.",
        1e-3,
    )


def _dead_latents(pre, dead, k):
    values, columns = pre[:, dead].topk(k, dim=-1)
    return torch.zeros_like(pre[:, dead]).scatter(-1, columns, values.relu())


def _expect_auxiliary_arguments_used(function, given):
    names = ("x", "reconstruction", "pre", "W_dec", "dead", "k")
    other = dict(zip(names, (given[0] + 1, given[1] - 1, given[2] + 1, given[3].flip(0), ~given[4], 1)))
    expect_used(function, dict(zip(names, given)), other)


def _check_simple_errors(function):
    """Two dead latents, each with an axis of its own; what is left over is 2 along the first."""
    x, nothing, W_dec = torch.tensor([[2.0, 0.0]]), torch.zeros(1, 2), torch.eye(2)
    dead, one = torch.ones(2, dtype=torch.bool), 1
    twice = x.expand(2, 2), nothing.expand(2, 2), torch.tensor([[2.0, -1.0], [2.0, 3.0]]), W_dec, dead
    cases = [
        ((x, nothing, torch.tensor([[2.0, -1.0]]), W_dec, dead, one), 0.0, "The dead latent explains all: no loss."),
        ((x, nothing, torch.tensor([[-2.0, -1.0]]), W_dec, dead, one), 4.0, "No dead latent is on: 2 squared is left."),
        ((x, nothing, torch.tensor([[2.0, 3.0]]), W_dec, dead, one), 13.0, "The wrong one helps: 2² and 3² are left."),
        ((*twice, one), 6.5, "Row 0 is explained, in row 1 13 is left, and each row picks for itself: 6.5 on average."),
    ]
    expect_each(function, cases)


def _check_auxiliary_gradient(function, given):
    x, reconstruction, pre, W_dec, dead, k = given
    by_pre, by_rows = pre.clone().requires_grad_(), W_dec.clone().requires_grad_()
    auxiliary_loss(x, reconstruction, by_pre, by_rows, dead, k).backward()
    leaves = [value.clone().requires_grad_() for value in (reconstruction, pre, W_dec)]
    loss = function(x, leaves[0], leaves[1], leaves[2], dead, k)
    if not loss.requires_grad:
        raise Mistake("No gradient reaches the dead latents: only the error is to be detached, not the loss.")
    loss.backward()
    if leaves[1].grad is None or not leaves[1].grad[:, dead].any():
        raise Mistake("No gradient reaches the dead latents: only the error is to be detached, not the latents.")
    if leaves[0].grad is not None and leaves[0].grad.any():
        raise Mistake(
            "The number is right, but the gradient also changes the living latents: they could make the error easier "
            "for the dead. Treat the error as fixed: `.detach()`."
        )
    if leaves[2].grad is None or not is_close(leaves[2].grad, by_rows.grad, 1e-4):
        raise Mistake(
            "The number is right, but the dead latents' rows of W_dec don't get their gradient, so they could never "
            "turn towards the error: don't detach W_dec."
        )
    if not is_close(leaves[1].grad, by_pre.grad, 1e-4):
        raise Mistake("The number is right, but the gradient that reaches `pre` isn't: something was detached.")


# ------------------------------------------------------------------------------------------------- 5.8 BatchTopK


def batch_topk(pre, k):
    """Keep the batch * k largest pre-activations of the whole batch, if positive; 0 elsewhere. -> (batch, d_sae)."""
    flat = pre.flatten()
    values, places = flat.topk(k * len(pre))
    return torch.zeros_like(flat).scatter(0, places, values.relu()).view_as(pre)


def check_batch_topk(function):
    pre = torch.tensor([[5.1, 4.2, 3.3, 2.4, 1.2], [0.5, 0.4, 0.3, 0.2, 0.1], [-1.0, 6.2, 0.9, 2.6, -9.0]])
    k = 2
    expected = batch_topk(pre, k)
    result = call(function, pre, k)
    expect_type(result, torch.Tensor, "Return the latents.")
    expect_shape(result, (3, 5), "The latents have the shape of the pre-activations.")
    if result.dtype == torch.bool or is_close(result, (expected > 0).float()):
        raise Mistake("This says which latents are on. Return their values, with 0 where they are off.")
    expect_finite(result)
    if not is_close(result, expected):
        rows = torch.zeros_like(pre).scatter(-1, pre.topk(k, dim=-1).indices, pre.topk(k, dim=-1).values.relu())
        only_k = pre * (pre >= pre.flatten().topk(k).values[-1])
        size = pre * (pre.abs() >= pre.abs().flatten().topk(k * 3).values[-1])
        kept = pre.T.topk(k, dim=-1)
        columns = torch.zeros_like(pre.T).scatter(-1, kept.indices, kept.values.relu()).T
        known = [
            (rows, "Each row kept its own k: that is TopK. BatchTopK lets the rows compete for batch * k places."),
            (
                only_k,
                "Only k latents were kept in the whole batch. There are k places *per row on average*: batch * k.",
            ),
            (size, "You picked by absolute size. A strongly negative pre-activation says the feature is absent."),
            (columns, "Each latent kept its k best rows. All of the batch competes together."),
            (pre.relu(), "Nothing was cut: this is a plain ReLU. Keep the batch * k largest."),
            (_largest(pre, 3), "As many latents were kept as there are rows. k of them *per row*: batch * k."),
            (_largest(pre, 5), "One too few was kept. A floor at the last value kept keeps that one, too: `>=`."),
            (_largest(pre, 7), "One too many was kept: batch * k, and no more."),
            (_largest(-pre, 6), "You kept the smallest. Keep the batch * k *largest*."),
        ]
        reject(result, known)
        expect_used(function, {"pre": pre, "k": k}, {"pre": pre.flip(0, 1), "k": 1})
        message = "These aren't the right latents. Flatten, keep the batch * k largest values, put them back, ReLU."
        expect_close(result, expected, message)
    expect_used(function, {"pre": pre, "k": k}, {"pre": pre.flip(0, 1), "k": 1})
    scarce = torch.tensor([[3.0, -1.0, -2.0], [-4.0, -0.5, 2.0]])
    few = call(function, scarce, 2)
    if bool((few < 0).any()):
        raise Mistake(
            "When too few are positive, negative ones were kept. Latents are never below 0: a ReLU on the values."
        )
    if not is_close(few, batch_topk(scarce, 2)):
        raise Mistake("When fewer than batch * k are positive, all of those stay, and the rest is 0.")
    leaf = pre.clone().requires_grad_()
    kept = function(leaf, k)
    if not kept.requires_grad:
        raise Mistake("No gradient flows back from your latents: no `torch.no_grad()`, no `.detach()`.")
    kept.sum().backward()
    if not is_close(leaf.grad, (expected > 0).float()):
        raise Mistake("A latent that is kept must pass its whole gradient on, and one that is cut none.")


def _largest(pre, n):
    flat = pre.flatten()
    values, places = flat.topk(n)
    return torch.zeros_like(flat).scatter(0, places, values.relu()).view_as(pre)


# ------------------------------------------------------------------------------------------------- 5.9 absorption


def absorption_rate(features, latents, W_dec, parent_direction, parent, child):
    """Share of activations with parent and child on in which the latent that looks like the parent is off. -> float."""
    looks_like_parent = (W_dec @ parent_direction / W_dec.norm(dim=1)).argmax()
    both = (features[:, parent] > 0) & (features[:, child] > 0)
    return (latents[both, looks_like_parent] == 0).float().mean().item()


def _absorbed_case():
    """Latent 3 looks like the parent (feature 1), and is off on 6 of the 13 activations with its child (feature 2).

    Each other way of choosing a latent, or of choosing and counting rows, gives another share.
    """
    generator = seeded(1)
    features = torch.zeros(45, 3)
    features[:25, 1] = 1.0
    features[:13, 2] = 1.0
    features[2:4, 1] = features[4:8, 2] = 0.2  # on, if only a little
    features[8:11, 0] = features[18:22, 0] = features[30:40, 0] = 1.0
    features[40:, 2] = 0.5  # the child without its parent: no case of absorption
    parent, child, other = torch.eye(6)[[1, 2, 0]]
    W_dec = torch.stack(
        [
            3 * other,
            child,
            -5 * parent,  # the largest cosine, if it weren't for its sign
            3 * parent + 0.3,
            4 * (parent + child),  # the largest dot product
            0.9 * parent + 0.5 * child,  # the least distance
        ]
    )
    latents = torch.rand(45, 6, generator=generator) * (torch.rand(45, 6, generator=generator) < 0.3)
    latents[:, 0] = (torch.arange(45) % 9 > 0).float()  # on more often with the parent than any other
    latents[:, 3] = 0.0
    latents[6:23, 3] = 0.8
    latents[6:8, 3] = 0.05
    latents[40:44, 3] = 0.1
    latents[:, 4] = features[:, 2]
    latents[3:7, 4] = 0.0
    return features, latents, W_dec, parent, 1, 2


def check_absorption_rate(function):
    given = features, latents, W_dec, direction, parent, child = _absorbed_case()
    result = one_number(call(function, *given), "a share between 0 and 1")
    right = absorption_rate(*given)
    if is_close(result, right, 1e-4):
        _expect_absorption_arguments_used(function, given)
        return
    off = latents[:, 3] == 0
    on_parent, on_child = features[:, parent] > 0, features[:, child] > 0
    both, alone = on_parent & on_child, on_parent & ~on_child
    two = both & ((features > 0).sum(1) == 2)
    known = [
        (off[alone], "You looked where the parent is on *without* the child. Absorption is a hole where both are on."),
        (off[on_child], "Rows with the child but without the parent were counted. Both must be on."),
        (off[on_parent], "All activations with the parent were counted. Keep those in which the child is on too."),
        (
            off[on_parent | on_child],
            "Rows with either of the two were counted. Keep those in which parent *and* child are on.",
        ),
        (off[~both], "You looked everywhere *but* where both are on. Keep those rows, and leave the others."),
        (off, "All rows were counted. Keep those in which parent and child are both on."),
        (off[two], "Rows in which a third feature is on were left out. Parent and child must be on; the rest is free."),
        (
            off[(features[:, 0] > 0) & on_parent],
            "Columns 0 and 1 were used. Use the `parent` and `child` you are given.",
        ),
        (
            off[(features[:, parent] > 0.5) & (features[:, child] > 0.5)],
            "Rows in which parent or child is small were left out. On means above 0, however little.",
        ),
        (latents[both, 3] < 0.1, "Small latents were counted as off. Off means exactly 0."),
        (latents[both, 3] < 0.5, "Small latents were counted as off. Off means exactly 0."),
        (~off[both], "This is the share in which the parent's latent is *on*. Absorption is when it is off."),
        (both[off], "This is how often both are on when the latent is off. Ask the other way round."),
    ]
    cosine = W_dec @ direction / W_dec.norm(dim=1)
    for column, message in (
        (
            (W_dec @ direction).argmax(),
            "The latent was picked by dot product, so a long row won. Compare cosines: divide by the rows' lengths.",
        ),
        (cosine.abs().argmax(), "A latent that points *against* the parent was picked: don't take the absolute value."),
        (cosine.argmin(), "The latent whose row is *least* like the parent was picked: argmax of the cosines."),
        (
            (W_dec - direction).norm(dim=1).argmin(),
            "The latent was picked by distance, which depends on the row's length. Compare cosines.",
        ),
        (
            (latents[on_parent] > 0).float().mean(0).argmax(),
            "The latent that fires most often with the parent was picked. Pick by its *row*: the most like the parent.",
        ),
        (
            parent,
            "Latent number `parent` was used. An SAE's latents come in any order: find the one whose row is most "
            "like the parent.",
        ),
    ):
        known.append((latents[both, column] == 0, message))
    reject(result, [(float(rows.float().mean()), message) for rows, message in known], 1e-4)
    if is_close(result, float(off[both].sum())):
        raise Mistake("This is a count. Divide by how often both are on.")
    if is_close(result, float(off[both].sum() / len(off))):
        raise Mistake("You divided by all rows. Divide by how often both are on.")
    if is_close(result, float((off & both).sum() / on_parent.sum())):
        raise Mistake("You divided by how often the parent is on. Divide by how often both are on.")
    if result in (0.0, 1.0):
        raise Mistake(
            f"Yours is {result:g}: all or none. Some are off and some are on; a mean over the rows says how many."
        )
    _expect_absorption_arguments_used(function, given)
    message = (
        "That isn't the share. Find the row of W_dec most like the parent; keep rows where both are on; share off."
    )
    expect_close(result, right, message, 1e-4)


def _expect_absorption_arguments_used(function, given):
    names = ("features", "latents", "W_dec", "parent_direction", "parent", "child")
    features, latents, W_dec, *_ = given
    other = (features.flip(0), latents.flip(0), W_dec.flip(0), torch.eye(6)[0], 0, 0)
    expect_used(function, dict(zip(names, given)), dict(zip(names, other)), 1e-4)


# ------------------------------------------------------------------------------------------------- 5.10 firing table


def firing_table(latents, groups, n_groups):
    """Share of each group's activations in which each latent is on. -> (n_groups, d_sae)."""
    return torch.stack([(latents[groups == group] > 0).float().mean(0) for group in range(n_groups)])


def check_firing_table(function):
    generator = seeded(510)
    latents = 3 * torch.rand(30, 4, generator=generator) * (torch.rand(30, 4, generator=generator) < 0.6)
    groups = torch.tensor([0] * 16 + [1] * 5 + [2] * 9)[torch.randperm(30, generator=generator)]
    latents[groups == 1, 2] = 0.0
    expected = firing_table(latents, groups, 3)
    result = call(function, latents, groups, 3)
    expect_type(result, torch.Tensor, "Return a table, one row a group.")
    if tuple(result.shape) == (4, 3):
        raise Mistake("The table is turned round: one *row* a group, one column a latent.")
    expect_shape(result, (3, 4), "One row for each group, one column for each latent.")
    if bool(torch.isnan(result).any()):
        raise Mistake("The table holds NaN: some group has no activations, or you divided by a count of 0.")
    expect_finite(result)
    if is_close(result, expected):
        _check_two_groups(function)
        return
    on = (latents > 0).float()
    counts = torch.stack([on[groups == g].sum(0) for g in range(3)])
    known = [
        (
            torch.stack([latents[groups == g].mean(0) for g in range(3)]),
            "These are mean sizes. Ask only *whether* a latent is on: `latents > 0`.",
        ),
        (counts, "These are counts. Divide each row by the size of its group."),
        (counts / len(latents), "You divided by all activations. Divide by the size of the group."),
        (
            counts / counts.sum(0, keepdim=True),
            "Each column adds up to 1: that says where a latent's firings fall. Divide by the size of the *group*.",
        ),
        (1 - expected, "This is the share in which each latent is off."),
        (torch.ones(3, 4), "Everything counts as on. A latent is on where it is *above* 0: `>`, not `>=`."),
        (torch.zeros(3, 4), "Nothing counts as on. A latent is on where it is above 0."),
        (
            torch.stack([on[groups == g].median(0).values for g in range(3)]),
            "You took medians, which are 0 or 1. The mean of what is on is the share.",
        ),
        *(
            (
                torch.stack([(latents[groups == g] > floor).float().mean(0) for g in range(3)]),
                "Small latents were counted as off. On means above 0, however little.",
            )
            for floor in (0.1, 0.5, 1.0)
        ),
        (torch.stack([on[groups != g].mean(0) for g in range(3)]), "Each row is of everything *but* its group."),
    ]
    reject(result, known)
    _check_two_groups(function)
    message = "These aren't the right shares. For each group: its rows, which latents are on, the mean over those rows."
    expect_close(result, expected, message)


def _check_two_groups(function):
    """A table that can be made by hand."""
    latents = torch.tensor([[1.0, 0.0, 0.1], [0.0, 3.0, 0.1], [2.0, 0.0, 0.0], [1.0, 0.0, 4.0]])
    groups = torch.tensor([0, 1, 0, 0])
    by_hand = torch.tensor([[1.0, 0.0, 2 / 3], [0.0, 1.0, 1.0]])
    told = "Three activations in group 0, one in group 1: rows [1, 0, 2/3] and [0, 1, 1]."
    expect_each(function, [((latents, groups, 2), by_hand, told)])


EXERCISES = [
    Exercise("5.1", "Five things in two numbers", toy_output, check_toy_output),
    Exercise("5.2", "Grow one", train_toy, check_train_toy),
    Exercise("5.3", "How much of a dimension", dimensionality, check_dimensionality),
    Exercise("5.4", "The loss, by hand", relu_sae_loss, check_relu_sae_loss),
    Exercise("5.5", "Was it found?", mean_max_cosine, check_mean_max_cosine),
    Exercise("5.6", "Too small by how much?", size_line, check_size_line),
    Exercise("5.7", "Waking the dead", auxiliary_loss, check_auxiliary_loss),
    Exercise("5.8", "Rows that share a budget", batch_topk, check_batch_topk),
    Exercise("5.9", "A latent with a hole", absorption_rate, check_absorption_rate),
    Exercise("5.10", "Split or absorbed?", firing_table, check_firing_table),
]

QUIZ = [
    Question(
        "Five equally important features share two hidden dimensions. Which change makes the model represent all five?",
        [
            Option(
                "Train for longer.", False, "A dense model that keeps two or three features is already at its best."
            ),
            Option(
                "Make them rarer.",
                True,
                "Interference costs only when two are on together; rare features seldom are.",
            ),
            Option(
                "Take the ReLU away.",
                False,
                "The ReLU is what cuts small interference to zero. A linear model keeps the top two directions.",
            ),
        ],
    ),
    Question(
        "Your SAE's decoder has a mean max cosine of 0.47 with the true features. Before you are pleased or sorry, "
        "you want:",
        [
            Option(
                "the same score for random directions and for PCA, at the same size.",
                True,
                "In few dimensions a random dictionary is already far from zero, and a longer one is farther.",
            ),
            Option(
                "a bigger dictionary: the score will rise.",
                False,
                "It will, for random directions as well. That isn't finding.",
            ),
            Option(
                "nothing: 0 is chance, so 0.47 is good.",
                False,
                "The best of many random cosines isn't 0. Measure chance.",
            ),
        ],
    ),
    Question(
        "In this lesson's world an L1 SAE fires on a feature of true size 1. Its latent reads well below 1. Why?",
        [
            Option(
                "The decoder's rows aren't length 1.",
                False,
                "They are, after each step; otherwise L1 could be cheated.",
            ),
            Option(
                "The direction is wrong by that much.",
                False,
                "Its cosine with the truth is above 0.9. The direction is fine.",
            ),
            Option(
                "Each unit of latent costs l1, so the best latent stops short of the true size.",
                True,
                "The error it leaves is cheaper than the price of the last bit.",
            ),
        ],
    ),
    Question(
        "A dictionary of 256 latents is trained on a world of 64 features; most of its latents end up dead. You "
        "conclude:",
        [
            Option("Training failed.", False, "Look at the features found, not at the latents left over."),
            Option(
                "It depends: if all 64 were found, there was nothing left for them to do.",
                True,
                "Dead latents are a fault when features are still missing. Here you can check; in a model you can't.",
            ),
            Option(
                "The auxiliary loss would make all of them useful.", False, "It can't find features that aren't there."
            ),
        ],
    ),
    Question(
        "On the frontier, SAE A explains more variance than SAE B at the same L0. Which of these follows?",
        [
            Option(
                "A's latents are nearer to the true features.",
                False,
                "Compare the two panels: the order by variance explained isn't the order by features found.",
            ),
            Option("A has less absorption.", False, "Absorption saves latents. It can improve this very number."),
            Option(
                "A reconstructs better with as many latents.", True, "That, and only that: nothing about directions."
            ),
        ],
    ),
    Question(
        "A latent labelled 'starts with S' is off on the word 'short'. Its decoder row is a perfect match. Which "
        "test tells absorption from a threshold that is too high?",
        [
            Option(
                "See whether the misses gather where another, more special latent is on and carries the parent's "
                "direction.",
                True,
                "Misses at random, or on weak cases, are not absorption. That is the control in 5.9.",
            ),
            Option(
                "Look at the examples on which the latent fires most.",
                False,
                "They are all right. The hole is where it doesn't fire.",
            ),
            Option("Measure its precision.", False, "Absorption leaves precision perfect and takes recall."),
        ],
    ),
    Question(
        "Matryoshka's first group holds 8 latents, and absorption is rare. What did this lesson measure that goes "
        "with it?",
        [
            Option(
                "It is better everywhere.",
                False,
                "At a budget below the true number of features it helped little or not at all.",
            ),
            Option(
                "A little variance explained is given up, and it helps only when the budget isn't too tight.",
                True,
                "Both are in the table, over five seeds.",
            ),
            Option(
                "Absorption is solved.",
                False,
                "It fell, not to zero, in a world whose hierarchy we built ourselves, one level deep.",
            ),
        ],
    ),
]
