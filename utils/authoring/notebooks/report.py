"""`make report`: where the course stands, as a table and as build/report.json.

Every solution notebook is run once, cold: the specimen is on disk, the cache of activations is empty. Speeds are
figures to read, never assertions; the counts are asserted by the tests.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from utils import checks, specimen
from utils.authoring import benchmarks, notebooks
from utils.authoring.benchmarks import coverage
from utils.authoring.benchmarks import sae as bench_sae
from utils.authoring.notebooks import (
    BUILD,
    ROOT,
    SOLUTIONS,
    bank,
    build,
    execute,
    limits,
    measuring,
    mutants,
    used,
    variants,
)

_MB = 1e6
_HINT = re.compile(r"<summary>\s*Hint", re.IGNORECASE)


@dataclass
class LessonReport:
    """What one lesson costs (cold) and holds. private_mb leaves out the weights, which are mapped and shared."""

    name: str
    seconds: float
    peak_mb: int
    private_mb: int
    code_cells: int
    compared_cells: int
    exercises: int
    checks: int
    hints: int
    wrong_rejected: int
    wrong_total: int
    right_accepted: int
    right_total: int
    figures: int
    figures_with_alt: int
    quiz_questions: int
    replication_cards: int
    measured: int
    predictions: int
    visible_code_lines: int
    longest_visible_cell: int
    other_kinds: int  # exercises that are not about writing a function
    mutants: int
    mutants_rejected: int
    mutants_equivalent: int
    generic_messages: float  # share of the wrong answers and mutants that were rejected by a fallback
    right_forms: int
    right_forms_accepted: int
    unused_exercises: int | None  # None until `make test` has run here


class _Memory:
    """Watches a process from a thread and keeps its largest resident and private memory, in bytes."""

    def __init__(self) -> None:
        self.peak = self.private = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self, pid: int) -> None:
        self._thread = threading.Thread(target=self._loop, args=(pid,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _loop(self, pid: int) -> None:
        process = psutil.Process(pid)
        while not self._stop.wait(0.1):
            try:
                memory = process.memory_info()
            except psutil.NoSuchProcess:
                return
            self.peak = max(self.peak, memory.rss)
            # Mapped weights are file-backed: on Linux they count as `shared`, and all kernels share one copy.
            self.private = max(self.private, memory.rss - getattr(memory, "shared", 0))


def lesson_report(path: Path) -> LessonReport:
    """Run one solution notebook cold and count what it holds."""
    stored = notebooks.read(path)
    seconds, memory = _cold_run(path)
    lesson = path.stem[:2]
    tally, code = bank.tally(lesson), notebooks.code_cells(stored)
    seen = limits.measure(build.lesson_from(stored), stored)
    images = re.findall(r"<img\b[^>]*>|<figure aria-label=[^>]*>", notebooks.html_of(stored))
    source = "\n".join(cell.source for cell in code)
    exercises = [number for cell in code if (number := notebooks.exercise_number(cell))]
    spoiled, forms, noted = mutants.try_lesson(lesson), variants.try_lesson(lesson), used.noted()
    return LessonReport(
        name=path.stem,
        seconds=round(seconds, 1),
        peak_mb=round(memory.peak / _MB),
        private_mb=round(memory.private / _MB),
        code_cells=len(code),
        compared_cells=sum(notebooks.is_compared(cell) for cell in code),
        exercises=len(exercises),
        checks=len(checks.exercises(lesson)),
        hints=sum(len(_HINT.findall(cell.source)) for cell in stored.cells if cell.cell_type == "markdown"),
        wrong_rejected=tally.wrong_rejected,
        wrong_total=tally.wrong_total,
        right_accepted=tally.right_accepted,
        right_total=tally.right_total,
        figures=len(images),
        figures_with_alt=sum(bool(re.search(r'(?:alt|aria-label)="[^"]*\w', image)) for image in images),
        quiz_questions=len(checks.quiz(lesson)),
        replication_cards=source.count("lab.replication_card("),
        measured=len(measuring.stored(stored)),
        predictions=source.count("lab.predict("),
        visible_code_lines=seen.visible,
        longest_visible_cell=seen.longest,
        other_kinds=sum(exercise.kind != "write" for exercise in checks.exercises(lesson).values()),
        mutants=sum(len(result.outcomes) for result in spoiled),
        mutants_rejected=sum(len(result.rejected) for result in spoiled),
        mutants_equivalent=sum(len(result.equivalent) for result in spoiled),
        generic_messages=round(mutants.generic_share(spoiled, tally), 4),
        right_forms=len(forms),
        right_forms_accepted=sum(outcome.accepted for outcome in forms),
        unused_exercises=None if noted is None else len(used.never_used(noted, [lesson])),
    )


def _cold_run(path: Path) -> tuple[float, _Memory]:
    """Seconds and memory of a run with the specimen on disk and everything else empty."""
    memory = _Memory()
    folder = specimen.specimen_folder()
    with tempfile.TemporaryDirectory() as scratch:
        environment = execute.notebook_environment(Path(scratch) / "progress.json")
        environment |= {"LAB_HOME": scratch, "LAB_MODEL_DIR": str(folder)}
        try:
            _, seconds = execute.run(notebooks.read(path), path.parent, environment, memory.watch)
        finally:
            memory.stop()
    return seconds, memory


def report(which: list[str] | None = None, with_benchmarks: bool = True) -> dict:
    """The whole report as a dictionary (its form is in ARCHITECTURE.md). which: lessons to run; all when left out."""
    suite, doors = BUILD / "suite.json", BUILD / "doors.json"
    return {
        "commit": _git("rev-parse", "HEAD"),
        "made": time.strftime("%Y-%m-%d %H:%M:%S"),
        "machine": {"cores": os.cpu_count(), "memory_gb": round(psutil.virtual_memory().total / 2**30)},
        "lessons": [asdict(lesson_report(path)) for path in notebooks.paths(SOLUTIONS, which)],
        # None until `make test` has run here: a figure nobody measured is not a zero.
        "suite_seconds": json.loads(suite.read_text(encoding="utf-8"))["seconds"] if suite.exists() else None,
        "repository_mb": round(sum((ROOT / name).stat().st_size for name in _tracked()) / _MB, 1),
        # SAELens needs another environment: its figure is that of the last `make bench-sae`, if it ran here.
        "benchmarks": benchmarks.run() | bench_sae.kept() if with_benchmarks else {},
        "coverage": coverage.coverage_table() if with_benchmarks else [],
        # As the last `make doors` counted them, if it ran here.
        "doors": json.loads(doors.read_text(encoding="utf-8")) if doors.exists() else None,
    }


def _tracked() -> list[str]:
    return [name for name in _git("ls-files", "-z").split("\0") if name and (ROOT / name).is_file()]


def _git(*arguments: str) -> str:
    result = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return result.stdout.strip("\n") if result.returncode == 0 else ""


def table(found: dict) -> str:
    """The report as text for a terminal."""
    lines = [
        f"commit {found['commit'][:12]}, {found['machine']['cores']} cores, {found['machine']['memory_gb']} GB",
        "",
    ]
    heads = [
        "lesson",
        "s",
        "peak MB",
        "private MB",
        "compared",
        "exercises",
        "hints",
        "wrong",
        "right",
        "figures",
        "quiz",
        "measured",
        "predictions",
        "in sight",
        "longest",
        "other kinds",
        "mutants (equivalent)",
        "generic",
        "forms",
        "unused",
    ]
    rows = [
        [
            entry["name"],
            f"{entry['seconds']:.0f}",
            str(entry["peak_mb"]),
            str(entry["private_mb"]),
            f"{entry['compared_cells']}/{entry['code_cells']}",
            str(entry["exercises"]),
            str(entry["hints"]),
            f"{entry['wrong_rejected']}/{entry['wrong_total']}",
            f"{entry['right_accepted']}/{entry['right_total']}",
            f"{entry['figures_with_alt']}/{entry['figures']}",
            str(entry["quiz_questions"]),
            str(entry["measured"]),
            str(entry["predictions"]),
            str(entry["visible_code_lines"]),
            str(entry["longest_visible_cell"]),
            str(entry["other_kinds"]),
            f"{entry['mutants_rejected']}/{entry['mutants']} ({entry['mutants_equivalent']})",
            f"{entry['generic_messages']:.1%}",
            f"{entry['right_forms_accepted']}/{entry['right_forms']}",
            "?" if entry["unused_exercises"] is None else str(entry["unused_exercises"]),
        ]
        for entry in found["lessons"]
    ]
    widths = [max(len(row[i]) for row in [heads, *rows]) for i in range(len(heads))]
    lines += ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)) for row in [heads, *rows]]
    lines += [
        "",
        f"make test: {found['suite_seconds'] or 'not run yet'} s; repository: {found['repository_mb']} MB",
        "",
    ]
    for name, figure in found["benchmarks"].items():
        ratio = f"{figure['ours']:.0f} against {figure['peer']:.0f} {figure['unit']}, {figure['ratio']:.2f} times"
        lines.append(f"{name}: {ratio} (n = {figure['n']}; {figure['note']})")
    if found["doors"]:
        kinds = ", ".join(f"{kind} {n}" for kind, n in found["doors"].items())
        lines.append(f"doors, spoiled arguments: {kinds}")
    if found["coverage"]:
        lines += ["", "How often 95 % intervals hold the truth (before: the percentile bootstrap)"]
        lines.append(coverage.text(found["coverage"]))
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Command line: write build/report.json and print the table. Returns the exit code."""
    parser = argparse.ArgumentParser(description="Measure the course and say where it stands.")
    parser.add_argument("which", nargs="*", help="numbers or names of lessons; all of them when left out")
    parser.add_argument("--no-benchmarks", action="store_true", help="only the lessons")
    options = parser.parse_args(arguments)
    found = report(options.which, with_benchmarks=not options.no_benchmarks)
    BUILD.mkdir(exist_ok=True)
    (BUILD / "report.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    print(table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
