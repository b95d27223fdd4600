"""Lesson 01: wrong answers with the words that must reject them, and right answers written differently."""

import numpy as np
import torch
import torch.nn.functional as F

# ---------------------------------------------------------------------------------------------------------- 1.1


def _keeps_the_tensor_itself(notebook, label):
    def hook_function(activation, hook):
        notebook[label] = activation

    return hook_function


def _keeps_the_graph(notebook, label):
    def hook_function(activation, hook):
        notebook[label] = activation.clone()

    return hook_function


def _writes_under_the_hooks_name(notebook, label):
    def hook_function(activation, hook):
        notebook[hook.name] = activation.detach().clone()

    return hook_function


def _replaces_the_activation(notebook, label):
    def hook_function(activation, hook):
        notebook[label] = activation.detach().clone()
        return activation.mean(1, keepdim=True)

    return hook_function


def _forgets_to_return_the_hook(notebook, label):
    def hook_function(activation, hook):
        notebook[label] = activation.detach().clone()


def _records_at_once(notebook, label):
    notebook[label] = torch.zeros(1)

    def hook_function(activation, hook):
        notebook[label] = activation.detach().clone()

    return hook_function


def _last_position_only(notebook, label):
    def hook_function(activation, hook):
        notebook[label] = activation[:, -1].detach().clone()

    return hook_function


def _returns_a_tensor(notebook, label):
    return torch.zeros(3)


def _hook_raises(notebook, label):
    def hook_function(activation, hook):
        notebook[label] = activation.detach().clone()[hook.nothing]

    return hook_function


def _second_argument_by_another_name(notebook, label):
    def hook_function(activation, _):
        notebook[label] = activation.detach().clone()

    return hook_function


def _records_then_changes(notebook, label):
    def hook_function(activation, hook):
        notebook[label] = activation.detach().clone()
        activation *= 2

    return hook_function


def _label_fixed(notebook, label):
    def hook_function(activation, hook):
        notebook["block 3"] = activation.detach().clone()

    return hook_function


def _starts_afresh(notebook, label):
    def hook_function(activation, hook):
        for key in notebook:
            notebook[key] = activation.detach().clone()
        notebook[label] = activation.detach().clone()

    return hook_function


def _hook_by_keyword_only(notebook, label):
    def hook_function(activation, *, hook):
        notebook[label] = activation.detach().clone()

    return hook_function


def _with_a_lambda(notebook, label):
    return lambda activation, hook: notebook.update({label: torch.clone(activation.detach())})


def _returns_it_unchanged(notebook, label):
    def write(value, hook=None):
        notebook[label] = torch.tensor(value.detach().numpy().copy())
        return value

    return write


# ---------------------------------------------------------------------------------------------------------- 1.2


def _add_with_a_loop(embedding, attn_outs, mlp_outs):
    stream, kept = embedding.clone(), [embedding.clone()]
    for attn, mlp in zip(attn_outs, mlp_outs):
        stream = stream + attn + mlp
        kept.append(stream)
    return torch.stack(kept)


def _cumsum_of_all(embedding, attn_outs, mlp_outs):
    return torch.cat([embedding.unsqueeze(0), attn_outs + mlp_outs]).cumsum(dim=0)


def _in_place_loop(embedding, attn_outs, mlp_outs):
    kept = [embedding]
    for attn, mlp in zip(attn_outs, mlp_outs):
        embedding += attn + mlp
        kept.append(embedding.clone())
    return torch.stack(kept)


# ---------------------------------------------------------------------------------------------------------- 1.3


def _norm(x, eps):
    return x / (x.pow(2).mean(-1, keepdim=True) + eps).sqrt()


def _lens_with_einsum(residual, norm_weight, unembed, eps=1e-5):
    scale = torch.rsqrt(torch.einsum("...d,...d->...", residual, residual) / residual.shape[-1] + eps)
    return torch.einsum("...d,dv->...v", residual * scale[..., None] * norm_weight, unembed)


def _lens_with_rms_norm(residual, norm_weight, unembed, eps=1e-5):
    return F.rms_norm(residual, (residual.shape[-1],), norm_weight, eps) @ unembed


def _lens_folded(residual, norm_weight, unembed, eps=1e-5):
    return _norm(residual, eps) @ (norm_weight[:, None] * unembed)


def _only_two_axes(residual, norm_weight, unembed, eps=1e-5):
    rows = [residual[i] for i in range(residual.shape[0])]
    if residual.ndim == 3:
        return torch.zeros(*residual.shape[:-1], unembed.shape[1])
    return torch.stack([(_norm(row, eps) * norm_weight) @ unembed for row in rows])


# ---------------------------------------------------------------------------------------------------------- 1.4


def _score(offset, first=lambda p: p + 1, last=lambda p: 2 * p + 1):
    def score(patterns, period):
        picked = [patterns[:, q, q - offset(period)] for q in range(first(period), last(period))]
        return torch.stack(picked).mean(0)

    return score


def _by_diagonal(patterns, period):
    diagonal = torch.diagonal(patterns, offset=1 - period, dim1=1, dim2=2)  # entry i is query i + period - 1
    return diagonal[:, 2:].mean(dim=1)


def _by_loops(patterns, period):
    scores = []
    for pattern in patterns:
        total = 0.0
        for step in range(1, period + 1):
            total += float(pattern[period + step, step + 1])
        scores.append(total / period)
    return torch.tensor(scores)


def _by_numpy(patterns, period):
    patterns = patterns.numpy()
    return torch.from_numpy(
        np.mean([patterns[:, q, q - period + 1] for q in range(period + 1, 2 * period + 1)], axis=0)
    )


# ---------------------------------------------------------------------------------------------------------- 1.5


def _silence_by(change):
    def silence(head, mean=None):
        def hook_function(z, hook):
            z = z.clone()
            change(z, head, mean)
            return z

        return hook_function

    return silence


def _set(z, index, mean):
    z[index] = 0.0 if mean is None else mean


def _in_place(head, mean=None):
    def hook_function(z, hook):
        z[:, :, head] = 0.0
        return z

    return hook_function


def _returns_nothing(head, mean=None):
    def hook_function(z, hook):
        z = z.clone()
        z[:, :, head] = 0.0

    return hook_function


def _not_a_function(head, mean=None):
    return torch.zeros(2)


def _removes_the_head(head, mean=None):
    def hook_function(z, hook):
        return torch.cat([z[:, :, :head], z[:, :, head + 1 :]], dim=2)

    return hook_function


def _hook_unnamed(head, mean=None):
    def hook_function(z, _):
        z = z.clone()
        z[:, :, head] = 0.0 if mean is None else mean
        return z

    return hook_function


def _silences_by_keyword_only(head, mean=None):
    def hook_function(z, *, hook):
        kept = [z[:, :, i] for i in range(z.shape[2])]
        kept[head] = torch.zeros_like(kept[head]) + (0.0 if mean is None else mean)
        return torch.stack(kept, 2)

    return hook_function


def _uses_a_mask(head, mean=None):
    def hook_function(z, hook):
        chosen = torch.zeros(z.shape[2]).index_fill(0, torch.tensor([head]), 1.0)[:, None]
        return z * (1 - chosen) + chosen * (0.0 if mean is None else mean)

    return hook_function


def _uses_where(head, mean=None):
    fill = torch.zeros(()) if mean is None else mean

    def hook_function(z, hook=None):
        is_head = (torch.arange(z.shape[2]) == head)[:, None]
        return torch.where(is_head, fill.expand_as(z), z)

    return hook_function


def _mean_of(function):
    def change(z, head, mean):
        z[:, :, head] = 0.0 if mean is None else function(z[:, :, head], mean)

    return _silence_by(change)


# ---------------------------------------------------------------------------------------------------------- 1.6


def _means(train, labels):
    classes = labels.unique()
    return classes, torch.stack([train[labels == c].mean(0) for c in classes])


def _nearest(pick):
    def guess(train, labels, test):
        classes, means = _means(train, labels)
        return pick(classes, means, test)

    return guess


def _nearest_by_loops(train, labels, test):
    means = {int(c): train[labels == c].mean(0) for c in set(labels.tolist())}
    return torch.tensor([min(means, key=lambda c: float((row - means[c]).norm())) for row in test])


def _nearest_by_one_hot(train, labels, test):
    classes, index = torch.unique(labels, return_inverse=True)
    hot = F.one_hot(index).to(train.dtype)
    means = (hot.T @ train) / hot.sum(0).unsqueeze(1)
    # |x - m|^2 = |x|^2 - 2 x.m + |m|^2, and |x|^2 is the same for every class.
    return classes[(test @ means.T - means.pow(2).sum(1) / 2).argmax(1)]


def _nearest_in_two_orders(train, labels, test):
    classes, means = _means(train, labels)
    seen = torch.tensor(list(dict.fromkeys(labels.tolist())))
    return seen[torch.cdist(test, means).argmin(1)]


def _nearest_with_absent_classes(train, labels, test):
    means = torch.zeros(int(labels.max()) + 1, train.shape[1])
    for c in labels.unique():
        means[c] = train[labels == c].mean(0)
    return torch.cdist(test, means).argmin(1)


def _nearest_on_average(train, labels, test):
    classes = labels.unique()
    distance = torch.cdist(test, train)
    return classes[torch.stack([distance[:, labels == c].mean(1) for c in classes], 1).argmin(1)]


def _nearest_group(summary):
    def guess(train, labels, test):
        classes = labels.unique()
        return classes[torch.cdist(test, torch.stack([summary(train[labels == c]) for c in classes])).argmin(1)]

    return guess


def _nearest_after_normalising(train, labels, test):
    classes, means = _means(F.normalize(train, dim=1), labels)
    return classes[torch.cdist(F.normalize(test, dim=1), means).argmin(1)]


# ---------------------------------------------------------------------------------------------------------- 1.7


def _selective_by_loops(damage):
    out = torch.zeros_like(damage)
    for kind in range(damage.shape[1]):
        others = [k for k in range(damage.shape[1]) if k != kind]
        out[:, kind] = damage[:, kind] - damage[:, others].mean(1)
    return out


def _selective_scaled(damage):
    n = damage.shape[1]
    return (damage - damage.mean(1, keepdim=True)) * n / (n - 1)


WRONG = {
    "1.1": [
        ("keeps the tensor itself", _keeps_the_tensor_itself, "you kept the tensor itself"),
        ("keeps the graph", _keeps_the_graph, "hangs on the model's computation graph"),
        ("writes under the hook's name", _writes_under_the_hooks_name, "an entry under the label"),
        ("replaces the activation", _replaces_the_activation, "What a hook returns replaces the activation"),
        ("forgets to return the hook", _forgets_to_return_the_hook, "Your function returned None"),
        ("records at once", _records_at_once, "before the model has run"),
        ("last position only", _last_position_only, "every text and every position"),
        ("returns a tensor", _returns_a_tensor, "returned a Tensor, not a function"),
        ("the hook raises", _hook_raises, "stopped with AttributeError"),
        ("hook under another name", _second_argument_by_another_name, "name its second argument `hook`"),
        ("records, then changes", _records_then_changes, "changed the activation itself"),
        ("label fixed", _label_fixed, "use the `label` you are given"),
        ("overwrites all entries", _starts_afresh, "overwrote the first one's entry"),
    ],
    "1.2": [
        ("the last layer only", lambda e, a, m: e + a.sum(0) + m.sum(0), "You returned one layer"),
        ("no index 0", lambda e, a, m: e + (a + m).cumsum(0), "You have one entry a block"),
        (
            "no embedding",
            lambda e, a, m: torch.cat([torch.zeros_like(e)[None], (a + m).cumsum(0)]),
            "The embedding is missing",
        ),
        (
            "attention only",
            lambda e, a, m: torch.cat([e[None], e + a.cumsum(0)]),
            "Only the attention outputs were added",
        ),
        ("MLP only", lambda e, a, m: torch.cat([e[None], e + m.cumsum(0)]), "Only the MLP outputs were added"),
        ("no running sum", lambda e, a, m: torch.cat([e[None], e + a + m]), "its own block only"),
        (
            "embedding at index 0 only",
            lambda e, a, m: torch.cat([e[None], (a + m).cumsum(0)]),
            "the later entries lack the embedding",
        ),
        (
            "running sum over positions",
            lambda e, a, m: torch.cat([e[None], e + (a + m).cumsum(1)]),
            "goes over positions",
        ),
        ("changes its input", _in_place_loop, "Your function changed its input"),
        ("running sum over d_model", lambda e, a, m: torch.cat([e[None], e + (a + m).cumsum(-1)]), "goes over d_model"),
        ("embedding last", lambda e, a, m: torch.cat([e + (a + m).cumsum(0), e[None]]), "The embedding stands last"),
        ("turned round", lambda e, a, m: _cumsum_of_all(e, a, m).flip(0), "The order is turned round"),
        ("MLP subtracted", lambda e, a, m: _cumsum_of_all(e, a, -m), "The MLP outputs are subtracted"),
        ("attention subtracted", lambda e, a, m: _cumsum_of_all(e, -a, m), "The attention outputs are subtracted"),
        ("both subtracted", lambda e, a, m: _cumsum_of_all(e, -a, -m), "What the blocks wrote is subtracted"),
        ("three blocks only", lambda e, a, m: _cumsum_of_all(e, a[:3], m[:3]), "Your result has shape (4, 2, 3)"),
        ("rounded", lambda e, a, m: _cumsum_of_all(e, a, m).round(decimals=2), "rounded: keep all digits"),
    ],
    "1.3": [
        ("no norm", lambda r, w, u, eps=1e-5: r @ u, "The norm is missing"),
        (
            "weight without norm",
            lambda r, w, u, eps=1e-5: (r * w) @ u,
            "did not divide by the vector's root mean square",
        ),
        ("no weight", lambda r, w, u, eps=1e-5: _norm(r, eps) @ u, "The norm's learned weight is missing"),
        ("no eps", lambda r, w, u, eps=1e-5: (_norm(r, 0.0) * w) @ u, "eps is missing"),
        (
            "eps outside the root",
            lambda r, w, u, eps=1e-5: (r / (r.pow(2).mean(-1, keepdim=True).sqrt() + eps) * w) @ u,
            "eps stands outside the root",
        ),
        (
            "layer norm",
            lambda r, w, u, eps=1e-5: (_norm(r - r.mean(-1, keepdim=True), eps) * w) @ u,
            "that is LayerNorm",
        ),
        (
            "one norm for all positions",
            lambda r, w, u, eps=1e-5: (r / (r.pow(2).mean() + eps).sqrt() * w) @ u,
            "You averaged over all positions",
        ),
        (
            "norm over positions",
            lambda r, w, u, eps=1e-5: (r / (r.pow(2).mean(0, keepdim=True) + eps).sqrt() * w) @ u,
            "Average over the model's dimensions",
        ),
        (
            "sum instead of mean",
            lambda r, w, u, eps=1e-5: (r / (r.pow(2).sum(-1, keepdim=True) + eps).sqrt() * w) @ u,
            "the root of the *sum* of squares",
        ),
        ("probabilities", lambda r, w, u, eps=1e-5: ((_norm(r, eps) * w) @ u).softmax(-1), "These are probabilities"),
        (
            "log-probabilities",
            lambda r, w, u, eps=1e-5: ((_norm(r, eps) * w) @ u).log_softmax(-1),
            "These are log-probabilities",
        ),
        ("two axes only", _only_two_axes, "but not for (batch, pos, d_model)"),
        ("unembedding turned round", lambda r, w, u, eps=1e-5: (_norm(r, eps) * w) @ u.T, "stopped with RuntimeError"),
        ("eps fixed", lambda r, w, u, eps=1e-5: (_norm(r, 1e-5) * w) @ u, "eps is fixed"),
        ("another default", lambda r, w, u, eps=1e-3: (_norm(r, eps) * w) @ u, "Called without `eps`"),
        ("eps subtracted", lambda r, w, u, eps=1e-5: (_norm(r, -eps) * w) @ u, "You subtracted eps"),
        (
            "no root",
            lambda r, w, u, eps=1e-5: (r / (r.pow(2).mean(-1, keepdim=True) + eps) * w) @ u,
            "You divided by the mean square",
        ),
        (
            "mean absolute value",
            lambda r, w, u, eps=1e-5: (r / (r.abs().mean(-1, keepdim=True) + eps) * w) @ u,
            "mean *absolute* value",
        ),
        (
            "multiplies by the size",
            lambda r, w, u, eps=1e-5: (r * (r.pow(2).mean(-1, keepdim=True) + eps).sqrt() * w) @ u,
            "You multiplied by the size",
        ),
        (
            "divides by the weight",
            lambda r, w, u, eps=1e-5: (_norm(r, eps) / w) @ u,
            "You divided by the norm's weight",
        ),
        ("adds the weight", lambda r, w, u, eps=1e-5: (_norm(r, eps) + w) @ u, "You added the norm's weight"),
    ],
    "1.4": [
        ("duplicate token", _score(lambda p: p), "This is one off"),
        ("two after", _score(lambda p: p - 2), "This is one too far"),
        ("previous token", _score(lambda p: 1), "another kind of head"),
        ("the wrong way", _score(lambda p: p + 1), "You went the wrong way"),
        ("first copy too", _score(lambda p: p - 1, lambda p: p - 1), "You averaged over first-copy queries too"),
        ("starts one early", _score(lambda p: p - 1, lambda p: p), "Your queries start one too early"),
        ("no start token", _score(lambda p: p - 1, lambda p: p, lambda p: 2 * p), "You forgot the start token"),
        ("ends one early", _score(lambda p: p - 1, last=lambda p: 2 * p), "The last query is missing"),
        ("sum", lambda a, p: _by_loops(a, p) * p, "You added the attention up"),
        ("keys and queries swapped", lambda a, p: _by_loops(a.transpose(1, 2), p), "Query and key are swapped"),
        ("whole block", lambda a, p: a[:, p + 1 :, 1 : p + 1].mean((1, 2)), "averages over all pairs"),
        (
            "all attention to the first copy",
            lambda a, p: a[:, p + 1 :, 1 : p + 1].sum(-1).mean(-1),
            "all attention to the",
        ),
        ("strongest key", lambda a, p: a[:, p + 1 :].amax(-1).mean(-1), "This is the strongest attention"),
        ("heads averaged too", lambda a, p: _by_diagonal(a, p).mean(), "You averaged over the heads as well"),
        ("one score a query", lambda a, p: a.diagonal(1 - p, 1, 2)[:, 2:].mean(0), "one number a position"),
        ("period fixed at 4", lambda a, p: _by_diagonal(a, 4), "but not for period 6"),
        (
            "how often it is strongest",
            lambda a, p: (a[:, p + 1 :].argmax(-1) == torch.arange(2, p + 2)).float().mean(-1),
            "how *often* that key",
        ),
        ("median over queries", lambda a, p: a.diagonal(1 - p, 1, 2)[:, 2:].median(-1).values, "median over queries"),
        ("best query", lambda a, p: a.diagonal(1 - p, 1, 2)[:, 2:].amax(-1), "the best of the queries"),
        ("first query", lambda a, p: a[:, p + 1, 2], "This is one query"),
        ("last query", lambda a, p: a[:, 2 * p, p + 1], "the last query only"),
    ],
    "1.5": [
        ("in place", _in_place, "Your hook function changed z itself"),
        ("returns nothing", _returns_nothing, "returned nothing"),
        ("not a function", _not_a_function, "returned a Tensor, not a function"),
        ("removes the axis", _removes_the_head, "keep the shape of z"),
        ("changes nothing", _silence_by(lambda z, h, m: None), "Nothing changed"),
        ("every head", _silence_by(lambda z, h, m: _set(z, slice(None), None)), "You silenced every head"),
        ("a text", _silence_by(lambda z, h, m: _set(z, h, m)), "You silenced a text, not a head"),
        (
            "a position",
            _silence_by(lambda z, h, m: _set(z, (slice(None), h), m)),
            "You silenced a position, not a head",
        ),
        (
            "a dimension",
            _silence_by(lambda z, h, m: _set(z, (..., h), None)),
            "You silenced one dimension of every head",
        ),
        (
            "all but the head",
            _silence_by(lambda z, h, m: _set(z, (slice(None), slice(None), torch.arange(z.shape[2]) != h), None)),
            "You kept that head",
        ),
        (
            "last position only",
            _silence_by(lambda z, h, m: _set(z, (slice(None), -1, h), m)),
            "silent at the last position only",
        ),
        ("mean ignored", _mean_of(lambda own, mean: 0.0), "the head still becomes 0"),
        ("mean of the batch", _mean_of(lambda own, mean: own.mean((0, 1))), "the mean of this very batch"),
        ("mean added", _mean_of(lambda own, mean: own + mean), "You added the mean"),
        ("mean subtracted", _mean_of(lambda own, mean: own - mean), "You subtracted the mean"),
        ("hook under another name", _hook_unnamed, "name its second argument `hook`"),
    ],
    "1.6": [
        (
            "number, not label",
            _nearest(lambda c, m, t: torch.cdist(t, m).argmin(1)),
            "You returned the number of the mean",
        ),
        ("farthest", _nearest(lambda c, m, t: c[torch.cdist(t, m).argmax(1)]), "the classes *farthest* away"),
        ("dot product", _nearest(lambda c, m, t: c[(t @ m.T).argmax(1)]), "You compared with a dot product"),
        ("distances", _nearest(lambda c, m, t: torch.cdist(t, m)), "You returned a table of distances"),
        (
            "nearest example",
            lambda train, labels, test: labels[torch.cdist(test, train).argmin(1)],
            "the label of the nearest *example*",
        ),
        (
            "guesses for train",
            lambda train, labels, test: _nearest_by_loops(train, labels, train),
            "You guessed for the rows of `train`",
        ),
        ("always one class", _nearest(lambda c, m, t: c[:1].expand(len(t))), "Every row got the label"),
        (
            "medians",
            lambda train, labels, test: labels.unique()[
                torch.cdist(test, torch.stack([train[labels == c].median(0).values for c in labels.unique()])).argmin(1)
            ],
            "You compared with medians",
        ),
        (
            "a range instead of the labels that occur",
            lambda train, labels, test: torch.cdist(
                test, torch.stack([train[labels == c].mean(0) for c in range(int(labels.max()) + 1)])
            ).argmin(1),
            "which no row of `train` has",
        ),
        ("normalised", _nearest_after_normalising, "Some guesses are wrong"),
        ("labels in another order than means", _nearest_in_two_orders, "in one order and the labels in another"),
        ("absent classes at 0", _nearest_with_absent_classes, "You returned the label 0"),
        ("mean distance", _nearest_on_average, "You averaged *distances*"),
        ("angles", _nearest(lambda c, m, t: c[(t @ F.normalize(m, dim=1).T).argmax(1)]), "You compared angles"),
        ("sums", _nearest_group(lambda rows: rows.sum(0)), "You compared with *sums*"),
        ("first example", _nearest_group(lambda rows: rows[0]), "one example of each class"),
        ("dimensions scaled", lambda a, y, b: _nearest_by_loops(a / a.std(0), y, b / a.std(0)), "Don't scale"),
        ("along the axes", _nearest(lambda c, m, t: c[torch.cdist(t, m, p=1).argmin(1)]), "distances along the axes"),
    ],
    "1.7": [
        ("mean of all kinds", lambda d: d - d.mean(1, keepdim=True), "You subtracted the mean of *all* kinds"),
        ("mean over regions", lambda d: d - d.mean(0), "You subtracted the mean over regions"),
        (
            "other regions",
            lambda d: _selective_by_loops(d.T.contiguous()).T,
            "You compared a region with the other regions",
        ),
        ("sum of the others", lambda d: d - (d.sum(1, keepdim=True) - d), "You subtracted the *sum*"),
        ("divided by all", lambda d: d - (d.sum(1, keepdim=True) - d) / d.shape[1], "You divided by all kinds"),
        ("sign turned", lambda d: -_selective_by_loops(d), "The sign is turned round"),
        ("share", lambda d: d / d.sum(1, keepdim=True), "This is a share"),
        ("the damage itself", lambda d: d.clone(), "This is the damage itself"),
        ("one number a region", lambda d: d.max(1).values - d.mean(1), "You returned one number a region"),
        ("three others, always", lambda d: d - (d.sum(1, keepdim=True) - d) / 3, "hurts three kinds alike"),
        (
            "worst of the others",
            lambda d: d - torch.stack([d[:, torch.arange(d.shape[1]) != k].amax(1) for k in range(d.shape[1])], 1),
            "the *worst* of the other kinds",
        ),
        (
            "median of the others",
            lambda d: (
                d - torch.stack([d[:, torch.arange(d.shape[1]) != k].median(1).values for k in range(d.shape[1])], 1)
            ),
            "the median of the others",
        ),
        ("added", lambda d: 2 * d - _selective_by_loops(d), "You added the mean"),
        ("never below 0", lambda d: _selective_by_loops(d).clamp(min=0), "each has one other kind"),
    ],
}

RIGHT = {
    "1.1": [
        ("a lambda and update", _with_a_lambda),
        ("returns the activation unchanged", _returns_it_unchanged),
        ("hook by keyword only", _hook_by_keyword_only),
    ],
    "1.2": [("a loop", _add_with_a_loop), ("one running sum over everything", _cumsum_of_all)],
    "1.3": [
        ("einsum and rsqrt", _lens_with_einsum),
        ("torch's own rms_norm", _lens_with_rms_norm),
        ("weight folded into the unembedding", _lens_folded),
    ],
    "1.4": [("a diagonal", _by_diagonal), ("loops over heads and steps", _by_loops), ("numpy", _by_numpy)],
    "1.5": [
        ("a mask", _uses_a_mask),
        ("torch.where", _uses_where),
        ("hook by keyword only, heads stacked again", _silences_by_keyword_only),
    ],
    "1.6": [("loops and norms", _nearest_by_loops), ("one-hot and a scored product", _nearest_by_one_hot)],
    "1.7": [("loops", _selective_by_loops), ("centred and rescaled", _selective_scaled)],
}


EQUIVALENT = {
    "1.4": {
        "result made positive | induction_score": "attention is never below 0",
        "result clamped to [0, 1] | induction_score": "attention lies between 0 and 1",
    },
    "1.6": {
        "unique dropped | classes = labels.unique() | 1": "a class in the list twice has one mean twice, and one label",
    },
}
