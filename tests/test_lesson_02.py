"""Lesson 02: the "Scale up" code runs on another model than the specimen."""

from __future__ import annotations

from functools import partial

import nbformat
import pytest
import torch
from conftest import ROOT, save_tiny_model

from utils import models, tracing


def scale_up_cell():
    notebook = nbformat.read(ROOT / "solutions" / "02_tracing.ipynb", as_version=4)
    return next(cell.source for cell in notebook.cells if cell.id == "scale-up")


@pytest.mark.parametrize("architecture", ["gpt2", "gpt_neox", "llama"])
def test_the_scale_up_code_runs_on_a_tiny_model(architecture, tmp_path, monkeypatch):
    source = scale_up_cell()
    monkeypatch.setattr(
        tracing.patching, "recovery", partial(tracing.recovery, minimum=1e-5)
    )  # a random model hardly prefers anything
    names = {"tracing": tracing}
    exec(source, names)

    model = models.load_model(save_tiny_model(tmp_path, architecture), device="cpu")
    pair = tracing.Pair(
        torch.tensor([0, 40, 51, 62, 73]), torch.tensor([0, 40, 52, 60, 73]), answer=10, other=200, subject=(2, 4)
    )
    found = names["trace_model"](model, [pair, pair.swapped()])
    assert found.shape == (model.cfg.n_layers, 2)
    assert float(found[0, 0]) == pytest.approx(1, abs=1e-2)  # the whole name at block 0 is the clean prompt
    assert float(found[0, 1]) == pytest.approx(0, abs=1e-2)  # the last position knows nothing yet
