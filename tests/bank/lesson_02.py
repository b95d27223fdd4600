"""The bank of lesson 02: wrong answers with the words they must be met with, and right ones written differently."""

import numpy as np
import torch

# ------------------------------------------------------------------------------------------ 2.1 logit difference


def _one_logit(logits, answer, other):
    return logits[:, -1, answer]


def _difference_of_probabilities(logits, answer, other):
    probs = logits.softmax(-1)
    return probs[:, -1, answer] - probs[:, -1, other]


def _by_log_probabilities(logits, answer, other):
    log_probs = logits[:, -1].log_softmax(-1)
    return log_probs[:, answer] - log_probs[:, other]


def _by_matrix_product(logits, answer, other):
    pick = torch.zeros(logits.shape[-1])
    pick[answer], pick[other] = 1, -1
    return (logits @ pick)[:, -1]


# ------------------------------------------------------------------------------------ 2.3 direct logit attribution


def _scale(parts, eps=1e-5):
    return (parts.sum(0).square().mean() + eps).sqrt()


def _own_scale(parts, weight, readout, eps=1e-5):
    return (parts / (parts.pow(2).mean(-1, keepdim=True) + eps).sqrt() * weight) @ readout


def _fractions(parts, weight, readout, eps=1e-5):
    shares = (parts / _scale(parts, eps) * weight) @ readout
    return shares / shares.sum()


def _by_a_loop(parts, weight, readout, eps=1e-5):
    stream = torch.stack(list(parts)).sum(dim=0)
    divisor = torch.sqrt(torch.mean(stream**2) + eps)
    return torch.stack([(part * weight * readout).sum() / divisor for part in parts])


# ----------------------------------------------------------------------------------------------------- 2.4 patch hook


def _in_place(resid, hook, clean, positions):
    resid[:, positions] = clean[positions]
    return resid


def _first_row_only(resid, hook, clean, positions):
    resid = resid.clone()
    resid[0, positions] = clean[positions]
    return resid


def _returns_nothing(resid, hook, clean, positions):
    resid = resid.clone()
    resid[:, positions] = clean[positions]


def _wrong_index(resid, hook, clean, positions):
    resid = resid.clone()
    resid[positions] = clean[positions]
    return resid


def _first_rows_of_clean(resid, hook, clean, positions):
    resid = resid.clone()
    resid[:, positions] = clean[: int(positions.sum())]
    return resid


def _by_clone(resid, hook, clean, positions):
    resid = resid.clone()
    resid[:, positions] = clean[positions]
    return resid


def _by_arithmetic(resid, hook, clean, positions):
    mark = positions.float()[None, :, None]
    return resid * (1 - mark) + clean[None] * mark


def _by_loop(resid, hook, clean, positions):
    columns = [clean[i].expand(len(resid), -1) if positions[i] else resid[:, i] for i in range(resid.shape[1])]
    return torch.stack(columns, dim=1)


# ------------------------------------------------------------------------------------------- 2.6 attack the recovery


def _with(logits, **changes):
    out = logits.clone()
    for at, value in changes.values():
        out[at] = value
    return out


def _other_removed(logits, answer, other):
    return _with(logits, a=(other, logits.min() - 100))


def _other_at_minus_infinity(logits, answer, other):
    return _with(logits, a=(other, float("-inf")))


def _answer_raised(logits, answer, other):
    return _with(logits, a=(answer, logits[other] + 100))


def _made_equal(logits, answer, other):
    return _with(logits, a=(other, logits[answer]))


def _third(logits, answer, other):
    return next(i for i in range(len(logits)) if i not in (answer, other))


def _exchanged(logits, answer, other):
    return _with(logits, a=(answer, logits[other]), b=(other, logits[answer]))


def _too_little(logits, answer, other):
    """The third token gets what the other one had, and loses what it had itself."""
    third = max(i for i in range(len(logits)) if i not in (answer, other))
    return _with(logits, a=(other, 2 * logits[answer] - logits[other]), b=(third, logits[other]))


def _wiped_out(logits, answer, other):
    """Both cities' logits fall, and keep their order turned round: nothing is raised."""
    low = logits[answer] - 50
    return _with(logits, a=(answer, low), b=(other, low - (logits[other] - logits[answer])))


def _nonsense_token(logits, answer, other):
    return _with(logits, a=(other, logits[answer] - 50), b=(_third(logits, answer, other), logits.max() + 50))


def _changes_places(logits, answer, other):
    """The answer's lead is what the other's was; everything falls so far that P(answer) does, too."""
    third = _third(logits, answer, other)
    moved = _with(logits, a=(third, logits.max() + 3), b=(other, 2 * logits[answer] - logits[other]))
    return moved - 5


# ------------------------------------------------------------------------------------------------ 2.7 design a control


def _other_cities(pair, known):
    return [place for place in known if place.answer not in (pair.answer, pair.other)]


def _aligned(pair, known):
    return [place for place in known if len(place.tokens) == len(pair.clean) and place.subject == pair.subject]


def _right_strangers(pair, known):
    return _other_cities(pair, _aligned(pair, known))


def _one_a_city(pair, known):
    return list({place.answer: place for place in _right_strangers(pair, known)}.values())


def _not_the_other(pair, known):
    return [place for place in _aligned(pair, known) if place.answer != pair.other]


def _not_the_answer(pair, known):
    return [place for place in _aligned(pair, known) if place.answer != pair.answer]


def _same_length(pair, known):
    return [place for place in _other_cities(pair, known) if len(place.tokens) == len(pair.clean)]


def _by_filter(pair, known):
    taken = {pair.answer, pair.other}
    aligned = filter(lambda place: place.subject == pair.subject and place.tokens.shape == pair.clean.shape, known)
    return tuple(place for place in aligned if place.answer not in taken)


# ----------------------------------------------------------------------------------------------- 2.8 beyond the control


def _interval(draws, centre):
    return centre, np.percentile(draws, 2.5), np.percentile(draws, 97.5)


def _unpaired(recovered, control, n_resamples=2000, seed=0):
    rng, n = np.random.default_rng(seed), len(recovered)
    draws = [
        recovered[rng.integers(n, size=n)].mean() - control[rng.integers(n, size=n)].mean() for _ in range(n_resamples)
    ]
    return _interval(draws, (recovered - control).mean())


def _without_replacement(recovered, control, n_resamples=2000, seed=0):
    rng, d = np.random.default_rng(seed), recovered - control
    return _interval([rng.permutation(d).mean() for _ in range(n_resamples)], d.mean())


def _spread_of_pairs(recovered, control, n_resamples=2000, seed=0):
    return _interval(recovered - control, (recovered - control).mean())


def _low_first(recovered, control, n_resamples=2000, seed=0):
    mean, low, high = _by_loop_of_means(recovered, control, n_resamples, seed)
    return mean, high, low


def _ninety_nine(recovered, control, n_resamples=2000, seed=0):
    rng, d = np.random.default_rng(seed), recovered - control
    draws = [rng.choice(d, len(d)).mean() for _ in range(n_resamples)]
    return d.mean(), np.percentile(draws, 0.05), np.percentile(draws, 99.95)


def _the_recovery_itself(recovered, control, n_resamples=2000, seed=0):
    rng = np.random.default_rng(seed)
    return _interval([rng.choice(recovered, len(recovered)).mean() for _ in range(200)], recovered.mean())


def _the_wrong_way_round(recovered, control, n_resamples=2000, seed=0):
    return _by_loop_of_means(control, recovered, n_resamples, seed)


def _by_loop_of_means(recovered, control, n_resamples=2000, seed=0):
    rng, d = np.random.default_rng(seed), recovered - control
    return _interval([rng.choice(d, len(d)).mean() for _ in range(n_resamples)], d.mean())


def _by_torch(recovered, control, n_resamples=2000, seed=0):
    d = torch.as_tensor(recovered - control)
    rows = torch.randint(len(d), (n_resamples, len(d)), generator=torch.Generator().manual_seed(seed))
    low, high = d[rows].mean(1).quantile(torch.tensor([0.025, 0.975], dtype=d.dtype))
    return [float(d.mean()), float(low), float(high)]


def _percentiles(low, high, statistic=np.mean):
    def interval(recovered, control, n_resamples=2000, seed=0):
        rng, d = np.random.default_rng(seed), recovered - control
        draws = statistic(d[rng.integers(len(d), size=(n_resamples, len(d)))], axis=1)
        return d.mean(), np.percentile(draws, low), np.percentile(draws, high)

    return interval


def _mean_of_means(recovered, control, n_resamples=2000, seed=0):
    rng, d = np.random.default_rng(seed), recovered - control
    means = d[rng.integers(len(d), size=(n_resamples, len(d)))].mean(1)
    return _interval(means, means.mean())


def _drawn_by(rows):
    """A bootstrap whose resamples are `rows(rng, n)`: the row numbers of one resample."""

    def interval(recovered, control, n_resamples=2000, seed=0):
        rng, d = np.random.default_rng(seed), recovered - control
        return _interval([d[rows(rng, len(d))].mean() for _ in range(n_resamples)], d.mean())

    return interval


def _unseeded(recovered, control, n_resamples=2000, seed=0):
    return _by_loop_of_means(recovered, control, n_resamples, None)


def _normal(recovered, control, n_resamples=2000, seed=0):
    d = recovered - control
    error = d.std(ddof=1) / np.sqrt(len(d))
    return d.mean(), d.mean() - 1.96 * error, d.mean() + 1.96 * error


def _half_of_them(recovered, control, n_resamples=2000, seed=0):
    return _by_loop_of_means(recovered, control, max(1, n_resamples // 2), seed)


def _over_resamples(recovered, control, n_resamples=2000, seed=0):
    rng, d = np.random.default_rng(seed), recovered - control
    return _interval(d[rng.integers(len(d), size=(n_resamples, len(d)))].mean(axis=0), d.mean())


# -------------------------------------------------------------------------------------------- 2.11 integrated gradients


def _points(inputs, baseline, alphas):
    return [baseline + a * (inputs - baseline) for a in alphas]


def _mean_gradient(gradient_at, points):
    return sum(gradient_at(p) for p in points) / len(points)


def _alphas(steps):
    return [(k + 0.5) / steps for k in range(steps)]


def _only_the_input(gradient_at, inputs, baseline, steps=50):
    return ((inputs - baseline) * gradient_at(inputs)).sum(-1)


def _halfway(gradient_at, inputs, baseline, steps=50):
    return ((inputs - baseline) * gradient_at((inputs + baseline) / 2)).sum(-1)


def _times_inputs(gradient_at, inputs, baseline, steps=50):
    return (inputs * _mean_gradient(gradient_at, _points(inputs, baseline, _alphas(steps)))).sum(-1)


def _mean_gradient_alone(gradient_at, inputs, baseline, steps=50):
    return _mean_gradient(gradient_at, _points(inputs, baseline, _alphas(steps))).sum(-1)


def _from_zero(gradient_at, inputs, baseline, steps=50):
    return ((inputs - baseline) * _mean_gradient(gradient_at, [a * inputs for a in _alphas(steps)])).sum(-1)


def _from_zero_with_ends(gradient_at, inputs, baseline, steps=50):
    total = sum(gradient_at(inputs * alpha) for alpha in torch.linspace(0, 1, steps))
    return ((inputs - baseline) * total / steps).sum(-1)


def _not_averaged(gradient_at, inputs, baseline, steps=50):
    points = _points(inputs, baseline, _alphas(steps))
    return ((inputs - baseline) * sum(gradient_at(p) for p in points)).sum(-1)


def _not_summed(gradient_at, inputs, baseline, steps=50):
    return (inputs - baseline) * _mean_gradient(gradient_at, _points(inputs, baseline, _alphas(steps)))


def _the_other_way(gradient_at, inputs, baseline, steps=50):
    return -_by_trapezoid(gradient_at, inputs, baseline, steps)


def _at(alphas, start=0.0):
    """The mean gradient over the points `alphas(steps)` of the line, on top of a sum that starts at `start`."""

    def shares(gradient_at, inputs, baseline, steps=32):
        places = alphas(steps)
        total = sum(gradient_at(p) for p in _points(inputs, baseline, places)) + start
        return ((inputs - baseline) * total / len(places)).sum(-1)

    return shares


def _at_random(gradient_at, inputs, baseline, steps=32):
    # With this seed the sum is near enough by luck, and the line has holes.
    alphas = torch.rand(steps, generator=torch.Generator().manual_seed(5))
    return ((inputs - baseline) * _mean_gradient(gradient_at, _points(inputs, baseline, alphas))).sum(-1)


def _by_gauss(gradient_at, inputs, baseline, steps=50):
    places, weights = np.polynomial.legendre.leggauss(steps)
    points = _points(inputs, baseline, ((places + 1) / 2).tolist())
    return ((inputs - baseline) * sum(w / 2 * gradient_at(p) for w, p in zip(weights.tolist(), points))).sum(-1)


def _all_at_once(gradient_at, inputs, baseline, steps=50):
    alphas = torch.linspace(0, 1, steps)[:, None, None]
    return ((inputs - baseline) * gradient_at(baseline + alphas * (inputs - baseline)).mean(0)).sum(-1)


def _by_right_ends(gradient_at, inputs, baseline, steps=50):
    total = torch.zeros_like(inputs)
    for k in range(1, steps + 1):
        total = total + gradient_at(baseline + k / steps * (inputs - baseline))
    return (total / steps * (inputs - baseline)).sum(dim=1)


def _by_trapezoid(gradient_at, inputs, baseline, steps=50):
    gradients = torch.stack([gradient_at(p) for p in _points(inputs, baseline, torch.linspace(0, 1, steps))])
    return torch.einsum("pd,pd->p", torch.trapezoid(gradients, dx=1 / (steps - 1), dim=0), inputs - baseline)


WRONG = {
    "2.1": [
        ("all positions", lambda x, a, b: x[..., a] - x[..., b], "a number for every position"),
        ("other minus answer", lambda x, a, b: x[:, -1, b] - x[:, -1, a], "wrong way round"),
        ("first position", lambda x, a, b: x[:, 0, a] - x[:, 0, b], "reads the first position"),
        ("mean over positions", lambda x, a, b: (x[..., a] - x[..., b]).mean(1), "averaged over positions"),
        ("one logit", _one_logit, "This is one logit"),
        ("probabilities", _difference_of_probabilities, "difference of probabilities"),
        ("indexes the batch", lambda x, a, b: x[-1, :, a] - x[-1, :, b], "Your result has shape (5,)"),
        ("zeros", lambda x, a, b: torch.zeros(len(x)), "The shape is right, the numbers are not"),
        ("a float", lambda x, a, b: float(x[0, -1, a] - x[0, -1, b]), "Your result is a float"),
        ("the sum", lambda x, a, b: x[:, -1, a] + x[:, -1, b], "You added the two logits"),
        ("last but one", lambda x, a, b: x[:, -2, a] - x[:, -2, b], "last position but one"),
        (
            "first prompt for all",
            lambda x, a, b: (x[:1, -1, a] - x[:1, -1, b]).expand(len(x)),
            "the first prompt's number",
        ),
        (
            "position fixed at 4",
            lambda x, a, b: x[:, min(4, x.shape[1] - 1) if x.shape[1] > 3 else 1, a] - x[:, -1, b],
            "Right for one pair of tokens",
        ),
        ("rounded", lambda x, a, b: (x[:, -1, a] - x[:, -1, b]).round(), "rounded: keep all digits"),
        ("sigmoid", lambda x, a, b: (x[:, -1, a] - x[:, -1, b]).sigmoid(), "a probability made of the difference"),
    ],
    "2.2": [
        ("nothing is wrong", "a", "isn't all that"),
        ("more draws", "b", "add no city"),
        ("positions", "d", "one measurement"),
    ],
    "2.3": [
        ("the total", lambda p, w, r, e=1e-5: ((p / _scale(p, e) * w) @ r).sum(), "You have the total"),
        ("no scale", lambda p, w, r, e=1e-5: (p * w) @ r, "Nothing was divided"),
        ("no weight", lambda p, w, r, e=1e-5: (p / _scale(p, e)) @ r, "learned `weight` is missing"),
        ("each part its own scale", _own_scale, "by its own size"),
        ("a typical part's", lambda p, w, r, e=1e-5: (p / (p.square().mean() + e).sqrt() * w) @ r, "their sum"),
        ("length", lambda p, w, r, e=1e-5: (p / p.sum(0).norm() * w) @ r, "root of the *mean* square"),
        ("no root", lambda p, w, r, e=1e-5: (p / p.sum(0).square().mean() * w) @ r, "take its root"),
        ("standard deviation", lambda p, w, r, e=1e-5: (p / p.sum(0).std() * w) @ r, "took the mean off"),
        ("multiplies by the scale", lambda p, w, r, e=1e-5: (p * _scale(p, e) * w) @ r, "the norm divides by it"),
        ("sign", lambda p, w, r, e=1e-5: -(p / _scale(p, e) * w) @ r, "All signs are turned round"),
        ("absolute values", lambda p, w, r, e=1e-5: ((p / _scale(p, e) * w) @ r).abs(), "absolute values"),
        ("fractions", _fractions, "fractions of the total"),
        ("by dimension", lambda p, w, r, e=1e-5: p / _scale(p, e) * w * r, "Your result has shape (4, 6)"),
        ("noise", lambda p, w, r, e=1e-5: torch.randn(len(p)), "The shares are off"),
        ("divides by the weight", lambda p, w, r, e=1e-5: (p / _scale(p, e) / w) @ r, "You divided by `weight`"),
        ("adds the weight", lambda p, w, r, e=1e-5: (p / _scale(p, e) + w) @ r, "You added `weight`"),
        (
            "eps outside",
            lambda p, w, r, e=1e-5: (p / (p.sum(0).square().mean().sqrt() + e) * w) @ r,
            "eps` counts: it belongs under the root",
        ),
        ("eps ignored", lambda p, w, r, e=1e-5: (p / _scale(p) * w) @ r, "`eps` as they come"),
    ],
    "2.4": [
        ("in place", _in_place, "changed its input"),
        ("nothing patched", lambda resid, hook, clean, positions: resid.clone(), "Nothing was patched"),
        (
            "the complement",
            lambda resid, hook, clean, positions: torch.where(positions[:, None], resid, clean),
            "that are *not* marked",
        ),
        ("everything", lambda resid, hook, clean, positions: clean.expand_as(resid), "You replaced every position"),
        (
            "adds",
            lambda resid, hook, clean, positions: resid + positions[:, None] * clean,
            "added the clean activation",
        ),
        ("first row only", _first_row_only, "Only the first row"),
        ("no return", _returns_nothing, "returned None"),
        ("masks the batch axis", _wrong_index, "stopped with IndexError"),
        (
            "loses the batch",
            lambda resid, hook, clean, positions: torch.where(positions[:, None], clean, resid[0]),
            "lost its batch axis",
        ),
        (
            "patched positions alone",
            lambda resid, hook, clean, positions: clean[positions].expand(2, 2, 3),
            "patched positions alone",
        ),
        ("zeroes", lambda resid, hook, clean, positions: resid * ~positions[:, None], "set to 0"),
        (
            "hook by another name",
            lambda x, _, clean, positions: torch.where(positions[:, None], clean, x),
            "unexpected keyword argument 'hook'",
        ),
        ("first rows of clean", _first_rows_of_clean, "The first rows of `clean` went in"),
        (
            "positions fixed",
            lambda resid, hook, clean, positions: torch.where(torch.arange(len(clean))[:, None] % 3 == 1, clean, resid),
            "whatever `positions` is",
        ),
    ],
    "2.5": [
        ("share of clean", lambda p, c, k: p / c, "share of the clean value"),
        ("nats gained", lambda p, c, k: p - k, "nats gained, not a share"),
        ("0 and 1 swapped", lambda p, c, k: (c - p) / (c - k), "0 and 1 are swapped"),
        ("divides by clean", lambda p, c, k: (p - k) / c, "You divided by `clean`"),
        ("clipped", lambda p, c, k: ((p - k) / (c - k)).clamp(0, 1), "You clipped"),
        ("absolute", lambda p, c, k: ((p - k) / (c - k)).abs(), "keep the sign"),
        ("absolute distance", lambda p, c, k: (p - k) / abs(c - k), "fails when clean lies below corrupt"),
        ("mean", lambda p, c, k: ((p - k) / (c - k)).mean(), "the shape stays"),
        ("constant", lambda p, c, k: torch.full_like(p, 0.5), "whatever `patched` is"),
        ("adds corrupt below", lambda p, c, k: (p - k) / (c + k), "You divided by `clean + corrupt`"),
        ("adds corrupt above", lambda p, c, k: (p + k) / (c - k), "You added `corrupt`"),
        ("least and most", lambda p, c, k: (p - p.min()) / (p.max() - p.min()), "the least and the most of `patched`"),
        (
            "two axes only",
            lambda p, c, k: torch.stack([(row - k) / (c - k) for row in p]) if p.ndim == 2 else p,
            "wrong for another",
        ),
    ],
    "2.6": [
        ("nothing changed", lambda x, a, o: x.clone(), "Nothing was changed"),
        ("other removed", _other_removed, "goes to all the others"),
        ("infinite", _other_at_minus_infinity, "infinite or NaN"),
        ("answer raised", _answer_raised, "raised the logit of `answer` itself"),
        ("the two exchanged", _exchanged, "A run that knows nothing more"),
        ("too little for the third", _too_little, "a third token got more, but not enough"),
        ("made equal", _made_equal, "the recovery is only"),
        ("a number", lambda x, a, o: 1.0, "Your result is a float"),
    ],
    "2.7": [
        ("everybody", lambda pair, known: list(known), "Score on 40 pairs"),
        ("any length", lambda pair, known: _other_cities(pair, known), "another length"),
        ("the clean answer's city too", _not_the_other, "clean answer's city"),
        ("the corrupt answer's city too", _not_the_answer, "corrupt answer's city"),
        ("the name anywhere", _same_length, "name at other positions"),
        ("only one", lambda pair, known: _right_strangers(pair, known)[:1], "You left out"),
        ("the first three", lambda pair, known: _right_strangers(pair, known)[:3], "places that would do"),
        ("one a city", _one_a_city, "the more strangers, the surer"),
        ("names", lambda pair, known: [place.name for place in known], "Return a list of places"),
        ("twice", lambda pair, known: 2 * _right_strangers(pair, known), "in your list twice"),
    ],
    "2.8": [
        ("half of the resamples", _half_of_them, "With `n_resamples=2` there are two means"),
        ("unpaired", _unpaired, "far too wide"),
        ("without replacement", _without_replacement, "no width"),
        ("spread of single pairs", _spread_of_pairs, "spread of single pairs"),
        ("ends swapped", _low_first, "does not hold the mean"),
        ("99.9 percent", _ninety_nine, "width is off"),
        ("no control", _the_recovery_itself, "This is the recovery itself"),
        ("control minus recovered", _the_wrong_way_round, "recovered minus control"),
        ("one number", lambda r, c, n=2000, seed=0: (r - c).mean(), "Return three numbers"),
        ("mean of one half", lambda r, c, n=2000, seed=0: ((r - c)[:9].mean(), -9.0, 9.0), "from all the pairs"),
        (
            "mean of the resampled means",
            _mean_of_means,
            "not the mean of the resampled means",
        ),
        ("90 percent", _percentiles(5, 95), "5th and 95th percentiles"),
        ("lopsided percentiles", _percentiles(4.5, 97.5), "wanted are 2.5 and 97.5"),
        ("medians", _percentiles(2.5, 97.5, np.median), "resampled *medians*"),
        (
            "half of the pairs, without replacement",
            _drawn_by(lambda rng, n: rng.permutation(n)[: n // 2]),
            "Draw ten of ten",
        ),
        ("never the last pair", _drawn_by(lambda rng, n: rng.integers(n - 1, size=n)), "The last pair is never drawn"),
        ("never the first pair", _drawn_by(lambda rng, n: rng.integers(1, n, size=n)), "The first pair is never drawn"),
        ("always sixteen", _drawn_by(lambda rng, n: rng.integers(n, size=16)), "width is off: 1.2"),
        ("no seed", _unseeded, "The same seed gave two intervals"),
        ("another seed", lambda r, c, n=2000, seed=0: _by_loop_of_means(r, c, n, 77), "`seed` isn't used"),
        (
            "resamples fixed",
            lambda r, c, n=2000, seed=0: _by_loop_of_means(r, c, 2000, seed),
            "`n_resamples` isn't used",
        ),
        ("mean and standard error", _normal, "symmetric about the mean"),
        ("averages over resamples", _over_resamples, "far too narrow"),
        ("control added", lambda r, c, n=2000, seed=0: _by_loop_of_means(r, -c, n, seed), "You added the control"),
        (
            "median first",
            lambda r, c, n=2000, seed=0: (np.median(r - c), *_by_loop_of_means(r, c, n, seed)[1:]),
            "the median over pairs",
        ),
    ],
    "2.9": [
        ("only block 23", "a", "miss what several blocks share"),
        ("gone", "c", "not read is not gone"),
        ("repaired", "d", "with both held no less is left"),
    ],
    "2.10": [
        ("not summed", lambda c, k, g: (c - k) * g.mean(0), "add up over d_model"),
        ("every point", lambda c, k, g: ((c - k) * g).sum(-1), "an estimate for every point"),
        ("wrong axis", lambda c, k, g: ((c - k) * g.mean(0)).sum(0), "Your result has shape (4, 6)"),
        ("slopes added up", lambda c, k, g: ((c - k) * g.sum(0)).sum(-1), "added the slopes"),
        ("the first point", lambda c, k, g: ((c - k) * g[0]).sum(-1), "Only the first point"),
        ("the last point", lambda c, k, g: ((c - k) * g[-1]).sum(-1), "Only the last point"),
        ("wrong way", lambda c, k, g: ((k - c) * g.mean(0)).sum(-1), "wrong way round"),
        ("gradient times clean", lambda c, k, g: (c * g.mean(0)).sum(-1), "gradient × clean"),
        ("averaged", lambda c, k, g: ((c - k) * g.mean(0)).mean(-1), "averaged over d_model"),
        ("absolute", lambda c, k, g: ((c - k) * g.mean(0)).sum(-1).abs(), "absolute values"),
        ("lengths", lambda c, k, g: (c - k).norm(dim=-1) * g.mean(0).norm(dim=-1), "multiplies lengths"),
        ("noise", lambda c, k, g: torch.randn(c.shape[:-1]), "the dot product of the step"),
        ("axis 2", lambda c, k, g: ((c - k) * g.mean(0)).sum(2), "but not for more axes"),
        ("gradient times corrupt", lambda c, k, g: (k * g.mean(0)).sum(-1), "gradient × corrupt"),
        ("added runs", lambda c, k, g: ((c + k) * g.mean(0)).sum(-1), "You added the two runs"),
        ("medians", lambda c, k, g: ((c - k) * g.median(0).values).sum(-1), "the median of the slopes"),
        ("five points", lambda c, k, g: ((c - k) * g.sum(0) / 5).sum(-1), "more axes"),
    ],
    "2.11": [
        ("gradient at the input", _only_the_input, "gradient at the input only"),
        ("halfway", _halfway, "gradient at one point, halfway"),
        ("times inputs", _times_inputs, "You multiplied by `inputs`"),
        ("mean gradient alone", _mean_gradient_alone, "mean gradient alone"),
        ("from zero", _from_zero, "Your line starts at zero"),
        ("from zero, both ends", _from_zero_with_ends, "It should start at `baseline`"),
        ("not averaged", _not_averaged, "added up, not averaged"),
        ("not summed", _not_summed, "add up over d_model"),
        ("other way", _the_other_way, "All signs are turned round"),
        ("all points at once", _all_at_once, "stopped with ValueError"),
        ("noise", lambda g, x, b, steps=50: torch.randn(len(x)), "called 0 times for 200 steps"),
        (
            "points bunched at the input",
            _at(lambda steps: [(k / steps) ** 0.1 for k in range(steps)]),
            "don't add up to f",
        ),
        ("absolute", lambda *a: _by_trapezoid(*a).abs(), "You took absolute values"),
        ("steps ignored", lambda g, x, b, steps=32: _by_right_ends(g, x, b, 40), "called 40 times for 200 steps"),
        ("points at random", _at_random, "Points drawn at random do"),
        ("beyond the end", _at(lambda steps: [(k + 1.5) / steps for k in range(steps)]), "beyond the ends of the line"),
        ("the sum starts at 1", _at(_alphas, start=1.0), "Start the sum at 0"),
    ],
}

RIGHT = {
    "2.1": [
        ("difference of log-probabilities", _by_log_probabilities),
        ("matrix product", _by_matrix_product),
        ("select, then index", lambda x, a, b: x.select(1, -1)[:, a].sub(x.select(1, -1)[:, b])),
    ],
    "2.2": [("capital", "C"), ("with a bracket", "c)")],
    "2.3": [
        ("fold the norm into the direction", lambda p, w, r, e=1e-5: p @ (w * r / _scale(p, e))),
        ("part by part", _by_a_loop),
    ],
    "2.4": [("clone and index", _by_clone), ("arithmetic", _by_arithmetic), ("stack columns", _by_loop)],
    "2.5": [
        ("one minus the rest", lambda p, c, k: 1 - (c - p) / (c - k)),
        ("two terms", lambda p, c, k: p / (c - k) - k / (c - k)),
    ],
    "2.6": [("a nonsense token", _nonsense_token), ("changes places", _changes_places), ("both wiped out", _wiped_out)],
    "2.7": [("comprehension", lambda pair, known: _right_strangers(pair, known)), ("a tuple", _by_filter)],
    "2.8": [
        ("loop over resamples", _by_loop_of_means),
        ("torch, returned as a list", _by_torch),
        ("an array", lambda r, c, n=2000, seed=0: np.array(_by_loop_of_means(r, c, n, seed))),
    ],
    "2.9": [("capital", "B"), ("with a bracket", "(b)")],
    "2.10": [
        ("einsum", lambda c, k, g: torch.einsum("...d,...d->...", c - k, g.mean(0))),
        ("mean of the estimates", lambda c, k, g: ((c - k) * g).sum(-1).mean(0)),
        ("two dot products", lambda c, k, g: (c * g.mean(0)).sum(-1) - (k * g.mean(0)).sum(-1)),
    ],
    "2.11": [("right end points", _by_right_ends), ("trapezoid rule", _by_trapezoid), ("Gauss's points", _by_gauss)],
}


_ANY_RULE = "the text leaves the points to the learner: any place within each piece of the line will do"

EQUIVALENT = {
    "2.11": {
        f"{change} | alphas = (torch.arange(steps) + 0.5) / steps | 1": _ANY_RULE
        for change in ("second part of Add dropped", "0.5 -> 0.65", "0.5 -> 0.35")
    },
}
