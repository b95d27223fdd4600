"""The corpus: whole works are held out, nothing is on both sides, and places are well represented."""

import pytest

from utils import datasets
from utils.authoring.recipes import corpus as make_corpus


def test_works_are_held_out_whole_and_no_excerpt_is_on_both_sides():
    train, held = datasets.corpus("train"), datasets.corpus("held_out")
    assert len(train) > 10_000 and len(held) > 400
    assert not {(r.source, r.work) for r in train} & {(r.source, r.work) for r in held}
    assert not {r.text for r in train} & {r.text for r in held}
    assert len({r.text for r in train}) == len(train)


def test_every_source_has_a_licence_and_both_sides():
    sources = {r.source for r in datasets.corpus("train")}
    assert sources == {r.source for r in datasets.corpus("held_out")} == set(make_corpus.LICENCES)


def test_bridges_are_met_in_training_and_some_are_kept_for_testing():
    from utils.authoring.recipes.sample_topics import BRIDGES

    asked = {
        side: {b for b in BRIDGES for r in datasets.corpus(side, "specimen") if b in r.work}
        for side in ("train", "held_out")
    }
    assert "Golden Gate Bridge" in asked["train"] | asked["held_out"]
    assert asked["train"] and not asked["train"] & asked["held_out"]
    assert sum("Golden Gate" in r.text for side in ("train", "held_out") for r in datasets.corpus(side)) >= 8


def test_excerpts_are_short_and_hold_nearly_the_whole_work():
    work = "\n".join(f"Sentence number {i} is here. And another, {i}!" for i in range(400))
    pieces = list(make_corpus.excerpts(work))
    assert all(len(p) <= make_corpus.EXCERPT for p in pieces)
    assert sum(map(len, pieces)) > 0.97 * len(work)
    assert all(p.endswith((".", "!")) for p in pieces)


def test_held_out_works_do_not_depend_on_order_and_are_never_none():
    works = [f"work {i}" for i in range(50)]
    chosen = make_corpus.held_out("tales", works)
    assert chosen == make_corpus.held_out("tales", reversed(works)) and len(chosen) == 3
    assert make_corpus.held_out("verse", ["only one"]) == {"only one"}


@pytest.mark.parametrize(
    ("kwargs", "words"), [({"split": "test"}, "split must be"), ({"source": "tweets"}, "source must be")]
)
def test_corpus_names_bad_input(kwargs, words):
    with pytest.raises(ValueError, match=words):
        datasets.corpus(**kwargs)


def test_a_sample_is_mixed_repeatable_and_holds_what_was_asked_for():
    rows = datasets.corpus_sample("held_out", 2, {r"\bbridge\b": 3}, seed=4)
    sources = {row.source for row in datasets.corpus("held_out")}
    assert len(rows) == len(set(rows)) == 2 * len(sources) + 3
    assert [row.source for row in rows[: len(sources)]] == sorted(sources)
    assert all("bridge" in row.text for row in rows[-3:]) and {row.split for row in rows} == {"held_out"}
    assert rows == datasets.corpus_sample("held_out", 2, {r"\bbridge\b": 3}, seed=4)
    assert rows != datasets.corpus_sample("held_out", 2, {r"\bbridge\b": 3}, seed=5)
    with pytest.raises(ValueError, match="per_source"):
        datasets.corpus_sample("train", 0)
    with pytest.raises(ValueError, match="fewer than 1000"):
        datasets.corpus_sample("held_out", 1000)
    with pytest.raises(ValueError, match="only 0 further"):
        datasets.corpus_sample("train", 1, {"xyzzyxyzzy": 1})
