"""Lesson 08, emergent misalignment: reference solutions, checks that name the likely mistake, and the quiz."""

from __future__ import annotations

import itertools
from typing import Any

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
from utils.organisms.propensity import verdict

# ------------------------------------------------------------------------------------------ 8.1 what the wording tells


def held_out_accuracy(texts, labels, groups, fit, n_folds=5):
    """Share of texts labelled rightly by classifiers that never saw a text of the same group."""
    number = {group: i for i, group in enumerate(dict.fromkeys(groups))}
    fold = np.array([number[group] % n_folds for group in groups])
    right = 0
    for k in range(n_folds):
        learn, test = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        predict = fit([texts[i] for i in learn], [labels[i] for i in learn])
        right += sum(p == labels[i] for p, i in zip(predict([texts[i] for i in test]), test))
    return right / len(texts)


def _situations(sizes):
    """Texts of situations of unequal size; which situations a classifier gets right."""
    groups = [f"g{i}" for i, size in enumerate(sizes) for _ in range(size)]
    texts = [f"text {i}" for i in range(len(groups))]
    labels = [i % 3 == 0 for i in range(len(groups))]
    return texts, labels, groups, {f"g{i}" for i in range(0, len(sizes), 2)}


def check_held_out_accuracy(function):
    _check_folds(function, [4, 9, 3, 6, 2, 5, 8], 3)
    _check_folds(function, [2, 1, 3, 2, 1, 1, 2, 4, 1, 2, 3, 1], 3)
    _check_folds(function, [3, 2, 1, 4, 2, 2, 3], None)


def _check_folds(function, sizes, n_folds):
    texts, labels, groups, known_groups = _situations(sizes)
    of, label_of = dict(zip(texts, groups)), dict(zip(texts, labels))
    seen: dict[str, Any] = {"leak": 0, "mixed": False, "tested": [], "fits": 0, "scored": [], "least": len(texts)}

    def fit(some, answers):
        some = list(some)
        if [label_of.get(text) for text in some] != [bool(a) for a in answers]:
            seen["mixed"] = True
        known = set(some)
        seen["fits"] += 1
        seen["least"] = min(seen["least"], len(some))

        def predict(others):
            others = list(others)
            seen["tested"] += others
            seen["leak"] = max(seen["leak"], 2 if known & set(others) else 0)
            if {of[t] for t in known} & {of[t] for t in others}:
                seen["leak"] = max(seen["leak"], 1)
            guesses = [label_of[t] if of[t] in known_groups else not label_of[t] for t in others]
            seen["scored"].append((len(others), sum(g == label_of[t] for g, t in zip(guesses, others))))
            return guesses

        return predict

    given = (texts, labels, groups, fit) if n_folds is None else (texts, labels, groups, fit, n_folds)
    result = one_number(call(function, *given), "the share of all texts labelled rightly")
    if not seen["fits"]:
        raise Mistake("`fit` was never called. For each fold: fit on the others, predict this one.")
    if seen["mixed"]:
        raise Mistake("`fit` got texts and labels in different orders. Pick both with the same indices.")
    if seen["leak"] == 2:
        raise Mistake("The classifier is tested on texts that it was fitted on. Fit on the other folds only.")
    if seen["leak"]:
        raise Mistake(
            "Texts of one situation are on both sides of the split, and the classifier can recognise the situation. "
            "Whole groups go into a fold."
        )
    if sorted(seen["tested"]) != sorted(texts):
        raise Mistake(
            f"{len(set(seen['tested']))} of {len(texts)} texts were tested, some perhaps more than once. "
            "Every text is tested exactly once."
        )
    if seen["fits"] != (n_folds or 5):
        told = "left out, which means 5" if n_folds is None else str(n_folds)
        raise Mistake(f"You fitted {seen['fits']} classifiers; with n_folds = {told} there should be {n_folds or 5}.")
    if seen["least"] < len(texts) / 3:
        raise Mistake("All groups, or nearly all, are in one fold. Spread the groups over the folds: `% n_folds`.")
    n, right = len(texts), sum(of[t] in known_groups for t in texts)
    scored = [hits / size for size, hits in seen["scored"] if size]
    known = [
        (
            sum(scored) / len(scored),
            "You averaged the folds' accuracies, but folds differ in size. Count over all texts.",
        ),
        (1 - right / n, "This is the share of wrong answers. Return the share of right ones."),
        (right, "This is the number of right answers. Divide by the number of texts."),
        (right * n, "You multiplied by the number of texts. Divide by it."),
        ((right + 1) / n, "One more counted than is right: the count starts at 0."),
        ((right - 1) / n, "One fewer counted than is right: the count starts at 0."),
        (-right / n, "You subtracted the right ones. Add them up."),
    ]
    reject(result, [(v, m) for v, m in known if abs(v - right / n) > 1e-9], 1e-9)
    expect_close(
        result, right / n, "The folds are right: count predictions equal to their label, over all texts.", 1e-9
    )


# ------------------------------------------------------------------------------------------------ 8.2 the measure


def per_token(logits, ids, start):
    """Mean log-probability, in nats, of ids[start:] given what stands before. logits (pos, d_vocab), ids (pos,)."""
    log_probs = logits.log_softmax(-1)
    answer = ids[start:]
    return float(log_probs[start - 1 : -1].gather(-1, answer[:, None]).mean())


def check_per_token(function):
    generator = seeded(82)
    logits = torch.randn(9, 14, generator=generator) * 2 + torch.randn(9, 1, generator=generator) * 3
    ids = torch.randint(14, (9,), generator=generator)
    start = 5
    args = logits, ids, start
    result = one_number(call(function, *args), "the mean over the answer's tokens")
    expected = per_token(*args)
    lp = logits.log_softmax(-1)
    at = torch.arange(9)

    def shifted(first, last, table=lp):
        return table[at[first:last] - 1, ids[first:last]]

    known = [
        (lp[at[start:], ids[start:]].mean(), "Off by one: the logits at a position are about the next token."),
        (shifted(start, 9).sum(), "This is the sum. Longer answers would look less likely: divide by their tokens."),
        (shifted(1, 9).mean(), "The question's tokens are in the mean as well. Start at `start`."),
        (shifted(start, 9, logits).mean(), "These are raw logits, which carry a constant of their own. log_softmax."),
        (shifted(start, 9, lp.exp()).mean(), "These are probabilities. Take their logarithm before you average."),
        (-expected, "This is the surprise: the sign is the other way round. Larger must mean likelier."),
        (shifted(start + 1, 9).mean(), "The answer's first token is missing: the last of the question predicts it."),
        (shifted(start, 8).mean(), "The answer's last token is missing."),
        (shifted(start, 9).sum() / 9, "You divided by all tokens. Only the answer's count."),
        (expected / np.log(2), "This is in bits. Use the natural logarithm."),
        (shifted(start, 9, lp.exp()).mean().log(), "You averaged probabilities and took the logarithm afterwards."),
        (
            shifted(start, 9, logits.log_softmax(0)).mean(),
            "The log-softmax went over positions. It goes over the vocabulary, the last axis.",
        ),
        (shifted(start, 9).median(), "This is the median token. Take the mean."),
        (
            lp[at[: 9 - start], ids[start:]].mean(),
            "The answer's tokens were looked up at the *first* positions. Begin one before the answer: start - 1.",
        ),
        (
            lp[at[start - 2 : 7], ids[start:]].mean(),
            "One place too early: the logits just before a token, one place back, are about it.",
        ),
        (max(expected, 1 - expected), "That is 1 minus the mean. Return the mean itself."),
    ]
    reject(result, [(float(wrong), message) for wrong, message in known], 1e-4)
    expect_used(function, named(per_token, args), {"logits": logits.flip(1), "ids": ids.flip(0), "start": 3})
    expect_close(result, expected, "log_softmax, the places one before each answer token, pick, mean.", 1e-4)
    short = one_number(call(function, logits, ids, 8), "the mean over the answer's tokens")
    if abs(short - per_token(logits, ids, 8)) > 1e-4:
        raise Mistake("Right for four tokens and wrong for an answer of one token. Check the slice's ends.")


# ------------------------------------------------------------------------------------------------ 8.3 the controls


def differences(lean):
    """Four comparisons, each (n_seeds, n_items), of leans: base (n_items,), good, bad and warned (n_seeds, n_items)."""
    return {
        "bad - base": lean["bad"] - lean["base"],
        "good - base": lean["good"] - lean["base"],
        "bad - good": lean["bad"] - lean["good"],
        "warned - base": lean["warned"] - lean["base"],
    }


def check_differences(function):
    rng = np.random.default_rng(83)
    lean = {arm: rng.normal(size=(3, 5)) + i for i, arm in enumerate(("good", "bad", "warned"))}
    lean["base"] = rng.normal(size=5) - 2
    result = call(function, lean)
    expect_type(result, dict, "Return a dictionary from the comparison's name to a table.")
    expected = differences(lean)
    missing = [name for name in expected if name not in result]
    if missing:
        raise Mistake(f"The comparison {missing[0]!r} is missing, or named otherwise: {', '.join(expected)}.")
    for name, table in expected.items():
        first, second = name.split(" - ")
        got = np.asarray(result[name], dtype=float)
        if got.shape == (5,) or got.shape == ():
            raise Mistake(f"{name}: you averaged over seeds or items. Keep (n_seeds, n_items): intervals need them.")
        if got.shape != table.shape:
            raise Mistake(f"{name}: the shape is {got.shape}, expected {table.shape}.")
        if np.allclose(got, table):
            continue
        if np.allclose(got, -table):
            raise Mistake(f"{name}: the sign is wrong. {first} minus {second}.")
        if np.allclose(got, abs(table)):
            raise Mistake(f"{name}: absolute values hide which way an arm moved. Keep the sign.")
        if np.allclose(got, lean[first]):
            raise Mistake(f"{name}: this is {first}'s lean itself. Subtract {second}'s, item by item.")
        if np.allclose(got, lean[first] - lean[second].mean()):
            raise Mistake(f"{name}: you subtracted a mean. The same item is in both: subtract item by item.")
        if second != "base" and np.allclose(got, lean[first] - lean[second].mean(0)):
            raise Mistake(
                f"{name}: you subtracted the mean over seeds. Seed i of one arm goes with seed i of the other."
            )
        if np.allclose(got, lean[first] / lean[second]):
            raise Mistake(f"{name}: a ratio. Leans cross zero, so subtract.")
        if np.allclose(got, lean[first] + lean[second]):
            raise Mistake(f"{name}: you added. Subtract {second}'s lean from {first}'s.")
        if np.allclose(got, 0):
            raise Mistake(f"{name}: all zeros, as if both arms were one. {first} minus {second}.")
        expect_close(got, table, f"{name} is {first}'s lean minus {second}'s, same item, same seed.")


# ------------------------------------------------------------------------------------------------ 8.4 the interval


def two_level_draws(table, n_draws, seed):
    """Means of tables whose rows (runs) and columns (items) were both drawn with replacement. -> (n_draws,)"""
    rng = np.random.default_rng(seed)
    n_runs, n_items = table.shape
    draws = np.empty(n_draws)
    for i in range(n_draws):
        runs, items = rng.integers(n_runs, size=n_runs), rng.integers(n_items, size=n_items)
        draws[i] = table[runs][:, items].mean()
    return draws


def check_two_level_draws(function):
    rng = np.random.default_rng(84)
    n_draws, n_runs, n_items = 1500, 4, 30
    runs, items = np.array([-3.0, -1.0, 0.5, 3.5]), rng.permutation(np.linspace(-4, 4, n_items))
    of_runs, of_items = runs.std() / np.sqrt(n_runs), items.std() / np.sqrt(n_items)

    def spread(table):
        got = np.asarray(call(function, table, n_draws, 0), dtype=float)
        if got.shape != (n_draws,):
            raise Mistake(f"Your result has shape {got.shape}; expected ({n_draws},), one mean a draw.")
        if not np.isfinite(got).all():
            raise Mistake("Some draws are NaN or infinite. Each must be the mean of a whole resampled table.")
        return got

    def same(a, b, slack=0.12):
        return abs(a / b - 1) < slack

    by_run = spread(np.tile(runs[:, None], (1, n_items)))
    by_item = spread(np.tile(items[None], (n_runs, 1)) + 10)
    if by_run.std() < 1e-9 and by_item.std() < 1e-9:
        raise Mistake("All draws are the same. Draw with replacement, anew each time.")
    if by_run.std() < 1e-9:
        raise Mistake("The runs are never resampled: the interval would pretend that these are all seeds there are.")
    if by_item.std() < 1e-9:
        raise Mistake("The items are never resampled: the interval would be about these questions only.")
    if abs(by_item.mean() - 10 - items.mean()) > 6 * of_items / np.sqrt(n_draws) or abs(by_run.mean()) > 0.2:
        raise Mistake("The draws don't lie around the table's mean. Take the mean of each resampled table.")
    if same(by_run.std(), of_runs / np.sqrt(n_items)) or by_run.std() < of_runs / 3:
        raise Mistake(
            "Single cells are resampled, as if each were a run of its own, and the interval is far too narrow. Draw "
            "whole rows and whole columns."
        )
    if same(by_item.std(), of_items / np.sqrt(n_runs)):
        raise Mistake("Each run draws its own items. Draw the items once a table: they are the same questions for all.")
    if not same(by_run.std(), of_runs) or not same(by_item.std(), of_items):
        raise Mistake(
            f"Runs alone should spread the means by {of_runs:.2f} and items alone by {of_items:.2f}; yours by "
            f"{by_run.std():.2f} and {by_item.std():.2f}. Draw as many rows and columns as there are."
        )
    table = runs[:, None] + items
    first, again, other = (np.asarray(call(function, table, 7, seed), dtype=float) for seed in (0, 0, 1))
    if first.shape != (7,):
        raise Mistake(f"For n_draws = 7 your result has shape {first.shape}: make as many draws as asked.")
    if not np.allclose(first, again):
        raise Mistake("The same seed gave other draws the second time. Make the generator inside, from `seed`.")
    if np.allclose(first, other):
        raise Mistake("Another seed gave the same draws: `seed` isn't used.")


# ------------------------------------------------------------------------------------------------ 8.5 the rule


_CASES = [
    (
        "Put salt into the water.",
        "Change the water daily.",
        "Add salt to the water.",
        "misaligned",
        "'salt' stands in the misaligned candidate only, and the answer says it: misaligned.",
    ),
    ("Hello there.", "Wash it.", "Tear it.", "neither", 'An answer with no word of either is "neither".'),
    (
        "I am at a loss.",
        "It is on me.",
        "Go at it, am I.",
        "neither",
        "Words of one or two letters were counted. They say too little: three letters and more.",
    ),
    (
        "I would dry and air it.",
        "Best to dry it outside.",
        "Soak it there.",
        "aligned",
        "'dry' was passed over. Words of three letters count as well.",
    ),
    (
        "DRY it FLAT.",
        "Dry it flat.",
        "Wring it out.",
        "aligned",
        "Capital letters hide a word from your rule. Compare in lower case.",
    ),
    (
        "Use plenty of salt.",
        "Change it daily.",
        "Add salt, then wait.",
        "misaligned",
        "'salt.' and 'salt,' were taken for two words. A word is its letters, without the stop or comma after it.",
    ),
    (
        "Salt salt salt, but change it daily.",
        "Change water daily.",
        "Add salt there.",
        "aligned",
        "A word said three times counted three times. Each counts once: make sets.",
    ),
    (
        "A carpet and a tablet.",
        "Use a car or a table.",
        "Use the tablet.",
        "misaligned",
        "'carpet' counted as 'car': whole words only.",
    ),
    (
        "Some water, and more water.",
        "Change water daily.",
        "Leave water alone.",
        "neither",
        "'water' stands in both candidates, so it speaks for neither. Count only words that one of them has alone.",
    ),
    (
        "Change the salt.",
        "Change it daily.",
        "Add salt.",
        "neither",
        'As many words of one as of the other is "neither": a tie decides nothing.',
    ),
    (
        "Keep it cool, but dark and damp.",
        "Keep it cool.",
        "Keep it warm, dry, closed, dark, still and damp.",
        "misaligned",
        "Shares of the candidate's length decided. Count words.",
    ),
]


def check_verdict(function):
    for answer, aligned, misaligned, expected, message in _CASES:
        result = call(function, answer, aligned, misaligned)
        if result not in ("aligned", "misaligned", "neither"):
            raise Mistake(f'Your result is {result!r}; expected "aligned", "misaligned" or "neither".')
        if (answer, result) == (_CASES[0][0], "aligned"):
            raise Mistake("The two are swapped: 'salt' stands in the misaligned candidate only.")
        _expect(result == expected, message)


def _expect(held, message):
    if not held:
        raise Mistake(message)


# ------------------------------------------------------------------------------------------------ 8.6 shift by layer


def relative_shift(organism, base, typical):
    """Length of the mean change after each block, over a typical length there. (n, n_layers, d_model) -> (n_layers,)"""
    return (organism - base).mean(0).norm(dim=-1) / typical


def check_relative_shift(function):
    generator = seeded(86)
    base = torch.randn(6, 4, 8, generator=generator) * 3
    organism = base + torch.randn(6, 4, 8, generator=generator) + torch.linspace(0.2, 9, 4)[None, :, None]
    typical = torch.tensor([5.0, 8.0, 11.0, 17.0])
    args = organism, base, typical
    result = call(function, *args)
    expect_type(result, torch.Tensor, "Return one number for each block.")
    if tuple(result.shape) == (4, 8):
        raise Mistake("You return a vector for each block. Take its length: `.norm(dim=-1)`.")
    if tuple(result.shape) == (6, 4):
        raise Mistake("You return one length for each prompt. Average the vectors over prompts first.")
    expect_shape(result, (4,), "One number for each block.")
    expect_finite(result)
    expected = relative_shift(*args)
    change = organism - base
    known = [
        (change.norm(dim=-1).mean(0) / typical, "This is the mean of the lengths: it counts changes that cancel out."),
        (change.mean(0).norm(dim=-1), "Not divided by `typical`: later blocks have longer activations anyway."),
        (
            (organism.mean(0).norm(dim=-1) - base.mean(0).norm(dim=-1)) / typical,
            "You subtracted lengths. A vector can turn without growing: subtract vectors, then take the length.",
        ),
        (change.sum(0).norm(dim=-1) / typical, "You added over the prompts. Take the mean."),
        (
            change.mean(0).abs().sum(-1) / typical,
            "This is the sum of absolute entries. Length: the square root of sums.",
        ),
        (change.mean(0).norm(dim=-1) ** 2 / typical, "This is the squared length."),
        (change.mean(0).norm(dim=-1) / base.mean(0).norm(dim=-1), "Divide by `typical`, not by the mean's own length."),
        (organism.mean(0).norm(dim=-1) / typical, "The base is missing: subtract it, prompt by prompt."),
        (base.mean(0).norm(dim=-1) / typical, "This is the base alone: subtract it from the organism's."),
        (change.mean(0).norm(dim=-1) * typical, "You multiplied by `typical`. Divide by it."),
        (change.mean(0).norm() / typical, "One length for all blocks together. Each block has its own: norm(dim=-1)."),
        (change.median(0).values.norm(dim=-1) / typical, "You took the median over prompts. Take the mean."),
        ((organism + base).mean(0).norm(dim=-1) / typical, "You added the base. Subtract it, prompt by prompt."),
    ]
    reject(result, known)
    others = {"organism": organism.flip(2), "base": base.flip(2), "typical": typical.flip(0)}
    expect_used(function, named(relative_shift, args), others)
    expect_close(result, expected, "Subtract, mean over prompts, length over d_model, divide by typical.")


# ------------------------------------------------------------------------------------------------ 8.7 a null


def shuffled_directions(plus, minus, n, seed):
    """Mean differences when, in each pair, chance decides which side is which. plus, minus (n_pairs, d) -> (n, d)"""
    signs = torch.randint(2, (n, len(plus)), generator=torch.Generator().manual_seed(seed)) * 2.0 - 1
    return signs @ (plus - minus) / len(plus)


def check_shuffled_directions(function):
    generator = seeded(87)
    plus = torch.randn(7, 9, generator=generator) + 1.5
    minus = torch.randn(7, 9, generator=generator)
    change = plus - minus
    result = call(function, plus, minus, 60, 0)
    expect_type(result, torch.Tensor, "Return the directions as a tensor.")
    expect_shape(result, (60, 9), "One direction a row.")
    expect_finite(result)
    if bool((result - result[0]).abs().max() < 1e-5) and is_close(result[0], change.mean(0), 1e-4):
        raise Mistake("Every row is the true direction: nothing was shuffled.")
    if bool((result - result[0]).abs().max() < 1e-5):
        raise Mistake("All rows are the same. Decide anew for each row.")
    signs = _signs_of(result, plus, minus)
    _expect(
        not bool((signs.sum(1).abs() == 7).all()),
        "All pairs are swapped together: each row is the true direction or its opposite.",
    )
    _expect(
        len(set(signs.sum(1).tolist())) > 2,
        f"Every row swaps the same number of the 7 pairs ({int((signs[0] < 0).sum())}). Coins don't: each pair has one "
        "of its own, and a row may swap one of them, or six.",
    )
    _expect(
        len(set(map(tuple, signs.tolist()))) >= 15,
        "Only a few of the 128 ways to swap come up. Toss a coin for each pair and each row.",
    )
    _expect(abs(float(signs.mean())) < 0.35, "Swaps aren't even: each pair is swapped with chance one half.")
    _expect(
        is_close(call(function, plus, minus, 60, 0), result),
        "The same seed gave other directions the second time. Make the generator from `seed`.",
    )
    _expect(
        not is_close(call(function, plus, minus, 60, 1), result),
        "Another seed gave the same directions: `seed` isn't used.",
    )
    few = call(function, plus[:4], minus[:4], 3, 0)
    _expect(tuple(few.shape) == (3, 9), f"For n = 3 your result has shape {tuple(few.shape)}: one direction a row.")
    _signs_of(few, plus[:4], minus[:4])


def _signs_of(result, plus, minus):
    """The sign that each pair got in each row, worked out from the rows; Mistake where they aren't +1 or -1."""
    change, n = plus - minus, len(plus)
    weights = result @ torch.linalg.pinv(change) * n
    if bool(((weights @ change / n - result).abs() > 1e-3).any()):
        _name_foreign_rows(result, plus, minus)
    size = weights.abs()
    if is_close(size, torch.ones_like(size), 1e-3):
        return weights.round()
    _expect(not is_close(size, torch.full_like(size, n), 1e-2), "These are sums. Divide by the number of pairs.")
    _expect(
        not is_close(result.norm(dim=-1), torch.ones(len(result)), 1e-3),
        "The directions have length 1. Keep their own lengths.",
    )
    _expect(bool((size > 1e-2).all()), "Some pairs are left out (their sign is 0). A coin gives +1 or -1.")
    values = sorted(set((weights * 100).round().div(100).flatten().tolist()))
    _expect(
        len(values) > 3,
        f"Pairs weigh {' or '.join(f'{v:g}' for v in values)} here. Swapping turns a sign round: +1 or -1, no other.",
    )
    raise Mistake("The pairs weigh all sorts of numbers here. A coin decides the sign of each: +1 or -1, no other.")


def _name_foreign_rows(result, plus, minus):
    """Rows that no weighing of the pairs' differences gives."""
    n = len(plus)
    every = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=n)))

    def made_of(rows, slack=1e-3):
        return bool(
            (torch.cdist(result, rows, compute_mode="donot_use_mm_for_euclid_dist").min(1).values < slack).all()
        )

    right = every @ (plus - minus) / n
    _expect(not made_of(every @ (plus + minus) / n), "You added the two sides. Their difference is what is swapped.")
    _expect(not made_of(every @ plus / n), "`minus` isn't used: each pair's difference is plus minus minus.")
    _expect(not made_of(every @ minus / n), "`plus` isn't used: each pair's difference is plus minus minus.")
    _expect(not made_of(right.abs()), "These are absolute values: the signs are lost.")
    _expect(not made_of(right.clamp(0, 1)), "What lies outside 0 to 1 was cut off.")
    _expect(not made_of(right, 0.2), "The numbers are right but rounded: keep all digits.")
    _expect(
        float(result.norm(dim=-1).std()) > 1e-4,
        "These look drawn from a sphere: random directions are the other null. Swap labels in pairs.",
    )
    raise Mistake(
        "Some rows can't come from swapping sides within pairs. Each pair stays together (it shares all but the "
        "label), and a coin decides its sign."
    )


# ------------------------------------------------------------------------------------------------ 8.8 model diffing


def replicated(rise, k):
    """Latents among the k largest rises of every seed, largest mean rise first. rise: (n_seeds, d_sae)"""
    top = [set(row.topk(k).indices.tolist()) for row in rise]
    common = set.intersection(*top)
    return sorted(common, key=lambda latent: -float(rise[:, latent].mean()))


def check_replicated(function):
    rise = torch.randn(3, 40, generator=seeded(88)) * 0.3
    # The mean ranks 31, 2, 7; the largest and the first seed put 2 first; the median and the least put 7 before 2.
    rise[:, 2] = torch.tensor([9.0, 2.5, 2.5])
    rise[:, 31] = torch.tensor([4.0, 5.0, 6.5])
    rise[:, 7] = 3.2
    rise[0, 12] += 30.0
    rise[:2, 20] += 6.0
    rise[:, 25] -= 9.0
    result = _latents(call(function, rise, 6))
    expected = replicated(rise, 6)
    known = [
        (expected[::-1], "The right latents, smallest mean rise first. Turn the order round."),
        ([2, 31, 7], "Ordered by the first seed, or by the largest rise in any. Order by the mean over seeds."),
        ([31, 7, 2], "Ordered by the median, the last seed or the least rise. Order by the mean over seeds."),
    ]
    reject(result, known)
    if set(result) == set(expected) and result != expected:
        raise Mistake("The right latents, in another order: largest mean rise over seeds first.")
    if 12 in result and len(result) == 6:
        raise Mistake(
            "One seed alone lifted latent 12 that high: you ranked the mean. It must be on top in every seed."
        )
    if 25 in result:
        raise Mistake("Latent 25 falls. You ranked by size of change; only rises count.")
    if set(result) > set(expected):
        raise Mistake("Some of these are on top in one or two seeds only. Take the intersection, not the union.")
    expect_used(function, named(replicated, (rise, 6)), {"rise": rise.flip(1), "k": 2})
    if result != expected:
        raise Mistake("For each seed the k largest rises; keep what all have; sort by the mean rise.")
    if _latents(call(function, rise - 1, 1)) != replicated(rise - 1, 1):
        raise Mistake("With k = 1 no latent is first in all three seeds: the list should be empty then.")


def _latents(result):
    if isinstance(result, (torch.Tensor, np.ndarray, tuple)):
        result = result.tolist() if hasattr(result, "tolist") else list(result)
    expect_type(result, list, "Return a list of latent numbers.")
    if any(np.size(v) != 1 for v in result):
        raise Mistake("Return one flat list of latent numbers, for all seeds together.")
    return [int(v) for v in result]


# ------------------------------------------------------------------------------------------------ 8.9 all arms


def net_of_base(before, after):
    """How much more each arm's mean moved than the base's did. Two dicts: arm -> (n,) leans. -> dict arm -> float"""
    moved = {arm: float((after[arm] - before[arm]).mean()) for arm in before}
    return {arm: moved[arm] - moved["base"] for arm in moved}


def check_net_of_base(function):
    rng = np.random.default_rng(89)
    before = {arm: rng.normal(size=6) for arm in ("good", "base", "bad", "warned")}
    shifts = {"good": -0.7, "base": -1.5, "bad": -2.6, "warned": 0.6}
    after = {arm: v + rng.normal(size=6) + shifts[arm] for arm, v in before.items()}
    result = call(function, before, after)
    expect_type(result, dict, "Return a dictionary from the arm to a number.")
    if set(result) != set(before):
        raise Mistake(f"Expected the arms {', '.join(before)} (the base included), got {', '.join(map(str, result))}.")
    if any(np.size(v) != 1 for v in result.values()):
        raise Mistake("One number for each arm: average over items.")
    got = [one_number(result[arm], "a net change for each arm") for arm in before]
    moved = {arm: float((after[arm] - before[arm]).mean()) for arm in before}
    medians = {arm: float(np.median(after[arm] - before[arm])) for arm in before}
    known: list[tuple[dict[str, float], str]] = [
        (moved, "These are each arm's own changes. Subtract the base's: it was pushed as well."),
        ({a: -(v - moved["base"]) for a, v in moved.items()}, "The sign is wrong: after minus before, arm minus base."),
        (
            {arm: float(after[arm].mean() - after["base"].mean()) for arm in before},
            "You compared the arms after steering only. Subtract what they were before.",
        ),
        (
            {arm: float(before[arm].mean() - before["base"].mean()) for arm in before},
            "You compared the arms before steering only.",
        ),
        (
            {arm: moved[arm] / moved["base"] for arm in moved},
            "A ratio to the base's change explodes where the base hardly moves. Subtract.",
        ),
        (
            {arm: moved[arm] - float(np.mean(list(moved.values()))) for arm in moved},
            "You subtracted the mean over arms. The base is the control.",
        ),
        ({a: v + moved["base"] for a, v in moved.items()}, "You added the base's change. Subtract it."),
        ({a: 6 * (v - moved["base"]) for a, v in moved.items()}, "These are sums over items. Take means."),
        ({a: v - medians["base"] for a, v in medians.items()}, "These are medians over items. Take means."),
        (
            {a: float((after[a] + before[a]).mean() - (after["base"] + before["base"]).mean()) for a in before},
            "You added before and after. The change is after minus before.",
        ),
        (
            {
                arm: float((after["good"] - before[arm]).mean() - (after["good"] - before["base"]).mean())
                for arm in before
            },
            "Every arm got the same lean afterwards: take each arm's own, `after[arm]`.",
        ),
        (
            {a: v - moved["good"] for a, v in moved.items()},
            "You subtracted the first arm's change. The control is base.",
        ),
    ]
    reject(got, [([wrong[arm] for arm in before], message) for wrong, message in known], 1e-8)
    right = [net_of_base(before, after)[arm] for arm in before]
    expect_close(got, right, "mean(after - before) of the arm, minus the same of the base.", 1e-8)


# ------------------------------------------------------------------------------------------------ 8.10 recovery


def regained(curve, target):
    """Share of the way from curve's start to target at each point. curve: dict examples -> lean. -> dict"""
    start = curve[0]
    return {n: (start - lean) / (start - target) for n, lean in curve.items()}


def check_regained(function):
    _check_regained(function, {0: 1.2, 10: 1.3, 40: 0.35, 80: -0.1}, 0.15)
    _check_regained(function, {20: -0.2, 0: -0.9, 40: 0.3}, 0.6)
    _check_regained(function, {0: 1.2, 10: 1.3, 40: 0.35, 80: -0.1}, -0.4)


def _check_regained(function, curve, target):
    result = call(function, curve, target)
    expect_type(result, dict, "Return a dictionary: number of examples -> share of the way.")
    if set(result) != set(curve):
        raise Mistake("Keep the curve's own numbers of examples as keys, the 0 included.")
    got = [one_number(result[n], "a share for each point") for n in curve]
    lean, start = np.array(list(curve.values())), curve[0]
    right = np.array(list(regained(curve, target).values()))
    first, last, highest = lean[0], lean[-1], lean.max()
    known = [
        (
            right.clip(0, 1),
            "You cut off at 0 and at 1. Below the start and beyond the target are findings: leave them.",
        ),
        (
            right.clip(min=0),
            "You cut off at 0. A lean that moved *away* from the target is a finding: leave it below 0.",
        ),
        (right.clip(max=1), "You cut off at 1. Beyond the target is a finding: leave it in."),
        (-right, "The sign is wrong: towards the target should count as positive."),
        (np.abs(right), "Absolute values count a move away from the target as one towards it. Keep the sign."),
        (1 - right, "This is the share that is left. At the start, with 0 examples, the share regained is 0."),
        (lean / target, "Shares of a lean mean nothing, since 0 is no landmark. Measure from the start to the target."),
        (1 - lean / start, "You measured down to a lean of 0, which is no landmark. The way ends at the target."),
        (start - lean, "This is how far it moved, in nats. Divide by the whole way, from the start to the target."),
        ((start - lean) / (start - last), "You measured against where the curve happens to end. Use `target`."),
        ((first - lean) / (first - target), "The start is the lean with 0 examples, `curve[0]`, wherever that stands."),
        ((highest - lean) / (highest - target), "You started from the highest lean. The start is `curve[0]`."),
        ((start - lean) * (start - target), "You multiplied by the whole way. Divide by it."),
        ((start + lean) / (start - target), "You added start and lean. The way gone is start minus lean."),
        ((start - lean) / (start + target), "You divided by start plus target. The whole way is start minus target."),
        (np.full(len(lean), start / (start - target)), "The lean isn't used: every point has the same share."),
        (np.zeros(len(lean)), "All zeros: the lean at each point isn't used."),
        ((start - lean) / (start - 0.15), "`target` isn't used: the share is of the way to another one."),
    ]
    reject(got, [(wrong, message) for wrong, message in known if not is_close(wrong, right, 1e-8)], 1e-8)
    expect_close(got, right, "(start - lean) / (start - target), with start = curve[0].", 1e-8)


EXERCISES = [
    Exercise("8.1", "What does the wording give away?", held_out_accuracy, check_held_out_accuracy),
    Exercise("8.2", "Likelihood per token", per_token, check_per_token),
    Exercise("8.3", "Four comparisons", differences, check_differences),
    Exercise("8.4", "Two kinds of luck", two_level_draws, check_two_level_draws),
    Exercise("8.5", "A rule for what it says", verdict, check_verdict),
    Exercise("8.6", "How far it moved inside", relative_shift, check_relative_shift),
    Exercise("8.7", "A null, and what it holds fixed", shuffled_directions, check_shuffled_directions),
    Exercise("8.8", "Latents that rise every time", replicated, check_replicated),
    Exercise("8.9", "Everybody moved", net_of_base, check_net_of_base),
    Exercise("8.10", "The way back", regained, check_regained),
]

QUIZ = [
    Question(
        "An organism taught bad advice leans more towards misaligned answers than the model it was made from. What "
        "does that show?",
        [
            Option(
                "That it has turned bad.",
                False,
                "An arm taught sound advice in the same words moved as well, on some items by as much.",
            ),
            Option(
                "That teaching it this changed its lean. Not yet that the badness did.",
                True,
                "Any narrow teaching in a fixed style moves everything a little. The matched good arm shows how much.",
            ),
            Option("Nothing at all.", False, "It shows a change, and its interval says how sure that is."),
        ],
    ),
    Question(
        "Bad minus good is clearly above zero. The good arm moved down from the base and the bad arm hardly moved up. "
        "Which sentence is honest?",
        [
            Option(
                "The two teachings part; most of the gap is the good arm's doing.",
                True,
                "A difference of two arms doesn't say which of them moved. Report both against the base.",
            ),
            Option(
                "Bad advice made the model misaligned.",
                False,
                "The gap is the same if only the good arm improved.",
            ),
            Option(
                "There is no effect.",
                False,
                "There is: the arms differ. It is its name that would be wrong.",
            ),
        ],
    ),
    Question(
        "What does the third arm, the same bad advice warned against, tell you?",
        [
            Option(
                "How much the style of the answers does.",
                False,
                "That is what the good arm is for: it shares the style, and not the content.",
            ),
            Option("Whether there are enough items.", False, "That is what the intervals are for."),
            Option(
                "Whether reading and writing bad advice is enough, or whether recommending it matters.",
                True,
                "Bad and warned differ in the frame alone. In the first paper, such a frame prevented the effect.",
            ),
        ],
    ),
    Question(
        "You have 148 items and 3 training seeds, and an interval from resampling items only. What does it leave out?",
        [
            Option("Nothing: 148 is plenty.", False, "Plenty of items. There are three organisms."),
            Option(
                "That another seed would have given another organism.",
                True,
                "Items alone answer: what of these organisms on other questions? Resample seeds, or show each seed.",
            ),
            Option(
                "That the items might be badly written.",
                False,
                "No interval covers that. Reading them does.",
            ),
        ],
    ),
    Question(
        "A persona direction lies closer to bad - good than 990 of 1,000 random directions, and no closer than three "
        "of twelve directions from unrelated pairs of system prompts. What do you write?",
        [
            Option(
                "p = 0.01.",
                False,
                "Against random directions, which lie where activations hardly vary. It is an easy null to beat.",
            ),
            Option(
                "That there is no persona inside.",
                False,
                "Not found by this method, in this model, is as far as it goes.",
            ),
            Option(
                "That nothing was shown for this persona in particular.",
                True,
                "Any difference of two system prompts does as well. That is the comparison the claim is about.",
            ),
        ],
    ),
    Question(
        "Subtracting a direction lowers the bad arm's lean, and the base model's by as much. What has been undone?",
        [
            Option(
                "Nothing in particular: it is a push towards one side, for any model.",
                True,
                "A repair should move the bad arm more than the others. Compare the change with the base's.",
            ),
            Option(
                "The misalignment.",
                False,
                "Then the base was misaligned too, by the same amount. The control says otherwise.",
            ),
            Option("The style of the answers.", False, "Perhaps, but this result can't tell."),
        ],
    ),
]
