"""Many edits after one block: what comes before it is read once.

A TransformerBridge's own `start_at_layer` runs the earlier blocks too and throws their work away (it saves nothing,
measured with transformer-lens 4.3). Here only the later blocks run, so an edit after block 20 of 30 costs a third of a
pass; and many edits of a text's end share everything before it (`last_logits`). Used wherever one text is read under
many interventions: probes' directions, steering, ablated latents.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float, Int

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
    _finish: Callable[..., torch.Tensor]
    _unembed: Callable[[torch.Tensor], torch.Tensor]
    _given: Mapping[str, Any]  # what the later blocks are handed beside the stream

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

    @property
    def branches_off(self) -> bool:
        """Whether `last_logits` can be asked: the blocks must take a mask of pairs, and turn positions from outside."""
        mask, turns = self._given.get("attention_mask"), self._given.get("position_embeddings")
        return isinstance(mask, torch.Tensor) and mask.ndim == 4 and isinstance(turns, tuple)

    @torch.no_grad()
    def last_logits(
        self, ends: Float[torch.Tensor, "edit batch width d_model"], places: Int[torch.Tensor, "batch width"]
    ) -> Float[torch.Tensor, "edit batch d_vocab"]:
        """Logits at each text's last place under many edits of its end, what comes before the end being read once.

        ends: what edit e puts at the places of each text. places: (batch, width) neighbouring columns, rising. All ends
        of one text stand behind it in one row; each sees the text before the places, and itself. That costs pos + edits
        * width columns instead of edits * pos. Raises ValueError for shapes that don't fit, and if not `branches_off`.
        """
        if not self.branches_off:
            raise ValueError("this model's blocks take no mask of pairs; ask `logits` for one edit after the other")
        batch, pos, d_model = self.start.shape
        edits, width = ends.shape[0], places.shape[1]
        if ends.shape[1:] != (batch, width, d_model) or places.shape[0] != batch:
            raise ValueError(f"ends has shape {tuple(ends.shape)}, expected (edits, {batch}, {width}, {d_model})")
        device = self.start.device
        places = places.to(device)
        behind = ends.to(self.start).transpose(0, 1).reshape(batch, edits * width, d_model)
        column = torch.cat([torch.arange(pos, device=device).expand(batch, pos), places.repeat(1, edits)], 1)
        branch = torch.arange(edits + 1, device=device).repeat_interleave(
            torch.tensor([pos] + [width] * edits, device=device)
        )
        earlier = column[:, None, :] <= column[:, :, None]
        shared = (branch == 0) & (column < places[:, :1])  # the text before the places
        sees = earlier & ((branch[None, :, None] == branch) | shared[:, None, :])
        mask = self._given["attention_mask"]
        pairs = sees[:, None]
        if mask.dtype != torch.bool:
            pairs = torch.zeros_like(pairs, dtype=mask.dtype).masked_fill(~pairs, torch.finfo(mask.dtype).min)
        turns = tuple(part[0][column] for part in self._given["position_embeddings"])
        stream = torch.cat([self.start, behind], 1)
        out = self._finish(stream, attention_mask=pairs, position_embeddings=turns, position_ids=column)
        last = out[:, pos:].reshape(batch, edits, width, d_model)[:, :, -1]
        return self._unembed(last).transpose(0, 1).float()


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

    def finish(stream: torch.Tensor, **instead: Any) -> torch.Tensor:
        for later in blocks[block + 1 :]:
            stream = later(stream, *args[1:], **{**kwargs, **instead})
            stream = stream[0] if isinstance(stream, tuple) else stream
        return stream

    return Continuation(start, finish, lambda stream: model.unembed(model.ln_final(stream)), kwargs)
