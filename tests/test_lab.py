"""The learner's desk: what `lab` shows, returns, saves, and survives."""

import csv
import json
import os
import subprocess
import sys
import threading

import pytest
from conftest import ROOT

from utils import checks, lab, learner

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


@pytest.mark.parametrize(
    "damage",
    [
        '{"NUMBER": {"status": "not yet", "attempts": null}}',
        '{"NUMBER": {"status": ["?"], "attempts": "many", "last": 3}}',
        '{"NUMBER": {"attempts": true}}',
    ],
)
def test_odd_entries_are_read_as_nothing(progress_file, damage, capsys):
    """faults.md 13: "attempts": null made lab.check raise."""
    progress_file.write_text(damage.replace("NUMBER", NUMBER))
    lab.check(NUMBER, lambda *a, **k: "no")
    assert json.loads(progress_file.read_text())[NUMBER]["attempts"] == 1
    lab.progress()


def test_deeply_nested_progress_is_damaged(progress_file):
    progress_file.write_text('{"a":' * 100_000 + "1" + "}" * 100_000)
    with pytest.warns(UserWarning, match="was damaged"):
        lab.progress()


def test_a_byte_order_mark_is_no_damage(progress_file, recwarn):
    progress_file.write_text(json.dumps({NUMBER: {"status": "passed", "attempts": 2}}), encoding="utf-8-sig")
    lab.check(NUMBER, lambda *a, **k: "no")
    assert json.loads(progress_file.read_text())[NUMBER]["attempts"] == 3 and not recwarn.list


def test_a_file_that_cannot_be_read_costs_a_warning(progress_file, tmp_path):
    progress_file.mkdir()
    with pytest.warns(UserWarning, match="could not be read"):
        lab.progress()
    with pytest.warns(UserWarning, match="could not be read"):
        lab.export_progress(tmp_path / "out.csv")
    with pytest.warns(UserWarning, match="could not be saved"):
        lab.check(NUMBER, lambda *a, **k: "no")


def test_two_people_with_one_lab_home_have_two_records(tmp_path, monkeypatch):
    """use.md 8: their records merged into "passed, 2 attempts"."""
    monkeypatch.delenv("LAB_PROGRESS")
    monkeypatch.setenv("LAB_HOME", str(tmp_path))
    names = ("anna", "Anna", "a/b", "a_b", "Zoë", "../../x")
    for name in names:
        monkeypatch.setenv("LAB_LEARNER", name)
        lab.check(NUMBER, lambda *a, **k: "no")
        with lab.export_progress(tmp_path / "out.csv").open(encoding="utf-8") as file:
            row = next(row for row in csv.DictReader(file) if row["exercise"] == NUMBER)
        assert (row["learner"], row["attempts"]) == ("out", "1")
    assert len({path.name.lower() for path in tmp_path.glob("progress-*.json")}) == len(names)


def test_without_a_name_the_user_is_the_learner_and_an_earlier_record_is_kept(tmp_path, monkeypatch):
    monkeypatch.delenv("LAB_PROGRESS")
    monkeypatch.setenv("LAB_HOME", str(tmp_path))
    (tmp_path / "progress.json").write_text(json.dumps({NUMBER: {"status": "passed", "attempts": 2}}))
    lab.check(NUMBER, lambda *a, **k: "no")
    (mine,) = tmp_path.glob("progress-*.json")
    assert json.loads(mine.read_text())[NUMBER]["attempts"] == 3
    monkeypatch.setattr(learner, "learner", lambda: "somebody")
    monkeypatch.setenv("LAB_LEARNER", "somebody")
    assert learner.record() == {}


def test_an_account_the_system_does_not_know_has_a_name(monkeypatch):
    import getpass

    def unknown(*_):
        raise KeyError("uid not found")

    monkeypatch.delenv("LAB_LEARNER", raising=False)
    monkeypatch.setattr(getpass, "getuser", unknown)
    if os.name != "nt":
        import pwd

        monkeypatch.setattr(pwd, "getpwuid", unknown)
        assert learner.learner() == f"user-{os.getuid()}"


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
    with pytest.raises(ValueError, match="here must have a 'result', got n"):
        lab.replication_card("p", "", "c", {}, {"n": 3}, ["x"])
    with pytest.raises(ValueError, match="why must hold at least 1 text"):
        lab.replication_card("p", "", "c", {}, {"result": 3}, [])
    with pytest.raises(TypeError, match=r"write \[why\]"):
        lab.replication_card("p", "", "c", {}, {"result": 3}, "scale")


def test_say_refuses_nothing_to_say():
    with pytest.raises(ValueError, match="markdown must hold some text"):
        lab.say(" ")
    with pytest.raises(TypeError, match="markdown must be a string"):
        lab.say(3)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("p < .05, **3 of 4**, `a<b>`", "p < .05, **3 of 4**, `a<b>`"),
        ("<script>alert(1)</script>", "&lt;script>alert(1)&lt;/script>"),
        ("![x](http://there/pixel.png)", "!\\[x](http://there/pixel.png)"),
        ("one ` <img src=x> two", "one ` &lt;img src=x> two"),
        ("`a\n\n<img src=x>` b", "`a\n\n&lt;img src=x>` b"),
        ("``a ` <b>`` and <i>", "``a ` <b>`` and &lt;i>"),
    ],
)
def test_say_shows_tags_and_pictures_and_obeys_none(monkeypatch, said, shown):
    """faults.md 16: a sentence may quote what a model wrote."""
    seen = []
    monkeypatch.setattr(lab, "_display", lambda markdown: seen.append(markdown.data))
    lab.say(said)
    assert seen == [shown]


def test_a_pipe_that_lacks_a_sign_gets_a_plainer_one():
    """cases.md: "✔" on a cp1252 pipe stopped the lesson."""
    code = f"from utils import checks, lab, learner; lab.check({NUMBER!r}, lambda *a, **k: 'no'); lab.progress()"
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert f"x Exercise {NUMBER} · Not yet" in done.stdout.decode("cp1252")


def test_html_of_a_message_is_escaped():
    box = lab._verdict_box(checks.Verdict("1.1", checks.NOT_YET, "use `a < b` not <script>"))
    assert "<code>a &lt; b</code>" in box._repr_html_() and "<script>" not in box._repr_html_()
