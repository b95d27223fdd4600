"""Predictions: kept until the result is shown, held beside it, counted, and silent where there are none."""

import csv
import json
import threading

import pytest
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from test_measured import notebook_of
from test_widgets import descendants, live

from utils import lab, learner, measured, predictions
from utils.authoring import notebooks
from utils.authoring.notebooks import execute

LENGTH = {"key": "03.length", "question": "How long is the arrow?", "unit": "share", "low": 0, "high": 2}
FIRST = {"key": "03.first", "question": "Where first?", "options": ["before block 6", "6 to 12", "after 12"]}
CURVE = {"key": "00.curve", "question": "Surprisal by position", "x": [1, 4, 8], "x_label": "position"}
CURVE |= {"unit": "bits", "low": 0, "high": 20}


@pytest.fixture(autouse=True)
def record(tmp_path, monkeypatch):
    path = tmp_path / "progress.json"
    monkeypatch.setenv("LAB_PROGRESS", str(path))
    new_kernel(monkeypatch)
    return path


def new_kernel(monkeypatch):
    monkeypatch.setattr(predictions, "_shown", set())
    monkeypatch.setattr(predictions, "_unsaved", {})
    monkeypatch.setattr(measured, "_measured", {})


@pytest.fixture
def shown(monkeypatch):
    """The mime bundles that display() was given."""
    shell = InteractiveShell.instance()
    publisher = CapturingDisplayPublisher()
    monkeypatch.setattr(shell, "display_pub", publisher)
    monkeypatch.setattr(measured, "_run_of_cell", lambda: None)
    yield publisher.outputs
    InteractiveShell.clear_instance()


def said(shown):
    """What the last display said, in plain text."""
    return shown[-1]["data"]["text/plain"].replace(measured.MARK, "")


def boxes(bundle):
    """The controls of a question: its boxes, its button, its two lines of text (status, plain code)."""
    shell = live(bundle)
    _heading, *inputs, button, status, how = shell.children
    assert sum(1 for _ in descendants(shell)) == 1 + len(shell.children)
    return inputs, button, status, how


def measure(value, key="03.length"):
    lab.measured("length", value, unit="share", tolerance=0.01, predicted=key)


# ------------------------------------------------------------------------------------------------------ in plain code


def test_a_number_is_kept_and_stands_beside_what_was_measured(shown, record):
    lab.predict(**LENGTH, answer=(0.3, 0.1, 0.6))
    assert "Kept: 0.3, 80 % [0.1, 0.6]. You may change it" in said(shown)
    assert lab.prediction("03.length") == 0.3
    lab.measured("length", 0.12, interval=(0.1, 0.15), unit="share", tolerance=0.01, predicted="03.length")
    assert said(shown) == "You said 0.3, 80 % [0.1, 0.6]; it is 0.120, 95 % [0.100, 0.150], inside your range."
    entry = json.loads(record.read_text())["predictions"]["03.length"]
    assert (entry["said"], entry["truth"], entry["late"]) == (0.3, 0.12, False)


@pytest.mark.parametrize(("truth", "where"), [(0.05, "below"), (0.7, "above"), (0.6, "inside")])
def test_the_range_held_or_not(shown, truth, where):
    lab.predict(**LENGTH, answer=(0.3, 0.1, 0.6))
    measure(truth)
    assert said(shown).endswith(f", {where} your range.")


def test_code_in_a_question_is_code(shown):
    lab.predict("03.code", "How many tokens is `Katzenklappe`?", unit="tokens", low=1, high=9)
    assert "<code>Katzenklappe</code>" in shown[-1]["data"]["text/html"]
    assert "`Katzenklappe`" in shown[-1]["data"]["text/plain"], "in a terminal it keeps its marks"


def test_a_number_alone_is_allowed(shown):
    lab.predict(**LENGTH, answer=1)
    assert "With an 80 % range it would count" in said(shown)
    measure(0.12)
    assert said(shown) == "You said 1; it is 0.12." and predictions.calibration() == []


def test_a_choice_and_a_curve(shown):
    lab.predict(**FIRST, answer=("after 12", 0.7))
    lab.reveal("03.first", "6 to 12")
    assert said(shown) == "You said “after 12”, 70 % sure; it is “6 to 12”."
    lab.predict(**CURVE, answer=[10, 5.5, 3])
    assert lab.prediction("00.curve") == [10, 5.5, 3]
    lab.reveal("00.curve", [14, 5, 2])
    assert said(shown) == "Your curve is 1.8 bits off on average, and most at position 1 (you said 10, it is 14)."
    with pytest.raises(ValueError, match="truth must hold 3 numbers"):
        lab.reveal("00.curve", [14, 5])
    with pytest.raises(TypeError, match="truth must be the option"):
        lab.reveal("03.first", 2)


@pytest.mark.parametrize(
    ("asked", "answer", "message"),
    [
        (LENGTH, "lots", "your guess must be a number, such as 0.3, got 'lots'"),
        (LENGTH, (0.3, "", 0.6), "the low end must be a number, such as 0.3."),
        (LENGTH, 3, "your guess must lie between 0 and 2 (share), got 3"),
        (LENGTH, (0.3, 0.4, 0.6), "your guess must lie inside your range"),
        (LENGTH, (0.3, 0.6, 0.1), "your guess must lie inside your range"),
        (LENGTH, (0.3, 0.3, 0.3), "your range must have some width"),
        (LENGTH, (0.3, 0.1), "answer must be a number, or a guess and the two ends"),
        (LENGTH, float("nan"), "your guess must be a finite number"),
        (LENGTH, True, "your guess must be a number"),
        (LENGTH, "1,234", "your guess: does '1,234' mean 1.234 or 1234?\n"),
        (FIRST, "after", 'choose one of "before block 6", "6 to 12", "after 12", not \'after\''),
        (FIRST, ("after 12", 70), "how sure you are must lie between 0 and 1 (0.7 is 70 %), got 70"),
        (FIRST, ("after 12", "very"), "how sure you are must be a number"),
        (FIRST, ["after 12"], "choose one of"),
        (CURVE, [1, 2], "answer must hold 3 numbers, one for each position"),
        (CURVE, [1, 2, 99], "position 8 must lie between 0 and 20 (bits), got 99"),
        (CURVE, 5, "answer must be a list of numbers"),
    ],
)
def test_an_answer_that_cannot_be_read_costs_a_sentence(shown, record, asked, answer, message):
    lab.predict(**asked, answer=answer)
    assert f"✘ Not kept: {message}" in said(shown)
    assert not record.exists()


@pytest.mark.parametrize("text", ["0.3", " 0,3 ", "3e-1", "+.3"])
def test_numbers_may_be_typed_in_several_ways(shown, text):
    lab.predict(**LENGTH, answer=text)
    assert lab.prediction("03.length") == 0.3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"key": "length"}, "key must be the lesson and a word"),
        ({"unit": None}, "unit must say"),
        ({"low": None}, "low and high must bound"),
        ({"low": 2}, "low and high must bound"),
        ({"options": ["a", "b"]}, "options must stand alone"),
        ({"low": None, "high": None, "options": ["a"]}, "options must hold at least 2"),
        ({"low": None, "high": None, "options": ["a", "a"]}, "options must differ"),
        ({"x": [1]}, "x must hold 2 to 8 places"),
        ({"x": list(range(9))}, "x must hold 2 to 8 places"),
        ({"x": [1, 1]}, "x must hold 2 to 8 places that differ"),
        ({"x": [1, 2]}, "x_label must say"),
        ({"question": ""}, "question must hold some text"),
    ],
)
def test_a_question_that_is_not_whole_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        lab.predict(**{**LENGTH, **change})


# -------------------------------------------------------------------------------------------------- changing one's mind


def test_an_answer_may_change_until_the_result_is_shown(shown):
    lab.predict(**LENGTH, answer=0.3)
    lab.predict(**LENGTH, answer=(0.5, 0.4, 0.6))
    measure(0.12)
    assert said(shown).startswith("You said 0.5")
    lab.predict(**LENGTH, answer=(0.12, 0.11, 0.13))
    assert "Your prediction stands: 0.5, 80 % [0.4, 0.6]. The result has been shown" in said(shown)
    lab.predict(**LENGTH, answer=(0.5, 0.4, 0.6))  # the cell runs again as it is
    assert "Your prediction stands: 0.5, 80 % [0.4, 0.6].\n" in said(shown)
    assert lab.prediction("03.length") == 0.5


def test_it_stands_in_another_kernel_too(shown, monkeypatch):
    lab.predict(**LENGTH, answer=(0.5, 0.4, 0.6))
    measure(0.12)
    new_kernel(monkeypatch)
    lab.predict(**LENGTH, answer=(0.12, 0.11, 0.13))
    assert "Your prediction stands" in said(shown) and lab.prediction("03.length") == 0.5
    measure(0.13)  # another run measures a little else; the first result was the one predicted
    assert predictions.all_kept()["03.length"]["truth"] == 0.12


def test_an_answer_after_the_result_is_late_and_does_not_count(shown):
    measure(0.12)
    lab.predict(**LENGTH, answer=(0.12, 0.11, 0.13))
    assert "so it doesn't count" in said(shown)
    measure(0.12)
    assert said(shown).endswith("You said so after the result had been shown, so it doesn't count.")
    assert predictions.calibration() == []


# ------------------------------------------------------------------------------------------------------- the controls


def test_a_number_is_typed_and_kept_by_a_button(shown):
    lab.predict(**LENGTH)
    (guess, low, high), button, status, how = boxes(shown[-1])
    assert guess.value == "" and guess.placeholder == "0 to 2", "no number is suggested"
    button.click()
    assert "your guess must be a number" in status.value and lab.prediction("03.length") is None
    guess.value, low.value = "0,3", "0.1"
    button.click()
    assert "the high end must be a number" in status.value
    high.value = "0.6"
    assert "not kept yet: press the button" in status.value
    button.click()
    assert "Kept: 0.3, 80 % [0.1, 0.6]" in status.value and 'role="status"' in status.value
    assert "answer=(0.3, 0.1, 0.6)" in how.value
    lab.predict(**LENGTH)
    assert [box.value for box in boxes(shown[-1])[0]] == ["0.3", "0.1", "0.6"], "what was kept is there again"


def test_a_choice_is_clicked(shown):
    lab.predict(**FIRST)
    (radio, sure), button, status, how = boxes(shown[-1])
    assert radio.value is None and sure.label == "not said"
    button.click()
    assert "choose one of" in status.value
    radio.value = "6 to 12"
    button.click()
    assert "Kept: “6 to 12”." in status.value
    sure.value = 0.7
    button.click()
    assert predictions.all_kept()["03.first"]["sure"] == 0.7
    assert "answer=(&#x27;6 to 12&#x27;, 0.7)" in how.value


def test_a_curve_is_drawn_with_sliders(shown):
    lab.predict(**CURVE)
    sliders, button, status, _how = boxes(shown[-1])
    assert [slider.description for slider in sliders] == ["position 1", "position 4", "position 8"]
    sliders[0].value = 12.0
    button.click()
    assert lab.prediction("00.curve") == [12.0, 10.0, 10.0] and "Kept" in status.value


def test_every_question_has_a_still_form_and_plain_code(shown):
    for asked in (LENGTH, FIRST, CURVE):
        lab.predict(**asked)
        data = shown[-1]["data"]
        for form in (data["text/html"].replace("&quot;", '"'), data["text/plain"]):
            assert asked["question"] in form and f'lab.predict("{asked["key"]}", …, answer=' in form
            assert "Kept" not in form and "Not kept" not in form
    assert "before block 6 · 6 to 12 · after 12" in shown[1]["data"]["text/plain"]


# ------------------------------------------------------------------------------------------------------------ the disk


def test_a_disk_that_cannot_be_written_keeps_it_in_the_kernel(shown, tmp_path, monkeypatch):
    blocker = tmp_path / "file"
    blocker.write_text("")
    monkeypatch.setenv("LAB_PROGRESS", str(blocker / "progress.json"))
    lab.predict(**LENGTH, answer=(0.3, 0.1, 0.6))
    assert "Kept: 0.3" in said(shown) and "could not be saved" in said(shown)
    measure(0.12)
    assert said(shown).startswith("You said 0.3")
    lab.predict(**LENGTH, answer=0.12)
    assert "Your prediction stands" in said(shown)
    assert predictions.calibration()[-1] == "Number of predictions that this rests on: 1."


def test_two_kernels_at_once_lose_nothing(record):
    def answer(i):
        asked = predictions.question(f"03.q{i}", "How long?", "share", 0, 2, None, None, None)
        predictions.keep(asked, predictions.read(asked, i / 10))

    threads = [threading.Thread(target=answer, args=(i,)) for i in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(predictions.all_kept()) == 12 == len(json.loads(record.read_text())["predictions"])


@pytest.mark.parametrize(
    "damage",
    [
        {"kind": "number", "said": "much"},
        {"kind": "number", "said": None},
        {"kind": "curve", "said": []},
        {"kind": ["?"], "said": 3},
        {"kind": "choice", "said": 3},
        [],
        None,
    ],
)
def test_odd_entries_are_read_as_nothing(shown, record, damage):
    record.write_text(json.dumps({"3.1": {"status": "passed", "attempts": 2}, "predictions": {"03.length": damage}}))
    measure(0.12)
    lab.progress()
    assert predictions.all_kept() == {} and "Your 80 %" not in said(shown)
    lab.predict(**LENGTH, answer=0.3)
    assert lab.prediction("03.length") == 0.3 and json.loads(record.read_text())["3.1"]["attempts"] == 2


def test_odd_parts_of_an_entry_are_dropped(record):
    entry = {"kind": "number", "said": 0.3, "low": "x", "high": 0.6, "truth": "y", "question": 3}
    record.write_text(json.dumps({"predictions": {"03.length": entry, "00.c": {"kind": "curve", "said": [1, 2]}}}))
    kept = predictions.all_kept()
    assert kept["03.length"]["low"] is None and "truth" not in kept["03.length"] and kept["03.length"]["late"]
    assert predictions.spoken(kept["00.c"]) == "1, 2" and predictions.calibration() == []


def test_a_damaged_file_is_kept_aside(shown, record):
    record.write_text("{not json")
    with pytest.warns(UserWarning, match="was damaged"):
        lab.predict(**LENGTH, answer=0.3)
    assert lab.prediction("03.length") == 0.3
    assert [path.read_text() for path in record.parent.glob("*.damaged-*.json")] == ["{not json"]


def test_a_question_of_another_kind_under_the_same_key_starts_anew(shown):
    lab.predict(**LENGTH, answer=0.3)
    lab.predict(**{**FIRST, "key": "03.length"})
    (radio, _sure), *_ = boxes(shown[-1])
    assert radio.value is None


# -------------------------------------------------------------------------------------------------- progress and export


def fill(record, ranges, choices):
    entries = {}
    for i, held in enumerate(ranges):
        entries[f"03.r{i}"] = {"kind": "number", "said": 0.5, "low": 0, "high": 1, "truth": 0.5 if held else 2}
    for i, (sure, right) in enumerate(choices):
        entries[f"03.c{i}"] = {"kind": "choice", "said": "a", "sure": sure, "truth": "a" if right else "b"}
    record.write_text(json.dumps({"predictions": {key: {**e, "late": False} for key, e in entries.items()}}))


def test_progress_tells_calibration_and_what_it_rests_on(shown, record):
    fill(record, [True, True, False], [(0.9, True), (0.7, False)])
    lab.progress()
    lines = said(shown).splitlines()[-3:]
    assert lines[0].startswith("Your 80 % ranges: 2 of 3 held the value, a share of 0.67, 95 % [")
    assert lines[0].endswith("So few can't tell that from 80 %.")
    assert lines[1].startswith("Your choices: 1 of 2 were right, and you were 80 % sure on average; a share of 0.50")
    assert lines[2] == "Number of predictions that this rests on: 5."


def test_overconfidence_is_named_when_it_shows(record):
    fill(record, [True] * 6 + [False] * 14, [(0.9, i < 8) for i in range(20)])
    ranges, choices, _ = predictions.calibration()
    assert ranges.endswith("That differs from 80 %: your ranges are too narrow.")
    assert choices.endswith("That differs from 90 %: you are surer than you are right.")
    fill(record, [True] * 40, [])
    assert predictions.calibration()[0].endswith("your ranges could be narrower.")


def test_without_predictions_progress_says_nothing_of_them(shown):
    lab.progress()
    assert "prediction" not in said(shown) and "range" not in said(shown)


def test_export_has_a_row_for_every_prediction(shown, record, tmp_path):
    lab.predict(**LENGTH, answer=(0.3, 0.1, 0.6))
    measure(0.12)
    lab.predict(**FIRST, answer=("after 12", 0.7))
    with lab.export_progress(tmp_path / "out.csv").open(encoding="utf-8") as file:
        rows = {row["exercise"]: row for row in csv.DictReader(file)}
    row = rows["03.length"]
    assert [row[c] for c in ("status", "said", "low", "high", "truth")] == ["shown", "0.3", "0.1", "0.6", "0.12"]
    assert (rows["03.first"]["status"], rows["03.first"]["sure"], rows["03.first"]["truth"]) == ("predicted", "0.7", "")
    assert rows["3.1"]["status"] == "not attempted"


def test_exercises_and_predictions_share_a_file(shown, record):
    lab.predict(**LENGTH, answer=0.3)
    lab._record("3.1", "passed")
    lab.predict(**FIRST, answer="after 12")
    entries = json.loads(record.read_text())
    assert entries["3.1"]["status"] == "passed" and set(entries[learner.PREDICTIONS]) == {"03.length", "03.first"}


# ---------------------------------------------------------------------------------------------------------- unattended


def test_a_notebook_run_unattended_says_nothing_of_predictions(tmp_path):
    from conftest import ROOT

    sources = [
        f"lab.predict(**{LENGTH!r})",
        "lab.measured('length', 0.12, unit='share', tolerance=0.01, predicted='03.length')\n"
        "lab.reveal('03.first', 'a')",
        "assert lab.prediction('03.length') is None",
    ]
    environment = {**execute.notebook_environment(tmp_path / "progress.json"), "LAB_ROOT": str(ROOT)}
    notebook, _ = execute.run(notebook_of(*sources), tmp_path, environment)
    _, asked, result, _ = execute.clean(notebook).cells
    assert len(asked.outputs) == 1 and "How long is the arrow?" in notebooks.comparable_text(asked.outputs[0])
    assert len(result.outputs) == 1 and "You said" not in notebooks.comparable_text(result.outputs[0])
    assert not (tmp_path / "progress.json").exists()
