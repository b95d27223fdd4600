"""`make test`, `make check` and `make lint`: prove the whole course, step by step, and say what ran.

The full suite is what ARCHITECTURE.md promises: lint, types, lessons in step with solutions, unit tests with the
wrong-answer bank, every solution notebook compared output by output (nbval), every lesson run unattempted, a lesson and
the pages in a real browser (where there is one), every solution on a pretend GPU. `--fast` leaves out the
notebooks and the tests marked slow, `--lint` the tests as well. Times of the whole go to build/suite.json, which
`make report` reads.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from utils.authoring import notebooks
from utils.authoring.notebooks import BUILD, ROOT
from utils.authoring.notebooks.browser import missing
from utils.authoring.notebooks.execute import CELL_SECONDS, notebook_environment
from utils.authoring.notebooks.used import USED

WORKERS = 2  # notebooks or test files at a time: two kernels of 2 GB fit a laptop, and keep two cores busy
_NBVAL = [f"--nbval-cell-timeout={CELL_SECONDS}", "--nbval-sanitize-with=tests/sanitize.cfg", "-p", "no:doctest"]


@dataclass(frozen=True)
class Step:
    """One part of the suite: what it proves, and the command that proves it."""

    name: str
    command: list[str]
    notebooks: bool = False
    workers: int = 1
    lacking: str = ""  # why it can't run on this computer: it is told, and nothing fails
    notes: Path | None = None  # where lessons note which exercises they use (LAB_USED)


def steps(which: str = "all") -> list[Step]:
    """The steps in order, cheapest first, so that a slip is told early. which: "all", "fast" or "lint"."""
    python = [sys.executable, "-m"]
    pytest = [*python, "pytest"]
    lint = [
        Step("lint", [*python, "ruff", "check", "."]),
        Step("format", [*python, "ruff", "format", "--check", "."]),
        Step("types", [*python, "mypy"]),
        Step("lessons in step with solutions", [*python, "utils.authoring.notebooks.build", "--check"]),
    ]
    spread = ["-n", str(WORKERS), "--dist", "loadfile"]
    # All in one process, because the trials of tests/test_doors.py start from what the other tests called; when time
    # counts, from what the tests of one worker called.
    unit = Step("unit tests, doctests, wrong-answer bank", [*pytest, "tests", "utils"])
    quick = [*unit.command, "-m", "not slow", *spread, "--no-loadscope-reorder"]
    nbval = [*_NBVAL, *spread, "--override-ini=addopts=-q"]
    solutions = [
        *pytest,
        "--nbval",
        "-p",
        "utils.authoring.notebooks.measuring",
        *nbval,
        *_relative(notebooks.SOLUTIONS),
    ]
    lessons = [*pytest, "--nbval-lax", *nbval, *_relative(notebooks.LESSONS)]
    whole = [
        Step("solutions, outputs compared", solutions, True, WORKERS),
        Step("lessons, unattempted", lessons, True, WORKERS, notes=USED),
        Step("every exercise is used", [*python, "utils.authoring.notebooks.used", "--noted", str(USED)]),
        Step(
            "lesson and pages in a browser", [*pytest, "tests/browser", "--override-ini=addopts=-q"], lacking=missing()
        ),
        Step("solutions on a pretend GPU", [*python, "tests.doors.on_gpu"], True),
    ]
    return {"lint": lint, "fast": [*lint, Step(unit.name, quick, workers=WORKERS)], "all": [*lint, unit, *whole]}[which]


def _relative(folder: Path) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in notebooks.paths(folder)]


def run(step: Step) -> tuple[bool, float]:
    """Run one step, its output shown as it comes; return whether it passed, and its seconds."""
    print(f"\n=== {step.name}\n    {' '.join(step.command[1:])}", flush=True)
    start = time.perf_counter()
    if step.lacking:
        print(f"    skipped: {step.lacking}")
        return True, 0.0
    with tempfile.TemporaryDirectory() as scratch:
        environment = dict(os.environ)
        if step.notebooks:
            environment = notebook_environment(Path(scratch) / "progress.json")
        if step.notes is not None:
            step.notes.parent.mkdir(exist_ok=True)
            step.notes.unlink(missing_ok=True)
            environment["LAB_USED"] = str(step.notes)
        if step.workers > 1:
            environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // step.workers)))
        passed = subprocess.run(step.command, cwd=ROOT, env=environment, check=False).returncode == 0
    return passed, time.perf_counter() - start


def main(arguments: list[str] | None = None) -> int:
    """Command line: run everything, or less of it. Returns the exit code."""
    parser = argparse.ArgumentParser(description="Run the course's tests.")
    less = parser.add_mutually_exclusive_group()
    less.add_argument("--fast", dest="which", action="store_const", const="fast", help="no notebooks, no slow tests")
    less.add_argument("--lint", dest="which", action="store_const", const="lint", help="no tests at all")
    which = parser.parse_args(arguments).which or "all"
    todo = steps(which)
    results = {step.name: run(step) for step in todo}
    skipped = {step.name: step.lacking for step in todo if step.lacking}
    total = sum(seconds for _, seconds in results.values())
    print("\n=== what ran")
    for name, (passed, seconds) in results.items():
        word = "skip" if name in skipped else "ok  " if passed else "FAIL"
        print(f"    {word} {seconds:6.0f} s  {name}" + (f": {skipped[name]}" if name in skipped else ""))
    failed = sum(not passed for passed, _ in results.values())
    if which == "all":
        BUILD.mkdir(exist_ok=True)
        record = {"seconds": round(total, 1), "steps": {name: round(s, 1) for name, (_, s) in results.items()}}
        (BUILD / "suite.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    print(f"    {total:.0f} s in all\n")
    print(f"steps: {len(results) - len(skipped) - failed} passed, {len(skipped)} skipped, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
