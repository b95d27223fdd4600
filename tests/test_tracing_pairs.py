"""Counterfactual pairs: aligned or refused, made by the rule that is stated, and counted."""

from __future__ import annotations

import pytest
import torch
from conftest import save_tiny_model

from utils import tracing
from utils.datasets import Landmark
from utils.tracing import Form, matched_pairs, patching_pair, sites
from utils.tracing import pairs as pairs_room

CLEAN = torch.tensor([0, 40, 51, 62, 73, 84, 95])
CORRUPT = torch.tensor([0, 40, 52, 60, 73, 84, 95])
PAIR = tracing.Pair(CLEAN, CORRUPT, answer=10, other=200, subject=(2, 4), name="a / b")


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    from utils import models

    return models.load_model(save_tiny_model(tmp_path_factory.mktemp("tracing"), "llama"), device="cpu")


def test_position_classes_do_not_overlap_and_start_at_the_subject():
    masks = tracing.position_classes(PAIR)
    assert masks.sum(0).tolist() == [0, 0, 1, 1, 1, 1, 1]
    assert [m.nonzero().flatten().tolist() for m in masks] == [[2], [3], [4, 5], [6]]


def fake_answers(monkeypatch, llama, answers):
    def logits(model, prompts):
        out = []
        for tokens in prompts:
            text = model.tokenizer.decode(tokens[1:])
            row = torch.zeros(model.cfg.d_vocab)
            city = next((city for name, city in answers.items() if name in text), None)
            if city is not None:
                row[int(model.to_tokens(" " + city, prepend_bos=False)[0, 0])] = 5.0
            out.append(row)
        return torch.stack(out)

    monkeypatch.setattr(pairs_room, "next_token_logits", logits)


def test_make_pairs_keeps_what_is_known_and_pairs_equal_lengths(llama, monkeypatch):
    places = [Landmark(name, city) for name, city in (
        ("Abc", "San"), ("Def", "dog"), ("Ghi", "cat"), ("cat Hall", "cat"), ("Jklm", "dog"), ("Nop", "San"),
    )]  # fmt: skip
    fake_answers(monkeypatch, llama, {"Abc": "San", "Def": "dog", "Ghi": "dog", "Jklm": "dog", "Nop": "San"})
    pairs = tracing.make_pairs(llama, places)
    assert pairs.dropped["name holds the city"] == ("cat Hall",)
    assert pairs.dropped["not known"] == ("Ghi",)
    assert pairs[0].name == "Abc / Def"
    used = [name for pair in pairs for name in pair.name.split(" / ")]
    assert len(used) == len(set(used))
    for pair in pairs:
        start, stop = pair.subject
        assert llama.tokenizer.decode(pair.clean[start:stop]).strip() == pair.name.split(" / ")[0]
    assert len(pairs) * 2 + sum(map(len, pairs.dropped.values())) == pairs.n_candidates == 6
    assert "from 6 candidates" in str(pairs)
    assert [place.name for place in pairs.known] == ["Abc", "Def", "Jklm", "Nop"]
    assert pairs.known[0].answer == pairs[0].answer and torch.equal(pairs.known[0].tokens, pairs[0].clean)


def test_each_city_may_stand_in_one_pair_only(llama, monkeypatch):
    names = {"Abc": "San", "Def": "dog", "Ghi": "San", "Jkl": "cat", "Mno": "house"}
    fake_answers(monkeypatch, llama, names)
    places = [Landmark(name, city) for name, city in names.items()]
    pairs = tracing.make_pairs(llama, places, each_city_once=True)
    answers = [token for pair in pairs for token in (pair.answer, pair.other)]
    assert len(answers) == len(set(answers)) and "each city once" in pairs.rule
    assert "Ghi" in pairs.dropped["city used"] or "Ghi" in pairs.dropped.get("not known", ())
    assert len(tracing.make_pairs(llama, places)) >= len(pairs)


def test_make_pairs_leaves_out_narrow_wins(llama, monkeypatch):
    fake_answers(monkeypatch, llama, {"Abc": "San", "Def": "dog"})
    pairs = tracing.make_pairs(llama, [Landmark("Abc", "San"), Landmark("Def", "dog")], min_margin=6.0)
    assert len(pairs) == 0 and pairs.dropped == {"not known": ("Abc", "Def")}


@pytest.mark.slow
@pytest.mark.specimen
def test_the_specimen_knows_at_least_twelve_pairs(specimen):
    from utils.datasets import landmarks

    pairs = tracing.make_pairs(specimen, landmarks())
    assert len(pairs) >= 12
    assert pairs[0].name == "Golden Gate Bridge / Eiffel Tower"
    pair = pairs[0]
    parts = tracing.direct_logit_attribution(specimen, pair.clean, pair.answer, pair.other)
    assert parts.summed == pytest.approx(parts.total, abs=1e-3)


def pair(**changes):
    arguments = {"clean": CLEAN, "corrupt": CORRUPT, "answer": 10, "other": 200, "subject": (2, 4), **changes}
    return tracing.Pair(**arguments)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"corrupt": CORRUPT[:-1]}, r"corrupt has shape \(6,\), expected \(pos,\) with pos = 7, as in clean"),
        ({"other": 10}, "answer and other are both token 10"),
        ({"subject": (2, 3)}, r"differ at positions \[2, 3\], outside the subject"),
        ({"subject": (4, 2)}, "subject must be"),
        ({"subject": (2, 7)}, "subject must be"),
        ({"corrupt": CLEAN}, "same prompt"),
        ({"clean": CLEAN.float()}, "clean must be whole numbers"),
        ({"clean": CLEAN[None]}, r"clean has shape \(1, 7\)"),
    ],
)
def test_pairs_that_do_not_align_are_refused(changes, message):
    with pytest.raises((TypeError, ValueError), match=message):
        pair(**changes)


def test_ids_may_come_as_a_list_or_an_array():
    for made in (pair(clean=CLEAN.tolist()), pair(clean=CLEAN.numpy(), corrupt=CORRUPT.int())):
        assert torch.equal(made.clean, CLEAN) and torch.equal(made.corrupt, CORRUPT)


def test_a_set_of_pairs_is_a_sequence():
    some = tracing.PairSet((PAIR, PAIR.swapped()), "rule", 4, {})
    assert len(some) == 2 and some[-1] is some.pairs[1] and some[:1] == (PAIR,) and list(some) == list(some.pairs)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: tracing.make_pairs(m, []), "at least one landmark"),
        (lambda m: tracing.make_pairs(m, ["Eiffel Tower"]), r"places\[0\] must be a Landmark"),
        (lambda m: tracing.make_pairs(m, [Landmark("A", "B")], min_margin=-1), "min_margin must be at least 0"),
        (lambda m: tracing.make_pairs(m, [Landmark("A", "B")], "Where is it?"), "template must be a text with"),
        (lambda m: Form("no subject", "the cat"), "template must be a text with {subject}"),
        (lambda m: Form("another field", "{subject} {city}"), "template must be a text with {subject}"),
        (lambda m: matched_pairs(m, [Form("a", "{subject} is")], [("a", "b")], 0, 1.0), "n_pairs must be at least 1"),
    ],
)  # fmt: skip
def test_bad_input_is_named(llama, call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call(llama)


# ---------------------------------------------------------------------------------- one fact, asked for in several ways


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
    kept, shown = matched_pairs(tiny_model, forms, entities, 3, min_span=-9.0)
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
    stricter, tried = matched_pairs(tiny_model, forms, entities, 3, min_span=weakest + 1e-3)
    assert all(clean - corrupt > weakest for one in stricter for clean, corrupt in one.ends)
    assert tried >= len(stricter)
    assert matched_pairs(tiny_model, forms, entities, 3, min_span=99.0)[0] == []
    assert matched_pairs(tiny_model, forms, [], 3, min_span=0.0) == ([], 0)
    with pytest.raises(ValueError, match="forms must hold"):
        matched_pairs(tiny_model, [], entities, 3, min_span=0.0)
