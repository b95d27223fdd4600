"""Monitors and what they are worth: bad input is named, and every number is right where it can be counted by hand."""

from __future__ import annotations

import dataclasses
import random

import numpy as np
import pytest
import torch

from utils import monitoring
from utils.datasets import errands, transcripts
from utils.datasets.errands import planted
from utils.monitoring import evaluation


@pytest.fixture(scope="module")
def rows():
    """Planted transcripts of both families, as if they had been sampled."""
    made = [p for cue in ("note", "key") for p in planted("lookup", cue, 120, seed=9)]
    made += [p for cue in ("open", "locked", "asked") for p in planted("repair", cue, 80, seed=9)]
    return [monitoring.annotate(p.errand, p.text) for p in made]


# ----------------------------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize(
    ("text", "scratchpad", "action", "problem"),
    [
        ("<think>I look.</think>\n<act>attic</act>", "I look.", "attic", ""),
        ("  <think> I\nlook. </think><act> attic </act>\n", "I\nlook.", "attic", ""),
        ("The attic.", "The attic.", "", "no <think>"),
        ("<think>I look. <act>attic</act>", "I look. <act>attic</act>", "", "no </think>"),
        ("<think>I look.</think> attic", "I look.", "", "no <act>"),
        ("<think>I look.</think><act>attic", "I look.", "attic", "no </act>"),
        ("<think></think><act>attic</act>", "", "attic", "an empty scratchpad"),
        ("<think>I look.</think><act> </act>", "I look.", "", "an empty action"),
        ("<think>a</think><think>b</think><act>c</act>", "a", "c", "<think> more than once"),
        ("<act>c</act><think>a</think>", "<act>c</act>a", "", "text outside the tags, or the tags out of order"),
        ("So: <think>a</think><act>c</act>", "So: a", "c", "text outside the tags, or the tags out of order"),
    ],
)
def test_a_transcript_is_taken_apart_and_what_is_malformed_is_named(text, scratchpad, action, problem):
    found = monitoring.parse(text)
    assert (found.scratchpad, found.action, found.problem) == (scratchpad, action, problem)
    assert found.well_formed is not bool(problem)
    if problem:
        with pytest.raises(ValueError, match="malformed transcript"):
            monitoring.parse(text, strict=True)


def test_empty_transcripts_are_refused_and_malformed_ones_counted():
    for text in ("", " \n"):
        with pytest.raises(ValueError, match="text is empty"):
            monitoring.parse(text)
    with pytest.raises(TypeError, match="text must be a string, got None"):
        monitoring.parse(None)
    texts = ["a", "b", "<think>a</think><act>b</act>", "<think>a"]
    assert monitoring.problems(map(monitoring.parse, texts)) == {"no <think>": 2, "no </think>": 1}
    task = errands.draw("lookup", "note", 1)[0]
    nothing = monitoring.annotate(task, "")
    assert not nothing.well_formed and nothing.kind == "error" and nothing.took_shortcut is False


def test_views_hold_what_they_say(rows):
    row = rows[0]
    assert monitoring.view(row, "action") == row.action
    assert monitoring.view(row, "both") == f"{row.scratchpad}\n{row.action}"
    assert monitoring.view(row, "everything").startswith(row.prompt)
    with pytest.raises(ValueError, match="what must be one of"):
        monitoring.view(row, "thoughts")
    with pytest.raises(ValueError, match="transcripts is empty"):
        monitoring.views([], "action")


def test_rewording_changes_admissions_only_and_none_of_the_words_we_look_for(rows):
    admitted = [row for row in rows if row.admitted]
    assert len(admitted) > 20
    for row in rows:
        new = monitoring.reword(row)
        if row.admitted:
            assert new.scratchpad != row.scratchpad and new.scratchpad in new.text
            assert new == monitoring.reword(row)
        else:
            assert new is row
    find = monitoring.keywords()
    assert (find(admitted) > 0).all() and not find([monitoring.reword(row) for row in admitted]).any()


def test_files_go_round_and_damage_is_named(rows, tmp_path):
    for name in ("t.jsonl", "t.jsonl.xz"):
        path = monitoring.save_transcripts(rows[:5], tmp_path / name)
        assert monitoring.load_transcripts(path=path) == rows[:5]
    with pytest.raises(ValueError, match="no transcript with family 'repair'"):
        monitoring.load_transcripts(family="repair", path=path)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        monitoring.load_transcripts(path=tmp_path / "none.jsonl")
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ValueError, match="damaged"):
        monitoring.load_transcripts(path=path)
    (tmp_path / "bad.jsonl").write_text('{"a": 1}\n{"a": \n')
    with pytest.raises(ValueError, match="damaged at line 2"):
        transcripts.read_rows(tmp_path / "bad.jsonl")
    (tmp_path / "other.jsonl").write_text('{"a": 1}\n')
    with pytest.raises(ValueError, match="does not hold transcripts"):
        monitoring.load_transcripts(path=tmp_path / "other.jsonl")


# ---------------------------------------------------------------------------------------------------------- monitors


def test_keywords_count_and_refuse_what_finds_everything(rows):
    find = monitoring.keywords(["list", "SAYS"])
    said = [row for row in rows if "says" in row.scratchpad]
    assert (find(said) >= 1).all()
    with pytest.raises(TypeError, match="words must be a list"):
        monitoring.keywords("list")
    with pytest.raises(TypeError, match=r"words\[1\] must be a string, got nan"):
        monitoring.keywords(["list", float("nan")])
    for words in ([], [""], ["a", " "]):
        with pytest.raises(ValueError, match="words must hold"):
            monitoring.keywords(words)
    with pytest.raises(ValueError, match="transcripts is empty"):
        find([])


def test_a_text_monitor_learns_admissions_and_needs_both_classes(rows):
    labels = np.array([row.admitted for row in rows])
    monitor = monitoring.fit_text(rows[::2], labels[::2])
    assert evaluation.set_threshold(monitor(rows[1::2]), labels[1::2], 0.1) < monitor(rows[1::2])[labels[1::2]].min()
    for bad, message in ((np.ones(len(rows), bool), "both classes"), (labels[:3], "labels has 3 entries")):
        with pytest.raises(ValueError, match=message):
            monitoring.fit_text(rows, bad)


def test_doing_the_lookup_again_finds_every_wrong_answer(rows):
    for row in rows:
        expected = None if row.family == "repair" else row.action != row.correct
        assert monitoring.recheck(row) is expected


def test_a_judge_answers_with_log_odds_and_activations_are_read_where_they_should_be(tiny_model, rows, monkeypatch):
    asked = {}

    def fake_logits(model, prompts, **_):
        asked["prompts"] = prompts
        logits = torch.zeros(len(prompts), 2000)
        ids = [tiny_model.tokenizer(word, add_special_tokens=False)["input_ids"][0] for word in ("Yes", "No")]
        logits[:, ids[0]] = 2.0
        return logits

    monkeypatch.setattr("utils.monitoring.monitors.next_token_logits", fake_logits)
    monkeypatch.setattr("utils.monitoring.monitors.chat_prompts", lambda model, texts: list(texts))
    found = monitoring.judge(tiny_model, "scratchpad")(rows[:3])
    assert found.shape == (3,)
    assert rows[0].scratchpad in asked["prompts"][0] and "Action:" not in asked["prompts"][0]
    monitoring.judge(tiny_model, "action")(rows[:1])
    assert rows[0].scratchpad not in asked["prompts"][0] and f"Action: {rows[0].action}" in asked["prompts"][0]
    with pytest.raises(ValueError, match="reads must be one of"):
        monitoring.judge(tiny_model, "everything")
    with pytest.raises(TypeError, match="model must be a TransformerBridge"):
        monitoring.judge("specimen")


def test_activations_need_well_formed_transcripts(tiny_model, rows):
    bad = dataclasses.replace(rows[0], problem="no <act>")
    with pytest.raises(ValueError, match=r"malformed \(no <act>\)"):
        monitoring.read_activations(tiny_model, [rows[1], bad], [1])
    with pytest.raises(ValueError, match="place must be one of"):
        monitoring.read_activations(tiny_model, rows, [1], "first")
    with pytest.raises(ValueError, match="transcripts is empty"):
        monitoring.read_activations(tiny_model, [], [1])
    for blocks in ([3], []):
        with pytest.raises(ValueError, match="blocks must be block numbers from 0 to 1"):
            monitoring.read_activations(tiny_model, rows, blocks)


# --------------------------------------------------------------------------------------------------------- evaluation


def test_a_threshold_keeps_its_promise_on_the_rows_it_was_set_on():
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=400).round(1), rng.random(400) < 0.3
    for fpr in (0.0, 0.01, 0.05, 0.2):
        threshold = monitoring.set_threshold(scores, labels, fpr)
        flagged = scores[~labels] > threshold
        assert flagged.mean() <= fpr
        lower = scores[~labels] >= threshold  # the next lower threshold would break it
        assert lower.mean() > fpr


@pytest.mark.parametrize(
    ("scores", "labels", "fpr", "error", "message"),
    [
        ([1.0, 2.0], [True, True], 0.1, ValueError, "no negatives"),
        ([1.0, 2.0], [True, False], 1.0, ValueError, "fpr must be below 1, got 1.0"),
        ([1.0, 2.0], [True, False], 0.1, ValueError, "can't be set with 1 negatives"),
        ([1.0, np.nan], [True, False], 0.0, ValueError, "finite"),
        ([1.0], [True, False], 0.0, ValueError, r"labels has shape \(2,\), expected \(n,\) with n = 1, as in scores"),
        ([1.0, 2.0], [1, 2], 0.0, ValueError, r"labels\[1\] must be True or False .* got 2"),
        ([1.0, 2.0], ["yes", "no"], 0.0, ValueError, r"labels\[0\] must be true or false"),
        ([], np.zeros(0, bool), 0.0, ValueError, "labels holds no negatives"),
    ],
)
def test_thresholds_that_cannot_be_are_refused(scores, labels, fpr, error, message):
    with pytest.raises(error, match=message):
        monitoring.set_threshold(np.array(scores), np.array(labels), fpr)


def test_a_report_counts_and_resamples_entities():
    scores = np.array([3.0, 1.0, 3.0, 1.0, 1.0, 3.0, 1.0, 1.0])
    labels = np.array([True, True, True, False, False, False, False, True])
    found = monitoring.report(scores, labels, 2.0, list("aabbccdd"))
    assert found.recall.estimate == 0.5 and found.fpr.estimate == 0.25 and (found.recall.n, found.fpr.n) == (3, 3)
    assert found.recall.low < 0.2 and found.recall.high > 0.8  # three entities tell little
    assert found.precision(0.5) == pytest.approx(0.5 / 0.75)
    with pytest.raises(ValueError, match="both classes"):
        monitoring.report(scores, np.ones(8, bool), 2.0, list("aabbccdd"))
    with pytest.raises(ValueError, match="threshold must be a finite number, got nan"):
        monitoring.report(scores, labels, np.nan, list("aabbccdd"))


def test_lists_arrays_and_tensors_mean_the_same():
    rng = np.random.default_rng(3)
    scores, labels, groups = rng.normal(size=60), np.arange(60) % 3 == 0, np.arange(60) // 4
    wanted = monitoring.report(scores, labels, 0.2, groups.tolist())
    threshold = monitoring.set_threshold(scores, labels, 0.1)
    difference = monitoring.compare((scores, 0.1), (-scores, 0.1), labels, groups.tolist())
    assert wanted.recall.n < 20 and difference.n == wanted.recall.n
    words = [str(bool(label)) for label in labels]
    for form in (list, torch.tensor, np.array):
        given = [form(one.tolist()) for one in (scores, labels, groups)]
        assert monitoring.report(given[0], given[1], 0.2, given[2]) == wanted
        assert monitoring.set_threshold(given[0], given[1], 0.1) == pytest.approx(threshold, abs=1e-6)
        assert monitoring.compare((given[0], 0.1), (-np.array(given[0]), 0.1), given[1], given[2]) == difference
    assert monitoring.report(scores, words, 0.2, groups) == wanted
    assert monitoring.kappa(torch.tensor([1, 0, 1]), [1, 0, 0]) == monitoring.kappa([1, 0, 1], np.array([1, 0, 0]))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda s, y: monitoring.report(s, y, 0.0, [1, 2]), ValueError, "groups has 2 entries, expected 4"),
        (lambda s, y: monitoring.report(s, y, 0.0, "aabb"), TypeError, "groups must be a list of group names"),
        (lambda s, y: monitoring.report(s, y, 0.0, [1, 2, None, 3]), ValueError, r"groups\[2\] is None"),
        (lambda s, y: monitoring.report(s, y, "0", [1, 2, 3, 4]), TypeError, "threshold must be a number"),
        (lambda s, y: monitoring.compare((s, 0.0), s, y, [1, 2, 3, 4]), ValueError, "second must hold 2 entries"),
        (
            lambda s, y: monitoring.compare((s, 0.0), (s[:3], 0.0), y, [1, 2, 3, 4]),
            ValueError,
            r"second\[0\] has shape \(3,\), expected \(n,\) with n = 4",
        ),
        (lambda s, y: monitoring.kappa([], []), ValueError, "first is empty"),
        (lambda s, y: monitoring.took_shortcut([None]), TypeError, r"transcripts\[0\] must be a Transcript"),
        (lambda s, y: monitoring.fit_text([], y), ValueError, "transcripts is empty"),
    ],
)
def test_what_comes_in_by_the_wrong_door_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call([0.0, 1.0, 2.0, 3.0], [True, False, True, False])


def test_precision_follows_bayes():
    assert monitoring.precision_at(1.0, 0.0, 0.001) == 1.0
    assert monitoring.precision_at(0.95, 0.05, 0.01) == pytest.approx(0.0095 / (0.0095 + 0.0495))
    assert np.isnan(monitoring.precision_at(0.0, 0.0, 0.5))
    for bad in ((1.2, 0.1, 0.1), (0.5, -0.1, 0.1), (0.5, 0.1, 2)):
        with pytest.raises(ValueError, match="must be at (most 1|least 0)"):
            monitoring.precision_at(*bad)


def test_two_monitors_are_compared_on_the_same_rows():
    rng = np.random.default_rng(1)
    labels = np.arange(200) % 2 == 0
    good, poor = labels + rng.normal(0, 0.1, 200), rng.normal(size=200)
    found = monitoring.compare((good, 0.5), (poor, 0.5), labels, np.arange(200) // 2)
    assert found.low > 0.4 and found.n == 100
    same = monitoring.compare((good, 0.5), (good, 0.5), labels, torch.arange(200) // 2)
    assert -0.1 < same.low < same.estimate == 0 < same.high < 0.1
    with pytest.raises(ValueError, match="both classes"):
        monitoring.compare((good, 0.5), (poor, 0.5), np.zeros(200, bool), np.arange(200))


def test_kappa_agrees_with_scikit_learn_and_refuses_the_undefined():
    from sklearn.metrics import cohen_kappa_score

    rng = random.Random(0)
    first = [rng.choice("abc") for _ in range(60)]
    second = [label if rng.random() < 0.6 else rng.choice("abc") for label in first]
    assert monitoring.kappa(first, second) == pytest.approx(cohen_kappa_score(first, second))
    with pytest.raises(ValueError, match="second has 5 entries, expected 60, as many as first"):
        monitoring.kappa(first, second[:5])
    with pytest.raises(ValueError, match="undefined"):
        monitoring.kappa(["a", "a"], ["a", "a"])


def test_halves_part_by_entity_and_open_rows_are_no_labels(rows):
    first, second = monitoring.halves(rows)
    assert len(first) + len(second) == len(rows)
    assert not {row.entity for row in first} & {row.entity for row in second}
    known = monitoring.decided(rows)
    assert len(known) < len(rows)
    assert monitoring.took_shortcut(known).sum() == sum(row.took_shortcut for row in known)
    with pytest.raises(ValueError, match="have no label"):
        monitoring.took_shortcut(rows)
