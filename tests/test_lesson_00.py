"""Lesson 00's own code: its Scale up path on a tiny random model, and its references against the library."""

import numpy as np
import pytest
import torch

from utils import checks, datasets, statistics
from utils.authoring import notebooks
from utils.checks import lesson_00
from utils.progress import tqdm
from utils.reading.batches import padded
from utils.reading.likelihood import surprisal
from utils.reading.tokens import text_tokens
from utils.writing import generation

TEXTS = ["the cat sat on the mat", "a bridge in the city", "bananas are yellow , roses are red"]


@pytest.fixture(scope="module")
def lesson():
    """The functions that the notebook defines for its experiments, with the course's own answers to the exercises."""
    (path,) = notebooks.paths(notebooks.SOLUTIONS, ["00"])
    cells = {cell.id: cell.source for cell in notebooks.read(path).cells}
    scope = {"torch": torch, "statistics": statistics, "tqdm": tqdm, "padded": padded, "text_tokens": text_tokens}
    scope |= {"model": None, "surprisal_bits": lesson_00.surprisal_bits}
    scope |= {"next_token_probabilities": lesson_00.next_token_probabilities}
    exec(cells["next-entropy"].split("\ndial = ")[0], scope)
    exec(cells["surprisal-strip"].split("\nrow = ")[0], scope)
    exec(cells["scale-up-code"].split("\nBIGGER = ")[0], scope)
    return scope


def test_scale_up_runs_on_any_model(lesson, tiny_model):
    found = lesson["survey"](tiny_model, TEXTS)
    assert found["bits per character"].n == 3 and found["bits per character"].estimate > 1
    assert -1 < found["promised minus kept"].estimate < 1


def test_reading_is_the_library_s_whatever_runs_beside(lesson, tiny_model):
    rows = [text_tokens(tiny_model, text)[0] for text in [*TEXTS, *TEXTS[:2]]]
    bits, expected, sure, right = lesson["read"](rows, tiny_model, temperatures=(1.0, 2.0))
    for mine, theirs in zip(bits, surprisal(tiny_model, [*TEXTS, *TEXTS[:2]])):
        torch.testing.assert_close(mine, theirs.bits, atol=1e-4, rtol=1e-4)
    assert [tuple(one.shape) for one in sure] == [(len(row) - 1, 2) for row in rows]
    assert all(bool((one[:, 0] >= one[:, 1]).all()) for one in sure), "a higher temperature is never surer"
    assert all(float(one.min()) >= 0 for one in expected) and [len(one) for one in expected] == [len(r) for r in right]
    assert [len(one) for one in right] == [len(row) - 1 for row in rows]


def test_references_agree_with_the_library(tiny_model):
    logits = torch.randn(40, generator=torch.Generator().manual_seed(0))
    probs = lesson_00.next_token_probabilities(logits, 0.7)
    torch.testing.assert_close(probs, generation.probabilities(logits, 0.7))
    torch.testing.assert_close(lesson_00.keep_top_p(probs, 0.8), generation.probabilities(logits, 0.7, top_p=0.8))


def test_the_average_is_not_enough_for_the_design():
    texts = datasets.held_out_surprisals()
    for limit in np.arange(2, 8, 0.05):
        verdict = checks.mark(checks.find("0.6"), lambda bits, limit=limit: bool(bits.mean() < limit))
        assert verdict.status == checks.NOT_YET
    assert len(texts) == 50 and {len(side) for row in texts for side in row[1:]} == {40}


def test_people_s_lines_and_the_specimen_s_are_of_different_pages_than_the_lesson_s():
    first, second = datasets.tales(), datasets.tales(which=1)
    assert not {row.text for row in first} & {row.text for row in second}
    assert len({row.work for row in first}) == len(first) >= 32


def test_references_refuse_what_makes_no_sense():
    probs = torch.tensor([0.5, 0.5])
    for call in (lambda: lesson_00.next_token_probabilities(probs, 0), lambda: lesson_00.keep_top_p(probs, 0)):
        with pytest.raises(ValueError):
            call()
