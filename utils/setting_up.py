"""What the set-up cell of every notebook does once it has found the lab: the path, Colab's packages, the right kernel.

The cell runs this file by its place (`runpy`), before anything of the lab can be imported, so it needs nothing but
Python itself. It prints nothing when all is well, and takes no time.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import subprocess
import sys
from pathlib import Path

LAB = Path(__file__).resolve().parent.parent
# What a lesson imports, directly or through utils/: a kernel without one of these is the wrong kernel.
NEEDED = (
    *("torch", "transformers", "transformer_lens", "gguf", "safetensors", "filelock", "numpy", "scipy", "sklearn"),
    *("matplotlib", "jaxtyping", "tqdm", "IPython", "ipywidgets"),
)


def set_up() -> None:
    """Put the lab first on the path, install what Colab lacks, and see that this kernel has the lab's packages.

    Raises RuntimeError if another package called `utils` is in the way or Colab's packages could not be installed,
    and ModuleNotFoundError, naming the packages, this Python and what to do, in a kernel that lacks some.
    """
    _refuse_foreign_utils()
    sys.path[:] = [str(LAB), *(place for place in sys.path if place != str(LAB))]
    if "COLAB_RELEASE_TAG" in os.environ and _missing():
        _install_on_colab()
    missing = _missing()
    if missing:
        raise ModuleNotFoundError(_wrong_kernel(missing))


def _missing() -> list[str]:
    importlib.invalidate_caches()
    return [name for name in NEEDED if importlib.util.find_spec(name) is None]


def _refuse_foreign_utils() -> None:
    there = sys.modules.get("utils")
    if there is None:
        return
    places = [str(place) for place in (getattr(there, "__path__", None) or [getattr(there, "__file__", None) or "?"])]
    if not any(Path(place).resolve() == LAB / "utils" for place in places):
        raise RuntimeError(
            f"Another package called 'utils' ({places[0]}) was imported before this cell, and Python keeps it. "
            "Restart the kernel and run this cell before all others."
        )


def _wrong_kernel(missing: list[str]) -> str:
    listed = ", ".join(missing[:6]) + (f" and {len(missing) - 6} more" if len(missing) > 6 else "")
    own = LAB / ".venv" / ("Scripts" if os.name == "nt" else "bin") / ("python.exe" if os.name == "nt" else "python")
    where = f"that of {own}" if own.is_file() else "the one you installed the lab's packages in"
    return (
        f"this notebook's kernel is Python {platform.python_version()} in {sys.executable}, which lacks {listed}. "
        f"Choose another kernel, {where} (JupyterLab: Kernel > Change Kernel; VS Code: Select Kernel, top right), "
        f'or install the packages here:  "{sys.executable}" -m pip install -r "{LAB / "requirements.txt"}"'
    )


def _install_on_colab() -> None:
    """Install the few packages Colab lacks, without their dependencies, so that nothing Colab ships can move."""
    wanted = str(LAB / "requirements-colab.txt")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "-r", wanted]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(
            "Colab could not install what it lacks for the lab. Run this cell again; if that doesn't help, choose "
            f"Runtime > Disconnect and delete runtime, and start anew. pip said: {done.stderr.strip()[-500:]}"
        )
