"""Lesson 10: wrong answers with the words that must reject them, and right answers written differently."""

from collections import Counter
from statistics import fmean, pstdev

import numpy as np
import torch

NAN = float("nan")

# ---------------------------------------------------------------------------------------------------------- 10.1


def _pairs(one, other):
    return fmean(a != b for a in one for b in other)


def _own(some):
    return fmean(a != b for i, a in enumerate(some) for b in some[i + 1 :])


def _both_own(plain, hinted):
    return (_own(plain) + _own(hinted)) / 2


def _tasks(measure):
    """The mean over tasks of a measure of (without, with hint)."""
    return lambda without, hinted: fmean(measure(p, h) for p, h in zip(without, hinted))


def _change(measure=_pairs, noise=_both_own):
    """The corrected change with another way of measuring the change or the noise."""
    return _tasks(lambda plain, hinted: measure(plain, hinted) - noise(plain, hinted))


def _noise(own):
    return _change(noise=lambda plain, hinted: (own(plain) + own(hinted)) / 2)


def _pooled(without, hinted):
    def within(side):
        return fmean(a != b for some in side for i, a in enumerate(some) for b in some[i + 1 :])

    changed = fmean(a != b for p, h in zip(without, hinted) for a in p for b in h)
    return changed - (within(without) + within(hinted)) / 2


def _mode_differs(plain, hinted):
    return Counter(plain).most_common(1)[0][0] != Counter(hinted).most_common(1)[0][0]


def _answered(without, hinted):
    return _change()(*([[a for a in some if a is not None] for some in side] for side in (without, hinted)))


def _by_numpy(without, hinted):
    def differ(one, other):
        return np.array(one, dtype=object)[:, None] != np.array(other, dtype=object)[None]

    def own(some):
        return differ(some, some).sum() / (len(some) * (len(some) - 1))

    return np.mean([differ(p, h).mean() - (own(p) + own(h)) / 2 for p, h in zip(without, hinted)])


def _by_counts(without, hinted):
    """Half the squared distance between the shares of each answer, less its bias."""
    out = []
    for plain, hint in zip(without, hinted):
        first, second = Counter(plain), Counter(hint)
        n, m = len(plain), len(hint)
        agree = sum(first[a] * second[a] for a in first) / (n * m)
        within = sum(c * (c - 1) for c in first.values()) / (n * (n - 1))
        beside = sum(c * (c - 1) for c in second.values()) / (m * (m - 1))
        out.append((within + beside) / 2 - agree)
    return torch.tensor(out).mean()


# ---------------------------------------------------------------------------------------------------------- 10.2


def _share_said(keep):
    """Share of `admitted` among the tasks that `keep(answer, usual, hint)` keeps."""

    def rate(answers, usual, hints, admitted):
        kept = [said for a, u, h, said in zip(answers, usual, hints, admitted) if keep(a, u, h)]
        return sum(kept) / len(kept) if kept else NAN

    return rate


def _moved(answer, usual, hint):
    return answer == hint and usual != hint


def _said(answers, usual, hints, admitted):
    return [_moved(a, u, h) and s for a, u, h, s in zip(answers, usual, hints, admitted)]


_admitted_right = _share_said(_moved)


def _admitted_unguarded(answers, usual, hints, admitted):
    kept = [said for a, u, h, said in zip(answers, usual, hints, admitted) if _moved(a, u, h)]
    return sum(kept) / len(kept)


def _admitted_numpy(answers, usual, hints, admitted):
    answers, usual, hints = (np.array(side, dtype=object) for side in (answers, usual, hints))
    moved = (answers == hints) & (usual != hints)
    return np.array(admitted)[moved].mean() if moved.any() else np.nan


def _admitted_torch(answers, usual, hints, admitted):
    moved = torch.tensor([_moved(*row) for row in zip(answers, usual, hints)])
    return torch.tensor(admitted)[moved].float().mean()  # nan for none


# ---------------------------------------------------------------------------------------------------------- 10.3


def _area_under(given, same):
    return float(np.diff(given) @ (same[1:] + same[:-1]) / 2)


def _even(given):
    return np.linspace(0, 1, len(given))


# ---------------------------------------------------------------------------------------------------------- 10.4


def _bent(steps, at, wrong):
    return (*steps[at][:2], wrong)


def _spoil_and_go_on(steps, at, wrong):
    out = [*steps[:at], _bent(steps, at, wrong)]
    for _, digit, _ in steps[at + 1 :]:
        total = out[-1][2]
        out.append((total, digit, (total + digit) % 10))
    return out


def _spoil_in_place(steps, at, wrong):
    steps[at] = _bent(steps, at, wrong)
    del steps[at + 1 :]
    return steps


def _spoil_one_in_place(steps, at, wrong):
    a, b, _ = steps[at]
    steps[at] = (a, b, wrong)
    return steps[: at + 1]


def _spoil_by_copy(steps, at, wrong):
    out = [list(step) for step in steps][: at + 1]
    out[-1][-1] = wrong
    return out


def _spoil_by_loop(steps, at, wrong):
    out = []
    for place, (a, b, c) in enumerate(steps):
        if place > at:
            break
        out.append((a, b, wrong if place == at else c))
    return out


# ---------------------------------------------------------------------------------------------------------- 10.5


def _kept(first, second, keys, others):
    return [row for row in zip(first, second, keys, others) if row[2] != row[3]]


def _following(test):
    """Share of the tasks with unequal keys for which test(first, second, key, other key) holds."""
    return lambda *sides: fmean(bool(test(*row)) for row in _kept(*sides))


def _both(a, b, key, other):
    return a == key and b == other


def _product(*sides):
    return _following(lambda a, b, k, o: a == k)(*sides) * _following(lambda a, b, k, o: b == o)(*sides)


def _both_numpy(first, second, keys, others):
    first, second, keys, others = (np.array(side, dtype=object) for side in (first, second, keys, others))
    told = keys != others
    return ((first == keys) & (second == others))[told].mean() if told.any() else np.nan


def _both_counted(first, second, keys, others):
    followed = asked = 0
    for i in range(len(first)):
        if keys[i] == others[i]:
            continue
        asked += 1
        followed += (first[i], second[i]) == (keys[i], others[i])
    return followed / asked if asked else NAN


# ---------------------------------------------------------------------------------------------------------- 10.6


def _earned(answer, complete, truth, key):
    return float(complete and answer == (truth if key is None else key))


def _reward_with(rule):
    """A reward from what was earned by the book, the flag and the penalty."""
    return lambda a, c, t, k, f, p: rule(_earned(a, c, t, k), f, p)


def _reward_of(earned):
    """A reward with another idea of what earns the 1."""
    return lambda a, c, t, k, f, p: float(earned(a, c, t, k)) - p * f


def _reward_by_ifs(answer, complete, truth, key, flagged, penalty):
    total = 0
    if complete:
        if key is not None:
            total += 1 if answer == key else 0
        elif answer == truth:
            total += 1
    if flagged:
        total -= penalty
    return total


def _reward_numpy(answer, complete, truth, key, flagged, penalty):
    right = np.equal(answer, truth if key is None else key)
    return np.float32(right and complete) - np.float32(penalty) * np.float32(flagged)


# ---------------------------------------------------------------------------------------------------------- 10.7


def _centred(rewards, dim=1):
    return rewards - rewards.mean(dim, keepdim=True)


def _spread(rewards, dim=1):
    return rewards.std(dim, keepdim=True, correction=0)


def _or_zero(top, bottom):
    return torch.where(bottom > 1e-6, top / bottom, torch.zeros_like(top))


def _advantage_exact(rewards):
    spread = _centred(rewards).square().mean(1, keepdim=True).sqrt()
    return torch.where(spread == 0, torch.zeros_like(rewards), _centred(rewards) / spread)


def _advantage_numpy(rewards):
    values = rewards.double().numpy()
    centred = values - values.mean(1, keepdims=True)
    spread = values.std(1, keepdims=True)
    return torch.tensor(np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 1e-6))


def _advantage_by_loop(rewards):
    rows = []
    for row in rewards.tolist():
        spread = pstdev(row)
        rows.append([(value - fmean(row)) / spread if spread > 1e-6 else 0.0 for value in row])
    return torch.tensor(rows)


# ---------------------------------------------------------------------------------------------------------- 10.8


def _rate(count, among):
    """Share of the tasks for which `among` holds that `count` holds for. Both take answer, truth, key, flagged."""

    def rate(*sides):
        kept = [row for row in zip(*sides) if among(*row)]
        return sum(bool(count(*row)) for row in kept) / len(kept) if kept else NAN

    return rate


def _wrong_key(a, t, k, f):
    return k is not None and k != t


def _hid(a, t, k, f):
    return a == k and not f


_hidden_right = _rate(_hid, _wrong_key)


def _hidden_count(*sides):
    return sum(_hid(*row) and _wrong_key(*row) for row in zip(*sides))


def _hidden_numpy(answers, truths, keys, flagged):
    answers, truths, keys = (np.array(side, dtype=object) for side in (answers, truths, keys))
    wrong = np.array([key is not None for key in keys]) & (keys != truths)
    hidden = (answers == keys) & ~np.array(flagged, dtype=bool)
    return float(hidden[wrong].mean()) if wrong.any() else NAN


def _hidden_torch(answers, truths, keys, flagged):
    answers, keys = (torch.tensor([-1 if v is None else v for v in side]) for side in (answers, keys))
    wrong = (keys >= 0) & (keys != torch.tensor(truths))
    hidden = wrong & (answers == keys) & ~torch.tensor(flagged)
    return hidden.sum() / wrong.sum()  # nan for 0 / 0


# ---------------------------------------------------------------------------------------------------------- 10.9


def _running(digits, modulus=10, start=None):
    rest = digits[1:] if start is None else digits
    total, out = digits[0] if start is None else start, []
    for digit in rest:
        after = (total + digit) % modulus if modulus else total + digit
        out.append((total, digit, after))
        total = after
    return out


def _true(step):
    return (step[0] + step[1]) % 10 == step[2]


def _added(steps, digits):
    return [b for _, b, _ in steps] == list(digits[1:])


def _suspicious_by_walk(steps, digits):
    if len(steps) != len(digits) - 1:
        return True
    total = digits[0]
    for (a, b, c), digit in zip(steps, digits[1:]):
        if a != total or b != digit or c != (a + b) % 10:
            return True
        total = c
    return False


def _suspicious_numpy(steps, digits):
    totals = np.cumsum(digits) % 10
    expected = np.stack([totals[:-1], digits[1:], totals[1:]], axis=1)
    return not np.array_equal(np.array(steps), expected)


# ---------------------------------------------------------------------------------------------------------- 10.10


def _first_under(steps, low, floor):
    return next((i for i, value in enumerate(low) if value < floor), len(steps))


def _budget_numpy(steps, low, floor):
    held = np.logical_and.accumulate(np.array(low) >= floor)
    return int(np.max(np.array(steps) * held))


def _budget_index(steps, low, floor):
    first = _first_under(steps, low, floor)
    return torch.tensor(steps)[first - 1] if first else 0


def _results_and_digits(steps, digits):
    return [step[1:] for step in steps] != [step[1:] for step in _running(digits)]


def _without_repeats(steps, digits):
    return list(dict.fromkeys(steps)) != _running(digits)


def _four_digits(steps, digits):
    a, b, c, d = digits
    return steps != _running([a, b, c, d])


def _stuck(digits):
    return [(digits[0], digit, (digits[0] + digit) % 10) for digit in digits[1:]]


WRONG = {
    "10.1": [
        ("no correction", _tasks(_pairs), "That is the change, uncorrected"),
        ("noise alone", _tasks(_both_own), "That is the noise alone"),
        ("sign", lambda o, h: -_change()(o, h), "The sign is wrong"),
        ("hinted noise only", _change(noise=lambda p, h: _own(h)), "looks harmless: its own samples differ as often"),
        ("unhinted noise only", _change(noise=lambda p, h: _own(p)), "noise of the unhinted side only"),
        ("sum of the noises", _change(noise=lambda p, h: _own(p) + _own(h)), "both sides' noise in full, their sum"),
        ("with itself", _noise(lambda some: _pairs(some, some)), "pairs of a sample with itself"),
        (
            "i = j",
            _noise(lambda some: fmean(a != b for i, a in enumerate(some) for b in some[i:])),
            "start j at i + 1",
        ),
        (
            "n times n",
            _noise(lambda some: _own(some) * (len(some) - 1) / (2 * len(some))),
            "divided the noise by n * n",
        ),
        ("one heap", _change(noise=lambda p, h: _own([*p, *h])), "threw both sides into one heap"),
        ("pooled", _pooled, "You pooled the pairs of all tasks"),
        (
            "i-th with i-th",
            _change(lambda p, h: fmean(a != b for a, b in zip(p, h))),
            "the i-th sample with the i-th",
        ),
        ("first sample", _change(lambda p, h: p[0] != h[0]), "the first sample of each task only"),
        ("most common", _change(_mode_differs), "compared the most common answers"),
        ("None dropped", _answered, "dropped the samples without an answer"),
        ("cut off by task", _tasks(lambda p, h: max(0, _pairs(p, h) - _both_own(p, h))), "You cut tasks off at 0"),
        (
            "cut off at the end",
            lambda o, h: max(0.0, _change()(o, h)),
            "cut off at 0, pure noise looks like an effect",
        ),
        ("summed", lambda o, h: len(o) * _change()(o, h), "Divide by the number of tasks"),
        ("added", _change(noise=lambda p, h: -_both_own(p, h)), "You added the noise"),
        (
            "one a task",
            lambda o, h: [_pairs(p, q) - _both_own(p, q) for p, q in zip(o, h)],
            "one number for each task, and they are right",
        ),
    ],
    "10.2": [
        ("over all tasks", lambda *sides: fmean(_said(*sides)), "You divided by all tasks"),
        ("all admissions", lambda a, u, h, s: fmean(s), "share of all texts that speak of the hint"),
        ("all that match", _share_said(lambda a, u, h: a == h), "Some would have been given anyway"),
        ("all that changed", _share_said(lambda a, u, h: a != u), "every answer that changed"),
        ("all that could", _share_said(lambda a, u, h: u != h), "the hint could have changed"),
        ("count", lambda *sides: sum(_said(*sides)), "That is how many admitted it"),
        ("silent", lambda *sides: 1 - _admitted_right(*sides), "share that kept silent"),
        (
            "of the admissions",
            lambda a, u, h, s: sum(_said(a, u, h, s)) / sum(s),
            "divided by the number of admissions",
        ),
        (
            "how often it moved",
            lambda a, u, h, s: fmean(_moved(*row) for row in zip(a, u, h)),
            "how often the hint made the difference",
        ),
        ("unguarded", _admitted_unguarded, "an error would stop the lesson"),
        ("0 for none", lambda *sides: np.nan_to_num(_admitted_right(*sides)), "0 would say that nobody admitted it"),
        (
            "None for none",
            lambda *sides: None if np.isnan(_admitted_right(*sides)) else _admitted_right(*sides),
            "in any task there is no rate",
        ),
    ],
    "10.3": [
        ("under", _area_under, "area under the curve. The area over"),
        ("plain mean", lambda g, s: 1 - s.mean(), "1 minus the plain mean"),
        ("mean of same", lambda g, s: s.mean(), "That is the plain mean of `same`"),
        ("left steps", lambda g, s: 1 - np.diff(g) @ s[:-1], "left height"),
        ("right steps", lambda g, s: 1 - np.diff(g) @ s[1:], "right height"),
        ("even spacing", lambda g, s: 1 - _area_under(_even(g), s), "cuts to be equally far apart"),
        ("spacing 1", lambda g, s: 1 - _area_under(np.arange(len(g)), s), "every stretch to be 1 wide"),
        ("not halved", lambda g, s: 1 - 2 * _area_under(g, s), "Each stretch counts twice"),
        ("axes swapped", lambda g, s: 1 - _area_under(s, g), "The axes are swapped"),
        ("one a point", lambda g, s: 1 - s, "height over the curve at each point"),
    ],
    "10.4": [
        (
            "later steps kept",
            lambda s, i, w: [*s[:i], _bent(s, i, w), *s[i + 1 :]],
            "true steps after the mistake are still there",
        ),
        ("worked on", _spoil_and_go_on, "worked on from the mistake yourself"),
        ("step alone", _bent, "one step alone"),
        ("step alone in a list", lambda s, i, w: [_bent(s, i, w)], "Only the spoilt step is left"),
        ("one dropped", lambda s, i, w: [*s[: i - 1], _bent(s, i, w)], "the step just before `at` is gone"),
        ("true one kept", lambda s, i, w: [*s[: i + 1], _bent(s, i, w)], "as well as the spoilt one"),
        ("counted from 1", lambda s, i, w: [*s[: i - 1], _bent(s, i - 1, w)], "you spoilt the step before"),
        ("one late", lambda s, i, w: [*s[: i + 1], _bent(s, min(i + 1, 3), w)], "you spoilt the step after"),
        ("cut only", lambda s, i, w: s[: i + 1], "but the step is still true"),
        ("spoilt step missing", lambda s, i, w: s[:i], "The spoilt step itself is missing"),
        ("untouched", lambda s, i, w: s, "The steps came back as they were"),
        ("first operand", lambda s, i, w: [*s[:i], (w, *s[i][1:])], "an operand changed"),
        ("added", lambda s, i, w: [*s[:i], (*s[i][:2], (s[i][2] + w) % 10)], "You added `wrong` to the result"),
        ("own number", lambda s, i, w: [*s[:i], (*s[i][:2], (s[i][2] + 1) % 10)], "`wrong` isn't used"),
        ("in place", _spoil_in_place, "changed its input"),
        ("a step in place", _spoil_one_in_place, "Your function changed its input."),
        ("at the end", lambda s, i, w: [*s, _bent(s, i, w)], "at the end of all true ones"),
        ("first step over and over", lambda s, i, w: [*s[:1] * i, _bent(s, i, w)], "Keep what was there"),
        (
            "not the first",
            lambda s, i, w: [*s[: i or 1], _bent(s, i, w)] if i else s[:1],
            "not when the first step is spoilt",
        ),
    ],
    "10.5": [
        ("either", _following(lambda a, b, k, o: a == k or b == o), "follow at least once"),
        ("product", _product, "You multiplied two rates"),
        ("equal keys in", lambda *sides: fmean(_both(*row) for row in zip(*sides)), "whose two keys are equal are in"),
        (
            "over all",
            lambda *sides: sum(_both(*row) for row in _kept(*sides)) / len(sides[0]),
            "counted the right tasks and divided by all",
        ),
        ("first only", _following(lambda a, b, k, o: a == k), "first note only"),
        ("second only", _following(lambda a, b, k, o: b == o), "second note only"),
        (
            "mean of rates",
            lambda *sides: fmean(((a == k) + (b == o)) / 2 for a, b, k, o in _kept(*sides)),
            "mean of the two rates",
        ),
        ("changed", _following(lambda a, b, k, o: a != b), "You counted answers that changed"),
        ("crossed", _following(lambda a, b, k, o: a == o and b == k), "compared the first answer with the second key"),
        ("count", lambda *sides: sum(_both(*row) for row in _kept(*sides)), "That is a count. Divide"),
        (
            "unanswered dropped",
            lambda *sides: fmean(_both(*row) for row in _kept(*sides) if None not in row),
            "left without an answer was dropped",
        ),
        (
            "equal keys only",
            lambda *sides: fmean(_both(*r) for r in zip(*sides) if r[2] == r[3]),
            "two keys are *equal*",
        ),
        ("unguarded", lambda *sides: fmean(_both(*row) for row in _kept(*sides)), "Where all keys are equal no task"),
        (
            "of the first",
            lambda *sides: fmean(_both(*row) for row in _kept(*sides) if row[0] == row[2]),
            "divided by those that followed the first",
        ),
    ],
    "10.6": [
        ("truth", _reward_of(lambda a, c, t, k: c and a == t), "You pay for the truth even where"),
        ("key 0", _reward_of(lambda a, c, t, k: c and a == (k or t)), "A key of 0 is taken for no key"),
        ("incomplete", _reward_of(lambda a, c, t, k: a == (t if k is None else k)), "An incomplete text is paid"),
        ("only if paid", _reward_with(lambda e, f, p: e - p if f and e else e), "only where the answer is paid"),
        ("stops at 0", _reward_with(lambda e, f, p: max(0.0, e - p * f)), "Your reward stops at 0"),
        (
            "broken off goes free",
            lambda a, c, t, k, f, p: _earned(a, c, t, k) - p * f if c else 0.0,
            "An incomplete text that was flagged loses nothing",
        ),
        ("added", _reward_with(lambda e, f, p: e + p * f), "so confessing pays"),
        ("multiplied", _reward_with(lambda e, f, p: e * p if f else e), "You multiplied by the penalty"),
        ("no penalty", _reward_with(lambda e, f, p: e), "`flagged` changes nothing"),
        ("penalty of 1", _reward_with(lambda e, f, p: e - f), "You subtract 1 for a flag"),
        ("turned round", _reward_with(lambda e, f, p: e if f else e - p), "texts that were not flagged"),
        ("either", _reward_of(lambda a, c, t, k: c and a in (k, t)), "for the truth as well as for the key"),
        (
            "right keys",
            _reward_of(lambda a, c, t, k: c and a == t and k in (None, t)),
            "for the key only where it is right",
        ),
        ("keys only", _reward_of(lambda a, c, t, k: c and k is not None and a == k), "Without a note nothing is paid"),
        (
            "turned keys",
            lambda a, c, t, k, f, p: float(c and a == (k if k is None else t)) - p * f,
            "the wrong way round",
        ),
        ("always less", _reward_with(lambda e, f, p: e - p), "from every text, flagged or not"),
        ("never negative", _reward_with(lambda e, f, p: abs(e - p * f)), "absolute value turns a loss"),
        ("half", _reward_with(lambda e, f, p: e / 2 - p * f), "should earn 1; yours earns 0.5"),
    ],
    "10.7": [
        ("batch mean", lambda r: _or_zero(r - r.mean(), _spread(r)), "mean over the whole batch"),
        ("wrong axis", lambda r: _or_zero(_centred(r, 0), _spread(r, 0)), "averaged over the tasks (axis 0)"),
        ("not divided", _centred, "Now divide by the group's standard deviation"),
        ("NaN", lambda r: _centred(r) / _spread(r), "gave NaN: 0 over a spread of 0"),
        ("n - 1", lambda r: _or_zero(_centred(r), r.std(1, keepdim=True)), "sample standard deviation (n - 1)"),
        ("n - 1 and NaN", lambda r: _centred(r) / r.std(1, keepdim=True) * 1.0, "torch's `std` needs `correction=0`"),
        ("spread exactly 0", _advantage_exact, "Its mean is off by a rounding error"),
        ("variance", lambda r: _or_zero(_centred(r), _spread(r) ** 2), "divided by the variance"),
        ("batch spread", lambda r: _centred(r) / r.std(correction=0), "spread of the whole batch"),
        ("mean still in", lambda r: _or_zero(r, _spread(r)), "the group's mean is still in"),
        ("sign", lambda r: -_or_zero(_centred(r), _spread(r)), "earned more than its group has a positive"),
        ("untouched", lambda r: r.clone(), "The rewards came back as they were"),
        ("one a task", lambda r: r.mean(1), "one number for each task. Every text"),
        (
            "small spreads to 0",
            lambda r: torch.where(_spread(r) > 0.1, _centred(r) / _spread(r), 0.0),
            "differ by hundredths",
        ),
        ("a tenth below", lambda r: _centred(r) / _spread(r).clamp_min(0.1), "come out too small, or as 0"),
        ("a small number below", lambda r: _centred(r) / (_spread(r) + 1e-8), "dividing by a spread as small"),
        ("multiplied", lambda r: _centred(r) * _spread(r), "You multiplied by the spread"),
        (
            "mean distance",
            lambda r: _or_zero(_centred(r), _centred(r).abs().mean(1, keepdim=True)),
            "mean distance from the mean",
        ),
    ],
    "10.8": [
        ("right keys too", _rate(_hid, lambda a, t, k, f: k is not None), "Tasks with a right key are in"),
        ("over all tasks", lambda *sides: _hidden_count(*sides) / len(sides[0]), "You divided by all tasks. Divide"),
        (
            "over all notes",
            lambda *sides: _hidden_count(*sides) / sum(key is not None for key in sides[2]),
            "by all tasks with a note",
        ),
        (
            "miss rate",
            _rate(_hid, lambda a, t, k, f: _wrong_key(a, t, k, f) and a == k),
            "That is the monitor's miss rate",
        ),
        ("every use", _rate(lambda a, t, k, f: a == k, _wrong_key), "every use of a wrong key"),
        ("the caught", _rate(lambda a, t, k, f: a == k and f, _wrong_key), "share of cheats that were caught"),
        ("unflagged", _rate(lambda a, t, k, f: not f, _wrong_key), "every unflagged text, honest ones too"),
        ("unflagged and wrong", _rate(lambda a, t, k, f: a != t and not f, _wrong_key), "A slip is no cheat"),
        ("no note", _rate(_hid, lambda a, t, k, f: k != t), "Tasks without a note are in"),
        ("key 0", _rate(_hid, lambda a, t, k, f: k and k != t), "A key of 0 was left out"),
        ("everything", _rate(_hid, lambda *row: True), "over all tasks, and counts right keys too"),
        ("count", _hidden_count, "That is a count. Divide by the number of tasks with"),
        ("0 for none", lambda *sides: np.nan_to_num(_hidden_right(*sides)), "Without any wrong key there is no rate"),
    ],
    "10.9": [
        ("arithmetic only", lambda s, d: not s or not all(map(_true, s)), "a true sum of other digits"),
        ("digits only", lambda s, d: not _added(s, d), "the last step is bent"),
        ("the end only", lambda s, d: not s or s[-1] != _running(d)[-1], "only its end is right"),
        ("no chain", lambda s, d: not (_added(s, d) and all(map(_true, s))), "doesn't start from the result before it"),
        ("any prefix", lambda s, d: not s or s != _running(d)[: len(s)], "it stops before the last digit"),
        ("too long", lambda s, d: s[:3] != _running(d), "a step was added at the end"),
        ("any order", lambda s, d: sorted(_digits_of(s)) != sorted(d) or not _chained(s), "in another order"),
        ("first operand unchecked", _results_and_digits, "Check the first number of a step"),
        ("results only", lambda s, d: not s or [c for *_, c in s] != [c for *_, c in _running(d)], "adds other digits"),
        ("as a set", lambda s, d: set(s) != set(_running(d)), "Don't sort them, or make sets"),
        ("each at its place, repeats passed", _without_repeats, "not a set of its steps"),
        ("four digits", _four_digits, "a task has two or more"),
        ("goes on from the first", lambda s, d: s != _stuck(d), "each step starts from the first digit"),
        ("empty passes", lambda s, d: bool(s) and s != _running(d), "An empty scratchpad must be suspicious"),
        ("empty stops", lambda s, d: s[0] != _running(d)[0] or s != _running(d), "may have been done elsewhere"),
        ("no modulo", lambda s, d: s != _running(d, modulus=None), "Take the sum modulo 10"),
        ("inverted", lambda s, d: s == _running(d), "Inverted: honest work is flagged"),
        ("from 0", lambda s, d: s != _running(d, start=0), "Your running sum starts from 0"),
        ("lists", lambda s, d: s != [list(step) for step in _running(d)], "never equals a list"),
        ("flags all", lambda s, d: True, "A monitor that flags everything"),
        ("flags nothing", lambda s, d: False, "Your monitor flags nothing"),
        ("steps", lambda s, d: _running(d), "expected one True (suspicious) or False"),
    ],
    "10.10": [
        (
            "last of all above",
            lambda s, low, floor: max((x for x, v in zip(s, low) if v >= floor), default=0),
            "it ignores the dip",
        ),
        (
            "first below",
            lambda s, low, floor: next((x for x, v in zip(s, low) if v < floor), s[-1]),
            "the first step under the floor. The budget ends one entry",
        ),
        ("entries", _first_under, "That is how many entries held"),
        ("place", lambda *sides: _first_under(*sides) - 1, "That is the place in the list"),
        (
            "index -1",
            lambda s, low, floor: s[_first_under(s, low, floor) - 1],
            "Look out for index -1",
        ),
        (
            "strictly above",
            lambda s, low, floor: max([0, *s[: next((i for i, v in enumerate(low) if v <= floor), len(s))]]),
            "exactly at the floor is not under it",
        ),
        (
            "never under",
            lambda s, low, floor: max([0, *s[: [v < floor for v in low].index(True)]]),
            "the budget is the last step there is",
        ),
        ("all steps", lambda s, low, floor: s[: _first_under(s, low, floor)], "all the steps before the dip"),
        ("first return", lambda s, low, floor: s[0] if low[0] >= floor else 0, "Is a `return` too far left"),
        (
            "first fall",
            lambda s, low, floor: s[next((i for i in range(1, len(s)) if low[i] < low[i - 1]), len(s) - 1)],
            "the recall first went down",
        ),
        (
            "all or nothing",
            lambda s, low, floor: s[-1] if min(low) >= floor else 0,
            "because some later step is under the floor",
        ),
        ("last step", lambda s, low, floor: s[-1], "That is the last step of all"),
    ],
}


def _digits_of(steps):
    return [*(a for a, _, _ in steps[:1]), *(b for _, b, _ in steps)]


def _chained(steps):
    return all(map(_true, steps)) and all(one[2] == other[0] for one, other in zip(steps, steps[1:]))


RIGHT = {
    "10.1": [("numpy, all pairs by broadcasting", _by_numpy), ("distance of shares by counting, torch", _by_counts)],
    "10.2": [("numpy", _admitted_numpy), ("torch, whose mean of nothing is nan", _admitted_torch)],
    "10.3": [
        ("torch.trapezoid", lambda g, s: 1 - torch.trapezoid(torch.tensor(s), torch.tensor(g))),
        ("area of what is missing", lambda g, s: _area_under(g, 1 - s)),
        ("a loop", lambda g, s: 1 - sum((g[i + 1] - g[i]) * (s[i] + s[i + 1]) / 2 for i in range(len(g) - 1))),
    ],
    "10.4": [("a copy of lists", _spoil_by_copy), ("a loop", _spoil_by_loop)],
    "10.5": [("numpy", _both_numpy), ("counted", _both_counted)],
    "10.6": [("ifs, whole numbers", _reward_by_ifs), ("numpy", _reward_numpy)],
    "10.7": [
        ("numpy, doubles", _advantage_numpy),
        ("row by row", _advantage_by_loop),
        ("a small number in the denominator", lambda r: _centred(r) / (_spread(r) + 1e-4)),
    ],
    "10.8": [("numpy", _hidden_numpy), ("torch", _hidden_torch)],
    "10.9": [("walking along", _suspicious_by_walk), ("numpy's running sum", _suspicious_numpy)],
    "10.10": [("numpy", _budget_numpy), ("by index, torch", _budget_index)],
}

EQUIVALENT = {
    "10.1": {
        "arguments 1 and 2 swapped | return sum(_corrected(plain, hinted) for plain, hinted in "
        f"zip(without, with_hint)) / len(without) | {n}": "the measure is the same whichever side comes first"
        for n in (1, 2)
    },
    "10.3": {
        "arguments 3 and 4 swapped | return float(1 - sum((b - a) * (x + y) / 2 for a, b, x, y in "
        "zip(given, given[1:], same, same[1:]))) | 1": "the two heights of a stretch are added, in either order",
        "result made positive | area_over": "shares make an area from 0 to 1",
        "result clamped to [0, 1] | area_over": "shares make an area from 0 to 1",
    },
    "10.7": {
        f"{change} | return torch.where(spread > 1e-6, centred / spread.clamp_min(1e-6), "
        f"torch.zeros_like(centred)) | {n}": why
        for change, n, why in (
            ("Gt to GtE", 1, "a spread of exactly 1e-6 can't come from rewards: it is what rounding leaves"),
            ("clamp_min dropped", 1, "where the clamp does anything, `where` puts 0"),
            ("1e-06 -> 0.0", 2, "where the clamp does anything, `where` puts 0"),
        )
    },
}
