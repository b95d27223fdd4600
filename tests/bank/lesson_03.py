"""Lesson 03: wrong answers with the words that must reject them, and right answers written differently."""

import random
from collections import Counter, defaultdict

import numpy as np
import torch

# ---------------------------------------------------------------------------------------------------------- 3.1


def _in_place(acts, labels):
    acts -= acts.mean(0)
    return acts[labels].mean(0) - acts[~labels].mean(0)


def _unit(acts, labels):
    direction = acts[labels].mean(0) - acts[~labels].mean(0)
    return direction / direction.norm()


def _centred_zeros(acts, labels):
    centred = acts - acts.mean(0)
    return centred.mean(0) * 0


def _with_where(acts, labels):
    pick = labels[:, None]
    zero = torch.zeros((), dtype=acts.dtype)
    true = torch.where(pick, acts, zero).sum(0) / labels.sum()
    return true - torch.where(pick, zero, acts).sum(0) / (~labels).sum()


def _with_a_product(acts, labels):
    weight = labels.to(acts.dtype)
    weight = weight / weight.sum() - (1 - weight) / (1 - weight).sum()
    return weight @ acts


# ---------------------------------------------------------------------------------------------------------- 3.2


def _midpoint(acts, labels, direction):
    scores = acts @ direction
    return -(scores[labels].mean() + scores[~labels].mean()) / 2


def _midpoint_unit(acts, labels, direction):
    return _midpoint(acts, labels, direction / direction.norm())


def _midpoint_in_space(acts, labels, direction):
    return -(acts[labels].mean(0) + acts[~labels].mean(0)) / 2


def _midpoint_projected(acts, labels, direction):
    middle = (acts[labels].mean(0) + acts[~labels].mean(0)) / 2
    return float(-(middle @ direction))


def _midpoint_by_halves(acts, labels, direction):
    scores = acts @ direction
    return -0.5 * torch.stack([scores[labels].mean(), scores[~labels].mean()]).sum()


# ---------------------------------------------------------------------------------------------------------- 3.3


def _split_rows_at_random(groups, held_out):
    return list(range(0, len(groups), 2)), list(range(1, len(groups), 2))


def _split_first_row_only(groups, held_out):
    first = {group: groups.index(group) for group in groups}
    return [r for g, r in first.items() if g not in held_out], [r for g, r in first.items() if g in held_out]


def _split(groups, held_out):
    mask = np.array([group in held_out for group in groups])
    return np.flatnonzero(~mask), np.flatnonzero(mask)


def _split_by_loop(groups, held_out):
    sides = ([], [])
    for row in range(len(groups)):
        sides[groups[row] in held_out].append(row)
    return sides


# ---------------------------------------------------------------------------------------------------------- 3.4


def _votes(train_texts, train_labels, test_texts, signs=(1, -1), split=str.split, flip=1):
    votes = Counter()
    for text, label in zip(train_texts, train_labels):
        for word in split(text):
            votes[word] += signs[0] if label else signs[1]
    return [flip * sum(votes[word] for word in split(text)) for text in test_texts]


def _votes_of_test(train_texts, train_labels, test_texts):
    return _votes(test_texts, [True] * len(test_texts), test_texts)


def _votes_by_matrix(train_texts, train_labels, test_texts):
    vocabulary = sorted({word for text in train_texts for word in text.split()})
    train = torch.tensor([[float(text.split().count(word)) for word in vocabulary] for text in train_texts])
    test = torch.tensor([[float(text.split().count(word)) for word in vocabulary] for text in test_texts])
    return test @ (train.T @ (torch.tensor(train_labels).float() * 2 - 1))


def _votes_by_default_dict(train_texts, train_labels, test_texts):
    true, false = defaultdict(int), defaultdict(int)
    for text, label in zip(train_texts, train_labels):
        for word in text.split():
            (true if label else false)[word] += 1
    return [float(sum(true[w] - false[w] for w in text.split())) for text in test_texts]


# ---------------------------------------------------------------------------------------------------------- 3.5


def _gaps(scores, labels):
    return scores[labels][:, None] - scores[~labels][None, :]


def _auroc(scores, labels):
    gaps = _gaps(scores, labels)
    return ((gaps > 0).float() + 0.5 * (gaps == 0).float()).mean().item()


def _auroc_by_loop(scores, labels):
    wins = pairs = 0.0
    for s in scores[labels].tolist():
        for t in scores[~labels].tolist():
            pairs += 1
            wins += 1.0 if s > t else 0.5 if s == t else 0.0
    return wins / pairs


def _auroc_by_library(scores, labels):
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(labels.numpy(), scores.numpy()))


# ---------------------------------------------------------------------------------------------------------- 3.6


def _coin_a_row(entities, seed):
    return torch.randint(0, 2, (len(entities),), generator=torch.Generator().manual_seed(seed)).bool()


def _coin_without_seed(entities, seed):
    names = sorted(set(entities))
    label = {name: bool(torch.rand(()) > 0.5) for name in names}
    return torch.tensor([label[e] for e in entities])


def _coin_ignores_seed(entities, seed):
    return _coins(entities, 0)


def _coin_in_row_order(entities, seed):
    generator = torch.Generator().manual_seed(seed)
    label = {}
    for entity in entities:
        if entity not in label:
            label[entity] = bool(torch.randint(0, 2, (), generator=generator))
    return torch.tensor([label[e] for e in entities])


def _coins(entities, seed):
    names = sorted(set(entities))
    coins = torch.randint(0, 2, (len(names),), generator=torch.Generator().manual_seed(seed)).bool()
    label = dict(zip(names, coins.tolist()))
    return torch.tensor([label[e] for e in entities])


def _coins_by_random(entities, seed):
    rng = random.Random(seed)
    label = {name: rng.random() < 0.5 for name in sorted(set(entities))}
    return torch.tensor([label[e] for e in entities])


def _coins_by_numpy(entities, seed):
    names, which = np.unique(np.array(entities), return_inverse=True)
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 2, len(names)).astype(bool)[which])


# ---------------------------------------------------------------------------------------------------------- 3.7


def _recall(scores, labels, fpr):
    false = scores[~labels].sort(descending=True).values
    return (scores[labels] > false[int(fpr * len(false))]).float().mean().item()


def _recall_on_all(scores, labels, fpr):
    threshold = scores.sort(descending=True).values[int(fpr * len(scores))]
    return (scores[labels] > threshold).float().mean().item()


def _recall_by_quantile(scores, labels, fpr):
    return (scores[labels] > torch.quantile(scores[~labels], 1 - fpr)).float().mean().item()


def _recall_by_search(scores, labels, fpr):
    best = 0.0
    for threshold in scores[~labels].tolist():
        if (scores[~labels] > threshold).float().mean() <= fpr:
            best = max(best, (scores[labels] > threshold).float().mean().item())
    return best


def _recall_wrong_end(scores, labels, fpr):
    false = scores[~labels].sort().values
    return (scores[labels] > false[int(fpr * len(false))]).float().mean().item()


# ---------------------------------------------------------------------------------------------------------- 3.8


def _transfer(sets, fit, measure):
    return torch.tensor([[measure(a @ fit(*train), y) for a, y in sets] for train in sets])


def _transfer_filled(sets, fit, measure):
    out = torch.zeros(len(sets), len(sets))
    for i, (acts, labels) in enumerate(sets):
        direction = fit(acts, labels)
        for j, (other, truth) in enumerate(sets):
            out[i, j] = measure(other @ direction, truth)
    return out


def _transfer_diagonal(sets, fit, measure):
    return torch.diag(torch.tensor([measure(a @ fit(a, y), y) for a, y in sets]))


def _transfer_own(sets, fit, measure):
    return torch.tensor([[measure(a @ fit(a, y), y) for a, y in sets] for _ in sets])


# ---------------------------------------------------------------------------------------------------------- 3.9


def _out(acts, direction):
    unit = direction / direction.norm()
    return acts - (acts @ unit)[..., None] * unit


def _out_by_matrix(acts, direction):
    d = direction.shape[0]
    return acts @ (torch.eye(d) - torch.outer(direction, direction) / (direction @ direction))


def _out_by_einsum(acts, direction):
    amount = torch.einsum("...d,d->...", acts, direction) / direction.square().sum()
    return acts - amount.unsqueeze(-1) * direction


# ---------------------------------------------------------------------------------------------------------- 3.10


def _share(effect, others):
    return float((others.abs() >= abs(effect)).sum() + 1) / (len(others) + 1)


def _share_by_numpy(effect, others):
    sizes = np.abs(np.append(np.asarray(others, dtype=float), float(effect)))
    return float(np.mean(sizes >= sizes[-1] - 1e-7))


WRONG = {
    "3.1": [
        ("averages over the wrong axis", lambda a, y: a.mean(1), "You averaged over dimensions"),
        (
            "each class over the wrong axis",
            lambda a, y: a[y].mean(1) - a[~y].mean(1),
            "The two means don't fit together",
        ),
        ("false minus true", lambda a, y: a[~y].mean(0) - a[y].mean(0), "The arrow points the other way"),
        ("only the true mean", lambda a, y: a[y].mean(0), "This is the mean of the true cloud, not a difference"),
        ("centres, then returns zeros", _centred_zeros, "Every entry is 0"),
        ("normalises", _unit, "its length is 1"),
        ("median instead of mean", lambda a, y: a[y].median(0).values - a[~y].median(0).values, "this is the median"),
        ("changes acts in place", _in_place, "Your function changed its input"),
        ("raises", lambda a, y: a[y.long() + 99].mean(0), "Your code stopped with IndexError"),
        ("subtracts the mean of all", lambda a, y: a[y].mean(0) - a.mean(0), "mean of all statements"),
        ("sums", lambda a, y: a[y].sum(0) - a[~y].sum(0), "You subtracted sums"),
        ("random numbers", lambda a, y: torch.randn(a.shape[1]), "aren't the right numbers"),
    ],
    "3.2": [
        ("wrong sign", lambda a, y, d: -_midpoint(a, y, d), "wrong sign"),
        ("mean of all scores", lambda a, y, d: -(a @ d).mean(), "mean of all scores"),
        ("forgets the half", lambda a, y, d: 2 * _midpoint(a, y, d), "Twice too large"),
        ("zero", lambda a, y, d: torch.zeros(()), "the artefact itself"),
        ("unit direction", _midpoint_unit, "scaled the direction to length 1"),
        ("a point in space", _midpoint_in_space, "that is a point in activation space"),
        ("the median", lambda a, y, d: -(a @ d).median(), "minus the median"),
        ("noise", lambda a, y, d: torch.randn(()), "aren't the right numbers"),
    ],
    "3.3": [
        ("splits rows", _split_rows_at_random, "is on both sides"),
        ("swapped", lambda g, h: _split_by_loop(g, h)[::-1], "Train and test are swapped"),
        ("first row of each group only", _split_first_row_only, "on neither side"),
        ("names", lambda g, h: ([x for x in g if x not in h], [x for x in g if x in h]), "names of groups"),
        ("one thing", lambda g, h: [r for r, x in enumerate(g) if x in h][:3], "Return two things"),
        ("out of order", lambda g, h: tuple(s[::-1] for s in _split_by_loop(g, h)), "not in their order"),
        ("holds out nobody named", lambda g, h: _split_by_loop(g, {"Paris"}), "the wrong ones are held out"),
    ],
    "3.4": [
        ("wrong sign", lambda a, y, t: _votes(a, y, t, flip=-1), "wrong sign"),
        ("only true texts", lambda a, y, t: _votes(a, y, t, signs=(1, 0)), "Only true texts vote"),
        ("counts the test", _votes_of_test, "counted on the test texts"),
        ("sets of words", lambda a, y, t: _votes(a, y, t, split=lambda s: set(s.split())), "should vote twice"),
        ("letters", lambda a, y, t: _votes(a, y, t, split=list), "You counted letters"),
        (
            "scores the training texts",
            lambda a, y, t: _votes(a[:], y, a[:]) if len(a) != len(t) else [0] * 5,
            "same score",
        ),
        ("one number", lambda a, y, t: 0.5, "expected one score for each"),
    ],
    "3.5": [
        ("upside down", lambda s, y: 1 - _auroc(s, y), "one minus the answer"),
        ("ties lose", lambda s, y: (_gaps(s, y) > 0).float().mean().item(), "Ties count as losses"),
        ("ties win", lambda s, y: (_gaps(s, y) >= 0).float().mean().item(), "Ties count as wins"),
        ("accuracy", lambda s, y: ((s > 0) == y).float().mean().item(), "This is accuracy"),
        ("mean gap", lambda s, y: _gaps(s, y).mean().item(), "averaged the gaps"),
        ("counts", lambda s, y: _auroc(s, y) * _gaps(s, y).numel(), "didn't divide"),
        ("the table", lambda s, y: _gaps(s, y), "expected one number"),
        ("noise", lambda s, y: float(torch.rand(()) * 0.01), "isn't the share of pairs"),
    ],
    "3.6": [
        ("a coin a row", _coin_a_row, "flipped once for each *entity*"),
        ("no seed", _coin_without_seed, "The same seed gave different labels"),
        ("ignores the seed", _coin_ignores_seed, "`seed` isn't used"),
        ("depends on row order", _coin_in_row_order, "came in another order"),
        ("all true", lambda e, s: torch.ones(len(e), dtype=torch.bool), "Every row got the same label"),
        ("three sides", lambda e, s: torch.arange(len(e)) % 3, "aren't all True or False"),
        ("one an entity, not a row", lambda e, s: _coins(sorted(set(e)), s), "One label for each row"),
    ],
    "3.7": [
        ("threshold on all rows", _recall_on_all, "set on all rows"),
        ("threshold of zero", lambda s, y, f: (s[y] > 0).float().mean().item(), "threshold of 0"),
        ("classes swapped", lambda s, y, f: _recall(s, ~y, f), "two classes are swapped"),
        ("wrong end", _recall_wrong_end, "lets through the wrong end"),
        ("no alarm at all", lambda s, y, f: (s[y] > s[~y].max()).float().mean().item(), "allows no false alarm"),
        ("what was missed", lambda s, y, f: 1 - _recall(s, y, f), "the share that was missed"),
        ("rate written in", lambda s, y, f: _recall(s, y, 0.05), "not at 1 %"),
    ],
    "3.8": [
        ("transposed", lambda s, f, m: _transfer(s, f, m).T, "swapped: row i"),
        ("own directions", _transfer_own, "fitted and measured on one set"),
        ("only the diagonal", _transfer_diagonal, "Only the diagonal"),
        ("flipped", lambda s, f, m: 1 - _transfer(s, f, m), "Every number is one minus"),
        ("a row", lambda s, f, m: _transfer(s, f, m)[0], "One row for each set trained on"),
    ],
    "3.9": [
        ("the part itself", lambda a, d: a - _out(a, d), "the one to remove"),
        ("forgets the length", lambda a, d: a - (a @ d)[..., None] * d, "too much is taken away"),
        ("the same for all", lambda a, d: a - d, "the same vector from every"),
        ("adds", lambda a, d: 2 * a - _out(a, d), "was doubled"),
        ("reflects", lambda a, d: 2 * _out(a, d) - a, "This reflects"),
        ("half normalised", lambda a, d: a - (a @ (d / d.norm()))[..., None] * d, "in one place"),
        ("nothing", lambda a, d: a.clone(), "Nothing changed"),
    ],
    "3.10": [
        ("can be zero", lambda e, o: float((o.abs() >= abs(e)).float().mean()), "the share can be 0"),
        ("one-sided", lambda e, o: float(((o >= e).sum() + 1) / (len(o) + 1)), "Only pushes in one direction"),
        ("one-sided and can be zero", lambda e, o: float((o >= e).float().mean()), "Two things"),
        ("the smaller ones", lambda e, o: float((o.abs() < abs(e)).float().mean()), "*smaller* effect"),
        ("a count", lambda e, o: float((o.abs() >= abs(e)).sum() + 1), "This is a count"),
        (
            "ties left out",
            lambda e, o: float(((o.abs() > abs(e)).sum() + 1) / (len(o) + 1)),
            "A tie is at least as large",
        ),
        ("total too small", lambda e, o: float(((o.abs() >= abs(e)).sum() + 1) / len(o)), "not to the total"),
    ],
}

RIGHT = {
    "3.1": [("torch.where and counts", _with_where), ("a matrix product", _with_a_product)],
    "3.2": [("the middle point, projected", _midpoint_projected), ("half of a sum", _midpoint_by_halves)],
    "3.3": [("numpy masks", _split), ("one loop", _split_by_loop)],
    "3.4": [("a matrix of counts", _votes_by_matrix), ("two tallies", _votes_by_default_dict)],
    "3.5": [("a double loop", _auroc_by_loop), ("scikit-learn", _auroc_by_library)],
    "3.6": [("the random module", _coins_by_random), ("numpy", _coins_by_numpy)],
    "3.7": [("a quantile", _recall_by_quantile), ("a search over thresholds", _recall_by_search)],
    "3.8": [("one comprehension", _transfer), ("filled cell by cell", _transfer_filled)],
    "3.9": [("a projection matrix", _out_by_matrix), ("einsum, no square root", _out_by_einsum)],
    "3.10": [("tensor arithmetic", _share), ("numpy", _share_by_numpy)],
}
