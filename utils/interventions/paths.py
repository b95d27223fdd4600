"""Path patching: let a change of the stream reach some readers, and nobody else.

To silence a head tells what it does for the whole model. To change only what one layer's keys read of it tells by which
way. Everything that isn't named goes on with the stream as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from utils.devices import device_of
from utils.inputs import Index, checked
from utils.reading.recording import Hook

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

Part = Literal["q", "k", "v"]


@checked
def into_readers(
    model: TransformerBridge,
    stream: Float[Tensor, "index batch pos d_model"],
    change: Float[Tensor, "batch pos d_model"] | None,
    layers: Sequence[Index],
    part: Part = "k",
) -> list[Hook]:
    """Hooks that make the queries, keys or values of some layers read the recorded stream plus a change.

    stream: (index, batch, pos, d_model), from `residual_stream` on the same tokens: index l is what layer l reads.
    change: (batch, pos, d_model) to add to it, None for nothing: the readers are then held at the recorded stream
    whatever happens elsewhere. layers: the readers' layers. part: "q", "k" or "v"; heads that share keys share the
    change. Only the direct way is patched: what other parts would have made of the change stays out of it.
    Pass the result as `fwd_hooks`. Raises ValueError for layers that `stream` doesn't hold and shapes that don't fit.
    Source: Wang et al. 2022 (arXiv 2211.00593); Goldowsky-Dill et al. 2023 (arXiv 2304.05969).
    """
    if not len(layers) or max(layers) >= min(len(stream), model.cfg.n_layers):
        raise ValueError(f"layers must name one or more of the {min(len(stream), model.cfg.n_layers)}, got {layers}")
    if change is not None and change.shape != stream.shape[1:]:
        raise ValueError(f"change has shape {tuple(change.shape)}, expected {tuple(stream.shape[1:])}")

    def hold(layer: int) -> Callable:
        read = stream[layer] if change is None else stream[layer] + change
        with torch.no_grad():
            normed = model.blocks[layer].ln1(read.to(device_of(model), model.cfg.dtype))
        return lambda value, hook: normed.to(value)

    return [(f"blocks.{layer}.attn.{part}.hook_in", hold(layer)) for layer in layers]
