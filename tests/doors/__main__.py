"""`python -m tests.doors`: run the unit tests, then spoil every argument of every public function, and say what came.

Writes build/doors.json, which the report shows. Names after the command choose functions by the start of their names.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict

import pytest

from tests.doors import fuzz, replay
from tests.doors.exempt import EXEMPT, FOR_THE_MODEL
from tests.doors.witness import ROOT, SEEN, public_functions


def main(arguments: list[str]) -> int:
    """Run, print a table by room and the worst trials, and return the exit code."""
    chosen, which = [a for a in arguments if a.startswith("utils")], [a for a in arguments if not a.startswith("utils")]
    pytest.main([*(which or ["tests"]), "-q", "-p", "no:cacheprovider", "--ignore=tests/test_doors.py"])
    calls = {n: c for n, c in SEEN.calls.items() if not chosen or n.startswith(tuple(chosen))}
    found = [trial for name, call in sorted(calls.items()) for trial in fuzz.trials(name, call)]
    rooms: dict[str, list[fuzz.Trial]] = defaultdict(list)
    for trial in found:
        rooms[".".join(trial.function.split(".")[:3])].append(trial)
    kinds = ("clear", "unnamed", "foreign", "nan", "hang", "accepted")
    print(f"\n{'room':<36}" + "".join(f"{kind:>10}" for kind in kinds) + f"{'clear share':>13}")
    for room, some in [*sorted(rooms.items()), ("all", found)]:
        counts = fuzz.tally(some)
        print(f"{room:<36}" + "".join(f"{counts[k]:>10}" for k in kinds) + f"{fuzz.clear_share(some):>13.3f}")
    for trial in found:
        if trial.outcome in ("unnamed", "foreign", "nan", "hang"):
            print(f"{trial.outcome:8} {trial.function}({trial.argument} = {trial.value}): {trial.words}")
    for name, problem in sorted(SEEN.liars.items()):
        print(f"untrue   {name}: {problem}")
    with_models = {n: c for n, c in sorted(calls.items()) if replay.models_in(c) and n not in FOR_THE_MODEL}
    on_gpu = {name: replay.difference(call) for name, call in with_models.items()}
    for name, problem in on_gpu.items():
        if problem != "":
            print(f"gpu      {name}: {problem or 'the call could not be repeated, even on the CPU'}")
    print(f"{sum(p == '' for p in on_gpu.values())} of {len(on_gpu)} functions say the same on a pretend GPU")
    unseen = sorted(n for n, f in public_functions().items() if _true_name(f) not in SEEN.calls and n not in EXEMPT)
    print(f"{len(SEEN.calls)} functions tried; {len(unseen)} never called with success: {', '.join(unseen)}")
    counts = fuzz.tally(found)
    record = {kind: counts[kind] for kind in kinds} | {
        "functions": len(calls),
        "trials": len(found),
        "clear_share": round(fuzz.clear_share(found), 4),
        "never_called": len(unseen),
    }
    (ROOT / "build").mkdir(exist_ok=True)
    (ROOT / "build" / "doors.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    return 0


def _true_name(function: object) -> str:
    return f"{function.__module__}.{function.__qualname__}"  # type: ignore[attr-defined]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
