"""Lesson 06: wrong answers with the words that must reject them, and right answers written differently."""

import random

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment


def _noise(*shape):
    return lambda *args: torch.randn(*shape, generator=torch.Generator().manual_seed(1))


# ---------------------------------------------------------------------------------------------------------- 6.1


def _top(pre, k, dim=-1, largest=True):
    values, columns = pre.topk(k, dim=dim, largest=largest)
    return torch.zeros_like(pre).scatter(dim, columns, values)


def _latents(x, W, b, centre, k, sign=-1, bias=1.0, more=0, dim=-1, relu=True):
    z = _top((x + sign * centre) @ W + bias * b, k + more, dim)
    return z.relu() if relu else z


def _by_size(x, W, b, centre, k, relu):
    pre = (x - centre) @ W + b
    z = torch.where(pre.abs() >= pre.abs().topk(k).values[:, -1:], pre, 0.0)
    return z.relu() if relu else z


def _b_enc_late(x, W, b, centre, k, everywhere=False):
    z = _top((x - centre) @ W, k)
    return (z + b * ((z != 0) | everywhere)).relu()


def _above_one(pre):
    return torch.where(pre > 1, pre, 0.0)


def _rows_for_columns(x, W, b, centre, k):
    values, columns = ((x - centre) @ W + b).topk(k)
    out = torch.zeros(len(x), W.shape[1])
    out[columns] = values.relu()
    return out


def _share_places(x, W, b, centre, k):
    pre = (x - centre) @ W + b
    return torch.where(pre >= pre.flatten().topk(k * len(x)).values[-1], pre, 0.0).relu()


def _strictly_above(x, W, b, centre, k):
    pre = (x - centre) @ W + b
    return torch.where(pre > pre.topk(k).values[:, -1:], pre, 0.0).relu()


def _packed_left(x, W, b, centre, k):
    pre = (x - centre) @ W + b
    out = torch.zeros_like(pre)
    out[:, :k] = pre.topk(k).values.relu()
    return out


def _encode_in_place(x, W, b, centre, k):
    x -= centre
    return _top(x @ W + b, k).relu()


def _encode_by_rows(x, W, b, centre, k):
    out = torch.zeros(len(x), W.shape[1])
    for i, row in enumerate(x):
        pre = [float((row - centre) @ W[:, j] + b[j]) for j in range(W.shape[1])]
        for j in sorted(range(len(pre)), key=lambda j: -pre[j])[:k]:
            out[i, j] = max(0.0, pre[j])
    return out


def _encode_numpy(x, W, b, centre, k):
    x, W, b, centre = (v.numpy().astype(np.float64) for v in (x, W, b, centre))
    pre = np.einsum("nd,ds->ns", x, W) - centre @ W + b
    rank = pre.argsort(axis=1)[:, ::-1].argsort(axis=1)
    return torch.from_numpy(np.where((rank < k) & (pre > 0), pre, 0.0))


# ---------------------------------------------------------------------------------------------------------- 6.2


def _card(x, z, W, b):
    error, on = x - (z @ W + b), z > 0
    return {
        "variance_explained": float(1 - error.square().sum() / (x - x.mean(0)).square().sum()),
        "l0": float(on.float().sum(1).mean()),
        "dead": float((on.sum(0) == 0).float().mean()),
    }


def _card_with(**entries):
    """A right card, but for the entries given: each a function of (x, latents, W_dec, b_dec)."""
    return lambda *args: _card(*args) | {key: entry(*args) for key, entry in entries.items()}


def _explained(target):
    """variance_explained with another idea of what the error or the spread is."""
    return _card_with(variance_explained=lambda x, z, W, b: float(1 - target(x, z @ W + b, b)))


def _ratio(error, spread):
    return error.square().sum() / spread.square().sum()


def _card_without_l0(*args):
    card = _card(*args)
    del card["l0"]
    return card


def _card_in_place(x, z, W, b):
    x -= b
    return _card(x, z, W, 0 * b)


def _card_by_loop(x, z, W, b):
    mean = [sum(float(v) for v in column) / len(x) for column in x.T]
    error = spread = 0.0
    for row, latents in zip(x, z):
        rebuilt = b.clone()
        for value, direction in zip(latents, W):
            rebuilt = rebuilt + value * direction
        error += sum(float(r - v) ** 2 for r, v in zip(row, rebuilt))
        spread += sum((float(r) - m) ** 2 for r, m in zip(row, mean))
    n_on = [sum(float(v) > 0 for v in row) for row in z]
    dead = [j for j in range(z.shape[1]) if all(float(v) == 0 for v in z[:, j])]
    return {"dead": len(dead) / z.shape[1], "l0": sum(n_on) / len(n_on), "variance_explained": 1 - error / spread}


def _card_numpy(x, z, W, b):
    x, z, W, b = (v.numpy().astype(np.float64) for v in (x, z, W, b))
    left = x - np.einsum("ns,sd->nd", z, W) - b
    return {
        "variance_explained": 1 - np.mean(left**2) / np.mean(np.var(x, axis=0)),
        "l0": np.count_nonzero(z) / len(z),
        "dead": 1 - np.mean(np.any(z, axis=0)),
    }


def _card_of_tensors(x, z, W, b):
    left = x - torch.addmm(b, z, W)
    on = z != 0
    return {
        "variance_explained": 1 - left.pow(2).sum() / (x.var(0, correction=0).sum() * len(x)),
        "l0": on.double().mean() * z.shape[1],
        "dead": (z.amax(0) == 0).double().mean(),
    }


# ---------------------------------------------------------------------------------------------------------- 6.3


def _means(n, *losses):
    return [float((n * loss).sum() / n.sum()) for loss in losses]


def _of_means(formula, weighted=True):
    def answer(n, clean, spliced, ablated):
        return formula(*_means(n if weighted else torch.ones_like(n), clean, spliced, ablated))

    return answer


def _recovered_by_loop(n, clean, spliced, ablated):
    saved = gap = 0.0
    for count, c, s, a in zip(n.tolist(), clean.tolist(), spliced.tolist(), ablated.tolist()):
        saved, gap = saved + count * (a - s), gap + count * (a - c)
    return saved / gap


def _recovered_per_token(n, clean, spliced, ablated):
    """As if every token had its own loss."""
    clean, spliced, ablated = (torch.repeat_interleave(loss, n.long()).mean() for loss in (clean, spliced, ablated))
    return (ablated - spliced) / (ablated - clean)


def _recovered_numpy(n, *losses):
    clean, spliced, ablated = (np.average(loss.numpy().astype(np.float64), weights=n.numpy()) for loss in losses)
    return np.float32(1 - (spliced - clean) / (ablated - clean))


# ---------------------------------------------------------------------------------------------------------- 6.4


def _order(values):
    return values.argsort(descending=True)[: int((values > 0).sum())]


def _draw(part, generator):
    return part[torch.randint(len(part), (1,), generator=generator)]


def _spread(values, n, generator, order=_order, parts=lambda order, n: order.tensor_split(n), draw=_draw):
    return torch.cat([draw(part, generator) for part in parts(order(values), n)])


def _all_sorted(values):
    return values.argsort(descending=True)


def _weakest_first(values):
    return _order(values).flip(0)


def _text_order(values):
    return values.nonzero().flatten()


def _ranks_only(values):
    return torch.arange(int((values > 0).sum()))


def _places_in_list(values):
    return values[values > 0].argsort(descending=True)


def _equal_steps(values, n, generator):
    edges = torch.linspace(float(values.max()), 0, n + 1)
    parts = [((values <= high) & (values > low)).nonzero().flatten() for high, low in zip(edges, edges[1:])]
    return torch.cat([_draw(part, generator) for part in parts])


def _floor_parts(order, n):
    size = len(order) // n
    return [order[i * size : (i + 1) * size] for i in range(n)]


def _big_last_part(order, n):
    size = len(order) // n
    return [order[i * size : (i + 1) * size if i < n - 1 else len(order)] for i in range(n)]


def _one_draw(values, n, generator):
    parts = _order(values).tensor_split(n)
    at = int(torch.randint(len(parts[-1]), (1,), generator=generator))
    return torch.stack([part[at] for part in parts])


def _anywhere(values, n, generator):
    order = _order(values)
    return order[torch.randperm(len(order), generator=generator)[:n].sort().values]


def _spread_in_place(values, n, generator):
    tokens = _spread(values, n, generator)
    values[tokens] = 0
    return tokens


def _spread_numpy(values, n, generator):
    values = values.numpy()
    on = [i for i in np.argsort(-values) if values[i] > 0]
    parts = np.array_split(np.array(on), n)
    return torch.tensor([int(part[int(len(part) * torch.rand(1, generator=generator))]) for part in parts])


def _spread_by_sorting(values, n, generator):
    on = sorted(((float(v), i) for i, v in enumerate(values) if v > 0), reverse=True)
    bounds = [round(i * len(on) / n) for i in range(n + 1)]
    chosen = []
    for low, high in zip(bounds, bounds[1:]):
        chosen.append(on[low + int(torch.randperm(high - low, generator=generator)[0])][1])
    return torch.tensor(chosen, dtype=torch.int32)


# ---------------------------------------------------------------------------------------------------------- 6.5


def _rates(on, wanted):
    return on[wanted].double().mean(0), on[~wanted].double().mean(0)


def _scores(on, wanted):
    hits, alarms = _rates(on, wanted)
    return (hits + 1 - alarms) / 2


def _precision(on, wanted):
    return on[wanted].sum(0) / on.sum(0)


def _precision_safe(on, wanted):
    return on[wanted].sum(0) / on.sum(0).clamp_min(1)


def _scores_by_row(on, wanted):
    return (on & wanted[:, None]).float().mean(1)


def _scores_in_place(on, wanted):
    on[wanted] = ~on[wanted]
    return 1 - (on[wanted].float().mean(0) + on[~wanted].float().mean(0)) / 2


def _scores_by_product(on, wanted):
    w, z = wanted.float(), on.float()
    return 0.5 + 0.5 * (w @ z / w.sum() - (1 - w) @ z / (1 - w).sum())


def _scores_by_loop(on, wanted):
    out = []
    for latent in on.T.tolist():
        hits = [fires for fires, is_it in zip(latent, wanted.tolist()) if is_it]
        quiet = [not fires for fires, is_it in zip(latent, wanted.tolist()) if not is_it]
        out.append((sum(hits) / len(hits) + sum(quiet) / len(quiet)) / 2)
    return torch.tensor(out, dtype=torch.float64)


def _scores_einsum(on, wanted):
    kind = torch.stack([wanted, ~wanted]).float()
    right = torch.stack([on, ~on]).float()
    return (torch.einsum("kn,kns->ks", kind, right) / kind.sum(1, keepdim=True)).mean(0)


# ---------------------------------------------------------------------------------------------------------- 6.6


def _both(search_on, search_wanted, exam_on, exam_wanted):
    return _scores(search_on, search_wanted), _scores(exam_on, exam_wanted)


def _pooled(search_on, search_wanted, exam_on, exam_wanted):
    return _scores(torch.cat([search_on, exam_on]), torch.cat([search_wanted, exam_wanted]))


def _chosen(by):
    """Choose by something, then report that latent's two scores."""

    def answer(*given):
        search, exam = _both(*given)
        latent = int(by(*given).argmax())
        return latent, float(search[latent]), float(exam[latent])

    return answer


_right_search = _chosen(lambda *given: _both(*given)[0])


def _reported(change):
    """The right latent, with something else reported of it: change(search, exam, latent, given) -> three things."""
    return lambda *given: change(*_both(*given), int(_both(*given)[0].argmax()), given)


def _accuracy(on, wanted):
    return (on == wanted[:, None]).double().mean(0)


def _search_in_place(search_on, search_wanted, exam_on, exam_wanted):
    result = _right_search(search_on, search_wanted, exam_on, exam_wanted)
    search_wanted.logical_not_()
    return result


def _search_by_loop(search_on, search_wanted, exam_on, exam_wanted):
    def score(on, wanted, j):
        hit = sum(bool(o[j]) for o, w in zip(on, wanted) if w) / int(wanted.sum())
        alarm = sum(bool(o[j]) for o, w in zip(on, wanted) if not w) / int((~wanted).sum())
        return (hit + 1 - alarm) / 2

    scores = [score(search_on, search_wanted, j) for j in range(search_on.shape[1])]
    best = scores.index(max(scores))
    return [best, scores[best], score(exam_on, exam_wanted, best)]


def _search_tensors(search_on, search_wanted, exam_on, exam_wanted):
    search = _scores_by_product(search_on, search_wanted)
    best = search.topk(1).indices
    return best, search[best], _scores_by_product(exam_on, exam_wanted)[best]


# ---------------------------------------------------------------------------------------------------------- 6.7


def _same(tokens):
    return (tokens[:, None] == tokens[None]).double()


def _others(values, tokens):
    """Mean of the same token's other values (0 where there are none), and which tokens come at least twice."""
    same = _same(tokens).fill_diagonal_(0)
    return same @ values.double() / same.sum(1).clamp_min(1), same.sum(1) > 0


def _shares(formula):
    """formula(v, mean of others, all values) on the tokens that come at least twice."""

    def answer(values, tokens):
        others, keep = _others(values, tokens)
        return float(formula(values.double()[keep], others[keep], values.double()))

    return answer


def _ss(v, centre):
    return (v - centre).square().sum()


def _with_itself(values, tokens, twice=True):
    same, values = _same(tokens), values.double()
    own = same @ values / same.sum(1)
    keep = (same.sum(1) > 1) | (not twice)
    v = values[keep]
    return float(1 - _ss(v, own[keep]) / _ss(v, v.mean()))


def _with_once(values, tokens):
    others, _ = _others(values, tokens)
    return float(1 - _ss(values, others) / _ss(values, values.mean()))


def _once_get_the_mean(values, tokens):
    others, keep = _others(values, tokens)
    others = torch.where(keep, others, values.mean())
    return float(1 - _ss(values, others) / _ss(values, values.mean()))


def _everything_else(values, tokens, twice=True):
    keep = _others(values, tokens)[1] | (not twice)
    v = values[keep]
    return float(1 - _ss(v, ((values.sum() - values) / (len(values) - 1))[keep]) / _ss(v, v.mean()))


def _divides_by_nothing(values, tokens):
    same = _same(tokens).fill_diagonal_(0)
    others = same @ values.double() / same.sum(1)
    return float(1 - _ss(values, others) / _ss(values, values.mean()))


def _python_divides_by_nothing(values, tokens):
    missing = 0.0
    for i, token in enumerate(tokens):
        others = [float(v) for j, v in enumerate(values) if j != i and tokens[j] == token]
        missing += (float(values[i]) - sum(others) / len(others)) ** 2
    return 1 - missing / float(_ss(values, values.mean()))


def _medians(values, tokens):
    v, guess = [], []
    for i, token in enumerate(tokens):
        others = [float(values[j]) for j in range(len(tokens)) if j != i and tokens[j] == token]
        if others:
            v, guess = [*v, float(values[i])], [*guess, float(np.median(others))]
    v, guess = torch.tensor(v), torch.tensor(guess)
    return float(1 - _ss(v, guess) / _ss(v, v.mean()))


def _by_count(values, tokens, twice=True):
    same, values = _same(tokens), values.double()
    keep = (same.sum(1) > 1) | (not twice)
    guess, v = ((same @ values - values) / same.sum(1))[keep], values[keep]
    return float(1 - _ss(v, guess) / _ss(v, v.mean()))


def _share_by_token(values, tokens):
    groups = [values[tokens == token] for token in tokens.unique()]
    shares = [1 - _ss(g, (g.sum() - g) / (len(g) - 1)) / _ss(g, g.mean()) for g in groups if len(g) > 1]
    return float(sum(shares) / len(shares))


def _three_and_more(values, tokens):
    keep = _same(tokens).sum(1) > 2
    return _explained_by_loop(values[keep], tokens[keep])


def _from_the_last(values, tokens):
    last, v, guess = {}, [], []
    for value, token in zip(values.tolist(), tokens.tolist()):
        if token in last:
            v, guess = [*v, value], [*guess, last[token]]
        last[token] = value
    v = np.array(v)
    return float(1 - ((v - guess) ** 2).sum() / ((v - v.mean()) ** 2).sum())


def _token_in_place(values, tokens):
    result = _explained_by_loop(values, tokens)
    values -= values.mean()
    return result


def _explained_by_loop(values, tokens):
    groups = {}
    for v, token in zip(values.tolist(), tokens.tolist()):
        groups.setdefault(token, []).append(v)
    groups = [group for group in groups.values() if len(group) > 1]
    everyone = [v for group in groups for v in group]
    mean = sum(everyone) / len(everyone)
    missing = sum((v - (sum(group) - v) / (len(group) - 1)) ** 2 for group in groups for v in group)
    return 1 - missing / sum((v - mean) ** 2 for v in everyone)


def _explained_numpy(values, tokens):
    v, t = values.numpy().astype(np.float64), tokens.numpy()
    counts = np.bincount(t)[t]
    means = np.bincount(t, weights=v)[t] / counts
    v, means, counts = v[counts > 1], means[counts > 1], counts[counts > 1]
    # Leaving a value out moves it away from its group's mean by n / (n - 1).
    return 1 - np.mean(((v - means) * counts / (counts - 1)) ** 2) / np.var(v)


# ---------------------------------------------------------------------------------------------------------- 6.8


def _really_counting(hits, false_alarms, base_rate):
    concept = 1_000_000 * base_rate
    right, wrong = concept * hits, (1_000_000 - concept) * false_alarms
    return right / (right + wrong)


def _really_by_odds(hits, false_alarms, base_rate):
    odds = torch.tensor(hits / false_alarms, dtype=torch.float64) * base_rate / (1 - base_rate)
    return odds / (1 + odds)


# ---------------------------------------------------------------------------------------------------------- 6.9


def _less(acts, values, row, times=1.0, keep=lambda part: part[:, 0].zero_()):
    part = values[..., None] * row
    keep(part)
    return acts - times * part


def _nothing_kept(part):
    return part


def _project(acts, values, row):
    unit = row / row.norm()
    part = (acts @ unit)[..., None] * unit
    part[:, 0] = 0
    return acts - part


def _project_where_on(acts, values, row):
    part = (acts @ row)[..., None] * row / row.square().sum()
    return acts - part * (values > 0)[..., None]


def _cleared(acts, values, row):
    out = acts.clone()
    out[values > 0] = 0
    return out


def _less_in_place(acts, values, row):
    out = acts
    out[:, 1:] -= values[:, 1:, None] * row
    return out


def _less_einsum(acts, values, row):
    out = acts.clone()
    out[:, 1:] -= torch.einsum("bp,d->bpd", values[:, 1:], row)
    return out


def _less_by_loop(acts, values, row):
    out = torch.empty(acts.shape, dtype=torch.float64)
    for b in range(acts.shape[0]):
        for p in range(acts.shape[1]):
            out[b, p] = acts[b, p] - (values[b, p] * row if p > 0 else 0)
    return out


def _less_masked(acts, values, row):
    start = torch.arange(acts.shape[1]) == 0
    return torch.addcmul(acts, values.masked_fill(start, 0.0).unsqueeze(-1), row, value=-1)


# --------------------------------------------------------------------------------------------------------- 6.10


def _unit(rows):
    return rows / rows.norm(dim=1, keepdim=True)


def _cosines(mine, others):
    return _unit(mine) @ _unit(others).T


def _columns(rows):
    return rows / rows.norm(dim=0)


def _over_square(rows):
    return rows / rows.square().sum(1, keepdim=True)


def _partner_by(pick):
    """The cosine with a partner picked in some way."""
    return lambda mine, others: _cosines(mine, others)[torch.arange(len(mine)), pick(mine, others)]


def _cosines_in_place(mine, others):
    mine /= mine.norm(dim=1, keepdim=True)
    return (mine @ _unit(others).T).amax(1)


def _cosines_by_loop(mine, others):
    best = [max(float(a @ b) / float(a.norm() * b.norm()) for b in others) for a in mine]
    return torch.tensor(best, dtype=torch.float64)


def _cosines_einsum(mine, others):
    dots = torch.einsum("nd,md->nm", mine, others)
    lengths = torch.einsum("nd,nd->n", mine, mine)[:, None] * torch.einsum("md,md->m", others, others)
    return (dots / lengths.sqrt()).sort(dim=1).values[:, -1]


def _cosines_broadcast(mine, others):
    return torch.nn.functional.cosine_similarity(mine.unsqueeze(1), others.unsqueeze(0), dim=-1).max(dim=1).values


def _at_least_the_kth(pre, k):
    return torch.where(pre >= pre.topk(k, -1).values[:, -1:], pre, 0).relu()


def _columns_put_in_rows(x, W_enc, b_enc, b_dec, k):
    pre = (x - b_dec) @ W_enc + b_enc
    values, places = pre.topk(min(k, len(pre)), dim=0)
    return torch.zeros_like(pre).scatter(-1, places, values.relu())


def _on_only(values, tokens):
    return _explained_by_loop(values[values > 0], tokens[values > 0])


def _one_to_one(mine, others):
    table = _cosines(mine, others)
    if len(mine) > len(others):
        return table.amax(1)
    rows, columns = linear_sum_assignment(-table.numpy())
    return table[rows, columns]


WRONG = {
    "6.1": [
        ("b_enc after the choice", _b_enc_late, "You chose before b_enc was added"),
        ("b_enc wakes others", lambda *a: _b_enc_late(*a, everywhere=True), "and wakes others"),
        ("largest of the negative", lambda x, W, b, c, k: _top((c - x) @ W - b, k).relu(), "Keep the k largest."),
        ("one threshold", lambda x, W, b, c, k: _above_one((x - c) @ W + b), "One threshold was used"),
        ("rows for columns", _rows_for_columns, "picks rows"),
        ("b_dec on the latents", lambda x, W, b, c, k: _top(x @ W + b, k).relu() + c, "b_dec has d_model numbers"),
        ("twice the size", lambda *a: 2 * _latents(*a), "the right ones are on, with wrong values"),
        ("b_dec not taken off", lambda *a: _latents(*a, sign=0), "b_dec isn't taken off"),
        ("b_dec added", lambda *a: _latents(*a, sign=1), "You added b_dec to x"),
        ("no b_enc", lambda *a: _latents(*a, bias=0), "b_enc is missing"),
        ("b_enc taken off", lambda *a: _latents(*a, bias=-1), "You took b_enc off"),
        ("no biases", lambda *a: _latents(*a, sign=0, bias=0), "Both biases are missing"),
        ("no ReLU", lambda *a: _latents(*a, relu=False), "Some latents are negative"),
        ("by size", lambda *a: _by_size(*a, relu=True), "You chose by absolute size"),
        ("by size, negatives kept", lambda *a: _by_size(*a, relu=False), "A strongly negative pre-activation"),
        ("plain ReLU", lambda x, W, b, c, k: ((x - c) @ W + b).relu(), "that is a plain ReLU"),
        ("nothing cut", lambda x, W, b, c, k: (x - c) @ W + b, "These are the pre-activations"),
        ("each column its k", lambda *a: _latents(*a, dim=0), "Each column kept its k best rows. Each *row*"),
        ("each column, no ReLU", lambda *a: _latents(*a, dim=0, relu=False), "negative ones too"),
        ("one too many", lambda *a: _latents(*a, more=1), "There are k + 1"),
        ("strictly above the k-th", _strictly_above, "only k - 1 latents"),
        ("BatchTopK", _share_places, "that is BatchTopK"),
        ("the smallest", lambda x, W, b, c, k: _top((x - c) @ W + b, k, largest=False), "You kept the k smallest"),
        ("a mask", lambda *a: (_latents(*a) > 0).float(), "This marks which latents"),
        ("True and False", lambda *a: _latents(*a, relu=False) != 0, "Return their values, with 0"),
        ("only k numbers", lambda x, W, b, c, k: ((x - c) @ W + b).topk(k).values.relu(), "Only k numbers a row"),
        ("topk as it comes", lambda x, W, b, c, k: ((x - c) @ W + b).topk(k), "topk gives two things"),
        ("packed to the left", _packed_left, "their places aren't"),
        ("k typed in", lambda x, W, b, c, k: _latents(x, W, b, c, 3), "wrong for k = 1"),
        ("ties kept", lambda x, W, b, c, k: _at_least_the_kth((x - c) @ W + b, k), "Where two latents tie"),
        ("topk by columns", _columns_put_in_rows, "put back as if of a row"),
        ("W_enc turned round", lambda x, W, b, c, k: (x - c) @ W.T + b, "so the rows come first"),
        ("the input", lambda x, *a: x.clone(), "Your result has shape (6, 5)"),
        ("noise", _noise(6, 9), "whatever `x` is"),
        ("changes x", _encode_in_place, "changed its input"),
    ],
    "6.2": [
        ("var of both", _explained(lambda x, r, b: (x - r).var() / x.var()), "And don't take the error's own mean"),
        (
            "no b_dec, about zero",
            _explained(lambda x, r, b: _ratio(x - (r - b), x)),
            "b_dec out of the reconstruction, and",
        ),
        ("b_dec taken off", _explained(lambda x, r, b: _ratio(x - (r - 2 * b), x - x.mean(0))), "takes b_dec off"),
        ("mean of each row", _explained(lambda x, r, b: _ratio(x - r, x - x.mean(1)[:, None])), "each row's mean"),
        ("about b_dec", _explained(lambda x, r, b: _ratio(x - r, x - b)), "measures x from b_dec"),
        (
            "squared correlation",
            _explained(lambda x, r, b: 1 - np.corrcoef(x.flatten(), r.flatten())[0, 1] ** 2),
            "a squared correlation",
        ),
        (
            "spread of both",
            _explained(lambda x, r, b: 1 - _ratio(r - r.mean(0), x - x.mean(0))),
            "the *reconstruction* varies",
        ),
        (
            "per cent",
            _explained(lambda x, r, b: 100 * _ratio(x - r, x - x.mean(0)) - 99),
            "variance_explained is in per cent",
        ),
        ("l0 of live tokens", _card_with(l0=lambda x, z, W, b: (z > 0).sum() / z.any(1).sum()), "l0 leaves out tokens"),
        (
            "l0 of live latents",
            _card_with(l0=lambda x, z, W, b: (z > 0).sum() / z.any(0).sum()),
            "number of living latents",
        ),
        ("dead in per cent", _card_with(dead=lambda *a: 100 * _card(*a)["dead"]), "dead is in per cent"),
        ("dead, a list", _card_with(dead=lambda x, z, W, b: ~z.any(0)), "the value of 'dead'"),
        ("no b_dec", _explained(lambda x, r, b: _ratio(x - (r - b), x - x.mean(0))), "leaves b_dec out"),
        ("about zero", _explained(lambda x, r, b: _ratio(x - r, x)), "measures x from zero"),
        ("one mean", _explained(lambda x, r, b: _ratio(x - r, x - x.mean())), "compares x with one mean"),
        (
            "x.var()",
            _explained(lambda x, r, b: (x - r).square().mean() / x.var()),
            "Each dimension has its own: x.mean(0)",
        ),
        (
            "unexplained",
            _explained(lambda x, r, b: 1 - _ratio(x - r, x - x.mean(0))),
            "the share that is *not* explained",
        ),
        ("n - 1", _explained(lambda x, r, b: (x - r).square().sum(1).mean() / x.var(0).sum()), "mixes n and n - 1"),
        (
            "a ratio a dimension",
            _explained(lambda x, r, b: ((x - r).square().mean(0) / x.var(0, correction=0)).mean()),
            "one ratio a dimension",
        ),
        (
            "a ratio a row",
            _explained(lambda x, r, b: ((x - r).square().sum(1) / (x - x.mean(0)).square().sum(1)).mean()),
            "one ratio a row",
        ),
        (
            "the error centred",
            _explained(lambda x, r, b: (x - r).var(0).sum() / x.var(0).sum()),
            "takes the error's own mean off",
        ),
        ("lengths", _explained(lambda x, r, b: (x - r).norm() / (x - x.mean(0)).norm()), "divides lengths"),
        (
            "absolute errors",
            _explained(lambda x, r, b: (x - r).abs().sum() / (x - x.mean(0)).abs().sum()),
            "adds absolute errors",
        ),
        ("the mean squared error", _explained(lambda x, r, b: 1 - (x - r).square().mean()), "This is the mean squared"),
        ("a constant", _explained(lambda x, r, b: 0.1), "whatever `x` is"),
        ("l0 a share", _card_with(l0=lambda x, z, W, b: (z > 0).float().mean()), "l0 is a share"),
        ("l0 a total", _card_with(l0=lambda x, z, W, b: int((z > 0).sum())), "l0 is a total"),
        ("l0 ever on", _card_with(l0=lambda x, z, W, b: int((z > 0).any(0).sum())), "the latents that are ever on"),
        (
            "l0 a latent",
            _card_with(l0=lambda x, z, W, b: (z > 0).sum(0).float().mean()),
            "the tokens a latent is on for",
        ),
        ("l0 of values", _card_with(l0=lambda x, z, W, b: z.sum(1).mean()), "l0 adds up the latents' values"),
        ("l0 a median", _card_with(l0=lambda x, z, W, b: (z > 0).sum(1).median()), "l0 is a median"),
        ("l0 per token", _card_with(l0=lambda x, z, W, b: (z > 0).sum(1)), "the value of 'l0'"),
        ("dead a count", _card_with(dead=lambda x, z, W, b: int((z == 0).all(0).sum())), "dead is a count"),
        ("share of zeros", _card_with(dead=lambda x, z, W, b: (z == 0).float().mean()), "the share of zeros"),
        ("the living", _card_with(dead=lambda x, z, W, b: z.any(0).float().mean()), "the share of latents that live"),
        ("empty tokens", _card_with(dead=lambda x, z, W, b: (~z.any(1)).float().mean()), "the share of *tokens*"),
        ("ever off", _card_with(dead=lambda x, z, W, b: (z == 0).any(0).float().mean()), "off at least once"),
        (
            "dead by tokens",
            _card_with(dead=lambda x, z, W, b: (z == 0).all(0).sum() / len(z)),
            "divided by the number of tokens",
        ),
        (
            "rare is dead",
            _card_with(dead=lambda x, z, W, b: ((z > 0).float().mean(0) < 0.01).float().mean()),
            "for one token of 400 was called dead",
        ),
        ("l0 above 0.1", _card_with(l0=lambda x, z, W, b: (z > 0.1).sum(1).float().mean()), "by as little as 0.02"),
        ("first row", _card_with(l0=lambda x, z, W, b: int((z[0] > 0).sum())), "l0 is that of the first token"),
        ("plus", _explained(lambda x, r, b: -_ratio(x - r, x - x.mean(0))), "*plus* the unexplained share"),
        ("a key missing", _card_without_l0, "The card has no 'l0'"),
        ("a tuple", lambda *a: tuple(_card(*a).values()), "Return a dictionary"),
        ("changes x", _card_in_place, "changed its input"),
    ],
    "6.3": [
        (
            "divided by n",
            lambda n, c, s, a: float(((a - s) / n).sum() / ((a - c) / n).sum()),
            "You divided by n_tokens",
        ),
        ("lost over saved", _of_means(lambda c, s, a: (s - c) / (a - s)), "This is lost over saved"),
        ("over clean", _of_means(lambda c, s, a: (s - c) / c), "as a share of the clean loss"),
        ("1 - over clean", _of_means(lambda c, s, a: 1 - (s - c) / c), "This compares with the clean loss"),
        (
            "sign, unweighted",
            _of_means(lambda c, s, a: (s - a) / (a - c), weighted=False),
            "Both start from ablated. And",
        ),
        ("not below 0", _of_means(lambda c, s, a: max(0, (a - s) / (a - c))), "has a negative share"),
        ("not above 1", _of_means(lambda c, s, a: min(1, (a - s) / (a - c))), "has a share above 1"),
        ("absolute", _of_means(lambda c, s, a: abs((a - s) / (a - c))), "Leave the sign: no abs"),
        (
            "folded",
            _of_means(lambda c, s, a: max((a - s) / (a - c), (s - c) / (a - c)) if s < a else (a - s) / (a - c)),
            "below a half",
        ),
        ("no spliced", _of_means(lambda c, s, a: a / (a - c)), "The spliced loss isn't used"),
        ("unweighted", _of_means(lambda c, s, a: (a - s) / (a - c), weighted=False), "Each text counts the same"),
        ("lost", _of_means(lambda c, s, a: (s - c) / (a - c)), "This is the share that is *lost*"),
        (
            "lost, unweighted",
            _of_means(lambda c, s, a: (s - c) / (a - c), weighted=False),
            "ablated - spliced. And weight each",
        ),
        ("mean of ratios", lambda n, c, s, a: ((a - s) / (a - c)).mean(), "You averaged the texts' own ratios"),
        (
            "weighted mean of ratios",
            lambda n, c, s, a: (n * (a - s) / (a - c)).sum() / n.sum(),
            "Average the losses first",
        ),
        ("over the whole loss", _of_means(lambda c, s, a: (a - s) / a), "divided by the whole ablated loss"),
        (
            "over the whole, unweighted",
            _of_means(lambda c, s, a: (a - s) / a, weighted=False),
            "ablated - clean. And weight each",
        ),
        ("upside down", _of_means(lambda c, s, a: (a - c) / (a - s)), "upside down"),
        ("sign", _of_means(lambda c, s, a: (s - a) / (a - c)), "The sign is wrong"),
        ("other gap", _of_means(lambda c, s, a: (a - s) / (s - c)), "The denominator is spliced - clean"),
        ("a ratio of losses", _of_means(lambda c, s, a: c / s), "one loss over another"),
        ("nats", _of_means(lambda c, s, a: a - s), "a difference in nats"),
        ("perplexities", _of_means(lambda c, s, a: (np.exp(a) - np.exp(s)) / (np.exp(a) - np.exp(c))), "perplexities"),
        ("per cent", _of_means(lambda c, s, a: 100 * (a - s) / (a - c)), "in per cent"),
        ("one a text", lambda n, c, s, a: (a - s) / (a - c), "One share for each text"),
        ("the input", lambda n, c, s, a: c, "Average each loss over all tokens first"),
        ("a constant", lambda *a: 0.98, "That isn't the share"),
    ],
    "6.4": [
        ("a seed inside", lambda v, n, g: _spread(v, n, g.manual_seed(0)), "or a seed is set inside"),
        ("by chance, by strength", lambda v, n, g: torch.multinomial(v, n, generator=g), "Sort, cut into n parts"),
        ("off ones too", lambda *a: _spread(*a, order=_all_sorted), "the latent is off there"),
        ("the strongest", lambda v, n, g: _order(v)[:n], "the n strongest, every time"),
        ("the weakest", lambda v, n, g: _order(v)[-n:], "the n weakest, every time"),
        ("weakest first", lambda *a: _spread(*a, order=_weakest_first), "The weakest part comes first"),
        ("mixed up", lambda *a: _spread(*a)[[2, 0, 3, 1]], "but not in order"),
        ("in text order", lambda *a: _spread(*a, order=_text_order), "follow the order of the text"),
        ("equal steps", _equal_steps, "equal steps of *strength*"),
        ("places by strength", lambda *a: _spread(*a, order=_ranks_only), "places in your list"),
        ("places in the list", lambda *a: _spread(*a, order=_places_in_list), "Look up in that list"),
        ("values", lambda v, n, g: v[_spread(v, n, g)], "These are the latent's values"),
        ("anywhere", _anywhere, "holds numbers"),
        ("the first of each", lambda *a: _spread(*a, draw=lambda part, g: part[:1]), "The same tokens came"),
        ("the middle", lambda *a: _spread(*a, draw=lambda p, g: p[[len(p) // 2]]), "nothing is drawn"),
        (
            "no generator",
            lambda *a: _spread(*a, draw=lambda part, g: part[torch.randint(len(part), (1,))]),
            "pass generator=generator",
        ),
        (
            "Python's random",
            lambda *a: _spread(*a, draw=lambda part, g: part[[random.randrange(len(part))]]),
            "Two generators with the same seed",
        ),
        (
            "never the last",
            lambda *a: _spread(*a, draw=lambda p, g: p[torch.randint(max(1, len(p) - 1), (1,), generator=g)]),
            "leaves its upper end out",
        ),
        ("one draw for all", _one_draw, "One draw serves all parts"),
        ("chunk", lambda *a: _spread(*a, parts=lambda o, n: o.chunk(n)), "If you cut with torch.chunk"),
        ("the rest is lost", lambda *a: _spread(*a, parts=_floor_parts), "the weakest can never be drawn"),
        ("the rest in the last", lambda *a: _spread(*a, parts=_big_last_part), "as nearly equal in count"),
        ("a column", lambda *a: _spread(*a)[:, None], "Each draw is a list of one"),
        ("between tokens", lambda *a: _spread(*a) + 0.5, "Token indices are whole numbers"),
        ("the input", lambda v, n, g: v.clone(), "One token from each of the n parts"),
        ("a constant", lambda v, n, g: torch.zeros(n, dtype=torch.long), "Keep the tokens with values > 0"),
        ("beyond the end", lambda v, n, g: _spread(v, n, g) + len(v), "indices run from 0"),
        ("changes values", _spread_in_place, "changed its input"),
    ],
    "6.5": [
        ("misses", lambda on, w: (2 - sum(_rates(on, w))) / 2, "Misses were counted as hits"),
        ("brackets", lambda on, w: _rates(on, w)[0] + (1 - _rates(on, w)[1]) / 2, "Only a part is halved"),
        (
            "other brackets",
            lambda on, w: _rates(on, w)[0] + 1 - _rates(on, w)[1] / 2,
            "Only the false alarms are halved",
        ),
        (
            "hits of all latents",
            lambda on, w: (_rates(on, w)[0].mean() + 1 - _rates(on, w)[1]) / 2,
            "over all latents as well",
        ),
        (
            "alarms of all latents",
            lambda on, w: (_rates(on, w)[0] + 1 - _rates(on, w)[1].mean()) / 2,
            "One of the shares",
        ),
        (
            "one number",
            lambda on, w: (_rates(on, w)[0].mean() + 1 - _rates(on, w)[1].mean()) / 2,
            "Your result has shape ()",
        ),
        (
            "alarms of its firings",
            lambda on, w: (_rates(on, w)[0] + 1 - on[~w].sum(0) / on.sum(0).clamp_min(1e-9)) / 2,
            "the other side of precision",
        ),
        (
            "hits and precision",
            lambda on, w: (_rates(on, w)[0] + _precision_safe(on, w)) / 2,
            "a share of the latent's *firings*",
        ),
        ("F1", lambda on, w: 2 * on[w].sum(0) / (on.sum(0) + w.sum()), "This is an overlap"),
        ("Jaccard", lambda on, w: on[w].sum(0) / (on | w[:, None]).sum(0), "that of the others apart"),
        (
            "1 - True",
            lambda on, w: (on[w].float().mean(0) + (1 - on[~w]).float().mean(0)) / 2,
            "~ turns True into False",
        ),
        ("columns for rows", lambda on, w: on[:, w].float().mean(0), "choose rows with on[wanted]"),
        ("the wanted rows", lambda on, w: on[w].float().mean(1), "Average over tokens (axis 0)"),
        ("plain accuracy", lambda on, w: (on == w[:, None]).float().mean(0), "This is plain accuracy"),
        ("hits", lambda on, w: _rates(on, w)[0], "the share of hits alone"),
        ("1 - alarms", lambda on, w: 1 - _rates(on, w)[1], "1 - false alarms alone"),
        ("alarms", lambda on, w: _rates(on, w)[1], "the share of false alarms alone"),
        ("a difference", lambda on, w: _rates(on, w)[0] - _rates(on, w)[1], "This is hits - false alarms"),
        ("half a difference", lambda on, w: (_rates(on, w)[0] - _rates(on, w)[1]) / 2, "The 1 is missing"),
        ("no half", lambda on, w: 2 * _scores(on, w), "The half is missing"),
        ("alarms as hits", lambda on, w: sum(_rates(on, w)) / 2, "in a latent's favour"),
        ("swapped", lambda on, w: _scores(on, ~w), "hits and false alarms are swapped"),
        ("folded", lambda on, w: (_scores(on, w) - 0.5).abs() + 0.5, "Scores below 0.5 were turned round"),
        (
            "alarms of all",
            lambda on, w: (_rates(on, w)[0] + 1 - on[~w].sum(0) / len(on)) / 2,
            "False alarms are a share of *all*",
        ),
        (
            "hits of all",
            lambda on, w: (on[w].sum(0) / len(on) + 1 - _rates(on, w)[1]) / 2,
            "Hits are a share of *all*",
        ),
        (
            "both of all",
            lambda on, w: (on[w].sum(0) / len(on) + 1 - on[~w].sum(0) / len(on)) / 2,
            "Both are shares of *all*",
        ),
        ("precision", _precision_safe, "This is precision"),
        ("precision, NaN", _precision, "the share of its firings that are right"),
        ("a token", _scores_by_row, "One number for each token"),
        ("mean of True", lambda on, w: on[w].mean(0), "turn them into numbers with .float()"),
        ("wanted against latents", lambda on, w: (on & w).float().mean(0), "`wanted` has one entry a row"),
        ("the input", lambda on, w: on, "Your result has shape (13, 6)"),
        ("noise", _noise(6), "These aren't the scores"),
        ("a constant", lambda on, w: torch.full((on.shape[1],), 0.5), "Every latent gets 0.5"),
        ("changes on", _scores_in_place, "changed its input"),
    ],
    "6.6": [
        ("by precision", _chosen(lambda on, w, *_: on[w].sum(0) / on.sum(0)), "has the best precision"),
        ("by F1", _chosen(lambda on, w, *_: on[w].sum(0) / (on.sum(0) + w.sum())), "has the best overlap"),
        (
            "accuracies",
            lambda *g: (_right_search(*g)[0], _accuracy(*g[:2])[_right_search(*g)[0]], 0.5),
            "Its search score is plain accuracy",
        ),
        (
            "exam accuracy",
            _reported(lambda s, e, i, g: (i, s[i], _accuracy(*g[2:])[i])),
            "The last score is plain accuracy",
        ),
        (
            "exam hits",
            _reported(lambda s, e, i, g: (i, s[i], g[2][g[3]].double().mean(0)[i])),
            "The last score is hits alone",
        ),
        ("the fall", _reported(lambda s, e, i, g: (i, s[i], s[i] - e[i])), "how far the score falls"),
        ("max as it comes", _reported(lambda s, e, i, g: (s.max(0), s[i], e[i])), "max along an axis gives two things"),
        ("chosen on the exam", _chosen(lambda *g: _both(*g)[1]), "was chosen on the *exam*"),
        ("chosen on both", _chosen(_pooled), "search and exam tokens *together*"),
        ("chosen by the sum", _chosen(lambda *g: sum(_both(*g))), "The exam must not help"),
        ("by accuracy", _chosen(lambda on, w, *_: (on == w[:, None]).float().mean(0)), "the best plain accuracy"),
        ("by hits", _chosen(lambda on, w, *_: on[w].float().mean(0)), "has the most hits"),
        ("the worst", _chosen(lambda *g: -_both(*g)[0]), "has the *lowest* search score"),
        ("farthest from 0.5", _chosen(lambda *g: (_both(*g)[0] - 0.5).abs()), "don't take distances from 0.5"),
        ("found twice", _reported(lambda s, e, i, g: (i, s[i], s[i])), "The search score was returned twice"),
        ("exam twice", _reported(lambda s, e, i, g: (i, e[i], e[i])), "The exam score was returned twice"),
        ("the exam's best", _reported(lambda s, e, i, g: (i, s[i], e.max())), "the best score any latent has"),
        ("tested on both", _reported(lambda s, e, i, g: (i, s[i], _pooled(*g)[i])), "It must come from exam tokens"),
        ("exam mean", _reported(lambda s, e, i, g: (i, s[i], e.mean())), "the mean over all latents"),
        ("turned round", _reported(lambda s, e, i, g: (i, s[i], 1 - e[i])), "a score below 0.5 was turned round"),
        ("found on both", _reported(lambda s, e, i, g: (i, _pooled(*g)[i], e[i])), "its search score isn't"),
        ("differences", _reported(lambda s, e, i, g: (i, 2 * s[i] - 1, 2 * e[i] - 1)), "Its scores are hits - false"),
        ("order", _reported(lambda s, e, i, g: (i, e[i], s[i])), "Right numbers, other order"),
        ("latent last", _reported(lambda s, e, i, g: (s[i], e[i], i)), "Return the latent, then its search score"),
        (
            "a score for a number",
            _reported(lambda s, e, i, g: (s.min(), s[i], e[i])),
            "expected the number of a latent",
        ),
        ("two things", _reported(lambda s, e, i, g: (i, s[i])), "Return three things"),
        ("all scores", _reported(lambda s, e, i, g: (i, s, e)), "its score on the search tokens"),
        ("a constant", lambda *g: (8, 0.9, 0.6), "and another scores"),
        ("right number, made-up scores", _reported(lambda s, e, i, g: (i, s[i], 0.6)), "The exam score is 0.600"),
        ("changes wanted", _search_in_place, "changed its input"),
        ("present in the exam", _chosen(lambda *g: _both(*g)[0] * g[2].any(0)), "where your latent is never on"),
        ("ties by the exam", _chosen(lambda *g: _both(*g)[0] + 1e-4 * _both(*g)[1]), "the *exam* decided between"),
        ("folded", _reported(lambda s, e, i, g: (i, s[i], max(e[i], 1 - e[i]))), "was turned round. Report"),
    ],
    "6.7": [
        ("n for n - 1", _by_count, "Leaving one out of n values"),
        ("n for n - 1, once too", lambda v, t: _by_count(v, t, twice=False), "not n. Tokens that occur once"),
        ("mean squared error", _shares(lambda v, o, a: (v - o).square().mean()), "This is the mean squared error"),
        (
            "1 - mean squared error",
            _shares(lambda v, o, a: 1 - (v - o).square().mean()),
            "1 minus the mean squared error",
        ),
        ("a share a token", _share_by_token, "You took one share a token"),
        ("three and more", _three_and_more, "Tokens that occur twice were left out"),
        ("the last one", _from_the_last, "from the last occurrence only"),
        ("itself", _with_itself, "The token predicts itself"),
        ("itself, once too", lambda v, t: _with_itself(v, t, twice=False), "its own value is in the mean"),
        ("once counted", _with_once, "Tokens that occur once are counted"),
        ("once get the mean", _once_get_the_mean, "leave them out, above and below"),
        ("spread of all", _shares(lambda v, o, a: 1 - _ss(v, o) / _ss(a, a.mean())), "The denominator counts tokens"),
        ("mean of all", _shares(lambda v, o, a: 1 - _ss(v, o) / _ss(v, a.mean())), "The mean in the denominator"),
        ("unexplained", _shares(lambda v, o, a: _ss(v, o) / _ss(v, v.mean())), "the share that is *not* explained"),
        ("about zero", _shares(lambda v, o, a: 1 - _ss(v, o) / _ss(v, 0)), "The denominator measures from zero"),
        ("correlation", _shares(lambda v, o, a: np.corrcoef(v, o)[0, 1]), "This is a correlation"),
        ("squared correlation", _shares(lambda v, o, a: np.corrcoef(v, o)[0, 1] ** 2), "This is a squared correlation"),
        ("everything else", _everything_else, "You averaged everything else"),
        ("everything else, all", lambda v, t: _everything_else(v, t, twice=False), "other occurrences of the *same*"),
        (
            "n - 1",
            _shares(lambda v, o, a: 1 - (v - o).square().mean() / v.var()),
            "n and n - 1 are mixed",
        ),
        (
            "absolute",
            _shares(lambda v, o, a: 1 - (v - o).abs().sum() / (v - v.mean()).abs().sum()),
            "The differences aren't squared",
        ),
        ("a root", _shares(lambda v, o, a: 1 - (_ss(v, o) / _ss(v, v.mean())).sqrt()), "a square root too many"),
        ("medians", _medians, "You took the median"),
        (
            "prediction against mean",
            _shares(lambda v, o, a: 1 - _ss(o, v.mean()) / _ss(v, v.mean())),
            "You compared the prediction with the mean",
        ),
        (
            "spread of predictions",
            _shares(lambda v, o, a: _ss(o, v.mean()) / _ss(v, v.mean())),
            "how much the *predictions* vary",
        ),
        ("NaN", _divides_by_nothing, "has no other occurrence to learn from"),
        ("division by zero", _python_divides_by_nothing, "ZeroDivisionError"),
        ("one a token", lambda v, t: v - _others(v, t)[0], "expected one number"),
        ("a constant", lambda v, t: 0.5, "That isn't the share"),
        ("changes values", _token_in_place, "changed its input"),
        (
            "not below 0",
            _shares(lambda v, o, a: max(0, 1 - _ss(v, o) / _ss(v, v.mean()))),
            "predict worse than the mean",
        ),
        ("where it is on", lambda v, t: _on_only(v, t), "Only tokens the latent is on for"),
        ("about the median", _shares(lambda v, o, a: 1 - _ss(v, o) / _ss(v, v.median())), "from their median. Take"),
    ],
    "6.8": [
        ("misses", lambda h, f, b: 1 - h, "the share of the concept it misses"),
        ("quiet share", lambda h, f, b: 1 - f, "other tokens it stays off for"),
        ("hits taken for 1", lambda h, f, b: b / (b + f * (1 - b)), "The hits aren't used"),
        ("misses as alarms", lambda h, f, b: h * b / (h * b + (1 - h) * (1 - b)), "1 - hits are misses"),
        (
            "about the quiet ones",
            lambda h, f, b: (1 - f) * (1 - b) / ((1 - f) * (1 - b) + (1 - h) * b),
            "about the tokens where it stays off",
        ),
        ("hits - alarms", lambda h, f, b: h - f, "whatever the base rate"),
        ("over the alarms", lambda h, f, b: h * b / f, "right ones over false_alarms"),
        ("brackets", lambda h, f, b: h * b / h * b + f * (1 - b), "Brackets are missing"),
        ("rounded", lambda h, f, b: round(h * b / (h * b + f * (1 - b)), 2), "right but rounded"),
        ("no base rate", lambda h, f, b: h / (h + f), "The base rate has no effect"),
        ("base on both", lambda h, f, b: h * b / (h * b + f * b), "Hits come from base_rate of the tokens"),
        ("alarms unweighted", lambda h, f, b: h * b / (h * b + f), "The false alarms aren't weighted"),
        ("hits unweighted", lambda h, f, b: h / (h + f * (1 - b)), "The hits aren't weighted"),
        ("hits", lambda h, f, b: h, "The question runs the other way"),
        ("false alarms", lambda h, f, b: f, "This is false_alarms"),
        ("base rate", lambda h, f, b: b, "This is base_rate, just as"),
        ("the others", lambda h, f, b: f * (1 - b) / (h * b + f * (1 - b)), "the share that is *not* the concept"),
        ("of all tokens", lambda h, f, b: h * b, "This is the share of *all* tokens"),
        ("share on", lambda h, f, b: h * b + f * (1 - b), "the share of tokens it is on for. Put"),
        ("rates swapped", lambda h, f, b: h * (1 - b) / (h * (1 - b) + f * b), "are swapped"),
        ("odds", lambda h, f, b: h * b / (f * (1 - b)), "These are odds"),
        ("a ratio", lambda h, f, b: h / f, "hits over false alarms"),
        ("quiet ones", lambda h, f, b: h * b / (h * b + (1 - f) * (1 - b)), "tokens where it stays off"),
        ("accuracy", lambda h, f, b: h * b + (1 - f) * (1 - b), "This is accuracy over all tokens"),
        ("balanced accuracy", lambda h, f, b: (h + 1 - f) / 2, "This is balanced accuracy"),
        ("a difference", lambda h, f, b: h * b - f * (1 - b), "Wrong ones were taken off"),
        ("per cent", lambda h, f, b: 100 * h * b / (h * b + f * (1 - b)), "This is in per cent"),
        ("noise", lambda h, f, b: random.Random(0).random(), "whatever `hits` is"),
        ("a pair", lambda h, f, b: (h * b, f * (1 - b)), "expected one number"),
    ],
    "6.9": [
        ("turned round", lambda x, v, r: -_less(x, v, r, keep=_nothing_kept), "The signs are turned round"),
        ("twice", lambda *a: _less(*a, times=2), "taken off twice"),
        ("the value alone", lambda x, v, r: x - v[..., None], "off every dimension. Take"),
        ("scaled", lambda x, v, r: x * (1 - v[..., None]), "acts were scaled down"),
        ("positions 0 and 1", lambda *a: _less(*a, keep=lambda part: part[:, :2].zero_()), "Position 1 was left alone"),
        ("summed over positions", lambda x, v, r: x - (v[..., None] * r).sum(1, keepdim=True), "summed over positions"),
        (
            "only the part where on",
            lambda x, v, r: torch.where((v > 0)[..., None], v[..., None] * r, x),
            "you kept only the latent's part",
        ),
        ("position 0 too", lambda *a: _less(*a, keep=_nothing_kept), "Position 0 was changed too"),
        ("added", lambda *a: _less(*a, times=-1), "You added the latent's part. Take it off: acts"),
        ("added everywhere", lambda *a: _less(*a, times=-1, keep=_nothing_kept), "Take it off, and leave position 0"),
        (
            "first text left alone",
            lambda *a: _less(*a, keep=lambda part: part[0].zero_()),
            "The first *text* was left alone. Leave",
        ),
        (
            "both firsts left alone",
            lambda *a: _less(*a, keep=lambda part: (part[0].zero_(), part[:, 0].zero_())),
            "left alone as well",
        ),
        ("only position 0", lambda *a: _less(*a, keep=lambda part: part[:, 1:].zero_()), "Only position 0 was changed"),
        ("last left alone", lambda *a: _less(*a, keep=lambda part: part[:, -1].zero_()), "The last position was left"),
        ("projected out", _project, "You removed the whole direction"),
        ("projected out where on", _project_where_on, "Other latents and the bias"),
        ("once wherever on", lambda x, v, r: _less(x, (v > 0).float(), r), "You took the row off once"),
        ("once everywhere", lambda x, v, r: _less(x, torch.ones_like(v), r), "You took the row off everywhere"),
        ("row of length 1", lambda x, v, r: _less(x, v, r / r.norm()), "You made the row length 1"),
        ("the part", lambda x, v, r: x - _less(x, v, r), "the latent's part alone. Take it off acts."),
        ("the part, everywhere", lambda x, v, r: v[..., None] * r, "the latent's part alone. Take it off acts, and"),
        ("cleared", _cleared, "You cleared the whole activation"),
        ("position 0 set to 0", lambda *a: torch.cat([0 * a[0][:, :1], _less(*a)[:, 1:]], 1), "was set to 0"),
        ("position 0 dropped", lambda *a: _less(*a)[:, 1:], "Position 0 was thrown away"),
        ("shapes", lambda x, v, r: x - v * r, "values needs an axis for d_model"),
        ("the input", lambda x, v, r: x.clone(), "Nothing has changed"),
        ("noise", _noise(3, 5, 4), "These aren't the right activations"),
        ("changes acts", _less_in_place, "changed its input"),
        ("over the row", lambda x, v, r: _less(x, v, 1 / r), "The values are divided by the row"),
        ("position 1", lambda *a: _less(*a, keep=lambda part: part[:, 1].zero_()), "in place of position 0"),
    ],
    "6.10": [
        ("one length", lambda m, o: (m / m.norm() @ (o / o.norm()).T).amax(1), "divided by one number each"),
        (
            "no keepdim",
            lambda m, o: (m / m.norm(dim=1) @ (o / o.norm(dim=1)).T).amax(1),
            "with norm(dim=1, keepdim=True)",
        ),
        (
            "squared lengths",
            lambda m, o: (_over_square(m) @ _over_square(o).T).amax(1),
            "You divided by *squared* lengths",
        ),
        ("squared", lambda m, o: _cosines(m, o).amax(1) ** 2, "These are squared cosines"),
        ("second best", lambda m, o: _cosines(m, o).sort(1).values[:, -2], "These are the second best"),
        ("with itself", lambda m, o: _cosines(m, m).amax(1), "mine was compared with itself"),
        ("dot products", lambda m, o: (m @ o.T).amax(1), "These are dot products"),
        ("only mine", lambda m, o: (_unit(m) @ o.T).amax(1), "Only mine has length 1"),
        ("only others", lambda m, o: (m @ _unit(o).T).amax(1), "Only others has length 1"),
        ("wrong axis", lambda m, o: _cosines(m, o).amax(0), "One number for each row of `others`"),
        ("columns", lambda m, o: (_columns(m) @ _columns(o).T).amax(1), "Columns were made length 1"),
        ("absolute", lambda m, o: _cosines(m, o).abs().amax(1), "You took the sign away"),
        (
            "partner by size",
            _partner_by(lambda m, o: _cosines(m, o).abs().argmax(1)),
            "picked by absolute value",
        ),
        ("partner by dot", _partner_by(lambda m, o: (m @ o.T).argmax(1)), "by another measure than the cosine"),
        ("partner by distance", _partner_by(lambda m, o: torch.cdist(m, o).argmin(1)), "before you pick"),
        ("mean", lambda m, o: _cosines(m, o).mean(1), "This is the mean over all of others"),
        ("worst", lambda m, o: _cosines(m, o).amin(1), "the least similar row"),
        ("sum", lambda m, o: _cosines(m, o).sum(1), "This is a sum over all"),
        ("index", lambda m, o: _cosines(m, o).argmax(1), "the numbers of the nearest rows"),
        ("values and indices", lambda m, o: _cosines(m, o).max(1), "max along an axis gives two things"),
        ("the table", _cosines, "This is the whole table"),
        ("1 - cosine", lambda m, o: 1 - _cosines(m, o).amax(1), "This is 1 minus the cosine"),
        ("distance", lambda m, o: torch.cdist(m, o).amin(1), "These are distances"),
        ("angles", lambda m, o: _cosines(m, o).acos().amin(1), "These are angles"),
        ("row by row", lambda m, o: _cosines(m, o).diagonal(), "Row i was compared with row i"),
        ("not transposed", lambda m, o: (_unit(m) @ _unit(o)).amax(1), "one direction a row"),
        ("best of all", lambda m, o: _cosines(m, o).max(), "One cosine for each row of mine"),
        ("best of all, repeated", lambda m, o: _cosines(m, o).max().repeat(len(m)), "All rows got the same number"),
        ("the input", lambda m, o: m.clone(), "Your result has shape (4, 6)"),
        ("noise", _noise(4), "These aren't the cosines"),
        ("changes mine", _cosines_in_place, "changed its input"),
        ("one to one", _one_to_one, "partners aren't used up"),
        (
            "times the lengths",
            lambda m, o: (m * m.norm(dim=1, keepdim=True) @ _unit(o).T).amax(1),
            "multiplied by the len",
        ),
    ],
}

RIGHT = {
    "6.1": [("row by row", _encode_by_rows), ("numpy, ranks, float64", _encode_numpy)],
    "6.2": [("loops", _card_by_loop), ("numpy, means", _card_numpy), ("0-d tensors", _card_of_tensors)],
    "6.3": [
        ("sums in a loop", _recovered_by_loop),
        ("dot products", lambda n, c, s, a: float((n @ (a - s)) / (n @ (a - c)))),
        ("token by token", _recovered_per_token),
        ("numpy", _recovered_numpy),
    ],
    "6.4": [("numpy, rand", _spread_numpy), ("sorted pairs, rounded bounds, randperm", _spread_by_sorting)],
    "6.5": [("a product", _scores_by_product), ("a loop", _scores_by_loop), ("einsum", _scores_einsum)],
    "6.6": [("a loop, a list", _search_by_loop), ("topk, one-element tensors", _search_tensors)],
    "6.7": [("a dictionary of groups", _explained_by_loop), ("numpy, group means", _explained_numpy)],
    "6.8": [("counting a million tokens", _really_counting), ("odds", _really_by_odds)],
    "6.9": [("einsum", _less_einsum), ("two loops, float64", _less_by_loop), ("masked, addcmul", _less_masked)],
    "6.10": [
        ("a double loop", _cosines_by_loop),
        ("einsum, sorted", _cosines_einsum),
        ("broadcast", _cosines_broadcast),
        ("a list", lambda m, o: _cosines(m, o).amax(1).tolist()),
    ],
}

_CANCELS = "every weight is changed by the same factor, which cancels in the ratio of two differences"
_ONE_AXIS = "there is one axis only, so its first and its last are the same"

EQUIVALENT = {
    "6.1": {
        "dim= dropped | values, columns = pre.topk(k, dim=-1) | 1": "topk goes along the last axis by itself",
        "result made positive | encode_topk": "latents are never below 0",
    },
    "6.3": {
        "Div to Mult | weights = n_tokens / n_tokens.sum() | 1": _CANCELS,
        "second part of Div dropped | weights = n_tokens / n_tokens.sum() | 1": _CANCELS,
        "sum to mean | weights = n_tokens / n_tokens.sum() | 1": _CANCELS,
        "sum to mean | clean, spliced, ablated = ((weights * loss).sum() for loss in (clean, spliced, ablated)) | 1": (
            _CANCELS
        ),
    },
    "6.5": {
        "result made positive | balanced_accuracies": "half a sum of two shares is from 0 to 1",
        "result clamped to [0, 1] | balanced_accuracies": "half a sum of two shares is from 0 to 1",
    },
    "6.6": {
        "0 -> -1 | found, latent = balanced_accuracies(search_on, search_wanted).max(0) | 1": _ONE_AXIS,
    },
    "6.7": {
        "dtype= dropped | sums = torch.zeros(len(counts), dtype=values.dtype).index_add(0, kind, values) | 1": (
            "the lesson's values are float32, the default; its own solution leaves the type out too"
        ),
        "0 -> -1 | sums = torch.zeros(len(counts), dtype=values.dtype).index_add(0, kind, values) | 1": _ONE_AXIS,
    },
}
