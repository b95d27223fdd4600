"""One run of a few texts, and the activations you name from it: what anatomy and the ablations' means are made of.

For many texts, with batches and a cache on disk, take `utils.reading.activations.collect`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from utils.inputs import checked
from utils.reading.tokens import TokenBatch, token_batch

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

Hook = tuple[str, Callable]
# Where no logits are wanted: scoring the whole vocabulary is the dearest step, and takes the most memory
UNSCORED: Hook = ("unembed.hook_in", lambda value, hook: value[:, :1].contiguous())


@checked
def record_named(
    model: TransformerBridge, tokens: TokenBatch, names: Sequence[str], hooks: Sequence[Hook] = ()
) -> dict[str, Tensor]:
    """Run once and keep the named activations. Other hooks come first, so that what is kept is what went on.

    tokens: (batch, pos) ids, without padding. Returns name -> tensor on the CPU, each in the shape in which the model
    hands it out. Raises ValueError for ids outside the vocabulary and for names that never fire.
    """
    kept: dict[str, Tensor] = {}

    def keep(name: str) -> Callable:
        def hook_function(value: Tensor, hook: Any) -> None:
            kept[name] = plain(value)

        return hook_function

    given = token_batch(model, tokens)
    keepers = [(name, keep(name)) for name in names]
    seen = any("unembed" in name for name, _ in (*hooks, *keepers))
    try:
        with torch.no_grad():
            unscored = [] if seen else [UNSCORED]
            model.run_with_hooks(given, fwd_hooks=[*hooks, *keepers, *unscored], return_type=None)
    except KeyError as error:  # TransformerLens' word for a hook that doesn't exist
        raise ValueError(f"names and hooks must be places of this model: {error.args[0]}") from None
    missing = [name for name in names if name not in kept]
    if missing:
        raise ValueError(f"model has no activations called {', '.join(missing[:3])}")
    return kept


def plain(value: Tensor) -> Tensor:
    """A copy on the CPU, out of the graph, in float32 where the model calculates in a half type."""
    dtype = torch.float32 if value.dtype in (torch.float16, torch.bfloat16) else value.dtype
    return value.detach().to("cpu", dtype, copy=True)
