"""Checks, reference solutions and quiz of lesson 00, orientation."""

from __future__ import annotations

import math

import numpy as np
import torch

from utils import statistics
from utils.checks import Exercise, Option, Question, Score, choose
from utils.checks.calling import Mistake, call
from utils.checks.comparing import (
    expect_close,
    expect_each,
    expect_finite,
    expect_shape,
    expect_type,
    is_close,
    seeded,
)
from utils.checks.forms import array_of
from utils.datasets.tales import held_out_surprisals

# ----------------------------------------------------------------------- 0.1 logits to probabilities


def next_token_probabilities(logits, temperature):
    """Softmax of logits / temperature over the last axis."""
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, got {temperature}")
    scaled = logits / temperature
    weights = torch.exp(scaled - scaled.max(dim=-1, keepdim=True).values)
    return weights / weights.sum(dim=-1, keepdim=True)


def check_next_token_probabilities(learner):
    logits, temperature = torch.tensor([2.0, 1.0, 0.0, -1.0, 0.5]), 0.5
    result = call(learner, logits, temperature)
    expect_shape(result, (5,), "One probability for each logit.")
    result = torch.as_tensor(result)
    if is_close(result, torch.log_softmax(logits / temperature, -1)):
        raise Mistake("These are logarithms of the right probabilities: use softmax, not log_softmax.")
    scaled = logits / temperature
    if is_close(result, scaled / scaled.sum()) or is_close(
        result, (scaled - scaled.max()) / (scaled - scaled.max()).sum()
    ):
        raise Mistake("You divided the logits by their sum. Exponentiate first, then divide the exponentials.")
    if is_close(result, torch.exp(scaled)) or is_close(result, torch.exp(scaled - scaled.max())):
        raise Mistake("These don't sum to 1 yet. Divide the exponentials by their sum.")
    if is_close(result, scaled):
        raise Mistake("These are still logits. Exponentiate them, then divide by the sum.")
    if not is_close(result.sum(), 1.0, atol=1e-4):
        total = f"{float(result.sum()):.3f}"
        raise Mistake(f"Probabilities sum to 1; yours sum to {total}: divide by the sum of all, just once.")
    if is_close(result, torch.softmax(logits * temperature, -1)):
        raise Mistake("You multiplied by the temperature. Divide: a low temperature must sharpen the distribution.")
    probs = torch.softmax(logits, -1)
    if is_close(result, probs) or is_close(result, (probs / temperature) / (probs / temperature).sum()):
        raise Mistake("The temperature has no effect in your function. Divide the logits by it before the exponential.")
    if is_close(result, torch.softmax(-scaled, -1)):
        raise Mistake("Your distribution is upside down: the largest logit must get the largest probability.")
    if is_close(call(learner, torch.tensor([5.0, 0.0, 0.0, 0.0, 0.0]), temperature), result):
        raise Mistake("Other logits give the same result. Compute it from `logits`.")
    expect_close(result, torch.softmax(scaled, -1), "The values differ from softmax(logits / temperature).")
    big = call(learner, torch.tensor([900.0, 899.0, 0.0]), 0.5)
    expect_finite(big, "exp of a large logit is infinite: subtract the largest logit first (or use torch.softmax).")
    rows = torch.tensor([[1.0, 2.0, 3.0], [3.0, 1.0, 1.0]])
    several = call(learner, rows, 2.0)
    if is_close(several, torch.softmax(rows / 2, 0)):
        raise Mistake("With two rows you normalise down the columns. Normalise over the last axis: dim=-1.")
    if is_close(several, torch.softmax((rows / 2).flatten(), 0).reshape(2, 3)):
        raise Mistake("With two rows you normalise over all of them at once. Sum over the last axis only: dim=-1.")
    far = call(learner, torch.tensor([[1800.0, 1799.0], [0.0, 1.0]]), 1.0)
    expect_finite(far, "A small row beside a large one became 0 / 0: subtract each row's own largest logit (dim=-1).")
    deep = torch.arange(24.0).reshape(2, 3, 4)
    expect_each(
        learner,
        [
            ((torch.tensor([900.0, 899.0, 0.0]), 0.5), [0.8808, 0.1192, 0.0], "Logits of 900, 899 and 0 at 0.5."),
            ((rows, 2.0), torch.softmax(rows / 2, -1), "Each row must be a distribution of its own (dim=-1)."),
            ((deep, 3.0), torch.softmax(deep / 3, -1), "With three axes each last row is a distribution of its own."),
            ((torch.tensor([-900.0, -901.0]), 1), [0.7311, 0.2689], "Very low logits still make probabilities."),
        ],
        atol=1e-4,
    )
    double = call(learner, torch.tensor([1.0, 0.0], dtype=torch.float64), 1.0)
    expect_close(double, [0.7311, 0.2689], "Logits in double precision should give the same.", atol=1e-4)


# ---------------------------------------------------------------------------------- 0.2 the generation loop


def continue_text(ids, next_logits, pick, n_new):
    """Append n_new tokens to a copy of ids, each picked from the logits of everything so far."""
    ids = list(ids)
    for _ in range(n_new):
        ids.append(pick(next_logits(ids)))
    return ids


def _counting_model(d_vocab=50):
    """A stand-in for a model: the next token is the sum of the last two plus the length, so context matters."""
    seen = []

    def next_logits(ids):
        seen.append(list(ids))
        logits = torch.zeros(d_vocab)
        logits[(sum(ids[-2:]) + len(ids)) % d_vocab] = 5.0
        return logits

    return next_logits, seen


def _greedy(logits):
    return int(logits.argmax())


def _above_four(logits):
    """The first token whose number is above 4: true of logits here, never of probabilities."""
    return int((logits > 4).float().argmax()) if bool((logits > 4).any()) else 49


def check_continue_text(learner):
    prompt, n_new = [3, 4], 4
    expected = continue_text(prompt, _counting_model()[0], _greedy, n_new)
    next_logits, seen = _counting_model()
    result = call(learner, prompt, next_logits, _greedy, n_new)
    expect_type(result, list, "Return a plain list of token ids.")
    if result == prompt:
        raise Mistake("You returned the prompt alone. Append each new token, and return the longer list.")
    if result == expected[len(prompt) :]:
        raise Mistake("You returned the new tokens only. Return the prompt followed by the new tokens.")
    if result == prompt + [expected[len(prompt)]] * n_new:
        raise Mistake(
            "Every step saw the same context, so every token is the same. Append the token before you ask for the next."
        )
    if len(result) != len(prompt) + n_new:
        raise Mistake(f"Your list has {len(result)} ids; expected {len(prompt)} of the prompt and {n_new} new ones.")
    alone = list(prompt)
    for _ in range(n_new):
        alone.append(_greedy(_counting_model()[0](alone[-1:])))
    if result == alone:
        raise Mistake("The model saw only the last token. Give `next_logits` everything so far.")
    if len(seen) > n_new:
        raise Mistake(f"You ran the model {len(seen)} times for {n_new} tokens. One run a token is enough.")
    if call(learner, prompt, _counting_model()[0], lambda logits: int(logits.argmin()), n_new) == expected:
        raise Mistake("Your function ignores `pick` and always takes the likeliest token. Call pick(logits).")
    if call(learner, prompt, _counting_model()[0], _above_four, n_new) != expected:
        raise Mistake("`pick` must get the logits just as `next_logits` gives them: no softmax, no rounding between.")
    if call(learner, prompt, lambda ids: torch.arange(50.0), _greedy, 2) != [*prompt, 49, 49]:
        raise Mistake("With another model the ids must be others: ask `next_logits` for every token.")
    for length in (0, 1, 7):
        right = continue_text(prompt, _counting_model()[0], _greedy, length)
        came = call(learner, prompt, _counting_model()[0], _greedy, length)
        if came != right:
            raise Mistake(f"With n_new = {length} the ids should be {right}, yours are {came}.")
    longer = [9, 2, 5]
    right = continue_text(longer, _counting_model()[0], _greedy, 2)
    if call(learner, longer, _counting_model()[0], _greedy, 2) != right:
        raise Mistake(f"After the prompt {longer} two more ids should give {right}.")


# --------------------------------------------------------------------------------------------- 0.3 top p


def keep_top_p(probs, p):
    """Keep the smallest set of likeliest tokens whose probabilities reach p, and rescale to sum to 1."""
    if not 0 < p <= 1:
        raise ValueError(f"p must lie in (0, 1], got {p}")
    ordered, order = probs.sort(descending=True)
    before = ordered.cumsum(0) - ordered
    kept = torch.zeros_like(probs)
    kept[order[before < p]] = ordered[before < p]
    return kept / kept.sum()


def check_keep_top_p(learner):
    probs = torch.tensor([0.1, 0.4, 0.05, 0.3, 0.15])
    result = call(learner, probs, 0.6)
    expect_shape(result, (5,), "One probability for each vocabulary entry, zeros included.")
    kept = torch.tensor([0, 0.4, 0, 0.3, 0])
    if is_close(result, torch.tensor([0.0, 1, 0, 0, 0])) or is_close(result, torch.tensor([0, 0.4, 0, 0, 0])):
        raise Mistake("0.4 doesn't reach 0.6 yet: keep the token that crosses the line as well, here the one with 0.3.")
    if is_close(result, kept):
        raise Mistake("The right tokens are kept, but they sum to 0.7. Divide by their sum.")
    if is_close(result, torch.tensor([0.4, 0.3, 0, 0, 0]) / 0.7):
        raise Mistake("The values are right but in sorted order. Put each one back at its token's place.")
    first = torch.tensor([0.1, 0.4, 0.05, 0.3, 0])  # adding up in vocabulary order
    if is_close(result, first / first.sum()):
        raise Mistake("You added up in vocabulary order. Sort the probabilities first, largest to smallest.")
    if is_close(result, probs):
        raise Mistake("Nothing was dropped for p = 0.6. Two tokens already hold 0.7.")
    least = torch.tensor([0.1, 0, 0.05, 0.3, 0.15])
    if is_close(result, least / least.sum()):
        raise Mistake("You kept the least likely tokens. Sort with the largest first.")
    if is_close(result, torch.softmax(kept, -1)):
        raise Mistake("Softmax gives the dropped tokens probability again (exp(0) is 1). Divide by the sum instead.")
    if is_close(result, torch.tensor([0, 0.4, 0, 0.3, 0.15]) / 0.85):
        raise Mistake("You kept one token too many: two already hold 0.7, and 0.6 was asked for.")
    expect_close(result, kept / 0.7, "For p = 0.6 the tokens with 0.4 and 0.3 should stay, scaled to sum to 1.")
    tiny = call(learner, probs, 0.01)
    if is_close(tiny, torch.zeros(5)) or not np.isfinite(array_of(tiny)).all():
        raise Mistake("With p = 0.01 nothing is left. The likeliest token always stays, whatever p is.")
    # 0.5 + 0.25 is exact in binary, so this is a question of `<` against `<=` and not of rounding
    exact = torch.as_tensor(call(learner, torch.tensor([0.25, 0.5, 0.125, 0.125]), 0.75))
    if int((exact > 0).sum()) == 3:
        raise Mistake("0.5 + 0.25 reaches 0.75 exactly, so two tokens are enough; you keep three. Look at < and <=.")
    quarters = torch.full((4,), 0.25)
    ties = torch.as_tensor(call(learner, quarters, 0.5))
    if int((ties > 0).sum()) > 2:
        raise Mistake(
            "Of four tokens with 0.25 each, two reach 0.5; you keep more. Keep places, not values above a line."
        )
    if not is_close(ties.sort().values, [0, 0, 0.5, 0.5]):
        raise Mistake("Of four tokens with 0.25 each, any two should stay for p = 0.5, with 0.5 each.")
    expect_each(
        learner,
        [
            ((probs, 0.01), [0, 1, 0, 0, 0], "For p = 0.01 only the likeliest token should stay."),
            ((probs, 0.8), torch.tensor([0, 0.4, 0, 0.3, 0.15]) / 0.85, "For p = 0.8 three tokens should stay."),
            ((torch.tensor([0.25, 0.5, 0.125, 0.125]), 0.75), [1 / 3, 2 / 3, 0, 0], "0.5 and 0.25 reach 0.75."),
            ((probs, 1.0), probs, "p = 1 should change nothing."),
        ],
    )


# ----------------------------------------------------------------------------------------- 0.4 surprisal


def surprisal_bits(logits, tokens):
    """-log2 probability of each token but the first, from the logits one position earlier."""
    log_probs = torch.log_softmax(logits[:-1], dim=-1)
    return -log_probs[torch.arange(len(tokens) - 1), tokens[1:]] / math.log(2)


def check_surprisal_bits(learner):
    logits = torch.randn(5, 7, generator=seeded(0)) * 2
    tokens = torch.tensor([3, 0, 6, 2, 2])
    result = call(learner, logits, tokens)
    log2 = torch.log_softmax(logits, -1) / math.log(2)
    right = -log2[torch.arange(4), tokens[1:]]
    same = -log2[torch.arange(5), tokens]
    if any(is_close(result, wrong) for wrong in (same, same[1:], same[:-1])):
        raise Mistake(
            "You read each token's probability from its own position. Logits at position i are about token i + 1."
        )
    if is_close(result, -log2[torch.arange(1, 5), tokens[:-1]]):
        raise Mistake("You look backwards: logits at position i are about token i + 1, not i - 1.")
    if is_close(result, right.sum()) or is_close(result, right.mean()):
        raise Mistake("That is one number for the whole text. Return one number for each token but the first.")
    expect_shape(result, (4,), "Five tokens give four numbers: nothing predicts the first.")
    if is_close(result, -right):
        raise Mistake("The sign is wrong: the log of a probability is negative, and surprisal is minus it.")
    if is_close(result, right * math.log(2)) or is_close(result, right * math.log(2) ** 2):
        raise Mistake("These are nats (natural logarithm). For bits divide by math.log(2), or use torch.log2.")
    if is_close(result, right * math.log10(2)):
        raise Mistake("These are decimal digits (log10). For bits use log2.")
    if is_close(result, torch.softmax(logits, -1)[torch.arange(4), tokens[1:]]):
        raise Mistake("These are probabilities. Surprisal is minus their log2.")
    raw = logits[torch.arange(4), tokens[1:]]
    if any(is_close(result, wrong) for wrong in (raw, -raw, raw / math.log(2), -raw / math.log(2))):
        raise Mistake("You used the logits themselves. Turn them into probabilities (softmax) first.")
    down = torch.log_softmax(logits[:-1], 0)[torch.arange(4), tokens[1:]]
    if is_close(result, -down / math.log(2)) or is_close(
        result, -(torch.log_softmax(logits, 0)[torch.arange(4), tokens[1:]]) / math.log(2)
    ):
        raise Mistake("You normalised down the positions. Each row is a distribution over the vocabulary: dim=-1.")
    probs = torch.softmax(logits, -1)[torch.arange(4), tokens[1:]]
    if is_close(result, -probs / math.log(2)):
        raise Mistake("You took the probabilities themselves. Surprisal is minus their logarithm: log_softmax.")
    if is_close(call(learner, torch.zeros(5, 7), tokens), result):
        raise Mistake("Other logits give the same result. Compute it from `logits`.")
    if is_close(call(learner, logits, torch.tensor([0, 1, 2, 3, 4])), result):
        raise Mistake("Other tokens give the same result. Pick each token's own column.")
    expect_close(result, right, "The values differ from -log2 of the probability of each next token.")
    sure = torch.zeros(2, 3)
    sure[0] = torch.tensor([0.0, 300.0, 0.0])
    far = call(learner, sure, torch.tensor([0, 2]))
    expect_finite(far, "The probability was so small that it became 0. Use torch.log_softmax instead of log(softmax).")
    expect_close(far, [300 / math.log(2)], "The value is off for a very unlikely token; use torch.log_softmax.", 1e-2)
    even = torch.zeros(3, 8)
    expect_each(
        learner,
        [
            ((even, torch.tensor([1, 5, 7])), [3.0, 3.0], "Eight equally likely tokens cost 3 bits each."),
            ((torch.tensor([[0.0, 0.0], [9.0, 1.0]]), torch.tensor([1, 0])), [1.0], "Two equal logits cost 1 bit."),
            (
                (torch.tensor([[9.0, 0.0], [0.0, 0.0]]), torch.tensor([1, 0])),
                [0.00018],
                "What was sure costs next to 0.",
            ),
        ],
    )


# ------------------------------------------------------------------------------- 0.5 the fair comparison

FAIR = {
    "a": "Subject, style and length all differ, so a difference in bits could come from any of them. Ask what may "
    "differ between two texts if only the writer is to blame.",
    "b": "Yes: same opening, same number of tokens, same book. What is left to differ is who wrote on.",
    "c": "The same opening, but a longer text gives its reader more to go by, and later tokens are cheaper whoever "
    "wrote them: you have just measured that. Keep the lengths equal.",
}


# ---------------------------------------------------------------------------------- 0.6 a rule that detects

NEEDED = 0.85


def written_by_model(bits):
    """True for a text without a big surprise: the nucleus leaves them out."""
    return float(bits.max()) < 13


def check_written_by_model(learner):
    texts = [(row.human, row.nucleus) for row in held_out_surprisals()]
    verdicts = [[_verdict(call(learner, torch.tensor(bits))) for bits in side] for side in zip(*texts)]
    people, model = (np.array(side) for side in verdicts)
    calm, wild = (_verdict(call(learner, bits)) for bits in (torch.zeros(40), torch.tensor([0.0, 1e4] * 20)))
    if len(set(people) | set(model)) == 1:
        if calm == wild:
            raise Mistake("Every text gets one verdict. Compute something from `bits`, and compare it with a number.")
        whose, other = ("the specimen's", "people") if people[0] else ("a person's", "nucleus")
        raise Mistake(
            f"Your rule looks at `bits`, but calls every text {whose}: the number you compare with is too "
            f'{"high" if people[0] == calm else "low"}. See which values the rows of texts["{other}"] give.'
        )
    right = (float(model.mean()) + 1 - float(people.mean())) / 2
    if right < 0.25 or (right < 0.5 and wild and not calm):
        raise Mistake("You have the two kinds the wrong way round: True is for the specimen's texts.")
    means = np.array([np.mean(bits) for side in zip(*texts) for bits in side])
    called = np.concatenate([people, model])
    taken, missed = f"{people.sum()} of {len(people)}", f"{(~model).sum()} of {len(model)}"
    hint = f"It calls {taken} of people's texts the specimen's, and misses {missed} of the specimen's."
    if right < NEEDED and means[called].max() < means[~called].min():
        hint += " It goes by the average; nucleus sampling never picks from the tail. What would show that most?"
    return Score(right, NEEDED, len(called), "texts", hint)


def _verdict(result):
    if isinstance(result, (torch.Tensor, np.ndarray, np.generic)) and math.prod(result.shape) == 1:
        result = result.item()
    if not isinstance(result, bool):
        came = f"a {type(result).__name__}" + (f" of shape {tuple(result.shape)}" if hasattr(result, "shape") else "")
        raise Mistake(f"Your function returned {came}; expected True or False, one verdict on the whole text.")
    return bool(result)


# -------------------------------------------------------------------------------- 0.7 calibrated and empty


def empty_forecast(outcomes, n):
    """The share of past outcomes that were right, for each of n tokens to come."""
    return torch.full((n,), float(outcomes.float().mean()))


def check_empty_forecast(learner):
    seen, n, held, before = 8000, 4000, 0, None
    rates = [0.06, 0.2, 0.34, 0.42, 0.5, 0.66, 0.78, 0.9, 0.97, 0.55]
    for number, rate in enumerate(rates):
        drawn = (torch.rand(seen + n, generator=seeded(number)) < rate).float()
        forecast = call(learner, drawn[:seen], n)
        expect_shape(forecast, (n,), "One probability for each of the n tokens to come.")
        expect_finite(forecast)
        forecast = array_of(forecast)
        if forecast.min() < 0 or forecast.max() > 1:
            raise Mistake(
                f"Probabilities lie between 0 and 1; yours go from {forecast.min():.2f} to {forecast.max():.2f}."
            )
        if set(np.unique(forecast)) <= {0.0, 1.0} and not is_close(forecast, drawn[:n]):
            raise Mistake("You forecast certainties. Such a forecast is kept only if it is always right: say a share.")
        if before is not None and is_close(forecast, before):
            raise Mistake("You say the same whatever came before. Take your number from `outcomes`.")
        before = forecast
        if is_close(forecast, np.full(n, 1 - rate), atol=0.03) and abs(rate - 0.5) > 0.05:
            raise Mistake("You say how often the specimen was wrong. Say how often it was right.")
        if is_close(forecast, drawn[:n]):
            raise Mistake("You repeat the outcomes that came before, but the tokens to come are others. Say a share.")
        held += statistics.calibration_error(forecast, drawn[seen:].bool().numpy()) < 0.03
    hint = "A set counts if the forecasts of its 4,000 tokens have a calibration error below 0.03."
    return Score(held / len(rates), 0.9, len(rates), "sets of outcomes", hint)


# ------------------------------------------------------------------------------ 0.8 the sentence that holds

SENTENCE = {
    "a": "Too much: naming one word after one sentence is one way of asking. Asked in fewer words, it named others. A "
    "reading of its states (lesson 03) might find still more.",
    "b": "Too much: 'hides' speaks of a purpose. A frequent name that wins over a rarer one explains the same numbers.",
    "c": "Yes: it says how it was asked, what came, what the other question changed, and what was not shown. No more.",
    "d": "Too much: an interval that holds 0 isn't proof of 0, and by its first choice it does tell the two "
    "questions apart.",
}


EXERCISES = [
    Exercise("0.1", "From logits to probabilities", next_token_probabilities, check_next_token_probabilities),
    Exercise("0.2", "The loop that writes", continue_text, check_continue_text),
    Exercise("0.3", "Keep the likeliest few that matter", keep_top_p, check_keep_top_p),
    Exercise("0.4", "Surprisal", surprisal_bits, check_surprisal_bits),
    choose("0.5", "The fair comparison", "b", FAIR),
    Exercise("0.6", "Who wrote this?", written_by_model, check_written_by_model, kind="design"),
    Exercise("0.7", "Perfectly calibrated, perfectly empty", empty_forecast, check_empty_forecast, kind="attack"),
    choose("0.8", "The sentence that holds", "c", SENTENCE),
]

QUIZ = [
    Question(
        "The same sentence gets a much lower probability when `<|im_start|>` stands in front of it. What is the best "
        "explanation?",
        [
            Option(
                "The weights changed between the two runs.",
                False,
                "Nothing was trained. The same weights read two different inputs.",
            ),
            Option(
                "The token in front is part of the input: it tells the model what kind of text to expect.",
                True,
                "`<|im_start|>` opens a chat turn, and plain sentences rarely follow it.",
            ),
            Option(
                "The tokenizer cut the sentence differently.",
                False,
                "The sentence's own tokens are the same in all three runs. Only the token before them differs.",
            ),
        ],
    ),
    Question(
        "You lower the temperature from 1 to 0.5. What happens to the likeliest token?",
        [
            Option(
                "It becomes likelier.", True, "Dividing by 0.5 doubles every gap between logits, and the top one gains."
            ),
            Option("It becomes less likely.", False, "That is what a temperature above 1 does: it flattens."),
            Option(
                "Another token may take its place.",
                False,
                "Dividing all logits by one positive number never changes their order.",
            ),
        ],
    ),
    Question(
        "A token has a surprisal of 3 bits. What probability did the model give it?",
        [
            Option("1/3", False, "Bits count halvings: one half is 1 bit, a quarter is 2."),
            Option("1/8", True, "Three halvings: 1/2, 1/4, 1/8."),
            Option("0.3", False, "0.3 has about 1.7 bits. Each bit halves the probability."),
        ],
    ),
    Question(
        "A forecaster's reliability diagram lies on the diagonal. What follows?",
        [
            Option(
                "Of what it gave 0.8, about 80 % came.",
                True,
                "That is what calibrated means, and all it means.",
            ),
            Option(
                "It knows a lot about what it forecasts.",
                False,
                "Your empty forecaster lies on the diagonal as well. Ask whether it tells right from wrong.",
            ),
            Option(
                "Its answers are mostly right.",
                False,
                "A forecaster who says 0.1 every time, and is right one time in ten, lies on the diagonal.",
            ),
        ],
    ),
    Question(
        "Two models cut text into different tokens. Which number can you compare between them?",
        [
            Option(
                "Bits per token",
                False,
                "A model with longer tokens pays more for each and has fewer of them.",
            ),
            Option("Bits per character", True, "Both models read the same characters, however they cut them."),
            Option(
                "The probability of the first token",
                False,
                "The first tokens may be different strings, so these are answers to two questions.",
            ),
        ],
    ),
    Question(
        "With a new dial, 12 texts repeat themselves less: by 3 words a page, 95 % [-1, 7]. What may you say?",
        [
            Option(
                "The dial changes nothing.",
                False,
                "The interval also holds differences of seven words. Not shown isn't shown not to be.",
            ),
            Option(
                "No difference was shown; a gain of up to seven words, or a loss of one, isn't ruled out.",
                True,
                "The verdict, and what the experiment leaves open.",
            ),
            Option(
                "Probably the dial helps, since 3 is more than 0.",
                False,
                "Then you would say so of every estimate that isn't exactly 0. The interval is there to stop you.",
            ),
        ],
    ),
    Question(
        "Your rule finds texts sampled with top-p and misses texts sampled without. What does it detect?",
        [
            Option("Text written by a machine", False, "The texts it missed were written by the same machine."),
            Option(
                "That big surprises are missing",
                True,
                "A cut leaves that trace, and so does a cooler dial. A rule is only as general as the texts it was "
                "tried on.",
            ),
            Option("Bad style", False, "It reads 40 numbers, and knows nothing of style."),
        ],
    ),
]
