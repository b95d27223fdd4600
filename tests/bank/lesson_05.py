"""Lesson 05: wrong answers with the words that must reject them, and right answers written differently."""

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

# ---------------------------------------------------------------------------------------------------------- 5.1


def _toy(x, W, b):
    return (x @ W.T @ W + b).relu()


def _toy_in_place(x, W, b):
    x *= 1.0001
    return _toy(x, W, b)


def _toy_einsum(x, W, b):
    hidden = torch.einsum("bf,hf->bh", x, W)
    return torch.clamp(torch.einsum("bh,hf->bf", hidden, W) + b, min=0)


def _toy_by_rows(x, W, b):
    gram = W.T @ W
    return torch.stack([torch.maximum(gram @ row + b, torch.zeros_like(b)) for row in x])


def _noise(*shape):
    return lambda *args: torch.randn(*shape, generator=torch.Generator().manual_seed(1))


# ---------------------------------------------------------------------------------------------------------- 5.2


def _train(W, b, batches, importance, rate, weigh=True, over="sum", clear=True, kind=torch.optim.Adam, only_W=False):
    W, b = W.clone().requires_grad_(), b.clone().requires_grad_()
    optimiser = kind([W] if only_W else [W, b], lr=rate)
    losses = []
    for x in batches:
        error = (x - torch.relu(x @ W.T @ W + b)).square() * (importance if weigh else 1)
        loss = {"sum": error.sum(-1).mean(), "mean": error.mean(), "all": error.sum()}[over]
        if clear:
            optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return W.detach(), b.detach(), losses


def _train_as_tensors(W, b, batches, importance, rate):
    W, b, losses = _train(W, b, batches, importance, rate)
    return W, b, [torch.tensor(loss, requires_grad=True) for loss in losses]


def _train_nothing(W, b, batches, importance, rate):
    first = _train(W, b, batches[:1], importance, rate)[2]
    return W, b, first * len(batches)


def _train_keeps_start(W, b, batches, importance, rate):
    _, after, losses = _train(W, b, batches, importance, rate)
    return W.clone(), after, losses


def _train_one_step(W, b, batches, importance, rate):
    return _train(W, b, batches[:1], importance, rate)


def _train_attached(W, b, batches, importance, rate):
    W, b, losses = _train(W, b, batches, importance, rate)
    return W.requires_grad_(), b, losses


def _train_in_place(W, b, batches, importance, rate):
    after, b_after, losses = _train(W, b, batches, importance, rate)
    W.copy_(after)
    return W, b_after, losses


def _train_functional(W, b, batches, importance, rate):
    model = torch.nn.ParameterDict({"W": torch.nn.Parameter(W.clone()), "b": torch.nn.Parameter(b.clone())})
    optimiser = torch.optim.Adam(model.parameters(), lr=rate)
    losses = []
    for x in batches:
        model.zero_grad()
        error = x - torch.relu(x @ model["W"].T @ model["W"] + model["b"])
        loss = (error.pow(2) @ importance).mean()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    return model["W"].detach(), model["b"].detach(), losses


def _train_with_autograd(W, b, batches, importance, rate):
    values = [W.detach().clone().requires_grad_(), b.detach().clone().requires_grad_()]
    optimiser = torch.optim.Adam(values, lr=rate)
    losses = torch.zeros(len(batches))
    for i, x in enumerate(batches):
        loss = ((x - torch.relu(x @ values[0].T @ values[0] + values[1])) ** 2 * importance).sum() / len(x)
        values[0].grad, values[1].grad = torch.autograd.grad(loss, values)
        optimiser.step()
        losses[i] = loss.detach()
    return values[0].detach(), values[1].detach(), losses


# ---------------------------------------------------------------------------------------------------------- 5.3


def _units(W):
    return W / W.norm(dim=0).clamp_min(1e-8)


def _share(W):
    return W.square().sum(0) / (_units(W).T @ W).square().sum(1).clamp_min(1e-8)


def _share_nan(W):
    return W.square().sum(0) / ((W / W.norm(dim=0)).T @ W).square().sum(1)


def _share_of_rows(W):
    return _share(W.T)


def _share_without_self(W):
    overlap = (_units(W).T @ W).square()
    overlap.fill_diagonal_(0)
    return W.square().sum(0) / overlap.sum(1).clamp_min(1e-8)


def _share_both_units(W):
    return (W.norm(dim=0) > 0) / (_units(W).T @ _units(W)).square().sum(1).clamp_min(1e-8)


def _share_by_loop(W):
    out = torch.zeros(W.shape[1])
    for i in range(W.shape[1]):
        length = W[:, i].norm()
        if length > 0:
            out[i] = length**2 / sum((W[:, i] / length @ W[:, j]) ** 2 for j in range(W.shape[1]))
    return out


def _share_by_gram(W):
    gram = W.T @ W
    squared = gram.diagonal()
    return (squared.square() / gram.square().sum(1)).nan_to_num(0.0)


def _share_by_frame(W):
    """How far all features together reach along each one: |W_i|^4 / (W_i . (W W^T) W_i)."""
    reach = torch.einsum("hi,hk,ki->i", W, W @ W.T, W)
    return torch.where(reach > 1e-12, W.square().sum(0).square() / reach.clamp_min(1e-12), 0.0)


# ---------------------------------------------------------------------------------------------------------- 5.4


def _sae(x, W_enc, b_enc, W_dec, b_dec, l1, centre=True, add=True, relu=True, power=1, axis="sum", price=None):
    pre = (x - b_dec if centre else x) @ W_enc + b_enc
    z = pre.relu() if relu else pre
    error = (x - z @ W_dec - (b_dec if add else 0)).square()
    error = error.sum(-1) if axis == "sum" else error.mean(-1)
    return (error + (l1 if price is None else price) * z.abs().pow(power).sum(-1)).mean()


def _sae_detached(*args):
    return _sae(*args).detach()


def _sae_with(error_latents=lambda z: z, price=lambda z: z, taken_off=lambda b: b, added=lambda b: b):
    """The right loss, whose gradient is cut somewhere."""

    def loss(x, W_enc, b_enc, W_dec, b_dec, l1):
        z = ((x - taken_off(b_dec)) @ W_enc + b_enc).relu()
        error = (x - error_latents(z) @ W_dec - added(b_dec)).square().sum(-1)
        return error.mean() + l1 * price(z.sum(-1).mean())

    return loss


def _cut(tensor):
    return tensor.detach()


def _sae_sum(x, *rest):
    return _sae(x, *rest) * len(x)


def _sae_by_parts(x, W_enc, b_enc, W_dec, b_dec, l1):
    z = torch.clamp(torch.nn.functional.linear(x - b_dec, W_enc.T, b_enc), min=0)
    rebuilt = torch.addmm(b_dec, z, W_dec)
    return ((x - rebuilt) ** 2).sum() / x.shape[0] + l1 * z.norm(p=1, dim=-1).mean()


def _sae_einsum(x, W_enc, b_enc, W_dec, b_dec, l1):
    z = torch.relu(torch.einsum("bd,ds->bs", x - b_dec, W_enc) + b_enc)
    left = x - b_dec - torch.einsum("bs,sd->bd", z, W_dec)
    return torch.stack([row @ row + l1 * latents.sum() for row, latents in zip(left, z)]).mean()


# ---------------------------------------------------------------------------------------------------------- 5.5


def _unit(rows):
    return rows / rows.norm(dim=1, keepdim=True)


def _cosines(found, true):
    return _unit(true) @ _unit(found).T


def _paired_off(found, true):
    cosines = _cosines(found, true).numpy()
    return float(cosines[linear_sum_assignment(-cosines)].mean())


def _score_by_loop(found, true):
    best = [max(float(torch.cosine_similarity(t, f, dim=0)) for f in found) for t in true]
    return sum(best) / len(best)


def _score_by_broadcast(found, true):
    return torch.cosine_similarity(true[:, None], found[None], dim=-1).max(dim=1).values.mean()


# ---------------------------------------------------------------------------------------------------------- 5.6


def _fit(a, z):
    slope = ((a - a.mean()) * (z - z.mean())).sum() / (a - a.mean()).square().sum()
    return float(slope), float(z.mean() - slope * a.mean())


def _line(true, latent):
    on = (true > 0) & (latent > 0)
    return _fit(true[on], latent[on])


def _line_origin(true, latent):
    on = (true > 0) & (latent > 0)
    return float((true[on] * latent[on]).sum() / true[on].square().sum()), 0.0


def _line_ratio(true, latent):
    on = (true > 0) & (latent > 0)
    return float((latent[on] / true[on]).mean()), 0.0


def _line_numpy(true, latent):
    on = ((true > 0) & (latent > 0)).numpy()
    return tuple(np.polyfit(true.numpy()[on].astype(np.float64), latent.numpy()[on].astype(np.float64), 1))


def _line_as_array(true, latent):
    on = ((true > 0) & (latent > 0)).numpy()
    return np.polyfit(true.numpy()[on], latent.numpy()[on], 1)


def _line_lstsq(true, latent):
    on = torch.logical_and(true != 0, latent != 0)
    design = torch.stack([true[on], torch.ones(int(on.sum()))], 1)
    return torch.linalg.lstsq(design, latent[on, None]).solution.squeeze(1)


# ---------------------------------------------------------------------------------------------------------- 5.7


def _aid(x, rec, pre, W_dec, dead, k, relu=True, target="error", detach=True, every=False):
    left = {"error": x - rec, "x": x, "minus": rec - x}[target]
    left = left.detach() if detach else left
    chosen = pre[:, dead]
    values, columns = chosen.topk(k, dim=-1)
    z = torch.zeros_like(chosen).scatter(-1, columns, values.relu() if relu else values)
    z = chosen.relu() if every else z
    return (left - z @ W_dec[dead]).square().sum(-1).mean()


def _aid_everyone(x, rec, pre, W_dec, dead, k):
    return _aid(x, rec, pre, W_dec, torch.ones_like(dead), k)


def _aid_cut_later(x, rec, pre, W_dec, dead, k):
    values, columns = pre.topk(k, dim=-1)
    z = torch.zeros_like(pre).scatter(-1, columns, values.relu()) * dead
    return ((x - rec).detach() - z @ W_dec).square().sum(-1).mean()


def _aid_no_gradient(x, rec, pre, W_dec, dead, k):
    return _aid(x, rec, pre.detach(), W_dec, dead, k)


def _aid_rows_detached(x, rec, pre, W_dec, dead, k):
    return _aid(x, rec, pre, W_dec.detach(), dead, k)


def _aid_by_size(x, rec, pre, W_dec, dead, k):
    chosen = pre[:, dead]
    z = torch.zeros_like(chosen).scatter(-1, chosen.abs().topk(k).indices, 1.0) * chosen
    return ((x - rec).detach() - z.relu() @ W_dec[dead]).square().sum(-1).mean()


def _aid_by_columns(x, rec, pre, W_dec, dead, k):
    chosen = pre[:, dead]
    z = torch.zeros_like(chosen).scatter(0, chosen.topk(k, dim=0).indices, 1.0) * chosen
    return ((x - rec).detach() - z.relu() @ W_dec[dead]).square().sum(-1).mean()


def _aid_masked(x, rec, pre, W_dec, dead, k):
    hidden = pre.masked_fill(~dead, -torch.inf)
    floor = hidden.topk(k, dim=-1).values[:, -1:]
    z = torch.where(hidden >= floor, pre, torch.zeros_like(pre)).relu()
    return ((x - rec).detach() - z @ W_dec).pow(2).sum() / len(x)


def _aid_by_rows(x, rec, pre, W_dec, dead, k):
    rows = dead.nonzero().squeeze(1)
    total = 0.0
    for left, p in zip((x - rec).detach(), pre):
        best = rows[p[rows].argsort(descending=True)[:k]]
        total = total + (left - p[best].clamp_min(0) @ W_dec[best]).square().sum()
    return total / len(x)


# ---------------------------------------------------------------------------------------------------------- 5.8


def _topk_rows(pre, k):
    values, columns = pre.topk(k, dim=-1)
    return torch.zeros_like(pre).scatter(-1, columns, values.relu())


def _topk_batch(pre, k):
    floor = pre.flatten().topk(k * len(pre)).values[-1]
    return torch.where(pre >= floor, pre, torch.zeros_like(pre)).relu()


def _topk_negative(pre, k):
    floor = pre.flatten().topk(k * len(pre)).values[-1]
    return pre * (pre >= floor)


def _topk_size(pre, k):
    floor = pre.abs().flatten().topk(k * len(pre)).values[-1]
    return pre * (pre.abs() >= floor)


def _topk_few(pre, k):
    return pre * (pre >= pre.flatten().topk(k).values[-1])


def _topk_without_gradient(pre, k):
    with torch.no_grad():
        return _topk_batch(pre, k)


def _topk_strict(pre, k):
    floor = pre.flatten().topk(k * len(pre)).values[-1]
    return torch.where(pre > floor, pre, torch.zeros_like(pre)).relu()


def _topk_in_place(pre, k):
    floor = pre.flatten().topk(k * len(pre)).values[-1]
    pre[pre < floor] = 0
    return pre.relu()


def _topk_sorted(pre, k):
    flat = pre.reshape(-1)
    order = flat.argsort(descending=True)
    out = flat.clamp_min(0).clone()
    out[order[k * pre.shape[0] :]] = 0
    return out.reshape(pre.shape)


# ---------------------------------------------------------------------------------------------------------- 5.9


def _off(features, z, rows, direction, parent, child, where="both", pick="cosine", share=True, floor=0.0):
    score = rows @ direction
    score = score / rows.norm(dim=1) if pick != "dot" else score
    score = score.abs() if pick == "size" else score
    score = -(rows - direction).norm(dim=1) if pick == "distance" else score
    score = (z[features[:, parent] > 0] > 0).float().mean(0) if pick == "firing" else score
    column = parent if pick == "number" else int(score.argmax())
    p, c = features[:, parent] > 0, features[:, child] > 0
    keep = {"both": p & c, "alone": p & ~c, "child": c, "parent": p, "either": p | c, "all": p | True}
    keep["two"] = p & c & ((features > 0).sum(1) == 2)
    off = (z[keep[where], column] <= floor).float()
    return float(off.mean() if share else off.sum())


def _off_by_loop(features, z, rows, direction, parent, child):
    cosines = [float(torch.cosine_similarity(row, direction, dim=0)) for row in rows]
    column = cosines.index(max(cosines))
    cases = [i for i, f in enumerate(features) if f[parent] > 0 and f[child] > 0]
    return sum(float(z[i, column]) == 0 for i in cases) / len(cases)


def _off_by_numpy(features, z, rows, direction, parent, child):
    rows, f = rows.numpy(), features.numpy()
    column = np.argmax(rows @ direction.numpy() / np.linalg.norm(rows, axis=1))
    return float(1 - (z.numpy()[(f[:, parent] * f[:, child]) > 0, column] > 0).mean())


# --------------------------------------------------------------------------------------------------------- 5.10


def _table(z, groups, n):
    return torch.stack([(z[groups == g] > 0).float().mean(0) for g in range(n)])


def _counts(z, groups, n):
    return torch.stack([(z[groups == g] > 0).float().sum(0) for g in range(n)])


def _table_by_product(z, groups, n):
    member = torch.nn.functional.one_hot(groups, n).float()
    return member.T @ (z > 0).float() / member.sum(0)[:, None]


def _table_by_loop(z, groups, n):
    out = torch.zeros(n, z.shape[1])
    for g in range(n):
        rows = z[groups == g]
        for j in range(z.shape[1]):
            out[g, j] = (rows[:, j] != 0).sum() / len(rows)
    return out


WRONG = {
    "5.1": [
        ("no ReLU", lambda x, W, b: x @ W.T @ W + b, "The ReLU is missing"),
        ("no bias", lambda x, W, b: (x @ W.T @ W).relu(), "The bias is missing"),
        ("bias after the ReLU", lambda x, W, b: (x @ W.T @ W).relu() + b, "comes after the ReLU"),
        ("ReLU in the bottleneck", lambda x, W, b: (x @ W.T).relu() @ W + b, "a ReLU in the bottleneck"),
        ("two ReLUs", lambda x, W, b: ((x @ W.T).relu() @ W + b).relu(), "The hidden layer is linear"),
        ("the bottleneck", lambda x, W, b: x @ W.T, "Your result is the bottleneck"),
        ("W the wrong way round", lambda x, W, b: (x @ W @ W.T + b).relu(), "W is (n_hidden, n_features)"),
        ("the input", lambda x, W, b: x.clone(), "This is the input itself"),
        ("noise", _noise(6, 5), "the same whatever `x` is"),
        ("changes x", _toy_in_place, "changed its input"),
        ("features off in x stay off", lambda x, W, b: _toy(x, W, b) * (x > 0), "Features that are off in `x`"),
        ("bias subtracted", lambda x, W, b: (x @ W.T @ W - b).relu(), "The bias is subtracted"),
        ("absolute", lambda x, W, b: (x @ W.T @ W + b).abs(), "You took absolute values"),
        ("cut off above 1", lambda x, W, b: _toy(x, W, b).clamp(0, 1), "You cut off above 1"),
    ],
    "5.2": [
        ("unweighted", lambda *a: _train(*a, weigh=False), "The importances aren't used"),
        ("mean over features", lambda *a: _train(*a, over="mean"), "You averaged over the features"),
        ("sum over the batch", lambda *a: _train(*a, over="all"), "You summed over the batch too"),
        ("no zero_grad", lambda *a: _train(*a, clear=False), "Gradients pile up"),
        ("SGD", lambda *a: _train(*a, kind=torch.optim.SGD), "plain gradient descent"),
        ("trains nothing", _train_nothing, "W hasn't changed"),
        ("gives the start back", _train_keeps_start, "not the W and b that came back"),
        ("one step only", _train_one_step, "one step, and one loss, a batch"),
        ("still attached", _train_attached, "Return them detached"),
        ("changes W", _train_in_place, "changed its input"),
        ("forgets the bias", lambda *a: _train(*a, only_W=True), "The loss ends at"),
        ("only W", lambda *a: _train(*a)[0], "Return three things"),
        ("AdamW", lambda *a: _train(*a, kind=torch.optim.AdamW), "This is AdamW"),
        ("bias from 0", lambda W, b, *a: _train(W, torch.zeros_like(b), *a), "Your bias starts at 0"),
        ("the default learning rate", lambda W, b, x, i, rate: _train(W, b, x, i, 0.001), "The learning rate is 0.001"),
        (
            "losses rounded",
            lambda *a: (*_train(*a)[:2], [float(f"{x:.2g}") for x in _train(*a)[2]]),
            "The losses are rounded",
        ),
    ],
    "5.3": [
        ("rows for features", _share_of_rows, "A feature is a *column* of W"),
        ("NaN for nothing", _share_nan, "gives NaN"),
        ("without itself", _share_without_self, "leaves out j = i"),
        ("both normalised", _share_both_units, "Lengths have dropped out"),
        (
            "summed over i",
            lambda W: W.square().sum(0) / (_units(W).T @ W).square().sum(0).clamp_min(1e-8),
            "the sum runs over i",
        ),
        (
            "both normalised below",
            lambda W: W.square().sum(0) / (_units(W).T @ _units(W)).square().sum(1).clamp_min(1e-8),
            "Both sides of the sum",
        ),
        (
            "nothing normalised",
            lambda W: W.square().sum(0) / (W.T @ W).square().sum(1).clamp_min(1e-8),
            "W_i wasn't normalised",
        ),
        ("the squared length", lambda W: W.square().sum(0), "|W_i|^2 alone"),
        (
            "not squared below",
            lambda W: W.square().sum(0) / (_units(W).T @ W).abs().sum(1).clamp_min(1e-8),
            "without being squared",
        ),
        (
            "length above",
            lambda W: W.norm(dim=0) / (_units(W).T @ W).square().sum(1).clamp_min(1e-8),
            "it should be squared",
        ),
        ("a constant", lambda W: torch.full((W.shape[1],), 0.4), "each alone on an axis"),
        (
            "short columns cut off",
            lambda W: torch.where(W.norm(dim=0) < 0.06, 0.0, _share(W)),
            "Short columns have dimensions, too",
        ),
        (
            "clamped at 1",
            lambda W: W.square().sum(0) / (_units(W).T @ W).square().sum(1).clamp_min(1),
            "Guard against dividing by 0",
        ),
        (
            "one length for all",
            lambda W: W.norm() ** 2 / ((W / W.norm().clamp_min(1e-8)).T @ W).square().sum(1).clamp_min(1e-8),
            "each alone on an axis, have 1",
        ),
    ],
    "5.4": [
        ("b_dec not taken off", lambda *a: _sae(*a, centre=False), "b_dec isn't taken off"),
        ("b_dec not added", lambda *a: _sae(*a, add=False), "b_dec isn't added"),
        ("mean over d_model", lambda *a: _sae(*a, axis="mean"), "averaged over d_model"),
        ("no ReLU", lambda *a: _sae(*a, relu=False), "latents can't be negative"),
        ("squared latents", lambda *a: _sae(*a, power=2), "You squared the latents"),
        ("no price", lambda *a: _sae(*a, price=0.0), "The L1 term is missing"),
        ("price of 1", lambda *a: _sae(*a, price=1.0), "isn't weighted"),
        ("a reward", lambda *a: _sae(*a[:5], -a[5]), "wrong sign"),
        ("sum over the batch", _sae_sum, "You summed over the batch"),
        ("a float", lambda *a: float(_sae(*a)), "the gradient is lost"),
        ("detached", _sae_detached, "No gradient flows"),
        ("price without gradient", _sae_with(price=lambda z: z.item()), "its L1 term has no gradient"),
        ("price detached", _sae_with(price=_cut), "a price that nothing can lower"),
        ("b_dec detached before encoding", _sae_with(taken_off=_cut), "b_dec gets only a part of its gradient"),
        ("b_dec detached after decoding", _sae_with(added=_cut), "in `x - b_dec` and after"),
        ("latents detached before decoding", _sae_with(error_latents=_cut), "never reaches the encoder"),
        ("b_enc subtracted", lambda x, W, b, *a: _sae(x, W, -b, *a), "b_enc is subtracted"),
        ("b_enc missing", lambda x, W, b, *a: _sae(x, W, 0 * b, *a), "b_enc is missing"),
        (
            "the length of the error",
            lambda x, W, b, V, c, l1: (
                (x - ((x - c) @ W + b).relu() @ V - c).norm(dim=-1) + l1 * ((x - c) @ W + b).relu().sum(-1)
            ).mean(),
            "the length of the error",
        ),
        ("l1 on the error", lambda *a: _sae(*a, price=0.0) * (1 + a[5]), "l1 weighs the error"),
    ],
    "5.5": [
        (
            "other way round",
            lambda f, t: float(_cosines(f, t).amax(0).mean()),
            "The best *true* feature for each found one",
        ),
        ("absolute", lambda f, t: float(_cosines(f, t).abs().amax(1).mean()), "You took the sign away"),
        ("dot products", lambda f, t: float((t @ f.T).amax(1).mean()), "These are dot products"),
        ("found not unit", lambda f, t: float((_unit(t) @ f.T).amax(1).mean()), "Normalise the found ones too"),
        ("true not unit", lambda f, t: float((t @ _unit(f).T).amax(1).mean()), "Normalise the true ones too"),
        ("mean of all", lambda f, t: float(_cosines(f, t).mean()), "mean over all pairs"),
        ("best of all", lambda f, t: float(_cosines(f, t).max()), "the single best pair"),
        ("per feature", lambda f, t: _cosines(f, t).amax(1), "expected one number"),
        ("a constant", lambda f, t: 1.0, "points the opposite way: the score is -1"),
        ("paired off one to one", _paired_off, "You paired features and directions off"),
        (
            "one length for all rows",
            lambda f, t: float((t / t.norm() @ (f / f.norm()).T).amax(1).mean()),
            "Every feature is found exactly",
        ),
    ],
    "5.6": [
        ("through the origin", _line_origin, "forced through the origin"),
        ("a mean ratio", _line_ratio, "a mean ratio, not a slope"),
        ("axes swapped", lambda t, z: _line(z, t), "The axes are swapped"),
        ("all rows", _fit, "All rows were used"),
        ("missed ones too", lambda t, z: _fit(t[t > 0], z[t > 0]), "where the latent is off were used"),
        ("false alarms too", lambda t, z: _fit(t[z > 0], z[z > 0]), "where the feature is off were used"),
        ("order swapped", lambda t, z: _line(t, z)[::-1], "return the slope first"),
        ("slope only", lambda t, z: _line(t, z)[0], "Return two numbers"),
        ("no intercept", lambda t, z: (_line(t, z)[0], 0.0), "the intercept isn't"),
        ("a constant", lambda t, z: (1.0, 0.0), "0.5 too small everywhere"),
        (
            "small sizes left out",
            lambda t, z: _fit(t[(t > 0.1) & (z > 0.1)], z[(t > 0.1) & (z > 0.1)]),
            "Small sizes were left out",
        ),
        ("either is on", lambda t, z: _fit(t[(t > 0) | (z > 0)], z[(t > 0) | (z > 0)]), "`&`, not `|`"),
        ("not centred below", lambda t, z: (_line(t, z)[0] * 0.5, 1.0), "says the true size has slope 1"),
    ],
    "5.7": [
        ("everyone helps", _aid_everyone, "Living latents joined in"),
        ("the living", lambda x, r, p, W, d, k: _aid(x, r, p, W, ~d, k), "You used the living latents"),
        ("all the dead", lambda *a: _aid(*a, every=True), "All dead latents were used"),
        ("no ReLU", lambda *a: _aid(*a, relu=False), "A negative pre-activation got in"),
        ("rebuilds x", lambda *a: _aid(*a, target="x"), "They were asked to rebuild x"),
        ("error turned round", lambda *a: _aid(*a, target="minus"), "The error has the wrong sign"),
        ("chosen before cut", _aid_cut_later, "and then kept the dead ones"),
        ("not detached", lambda *a: _aid(*a, detach=False), "Treat the error as fixed"),
        ("latents detached", _aid_no_gradient, "not the latents"),
        ("off by a constant", lambda *a: _aid(*a) * len(a[0]), "off by a constant"),
        ("a float", lambda *a: float(_aid(*a)), "the gradient is lost"),
        ("rows of W_dec detached", _aid_rows_detached, "don't detach W_dec"),
        ("by absolute size", _aid_by_size, "You picked by absolute size"),
        ("best rows of each latent", _aid_by_columns, "Each latent kept its k best rows"),
        ("one too few", lambda x, r, p, W, d, k: _aid(x, r, p, W, d, k - 1), "k - 1 latents helped"),
        ("k ignored", lambda x, r, p, W, d, k: _aid(x, r, p, W, d, 2), "the same whatever `k` is"),
    ],
    "5.8": [
        ("each row its k", _topk_rows, "Each row kept its own k"),
        ("k in all", _topk_few, "Only k latents were kept"),
        ("by size", _topk_size, "You picked by absolute size"),
        ("keeps negatives", _topk_negative, "negative ones were kept"),
        ("a mask", lambda p, k: _topk_batch(p, k) > 0, "This says which latents are on"),
        ("plain ReLU", lambda p, k: p.relu(), "Nothing was cut"),
        ("each column its k", lambda p, k: _topk_rows(p.T, k).T, "Each latent kept its k best rows"),
        ("changes pre", _topk_in_place, "changed its input"),
        ("noise", _noise(3, 5), "the same whatever `pre` is"),
        ("without gradient", _topk_without_gradient, "No gradient flows back"),
        ("one too few", _topk_strict, "One too few was kept"),
        ("k ignored", lambda p, k: _topk_batch(p, 2), "the same whatever `k` is"),
    ],
    "5.9": [
        ("share on", lambda *a: 1 - _off(*a), "the share in which the parent's latent is *on*"),
        ("parent alone", lambda *a: _off(*a, where="alone"), "where the parent is on *without* the child"),
        ("child is enough", lambda *a: _off(*a, where="child"), "Rows with the child but without the parent"),
        ("parent is enough", lambda *a: _off(*a, where="parent"), "All activations with the parent"),
        ("either is enough", lambda *a: _off(*a, where="either"), "Rows with either of the two"),
        ("all rows", lambda *a: _off(*a, where="all"), "All rows were counted"),
        ("by dot product", lambda *a: _off(*a, pick="dot"), "picked by dot product"),
        ("by absolute cosine", lambda *a: _off(*a, pick="size"), "points *against* the parent"),
        ("by number", lambda *a: _off(*a, pick="number"), "Latent number `parent` was used"),
        ("a count", lambda *a: _off(*a, share=False), "This is a count"),
        ("a constant", lambda *a: 0.77, "the same whatever `features` is"),
        ("by distance", lambda *a: _off(*a, pick="distance"), "picked by distance"),
        ("large features only", lambda f, *a: _off((f > 0.5) * 1.0, *a), "parent or child is small"),
        ("by firing", lambda *a: _off(*a, pick="firing"), "fires most often with the parent"),
        ("small ones count as off", lambda *a: _off(*a, floor=0.09), "Small latents were counted as off"),
        ("no third feature", lambda *a: _off(*a, where="two"), "a third feature is on were left out"),
        ("columns 0 and 1", lambda f, z, W, d, p, c: _off(f, z, W, d, 0, 1), "Columns 0 and 1 were used"),
    ],
    "5.10": [
        ("turned round", lambda z, g, n: _table(z, g, n).T, "The table is turned round"),
        ("mean sizes", lambda z, g, n: torch.stack([z[g == i].mean(0) for i in range(n)]), "These are mean sizes"),
        ("counts", _counts, "These are counts"),
        ("share of all", lambda z, g, n: _counts(z, g, n) / len(z), "You divided by all activations"),
        ("columns add to 1", lambda z, g, n: _counts(z, g, n) / _counts(z, g, n).sum(0), "Each column adds up to 1"),
        ("share off", lambda z, g, n: 1 - _table(z, g, n), "each latent is off"),
        (
            "the others",
            lambda z, g, n: torch.stack([(z[g != i] > 0).float().mean(0) for i in range(n)]),
            "everything *but* its group",
        ),
        ("a constant", lambda z, g, n: torch.full((n, z.shape[1]), 0.5), "rows [1, 0, 2/3]"),
        (
            "everything is on",
            lambda z, g, n: torch.stack([(z[g == i] >= 0).float().mean(0) for i in range(n)]),
            "Everything counts as on",
        ),
        (
            "large ones only",
            lambda z, g, n: torch.stack([(z[g == i] > 0.5).float().mean(0) for i in range(n)]),
            "Small latents were counted as off",
        ),
        (
            "medians",
            lambda z, g, n: torch.stack([(z[g == i] > 0).float().median(0).values for i in range(n)]),
            "You took medians",
        ),
    ],
}

RIGHT = {
    "5.1": [("einsum and clamp", _toy_einsum), ("row by row, by the Gram matrix", _toy_by_rows)],
    "5.2": [
        ("a parameter dictionary", _train_functional),
        ("autograd.grad, a tensor of losses", _train_with_autograd),
        ("losses as tensors of one number", _train_as_tensors),
    ],
    "5.3": [
        ("a double loop", _share_by_loop),
        ("the Gram matrix alone", _share_by_gram),
        ("the frame operator", _share_by_frame),
    ],
    "5.4": [("linear, addmm, norm", _sae_by_parts), ("einsum and a loop", _sae_einsum)],
    "5.5": [("a double loop", _score_by_loop), ("broadcast", _score_by_broadcast)],
    "5.6": [
        ("numpy.polyfit", _line_numpy),
        ("lstsq, as a tensor", _line_lstsq),
        ("numpy.polyfit, as an array", _line_as_array),
    ],
    "5.7": [("a mask and a floor", _aid_masked), ("row by row", _aid_by_rows)],
    "5.8": [("a floor", _topk_batch), ("by sorting", _topk_sorted)],
    "5.9": [("a loop", _off_by_loop), ("numpy", _off_by_numpy)],
    "5.10": [("one-hot and a product", _table_by_product), ("two loops", _table_by_loop)],
}


_SUM_OF_DEVIATIONS = "deviations from a mean add up to 0, so any constant may be taken off the other factor"

EQUIVALENT = {
    "5.4": {
        "gradient cut | latents = torch.relu((x - b_dec) @ W_enc + b_enc) | 3": "x is data: no weight of it",
        "gradient cut | error = (x - (latents @ W_dec + b_dec)).square().sum(-1) | 1": "x is data, as above",
        "result made positive | relu_sae_loss": "squares, and a price on latents that are never below 0",
    },
    "5.6": {
        f"{change} | slope = ((a - a.mean()) * (z - z.mean())).sum() / (a - a.mean()).square().sum() | {place}": (
            _SUM_OF_DEVIATIONS
        )
        for change in ("Sub to Add", "second part of Sub dropped", "mean to median", "mean to sum")
        for place in (1, 2)
    },
    "5.7": {
        "gradient cut | error = (x - reconstruction).detach() | 2": "the whole error is detached",
        "dim= dropped | values, columns = pre[:, dead].topk(k, dim=-1) | 1": "the last axis is topk's default",
        "result made positive | auxiliary_loss": "a mean of squares",
    },
    "5.8": {
        "0 -> -1 | return torch.zeros_like(flat).scatter(0, places, values.relu()).view_as(pre) | 1": "one axis only",
    },
}
