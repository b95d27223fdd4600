"""Lesson 07: wrong answers with the words that must reject them, and right answers written differently."""

import functools
import re

import numpy as np
import torch

# ---------------------------------------------------------------------------------------------------------- 7.1


def _means(acts, text, positive, limit):
    keep = acts.norm(dim=-1) <= limit
    return torch.stack([acts[keep & (text == i)].mean(0) for i in range(len(positive))])


def _contrast(acts, text, positive, limit):
    means = _means(acts, text, positive, limit)
    return means[positive].mean(0) - means[~positive].mean(0)


def _contrast_by_token(acts, text, positive, limit):
    keep = acts.norm(dim=-1) <= limit
    side = positive[text]
    return acts[keep & side].mean(0) - acts[keep & ~side].mean(0)


def _contrast_against_all(acts, text, positive, limit):
    means = _means(acts, text, positive, limit)
    return means[positive].mean(0) - means.mean(0)


def _contrast_sums(acts, text, positive, limit):
    means = _means(acts, text, positive, limit)
    return means[positive].sum(0) - means[~positive].sum(0)


def _contrast_with_index_add(acts, text, positive, limit):
    keep = acts.norm(dim=-1) <= limit
    sums = torch.zeros(len(positive), acts.shape[1]).index_add(0, text[keep], acts[keep])
    means = sums / torch.bincount(text[keep], minlength=len(positive))[:, None]
    weight = torch.where(positive, 1 / positive.sum(), -1 / (~positive).sum())
    return weight @ means


def _contrast_strictly(acts, text, positive, limit):
    return _contrast(acts, text, positive, limit * (1 - 1e-6))


def _contrast_in_a_row(acts, text, positive, limit):
    return _contrast(acts, text.sort().values, positive, limit)


def _contrast_by_loop(acts, text, positive, limit):
    sides = {True: [], False: []}
    for i, label in enumerate(positive.tolist()):
        rows = [a for a, t in zip(acts, text.tolist()) if t == i and float(a.norm()) <= limit]
        sides[label].append(torch.stack(rows).mean(0))
    return torch.stack(sides[True]).mean(0) - torch.stack(sides[False]).mean(0)


# ---------------------------------------------------------------------------------------------------------- 7.2


def _push_with(step):
    def push(acts, direction, strength, typical):
        massive = acts.norm(dim=-1, keepdim=True) > 4 * typical
        return torch.where(massive, acts, acts + step(direction, direction / direction.norm(), strength, typical))

    return push


def _push_own_length(acts, direction, strength, typical):
    norms = acts.norm(dim=-1, keepdim=True)
    return torch.where(norms > 4 * typical, acts, acts + strength * norms * direction / direction.norm())


def _push_in_place(acts, direction, strength, typical):
    acts += direction / direction.norm() * strength * typical
    return acts


def _push_last(acts, direction, strength, typical):
    out = acts.clone()
    out[:, -1] += direction / direction.norm() * strength * typical
    return out


def _push_then_measure(acts, direction, strength, typical):
    after = acts + strength * typical * _unit(direction)
    return torch.where(after.norm(dim=-1, keepdim=True) > 4 * typical, acts, after)


def _push_up_to(massive):
    def push(acts, direction, strength, typical):
        after = acts + strength * typical * _unit(direction)
        return torch.where(massive(acts.norm(dim=-1, keepdim=True), typical), acts, after)

    return push


def _push_spares_texts(acts, direction, strength, typical):
    massive = (acts.norm(dim=-1) > 4 * typical).any(1)[:, None, None]
    return torch.where(massive, acts, acts + strength * typical * _unit(direction))


def _push_masked(acts, direction, strength, typical):
    out = acts.clone()
    ordinary = acts.norm(dim=-1) <= 4 * typical
    out[ordinary] += strength * typical * torch.nn.functional.normalize(direction, dim=0)
    return out


def _push_weighted(acts, direction, strength, typical):
    weight = (acts.square().sum(-1, keepdim=True).sqrt() <= 4 * typical).float()
    return acts + weight * (strength * typical / direction.norm()) * direction


# ---------------------------------------------------------------------------------------------------------- 7.3


def _odds_unstable(logits, ids):
    p = logits.softmax(-1)[:, ids].sum(-1)
    return p.log() - (1 - p).log()


def _odds_others(logits, ids):
    rest = [i for i in range(logits.shape[-1]) if i not in ids]
    return logits[:, ids].logsumexp(-1) - logits[:, rest].logsumexp(-1)


def _odds_filled(logits, ids):
    index = torch.tensor(ids)
    return logits[:, index].logsumexp(-1) - logits.index_fill(-1, index, float("-inf")).logsumexp(-1)


# ---------------------------------------------------------------------------------------------------------- 7.4


def _setting_by_loop(effect, cost, budget):
    best, where = -float("inf"), None
    for i in range(effect.shape[0]):
        for j in range(effect.shape[1]):
            if cost[i, j] <= budget and effect[i, j] > best:
                best, where = float(effect[i, j]), (i, j)
    return where


def _setting_by_numpy(effect, cost, budget):
    allowed = np.where(cost.numpy() <= budget, effect.numpy(), -np.inf)
    return np.unravel_index(allowed.argmax(), allowed.shape)


def _setting_of(table):
    def rule(effect, cost, budget):
        best = int(table(effect, cost, budget).argmax())
        return best // effect.shape[1], best % effect.shape[1]

    return rule


# ---------------------------------------------------------------------------------------------------------- 7.5


def _drawn(direction, n, seed):
    return torch.randn(n, len(direction), generator=torch.Generator().manual_seed(seed))


def _scaled(rows, direction):
    return rows / rows.norm(dim=-1, keepdim=True) * direction.norm()


def _random_numpy(direction, n, seed):
    rows = torch.tensor(np.random.default_rng(seed).normal(size=(n, len(direction))), dtype=torch.float32)
    return _scaled(rows, direction)


def _random_one_by_one(direction, n, seed):
    generator, rows = torch.Generator().manual_seed(seed), []
    for _ in range(n):
        row = torch.randn(direction.shape, generator=generator)
        rows.append(row * (direction.norm() / row.norm()))
    return torch.stack(rows)


def _random_beside(direction, n, seed):
    rows = _drawn(direction, n, seed)
    return _scaled(rows - (rows @ direction / direction.norm() ** 2)[:, None] * direction, direction)


def _random_shuffled(direction, n, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([direction[torch.randperm(len(direction), generator=generator)] for _ in range(n)])


def _random_positive(direction, n, seed):
    return _scaled(torch.rand(n, len(direction), generator=torch.Generator().manual_seed(seed)), direction)


def _random_even(direction, n, seed):
    rows = torch.rand(n, len(direction), generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return _scaled(rows, direction)


# ---------------------------------------------------------------------------------------------------------- 7.6


def _pattern(lexicon, flags=re.IGNORECASE):
    return re.compile(r"\b(?:" + "|".join(re.escape(w) for w in lexicon) + r")\b", flags)


def _share_case(texts, lexicon):
    return sum(bool(_pattern(lexicon, 0).search(t)) for t in texts) / len(texts)


def _share_open(form):
    def share(texts, lexicon):
        pattern = form.format("|".join(re.escape(w) for w in lexicon))
        return sum(bool(re.search(pattern, t, re.IGNORECASE)) for t in texts) / len(texts)

    return share


def _share_by_words(texts, lexicon):
    return sum(any(w in re.findall(r"\w+", t.lower()) for w in lexicon) for t in texts) / len(texts)


def _share_all(texts, lexicon):
    return sum(all(_pattern([w]).search(t) for w in lexicon) for t in texts) / len(texts)


def _share_padded(texts, lexicon):
    cleaned = [" " + " ".join(re.findall(r"\w+|[^\w\s]", t.lower())) + " " for t in texts]
    wanted = [" " + " ".join(re.findall(r"\w+|[^\w\s]", w.lower())) + " " for w in lexicon]
    return float(np.mean([any(w in t for w in wanted) for t in cleaned]))


# ---------------------------------------------------------------------------------------------------------- 7.7


def _pairs_by_tensor(before, after):
    b, a = torch.tensor(before), torch.tensor(after)
    return int((~b & a).sum()), int((b & ~a).sum())


def _pairs_by_change(before, after):
    change = [int(a) - int(b) for b, a in zip(before, after)]
    return change.count(1), change.count(-1)


# ---------------------------------------------------------------------------------------------------------- 7.8


def _centred(strengths):
    return strengths - strengths.mean()


def _slope_polyfit(strengths, scores):
    return torch.tensor(np.polyfit(strengths.numpy(), scores.numpy(), 1)[0], dtype=torch.float32)


def _slope_lstsq(strengths, scores):
    design = torch.stack([strengths, torch.ones_like(strengths)], 1)
    return torch.linalg.lstsq(design, scores).solution[0]


# ---------------------------------------------------------------------------------------------------------- 7.9


def _unit(vector):
    return vector / vector.norm()


# ---------------------------------------------------------------------------------------------------------- 7.10


def _amount(acts, unit):
    return (acts @ unit)[..., None]


def _clamp_by_projector(acts, direction, value):
    unit = _unit(direction)
    rest = torch.eye(len(unit)) - torch.outer(unit, unit)
    return acts @ rest + value * unit


def _clamp_three_axes(acts, direction, value):
    unit = _unit(direction)
    return acts + (value - torch.einsum("bpd,d->bp", acts, unit))[..., None] * unit


def _clamp_by_einsum(acts, direction, value):
    present = torch.einsum("...d,d->...", acts, direction) / direction.norm() ** 2
    return acts + torch.einsum("...,d->...d", value / direction.norm() - present, direction)


# ---------------------------------------------------------------------------------------------------------- 7.11


def _compose_last(edits):
    return lambda acts: edits[-1](acts) if edits else acts


def _compose_first(edits):
    def together(acts):
        for edit in edits:
            return edit(acts)
        return acts

    return together


def _compose_lost(edits):
    def together(acts):
        for edit in edits:
            edit(acts)
        return acts

    return together


def _compose_used_up(edits):
    waiting = iter(edits)

    def together(acts):
        for edit in waiting:
            acts = edit(acts)
        return acts

    return together


def _compose_recursively(edits):
    if not edits:
        return lambda acts: acts
    return lambda acts: _compose_recursively(edits[1:])(edits[0](acts))


WRONG = {
    "7.1": [
        ("without minus with", lambda a, t, p, m: -_contrast(a, t, p, m), "points the other way"),
        ("massive tokens in", lambda a, t, p, m: _contrast(a, t, p, float("inf")), "massive tokens are still in"),
        ("tokens in one heap, massive out", _contrast_by_token, "long texts count for more"),
        ("one heap, massive in", lambda a, t, p, m: _contrast_by_token(a, t, p, 1e9), "All tokens in one heap"),
        ("unit length", lambda a, t, p, m: _unit(_contrast(a, t, p, m)), "its length is 1"),
        ("positive only", lambda a, t, p, m: _means(a, t, p, m)[p].mean(0), "positive texts alone"),
        ("against all", _contrast_against_all, "mean of all texts"),
        ("sums", _contrast_sums, "subtracted sums"),
        ("a mean a text", _means, "one mean for each text"),
        ("wrong axis", lambda a, t, p, m: _means(a, t, p, m).mean(1), "One number for each dimension"),
        (
            "a limit of one's own",
            lambda a, t, p, m: _contrast(a, t, p, 4 * a.norm(dim=-1).median()),
            "whatever `limit` is",
        ),
        ("shorter than the limit", _contrast_strictly, "exactly as long as `limit` was left out"),
        ("texts in a row", _contrast_in_a_row, "whatever `text` is"),
        ("added", lambda a, t, p, m: _contrast(a, t, p, m) + 2 * _means(a, t, p, m)[~p].mean(0), "You added the two"),
    ],
    "7.2": [
        ("not a unit vector", _push_with(lambda d, u, s, n: s * n * d), "own length got in"),
        ("raw direction", _push_with(lambda d, u, s, n: s * d), "times the raw direction"),
        ("no typical", _push_with(lambda d, u, s, n: s * u), "`typical` is missing"),
        ("wrong way", _push_with(lambda d, u, s, n: -s * n * u), "pushes the other way"),
        ("no strength", _push_with(lambda d, u, s, n: n * u), "`strength` isn't used"),
        ("massive moved", lambda a, d, s, n: a + s * n * _unit(d), "Massive tokens moved as well"),
        (
            "only massive moved",
            lambda a, d, s, n: torch.where(a.norm(dim=-1, keepdim=True) > 4 * n, a + s * n * _unit(d), a),
            "other way round",
        ),
        ("own length", _push_own_length, "share of its own length"),
        ("in place", _push_in_place, "changed its input"),
        ("last position", _push_last, "Only the last position"),
        (
            "a limit of 4",
            lambda a, d, s, n: torch.where(a.norm(dim=-1, keepdim=True) > 4, a, a + s * n * _unit(d)),
            "tokens of ordinary length stayed",
        ),
        ("massive by the length afterwards", _push_then_measure, "measured the lengths after the push"),
        (
            "at the limit",
            _push_up_to(lambda norms, typical: norms >= 4 * typical),
            "exactly 4 times `typical` long stayed",
        ),
        ("a higher limit", _push_up_to(lambda norms, typical: norms > 5 * typical), "4.1 times `typical` long moved"),
        ("a lower limit", _push_up_to(lambda norms, typical: norms > 3 * typical), "3.9 times `typical` long stayed"),
        ("whole texts spared", _push_spares_texts, "Whole texts stayed"),
        ("entries, not tokens", lambda a, d, s, n: torch.where(a > 4 * n, a, a + s * n * _unit(d)), "Single *entries*"),
        ("absolute strength", _push_with(lambda d, u, s, n: abs(s) * n * u), "A negative strength must"),
    ],
    "7.3": [
        ("probability", lambda x, i: x.softmax(-1)[:, i].sum(-1), "These are probabilities"),
        ("log p", lambda x, i: x.log_softmax(-1)[:, i].logsumexp(-1), "This is log p"),
        ("odds", lambda x, i: _odds_others(x, i).exp(), "These are the odds"),
        ("sign", lambda x, i: -_odds_others(x, i), "sign is wrong"),
        ("mean logits", lambda x, i: x[:, i].mean(-1) - x[:, [0, 2, 3, 5, 6, 8]].mean(-1), "Averaging logits"),
        ("sum of logits", lambda x, i: x[:, i].sum(-1), "Adding logits multiplies"),
        ("no others", lambda x, i: x[:, i].logsumexp(-1), "other tokens are missing"),
        ("bits", lambda x, i: _odds_others(x, i) / np.log(2), "This is in bits"),
        ("through p", _odds_unstable, "when the model is very sure"),
        ("one a token", lambda x, i: x[:, i], "One number for each row of logits"),
    ],
    "7.4": [
        ("no budget", _setting_of(lambda e, c, b: e), "whatever it costs"),
        ("cheapest", _setting_of(lambda e, c, b: -c), "the cheapest setting"),
        ("ratio", _setting_of(lambda e, c, b: e / c), "best effect per cost"),
        (
            "strictly below",
            _setting_of(lambda e, c, b: torch.where(c < b, e, -torch.inf)),
            "exactly the budget is allowed",
        ),
        ("zeros for not allowed", _setting_of(lambda e, c, b: torch.where(c <= b, e, 0.0)), "minus infinity"),
        ("flattened", lambda e, c, b: int(torch.where(c <= b, e, -torch.inf).argmax()), "flattened table"),
        ("swapped", lambda e, c, b: _setting_by_loop(e, c, b)[::-1], "look swapped"),
        ("effect never read", _setting_of(lambda e, c, b: torch.where(c <= b, c, -torch.inf)), "whatever `effect` is"),
        ("a budget of 1", lambda e, c, b: _setting_by_loop(e, c, 1.0), "whatever `budget` is"),
        (
            "divided by the rows",
            lambda e, c, b: divmod(int(torch.where(c <= b, e, -torch.inf).argmax()), e.shape[0]),
            "You divided by the number of rows",
        ),
        ("by size", _setting_of(lambda e, c, b: torch.where(c <= b, e.abs(), -torch.inf)), "with its sign"),
        (
            "a fraction",
            lambda e, c, b: (8 / 5, 8 % 5),
            "aren't whole numbers",
        ),
    ],
    "7.5": [
        ("unit length", lambda d, n, s: _unit_rows(_drawn(d, n, s)), "have length 1"),
        ("not normalised", lambda d, n, s: _drawn(d, n, s) * d.norm(), "The lengths run from"),
        ("shuffled entries", _random_shuffled, "shuffled the direction's own entries"),
        ("rand, not randn", _random_positive, "share one corner"),
        ("even on an interval", _random_even, "drawn evenly from an interval"),
        ("signs", lambda d, n, s: _scaled(_drawn(d, n, s).sign(), d), "corners of a cube"),
        ("one row repeated", lambda d, n, s: _scaled(_drawn(d, 1, s), d).repeat(n, 1), "All rows are the same"),
        ("no seed", lambda d, n, s: _scaled(torch.randn(n, len(d)), d), "same seed gave different"),
        ("fixed seed", lambda d, n, s: _scaled(_drawn(d, n, 5), d), "`seed` isn't used"),
        (
            "around the direction",
            lambda d, n, s: _scaled(_drawn(d, n, s) + d * 2, d),
            "close to the one they should be a control for",
        ),
        (
            "a little like the direction",
            lambda d, n, s: _scaled(_drawn(d, n, s) + 0.3 * d / d.std(), d),
            "Draw them without using it",
        ),
        ("none of the direction", _random_beside, "was taken out of each of yours"),
        (
            "heavy tails",
            lambda d, n, s: _scaled(_drawn(d, n, s) / _drawn(d, n, s + 100), d),
            "A few entries are far larger",
        ),
        ("forty of them", lambda d, n, s: _scaled(_drawn(d, 40, s), d), "take both from the arguments"),
        ("transposed", lambda d, n, s: _scaled(_drawn(d, n, s), d).T, "one direction a row, (n, d_model)"),
    ],
    "7.6": [
        ("substrings", lambda t, w: sum(any(x in y.lower() for x in w) for y in t) / len(t), "Match whole words only"),
        ("case", _share_case, "were missed: ignore case"),
        ("first end open", _share_open(r"(?:{})\b"), "'Cambridge' counted as 'bridge'"),
        ("plurals", _share_open(r"\b(?:{})s?\b"), "another word than 'bridge'"),
        ("second end open", _share_open(r"\b(?:{})"), "'foggy' counted as 'fog'"),
        ("lexicon not lowered", lambda t, w: _share_case([y.lower() for y in t], w), "Ignore case on both sides"),
        ("count", lambda t, w: sum(bool(_pattern(w).search(y)) for y in t), "Divide by the number"),
        ("all words", _share_all, "not all of them"),
        ("mentions", lambda t, w: sum(len(_pattern(w).findall(y)) for y in t) / len(t), "You counted mentions"),
        (
            "split at spaces",
            lambda t, w: sum(any(x in y.lower().split() for x in w) for y in t) / len(t),
            "leaves punctuation on words",
        ),
        ("a list of words", _share_by_words, "it is two words"),
        ("one a text", lambda t, w: [bool(_pattern(w).search(y)) for y in t], "one entry a text"),
        (
            "not escaped",
            lambda t, w: sum(bool(re.search(r"\b(" + "|".join(w) + r")\b", y, re.I)) for y in t) / len(t),
            "matched any letter",
        ),
    ],
    "7.7": [
        ("net", lambda b, a: sum(a) - sum(b), "That is the net change"),
        ("net and zero", lambda b, a: (max(0, sum(a) - sum(b)), max(0, sum(b) - sum(a))), "net change hides losses"),
        ("totals", lambda b, a: (sum(a), sum(b)), "totals after and before"),
        ("swapped", lambda b, a: _pairs_by_tensor(a, b), "Swapped: gained means"),
        (
            "kept as lost",
            lambda b, a: (_pairs_by_tensor(b, a)[0], sum(x and y for x, y in zip(b, a))),
            "counted as lost",
        ),
        ("all before as lost", lambda b, a: (_pairs_by_tensor(b, a)[0], sum(b)), "Lost means it is False after"),
        ("which ones", lambda b, a: ([i for i, x in enumerate(a) if x], [1]), "not which ones"),
        ("kept as gained", lambda b, a: (sum(a), _pairs_by_tensor(b, a)[1]), "True both times as gained"),
        ("shares", lambda b, a: tuple(x / len(a) for x in _pairs_by_tensor(b, a)), "Return counts"),
    ],
    "7.8": [
        ("sign", lambda s, y: -_slope_lstsq(s, y), "sign is wrong: a score that rises"),
        ("two ends", lambda s, y: (y[-1] - y[0]) / (s[-1] - s[0]), "the two ends only"),
        ("last minus first", lambda s, y: y[-1] - y[0], "last minus first, which isn't"),
        ("through zero", lambda s, y: s @ y / (s @ s), "forced through zero"),
        ("not divided", lambda s, y: _centred(s) @ y, "Divide by the sum of the squared"),
        ("covariance", lambda s, y: _centred(s) @ y / len(s), "That is the covariance"),
        ("root", lambda s, y: _centred(s) @ y / _centred(s).norm(), "not by its root"),
        (
            "correlation",
            lambda s, y: _centred(s) @ y / (_centred(s).norm() * (y - y.mean(0)).norm(dim=0)),
            "This is the correlation",
        ),
        ("one for all", lambda s, y: _slope_lstsq(s, y).mean(), "one slope for all"),
        ("one a strength", lambda s, y: y.mean(1), "one number for each strength"),
        ("median", lambda s, y: (s - s.median()) @ y / (s - s.median()).square().sum(), "centred on the median"),
    ],
    "7.9": [
        ("encoder", lambda e, d, i: _unit(e[:, i]), "what the latent *looks for*"),
        ("encoder, long", lambda e, d, i: e[:, i], "That is the encoder's column"),
        ("column", lambda e, d, i: _unit(d[:, i]), "one dimension across all latents"),
        ("not unit", lambda e, d, i: d[i], "its length isn't 1"),
        ("encoder row", lambda e, d, i: _unit(e[i]), "W_enc is the encoder, and its rows"),
        ("negative", lambda e, d, i: -_unit(d[i]), "turns the latent down"),
        ("whole norm", lambda e, d, i: d[i] / d.norm(), "norm of the whole matrix"),
        ("typed by hand", lambda e, d, i: _unit(d[2]), "whatever `latent` is"),
        ("times the norm", lambda e, d, i: d[i] * d[i].norm(), "You multiplied by the row's length"),
        ("square matrices only", lambda e, d, i: _unit(d[i] if len(d) == d.shape[1] else d[:, 0]), "more latents"),
    ],
    "7.10": [
        ("add", lambda a, d, v: a + v * _unit(d), "That is adding"),
        ("project out", lambda a, d, v: a - _amount(a, _unit(d)) * _unit(d), "put nothing in its place"),
        ("replace all", lambda a, d, v: (v * _unit(d)).expand_as(a), "Everything else is gone"),
        ("not unit", lambda a, d, v: a + (v - _amount(a, d)) * d, "length got in twice"),
        ("half unit", lambda a, d, v: a + (v - _amount(a, d)) * _unit(d), "measured along the unscaled"),
        (
            "value times raw",
            lambda a, d, v: a - _amount(a, _unit(d)) * _unit(d) + v * d,
            "too large by the direction's length",
        ),
        ("plus amount", lambda a, d, v: a + (v + _amount(a, _unit(d))) * _unit(d), "instead of taking it off"),
        ("sign", lambda a, d, v: a + (_amount(a, _unit(d)) - v) * _unit(d), "move by value minus"),
        (
            "only up",
            lambda a, d, v: a + (v - _amount(a, _unit(d))).clamp_min(0) * _unit(d),
            "above the value kept theirs",
        ),
        ("torch.clamp", lambda a, d, v: a.clamp(-v, v), "limits every entry"),
        ("three axes only", _clamp_three_axes, "Right for three axes, but not"),
        ("only down", lambda a, d, v: a + (v - _amount(a, _unit(d))).clamp_max(0) * _unit(d), "below the value kept"),
        ("nothing", lambda a, d, v: a.clone(), "Nothing changed"),
    ],
    "7.11": [
        ("last only", _compose_last, "Only the last edit"),
        ("first only", _compose_first, "inside the loop"),
        ("reversed", lambda e: _compose_recursively(e[::-1]), "in the reverse order"),
        ("in parallel", lambda e: lambda a: a + sum(f(a) - a for f in e), "the changes were added"),
        ("added results", lambda e: lambda a: sum((f(a) for f in e), torch.zeros_like(a)), "You added the results"),
        ("results lost", _compose_lost, "keep what each edit returns"),
        ("used up", _compose_used_up, "The second call gave something else"),
        ("list", lambda e: list(e), "expected a function of activations"),
    ],
}


def _unit_rows(rows):
    return rows / rows.norm(dim=-1, keepdim=True)


def _as_array(function):
    return lambda *args: function(*args).numpy()


RIGHT = {
    "7.1": [
        ("index_add and weights", _contrast_with_index_add),
        ("a loop over rows", _contrast_by_loop),
        ("numpy", _as_array(_contrast)),
    ],
    "7.2": [
        ("a boolean mask", _push_masked),
        ("a weight of 0 or 1", _push_weighted),
        ("numpy", _as_array(_push_masked)),
    ],
    "7.3": [
        ("the others listed", _odds_others),
        ("minus infinity filled in", _odds_filled),
        ("numpy", _as_array(_odds_others)),
    ],
    "7.4": [
        ("two loops", _setting_by_loop),
        ("numpy", _setting_by_numpy),
        ("an array", lambda e, c, b: np.array(_setting_by_loop(e, c, b))),
    ],
    "7.5": [
        ("numpy's generator", _random_numpy),
        ("one by one", _random_one_by_one),
        ("numpy's numbers", _as_array(_random_numpy)),
    ],
    "7.6": [
        ("the reference with a compiled pattern", lambda t, w: sum(bool(_pattern(w).search(x)) for x in t) / len(t)),
        ("padded with spaces", _share_padded),
    ],
    "7.7": [
        ("tensors", _pairs_by_tensor),
        ("differences", _pairs_by_change),
        ("an array", lambda b, a: np.array(_pairs_by_change(b, a))),
    ],
    "7.8": [("polyfit", _slope_polyfit), ("lstsq", _slope_lstsq), ("numpy", _as_array(_slope_lstsq))],
    "7.9": [
        ("normalize", lambda e, d, i: torch.nn.functional.normalize(d[i], dim=0)),
        ("all rows, then one", lambda e, d, i: (d / d.norm(dim=1, keepdim=True))[i]),
        ("numpy", _as_array(lambda e, d, i: _unit(d[i]))),
    ],
    "7.10": [("a projector", _clamp_by_projector), ("einsum", _clamp_by_einsum)],
    "7.11": [
        ("reduce", lambda e: lambda a: functools.reduce(lambda x, f: f(x), e, a)),
        ("recursion", _compose_recursively),
    ],
}

EQUIVALENT = {
    "7.9": {
        "W_enc ignored | latent_direction": "a latent's direction is in W_dec alone; W_enc is there to be passed over",
    },
}
