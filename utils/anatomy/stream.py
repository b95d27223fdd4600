"""The residual stream taken apart: what each part adds to it, and the running sum after each block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from utils.inputs import checked
from utils.reading.recording import Hook, record_named
from utils.reading.tokens import TokenBatch

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


@dataclass(frozen=True)
class Components:
    """The summands of the residual stream. `values[i]` was added by `labels[i]`; they sum to `final`.

    values: (component, batch, pos, d_model). final: (batch, pos, d_model), the stream after the last block.
    labels: "embed" ("pos_embed" where the model has one), then "0 attn", "0 mlp", "1 attn", …
    """

    labels: list[str]
    values: Float[Tensor, "component batch pos d_model"]
    final: Float[Tensor, "batch pos d_model"]

    def gap(self) -> float:
        """Largest absolute difference between the sum of the components and the recorded stream."""
        return float((self.values.sum(0) - self.final).abs().max())


@checked
def residual_components(model: TransformerBridge, tokens: TokenBatch) -> Components:
    """Everything that was added to the residual stream: embeddings, then each block's attention and MLP.

    tokens: (batch, pos) ids, without padding. All that comes back is on the CPU. Raises TypeError or ValueError for a
    model or ids of another kind.
    Source: Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits".
    """
    n_layers = model.cfg.n_layers
    names = ["hook_embed"]
    if str(getattr(model.cfg, "positional_embedding_type", "")) == "standard":
        names.append("hook_pos_embed")
    names += [f"blocks.{layer}.hook_{part}_out" for layer in range(n_layers) for part in ("attn", "mlp")]
    kept = record_named(model, tokens, [*names, f"blocks.{n_layers - 1}.hook_resid_post"])
    labels = [name.removeprefix("hook_") if "blocks" not in name else _short(name) for name in names]
    final = kept[f"blocks.{n_layers - 1}.hook_resid_post"]
    # Position embeddings come without a batch axis: the same for every text.
    values = torch.stack([kept[name].expand_as(final) for name in names])
    return Components(labels, values, final)


@checked
def residual_stream(
    model: TransformerBridge, tokens: TokenBatch, hooks: Sequence[Hook] = ()
) -> Float[Tensor, "index batch pos d_model"]:
    """The stream after each block. Index 0 is the embedding, index i the stream after i blocks.

    tokens: (batch, pos) ids, without padding. hooks: further forward hooks, as `utils.interventions` makes.
    Returns (n_layers + 1, batch, pos, d_model), on the CPU. Raises TypeError or ValueError as `residual_components`.
    """
    last = model.cfg.n_layers - 1
    names = [f"blocks.{layer}.hook_resid_pre" for layer in range(last + 1)] + [f"blocks.{last}.hook_resid_post"]
    kept = record_named(model, tokens, names, hooks)
    return torch.stack([kept[name] for name in names])


def _short(name: str) -> str:
    _, layer, part = name.split(".")
    return f"{layer} {part.removeprefix('hook_').removesuffix('_out')}"
