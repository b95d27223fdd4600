"""Where the lab keeps things: one absolute home, whole files, checks that are made once."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from utils import home, preflight, specimen, weights

needs_posix = pytest.mark.skipif(os.name == "nt", reason="rights and users are POSIX's")


# ---------------------------------------------------------------- where


def test_lab_home_is_the_variable_or_the_home_folder(monkeypatch):
    monkeypatch.setenv("LAB_HOME", os.path.join("~", "somewhere"))
    assert home.lab_home() == Path.home() / "somewhere"
    monkeypatch.setenv("LAB_HOME", "  ")
    assert home.lab_home() == Path.home() / ".llm-biology-lab"


def test_a_relative_lab_home_is_one_folder_wherever_the_kernel_started(monkeypatch, tmp_path):
    monkeypatch.setenv("LAB_HOME", "my-lab")
    first = home.lab_home()
    monkeypatch.chdir(tmp_path)
    assert home.lab_home() == first == ROOT / "my-lab" and first.is_absolute()
    monkeypatch.setenv("LAB_HOME", os.path.join("..", "beside"))
    assert home.lab_home() == ROOT.parent / "beside"


@needs_posix
@pytest.mark.parametrize("somebody_elses", [False, True])
def test_an_account_without_a_home_gets_a_temporary_one_and_a_warning(monkeypatch, tmp_path, somebody_elses):
    def homeless(*_):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("LAB_HOME")
    monkeypatch.setattr(Path, "home", homeless)
    monkeypatch.setattr(home.tempfile, "tempdir", str(tmp_path))
    home._temporary_home.cache_clear()
    usual = tmp_path / f"llm-biology-lab-{os.getuid()}"
    if somebody_elses:
        (tmp_path / "elsewhere").mkdir()
        usual.symlink_to(tmp_path / "elsewhere")
    with pytest.warns(UserWarning, match="no home folder.*set LAB_HOME") as caught:
        first, again = home.lab_home(), home.lab_home()
    home._temporary_home.cache_clear()
    assert first == again and first.is_dir() and first.parent == tmp_path and len(caught) == 1
    assert (first == usual) != somebody_elses
    assert stat.S_IMODE(first.stat().st_mode) == 0o700


# ---------------------------------------------------------------- whole files


@needs_posix
def test_new_files_have_the_rights_this_user_gives(tmp_path):
    before = os.umask(0o022)
    try:
        home.write_whole(tmp_path / "note", "words")
        descriptor, path = home.new_file(tmp_path)
        os.close(descriptor)
        os.umask(0o077)
        home.write_whole(tmp_path / "private", "words")
    finally:
        os.umask(before)
    assert [stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "note", path)] == [0o644, 0o644]
    assert stat.S_IMODE((tmp_path / "private").stat().st_mode) == 0o600


def test_a_file_that_cannot_be_finished_leaves_the_old_one(tmp_path, monkeypatch):
    home.write_whole(tmp_path / "note", "old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        home.write_whole(tmp_path / "note", "new")
    assert [p.name for p in tmp_path.iterdir()] == ["note"] and (tmp_path / "note").read_text() == "old"


def test_sha256_names_its_argument(tmp_path):
    with pytest.raises(TypeError, match="path must be a string or a path, got int"):
        home.sha256_of(3)
    (tmp_path / "empty").touch()
    assert home.sha256_of(tmp_path / "empty").startswith("e3b0c442")


# ---------------------------------------------------------------- remembered


@pytest.fixture()
def large(tmp_path, monkeypatch):
    monkeypatch.setattr(home, "SMALL_BYTES", 100)
    monkeypatch.setenv("LAB_HOME", str(tmp_path / "home"))
    path = tmp_path / "weights"
    path.write_bytes(bytes(10_000))
    return path


@needs_posix
def test_a_check_is_made_once_for_a_content(large):
    asked = []

    def compute(path):
        asked.append(path)
        return {"sum": sum(path.read_bytes())}

    assert [home.remembered(large, "sum", compute) for _ in range(3)] == [{"sum": 0}] * 3 and len(asked) == 1
    assert home.remembered(large, "other", lambda path: 7) == 7
    assert home.remembered(large, "sum", compute) == {"sum": 0} and len(asked) == 1
    before = large.stat()
    large.write_bytes(bytes(9_999) + b"\1")
    os.utime(large, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert home.remembered(large, "sum", compute) == {"sum": 1} and len(asked) == 2


@needs_posix
def test_a_sample_of_the_content_counts_beside_the_times(large, monkeypatch):
    """A disk that keeps no time of change still shows another content."""
    first = home._identity(large)
    real = large.stat()
    large.write_bytes(b"\1" * 10_000)
    same = os.stat_result(list(real)[:10], {"st_mtime_ns": real.st_mtime_ns, "st_ctime_ns": real.st_ctime_ns})
    monkeypatch.setattr(Path, "stat", lambda self, **_: same)
    assert home._identity(large) != first


def test_a_home_that_cannot_be_written_or_read_costs_time_only(large, monkeypatch):
    (large.parent / "home").write_text("a file, where a folder should be")
    assert [home.remembered(large, "size", lambda path: 3) for _ in range(2)] == [3, 3]
    (large.parent / "home").unlink()
    home.remembered(large, "size", lambda path: 3)
    for note in (large.parent / "home").rglob("*.json"):
        note.write_text("[" * 100_000)
    assert home.remembered(large, "size", lambda path: 3) == 3


# ---------------------------------------------------------------- words


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_a_stream_that_lacks_a_sign_gets_a_plainer_one(encoding):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    home.say("✔ Exercise 0.1 · Passed → 北", stream)
    said = raw.getvalue().decode(encoding).strip()
    expected = {
        "cp1252": "+ Exercise 0.1 · Passed -> ?",
        "ascii": "+ Exercise 0.1 - Passed -> ?",
        "utf-8": "✔ Exercise 0.1 · Passed → 北",
    }
    assert said == expected[encoding]


def test_home_needs_nothing_but_python():
    code = "from utils import home, specimen, weights; print(home.lab_home().is_absolute())"
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "True", done.stderr


@pytest.mark.parametrize(
    "call",
    [
        lambda: home.write_whole(3, "x"),
        lambda: home.new_file(None),
        lambda: home.fsync(3),
        lambda: home.remembered(3, "x", str),
        lambda: home.place(3),
        lambda: weights.of_folder(3),
        lambda: weights.of_module("llama"),
        lambda: specimen.folder_problem(3),
        lambda: specimen.verify(None),
        lambda: specimen.discard(3),
        lambda: preflight.read_requirements(3),
    ],
)
def test_what_is_no_path_is_named(call):
    """These run before numpy can be there, so their doors are made by hand."""
    with pytest.raises(TypeError, match="^(path|folder|named|module) must be a (string or a path|torch module), got"):
        call()
