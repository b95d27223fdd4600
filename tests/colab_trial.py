"""Run a lesson as Colab would: `make colab-trial`, or `python -m tests.colab_trial [--lesson 00] [--venv FOLDER]`.

1. An environment with the versions Colab ships (tests/data/colab-freeze.txt) of every package a
   lesson meets, on Python 3.13. It is made in build/colab unless --venv names one that exists.
2. A folder as empty as Colab's /content, with a stand-in `google.colab`, and the lesson opened in
   it. The set-up cell then does what it does on Colab: it clones the repository (here: this
   checkout's last commit, through git's insteadOf) and installs requirements-colab.txt.
3. Nothing Colab ships may have moved, and the lesson must run to its last cell.

It is not part of `make test`: it installs about 1.5 GB. Run it when a pin changes, and before a release.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Packages the lessons and their kernels import. What these need in turn is held to Colab's versions
# by the constraint file.
MET_IN_LESSONS = [
    "torch",
    "transformers",
    "accelerate",
    "datasets",
    "einops",
    "sentencepiece",
    "numpy",
    "matplotlib",
    "scikit-learn",
    "safetensors",
    "filelock",
    "psutil",
    "tqdm",
    "wandb",
    "ipython",
    "ipykernel",
    "ipywidgets",
    "nbformat",
    "nbclient",
]

RUN = """
import sys, nbformat
from nbclient import NotebookClient
source, folder, out = sys.argv[1:]
notebook = nbformat.read(source, as_version=4)
client = NotebookClient(notebook, timeout=1200, kernel_name="python3", resources={"metadata": {"path": folder}})
try:
    client.execute()
finally:
    nbformat.write(notebook, out)
"""


def freeze() -> dict[str, str]:
    """Colab's packages: lower-case name with dashes -> version."""
    lines = (ROOT / "tests/data/colab-freeze.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    return {_plain(name): version.strip() for name, version in pairs}


def _plain(name: str) -> str:
    return name.strip().lower().replace("_", "-").replace(".", "-")


def installed(python: Path) -> dict[str, str]:
    command = [python, "-m", "pip", "list", "--format=json", "--disable-pip-version-check"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {_plain(row["name"]): row["version"].split("+")[0] for row in json.loads(listed)}


def make_environment(folder: Path, base: str) -> Path:
    """A virtual environment with Colab's versions; returns its Python."""
    subprocess.run([base, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    shipped = freeze()
    constraints = folder / "colab-constraints.txt"
    # Colab's torch is built for another CUDA than the package index's; the trial runs on the CPU anyway.
    held = {name: v for name, v in shipped.items() if not name.startswith(("cuda-", "nvidia-", "triton"))}
    constraints.write_text("".join(f"{name}=={version}\n" for name, version in held.items()), encoding="utf-8")
    subprocess.run([python, "-m", "pip", "install", "-c", constraints, *MET_IN_LESSONS], check=True)
    return python


def run_lesson(python: Path, lesson: Path, scratch: Path) -> Path:
    """Execute a lesson in an empty folder with a stand-in google.colab; returns the executed copy."""
    content, stand_in = scratch / "content", scratch / "stand-in"
    content.mkdir()
    (stand_in / "google" / "colab").mkdir(parents=True)
    (stand_in / "google" / "colab" / "__init__.py").write_text('"""Stand-in."""\n', encoding="utf-8")
    environment = {
        **os.environ,
        "PYTHONPATH": str(stand_in),
        "COLAB_RELEASE_TAG": "trial",  # what the set-up cell knows Colab by
        "PATH": f"{python.parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "VIRTUAL_ENV": str(python.parent.parent),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        # The set-up cell clones from the public address; git takes this checkout instead.
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.file://{ROOT}.insteadOf",
        "GIT_CONFIG_VALUE_0": f"https://github.com/{_repository()}",
    }
    out = scratch / lesson.name
    code = [python, "-c", RUN, lesson, content, out]
    subprocess.run(code, env=environment, cwd=content, check=True)
    if not (content / _repository().split("/")[1] / "utils" / "setting_up.py").is_file():
        raise SystemExit("the set-up cell did not clone the repository")
    return out


def _repository() -> str:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return text.split('repository = "')[1].split('"')[0]


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns 0 if the lesson ran and nothing Colab ships moved."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lesson", default="00")
    parser.add_argument("--python", default="python3.13", help="a Python of Colab's version")
    parser.add_argument("--venv", type=Path, help="an environment with Colab's versions that exists already")
    chosen = parser.parse_args(arguments)
    lessons = sorted((ROOT / "lessons").glob(f"{chosen.lesson}_*.ipynb"))
    if not lessons:
        parser.error(f"there is no lesson {chosen.lesson}")

    folder = chosen.venv or ROOT / "build" / "colab"
    python = folder / "bin" / "python"
    if not python.exists():
        if shutil.which(chosen.python) is None:
            parser.error(f"{chosen.python} is not here; name a Python 3.13 with --python")
        python = make_environment(folder, chosen.python)

    shipped, before = freeze(), installed(python)
    away = [f"{name} {before.get(name)}" for name in MET_IN_LESSONS if before.get(name) != shipped[name]]
    print(f"{len(before)} packages before; of those a lesson meets, not in Colab's version: {away or 'none'}")

    with tempfile.TemporaryDirectory() as scratch:
        started = time.perf_counter()
        executed = run_lesson(python, lessons[0], Path(scratch))
        seconds = time.perf_counter() - started
        cells = [c for c in json.loads(executed.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == "code"]
    after = installed(python)
    moved = {name: (v, after.get(name)) for name, v in before.items() if after.get(name) != v}
    ran = sum(cell["execution_count"] is not None for cell in cells)
    print(f"{lessons[0].stem}: {ran} of {len(cells)} code cells ran in {seconds:.0f} s")
    print(f"added: {sorted(set(after) - set(before)) or 'nothing'}; moved: {moved or 'nothing'}")
    return int(bool(moved) or ran < len(cells))


if __name__ == "__main__":
    sys.exit(main())
