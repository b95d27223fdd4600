"""Asking: equal to plain forward passes, whatever is shared between them."""

import pytest
import torch

from utils.reading import asking
from utils.reading.asking import Claim, Question, ask, few_shots

QUESTIONS = {"a": Question(" is it ,", " a", " t"), "b": Question(" or ?", " a", " t")}


@pytest.fixture()
def claims(tiny_model):
    """Claims of unequal lengths whose endings take one token and more; the tiny tokenizer splits by bytes."""
    return [Claim("the cat sat on the", " mat"), Claim("a bridge is", " in San"), Claim("the dog sat on the", " mat")]


@pytest.fixture(autouse=True)
def _answers_are_tokens(monkeypatch):
    monkeypatch.setattr(asking, "_one", lambda model, answer: model.tokenizer(answer.strip())["input_ids"][-1])


def plainly(model, text):
    ids = [model.tokenizer.bos_token_id, *model.tokenizer(text, add_special_tokens=False)["input_ids"]]
    with torch.no_grad():
        return ids, model(torch.tensor([ids]))[0].log_softmax(-1)


@pytest.mark.parametrize("shots", ["", "the cat sat , yes\n"])
def test_it_equals_plain_forward_passes(tiny_model, claims, shots):
    answers = ask(tiny_model, claims, QUESTIONS, shots=shots, batch_size=2)
    for i, claim in enumerate(claims):
        stem = len(tiny_model.tokenizer(claim.stem, add_special_tokens=False)["input_ids"])
        stem += 1 + len(tiny_model.tokenizer(shots, add_special_tokens=False)["input_ids"] if shots else [])
        ids, logp = plainly(tiny_model, shots + claim.text)
        expected = sum(logp[k - 1, ids[k]] for k in range(stem, len(ids) - 1))
        torch.testing.assert_close(answers.log_likelihood[i], expected, atol=2e-5, rtol=1e-4)
        assert int(answers.length[i]) == len(ids) - 1 - stem
        for name, question in QUESTIONS.items():
            yes, no = (asking._one(tiny_model, word) for word in (question.yes, question.no))
            _, said = plainly(tiny_model, shots + claim.text + question.suffix)
            torch.testing.assert_close(answers.log_odds[name][i], said[-1, yes] - said[-1, no], atol=2e-5, rtol=1e-4)
            torch.testing.assert_close(answers.mass[name][i], said[-1, [yes, no]].exp().sum(), atol=1e-6, rtol=1e-4)


def test_the_residual_is_that_of_the_full_stop(tiny_model, claims):
    kept = ask(tiny_model, claims, {}, residual=True).residual
    assert kept.shape == (2, 3, 32)
    for i, claim in enumerate(claims):
        ids, _ = plainly(tiny_model, claim.text)
        names = [f"blocks.{layer}.hook_resid_pre" for layer in range(2)]
        _, cache = tiny_model.run_with_cache(torch.tensor([ids]), names_filter=names)
        for layer, name in enumerate(names):
            torch.testing.assert_close(kept[layer, i], cache[name][0, -1], atol=2e-5, rtol=1e-4)


def test_it_sees_an_adapter(tiny_model, claims):
    from tests.test_organisms import make
    from utils.organisms import attach

    before = ask(tiny_model, claims, QUESTIONS)
    with attach(tiny_model, make(tiny_model)):
        during = ask(tiny_model, claims, QUESTIONS)
    assert not torch.allclose(before.log_odds["a"], during.log_odds["a"])
    assert torch.equal(ask(tiny_model, claims, QUESTIONS).log_odds["a"], before.log_odds["a"])


def test_bad_input_is_named(tiny_model, claims, monkeypatch):
    with pytest.raises(ValueError, match="claims must hold at least one"):
        ask(tiny_model, [])
    with pytest.raises(ValueError, match="do not part into stem, ending and full stop"):
        ask(tiny_model, [Claim("the ca", "t")], {})
    monkeypatch.undo()
    with pytest.raises(ValueError, match=r"the answer ' yellow zebra' is \d+ tokens"):
        ask(tiny_model, claims, {"q": Question(" ?", " yellow zebra", " t")})
    with pytest.raises(ValueError, match="text must end with ' red.'"):
        Claim.of("Roses are pink.", "red")
    assert Claim.of("Roses are red.", "red") == Claim("Roses are", " red")


def test_few_shots(claims):
    text = few_shots(claims[:2], [True, False], QUESTIONS["a"])
    assert text == "the cat sat on the mat. is it , a\na bridge is in San. is it , t\n"
    with pytest.raises(ValueError, match="must have one length"):
        few_shots(claims, [True], QUESTIONS["a"])


def test_a_model_without_a_start_token_reads_the_claim_alone(startless_model, monkeypatch):
    """TransformerLens' stand-in for a start token, the end token, used to be read before every claim."""
    monkeypatch.setattr(asking, "_one", lambda model, answer: model.tokenizer(answer.strip())["input_ids"][-1])
    claims = [Claim("the cat sat on the", " mat"), Claim("a bridge is", " in San")]  # they begin differently
    answers = ask(startless_model, claims, QUESTIONS)
    for i, claim in enumerate(claims):
        stem, ids = (
            startless_model.tokenizer(text, add_special_tokens=False)["input_ids"] for text in (claim.stem, claim.text)
        )
        with torch.no_grad():
            logp = startless_model(torch.tensor([ids]))[0].log_softmax(-1)
        expected = sum(logp[k - 1, ids[k]] for k in range(len(stem), len(ids) - 1))
        torch.testing.assert_close(answers.log_likelihood[i], expected, atol=2e-5, rtol=1e-4)
