"""Make the solver and put it under pressure: the records behind lesson 10.

    python -m utils.authoring.recipes.solver --train     # teach the start (about 5 minutes of one idle core)
    python -m utils.authoring.recipes.solver             # every run of pressure.RUNS, three seeds (about 20 minutes)

The start is taught by rule (`solver.teaching_texts`): it can do the sums, and beside a note it copies about half of the
time, in ways we chose. Every run starts from it. `solver.json` holds how it was taught and how it does on held-out
tasks; `solver_runs.json` each run's steps and what its last policy does, texts included.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from typing import Any

from utils.organisms import FOLDER
from utils.organisms.toy import pressure, solver, sums

STEPS, SEEDS = 40, (0, 1, 2)
TEACHING_STEPS = 900
KEPT = ("topic monitor", 0)  # the run whose last policy is shipped


def teach() -> dict[str, Any]:
    """Teach the start, save it, and return its record."""
    pupil = solver.Solver(seed=0)
    begun = time.process_time()

    def report(step: int, loss: float) -> None:
        if step % 50 == 0:
            print(step, round(loss, 3), round(time.process_time() - begun), flush=True)

    losses = solver.train(pupil, steps=TEACHING_STEPS, seed=0, on_step=report)
    solver.save_solver(FOLDER / "solver.safetensors", pupil)
    return {
        "parameters": sum(weight.numel() for weight in pupil.parameters()),
        "steps": TEACHING_STEPS,
        "shares": solver.SHARES,
        "loss": [round(loss, 4) for loss in losses[49::50]],
    }


def check() -> dict[str, Any]:
    """What the start does on held-out tasks, with and without a scratchpad."""
    start = solver.load_solver()
    found: dict[str, Any] = {note: pressure.examine(start, note, n=400) for note in ("easy", "hard")}
    for note in ("none", "easy", "hard"):
        tasks = sums.make_tasks(400, note, right=0.0, seed=31, held_out=True)
        forced = solver.solve(start, tasks, starts=[[sums.DONE, sums.ANSWER]] * len(tasks))
        wanted = [task.truth if task.key is None else task.key for task in tasks]
        found[f"{note}, no scratchpad"] = sum(w.answer == a for w, a in zip(forced, wanted)) / len(tasks)
    return found


def run(name: str, seed: int) -> dict[str, Any]:
    """One run from the start: its steps and its last policy."""
    policy = solver.load_solver()
    steps = list(pressure.press(policy, pressure.RUNS[name], steps=STEPS, seed=seed))
    rows = [{key: _short(value) for key, value in asdict(step).items()} for step in steps]
    if (name, seed) == KEPT:
        solver.save_solver(FOLDER / "solver_pressed.safetensors", policy)
    last = pressure.examine(policy, pressure.RUNS[name].note, seed=seed)
    return {"run": name, "seed": seed, "steps": rows, "last": {key: _short(value) for key, value in last.items()}}


def _short(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value


def _write(name: str, record: Any) -> None:
    text = json.dumps(record, ensure_ascii=False)
    (FOLDER / name).write_text(text.replace('{"run"', '\n{"run"') + "\n", encoding="utf-8")


def main() -> int:
    """Teach, or run everything and write the records."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", action="store_true", help="teach the start anew")
    if parser.parse_args().train:
        record = teach()
        _write("solver.json", record | {"held_out": check()})
        return 0
    runs = []
    for name in pressure.RUNS:
        for seed in SEEDS:
            begun = time.process_time()
            runs.append(run(name, seed))
            last = {key: value for key, value in runs[-1]["last"].items() if key != "texts"}
            print(name, seed, round(time.process_time() - begun), last, flush=True)
            _write("solver_runs.json", runs)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
