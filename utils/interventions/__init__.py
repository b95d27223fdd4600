"""Reaching into a running model: push along a direction, set it, cut it out, switch a part off.

directions   `Direction`: a vector at the output of a block, with where it came from; kept in files, read from others'
pushes       add, clamp and project out a direction, as lists of hooks; the same as single edits; put on with `steered`
paths        change what only some readers read: path patching
ablations    silence heads, replace or shake whole outputs, also as lists of hooks, and draw the controls for that

Where the residual stream is moved, massive activations keep their value: one rule, `utils.reading.massive`.
"""

from __future__ import annotations

from utils.interventions.ablations import (
    ablate_heads,
    ablate_outputs,
    head_means,
    matched_heads,
    output_means,
    push_outputs,
)
from utils.interventions.directions import Direction, load, load_gguf, save
from utils.interventions.paths import into_readers
from utils.interventions.pushes import Edit, Hooks, Where, add, adding, clamp, clamping, project_out, steered

__all__ = [
    "Direction",
    "Edit",
    "Hooks",
    "Where",
    "ablate_heads",
    "ablate_outputs",
    "add",
    "adding",
    "clamp",
    "clamping",
    "head_means",
    "into_readers",
    "load",
    "load_gguf",
    "matched_heads",
    "output_means",
    "project_out",
    "push_outputs",
    "save",
    "steered",
]
