"""The transcript viewer: nothing is given away before a guess, and all of it after one."""

import pytest

from utils.datasets.errands import planted
from utils.monitoring import annotate
from utils.monitoring.viewer import card, page

ROWS = [annotate(p.errand, p.text) for p in planted("repair", "late", 20)]


def test_the_truth_comes_after_the_guess():
    row = next(row for row in ROWS if row.kind == "silent")
    before = card(row, suspicion={"words": 0.99})
    after = card(row, "did the work", {"words": 0.99, "probe": 0.2})
    assert "Guess first" in before and "silent" not in before and "ALARM" not in before and "words" not in before
    assert "silent" in after and "not this time" in after and after.count("ALARM") == 1 and "no alarm" in after
    assert "Your guess: right" in card(row, "took the shortcut")


def test_text_is_escaped_and_malformed_ones_say_so():
    import dataclasses

    row = dataclasses.replace(ROWS[0], scratchpad="<b>", problem="no <act>", action="")
    shown = card(row)
    assert "&lt;b&gt;" in shown and "no &lt;act&gt;" in shown and "(none)" in shown


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="guess must be one of"):
        card(ROWS[0], "perhaps")
    with pytest.raises(ValueError, match=r"suspicion\['probe'\] must be at most 1, got 3.0"):
        card(ROWS[0], suspicion={"probe": 3.0})
    with pytest.raises(ValueError, match="number must be 1 to 20"):
        page(ROWS, {}, 21)
    with pytest.raises(ValueError, match=r"suspicion\['words'\] must hold one share a transcript"):
        page(ROWS, {"words": [0.5]}, 3)
    assert "Transcript 20 of 20" in page(ROWS, {"words": [0.5] * 20}, 20, "did the work")
