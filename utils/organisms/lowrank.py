"""What an adapter is: low-rank changes of some of a model's matrices (Hu et al. 2021, arXiv 2106.09685)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float

from utils.inputs import Number, checked

# Where in a Llama block: our name -> the module's name in transformers.
TARGETS = {
    "attn.q": "self_attn.q_proj",
    "attn.k": "self_attn.k_proj",
    "attn.v": "self_attn.v_proj",
    "attn.o": "self_attn.o_proj",
    "mlp.gate": "mlp.gate_proj",
    "mlp.in": "mlp.up_proj",
    "mlp.out": "mlp.down_proj",
}


class AdapterError(ValueError):
    """An adapter's file is damaged, or does not fit the model. The message says which and what to do."""


@checked
@dataclass(frozen=True)
class LowRank:
    """One change of one matrix: scale · B A. a: (rank, d_in). b: (d_out, rank)."""

    a: Float[torch.Tensor, "rank d_in"]
    b: Float[torch.Tensor, "d_out rank"]

    @property
    def rank(self) -> int:
        """How many directions the change reads and writes."""
        return self.a.shape[0]

    def product(self) -> Float[torch.Tensor, "d_out d_in"]:
        """B A in float32, without the scale."""
        return self.b.float() @ self.a.float()


@checked
@dataclass(frozen=True)
class Adapter:
    """A change of a model, as read from a file.

    base: name of the model it belongs to. base_id: fingerprint of that model's weights (`utils.models.fingerprint`),
    "" if unknown; then only the name can be held against a model. scale: what B A is multiplied by. parts: where ->
    LowRank, where being a place such as "blocks.12.attn.q". note: what it does, in a sentence.
    """

    base: str
    parts: Mapping[str, LowRank]
    scale: Number = 1.0
    base_id: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        if not self.parts:
            raise AdapterError("parts is empty: an adapter changes at least one matrix")

    @property
    def parameters(self) -> int:
        """How many numbers it holds."""
        return sum(part.a.numel() + part.b.numel() for part in self.parts.values())


def low_rank(where: str, a: torch.Tensor, b: torch.Tensor) -> LowRank:
    """A change read from a file; what is wrong with it is said with its place."""
    try:
        return LowRank(a, b)
    except (TypeError, ValueError) as error:
        raise AdapterError(f"{where}: {error}") from error
