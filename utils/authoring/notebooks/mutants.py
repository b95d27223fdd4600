"""Mutants: every reference solution, spoiled by machine in one place; a check must reject each of them.

A check that accepts a mutant accepts a learner's mistake. `python -m utils.authoring.notebooks.mutants 03` lists the
survivors of a lesson, `… 03 3.1` those of one exercise. A mutant that is no mistake (another right answer, or no
difference on any input that the task allows) is listed with its reason in the lesson's bank:

    EQUIVALENT = {"3.1": {"0 -> -2 | return acts[labels].mean(0) | 1": "the only other axis, counted from the end"}}

A key is what was changed, the line it was changed on, and a number where that is not unique, so that it outlives edits
elsewhere. How a mutant is made is in `mutations.py`.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch

from utils import checks
from utils.authoring.notebooks import bank, fallbacks
from utils.authoring.notebooks.mutations import Mutant, mutants_of

SECONDS = 3.0  # of computing, for one mutant: far more than any check takes, and an endless loop ends


class TooSlow(BaseException):
    """A mutant that does not come back. No `except Exception` of a check may swallow it."""


@dataclass(frozen=True)
class Outcome:
    """What became of one mutant. generic: it was rejected by a message that names no mistake."""

    mutant: Mutant
    rejected: bool
    message: str
    generic: bool


@dataclass
class Result:
    """One exercise's mutants. stale: entries of EQUIVALENT that name no survivor."""

    number: str
    outcomes: list[Outcome] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def rejected(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.rejected]

    @property
    def equivalent(self) -> list[Outcome]:
        return [o for o in self.outcomes if not o.rejected and o.mutant.key in self.reasons]

    @property
    def survivors(self) -> list[Outcome]:
        return [o for o in self.outcomes if not o.rejected and o.mutant.key not in self.reasons]

    @property
    def generic(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.rejected and outcome.generic]

    @property
    def stale(self) -> list[str]:
        return sorted(set(self.reasons) - {outcome.mutant.key for outcome in self.equivalent})


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise `TooSlow` in the block after so many seconds of computing (where there are such alarms: not on Windows)."""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def stop(signum: int, frame: object) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def judge(exercise: checks.Exercise, mutant: Mutant, seconds: float = SECONDS) -> Outcome:
    """Hand one mutant to the check. The common random generators start from 0: the outcome is the same every time."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    grad = torch.is_grad_enabled()
    try:
        with limited(seconds), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a mutant's empty mean is its own affair
            verdict = checks.mark(exercise, mutant.function)
    except TooSlow:
        return Outcome(mutant, True, f"stopped after {seconds:g} s", False)
    finally:
        torch.set_grad_enabled(grad)
    return Outcome(mutant, verdict.status == checks.NOT_YET, verdict.message, fallbacks.is_generic(verdict))


def try_exercise(exercise: checks.Exercise, reasons: dict[str, str] | None = None) -> Result:
    """All mutants of one exercise. reasons: its part of the bank's EQUIVALENT.

    Of functions that are written only: a design or an attack spoiled in one place may still be good enough.
    """
    start = time.perf_counter()
    result = Result(exercise.number, reasons=dict(reasons or {}))
    # Once without a limit: what a check imports at its first run must not be cut off half way.
    if (verdict := checks.mark(exercise, exercise.reference)).status != checks.PASSED:
        raise ValueError(f"{exercise.number}: the reference doesn't pass its own check: {verdict.message}")
    for mutant in mutants_of(exercise.reference) if exercise.kind == "write" else []:
        outcome = judge(exercise, mutant)
        if outcome.rejected or mutant.touched:  # else: nothing of that kind is in what the check hands over
            result.outcomes.append(outcome)
    result.seconds = time.perf_counter() - start
    return result


def try_lesson(lesson: str, numbers: list[str] | None = None) -> list[Result]:
    """The results of a lesson ("03"), exercise by exercise. numbers: these alone."""
    reasons = getattr(bank.load(lesson), "EQUIVALENT", {})
    chosen = [e for number, e in checks.exercises(lesson).items() if not numbers or number in numbers]
    return [try_exercise(exercise, reasons.get(exercise.number)) for exercise in chosen]


def generic_share(results: Iterable[Result], tally: bank.Tally) -> float:
    """The share of a lesson's rejections, of the bank's wrong answers and of mutants, that name no mistake."""
    results = list(results)
    rejected = tally.wrong_rejected + sum(len(result.rejected) for result in results)
    generic = tally.generic + sum(len(result.generic) for result in results)
    return generic / rejected if rejected else 0.0


def text(result: Result, generic: bool = True) -> str:
    """One exercise's result, as text: the counts, each survivor as a one-line difference, each generic rejection."""
    lines = [
        f"{result.number}: {len(result.outcomes)} mutants, {len(result.rejected)} rejected, "
        f"{len(result.equivalent)} equivalent, {len(result.survivors)} survive, {len(result.generic)} by a generic "
        f"message ({result.seconds:.1f} s)"
    ]
    for outcome in result.survivors:
        lines += [f"  SURVIVES {outcome.mutant.key!r}", f"           {outcome.mutant.difference}"]
    if generic:
        for outcome in result.generic:
            lines += [f"  generic  {outcome.mutant.difference}", f"           {outcome.message[:110]}"]
    lines += [f"  STALE    {key!r} is listed as equivalent, but names no survivor" for key in result.stale]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Command line: print survivors. Returns the exit code, 1 if there are any."""
    parser = argparse.ArgumentParser(description="Spoil every reference solution, and say which checks accept it.")
    parser.add_argument("which", nargs="*", help='lessons ("03") or exercises ("3.1"); everything when left out')
    parser.add_argument("--survivors", action="store_true", help="leave out those rejected by a generic message")
    options = parser.parse_args(arguments)
    numbers = [name for name in options.which if "." in name]
    lessons = {name for name in options.which if "." not in name} | {checks.find(n).lesson for n in numbers}
    failed, total, generic = 0, 0, 0
    for lesson in sorted(lessons) or checks.lessons():
        for result in try_lesson(lesson, numbers):
            print(text(result, generic=not options.survivors), flush=True)
            failed += len(result.survivors) + len(result.stale)
            total, generic = total + len(result.outcomes), generic + len(result.generic)
    print(f"{total} mutants, {failed} survivors or stale entries, {generic} by a generic message")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
