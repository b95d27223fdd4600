"""Lesson 04, bananas: reference solutions, checks that name the likely mistake, and the quiz."""

from __future__ import annotations

import numpy as np
import torch

from utils.checks import Exercise, Option, Question, Score, choose
from utils.checks.calling import Mistake, call
from utils.checks.comparing import (
    expect_close,
    expect_each,
    expect_finite,
    expect_shape,
    expect_type,
    is_close,
    one_number,
    seeded,
)

# ------------------------------------------------------------------------------------------------ 4.1 paired margin


def paired_margin(log_likelihood, length, labels, pairs):
    """True ending's log-likelihood per token minus the false one's, one number a pair, in rising order of pair."""
    per_token = log_likelihood / length
    return torch.stack(
        [per_token[(pairs == p) & labels][0] - per_token[(pairs == p) & ~labels][0] for p in pairs.unique()]
    )


def check_paired_margin(function):
    # Pairs are interleaved, true and false come in either order, endings differ in length, margins have both signs.
    log_likelihood = torch.tensor([-2.0, -9.0, -3.0, -12.0, -1.0, -0.2])
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
        more = torch.tensor([-1.0, -2.5, -6.0, -4.0]), torch.tensor([1, 2, 3, 1])
        rest = torch.tensor([False, True, True, False]), torch.tensor([0, 9, 0, 9])
        message = "Right for three pairs and wrong for two others: use `labels` and `pairs` as they come."
        expect_close(call(function, *more, *rest), paired_margin(*more, *rest), message)
        return
    raw = paired_margin(log_likelihood, torch.ones_like(length), labels, pairs)
    if is_close(result, -expected):
        raise Mistake(
            "The sign is turned round: a pair the model gets right should come out positive, true minus false."
        )
    if is_close(result, expected.abs()):
        raise Mistake("You took absolute values. A pair that the model gets wrong must come out negative.")
    of_all = torch.stack([(log_likelihood / length)[pairs == p] for p in pairs.unique()])
    if is_close(result, of_all.sum(1)):
        raise Mistake("You added the two claims of a pair. Subtract the false one's from the true one's.")
    if is_close(result, paired_margin(log_likelihood * length**2, length, labels, pairs)):
        raise Mistake("You multiplied by `length`. A mean over tokens is the sum *divided* by their number.")
    if is_close(result, of_all[:, 0] - of_all[:, 1]) or is_close(result, of_all[:, 1] - of_all[:, 0]):
        raise Mistake(
            "You took a pair's claims in the order they come. `labels` says which of the two is the true one."
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
    one_each = torch.ones(2)
    side_by_side, apart = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 1, 0])
    both = torch.tensor([True, False])
    cases = [
        (
            (torch.tensor([-1.0, -3.0]), one_each, both, torch.tensor([0, 0])),
            [2.0],
            "One pair, -1 - (-3): the margin is 2.",
        ),
        (
            (torch.tensor([-4.0, -3.0]), torch.tensor([2, 1]), both, torch.tensor([0, 0])),
            [1.0],
            "One pair; -4 over two tokens is -2 each, -3 over one is -3: the margin is 1.",
        ),
        (
            (torch.tensor([-1.0, -3.0, -2.0, -7.0]), torch.ones(4), both.repeat(2), side_by_side),
            [2.0, 5.0],
            "Two pairs, each true claim before its false one: the margins are 2 and 5.",
        ),
        (
            (torch.tensor([-1.0, -2.0, -7.0, -3.0]), torch.ones(4), both.repeat_interleave(2), apart),
            [2.0, 5.0],
            "Two pairs, -1 with -3 and -2 with -7, both true claims first: the margins are 2 and 5.",
        ),
    ]
    expect_each(function, cases)
    expect_close(
        result,
        expected,
        "These aren't the margins. For each pair: log-likelihood / length of the true claim, minus the false one's.",
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
        if is_close(result, p_yes.log()) or is_close(result, p_no.log()):
            raise Mistake("This is one side alone. Log-odds compare: subtract the other answer's log-probability.")
        if is_close(result, logits[:, yes].logsumexp(-1)) or is_close(result, logits[:, no].logsumexp(-1)):
            raise Mistake("This is one side alone. Log-odds compare: subtract the other answer's `logsumexp`.")
        if is_close(result, logits[:, yes].logsumexp(-1) + logits[:, no].logsumexp(-1)):
            raise Mistake("You added the two sides. Log-odds are a difference: yes minus no.")
        if is_close(result, logits[:, yes[0]] - logits[:, no[0]]):
            raise Mistake("You used the first spelling on each side only. All spellings belong to the answer.")
        if is_close(result, logits[:, yes[-1]] - logits[:, no[-1]]):
            raise Mistake("You used the last spelling on each side only. All spellings belong to the answer.")
        if is_close(result, p_yes.log2() - p_no.log2()) or is_close(result, p_yes.log10() - p_no.log10()):
            raise Mistake("The logarithm has another base. Nats are wanted: the natural logarithm.")
        even, lean = torch.zeros(1, 3), torch.tensor([[0.0, 3.0, 1.0], [2.0, 0.0, 0.0]])
        cases = [
            ((even, [0], [1]), [0.0], "Equal logits, one spelling each: the log-odds are 0."),
            ((even, [0, 2], [1]), [np.log(2)], "Equal logits, two spellings of yes against one of no: log 2 = 0.693."),
            (
                (even, [0], [1, 2]),
                [-np.log(2)],
                "Equal logits, one spelling of yes against two of no: -log 2 = -0.693.",
            ),
            ((lean, [1], [2]), [2.0, 0.0], "One spelling each: the logits' difference, here 3 - 1 and 0 - 0."),
        ]
        expect_each(function, cases)
        message = "These aren't the log-odds. logsumexp over the yes columns, minus logsumexp over the no columns."
        expect_close(result, expected, message)
    other = torch.tensor([[1.0, -2.0, 0.5, 3.0, 0.0], [0.0, 1.0, 2.0, -1.0, 0.5], [2.0, 2.0, -3.0, 1.0, 1.5]])
    message = "Right for two prompts and wrong for three others: use `yes_ids` and `no_ids` as they come."
    sure = "Right where the model is in doubt and wrong where it is sure: log-odds have no bounds. Cut nothing off."
    cases = [
        ((other, [4], [2, 1]), answer_log_odds(other, [4], [2, 1]), message),
        ((8 * logits, yes, no), answer_log_odds(8 * logits, yes, no), sure),
    ]
    expect_each(function, cases, 1e-3)
    large = logits + 150.0
    if not is_close(call(function, large, yes, no), answer_log_odds(large, yes, no), 1e-3):
        raise Mistake(
            "Right for small logits, but it overflows for large ones: exp(150) is infinite in float32. Stay in "
            "logarithms (`logsumexp`), or take the softmax first."
        )


# --------------------------------------------------------------------------------------- 4.3 bias, order, separation


def bias_order_separation(odds, labels):
    """Split log-odds (order=2, n) into (bias, order effect, separation), three floats in nats."""
    balanced = odds.mean(0)
    true, false = balanced[labels].mean(), balanced[~labels].mean()
    return float((true + false) / 2), float((odds[0] - odds[1]).mean() / 2), float(true - false)


_ONE_TRUE = torch.tensor([True, False, False])
_UNEVEN = torch.tensor([[1.0, 2.0, 6.0, 0.0, -1.0, -5.0]]), torch.tensor([True, True, True, False, False, False])
SIMPLE_ODDS = [
    ((torch.full((2, 3), 2.0), _ONE_TRUE), (2.0, 0.0, 0.0), "Every answer leans to yes by 2: bias 2, nothing else."),
    (
        (torch.tensor([[1.0], [-1.0]]).expand(2, 3), _ONE_TRUE),
        (0.0, 1.0, 0.0),
        "1 in the first order, -1 in the second, whatever the claim: an order effect of 1, nothing else.",
    ),
    (
        (torch.tensor([[3.0, -3.0, -3.0]]).expand(2, 3), _ONE_TRUE),
        (0.0, 0.0, 6.0),
        "The true claim at 3, the false ones at -3, in both orders: a separation of 6, nothing else.",
    ),
    (
        (torch.cat([_UNEVEN[0] + 1, _UNEVEN[0]]), _UNEVEN[1]),
        (1.0, 0.5, 5.0),
        "True claims at 1, 2, 6 (mean 3), false ones at 0, -1, -5 (mean -2), and 1 more in the first order: bias 1, "
        "order effect 0.5, separation 5.",
    ),
]


def check_bias_order_separation(function):
    odds = torch.tensor([[4.0, 1.0, 2.2, 3.0, 2.5], [1.3, -2.1, 0.4, -0.9, 3.1]])
    labels = torch.tensor([True, False, False, False, True])
    expected = bias_order_separation(odds, labels)
    result = call(function, odds, labels)
    expect_type(result, (tuple, list), "Return (bias, order, separation).")
    if len(result) != 3:
        raise Mistake(f"Return three numbers, (bias, order, separation); got {len(result)}.")
    bias, order, separation = (one_number(x, "in nats") for x in result)
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
        if is_close(bias, bias_order_separation(odds[1:].expand(2, -1), labels)[0]):
            raise Mistake("Your bias uses the second order only. Average the two orders first.")
        if is_close(bias, expected[2] / 2):
            raise Mistake("Your bias is half the *difference* of the class means. Halfway is half of their sum.")
        if is_close(bias, float(balanced[labels].mean())) or is_close(bias, float(balanced[~labels].mean())):
            raise Mistake("Your bias is the mean of one class. Go halfway between the two class means.")
        if is_close(bias, -expected[0]):
            raise Mistake("Your bias has its sign turned round: an organism that likes to say yes has one above 0.")
        expect_each(function, SIMPLE_ODDS)
        message = "The bias isn't right. Average the two orders, then go halfway between the two class means."
        expect_close(bias, expected[0], message)
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
        if is_close(order, expected[1] / 2):
            raise Mistake("The order effect is half of what it is: divide the mean difference by 2, once.")
        if is_close(order, float(odds.mean())):
            raise Mistake("Your order effect is the mean of both orders. It is half of their *difference*.")
        if is_close(order, float(((odds[0] - odds[1]) / 2).median())):
            raise Mistake("Your order effect is a median over claims. Take the mean.")
        halves = (odds[0] - odds[1]) / 2
        if is_close(order, float(halves[labels].mean() + halves[~labels].mean()) / 2):
            raise Mistake("Your order effect weighs the two classes alike. Take the plain mean over all claims.")
        expect_each(function, SIMPLE_ODDS)
        message = "The order effect isn't right. Mean of (first order - second order), divided by 2."
        expect_close(order, expected[1], message)
    if not is_close(separation, expected[2]):
        if is_close(separation, -expected[2]):
            raise Mistake("The separation's sign is turned round: true claims minus false ones.")
        if is_close(separation, float(odds[0][labels].mean() - odds[0][~labels].mean())):
            raise Mistake("Your separation uses the first order only. Average the two orders first.")
        if is_close(separation, float(odds[1][labels].mean() - odds[1][~labels].mean())):
            raise Mistake("Your separation uses the second order only. Average the two orders first.")
        if is_close(separation, expected[2] / 2):
            raise Mistake("Your separation is half of it: true mean minus false mean, nothing divided.")
        if is_close(separation, 2 * expected[0]):
            raise Mistake("Your separation is the *sum* of the two class means. It is their difference.")
        expect_each(function, SIMPLE_ODDS)
        message = "The separation isn't right. Mean balanced log-odds of true claims minus that of false ones."
        expect_close(separation, expected[2], message)
    # Turned round, all three are below 0.
    again = [one_number(x, "in nats") for x in call(function, -odds, labels)]
    for name, came, wanted in zip(("bias", "order effect", "separation"), again, bias_order_separation(-odds, labels)):
        if is_close(came, -wanted):
            raise Mistake(f"Where the {name} is below 0 yours is above: no absolute values, the sign says which way.")
        expect_close(came, wanted, f"Right for one set of odds; for odds of the opposite sign the {name} is wrong.")


# -------------------------------------------------------------------------------------------------- 4.5 Cohen's kappa


def kappa(first, second):
    """Agreement of two yes/no raters beyond chance. first, second: (n,) bool. Returns a float."""
    agree = (first == second).float().mean()
    p, q = first.float().mean(), second.float().mean()
    chance = p * q + (1 - p) * (1 - q)
    return float((agree - chance) / (1 - chance)) if chance < 1 else 0.0


_HALF = torch.tensor([True, True, False, False])
_MOST = torch.tensor([True, True, True, False])
SIMPLE_RATERS = [
    ((_MOST, _MOST), 1.0, "A rater compared with itself agrees fully: kappa is 1."),
    ((_HALF, ~_HALF), -1.0, "Two raters who say yes half of the time and never agree: kappa is -1."),
    (
        (_HALF, _HALF[[0, 2, 1, 3]]),
        0.0,
        "Both say yes half of the time and agree half of the time, as chance has it: 0.",
    ),
    ((_MOST, _HALF), 0.5, "Agreement 3/4, shares of yes 3/4 and 1/2, so chance is 1/2: kappa is 1/2."),
    (
        (_MOST, _MOST[[3, 0, 1, 2]]),
        -1 / 3,
        "Agreement 1/2, both say yes 3/4 of the time, so chance is 5/8: kappa is -1/3.",
    ),
]


def check_kappa(function):
    first = torch.tensor([True] * 8 + [False] * 2)
    second = torch.tensor([True] * 5 + [False] * 3 + [True, False])
    expected = kappa(first, second)
    result = call(function, first, second)
    result = one_number(result, "kappa")
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
        if is_close(result, (agree - (1 - p) * (1 - q)) / (1 - (1 - p) * (1 - q))):
            raise Mistake("You counted agreeing by chance on no only. They can also agree by chance on yes.")
        for share, whose in ((p, "first"), (q, "second")):
            alone = share**2 + (1 - share) ** 2
            if is_close(result, (agree - alone) / (1 - alone)):
                raise Mistake(f"Chance was worked out from the {whose} rater's share of yes alone. Use both: p·q.")
        if is_close(result, chance):
            raise Mistake("This is chance agreement itself. Kappa is what goes beyond it: (agreement - chance) / …")
        if is_close(result, -expected):
            raise Mistake("The sign is turned round: full agreement should give 1.")
        if is_close(result, (agree - chance) / chance):
            raise Mistake("You divided by chance. Divide by what chance leaves: 1 - chance.")
        if is_close(result, (agree - chance) / (1 - agree)):
            raise Mistake("You divided by 1 - agreement. Divide by what chance leaves: 1 - chance.")
        expect_each(function, SIMPLE_RATERS)
        message = "This isn't kappa: (agreement - chance) / (1 - chance), chance from both raters' shares of yes."
        expect_close(result, expected, message)
    for one, other in ((first, first), (first, ~first), (second, first), (first[1:8], ~second[1:8])):
        again, wanted = one_number(call(function, one, other), "kappa"), kappa(one, other)
        if wanted < 0 and (is_close(again, -wanted) or is_close(again, 0.0)):
            raise Mistake(
                f"Two raters who agree less often than chance have a kappa below 0; here {wanted:.2f}, yours is "
                f"{again:.2f}. Keep the sign: no clamp, no absolute value."
            )
        if not is_close(again, wanted):
            raise Mistake("Right on one example and wrong on another: kappa of a rater with itself is 1.")
    alike = torch.ones(4, dtype=torch.bool)
    for always in (alike, ~alike):
        came = call(function, always, always)
        if not is_close(came, 0.0):
            raise Mistake(
                "Two raters who always give one and the same answer agree by chance already (chance is 1): return 0.0 "
                f"there instead of dividing by 0. Yours is {float(came):.3g}."
            )


# ---------------------------------------------------------------------------------------- 4.6 agreement out of nothing


def fooling_raters(easy, generator):
    """Two raters, each tossing coins of its own: right nine times in ten on easy facts, once in ten on hard ones."""
    share = torch.where(easy, 0.9, 0.1)
    return tuple(torch.rand(len(easy), generator=generator) < share for _ in range(2))


_TIED = (
    "Within the {kind} facts your raters know of each other. Each must toss coins of its own: what they share may be "
    "the difficulty of the fact, and nothing else."
)


def check_fooling_raters(function):
    reached, low = 0, 1.0
    ties: dict[str, list[float]] = {"easy": [], "hard": []}
    for turn in range(40):
        easy = torch.rand(1500, generator=seeded(100 + turn)) < 0.3 + 0.01 * turn
        result = call(function, easy, seeded(turn))
        expect_type(result, (tuple, list), "Return two raters: (first, second).")
        if len(result) != 2:
            raise Mistake(f"Return two raters, (first, second); got {len(result)}.")
        first, second = (_rater(rater, len(easy)) for rater in result)
        for kind, mask in (("easy", easy), ("hard", ~easy)):
            for one in (first, second):
                share = float(one[mask].float().mean())
                if share < 0.02 or share > 0.98:
                    raise Mistake(
                        f"On {kind} facts a rater of yours is right {share:.1%} of the time. Real raters are "
                        "sometimes right and sometimes wrong on both kinds: 5 % and 95 % are far enough apart."
                    )
            ties[kind].append(_table_correlation(first[mask], second[mask]))
            if abs(ties[kind][-1]) > 0.16:
                raise Mistake(_TIED.format(kind=kind))
        if float(first[easy].float().mean()) < float(first[~easy].float().mean()) - 0.2:
            raise Mistake("Your first rater is right more often on hard facts than on easy ones.")
        if turn == 0:
            other = [_rater(rater, len(easy)) for rater in call(function, easy, seeded(1000))]
            if any(torch.equal(*both) for both in zip((first, second), other)):
                raise Mistake("Another generator, the same answers: let both raters toss coins with `generator`.")
        found = kappa(first, second)
        reached, low = reached + (found >= 0.4), min(low, found)
    for kind, found in ties.items():  # a weak tie shows only over all mixes; the mean of 40 has an error below 0.008
        if abs(float(np.mean(found))) > 0.04:
            raise Mistake(_TIED.format(kind=kind))
    hint = (
        f"Its lowest kappa was {low:.2f}, and 0.4 is wanted each time. Within a kind nothing may be shared, so let the "
        "kinds differ more: how often is a rater right on easy facts, how often on hard ones?"
    )
    return Score(reached / 40, 0.95, 40, "mixes of easy and hard facts", hint)


def _rater(rater, n):
    """One rater's answers as n bools."""
    expect_shape(rater, (n,), "A rater says of every fact whether it gets it right.")
    rater = torch.as_tensor(rater)
    if not bool(((rater == 0) | (rater == 1)).all()):
        raise Mistake("A rater is right or wrong on each fact: return bools, not probabilities.")
    return rater.bool()


def _table_correlation(first, second):
    """Correlation of two rows of bools; its standard error without any tie is 1 / sqrt(n)."""
    return float(torch.corrcoef(torch.stack([first.double(), second.double()]))[0, 1])


# --------------------------------------------------------------------------------------------------- 4.7 recovery map


def recovery_map(patched, clean, corrupt):
    """Median recovery over pairs. patched (pair, layer, site), clean (pair,), corrupt (pair,) -> (layer, site)."""
    span = (clean - corrupt)[:, None, None]
    return ((patched - corrupt[:, None, None]) / span).quantile(0.5, dim=0)


def check_recovery_map(function):
    # As many pairs as layers and sites, so that a wrong broadcast runs without complaint; an even number of them, so
    # that there are two middle ones; and a pair whose clean run lies below its corrupt one.
    generator = torch.Generator().manual_seed(2)
    patched = torch.rand(4, 4, 4, generator=generator) * 6 - 2
    clean, corrupt = torch.tensor([4.0, 2.0, 9.0, -2.5]), torch.tensor([-3.0, -1.0, 1.0, 1.5])
    expected = recovery_map(patched, clean, corrupt)
    result = call(function, patched, clean, corrupt)
    expect_type(result, torch.Tensor)
    expect_shape(result, (4, 4), "One number a layer and site: the pairs are averaged away.")
    expect_finite(result)
    if is_close(result, expected):
        more = torch.rand(5, 2, 3, generator=generator)
        clean, corrupt = torch.rand(5, generator=generator) + 2, -torch.rand(5, generator=generator)
        message = "Right for one shape, wrong for another: patched is (pair, layer, site)."
        expect_close(call(function, more, clean, corrupt), recovery_map(more, clean, corrupt), message)
        return
    _name_recovery(result, patched, clean, corrupt)
    expect_close(result, expected, "This isn't the median over pairs of (patched - corrupt) / (clean - corrupt).")


def _name_recovery(result, patched, clean, corrupt):
    """Raise the `Mistake` that made this map, if it is a known one."""
    span = (clean - corrupt)[:, None, None]
    gain = patched - corrupt[:, None, None]
    each = gain / span
    if is_close(result, each.median(0).values):
        raise Mistake(
            "With an even number of pairs torch's `median` is the *lower* of the two in the middle. The median lies "
            "halfway between them: `.quantile(0.5, dim=0)`."
        )
    if is_close(result, each.sort(0).values[2]):
        raise Mistake("This is the *upper* of the two in the middle. The median lies halfway between them.")
    if is_close(result, each.mean(0)):
        raise Mistake(
            "You took the mean. A pair with a small clean-corrupt distance then outweighs the rest: take the median."
        )
    for middle in (lambda table: table.quantile(0.5, dim=0), lambda table: table.median(0).values):
        ends = middle(clean), middle(corrupt)
        pooled = (patched.mean(0) - corrupt.mean()) / (clean.mean() - corrupt.mean())
        if is_close(result, pooled) or is_close(result, (middle(patched) - ends[1]) / (ends[0] - ends[1])):
            raise Mistake(
                "You averaged over pairs before dividing. Each pair has its own two ends: normalise it first."
            )
        for wrong, message in (
            (
                (patched - corrupt) / (clean - corrupt),
                "The pairs' ends were lined up with the sites (the last axis). Give them the shape (pair, 1, 1): "
                "`corrupt[:, None, None]`.",
            ),
            (
                (patched - corrupt[:, None]) / (clean - corrupt)[:, None],
                "The pairs' ends were lined up with the layers. Give them the shape (pair, 1, 1): "
                "`corrupt[:, None, None]`.",
            ),
            (patched / span, "0 must mean 'as in the corrupt run': subtract `corrupt` before you divide."),
            (
                patched / clean[:, None, None],
                "This is a share of the clean value. 0 must mean 'as in the corrupt run': subtract `corrupt` first.",
            ),
            (gain / clean[:, None, None], "You divided by `clean`. The whole way is `clean - corrupt`."),
            (
                gain / (clean + corrupt)[:, None, None],
                "You divided by `clean + corrupt`. The whole way is their distance, `clean - corrupt`.",
            ),
            (
                (patched + corrupt[:, None, None]) / span,
                "You added `corrupt`. The way a patch has come is `patched - corrupt`.",
            ),
            (
                gain / span.abs(),
                "You divided by the distance without its sign. Where clean lies below corrupt, a patch that restores "
                "the answer moves down: divide by `clean - corrupt` as it is.",
            ),
            (1 - each, "Upside down: a patch that does nothing should give 0, one that restores everything 1."),
            (-each, "The sign is turned round: a patch that restores the answer should give 1."),
            (each.abs(), "You took absolute values. Below 0 a patch pushes the wrong way: keep the sign."),
            (each.clamp(0, 1), "You clipped to 0 and 1. Values outside happen and mean something: keep them."),
            (gain, "You did not divide by clean - corrupt: the result is in nats, not a share."),
        ):
            if is_close(result, middle(wrong)):
                raise Mistake(message)


# --------------------------------------------------------------------------------------------------------- 4.8 hide


def hide(scores, span, heads=None):
    """Later positions can't look at the subject. scores (batch, head, query, key), before the softmax -> the same."""
    start, stop = span
    new = scores.clone()
    chosen = slice(None) if heads is None else heads
    part = new[:, chosen, stop:]
    part[..., start:stop] = -torch.inf
    new[:, chosen, stop:] = part
    return new


def check_hide(function):
    scores = torch.randn(2, 3, 7, 7, generator=seeded(8)) * 2
    span = (2, 4)
    expected = hide(scores, span)
    result = call(function, scores, span)
    expect_type(result, torch.Tensor, "Return the scores, some of them changed.")
    expect_shape(result, (2, 3, 7, 7), "The scores keep their shape.")
    if bool(torch.isnan(result).any()):
        raise Mistake("There are NaN in your scores. Minus infinity is `-torch.inf`; 0 times infinity is no number.")
    _name_hidden(result, scores, span)
    weights = expected.softmax(-1)
    expect_close(result.softmax(-1), weights, "These aren't the scores with the subject hidden from later positions.")
    others = ((scores, (1, 2)), (scores[:, :, :5, :5], (0, 2)), (scores[..., 1:, :], (2, 5)))
    for more, other in others[:2]:
        came = call(function, more, other)
        expect_shape(came, tuple(more.shape), "The scores keep their shape.")
        message = f"Right for the subject at {span}, wrong for {other}: use `span`."
        expect_close(came.softmax(-1), hide(more, other).softmax(-1), message)
    for heads in ([1], [0, 2]):
        came = call(function, scores, span, heads)
        expect_shape(came, (2, 3, 7, 7), "The scores keep their shape.")
        if is_close(came.softmax(-1), weights):
            raise Mistake("All heads were blinded where only some should be: use `heads`.")
        rest = [head for head in range(3) if head not in heads]
        if is_close(came.softmax(-1), hide(scores, span, rest).softmax(-1)):
            raise Mistake("You blinded all heads but those in `heads`.")
        message = f"With heads={heads} only these may be blinded, and all the others stay as they were."
        expect_close(came.softmax(-1), hide(scores, span, heads).softmax(-1), message)
    large = scores - 1e6
    if not is_close(call(function, large, span).softmax(-1), hide(large, span).softmax(-1)):
        raise Mistake(
            "A hidden score wins where all the others are far below it: use `-torch.inf`, not a fixed number."
        )


def _name_hidden(result, scores, span):
    """Raise the `Mistake` that made these scores, if it is a known one."""
    start, stop = span
    rows = torch.arange(scores.shape[-2])[:, None]
    keys = torch.arange(scores.shape[-1])[None]
    inside = (keys >= start) & (keys < stop)

    def is_where(mask, value=-torch.inf):
        return is_close(result.softmax(-1), scores.masked_fill(mask, value).softmax(-1))

    if torch.equal(result, scores):
        raise Mistake(
            "Nothing changed: the scores that look at the subject should become minus infinity. (Without `heads` all "
            "heads are meant; an index of None picks none of them, it adds an axis.)"
        )
    for wrong, message in (
        (
            inside & (rows >= 0),
            "The subject's own tokens, and those before it, were blinded too. Only queries from `stop` on lose sight.",
        ),
        (
            inside & (rows >= start),
            "The subject's own tokens can't see each other any more: blind the queries from `stop` on.",
        ),
        (inside & (rows > stop), "The first position after the subject still sees it: queries from `stop` on."),
        (
            inside & (rows == scores.shape[-2] - 1),
            "Only the last position was blinded. *All* positions after the subject should lose sight of it.",
        ),
        (
            (keys >= start) & (keys <= stop) & (rows >= stop),
            "One token too many is hidden: the subject is start:stop, `stop` itself is no part of it.",
        ),
        (
            (keys < stop) & (rows >= stop),
            "Everything before the subject is hidden too. Hide the keys from `start` to `stop`.",
        ),
        ((keys >= start) & (rows >= stop), "Everything after the subject is hidden too. Hide the keys start:stop."),
        (
            ~inside & (rows >= stop),
            "The wrong way round: later positions see *only* the subject now.",
        ),
        (
            (rows >= start) & (rows < stop) & (keys >= stop),
            "Queries and keys changed places: the axes are (batch, head, query, key).",
        ),
    ):
        if is_where(wrong):
            raise Mistake(message)
    hidden = inside & (rows >= stop)
    if is_where(hidden, 0.0):
        raise Mistake(
            "A score of 0 is no blindfold: the softmax gives exp(0) = 1 to it. Before a softmax, hidden is minus "
            "infinity."
        )
    if is_where(hidden, torch.inf):
        raise Mistake("Plus infinity makes them see nothing *but* the subject. Hidden is minus infinity.")
    if is_close(result, scores.softmax(-1).masked_fill(hidden, 0.0)):
        raise Mistake("You took the softmax yourself. These are scores; the model takes the softmax after you.")


# ------------------------------------------------------------------------------------------ 4.9 a double dissociation


def pick_cuts(complete, judge):
    """The cut that takes completing and spares judging, and the one that does the opposite: two indices."""
    gap = judge.quantile(0.5, dim=0) - complete.quantile(0.5, dim=0)
    return int(gap.argmax()), int(gap.argmin())


def _lesions(seed):
    """Shares left of two tasks, (pair, cut) each: one cut is selective each way, one takes both, two take neither."""
    generator = seeded(seed)
    names = torch.randperm(6, generator=generator)
    kinds = [(0.35, 0.95), (0.95, 0.4), (0.1, 0.15), (0.95, 0.97), (1.0, 0.93), (0.75, 0.72)]
    tables = torch.zeros(2, 9, 6)
    for place, (complete, judge) in zip(names.tolist(), kinds):
        tables[0, :, place], tables[1, :, place] = complete, judge
    tables += 0.08 * torch.randn(tables.shape, generator=generator)
    # One pair a task has a tiny span, so its shares are wild: a mean follows it.
    for task in range(2):
        tables[task, int(torch.randint(9, (), generator=generator))] += 12 * torch.randn(6, generator=generator)
    return tables[0], tables[1], int(names[0]), int(names[1]), int(names[2])


def check_pick_cuts(function):
    right, both, other, averaged = 0, 0, 0, 0
    for turn in range(60):
        complete, judge, first, second, rough = _lesions(turn)
        result = call(function, complete, judge)
        expect_shape(result, (2,), "Return two cuts: (takes completing, takes judging).")
        found = []
        for value in list(result):
            number = one_number(value, "a cut")
            if number != int(number) or not 0 <= number < complete.shape[1]:
                raise Mistake(f"A cut is its column, 0 to {complete.shape[1] - 1}; got {number:.4g}.")
            found.append(int(number))
        right += found == [first, second]
        other += found == [second, first]
        both += rough in found
        means = judge.mean(0) - complete.mean(0)
        averaged += found == [int(means.argmax()), int(means.argmin())]
    if other > 40:
        raise Mistake("The two cuts are swapped: first the one that takes completing, then the one that takes judging.")
    hint = (
        f"In {both} of 60 you picked the cut that takes both tasks: it shows that something broke, not what. Ask of "
        "each cut how much it takes from one task *and* leaves of the other."
        if both > 15 and averaged < 50
        else "In some worlds one pair is wild, because its span is tiny. What resists one odd pair of nine?"
    )
    return Score(right / 60, 0.9, 60, "sets of cuts", hint)


# ------------------------------------------------------------------------------------------------ 4.10 swap test


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


def _traded(function, first, second, *settings, size=1.0):
    """Call a swap test and return its p-value with all that its statistic, of a given size, was called on."""
    seen = []

    def spy(one, other):
        seen.append((one.clone(), other.clone()))
        return size * _distance(one, other)

    p = one_number(call(function, first, second, spy, *settings), "the p-value")
    return p, seen


def check_swap_test(function):
    # A: pairs differ a lot from one another, and little, but always alike, within: only a paired test sees it.
    base = torch.randn(8, 1, 1, generator=torch.Generator().manual_seed(0)) * 20 + torch.zeros(8, 2, 3)
    first, second, n_draws = base + 1.0, base.clone(), 400
    p, seen = _traded(function, first, second, n_draws, 0)
    if not 0 <= p <= 1:
        raise Mistake(f"A p-value lies between 0 and 1; yours is {p:.3g}. Divide by the number of draws plus one.")
    # The data's own statistic is worked out once, or anew beside each draw.
    if len(seen) not in (n_draws + 1, 2 * n_draws):
        raise Mistake(
            f"`statistic` was called {len(seen)} times; expected once for the data and once for each "
            f"of {n_draws} draws."
        )
    traded = _check_draws(first, second, seen)
    _check_coins(traded)
    _check_p_value(p, first, second, seen, n_draws)
    again = [_traded(function, first, second, 60, seed)[1] for seed in (3, 3, 4)]
    for calls in again:
        if len(calls) not in (61, 120):
            raise Mistake(f"`statistic` was called {len(calls)} times for 60 draws: use the `n_draws` you are given.")
    draws = [torch.stack([one for one, _ in calls]) for calls in again]
    if not torch.equal(draws[0], draws[1]):
        raise Mistake("The same seed gave other draws. Make your own generator of `seed`, inside the function.")
    if torch.equal(draws[0], draws[2]):
        raise Mistake("Two seeds gave the same draws: `seed` isn't used.")
    # B: nothing differs, so every draw ties with the data.
    tie = float(call(function, first, first.clone(), _distance, 200, 1))
    if not is_close(tie, 1.0):
        raise Mistake("When both maps are the same, every draw is as large as the data and p is 1: count ties (>=).")
    _check_other_statistics(function)


def _check_draws(first, second, seen):
    """Each draw holds every pair's two maps, as they were or traded. -> (calls, pair) bool, True where traded."""
    together = torch.stack([first, second], 1)
    if not seen:
        raise Mistake("The `statistic` that was handed over was never called. Use it for the data and for each draw.")
    for one, other in seen:
        if one.shape != first.shape or other.shape != second.shape:
            raise Mistake("A draw must keep the shapes: as many maps on each side as before.")
        kept = torch.stack([one, other], 1)
        whole = (kept == together).flatten(1).all(1) | (kept == together.flip(1)).flatten(1).all(1)
        if not bool(whole.all()):
            flat = (kept == together).reshape(len(first), 2, -1) | (kept == together.flip(1)).reshape(len(first), 2, -1)
            entries = "You swapped single entries of a map. A map trades places as a whole: one coin for each pair."
            mixed = (
                "You mixed maps of different pairs. Within a pair only: its two maps trade places or stay, so what "
                "makes pairs differ from one another cancels."
            )
            raise Mistake(entries if bool(flat.all()) else mixed)
    return torch.stack([(one != first).flatten(1).any(1) for one, _ in seen])


def _check_coins(traded):
    """One fair coin for each pair and draw."""
    tossed = traded[traded.any(1)]  # without the calls on the data themselves
    if len(tossed) == 0:
        raise Mistake("No pair ever traded places. Toss a coin for each pair: trade, or keep.")
    if bool((tossed.float().mean(1) == 1).all()):
        raise Mistake("In each draw all pairs traded places, or none did. Toss a coin for each pair separately.")
    if len(tossed.unique(dim=0)) < 20:
        raise Mistake(
            f"Your draws hold only {len(tossed.unique(dim=0))} different ways of trading. Make the generator once, "
            "before the loop: one that is seeded anew in each draw tosses the same coins again."
        )
    share = float(tossed.float().mean())
    if not 0.45 < share < 0.55:
        raise Mistake(f"Your coin isn't fair: a pair traded places in {share:.0%} of the draws. Trade in half of them.")


def _check_p_value(p, first, second, seen, n_draws):
    """With eight pairs 2 of 256 assignments are as extreme as the data."""
    observed, calls_on_data = _distance(first, second), len(seen) - n_draws
    as_large = sum(_distance(*draw) >= observed - 1e-6 for draw in seen) - calls_on_data
    exact = (1 + as_large) / (1 + n_draws)
    if p == 0:
        raise Mistake(
            "The p-value is 0, which no finite number of draws can show. Count the data as one of the draws: (1 + "
            "number as large) / (1 + number of draws)."
        )
    if p > 0.5:
        raise Mistake("Upside down: count the draws whose statistic is *at least* as large as the data's.")
    if p > exact + 0.03:
        raise Mistake(
            "This p-value is too large for maps that differ alike in every pair. Compare each draw with the data."
        )
    if not is_close(p, exact, 0.02):
        raise Mistake(
            "The count and the draws don't match. p = (1 + number of draws as large) / (1 + number of draws)."
        )


def _check_other_statistics(function):
    """Twenty pairs, so that no draw is as large as the data; maps of one axis; a statistic that has a sign."""
    apart = torch.arange(20.0)[:, None] + torch.zeros(20, 3)
    try:
        p, seen = _traded(function, apart + 1, apart, 150, 0, size=1e-3)
        _check_draws(apart + 1, apart, seen)
    except Mistake as mistake:
        message = (
            f"It works for maps of shape (layer, site) but not for (site,): the docstring says (pair, ...). {mistake}"
        )
        raise Mistake(message) from None
    if not is_close(p, 1 / 151, 1e-6):
        raise Mistake(
            f"None of 150 draws is as large as the data, so p is (1 + 0) / (1 + 150) = {1 / 151:.5f}; yours is "
            f"{p:.5f}. The data counts as one of the draws, above and below."
        )
    _, seen = _traded(function, apart + 1, apart)
    if len(seen) not in (1001, 2000):
        raise Mistake(
            f"Without `n_draws` there should be 1000 draws, as the first line says; yours made {len(seen) - 1}."
        )
    p = one_number(
        call(function, apart, apart + 1, lambda one, other: float((one - other).mean()), 150, 0), "the p-value"
    )
    if p < 0.5:
        raise Mistake(
            "You took the statistic's absolute value. Here it is as far below 0 as it can be, so every draw is at "
            "least as large and p is 1: what counts as large is the statistic's own business."
        )
    if not is_close(p, 1.0, 1e-6):
        raise Mistake(
            f"The data's statistic is the smallest possible, so every draw counts and p is 1; yours is {p:.3g}."
        )


NULL = {
    "a": "Rows of one pair could then both be called true, and a group could hold more true ones than false ones: the "
    "real labels never look like that, so the null is another task.",
    "b": "All is as in the real run, the choice of depth included; only the meaning of the labels is gone, and each "
    "pair still has one true claim.",
    "c": "The depth was chosen on the real labels. A null that needn't choose has one chance to be lucky, the real run "
    "nine: it comes out too low.",
    "d": "A useful control for another question (what do trained weights add?). It says nothing about labels that "
    "any procedure could fit.",
}

SENTENCE = {
    "a": "The larger part of what is completed was written before block 10, where the judge reads too, and a "
    "state made for one task serves the other: nothing here shows a fact held twice.",
    "b": "It says what was cut, what it took and what it left, on which pairs, and what the design can't tell apart.",
    "c": "The adapter changes blocks 10 to 25 only, so blocks 5 to 9 are the specimen's own; and the same cut takes "
    "the probe's reading from the specimen without any adapter.",
    "d": "A p-value says that two things differ on these pairs. What they are is another question.",
}

EXERCISES = [
    Exercise("4.1", "Likelihood, pair by pair", paired_margin, check_paired_margin),
    Exercise("4.2", "Words as log-odds", answer_log_odds, check_answer_log_odds),
    Exercise("4.3", "Bias, order, and what is left", bias_order_separation, check_bias_order_separation),
    choose("4.4", "The same procedure, without meaning", "b", NULL),
    Exercise("4.5", "Agreement beyond chance", kappa, check_kappa),
    Exercise("4.6", "Agreement out of nothing", fooling_raters, check_fooling_raters, kind="attack"),
    Exercise("4.7", "A recovery map over pairs", recovery_map, check_recovery_map),
    Exercise("4.8", "A blindfold", hide, check_hide),
    Exercise("4.9", "A double dissociation", pick_cuts, check_pick_cuts, kind="design"),
    Exercise("4.10", "The swap test", swap_test, check_swap_test),
    choose("4.11", "The sentence that stands", "b", SENTENCE),
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
        "'Yes or no?' becomes 'no or yes?' and the answers move. Why keep both orders?",
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
        "Suppose a probe were less accurate where the likelihood is wrong in both wordings, yet clearly above one half "
        "there. (Ours has too few such facts to tell.) What would fit?",
        [
            Option(
                "It reads truth itself, whatever the model knows.",
                False,
                "Then it should be as accurate where the likelihood is wrong.",
            ),
            Option(
                "It and the likelihood draw on partly the same knowledge, each with its own noise.",
                True,
                "That would fit both numbers. So would easier and harder entities: difficulty is common to both.",
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
                "The lesson checks it: no more than rounding. Only later positions can do something else with them.",
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
        "A cut takes judging and spares completing: 'judging has a mechanism of its own'. What is missing?",
        [
            Option(
                "Nothing: what is spared has another mechanism.",
                False,
                "Judging may be the more fragile of two tasks that share all their parts: any rough cut would do this.",
            ),
            Option(
                "A second cut that does the reverse, on data that chose neither.",
                True,
                "Then neither task is merely the frailer one. What the two parts compute is still open.",
            ),
            Option(
                "A smaller p-value for the damage to judging.",
                False,
                "It makes sure that the damage is there. That it is special to judging is another claim.",
            ),
        ],
    ),
    Question(
        "The judge was taught by a small adapter. What does it tell about models that judge without one?",
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
