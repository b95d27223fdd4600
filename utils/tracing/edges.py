"""Edge attribution: how much of an effect goes from one part to another, estimated from one gradient.

A node's estimate (`gradients`) says that a head matters. An edge's says through whose eyes: what a head writes is read
by later heads (as query, key or value), by later MLPs and by the output. Because the stream is a sum, the edges that
leave a part add up to the part's own estimate.

TransformerLens' `tools.analysis.attribution_patch` refuses models in which several query heads share a key and a value
(grouped-query attention); here a shared key or value is one reader, as it is in the model. Where both run they agree
(tests/test_tracing_edges.py).

Source: Syed et al. 2023 (arXiv 2310.10348, edge attribution patching).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import torch
from jaxtyping import Float
from torch import Tensor

from utils.inputs import checked
from utils.progress import slow
from utils.reading.recording import plain
from utils.tracing.pairs import Pair, pair_list
from utils.tracing.patching import difference
from utils.tracing.running import record_batch, run

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


class Part(NamedTuple):
    """An end of an edge. kind: "embed", "head", "mlp" write; "q", "k", "v", "mlp", "logits" read. head: for k and v the
    number of the shared one."""

    kind: str
    layer: int
    head: int = 0


class Edges(NamedTuple):
    """Estimated effect in nats of each edge of one pair, summed over positions; NaN where the reader comes first."""

    scores: Float[Tensor, "writer reader"]
    writers: tuple[Part, ...]
    readers: tuple[Part, ...]


@overload
def edge_attribution(model: TransformerBridge, pairs: Pair) -> Edges: ...
@overload
def edge_attribution(model: TransformerBridge, pairs: Sequence[Pair]) -> list[Edges]: ...
@checked
def edge_attribution(model: TransformerBridge, pairs: Pair | Sequence[Pair]) -> Edges | list[Edges]:
    """What patching each edge alone would change, to first order at the corrupt run, in nats of the logit difference.

    For each writer and reader: what the writer writes differently in the clean run, times the gradient of the logit
    difference with respect to the reader's own view of the stream. Two runs and one backward pass a pair.
    Raises ValueError for no pairs, and for models that normalise what attention and MLP write (Gemma-2): there a head's
    share of the stream isn't fixed.
    """
    many = pair_list(model, pairs)
    if any(hasattr(block, "ln1_post") for block in model.blocks):
        raise ValueError("model must add what its parts write as it is; this one normalises it first")
    found = [_edges(model, pair) for pair in slow(many, "edges")]
    return found[0] if isinstance(pairs, Pair) else found


def _edges(model: TransformerBridge, pair: Pair) -> Edges:
    n_layers = model.cfg.n_layers
    both = record_batch(model, torch.stack([pair.clean, pair.corrupt]), ("resid", "head", "mlp"))
    resid, heads, mlps = (both[key][0] - both[key][1] for key in ("resid", "head", "mlp"))
    written = torch.stack([plain(block.attn.W_O) for block in model.blocks])  # (layer, head, d_head, d_model)
    by_head = torch.einsum("lphd,lhdm->lhpm", heads, written)
    steps, writers = [resid[:1]], [Part("embed", -1)]
    for layer in range(n_layers):
        steps += [by_head[layer], mlps[layer : layer + 1]]
        writers += [Part("head", layer, head) for head in range(len(by_head[layer]))] + [Part("mlp", layer)]
    slopes, readers = _reader_slopes(model, pair)
    scores = torch.einsum("wpm,rpm->wr", torch.cat(steps), slopes)
    in_turn = "blocks.0.hook_resid_mid" in model.hook_dict  # else attention and MLP of a block read the same stream
    for w, writer in enumerate(writers):
        late = [_reads(reader, in_turn) <= _writes(writer) for reader in readers]
        scores[w, torch.tensor(late)] = torch.nan
    return Edges(scores, tuple(writers), tuple(readers))


def _writes(part: Part) -> float:
    return part.layer + (0.5 if part.kind == "mlp" else 0.0)


def _reads(part: Part, in_turn: bool) -> float:
    if part.kind == "logits":
        return float("inf")
    return part.layer + (0.25 if part.kind == "mlp" and in_turn else -0.25)


def _reader_slopes(model: TransformerBridge, pair: Pair) -> tuple[Float[Tensor, "reader pos d_model"], list[Part]]:
    """For each reader the gradient of the corrupt run's logit difference with respect to its own copy of the stream."""
    layers, kept = range(model.cfg.n_layers), {}
    points = ("ln1.hook_in", "attn.hook_q", "attn.hook_k", "attn.hook_v", "ln2.hook_in", "ln2.hook_out")

    def leaf(x: Tensor, hook: Any) -> Tensor:
        return x.detach().requires_grad_()

    def keep(x: Tensor, hook: Any, key: str) -> Tensor:
        kept[key] = x
        return x

    hooks: list[Any] = [("blocks.0.hook_resid_pre", leaf)]
    names = [f"blocks.{layer}.{point}" for layer in layers for point in points]
    names.append(f"blocks.{model.cfg.n_layers - 1}.hook_resid_post")
    hooks += [(name, partial(keep, key=name)) for name in names]
    with torch.enable_grad():
        logits = run(model, pair.corrupt[None], hooks)
        value = difference(logits[0], pair.answer, pair.other)
        slope = dict(zip(names, torch.autograd.grad(value, [kept[name] for name in names])))
    found, readers = [], []
    for layer, block in zip(layers, model.blocks):
        at = f"blocks.{layer}."
        into_attention = []
        for kind, weight in (("q", block.attn.W_Q), ("k", block.attn.W_K), ("v", block.attn.W_V)):
            into = slope[f"{at}attn.hook_{kind}"][0].float()
            into = into.reshape(len(into), len(weight), -1)  # (pos, head, d_head)
            into_attention.append(torch.einsum("phd,hmd->hpm", into, weight.detach().float()))
            readers += [Part(kind, layer, head) for head in range(len(weight))]
        found.append(_through(block.ln1, kept[f"{at}ln1.hook_in"], torch.cat(into_attention)))
        found.append(_through(block.ln2, kept[f"{at}ln2.hook_in"], slope[f"{at}ln2.hook_out"]))
        readers.append(Part("mlp", layer))
    found.append(plain(slope[names[-1]]))
    return torch.cat(found), [*readers, Part("logits", model.cfg.n_layers)]


def _through(
    norm: Any, stream: Tensor, slopes: Float[Tensor, "reader pos d_model"]
) -> Float[Tensor, "reader pos d_model"]:
    """Slopes with respect to what a norm gives, carried back to what it is given."""
    with torch.enable_grad():
        given = stream.detach().expand(len(slopes), -1, -1).clone().requires_grad_()
        (back,) = torch.autograd.grad(norm(given), given, slopes.to(given))
    return plain(back)
