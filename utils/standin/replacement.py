"""One prompt's run with attention patterns and norm scales held: all that is left to bend are the MLPs' units.

Held like this (`freeze`), everything between two MLPs is a straight line: the embedding, values and outputs of
attention, norms, the unembedding. What an MLP does is written as a sum over units plus parts that stay as they are:

    MLP(x) = sum over units of value x write row  +  x @ skip  +  constant  +  error

Units are a transcoder's latents, and then the error is whatever the transcoder leaves out on this very prompt; or the
MLP's own neurons, and then there is no error. Either way the sum is the model's own MLP, so the *local replacement
model* gives the model's logits; it is local because error, patterns and scales belong to this prompt.

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
from utils.reading.recording import record_named
from utils.reading.tokens import TokenIds, token_row, token_strings
from utils.standin.transcoders import Transcoder, check_set

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

__all__ = [
    "RULES",
    "Block",
    "Frozen",
    "Latents",
    "Neurons",
    "Norm",
    "Replacement",
    "Rule",
    "Run",
    "Units",
    "freeze",
    "latent_replacement",
    "neuron_replacement",
]

Rule = Literal["half", "gate held", "value held", "gradient"]
RULES: tuple[Rule, ...] = ("half", "gate held", "value held", "gradient")
_TOLERANCE = 1e-3  # of the largest centred logit: how far the frozen sum may be from the model

# name in a model's configuration -> the activation
_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "silu": torch.nn.functional.silu,
    "gelu": torch.nn.functional.gelu,
    "gelu_new": lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
    "gelu_pytorch_tanh": lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
}


# ------------------------------------------------------------------------------------------------ the frozen straight line


@dataclass(frozen=True)
class Norm:
    """A norm whose scale is held at this prompt's: x -> (x - its mean, if centred) / scale * weight + bias."""

    weight: Float[Tensor, " d_model"]
    bias: Float[Tensor, " d_model"]
    scale: Float[Tensor, "pos 1"]
    centred: bool

    def __call__(self, x: Float[Tensor, "*batch pos d_model"]) -> Float[Tensor, "*batch pos d_model"]:
        """The norm of a stream, with the scale held."""
        if self.centred:
            x = x - x.mean(-1, keepdim=True)
        return x / self.scale * self.weight + self.bias

    def back(self, v: Float[Tensor, "*batch pos d_model"]) -> Float[Tensor, "*batch pos d_model"]:
        """From a gradient at the output to the gradient at the input."""
        v = v * self.weight / self.scale
        return v - v.mean(-1, keepdim=True) if self.centred else v


@dataclass(frozen=True)
class Block:
    """One block, frozen: two norms, where its heads look, what they move, and what its MLP read and wrote.

    pattern: (head, pos, pos). W_V, b_V: one row a key-value head, which several query heads may share. mlp_in: the
    normalised stream that the MLP reads; mlp_out: what it writes. parallel: attention and MLP read the same stream.
    """

    norm1: Norm
    norm2: Norm
    pattern: Float[Tensor, "head pos pos"]
    W_V: Float[Tensor, "kv_head d_model d_head"]
    b_V: Float[Tensor, "kv_head d_head"]
    W_O: Float[Tensor, "head d_head d_model"]
    b_O: Float[Tensor, " d_model"]
    mlp_in: Float[Tensor, "pos d_model"]
    mlp_out: Float[Tensor, "pos d_model"]
    parallel: bool

    def attention(self, stream: Float[Tensor, "*batch pos d_model"]) -> Float[Tensor, "*batch pos d_model"]:
        """What the block's heads add to a stream, looking where they looked on this prompt."""
        values = torch.einsum("...pd,kdh->...kph", self.norm1(stream), self.W_V) + self.b_V[:, None]
        values = values.repeat_interleave(len(self.pattern) // len(self.W_V), -3)
        seen = torch.einsum("nqp,...nph->...qnh", self.pattern, values).flatten(-2)
        return seen @ self.W_O.flatten(0, 1) + self.b_O

    def attention_back(self, v: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        """From gradients at what attention writes to gradients at the stream it reads."""
        batch, pos, _ = v.shape
        heads, d_head, d_model = self.W_O.shape
        to_heads = (v @ self.W_O.reshape(heads * d_head, d_model).T).reshape(batch, pos, heads, d_head)
        keys = torch.einsum("nqp,bqnh->bpnh", self.pattern, to_heads)
        keys = keys.reshape(batch, pos, len(self.W_V), -1, d_head).sum(3)  # heads that share a key-value head
        flat = self.W_V.permute(0, 2, 1).reshape(-1, d_model)
        return self.norm1.back(keys.reshape(batch, pos, -1) @ flat)

    def constants(self) -> Float[Tensor, "pos d_model"]:
        """What attention writes whatever it reads: the biases, through heads that look where they look."""
        return self.attention(torch.zeros_like(self.mlp_in))


@dataclass(frozen=True)
class Frozen:
    """A prompt's run, ready to be linear: see `freeze`. Everything is on the CPU, in float32.

    embedding: (pos, d_model), what enters block 0. logits: the model's own, at the last position. activation: the name
    of the MLP's activation. mlps: each block's weights (W_in, b_in, W_gate, b_gate, W_out, b_out; None where absent).
    """

    tokens: Int[Tensor, " pos"]
    words: list[str]
    embedding: Float[Tensor, "pos d_model"]
    blocks: list[Block]
    final: Norm
    W_U: Float[Tensor, "d_model d_vocab"]
    b_U: Float[Tensor, " d_vocab"]
    logits: Float[Tensor, " d_vocab"]
    activation: str
    mlps: list[dict[str, Tensor | None]]

    def __len__(self) -> int:
        """How many tokens the prompt has."""
        return len(self.tokens)

    def unembed(self, stream: Float[Tensor, "*batch pos d_model"]) -> Float[Tensor, "*batch d_vocab"]:
        """Logits at the last position, from the stream that leaves the last block."""
        return self.final(stream)[..., -1, :] @ self.W_U + self.b_U


@checked
def freeze(model: TransformerBridge, tokens: TokenIds) -> Frozen:
    """Run a prompt once and hold its attention patterns and norm scales.

    tokens: (pos,) or (1, pos) ids, or a list of them; a graph needs something to attend to, so at least two.
    Works with blocks that norm, attend and add, norm, apply an MLP and add (GPT-2, Llama, Qwen2, SmolLM2; grouped-query
    attention too) and with both halves side by side (GPT-NeoX). Raises ValueError for other forms (norms *after*
    attention or MLP, as Gemma-2's; squashed logits; experts), and wherever the frozen sum isn't the model's own result;
    TypeError or ValueError for anything but ids of the vocabulary.
    """
    row = tokens[0] if isinstance(tokens, Tensor) and tokens.ndim == 2 and len(tokens) == 1 else tokens
    ids = token_row(model, row).cpu()
    if len(ids) < 2:
        raise ValueError("tokens: a prompt of one token has nothing to attribute to; give at least two")
    _check_form(model)
    n = model.cfg.n_layers
    places = ["hook_in", "ln1.hook_scale", "ln2.hook_scale", "attn.hook_pattern", "mlp.hook_in", "mlp.hook_out"]
    names = [f"blocks.{layer}.{place}" for layer in range(n) for place in places]
    seen = record_named(model, ids[None], [*names, "ln_final.hook_scale", "unembed.hook_out"])
    seen = {name: value.float() for name, value in seen.items()}
    bad = next((name for name, value in seen.items() if "attn" not in name and not torch.isfinite(value).all()), None)
    if bad is not None:
        raise ValueError(f"model: its activations hold NaN or infinite values on this prompt (at {bad})")
    blocks = [_block(model, layer, {p: seen[f"blocks.{layer}.{p}"] for p in places}) for layer in range(n)]
    frozen = Frozen(
        tokens=ids,
        words=token_strings(model, ids),
        embedding=seen["blocks.0.hook_in"][0],
        blocks=blocks,
        final=_norm(model.ln_final, seen["ln_final.hook_scale"]),
        W_U=_plain(model.W_U),
        b_U=_plain(getattr(model, "b_U", None), model.cfg.d_vocab),
        logits=seen["unembed.hook_out"][0, -1],
        activation=str(model.cfg.act_fn),
        mlps=[_mlp_weights(block.mlp) for block in model.blocks],
    )
    _check_sum(frozen)
    return frozen


def _check_form(model: TransformerBridge) -> None:
    block: Any = model.blocks[0]
    if hasattr(block, "ln1_post") or hasattr(block, "ln2_post"):
        raise ValueError("model: it norms what attention and MLPs write (as Gemma-2 does), and that isn't held here")
    missing = [part for part in ("ln1", "ln2", "attn", "mlp") if not hasattr(block, part)]
    if missing:
        raise ValueError(f"model: its blocks have no {', '.join(missing)}; freeze knows blocks of norm, attention, MLP")
    if getattr(model.cfg, "output_logits_soft_cap", 0) and model.cfg.output_logits_soft_cap > 0:
        raise ValueError("model: it squashes its logits, so no sum of parts gives them")
    if getattr(model.cfg, "num_experts", None):
        raise ValueError("model: its MLPs are mixtures of experts, which aren't held here")


def _block(model: TransformerBridge, layer: int, seen: Mapping[str, Tensor]) -> Block:
    block: Any = model.blocks[layer]
    W_V, W_O = _plain(block.attn.W_V), _plain(block.attn.W_O)
    b_V = getattr(block.attn, "b_V", None)
    return Block(
        norm1=_norm(block.ln1, seen["ln1.hook_scale"]),
        norm2=_norm(block.ln2, seen["ln2.hook_scale"]),
        pattern=seen["attn.hook_pattern"][0],
        W_V=W_V,
        b_V=torch.zeros(W_V.shape[0], W_V.shape[2]) if b_V is None else _plain(b_V).reshape(W_V.shape[0], -1),
        W_O=W_O,
        b_O=_plain(getattr(block.attn, "b_O", None), W_O.shape[-1]),
        mlp_in=seen["mlp.hook_in"][0],
        mlp_out=seen["mlp.hook_out"][0],
        parallel=bool(getattr(model.cfg, "parallel_attn_mlp", False)),
    )


def _norm(norm: Any, scale: Tensor) -> Norm:
    weight = _plain(norm.weight)
    bias = getattr(norm.original_component, "bias", None)
    return Norm(
        weight=weight + 1 if getattr(norm, "uses_weight_offset", False) else weight,
        bias=_plain(bias, len(weight)),
        scale=scale[0].reshape(-1, 1),
        centred=not norm.uses_rms_norm,
    )


def _mlp_weights(mlp: Any) -> dict[str, Tensor | None]:
    found = {name: getattr(mlp, name, None) for name in ("W_in", "b_in", "W_gate", "b_gate", "W_out", "b_out")}
    return {name: None if value is None else _plain(value) for name, value in found.items()}


def _plain(value: Tensor | None, zeros: int = 0) -> Tensor:
    """A weight on the CPU in float32, without a copy where it is there already; zeros where there is none."""
    return torch.zeros(zeros) if value is None else to_cpu(value).float()


def _check_sum(frozen: Frozen) -> None:
    """The frozen form, with the MLPs' outputs as recorded, must give the model's logits."""
    stream = frozen.embedding
    for block in frozen.blocks:
        stream = stream + block.attention(stream) + block.mlp_out
    found = frozen.unembed(stream)
    off = float((found - frozen.logits).abs().max())
    if not off <= _TOLERANCE * max(1.0, float((frozen.logits - frozen.logits.mean()).abs().max())):
        raise ValueError(
            f"model: held at this prompt's patterns and scales, its parts don't add up to its logits (off by {off:.2g}); "
            "its blocks have a form that freeze doesn't know"
        )


# ------------------------------------------------------------------------------------------------------ units of an MLP


@dataclass(frozen=True)
class Units:
    """One block's MLP on one prompt as a sum over units; what `Latents` and `Neurons` share.

    values: (pos, unit), 0 where a unit is off. write: (unit, d_model), what a unit adds per value. skip: the linear part
    or None. constant: what is added always. error: (pos, d_model), the rest of the MLP's output on this prompt.
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
        """From gradients at all units to gradients at x, by the same straight lines; a unit that is off passes nothing."""
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
        return _plain(self.transcoder.W_enc)[:, units].T, _plain(self.transcoder.b_enc)[units]

    def back(self, h: Float[Tensor, "batch pos unit"]) -> Float[Tensor, "batch pos d_model"]:
        """Through the encoder's columns of the latents that are on."""
        return (h * (self.values != 0)) @ _plain(self.transcoder.W_enc).T


@dataclass(frozen=True)
class Neurons(Units):
    """The MLP's own neurons: value act(gate) x up where the MLP is gated, act(in) where it isn't; made straight by a rule.

    A gated neuron is a product of two lines, one of them bent. With ratio = act(gate) / gate held at this prompt's:

    - "half": half of the value is credited to either factor, each with the other held: (ratio·up·gate + act·up) / 2. The
      halves add up to the value. This is the rule of Arora et al. 2026 (arXiv 2601.22594), from layer-wise relevance
      propagation (Jafari et al. 2025, 2508.21258: identity rule for the activation, half rule for the product).
    - "gate held": act(gate) is a constant; all of the value is credited to `up`.
    - "value held": `up` is a constant; all of the value is credited to the gate, through the ratio.
    - "gradient": the derivative. It says what a small push does, and its parts do *not* add up to the value.

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
        found = x @ weights[f"W_{name}"]
        return found if bias is None else found + bias

    act = _ACTIVATIONS[activation]
    if weights["W_gate"] is None:
        bent = line("in")
        return act(bent), bent, torch.ones_like(bent)
    bent, up = line("gate"), line("in")
    return act(bent) * up, bent, up


# --------------------------------------------------------------------------------------------- the local replacement model


@dataclass(frozen=True)
class Run:
    """One run of the local replacement model: logits at the last position, and the unit values that each block made.

    Both are as they were *before* a change was made at their block; several runs at once have an axis in front.
    """

    logits: Float[Tensor, "*batch d_vocab"]
    values: list[Float[Tensor, "*batch pos unit"]]


@dataclass(frozen=True)
class Replacement:
    """The local replacement model of one prompt: frozen lines, and one `Units` a block. basis: "latents" or "neurons"."""

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
            parts = {
                "values": to_cpu(transcoder.encode(block.mlp_in)).float(),
                "write": _plain(transcoder.W_dec),
                "skip": None if transcoder.W_skip is None else _plain(transcoder.W_skip),
                "constant": _plain(transcoder.b_dec),
            }
            bare = Latents(**parts, error=torch.zeros_like(block.mlp_out), transcoder=transcoder)
            error = block.mlp_out - bare.output(block.mlp_in, bare.values)
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
        if float(off.abs().max()) > _TOLERANCE * max(1.0, float(block.mlp_out.abs().max())):
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
