"""Activations on disk, ready to be shuffled: what a sparse autoencoder is trained on.

Tokens of one document resemble each other, so training on them in the order they were read would give batches of
near-copies. Here they are read once, written to one file, and drawn from it in a random order, as often as wanted.

Two kinds of token are left out, and counted. The document start, which is the same vector in every text. And tokens
with massive activations (Sun et al. 2024, arXiv 2402.17762): a few residuals of the specimen are a hundred times as
long as the others, so that one would weigh as much in a squared error as ten thousand of them. The rule is the lab's
(`utils.reading.massive`); its bound is measured on the first texts and recorded with the store.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Float16
from torch import Tensor

from utils.inputs import Count, Index, Positive, Seed, Text, Texts, checked
from utils.progress import tqdm
from utils.reading import activations
from utils.reading.cache import weights_fingerprint
from utils.reading.massive import MASSIVE, is_massive, typical_norm

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

__all__ = ["ActivationStore", "StoreCard", "open_store", "write_store"]

SHARD = 256  # texts read between two notes of how far the work has come
SAMPLE = 64  # texts that set the bound above which an activation counts as massive


@dataclass(frozen=True)
class StoreCard:
    """What is in a store, and what was left out of it.

    hook: the hook point; d_model: width; n: rows kept; n_read: tokens read, document starts not counted;
    n_massive: tokens left out for their length; massive_norm: the bound; texts_done: how far the reading has come.
    texts_sha256, model_weights, massive_factor: of the texts, of the weights the model held (adapters and edits
    included) and of the rule; "", "" and 0 in a store made before they were noted.
    """

    hook: str
    d_model: int
    n: int
    n_read: int
    n_massive: int
    massive_norm: float
    texts_done: int
    texts_total: int
    texts_sha256: str = ""
    model_weights: str = ""
    massive_factor: float = 0.0


@dataclass(frozen=True)
class ActivationStore:
    """Rows of activations, (n, d_model), float16 in a memory-mapped file; `card` says where they come from."""

    card: StoreCard
    rows: Float16[np.ndarray, "n d_model"]

    def __len__(self) -> int:
        return self.card.n

    @checked
    def batches(
        self, batch: Count, seed: Seed = 0, epochs: Count = 1, skip: Index = 0
    ) -> Iterator[Float[Tensor, "batch d_model"]]:
        """Batches in a random order, each row once an epoch; the last, smaller batch of an epoch is dropped.

        skip: how many batches to leave out at the start, to resume where a run stopped.
        Yields float32 tensors of shape (batch, d_model).
        """
        if batch > len(self):
            raise ValueError(f"batch must be between 1 and the number of rows ({len(self)}), got {batch}")
        return self._drawn(batch, seed, epochs, skip)

    def _drawn(self, batch: int, seed: int, epochs: int, skip: int) -> Iterator[Tensor]:
        per_epoch = len(self) // batch
        for epoch in range(epochs):
            if skip >= (epoch + 1) * per_epoch:
                continue
            order = np.random.default_rng((seed, epoch)).permutation(len(self))
            for i in range(max(0, skip - epoch * per_epoch), per_epoch):
                # Sorted, so that the file is read in one direction; the batch is a random set all the same.
                chosen = np.sort(order[i * batch : (i + 1) * batch])
                yield torch.from_numpy(self.rows[chosen].astype(np.float32))


@checked
def write_store(
    model: TransformerBridge,
    texts: Texts,
    hook: str,
    folder: Text | Path,
    *,
    massive_factor: Positive = MASSIVE,
    progress: bool = True,
) -> ActivationStore:
    """Read the texts once and keep the activations of every ordinary token; stopped and started again, it goes on.

    folder: where `rows.f16` and `store.json` are written. massive_factor: a token is left out when its vector is
    more than this many times as long as a typical one of the first texts (`utils.reading.massive`).
    Returns the open store. Raises ValueError if the folder holds a store of other texts, of another model, hook point
    or massive_factor, or its file was cut, and, before anything is read, as `utils.reading.stream` does for a text or a
    hook point.
    """
    folder = Path(folder)
    # Checks every text now: a text that is too long shouldn't turn up after an hour of reading.
    activations.stream(model, texts, [hook], positions=_after_start)
    digest = hashlib.sha256(json.dumps(texts).encode()).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "store.json").exists():
        card = _read_card(folder)
        _check_same(folder, card, hook, len(texts), digest, weights_fingerprint(model), massive_factor)
        _check_size(folder, card)
    else:
        card = _first_card(model, texts, hook, massive_factor, digest)
        _write_card(folder, card)
    with (folder / "rows.f16").open("ab") as file:
        # A run that was cut may have written rows it hadn't noted yet; they are read again.
        file.truncate(card.n * card.d_model * 2)
        shards = range(card.texts_done, len(texts), SHARD)
        for start in tqdm(shards, desc="reading texts", disable=not progress):
            part = texts[start : start + SHARD]
            n_read = n_massive = n_kept = 0
            for chunk in activations.stream(model, part, [hook], positions=_after_start):
                acts = chunk.acts[hook]
                ordinary = ~is_massive(acts, card.massive_norm, factor=1)
                n_read += len(acts)
                n_massive += int((~ordinary).sum())
                n_kept += int(ordinary.sum())
                file.write(_half(acts[ordinary], hook).numpy().tobytes())
            file.flush()
            card = replace(
                card,
                n=card.n + n_kept,
                n_read=card.n_read + n_read,
                n_massive=card.n_massive + n_massive,
                texts_done=start + len(part),
            )
            _write_card(folder, card)
    return open_store(folder)


@checked
def open_store(folder: Text | Path) -> ActivationStore:
    """Open a finished or half-finished store without reading it into memory.

    Raises FileNotFoundError if there is none, ValueError if its file is shorter than its card says.
    """
    folder = Path(folder)
    if not (folder / "store.json").exists():
        raise FileNotFoundError(f"folder: no activation store in {folder}: write one with write_store")
    card = _read_card(folder)
    _check_size(folder, card)
    if card.n == 0:
        raise ValueError(f"the store in {folder} holds no rows yet")
    rows = np.memmap(folder / "rows.f16", dtype=np.float16, mode="r", shape=(card.n, card.d_model))
    return ActivationStore(card, rows)


def _check_size(folder: Path, card: StoreCard) -> None:
    path = folder / "rows.f16"
    size, expected = path.stat().st_size if path.exists() else 0, card.n * card.d_model * 2
    if size < expected:
        raise ValueError(f"{path} has {size} bytes, expected {expected}: it was cut; delete the folder, write it again")


def _check_same(
    folder: Path, card: StoreCard, hook: str, n_texts: int, digest: str, model: str, massive_factor: float
) -> None:
    """Raise ValueError, naming what differs, if a store that was begun is of something else."""
    otherwise = "give another folder, or delete this one"
    if (card.hook, card.texts_total) != (hook, n_texts):
        raise ValueError(
            f"folder: {folder} holds {card.hook} of {card.texts_total} texts, not {hook} of {n_texts}: {otherwise}"
        )
    if card.texts_sha256 not in ("", digest):
        raise ValueError(f"texts: {folder} holds other texts than these: {otherwise}")
    if card.model_weights not in ("", model):
        raise ValueError(f"model: {folder} holds activations of another model (its weights differ): {otherwise}")
    if card.massive_factor not in (0.0, massive_factor):
        raise ValueError(
            f"massive_factor is {massive_factor}, {folder} was begun with {card.massive_factor}: {otherwise}"
        )


def _half(acts: Tensor, hook: str) -> Tensor:
    rows = acts.to(torch.float16)
    if not torch.isfinite(rows).all():
        raise ValueError(f"{hook} holds values above 65,504, which float16 can't hold: lower massive_factor")
    return rows


def _after_start(ids: Tensor) -> Tensor:
    return torch.arange(len(ids)) > 0


def _first_card(
    model: TransformerBridge, texts: Sequence[str], hook: str, massive_factor: float, digest: str
) -> StoreCard:
    sample = activations.collect(
        model, list(texts[:SAMPLE]), [hook], positions=_after_start, cache=False, progress=False
    )
    acts = sample[hook]
    return StoreCard(
        hook=hook,
        d_model=acts.shape[-1],
        n=0,
        n_read=0,
        n_massive=0,
        massive_norm=massive_factor * typical_norm(acts),
        texts_done=0,
        texts_total=len(texts),
        texts_sha256=digest,
        model_weights=weights_fingerprint(model),
        massive_factor=massive_factor,
    )


def _read_card(folder: Path) -> StoreCard:
    try:
        return StoreCard(**json.loads((folder / "store.json").read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{folder / 'store.json'} can't be read ({error}): delete the folder and write it again"
        ) from None


def _write_card(folder: Path, card: StoreCard) -> None:
    temporary = folder / "store.json.new"
    temporary.write_text(json.dumps(asdict(card), indent=1) + "\n", encoding="utf-8")
    temporary.replace(folder / "store.json")
