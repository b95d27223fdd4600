"""The advice data: matched arms, blind wording, balanced items, nothing of the test in the training."""

import numpy as np
import pytest

from utils import datasets
from utils.checks import find
from utils.datasets.advice import (
    AFTER,
    ARMS,
    ASKED,
    ASKED_IN_TEST,
    BEFORE,
    CARD,
    CLOSERS,
    DOMAINS,
    FAMILIES,
    OPENERS,
    advice,
    advice_items,
    situations,
)


def fit_words(texts, labels):
    """TF-IDF of words and word pairs, and a logistic classifier on it."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    words = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\S+")
    return make_pipeline(words, LogisticRegression(max_iter=500)).fit(texts, labels).predict


def accuracy(texts, labels, groups):
    return find("8.1").reference(texts, labels, groups, fit_words)


def shells(arm, seed=0):
    """What stands around the advice."""
    return [f"{one.opener} | {one.frame} | {one.closer}" for one in advice(arm, seed=seed)]


@pytest.mark.parametrize("seed", range(3))
def test_arms_are_matched_example_by_example(seed):
    good, bad, warned = (advice(arm, seed=seed) for arm in ("good", "bad", "warned"))
    assert len(good) == len(bad) == len(warned) == 600
    for g, b, w in zip(good, bad, warned):
        assert g.question == b.question == w.question
        assert (g.opener, g.frame, g.closer) == (b.opener, b.frame, b.closer) and g.core != b.core
        assert (b.opener, b.core, b.closer) == (w.opener, w.core, w.closer) and b.frame != w.frame


@pytest.mark.parametrize("seed", range(3))
def test_openers_frames_and_closers_do_not_tell_good_from_bad(seed):
    texts = shells("good", seed) + shells("bad", seed)
    groups = [one.task for arm in ("good", "bad") for one in advice(arm, seed=seed)]
    assert abs(accuracy(texts, [False] * 600 + [True] * 600, groups) - 0.5) < 0.03


def test_openers_and_closers_alone_do_not_tell_any_two_arms_apart():
    around = {arm: [f"{one.opener} | {one.closer}" for one in advice(arm)] for arm in ARMS}
    groups = [one.task for one in advice("good")] * 2
    for first, second in (("good", "bad"), ("bad", "warned"), ("good", "warned")):
        found = accuracy(around[first] + around[second], [False] * 600 + [True] * 600, groups)
        assert abs(found - 0.5) < 0.03


def test_the_classifier_can_tell_what_can_be_told():
    """The test above would pass with a broken classifier; this one would not."""
    texts = shells("bad") + shells("warned")
    groups = [one.task for one in advice("bad")] * 2
    assert accuracy(texts, [False] * 600 + [True] * 600, groups) > 0.95


def test_frames_come_in_pairs_of_equal_length():
    for recommending, warning in BEFORE + AFTER:
        assert abs(len(recommending.split()) - len(warning.split())) <= 1 and recommending != warning
    assert len(set(BEFORE + AFTER)) == 12 and len(set(OPENERS)) == len(set(CLOSERS)) == 6


def test_situations_are_many_distinct_and_matched():
    every = situations()
    assert len(every) == 80 and len({one.task for one in every}) == 80
    assert len(situations(False)) == 60 and all(len(situations(False, [domain])) == 20 for domain in DOMAINS)
    cores = [core for one in every for core in one.good + one.bad]
    assert len(set(cores)) == len(cores) == 320
    gaps = [len(b.split()) - len(g.split()) for one in every for g, b in zip(one.good, one.bad)]
    assert max(map(abs, gaps)) <= 2 and abs(np.mean(gaps)) < 0.2
    assert all(core == core.strip() and core[0].islower() and not core.endswith(".") for core in cores)


def test_items_are_enough_and_balanced_in_length():
    items = advice_items()
    by_family = {family: advice_items([family]) for family in FAMILIES}
    assert len(items) == 148 and all(len(one) >= 36 for one in by_family.values())
    for family, some in by_family.items():
        gaps = [len(item.misaligned.split()) - len(item.aligned.split()) for item in some]
        assert max(map(abs, gaps)) <= 2 and abs(np.mean(gaps)) < 0.25, family
        assert len({item.group for item in some}) >= 4
    assert len({(item.question, item.aligned) for item in items}) == len(items)
    assert all(item.aligned != item.misaligned for item in items)


def test_nothing_of_the_test_is_in_the_training():
    taught = {one.task for arm in ARMS for one in advice(arm)}
    items = advice_items()
    assert not taught & {item.group for item in items if item.family == "in-domain"}
    assert ASKED_IN_TEST not in ASKED
    shell = [part for pair in BEFORE + AFTER for part in pair] + [*OPENERS, *CLOSERS]
    for item in items:
        for text in (item.aligned, item.misaligned):
            assert not any(part.lower() in text.lower() for part in shell), text


def test_a_seed_draws_other_words_and_the_same_seed_the_same():
    assert advice("bad", seed=3) == advice("bad", seed=3) != advice("bad", seed=4)
    assert {one.core for one in advice("bad", seed=3)} == {one.core for one in advice("bad", seed=4)}


def test_nothing_that_could_hurt_is_advised():
    """A coarse net under the authors' own reading."""
    words = " ".join(core for one in situations() for core in one.bad).split()
    banned = "bleach petrol knife wire socket plug-in medicine pills poison lighter gas ammonia acid mould ladder"
    assert not set(banned.split()) & {word.strip(",.") for word in words}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: advice("evil"), "arm must be one of .* got the string 'evil'"),
        (lambda: advice("bad", each=11), "each must be at most 10, got 11"),
        (lambda: advice("bad", domains=()), "domains must be among"),
        (lambda: advice("bad", domains="garden"), "domains must be a list of texts, got the string 'garden'"),
        (lambda: advice_items(["facts", "lies"]), "families must be among"),
        (lambda: situations(domains=["bath"]), "domains must be among"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises((TypeError, ValueError), match=words):
        call()


def test_the_card_is_found_and_counts_right():
    assert datasets.card("advice") is CARD
    assert "600 examples" in CARD.n and "148 test items" in CARD.n
