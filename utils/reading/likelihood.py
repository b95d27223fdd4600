"""How likely the model finds what follows: of every token, of a continuation, of each possible next token.

Everything here comes down to one thing, the logarithm of the probability the model gave a token before it saw it:
`token_log_probs`. In nats it is a log-likelihood, and its negative, averaged, is the loss the model was trained on; in
bits, with the sign turned, it is surprisal. A text's first token can only be predicted from a start token.

- `surprisal`: texts, token by token, in bits;
- `token_losses`: ids in a batch, in nats, with hooks;
- `continuation_log_likelihood`: P(continuation | prompt), summed and per token, with hooks;
- `next_token_logits`: what could follow each prompt, with hooks.

All return results on the CPU, and unembed only the positions they need: that product is a fifth of a pass.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float, Int
from torch.nn import functional as F

from utils.devices import device_of
from utils.inputs import Index, checked
from utils.progress import slow
from utils.reading.batches import length_sorted_batches, padded
from utils.reading.hooks import Hooks, check_hooks
from utils.reading.tokens import TokenBatch, TokenTexts, start_token, token_batch, token_rows, token_strings

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

__all__ = [
    "ContinuationLikelihood",
    "TextSurprisal",
    "continuation_log_likelihood",
    "next_token_logits",
    "surprisal",
    "token_log_probs",
    "token_losses",
]

TOKENS_PER_BATCH = 256  # logits of (256, d_vocab) in float32 take 50 MB for the specimen


# ------------------------------------------------------------------------------------------------------ the primitive


@checked
def token_log_probs(logits: torch.Tensor, tokens: Int[torch.Tensor, "*n"]) -> Float[torch.Tensor, "*n"]:
    """Log-probability (nats) of each token under the logits of the same place, on the device of the logits.

    logits: (..., d_vocab), where -inf is one like any other; logits[i] are those from which tokens[i] was to be
    predicted. For a batch of ids that is ``token_log_probs(logits[:, :-1], tokens[:, 1:])``. Gradients flow. Raises
    TypeError for anything but numbers and whole numbers, ValueError for shapes that don't agree, ids outside the
    vocabulary, and NaN.
    """
    if logits.ndim == 0 or logits.shape[:-1] != tokens.shape:
        raise ValueError(f"tokens has shape {tuple(tokens.shape)}, expected {tuple(logits.shape[:-1])}, as in logits")
    if tokens.numel() and not 0 <= int(tokens.min()) <= int(tokens.max()) < logits.shape[-1]:
        raise ValueError(
            f"tokens must be ids from 0 to {logits.shape[-1] - 1}, got {int(tokens.min())} to {int(tokens.max())}"
        )
    found = _log_probs(logits, tokens.long().to(logits.device))
    if torch.isnan(found).any():
        raise ValueError("logits hold NaN")
    return found


def _log_probs(logits: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    if logits.ndim <= 2:
        return -F.cross_entropy(logits.float(), tokens, reduction="none")
    # A text at a time: the whole batch's log-probabilities would double the memory of its logits.
    return torch.stack([_log_probs(of_text, ids) for of_text, ids in zip(logits, tokens)])


# ----------------------------------------------------------------------------------------------------- token by token


@dataclass(frozen=True)
class TextSurprisal:
    """One text's tokens with their surprisal. The document start is given, not predicted, and isn't listed.

    text: the string. tokens: its tokens as strings, which joined are the text. bits: (pos,) surprisal of each.
    """

    text: str
    tokens: list[str]
    bits: Float[torch.Tensor, "pos"]

    @property
    def total(self) -> float:
        """Bits the whole text costs."""
        return float(self.bits.double().sum())

    @property
    def per_token(self) -> float:
        """Bits a token."""
        return self.total / len(self.tokens)

    @property
    def per_character(self) -> float:
        """Bits per character of the text, spaces and punctuation included.

        An upper bound on the entropy of the text's language, in the sense of Shannon 1951 ("Prediction and Entropy of
        Printed English"): it can be compared between models that cut text into different tokens.
        """
        return self.total / len(self.text)


@checked
def surprisal(model: TransformerBridge, texts: Sequence[str]) -> list[TextSurprisal]:
    """Surprisal of every token of every text, each text read from a document start: -log2 of its probability.

    1 bit for a fair coin, 10 bits for one chance in about a thousand. Texts of similar length run together. Returns one
    TextSurprisal a text, in order. Raises TypeError or ValueError for a list that is empty or holds anything but
    non-empty strings, a text beyond the context, or a model whose tokenizer has no document start (`token_losses`
    begins with the second token, and works without one).
    """
    if start_token(model) is None:
        raise ValueError("model: its tokenizer has no document start, so the first token can't be predicted")
    rows = token_rows(model, texts)
    found: list[TextSurprisal | None] = [None] * len(texts)
    for batch in slow(length_sorted_batches([len(row) for row in rows], TOKENS_PER_BATCH), "reading"):
        ids = padded([rows[i] for i in batch]).to(device_of(model))
        with torch.no_grad():
            log_probs = token_log_probs(model(ids)[:, :-1], ids[:, 1:]).cpu()
        for of_text, i in zip(log_probs, batch):
            written = rows[i][1:]
            bits = -of_text[: len(written)] / math.log(2)
            found[i] = TextSurprisal(texts[i], token_strings(model, written), bits)
    return [one for one in found if one is not None]


@checked
@torch.no_grad()
def token_losses(model: TransformerBridge, tokens: TokenBatch, hooks: Hooks = ()) -> Float[torch.Tensor, "batch later"]:
    """Surprisal of each token after the first, in nats: entry [b, p] is for the token at position p + 1.

    tokens: (batch, pos) ids, at least two a row, without padding. hooks: forward hooks, as
    `model.run_with_hooks(fwd_hooks=...)` takes them. Raises TypeError or ValueError for anything but ids.
    """
    ids = token_batch(model, tokens, shortest=2)
    hooked: list[Any] = [*check_hooks(model, hooks)]
    logits = model.run_with_hooks(ids, fwd_hooks=hooked, return_type="logits")
    return -token_log_probs(logits[:, :-1], ids[:, 1:]).cpu()


@checked
@torch.no_grad()
def token_losses_from(
    model: TransformerBridge,
    tokens: TokenBatch,
    entering: Float[torch.Tensor, "batch pos d_model"],
    layer: Index,
    hooks: Hooks = (),
    first: Index = 0,
) -> Float[torch.Tensor, "batch later"]:
    """`token_losses` of a run that sets out at the door of a layer: for hooks that change nothing below it.

    entering: (batch, pos, d_model), the recorded stream that enters `layer`, `residual_stream(model, tokens)[layer]`.
    The blocks below it aren't run again. first: leave out the entries before this one; scoring a token against the
    whole vocabulary is the dearest step. Raises ValueError for a first entry that isn't there, a layer the model
    doesn't have, and shapes that don't fit.
    """
    ids = token_batch(model, tokens, shortest=2)
    if layer >= model.cfg.n_layers:
        raise ValueError(f"layer must be below {model.cfg.n_layers}, got {layer}")
    if entering.shape != (*ids.shape, model.cfg.d_model):
        raise ValueError(f"entering has shape {tuple(entering.shape)}, expected {(*ids.shape, model.cfg.d_model)}")
    if first >= ids.shape[1] - 1:
        raise ValueError(f"first must be below {ids.shape[1] - 1}, the number of entries, got {first}")
    hooked: list[Any] = [*check_hooks(model, hooks)]
    stream = entering.to(ids.device, model.cfg.dtype)
    door = (f"blocks.{layer}.hook_resid_pre", lambda value, hook: stream)  # below it one idle row runs
    last: list[torch.Tensor] = []

    def keep(value: torch.Tensor, hook: Any) -> torch.Tensor:
        last.append(value[:, first:-1])
        return value[:, :1].contiguous()

    model.run_with_hooks(ids[:1], fwd_hooks=[door, *hooked, ("unembed.hook_in", keep)], return_type=None)
    cap = float(getattr(model.cfg, "output_logits_soft_cap", -1.0) or -1.0)
    losses = []
    for normed, wanted in zip(last[0], ids[:, first + 1 :]):  # a text at a time: all logits at once take much memory
        logits = model.unembed(normed[None].contiguous())
        logits = cap * torch.tanh(logits / cap) if cap > 0 else logits
        losses.append(-token_log_probs(logits, wanted[None]))
    return torch.cat(losses).cpu()


# ------------------------------------------------------------------------------------------------------- what follows


@dataclass(frozen=True)
class ContinuationLikelihood:
    """How likely each continuation is after its prompt. total: (n,) nats, summed; n_tokens: (n,) tokens it has."""

    total: Float[torch.Tensor, "n"]
    n_tokens: Int[torch.Tensor, "n"]

    @property
    def per_token(self) -> Float[torch.Tensor, "n"]:
        """Mean log-probability of a continuation's tokens, (n,): to compare continuations of different lengths."""
        return self.total / self.n_tokens

    @property
    def perplexity(self) -> float:
        """exp of the mean surprisal over all tokens of all continuations."""
        return math.exp(-float(self.total.double().sum() / self.n_tokens.sum()))


@checked
@torch.no_grad()
def continuation_log_likelihood(
    model: TransformerBridge, prompts: TokenTexts, continuations: TokenTexts, *, hooks: Hooks = (), start: bool = True
) -> ContinuationLikelihood:
    """log P(continuation | prompt) in nats, of each prompt with the continuation in the same place.

    prompts: strings, begun with the model's start token (start=False leaves it out), or rows of ids, used as they are
    (`utils.writing.chat_prompts`). continuations: strings (give the leading space yourself), or rows of ids
    (`utils.writing.generate_ids`). The two are joined as tokens: a string continues after the prompt's last token.
    hooks: forward hooks, as `model.run_with_hooks(fwd_hooks=...)` takes them; padding is on the right.

    Raises TypeError or ValueError that names the row for what `token_rows` refuses, for lists of different lengths, and
    for a prompt without any token (of a model without a start token).
    """
    heads = token_rows(model, prompts, start=start, name="prompts")
    tails = token_rows(model, continuations, start=False, name="continuations")
    if len(heads) != len(tails):
        raise ValueError(f"continuations has {len(tails)} entries, expected {len(heads)}, as many as prompts")
    rows = [torch.cat([head.cpu(), tail.cpu()]) for head, tail in zip(heads, tails)]
    rows = token_rows(model, rows, name="prompts and continuations")  # together they may be too long
    total = torch.empty(len(rows))
    # The last token's own logits are not asked for, so what is read ends before it; and whatever another row begins
    # with is read there. Hooks may do as they like with a row, so under hooks every row is read, and to its end.
    hosts = list(range(len(rows))) if hooks else _hosts([row[:-1] for row in rows])
    read = sorted(set(hosts))
    guests: dict[int, list[int]] = {host: [] for host in read}
    for i, host in enumerate(hosts):
        guests[host].append(i)
    for batch in slow(length_sorted_batches([len(rows[i]) for i in read], TOKENS_PER_BATCH), "reading"):
        of_batch = [read[j] for j in batch]
        ids = padded([rows[i] if hooks else rows[i][:-1] for i in of_batch])
        wanted = torch.zeros_like(ids, dtype=torch.bool)  # positions whose next token belongs to a continuation
        for place, host in enumerate(of_batch):
            for i in guests[host]:
                wanted[place, len(heads[i]) - 1 : len(rows[i]) - 1] = True
        logits = logits_at(model, ids, wanted, hooks)
        number = wanted.flatten().cumsum(0).view_as(wanted) - 1  # which row of the logits a position has
        for place, host in enumerate(of_batch):
            for i in guests[host]:
                asked = number[place, len(heads[i]) - 1 : len(rows[i]) - 1]
                total[i] = token_log_probs(logits[asked.to(logits.device)], tails[i]).sum().cpu()
    return ContinuationLikelihood(total, torch.tensor([len(tail) for tail in tails]))


@checked
@torch.no_grad()
def next_token_logits(
    model: TransformerBridge, prompts: str | TokenTexts, *, hooks: Hooks = (), prepend_bos: bool = True
) -> Float[torch.Tensor, "*n d_vocab"]:
    """Logits for the token that follows each prompt: one number a vocabulary entry, larger is likelier.

    prompts: a string, a list of strings, or rows of token ids (used exactly as they are). Prompts of similar length
    run together, padded on the right. hooks: forward hooks, as `model.run_with_hooks(fwd_hooks=...)` takes them.
    prepend_bos: begin strings with the model's start token, if it has one.
    Returns (d_vocab,) for a single string, else (n, d_vocab), on the CPU.
    Raises TypeError or ValueError for anything else and for empty prompts.
    """
    if isinstance(prompts, str):
        return next_token_logits(model, [prompts], hooks=hooks, prepend_bos=prepend_bos)[0]
    rows = token_rows(model, prompts, start=prepend_bos, name="prompts")
    result = torch.empty(len(rows), model.cfg.d_vocab)
    for batch in slow(length_sorted_batches([len(row) for row in rows], TOKENS_PER_BATCH), "reading"):
        ids = padded([rows[i] for i in batch])
        last = torch.nn.functional.one_hot(torch.tensor([len(rows[i]) - 1 for i in batch]), ids.shape[1]).bool()
        result[batch] = logits_at(model, ids, last, hooks).float().cpu()
    return result


def _hosts(rows: Sequence[Int[torch.Tensor, "_"]]) -> list[int]:
    """For each row the number of the row in whose reading it is contained: the longest that begins as it does."""
    keys = [tuple(row.tolist()) for row in rows]
    order = sorted(range(len(keys)), key=lambda i: keys[i])
    hosts = list(range(len(keys)))
    # Sorted, so that what begins with a row comes right after it.
    for here, after in zip(reversed(order[:-1]), reversed(order[1:])):
        if keys[after][: len(keys[here])] == keys[here]:
            hosts[here] = hosts[after]
    return hosts


def logits_at(
    model: TransformerBridge,
    ids: Int[torch.Tensor, "batch pos"],
    wanted: Bool[torch.Tensor, "batch pos"],
    hooks: Hooks = (),
) -> Float[torch.Tensor, "n d_vocab"]:
    """Logits of a hooked run at the wanted positions only, row by row, on the model's device."""

    def pick(x: torch.Tensor, hook: Any = None) -> torch.Tensor:
        return x[wanted.to(x.device)][None]

    hooked: list[Any] = [*check_hooks(model, hooks), ("unembed.hook_in", pick)]
    return model.run_with_hooks(ids.to(device_of(model)), fwd_hooks=hooked, return_type="logits")[0]
