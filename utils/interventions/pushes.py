"""Pushing a model along directions while it runs.

`add`, `clamp` and `project_out` return a list of hooks, pairs of a place and a function, so that interventions are
joined with `+` and run in that order. Hand the list to `model.run_with_hooks(ids, fwd_hooks=hooks)`, to
`utils.writing.generate`, or put it on for a while:

    with steered(model, add(golden, 0.35) + project_out(formal)):
        ...

Whatever ends the block, an error or the stop button too, takes the hooks off again. They are made of single edits,
`adding` and `clamping`, functions from activations to activations in the model's own units: what a causal test needs.

Massive activations (`utils.reading.massive`: the document start, some punctuation) keep their value. They act as a
constant that every later token leans on, and moving them breaks the model in a way that has nothing to do with the
direction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Bool, Float

from utils.inputs import Index, Number, Positive, checked
from utils.interventions.directions import Direction
from utils.reading.hooks import check_hooks
from utils.reading.massive import is_massive, massive_tokens

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

Edit = Callable[..., torch.Tensor]
Hooks = list[tuple[str, Edit]]
Where = Literal["all", "last"] | Bool[torch.Tensor, "batch pos"]


@checked
def add(
    direction: Direction,
    strength: Number,
    *,
    layers: Mapping[Index, Positive] | None = None,
    where: Where = "all",
) -> Hooks:
    """Push every activation along a direction by `strength` times the typical length.

    strength: 0.3 is a push a third as long as an ordinary activation; negative pushes the other way.
    layers: where to do it, block -> typical length there (`typical_norms`); after the direction's own if not given.
    where: "all" positions; the "last" one of what runs (with a KV cache: the prompt's last token and every token
    written after it); or a boolean mask (batch, pos).
    Source: Turner et al. 2023, arXiv 2308.10248; Rimsky et al. 2023, arXiv 2312.06681.
    Raises TypeError or ValueError for a strength that isn't a finite number, bad layers or another `where`.
    """
    return [
        (place, adding(strength * typical * direction.unit, typical=typical, where=where))
        for place, typical in _places(direction, layers)
    ]


@checked
def clamp(
    direction: Direction,
    value: Number,
    *,
    layers: Mapping[Index, Positive] | None = None,
    where: Where = "all",
) -> Hooks:
    """Set the amount along a direction to one value, whatever it was.

    value: the amount every activation has afterwards, in typical lengths. Where adding moves all activations equally,
    clamping moves each by what it lacks. layers, where: as in `add`. Source: Templeton et al. 2024, Scaling
    Monosemanticity (there on the value of an SAE's latent; here on the projection on the direction).
    Raises as `add` does.
    """
    return [
        (place, clamping(direction.vector, value * typical, typical=typical, where=where))
        for place, typical in _places(direction, layers)
    ]


@checked
def project_out(direction: Direction, *, layers: Mapping[Index, Positive] | None = None, where: Where = "all") -> Hooks:
    """Remove the part of every activation that lies along a direction (directional ablation).

    layers: as in `add`. Later blocks can write the direction again: `typical_norms(model, range(model.cfg.n_layers))`
    removes it after every one. Source: Arditi et al. 2024, arXiv 2406.11717. Raises as `add` does.
    """
    return clamp(direction, 0.0, layers=layers, where=where)


@checked
def adding(vector: Float[torch.Tensor, " d_model"], *, typical: Positive | None = None, where: Where = "all") -> Edit:
    """An edit that adds a vector, as long as it is, to every ordinary activation.

    typical: the length of an ordinary activation at that place, by which massive ones are told; without it, that of
    the activations the edit meets, which will do where one set of texts is studied, and not while text is written.
    where: as in `add`. An edit is a hook function: it takes activations (..., d_model) and returns others.
    Raises TypeError or ValueError for anything but finite numbers and, when it meets them, for activations of another
    width.
    """
    return _edit(lambda acts: acts + vector.to(acts), len(vector), typical, where)


@checked
def clamping(
    vector: Float[torch.Tensor, " d_model"],
    value: Number = 0.0,
    *,
    typical: Positive | None = None,
    where: Where = "all",
) -> Edit:
    """An edit that sets the amount along a vector's direction to `value`, in the model's own units; 0 cuts it out.

    The vector's length doesn't count. typical, where: as in `adding`. Raises as it does, and ValueError for a vector
    of zeros.
    """
    if not bool(vector.any()):
        raise ValueError("vector is all zero, so it points nowhere")
    unit = vector.detach().float() / vector.detach().float().norm()

    def move(acts: torch.Tensor) -> torch.Tensor:
        along = unit.to(acts)
        return acts + (value - acts @ along).unsqueeze(-1) * along

    return _edit(move, len(vector), typical, where)


@contextmanager
def steered(model: TransformerBridge, hooks: Hooks) -> Iterator[TransformerBridge]:
    """Put hooks on a model for the length of a `with` block, and take exactly these off again, whatever ends it.

    Raises TypeError for anything but a list of (place, function), ValueError for a place the model doesn't have.
    """
    check_hooks(model, hooks)
    with model.hooks(fwd_hooks=hooks):
        yield model


def _places(direction: Direction, layers: Mapping[int, float] | None) -> list[tuple[str, float]]:
    """Where to intervene, and how long an ordinary activation is there."""
    layers = {direction.layer: direction.typical} if layers is None else layers
    if not layers:
        raise ValueError("layers is empty; name at least one block")
    return [(f"blocks.{layer}.hook_resid_post", typical) for layer, typical in layers.items()]


def _edit(move: Callable[[torch.Tensor], torch.Tensor], width: int, typical: float | None, where: Where) -> Edit:
    """The one hook function: move what is ordinary and asked for, and leave the rest."""

    @torch.no_grad()
    def hook_function(acts: torch.Tensor, hook: Any = None) -> torch.Tensor:
        if acts.shape[-1] != width:
            raise ValueError(
                f"the direction has {width} numbers; the activations here have shape {tuple(acts.shape)}, expected "
                f"(batch, pos, {width})"
            )
        here = ~(massive_tokens(acts) if typical is None else is_massive(acts, typical))
        if isinstance(where, torch.Tensor):
            if where.shape != here.shape:
                raise ValueError(f"where has shape {tuple(where.shape)}; the activations are {tuple(here.shape)}")
            here &= where.to(here.device)
        elif where == "last":
            here[..., :-1] = False
        return torch.where(here.unsqueeze(-1), move(acts), acts)

    return hook_function
