"""Every wrong answer of the bank is rejected with its own message, every right one passes."""

import pytest

from utils import checks
from utils.authoring.notebooks import bank


@pytest.mark.parametrize("lesson", checks.lessons())
def test_bank(lesson):
    result = bank.tally(lesson)
    assert not result.failures, "\n".join(result.failures)
    assert result.wrong_total >= bank.MIN_WRONG * len(checks.exercises(lesson))


@pytest.mark.parametrize("lesson", checks.lessons())
def test_each_mistake_has_its_own_words(lesson):
    for number, answers in bank.load(lesson).WRONG.items():
        words = [words for _, _, words in answers]
        assert all(len(w) >= 8 for w in words), f"{number}: name the message, not a syllable of it"
        assert len(set(words)) == len(words), f"{number}: two mistakes share one message"


def test_a_missing_bank_is_named():
    with pytest.raises(ValueError, match=r"tests/bank/lesson_98.py is missing"):
        bank.load("98")
