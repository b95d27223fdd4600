"""Training transcoders of several blocks at once, on activations that are read and forgotten.

One forward pass gives what every MLP of a group of blocks reads and writes. Each block has a buffer, in which tokens of
different texts are mixed, and takes a step whenever the buffer has filled up. So memory doesn't grow with the number of
tokens, and the model reads a text once for the whole group.

A step is the SAE's (`utils.sae.training`): Adam with a linear rise and fall, decoder rows of length 1, dead latents
asked to explain the error. Two things differ. What is reconstructed is what the MLP writes, not what it reads, so the
decoder's bias isn't taken off the input. And the linear skip, if there is one, starts at the ridge solution, so that
the latents learn what a linear map leaves over.

Left out are document starts and tokens for which the MLP writes something massive (`utils.reading.massive`; the bound
is measured on the first texts, and kept with the transcoder).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from utils.inputs import Count, Index, NonNegative, Positive, Seed, Share, checked
from utils.progress import tqdm
from utils.reading.activations import stream
from utils.reading.massive import MASSIVE, is_massive, typical_norm
from utils.reading.tokens import TokenTexts, token_rows
from utils.sae import sparse
from utils.sae.models import JumpReLUSAE, Losses, SparseAutoencoder, TopKSAE
from utils.sae.training import Mixer, Record, Settings, input_scale, learning_rate_at, record_of, take_step
from utils.standin.transcoders import Transcoder, hooks_of

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

__all__ = ["Plan", "Trained", "harvest", "linear_map", "massive_bounds", "train_transcoders"]

SAMPLE = 64  # texts that set the bound above which an output counts as massive
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # of the ridge, in units of the mean variance of an input
LOG_EVERY = 10  # steps


@checked
@dataclass(frozen=True)
class Plan:
    """How transcoders are made and trained.

    width: latents; k: how many may be on (TopK), or None for JumpReLU, where l0 is the price of a latent that is on
    (in units of squared error, with outputs scaled to a mean squared length of d_model); skip: with a linear skip;
    tokens: of training, with repeats; batch: tokens a step; buffer: tokens held to be mixed, a block; learning_rate,
    warm_up, decay: as in `utils.sae.Settings`; log_every: steps between two lines of the log.
    """

    width: Count = 1024
    k: Count | None = 32
    l0: NonNegative = 0.0
    skip: bool = False
    tokens: Count = 800_000
    batch: Count = 2048
    buffer: Count = 16_384
    learning_rate: Positive = 3e-3
    warm_up: Index = 50
    decay: Share = 0.3
    seed: Seed = 0
    log_every: Count = LOG_EVERY

    def __post_init__(self) -> None:
        if self.buffer < 2 * self.batch:
            raise ValueError(f"buffer must hold at least two batches ({2 * self.batch} tokens), got {self.buffer}")
        if self.tokens < self.batch:
            raise ValueError(f"tokens must be at least one batch ({self.batch}), got {self.tokens}")
        if self.k is not None and self.k > self.width:
            raise ValueError(f"k must be at most the width ({self.width}), got {self.k}")

    @property
    def settings(self) -> Settings:
        """The same for the SAE's training loop: a step is a batch."""
        return Settings(self.tokens // self.batch, self.learning_rate, self.warm_up, self.decay)


@dataclass(frozen=True)
class Trained:
    """A transcoder and how it came about: the log, the tokens it was given, those of them left out as massive."""

    transcoder: Transcoder
    log: tuple[Record, ...]
    n_read: int
    n_massive: int


# ---------------------------------------------------------------------------------------------- what is learnt from


@checked
def massive_bounds(
    model: TransformerBridge, texts: TokenTexts, blocks: Sequence[Index], *, factor: Positive = MASSIVE
) -> dict[int, float]:
    """For each block the length above which what its MLP writes is massive: `factor` typical lengths.

    Measured on the first texts, document starts left out. Raises as `harvest` does.
    """
    outputs = {block: hooks_of(block)[1] for block in blocks}
    lengths: dict[int, list[Tensor]] = {block: [] for block in blocks}
    rows = token_rows(model, texts, shortest=2)[:SAMPLE]
    for chunk in stream(model, rows, list(outputs.values()), positions=_after_start):
        for block, hook in outputs.items():
            lengths[block].append(chunk.acts[hook].float().norm(dim=-1, keepdim=True))
    return {block: factor * typical_norm(torch.cat(parts)) for block, parts in lengths.items()}


@checked
def harvest(
    model: TransformerBridge, texts: TokenTexts, blocks: Sequence[Index], *, shuffle_seed: Seed | None = None
) -> Iterator[dict[int, tuple[Float[Tensor, "n d_model"], Float[Tensor, "n d_model"]]]]:
    """What the MLPs of some blocks read and write, some texts at a time: block -> (inputs, outputs), on the CPU.

    Rows are tokens, the same for every block; document starts are left out, massive outputs are not. The model is run
    as far as the last of the blocks, once for all of them. shuffle_seed: texts in a random order, not by length.
    Raises ValueError for no texts, a text of one token, a block that the model hasn't got, and activations that are
    not finite.
    """
    if not len(blocks):
        raise ValueError("blocks is empty: name at least one")
    for block in blocks:
        if block >= model.cfg.n_layers:
            raise ValueError(f"blocks: the model has blocks 0 to {model.cfg.n_layers - 1}, got {block}")
    hooks = [hook for block in blocks for hook in hooks_of(block)]
    chunks = stream(
        model, token_rows(model, texts, shortest=2), hooks, positions=_after_start, shuffle_seed=shuffle_seed
    )

    def pairs() -> Iterator[dict[int, tuple[Tensor, Tensor]]]:
        for chunk in chunks:
            found = {block: tuple(chunk.acts[hook].float() for hook in hooks_of(block)) for block in blocks}
            yield {block: (x, y) for block, (x, y) in found.items()}

    return pairs()


def _after_start(ids: Tensor) -> Tensor:
    return torch.arange(len(ids)) > 0


@checked
def linear_map(
    x: Float[Tensor, "n d_model"], y: Float[Tensor, "n d_out"], *, seed: Seed = 0
) -> tuple[Float[Tensor, "d_model d_out"], Float[Tensor, "d_out"]]:
    """The ridge solution W, b of y ~ x @ W + b: the best a linear map does in an MLP's place.

    The penalty is chosen on a quarter of the rows, kept aside for it; then all are used. Rows are float32 or float64.
    Raises ValueError for fewer than eight rows, and for inputs that are all the same.
    """
    if len(x) < 8:
        raise ValueError(f"x must have at least eight rows, or no penalty can be chosen, got {len(x)}")
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed)).to(x.device)
    inputs, outputs = x[order].double(), y[order].double()
    cut = 3 * len(x) // 4

    def solved(rows: slice, penalties: Sequence[float]) -> list[tuple[Tensor, Tensor]]:
        here, there = inputs[rows], outputs[rows]
        mean_in, mean_out = here.mean(0), there.mean(0)
        centred = here - mean_in
        values, vectors = torch.linalg.eigh(centred.T @ centred / len(here))
        unit = values.clamp_min(0).mean()
        if unit <= 0:
            raise ValueError("x must have rows that differ; all are the same")
        towards = vectors.T @ (centred.T @ (there - mean_out) / len(here))
        found = []
        for penalty in penalties:
            weight = vectors @ (towards / (values.clamp_min(0) + penalty * unit)[:, None])
            found.append((weight, mean_out - mean_in @ weight))
        return found

    def error(weight: Tensor, bias: Tensor) -> float:
        return float((inputs[cut:] @ weight + bias - outputs[cut:]).square().sum())

    errors = [error(*each) for each in solved(slice(0, cut), PENALTIES)]
    weight, bias = solved(slice(0, None), [PENALTIES[errors.index(min(errors))]])[0]
    return weight.to(x.dtype), bias.to(x.dtype)


# ------------------------------------------------------------------------------------------------------ what learns


class _Trainee(SparseAutoencoder):
    """What differs from an SAE while training. A batch is (batch, 2 * d_model): inputs, and beside them outputs."""

    W_skip: nn.Parameter | None

    def __init__(self, d_model: int, d_sae: int, *, skip: bool, **kwargs: Any):
        super().__init__(d_model, d_sae, **kwargs)
        self.W_skip = nn.Parameter(torch.zeros(d_model, d_model)) if skip else None

    def read(self, x: Tensor) -> Tensor:
        return x  # b_dec lives in the space of outputs

    def target(self, x: Tensor) -> Tensor:
        return x[:, self.d_model :]

    def start_at(self, x: Tensor) -> None:
        inputs, outputs = x.split(self.d_model, dim=1)
        with torch.no_grad():
            if self.W_skip is None:
                self.b_dec.copy_(outputs.mean(0))
            else:
                weight, bias = linear_map(inputs, outputs)
                self.W_skip.copy_(weight)
                self.b_dec.copy_(bias)

    def loss(self, x: Tensor) -> Losses:
        inputs, outputs = x.split(self.d_model, dim=1)
        written, sparsity, fired = self.written(inputs)
        if self.W_skip is not None:
            written = written + inputs @ self.W_skip
        error = outputs - written
        reconstruction = error.square().sum(-1).mean()
        auxiliary = self._auxiliary(inputs, error)
        return Losses(reconstruction + sparsity + auxiliary, reconstruction, sparsity, auxiliary, fired)

    def written(self, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the latents write, the price for those that are on, and how often each was."""
        raise NotImplementedError

    @torch.no_grad()
    def frozen(self, layer: int, scale_in: float, scale_out: float, massive_norm: float) -> Transcoder:
        """The transcoder in the model's own units, from weights that were trained on scaled inputs and outputs.

        Decoder rows keep length 1: a latent is measured in units of what it writes.
        """
        size = scale_in / scale_out
        threshold = self.threshold / scale_out if isinstance(self, JumpReLUSAE) else None
        parts = {
            "W_enc": self.W_enc * size,
            "b_enc": self.b_enc / scale_out,
            "W_dec": self.W_dec,
            "b_dec": self.b_dec / scale_out,
            "W_skip": None if self.W_skip is None else self.W_skip * size,
            "threshold": threshold,
        }
        plain: dict[str, Any] = {
            name: None if value is None else value.detach().cpu().contiguous() for name, value in parts.items()
        }
        k = self.k if isinstance(self, TopKSAE) else None
        return Transcoder(layer=layer, k=k, massive_norm=massive_norm, **plain)


class _TopK(_Trainee, TopKSAE):
    def written(self, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        selected = self.select(inputs)
        written = sparse.decode_selected(selected, self.W_dec) + self.b_dec
        return written, inputs.new_zeros(()), selected.fired(self.d_sae)


class _JumpReLU(_Trainee, JumpReLUSAE):
    def written(self, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        pre = self.pre_activations(inputs).relu()
        latents, price = self.jumped(pre)
        return latents @ self.W_dec + self.b_dec, price, (latents > 0).sum(0)


# How long a TopK encoder's rows are at the start, beside an SAE's. An SAE's encoder starts as its decoder turned round,
# and writes back what it reads. Here input and output differ, so k random latents write noise as long as the output:
# biases go down and most latents switch off. Block 5, width 1,024, k 32, 150 steps of 1,024 tokens, one seed: of the
# variance .776 stays unexplained with 1, .704 with .3, .688 with .1.
_TOPK_START = 0.1


class _Run:
    """One block's training: its buffer, its weights, its log."""

    def __init__(self, layer: int, d_model: int, plan: Plan, bound: float, device: torch.device):
        self.layer, self.plan, self.bound, self.device = layer, plan, bound, device
        self.settings = plan.settings
        # Each block has directions of its own: the same ones everywhere would look alike by their start alone.
        sizes: dict[str, Any] = {"skip": plan.skip, "seed": (plan.seed + 7919 * layer) % 2**63}
        trainee: _TopK | _JumpReLU
        if plan.k is None:
            trainee = _JumpReLU(d_model, plan.width, l0=plan.l0, **sizes)
        else:
            trainee = _TopK(d_model, plan.width, k=plan.k, **sizes)
        self.trainee = trainee.to(device).train()
        if plan.k is not None:
            with torch.no_grad():
                self.trainee.W_enc.mul_(_TOPK_START)
        self.optimiser = torch.optim.Adam(self.trainee.parameters(), lr=plan.learning_rate, fused=True)
        self.mixer = Mixer(plan.batch, plan.buffer, plan.seed)
        self.scales: tuple[float, float] | None = None
        self.log: list[Record] = []
        self.step = self.n_read = self.n_massive = 0
        self.seconds = 0.0

    @property
    def done(self) -> bool:
        return self.step >= self.settings.steps

    def feed(self, inputs: Tensor, outputs: Tensor) -> None:
        """Take in what one forward pass gave, and take the steps for which there are tokens."""
        start = time.perf_counter()
        massive = is_massive(outputs, self.bound, factor=1)
        self.n_read += len(outputs)
        self.n_massive += int(massive.sum())
        pairs = torch.cat([inputs, outputs], dim=1)[~massive]
        for batch in self.mixer.add(pairs) if len(pairs) else ():
            if self.done:
                break
            if self.scales is None:  # the first batch comes when the buffer has filled up: all of it is the sample
                self._begin(torch.cat([batch, *self.mixer.held]))
            self._take(self._scaled(batch), time.perf_counter() - start)
        self.seconds += time.perf_counter() - start

    def _begin(self, sample: Tensor) -> None:
        d = self.trainee.d_model
        self.scales = (input_scale(sample[:, :d]), input_scale(sample[:, d:]))
        self.trainee.start_at(self._scaled(sample))

    def _scaled(self, pairs: Tensor) -> Tensor:
        assert self.scales is not None
        d = self.trainee.d_model
        scale = torch.tensor(self.scales).repeat_interleave(d)
        return (pairs * scale).to(self.device)

    def _take(self, x: Tensor, seconds: float) -> None:
        try:
            losses = take_step(self.trainee, self.optimiser, x, self.step, self.settings)
        except ValueError as error:
            raise ValueError(f"block {self.layer}: {error}") from None
        if self.step % self.plan.log_every == 0 or self.step == self.settings.steps - 1:
            rate = learning_rate_at(self.step, self.settings)
            self.log.append(record_of(self.step, self.trainee, x, losses, rate, self.seconds + seconds))
        self.step += 1

    def finished(self) -> Trained:
        assert self.scales is not None
        made = self.trainee.eval().frozen(self.layer, *self.scales, self.bound)
        return Trained(made, tuple(self.log), self.n_read, self.n_massive)


@checked
def train_transcoders(
    model: TransformerBridge,
    texts: TokenTexts,
    blocks: Sequence[Index],
    plan: Plan | None = None,
    *,
    device: torch.device | str = "cpu",
    on_record: Callable[[int, Record], None] | None = None,
    progress: bool = True,
) -> dict[int, Trained]:
    """Train a transcoder of each of some blocks, all of them on the same forward passes: block -> Trained.

    texts: strings or rows of token ids, of at least two tokens, read again from the start, in another order, until
    `plan.tokens` ordinary tokens were used; plan: None for the defaults of `Plan`; device: where the transcoders are
    trained, whatever the model is on; on_record: called with the block and each line of its log.
    What is given back is on the CPU, in the model's own units. Memory: about plan.buffer * d_model * 24 bytes and
    plan.width * d_model * 32 bytes a block, whatever the number of tokens.
    Raises ValueError as `harvest` does, for texts without an ordinary token, and for a loss that isn't a number.
    """
    plan = plan or Plan()
    blocks = list(dict.fromkeys(blocks))
    rows = token_rows(model, texts, shortest=2)
    harvest(model, rows[:1], blocks)  # says what is wrong with the blocks before anything is read
    bounds = massive_bounds(model, rows, blocks)
    place = torch.device(device)
    runs = [_Run(block, model.cfg.d_model, plan, bounds[block], place) for block in blocks]
    with tqdm(total=plan.settings.steps * len(runs), desc="training", unit="step", disable=not progress) as bar:
        epoch = 0
        while not all(run.done for run in runs):
            for found in harvest(model, rows, blocks, shuffle_seed=(plan.seed + epoch) % 2**63):
                for run in runs:
                    _fed(run, found[run.layer], bar, on_record)
                if all(run.done for run in runs):
                    break
            for run in runs:
                if run.n_massive == run.n_read:
                    raise ValueError(f"texts hold no ordinary token for block {run.layer}: all outputs are massive")
            epoch += 1
    return {run.layer: run.finished() for run in runs}


def _fed(run: _Run, pair: tuple[Tensor, Tensor], bar: Any, on_record: Callable[[int, Record], None] | None) -> None:
    if run.done:
        return
    steps, lines = run.step, len(run.log)
    run.feed(*pair)
    bar.update(run.step - steps)
    if on_record is not None:
        for line in run.log[lines:]:
            on_record(run.layer, line)
