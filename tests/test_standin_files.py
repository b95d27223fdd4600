"""Transcoders on the disk: what was saved comes back; what was cut, altered, renamed or of another model is named."""

import json
import math
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.conftest import save_tiny_model
from utils import models
from utils.standin import (
    as_jumprelu,
    block_file,
    load_transcoders,
    notes_of,
    random_transcoder,
    read_circuit_tracer,
    read_saelens,
    save_transcoders,
    write_circuit_tracer,
    write_saelens,
)

D, N = 32, 64


def a_set(**kwargs):
    return {block: random_transcoder(block, D, N, seed=block, **kwargs) for block in (0, 1)}


def same(one, other, **tolerance):
    assert (one.layer, one.k, one.massive_norm) == (other.layer, other.k, other.massive_norm)
    assert one.tensors().keys() == other.tensors().keys()
    for name, value in one.tensors().items():
        torch.testing.assert_close(other.tensors()[name], value, **tolerance)


# ------------------------------------------------------------------------------------------------- our own files


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("k", [8, None])
def test_what_was_saved_comes_back(tiny_model, tmp_path, k, skip):
    made = {block: replace(one, massive_norm=9.5) for block, one in a_set(k=k, skip=skip).items()}
    paths = save_transcoders(made, tmp_path, model=tiny_model, model_name="tiny", notes={"tokens": 5})
    assert [path.name for path in paths] == ["block_00.safetensors", "block_01.safetensors"]
    back = load_transcoders(tmp_path, model=tiny_model)
    for block in made:
        same(made[block], back[block], atol=0, rtol=0)
    said = notes_of(tmp_path, 1)
    assert (said["layer"], said["k"], said["model_name"], said["notes"]) == (1, k, "tiny", {"tokens": 5})
    assert said["hook_in"] in tiny_model.hook_dict


@pytest.mark.parametrize("dtype, worst", [("float16", 1e-3), ("int8", 1e-2)])
def test_smaller_files_cost_little(tiny_model, tmp_path, dtype, worst):
    made = a_set(skip=True)
    save_transcoders(made, tmp_path, model=tiny_model, model_name="tiny", dtype=dtype)
    back = load_transcoders(tmp_path)
    for block in made:
        for name, value in made[block].tensors().items():
            assert (back[block].tensors()[name] - value).abs().max() <= worst * value.abs().max()


def test_a_byte_a_number_is_a_quarter_of_the_size_and_exact_to_half_a_step(tiny_model, tmp_path):
    made = {0: random_transcoder(0, D, 4096)}
    for dtype in ("float32", "int8"):
        save_transcoders(made, tmp_path / dtype, model=tiny_model, model_name="tiny", dtype=dtype)
    size = {dtype: block_file(tmp_path / dtype, 0).stat().st_size for dtype in ("float32", "int8")}
    assert size["int8"] < 0.3 * size["float32"]
    back = load_transcoders(tmp_path / "int8")[0]
    step = made[0].W_dec.abs().amax(1, keepdim=True) / 127
    assert ((back.W_dec - made[0].W_dec).abs() <= 0.5001 * step).all()
    step = made[0].W_enc.abs().amax(0, keepdim=True) / 127
    assert ((back.W_enc - made[0].W_enc).abs() <= 0.5001 * step).all()
    torch.testing.assert_close(back.b_enc, made[0].b_enc, atol=0, rtol=0)


def test_a_group_is_added_to_those_that_are_there(tiny_model, tmp_path):
    made = a_set()
    save_transcoders({1: made[1]}, tmp_path, model=tiny_model, model_name="tiny")
    with pytest.raises(FileNotFoundError, match="has no transcoder of block 0"):
        load_transcoders(tmp_path, model=tiny_model)
    assert list(load_transcoders(tmp_path)) == [1]
    save_transcoders({0: made[0]}, tmp_path, model=tiny_model, model_name="tiny")
    assert list(load_transcoders(tmp_path, model=tiny_model)) == [0, 1]
    assert list(load_transcoders(tmp_path, model=tiny_model, blocks=[1])) == [1]


def test_another_model_is_refused(tiny_model, tmp_path):
    save_transcoders(a_set(), tmp_path / "set", model=tiny_model, model_name="tiny")
    other = models.load_model(save_tiny_model(tmp_path / "other", seed=1), device="cpu")
    with pytest.raises(ValueError, match="model is another one than block_00.safetensors was trained on"):
        load_transcoders(tmp_path / "set", model=other)
    with pytest.raises(ValueError, match=r"transcoders\[0\] has width 8, the model 32"):
        save_transcoders({0: random_transcoder(0, 8, 16)}, tmp_path, model=tiny_model, model_name="tiny")


def test_cut_altered_and_renamed_files_are_told_apart(tiny_model, tmp_path):
    save_transcoders(a_set(), tmp_path, model=tiny_model, model_name="tiny")
    path = block_file(tmp_path, 0)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="block_00.safetensors is not a readable safetensors file"):
        load_transcoders(tmp_path)
    flipped = bytearray(whole)
    flipped[-5] ^= 64
    path.write_bytes(bytes(flipped))
    with pytest.raises(ValueError, match="block_00.safetensors has been altered or damaged"):
        load_transcoders(tmp_path)
    path.write_bytes(block_file(tmp_path, 1).read_bytes())
    with pytest.raises(ValueError, match="block_00.safetensors holds the transcoder of block 1: it was renamed"):
        load_transcoders(tmp_path)
    save_file({"x": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match="has no seal"):
        load_transcoders(tmp_path)


def test_nothing_there(tiny_model, tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no transcoders"):
        load_transcoders(tmp_path / "nowhere")
    save_transcoders({0: a_set()[0]}, tmp_path, model=tiny_model, model_name="tiny")
    with pytest.raises(FileNotFoundError, match="no transcoder of block 1"):
        notes_of(tmp_path, 1)
    with pytest.raises(TypeError, match="notes must hold what json can"):
        save_transcoders(a_set(), tmp_path, model=tiny_model, model_name="t", notes={"a": math.nan})


def test_what_float16_cant_hold_isnt_saved(tiny_model, tmp_path):
    one = a_set()[0]
    huge = replace(one, W_enc=one.W_enc * 1e6)
    with pytest.raises(ValueError, match="W_enc of block 0 holds values that float16 can't"):
        save_transcoders({0: huge}, tmp_path, model=tiny_model, model_name="tiny", dtype="float16")
    assert not list(tmp_path.glob("*.safetensors"))


# ------------------------------------------------------------------------------------------------ with a threshold


def test_a_threshold_leaves_as_many_on_as_k_did():
    one = random_transcoder(0, D, N, k=8)
    x = torch.randn(500, D, generator=torch.Generator().manual_seed(0))
    jumping = as_jumprelu(one, x)
    assert jumping.k is None and len(jumping.threshold.unique()) == 1
    assert float((jumping.encode(x) > 0).sum(-1).float().mean()) == pytest.approx(8, abs=0.01)
    assert as_jumprelu(jumping, x) is jumping
    everything = as_jumprelu(replace(one, k=N), x)
    torch.testing.assert_close(everything.encode(x), replace(one, k=N).encode(x))
    with pytest.raises(ValueError, match="x must have at least one row"):
        as_jumprelu(one, torch.zeros(0, D))


# -------------------------------------------------------------------------------------------------- other layouts


def their_saelens(folder, x):
    """What SAELens 6.54.12 computes from such a folder (saes/transcoder.py): relu, mask, W_dec, W_skip turned over."""
    config = json.loads((folder / "cfg.json").read_text())
    state = load_file(folder / "sae_weights.safetensors")
    assert config["apply_b_dec_to_input"] is False
    assert state["W_enc"].shape == (config["d_in"], config["d_sae"])
    pre = x @ state["W_enc"] + state["b_enc"]
    acts = pre.relu()
    if config["architecture"].startswith("jumprelu"):
        acts = acts * (pre > state["threshold"])
    out = acts @ state["W_dec"] + state["b_dec"]
    return acts, out + x @ state["W_skip"].T if "skip" in config["architecture"] else out


def their_circuit_tracer(path, x):
    """What circuit-tracer 0.5.0 computes from such a file (transcoder/single_layer_transcoder.py)."""
    state = load_file(path)
    pre = torch.nn.functional.linear(x, state["W_enc"], state["b_enc"])
    threshold = state.get("activation_function.threshold")
    acts = pre.relu() if threshold is None else pre * (pre > threshold)
    out = acts @ state["W_dec"] + state["b_dec"]
    return acts, out + x @ state["W_skip"].T if "W_skip" in state else out


def some(jumps, skip, layer=0):
    one = random_transcoder(layer, D, N, k=None, skip=skip, seed=layer)
    generator = torch.Generator().manual_seed(5)
    return replace(one, threshold=torch.rand(N, generator=generator) if jumps else torch.zeros(N))


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("jumps", [False, True])
def test_saelens_layout(tmp_path, jumps, skip):
    one = some(jumps, skip, layer=5)
    x = torch.randn(40, D, generator=torch.Generator().manual_seed(1))
    write_saelens(one, tmp_path, model_name="tiny")
    config = json.loads((tmp_path / "cfg.json").read_text())
    assert config["architecture"] == "jumprelu_" * jumps + "skip_" * skip + "transcoder"
    assert config["metadata"]["hook_name"] == "blocks.5.mlp.hook_in"
    latents, written = their_saelens(tmp_path, x)
    torch.testing.assert_close(one.encode(x), latents)
    torch.testing.assert_close(one(x), written)
    same(one, read_saelens(tmp_path), atol=0, rtol=0)
    assert read_saelens(tmp_path, layer=3).layer == 3


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("jumps", [False, True])
def test_circuit_tracer_layout(tmp_path, jumps, skip):
    made = {block: some(jumps, skip, layer=block) for block in (0, 1, 2)}
    x = torch.randn(40, D, generator=torch.Generator().manual_seed(1))
    write_circuit_tracer(made, tmp_path, model_name="org/tiny")
    assert 'model_kind: "transcoder_set"\n' in (tmp_path / "config.yaml").read_text()
    back = read_circuit_tracer(tmp_path)
    for block, one in made.items():
        latents, written = their_circuit_tracer(tmp_path / f"layer_{block}.safetensors", x)
        torch.testing.assert_close(one.encode(x), latents)
        torch.testing.assert_close(one(x), written)
        same(one, back[block], atol=0, rtol=0)


def test_the_config_of_a_set_is_yaml(tmp_path):
    yaml = pytest.importorskip("yaml")
    write_circuit_tracer({0: some(True, False)}, tmp_path, model_name='a "b": c')
    said = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert said["feature_input_hook"] == "mlp.hook_in" and said["feature_output_hook"] == "mlp.hook_out"
    assert said["model_name"] == 'a "b": c'


def test_top_k_is_not_smuggled_into_layouts_that_cant_say_it(tmp_path):
    for write in (
        lambda: write_saelens(a_set()[0], tmp_path, model_name="t"),
        lambda: write_circuit_tracer(a_set(), tmp_path, model_name="t"),
    ):
        with pytest.raises(ValueError, match="block 0 is a TopK, which that layout can't say"):
            write()
    assert not list(tmp_path.iterdir())


def test_sets_that_circuit_tracer_would_refuse(tmp_path):
    one = some(True, False)
    with pytest.raises(ValueError, match=r"every block from 0 on.* these are of \[1\]"):
        write_circuit_tracer({1: replace(one, layer=1)}, tmp_path, model_name="t")
    other = random_transcoder(1, D, 2 * N, k=None)
    with pytest.raises(ValueError, match="must have one d_sae"):
        write_circuit_tracer({0: one, 1: other}, tmp_path, model_name="t")
    with pytest.raises(ValueError, match="must all have a skip, or none"):
        write_circuit_tracer({0: one, 1: some(True, True, layer=1)}, tmp_path, model_name="t")


@pytest.mark.parametrize(
    "change, message",
    [
        ({"architecture": "standard"}, "names the architecture 'standard'"),
        ({"apply_b_dec_to_input": True}, "asks for apply_b_dec_to_input"),
        ({"normalize_activations": "layer_norm"}, "normalize_activations"),
        ({"d_out": 7}, "maps 32 numbers to 7"),
        ({"some_new_key": 3}, "sets some_new_key=3, a key that isn't known"),
        ({"d_sae": None}, "W_enc has shape"),
        ({"metadata": {"hook_name": "mlp.in"}}, "doesn't say which block it is of"),
        ({"metadata": {"hook_name": "blocks.5.hook_resid_mid"}}, "not what an MLP reads"),
        ({"architecture": "jumprelu_skip_transcoder"}, "has no W_skip"),
        ({"architecture": "transcoder"}, "holds threshold, which isn't part"),
    ],
)
def test_a_saelens_folder_that_says_something_else(tmp_path, change, message):
    write_saelens(some(True, False), tmp_path, model_name="t")
    config = json.loads((tmp_path / "cfg.json").read_text()) | change
    (tmp_path / "cfg.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=message):
        read_saelens(tmp_path)


def test_damaged_folders_of_others(tmp_path):
    write_saelens(some(True, False), tmp_path, model_name="t")
    weights = tmp_path / "sae_weights.safetensors"
    state = {name: value.clone() for name, value in load_file(weights).items()}  # not mapped from the file that follows
    weights.write_bytes(weights.read_bytes()[:200])
    with pytest.raises(ValueError, match="can't be read"):
        read_saelens(tmp_path)
    save_file(state | {"b_dec": torch.full((D,), math.nan)}, weights)
    with pytest.raises(ValueError, match="b_dec of block 0's transcoder holds NaN"):
        read_saelens(tmp_path)
    (tmp_path / "cfg.json").write_text("{")
    with pytest.raises(ValueError, match="is not the configuration of a transcoder"):
        read_saelens(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"has no cfg\.json"):
        read_saelens(tmp_path / "nowhere")


def test_damaged_sets_of_others(tmp_path):
    made = {block: some(True, False, layer=block) for block in (0, 1, 2)}
    write_circuit_tracer(made, tmp_path, model_name="t")
    middle = tmp_path / "layer_1.safetensors"
    whole = middle.read_bytes()
    middle.unlink()
    with pytest.raises(FileNotFoundError, match=r"has no layer_1\.safetensors"):
        read_circuit_tracer(tmp_path)
    middle.write_bytes(whole[:-100])
    with pytest.raises(ValueError, match=r"layer_1\.safetensors can't be read"):
        read_circuit_tracer(tmp_path)
    state = {name: value.clone() for name, value in load_file(tmp_path / "layer_0.safetensors").items()}
    save_file(state | {"W_enc": state["W_enc"].T.contiguous()}, middle)
    with pytest.raises(ValueError, match=r"layer_1\.safetensors: W_dec has shape \(64, 32\), expected \(32, 64\)"):
        read_circuit_tracer(tmp_path)
    config = tmp_path / "config.yaml"
    config.write_text(config.read_text().replace("mlp.hook_in", "hook_resid_mid"))
    with pytest.raises(ValueError, match="feature_input_hook is 'hook_resid_mid', expected mlp.hook_in"):
        read_circuit_tracer(tmp_path)
    config.write_text("model_kind: cross_layer_transcoder\n")
    with pytest.raises(ValueError, match="'cross_layer_transcoder', not of a 'transcoder_set'"):
        read_circuit_tracer(tmp_path)
    config.unlink()
    with pytest.raises(FileNotFoundError, match=r"has no config\.yaml"):
        read_circuit_tracer(tmp_path)
