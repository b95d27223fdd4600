"""Switching latents off inside the running model.

Two ways, and the difference matters. Subtracting a latent's contribution leaves everything else as it was, also the
part of the activation that the SAE does not reconstruct (its error). Replacing the activation by a reconstruction
without that latent throws the error away as well, and the error alone can change the output more than any latent. The
first asks what the latent does; the second mixes that with how incomplete the dictionary is (Marks et al. 2024, Sparse
Feature Circuits, arXiv 2403.19647, treat the error as a node of its own for this reason).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from utils.reading.activations import residual_norms
from utils.sae.models import SparseAutoencoder
from utils.writing.decoding import places

__all__ = ["ablate_latents"]

HookFunction = Callable[..., torch.Tensor]


def ablate_latents(
    sae: SparseAutoencoder,
    latents: Sequence[int],
    *,
    keep_error: bool = True,
    massive_norm: float = float("inf"),
) -> HookFunction:
    """A hook function that sets these latents to zero at every position but the first, wherever it is hooked in.

    keep_error: subtract the latents' contribution only (True), or put the reconstruction without them in the place
    of the activation (False; with no latents given that is the plain reconstruction).
    massive_norm: longer activations, and the document start, keep their value.
    Use: model.run_with_hooks(tokens, fwd_hooks=[("blocks.12.hook_resid_post", ablate_latents(dictionary, [7]))]).
    Raises ValueError for a latent that doesn't exist.
    """
    chosen = torch.tensor(list(latents), dtype=torch.long)
    if len(chosen) and not (int(chosen.min()) >= 0 and int(chosen.max()) < sae.d_sae):
        raise ValueError(f"latents must be between 0 and {sae.d_sae - 1}, got {list(latents)}")

    @torch.no_grad()
    def hook_function(acts: torch.Tensor, hook: Any = None) -> torch.Tensor:
        values = sae.encode(acts)
        if keep_error:
            out = acts - values[..., chosen] @ sae.W_dec[chosen]
        else:
            values = values.clone()
            values[..., chosen] = 0
            out = sae.decode(values)
        # Not acts[:, 0]: while text is generated that is the newest token, not the document start.
        alone = (residual_norms(acts) > massive_norm) | (places(acts).positions == 0)
        return torch.where(alone[..., None], acts, out.to(acts.dtype))

    return hook_function
