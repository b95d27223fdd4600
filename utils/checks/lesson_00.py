"""Checks, reference solutions and quiz of lesson 00, orientation."""

from __future__ import annotations

import math
from typing import Any

import torch

from utils.checks import Exercise, Option, Question
from utils.checks.calling import Mistake, call
from utils.checks.comparing import expect_close, expect_finite, expect_shape, expect_type, is_close

# ------------------------------------------------------------------------------- 0.1 characters per token


def characters_per_token(tokens):
    """Mean number of characters of a list of token strings."""
    if not tokens:
        raise ValueError("tokens is empty")
    return sum(len(token) for token in tokens) / len(tokens)


def check_characters_per_token(learner):
    tokens = ["The", " cat", " sat", " on", " the", " m", "at", "."]
    result = call(learner, tokens)
    right = sum(map(len, tokens)) / len(tokens)
    if is_close(result, sum(map(len, tokens))):
        raise Mistake("That is the number of characters altogether. Divide it by the number of tokens.")
    if is_close(result, len(tokens) / sum(map(len, tokens))):
        raise Mistake("That is tokens per character. Turn the fraction over: characters go on top.")
    if is_close(result, sum(len(t.strip()) for t in tokens) / len(tokens)):
        raise Mistake("You left out the spaces. A space at the front belongs to its token: count it.")
    if is_close(result, float(sum(map(len, tokens)) // len(tokens))):
        raise Mistake("You rounded down: `//` throws the rest away. Use `/`.")
    if is_close(result, float(len(tokens))):
        raise Mistake("That is the number of tokens. Add up the lengths of the tokens first.")
    expect_close(result, right, f"For {tokens} the answer is {right}, yours is {result}.")
    expect_close(call(learner, ["ab"]), 2.0, "A list with a single token 'ab' should give 2.")


# ----------------------------------------------------------------------- 0.2 logits to probabilities


def next_token_probabilities(logits, temperature):
    """Softmax of logits / temperature over the last axis."""
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, got {temperature}")
    scaled = logits / temperature
    weights = torch.exp(scaled - scaled.max(dim=-1, keepdim=True).values)
    return weights / weights.sum(dim=-1, keepdim=True)


def check_next_token_probabilities(learner):
    logits, temperature = torch.tensor([2.0, 1.0, 0.0, -1.0, 0.5]), 0.5
    result = call(learner, logits, temperature)
    expect_type(result, torch.Tensor)
    expect_shape(result, (5,), "One probability for each logit.")
    if not torch.isclose(result.sum(), torch.tensor(1.0), atol=1e-4):
        if is_close(result, torch.exp(logits / temperature)):
            raise Mistake("These don't sum to 1 yet. Divide the exponentials by their sum.")
        raise Mistake(f"Probabilities sum to 1; yours sum to {float(result.sum()):.3f}.")
    if is_close(result, torch.softmax(logits * temperature, -1)):
        raise Mistake("You multiplied by the temperature. Divide: a low temperature must sharpen the distribution.")
    if is_close(result, torch.softmax(logits, -1)):
        raise Mistake("The temperature has no effect in your function. Divide the logits by it before the exponential.")
    probs = torch.softmax(logits, -1)
    if is_close(result, (probs / temperature) / (probs / temperature).sum()):
        raise Mistake("The temperature has no effect in your function. Divide the logits by it before the exponential.")
    if is_close(result, torch.softmax(-logits / temperature, -1)):
        raise Mistake("Your distribution is upside down: the largest logit must get the largest probability.")
    expect_close(
        result, torch.softmax(logits / temperature, -1), "The values differ from softmax(logits / temperature)."
    )
    big = call(learner, torch.tensor([900.0, 899.0, 0.0]), 0.5)
    expect_finite(big, "exp of a large logit is infinite: subtract the largest logit first (or use torch.softmax).")
    expect_close(big, torch.softmax(torch.tensor([1800.0, 1798.0, 0.0]), -1), "The values are off for large logits.")
    rows = torch.tensor([[1.0, 2.0, 3.0], [3.0, 1.0, 1.0]])
    several = call(learner, rows, 2.0)
    if is_close(several, torch.softmax(rows / 2, 0)):
        raise Mistake("With two rows you normalise down the columns. Normalise over the last axis: dim=-1.")
    if is_close(several, torch.softmax((rows / 2).flatten(), 0).reshape(2, 3)):
        raise Mistake("With two rows you normalise over all of them at once. Sum over the last axis only: dim=-1.")
    expect_close(several, torch.softmax(rows / 2, -1), "Each row must be a distribution of its own (dim=-1).")


# ---------------------------------------------------------------------------------- 0.3 the generation loop


def continue_text(ids, next_logits, pick, n_new):
    """Append n_new tokens to a copy of ids, each picked from the logits of everything so far."""
    ids = list(ids)
    for _ in range(n_new):
        ids.append(pick(next_logits(ids)))
    return ids


def _counting_model(d_vocab=50):
    """A stand-in for a model: the next token is the sum of the last two plus the length, so context matters."""
    seen = []

    def next_logits(ids):
        seen.append(list(ids))
        logits = torch.zeros(d_vocab)
        logits[(sum(ids[-2:]) + len(ids)) % d_vocab] = 5.0
        return logits

    return next_logits, seen


def check_continue_text(learner):
    def greedy(logits):
        return int(logits.argmax())

    def least(logits):
        return int(logits.argmin())

    prompt, n_new = [3, 4], 4
    expected = continue_text(prompt, _counting_model()[0], greedy, n_new)
    next_logits, seen = _counting_model()
    result = call(learner, prompt, next_logits, greedy, n_new)
    expect_type(result, list, "Return a plain list of token ids.")
    if any(isinstance(token, torch.Tensor) for token in result):
        raise Mistake("Your list holds tensors. `pick` already returns an int: append that.")
    if result == prompt:
        raise Mistake("You returned the prompt alone. Append each new token, and return the longer list.")
    if result == expected[len(prompt) :]:
        raise Mistake("You returned the new tokens only. Return the prompt followed by the new tokens.")
    first = expected[len(prompt)]
    if result == prompt + [first] * n_new:
        raise Mistake(
            "Every step saw the same context, so every token is the same. Append the token before you ask for the next."
        )
    if len(result) != len(prompt) + n_new:
        raise Mistake(f"Your list has {len(result)} ids; expected {len(prompt)} of the prompt and {n_new} new ones.")
    alone = list(prompt)
    last_only, _ = _counting_model()
    for _ in range(n_new):
        alone.append(greedy(last_only(alone[-1:])))
    if result == alone:
        raise Mistake("The model saw only the last token. Give `next_logits` everything so far.")
    if result != expected:
        raise Mistake(f"For the stand-in model the ids should be {expected}, yours are {result}.")
    if len(seen) > n_new:
        raise Mistake(f"You ran the model {len(seen)} times for {n_new} tokens. One run a token is enough.")
    other = call(learner, prompt, _counting_model()[0], least, n_new)
    if other == expected:
        raise Mistake("Your function ignores `pick` and always takes the likeliest token. Call pick(logits).")
    if call(learner, prompt, _counting_model()[0], greedy, 0) != prompt:
        raise Mistake("With n_new = 0 nothing is added: the result should be the prompt.")


# --------------------------------------------------------------------------------------------- 0.4 top k


def keep_top_k(probs, k):
    """Zero all but the k largest probabilities and rescale to sum to 1."""
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    kept = torch.zeros_like(probs)
    best = probs.topk(min(k, len(probs))).indices
    kept[best] = probs[best]
    return kept / kept.sum()


def check_keep_top_k(learner):
    probs = torch.tensor([0.1, 0.4, 0.05, 0.3, 0.15])
    result = call(learner, probs, 2)
    expect_type(result, torch.Tensor)
    if is_close(result, [0.4, 0.3]) or is_close(result, [4 / 7, 3 / 7]):
        raise Mistake(
            "You return only the k kept values. Keep the vocabulary's shape and put zeros in the other places."
        )
    expect_shape(result, (5,), "One probability for each vocabulary entry, zeros included.")
    kept = torch.tensor([0, 0.4, 0, 0.3, 0])
    if is_close(result, kept):
        raise Mistake("The right tokens are kept, but they sum to 0.7. Divide by their sum.")
    if is_close(result, torch.softmax(kept, -1)):
        raise Mistake("Softmax gives the dropped tokens probability again (exp(0) is 1). Divide by the sum instead.")
    if is_close(result, kept.sort(descending=True).values / 0.7):
        raise Mistake("The values are right but in sorted order. Each probability must stay at its token's place.")
    if is_close(result, torch.tensor([0, 0, 0.05, 0, 0]) / 0.05) or is_close(
        result, torch.tensor([0.1, 0, 0.05, 0, 0]) / 0.15
    ):
        raise Mistake("You kept the least likely tokens. Sort with the largest first.")
    expect_close(result, kept / 0.7, "For k = 2 only the two largest should stay, scaled to sum to 1.")
    expect_close(call(learner, probs, 5), probs, "With k as large as the vocabulary nothing should change.")
    expect_close(
        call(learner, probs, 1), torch.tensor([0.0, 1, 0, 0, 0]), "k = 1 should leave the likeliest token alone."
    )
    ties = call(learner, torch.tensor([0.25, 0.25, 0.25, 0.25]), 2)
    if int((ties > 0).sum()) != 2:
        raise Mistake("With ties you keep more than k tokens: compare positions (topk), not values with a threshold.")


# --------------------------------------------------------------------------------------------- 0.5 top p


def keep_top_p(probs, p):
    """Keep the smallest set of likeliest tokens whose probabilities reach p, and rescale to sum to 1."""
    if not 0 < p <= 1:
        raise ValueError(f"p must lie in (0, 1], got {p}")
    ordered, order = probs.sort(descending=True)
    before = ordered.cumsum(0) - ordered
    kept = torch.zeros_like(probs)
    kept[order[before < p]] = ordered[before < p]
    return kept / kept.sum()


def check_keep_top_p(learner):
    probs = torch.tensor([0.1, 0.4, 0.05, 0.3, 0.15])
    result = call(learner, probs, 0.6)
    expect_type(result, torch.Tensor)
    expect_shape(result, (5,), "One probability for each vocabulary entry, zeros included.")
    kept = torch.tensor([0, 0.4, 0, 0.3, 0])
    if is_close(result, torch.tensor([0.0, 1, 0, 0, 0])) or is_close(result, torch.tensor([0, 0.4, 0, 0, 0])):
        raise Mistake("0.4 doesn't reach 0.6 yet: keep the token that crosses the line as well, here the one with 0.3.")
    if is_close(result, kept):
        raise Mistake("The right tokens are kept, but they sum to 0.7. Divide by their sum.")
    if is_close(result, torch.tensor([0.4, 0.3, 0, 0, 0]) / 0.7):
        raise Mistake("The values are right but in sorted order. Put each one back at its token's place.")
    first = torch.tensor([0.1, 0.4, 0.05, 0.3, 0])  # adding up in vocabulary order
    if is_close(result, first / first.sum()):
        raise Mistake("You added up in vocabulary order. Sort the probabilities first, largest to smallest.")
    if is_close(result, probs):
        raise Mistake("Nothing was dropped for p = 0.6. Two tokens already hold 0.7.")
    least = torch.tensor([0.1, 0, 0.05, 0.3, 0.15])
    if is_close(result, least / least.sum()):
        raise Mistake("You kept the least likely tokens. Sort with the largest first.")
    expect_close(result, kept / 0.7, "For p = 0.6 the tokens with 0.4 and 0.3 should stay, scaled to sum to 1.")
    tiny = call(learner, probs, 0.01)
    if not torch.isfinite(tiny).all() or is_close(tiny, torch.zeros(5)):
        raise Mistake("With p = 0.01 nothing is left. The likeliest token always stays, whatever p is.")
    expect_close(tiny, torch.tensor([0.0, 1, 0, 0, 0]), "For p = 0.01 only the likeliest token should stay.")
    # 0.5 + 0.25 is exact in binary, so this is a question of `<` against `<=` and not of rounding
    exact = call(learner, torch.tensor([0.25, 0.5, 0.125, 0.125]), 0.75)
    if int((exact > 0).sum()) == 3:
        raise Mistake("0.5 + 0.25 reaches 0.75 exactly, so two tokens are enough; you keep three. Look at < and <=.")
    expect_close(exact, torch.tensor([1 / 3, 2 / 3, 0, 0]), "For p = 0.75 the tokens with 0.5 and 0.25 should stay.")
    expect_close(call(learner, probs, 1.0), probs, "p = 1 should change nothing.")


# ----------------------------------------------------------------------------------------- 0.6 surprisal


def surprisal_bits(logits, tokens):
    """-log2 probability of each token but the first, from the logits one position earlier."""
    log_probs = torch.log_softmax(logits[:-1], dim=-1)
    return -log_probs[torch.arange(len(tokens) - 1), tokens[1:]] / math.log(2)


def check_surprisal_bits(learner):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 7, generator=generator) * 2
    tokens = torch.tensor([3, 0, 6, 2, 2])
    result = call(learner, logits, tokens)
    expect_type(result, torch.Tensor)
    log2 = torch.log_softmax(logits, -1) / math.log(2)
    right = -log2[torch.arange(4), tokens[1:]]
    same = -log2[torch.arange(5), tokens]
    if is_close(result, same) or is_close(result, same[1:]) or is_close(result, same[:-1]):
        raise Mistake(
            "You read each token's probability from its own position. Logits at position i are about token i + 1."
        )
    if is_close(result, right.sum()) or is_close(result, right.mean()):
        raise Mistake("That is one number for the whole text. Return one number for each token but the first.")
    expect_shape(result, (4,), "Five tokens give four numbers: nothing predicts the first.")
    if is_close(result, -right):
        raise Mistake("The sign is wrong: the log of a probability is negative, and surprisal is minus it.")
    if is_close(result, right * math.log(2)):
        raise Mistake("These are nats (natural logarithm). For bits divide by math.log(2), or use torch.log2.")
    if is_close(result, right * math.log10(2)):
        raise Mistake("These are decimal digits (log10). For bits use log2.")
    if is_close(result, torch.softmax(logits, -1)[torch.arange(4), tokens[1:]]):
        raise Mistake("These are probabilities. Surprisal is minus their log2.")
    if is_close(result, -logits[torch.arange(4), tokens[1:]]):
        raise Mistake("You used the logits themselves. Turn them into probabilities (softmax) first.")
    expect_close(result, right, "The values differ from -log2 of the probability of each next token.")
    sure = torch.zeros(2, 3)
    sure[0] = torch.tensor([0.0, 300.0, 0.0])
    far = call(learner, sure, torch.tensor([0, 2]))
    expect_finite(far, "The probability was so small that it became 0. Use torch.log_softmax instead of log(softmax).")
    expect_close(far, [300 / math.log(2)], "The value is off for a very unlikely token; use torch.log_softmax.", 1e-2)


# -------------------------------------------------------------------------------------- 0.7 counting FLOPs


def forward_flops(n, layers, d_model, heads, kv_heads, d_head, d_mlp, d_vocab):
    """Operations of all matrix products in one forward pass over n tokens."""
    queries_and_output = 2 * (2 * n * d_model * heads * d_head)
    keys_and_values = 2 * (2 * n * d_model * kv_heads * d_head)
    scores_and_mixing = 2 * (2 * n * n * heads * d_head)
    mlp = 3 * (2 * n * d_model * d_mlp)
    unembedding = 2 * n * d_model * d_vocab
    return layers * (queries_and_output + keys_and_values + scores_and_mixing + mlp) + unembedding


def check_forward_flops(learner):
    sizes: dict[str, Any] = {
        "n": 5,
        "layers": 3,
        "d_model": 12,
        "heads": 4,
        "kv_heads": 2,
        "d_head": 7,
        "d_mlp": 20,
        "d_vocab": 31,
    }
    result = call(learner, **sizes)
    expect_shape(result, (), "Return one number.")
    right = forward_flops(**sizes)
    n, layers, d_model, heads, kv_heads, d_head, d_mlp, d_vocab = sizes.values()
    query, key = 2 * n * d_model * heads * d_head, 2 * n * d_model * kv_heads * d_head
    pairs, mlp, unembedding = 2 * n * n * heads * d_head, 2 * n * d_model * d_mlp, 2 * n * d_model * d_vocab
    named = {
        right
        / 2: "Each term of a product costs two operations, a multiplication and an addition: count 2abc, not abc.",
        right + layers * 2 * (query - key): "Keys and values have kv_heads heads, fewer than the queries have.",
        right
        - layers * 2 * pairs: "Two products are missing: the scores (queries by keys) and the mixing of the values.",
        right - layers * pairs: "One n by n product is missing: attention has the scores, and then the mixing.",
        right - layers * mlp: "The MLP has three products, not two: gate, up and down.",
        right - unembedding: "The unembedding is missing: d_model to d_vocab for every token, once.",
        right + (layers - 1) * unembedding: "The unembedding happens once, not in every layer.",
        right
        - (layers - 1)
        * (right - unembedding)
        / layers: "That is a single layer. Multiply what a layer costs by `layers`.",
        right
        - layers * query: "One product is missing: the attention output goes from heads * d_head back to d_model.",
        right
        + unembedding: "Looking up an embedding is no product: it costs nothing here. Count the unembedding only.",
        right - layers * key: "Only one of keys and values is counted. There are two such products.",
        right / n: "That is for one token. All products have a factor n, and two of them have n * n.",
    }
    for value, message in named.items():
        if is_close(result, float(value), atol=0.5):
            raise Mistake(message)
    single = call(learner, **(sizes | {"n": 1}))
    if is_close(result, float(single * n), atol=0.5):
        raise Mistake("Your count grows in proportion to n. Two products pair every token with every token: n * n.")
    expect_close(
        float(result), float(right), f"Expected {right:,} for the test sizes {sizes}, yours is {result:,}.", 0.5
    )
    other: dict[str, Any] = {
        "n": 2,
        "layers": 1,
        "d_model": 3,
        "heads": 2,
        "kv_heads": 1,
        "d_head": 4,
        "d_mlp": 5,
        "d_vocab": 6,
    }
    expect_close(float(call(learner, **other)), float(forward_flops(**other)), "Right for one set of sizes only.", 0.5)


EXERCISES = [
    Exercise("0.1", "How long is a token?", characters_per_token, check_characters_per_token),
    Exercise("0.2", "From logits to probabilities", next_token_probabilities, check_next_token_probabilities),
    Exercise("0.3", "The loop that writes", continue_text, check_continue_text),
    Exercise("0.4", "Keep the k likeliest", keep_top_k, check_keep_top_k),
    Exercise("0.5", "Keep the likeliest few that matter", keep_top_p, check_keep_top_p),
    Exercise("0.6", "Surprisal", surprisal_bits, check_surprisal_bits),
    Exercise("0.7", "Count the operations", forward_flops, check_forward_flops),
]

QUIZ = [
    Question(
        "The same sentence gets a much lower probability when `<|im_start|>` stands in front of it. What is the best "
        "explanation?",
        [
            Option(
                "The weights changed between the two runs.",
                False,
                "Nothing was trained. The same weights read two different inputs.",
            ),
            Option(
                "The token in front is part of the input: it tells the model what kind of text to expect.",
                True,
                "`<|im_start|>` opens a chat turn, and plain sentences rarely follow it. A document start says: here "
                "begins an ordinary text.",
            ),
            Option(
                "The tokenizer cut the sentence differently.",
                False,
                "The sentence's own tokens are the same in all three runs. Only the token before them differs.",
            ),
        ],
    ),
    Question(
        "You lower the temperature from 1 to 0.5. What happens to the likeliest token?",
        [
            Option(
                "It becomes likelier.", True, "Dividing by 0.5 doubles every gap between logits, and the top one gains."
            ),
            Option("It becomes less likely.", False, "That is what a temperature above 1 does: it flattens."),
            Option(
                "Another token may take its place.",
                False,
                "Dividing all logits by one positive number never changes their order.",
            ),
        ],
    ),
    Question(
        "A token has a surprisal of 3 bits. What probability did the model give it?",
        [
            Option("1/3", False, "Bits count halvings: one half is 1 bit, a quarter is 2."),
            Option("1/8", True, "Three halvings: 1/2, 1/4, 1/8."),
            Option("0.3", False, "0.3 has about 1.7 bits. Each bit halves the probability."),
        ],
    ),
    Question(
        "The model puts 0.8 on its next token. Which of these follow?",
        [
            Option(
                "What it says is true with probability 0.8.",
                False,
                "It is the probability of a token in text like its training text. In the lesson it was sure of wrong "
                "answers too.",
            ),
            Option(
                "This token would be drawn in about 8 of 10 draws at temperature 1.",
                True,
                "That, and only that, is what the number means.",
            ),
            Option(
                "The model knows the answer.",
                False,
                "Careful. A frequent phrase can be just as likely without any knowledge behind it.",
            ),
        ],
    ),
    Question(
        "Two models cut text into different tokens. Which number can you compare between them?",
        [
            Option(
                "Bits per token",
                False,
                "A model with longer tokens pays more for each and has fewer of them.",
            ),
            Option("Bits per character", True, "Both models read the same characters, however they cut them."),
            Option(
                "The probability of the first token",
                False,
                "The first tokens may be different strings, so these are answers to two questions.",
            ),
        ],
    ),
    Question(
        "Doubling the length of a prompt slightly more than doubles the operations. Where does the rest come from?",
        [
            Option(
                "The MLP",
                False,
                "Its cost is the same for every token, so twice the tokens cost exactly twice as much.",
            ),
            Option(
                "Attention scores and the mixing of values",
                True,
                "They pair every token with every token, so they grow with the square of the length.",
            ),
            Option("The vocabulary", False, "The unembedding costs the same for every token."),
        ],
    ),
    Question(
        "An estimate says that reading a paragraph takes 1 to 20 joules on a laptop. What makes the range so wide?",
        [
            Option("The operations can't be counted.", False, "They can, to better than one part in a thousand here."),
            Option(
                "How many operations a machine gets out of a joule",
                True,
                "It depends on the chip, on how busy it is kept, and on what else is charged to it. So the estimate "
                "names its assumptions and carries both ends.",
            ),
            Option("The prompt's meaning", False, "Cost depends on the number of tokens, not on what they say."),
        ],
    ),
]
