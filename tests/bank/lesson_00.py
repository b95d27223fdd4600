"""Wrong and right answers for lesson 00. Each wrong one is a mistake somebody makes, with words that must name it."""

import math

import numpy as np
import torch


# --- 0.1
def no_normalising(logits, temperature):
    return torch.exp(logits / temperature)


def multiplies(logits, temperature):
    return torch.softmax(logits * temperature, dim=-1)


def ignores_temperature(logits, temperature):
    return torch.softmax(logits, dim=-1)


def overflows(logits, temperature):
    weights = torch.exp(logits / temperature)
    return weights / weights.sum(-1, keepdim=True)


def wrong_axis(logits, temperature):
    return torch.softmax(logits / temperature, dim=0)


def over_everything(logits, temperature):
    weights = torch.exp(logits / temperature - (logits / temperature).max())
    return weights / weights.sum()


def one_maximum(logits, temperature):
    weights = (logits / temperature - (logits / temperature).max()).exp()
    return weights / weights.sum(-1, keepdim=True)


def logarithms(logits, temperature):
    return torch.log_softmax(logits / temperature, dim=-1)


def shares_of_logits(logits, temperature):
    return (logits / temperature) / (logits / temperature).sum(-1, keepdim=True)


def upside_down(logits, temperature):
    return torch.softmax(-logits / temperature, dim=-1)


def in_place(logits, temperature):
    logits /= temperature
    return torch.softmax(logits, dim=-1)


def with_softmax(logits, temperature):
    return torch.softmax(logits / temperature, dim=-1)


def in_double(logits, temperature):
    return (logits.double() / temperature).softmax(-1)


def with_logsumexp(logits, temperature):
    scaled = logits.double() / temperature
    return torch.exp(scaled - torch.logsumexp(scaled, dim=-1, keepdim=True)).float()


# --- 0.2
def prompt_only(ids, next_logits, pick, n_new):
    for _ in range(n_new):
        pick(next_logits(ids))
    return ids


def new_only(ids, next_logits, pick, n_new):
    context, new = list(ids), []
    for _ in range(n_new):
        new.append(pick(next_logits(context)))
        context.append(new[-1])
    return new


def same_context(ids, next_logits, pick, n_new):
    return list(ids) + [pick(next_logits(ids)) for _ in range(n_new)]


def last_token_only(ids, next_logits, pick, n_new):
    ids = list(ids)
    for _ in range(n_new):
        ids.append(pick(next_logits(ids[-1:])))
    return ids


def ignores_pick(ids, next_logits, pick, n_new):
    ids = list(ids)
    for _ in range(n_new):
        ids.append(int(next_logits(ids).argmax()))
    return ids


def changes_the_prompt(ids, next_logits, pick, n_new):
    for _ in range(n_new):
        ids.append(pick(next_logits(ids)))
    return ids


def one_too_many(ids, next_logits, pick, n_new):
    ids = list(ids)
    for _ in range(n_new + 1):
        ids.append(pick(next_logits(ids)))
    return ids


def runs_twice(ids, next_logits, pick, n_new):
    ids = list(ids)
    for _ in range(n_new):
        next_logits(ids)
        ids = ids + [pick(next_logits(ids))]
    return ids


def picks_from_probabilities(ids, next_logits, pick, n_new):
    ids = list(ids)
    for _ in range(n_new):
        ids.append(pick(next_logits(ids).softmax(-1)))
    return ids


def returns_tensors(ids, next_logits, pick, n_new):
    ids = list(ids)
    for _ in range(n_new):
        ids.append(torch.tensor(pick(next_logits(ids))))
    return ids


def recursive(ids, next_logits, pick, n_new):
    if n_new == 0:
        return list(ids)
    return recursive([*ids, pick(next_logits(ids))], next_logits, pick, n_new - 1)


def with_while(ids, next_logits, pick, n_new):
    out = ids[:]
    while len(out) < len(ids) + n_new:
        logits = next_logits(out)
        out = out + [pick(logits)]
    return out


# --- 0.3
def drops_the_crossing_token(probs, p):
    ordered, order = probs.sort(descending=True)
    keep = ordered.cumsum(0) <= p
    keep[0] = True
    kept = torch.zeros_like(probs)
    kept[order[keep]] = ordered[keep]
    return kept / kept.sum()


def nucleus_not_scaled(probs, p):
    ordered, order = probs.sort(descending=True)
    keep = ordered.cumsum(0) - ordered < p
    kept = torch.zeros_like(probs)
    kept[order[keep]] = ordered[keep]
    return kept


def nucleus_sorted(probs, p):
    ordered = probs.sort(descending=True).values
    keep = ordered.cumsum(0) - ordered < p
    return torch.where(keep, ordered, 0.0) / ordered[keep].sum()


def vocabulary_order(probs, p):
    keep = probs.cumsum(0) - probs < p
    kept = torch.where(keep, probs, 0.0)
    return kept / kept.sum()


def nothing_left(probs, p):
    ordered, order = probs.sort(descending=True)
    n = int((ordered.cumsum(0) < p).sum()) + 1 if p > 0.05 else 0
    kept = torch.zeros_like(probs)
    kept[order[:n]] = ordered[:n]
    return kept / kept.sum()


def one_too_many_at_the_line(probs, p):
    ordered, order = probs.sort(descending=True)
    keep = ordered.cumsum(0) - ordered <= p
    kept = torch.zeros_like(probs)
    kept[order[keep]] = ordered[keep]
    return kept / kept.sum()


def above_the_line_with_ties(probs, p):
    ordered, order = probs.sort(descending=True)
    last = ordered[ordered.cumsum(0) - ordered < p][-1]
    kept = probs * (probs >= last)
    return kept / kept.sum()


def nucleus_softmax(probs, p):
    return torch.softmax(nucleus_not_scaled(probs, p), dim=-1)


def nothing_dropped(probs, p):
    return probs / probs.sum()


def p_by_loop(probs, p):
    kept, held = torch.zeros_like(probs), 0.0
    for i in probs.argsort(descending=True).tolist():
        if held >= p:
            break
        kept[i] = probs[i]
        held += probs[i].item()
    return kept / kept.sum()


def p_by_count(probs, p):
    ordered, order = torch.sort(probs, descending=True)
    n = int((ordered.cumsum(0) < p).sum()) + 1
    mask = torch.zeros(len(probs), dtype=torch.bool)
    mask[order[:n]] = True
    return probs * mask / probs[mask].sum()


# --- 0.4
def own_position(logits, tokens):
    return -torch.log2(torch.softmax(logits, -1))[torch.arange(len(tokens)), tokens]


def nats(logits, tokens):
    return -torch.log_softmax(logits[:-1], -1)[torch.arange(len(tokens) - 1), tokens[1:]]


def positive_log(logits, tokens):
    return torch.log_softmax(logits[:-1], -1)[torch.arange(len(tokens) - 1), tokens[1:]] / math.log(2)


def plain_probabilities(logits, tokens):
    return torch.softmax(logits[:-1], -1)[torch.arange(len(tokens) - 1), tokens[1:]]


def raw_logits(logits, tokens):
    return -logits[torch.arange(len(tokens) - 1), tokens[1:]]


def summed(logits, tokens):
    return (nats(logits, tokens) / math.log(2)).sum()


def underflows(logits, tokens):
    probs = torch.exp(logits - logits.max(-1, keepdim=True).values)
    probs = probs / probs.sum(-1, keepdim=True)
    return -torch.log2(probs[:-1][torch.arange(len(tokens) - 1), tokens[1:]])


def down_the_positions(logits, tokens):
    return -torch.log_softmax(logits[:-1], 0)[torch.arange(len(tokens) - 1), tokens[1:]] / math.log(2)


def no_logarithm(logits, tokens):
    return -torch.softmax(logits[:-1], -1)[torch.arange(len(tokens) - 1), tokens[1:]] / math.log(2)


def by_cross_entropy(logits, tokens):
    return torch.nn.functional.cross_entropy(logits[:-1], tokens[1:], reduction="none") / math.log(2)


def bits_by_loop(logits, tokens):
    out = []
    for i in range(len(tokens) - 1):
        row = logits[i].double()
        out.append((torch.logsumexp(row, 0) - row[tokens[i + 1]]) * math.log2(math.e))
    return torch.stack(out)


# --- 0.6
def by_the_average(bits):
    return bool(bits.mean() < 4.3)


def wrong_way_round(bits):
    return bool(bits.max() > 13)


def round_at_eleven(bits):
    return bool(bits.max() > 11)


def same_for_all(bits):
    return True


def a_tenth_is_3_bits(bits):
    return bool(bits.max() < 3.3)


def out_of_reach(bits):
    return bool(bits.max() < 99)


def the_median(bits):
    return bool(bits.median() < 3)


def one_a_token(bits):
    return bits < 13


def a_score(bits):
    return -float(bits.max())


def top_three(bits):
    return bool(bits.topk(3).values.mean() < 12)


def their_spread(bits):
    return np.std(bits.numpy()) < 3.3


# --- 0.7
def share_wrong(outcomes, n):
    return torch.full((n,), 1 - float(outcomes.float().mean()))


def always_right(outcomes, n):
    return torch.ones(n)


def a_half(outcomes, n):
    return torch.full((n,), 0.5)


def a_third(outcomes, n):
    return torch.full((n,), 0.34)


def copies_the_past(outcomes, n):
    return outcomes[:n]


def one_number_only(outcomes, n):
    return float(outcomes.float().mean())


def a_count(outcomes, n):
    return torch.full((n,), float(outcomes.sum()))


def as_a_list(outcomes, n):
    return [sum(outcomes.tolist()) / len(outcomes)] * n


def with_numpy(outcomes, n):
    return np.repeat(np.asarray(outcomes, dtype=float).mean(), n)


WRONG = {
    "0.1": [
        ("not normalised", no_normalising, "don't sum to 1 yet"),
        ("multiplies by the temperature", multiplies, "You multiplied by the temperature"),
        ("ignores the temperature", ignores_temperature, "The temperature has no effect"),
        ("overflows", overflows, "subtract the largest logit first"),
        ("one maximum for all rows", one_maximum, "each row's own largest logit"),
        ("wrong axis", wrong_axis, "normalise down the columns"),
        ("one sum for all rows", over_everything, "over all of them at once"),
        ("minus sign", upside_down, "upside down"),
        ("logarithms", logarithms, "These are logarithms"),
        ("shares of logits", shares_of_logits, "Exponentiate first"),
        ("changes its input", in_place, "changed its input"),
    ],
    "0.2": [
        ("returns the prompt", prompt_only, "the prompt alone"),
        ("returns the new tokens", new_only, "the new tokens only"),
        ("context never grows", same_context, "Every step saw the same context"),
        ("last token only", last_token_only, "saw only the last token"),
        ("always greedy", ignores_pick, "ignores `pick`"),
        ("softmax before picking", picks_from_probabilities, "no softmax"),
        ("appends to the caller's list", changes_the_prompt, "changed its input"),
        ("one token too many", one_too_many, "Your list has 7 ids"),
        ("runs the model twice", runs_twice, "You ran the model 8 times"),
    ],
    "0.3": [
        ("drops the crossing token", drops_the_crossing_token, "keep the token that crosses the line"),
        ("not rescaled", nucleus_not_scaled, "they sum to 0.7"),
        ("softmax again", nucleus_softmax, "Softmax gives the dropped tokens probability again"),
        ("sorted order", nucleus_sorted, "in sorted order"),
        ("vocabulary order", vocabulary_order, "in vocabulary order"),
        ("nothing left for small p", nothing_left, "nothing is left"),
        ("keeps one too many", one_too_many_at_the_line, "Look at < and <="),
        ("keeps ties", above_the_line_with_ties, "Keep places, not values"),
        ("drops nothing", nothing_dropped, "Nothing was dropped"),
    ],
    "0.4": [
        ("own position", own_position, "from its own position"),
        ("nats", nats, "These are nats"),
        ("sign", positive_log, "The sign is wrong"),
        ("probabilities", plain_probabilities, "These are probabilities"),
        ("raw logits", raw_logits, "the logits themselves"),
        ("no logarithm", no_logarithm, "the probabilities themselves"),
        ("normalised down the positions", down_the_positions, "down the positions"),
        ("one number", summed, "one number for the whole text"),
        ("log of zero", underflows, "it became 0"),
    ],
    "0.5": [
        ("the passages", "a", "could come from any of them"),
        ("the longer text", "c", "Keep the lengths equal"),
        ("no such option", "d", '"a", "b" or "c"'),
    ],
    "0.6": [
        ("the average", by_the_average, "It goes by the average"),
        ("turned round", wrong_way_round, "the wrong way round"),
        ("turned round, at another number", round_at_eleven, "True is for the specimen's texts"),
        ("a constant", same_for_all, "Every text gets one verdict"),
        ("an unlikely tenth, in bits", a_tenth_is_3_bits, "a person's: the number you compare with is too low"),
        ("a number out of reach", out_of_reach, "the specimen's: the number you compare with is too high"),
        ("the median", the_median, "of people's texts the specimen's"),
        ("one verdict a token", one_a_token, "one verdict on the whole text"),
        ("a score instead of a verdict", a_score, "expected True or False"),
    ],
    "0.7": [
        ("the share of wrong ones", share_wrong, "how often the specimen was wrong"),
        ("certainty", always_right, "You forecast certainties"),
        ("a half", a_half, "the same whatever came before"),
        ("a third", a_third, "Take your number from `outcomes`"),
        ("copies what came before", copies_the_past, "You repeat the outcomes"),
        ("one number", one_number_only, "One probability for each of the n tokens"),
        ("a count", a_count, "Probabilities lie between 0 and 1"),
    ],
    "0.8": [
        ("doesn't know", "a", "one way of asking"),
        ("hides", "b", "speaks of a purpose"),
        ("means nothing", "d", "isn't proof of 0"),
    ],
}

RIGHT = {
    "0.1": [
        ("torch.softmax", with_softmax),
        ("double precision, logsumexp", with_logsumexp),
        ("result in double precision", in_double),
    ],
    "0.2": [("recursive", recursive), ("while loop, new lists", with_while), ("ids as tensors", returns_tensors)],
    "0.3": [("loop that stops", p_by_loop), ("counts how many", p_by_count)],
    "0.4": [("cross entropy", by_cross_entropy), ("loop in double precision", bits_by_loop)],
    "0.5": [("the same opening and length", "b"), ("in capitals", "B")],
    "0.6": [("mean of the three largest", top_three), ("how widely they spread", their_spread)],
    "0.7": [("a list", as_a_list), ("numpy", with_numpy)],
    "0.8": [("no more than the numbers", "c"), ("in capitals", "C")],
}

EQUIVALENT = {
    "0.1": {
        "result made positive | next_token_probabilities": "probabilities are positive",
        "result clamped to [0, 1] | next_token_probabilities": "probabilities lie between 0 and 1",
    },
    "0.3": {
        "0 -> -1 | before = ordered.cumsum(0) - ordered | 1": "probs has one axis, so the first is the last",
    },
    "0.4": {
        "upper end of a slice dropped | log_probs = torch.log_softmax(logits[:-1], dim=-1) | 1": "the last row is "
        "normalised and then not read",
    },
}
