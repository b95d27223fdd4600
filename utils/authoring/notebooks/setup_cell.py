"""The set-up cell: the first code cell of every notebook, the same in each.

On a learner's own computer it only looks for the lab's folder, which takes no time. On Colab it
clones the repository when it is not there and installs the few packages Colab lacks, without
their dependencies: ``tests/test_setup.py`` shows that the list is complete, and so nothing that
Colab ships can move.
"""

SETUP_CELL = """\
# Set-up, the same in every notebook. At home it finds the lab's folder; on Colab it fetches the lab first.
import subprocess
import sys
from pathlib import Path

REPOSITORY = "llm-biology-lab/llm-biology-lab"
try:
    import google.colab  # noqa: F401

    ON_COLAB = True
except ImportError:
    ON_COLAB = False

places = [Path.cwd(), *Path.cwd().parents, Path.cwd() / REPOSITORY.split("/")[1]]
lab_folder = next((place for place in places if (place / "utils" / "lab.py").is_file()), None)
if lab_folder is None and ON_COLAB:
    lab_folder = places[-1]
    clone = ["git", "clone", "--quiet", "--depth=1", f"https://github.com/{REPOSITORY}", str(lab_folder)]
    subprocess.run(clone, check=True)
if lab_folder is None:
    raise FileNotFoundError("Open this notebook inside the lab's folder: it needs utils/ beside lessons/.")
if ON_COLAB:
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "-r"]
    subprocess.run([*install, str(lab_folder / "requirements-colab.txt")], check=True)
if str(lab_folder) not in sys.path:
    sys.path.insert(0, str(lab_folder))"""
