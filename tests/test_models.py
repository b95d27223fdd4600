"""What `load_model`, `random_like` and `fingerprint` return and refuse. Marked `specimen`: the real weights."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import conftest
import pytest

from tests.doors.pretend_gpu import on_gpu, pretend_gpu
from utils import home, models, weights
from utils import specimen as spec
from utils.reading import tokens

# ---------------------------------------------------------------- any other model


@pytest.mark.parametrize("architecture", conftest.ARCHITECTURES)
def test_tiny_models_agree_with_plain_transformers(tmp_path, architecture, no_network):
    import torch
    from transformers import AutoModelForCausalLM

    folder = conftest.save_tiny_model(tmp_path / architecture, architecture)
    model = models.load_model(str(folder), device="cpu")
    plain = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    ids = model.tokenizer(["the cat sat on the mat"], add_special_tokens=False, return_tensors="pt")["input_ids"]
    assert model.to_string(ids[0]) == "the cat sat on the mat"
    with torch.no_grad():
        torch.testing.assert_close(model(ids), plain(ids).logits, atol=1e-5, rtol=1e-5)
    assert not model.training and model.cfg.n_layers == 2
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_activations_take_gradients_though_weights_do_not(tiny_model):
    grads = []

    def keep(activation, hook):
        activation.requires_grad_(True)
        activation.register_hook(lambda grad: grads.append(grad.abs().sum().item()))
        return activation

    logits = tiny_model.run_with_hooks(tiny_model.to_tokens("the cat"), fwd_hooks=[("blocks.0.hook_resid_post", keep)])
    logits[0, -1, 0].backward()
    assert len(grads) == 1 and grads[0] > 0
    assert all(parameter.grad is None for parameter in tiny_model.parameters())


def test_weights_that_cannot_be_read_are_named(tmp_path):
    folder = conftest.save_tiny_model(tmp_path / "broken")
    (folder / "model.safetensors").write_bytes(b"half a file")
    with pytest.raises(spec.SpecimenError, match="could not be loaded.*python -m utils.preflight"):
        models.load_model(folder, device="cpu")


def test_the_wrong_start_token_of_the_family_is_mended(tmp_path):
    folder = conftest.save_tiny_model(tmp_path / "family")
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config["bos_token"] = "<|im_start|>"
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    model = models.load_model(folder, device="cpu")
    assert model.tokenizer.bos_token == "<|endoftext|>"
    assert model.to_tokens("the cat")[0, 0].item() == 0


def test_random_like_is_an_untrained_copy(tiny_model):
    import torch

    state = torch.get_rng_state()
    one, again, other = (models.random_like(tiny_model, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    ids = tiny_model.to_tokens("the cat sat")
    with torch.no_grad():
        assert torch.equal(one(ids), again(ids))
        assert not torch.allclose(one(ids), other(ids))
        assert not torch.allclose(one(ids), tiny_model(ids))
    assert one.tokenizer.get_vocab() == tiny_model.tokenizer.get_vocab()
    assert one.cfg.n_layers == tiny_model.cfg.n_layers and not one.training


def test_hub_models_are_fetched_at_their_commit_and_never_as_pickle(tiny_folder, monkeypatch):
    import huggingface_hub

    asked = []

    def download(name, *, revision, allow_patterns, local_files_only=False):
        asked.append((name, revision, local_files_only))
        assert not any(pattern.endswith(("bin", "pt", "pkl")) for pattern in allow_patterns)
        if local_files_only:
            raise FileNotFoundError("not cached")
        return str(tiny_folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    models.load_model("someone/model", device="cpu", revision="abc123")
    assert asked == [("someone/model", "abc123", True), ("someone/model", "abc123", False)]
    name = "openai-community/gpt2"
    models.load_model(name, device="cpu")
    assert asked[-1] == (name, models.PINNED[name], False)


def test_hub_model_that_cannot_be_fetched_says_so(monkeypatch):
    import huggingface_hub

    def fail(*args, **kwargs):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(spec.SpecimenError, match="no route to host.*only the specimen"):
        models.load_model("someone/model", revision="abc123")


def test_pinned_revisions_are_full_commit_hashes():
    for name, revision in models.PINNED.items():
        assert len(revision) == 40 and int(revision, 16) and name.count("/") == 1


# ---------------------------------------------------------------- on a GPU


def test_models_on_a_gpu_hold_the_same_weights(tiny_folder, tmp_path, monkeypatch):
    """Random weights are drawn on the CPU and moved; activations and fingerprints come back on the CPU."""
    import torch

    from utils.reading import cache, collect

    monkeypatch.setenv("LAB_HOME", str(tmp_path))
    here = models.load_model(tiny_folder)
    twins = [models.random_like(here, 1, keep_embedding=keep) for keep in (True, False)]
    with pretend_gpu():
        there = models.load_model(tiny_folder, device="cuda")
        assert all(on_gpu(parameter) for parameter in there.parameters())
        assert models.fingerprint(there) == models.fingerprint(here)
        for keep, twin in zip((True, False), twins):
            moved = models.random_like(there, 1, keep_embedding=keep)
            assert all(on_gpu(parameter) for parameter in moved.parameters())
            assert models.fingerprint(moved) == models.fingerprint(twin)
            assert cache.weights_fingerprint(moved) == cache.weights_fingerprint(twin)
        hook = "blocks.1.hook_resid_post"
        acts = collect(there, ["the cat", "the dog sat"], [hook])
        assert not on_gpu(acts[hook])
    torch.testing.assert_close(acts[hook], collect(here, ["the cat", "the dog sat"], [hook], cache=False)[hook])


# ---------------------------------------------------------------- which weights are these?


@pytest.mark.parametrize("architecture", conftest.ARCHITECTURES)
def test_the_fingerprint_is_the_same_by_folder_and_by_model(tmp_path, architecture):
    folder = conftest.save_tiny_model(tmp_path / architecture, architecture)
    model = models.load_model(folder)
    assert models.fingerprint(model) == models.fingerprint(folder) == models.fingerprint(str(folder))
    assert models.fingerprint(models.load_model(folder, dtype="bfloat16")) == models.fingerprint(folder)
    other = conftest.save_tiny_model(tmp_path / "other", architecture, seed=1)
    assert models.fingerprint(other) != models.fingerprint(folder)


def test_the_fingerprint_of_a_model_made_elsewhere_is_that_of_its_weights(tiny_folder):
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import AutoModelForCausalLM, AutoTokenizer

    plain = AutoModelForCausalLM.from_pretrained(tiny_folder, attn_implementation="eager")
    wrapped = TransformerBridge.boot_transformers(
        "tiny", hf_model=plain, tokenizer=AutoTokenizer.from_pretrained(tiny_folder), device="cpu"
    )
    assert models.fingerprint(wrapped) == models.fingerprint(tiny_folder)


def test_the_fingerprint_stays_whatever_is_put_on_the_model_later(tiny_model):
    import torch

    before = models.fingerprint(tiny_model)
    with torch.no_grad():
        next(tiny_model.parameters()).add_(1)
    assert models.fingerprint(tiny_model) == before
    control = models.random_like(tiny_model, 1)
    assert models.fingerprint(control) != before
    assert models.fingerprint(control) == models.fingerprint(models.random_like(tiny_model, 1))


def test_the_fingerprint_does_not_depend_on_how_the_file_was_cut(tmp_path, tiny_folder):
    from safetensors.torch import load_file, save_file

    whole = load_file(tiny_folder / "model.safetensors")
    names = sorted(whole)
    cut = tmp_path / "cut"
    cut.mkdir()
    for part, some in (("a", names[::2]), ("b", names[1::2])):
        save_file({name: whole[name] for name in some}, cut / f"{part}.safetensors", metadata={"note": "another"})
    assert models.fingerprint(cut) == models.fingerprint(tiny_folder)
    swapped = {**whole, names[0]: whole[names[0]] + 1}
    save_file(swapped, cut / "model.safetensors")
    assert models.fingerprint(cut) != models.fingerprint(tiny_folder)


def test_the_fingerprint_explains_what_it_cannot_read(tmp_path):
    with pytest.raises(ValueError, match="model must be .* there is no folder"):
        models.fingerprint(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="holds no .safetensors file"):
        models.fingerprint(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"half a file")
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        models.fingerprint(tmp_path)
    with pytest.raises(TypeError, match="model must be a TransformerBridge .* or a string or a Path"):
        models.fingerprint(7)


@pytest.mark.specimen
def test_the_specimen_is_recognised_by_name_and_by_path(specimen):
    folder = spec.specimen_folder()
    assert models.fingerprint(specimen) == spec.SPECIMEN.fingerprint == weights.of_folder(folder)
    assert models.fingerprint(models.load_model(folder)) == spec.SPECIMEN.fingerprint


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"name": 3}, TypeError, "name must be a string or a Path, got 3"),
        ({"name": None}, TypeError, "name must be a string or a Path, got None"),
        ({"name": " "}, ValueError, "name must hold some text"),
        ({"name": "./nowhere/at/all"}, ValueError, "there is no folder"),
        ({"name": Path("nowhere")}, ValueError, "there is no folder"),
        ({"name": "someone/unpinned"}, ValueError, "fixed commit"),
        ({"revision": "main"}, ValueError, "pinned by its SHA-256"),
        ({"name": "someone/unpinned", "revision": 3}, TypeError, "revision must be a string, got 3"),
        ({"device": 0}, TypeError, "device must be a string or a device, got 0"),
        ({"dtype": "int8"}, ValueError, "dtype must be one of 'float32', 'bfloat16', 'float16', got the string 'int8'"),
    ],
)
def test_load_model_explains_bad_arguments(arguments, error, words):
    with pytest.raises(error, match=words):
        models.load_model(**arguments)


def test_load_model_explains_bad_devices_and_revisions_of_folders(tiny_folder):
    with pytest.raises(ValueError, match="device: 'toaster'"):
        models.load_model(tiny_folder, device="toaster")
    with pytest.raises(ValueError, match="revision: only for Hub names"):
        models.load_model(tiny_folder, revision="main")


@pytest.mark.parametrize(
    ("messages", "error", "words"),
    [
        (5, TypeError, "messages: got 5, expected"),
        ([], ValueError, "empty list"),
        (["hello"], ValueError, "expected {'role'"),
        ([{"role": "wizard", "content": "x"}], ValueError, "wizard"),
        ([{"role": "user", "content": 5}], TypeError, "content is int"),
        ("hello", ValueError, "no chat template"),
    ],
)
def test_chat_tokens_explains_bad_input(tiny_model, messages, error, words):
    with pytest.raises(error, match=words):
        tokens.chat_tokens(tiny_model, messages)


def test_random_like_can_keep_the_trained_embedding(tiny_model):
    import torch

    control = models.random_like(tiny_model, 1, keep_embedding=True)
    fresh = models.random_like(tiny_model, 1)
    assert torch.equal(control.W_E, tiny_model.W_E) and not torch.equal(fresh.W_E, tiny_model.W_E)
    weights, others, trained = (dict(m.original_model.named_parameters()) for m in (control, fresh, tiny_model))
    block = next(name for name in weights if "q_proj" in name)
    assert torch.equal(weights[block], others[block]) and not torch.equal(weights[block], trained[block])


def test_random_like_can_stop_early(tiny_model):
    control = models.random_like(tiny_model, 1, n_layers=1)
    assert control.cfg.n_layers == 1 < tiny_model.cfg.n_layers
    for wrong in (0, tiny_model.cfg.n_layers + 1):
        with pytest.raises(ValueError, match="n_layers must be"):
            models.random_like(tiny_model, n_layers=wrong)
    for wrong in (True, 1.0):
        with pytest.raises(TypeError, match="n_layers must be a whole number"):
            models.random_like(tiny_model, n_layers=wrong)


def test_random_like_explains_bad_seeds(tiny_model):
    for seed in (1.5, "1", True, None):
        with pytest.raises(TypeError, match="seed must be a whole number"):
            models.random_like(tiny_model, seed)
    with pytest.raises(TypeError, match="model must be a TransformerBridge"):
        models.random_like("llama")


# ---------------------------------------------------------------- imports


def test_importing_models_imports_nothing_heavy_and_loading_never_imports_wandb(tiny_folder):
    code = (
        "import sys; from utils import models; "
        "heavy = {'torch', 'transformers', 'transformer_lens'} & set(sys.modules); "
        "assert not heavy, heavy; "
        f"models.load_model({str(tiny_folder)!r}, device='cpu'); "
        "assert 'wandb' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=conftest.ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "Loading weights" not in done.stderr


# ---------------------------------------------------------------- the real specimen

PROMPTS = [
    "The Golden Gate Bridge is located in the city of",
    "The Eiffel Tower is in",
    "Bananas are",
    "Once upon a time",
    "12 + 30 =",
    "def add(a, b):\n    return",
    "El perro come",
    "Q: What is the capital of France?\nA:",
    "I am not",
    "The quick brown fox jumps over the lazy dog. " * 5,
    "<p>Hello</p>",
    "Zürich, naïve, 北京, 🙂",
    "A",
    "   indented",
    "SHOUTING IS RUDE",
    "1. Milk\n2. Eggs\n3.",
    "The opposite of hot is",
    "In 1969, humans first",
    "import numpy as np\nnp.",
    "He said: 'never again', and",
]


@pytest.mark.slow
@pytest.mark.specimen
def test_specimen_logits_agree_with_plain_transformers(specimen):
    import torch
    from transformers import AutoModelForCausalLM

    # A second copy with the attention transformers would choose: wrapping changes a model in place.
    plain = AutoModelForCausalLM.from_pretrained(spec.specimen_folder(), dtype=torch.float32).eval()
    assert len(set(PROMPTS)) == 20
    worst = 0.0
    for prompt in PROMPTS:
        ids = specimen.to_tokens(prompt)
        assert ids[0, 0].item() == 0 and ids.shape[1] > 1
        with torch.no_grad():
            worst = max(worst, (specimen(ids) - plain(ids).logits).abs().max().item())
    assert worst < 1e-3


@pytest.mark.specimen
def test_specimen_knows_where_the_bridge_is(specimen):
    ids = specimen.to_tokens("The Golden Gate Bridge is located in the city of")
    out = specimen.generate(ids, max_new_tokens=2, do_sample=False, verbose=False, return_type="tokens")
    assert specimen.to_string(out[0, ids.shape[1] :]).startswith(" San Francisco")


@pytest.mark.specimen
def test_specimen_is_what_its_card_says(specimen):
    card, cfg = spec.SPECIMEN, specimen.cfg
    assert sum(parameter.numel() for parameter in specimen.parameters()) == card.parameters
    assert (cfg.n_layers, cfg.d_model, cfg.n_heads, cfg.n_key_value_heads) == (30, 576, 9, 3)
    assert (card.layers, card.d_model, card.heads, card.key_value_heads) == (30, 576, 9, 3)
    assert (cfg.d_mlp, cfg.d_vocab, card.d_mlp, card.vocabulary) == (1536, 49_152, 1536, 49_152)
    assert cfg.model_name == card.name == models.DEFAULT
    assert card.weights_sha256 == home.sha256_of(spec.specimen_folder() / "model.safetensors")
    assert card.licence == "Apache-2.0" and "2502.02737" in card.paper


@pytest.mark.specimen
def test_specimen_tokenizer(specimen):
    tokenizer = specimen.tokenizer
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (0, 2, 2)
    assert len(tokenizer("2025", add_special_tokens=False)["input_ids"]) == 4
    text = "a , b ! it 's"
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


@pytest.mark.specimen
def test_chat_tokens_follow_the_template_without_a_start_token(specimen):
    ids = tokens.chat_tokens(specimen, "Hi")
    text = specimen.to_string(ids[0])
    assert ids.shape[0] == 1 and ids[0, 0].item() == 1
    assert text.startswith("<|im_start|>system\n") and text.endswith("<|im_start|>assistant\n")
    assert "<|endoftext|>" not in text and "<|im_start|>user\nHi<|im_end|>" in text
    begun = tokens.chat_tokens(specimen, [{"role": "user", "content": "Hi"}], answer_start="Well")
    assert specimen.to_string(begun[0]) == text + "Well"


@pytest.mark.specimen
@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="reads Linux's memory maps")
def test_specimen_weights_are_mapped_from_disk_and_shared(specimen):
    """The weights must be clean pages of the file, which all kernels of a machine share."""
    import torch

    with torch.no_grad():
        specimen(specimen.to_tokens("every weight is touched once"))
    # Tiny models of other tests are mapped too, and their fresh files have dirty pages: look at the specimen's only.
    weights = str((spec.specimen_folder() / "model.safetensors").resolve())
    mapped = dirty = inside = 0
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split(" ")[0]:
            inside = line.rstrip().endswith(weights)
        elif inside and line.startswith("Rss:"):
            mapped += int(line.split()[1])
        elif inside and line.startswith("Private_Dirty:"):
            dirty += int(line.split()[1])
    assert mapped / 1e3 > 300, "the weights were read into private memory"
    assert dirty == 0, "some weights were written to, which makes a private copy of them"
