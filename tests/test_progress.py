"""Bars are silent where notebooks' outputs are compared, in a notebook's form too."""

from tqdm.notebook import tqdm as notebook_bar

from utils import progress


def test_the_items_come_through(monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    assert list(progress.tqdm([1, 2, 3], desc="counting")) == [1, 2, 3]


def test_tqdm_disable_silences_both_forms(monkeypatch, capsys):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    assert progress.tqdm([1]).disable
    monkeypatch.setattr(progress, "_auto", notebook_bar)
    assert list(progress.tqdm([1, 2], desc="counting")) == [1, 2]
    assert capsys.readouterr() == ("", "")


def test_a_bar_for_slow_things_waits_two_seconds_and_knows_how_many_there_are(monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    bar = progress.slow((n for n in range(3)), "patching")
    assert (bar.total, bar.delay, bar.desc) == (3, 2, "patching") and list(bar) == [0, 1, 2]
    monkeypatch.setenv("TQDM_DISABLE", "1")
    silent = progress.slow([1, 2], "patching")
    assert silent.disable and list(silent) == [1, 2]
