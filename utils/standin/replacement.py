"""The local replacement model of a prompt: the model, frozen (`frozen`), with each MLP written as a sum over units.

    MLP(x) = sum over units of value x write row  +  x @ skip  +  constant  +  error

Units are a transcoder's latents, and then the error is whatever the transcoder leaves out on this very prompt; or the
MLP's own neurons, and then there is no error. Either way the sum is the model's own MLP, so the local replacement model
gives the model's logits; it is *local* because errors, patterns and scales belong to this prompt.

Source: Ameisen et al. 2025 ("Circuit Tracing", transformer-circuits.pub/2025/attribution-graphs/methods.html): local
replacement model, frozen attention and norm denominators. Skip: Paulo et al. 2025 (arXiv 2501.18823).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from utils.devices import to_cpu
from utils.inputs import checked
from utils.reading.tokens import TokenIds
from utils.standin.frozen import TOLERANCE, Frozen, freeze, plain_weight
from utils.standin.transcoders import Transcoder, check_set

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

__all__ = [
    "RULES",
    "Latents",
    "Neurons",
    "Replacement",
    "Rule",
    "Run",
    "Units",
    "latent_replacement",
    "neuron_replacement",
]

Rule = Literal["half", "gate held", "value held", "gradient"]
RULES: tuple[Rule, ...] = ("half", "gate held", "value held", "gradient")

# name in a model's configuration -> the activation
_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "silu": torch.nn.functional.silu,
    "gelu": torch.nn.functional.gelu,
    "gelu_new": lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
    "gelu_pytorch_tanh": lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
}


# ------------------------------------------------------------------------------------------------------ units of an MLP


@dataclass(frozen=True)
class Units:
    """One block's MLP on one prompt as a sum over units; what `Latents` and `Neurons` share.

    values: (pos, unit), 0 where a unit is off. write: (unit, d_model), what a unit adds per value. skip: the linear
    part or None. constant: what is added always. error: (pos, d_model), the rest of the MLP's output on this prompt.
    """

    values: Float[Tensor, "pos unit"]
    write: Float[Tensor, "unit d_model"]
    skip: Float[Tensor, "d_model d_model"] | None
    constant: Float[Tensor, " d_model"]
    error: Float[Tensor, "pos d_model"]

    def at(self, x: Float[Tensor, "*batch pos d_model"]) -> Float[Tensor, "*batch pos unit"]:
        """The units' values at another input of the MLP."""
        raise NotImplementedError

    def read(
        self, positions: Int[Tensor, " n"], units: Int[Tensor, " n"]
    ) -> tuple[Float[Tensor, "n d_model"], Float[Tensor, " n"]]:
        """Direction and constant whose straight line gives each unit's value: x . direction + constant."""
        raise NotImplementedError

    def back(self, h: Float[Tensor, "batch pos unit"]) -> Float[Tensor, "batch pos d_model"]:
        """From gradients at all units to gradients at x, by the same lines; a unit that is off passes nothing."""
        raise NotImplementedError

    def output(
        self, x: Float[Tensor, "*batch pos d_model"], values: Float[Tensor, "*batch pos unit"]
    ) -> Float[Tensor, "*batch pos d_model"]:
        """What the MLP writes at input x if its units have these values; the error is as on the prompt."""
        found = values @ self.write + self.constant + self.error
        return found if self.skip is None else found + x @ self.skip


@dataclass(frozen=True)
class Latents(Units):
    """A transcoder's latents. On: the value is the pre-activation, a straight line in x. Off: no node."""

    transcoder: Transcoder

    def at(self, x: Float[Tensor, "*batch pos d_model"]) -> Float[Tensor, "*batch pos unit"]:
        """The latents at another input, with TopK or threshold applied afresh."""
        return to_cpu(self.transcoder.encode(x)).float()

    def read(
        self, positions: Int[Tensor, " n"], units: Int[Tensor, " n"]
    ) -> tuple[Float[Tensor, "n d_model"], Float[Tensor, " n"]]:
        """The encoder's columns and biases."""
        return plain_weight(self.transcoder.W_enc)[:, units].T, plain_weight(self.transcoder.b_enc)[units]

    def back(self, h: Float[Tensor, "batch pos unit"]) -> Float[Tensor, "batch pos d_model"]:
        """Through the encoder's columns of the latents that are on."""
        return (h * (self.values != 0)) @ plain_weight(self.transcoder.W_enc).T


@dataclass(frozen=True)
class Neurons(Units):
    """The MLP's own neurons: act(gate) x up where the MLP is gated, act(in) where it isn't; made straight by a rule.

    A gated neuron is a product of two lines, one of them bent. With ratio = act(gate) / gate held at this prompt's:

    - "half": half of the value is credited to either factor, each with the other held: (ratio·up·gate + act·up) / 2.
      The halves add up to the value. The rule of Arora et al. 2026 (arXiv 2601.22594), from layer-wise relevance
      propagation (Jafari et al. 2025, 2508.21258: identity rule for the activation, half rule for the product).
    - "gate held": act(gate) is a constant; all of the value is credited to `up`.
    - "value held": `up` is a constant; all of the value is credited to the gate, through the ratio.
    - "gradient": the derivative. It says what a small push does, and its parts do *not* add up to the value.

    Credit is not effect. A product of two lines grows with the square of what comes in, so a small push moves a gated
    neuron about twice as far as "half" credits it for, once more at each neuron on the way (`testing` measures it).

    In an MLP without gate the first is ratio·in, the last the derivative; the other two don't exist.
    """

    weights: dict[str, Tensor | None]
    activation: str
    x: Float[Tensor, "pos d_model"]
    rule: Rule

    def at(self, x: Float[Tensor, "*batch pos d_model"]) -> Float[Tensor, "*batch pos unit"]:
        """The neurons at another input: the real ones, bent as they are."""
        return _neurons(self.weights, self.activation, x)[0]

    def read(
        self, positions: Int[Tensor, " n"], units: Int[Tensor, " n"]
    ) -> tuple[Float[Tensor, "n d_model"], Float[Tensor, " n"]]:
        """The straight line of each neuron at its place, by the rule."""
        direction, constant = torch.zeros(len(units), len(self.write[0])), torch.zeros(len(units))
        for name, slope in self._slopes().items():
            here = slope[positions, units]
            direction = direction + here[:, None] * self._weight(f"W_{name}")[:, units].T
            bias = self.weights[f"b_{name}"]
            constant = constant if bias is None else constant + here * bias[units]
        return direction, constant

    def back(self, h: Float[Tensor, "batch pos unit"]) -> Float[Tensor, "batch pos d_model"]:
        """Through the lines of all neurons."""
        parts = [(h * slope) @ self._weight(f"W_{name}").T for name, slope in self._slopes().items()]
        return torch.stack(parts).sum(0)

    def _slopes(self) -> dict[str, Tensor]:
        """How much of a change of each projection arrives at the value, by the rule: name -> (pos, unit)."""
        _, bent, up = _neurons(self.weights, self.activation, self.x)
        act = _ACTIVATIONS[self.activation]
        f, slope = act(bent), _slope(act, bent)
        ratio = torch.where(bent.abs() > 1e-6, f / torch.where(bent == 0, 1.0, bent), slope)
        if self.weights["W_gate"] is None:
            return {"in": slope if self.rule == "gradient" else ratio}
        return {
            "half": {"gate": ratio * up / 2, "in": f / 2},
            "gate held": {"in": f},
            "value held": {"gate": ratio * up},
            "gradient": {"gate": slope * up, "in": f},
        }[self.rule]

    def _weight(self, name: str) -> Tensor:
        found = self.weights[name]
        assert found is not None
        return found


def _slope(act: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    with torch.enable_grad():
        leaf = x.detach().clone().requires_grad_()
        return torch.autograd.grad(act(leaf).sum(), leaf)[0]


def _neurons(weights: Mapping[str, Tensor | None], activation: str, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(value, what goes into the activation, what it is multiplied by), each (pos, unit)."""

    def line(name: str) -> Tensor:
        bias = weights[f"b_{name}"]
        weight = weights[f"W_{name}"]
        assert weight is not None
        found = x @ weight
        return found if bias is None else found + bias

    act = _ACTIVATIONS[activation]
    if weights["W_gate"] is None:
        bent = line("in")
        return act(bent), bent, torch.ones_like(bent)
    bent, up = line("gate"), line("in")
    return act(bent) * up, bent, up


# ------------------------------------------------------------------------------------------ the local replacement model


@dataclass(frozen=True)
class Run:
    """One run of the local replacement model: logits at the last position, and the unit values that each block made.

    Both are as they were *before* a change was made at their block; several runs at once have an axis in front.
    """

    logits: Float[Tensor, "*batch d_vocab"]
    values: list[Float[Tensor, "*batch pos unit"]]


@dataclass(frozen=True)
class Replacement:
    """The local replacement model of a prompt: frozen lines, one `Units` a block. basis: "latents" or "neurons"."""

    frozen: Frozen
    units: list[Units]
    basis: str

    @torch.no_grad()
    def run(self, change: Callable[[int, Tensor], Tensor] | None = None, embedding: Tensor | None = None) -> Run:
        """Run it, with units changed on the way: patterns, scales and errors held, everything behind made afresh.

        change: (block, values (..., pos, unit)) -> the values to go on with. embedding: another (..., pos, d_model) to
        start from; with an axis in front, so many runs are made at once. Unchanged, the logits are the model's own.
        """
        stream = self.frozen.embedding if embedding is None else embedding
        values = []
        for layer, (block, units) in enumerate(zip(self.frozen.blocks, self.units)):
            middle = stream + block.attention(stream)
            x = block.norm2(stream if block.parallel else middle)
            made = units.at(x)
            values.append(made)
            stream = middle + units.output(x, made if change is None else change(layer, made))
        return Run(self.frozen.unembed(stream), values)

    @property
    def unexplained(self) -> float:
        """Share of the MLPs' output (squared, after its mean over positions is taken off) that is in the errors."""
        error = sum(float(units.error.square().sum()) for units in self.units)
        out = sum(float((b.mlp_out - b.mlp_out.mean(0)).square().sum()) for b in self.frozen.blocks)
        return error / out


@checked
def latent_replacement(
    model: TransformerBridge, tokens: TokenIds, transcoders: Mapping[int, Transcoder]
) -> Replacement:
    """The local replacement model of a prompt, with a transcoder in the place of every MLP.

    transcoders: block -> its transcoder; one for every block of the model. What a transcoder leaves out of its MLP's
    output on this prompt becomes the block's error. Raises ValueError for a prompt of one token, missing blocks, a
    transcoder of another block or of another width, and weights that hold NaN.
    """
    chosen = check_set(transcoders, model)
    return _latents(freeze(model, tokens), chosen)


def _latents(frozen: Frozen, transcoders: Mapping[int, Transcoder]) -> Replacement:
    units: list[Units] = []
    with torch.no_grad():
        for layer, block in enumerate(frozen.blocks):
            transcoder = transcoders[layer]
            parts: dict[str, Any] = {
                "values": to_cpu(transcoder.encode(block.mlp_in)).float(),
                "write": plain_weight(transcoder.W_dec),
                "skip": None if transcoder.W_skip is None else plain_weight(transcoder.W_skip),
                "constant": plain_weight(transcoder.b_dec),
            }
            bare = Latents(**parts, error=torch.zeros_like(block.mlp_out), transcoder=transcoder)
            error = block.mlp_out - bare.output(block.mlp_in, bare.values)
            if not torch.isfinite(error).all():
                raise ValueError(f"transcoders: block {layer}'s writes NaN or infinite values on this prompt")
            units.append(Latents(**parts, error=error, transcoder=transcoder))
    return Replacement(frozen, units, "latents")


@checked
def neuron_replacement(model: TransformerBridge, tokens: TokenIds, rule: Rule = "half") -> Replacement:
    """The local replacement model of a prompt in the MLPs' own neurons: no training, no error.

    rule: how a gated neuron is made straight; see `Neurons`. It decides edges, not values: the replacement model is the
    same for all. Raises ValueError for a prompt of one token, for a rule that an MLP without gate doesn't have, and for
    an activation that isn't known here.
    """
    frozen = freeze(model, tokens)
    if frozen.activation not in _ACTIVATIONS:
        known = ", ".join(_ACTIVATIONS)
        raise ValueError(f"model: its MLPs use {frozen.activation!r}; the neurons of these are known: {known}")
    if frozen.mlps[0]["W_gate"] is None and rule in ("gate held", "value held"):
        raise ValueError(f"rule: {rule!r} is for gated MLPs, and this model's have no gate")
    units: list[Units] = []
    for layer, (block, weights) in enumerate(zip(frozen.blocks, frozen.mlps)):
        values = _neurons(weights, frozen.activation, block.mlp_in)[0]
        write, b_out = weights["W_out"], weights["b_out"]
        assert write is not None
        constant = torch.zeros(write.shape[1]) if b_out is None else b_out
        off = block.mlp_out - values @ write - constant
        if float(off.abs().max()) > TOLERANCE * max(1.0, float(block.mlp_out.abs().max())):
            raise ValueError(f"model: the neurons of block {layer} don't add up to what its MLP writes")
        units.append(
            Neurons(
                values=values,
                write=write,
                skip=None,
                constant=constant,
                error=torch.zeros_like(off),
                weights=weights,
                activation=frozen.activation,
                x=block.mlp_in,
                rule=rule,
            )
        )
    return Replacement(frozen, units, "neurons")
