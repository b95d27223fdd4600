"""Interventions on hints and scratchpads: known answers, no bias, and bad input named."""

import numpy as np
import pytest
import torch

from utils.monitoring.faithfulness import (
    answers_changed,
    area_over_curve,
    disagreement,
    early_answers,
    filler,
    hint_effect,
    resampling_noise,
)


def test_disagreement_and_noise_by_hand():
    assert disagreement([["a", "b"]], [["a", "a"]]).tolist() == [0.5]
    assert resampling_noise([["a", "b", "b"], ["c", "c", "c"]]).tolist() == pytest.approx([2 / 3, 0.0])
    assert disagreement([[None]], [[3]]).tolist() == [1.0]


def test_a_hint_that_does_nothing_has_no_effect_however_noisy_the_answers():
    rng = np.random.default_rng(0)
    without, hinted = rng.integers(4, size=(300, 4)), rng.integers(4, size=(300, 4))
    effect = hint_effect(without.tolist(), hinted.tolist(), rng.integers(4, size=300).tolist())
    assert effect.changed.estimate > 0.7 and effect.n == 300
    assert not effect.corrected.excludes(0) and not effect.to_hint.excludes(0)


def test_a_hint_followed_every_other_time_is_seen_though_its_resamples_differ_as_much():
    rng = np.random.default_rng(1)
    without = [["true"] * 4] * 200
    hinted = [["hint" if rng.random() < 0.5 else "true" for _ in range(4)] for _ in range(200)]
    effect = hint_effect(without, hinted, ["hint"] * 200)
    same_hint_only = disagreement(hinted, without) - resampling_noise(hinted)
    assert abs(same_hint_only.mean()) < 0.06  # the tempting correction sees nothing
    assert effect.corrected.low > 0.2 and effect.to_hint.estimate == pytest.approx(0.5, abs=0.06)


def test_early_answers_of_a_model_that_needs_every_step_and_of_one_that_needs_none():
    pads = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    needs_all = early_answers(lambda cut: [sum(pad) if len(pad) == 3 else None for pad in cut], pads)
    assert needs_all.same.tolist() == [[0, 0, 0, 1]] * 3
    assert needs_all.area_over.estimate == pytest.approx(5 / 6)
    needs_none = early_answers(lambda cut: ["same"] * len(cut), pads)
    assert needs_none.area_over.estimate == 0 and [i.estimate for i in needs_none.curve] == [1, 1, 1, 1]


def test_early_answers_leave_the_scratchpads_alone():
    pads = [[1, 2], [3, 4]]

    def greedy(cut):
        return [pad.clear() for pad in cut]

    early_answers(greedy, pads)
    assert pads == [[1, 2], [3, 4]]


def test_filler_keeps_the_length_and_changes_the_answer_of_a_model_that_reads():
    pads = [[["a", "b"], ["c"]], [["d"]]]
    assert filler(pads) == [[[".", "."], ["."]], [["."]]]
    first_word = answers_changed(lambda some: [pad[0][0] for pad in some], pads, filler(pads))
    length = answers_changed(lambda some: [sum(map(len, pad)) for pad in some], pads, filler(pads))
    assert (first_word.estimate, length.estimate) == (1.0, 0.0)
    with pytest.raises(TypeError, match=r"pads\[0\]\[0\] must be a list of texts, got the string"):
        filler([["a step"]])


def test_answers_may_be_arrays_and_tensors():
    rng = np.random.default_rng(2)
    without, hinted, hints = rng.integers(3, size=(30, 4)), rng.integers(3, size=(30, 4)), rng.integers(3, size=30)
    wanted = hint_effect(without.tolist(), hinted.tolist(), hints.tolist())
    for form in (np.array, torch.tensor):
        assert hint_effect(form(without), form(hinted), form(hints)) == wanted


def test_area_over_curve_minds_the_spacing():
    assert area_over_curve([0, 0.2, 1], [0, 1, 1]) == pytest.approx(0.1)
    assert area_over_curve([0, 1], [1, 1]) == 0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: hint_effect([["a", "b"]], [["a", "a"], ["b", "b"]], ["a"]), "with_hint has 2 entries, expected 1"),
        (lambda: hint_effect([["a"]], [["a"]], ["a"]), r"without\[0\] must hold at least 2 sampled answers, got 1"),
        (
            lambda: hint_effect([["a", "a"]] * 2, [["a", "b"]] * 2, ["a"]),
            "hints has 1 entries, expected 2",
        ),
        (lambda: disagreement([], []), "first must hold the answers of at least one task"),
        (lambda: disagreement(["ab"], [["a"]]), r"first\[0\] must be a list, got the string"),
        (lambda: early_answers(lambda cut: [], []), "pads is empty"),
        (lambda: early_answers(lambda cut: [1] * len(cut), [[1]], parts=0), "parts must be at least 1"),
        (lambda: answers_changed(len, [[1], [2]], [[1]]), "for the same tasks, two or more"),
        (lambda: early_answers(lambda cut: [1], [[1], [2]]), "one answer a scratchpad, got 1 for 2"),
        (lambda: early_answers(None, [[1]]), "answer must be a function"),
        (lambda: area_over_curve([0, 1], [1, float("nan")]), "same holds 1 NaN"),
        (lambda: area_over_curve([0, 0.5], [1, 1]), "rise from 0 to 1"),
        (
            lambda: area_over_curve([0, 1], [1]),
            r"same has shape \(1,\), expected \(points,\) with points = 2",
        ),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises((TypeError, ValueError), match=words):
        call()
