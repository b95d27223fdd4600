"""Adapters: on and off without a trace, equal to merged weights, and clear about what does not fit."""

import json

import pytest
import torch
from safetensors.torch import save_file

from utils import organisms
from utils.organisms import Adapter, AdapterError, LowRank, attach, load_adapter, read_adapter, save_adapter
from utils.organisms.adapters import FORMAT, linear_at

TEXT = "bananas are yellow , roses are red"
PLACES = {"blocks.0.attn.q": (32, 32), "blocks.1.attn.v": (16, 32), "blocks.1.mlp.out": (32, 64)}


def make(model, rank=2, scale=0.5, places=PLACES, seed=0):
    generator = torch.Generator().manual_seed(seed)
    parts = {
        where: LowRank(torch.randn(rank, d_in, generator=generator), torch.randn(d_out, rank, generator=generator))
        for where, (d_out, d_in) in places.items()
    }
    return Adapter(model.cfg.model_name, parts, scale, note="a test")


@torch.no_grad()
def logits(model):
    return model(TEXT)


def test_the_organism_computes_with_merged_weights(tiny_model, tiny_folder):
    from utils.models import load_model

    adapter = make(tiny_model)
    merged = load_model(tiny_folder, device="cpu")
    for where, part in adapter.parts.items():
        linear = linear_at(merged, where)
        linear.weight.data = linear.weight.data + adapter.scale * (part.b @ part.a)
    before = logits(tiny_model)
    with attach(tiny_model, adapter) as worn:
        assert worn.on
        torch.testing.assert_close(logits(tiny_model), logits(merged))
        assert not torch.allclose(logits(tiny_model), before)
    assert torch.equal(logits(tiny_model), before) and not worn.on


def test_hooks_and_caches_see_the_organism(tiny_model):
    name = "blocks.1.hook_resid_post"
    _, before = tiny_model.run_with_cache(TEXT, names_filter=[name])
    with attach(tiny_model, make(tiny_model)):
        _, during = tiny_model.run_with_cache(TEXT, names_filter=[name])
    assert not torch.allclose(before[name], during[name])


def test_the_activation_cache_tells_organism_and_specimen_apart(tiny_model):
    from utils.reading.activations import collect

    def read():
        return collect(tiny_model, [TEXT], ["blocks.1.hook_resid_post"], progress=False)["blocks.1.hook_resid_post"]

    before = read().clone()
    with attach(tiny_model, make(tiny_model)):
        assert not torch.allclose(read(), before)
    assert torch.equal(read(), before)


def test_weights_come_back_bit_for_bit_even_after_an_error(tiny_model):
    before = {k: v.clone() for k, v in tiny_model.state_dict().items()}
    with pytest.raises(RuntimeError), attach(tiny_model, make(tiny_model)):
        raise RuntimeError("in the middle of a lesson")
    assert all(torch.equal(v, before[k]) for k, v in tiny_model.state_dict().items())


def test_strength_is_a_dose(tiny_model):
    where = "blocks.0.attn.q"
    linear = linear_at(tiny_model, where)
    adapter, plain = make(tiny_model), linear.weight.clone()
    step = adapter.scale * adapter.parts[where].product()
    for strength in (0, 0.5, -1.0):
        with attach(tiny_model, adapter, strength=strength):
            torch.testing.assert_close(linear.weight, plain + strength * step)
    for bad in (float("nan"), "1", True):
        with pytest.raises(ValueError, match="strength must be a finite number"):
            attach(tiny_model, adapter, strength=bad)


def test_written_and_read_again(tiny_model, tmp_path):
    adapter = make(tiny_model)
    path = save_adapter(tmp_path / "a.safetensors", adapter)
    again = read_adapter(path)
    assert (again.base, again.scale, again.note) == (adapter.base, adapter.scale, adapter.note)
    assert set(again.parts) == set(adapter.parts) and again.parameters == adapter.parameters
    assert again.parts["blocks.0.attn.q"].rank == 2
    with load_adapter(tiny_model, path), pytest.raises(AdapterError, match="wears an adapter already"):
        attach(tiny_model, adapter)
    worn = load_adapter(tiny_model, str(path))
    worn.remove()
    worn.remove()


def test_another_models_adapter_is_refused_and_changes_nothing(tiny_model):
    before = logits(tiny_model)
    adapter = make(tiny_model)
    with pytest.raises(AdapterError, match="was trained on 'another'"):
        attach(tiny_model, Adapter("another", adapter.parts))
    wrong = {**PLACES, "blocks.1.mlp.out": (32, 48)}
    with pytest.raises(AdapterError, match=r"blocks.1.mlp.out: .* shape \(32, 48\), this model's has \(32, 64\)"):
        attach(tiny_model, make(tiny_model, places=wrong))
    for where, message in (("blocks.7.attn.q", "no 'blocks.7.attn.q'"), ("blocks.0.mlp", "plain linear layers")):
        with pytest.raises(AdapterError, match=message):
            attach(tiny_model, make(tiny_model, places={"blocks.0.attn.q": (32, 32), where: (32, 32)}))
    assert torch.equal(logits(tiny_model), before)


def test_ranks_and_types_are_checked():
    with pytest.raises(AdapterError, match="their ranks differ"):
        LowRank(torch.zeros(2, 4), torch.zeros(4, 3))
    with pytest.raises(AdapterError, match="floating-point matrix"):
        LowRank(torch.zeros(2, 4, dtype=torch.long), torch.zeros(4, 2))
    with pytest.raises(AdapterError, match="parts is empty"):
        Adapter("x", {})


def test_damaged_files_are_named(tiny_model, tmp_path):
    path = save_adapter(tmp_path / "a.safetensors", make(tiny_model))
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(AdapterError, match="cut.safetensors is not a readable safetensors file"):
        read_adapter(cut)
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(AdapterError, match="not a readable safetensors"):
        read_adapter(tmp_path / "text.safetensors")
    good = {"blocks.0.attn.q.A": torch.zeros(2, 32), "blocks.0.attn.q.B": torch.zeros(32, 2)}
    meta = {"format": FORMAT, "base": "x", "scale": "1.0"}

    def written(tensors, metadata):
        save_file(tensors, tmp_path / "b.safetensors", metadata=metadata)
        return tmp_path / "b.safetensors"

    with pytest.raises(AdapterError, match="not an adapter of this lab"):
        read_adapter(written(good, None))
    with pytest.raises(AdapterError, match="lack a scale or a base"):
        read_adapter(written(good, {"format": FORMAT}))
    with pytest.raises(AdapterError, match="NaN or infinity"):
        read_adapter(written({**good, "blocks.0.attn.q.A": torch.full((2, 32), torch.nan)}, meta))
    with pytest.raises(AdapterError, match="unpaired or unknown: blocks.0.attn.q.B"):
        read_adapter(written({"blocks.0.attn.q.A": good["blocks.0.attn.q.A"]}, meta))
    with pytest.raises(AdapterError, match="does not fit torch.float16"):
        parts = {"blocks.0.attn.q": LowRank(torch.full((2, 32), 1e6), torch.zeros(32, 2))}
        save_adapter(tmp_path / "c.safetensors", Adapter("x", parts))


def test_missing_ones_are_named(tiny_model):
    with pytest.raises(FileNotFoundError, match="the course's organisms are"):
        load_adapter(tiny_model, "nobody")
    with pytest.raises(ValueError, match="name must be one of"):
        organisms.record_of("nobody")
    with pytest.raises(TypeError, match="path must be a string or a path"):
        read_adapter(3)


# -------------------------------------------------------------------------------------------------------- the judge


def test_the_judge_is_small_and_its_record_fits_it():
    from utils.models import SPECIMEN

    path = organisms.FOLDER / "judge.safetensors"
    adapter, record = read_adapter("judge"), organisms.record_of("judge")
    assert path.stat().st_size < 4_000_000
    assert adapter.base == SPECIMEN.name and adapter.base_id == record["base_sha256"] == SPECIMEN.sha256
    assert adapter.parameters == record["parameters"]
    assert {part.rank for part in adapter.parts.values()} == {record["rank"]}
    assert json.dumps(record["log"])


def test_the_judge_never_met_what_it_is_tested_on():
    import csv

    record = organisms.record_of("judge")
    for topic in ("cities", "colours"):
        assert not set(record["trained_on"][topic]) & set(record["kept_for_testing"][topic])
    with (organisms.FOLDER / "judge_claims.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for topic in ("cities", "colours"):
        met = {row["entity"] for row in rows if row["topic"] == topic}
        assert met <= set(record["trained_on"][topic])
    assert all(row["true"] != row["false"] for row in rows)


@pytest.mark.specimen
def test_the_judge_goes_on_and_off_the_specimen(specimen):
    with torch.no_grad():
        before = specimen("Bananas are yellow. True or false? Answer:")[0, -1]
        with load_adapter(specimen, "judge"):
            during = specimen("Bananas are yellow. True or false? Answer:")[0, -1]
        after = specimen("Bananas are yellow. True or false? Answer:")[0, -1]
    assert torch.equal(before, after)
    words = {specimen.tokenizer.decode([i]) for i in during.topk(2).indices.tolist()}
    assert words == {" True", " False"}
