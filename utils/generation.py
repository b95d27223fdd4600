"""From logits to text: the distribution over the next token, the usual ways of picking from it, and the loop.

Lesson 00 builds these pieces by hand; later lessons use the ones here. Picking at random is reproducible:
every text has its own generator, seeded from `seed` and its place in the list, so that the same prompt in
the same place gives the same text whatever else runs beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int

from utils.activations import length_sorted_batches

TOKENS_PER_BATCH = 256  # logits of (256, d_vocab) in float32 take 50 MB for the specimen


def next_token_logits(
    model: Any, prompts: str | Sequence[str] | Sequence[Sequence[int]], *, prepend_bos: bool = True
) -> Float[torch.Tensor, "*n d_vocab"]:
    """Logits for the token that follows each prompt: one number a vocabulary entry, larger is likelier.

    prompts: a string, a list of strings, or a list of token-id lists (used exactly as they are). Prompts of
    similar length run together. Returns (d_vocab,) for a single string, else (n, d_vocab), on the CPU.
    Raises TypeError or ValueError for anything else and for empty prompts.
    """
    if isinstance(prompts, str):
        return next_token_logits(model, [prompts], prepend_bos=prepend_bos)[0]
    if isinstance(prompts, Sequence) and prompts and not isinstance(prompts[0], str):
        if not all(isinstance(row, Sequence) and row and all(isinstance(t, int) for t in row) for row in prompts):
            raise TypeError("prompts must be strings, or non-empty lists of token ids (int)")
        rows = [torch.tensor(list(row)) for row in prompts]
    else:
        _check_prompts(prompts)
        rows = [model.to_tokens(prompt, prepend_bos=prepend_bos)[0].cpu() for prompt in prompts]
    result = torch.empty(len(rows), model.cfg.d_vocab)
    device = next(model.parameters()).device
    for batch in length_sorted_batches([len(row) for row in rows], TOKENS_PER_BATCH):
        # Padding on the right: causal attention never looks at it, and its logits are never read.
        ids = torch.nn.utils.rnn.pad_sequence([rows[i] for i in batch], batch_first=True)
        last = torch.tensor([len(rows[i]) - 1 for i in batch])
        with torch.no_grad():
            result[batch] = model(ids.to(device))[torch.arange(len(batch)), last].float().cpu()
    return result


def probabilities(
    logits: Float[torch.Tensor, "*batch d_vocab"],
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Float[torch.Tensor, "*batch d_vocab"]:
    """Logits to probabilities: divide by the temperature, softmax, then keep the top k and the top p.

    temperature: below 1 sharpens, above 1 flattens, 0 puts everything on the likeliest token (greedy).
    top_k: keep the k likeliest tokens. top_p: keep the smallest set of likeliest tokens that holds at least
    this much probability (nucleus sampling, Holtzman et al. 2019, arXiv 1904.09751). What is kept is scaled
    to sum to 1. logits: (..., d_vocab). Returns the same shape. Raises ValueError for settings out of range
    and for logits that are NaN.
    """
    _check_settings(temperature, top_k, top_p)
    if not isinstance(logits, torch.Tensor) or not logits.is_floating_point() or logits.ndim == 0:
        raise TypeError("logits must be a floating-point tensor of shape (..., d_vocab)")
    if torch.isnan(logits).any():
        raise ValueError("logits hold NaN")
    if temperature == 0:
        best = logits.argmax(-1, keepdim=True)
        return torch.zeros_like(logits).scatter(-1, best, 1.0)
    probs = torch.softmax(logits / temperature, dim=-1)
    if top_k is None and top_p is None:
        return probs
    ordered, order = probs.sort(dim=-1, descending=True, stable=True)
    if top_k is not None:
        ordered[..., top_k:] = 0
    if top_p is not None:
        share = ordered / ordered.sum(-1, keepdim=True)
        # A token stays while the ones before it hold less than top_p: the one that crosses the line is kept.
        ordered[share.cumsum(-1) - share >= top_p] = 0
    kept = torch.zeros_like(probs).scatter(-1, order, ordered)
    return kept / kept.sum(-1, keepdim=True)


def draw(probs: Float[torch.Tensor, "d_vocab"], generator: torch.Generator) -> int:
    """Pick one token id at random, each with its probability.

    Walks along the cumulative sum to a uniform random number, which gives the same token on any processor;
    torch.multinomial does not promise that. Raises ValueError unless probs sum to 1.
    """
    total = float(probs.double().sum())
    if probs.ndim != 1 or not abs(total - 1) < 1e-3:
        raise ValueError(f"probs must have shape (d_vocab,) and sum to 1, got {tuple(probs.shape)}, sum {total:.4f}")
    steps = probs.double().cumsum(0)
    point = torch.rand(1, generator=generator, dtype=torch.float64) * steps[-1]
    index = int(torch.searchsorted(steps, point, right=True))
    return min(index, int(probs.nonzero().max()))


def generate(
    model: Any,
    prompts: Sequence[str],
    new_tokens: int = 40,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
    prepend_bos: bool = True,
) -> list[str]:
    """Continue every prompt by up to `new_tokens` tokens and return the continuations alone.

    temperature, top_k, top_p: as in `probabilities`; temperature=0 is greedy. A text ends at the model's end
    token. All prompts run together, padded on the left, and keys and values are kept from step to step.
    Raises TypeError or ValueError for bad prompts or settings, or a text beyond the model's context.
    """
    return [
        model.tokenizer.decode(ids)
        for ids in generate_ids(
            model,
            prompts,
            new_tokens,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            seed=seed,
            prepend_bos=prepend_bos,
        )
    ]


def generate_ids(
    model: Any,
    prompts: Sequence[str],
    new_tokens: int = 40,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
    prepend_bos: bool = True,
) -> list[list[int]]:
    """`generate`, returning token ids: one list a prompt, without the end token."""
    _check_prompts(prompts)
    _check_settings(temperature, top_k, top_p)
    if not isinstance(new_tokens, int) or isinstance(new_tokens, bool) or new_tokens < 1:
        raise ValueError(f"new_tokens must be a whole number from 1, got {new_tokens!r}")
    rows = [model.to_tokens(prompt, prepend_bos=prepend_bos)[0].cpu() for prompt in prompts]
    longest = max(len(row) for row in rows)
    if longest + new_tokens > model.cfg.n_ctx:
        raise ValueError(f"{longest} prompt tokens and {new_tokens} new ones exceed the context of {model.cfg.n_ctx}")
    ids, mask = _left_padded(rows, longest)
    generators = [torch.Generator().manual_seed(seed * 100_003 + i) for i in range(len(rows))]
    end = model.tokenizer.eos_token_id
    out: list[list[int]] = [[] for _ in rows]
    running = [True] * len(rows)
    cache = None
    device = next(model.parameters()).device
    with torch.no_grad():
        for _ in range(new_tokens):
            logits, cache = model(
                ids.to(device),
                attention_mask=mask.to(device),
                past_key_values=cache,
                use_cache=True,
                return_type="logits_and_cache",
            )
            probs = probabilities(logits[:, -1].float().cpu(), temperature, top_k, top_p)
            picked = [draw(row, generator) for row, generator in zip(probs, generators)]
            for i, token in enumerate(picked):
                running[i] = running[i] and token != end
                if running[i]:
                    out[i].append(token)
            if not any(running):
                break
            ids = torch.tensor(picked).unsqueeze(1)
            mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)
    return out


def repeated_share(ids: Sequence[int], n: int = 4) -> float:
    """Share of a text's n-grams that have occurred earlier in it: 0 never repeats, near 1 is stuck in a loop.

    ids: token ids. Raises ValueError if the text has fewer than n tokens.
    """
    grams = [tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)]
    if n < 1 or not grams:
        raise ValueError(f"ids must hold at least n = {n} tokens, got {len(ids)}")
    return 1 - len(set(grams)) / len(grams)


def _left_padded(
    rows: list[torch.Tensor], longest: int
) -> tuple[Int[torch.Tensor, "batch pos"], Int[torch.Tensor, "batch pos"]]:
    """Padding on the left puts every text's last token in the last column; the mask hides the padding."""
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, longest - len(row) :] = row
        mask[i, longest - len(row) :] = 1
    return ids, mask


def _check_prompts(prompts: Any) -> None:
    if isinstance(prompts, str) or not isinstance(prompts, Sequence):
        raise TypeError(f"prompts must be a list of strings, got {type(prompts).__name__}")
    if not prompts:
        raise ValueError("prompts is empty; give at least one")
    for i, prompt in enumerate(prompts):
        if not isinstance(prompt, str):
            raise TypeError(f"prompts[{i}] must be a string, got {type(prompt).__name__}")
        if not prompt:
            raise ValueError(f"prompts[{i}] is an empty string")


def _check_settings(temperature: Any, top_k: Any, top_p: Any) -> None:
    if not isinstance(temperature, int | float) or not 0 <= temperature < float("inf"):
        raise ValueError(f"temperature must be a number from 0 (greedy) up, got {temperature!r}")
    if top_k is not None and (not isinstance(top_k, int) or isinstance(top_k, bool) or top_k < 1):
        raise ValueError(f"top_k must be None or a whole number from 1, got {top_k!r}")
    if top_p is not None and (not isinstance(top_p, int | float) or not 0 < top_p <= 1):
        raise ValueError(f"top_p must be None or lie in (0, 1], got {top_p!r}")
