"""Edge attribution: the edges of a part add up to it, and where TransformerLens runs it finds the same."""

from __future__ import annotations

import pytest
import torch
from conftest import ARCHITECTURES, save_tiny_model

from utils import models, tracing
from utils.tracing.edges import Part

CLEAN = torch.tensor([0, 40, 51, 62, 73, 84, 95])
CORRUPT = torch.tensor([0, 40, 52, 60, 73, 84, 95])
PAIR = tracing.Pair(CLEAN, CORRUPT, answer=10, other=200, subject=(2, 4), name="a / b")


@pytest.mark.parametrize("architecture", [name for name in ARCHITECTURES if name != "gemma2"])
def test_the_edges_that_leave_a_part_add_up_to_its_own_estimate(architecture, tmp_path):
    """Grouped-query attention (qwen2, llama) and parallel blocks (gpt_neox) among them."""
    model = models.load_model(save_tiny_model(tmp_path, architecture), device="cpu")
    edges = tracing.edge_attribution(model, PAIR)
    nodes = tracing.patching_parts(model, PAIR, ("resid", "head", "mlp"))
    for writer, row in zip(edges.writers, edges.scores):
        if writer.kind == "embed":
            expected = nodes["resid"].estimate[0].sum()
        elif writer.kind == "head":
            expected = nodes["head"].estimate[writer.layer, :, writer.head].sum()
        else:
            expected = nodes["mlp"].estimate[writer.layer].sum()
        assert float(row.nansum()) == pytest.approx(float(expected), abs=1e-5), writer
    first = edges.readers.index(Part("v", 0, 0))
    assert torch.isnan(edges.scores[1:, first]).all() and not torch.isnan(edges.scores[0]).any()
    again = tracing.edge_attribution(model, [PAIR, PAIR.swapped()])
    torch.testing.assert_close(again[0].scores, edges.scores, equal_nan=True)


def theirs(model):
    from transformer_lens.tools.analysis import attribution_patching as patching

    found = patching.attribution_patch(
        model,
        CLEAN[None],
        CORRUPT[None],
        lambda logits: logits[0, -1, 10] - logits[0, -1, 200],
        patching.EdgeAttributionConfig(granularity="edge"),
    )
    totals: dict = {}
    kinds = {"attn_head_out": "head", "mlp_out": "mlp", "embed": "embed", "mlp_in": "mlp", "logits": "logits"}
    for (writer, reader), score in found.edge_scores.items():
        ends = []
        for node in (writer, reader):
            kind = kinds.get(node.kind, node.kind[0])
            layer = -1 if kind == "embed" else model.cfg.n_layers if kind == "logits" else node.layer
            ends.append(Part(kind, layer, node.head or 0))
        totals[tuple(ends)] = totals.get(tuple(ends), 0.0) + score
    return totals


@pytest.mark.parametrize("architecture", ["gpt2", "gpt_neox"])
def test_where_transformer_lens_runs_it_finds_the_same(architecture, tmp_path):
    model = models.load_model(save_tiny_model(tmp_path, architecture), device="cpu")
    ours = tracing.edge_attribution(model, PAIR)
    model.requires_grad_(True)  # theirs needs a weight that wants a gradient
    expected = theirs(model)
    found = {
        (writer, reader): float(ours.scores[w, r])
        for w, writer in enumerate(ours.writers)
        for r, reader in enumerate(ours.readers)
        if not torch.isnan(ours.scores[w, r])
    }
    assert found.keys() == expected.keys()
    assert found == pytest.approx(expected, abs=1e-5)


def test_they_refuse_shared_keys_and_gemma_is_refused_here(tmp_path):
    llama = models.load_model(save_tiny_model(tmp_path / "llama", "llama"), device="cpu")
    with pytest.raises(ValueError, match="GQA"):
        theirs(llama)
    gemma = models.load_model(save_tiny_model(tmp_path / "gemma2", "gemma2"), device="cpu")
    with pytest.raises(ValueError, match="normalises it first"):
        tracing.edge_attribution(gemma, PAIR)
    with pytest.raises(ValueError, match="at least one pair"):
        tracing.edge_attribution(llama, [])
