"""Lesson 07, steering: reference solutions, checks that name the likely mistake, and the quiz."""

from __future__ import annotations

import re

import torch

from utils.checks import Exercise, Option, Question
from utils.checks.calling import Mistake, call
from utils.checks.comparing import expect_finite, expect_shape, expect_type, is_close, reject, seeded

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
    acts, text, positive, limit = _tokens()
    result = call(function, acts, text, positive, limit)
    expect_type(result, torch.Tensor, "Return the direction as a tensor.")
    if tuple(result.shape) == (5, 8):
        raise Mistake("You return one mean for each text. Average them over the texts of each side, then subtract.")
    expect_shape(result, (8,), "One number for each dimension: average over tokens, then over texts.")
    if bool(torch.isnan(result).any()):
        raise Mistake("Your result holds NaN: a text with no token left was averaged. `positive` has one entry a text.")
    expected = contrast_direction(acts, text, positive, limit)
    if is_close(result, expected):
        return
    keep = acts.norm(dim=-1) <= limit
    side = positive[text]
    by_token = acts[keep & side].mean(0) - acts[keep & ~side].mean(0)
    if is_close(result, -expected):
        raise Mistake("The arrow points the other way: from the texts without the concept to those with it.")
    if is_close(result, contrast_direction(acts, text, positive, float("inf"))):
        raise Mistake(
            "The massive tokens are still in, and two tokens decide the direction. Keep those no longer than `limit`."
        )
    if is_close(result, by_token):
        raise Mistake(
            "Here long texts count for more than short ones. Average the tokens of each text first, then the texts."
        )
    if is_close(result, acts[side].mean(0) - acts[~side].mean(0)):
        raise Mistake("All tokens in one heap: leave out the massive ones, and let each text count once.")
    if is_close(result, expected / expected.norm()):
        raise Mistake(
            "The direction is right but its length is 1. Keep the length; the next exercise takes care of it."
        )
    means = torch.stack([acts[keep & (text == i)].mean(0) for i in range(5)])
    if is_close(result, means[positive].mean(0)):
        raise Mistake("This is the mean of the positive texts alone: it holds what all English text has in common.")
    if is_close(result, means[positive].mean(0) - means.mean(0)):
        raise Mistake("You subtracted the mean of all texts. Subtract that of the texts without the concept.")
    if is_close(result, means[positive].sum(0) - means[~positive].sum(0)):
        raise Mistake("You subtracted sums. The sides differ in size, so divide each by its own number of texts.")
    raise Mistake(
        "These aren't the right numbers: kept tokens -> a mean a text -> a mean a side -> with minus without."
    )


# ------------------------------------------------------------------------------------------------- 7.2 the push


def push(acts, direction, strength, typical):
    """acts (batch, pos, d_model) plus strength * typical along the direction; tokens over 4 * typical stay."""
    step = direction / direction.norm() * strength * typical
    massive = acts.norm(dim=-1, keepdim=True) > 4 * typical
    return torch.where(massive, acts, acts + step)


def check_push(function):
    generator = seeded(72)
    acts = torch.randn(2, 4, 6, generator=generator) * 2
    acts[0, 0] *= 90
    acts[1, 2] *= 50
    direction, strength, typical = torch.randn(6, generator=generator) * 7, 0.4, 2.5
    result = call(function, acts, direction, strength, typical)
    expect_type(result, torch.Tensor, "Return the edited activations.")
    expect_shape(result, (2, 4, 6), "The activations keep their shape.")
    expect_finite(result)
    expected = push(acts, direction, strength, typical)
    if is_close(result, expected):
        back = call(function, acts, direction, -0.4, typical)
        if not is_close(back, push(acts, direction, -0.4, typical)):
            raise Mistake("A negative strength must push the other way by as much.")
        return
    unit = direction / direction.norm()
    massive = acts.norm(dim=-1, keepdim=True) > 4 * typical
    if is_close(result, acts + strength * typical * unit):
        raise Mistake("Massive tokens moved as well. Those longer than 4 times `typical` keep their value.")
    known = [
        (strength * typical * direction, "The direction's own length got in. Make it a unit vector first."),
        (strength * direction, "This is `strength` times the raw direction: scale a unit vector by `typical` instead."),
        (strength * unit, "`typical` is missing: the strength is a multiple of a typical activation's length."),
        (-strength * typical * unit, "This pushes the other way. Add the step."),
        (typical * unit, "`strength` isn't used: every push is one whole typical length."),
    ]
    for step, message in known:
        if is_close(result, torch.where(massive, acts, acts + step)) or is_close(result, acts + step):
            raise Mistake(message)
    if is_close(result, torch.where(massive, acts + strength * typical * unit, acts)):
        raise Mistake("It is the other way round: massive tokens stay and ordinary ones move.")
    norms = acts.norm(dim=-1, keepdim=True)
    if is_close(result, torch.where(massive, acts, acts + strength * norms * unit)):
        raise Mistake("Each token is pushed by a share of its own length. Use `typical`, the same for all.")
    if is_close(result[:, :-1], acts[:, :-1]):
        raise Mistake("Only the last position moved. Push every position.")
    still = (result == acts).all(-1) & ~massive[..., 0]
    if bool(still.any()):
        raise Mistake(
            f"{int(still.sum())} tokens of ordinary length stayed where they were. Only those longer than 4 times "
            "`typical` stay."
        )
    raise Mistake("These aren't the right numbers: acts + strength * typical * unit, and massive tokens as they were.")


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
    if is_close(result, expected, 1e-4):
        extreme = torch.zeros(2, 9)
        extreme[0, 1], extreme[1, 2] = 120.0, 120.0
        far = call(function, extreme, ids)
        if not is_close(far, log_odds(extreme, ids), 1e-2):
            raise Mistake(
                "Right on ordinary logits, but not when the model is very sure: 1 - p rounds to 0. Stay with logits: "
                "logsumexp over the wanted ones minus logsumexp over the others."
            )
        return
    rest = [i for i in range(9) if i not in ids]
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
        (
            logits[:, ids].logsumexp(-1),
            "The other tokens are missing. Subtract the logsumexp over all tokens not in `ids`.",
        ),
        (expected / torch.log(torch.tensor(2.0)), "This is in bits. Use the natural logarithm (nats)."),
        (
            logits[:, ids].max(-1).values - logits[:, rest].max(-1).values,
            "You compared the likeliest of each side only. Add up each side's probability with logsumexp.",
        ),
    ]
    reject(result, known, 1e-4)
    raise Mistake(
        "These aren't the right numbers. Log-odds: logsumexp over the wanted logits minus that over the rest."
    )


# ------------------------------------------------------------------------------------------------- 7.4 the rule


def best_setting(effect, cost, budget):
    """(layer index, strength index) of the largest effect among settings whose cost is at most the budget."""
    allowed = torch.where(cost <= budget, effect, -torch.inf)
    best = int(allowed.argmax())
    return best // effect.shape[1], best % effect.shape[1]


def check_best_setting(function):
    effect = torch.tensor([[0.5, 1.4, 2.0, 6.0], [0.9, 2.6, 4.0, 3.0], [1.0, 2.0, 5.0, 7.0]])
    cost = torch.tensor([[0.10, 0.3, 0.65, 2.0], [0.2, 0.5, 1.0, 2.0], [0.15, 0.6, 1.01, 3.0]])
    expected = (1, 2)
    result = call(function, effect, cost, 1.0)
    if isinstance(result, torch.Tensor):
        result = result.tolist()
    if not isinstance(result, (tuple, list)):
        if int(result) == 6:
            raise Mistake(
                "6 is the place in the flattened table. Turn it into (row, column): divide by the row length."
            )
        raise Mistake(f"Your result is {result!r}; expected two numbers, (layer index, strength index).")
    if len(result) != 2:
        raise Mistake(f"You returned {len(result)} things; expected two, (layer index, strength index).")
    if any(isinstance(v, torch.Tensor) and v.numel() != 1 for v in result):
        raise Mistake("Each of the two must be one number: the best setting of the whole table, not one a row.")
    got = tuple(int(v) for v in result)
    if got == expected:
        negative = call(function, effect - 10, cost, 1.0)
        if tuple(int(v) for v in negative) != expected:
            raise Mistake(
                "When every effect is negative your rule picks a setting over budget: settings not allowed must count "
                "as minus infinity, not as 0."
            )
        return
    known: dict[tuple[int, ...], str] = {
        (2, 3): "That is the largest effect of all, whatever it costs. Only settings with cost <= budget count.",
        (0, 0): "That is the cheapest setting. Among those within budget, take the one with the largest *effect*.",
        (1, 1): "The setting whose cost is exactly the budget is allowed: use <=.",
        (
            2,
            0,
        ): "That is the best effect per cost, which favours tiny pushes. Take the largest effect within the budget.",
        (2, 2): "That setting costs more than the budget.",
        (2, 1): "Row and column look swapped: return (layer index, strength index).",
    }
    raise Mistake(
        known.get(got, f"{got} isn't it. Drop what costs more than the budget, then take the largest effect.")
    )


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
    if float(cosines.abs().mean()) > 0.4:
        raise Mistake("Your directions lie close to the one they should be a control for. Draw them without using it.")
    if torch.allclose(result.abs(), result.abs()[:, :1].expand(40, 48), rtol=1e-3):
        raise Mistake("Every entry has the same size: these are corners of a cube. Draw from a normal distribution.")
    kurtosis = float((result**4).mean() / (result**2).mean() ** 2)
    if kurtosis < 2.2:
        raise Mistake(
            "Numbers drawn evenly from an interval favour the corners of a cube. torch.randn has no favourites."
        )
    if not torch.allclose(result, call(function, direction, 40, 0)):
        raise Mistake("The same seed gave different directions. Use a generator made from `seed`.")
    if torch.allclose(result, call(function, direction, 40, 1)):
        raise Mistake("Another seed gave the same directions: `seed` isn't used.")


# ------------------------------------------------------------------------------------------------- 7.6 mentions


def mention_share(texts, lexicon):
    """Share of texts that hold a word or phrase of the lexicon as whole words, in any case. -> float"""
    pattern = re.compile(r"\b(" + "|".join(map(re.escape, lexicon)) + r")\b", re.IGNORECASE)
    return sum(bool(pattern.search(text)) for text in texts) / len(texts)


def check_mention_share(function):
    texts = [
        "The BRIDGE was closed.",
        "He built a bridgehead and abridged it.",
        "bridge, bridge, bridge!",
        "Fog lay over the water",
        "A foggy day by the golden gate.",
        "Nothing to see (but the bay)",
        "Golden apples by the gate",
        "bread and butter",
        "THE BAY",
        "The boat in the bay.",
    ]
    lexicon = ["bridge", "golden gate", "bay", "fog"]
    result = call(function, texts, lexicon)
    if isinstance(result, torch.Tensor) and result.numel() == 1:
        result = float(result)
    if isinstance(result, list):
        raise Mistake("You returned one entry a text. Return one number: the share of texts with a mention.")
    if isinstance(result, bool) or not isinstance(result, (int, float)):
        raise Mistake(f"Your result is a {type(result).__name__}; expected one number between 0 and 1.")
    expected = 7 / 10
    if is_close(result, expected, 1e-6):
        dots = call(function, ["a.b", "axb"], ["a.b"])
        if not is_close(dots, 0.5, 1e-6):
            raise Mistake("A dot in the lexicon matched any letter: escape the words with re.escape.")
        return
    low = [t.lower() for t in texts]

    def share(rule):
        return sum(rule(t) for t in texts) / len(texts)

    word = {w: re.compile(rf"\b{w}\b", re.IGNORECASE) for w in lexicon}
    exact = {w: re.compile(rf"\b{w}\b") for w in lexicon}
    known = [
        (7, "That is a count. Divide by the number of texts."),
        (
            sum(any(w in t for w in lexicon) for t in low) / len(texts),
            "'bridgehead' and 'foggy' counted. Match whole words only.",
        ),
        (
            share(lambda t: any(w in t for w in lexicon)),
            "Parts of words count, and capitals don't. Whole words, any case.",
        ),
        (share(lambda t: any(exact[w].search(t) for w in lexicon)), "'BRIDGE' and 'Fog' were missed: ignore case."),
        (
            share(lambda t: all(word[w].search(t) for w in lexicon)),
            "A text needs *one* word of the lexicon, not all of them.",
        ),
        (
            sum(len(word[w].findall(t)) for t in texts for w in lexicon) / len(texts),
            "You counted mentions. A text that says 'bridge' three times is one text.",
        ),
        (
            sum(any(w in t.split() for w in lexicon) for t in low) / len(texts),
            "Splitting at spaces leaves punctuation on words and tears phrases apart: 'golden gate.' was missed.",
        ),
        (
            sum(any(w in re.findall(r"\w+", t) for w in lexicon) for t in low) / len(texts),
            "The phrase 'golden gate' was missed: it is two words. Search the text, not a list of words.",
        ),
    ]
    reject(result, known, 1e-6)
    raise Mistake(f"{float(result):.3f} isn't the share of texts that hold a word of the lexicon as whole words.")


# ------------------------------------------------------------------------------------------------- 7.7 two treatments


def gained_lost(before, after):
    """How many units turned from False to True, and how many from True to False. before, after: (n,) -> two ints"""
    gained = sum(a and not b for b, a in zip(before, after))
    lost = sum(b and not a for b, a in zip(before, after))
    return gained, lost


def check_gained_lost(function):
    before = [True, True, False, False, False, True, False, True, False, False, False]
    after = [True, False, True, True, False, True, True, False, True, False, False]
    result = call(function, before, after)
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        if isinstance(result, (int, float)) and int(result) == 2:
            raise Mistake(
                "That is the net change. Gains and losses are two numbers: 4 and 2 isn't the same as 2 and 0."
            )
        raise Mistake("Return two numbers: how many were gained, and how many were lost.")
    if any(isinstance(v, (list, torch.Tensor)) and len(torch.as_tensor(v).shape) > 0 for v in result):
        raise Mistake("Return how many, not which ones.")
    got = tuple(float(v) for v in result)
    if got == (4, 2):
        if tuple(int(v) for v in call(function, [False] * 3, [False, True, False])) != (1, 0):
            raise Mistake("With three prompts and one gain, your function doesn't say (1, 0).")
        return
    known: dict[tuple[float, ...], str] = {
        (2, 4): "Swapped: gained means False before and True after. Return (gained, lost).",
        (6, 4): "Those are the totals after and before. Pair them: what happened to each prompt?",
        (4, 6): "Those are the totals before and after. Pair them: what happened to each prompt?",
        (2, 0): "The net change hides losses. Count each prompt that went from True to False as lost.",
        (6, 2): "You counted those True both times as gained. Gained means it was False before.",
        (4, 3): "Gained is right. Lost means True before and False after, not False both times.",
    }
    if got == (4 / 11, 2 / 11):
        raise Mistake("Those are shares. Return counts, so that the reader sees how few they are.")
    raise Mistake(known.get(got, f"{tuple(result)} isn't right: look at the pairs one by one."))


# ------------------------------------------------------------------------------------------------- 7.8 steerability


def steerability(strengths, scores):
    """Least-squares slope of each input's score against strength. strengths (k,), scores (k, n) -> (n,)"""
    centred = strengths - strengths.mean()
    return centred @ scores / centred.square().sum()


def check_steerability(function):
    generator = seeded(78)
    strengths = torch.tensor([-0.2, 0.0, 0.1, 0.4, 0.5])
    scores = torch.randn(5, 7, generator=generator) + strengths[:, None] * torch.linspace(-9, 9, 7) + 4
    result = call(function, strengths, scores)
    expect_type(result, torch.Tensor, "Return one slope for each input.")
    if tuple(result.shape) == (5,):
        raise Mistake(
            "You have one number for each strength. A slope belongs to an input: sum over strengths (axis 0)."
        )
    if result.numel() == 1:
        raise Mistake("That is one slope for all. Each input has its own; the mean would hide who goes the other way.")
    expect_shape(result, (7,), "One slope for each input.")
    expect_finite(result)
    expected = steerability(strengths, scores)
    if is_close(result, expected, 1e-3):
        return
    centred = strengths - strengths.mean()
    known = [
        (-expected, "The sign is wrong: a score that rises with the strength has a positive slope."),
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
        (centred @ scores / centred.square().sum().sqrt(), "Divide by the sum of squares, not by its root."),
        (centred @ scores / len(strengths), "That is the covariance. Divide by the strengths' variance as well."),
        (
            centred @ scores / (centred.norm() * (scores - scores.mean(0)).norm(dim=0)),
            "This is the correlation, which has lost the unit. The slope is in nats per unit of strength.",
        ),
    ]
    reject(result, known, 1e-3)
    raise Mistake("These aren't the least-squares slopes. With centred strengths c: (c @ scores) / (c @ c).")


# ------------------------------------------------------------------------------------------------- 7.9 latents


def latent_direction(W_enc, W_dec, latent):
    """What a latent writes, with length 1. W_enc (d_model, d_sae), W_dec (d_sae, d_model) -> (d_model,)"""
    return W_dec[latent] / W_dec[latent].norm()


def check_latent_direction(function):
    generator = seeded(79)
    W_enc, W_dec = torch.randn(6, 6, generator=generator), torch.randn(6, 6, generator=generator) * 3
    result = call(function, W_enc, W_dec, 2)
    expect_type(result, torch.Tensor, "Return the direction as a tensor.")
    if result.numel() == 1:
        raise Mistake("One number came back. A latent's direction has d_model numbers: take a whole row.")
    expect_shape(result, (6,), "One direction, (d_model,).")
    expect_finite(result)
    if is_close(result, latent_direction(W_enc, W_dec, 2)):
        if not is_close(call(function, W_enc, W_dec, 4), latent_direction(W_enc, W_dec, 4)):
            raise Mistake("Right for latent 2 and not for latent 4: is a number written into your code?")
        return
    unit = torch.nn.functional.normalize
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
        (-latent_direction(W_enc, W_dec, 2), "The sign is flipped: this turns the latent down."),
        (W_dec[2] / W_dec.norm(), "You divided by the norm of the whole matrix. Divide by the row's own norm."),
    ]
    reject(result, known)
    raise Mistake("That isn't the latent's decoder row with length 1.")


# ------------------------------------------------------------------------------------------------- 7.10 clamp


def clamp(acts, direction, value):
    """Set the amount along a direction to `value`, leaving all the rest. acts (..., d_model) -> (..., d_model)"""
    unit = direction / direction.norm()
    return acts + (value - acts @ unit)[..., None] * unit


def check_clamp(function):
    generator = seeded(710)
    acts, direction = torch.randn(2, 3, 5, generator=generator) * 2, torch.randn(5, generator=generator) * 4
    value = 1.7
    result = call(function, acts, direction, value)
    expect_type(result, torch.Tensor, "Return the edited activations.")
    expect_shape(result, (2, 3, 5), "The activations keep their shape.")
    expect_finite(result)
    expected = clamp(acts, direction, value)
    if is_close(result, expected, 1e-4):
        return
    unit = direction / direction.norm()
    amount = (acts @ unit)[..., None]
    known = [
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
        (acts.clamp(-value, value), "torch.clamp limits every entry. Here one *direction* gets a set amount."),
    ]
    reject(result, known, 1e-4)
    left = (result - acts) - ((result - acts) @ unit)[..., None] * unit
    if float(left.abs().max()) > 1e-3:
        raise Mistake("Something besides the amount along the direction changed. Move along the unit vector only.")
    raise Mistake(
        "The amount along the direction isn't `value` afterwards. Move each activation by (value - amount) * unit."
    )


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
            Option(
                "The push's length over the length of a typical activation at that place.",
                True,
                "Residuals grow through the blocks and differ between models, so raw coefficients can't be compared.",
            ),
            Option("The coefficient itself.", False, "It multiplies a vector whose own length is left unsaid."),
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
            Option(
                "The chosen setting was chosen for looking cheap and strong on these texts.",
                True,
                "Part of that is luck. Report from texts the rule hasn't seen; ours broke the budget there.",
            ),
            Option("Nothing, the rule was fixed first.", False, "A fixed rule still picks what these texts flatter."),
            Option("16 settings are too few.", False, "More settings make the luck of the best one larger."),
        ],
    ),
    Question(
        "Perplexity of steered text must be measured under the untouched model. Why not under the steered one?",
        [
            Option(
                "The steered model finds its own odd text natural.",
                True,
                "It would be judge in its own case. The library refuses to judge while hooks are on.",
            ),
            Option("It would be slower.", False, "By a few per cent. That isn't the reason."),
            Option("Perplexity isn't defined with hooks.", False, "It is, and it answers another question."),
        ],
    ),
    Question(
        "A latent is on in every bridge sentence and in no other. You push along its decoder row and little happens. "
        "Which explanation fits what this lesson measured?",
        [
            Option(
                "Being on where a word was read isn't the same as writing what makes the word come next.",
                True,
                "Detectors read. Pick a handle by what it does when pushed, on held-out prompts.",
            ),
            Option(
                "The dictionary is broken.", False, "Its reconstruction is good. Another latent of it steers cheaply."
            ),
            Option(
                "You should have used the encoder's column.",
                False,
                "That did nothing, or the reverse: the encoder says what to look for.",
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
