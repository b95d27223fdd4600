"""Lesson 06, dissecting the specimen: reference solutions, checks that name the likely mistake, and the quiz."""

from __future__ import annotations

from itertools import permutations

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


def _call(function, *args, hints):
    """`call`, with a sentence of advice added to an error whose message holds one of the words in `hints`."""
    try:
        return call(function, *args)
    except Mistake as mistake:
        for words, hint in hints.items():
            if words in str(mistake):
                raise Mistake(f"{mistake}. {hint}") from None
        raise


# ------------------------------------------------------------------------------------------------- 6.1 encoding


def encode_topk(x, W_enc, b_enc, b_dec, k):
    """The latents of a TopK autoencoder: the k largest pre-activations of each row, if positive. -> (n, d_sae)."""
    pre = (x - b_dec) @ W_enc + b_enc
    values, columns = pre.topk(k, dim=-1)
    return torch.zeros_like(pre).scatter(-1, columns, values.relu())


def _encoder_case():
    """More rows than k; some rows have fewer than k positive pre-activations; x is not contiguous."""
    generator = seeded(61)
    x = torch.randn(5, 6, generator=generator).T + 0.5
    W_enc = torch.randn(5, 9, generator=generator)
    b_enc, b_dec = torch.randn(9, generator=generator) - 1.2, torch.randn(5, generator=generator)
    return x, W_enc, b_enc, b_dec, 3


def _kept(pre, k, by=None, dim=-1):
    """`pre` where `by` (or `pre` itself) is among the k largest along `dim`, 0 elsewhere."""
    columns = (pre if by is None else by).topk(k, dim=dim).indices
    return torch.zeros_like(pre).scatter(dim, columns, pre.gather(dim, columns))


def check_encode_topk(function):
    given = x, W_enc, b_enc, b_dec, k = _encoder_case()
    wrong_side = "W_enc is (d_model, d_sae), so the rows come first: `(x - b_dec) @ W_enc`."
    into_rows = "`columns` are places in a row; `out[columns]` picks rows. Use out.scatter(-1, columns, values)."
    hints = {
        "shapes cannot be multiplied": wrong_side,
        "size mismatch": wrong_side,
        "shape mismatch": into_rows,
        "out of bounds": into_rows,
        "must match the s": "b_dec has d_model numbers and belongs to x; b_enc has d_sae and belongs to the latents.",
    }
    result = _call(function, *given, hints=hints)
    if isinstance(result, tuple):
        raise Mistake("topk gives two things, values and columns. Put the values into zeros at their columns: scatter.")
    expect_type(result, torch.Tensor, "Return the latents.")
    if tuple(result.shape) == (6, 3):
        raise Mistake(
            "Only k numbers a row came back. Put them back into their columns, with 0 in all others: scatter."
        )
    expect_shape(result, (6, 9), "One latent a column, one row for each row of x.")
    expect_finite(result)
    expected = encode_topk(*given)
    if not is_close(result, expected):
        others = {"x": x + 1, "W_enc": W_enc.flip(1), "b_enc": b_enc + 1, "b_dec": b_dec - 1}
        _name_encoding(result, expected, given)
        expect_used(function, named(encode_topk, given), others)
        _name_row(result, expected)
    once = encode_topk(x[:2], W_enc, b_enc, b_dec, 1)
    if not is_close(call(function, x[:2], W_enc, b_enc, b_dec, 1), once):
        raise Mistake("It is right for k = 3 and wrong for k = 1: use the k you are given.")
    twins = W_enc[:, [0, 0, 1, 1, 2, 2]], b_enc[[0, 0, 1, 1, 2, 2]]
    if int((call(function, x, *twins, b_dec, 1) > 0).sum(1).max()) > 1:
        raise Mistake(
            "Where two latents tie at the k-th place both are on: at most k may be. topk chooses one of them."
        )


def _name_encoding(result, expected, given):
    x, W_enc, b_enc, b_dec, k = given
    inner = (x - b_dec) @ W_enc
    pre = inner + b_enc
    by_size = "You chose by absolute size. A strongly negative pre-activation says no: choose the k *largest*."
    smallest = "You kept the k smallest of each row. Keep the k largest."
    mask = "This marks which latents are kept. Return their values, with 0 in all other places."
    flat = pre.flatten()
    known = [
        (_kept(x @ W_enc + b_enc, k).relu(), "b_dec isn't taken off. The encoder sees x - b_dec."),
        (_kept((x + b_dec) @ W_enc + b_enc, k).relu(), "You added b_dec to x. It is taken off: x - b_dec."),
        (_kept(inner, k).relu(), "b_enc is missing. Add it to the pre-activations before you choose."),
        (_kept(inner - b_enc, k).relu(), "You took b_enc off. It is added to the pre-activations."),
        (_kept(x @ W_enc, k).relu(), "Both biases are missing: x - b_dec goes in, and b_enc is added."),
        (
            _kept(pre, k),
            "Some latents are negative: a row may have fewer than k positive pre-activations. Put a ReLU on the values "
            "you keep.",
        ),
        (_kept(pre, k, by=pre.abs()), by_size),
        (_kept(pre, k, by=pre.abs()).relu(), by_size),
        (_kept(pre, k, by=pre.abs()).abs(), by_size),
        (
            pre.relu(),
            "Every positive pre-activation was kept: that is a plain ReLU. Keep the k largest of each row as well.",
        ),
        (pre, "These are the pre-activations. Now keep the k largest of each row, if positive, and 0 elsewhere."),
        (
            _kept(pre, k, dim=0).relu(),
            "Each column kept its k best rows. Each *row* chooses its own k: topk along the last axis, dim=-1.",
        ),
        (
            _kept(pre, k, dim=0),
            "Each column kept its k best rows, negative ones too. Choose along the last axis, dim=-1, and add a ReLU.",
        ),
        (
            _kept(flat, k * len(x)).view_as(pre).relu(),
            "One threshold was used for the whole table, so rows keep different numbers: that is BatchTopK. Here each "
            "row keeps its own k.",
        ),
        (
            (_kept(inner, k) + b_enc * (_kept(inner, k) != 0)).relu(),
            "You chose before b_enc was added. Add it to the pre-activations first, then choose.",
        ),
        (
            (_kept(inner, k) + b_enc).relu(),
            "b_enc was added after the choice, and wakes others. Add it to the pre-activations first, then choose.",
        ),
        (_kept(flat, k).view_as(pre).relu(), "Only k latents were kept in the whole batch. Each row keeps its own k."),
        (_kept(pre, k + 1).relu(), "There are k + 1 latents in a row. Keep k."),
        (
            _kept(pre, k - 1).relu(),
            "There are only k - 1 latents in a row. If you compare with the k-th largest, it belongs in too: `>=`.",
        ),
        (_kept(pre, k, by=-pre), smallest),
        (_kept(pre, k, by=-pre).relu(), smallest),
        (_kept(-pre, k).relu(), smallest),
        ((expected > 0).float(), mask),
        ((_kept(pre, k) != 0).float(), mask),
    ]
    reject(result, known)
    if is_close(result.sort(-1).values, expected.sort(-1).values):
        raise Mistake("The values are right, their places aren't: put each one back into the column it came from.")
    best, places = pre.topk(k, dim=0)
    if is_close(result, torch.zeros_like(pre).scatter(-1, places, best.relu())):
        raise Mistake("The k best of each *column* were chosen, and put back as if of a row: dim=-1 in both, topk too.")


def _name_row(result, expected):
    recipe = "(x - b_dec) @ W_enc + b_enc; the k largest of each row; a ReLU; 0 elsewhere."
    row = int((result - expected).abs().amax(1).argmax())
    on, right = ((table[row] != 0).nonzero().flatten().tolist() for table in (result, expected))
    if on == right:
        raise Mistake(
            f"These aren't the right latents: in row {row} the right ones are on, with wrong values. {recipe}"
        )
    raise Mistake(
        f"These aren't the right latents: in row {row} those numbered {on} are on, expected {right}. {recipe}"
    )


# ------------------------------------------------------------------------------------------------- 6.2 the report card


def report_card(x, latents, W_dec, b_dec):
    """How much of x the latents explain, how many are on for a token, and the share that never is. -> dict."""
    error = x - (latents @ W_dec + b_dec)
    on = latents > 0
    return {
        "variance_explained": 1 - (error.square().sum() / (x - x.mean(0)).square().sum()).item(),
        "l0": on.float().sum(1).mean().item(),
        "dead": (~on.any(0)).float().mean().item(),
    }


def _card_case():
    """Two dead latents of seven, one token without any, dimensions with means far from 0, an error with a mean."""
    generator = seeded(62)
    latents = torch.rand(7, 11, generator=generator).T + 0.2
    latents = latents * (torch.rand(11, 7, generator=generator) < 0.5)
    latents[:, 0] = torch.rand(11, generator=generator) + 0.5
    latents[:, [2, 5]], latents[4], latents[0, 1:] = 0.0, 0.0, 0.0
    W_dec, b_dec = torch.randn(7, 4, generator=generator), torch.tensor([2.0, -1.0, 4.0, 0.5])
    x = latents @ W_dec + b_dec + 0.4 * torch.randn(11, 4, generator=generator) + 0.2
    return x, latents, W_dec, b_dec


def check_report_card(function):
    given = _card_case()
    wrong_side = "latents is (n, d_sae) and W_dec is (d_sae, d_model): `latents @ W_dec + b_dec`."
    hints = {"shapes cannot be multiplied": wrong_side, "must match the size": "Averages over tokens run along axis 0."}
    result = _call(function, *given, hints=hints)
    expect_type(result, dict, 'Return a dictionary: {"variance_explained": …, "l0": …, "dead": …}.')
    expected = report_card(*given)
    missing = [key for key in expected if key not in result]
    if missing:
        raise Mistake(f"The card has no {', '.join(repr(key) for key in missing)}. It holds {', '.join(expected)}.")
    recipes = {
        "variance_explained": "variance_explained isn't right: 1 - (sum of squared errors) / (sum of "
        "squared distances of x from its mean row), over all rows and dimensions.",
        "l0": "l0 isn't right: for each token count the latents above 0, then take the mean of the counts.",
        "dead": "dead isn't right: the share of latents (columns) that are 0 on every token.",
    }
    x, latents, W_dec, b_dec = given
    others = {"x": x.flip(1), "latents": latents.flip(1), "W_dec": W_dec.flip(1), "b_dec": b_dec.flip(0)}
    for key in expected:
        value = one_number(result[key], f"the value of {key!r}")
        if not is_close(value, expected[key], 1e-4):
            reject(value, _wrong_entries(*given)[key], 1e-4)
            expect_used(function, named(report_card, given), others)
        expect_close(value, expected[key], recipes[key], 1e-4)
    rare = torch.zeros(400, 5)
    rare[7, 1], rare[:, 2], rare[::3, 4] = 0.3, 1.0, 0.02
    many = rare @ W_dec[:5] + b_dec, rare, W_dec[:5], b_dec
    card = call(function, *many)
    if not is_close(card["dead"], 0.4):
        raise Mistake("A latent that is on for one token of 400 was called dead. It lives: dead ones are *never* on.")
    if not is_close(card["l0"], report_card(*many)["l0"]):
        raise Mistake("l0 is wrong where latents are on by as little as 0.02. On is whatever is above 0.")


def _wrong_entries(x, latents, W_dec, b_dec):
    """For each key of the card, what the likely mistakes would give, and what to say to them."""
    error, spread = x - (latents @ W_dec + b_dec), x - x.mean(0)
    squares, total, n = error.square().sum(), spread.square().sum(), len(x)
    without = (x - latents @ W_dec).square().sum()
    whole_mean = (x - x.mean()).square().sum()
    one_mean = "variance_explained compares x with one mean over all numbers. Each dimension has its own: x.mean(0)."
    offset = "A constant error is an error: square it as it is."
    rebuilt = latents @ W_dec + b_dec
    on = latents > 0
    counts = on.float().sum(1)
    return {
        "variance_explained": [
            (
                1 - without / total,
                "variance_explained leaves b_dec out of the reconstruction: latents @ W_dec + b_dec.",
            ),
            (1 - squares / x.square().sum(), "variance_explained measures x from zero. Measure it from its mean row."),
            (1 - squares / whole_mean, one_mean),
            (1 - squares / x.numel() / x.var(), one_mean),
            (squares / total, "This is the share that is *not* explained. variance_explained is 1 minus it."),
            (
                1 - squares / n / (total / (n - 1)),
                "variance_explained mixes n and n - 1: `var` divides by n - 1 unless told not to. Divide two sums.",
            ),
            (
                1 - (error.square().sum(0) / spread.square().sum(0)).mean(),
                "variance_explained averages one ratio a dimension. Sum over rows *and* dimensions first, then divide.",
            ),
            (
                1 - (error.square().sum(1) / spread.square().sum(1)).mean(),
                "variance_explained averages one ratio a row. Sum over rows *and* dimensions first, then divide.",
            ),
            (
                1 - (error - error.mean(0)).square().sum() / total,
                f"variance_explained takes the error's own mean off. {offset}",
            ),
            (1 - error.var() / x.var(), f"{one_mean} And don't take the error's own mean off. {offset}"),
            (
                1 - without / x.square().sum(),
                "variance_explained leaves b_dec out of the reconstruction, and measures x from zero, not from its "
                "mean row.",
            ),
            (
                1 - (x - latents @ W_dec + b_dec).square().sum() / total,
                "variance_explained takes b_dec off the reconstruction. It is added: latents @ W_dec + b_dec.",
            ),
            (
                1 - squares / (x - x.mean(1, keepdim=True)).square().sum(),
                "variance_explained uses each row's mean over dimensions. The mean row is over tokens: x.mean(0).",
            ),
            (
                1 - squares / (x - b_dec).square().sum(),
                "variance_explained measures x from b_dec. Measure it from its mean row: x.mean(0).",
            ),
            (
                torch.corrcoef(torch.stack([x.flatten(), rebuilt.flatten()]))[0, 1].square(),
                "variance_explained is a squared correlation here, which forgives a wrong size. Use the error.",
            ),
            (
                rebuilt.var(0).sum() / x.var(0).sum(),
                "This is how much the *reconstruction* varies. variance_explained is 1 minus error over spread.",
            ),
            (100 * (1 - squares / total), "variance_explained is in per cent. Give the share: 1 for all of it."),
            (
                1 - (squares / total).sqrt(),
                "variance_explained divides lengths. Divide squared lengths: no square root.",
            ),
            (
                1 - error.norm(dim=1).sum() / spread.norm(dim=1).sum(),
                "variance_explained divides lengths. Divide squared lengths: no square root.",
            ),
            (1 - error.abs().sum() / spread.abs().sum(), "variance_explained adds absolute errors. Square them."),
            (squares / x.numel(), "This is the mean squared error. Divide by how much x varies, then 1 minus that."),
            (
                1 - squares / x.numel(),
                "variance_explained is 1 minus the mean squared error. Divide the error by how much x varies first.",
            ),
            (
                1 - (x + rebuilt).square().sum() / total,
                "The error behind variance_explained is x *plus* the reconstruction. Subtract it.",
            ),
            (
                1 - x.square().sum() / total,
                "The error behind variance_explained is x itself: the reconstruction isn't used.",
            ),
            (1 + squares / total, "variance_explained is 1 *plus* the unexplained share. Subtract it from 1."),
            (1.0, "variance_explained is always 1: the error isn't in it."),
            (2 - squares / total, "variance_explained is 2 minus the unexplained share. It is 1 minus it."),
            (-squares / total, "variance_explained is minus the unexplained share. It is 1 minus it."),
            (1 - squares * total, "variance_explained multiplies error and spread. Divide one by the other."),
            (1 - squares, "variance_explained isn't divided by how much x varies."),
            (
                1 - squares / x.numel() / total,
                "variance_explained divides a *mean* squared error by a sum. Take two sums, or two means.",
            ),
            (
                1 - squares / (total / x.numel()),
                "variance_explained divides a sum of squares by a *mean*. Take two sums, or two means.",
            ),
            (1 - error.abs().sum() / total, "variance_explained takes absolute errors over squares. Square both."),
            (
                1 - squares / spread.abs().sum(),
                "variance_explained takes squares over absolute distances. Square both.",
            ),
            (1 - error.sum() / total, "variance_explained adds errors as they are, so they cancel. Square them first."),
            (
                1 - squares / spread.sum(),
                "variance_explained adds distances from the mean as they are, and they cancel. Square them first.",
            ),
            (
                1 - squares / (x + x.mean(0)).square().sum(),
                "variance_explained adds the mean row to x. Subtract it: x - x.mean(0).",
            ),
            (
                1 - squares / (x - x.median(0).values).square().sum(),
                "variance_explained measures x from its median row. Take the mean row: x.mean(0).",
            ),
            (
                1 - squares / (x - x.sum(0)).square().sum(),
                "variance_explained measures x from the *sum* of its rows. Take the mean row: x.mean(0).",
            ),
        ],
        "l0": [
            (
                on.float().mean(),
                "l0 is a share of the latents here. It is a number of latents: count them on each token.",
            ),
            (on.float().sum(), "l0 is a total over all tokens here. Take the mean over the tokens."),
            (
                on.any(0).float().sum(),
                "l0 counts the latents that are ever on. Count for each token, then take the mean.",
            ),
            (
                on.float().sum(0).mean(),
                "l0 is the tokens a latent is on for. Turn it round: the latents on for a token.",
            ),
            (latents.sum(1).mean(), "l0 adds up the latents' values. Count those above 0, whatever their size."),
            (latents.mean(), "l0 averages the latents' values. Count those above 0, whatever their size."),
            (counts[0], "l0 is that of the first token alone. Take the mean over the tokens."),
            (counts.median(), "l0 is a median here. Take the mean over the tokens."),
            (counts.max(), "l0 is the largest count here. Take the mean over the tokens."),
            ((~on).float().sum(1).mean(), "l0 counts the latents that are *off*. Count those above 0."),
            (
                on.float().sum() / on.any(1).sum(),
                "l0 leaves out tokens on which no latent is on. They count too, as 0.",
            ),
            (
                on.float().sum() / on.any(0).sum(),
                "l0 divides by the number of living latents. Divide by the number of tokens.",
            ),
            (latents.shape[1], "l0 counts every latent: 0 isn't on. Count those *above* 0."),
            (0, "l0 is 0: latents are never below 0. Count those above."),
            ((latents > 1).float().sum(1).mean(), "l0 counts latents above 1. On is whatever is above 0."),
        ],
        "dead": [
            (100 * (~on.any(0)).float().mean(), "dead is in per cent. Give the share: 1 for all of them."),
            ((~on.any(0)).float().sum(), "dead is a count here. Divide it by the number of latents."),
            (
                (~on).float().mean(),
                "dead is the share of zeros in the whole table. A latent is dead only if it is 0 on *every* token.",
            ),
            (on.any(0).float().mean(), "dead is the share of latents that live. It is 1 minus that."),
            (
                (~on.any(1)).float().mean(),
                "dead is the share of *tokens* with no latent on. Ask each column, not each row: `any(0)`.",
            ),
            (
                (~on).any(0).float().mean(),
                "dead counts every latent that is off at least once. A dead one is never on.",
            ),
            (
                (~on.any(0)).float().sum() / n,
                "dead is divided by the number of tokens. Divide by the number of latents.",
            ),
            ((~on.any(0)).float().median(), "dead is a median of zeros and ones. Take the mean: the share."),
        ],
    }


# ------------------------------------------------------------------------------------------------- 6.3 loss recovered


def share_recovered(n_tokens, clean, spliced, ablated):
    """Share of what the ablation costs that the spliced-in reconstruction saves; every token counts once. -> float."""
    weights = n_tokens / n_tokens.sum()
    clean, spliced, ablated = ((weights * loss).sum() for loss in (clean, spliced, ablated))
    return ((ablated - spliced) / (ablated - clean)).item()


def check_share_recovered(function):
    n_tokens = torch.tensor([40.0, 7, 120, 13, 25])
    table = torch.tensor([[2.9, 3.3, 5.6], [4.1, 5.9, 6.4], [2.2, 2.3, 6.1], [3.6, 3.5, 4.4], [3.0, 3.9, 7.2]])
    clean, spliced, ablated = table.T  # columns of a table: not contiguous
    result = call(function, n_tokens, clean, spliced, ablated)
    if isinstance(result, torch.Tensor) and tuple(result.shape) == (5,):
        raise Mistake(
            "One share for each text came back. Average each loss over all tokens first, then take one share."
        )
    result = one_number(result, "the share recovered")
    expected = share_recovered(n_tokens, clean, spliced, ablated)
    weights, inverse = n_tokens / n_tokens.sum(), (1 / n_tokens) / (1 / n_tokens).sum()
    ratios = (ablated - spliced) / (ablated - clean)
    ratio_first = (
        "You averaged the texts' own ratios; a text with a small gap then counts too much. Average the losses first, "
        "then divide once."
    )
    formulas = [
        (
            lambda c, s, a: (s - c) / (a - c),
            "This is the share that is *lost*: (spliced - clean) / (ablated - clean). Start from ablated - spliced.",
        ),
        (
            lambda c, s, a: (a - s) / a,
            "The gap is divided by the whole ablated loss. Divide by what there was to lose: ablated - clean.",
        ),
        (lambda c, s, a: (a - c) / (a - s), "The fraction is upside down: (ablated - spliced) goes on top."),
        (
            lambda c, s, a: (s - a) / (a - c),
            "The sign is wrong: one of the two differences is turned round. Both start from ablated.",
        ),
        (
            lambda c, s, a: (a - s) / (s - c),
            "The denominator is spliced - clean, what the dictionary costs. It is ablated - clean.",
        ),
        (lambda c, s, a: (s - c) / (a - s), "This is lost over saved. Divide what is saved by ablated - clean."),
        (
            lambda c, s, a: c / s,
            "This is one loss over another. Ask how far the spliced loss is on the way from ablated to clean.",
        ),
        (
            lambda c, s, a: (s - c) / c,
            "This is the loss added, as a share of the clean loss. Where is the ablated one?",
        ),
        (lambda c, s, a: 1 - (s - c) / c, "This compares with the clean loss only. Divide by ablated - clean."),
        (lambda c, s, a: a - s, "This is a difference in nats. Divide it by ablated - clean to get a share."),
        (
            lambda c, s, a: (a.exp() - s.exp()) / (a.exp() - c.exp()),
            "You took exponentials: those are perplexities. Stay with the losses, in nats.",
        ),
        (lambda c, s, a: 100 * (a - s) / (a - c), "This is in per cent. Return the share: 1 for all of it."),
        (lambda c, s, a: s / c, "This is one loss over another, and the ablated one isn't in it."),
        (lambda c, s, a: (a - s) * (a - c), "You multiplied the two differences. Divide the first by the second."),
        (lambda c, s, a: (a + s) / (a - c), "You added ablated and spliced. What is saved is ablated minus spliced."),
        (lambda c, s, a: a / (a - c), "The spliced loss isn't used. What is saved is ablated minus spliced."),
        (lambda c, s, a: (a - s) / (a + c), "You divided by ablated plus clean. Divide by ablated minus clean."),
    ]
    weighted = [(weights * loss).sum() for loss in (clean, spliced, ablated)]
    plain = [loss.mean() for loss in (clean, spliced, ablated)]
    turned = [(inverse * loss).sum() for loss in (clean, spliced, ablated)]
    known = [
        (
            (plain[2] - plain[1]) / (plain[2] - plain[0]),
            "Each text counts the same here. A long text has more tokens: weight each mean loss by n_tokens.",
        ),
        (
            (turned[2] - turned[1]) / (turned[2] - turned[0]),
            "You divided by n_tokens, so that short texts count most. The losses are means already: multiply.",
        ),
        (ratios.mean(), ratio_first),
        ((weights * ratios).sum(), ratio_first),
        (ratios.median(), ratio_first),
        (
            _over_gap(*((weights / loss).sum() for loss in (clean, spliced, ablated))),
            "The weights are divided by the losses. Multiply: weight times loss, summed.",
        ),
    ]
    known += [(formula(*weighted), message) for formula, message in formulas]
    known += [
        (formula(*plain), f"{message} And weight each mean loss by n_tokens: a long text has more tokens.")
        for formula, message in formulas
    ]
    reject(result, known, 1e-4)
    message = (
        "Weight by n_tokens to get three means, then (ablated - spliced) / (ablated - clean). That isn't the share."
    )
    expect_close(result, expected, message, 1e-4)
    cases = [
        (
            ablated + 0.4,
            "A dictionary that is *worse* than the ablation has a negative share. Leave the sign: no abs, no 0.",
        ),
        (clean - 0.3, "A reconstruction with a lower loss than the model's own has a share above 1. Don't cut it off."),
        (
            clean + 0.8 * (ablated - clean),
            "For a bad dictionary the share is below a half. Leave it: it isn't 1 minus it.",
        ),
    ]
    for other, message in cases:
        given = n_tokens, clean, other, ablated
        if not is_close(one_number(call(function, *given), "the share recovered"), share_recovered(*given), 1e-4):
            raise Mistake(message)


def _over_gap(clean, spliced, ablated):
    return (ablated - spliced) / (ablated - clean)


# ------------------------------------------------------------------------------------------------- 6.4 all strengths


def spread_over_strengths(values, n, generator):
    """One token from each of n equally many, strongest first, of those a latent is on for. -> (n,) token indices."""
    order = values.argsort(descending=True)[: int((values > 0).sum())]
    return torch.stack([part[torch.randint(len(part), (), generator=generator)] for part in order.tensor_split(n)])


_TOKENS, _START = 60, 20


def _strengths(n_on):
    """A latent's values on 60 tokens, on for `n_on` of the last 40; they fall off fast, and no two are the same."""
    values = torch.zeros(_TOKENS, 2)
    places = _START + torch.randperm(_TOKENS - _START, generator=seeded(64))[:n_on]
    values[places, 1] = 10 * 0.7 ** torch.arange(n_on)
    return values[:, 1]


def _drawn(function, values, n, seed):
    """The learner's tokens for one seed, once they are known to be n token indices."""
    result = call(function, values, n, seeded(seed))
    if isinstance(result, (list, tuple)):
        raise Mistake("Your result is a list. Return one tensor: torch.stack of 0-d tensors, or torch.tensor of ints.")
    expect_type(result, torch.Tensor, "Return the indices of n tokens.")
    if tuple(result.shape) == (n, 1):
        raise Mistake(f"Your result has shape {(n, 1)}; expected {(n,)}. Each draw is a list of one: use torch.cat.")
    if tuple(result.shape) == (n - 1,):
        raise Mistake(
            f"{int((values > 0).sum())} tokens and n = {n} gave {n - 1}. If you cut with torch.chunk, it can give "
            "fewer parts than n; torch.tensor_split gives n."
        )
    expect_shape(result, (n,), "One token from each of the n parts.")
    if result.is_floating_point() or result.dtype == torch.bool:
        if bool(torch.isin(result.to(values.dtype), values).all()):
            raise Mistake("These are the latent's values. Return *where* they are: the tokens' indices.")
        raise Mistake(f"Your result holds {result.dtype}. Token indices are whole numbers: torch.long.")
    outside = result[(result < 0) | (result >= len(values))]
    if len(outside):
        raise Mistake(f"There is no token {int(outside[0])}: indices run from 0 to {len(values) - 1}.")
    return result.long()


def check_spread_over_strengths(function):
    n, n_on = 4, 12
    values = _strengths(n_on)
    draws = torch.stack([_drawn(function, values, n, seed) for seed in range(60)])
    ranks = _ranks(values)[draws]
    if not bool((ranks // 3 == torch.arange(n)).all()):
        _name_parts(draws, ranks, values, n)
    if bool((draws == draws[0]).all()):
        raise Mistake(
            "The same tokens came for every generator: nothing is drawn, or a seed is set inside. Take one at random "
            "from each part, for instance torch.randint(len(part), (1,), generator=generator)."
        )
    again = torch.stack([_drawn(function, values, n, seed) for seed in range(6)])
    if not torch.equal(again, draws[:6]):
        raise Mistake("Two generators with the same seed gave different tokens: pass generator=generator to the draw.")
    never = sorted(set(range(n_on)) - set(ranks.flatten().tolist()))
    if never:
        raise Mistake(
            f"In 60 draws, number {never[0] + 1} by strength never came. Each token of a part must have a chance; "
            "torch.randint leaves its upper end out."
        )
    if bool((ranks % 3 == ranks[:, :1] % 3).all()):
        raise Mistake("One draw serves all parts: always the same place in each. Draw anew for each part.")
    three = torch.stack([_drawn(function, values, 3, seed) for seed in range(10)])
    if not bool((_ranks(values)[three] // 4 == torch.arange(3)).all()):
        raise Mistake("Right for n = 4 and wrong for n = 3: cut the tokens into as many parts as asked.")
    for uneven in (9, 11, n):
        _check_uneven(function, uneven, n)


def _ranks(values):
    """Each token's place by strength, 0 for the strongest, -1 where the latent is off."""
    n_on = int((values > 0).sum())
    ranks = torch.full((len(values),), -1)
    ranks[values.argsort(descending=True)[:n_on]] = torch.arange(n_on)
    return ranks


def _name_parts(draws, ranks, values, n):
    """Twelve tokens in four parts of three, and a draw that isn't from its part."""
    part, on = torch.arange(n), (values > 0).nonzero().flatten()
    in_text = torch.full((len(values),), -1)
    in_text[on] = torch.arange(len(on))
    # The tokens it is on for come after the 20th, so that a place in a list of twelve is never one of them.
    if bool((draws < len(on)).all()):
        listed = _ranks(values)[on[draws]]
        if any(bool((places // 3 == part).all()) for places in (draws, listed, draws.flip(1), listed.flip(1))):
            raise Mistake(
                "These are places in your list of the tokens it is on for. Look up in that list which token is meant."
            )
    off = draws[ranks < 0]
    if len(off):
        raise Mistake(
            f"Token {int(off[0])} came, and the latent is off there. Keep the tokens with values > 0 before you cut."
        )
    ordered = ranks.sort(dim=1).values
    if bool((ordered == part).all()):
        raise Mistake("These are the n strongest, every time. Cut the tokens into n parts, and draw one from each.")
    if bool((ordered == len(on) - n + part).all()):
        raise Mistake("These are the n weakest, every time. Cut the tokens into n parts, and draw one from each.")
    if bool((ranks // 3 == n - 1 - part).all()):
        raise Mistake("The weakest part comes first. Sort with descending=True: strongest first.")
    if bool((ordered // 3 == part).all()):
        raise Mistake("One came from each part, but not in order. Return the strongest part's token first.")
    if bool((in_text[draws] // 3 == part).all()):
        raise Mistake("The parts follow the order of the text. Sort the tokens by strength before you cut.")
    steps = ((1 - values / values.max()) * n).floor().clamp(max=n - 1)
    if bool((steps[draws] == part).all()):
        raise Mistake(
            "The parts are equal steps of *strength*, and hold very different numbers of tokens. Cut the sorted list "
            "into parts of equal count."
        )
    for strongest in range(n, len(on)):
        cuts = [piece.tolist() for piece in torch.arange(strongest).tensor_split(n)]
        if all(int(rank) in cut for row in ranks for rank, cut in zip(row, cuts)):
            raise Mistake(
                f"Only the {strongest} strongest of 12 tokens were cut into parts. Weak ones count too: keep every "
                "token with values > 0."
            )
    row, column = (ranks // 3 != part).nonzero()[0].tolist()
    raise Mistake(
        f"Part {column + 1} of 4 holds numbers {3 * column + 1} to {3 * column + 3} of 12 by strength; yours came from "
        f"number {int(ranks[row, column]) + 1}. Sort, cut into n parts of equal count, draw one from each."
    )


def _check_uneven(function, n_on, n):
    """Parts that can't be equal may be cut in more than one way, but none is far from its share of the list."""
    values = _strengths(n_on)
    ranks = _ranks(values)[torch.stack([_drawn(function, values, n, seed) for seed in range(40)])]
    slack = 1 if n_on % n else 0
    low, high = torch.arange(n) * n_on / n - slack, torch.arange(1, n + 1) * n_on / n + slack
    if bool(((ranks < low) | (ranks >= high) | (ranks < 0)).any()):
        raise Mistake(
            f"It is right for 12 tokens and wrong for {n_on}: the parts should be as nearly equal in count as can be. "
            "torch.tensor_split does that."
        )
    if int(ranks.max()) < n_on - 1:
        raise Mistake(
            f"With {n_on} tokens and n = {n} the weakest can never be drawn: the division leaves a rest. "
            "torch.tensor_split shares it out."
        )


# ------------------------------------------------------------------------------------------------- 6.5 a score for all


def balanced_accuracies(on, wanted):
    """(hits + 1 - false alarms) / 2 of "the latent is on" as a sign of a wanted token, for each latent. -> (d_sae,)."""
    hits, false_alarms = on[wanted].float().mean(0), on[~wanted].float().mean(0)
    return (hits + 1 - false_alarms) / 2


def _detector_case():
    """13 tokens, 4 of them wanted; latents better and worse than chance, one never on. `on` is not contiguous."""
    generator = seeded(651)
    on = (torch.rand(6, 13, generator=generator) < torch.tensor([[0.2], [0.7], [0.4], [0.5], [0.5], [0.6]])).T
    wanted = torch.zeros(13, dtype=torch.bool)
    wanted[[1, 4, 5, 11]] = True
    on[:, 3] = False
    on[:, 4], on[[1, 2, 7], 4] = wanted, torch.tensor([False, True, True])
    on[:, 5], on[[4, 8], 5] = ~wanted, torch.tensor([True, False])
    return on, wanted


_BOOL_HINT = "True and False have no mean: turn them into numbers with .float()."
_NOT_HINT = "~ turns True into False; for a share, 1 - the mean of .float()."
_ROW_HINT = "`wanted` has one entry a row: choose rows with on[wanted], or write wanted[:, None]."
_SCORE_HINTS = {
    "Input dtype must be": _BOOL_HINT,
    "with a bool tensor": _NOT_HINT,
    "must match the s": _ROW_HINT,
    "shape of the mask": _ROW_HINT,
}


def check_balanced_accuracies(function):
    on, wanted = _detector_case()
    result = _call(function, on, wanted, hints=_SCORE_HINTS)
    expect_type(result, torch.Tensor, "Return one score for each latent.")
    if tuple(result.shape) in [(13,), (4,), (9,)]:
        raise Mistake("One number for each token came back. Average over tokens (axis 0): one score for each latent.")
    expect_shape(result, (6,), "One score for each latent: average over tokens only, mean(0).")
    expected = balanced_accuracies(on, wanted)
    hits, alarms = on[wanted].float().mean(0), on[~wanted].float().mean(0)
    n, n_wanted, agree = len(on), int(wanted.sum()), (on == wanted[:, None]).float()
    hit_count, alarm_count = hits * n_wanted, alarms * (n - n_wanted)
    precision = hit_count / (hit_count + alarm_count).clamp_min(1)
    overlap = "This is an overlap (F1 or Jaccard). Take the share of the wanted tokens and that of the others apart."
    all_latents = "One of the shares is averaged over all latents as well. Average over tokens only: mean(0)."
    known = [
        (
            agree.mean(0),
            "This is plain accuracy: a latent that is never on scores well when few tokens are wanted. Take the share "
            "of each kind of token apart.",
        ),
        (hits, "This is the share of hits alone: a latent that is always on gets 1. False alarms must cost."),
        (1 - alarms, "This is 1 - false alarms alone: a latent that is never on gets 1. Hits must count."),
        (alarms, "This is the share of false alarms alone. Return (hits + 1 - false alarms) / 2."),
        (hits - alarms, "This is hits - false alarms. Add 1 and halve it, so that chance is 0.5 and perfect is 1."),
        ((hits - alarms) / 2, "The 1 is missing: (hits + 1 - false alarms) / 2. Chance should come out as 0.5."),
        (hits + 1 - alarms, "The half is missing: a perfect latent would get 2."),
        ((hits + alarms) / 2, "False alarms count in a latent's favour here. Use 1 - false alarms."),
        (
            1 - expected,
            "Every score is 1 minus the right one: hits and false alarms are swapped. Hits are on the wanted tokens.",
        ),
        (
            torch.maximum(expected, 1 - expected),
            "Scores below 0.5 were turned round. Leave them: one that is off for the concept is no detector of it.",
        ),
        ((1 - hits + 1 - alarms) / 2, "Misses were counted as hits. Hits are the wanted tokens it is *on* for."),
        (hits + (1 - alarms) / 2, "Only a part is halved: put brackets round the whole sum, (hits + 1 - alarms) / 2."),
        (hits + 1 - alarms / 2, "Only the false alarms are halved: put brackets round the whole sum."),
        ((hits.mean() + 1 - alarms) / 2, all_latents),
        ((hits + 1 - alarms.mean()) / 2, all_latents),
        (2 * hit_count / (hit_count + alarm_count + n_wanted), overlap),
        (hit_count / (alarm_count + n_wanted), overlap),
        (
            (hits + 1 - alarm_count / n) / 2,
            "False alarms are a share of *all* tokens here. Take the share of the tokens that aren't wanted.",
        ),
        (
            (hit_count / n + 1 - alarms) / 2,
            "Hits are a share of *all* tokens here. Take the share of the wanted ones.",
        ),
        (
            (hit_count / n + 1 - alarm_count / n) / 2,
            "Both are shares of *all* tokens. Hits are a share of the wanted ones, false alarms of the others.",
        ),
    ]
    known += [
        (
            torch.full((6,), 0.5),
            "Every latent gets 0.5: hits and false alarms come from the same tokens, or from none.",
        ),
        (2 * (hits + 1 - alarms), "You multiplied by 2. Halve the sum."),
        ((hits + 1 + alarms) / 2, "False alarms are added. Subtract them: they must cost."),
        ((hits + 1) / 2, "False alarms aren't used: a latent that is always on gets 1."),
        ((hits - 1 - alarms) / 2, "1 is subtracted. Add it: (hits + 1 - false alarms) / 2."),
        ((hits + 2 - alarms) / 2, "2 is added where it should be 1: (hits + 1 - false alarms) / 2."),
        ((hits + 1 - alarms) / 3, "You divided by 3. There are two shares: halve their sum."),
    ]
    for how, message in (
        (lambda rows: rows.median(0).values, "You took a median of zeros and ones. A share is a mean."),
        (lambda rows: rows.sum(0), "You took a *count* of tokens. A share is a mean: count over how many there are."),
    ):
        several, others = how(on[wanted].float()), how(on[~wanted].float())
        known += [((a + 1 - b) / 2, message) for a, b in ((several, alarms), (hits, others), (several, others))]
    reject(result, [(wrong, message) for wrong, message in known if not is_close(wrong, expected)])
    fires = on.any(0)  # for the one that never does, a share of its firings is 0, 1 or NaN
    firings = [
        (
            precision[fires],
            "This is precision: the share of its firings that are right. It says nothing of the wanted tokens missed, "
            "and a latent that is never on has none.",
        ),
        (
            ((hits + precision) / 2)[fires],
            "False alarms are a share of the latent's *firings* here: the other side of precision. Take the share of "
            "the tokens that aren't wanted.",
        ),
    ]
    reject(result[fires], firings)
    expect_finite(result, "A latent that is never on should get 0.5.")
    message = "These aren't the scores. Share on among wanted, share on among the others, (hits + 1 - alarms) / 2."
    expect_close(result, expected, message)
    few = on[:7, :2], wanted[:7]
    if not is_close(call(function, *few), balanced_accuracies(*few)):
        raise Mistake("Right for 13 tokens and 6 latents, and wrong for 7 and 2: nothing may hang on the sizes.")


# ------------------------------------------------------------------------------------------------- 6.6 choose, test


def search_then_test(search_on, search_wanted, exam_on, exam_wanted):
    """The best latent on the search tokens, its score there, and its score on the exam tokens. -> int, float, float."""
    found, latent = balanced_accuracies(search_on, search_wanted).max(0)
    tested = balanced_accuracies(exam_on, exam_wanted)[latent]
    return latent.item(), found.item(), tested.item()


def _search_case():
    """Search and exam tokens on which every wrong way to choose picks another latent."""
    generator = seeded(66)
    counts = [  # search hits of 10, search false alarms of 30, exam hits of 8, exam false alarms of 24
        (6, 9, 8, 1),  # best on the exam
        (10, 15, 6, 14),  # most hits
        (6, 1, 4, 4),  # best plain accuracy
        (8, 5, 7, 3),  # best on both together
        (2, 0, 1, 2),  # best precision
        (9, 6, 4, 10),  # best on the search tokens: the right choice, and not so good on the exam
        (8, 4, 5, 9),  # best F1 and Jaccard
        (0, 26, 1, 15),  # lowest score, and the farthest from 0.5
        (5, 14, 3, 8),
    ]

    def tokens(n_wanted, n_others, hits, alarms):
        wanted = (torch.arange(n_wanted + n_others) < n_wanted)[
            torch.randperm(n_wanted + n_others, generator=generator)
        ]
        on = torch.zeros(len(wanted), len(counts), dtype=torch.bool)
        for kind, column in ((wanted, hits), (~wanted, alarms)):
            rows = kind.nonzero().flatten()
            for latent, count in enumerate(column):
                on[rows[torch.randperm(len(rows), generator=generator)[:count]], latent] = True
        return on, wanted

    columns = list(zip(*counts))
    return *tokens(10, 30, *columns[:2]), *tokens(8, 24, *columns[2:])


def check_search_then_test(function):
    given = search_on, search_wanted, exam_on, exam_wanted = _search_case()
    result = _call(function, *given, hints=_SCORE_HINTS)
    if isinstance(result, torch.Tensor):
        raise Mistake("One tensor makes the latent's number a float. Return three things: an int and two floats.")
    if isinstance(result, (tuple, list)) and any(isinstance(value, tuple) for value in result):
        raise Mistake(
            "max along an axis gives two things, the score and the latent: take them apart before you return."
        )
    if not isinstance(result, (tuple, list)) or len(result) != 3:
        raise Mistake(
            "Return three things: the latent's number, its score on the search tokens, its score on the exam."
        )
    wanted = search_then_test(*given)
    names = ("the latent's number", "its score on the search tokens", "its score on the exam tokens")
    numbers = [one_number(value, name) for value, name in zip(result, names)]
    latent, found, tested = numbers
    if is_close(numbers, wanted):
        if isinstance(result[0], float) or getattr(result[0], "is_floating_point", bool)():
            raise Mistake("The latent's number is a float. It is used as an index: make it an int.")
        _check_blind(function, given, wanted[0])
        return
    search, exam = balanced_accuracies(search_on, search_wanted), balanced_accuracies(exam_on, exam_wanted)
    if any(is_close(numbers, other) for other in permutations(wanted)):
        raise Mistake("Right numbers, other order. Return the latent, then its search score, then its exam score.")
    if latent != int(latent) or not 0 <= latent < len(search):
        raise Mistake(
            f"The first thing is {latent:.3g}; expected the number of a latent, 0 to {len(search) - 1}: argmax."
        )
    latent, best = int(latent), wanted[0]
    if latent != best:
        _name_choice(latent, given)
    pooled = balanced_accuracies(torch.cat([search_on, exam_on]), torch.cat([search_wanted, exam_wanted]))
    if is_close([found, tested], [2 * search[best] - 1, 2 * exam[best] - 1]):
        raise Mistake("The latent is right. Its scores are hits - false alarms: use balanced accuracy, chance 0.5.")
    if not is_close(found, search[best]):
        if is_close(found, exam[best]):
            raise Mistake("The exam score was returned twice. The second thing is the score on the *search* tokens.")
        if is_close(found, _accuracy(search_on, search_wanted)[best]):
            raise Mistake("The latent is right. Its search score is plain accuracy: use balanced accuracy.")
        raise Mistake(f"The latent is right, its search score isn't: {found:.3f}, expected {search[best]:.3f}.")
    known = [
        (search[best], "The search score was returned twice. Score the latent you chose on the *exam* tokens."),
        (exam.max(), "This is the best score any latent has on the exam. Score the one you chose, whatever it gets."),
        (
            pooled[best],
            "The last score is over search and exam tokens together. It must come from exam tokens alone.",
        ),
        (exam.mean(), "The last score is the mean over all latents. Score the one you chose."),
        (
            1 - exam[best],
            "The exam score is 1 minus the right one. Wanted and other tokens are swapped, or a score below 0.5 was "
            "turned round.",
        ),
        (_accuracy(exam_on, exam_wanted)[best], "The last score is plain accuracy. Use balanced accuracy there too."),
        (exam_on[exam_wanted].float().mean(0)[best], "The last score is hits alone. Use balanced accuracy there too."),
        (search[best] - exam[best], "The last number is how far the score falls. Return the exam score itself."),
    ]
    reject(tested, known)
    message = f"The exam score is {tested:.3f}, expected {exam[best]:.3f}: the chosen latent, on the exam tokens."
    expect_close(tested, exam[best], message)


def _check_blind(function, given, best):
    """Other exams with the same search: the choice must stay, and the score be told as it is."""
    search_on, search_wanted, exam_on, exam_wanted = given
    _, found, tested = call(function, search_on, search_wanted, ~exam_on, exam_wanted)
    if not is_close(tested, balanced_accuracies(~exam_on, exam_wanted)[best]):
        raise Mistake("A latent that does worse than chance on the exam was turned round. Report its score below 0.5.")
    absent = exam_on.clone()
    absent[:, best] = False
    if not is_close(call(function, search_on, search_wanted, absent, exam_wanted)[0], best):
        raise Mistake(
            "On an exam where your latent is never on, you chose another one. The exam must not help to choose."
        )
    tied, first = search_on.clone(), exam_on.clone()
    tied[:, 0], first[:, 0] = search_on[:, best], exam_wanted
    second = first.clone()
    second[:, 0], second[:, best] = first[:, best], first[:, 0]
    choices = [call(function, tied, search_wanted, exam, exam_wanted)[0] for exam in (first, second)]
    if not is_close(choices[0], choices[1]):
        raise Mistake("Two latents tie on the search tokens, and the *exam* decided between them. Then it is no test.")


def _accuracy(on, wanted):
    return (on == wanted[:, None]).float().mean(0)


def _name_choice(latent, given):
    """The latent isn't the search tokens' best: say how it may have been chosen, and stop."""
    search_on, search_wanted, exam_on, exam_wanted = given
    search, exam = balanced_accuracies(search_on, search_wanted), balanced_accuracies(exam_on, exam_wanted)
    pooled = balanced_accuracies(torch.cat([search_on, exam_on]), torch.cat([search_wanted, exam_wanted]))
    hits = search_on[search_wanted].sum(0)
    both = (
        f"Latent {latent} is the best on search and exam tokens *together*. The exam must not help to choose, or its "
        "score is no test."
    )
    known = [
        (
            exam.argmax(),
            f"Latent {latent} was chosen on the *exam* tokens. Choose on the search tokens; else nothing is tested.",
        ),
        (pooled.argmax(), both),
        ((search + exam).argmax(), both),
        (
            _accuracy(search_on, search_wanted).argmax(),
            f"Latent {latent} has the best plain accuracy. Choose by balanced accuracy: few tokens are wanted.",
        ),
        (
            hits.argmax(),
            f"Latent {latent} has the most hits. Choose by balanced accuracy, in which false alarms count.",
        ),
        (
            (hits / search_on.sum(0)).argmax(),
            f"Latent {latent} has the best precision: its firings are right, and it may miss most. Choose by balanced "
            "accuracy.",
        ),
        (
            (hits / (search_on.sum(0) + search_wanted.sum())).argmax(),
            f"Latent {latent} has the best overlap (F1 or Jaccard). Choose by balanced accuracy.",
        ),
        (
            search.argmin(),
            f"Latent {latent} has the *lowest* search score: it is off for the concept. Take the highest score, and "
            "don't take distances from 0.5.",
        ),
    ]
    reject(latent, known)
    raise Mistake(
        f"Latent {latent} scores {search[latent]:.3f} on the search tokens, and another scores {search.max():.3f}. "
        "Choose the highest balanced accuracy."
    )


# ------------------------------------------------------------------------------------------------- 6.7 the word


def explained_by_token(values, tokens):
    """Share of a latent's variance that the same token's *other* occurrences predict. -> float."""
    _, kind, counts = tokens.unique(return_inverse=True, return_counts=True)
    sums = torch.zeros(len(counts), dtype=values.dtype).index_add(0, kind, values)
    repeated = counts[kind] > 1
    v = values[repeated]
    others = (sums[kind][repeated] - v) / (counts[kind][repeated] - 1)
    return 1 - ((v - others).square().sum() / (v - v.mean()).square().sum()).item()


def _token_case():
    """Four tokens that come 5, 4, 3 and 2 times, mixed with three that come once and have values of their own."""
    generator = seeded(30)
    tokens = torch.tensor([311] * 5 + [7] * 4 + [48_900] * 3 + [2_045] * 2 + [90, 5_000, 12])
    level = torch.tensor([1.0] * 5 + [2.5] * 4 + [4.0] * 3 + [0.5] * 2 + [6.0, 0.0, 9.0])
    values = level + 0.7 * torch.randn(17, generator=generator)
    order = torch.randperm(17, generator=generator)
    return torch.stack([values[order], values[order]], dim=1)[:, 0], tokens[order]


def check_explained_by_token(function):
    values, tokens = _token_case()
    try:
        result = one_number(call(function, values, tokens), "the share explained")
    except Mistake as mistake:
        if "NaN" in str(mistake) or "ZeroDivision" in str(mistake) or "empty" in str(mistake):
            raise Mistake(
                f"{mistake} A token that occurs once has no other occurrence to learn from: leave it out."
            ) from None
        raise
    expected = explained_by_token(values, tokens)
    same = (tokens[:, None] == tokens).float()
    counts = same.sum(1)
    sums, repeated = same @ values, counts > 1
    others, with_self = (sums - values) / (counts - 1).clamp_min(1), sums / counts
    all_else = (values.sum() - values) / (len(values) - 1)
    v, o = values[repeated], others[repeated]
    only_here = (v.sum() - v) / (len(v) - 1)
    missing, spread = (v - o).square().sum(), (v - v.mean()).square().sum()
    spread_all = (values - values.mean()).square().sum()
    r = torch.corrcoef(torch.stack([v, o]))[0, 1]
    itself = (
        "The token predicts itself: its own value is in the mean, so rare tokens look well explained. Average its "
        "*other* occurrences."
    )
    once = "Tokens that occur once are counted. They have no other occurrence: leave them out, above and below."
    everything = "You averaged everything else. Average only the other occurrences of the *same* token."
    kinds = tokens[repeated]
    shares = [
        1 - (v - o)[kinds == kind].square().sum() / (v[kinds == kind] - v[kinds == kind].mean()).square().sum()
        for kind in kinds.unique()
    ]
    by_count = "Leaving one out of n values leaves n - 1: divide the rest of the sum by n - 1, not n."
    thrice = v[counts[repeated] > 2]
    medians = torch.stack([_median_of_others(values, tokens, i) for i in range(len(values)) if bool(repeated[i])])
    n, left = counts[repeated], (sums - values)[repeated]
    squared = (v - v.mean()).square()
    known = [
        (
            explained_by_token(values[values > 0], tokens[values > 0]),
            "Only tokens the latent is on for were used. Where it is off, 0 is the value to predict.",
        ),
        (1 - (v - with_self[repeated]).square().sum() / spread, itself),
        (1 - (values - with_self).square().sum() / spread_all, itself),
        (1 - (values - others).square().sum() / spread_all, once),
        (1 - (values - torch.where(repeated, others, values.mean())).square().sum() / spread_all, once),
        (
            1 - missing / spread_all,
            "The denominator counts tokens that occur once. Both sums run over tokens that occur at least twice.",
        ),
        (
            1 - missing / (v - values.mean()).square().sum(),
            "The mean in the denominator is over all tokens. Take it over those that occur at least twice.",
        ),
        (missing / spread, "This is the share that is *not* explained. Return 1 minus it."),
        (1 - missing / v.square().sum(), "The denominator measures from zero. Measure from the mean of the values."),
        (r, "This is a correlation, which forgives a wrong size or offset. Return 1 - squared error / squared spread."),
        (
            r.square(),
            "This is a squared correlation, which forgives a wrong size or offset. Return 1 - squared error / squared "
            "spread.",
        ),
        (1 - (v - all_else[repeated]).square().sum() / spread, everything),
        (1 - (values - all_else).square().sum() / spread_all, everything),
        (1 - (v - only_here).square().sum() / spread, everything),
        (
            1 - missing / len(v) / v.var(),
            "n and n - 1 are mixed: `var` divides by n - 1 unless told not to. Divide one sum by the other.",
        ),
        (1 - (v - o).abs().sum() / (v - v.mean()).abs().sum(), "The differences aren't squared. Square them, in both."),
        (1 - (missing / spread).sqrt(), "There is a square root too many: divide the sums of squares."),
        (1 - (v - ((sums - values) / counts)[repeated]).square().sum() / spread, by_count),
        (1 - (values - (sums - values) / counts).square().sum() / spread_all, f"{by_count} {once}"),
        (missing / len(v), "This is the mean squared error. Divide by how much the values vary, then 1 minus that."),
        (1 - missing / len(v), "This is 1 minus the mean squared error. Divide the error by how much the values vary."),
        (
            sum(shares) / len(shares),
            "You took one share a token and averaged them. Sum over all tokens first, above and below, then divide.",
        ),
        (
            1 - (thrice - o[counts[repeated] > 2]).square().sum() / (thrice - thrice.mean()).square().sum(),
            "Tokens that occur twice were left out. Two are enough: each predicts the other.",
        ),
        (_from_the_last(values, tokens), "You predict from the last occurrence only. Average *all* the others."),
        (1 - (v - medians).square().sum() / spread, "You took the median of the other occurrences. Take their mean."),
        (
            1 - (o - v.mean()).square().sum() / spread,
            "You compared the prediction with the mean. Compare each value with its own prediction.",
        ),
        (
            (o - v.mean()).square().sum() / spread,
            "This is how much the *predictions* vary. Ask how far each value is from its prediction.",
        ),
        (1 + missing / spread, "You added the unexplained share to 1. Subtract it."),
        (1.0, "The error isn't in it: every latent would be explained wholly."),
        (2 - missing / spread, "You have 2 minus the unexplained share. It is 1 minus it."),
        (-missing / spread, "This is minus the unexplained share. It is 1 minus it."),
        (1 - missing * spread, "You multiplied error and spread. Divide one by the other."),
        (1 - missing, "The error isn't divided by how much the values vary."),
        (1 - missing / len(v) / spread, "A *mean* squared error is divided by a sum. Take two sums, or two means."),
        (1 - missing * len(v) / spread, "A sum of squares is divided by a *mean*. Take two sums, or two means."),
        (1 - (v - o).abs().sum() / spread, "Absolute errors are divided by squares. Square both."),
        (1 - missing / squared.sqrt().sum(), "Squares are divided by absolute distances. Square both."),
        (1 - (v - o).sum() / spread, "The errors are added as they are, so they cancel. Square them first."),
        (1 - missing / (v - v.mean()).sum(), "Distances from the mean are added as they are, and cancel. Square them."),
        (1 - v.square().sum() / spread, "The prediction isn't used: the error is the value itself."),
        (1 - (v + o).square().sum() / spread, "You added value and prediction. The error is their difference."),
        (1 - missing / (v + v.mean()).square().sum(), "The mean is added to the values. Subtract it."),
        (1 - missing / (v - v.sum()).square().sum(), "The values are measured from their *sum*. Take their mean."),
        (1 - missing / (v - v.median()).square().sum(), "The values are measured from their median. Take their mean."),
    ]
    for prediction, message in (
        (left * (n - 1), "The sum of the others is multiplied by n - 1. Divide by it: a mean."),
        (left, "You predict from the *sum* of the other occurrences. Divide by n - 1: their mean."),
        ((left + 2 * v) / (n - 1), "The value itself is added to its group's sum. Take it off, to leave the others."),
        ((left + v) / (n - 1), "The value itself is still in the sum. Take it off, to leave the others."),
        (left / (n + 1), "The sum of the others is divided by n + 1. There are n - 1 of them."),
    ):
        known.append((1 - (v - prediction).square().sum() / spread, message))
    reject(result, known, 1e-4)
    recipe = (
        "That isn't the share. For each token that occurs twice or more: the mean of its other values. Then 1 - the "
        "sum of (v - that)^2 over the sum of (v - mean v)^2."
    )
    expect_close(result, expected, recipe, 1e-4)
    _check_poor_tokens(function)


def _check_poor_tokens(function):
    """Tokens that say little, or less than nothing: shares below a half, and below 0."""
    tokens = torch.tensor([3, 3, 8, 8, 8, 5, 5, 1])
    for values, message in (
        (
            torch.tensor([0.0, 4.0, 0.0, 0.0, 3.5, 4.5, 0.0, 9.0]),
            "Here the other occurrences predict worse than the mean does: the share is below 0. Don't cut it off.",
        ),
        (
            torch.tensor([1.0, 2.5, 2.0, 3.0, 2.5, 5.5, 4.0, 9.0]),
            "Here the share is below a half. Return it as it is.",
        ),
    ):
        came = one_number(call(function, values, tokens), "the share explained")
        if not is_close(came, explained_by_token(values, tokens), 1e-4):
            raise Mistake(message)


def _from_the_last(values, tokens):
    pairs = [
        (values[i], values[:i][tokens[:i] == tokens[i]][-1]) for i in range(len(values)) if tokens[i] in tokens[:i]
    ]
    v, last = (torch.stack(column) for column in zip(*pairs))
    return 1 - (v - last).square().sum() / (v - v.mean()).square().sum()


def _median_of_others(values, tokens, i):
    kept = tokens == tokens[i]
    kept[i] = False
    return values[kept].quantile(0.5)


# ------------------------------------------------------------------------------------------------- 6.8 rare things


def share_really_it(hits, false_alarms, base_rate):
    """Of the tokens a latent is on for, the share that are the concept. -> float."""
    right, wrong = hits * base_rate, false_alarms * (1 - base_rate)
    return right / (right + wrong)


def check_share_really_it(function):
    cases = [(0.9, 0.05, 0.02), (0.6, 0.3, 0.25), (0.75, 0.01, 0.4)]
    results = [one_number(call(function, *case), "a share between 0 and 1") for case in cases]
    everything = (
        "This is the share of *all* tokens that are the concept and set it off. Divide by the share of tokens it is "
        "on for."
    )
    known = [
        (
            lambda h, f, b: h / (h + f),
            "The base rate has no effect. Hits come from base_rate of the tokens, false alarms from all the others.",
        ),
        (
            lambda h, f, b: h * b / (h * b + f),
            "The false alarms aren't weighted. They come from the other tokens only: false_alarms * (1 - base_rate).",
        ),
        (
            lambda h, f, b: h / (h + f * (1 - b)),
            "The hits aren't weighted. They come from few tokens: hits * base_rate.",
        ),
        (
            lambda h, f, b: h,
            "This is hits: of the concept's tokens, the share it is on for. The question runs the other way.",
        ),
        (lambda h, f, b: f, "This is false_alarms, just as it was given."),
        (lambda h, f, b: b, "This is base_rate, just as it was given: what you know before you look at the latent."),
        (
            lambda h, f, b: 1 - share_really_it(h, f, b),
            "This is the share that is *not* the concept. Put hits * base_rate on top.",
        ),
        (lambda h, f, b: h * b, everything),
        (
            lambda h, f, b: h * b + f * (1 - b),
            "This is the share of tokens it is on for. Put the right ones among them, hits * base_rate, over it.",
        ),
        (
            lambda h, f, b: h * (1 - b) / (h * (1 - b) + f * b),
            "base_rate and 1 - base_rate are swapped: the concept is the rare side.",
        ),
        (
            lambda h, f, b: h * b / (f * (1 - b)),
            "These are odds: right ones over wrong ones. Divide by *all* tokens it is on for, right and wrong.",
        ),
        (
            lambda h, f, b: h / f,
            "This is hits over false alarms. It needs the base rate, and a share divides by the sum.",
        ),
        (
            lambda h, f, b: h * b / (h * b + (1 - f) * (1 - b)),
            "1 - false_alarms are tokens where it stays off. Use false_alarms * (1 - base_rate).",
        ),
        (
            lambda h, f, b: h * b + (1 - f) * (1 - b),
            "This is accuracy over all tokens. Ask only of the tokens it is on for.",
        ),
        (
            lambda h, f, b: (h + 1 - f) / 2,
            "This is balanced accuracy. It doesn't depend on how rare the concept is; this question does.",
        ),
        (lambda h, f, b: 1 - h, "This is the share of the concept it misses. Ask of the tokens it is *on* for."),
        (lambda h, f, b: 1 - f, "This is the share of other tokens it stays off for. Ask of those it is *on* for."),
        (
            lambda h, f, b: b / (b + f * (1 - b)),
            "The hits aren't used: it may miss some. Right ones: hits * base_rate.",
        ),
        (
            lambda h, f, b: h * b / (h * b + (1 - h) * (1 - b)),
            "1 - hits are misses, not false alarms. Use false_alarms * (1 - base_rate).",
        ),
        (
            lambda h, f, b: (1 - f) * (1 - b) / ((1 - f) * (1 - b) + (1 - h) * b),
            "This is about the tokens where it stays off. Ask of the tokens it is on for.",
        ),
        (lambda h, f, b: h - f, "This is hits - false_alarms, whatever the base rate. Weight both, then divide."),
        (
            lambda h, f, b: h * b / f,
            "These are right ones over false_alarms. Divide by all it is on for: right + wrong.",
        ),
        (
            lambda h, f, b: h * b / h * b + f * (1 - b),
            "Brackets are missing: everything below the line belongs in one pair, right / (right + wrong).",
        ),
        (lambda h, f, b: h * b - f * (1 - b), "Wrong ones were taken off. Divide right ones by right plus wrong."),
        (lambda h, f, b: 100 * share_really_it(h, f, b), "This is in per cent. Return the share, between 0 and 1."),
        (lambda h, f, b: h / b / (h / b + f * (1 - b)), "You divided hits by base_rate. Multiply."),
        (lambda h, f, b: h * b / (h * b + f / (1 - b)), "You divided false_alarms by 1 - base_rate. Multiply."),
        (lambda h, f, b: h * b / (h * b + 1 - b), "false_alarms isn't used: not all other tokens set it off."),
        (
            lambda h, f, b: h * b / (h * b + f * (1 + b)),
            "The other tokens are 1 - base_rate of all, not 1 + base_rate.",
        ),
        (
            lambda h, f, b: h * b / (h * b + f * (2 - b)),
            "The other tokens are 1 - base_rate of all, not 2 - base_rate.",
        ),
        (lambda h, f, b: h * b / (h * b - f * b), "The other tokens are 1 - base_rate of all, not -base_rate."),
        (lambda h, f, b: h * b * (h * b + f * (1 - b)), "You multiplied by all it is on for. Divide by it."),
        (lambda h, f, b: h * b / (h * b - f * (1 - b)), "Wrong ones are taken off below the line. Add them there."),
        (lambda h, f, b: 1.0, "Every firing counts as right: divide right ones by right *plus* wrong."),
    ]
    reject(results, [([formula(*case) for case in cases], message) for formula, message in known])
    others = {"hits": 0.3, "false_alarms": 0.5, "base_rate": 0.4}
    expect_used(function, named(share_really_it, cases[0]), others)
    if is_close(results, [share_really_it(*case) for case in cases]):
        return
    if is_close(results, [share_really_it(*case) for case in cases], 0.006):
        raise Mistake("This is right but rounded. Return it as it is; rounding is for printing.")
    h, f, b = cases[0]
    expect_close(
        results,
        [share_really_it(*case) for case in cases],
        f"For hits {h}, false alarms {f} and a base rate of {b} it is {share_really_it(h, f, b):.3f}, not "
        f"{results[0]:.3f}. Of 1,000 tokens, how many are the concept and set it off? How many others do?",
    )


# ------------------------------------------------------------------------------------------------- 6.9 cut one out


def without_latent(acts, values, row):
    """`acts` less what one latent adds, on all tokens but the document start. -> (batch, pos, d_model)."""
    contribution = values[..., None] * row
    contribution[:, 0] = 0
    return acts - contribution


def check_without_latent(function):
    generator = seeded(69)
    acts = torch.randn(4, 3, 5, generator=generator).permute(1, 2, 0) + 0.5
    values = 2 * torch.rand(3, 5, generator=generator) * (torch.rand(3, 5, generator=generator) < 0.6)
    values[:, 0], values[1, 2], values[0, 4] = torch.tensor([1.5, 0.0, 0.8]), 0.0, 1.1
    row = torch.randn(4, generator=generator)
    hints = {"must match the s": "values needs an axis for d_model: values[..., None] * row."}
    result = _call(function, acts, values, row, hints=hints)
    expect_type(result, torch.Tensor, "Return the activations.")
    if tuple(result.shape) == (3, 4, 4):
        raise Mistake("Position 0 was thrown away. It stays as it was: return all positions.")
    expect_shape(result, (3, 5, 4), "The result has the shape of acts.")
    expect_finite(result)
    expected = without_latent(acts, values, row)
    added = values[..., None] * row
    unit = row / row.norm()
    projection = (acts @ unit)[..., None] * unit
    later = (torch.arange(5) > 0).float()[None, :, None]
    here, on = later * added, (values > 0).float()[..., None]
    first_row = (torch.arange(3) > 0).float()[:, None, None]
    projected = (
        "You removed the whole direction. Other latents and the bias lie partly along it: take off only what this "
        "latent put in, values times row."
    )
    by_one = "You took the row off once wherever the latent is on. Take off values times row: as much as it put in."
    with_unit = "You made the row length 1 first. What the latent adds is values times its row, as it is."
    whole = "You cleared the whole activation where the latent is on. Take off only values times row."
    known = [
        (acts, "Nothing has changed: these are the activations as they came."),
        (acts - added, "Position 0 was changed too. The dictionary was never trained there: leave it as it is."),
        (acts + here, "You added the latent's part. Take it off: acts - values times row."),
        (acts + added, "You added the latent's part. Take it off, and leave position 0 as it is."),
        (acts - first_row * added, "The first *text* was left alone. Leave the first position of each text: [:, 0]."),
        (acts - first_row * here, "The first *text* was left alone as well. Leave only the first position: [:, 0]."),
        (acts - (added - here), "Only position 0 was changed. It is the one that stays: change all the others."),
        (
            acts - added * (torch.arange(5) < 4).float()[None, :, None],
            "The last position was left alone. It is the first that stays.",
        ),
        (here, "This is the latent's part alone. Take it off acts."),
        (added, "This is the latent's part alone. Take it off acts, and leave position 0 as it is."),
        (acts * (1 - on * later), whole),
        (acts * (1 - on), whole),
        (acts - on * row * later, by_one),
        (acts - on * row, by_one),
        (acts - row, "You took the row off everywhere. Take off values times row: nothing where the latent is off."),
        (acts - later * row, "You took the row off everywhere. Take off values times row: nothing where it is off."),
        (acts - values[..., None] * unit * later, with_unit),
        (acts - values[..., None] * unit, with_unit),
        (later * (acts - added), "Position 0 was set to 0. Leave it as it came."),
    ]
    known += [
        (added - acts, "The signs are turned round: acts minus the latent's part."),
        (here - acts, "The signs are turned round: acts minus the latent's part."),
        (acts - 2 * here, "The latent's part was taken off twice. Once is enough."),
        (acts - values[..., None], "The latent's value was taken off every dimension. Take off values times *row*."),
        (acts - later * values[..., None], "The value was taken off every dimension. Take off values times *row*."),
        (acts * (1 - values[..., None]), "acts were scaled down. Take off values times row: acts - that."),
        (acts * (1 - values[..., None] * later), "acts were scaled down. Take off values times row: acts - that."),
        (
            acts - added * (torch.arange(5) > 1).float()[None, :, None],
            "Position 1 was left alone as well. Only position 0 stays: [:, 1:] are all the others.",
        ),
        (
            acts - added.sum(1, keepdim=True),
            "What the latent adds was summed over positions. Each position loses its own part.",
        ),
        (torch.where(on > 0, added, acts), "Where it is on you kept only the latent's part. That is what should go."),
    ]
    known += [
        (acts - later * values[..., None] / row, "The values are divided by the row. Multiply: values times row."),
        (acts - values[..., None] / row, "The values are divided by the row. Multiply, and leave position 0 as it is."),
        (
            acts - added * (torch.arange(5) != 1).float()[None, :, None],
            "Position 1 was left alone in place of position 0. Counting starts at 0.",
        ),
        (acts - here - (1 - later), "Position 0 lost 1 in every dimension. It should lose nothing: 0."),
        (acts - here + (1 - later), "Position 0 gained 1 in every dimension. It should stay as it was."),
        (-here, "acts isn't used: this is minus the latent's part. Take it off acts."),
    ]
    known += [(acts - projection * where, projected) for where in (1, later, on, on * later)]
    known += [(acts - (acts @ row)[..., None] * row * where, projected) for where in (1, later, on, on * later)]
    reject(result, known)
    message = (
        "These aren't the right activations. What the latent adds is values times row; take that off at every position "
        "but 0."
    )
    expect_close(result, expected, message)
    if not is_close(call(function, acts[:1, :2], values[:1, :2], row), expected[:1, :2]):
        raise Mistake("Right for 3 texts of 5 tokens and wrong for one of 2: nothing may hang on the sizes.")


# ------------------------------------------------------------------------------------------------- 6.10 another seed


def best_cosines(mine, others):
    """For each row of `mine`, its cosine with the most similar row of `others`. -> (n,)."""
    mine = mine / mine.norm(dim=1, keepdim=True)
    others = others / others.norm(dim=1, keepdim=True)
    return (mine @ others.T).amax(1)


def check_best_cosines(function):
    generator = seeded(610)
    mine = torch.randn(6, 4, generator=generator).T * torch.tensor([[0.4], [1.0], [3.0], [2.0]])
    others = torch.randn(7, 6, generator=generator) * torch.tensor([[3.0], [0.3], [1.0], [2.0], [0.5], [1.5], [4.0]])
    others[1] = 0.2 * mine[2] + 0.05 * others[3]  # short, and the nearest to row 2
    others[4] = -mine[0]  # opposite, and the nearest to row 0 in absolute value
    transpose = "Both hold one direction a row: `mine @ others.T` is the table (n, m)."
    lengths = (
        "A row is divided by its own length with norm(dim=1, keepdim=True); all pairs: mine[:, None], others[None]."
    )
    hints = {"shapes cannot be multiplied": transpose, "must match the s": lengths}
    result = _call(function, mine, others, hints=hints)
    if isinstance(result, tuple):
        raise Mistake("max along an axis gives two things, values and indices. Return the values: `.max(1).values`.")
    expect_type(result, torch.Tensor, "Return one cosine for each row of mine.")
    if tuple(result.shape) == (7,):
        raise Mistake(
            "One number for each row of `others` came back. Take the best over *others*, for each row of mine."
        )
    if tuple(result.shape) == (4, 7):
        raise Mistake("This is the whole table. Take the largest of each row: one number for each row of mine.")
    expect_shape(result, (4,), "One cosine for each row of mine.")
    expect_finite(result)
    expected = best_cosines(mine, others)
    m, o = mine / mine.norm(dim=1, keepdim=True), others / others.norm(dim=1, keepdim=True)
    cosines, rows = m @ o.T, torch.arange(4)
    nearest = torch.cdist(mine, others)
    by_column = (mine / mine.norm(dim=0)) @ (others / others.norm(dim=0)).T
    picked = "The partner was picked by another measure than the cosine. Make the rows length 1 before you pick."
    known = [
        ((mine @ others.T).amax(1), "These are dot products: long rows win. Make both sides length 1 first."),
        ((m @ others.T).amax(1), "Only mine has length 1. Normalise the rows of others too."),
        ((mine @ o.T).amax(1), "Only others has length 1. Normalise the rows of mine too."),
        (
            cosines.abs().amax(1),
            "You took the sign away. A row that points the opposite way is not the same direction.",
        ),
        (
            cosines[rows, cosines.abs().argmax(1)],
            "The partner was picked by absolute value, so an opposite row won. Take the largest cosine.",
        ),
        (cosines.mean(1), "This is the mean over all of others. Ask for the best one: max."),
        (cosines.amin(1), "This is the least similar row. Take the largest cosine."),
        (cosines.sum(1), "This is a sum over all of others. Ask for the best one: max."),
        (cosines.argmax(1), "These are the numbers of the nearest rows. Return how near they are: the cosines."),
        (cosines[rows, (mine @ others.T).argmax(1)], picked),
        (cosines[rows, nearest.argmin(1)], picked),
        (1 - expected, "This is 1 minus the cosine, a distance. Return the cosine."),
        (nearest.amin(1), "These are distances. Return cosines: rows of length 1, then dot products."),
        (torch.cdist(m, o).amin(1), "These are distances. Return cosines: the dot products of rows of length 1."),
        (by_column.amax(1), "Columns were made length 1. A direction is a *row*: norm(dim=1, keepdim=True)."),
        (
            (mine @ others.T).amax(1) / (mine.norm() * others.norm()),
            "Both tables were divided by one number each. Every *row* has its own length: norm(dim=1, keepdim=True).",
        ),
        (
            (mine @ others.T / mine.square().sum(1, keepdim=True) / others.square().sum(1)).amax(1),
            "You divided by *squared* lengths. Take the square root: norm.",
        ),
        (expected.square(), "These are squared cosines. Return the cosines."),
        (
            cosines.topk(2, dim=1).values[:, 1],
            "These are the second best. The best one counts: no row of `others` is the row itself.",
        ),
        (torch.ones(4), "Every cosine is 1: mine was compared with itself. Compare it with `others`."),
        (cosines.diagonal(), "Row i was compared with row i. Another seed has another order: compare with every row."),
        (cosines.clamp(max=0.9999).acos().amin(1), "These are angles. Return their cosines."),
        (torch.full((4,), float((m @ torch.ones(6, 1)).max())), "others was divided by itself: all ones."),
        ((m @ torch.ones(6, 1))[:, 0], "`others` was divided by itself, which leaves ones. Divide by its rows' norm."),
    ]
    multiplied = "You multiplied by the lengths of the rows. Divide by them, so that each row has length 1."
    as_one = "One table was divided by a single length. Every *row* has its own: norm(dim=1, keepdim=True)."
    columns = "One table's *columns* were made length 1. A direction is a row: norm(dim=1, keepdim=True)."
    for spoilt, message in (
        (lambda rows: rows * rows.norm(dim=1, keepdim=True), multiplied),
        (lambda rows: rows / rows.norm(), as_one),
        (lambda rows: rows / rows.norm(dim=0), columns),
    ):
        known += [((spoilt(mine) @ o.T).amax(1), message), ((m @ spoilt(others).T).amax(1), message)]
        known.append(((spoilt(mine) @ spoilt(others).T).amax(1), message))
    reject(result, known)
    if bool((result == result[0]).all()):
        raise Mistake("All rows got the same number. Each row of mine has its own best: take the max along one axis.")
    message = "These aren't the cosines. Unit rows on both sides, a table (n, m) of dot products, the max of each row."
    expect_close(result, expected, message)
    alike = torch.stack([mine[0], 2 * mine[0] + 0.1 * mine[1], mine[0] - 0.1 * mine[2]])
    for pool in (torch.stack([mine[0], mine[1], mine[2], mine[3]]), mine[[0, 3]]):
        if not is_close(call(function, alike, pool), best_cosines(alike, pool)):
            raise Mistake(
                "Three rows share their most similar partner, and not all got it. Each row has its own best: partners "
                "aren't used up, as a one-to-one matching would have it."
            )


EXERCISES = [
    Exercise("6.1", "Encode by hand", encode_topk, check_encode_topk),
    Exercise("6.2", "Two dictionaries, one table", report_card, check_report_card),
    Exercise("6.3", "How much of the loss survives", share_recovered, check_share_recovered),
    Exercise("6.4", "Not only the top ten", spread_over_strengths, check_spread_over_strengths),
    Exercise("6.5", "A score for every latent", balanced_accuracies, check_balanced_accuracies),
    Exercise("6.6", "Choose here, test there", search_then_test, check_search_then_test),
    Exercise("6.7", "More than the word?", explained_by_token, check_explained_by_token),
    Exercise("6.8", "Rare things", share_really_it, check_share_really_it),
    Exercise("6.9", "Cut one out", without_latent, check_without_latent),
    Exercise("6.10", "Would another seed agree?", best_cosines, check_best_cosines),
]

QUIZ = [
    Question(
        "A latent is on in 20 of 20 sentences about the Golden Gate Bridge and in 0 of 80 others. Elsewhere it fires "
        "on 'channel' and on 'high'. What can you conclude?",
        [
            Option(
                "It is a Golden Gate latent: 20 of 20 against 0 of 80 can't be luck.",
                False,
                "It isn't luck, but all twenty hold the same name: that is one case seen twenty times.",
            ),
            Option(
                "It reads a part that the name is spelt with and other words share; the 100 sentences couldn't tell.",
                True,
                "A name that is always spelt the same can't tell the bridge from its pieces. Other text can.",
            ),
            Option(
                "Twenty sentences are too few; 200 about the bridge would settle it.",
                False,
                "They would hold the same name again. What is needed is the bridge without its name, and the pieces "
                "without the bridge.",
            ),
        ],
    ),
    Question(
        "You shuffle the labels. The best of 4,096 latents still scores above chance on the search tokens, and about "
        "0.5 on the exam tokens. What does that tell you?",
        [
            Option(
                "The best of thousands is partly luck, so a score counts only on tokens that didn't choose it.",
                True,
                "This is the winner's curse. The shuffled score is what your real one has to beat.",
            ),
            Option(
                "The latent has learnt the shuffled labels.",
                False,
                "The dictionary never saw a label. Only the choice among latents did.",
            ),
            Option(
                "The exam text is too different from the search text.",
                False,
                "Shuffled labels mean nothing in either text: 0.5 is the right answer.",
            ),
        ],
    ),
    Question(
        "A transformer with random blocks and the trained token embeddings has a latent for 'he' and 'she' as good as "
        "the real model's. What is shown?",
        [
            Option(
                "Dictionaries of the real model find nothing real.",
                False,
                "One label is no verdict on the rest. Others may need the trained blocks: test each.",
            ),
            Option(
                "The real model's latent doesn't respond to 'he' and 'she'.",
                False,
                "It does. The question is whether that says anything about what the blocks have learnt.",
            ),
            Option(
                "This label needs no learned blocks, so it is no evidence of what they compute.",
                True,
                "The token's embedding is enough. A control tells you which labels come free.",
            ),
        ],
    ),
    Question(
        "Subtracting what the Spanish latent adds raises the loss on Spanish by more than half a nat. As much "
        "subtracted along another active latent hardly raises it. Which follow? (More than one is right.)",
        [
            Option(
                "The effect isn't only the size of what is taken away.",
                True,
                "That is what the control is for: the same size, another direction that is in use.",
            ),
            Option(
                "Spanish is stored in this one latent.",
                False,
                "That is not all the model knows of Spanish, and other latents may carry the same.",
            ),
            Option(
                "Cutting it out of `acts`, not out of the reconstruction, was right: the error term stays.",
                True,
                "Replacing everything by the reconstruction costs loss by itself, and would be mixed in with the cut.",
            ),
            Option(
                "Nothing, since the reconstruction isn't perfect.",
                False,
                "What the dictionary misses was kept in place in both runs, so it can't make the difference.",
            ),
        ],
    ),
    Question(
        "A dictionary explains 0.85 of the variance and recovers 98 % of the loss. How can both be true? (More than "
        "one is right.)",
        [
            Option(
                "Variance counts every direction by its size; loss only by what the predictions need.",
                True,
                "Much variance may hardly matter for the next token. A little of it may matter a lot.",
            ),
            Option(
                "The second number depends on what stands for 0 %: against zero ablation it looks better than against "
                "the mean.",
                True,
                "Setting activations to zero does more harm than setting them to their mean, so the gap is wider.",
            ),
            Option(
                "The missing 0.15 is noise that the model never uses.",
                False,
                "2 % of a wide gap is still a loss in nats, and some of it may be rare and important.",
            ),
            Option(
                "They can't: one of the two was measured wrongly.",
                False,
                "They ask different questions: how near the vectors are, and how good the predictions are.",
            ),
        ],
    ),
    Question(
        "On whether statements about cities are true, a difference-in-means probe beats the best single latent. What "
        "follows?",
        [
            Option(
                "The dictionary holds nothing about truth.",
                False,
                "It may be spread over many latents, or lie in the error. Only the best *single* one was tested.",
            ),
            Option(
                "With labels in hand, the probe is the better detector here, and a latent should be compared with it.",
                True,
                "AxBench and other negative results of 2025 report the same of larger models.",
            ),
            Option(
                "Dictionaries are of no use.",
                False,
                "A probe finds what you have labels for. A dictionary can suggest what you hadn't thought to label; "
                "this test says nothing about that.",
            ),
        ],
    ),
]
