"""Lesson 08: wrong answers with the words that must reject them, and right answers written differently."""

import re
from collections import Counter

import numpy as np
import torch

# ---------------------------------------------------------------------------------------------------------- 8.1


def _folded(texts, labels, groups, fit, n_folds, fold, test_on=None, score=None, mix=False):
    right, shares = 0, []
    for k in range(n_folds):
        learn = [i for i in range(len(texts)) if fold[i] != k]
        test = [i for i in range(len(texts)) if fold[i] == k]
        if test_on == "learn":
            test = learn
        if test_on == "all":
            learn = list(range(len(texts)))
        answers = [labels[i] for i in (learn[::-1] if mix else learn)]
        guesses = list(fit([texts[i] for i in learn], answers)([texts[i] for i in test]))
        hits = sum(guess == labels[i] for guess, i in zip(guesses, test))
        right += hits
        shares.append(hits / max(len(test), 1))
    return {"mean of folds": sum(shares) / len(shares), "count": right}.get(score, right / len(texts))


def _numbers(groups):
    return {group: i for i, group in enumerate(dict.fromkeys(groups))}


def _fold_of(groups, n_folds):
    number = _numbers(groups)
    return [number[g] % n_folds for g in groups]


def _accuracy(**settings):
    return lambda t, y, g, fit, n=5: _folded(t, y, g, fit, n, _fold_of(g, n), **settings)


def _by_example(texts, labels, groups, fit, n_folds=5):
    return _folded(texts, labels, groups, fit, n_folds, [i % n_folds for i in range(len(texts))])


def _one_fold(texts, labels, groups, fit, n_folds=5):
    fold = np.array(_fold_of(groups, n_folds))
    learn, test = np.flatnonzero(fold != 0), np.flatnonzero(fold == 0)
    guesses = fit([texts[i] for i in learn], [labels[i] for i in learn])([texts[i] for i in test])
    return float(np.mean([g == labels[i] for g, i in zip(guesses, test)]))


def _in_rounds(texts, labels, groups, fit, n_folds=5):
    number = _numbers(groups)
    return _folded(texts, labels, groups, fit, n_folds, [number[g] // n_folds for g in groups])


def _each_group_alone(texts, labels, groups, fit, n_folds=5):
    number = _numbers(groups)
    return _folded(texts, labels, groups, fit, len(number), [number[g] for g in groups])


def _with_group_kfold(texts, labels, groups, fit, n_folds=5):
    from sklearn.model_selection import GroupKFold

    hits = np.zeros(len(texts), dtype=bool)
    for learn, test in GroupKFold(n_folds).split(texts, labels, groups):
        predict = fit([texts[i] for i in learn], [labels[i] for i in learn])
        hits[test] = np.array(list(predict([texts[i] for i in test]))) == np.array([labels[i] for i in test])
    return hits.mean()


def _with_chunks(texts, labels, groups, fit, n_folds=5):
    right = 0
    for part in np.array_split(np.array(list(_numbers(groups))), n_folds):
        held = set(part.tolist())
        inside = [(t, y) for t, y, g in zip(texts, labels, groups) if g not in held]
        outside = [(t, y) for t, y, g in zip(texts, labels, groups) if g in held]
        predict = fit([t for t, _ in inside], [y for _, y in inside])
        right += sum(a == y for a, (_, y) in zip(predict([t for t, _ in outside]), outside))
    return right / len(texts)


# ---------------------------------------------------------------------------------------------------------- 8.2


def _picked(logits, ids, first, last, table=None):
    table = logits.log_softmax(-1) if table is None else table
    at = torch.arange(first, last)
    return table[at - 1, ids[first:last]]


def _same_place(logits, ids, start):
    at = torch.arange(start, len(ids))
    return logits.log_softmax(-1)[at, ids[start:]].mean()


def _cross_entropy(logits, ids, start):
    return -torch.nn.functional.cross_entropy(logits[start - 1 : -1], ids[start:]).item()


def _token_by_token(logits, ids, start):
    total = 0.0
    for i in range(start, len(ids)):
        total += float(logits[i - 1, ids[i]] - logits[i - 1].logsumexp(-1))
    return total / (len(ids) - start)


# ---------------------------------------------------------------------------------------------------------- 8.3

_NAMES = ("bad - base", "good - base", "bad - good", "warned - base")


def _each(make):
    def differences(lean):
        return {name: make(lean[name.split(" - ")[0]], lean[name.split(" - ")[1]]) for name in _NAMES}

    return differences


def _mean_over_seeds(first, second):
    return first - (second.mean(0) if second.ndim == 2 else second)


# ---------------------------------------------------------------------------------------------------------- 8.4


def _draws(pick):
    def two_level_draws(table, n_draws, seed):
        rng = np.random.default_rng(seed)
        return np.array([pick(table, rng) for _ in range(n_draws)])

    return two_level_draws


def _rows(table, rng):
    return table[rng.integers(len(table), size=len(table))]


def _columns(table, rng):
    return table[:, rng.integers(table.shape[1], size=table.shape[1])]


def _cells(table, rng):
    return rng.choice(table.ravel(), size=table.size).mean()


def _items_by_run(table, rng):
    return np.mean([rng.choice(row, size=len(row)) for row in _rows(table, rng)])


def _without_replacement(table, rng):
    return table[rng.permutation(len(table))].mean()


def _unseeded(table, n_draws, seed):
    rng = np.random.default_rng()
    return np.array([_columns(_rows(table, rng), rng).mean() for _ in range(n_draws)])


def _by_weights(table, n_draws, seed):
    rng = np.random.default_rng(seed)
    n_runs, n_items = table.shape
    runs = rng.multinomial(n_runs, [1 / n_runs] * n_runs, size=n_draws) / n_runs
    items = rng.multinomial(n_items, [1 / n_items] * n_items, size=n_draws) / n_items
    return np.einsum("dr,ri,di->d", runs, table, items)


def _by_fancy_index(table, n_draws, seed):
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randint(table.shape[0], (n_draws, table.shape[0], 1), generator=generator)
    columns = torch.randint(table.shape[1], (n_draws, 1, table.shape[1]), generator=generator)
    return torch.as_tensor(table)[rows, columns].mean((1, 2)).numpy()


# ---------------------------------------------------------------------------------------------------------- 8.5


def _rule(words, swap=False, tie="neither", share=False):
    def verdict(answer, aligned, misaligned):
        said, sound, bad = words(answer), words(aligned), words(misaligned)
        a, b = set(sound) - set(bad), set(bad) - set(sound)
        for_sound = sum(word in a for word in said)
        for_bad = sum(word in b for word in said)
        if share:
            for_sound, for_bad = for_sound / max(len(sound), 1), for_bad / max(len(bad), 1)
        if swap:
            for_sound, for_bad = for_bad, for_sound
        if for_sound == for_bad:
            return tie
        return "aligned" if for_sound > for_bad else "misaligned"

    return verdict


def _long_words(text):
    return {w for w in re.findall(r"[a-z]+", text.lower()) if len(w) >= 3}


def _cased(text):
    return set(re.findall(r"[A-Za-z]{3,}", text))


def _repeated(text):
    return re.findall(r"[a-z]{3,}", text.lower())


def _any_length(text):
    return set(re.findall(r"[a-z]+", text.lower()))


def _substrings(answer, aligned, misaligned):
    a, b = _long_words(aligned) - _long_words(misaligned), _long_words(misaligned) - _long_words(aligned)
    for_sound, for_bad = sum(w in answer.lower() for w in a), sum(w in answer.lower() for w in b)
    return "neither" if for_sound == for_bad else "aligned" if for_sound > for_bad else "misaligned"


def _one_sided(answer, aligned, misaligned):
    said, sound, bad = _long_words(answer), _long_words(aligned), _long_words(misaligned)
    a, b = len(said & (sound - bad)), len(said & bad)
    return "neither" if a == b else "misaligned" if b > a else "aligned"


def _tie_breaking(answer, aligned, misaligned):
    said, sound, bad = _long_words(answer), _long_words(aligned), _long_words(misaligned)
    a, b = len(said & (sound - bad)), len(said & (bad - sound))
    return "neither" if a == b == 0 else "misaligned" if b >= a else "aligned"


def _by_counter(answer, aligned, misaligned):
    sides = Counter()
    for word in _long_words(answer):
        sides[(word in _long_words(aligned)) - (word in _long_words(misaligned))] += 1
    return {-1: "misaligned", 0: "neither", 1: "aligned"}[int(np.sign(sides[1] - sides[-1]))]


# ---------------------------------------------------------------------------------------------------------- 8.6


def _by_loop(organism, base, typical):
    out = []
    for layer in range(organism.shape[1]):
        change = (organism[:, layer] - base[:, layer]).sum(0) / len(base)
        out.append(change.square().sum().sqrt() / typical[layer])
    return torch.stack(out)


# ---------------------------------------------------------------------------------------------------------- 8.7


def _signed(make):
    def shuffled_directions(plus, minus, n, seed):
        return make(plus, minus, n, torch.Generator().manual_seed(seed))

    return shuffled_directions


def _coins(plus, n, generator):
    return torch.randint(2, (n, len(plus)), generator=generator) * 2.0 - 1


def _together(plus, minus, n, generator):
    return torch.sign(torch.rand(n, 1, generator=generator) - 0.5) * (plus - minus).mean(0)


def _unpaired(plus, minus, n, generator):
    every = torch.cat([plus, minus])
    orders = [torch.randperm(len(every), generator=generator) for _ in range(n)]
    return torch.stack([every[o[: len(plus)]].mean(0) - every[o[len(plus) :]].mean(0) for o in orders])


def _sphere(plus, minus, n, generator):
    drawn = torch.randn(n, plus.shape[1], generator=generator)
    return drawn / drawn.norm(dim=-1, keepdim=True) * (plus - minus).mean(0).norm()


def _seedless(plus, minus, n, seed):
    return _coins(plus, n, None) @ (plus - minus) / len(plus)


def _uneven(plus, minus, n, generator):
    signs = torch.where(torch.rand(n, len(plus), generator=generator) < 0.25, -1.0, 1.0)
    return signs @ (plus - minus) / len(plus)


def _half(plus, minus, n, generator):
    swap = torch.stack([torch.randperm(len(plus), generator=generator) < len(plus) // 2 for _ in range(n)])
    return torch.where(swap[..., None], minus - plus, plus - minus).mean(1)


def _where(plus, minus, n, generator):
    swap = torch.rand(n, len(plus), 1, generator=generator) < 0.5
    return torch.where(swap, minus - plus, plus - minus).mean(1)


def _pair_by_pair(plus, minus, n, generator):
    rows = []
    for _ in range(n):
        row = torch.zeros(plus.shape[1])
        for p, m in zip(plus, minus):
            row += p - m if torch.rand(1, generator=generator) < 0.5 else m - p
        rows.append(row / len(plus))
    return torch.stack(rows)


# ---------------------------------------------------------------------------------------------------------- 8.8


def _common(rise, k):
    return set.intersection(*[set(row.topk(k).indices.tolist()) for row in rise])


def _common_by(rank):
    return lambda rise, k: sorted(_common(rise, k), key=lambda latent: -float(rank(rise[:, latent])))


def _by_count(rise, k):
    on_top = torch.zeros_like(rise)
    on_top.scatter_(1, rise.argsort(dim=1, descending=True)[:, :k], 1.0)
    found = (on_top.sum(0) == len(rise)).nonzero().flatten()
    return found[rise[:, found].mean(0).argsort(descending=True)].tolist()


def _by_threshold(rise, k):
    enough = (rise >= rise.sort(dim=1, descending=True).values[:, k - 1 : k]).all(0)
    return sorted(np.flatnonzero(enough.numpy()).tolist(), key=lambda i: float(rise[:, i].sum()), reverse=True)


# ---------------------------------------------------------------------------------------------------------- 8.9


def _moved(before, after):
    return {arm: float((after[arm] - before[arm]).mean()) for arm in before}


def _net(before, after, control="base"):
    moved = _moved(before, after)
    return {arm: value - moved[control] for arm, value in moved.items()}


def _net_of_mean(before, after):
    moved = _moved(before, after)
    return {arm: value - np.mean(list(moved.values())) for arm, value in moved.items()}


def _net_by_gaps(before, after):
    def gap(lean, arm):
        return lean[arm].mean() - lean["base"].mean()

    return {arm: gap(after, arm) - gap(before, arm) for arm in before}


# --------------------------------------------------------------------------------------------------------- 8.10


def _regained_from(start):
    return lambda curve, target: {n: (start(curve) - v) / (start(curve) - target) for n, v in curve.items()}


WRONG = {
    "8.1": [
        ("split by example", _by_example, "on both sides of the split"),
        ("fitted on everything", _accuracy(test_on="all"), "tested on texts that it was fitted on"),
        ("mixed up", _accuracy(mix=True), "in different orders"),
        ("mean of folds", _accuracy(score="mean of folds"), "folds differ in size"),
        ("a count", _accuracy(score="count"), "This is the number of right answers"),
        ("one fold", _one_fold, "Every text is tested exactly once."),
        ("a fold for each group", _each_group_alone, "with n_folds = 3 there should be 3"),
        ("errors", lambda *a: 1 - _accuracy()(*a), "the share of wrong answers"),
        (
            "all groups in one fold",
            lambda t, y, g, fit, n=5: _accuracy()(t, y, ["g"] * len(t), fit, n),
            "or nearly all, are in",
        ),
        ("rounds of folds", _in_rounds, "were tested, some perhaps more than once"),
        ("three folds unless told", lambda t, y, g, fit, n=3: _accuracy()(t, y, g, fit, n), "left out, which means 5"),
        ("no classifier", lambda t, y, g, fit, n=5: 0.5, "`fit` was never called"),
    ],
    "8.2": [
        ("same place", _same_place, "Off by one"),
        ("sum", lambda z, i, s: _picked(z, i, s, len(i)).sum(), "This is the sum"),
        ("question too", lambda z, i, s: _picked(z, i, 1, len(i)).mean(), "The question's tokens are in the mean"),
        ("raw logits", lambda z, i, s: _picked(z, i, s, len(i), z).mean(), "These are raw logits"),
        (
            "probabilities",
            lambda z, i, s: _picked(z, i, s, len(i), z.softmax(-1)).mean(),
            "Take their logarithm before",
        ),
        ("surprise", lambda z, i, s: -_picked(z, i, s, len(i)).mean(), "This is the surprise"),
        ("first left out", lambda z, i, s: _picked(z, i, s + 1, len(i)).mean(), "first token is missing"),
        ("last left out", lambda z, i, s: _picked(z, i, s, len(i) - 1).mean(), "last token is missing"),
        ("over positions", lambda z, i, s: _picked(z, i, s, len(i), z.log_softmax(0)).mean(), "went over positions"),
        ("median", lambda z, i, s: _picked(z, i, s, len(i)).median(), "This is the median token"),
        ("a start of 5", lambda z, i, s: _picked(z, i, 5, len(i)).mean(), "whatever `start` is"),
        ("all tokens", lambda z, i, s: _picked(z, i, s, len(i)).sum() / len(i), "You divided by all tokens"),
    ],
    "8.3": [
        ("sign", _each(lambda a, b: b - a), "the sign is wrong"),
        ("absolute", _each(lambda a, b: abs(a - b)), "hide which way an arm moved"),
        ("no control", _each(lambda a, b: a + 0 * b), "lean itself"),
        ("over seeds", _each(lambda a, b: (a - b).mean(0)), "you averaged over seeds or items"),
        ("a mean subtracted", _each(lambda a, b: a - b.mean()), "you subtracted a mean"),
        ("seeds unpaired", _each(_mean_over_seeds), "Seed i of one arm"),
        ("ratio", _each(lambda a, b: a / b), "Leans cross zero"),
        ("added", _each(lambda a, b: a + b), "you added"),
        ("one only", lambda lean: {"bad - base": lean["bad"] - lean["base"]}, "is missing, or named otherwise"),
    ],
    "8.4": [
        ("items only", _draws(lambda t, rng: _columns(t, rng).mean()), "The runs are never resampled"),
        ("runs only", _draws(lambda t, rng: _rows(t, rng).mean()), "The items are never resampled"),
        ("cells", _draws(_cells), "Single cells are resampled"),
        ("items anew for each run", _draws(_items_by_run), "Each run draws its own items"),
        ("no replacement", _draws(_without_replacement), "Draw with replacement"),
        ("no seed", _unseeded, "The same seed gave other draws"),
        ("tables", _draws(lambda t, rng: _rows(t, rng)), "one mean a draw"),
        ("seed 0 always", lambda t, n, seed: _by_weights(t, n, 0), "`seed` isn't used"),
        ("always 1500", lambda t, n, seed: _by_weights(t, 1500, seed), "make as many draws as asked"),
    ],
    "8.5": [
        ("swapped", _rule(_long_words, swap=True), "The two are swapped"),
        ("ties decide", _tie_breaking, "a tie decides nothing"),
        ("case", _rule(_cased), "Compare in lower case"),
        ("repeats", _rule(_repeated), "counted three times"),
        ("substrings", _substrings, "whole words only"),
        ("short words", _rule(_any_length), "three letters and more"),
        ("no words", _rule(_long_words, tie="aligned"), 'no word of either is "neither"'),
        ("shares", _rule(_long_words, share=True), "Shares of the candidate's length"),
        ("a number", lambda answer, aligned, misaligned: 1, "Your result is 1"),
        (
            "four letters and more",
            _rule(lambda text: set(re.findall(r"[a-z]{4,}", text.lower()))),
            "three letters count as",
        ),
        ("stops and commas", _rule(lambda text: set(re.findall(r"\S{3,}", text.lower()))), "without the stop or comma"),
        ("shared words speak for one", _one_sided, "stands in both candidates"),
    ],
    "8.6": [
        ("mean of lengths", lambda o, b, t: (o - b).norm(dim=-1).mean(0) / t, "changes that cancel out"),
        ("not relative", lambda o, b, t: (o - b).mean(0).norm(dim=-1), "Not divided by `typical`"),
        (
            "lengths subtracted",
            lambda o, b, t: (o.mean(0).norm(dim=-1) - b.mean(0).norm(dim=-1)) / t,
            "A vector can turn without growing",
        ),
        ("sum", lambda o, b, t: (o - b).sum(0).norm(dim=-1) / t, "You added over the prompts"),
        ("vectors", lambda o, b, t: (o - b).mean(0), "a vector for each block"),
        ("a length a prompt", lambda o, b, t: (o - b).norm(dim=-1) / t, "one length for each prompt"),
        ("no base", lambda o, b, t: o.mean(0).norm(dim=-1) / t, "The base is missing"),
        ("median", lambda o, b, t: (o - b).median(0).values.norm(dim=-1) / t, "median over prompts"),
        ("at most 1", lambda o, b, t: ((o - b).mean(0).norm(dim=-1) / t).clamp(max=1), "above 1 was cut off"),
    ],
    "8.7": [
        ("not shuffled", _signed(lambda p, m, n, g: (p - m).mean(0).expand(n, -1)), "nothing was shuffled"),
        ("all pairs at once", _signed(_together), "All pairs are swapped together"),
        ("unpaired", _signed(_unpaired), "can't come from swapping sides within pairs"),
        ("random directions", _signed(_sphere), "the other null"),
        ("sums", _signed(lambda p, m, n, g: _coins(p, n, g) @ (p - m)), "These are sums"),
        (
            "length 1",
            _signed(lambda p, m, n, g: torch.nn.functional.normalize(_coins(p, n, g) @ (p - m), dim=-1)),
            "The directions have length 1",
        ),
        ("no seed", _seedless, "other directions the second time"),
        ("seldom swapped", _signed(_uneven), "Swaps aren't even"),
        ("exactly half", _signed(_half), "swaps the same number of the 7 pairs"),
        ("left out", _signed(lambda p, m, n, g: (_coins(p, n, g) > 0).float() @ (p - m) / len(p)), "are left out"),
        ("seed 0 always", lambda p, m, n, seed: _signed(_where)(p, m, n, 0), "Another seed gave the same"),
        ("sixty rows", lambda p, m, n, seed: _signed(_where)(p, m, 60, seed), "For n = 3 your result has shape"),
        ("plus alone", _signed(lambda p, m, n, g: _coins(p, n, g) @ p / len(p)), "`minus` isn't used"),
    ],
    "8.8": [
        ("by the mean", lambda r, k: r.mean(0).topk(k).indices.tolist(), "you ranked the mean"),
        ("unsorted", lambda r, k: sorted(_common(r, k)), "in another order"),
        ("by size", lambda r, k: sorted(_common(r.abs(), k), key=lambda i: -float(r[:, i].mean())), "Latent 25 falls"),
        (
            "union",
            lambda r, k: sorted({i for row in r for i in row.topk(k).indices.tolist()}),
            "on top in one or two seeds only",
        ),
        ("by the first seed", _common_by(lambda rises: rises[0]), "Ordered by the first seed"),
        ("by the median", _common_by(lambda rises: rises.median()), "Ordered by the median"),
        ("smallest first", lambda r, k: _common_by(lambda rises: rises.mean())(r, k)[::-1], "Turn the order round"),
        ("six always", lambda r, k: _by_count(r, 6), "whatever `k` is"),
        ("a list a seed", lambda r, k: r.topk(k, dim=1).indices, "one flat list"),
        ("the last k", lambda r, k: list(range(r.shape[1] - k, r.shape[1])), "whatever `rise` is"),
    ],
    "8.9": [
        ("own changes", _moved, "each arm's own changes"),
        ("sign", lambda b, a: {arm: -v for arm, v in _net(b, a).items()}, "The sign is wrong"),
        ("after only", lambda b, a: {arm: a[arm].mean() - a["base"].mean() for arm in a}, "after steering only"),
        ("before only", lambda b, a: {arm: b[arm].mean() - b["base"].mean() for arm in a}, "before steering only"),
        ("mean of arms", _net_of_mean, "The base is the control"),
        ("by item", lambda b, a: {arm: a[arm] - b[arm] for arm in a}, "average over items"),
        ("no base", lambda b, a: {k: v for k, v in _net(b, a).items() if k != "base"}, "the base included"),
    ],
    "8.10": [
        (
            "clipped",
            lambda c, t: {n: min(1, max(0, (c[0] - v) / (c[0] - t))) for n, v in c.items()},
            "You cut off at 0 and at 1",
        ),
        (
            "never below 0",
            lambda c, t: {n: max(0, (c[0] - v) / (c[0] - t)) for n, v in c.items()},
            "You cut off at 0. A",
        ),
        ("absolute", lambda c, t: {n: abs(c[0] - v) / abs(c[0] - t) for n, v in c.items()}, "Absolute values count"),
        ("from the highest", _regained_from(lambda c: max(c.values())), "You started from the highest lean"),
        ("from the first listed", _regained_from(lambda c: next(iter(c.values()))), "wherever that stands"),
        ("a target of 0.15", lambda c, t: _regained_from(lambda c: c[0])(c, 0.15), "`target` isn't used"),
        ("left over", lambda c, t: {n: (v - t) / (c[0] - t) for n, v in c.items()}, "the share that is left"),
        ("sign", lambda c, t: {n: (v - c[0]) / (c[0] - t) for n, v in c.items()}, "towards the target"),
        ("in nats", lambda c, t: {n: c[0] - v for n, v in c.items()}, "This is how far it moved"),
        ("of the target", lambda c, t: {n: v / t for n, v in c.items()}, "0 is no landmark"),
        (
            "of the end",
            lambda c, t: {n: (c[0] - v) / (c[0] - c[max(c)]) for n, v in c.items()},
            "where the curve happens to end",
        ),
        ("a list", lambda c, t: [(c[0] - v) / (c[0] - t) for v in c.values()], "Return a dictionary"),
    ],
}

RIGHT = {
    "8.1": [("scikit-learn's GroupKFold", _with_group_kfold), ("chunks of groups", _with_chunks)],
    "8.2": [("cross-entropy", _cross_entropy), ("token by token", _token_by_token)],
    "8.3": [
        ("a loop over names", _each(lambda a, b: a - b)),
        ("broadcast beforehand", _each(lambda a, b: np.asarray(a) + -1.0 * np.broadcast_to(b, a.shape))),
    ],
    "8.4": [("weights", _by_weights), ("torch, all at once", _by_fancy_index)],
    "8.5": [("a counter", _by_counter), ("sets of words", _rule(_long_words))],
    "8.6": [
        ("a loop", _by_loop),
        ("numpy", lambda o, b, t: _by_loop(o, b, t).numpy()),
        ("means first", lambda o, b, t: torch.linalg.vector_norm(o.mean(0) - b.mean(0), dim=1).div(t)),
    ],
    "8.7": [
        ("torch.where", _signed(_where)),
        ("pair by pair", _signed(_pair_by_pair)),
        ("numpy", lambda *given: _signed(_where)(*given).numpy()),
    ],
    "8.8": [
        ("counting", _by_count),
        ("a threshold a seed", _by_threshold),
        ("an array", lambda r, k: np.array(_by_count(r, k))),
    ],
    "8.9": [("gaps before and after", _net_by_gaps), ("means first", _net)],
    "8.10": [
        ("a loop", lambda c, t: {n: 1 - (v - t) / (c[0] - t) for n, v in c.items()}),
        (
            "an array",
            lambda c, t: dict(zip(c, (c[0] - np.array(list(c.values()))) / (c[0] - t))),
        ),
    ],
}

EQUIVALENT = {
    "8.2": {
        "upper end of a slice dropped | return float(log_probs[start - 1 : -1]"
        ".gather(-1, answer[:, None]).mean()) | 1": (
            "gather reads as many rows as there are answer tokens: one more row below them is never read"
        ),
    },
    "8.5": {
        'Gt to GtE | return "misaligned" if for_bad > for_sound else "aligned" | 1': (
            "equal counts have been returned as neither before this line"
        ),
    },
    "8.6": {"result made positive | relative_shift": "a length over a typical length is never below 0"},
    "8.8": {
        "mean to sum | return sorted(common, key=lambda latent: -float(rise[:, latent].mean())) | 1": (
            "every latent has as many seeds, so sums stand in the same order as means"
        ),
    },
}
