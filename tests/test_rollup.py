"""A class at a glance: what learners hand in becomes a page and a table, and whatever can't be read is named."""

from __future__ import annotations

import csv
import json
import re

import pytest

from classroom import rollup
from utils import checks, lab, learner
from utils.checks import handed


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "class").mkdir()
    return tmp_path / "class"


@pytest.fixture
def hand_in(tmp_path, monkeypatch, folder, capsys):
    """Work some exercises as somebody, and hand the export in."""

    def work(name: str, tries: list[tuple[str, object]], called: str | None = None):
        monkeypatch.setenv("LAB_PROGRESS", str(tmp_path / f"record-{name.replace('/', '-')}.json"))
        for number, attempt in tries:
            lab.check(number, attempt)
        (folder / name).parent.mkdir(exist_ok=True)
        path = lab.export_progress(folder / f"{name}.csv", **({"called": called} if called else {}))
        capsys.readouterr()
        return path

    return work


def no_relu(x, W, b):
    return x @ W.T @ W + b


def right(x, W, b):
    return checks.find("5.1").reference(x, W, b)


def test_who_is_where_what_stops_and_what_is_said_of_it(hand_in, folder, capsys):
    hand_in("otter", [("5.1", no_relu), ("5.1", no_relu), ("5.1", right), ("5.2", lambda *_: 0)])
    hand_in("heron", [("5.1", no_relu)])
    hand_in("stoat", [("5.1", right)])
    assert rollup.main([str(folder)]) == 0 and "3 learners" in capsys.readouterr().out
    found = rollup.read(folder)  # its own table is nobody's progress
    assert [one.name for one in found.learners] == ["heron", "otter", "stoat"] and not found.notes
    stop = {stop.number: stop for stop in rollup.stops(found)}["5.1"]
    assert (stop.tried, stop.passed, stop.stuck, stop.median) == (3, 2, 1, 2)
    ((message, who, times),) = stop.said
    assert "The ReLU is missing" in message and (who, times) == (2, 3)
    page = (folder / rollup.PAGE).read_text(encoding="utf-8")
    assert "The ReLU is missing" in page and "Known mistake: no ReLU." in page
    assert "stuck at 5.2 (1 attempt)" in page and page.count("<caption>") == 2 and 'scope="row">otter' in page
    assert not re.search(r"<script|https?://|src=", page)
    with (folder / rollup.TABLE).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(r["learner"], r["exercise"], r["status"]) for r in rows][:2] == [
        ("heron", "5.1", "not yet"),
        ("otter", "5.1", "passed"),
    ]


def test_no_name_and_no_code_leaves_the_machine(hand_in, monkeypatch):
    monkeypatch.setenv("LAB_LEARNER", "Grace Hopper")

    def mine(x, W, b):
        grace_hopper = {}
        return grace_hopper["/home/grace"]

    text = hand_in("otter", [("5.1", mine), ("5.1", no_relu)]).read_text(encoding="utf-8")
    assert not re.search("grace", text, re.IGNORECASE) and learner.learner() not in text
    assert "Your code stopped with KeyError." in text and "The ReLU is missing" in text and "otter" in text


@pytest.mark.parametrize(
    ("message", "attempt", "kept"),
    [
        (
            "Your code stopped with KeyError on line 2 of your function (`x[I]`): 'I'",
            0,
            "Your code stopped with KeyError.",
        ),
        ("Your result could not be compared (TypeError: Ann).", 0, "Your result could not be compared (TypeError)."),
        ("Not in the list: Ann is here. 3 of 4.", ["Ann is here."], "Not in the list: … 3 of 4."),
        ("Hand in one letter; got 'e'.", "e", "Hand in one letter; got …."),
        ("x" * 900, 3, "x" * 399 + "…"),
    ],
)
def test_what_is_kept_of_a_message(message, attempt, kept):
    assert handed.without_the_learners(message, attempt) == kept


def test_messages_that_differ_in_numbers_are_one_and_old_ones_make_room(tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_PROGRESS", str(tmp_path / "record.json"))
    for score in ("0.61", "0.70"):
        lab._record("5.1", "not yet", f"Score {score}; needed 0.75.")
    for word in "abcdefgh":
        lab._record("5.1", "not yet", f"Wrong: {word}.")
        lab._record("5.1", "not yet", "Score 0.72; needed 0.75.")
    lab._record("5.1", "passed")
    entry = json.loads((tmp_path / "record.json").read_text())["5.1"]
    assert entry["messages"][-1] == ["Score 0.72; needed 0.75.", 10] and len(entry["messages"]) == 8
    assert entry["messages"][0] == ["Wrong: b.", 1] and entry["attempts"] == 19


def test_without_a_file_progress_is_this_kernels(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LAB_PROGRESS", "off")
    monkeypatch.setenv("LAB_HOME", str(tmp_path))
    monkeypatch.setattr(learner, "_memory", {})
    lab.check("5.1", no_relu)
    assert learner.record()["5.1"]["attempts"] == 1 and not list(tmp_path.iterdir())


def test_what_cannot_be_read_is_named_and_the_others_count(hand_in, folder, capsys):
    good = hand_in("otter", [("5.1", right)])
    (folder / "twice.csv").write_bytes(good.read_bytes())
    (folder / "empty.csv").write_text("")
    (folder / "picture.csv").write_bytes(b"\x89PNG\xff\x00")
    (folder / "other.csv").write_text("a,b\n1,2\n")
    (folder / "zero.csv").write_bytes(good.read_bytes()[:300] + b"\x00\x00")
    (folder / "cut.csv").write_bytes(good.read_bytes().replace(b"otter", b"mole")[:2000])
    (folder / "header.csv").write_text(good.read_text().split("\n")[0] + "\n")
    (folder / "progress-ann.json").write_text("{}")
    odd = good.read_text().replace("5.1,", "5.99,", 1).replace("otter", "crane")
    (folder / "odd.csv").write_text(odd)
    (folder / "sheet.csv").write_text(good.read_text().replace("otter", "newt").replace(",", ";"))
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert rollup.main([str(folder)]) == 0
    said = capsys.readouterr().err
    for words in (
        "twice.csv: the same as otter.csv",
        "empty.csv: empty; left out",
        "picture.csv: damaged, or not a text file",
        "other.csv: damaged, or not written by lab.export_progress()",
        "header.csv: it has no row of an exercise",
        "progress-ann.json: not an exported file",
        "zero.csv: damaged; left out. Ask for it once more.",
        " missing. It was cut off, or another version's.",
        "odd.csv: 1 of its rows make no sense",
    ):
        assert words in said
    names = {one.name for one in rollup.read(folder).learners}
    assert {"otter", "crane", "newt", "mole"} == names
    page = (folder / rollup.PAGE).read_text(encoding="utf-8")
    assert "To look at first" in page and "picture.csv" in page
    assert {path: path.read_bytes() for path in before} == before


def test_two_learners_with_one_name_stay_two(hand_in, folder, capsys):
    hand_in("a/progress", [("5.1", right)], called="Otter")
    hand_in("b/progress", [("5.1", no_relu)], called="otter")
    found = rollup.read(folder)
    assert [one.name for one in found.learners] == ["Otter (a/progress.csv)", "otter (b/progress.csv)"]
    assert "They are kept apart" in found.notes[0]


def test_an_empty_folder_none_and_a_full_one_are_told(folder, tmp_path, capsys, monkeypatch):
    assert rollup.main([str(folder)]) == 1 and "No progress to show" in capsys.readouterr().err
    assert not list(folder.iterdir())
    assert rollup.main([str(tmp_path / "none")]) == 1 and "is not a folder" in capsys.readouterr().err


def test_a_file_of_that_name_that_was_handed_in_is_not_written_over(hand_in, folder, capsys):
    hand_in("rollup", [("5.1", right)])
    before = (folder / "rollup.csv").read_bytes()
    assert rollup.main([str(folder)]) == 1 and "name another folder with --out" in capsys.readouterr().err
    assert (folder / "rollup.csv").read_bytes() == before
    assert rollup.main([str(folder), "--out", str(folder.parent / "out")]) == 0


def test_a_disk_that_cannot_be_written_is_told(hand_in, folder, capsys):
    hand_in("otter", [("5.1", right)])
    (folder.parent / "file").write_text("")
    assert rollup.main([str(folder), "--out", str(folder.parent / "file")]) == 1
    assert "file" in capsys.readouterr().err


def test_a_name_is_neither_markup_nor_a_formula(hand_in, folder, capsys):
    hand_in("x", [("5.1", no_relu)], called="=1+1<img src=x>")
    assert rollup.main([str(folder)]) == 0
    page = (folder / rollup.PAGE).read_text(encoding="utf-8")
    assert "<img" not in page and "=1+1&lt;img" in page
    assert "\n'=1+1" in (folder / rollup.TABLE).read_text(encoding="utf-8")


def test_files_of_an_earlier_version_have_no_messages_and_count(hand_in, folder, capsys):
    path = hand_in("otter", [("5.1", no_relu)])
    rows = list(csv.DictReader(path.open(encoding="utf-8", newline="")))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [c for c in rows[0] if c != "messages"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    assert rollup.main([str(folder)]) == 0
    assert "No wrong answer was kept" in (folder / rollup.PAGE).read_text(encoding="utf-8")


def test_damaged_messages_count_as_none():
    for told in ("{", "[1]", '[["a"]]', '[["a", "b"]]', '[["a", -1]]', '{"a": 1}', "[" * 100_000):
        assert rollup._messages(told) == []
    assert rollup._messages('[["a", 2]]') == [("a", 2)]
