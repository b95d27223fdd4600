"""The set-up cell: the first code cell of every notebook, the same in each, and folded.

It only looks for the lab's folder, wherever the kernel started: in the folder that `LAB_FOLDER` names, where the
notebook itself lies (VS Code and Jupyter's server tell a kernel that), in the current folder, and in what lies around
each. On Colab it clones the repository first. All else is `utils/setting_up.py`'s, which it runs by its place: no
other package called `utils` can be met instead.
"""

SETUP_CELL = """\
# @title Set-up: find the lab and see that all it needs is there
import os
import runpy
import subprocess
from pathlib import Path

LAB_FOLDER = os.environ.get("LAB_FOLDER", "")  # no lab found? Its folder's path in the last quotes
GITHUB, said = "https://github.com/llm-biology-lab/llm-biology-lab", ""
if "COLAB_RELEASE_TAG" in os.environ and not Path("llm-biology-lab").exists():
    clone = ["git", "clone", "-q", "--depth=1", GITHUB]
    said = subprocess.run(clone, capture_output=True, text=True).stderr
told = [LAB_FOLDER, globals().get("__vsc_ipynb_file__"), os.environ.get("JPY_SESSION_NAME")]
starts = [Path(start) for start in (*told, os.getcwd()) if start]
near = [path for start in starts for path in (start, *start.parents, *start.glob("*"))]
lab_folder = next((p for p in near if os.path.isfile(p / "utils" / "setting_up.py")), None)
if lab_folder is None:
    problem = f"No lab found from {os.getcwd()}: write its path into LAB_FOLDER above. {said}"
    raise FileNotFoundError(problem)
runpy.run_path(str(lab_folder / "utils" / "setting_up.py"))["set_up"]()"""
