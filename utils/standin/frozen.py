"""A prompt's run with attention patterns and norm scales held: between two MLPs it is a straight line.

What is held: where each head looks, and what each norm divides by. What stays linear then: the embedding, values and
outputs of attention, norms, the unembedding. MLPs are left as they are, to be written as sums by `replacement`.

Source: Ameisen et al. 2025 ("Circuit Tracing", transformer-circuits.pub/2025/attribution-graphs/methods.html).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from utils.devices import to_cpu
from utils.inputs import checked
from utils.reading.recording import record_named
from utils.reading.tokens import TokenIds, token_row, token_strings

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

__all__ = ["TOLERANCE", "Block", "Frozen", "Norm", "freeze", "plain_weight", "words_of"]

TOLERANCE = 1e-3  # of the largest value: how far a sum of parts may be from the model's own result


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
        words=words_of(model, ids),
        embedding=seen["blocks.0.hook_in"][0],
        blocks=blocks,
        final=_norm(model.ln_final, seen["ln_final.hook_scale"]),
        W_U=plain_weight(model.W_U),
        b_U=plain_weight(getattr(model, "b_U", None), model.cfg.d_vocab),
        logits=seen["unembed.hook_out"][0, -1],
        activation=str(model.cfg.act_fn),
        mlps=[_mlp_weights(block.mlp) for block in model.blocks],
    )
    _check_sum(frozen)
    return frozen


def words_of(model: TransformerBridge, ids: TokenIds) -> list[str]:
    """Each token's text; its number where the model has no tokenizer."""
    if model.tokenizer is None:
        return [f"<{int(i)}>" for i in ids]
    return token_strings(model, [int(i) for i in ids])


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
    W_V, W_O = plain_weight(block.attn.W_V), plain_weight(block.attn.W_O)
    b_V = getattr(block.attn, "b_V", None)
    return Block(
        norm1=_norm(block.ln1, seen["ln1.hook_scale"]),
        norm2=_norm(block.ln2, seen["ln2.hook_scale"]),
        pattern=seen["attn.hook_pattern"][0],
        W_V=W_V,
        b_V=torch.zeros(W_V.shape[0], W_V.shape[2]) if b_V is None else plain_weight(b_V).reshape(W_V.shape[0], -1),
        W_O=W_O,
        b_O=plain_weight(getattr(block.attn, "b_O", None), W_O.shape[-1]),
        mlp_in=seen["mlp.hook_in"][0],
        mlp_out=seen["mlp.hook_out"][0],
        parallel=bool(getattr(model.cfg, "parallel_attn_mlp", False)),
    )


def _norm(norm: Any, scale: Tensor) -> Norm:
    weight = plain_weight(norm.weight)
    bias = getattr(norm.original_component, "bias", None)
    return Norm(
        weight=weight + 1 if getattr(norm, "uses_weight_offset", False) else weight,
        bias=plain_weight(bias, len(weight)),
        scale=scale[0].reshape(-1, 1),
        centred=not norm.uses_rms_norm,
    )


def _mlp_weights(mlp: Any) -> dict[str, Tensor | None]:
    found = {name: getattr(mlp, name, None) for name in ("W_in", "b_in", "W_gate", "b_gate", "W_out", "b_out")}
    return {name: None if value is None else plain_weight(value) for name, value in found.items()}


def plain_weight(value: Tensor | None, zeros: int = 0) -> Tensor:
    """A weight on the CPU in float32, without a copy where it is there already; zeros where there is none."""
    return torch.zeros(zeros) if value is None else to_cpu(value).float()


def _check_sum(frozen: Frozen) -> None:
    """The frozen form, with the MLPs' outputs as recorded, must give the model's logits."""
    stream = frozen.embedding
    for block in frozen.blocks:
        stream = stream + block.attention(stream) + block.mlp_out
    found = frozen.unembed(stream)
    off = float((found - frozen.logits).abs().max())
    if not off <= TOLERANCE * max(1.0, float((frozen.logits - frozen.logits.mean()).abs().max())):
        raise ValueError(
            f"model: with patterns and scales held, its parts don't add up to its logits (off by {off:.2g}); "
            "its blocks have a form that freeze doesn't know"
        )
