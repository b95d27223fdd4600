"""utils.reading.likelihood against a plain loop, and on a model that knows nothing."""

import math

import pytest
import torch

from utils.reading import (
    continuation_log_likelihood,
    next_token_logits,
    surprisal,
    text_ids,
    token_log_probs,
    token_losses,
    token_rows,
)

TEXTS = ["the cat sat on the mat", "red", "a bridge in the city of San Francisco"]


def test_equals_a_plain_loop(tiny_model):
    for text, found in zip(TEXTS, surprisal(tiny_model, TEXTS)):
        ids = tiny_model.to_tokens(text)
        with torch.no_grad():
            probs = tiny_model(ids)[0].softmax(-1)
        expected = [-math.log2(probs[i - 1, ids[0, i]]) for i in range(1, ids.shape[1])]
        assert found.bits.tolist() == pytest.approx(expected, abs=1e-4)
        assert "".join(found.tokens) == found.text == text
        assert found.total == pytest.approx(sum(expected), abs=1e-3)
        assert found.per_character == pytest.approx(found.total / len(text))
        assert found.per_token == pytest.approx(found.total / len(expected))


def test_a_model_that_knows_nothing_pays_the_full_price(tiny_model):
    tiny_model.original_model.get_output_embeddings().weight.zero_()
    found = surprisal(tiny_model, TEXTS)
    assert all(text.per_token == pytest.approx(math.log2(tiny_model.cfg.d_vocab), abs=1e-4) for text in found)


@pytest.mark.parametrize(
    ("texts", "error", "says"),
    [
        ([], ValueError, "texts is empty"),
        ("red", TypeError, "list of texts"),
        (["red", 3], TypeError, r"texts\[1\]"),
        (["red", ""], ValueError, r"texts\[1\] is an empty string"),
        (["red " * 200], ValueError, "reads at most 64"),
    ],
)
def test_bad_input_is_named(tiny_model, texts, error, says):
    with pytest.raises(error, match=says):
        surprisal(tiny_model, texts)


def test_no_document_start(tiny_model):
    tiny_model.tokenizer.bos_token = None
    with pytest.raises(ValueError, match="document start"):
        surprisal(tiny_model, TEXTS)


def test_a_second_start_token_is_told(tiny_model):
    with pytest.warns(UserWarning, match="second one"):
        surprisal(tiny_model, ["<|endoftext|>the cat"])


def test_tokens_are_shown_whole(tiny_model):
    found = surprisal(tiny_model, ["a 🙂 cat"])[0]
    assert "".join(found.tokens) == "a 🙂 cat" and len(found.tokens) == len(found.bits)


# -------------------------------------------------------------------------------------------------- the one primitive


def test_against_the_loss_of_transformers(tiny_model):
    """The average of ours, with the sign turned, is the loss that transformers trains on."""
    ids = torch.stack([row[:6] for row in token_rows(tiny_model, ["the cat sat on the mat", "a bridge in the city"])])
    theirs = tiny_model.original_model(input_ids=ids, labels=ids).loss
    losses = token_losses(tiny_model, ids)
    assert losses.shape == (2, 5)
    assert float(losses.mean()) == pytest.approx(float(theirs), abs=1e-5)
    flat = [
        math.log(2) * bits
        for found in surprisal(tiny_model, ["the cat sat on the mat"])
        for bits in found.bits.tolist()
    ]
    assert losses[0].tolist() == pytest.approx(flat[:5], abs=1e-4)


def test_against_transformer_lens(tiny_model):
    from transformer_lens.utilities import lm_cross_entropy_loss

    ids = torch.randint(3, 320, (3, 7), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        theirs = lm_cross_entropy_loss(tiny_model(ids), ids, per_token=True)
    torch.testing.assert_close(token_losses(tiny_model, ids), theirs, atol=1e-5, rtol=1e-5)


def test_log_probs_of_every_shape():
    logits = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0))
    tokens = torch.tensor([[0, 1, 2], [3, 4, 0]])
    expected = logits.log_softmax(-1).gather(-1, tokens[..., None])[..., 0]
    for found in (
        token_log_probs(logits, tokens),
        token_log_probs(logits.numpy(), tokens.numpy()),
        token_log_probs(logits.tolist(), tokens.tolist()),
        torch.stack([token_log_probs(a, b) for a, b in zip(logits.flatten(0, 1), tokens.flatten())]).view(2, 3),
    ):
        torch.testing.assert_close(found, expected)
    assert token_log_probs(logits.bfloat16(), tokens).dtype == torch.float32
    masked = logits.clone()
    masked[..., 4] = -torch.inf  # a logit like any other
    assert token_log_probs(masked, tokens)[1, 1] == -torch.inf
    logits.requires_grad_()
    token_log_probs(logits, tokens).sum().backward()
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize(
    ("logits", "tokens", "error", "says"),
    [
        (torch.zeros(2, 5), torch.tensor([1]), ValueError, r"tokens has shape \(1,\), expected \(2,\)"),
        (torch.zeros(2, 5), torch.tensor([1, 5]), ValueError, "tokens must be ids from 0 to 4, got 1 to 5"),
        (torch.zeros(2, 5), torch.tensor([1, -100]), ValueError, "tokens must be ids"),
        (torch.zeros(2, 5), torch.tensor([1.0, 2.0]), TypeError, "tokens must be whole numbers"),
        (torch.full((2, 5), math.nan), torch.tensor([1, 2]), ValueError, "logits hold NaN"),
        ("abc", torch.tensor([1, 2]), TypeError, "logits"),
        (torch.full((2, 5), math.inf), torch.tensor([1, 2]), ValueError, "logits hold NaN"),
    ],
)
def test_log_probs_refuse_what_they_cannot_score(logits, tokens, error, says):
    with pytest.raises(error, match=says):
        token_log_probs(logits, tokens)


def test_token_losses_see_hooks_and_refuse_what_is_no_batch(tiny_model):
    ids = torch.tensor([[0, 5, 6, 7]])
    silenced = token_losses(tiny_model, ids, [("blocks.0.hook_resid_pre", lambda acts, hook: acts * 0)])
    assert not torch.allclose(silenced, token_losses(tiny_model, ids))
    assert not any(point.fwd_hooks for point in tiny_model.hook_dict.values())
    for hooks in (None, "text", [1], [("blocks.0.hook_resid_pre", 3)], [("blocks.7.hook_resid_pre", print)]):
        with pytest.raises((TypeError, ValueError), match="^hooks"):
            token_losses(tiny_model, ids, hooks)
    for wrong in (torch.tensor([5, 6]), [[5]], torch.zeros(1, 3), torch.zeros(1, 3, device="meta").long(), "the cat"):
        with pytest.raises((TypeError, ValueError), match="^tokens"):
            token_losses(tiny_model, wrong)


# -------------------------------------------------------------------------------------------------------- what follows


def test_a_continuation_is_scored_token_by_token(tiny_model):
    prompts = ["the cat", "a bridge in the city of", "red"]
    ends = [" sat", " San Francisco", " , 1 2 3"]
    found = continuation_log_likelihood(tiny_model, prompts, ends)
    for i, (prompt, end) in enumerate(zip(prompts, ends)):
        ids = [0, *text_ids(tiny_model, prompt), *text_ids(tiny_model, end)]
        n = len(text_ids(tiny_model, end))
        with torch.no_grad():
            log_probs = tiny_model(torch.tensor([ids]))[0].log_softmax(-1)
        expected = sum(float(log_probs[p - 1, ids[p]]) for p in range(len(ids) - n, len(ids)))
        assert float(found.total[i]) == pytest.approx(expected, abs=1e-4)
        assert int(found.n_tokens[i]) == n
        assert float(found.per_token[i]) == pytest.approx(expected / n, abs=1e-4)
    whole = math.exp(-float(found.total.sum()) / int(found.n_tokens.sum()))
    assert found.perplexity == pytest.approx(whole, rel=1e-5)
    rows = [[0, *text_ids(tiny_model, prompt)] for prompt in prompts]
    tails = [torch.tensor(text_ids(tiny_model, end)) for end in ends]
    torch.testing.assert_close(continuation_log_likelihood(tiny_model, rows, tails).total, found.total)


def test_what_one_prompt_begins_is_read_once(tiny_model):
    """Continuations of one prompt share its reading, in any order, beside rows that share nothing."""
    prompts = ["the cat sat", "a", "the cat sat", "the cat", "a"]
    ends = [" on", " red", " on the mat", " sat on", " red"]
    seen = []
    look = ("embed.hook_out", lambda acts, hook: seen.append(acts.shape[0]))
    with tiny_model.hooks(fwd_hooks=[look]):
        together = continuation_log_likelihood(tiny_model, prompts, ends)
    one_by_one = [float(continuation_log_likelihood(tiny_model, [p], [e]).total) for p, e in zip(prompts, ends)]
    assert together.total.tolist() == pytest.approx(one_by_one, abs=1e-4)
    assert sum(seen) == 2  # "the cat sat on the" holds all that begins with "the cat", and "a" is read once


def test_a_continuation_under_hooks(tiny_model):
    hooks = [("blocks.0.hook_resid_post", lambda acts, hook: acts * 0.5)]
    found = continuation_log_likelihood(tiny_model, ["the cat"], [" sat on"], hooks=hooks)
    with tiny_model.hooks(fwd_hooks=hooks):
        inside = continuation_log_likelihood(tiny_model, ["the cat"], [" sat on"])
    torch.testing.assert_close(found.total, inside.total)
    assert not torch.allclose(found.total, continuation_log_likelihood(tiny_model, ["the cat"], [" sat on"]).total)


@pytest.mark.parametrize(
    ("prompts", "ends", "says"),
    [
        ("the cat", [" sat"], "prompts must be a list"),
        (["the cat"], " sat", "continuations must be a list"),
        (["the cat"], [" sat", " on"], "continuations has 2 entries, expected 1"),
        (["the cat"], [""], r"continuations\[0\] is an empty"),
        ([[3, 4]], [[]], r"continuations\[0\] is an empty list"),
        ([[3] * 40], [[3] * 40], "at most 64"),
    ],
)
def test_what_cannot_be_continued_is_named(tiny_model, prompts, ends, says):
    with pytest.raises((TypeError, ValueError), match=says):
        continuation_log_likelihood(tiny_model, prompts, ends)


def test_next_token_logits(tiny_model):
    prompts = ["the cat sat", "a", "red , roses are red"]
    found = next_token_logits(tiny_model, prompts)
    with torch.no_grad():
        expected = torch.stack([tiny_model(tiny_model.to_tokens(prompt))[0, -1] for prompt in prompts])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(next_token_logits(tiny_model, prompts[0]), found[0], atol=1e-5, rtol=1e-5)
    hooks = [("blocks.0.hook_resid_post", lambda acts, hook: acts * 0.5)]
    with tiny_model.hooks(fwd_hooks=hooks):
        inside = next_token_logits(tiny_model, prompts)
    torch.testing.assert_close(next_token_logits(tiny_model, prompts, hooks=hooks), inside)
    assert not torch.allclose(inside, found)
    rows = [[0, 5, 6], torch.tensor([0, 7])]
    assert next_token_logits(tiny_model, rows).shape == (2, 320)
    bare = next_token_logits(tiny_model, prompts, prepend_bos=False)
    torch.testing.assert_close(bare, next_token_logits(tiny_model, [text_ids(tiny_model, p) for p in prompts]))


@pytest.mark.parametrize("prompts", [[], "", [""], [[]], [3], ["a", math.nan], None, torch.zeros(1, 3).long()])
def test_what_cannot_be_followed_is_named(tiny_model, prompts):
    with pytest.raises((TypeError, ValueError), match="^prompts"):
        next_token_logits(tiny_model, prompts)
