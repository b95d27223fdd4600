"""Lesson 03, probing: reference solutions, checks that name the likely mistake, and the quiz."""

from __future__ import annotations

from collections import Counter

import torch

from utils.checks import Exercise, Option, Question
from utils.checks.calling import Mistake, call
from utils.checks.comparing import expect_finite, expect_shape, expect_type, is_close

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
    expect_shape(result, (d_model,), "Average over the examples of each class first.")
    expect_finite(result)
    true, false = acts[labels], acts[~labels]
    if is_close(result, expected):
        _again_on_other_types(function)
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
    raise Mistake(
        "These aren't the right numbers. Average the rows of each class (axis 0), then take true minus false."
    )


def _again_on_other_types(function):
    acts, labels = _clouds()
    acts = acts.double()
    if not is_close(call(function, acts, labels), mean_difference(acts, labels)):
        raise Mistake("It works for float32 and not for float64: don't create tensors of a fixed dtype.")


# ------------------------------------------------------------------------------------------------- 3.2 the threshold


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
    raise Mistake(
        "These aren't the right numbers. Project all statements, average the scores of each class, take the point "
        "midway, and return minus that."
    )


# ------------------------------------------------------------------------------------------------- 3.3 group split


def split_by_group(groups, held_out):
    """Row numbers (train, test), two lists: a row is tested when its group is in held_out."""
    train = [row for row, group in enumerate(groups) if group not in held_out]
    test = [row for row, group in enumerate(groups) if group in held_out]
    return train, test


def check_split_by_group(function):
    groups = ["Lima", "Paris", "Lima", "Oslo", "Paris", "Rome", "Oslo", "Rome", "Lima"]
    held_out = {"Oslo", "Lima"}
    train, test = split_by_group(groups, held_out)
    result = call(function, groups, held_out)
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        raise Mistake("Return two things: the training rows and the test rows.")
    rows = []
    for part in result:
        values = part.tolist() if hasattr(part, "tolist") else list(part)
        if len(values) == len(groups) and all(isinstance(v, bool) for v in values):
            values = [i for i, v in enumerate(values) if v]
        rows.append(values)
    got_train, got_test = rows
    if any(isinstance(v, str) for v in got_train + got_test):
        raise Mistake("You returned names of groups. Return row numbers: `enumerate(groups)` gives them.")
    if got_train and got_test and set(got_train) == set(test) and set(got_test) == set(train):
        raise Mistake("Train and test are swapped: the held-out groups are the ones to test on. Return (train, test).")
    shared = {groups[i] for i in got_train} & {groups[i] for i in got_test}
    if shared:
        raise Mistake(
            f"{sorted(shared)[0]} is on both sides: the probe would be tested on an entity it has "
            f"met. Decide by group, "
            "not by row."
        )
    if len(got_train) != len(set(got_train)) or len(got_test) != len(set(got_test)):
        raise Mistake("A row appears twice. Each row belongs to one side, once.")
    if len(got_train) + len(got_test) < len(groups):
        raise Mistake(
            f"{len(groups) - len(got_train) - len(got_test)} of {len(groups)} rows are on neither "
            f"side: every row of a "
            "group goes with its group, not the first one only."
        )
    if sorted(got_train) != train or sorted(got_test) != test:
        raise Mistake(
            "Groups don't cross, but the wrong ones are held out. Test rows are those whose group is in held_out."
        )
    if [list(got_train), list(got_test)] != [train, test]:
        raise Mistake("The right rows, but not in their order. Keep rows in the order they came in.")


# ------------------------------------------------------------------------------------------------- 3.4 words alone


def word_votes(train_texts, train_labels, test_texts):
    """Score test texts by their words' votes: how often each was in a true training text minus in a false one."""
    votes: Counter = Counter()
    for text, label in zip(train_texts, train_labels):
        for word in text.split():
            votes[word] += 1 if label else -1
    return [sum(votes[word] for word in text.split()) for text in test_texts]


def check_word_votes(function):
    texts = ["a cat is red", "a cat is blue", "a dog is red", "red red wine", "a dog is green"]
    labels = [True, False, True, True, False]
    test = ["a cat is green", "wine is red", "a bird", "dog dog", "red red"]
    expected = word_votes(texts, labels, test)
    result = call(function, texts, labels, test)
    values = result.tolist() if hasattr(result, "tolist") else result
    if not isinstance(values, (list, tuple)):
        raise Mistake(f"Your result is a {type(values).__name__}; expected one score for each test text.")
    if len(values) == len(texts) and len(values) != len(test):
        raise Mistake("One score for each *training* text came back. Score the test texts.")
    expect_shape(values, (len(test),), "One score for each test text.")
    if is_close(values, expected):
        return
    if is_close(values, [-v for v in expected]):
        raise Mistake("The votes have the wrong sign: a word seen in a true text votes +1, in a false one -1.")
    once: Counter = Counter()
    for text, label in zip(texts, labels):
        for word in text.split():
            once[word] += 1 if label else 0
    if is_close(values, [sum(once[w] for w in text.split()) for text in test]):
        raise Mistake("Only true texts vote. A word seen as often in false texts must come out at 0: subtract those.")
    leak: Counter = Counter()
    for text in test:
        leak.update(text.split())
    if is_close(values, [sum(leak[w] for w in text.split()) for text in test]):
        raise Mistake("The votes were counted on the test texts. They must come from the training texts and labels.")
    sets: Counter = Counter()
    for text, label in zip(texts, labels):
        for word in set(text.split()):
            sets[word] += 1 if label else -1
    if is_close(values, [sum(sets[w] for w in set(text.split())) for text in test]):
        raise Mistake("A word that comes twice should vote twice: use `text.split()`, not a set of it.")
    letters: Counter = Counter()
    for text, label in zip(texts, labels):
        for letter in text:
            letters[letter] += 1 if label else -1
    if is_close(values, [sum(letters[c] for c in text) for text in test]):
        raise Mistake("You counted letters: looping over a string gives characters. Loop over `text.split()`.")
    if len(set(values)) == 1:
        raise Mistake("Every test text got the same score. Add up the votes of each text's own words.")
    raise Mistake(
        "These aren't the right scores. Count each word's votes over the training texts, then "
        "add them up per test text."
    )


# ------------------------------------------------------------------------------------------------- 3.5 AUROC


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
    raise Mistake("That isn't the share of pairs. Compare every true score with every false one; ties count half.")


# ------------------------------------------------------------------------------------------------- 3.6 control task


def control_task(entities, seed):
    """A coin flip for each entity, repeated on all its rows. entities: n names. -> (n,) bool tensor."""
    names = sorted(set(entities))
    coins = torch.randint(0, 2, (len(names),), generator=torch.Generator().manual_seed(seed)).bool()
    label = dict(zip(names, coins.tolist()))
    return torch.tensor([label[entity] for entity in entities])


def check_control_task(function):
    entities = [f"city {i}" for i in range(200)] * 2
    result = call(function, entities, 0)
    result = torch.as_tensor(result)
    expect_shape(result, (len(entities),), "One label for each row.")
    if not bool(((result == 0) | (result == 1)).all()):
        raise Mistake("The labels aren't all True or False. A coin has two sides: torch.randint(0, 2, …).bool().")
    result = result.bool()
    if bool((result == result[0]).all()):
        raise Mistake("Every row got the same label. Flip a coin for each entity.")
    if not torch.equal(result[:200], result[200:]):
        raise Mistake(
            "Two rows of one entity got different labels. The coin is flipped once for each *entity*, so that a "
            "probe could learn it by heart."
        )
    share = float(result[:200].float().mean())
    if not 0.3 < share < 0.7:
        raise Mistake(f"{share:.0%} of the entities came up True; expected about half. Is the coin fair?")
    order = list(reversed(entities))
    again = torch.as_tensor(call(function, entities, 0)).bool()
    if not torch.equal(result, again):
        raise Mistake(
            "The same seed gave different labels. Use a generator made from `seed`, so that others can repeat this."
        )
    if torch.equal(result, torch.as_tensor(call(function, entities, 1)).bool()):
        raise Mistake("Another seed gave the same labels: `seed` isn't used.")
    parity = torch.tensor([i % 2 == 0 for i in range(200)])
    if torch.equal(result[:200], parity) or torch.equal(result[:200], ~parity):
        raise Mistake("The labels alternate. A pattern can be learnt; a coin can't.")
    backwards = torch.as_tensor(call(function, order, 0)).bool().flip(0)
    if not torch.equal(result, backwards):
        raise Mistake(
            "An entity's label changed when the rows came in another order. Sort the names before you flip: a set "
            "has no order to rely on."
        )


# ------------------------------------------------------------------------------------------- 3.7 recall at fixed FPR


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
        tight = float(call(function, scores, labels, 0.01))
        if abs(tight - recall_at_fpr(scores, labels, 0.01)) > 2.5 / len(true):
            raise Mistake("It is right at 5 % and not at 1 %: is the rate written into your code instead of `fpr`?")
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
    if abs(result - expected) <= 1.6 / len(true):
        return  # another convention for a threshold between two rows (torch.quantile)
    raise Mistake(
        "That isn't the recall. Sort the false rows' scores, find the threshold that `fpr` of them exceed, and take "
        "the share of true rows above it."
    )


# ------------------------------------------------------------------------------------------------- 3.8 transfer matrix


def transfer_matrix(sets, fit, measure):
    """matrix[i, j]: a direction fitted on set i, measured on set j. sets: list of (acts, labels). -> (k, k) tensor."""
    directions = [fit(acts, labels) for acts, labels in sets]
    return torch.tensor([[measure(acts @ direction, labels) for acts, labels in sets] for direction in directions])


def check_transfer_matrix(function):
    generator = torch.Generator().manual_seed(5)
    sets = []
    for k, n in enumerate((12, 17, 9)):
        labels = torch.arange(n) % 2 == 0
        acts = torch.randn(n, 4, generator=generator)
        acts[labels, k] += 2.0 + k
        sets.append((acts, labels))
    expected = transfer_matrix(sets, mean_difference, area_under_curve)
    fitted_on = []

    def fit(acts, labels):
        fitted_on.append(acts.shape[0])
        return mean_difference(acts, labels)

    result = call(function, sets, fit, area_under_curve)
    result = torch.as_tensor(result)
    expect_shape(result, (3, 3), "One row for each set trained on, one column for each set tested on.")
    result = result.float()
    if is_close(result, expected):
        return
    if is_close(result, expected.T):
        raise Mistake(
            "Rows and columns are swapped: row i is the set the direction was *fitted* on, column j the test set."
        )
    diagonal = expected.diagonal()
    if is_close(result, diagonal.expand(3, 3)) or is_close(result, diagonal[:, None].expand(3, 3)):
        raise Mistake(
            "Each direction was fitted and measured on one set. Row i, column j: fit on set i, measure on set j."
        )
    if is_close(result, torch.diag(diagonal)):
        raise Mistake(
            "Only the diagonal is filled in. The off-diagonal cells are the point: fit on set i, measure on set j."
        )
    swapped = [(acts, ~labels) for acts, labels in sets]
    if is_close(result, 1 - expected) or is_close(result, transfer_matrix(swapped, mean_difference, area_under_curve)):
        raise Mistake("Every number is one minus what it should be. Use the labels as they came.")
    raise Mistake(
        "These aren't the right numbers. For each i: direction = fit(*sets[i]); then measure it on every set j."
    )


# ------------------------------------------------------------------------------------------------- 3.9 project out


def project_out(acts, direction):
    """Remove from each activation its part along the direction. acts (..., d_model) -> the same shape."""
    unit = direction / direction.norm()
    return acts - (acts @ unit)[..., None] * unit


def check_project_out(function):
    generator = torch.Generator().manual_seed(7)
    acts, direction = torch.randn(2, 3, 6, generator=generator), torch.randn(6, generator=generator) * 3
    expected = project_out(acts, direction)
    result = call(function, acts, direction)
    expect_type(result, torch.Tensor)
    expect_shape(result, tuple(acts.shape), "What comes out replaces the activations, so it has their shape.")
    expect_finite(result)
    if is_close(result, expected):
        return
    unit = direction / direction.norm()
    along = (acts @ unit)[..., None] * unit
    if is_close(result, along):
        raise Mistake("This is the part along the direction, the one to remove. Subtract it from the activations.")
    if is_close(result, acts - (acts @ direction)[..., None] * direction):
        raise Mistake(
            "The direction's length isn't 1, so too much is taken away. Divide it by its norm first (projecting "
            "twice should change nothing)."
        )
    if is_close(result, acts - direction) or is_close(result, acts - unit):
        raise Mistake(
            "You subtracted the same vector from every activation. Each has its own amount along the direction: "
            "acts @ unit."
        )
    if is_close(result, acts + along):
        raise Mistake("The part along the direction was doubled. Subtract it.")
    if is_close(result, acts - 2 * along):
        raise Mistake("This reflects the activations: the part along the direction changed sign. Subtract it once.")
    if is_close(result, acts - (acts @ unit)[..., None] * direction) or is_close(
        result, acts - (acts @ direction)[..., None] * unit
    ):
        raise Mistake("The direction has length 1 in one place and not in the other. Use the unit vector in both.")
    if is_close(result, acts):
        raise Mistake("Nothing changed. Subtract (acts @ unit)[..., None] * unit.")
    raise Mistake(
        "Some of the direction is left, or more than it was removed. After projecting, result @ direction must be 0."
    )


# ------------------------------------------------------------------------------------------------- 3.10 p-value


def share_as_large(effect, random_effects):
    """Share of pushes with an effect at least as large in size, the direction's own included. -> float."""
    as_large = sum(abs(other) >= abs(effect) for other in random_effects)
    return float((as_large + 1) / (len(random_effects) + 1))


def check_share_as_large(function):
    others = torch.tensor([0.2, -0.9, 0.5, -0.1, 0.05, 0.7, -0.3, 0.4, 0.1])
    cases = [0.5, -0.5, 3.0, 0.0, -0.95]
    got = []
    for effect in cases:
        value = call(function, effect, others)
        if isinstance(value, torch.Tensor) and value.numel() == 1:
            value = float(value)
        if not isinstance(value, (int, float)):
            raise Mistake(f"Your result is a {type(value).__name__}; expected one number between 0 and 1.")
        got.append(float(value))
    expected = [share_as_large(effect, others) for effect in cases]
    if is_close(got, expected):
        return
    size, n = others.abs(), len(others)
    if is_close(got, [float((size >= abs(e)).float().mean()) for e in cases]):
        raise Mistake(
            "Without the direction itself the share can be 0, and nine random directions can't show one in a "
            "million. Add 1 to the count and 1 to the total."
        )
    if is_close(got, [float(((others >= e).sum() + 1) / (n + 1)) for e in cases]):
        raise Mistake(
            "Only pushes in one direction were counted. A large negative effect is large too: compare sizes (abs)."
        )
    if is_close(got, [float((others >= e).float().mean()) for e in cases]):
        raise Mistake("Two things: compare sizes (abs), and count the direction itself, so that the share is never 0.")
    if is_close(got, [1 - v for v in expected]) or is_close(
        got, [float((size < abs(e)).float().mean()) for e in cases]
    ):
        raise Mistake("This is the share with a *smaller* effect. Count those at least as large: small means unusual.")
    if is_close(got, [float((size >= abs(e)).sum() + 1) for e in cases]):
        raise Mistake("This is a count. Divide by the number of directions, the direction itself included.")
    if is_close(got, [float(((size > abs(e)).sum() + 1) / (n + 1)) for e in cases]):
        raise Mistake("A tie is at least as large: use >=, not >.")
    if is_close(got, [float(((size >= abs(e)).sum() + 1) / n) for e in cases]):
        raise Mistake("You added 1 to the count but not to the total: the direction itself is one of the pushes.")
    raise Mistake(
        "That isn't the share. Count the random effects at least as large in size, add 1, "
        "divide by their number plus 1."
    )


EXERCISES = [
    Exercise("3.1", "The direction between two clouds", mean_difference, check_mean_difference),
    Exercise("3.2", "Where is zero?", midpoint_bias, check_midpoint_bias),
    Exercise("3.3", "Nobody sits the same exam twice", split_by_group, check_split_by_group),
    Exercise("3.4", "A reader of words", word_votes, check_word_votes),
    Exercise("3.5", "Every true against every false", area_under_curve, check_area_under_curve),
    Exercise("3.6", "A task with nothing to find", control_task, check_control_task),
    Exercise("3.7", "The probe as an alarm", recall_at_fpr, check_recall_at_fpr),
    Exercise("3.8", "Does it travel?", transfer_matrix, check_transfer_matrix),
    Exercise("3.9", "Cut it out", project_out, check_project_out),
    Exercise("3.10", "Is any push as good?", share_as_large, check_share_as_large),
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
                "Careful. Something correlated with these labels is. Negation (exercise 3.8) shows it isn't truth.",
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
