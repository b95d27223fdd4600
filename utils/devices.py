"""Where tensors live: one rule for the whole library.

A model may stand on a GPU; everything else is handed about on the CPU. So:

1. whoever gives a tensor to a model (token ids, masks, positions, embeddings) moves it there first: `on_device_of`;
2. what a function returns to its caller is on the CPU: `to_cpu`;
3. a hook works where the activations are that it was given: ``direction.to(acts)``;
4. random numbers are drawn on the CPU, by a generator with a seed, and moved afterwards: the same on every machine.

A caller therefore never has to think of devices, and numbers drawn do not depend on them.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["device_of", "on_device_of", "release_memory", "to_cpu"]


def device_of(model: torch.nn.Module) -> torch.device:
    """The device of a model's parameters: a TransformerBridge, or any torch module with at least one parameter."""
    return next(model.parameters()).device


def on_device_of(model: torch.nn.Module, tensor: Tensor) -> Tensor:
    """The tensor where the model is: itself, if it is there already."""
    return tensor.to(device_of(model))


def to_cpu(tensor: Tensor) -> Tensor:
    """The tensor on the CPU and out of the graph: itself, if it is both already."""
    return tensor.detach().cpu()


def release_memory() -> None:
    """Hand back to the system what is no longer used: call it after `del` of something large, a second model say.

    Python's and the C library's allocators keep freed memory for later; on Linux it is given back, elsewhere only
    Python's garbage is collected.
    """
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # no C library by this name, or one without the function
        ctypes.CDLL("libc.so.6").malloc_trim(0)
