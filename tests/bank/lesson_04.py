"""Answers to lesson 04's exercises: wrong ones with the words that must reject them, right ones written differently."""

from __future__ import annotations

import numpy as np
import torch

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

    return float(cohen_kappa_score(first.numpy(), second.numpy()))


def kappa_by_table(first, second):
    table = torch.zeros(2, 2, dtype=torch.float64)
    for a, b in zip(first.tolist(), second.tolist()):
        table[int(a), int(b)] += 1
    table /= table.sum()
    chance = float(table.sum(0) @ table.sum(1))
    return (float(table.trace()) - chance) / (1 - chance)


def kappa_undivided(first, second):
    return float((first == second).float().mean() - _chance(first, second))


def kappa_half(first, second):
    return float((first == second).float().mean()) * 2 - 1


def kappa_yes_only(first, second):
    chance = float(first.float().mean() * second.float().mean())
    return (float((first == second).float().mean()) - chance) / (1 - chance)


# ------------------------------------------------------------------------------------------------------------ 4.8


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
    ],
    "4.3": [
        ("mean over all", bias_of_all, "Your bias is the mean over all claims"),
        ("difference not halved", order_doubled, "The order effect is twice too large"),
        ("absolute differences", order_absolute, "Keep the sign of the order effect"),
        ("false minus true", separation_flipped, "The separation's sign is turned round"),
        ("one order only", first_order_only, "Your separation uses the first order only"),
        ("two numbers", lambda odds, labels: by_rows(odds, labels)[:2], "Return three numbers"),
    ],
    "4.4": [
        ("plain agreement", lambda a, b: float((a == b).float().mean()), "the plain share of agreement"),
        ("chance is one half", kappa_half, "You took chance agreement as one half"),
        ("chance on yes only", kappa_yes_only, "agreeing by chance on yes only"),
        ("not divided", kappa_undivided, "did not divide by 1 - chance"),
        ("correlation", lambda a, b: float(np.corrcoef(a.numpy(), b.numpy())[0, 1]), "This is the correlation"),
    ],
    "4.5": [
        (
            "swapped",
            lambda m, k: ((m[~k] > 0).float().mean(), (m[k] > 0).float().mean()),
            "The two numbers are swapped",
        ),
        (
            "joint, not conditional",
            lambda m, k: (((m > 0) & k).float().mean(), ((m > 0) & ~k).float().mean()),
            "You divided by all pairs",
        ),
        (
            "the other conditional",
            lambda m, k: (k[m > 0].float().mean(), k[m <= 0].float().mean()),
            "You conditioned the other way",
        ),
        ("mean margins", lambda m, k: (m[k].mean(), m[~k].mean()), "You averaged margins"),
        (
            "agreement with the likelihood",
            lambda m, k: ((m[k] > 0).float().mean(), (m[~k] < 0).float().mean()),
            "The second number is upside down",
        ),
    ],
    "4.6": [
        ("change alone", lambda w, a, b, s: s * (b @ a), "This is the change alone"),
        ("no scale", lambda w, a, b, s: w + b @ a, "The scale is missing"),
        ("A B", lambda w, a, b, s: w + s * (a @ b), "the wrong way round"),
        ("transposed", lambda w, a, b, s: w + s * (b @ a).T, "The change is transposed"),
        ("entry by entry", lambda w, a, b, s: w + s * b * a, "multiplies entry by entry"),
        ("scales everything", lambda w, a, b, s: s * (w + b @ a), "belongs to the change only"),
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
    ],
    "4.8": [
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
    ],
}

RIGHT = {
    "4.1": [("sorts, then folds", margins_by_sorting), ("signed sums", margins_by_sums)],
    "4.2": [
        (
            "log-softmax first",
            lambda x, y, n: x.log_softmax(-1)[:, y].logsumexp(-1) - x.log_softmax(-1)[:, n].logsumexp(-1),
        ),
        ("logaddexp over the spellings", lambda x, y, n: torch.stack([_add(row, y) - _add(row, n) for row in x])),
    ],
    "4.3": [("row by row", by_rows), ("numpy, as a list", by_numpy)],
    "4.4": [("scikit-learn", kappa_by_sklearn), ("a 2 x 2 table", kappa_by_table)],
    "4.5": [
        (
            "sums divided by counts",
            lambda m, k: (((m > 0) & k).sum() / k.sum(), ((m > 0) & ~k).sum() / (~k).sum()),
        ),
        ("a list of floats", lambda m, k: [float(np.mean(m.numpy()[mask.numpy()] > 0)) for mask in (k, ~k)]),
    ],
    "4.6": [
        ("einsum", lambda w, a, b, s: w + s * torch.einsum("or,ri->oi", b, a)),
        ("rank by rank", lambda w, a, b, s: w + sum(s * torch.outer(b[:, r], a[r]) for r in range(len(a)))),
    ],
    "4.7": [
        (
            "pair by pair",
            lambda p, c, k: torch.stack([(p[i] - k[i]) / (c[i] - k[i]) for i in range(len(p))]).median(0)[0],
        ),
        ("quantile", lambda p, c, k: ((p - k.view(-1, 1, 1)) / (c - k).view(-1, 1, 1)).quantile(0.5, dim=0)),
    ],
    "4.8": [("signs about the middle", swaps_by_sign), ("a loop over pairs", swaps_by_loop)],
}


def _add(row, ids):
    total = row[ids[0]]
    for i in ids[1:]:
        total = torch.logaddexp(total, row[i])
    return total
