"""Training a sparse autoencoder on a stream of activations.

One step: draw a batch of activations, scale it, compute the loss, move the weights, make the decoder's rows length 1
again. Everything that matters and is often left unsaid is an argument: how inputs are scaled, where the decoder's bias
starts, how the learning rate rises and falls, what is done about dead latents.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from utils.inputs import Count, Index, Positive, Seed, Share, Text, checked
from utils.progress import tqdm
from utils.sae import checkpoints
from utils.sae.models import Losses, SparseAutoencoder

__all__ = ["Record", "Settings", "input_scale", "learning_rate_at", "shuffled", "train"]
# Shared with utils.standin.training: Mixer, take_step, record_of.


@checked
@dataclass(frozen=True)
class Settings:
    """How a run is trained.

    steps: how many batches; learning_rate: at its highest; warm_up: steps of linear rise; decay: the share of the
    steps, at the end, over which it falls to zero in a line; clip: the largest gradient norm that isn't cut down,
    in units of d_model (losses are sums over d_model, so that their gradients grow with it).
    """

    steps: Count
    learning_rate: Positive = 1e-3
    warm_up: Index = 50
    decay: Share = 0.3
    clip: Positive = 1.0


@dataclass(frozen=True)
class Record:
    """One line of the training log; losses are per activation, in scaled units (mean squared length d_model).

    unexplained: the share of the batch's variance that is not reconstructed (MatryoshkaSAE: the mean over its
    prefixes); l0: latents on per activation;
    dead: the share of latents that count as dead.
    """

    step: int
    tokens: int
    loss: float
    unexplained: float
    l0: float
    dead: float
    learning_rate: float
    seconds: float


@checked
def input_scale(x: Float[Tensor, "n d_model"]) -> float:
    """The factor that gives a sample of activations a root mean square length of sqrt(d_model).

    With it, one learning rate and one penalty do for every layer of every model.
    Raises ValueError if the sample is empty, all zero, or not finite.
    """
    if len(x) == 0:
        raise ValueError(f"x must have at least one row, got shape {tuple(x.shape)}")
    mean_square = float(x.float().square().sum(-1).mean())
    if not math.isfinite(mean_square) or mean_square == 0:
        raise ValueError(f"x must have a mean squared length that is a positive number, got {mean_square}")
    return math.sqrt(x.shape[1] / mean_square)


@checked
def learning_rate_at(step: Index, settings: Settings) -> float:
    """The learning rate of step 0, 1, 2, ...: a linear rise, a plateau, a linear fall to zero."""
    rise = min(1.0, (step + 1) / max(1, settings.warm_up))
    falling = max(1.0, settings.decay * settings.steps)
    fall = min(1.0, (settings.steps - step) / falling)
    return settings.learning_rate * rise * fall


@checked
def shuffled(
    chunks: Iterable[Float[Tensor, "n d_model"]], batch: Count, buffer: Count, seed: Seed = 0
) -> Iterator[Float[Tensor, "batch d_model"]]:
    """Mix a stream: hold `buffer` rows, hand out random batches from them, fill up again.

    chunks: tensors (n, d_model) in reading order, for instance from `utils.reading.activations.stream`.
    Yields (batch, d_model); rows left at the end that don't fill a batch are dropped.
    Raises ValueError if the buffer is smaller than two batches, for then little is mixed.
    """
    if buffer < 2 * batch:
        raise ValueError(f"buffer must hold at least two batches ({2 * batch} rows), got {buffer}")
    return _mixed(chunks, batch, buffer, seed)


def _mixed(chunks: Iterable[Tensor], batch: int, buffer: int, seed: int) -> Iterator[Tensor]:
    mixer = Mixer(batch, buffer, seed)
    for chunk in chunks:
        yield from mixer.add(chunk)
    yield from mixer.rest()


class Mixer:
    """The buffer behind `shuffled`, for whoever is handed chunks instead of asking for them.

    batch: rows of a batch; buffer: how many rows are held before the first batches are given, down to half of it.
    """

    def __init__(self, batch: int, buffer: int, seed: int = 0):
        self.batch, self.buffer = batch, buffer
        self.generator = torch.Generator().manual_seed(seed)
        self.held: list[Tensor] = []
        self.n_held = 0

    def add(self, chunk: Float[Tensor, "n d_model"]) -> Iterator[Float[Tensor, "batch d_model"]]:
        """Take a chunk in; where the buffer is full by now, give random batches from it."""
        self.held.append(chunk)
        self.n_held += len(chunk)
        if self.n_held >= self.buffer:
            yield from self._give(until=self.buffer // 2)

    def rest(self) -> Iterator[Float[Tensor, "batch d_model"]]:
        """The batches that are left; rows that don't fill one are dropped."""
        if self.held:
            yield from self._give(until=0)

    def _give(self, until: int) -> Iterator[Tensor]:
        rows = torch.cat(self.held)
        rows = rows[torch.randperm(len(rows), generator=self.generator)]
        while len(rows) >= max(self.batch, until + self.batch):
            yield rows[: self.batch]
            rows = rows[self.batch :]
        self.held, self.n_held = [rows], len(rows)


@checked
def train(
    sae: SparseAutoencoder,
    batches: Iterable[Float[Tensor, "batch d_model"]],
    settings: Settings,
    *,
    scale: Positive | None = None,
    log_every: Count = 10,
    on_record: Callable[[list[Record]], None] | None = None,
    checkpoint: Text | Path | None = None,
    checkpoint_every: Count = 200,
    progress: bool = True,
) -> list[Record]:
    """Train a new SAE in place for settings.steps batches, and give back the log.

    Training runs on scaled inputs (`input_scale`). However it ends, by itself, by an error or by an interrupt, `sae`
    is left ready to read with: in the model's own units, with rows of length 1.

    batches: tensors (batch, d_model) in the model's own units. To resume from a checkpoint, give the batches from
        the start again: those already used are skipped.
    scale: multiplies each batch before training; None takes `input_scale` of the first batch.
    on_record: called with the log so far after each entry, for instance to draw live curves.
    checkpoint: a .safetensors file to which weights, optimiser and log are saved every `checkpoint_every` steps, and
        from which an interrupted run goes on, if it is the same run: the same kind of SAE, settings, scale and batches.
    Raises ValueError for a batch of another width or one that isn't finite, for fewer batches than steps, for a loss
    that stops being a number, and for a checkpoint that is damaged or of another run (`sae` is then left as it was);
    TypeError for a batch that doesn't hold floating-point numbers.
    """
    optimiser = torch.optim.Adam(sae.parameters(), lr=settings.learning_rate, fused=True)
    path = Path(checkpoint) if checkpoint is not None else None
    saved = checkpoints.read(path, sae, asdict(settings), scale) if path is not None else None
    log = [Record(**record) for record in saved.log] if saved else []
    scale = saved.scale if saved else scale
    data = ""  # a digest of the batches so far, where it will be asked for
    scaled = False  # whether the weights stand in scaled units by now
    start = time.perf_counter() - (log[-1].seconds if log else 0.0)
    try:
        sae.train()
        stream = iter(batches)
        for step in tqdm(range(settings.steps), desc="training", disable=not progress):
            x = next(stream, None)
            if x is None:
                raise ValueError(
                    f"batches ended after {step} steps, expected {settings.steps}: give more, or set fewer steps"
                )
            _check_batch(x, sae.d_model, step)
            if path is not None:
                data = checkpoints.seen(data, x)
            if saved is not None and step < saved.step:
                if step + 1 == saved.step:
                    saved.restore(sae, optimiser, data)
                    scaled = True
                continue
            if scale is None:
                scale = input_scale(x)
            x = x.to(sae.W_dec) * scale  # the type first: scaling in float16 would lose digits
            if step == 0:
                scaled = True
                sae.start_at(x)
            losses = take_step(sae, optimiser, x, step, settings)
            if step % log_every == 0 or step == settings.steps - 1:
                rate, seconds = learning_rate_at(step, settings), time.perf_counter() - start
                log.append(record_of(step, sae, x, losses, rate, seconds))
                if on_record is not None:
                    on_record(log)
            if path is not None and (step + 1) % checkpoint_every == 0 and step + 1 < settings.steps:
                plain = [asdict(record) for record in log]
                checkpoints.write(path, sae, optimiser, asdict(settings), scale, step + 1, data, plain)
    except BaseException:
        if scaled:
            sae.normalise_decoder()  # it may have stopped in the middle of a step
        raise
    finally:
        sae.eval()
        if scaled and scale is not None:
            sae.rescale(1 / scale)
    if path is not None:
        path.unlink(missing_ok=True)
    return log


def take_step(
    sae: SparseAutoencoder, optimiser: torch.optim.Optimizer, x: Tensor, step: int, settings: Settings
) -> Losses:
    """One step on a scaled batch."""
    for group in optimiser.param_groups:
        group["lr"] = learning_rate_at(step, settings)
    losses = sae.loss(x)
    if not torch.isfinite(losses.total):
        raise ValueError(f"the loss is {losses.total.item()} at step {step}: lower settings.learning_rate")
    optimiser.zero_grad(set_to_none=True)
    losses.total.backward()
    sae.remove_parallel_gradient()
    torch.nn.utils.clip_grad_norm_(sae.parameters(), settings.clip * sae.d_model)
    optimiser.step()
    sae.normalise_decoder()
    sae.count(losses.fired, len(x))
    return losses


def record_of(step: int, sae: SparseAutoencoder, x: Tensor, losses: Losses, rate: float, seconds: float) -> Record:
    """The line of the log for a step that was taken on x."""
    wanted = sae.target(x)
    variance = float((wanted - wanted.mean(0)).square().sum(-1).mean())
    reconstruction = float(losses.reconstruction.detach())
    return Record(
        step=step,
        tokens=(step + 1) * len(x),
        loss=float(losses.total.detach()),
        unexplained=reconstruction / variance if variance > 0 else math.nan,
        l0=float(losses.fired.sum()) / len(x),
        dead=float(sae.dead.float().mean()),
        learning_rate=rate,
        seconds=seconds,
    )


def _check_batch(x: Any, d_model: int, step: int) -> None:
    if not isinstance(x, Tensor) or x.ndim != 2 or x.shape[1] != d_model or len(x) == 0:
        came = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(f"batches[{step}] must have shape (batch, {d_model}), at least one row, got {came}")
    if not x.is_floating_point():
        raise TypeError(f"batches[{step}] must hold floating-point numbers, got {x.dtype}")
    if not torch.isfinite(x).all():
        raise ValueError(f"batches[{step}] holds NaN or infinite values; look for the text that made them first")
