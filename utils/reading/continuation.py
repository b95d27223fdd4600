"""Many edits after one block: what comes before it is read once.

A TransformerBridge's own `start_at_layer` runs the earlier blocks too and throws their work away (it saves nothing,
measured with transformer-lens 4.3). Here only the later blocks run, so an edit after block 20 of 30 costs a third of a
pass. Used wherever one text is read under many interventions: probes' directions, steering, ablated latents.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float

from utils.inputs import Index, checked
from utils.reading.tokens import TokenBatch, token_batch

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

__all__ = ["Continuation", "continue_from"]


@dataclass(frozen=True)
class Continuation:
    """The rest of a model, from the output of one block on, for fixed texts.

    start: (batch, pos, d_model), the residual stream after that block, untouched. It is on the model's device, and so
    is what `logits` gives: edits work on it as hooks do. Hooks that are on the later blocks while `logits` runs take
    part.
    """

    start: Float[torch.Tensor, "batch pos d_model"]
    _finish: Callable[[torch.Tensor], torch.Tensor]
    _unembed: Callable[[torch.Tensor], torch.Tensor]

    @torch.no_grad()
    def logits(
        self, stream: Float[torch.Tensor, "batch pos d_model"], wanted: Bool[torch.Tensor, "batch pos"]
    ) -> Float[torch.Tensor, "n d_vocab"]:
        """Logits at the wanted positions only, row by row, when the stream after the block is `stream`.

        Raises ValueError if the stream's shape isn't that of `start`, or the mask's isn't (batch, pos).
        """
        if stream.shape != self.start.shape:
            raise ValueError(f"stream must have shape {tuple(self.start.shape)}, got {tuple(stream.shape)}")
        if wanted.shape != self.start.shape[:2] or wanted.dtype != torch.bool:
            raise ValueError(f"wanted must be a mask of {tuple(self.start.shape[:2])}, got {tuple(wanted.shape)}")
        return self._unembed(self._finish(stream)[wanted.to(stream.device)].unsqueeze(0))[0].float()


@checked
@torch.no_grad()
def continue_from(model: TransformerBridge, tokens: TokenBatch, block: Index) -> Continuation:
    """Read texts up to the output of `block` and hand over the rest of the model.

    tokens: (batch, pos), padded on the right if at all, where a causal model can't see it.
    Raises TypeError or ValueError for anything but ids, a block the model doesn't have, or the last one.
    """
    blocks = list(model.blocks)
    if block >= len(blocks) - 1:
        raise ValueError(f"block must be from 0 to {len(blocks) - 2} (a block must follow it), got {block}")
    tokens = token_batch(model, tokens)
    entry: dict[str, Any] = {}

    def remember(_module: Any, args: tuple, kwargs: dict) -> None:
        entry["args"], entry["kwargs"] = args, kwargs

    handle = blocks[block + 1].register_forward_pre_hook(remember, with_kwargs=True)
    try:
        model.run_with_hooks(tokens, fwd_hooks=[], stop_at_layer=block + 2, return_type=None)
    finally:
        handle.remove()
    args, kwargs = entry["args"], dict(entry["kwargs"])
    for name in ("past_key_values", "past_key_value", "cache_position"):  # a cache would grow with every call
        if name in kwargs:
            kwargs[name] = None
    if "use_cache" in kwargs:
        kwargs["use_cache"] = False
    start = args[0] if args else kwargs.pop("hidden_states")

    def finish(stream: torch.Tensor) -> torch.Tensor:
        for later in blocks[block + 1 :]:
            stream = later(stream, *args[1:], **kwargs)
            stream = stream[0] if isinstance(stream, tuple) else stream
        return stream

    return Continuation(start, finish, lambda stream: model.unembed(model.ln_final(stream)))
