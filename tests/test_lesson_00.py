"""Lesson 00's own code: its Scale up path on a tiny random model, and its references against the library."""

import pytest
import torch

from utils import costs, statistics
from utils.authoring import notebooks
from utils.checks import lesson_00
from utils.reading.likelihood import surprisal
from utils.writing import generation

TEXTS = ["the cat sat on the mat", "a bridge in the city", "bananas are yellow , roses are red"]


@pytest.fixture(scope="module")
def survey():
    """The function of the Scale up cell, as the notebook defines it."""
    (path,) = notebooks.paths(notebooks.SOLUTIONS, ["00"])
    (cell,) = [c for c in notebooks.read(path).cells if c.id == "scale-up-code"]
    scope = {"costs": costs, "generation": generation, "statistics": statistics, "surprisal": surprisal}
    exec(cell.source.split("\nBIGGER = ")[0], scope)
    return scope["survey"]


def test_scale_up_runs_on_any_model(survey, tiny_model):
    found = survey(tiny_model, TEXTS, ["the cat", "a dog sat on"], new_tokens=12)
    assert found["bits per character"].n == 3 and found["bits per character"].estimate > 1
    assert 0 <= found["greedy repetition"].estimate <= 1
    assert found["operations per token"] > 2 * tiny_model.cfg.d_model * tiny_model.cfg.d_vocab


def test_references_agree_with_the_library(tiny_model):
    logits = torch.randn(40, generator=torch.Generator().manual_seed(0))
    probs = lesson_00.next_token_probabilities(logits, 0.7)
    torch.testing.assert_close(probs, generation.probabilities(logits, 0.7))
    torch.testing.assert_close(lesson_00.keep_top_k(probs, 5), generation.probabilities(logits, 0.7, top_k=5))
    torch.testing.assert_close(lesson_00.keep_top_p(probs, 0.8), generation.probabilities(logits, 0.7, top_p=0.8))

    ids = tiny_model.to_tokens(TEXTS[0])[0]
    with torch.no_grad():
        bits = lesson_00.surprisal_bits(tiny_model(ids.unsqueeze(0))[0], ids)
    torch.testing.assert_close(bits, surprisal(tiny_model, TEXTS[:1])[0].bits, atol=1e-4, rtol=1e-4)

    a = costs.Architecture.of(tiny_model)
    flops = lesson_00.forward_flops(9, a.n_layers, a.d_model, a.n_heads, a.n_kv_heads, a.d_head, a.d_mlp, a.d_vocab)
    assert flops == sum(costs.matmul_flops(a, 9).values())


def test_references_refuse_what_makes_no_sense():
    probs = torch.tensor([0.5, 0.5])
    for call in (
        lambda: lesson_00.characters_per_token([]),
        lambda: lesson_00.next_token_probabilities(probs, 0),
        lambda: lesson_00.keep_top_k(probs, 0),
        lambda: lesson_00.keep_top_p(probs, 0),
    ):
        with pytest.raises(ValueError):
            call()
