"""Lesson 07, steering: reference solutions, checks that name the likely mistake, and the quiz."""

from __future__ import annotations

import re

import numpy as np
import torch

from utils.checks import Exercise, Option, Question
from utils.checks.calling import Mistake, call
from utils.checks.comparing import (
    expect_close,
    expect_finite,
    expect_shape,
    expect_type,
    expect_used,
    is_close,
    named,
    one_number,
    reject,
    seeded,
)

# ------------------------------------------------------------------------------------------------- 7.1 the direction


def contrast_direction(acts, text, positive, limit):
    """Mean over the positive texts' means minus that of the others, tokens longer than limit left out. -> (d_model,)"""
    keep = acts.norm(dim=-1) <= limit
    means = torch.stack([acts[keep & (text == i)].mean(0) for i in range(len(positive))])
    return means[positive].mean(0) - means[~positive].mean(0)


def _tokens():
    """Five texts of unequal length, a shared offset, two massive tokens."""
    generator = seeded(71)
    lengths = [6, 2, 3, 7, 2]
    text = torch.repeat_interleave(torch.arange(5), torch.tensor(lengths))
    acts = torch.randn(len(text), 8, generator=generator) + 2 + torch.randn(5, 8, generator=generator)[text]
    acts[1] *= 40
    acts[12] *= 60
    positive = torch.tensor([True, False, True, False, False])
    return acts, text, positive, 40.0


def check_contrast_direction(function):
    acts, text, positive, limit = args = _tokens()
    result = call(function, *args)
    expect_type(result, torch.Tensor, "Return the direction as a tensor.")
    if tuple(result.shape) == (5, 8):
        raise Mistake("You return one mean for each text. Average them over the texts of each side, then subtract.")
    expect_shape(result, (8,), "One number for each dimension: average over tokens, then over texts.")
    if bool(torch.isnan(result).any()):
        raise Mistake("Your result holds NaN: a text with no token left was averaged. `positive` has one entry a text.")
    expected = contrast_direction(*args)
    reject(result, _other_directions(acts, text, positive, limit))
    others = {
        "acts": acts.flip(1),
        "text": text.flip(0),
        "positive": ~positive.roll(1),
        "limit": 1e9,
    }
    expect_used(function, named(contrast_direction, args), others)
    expect_close(result, expected, "Kept tokens -> a mean a text -> a mean a side -> with minus without.")
    # Texts out of order, and one token exactly as long as the limit allows.
    few = torch.tensor([[3.0, 4.0], [1.0, 0.0], [0.0, 2.0], [6.0, 8.0], [2.0, 1.0]])
    order, sides = torch.tensor([2, 0, 1, 0, 2]), torch.tensor([False, True, True])
    result = call(function, few, order, sides, 5.0)
    if is_close(result, contrast_direction(few, order, sides, 4.9)):
        raise Mistake("A token exactly as long as `limit` was left out. Only *longer* ones are: keep norm <= limit.")
    if not is_close(result, contrast_direction(few, order, sides, 5.0)):
        raise Mistake("Right for texts that stand one after the other, wrong when their tokens are mixed: use `text`.")


def _other_directions(acts, text, positive, limit):
    expected = contrast_direction(acts, text, positive, limit)
    keep = acts.norm(dim=-1) <= limit
    side, n = positive[text], range(len(positive))
    means = torch.stack([acts[keep & (text == i)].mean(0) for i in n])
    medians = torch.stack([acts[keep & (text == i)].median(0).values for i in n])
    sums = torch.stack([acts[keep & (text == i)].sum(0) for i in n])
    with_it, without = means[positive].mean(0), means[~positive].mean(0)
    heap, other_texts = (
        acts[side].mean(0) - acts[~side].mean(0),
        torch.stack([acts[keep & (text != i)].mean(0) for i in n]),
    )
    either = torch.stack([acts[keep | (text == i)].mean(0) for i in n])

    def of(table, how=lambda rows: rows.mean(0)):
        return how(table[positive]) - how(table[~positive])

    known = [
        (-expected, "The arrow points the other way: from the texts without the concept to those with it."),
        (
            contrast_direction(acts, text, positive, float("inf")),
            "The massive tokens are still in, and two tokens decide the direction. Keep those no longer than `limit`.",
        ),
        (
            acts[keep & side].mean(0) - acts[keep & ~side].mean(0),
            "Here long texts count for more than short ones. Average the tokens of each text first, then the texts.",
        ),
        (heap, "All tokens in one heap: leave out the massive ones, and let each text count once."),
        (
            expected / expected.norm(),
            "The direction is right but its length is 1. Keep the length; the next exercise takes care of it.",
        ),
        (with_it, "This is the mean of the positive texts alone: it holds what all English text has in common."),
        (
            with_it - means.mean(0),
            "You subtracted the mean of all texts. Subtract that of the texts without the concept.",
        ),
        (with_it + without, "You added the two sides' means. Subtract the mean without the concept."),
        (torch.zeros(acts.shape[1]), "All zeros: the same texts are on both sides. `~positive` are those without it."),
        (of(medians), "You took the median of each text's tokens. Take the mean."),
        (of(sums), "You added up each text's tokens, so long texts count for more. Take the mean of each text."),
        (of(other_texts), "Each text's mean is over all *other* texts' tokens. Keep those with `text == i`."),
        (of(either), "A token was kept if it is ordinary *or* of this text. It must be both: `&`."),
    ]
    for how, message in (
        (
            lambda rows: rows.sum(0),
            "You subtracted sums. The sides differ in size, so divide each by its own number of texts.",
        ),
        (lambda rows: rows.median(0).values, "You took the median over a side's texts. Take the mean of each side."),
    ):
        known.append((of(means, how), message))
        known.append((how(means[positive]) - without, message))
        known.append((with_it - how(means[~positive]), message))
    return known


# ------------------------------------------------------------------------------------------------- 7.2 the push


def push(acts, direction, strength, typical):
    """acts (batch, pos, d_model) plus strength * typical along the direction; tokens over 4 * typical stay."""
    step = direction / direction.norm() * strength * typical
    massive = acts.norm(dim=-1, keepdim=True) > 4 * typical
    return torch.where(massive, acts, acts + step)


def check_push(function):
    generator = seeded(72)
    acts = torch.randn(3, 4, 6, generator=generator) * 2
    acts[0, 0] *= 90
    acts[1, 2] *= 50
    direction, strength, typical = torch.randn(6, generator=generator) * 7, 0.4, 2.5
    args = acts, direction, strength, typical
    result = call(function, *args)
    expect_type(result, torch.Tensor, "Return the edited activations.")
    expect_shape(result, (3, 4, 6), "The activations keep their shape.")
    expect_finite(result)
    expected = push(*args)
    if not is_close(result, expected):
        _name_push(result, *args)
    back = call(function, acts, direction, -0.4, typical)
    if is_close(result, expected) and not is_close(back, push(acts, direction, -0.4, typical)):
        raise Mistake("A negative strength must push the other way by as much.")
    expect_used(function, named(push, args), {"acts": acts + 1, "direction": direction.flip(0), "strength": 0.7})
    expect_close(result, expected, "acts + strength * typical * unit, and massive tokens as they were.")
    _check_limit_of_push(function)


def _name_push(result, acts, direction, strength, typical):
    unit = direction / direction.norm()
    norms = acts.norm(dim=-1, keepdim=True)
    massive = norms > 4 * typical
    if is_close(result, acts + strength * typical * unit):
        raise Mistake("Massive tokens moved as well. Those longer than 4 times `typical` keep their value.")
    known = [
        (strength * typical * direction, "The direction's own length got in. Make it a unit vector first."),
        (
            strength * typical * direction * direction.norm(),
            "You multiplied by the direction's length. Divide by it, to have a unit vector.",
        ),
        (strength * direction, "This is `strength` times the raw direction: scale a unit vector by `typical` instead."),
        (strength * unit, "`typical` is missing: the strength is a multiple of a typical activation's length."),
        (-strength * typical * unit, "This pushes the other way. Add the step."),
        (typical * unit, "`strength` isn't used: every push is one whole typical length."),
        (strength / typical * unit, "You divided by `typical`. The strength is a multiple of it."),
        (typical / strength * unit, "You divided by `strength`. Twice the strength is twice the push."),
        (unit, "Every push has length 1. Make it `strength` times `typical` long."),
        (
            torch.full_like(direction, strength * typical),
            "Every entry moved by the same number: the direction isn't in it. Multiply a unit vector by it.",
        ),
        (torch.full_like(direction, typical), "Every entry moved by `typical`: direction and strength aren't in it."),
    ]
    for step, message in known:
        if is_close(result, torch.where(massive, acts, acts + step)) or is_close(result, acts + step):
            raise Mistake(message)
    step = strength * typical * unit
    if is_close(result, torch.where(massive, acts + step, acts)):
        raise Mistake("It is the other way round: massive tokens stay and ordinary ones move.")
    if is_close(result, torch.where(massive, acts, acts + strength * norms * unit)):
        raise Mistake("Each token is pushed by a share of its own length. Use `typical`, the same for all.")
    if is_close(result, torch.where(acts.abs() > 4 * typical, acts, acts + step)) or is_close(
        result, torch.where(acts > 4 * typical, acts, acts + step)
    ):
        raise Mistake("Single *entries* over 4 times `typical` stayed. A token is massive by its length: the norm.")
    if is_close(result, acts):
        raise Mistake("Nothing moved. Ordinary tokens move by strength * typical along the direction.")
    still = (result == acts).all(-1)
    if is_close(result, torch.where(massive.any(1, keepdim=True), acts, acts + step)):
        raise Mistake("Whole texts stayed because one of their tokens is massive. Judge each token for itself.")
    if bool(still[:, :-1].all()) and not bool(still[:, -1].any()):
        raise Mistake("Only the last position moved. Push every position.")
    if bool((still & ~massive[..., 0]).any()):
        raise Mistake(
            f"{int((still & ~massive[..., 0]).sum())} tokens of ordinary length stayed where they were. Only those "
            "longer than 4 times `typical` stay, each for itself."
        )


def _check_limit_of_push(function):
    """One token a length, along the direction and against it: what is massive is decided by the length before."""
    lengths = torch.tensor([8.0, 9.8, 10.0, 10.3, 11.0])
    direction = torch.tensor([0.0, 2.0, 0.0])
    acts = torch.stack([lengths, -lengths])[..., None] * torch.tensor([0.0, 1.0, 0.0])
    result, right = call(function, acts, direction, 0.4, 2.5), push(acts, direction, 0.4, 2.5)
    if not is_close(result, right):
        step = torch.tensor([0.0, 1.0, 0.0])
        after = torch.where((acts + step).norm(dim=-1, keepdim=True) > 10, acts, acts + step)
        reject(result, [(after, "You measured the lengths after the push. Massive is what was long *before* it.")])
        moved = (result != acts).any(-1)
        if not bool(moved[:, 2].any()) and bool(moved[:, 1].all()):
            raise Mistake("A token exactly 4 times `typical` long stayed. Only *longer* ones do: norm > 4 * typical.")
        if bool(moved[:, 3].any()):
            raise Mistake("A token 4.1 times `typical` long moved. The limit is 4 times `typical`.")
        if not bool(moved[:, 1].any()):
            raise Mistake("A token 3.9 times `typical` long stayed. The limit is 4 times `typical`.")
        raise Mistake("With typical = 2.5, tokens of length up to 10 move by 1 along the direction, longer ones stay.")
    far = acts * 3
    if not is_close(call(function, far, direction, 0.4, 7.5), push(far, direction, 0.4, 7.5)):
        raise Mistake("Right for one `typical` and wrong for another: the limit and the push both grow with it.")


# ------------------------------------------------------------------------------------------------- 7.3 log-odds


def log_odds(logits, ids):
    """Log-odds that the next token is one of ids. logits (n, d_vocab), ids a list -> (n,) in nats."""
    inside = torch.zeros(logits.shape[-1], dtype=torch.bool)
    inside[ids] = True
    return logits[:, inside].logsumexp(-1) - logits[:, ~inside].logsumexp(-1)


def check_log_odds(function):
    logits = torch.randn(4, 9, generator=seeded(73)) * 2
    ids = [1, 4, 7]
    result = call(function, logits, ids)
    expect_type(result, torch.Tensor, "Return one number for each row.")
    expect_shape(result, (4,), "One number for each row of logits.")
    expected = log_odds(logits, ids)
    p = logits.softmax(-1)[:, ids].sum(-1)
    rest = [i for i in range(9) if i not in ids]
    wanted, others = logits[:, ids].logsumexp(-1), logits[:, rest].logsumexp(-1)
    known = [
        (p, "These are probabilities. Odds are p / (1 - p), and you need their logarithm."),
        (p.log(), "This is log p. Log-odds compare with everything else: log p - log(1 - p)."),
        (p / (1 - p), "These are the odds. Take the logarithm."),
        (-expected, "The sign is wrong: larger must mean likelier. Wanted tokens minus the others."),
        (
            logits[:, ids].mean(-1) - logits[:, rest].mean(-1),
            "Averaging logits isn't adding probabilities. Use logsumexp.",
        ),
        (logits[:, ids].sum(-1), "Adding logits multiplies probabilities. To add them, use logsumexp."),
        (wanted, "The other tokens are missing. Subtract the logsumexp over all tokens not in `ids`."),
        (expected / torch.log(torch.tensor(2.0)), "This is in bits. Use the natural logarithm (nats)."),
        (
            logits[:, ids].max(-1).values - logits[:, rest].max(-1).values,
            "You compared the likeliest of each side only. Add up each side's probability with logsumexp.",
        ),
        (wanted + others, "You added the two sides. The others are subtracted."),
        (torch.zeros(4), "All zeros: you subtracted the wanted tokens from themselves. Subtract all *others*."),
        (log_odds(logits, ids[:1]), "Only the first of `ids` counts as wanted. Take all of them."),
        (torch.full((4,), -torch.inf), "Minus infinity: no token counts as wanted. Mark those in `ids`."),
    ]
    reject(result, known, 1e-4)
    expect_used(function, named(log_odds, (logits, ids)), {"logits": logits.roll(1, 1), "ids": [0, 8]})
    expect_close(result, expected, "logsumexp over the wanted logits minus that over the rest.", 1e-4)
    extreme = torch.zeros(2, 9)
    extreme[0, 1], extreme[1, 2] = 120.0, 120.0
    far = call(function, extreme, ids)
    if not is_close(far, log_odds(extreme, ids), 1e-2):
        raise Mistake(
            "Right on ordinary logits, but not when the model is very sure: 1 - p rounds to 0. Stay with logits: "
            "logsumexp over the wanted ones minus logsumexp over the others."
        )


# ------------------------------------------------------------------------------------------------- 7.4 the rule


def best_setting(effect, cost, budget):
    """(layer index, strength index) of the largest effect among settings whose cost is at most the budget."""
    allowed = torch.where(cost <= budget, effect, -torch.inf)
    best = int(allowed.argmax())
    return best // effect.shape[1], best % effect.shape[1]


def check_best_setting(function):
    effect = torch.tensor([[0.5, -8.0, 1.4, 3.5, 6.0], [0.9, 2.0, 2.6, 4.0, 3.0], [2.0, 1.0, 2.2, 5.0, 9.0]])
    cost = torch.tensor([[0.1, 0.4, 0.3, 0.65, 2.0], [0.2, 0.3, 0.5, 1.0, 2.0], [0.15, 0.6, 0.8, 1.01, 3.0]])
    args = effect, cost, 1.0
    got = _setting(call(function, *args))
    known = {
        (2, 4): "That is the largest effect of all, whatever it costs. Only settings with cost <= budget count.",
        (0, 0): "That is the cheapest setting. Among those within budget, take the one with the largest *effect*.",
        (0, 3): "The setting whose cost is exactly the budget is allowed: use <=.",
        (2, 0): "That is the best effect per cost, which favours tiny pushes. Take the largest effect within budget.",
        (0, 1): "That effect is the most negative of all. Take the largest with its sign, not its size.",
        (3, 1): "Row and column look swapped: return (layer index, strength index).",
        (8, 3): "The first number is the place in the flattened table. Divide it by the row length, rounding down.",
        (2, 2): "You divided by the number of rows. Place 8 in rows of 5 is (8 // 5, 8 % 5): use `effect.shape[1]`.",
        (
            2,
            3,
        ): "The row was found with the number of rows. Divide the place by the length of a row: `effect.shape[1]`.",
        (1, 2): "The column was found with the number of rows. It is the rest after rows of `effect.shape[1]`.",
        (1, 1): "You returned the row twice. The second number is the column: place % row length.",
        (3, 3): "You returned the column twice. The first number is the row: place // row length.",
    }
    if got in known:
        raise Mistake(known[got])
    if 0 <= got[0] < 3 and 0 <= got[1] < 5 and float(cost[got]) > 1:
        raise Mistake(f"{got} costs more than the budget.")
    # Another table of effects, other costs, another budget: each alone moves the best setting.
    others = {"effect": effect.flip(0), "cost": cost.flip(0), "budget": 0.7}
    expect_used(lambda *given: _setting(call(function, *given)), named(best_setting, args), others)
    if got != (1, 3):
        raise Mistake(f"{got} isn't it. Drop what costs more than the budget, then take the largest effect.")
    if _setting(call(function, effect - 10, cost, 1.0)) != (1, 3):
        raise Mistake(
            "When every effect is negative your rule picks a setting over budget: settings not allowed must count "
            "as minus infinity, not as 0."
        )


def _setting(result):
    """(row, column) as ints, from whatever holds two numbers."""
    if isinstance(result, (torch.Tensor, np.ndarray)):
        result = result.tolist()
    if not isinstance(result, (tuple, list)):
        if is_close(result, 8):
            raise Mistake("8 is the place in the flattened table. Turn it into (row, column): divide by row length.")
        raise Mistake(f"Your result is {result!r}; expected two numbers, (layer index, strength index).")
    if len(result) != 2:
        raise Mistake(f"You returned {len(result)} things; expected two, (layer index, strength index).")
    if any(np.size(v) != 1 for v in result):
        raise Mistake("Each of the two must be one number: the best setting of the whole table, not one a row.")
    numbers = [one_number(v, "an index") for v in result]
    if any(v != int(v) for v in numbers):
        raise Mistake(f"{tuple(numbers)} aren't whole numbers: an index is. Divide with `//`, which rounds down.")
    return int(numbers[0]), int(numbers[1])


# ------------------------------------------------------------------------------------------------- 7.5 random controls


def random_pushes(direction, n, seed):
    """n directions drawn evenly from the sphere, each as long as `direction`. -> (n, d_model)"""
    drawn = torch.randn(n, len(direction), generator=torch.Generator().manual_seed(seed))
    return drawn / drawn.norm(dim=-1, keepdim=True) * direction.norm()


def check_random_pushes(function):
    direction = torch.linspace(-3, 3, 48)[torch.randperm(48, generator=seeded(75))]
    length = float(direction.norm())
    result = call(function, direction, 40, 0)
    expect_type(result, torch.Tensor, "Return the directions as a tensor.")
    if tuple(result.shape) == (48, 40):
        raise Mistake("Your result is (d_model, n); expected one direction a row, (n, d_model).")
    expect_shape(result, (40, 48), "One direction a row.")
    result = result.detach()
    expect_finite(result)
    norms = result.norm(dim=-1)
    if torch.allclose(result[0], result[1]):
        raise Mistake("All rows are the same direction. Draw each anew.")
    if torch.allclose(result.sort(-1).values[0], direction.sort().values, atol=1e-4):
        raise Mistake(
            "You shuffled the direction's own entries, so whatever is odd about them (a few huge ones, their mean) is "
            "in the control too. Draw new numbers from a normal distribution."
        )
    if float(result.mean()) > 0.2 * float(result.abs().mean()):
        raise Mistake(
            "The entries are mostly positive, so the directions all share one corner of space. Use a distribution "
            "around 0: torch.randn."
        )
    if torch.allclose(norms, torch.ones(40), atol=1e-3):
        raise Mistake("The directions have length 1. A fair control is as long as the direction itself.")
    if not torch.allclose(norms, torch.full((40,), length), rtol=1e-3):
        raise Mistake(
            f"The lengths run from {float(norms.min()):.1f} to {float(norms.max()):.1f}; all should be {length:.1f}, "
            "the length of `direction`. Normalise each row, then scale."
        )
    cosines = result @ direction / (norms * length)
    if float(cosines.abs().mean()) > 0.19 or abs(float(cosines.mean())) > 0.12:  # by chance about 0.12, and 0 +- 0.02
        raise Mistake("Your directions lie close to the one they should be a control for. Draw them without using it.")
    if float(cosines.abs().mean()) < 0.05:
        raise Mistake("The direction itself was taken out of each of yours. Draw them evenly, without using it.")
    if torch.allclose(result.abs(), result.abs()[:, :1].expand(40, 48), rtol=1e-3):
        raise Mistake("Every entry has the same size: these are corners of a cube. Draw from a normal distribution.")
    kurtosis = float((result**4).mean() / (result**2).mean() ** 2)
    if kurtosis < 2.2:
        raise Mistake(
            "Numbers drawn evenly from an interval favour the corners of a cube. torch.randn has no favourites."
        )
    if kurtosis > 4:
        raise Mistake(
            "A few entries are far larger than the rest, so the directions lie near the axes. Draw from a normal "
            "distribution, torch.randn, which favours no direction."
        )
    if not torch.allclose(result, call(function, direction, 40, 0)):
        raise Mistake("The same seed gave different directions. Use a generator made from `seed`.")
    if torch.allclose(result, call(function, direction, 40, 1)):
        raise Mistake("Another seed gave the same directions: `seed` isn't used.")
    other = call(function, direction[:7] * 2, 3, 1)
    if tuple(other.shape) != (3, 7):
        raise Mistake(f"For n = 3 and 7 dimensions the shape is {tuple(other.shape)}: take both from the arguments.")
    if not torch.allclose(other.norm(dim=-1), (direction[:7] * 2).norm().expand(3), rtol=1e-3):
        raise Mistake("For another direction the lengths are wrong: they come from the direction that is handed over.")


# ------------------------------------------------------------------------------------------------- 7.6 mentions


def mention_share(texts, lexicon):
    """Share of texts that hold a word or phrase of the lexicon as whole words, in any case. -> float"""
    pattern = re.compile(r"\b(" + "|".join(map(re.escape, lexicon)) + r")\b", re.IGNORECASE)
    return sum(bool(pattern.search(text)) for text in texts) / len(texts)


_TEXTS = [
    "Golden apples by the gate",
    "All of it foggy.",
    "Nothing to see (but the bay)",
    "Oxbridge and Cambridge",
    "Fogbound and foggy.",
    "A foggy day by the golden gate.",
    "The boat in the bay.",
    "Fog, bridge, bay: all in the Golden Gate.",
    "THE BAY",
    "the bay, the bay",
    "A fog bank, and then the bay",
    "Fog lay over the water",
    "The BRIDGE was closed.",
    "The Golden Gate in the evening",
]
_LEXICON = ["bridge", "golden gate", "bay", "fog"]


def check_mention_share(function):
    result = call(function, _TEXTS, _LEXICON)
    if isinstance(result, list) or np.size(result) > 1:
        raise Mistake("You returned one entry a text. Return one number: the share of texts with a mention.")
    result = one_number(result, "between 0 and 1: the share of texts")
    reject(result, _other_shares(_TEXTS, _LEXICON), 1e-6)
    others = {"texts": ["fog", "no", "none"], "lexicon": ["butter", "bay"]}
    expect_used(function, named(mention_share, (_TEXTS, _LEXICON)), others)
    expect_close(result, 10 / 14, f"{result:.3f} isn't the share of texts that hold a word of the lexicon.", 1e-6)
    if not is_close(call(function, ["a.b", "axb", "no", "a.bc"], ["a.b"]), 0.25, 1e-6):
        raise Mistake("A dot in the lexicon matched any letter: escape the words with re.escape.")
    if not is_close(call(function, ["Two bridges", "A bridge's end", "no", "none"], ["bridge"]), 0.25, 1e-6):
        raise Mistake("'bridges' is another word than 'bridge', and \"bridge's\" holds it: whole words, as they stand.")
    if not is_close(call(function, ["In the fog", "Frog", "Fig"], ["FOG"]), 1 / 3, 1e-6):
        raise Mistake("Of three texts one says 'fog', and the lexicon says 'FOG'. Ignore case on both sides.")


def _other_shares(texts, lexicon):
    def share(rule):
        return sum(rule(t) for t in texts) / len(texts)

    def matches(before, after, flags=re.IGNORECASE):
        return {w: re.compile(before + w + after, flags) for w in lexicon}

    word, exact = matches(r"\b", r"\b"), matches(r"\b", r"\b", re.NOFLAG)
    found = sum(any(word[w].search(t) for w in lexicon) for t in texts)
    return [
        (found, "That is a count. Divide by the number of texts."),
        (found * len(texts), "You multiplied by the number of texts. Divide by it."),
        (1 - found / len(texts), "This is the share of texts *without* a mention."),
        (
            share(lambda t: any(w in t.lower() for w in lexicon)),
            "'Cambridge' and 'foggy' counted. Match whole words only.",
        ),
        (
            share(lambda t: any(w in t for w in lexicon)),
            "Parts of words count, and capitals don't. Whole words, any case.",
        ),
        (
            share(lambda t: any(p.search(t) for p in matches("", r"\b").values())),
            "'Cambridge' counted as 'bridge': a word must begin where the pattern does. Put \\b before it too.",
        ),
        (
            share(lambda t: any(p.search(t) for p in matches(r"\b", "").values())),
            "'foggy' counted as 'fog': a word must end where the pattern does. Put \\b after it too.",
        ),
        (share(lambda t: any(exact[w].search(t) for w in lexicon)), "'BRIDGE' and 'THE BAY' were missed: ignore case."),
        (
            share(lambda t: all(word[w].search(t) for w in lexicon)),
            "A text needs *one* word of the lexicon, not all of them.",
        ),
        (
            sum(len(word[w].findall(t)) for t in texts for w in lexicon) / len(texts),
            "You counted mentions. A text that says 'bay' twice is one text.",
        ),
        (
            share(lambda t: any(w in t.lower().split() for w in lexicon)),
            "Splitting at spaces leaves punctuation on words and tears phrases apart: 'golden gate.' was missed.",
        ),
        (
            share(lambda t: any(w in re.findall(r"\w+", t.lower()) for w in lexicon)),
            "The phrase 'golden gate' was missed: it is two words. Search the text, not a list of words.",
        ),
        (
            share(lambda t: bool(word[lexicon[0]].search(t))),
            "Only the first word of the lexicon was looked for. Any of them counts.",
        ),
        (
            share(lambda t: any(word[w].search(t) for w in lexicon[1:])),
            "The first word of the lexicon was not looked for, or spoiled by what stands before it.",
        ),
        (1.0, "Every text counts: your pattern matches something in each. Print what it matches."),
    ]


# ------------------------------------------------------------------------------------------------- 7.7 two treatments


def gained_lost(before, after):
    """How many units turned from False to True, and how many from True to False. before, after: (n,) -> two ints"""
    gained = sum(a and not b for b, a in zip(before, after))
    lost = sum(b and not a for b, a in zip(before, after))
    return gained, lost


def check_gained_lost(function):
    before = [True, True, False, False, False, True, False, True, False, False, False, True, False, False, False]
    after = [True, False, True, True, False, True, True, False, True, False, False, True, False, False, False]
    result = call(function, before, after)
    if isinstance(result, (torch.Tensor, np.ndarray)):
        result = result.tolist()
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        if is_close(result, 2):
            raise Mistake(
                "That is the net change. Gains and losses are two numbers: 4 and 2 isn't the same as 2 and 0."
            )
        raise Mistake("Return two numbers: how many were gained, and how many were lost.")
    if any(np.size(v) != 1 for v in result):
        raise Mistake("Return how many, not which ones.")
    got = tuple(one_number(v, "a count") for v in result)
    known = {
        (2, 4): "Swapped: gained means False before and True after. Return (gained, lost).",
        (7, 5): "Those are the totals after and before. Pair them: what happened to each prompt?",
        (5, 7): "Those are the totals before and after. Pair them: what happened to each prompt?",
        (2, 0): "The net change hides losses. Count each prompt that went from True to False as lost.",
        (4 / 15, 2 / 15): "Those are shares. Return counts, so that the reader sees how few they are.",
        (4, 3): "You counted as lost those True both times. Lost means True before and False after.",
        (3, 2): "You counted as gained those True both times. Gained means False before and True after.",
        (7, 2): "You counted those True both times as gained. Gained means it was False before.",
        (4, 5): "You counted those True both times as lost. Lost means it is False after.",
    }
    if got in known:
        raise Mistake(known[got])
    one = {
        3: "True both times",
        2: "True before and False after",
        4: "False before and True after",
        6: "False both times",
    }
    one |= {10: "False before", 8: "False after", 13: "True after or False before", 11: "True before or False after"}
    for place, (name, right) in enumerate((("gained", 4), ("lost", 2))):
        if got[place] != right and got[1 - place] == (2, 4)[place] and got[place] in one:
            raise Mistake(f"As {name} you count what is {one[int(got[place])]}. Both before and after decide.")
    args = before, after
    expect_used(
        function, named(gained_lost, args), {"before": [not b for b in before], "after": [not a for a in after]}
    )
    if got != (4, 2):
        raise Mistake(f"{tuple(result)} isn't right: look at the pairs one by one.")
    few = call(function, [False] * 3, [False, True, False])
    if not is_close(few, (1, 0)):
        raise Mistake("With three prompts and one gain, your function doesn't say (1, 0).")


# ------------------------------------------------------------------------------------------------- 7.8 steerability


def steerability(strengths, scores):
    """Least-squares slope of each input's score against strength. strengths (k,), scores (k, n) -> (n,)"""
    centred = strengths - strengths.mean()
    return centred @ scores / centred.square().sum()


def check_steerability(function):
    generator = seeded(78)
    strengths = torch.tensor([-0.2, 0.0, 0.1, 0.4, 0.5])
    scores = torch.randn(5, 7, generator=generator) + strengths[:, None] * torch.linspace(-9, 9, 7) + 4
    args = strengths, scores
    result = call(function, *args)
    expect_type(result, torch.Tensor, "Return one slope for each input.")
    if tuple(result.shape) == (5,):
        raise Mistake(
            "You have one number for each strength. A slope belongs to an input: sum over strengths (axis 0)."
        )
    if result.numel() == 1:
        raise Mistake("That is one slope for all. Each input has its own; the mean would hide who goes the other way.")
    expect_shape(result, (7,), "One slope for each input.")
    expect_finite(result)
    expected = steerability(*args)
    reject(result, _other_slopes(*args), 1e-3)
    expect_used(function, named(steerability, args), {"strengths": strengths**2, "scores": scores.flip(0)})
    expect_close(result, expected, "Least squares, with centred strengths c: (c @ scores) / (c @ c).", 1e-3)
    order = torch.tensor([3, 0, 4, 2, 1])
    if not is_close(call(function, strengths[order], scores[order, :3]), expected[:3], 1e-3):
        raise Mistake(
            "Wrong when the strengths aren't in rising order, or there are three inputs: nothing may hang on that."
        )


def _other_slopes(strengths, scores):
    centred, right = strengths - strengths.mean(), steerability(strengths, scores)
    around = [
        (strengths + strengths.mean(), "You added the mean of the strengths. Subtract it, to centre them."),
        (strengths - strengths.median(), "You centred on the median. Least squares needs the mean."),
        (strengths - strengths.sum(), "You subtracted the *sum* of the strengths. Subtract their mean."),
    ]
    return [
        (-right, "The sign is wrong: a score that rises with the strength has a positive slope."),
        (
            (scores[-1] - scores[0]) / (strengths[-1] - strengths[0]),
            "You used the two ends only. A least-squares slope uses every strength.",
        ),
        (scores[-1] - scores[0], "That is last minus first, which isn't a slope and uses two strengths only."),
        (
            strengths @ scores / strengths.square().sum(),
            "This line is forced through zero, and the scores aren't 0 without steering. Centre the strengths first.",
        ),
        (centred @ scores, "Divide by the sum of the squared (centred) strengths."),
        (centred @ scores * centred.square().sum(), "You multiplied by the sum of squares. Divide by it."),
        (centred @ scores / centred.square().sum().sqrt(), "Divide by the sum of squares, not by its root."),
        (centred @ scores / centred.abs().sum(), "Divide by the sum of *squares*, not of absolute values."),
        (centred @ scores / centred.square().mean(), "You divided by the mean square. Divide by the sum of squares."),
        (centred @ scores / len(strengths), "That is the covariance. Divide by the strengths' variance as well."),
        (
            centred @ scores / (centred.norm() * (scores - scores.mean(0)).norm(dim=0)),
            "This is the correlation, which has lost the unit. The slope is in nats per unit of strength.",
        ),
        *((moved @ scores / moved.square().sum(), message) for moved, message in around),
    ]


# ------------------------------------------------------------------------------------------------- 7.9 latents


def latent_direction(W_enc, W_dec, latent):
    """What a latent writes, with length 1. W_enc (d_model, d_sae), W_dec (d_sae, d_model) -> (d_model,)"""
    return W_dec[latent] / W_dec[latent].norm()


def check_latent_direction(function):
    generator = seeded(79)
    W_enc, W_dec = torch.randn(6, 6, generator=generator), torch.randn(6, 6, generator=generator) * 3
    args = W_enc, W_dec, 2
    result = call(function, *args)
    expect_type(result, torch.Tensor, "Return the direction as a tensor.")
    if result.numel() == 1:
        raise Mistake("One number came back. A latent's direction has d_model numbers: take a whole row.")
    expect_shape(result, (6,), "One direction, (d_model,).")
    expect_finite(result)
    unit, right = torch.nn.functional.normalize, latent_direction(*args)
    known = [
        (W_dec[2], "The right row, but its length isn't 1. Divide by its norm."),
        (
            unit(W_enc[:, 2], dim=0),
            "That is what the latent *looks for* (encoder). To steer, take what it writes: W_dec.",
        ),
        (W_enc[:, 2], "That is the encoder's column: what the latent looks for. To steer, take what it writes: W_dec."),
        (unit(W_dec[:, 2], dim=0), "A column of W_dec is one dimension across all latents. Take the latent's row."),
        (W_dec[:, 2], "A column of W_dec is one dimension across all latents. Take the latent's row, W_dec[latent]."),
        (unit(W_enc[2], dim=0), "W_enc is the encoder, and its rows are dimensions. Take the latent's row of W_dec."),
        (-right, "The sign is flipped: this turns the latent down."),
        (W_dec[2] / W_dec.norm(), "You divided by the norm of the whole matrix. Divide by the row's own norm."),
        (W_dec[2] * W_dec[2].norm(), "You multiplied by the row's length. Divide by it."),
        (W_dec[2] / W_dec[2].norm() ** 2, "You divided by the squared length. Divide by the norm, its root."),
        (W_dec[2] / W_dec[2].abs().sum(), "You divided by the sum of absolute entries. Length is the norm."),
        (torch.ones(6), "All ones: the row was divided by itself. Divide by its norm, one number."),
    ]
    reject(result, known)
    expect_used(function, named(latent_direction, args), {"W_dec": W_dec.flip(1), "latent": 4})
    expect_close(result, right, "That isn't the latent's decoder row with length 1.")
    wide = W_enc[:4], W_dec[:, :4], 5
    if not is_close(call(function, *wide), latent_direction(*wide)):
        raise Mistake(
            "Right when d_sae equals d_model and wrong when there are more latents: W_dec has a row a latent."
        )


# ------------------------------------------------------------------------------------------------- 7.10 clamp


def clamp(acts, direction, value):
    """Set the amount along a direction to `value`, leaving all the rest. acts (..., d_model) -> (..., d_model)"""
    unit = direction / direction.norm()
    return acts + (value - acts @ unit)[..., None] * unit


def check_clamp(function):
    generator = seeded(710)
    acts, direction = torch.randn(2, 3, 5, generator=generator) * 2, torch.randn(5, generator=generator) * 4
    value = 1.7
    args = acts, direction, value
    result = call(function, *args)
    expect_type(result, torch.Tensor, "Return the edited activations.")
    expect_shape(result, (2, 3, 5), "The activations keep their shape.")
    expect_finite(result)
    expected = clamp(*args)
    reject(result, _other_clamps(*args), 1e-4)
    expect_used(function, named(clamp, args), {"acts": acts.flip(2), "direction": direction.flip(0), "value": -0.6})
    unit = direction / direction.norm()
    left = (result - acts) - ((result - acts) @ unit)[..., None] * unit
    if left.detach().abs().max() > 1e-3:
        raise Mistake("Something besides the amount along the direction changed. Move along the unit vector only.")
    message = (
        "The amount along the direction isn't `value` afterwards. Move each activation by (value - amount) * unit."
    )
    expect_close(result, expected, message, 1e-4)
    for shape in ((5,), (4, 5), (2, 1, 3, 5)):
        some = torch.randn(shape, generator=generator)
        try:
            edited = call(function, some, direction, 0.0)
        except Mistake as error:
            raise Mistake(f"Right for three axes, but not for acts of shape {shape}. {error}") from None
        if not is_close(edited, clamp(some, direction, 0.0), 1e-4):
            raise Mistake(
                f"Right for three axes, and wrong for acts of shape {shape}: `...` may be any number of axes."
            )


def _other_clamps(acts, direction, value):
    unit = direction / direction.norm()
    amount = (acts @ unit)[..., None]
    return [
        (acts, "Nothing changed. Move each activation along the direction until the amount there is `value`."),
        (acts + unit, "Every activation moved by one unit vector. Move it by value minus the present amount."),
        (acts + value * unit, "That is adding: every activation moves by the same step. Clamping *sets* the amount."),
        (
            acts - amount * unit,
            "You removed what was there, and put nothing in its place. Add `value` along the direction.",
        ),
        ((value * unit).expand_as(acts), "Everything else is gone. Only the amount along the direction may change."),
        (
            acts + (value - acts @ direction)[..., None] * direction,
            "The direction's length got in twice. Make it a unit vector first.",
        ),
        (
            acts + (value - acts @ direction * direction.norm())[..., None] * direction * direction.norm(),
            "You multiplied by the direction's length. A unit vector is the direction *divided* by it.",
        ),
        (
            acts + (value - acts @ direction)[..., None] * unit,
            "The present amount was measured along the unscaled direction. Measure it along the unit vector.",
        ),
        (
            acts - amount * unit + value * direction,
            "The new amount is too large by the direction's length: use the unit vector.",
        ),
        (acts + (value + amount) * unit, "You added the present amount instead of taking it off: value minus amount."),
        (acts + (amount - value) * unit, "The sign is wrong: move by value minus the present amount."),
        (
            acts + (value - amount).clamp_min(0) * unit,
            "Activations above the value kept theirs. Clamping (as meant here) sets the amount, up or down.",
        ),
        (
            acts + (value - amount).clamp_max(0) * unit,
            "Activations below the value kept theirs. Clamping (as meant here) sets the amount, up or down.",
        ),
        (acts.clamp(-value, value), "torch.clamp limits every entry. Here one *direction* gets a set amount."),
    ]


# ------------------------------------------------------------------------------------------------- 7.11 composing


def compose(edits):
    """One function that applies each edit in turn to what the one before it returned."""

    def together(acts):
        for edit in edits:
            acts = edit(acts)
        return acts

    return together


def check_compose(function):
    acts = torch.arange(1.0, 7).view(2, 3)

    def add_three(a):
        return a + 3

    def double(a):
        return a * 2

    def only_first(a):
        return torch.cat([a[:, :1], a[:, 1:] * 0], 1)

    made = call(function, [add_three, double, only_first])
    if isinstance(made, torch.Tensor):
        raise Mistake("You returned activations. Return a function that takes activations.")
    if not callable(made):
        raise Mistake(f"Your result is a {type(made).__name__}; expected a function of activations.")
    result = call(made, acts)
    expect_type(result, torch.Tensor, "The composed function must return activations.")
    expect_shape(result, (2, 3), "Activations keep their shape.")
    expected = only_first(double(add_three(acts)))
    if not is_close(result, expected):
        known = [
            (only_first(acts), "Only the last edit was applied. Hand what one returns to the next."),
            (add_three(acts), "Only the first edit was applied: is the `return` inside the loop?"),
            (
                add_three(double(only_first(acts))),
                "The edits ran in the reverse order. The first in the list comes first.",
            ),
            (
                acts + (add_three(acts) - acts) + (double(acts) - acts) + (only_first(acts) - acts),
                "Each edit saw the original and the changes were added. Each must see what the one before it left.",
            ),
            (
                add_three(acts) + double(acts) + only_first(acts),
                "You added the results, so the activations are in there 3 times.",
            ),
            (acts, "Nothing happened: keep what each edit returns."),
            (add_three(add_three(add_three(acts))), "The first edit was applied three times. Go over the list."),
            (double(add_three(acts)), "The last edit is missing."),
            (only_first(double(acts)), "The first edit is missing."),
        ]
        reject(result, known)
        raise Mistake("Applying add 3, then double, then keep the first column gave something else.")
    if not is_close(call(call(function, []), acts), acts):
        raise Mistake("With no edits at all, the activations should come back as they were.")
    if not is_close(call(made, acts), expected):
        raise Mistake("The second call gave something else: is the list of edits used up by the first?")


EXERCISES = [
    Exercise("7.1", "A direction from two heaps of text", contrast_direction, check_contrast_direction),
    Exercise("7.2", "The push", push, check_push),
    Exercise("7.3", "An effect without sampling", log_odds, check_log_odds),
    Exercise("7.4", "A rule, before looking", best_setting, check_best_setting),
    Exercise("7.5", "Any push as hard", random_pushes, check_random_pushes),
    Exercise("7.6", "Does it speak of it?", mention_share, check_mention_share),
    Exercise("7.7", "Gained and lost", gained_lost, check_gained_lost),
    Exercise("7.8", "Who follows, and who doesn't", steerability, check_steerability),
    Exercise("7.9", "What a latent writes", latent_direction, check_latent_direction),
    Exercise("7.10", "Set it instead of adding", clamp, check_clamp),
    Exercise("7.11", "Two at once", compose, check_compose),
]

QUIZ = [
    Question(
        "You steer with 'coefficient 8' at layer 10 of one model and layer 20 of another. Which number makes the two "
        "pushes comparable?",
        [
            Option("The coefficient itself.", False, "It multiplies a vector whose own length is left unsaid."),
            Option(
                "The push's length over the length of a typical activation at that place.",
                True,
                "Residuals grow through the blocks and differ between models, so raw coefficients can't be compared.",
            ),
            Option(
                "The direction's length.",
                False,
                "That says how far apart the two heaps of text lie, not how hard you push.",
            ),
        ],
    ),
    Question(
        "A direction made from 48 sentences raises the concept's odds a lot. Which control speaks to the claim that it "
        "is *this direction* that does it?",
        [
            Option(
                "Random directions of the same length at the same place.",
                True,
                "They share everything with it except where it points.",
            ),
            Option(
                "Random directions of length 1.",
                False,
                "A shorter push does less of everything. The control must push as hard.",
            ),
            Option("More openings.", False, "They narrow the interval of the effect. They don't say what causes it."),
        ],
    ),
    Question(
        "You try 16 settings, keep the best that costs at most a doubling of perplexity, and report its cost from the "
        "same texts. What is wrong?",
        [
            Option("Nothing, the rule was fixed first.", False, "A fixed rule still picks what these texts flatter."),
            Option("16 settings are too few.", False, "More settings make the luck of the best one larger."),
            Option(
                "The chosen setting was chosen for looking cheap and strong on these texts.",
                True,
                "Part of that is luck. Report from texts the rule hasn't seen; ours broke the budget there.",
            ),
        ],
    ),
    Question(
        "Perplexity of steered text must be measured under the untouched model. Why not under the steered one?",
        [
            Option("It would be slower.", False, "By a few per cent. That isn't the reason."),
            Option(
                "The steered model finds its own odd text natural.",
                True,
                "It would be judge in its own case. The library refuses to judge while hooks are on.",
            ),
            Option("Perplexity isn't defined with hooks.", False, "It is, and it answers another question."),
        ],
    ),
    Question(
        "A latent is on in every bridge sentence and in no other. You push along its decoder row and little happens. "
        "Which explanation fits what this lesson measured?",
        [
            Option(
                "The dictionary is broken.", False, "Its reconstruction is good. Another latent of it steers cheaply."
            ),
            Option(
                "You should have used the encoder's column.",
                False,
                "That did nothing, or the reverse: the encoder says what to look for.",
            ),
            Option(
                "Being on where a word was read isn't the same as writing what makes the word come next.",
                True,
                "Detectors read. Pick a handle by what it does when pushed, on held-out prompts.",
            ),
        ],
    ),
    Question(
        "The mean effect over 24 inputs is positive, and its interval excludes 0. Which of these can still be true?",
        [
            Option(
                "A third of the inputs moved the other way.",
                True,
                "The mean and its interval say nothing about single inputs. Look at the histogram of slopes.",
            ),
            Option(
                "The cost outweighs the effect for every use you have.",
                True,
                "An effect has no price on it. Put both on one figure.",
            ),
            Option("The mean effect is zero.", False, "Possible, but that is what the interval makes unlikely."),
        ],
    ),
]
