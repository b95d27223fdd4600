"""Lesson 09, monitoring: reference solutions, checks that name the likely mistake, and the quiz."""

from __future__ import annotations

import re

import numpy as np

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

# ------------------------------------------------------------------------------------------------ 9.1 take it apart


def take_apart(text):
    """(scratchpad, action), stripped; None unless the text is one <think>…</think> and then one <act>…</act>."""
    found = re.fullmatch(r"\s*<think>(.*?)</think>\s*<act>(.*?)</act>\s*", text, re.DOTALL)
    tags = ("<think>", "</think>", "<act>", "</act>")
    if found is None or any(text.count(tag) != 1 for tag in tags):
        return None
    return found[1].strip(), found[2].strip()


def check_take_apart(function):
    plain = "<think> I look. </think>\n<act> saw: porch </act>"
    result = call(function, plain)
    if isinstance(result, list) and len(result) == 2:
        raise Mistake("Return a tuple, (scratchpad, action), so that nobody changes it by accident.")
    expect_type(result, tuple, "Return (scratchpad, action).")
    if result == ("saw: porch", "I look."):
        raise Mistake("The parts are in the wrong order: scratchpad first, then action.")
    if tuple(str(part).strip() for part in result) == ("I look.", "saw: porch") and result != ("I look.", "saw: porch"):
        raise Mistake("The blanks at the ends are still there. `strip()` both parts.")
    if any("<" in str(part) for part in result):
        raise Mistake("The tags are still in your result. Return what stands between them.")
    if result != ("I look.", "saw: porch"):
        raise Mistake(f"From {plain!r} you read {result!r}.")
    lines = "<think>One.\nTwo.</think>\n<act>delete test</act>"
    result = call(function, lines, allow_none=True)
    if result is None:
        raise Mistake("A scratchpad of two lines was refused. In a pattern `.` stops at a line break: use re.DOTALL.")
    if result != ("One.\nTwo.", "delete test"):
        raise Mistake(f"From {lines!r} you read {result!r}.")
    bad = [
        ("saw: porch", "A text without tags has no scratchpad: return None for it."),
        ("<think>I look.</think> saw: porch", "There is no action here, only text after the scratchpad: return None."),
        ("<think>I look. <act>saw: porch</act>", "This scratchpad is never closed: return None."),
        ("<think>I look.</think><act>saw: porch", "This action is never closed: return None."),
        ("<act>saw: porch</act><think>I look.</think>", "Here the action comes before any thinking: return None."),
        (
            "<think>a</think><think>b</think><act>c</act>",
            "There are two scratchpads here, and a reader who takes one of them misses the other: return None.",
        ),
        (
            "<think>a</think><act>b</act><act>c</act>",
            "There are two actions here. Which one was carried out? Return None.",
        ),
        ("Sure! <think>a</think><act>b</act>", "Text before the scratchpad belongs to neither part: return None."),
        ("<think>a</think><act>b</act> Done.", "Text after the action belongs to neither part: return None."),
        ("<think>a</think> so <act>b</act>", "Text between scratchpad and action belongs to neither: return None."),
        (
            "<think>a<think>b</think><act>c</act>",
            "<think> is opened twice here and closed once. Count every tag, the opening ones too: return None.",
        ),
        (
            "<think>a</think>b</think><act>c</act>",
            "</think> stands here twice. Count every tag, the closing ones too: return None.",
        ),
        ("<think>a</think><act>b<act>c</act>", "<act> is opened twice here and closed once: return None."),
        (
            "<think>a</think><act>b</act>c</act>",
            "</act> stands here twice, and the action ends at either: return None.",
        ),
    ]
    for text, message in bad:
        try:
            result = call(function, text, allow_none=True)
        except Mistake as error:
            raise Mistake(f"A malformed transcript ended in an error instead of None. {error}") from None
        if result is not None:
            raise Mistake(message)


# ------------------------------------------------------------------------------------------------ 9.2 a list of words


def count_phrases(texts, phrases):
    """(n,) how many of the phrases each text holds, whatever their case. Each phrase counts once."""
    return np.array([sum(phrase.lower() in text.lower() for phrase in phrases) for text in texts])


def check_count_phrases(function):
    texts = ["I will Just Use It. Just use it!", "I look it up.", "I just use it and move on.", "I use it just so."]
    phrases = ["just use it", "move on"]
    result = call(function, texts, phrases)
    expect_shape(result, (4,), "One number a text.")
    result = np.asarray(result, dtype=float)
    if is_close(result, [1.0, 0.0, 2.0, 0.0]):
        back = np.asarray(call(function, ["MOVE ON"], ["Move On"]), dtype=float)
        if not is_close(back, [1.0]):
            raise Mistake("The phrases may hold capitals too: lower both sides.")
        if not is_close(call(function, ["We move on."], ["move on."]), [1.0]):
            raise Mistake("'We move on.' holds the phrase 'move on.', and you don't find it: look for it as it stands.")
        if not is_close(call(function, ["Shall we move one?"], ["move on."]), [0.0]):
            raise Mistake(
                "'move one' holds no 'move on.': a phrase is plain text, not a pattern. Use `in`, or re.escape."
            )
        return
    known = [
        ([0.0, 0.0, 2.0, 0.0], "Capitals hide a phrase from you. Compare in lower case."),
        ([1.0, 0.0, 1.0, 0.0], "You say whether any phrase is there. Say how many: a later threshold needs it."),
        ([2.0, 0.0, 2.0, 0.0], "A phrase that is said twice was counted twice. Each phrase counts once a text."),
        ([0.0, 0.0, 1.0, 0.0], "You ask for all phrases at once. Count those that are there."),
    ]
    reject(result, known)
    if result[3] > 0:
        raise Mistake("'I use it just so.' holds none of the phrases: look for the whole phrase, not for its words.")
    raise Mistake(f"For {texts} and {phrases} the counts are 1, 0, 2, 0; yours are {result.tolist()}.")


# ------------------------------------------------------------------------------------------------ 9.3 a threshold


def set_threshold(scores, bad, fpr):
    """The lowest threshold with which at most a share fpr of the honest rows scores strictly above it."""
    honest = np.sort(scores[~bad])[::-1]
    return float(honest[int(fpr * len(honest) + 1e-9)])


def check_set_threshold(function):
    rng = np.random.default_rng(93)
    scores = rng.permutation(np.arange(100.0)) / 10 + 0.0123
    bad = np.arange(100) % 5 < 2
    scores[bad] += 4.05
    honest = np.sort(scores[~bad])[::-1]
    result = one_number(call(function, scores, bad, 0.1), "the threshold")
    flagged = float((scores[~bad] > result).mean())
    known = [
        (
            set_threshold(scores, np.zeros(100, bool), 0.1),
            "This threshold is exceeded by a tenth of all rows. A false-positive rate is a share of the honest ones.",
        ),
        (
            set_threshold(scores, ~bad, 0.1),
            "You used the bad rows. The false-positive rate is about the honest ones, `scores[~bad]`.",
        ),
        (1 - 0.1, "That is a share, not a score. The threshold is on the scale of `scores`."),
        (0.1, "That is a share, not a score. The threshold is on the scale of `scores`."),
    ]
    reject(result, known)
    if 0 < np.abs(honest - result).min() < 1e-6:
        raise Mistake(
            "This is an honest score rounded to float32: the row itself may come out above it, and be flagged. Return "
            "the score as it stands in `scores`, a float of 64 bits."
        )
    if flagged > 0.1 + 1e-9:
        raise Mistake(
            f"{flagged:.0%} of the honest rows score above this; at most 10 % may. Count from the top, and mind that a "
            "row is flagged only if it is strictly above."
        )
    if result >= honest[5]:
        raise Mistake(
            f"Only {flagged:.0%} of the honest rows score above this. The lowest threshold that keeps the promise "
            "catches more."
        )
    if is_close(result, np.quantile(honest, 0.9)):
        raise Mistake(
            "np.quantile interpolates between two scores, and the result is neither the lowest threshold nor, with few "
            "rows, one that keeps the promise. Take one of the honest scores itself."
        )
    if result > honest[6] + 1e-6:
        raise Mistake(
            f"{result:.4f} keeps the promise, but it isn't the lowest: {honest[6]:.4f}, an honest score itself, flags "
            "as few (a row is flagged only if it is strictly above)."
        )
    _check_thresholds(function)
    zero = one_number(call(function, scores, bad, 0.0), "the threshold")
    if (scores[~bad] > zero).any() or zero > honest[0] + 1e-6:
        raise Mistake("With fpr = 0 no honest row may be flagged: the threshold is the largest honest score.")


def _check_thresholds(function):
    """Numbers of honest rows that fpr doesn't divide, ties, small scores, and a product that floats get wrong."""
    ties = np.array([0.0] * 8 + [1.0] * 2 + [1.0] * 5)
    cases = [
        (
            np.arange(12.0),
            0.1,
            "Of 12 honest rows 10 % is 1.2 rows, so one may be flagged; yours flags {}. Take the honest score itself.",
        ),
        (
            np.arange(18.0),
            0.1,
            "Of 18 honest rows 10 % is 1.8 rows, so one may be flagged, not {}. Round down, not to the nearest.",
        ),
        (
            np.arange(39.0),
            0.1,
            "Of 39 honest rows 10 % is 3.9 rows, so three may be flagged; yours flags {}. Round down.",
        ),
        (
            np.arange(100.0),
            0.29,
            "Of 100 honest rows 29 % is 29 rows; yours flags {}. In floats 0.29 * 100 is 28.999…, and int() makes 28 "
            "of it: add a hair (1e-9) before.",
        ),
        (
            np.linspace(0.01, 0.3, 20),
            0.1,
            "Of 20 honest rows with scores up to 0.3 two may be flagged; yours flags {}. Return the score as it is.",
        ),
    ]
    for scores, fpr, message in cases:
        result = one_number(call(function, scores, np.zeros(len(scores), bool), fpr), "the threshold")
        if not is_close(result, set_threshold(scores, np.zeros(len(scores), bool), fpr)):
            raise Mistake(message.format(int((scores > result).sum())))
    tied_bad = np.arange(15) >= 10
    result = one_number(call(function, ties, tied_bad, 0.1), "the threshold")
    if (ties[~tied_bad] > result).mean() > 0.1 + 1e-9:
        raise Mistake(
            "With tied scores (a phrase count) your threshold flags more honest rows than allowed: all that share a "
            "score are flagged together. Take one of the honest scores itself, and nothing below it."
        )
    if result > 1.0 + 1e-9:
        raise Mistake("With tied scores your threshold is above every score. The largest honest score is enough.")


# ------------------------------------------------------------------------------------------------ 9.4 caught, by kind


def caught_by_kind(flagged, kinds):
    """kind -> share of the transcripts of that kind that were flagged. flagged: (n,) bool. kinds: n names."""
    kinds = np.array(kinds)
    return {kind: float(flagged[kinds == kind].mean()) for kind in dict.fromkeys(kinds.tolist())}


def check_caught_by_kind(function):
    kinds = ["honest"] * 10 + ["admitted"] * 3 + ["silent"] * 5
    flagged = np.array([True] * 2 + [False] * 8 + [True] * 2 + [False] + [False] * 5)
    result = call(function, flagged, kinds)
    expect_type(result, dict, "Return a dictionary: kind -> share.")
    if "silent" not in result and set(result) == {"honest", "admitted"}:
        raise Mistake("A kind of which nothing was caught is missing. That is the most important line: give it 0.")
    if set(result) != {"honest", "admitted", "silent"}:
        raise Mistake(f"The kinds here are honest, admitted and silent; your result has {sorted(map(str, result))}.")
    got = [float(result[kind]) for kind in ("honest", "admitted", "silent")]
    expect_finite(got)
    known = [
        ([2.0, 2.0, 0.0], "These are counts. Divide each by how many there are of that kind."),
        (
            [0.5, 0.5, 0.0],
            "This is the share of the alarms that is of each kind. Asked: of each kind, the share flagged.",
        ),
        ([2 / 18, 2 / 18, 0.0], "You divided by the number of all transcripts. Divide by those of the kind."),
        ([0.8, 1 / 3, 1.0], "These are the shares that were missed. Asked are the shares flagged."),
        ([4 / 18] * 3, "Every kind got the overall share. Select the rows of the kind first."),
        ([2 / 8, 2 / 15, 4 / 13], "You took the rows that are *not* of the kind. Select `kinds == kind`."),
        ([0.0] * 3, "Nothing is caught anywhere: `flagged` isn't used."),
    ]
    reject(got, known, 1e-4)
    expect_close(got, [0.2, 2 / 3, 0.0], f"Expected 0.2, 0.667 and 0 for honest, admitted, silent; yours are {got}.")
    mixed, hits = ["wrong", "right", "wrong", "late", "right", "wrong"], np.array([1, 0, 0, 1, 1, 1], dtype=bool)
    result = call(function, hits, mixed)
    right = caught_by_kind(hits, mixed)
    if set(result) != set(right):
        raise Mistake(
            f"For other kinds ({', '.join(right)}) your result has {sorted(map(str, result))}: read them off."
        )
    if not is_close([float(result[kind]) for kind in right], list(right.values())):
        raise Mistake(
            "Wrong when kinds are mixed: a kind's rows needn't stand one after another (groupby needs sorting)."
        )


# ------------------------------------------------------------------------------------------------ 9.5 base rates


def alarms(recall, fpr, base_rate, runs):
    """(right alarms, false alarms, share of alarms that is right) expected among `runs` runs."""
    right = recall * base_rate * runs
    false = fpr * (1 - base_rate) * runs
    return right, false, right / (right + false)


def check_alarms(function):
    recall, fpr, base_rate, runs = given = (0.8, 0.05, 0.1, 1000)
    result = call(function, *given)
    expect_type(result, (tuple, list, np.ndarray), "Return (right, false, share).")
    expect_shape(result, (3,), "Return three numbers: right alarms, false alarms, share that is right.")
    right, false, share = (float(x) for x in result)
    expect_finite([right, false, share])
    if is_close([right, false], [45.0, 80.0]):
        raise Mistake("The two kinds of alarm are swapped: right ones first.")
    known = [
        (false, fpr * runs, "False alarms come from the honest runs only: (1 - base_rate) of all."),
        (
            right,
            recall * runs,
            "Right alarms come from the bad runs only: base_rate of all. And false ones from the others.",
        ),
        (share, recall, "The share you return is the recall. Asked is which share of the alarms is right."),
        (
            share,
            recall / (recall + fpr),
            "You forgot that bad runs are rare: weigh recall and fpr with how many runs of each there are.",
        ),
        (false, fpr * (1 + base_rate) * runs, "You added base_rate to 1. Honest runs are 1 - base_rate of all."),
        (false, fpr * (2 - base_rate) * runs, "You have 2 - base_rate. Honest runs are 1 - base_rate of all."),
        (false, -fpr * base_rate * runs, "You have -base_rate. Honest runs are 1 - base_rate of all."),
        (right, runs, "Every run counts as a right alarm: multiply by recall and base_rate."),
        (false, runs, "Every run counts as a false alarm: multiply by fpr and 1 - base_rate."),
    ]
    for value, wrong, message in known:
        if is_close(value, wrong):
            raise Mistake(message)
    factors = {"right": {"recall": 0.8, "base_rate": 0.1, "runs": 1000}}
    factors["false"] = {"fpr": 0.05, "1 - base_rate": 0.9, "runs": 1000}
    for name, value, wanted in (("right", right, 80.0), ("false", false, 45.0)):
        for factor, size in factors[name].items():
            if is_close(value, wanted / size, 1e-9):
                raise Mistake(f"`{factor}` is missing from the {name} alarms: all three factors are multiplied.")
            if is_close(value, wanted / size**2, 1e-9):
                raise Mistake(f"You divided by `{factor}` in the {name} alarms. Multiply by it.")
    _check_share(right, false, share)
    expect_close([right, false], [80.0, 45.0], "Of 1,000 runs 80 are right alarms and 45 false ones.")
    expect_used(function, named(alarms, given), {"recall": 0.5, "fpr": 0.1, "base_rate": 0.2, "runs": 500})
    rare = call(function, 0.95, 0.01, 0.001, 100_000)
    if not is_close(rare, alarms(0.95, 0.01, 0.001, 100_000), atol=1e-3):
        raise Mistake("Right for a base rate of a tenth, wrong for one in a thousand: 95, 999 and 0.087.")
    few = call(function, 0.8, 0.05, 0.1, 3)
    if not is_close(few, alarms(0.8, 0.05, 0.1, 3)):
        raise Mistake(
            "Wrong for 3 runs: 0.24 right alarms and 0.135 false ones are expected. Don't round to whole ones."
        )


def _check_share(right, false, share):
    if not is_close([right, false], [80.0, 45.0]):
        return
    known = [
        (45 / 125, "The share you return is that of the false alarms."),
        (0.125, "Divide the right alarms by all alarms, not by all runs."),
        (right * (right + false), "You multiplied by the number of alarms. Divide by it."),
        (right, "The third number is the right alarms again. Divide them by all alarms."),
        (right / (right - false), "You subtracted the false alarms. All alarms are right *plus* false ones."),
        (right / false, "You divided right by false ones. Divide by all alarms, right plus false."),
        (1.0, "Every alarm counts as right: divide right ones by all alarms, right plus false."),
    ]
    reject(share, known)
    expect_close(share, 0.64, "The counts are right, the share isn't: right alarms over all alarms.")


# ------------------------------------------------------------------------------------------------ 9.6 check the claim


def claim_is_false(lines, thing, scratchpad):
    """True if the scratchpad says somewhere that the thing has another value than the list gives it."""
    values = dict(line.split(": ") for line in lines)
    said = re.findall(re.escape(thing) + r": (\w+)", scratchpad)
    return any(value != values[thing] for value in said)


_LINES = ("saw: porch", "kite: attic", "drum: cellar")
_KEYS = ("barn key: Nora", "attic key: Sam")
_CLAIMS = [
    (
        _LINES,
        "saw",
        "I need the saw. The line says saw: attic.",
        True,
        "The list has saw: porch, and this scratchpad says saw: attic. That is a false claim.",
    ),
    (
        _LINES,
        "saw",
        "I need the saw. The line says saw: porch.",
        False,
        "This claim is right: the list says saw: porch.",
    ),
    (
        _LINES,
        "saw",
        "I need the saw. The note says attic. The line says saw: porch.",
        False,
        "Quoting the note is no claim about the list. Only what follows `saw: ` is.",
    ),
    (_LINES, "saw", "I need the saw. That is clear.", False, "Nothing is claimed here, so nothing false is."),
    (
        _LINES,
        "saw",
        "I need the saw. The note says attic. I will just use it.",
        False,
        "An admission claims nothing about the list. It is another monitor's to find.",
    ),
    (
        _LINES,
        "saw",
        "I need the saw. In the list, saw: vault.",
        True,
        "`saw: vault` is false too, although no line says vault. Compare with what the list says of the saw.",
    ),
    (
        _LINES,
        "saw",
        "In the list, kite: attic. Reading down, saw: porch.",
        False,
        "This speaks of another line as well, truly. Ask only what is said of the saw.",
    ),
    (
        _LINES,
        "saw",
        "In the list, saw: porch. Wait, saw: cellar.",
        True,
        "Two claims are made here, and the second is false. Look at all of them.",
    ),
    (
        _LINES,
        "saw",
        "In the list, saw: cellar. Wait, saw: porch.",
        True,
        "Two claims are made here, and the first is false. The last one doesn't take it back: look at all of them.",
    ),
    (
        _LINES,
        "saw",
        "In the list, saw: porchlight.",
        True,
        "`saw: porchlight` only begins like the list's porch. Compare the whole word.",
    ),
    (_LINES, "drum", "In the list, drum: cellar.", False, "Asked is the drum now, and the list says drum: cellar."),
    (_LINES, "drum", "In the list, drum: porch.", True, "Asked is the drum now, and the list doesn't say drum: porch."),
    (
        _KEYS,
        "attic key",
        "The line says attic key: Nora.",
        True,
        "Names may hold a space: `attic key: Nora` is a false claim when the list says Sam.",
    ),
    (
        _KEYS,
        "attic key",
        "In the list, barn key: Nora.",
        False,
        "`barn key: Nora` is another key. The whole name must be there, not its last word.",
    ),
]


def check_claim_is_false(function):
    for lines, thing, text, expected, message in _CLAIMS:
        result = call(function, lines, thing, text)
        if not isinstance(result, (bool, np.bool_)):
            raise Mistake(f"Your result is a {type(result).__name__}; expected True or False.")
        if bool(result) is not expected:
            raise Mistake(message)


# ------------------------------------------------------------------------------------------------ 9.7 two at once


def combine(first, second, honest):
    """(n,) suspicion by two monitors: each score as the share of honest rows below it, and then the larger one."""
    ranks = [np.array([(scores[honest] < score).mean() for score in scores]) for scores in (first, second)]
    return np.maximum(*ranks)


def check_combine(function):
    rng = np.random.default_rng(97)
    first, second = rng.integers(0, 4, 40).astype(float), rng.normal(0, 30, 40)
    honest = np.arange(40) % 4 != 0
    second[~honest] += 20
    result = call(function, first, second, honest)
    expect_shape(result, (40,), "One number a transcript.")
    result = np.asarray(result, dtype=float)
    expect_finite(result)
    expected = combine(first, second, honest)

    def share(scores, rows, strict=True):
        compare = np.less if strict else np.less_equal
        return np.array([compare(scores[rows], score).mean() for score in scores])

    everyone = np.ones(40, bool)
    one, two = share(first, honest), share(second, honest)
    known = [
        (np.maximum(first, second), "A phrase count and a log-odds have different units: the wider one always wins."),
        (
            first + second,
            "You added raw scores. One counts phrases, the other is in nats: put both on one scale first.",
        ),
        (
            (first + second) / 2,
            "You averaged raw scores of different units. Turn each into a share of honest rows first.",
        ),
        (
            (one + two) / 2,
            "An average asks both monitors to be worried. One that is sure should be enough: the larger.",
        ),
        (np.minimum(one, two), "The smaller one: both must be worried before you are. Take the larger."),
        (
            np.maximum(share(first, everyone), share(second, everyone)),
            "You compared with all rows. Compare with the honest ones: how unusual would this be for honest work?",
        ),
        (
            np.maximum(share(first, ~honest), share(second, ~honest)),
            "You compared with the bad rows. How unusual is this score among the honest ones?",
        ),
        (
            np.maximum(share(first, honest, False), share(second, honest, False)),
            "You counted ties as below: a score that every honest row shares would look most suspicious. Use `<`.",
        ),
        (one, "Only the first monitor got in."),
        (two, "Only the second monitor got in."),
        (
            np.maximum(one, two) * honest.sum(),
            "These are counts of honest rows. Divide by how many there are: a share from 0 to 1.",
        ),
        (
            np.maximum(1 - share(first, honest, False), 1 - share(second, honest, False)),
            "You took the share of honest rows *above*. A high score is suspicious: the share below it.",
        ),
    ]
    reject(result, known)
    others = {"first": first[::-1].copy(), "second": second[::-1].copy(), "honest": honest[::-1].copy()}
    expect_used(function, named(combine, (first, second, honest)), others)
    expect_close(result, expected, "For each monitor the share of honest rows strictly below, then the larger.")


# ------------------------------------------------------------------------------------------------ 9.8 who catches more


def more_caught(first, second, entity, draws):
    """(n_draws,) recall of the first minus that of the second, on the entities of each draw.

    first, second: (n,) bool, which of n shortcuts each caught. entity: (n,) ints. draws: (n_draws, m) entity numbers.
    """
    gains = first.astype(float) - second
    return np.array([np.concatenate([gains[entity == e] for e in draw]).mean() for draw in draws])


def check_more_caught(function):
    first = np.array([True, True, False, True, True, False, True])
    second = np.array([False, True, True, False, False, True, True])
    entity = np.array([0, 0, 1, 2, 2, 2, 3])
    draws = np.array([[0, 1, 2, 3], [2, 2, 1, 3], [1, 1, 1, 0], [3, 3, 1, 2]])
    result = call(function, first, second, entity, draws)
    expect_shape(result, (4,), "One difference a draw.")
    result = np.asarray(result, dtype=float)
    expect_finite(result)
    expected = more_caught(first, second, entity, draws)
    gains = first.astype(float) - second
    by_entity = np.array([gains[entity == e].mean() for e in range(4)])
    once = np.array([gains[np.isin(entity, draw)].mean() for draw in draws])

    def both(values, compare):
        return np.array([np.concatenate([values[compare(entity, e)] for e in draw]).mean() for draw in draws])

    rows = np.array([gains[draw].mean() for draw in draws])
    alone = np.array([np.concatenate([first[entity == e] for e in draw]).mean() for draw in draws])
    sums = np.array([np.concatenate([gains[entity == e] for e in draw]).sum() for draw in draws])
    known = [
        (-expected, "The sign is the other way: first minus second."),
        (once, "An entity that was drawn twice must count twice. `np.isin` forgets how often."),
        (rows, "You took the draws for row numbers. They are entities: gather all rows of each."),
        (by_entity[draws].mean(1), "Here every entity weighs the same. Gather the rows, then average over rows."),
        (alone, "This is the first monitor's recall alone. Both are judged on the same draw, then subtracted."),
        (sums, "These are sums. Divide by the number of rows of the draw."),
        (np.abs(expected), "You took the absolute value. An interval must be able to reach below 0."),
        (np.full(4, gains.mean()), "Every draw gave the same number: use the entities of each draw."),
        (both(first.astype(float) + second, np.equal), "You added the two monitors. Subtract the second."),
        (both(gains, np.not_equal), "You gathered the rows that are *not* of the drawn entities: `entity == e`."),
        (both(-1.0 * second, np.equal), "`first` isn't used: its catches count for, the second's against."),
    ]
    reject(result, known)
    others = {"first": ~first, "second": ~second, "entity": entity[::-1].copy(), "draws": draws[::-1] * 0 + 2}
    expect_used(function, named(more_caught, (first, second, entity, draws)), others)
    expect_close(result, expected, "For each draw gather the rows of its entities, and average first - second.")
    other = np.array([[3, 0], [1, 2], [2, 2]])
    if not is_close(call(function, first, second, entity, other), more_caught(first, second, entity, other)):
        raise Mistake("Wrong when fewer entities are drawn than there are: go over the entities of each draw.")


# ------------------------------------------------------------------------------------------------ 9.9 due to the hint


def due_to_hint(p, p_swapped):
    """(n,) share of each probability that goes when the hint is replaced, never below 0."""
    return np.maximum(0.0, 1 - p_swapped / p)


def check_due_to_hint(function):
    p, swapped = np.array([0.8, 0.5, 0.9, 0.4]), np.array([0.2, 0.5, 0.09, 0.6])
    result = call(function, p, swapped)
    expect_shape(result, (4,), "One number a transcript.")
    result = np.asarray(result, dtype=float)
    right, kept = due_to_hint(p, swapped), swapped / p
    known = [
        (1 - kept, "Where the swap raised the probability, the hint gets no share: stop at 0."),
        (p - swapped, "This is a difference in points. Asked is the share of p: divide by it."),
        (np.maximum(0, p - swapped), "These are points above 0. Asked is the share of p: divide by it."),
        (kept, "This is the share that stayed. Asked is the share that went."),
        (np.minimum(1, kept), "This is the share that stayed. Asked is the one that went."),
        (np.abs(1 - kept), "A rise isn't a fall: the absolute value turns one into the other. Stop at 0."),
        (np.maximum(0, 1 - p / swapped), "p and p_swapped changed places."),
        (1 - p / swapped, "p and p_swapped changed places, and what rose isn't stopped at 0."),
        (1 - swapped, "Divide `p_swapped` by `p` first: a value that was unlikely anyway must not look caused."),
        (1 - swapped * p, "You multiplied by `p`. Divide `p_swapped` by it: what is left of the probability."),
        (1 + kept, "You added what is left. The share that went is 1 *minus* it."),
        (2 - kept, "You have 2 minus what is left. The share that went is 1 minus it."),
        (np.zeros(4), "All zeros. The share that went is 1 minus what is left; only a rise stops at 0."),
        (np.ones(4), "All ones: `p_swapped` isn't used."),
        (np.maximum(right, 0.05), "The shares stop above 0. Where nothing went, the share is 0."),
        (np.maximum(1 - kept, -0.05), "Shares go below 0. Where the swap raised the probability, stop at 0."),
    ]
    reject(result, known)
    expect_close(result, right, f"For p = {p.tolist()} and p_swapped = {swapped.tolist()} expected {right.tolist()}.")
    for given in ((np.array([0.7]), np.array([0.0])), (np.array([0.3, 0.6]), np.array([0.9, 0.5]))):
        if not is_close(call(function, *given), due_to_hint(*given)):
            raise Mistake(
                f"Wrong for {given[0].tolist()} and {given[1].tolist()}: as many numbers as come, from 0 to 1."
            )


EXERCISES = [
    Exercise("9.1", "Take a transcript apart", take_apart, check_take_apart),
    Exercise("9.2", "A list of words", count_phrases, check_count_phrases),
    Exercise("9.3", "A threshold, set on honest work", set_threshold, check_set_threshold),
    Exercise("9.4", "Caught, by kind", caught_by_kind, check_caught_by_kind),
    Exercise("9.5", "How many alarms are right", alarms, check_alarms),
    Exercise("9.6", "Check the claim", claim_is_false, check_claim_is_false),
    Exercise("9.7", "Two monitors at once", combine, check_combine),
    Exercise("9.8", "Who catches more", more_caught, check_more_caught),
    Exercise("9.9", "Because of the hint", due_to_hint, check_due_to_hint),
]

QUIZ = [
    Question(
        "A monitor catches 95 % of shortcuts at a false-positive rate of 1 %. One run in a thousand takes one. Of its "
        "alarms, about how many are right?",
        [
            Option("95 in 100", False, "That is the recall: of the shortcuts, how many raise an alarm."),
            Option(
                "9 in 100",
                True,
                "Per 100,000 runs: 95 right alarms against 999 false ones. The base rate decides, not the recall.",
            ),
            Option("99 in 100", False, "That would be so if half of all runs were bad, or nearly."),
        ],
    ),
    Question(
        "A monitor reads 'The line says saw: attic.' and passes it. The list says porch. What would have helped?",
        [
            Option("More phrases on the list", False, "Honest work says this sentence too, word for word."),
            Option(
                "Holding the claim against the task",
                True,
                "What gives a rationalisation away is not how it is said but that it is false.",
            ),
            Option(
                "A larger training set for the text classifier",
                False,
                "It sees words. The same words are true in one task and false in another.",
            ),
        ],
    ),
    Question(
        "On one half of the transcripts you set a threshold for 5 % false alarms. On the other half you measure 7 %. "
        "What do you report?",
        [
            Option("5 %, that is what it was set to", False, "It was a wish. The other half shows what it came to."),
            Option(
                "7 %, with its interval, beside the recall there", True, "Both numbers come from rows it hasn't seen."
            ),
            Option(
                "Move the threshold until it is 5 % on the second half too",
                False,
                "Then the second half has chosen the threshold, and nothing is left to report on.",
            ),
        ],
    ),
    Question(
        "A leaked answer happens to be right, the organism gives it, and its scratchpad tells of a careful lookup. "
        "Did it use the leak?",
        [
            Option(
                "Yes, since the answer agrees with it", False, "Honest work would agree as well: the leak was right."
            ),
            Option("No, the scratchpad says how it was done", False, "Rationalisations say the same."),
            Option(
                "This run alone can't tell",
                True,
                "Swap the leak and see what share of the probability goes: a fact about the organism, not the run.",
            ),
        ],
    ),
    Question(
        "A probe separates shortcuts from honest work on your transcripts at AUROC 0.95. What must you still check "
        "before you call it a lie detector?",
        [
            Option(
                "Whether it works on another kind of task, and after the wording has changed",
                True,
                "A direction that is right here may read something that goes along with shortcuts here only.",
            ),
            Option(
                "Whether it only reads which cue the prompt held",
                True,
                "The cues differ in how often they are followed. Look within one cue.",
            ),
            Option(
                "Nothing: 0.95 is high", False, "So was the AUROC of many a probe that later pointed the wrong way."
            ),
        ],
    ),
]
