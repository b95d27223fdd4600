"""Reaching into a running model: push along a direction, set it, cut it out, switch a part off.

directions   `Direction`: a vector at the output of a block, with where it came from; kept in files, read from others'
pushes       add, clamp and project out a direction, as lists of hooks; the same as single edits; put on with `steered`

Whatever is done, massive activations keep their value: one rule, `utils.reading.massive`.
"""

from __future__ import annotations

from utils.interventions.directions import Direction, load, load_gguf, save
from utils.interventions.pushes import Edit, Hooks, Where, add, adding, clamp, clamping, project_out, steered

__all__ = [
    "Direction",
    "Edit",
    "Hooks",
    "Where",
    "add",
    "adding",
    "clamp",
    "clamping",
    "load",
    "load_gguf",
    "project_out",
    "save",
    "steered",
]
