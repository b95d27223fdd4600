"""How well do transcoders stand in for MLPs? Measured on texts that they were not trained on.

- Unexplained variance (FVU): the squared error between what the MLP writes and what the transcoder writes, over the
  variance of what the MLP writes. 0 is perfect, 1 no better than always writing the mean.
- L0: how many latents are on; dead: the share that never was.
- Loss: what the next token costs when the MLP of one block, or of several at once, is replaced. Both ends of the scale
  are given, the mean's and zero's: replacing an MLP by zero hurts more, so the same transcoder looks better against it.

FVU can be small and the loss bad, where what is left out is what the model reads. And errors of one block go into the
next: what a whole set costs isn't the sum of what each costs.

Document starts, and tokens for which an MLP writes something massive, were left out of training. They are left out of
the FVU too; when MLPs are replaced, those tokens keep what the MLP writes. How many they are is in the result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from utils.devices import on_device_of
from utils.inputs import checked
from utils.progress import tqdm
from utils.reading.likelihood import token_log_probs
from utils.reading.massive import is_massive
from utils.reading.tokens import TokenTexts, token_rows
from utils.sae.evaluation import DENSE, LossRecovered
from utils.standin.training import harvest
from utils.standin.transcoders import Transcoder, check_set, hooks_of

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

__all__ = ["BlockFit", "block_fits", "output_means", "replaced_loss"]


@dataclass(frozen=True)
class BlockFit:
    """How well one transcoder writes what its MLP writes.

    unexplained: squared error / variance (FVU); l0: latents on per token; dead, dense: shares of the latents that were
    on never, and for more than a tenth of the tokens; n: tokens; n_massive: tokens left out for a massive output.
    """

    layer: int
    unexplained: float
    l0: float
    dead: float
    dense: float
    n: int
    n_massive: int


class _Sums:
    """What has to be added up over the tokens of one block."""

    def __init__(self, one: Transcoder):
        self.one = one
        self.n = self.n_massive = 0
        self.error = self.squares = 0.0
        self.total = torch.zeros(one.d_model, dtype=torch.float64)
        self.on = torch.zeros(one.d_sae, dtype=torch.float64)

    def add(self, x: Tensor, y: Tensor) -> None:
        massive = is_massive(y, self.one.massive_norm, factor=1)
        x, y = x[~massive], y[~massive]
        latents = self.one.encode(x)
        written = self.one.decode(latents)
        if self.one.W_skip is not None:
            written = written + self.one.skip(x)
        self.n += len(y)
        self.n_massive += int(massive.sum())
        self.error += float((y - written.to(y)).double().square().sum())
        self.squares += float(y.double().square().sum())
        self.total += y.double().sum(0)
        self.on += (latents > 0).sum(0)

    def fit(self) -> BlockFit:
        if self.n < 2:
            raise ValueError(
                f"texts hold {self.n} ordinary token(s) for block {self.one.layer}, at least two are needed"
            )
        variance = self.squares - float(self.total.square().sum()) / self.n
        if variance <= 0:
            raise ValueError(f"texts: block {self.one.layer}'s MLP writes the same for each token: nothing to explain")
        share = self.on / self.n
        return BlockFit(
            layer=self.one.layer,
            unexplained=self.error / variance,
            l0=float(share.sum()),
            dead=float((share == 0).double().mean()),
            dense=float((share > DENSE).double().mean()),
            n=self.n,
            n_massive=self.n_massive,
        )


@checked
@torch.no_grad()
def block_fits(
    model: TransformerBridge, transcoders: Mapping[int, Transcoder], texts: TokenTexts
) -> dict[int, BlockFit]:
    """FVU, L0, dead and dense latents of each transcoder of a set, in one reading of the texts: block -> BlockFit.

    Memory doesn't grow with the number of texts. Raises ValueError as `check_set` does for those of another model, and
    for no transcoders, a text of one token, and texts with fewer than two ordinary tokens.
    """
    found = check_set(transcoders, model, blocks=list(transcoders))
    sums = {block: _Sums(one) for block, one in found.items()}
    for pairs in harvest(model, texts, list(found)):
        for block, (x, y) in pairs.items():
            sums[block].add(x, y)
    return {block: each.fit() for block, each in sums.items()}


@checked
def output_means(
    model: TransformerBridge, texts: TokenTexts, blocks: list[int], *, bounds: Mapping[int, float] | None = None
) -> dict[int, Float[Tensor, " d_model"]]:
    """What each block's MLP writes on average, document starts left out: block -> (d_model,), for mean ablation.

    texts: training texts. bounds: outputs longer than this are left out, as a transcoder's massive_norm.
    Raises ValueError as `harvest` does, and where nothing is left.
    """
    totals: dict[int, Any] = dict.fromkeys(blocks, 0.0)
    counts = dict.fromkeys(blocks, 0)
    for pairs in harvest(model, texts, blocks):
        for block, (_, y) in pairs.items():
            kept = y[~is_massive(y, (bounds or {}).get(block, float("inf")), factor=1)]
            totals[block] = totals[block] + kept.double().sum(0)
            counts[block] += len(kept)
    for block, count in counts.items():
        if count == 0:
            raise ValueError(f"texts hold no ordinary token for block {block}")
    return {block: (total / counts[block]).float() for block, total in totals.items()}


@checked
@torch.no_grad()
def replaced_loss(
    model: TransformerBridge,
    transcoders: Mapping[int, Transcoder],
    texts: TokenTexts,
    means: Mapping[int, Float[Tensor, " d_model"]],
    *,
    progress: bool = True,
) -> LossRecovered:
    """Replace the MLPs of all blocks of a set at once: by their transcoders, by their means, by zero.

    transcoders: one for one MLP, all for the whole model; later ones read what earlier ones made of the stream.
    means: `output_means` of training texts, for each of those blocks. The document start, and tokens whose MLP writes
    something massive in that very run, keep what it writes. The four runs of a text are one batch; losses are in nats
    a token, the first token after the start is not counted.
    Raises ValueError for no transcoders, those of another model, a missing mean, and a text of fewer than three tokens.
    """
    found = check_set(transcoders, model, blocks=list(transcoders))
    if not found:
        raise ValueError("transcoders: there are none, so nothing would be replaced")
    for block, one in found.items():
        if block not in means:
            raise ValueError(f"means: none for block {block}; there are {sorted(means)}")
        if means[block].shape != (one.d_model,):
            raise ValueError(f"means[{block}] must have shape ({one.d_model},), got {tuple(means[block].shape)}")
    left: list[int] = []
    hooks: list[Any] = [hook for block, one in found.items() for hook in _replacing(one, means[block], left)]
    rows: list[tuple[int, float, float, float, float]] = []
    for ids in tqdm(token_rows(model, texts, shortest=3), desc="replacing", disable=not progress):
        batch = on_device_of(model, ids.expand(4, -1))
        logits = model.run_with_hooks(batch, fwd_hooks=hooks)
        losses = -token_log_probs(logits[:, 1:-1], batch[:, 2:]).mean(1)
        clean, spliced, mean, zero = losses.tolist()
        rows.append((len(ids) - 2, clean, spliced, mean, zero))
    table = torch.tensor(rows, dtype=torch.float64)
    weights = table[:, 0]
    clean, spliced, mean, zero = (float((column * weights).sum() / weights.sum()) for column in table[:, 1:].T)
    return LossRecovered(clean, spliced, mean, zero, n=int(weights.sum()), n_left=sum(left), per_text=tuple(rows))


def _replacing(one: Transcoder, mean: Tensor, left: list[int]) -> list[tuple[str, Callable[..., Any]]]:
    """Hooks that replace one MLP in a batch of four runs: as it is, by its transcoder, by the mean, by zero."""
    read, written = hooks_of(one.layer)
    seen: list[Tensor] = []

    def remember(x: Tensor, hook: Any = None) -> None:
        seen[:] = [x[1]]

    def replace(y: Tensor, hook: Any = None) -> Tensor:
        alone = is_massive(y, one.massive_norm, factor=1)
        alone[:, 0] = True
        left.append(int(alone[1].sum()))
        others = (one(seen[0]), mean.to(y.device).expand_as(y[0]), torch.zeros_like(y[0]))
        made = torch.stack([y[0], *(other.to(y) for other in others)])
        return torch.where(alone[..., None], y, made)

    return [(read, remember), (written, replace)]
