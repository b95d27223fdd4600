"""Lesson 04, bananas: reference solutions, checks that name the likely mistake, and the quiz."""

from __future__ import annotations

import numpy as np
import torch

from utils.checks import Exercise, Option, Question
from utils.checks.calling import Mistake, call
from utils.checks.comparing import expect_finite, expect_shape, expect_type, is_close

# ------------------------------------------------------------------------------------------------ 4.1 paired margin


def paired_margin(log_likelihood, length, labels, pairs):
    """True ending's log-likelihood per token minus the false one's, one number a pair, in rising order of pair."""
    per_token = log_likelihood / length
    return torch.stack(
        [per_token[(pairs == p) & labels][0] - per_token[(pairs == p) & ~labels][0] for p in pairs.unique()]
    )


def check_paired_margin(function):
    # Pairs are interleaved, true and false come in either order, and endings differ in length.
    log_likelihood = torch.tensor([-2.0, -9.0, -3.0, -12.0, -1.0, -8.0])
    length = torch.tensor([1, 3, 2, 3, 2, 1])
    labels = torch.tensor([True, False, False, True, False, True])
    pairs = torch.tensor([7, 4, 7, 4, 5, 5])
    expected = paired_margin(log_likelihood, length, labels, pairs)
    result = call(function, log_likelihood, length, labels, pairs)
    if isinstance(result, (list, tuple)):
        result = torch.tensor([float(x) for x in result])
    expect_type(result, torch.Tensor, "Return one margin a pair, as a tensor.")
    expect_shape(result, (3,), "There is one margin for each pair, not one for each claim.")
    expect_finite(result)
    if is_close(result, expected):
        return
    raw = paired_margin(log_likelihood, torch.ones_like(length), labels, pairs)
    if is_close(result, -expected):
        raise Mistake(
            "The sign is turned round: a pair the model gets right should come out positive, true minus false."
        )
    if is_close(result, raw):
        raise Mistake(
            "You compared sums. An ending of three tokens then loses to one of one token for its length alone: divide "
            "each log-likelihood by its own length first."
        )
    per_token = log_likelihood / length
    if is_close(result, per_token[labels] - per_token[~labels]):
        raise Mistake(
            "You subtracted the false claims from the true ones in the order they come, but the k-th true claim need "
            "not belong with the k-th false one. Match them by `pairs`."
        )
    if is_close(result, log_likelihood[labels] - log_likelihood[~labels]):
        raise Mistake(
            "Two things: the k-th true claim need not belong with the k-th false one (match them by `pairs`), and a "
            "sum over more tokens is lower for its length alone (divide by `length` first)."
        )
    if is_close(result.sort().values, expected.sort().values):
        raise Mistake("The margins are right but in another order. Go through the pair numbers in rising order.")
    lengths = torch.stack([length[pairs == p].sum() for p in pairs.unique()])
    if is_close(result, raw / lengths) or is_close(result, 2 * raw / lengths):
        raise Mistake(
            "You divided the difference by a common length. The two endings have lengths of their own: divide first, "
            "then subtract."
        )
    raise Mistake(
        "These aren't the margins. For each pair: log-likelihood / length of the true claim, minus the false one's."
    )


# ------------------------------------------------------------------------------------------------ 4.2 answer log-odds


def answer_log_odds(logits, yes_ids, no_ids):
    """log P(any of the yes tokens) - log P(any of the no tokens). logits (batch, d_vocab) -> (batch,)."""
    return logits[:, yes_ids].logsumexp(-1) - logits[:, no_ids].logsumexp(-1)


def check_answer_log_odds(function):
    logits = torch.tensor([[2.0, -1.0, 0.5, 3.0, 1.0, 4.0], [-3.0, 2.0, 1.5, -2.0, 0.0, 4.0]])
    yes, no = [0, 3], [1, 2, 4]
    expected = answer_log_odds(logits, yes, no)
    result = call(function, logits, yes, no)
    expect_type(result, torch.Tensor, "Return one number for each prompt.")
    expect_shape(result, (2,), "Add up over the spellings, so that one number a prompt is left.")
    expect_finite(result)
    probabilities = logits.softmax(-1)
    p_yes, p_no = probabilities[:, yes].sum(-1), probabilities[:, no].sum(-1)
    if not is_close(result, expected):
        if is_close(result, -expected):
            raise Mistake("The sign is turned round: leaning to yes should be positive.")
        if is_close(result, p_yes - p_no):
            raise Mistake("This is a difference of probabilities. Log-odds are the difference of their logarithms.")
        if is_close(result, logits[:, yes].sum(-1) - logits[:, no].sum(-1)):
            raise Mistake(
                "You added logits. Adding logits multiplies probabilities; the chance of one spelling *or* another is "
                "the sum of exponentials: `logsumexp`."
            )
        if is_close(result, logits[:, yes].mean(-1) - logits[:, no].mean(-1)):
            raise Mistake("You averaged logits. Use `logsumexp`: rare spellings should count for next to nothing.")
        if is_close(result, logits[:, yes].amax(-1) - logits[:, no].amax(-1)):
            raise Mistake(
                "You took the likeliest spelling on each side. Close, but the others belong to the answer too."
            )
        if is_close(result, p_yes / p_no):
            raise Mistake("These are the odds; take their logarithm, so that yes and no are treated alike.")
        if is_close(result, (p_yes / (1 - p_yes)).log()):
            raise Mistake(
                "You compared yes with everything else the model could say. Compare it with the no tokens only."
            )
        raise Mistake("These aren't the log-odds. logsumexp over the yes columns, minus logsumexp over the no columns.")
    large = logits * 300
    if not is_close(call(function, large, yes, no), answer_log_odds(large, yes, no)):
        raise Mistake(
            "Right for ordinary logits, but it overflows for large ones (exp of a large number is infinite). Stay in "
            "logarithms: `logsumexp`."
        )


# --------------------------------------------------------------------------------------- 4.3 bias, order, separation


def bias_order_separation(odds, labels):
    """Split log-odds (order=2, n) into (bias, order effect, separation), three floats in nats."""
    balanced = odds.mean(0)
    true, false = balanced[labels].mean(), balanced[~labels].mean()
    return float((true + false) / 2), float((odds[0] - odds[1]).mean() / 2), float(true - false)


def check_bias_order_separation(function):
    odds = torch.tensor([[4.0, 1.0, 2.0, 3.0, 2.5], [1.0, -2.0, 0.0, -1.0, 3.5]])
    labels = torch.tensor([True, False, False, False, True])
    expected = bias_order_separation(odds, labels)
    result = call(function, odds, labels)
    expect_type(result, (tuple, list), "Return (bias, order, separation).")
    if len(result) != 3:
        raise Mistake(f"Return three numbers, (bias, order, separation); got {len(result)}.")
    bias, order, separation = (float(x) for x in result)
    balanced = odds.mean(0)
    if not is_close(bias, expected[0]):
        if is_close(bias, float(balanced.mean())):
            raise Mistake(
                "Your bias is the mean over all claims. With unequal classes it mixes in the separation: average the "
                "true claims' mean and the false claims' mean."
            )
        if is_close(bias, bias_order_separation(odds[:1].expand(2, -1), labels)[0]):
            raise Mistake("Your bias uses one order of the options only. Average the two orders first.")
        if is_close(bias, 2 * expected[0]):
            raise Mistake("Your bias is twice too large: halfway between the two class means is half of their sum.")
        raise Mistake("The bias isn't right. Average the two orders, then go halfway between the two class means.")
    if not is_close(order, expected[1]):
        if is_close(order, -expected[1]):
            raise Mistake("The order effect's sign is turned round: first row minus second.")
        if is_close(order, 2 * expected[1]):
            raise Mistake(
                "The order effect is twice too large: each order lies half of the difference from their mean."
            )
        if is_close(order, float((odds[0] - odds[1]).abs().mean() / 2)):
            raise Mistake(
                "Keep the sign of the order effect: absolute values never cancel, so noise alone would look like one."
            )
        raise Mistake("The order effect isn't right. Mean of (first order - second order), divided by 2.")
    if not is_close(separation, expected[2]):
        if is_close(separation, -expected[2]):
            raise Mistake("The separation's sign is turned round: true claims minus false ones.")
        if is_close(separation, float(odds[0][labels].mean() - odds[0][~labels].mean())):
            raise Mistake("Your separation uses the first order only. Average the two orders first.")
        raise Mistake("The separation isn't right. Mean balanced log-odds of true claims minus that of false ones.")


# -------------------------------------------------------------------------------------------------- 4.4 Cohen's kappa


def kappa(first, second):
    """Agreement of two yes/no raters beyond chance. first, second: (n,) bool. Returns a float."""
    agree = (first == second).float().mean()
    p, q = first.float().mean(), second.float().mean()
    chance = p * q + (1 - p) * (1 - q)
    return float((agree - chance) / (1 - chance)) if chance < 1 else 0.0


def check_kappa(function):
    first = torch.tensor([True] * 8 + [False] * 2)
    second = torch.tensor([True] * 5 + [False] * 3 + [True, False])
    expected = kappa(first, second)
    result = call(function, first, second)
    expect_type(result, (float, torch.Tensor, np.floating), "Return one number.")
    expect_shape(result, (), "Return one number.")
    if result != result:
        raise Mistake("Your result is not a number. Look for a division by zero.")
    agree = float((first == second).float().mean())
    p, q = float(first.float().mean()), float(second.float().mean())
    chance = p * q + (1 - p) * (1 - q)
    if not is_close(result, expected):
        if is_close(result, agree):
            raise Mistake(
                "This is the plain share of agreement. Two raters who both say yes most of the time agree often by "
                "chance: subtract what chance gives, and divide by what it leaves."
            )
        if is_close(result, (agree - 0.5) / 0.5):
            raise Mistake(
                "You took chance agreement as one half. That holds only when both say yes half of the time: compute it "
                "from the two shares of yes."
            )
        if is_close(result, (agree - p * q) / (1 - p * q)):
            raise Mistake("You counted agreeing by chance on yes only. They can also agree by chance on no.")
        if is_close(result, agree - chance):
            raise Mistake(
                "You subtracted chance but did not divide by 1 - chance, so perfect agreement would not be 1."
            )
        phi = float(np.corrcoef(first.numpy(), second.numpy())[0, 1])
        if is_close(result, phi):
            raise Mistake(
                "This is the correlation. Close, but kappa also falls when the two say yes at different rates."
            )
        raise Mistake("This isn't kappa: (agreement - chance) / (1 - chance), chance from both raters' shares of yes.")
    for one, other in ((first, first), (first, ~first), (second, first)):
        if not is_close(call(function, one, other), kappa(one, other)):
            raise Mistake("Right on one example and wrong on another: kappa of a rater with itself is 1.")


# -------------------------------------------------------------------------------------------- 4.5 knowledge or truth


def accuracy_by_knowledge(probe_margin, known):
    """The probe's paired accuracy where the likelihood is right and where it is wrong. Returns two floats."""
    right = (probe_margin > 0).float()
    return float(right[known].mean()), float(right[~known].mean())


def check_accuracy_by_knowledge(function):
    probe = torch.tensor([2.0, 0.1, -0.3, 1.0, -5.0, -0.2, 3.0, -1.0])
    known = torch.tensor([True, True, True, True, True, False, False, False])
    expected = accuracy_by_knowledge(probe, known)
    result = call(function, probe, known)
    expect_type(result, (tuple, list, torch.Tensor), "Return two numbers: (where known, where not known).")
    expect_shape(list(result), (2,), "Return two numbers: (where known, where not known).")
    pair = [float(x) for x in result]
    if is_close(pair, expected):
        return
    right = (probe > 0).float()
    if is_close(pair, expected[::-1]):
        raise Mistake("The two numbers are swapped: first the pairs the likelihood gets right, then the others.")
    if is_close(pair, [float((right[known]).sum() / len(probe)), float(right[~known].sum() / len(probe))]):
        raise Mistake(
            "You divided by all pairs. Each accuracy is conditional: divide by the number of pairs of its own kind."
        )
    wanted = [float(known[probe > 0].float().mean()), float(known[probe <= 0].float().mean())]
    if is_close(pair, wanted):
        raise Mistake(
            "You conditioned the other way: how often the likelihood is right where the probe is. Ask how often the "
            "*probe* is right where the likelihood is."
        )
    if is_close(pair, [float(probe[known].mean()), float(probe[~known].mean())]):
        raise Mistake("You averaged margins. A few large ones then decide; count how often the margin is above 0.")
    if is_close(pair, [expected[0], 1 - expected[1]]):
        raise Mistake("The second number is upside down: count the probe as right when it agrees with the *truth*.")
    raise Mistake(
        "These aren't the two accuracies. Share of probe margins above 0, among known pairs and among the rest."
    )


# ------------------------------------------------------------------------------------------------- 4.6 a low-rank dose


def merge_low_rank(weight, a, b, scale):
    """W + scale * B A. weight (d_out, d_in), a (rank, d_in), b (d_out, rank) -> (d_out, d_in)."""
    return weight + scale * (b @ a).to(weight)


def check_merge_low_rank(function):
    generator = torch.Generator().manual_seed(4)
    # Square on purpose at first: then every wrong product still has the right shape.
    weight, a, b = (torch.randn(4, 4, generator=generator) for _ in range(3))
    scale = 2.0
    expected = merge_low_rank(weight, a, b, scale)
    result = call(function, weight, a, b, scale)
    expect_type(result, torch.Tensor)
    expect_shape(result, (4, 4), "The merged matrix has the shape of `weight`.")
    if not is_close(result, expected):
        if is_close(result, scale * (b @ a)):
            raise Mistake("This is the change alone. The organism computes with the old weights *plus* the change.")
        if is_close(result, weight + b @ a):
            raise Mistake("The scale is missing: without it the adapter is put on at the wrong dose.")
        if is_close(result, weight + scale * (a @ b)):
            raise Mistake("The product is the wrong way round: A reads the input first, so the change is B @ A.")
        if is_close(result, weight + scale * (b @ a).T):
            raise Mistake("The change is transposed. `weight` is (d_out, d_in), and so is B @ A as it stands.")
        if is_close(result, weight + scale * b * a):
            raise Mistake("`*` multiplies entry by entry. The change is a matrix product: `@`.")
        if is_close(result, scale * (weight + b @ a)):
            raise Mistake("The scale belongs to the change only, not to the model's own weights.")
        raise Mistake("This isn't W + scale * B A.")
    weight, a, b = torch.randn(5, 3), torch.randn(2, 3), torch.randn(5, 2)
    if not is_close(call(function, weight, a, b, 0.5), merge_low_rank(weight, a, b, 0.5)):
        raise Mistake("Right for square matrices, wrong for others: A is (rank, d_in), B is (d_out, rank).")


# --------------------------------------------------------------------------------------------------- 4.7 recovery map


def recovery_map(patched, clean, corrupt):
    """Median recovery over pairs. patched (pair, layer, site), clean (pair,), corrupt (pair,) -> (layer, site)."""
    span = (clean - corrupt)[:, None, None]
    return ((patched - corrupt[:, None, None]) / span).quantile(0.5, dim=0)


def check_recovery_map(function):
    # As many pairs as layers and sites, so that a wrong broadcast runs without complaint.
    generator = torch.Generator().manual_seed(2)
    patched = torch.rand(3, 3, 3, generator=generator) * 6 - 2
    clean, corrupt = torch.tensor([4.0, 2.0, 9.0]), torch.tensor([-3.0, -1.0, 1.0])
    expected = recovery_map(patched, clean, corrupt)
    result = call(function, patched, clean, corrupt)
    expect_type(result, torch.Tensor)
    expect_shape(result, (3, 3), "One number a layer and site: the pairs are averaged away.")
    expect_finite(result)
    span = (clean - corrupt)[:, None, None]
    each = (patched - corrupt[:, None, None]) / span
    if is_close(result, expected):
        more = torch.rand(5, 2, 4, generator=generator)
        clean, corrupt = torch.rand(5, generator=generator) + 2, -torch.rand(5, generator=generator)
        if not is_close(call(function, more, clean, corrupt), recovery_map(more, clean, corrupt)):
            raise Mistake("Right for one shape, wrong for another: patched is (pair, layer, site).")
        return
    if is_close(result, each.mean(0)):
        raise Mistake(
            "You took the mean. A pair with a small clean-corrupt distance then outweighs the rest: take the median."
        )
    pooled = (patched.mean(0) - corrupt.mean()) / (clean.mean() - corrupt.mean())
    if is_close(result, pooled) or is_close(
        result, (patched.median(0).values - corrupt.median()) / (clean.median() - corrupt.median())
    ):
        raise Mistake("You averaged over pairs before dividing. Each pair has its own two ends: normalise it first.")
    if is_close(result, ((patched - corrupt) / (clean - corrupt)).median(0).values):
        raise Mistake(
            "The pairs' ends were lined up with the sites (the last axis). Give them the shape (pair, 1, 1): "
            "`corrupt[:, None, None]`."
        )
    if is_close(result, (patched / span).median(0).values):
        raise Mistake("0 must mean 'as in the corrupt run': subtract `corrupt` before you divide.")
    if is_close(result, ((clean[:, None, None] - patched) / span).median(0).values):
        raise Mistake("Upside down: a patch that does nothing should give 0, one that restores everything 1.")
    if is_close(result, (patched - corrupt[:, None, None]).median(0).values):
        raise Mistake("You did not divide by clean - corrupt: the result is in nats, not a share.")
    raise Mistake("This isn't the median over pairs of (patched - corrupt) / (clean - corrupt).")


# ------------------------------------------------------------------------------------------------ 4.8 swap test


def swap_test(first, second, statistic, n_draws=1000, seed=0):
    """p-value of statistic(first, second) when each pair's two maps may trade places. Returns a float."""
    generator = torch.Generator().manual_seed(seed)
    observed, as_large = statistic(first, second), 0
    for _ in range(n_draws):
        trade = torch.rand(len(first), generator=generator) < 0.5
        trade = trade.reshape(-1, *[1] * (first.ndim - 1))
        one, other = torch.where(trade, second, first), torch.where(trade, first, second)
        as_large += bool(statistic(one, other) >= observed - 1e-9)
    return (1 + as_large) / (1 + n_draws)


def _distance(first, second):
    return float((first.mean(0) - second.mean(0)).norm())


def check_swap_test(function):
    generator = torch.Generator().manual_seed(0)
    # A: pairs differ a lot from one another, and little, but always alike, within: only a paired test sees it.
    base = torch.randn(8, 1, 1, generator=generator) * 20 + torch.zeros(8, 2, 3)
    first, second = base + 1.0, base.clone()
    seen = []

    def spy(one, other):
        seen.append((one.clone(), other.clone()))
        return _distance(one, other)

    result = call(function, first, second, spy, 400, 0)
    expect_type(result, (float, torch.Tensor, np.floating), "Return the p-value as one number.")
    expect_shape(result, (), "Return the p-value as one number.")
    p = float(result)
    if not 0 <= p <= 1:
        raise Mistake(f"A p-value lies between 0 and 1; yours is {p:.3g}. Divide by the number of draws plus one.")
    if len(seen) < 101:
        raise Mistake(
            f"`statistic` was called {len(seen)} times; expected once for the data and once for each of 400 draws."
        )
    together = torch.stack([first, second], 1)
    for one, other in seen[1:]:
        if one.shape != first.shape or other.shape != second.shape:
            raise Mistake("A draw must keep the shapes: as many maps on each side as before.")
        kept = torch.stack([one, other], 1)
        whole = (kept == together).flatten(1).all(1) | (kept == together.flip(1)).flatten(1).all(1)
        if not bool(whole.all()):
            flat = (kept == together).reshape(len(first), 2, -1) | (kept == together.flip(1)).reshape(len(first), 2, -1)
            if bool(flat.all()):
                raise Mistake(
                    "You swapped single entries of a map. A map trades places as a whole: one coin for each pair."
                )
            raise Mistake(
                "You mixed maps of different pairs. Within a pair only: its two maps trade places or stay, so what "
                "makes pairs differ from one another cancels."
            )
    swaps = torch.stack([(one != first).flatten(1).any(1) for one, _ in seen[1:]]).float()
    if not bool(((swaps.mean(1) > 0) & (swaps.mean(1) < 1)).any()):
        raise Mistake("In each draw all pairs traded places, or none did. Toss a coin for each pair separately.")
    # With eight pairs 2 of 256 assignments are as extreme as the data.
    if p == 0:
        raise Mistake(
            "The p-value is 0, which no finite number of draws can show. Count the data as one of the draws: (1 + "
            "number as large) / (1 + number of draws)."
        )
    if p > 0.5:
        raise Mistake("Upside down: count the draws whose statistic is *at least* as large as the data's.")
    if p > 0.06:
        raise Mistake(
            "This p-value is too large for maps that differ alike in every pair. Compare each draw with the data."
        )
    # B: nothing differs, so every draw ties with the data.
    tie = float(call(function, first, first.clone(), _distance, 200, 1))
    if not is_close(tie, 1.0):
        raise Mistake("When both maps are the same, every draw is as large as the data and p is 1: count ties (>=).")
    exact = (1 + sum(_distance(*s) >= _distance(first, second) - 1e-6 for s in seen[1:])) / len(seen)
    if not is_close(p, exact, 0.02):
        raise Mistake(
            "The count and the draws don't match. p = (1 + number of draws as large) / (1 + number of draws)."
        )


EXERCISES = [
    Exercise("4.1", "Likelihood, pair by pair", paired_margin, check_paired_margin),
    Exercise("4.2", "Words as log-odds", answer_log_odds, check_answer_log_odds),
    Exercise("4.3", "Bias, order, and what is left", bias_order_separation, check_bias_order_separation),
    Exercise("4.4", "Agreement beyond chance", kappa, check_kappa),
    Exercise("4.5", "Knowledge or truth?", accuracy_by_knowledge, check_accuracy_by_knowledge),
    Exercise("4.6", "Put the judge on", merge_low_rank, check_merge_low_rank),
    Exercise("4.7", "A recovery map over pairs", recovery_map, check_recovery_map),
    Exercise("4.8", "The swap test", swap_test, check_swap_test),
]

QUIZ = [
    Question(
        "The specimen's yes/no answers have an AUROC near one half on these claims. What follows?",
        [
            Option(
                "It does not know the facts.",
                False,
                "Its likelihood prefers the true ending far more often than not, so something in it does.",
            ),
            Option(
                "With these questions, its yes and no carry no information about these claims.",
                True,
                "That is what was measured. Another question, examples or training may connect them.",
            ),
            Option(
                "It lies.",
                False,
                "Lying needs an answer that tracks the truth and turns it round. Chance tracks nothing.",
            ),
        ],
    ),
    Question(
        "'True or false?' becomes 'false or true?' and the share of True answers collapses. Why keep both orders?",
        [
            Option(
                "Their mean cancels the pull of the order, and their difference measures it.",
                True,
                "Zhao et al. 2021 (2102.09690) describe such biases for few-shot prompts.",
            ),
            Option(
                "To pick the order that is more accurate.",
                False,
                "Choosing after looking reports a number because it is high.",
            ),
            Option(
                "It is the same question, so one order is enough.",
                False,
                "The same to you. The table above shows that it isn't the same to the specimen.",
            ),
        ],
    ),
    Question(
        "On cities the probe is less accurate where the likelihood is wrong, yet above one half. What is open?",
        [
            Option(
                "It reads truth itself, whatever the model knows.",
                False,
                "Then it would be as accurate where the likelihood is wrong.",
            ),
            Option(
                "It and the likelihood draw on partly the same knowledge, each with its own noise.",
                True,
                "That fits both numbers. So do easier and harder entities: difficulty is common to both.",
            ),
            Option(
                "It reads the likelihood.",
                False,
                "Then it would be below one half where the likelihood is wrong.",
            ),
        ],
    ),
    Question(
        "Completion and judgement prompts share their first words. What can differ in the model on those words?",
        [
            Option(
                "Nothing: a causal model's activations there depend on those words only.",
                True,
                "The lesson checks it: the difference is zero. Only later positions can do something else with them.",
            ),
            Option(
                "The recall of the fact, because the task is another.",
                False,
                "The task isn't there yet: attention looks back, never ahead.",
            ),
            Option(
                "Whatever the question makes it attend to.",
                False,
                "The question comes later, and earlier positions can't see it.",
            ),
        ],
    ),
    Question(
        "A paper shows one prompt patched in both tasks, with different heat maps, and says 'different mechanisms'.",
        [
            Option(
                "The maps differ, so the mechanisms do.",
                False,
                "Two phrasings of one question also give different maps. How different is the question.",
            ),
            Option(
                "Missing: many pairs, the distance between phrasings, and a control patch.",
                True,
                "And even then a map says where something passes, not how it is computed.",
            ),
            Option(
                "Patching can't tell anything about mechanisms.",
                False,
                "It can tell where information that decides the answer passes. That rules some accounts out.",
            ),
        ],
    ),
    Question(
        "The judge was taught by a small adapter. What does its map tell about models that judge without one?",
        [
            Option(
                "How they judge.",
                False,
                "It is one organism, trained in one way by us. Others may have learned another way.",
            ),
            Option(
                "That a judgement can be built on what a specimen knows, and where it passes in this one.",
                True,
                "An existence proof, and a worked example of the measurement.",
            ),
            Option(
                "Nothing at all.",
                False,
                "An existence proof is something: knowledge that could not be said can be connected.",
            ),
        ],
    ),
]
