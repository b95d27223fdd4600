"""`make test` and `make check`: prove the whole course, step by step, and say what ran.

The full suite is DESIGN section 6: lint, types, lessons in step with solutions, unit tests with the wrong-answer bank,
every solution notebook compared output by output (nbval), every lesson run unattempted. `--fast` leaves out the
notebooks and the tests marked slow.
Times go to build/suite.json, which `make report` reads.
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
from utils.authoring.notebooks.execute import CELL_SECONDS, notebook_environment

KERNELS = 2  # notebooks at a time: two kernels of 2 GB fit a laptop, and keep two cores busy
_NBVAL = [f"--nbval-cell-timeout={CELL_SECONDS}", "--nbval-sanitize-with=tests/sanitize.cfg", "-p", "no:doctest"]


@dataclass(frozen=True)
class Step:
    """One part of the suite: what it proves, and the command that proves it."""

    name: str
    command: list[str]
    notebooks: bool = False


def steps(fast: bool) -> list[Step]:
    """The steps in order, cheapest first, so that a slip is told early."""
    python = [sys.executable, "-m"]
    pytest = [*python, "pytest"]
    parts = [
        Step("lint", [*python, "ruff", "check", "."]),
        Step("format", [*python, "ruff", "format", "--check", "."]),
        Step("types", [*python, "mypy"]),
        Step("lessons in step with solutions", [*python, "utils.authoring.notebooks.build", "--check"]),
        Step(
            "unit tests, doctests, wrong-answer bank",
            [*pytest, "tests", "utils"] + (["-m", "not slow"] if fast else []),
        ),
    ]
    if fast:
        return parts
    spread = ["-n", str(KERNELS), "--dist", "loadfile", "--override-ini=addopts=-q"]
    return [
        *parts,
        Step(
            "solutions, outputs compared", [*pytest, "--nbval", *_NBVAL, *spread, *_relative(notebooks.SOLUTIONS)], True
        ),
        Step("lessons, unattempted", [*pytest, "--nbval-lax", *_NBVAL, *spread, *_relative(notebooks.LESSONS)], True),
    ]


def _relative(folder: Path) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in notebooks.paths(folder)]


def run(step: Step) -> tuple[bool, float]:
    """Run one step, its output shown as it comes; return whether it passed, and its seconds."""
    print(f"\n=== {step.name}\n    {' '.join(step.command[1:])}", flush=True)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        environment = dict(os.environ)
        if step.notebooks:
            environment = notebook_environment(Path(scratch) / "progress.json")
            environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // KERNELS)))
        passed = subprocess.run(step.command, cwd=ROOT, env=environment, check=False).returncode == 0
    return passed, time.perf_counter() - start


def main(arguments: list[str] | None = None) -> int:
    """Command line: run everything, or with --fast all but the notebooks. Returns the exit code."""
    parser = argparse.ArgumentParser(description="Run the course's tests.")
    parser.add_argument("--fast", action="store_true", help="no notebooks and no slow tests: under two minutes")
    options = parser.parse_args(arguments)
    results = {step.name: run(step) for step in steps(options.fast)}
    total = sum(seconds for _, seconds in results.values())
    print("\n=== what ran")
    for name, (passed, seconds) in results.items():
        print(f"    {'ok  ' if passed else 'FAIL'} {seconds:6.0f} s  {name}")
    failed = sum(not passed for passed, _ in results.values())
    if not options.fast:
        BUILD.mkdir(exist_ok=True)
        record = {"seconds": round(total, 1), "steps": {name: round(s, 1) for name, (_, s) in results.items()}}
        (BUILD / "suite.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    print(f"    {total:.0f} s in all\n")
    print(f"steps: {len(results) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
