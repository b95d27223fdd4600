"""`python -m tests.doors.on_gpu 02 05`: run solution notebooks with the specimen on a pretend GPU, and name what stops.

Cells run in this process, one after the other, whatever stops before them: a cell that fails only because an earlier
one did is told as well. Nothing is compared; the exit code is 0 only if no cell stopped.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import io
import os
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
AT_ONCE = 2


def stopped(path: Path) -> list[str]:
    """Run a notebook's cells on the pretend GPU; what stopped, one text a cell. Changes the current folder."""
    from IPython.core.interactiveshell import InteractiveShell

    from tests.doors.pretend_gpu import pretend_gpu
    from utils.authoring import notebooks

    os.chdir(path.parent)
    shell = InteractiveShell.instance()
    found = []
    with pretend_gpu():
        for number, cell in enumerate(notebooks.read(path).cells):
            if cell.cell_type != "code":
                continue
            started, out = time.perf_counter(), io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
                result = shell.run_cell(cell.source, store_history=False)
            error = result.error_before_exec or result.error_in_exec
            if error is not None:
                frames = [f for f in traceback.extract_tb(error.__traceback__) if "site-packages" not in f.filename]
                where = "; ".join(f"{Path(f.filename).name}:{f.lineno} {f.line}" for f in frames[-3:])
                seconds = time.perf_counter() - started
                found.append(f"[{number}] {type(error).__name__}: {str(error)[:300]} ({where}; {seconds:.0f} s)")
    return found


def main(names: list[str]) -> int:
    """Run the named solutions, all of them when none is named; return how many didn't pass."""
    from utils.authoring import notebooks

    # A notebook that loads no model has nothing on a GPU.
    paths = [p for p in notebooks.paths(notebooks.SOLUTIONS, names or None) if "load_model(" in p.read_text("utf-8")]
    if not paths:
        print("no solution of that name loads a model")
        return 0
    if len(paths) > 1:  # each in a process of its own, two at a time
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            return sum(pool.map(_apart, paths))
    with tempfile.TemporaryDirectory() as scratch:
        os.environ |= {"LAB_PROGRESS": f"{scratch}/progress.json", "TQDM_DISABLE": "1"}
        started = time.perf_counter()
        found = stopped(paths[0])
    print(f"{paths[0].stem}: {len(found)} cells stopped, {time.perf_counter() - started:.0f} s")
    print("".join(f"    {line}\n" for line in found), end="", flush=True)
    return len(found)


def _apart(path: Path) -> bool:
    """Run one notebook in a process of its own, show what it says, and return whether it didn't pass."""
    threads = str(max(1, (os.cpu_count() or 1) // AT_ONCE))
    result = subprocess.run(
        [sys.executable, "-m", "tests.doors.on_gpu", path.stem[:2]],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": threads},
        capture_output=True,
        text=True,
        check=False,
    )
    print(result.stdout if result.stdout else f"{path.stem}: {result.stderr[-2000:]}", end="", flush=True)
    return result.returncode != 0


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 100))
