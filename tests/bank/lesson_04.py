"""Answers to lesson 04's exercises: wrong ones with the words that must reject them, right ones written differently."""

from __future__ import annotations

import numpy as np
import torch


def _mirrored_raters(easy, generator):
    coin, share = torch.rand(len(easy), generator=generator), torch.where(easy, 0.9, 0.1)
    return coin < share, 1 - coin < share


def _periodic_raters(easy, generator):
    places = torch.arange(len(easy))
    return (places % 10 == 0) ^ easy, (places % 11 == 0) ^ easy


# ------------------------------------------------------------------------------------------------------------ 4.1


def margins(log_likelihood, length, labels, pairs, order=None):
    per_token = log_likelihood / length
    numbers = sorted(set(pairs.tolist())) if order is None else order
    return torch.stack([per_token[(pairs == p) & labels][0] - per_token[(pairs == p) & ~labels][0] for p in numbers])


def margins_by_sorting(log_likelihood, length, labels, pairs):
    # key = 2 * pair + (0 for the true one), so true and false of a pair stand side by side
    order = torch.argsort(2 * pairs + (~labels).long())
    per_token = (log_likelihood / length)[order].reshape(-1, 2)
    return per_token[:, 0] - per_token[:, 1]


def margins_by_sums(log_likelihood, length, labels, pairs):
    _, which = pairs.unique(return_inverse=True)
    signed = torch.where(labels, 1.0, -1.0) * log_likelihood / length
    return torch.zeros(int(which.max()) + 1).index_add(0, which, signed)


def margin_of_sums(log_likelihood, length, labels, pairs):
    return margins(log_likelihood, torch.ones_like(length), labels, pairs)


def margin_common_length(log_likelihood, length, labels, pairs):
    lengths = torch.stack([length[pairs == p].sum() for p in pairs.unique()])
    return margin_of_sums(log_likelihood, length, labels, pairs) / lengths


def margins_in_order_of_claims(log_likelihood, length, labels, pairs):
    per_token = log_likelihood / length
    return per_token[labels] - per_token[~labels]


# ------------------------------------------------------------------------------------------------------------ 4.2


def odds_after_shift(logits, yes_ids, no_ids):
    shifted = (logits - logits.max(-1, keepdim=True).values).exp()
    return shifted[:, yes_ids].sum(-1).log() - shifted[:, no_ids].sum(-1).log()


# ------------------------------------------------------------------------------------------------------------ 4.3


def by_rows(odds, labels):
    one, other = odds
    balanced = (one + other) / 2
    high, low = balanced[labels].mean(), balanced[~labels].mean()
    return (high + low) / 2, one.mean() / 2 - other.mean() / 2, high - low


def by_numpy(odds, labels):
    odds, labels = odds.numpy(), labels.numpy()
    classes = np.array([odds[:, labels].mean(), odds[:, ~labels].mean()])
    return [classes.mean(), (odds[0].mean() - odds[1].mean()) / 2, classes[0] - classes[1]]


def bias_of_all(odds, labels):
    _, order, separation = by_rows(odds, labels)
    return odds.mean(), order, separation


def order_doubled(odds, labels):
    bias, order, separation = by_rows(odds, labels)
    return bias, 2 * order, separation


def order_absolute(odds, labels):
    bias, _, separation = by_rows(odds, labels)
    return bias, (odds[0] - odds[1]).abs().mean() / 2, separation


def separation_flipped(odds, labels):
    bias, order, separation = by_rows(odds, labels)
    return bias, order, -separation


def first_order_only(odds, labels):
    bias, order, _ = by_rows(odds, labels)
    return bias, order, odds[0][labels].mean() - odds[0][~labels].mean()


# ------------------------------------------------------------------------------------------------------------ 4.4


def _chance(first, second):
    p, q = first.float().mean(), second.float().mean()
    return p * q + (1 - p) * (1 - q)


def kappa_by_sklearn(first, second):
    from sklearn.metrics import cohen_kappa_score

    if first.all() and second.all() or not (first.any() or second.any()):
        return 0.0
    return float(cohen_kappa_score(first.numpy(), second.numpy()))


def kappa_by_table(first, second):
    table = torch.zeros(2, 2, dtype=torch.float64)
    for a, b in zip(first.tolist(), second.tolist()):
        table[int(a), int(b)] += 1
    table /= table.sum()
    chance = float(table.sum(0) @ table.sum(1))
    return (float(table.trace()) - chance) / (1 - chance) if chance < 1 else 0.0


def kappa_undivided(first, second):
    return float((first == second).float().mean() - _chance(first, second))


def kappa_half(first, second):
    return float((first == second).float().mean()) * 2 - 1


def kappa_yes_only(first, second):
    chance = float(first.float().mean() * second.float().mean())
    return (float((first == second).float().mean()) - chance) / (1 - chance)


# ----------------------------------------------------------------------------------------------------------- 4.10


def swaps_by_sign(first, second, statistic, n_draws=1000, seed=0):
    """Written with a sign for each pair about the pair's middle."""
    rng = np.random.default_rng(seed)
    middle, half = (first + second) / 2, (first - second) / 2
    draws = [statistic(first, second)]
    for _ in range(n_draws):
        sign = torch.tensor(rng.choice([-1.0, 1.0], len(first)), dtype=first.dtype)
        step = half * sign.reshape(-1, *[1] * (first.ndim - 1))
        draws.append(statistic(middle + step, middle - step))
    return float(np.mean(np.array(draws) >= draws[0] - 1e-6))


def swaps_by_loop(first, second, statistic, n_draws=1000, seed=0):
    torch.manual_seed(seed)
    observed, count = statistic(first, second), 1
    for _ in range(n_draws):
        one, other = first.clone(), second.clone()
        for pair in range(len(first)):
            if torch.rand(()) < 0.5:
                one[pair], other[pair] = second[pair], first[pair]
        count += statistic(one, other) >= observed - 1e-9
    return torch.tensor(count / (n_draws + 1))


def unpaired(first, second, statistic, n_draws=1000, seed=0):
    generator = torch.Generator().manual_seed(seed)
    both, n = torch.cat([first, second]), len(first)
    observed, count = statistic(first, second), 1
    for _ in range(n_draws):
        order = torch.randperm(2 * n, generator=generator)
        count += statistic(both[order[:n]], both[order[n:]]) >= observed
    return count / (n_draws + 1)


def _swapped(first, second, statistic, n_draws, seed, compare, plus):
    generator = torch.Generator().manual_seed(seed)
    observed, count = statistic(first, second), 0
    for _ in range(n_draws):
        trade = torch.rand(len(first), generator=generator).reshape(-1, *[1] * (first.ndim - 1)) < 0.5
        count += compare(statistic(torch.where(trade, second, first), torch.where(trade, first, second)), observed)
    return (count + plus) / (n_draws + plus)


def entry_by_entry(first, second, statistic, n_draws=1000, seed=0):
    generator = torch.Generator().manual_seed(seed)
    observed, count = statistic(first, second), 1
    for _ in range(n_draws):
        trade = torch.rand(first.shape, generator=generator) < 0.5
        count += statistic(torch.where(trade, second, first), torch.where(trade, first, second)) >= observed
    return count / (n_draws + 1)


def one_coin_for_all(first, second, statistic, n_draws=1000, seed=0):
    generator = torch.Generator().manual_seed(seed)
    observed, count = statistic(first, second), 1
    for _ in range(n_draws):
        one, other = (second, first) if torch.rand((), generator=generator) < 0.5 else (first, second)
        count += statistic(one, other) >= observed
    return count / (n_draws + 1)


def upside_down(first, second, statistic, n_draws=1000, seed=0):
    return _swapped(first, second, statistic, n_draws, seed, lambda drawn, seen: drawn < seen - 1e-3, 1)


def no_plus_one(first, second, statistic, n_draws=1000, seed=0):
    return _swapped(first, second, statistic, n_draws, seed, lambda drawn, seen: drawn > seen + 1e-3, 0)


def strict(first, second, statistic, n_draws=1000, seed=0):
    return _swapped(first, second, statistic, n_draws, seed, lambda drawn, seen: drawn > seen + 1e-3, 1)


def counts_not_divided(first, second, statistic, n_draws=1000, seed=0):
    return 1 + n_draws * _swapped(first, second, statistic, n_draws, seed, lambda d, s: d >= s, 1)


def reseeded(first, second, statistic, n_draws=1000, seed=0):
    observed, count = statistic(first, second), 0
    for _ in range(n_draws):
        generator = torch.Generator().manual_seed(seed)
        trade = torch.rand(len(first), generator=generator).reshape(-1, *[1] * (first.ndim - 1)) < 0.5
        count += statistic(torch.where(trade, second, first), torch.where(trade, first, second)) >= observed
    return (1 + count) / (1 + n_draws)


def swaps(threshold=0.5, value=lambda x: x, p=lambda count, n: (1 + count) / (1 + n), axes=None):
    """The reference, written with its data's statistic worked out anew beside each draw, and ways to go wrong."""

    def test(first, second, statistic, n_draws=1000, seed=0):
        generator, count = np.random.default_rng(seed), 0
        for _ in range(n_draws):
            trade = torch.tensor(generator.random(len(first)) < threshold)
            trade = trade.reshape(-1, *[1] * (first.ndim - 1 if axes is None else axes))
            drawn = statistic(torch.where(trade, second, first), torch.where(trade, first, second))
            count += value(drawn) >= value(statistic(first, second)) - 1e-6
        return p(count, n_draws)

    return test


# ------------------------------------------------------------------------------------------------- 4.6, 4.8, 4.9


def _coins(easy, generator, high=0.9, low=0.1):
    return torch.rand(len(easy), generator=generator) < torch.where(easy, high, low)


def _raters_by_numpy(easy, generator):
    rng = np.random.default_rng(int(torch.randint(2**31, (), generator=generator)))
    return tuple(np.array([rng.random() < (0.88 if one else 0.08) for one in easy.tolist()]) for _ in range(2))


def _hiding(value=-torch.inf, rows=None, keys=None, invert=False, copy=True):
    """The blindfold with a mask, and ways to go wrong."""

    def hide(scores, span, heads=None):
        start, stop = span
        n_query, n_key = scores.shape[-2:]
        query, key = torch.arange(n_query)[:, None], torch.arange(n_key)[None]
        row = query >= stop if rows is None else rows(query, start, stop, n_query)
        column = (key >= start) & (key < stop) if keys is None else keys(key, start, stop)
        chosen = torch.ones(scores.shape[1], dtype=torch.bool)
        if heads is not None:
            chosen = torch.isin(torch.arange(scores.shape[1]), torch.tensor(heads))
            chosen = ~chosen if invert else chosen
        mask = (row & column)[None] & chosen[:, None, None]
        return scores.masked_fill(mask, value) if copy else scores.masked_fill_(mask, value)

    return hide


def _hide_by_loops(scores, span, heads=None):
    new = scores.clone()
    for head in range(scores.shape[1]) if heads is None else heads:
        for query in range(span[1], scores.shape[2]):
            for key in range(*span):
                new[:, head, query, key] = torch.finfo(scores.dtype).min
    return new


def _after_softmax(scores, span, heads=None):
    weights = scores.softmax(-1)
    weights[:, :, span[1] :, span[0] : span[1]] = 0.0
    return weights


def _middle(table):
    return table.quantile(0.5, dim=0)


def _apart(complete, judge):
    return int((judge - complete).argmax()), int((judge - complete).argmin())


def _apart_by_numpy(complete, judge):
    gap = np.median(judge, axis=0) - np.median(complete, axis=0)
    return np.array([gap.argmax(), gap.argmin()])


def _by_votes(complete, judge):
    gap = (judge - complete).quantile(0.5, dim=0)
    return [int(gap.argmax()), int(gap.argmin())]


WRONG = {
    "4.1": [
        ("false minus true", lambda *a: -margins(*a), "The sign is turned round"),
        ("sums, not means", margin_of_sums, "You compared sums"),
        ("claims matched by order", margins_in_order_of_claims, "in the order they come"),
        (
            "neither matched nor divided",
            lambda ll, length, labels, pairs: ll[labels] - ll[~labels],
            "Two things: the k-th",
        ),
        ("one length for both", margin_common_length, "divided the difference by a common length"),
        ("pairs in another order", lambda *a: margins(*a, order=[7, 5, 4]), "in another order"),
        ("one number a claim", lambda ll, length, labels, pairs: ll / length, "not one for each claim"),
        ("absolute", lambda *a: margins(*a).abs(), "You took absolute values"),
        (
            "added",
            lambda ll, length, labels, pairs: margins(torch.where(labels, ll, -ll), length, labels, pairs),
            "You added the two claims",
        ),
        (
            "multiplied by length",
            lambda ll, length, labels, pairs: margins(ll * length * length, length, labels, pairs),
            "You multiplied by `length`",
        ),
        (
            "claims of a pair in order",
            lambda ll, length, labels, pairs: torch.stack(
                [(ll / length)[pairs == p][0] - (ll / length)[pairs == p][1] for p in pairs.unique()]
            ),
            "a pair's claims in the order they come",
        ),
        ("rounded", lambda *a: margins(*a).round(), "rounded: keep all digits"),
    ],
    "4.2": [
        ("no minus yes", lambda x, y, n: x[:, n].logsumexp(-1) - x[:, y].logsumexp(-1), "leaning to yes should be"),
        (
            "probabilities",
            lambda x, y, n: x.softmax(-1)[:, y].sum(-1) - x.softmax(-1)[:, n].sum(-1),
            "a difference of prob",
        ),
        ("sum of logits", lambda x, y, n: x[:, y].sum(-1) - x[:, n].sum(-1), "You added logits"),
        ("mean of logits", lambda x, y, n: x[:, y].mean(-1) - x[:, n].mean(-1), "You averaged logits"),
        ("largest logit", lambda x, y, n: x[:, y].amax(-1) - x[:, n].amax(-1), "the likeliest spelling"),
        ("odds", lambda x, y, n: x.softmax(-1)[:, y].sum(-1) / x.softmax(-1)[:, n].sum(-1), "take their logarithm"),
        (
            "overflows",
            lambda x, y, n: x[:, y].exp().sum(-1).log() - x[:, n].exp().sum(-1).log(),
            "overflows for large ones",
        ),
        (
            "all prompts together",
            lambda x, y, n: x[:, y].logsumexp((0, 1)) - x[:, n].logsumexp((0, 1)),
            "one number a prompt",
        ),
        (
            "cut off at 5",
            lambda x, y, n: (x[:, y].logsumexp(-1) - x[:, n].logsumexp(-1)).clamp(-5, 5),
            "log-odds have no bounds",
        ),
        ("yes alone", lambda x, y, n: x[:, y].logsumexp(-1), "one side alone"),
        ("added", lambda x, y, n: x[:, y].logsumexp(-1) + x[:, n].logsumexp(-1), "You added the two sides"),
        ("first spelling", lambda x, y, n: x[:, y[0]] - x[:, n[0]], "the first spelling on each side"),
        ("base two", lambda x, y, n: (x[:, y].logsumexp(-1) - x[:, n].logsumexp(-1)) / np.log(2), "another base"),
        ("everything else", lambda x, y, n: x.softmax(-1)[:, y].sum(-1).logit(), "everything else the model could say"),
        ("ids fixed", lambda x, y, n: x[:, [0, 3]].logsumexp(-1) - x[:, [1, 2, 4]].logsumexp(-1), "as they come"),
    ],
    "4.3": [
        ("mean over all", bias_of_all, "Your bias is the mean over all claims"),
        ("difference not halved", order_doubled, "The order effect is twice too large"),
        ("absolute differences", order_absolute, "Keep the sign of the order effect"),
        ("false minus true", separation_flipped, "The separation's sign is turned round"),
        ("one order only", first_order_only, "Your separation uses the first order only"),
        ("two numbers", lambda odds, labels: by_rows(odds, labels)[:2], "Return three numbers"),
        (
            "order without its sign",
            lambda odds, labels: (by_rows(odds, labels)[0], by_rows(odds, labels)[1].abs(), by_rows(odds, labels)[2]),
            "Where the order effect is below 0",
        ),
        (
            "separation without its sign",
            lambda odds, labels: (*by_rows(odds, labels)[:2], by_rows(odds, labels)[2].abs()),
            "Where the separation is below 0",
        ),
        (
            "bias without its sign",
            lambda odds, labels: (by_rows(odds, labels)[0].abs(), *by_rows(odds, labels)[1:]),
            "Where the bias is below 0",
        ),
        (
            "separation halved",
            lambda odds, labels: (*by_rows(odds, labels)[:2], by_rows(odds, labels)[2] / 2),
            "Your separation is half of it",
        ),
        (
            "separation added",
            lambda odds, labels: (*by_rows(odds, labels)[:2], 2 * by_rows(odds, labels)[0]),
            "the *sum* of the two class means",
        ),
        (
            "bias of one class",
            lambda odds, labels: (odds.mean(0)[labels].mean(), *by_rows(odds, labels)[1:]),
            "the mean of one class",
        ),
        (
            "bias halves the difference",
            lambda odds, labels: (by_rows(odds, labels)[2] / 2, *by_rows(odds, labels)[1:]),
            "half the *difference*",
        ),
        (
            "order quartered",
            lambda odds, labels: (by_rows(odds, labels)[0], by_rows(odds, labels)[1] / 2, by_rows(odds, labels)[2]),
            "half of what it is",
        ),
    ],
    "4.5": [
        ("plain agreement", lambda a, b: float((a == b).float().mean()), "the plain share of agreement"),
        ("chance is one half", kappa_half, "You took chance agreement as one half"),
        ("chance on yes only", kappa_yes_only, "agreeing by chance on yes only"),
        ("not divided", kappa_undivided, "did not divide by 1 - chance"),
        ("correlation", lambda a, b: float(np.corrcoef(a.numpy(), b.numpy())[0, 1]), "This is the correlation"),
        (
            "never below 0",
            lambda a, b: max(0.0, kappa_by_table(a, b)) if not (a == b).all() else kappa_by_table(a, b),
            "no clamp, no absolute value",
        ),
        ("absolute", lambda a, b: abs(kappa_by_table(a, b)), "Two raters who agree less often"),
        (
            "0 / 0",
            lambda a, b: float(((a == b).float().mean() - _chance(a, b)) / (1 - _chance(a, b))),
            "always give one and the same answer",
        ),
        (
            "one rater twice",
            lambda a, b: float(((a == b).float().mean() - _chance(a, a)) / (1 - _chance(a, a))),
            "first rater's share of yes alone",
        ),
        ("chance itself", lambda a, b: float(_chance(a, b)), "chance agreement itself"),
        ("divided by chance", lambda a, b: kappa_undivided(a, b) / float(_chance(a, b)), "You divided by chance"),
    ],
    "4.4": [
        ("freely", "a", "Rows of one pair could then both be called true"),
        ("depth kept", "c", "The depth was chosen on the real labels"),
        ("random weights", "d", "A useful control for another question"),
    ],
    "4.6": [
        (
            "one rater twice",
            lambda e, g: (_coins(e, g), _coins(e, g).clone())[:1] * 2,
            "your raters know of each other",
        ),
        ("probabilities", lambda e, g: (torch.where(e, 0.9, 0.1),) * 2, "return bools, not probabilities"),
        ("never wrong where easy", lambda e, g: (e.clone(), e.clone()), "sometimes right and sometimes wrong"),
        ("difficulty ignored", lambda e, g: (_coins(e | True, g), _coins(e | True, g)), "let the kinds differ more"),
        ("upside down", lambda e, g: (_coins(~e, g), _coins(~e, g)), "more often on hard facts"),
        ("one rater", lambda e, g: (_coins(e, g),), "two raters, (first, second); got 1"),
        ("two numbers", lambda e, g: (0.9, 0.1), "A rater says of every fact"),
        ("one coin, read from both ends", _mirrored_raters, "Each must toss coins of its own"),
        ("no coins", _periodic_raters, "Another generator, the same answers"),
    ],
    "4.7": [
        ("mean", lambda p, c, k: ((p - k[:, None, None]) / (c - k)[:, None, None]).mean(0), "You took the mean"),
        (
            "pooled",
            lambda p, c, k: (p.mean(0) - k.mean()) / (c.mean() - k.mean()),
            "averaged over pairs before dividing",
        ),
        ("last axis", lambda p, c, k: ((p - k) / (c - k)).median(0).values, "lined up with the sites"),
        (
            "corrupt not subtracted",
            lambda p, c, k: (p / (c - k)[:, None, None]).median(0).values,
            "as in the corrupt run",
        ),
        (
            "upside down",
            lambda p, c, k: ((c[:, None, None] - p) / (c - k)[:, None, None]).median(0).values,
            "Upside down",
        ),
        ("nats", lambda p, c, k: (p - k[:, None, None]).median(0).values, "You did not divide"),
        ("pairs kept", lambda p, c, k: (p - k[:, None, None]) / (c - k)[:, None, None], "the pairs are averaged away"),
        (
            "torch's median",
            lambda p, c, k: ((p - k[:, None, None]) / (c - k)[:, None, None]).median(0).values,
            "the *lower* of the two in the middle",
        ),
        (
            "distance without its sign",
            lambda p, c, k: ((p - k[:, None, None]) / (c - k).abs()[:, None, None]).quantile(0.5, dim=0),
            "distance without its sign",
        ),
        (
            "lined up with the layers",
            lambda p, c, k: ((p - k[:, None]) / (c - k)[:, None]).quantile(0.5, dim=0),
            "lined up with the layers",
        ),
        (
            "absolute",
            lambda p, c, k: ((p - k[:, None, None]) / (c - k)[:, None, None]).abs().quantile(0.5, dim=0),
            "You took absolute values",
        ),
        (
            "clipped",
            lambda p, c, k: ((p - k[:, None, None]) / (c - k)[:, None, None]).clamp(0, 1).quantile(0.5, dim=0),
            "You clipped",
        ),
        (
            "divided by clean",
            lambda p, c, k: ((p - k[:, None, None]) / c[:, None, None]).quantile(0.5, dim=0),
            "You divided by `clean`.",
        ),
        (
            "another quantile",
            lambda p, c, k: ((p - k[:, None, None]) / (c - k)[:, None, None]).quantile(0.6, dim=0),
            "This isn't the median over pairs",
        ),
    ],
    "4.10": [
        ("pairs mixed", unpaired, "You mixed maps of different pairs"),
        ("entries swapped", entry_by_entry, "You swapped single entries"),
        ("one coin for all pairs", one_coin_for_all, "In each draw all pairs traded places"),
        ("p of 0", no_plus_one, "which no finite number of draws can show"),
        ("counts smaller ones", upside_down, "Upside down: count the draws"),
        ("strictly larger", strict, "count ties"),
        ("a count, not a share", counts_not_divided, "A p-value lies between 0 and 1"),
        (
            "no draws",
            lambda first, second, statistic, n_draws=1000, seed=0: statistic(first, first) * 0.0,
            "called 1 times",
        ),
        ("seeded anew in each draw", reseeded, "only 1 different ways of trading"),
        ("draws fixed", lambda f, s, t, n_draws=1000, seed=0: swaps_by_sign(f, s, t, 300, seed), "called 301 times"),
        ("seed fixed", lambda f, s, t, n_draws=1000, seed=0: swaps_by_sign(f, s, t, n_draws, 0), "`seed` isn't used"),
        (
            "no seed",
            lambda f, s, t, n_draws=1000, seed=0: swaps_by_sign(f, s, t, n_draws, None),
            "The same seed gave other draws",
        ),
        ("absolute statistic", swaps(value=abs), "the statistic's absolute value"),
        ("at least one, by n", swaps(p=lambda count, n: max(int(count), 1) / n), "(1 + 0) / (1 + 150)"),
        ("a coin that is not fair", swaps(threshold=0.4), "Your coin isn't fair"),
        ("maps of two axes only", swaps(axes=2), "but not for (site,)"),
    ],
    "4.8": [
        ("zero", _hiding(value=0.0), "A score of 0 is no blindfold"),
        ("plus infinity", _hiding(value=torch.inf), "Plus infinity"),
        ("every query", _hiding(rows=lambda q, a, b, n: q >= 0), "and those before it, were blinded too"),
        ("the subject too", _hiding(rows=lambda q, a, b, n: q >= a), "can't see each other"),
        ("one too late", _hiding(rows=lambda q, a, b, n: q > b), "The first position after the subject"),
        ("the last only", _hiding(rows=lambda q, a, b, n: q == n - 1), "Only the last position"),
        ("one key too many", _hiding(keys=lambda k, a, b: (k >= a) & (k <= b)), "One token too many"),
        ("all before", _hiding(keys=lambda k, a, b: k < b), "Everything before the subject"),
        ("only the subject", _hiding(keys=lambda k, a, b: (k < a) | (k >= b)), "see *only* the subject"),
        ("all heads", lambda s, span, heads=None: _hiding()(s, span), "All heads were blinded"),
        ("other heads", lambda s, span, heads=None: _hiding(invert=True)(s, span, heads), "all heads but those"),
        ("a fixed number", _hiding(value=-1e4), "use `-torch.inf`"),
        ("after the softmax", _after_softmax, "took the softmax yourself"),
        ("nothing", lambda s, span, heads=None: s.clone(), "Nothing changed"),
        ("in place", _hiding(copy=False), "changed its input"),
    ],
    "4.9": [
        ("most damage", lambda c, j: (int(_middle(c).argmin()), int(_middle(j).argmin())), "takes both tasks"),
        ("means", lambda c, j: _apart(c.mean(0), j.mean(0)), "one odd pair of nine"),
        ("swapped", lambda c, j: _apart(_middle(c), _middle(j))[::-1], "The two cuts are swapped"),
        ("the gaps themselves", lambda c, j: (_middle(j) - _middle(c))[:2] + 0.5, "A cut is its column"),
        ("one cut", lambda c, j: _apart(_middle(c), _middle(j))[:1], "Return two cuts"),
        ("what is spared", lambda c, j: (int(_middle(j).argmax()), int(_middle(c).argmax())), "sets of cuts"),
    ],
    "4.11": [
        ("held twice", "a", "nothing here shows a fact held twice"),
        ("the adapter's", "c", "without any adapter"),
        ("by p", "d", "A p-value says"),
    ],
}

RIGHT = {
    "4.1": [("sorts, then folds", margins_by_sorting), ("signed sums", margins_by_sums)],
    "4.2": [
        (
            "log-softmax first",
            lambda x, y, n: x.log_softmax(-1)[:, y].logsumexp(-1) - x.log_softmax(-1)[:, n].logsumexp(-1),
        ),
        ("softmax", lambda x, y, n: (x.softmax(-1)[:, y].sum(-1) / x.softmax(-1)[:, n].sum(-1)).log()),
        ("the largest taken off first", odds_after_shift),
        ("logaddexp over the spellings", lambda x, y, n: torch.stack([_add(row, y) - _add(row, n) for row in x])),
    ],
    "4.3": [("row by row", by_rows), ("numpy, as a list", by_numpy)],
    "4.5": [("scikit-learn", kappa_by_sklearn), ("a 2 x 2 table", kappa_by_table)],
    "4.4": [("capital", "B"), ("bracket", "b)")],
    "4.6": [
        ("other shares", lambda e, g: (_coins(e, g, 0.95, 0.05), _coins(e, g, 0.85, 0.1))),
        ("numpy, fact by fact", _raters_by_numpy),
    ],
    "4.8": [("a mask", _hiding()), ("loops", _hide_by_loops)],
    "4.9": [
        ("numpy", lambda c, j: _apart_by_numpy(c.numpy(), j.numpy())),
        ("share of pairs that agree", _by_votes),
    ],
    "4.11": [("capital", "B"), ("bracket", "b)")],
    "4.7": [
        (
            "pair by pair",
            lambda p, c, k: torch.tensor(np.median([(p[i] - k[i]) / (c[i] - k[i]) for i in range(len(p))], axis=0)),
        ),
        ("quantile", lambda p, c, k: ((p - k.view(-1, 1, 1)) / (c - k).view(-1, 1, 1)).quantile(0.5, dim=0)),
    ],
    "4.10": [
        ("signs about the middle", swaps_by_sign),
        ("a loop over pairs", swaps_by_loop),
        ("the data's statistic beside each draw", swaps()),
    ],
}


def _add(row, ids):
    total = row[ids[0]]
    for i in ids[1:]:
        total = torch.logaddexp(total, row[i])
    return total


_ONE_OF_EACH = "a pair has one true claim and one false one: the first is the last"
_MARGINS = "[per_token[(pairs == p) & labels][0] - per_token[(pairs == p) & ~labels][0] for p in pairs.unique()]"
_COIN = "trade = torch.rand(len(first), generator=generator) < 0.5"
_COUNT = "as_large += bool(statistic(one, other) >= observed - 1e-9)"

EQUIVALENT = {
    "4.1": {f"0 -> -1 | {_MARGINS} | {place}": _ONE_OF_EACH for place in (1, 2)},
    "4.10": {
        f"Lt to LtE | {_COIN} | 1": "a fair coin still",
        f"Lt to Gt | {_COIN} | 1": "a fair coin still, turned over",
        f"GtE to Gt | {_COUNT} | 1": "a tie lies above the data's statistic less 1e-9",
        f"arguments 1 and 2 swapped | {_COUNT} | 1": "the draw with every coin turned over is as likely",
        f"second part of Sub dropped | {_COUNT} | 1": "exact ties count; those by rounding are only hinted at",
        f"1e-09 -> 0.0 | {_COUNT} | 1": "exact ties count, as above",
    },
}
