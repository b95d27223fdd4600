"""Wrong and right answers for lesson 00. Each wrong one is a mistake somebody makes, with words that must name it."""

import math

import numpy as np
import torch


# --- 0.1
def total_characters(tokens):
    return sum(len(token) for token in tokens)


def upside_down_fraction(tokens):
    return len(tokens) / sum(len(token) for token in tokens)


def without_spaces(tokens):
    return sum(len(token.strip()) for token in tokens) / len(tokens)


def rounded_down(tokens):
    return sum(len(token) for token in tokens) // len(tokens)


def number_of_tokens(tokens):
    return len(tokens)


def forgot_return_01(tokens):
    sum(len(token) for token in tokens) / len(tokens)


def misspelt_name(tokens):
    return sum(len(token) for token in tokens) / len(toknes)


def joined(tokens):
    return len("".join(tokens)) / len(tokens)


def with_numpy(tokens):
    return np.mean([len(token) for token in tokens])


# --- 0.2
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


def upside_down(logits, temperature):
    return torch.softmax(-logits / temperature, dim=-1)


def in_place(logits, temperature):
    logits /= temperature
    return torch.softmax(logits, dim=-1)


def with_softmax(logits, temperature):
    return torch.softmax(logits / temperature, dim=-1)


def with_logsumexp(logits, temperature):
    scaled = logits.double() / temperature
    return torch.exp(scaled - torch.logsumexp(scaled, dim=-1, keepdim=True)).float()


# --- 0.3
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


# --- 0.4
def top_values_only(probs, k):
    values = probs.topk(k).values
    return values / values.sum()


def top_not_scaled(probs, k):
    kept = torch.zeros_like(probs)
    best = probs.topk(k).indices
    kept[best] = probs[best]
    return kept


def top_softmax(probs, k):
    return torch.softmax(top_not_scaled(probs, k), dim=-1)


def top_sorted(probs, k):
    ordered = probs.sort(descending=True).values
    ordered[k:] = 0
    return ordered / ordered.sum()


def bottom_k(probs, k):
    kept = torch.zeros_like(probs)
    best = probs.argsort()[:k]
    kept[best] = probs[best]
    return kept / kept.sum()


def threshold_with_ties(probs, k):
    kept = torch.where(probs >= probs.topk(k).values[-1], probs, 0.0)
    return kept / kept.sum()


def in_place_k(probs, k):
    probs[probs.argsort(descending=True)[k:]] = 0
    return probs / probs.sum()


def k_by_scatter(probs, k):
    values, where = torch.topk(probs, k)
    return torch.zeros_like(probs).scatter(0, where, values / values.sum())


def k_by_loop(probs, k):
    order = sorted(range(len(probs)), key=lambda i: -probs[i].item())
    keep = set(order[:k])
    total = sum(probs[i].item() for i in keep)
    return torch.tensor([probs[i].item() / total if i in keep else 0.0 for i in range(len(probs))])


# --- 0.5
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


# --- 0.6
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


def by_cross_entropy(logits, tokens):
    return torch.nn.functional.cross_entropy(logits[:-1], tokens[1:], reduction="none") / math.log(2)


def bits_by_loop(logits, tokens):
    out = []
    for i in range(len(tokens) - 1):
        row = logits[i].double()
        out.append((torch.logsumexp(row, 0) - row[tokens[i + 1]]) * math.log2(math.e))
    return torch.stack(out)


# --- 0.7
def one_operation(n, layers, d_model, heads, kv_heads, d_head, d_mlp, d_vocab):
    return products(n, layers, d_model, heads, kv_heads, d_head, d_mlp, d_vocab) / 2


def all_heads_alike(n, layers, d_model, heads, kv_heads, d_head, d_mlp, d_vocab):
    return products(n, layers, d_model, heads, heads, d_head, d_mlp, d_vocab)


def no_pairs(n, layers, d_model, heads, kv_heads, d_head, d_mlp, d_vocab):
    return products(n, layers, d_model, heads, kv_heads, d_head, d_mlp, d_vocab) - layers * 4 * n * n * heads * d_head


def linear_in_n(n, layers, d_model, heads, kv_heads, d_head, d_mlp, d_vocab):
    return n * products(1, layers, d_model, heads, kv_heads, d_head, d_mlp, d_vocab)


def no_gate(n, layers, d_model, heads, kv_heads, d_head, d_mlp, d_vocab):
    return products(n, layers, d_model, heads, kv_heads, d_head, d_mlp, d_vocab) - layers * 2 * n * d_model * d_mlp


def no_unembedding(n, layers, d_model, heads, kv_heads, d_head, d_mlp, d_vocab):
    return products(n, layers, d_model, heads, kv_heads, d_head, d_mlp, 0)


def embedding_counted(n, layers, d_model, heads, kv_heads, d_head, d_mlp, d_vocab):
    return products(n, layers, d_model, heads, kv_heads, d_head, d_mlp, 2 * d_vocab)


def single_layer(n, layers, d_model, heads, kv_heads, d_head, d_mlp, d_vocab):
    return products(n, 1, d_model, heads, kv_heads, d_head, d_mlp, d_vocab)


def unembedding_every_layer(n, layers, d_model, heads, kv_heads, d_head, d_mlp, d_vocab):
    return layers * products(n, 1, d_model, heads, kv_heads, d_head, d_mlp, d_vocab)


def products(n, layers, d_model, heads, kv_heads, d_head, d_mlp, d_vocab):
    """Right: every product as a triple (a, b, c), summed."""
    layer = [
        (n, d_model, heads * d_head),
        (n, d_model, kv_heads * d_head),
        (n, d_model, kv_heads * d_head),
        *[(n, d_head, n), (n, n, d_head)] * heads,
        (n, heads * d_head, d_model),
        (n, d_model, d_mlp),
        (n, d_model, d_mlp),
        (n, d_mlp, d_model),
    ]
    return sum(2 * a * b * c for a, b, c in layer * layers + [(n, d_model, d_vocab)])


def from_weights(n, layers, d_model, heads, kv_heads, d_head, d_mlp, d_vocab):
    """Right: two operations a weight and token, plus what attention adds, as a float."""
    weights = layers * (2 * d_model * d_head * (heads + kv_heads) + 3 * d_model * d_mlp) + d_model * d_vocab
    return 2.0 * weights * n + 4.0 * layers * heads * d_head * n**2


WRONG = {
    "0.1": [
        ("counts all characters", total_characters, "the number of characters altogether"),
        ("fraction upside down", upside_down_fraction, "tokens per character"),
        ("strips spaces", without_spaces, "You left out the spaces"),
        ("integer division", rounded_down, "You rounded down"),
        ("counts tokens", number_of_tokens, "That is the number of tokens"),
        ("no return", forgot_return_01, "returned None"),
        ("a misspelt name", misspelt_name, "stopped with NameError on line 2"),
    ],
    "0.2": [
        ("not normalised", no_normalising, "don't sum to 1 yet"),
        ("multiplies by the temperature", multiplies, "You multiplied by the temperature"),
        ("ignores the temperature", ignores_temperature, "The temperature has no effect"),
        ("overflows", overflows, "subtract the largest logit first"),
        ("wrong axis", wrong_axis, "normalise down the columns"),
        ("one sum for all rows", over_everything, "over all of them at once"),
        ("minus sign", upside_down, "upside down"),
        ("changes its input", in_place, "changed its input"),
    ],
    "0.3": [
        ("returns the prompt", prompt_only, "the prompt alone"),
        ("returns the new tokens", new_only, "the new tokens only"),
        ("context never grows", same_context, "Every step saw the same context"),
        ("last token only", last_token_only, "saw only the last token"),
        ("always greedy", ignores_pick, "ignores `pick`"),
        ("appends to the caller's list", changes_the_prompt, "changed its input"),
        ("one token too many", one_too_many, "Your list has 7 ids"),
        ("runs the model twice", runs_twice, "You ran the model 8 times"),
    ],
    "0.4": [
        ("only the k values", top_values_only, "only the k kept values"),
        ("not rescaled", top_not_scaled, "they sum to 0.7"),
        ("softmax again", top_softmax, "Softmax gives the dropped tokens probability again"),
        ("sorted order", top_sorted, "in sorted order"),
        ("smallest k", bottom_k, "the least likely tokens"),
        ("threshold keeps ties", threshold_with_ties, "With ties you keep more than k"),
        ("changes its input", in_place_k, "changed its input"),
    ],
    "0.5": [
        ("drops the crossing token", drops_the_crossing_token, "keep the token that crosses the line"),
        ("not rescaled", nucleus_not_scaled, "they sum to 0.7"),
        ("sorted order", nucleus_sorted, "in sorted order"),
        ("vocabulary order", vocabulary_order, "in vocabulary order"),
        ("nothing left for small p", nothing_left, "nothing is left"),
        ("keeps one too many", one_too_many_at_the_line, "Look at < and <="),
        ("drops nothing", nothing_dropped, "Nothing was dropped"),
    ],
    "0.6": [
        ("own position", own_position, "from its own position"),
        ("nats", nats, "These are nats"),
        ("sign", positive_log, "The sign is wrong"),
        ("probabilities", plain_probabilities, "These are probabilities"),
        ("raw logits", raw_logits, "the logits themselves"),
        ("one number", summed, "one number for the whole text"),
        ("log of zero", underflows, "it became 0"),
    ],
    "0.7": [
        ("one operation a term", one_operation, "count 2abc, not abc"),
        ("full-size keys and values", all_heads_alike, "Keys and values have kv_heads heads"),
        ("no attention pairs", no_pairs, "Two products are missing"),
        ("proportional to n", linear_in_n, "grows in proportion to n"),
        ("two MLP products", no_gate, "The MLP has three products"),
        ("no unembedding", no_unembedding, "The unembedding is missing"),
        ("embedding counted", embedding_counted, "Looking up an embedding is no product"),
        ("one layer", single_layer, "That is a single layer"),
        ("unembedding in every layer", unembedding_every_layer, "happens once"),
    ],
}

RIGHT = {
    "0.1": [("joins the tokens", joined), ("numpy mean", with_numpy)],
    "0.2": [("torch.softmax", with_softmax), ("double precision, logsumexp", with_logsumexp)],
    "0.3": [("recursive", recursive), ("while loop, new lists", with_while)],
    "0.4": [("scatter", k_by_scatter), ("plain Python", k_by_loop)],
    "0.5": [("loop that stops", p_by_loop), ("counts how many", p_by_count)],
    "0.6": [("cross entropy", by_cross_entropy), ("loop in double precision", bits_by_loop)],
    "0.7": [("list of products", products), ("weights times two, as float", from_weights)],
}
