"""Is this dictionary any good? The standard measures, each with what it is measured against.

An SAE can reconstruct well and still break the model, or keep the model whole and consist of dead latents. So several
numbers are needed, all on text the SAE has never seen:

- variance explained: how much of what varies between activations is in the reconstruction;
- L0: how many latents are on;
- loss recovered: how much of the model's next-token loss survives when the activations are *replaced* by their
  reconstructions, on a scale where 1 is the untouched model and 0 is an ablation. The scale depends on the
  ablation: replacing by zero hurts much more than replacing by the mean, so the same SAE looks better against
  zero. Both are given;
- dead latents (never on) and dense ones (on for more than a tenth of all tokens);
- stability: how many directions come back when training starts from another seed.

A dictionary may be on a GPU or not, activations too: what comes back is on the CPU.

Source of the measures: Karvonen et al. 2025 (SAEBench, arXiv 2503.09532), sections on core evaluations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from utils.devices import on_device_of
from utils.inputs import Limit, checked
from utils.progress import tqdm
from utils.reading.likelihood import token_log_probs
from utils.reading.massive import is_massive
from utils.reading.tokens import TokenTexts, token_rows
from utils.sae.models import SparseAutoencoder

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

__all__ = ["Fit", "LossRecovered", "density", "fit", "loss_recovered", "matched_cosines", "variance_explained"]

DENSE = 0.1  # a latent on for more than this share of tokens
ROWS = 4096  # activations encoded at a time


@dataclass(frozen=True)
class Fit:
    """How well an SAE describes a set of activations.

    variance_explained: 1 - squared error / variance; l0: latents on per activation; dead, dense: shares of the
    latents; shrinkage: length of the reconstruction over length of the activation, both with b_dec taken off
    (below 1 where latents are too small); n: activations.
    """

    variance_explained: float
    l0: float
    dead: float
    dense: float
    shrinkage: float
    n: int


@dataclass(frozen=True)
class LossRecovered:
    """Next-token loss, in nats a token, when one layer's activations are replaced.

    clean: untouched; spliced: by the SAE's reconstruction; mean, zero: by the mean activation and by zero; n: tokens
    predicted; n_left: tokens whose activations were left alone (document starts and massive activations).
    per_text: for each text (n_tokens, clean, spliced, mean, zero), for intervals over texts.
    """

    clean: float
    spliced: float
    mean: float
    zero: float
    n: int
    n_left: int
    per_text: tuple[tuple[int, float, float, float, float], ...]

    @property
    def against_mean(self) -> float:
        """Share of the loss recovered where 0 is mean ablation. ValueError where that ablation costs nothing."""
        return self._recovered("mean", self.mean)

    @property
    def against_zero(self) -> float:
        """Share of the loss recovered where 0 is zero ablation. ValueError where that ablation costs nothing."""
        return self._recovered("zero", self.zero)

    def _recovered(self, name: str, ablated: float) -> float:
        if ablated == self.clean:
            raise ValueError(f"{name} ablation leaves the loss at {self.clean}: there is nothing to recover")
        return (ablated - self.spliced) / (ablated - self.clean)


@checked
def variance_explained(x: Float[Tensor, "n d_model"], reconstruction: Float[Tensor, "n d_model"]) -> float:
    """1 - (squared error) / (squared distance from the mean), over all rows and dimensions together.

    1 is perfect, 0 is no better than answering the mean, below 0 is worse than that.
    Raises ValueError if shapes differ, there are fewer than two rows, or all rows are the same.
    """
    if len(x) < 2:
        raise ValueError(f"x must have at least two rows, or there is no variance, got {len(x)}")
    variance = (x - x.mean(0)).double().square().sum()
    if variance == 0:
        raise ValueError("x must have rows that differ, or there is no variance to explain; all are the same")
    return float(1 - (x - reconstruction.to(x)).double().square().sum() / variance)


@checked
@torch.no_grad()
def density(sae: SparseAutoencoder, x: Float[Tensor, "n d_model"]) -> Float[Tensor, "d_sae"]:
    """For each latent the share of activations it is on for: (d_sae,). Raises ValueError for an empty x."""
    if len(x) == 0:
        raise ValueError("x is empty: give at least one activation")
    on = torch.zeros(sae.d_sae)
    for rows in x.split(ROWS):
        on += (sae.encode(rows) > 0).sum(0).cpu()
    return on / len(x)


@checked
@torch.no_grad()
def fit(sae: SparseAutoencoder, x: Float[Tensor, "n d_model"]) -> Fit:
    """All measures that need only activations, in one pass. x: (n, d_model), ordinary tokens, n of at least 2."""
    if len(x) == 0:
        raise ValueError("x is empty: give at least two activations")
    share, parts = torch.zeros(sae.d_sae), []
    for rows in x.split(ROWS):
        latents = sae.encode(rows)
        share += (latents > 0).sum(0).cpu() / len(x)
        parts.append(sae.decode(latents))
    reconstruction = torch.cat(parts)
    b_dec = sae.b_dec.to(x)
    lengths = (reconstruction.to(x) - b_dec).norm(dim=1) / (x - b_dec).norm(dim=1).clamp_min(1e-8)
    return Fit(
        variance_explained=variance_explained(x, reconstruction),
        l0=float(share.sum()),
        dead=float((share == 0).float().mean()),
        dense=float((share > DENSE).float().mean()),
        shrinkage=float(lengths.mean()),
        n=len(x),
    )


@checked
@torch.no_grad()
def loss_recovered(
    model: TransformerBridge,
    sae: SparseAutoencoder,
    hook: str,
    texts: TokenTexts,
    mean: Float[Tensor, "d_model"],
    *,
    massive_norm: Limit = math.inf,
    progress: bool = True,
) -> LossRecovered:
    """Replace the activations at `hook` by their reconstruction, by the mean, by zero; compare next-token losses.

    mean: (d_model,) the mean activation, from *training* text. massive_norm: activations longer than this, and the
    document start, keep their value in every condition, because an SAE trained without them can't be asked about them.
    The four conditions of a text run as one batch.
    Raises ValueError for no texts, a text of fewer than two tokens, or a mean of the wrong shape.
    """
    if hook not in model.hook_dict:
        raise ValueError(f"hook must be one of the model's hook points, as 'blocks.0.hook_resid_post', got {hook!r}")
    if mean.shape != (sae.d_model,):
        raise ValueError(f"mean must have shape ({sae.d_model},), got {tuple(mean.shape)}")
    rows: list[tuple[int, float, float, float, float]] = []
    n_left = 0

    def replace(acts: Tensor, hook: Any = None) -> Tensor:
        nonlocal n_left
        clean = acts[0]
        alone = is_massive(clean, massive_norm, factor=1)
        alone[0] = True
        n_left += int(alone.sum())
        conditions = (clean, sae(clean), mean.to(acts.device).expand_as(clean), torch.zeros_like(clean))
        out = torch.stack([one.to(acts) for one in conditions])
        out[:, alone] = clean[alone]
        return out

    # The document start predicts the first token from nothing, in every condition: leave that one out.
    for ids in tqdm(token_rows(model, texts, shortest=3), desc="replacing", disable=not progress):
        batch = on_device_of(model, ids.expand(4, -1))
        logits = model.run_with_hooks(batch, fwd_hooks=[(hook, replace)])
        losses = -token_log_probs(logits[:, 1:-1], batch[:, 2:]).mean(1)
        clean, spliced, ablated_mean, ablated_zero = losses.tolist()
        rows.append((len(ids) - 2, clean, spliced, ablated_mean, ablated_zero))
    table = torch.tensor(rows, dtype=torch.float64)
    weights = table[:, 0]
    clean, spliced, ablated_mean, ablated_zero = (
        float((column * weights).sum() / weights.sum()) for column in table[:, 1:].T
    )
    return LossRecovered(
        clean=clean,
        spliced=spliced,
        mean=ablated_mean,
        zero=ablated_zero,
        n=int(weights.sum()),
        n_left=n_left,
        per_text=tuple(rows),
    )


@checked
@torch.no_grad()
def matched_cosines(mine: Float[Tensor, "n d_model"], others: Float[Tensor, "m d_model"]) -> Float[Tensor, "n"]:
    """For each direction of `mine` the cosine with the most similar of `others`: (n,).

    With two SAEs that differ only in their seed this measures stability. Two of yours may share a match: this is the
    usual maximum, not an assignment. Compare with random directions, whose maximum is far from zero too.
    Source: Bricken et al. 2023; Paulo & Belrose 2025 (arXiv 2501.16615) for how low it can be.
    """
    for name, value in (("mine", mine), ("others", others)):
        if len(value) == 0:
            raise ValueError(f"{name} must hold at least one direction, got shape {tuple(value.shape)}")
    others = others.to(mine)
    a = mine / mine.norm(dim=1, keepdim=True).clamp_min(1e-12)
    b = others / others.norm(dim=1, keepdim=True).clamp_min(1e-12)
    return torch.cat([(rows @ b.t()).max(dim=1).values for rows in a.split(1024)]).cpu()
