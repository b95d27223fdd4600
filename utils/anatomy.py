"""Anatomy of a transformer: what each part adds, where its heads look, and where information can be read.

A transformer keeps one vector a token, the **residual stream**, and every block adds to it: first its
attention, then its MLP. The functions here take that sum apart and look at the pieces:

- `residual_components`, `residual_stream`: the summands, and the running sum after each block;
- `read_out`, `logit_lens`, `lens_scores`, `lens_html`: what the model would say if it stopped early;
- `fit_affine_lens`: the same with a small translator a layer, because early layers write in another basis;
- `head_scores`, `offset_score`: where all heads look on repeated random tokens;
- `ablate_heads`, `ablate_outputs`, `push_outputs`, `token_losses`: take a part out and see what breaks;
- `repeated_words`, `read_labels`, `region_map`: a map of which information can be read where.

What these methods cannot show, in one place. A lens shows what the *output layer* can read; information in
another basis stays dark. Attention says where a head looks, not what it moves. An ablation shows that a part is
needed on these inputs, in this state of the rest; others may compensate. What a fitted reader finds is present,
and need not be used.

Works for any TransformerBridge with one residual stream: checked on Llama, GPT-2 (biases, position embeddings),
GPT-NeoX (parallel attention and MLP), Qwen2 and Gemma-2 (norms after the sublayers, soft-capped logits).
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Head = tuple[int, int]
Hook = tuple[str, Callable]


# ------------------------------------------------------------------------------------- the residual stream


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


def residual_components(model: Any, tokens: Int[Tensor, "batch pos"]) -> Components:
    """Everything that was added to the residual stream: embeddings, then each block's attention and MLP.

    tokens: (batch, pos) ids, without padding. Raises TypeError or ValueError for a model or ids of another kind.
    Source: Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits".
    """
    tokens = _check_tokens(model, tokens)
    n_layers = model.cfg.n_layers
    names = ["hook_embed"]
    if str(getattr(model.cfg, "positional_embedding_type", "")) == "standard":
        names.append("hook_pos_embed")
    names += [f"blocks.{layer}.hook_{part}_out" for layer in range(n_layers) for part in ("attn", "mlp")]
    kept = _record(model, tokens, [*names, f"blocks.{n_layers - 1}.hook_resid_post"])
    labels = [name.removeprefix("hook_") if "blocks" not in name else _short(name) for name in names]
    final = kept[f"blocks.{n_layers - 1}.hook_resid_post"]
    # Position embeddings come without a batch axis: the same for every text.
    values = torch.stack([kept[name].expand_as(final) for name in names])
    return Components(labels, values, final)


def residual_stream(
    model: Any, tokens: Int[Tensor, "batch pos"], hooks: Sequence[Hook] = ()
) -> Float[Tensor, "index batch pos d_model"]:
    """The stream after each block. Index 0 is the embedding, index i the stream after i blocks.

    tokens: (batch, pos) ids, without padding. hooks: further forward hooks, such as those of `ablate_heads`.
    Returns (n_layers + 1, batch, pos, d_model). Raises TypeError or ValueError as `residual_components`.
    """
    tokens = _check_tokens(model, tokens)
    last = model.cfg.n_layers - 1
    names = [f"blocks.{layer}.hook_resid_pre" for layer in range(last + 1)] + [f"blocks.{last}.hook_resid_post"]
    kept = _record(model, tokens, names, hooks)
    return torch.stack([kept[name] for name in names])


# ----------------------------------------------------------------------------------------------- the lens


def read_out(model: Any, residual: Float[Tensor, "*n d_model"]) -> Float[Tensor, "*n d_vocab"]:
    """Logits the model would give if this were its final residual: last norm, then unembedding.

    residual: (..., d_model). Returns (..., d_vocab). Includes the norm's and the unembedding's biases and the
    soft cap on logits, where the model has them. Raises ValueError for another last axis.
    """
    _check_model(model)
    if not isinstance(residual, Tensor) or residual.shape[-1:] != (model.cfg.d_model,):
        raise ValueError(f"residual: expected a tensor (..., {model.cfg.d_model}), got {_form(residual)}")
    flat = residual.reshape(1, -1, model.cfg.d_model)
    logits = model.unembed(model.ln_final(flat))
    cap = float(getattr(model.cfg, "output_logits_soft_cap", -1.0) or -1.0)
    if cap > 0:
        logits = cap * torch.tanh(logits / cap)
    return logits.reshape(*residual.shape[:-1], logits.shape[-1])


def logit_lens(
    model: Any, tokens: Int[Tensor, "batch pos"], position: int | None = -1
) -> Float[Tensor, "index batch ..."]:
    """What the output layer reads in the residual stream after each block: the logit lens.

    tokens: (batch, pos) ids, without padding. position: one position (-1 the last), or None for all.
    Returns logits (n_layers + 1, batch, d_vocab), or (n_layers + 1, batch, pos, d_vocab) for all positions; index i
    is after i blocks, and the last index holds the model's own logits. Raises TypeError or ValueError for ids of
    another form or a position outside the text.
    Source: nostalgebraist 2020, "interpreting GPT: the logit lens" (LessWrong).
    """
    tokens = _check_tokens(model, tokens)
    if position is not None and not -tokens.shape[1] <= position < tokens.shape[1]:
        raise ValueError(f"position: got {position}, expected one of the {tokens.shape[1]} positions, or None")
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


def lens_scores(
    lens_logits: Float[Tensor, "index n d_vocab"],
    final_logits: Float[Tensor, "n d_vocab"],
    answers: Int[Tensor, " n"] | None = None,
) -> LensScores:
    """Compare lens logits with the model's final logits, one index of depth at a time.

    lens_logits: (index, n, d_vocab). final_logits: (n, d_vocab). answers: (n,) ids whose rank is wanted; default the
    model's own first choice. Pass another prompt's answers for a control. Raises ValueError for shapes that differ.
    """
    if lens_logits.ndim != 3 or lens_logits.shape[1:] != final_logits.shape:
        raise ValueError(
            f"lens_logits: expected (index, n, d_vocab) over final_logits (n, d_vocab), got "
            f"{tuple(lens_logits.shape)} and {tuple(final_logits.shape)}"
        )
    final = final_logits.log_softmax(-1)
    answers = final_logits.argmax(-1) if answers is None else answers
    if answers.shape != final_logits.shape[:1]:
        raise ValueError(f"answers: expected shape {tuple(final_logits.shape[:1])}, got {tuple(answers.shape)}")
    kl, rank, top = [], [], []
    for logits in lens_logits:
        kl.append((final.exp() * (final - logits.log_softmax(-1))).sum(-1))
        rank.append((logits > logits.gather(-1, answers[:, None])).sum(-1))
        top.append(logits.argmax(-1))
    return LensScores(torch.stack(kl), torch.stack(rank), torch.stack(top))


def lens_html(model: Any, text: str, every: int = 2, most: int = 16) -> str:
    """A table of the lens's first choice, depth by position, as HTML for a notebook or a widget.

    text: what the model reads; at most `most` tokens of it are shown. every: show each n-th depth, and always the last.
    A bold cell means the lens gives its choice at least half of the probability, a grey one less than a tenth.
    Raises ValueError for an empty text or `every` below 1.
    """
    if not isinstance(text, str) or not text.strip():
        raise ValueError("text: type a few words")
    if every < 1:
        raise ValueError(f"every: expected at least 1, got {every}")
    tokens = model.to_tokens(text)
    shown = tokens[:, : most + 1]
    stream = residual_stream(model, shown)[:, 0]
    depths = sorted({*range(0, len(stream), every), len(stream) - 1})
    rows = []
    for depth in depths:
        top = read_out(model, stream[depth]).softmax(-1).max(-1)
        cells = [_lens_cell(model.tokenizer.decode([int(i)]), float(p)) for i, p in zip(top.indices, top.values)]
        rows.append(f'<tr><th scope="row">{depth}</th>{"".join(cells[1:])}</tr>')
    heads = "".join(f'<th scope="col"><code>{_visible(t)}</code></th>' for t in model.to_str_tokens(shown)[1:])
    cut = f" Only the first {most} tokens are shown." if tokens.shape[1] > most + 1 else ""
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

    def __call__(self, stream: Float[Tensor, "index n d_model"]) -> Float[Tensor, "index n d_model"]:
        """Translate streams (index, n, d_model), recorded at the same depths the lens was fitted on."""
        if stream.ndim != 3 or (stream.shape[0], stream.shape[2]) != tuple(self.source.shape):
            expected = (self.source.shape[0], "n", self.source.shape[1])
            raise ValueError(f"stream: expected shape {expected}, got {tuple(stream.shape)}")
        return (stream - self.source[:, None]) @ self.weight + self.target


def fit_affine_lens(stream: Float[Tensor, "index n d_model"], ridge: float = 0.03) -> AffineLens:
    """Fit, for each depth, the affine map that best predicts the final stream: a poor man's tuned lens.

    stream: (index, n, d_model) over n tokens, its last index the final stream; leave out the start token and massive
    tokens, whose size would rule the fit. ridge: penalty, as a multiple of the mean variance. The tuned lens of
    Belrose et al. 2023 (arXiv 2303.08112) is trained to match the final *distribution* by gradient descent on far more
    text; this is least squares on the stream, in closed form. Raises ValueError for one token or a bad ridge.
    """
    if stream.ndim != 3 or stream.shape[1] < 2:
        raise ValueError(f"stream: expected (index, n, d_model) with n of 2 or more, got {tuple(stream.shape)}")
    if not (isinstance(ridge, (int, float)) and ridge > 0 and math.isfinite(ridge)):
        raise ValueError(f"ridge: expected a positive number, got {ridge!r}")
    target = stream[-1].mean(0)
    goal = stream[-1] - target
    weights = []
    for layer in stream:
        centred = layer - layer.mean(0)
        gram = centred.T @ centred
        gram = gram + ridge * gram.diagonal().mean() * torch.eye(gram.shape[0], dtype=gram.dtype)
        weights.append(torch.linalg.solve(gram, centred.T @ goal))
    return AffineLens(torch.stack(weights), stream.mean(1), target)


# ------------------------------------------------------------------------------------------ where heads look


def repeated_tokens(
    n: int, period: int, *, low: int, high: int, start: int | None, seed: int = 0, repeat: bool = True
) -> Int[Tensor, "n pos"]:
    """Random ids, then the same ids again: text with nothing to go by but the repetition.

    n rows of 1 + 2 * period ids (start token, first copy, second copy); ids from low (included) to high (excluded).
    start: the document-start id, or None for models that have none (rows are then 2 * period long). repeat=False
    draws the second half afresh: the control. Raises ValueError for sizes below 1 or an empty range of ids.
    """
    if n < 1 or period < 1:
        raise ValueError(f"n and period: expected at least 1, got {n} and {period}")
    if not 0 <= low < high:
        raise ValueError(f"low and high: expected 0 <= low < high, got {low} and {high}")
    random = torch.Generator().manual_seed(seed)
    first = torch.randint(low, high, (n, period), generator=random)
    second = first if repeat else torch.randint(low, high, (n, period), generator=random)
    parts = [first, second] if start is None else [torch.full((n, 1), start), first, second]
    return torch.cat(parts, dim=1)


def offset_score(
    pattern: Float[Tensor, "*n query key"], offset: int, first_query: int | None = None
) -> Float[Tensor, "*n"]:
    """Mean attention from each position to the one `offset` places before it.

    pattern: (..., query, key) attention weights. first_query: average over queries from here on (default: the first
    that has a key there). Offset 1 is the previous token; with a repetition every `period` tokens, `period` is the same
    token's first occurrence and `period - 1` the token *after* it, where an induction head looks. Returns (...).
    Raises ValueError for a pattern that is not square or an offset without any query.
    Source: Olsson et al. 2022 (arXiv 2209.11895), prefix-matching score.
    """
    if pattern.ndim < 2 or pattern.shape[-1] != pattern.shape[-2]:
        raise ValueError(f"pattern: expected (..., query, key), keys as many as queries, got {tuple(pattern.shape)}")
    length = pattern.shape[-1]
    begin = offset if first_query is None else first_query
    if not (0 <= offset <= begin < length):
        raise ValueError(
            f"offset and first_query: expected 0 <= offset <= first_query < {length}, got {offset} and {begin}"
        )
    # The diagonal `offset` below the main one starts at query = offset.
    return pattern.diagonal(-offset, dim1=-2, dim2=-1)[..., begin - offset :].mean(-1)


@dataclass(frozen=True)
class HeadScores:
    """Where each head looks on repeated tokens; each is (layer, head, n), one number a row of tokens.

    induction: at the token after this one's first occurrence. duplicate: at the first occurrence itself.
    previous: at the token before. first: at position 0 (an attention sink). All over the second copy's queries.
    """

    induction: Float[Tensor, "layer head n"]
    duplicate: Float[Tensor, "layer head n"]
    previous: Float[Tensor, "layer head n"]
    first: Float[Tensor, "layer head n"]

    def heads(self, kind: str = "induction", above: float = 0.4) -> list[Head]:
        """The (layer, head) pairs whose mean score is above a threshold, strongest first."""
        mean = getattr(self, kind).mean(-1)
        found = [(int(i), int(j)) for i, j in (mean > above).nonzero()]
        return sorted(found, key=lambda head: -float(mean[head]))


def head_scores(model: Any, tokens: Int[Tensor, "n pos"], period: int, hooks: Sequence[Hook] = ()) -> HeadScores:
    """Score every head of the model on tokens that repeat every `period`, keeping no pattern in memory.

    tokens: (n, pos), from `repeated_tokens`. hooks: further forward hooks, to score an operated model.
    Raises ValueError if the second copy does not fit, or the model does not compute attention patterns.
    """
    tokens = _check_tokens(model, tokens)
    length = tokens.shape[1]
    if not 2 <= period <= length // 2:
        raise ValueError(f"period: expected 2 to {length // 2} for {length} positions, got {period}")
    begin = length - period  # first position of the second copy, with or without a start token
    kinds: dict[str, list[Tensor]] = {"induction": [], "duplicate": [], "previous": [], "first": []}

    def score(pattern: Tensor, hook: Any) -> None:
        kinds["induction"].append(offset_score(pattern, period - 1, begin).T)
        kinds["duplicate"].append(offset_score(pattern, period, begin).T)
        kinds["previous"].append(offset_score(pattern, 1, begin).T)
        kinds["first"].append(pattern[:, :, begin:, 0].mean(-1).T)

    names = [f"blocks.{layer}.attn.hook_pattern" for layer in range(model.cfg.n_layers)]
    with torch.no_grad():
        model.run_with_hooks(tokens, fwd_hooks=[*hooks, *((name, score) for name in names)], return_type=None)
    if len(kinds["induction"]) != len(names):
        raise ValueError("model: gave no attention patterns; load it with attn_implementation='eager'")
    return HeadScores(**{kind: torch.stack(rows) for kind, rows in kinds.items()})


# ------------------------------------------------------------------------------------------------ ablation


def head_means(model: Any, tokens: Int[Tensor, "n pos"]) -> Float[Tensor, "layer head d_head"]:
    """Mean output of each head (before its output projection) over all positions but the first.

    tokens: (n, pos), reference text. Position 0 is left out: what happens at the start token is unlike the rest.
    """
    tokens = _check_tokens(model, tokens)
    names = [f"blocks.{layer}.attn.hook_z" for layer in range(model.cfg.n_layers)]
    kept = _record(model, tokens, names)
    return torch.stack([kept[name][:, 1:].mean((0, 1)) for name in names])


def ablate_heads(heads: Iterable[Head], means: Float[Tensor, "layer head d_head"] | None = None) -> list[Hook]:
    """Hooks that silence some heads: replaced by zero, or by their mean output where `means` is given.

    heads: (layer, head) pairs. means: (layer, head, d_head) from `head_means`. Zero is simple, but a head's output is
    rarely near zero, so the layers above see something they never saw; the mean keeps the constant part and takes the
    information away. Pass the result as `fwd_hooks` to `run_with_hooks`, or as `hooks` here.
    Raises ValueError for no heads, or for heads that `means` doesn't hold.
    Source: zero and mean ablation as compared in Wang et al. 2022 (arXiv 2211.00593).
    """
    heads = [(int(layer), int(head)) for layer, head in heads]
    if not heads:
        raise ValueError("heads: got none, expected at least one (layer, head) pair")
    if min(min(pair) for pair in heads) < 0:
        raise ValueError(f"heads: expected numbers from 0, got {heads}")
    if means is not None:
        outside = [pair for pair in heads if pair[0] >= means.shape[0] or pair[1] >= means.shape[1]]
        if outside:
            raise ValueError(f"heads: {outside} are not among the {tuple(means.shape[:2])} (layers, heads) of means")
    by_layer: dict[int, list[int]] = {}
    for layer, head in heads:
        by_layer.setdefault(layer, []).append(head)

    def silence(layer: int, chosen: list[int]) -> Callable:
        def hook_function(z: Tensor, hook: Any) -> Tensor:
            if max(chosen) >= z.shape[2]:
                raise ValueError(f"heads: layer {layer} has heads 0 to {z.shape[2] - 1}, got {max(chosen)}")
            z = z.clone()
            z[:, :, chosen] = 0.0 if means is None else means[layer, chosen].to(z)
            return z

        return hook_function

    return [(f"blocks.{layer}.attn.hook_z", silence(layer, chosen)) for layer, chosen in by_layer.items()]


def matched_heads(heads: Sequence[Head], n_heads: int, *, exclude: Iterable[Head] = (), seed: int = 0) -> list[Head]:
    """As many random heads in the same layers: the control for an ablation.

    heads: those it is a control for. exclude: further heads never drawn (the `heads` themselves never are).
    Raises ValueError if a layer has too few heads left.
    """
    rng = np.random.default_rng(seed)
    banned = {*map(tuple, heads), *map(tuple, exclude)}
    drawn: list[Head] = []
    for layer in sorted({layer for layer, _ in heads}):
        wanted = sum(other == layer for other, _ in heads)
        pool = [head for head in range(n_heads) if (layer, head) not in banned]
        if len(pool) < wanted:
            raise ValueError(f"heads: layer {layer} has {len(pool)} other heads, {wanted} are needed")
        drawn += [(layer, int(head)) for head in rng.choice(pool, size=wanted, replace=False)]
    return drawn


def ablate_outputs(names: Sequence[str], means: Mapping[str, Float[Tensor, " d_model"]] | None = None) -> list[Hook]:
    """Hooks that replace whole outputs ("blocks.5.hook_mlp_out") by zero or by their mean, from position 1 on.

    means: hook name -> (d_model,). The start token is left alone. Raises ValueError for no names or a missing mean.
    """
    missing = [name for name in names if means is not None and name not in means]
    if not names or missing:
        raise ValueError(f"names: expected at least one, each with a mean; missing: {missing or 'all'}")

    def replace(name: str) -> Callable:
        def hook_function(value: Tensor, hook: Any) -> Tensor:
            value = value.clone()
            value[:, 1:] = 0.0 if means is None else means[name].to(value)
            return value

        return hook_function

    return [(name, replace(name)) for name in names]


def push_outputs(names: Sequence[str], means: Mapping[str, Float[Tensor, " d_model"]], seed: int = 0) -> list[Hook]:
    """Hooks that add to each output a random vector as long as what `ablate_outputs` would take away: its control.

    For each token from position 1 on the length is that of the output minus its mean, and the direction is random. The
    information stays in; only noise of the same size comes on top. Random directions leave the range a model has seen,
    so this control is a strict one. Raises ValueError for no names or a missing mean.
    """
    missing = [name for name in names if name not in means]
    if not names or missing:
        raise ValueError(f"names: expected at least one, each with a mean; missing: {missing or 'all'}")

    def push(name: str, number: int) -> Callable:
        def hook_function(value: Tensor, hook: Any) -> Tensor:
            random = torch.Generator().manual_seed(seed * 1000 + number)
            away = value[:, 1:] - means[name].to(value)
            noise = torch.randn(away.shape, generator=random).to(value)
            noise = noise / noise.norm(dim=-1, keepdim=True) * away.norm(dim=-1, keepdim=True)
            value = value.clone()
            value[:, 1:] += noise
            return value

        return hook_function

    return [(name, push(name, number)) for number, name in enumerate(names)]


def output_means(
    model: Any, names: Sequence[str], batches: Sequence[Int[Tensor, "batch pos"]]
) -> dict[str, Float[Tensor, " d_model"]]:
    """Mean of each named output over all positions but the first, over several batches (of any lengths).

    Returns name -> (d_model,). Raises ValueError for no batches or a name the model doesn't have.
    """
    if not batches:
        raise ValueError("batches: expected at least one batch of token ids")
    kept = [_record(model, _check_tokens(model, batch), names) for batch in batches]
    return {name: torch.cat([each[name][:, 1:].flatten(0, 1) for each in kept]).mean(0) for name in names}


def token_losses(
    model: Any, tokens: Int[Tensor, "batch pos"], hooks: Sequence[Hook] = ()
) -> Float[Tensor, "batch pos-1"]:
    """Surprisal of each token after the first, in nats: entry [b, p] is for the token at position p + 1.

    tokens: (batch, pos) ids, without padding. hooks: forward hooks, such as those of `ablate_heads`.
    """
    tokens = _check_tokens(model, tokens)
    with torch.no_grad():
        logits = model.run_with_hooks(tokens, fwd_hooks=list(hooks), return_type="logits")
    log_probs = logits[:, :-1].float().log_softmax(-1)
    return -log_probs.gather(-1, tokens[:, 1:, None].to(log_probs.device))[..., 0]


# --------------------------------------------------------------------------------------- a map of regions


@dataclass(frozen=True)
class LabelledTokens:
    """Sequences of known words with labels at every position (-1: no label there). All are (n, pos).

    current, previous, following: which of the words stands there, before it, and after it (0, 1, …).
    place: place in its copy, from 0. copy: 0 in the first copy, 1 in the second.
    """

    tokens: Int[Tensor, "n pos"]
    current: Int[Tensor, "n pos"]
    previous: Int[Tensor, "n pos"]
    following: Int[Tensor, "n pos"]
    place: Int[Tensor, "n pos"]
    copy: Int[Tensor, "n pos"]


def repeated_words(word_ids: Sequence[int], n: int, period: int, *, start: int | None, seed: int = 0) -> LabelledTokens:
    """Rows of `period` different random words, each row said twice: tissue for a map with known answers.

    word_ids: one id a word. In random order no word says anything about the word before it, after it, or its place, so
    anything but `current` that can be read at a position was brought there by the model. `following` can only be known
    in the second copy; in the first it is the control. `previous` has no label at the first word of a copy, `following`
    none at its last. Raises ValueError for repeated ids or a period longer than the list.
    """
    words = torch.as_tensor(word_ids)
    if words.ndim != 1 or len(words.unique()) != len(words):
        raise ValueError("word_ids: expected different ids, one a word")
    if not 2 <= period <= len(words) or n < 1:
        raise ValueError(f"period and n: expected period 2 to {len(words)} and n >= 1, got {period} and {n}")
    random = torch.Generator().manual_seed(seed)
    once = torch.stack([torch.randperm(len(words), generator=random)[:period] for _ in range(n)])
    none = torch.full((n, 1), -1)
    before, after = torch.cat([none, once[:, :-1]], 1), torch.cat([once[:, 1:], none], 1)
    place = torch.arange(period).expand(n, -1)
    zero = torch.zeros_like(once)

    def twice(first: Tensor, second: Tensor, at_start: Tensor = none) -> Tensor:
        return torch.cat([first, second] if start is None else [at_start, first, second], dim=1)

    ids = words[once]
    at_start = torch.full((n, 1), -1 if start is None else start)
    return LabelledTokens(
        tokens=twice(ids, ids, at_start),
        current=twice(once, once),
        previous=twice(before, before),
        following=twice(after, after),
        place=twice(place, place),
        copy=twice(zero, zero + 1),
    )


def read_labels(
    train: Float[Tensor, "n d_model"],
    train_labels: Int[Tensor, " n"],
    test: Float[Tensor, "m d_model"],
    reader: str = "trained",
) -> Int[Tensor, " m"]:
    """Guess labels from activations with one of two simple readers, and return the guesses for `test`, (m,).

    reader: "nearest mean" compares with the mean activation of each class and hears what is loud; "trained" fits a
    ridge classifier and also hears what is quiet. Coordinates are standardised on `train`. Which of the two you use
    changes the map: say which. Raises ValueError for an unknown reader, one class only, or shapes that don't fit.
    """
    if train.ndim != 2 or test.ndim != 2 or train.shape[1] != test.shape[1] or train_labels.shape != train.shape[:1]:
        raise ValueError(
            f"train, train_labels, test: expected (n, d), (n,) and (m, d), got {tuple(train.shape)}, "
            f"{tuple(train_labels.shape)} and {tuple(test.shape)}"
        )
    classes, index = train_labels.unique(return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"train_labels: expected at least two classes, got {len(classes)}")
    centre, spread = train.mean(0), train.std(0) + 1e-6
    train, test = (train - centre) / spread, (test - centre) / spread
    one_hot = torch.nn.functional.one_hot(index).to(train)
    if reader == "nearest mean":
        means = (one_hot.T @ train) / one_hot.sum(0)[:, None]
        guess = torch.cdist(test, means).argmin(1)
    elif reader == "trained":
        # A penalty as large as the data's own variance: few rows, many dimensions.
        gram = train.T @ train + 0.3 * len(train) * torch.eye(train.shape[1], dtype=train.dtype)
        share = one_hot.mean(0)
        weight = torch.linalg.solve(gram, train.T @ (one_hot - share))
        guess = (test @ weight + share).argmax(1)
    else:
        raise ValueError(f'reader: expected "trained" or "nearest mean", got {reader!r}')
    return classes[guess]


def region_map(
    stream: Float[Tensor, "index n pos d_model"],
    labels: Int[Tensor, "n pos"],
    *,
    test_rows: Int[Tensor, " m"] | Sequence[int],
    where: Bool[Tensor, "n pos"] | None = None,
    reader: str = "trained",
    shuffle_seed: int | None = None,
) -> Float[Tensor, "index m"]:
    """How well a property of tokens can be read at each depth, for rows the reader has not seen.

    stream: (index, n, pos, d_model). labels: (n, pos), -1 where there is none. test_rows: rows held out; the reader is
    fitted on the others. where: use only these positions. shuffle_seed: fit on shuffled labels, a control that must
    come out at chance. Returns (index, m): the share of right guesses in each held-out row, for a bootstrap over rows.
    Raises ValueError for shapes that don't fit, no row to fit on, or a held-out row without any label.
    """
    if stream.ndim != 4 or tuple(labels.shape) != tuple(stream.shape[1:3]):
        raise ValueError(
            f"stream and labels: expected (index, n, pos, d_model) and (n, pos), got {tuple(stream.shape)} "
            f"and {tuple(labels.shape)}"
        )
    used = labels >= 0 if where is None else (labels >= 0) & where
    rows = torch.zeros(len(labels), dtype=torch.bool)
    rows[torch.as_tensor(test_rows)] = True
    if rows.all() or not rows.any():
        raise ValueError(f"test_rows: expected some rows of {len(rows)} and not all, got {int(rows.sum())}")
    fit, held = used & ~rows[:, None], used & rows[:, None]
    counts = held[rows].sum(1)
    if not counts.all():
        raise ValueError("test_rows: a held-out row has no labelled position")
    fit_labels = labels[fit]
    if shuffle_seed is not None:
        random = torch.Generator().manual_seed(shuffle_seed)
        fit_labels = fit_labels[torch.randperm(len(fit_labels), generator=random)]
    shares = []
    for layer in stream:
        right = read_labels(layer[fit], fit_labels, layer[held], reader) == labels[held]
        shares.append(torch.stack([part.float().mean() for part in right.split(counts.tolist())]))
    return torch.stack(shares)


# -------------------------------------------------------------------------------------------------- checks


def _short(name: str) -> str:
    _, layer, part = name.split(".")
    return f"{layer} {part.removeprefix('hook_').removesuffix('_out')}"


def _record(model: Any, tokens: Tensor, names: Sequence[str], hooks: Sequence[Hook] = ()) -> dict[str, Tensor]:
    """Run once and keep the named activations. Other hooks come first, so that what is kept is what went on."""
    kept: dict[str, Tensor] = {}

    def keep(name: str) -> Callable:
        def hook_function(value: Tensor, hook: Any) -> None:
            kept[name] = value.detach().clone()

        return hook_function

    with torch.no_grad():
        model.run_with_hooks(tokens, fwd_hooks=[*hooks, *((name, keep(name)) for name in names)], return_type=None)
    missing = [name for name in names if name not in kept]
    if missing:
        raise ValueError(f"model: has no activations called {', '.join(missing[:3])}")
    return kept


def _check_model(model: Any) -> None:
    parts = ("blocks", "ln_final", "unembed", "run_with_hooks", "cfg")
    missing = [part for part in parts if not hasattr(model, part)]
    if missing:
        raise TypeError(
            f"model: expected a TransformerBridge with one residual stream (utils.models.load_model), got "
            f"{type(model).__name__} without {', '.join(missing)}"
        )


def _check_tokens(model: Any, tokens: Any) -> Tensor:
    _check_model(model)
    if not isinstance(tokens, Tensor) or tokens.dtype not in (torch.int64, torch.int32):
        raise TypeError(f"tokens: expected a tensor of token ids (model.to_tokens(text)), got {_form(tokens)}")
    if tokens.ndim != 2 or 0 in tokens.shape:
        raise ValueError(f"tokens: expected shape (batch, pos), neither of them 0, got {tuple(tokens.shape)}")
    if int(tokens.min()) < 0 or int(tokens.max()) >= model.cfg.d_vocab:
        raise ValueError(f"tokens: expected ids from 0 to {model.cfg.d_vocab - 1}, got {int(tokens.max())}")
    return tokens


def _form(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}, {value.dtype}"
    return type(value).__name__
