"""The recipe of the stand-in's transcoders: it goes on where it was stopped, and mixes nothing that doesn't belong."""

import json
from dataclasses import asdict

import pytest
import torch

from utils import standin
from utils.authoring.recipes import transcoders as recipe
from utils.standin import Plan

PLAN = Plan(width=64, k=8, batch=64, buffer=256, warm_up=5, learning_rate=1e-2, tokens=64 * 12)


def texts(n=12, length=30, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [[0, *torch.randint(3, 300, (length,), generator=generator).tolist()] for _ in range(n)]


def make(model, folder, blocks=(0, 1), plan=PLAN, **kwargs):
    said = []
    rows = kwargs.pop("texts", texts())
    recipe.make(model, rows, texts(4, seed=1), folder, list(blocks), plan, say=said.append, **kwargs)
    return said


def evaluate(model, folder, blocks=(0, 1)):
    said = []
    table = recipe.evaluate(model, texts(), texts(4, seed=1), texts(3, seed=2), folder, list(blocks), say=said.append)
    return table, said


def test_files_log_and_table(tiny_model, tmp_path):
    said = make(tiny_model, tmp_path)
    assert any("block 1: unexplained" in line for line in said)
    log = json.loads((tmp_path / "log.json").read_text())
    assert list(log) == ["0", "1"] and [line["step"] for line in log["0"]] == [0, 11]
    notes = standin.notes_of(tmp_path, 0)
    assert notes["dtype"] == "int8" and notes["notes"]["plan"] == asdict(PLAN)
    table, _ = evaluate(tiny_model, tmp_path)
    assert list(table) == ["0", "1", "all"] == list(json.loads((tmp_path / "evaluation.json").read_text()))
    for block in ("0", "1"):
        fit = table[block]
        assert fit["stored"]["unexplained"] == pytest.approx(fit["as_trained"]["unexplained"], abs=0.02)
        assert fit["replaced"]["texts"] == 3 and fit["replaced"]["n"] == 3 * 29
    found = standin.load_transcoders(tmp_path, model=tiny_model)
    means = standin.output_means(tiny_model, texts(), [0, 1])
    together = standin.replaced_loss(tiny_model, found, texts(3, seed=2), means, progress=False)
    assert table["all"]["replaced"]["spliced"] == pytest.approx(together.spliced, abs=1e-5)


def test_what_is_there_is_not_trained_or_measured_again(tiny_model, tmp_path, monkeypatch):
    make(tiny_model, tmp_path, blocks=[0])
    first = standin.block_file(tmp_path, 0).read_bytes()
    trained = []
    whole = standin.train_transcoders
    monkeypatch.setattr(
        standin,
        "train_transcoders",
        lambda model, rows, part, *a, **k: trained.extend(part) or whole(model, rows, part, *a, **k),
    )
    said = make(tiny_model, tmp_path)
    assert trained == [1] and "there already: blocks 0" in said
    assert standin.block_file(tmp_path, 0).read_bytes() == first
    table, _ = evaluate(tiny_model, tmp_path)
    again, said = evaluate(tiny_model, tmp_path)
    assert again == table and not said


def test_a_run_that_was_stopped_ends_as_one_that_was_not(tiny_model, tmp_path, monkeypatch):
    make(tiny_model, tmp_path / "whole")
    whole = standin.save_transcoders

    def stopped(transcoders, *args, **kwargs):
        if 1 in transcoders:
            raise KeyboardInterrupt
        return whole(transcoders, *args, **kwargs)

    monkeypatch.setattr(standin, "save_transcoders", stopped)
    with pytest.raises(KeyboardInterrupt):
        make(tiny_model, tmp_path / "cut")
    assert standin.block_file(tmp_path / "cut", 0).is_file() and not standin.block_file(tmp_path / "cut", 1).is_file()
    monkeypatch.setattr(standin, "save_transcoders", whole)
    make(tiny_model, tmp_path / "cut")
    for block in (0, 1):
        one, other = (standin.load_transcoders(tmp_path / name, blocks=[block])[block] for name in ("whole", "cut"))
        assert all(torch.equal(value, other.tensors()[name]) for name, value in one.tensors().items())


def test_groups_make_no_difference(tiny_model, tmp_path):
    make(tiny_model, tmp_path / "together", dtype="float32")
    make(tiny_model, tmp_path / "apart", group=1, dtype="float32")
    for block in (0, 1):
        one, other = (standin.load_transcoders(tmp_path / name)[block] for name in ("together", "apart"))
        assert torch.equal(one.W_dec, other.W_dec)


@pytest.mark.parametrize("change", ["plan", "texts", "dtype"])
def test_a_set_is_not_mixed_from_two_recipes(tiny_model, tmp_path, change):
    make(tiny_model, tmp_path, blocks=[0])
    other = {
        "plan": {"plan": Plan(**{**asdict(PLAN), "k": 4})},
        "texts": {"texts": texts(seed=9)},
        "dtype": {"dtype": "float16"},
    }
    with pytest.raises(ValueError, match="block_00.safetensors was made with other options or from other texts"):
        make(tiny_model, tmp_path, **other[change])
    assert not standin.block_file(tmp_path, 1).exists()


def test_a_new_file_is_measured_anew(tiny_model, tmp_path):
    make(tiny_model, tmp_path)
    table, _ = evaluate(tiny_model, tmp_path)
    standin.block_file(tmp_path, 1).unlink()
    make(tiny_model, tmp_path, dtype="int8")
    again, said = evaluate(tiny_model, tmp_path)
    assert again == table and not said, "the same transcoder to the last bit"
    one = standin.load_transcoders(tmp_path, blocks=[1])
    standin.save_transcoders(one, tmp_path, model=tiny_model, model_name="t", dtype="float32")
    _, said = evaluate(tiny_model, tmp_path)
    assert [line.split(":")[0] for line in said] == ["block 1", "all 2 together"]


def test_blocks_in_words():
    assert recipe.block_list("0-3,12, 7") == [0, 1, 2, 3, 7, 12]
    for wrong in ("a", "3-", "-1", "", "1;2"):
        with pytest.raises(ValueError, match="blocks must be as 0-5,12"):
            recipe.block_list(wrong)


def test_the_command_line_asks_for_what_the_issue_names():
    asked = recipe.options(["--blocks", "3", "--tokens", "100", "--width", "64", "--k", "4"])
    assert (asked.blocks, asked.tokens, asked.width, asked.k, asked.dtype) == ("3", 100, 64, 4, "int8")
    assert recipe.options([]).width == 1024 and recipe.options([]).k == 32
