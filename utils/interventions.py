"""Pushing a model along directions while it runs.

Each function returns a list of hooks, pairs of a place and a function, so that interventions are joined with `+` and
run in that order. Hand the list to `model.run_with_hooks(ids, fwd_hooks=hooks)`, to `utils.writing.generate`, or put
it on for a while:

    with steering.steered(model, steering.add(golden, 0.35) + steering.project_out(formal)):
        ...

Whatever ends the block, an error or the stop button too, takes the hooks off again.

Massive activations (longer than four times the typical length: the document start, some punctuation) keep their value.
They act as a constant that every later token leans on, and moving them breaks the model in a way that has nothing to do
with the direction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import torch
from jaxtyping import Bool

from utils.steering.directions import Direction, check_finite, check_positive

Edit = Callable[..., torch.Tensor]
Hooks = list[tuple[str, Edit]]
Where = Literal["all", "last"] | Bool[torch.Tensor, "batch pos"]
MASSIVE = 4.0


def add(
    direction: Direction, strength: float, *, layers: Mapping[int, float] | None = None, where: Where = "all"
) -> Hooks:
    """Push every activation along a direction by `strength` times the typical length.

    strength: 0.3 is a push a third as long as an ordinary activation; negative pushes the other way.
    layers: where to do it, block -> typical length there (`typical_norms`); after the direction's own if not given.
    where: "all" positions; the "last" one of what runs (with a KV cache: the prompt's last token and every token
    written after it); or a boolean mask (batch, pos).
    Source: Turner et al. 2023, arXiv 2308.10248; Rimsky et al. 2023, arXiv 2312.06681.
    Raises ValueError for a strength that isn't finite, bad layers or another `where`.
    """
    check_finite("strength", strength)

    def edit(acts: torch.Tensor, typical: float) -> torch.Tensor:
        return acts + (strength * typical * direction.unit).to(acts)

    return _hooks(direction, edit, layers, where)


def clamp(
    direction: Direction, value: float, *, layers: Mapping[int, float] | None = None, where: Where = "all"
) -> Hooks:
    """Set the amount along a direction to one value, whatever it was.

    value: the amount every activation has afterwards, in typical lengths. Where adding moves all activations equally,
    clamping moves each by what it lacks. layers, where: as in `add`. Source: Templeton et al. 2024, Scaling
    Monosemanticity (there on the value of an SAE's latent; here on the projection on the direction).
    Raises as `add` does.
    """
    check_finite("value", value)

    def edit(acts: torch.Tensor, typical: float) -> torch.Tensor:
        unit = direction.unit.to(acts)
        return acts + (value * typical - acts @ unit).unsqueeze(-1) * unit

    return _hooks(direction, edit, layers, where)


def project_out(direction: Direction, *, layers: Mapping[int, float] | None = None, where: Where = "all") -> Hooks:
    """Remove the part of every activation that lies along a direction (directional ablation).

    layers: as in `add`. Later blocks can write the direction again: `typical_norms(model, range(model.cfg.n_layers))`
    removes it after every one. Source: Arditi et al. 2024, arXiv 2406.11717. Raises as `add` does.
    """
    return clamp(direction, 0.0, layers=layers, where=where)


@contextmanager
def steered(model: Any, hooks: Hooks) -> Iterator[Any]:
    """Put hooks on a model for the length of a `with` block, and take exactly these off again, whatever ends it.

    Raises TypeError for anything but a list of (place, function), ValueError for a place the model doesn't have.
    """
    if not isinstance(hooks, list) or not all(
        isinstance(one, tuple) and len(one) == 2 and isinstance(one[0], str) and callable(one[1]) for one in hooks
    ):
        raise TypeError("hooks must be a list of (hook name, function), as add, clamp and project_out return")
    known = model.hook_dict
    for place, _ in hooks:
        if place not in known:
            raise ValueError(f"this model has no {place!r}; its blocks are 0 to {model.cfg.n_layers - 1}")
    with model.hooks(fwd_hooks=hooks):
        yield model


def _hooks(
    direction: Direction,
    edit: Callable[[torch.Tensor, float], torch.Tensor],
    layers: Mapping[int, float] | None,
    where: Where,
) -> Hooks:
    layers = {direction.layer: direction.typical} if layers is None else layers
    if not isinstance(layers, Mapping):
        raise TypeError(f"layers must map blocks to typical lengths (typical_norms), got {type(layers).__name__}")
    if not layers:
        raise ValueError("layers is empty; name at least one block")
    for layer, typical in layers.items():
        if not isinstance(layer, int) or isinstance(layer, bool) or layer < 0:
            raise ValueError(f"layers must hold block numbers from 0, got {layer!r}")
        check_positive(f"layers[{layer}]", typical)
    if isinstance(where, torch.Tensor):
        if where.dtype != torch.bool or where.ndim != 2:
            raise ValueError(f"where must be a boolean mask (batch, pos), got {where.dtype} {tuple(where.shape)}")
    elif where not in ("all", "last"):
        raise ValueError(f'where must be "all", "last" or a boolean mask (batch, pos), got {where!r}')
    return [(f"blocks.{layer}.hook_resid_post", _hook(direction, edit, at, where)) for layer, at in layers.items()]


def _hook(
    direction: Direction, edit: Callable[[torch.Tensor, float], torch.Tensor], typical: float, where: Where
) -> Edit:
    width = len(direction.vector)

    @torch.no_grad()
    def hook_function(acts: torch.Tensor, hook: Any = None) -> torch.Tensor:
        if acts.ndim != 3 or acts.shape[-1] != width:
            raise ValueError(
                f"direction {direction.name!r} has {width} numbers; the activations here have shape "
                f"{tuple(acts.shape)}, expected (batch, pos, {width})"
            )
        here = acts.norm(dim=-1) <= MASSIVE * typical
        if isinstance(where, torch.Tensor):
            if where.shape != acts.shape[:2]:
                raise ValueError(f"where has shape {tuple(where.shape)}; the activations are {tuple(acts.shape[:2])}")
            here &= where.to(here.device)
        elif where == "last":
            here[:, :-1] = False
        return torch.where(here.unsqueeze(-1), edit(acts, typical), acts)

    return hook_function
