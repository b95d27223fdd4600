"""Six kinds of sparse autoencoder behind one small interface.

A sparse autoencoder (SAE) writes an activation x, a dense vector of d_model numbers, as a sum of a few directions
out of a long list of d_sae:

    x  ~  b_dec + latents[0] * W_dec[0] + latents[1] * W_dec[1] + ...      (nearly all latents are 0)

The kinds differ in one question only: which latents may be on?

    ReLUSAE        those with a positive pre-activation, with a price (L1) on their size
    TopKSAE        the k largest of each activation                        (Gao et al. 2024, arXiv 2406.04093)
    BatchTopKSAE   the k per activation on average, largest of the batch   (Bussmann et al. 2024, arXiv 2412.06410)
    MatryoshkaSAE  as BatchTopK, and each prefix of the list must reconstruct on its own  (arXiv 2503.17547)
    JumpReLUSAE    those above a learnt threshold, with a price (L0) on their number      (arXiv 2407.14435)
    GatedSAE       a gate decides which, a second path decides how much                   (arXiv 2404.16014)

Everywhere: W_enc (d_model, d_sae), b_enc (d_sae), W_dec (d_sae, d_model) with rows of length 1, b_dec (d_model), which
is also taken off the input. Losses are sums over d_model, means over the batch.

A dictionary lives where it is put (`sae.to("cuda")`) and answers where it was asked: latents and reconstructions are on
the device of the activations that were given, so one on a GPU reads what `collect` returns, and one on the CPU works
inside a hook of a model on a GPU.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import nn

from utils.sae import sparse
from utils.validators import Range, flag, number, numbers, sequence, whole

__all__ = [
    "BatchTopKSAE",
    "GatedSAE",
    "JumpReLUSAE",
    "Losses",
    "MatryoshkaSAE",
    "ReLUSAE",
    "SparseAutoencoder",
    "TopKSAE",
]

AUXILIARY_WEIGHT = 1 / 32  # Gao et al. 2024, section A.2
DEAD_AFTER = 200_000  # tokens without firing


class Losses(NamedTuple):
    """What one training step minimises: total = reconstruction + sparsity + auxiliary, each a scalar.

    fired: (d_sae,) how often each latent was on in this batch.
    """

    total: Float[torch.Tensor, ""]
    reconstruction: Float[torch.Tensor, ""]
    sparsity: Float[torch.Tensor, ""]
    auxiliary: Float[torch.Tensor, ""]
    fired: Int[torch.Tensor, "d_sae"]


class SparseAutoencoder(nn.Module):
    """What all six share: the parameters, the linear maps, the bookkeeping of dead latents.

    d_model: width of the activations; d_sae: number of latents; seed: of the random first directions; dead_after: a
    latent counts as dead when it wasn't on for this many tokens of training.
    Raises TypeError or ValueError for sizes that aren't whole numbers of at least 1.
    """

    SETTINGS: tuple[str, ...] = ()  # what a kind is made with, besides sizes
    tokens_since_fired: Int[torch.Tensor, "d_sae"]

    W_enc: Float[torch.Tensor, "d_model d_sae"]
    b_enc: Float[torch.Tensor, "d_sae"]
    W_dec: Float[torch.Tensor, "d_sae d_model"]
    b_dec: Float[torch.Tensor, "d_model"]

    def __init__(self, d_model: int, d_sae: int, *, seed: int = 0, dead_after: int = DEAD_AFTER):
        super().__init__()
        d_model, d_sae = whole("d_model", d_model, 1), whole("d_sae", d_sae, 1)
        generator = torch.Generator().manual_seed(whole("seed", seed, 0, 2**63 - 1))
        directions = torch.randn(d_sae, d_model, generator=generator)
        directions = directions / directions.norm(dim=1, keepdim=True)
        self.W_dec = nn.Parameter(directions)
        # The encoder starts as the decoder's transpose: a latent is first on for what looks like its own direction.
        # (A transposed view: its gradient is computed latent by latent, so this order in memory saves a copy.)
        self.W_enc = nn.Parameter(directions.clone().t())
        self.b_enc = nn.Parameter(torch.zeros(d_sae))
        self.b_dec = nn.Parameter(torch.zeros(d_model))
        self.dead_after = whole("dead_after", dead_after, 1, None)
        self.register_buffer("tokens_since_fired", torch.zeros(d_sae, dtype=torch.long), persistent=False)

    @property
    def d_model(self) -> int:
        return self.W_dec.shape[1]

    @property
    def d_sae(self) -> int:
        return self.W_dec.shape[0]

    @property
    def dead(self) -> torch.Tensor:
        """(d_sae,) True for latents that have not been on for the last `dead_after` tokens of training."""
        return self.tokens_since_fired >= self.dead_after

    def description(self) -> dict[str, Any]:
        """The kind, its sizes and the settings it is trained with: what makes two untrained dictionaries the same."""
        sizes = {"kind": type(self).__name__, "d_model": self.d_model, "d_sae": self.d_sae}
        more = {name: getattr(self, name) for name in ("dead_after", *self.SETTINGS)}
        return sizes | {"dtype": str(self.W_dec.dtype)} | more

    # ------------------------------------------------------------------------------ the interface

    def pre_activations(self, x: Float[torch.Tensor, "*n d_model"]) -> Float[torch.Tensor, "*n d_sae"]:
        """How well x, less the decoder's bias, matches each latent's encoder direction: (..., d_sae)."""
        return self.read(x) @ self.W_enc + self.b_enc

    def read(self, x: Float[torch.Tensor, "*n d_model"]) -> Float[torch.Tensor, "*n d_model"]:
        """What the encoder looks at: x less the decoder's bias."""
        return x - self.b_dec

    def activation(self, pre: Float[torch.Tensor, "*n d_sae"]) -> Float[torch.Tensor, "*n d_sae"]:
        """From pre-activations to latents, zero where a latent is off. This is where the kinds differ."""
        raise NotImplementedError

    def encode(self, x: Float[torch.Tensor, "*n d_model"]) -> Float[torch.Tensor, "*n d_sae"]:
        """The latents of activations x: (..., d_sae), zero or positive, on the device of x.

        Raises TypeError if x doesn't hold numbers, ValueError for another width, NaN or infinity.
        """
        return where_asked(x, self.activation(self.pre_activations(finite_rows("x", x, self.d_model, self.W_dec))))

    def decode(self, latents: Float[torch.Tensor, "*n d_sae"]) -> Float[torch.Tensor, "*n d_model"]:
        """The activations that latents stand for: (..., d_model), on the device of latents. Raises as `encode` does."""
        return where_asked(latents, finite_rows("latents", latents, self.d_sae, self.W_dec) @ self.W_dec + self.b_dec)

    def forward(self, x: Float[torch.Tensor, "*n d_model"]) -> Float[torch.Tensor, "*n d_model"]:
        """The reconstruction of x, on the device of x: decode(encode(x)). Raises as `encode` does."""
        here = finite_rows("x", x, self.d_model, self.W_dec)  # once, so that latents aren't carried to and fro
        return where_asked(x, self.decode(self.encode(here)))

    def loss(self, x: Float[torch.Tensor, "batch d_model"]) -> Losses:
        """The training loss of a batch (batch, d_model), and which latents fired. Raises as `encode` does."""
        raise NotImplementedError

    def target(self, x: Float[torch.Tensor, "batch d_model"]) -> Float[torch.Tensor, "batch d_model"]:
        """What a training batch asks to be reconstructed: here itself."""
        return x

    # ---------------------------------------------------------------------- around a training step

    @torch.no_grad()
    def start_at(self, x: Float[torch.Tensor, "n d_model"]) -> None:
        """Begin with b_dec at the mean of a sample, so that the latents needn't learn it."""
        self.b_dec.copy_(finite_rows("x", x, self.d_model, self.W_dec).mean(0))

    @torch.no_grad()
    def normalise_decoder(self) -> None:
        """Make every decoder row length 1: otherwise a latent can be small and its row long, which cheats the L1."""
        self.W_dec.div_(self.W_dec.norm(dim=1, keepdim=True).clamp_min(1e-8))

    @torch.no_grad()
    def remove_parallel_gradient(self) -> None:
        """Take off the part of the decoder's gradient that would only change the rows' lengths."""
        if self.W_dec.grad is not None:
            along = (self.W_dec.grad * self.W_dec).sum(1, keepdim=True)
            self.W_dec.grad.addcmul_(along, self.W_dec, value=-1)

    @torch.no_grad()
    def count(self, fired: Int[torch.Tensor, "d_sae"], n_tokens: int) -> None:
        """Note which latents fired in a batch of n_tokens."""
        self.tokens_since_fired += n_tokens
        self.tokens_since_fired[fired > 0] = 0

    @torch.no_grad()
    def rescale(self, factor: float) -> None:
        """Make this SAE do for factor * x what it did for x: its latents and reconstruction grow by `factor`.

        ReLU, TopK and thresholds are homogeneous, so only the biases and thresholds have to change. Training runs on
        inputs scaled to a mean length of sqrt(d_model); this brings the result back to the model's own units.
        """
        factor = number("factor", factor, Range(above=0))
        self.b_enc.mul_(factor)
        self.b_dec.mul_(factor)

    # ------------------------------------------------------------------------------------ helpers

    def _batch(self, x: Any) -> torch.Tensor:
        """A checked training batch, in the type of the weights."""
        x = finite_rows("x", x, self.d_model, self.W_dec)
        if x.ndim != 2 or len(x) == 0:
            shape = tuple(x.shape)
            raise ValueError(f"x must be a batch of shape (batch, {self.d_model}), at least one row, got {shape}")
        return x

    def _auxiliary(self, x: torch.Tensor, error: torch.Tensor) -> torch.Tensor:
        """Ask the dead latents to reconstruct what the living ones left over, `error` (Gao et al. 2024).

        A latent that is never on gets no gradient and can never come back. This loss gives it one: the dead latents
        with the largest pre-activations must together explain the error.
        """
        dead = self.dead.nonzero().squeeze(1)
        if len(dead) == 0:
            return x.new_zeros(())
        error = error.detach()
        k = min(len(dead), max(1, self.d_model // 2))
        pre = self.read(x) @ self.W_enc[:, dead] + self.b_enc[dead]
        values, columns = pre.topk(k, dim=-1)
        latents = torch.zeros_like(pre).scatter(-1, columns, values.relu())
        # A handful of dead latents can't explain much and shouldn't be pushed hard to try.
        weight = AUXILIARY_WEIGHT * min(1.0, len(dead) / (self.d_model // 2 or 1))
        return weight * (latents @ self.W_dec[dead] - error).square().sum(-1).mean()


def finite_rows(name: str, value: Any, width: int, like: torch.Tensor) -> torch.Tensor:
    """The value as finite numbers of this width, in the type of `like` and where it is. name: what errors call it."""
    if not isinstance(value, torch.Tensor):
        value = torch.from_numpy(numbers(name, value))
    if value.dtype == torch.bool or value.is_complex() or value.is_meta:
        raise TypeError(f"{name} must be numbers, got a tensor of {value.dtype}")
    if value.ndim < 1 or value.shape[-1] != width:
        raise ValueError(f"{name} must have shape (..., {width}), got {tuple(value.shape)}")
    if not torch.isfinite(value).all():
        raise ValueError(f"{name} holds NaN or infinite values")
    return value.to(like)


def where_asked(asked: Any, answer: torch.Tensor) -> torch.Tensor:
    """The answer on the device of what was asked."""
    return answer.to(asked.device) if isinstance(asked, torch.Tensor) else answer.cpu()


def _squared_error(x: torch.Tensor, reconstruction: torch.Tensor) -> torch.Tensor:
    """Sum over d_model, mean over the batch."""
    return (x - reconstruction).square().sum(-1).mean()


class ReLUSAE(SparseAutoencoder):
    """The first kind: a ReLU, and a price on the sum of the latents (L1).

    l1: the price. Larger is sparser, and shrinks every latent below its true size.
    Source: Bricken et al. 2023 (Towards Monosemanticity); Cunningham et al. 2023, arXiv 2309.08600.
    """

    SETTINGS: tuple[str, ...] = ("l1",)

    def __init__(self, d_model: int, d_sae: int, *, l1: float, **kwargs: Any):
        super().__init__(d_model, d_sae, **kwargs)
        self.l1 = float(number("l1", l1, Range(low=0)))

    def activation(self, pre: torch.Tensor) -> torch.Tensor:
        return pre.relu()

    def loss(self, x: Float[torch.Tensor, "batch d_model"]) -> Losses:
        x = self._batch(x)
        latents = self.encode(x)
        reconstruction = _squared_error(x, self.decode(latents))
        sparsity = self.l1 * latents.sum(-1).mean()
        return Losses(reconstruction + sparsity, reconstruction, sparsity, x.new_zeros(()), (latents > 0).sum(0))


class TopKSAE(SparseAutoencoder):
    """Keep the k largest pre-activations of each activation: sparsity is set, not priced.

    k: how many. auxiliary: whether dead latents are asked to explain the error.
    Source: Gao et al. 2024, arXiv 2406.04093; Makhzani & Frey 2013, arXiv 1312.5663.
    """

    SETTINGS: tuple[str, ...] = ("k", "auxiliary")

    def __init__(self, d_model: int, d_sae: int, *, k: int, auxiliary: bool = True, **kwargs: Any):
        super().__init__(d_model, d_sae, **kwargs)
        self.k = whole("k", k, 1, self.d_sae)
        self.auxiliary = flag("auxiliary", auxiliary)

    def activation(self, pre: torch.Tensor) -> torch.Tensor:
        values, columns = pre.topk(self.k, dim=-1)
        return torch.zeros_like(pre).scatter(-1, columns, values.relu())

    def select(self, x: torch.Tensor) -> sparse.Selected:
        """The latents that are on, as a list instead of a nearly empty matrix; gradients flow through it."""
        return sparse.encode_selected(self.read(x), self.W_enc, self.b_enc, sparse.row_top_k(self.k))

    def loss(self, x: Float[torch.Tensor, "batch d_model"]) -> Losses:
        x = self._batch(x)
        selected = self.select(x)
        decoded = sparse.decode_selected(selected, self.W_dec) + self.b_dec
        reconstruction = _squared_error(x, decoded)
        auxiliary = self._auxiliary(x, x - decoded) if self.auxiliary else x.new_zeros(())
        return Losses(
            reconstruction + auxiliary, reconstruction, x.new_zeros(()), auxiliary, selected.fired(self.d_sae)
        )


class BatchTopKSAE(TopKSAE):
    """Keep the batch * k largest pre-activations of the whole batch: an easy activation uses fewer, a hard one more.

    Which latents are on would then depend on the other activations of the batch, which is no good for reading one
    of them. So training keeps a running mean of the smallest value that was kept, and `encode` uses that threshold.
    Source: Bussmann et al. 2024, arXiv 2412.06410.
    """

    threshold: Float[torch.Tensor, ""]

    def __init__(self, d_model: int, d_sae: int, *, k: int, **kwargs: Any):
        super().__init__(d_model, d_sae, k=k, **kwargs)
        self.register_buffer("threshold", torch.tensor(0.0))

    def activation(self, pre: torch.Tensor) -> torch.Tensor:
        return pre * (pre > self.threshold) * (pre > 0)

    def select(self, x: torch.Tensor) -> sparse.Selected:
        chosen = sparse.encode_selected(self.read(x), self.W_enc, self.b_enc, sparse.batch_top_k(self.k))
        on = chosen.values[chosen.values > 0]
        if self.training and len(on):
            smallest = on.min().detach()
            self.threshold.copy_(smallest if self.threshold == 0 else 0.99 * self.threshold + 0.01 * smallest)
        return chosen

    @torch.no_grad()
    def rescale(self, factor: float) -> None:
        super().rescale(factor)
        self.threshold.mul_(factor)


class MatryoshkaSAE(BatchTopKSAE):
    """A BatchTopK dictionary whose first latents must do a decent job alone.

    groups: sizes of the nested dictionaries, increasing, the last one d_sae. The loss is the mean over prefixes, so a
    general feature in an early prefix can't leave part of its work to a special one in a later prefix.
    Source: Bussmann, Nabeshima, Karvonen & Nanda 2025, arXiv 2503.17547.
    """

    SETTINGS: tuple[str, ...] = ("k", "auxiliary", "groups")

    def __init__(self, d_model: int, d_sae: int, *, k: int, groups: tuple[int, ...], **kwargs: Any):
        super().__init__(d_model, d_sae, k=k, **kwargs)
        sizes = tuple(whole(f"groups[{i}]", size, 1) for i, size in enumerate(sequence("groups", groups, "sizes")))
        if not sizes or sizes[-1] != self.d_sae or any(a >= b for a, b in zip(sizes, sizes[1:])):
            raise ValueError(f"groups must increase and end with d_sae = {self.d_sae}, got {sizes}")
        self.groups = sizes

    def loss(self, x: Float[torch.Tensor, "batch d_model"]) -> Losses:
        x = self._batch(x)
        selected = self.select(x)
        errors = []
        for size in self.groups:
            decoded = sparse.decode_selected(selected.below(size), self.W_dec) + self.b_dec
            errors.append(_squared_error(x, decoded))
        reconstruction = torch.stack(errors).mean()
        auxiliary = self._auxiliary(x, x - decoded) if self.auxiliary else x.new_zeros(())
        return Losses(
            reconstruction + auxiliary, reconstruction, x.new_zeros(()), auxiliary, selected.fired(self.d_sae)
        )


class JumpReLUSAE(SparseAutoencoder):
    """A ReLU that jumps: a latent is on, at its full size, when it exceeds its own learnt threshold.

    l0: the price for each latent that is on. bandwidth: width of the window around the threshold in which its
    gradient is estimated (a step has none of its own). threshold: where all thresholds start.
    Source: Rajamanoharan et al. 2024, arXiv 2407.14435.
    """

    SETTINGS: tuple[str, ...] = ("l0", "bandwidth")

    def __init__(
        self,
        d_model: int,
        d_sae: int,
        *,
        l0: float = 0.0,
        bandwidth: float = 0.1,
        threshold: float = 0.1,
        **kwargs: Any,
    ):
        super().__init__(d_model, d_sae, **kwargs)
        self.l0 = float(number("l0", l0, Range(low=0)))
        self.bandwidth = float(number("bandwidth", bandwidth, Range(above=0)))
        start = math.log(number("threshold", threshold, Range(above=0)))
        # The logarithm is what is learnt, so that a threshold stays positive.
        self.log_threshold = nn.Parameter(torch.full((d_sae,), start))

    @property
    def threshold(self) -> torch.Tensor:
        """(d_sae,) the value each latent must exceed."""
        return self.log_threshold.exp()

    def activation(self, pre: torch.Tensor) -> torch.Tensor:
        return _Jump.apply(pre.relu(), self.threshold, self.bandwidth)

    def jumped(self, pre: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The latents of rectified pre-activations, and the price of those that are on; both reach the thresholds."""
        threshold = self.threshold
        latents = _Jump.apply(pre, threshold, self.bandwidth)
        return latents, self.l0 * _Step.apply(pre, threshold, self.bandwidth).sum(-1).mean()

    def loss(self, x: Float[torch.Tensor, "batch d_model"]) -> Losses:
        x = self._batch(x)
        latents, sparsity = self.jumped(self.pre_activations(x).relu())
        reconstruction = _squared_error(x, self.decode(latents))
        return Losses(reconstruction + sparsity, reconstruction, sparsity, x.new_zeros(()), (latents > 0).sum(0))

    @torch.no_grad()
    def rescale(self, factor: float) -> None:
        super().rescale(factor)
        self.log_threshold.add_(math.log(factor))


class GatedSAE(SparseAutoencoder):
    """Two paths with shared directions: a gate says which latents are on, a magnitude says how much.

    Only the gate pays the L1 price, so the magnitudes needn't shrink.
    l1: the price. Source: Rajamanoharan et al. 2024, arXiv 2404.16014.
    """

    SETTINGS: tuple[str, ...] = ("l1",)

    def __init__(self, d_model: int, d_sae: int, *, l1: float, **kwargs: Any):
        super().__init__(d_model, d_sae, **kwargs)
        self.l1 = float(number("l1", l1, Range(low=0)))
        self.r_mag = nn.Parameter(torch.zeros(d_sae))
        self.b_mag = nn.Parameter(torch.zeros(d_sae))

    def activation(self, pre: torch.Tensor) -> torch.Tensor:
        magnitude = ((pre - self.b_enc) * self.r_mag.exp() + self.b_mag).relu()
        return magnitude * (pre > 0)

    def loss(self, x: Float[torch.Tensor, "batch d_model"]) -> Losses:
        x = self._batch(x)
        gate = self.pre_activations(x)
        latents = self.activation(gate)
        reconstruction = _squared_error(x, self.decode(latents))
        sparsity = self.l1 * gate.relu().sum(-1).mean()
        # The gate's step has no gradient: it learns from having to reconstruct x itself, through a frozen decoder.
        through_gate = gate.relu() @ self.W_dec.detach() + self.b_dec.detach()
        auxiliary = _squared_error(x, through_gate)
        return Losses(reconstruction + sparsity + auxiliary, reconstruction, sparsity, auxiliary, (latents > 0).sum(0))

    @torch.no_grad()
    def rescale(self, factor: float) -> None:
        super().rescale(factor)
        self.b_mag.mul_(factor)


# ------------------------------------------------------------- gradients for a step, estimated in a window


class _Jump(torch.autograd.Function):
    """pre where pre > threshold, else 0."""

    @staticmethod
    def forward(ctx: Any, pre: torch.Tensor, threshold: torch.Tensor, bandwidth: float) -> torch.Tensor:
        ctx.save_for_backward(pre, threshold)
        ctx.bandwidth = bandwidth
        return pre * (pre > threshold)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        pre, threshold = ctx.saved_tensors
        window = ((pre - threshold).abs() < ctx.bandwidth / 2) & (pre > 0)
        grad_threshold = -(threshold / ctx.bandwidth) * window * grad
        return grad * (pre > threshold), grad_threshold.sum_to_size(threshold.shape), None


class _Step(torch.autograd.Function):
    """1 where pre > threshold, else 0. Only the threshold gets a gradient."""

    @staticmethod
    def forward(ctx: Any, pre: torch.Tensor, threshold: torch.Tensor, bandwidth: float) -> torch.Tensor:
        ctx.save_for_backward(pre, threshold)
        ctx.bandwidth = bandwidth
        return (pre > threshold).to(pre.dtype)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[None, torch.Tensor, None]:
        pre, threshold = ctx.saved_tensors
        window = ((pre - threshold).abs() < ctx.bandwidth / 2) & (pre > 0)
        return None, (-(1 / ctx.bandwidth) * window * grad).sum_to_size(threshold.shape), None
