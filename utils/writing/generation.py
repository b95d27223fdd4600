"""From logits to text: the distribution over the next token, the usual ways of picking from it, and the loop.

Lesson 00 builds these pieces by hand; later lessons use the ones here. Picking at random is reproducible:
every text has its own generator, seeded from `seed` and its place in the list, so that the same prompt in
the same place gives the same text whatever else runs beside it.

Interventions. `generate`, `generate_ids` and `stream` take `hooks`, pairs (name, function) exactly as
`model.run_with_hooks(fwd_hooks=...)` does, and apply them to the prompt and to every new token:

    def push(acts, hook):                      # acts: (batch, pos, d_model)
        return acts + strength * direction     # or None, to look without changing

    generate(model, prompts, hooks=[("blocks.12.hook_resid_post", push)])

A hook acts on every position. Padding stands on the left and is hidden from attention, so what a hook does to
it changes nothing. Keys and values are kept, so after the prompt `acts` holds one new token: acts[:, 0] is not
the start of the text then. A hook that cares where it is asks `places(acts)`, which also works outside
generation: token positions (-1 for padding), prompt lengths, and which prompt each row belongs to.

Hooks are put on for one reading step and taken off after it, also when it is interrupted: nothing is left on
the model between two tokens, so two streams with different hooks can take turns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int

from utils.reading.activations import length_sorted_batches
from utils.writing import decoding
from utils.writing.decoding import Hooks, Places, places

__all__ = [
    "Hooks",
    "Places",
    "chat_prompts",
    "draw",
    "draw_rows",
    "generate",
    "generate_ids",
    "next_token_logits",
    "places",
    "probabilities",
    "repeated_share",
    "stream",
]

TOKENS_PER_BATCH = 256  # logits of (256, d_vocab) in float32 take 50 MB for the specimen
TOKENS_KEPT = 8192  # keys and values of so many tokens take 380 MB for the specimen
MOST_ROWS = 128
_ROWS_PICKED = 8  # at once: bigger blocks of (rows, d_vocab) are memory fetched anew, three times as dear
_CANDIDATES = 512  # top_p looks at so many likeliest tokens first, and at all only if they hold too little

Prompts = Sequence[str] | Sequence[Sequence[int]]


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
    kept = _keep_likeliest(probs, top_k, top_p)
    return kept / kept.sum(-1, keepdim=True)


def _keep_likeliest(
    probs: Float[torch.Tensor, "*batch d_vocab"], top_k: int | None, top_p: float | None
) -> Float[torch.Tensor, "*batch d_vocab"]:
    """probs with everything beyond the top k and the top p set to 0, ties going to the lower token id."""
    if top_k is None or top_k > _CANDIDATES:
        wanted = _CANDIDATES
    else:
        wanted = top_k + 1  # one more than are kept: a tie at the border shows
    if wanted < probs.shape[-1]:
        # Sorting a whole vocabulary at every step costs as much as the model. The likeliest few mostly suffice.
        ordered = probs.topk(wanted, dim=-1).values
        cut = _cut(ordered.clone(), probs.sum(-1, keepdim=True), top_k, top_p)
        count = (cut > 0).sum(-1, keepdim=True)
        if bool((count < wanted).all()):
            border = ordered.gather(-1, (count - 1).clamp(min=0))
            if bool((ordered.gather(-1, count) < border).all()):
                return torch.where(probs >= border, probs, 0)
    ordered, order = probs.sort(dim=-1, descending=True, stable=True)
    cut = _cut(ordered, probs.sum(-1, keepdim=True), top_k, top_p)
    return torch.zeros_like(probs).scatter(-1, order, cut)


def _cut(ordered: torch.Tensor, total: torch.Tensor, top_k: int | None, top_p: float | None) -> torch.Tensor:
    """Set what is beyond the top k and top p to 0 in probabilities that fall from left to right. Changes `ordered`."""
    if top_k is not None:
        ordered[..., top_k:] = 0
        total = ordered.sum(-1, keepdim=True)
    if top_p is not None:
        share = ordered / total
        # A token stays while the ones before it hold less than top_p: the one that crosses the line is kept.
        ordered[share.cumsum(-1) - share >= top_p] = 0
    return ordered


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


def draw_rows(probs: Float[torch.Tensor, "batch d_vocab"], generators: Sequence[torch.Generator]) -> list[int]:
    """`draw` for every row of a batch at once, each with its own generator: the same tokens, sooner.

    Raises ValueError unless every row sums to 1 and has its generator.
    """
    if probs.ndim != 2 or len(generators) != len(probs):
        raise ValueError(f"probs {tuple(probs.shape)} must be (batch, d_vocab) with {len(generators)} generators")
    steps = probs.double().cumsum(-1)
    total = steps[:, -1:]
    if not bool(((total - 1).abs() < 1e-3).all()):
        raise ValueError(f"every row of probs must sum to 1, got sums from {total.min():.4f} to {total.max():.4f}")
    points = torch.cat([torch.rand(1, 1, generator=generator, dtype=torch.float64) for generator in generators])
    found = torch.searchsorted(steps, points * total, right=True).flatten().tolist()
    # Rounding can put the point on the very end of the walk, beyond the last token that can be drawn.
    end = probs.shape[-1]
    return [token if token < end else int(row.nonzero().max()) for token, row in zip(found, probs)]


def generate(
    model: Any,
    prompts: Prompts,
    new_tokens: int = 40,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
    prepend_bos: bool = True,
    hooks: Hooks = (),
    stop: Sequence[int | str] | None = (),
    batch_size: int | None = None,
    precision: str = "float32",
) -> list[str]:
    """Continue every prompt by up to `new_tokens` tokens and return the continuations alone.

    prompts: strings, or lists of token ids (used exactly as they are; see `chat_prompts`).
    temperature, top_k, top_p: as in `probabilities`; temperature=0 is greedy.
    seed: text i draws from a generator of its own, seeded from `seed` and i. The same prompt in the same place
        gives the same text whatever runs beside it. (Batches of other sizes round differently in the seventh digit,
        which can move a draw that falls on the border of two tokens.)
    prepend_bos: start strings with the document start token.
    hooks: interventions at every step, see the top of this module. Names on a block's input or output
        (hook_resid_pre, hook_resid_post), hook_attn_out, hook_mlp_out and hook_embed are fast; all others work
        and go through the TransformerBridge.
    stop: token ids, or strings that are exactly one token, at which a text ends besides the model's end token.
        The one that ends a text is not part of it. None: nothing ends a text, not even the end token; every text
        gets exactly new_tokens tokens.
    batch_size: rows that run together; by default as many as fit in about 400 MB of keys and values, at most 128.
        More rows at once are faster a token. Equal prompts of a batch are read once.
    precision: "float32", or "bfloat16" for bulk sampling on processors that multiply it fast (avx512_bf16, amx; on
        others it is slower). Only the matrix products are rounded; hooks see float32. It writes other texts than
        float32 does. Measured on 400 tokens of the specimen: mean KL 0.003 nats (largest 0.95), the same likeliest
        token in 97 %. Leave it alone where a result hangs on single tokens.

    Raises TypeError or ValueError that names the argument, for bad prompts, settings or hooks, for a text beyond the
    model's context, and for hooks that return another shape or make the logits NaN.
    """
    ids = generate_ids(
        model,
        prompts,
        new_tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        seed=seed,
        prepend_bos=prepend_bos,
        hooks=hooks,
        stop=stop,
        batch_size=batch_size,
        precision=precision,
    )
    return [model.tokenizer.decode(row) for row in ids]


def generate_ids(
    model: Any,
    prompts: Prompts,
    new_tokens: int = 40,
    *,
    batch_size: int | None = None,
    **settings: Any,
) -> list[list[int]]:
    """`generate`, returning token ids: one list a prompt, without the token that ended it. Same arguments."""
    job = _Job(model, prompts, new_tokens, **settings)
    out: list[list[int]] = [[] for _ in job.rows]
    for batch in job.batches(batch_size):
        for step in job.run(batch):
            for place, token in step.items():
                out[place].append(token)
    return out


def stream(model: Any, prompts: Prompts, new_tokens: int = 40, **settings: Any) -> Iterator[list[str]]:
    """Yield the continuations so far after every step: what `generate` returns, while it is being written.

    Takes the arguments of `generate` (all prompts run in one batch). The last list yielded equals generate's result.
    A character whose bytes have not all come yet is held back. No hook is on the model between two steps, and a
    stream may be left at any time. Raises what `generate` raises, at once rather than at the first step.
    """
    return _stream(_Job(model, prompts, new_tokens, **settings))


def _stream(job: _Job) -> Iterator[list[str]]:
    ids: list[list[int]] = [[] for _ in job.rows]
    texts = [""] * len(ids)
    for step in job.run(range(len(ids))):
        for place, token in step.items():
            ids[place].append(token)
            texts[place] = job.model.tokenizer.decode(ids[place])
        yield [text.rstrip("\ufffd") for text in texts]
    if any(text.endswith("\ufffd") for text in texts):
        yield texts


def chat_prompts(
    model: Any,
    messages: Sequence[str | list[dict[str, str]]],
    *,
    system: str | None = None,
    answer_start: str = "",
) -> list[list[int]]:
    """Conversations laid out by the model's chat template, as `prompts` for `generate`: one list of ids each.

    messages: for each conversation a user message, or a list of {"role": ..., "content": ...}. system: a system
    message put in front of each. answer_start: text put at the start of each answer. The template brings its own
    start, so no document start token is added. Raises TypeError or ValueError as `chat_tokens` does.
    """
    from utils.reading.tokens import chat_tokens

    if isinstance(messages, str) or not isinstance(messages, Sequence) or not messages:
        raise TypeError(f"messages must be a list, one entry a conversation, got {messages!r}")
    if system is not None and not isinstance(system, str):
        raise TypeError(f"system must be a string or None, got {type(system).__name__}")
    start = [] if system is None else [{"role": "system", "content": system}]
    out = []
    for entry in messages:
        if not isinstance(entry, str | list) or not entry:
            raise TypeError(f"messages: got {entry!r}, expected a string or a list of messages")
        turns = [{"role": "user", "content": entry}] if isinstance(entry, str) else entry
        out.append(chat_tokens(model, start + turns, answer_start=answer_start)[0].tolist())
    return out


class _Job:
    """One call of `generate`, checked: what to continue, how to pick, where to stop."""

    def __init__(
        self,
        model: Any,
        prompts: Prompts,
        new_tokens: int,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int = 0,
        prepend_bos: bool = True,
        hooks: Hooks = (),
        stop: Sequence[int | str] | None = (),
        precision: str = "float32",
    ) -> None:
        _check_settings(temperature, top_k, top_p)
        if not isinstance(new_tokens, int) or isinstance(new_tokens, bool) or new_tokens < 1:
            raise ValueError(f"new_tokens must be a whole number from 1, got {new_tokens!r}")
        if not isinstance(seed, int) or isinstance(seed, bool):
            raise TypeError(f"seed must be a whole number, got {seed!r}")
        self.model, self.new_tokens, self.seed = model, new_tokens, seed
        self.picking = (temperature, top_k, top_p)
        self.rows = _prompt_ids(model, prompts, prepend_bos)
        longest = max(map(len, self.rows))
        if longest + new_tokens > model.cfg.n_ctx:
            raise ValueError(
                f"{longest} prompt tokens and {new_tokens} new ones exceed the context of {model.cfg.n_ctx}"
            )
        self.hooks = decoding.check_hooks(model, hooks)
        self.ends = _stop_ids(model, stop)
        if precision not in ("float32", "bfloat16"):
            raise ValueError(f"precision must be 'float32' or 'bfloat16', got {precision!r}")
        self.bare = decoding.in_bfloat16(model, self.hooks) if precision == "bfloat16" else None

    def batches(self, batch_size: int | None) -> list[list[int]]:
        """Prompts that run together. All in the order given if they fit, else equal and similar ones together."""
        if batch_size is not None and (
            not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size < 1
        ):
            raise ValueError(f"batch_size must be None or a whole number from 1, got {batch_size!r}")

        def fits(rows: int, longest: int) -> bool:
            if batch_size is not None:
                return rows <= batch_size
            return rows <= MOST_ROWS and rows * (longest + self.new_tokens) <= TOKENS_KEPT

        if fits(len(self.rows), max(map(len, self.rows))):
            return [list(range(len(self.rows)))]
        batches: list[list[int]] = []
        for i in sorted(range(len(self.rows)), key=lambda i: (len(self.rows[i]), self.rows[i])):
            if batches and fits(len(batches[-1]) + 1, len(self.rows[i])):
                batches[-1].append(i)
            else:
                batches.append([i])
        return batches

    def run(self, batch: Sequence[int]) -> Iterator[dict[int, int]]:
        """Continue these prompts together; yields {place: token} after every step, for the texts still running."""
        device = next(self.model.parameters()).device
        running = list(batch)
        generators = {i: torch.Generator().manual_seed(self.seed * 100_003 + i) for i in running}
        with torch.no_grad():
            reader, logits, mask = self._read_prompts(running, device)
        lengths = torch.tensor([len(self.rows[i]) for i in running], device=device)
        width = mask.shape[1] + self.new_tokens
        for left in range(self.new_tokens - 1, -1, -1):
            picked = self._pick(logits, [generators[i] for i in running])
            on = [j for j, token in enumerate(picked) if token not in self.ends]
            yield {running[j]: picked[j] for j in on}
            if not on or not left:
                return
            if len(on) < len(running):
                keep = torch.tensor(on, device=device)
                reader.select(keep, width)
                mask, lengths = mask[keep], lengths[keep]
                running, picked = [running[j] for j in on], [picked[j] for j in on]
            mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)
            positions = (mask.sum(1, keepdim=True) - 1).long()
            here = Places(positions, lengths, torch.tensor(running, device=device))
            with torch.no_grad(), decoding.standing(here):
                logits = reader.read(torch.tensor(picked, device=device)[:, None], mask)

    def _read_prompts(
        self, batch: list[int], device: torch.device
    ) -> tuple[decoding.Reader, torch.Tensor, Int[torch.Tensor, "batch pos"]]:
        """Read the prompts, equal ones once: the reader (one row a prompt), the last logits, and the mask."""
        rows = [tuple(self.rows[i]) for i in batch]
        distinct = list(dict.fromkeys(rows))
        place = {row: j for j, row in enumerate(distinct)}
        to_rows = torch.tensor([place[row] for row in rows], device=device)
        ids, mask = (t.to(device) for t in _left_padded([torch.tensor(row) for row in distinct]))
        positions = torch.where(mask > 0, mask.cumsum(1) - 1, -1)
        lengths, width = mask.sum(1), mask.shape[1] + self.new_tokens
        reader = decoding.reader(self.model, self.hooks, self.bare)
        if len(distinct) < len(rows):
            try:
                with decoding.standing(Places(positions, lengths, None)):
                    logits = reader.read(ids, mask)
                reader.select(to_rows, width)
                return reader, logits[to_rows], mask[to_rows]
            except decoding.RowsWanted:  # a hook treats equal prompts differently: read each of them
                reader = decoding.reader(self.model, self.hooks, self.bare)
                ids, mask, positions, lengths = ids[to_rows], mask[to_rows], positions[to_rows], lengths[to_rows]
        with decoding.standing(Places(positions, lengths, torch.tensor(batch, device=device))):
            logits = reader.read(ids, mask)
        reader.select(torch.arange(len(batch), device=device), width)
        return reader, logits, mask

    def _pick(self, logits: torch.Tensor, generators: list[torch.Generator]) -> list[int]:
        logits = logits.float().cpu()
        if self.picking[0] == 0:
            if torch.isnan(logits).any():
                raise ValueError("logits hold NaN")
            return logits.argmax(-1).tolist()
        picked: list[int] = []
        for start in range(0, len(logits), _ROWS_PICKED):
            part = slice(start, start + _ROWS_PICKED)
            picked += draw_rows(probabilities(logits[part], *self.picking), generators[part])
        return picked


def repeated_share(ids: Sequence[int], n: int = 4) -> float:
    """Share of a text's n-grams that have occurred earlier in it: 0 never repeats, near 1 is stuck in a loop.

    ids: token ids. Raises ValueError if the text has fewer than n tokens.
    """
    grams = [tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)]
    if n < 1 or not grams:
        raise ValueError(f"ids must hold at least n = {n} tokens, got {len(ids)}")
    return 1 - len(set(grams)) / len(grams)


def _left_padded(rows: list[torch.Tensor]) -> tuple[Int[torch.Tensor, "batch pos"], Int[torch.Tensor, "batch pos"]]:
    """Padding on the left puts every text's last token in the last column; the mask hides the padding."""
    longest = max(map(len, rows))
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, longest - len(row) :] = row
        mask[i, longest - len(row) :] = 1
    return ids, mask


def _prompt_ids(model: Any, prompts: Any, prepend_bos: bool) -> list[list[int]]:
    """Every prompt as a list of token ids, strings tokenised, lists of ids checked and taken as they are."""
    if isinstance(prompts, Sequence) and not isinstance(prompts, str):
        for i, prompt in enumerate(prompts):
            if not isinstance(prompt, str | Sequence):
                raise TypeError(f"prompts[{i}] must be a string or a list of ids, got {type(prompt).__name__}")
    if not isinstance(prompts, Sequence) or not prompts or isinstance(prompts[0], str):
        _check_prompts(prompts)
        return [model.to_tokens(prompt, prepend_bos=prepend_bos)[0].tolist() for prompt in prompts]
    d_vocab = model.cfg.d_vocab
    for i, row in enumerate(prompts):
        if isinstance(row, str) or not all(isinstance(t, int) and not isinstance(t, bool) for t in row):
            raise TypeError(f"prompts[{i}] must be a list of token ids (int) as prompts[0] is, got {row!r}")
        if not row:
            raise ValueError(f"prompts[{i}] is an empty list")
        if min(row) < 0 or max(row) >= d_vocab:
            raise ValueError(f"prompts[{i}] holds ids outside 0..{d_vocab - 1}: {min(row)}..{max(row)}")
    return [list(row) for row in prompts]


def _stop_ids(model: Any, stop: Any) -> set[int]:
    """Token ids that end a text: the model's end token and those asked for; none at all for None."""
    if stop is None:
        return set()
    if isinstance(stop, str) or not isinstance(stop, Sequence | set | frozenset):
        raise TypeError(f"stop must be a list of token ids or one-token strings, got {type(stop).__name__}")
    end = model.tokenizer.eos_token_id
    ids = set() if end is None else {end}
    for entry in stop:
        if isinstance(entry, str):
            found = model.tokenizer(entry, add_special_tokens=False)["input_ids"]
            if len(found) != 1:
                raise ValueError(f"stop: {entry!r} is {len(found)} tokens, expected exactly one")
            ids.add(found[0])
        elif isinstance(entry, int) and not isinstance(entry, bool):
            if not 0 <= entry < model.cfg.d_vocab:
                raise ValueError(f"stop: {entry} is not a token id, expected 0 to {model.cfg.d_vocab - 1}")
            ids.add(entry)
        else:
            raise TypeError(f"stop: {entry!r} must be a token id or a string")
    return ids


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
