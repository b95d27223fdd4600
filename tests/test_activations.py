"""utils.reading.activations against TransformerLens' own run_with_cache, on tiny random models and on the specimen."""

import os
import subprocess
import sys
import tempfile
import threading
import warnings

import numpy as np
import pytest
import torch
from conftest import ROOT

from utils.reading import cache as store
from utils.reading import massive_tokens, residual_norms
from utils.reading.activations import Activations, collect, stream

TEXTS = [
    "one two three",
    "one",
    "seven six five four three two one zero",
    "zero one zero one",
    "five",
    "six six six",
]
HOOKS = ["blocks.0.hook_resid_pre", "blocks.1.hook_resid_mid", "blocks.1.attn.hook_z", "blocks.1.hook_mlp_out"]
WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven"]


def tiny_tokenizer(folder):
    """One token a word. Saved and loaded again, because TransformerLens reads a tokenizer's folder itself."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    names = ["<bos>", "<eos>", "<unk>", *WORDS]
    inner = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<eos>",
        unk_token="<unk>",
    ).save_pretrained(folder)
    return PreTrainedTokenizerFast.from_pretrained(folder)


def tiny_model(architecture="llama", seed=0):
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig

    if architecture == "llama":
        config = LlamaConfig(
            vocab_size=11,
            hidden_size=24,
            intermediate_size=40,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=16,
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=1,
        )
    else:
        config = GPT2Config(vocab_size=11, n_embd=24, n_layer=3, n_head=4, n_positions=16, bos_token_id=0)
    torch.manual_seed(seed)
    hf_model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    # from_config leaves most weights near zero; larger ones make a mistake in the positions visible
    with torch.no_grad():
        for parameter in hf_model.parameters():
            parameter.normal_(std=0.3)
    with tempfile.TemporaryDirectory() as folder:
        model = TransformerBridge.boot_transformers(
            f"tiny-{architecture}", hf_model=hf_model, tokenizer=tiny_tokenizer(folder), device="cpu"
        )
    return model.eval()


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def model(request):
    return tiny_model(request.param)


@pytest.fixture(scope="module")
def llama():
    return tiny_model("llama")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """No test reads or fills the user's cache, and each may warn once."""
    monkeypatch.setenv("LAB_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(store, "_warned", False)


def token_lists(model, texts=TEXTS):
    return [[0] + model.tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]


def one_by_one(model, lists, hooks):
    """The reference: TransformerLens on one text at a time, so that there is no padding at all."""
    caches = []
    for ids in lists:
        with torch.no_grad():
            caches.append(model.run_with_cache(torch.tensor([ids]), names_filter=list(hooks))[1])
    return {hook: [cache[hook][0] for cache in caches] for hook in hooks}


def cached_files():
    return list(store.cache_folder().glob("*.safetensors"))


# ------------------------------------------------------------------------------------------ right numbers


@pytest.mark.parametrize("tokens_per_batch", [1, 9, 1000])
def test_last_position_equals_run_with_cache(model, tokens_per_batch):
    expected = one_by_one(model, token_lists(model), HOOKS)
    result = collect(model, TEXTS, HOOKS, tokens_per_batch=tokens_per_batch, cache=False)
    assert len(result) == len(TEXTS) and result.hooks == HOOKS
    for hook in HOOKS:
        torch.testing.assert_close(result[hook], torch.stack([e[-1] for e in expected[hook]]), atol=1e-5, rtol=0)
    assert result.text_index.tolist() == list(range(len(TEXTS)))
    assert result.position.tolist() == [len(ids) - 1 for ids in token_lists(model)]
    assert result.token.tolist() == [ids[-1] for ids in token_lists(model)]


@pytest.mark.parametrize("tokens_per_batch", [1, 9, 1000])
def test_all_positions_equal_run_with_cache(model, tokens_per_batch):
    expected = one_by_one(model, token_lists(model), HOOKS)
    result = collect(model, TEXTS, HOOKS, "all", tokens_per_batch=tokens_per_batch, cache=False)
    for hook in HOOKS:
        torch.testing.assert_close(result[hook], torch.cat(expected[hook]), atol=1e-5, rtol=0)
    lengths = [len(ids) for ids in token_lists(model)]
    assert result.text_index.tolist() == [i for i, n in enumerate(lengths) for _ in range(n)]
    assert result.position.tolist() == [p for n in lengths for p in range(n)]
    assert result.token.tolist() == sum(token_lists(model), [])


@pytest.mark.parametrize("side", ["left", "right"])
def test_equals_a_padded_run_with_cache(model, side):
    """Against one padded batch, as most code does it: TransformerLens handles the mask for either side."""
    lists = token_lists(model)
    longest = max(len(ids) for ids in lists)
    padded = torch.full((len(lists), longest), 1)
    mask = torch.zeros_like(padded)
    for i, ids in enumerate(lists):
        place = slice(longest - len(ids), None) if side == "left" else slice(0, len(ids))
        padded[i, place], mask[i, place] = torch.tensor(ids), 1
    with torch.no_grad():
        cache = model.run_with_cache(padded, attention_mask=mask, names_filter=HOOKS)[1]
    result = collect(model, TEXTS, HOOKS, "all", cache=False)
    for hook in HOOKS:
        torch.testing.assert_close(result[hook], cache[hook][mask.bool()], atol=1e-5, rtol=0)


def test_masks_indices_and_functions_pick_the_same_rows(llama):
    hook = "blocks.2.hook_resid_post"
    everything = collect(llama, TEXTS, [hook], "all", cache=False)
    is_one = everything.token == 4  # "one"
    by_function = collect(llama, TEXTS, [hook], lambda ids: ids == 4, cache=False)
    torch.testing.assert_close(by_function[hook], everything[hook][is_one])
    assert by_function.text_index.tolist() == everything.text_index[is_one].tolist()
    masks = [[t == 4 for t in ids] for ids in token_lists(llama)]
    indices = [[i for i, t in enumerate(ids) if t == 4] for ids in token_lists(llama)]
    arrays = [np.array(mask) for mask in masks]
    for positions in (masks, indices, arrays):
        torch.testing.assert_close(collect(llama, TEXTS, [hook], positions, cache=False)[hook], by_function[hook])
    last = collect(llama, TEXTS, [hook], [-1] * len(TEXTS), cache=False)
    torch.testing.assert_close(last[hook], collect(llama, TEXTS, [hook], cache=False)[hook])


def test_token_id_lists_are_used_as_they_are(llama):
    hook = HOOKS[1]
    ours = collect(llama, TEXTS, [hook], "all", cache=False)
    ids = collect(llama, token_lists(llama), [hook], "all", cache=False)
    tensors = collect(llama, [torch.tensor(t) for t in token_lists(llama)], [hook], "all", cache=False)
    torch.testing.assert_close(ours[hook], ids[hook])
    torch.testing.assert_close(ours[hook], tensors[hook])
    bare = collect(llama, TEXTS, [hook], "all", prepend_bos=False, cache=False)
    assert len(bare) == len(ours) - len(TEXTS) and 0 not in bare.token


def test_stream_gives_the_rows_of_collect(llama):
    whole = collect(llama, TEXTS, HOOKS, "all", cache=False)
    chunks = list(stream(llama, TEXTS, HOOKS, tokens_per_batch=9, shuffle_seed=3))
    assert len(chunks) > 2 and sum(len(chunk) for chunk in chunks) == len(whole)
    key = torch.cat([chunk.text_index * 100 + chunk.position for chunk in chunks])
    order = key.argsort()
    for hook in HOOKS:
        torch.testing.assert_close(torch.cat([c.acts[hook] for c in chunks])[order], whole[hook])
    torch.testing.assert_close(torch.cat([c.token for c in chunks])[order], whole.token)


def test_only_the_layers_needed_run(llama):
    ran = []
    handle = llama.original_model.model.layers[1].register_forward_pre_hook(lambda *_: ran.append(1))
    try:
        collect(llama, TEXTS, ["blocks.0.hook_resid_post", "hook_embed"], cache=False)
        assert not ran
        collect(llama, TEXTS, ["blocks.1.hook_resid_post"], cache=False)
        assert ran
    finally:
        handle.remove()


def test_model_is_left_as_it_was(llama):
    ids = torch.tensor([token_lists(llama)[2]])
    before = llama(ids)
    llama.train()
    dropout_like = [m.training for m in llama.modules()]
    collect(llama, TEXTS, HOOKS, "all", cache=False)
    assert [m.training for m in llama.modules()] == dropout_like
    llama.eval()
    torch.testing.assert_close(llama(ids), before)
    assert not any(point.fwd_hooks for point in llama.hook_dict.values())


def test_dtype(llama):
    hook = HOOKS[0]
    half = collect(llama, TEXTS, [hook], dtype=torch.float16, cache=True)
    again = collect(llama, TEXTS, [hook], dtype=torch.float16, cache=True)
    assert half[hook].dtype == again[hook].dtype == torch.float16 and again.from_cache
    torch.testing.assert_close(half[hook].float(), collect(llama, TEXTS, [hook])[hook], atol=1e-2, rtol=1e-2)


# -------------------------------------------------------------------------------------------------- cache


def test_second_call_reads_the_disk(llama, monkeypatch):
    first = collect(llama, TEXTS, HOOKS, "all")
    monkeypatch.setattr(type(llama), "run_with_hooks", lambda *a, **k: pytest.fail("the model ran again"))
    second = collect(llama, TEXTS, list(reversed(HOOKS)), "all")
    assert second.from_cache and not first.from_cache and second.hooks == list(reversed(HOOKS))
    for hook in HOOKS:
        assert torch.equal(first[hook], second[hook])
    assert torch.equal(first.token, second.token)
    assert not list(store.cache_folder().glob("*.partial"))


def test_anything_that_matters_changes_the_key(llama):
    collect(llama, TEXTS, HOOKS)
    for change in (
        {"texts": TEXTS[:-1]},
        {"texts": TEXTS[::-1]},
        {"hooks": HOOKS[:1]},
        {"positions": "all"},
        {"prepend_bos": False},
        {"dtype": torch.float16},
    ):
        arguments = {"texts": TEXTS, "hooks": HOOKS} | change
        assert not collect(llama, **arguments).from_cache, change
    with torch.no_grad():
        llama.original_model.model.layers[0].mlp.up_proj.weight.view(-1)[7] += 1e-6
    assert not collect(llama, TEXTS, HOOKS).from_cache
    assert collect(llama, TEXTS, HOOKS, tokens_per_batch=9).from_cache  # batching does not change results


def test_swapping_two_rows_of_a_weight_is_noticed(llama):
    before = store.weights_fingerprint(llama)
    weight = llama.original_model.model.layers[1].mlp.up_proj.weight
    weight.data[[0, 1]] = weight.data[[1, 0]]
    assert store.weights_fingerprint(llama) != before
    weight.data[[0, 1]] = weight.data[[1, 0]]
    assert store.weights_fingerprint(llama) == before


def test_an_attached_hook_bypasses_the_cache(llama):
    hook = "blocks.2.hook_resid_post"
    plain = collect(llama, TEXTS, [hook])
    llama.add_hook("blocks.1.hook_resid_post", lambda value, hook: value + 1.0)
    try:
        steered = collect(llama, TEXTS, [hook])
    finally:
        llama.reset_hooks()
    assert not steered.from_cache and not torch.allclose(steered[hook], plain[hook])
    assert torch.equal(collect(llama, TEXTS, [hook])[hook], plain[hook])


@pytest.mark.parametrize("damage", ["cut", "flip", "header", "empty", "garbage"])
def test_a_damaged_file_is_computed_again(llama, damage):
    first = collect(llama, TEXTS, HOOKS, "all")
    (path,) = cached_files()
    good = path.read_bytes()
    bad = {
        "cut": good[: len(good) // 2],
        "flip": good[:-5] + bytes([good[-5] ^ 1]) + good[-4:],
        "header": b"\xff" * 8 + good[8:],
        "empty": b"",
        "garbage": os.urandom(len(good)),
    }[damage]
    path.write_bytes(bad)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        second = collect(llama, TEXTS, HOOKS, "all")
    assert not second.from_cache and torch.equal(first[HOOKS[0]], second[HOOKS[0]])
    assert collect(llama, TEXTS, HOOKS, "all").from_cache


def test_large_results_go_through_a_file_and_are_the_same(llama, monkeypatch):
    small = collect(llama, TEXTS, HOOKS, "all", cache=False)
    monkeypatch.setattr(store, "IN_MEMORY_BYTES", 0)
    for cache in (True, False):
        large = collect(llama, TEXTS, HOOKS, "all", cache=cache)
        for hook in HOOKS:
            assert torch.equal(small[hook], large[hook])
    assert collect(llama, TEXTS, HOOKS, "all").from_cache
    assert len(list(store.cache_folder().iterdir())) == 1


def test_memory_does_not_grow_with_the_number_of_texts(llama, monkeypatch):
    """What is held in tensors of our own at any moment is one batch, however many texts there are."""
    monkeypatch.setattr(store, "IN_MEMORY_BYTES", 0)
    rows = []
    write = store.FileSink.write
    monkeypatch.setattr(store.FileSink, "write", lambda s, n, i, v: (rows.append(len(v)), write(s, n, i, v))[1])
    monkeypatch.setattr(store.MemorySink, "__init__", lambda *a: pytest.fail("a large result was built in memory"))
    collect(llama, TEXTS * 20, HOOKS[:1], "all", tokens_per_batch=18)
    assert sum(rows) == 20 * sum(len(t) for t in token_lists(llama)) and max(rows) <= 18


@pytest.mark.parametrize("large", [False, True])
def test_full_disk_costs_one_warning(llama, monkeypatch, large):
    monkeypatch.setattr(store, "IN_MEMORY_BYTES", 0 if large else 2**28)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "_reserve", full)
    with pytest.warns(UserWarning, match="No space left") as caught:
        first = collect(llama, TEXTS, HOOKS, "all")
        collect(llama, TEXTS, HOOKS, "all")
    assert len(caught) == 1 and len(first) > 0 and not cached_files()
    assert not list(store.cache_folder().glob("*.partial"))


def test_a_home_that_cannot_be_made_costs_one_warning(llama, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("LAB_HOME", str(tmp_path / "file" / "home"))
    with pytest.warns(UserWarning, match="not kept on disk") as caught:
        collect(llama, TEXTS, HOOKS)
        collect(llama, TEXTS, HOOKS)
    assert len(caught) == 1


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser can write anywhere")
def test_a_read_only_cache_costs_one_warning(llama):
    store.cache_folder().mkdir(parents=True)
    store.cache_folder().chmod(0o555)
    with pytest.warns(UserWarning, match="not kept on disk") as caught:
        collect(llama, TEXTS, HOOKS)
    assert len(caught) == 1


def test_a_lock_that_cannot_be_taken_costs_one_warning(llama, monkeypatch):
    import filelock

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    with pytest.warns(UserWarning, match="Permission denied") as caught:
        assert len(collect(llama, TEXTS, HOOKS)) == len(TEXTS)
    assert len(caught) == 1 and not cached_files()


def test_an_interrupt_leaves_nothing_behind(llama, monkeypatch):
    monkeypatch.setattr(store, "IN_MEMORY_BYTES", 0)

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(store.FileSink, "write", interrupt)
    with pytest.raises(KeyboardInterrupt):
        collect(llama, TEXTS, HOOKS)
    assert not list(store.cache_folder().iterdir())


def test_two_at_once_compute_it_once(monkeypatch):
    """Two kernels, each with its own copy of the model, meet at the lock."""
    models = [tiny_model(seed=5), tiny_model(seed=5)]
    runs, run = [], type(models[0]).run_with_hooks
    monkeypatch.setattr(type(models[0]), "run_with_hooks", lambda *a, **k: (runs.append(1), run(*a, **k))[1])
    results = []
    threads = [threading.Thread(target=lambda m=model: results.append(collect(m, TEXTS, HOOKS))) for model in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 2 and len(runs) == 1
    assert sorted(result.from_cache for result in results) == [False, True]


def test_the_folder_stays_under_its_limit(llama, monkeypatch):
    collect(llama, TEXTS, HOOKS)
    os.utime(cached_files()[0], (1, 1))
    monkeypatch.setattr(store, "CACHE_LIMIT_BYTES", 1)
    collect(llama, TEXTS[:2], HOOKS)
    assert len(cached_files()) == 1  # the older went, the newest always stays


def begun(folder):
    """A result that somebody has begun and not finished."""
    return store.FileSink({"x": (4, 8)}, torch.float32, folder / "result.safetensors")


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs a signal that cannot be caught")
@pytest.mark.parametrize("kept", [True, False])
def test_what_a_killed_collect_left_is_swept_away(llama, tmp_path, monkeypatch, kept):
    """faults.md 8: 3.4 GB lay in the folder after nine kills, outside its limit."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(store, "IN_MEMORY_BYTES", 0)
    folder = store.cache_folder() if kept else tmp_path
    folder.mkdir(parents=True, exist_ok=True)
    path = f"pathlib.Path({str(folder)!r}) / 'result.safetensors'" if kept else "None"
    code = (
        "import os, pathlib, signal, torch; from utils.reading import cache\n"
        f"cache.FileSink({{'x': (4, 8)}}, torch.float32, {path}); os.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, timeout=120)
    assert len(list(folder.glob("*.partial"))) == 1, "the kill came too early to mean anything"
    alive = begun(folder)
    collect(llama, TEXTS, HOOKS, cache=kept)
    assert list(folder.glob("*.partial")) == [alive.temporary], "the dead one's goes, the living one's stays"
    alive.abandon()


def test_unfinished_files_count_in_the_limit(llama, monkeypatch):
    collect(llama, TEXTS, HOOKS)
    size = cached_files()[0].stat().st_size
    os.utime(cached_files()[0], (1, 1))
    alive = begun(store.cache_folder())
    monkeypatch.setattr(store, "CACHE_LIMIT_BYTES", 2 * size + 10)
    collect(llama, [text + " two" for text in TEXTS], HOOKS)
    assert len(cached_files()) == 1
    alive.abandon()


@pytest.mark.skipif(os.name == "nt", reason="rights are POSIX's")
@pytest.mark.parametrize("large", [False, True])
def test_kept_results_have_the_rights_this_user_gives(llama, monkeypatch, large):
    """faults.md 15: with 0600 the other users of a shared folder removed each other's results and computed again."""
    monkeypatch.setattr(store, "IN_MEMORY_BYTES", 0 if large else 2**28)
    before = os.umask(0o022)
    try:
        collect(llama, TEXTS, HOOKS)
    finally:
        os.umask(before)
    assert [oct(path.stat().st_mode & 0o777) for path in cached_files()] == ["0o644"]


def test_a_result_that_cannot_be_read_now_is_computed_and_not_removed(llama, monkeypatch):
    collect(llama, TEXTS, HOOKS)
    (path,) = cached_files()

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(store, "_checksum", refuse)
    assert store.read_cache(path, HOOKS) is None and path.is_file()


@pytest.mark.parametrize("large", [False, True])
def test_a_disk_that_cannot_map_files_is_read_instead(llama, monkeypatch, large):
    import safetensors.torch

    monkeypatch.setattr(store, "IN_MEMORY_BYTES", 0 if large else 2**28)
    expected = collect(llama, TEXTS, HOOKS, cache=False)

    def refuse(*_):
        raise OSError(19, "No such device")

    monkeypatch.setattr(safetensors.torch, "load_file", refuse)
    first, again = collect(llama, TEXTS, HOOKS), collect(llama, TEXTS, HOOKS)
    assert again.from_cache and not first.from_cache
    assert torch.equal(first[HOOKS[0]], expected[HOOKS[0]]) and torch.equal(again[HOOKS[0]], expected[HOOKS[0]])


# ---------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"texts": []}, ValueError, "texts is empty"),
        ({"texts": "one two"}, TypeError, r"write \[text\]"),
        ({"texts": 7}, TypeError, "got 7"),
        ({"texts": ["one", ""]}, ValueError, r"texts\[1\] is an empty string"),
        ({"texts": ["one", 3]}, TypeError, r"texts\[1\] must be a string"),
        ({"texts": ["one", None]}, TypeError, r"texts\[1\] must be a string"),
        ({"texts": [[1, 2], []]}, ValueError, r"texts\[1\] is an empty list"),
        ({"texts": [[1.5, 2.0]]}, TypeError, "token ids"),
        ({"texts": [[True, False]]}, TypeError, "token ids"),
        ({"texts": [[1, 99]]}, ValueError, r"outside 0\.\.10"),
        ({"texts": [torch.zeros(2, 2).long()]}, TypeError, "1-d"),
        ({"texts": torch.zeros(2, 2, dtype=torch.long)}, TypeError, "padded tensor"),
        ({"texts": ["one", "two " * 20]}, ValueError, r"texts\[1\] has 21 tokens; this model reads at most 16"),
        ({"hooks": []}, ValueError, "hooks is empty"),
        ({"hooks": "blocks.0.hook_resid_post"}, TypeError, "must be a list"),
        ({"hooks": [3]}, TypeError, r"hooks\[0\] must be a string"),
        ({"hooks": ["blocks.1.hook_residpost"]}, ValueError, "close matches: blocks.1.hook_resid_post"),
        ({"hooks": ["blocks.9.hook_resid_post"]}, ValueError, "from 0 to 2"),
        ({"hooks": ["blocks.1.attn.hook_pattern"]}, ValueError, "run_with_cache"),
        ({"positions": "first"}, ValueError, "'first'"),
        ({"positions": 3}, TypeError, "got 3"),
        ({"positions": [0]}, ValueError, "1 entries for 6 texts"),
        ({"positions": [99] * 6}, ValueError, r"positions\[0\] = \[99\] is outside"),
        ({"positions": [[True]] * 6}, ValueError, "mask of shape"),
        ({"positions": ["x"] * 6}, TypeError, r"positions\[0\] must be"),
        ({"positions": [0.5] * 6}, TypeError, r"positions\[0\] must be"),
        ({"positions": lambda ids: ids > 100}, ValueError, "picks no token"),
        ({"tokens_per_batch": 0}, ValueError, "at least 1"),
        ({"tokens_per_batch": 1.5}, TypeError, "tokens_per_batch must be a whole number"),
        ({"dtype": torch.int64}, TypeError, "floating-point"),
        ({"model": "gpt2"}, TypeError, "load_model"),
    ],
)
def test_bad_input_is_named(llama, change, error, says):
    arguments = {"model": llama, "texts": TEXTS, "hooks": HOOKS, "cache": False} | change
    with pytest.raises(error, match=says):
        collect(**arguments)
    if "dtype" not in change:
        arguments.pop("cache")
        with pytest.raises(error, match=says):
            stream(**arguments)  # raises here, not at the first chunk


def test_nan_names_the_text():
    model = tiny_model(seed=1)
    with torch.no_grad():
        model.original_model.model.embed_tokens.weight[7] = float("nan")  # "four"
    collect(model, ["one two", "three"], HOOKS)
    with pytest.raises(ValueError, match=r"blocks.0.hook_resid_pre holds NaN or infinity for texts\[2\]"):
        collect(model, ["one two", "three", "one four"], HOOKS, "all")
    assert len(cached_files()) == 1  # the failed one left nothing


def test_the_result_names_what_it_holds(llama):
    result = collect(llama, TEXTS, HOOKS[:1])
    assert isinstance(result, Activations) and "(6, 24)" in repr(result)
    with pytest.raises(KeyError, match="collected: blocks.0.hook_resid_pre"):
        result["blocks.1.hook_resid_mid"]


# ------------------------------------------------------------------------------------------- the specimen


@pytest.mark.specimen
def test_on_the_specimen(specimen):
    model = specimen
    texts = ["The Golden Gate Bridge is located in the city of", "Bananas are", "Two and two make four, as a rule."]
    hooks = ["blocks.5.hook_resid_post", "blocks.11.attn.hook_z"]
    lists = [model.to_tokens(text)[0].tolist() for text in texts]
    expected = one_by_one(model, lists, hooks)
    result = collect(model, texts, hooks, "all", cache=False, progress=False)
    assert result.token.tolist() == sum(lists, [])  # the same tokens as model.to_tokens, document start included
    for hook in hooks:
        # Vectors here are 10 to 10,000 long, and a batch adds up in another order: 1e-5 of each vector's length.
        right = torch.cat(expected[hook]).flatten(1)
        error = (result[hook].flatten(1) - right).norm(dim=1) / right.norm(dim=1)
        assert error.max() < 1e-5
    norms = residual_norms(result[hooks[0]])
    assert massive_tokens(result[hooks[0]])[0] and norms[0] > 4 * norms.median()
