"""Lesson 01, anatomy: references, checks and quiz."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch

from utils.checks import Exercise, Option, Question
from utils.checks.calling import Mistake, call, describe_error
from utils.checks.comparing import expect_close, expect_each, expect_shape, expect_type, is_close, reject, seeded

# ------------------------------------------------------------------------------------- 1.1 a hook that records


def recorder(notebook: dict, label: str) -> Callable:
    """Make a hook function that writes what passes by into notebook[label], and changes nothing."""

    def hook_function(activation, hook):
        notebook[label] = activation.detach().clone()

    return hook_function


class _Notebook(dict):
    """A notebook that `call` hands over as it is: the learner is meant to write into it."""


def check_recorder(attempt: Callable) -> None:
    notebook = _Notebook()
    hook_function = call(attempt, notebook, "block 3")
    if not callable(hook_function):
        raise Mistake(
            f"Your function returned a {type(hook_function).__name__}, not a function. Define "
            "`hook_function(activation, hook)` inside it and return that function, without calling it."
        )
    if notebook:
        raise Mistake(
            "Something is in the notebook before the model has run. Only the inner function may write into it."
        )
    activation = torch.randn(2, 3, 4, generator=seeded(11)).requires_grad_()
    hook = SimpleNamespace(name="blocks.3.hook_out")
    passing = activation * 1.0
    returned = _hooked(hook_function, passing, hook)
    if not torch.equal(passing, activation):
        raise Mistake("Your hook function changed the activation itself, and the model goes on with that. Only watch.")
    if "block 3" not in notebook:
        names = ", ".join(map(repr, notebook)) or "nothing"
        raise Mistake(f'The notebook should hold an entry under the label "block 3"; it holds {names}.')
    if returned is not None and not (isinstance(returned, torch.Tensor) and torch.equal(returned, activation)):
        raise Mistake(
            "Your hook function returned something else than the activation. What a hook returns replaces the "
            "activation, so the model would go on with that. To watch only, return nothing."
        )
    kept = notebook["block 3"]
    expect_type(kept, torch.Tensor, "Write the activation itself into the notebook.")
    expect_shape(kept, (2, 3, 4), "Keep the whole activation: every text and every position.")
    expect_close(kept, activation, "What is in the notebook is not what passed by.")
    with torch.no_grad():
        passing.zero_()
    if not torch.equal(kept.detach(), activation.detach()):
        raise Mistake(
            "The entry changed when the model reused its memory: you kept the tensor itself. Keep a copy (`.clone()`)."
        )
    if kept.requires_grad:
        raise Mistake(
            "The entry still hangs on the model's computation graph, and keeps all of it in memory. `.detach()` it."
        )
    later = torch.randn(1, 2, 4, generator=seeded(12))
    _hooked(call(attempt, notebook, "the end"), later, hook)
    if "the end" not in notebook or not is_close(notebook["the end"], later):
        raise Mistake(
            'A second hook, made with the label "the end", wrote no such entry: use the `label` you are given.'
        )
    if not is_close(notebook["block 3"], activation):
        raise Mistake("A second hook overwrote the first one's entry: each hook writes under its own label.")


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


# -------------------------------------------------------------------------------------- 1.2 the stream as a sum


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


# ------------------------------------------------------------------------------------------- 1.3 the logit lens


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


# --------------------------------------------------------------------------------------------- 1.5 an ablation


def silence(head: int, mean: torch.Tensor | None = None) -> Callable:
    """Make a hook function that replaces one head's output by zero, or by its mean."""

    def hook_function(z, hook):
        z = z.clone()
        z[:, :, head] = 0.0 if mean is None else mean
        return z

    return hook_function


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


# ---------------------------------------------------------------------------------------- 1.6 the nearest mean


def nearest_mean(train: torch.Tensor, labels: torch.Tensor, test: torch.Tensor) -> torch.Tensor:
    """Label of the class whose mean activation lies nearest, for each row of `test`."""
    classes = labels.unique()
    means = torch.stack([train[labels == c].mean(0) for c in classes])
    return classes[torch.cdist(test, means).argmin(1)]


def _surroundings() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Classes 7, 2 and 4, in that order of appearance and of unequal size, none of them where its examples are.

    Chosen so that each mistake which the check names gives another list of guesses: class 7 is far out (a dot product
    gives it everything), class 2 surrounds its mean (so its examples and medians mislead), and a test row lies near 0.
    """
    train = torch.tensor(
        [[10, 9], [-4, 2], [4, 2.5], [3, -1], [10, 10], [1.5, 3], [4, 20], [2.2, -0.6], [-1, 3.5], [5.5, -1.5]]
    )
    labels = torch.tensor([7, 2, 2, 4, 7, 2, 7, 4, 2, 4])
    test = torch.tensor(
        [[0.1, 0.3], [0.2, 1.9], [-3.7, 3.9], [2.1, 4.4], [1.9, 0.6], [-2.7, -2.9], [9.2, 3], [2.6, -7.7], [9, 9]]
    )
    return train, labels, test


def check_nearest_mean(attempt: Callable) -> None:
    train, labels, test = _surroundings()
    result = call(attempt, train, labels, test)
    expect_type(result, torch.Tensor, "One label a row of `test`, in a tensor.")
    if result.shape == (9, 3):
        raise Mistake(
            "You returned a table of distances or scores, (test rows, classes). Pick the nearest class of each row."
        )
    if result.shape == (10,):
        raise Mistake(
            "You guessed for the rows of `train`. Guess for the rows of `test`: those the means haven't seen."
        )
    expect_shape(result, (9,), "One guess for each row of `test`.")
    right = nearest_mean(train, labels, test)
    for wrong, message in _near_misses(train, labels, test):
        if is_close(result, wrong) and not is_close(wrong, right):
            raise Mistake(message)
    unknown = [int(label) for label in result.unique() if int(label) not in (2, 4, 7)]
    if unknown:
        raise Mistake(
            f"You returned the label {unknown[0]}, which no row of `train` has. Go over the labels that occur: "
            "`labels.unique()`, not a range."
        )
    if result.unique().numel() == 1:
        raise Mistake(f"Every row got the label {int(result[0])}. Compare each row with each class's own mean.")
    expect_close(
        result, right, "Some guesses are wrong. Mean of each class, distance of each test row to each, the smallest."
    )
    shift = torch.tensor([100.0, -50.0])
    if not is_close(call(attempt, train + shift, labels, test + shift), right):
        raise Mistake(
            "The guesses change when everything is moved by the same amount. A distance wouldn't: don't normalise."
        )
    stretch = torch.tensor([1.0, 12.0])
    stretched = nearest_mean(train * stretch, labels, test * stretch)
    if not is_close(call(attempt, train * stretch, labels, test * stretch), stretched):
        raise Mistake(
            "Where one dimension has larger numbers than the other yours doesn't follow it: a distance weighs every "
            "dimension as it comes. Don't scale."
        )
    random = seeded(16)
    train, labels = torch.randn(9, 3, generator=random), torch.tensor([1, 0, 5, 1, 8, 0, 5, 8, 1])
    test = torch.randn(12, 3, generator=random)
    message = "Right for three classes of two numbers and wrong for four of three: nothing may hang on the sizes."
    expect_close(call(attempt, train, labels, test), nearest_mean(train, labels, test), message)


def _near_misses(train: torch.Tensor, labels: torch.Tensor, test: torch.Tensor) -> list[tuple[torch.Tensor, str]]:
    classes = labels.unique()
    first_seen = torch.tensor(list(dict.fromkeys(labels.tolist())))
    groups = [train[labels == c] for c in classes]
    means = torch.stack([group.mean(0) for group in groups])
    distance = torch.cdist(test, means)
    to_each = torch.cdist(test, train)
    scaled = means / means.norm(dim=1, keepdim=True)
    return [
        (
            distance.argmin(1),
            "You returned the number of the mean (0, 1, 2), not its label. Look the label up: `classes[...]`.",
        ),
        (
            first_seen[distance.argmin(1)],
            "The means stand in one order and the labels in another: take both from one list of the classes.",
        ),
        (
            classes[torch.cdist(test, torch.stack([train[labels != c].mean(0) for c in classes])).argmin(1)],
            "Each mean is of all the *other* classes. Average the rows of the class itself: `labels == c`.",
        ),
        (classes[distance.argmax(1)], "These are the classes *farthest* away. Take the smallest distance (argmin)."),
        (
            classes[(test @ means.T).argmax(1)],
            "You compared with a dot product. It favours classes with long means; use the distance (`torch.cdist`).",
        ),
        (
            classes[(test @ scaled.T).argmax(1)],
            "You compared angles (cosines). Two means in one direction then look alike; use the distance.",
        ),
        (
            labels[to_each.argmin(1)],
            "This is the label of the nearest *example*. Average each class first, then compare with the means.",
        ),
        (
            classes[torch.stack([to_each[:, labels == c].mean(1) for c in classes], 1).argmin(1)],
            "You averaged *distances* to a class's examples. Average the examples first: one distance to their mean.",
        ),
        (
            classes[torch.cdist(test, torch.stack([group.median(0).values for group in groups])).argmin(1)],
            "You compared with medians. Use the mean of each class, as the name says.",
        ),
        (
            classes[torch.cdist(test, torch.stack([group.quantile(0.5, dim=0) for group in groups])).argmin(1)],
            "You compared with medians. Use the mean of each class, as the name says.",
        ),
        (
            classes[torch.cdist(test, torch.stack([group.sum(0) for group in groups])).argmin(1)],
            "You compared with *sums*. Divide each class's sum by its number of examples: the mean.",
        ),
        (
            classes[torch.cdist(test, torch.stack([group[0] for group in groups])).argmin(1)],
            "You compared with one example of each class. Average all of them first.",
        ),
        (
            classes[torch.cdist(test, means, p=1).argmin(1)],
            "You added up distances along the axes. Nearest means the straight line (Euclid): `torch.cdist`.",
        ),
        (labels[: len(test)], "These are the training labels. They may be used for the means only."),
    ]


# ---------------------------------------------------------------------------------- 1.7 selectivity of a region


def selectivity(damage: torch.Tensor) -> torch.Tensor:
    """How much more a lesion costs each kind of text than it costs the other kinds, on average."""
    n_kinds = damage.shape[1]
    others = (damage.sum(1, keepdim=True) - damage) / (n_kinds - 1)
    return damage - others


SIMPLE_DAMAGE = [
    ((torch.full((1, 3), 2.0),), torch.zeros(1, 3), "A region that hurts three kinds alike scores 0 for each."),
    (
        (torch.tensor([[1.0, 0.0]]),),
        torch.tensor([[1.0, -1.0]]),
        "Two kinds, damages 1 and 0: each has one other kind to be compared with, so the scores are 1 and -1.",
    ),
    (
        (torch.tensor([[6.0, 0.0, 3.0], [0.0, 0.0, 0.0]]),),
        torch.tensor([[4.5, -4.5, 0.0], [0.0, 0.0, 0.0]]),
        "Damages 6, 0, 3: the first score is 6 minus the mean of 0 and 3, so 4.5; then 0 - 4.5 and 3 - 3.",
    ),
]


def check_selectivity(attempt: Callable) -> None:
    damage = torch.tensor([[4.0, 1.0, 1.0, 0.0], [2.0, 2.0, 2.0, 2.0], [0.5, 0.0, -0.1, 3.0]])
    result = call(attempt, damage)
    expect_type(result, torch.Tensor)
    if result.shape == (3,):
        raise Mistake(
            "You returned one number a region. The score is wanted for each region and each kind: shape (3, 4)."
        )
    expect_shape(result, (3, 4), "One score for each region and each kind of text: the shape of `damage`.")
    n = damage.shape[1]
    mistakes = [
        (
            damage - damage.mean(1, keepdim=True),
            "You subtracted the mean of *all* kinds, this one included. Compare with the mean of the *others*.",
        ),
        (
            damage - damage.mean(0, keepdim=True),
            "You subtracted the mean over regions. Compare kinds of text within one region: axis 1.",
        ),
        (
            damage - (damage.sum(0, keepdim=True) - damage) / (len(damage) - 1),
            "You compared a region with the other regions. Compare kinds of text within one region: axis 1.",
        ),
        (
            damage - (damage.sum(1, keepdim=True) - damage),
            "You subtracted the *sum* of the other kinds. Subtract their mean: divide by how many others there are.",
        ),
        (
            damage - (damage.sum(1, keepdim=True) - damage) / n,
            "You divided by all kinds. There is one fewer of the *others*: divide by n_kinds - 1.",
        ),
        (-selectivity(damage), "The sign is turned round: a kind that suffers more should come out positive."),
        (
            damage / damage.sum(1, keepdim=True),
            "This is a share. Shares explode where the damage is near zero; subtract instead.",
        ),
        (damage, "This is the damage itself. A region that hurts all kinds alike should score 0 for each."),
    ]
    others = [torch.cat([damage[:, :k], damage[:, k + 1 :]], 1) for k in range(n)]
    for summary, message in (
        ([rest.amax(1) for rest in others], "You compared with the *worst* of the other kinds. Take their mean."),
        ([rest.quantile(0.5, dim=1) for rest in others], "You compared with the median of the others. Take the mean."),
        ([rest.amin(1) for rest in others], "You compared with the *least* of the other kinds. Take their mean."),
        ([-rest.mean(1) for rest in others], "You added the mean of the other kinds. Subtract it."),
    ):
        mistakes.append((damage - torch.stack(summary, 1), message))
    reject(result, mistakes)
    expect_each(attempt, SIMPLE_DAMAGE)
    expect_close(result, selectivity(damage), "Row 0 is 4, 1, 1, 0: its first score is 4 minus the mean of 1, 1 and 0.")
    other = torch.randn(2, 6, generator=seeded(17))
    message = "Right for four kinds of text and wrong for six: count the kinds, `damage.shape[1]`."
    expect_close(call(attempt, other), selectivity(other), message)


EXERCISES = [
    Exercise("1.1", "A hook that records", recorder, check_recorder),
    Exercise("1.2", "The residual stream as a sum", add_up, check_add_up),
    Exercise("1.3", "The logit lens", read_early, check_read_early),
    Exercise("1.4", "Scoring an induction head", induction_score, check_induction_score),
    Exercise("1.5", "Silencing a head", silence, check_silence),
    Exercise("1.6", "The nearest mean", nearest_mean, check_nearest_mean),
    Exercise("1.7", "How selective is a region?", selectivity, check_selectivity),
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
                "The final residual vector, exactly.",
                True,
                "Blocks only ever add to the stream, so the parts sum to it without anything left over.",
            ),
            Option(
                "An approximation: the norms inside the blocks make the sum inexact.",
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
        "The logit lens shows nonsense at index 15. What may you conclude?",
        [
            Option(
                "After 15 blocks the model knows nothing about the next token.",
                False,
                "A lens with a fitted translator read more at the same depth. Dark to one lens is not empty.",
            ),
            Option(
                "The output layer, applied as it is, reads nothing of the answer there.",
                True,
                "That is what was measured, and only that.",
            ),
            Option(
                "Blocks 0 to 14 could be removed without loss.",
                False,
                "They make what later blocks use. Removing the MLPs of blocks 0 to 2 was the costliest lesion of all.",
            ),
            Option(
                "The model stores its thoughts in a secret language.",
                False,
                "It is another basis, not a secret: a linear map learned from a little text already reads part of it.",
            ),
        ],
    ),
    Question(
        "A head has induction score 0.9 on repeated random tokens. Which of these follows?",
        [
            Option(
                "On such text it looks at the token after the earlier occurrence.",
                True,
                "The score is a mean of attention weights on that one offset, and nothing more.",
            ),
            Option(
                "It copies that token to the output.",
                False,
                "Attention says where a head looks. What it writes depends on its values and output: ablate to see.",
            ),
            Option(
                "It does this on all text.",
                False,
                "Random tokens leave nothing else to do. On prose the same head may mostly rest on the first token.",
            ),
            Option(
                "The model would fail at repetition without it.",
                False,
                "Several heads share the score. Whether one is needed is a question for an ablation.",
            ),
        ],
    ),
    Question(
        "Two heads attend to the previous token with much the same score. Silencing one ends induction, silencing the "
        "other does nothing. What explains it best?",
        [
            Option(
                "The second measurement must be wrong.",
                False,
                "It was repeated, with the same result. Same looks, different role.",
            ),
            Option(
                "A pattern shows where a head looks, not what it passes on or who reads it.",
                True,
                "Only one of them writes what the induction heads read. Form is a hint at function, not a proof.",
            ),
            Option(
                "The second head is broken.",
                False,
                "It may serve something this text doesn't ask for. 'Not needed here' is all that was shown.",
            ),
            Option(
                "Its score was only high by chance.",
                False,
                "The scores hold over several draws of random tokens and are far above the control's.",
            ),
        ],
    ),
    Question(
        "Why compare silencing four induction heads with silencing four random heads *in the same layers*?",
        [
            Option(
                "To make the computation equally fast.",
                False,
                "Speed is the same anyway. The point is what else could explain the damage.",
            ),
            Option(
                "Because any four missing heads cost something, and late or early layers may cost more.",
                True,
                "The matched draws show how much damage comes with removing heads as such, at that depth.",
            ),
            Option(
                "To find further induction heads.",
                False,
                "The control is there to be unremarkable. If it isn't, the claim falls.",
            ),
            Option(
                "Because the mean needs at least eight heads.",
                False,
                "The mean is taken for each head by itself.",
            ),
        ],
    ),
    Question(
        "A trained reader finds the previous word at nearly every depth; nearest means find it clearly at only a few. "
        "Which statement is right?",
        [
            Option(
                "One of the readers has a bug.",
                False,
                "They ask different things: is it there at all, and is it loud?",
            ),
            Option(
                "The model uses the previous word at every depth.",
                False,
                "Readable isn't used. The lesion of one head showed which copy of it matters for induction.",
            ),
            Option(
                "The information is there nearly throughout, and large compared with the rest only at some depths.",
                True,
                "The map depends on the instrument. Say which one drew it.",
            ),
            Option(
                "The trained reader memorised the words.",
                False,
                "It is scored on rows it never saw, and comes out at chance with shuffled labels.",
            ),
        ],
    ),
    Question(
        "A lesion of late MLPs singles out Spanish. A random push of the same size there hurts Spanish as much. So:",
        [
            Option(
                "The late MLPs are the Spanish region.",
                False,
                "The control doesn't allow it: disturbing that place in any direction hurts Spanish as much.",
            ),
            Option(
                "Spanish is fragile here; the lesion alone doesn't show a region for it.",
                True,
                "The model is less sure of Spanish to begin with, and any shake at the end costs it more.",
            ),
            Option(
                "The late MLPs do nothing for Spanish.",
                False,
                "Taking them away costs a lot. What is missing is evidence that it is special to them.",
            ),
            Option(
                "The control was too strong, so it can be ignored.",
                False,
                "It can be argued about (random directions leave the usual range), not ignored.",
            ),
        ],
    ),
]
