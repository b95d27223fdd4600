"""The word games: prompts as they are said to be, and one token a word for the specimen."""

from __future__ import annotations

import pytest

from utils import datasets
from utils.datasets import fewshot


def test_a_prompt_never_holds_its_own_pair():
    for game in fewshot.GAMES:
        for shuffled in (False, True):
            for one in datasets.few_shot(game, 12, shuffled=shuffled):
                lines = one.prompt.split("\n")
                assert len(lines) == 6 and lines[-1] == f"{one.query}:"
                assert not any(line.startswith(f"{one.query}:") for line in lines[:-1])


def test_shuffled_examples_are_all_wrong():
    truth = dict(line.split(": ") for one in datasets.few_shot("plural", 29) for line in one.prompt.split("\n")[:-1])
    for one in datasets.few_shot("plural", 10, shuffled=True):
        assert all(truth[line.split(": ")[0]] != line.split(": ")[1] for line in one.prompt.split("\n")[:-1])


def test_bad_games_are_named():
    with pytest.raises(ValueError, match="n must be at most 30"):
        datasets.few_shot("plural", 31)
    with pytest.raises(ValueError, match="shots must be from 2"):
        datasets.few_shot("plural", 3, shots=1)
    with pytest.raises(ValueError, match="game must be one of"):
        datasets.few_shot("chess", 3)


@pytest.mark.specimen
def test_all_prompts_of_the_specimen_have_one_length(specimen):
    games = [one for game in fewshot.GAMES for one in datasets.few_shot(game, 29)]
    assert {len(specimen.to_tokens(one.prompt)[0]) for one in games} == {23}
    assert all(len(specimen.tokenizer(one.answer, add_special_tokens=False)["input_ids"]) == 1 for one in games)
