"""The Jacobian lens: what a small step in the stream does, on average, to the end of the stream.

The logit lens reads an early stream as if it were the last one. The Jacobian lens asks the model how the two are
connected. At depth i it averages the derivative of the final stream with respect to the stream after i blocks,

    J_i  =  mean over prompts and source positions t of  sum over target positions t' >= t  d final[t'] / d stream_i[t],

a (d_model, d_model) matrix, and reads `norm(J_i h)` with the output layer. A row of `unembedding @ J_i` belongs to one
word: the step that raises this word's logit most, in the end. J_i = I gives the logit lens back.

What is averaged, exactly. Sources are the positions from `skip` on, but not the last one; targets are the same
positions, all of them from the source's own on, and they are *summed*: a step counts for every later word. The longer
the prompts, the more later positions there are, so a fit belongs to a length. The final norm is left out of the
derivative and put back on by the reader. The mean has no constant: unlike `fit_affine_lens` it is fitted to no answer.

What it cannot show. A derivative is about small steps. Swapping two words is a large one, and the mean over texts may
be no text's own.

Source: Gurnee et al. 2026, "Verbalizable Representations Form a Global Workspace in Language Models"
(transformer-circuits.pub/2026/workspace). TransformerLens has it as `tools.analysis.JacobianLens`; ours agrees with it
(tests/test_jacobian.py), is counted in depths (depth i is the output of their block i - 1), and can fit a few words
without the whole matrix, which takes a backward pass for each of d_model directions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from utils.devices import device_of, to_cpu
from utils.inputs import Index, Number, Seed, checked
from utils.models import fingerprint
from utils.progress import slow
from utils.reading.recording import plain
from utils.reading.tokens import TokenBatch, text_ids, token_batch
from utils.sealed import read_sealed

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

SHIPPED = Path(__file__).resolve().parents[1] / "data" / "jacobian" / "lens.safetensors"
SKIP = 4  # the first positions of a text are attention sinks: their streams are like no other's
TOKENS_AT_ONCE = 256  # tokens whose graph is kept at one time: about half a gigabyte for the specimen


# ---------------------------------------------------------------------------------------------------- a few words


@checked
@dataclass(frozen=True, eq=False)
class JacobianVectors:
    """One direction for each word at each depth: the step that raises the word's logit in the end, on average.

    vectors: (depth, word, d_model). The final norm's gain is in them, its scale is not: `vectors[i] @ h` orders the
    words as the lens does, and is not in nats. words, ids: the words, as strings and as token ids. depths: after how
    many blocks. n_prompts: how many prompts were averaged. Raises ValueError for sizes that don't fit together.
    """

    vectors: Float[Tensor, "depth word d_model"]
    ids: tuple[int, ...]
    words: Sequence[str]
    depths: tuple[int, ...]
    n_prompts: int

    def __post_init__(self) -> None:
        if tuple(self.vectors.shape[:2]) != (len(self.depths), len(self.ids)) or len(self.ids) != len(self.words):
            raise ValueError(
                f"vectors has shape {tuple(self.vectors.shape)}, expected ({len(self.depths)}, {len(self.ids)}, "
                f"d_model) for {len(self.depths)} depths and {len(self.ids)} words, got {len(self.words)} names"
            )

    def at(self, depth: int) -> Float[Tensor, "word d_model"]:
        """The words' directions at one depth. Raises ValueError for a depth that was not fitted."""
        return self.vectors[_place(self.depths, depth)]

    def of(self, word: str | int) -> int:
        """Where a word, or a token id, stands in the list. Raises ValueError for one that was not fitted."""
        known = self.words if isinstance(word, str) else self.ids
        if word not in known:
            raise ValueError(f"word must be one of the {len(known)} fitted ones, got {word!r}")
        return known.index(word)


@checked
def fit_jacobian_lens(
    model: TransformerBridge,
    tokens: TokenBatch,
    words: Sequence[str | Index],
    depths: Sequence[Index] | None = None,
    skip: Index = SKIP,
) -> JacobianVectors:
    """Fit the Jacobian lens for a few words: one backward pass for each word and batch of prompts.

    tokens: (batch, pos) ids of prompts, all of one length, without padding. words: texts of one token each (mind the
    space: " Paris"), or token ids. depths: from 0 to n_layers - 1, default all; the passes stop at the lowest, so
    leaving early ones out saves time. skip: how many first positions are left out, the start token among them.
    What is averaged is said in this module's docstring. Nothing is left to chance: the same prompts give the same fit.
    Raises TypeError or ValueError for ids of another form, for a text that is not one token, a word given twice, a
    depth outside the model, and prompts with no position left between `skip` and the last.
    """
    ids, chosen, prompts = _word_ids(model, words), _depths(model, depths), token_batch(model, tokens)
    vectors = _mean_gradients(model, prompts, read_rows(model, ids), chosen, skip)
    return JacobianVectors(vectors, tuple(ids), _names(model, ids), tuple(chosen), len(prompts))


@checked
def jacobian_lens(fit: JacobianVectors, stream: Float[Tensor, "depth *n d_model"]) -> Float[Tensor, "depth *n word"]:
    """What the fitted words score in a stream: its product with each word's vector, on the CPU.

    stream: (depth, ..., d_model), recorded at the fit's depths: `residual_stream(model, tokens)[list(fit.depths)]`.
    Returns (depth, ..., word). Within one token the order of the words is that of the whole lens, and can be laid
    beside `logit_lens(...)[..., list(fit.ids)]`; the scale is not, for the final norm's is left out.
    Raises ValueError for another number of depths or another width.
    """
    if not stream.ndim or (stream.shape[0], stream.shape[-1]) != (len(fit.depths), fit.vectors.shape[-1]):
        expected = f"({len(fit.depths)}, ..., {fit.vectors.shape[-1]})"
        raise ValueError(f"stream has shape {tuple(stream.shape)}, expected {expected}: one index a fitted depth")
    flat = to_cpu(stream).to(fit.vectors).reshape(len(fit.depths), -1, fit.vectors.shape[-1])
    return (flat @ fit.vectors.transpose(1, 2)).reshape(*stream.shape[:-1], len(fit.ids))


@checked
def read_rows(model: TransformerBridge, ids: Sequence[Index]) -> Float[Tensor, "word d_model"]:
    """The directions along which the output layer reads these tokens: unembedding times the final norm's gain.

    At the end of the stream the logit is this row times the normalised stream (and a bias, where there is one). For a
    LayerNorm, which takes the mean off, the row has mean 0. Returns (word, d_model), on the CPU.
    Raises ValueError for ids outside the vocabulary.
    """
    d_model, d_vocab = model.cfg.d_model, model.W_U.shape[-1]
    if bad := [i for i in ids if i >= d_vocab]:
        raise ValueError(f"ids must be below {d_vocab}, got {bad[0]}")
    where = device_of(model)
    signs = torch.ones(d_model, device=where, dtype=model.cfg.dtype)
    signs[1::2] = -1  # mean 0 and mean square 1: neither kind of norm changes it but for its gain
    with torch.no_grad():
        up, down, flat = model.ln_final(torch.stack([signs, -signs, torch.zeros_like(signs)])[None])[0].float()
        level = model.ln_final(torch.ones_like(signs)[None, None])[0, 0].float()
        rows = model.W_U[:, list(ids)].T.float() * ((up - down) / 2 * signs)
        if torch.allclose(level, flat, atol=1e-3):  # a constant vanishes: the norm takes the mean off
            rows = rows - rows.mean(-1, keepdim=True)
    return rows.cpu()


# ------------------------------------------------------------------------------------------------- the whole matrix


@checked
@dataclass(frozen=True, eq=False)
class JacobianLens:
    """The whole lens at a few depths: from the stream there to the end of the stream, before the final norm.

    weight: (depth, d_model, d_model); `weight[i] @ h` is what h becomes. depths: after how many blocks. n_prompts: how
    many prompts were averaged. A derivative has no constant. With the mean streams of some text one can put it right:
    `lens(stream - mean_there) + mean_at_the_end`.
    """

    weight: Float[Tensor, "depth d_model d_model"]
    depths: tuple[int, ...]
    n_prompts: int

    @checked
    def __call__(self, stream: Float[Tensor, "depth *n d_model"]) -> Float[Tensor, "depth *n d_model"]:
        """Carry streams (depth, ..., d_model), recorded at the lens's depths, to the end; then `read_out` them."""
        if not stream.ndim or (stream.shape[0], stream.shape[-1]) != tuple(self.weight.shape[:2]):
            expected = f"({len(self.depths)}, ..., {self.weight.shape[-1]})"
            raise ValueError(f"stream has shape {tuple(stream.shape)}, expected {expected}: one index a fitted depth")
        flat = to_cpu(stream).to(self.weight).reshape(len(self.depths), -1, self.weight.shape[-1])
        return (flat @ self.weight.transpose(1, 2)).reshape(stream.shape)

    @checked
    def vectors(self, model: TransformerBridge, words: Sequence[str | Index]) -> JacobianVectors:
        """The vectors of some words, as `fit_jacobian_lens` would fit them on the same prompts.

        Raises TypeError or ValueError as it does.
        """
        ids = _word_ids(model, words)
        rows = read_rows(model, ids) @ self.weight
        return JacobianVectors(rows, tuple(ids), _names(model, ids), self.depths, self.n_prompts)


@checked
def fit_jacobian_matrix(
    model: TransformerBridge, tokens: TokenBatch, depths: Sequence[Index] | None = None, skip: Index = SKIP
) -> JacobianLens:
    """Fit the whole Jacobian lens: d_model backward passes a batch of prompts. Minutes a prompt on a small computer.

    tokens, depths, skip and what is raised: as in `fit_jacobian_lens`.
    """
    chosen, ids = _depths(model, depths), token_batch(model, tokens)
    weight = _mean_gradients(model, ids, torch.eye(model.cfg.d_model), chosen, skip)
    return JacobianLens(weight, tuple(chosen), len(ids))


@checked
def shipped_jacobian_lens(model: TransformerBridge | None = None) -> JacobianLens:
    """The specimen's lens at a few depths, made by `python -m utils.authoring.recipes.jacobian`.

    `utils/data/jacobian/log.json` says on which texts, and how well two halves of them agree. model: if given, it must
    be the one the lens was fitted on. Raises FileNotFoundError if the file is missing, and ValueError if it is damaged
    or belongs to other weights.
    """
    tensors, notes = read_sealed(SHIPPED)
    if model is not None and notes["model"] != fingerprint(model):
        raise ValueError("model has other weights than the one that the shipped Jacobian lens was fitted on")
    depths = tuple(int(depth) for depth in notes["depths"].split())
    return JacobianLens(tensors["weight"].float(), depths, int(notes["n_prompts"]))


# ------------------------------------------------------------------------------------------------- swapping two words


@checked
def swap(
    residual: Float[Tensor, "*n d_model"],
    fit: JacobianVectors,
    depth: Index,
    old: str | Index,
    new: str | Index,
    scale: Number = 1.0,
) -> Float[Tensor, "*n d_model"]:
    """Exchange how much of two words there is in a stream; all else stays.

    With the two words' vectors as columns of V, the stream h is V c plus a rest at right angles to both. The two
    numbers in c change places: h + scale (V c' - V c). Twice (at scale 1) is not at all.

    residual: (..., d_model), streams after `depth` blocks. old, new: words of the fit, or token ids. scale: how much of
    the exchange is made (Gurnee et al. 2026 also use 2). Returns (..., d_model), on the CPU. To run the model on with
    it, hand it to `utils.tracing.patch` as `source`. Raises ValueError for a depth or a word that was not fitted, for
    the same word twice, and for two vectors that are parallel.
    """
    return to_cpu(residual) + float(scale) * _exchange(residual, fit, depth, old, new)


@checked
def random_swap(
    residual: Float[Tensor, "*n d_model"],
    fit: JacobianVectors,
    depth: Index,
    old: str | Index,
    new: str | Index,
    scale: Number = 1.0,
    seed: Seed = 0,
) -> Float[Tensor, "*n d_model"]:
    """The control for `swap`: a step exactly as long, in a random direction of its own at each position.

    Arguments and errors as in `swap`. The same seed gives the same directions.
    """
    step = float(scale) * _exchange(residual, fit, depth, old, new)
    noise = torch.randn(step.shape, generator=torch.Generator().manual_seed(seed)).to(step)
    return to_cpu(residual) + noise / noise.norm(dim=-1, keepdim=True) * step.norm(dim=-1, keepdim=True)


def _exchange(residual: Tensor, fit: JacobianVectors, depth: int, old: str | int, new: str | int) -> Tensor:
    """The step of a whole exchange: what `swap` adds at scale 1, on the CPU."""
    if residual.shape[-1] != fit.vectors.shape[-1]:
        raise ValueError(f"residual has shape {tuple(residual.shape)}, expected (..., {fit.vectors.shape[-1]})")
    places = [fit.of(old), fit.of(new)]
    if places[0] == places[1]:
        raise ValueError(f"old and new must be two words, got {old!r} twice")
    basis = fit.at(depth)[places]  # (2, d_model)
    units = basis / basis.norm(dim=-1, keepdim=True)
    if not bool(torch.isfinite(units).all()) or float((units[0] @ units[1]).abs()) > 0.999:
        raise ValueError(f"old and new have parallel vectors at depth {depth}: there is nothing to exchange")
    stream = to_cpu(residual).to(basis)
    there = stream @ torch.linalg.pinv(basis)  # (..., 2)
    return ((there.flip(-1) - there) @ basis).to(to_cpu(residual).dtype)


# ------------------------------------------------------------------------------------------------------- the passes


def _mean_gradients(
    model: TransformerBridge,
    tokens: Int[Tensor, "batch pos"],
    rows: Float[Tensor, "row d_model"],
    depths: Sequence[int],
    skip: int,
) -> Float[Tensor, "depth row d_model"]:
    """Gradients of `rows @ final`, summed over targets, averaged over sources and prompts: one backward pass a row."""
    n_pos = tokens.shape[1]
    if n_pos < skip + 2:
        raise ValueError(f"tokens must hold at least {skip + 2} positions, of which {skip} are skipped, got {n_pos}")
    valid = slice(skip, n_pos - 1)
    total = torch.zeros(len(depths), len(rows), model.cfg.d_model)
    for some in slow(tokens.split(max(1, TOKENS_AT_ONCE // n_pos)), "backward passes"):
        for row, gradients in enumerate(_gradients(model, some, rows, depths, valid)):
            for place, gradient in enumerate(gradients):
                total[place, row] += plain(gradient[:, valid].float().sum((0, 1)))
    return total / (len(tokens) * (valid.stop - valid.start))


def _gradients(
    model: TransformerBridge, tokens: Tensor, rows: Tensor, depths: Sequence[int], valid: slice
) -> Iterator[tuple[Tensor, ...]]:
    """For each row, the gradients at each depth, (batch, pos, d_model). One forward pass."""
    last, lowest = model.cfg.n_layers - 1, min(depths)
    kept: dict[str, Tensor] = {}

    def leaf(x: Tensor, hook: Any) -> Tensor:  # cut the graph here: nothing below is differentiated
        return x.detach().requires_grad_()

    def keep(x: Tensor, hook: Any, name: str) -> Tensor:
        kept[name] = x
        return x

    doors = [f"blocks.{depth}.hook_resid_pre" for depth in depths]
    end = f"blocks.{last}.hook_resid_post"
    hooks: list[Any] = [(f"blocks.{lowest}.hook_resid_pre", leaf)]
    hooks += [(name, partial(keep, name=name)) for name in [*doors, end]]
    with torch.enable_grad():
        model.run_with_hooks(tokens, fwd_hooks=hooks, return_type=None)
    final = kept[end]
    for i, row in enumerate(rows):
        wanted = torch.zeros_like(final)
        wanted[:, valid] = row.to(final)
        yield torch.autograd.grad(final, [kept[name] for name in doors], wanted, retain_graph=i + 1 < len(rows))


def _depths(model: TransformerBridge, depths: Sequence[int] | None) -> list[int]:
    n_layers = model.cfg.n_layers
    chosen = list(range(n_layers)) if depths is None else list(depths)
    if not chosen or len(set(chosen)) < len(chosen) or max(chosen) >= n_layers:
        raise ValueError(f"depths must be different numbers from 0 to {n_layers - 1}, got {chosen}")
    return chosen


def _place(depths: tuple[int, ...], depth: int) -> int:
    if depth not in depths:
        raise ValueError(f"depth must be one of the fitted ones, {', '.join(map(str, depths))}, got {depth}")
    return depths.index(depth)


def _names(model: TransformerBridge, ids: Sequence[int]) -> tuple[str, ...]:
    return tuple(str(model.tokenizer.decode([i])) for i in ids)


def _word_ids(model: TransformerBridge, words: Sequence[str | int]) -> list[int]:
    """Token ids of words, each of one token and none twice."""
    if not len(words):
        raise ValueError("words must hold at least one word, got none")
    found = []
    for word in words:
        ids = text_ids(model, word) if isinstance(word, str) else [int(word)]
        if len(ids) != 1:
            raise ValueError(f"words must be one token each, got {word!r}, which takes {len(ids)}")
        found += ids
    if len(set(found)) < len(found):
        raise ValueError("words must be different, got one twice")
    return found
