"""utils.sae.files: what is saved comes back, and a wrong file is named. `make bench-sae` checks the layout itself."""

import json
import math

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
    path = folder / "cfg.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **config}))


def change_weights(folder, **tensors):
    path = folder / "sae_weights.safetensors"
    merged = {**load_file(path), **tensors}
    save_file({name: value for name, value in merged.items() if value is not None}, path)


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


def test_a_topk_from_before_version_6(tmp_path):
    sae, folder = saved(tmp_path, "topk")
    change(folder, architecture="standard", k=None, activation_fn_str="topk", activation_fn_kwargs={"k": 2})
    back = load(folder)
    assert type(back) is TopKSAE and back.k == 2
    torch.testing.assert_close(back.encode(data(dtype=torch.float32)), sae.encode(data(dtype=torch.float32)))


# --------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize("name", ["cfg.json", "sae_weights.safetensors"])
def test_missing_files_are_named(name, tmp_path):
    _, folder = saved(tmp_path)
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"has no {name}: an SAE is a folder with"):
        load(folder)
    with pytest.raises(FileNotFoundError, match="has no cfg.json"):
        load(tmp_path / "nowhere")


@pytest.mark.parametrize("how", ["cut", "empty", "pickle", "text"])
def test_a_weight_file_that_cannot_be_read(how, tmp_path):
    sae, folder = saved(tmp_path)
    path = folder / "sae_weights.safetensors"
    if how == "cut":
        path.write_bytes(path.read_bytes()[:-50])
    elif how == "pickle":
        torch.save(sae.state_dict(), path)
    else:
        path.write_text("" if how == "empty" else "version https://example.org/large-file-pointer")
    with pytest.raises(ValueError, match=r"sae_weights\.safetensors can't be read .*: it was cut, or is another kind"):
        load(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '"topk"', "{}", '{"d_in": 6}'])
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
        ({"k": 16}, "k must be a whole number between 1 and d_sae = 15, got 16"),
        ({"k": None}, "k must be a whole number between 1 and d_sae = 15, got None"),
        ({"d_in": "6"}, "d_model must be a whole number"),
        ({"d_in": 7}, r"W_enc has shape \(6, 15\), expected \(7, 15\)"),
        ({"d_sae": 14}, r"W_enc has shape \(6, 15\), expected \(6, 14\)"),
        ({"architecture": "jumprelu"}, "has no threshold; it holds W_dec, W_enc, b_dec, b_enc"),
        ({"architecture": "gated"}, "has no b_gate"),
    ],
)
def test_a_configuration_that_does_not_fit(config, match, tmp_path):
    _, folder = saved(tmp_path)
    change(folder, **config)
    with pytest.raises(ValueError, match=match):
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


def test_bad_gemma_scope_files_are_explained(tmp_path):
    path, a = tmp_path / "params.npz", gemma_scope_arrays()
    with pytest.raises(FileNotFoundError, match="params.npz"):
        load_gemma_scope(path)
    np.savez(path, **a)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(ValueError, match="can't be read"):
        load_gemma_scope(path)
    np.savez(path, **{k: v for k, v in a.items() if k != "threshold"})
    with pytest.raises(ValueError, match="params.npz has no threshold"):
        load_gemma_scope(path)
    np.savez(path, **(a | {"b_dec": np.zeros(5, dtype=np.float32)}))
    with pytest.raises(ValueError, match="params.npz: b_dec has shape"):
        load_gemma_scope(path)
    np.savez(path, **(a | {"b_enc": np.full(10, np.nan, dtype=np.float32)}))
    with pytest.raises(ValueError, match="NaN"):
        load_gemma_scope(path)
    np.savez(path, W_enc=np.array([{"code": 1}], dtype=object))
    with pytest.raises(ValueError, match="can't be read"):
        load_gemma_scope(path)
