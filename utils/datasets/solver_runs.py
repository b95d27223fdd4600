"""What the solver of lesson 10 wrote under each incentive: every step of eighteen runs, and forty scratchpads of each.

Made by `python -m utils.authoring.recipes.solver`. The world is `utils.organisms.toy.sums`, the incentives are
`utils.organisms.toy.pressure.RUNS`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from utils.datasets.card import Card

__all__ = ["CARD", "solver_runs"]

PATH = Path(__file__).resolve().parents[1] / "data" / "organisms" / "solver_runs.json"

CARD = Card(
    name="solver_runs",
    what="What does a solver write once a monitor is in its reward, and does its answer still come from the note?",
    how_made=(
        "Forty steps of reinforcement learning from one trained start, under six incentives and three seeds each. "
        "Shares are of each step's own texts; the last policy is tested on held-out sums, 200 of a kind."
    ),
    n="18 runs: 720 steps, 720 scratchpads",
    licence="CC BY 4.0",
    leaks=(
        "All runs start from the same solver: seeds differ in sums and sampling, not in the start.",
        "The scratchpads shown are the first forty of each run, on sums with a wrong key only.",
        "In a world of 42 words every monitor has an easier task than it would have with free text.",
    ),
    files=("organisms/solver_runs.json",),
)


def solver_runs() -> list[dict[str, Any]]:
    """The runs: {"run": its incentive, "seed": …, "steps": a row a step, "last": its last policy on held-out sums}.

    A step's row has the fields of `utils.organisms.toy.pressure.Step`, "last" those of `examine` there.
    """
    return json.loads(PATH.read_text(encoding="utf-8"))
