"""Hiding the subject from chosen heads: the same as cutting a whole run by hand."""

from __future__ import annotations

import pytest
import torch
from conftest import save_tiny_model

from utils import tracing

CLEAN = torch.tensor([0, 40, 51, 62, 73, 84, 95])
CORRUPT = torch.tensor([0, 40, 52, 60, 73, 84, 95])
PAIR = tracing.Pair(CLEAN, CORRUPT, answer=10, other=200, subject=(2, 4), name="a / b")
SHORT = tracing.Pair(CLEAN[:5], CORRUPT[:5], answer=7, other=90, subject=(2, 4))
CUTS = [[], [(0, 0), (0, 1), (1, 0)], [(1, 1)], [(0, 1)]]


@pytest.fixture(scope="module", params=["llama", "qwen2"])
def model(request, tmp_path_factory):
    from utils import models

    return models.load_model(save_tiny_model(tmp_path_factory.mktemp("hiding"), request.param), device="cpu")


def by_hand(model, pair, cut):
    start, stop = pair.subject

    def blind(heads):
        def hook_fn(pattern, hook):
            pattern = pattern.clone()
            pattern[:, heads, stop:, start:stop] = 0
            return pattern / pattern.sum(-1, keepdim=True)

        return hook_fn

    hooks = [
        (f"blocks.{block}.attn.hook_pattern", blind([head for at, head in cut if at == block]))
        for block in {block for block, _ in cut}
    ]
    logits = model.run_with_hooks(torch.stack([pair.clean, pair.corrupt]), fwd_hooks=hooks)[:, -1]
    return logits[:, pair.answer] - logits[:, pair.other], logits.argmax(-1)


def test_many_pairs_and_cuts_are_those_of_one_at_a_time(model):
    pairs = [PAIR, SHORT, PAIR.swapped()]
    found = tracing.hide_subject(model, pairs, CUTS, batch_size=2)
    assert found.difference.shape == found.top.shape == (3, len(CUTS), 2)
    for i, pair in enumerate(pairs):
        for c, cut in enumerate(CUTS):
            difference, top = by_hand(model, pair, cut)
            torch.testing.assert_close(found.difference[i, c], difference, atol=1e-5, rtol=1e-4)
            assert found.top[i, c].tolist() == top.tolist()
    ends = tracing.endpoints(model, pairs)
    torch.testing.assert_close(found.difference[:, 0], ends, atol=1e-5, rtol=1e-4)


def test_the_cuts_change_something(model):
    found = tracing.hide_subject(model, [PAIR], CUTS).difference[0]
    assert all(float((found[c] - found[0]).abs().max()) > 1e-6 for c in range(1, len(CUTS)))


@pytest.mark.parametrize(
    ("cuts", "words"), [([], "at least one list"), ([[(0, 99)]], "heads 0 to"), ([[(99, 0)]], "blocks 0 to")]
)
def test_what_cannot_be_cut_is_refused(model, cuts, words):
    with pytest.raises(ValueError, match=words):
        tracing.hide_subject(model, [PAIR], cuts)
