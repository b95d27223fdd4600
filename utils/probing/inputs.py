"""What the modules of this package take, and the checks that a signature can't say. The doors are `utils.inputs`."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch
from jaxtyping import Bool, Float

from utils.inputs import group_names, same_length

Acts = Float[torch.Tensor, "*layer n d_model"]
Labels = Bool[torch.Tensor, " n"]


def computable(value: torch.Tensor) -> torch.Tensor:
    """The tensor in a type to compute in, out of any graph: half types become float32."""
    value = value.detach()
    return value.float() if value.dtype in (torch.float16, torch.bfloat16) else value


def both_classes(labels: Labels, where: str = "labels") -> None:
    """Raise ValueError unless labels hold True and False."""
    n_true = int(labels.sum())
    if n_true in (0, len(labels)):
        raise ValueError(f"{where} holds {n_true} True and {len(labels) - n_true} False; both classes are needed")


def ready(acts: Acts, labels: Labels) -> tuple[Acts, Labels]:
    """Activations to compute with and labels on the same device, or a clear error if they can't part anything.

    Both have come through a door: they hold finite numbers and are of one length.
    """
    acts, labels = computable(acts), labels.to(acts.device)
    both_classes(labels)
    first = acts[..., :1, :]
    if not bool((acts[..., 1:2, :] != first).any(-1).all()):  # the quick look didn't settle it
        varies = (acts != first).flatten(-2).any(-1)
        if not bool(varies.all()):
            where = (
                ""
                if acts.ndim == 2
                else f" in layer(s) {torch.nonzero(~varies.flatten()).flatten().tolist()} of the stack"
            )
            raise ValueError(f"acts is constant{where}: every row is the same, so no direction can separate the labels")
    return acts, labels


def members(groups: Sequence[Hashable], n: int) -> dict[Hashable, list[int]]:
    """Row numbers of each group, groups in order of first appearance.

    Takes lists, arrays and tensors alike. Raises ValueError unless there is one name for each of n rows.
    """
    names = group_names("groups", groups)
    same_length(labels=range(n), groups=names)
    found: dict[Hashable, list[int]] = {}
    for row, name in enumerate(names):
        found.setdefault(name, []).append(row)
    return found
