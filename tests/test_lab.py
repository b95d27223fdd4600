"""The learner's desk: what `lab` shows, returns, saves, and survives."""

import csv
import json
import threading

import pytest

from utils import checks, lab

NUMBER = next(iter(checks.exercises(checks.lessons()[0])))


@pytest.fixture(autouse=True)
def progress_file(tmp_path, monkeypatch):
    path = tmp_path / "progress.json"
    monkeypatch.setenv("LAB_PROGRESS", str(path))
    return path


def stub(*args, **kwargs):
    raise NotImplementedError


def test_open_and_wrong_answers_go_on_with_the_reference(capsys):
    reference = checks.find(NUMBER).reference
    assert lab.check(NUMBER, stub) is reference
    assert lab.check(NUMBER, lambda *a, **k: "no") is reference
    shown = capsys.readouterr().out
    assert "○" in shown and "Not attempted" in shown and "✘" in shown and "Not yet" in shown


def test_a_right_answer_is_kept(capsys):
    reference = checks.find(NUMBER).reference

    def mine(*args, **kwargs):
        return reference(*args, **kwargs)

    assert lab.check(NUMBER, mine) is mine
    assert "✔" in capsys.readouterr().out


def test_progress_counts_attempts_and_keeps_a_pass(progress_file, capsys):
    reference = checks.find(NUMBER).reference
    lab.check(NUMBER, lambda *a, **k: "no")
    lab.check(NUMBER, lambda *a, **k: reference(*a, **k))
    lab.check(NUMBER, lambda *a, **k: "no")
    entry = json.loads(progress_file.read_text())[NUMBER]
    assert (entry["status"], entry["attempts"]) == ("passed", 3)
    capsys.readouterr()
    lab.progress()
    lesson = checks.lessons()[0]
    assert f"Lesson {lesson}: 1 of {len(checks.exercises(lesson))} passed" in capsys.readouterr().out


def test_a_damaged_progress_file_is_kept_aside(progress_file):
    progress_file.write_text("{not json")
    with pytest.warns(UserWarning, match="was damaged"):
        lab.check(NUMBER, lambda *a, **k: "no")
    kept = list(progress_file.parent.glob("*.damaged-*.json"))
    assert [p.read_text() for p in kept] == ["{not json"]
    assert json.loads(progress_file.read_text())[NUMBER]["attempts"] == 1


def test_a_disk_that_cannot_be_written_costs_a_warning_only(tmp_path, monkeypatch):
    blocker = tmp_path / "file"
    blocker.write_text("")
    monkeypatch.setenv("LAB_PROGRESS", str(blocker / "progress.json"))
    with pytest.warns(UserWarning, match="could not be saved"):
        returned = lab.check(NUMBER, lambda *a, **k: "no")
    assert returned is checks.find(NUMBER).reference


def test_two_kernels_at_once_lose_nothing(progress_file):
    threads = [threading.Thread(target=lab._record, args=(f"0.{i}", "not yet")) for i in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(json.loads(progress_file.read_text())) == 12


def test_export_lists_every_exercise(tmp_path):
    lab.check(NUMBER, lambda *a, **k: "no")
    with lab.export_progress(tmp_path / "out.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(len(checks.exercises(lesson)) for lesson in checks.lessons())
    assert {row["status"] for row in rows} == {"not yet", "not attempted"}


def test_replication_card_shows_both_sides(capsys):
    lab.replication_card(
        "Someone 2023", "2310.06824", "A claim", {"model": "big"}, {"model": "small", "result": "0.8"}, ["scale"]
    )
    shown = capsys.readouterr().out
    assert "there big | here small" in shown and "there – | here 0.8" in shown and "scale" in shown
    with pytest.raises(ValueError, match="result"):
        lab.replication_card("p", "", "c", {}, {"n": 3}, ["x"])


def test_say_refuses_nothing_to_say():
    with pytest.raises(ValueError, match="sentence"):
        lab.say(" ")


def test_html_of_a_message_is_escaped():
    box = lab._verdict_box(checks.Verdict("1.1", checks.NOT_YET, "use `a < b` not <script>"))
    assert "<code>a &lt; b</code>" in box._repr_html_() and "<script>" not in box._repr_html_()
