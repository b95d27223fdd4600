"""Lesson 02, tracing: exercises, their checks and the quiz.

Each check uses inputs made so that every named mistake gives another number than the right answer: several
prompts, positions that differ, a norm scale other than 1, a baseline other than 0, effects outside 0 to 1.
"""

from __future__ import annotations

from functools import cache
from unittest.mock import Mock

import numpy as np
import torch

from utils.checks import Exercise, Option, Question, Score, choose
from utils.checks.calling import Mistake, call
from utils.checks.comparing import (
    expect_close,
    expect_each,
    expect_shape,
    expect_type,
    expect_used,
    is_close,
    one_number,
)
from utils.tracing import Known, Pair


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# ------------------------------------------------------------------------------------------ 2.1 logit difference


def _logit_difference(logits, answer, other):
    return logits[:, -1, answer] - logits[:, -1, other]


def _check_logit_difference(fn):
    logits = 3 * _random(3, 5, 8)
    right = _logit_difference(logits, 6, 1)
    got = call(fn, logits, 6, 1)
    expect_type(got, torch.Tensor)
    if is_close(got, logits[..., 6] - logits[..., 1]):
        raise Mistake(
            "You have a number for every position. The next token is predicted at the last one: keep only that."
        )
    expect_shape(got, (3,), "One number a prompt: take the last position, then the two tokens.")
    if is_close(got, -right):
        raise Mistake("The sign is the wrong way round: it should be positive when the model prefers `answer`.")
    if is_close(got, logits[:, 0, 6] - logits[:, 0, 1]):
        raise Mistake("This reads the first position, where the model has seen nothing yet. Read the last one, -1.")
    if is_close(got, (logits[..., 6] - logits[..., 1]).mean(1)):
        raise Mistake("You averaged over positions. Only the last position predicts the next token.")
    probs = logits.softmax(-1)
    if is_close(got, probs[:, -1, 6] - probs[:, -1, 1]):
        raise Mistake("This is a difference of probabilities. They saturate near 0 and 1; use the logits as they are.")
    if is_close(got, right.sigmoid()):
        raise Mistake(
            "This is a probability made of the difference. It saturates: return the difference itself, in nats."
        )
    if is_close(got, logits[:, -1, 6]) or is_close(got, logits[:, -1, 1]):
        raise Mistake("This is one logit. Alone it moves with everything; subtract the other answer's logit.")
    if is_close(got, logits[:, -1, 6] + logits[:, -1, 1]):
        raise Mistake("You added the two logits. A preference is a difference: `answer` minus `other`.")
    if is_close(got, logits[:, -2, 6] - logits[:, -2, 1]):
        raise Mistake("This reads the last position but one. The next token is predicted at the last one, -1.")
    for first, second in ((0, -1), (-1, 0), (-2, -1), (-1, -2)):
        if is_close(got, logits[:, first, 6] - logits[:, second, 1]):
            raise Mistake("The two logits are read at different positions. Read both at the last one, -1.")
    if is_close(got, right[:1].expand(3)):
        raise Mistake("Every prompt got the first prompt's number. Keep the batch axis: `logits[:, -1]`.")
    expect_close(
        got, right, "The shape is right, the numbers are not: logit of `answer` minus logit of `other`, last position."
    )
    given = {"logits": logits, "answer": 6, "other": 1}
    expect_used(fn, given, {"logits": logits.flip(0), "answer": 2, "other": 3})
    other = _random(1, 3, 9, seed=20)
    message = "Right for one pair of tokens and one length, wrong for others: use `answer`, `other` and position -1."
    expect_each(fn, [((other, 0, 8), _logit_difference(other, 0, 8), message)])


# ------------------------------------------------------------------------------------ 2.3 direct logit attribution


def _frozen_shares(parts, weight, readout, eps=1e-5):
    scale = (parts.sum(0).square().mean() + eps).sqrt()
    return (parts / scale * weight) @ readout


def _check_frozen_shares(fn):
    parts, weight, readout = _random(4, 6, seed=1), 1 + _random(6, seed=2).abs(), _random(6, seed=3)
    stream = parts.sum(0)
    scale = (stream.square().mean() + 1e-5).sqrt()
    right = _frozen_shares(parts, weight, readout)
    got = call(fn, parts, weight, readout)
    expect_type(got, torch.Tensor)
    if is_close(got, right.sum()):
        raise Mistake("You have the total. Don't add the parts up: one share for each of them is wanted.")
    expect_shape(got, (4,), "One share a part: the sum runs over d_model.")
    if is_close(got, parts * 0 @ readout):
        raise Mistake("Every share is 0. Return the dot products themselves, not what is left after subtracting.")
    if is_close(got, (parts * weight) @ readout):
        raise Mistake("Nothing was divided by the stream's length: the shares won't add up to the logit difference.")
    if is_close(got, (parts / scale) @ readout):
        raise Mistake("The norm's learned `weight` is missing: it multiplies each dimension before the unembedding.")
    own = (parts.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    if is_close(got, (parts / own * weight) @ readout):
        raise Mistake(
            "You normalised each part by its own size. Freeze the scale: all parts share the one of the whole stream."
        )
    if is_close(got, (parts / (parts.square().mean() + 1e-5).sqrt() * weight) @ readout):
        raise Mistake("Your divisor is the size of a typical part. The norm sees their sum: `parts.sum(0)`.")
    if is_close(got, (parts / stream.norm() * weight) @ readout, 1e-3):
        raise Mistake("You divided by the stream's length. The norm divides by the root of the *mean* square.")
    if is_close(got, (parts / stream.square().sum().sqrt() * weight) @ readout, 1e-3):
        raise Mistake("You divided by the stream's length. The norm divides by the root of the *mean* square.")
    if is_close(got, (parts / stream.square().mean() * weight) @ readout, 1e-3):
        raise Mistake("You divided by the mean square itself: take its root.")
    if is_close(got, (parts / stream.std() * weight) @ readout, 1e-3):
        raise Mistake("You took the mean off before squaring. RMSNorm doesn't: root of the mean square of the stream.")
    if is_close(got, (parts * scale * weight) @ readout):
        raise Mistake("You multiplied by the scale; the norm divides by it.")
    if is_close(got, (parts / scale / weight) @ readout):
        raise Mistake("You divided by `weight`; the norm multiplies each dimension by it.")
    if is_close(got, (parts / scale + weight) @ readout):
        raise Mistake("You added `weight`; the norm multiplies each dimension by it.")
    if is_close(got, -right):
        raise Mistake("All signs are turned round. A part that points along `readout` raises the logit difference.")
    if is_close(got, right.abs()):
        raise Mistake("You took absolute values. A negative share is a finding: that part speaks for the other answer.")
    if is_close(got, right / right.sum()):
        raise Mistake("These are fractions of the total. Keep nats: fractions explode when the total is near 0.")
    expect_close(
        got,
        right,
        "The shares are off: one divisor for all, from the whole stream; `weight`; dot with `readout`.",
    )
    tiny = 1e-3 * parts, weight, readout
    message = "Wrong for a stream so short that `eps` counts: it belongs under the root, with the default as it is."
    expect_each(fn, [(tiny, _frozen_shares(*tiny), message)])
    more, other_weight, other_readout = _random(1, 3, seed=21), 1 + _random(3, seed=22).abs(), _random(3, seed=23)
    message = "Right for one model's numbers and wrong for another's: use `weight`, `readout` and `eps` as they come."
    given = 0.1 * more, other_weight, other_readout, 0.01
    expect_each(fn, [(given, _frozen_shares(*given), message)])


# ----------------------------------------------------------------------------------------------------- 2.4 patch hook


def _patch_hook(resid, hook, clean, positions):
    # A hook works where the activations are that it was given.
    return torch.where(positions[:, None].to(resid.device), clean.to(resid), resid)


def _check_patch_hook(fn):
    resid, clean = _random(2, 5, 3, seed=4), _random(5, 3, seed=5)
    positions = torch.tensor([False, True, False, False, True])
    right = _patch_hook(resid, None, clean, positions)
    # As the lesson does it: the rest bound by name beforehand, and `hook` handed over by name.
    got = call(fn, resid, hook=None, clean=clean, positions=positions)
    expect_type(got, torch.Tensor)
    if isinstance(got, torch.Tensor) and got.shape == clean.shape:
        raise Mistake("Your result has lost its batch axis: expected (2, 5, 3). Start from a copy of `resid`.")
    if got.ndim == 3 and got.shape[1] == 2:
        raise Mistake("You returned the patched positions alone. The model needs the whole stream back, (2, 5, 3).")
    expect_shape(got, (2, 5, 3), "The patched stream keeps the shape of `resid`.")
    if is_close(got, resid):
        raise Mistake("Nothing was patched. Write `clean` into the marked positions of a copy, and return the copy.")
    if is_close(got, torch.where(positions[:, None], resid, clean)):
        raise Mistake("You patched the positions that are *not* marked. True in `positions` means: take the clean one.")
    if is_close(got, clean.expand(2, 5, 3)):
        raise Mistake("You replaced every position. Only those marked True in `positions` should change.")
    if is_close(got, resid + positions[:, None] * clean):
        raise Mistake("You added the clean activation to the old one. Patching replaces: the old one must be gone.")
    half = resid.clone()
    half[0, positions] = clean[positions]
    if is_close(got, half):
        raise Mistake("Only the first row of the batch was patched. Index positions on axis 1: `[:, positions]`.")
    shifted = resid.clone()
    shifted[:, positions] = clean[: int(positions.sum())]
    if is_close(got, shifted):
        raise Mistake("The first rows of `clean` went in. Take the rows at the same positions: `clean[positions]`.")
    if is_close(got, resid * ~positions[:, None]):
        raise Mistake("The marked positions were set to 0. Fill them with the clean run's: `clean[positions]`.")
    expect_used(
        lambda resid, clean, positions: fn(resid, hook=None, clean=clean, positions=positions),
        {"resid": resid, "clean": clean, "positions": positions},
        {"resid": resid.flip(0), "clean": clean.flip(0), "positions": ~positions},
    )
    expect_close(
        got, right, "Some entries are off: marked positions hold `clean`, all others hold `resid`, in every row."
    )
    wide, other, three = _random(3, 4, 2, seed=24), _random(4, 2, seed=25), torch.tensor([True, True, True, False])
    message = "Right for one set of positions and wrong for another: use `positions` as the mask it is."
    again = call(fn, wide, hook=None, clean=other, positions=three)
    expect_close(again, _patch_hook(wide, None, other, three), message)


# ------------------------------------------------------------------------------------------------------- 2.5 recovery


def _recovery(patched, clean, corrupt):
    return (patched - corrupt) / (clean - corrupt)


def _check_recovery(fn):
    clean, corrupt = 5.0, -3.0
    patched = torch.tensor([[-3.0, 5.0, 0.0], [7.0, -5.0, 1.0]])
    right = _recovery(patched, clean, corrupt)
    got = call(fn, patched, clean, corrupt)
    expect_type(got, torch.Tensor)
    expect_shape(got, (2, 3), "Recovery is worked out entry by entry: the shape stays.")
    if is_close(got, patched / clean):
        raise Mistake(
            "This is a share of the clean value. An untouched corrupt run must give 0: subtract `corrupt` first."
        )
    if is_close(got, patched - corrupt):
        raise Mistake("These are nats gained, not a share. Divide by the distance from `corrupt` to `clean`.")
    if is_close(got, 1 - right):
        raise Mistake("0 and 1 are swapped: the corrupt run is 0 and the clean run is 1.")
    if is_close(got, (patched - corrupt) / clean):
        raise Mistake("You divided by `clean`. A full recovery must give exactly 1: divide by `clean - corrupt`.")
    if is_close(got, right.clamp(0, 1)):
        raise Mistake("You clipped to 0 and 1. Values outside happen and mean something: keep them.")
    if is_close(got, right.abs()):
        raise Mistake(
            "You took absolute values. Below 0 means the patch pushed towards the corrupt answer: keep the sign."
        )
    if is_close(got, (patched - corrupt) / (clean + corrupt)):
        raise Mistake("You divided by `clean + corrupt`. The whole way is their distance: `clean - corrupt`.")
    if is_close(got, (patched + corrupt) / (clean - corrupt)):
        raise Mistake("You added `corrupt`. The way a patch has come is `patched - corrupt`.")
    if is_close(got, (patched - patched.min()) / (patched.max() - patched.min())):
        raise Mistake("Your 0 and 1 are the least and the most of `patched`. Take them from `corrupt` and `clean`.")
    given = {"patched": patched, "clean": clean, "corrupt": corrupt}
    expect_used(fn, given, {"patched": patched + 1, "clean": 7.0, "corrupt": -1.0})
    expect_close(got, right, "Not quite: check that `corrupt` itself gives 0 and `clean` itself gives 1.")
    flipped = call(fn, patched, corrupt, clean)  # here clean is the smaller number
    message = "It fails when clean lies below corrupt. Divide by the signed distance `clean - corrupt`."
    expect_close(flipped, _recovery(patched, corrupt, clean), message)
    message = "Right for one shape of `patched`, wrong for another: work entry by entry, and any shape will do."
    shapes = _random(2, 3, 4, seed=26), torch.tensor(1.25)
    expect_each(fn, [((other, 2.0, 0.5), _recovery(other, 2.0, 0.5), message) for other in shapes])


# ------------------------------------------------------------------------------------------- 2.6 attack the recovery


def _fooling(logits, answer, other):
    fooled = logits.clone()
    third = max((i for i in range(len(logits)) if i not in (answer, other)), key=lambda i: float(logits[i]))
    fooled[third] = torch.logsumexp(logits[[third, other]], 0) + 1  # what the other answer had, and more, goes here
    fooled[other] = logits[answer] - 2 * (logits[other] - logits[answer]).clamp(min=1)
    return fooled


def _wrong_runs():
    """Next-token logits of 40 runs that prefer `other` to `answer`, and what the clean run's difference would be."""
    generator = torch.Generator().manual_seed(60)
    for k in range(40):
        size = 6 + k % 5
        logits = torch.randn(size, generator=generator) * 3
        answer, other = torch.randperm(size, generator=generator)[:2].tolist()
        logits[other] = logits[answer] + 0.5 + 8 * torch.rand((), generator=generator)
        yield logits, answer, other


def _why_it_rises(logits, got, answer, other, rise):
    """What an attack did wrong that raises log P(answer) by `rise` nats."""
    hint = f"In one run log P(answer) rises by {rise:.2g} nats: "
    third = torch.ones(len(logits), dtype=torch.bool)
    third[[answer, other]] = False
    if got[answer] > logits[answer] + 1e-4:
        return hint + "you raised the logit of `answer` itself. A run that knows nothing more doesn't do that."
    if bool((got > logits + 1e-4)[third].any()):
        return hint + "a third token got more, but not enough to take all that you took from `other`."
    return hint + (
        "what you take from one token goes to all the others, `answer` among them. Give it to a third token."
    )


def _check_fooling(fn):
    good, hint = 0, ""
    for logits, answer, other in _wrong_runs():
        got = call(fn, logits, answer, other)
        expect_type(got, torch.Tensor)
        expect_shape(got, tuple(logits.shape), "Return the changed logits of the whole vocabulary.")
        if not bool(torch.isfinite(got).all()):
            raise Mistake("Some logits are infinite or NaN. A run never gives such: use large numbers instead.")
        if is_close(got, logits):
            raise Mistake("Nothing was changed: the recovery is still 0.")
        before, after = logits.log_softmax(-1)[answer], got.log_softmax(-1)[answer]
        gap = float(logits[answer] - logits[other])
        recovered = (float(got[answer] - got[other]) - gap) / (-2 * gap)  # the clean run: as far on the other side
        if recovered < 0.9:
            hint = f"In one run the recovery is only {recovered:.2f}: the difference still favours `other`."
        elif after > before + 1e-5:
            hint = _why_it_rises(logits, got, answer, other, float(after - before))
        else:
            good += 1
    return Score(good / 40, 0.95, 40, "runs", hint)


# ------------------------------------------------------------------------------------------------ 2.7 design a control


def _strangers(pair, known):
    return [
        place
        for place in known
        if len(place.tokens) == len(pair.clean)
        and place.subject == pair.subject
        and place.answer not in (pair.answer, pair.other)
    ]


def _places(seed):
    """A pair, and places of which some can be its strangers: each fault stands alone somewhere."""
    generator = torch.Generator().manual_seed(seed)
    start, name = 2 + seed % 2, 2 + seed % 3
    pos = start + name + 4 + seed % 2
    answer, other = torch.randperm(40, generator=generator)[:2].tolist()

    def ids(n_pos=pos):
        return torch.randint(50, 90, (n_pos,), generator=generator)

    clean, corrupt = ids(), ids()
    corrupt[:start], corrupt[start + name :] = clean[:start], clean[start + name :]
    corrupt[start] = 91
    span = (start, start + name)
    pair = Pair(clean, corrupt, answer, other, span, "one / another")
    known = [Known("one", clean, answer, span), Known("another", corrupt, other, span)]
    for k in range(14):
        city = int(torch.randint(0, 40, (1,), generator=generator))
        kind = k % 7
        if kind == 0:
            known.append(Known(f"{k}", ids(), answer, span))  # the answer's own city
        elif kind == 1:
            known.append(Known(f"{k}", ids(), other, span))  # the old answer's city
        elif kind == 2:
            known.append(Known(f"{k}", ids(pos + 1), 41, (start, start + name + 1)))  # a longer name
        elif kind == 3:
            known.append(Known(f"{k}", ids(), 42, (start + 1, start + name + 1)))  # the name stands elsewhere
        elif kind == 4:
            known.append(Known(f"{k}", ids(), 43, (start, start + name + 1)))  # as long, but the name is longer
        elif kind == 5:
            known.append(Known(f"{k}", ids(pos + 1), 44, span))  # a longer sentence
        elif city not in (answer, other):
            known.append(Known(f"{k}", ids(), city, span))
    # Eight more that will do, two in each of four cities: as many as there are, and a city may come twice.
    known += [Known(f"sure {k}", ids(), 45 + k // 2, span) for k in range(8)]
    order = torch.randperm(len(known), generator=generator).tolist()
    return pair, [known[i] for i in order]


def _check_strangers(fn):
    good, hint = 0, ""
    for seed in range(40):
        pair, known = _places(seed)
        got = call(fn, pair, known)
        if not isinstance(got, (list, tuple)) or not all(isinstance(place, Known) for place in got):
            raise Mistake("Return a list of places out of `known`, each as it stands there.")
        names = [place.name for place in got]
        if len(set(names)) < len(names):
            raise Mistake("A place is in your list twice. Each counts once.")
        right = {place.name for place in _strangers(pair, known)}
        chosen = set(names)
        if chosen == right:
            good += 1
            continue
        wrong = [place for place in got if place.name not in right]
        if any(place.answer == pair.answer for place in wrong):
            hint = "One of yours stands in the clean answer's city: writing it in brings back the answer itself."
        elif any(place.answer == pair.other for place in wrong):
            hint = "One of yours stands in the corrupt answer's city: it would keep the old answer, not wipe it out."
        elif any(len(place.tokens) != len(pair.clean) for place in wrong):
            hint = "One of yours has a prompt of another length: no position of it corresponds to the pair's."
        elif wrong:
            hint = "One of yours has its name at other positions: position for position, name must meet name."
        else:
            hint = (
                f"You left out {len(right - chosen)} places that would do: the more strangers, the surer the control."
            )
    return Score(good / 40, 1.0, 40, "pairs", hint)


# ----------------------------------------------------------------------------------------------- 2.8 beyond the control


def _beyond_control(recovered, control, n_resamples=2000, seed=0):
    difference = np.asarray(recovered) - np.asarray(control)
    rng = np.random.default_rng(seed)
    rows = rng.integers(len(difference), size=(n_resamples, len(difference)))
    low, high = np.percentile(difference[rows].mean(1), [2.5, 97.5])
    return difference.mean(), low, high


def _paired_data():
    """24 pairs. What a pair does under any patch is large, and the same in both; the means stand off 0."""
    rng = np.random.default_rng(1)
    shared = rng.normal(0, 1.0, 24)
    return shared + 0.8 + 0.2 * rng.normal(size=24), shared + 0.3 + 0.2 * rng.normal(size=24)


@cache
def _ends(statistic=np.mean):
    """Percentiles 0.5, 1, …, 99.5 of the resampled statistic of `_paired_data`, nearly free of luck."""
    recovered, control = _paired_data()
    drawn = np.random.default_rng(2).integers(24, size=(100_000, 24))
    return np.percentile(statistic((recovered - control)[drawn], axis=1), np.arange(0.5, 100, 0.5))


def _three(result):
    """(mean, low, high) as floats, from a tuple, a list, an array or a tensor."""
    if isinstance(result, (np.ndarray, torch.Tensor)):
        result = result.tolist()
    if not isinstance(result, (tuple, list)) or len(result) != 3:
        raise Mistake(f"Return three numbers, (mean, low, high); yours is {type(result).__name__}.")
    return tuple(one_number(number, what) for number, what in zip(result, ("the mean", "the low end", "the high end")))


def _check_beyond_control(fn):
    recovered, control = _paired_data()
    difference, n_resamples = recovered - control, 40_000
    mean = difference.mean()
    centre, bottom, top = _three(call(fn, recovered, control, n_resamples, 0))
    if is_close(centre, -mean):
        raise Mistake(
            "The difference is the wrong way round: recovered minus control, so that positive means beyond it."
        )
    if is_close(centre, recovered.mean()):
        raise Mistake("This is the recovery itself. Subtract the same pair's control first.")
    if is_close(centre, (recovered + control).mean()):
        raise Mistake("You added the control. Beyond it means recovered *minus* control.")
    if is_close(centre, np.median(difference)):
        raise Mistake("The first number is the median over pairs. Return the mean difference.")
    if abs(float(centre) - mean) < 0.005 and not is_close(centre, mean, 1e-6):
        raise Mistake(
            "The first number is close to the mean of the data, and not equal to it. Return that mean, not the mean of "
            "the resampled means."
        )
    if not is_close(centre, mean, 1e-6):
        raise Mistake("The first number should be the mean over pairs of recovered minus control, from all the pairs.")
    if bottom > centre or top < centre:
        raise Mistake("The interval does not hold the mean. The order is (mean, low, high): check which end is which.")
    _name_coarse_faults(difference, centre, bottom, top)
    skewed = _skewed_intervals(fn)
    for which, ends in skewed.items():
        if is_close(ends, [0.0, 0.0], 1e-6):
            raise Mistake(f"The {which} pair is never drawn. Draw row numbers from 0 up to n, n itself left out.")
    _check_ends(bottom, top)
    for low, high in skewed.values():
        if not is_close([low, high], [0.0, 0.3], 1e-6):
            raise Mistake(
                f"Ten pairs of which one differs by 1 give [0.0, 0.3]; yours is [{low:.2f}, {high:.2f}]. "
                "Draw ten of ten, with replacement: a pair may come up several times."
            )
    _check_turned_round(fn, mean, bottom, top)
    if call(fn, recovered, control, 300, 5)[1] != call(fn, recovered, control, 300, 5)[1]:
        raise Mistake("The same seed gave two intervals. Make your own generator of `seed`, inside the function.")
    if call(fn, recovered, control, 300, 5)[1] == call(fn, recovered, control, 300, 6)[1]:
        raise Mistake("Two seeds gave one and the same interval: `seed` isn't used.")
    one, two = (_three(call(fn, recovered, control, n, 0))[1:] for n in (1, 2))
    if not is_close(one[0], one[1], 1e-9):
        raise Mistake("With `n_resamples=1` there is one mean, and both ends are it: `n_resamples` isn't used.")
    if two[0] == two[1]:
        raise Mistake("With `n_resamples=2` there are two means, and the ends differ: draw as many as you are told.")


def _check_turned_round(fn, mean, bottom, top):
    """Three times the differences, the other way round: all three numbers are below 0, and some below -1."""
    recovered, control = _paired_data()
    centre, low, high = _three(call(fn, 3 * control, 3 * recovered, 4000, 0))
    if not is_close(centre, -3 * mean) or not is_close([low, high], [-3 * top, -3 * bottom], 0.3 * (top - bottom)):
        raise Mistake(
            f"Three times the differences, the other way round, should give {-3 * mean:.2f} "
            f"[{-3 * top:.2f}, {-3 * bottom:.2f}]; yours is {centre:.2f} [{low:.2f}, {high:.2f}]. Cut nothing off, and "
            "keep the signs."
        )


def _name_coarse_faults(difference, centre, bottom, top):
    """Name an interval of the 24 pairs that was made in another way."""
    width = top - bottom
    low, high = _ends()[[4, 194]]
    wanted = high - low
    if width < 1e-6:
        raise Mistake("The interval has no width. Draw with replacement: a resample may hold a pair twice.")
    if is_close(top - centre, centre - bottom, 1e-6):
        raise Mistake(
            "Your interval is symmetric about the mean, as mean ± 1.96 standard errors is. Resample, and take "
            "percentiles: they keep the skew of few and uneven pairs."
        )
    single = np.percentile(difference, [2.5, 97.5])
    if abs(width - (single[1] - single[0])) < 0.1 * (single[1] - single[0]):
        raise Mistake(
            "This is the spread of single pairs. Average each resample first, then take percentiles of the means."
        )
    if width > 2 * wanted:
        raise Mistake("The interval is far too wide: resample whole pairs, so that a pair's two numbers stay together.")
    if width < 0.4 * wanted:
        raise Mistake("The interval is far too narrow: average over the pairs of each resample, not over resamples.")
    medians = _ends(np.median)  # few values are possible, so a percentile jumps: 1.5 to 3.5 and 96.5 to 98.5
    if medians[2] <= bottom <= medians[6] and medians[192] <= top <= medians[196]:
        raise Mistake("These are percentiles of resampled *medians*. Take each resample's mean.")


def _check_ends(bottom, top):
    """Name percentiles other than 2.5 and 97.5, and resamples of another size."""
    low, high = _ends()[[4, 194]]
    width, wanted = top - bottom, high - low
    luck = 0.075 * wanted / 3.92  # about five standard errors of a percentile, at 40,000 resamples
    if abs(bottom - low) <= luck and abs(top - high) <= luck:
        return
    found = [float(np.interp(end, _ends(), np.arange(0.5, 100, 0.5))) for end in (bottom, top)]
    if abs(found[0] + found[1] - 100) > 0.35:
        raise Mistake(
            f"The ends aren't where they should be: yours hold the middle from the {found[0]:.1f}th to the "
            f"{found[1]:.1f}th percentile of the resampled means; wanted are 2.5 and 97.5."
        )
    if is_close(found, [5, 95], 0.5):
        raise Mistake("These are the 5th and 95th percentiles: 90 % lie between them. For 95 % take 2.5 and 97.5.")
    raise Mistake(
        f"The interval's width is off: {width / wanted:.2f} times the right one. Draw as many pairs as there are, and "
        "take the 2.5th and 97.5th percentiles of the resampled means."
    )


def _skewed_intervals(fn):
    """Intervals where one pair in ten differs, by 1: a resample holds it up to three times, hardly ever more often."""
    found = {}
    for which, place in (("first", 0), ("last", 9)):
        recovered = np.full(10, 0.25)
        recovered[place] = 1.25
        found[which] = _three(call(fn, recovered, np.full(10, 0.25), 4000, 0))[1:]
    return found


# -------------------------------------------------------------------------------------------- 2.10 attribution patching


def _attribution(clean, corrupt, gradients):
    return ((clean - corrupt) * gradients.mean(0)).sum(-1)


def _check_attribution(fn):
    clean, corrupt, gradients = _random(3, 4, 6, seed=6), _random(3, 4, 6, seed=7), _random(5, 3, 4, 6, seed=8)
    gradient = gradients.mean(0)
    right = _attribution(clean, corrupt, gradients)
    got = call(fn, clean, corrupt, gradients)
    expect_type(got, torch.Tensor)
    if is_close(got, (clean - corrupt) * gradient):
        raise Mistake("One step is missing: add up over d_model, so that each layer and position has one number.")
    if is_close(got, ((clean - corrupt) * gradients).sum(-1)):
        raise Mistake("You have an estimate for every point. Average the slopes over the points, the first axis.")
    expect_shape(got, (3, 4), "One number for each layer and position: the sum runs over d_model, the last axis.")
    if is_close(got, right * 5):
        raise Mistake("You added the slopes of the points up. The estimate uses their mean.")
    if is_close(got, ((clean - corrupt) * gradients[0]).sum(-1)):
        raise Mistake("Only the first point's slope is used. Average over all points, the first axis.")
    if is_close(got, ((clean - corrupt) * gradients[-1]).sum(-1)):
        raise Mistake("Only the last point's slope is used. Average over all points, the first axis.")
    if is_close(got, -right):
        raise Mistake("The step is the wrong way round. The patch moves the stream from corrupt to clean.")
    if is_close(got, (clean * gradient).sum(-1)):
        raise Mistake("This is gradient × clean. A patch only changes the difference: use `clean - corrupt`.")
    if is_close(got, (corrupt * gradient).sum(-1)):
        raise Mistake("This is gradient × corrupt. A patch only changes the difference: use `clean - corrupt`.")
    if is_close(got, ((clean + corrupt) * gradient).sum(-1)):
        raise Mistake("You added the two runs. The step that a patch makes is `clean - corrupt`.")
    if is_close(got, (clean - corrupt).sum(-1)):
        raise Mistake(
            "This is the step alone, added up. Multiply it by the gradient first: how much each part matters."
        )
    if is_close(got, gradient.sum(-1)):
        raise Mistake("This is the gradient alone, added up. Multiply it by the step first: `clean - corrupt`.")
    if is_close(got, ((clean - corrupt) / gradient).sum(-1)):
        raise Mistake("You divided by the gradient. A first-order change is step *times* slope.")
    given = {"clean": clean, "corrupt": corrupt, "gradients": gradients}
    expect_used(fn, given, {name: value.flip(0) + 0.1 for name, value in given.items()})
    if is_close(got, right / 6):
        raise Mistake("You averaged over d_model. The first-order change is a sum, a dot product.")
    if is_close(got, right.abs()):
        raise Mistake("You took absolute values. The sign says towards which answer the patch would push.")
    step, slope = (clean - corrupt).norm(dim=-1), gradient.norm(dim=-1)
    if is_close(got, step * slope):
        raise Mistake("This multiplies lengths. It ignores the angle: a step across the gradient changes nothing.")
    if is_close(got, ((clean - corrupt) * gradients.median(0).values).sum(-1)):
        raise Mistake("You took the median of the slopes. The change over a way is the way times the *mean* slope.")
    expect_close(
        got, right, "Not quite: at each layer and position, the dot product of the step and the mean gradient."
    )
    message = "It works for (layer, pos, d_model), but not for more axes: count d_model from the end, -1."
    for shape in ((2, 3, 4, 5), (4, 5)):
        runs = [_random(*shape, seed=27), _random(*shape, seed=28), _random(1 + len(shape), *shape, seed=29)]
        try:
            again = call(fn, *runs)
        except Mistake as mistake:
            raise Mistake(f"{message} {mistake}") from None
        if not is_close(again, _attribution(*runs)):
            raise Mistake(message)
    one = _random(2, 3, 4, seed=30), _random(2, 3, 4, seed=31), _random(1, 2, 3, 4, seed=32)
    expect_each(
        fn, [(one, _attribution(*one), "It goes wrong with a single point: that is plain attribution patching.")]
    )


# -------------------------------------------------------------------------------------------- 2.11 integrated gradients


def _integrated_gradients(gradient_at, inputs, baseline, steps=32):
    alphas = (torch.arange(steps) + 0.5) / steps
    mean_gradient = sum(gradient_at(baseline + a * (inputs - baseline)) for a in alphas) / steps
    return ((inputs - baseline) * mean_gradient).sum(-1)


def _check_integrated_gradients(fn):
    weights = _random(4, 3, seed=9)

    def value(x):  # curved, and each position matters for itself: the exact shares are known
        return (weights * x**3).sum(-1)

    points = []

    def gradient_at(x):
        if tuple(x.shape) != (4, 3):
            raise ValueError(f"gradient_at takes one point of shape (4, 3), got {tuple(x.shape)}")
        points.append(x.detach().clone())
        return 3 * weights * x**2

    def near(a, b):  # any sensible rule for the points on the line will do: ends, middles, trapezoids
        return is_close(a, b, 0.02 * float(b.abs().max()))

    inputs, baseline = 1 + _random(4, 3, seed=10), 0.5 * _random(4, 3, seed=11)
    right = value(inputs) - value(baseline)
    steps = 200
    got = call(fn, gradient_at, inputs, baseline, steps)
    expect_type(got, torch.Tensor)
    seen = torch.stack(points) if points else torch.zeros(0, 4, 3)
    grid = [(k + 0.5) / steps for k in range(steps)]
    line = sum(gradient_at(baseline + a * (inputs - baseline)) for a in grid) / steps
    if near(got, (inputs - baseline) * line):
        raise Mistake("One step is missing: add up over d_model, so that each position has one share.")
    expect_shape(got, (4,), "One share a position: the sum runs over d_model, the last axis.")
    step = inputs - baseline
    if is_close(got, (step * gradient_at(inputs)).sum(-1)):
        raise Mistake("This uses the gradient at the input only: gradient × input. Average it along the whole line.")
    if is_close(got, (step * gradient_at((inputs + baseline) / 2)).sum(-1)):
        raise Mistake("This uses the gradient at one point, halfway. Average it over `steps` points along the line.")
    if near(got, line.sum(-1)):
        raise Mistake("This is the mean gradient alone. Multiply it by `inputs - baseline` before you add up.")
    if near(got, (inputs * line).sum(-1)):
        raise Mistake("You multiplied by `inputs`. The line starts at the baseline: multiply by `inputs - baseline`.")
    from_zero = sum(gradient_at(a * inputs) for a in grid) / steps
    if near(got, (step * from_zero).sum(-1)) or near(got, (inputs * from_zero).sum(-1)):
        raise Mistake("Your line starts at zero. It should start at `baseline`: baseline + a · (inputs - baseline).")
    if near(got, right * steps):
        raise Mistake("The gradients were added up, not averaged: divide by the number of steps.")
    if near(got, -right):
        raise Mistake("All signs are turned round: the line runs from the baseline to the input.")
    if near(got, right.abs()):
        raise Mistake(
            "You took absolute values. A share below 0 is a finding: that position speaks against the answer."
        )
    message = (
        "The shares don't add up to f(inputs) - f(baseline). Points: baseline + a · (inputs - baseline), a from 0 to 1."
    )
    _count_calls(len(seen), steps)
    if not near(got, right):
        raise Mistake(message)
    way = ((seen - baseline) / step).flatten(1)  # how far along the line each point lies, entry by entry
    if way.min() < -1e-4 or way.max() > 1 + 1e-4:
        raise Mistake("Some points lie beyond the ends of the line. Keep the shares of the way between 0 and 1.")
    along = way[:, int(step.abs().argmax())].sort().values
    gap = float(torch.cat([along.new_zeros(1), along, along.new_ones(1)]).diff().max())
    if gap > 3 / steps:
        raise Mistake(
            f"{steps} points leave {gap:.1%} of the line without one. Points drawn at random do: with few steps the "
            "sum is then luck. Spread them evenly."
        )
    _check_flat(fn)


def _count_calls(calls, steps):
    """One gradient a step; a rule that takes both ends of every piece needs one more."""
    if not steps - 1 <= calls <= steps + 1:
        raise Mistake(f"`gradient_at` was called {calls} times for {steps} steps: take one gradient a step.")


def _check_flat(fn):
    """Where the gradient is the same everywhere, every rule for the points gives the shares exactly."""
    slope, inputs, baseline = _random(2, 3, seed=12), _random(2, 3, seed=13), _random(2, 3, seed=14)
    right = ((inputs - baseline) * slope).sum(-1)
    for steps in (3, 8):
        gradient_at = Mock(side_effect=lambda x: slope.clone())
        got = call(fn, gradient_at, inputs, baseline, steps)
        _count_calls(gradient_at.call_count, steps)
        if not is_close(got, right, 1e-4):
            raise Mistake(
                f"With a gradient that is the same everywhere, {steps} steps don't give its mean. Start the sum at 0, "
                "and divide by the number of points that went into it."
            )


# ----------------------------------------------------------------------------------------------------------- registry

EXERCISES = [
    Exercise("2.1", "How much more does it want to say San?", _logit_difference, _check_logit_difference),
    choose(
        "2.2",
        "What may be resampled?",
        "c",
        {
            "a": "Each landmark is used once, but a landmark isn't all that a pair is about: four pairs ask whether "
            "the model prefers New York. What is odd about that city is in all four; resampling pairs can't see it.",
            "b": "More draws make the ends of the same interval steadier. They add no city to the sample, and a city "
            "that fills four pairs still counts as four.",
            "c": "Pairs that share no city share no answer. Then a pair is a unit, and there are as many as pairs.",
            "d": "Positions of one prompt are parts of one measurement, not repetitions of it.",
        },
    ),
    Exercise("2.3", "Who wrote the answer?", _frozen_shares, _check_frozen_shares),
    Exercise("2.4", "A transplant", _patch_hook, _check_patch_hook),
    Exercise("2.5", "How far did it come back?", _recovery, _check_recovery),
    Exercise("2.6", "A recovery out of nothing", _fooling, _check_fooling, kind="attack"),
    Exercise("2.7", "A stranger", _strangers, _check_strangers, kind="design"),
    Exercise("2.8", "Beyond the control", _beyond_control, _check_beyond_control),
    choose(
        "2.9",
        "The sentence that stands",
        "b",
        {
            "a": "Cuts of one block at a time miss what several blocks share. The table of windows has a cut of blocks "
            "0 to 22: it costs more than any of them alone, and a cut in all blocks more than block 23's.",
            "b": "It says what the cut costs and what the run with later attention held has shown, and claims no more.",
            "c": "The last word doesn't look there any more. What is in those positions wasn't looked at: not read is "
            "not gone.",
            "d": "Later attention does repair: without its reaction less would be left. But take all later parts "
            "together: with both held no less is left than when both react, for the MLPs pass less on.",
        },
    ),
    Exercise("2.10", "Every patch from a few gradients", _attribution, _check_attribution),
    Exercise("2.11", "Attribution along a line", _integrated_gradients, _check_integrated_gradients),
]

QUIZ = [
    Question(
        "Direct logit attribution gives an early layer a share of almost 0. What follows?",
        [
            Option("The layer does nothing for this answer.", False,
                   "It may feed later layers. Direct attribution sees only what goes straight to the logits."),
            Option("Taking the layer out would leave the logits as they are.", False,
                   "The norm's scale was frozen and later layers were kept as they are. Without the layer, both move."),
            Option("What the layer wrote does not point along the readout at the end.", True,
                   "And only that. Patching asks the other question: what changes if the layer changes?"),
        ],
    ),
    Question(
        "You patch the whole subject from an unrelated landmark, and recovery is 0.5. What has happened?",
        [
            Option("The corrupt answer lost its support, and the difference rose to about 0 nats.", True,
                   "With opposite starting points, 0 nats lies halfway. So 0.5 can be pure destruction."),
            Option("Half of the clean answer's information came from the unrelated landmark.", False,
                   "It holds nothing about the clean answer. Ask what happened to the other term of the difference."),
            Option("The patch went wrong: an unrelated prompt must give 0.", False,
                   "Nothing forces it to 0. That is why the control is run, and why recovery is read against it."),
        ],
    ),
    Question(
        "You take one head out and the answer hardly moves. Which conclusions are safe?",
        [
            Option("The head is not used for this task.", False,
                   "Others may do the same work, or step in when it is gone. Redundancy hides a working part."),
            Option("The model does not depend on this head alone, on these prompts.", True,
                   "This is what a single knock-out can show. Take out sets of parts to look for other ways."),
            Option("The head would also get a small share from direct logit attribution.", False,
                   "In this lesson's last block two heads have large shares and opposite signs."),
        ],
    ),
    Question(
        "On a pair of prompts that differ only in the landmark, which part can activation patching not show?",
        [
            Option("The part that moves the landmark's city to the last position.", False,
                   "It carries different things on the two prompts, so a patch there shows."),
            Option("Any part before the middle of the network.", False,
                   "Early parts show too, wherever the two prompts differ: at the subject's positions."),
            Option("The part that recognises that a city is being asked for.", True,
                   "Both prompts ask for a city. What they share is equal in both runs: patching it does nothing."),
        ],
    ),
    Question(
        "One gradient at the corrupt run estimates late patches well and early MLP patches badly. Why?",
        [
            Option("The gradient is only computed for late parts.", False,
                   "One backward pass gives the gradient everywhere."),
            Option("An early patch is a large step through everything above it, and the model bends on the way.", True,
                   "A straight line is good for small steps. Early patches at the name carry most of the answer."),
            Option("Early parts do nothing, so there is nothing to estimate.", False,
                   "Exactly patched, the first MLPs at the name move most of the answer."),
        ],
    ),
    Question(
        "Integrated gradients from some baseline miss completeness by more than the effect itself. What do you do?",
        [
            Option("Report no shares from this line; try more steps or a baseline nearer to real prompts.", True,
                   "A failed check is a result: between these two points the model is too rough for this many steps."),
            Option("Rescale the shares so that they add up.", False,
                   "That hides the error. Nothing says the missing part is spread like the rest."),
            Option("Read the ranking of the tokens, which needs no completeness.", False,
                   "If the sum is off by more than the effect, the order can be off as well."),
        ],
    ),
    Question(
        "The last position never sees the name, in any block, and a part of the answer is still there. How?",
        [
            Option("The words in between have read the name, and the last position reads them.", True,
                   "Hide these words as well and see. A cut closes one way, not all."),
            Option("The cut can't have worked.", False,
                   "Its scores are minus infinity: no weight is left for the name. There are other ways round."),
            Option("The model guesses the city from the sentence alone.", False,
                   "The rest of the sentence is the same for every landmark."),
        ],
    ),
]  # fmt: skip
