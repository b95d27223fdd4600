"""Measured values: the digits shown, what a sentence takes from them, and that a run is really held to them."""

import json
import subprocess

import nbformat
import pytest
from conftest import ROOT

from utils import lab, measured
from utils.authoring import notebooks
from utils.authoring.notebooks import execute, measuring
from utils.statistics import Interval


@pytest.fixture(autouse=True)
def _fresh(monkeypatch):
    monkeypatch.setattr(measured, "_measured", {})
    monkeypatch.delenv(measured.STORED, raising=False)


def shown(capsys):
    return capsys.readouterr().out.replace(measured.MARK, "").rstrip("\n")


# ------------------------------------------------------------------------------------------------------------ digits


@pytest.mark.parametrize(
    ("value", "interval", "tolerance", "text"),
    [
        (0.80333, (0.7812, 0.8241), 0.01, "0.803, 95 % [0.781, 0.824]"),
        (0.5, (0.499, 0.504), 0.01, "0.5000, 95 % [0.4990, 0.5040]"),  # rounded to 0.50 [0.50, 0.50] before
        (12.34, (2.0, 30.0), 1, "12, 95 % [2, 30]"),
        (1234.5, (1000.2, 1500.9), 1, "1234, 95 % [1000, 1501]"),
        (2.69e11, (2.61e11, 2.77e11), 1, "2.690e11, 95 % [2.610e11, 2.770e11]"),
        (2.5e-7, (-1e-8, 5e-7), 0, "2.5e-7, 95 % [-0.1e-7, 5.0e-7]"),
        (-1e-9, (-0.21, 0.3), 0.01, "0.00, 95 % [-0.21, 0.30]"),
        (0.3, (0.3, 0.3), 0.01, "0.30, 95 % [0.30, 0.30]"),
        (0.2, (0.3, 0.4), 0.01, "0.200, 95 % [0.300, 0.400]"),  # a BCa interval may leave its estimate out
        (0.8037, None, 0.01, "0.80"),
        (0.8037, None, 0.05, "0.80"),
        (-0.001, None, 0.01, "0.00"),
        (14, None, 0, "14"),
        (14.25, None, 0, "14.25"),
        (1 / 3, None, 0, "0.333333"),
        (134_515_008, None, 0, "134,515,008"),
        (12_345, (9_000, 15_900), 1, "12,345, 95 % [9,000, 15,900]"),
        (1_500_000, None, 1e4, "1.50e6"),
        (0, None, 0, "0"),
        (3.2e-5, None, 1e-6, "3.2e-5"),
        (12345.6, None, 100, "12,346"),
    ],
)
def test_a_number_has_the_digits_its_interval_deserves(value, interval, tolerance, text):
    one = measured.entry("x", value, "nats", tolerance, interval)
    assert measured.full_text(one).replace(measured.MARK, "") == text


def test_no_rounding_closes_an_interval():
    for power in range(-12, 12):
        for width in (1.0, 2.5, 9.99):
            low = 0.123456789
            one = measured.entry("x", low, "nats", 1.0, (low, low + width * 10.0**power))
            _, first, second = measured._numbers(one)
            assert first != second, (power, width)


def test_every_digit_that_may_differ_is_marked_and_n_is_not():
    one = measured.entry("L23H5 at 0.5", 0.22, "nats", 0.01, (-0.1, 0.3), 14)
    text = measured.one_as_text(one)
    assert text == "L23H5 at 0.5 (nats): \u20600.22, 95 % [\u2060-0.10, \u20600.30], n = 14"


# ------------------------------------------------------------------------------------------------------- lab.measured


def test_a_value_shows_name_unit_interval_and_n(capsys):
    lab.measured("recovery", Interval(0.80333, 0.7812, 0.8241, 300), unit="share of the gap", tolerance=0.01)
    assert shown(capsys) == "recovery (share of the gap): 0.803, 95 % [0.781, 0.824], n = 300"
    lab.measured("head", 0.22, interval=(0.1, 0.3), unit="nats", n=14, tolerance=0.01)
    assert shown(capsys) == "head (nats): 0.22, 95 % [0.10, 0.30], n = 14"
    lab.measured("other", Interval(0.5, 0.4, 0.6, 9, 0.8), unit="nats", tolerance=0.01)
    assert shown(capsys) == "other (nats): 0.50, 80 % [0.40, 0.60], n = 9"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"value": float("nan")}, ValueError, "value must be a finite number"),
        ({"value": float("inf")}, ValueError, "value must be a finite number"),
        ({"value": Interval(0.5, float("nan"), 0.6, 9)}, ValueError, "value.low must be a finite number"),
        ({"value": True}, TypeError, "value must be a number or an Interval"),
        ({"value": "0.5"}, TypeError, "value must be a number"),
        ({"value": [0.5]}, TypeError, "value must be a number"),
        ({"name": " "}, ValueError, "name must hold some text"),
        ({"name": "a {b}"}, ValueError, "name must be one line without braces"),
        ({"unit": ""}, ValueError, "unit must hold some text"),
        ({"tolerance": -1}, ValueError, "tolerance must be"),
        ({"tolerance": float("nan")}, ValueError, "tolerance must be"),
        ({"interval": (0.6, 0.4)}, ValueError, "interval must have its low end first"),
        ({"interval": (0.1, float("nan"))}, ValueError, r"interval\[1\] must be a finite"),
        ({"value": Interval(0.5, 0.4, 0.6, 9), "interval": (0.4, 0.6)}, ValueError, "interval must be left out"),
        ({"value": Interval(0.5, 0.4, 0.6, 9), "n": 8}, ValueError, "n must be the Interval's own, 9"),
        ({"n": 0}, ValueError, "n must be"),
    ],
)
def test_bad_values_are_named(arguments, error, message):
    good = {"name": "x", "value": 0.5, "unit": "nats", "tolerance": 0.01}
    with pytest.raises(error, match=message):
        lab.measured(**{**good, **arguments})


def test_a_table_has_names_for_rows_and_columns(capsys):
    rows = {
        "cities": {"cities": Interval(0.8, 0.75, 0.86, 20), "colours": Interval(0.6, 0.5, 0.7, 20)},
        "col<ours": {"colours": Interval(0.7, 0.6, 0.8, 20)},
    }
    lab.measured_table("AUROC by training set", rows, unit="AUROC", tolerance=0.01)
    assert shown(capsys).splitlines() == [
        "AUROC by training set (AUROC, 95 % intervals, n = 20)",
        "  cities: cities 0.800 [0.750, 0.860] | colours 0.60 [0.50, 0.70]",
        "  col<ours: cities – | colours 0.70 [0.60, 0.80]",
    ]
    assert measured.known("AUROC by training set · cities · colours").value == 0.6
    markup = measured.table_as_html(measured.table("t", rows, "AUROC", 0.01, None))
    assert markup.count('<th scope="col"') == 2 and markup.count('<th scope="row"') == 2 and "<caption" in markup
    assert "<th></th>" not in markup and "col&lt;ours" in markup and "col<ours" not in markup


def test_a_table_of_one_column_and_one_with_units_of_their_own(capsys):
    lab.measured_table("losses", {"a": 1.5, "b": 2}, unit="nats", tolerance=0.1, n=5)
    assert shown(capsys).splitlines() == ["losses (nats, n = 5)", "  a: 1.5", "  b: 2.0"]
    assert measured.known("losses · b").n == 5
    rows = {"TopK": {"L0": 32, "explained": Interval(0.8, 0.7, 0.9, 8)}}
    unit, tolerance = {"L0": "latents", "explained": "share"}, {"L0": 0, "explained": 0.01}
    lab.measured_table("dictionaries", rows, unit=unit, tolerance=tolerance)
    assert shown(capsys).splitlines()[1] == "  TopK: L0 (latents) 32 | explained (share) 0.80 [0.70, 0.90], n = 8"


@pytest.mark.parametrize(
    ("rows", "more", "error", "message"),
    [
        ({}, {}, ValueError, "rows must hold at least one row"),
        ({"a": {}}, {}, ValueError, "rows must hold at least one value"),
        ({"a": {"x": 1}, "b": 2}, {}, TypeError, r"rows\['b'\] must be a dict of columns"),
        ({"a": {"x": float("nan")}}, {}, ValueError, r"rows\['a'\]\['x'\] must be a finite number"),
        ({"a": {"x": "0.5"}}, {}, TypeError, r"rows\['a'\]\['x'\] must be a number"),
        ({"a": {"x": 1}}, {"unit": {"y": "nats"}}, ValueError, "unit must name every column, 'x' is missing"),
        ({"a · b": {"c": 1}, "a": {"b · c": 2}}, {}, ValueError, "rows and columns must have names of their own"),
    ],
)
def test_bad_tables_are_named(rows, more, error, message):
    with pytest.raises(error, match=message):
        lab.measured_table("t", rows, **{"unit": "nats", "tolerance": 0.01, **more})


# ------------------------------------------------------------------------------------------------------------ lab.say


@pytest.mark.parametrize(
    ("said", "filled"),
    [
        ("It reads {acc}.", "It reads 0.803, 95 % [0.781, 0.824], n = 300."),
        ("{acc:value}, {acc:interval}", "0.803, 0.803 [0.781, 0.824]"),
        ("{t · a: b} and {{acc}}", "1.0 and {acc}"),
        ("`{x}` $10^{-3}$ `{acc:value}` {acc:value}", "`{x}` $10^{-3}$ `0.803` 0.803"),
    ],
)
def test_braces_are_filled(said, filled):
    lab.measured("acc", Interval(0.80333, 0.7812, 0.8241, 300), unit="share", tolerance=0.01)
    lab.measured_table("t", {"a: b": 1.0}, unit="nats", tolerance=0.1)
    assert measured.fill(said).replace(measured.MARK, "") == filled


def test_a_brace_that_names_nothing_raises():
    lab.measured("accuracy", 0.5, unit="share", tolerance=0.01)
    with pytest.raises(ValueError, match="the text names 'acuracy' in braces.*did you mean 'accuracy'"):
        lab.say("{acuracy}")
    with pytest.raises(ValueError, match="run the cell that measures it first"):
        lab.say("{x:value}")
    with pytest.raises(ValueError, match="the text names 'accuracy:low'"):
        lab.say("{accuracy:low}")
    with pytest.raises(ValueError, match="lone '}'"):
        lab.say("a } b")


def test_a_replication_card_takes_measured_values(capsys):
    lab.measured("acc", Interval(0.80333, 0.7812, 0.8241, 300), unit="share", tolerance=0.01)
    here = {"result": "{acc:interval}", "n": 300}
    lab.replication_card("p", "", "c", {"result": "{acc}"}, here, ["smaller: {acc:value}"])
    card = shown(capsys)
    assert "there {acc} | here 0.803 [0.781, 0.824]" in card and "smaller: 0.803" in card


# ---------------------------------------------------------------------------------------------- stored, and held to


def notebook_of(*sources):
    first = "import os, sys; sys.path.insert(0, os.environ['LAB_ROOT'])\nfrom utils import lab"
    cells = [nbformat.v4.new_code_cell(source) for source in (first, *sources)]
    return nbformat.v4.new_notebook(cells=cells)


VALUE = "lab.measured('recovery', 0.8, interval=(0.7, 0.9), n=14, unit='share', tolerance=0.02)"
TABLE = "lab.measured_table('t', {'a': {'x': 1.0}, 'b': {'x': 2.0}}, unit='nats', tolerance=0.1)"
SAID = "lab.say('It is {recovery}, and {t · a · x}.')"


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """A small notebook with measured values, really run."""
    folder = tmp_path_factory.mktemp("executed")
    environment = {**execute.notebook_environment(folder / "progress.json"), "LAB_ROOT": str(ROOT)}
    notebook, _ = execute.run(notebook_of(VALUE, TABLE, SAID), folder, environment)
    return execute.clean(notebook)


def nbval(notebook, folder, **environment):
    """The suite's own command on one notebook: (passed, what it said)."""
    from utils.authoring.notebooks import suite

    path = folder / "00_small.ipynb"
    notebooks.write(notebook, path)
    (step,) = (step for step in suite.steps() if step.name == "solutions, outputs compared")
    command = [word for word in step.command if not word.endswith(".ipynb")]
    command = [word for word in command if word not in ("-n", "--dist", "loadfile", "--no-loadscope-reorder")]
    command.remove(str(suite.WORKERS))
    progress = execute.notebook_environment(folder / "progress.json")
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", str(path)],
        cwd=ROOT,
        env={**progress, "LAB_ROOT": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.returncode == 0, done.stdout + done.stderr


def changed(notebook, old, new):
    """The stored outputs with something else in them; the sources stay."""
    copy = notebooks.copy_of(notebook)
    for cell in copy.cells:
        text = json.dumps(cell.get("outputs", []), ensure_ascii=False)
        cell.outputs = [nbformat.from_dict(output) for output in json.loads(text.replace(old, new))]
    assert notebooks.dumps(copy) != notebooks.dumps(notebook), f"{old!r} is not in the notebook"
    return copy


def kept(value):
    """How a number stands among the values kept in full."""
    return f"&quot;value&quot;: {value},"


def test_what_is_stored_is_found_again(executed):
    found = measuring.stored(executed)
    assert list(found) == ["recovery", "t · a · x", "t · b · x"]
    assert found["recovery"] == {
        "name": "recovery",
        "value": 0.8,
        "unit": "share",
        "tolerance": 0.02,
        "low": 0.7,
        "high": 0.9,
        "n": 14,
        "confidence": 0.95,
    }


def test_an_unchanged_notebook_passes(executed, tmp_path):
    passed, said = nbval(executed, tmp_path)
    assert passed, said


@pytest.mark.parametrize(
    ("old", "new", "passes"),
    [
        (kept(0.8), kept(0.81), True),  # half a tolerance of 0.02
        (kept(0.8), kept(0.83), False),  # one and a half
        (kept(2.0), kept(2.05), True),
        (kept(2.0), kept(1.85), False),
        ("&quot;high&quot;: 0.9", "&quot;high&quot;: 0.93", False),
        ("\u20600.80", "\u20600.79", True),  # only the digits shown
        ("(share)", "(nats)", False),
        ("n = 14", "n = 15", False),
        ("&quot;n&quot;: 14", "&quot;n&quot;: 15", False),
        ("recovery", "recoverie", False),
        ("&quot;name&quot;: &quot;recovery&quot;", "&quot;name&quot;: &quot;recoverie&quot;", False),
        ("and \u20601.0", "or \u20601.0", False),  # words of a sentence are compared
        ("and \u20601.0", "and \u20601.1", True),
    ],
)
def test_a_run_is_held_to_what_is_stored(executed, tmp_path, old, new, passes):
    passed, said = nbval(changed(executed, old, new), tmp_path)
    assert passed == passes, said


def test_a_value_that_is_no_longer_measured_fails(executed, tmp_path):
    gone = notebooks.copy_of(executed)
    gone.cells[1].source = "pass"
    gone.cells[3].source = "lab.say('It is {t · a · x}.')"
    passed, said = nbval(gone, tmp_path)
    assert not passed and "'recovery' is stored before 't · a · x', and was not measured" in said


def test_a_value_that_is_not_stored_fails(executed, tmp_path):
    more = notebooks.copy_of(executed)
    more.cells[1].source += "\nlab.measured('one more', 1, unit='nats', tolerance=1)"
    passed, said = nbval(more, tmp_path)
    assert not passed and "'one more' is measured here, but not stored" in said


def test_another_rounding_passes_within_the_tolerance(tmp_path):
    """What another CPU does: the same sum in another order, other digits on the page, and a pass all the same."""
    source = (
        "import os, numpy\nx = numpy.random.default_rng(0).normal(size=20000).astype('float32') * 1e3\n"
        "x = x[::-1] if os.environ.get('OTHER') else x\nlab.measured('sum', x.cumsum()[-1], unit='nats', tolerance=1)\n"
        "lab.measured('fine', x.cumsum()[-1], unit='nats', tolerance=1e-6)"
    )
    environment = {**execute.notebook_environment(tmp_path / "progress.json"), "LAB_ROOT": str(ROOT)}
    notebook, _ = execute.run(notebook_of(source.rsplit("\n", 1)[0]), tmp_path, environment)
    passed, said = nbval(execute.clean(notebook), tmp_path, OTHER="1")
    assert passed, said
    notebook, _ = execute.run(notebook_of(source), tmp_path, environment)
    passed, said = nbval(execute.clean(notebook), tmp_path, OTHER="1")
    assert not passed and "further off than 1e-06" in said


def test_a_cell_that_is_not_compared_is_held_to_its_names_only(executed):
    timed = notebooks.copy_of(executed)
    timed.cells[1].metadata["tags"] = ["nbval-ignore-output"]
    assert measuring.stored(timed)["recovery"]["tolerance"] is None
    one = measured.entry("recovery", 99.0, "share", 5, (7, 9), 14)
    assert measured._difference(one, measuring.stored(timed)["recovery"]) == ""


def test_another_tolerance_must_be_stored_first():
    one = measured.entry("x", 1.0, "nats", 0.5)
    assert "execute the notebook again" in measured._difference(one, {"tolerance": 0.1, "n": None, "value": 1.0})


def test_a_name_stands_for_one_value(executed):
    twice = notebooks.copy_of(executed)
    twice.cells.append(notebooks.copy_of(executed.cells[1]))
    ((cell, message),) = measuring.doubled(twice, "00")
    assert cell == 4 and "'recovery' is measured in cell 1 already" in message
    assert list(measuring.doubled(executed, "00")) == []


def test_a_cell_may_run_again_but_not_give_one_name_twice(tmp_path):
    from nbclient.exceptions import CellExecutionError

    environment = {**execute.notebook_environment(tmp_path / "progress.json"), "LAB_ROOT": str(ROOT)}
    edited = VALUE.replace("0.8,", "0.81,")
    execute.run(notebook_of(VALUE, VALUE, edited), tmp_path, environment)
    with pytest.raises(CellExecutionError, match="this cell has measured 'recovery' already"):
        execute.run(notebook_of(f"{VALUE}\n{VALUE}"), tmp_path, environment)
