"""Ablations: what is taken out is what was asked for, and nothing else; controls are matched in what they should be."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from utils.interventions import ablations
from utils.reading.likelihood import token_losses
from utils.reading.recording import record_named


@pytest.fixture()
def tokens():
    return torch.randint(3, 300, (2, 9), generator=torch.Generator().manual_seed(0))


def test_ablating_a_head_takes_its_contribution_out_and_no_other(any_model, tokens):
    means = ablations.head_means(any_model, tokens)
    name = "blocks.1.attn.hook_z"
    original = record_named(any_model, tokens, [name])[name]
    for given in (None, means):
        operated = record_named(any_model, tokens, [name], ablations.ablate_heads([(1, 2), (1, 0)], given))
        expected = original.clone()
        expected[:, :, [2, 0]] = 0.0 if given is None else means[1, [2, 0]]
        assert torch.allclose(operated[name], expected, atol=1e-6)
    assert torch.allclose(means[1], original[:, 1:].mean((0, 1)), atol=1e-6)


def test_zeroing_every_head_equals_zeroing_the_attention(tiny_model, tokens):
    # Llama's output projection has no bias, so a block whose heads are all zero adds exactly nothing.
    heads = token_losses(tiny_model, tokens, ablations.ablate_heads([(1, head) for head in range(4)]))

    def zero(value, hook):
        return torch.zeros_like(value)

    block = token_losses(tiny_model, tokens, [("blocks.1.hook_attn_out", zero)])
    assert torch.allclose(heads, block, atol=1e-5)


def test_ablate_outputs_spares_the_start_token(any_model, tokens):
    name = "blocks.0.hook_mlp_out"
    d_model = any_model.cfg.d_model
    seen = {}
    hooks = ablations.ablate_outputs([name], {name: torch.arange(float(d_model))})
    original = record_named(any_model, tokens, [name])[name]
    any_model.run_with_hooks(
        tokens, fwd_hooks=[*hooks, (name, lambda value, hook: seen.update(v=value.clone()))], return_type=None
    )
    assert torch.equal(seen["v"][:, 0], original[:, 0])
    assert torch.equal(seen["v"][:, 1:], torch.arange(float(d_model)).expand(2, 8, -1))
    with pytest.raises(ValueError, match="means must hold one mean a name; missing"):
        ablations.ablate_outputs([name], {})
    with pytest.raises(ValueError, match="names must hold"):
        ablations.ablate_outputs([])


def test_a_push_is_as_long_as_what_the_lesion_takes(any_model, tokens):
    name = "blocks.1.hook_attn_out"
    means = ablations.output_means(any_model, [name], [tokens, tokens[:1, :4]])
    original = record_named(any_model, tokens, [name])[name]
    short = record_named(any_model, tokens[:1, :4], [name])[name]
    expected = torch.cat([original[:, 1:].flatten(0, 1), short[:, 1:].flatten(0, 1)]).mean(0)
    assert torch.allclose(means[name], expected, atol=1e-6)
    pushed = record_named(any_model, tokens, [name], ablations.push_outputs([name], means, seed=1))[name]
    assert torch.equal(pushed[:, 0], original[:, 0])
    away, added = original[:, 1:] - means[name], pushed[:, 1:] - original[:, 1:]
    assert torch.allclose(added.norm(dim=-1), away.norm(dim=-1), rtol=1e-3)
    again = record_named(any_model, tokens, [name], ablations.push_outputs([name], means, seed=1))[name]
    other = record_named(any_model, tokens, [name], ablations.push_outputs([name], means, seed=2))[name]
    assert torch.equal(pushed, again) and not torch.allclose(pushed, other)
    with pytest.raises(ValueError, match="means must hold"):
        ablations.push_outputs([name], {})
    with pytest.raises(ValueError, match="batches must hold"):
        ablations.output_means(any_model, [name], [])


def test_matched_heads_match_the_layers_and_avoid_the_heads():
    chosen = [(3, 0), (3, 4), (7, 1)]
    for seed in range(30):
        drawn = ablations.matched_heads(chosen, 9, exclude=[(3, 5)], seed=seed)
        assert sorted(layer for layer, _ in drawn) == [3, 3, 7]
        assert len(set(drawn)) == 3 and not {*drawn} & {*chosen, (3, 5)}
    with pytest.raises(ValueError, match="layer 3 has 1 other heads"):
        ablations.matched_heads([(3, 0), (3, 1)], 3)


def test_bad_heads_are_named(tiny_model, tokens):
    with pytest.raises(ValueError, match="heads must hold"):
        ablations.ablate_heads([])
    with pytest.raises(ValueError, match=r"heads\[0\]\[1\] must be at least 0, got -1"):
        ablations.ablate_heads([(0, -1)])
    with pytest.raises(ValueError, match="are not among"):
        ablations.ablate_heads([(5, 0)], torch.zeros(2, 4, 8))
    with pytest.raises(ValueError, match="layer 0 has heads 0 to 3"):
        token_losses(tiny_model, tokens, ablations.ablate_heads([(0, 4)]))


def test_means_of_one_position_are_refused(tiny_model, tokens):
    """Position 0 is left out of every mean, so one position leaves nothing: its mean was NaN."""
    with pytest.raises(ValueError, match="tokens must have at least 2 positions"):
        ablations.head_means(tiny_model, tokens[:, :1])
    with pytest.raises(ValueError, match=r"batches\[1\] must have at least 2 positions"):
        ablations.output_means(tiny_model, ["blocks.0.hook_mlp_out"], [tokens, tokens[:, :1]])


def test_means_may_be_numpy_or_lists(tiny_model, tokens):
    name = "blocks.0.hook_mlp_out"
    means = ablations.output_means(tiny_model, [name], [tokens])
    asked = token_losses(tiny_model, tokens, ablations.ablate_outputs([name], means))
    for other in (means[name].numpy(), means[name].tolist()):
        assert torch.allclose(token_losses(tiny_model, tokens, ablations.ablate_outputs([name], {name: other})), asked)
    heads = np.array([[1, 0], [0, 2]])
    assert torch.equal(
        token_losses(tiny_model, tokens, ablations.ablate_heads(heads)),
        token_losses(tiny_model, tokens, ablations.ablate_heads([(1, 0), (0, 2)])),
    )
    with pytest.raises(ValueError, match="means.* holds 1 NaN"):
        ablations.ablate_outputs([name], {name: torch.full((32,), float("nan")).index_fill_(0, torch.arange(31), 0.0)})
