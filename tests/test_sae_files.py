"""utils.sae.files: what is saved comes back, and a wrong file is named. `make bench-sae` checks the layout itself."""

import json
import math
import pickle
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from test_sae_models import data, every_kind, random_sae

from utils.sae import GatedSAE, JumpReLUSAE, ReLUSAE, TopKSAE, load, load_gemma_scope, save
from utils.sae.models import SparseAutoencoder

NAMES = {"hook": "blocks.1.hook_resid_post", "model_name": "tiny"}
LOADED_AS = {
    "relu": ReLUSAE,
    "topk": TopKSAE,
    "batchtopk": JumpReLUSAE,  # what it is when read: one threshold for all latents
    "matryoshka": JumpReLUSAE,
    "jumprelu": JumpReLUSAE,
    "gated": GatedSAE,
}


def saved(tmp_path, kind="topk", **kwargs):
    sae = random_sae(kind, dtype=torch.float32)
    return sae, save(sae, tmp_path / "sae", **NAMES, **kwargs)


def change(folder, **config):
    """Other settings, in a folder as another program writes it: without our fingerprint."""
    path = folder / "cfg.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "weights_sha256": None, **config}))


def change_weights(folder, **tensors):
    path = folder / "sae_weights.safetensors"
    merged = {**load_file(path), **tensors}
    save_file({name: value for name, value in merged.items() if value is not None}, path)
    change(folder)


def before_version_6(folder, *, without=(), **more):
    """`cfg.json` as SAELens 3 to 5 wrote it: flat, with a description of how the weights came about."""
    path = folder / "cfg.json"
    ours = json.loads(path.read_text())
    config = {
        "d_in": ours["d_in"],
        "d_sae": ours["d_sae"],
        "dtype": "torch.float32",
        "device": "cuda",
        "model_name": "gpt2-small",
        "hook_name": "blocks.8.hook_resid_pre",
        "hook_layer": 8,
        "hook_head_index": None,
        "activation_fn_str": "relu",
        "activation_fn_kwargs": {},
        "apply_b_dec_to_input": True,
        "finetuning_scaling_factor": False,
        "sae_lens_training_version": "5.10.7",
        "prepend_bos": True,
        "dataset_path": "Skylion007/openwebtext",
        "dataset_trust_remote_code": True,
        "context_size": 128,
        "normalize_activations": "none",
        "neuronpedia_id": "gpt2-small/8-res-jb",
        "model_from_pretrained_kwargs": {},
        "seqpos_slice": [None],
        **more,
    }
    path.write_text(json.dumps({name: value for name, value in config.items() if name not in without}))


@every_kind
def test_round_trip(kind, tmp_path):
    sae, folder = saved(tmp_path, kind)
    back = load(folder)
    x = data(dtype=torch.float32)
    assert type(back) is LOADED_AS[kind] and not back.training
    torch.testing.assert_close(back.encode(x), sae.encode(x), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(back(x), sae(x), atol=1e-6, rtol=1e-6)
    assert sorted(path.name for path in folder.iterdir()) == ["cfg.json", "sae_weights.safetensors"]
    again = save(back, tmp_path / "again", **NAMES)  # and the layout is stable
    assert json.loads((again / "cfg.json").read_text()) == json.loads((folder / "cfg.json").read_text())


@every_kind
def test_half_precision(kind, tmp_path):
    sae, folder = saved(tmp_path, kind, dtype=torch.float16)
    tensors = load_file(folder / "sae_weights.safetensors")
    assert {value.dtype for value in tensors.values()} == {torch.float16}
    assert json.loads((folder / "cfg.json").read_text())["dtype"] == "float16"
    back = load(folder)
    assert back.W_enc.dtype == torch.float32
    x = data(dtype=torch.float32)
    # Rounding may switch a latent at its threshold on or off; all but a few are the same.
    close = (back.encode(x) - sae.encode(x)).abs() < 0.02
    assert close.double().mean() > 0.97


@every_kind
def test_the_layout(kind, tmp_path):
    """Names, shapes and settings that SAELens expects, no more and no fewer."""
    sae, folder = saved(tmp_path, kind, metadata={"context_size": 256})
    config = json.loads((folder / "cfg.json").read_text())
    expected = {
        "relu": ("standard", {"b_enc"}),
        "topk": ("topk", {"b_enc"}),
        "batchtopk": ("jumprelu", {"b_enc", "threshold"}),
        "matryoshka": ("jumprelu", {"b_enc", "threshold"}),
        "jumprelu": ("jumprelu", {"b_enc", "threshold"}),
        "gated": ("gated", {"b_gate", "r_mag", "b_mag"}),
    }[kind]
    tensors = load_file(folder / "sae_weights.safetensors")
    assert (config["architecture"], set(tensors) - {"W_enc", "W_dec", "b_dec"}) == expected
    assert tensors["W_enc"].shape == (6, 15) and tensors["W_dec"].shape == (15, 6) and tensors["b_dec"].shape == (6,)
    assert all(tensors[name].shape == (15,) for name in expected[1])
    assert (config["d_in"], config["d_sae"], config["apply_b_dec_to_input"]) == (6, 15, True)
    assert (config.get("k"), config.get("rescale_acts_by_decoder_norm")) == (
        (2, False) if kind == "topk" else (None,) * 2
    )
    metadata = config["metadata"]
    assert (metadata["hook_name"], metadata["model_name"]) == (NAMES["hook"], NAMES["model_name"])
    assert metadata["context_size"] == 256 and metadata["sae_lens_version"].startswith("6.")


def test_a_plain_relu_as_jumprelu(tmp_path):
    """A threshold of zero, which has no logarithm, or below it: on whenever positive."""
    sae, folder = saved(tmp_path, "jumprelu")
    change_weights(folder, threshold=torch.cat([torch.zeros(8), -torch.ones(7)]))
    x = data(dtype=torch.float32)
    torch.testing.assert_close(load(folder).encode(x), sae.pre_activations(x).relu())


@pytest.mark.parametrize("kind", ["relu", "topk", "jumprelu", "gated"])
def test_b_dec_not_taken_off_the_input_is_folded(kind, tmp_path):
    """SAELens with apply_b_dec_to_input false: latents of x are those that taking b_dec off x + b_dec would give."""
    sae, folder = saved(tmp_path, kind)
    change(folder, apply_b_dec_to_input=False)
    x = data(dtype=torch.float32)
    back = load(folder)
    torch.testing.assert_close(back.encode(x), sae.encode(x + sae.b_dec), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(back(x), sae(x + sae.b_dec), atol=1e-5, rtol=1e-5)


def test_latents_in_units_of_their_decoder_row_are_folded(tmp_path):
    sae, folder = saved(tmp_path, "topk")
    norms = torch.linspace(0.2, 3, 15)
    change(folder, rescale_acts_by_decoder_norm=True)
    change_weights(folder, W_dec=sae.W_dec.detach() * norms[:, None])
    x = data(dtype=torch.float32)
    latents = sae.activation(sae.pre_activations(x) * norms)
    back = load(folder)
    torch.testing.assert_close(back.encode(x), latents)
    torch.testing.assert_close(back(x), sae.decode(latents))
    torch.testing.assert_close(back.W_dec.norm(dim=1), torch.ones(15))


# --------------------------------------------------------------------- SAELens before version 6


def test_a_folder_without_an_architecture(tmp_path):
    """SAELens' own defaults apply: a standard SAE with b_dec taken off its input."""
    sae, folder = saved(tmp_path, "relu")
    before_version_6(folder, without=("apply_b_dec_to_input", "finetuning_scaling_factor", "activation_fn_str"))
    back = load(folder)
    assert type(back) is ReLUSAE
    x = data(dtype=torch.float32)
    torch.testing.assert_close(back.encode(x), sae.encode(x))
    torch.testing.assert_close(back(x), sae(x))


def test_a_folder_of_version_1(tmp_path):
    """The whole run's configuration, as it stood: lists for sweeps, hook_point for hook_name, ones in every file."""
    sae, folder = saved(tmp_path, "relu")
    change_weights(folder, scaling_factor=torch.ones(15))
    before_version_6(
        folder,
        without=(
            "hook_name",
            "hook_layer",
            "neuronpedia_id",
            "seqpos_slice",
            "activation_fn_str",
            "normalize_activations",
        ),
        hook_point="blocks.8.hook_resid_pre",
        hook_point_layer=8,
        activation_fn="relu",
        finetuning_method=None,
        l1_coefficient=[8e-05],
        expansion_factor=32,
        noise_scale=0.1,
        use_ghost_grads=True,
        lr=0.0004,
        model_class_name="HookedTransformer",
        normalize_activations=False,
    )
    torch.testing.assert_close(load(folder)(data(dtype=torch.float32)), sae(data(dtype=torch.float32)))


@pytest.mark.parametrize("said", ["standard", "topk", None])
def test_a_topk_from_before_version_6(said, tmp_path):
    sae, folder = saved(tmp_path, "topk")
    more = {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 2}} | ({"architecture": said} if said else {})
    before_version_6(folder, **more)
    back = load(folder)
    assert type(back) is TopKSAE and back.k == 2
    torch.testing.assert_close(back.encode(data(dtype=torch.float32)), sae.encode(data(dtype=torch.float32)))


@pytest.mark.parametrize("name", ["finetuning_scaling_factor", "scaling_factor"])
@pytest.mark.parametrize("kind", ["relu", "topk", "jumprelu", "gated"])
def test_latents_rescaled_before_they_are_decoded(kind, name, tmp_path):
    """Latents stay as they are; the reconstruction is of latents times the factors."""
    sae, folder = saved(tmp_path, kind)
    factors = torch.linspace(0.5, 2.5, 15)
    change_weights(folder, **{name: factors})
    before_version_6(folder, **settings_of(kind), finetuning_scaling_factor=True)
    x = data(dtype=torch.float32)
    back = load(folder)
    torch.testing.assert_close(back.encode(x), sae.encode(x))
    torch.testing.assert_close(back(x), sae.decode(sae.encode(x) * factors))
    before_version_6(folder, **settings_of(kind))
    with pytest.raises(ValueError, match=f"holds a {name} that isn't 1, and nothing says that it is to be used"):
        load(folder)
    change_weights(folder, **{name: factors[:3]})
    before_version_6(folder, **settings_of(kind), finetuning_scaling_factor=True)
    with pytest.raises(ValueError, match=rf"{name} has shape \(3,\), expected \(15,\)"):
        load(folder)


def settings_of(kind):
    if kind == "topk":
        return {"architecture": "topk", "activation_fn_str": "topk", "activation_fn_kwargs": {"k": 2}}
    return {"architecture": {"relu": "standard"}.get(kind, kind)}


def test_a_model_that_was_loaded_in_a_special_way_is_said(tmp_path):
    _, folder = saved(tmp_path, "relu")
    before_version_6(folder, model_from_pretrained_kwargs={"center_writing_weights": True})
    with pytest.warns(UserWarning, match="its model was loaded with {'center_writing_weights': True}"):
        load(folder)


@pytest.mark.parametrize(
    ("config", "match"),
    [
        ({"activation_fn_str": "tanh-relu"}, "asks for the activation function 'tanh-relu'; known: relu, topk"),
        ({"activation_fn": "gelu"}, "asks for the activation function 'gelu'"),
        ({"activation_fn_str": "topk"}, "k must be a whole number"),
        ({"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 2, "postact_fn": "identity"}}, "postact_fn"),
        ({"activation_fn_str": "topk", "architecture": "gated"}, "activation function 'topk' in a gated SAE"),
        ({"architecture": "topk", "k": 2}, "activation function 'relu' in a topk SAE"),
        ({"normalize_activations": True}, "asks for normalize_activations=True"),
        ({"normalize_activations": "expected_average_only_in"}, "normalize_activations='expected_average_only_in'"),
        ({"reshape_activations": "flat"}, "asks for reshape_activations='flat'"),
        ({"rescale_acts_by_decoder_norm": True}, "rescale_acts_by_decoder_norm of a standard SAE"),
        ({"apply_b_dec_to_input": "no"}, "sets apply_b_dec_to_input='no', expected true or false"),
        ({"apply_layer_norm": True}, "sets apply_layer_norm=True, a key that isn't known here"),
        ({"hook_name_out": "blocks.8.hook_mlp_out"}, "sets hook_name_out="),
    ],
)
def test_what_changes_the_meaning_is_never_skipped(config, match, tmp_path):
    _, folder = saved(tmp_path, "relu")
    before_version_6(folder, **config)
    with pytest.raises((TypeError, ValueError), match=match):
        load(folder)


def test_unknown_keys_at_their_neutral_value_say_nothing(tmp_path):
    _, folder = saved(tmp_path, "relu")
    before_version_6(folder, apply_layer_norm=False, another=None, noise=0.0, more=[], yet=0)
    load(folder)


def test_unknown_tensors_are_named(tmp_path):
    _, folder = saved(tmp_path, "relu")
    change_weights(folder, W_skip=torch.zeros(6, 6))
    with pytest.raises(ValueError, match="holds W_skip, which isn't part of a standard SAE"):
        load(folder)


# -------------------------------------------------------------------------------------- fingerprints


@every_kind
def test_one_flipped_bit_is_named(kind, tmp_path):
    _, folder = saved(tmp_path, kind)
    path = folder / "sae_weights.safetensors"
    whole = path.read_bytes()
    start = 8 + int.from_bytes(whole[:8], "little")
    for place in (start + 3, start + (len(whole) - start) // 2, len(whole) - 2, 20):
        damaged = bytearray(whole)
        damaged[place] ^= 2
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"sae_weights\.safetensors is damaged or was exchanged"):
            load(folder)
    path.write_bytes(whole)
    load(folder)


def test_the_model_it_was_trained_on(tmp_path, tiny_model, monkeypatch):
    from utils import models

    other = models.random_like(tiny_model, seed=5)
    _, folder = saved(tmp_path)
    with pytest.raises(ValueError, match="model: .* doesn't say which model it was trained on"):
        load(folder, model=tiny_model)
    _, folder = saved(tmp_path, model=tiny_model)
    load(folder)
    load(folder, model=tiny_model)
    with pytest.raises(ValueError, match=r"^model is another one than .* was trained on \(tiny\)"):
        load(folder, model=other)
    with pytest.raises(TypeError, match="^model must be"):
        load(folder, model="tiny")


def test_what_was_left_out_is_kept(tmp_path):
    _, folder = saved(tmp_path, massive_norm=12.5)
    assert json.loads((folder / "cfg.json").read_text())["metadata"]["massive_norm"] == 12.5


def test_nothing_is_allocated_from_the_configuration_alone(tmp_path, monkeypatch):
    """A d_sae of ten million in a file of a few kilobytes is refused before a dictionary of that size is made."""
    _, folder = saved(tmp_path)
    change(folder, d_sae=10_000_000, d_in=1_000_000)
    monkeypatch.setattr(torch, "randn", lambda *size, **_: pytest.fail(f"{size} numbers were asked for"))
    with pytest.raises(ValueError, match=r"W_enc has shape \(6, 15\), expected \(1000000, 10000000\)"):
        load(folder)


# --------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize("name", ["cfg.json", "sae_weights.safetensors"])
def test_missing_files_are_named(name, tmp_path):
    _, folder = saved(tmp_path)
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"has no {name}: an SAE is a folder with"):
        load(folder)
    with pytest.raises(FileNotFoundError, match="has no cfg.json"):
        load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("cut", "can't be read .*: it was cut, or is another kind of file"),
        ("empty", "is empty: it was cut"),
        ("zip", "is a zip file .*: it is not opened"),
        ("pickle", "is a pickle, which could run code: it is not opened"),
        ("pointer", "is a Git LFS pointer, not the file itself"),
        ("text", "can't be read .*: it was cut, or is another kind of file"),
    ],
)
def test_a_weight_file_that_cannot_be_read(how, words, tmp_path):
    """And why: what is said of it is true."""
    sae, folder = saved(tmp_path)
    change(folder)
    path = folder / "sae_weights.safetensors"
    if how == "cut":
        path.write_bytes(path.read_bytes()[:-50])
    elif how == "zip":
        torch.save(sae.state_dict(), path)
    elif how == "pickle":
        path.write_bytes(pickle.dumps({"W_enc": [1.0]}, protocol=4))
    else:
        text = {
            "empty": "",
            "pointer": "version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            "text": "hello" * 9,
        }
        path.write_text(text[how])
    with pytest.raises(ValueError, match=rf"sae_weights\.safetensors {words}"):
        load(folder)


def test_a_gemma_scope_folder_says_so(tmp_path):
    np.savez(tmp_path / "params.npz", **gemma_scope_arrays())
    with pytest.raises(FileNotFoundError, match=r"it holds params\.npz, as Gemma Scope does: read it with load_gemma"):
        load(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", '"topk"', "{}", '{"d_in": 6}', '{"d_in": 6, "d_sae": 9, "metadata": [1]}']
)
def test_a_configuration_that_is_none(text, tmp_path):
    _, folder = saved(tmp_path)
    (folder / "cfg.json").write_text(text)
    with pytest.raises(ValueError, match=r"cfg\.json is not the configuration of an SAE"):
        load(folder)


@pytest.mark.parametrize(
    ("config", "match"),
    [
        ({"architecture": "transcoder"}, "names the architecture 'transcoder'; known: standard, topk"),
        ({"architecture": None}, "names the architecture None"),
        ({"normalize_activations": "layer_norm"}, "asks for normalize_activations='layer_norm'"),
        ({"k": 16}, "k must be at most 15, got 16"),
        ({"k": None}, "k must be a whole number, how many latents are on, got None"),
        ({"d_in": "6"}, "d_in must be a whole number"),
        ({"d_sae": 0}, "d_sae must be at least 1"),
        ({"d_in": 7}, r"W_enc has shape \(6, 15\), expected \(7, 15\)"),
        ({"d_sae": 14}, r"W_enc has shape \(6, 15\), expected \(6, 14\)"),
        ({"architecture": "jumprelu"}, "has no threshold; it holds W_dec, W_enc, b_dec, b_enc"),
        ({"architecture": "gated"}, "has no b_gate"),
    ],
)
def test_a_configuration_that_does_not_fit(config, match, tmp_path):
    _, folder = saved(tmp_path)
    change(folder, **config)
    with pytest.raises((TypeError, ValueError), match=match):
        load(folder)


@pytest.mark.parametrize(
    ("tensors", "match"),
    [
        ({"b_dec": None}, "has no b_dec; it holds W_dec, W_enc, b_enc"),
        ({"b_enc": torch.zeros(14)}, r"b_enc has shape \(14,\), expected \(15,\)"),
        ({"W_enc": torch.zeros(15, 6)}, r"W_enc has shape \(15, 6\), expected \(6, 15\)"),
        ({"b_dec": torch.full((6,), math.nan)}, "b_dec holds NaN or infinite values"),
        ({"b_enc": torch.full((15,), math.inf)}, "b_enc holds NaN or infinite values"),
    ],
)
def test_weights_that_do_not_fit(tensors, match, tmp_path):
    _, folder = saved(tmp_path)
    change_weights(folder, **tensors)
    with pytest.raises(ValueError, match=match):
        load(folder)


def test_what_cannot_be_saved_is_named(tmp_path):
    sae = random_sae("topk", dtype=torch.float32)
    with torch.no_grad():
        sae.b_dec[0] = 1e6
    with pytest.raises(ValueError, match=r"b_dec holds values that aren't finite numbers in torch\.float16"):
        save(sae, tmp_path / "a", **NAMES, dtype=torch.float16)
    with pytest.raises(ValueError, match="dtype must be a floating-point torch dtype, got torch.int8"):
        save(sae, tmp_path / "a", **NAMES, dtype=torch.int8)
    with pytest.raises(TypeError, match="don't know how to save a SparseAutoencoder"):
        save(SparseAutoencoder(4, 8), tmp_path / "a", **NAMES)
    assert not (tmp_path / "a").exists()
    with torch.no_grad():
        sae.b_dec[0] = math.nan
    with pytest.raises(ValueError, match="b_dec holds values that aren't finite"):
        save(sae, tmp_path / "a", **NAMES)


def gemma_scope_arrays(d_model=6, d_sae=10):
    rng = np.random.default_rng(0)
    return {
        "W_enc": rng.normal(size=(d_model, d_sae)).astype(np.float32),
        "W_dec": rng.normal(size=(d_sae, d_model)).astype(np.float32),
        "b_enc": rng.normal(size=d_sae).astype(np.float32),
        "b_dec": rng.normal(size=d_model).astype(np.float32),
        "threshold": rng.uniform(0.1, 1.0, size=d_sae).astype(np.float32),
    }


def test_gemma_scope_files_give_the_latents_their_makers_define(tmp_path):
    a = gemma_scope_arrays()
    np.savez(tmp_path / "params.npz", **a)
    sae = load_gemma_scope(tmp_path / "params.npz")
    x = np.random.default_rng(1).normal(size=(50, 6)).astype(np.float32)
    pre = x @ a["W_enc"] + a["b_enc"]  # b_dec is not taken off
    expected = np.where(pre > a["threshold"], pre, 0)
    latents = sae.encode(torch.from_numpy(x))
    assert (expected > 0).any() and (expected == 0).any()
    torch.testing.assert_close(latents, torch.from_numpy(expected).float(), atol=1e-5, rtol=1e-5)
    decoded = expected @ a["W_dec"] + a["b_dec"]
    torch.testing.assert_close(sae.decode(latents), torch.from_numpy(decoded).float(), atol=1e-4, rtol=1e-4)


def gemma_scope_2(folder, config=True, **change):
    """A folder as Gemma Scope 2 publishes it: names in small letters, and a configuration."""
    folder.mkdir(exist_ok=True)
    tensors = {name.lower(): torch.from_numpy(value) for name, value in gemma_scope_arrays().items()}
    save_file(tensors, folder / "params.safetensors")
    said = {
        "hf_hook_point_in": "model.layers.22.output",
        "hf_hook_point_out": "model.layers.22.output",
        "width": 10,
        "model_name": "gemma-v3-4b-it",
        "architecture": "jump_relu",
        "l0": 60,
        "affine_connection": False,
        "type": "sae",
    }
    if config:
        (folder / "config.json").write_text(json.dumps(said | change))
    return folder


def test_gemma_scope_2_is_the_same_but_for_names(tmp_path):
    np.savez(tmp_path / "params.npz", **gemma_scope_arrays())
    folder, x = gemma_scope_2(tmp_path / "two"), torch.randn(50, 6, generator=torch.Generator().manual_seed(1))
    expected = load_gemma_scope(tmp_path / "params.npz")
    for path in (folder, folder / "params.safetensors", str(folder), tmp_path):
        sae = load_gemma_scope(path)
        assert torch.equal(sae.encode(x), expected.encode(x)) and torch.equal(sae(x), expected(x)) and not sae.training
    assert torch.equal(load_gemma_scope(gemma_scope_2(tmp_path / "bare", config=False))(x), expected(x))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"type": "transcoder"}, "says type='transcoder'"),
        ({"architecture": "topk"}, "says architecture='topk'"),
        ({"affine_connection": True}, "says affine_connection=True"),
        ({"hf_hook_point_out": "model.layers.22.mlp"}, "reads at .* and writes at .*: it is a transcoder"),
        ({"width": 16384}, "says width=16384, and the weights have 10 latents"),
        ({"normalised": True}, "sets normalised=True, a key that isn't known here"),
    ],
)
def test_what_gemma_scope_2_says_of_itself_is_heeded(change, words, tmp_path):
    with pytest.raises(ValueError, match=rf"config\.json {words}"):
        load_gemma_scope(gemma_scope_2(tmp_path / "two", **change))


def test_bad_gemma_scope_files_are_explained(tmp_path):
    path, a = tmp_path / "params.npz", gemma_scope_arrays()

    def refused(error, words, where=path):
        with pytest.raises(error, match=words):
            load_gemma_scope(where)

    refused(FileNotFoundError, r"params\.npz doesn't exist")
    refused(FileNotFoundError, "must hold exactly one of params.npz and params.safetensors; it holds nothing", tmp_path)
    np.savez(path, **a)
    whole = path.read_bytes()
    path.write_bytes(whole[:300])
    refused(ValueError, "can't be read")
    damaged = bytearray(whole)
    damaged[len(damaged) // 3] ^= 1
    path.write_bytes(damaged)
    refused(ValueError, "can't be read")
    for change, words in (
        ({"threshold": None}, "params.npz has no threshold"),
        ({"b_dec": np.zeros(5, dtype=np.float32)}, "params.npz: b_dec has shape"),
        ({"b_enc": np.full(10, np.nan, dtype=np.float32)}, "b_enc holds NaN"),
        (
            {"W_enc": np.zeros((2, 6, 10), dtype=np.float32)},
            r"has no W_enc of shape \(d_model, d_sae\); .*W_enc \(2, 6",
        ),
        ({"affine_skip_connection": np.zeros((6, 6), dtype=np.float32)}, "holds affine_skip_connection, which isn't"),
        ({"W_enc": np.array([{"code": 1}], dtype=object)}, r"W_enc\.npy holds Python objects \(pickled\)"),
        ({"W_enc": np.zeros((6, 10), dtype=np.int64)}, "W_enc.npy holds int64, expected floating-point numbers"),
    ):
        np.savez(path, **{name: value for name, value in (a | change).items() if value is not None})
        refused(ValueError, words)
    np.savez(path, **a)
    gemma_scope_2(tmp_path)
    refused(FileNotFoundError, "must hold exactly one of", tmp_path)
    path.write_bytes(pickle.dumps(a))
    refused(ValueError, "is a pickle, which could run code")
    path.write_text("not an array, and nothing pickled either")
    refused(ValueError, r"params\.npz can't be read .*another kind of file")


def test_a_size_that_only_a_header_claims_is_not_allocated(tmp_path):
    """A member whose header promises ten trillion numbers and holds none: refused from the header."""
    path = tmp_path / "params.npz"
    np.savez(path, **gemma_scope_arrays())
    with zipfile.ZipFile(path, "a") as archive, archive.open("huge.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, {"descr": "<f4", "fortran_order": False, "shape": (10**7, 10**6)})
    with pytest.raises(ValueError, match=r"huge\.npy has another size than its shape"):
        load_gemma_scope(path)
