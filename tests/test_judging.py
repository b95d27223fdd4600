"""Asking: equal to plain forward passes, whatever is shared between them."""

import pytest
import torch

from utils import judging
from utils.judging import Claim, Form, Question, ask, few_shots, patching_pair, sites

QUESTIONS = {"a": Question(" is it ,", " a", " t"), "b": Question(" or ?", " a", " t")}


@pytest.fixture()
def claims(tiny_model):
    """Claims of unequal lengths whose endings take one token and more; the tiny tokenizer splits by bytes."""
    return [Claim("the cat sat on the", " mat"), Claim("a bridge is", " in San"), Claim("the dog sat on the", " mat")]


@pytest.fixture(autouse=True)
def _answers_are_tokens(monkeypatch):
    monkeypatch.setattr(judging, "_one", lambda model, answer: model.tokenizer(answer.strip())["input_ids"][-1])


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
            yes, no = (judging._one(tiny_model, word) for word in (question.yes, question.no))
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
    with pytest.raises(ValueError, match="claims is empty"):
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


def test_patching_pairs(tiny_model):
    judge = Form("judge", "the {subject} sat on the {ending} . is it ,", ("a", "t"))
    complete = Form("complete", "the {subject} sat on the")
    asked = patching_pair(tiny_model, judge, ("ubx", "vyz"), (" mat", " log"))
    assert judge.judges and not complete.judges
    assert asked.clean.shape == asked.corrupt.shape
    start, stop = asked.subject
    assert torch.equal(asked.clean[:start], asked.corrupt[:start]) and torch.equal(
        asked.clean[stop:], asked.corrupt[stop:]
    )
    where = sites(asked)
    assert where.shape == (3, len(asked.clean)) and bool((where.sum(0) <= 1).all())
    assert bool(where[:, start:].any(0).all())  # from the subject on, every position is in one site
    with pytest.raises(ValueError, match="take different numbers of tokens"):
        patching_pair(tiny_model, judge, ("cat", "San Francisco"), (" mat", " log"))
    with pytest.raises(ValueError, match="subjects are the same"):
        patching_pair(tiny_model, judge, ("cat", "cat"), (" mat", " log"))


def test_matched_pairs_are_those_that_every_form_moves(tiny_model):
    """The rule of the search, spelt out with a plain forward pass for each prompt."""
    forms = [
        Form("complete", "the {subject} sat on the"),
        Form("judge", "the {subject} sat on the {ending} . is it ,", ("a", "t")),
    ]
    entities = [("cat", "mat"), ("dog", "log"), ("uvx", "red"), ("city", "San"), ("rxy", "blue"), ("zyx", "one")]
    kept, shown = judging.matched_pairs(tiny_model, forms, entities, 3, min_span=-9.0)
    for one in kept:  # no couple is too weak for -9 nats, so the first that align are kept
        for pair, (clean, corrupt) in zip(one.pairs, one.ends):
            with torch.no_grad():
                logits = tiny_model(torch.stack([pair.clean, pair.corrupt]))[:, -1]
            spans = logits[:, pair.answer] - logits[:, pair.other]
            torch.testing.assert_close(torch.tensor([clean, corrupt]), spans, atol=2e-5, rtol=1e-4)
    assert len(kept) and shown == len(kept)
    names = [name for one in kept for name in (one.first, one.second)]
    assert len(set(names)) == len(names)  # each entity once
    weakest = min(clean - corrupt for one in kept for clean, corrupt in one.ends)
    stricter, tried = judging.matched_pairs(tiny_model, forms, entities, 3, min_span=weakest + 1e-3)
    assert all(clean - corrupt > weakest for one in stricter for clean, corrupt in one.ends)
    assert tried >= len(stricter)
    assert judging.matched_pairs(tiny_model, forms, entities, 3, min_span=99.0)[0] == []
    assert judging.matched_pairs(tiny_model, forms, [], 3, min_span=0.0) == ([], 0)
    with pytest.raises(ValueError, match="forms is empty"):
        judging.matched_pairs(tiny_model, [], entities, 3, min_span=0.0)
