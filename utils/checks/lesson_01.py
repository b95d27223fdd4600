"""Lesson 01, anatomy: references, checks and quiz."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch

from utils.checks import Exercise, Option, Question, Score, choose
from utils.checks.calling import Mistake, call, describe_error
from utils.checks.comparing import expect_close, expect_each, expect_shape, expect_type, is_close, reject, seeded

# -------------------------------------------------------------------------------------- 1.1 the stream as a sum


def add_up(embedding: torch.Tensor, attn_outs: torch.Tensor, mlp_outs: torch.Tensor) -> torch.Tensor:
    """The residual stream after 0, 1, 2, … blocks, rebuilt from what each part added."""
    after = embedding + (attn_outs + mlp_outs).cumsum(0)
    return torch.cat([embedding[None], after])


def check_add_up(attempt: Callable) -> None:
    random = torch.Generator().manual_seed(0)
    embedding = torch.randn(5, 4, generator=random)
    attn, mlp = torch.randn(3, 5, 4, generator=random), torch.randn(3, 5, 4, generator=random)
    result = call(attempt, embedding, attn, mlp)
    expect_type(result, torch.Tensor, "Stack the layers into one tensor.")
    if result.shape == (5, 4):
        raise Mistake(
            "You returned one layer of shape (5, 4). The stream is wanted after every block, the embedding first: "
            "shape (4, 5, 4) for 3 blocks. A running sum (`cumsum`) keeps every step."
        )
    if result.shape == (3, 5, 4):
        raise Mistake(
            "You have one entry a block. Index 0 is the stream before any block, which is the embedding, so there is "
            "one more entry than blocks."
        )
    expect_shape(result, (4, 5, 4), "One entry more than there are blocks: index i is the stream after i blocks.")
    right = add_up(embedding, attn, mlp)
    zero = torch.zeros_like(embedding)
    if is_close(result, add_up(zero, attn, mlp)):
        raise Mistake(
            "The embedding is missing. It is the first thing in the stream, and every later entry holds it too."
        )
    if is_close(result, add_up(embedding, attn, torch.zeros_like(mlp))):
        raise Mistake("Only the attention outputs were added. Each block adds its MLP's output as well.")
    if is_close(result, add_up(embedding, torch.zeros_like(attn), mlp)):
        raise Mistake("Only the MLP outputs were added. Each block adds its attention's output as well.")
    if is_close(result, torch.cat([embedding[None], embedding + attn + mlp])):
        raise Mistake(
            "Each entry holds the embedding and its own block only. The stream is never emptied: entry i holds "
            "everything added by the blocks before it, too."
        )
    if is_close(result[1:], (attn + mlp).cumsum(0)):
        raise Mistake("Entry 0 is right, but the later entries lack the embedding. It stays in the stream for good.")
    both = attn + mlp
    known = [
        (
            torch.cat([embedding[None], embedding + both.cumsum(1)]),
            "The running sum goes over positions. The stream grows from block to block: sum over axis 0.",
        ),
        (
            torch.cat([embedding[None], embedding + both.cumsum(2)]),
            "The running sum goes over d_model. The stream grows from block to block: sum over axis 0.",
        ),
        (
            torch.cat([right[1:], embedding[None]]),
            "The embedding stands last. Nothing is before it: index 0, then one entry a block.",
        ),
        (right.flip(0), "The order is turned round: index 0 is the embedding, the last index the whole sum."),
        (
            add_up(embedding, attn, -mlp),
            "The MLP outputs are subtracted. Whatever a part writes is *added* to the stream.",
        ),
        (
            add_up(embedding, -attn, mlp),
            "The attention outputs are subtracted. Whatever a part writes is *added* to the stream.",
        ),
        (
            torch.cat([embedding[None], embedding - both.cumsum(0)]),
            "What the blocks wrote is subtracted. Whatever a part writes is *added* to the stream.",
        ),
        (
            torch.cat([embedding[None], both.cumsum(0) - embedding]),
            "The embedding is subtracted from the later entries. It stays in the stream: add it.",
        ),
    ]
    reject(result, known)
    blocks = torch.tensor([[[1.0]], [[10.0]]]), torch.tensor([[[2.0]], [[20.0]]])
    told = "An embedding of 5 and blocks that add 1 + 2 and 10 + 20: the stream is 5, 8, 38."
    expect_each(attempt, [((torch.tensor([[5.0]]), *blocks), torch.tensor([[[5.0]], [[8.0]], [[38.0]]]), told)])
    expect_close(
        result, right, "The shape is right, the numbers are not. Entry 1 is embedding + attn_outs[0] + mlp_outs[0]."
    )
    one = torch.randn(2, 3, generator=random)
    parts = torch.randn(2, 5, 2, 3, generator=random)
    message = "Right for 3 blocks and wrong for 5: add up as many blocks as there are."
    expect_close(call(attempt, one, *parts), add_up(one, *parts), message)


# ------------------------------------------------------------------------------------------- 1.2 the logit lens


def read_early(
    residual: torch.Tensor, norm_weight: torch.Tensor, unembed: torch.Tensor, eps: float = 1e-5
) -> torch.Tensor:
    """Logits of the model if `residual` were its final residual: RMS norm, scale, unembed."""
    size = (residual.pow(2).mean(-1, keepdim=True) + eps).sqrt()
    return (residual / size * norm_weight) @ unembed


def check_read_early(attempt: Callable) -> None:
    random = torch.Generator().manual_seed(0)
    # Small values, an offset and uneven rows: so that eps, a subtracted mean and a norm over the wrong axis all show.
    residual = 0.02 * torch.randn(3, 4, generator=random) * torch.tensor([[1.0], [3.0], [0.2]]) + 0.01
    weight, unembed = torch.rand(4, generator=random) + 0.5, torch.randn(4, 6, generator=random)
    eps = 1e-4
    result = call(attempt, residual, weight, unembed, eps)
    expect_type(result, torch.Tensor)
    expect_shape(result, (3, 6), "One row of logits for each row of the residual: (pos, d_vocab).")
    right = read_early(residual, weight, unembed, eps)
    centred = residual - residual.mean(-1, keepdim=True)
    everything = residual / (residual.pow(2).mean() + eps).sqrt()
    positions = residual / (residual.pow(2).mean(0, keepdim=True) + eps).sqrt()
    length = residual / (residual.pow(2).sum(-1, keepdim=True) + eps).sqrt()
    mistakes = [
        (
            residual @ unembed,
            "The norm is missing. Without it early layers, whose vectors are short, look unsure of all.",
        ),
        (
            (residual * weight) @ unembed,
            "You applied the norm's weight but did not divide by the vector's root mean square first.",
        ),
        (
            read_early(residual, torch.ones(4), unembed, eps),
            "The norm's learned weight is missing: after dividing, multiply by `norm_weight`, one number a dimension.",
        ),
        (
            read_early(residual, weight, unembed, 0.0),
            "eps is missing. It is added to the mean square, inside the root, and matters for small vectors.",
        ),
        (
            (residual / (residual.pow(2).mean(-1, keepdim=True).sqrt() + eps) * weight) @ unembed,
            "eps stands outside the root. Add it to the mean square, before taking the root.",
        ),
        (
            read_early(residual, weight, unembed, -eps),
            "You subtracted eps. It keeps the root away from 0: add it to the mean square.",
        ),
        *(
            (
                read_early(residual, weight, unembed, fixed),
                "eps is fixed. Use the `eps` you are given: models differ in it.",
            )
            for fixed in (1e-5, 1e-6, 1e-8, torch.finfo(torch.float32).eps)
        ),
        (
            (residual / (residual.pow(2).mean(-1, keepdim=True) + eps) * weight) @ unembed,
            "You divided by the mean square. Take its root first: that is what makes the length 1 on average.",
        ),
        (
            (residual / (residual.abs().mean(-1, keepdim=True) + eps) * weight) @ unembed,
            "You divided by the mean *absolute* value. RMS is the root of the mean of the squares.",
        ),
        (
            (residual * (residual.pow(2).mean(-1, keepdim=True) + eps).sqrt() * weight) @ unembed,
            "You multiplied by the size. The norm divides by it.",
        ),
        (
            read_early(residual, 1 / weight, unembed, eps),
            "You divided by the norm's weight. The norm multiplies by it, one number a dimension.",
        ),
        (
            (residual / (residual.pow(2).mean(-1, keepdim=True) + eps).sqrt() + weight) @ unembed,
            "You added the norm's weight. The norm multiplies by it, one number a dimension.",
        ),
        (
            read_early(centred, weight, unembed, eps),
            "You subtracted the mean: that is LayerNorm. This model uses RMSNorm, which only divides.",
        ),
        (
            (everything * weight) @ unembed,
            "You averaged over all positions. Each token is normalised by itself: axis -1.",
        ),
        (
            (positions * weight) @ unembed,
            "You averaged over positions. Average over the model's dimensions (axis -1), keepdim=True.",
        ),
        (
            (length * weight) @ unembed,
            "You divided by the root of the *sum* of squares (the length). RMSNorm uses the *mean* of squares.",
        ),
        (right.softmax(-1), "These are probabilities. Return the logits; the softmax comes later."),
        (right.log_softmax(-1), "These are log-probabilities. Return the logits; the softmax comes later."),
    ]
    for wrong, message in mistakes:
        if is_close(result, wrong) and not is_close(wrong, right):
            raise Mistake(message)
    plain = torch.tensor([[3.0, 4.0, 0.0]]), torch.ones(3), torch.eye(3), 0.0
    told = "The mean square of (3, 4, 0) is 25/3, its root 2.887. With weight 1 the logits are 1.039, 1.386 and 0."
    expect_each(attempt, [(plain, read_early(*plain), told)])
    expect_close(
        result, right, "The shape is right, the numbers are not: divide, multiply by the weight, then `@ unembed`."
    )
    batch = 0.02 * torch.randn(2, 5, 4, generator=random), weight, unembed, eps
    default = residual, weight, unembed
    cases = [
        (batch, read_early(*batch), "It works for (pos, d_model) but not for (batch, pos, d_model): use axis -1."),
        (default, read_early(*default), "Called without `eps` it should use the default of the first line, 1e-5."),
    ]
    expect_each(attempt, cases)


# -------------------------------------------------------------------------------------- 1.4 the induction score


def induction_score(patterns: torch.Tensor, period: int) -> torch.Tensor:
    """Mean attention from the second copy's tokens to the token after their first occurrence, for each head."""
    queries = torch.arange(period + 1, 2 * period + 1)
    return patterns[:, queries, queries - period + 1].mean(-1)


def check_induction_score(attempt: Callable) -> None:
    period = 4
    random = torch.Generator().manual_seed(0)
    # Nothing is 0, though a real pattern has no attention to later tokens: 0 would be the answer to several mistakes.
    patterns = torch.rand(3, 9, 9, generator=random)
    patterns[0, range(5, 9), range(2, 6)] += torch.tensor([2.0, 0.0, 2.0, 2.0])
    patterns[1, range(5, 9), range(2, 6)] += torch.tensor([2.0, 2.0, 0.0, 0.0])
    patterns = patterns / patterns.sum(-1, keepdim=True)
    result = call(attempt, patterns, period)
    expect_type(result, torch.Tensor, "One number a head, in a tensor.")
    if result.shape == (4,) or result.shape == (9,):
        raise Mistake(f"Your result has shape {tuple(result.shape)}, one number a position. Average over the queries.")
    if result.shape == ():
        raise Mistake("You averaged over the heads as well. The score is wanted for each head: shape (3,) here.")
    expect_shape(result, (3,), "One score a head.")

    def score(offset: int, first: int, last: int = 9) -> torch.Tensor:
        queries = torch.arange(first, last)
        return patterns[:, queries, queries - offset].mean(-1)

    keyed = patterns[:, range(5, 9), range(2, 6)]

    mistakes = [
        (
            score(4, 5),
            "This is one off: you look at the token's own first occurrence. Induction looks at the token *after*.",
        ),
        (score(2, 5), "This is one too far: two tokens after the first occurrence. The key is `query - period + 1`."),
        (score(1, 5), "This is the attention to the previous token: another kind of head."),
        (
            score(5, 5),
            "You went the wrong way: this is the token *before* the first occurrence. Add 1, don't subtract it.",
        ),
        (
            score(3, 3),
            "You averaged over first-copy queries too. There is nothing to find there yet: use positions "
            "period + 1 to 2 * period.",
        ),
        (
            score(3, 4),
            "Your queries start one too early: position 0 is the start token, so the second copy starts at period + 1.",
        ),
        (
            score(3, 4, 8),
            "You forgot the start token: it is position 0, so the second copy is positions period + 1 to 2 * period.",
        ),
        (score(3, 6), "The first query is missing: the second copy begins at position period + 1."),
        (score(3, 5, 7), "The last two queries are missing: the second copy ends at position 2 * period, included."),
        (score(3, 5, 8), "The last query is missing: the second copy ends at position 2 * period, included."),
        (
            score(3, 5) * 4,
            "You added the attention up. Take the mean over the queries, so that a score lies between 0 and 1.",
        ),
        (
            torch.stack([patterns[:, q - 3, q] for q in range(5, 9)]).mean(0),
            "Query and key are swapped. A row of the pattern is a query: patterns[head, query, key].",
        ),
        (
            (patterns[:, 5:].argmax(-1) == torch.arange(2, 6)).float().mean(-1),
            "This is how *often* that key is the strongest. Take the mean of its attention weights.",
        ),
        (
            (keyed == patterns[:, 5:].amax(-1)).float().sum(-1),
            "This counts how often that key is the strongest. Take the mean of its attention weights.",
        ),
        (keyed.median(-1).values, "This is the median over queries. Take the mean, as the task says."),
        (keyed.quantile(0.5, dim=-1), "This is the median over queries. Take the mean, as the task says."),
        (keyed.amax(-1), "This is the best of the queries. Take the mean over all of the second copy."),
        (keyed[:, 0], "This is one query. Take the mean over all of the second copy."),
        (keyed[:, -1], "This is the last query only. Take the mean over all of the second copy."),
        (patterns[:, 5:, 1:5].mean((1, 2)), "This averages over all pairs of positions. Take one key for each query."),
        (
            patterns[:, 5:, 1:5].sum(-1).mean(-1),
            "This is all attention to the first copy. Take one key for each query: query - period + 1.",
        ),
        (
            patterns[:, 5:].max(-1).values.mean(-1),
            "This is the strongest attention, wherever it goes. Look at one key.",
        ),
    ]
    reject(result, mistakes)
    right = induction_score(patterns, period)
    expect_close(result, right, "The numbers are wrong. For query q of the second copy the key is q - period + 1.")
    longer = torch.rand(2, 13, 13, generator=random)
    if not is_close(call(attempt, longer, 6), induction_score(longer, 6)):
        raise Mistake("It works for period 4 but not for period 6: use `period`, not a number.")


# --------------------------------------------------------------------------------------------- 1.6 an ablation


def silence(head: int, mean: torch.Tensor | None = None) -> Callable:
    """Make a hook function that replaces one head's output by zero, or by its mean."""

    def hook_function(z, hook):
        z = z.clone()
        z[:, :, head] = 0.0 if mean is None else mean
        return z

    return hook_function


def _hooked(hook_function: Callable, activation: torch.Tensor, hook: SimpleNamespace) -> Any:
    """Call an inner function as TransformerLens does, with `hook=` by name, on the very tensor given (the check looks
    at it afterwards), naming its errors."""
    try:
        return hook_function(activation, hook=hook)
    except Exception as error:
        told = describe_error(hook_function, error)
        if "'hook'" in told or "positional argument" in told:
            told += ". The model calls a hook function as `f(activation, hook=…)`: name its second argument `hook`."
        raise Mistake(told) from None


def check_silence(attempt: Callable) -> None:
    z = torch.randn(2, 4, 3, 5, generator=torch.Generator().manual_seed(0)) + 1.0
    mean = torch.arange(5.0)
    hook = SimpleNamespace(name="blocks.0.attn.hook_z")
    zero_hook = call(attempt, 1)
    if not callable(zero_hook):
        raise Mistake(
            f"Your function returned a {type(zero_hook).__name__}, not a function. Define `hook_function(z, hook)` "
            "inside it and return that function."
        )
    passing = z.clone()
    result = _hooked(zero_hook, passing, hook)
    if result is None:
        done = "changed z in place and " if not torch.equal(passing, z) else ""
        raise Mistake(
            f"Your hook function {done}returned nothing. Return the changed copy of z: the model goes on with it."
        )
    expect_type(result, torch.Tensor)
    expect_shape(result, (2, 4, 3, 5), "The model goes on with what you return: keep the shape of z.")
    if not torch.equal(passing, z):
        raise Mistake(
            "Your hook function changed z itself. Work on a copy (`z.clone()`): other hooks may still read it."
        )

    def zeroed(*index: Any) -> torch.Tensor:
        copy = z.clone()
        copy[index] = 0.0
        return copy

    every = slice(None)
    mistakes = [
        (z, "Nothing changed. The head's part is z[:, :, head]."),
        (zeroed(every), "You silenced every head. Only z[:, :, head] goes."),
        (zeroed(1), "You silenced a text, not a head: the first axis is the batch. Heads are axis 2."),
        (zeroed(every, 1), "You silenced a position, not a head: axis 1 is pos. Heads are axis 2."),
        (
            zeroed(every, every, every, 1),
            "You silenced one dimension of every head: axis 3 is d_head. Heads are axis 2.",
        ),
        (
            zeroed(every, every, [0, 2]),
            "You kept that head and silenced all others. It should be the other way round.",
        ),
        (zeroed(every, -1, 1), "The head is silent at the last position only. Silence it at every position."),
    ]
    reject(result, mistakes)
    filled = result[:, :, 1]
    if filled.max() == filled.min() != 0 and is_close(result[:, :, [0, 2]], z[:, :, [0, 2]]):
        raise Mistake(f"The head's output became {float(filled.max()):.3g} everywhere. Silent is exactly 0.")
    expect_close(
        result, zeroed(every, every, 1), "The head's output should be 0 everywhere, and all other heads untouched."
    )

    mean_result = _hooked(call(attempt, 2, mean), z.clone(), hook)
    expect_type(mean_result, torch.Tensor, "With `mean` given, too, the hook function returns a tensor.")
    expect_shape(mean_result, (2, 4, 3, 5))
    if is_close(mean_result[:, :, 2], z[:, :, 2]) and not is_close(mean_result, z):
        raise Mistake("Another head than the given one was silenced. Use `head`: z[:, :, head].")
    if is_close(mean_result, zeroed(every, every, 2)):
        raise Mistake("With `mean` given the head still becomes 0. Replace its output by `mean`, of shape (d_head,).")
    own = z.clone()
    own[:, :, 2] = z[:, :, 2].mean((0, 1))
    if is_close(mean_result, own):
        raise Mistake(
            "You used the mean of this very batch. Use the `mean` you were given: it comes from reference text."
        )
    added = z.clone()
    added[:, :, 2] += mean
    if is_close(mean_result, added):
        raise Mistake("You added the mean to the head's output. Replace the output by it: the information must go.")
    taken = z.clone()
    taken[:, :, 2] -= mean
    if is_close(mean_result, taken):
        raise Mistake(
            "You subtracted the mean: that keeps the information and takes the constant away. Do the opposite."
        )
    right = z.clone()
    right[:, :, 2] = mean
    expect_close(
        mean_result, right, "With `mean` given, z[:, :, head] should be `mean` at every position of every text."
    )


# ------------------------------------------------------------------------------------- 1.5 an impostor (attack)


def impostor(n_pos: int) -> torch.Tensor:
    """A causal attention pattern of a head that knows nothing of tokens: everybody looks 19 places back."""
    pattern = torch.zeros(n_pos, n_pos)
    queries = torch.arange(n_pos)
    pattern[queries, (queries - 19).clamp(min=0)] = 1.0
    return pattern


def check_impostor(attempt: Callable) -> Score:
    n_pos = 41  # a start token and 20 tokens said twice
    pattern = call(attempt, n_pos)
    expect_type(pattern, torch.Tensor, "Return the pattern as a tensor, (query, key).")
    expect_shape(pattern, (n_pos, n_pos), "One row a query, one column a key.")
    pattern = pattern.float()
    if bool((pattern < 0).any()):
        raise Mistake("Some weights are negative. Attention weights are shares: none is below 0.")
    if not is_close(pattern.triu(1), torch.zeros(n_pos, n_pos)):
        raise Mistake("Some query looks at a later token. A token can only look at itself and at what came before it.")
    if not is_close(pattern.sum(-1), torch.ones(n_pos)):
        row = int((pattern.sum(-1) - 1).abs().argmax())
        raise Mistake(
            f"The weights of query {row} sum to {float(pattern[row].sum()):.2f}, not 1: each query looks somewhere."
        )
    for n_other in (30, 61):
        other = call(attempt, n_other)
        if not isinstance(other, torch.Tensor) or tuple(other.shape) != (n_other, n_other):
            raise Mistake(
                f"For a text of {n_other} tokens the pattern must be ({n_other}, {n_other}): use `n_pos`, not 41."
            )
        if not is_close(other.float().sum(-1), torch.ones(n_other)):
            raise Mistake(f"Right for 41 tokens; for {n_other} the weights of some query do not sum to 1.")
    if float(pattern[range(21, 41), range(1, 21)].mean()) > 0.5:
        raise Mistake(
            "This head looks 20 places back: at the token's first occurrence. The token *after* that one lies nearer."
        )
    score = float(induction_score(pattern[None], 20)[0])
    hint = "In these texts the token after the first occurrence always lies at one and the same distance. Which?"
    return Score(score, 0.9, 20, "queries, in texts that", hint)


# ------------------------------------------------------------------------------------------------ 1.8 copying


def copying(written: torch.Tensor, unembed: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """For each token, the share of the other tokens whose logits its own beats in what the head writes about it."""
    logits = written @ unembed[:, ids]  # (looked at, token)
    logits = logits - logits.mean(0)
    own = logits.diagonal()[:, None]
    return (own > logits).float().sum(1) / (len(ids) - 1)


def check_copying(attempt: Callable) -> None:
    random = seeded(18)
    n, d_model, d_vocab = 7, 9, 14
    ids = torch.tensor([3, 11, 0, 7, 13, 5, 9])
    unembed = torch.randn(d_model, d_vocab, generator=random)
    unembed[:, 11] *= 4  # a token with a long row of its own
    written = 0.5 * torch.randn(n, d_model, generator=random) + 1.5 * unembed[:, 11]
    written = written + 0.6 * unembed[:, ids].T * torch.tensor([1.0, -1.0, 0.3, 1.0, -0.4, 0.2, -0.1])[:, None]
    result = call(attempt, written, unembed, ids)
    expect_type(result, torch.Tensor, "One share a token, in a tensor.")
    if result.shape == ():
        raise Mistake("You averaged over the tokens as well. One share for each token is wanted: shape (n,).")
    expect_shape(result, (n,), "One share for each token.")
    right = copying(written, unembed, ids)
    table = written @ unembed[:, ids]
    full = written @ unembed

    def shares(logits: torch.Tensor) -> torch.Tensor:
        return (logits.diagonal()[:, None] > logits).float().sum(1) / (n - 1)

    centred = table - table.mean(0)
    vocabulary = full - full.mean(0)
    own = vocabulary[torch.arange(n), ids][:, None]
    reject(
        result,
        [
            (
                shares(table),
                "Still in it: what every write gives a token. A token that all writes raise wins everywhere, and that "
                "is no copying. Subtract each token's mean over the writes, axis 0: one over axis 1 changes no row.",
            ),
            (
                (own > vocabulary).float().sum(1) / (d_vocab - 1),
                "You compared with the whole vocabulary. Compare with the other tokens of the list: `unembed[:, ids]`.",
            ),
            (
                shares(centred.T),
                "The table is turned round: you compared writes for one token. Compare tokens within one write.",
            ),
            (1 - right, "This is the share of tokens that beat its own. Turn it round: whom does it beat?"),
            (
                (centred.diagonal()[:, None] > centred).float().mean(1),
                "You divided by all tokens. It can beat n - 1 others, not itself.",
            ),
            (
                (centred.diagonal()[:, None] >= centred).float().mean(1),
                "You counted the token among those that it beats. Count the n - 1 *other* tokens only.",
            ),
            (
                (centred.diagonal()[:, None] >= centred).float().sum(1) / (n - 1),
                "You counted the token among those that it beats, so a share can exceed 1. It doesn't beat itself.",
            ),
            (
                (centred.argmax(1) == torch.arange(n)).float(),
                "This tells whether its own token is first. A share is wanted: how many of the others it beats.",
            ),
            (centred.diagonal(), "These are logits. Compare each token's own with the others' in the same write."),
            (
                shares(centred.abs()),
                "You compared sizes without their sign. A head that pushes its own token *down* must come out low.",
            ),
        ],
    )
    tiny = torch.tensor([[3.0, 1.0], [0.0, 2.0]]), torch.eye(2), torch.tensor([0, 1])
    three = torch.tensor([[1.0, 5.0, 2.0], [0.0, 4.0, 8.0], [2.0, 3.0, 2.0]]), torch.eye(3), torch.tensor([0, 1, 2])
    expect_each(
        attempt,
        [
            (
                tiny,
                copying(*tiny),
                "Writes (3, 1) and (0, 2) for tokens 0 and 1: each beats its one other, shares 1, 1.",
            ),
            (
                three,
                copying(*three),
                "Means over the three writes are 1, 4 and 4: take them off, then compare in each row.",
            ),
        ],
    )
    expect_close(result, right, "The shape is right, the shares are not. Centre the columns, then compare within rows.")


# ------------------------------------------------------------------------------- 1.10 what to name (design)


def name_entries(observed: torch.Tensor, null: torch.Tensor) -> torch.Tensor:
    """Which entries of a map may be named, (m,) bool: the highest against the highest of each draw, and so on down."""
    named = torch.zeros(len(observed), dtype=torch.bool)
    for entry in observed.argsort(descending=True):
        highest = null[:, ~named].amax(1)
        if observed[entry] <= highest.quantile(0.95):
            break
        named[entry] = True
    return named


N_MAPS, N_EMPTY, N_ENTRIES, N_DRAWS, N_STRONG, N_WEAK = 100, 60, 24, 200, 12, 4
NEEDED = 0.62  # holding every entry against the highest of all finds 0.57


def _maps() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Observed, null and truth of maps whose entries share some noise; the last 60 have nothing in them."""
    random = seeded(110)

    def noise(*size: int) -> torch.Tensor:
        shared = torch.randn(*size[:-1], 1, generator=random)
        return 0.6 * shared + 0.8 * torch.randn(*size, generator=random)

    effect = torch.zeros(N_MAPS + N_EMPTY, N_ENTRIES)
    for row in range(N_MAPS):
        order = torch.randperm(N_ENTRIES, generator=random)
        effect[row, order[:N_STRONG]], effect[row, order[N_STRONG : N_STRONG + N_WEAK]] = 8.0, 2.9
    return effect + noise(*effect.shape), noise(len(effect), N_DRAWS, N_ENTRIES), effect


def check_name_entries(attempt: Callable) -> Score:
    observed, null = torch.tensor([0.1, 9.0, 0.0]), torch.randn(200, 3, generator=seeded(1))
    first = call(attempt, observed, null)
    expect_type(first, torch.Tensor, "One True or False an entry, in a tensor.")
    expect_shape(first, (3,), "One True or False an entry.")
    if first.dtype != torch.bool:
        raise Mistake("Return True or False for each entry (a bool tensor), not numbers.")
    if first.tolist() != [False, True, False]:
        raise Mistake(
            "Of observed 0.1, 9 and 0, with a null that hardly passes 3, only the second may be named; yours names "
            f"{first.tolist()}."
        )
    ladder = torch.arange(1.0, 1000.0)[:, None]
    for value, expected, told in ((955.0, True, "in 44 of 999"), (943.0, False, "in 56 of 999")):
        if bool(call(attempt, torch.tensor([value]), ladder)[0]) is not expected:
            raise Mistake(
                f"One entry only, which the null passes {told} draws: it may be named if that is fewer than 1 in 20. "
                f"Yours says {not expected}."
            )
    every, null_of, effect = _maps()
    false = found = wanted = 0
    for row in range(len(every)):
        named = call(attempt, every[row], null_of[row])
        expect_shape(named, (N_ENTRIES,), "One True or False an entry.")
        weak = (effect[row] > 0) & (effect[row] < 5)
        false += bool((named & (effect[row] == 0)).any())
        found += int((named & weak).sum())
        wanted += int(weak.sum())
    if false > 0.09 * len(every):
        raise Mistake(
            f"On {len(every)} maps you haven't seen, your rule puts a name on an entry without effect in {false} of "
            "them; about 1 in 20 is allowed. With so many entries the luckiest one is always high: hold entries "
            "against the *highest* of each draw."
        )
    hint = (
        "False names are rare, but weak effects are missed. Entries that already have a name are no longer candidates: "
        "hold the next one against the highest of those that are left."
    )
    return Score(found / wanted, NEEDED, wanted, "weak effects, on maps", hint)


EXERCISES = [
    Exercise("1.1", "The residual stream as a sum", add_up, check_add_up),
    Exercise("1.2", "The logit lens", read_early, check_read_early),
    choose(
        "1.3",
        "A control for a lens",
        "b",
        {
            "a": "The fit knows this text. It tells how well the map was fitted, not what it reads in a new sentence.",
            "b": "Yes: what common words and the last two tokens give away, this control has as well. What a lens "
            "reads beyond it comes from the rest of the sentence.",
            "c": "It has a wrong sentence. A lens that sees only the last word of the right one beats it easily.",
            "d": "A longer list makes every lens look better, one that only knows which words are common too.",
        },
    ),
    Exercise("1.4", "Scoring an induction head", induction_score, check_induction_score),
    Exercise("1.5", "An impostor", impostor, check_impostor, kind="attack"),
    Exercise("1.6", "Silencing a head", silence, check_silence),
    choose(
        "1.7",
        "By which way?",
        "c",
        {
            "a": "That shows that later heads need it, which you know. Not whether their queries, keys or values do.",
            "b": "That shows that losing it in the keys is enough to do harm. Queries or values might do as much: "
            "nothing stands beside it.",
            "c": "Yes: each way opened by itself, and each way closed. A number for one way says little until you see "
            "the other two.",
            "d": "Holding anything may mend something. Without the same for queries and values you can't tell how much "
            "of it is due to the keys.",
        },
    ),
    Exercise("1.8", "Does it copy?", copying, check_copying),
    choose(
        "1.9",
        "The sentence that stands",
        "d",
        {
            "a": "Silencing induction heads costs the word games more than others of their layers do: see the table.",
            "b": "The function-vector heads cost the games more than others of their layers do: see the table.",
            "c": "Two games, one model of this size, four heads of each kind. That is no law of language models.",
            "d": "Yes: that is what was measured, with its reach.",
        },
    ),
    Exercise("1.10", "What may be named?", name_entries, check_name_entries, kind="design"),
]

QUIZ = [
    Question(
        "You add the embedding and all 60 attention and MLP outputs at the last position. What do you have?",
        [
            Option(
                "The model's logits for the next token.",
                False,
                "One step short: the sum is the final residual vector. Last norm and unembedding make it logits.",
            ),
            Option(
                "The final residual vector, but for rounding.",
                True,
                "Blocks only ever add to the stream, so the parts sum to it without anything left over.",
            ),
            Option(
                "An approximation, for the norms bend it.",
                False,
                "Each block norms a copy for its own reading. What it adds to the stream is added as it is.",
            ),
            Option(
                "The average opinion of the layers.",
                False,
                "It is a sum, and a lopsided one: late parts are many times longer than early ones.",
            ),
        ],
    ),
    Question(
        "The logit lens finds few answers at depth 24. What may you conclude?",
        [
            Option(
                "After 24 blocks little is known yet.",
                False,
                "A lens with a fitted translator reads more at the same depth. What one lens misses may be there.",
            ),
            Option(
                "The output layer reads few of them there.",
                True,
                "That is what was measured, and only that.",
            ),
            Option(
                "Blocks 0 to 23 could be removed.",
                False,
                "They make what later blocks use. Your lesion map shows what removing them costs.",
            ),
            Option(
                "The model thinks in secret.",
                False,
                "No secret: a linear map learned from a little text already reads most of the answers.",
            ),
        ],
    ),
    Question(
        "A head has induction score 0.9 on repeated random tokens, at one period. Which of these follows?",
        [
            Option(
                "On such text it looks that far back.",
                True,
                "The score is a mean of attention weights on one offset. Your impostor has it without reading a token.",
            ),
            Option(
                "It finds earlier occurrences of tokens.",
                False,
                "A head that looks 19 places back scores as high. Other periods tell them apart.",
            ),
            Option(
                "It copies what it looks at.",
                False,
                "L24H4 looks there and pushes that token down. What a head writes is a question for its OV circuit.",
            ),
            Option(
                "Repetition would fail without it.",
                False,
                "Several heads share the score. Whether one is needed is a question for an ablation.",
            ),
        ],
    ),
    Question(
        "L16H0 and L11H1 both look at the token before. Silencing one costs most of the copying, the other none. Why?",
        [
            Option(
                "L11H1's score was high by chance.",
                False,
                "Scores hold over several draws of random tokens, with small intervals.",
            ),
            Option(
                "The keys above read what L16H0 writes.",
                True,
                "Held at what they read before, they make its silence cost next to nothing. Form alone tells nothing.",
            ),
            Option(
                "L11H1 does nothing.",
                False,
                "It may serve what this text doesn't ask for. 'Not needed here' is all that was shown.",
            ),
            Option(
                "Later heads are always stronger.",
                False,
                "All five that you silenced lie below layer 17, and four cost nothing. Depth alone isn't it.",
            ),
        ],
    ),
    Question(
        "Why compare silencing four induction heads with four random heads *of the same layers*?",
        [
            Option(
                "To make the runs equally fast.",
                False,
                "Speed is the same anyway. The point is what else could explain the damage.",
            ),
            Option(
                "Any four missing heads cost something.",
                True,
                "The matched draws show how much damage comes with removing heads as such, at that depth.",
            ),
            Option(
                "To find further induction heads.",
                False,
                "The control is there to be unremarkable. If it isn't, the claim falls.",
            ),
            Option(
                "A mean needs eight heads or more.",
                False,
                "The mean is taken for each head by itself.",
            ),
        ],
    ),
    Question(
        "A paper finds that induction heads carry learning from examples in the prompt. What does your table say?",
        [
            Option(
                "It is so: nothing else costs as much.",
                False,
                "Four function-vector heads cost these word games about as much, and repetition far less.",
            ),
            Option(
                "Both lists of heads have a part in it.",
                True,
                "Both are missed in the games, and some heads fit either list; repetition misses mainly one.",
            ),
            Option(
                "It is false of every model.",
                False,
                "One small model, two games. Yin & Steinhardt find that it depends on size.",
            ),
            Option(
                "Attention has no part in it.",
                False,
                "Silencing four heads of 270 changes the answers. Random heads of the same layers change them less.",
            ),
        ],
    ),
    Question(
        "A lesion map of 48 entries has one that stands out at p = 0.02, taken by itself. So:",
        [
            Option(
                "There is an effect, at 2 %.",
                False,
                "Of 48 entries without any effect, about one is expected to reach that by luck.",
            ),
            Option(
                "It isn't enough: see the highest of 48.",
                True,
                "Hold it against the highest of each draw, among the entries that have no name yet.",
            ),
            Option(
                "It is luck, so there is nothing.",
                False,
                "Not shown isn't absent. With so few passages a middling effect would be missed.",
            ),
            Option(
                "One takes the largest entry anyway.",
                False,
                "The largest of many is large. That is what the step-down null is for.",
            ),
        ],
    ),
]
