"""Lenses: what the output layer can read in the residual stream before the last block.

A lens shows what the *output layer* can read; information in another basis stays dark.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from utils.anatomy.stream import residual_stream
from utils.devices import device_of, to_cpu
from utils.inputs import Count, Index, Positive, Text, checked
from utils.reading.tokens import TokenBatch, start_token, text_tokens, token_batch, token_strings

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


@checked
def read_out(model: TransformerBridge, residual: Float[Tensor, "*n d_model"]) -> Float[Tensor, "*n d_vocab"]:
    """Logits the model would give if this were its final residual: last norm, then unembedding.

    residual: (..., d_model). Returns (..., d_vocab), on the CPU. Includes the norm's and the unembedding's biases and
    the soft cap on logits, where the model has them. Raises ValueError for another last axis and for numbers that
    aren't finite.
    """
    if residual.shape[-1] != model.cfg.d_model:
        raise ValueError(f"residual has shape {tuple(residual.shape)}, expected (..., {model.cfg.d_model})")
    flat = residual.to(device_of(model), model.cfg.dtype).reshape(1, -1, model.cfg.d_model)
    logits = model.unembed(model.ln_final(flat))
    cap = float(getattr(model.cfg, "output_logits_soft_cap", -1.0) or -1.0)
    if cap > 0:
        logits = cap * torch.tanh(logits / cap)
    return logits.float().cpu().reshape(*residual.shape[:-1], logits.shape[-1])


@checked
def logit_lens(
    model: TransformerBridge, tokens: TokenBatch, position: int | None = -1
) -> Float[Tensor, "index batch ..."]:
    """What the output layer reads in the residual stream after each block: the logit lens.

    tokens: (batch, pos) ids, without padding. position: one position (-1 the last), or None for all.
    Returns logits (n_layers + 1, batch, d_vocab), or (n_layers + 1, batch, pos, d_vocab) for all positions; index i is
    after i blocks, and the last index holds the model's own logits. Raises TypeError or ValueError for ids of another
    form or a position outside the text.
    Source: nostalgebraist 2020, "interpreting GPT: the logit lens" (LessWrong).
    """
    tokens = token_batch(model, tokens)
    length = tokens.shape[1]
    if position is not None and not -length <= position < length:
        raise ValueError(f"position must be from {-length} to {length - 1}, or None for all, got {position}")
    stream = residual_stream(model, tokens)
    if position is not None:
        stream = stream[:, :, position]
    return torch.stack([read_out(model, layer) for layer in stream])


@dataclass(frozen=True)
class LensScores:
    """How far a lens is from the final answer. Each is (index, n): one column a prompt.

    kl: KL(final || lens) in nats. rank: how many tokens the lens puts above the final answer (0: it is first).
    top: the id the lens puts first.
    """

    kl: Float[Tensor, "index n"]
    rank: Int[Tensor, "index n"]
    top: Int[Tensor, "index n"]


@checked
def lens_scores(
    lens_logits: Float[Tensor, "index n d_vocab"],
    final_logits: Float[Tensor, "n d_vocab"],
    answers: Int[Tensor, " n"] | None = None,
) -> LensScores:
    """Compare lens logits with the model's final logits, one index of depth at a time.

    lens_logits: (index, n, d_vocab). final_logits: (n, d_vocab). answers: (n,) ids whose rank is wanted; default the
    model's own first choice. Pass another prompt's answers for a control. Raises ValueError for shapes that differ, for
    logits that aren't finite and for ids outside the vocabulary.
    """
    final_logits = to_cpu(final_logits)
    final = final_logits.log_softmax(-1)
    answers = final_logits.argmax(-1) if answers is None else to_cpu(answers).long()
    if len(answers) and not 0 <= int(answers.min()) <= int(answers.max()) < final.shape[-1]:
        raise ValueError(f"answers must be ids from 0 to {final.shape[-1] - 1}, got {answers.tolist()}")
    kl, rank, top = [], [], []
    for logits in to_cpu(lens_logits):
        kl.append((final.exp() * (final - logits.log_softmax(-1))).sum(-1))
        rank.append((logits > logits.gather(-1, answers[:, None])).sum(-1))
        top.append(logits.argmax(-1))
    return LensScores(torch.stack(kl), torch.stack(rank), torch.stack(top))


@checked
def lens_html(
    model: TransformerBridge, text: Text, every: Count = 2, most: Count = 16, depths: Sequence[Index] | None = None
) -> str:
    """A table of the lens's first choice, depth by position, as HTML for a notebook or a widget.

    text: what the model reads; at most `most` tokens of it are shown. every: show each n-th depth, and always the last.
    depths: which ones to show instead of each n-th.
    A bold cell means the lens gives its choice at least half of the probability, a grey one less than a tenth.
    Raises ValueError for an empty text, for `every` or `most` below 1, and for depths the model doesn't have.
    """
    tokens, first = text_tokens(model, text), int(start_token(model) is not None)
    shown = tokens[:, : most + first]
    stream = residual_stream(model, shown)[:, 0]
    chosen = sorted({*range(0, len(stream), every), len(stream) - 1}) if depths is None else list(depths)
    if not chosen or max(chosen) >= len(stream):
        raise ValueError(f"depths must be one or more from 0 to {len(stream) - 1}, got {chosen}")
    rows = []
    for depth in chosen:
        top = read_out(model, stream[depth]).softmax(-1).max(-1)
        cells = [_lens_cell(model.tokenizer.decode([int(i)]), float(p)) for i, p in zip(top.indices, top.values)]
        rows.append(f'<tr><th scope="row">{depth}</th>{"".join(cells[first:])}</tr>')
    heads = "".join(f'<th scope="col"><code>{_visible(t)}</code></th>' for t in token_strings(model, shown[0])[first:])
    cut = f" Only the first {most} tokens are shown." if tokens.shape[1] > most + first else ""
    return (
        '<div style="overflow-x:auto"><table style="border-collapse:collapse;font-size:0.85em"><caption '
        'style="text-align:left">Under each token: what the output layer would say comes next, after so many blocks. '
        f"Bold on blue: at least half of the probability. Grey: less than a tenth.{cut}</caption>"
        f'<thead><tr><th scope="col">blocks</th>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )


def _lens_cell(token: str, probability: float) -> str:
    word = f"<code>{_visible(token)}</code>"
    if probability >= 0.5:
        return f'<td style="background:#9ecae1;color:#000;padding:1px 6px"><strong>{word}</strong></td>'
    colour = "#595959" if probability < 0.1 else "#000;background:#e6f0f8"
    return f'<td style="color:{colour};padding:1px 6px">{word}</td>'


def _visible(token: str) -> str:
    """A token with its spaces and line ends made visible, safe inside HTML."""
    return html.escape(token.replace(" ", "·").replace("\n", "⏎") or "∅")


@dataclass(frozen=True)
class AffineLens:
    """One affine translator for each index of depth: from the stream there to the final stream.

    weight: (index, d_model, d_model). source, target: (index, d_model) and (d_model,), the means taken off and put on.
    """

    weight: Float[Tensor, "index d_model d_model"]
    source: Float[Tensor, "index d_model"]
    target: Float[Tensor, " d_model"]

    @checked
    def __call__(self, stream: Float[Tensor, "index n d_model"]) -> Float[Tensor, "index n d_model"]:
        """Translate streams (index, n, d_model), recorded at the same depths the lens was fitted on."""
        if stream.ndim != 3 or (stream.shape[0], stream.shape[2]) != tuple(self.source.shape):
            expected = (self.source.shape[0], "n", self.source.shape[1])
            raise ValueError(f"stream has shape {tuple(stream.shape)}, expected {expected}")
        return (to_cpu(stream).to(self.weight) - self.source[:, None]) @ self.weight + self.target


@checked
def fit_affine_lens(stream: Float[Tensor, "index n d_model"], ridge: Positive = 0.03) -> AffineLens:
    """Fit, for each depth, the affine map that best predicts the final stream: a poor man's tuned lens.

    stream: (index, n, d_model) over n tokens, its last index the final stream; leave out the start token and massive
    tokens, whose size would rule the fit. ridge: penalty, as a multiple of the mean variance. The tuned lens of
    Belrose et al. 2023 (arXiv 2303.08112) is trained to match the final *distribution* by gradient descent on far more
    text; this is least squares on the stream, in closed form. Raises ValueError for one token, for a depth at which all
    tokens are alike, for numbers that aren't finite, and for a ridge of 0 or less.
    """
    if not len(stream) or stream.shape[1] < 2:
        raise ValueError(f"stream has shape {tuple(stream.shape)}, expected (index, n, d_model) with n of 2 or more")
    stream = to_cpu(stream)
    if stream.dtype in (torch.float16, torch.bfloat16):
        stream = stream.float()
    target = stream[-1].mean(0)
    goal = stream[-1] - target
    weights = []
    for index, layer in enumerate(stream):
        centred = layer - layer.mean(0)
        if not bool(centred.any()):
            raise ValueError(f"stream holds the same vector for every token at index {index}: nothing to fit")
        gram = centred.T @ centred
        gram = gram + ridge * gram.diagonal().mean() * torch.eye(gram.shape[0], dtype=gram.dtype)
        weights.append(torch.linalg.solve(gram, centred.T @ goal))
    return AffineLens(torch.stack(weights), stream.mean(1), target)
