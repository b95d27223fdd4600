"""What a forward pass costs: floating-point operations, counted, and energy, estimated with its range.

Operations can be counted exactly: nearly all of them are matrix products, and a product of (a, b) by (b, c)
takes 2abc operations, one multiplication and one addition for each of its abc terms. Energy can't be counted
from the model: it depends on the machine, on how busy it is kept and on what else is charged to it. So every
estimate here is a pair, low and high, from assumptions that are written down in `MACHINES`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import torch

from utils.devices import device_of
from utils.inputs import Count, NonNegative, Range, checked

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

Many = Annotated[int, Range(low=1)]  # parameters, training tokens: more than anybody counts one by one

# Heating a mug of water (0.25 l) from 20 to 100 degrees: 0.25 kg x 4184 J/(kg K) x 80 K.
MUG_OF_TEA_JOULES = 0.25 * 4184 * 80
LED_BULB_WATTS = 9.0  # a household LED bulb as bright as an old 60 W one


@dataclass(frozen=True)
class Architecture:
    """The sizes that decide the cost of a Llama-like or GPT-2-like transformer."""

    n_layers: int
    d_model: int
    n_heads: int
    n_kv_heads: int
    d_head: int
    d_mlp: int
    d_vocab: int
    gated: bool = True

    @classmethod
    @checked
    def of(cls, model: TransformerBridge) -> Architecture:
        """Read the sizes from a TransformerBridge's cfg. Raises TypeError for anything else."""
        cfg: Any = model.cfg
        return cls(
            n_layers=cfg.n_layers,
            d_model=cfg.d_model,
            n_heads=cfg.n_heads,
            n_kv_heads=getattr(cfg, "n_key_value_heads", None) or cfg.n_heads,
            d_head=cfg.d_head,
            d_mlp=cfg.d_mlp,
            d_vocab=cfg.d_vocab,
            gated=bool(getattr(cfg, "gated_mlp", False)),
        )


@dataclass(frozen=True)
class Machine:
    """How many operations a machine gets out of a joule, from `low` to `high`, and where that comes from."""

    name: str
    low: float
    high: float
    why: str


# Orders of magnitude, deliberately wide. Sustained operations per second divided by watts.
MACHINES = (
    Machine(
        "laptop processor",
        1e9,
        2e10,
        "20 to 200 sustained GFLOP/s in float32, at 10 to 20 W; the low end is a busy or older machine",
    ),
    Machine(
        "data-centre accelerator",
        1e11,
        7e11,
        "about 1e15 FLOP/s (16 bit) at 700 W as specified, kept 10 to 50 % busy; cooling not counted",
    ),
)


@checked
def matmul_flops(architecture: Architecture, n_tokens: Many) -> dict[str, int]:
    """Operations of each kind of matrix product in one forward pass over `n_tokens` tokens, all layers together.

    Attention is counted as it is computed, over all n_tokens x n_tokens pairs, though half of them are
    masked. Norms, softmax, rotations and activations are left out: they are under 1 % here.
    Raises ValueError for n_tokens below 1.
    """
    a, n = architecture, n_tokens
    width, kv_width = a.n_heads * a.d_head, a.n_kv_heads * a.d_head
    per_layer = {
        "queries": 2 * n * a.d_model * width,
        "keys and values": 2 * (2 * n * a.d_model * kv_width),
        "attention scores": 2 * n * n * width,
        "mixing the values": 2 * n * n * width,
        "attention output": 2 * n * width * a.d_model,
        "MLP": (3 if a.gated else 2) * (2 * n * a.d_model * a.d_mlp),
    }
    return {name: a.n_layers * flops for name, flops in per_layer.items()} | {
        "unembedding": 2 * n * a.d_model * a.d_vocab
    }


@checked
def rule_of_thumb(parameters: Many, n_tokens: Many) -> int:
    """2 operations a parameter and token: each weight multiplies once and adds once (Kaplan 2020, arXiv 2001.08361)."""
    return 2 * parameters * n_tokens


@checked
def counted_flops(model: TransformerBridge, n_tokens: Count) -> int:
    """Operations of one forward pass as torch counts them while it runs (torch.utils.flop_counter).

    Raises ValueError for more tokens than the model reads at once.
    """
    if n_tokens > model.cfg.n_ctx:
        raise ValueError(f"n_tokens must be at most {model.cfg.n_ctx}, which this model reads at once, got {n_tokens}")
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    ids = torch.zeros(1, n_tokens, dtype=torch.long, device=device_of(model))
    with counter, torch.no_grad():
        model(ids)
    return counter.get_total_flops()


@checked
def energy_range(flops: NonNegative, machine: Machine) -> tuple[float, float]:
    """Least and most joules that `flops` operations take on a machine. Raises ValueError for negative flops."""
    return flops / machine.high, flops / machine.low


@checked
def in_words(joules: NonNegative) -> str:
    """A number of joules with the unit people use for it.

    >>> in_words(0.0123), in_words(5.04), in_words(83_680)
    ('12 mJ', '5.0 J', '84 kJ')
    """
    for unit, size in (("kJ", 1e3), ("J", 1.0), ("mJ", 1e-3)):
        if joules >= size or unit == "mJ":
            value = joules / size
            return f"{value:.0f} {unit}" if value >= 9.95 else f"{value:.1f} {unit}"
    raise AssertionError
