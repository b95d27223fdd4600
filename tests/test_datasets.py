"""The datasets keep their promises: no entity crosses a split, labels are balanced, cards count right."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from importlib import import_module

import numpy as np
import pytest
import torch

from utils import datasets
from utils.authoring.notebooks.manifest import MANIFEST
from utils.datasets.labelled import Labelled, true_false

BUILT = {
    "cities": lambda: datasets.cities(300, ("is in", "is not in", "one of", "lies outside")),
    "cities, all": lambda: datasets.cities(537),
    "cities by country": lambda: datasets.cities(300, ("is in", "is not in"), split_by="country"),
    "colours": lambda: datasets.colours(("are", "are not", "the colour of")),
    "numbers": lambda: datasets.numbers(150, ("larger", "smaller")),
    "spanish": lambda: datasets.spanish(("means", "does not mean")),
    "sentiment": lambda: datasets.sentiment(("was", "found", "was not")),
    "grammar": datasets.grammar,
    "landmark statements": lambda: datasets.landmark_statements(("is located in", "is not located in")),
}


@pytest.fixture(params=BUILT, ids=str)
def data(request) -> datasets.Labelled:
    return BUILT[request.param]()


def test_labels_are_balanced_within_each_template(data):
    for template in set(data.templates):
        labels = data.where(template=template).labels
        assert labels.sum() * 2 == len(labels), template


def test_every_pair_holds_one_true_and_one_false(data):
    for pair in set(data.pairs.tolist()):
        labels = data.labels[data.pairs == pair]
        assert len(labels) == 2 and labels.sum() == 1


def test_no_entity_crosses_a_split(data):
    for seed in range(3):
        train, test = data.split(seed=seed)
        assert sorted(np.concatenate([train, test])) == list(range(len(data)))
        assert not {data.groups[i] for i in train} & {data.groups[i] for i in test}
        assert len(train) and len(test)


def test_no_country_crosses_a_split_by_country():
    data = datasets.cities(300, ("is in", "is not in"), split_by="country")
    for seed in range(5):
        train, test = data.split(seed=seed)
        met = {data.notes[column][i] for i in train for column in ("country", "said")}
        new = {data.notes[column][i] for i in test for column in ("country", "said")}
        assert not met & new


ANSWERS = {"cities": datasets.cities, "colours": datasets.colours, "spanish": datasets.spanish}
ANSWERS["landmark_statements"] = datasets.landmark_statements


@pytest.mark.parametrize("build", ANSWERS.values(), ids=ANSWERS)
def test_in_every_group_each_answer_is_said_as_often_truly_as_falsely(build):
    data = build()
    said = np.array(data.notes["said"])
    for group in set(data.groups):
        here = np.array([g == group for g in data.groups])
        assert Counter(said[here & data.labels]) == Counter(said[here & ~data.labels])


@pytest.mark.parametrize(
    "build", [*ANSWERS.values(), datasets.sentiment, datasets.grammar], ids=lambda build: build.__name__
)
def test_words_alone_are_worth_nothing_in_any_split(build):
    """Counting how often each word is said truly on the training side gives nothing to tell the test side by."""
    data = build()
    train, test = data.split(seed=1)
    weight = Counter()
    for i in train:
        for word in data.texts[i].lower().rstrip(".").split():
            weight[word] += 1 if data.labels[i] else -1
    scores = np.array([sum(weight[w] for w in data.texts[i].lower().rstrip(".").split()) for i in test])
    assert np.allclose(scores[data.labels[test]].mean(), scores[~data.labels[test]].mean())


def test_the_shuffled_design_is_there_to_be_caught():
    data = datasets.cities(100, design="shuffled")
    assert set(data.groups) == set(data.notes["city"])
    said = np.array(data.notes["said"])
    assert Counter(said[data.labels]) == Counter(said[~data.labels])


@pytest.mark.parametrize("values", [list("aabbccdd"), list("abcdefg"), ["x"] * 5 + list("abcdef")])
def test_swap_gives_partners_each_others_values(values):
    said, block = datasets.swap(values, seed=3)
    assert sorted(said) == sorted(values) and all(a != b for a, b in zip(said, values, strict=True))
    for number in set(block):
        inside = [i for i, b in enumerate(block) if b == number]
        assert sorted(values[i] for i in inside) == sorted(said[i] for i in inside)


def test_no_sentence_twice_and_the_same_every_time(data):
    assert len(set(data.texts)) == len(data)
    assert datasets.cities(50).texts == datasets.cities(50).texts


def test_colours_hold_at_least_120_things_with_several_atypical_colours():
    things = datasets.colour_things()
    assert len(things) >= 120
    assert len({thing.name for thing in things}) == len(things)
    for thing in things:
        assert len({thing.typical, *thing.atypical}) == 4


def test_numbers_can_not_be_told_from_one_number_over_both_templates():
    data = datasets.numbers(100, ("larger", "smaller"))
    for column in ("first", "second"):
        by_number = Counter()
        for value, label in zip(data.notes[column], data.labels, strict=True):
            by_number[value] += 1 if label else -1
        assert set(by_number.values()) == {0}


def test_quotations_label_tokens_of_a_clause_evenly():
    found = datasets.quotations()
    assert Counter(q.quoted for q in found) == {True: len(found) // 2, False: len(found) // 2}
    for q in found:
        low, high = q.span
        assert q.text[low:high].lower() == q.group.lower()
        assert (q.text[low - 1] == '"') == q.quoted
        words = [(0, 0), (low, low + 3), (low + 3, high), (high, high + 1)]
        assert q.of_clause(words).tolist() == [False, True, True, False]
        assert q.inside(words).tolist() == [False, q.quoted, q.quoted, False]


@pytest.mark.parametrize(
    "name, count",
    [
        ("cities", lambda: len(datasets.city_table())),
        ("colours", lambda: len(datasets.colour_things())),
        ("numbers", lambda: len(set(datasets.numbers().groups))),
        ("spanish", lambda: len(datasets.spanish()) // 2),
        ("sentiment", lambda: len(datasets.sentiment())),
        ("grammar", lambda: len(datasets.grammar())),
        ("landmark_statements", lambda: len(datasets.landmark_statements()) // 2),
        ("quotations", lambda: len(datasets.quotations())),
        ("bridges", lambda: len(datasets.bridges())),
    ],
)
def test_cards_count_right(name, count):
    card = import_module(f"utils.datasets.{name}").CARD
    assert card.n == count()
    assert card.licence and card.leaks
    assert datasets.card(name) == card


def test_take_where_sample_keep_columns_together():
    data = datasets.cities(40, ("is in", "is not in"))
    part = data.where(template="is not in").sample(7, seed=3)
    assert len(part) == 28 and len(set(part.groups)) == 7 and set(part.templates) == {"is not in"}
    for text, city, said, label in zip(part.texts, part.notes["city"], part.notes["said"], part.labels, strict=True):
        assert city in text and said in text
        assert label == (said != dict(zip(data.notes["city"], data.notes["country"], strict=True))[city])
    assert len(data.take(data.labels)) == len(data) // 2


@pytest.mark.parametrize(
    "wrong, message",
    [
        (lambda: datasets.cities(9999), "n must be 4 to 537 cities, got 9999"),
        (lambda: datasets.cities(split_by="continent"), "split_by must be one of .* got the string 'continent'"),
        (lambda: datasets.cities(templates=("was in",)), "templates must be among"),
        (lambda: datasets.colours(()), "templates must be among"),
        (lambda: datasets.numbers(99999), "n must be 2 to 4005 pairs, got 99999"),
        (lambda: datasets.sentiment(("x",)), "templates must be among"),
        (lambda: datasets.spanish(("x",)), "templates must be among"),
        (lambda: datasets.landmark_statements(("x",)), "templates must be among"),
        (lambda: datasets.cities(20).where(colour="red"), "column must be one of .* got the string 'colour'"),
        (lambda: datasets.cities(20).take(np.ones(3, bool)), "rows must be .* a mask"),
        (lambda: datasets.cities(20).sample(21), "n_groups must be at most 10"),
        (lambda: datasets.split_groups(["a", "a"]), "at least 2"),
        (lambda: datasets.split_groups(["a", "b"], test_fraction=1.5), "test_fraction must be below 1, got 1.5"),
        (lambda: datasets.derange(["a", "a", "b"]), "can't be deranged"),
        (lambda: datasets.swap(["a", "a", "b"]), "can't be partnered"),
        (lambda: datasets.cities(design="random"), "design must be one of .* got the string 'random'"),
    ],
)
def test_bad_input_is_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()


def test_bridges_differ_between_groups_by_the_name_alone():
    rows = datasets.bridges()
    frames = {row.frame for row in rows}
    for frame in frames:
        here = [row for row in rows if row.frame == frame]
        assert len({row.text.replace(row.name, "X") for row in here}) == 1
        assert len({row.group for row in here}) == len(here) == 5
    assert all(row.text[slice(*row.span)] == row.name for row in rows)
    assert all(("Golden Gate Bridge" in row.text) == (row.group == "golden gate") for row in rows)


# ------------------------------------------------------------------------------------------------------------- cards


def test_every_shipped_text_is_on_one_card_and_every_card_is_found_by_its_own_name():
    cards = datasets.cards()
    assert all(datasets.card(name) is card and card.name == name for name, card in cards.items())
    shipped = {entry["file"] for entry in json.loads(MANIFEST.read_text(encoding="utf-8"))["files"]}
    texts = {name for name in shipped if name.endswith((".csv", ".jsonl", ".xz"))} | {"organisms/solver_runs.json"}
    assert Counter(name for card in cards.values() for name in card.files) == dict.fromkeys(texts, 1)


def test_the_cards_of_recorded_runs_count_right():
    from utils.datasets import judge_claims, persona_answers, solver_runs, transcripts

    n = transcripts.CARD.n
    assert f"{len(transcripts.load_transcripts(arm=None)):,} transcripts" in n
    assert f"({len(transcripts.load_transcripts(arm='careful'))} of the careful arm)" in n
    assert f"{len(transcripts.load_resamples()):,} resamples" in n and f"{len(transcripts.hand_labels())} tran" in n
    assert judge_claims.CARD.n == len(judge_claims.judge_claims())
    answers, scores = persona_answers.persona_answers(), persona_answers.item_scores()
    assert persona_answers.CARD.n == f"{len(answers)} answers, 56 a model; {len(scores):,} pairs of log-probabilities"
    assert set(Counter(row.model for row in answers).values()) == {56}
    runs = solver_runs.solver_runs()
    steps, pads = sum(len(run["steps"]) for run in runs), sum(len(run["last"]["texts"]) for run in runs)
    assert solver_runs.CARD.n == f"{len(runs)} runs: {steps} steps, {pads} scratchpads"


# ------------------------------------------------------------------------------------------- rows from somewhere else

CSV = """statement,label,city,country
The city of Paris is in France.,1,Paris,France
The city of Paris is in Peru.,0,Paris,France
The city of Lima is in Peru.,1,Lima,Peru
"""


def rows_from_csv(labels=None):
    """Rows as `csv.DictReader` gives them: all strings."""
    rows = [
        {"text": row["statement"], "group": row["city"], "template": "is in", "pair": str(i), **row}
        for i, row in enumerate(csv.DictReader(io.StringIO(CSV)))
    ]
    for row, label in zip(rows, labels or []):
        row["label"] = label
    return rows


@pytest.mark.parametrize(
    "labels",
    [
        None,
        ["true", "False", " TRUE "],
        [1.0, 0.0, 1.0],
        list(np.array([True, False, True])),
        list(np.array([1, 0, 1])),
        list(torch.tensor([1, 0, 1])),
    ],
    ids=str,
)
def test_labels_are_read_by_their_meaning_and_not_by_pythons_truth(labels):
    data = true_false(rows_from_csv(labels), "cities", datasets.card("cities"))
    assert data.labels.dtype == bool and data.labels.tolist() == [True, False, True]
    assert data.pairs.tolist() == [0, 1, 2] and data.notes["country"] == ("France", "France", "Peru")


def test_rows_of_a_pandas_table_are_read_too():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(rows_from_csv())
    table["label"] = table["label"].astype("int64")
    data = true_false(table.to_dict("records"), "cities", datasets.card("cities"))
    assert data.labels.tolist() == [True, False, True]
    again = Labelled("x", table["text"], table["label"], table["group"], table["template"], [0, 0, 1], data.card)
    assert again.labels.tolist() == [True, False, True] and again.texts == data.texts


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"label": "maybe"}, ValueError, r"rows: label\[1\] must be true or false .* got 'maybe'"),
        ({"label": ""}, ValueError, r"rows: label\[1\] must be true or false"),
        ({"label": float("nan")}, ValueError, r"rows: label\[1\] must be True or False .* got nan"),
        ({"label": 2}, ValueError, r"rows: label\[1\] .* got 2"),
        ({"label": None}, TypeError, r"rows: label\[1\] .* got None"),
        ({"pair": "x"}, TypeError, r"rows\[1\]: pair must be a whole number, got the string 'x'"),
        ({"text": 3}, TypeError, r"texts\[1\] must be a string, got 3"),
        ({"group": None}, ValueError, r"groups\[1\] is None"),
        ({"extra": "x"}, ValueError, r"rows\[1\] must have the columns .*extra"),
    ],
)
def test_a_row_that_can_not_be_read_is_named(change, error, words):
    rows = rows_from_csv()
    rows[1].update(change)
    with pytest.raises(error, match=words):
        true_false(rows, "cities", datasets.card("cities"))


def test_no_rows_and_rows_without_a_column_are_named():
    with pytest.raises(ValueError, match="rows is empty"):
        true_false([], "cities", datasets.card("cities"))
    with pytest.raises(ValueError, match=r"rows\[0\] must have the columns .*'pair'"):
        true_false([{"text": "a", "label": 1, "group": "a", "template": "t"}], "cities", datasets.card("cities"))


def test_groups_part_the_same_way_as_a_list_an_array_and_a_tensor():
    groups = [3, 1, 1, 2, 3, 2, 5, 5]
    wanted = datasets.split_groups(groups, test_fraction=0.5)
    for form in (np.array(groups), torch.tensor(groups), tuple(groups)):
        train, test = datasets.split_groups(form, test_fraction=0.5)
        assert train.tolist() == wanted[0].tolist() and test.tolist() == wanted[1].tolist()
        assert len(train) and len(test) and not {groups[i] for i in train} & {groups[i] for i in test}
    with pytest.raises(ValueError, match=r"groups\[1\] is nan"):
        datasets.split_groups([1.0, float("nan")])


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: datasets.cities(templates="is in"), TypeError, "templates must be a list of texts"),
        (lambda: datasets.cities(templates=("is in", "is in")), ValueError, "each at most once"),
        (lambda: datasets.cities(20.5), TypeError, "n must be a whole number"),
        (lambda: datasets.cities(20, seed=-1), ValueError, "seed must be at least 0"),
        (lambda: datasets.cities(20).take([1.5]), TypeError, "rows must be whole numbers or a mask"),
        (lambda: datasets.cities(20).take([99]), ValueError, "rows must be between 0 and 39"),
        (lambda: datasets.cities(20).where(template="was in"), ValueError, "template must occur .* there are 'is in'"),
        (lambda: datasets.corpus("test"), ValueError, "split must be one of 'train', 'held_out'"),
        (lambda: datasets.corpus_sample("train", 1, {"(": 1}), ValueError, "no regular expression"),
        (lambda: datasets.derange(["a", "b"], [set()]), ValueError, "forbidden has 1 entries, expected 2"),
    ],
)
def test_what_comes_in_by_the_wrong_door_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()
