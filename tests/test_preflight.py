"""``python -m utils.preflight``: a beginner must be able to read it, whatever is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from types import SimpleNamespace

import conftest
import pytest
import test_specimen

from utils import home, preflight
from utils import specimen as spec


def show(results) -> str:
    return "\n".join(str(result) for result in results)


def test_a_line_says_ok_or_what_to_do():
    assert str(preflight.Result("Python", "3.11")) == "[OK]  Python: 3.11"
    assert str(preflight.Result("Python", "3.9", "install 3.11")) == "[FIX] Python: 3.9\n       -> install 3.11"


@pytest.mark.parametrize(("version", "fine"), [((3, 10), 0), ((3, 11), 1), ((3, 14), 1), ((3, 15), 0)])
def test_python_versions(monkeypatch, version, fine):
    fake = SimpleNamespace(version_info=(*version, 0), maxsize=sys.maxsize)
    monkeypatch.setattr(preflight, "sys", fake)
    (result,) = preflight.check_python()
    assert bool(result.fix) != bool(fine)


def test_packages_are_compared_with_the_requirements(tmp_path):
    path = tmp_path / "requirements.txt"
    path.write_text(f"# comment\nfilelock=={metadata.version('filelock')}  # why\n")
    assert not preflight.check_packages(path)[0].fix
    path.write_text("filelock==0.0.1\nno-such-package-at-all==1.0\n")
    missing, other = preflight.check_packages(path)
    assert "1 of 2 not installed: no-such-package-at-all" in missing.found and "pip install" in missing.fix
    assert "tested: 0.0.1" in other.found and "requirements.txt" in other.fix


def test_a_build_for_the_cpu_counts_as_the_same_version(tmp_path, monkeypatch):
    (tmp_path / "requirements.txt").write_text("torch==2.13.0\n")
    monkeypatch.setattr(preflight.metadata, "version", lambda name: "2.13.0+cpu")
    assert not preflight.check_packages(tmp_path / "requirements.txt")[0].fix


def test_a_line_that_is_no_pin_is_named(tmp_path):
    (tmp_path / "requirements.txt").write_text("torch==2.13.0\nnumpy>=2\n")
    with pytest.raises(ValueError, match="line 2: 'numpy>=2'"):
        preflight.read_requirements(tmp_path / "requirements.txt")


def test_little_memory_and_little_disk(monkeypatch):
    monkeypatch.setattr(preflight, "MEMORY_NEEDED", 10**15)
    monkeypatch.setattr(preflight, "DISK_NEEDED", 10**15)
    assert "close other programs" in show(preflight.check_memory())
    assert "LAB_HOME" in show(preflight.check_disk())


def test_memory_without_psutil(monkeypatch):
    monkeypatch.setitem(sys.modules, "psutil", None)
    assert show(preflight.check_memory()).startswith("[OK]")


def test_more_threads_than_cores(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "4096")
    assert "unset it" in show(preflight.check_threads())
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert show(preflight.check_threads()).startswith("[OK]")


def test_one_failing_check_does_not_stop_the_others(monkeypatch):
    def unlucky():
        raise RuntimeError("the ceiling fell down")

    def not_fetched():
        raise spec.SpecimenError("The disk is full: free some space")

    ready = [preflight.Result("x", "fine")]
    for name in ("python", "memory", "threads", "forward_pass"):
        monkeypatch.setattr(preflight, f"check_{name}", lambda: ready)
    monkeypatch.setattr(preflight, "check_disk", unlucky)
    monkeypatch.setattr(preflight, "check_packages", lambda: ready)
    monkeypatch.setattr(preflight, "check_specimen", not_fetched)
    said = []
    results = preflight.run(said.append)
    assert len(results) == 7 and sum(bool(result.fix) for result in results) == 2
    assert "[FIX] Disk: the ceiling fell down" in "\n".join(said)
    assert "[FIX] Specimen: The disk is full\n       -> free some space" in "\n".join(said)


def test_exit_codes(monkeypatch, capsys):
    monkeypatch.setattr(preflight, "run", lambda: [preflight.Result("a", "b")])
    assert preflight.main([]) == 0 and "Everything is ready" in capsys.readouterr().out
    monkeypatch.setattr(preflight, "run", lambda: [preflight.Result("a", "b", "c")])
    assert preflight.main([]) == 1 and "1 thing to fix" in capsys.readouterr().out
    assert preflight.main(["--nonsense"]) == 2


def test_fetch_alone(monkeypatch, capsys):
    monkeypatch.setattr(spec, "specimen_folder", lambda: None)
    assert preflight.main(["--fetch"]) == 0

    def offline():
        raise spec.SpecimenError("no network")

    monkeypatch.setattr(spec, "specimen_folder", offline)
    assert preflight.main(["--fetch"]) == 1 and "no network" in capsys.readouterr().err


def test_damage_that_no_time_shows_is_found_and_mended(tmp_path, monkeypatch):
    """A bit that rotted on the disk leaves no trace outside itself: the pre-flight check hashes everything again."""
    monkeypatch.setenv("LAB_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("LAB_MODEL_DIR", raising=False)
    monkeypatch.setattr(home, "SMALL_BYTES", 10)
    monkeypatch.setattr(home, "_identity", lambda path: "the same")
    test_specimen.install_stand_in(test_specimen.make_wheel(tmp_path / "index"), monkeypatch.setattr)
    weights = spec.specimen_folder() / "model.safetensors"
    spec.specimen_folder()
    whole = weights.read_bytes()
    weights.write_bytes(b"X" + whole[1:])
    if os.name != "nt":
        spec.specimen_folder()
        assert weights.read_bytes() != whole
        assert spec.verify(weights.parent).endswith("not the one on the card)")
    (result,) = preflight.check_specimen()
    assert not result.fix and ("damaged copy was replaced" in result.found or os.name == "nt")
    assert weights.read_bytes() == whole


def test_a_folder_without_a_card_is_recognised_by_its_weights(tiny_folder, monkeypatch):
    monkeypatch.setenv("LAB_MODEL_DIR", str(tiny_folder))
    with pytest.raises(spec.SpecimenError, match="other weights than"):
        preflight.check_specimen()
    test_specimen.own_specimen(tiny_folder, monkeypatch)
    (result,) = preflight.check_specimen()
    assert "weights as they should be" in result.found and not result.fix


def test_readable_without_any_package():
    """A bare Python, as on a fresh machine: no traceback, exit code 1, and the command to run."""
    code = (
        "import runpy, sys; sys.path.insert(0, '.'); sys.argv = ['check']; "
        "runpy.run_module('utils.preflight', run_name='__main__')"
    )
    environment = {**os.environ, "LAB_MODEL_DIR": str(conftest.ROOT / "no-such-folder")}
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        cwd=conftest.ROOT,
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr + done.stdout
    assert "not installed: torch" in done.stdout and "pip install -r requirements.txt" in done.stdout
    assert "LAB_MODEL_DIR" in done.stdout


@pytest.mark.slow
@pytest.mark.specimen
def test_the_whole_check_on_this_computer():
    results = preflight.check_specimen() + preflight.check_forward_pass()
    assert not any(result.fix for result in results), show(results)
    assert "' San'" in results[-1].found


@pytest.mark.filterwarnings("ignore:This account has no home folder")
def test_an_account_without_a_home_is_told_what_to_set(monkeypatch, tmp_path):
    """cases.md: the pre-flight said "install the packages again"."""

    def homeless(*_):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("LAB_HOME")
    monkeypatch.setattr(home.Path, "home", homeless)
    monkeypatch.setattr(home.tempfile, "tempdir", str(tmp_path))
    home._temporary_home.cache_clear()
    shown = show(preflight.check_disk())
    home._temporary_home.cache_clear()
    assert "[FIX] Disk" in shown and "set LAB_HOME" in shown
