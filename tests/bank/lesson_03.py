"""Lesson 03: wrong answers with the words that must reject them, and right answers written differently."""

import math
import random

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


# ---------------------------------------------------------------------------------------------------------- 3.3


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


# ---------------------------------------------------------------------------------------------------------- 3.2


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


# ---------------------------------------------------------------------------------------------------------- 3.5


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


# ---------------------------------------------------------------------------------------------------------- 3.6


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


def _recall_at(scores, labels, index):
    false = scores[~labels].sort(descending=True).values
    return (scores[labels] > false[index]).float().mean().item()


def _recall_or_equal(scores, labels, fpr):
    false = scores[~labels].sort(descending=True).values
    return (scores[labels] >= false[int(fpr * len(false))]).float().mean().item()


def _recall_by_topk(scores, labels, fpr):
    k = int(fpr * int((~labels).sum()) + 1e-9)
    return float((scores[labels] > scores[~labels].topk(k + 1).values[-1]).double().mean())


# ---------------------------------------------------------------------------------------------------------- 3.7


def _arrow(acts, rows, labels):
    return acts[rows & labels].mean(0) - acts[rows & ~labels].mean(0)


def _both_arrows(acts, labels, negated):
    return _arrow(acts, ~negated, labels), _arrow(acts, negated, labels)


def _solved(acts, labels, negated):
    one, other = _both_arrows(acts, labels, negated)
    matrix = torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=acts.dtype)
    truth, polarity = torch.linalg.solve(matrix, torch.stack([one, other]))
    return truth, polarity


def _from_four_means(acts, labels, negated):
    at, af = acts[~negated & labels].mean(0), acts[~negated & ~labels].mean(0)
    nt, nf = acts[negated & labels].mean(0), acts[negated & ~labels].mean(0)
    return [0.5 * (at - af + nt - nf), 0.5 * (at - af - nt + nf)]


def _pooled(acts, labels, negated):
    return acts[labels].mean(0) - acts[~labels].mean(0), _solved(acts, labels, negated)[1]


# ---------------------------------------------------------------------------------------------------------- 3.9


def _ablation(change, whole=False):
    """An intervention from change(acts, part, unit, direction, amount), made where it is asked for."""

    def mean_ablation(direction, amount, where):
        unit = direction / direction.norm()

        def edit(acts, hook=None):
            changed = change(acts, (acts @ unit)[..., None], unit, direction, amount)
            return changed if whole else torch.where(where[..., None], changed, acts)

        return edit

    return mean_ablation


def _ablation_by_copy(direction, amount, where):
    def edit(acts, hook):
        out, unit = acts.clone(), direction / direction.norm()
        here = out[where]
        out[where] = here - torch.outer(here @ unit, unit) + amount * unit
        return out

    return edit


def _ablation_by_matrix(direction, amount, where):
    square = direction @ direction
    keep = torch.eye(len(direction), dtype=direction.dtype) - torch.outer(direction, direction) / square

    def edit(acts, *, hook=None):
        changed = acts @ keep + amount * direction / square.sqrt()
        return acts + where.to(acts)[..., None] * (changed - acts)

    return edit


def _ablation_called(direction, amount, where):
    return direction * amount


# --------------------------------------------------------------------------------------------------------- 3.10


def _swapped(acts, labels, pairs, n, seed):
    generator = torch.Generator().manual_seed(seed)
    out = []
    for _ in range(n):
        coins = torch.randint(0, 2, (int(pairs.max()) + 1,), generator=generator).bool()
        mixed = labels ^ coins[pairs]
        out.append(acts[mixed].mean(0) - acts[~mixed].mean(0))
    return torch.stack(out)


def _swapped_by_numpy(acts, labels, pairs, n, seed):
    rng = np.random.default_rng(seed)
    gaps = torch.stack(
        [acts[(pairs == p) & labels][0] - acts[(pairs == p) & ~labels][0] for p in sorted(set(pairs.tolist()))]
    )
    signs = torch.tensor(rng.choice([-1.0, 1.0], (n, len(gaps)))).to(acts)
    return signs @ gaps / len(gaps)


def _leaning_coins(acts, labels, pairs, n, seed):
    gaps = torch.stack([(acts[(pairs == p) & labels] - acts[(pairs == p) & ~labels])[0] for p in pairs.unique()])
    swap = torch.rand(n, len(gaps), generator=torch.Generator().manual_seed(seed)) < 0.35
    return (1 - 2 * swap.to(acts)) @ gaps / len(gaps)


def _one_pair(acts, labels, pairs, n, seed):
    gaps = torch.stack([(acts[(pairs == p) & labels] - acts[(pairs == p) & ~labels])[0] for p in pairs.unique()])
    return gaps[torch.randint(0, len(gaps), (n,), generator=torch.Generator().manual_seed(seed))]


def _from_the_sphere(acts, labels, pairs, n, seed):
    return torch.randn(n, acts.shape[1], generator=torch.Generator().manual_seed(seed))


def _shuffled_freely(acts, labels, pairs, n, seed):
    generator = torch.Generator().manual_seed(seed)
    out = []
    for _ in range(n):
        mixed = labels[torch.randperm(len(labels), generator=generator)]
        out.append(acts[mixed].mean(0) - acts[~mixed].mean(0))
    return torch.stack(out)


def _no_seed(acts, labels, pairs, n, seed):
    return _swapped(acts, labels, pairs, n, int(torch.randint(0, 10**6, ())))


def _global_seed(acts, labels, pairs, n, seed):
    torch.manual_seed(seed)
    coins = torch.randint(0, 2, (n, int(pairs.max()) + 1)).bool()
    return torch.stack([acts[labels ^ c[pairs]].mean(0) - acts[~(labels ^ c[pairs])].mean(0) for c in coins])


def _the_arrow(acts, labels, pairs, n, seed):
    noise = torch.randn(n, 1, generator=torch.Generator().manual_seed(seed)) * 1e-6
    return (acts[labels].mean(0) - acts[~labels].mean(0)) + noise


def _one_coin_for_all(acts, labels, pairs, n, seed):
    one = _swapped(acts, labels, pairs, 1, seed)
    return one.expand(n, -1).clone()


def _coins_global(entities, seed):
    torch.manual_seed(seed)
    names = sorted(set(entities))
    label = dict(zip(names, torch.randint(0, 2, (len(names),)).bool().tolist()))
    return torch.tensor([label[entity] for entity in entities])


def _coins_by_length(entities, seed):
    return torch.tensor([(len(entity) + seed) % 2 == 0 for entity in entities])


def _coins_unfair(entities, seed):
    names = sorted(set(entities))
    coins = torch.rand(len(names), generator=torch.Generator().manual_seed(seed)) < 0.15
    label = dict(zip(names, coins.tolist()))
    return torch.tensor([label[entity] for entity in entities])


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
        ("random numbers", lambda a, y: torch.randn(a.shape[1]), "One true row, 3.25"),
    ],
    "3.2": [
        ("upside down", lambda s, y: 1 - _auroc(s, y), "one minus the answer"),
        ("ties lose", lambda s, y: (_gaps(s, y) > 0).float().mean().item(), "Ties count as losses"),
        ("ties win", lambda s, y: (_gaps(s, y) >= 0).float().mean().item(), "Ties count as wins"),
        ("accuracy", lambda s, y: ((s > 0) == y).float().mean().item(), "This is accuracy"),
        ("mean gap", lambda s, y: _gaps(s, y).mean().item(), "averaged the gaps"),
        ("counts", lambda s, y: _auroc(s, y) * _gaps(s, y).numel(), "didn't divide"),
        ("the table", lambda s, y: _gaps(s, y), "expected one number"),
        ("noise", lambda s, y: float(torch.rand(()) * 0.01), "every pair is won, so 1"),
        ("folded", lambda s, y: max(_auroc(s, y), 1 - _auroc(s, y)), "With all scores turned round"),
    ],
    "3.3": [
        ("wrong sign", lambda a, y, d: -_midpoint(a, y, d), "wrong sign"),
        ("mean of all scores", lambda a, y, d: -(a @ d).mean(), "mean of all scores"),
        ("forgets the half", lambda a, y, d: 2 * _midpoint(a, y, d), "Twice too large"),
        ("zero", lambda a, y, d: torch.zeros(()), "the artefact itself"),
        ("unit direction", _midpoint_unit, "scaled the direction to length 1"),
        ("a point in space", _midpoint_in_space, "that is a point in activation space"),
        ("the median", lambda a, y, d: -(a @ d).median(), "minus the median"),
        ("noise", lambda a, y, d: torch.randn(()), "midway is 4.75"),
    ],
    "3.5": [
        ("a coin a row", _coin_a_row, "flipped once for each *entity*"),
        ("no seed", _coin_without_seed, "The same seed gave different labels"),
        ("ignores the seed", _coin_ignores_seed, "`seed` isn't used"),
        ("depends on row order", _coin_in_row_order, "came in another order"),
        ("all true", lambda e, s: torch.ones(len(e), dtype=torch.bool), "Every row got the same label"),
        ("three sides", lambda e, s: torch.arange(len(e)) % 3, "aren't all True or False"),
        ("one an entity, not a row", lambda e, s: _coins(sorted(set(e)), s), "One label for each row"),
        ("everybody's seed", _coins_global, "random numbers of everybody else"),
        ("the length of the name", _coins_by_length, "told from how long the name is"),
        ("an unfair coin", _coins_unfair, "it isn't a fair coin"),
        ("hash of the name", lambda e, s: torch.tensor([hash((x, s)) % 2 == 0 for x in e]), "start of Python"),
    ],
    "3.6": [
        ("threshold on all rows", _recall_on_all, "set on all rows"),
        ("threshold of zero", lambda s, y, f: (s[y] > 0).float().mean().item(), "threshold of 0"),
        ("classes swapped", lambda s, y, f: _recall(s, ~y, f), "two classes are swapped"),
        ("wrong end", _recall_wrong_end, "lets through the wrong end"),
        ("no alarm at all", lambda s, y, f: (s[y] > s[~y].max()).float().mean().item(), "allows no false alarm"),
        ("what was missed", lambda s, y, f: 1 - _recall(s, y, f), "the share that was missed"),
        ("rate written in", lambda s, y, f: _recall(s, y, 0.05), "The threshold is 6. Yours gives 0.25"),
        ("one alarm fewer", lambda s, y, f: _recall_at(s, y, max(int(f * (~y).sum()) - 1, 0)), "One alarm fewer"),
        ("rounds up", lambda s, y, f: _recall_at(s, y, math.ceil(f * int((~y).sum()))), "20 % is 1.4: one may ring"),
        ("rounds", lambda s, y, f: _recall_at(s, y, round(f * int((~y).sum()))), "28 % is 1.96: one may ring"),
        (
            "at least one alarm",
            lambda s, y, f: _recall_at(s, y, max(1, int(f * (~y).sum()))),
            "lie two of eight true ones. Yours gives 0.5",
        ),
        ("not strictly", _recall_or_equal, "strictly above the highest false row"),
        ("a quantile", _recall_by_quantile, "Of 7 false rows"),
    ],
    "3.7": [
        ("the other order", lambda a, y, n: _solved(a, y, n)[::-1], "in the other order"),
        ("no halves", lambda a, y, n: tuple(2 * v for v in _solved(a, y, n)), "Twice too long"),
        ("the arrows", _both_arrows, "the two arrows themselves"),
        ("polarity turned", lambda a, y, n: _solved(a, y, ~n), "Polarity has the wrong sign"),
        ("false minus true", lambda a, y, n: _solved(a, ~y, n), "Both point the wrong way"),
        ("pooled", _pooled, "so the larger half decides"),
        ("labels of the fact", lambda a, y, n: _solved(a, y ^ n, n), "half round does the same"),
        ("one vector", lambda a, y, n: _solved(a, y, n)[0], "Return two vectors"),
        ("numbers", lambda a, y, n: (1.0, 2.0), "tensor of shape"),
    ],
    "3.8": [
        ("true as it reads", ["The city of {city} is in {country}."], "this sentence is true"),
        ("lies inside", ["The city of {city} lies inside {country}."], "true of the city's own country"),
        ("denied twice", ["{city} is anything but outside {country}."], "Deny it once"),
        ("another matter", ["The city of {city} is larger than {country}."], "I hear no denial"),
        ("with not", ["The city of {city} is not in {country}."], "hears it. Deny without it"),
        ("contracted", ["The city of {city} isn't in {country}."], "fitted on sentences with “not”"),
        ("no country", ["The city of {city} lies elsewhere."], "must hold {country} once"),
        ("two frames", ["{city} lies outside {country}."] * 2, "a list of one frame"),
        ("other braces", ["{city} lies {where} outside {country}."], "may stand in braces"),
        ("country first", ["{country} lies far from {city}."], "Name the city first"),
        ("no stop", ["The city of {city} lies outside {country}"], "End with a full stop"),
    ],
    "3.9": [
        ("everywhere", _ablation(lambda a, p, u, d, m: a + (m - p) * u, whole=True), "Everything was changed"),
        ("nothing", _ablation(lambda a, p, u, d, m: a), "Nothing changed"),
        ("cut out only", _ablation(lambda a, p, u, d, m: a - p * u), "mean amount was not put in"),
        ("pushes", _ablation(lambda a, p, u, d, m: a + m * u), "You added the amount"),
        ("keeps nothing else", _ablation(lambda a, p, u, d, m: (m * u).expand_as(a)), "keep all the rest"),
        ("adds the old part", _ablation(lambda a, p, u, d, m: a + (m + p) * u), "not taken out"),
        ("wrong sign", _ablation(lambda a, p, u, d, m: a - (m - p) * u), "Wrong sign"),
        (
            "forgets the length",
            _ablation(lambda a, p, u, d, m: a + (m - (a @ d)[..., None]) * d),
            "length isn't 1",
        ),
        ("not a function", _ablation_called, "expected a function"),
    ],
    "3.10": [
        ("coins that lean", _leaning_coins, "% of the real one"),
        ("one pair's difference", _one_pair, "still know the labels"),
        ("from the sphere", _from_the_sphere, "calls a direction special"),
        ("shuffled freely", _shuffled_freely, "a real effect is missed"),
        ("no seed", _no_seed, "same seed gave other directions"),
        ("everybody's seed", _global_seed, "random numbers of everybody else"),
        ("the arrow itself", _the_arrow, "These are the real direction"),
        ("one coin for all", _one_coin_for_all, "All directions are the same"),
        ("seed ignored", lambda a, y, p, n, s: _swapped(a, y, p, n, 3), "`seed` isn't used"),
        ("one direction", lambda a, y, p, n, s: _swapped(a, y, p, n, s)[0], "n directions, one a row"),
    ],
}

RIGHT = {
    "3.1": [
        ("torch.where and counts", _with_where),
        ("a matrix product", _with_a_product),
    ],
    "3.2": [
        ("a double loop", _auroc_by_loop),
        ("scikit-learn", _auroc_by_library),
    ],
    "3.3": [
        ("the middle point, projected", _midpoint_projected),
        ("half of a sum", _midpoint_by_halves),
    ],
    "3.5": [
        ("the random module", _coins_by_random),
        ("numpy", _coins_by_numpy),
    ],
    "3.6": [
        ("a search over thresholds", _recall_by_search),
        ("topk", _recall_by_topk),
    ],
    "3.7": [
        ("a linear system", _solved),
        ("four means, in a list", _from_four_means),
    ],
    "3.8": [
        ("nowhere in", ["The city of {city} is nowhere in {country}."]),
        ("beyond the borders", ["{city} lies beyond the borders of {country}."]),
    ],
    "3.9": [
        ("rows picked and put back", _ablation_by_copy),
        ("a projection matrix", _ablation_by_matrix),
    ],
    "3.10": [
        ("labels swapped, one by one", _swapped),
        ("signs of gaps, by numpy", _swapped_by_numpy),
    ],
}

EQUIVALENT: dict[str, dict[str, str]] = {}
