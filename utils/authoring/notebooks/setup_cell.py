"""The set-up cell: the first code cell of every notebook, the same in each.

It only looks for the lab's folder, wherever the kernel started: in the folder that `LAB_FOLDER` names, where the
notebook itself lies (VS Code and Jupyter's server tell a kernel that), in the current folder, and in what lies around
each. On Colab it clones the repository first. All else is `utils/setting_up.py`'s, which it runs by its place: no
other package called `utils` can be met instead.
"""

SETUP_CELL = """\
# Set-up, the same in every notebook: find the lab (on Colab: fetch it) and see that all it needs is there.
import os
import runpy
import subprocess
from pathlib import Path

LAB_FOLDER = os.environ.get("LAB_FOLDER", "")  # if the lab isn't found, write the path of its folder here
GITHUB, said = "https://github.com/llm-biology-lab/llm-biology-lab", ""
if "COLAB_RELEASE_TAG" in os.environ and not Path("llm-biology-lab").exists():
    said = subprocess.run(["git", "clone", "-q", "--depth=1", GITHUB], capture_output=True, text=True).stderr
starts = [LAB_FOLDER, globals().get("__vsc_ipynb_file__"), os.environ.get("JPY_SESSION_NAME"), os.getcwd()]
near = [p for s in starts if s for p in (Path(s), *Path(s).parents, *Path(s).glob("*"))]
lab_folder = next((p for p in near if os.path.isfile(p / "utils" / "setting_up.py")), None)
if lab_folder is None:
    raise FileNotFoundError(f"No lab found from {os.getcwd()}: write its path into LAB_FOLDER above. {said}")
runpy.run_path(str(lab_folder / "utils" / "setting_up.py"))["set_up"]()"""
