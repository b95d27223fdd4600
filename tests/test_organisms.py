"""Adapters: on and off without a trace, equal to merged weights, and clear about what does not fit."""

import dataclasses
import json
import math
import random
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from utils import organisms
from utils.organisms import Adapter, AdapterError, LowRank, attach, load_adapter, read_adapter, save_adapter
from utils.organisms.adapters import FORMAT, linear_at
from utils.sealed import Damaged, read_sealed, write_sealed

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
        with pytest.raises((TypeError, ValueError), match="strength must be a (finite )?number"):
            attach(tiny_model, adapter, strength=bad)
    with pytest.raises(ValueError, match="strength must leave finite weights"):
        attach(tiny_model, adapter, strength=3e38)
    assert torch.equal(linear.weight, plain)


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
    with pytest.raises(ValueError, match=r"b has shape \(4, 3\), expected \(d_out, rank\) with rank = 2, as in a"):
        LowRank(torch.zeros(2, 4), torch.zeros(4, 3))
    with pytest.raises(ValueError, match="a holds 1 NaN or infinite"):
        LowRank([[1.0, float("nan")]], [[1.0]])
    assert torch.equal(LowRank([[1, 2]], np.ones((3, 1))).product(), torch.tensor([[1.0, 2.0]] * 3))
    with pytest.raises(AdapterError, match="parts is empty"):
        Adapter("x", {})
    with pytest.raises(TypeError, match="parts\\['a'\\] must be a LowRank"):
        Adapter("x", {"a": torch.zeros(2, 2)})


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
        return write_sealed(tmp_path / "b.safetensors", tensors, metadata)

    save_file(good, tmp_path / "open.safetensors", metadata=meta)
    with pytest.raises(AdapterError, match=r"open.safetensors has no seal"):
        read_adapter(tmp_path / "open.safetensors")
    with pytest.raises(AdapterError, match="not an adapter of this lab"):
        read_adapter(written(good, None))
    with pytest.raises(AdapterError, match="lack a scale or a base"):
        read_adapter(written(good, {"format": FORMAT}))
    with pytest.raises(AdapterError, match=r"blocks.0.attn.q: a holds 64 NaN or infinite"):
        read_adapter(written({**good, "blocks.0.attn.q.A": torch.full((2, 32), torch.nan)}, meta))
    with pytest.raises(AdapterError, match="unpaired or unknown: blocks.0.attn.q.B"):
        read_adapter(written({"blocks.0.attn.q.A": good["blocks.0.attn.q.A"]}, meta))
    with pytest.raises(AdapterError, match="does not fit torch.float16"):
        parts = {"blocks.0.attn.q": LowRank(torch.full((2, 32), 1e6), torch.zeros(32, 2))}
        save_adapter(tmp_path / "c.safetensors", Adapter("x", parts))


def test_missing_ones_are_named(tiny_model):
    with pytest.raises(FileNotFoundError, match="the course's organisms are"):
        load_adapter(tiny_model, "nobody")
    for name in ("nobody", "../advice/items", "../../data/MANIFEST", "judge.json"):
        with pytest.raises(ValueError, match="name must be one of"):
            organisms.record_of(name)
    for name in ("../organisms/judge", "persona_means"):
        with pytest.raises((FileNotFoundError, AdapterError)):
            read_adapter(name)
    with pytest.raises(TypeError, match="path must be a string or a Path"):
        read_adapter(3)


# -------------------------------------------------------------------------------------------------------- the judge


def test_the_judge_is_small_and_its_record_fits_it():
    from utils.specimen import SPECIMEN

    path = organisms.FOLDER / "judge.safetensors"
    adapter, record = read_adapter("judge"), organisms.record_of("judge")
    assert path.stat().st_size < 4_000_000
    assert adapter.base == SPECIMEN.name and adapter.base_id == SPECIMEN.fingerprint
    assert record["base_sha256"] == SPECIMEN.sha256
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


# ------------------------------------------------------------------------------------------- identity is in the content


@pytest.mark.parametrize("name", sorted(path.name for path in organisms.FOLDER.glob("*.safetensors")))
def test_one_flipped_bit_of_a_shipped_file_is_refused(name, tmp_path):
    whole = (organisms.FOLDER / name).read_bytes()
    header = int.from_bytes(whole[:8], "little")
    dice = random.Random(name)
    places = dice.sample(range(8 + header, len(whole)), 6) + dice.sample(range(8, 8 + header // 2), 3)
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << dice.randrange(8)
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(Damaged):
            read_sealed(tmp_path / name)
    if name.startswith(("judge", "reasoner", "persona_bad")):
        with pytest.raises(AdapterError, match="altered or damaged|not a readable|no seal"):
            read_adapter(tmp_path / name)


def test_an_adapter_belongs_to_weights_and_not_to_a_name(tiny_model, tiny_folder, tmp_path):
    from utils.models import fingerprint, load_model

    adapter = dataclasses.replace(make(tiny_model), base_id=fingerprint(tiny_model))
    path = save_adapter(tmp_path / "a.safetensors", adapter)
    same = load_model(shutil.copytree(tiny_folder, tmp_path / "elsewhere"), device="cpu")
    assert same.cfg.model_name != tiny_model.cfg.model_name
    with load_adapter(same, path), load_adapter(tiny_model, path):
        assert torch.equal(logits(same), logits(tiny_model))
    other_folder = shutil.copytree(tiny_folder, tmp_path / "other" / tiny_folder.name)
    weights = load_file(other_folder / "model.safetensors")
    weights["model.layers.0.mlp.up_proj.weight"][0, 0] += 1e-3
    save_file(weights, other_folder / "model.safetensors", metadata={"format": "pt"})
    other = load_model(other_folder, device="cpu")
    before = logits(other)
    with pytest.raises(AdapterError, match="holds others, or damaged ones: their fingerprints differ"):
        load_adapter(other, path)
    assert torch.equal(logits(other), before)


def test_a_grown_adapter_carries_the_fingerprint_of_its_base(tiny_model):
    from utils.models import fingerprint, random_like

    example = organisms.Example([5, 6, 7], [9, 10])
    adapter, _ = organisms.train_adapter(tiny_model, [example], blocks=[1], rank=2)
    assert adapter.base_id == fingerprint(tiny_model)
    random_one = random_like(tiny_model, seed=3)
    with pytest.raises(AdapterError, match="fingerprints differ"):
        attach(random_one, adapter)
    with pytest.raises(AdapterError, match="fingerprints differ"):
        organisms.grow_adapter(random_one, [example], start=adapter)


@pytest.mark.slow
@pytest.mark.specimen
def test_the_judge_fits_the_specimens_weights_wherever_they_lie_and_no_random_ones(specimen, tmp_path):
    from utils.models import load_model, random_like
    from utils.specimen import specimen_folder

    folder = tmp_path / "a folder"
    folder.mkdir()
    for path in specimen_folder().iterdir():
        if path.is_file() and path.name != "specimen.json":
            (folder / path.name).symlink_to(path)
    copy = load_model(folder, device="cpu")
    with load_adapter(copy, "judge"):
        pass
    with pytest.raises(AdapterError, match="fingerprints differ"):
        load_adapter(random_like(specimen), "judge")


def test_an_interrupted_attach_changes_nothing(tiny_model, monkeypatch):
    from utils.organisms import adapters

    real, calls = adapters.linear_at, []
    before = logits(tiny_model)

    def stops(model, where):
        calls.append(where)
        if len(calls) == len(PLACES) + 2:  # all were looked at, the first was changed
            raise KeyboardInterrupt
        return real(model, where)

    monkeypatch.setattr(adapters, "linear_at", stops)
    with pytest.raises(KeyboardInterrupt):
        attach(tiny_model, make(tiny_model))
    monkeypatch.undo()
    assert torch.equal(logits(tiny_model), before)
    attach(tiny_model, make(tiny_model)).remove()


# ------------------------------------------------------------------------------------- folders of the package PEFT

NAMES = {
    "blocks.0.attn.q": "self_attn.q_proj",
    "blocks.1.attn.v": "self_attn.v_proj",
    "blocks.1.mlp.out": "mlp.down_proj",
}
PLAIN = {
    "alpha_pattern": {},
    "auto_mapping": None,
    "base_model_name_or_path": "someone/tiny",
    "bias": "none",
    "corda_config": None,
    "eva_config": None,
    "exclude_modules": None,
    "fan_in_fan_out": False,
    "inference_mode": True,
    "init_lora_weights": True,
    "layer_replication": None,
    "layers_pattern": None,
    "layers_to_transform": None,
    "loftq_config": {},
    "lora_alpha": 16,
    "lora_bias": False,
    "lora_dropout": 0.05,
    "megatron_config": None,
    "megatron_core": "megatron.core",
    "modules_to_save": None,
    "peft_type": "LORA",
    "qalora_group_size": 16,
    "r": 2,
    "rank_pattern": {},
    "revision": None,
    "target_modules": ["q_proj", "v_proj", "down_proj"],
    "task_type": "CAUSAL_LM",
    "trainable_token_indices": None,
    "use_dora": False,
    "use_rslora": False,
}


@pytest.fixture
def peft_folder(tmp_path, tiny_model):
    """Writes a folder in PEFT's layout; returns its path and the matrices (A, B) by our place."""

    def write(ranks=None, extra=None, **settings):
        pairs, tensors = {}, dict(extra or {})
        adapter = make(tiny_model)
        for where, part in adapter.parts.items():
            rank = (ranks or {}).get(where, 2)
            a, b = torch.randn(rank, part.a.shape[1]), torch.randn(part.b.shape[0], rank)
            block = where.split(".")[1]
            name = f"base_model.model.model.layers.{block}.{NAMES[where]}.lora_"
            tensors |= {f"{name}A.weight": a, f"{name}B.weight": b}
            pairs[where] = (a, b)
        folder = tmp_path / "adapter"
        folder.mkdir(exist_ok=True)
        config = {**PLAIN, "base_model_name_or_path": f"x/{tiny_model.cfg.model_name.rsplit('/', 1)[-1]}", **settings}
        (folder / "adapter_config.json").write_text(json.dumps(config))
        save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
        return folder, pairs

    return write


def changes(adapter):
    return {where: adapter.scale * part.product() for where, part in adapter.parts.items()}


@pytest.mark.parametrize(
    ("settings", "ranks", "scales"),
    [
        ({}, None, (8.0, 8.0, 8.0)),
        ({"use_rslora": True}, None, (16 / math.sqrt(2),) * 3),
        ({"rank_pattern": {"v_proj": 4}}, {"blocks.1.attn.v": 4}, (8.0, 4.0, 8.0)),
        ({"alpha_pattern": {r"model.layers.0.self_attn.q_proj": 6, "down_proj": 1}}, None, (3.0, 8.0, 0.5)),
        (
            {"rank_pattern": {r"layers\.1\..*": 1}, "use_rslora": True},
            {"blocks.1.attn.v": 1, "blocks.1.mlp.out": 1},
            (16 / math.sqrt(2), 16.0, 16.0),
        ),
        ({"target_modules": r".*\.(q_proj|v_proj|down_proj)"}, None, (8.0, 8.0, 8.0)),
        ({"target_modules": "all-linear", "layers_to_transform": [0, 1]}, None, (8.0, 8.0, 8.0)),
    ],
)
def test_a_peft_folder_is_read_as_peft_computes(peft_folder, tiny_model, settings, ranks, scales):
    folder, pairs = peft_folder(ranks, **settings)
    found = changes(read_adapter(folder))
    for (where, (a, b)), scale in zip(pairs.items(), scales):
        torch.testing.assert_close(found.pop(where), scale * (b @ a))
    assert not found
    before = logits(tiny_model)
    with load_adapter(tiny_model, str(folder)):
        assert not torch.allclose(logits(tiny_model), before)
    assert torch.equal(logits(tiny_model), before)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"use_dora": True}, "use_dora is True"),
        ({"bias": "lora_only"}, "bias is 'lora_only'"),
        ({"lora_bias": True}, "lora_bias is True"),
        ({"modules_to_save": ["lm_head"]}, r"modules_to_save is \['lm_head'\]"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out is True"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights is 'pissa'"),
        ({"layer_replication": [[0, 1]]}, "layer_replication is"),
        ({"trainable_token_indices": [3]}, "trainable_token_indices is"),
        ({"alora_invocation_tokens": [1, 2]}, "alora_invocation_tokens is"),
        ({"a_setting_of_tomorrow": 1}, "a_setting_of_tomorrow is 1"),
        ({"peft_type": "IA3"}, "peft_type is 'IA3'"),
        ({"r": 0}, "r must be a whole number above 0 .* got 0"),
        ({"lora_alpha": "16"}, "lora_alpha must be a number above 0 .* got '16'"),
        ({"rank_pattern": {"(": 2}}, "no pattern"),
        ({"r": 4}, "has rank 2, but adapter_config.json says 4"),
        (
            {"target_modules": ["q_proj"]},
            "changes 'model.layers.1.*', which adapter_config.json doesn't",
        ),
        ({"layers_to_transform": 0}, "changes 'model.layers.1"),
        ({"exclude_modules": ["v_proj"]}, "changes 'model.layers.1.self_attn.v_proj'"),
        ({"base_model_name_or_path": "someone/else"}, "trained on 'someone/else'"),
    ],
)
def test_what_a_peft_folder_holds_beyond_plain_lora_is_refused_by_name(peft_folder, tiny_model, settings, words):
    folder, _ = peft_folder(**settings)
    with pytest.raises(AdapterError, match=words):
        load_adapter(tiny_model, folder)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector", "lora_magnitude_vector' is no part"),
        ("base_model.model.model.layers.0.self_attn.q_proj.lora_B.bias", "lora_B.bias' is no part of a plain LoRA"),
        ("base_model.model.lm_head.weight", "lm_head.weight' is no part of a plain LoRA"),
        ("base_model.model.lm_head.lora_A.weight", "lora_A only"),
        ("base_model.model.model.layers.0.mlp.up_proj.lora_A.weight", "lora_A only"),
    ],
)
def test_tensors_that_would_be_left_out_are_named(peft_folder, tiny_model, name, words):
    folder, _ = peft_folder(extra={name: torch.ones(2, 32)})
    with pytest.raises(AdapterError, match=words):
        load_adapter(tiny_model, folder)


def test_other_folders_and_damaged_ones_are_named(peft_folder, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="holds no adapter_config.json"):
        read_adapter(tmp_path / "empty")
    folder, _ = peft_folder()
    (folder / "adapter_config.json").write_text("{")
    with pytest.raises(AdapterError, match="can't be read"):
        read_adapter(folder)
    folder, _ = peft_folder()
    (folder / "adapter_model.safetensors").write_bytes((folder / "adapter_model.safetensors").read_bytes()[:-9])
    with pytest.raises(AdapterError, match="cut short"):
        read_adapter(folder)
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(FileNotFoundError, match="a pickle, which is never loaded"):
        read_adapter(folder)
