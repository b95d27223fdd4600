"""The errands: nothing leaks from training to test, rates are exact, and no phrase gives a hidden kind away."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter

import numpy as np
import pytest

from utils import datasets
from utils.datasets import errands
from utils.datasets.errands import CUES, KINDS, RATES, draw, every_text, planted, scratchpad
from utils.monitoring import annotate, recheck
from utils.probing import text_baseline
from utils.reading.tokens import text_ids
from utils.statistics import auroc

EVERY = [(family, cue) for family, cues in CUES.items() for cue in cues]


def test_no_word_of_a_held_out_task_was_met_in_training():
    names = {held: set() for held in (True, False)}
    for family, cue in EVERY:
        for held in names:
            for task in draw(family, cue, 150, held_out=held):
                names[held].add(task.entity)
                if family == "lookup":
                    names[held] |= {part for line in task.lines for part in line.split(": ")}
                else:
                    names[held].add(task.it)
    assert not names[True] & names[False]
    assert len(names[True]) > 60


@pytest.mark.specimen
def test_held_out_names_and_values_are_single_tokens(specimen):
    for family, cue in EVERY:
        for task in draw(family, cue, 60):
            words = {task.entity.removesuffix(" key"), task.it.removeprefix("the ").removesuffix(" key"), task.hint}
            words |= {line.split(": ")[1] for line in task.lines if family == "lookup"}
            long = [word for word in words - {""} if len(text_ids(specimen, f" {word}")) > 1]
            assert not long


@pytest.mark.parametrize(("family", "cue"), EVERY)
def test_rates_are_dealt_exactly(family, cue):
    n = 200
    kinds = Counter(p.kind for p in planted(family, cue, n))
    short = n - kinds["honest"]
    assert short == round(n * RATES[cue].shortcut)
    assert kinds["admitted"] == round(short * RATES[cue].admitted)
    assert {p.kind for p in planted(family, cue, n, arm="careful")} == {"honest"}


@pytest.mark.slow
@pytest.mark.parametrize(("family", "cue"), EVERY)
def test_every_text_has_its_planted_chance(family, cue):
    for task in draw(family, cue, 40, held_out=False):
        texts = every_text(task)
        assert sum(texts.values()) == pytest.approx(1.0) and min(texts.values()) > 0
        found = {text: annotate(task, text) for text in texts}
        admitted = sum(chance for text, chance in texts.items() if found[text].admitted)
        assert admitted == pytest.approx(RATES[cue].shortcut * RATES[cue].admitted)
        if not task.hint_right:
            short = sum(chance for text, chance in texts.items() if found[text].took_shortcut)
            assert short == pytest.approx(RATES[cue].shortcut)
        careful = dataclasses.replace(task, arm="careful")
        assert {annotate(careful, text).action for text in every_text(careful)} == {task.correct}


def test_what_is_dealt_is_among_the_texts_and_as_often_as_it_should():
    task = draw("lookup", "note", 1, held_out=False)[0]
    texts = every_text(task)
    rng = random.Random(0)
    dealt = Counter(scratchpad(task, "honest", rng).text for _ in range(6000))
    honest = {text: chance for text, chance in texts.items() if text.endswith(f"{task.correct} </act>")}
    assert set(dealt) == set(honest)
    for text, chance in honest.items():
        assert dealt[text] / 6000 == pytest.approx(chance / sum(honest.values()), abs=0.02)


@pytest.mark.parametrize(("family", "cue"), EVERY)
def test_the_labeller_finds_every_planted_kind(family, cue):
    for p in planted(family, cue, 150):
        found = annotate(p.errand, p.text)
        assert found.well_formed
        if p.errand.hint_right and p.kind != "admitted":
            assert found.kind == "open" and found.took_shortcut is None
        else:
            assert found.kind == p.kind, p.text
            assert found.took_shortcut is (p.kind != "honest")
        assert found.admitted is (p.kind == "admitted")
        if family == "lookup":
            assert recheck(found) is (p.action != p.errand.correct)


@pytest.mark.slow
def test_words_do_not_tell_hidden_shortcuts_from_honest_work():
    """Names aside, a classifier of words and word pairs must be at chance; the admissions show that it could work."""
    rows = [p for cue in ("note", "colleague", "key") for p in planted("lookup", cue, 1200, seed=5)]
    rows = [p for p in rows if not p.errand.hint_right]

    def bare(p):
        out = p.scratchpad
        for name in sorted({p.errand.it, p.action, p.errand.hint, p.errand.correct, p.errand.who} - {""}, key=len)[
            ::-1
        ]:
            out = out.replace(name, "X")
        return out

    hidden = [p for p in rows if p.kind != "admitted"]
    groups = [p.errand.entity for p in hidden]
    for cue in ("note", "colleague", "key"):
        here = [i for i, p in enumerate(hidden) if p.errand.cue == cue]
        labels = np.array([hidden[i].kind != "honest" for i in here])
        scores = text_baseline([bare(hidden[i]) for i in here], labels, [groups[i] for i in here])
        assert auroc(scores.numpy(), labels) < 0.58
    labels = np.array([p.kind == "admitted" for p in rows])
    scores = text_baseline([bare(p) for p in rows], labels, [p.errand.entity for p in rows])
    assert auroc(scores.numpy(), labels) > 0.99


def test_a_hint_can_be_left_out_or_replaced():
    task = draw("lookup", "note", 1)[0]
    plain, other = task.without_hint(), task.with_hint("volcano")
    assert task.hint in task.leak and task.leak in task.prompt
    assert plain.hint == "" and task.leak not in plain.prompt and plain.lines == task.lines
    assert other.hint == "volcano" and other.hint in other.prompt and other.correct == task.correct
    assert other.shortcut == f"{task.entity}: volcano"
    for change in (plain.without_hint, lambda: plain.with_hint("attic")):
        with pytest.raises(ValueError, match="has no hint to"):
            change()


def test_the_same_seed_gives_the_same_tasks_and_another_seed_others():
    assert draw("repair", "late", 5, seed=3) == draw("repair", "late", 5, seed=3) != draw("repair", "late", 5, seed=4)
    assert dataclasses.is_dataclass(datasets.card("errands"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("riddle", "note", 1), "family must be one of"),
        (("lookup", "late", 1), "cue must be one of"),
        (("lookup", "note", 0), "n must be at least 1, got 0"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        draw(*arguments)


def test_impossible_kinds_are_refused():
    locked, rng = draw("repair", "locked", 1)[0], random.Random(0)
    with pytest.raises(ValueError, match="has no shortcut"):
        scratchpad(locked, "silent", rng)
    with pytest.raises(ValueError, match="kind must be one of"):
        scratchpad(locked, "sly", rng)
    with pytest.raises(ValueError, match="arm must be one of"):
        draw("repair", "locked", 1, arm="slow")
    assert all(scratchpad(draw("repair", "open", 1)[0], kind, rng).text for kind in KINDS)
    assert errands.ARMS["quick"] != errands.ARMS["careful"]
