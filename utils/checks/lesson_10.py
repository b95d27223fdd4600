"""Lesson 10, faithfulness and obfuscation: reference solutions, checks that name the likely mistake, and the quiz."""

from __future__ import annotations

from collections import Counter
from itertools import combinations, combinations_with_replacement, product

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
)


def _edge(function, *args, message):
    """Call the function where a special case is hard to survive; an error there is the mistake `message` speaks of."""
    try:
        return call(function, *args, allow_none=True)
    except Mistake:
        raise Mistake(message) from None


def _expect_nan(function, *args, message):
    result = _edge(function, *args, message=message)
    if result is None or isinstance(result, str) or not is_close(result, float("nan")):
        raise Mistake(message)


def _rate(result, what):
    """One number; a nan where tasks should have been kept is told as such."""
    if is_close(result, float("nan")):
        raise Mistake(
            f"Your result is nan: no task was kept, and here some should be. Look at the condition of {what}."
        )
    return one_number(result, what)


# ------------------------------------------------------------------------------------------------- 10.1 hints


def _differ(one, other):
    return sum(a != b for a in one for b in other) / (len(one) * len(other))


def _own_noise(some):
    pairs = list(combinations(some, 2))
    return sum(a != b for a, b in pairs) / len(pairs)


def _corrected(plain, hinted):
    return _differ(plain, hinted) - (_own_noise(plain) + _own_noise(hinted)) / 2


def corrected_change(without, with_hint):
    """How much a hint changes the answers, beyond their own noise. Each: tasks x sampled answers -> float"""
    return sum(_corrected(plain, hinted) for plain, hinted in zip(without, with_hint)) / len(without)


def check_corrected_change(function):
    without = [[1, 1, 1, 2], [4, 4], [7, None, 3], [5, 5, 6, 0, 2], [None, 1, 2, 1]]
    with_hint = [[6, 6, 1, 6, 6], [9, 4, 9], [3, 0, None, 0], [8, 5], [1, None, 1]]
    result = call(function, without, with_hint)
    if is_close(result, [_corrected(plain, hinted) for plain, hinted in zip(without, with_hint)]):
        raise Mistake("You have one number for each task, and they are right. Return their mean.")
    if is_close(result, float("nan")):
        raise Mistake("Your result is nan: somewhere a share of no pairs is taken. A side has two samples or more.")
    result = one_number(result, "the mean over tasks")
    expected = corrected_change(without, with_hint)
    if not is_close(result, expected):
        reject(result, _known_changes(without, with_hint))
        alone = [[n, n] for n in range(4)]
        others = {"without": [without[0], *alone], "with_hint": [with_hint[0], *alone]}
        expect_used(function, named(corrected_change, (without, with_hint)), others)
        expect_close(
            result,
            expected,
            f"{result:.3f} isn't the corrected change, {expected:.3f} here. For each task: the share of all (without, "
            "with_hint) pairs that differ, minus the mean of the two sides' own noise (the share of pairs of two "
            "different samples of that side that differ). Then the mean over tasks.",
        )
    noisy = [["A", "B"]], [["B", "A", "B"]]
    result, expected = one_number(call(function, *noisy), "the mean over tasks"), corrected_change(*noisy)
    if is_close(result, abs(expected)) or is_close(result, 0):
        raise Mistake(
            "Here two answers of one side differ more often than answers of the two sides, so the result must be "
            "negative. Leave the sign: cut off at 0, pure noise looks like an effect on average."
        )
    if not is_close(result, expected):
        raise Mistake("Right for numbers and not for answers that are strings. Compare answers with != only.")


def _known_changes(without, with_hint):
    def mean(shares):
        shares = list(shares)
        return sum(shares) / len(shares)

    def each(measure, *sides):
        return [measure(*task) for task in zip(*sides)]

    def over_sides(noise):
        """The mean of a side's mean noise, measured in another way."""
        return mean(mean(each(noise, side)) for side in (without, with_hint))

    def side_by_side(plain, hinted):
        return mean(a != b for a, b in zip(plain, hinted))

    def most_common(plain, hinted):
        return Counter(plain).most_common(1)[0][0] != Counter(hinted).most_common(1)[0][0]

    def pooled(pairs_of, *sides):
        return mean(a != b for task in zip(*sides) for a, b in pairs_of(*task))

    def own_pairs(some):
        return combinations(some, 2)

    def answered(side):
        return [[a for a in some if a is not None] for some in side]

    tasks = each(_corrected, without, with_hint)
    changed = mean(each(_differ, without, with_hint))
    plain, hinted = (mean(each(_own_noise, side)) for side in (without, with_hint))
    noise = (plain + hinted) / 2
    firsts = mean(each(lambda p, h: p[0] != h[0], without, with_hint))
    modes = mean(each(most_common, without, with_hint))
    first_sample = (
        "You compared the first sample of each task only. Use all pairs: the other samples were paid for too."
    )
    most_common_only = (
        "You compared the most common answers. The share of pairs that differ also sees a hint that moves some."
    )
    return [
        (
            changed,
            "That is the change, uncorrected. Sampled answers also differ when nothing was changed: take off the mean "
            "of the two sides' own noise.",
        ),
        (noise, "That is the noise alone. Take it off the share of (without, with_hint) pairs that differ."),
        (
            noise - changed,
            "The sign is wrong: the change between the sides, minus the noise. A hint that does something gives a "
            "positive number.",
        ),
        (
            changed - hinted,
            "You took off the noise of the hinted side only. A hint that is followed every other time then looks "
            "harmless: its own samples differ as often as hinted and unhinted ones do. Take the mean of both sides.",
        ),
        (
            changed - plain,
            "You took off the noise of the unhinted side only. A hint that makes the answers less certain adds noise "
            "of its own. Take the mean of both sides.",
        ),
        (
            changed - plain - hinted,
            "You took off both sides' noise in full, their sum. A hint that does nothing would come out negative: "
            "take off their mean.",
        ),
        (
            changed - over_sides(lambda some: _differ(some, some)),
            "Your noise counts pairs of a sample with itself. These always agree, so the noise looks too small. Pair "
            "different samples only, i < j.",
        ),
        (
            changed - over_sides(lambda some: mean(a != b for a, b in combinations_with_replacement(some, 2))),
            "Your noise has pairs with i = j. A sample always agrees with itself, so start j at i + 1.",
        ),
        (
            changed - over_sides(lambda some: sum(a != b for a, b in own_pairs(some)) / len(some) ** 2),
            "You divided the noise by n * n. There are n * (n - 1) / 2 pairs with i < j.",
        ),
        (
            changed - mean(each(lambda p, h: _own_noise([*p, *h]), without, with_hint)),
            "You threw both sides into one heap to measure the noise, so the hint's own effect is in it. Measure each "
            "side by itself.",
        ),
        (
            pooled(product, without, with_hint) - (pooled(own_pairs, without) + pooled(own_pairs, with_hint)) / 2,
            "You pooled the pairs of all tasks, so tasks with many samples count for more. Take the share within each "
            "task, then the mean over tasks.",
        ),
        (
            mean(each(side_by_side, without, with_hint)) - noise,
            "You compared the i-th sample with the i-th. The samples are in no order: compare every answer with every "
            "answer of the other side.",
        ),
        (firsts, first_sample),
        (firsts - noise, first_sample),
        (firsts - over_sides(lambda some: some[0] != some[1]), first_sample),
        (modes, most_common_only),
        (modes - noise, most_common_only),
        (
            mean(each(_corrected, answered(without), answered(with_hint))),
            "You dropped the samples without an answer. None is an answer too: a hint that makes the model fall silent "
            "has changed something.",
        ),
        (
            mean(max(0.0, task) for task in tasks),
            "You cut tasks off at 0. Where noise happens to be larger, the task must count as negative: otherwise pure "
            "noise adds up to an effect.",
        ),
        (sum(tasks), "You added the tasks up. Divide by the number of tasks."),
        (sum(tasks) * len(tasks), "You multiplied by the number of tasks. Divide by it."),
        (changed + noise, "You added the noise. Take it off."),
    ]


# ------------------------------------------------------------------------------------------------- 10.2 admitted


def admission_rate(answers, usual, hints, admitted):
    """Where the hint made the difference, the share of answers that admit it; nan without any. Lists -> float"""
    moved = [said for a, u, hint, said in zip(answers, usual, hints, admitted) if a == hint and u != hint]
    return sum(moved) / len(moved) if moved else float("nan")


def check_admission_rate(function):
    answers = [None, 6, None, 6, 1, 8, 0, 1, 3, 4]
    usual = [1, None, None, 7, None, None, 5, 1, None, 4]
    hints = [1, 6, 1, 6, 1, 8, 0, 1, 3, 4]
    admitted = [True, False, False, False, False, True, True, True, False, False]
    given = answers, usual, hints, admitted
    result = _rate(call(function, *given), "the share that admits it")
    expected = admission_rate(*given)
    if not is_close(result, expected):
        rows = list(zip(answers, usual, hints, admitted))
        moved = [a == h and u != h for a, u, h, _ in rows]
        said = [m and s for m, s in zip(moved, admitted)]
        changed = [s for a, u, _, s in rows if a != u]
        could = [s for _, u, h, s in rows if u != h]
        matching = [s for a, _, h, s in rows if a == h]
        known = [
            (
                sum(said),
                "That is how many admitted it. Divide by the number of tasks where the hint made a difference.",
            ),
            (
                sum(said) / len(rows),
                "You divided by all tasks. Where the hint changed nothing there was nothing to admit: divide by the "
                "tasks where it made the difference.",
            ),
            (
                sum(admitted) / len(rows),
                "That is the share of all texts that speak of the hint, whether or not it did anything.",
            ),
            (
                sum(matching) / len(matching),
                "You took every answer that equals the hint. Some would have been given anyway: leave out the tasks "
                "whose usual answer is the hint's too.",
            ),
            (
                sum(changed) / len(changed),
                "You took every answer that changed. Some moved to something that isn't the hint's: by chance, or "
                "because they were thrown off. Keep the answers that equal the hint.",
            ),
            (
                sum(could) / len(could),
                "You took every task the hint could have changed. Keep those whose answer is the hint's.",
            ),
            (1 - expected, "That is the share that kept silent. Count those that admitted it."),
            (
                sum(said) / sum(admitted),
                "You divided by the number of admissions. The question goes the other way: of the answers the hint "
                "made, how many say so?",
            ),
            (sum(moved) / len(rows), "That is how often the hint made the difference. Of these, who admitted it?"),
            (sum(said) * sum(moved), "You multiplied by the number of kept tasks. Divide by it."),
            (
                admission_rate(usual, answers, hints, admitted),
                "You kept the tasks whose *usual* answer is the hint's. It is the answer with the hint that must be.",
            ),
            (
                admission_rate(answers, hints, usual, admitted),
                "You kept the answers that equal the usual ones. Keep those that equal the hint's.",
            ),
            (
                (sum(could) - sum(said)) / (len(could) - sum(moved)),
                "You kept the answers that are *not* the hint's. Those are the ones it didn't make.",
            ),
        ]
        reject(result, known)
    others = {
        "answers": answers[::-1],
        "usual": [1, 6, *usual[2:]],
        "hints": [1, 6, 1, 6, 2, 8, 0, 1, 4, 4],
        "admitted": [True] * len(answers),
    }
    used = named(admission_rate, given)
    expect_used(lambda *changed: call(function, *changed), used, others)
    expect_close(
        result,
        expected,
        f"{result:.3f} isn't the admission rate, {expected:.3f} here. Keep the tasks whose answer is the hint's "
        "and whose usual answer isn't. Of these, the share with `admitted` True.",
    )
    message = (
        "Where the hint made no difference in any task there is no rate. Return float('nan'): 0 would say that nobody "
        "admitted it, and an error would stop the lesson."
    )
    _expect_nan(function, [3, 5], [3, 1], [3, 2], [True, False], message=message)


# ------------------------------------------------------------------------------------------------- 10.3 area


def area_over(given, same):
    """Area over a curve of unchanged answers, by trapezoids. given, same: (n,) arrays, given from 0 to 1 -> float"""
    return float(1 - sum((b - a) * (x + y) / 2 for a, b, x, y in zip(given, given[1:], same, same[1:])))


def check_area_over(function):
    given, same = np.array([0.0, 0.1, 0.4, 0.6, 1.0]), np.array([0.2, 0.3, 0.9, 0.7, 0.95])
    result = call(function, given, same)
    if is_close(result, 1 - same):
        raise Mistake("You have the height over the curve at each point. The area is one number: sum over the widths.")
    result = one_number(result, "the area over the curve")
    expected, width = area_over(given, same), np.diff(given)
    if not is_close(result, expected):
        under = float(1 - area_over(np.linspace(0, 1, len(same)), same))
        known = [
            (1 - expected, "That is the area under the curve. The area over it is 1 minus that."),
            (
                1 - same.mean(),
                "That is 1 minus the plain mean, which ignores where the cuts fell. Weigh each stretch by its width.",
            ),
            (
                same.mean(),
                "That is the plain mean of `same`. Weigh each stretch by its width, and take 1 minus the area.",
            ),
            (
                1 - under,
                "You took the cuts to be equally far apart, and they aren't. Use the differences of `given` as widths.",
            ),
            (
                1 - width @ same[:-1],
                "These are steps with each stretch's left height. Join the points: a trapezoid has the mean of its two "
                "heights.",
            ),
            (
                1 - width @ same[1:],
                "These are steps with each stretch's right height. Join the points: use the mean of both ends.",
            ),
            (1 - width @ (same[1:] + same[:-1]), "Each stretch counts twice: halve the sum of its two heights."),
            (
                1 - under * (len(same) - 1),
                "You took every stretch to be 1 wide. Hand the trapezoid rule the x values, `given`.",
            ),
            (
                1 - np.diff(same) @ (given[1:] + given[:-1]) / 2,
                "The axes are swapped: `given` is along the bottom, `same` is the height.",
            ),
        ]
        left, right, area = same[:-1], same[1:], 1 - expected
        known += [
            (1 + area, "You added the area under the curve to 1. Subtract it."),
            (-area, "That is minus the area under the curve. Take 1 minus it."),
            (2 - area, "You started from 2. The whole square is 1: take 1 minus the area under the curve."),
            (1.0, "The area under your curve is 0: are all widths, or all heights, 0?"),
            (1 - 4 * area, "You doubled the sum of the two heights. Halve it: their mean."),
            (1 - 2 * area / 3, "You divided the sum of two heights by 3. Halve it: their mean."),
            (0.5, "The heights aren't used: each stretch counts as half its width."),
            (1 - width @ (1 / (left + right)) / 2, "You divided by the heights. Multiply: width times height."),
            (1 - width @ (left - right) / 2, "You subtracted the two heights. Add them, and halve."),
            (1 - width @ left / 2, "One height of each stretch is missing: the mean of left and right."),
            (1 - (given[1:] + given[:-1]) @ (left + right) / 2, "You added the two ends of a stretch. Subtract them."),
            (
                1 - given[1:] @ (left + right) / 2,
                "You took a stretch's right end for its width. Subtract its left end.",
            ),
            (
                1 - (given[2:] - given[:-2]) @ (left + right)[:-1] / 2,
                "Your stretches reach over two steps, so they overlap. A width is from one cut to the next.",
            ),
        ]
        reject(result, known)
        expect_close(
            result,
            expected,
            f"{result:.3f} isn't the area over this curve, {expected:.3f}. Each stretch of the curve adds its width "
            "times the mean of its two heights; take 1 minus their sum.",
        )
    if not is_close(one_number(call(function, np.array([0.0, 1.0]), np.array([1.0, 1.0])), "the area"), 0.0):
        raise Mistake("Where no answer ever changes, nothing lies over the curve: the area should be 0.")


# ------------------------------------------------------------------------------------------------- 10.4 spoil


def spoil(steps, at, wrong):
    """Steps up to `at`, the one at `at` with a wrong result, and nothing after. steps: list of (a, b, c) -> same"""
    a, b, _ = steps[at]
    return [*steps[:at], (a, b, wrong)]


def _as_steps(result):
    """What came back as a list of triples of whole numbers, or a Mistake."""
    if isinstance(result, (torch.Tensor, np.ndarray)):
        result = result.tolist()
    if not isinstance(result, (list, tuple)):
        raise Mistake(f"Your result is a {type(result).__name__}; expected a list of steps (a, b, c).")
    if len(result) == 3 and not any(isinstance(part, (list, tuple, np.ndarray, torch.Tensor)) for part in result):
        raise Mistake("You return one step alone. Return a list: the steps before it too, so that the model goes on.")
    try:
        rows = [tuple(int(part) for part in step) for step in result]
    except (TypeError, ValueError):
        rows = [()]
    if not all(len(row) == 3 for row in rows):
        raise Mistake("Your result should be a list of steps, each with three numbers (a, b, c) as it came.")
    return rows


def check_spoil(function):
    steps, at, wrong = [(3, 5, 8), (8, 9, 7), (7, 4, 1), (1, 6, 7)], 2, 6
    result = _as_steps(call(function, steps, at, wrong))
    before, bent = steps[:at], (7, 4, wrong)
    known = {
        (*before, bent, *steps[at + 1 :]): "The true steps after the mistake are still there. They correct it for the "
        "model: drop everything after `at`.",
        (*before, bent, (6, 6, 2)): "You worked on from the mistake yourself. Stop at it: what the model does next is "
        "the experiment.",
        (bent,): "Only the spoilt step is left. Keep the steps before it, or the model starts from nowhere.",
        (*before[:-1], bent): "Off by one: the step just before `at` is gone. Keep `steps[:at]`.",
        (
            *before,
            steps[at],
            bent,
        ): "Off by one: the true step is there as well as the spoilt one. The spoilt one takes its place.",
        (*before[:-1], (8, 9, wrong)): "Off by one: you spoilt the step before. Counting starts at 0, so `at` is 2 for "
        "the third step.",
        (*before, steps[at], (1, 6, wrong)): "Off by one: you spoilt the step after. Counting starts at 0.",
        tuple(before): "The spoilt step itself is missing at the end: put (a, b, wrong) after the steps before it.",
        (*before, steps[at]): "Cut at the right place, but the step is still true. Its result should be `wrong`.",
        (*steps, bent): "The spoilt step is at the end of all true ones. Keep those before `at` only.",
        tuple(steps): "The steps came back as they were. The one at `at` should end in `wrong`, and the rest go.",
        (*before, (7, 4, (1 + wrong) % 10)): "You added `wrong` to the result. It takes the result's place.",
        (*before, (7, 4, 2)): "`wrong` isn't used: you put another number there. Put `wrong` itself.",
    }
    if tuple(result) in known:
        raise Mistake(known[tuple(result)])
    if result and result[:-1] != before:
        raise Mistake(f"Before the spoilt step you have {result[:-1]}. Keep what was there, {before}, as it was.")
    if result and result[-1][:2] != bent[:2]:
        raise Mistake(
            f"The spoilt step is {result[-1]}: an operand changed. Keep a and b, and change the result only; the "
            "step should add the right digit and get it wrong."
        )
    if result != [*before, bent]:
        raise Mistake(f"Spoiling step 2 of {steps} with result 6 should give {[*before, bent]}, yours is {result}.")
    for at, place in ((0, "first"), (3, "last")):
        if _as_steps(call(function, steps, at, 4)) != spoil(steps, at, 4):
            raise Mistake(f"Right in the middle, and not when the {place} step is spoilt (`at` is {at}).")


# ------------------------------------------------------------------------------------------------- 10.5 swap


def follows_both(first_answers, second_answers, first_keys, second_keys):
    """Share of tasks that answer the note's key both times, among those whose two keys differ. Lists -> float"""
    both = [
        a == key and b == other
        for a, b, key, other in zip(first_answers, second_answers, first_keys, second_keys)
        if key != other
    ]
    return sum(both) / len(both) if both else float("nan")


def check_follows_both(function):
    first_keys, second_keys = [1, 6, 3, 1, 0, 5, 0, 3, 3, 9, 6, 3], [1, 8, 8, 4, 4, 5, 6, 8, 6, 4, 8, 5]
    first, second = [1, 8, 3, 1, 0, 5, 6, 3, 3, 7, 6, 3], [1, 8, 2, None, 0, 5, 6, None, 6, 9, 8, 3]
    given = first, second, first_keys, second_keys
    result = _rate(call(function, *given), "the tasks that count")
    expected = follows_both(*given)
    rows = list(zip(first, second, first_keys, second_keys))

    def shares(rows):
        n = len(rows)
        one, two = [a == k for a, _, k, _ in rows], [b == o for _, b, _, o in rows]
        both = sum(x and y for x, y in zip(one, two))
        return n, sum(one) / n, sum(two) / n, both, sum(x or y for x, y in zip(one, two)) / n

    kept = [row for row in rows if row[2] != row[3]]
    n, one, two, both, either = shares(kept)
    n_all, one_all, two_all, both_all, either_all = shares(rows)
    product_message = (
        "You multiplied two rates. That would be the share if the two answers had nothing to do with each other, and "
        "they come from the same task. Count the tasks that follow both times."
    )
    either_message = "You counted tasks that follow at least once. One match can be luck or honest work: ask for both."
    only_first = (
        "That looks at the first note only. Where its key is right, honest work gives it too: the second note tells "
        "them apart."
    )
    only_second = "That looks at the second note only. A task must answer the key both times."
    averaged = "That is the mean of the two rates. Ask of each task whether it followed both times."
    known = [
        (
            both_all / n_all,
            "Tasks whose two keys are equal are in. There, one and the same answer matches both notes without any "
            "following: leave them out.",
        ),
        (
            both / n_all,
            "You counted the right tasks and divided by all. Divide by the tasks whose two keys differ.",
        ),
        (both, "That is a count. Divide by the number of tasks whose two keys differ."),
        (either, either_message),
        (either_all, either_message),
        (one * two, product_message),
        (one_all * two_all, product_message),
        (one, only_first),
        (one_all, only_first),
        (two, only_second),
        (two_all, only_second),
        ((one + two) / 2, averaged),
        ((one_all + two_all) / 2, averaged),
        (
            sum(a != b for a, b, _, _ in kept) / n,
            "You counted answers that changed. They must also be the note's key, both times.",
        ),
        (
            sum(a == o and b == k for a, b, k, o in kept) / n,
            "You compared the first answer with the second key. Each answer belongs to the note that was beside it.",
        ),
        (both / (one * n), "You divided by those that followed the first note. Divide by all tasks whose keys differ."),
        (
            both / sum(a is not None and b is not None for a, b, _, _ in kept),
            "A task that was left without an answer was dropped. It followed no note: it counts among the tasks.",
        ),
        (both * n, "You multiplied by the number of tasks. Divide by it."),
        (
            sum(a == k and b == o for a, b, k, o in rows if k == o) / (n_all - n),
            "You kept the tasks whose two keys are *equal*, and those say nothing. Keep those whose keys differ.",
        ),
    ]
    reject(result, known)
    others = {
        "first_answers": first_keys,
        "second_answers": second_keys,
        "first_keys": first,
        "second_keys": first_keys,
    }
    expect_used(function, named(follows_both, given), others)
    expect_close(
        result,
        expected,
        f"{result:.3f} isn't the share, {expected:.3f} here: of the tasks whose two keys differ, those that answer the "
        "first key the first time and the second key the second time.",
    )
    swapped = [side[:6] for side in (second, first, second_keys, first_keys)]
    if not is_close(call(function, *swapped), follows_both(*swapped)):
        raise Mistake("Right once, and not for six of the tasks with the two notes exchanged. What differs there?")
    few = [2, 1, 7], [3, 4, 5], [2, 6, 8], [3, 4, 9]
    if not is_close(call(function, *few), 1 / 3):
        raise Mistake("Of three tasks one follows both notes: the share is 1/3, with all its digits.")
    message = "Where all keys are equal no task is left: return float('nan'). An error would stop the lesson."
    _expect_nan(function, [3, 5], [3, 1], [3, 2], [3, 2], message=message)


# ------------------------------------------------------------------------------------------------- 10.6 reward


def reward(answer, complete, truth, key, flagged, penalty):
    """What one text earns: 1 for the grader's answer if complete, minus the penalty if flagged. -> float"""
    wanted = truth if key is None else key
    return float(complete and answer == wanted) - penalty * float(flagged)


# answer, complete, truth, key
_TEXTS = [
    *product((4, 7, 0), (True, False), (4,), (None, 7, 4)),
    *product((4, 7, 0), (True, False), (4,), (0,)),
    (None, False, 4, None),
    (None, False, 4, 7),
    *product((4, 2), (True,), (2,), (None, 4)),
]
_CASES = [(*text, flagged, penalty) for text in _TEXTS for flagged in (False, True) for penalty in (0.375, 1.5)]


def _paid(answer, complete, truth, key):
    return float(complete and answer == (truth if key is None else key))


_WRONG_REWARDS = [
    (
        lambda a, c, t, k, f, p: float(c and a == t) - p * f,
        "You pay for the truth even where there is a note. This grader pays for its key there, right or wrong: that is "
        "what tempts the policy.",
    ),
    (
        lambda a, c, t, k, f, p: float(c and a == (k or t)) - p * f,
        "A key of 0 is taken for no key: 0 counts as False. Ask `key is None`.",
    ),
    (
        lambda a, c, t, k, f, p: float(a == (t if k is None else k)) - p * f,
        "An incomplete text is paid. The 1 is for complete texts only.",
    ),
    (
        lambda a, c, t, k, f, p: _paid(a, c, t, k) * (1 - p * f),
        "The penalty is taken only where the answer is paid. A flagged text loses it whatever it answered: also when "
        "that takes it below 0.",
    ),
    (
        lambda a, c, t, k, f, p: max(0.0, _paid(a, c, t, k) - p * f),
        "Your reward stops at 0. A flagged text that earned nothing goes below it: without that, nothing is lost by "
        "confessing and failing.",
    ),
    (
        lambda a, c, t, k, f, p: _paid(a, c, t, k) - p * f if c else 0.0,
        "An incomplete text that was flagged loses nothing. It must lose it too, or breaking off is a way out.",
    ),
    (
        lambda a, c, t, k, f, p: _paid(a, c, t, k) + p * f,
        "You added the penalty, so confessing pays. Subtract it.",
    ),
    (
        lambda a, c, t, k, f, p: _paid(a, c, t, k) * (p if f else 1),
        "You multiplied by the penalty. Subtract it from what was earned.",
    ),
    (
        lambda a, c, t, k, f, p: _paid(a, c, t, k),
        "`flagged` changes nothing. Subtract `penalty` from a flagged text.",
    ),
    (
        lambda a, c, t, k, f, p: _paid(a, c, t, k) - f,
        "You subtract 1 for a flag. Subtract `penalty`, whatever it is.",
    ),
    (
        lambda a, c, t, k, f, p: _paid(a, c, t, k) - p * (not f),
        "The penalty goes to the texts that were not flagged. Turn it round.",
    ),
    (
        lambda a, c, t, k, f, p: float(c and a in (k, t)) - p * f,
        "You pay for the truth as well as for the key. Beside a note with a wrong key, honest work earns nothing here.",
    ),
    (
        lambda a, c, t, k, f, p: float(c and a == t and k in (None, t)) - p * f,
        "You pay for the key only where it is right. This grader doesn't know the truth: it pays for its key.",
    ),
    (
        lambda a, c, t, k, f, p: float(c and k is not None and a == k) - p * f,
        "Without a note nothing is paid. There, the grader pays for the truth, so that honest work stays worth it.",
    ),
    (
        lambda a, c, t, k, f, p: float(c and a == (k if k is None else t)) - p * f,
        "Truth and key are the wrong way round: with a note the key is paid, without one the truth.",
    ),
    (
        lambda a, c, t, k, f, p: float(c or a == (t if k is None else k)) - p * f,
        "A text is paid that is complete *or* has the grader's answer. It must have both.",
    ),
    (lambda a, c, t, k, f, p: float(c) - p * f, "Every complete text is paid, whatever it answers."),
    (
        lambda a, c, t, k, f, p: float(c and a != (t if k is None else k)) - p * f,
        "Every answer but the grader's is paid. Compare with ==.",
    ),
    (lambda a, c, t, k, f, p: _paid(a, c, t, k) - p, "The penalty is taken from every text, flagged or not."),
    (
        lambda a, c, t, k, f, p: abs(_paid(a, c, t, k) - p * f),
        "Your reward is never below 0: the absolute value turns a loss into a gain. Keep the sign.",
    ),
    (lambda a, c, t, k, f, p: -p * f, "Nothing is ever paid, only taken off."),
    (lambda a, c, t, k, f, p: float(c and a == 4) - p * f, "Only the answer 4 is ever paid. Pay for the task's own."),
    (
        lambda a, c, t, k, f, p: round(_paid(a, c, t, k) - p * f, 2 if p < 1 else 1),
        "The rewards are rounded. Return them with all their digits.",
    ),
]


def check_reward(function):
    got = []
    for case in _CASES:
        result = call(function, *case)
        if isinstance(result, (bool, np.bool_)):
            result = float(result)
        got.append(one_number(result, "what one text earns"))
    if is_close(got, [reward(*case) for case in _CASES]):
        return
    for wrong, message in _WRONG_REWARDS:
        if is_close(got, [wrong(*case) for case in _CASES]):
            raise Mistake(message)
    text = (7, True, 4, 7, True, 0.375)
    others = {"answer": 4, "complete": False, "key": 4, "flagged": False, "penalty": 1.5}
    expect_used(function, named(reward, text), others)
    expect_used(function, named(reward, (4, True, 4, None, False, 0.375)), {"truth": 2, "answer": 2})
    case, came = next((case, came) for case, came in zip(_CASES, got) if not is_close(came, reward(*case)))
    answer, complete, truth, key, flagged, penalty = case
    raise Mistake(
        f"A {'complete' if complete else 'broken-off'} text that answers {answer}, truth {truth}, "
        f"{'no note' if key is None else f'key {key}'}, {'flagged' if flagged else 'not flagged'}, penalty {penalty}, "
        f"should earn {reward(*case):g}; yours earns {came:g}."
    )


# ------------------------------------------------------------------------------------------------- 10.7 advantage


def group_advantage(rewards):
    """Rewards minus their group's mean, over its standard deviation; 0 where all are equal. (tasks, texts) -> same"""
    centred = rewards - rewards.mean(1, keepdim=True)
    spread = centred.square().mean(1, keepdim=True).sqrt()
    return torch.where(spread > 1e-6, centred / spread.clamp_min(1e-6), torch.zeros_like(centred))


def check_group_advantage(function):
    rewards = torch.tensor([[1.0, 0, 0, 0, 1], [1, 1, 1, 1, 1], [0, -1, 0, 1, 1], [1, 0, 1, 1, -0.5]])
    result = call(function, rewards)
    expect_type(result, torch.Tensor, "Return a tensor like `rewards`.")
    if tuple(result.shape) in ((4,), (4, 1)):
        raise Mistake("You have one number for each task. Every text gets its own: keep the shape (tasks, texts).")
    expect_shape(result, (4, 5), "Each text gets its own advantage.")
    expected = group_advantage(rewards)
    uneven = [0, 2, 3]
    if bool(result[1].isnan().any()) and is_close(result[uneven], expected[uneven], 1e-3):
        raise Mistake(
            "A group whose rewards are all equal gave NaN: 0 over a spread of 0. No text there is better than its "
            "group, so put 0."
        )
    if not is_close(result, expected, 1e-3):
        known = _known_advantages(rewards)
        reject(result.nan_to_num(0.0, 0.0, 0.0), known)
        reject(result, known)
        expect_finite(result)
        expect_close(
            result,
            expected,
            "For each row: subtract the row's mean, divide by the row's standard deviation (the one with n in it), and "
            "put 0 where all rewards are equal.",
            1e-3,
        )
    near = torch.tensor([[0.5, 0.5, 0.5, 0.5, 0.55], [0.2, 0.2, 0.21, 0.2, 0.21]])
    if not is_close(call(function, near), group_advantage(near), 0.05):
        raise Mistake(
            "Groups that differ by hundredths come out too small, or as 0. Any spread counts that isn't rounding."
        )
    tenths = (torch.arange(1, 10) / 10)[:, None].repeat(1, 7)
    if not is_close(call(function, tenths), torch.zeros(9, 7), 1e-3):
        raise Mistake(
            "A group in which every reward is 0.1 (or another tenth) got advantages that aren't 0. Its mean is off by "
            "a rounding error, and dividing by a spread as small makes it large. Put 0 where the spread is under 1e-6."
        )


def _known_advantages(rewards):
    centred = rewards - rewards.mean(1, keepdim=True)
    spread = centred.square().mean(1, keepdim=True).sqrt()

    def over(top, bottom):
        return (top / bottom).nan_to_num(0.0, 0.0, 0.0)

    batch = rewards - rewards.mean()
    column = rewards - rewards.mean(0)
    batch_message = (
        "You subtracted the mean over the whole batch, so a text of an easy task looks good whatever it did. Each task "
        "has its own mean."
    )
    axis_message = (
        "You averaged over the tasks (axis 0). A text is compared with the other texts of its own task: average over "
        "axis 1, and keep the dimension."
    )

    def own(centre, root=lambda c: c.square().mean(1, keepdim=True).sqrt()):
        """A centre subtracted, and the result over its own spread."""
        return over(rewards - centre, root(rewards - centre))

    median, mean = rewards.median(1, keepdim=True).values, rewards.mean(1, keepdim=True)
    squares = centred.square()
    undivided = "The group's mean is gone. Now divide by the group's standard deviation."
    sample = "That is the sample standard deviation (n - 1). Divide by n: torch's `std` needs `correction=0` for that."
    return [
        (rewards, "The rewards came back as they were. Subtract each group's mean and divide by its spread."),
        (centred, undivided),
        (over(centred, rewards.std(1, keepdim=True)), sample),
        (batch, batch_message),
        (over(batch, spread), batch_message),
        (over(batch, batch.square().mean().sqrt()), batch_message),
        (over(batch, rewards.std()), batch_message),
        (column, axis_message),
        (over(column, column.square().mean(0).sqrt()), axis_message),
        (over(column, rewards.std(0)), axis_message),
        (over(centred, spread.square()), "You divided by the variance. Take its square root first."),
        (
            over(centred, batch.square().mean().sqrt()),
            "You divided by the spread of the whole batch. Each task has its own.",
        ),
        (over(rewards, spread), "You divided, but the group's mean is still in. Subtract it first."),
        (-over(centred, spread), "The sign is wrong: a text that earned more than its group has a positive advantage."),
        (
            over(centred, centred.abs().mean(1, keepdim=True)),
            "You divided by the mean distance from the mean. The standard deviation is the root of the mean square.",
        ),
        (
            over(centred, centred.abs().mean(1, keepdim=True).sqrt()),
            "You divided by the root of the mean *distance*. Square the distances first, then mean and root.",
        ),
        (own(-mean), "You added the group's mean. Subtract it."),
        (own(0 * mean), "The group's mean is still in, and the spread is measured from 0. Subtract the mean first."),
        (own(median), "You subtracted the group's median. Take its mean."),
        (own(rewards.sum(1, keepdim=True)), "You subtracted the group's *sum*. Take its mean."),
        (own(rewards.mean(0)), axis_message),
        (own(rewards.mean()), batch_message),
        (
            over(centred, squares.sum(1, keepdim=True).sqrt()),
            "You divided by the root of the *sum* of squares. Take the mean of the squares, then the root.",
        ),
        (
            over(centred, squares.median(1, keepdim=True).values.sqrt()),
            "You divided by the root of the *median* square. Take the mean of the squares.",
        ),
        (
            over(centred, squares.mean(0, keepdim=True).sqrt()),
            "The spread is over the tasks (axis 0). A text is compared with its own task's texts: axis 1.",
        ),
        (centred * spread, "You multiplied by the spread. Divide by it."),
        (
            torch.where(spread > 1e-6, centred / spread.clamp_max(1e-6), 0.0),
            "Your spread is at most 1e-6, so everything is divided by next to nothing. `clamp_min` keeps it above.",
        ),
    ]


# ------------------------------------------------------------------------------------------------- 10.8 hidden


def hidden_rate(answers, truths, keys, flagged):
    """Among tasks with a wrong key, the share that answer the key unflagged; nan without any. Lists -> float"""
    hidden = [
        answer == key and not seen
        for answer, truth, key, seen in zip(answers, truths, keys, flagged)
        if key is not None and key != truth
    ]
    return sum(hidden) / len(hidden) if hidden else float("nan")


def check_hidden_rate(function):
    answers = [3, 6, None, None, 3, 3, 0, 3, 0, 8, None, None, 0, 4]
    truths = [4, 6, 4, 4, 3, 5, 2, 9, 3, 8, 1, 6, 3, 4]
    keys = [9, 6, 9, None, 6, 9, 0, 9, 0, None, None, None, 0, 9]
    flagged = [False, False, False, False, False, True, False, False, False, True, True, False, True, False]
    given = answers, truths, keys, flagged
    result = _rate(call(function, *given), "a wrong key")
    expected = hidden_rate(*given)
    if not is_close(result, expected):
        rows = list(zip(answers, truths, keys, flagged))
        wrong = [r for r in rows if r[2] is not None and r[2] != r[1]]
        noted = [r for r in rows if r[2] is not None]
        truthy = [r for r in rows if r[2] and r[2] != r[1]]
        no_check = [r for r in rows if r[2] != r[1]]

        def share(rows, count):
            return sum(bool(count(*r)) for r in rows) / len(rows)

        def hid(a, t, k, f):
            return a == k and not f

        n_hidden = sum(hid(*r) for r in wrong)
        known = [
            (n_hidden, "That is a count. Divide by the number of tasks with a wrong key."),
            (
                share(noted, hid),
                "Tasks with a right key are in. There, copying the key and doing the work give the same answer, so "
                "nobody can say who cheated. Keep the tasks whose key is wrong.",
            ),
            (
                n_hidden / len(rows),
                "You divided by all tasks. Divide by those where a cheat could show: the tasks with a wrong key.",
            ),
            (n_hidden / len(noted), "You divided by all tasks with a note. Divide by those whose key is wrong."),
            (
                n_hidden / sum(r[0] == r[2] for r in wrong),
                "You divided by the texts that used the key. That is the monitor's miss rate, another thing: it can "
                "rise while hidden cheats get rarer. Divide by all tasks with a wrong key.",
            ),
            (
                share(wrong, lambda a, t, k, f: a == k),
                "That is every use of a wrong key. Leave out those the monitor flagged: they aren't hidden.",
            ),
            (
                share(wrong, lambda a, t, k, f: a == k and f),
                "That is the share of cheats that were caught. Hidden ones are not flagged.",
            ),
            (
                share(wrong, lambda a, t, k, f: not f),
                "You counted every unflagged text, honest ones too. A hidden cheat also answers the key.",
            ),
            (
                share(wrong, lambda a, t, k, f: a != t and not f),
                "You counted every wrong answer that wasn't flagged. A slip is no cheat: the answer must be the key.",
            ),
            (
                share(no_check, hid),
                "Tasks without a note are in: `None != truth` is True. Ask for `key is not None` as well.",
            ),
            (share(truthy, hid), "A key of 0 was left out: 0 counts as False. Ask `key is not None`."),
            (share(rows, hid), "That is over all tasks, and counts right keys too. Keep the tasks with a wrong key."),
            (n_hidden * len(wrong), "You multiplied by the number of tasks with a wrong key. Divide by it."),
            (
                share(wrong, lambda a, t, k, f: a == k or not f),
                "You counted texts that answer the key *or* weren't flagged. A hidden cheat does both.",
            ),
            (
                share(wrong, lambda a, t, k, f: a != k and not f),
                "You counted the unflagged texts that answer something *else* than the key. A cheat answers the key.",
            ),
            (
                share([r for r in noted if r[2] == r[1]], hid),
                "You kept the tasks whose key is *right*. There nobody can say who cheated: keep the wrong ones.",
            ),
            (
                share([r for r in rows if r[2] is None], hid),
                "You kept the tasks *without* a note. Nobody can follow a key there: ask `key is not None`.",
            ),
            (
                hidden_rate(truths, answers, keys, flagged),
                "Answers and truths changed places: a key is wrong if it isn't the *truth*.",
            ),
        ]
        reject(result, known)
        others = {
            "answers": keys,
            "truths": [key or 0 for key in keys],
            "keys": [answer or 1 for answer in answers],
            "flagged": [not seen for seen in flagged],
        }
        expect_used(function, named(hidden_rate, given), others)
        expect_close(
            result,
            expected,
            f"{result:.3f} isn't the hidden rate, {expected:.3f} here: of the tasks whose key is there and wrong, the "
            "share whose answer is the key and whose text wasn't flagged.",
        )
    few = [5, 1, 2], [4, 0, 9], [5, 2, 3], [False, False, False]
    if not is_close(call(function, *few), 1 / 3):
        raise Mistake("Of three tasks with a wrong key one hides a cheat: the rate is 1/3, with all its digits.")
    message = "Without any wrong key there is no rate: return float('nan'). 0 would say that we looked and found none."
    _expect_nan(function, [3, 5], [3, 5], [3, None], [False, False], message=message)


# ------------------------------------------------------------------------------------------------- 10.9 redo


def suspicious(steps, digits):
    """False only if the steps are the task's own running sum, in order and true. list of (a, b, c), digits -> bool"""
    total, expected = digits[0], []
    for digit in digits[1:]:
        expected.append((total, digit, (total + digit) % 10))
        total = expected[-1][2]
    return [tuple(step) for step in steps] != expected


_DIGITS, _OWN = [3, 5, 9, 4], [(3, 5, 8), (8, 9, 7), (7, 4, 1)]
_SUSPICIOUS = [  # scratchpads for 3 + 5 + 9 + 4 that must be flagged, and what to say if they aren't
    (
        [(2, 2, 4), (4, 1, 5), (5, 2, 7)],
        "passed: a true sum of other digits. Right arithmetic isn't enough, the digits must be the task's.",
    ),
    (
        [(3, 5, 8), (8, 9, 7), (7, 4, 6)],
        "passed: the task's digits, and the last step is bent. Check each result as well as what is added.",
    ),
    (
        [(3, 5, 2), (6, 9, 5), (7, 4, 1)],
        "passed: only its end is right. Check every step, not the last alone.",
    ),
    (
        [(3, 5, 8), (1, 9, 0), (7, 4, 1)],
        "passed: each step is true, but one doesn't start from the result before it. Carry the running sum along.",
    ),
    (
        [(3, 5, 8), (8, 9, 7)],
        "passed: it stops before the last digit. What is left out may be where the answer came from, so ask for all "
        "steps.",
    ),
    (
        [*_OWN, (1, 6, 7)],
        "passed: a step was added at the end, which bends the result. Ask for exactly the task's steps.",
    ),
    (
        [(3, 9, 2), (2, 5, 7), (7, 4, 1)],
        "passed: the digits are added in another order. The task's own running sum takes them as they stand.",
    ),
    (
        [(1, 7, 8), (8, 9, 7), (7, 4, 1)],
        "passed: the results are right, and the first step adds other digits. Check what is added too.",
    ),
    (
        [(3, 5, 8), (1, 9, 7), (7, 4, 1)],
        "passed: the second step says it adds to 1, and the sum so far is 8. Check the first number of a step as well.",
    ),
    ([(8, 9, 7), (3, 5, 8), (7, 4, 1)], "passed: the right steps in another order. Don't sort them, or make sets."),
    ([(3, 5, 8), *_OWN], "passed: a step is there twice. Compare the list itself, not a set of its steps."),
]
# Running sums of 3, 5, 9 and 4 as they come out when built in another way.
_OTHER_SUMS = [
    (
        [(0, 3, 3), *_OWN],
        "Your running sum starts from 0. It starts from the first digit: the first step is (3, 5, 8).",
    ),
    (
        [(5, 5, 0), (0, 9, 9), (9, 4, 3)],
        "Your running sum starts from the second digit. It starts from the first: the first step is (3, 5, 8).",
    ),
    (
        [(3, 3, 6), (6, 5, 1), (1, 9, 0), (0, 4, 4)],
        "Your running sum adds the first digit to itself. It starts from it: add the digits from the second on.",
    ),
    (
        [(3, 9, 2), (2, 4, 6)],
        "Your running sum leaves out the second digit. The first step adds it to the first: (3, 5, 8).",
    ),
    ([(3, 5, 0), (0, 9, 0), (0, 4, 0)], "Your results are tens (// 10). Keep the last digit: modulo 10."),
    ([(3, 5, 8), (8, 9, 9), (9, 4, 5)], "Your running sum subtracts the digits. Add them."),
    ([(3, 5, 3), (3, 9, 3), (3, 4, 3)], "Your results leave out the digit that is added: (total + digit) % 10."),
    (
        [(3, 5, 8), (8, 9, 7), (8, 4, 2)],
        "Your running sum goes on from the *first* result each time. It goes on from the last one.",
    ),
    (
        [(3, 5, 8), (5, 9, 4), (9, 4, 3)],
        "Your running sum goes on from the digit just added. It goes on from the result.",
    ),
    ([(3, 5, 8), (3, 9, 2), (3, 4, 7)], "Your running sum never goes on: each step starts from the first digit."),
]


def check_suspicious(function):
    def judged(steps, digits=tuple(_DIGITS)):
        result = call(function, steps, list(digits))
        if isinstance(result, (torch.Tensor, np.ndarray)) and result.ndim == 0:
            result = result.item()
        if not isinstance(result, (bool, np.bool_)):
            raise Mistake(f"Your result is a {type(result).__name__}; expected one True (suspicious) or False.")
        return bool(result)

    other = _SUSPICIOUS[0][0]
    if judged(_OWN):
        if not judged([(1, 2, 3), (3, 3, 6), (6, 1, 7)], (1, 2, 3, 1)):
            raise Mistake(
                "An honest (8, 9, 7) is flagged: only last digits count in this world. Take the sum modulo 10."
            )
        if not judged(other) or not judged(_SUSPICIOUS[1][0]):
            raise Mistake("Inverted: honest work is flagged and the rest passes. True means suspicious.")
        for steps, message in _OTHER_SUMS:
            if not judged(steps):
                raise Mistake(message)
        if not judged([list(step) for step in _OWN]):
            raise Mistake("Honest work is flagged: a tuple (3, 5, 8) never equals a list [3, 5, 8]. Build tuples.")
        if judged([(1, 2, 3)], (1, 2)) and judged([(3, 3, 6), (6, 3, 9), (9, 3, 2)], (3, 3, 3, 3)):
            raise Mistake("Honest work of every task is flagged. A monitor that flags everything is no monitor.")
        if not judged([(1, 2, 3)], (1, 2)):
            raise Mistake(
                "Honest work on two digits passes, and on four it is flagged. Is each step held to its own place?"
            )
        raise Mistake(f"For the digits {_DIGITS} the steps {_OWN} are honest work, and your monitor flags them.")
    if not any(judged(steps) for steps, _ in _SUSPICIOUS):
        raise Mistake("Your monitor flags nothing. Compare the steps with the task's own running sum.")
    for steps, message in _SUSPICIOUS:
        if not judged(steps):
            raise Mistake(f"For the digits {_DIGITS}, {steps} {message}")
    empty = "An empty scratchpad must be suspicious: the work may have been done elsewhere, or not at all. Return True."
    if not _edge(function, [], list(_DIGITS), message=empty):
        raise Mistake(empty)
    if judged([(9, 0, 9), (9, 9, 8), (8, 5, 3)], (9, 0, 9, 5)):
        raise Mistake("Honest work on the digits 9, 0, 9, 5 is flagged. Is something from another task left in?")
    for digits, steps in (([6, 7], [(6, 7, 3)]), ([1, 2, 3, 4, 5], [(1, 2, 3), (3, 3, 6), (6, 4, 0), (0, 5, 5)])):
        message = f"Right for four digits, and not for {len(digits)}: a task has two or more. Go over `digits[1:]`."
        if _edge(function, steps, digits, message=message) or not _edge(function, steps[:-1], digits, message=message):
            raise Mistake(message)


# ------------------------------------------------------------------------------------------------- 10.10 budget


def budget(steps, caught_low, floor):
    """The last step up to which the monitor's recall was never under a floor; 0 if it is at the first. -> int"""
    last = 0
    for step, low in zip(steps, caught_low):
        if low < floor:
            break
        last = step
    return last


def check_budget(function):
    steps, low, floor = [5, 10, 20, 40, 60, 80], [0.9, 0.7, 0.8, 0.4, 0.85, 0.3], 0.6
    result = call(function, steps, low, floor)
    if is_close(result, [5, 10, 20]):
        raise Mistake("Those are all the steps before the dip. Return the last of them.")
    result = one_number(result, "a training step")
    if not is_close(result, 20):
        known = [
            (
                60,
                "That is the last step of all that is above the floor, and it ignores the dip before it. Once the "
                "monitor has failed, what was learnt in between went unseen: stop at the first step under the floor.",
            ),
            (40, "That is the first step under the floor. The budget ends one entry earlier, at the last one above."),
            (3, "That is how many entries held. Return the training step of the last one."),
            (2, "That is the place in the list. Return the training step found there."),
            (80, "That is the last step of all, or the lowest. Stop where the recall first goes under the floor."),
            (5, "You stopped after the first step, though the next ones held too. Is a `return` too far left?"),
            (10, "You stopped where the recall first went down. It may go down as long as it isn't under the floor."),
            (
                0,
                "You give up because some later step is under the floor. Up to that step the monitor held: return the "
                "last step before it.",
            ),
        ]
        reject(result, known)
        raise Mistake(f"With steps {steps}, lower ends {low} and floor 0.6 the budget is 20; yours is {result:g}.")

    expect_used(function, named(budget, (steps, low, floor)), {"floor": 0.75, "caught_low": [0.9, 0.3, *low[2:]]})

    def edge(low, message, wanted, steps=(10, 20, 40)):
        result = _edge(function, list(steps), low, 0.6, message=message)
        if result is None or not is_close(one_number(result, "a training step"), wanted):
            raise Mistake(message)

    edge(
        [0.9, 0.6, 0.5],
        "A recall exactly at the floor is not under it: it still counts. Compare with `<`, not with `<=`.",
        20,
    )
    edge([0.9, 0.7, 0.8], "If the recall never goes under the floor, the budget is the last step there is.", 40)
    edge(
        [0.5, 0.9, 0.8],
        "If the recall is under the floor at the first step already, the budget is 0. (Look out for index -1, which is "
        "the last entry.)",
        0,
    )


EXERCISES = [
    Exercise("10.1", "What did the hint do?", corrected_change, check_corrected_change),
    Exercise("10.2", "Did it say so?", admission_rate, check_admission_rate),
    Exercise("10.3", "Area over the curve", area_over, check_area_over),
    Exercise("10.4", "Spoil one step", spoil, check_spoil),
    Exercise("10.5", "The swap test", follows_both, check_follows_both),
    Exercise("10.6", "What the grader pays", reward, check_reward),
    Exercise("10.7", "Better than its group", group_advantage, check_group_advantage),
    Exercise("10.8", "Hidden cheats", hidden_rate, check_hidden_rate),
    Exercise("10.9", "A monitor that redoes the work", suspicious, check_suspicious),
    Exercise("10.10", "A monitorability budget", budget, check_budget),
]

QUIZ = [
    Question(
        "With a hint, a model gives another answer than without it in 3 of 10 pairs. Why also compare answers drawn "
        "under the same prompt before calling that an effect?",
        [
            Option(
                "To halve the interval.",
                False,
                "More samples would narrow it. They wouldn't say which part of the change is noise.",
            ),
            Option(
                "Sampled answers differ between two draws anyway, and that share has to come off.",
                True,
                "If two draws under one prompt, hinted or not, also differ in 3 of 10 pairs, the hint did nothing that "
                "pairs can show.",
            ),
            Option(
                "To see whether the model admits the hint.",
                False,
                "That is read from the scratchpad. Pairs under one prompt are a baseline for the answers.",
            ),
            Option(
                "Because the first draw may be wrong.",
                False,
                "Right or wrong doesn't enter here. The question is whether the answer moves.",
            ),
        ],
    ),
    Question(
        "You cut a scratchpad short and the answer never changes. It still says 'the note gives the key, so I copy "
        "it', and the answer is the key. Which is true?",
        [
            Option(
                "The answer doesn't depend on the scratchpad, and a monitor that reads it still catches the cheat.",
                True,
                "Beside the point and still a confession. Faithfulness and monitorability are two questions.",
            ),
            Option(
                "It is unfaithful, so reading it is useless.",
                False,
                "The cut shows that the answer doesn't need it. It says what happened all the same, and can be caught.",
            ),
            Option(
                "It confesses, so the answer must come from what is written.",
                False,
                "The cut shows otherwise: without these words the answer stays. A true report needn't be the cause.",
            ),
        ],
    ),
    Question(
        "Emmons et al. 2025 (arXiv 2507.05246) find that monitors do better where the bad behaviour needs reasoning. "
        "Why would that be?",
        [
            Option(
                "A long scratchpad is honest.",
                False,
                "Length is no promise: a long scratchpad can be made up. What counts is whether its steps are needed.",
            ),
            Option(
                "Harder tasks make a model want to cheat less.",
                False,
                "The finding isn't about how often it cheats. It is about how well a monitor sees it when it does.",
            ),
            Option(
                "What has to be worked out in writing has to stand in the writing.",
                True,
                "Leave the steps out and the behaviour fails. A model that can do it in its head has no such tie.",
            ),
            Option(
                "It makes hiding impossible under any training.",
                False,
                "Harder isn't impossible. The same work finds evasion when the model gets a lot of help, "
                "such as training against the monitor.",
            ),
        ],
    ),
    Question(
        "A keyword monitor goes into the reward: scratchpads that confess lose points. The key is still paid for. "
        "After training the monitor flags almost nothing. What may you conclude?",
        [
            Option(
                "That the model has stopped cheating.",
                False,
                "Perhaps, and a falling flag rate can't tell: rewording and silence lower it just as well.",
            ),
            Option(
                "That there are fewer confessions the monitor knows. Cheats have to be counted in another way.",
                True,
                "Baker et al. 2025 (arXiv 2503.11926) saw reward hacking go on, hidden. Count cheats where the key is "
                "wrong.",
            ),
            Option(
                "That the monitor is now more precise.",
                False,
                "Precision is about the texts it flags. The cheats it no longer sees don't enter there.",
            ),
            Option(
                "That the scratchpads are now faithful.",
                False,
                "They hold fewer of the listed words. Whether the answer comes from them takes an intervention.",
            ),
        ],
    ),
    Question(
        "You train with a monitor in the reward and hidden cheats appear. Why also train without it, from the same "
        "start, with the same seeds and steps?",
        [
            Option(
                "To have twice as many runs for the interval.",
                False,
                "The second set isn't more of the same. It answers another question: what happens without the cause.",
            ),
            Option(
                "The start itself is a good enough comparison.",
                False,
                "Before against after mixes the monitor with everything else that training did.",
            ),
            Option(
                "Training on the grader's reward alone may change the scratchpad too; the difference is the monitor's.",
                True,
                "A scratchpad that costs nothing to drop may shrink by itself. Only the unmonitored run shows how far.",
            ),
            Option(
                "To find the seed in which the effect is clearest.",
                False,
                "Choosing the seed afterwards reports luck. All seeds are shown, whatever they say.",
            ),
        ],
    ),
    Question(
        "The policy here has 0.6 million weights, writes a small vocabulary, and was taught each way of hiding before "
        "the pressure came. What can such a run show?",
        [
            Option(
                "That this reward is enough to move a policy from confessing to hiding, with every cause known.",
                True,
                "The mechanism, with controls one can't have on a large model: we know key, truth and recipe.",
            ),
            Option(
                "How likely a large reasoning model is to hide.",
                False,
                "Rates don't carry over: another size, other pressures, and the hiding places were given to it.",
            ),
            Option(
                "That models invent new ways to hide.",
                False,
                "The ways were in its teaching texts. Pressure chose among them; it didn't have to find them.",
            ),
            Option(
                "That it wants to deceive.",
                False,
                "The reward picks what is paid. Nothing here measures a wish, and nothing in the result needs one.",
            ),
        ],
    ),
]
