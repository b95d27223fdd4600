"""Training a sparse autoencoder on a stream of activations.

One step: draw a batch of activations, scale it, compute the loss, move the weights, make the decoder's rows length 1
again. Everything that matters and is often left unsaid is an argument: how inputs are scaled, where the decoder's bias
starts, how the learning rate rises and falls, what is done about dead latents.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file

from utils.progress import tqdm
from utils.sae.models import SparseAutoencoder

__all__ = ["Record", "Settings", "input_scale", "learning_rate_at", "shuffled", "train"]


@dataclass(frozen=True)
class Settings:
    """How a run is trained.

    steps: how many batches; learning_rate: at its highest; warm_up: steps of linear rise; decay: the share of the
    steps, at the end, over which it falls to zero in a line; clip: the largest gradient norm that isn't cut down,
    in units of d_model (losses are sums over d_model, so that their gradients grow with it).
    """

    steps: int
    learning_rate: float = 1e-3
    warm_up: int = 50
    decay: float = 0.3
    clip: float = 1.0

    def __post_init__(self) -> None:
        _check_whole("steps", self.steps, 1)
        _check_whole("warm_up", self.warm_up, 0)
        _check_positive("learning_rate", self.learning_rate)
        _check_positive("clip", self.clip)
        if not 0 <= self.decay <= 1:
            raise ValueError(f"decay must be between 0 and 1, got {self.decay}")


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


def input_scale(x: Float[torch.Tensor, "n d_model"]) -> float:
    """The factor that gives a sample of activations a root mean square length of sqrt(d_model).

    With it, one learning rate and one penalty do for every layer of every model.
    Raises ValueError if the sample is empty, all zero, or not finite.
    """
    if x.ndim != 2 or len(x) == 0:
        raise ValueError(f"x must have shape (n, d_model) with n of at least 1, got {tuple(x.shape)}")
    mean_square = float(x.float().square().sum(-1).mean())
    if not math.isfinite(mean_square) or mean_square == 0:
        raise ValueError(f"the sample's mean squared length is {mean_square}: expected a positive number")
    return math.sqrt(x.shape[1] / mean_square)


def learning_rate_at(step: int, settings: Settings) -> float:
    """The learning rate of step 0, 1, 2, ...: a linear rise, a plateau, a linear fall to zero."""
    rise = min(1.0, (step + 1) / max(1, settings.warm_up))
    falling = max(1.0, settings.decay * settings.steps)
    fall = min(1.0, (settings.steps - step) / falling)
    return settings.learning_rate * rise * fall


def shuffled(
    chunks: Iterable[Float[torch.Tensor, "n d_model"]], batch: int, buffer: int, seed: int = 0
) -> Iterator[Float[torch.Tensor, "batch d_model"]]:
    """Mix a stream: hold `buffer` rows, hand out random batches from them, fill up again.

    chunks: tensors (n, d_model) in reading order, for instance from `utils.reading.activations.stream`.
    Yields (batch, d_model); rows left at the end that don't fill a batch are dropped.
    Raises ValueError if the buffer is smaller than two batches, for then little is mixed.
    """
    _check_whole("batch", batch, 1)
    if buffer < 2 * batch:
        raise ValueError(f"buffer must hold at least two batches ({2 * batch} rows), got {buffer}")
    generator = torch.Generator().manual_seed(seed)
    held: list[torch.Tensor] = []
    n_held = 0

    def give(until: int) -> Iterator[torch.Tensor]:
        nonlocal held, n_held
        rows = torch.cat(held)
        rows = rows[torch.randperm(len(rows), generator=generator)]
        while len(rows) >= max(batch, until + batch):
            yield rows[:batch]
            rows = rows[batch:]
        held, n_held = [rows], len(rows)

    for chunk in chunks:
        held.append(chunk)
        n_held += len(chunk)
        if n_held >= buffer:
            yield from give(until=buffer // 2)
    if held:
        yield from give(until=0)


def train(
    sae: SparseAutoencoder,
    batches: Iterable[Float[torch.Tensor, "batch d_model"]],
    settings: Settings,
    *,
    scale: float | None = None,
    log_every: int = 10,
    on_record: Callable[[list[Record]], None] | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 200,
    progress: bool = True,
) -> list[Record]:
    """Train a new SAE in place for settings.steps batches, and give back the log.

    Training runs on scaled inputs (`input_scale`); afterwards `sae` works on inputs in the model's own units.

    batches: tensors (batch, d_model) in the model's own units. To resume from a checkpoint, give the batches from
        the start again: those already used are skipped.
    scale: multiplies each batch before training; None takes `input_scale` of the first batch.
    on_record: called with the log so far after each entry, for instance to draw live curves.
    checkpoint: a .safetensors file to which weights, optimiser and log are saved every `checkpoint_every` steps, and
        from which an interrupted run goes on.
    Raises ValueError for a batch of another width or one that isn't finite, for fewer batches than steps, for a loss
    that stops being a number, and for a checkpoint that is corrupt or of another run; TypeError for a batch of whole
    numbers.
    """
    _check_whole("log_every", log_every, 1)
    _check_whole("checkpoint_every", checkpoint_every, 1)
    if scale is not None:
        _check_positive("scale", scale)
    optimiser = torch.optim.Adam(sae.parameters(), lr=settings.learning_rate, fused=True)
    path = Path(checkpoint) if checkpoint is not None else None
    log, first, scale = _resume(sae, optimiser, settings, scale, path)
    sae.train()
    stream = iter(batches)
    start = time.perf_counter() - (log[-1].seconds if log else 0.0)
    steps = tqdm(range(settings.steps), initial=0, desc="training", disable=not progress)
    for step in steps:
        x = next(stream, None)
        if x is None:
            raise ValueError(
                f"batches ended after {step} steps, expected {settings.steps}: give more, or set fewer steps"
            )
        if step < first:
            continue
        _check_batch(x, sae.d_model, step)
        if scale is None:
            scale = input_scale(x)
        x = x.to(sae.W_dec.dtype) * scale  # the type first: scaling in float16 would lose digits
        if step == 0:
            sae.start_at(x)
        rate = learning_rate_at(step, settings)
        for group in optimiser.param_groups:
            group["lr"] = rate
        losses = sae.loss(x)
        if not torch.isfinite(losses.total):
            raise ValueError(f"the loss is {losses.total.item()} at step {step}: lower the learning rate")
        optimiser.zero_grad(set_to_none=True)
        losses.total.backward()
        sae.remove_parallel_gradient()
        torch.nn.utils.clip_grad_norm_(sae.parameters(), settings.clip * sae.d_model)
        optimiser.step()
        sae.normalise_decoder()
        sae.count(losses.fired, len(x))
        if step % log_every == 0 or step == settings.steps - 1:
            log.append(_record(step, sae, x, losses, rate, time.perf_counter() - start))
            if on_record is not None:
                on_record(log)
        if path is not None and (step + 1) % checkpoint_every == 0 and step + 1 < settings.steps:
            _save(path, sae, optimiser, settings, scale, step + 1, log)
    sae.eval()
    assert scale is not None
    sae.rescale(1 / scale)
    if path is not None:
        path.unlink(missing_ok=True)
    return log


def _record(step: int, sae: SparseAutoencoder, x: torch.Tensor, losses: Any, rate: float, seconds: float) -> Record:
    variance = float((x - x.mean(0)).square().sum(-1).mean())
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
    if not isinstance(x, torch.Tensor) or x.ndim != 2 or x.shape[1] != d_model or len(x) == 0:
        came = tuple(x.shape) if isinstance(x, torch.Tensor) else type(x).__name__
        raise ValueError(f"batch {step} must have shape (batch, {d_model}), at least one row, got {came}")
    if not x.is_floating_point():
        raise TypeError(f"batch {step} must hold floating-point numbers, got {x.dtype}")
    if not torch.isfinite(x).all():
        raise ValueError(f"batch {step} holds NaN or infinite values; look for the text that made them first")


def _check_whole(name: str, value: Any, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")


def _check_positive(name: str, value: Any) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < math.inf:
        raise ValueError(f"{name} must be a positive number, got {value!r}")


# ------------------------------------------------------------------------------------------- checkpoints


def _save(
    path: Path,
    sae: SparseAutoencoder,
    optimiser: torch.optim.Optimizer,
    settings: Settings,
    scale: float,
    step: int,
    log: list[Record],
) -> None:
    """Weights, Adam's two moments and the log in one safetensors file, written beside and then renamed."""
    tensors = {f"sae.{name}": value.detach().contiguous() for name, value in sae.state_dict().items()}
    tensors["tokens_since_fired"] = sae.tokens_since_fired
    for i, state in optimiser.state_dict()["state"].items():
        for name, value in state.items():
            tensors[f"adam.{i}.{name}"] = torch.as_tensor(value).contiguous()
    note = {
        "step": step,
        "scale": scale,
        "settings": asdict(settings),
        "log": [asdict(record) for record in log],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".new")
    save_file(tensors, temporary, metadata={"note": json.dumps(note)})
    temporary.replace(path)


def _resume(
    sae: SparseAutoencoder,
    optimiser: torch.optim.Optimizer,
    settings: Settings,
    scale: float | None,
    path: Path | None,
) -> tuple[list[Record], int, float | None]:
    """The log, the next step and the scale: from the checkpoint if there is one, else from the start."""
    if path is None or not path.exists():
        return [], 0, scale
    from safetensors import safe_open

    try:
        with safe_open(path, "pt") as file:
            note = json.loads(file.metadata()["note"])
        tensors = load_file(path)
        log = [Record(**record) for record in note["log"]]
        begun, step, kept_scale = note["settings"], note["step"], note["scale"]
    except Exception as error:
        raise ValueError(f"the checkpoint {path} can't be read ({error!r}): delete it to start again") from None
    if begun != asdict(settings):
        raise ValueError(f"the checkpoint {path} is of a run with other settings: {begun}")
    if scale is not None and scale != kept_scale:
        raise ValueError(f"the checkpoint {path} is of a run with another scale: {kept_scale}, not {scale}")
    weights = {name[4:]: value for name, value in tensors.items() if name.startswith("sae.")}
    shapes = {name: value.shape for name, value in sae.state_dict().items()}
    if shapes != {name: value.shape for name, value in weights.items()}:
        raise ValueError(f"the checkpoint {path} is of another SAE: its weights are {_shapes(weights)}")
    sae.load_state_dict(weights)
    sae.tokens_since_fired.copy_(tensors["tokens_since_fired"])
    parameters = list(sae.parameters())
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("adam."):
            _, i, key = name.split(".")
            if value.shape == parameters[int(i)].shape:
                # Fused Adam walks through memory: a moment must lie there as its weight does (W_enc is transposed).
                value = torch.empty_like(parameters[int(i)], requires_grad=False).copy_(value)
            state.setdefault(int(i), {})[key] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    return log, step, kept_scale


def _shapes(weights: dict[str, torch.Tensor]) -> str:
    return ", ".join(f"{name} {tuple(value.shape)}" for name, value in weights.items())
