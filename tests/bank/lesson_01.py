"""Lesson 01: wrong answers with the words that must reject them, and right answers written differently."""

import numpy as np
import torch
import torch.nn.functional as F

# ---------------------------------------------------------------------------------------------------------- 1.1


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


# ---------------------------------------------------------------------------------------------------------- 1.5


def _looks_back(places, weight=1.0):
    """Everybody looks so many places back, or at the start."""

    def pattern(n_pos):
        made = torch.zeros(n_pos, n_pos)
        for query in range(n_pos):
            made[query, max(query - places, 0)] = weight
        return made

    return pattern


def _as_a_list(n_pos):
    return [[1.0 if key == max(query - 19, 0) else 0.0 for key in range(n_pos)] for query in range(n_pos)]


def _mostly_back(n_pos):
    made = torch.eye(n_pos) * 0.05
    made[range(n_pos), [max(q - 19, 0) for q in range(n_pos)]] += 0.95
    return made


def _of_41_only(n_pos):
    return _looks_back(19)(41)


def _ahead(n_pos):
    return torch.full((n_pos, n_pos), 1.0 / n_pos)


# ---------------------------------------------------------------------------------------------------------- 1.8


def _table(written, unembed, ids):
    logits = written @ unembed[:, ids]
    return logits - logits.mean(0)


def _beats(logits):
    return (logits.diagonal()[:, None] > logits).float().sum(1) / (len(logits) - 1)


def _copying_by_loops(written, unembed, ids):
    centre = written.mean(0)
    shares = []
    for i, write in enumerate(written - centre):
        scores = [float(write @ unembed[:, int(j)]) for j in ids]
        shares.append(sum(scores[i] > other for j, other in enumerate(scores) if j != i) / (len(ids) - 1))
    return torch.tensor(shares)


def _copying_by_ranks(written, unembed, ids):
    logits = (written - written.mean(0, keepdim=True)) @ unembed[:, ids]
    return logits.argsort(1).argsort(1).diagonal() / (len(ids) - 1)


# --------------------------------------------------------------------------------------------------------- 1.10


def _single_step(observed, null):
    return observed > null.amax(1).quantile(0.95)


def _by_p(observed, null):
    """Step-down by counting draws, from the top."""
    named = torch.zeros(len(observed), dtype=torch.bool)
    for entry in observed.argsort(descending=True):
        passed = (null[:, ~named].amax(1) >= observed[entry]).sum()
        if (1 + passed) / (1 + len(null)) > 0.05:
            return named
        named[entry] = True
    return named


def _by_running_maxima(observed, null):
    order = observed.argsort(descending=True)
    highest = null[:, order.flip(0)].cummax(1).values.flip(1)
    passes = observed[order] > highest.quantile(0.95, dim=0)
    named = torch.zeros(len(observed), dtype=torch.bool)
    named[order[passes.long().cumprod(0).bool()]] = True
    return named


WRONG = {
    "1.1": [
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
    "1.2": [
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
    "1.6": [
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
    "1.5": [
        ("a true previous-token head", _looks_back(1), "needed 0.90"),
        ("one period back", _looks_back(20), "looks 20 places back"),
        ("looks ahead", _ahead, "looks at a later token"),
        ("weights of 2", _looks_back(19, 2.0), "sum to 2.00, not 1"),
        (
            "negative weights",
            lambda n: 2 * torch.eye(n) - _looks_back(0)(n) * 2 + torch.eye(n).roll(0, 0) * -1,
            "negative",
        ),
        ("41 tokens only", _of_41_only, "use `n_pos`"),
        ("cut out of one for 41 tokens", lambda n: _looks_back(19)(41)[:n, :n], "must be (61, 61)"),
        ("a row of numbers", lambda n: torch.ones(n), "One row a query"),
    ],
    "1.8": [
        ("not centred", lambda w, u, i: _beats(w @ u[:, i]), "what every write gives a token"),
        ("turned round", lambda w, u, i: _beats(_table(w, u, i).T), "The table is turned round"),
        (
            "mean over axis 1",
            lambda w, u, i: _beats(w @ u[:, i] - (w @ u[:, i]).mean(1, keepdim=True)),
            "one over axis 1 changes no row",
        ),
        ("who beats it", lambda w, u, i: 1 - _beats(_table(w, u, i)), "Turn it round"),
        ("averaged", lambda w, u, i: _beats(_table(w, u, i)).mean(), "averaged over the tokens"),
        (
            "divided by all",
            lambda w, u, i: _beats(_table(w, u, i)) * (len(i) - 1) / len(i),
            "You divided by all tokens",
        ),
        ("is it first", lambda w, u, i: (_table(w, u, i).argmax(1) == torch.arange(len(i))).float(), "is first"),
        ("logits", lambda w, u, i: _table(w, u, i).diagonal(), "These are logits"),
        ("sizes", lambda w, u, i: _beats(_table(w, u, i).abs()), "without their sign"),
    ],
    "1.10": [
        ("each by itself", lambda o, n: o > n.quantile(0.95, dim=0), "hold entries against the *highest*"),
        ("one in a hundred", lambda o, n: o > n.quantile(0.99, dim=0), "may be named if that is fewer than 1 in 20"),
        ("all against the highest of all", _single_step, "needed 0.62"),
        ("numbers", lambda o, n: (n >= o).float().mean(0), "not numbers"),
        ("the highest only", lambda o, n: torch.arange(len(o)) == o.argmax(), "may be named if that is fewer"),
        ("nothing", lambda o, n: torch.zeros(len(o), dtype=torch.bool), "only the second may be named"),
    ],
}

RIGHT = {
    "1.1": [("a loop", _add_with_a_loop), ("one running sum over everything", _cumsum_of_all)],
    "1.2": [
        ("einsum and rsqrt", _lens_with_einsum),
        ("torch's own rms_norm", _lens_with_rms_norm),
        ("weight folded into the unembedding", _lens_folded),
    ],
    "1.4": [("a diagonal", _by_diagonal), ("loops over heads and steps", _by_loops), ("numpy", _by_numpy)],
    "1.6": [
        ("a mask", _uses_a_mask),
        ("torch.where", _uses_where),
        ("hook by keyword only, heads stacked again", _silences_by_keyword_only),
    ],
    "1.5": [("loops", _looks_back(19)), ("nested lists", _as_a_list), ("mostly", _mostly_back)],
    "1.8": [("loops", _copying_by_loops), ("ranks", _copying_by_ranks)],
    "1.10": [("counting draws", _by_p), ("running maxima", _by_running_maxima)],
}

EQUIVALENT = {
    "1.4": {
        "result made positive | induction_score": "attention is never below 0",
        "result clamped to [0, 1] | induction_score": "attention lies between 0 and 1",
    },
}
