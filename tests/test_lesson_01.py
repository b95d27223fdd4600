"""What lesson 01 relies on: its passages, and its "Scale up" path on a tiny random model."""

from __future__ import annotations

import pytest
import torch

from utils import anatomy, datasets, models
from utils.checks import lesson_01
from utils.datasets import registers
from utils.interventions import ablations
from utils.reading.likelihood import token_losses


def test_passages_and_openings_are_what_the_card_says():
    kinds = registers.registers()
    assert list(kinds) == ["prose", "Spanish", "code"]
    assert all(len(texts) == len(set(texts)) == 8 for texts in kinds.values())
    assert len(registers.openings()) == len(set(registers.openings())) == 40
    assert datasets.card("registers").n == "24 passages, 40 openings"


@pytest.mark.specimen
def test_passages_are_long_enough_for_the_specimen(specimen):
    for texts in registers.registers().values():
        assert all(len(specimen.to_tokens(text)[0]) >= 19 for text in texts)


def test_the_references_agree_with_the_library(tiny_model):
    tokens = torch.randint(3, 300, (2, 9))
    parts = anatomy.residual_components(tiny_model, tokens)
    for b in range(2):
        rebuilt = lesson_01.add_up(parts.values[0, b], parts.values[1::2, b], parts.values[2::2, b])
        assert torch.allclose(rebuilt, anatomy.residual_stream(tiny_model, tokens)[:, b], atol=1e-5)
    logits = lesson_01.read_early(parts.final, tiny_model.ln_final.weight, tiny_model.W_U, tiny_model.cfg.eps)
    assert torch.allclose(logits, tiny_model(tokens), atol=1e-4)
    patterns = torch.rand(4, 9, 9)
    assert torch.allclose(lesson_01.induction_score(patterns, 4), anatomy.offset_score(patterns, 3, 5))
    name = "blocks.1.attn.hook_z"
    mean = ablations.head_means(tiny_model, tokens)
    mine = token_losses(tiny_model, tokens, [(name, lesson_01.silence(2, mean[1, 2]))])
    assert torch.allclose(mine, token_losses(tiny_model, tokens, ablations.ablate_heads([(1, 2)], mean)))


def test_scale_up_runs_on_any_model(tiny_folder):
    """The code of the section, with a folder in place of a Hub name."""
    model = models.load_model(tiny_folder)
    tokens = model.to_tokens("the cat sat on the mat")
    assert anatomy.residual_components(model, tokens).gap() < 1e-4
    start = model.tokenizer.bos_token_id
    rows = anatomy.repeated_tokens(4, 10, low=10, high=model.cfg.d_vocab, start=start, seed=0)
    scores = anatomy.head_scores(model, rows, 10)
    strongest = scores.induction.mean(-1).flatten().topk(4)
    assert strongest.values.shape == (4,) and 0 <= strongest.values.min() <= strongest.values.max() <= 1
    lens = anatomy.logit_lens(model, tokens)
    assert lens.shape == (model.cfg.n_layers + 1, 1, model.cfg.d_vocab)
