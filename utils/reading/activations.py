"""Recording what flows through a model, over as many texts as you like.

`collect` runs a list of texts and keeps the activations at the hook points and positions you ask
for. `stream` does the same a chunk at a time and keeps nothing, for training on more activations than
fit in memory. Both give what `model.run_with_cache` gives, to 1e-5, and differ in the cost:

- texts of similar length run together, so little time goes into padding, and padding is never returned;
- the forward pass stops as soon as the last hook point asked for has fired;
- memory doesn't grow with the number of texts: results that would be large live in a file that is
  memory-mapped, so the operating system reads the parts you touch;
- what was computed once is read back from disk, as long as weights, tokens, hook points and positions
  are the same, so re-running a notebook is immediate.

Two things to know before trusting a number made from activations. Position 0 is the document start
token (`prepend_bos=True`), and about one token in two hundred of the specimen carries a residual a
hundred times longer than the others: `utils.reading.massive_tokens` finds both.
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Int

from utils.devices import device_of
from utils.inputs import Count, Seed, checked, what
from utils.reading import cache as store
from utils.reading.batches import length_sorted_batches, padded
from utils.reading.tokens import TokenTexts, token_rows

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

    Positions = str | Callable[[torch.Tensor], Any] | Sequence[Any]
else:
    Positions = Any  # held by `_rows`, which knows how long each text is

TOKENS_PER_BATCH = 512  # measured on 2 cores: 1024 and more are 5 to 15 % slower (processor cache)
# These have no row for each position: a pattern has one for each *pair* of positions.
_NOT_PER_POSITION = ("hook_pattern", "hook_attn_scores", "hook_cos", "hook_sin", "hook_rot_q", "hook_rot_k")

__all__ = ["Activations", "Chunk", "collect", "stream"]


@dataclass(frozen=True)
class Activations:
    """What `collect` returns: one row for each position that was asked for.

    Rows are in the order of the texts, and within a text in the order of its positions. With
    positions="last" there is one row a text, so row i belongs to texts[i].

    acts: hook name -> tensor of shape (n, d_model), or (n, head, d_head) and so on
    text_index: (n,) which text a row comes from
    position: (n,) where in that text, counted in tokens from 0 (0 is the document start if prepended)
    token: (n,) the token id at that position
    """

    acts: dict[str, torch.Tensor]
    text_index: Int[torch.Tensor, "n"]
    position: Int[torch.Tensor, "n"]
    token: Int[torch.Tensor, "n"]
    from_cache: bool = field(default=False, compare=False)

    @property
    def hooks(self) -> list[str]:
        return list(self.acts)

    def __len__(self) -> int:
        return len(self.text_index)

    def __getitem__(self, hook: str) -> torch.Tensor:
        if hook not in self.acts:
            raise KeyError(f"no hook {hook!r} here; collected: {', '.join(self.acts)}")
        return self.acts[hook]

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name}: {tuple(value.shape)}" for name, value in self.acts.items())
        return f"Activations({shapes}; {len(self)} rows)"


@dataclass(frozen=True)
class Chunk:
    """One piece of a `stream`: the same fields as Activations, for a few texts only."""

    acts: dict[str, torch.Tensor]
    text_index: Int[torch.Tensor, "n"]
    position: Int[torch.Tensor, "n"]
    token: Int[torch.Tensor, "n"]

    def __len__(self) -> int:
        return len(self.text_index)


# --------------------------------------------------------------------------- the two public functions


@checked
def collect(
    model: TransformerBridge,
    texts: TokenTexts,
    hooks: Sequence[str],
    positions: Positions = "last",
    *,
    tokens_per_batch: Count = TOKENS_PER_BATCH,
    cache: bool = True,
    progress: bool = True,
    prepend_bos: bool = True,
    dtype: torch.dtype | None = None,
) -> Activations:
    """Activations of many texts at the hook points and positions you choose.

    texts: strings, or rows of token ids (ids are used exactly as they are: no document start is added).
    hooks: names such as "blocks.12.hook_resid_post".
    positions: "last", "all", a function of a text's token ids (1-d tensor) that returns a boolean mask,
        or one entry a text: an int (-1 is the last token), a list of ints, or a boolean mask.
    tokens_per_batch: how many tokens, padding included, run together.
    cache: keep the result on disk and read it next time. Skipped while hooks are attached to the model,
        because they could change the activations without changing the weights.
    prepend_bos: begin strings with the model's start token, if it has one (`utils.reading.start_token`).
    dtype: store as another type, for instance torch.float16 to halve the size.

    Returns Activations; each tensor has shape (n, ...) and lives on the CPU.
    Raises TypeError or ValueError for bad input (empty list, empty text, text longer than the model's
    context, unknown hook, mask of the wrong length) and for activations that aren't finite numbers.
    """
    hooks = _check_hooks(model, hooks)
    ids = [row.cpu() for row in token_rows(model, texts, start=prepend_bos)]
    rows = _rows(ids, positions)
    dtype = _check_dtype(dtype) or next(model.parameters()).dtype

    path = None
    if cache and not _has_hooks(model):
        path = store.cache_path(store.cache_key(model, ids, rows, hooks, dtype))
    if path is None:
        acts = _compute(model, ids, rows, hooks, dtype, tokens_per_batch, progress)
        return _assemble(acts, ids, rows, False)

    found = store.read_cache(path, hooks)
    if found is not None:
        return _assemble(found, ids, rows, True)
    with store.lock(path) as locked:
        if locked:  # another kernel may have computed it while we waited
            found = store.read_cache(path, hooks)
            if found is not None:
                return _assemble(found, ids, rows, True)
        acts = _compute(model, ids, rows, hooks, dtype, tokens_per_batch, progress, path if locked else None)
    return _assemble(acts, ids, rows, False)


@checked
def stream(
    model: TransformerBridge,
    texts: TokenTexts,
    hooks: Sequence[str],
    positions: Positions = "all",
    *,
    tokens_per_batch: Count = TOKENS_PER_BATCH,
    prepend_bos: bool = True,
    shuffle_seed: Seed | None = None,
) -> Iterator[Chunk]:
    """The same activations as `collect`, a batch at a time and kept nowhere.

    For training on more activations than fit in memory. Texts come sorted by length, shortest first;
    give `shuffle_seed` to take the batches in a random order (rows within a batch stay together, so mix
    several chunks in a buffer before using them for training).

    Yields Chunk(acts, text_index, position, token), with tensors of shape (n, ...) on the CPU.
    Raises as `collect` does, before the first chunk is computed.
    """
    hooks = _check_hooks(model, hooks)
    ids = [row.cpu() for row in token_rows(model, texts, start=prepend_bos)]
    rows = _rows(ids, positions)

    def chunks() -> Iterator[Chunk]:
        for batch, acts in _forward_batches(model, ids, rows, hooks, tokens_per_batch, shuffle_seed):
            counts = torch.tensor([len(rows[i]) for i in batch])
            yield Chunk(
                acts=acts,
                text_index=torch.repeat_interleave(torch.tensor(batch), counts),
                position=torch.cat([rows[i] for i in batch]),
                token=torch.cat([ids[i][rows[i]] for i in batch]),
            )

    return chunks()


# --------------------------------------------------------------------------------- checking the input


def _check_dtype(dtype: Any) -> torch.dtype | None:
    if dtype is not None and (not isinstance(dtype, torch.dtype) or not dtype.is_floating_point):
        raise TypeError(f"dtype must be a floating-point torch dtype, got {dtype!r}")
    if dtype is not None and dtype not in store.DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(str(d) for d in store.DTYPES)}, got {dtype}")
    return dtype


def _check_hooks(model: TransformerBridge, hooks: Sequence[str]) -> list[str]:
    """The hook names as a list without repeats, each known to the model and made of one row a position."""
    if not hooks:
        raise ValueError("hooks is empty; name at least one, such as 'blocks.0.hook_resid_post'")
    known = set(model.hook_dict)
    for name in hooks:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
            last = model.cfg.n_layers - 1
            hint = f"; close matches: {', '.join(close)}" if close else ""
            raise ValueError(f"hooks: unknown hook {name!r}{hint} (blocks are counted from 0 to {last})")
        if name.endswith(_NOT_PER_POSITION):
            raise ValueError(
                f"{name!r} doesn't have one row for each position, so rows can't be picked from it; "
                "use model.run_with_cache for it"
            )
    return list(dict.fromkeys(hooks))


def _rows(ids: list[torch.Tensor], positions: Any) -> list[torch.Tensor]:
    """For each text, the positions wanted, as a 1-d tensor of ints in rising order."""
    if isinstance(positions, str):
        if positions == "last":
            return [torch.tensor([len(row) - 1]) for row in ids]
        if positions == "all":
            return [torch.arange(len(row)) for row in ids]
        raise ValueError(f"positions must be 'last', 'all', a function or a sequence, got {positions!r}")
    if callable(positions):
        entries = [positions(row.clone()) for row in ids]
    elif isinstance(positions, Sequence) or hasattr(positions, "tolist"):
        if len(positions) != len(ids):
            raise ValueError(f"positions has {len(positions)} entries for {len(ids)} texts; give one a text")
        entries = list(positions)
    else:
        raise TypeError(f"positions must be 'last', 'all', a function or a sequence, got {what(positions)}")
    rows = [_row(i, entry, len(row)) for i, (entry, row) in enumerate(zip(entries, ids))]
    if not any(len(row) for row in rows):
        raise ValueError("positions picks no token in any text")
    return rows


def _row(i: int, entry: Any, length: int) -> torch.Tensor:
    if isinstance(entry, list | tuple) and not entry:
        return torch.zeros(0, dtype=torch.long)  # no position in this text
    wrong = f"positions[{i}] must be an int, a list of ints or a boolean mask, got {entry!r}"
    try:
        value = torch.as_tensor(entry)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(wrong) from None
    if value.dtype == torch.bool:
        if value.shape != (length,):
            raise ValueError(f"positions[{i}] is a mask of shape {tuple(value.shape)} for {length} tokens")
        return value.nonzero().flatten()
    if value.is_floating_point() or value.ndim > 1:
        raise TypeError(wrong)
    value = value.long().reshape(-1)
    if len(value) and (value.min() < -length or value.max() >= length):
        raise ValueError(f"positions[{i}] = {value.tolist()} is outside a text of {length} tokens")
    return torch.unique(torch.where(value < 0, value + length, value))  # sorted, each once


# ------------------------------------------------------------------------------------- the forward pass


def _forward_batches(
    model: TransformerBridge,
    ids: list[torch.Tensor],
    rows: list[torch.Tensor],
    hooks: list[str],
    tokens_per_batch: int,
    shuffle_seed: int | None = None,
) -> Iterator[tuple[list[int], dict[str, torch.Tensor]]]:
    """Yields (text indices, hook -> rows of those texts one after the other), and stops the model early."""
    wanted = [i for i in range(len(ids)) if len(rows[i])]
    batches = length_sorted_batches([len(ids[i]) for i in wanted], tokens_per_batch)
    batches = [[wanted[i] for i in batch] for batch in batches]
    if shuffle_seed is not None:
        order = torch.randperm(len(batches), generator=torch.Generator().manual_seed(shuffle_seed))
        batches = [batches[i] for i in order.tolist()]

    # Listed once: walking through a thousand modules for every batch would cost one part in a hundred.
    training = [module for module in model.modules() if module.training]
    for batch in batches:
        text_of_row = torch.repeat_interleave(torch.arange(len(batch)), torch.tensor([len(rows[i]) for i in batch]))
        pos_of_row = torch.cat([rows[i] for i in batch])
        with _eval_mode(training):
            acts = _run_batch(model, [ids[i] for i in batch], text_of_row, pos_of_row, hooks)
        for name, value in acts.items():
            finite = torch.isfinite(value).flatten(1).all(1)
            if not finite.all():
                bad = batch[text_of_row[~finite][0]]
                raise ValueError(f"{name} holds NaN or infinity for texts[{bad}]; check the model's weights")
        yield batch, acts


def _run_batch(
    model: TransformerBridge, ids: list[torch.Tensor], text: torch.Tensor, pos: torch.Tensor, hooks: list[str]
) -> dict[str, torch.Tensor]:
    """One forward pass, ended by the last hook asked for. Returns hook -> (n, ...), the rows (text, pos)."""
    from transformer_lens.model_bridge.exceptions import StopAtLayerException

    # Padding goes to the right: attention is causal, so no real token can see what comes after it, and
    # no mask is needed. Any id will do for it, because nothing at those positions is ever read.
    tokens = padded(ids)
    found: dict[str, torch.Tensor] = {}

    def keep(name: str) -> Callable:
        def hook_fn(value: Any, hook: Any) -> None:
            found[name] = _pick(name, value, tokens.shape, text, pos)
            if len(found) == len(hooks):
                raise StopAtLayerException(value)  # TransformerBridge's own way to stop early

        return hook_fn

    with torch.no_grad():
        model.run_with_hooks(
            tokens.to(device_of(model)),
            fwd_hooks=[(name, keep(name)) for name in hooks],
            return_type=None,
            use_cache=False,
        )
    silent = [name for name in hooks if name not in found]
    if silent:
        raise ValueError(f"hook {silent[0]!r} exists but never fires in this model; choose another")
    return {name: found[name] for name in hooks}


def _pick(name: str, value: Any, batch_pos: Any, text: torch.Tensor, pos: torch.Tensor) -> torch.Tensor:
    """The wanted (text, position) rows of one hook's value, copied out of the batch."""
    if not isinstance(value, torch.Tensor) or value.ndim < 3 or value.shape[:2] != batch_pos:
        shape = tuple(value.shape) if isinstance(value, torch.Tensor) else what(value)
        raise ValueError(f"{name!r} gives {shape}, not (batch, pos, ...); use model.run_with_cache for it")
    return value[text.to(value.device), pos.to(value.device)].cpu()


@contextlib.contextmanager
def _eval_mode(training: list[torch.nn.Module]) -> Iterator[None]:
    """No dropout, which would make the same text give two different activations; put back as it was after."""
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _compute(
    model: TransformerBridge,
    ids: list[torch.Tensor],
    rows: list[torch.Tensor],
    hooks: list[str],
    dtype: torch.dtype,
    tokens_per_batch: int,
    progress: bool,
    path: Path | None = None,
) -> dict[str, torch.Tensor]:
    """Run everything once. Small results are built in memory, large ones in a file; `path`: save there."""
    from utils.progress import tqdm

    starts = torch.tensor([0] + [len(row) for row in rows]).cumsum(0).tolist()
    sink: store.MemorySink | store.FileSink | None = None
    total = sum(len(ids[i]) for i in range(len(ids)) if len(rows[i]))
    bar = tqdm(total=total, unit="tok", desc="reading", disable=not progress, delay=2)
    try:
        for batch, acts in _forward_batches(model, ids, rows, hooks, tokens_per_batch):
            if sink is None:
                shapes = {name: (starts[-1], *value.shape[1:]) for name, value in acts.items()}
                sink = store.make_sink(shapes, dtype, path)
            done = 0
            for i in batch:
                n = len(rows[i])
                for name, value in acts.items():
                    sink.write(name, starts[i], value[done : done + n].to(dtype))
                done += n
            bar.update(sum(len(ids[i]) for i in batch))
        assert sink is not None  # `_rows` lets no call through that picks no token
        return sink.finish()
    except BaseException:  # an interrupt too: leave no half-written file behind
        if sink is not None:
            sink.abandon()
        raise
    finally:
        bar.close()


def _assemble(
    acts: dict[str, torch.Tensor], ids: list[torch.Tensor], rows: list[torch.Tensor], from_cache: bool
) -> Activations:
    counts = torch.tensor([len(row) for row in rows])
    return Activations(
        acts=acts,
        text_index=torch.repeat_interleave(torch.arange(len(ids)), counts),
        position=torch.cat(rows),
        token=torch.cat([text[row] for text, row in zip(ids, rows)]),
        from_cache=from_cache,
    )


def _has_hooks(model: TransformerBridge) -> bool:
    """True if someone attached a hook, for instance to steer: the weights alone don't say what will flow."""
    return any(point.fwd_hooks for point in model.hook_dict.values())
