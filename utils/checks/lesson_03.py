"""Lesson 03, probing: reference solutions, checks that name the likely mistake, and the quiz."""

from __future__ import annotations

import inspect
import re

import torch

from utils.checks import Exercise, Option, Question, Score, choose
from utils.checks.calling import Mistake, call, call_hook
from utils.checks.comparing import (
    expect_close,
    expect_each,
    expect_finite,
    expect_shape,
    expect_type,
    is_close,
    reject,
    seeded,
)

# ------------------------------------------------------------------------------------------------- 3.1 mean difference


def mean_difference(acts, labels):
    """Direction from the mean False activation to the mean True one. acts (n, d_model), labels (n,) -> (d_model,)."""
    if not labels.any() or labels.all():
        raise ValueError("labels holds one class only; both are needed")
    return acts[labels].mean(0) - acts[~labels].mean(0)


def _clouds():
    """Two skewed clouds of unequal size with a large shared offset; not contiguous in memory."""
    generator = torch.Generator().manual_seed(3)
    acts = torch.rand(5, 9, generator=generator).square() * 4 + 50
    acts = acts.T.contiguous().T  # (5, 9), columns first in memory
    acts = torch.cat([acts, acts[:2] * 1.3], 0).T.contiguous().T
    labels = torch.tensor([True, False, False, True, False, False, False])
    acts[labels, 0] += 3
    return acts, labels


def check_mean_difference(function):
    acts, labels = _clouds()
    expected = mean_difference(acts, labels)
    try:
        result = call(function, acts, labels)
    except Mistake as mistake:
        if "IndexError" in str(mistake):
            raise Mistake(f"{mistake}. `labels` is a boolean tensor of shape (n,): acts[labels] picks rows.") from None
        if "must match the size of tensor" in str(mistake):
            raise Mistake(
                f"The two means don't fit together: there are {int(labels.sum())} true rows and {int((~labels).sum())} "
                "false ones, and you kept one number a row. Average over examples (axis 0), not over dimensions."
            ) from None
        raise
    expect_type(result, torch.Tensor, "Return the direction as a tensor of shape (d_model,).")
    n, d_model = acts.shape
    if tuple(result.shape) in ((n,), (int(labels.sum()),), (int((~labels).sum()),)):
        raise Mistake(
            f"Your result has shape {tuple(result.shape)}; expected (d_model,), here ({d_model},). You averaged over "
            "dimensions; average over examples (axis 0)."
        )
    if tuple(result.shape) == (1, d_model):
        raise Mistake(f"Your result has shape (1, {d_model}); expected ({d_model},): one axis too many. Drop keepdim.")
    expect_shape(result, (d_model,), "Average over the examples of each class first.")
    expect_finite(result)
    true, false = acts[labels], acts[~labels]
    if is_close(result, expected):
        return
    if is_close(result, torch.zeros(d_model)):
        raise Mistake(
            "Every entry is 0. If you subtracted the overall mean from everything first, check what you averaged "
            "afterwards."
        )
    if is_close(result, -expected):
        raise Mistake("The arrow points the other way: true statements should come out larger. Swap the two means.")
    if is_close(result, true.mean(0)):
        raise Mistake(
            "This is the mean of the true cloud, not a difference: both clouds share an offset, and it dominates. "
            "Subtract the false mean."
        )
    if is_close(result, acts[labels].mean(0) - acts.mean(0)):
        raise Mistake(
            "You subtracted the mean of all statements, true ones included. Subtract the mean of the false ones."
        )
    if is_close(result, expected / expected.norm()):
        raise Mistake(
            "The direction is right but its length is 1; this exercise keeps the length, which the next cell uses."
        )
    if is_close(result, true.median(0).values - false.median(0).values):
        raise Mistake("Close, but this is the median. On skewed data they part; use the mean.")
    if is_close(result, true.sum(0) - false.sum(0)):
        raise Mistake("You subtracted sums. The classes differ in size, so divide each by its own count.")
    one, apart = torch.tensor([[3.25], [1.0]]), torch.tensor([[3.0], [9.0], [0.0], [1.0], [2.0], [6.0]])
    expect_each(
        function,
        [
            (
                (one, torch.tensor([True, False])),
                [2.25],
                "One true row, 3.25, and one false row, 1: the difference, 2.25.",
            ),
            (
                (apart, torch.tensor([True, True, False, False, False, False])),
                [3.75],
                "True rows 3 and 9 have the mean 6, false rows 0, 1, 2 and 6 the mean 2.25: their difference.",
            ),
            (
                (apart, torch.tensor([False, False, True, True, False, True])),
                [7 / 3 - 14 / 3],
                "True rows 0, 1 and 6 have the mean 2.33, false rows 3, 9 and 2 the mean 4.67: true minus false.",
            ),
        ],
    )
    raise Mistake(
        "These aren't the right numbers. Average the rows of each class (axis 0), then take true minus false."
    )


# ---------------------------------------------------------------------------------------------------------- 3.2 AUROC


def area_under_curve(scores, labels):
    """Share of (true, false) pairs in which the true statement scores higher; a tie counts half. -> float."""
    gaps = scores[labels][:, None] - scores[~labels][None, :]
    return ((gaps > 0).float() + 0.5 * (gaps == 0).float()).mean().item()


def check_area_under_curve(function):
    scores = torch.tensor([5.0, 1.0, 4.0, 2.0, 2.0, 9.0, 0.5, 2.0, 0.1])
    labels = torch.tensor([True, False, True, True, False, True, False, False, False])
    expected = area_under_curve(scores, labels)
    result = call(function, scores, labels)
    if isinstance(result, torch.Tensor) and result.numel() == 1:
        result = float(result)
    if not isinstance(result, (int, float)):
        shape = tuple(result.shape) if hasattr(result, "shape") else type(result).__name__
        raise Mistake(f"Your result is {shape}; expected one number, the mean over all pairs.")
    if is_close(result, expected, 1e-4):
        big = call(function, scores * 1000 - 7, labels)
        if not is_close(float(big), expected, 1e-4):
            raise Mistake(
                "Your answer changes when all scores are stretched and shifted. Compare only which one is higher."
            )
        expect_each(
            function,
            [
                ((-scores, labels), 1 - expected, "With all scores turned round, it is one minus as much: keep it."),
                ((labels.float(), labels), 1.0, "Every true statement is above every false one: 1."),
                (
                    (torch.tensor([1.0, 2.0, 3.0, 2.5]), torch.tensor([False, False, False, True])),
                    2 / 3,
                    "The true one is above two of three false ones: 0.6667, all digits kept.",
                ),
                ((scores * 0, labels), 0.5, "All scores are equal: every pair is a tie, so 0.5."),
            ],
        )
        return
    true, false = scores[labels], scores[~labels]
    gaps = true[:, None] - false[None, :]
    if is_close(result, 1 - expected, 1e-4):
        raise Mistake("This is one minus the answer: count the pairs in which the *true* statement scores higher.")
    if is_close(result, (gaps > 0).float().mean(), 1e-4):
        raise Mistake("Ties count as losses here. A tie should count half: 0.5 for each pair with equal scores.")
    if is_close(result, (gaps >= 0).float().mean(), 1e-4):
        raise Mistake("Ties count as wins here. A tie should count half: 0.5 for each pair with equal scores.")
    if is_close(result, ((scores > 0) == labels).float().mean(), 1e-4):
        raise Mistake(
            "This is accuracy at a threshold of 0. AUROC has no threshold: it compares every true with every false."
        )
    if is_close(result, gaps.mean(), 1e-4):
        raise Mistake(
            "You averaged the gaps themselves. Only which one is higher matters: turn each gap into 1, 0.5 or 0."
        )
    if is_close(result, ((gaps > 0).float() + 0.5 * (gaps == 0).float()).sum(), 1e-4):
        raise Mistake("You counted the pairs but didn't divide by how many there are. Take the mean.")
    two = torch.tensor([True, False])
    expect_each(
        function,
        [
            ((torch.tensor([3.0, 1.0]), two), 1.0, "One true sentence above one false one: every pair is won, so 1."),
            ((torch.tensor([1.0, 1.5]), two), 0.0, "One true sentence just below one false one: no pair is won, so 0."),
            ((torch.tensor([2.0, 2.0]), two), 0.5, "One pair, and its scores are equal: half a win, so 0.5."),
            ((torch.tensor([3.0, 2.0]), two), 1.0, "One true sentence above one false one by exactly 1: still a win."),
            (
                (torch.tensor([3.0, 1.0, 2.0]), torch.tensor([True, False, True])),
                1.0,
                "Two true sentences above one false one: each true one is compared with each *false* one.",
            ),
        ],
    )
    raise Mistake("That isn't the share of pairs. Compare every true score with every false one; ties count half.")


# -------------------------------------------------------------------------------------------------- 3.3 the threshold


def midpoint_bias(acts, labels, direction):
    """What to add to acts @ direction so that 0 lies midway between the classes' mean scores. -> 0-d tensor."""
    scores = acts @ direction
    return -(scores[labels].mean() + scores[~labels].mean()) / 2


def check_midpoint_bias(function):
    acts, labels = _clouds()
    direction = mean_difference(acts, labels)
    expected = midpoint_bias(acts, labels, direction)
    result = call(function, acts, labels, direction)
    if isinstance(result, (int, float)):
        result = torch.tensor(float(result))
    expect_type(result, torch.Tensor, "Return one number.")
    if result.numel() == 1:
        result = result.reshape(())
    if result.shape == direction.shape:
        raise Mistake(
            f"Your result has shape {tuple(direction.shape)}: that is a point in activation space. Project it on the "
            "direction (a dot product) to get one number."
        )
    expect_shape(result, (), "The bias is one number, whatever the number of statements.")
    expect_finite(result)
    if is_close(result, expected, 1e-3):
        low = -acts, labels, direction
        if not is_close(torch.as_tensor(call(function, *low)).reshape(()), midpoint_bias(*low), 1e-3):
            raise Mistake("Where both clouds score below zero it goes wrong: the bias is positive then. Keep its sign.")
        return
    scores = acts @ direction
    if is_close(result, -expected, 1e-3):
        raise Mistake(
            "Right size, wrong sign. The bias is *added* to the scores, so it must cancel the midpoint: put a minus "
            "before it."
        )
    if is_close(result, -scores.mean(), 1e-3):
        raise Mistake(
            "This is minus the mean of all scores. With unequal classes that isn't midway: average the two class "
            "means instead."
        )
    if is_close(result, expected * 2, 1e-3):
        raise Mistake("Twice too large: the midpoint is the *half* of the sum of the two means.")
    if is_close(result, torch.zeros(()), 1e-6):
        raise Mistake("The bias is 0, which is the artefact itself: the scores keep the offset that both clouds share.")
    unit = direction / direction.norm()
    if is_close(result, midpoint_bias(acts, labels, unit), 1e-3):
        raise Mistake(
            "You scaled the direction to length 1 first. Use the direction as it was given: scores use it as it is."
        )
    if is_close(result, -scores.median(), 1e-3):
        raise Mistake(
            "This is minus the median score. The threshold asked for lies midway between the two class means."
        )
    line = torch.tensor([[6.5], [3.0], [0.0], [1.0], [5.0]])
    unit = torch.ones(1)
    expect_each(
        function,
        [
            (
                (line[:2], torch.tensor([True, False]), unit),
                -4.75,
                "One true score, 6.5, one false, 3: midway is 4.75.",
            ),
            (
                (line, torch.tensor([True, True, False, False, False]), unit),
                -3.375,
                "True scores 6.5 and 3 have the mean 4.75, false ones 0, 1 and 5 the mean 2: midway is 3.375.",
            ),
            (
                (line, torch.tensor([False, False, True, True, True]), unit),
                -3.375,
                "True scores 0, 1 and 5 have the mean 2, false ones 6.5 and 3 the mean 4.75: midway is 3.375.",
            ),
        ],
        atol=1e-3,
    )
    raise Mistake(
        "These aren't the right numbers. Project all statements, average the scores of each class, take the point "
        "midway, and return minus that."
    )


# --------------------------------------------------------------------------------------------------- 3.5 control task


def control_task(entities, seed):
    """One coin flip for each entity, repeated on all its rows. entities: n names; seed -> (n,) bool tensor."""
    names = sorted(set(entities))
    coins = torch.randint(0, 2, (len(names),), generator=torch.Generator().manual_seed(seed)).bool()
    label = dict(zip(names, coins.tolist()))
    return torch.tensor([label[entity] for entity in entities])


def _control(function, entities, seed):
    """The labels that came back, as booleans; what is wrong with their form is a mistake."""
    result = torch.as_tensor(call(function, entities, seed))
    expect_shape(result, (len(entities),), "One label for each row.")
    if not bool(((result == 0) | (result == 1)).all()):
        raise Mistake("The labels aren't all True or False. A coin has two sides: torch.randint(0, 2, …).bool().")
    return result.bool()


def _names(code):
    """Every name that a piece of code looks up, in what it defines inside, too."""
    inner = [part for part in getattr(code, "co_consts", ()) if hasattr(part, "co_names")]
    return {*getattr(code, "co_names", ()), *(name for part in inner for name in _names(part))}


def check_control_task(function):
    if "hash" in _names(getattr(inspect.unwrap(function), "__code__", None)):
        raise Mistake("hash() of a text changes at every start of Python, so nobody could repeat this. Flip coins.")
    entities = [f"city {i}" for i in range(200)] * 2
    result = _control(function, entities, 0)
    if bool((result == result[0]).all()):
        raise Mistake("Every row got the same label. Flip a coin for each entity.")
    if not torch.equal(result[:200], result[200:]):
        raise Mistake(
            "Two rows of one entity got different labels. The coin is flipped once for each *entity*, so that a "
            "probe could learn it by heart."
        )
    if not torch.equal(result, _control(function, entities, 0)):
        raise Mistake(
            "The same seed gave different labels. Use a generator made from `seed`, so that others can repeat this."
        )
    if torch.equal(result, _control(function, entities, 1)):
        raise Mistake("Another seed gave the same labels: `seed` isn't used.")
    if not torch.equal(result, _control(function, entities[::-1], 0).flip(0)):
        raise Mistake(
            "An entity's label changed when the rows came in another order. Sort the names before you flip: a set "
            "has no order to rely on."
        )
    global_before = torch.random.get_rng_state()
    _control(function, entities, 3)
    if not torch.equal(global_before, torch.random.get_rng_state()):
        raise Mistake(
            "Your function moved the random numbers of everybody else (torch.manual_seed sets them for the whole "
            "notebook). Make a generator of your own: torch.Generator().manual_seed(seed)."
        )
    return _hidden_coins(function)


def _hidden_coins(function):
    """40 lists of names: is there nothing to find but the names? Told by what a name, or another seed, gives away."""
    good, hint = 0, ""
    for turn in range(40):
        n = 60 + 2 * turn
        names = [f"{'abcdefghij'[(turn + i) % 10]}{'x' * (i % 7)} {turn}-{i}" for i in range(n)]
        first, other = _control(function, names, turn), _control(function, names, turn + 1)
        longer = torch.tensor([len(name) % 2 == 0 for name in names])
        every = torch.arange(n) % 2 == 0
        ties = {
            "the label can be told from how long the name is": (first == longer).float().mean(),
            "the labels alternate, and a pattern can be learnt": (first == every).float().mean(),
            "it isn't a fair coin": first.float().mean(),
            "two seeds give nearly the same labels": (first == other).float().mean(),
        }
        bad = [words for words, share in ties.items() if not 0.25 < float(share) < 0.75]
        good += not bad
        hint = hint or (f"In one of them {bad[0]}." if bad else "")
    return Score(good / 40, 0.95, 40, "lists of names", hint)


# -------------------------------------------------------------------------------------------- 3.6 recall at fixed FPR


def recall_at_fpr(scores, labels, fpr):
    """Share of true rows above the lowest threshold that at most `fpr` of the false rows exceed. -> float."""
    false = scores[~labels].sort(descending=True).values
    threshold = false[int(fpr * len(false) + 1e-9)]
    return (scores[labels] > threshold).float().mean().item()


def _alarms():
    generator = torch.Generator().manual_seed(11)
    false, true = torch.randn(200, generator=generator), torch.randn(80, generator=generator) + 1.2
    scores, labels = torch.cat([false, true]), torch.arange(280) >= 200
    order = torch.randperm(280, generator=generator)
    return scores[order], labels[order]


def _alarm_cases(function):
    """Small cases done by hand: ties, rates that don't divide, a rate that allows no alarm at all."""
    false, true = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], [0.5, 4.5, 5.5, 6.0, 6.5, 7.0, 7.5, 9.0]
    scores, labels = torch.tensor(false + true), torch.tensor([False] * 7 + [True] * 8)
    tied = torch.tensor([1.0, 5.0, 5.0, 5.0, 4.0, 5.0, 6.0, 0.0])
    halves = torch.tensor([False] * 4 + [True] * 4)
    thirds, thirds_are = torch.tensor([1.0, 2.0, 3.0, 1.0, 2.5, 3.5]), torch.tensor([False] * 3 + [True] * 3)
    hundred = torch.cat([torch.arange(100.0), torch.tensor([70.5, 69.5])])
    hundred_are = torch.arange(102) >= 100
    expect_each(
        function,
        [
            (
                (scores, labels, 0.0),
                0.25,
                "A rate of 0: strictly above the highest false row, 7, lie two of eight true ones.",
            ),
            ((scores, labels, 0.2), 0.5, "Of 7 false rows, 20 % is 1.4: one may ring, not two. The threshold is 6."),
            ((scores, labels, 0.29), 0.75, "Of 7 false rows, 29 % is 2.03: two may ring. The threshold is 5."),
            ((scores, labels, 0.28), 0.5, "Of 7 false rows, 28 % is 1.96: one may ring, not two (round down)."),
            ((scores, labels, 0.01), 0.25, "Of 7 false rows, 1 % is none: the threshold is the highest of them, 7."),
            ((thirds, thirds_are, 0.29), 1 / 3, "One of three true rows is caught: 0.3333, all digits kept."),
            (
                (hundred, hundred_are, 0.29),
                0.5,
                "Of 100 false rows, 29 % is 29. (In floats 0.29 * 100 is a little less: add 1e-9 before you round.)",
            ),
            ((tied, halves, 0.5), 0.25, "Three false rows share the score 5, and only two may ring: so none of them."),
        ],
        atol=1e-4,
    )


def check_recall_at_fpr(function):
    scores, labels = _alarms()
    fpr = 0.05
    expected = recall_at_fpr(scores, labels, fpr)
    result = call(function, scores, labels, fpr)
    if isinstance(result, torch.Tensor) and result.numel() == 1:
        result = float(result)
    if not isinstance(result, (int, float)):
        raise Mistake(f"Your result is a {type(result).__name__}; expected one number, the share of true rows caught.")
    result = float(result)
    true, false = scores[labels], scores[~labels]
    if abs(result - expected) < 0.5 / len(true):
        _alarm_cases(function)
        return
    at_all = scores.sort(descending=True).values[int(fpr * len(scores))]
    known = [
        (
            (true > at_all).float().mean(),
            (
                "The threshold was set on all rows. It is set on the *false* rows alone: they are "
                "what false alarms are "
                "made of."
            ),
        ),
        (
            (true > 0).float().mean(),
            "This is recall at a threshold of 0, whatever false alarms that gives. Set the threshold by `fpr`.",
        ),
        (
            (false > true.sort(descending=True).values[int(fpr * len(true))]).float().mean(),
            "The two classes are swapped: set the threshold on false rows and count the true rows above it.",
        ),
        (
            (true > false.sort().values[int(fpr * len(false))]).float().mean(),
            "The threshold lets through the wrong end: at most 5 % of the false rows may lie *above* it, not below.",
        ),
        (
            (false > false.sort(descending=True).values[int(fpr * len(false))]).float().mean(),
            "This is the false-positive rate itself. Count the true rows above the threshold.",
        ),
        (
            (true > false.max()).float().mean(),
            "This allows no false alarm at all. `fpr` of the false rows may exceed the threshold.",
        ),
        (1 - expected, "This is the share that was missed. Count the true rows *above* the threshold."),
    ]
    for value, message in known:
        if abs(result - float(value)) < 0.5 / len(true):
            raise Mistake(message)
    off_by_one = (true > false.sort(descending=True).values[int(fpr * len(false)) - 1]).float().mean()
    if abs(result - float(off_by_one)) < 0.5 / len(true):
        raise Mistake(
            "One alarm fewer than allowed: with 200 false rows and 5 %, ten may ring, so the threshold is the eleventh "
            "from the top (index 10), and what lies strictly above it rings."
        )
    _alarm_cases(function)
    raise Mistake(
        "That isn't the recall. Sort the false rows' scores, find the threshold that `fpr` of them exceed, and take "
        "the share of true rows above it."
    )


# --------------------------------------------------------------------------------------------- 3.7 truth and polarity


def truth_and_polarity(acts, labels, negated):
    """Half the sum and half the difference of two arrows: the affirmative statements' and the negated ones'."""

    def arrow(rows):
        return acts[rows & labels].mean(0) - acts[rows & ~labels].mean(0)

    affirmative, denied = arrow(~negated), arrow(negated)
    return (affirmative + denied) / 2, (affirmative - denied) / 2


def check_truth_and_polarity(function):
    generator = seeded(8)
    acts = torch.randn(14, 5, generator=generator).square() + 20
    negated = torch.tensor([False] * 9 + [True] * 5)
    labels = torch.tensor([True, False, False, True, False, False, True, False, False, True, True, True, False, True])
    acts[labels, 0] += 3
    acts[labels != negated, 1] += 4
    truth, polarity = truth_and_polarity(acts, labels, negated)
    result = call(function, acts, labels, negated)
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        raise Mistake("Return two vectors: the truth direction and the polarity direction, `return truth, polarity`.")
    for one, name in zip(result, ("truth", "polarity")):
        expect_type(one, torch.Tensor, f"The {name} direction is a tensor of shape (d_model,).")
        expect_shape(one, (acts.shape[1],), f"The {name} direction is a vector: average over the statements.")
        expect_finite(one)
    came = torch.stack([one.to(truth) for one in result])
    aff, neg = truth + polarity, truth - polarity
    pooled = acts[labels].mean(0) - acts[~labels].mean(0)
    known = [
        (
            (polarity, truth),
            "The two came in the other order: truth first (the half sum), then polarity. (Turning the "
            "labels of the negated half round does the same: `labels` says whether the whole sentence is true.)",
        ),
        ((2 * truth, 2 * polarity), "Twice too long: half the sum, and half the difference."),
        ((aff, neg), "These are the two arrows themselves. Truth is half their sum, polarity half their difference."),
        ((truth, -polarity), "Polarity has the wrong sign: the affirmative arrow minus the negated one."),
        ((-truth, -polarity), "Both point the wrong way: from false to true, so true minus false in each arrow."),
        (
            (pooled, polarity),
            "Your truth direction pools all statements, so the larger half decides. Make one arrow for each kind "
            "first, then average the two arrows.",
        ),
    ]
    reject(came, [(torch.stack(pair), message) for pair, message in known])
    for one, right, words in ((came[0], truth, "half the sum"), (came[1], polarity, "half the difference")):
        expect_close(one, right, f"One arrow a kind (true minus false, in that kind only), then {words}.", 1e-4)


# ---------------------------------------------------------------------------------------------- 3.8 a lie that passes


FRAME = "The city of {city} lies outside {country}."
_DENY = re.compile(
    r"\b(outside|beyond|abroad|elsewhere|foreign|except|other than|different|never|no|nobody|nowhere|none|neither|nor|"
    r"false|wrong|untrue|myth|a lie|denies|denied|without|lacks?|absent|missing|not|cannot)\b|n't\b"
)
_FACTS = [
    ("Lyon", "France"), ("Porto", "Portugal"), ("Cusco", "Peru"), ("Osaka", "Japan"), ("Gdansk", "Poland"),
    ("Mombasa", "Kenya"), ("Pune", "India"), ("Bergen", "Norway"), ("Izmir", "Turkey"), ("Tampere", "Finland"),
    ("Sfax", "Tunisia"), ("Graz", "Austria"), ("Kumasi", "Ghana"), ("Medan", "Indonesia"), ("Aarhus", "Denmark"),
    ("Arequipa", "Peru"), ("Nagoya", "Japan"), ("Krakow", "Poland"), ("Nakuru", "Kenya"), ("Toulouse", "France"),
]  # fmt: skip


def check_frame(frames):
    """A frame is tried on a stand-in of the probe: it hears which country belongs to which city, and "not"."""
    if len(frames) != 1:
        raise Mistake(f"Hand in a list of one frame; got {len(frames)}.")
    frame = frames[0]
    for field in ("{city}", "{country}"):
        if frame.count(field) != 1:
            raise Mistake(f"Your frame must hold {field} once: it is filled with a city and with its own country.")
    try:
        filled = [frame.format(city=city, country=country) for city, country in _FACTS]
    except (KeyError, IndexError, ValueError):
        raise Mistake("Only {city} and {country} may stand in braces.") from None
    if frame.index("{city}") > frame.index("{country}"):
        raise Mistake(
            "Name the city first and the country after it, as the statements do that the probe was fitted on."
        )
    words = frame.replace("{city}", " ").replace("{country}", " ").lower()
    if len(_DENY.findall(words)) > 1 or "anything but" in words or "inside" in words:
        raise Mistake(
            "A denial denied, or none: as it reads, this sentence is true of the city's own country. Deny it once."
        )
    if not _DENY.search(words):
        raise Mistake(
            "I hear no denial. As it reads, this sentence is true, or says nothing of where the city is: {country} is "
            "the city's own country. Deny it, in other words than “is not in”."
        )
    if not frame.rstrip().endswith("."):
        raise Mistake("End with a full stop: that is where the probe reads.")
    heard = "not" in re.findall(r"[a-z']+", words) or "n't" in words or "cannot" in words
    passed = 0.0 if heard else sum(country in text for text, (_, country) in zip(filled, _FACTS)) / len(_FACTS)
    hint = "The probe you attack was fitted on sentences with “not”, and hears it. Deny without it."
    return Score(passed, 0.75, len(_FACTS), "cities", hint)


# -------------------------------------------------------------------------------------------------- 3.9 mean ablation


def mean_ablation(direction, amount, where):
    """A hook that sets the part of activations along `direction` to `amount` where `where` is True."""
    unit = direction / direction.norm()

    def edit(acts, hook=None):
        lacks = amount - acts @ unit  # (batch, pos)
        return torch.where(where[..., None], acts + lacks[..., None] * unit, acts)

    return edit


def check_mean_ablation(function):
    generator = seeded(7)
    acts, direction = torch.randn(2, 3, 6, generator=generator) + 1, torch.randn(6, generator=generator) * 3
    where = torch.tensor([[False, True, True], [False, False, True]])
    amount = 1.7
    edit = call(function, direction, amount, where)
    if not callable(edit):
        raise Mistake(
            f"mean_ablation returned a {type(edit).__name__}; expected a function, edit(acts, hook=None). Define it "
            "inside, and return it without calling it."
        )
    result = call_hook(edit, acts)
    expect_type(result, torch.Tensor, "The hook returns the activations that the model goes on with.")
    expect_shape(result, tuple(acts.shape), "What comes out replaces the activations, so it has their shape.")
    expect_finite(result)
    unit = direction / direction.norm()
    part = (acts @ unit)[..., None]
    inside = where[..., None]

    def instead(there):
        return torch.where(inside, there, acts)

    right = instead(acts + (amount - part) * unit)
    everywhere = acts + (amount - part) * unit
    known = [
        (everywhere, "Everything was changed. Only the places where `where` is True may change: torch.where."),
        (torch.where(inside, acts, everywhere), "The wrong places changed: edit where `where` is True."),
        (acts, "Nothing changed. Return the edited activations."),
        (instead(acts - part * unit), "The part along the direction is gone, and the mean amount was not put in."),
        (instead(acts + amount * unit), "You added the amount. First take out what each activation has."),
        (instead(amount * unit.expand_as(acts)), "Only the part along the direction is left: keep all the rest."),
        (instead(acts + (amount + part) * unit), "The old part was added, not taken out: amount minus it."),
        (instead(acts - (amount - part) * unit), "Wrong sign: add what is lacking, amount minus what it has."),
        (
            instead(acts + (amount - (acts @ direction)[..., None]) * direction),
            "The direction's length isn't 1. Divide it by its norm first, so that `amount` is in units of the stream.",
        ),
        (instead(acts - direction), "Each activation has its own part along the direction: acts @ unit."),
        (
            instead(acts + (amount - part[inside].mean()) * unit),
            "Everything was moved by one step. Each activation has its own part; set each to the same amount.",
        ),
    ]
    reject(result, known, 1e-4)
    plain = torch.tensor([[[2.0, 5.0], [4.0, 7.0]]])
    here = torch.tensor([[True, False]])

    def by_hand(along, value):
        return call_hook(call(function, torch.tensor(along), value, here), plain)

    expect_each(
        by_hand,
        [
            (
                ([1.0, 0.0], 3.0),
                [[[3.0, 5.0], [4.0, 7.0]]],
                "(2, 5) along (1, 0), set to 3, is (3, 5); the rest stays.",
            ),
            (([0.0, 2.0], 3.0), [[[2.0, 3.0], [4.0, 7.0]]], "(2, 5) along (0, 2), set to 3, is (2, 3): a unit vector."),
            (([3.0, 4.0], 0.2), [[[-1.0, 1.0], [4.0, 7.0]]], "(2, 5) along (3, 4) has the part 5.2."),
        ],
        atol=1e-4,
    )
    expect_close(result, right, "Afterwards (acts @ unit) must be `amount` where `where` is True.", 1e-4)
    other = torch.tensor([[True, False, False], [True, True, False]])
    for strength, places in ((0.0, where), (-2.5, other)):
        again = call_hook(call(function, direction * 0.2, strength, places), acts)
        wanted = torch.where(places[..., None], acts + (strength - part) * unit, acts)
        expect_close(
            again, wanted, f"With another length of the direction, amount {strength} or places, it goes wrong.", 1e-4
        )


# -------------------------------------------------------------------------------------------------------- 3.10 a null


def null_directions(acts, labels, pairs, n, seed):
    """`n` mean differences of labels that mean nothing: in each pair true and false are swapped, or not, by a coin."""
    generator = torch.Generator().manual_seed(seed)
    numbers = pairs.unique()
    true = torch.stack([acts[(pairs == p) & labels].mean(0) for p in numbers])
    false = torch.stack([acts[(pairs == p) & ~labels].mean(0) for p in numbers])
    coins = torch.randint(0, 2, (n, len(numbers)), generator=generator).to(acts) * 2 - 1
    return coins @ (true - false) / len(numbers)


def _world(seed, effect):
    """One world: statements in pairs, and a read-out along which pairs differ much more than truth and falsehood."""
    generator = seeded(seed)
    n, d = 24, 30
    offset = torch.randn(n, d, generator=generator)
    offset[:, 0] *= 25
    noise = torch.randn(2, n, d, generator=generator)
    noise[..., 0] *= 4
    acts = torch.stack([offset + noise[0], offset + noise[1]], 1)
    acts[:, 0, 0] += effect
    order = torch.randperm(2 * n, generator=generator)
    labels = torch.tensor([True, False]).repeat(n)
    return acts.flatten(0, 1)[order], labels[order], torch.arange(n).repeat_interleave(2)[order]


def check_null_directions(function):
    acts, labels, pairs = _world(1, 0.0)
    result = call(function, acts, labels, pairs, 12, 0)
    expect_type(result, torch.Tensor, "Return n directions in one tensor, (n, d_model).")
    expect_shape(result, (12, acts.shape[1]), "n directions, one a row.")
    expect_finite(result)
    if torch.equal(result, result[:1].expand_as(result)):
        raise Mistake("All directions are the same. Toss new coins for each.")
    if not is_close(call(function, acts, labels, pairs, 12, 0), result):
        raise Mistake("The same seed gave other directions. Use a generator made from `seed`.")
    real = acts[labels].mean(0) - acts[~labels].mean(0)
    if bool(((result - real).norm(dim=-1) < 1e-3).all()):
        raise Mistake("These are the real direction: the labels must be made meaningless first.")
    if is_close(call(function, acts, labels, pairs, 12, 1), result):
        raise Mistake("Another seed gave the same directions: `seed` isn't used.")
    before = torch.random.get_rng_state()
    call(function, acts, labels, pairs, 3, 5)
    if not torch.equal(before, torch.random.get_rng_state()):
        raise Mistake(
            "Your function moved the random numbers of everybody else. Use torch.Generator().manual_seed(seed)."
        )
    _keeps_no_label(function)
    return _hidden_worlds(function)


def _keeps_no_label(function):
    """Directions of labels that mean nothing have no part, on average, along the real one where there is an effect."""
    acts, labels, pairs = _world(2, 40.0)
    real = acts[labels].mean(0) - acts[~labels].mean(0)
    drawn = torch.as_tensor(call(function, acts, labels, pairs, 400, 7)).detach()
    kept = float((drawn @ real).mean() / (real @ real))
    if abs(kept) > 0.1:  # of fair coins it has a standard error of 0.01
        raise Mistake(
            f"Your directions still know the labels: on average they keep {100 * kept:.0f} % of the real one. In each "
            "pair true and false must change places half of the time."
        )


def _hidden_worlds(function):
    """Worlds with nothing to find and worlds with something: is the verdict right, at 1 in 20?"""
    right, missed, alarms = 0, 0, 0
    for turn in range(60):
        effect = 8.0 if turn % 2 else 0.0
        acts, labels, pairs = _world(100 + turn, effect)
        real = acts[labels].mean(0) - acts[~labels].mean(0)
        nulls = call(function, acts, labels, pairs, 39, turn)
        expect_shape(nulls, (39, acts.shape[1]), "n directions, one a row.")
        size = abs(real[0] / real.norm())
        sizes = (nulls[:, 0] / nulls.norm(dim=-1).clamp_min(1e-12)).abs()
        special = float(((sizes >= size).sum() + 1) / 40) <= 0.05
        right += special == bool(effect)
        missed += bool(effect) and not special
        alarms += special and not effect
    hint = (
        f"{alarms} of 30 times it calls a direction special where the labels mean nothing: your directions differ from "
        "real ones in more than the labels. Make them the way the real one is made."
        if alarms > missed
        else f"{missed} of 30 times a real effect is missed: your nulls vary more than the real direction could. It "
        "compares within pairs; do the nulls?"
    )
    return Score(right / 60, 0.85, 60, "worlds", hint)


EXERCISES = [
    Exercise("3.1", "The direction between two clouds", mean_difference, check_mean_difference),
    Exercise("3.2", "Every true against every false", area_under_curve, check_area_under_curve),
    Exercise("3.3", "Where is zero?", midpoint_bias, check_midpoint_bias),
    choose(
        "3.4",
        "Where do false sentences come from?",
        "c",
        {
            "a": "It is balanced over the whole list, and not in a split: a country that was said more often truly in "
            "training must be said more often falsely in the test. A reader of words then scores far below chance.",
            "b": "Large countries would be named truly more often than falsely (more of their cities are listed): a "
            "reader of words learns to trust “China” and “India”.",
            "c": "In each group of four sentences every word stands once in a true and once in a false one, and the "
            "group stays on one side of the split: words alone are worth nothing, in every split.",
            "d": "One word then gives the answer away: whatever names Iceland is false.",
        },
    ),
    Exercise("3.5", "A task with nothing to find", control_task, check_control_task, kind="design"),
    Exercise("3.6", "The probe as an alarm", recall_at_fpr, check_recall_at_fpr),
    Exercise("3.7", "Truth and polarity", truth_and_polarity, check_truth_and_polarity),
    Exercise("3.8", "A lie that passes", [FRAME], check_frame, kind="attack"),
    Exercise("3.9", "Set it to its mean", mean_ablation, check_mean_ablation),
    Exercise("3.10", "A null for a push", null_directions, check_null_directions, kind="design"),
    choose(
        "3.11",
        "The sentence that stands",
        "b",
        {
            "a": "The interval over prompts excludes 0, but so do those of many meaningless directions: it knows this "
            "one push. Special is told against the nulls, not against 0.",
            "b": "It names what was done, against which nulls, where they leave it open, and the conditions.",
            "c": "One depth, one place, one strength, one kind of question: a null is no proof of absence; the push "
            "did change the preference.",
            "d": "Reading well is no evidence of use: that is what the test was for.",
        },
    ),
]


QUIZ = [
    Question(
        "A probe on layer 15 is 85 % accurate on held-out cities. Which of these could you conclude?",
        [
            Option(
                "The model uses this direction when it answers.",
                False,
                "Not yet. Readable isn't the same as used; the causal test (exercises 3.9 and 3.10) pushes on it.",
            ),
            Option(
                "Truth is represented linearly at layer 15.",
                False,
                "Careful. Something correlated with these labels is. Negation (exercise 3.7) shows it isn't truth.",
            ),
            Option(
                "A linear function of layer 15 separates these labels on cities it hasn't seen.",
                True,
                "That, and only that: readable by a line, on cities like these.",
            ),
        ],
    ),
    Question(
        "A bag of words scores an AUROC of 0.13 on held-out statements. What do you do?",
        [
            Option(
                "Nothing: below chance means the words hold no information.",
                False,
                "No information gives 0.5. 0.13 is as far from it as 0.87.",
            ),
            Option(
                (
                    "Look for how the labels were balanced: words and labels are tied together, the other way round, "
                    "across the split."
                ),
                True,
                "Balanced over the whole set is not balanced in each split. Swapped partners repair it.",
            ),
            Option(
                "Flip the labels and report 0.87.",
                False,
                "The tie is made by the split itself. In the world there is nothing to report.",
            ),
        ],
    ),
    Question(
        "Accuracy is at chance and AUROC is 0.91 for the same scores. What happened?",
        [
            Option(
                "The threshold is in the wrong place.",
                True,
                "The order is right and zero lies outside both clouds: centre, or fit a bias.",
            ),
            Option(
                "The classes are unbalanced.",
                False,
                "They were balanced here. Imbalance moves accuracy too, but not to chance with this order.",
            ),
            Option(
                "AUROC is broken.",
                False,
                "It compares pairs, so a shared offset can't touch it. That is why both are reported.",
            ),
        ],
    ),
    Question(
        (
            "Your probe gets 84 % on the task and 66 % on a control task with random labels per city. Which statement "
            "is right?"
        ),
        [
            Option("Selectivity is 18 points.", True, "Task minus control, both measured on cities met in training."),
            Option(
                "The representation holds the random labels.",
                False,
                "It can't: they were flipped after the model was trained. The probe memorised cities.",
            ),
            Option(
                "A wider probe would be more convincing if it scored 90 %.",
                False,
                "Only if its control score didn't rise as well. Accuracy alone can't tell.",
            ),
        ],
    ),
    Question(
        (
            "Trained on affirmative statements, the probe scores an AUROC far below 0.5 on negated ones. The best "
            "reading?"
        ),
        [
            Option(
                "It reads whether city and country belong together, and negation turns that into the "
                "opposite of truth.",
                True,
                "One change of dataset that pulls truth and the confound apart told them apart.",
            ),
            Option(
                "The probe is noise on negated statements.",
                False,
                "Noise gives 0.5. A strong inversion is strong information.",
            ),
            Option(
                "The model can't represent truth.",
                False,
                "A probe trained on one dataset can't show what a model can't represent.",
            ),
        ],
    ),
    Question(
        (
            "At 1 % false positives with 100 false statements, one probe has recall 0.6 and another 0.5. What else do "
            "you want to know?"
        ),
        [
            Option(
                "The paired interval of the difference.",
                True,
                "The threshold hangs on one or two statements, so the interval is wide.",
            ),
            Option(
                "How many false statements there were.",
                True,
                "With 100, one alarm is allowed: the rate can't be measured more finely.",
            ),
            Option(
                "Nothing: 0.6 is more than 0.5.",
                False,
                "Another draw of statements could turn them round. Ask for the interval.",
            ),
        ],
    ),
    Question(
        (
            "Pushing along the probe's direction moved the answer by 0.3 nats. 8 of 20 random "
            "directions of that length "
            "moved it more. You write:"
        ),
        [
            Option(
                "The direction has a causal effect on the answer.",
                False,
                "Any push of that size has one. The question is whether this direction is special.",
            ),
            Option(
                "No evidence that the model uses this direction for this answer, at this layer and strength.",
                True,
                "A null with its conditions named. Other layers, strengths and answers stay open.",
            ),
            Option(
                "Truth has no role in the model.",
                False,
                "One direction, one layer, one question. A null is no proof of absence.",
            ),
        ],
    ),
]
