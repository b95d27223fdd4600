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

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Float, Int

from utils.devices import device_of
from utils.inputs import Count, NonNegative, Range, Seed, checked, number, what, whole
from utils.progress import tqdm
from utils.reading.batches import padded_left
from utils.reading.hooks import Hooks, check_hooks
from utils.reading.likelihood import next_token_logits, token_log_probs
from utils.reading.tokens import chat_tokens, text_ids, token_rows
from utils.writing import decoding
from utils.writing.decoding import Places, places

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

    from utils.reading.tokens import TokenTexts

    Messages = Sequence[str | list[dict[str, str]]]
    Stop = Sequence[int | str] | None
else:  # held by `token_rows`, `chat_tokens` and `_stop_ids`, which ask the model
    TokenTexts = Messages = Stop = Any

__all__ = [
    "Hooks",
    "Places",
    "Written",
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
    "write_in_ways",
]

TOKENS_KEPT = 8192  # keys and values of so many tokens take 380 MB for the specimen
MOST_ROWS = 128
_ROWS_PICKED = 8  # at once: bigger blocks of (rows, d_vocab) are memory fetched anew, three times as dear
_ROWS_COMPARED = 48  # of `write_in_ways`: their keys and values take 150 MB at 65 tokens a row, for the specimen
_CANDIDATES = 512  # top_p looks at so many likeliest tokens first, and at all only if they hold too little


@checked
def probabilities(
    logits: torch.Tensor,
    temperature: NonNegative = 1.0,
    top_k: Count | None = None,
    top_p: float | None = None,
) -> Float[torch.Tensor, "*batch d_vocab"]:
    """Logits to probabilities: divide by the temperature, softmax, then keep the top k and the top p.

    temperature: below 1 sharpens, above 1 flattens, 0 puts everything on the likeliest token (greedy).
    top_k: keep the k likeliest tokens. top_p: keep the smallest set of likeliest tokens that holds at least
    this much probability (nucleus sampling, Holtzman et al. 2019, arXiv 1904.09751). What is kept is scaled
    to sum to 1. logits: (..., d_vocab); -inf rules a token out. Returns the same shape, on the device of the logits.
    Raises TypeError or ValueError for settings out of range, and for logits that hold NaN or infinity.
    """
    _check_top_p(top_p)
    return _probabilities(logits if logits.is_floating_point() else logits.float(), temperature, top_k, top_p)


def _probabilities(
    logits: Float[torch.Tensor, "*batch d_vocab"], temperature: float, top_k: int | None, top_p: float | None
) -> Float[torch.Tensor, "*batch d_vocab"]:
    if logits.ndim == 0 or logits.shape[-1] == 0:
        raise ValueError(f"logits must have shape (..., d_vocab), got {tuple(logits.shape)}")
    largest = logits.amax(-1, keepdim=True)
    if not torch.isfinite(largest).all():  # NaN wins over every number
        raise ValueError("logits hold NaN or infinity" if not (largest == -torch.inf).any() else "logits are all -inf")
    if temperature == 0:
        best = logits.argmax(-1, keepdim=True)
        return torch.zeros_like(logits).scatter(-1, best, 1.0)
    if temperature < 1e-6:  # dividing by next to nothing would overflow
        logits, temperature = logits - largest, max(temperature, 1e-30)
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


@checked
def draw(probs: Float[torch.Tensor, "d_vocab"], generator: torch.Generator) -> int:
    """Pick one token id at random, each with its probability.

    Walks along the cumulative sum to a uniform random number, which gives the same token on any processor;
    torch.multinomial does not promise that. generator: on the CPU, wherever probs are. Raises TypeError or ValueError
    unless probs are numbers from 0 that sum to 1.
    """
    return _draw_rows(probs[None], [generator])[0]


@checked
def draw_rows(probs: Float[torch.Tensor, "batch d_vocab"], generators: Sequence[torch.Generator]) -> list[int]:
    """`draw` for every row of a batch at once, each with its own generator: the same tokens, sooner.

    Raises TypeError or ValueError unless every row sums to 1 and has its generator.
    """
    if len(generators) != len(probs):
        raise ValueError(f"probs has {len(probs)} rows, expected {len(generators)}, as many as generators")
    return _draw_rows(probs, generators)


def _draw_rows(probs: Float[torch.Tensor, "batch d_vocab"], generators: Sequence[torch.Generator]) -> list[int]:
    if any(generator.device.type != "cpu" for generator in generators):
        raise ValueError("generator must be one of the CPU: the same numbers on every machine")
    probs = probs.cpu()
    if probs.numel() == 0:
        raise ValueError(f"probs must hold at least one number a row, got shape {tuple(probs.shape)}")
    steps = probs.double().cumsum(-1)
    total = steps[:, -1:]
    if not bool(((total - 1).abs() < 1e-3).all()):
        raise ValueError(f"probs: every row must sum to 1, got sums from {total.min():.4f} to {total.max():.4f}")
    if float(probs.amin()) < 0:
        raise ValueError(f"probs must be 0 or more, got {float(probs.amin()):.3g}")
    points = torch.cat([torch.rand(1, 1, generator=generator, dtype=torch.float64) for generator in generators])
    found = torch.searchsorted(steps, points * total, right=True).flatten().tolist()
    # Rounding can put the point on the very end of the walk, beyond the last token that can be drawn.
    end = probs.shape[-1]
    return [token if token < end else int(row.nonzero().max()) for token, row in zip(found, probs)]


@checked
def generate(
    model: TransformerBridge,
    prompts: TokenTexts,
    new_tokens: Count = 40,
    *,
    temperature: NonNegative = 1.0,
    top_k: Count | None = None,
    top_p: float | None = None,
    seed: Seed = 0,
    prepend_bos: bool = True,
    hooks: Hooks = (),
    stop: Stop = (),
    batch_size: Count | None = None,
    precision: Literal["float32", "bfloat16"] = "float32",
) -> list[str]:
    """Continue every prompt by up to `new_tokens` tokens and return the continuations alone.

    prompts: strings, or rows of token ids (used exactly as they are; see `chat_prompts`).
    temperature, top_k, top_p: as in `probabilities`; temperature=0 is greedy.
    seed: text i draws from a generator of its own, seeded from `seed` and i. The same prompt in the same place
        gives the same text whatever runs beside it. (Batches of other sizes round differently in the seventh digit,
        which can move a draw that falls on the border of two tokens.)
    prepend_bos: begin strings with the model's start token, if it has one (`utils.reading.start_token`).
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


@checked
def generate_ids(
    model: TransformerBridge,
    prompts: TokenTexts,
    new_tokens: Count = 40,
    *,
    batch_size: Count | None = None,
    **settings: Any,
) -> list[list[int]]:
    """`generate`, returning token ids: one list a prompt, without the token that ended it. Same arguments."""
    job = _Job(model, prompts, new_tokens, **settings)
    out: list[list[int]] = [[] for _ in job.rows]
    batches = job.batches(batch_size)
    with tqdm(total=len(batches) * new_tokens, desc="writing", delay=2) as bar:
        for batch in batches:
            for step in job.run(batch):
                bar.update()
                for place, token in step.items():
                    out[place].append(token)
    return out


@dataclass(frozen=True)
class Written:
    """What one way of picking wrote after each prompt, and what each token cost the model that wrote it.

    ids: (n, new) token ids. bits: (n, new), -log2 of each token's probability at temperature 1 with nothing cut, which
    is what reading the text back gives (`utils.reading.surprisal`) to rounding.
    """

    ids: Int[torch.Tensor, "n new"]
    bits: Float[torch.Tensor, "n new"]


@checked
def write_in_ways(
    model: TransformerBridge,
    prompts: TokenTexts,
    ways: Mapping[str, Mapping[str, Any]],
    new_tokens: Count = 40,
    *,
    seed: Seed = 0,
) -> dict[str, Written]:
    """Continue the same prompts in several ways, side by side, and note the surprisal of every token as it is written.

    ways: name -> settings of `probabilities`, for instance {"greedy": {"temperature": 0}, "nucleus": {"top_p": 0.9}}.
    Each prompt is read once for all of them, and no text has to be read back. Prompt i draws from the generator it has
    in `generate`, so each way writes what `generate_ids(..., stop=None)` writes. Nothing ends a text.
    Raises TypeError or ValueError for no ways, a setting that `probabilities` doesn't have, and as `generate` does.
    """
    if not ways:
        raise ValueError("ways must name at least one way of picking, got none")
    for name, settings in ways.items():
        if not set(settings) <= {"temperature", "top_k", "top_p"}:
            raise ValueError(f"ways[{name!r}] may set temperature, top_k and top_p, got {', '.join(settings)}")
    rows = _Job(model, prompts, new_tokens, seed=seed).rows  # all are checked before the first is written
    size = max(1, _ROWS_COMPARED // len(ways))
    parts: list[dict[str, Written]] = []
    with tqdm(total=-(-len(rows) // size) * new_tokens, desc="writing", delay=2) as bar:
        for first in range(0, len(rows), size):
            job = _Ways(model, rows[first : first + size], new_tokens, ways, seed, first)
            for _ in job.run(range(len(job.rows))):
                bar.update()
            parts.append(job.written())
    return {
        name: Written(torch.cat([p[name].ids for p in parts]), torch.cat([p[name].bits for p in parts]))
        for name in ways
    }


@checked
def stream(
    model: TransformerBridge, prompts: TokenTexts, new_tokens: Count = 40, **settings: Any
) -> Iterator[list[str]]:
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


@checked
def chat_prompts(
    model: TransformerBridge,
    messages: Messages,
    *,
    system: str | None = None,
    answer_start: str = "",
) -> list[list[int]]:
    """Conversations laid out by the model's chat template, as `prompts` for `generate`: one list of ids each.

    messages: for each conversation a user message, or a list of {"role": ..., "content": ...}. system: a system
    message put in front of each. answer_start: text put at the start of each answer. The template brings its own
    start, so no document start token is added. Raises TypeError or ValueError that names the conversation, as
    `utils.reading.chat_tokens` does.
    """
    if isinstance(messages, str | bytes) or not (isinstance(messages, Sequence) or hasattr(messages, "tolist")):
        raise TypeError(f"messages must be a list, one entry a conversation, got {what(messages)}")
    if not len(messages):
        raise ValueError("messages is empty; give at least one conversation")
    start = [] if system is None else [{"role": "system", "content": system}]
    out = []
    for i, entry in enumerate(messages):
        if not isinstance(entry, str | list | tuple):
            raise TypeError(f"messages[{i}] must be a string or a list of messages, got {what(entry)}")
        if not entry:
            raise ValueError(f"messages[{i}] is empty; there is nothing to answer")
        turns = [{"role": "user", "content": entry}] if isinstance(entry, str) else list(entry)
        out.append(chat_tokens(model, start + turns, answer_start=answer_start)[0].tolist())
    return out


class _Job:
    """One call of `generate`, checked: what to continue, how to pick, where to stop."""

    @checked
    def __init__(
        self,
        model: TransformerBridge,
        prompts: TokenTexts,
        new_tokens: Count,
        *,
        temperature: NonNegative = 1.0,
        top_k: Count | None = None,
        top_p: float | None = None,
        seed: Seed = 0,
        prepend_bos: bool = True,
        hooks: Hooks = (),
        stop: Stop = (),
        precision: Literal["float32", "bfloat16"] = "float32",
    ) -> None:
        _check_top_p(top_p)
        self.model, self.new_tokens, self.seed = model, new_tokens, seed
        self.picking = (temperature, top_k, top_p)
        self.rows = [row.tolist() for row in token_rows(model, prompts, start=prepend_bos, name="prompts")]
        longest = max(map(len, self.rows))
        if longest + new_tokens > model.cfg.n_ctx:
            raise ValueError(
                f"prompts and new_tokens: {longest} prompt tokens and {new_tokens} new ones exceed the context of "
                f"{model.cfg.n_ctx}"
            )
        self.hooks = check_hooks(model, hooks)
        self.ends = _stop_ids(model, stop)
        self.bare = decoding.in_bfloat16(model, self.hooks) if precision == "bfloat16" else None

    def batches(self, batch_size: int | None) -> list[list[int]]:
        """Prompts that run together. All in the order given if they fit, else equal and similar ones together."""

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
        device = device_of(self.model)
        running = list(batch)
        generators = {i: self._generator(i) for i in running}
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
        ids, mask = (t.to(device) for t in padded_left([torch.tensor(row) for row in distinct]))
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

    def _generator(self, i: int) -> torch.Generator:
        return torch.Generator().manual_seed((self.seed * 100_003 + i) % 2**63)

    def _pick(self, logits: torch.Tensor, generators: list[torch.Generator]) -> list[int]:
        return _picked(logits.float().cpu(), self.picking, generators)


class _Ways(_Job):
    """The same prompts once for each way of picking: rows k * n to (k + 1) * n belong to way k."""

    def __init__(
        self,
        model: TransformerBridge,
        prompts: list[list[int]],
        new_tokens: int,
        ways: Mapping[str, Mapping[str, Any]],
        seed: int,
        first: int,
    ) -> None:
        super().__init__(model, prompts * len(ways), new_tokens, seed=seed, stop=None)
        self.n, self.first, self.names = len(prompts), first, list(ways)
        self.pickings = [(one.get("temperature", 1.0), one.get("top_k"), one.get("top_p")) for one in ways.values()]
        for _, _, top_p in self.pickings:
            _check_top_p(top_p)
        self.steps: list[tuple[torch.Tensor, torch.Tensor]] = []

    def _generator(self, i: int) -> torch.Generator:
        return super()._generator(self.first + i % self.n)

    def _pick(self, logits: torch.Tensor, generators: list[torch.Generator]) -> list[int]:
        logits = logits.float().cpu()
        picked: list[int] = []
        for k, picking in enumerate(self.pickings):
            part = slice(k * self.n, (k + 1) * self.n)
            picked += _picked(logits[part], picking, generators[part])
        ids = torch.tensor(picked)
        costs = [token_log_probs(a, b) for a, b in zip(logits.split(_ROWS_PICKED), ids.split(_ROWS_PICKED))]
        self.steps.append((ids, -torch.cat(costs) / math.log(2)))
        return picked

    def written(self) -> dict[str, Written]:
        ids, bits = (torch.stack(column, 1).split(self.n) for column in zip(*self.steps))
        return {name: Written(*of_way) for name, of_way in zip(self.names, zip(ids, bits))}


def _picked(
    logits: Float[torch.Tensor, "batch d_vocab"],
    picking: tuple[float, int | None, float | None],
    generators: Sequence[torch.Generator],
) -> list[int]:
    if picking[0] == 0:
        if torch.isnan(logits).any():
            raise ValueError("logits hold NaN")
        return logits.argmax(-1).tolist()
    picked: list[int] = []
    for start in range(0, len(logits), _ROWS_PICKED):
        part = slice(start, start + _ROWS_PICKED)
        picked += _draw_rows(_probabilities(logits[part], *picking), generators[part])
    return picked


@checked
def repeated_share(ids: Sequence[int], n: Count = 4) -> float:
    """Share of a text's n-grams that have occurred earlier in it: 0 never repeats, near 1 is stuck in a loop.

    ids: token ids. Raises TypeError for anything else (a text, say), ValueError if there are fewer than n.
    """
    grams = [tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)]
    if not grams:
        raise ValueError(f"ids must hold at least n = {n} tokens, got {len(ids)}")
    return 1 - len(set(grams)) / len(grams)


def _stop_ids(model: TransformerBridge, stop: Any) -> set[int]:
    """Token ids that end a text: the model's end token and those asked for; none at all for None."""
    if stop is None:
        return set()
    if isinstance(stop, str) or not (isinstance(stop, Sequence | set | frozenset) or hasattr(stop, "tolist")):
        raise TypeError(f"stop must be a list of token ids or one-token strings, got {what(stop)}")
    end = model.tokenizer.eos_token_id
    ids = set() if end is None else {end}
    for entry in stop:
        if isinstance(entry, str):
            found = text_ids(model, entry)
            if len(found) != 1:
                raise ValueError(f"stop: {entry!r} is {len(found)} tokens, expected exactly one")
            ids.add(found[0])
        else:
            ids.add(whole("stop: an entry", entry, 0, model.cfg.d_vocab - 1, context="a token id or a string"))
    return ids


def _check_top_p(top_p: float | None) -> None:
    if top_p is not None:
        number("top_p", top_p, Range(above=0, high=1))
