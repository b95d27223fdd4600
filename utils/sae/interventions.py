"""Switching latents off inside the running model.

Two ways, and the difference matters. Subtracting a latent's contribution leaves everything else as it was, also the
part of the activation that the SAE does not reconstruct (its error). Replacing the activation by a reconstruction
without that latent throws the error away as well, and the error alone can change the output more than any latent. The
first asks what the latent does; the second mixes that with how incomplete the dictionary is (Marks et al. 2024, Sparse
Feature Circuits, arXiv 2403.19647, treat the error as a node of its own for this reason).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from utils.inputs import Index, Limit, checked
from utils.reading.massive import is_massive
from utils.sae.models import SparseAutoencoder
from utils.writing.decoding import places

__all__ = ["ablate_latents"]

HookFunction = Callable[..., Tensor]


@checked
def ablate_latents(
    sae: SparseAutoencoder,
    latents: Sequence[Index],
    *,
    keep_error: bool = True,
    massive_norm: Limit = math.inf,
) -> HookFunction:
    """A hook function that sets these latents to zero at every position but the first, wherever it is hooked in.

    keep_error: subtract the latents' contribution only (True), or put the reconstruction without them in the place
    of the activation (False; with no latents given that is the plain reconstruction).
    massive_norm: longer activations, and the document start, keep their value. The dictionary may be on another device
    than the model.
    Use: model.run_with_hooks(tokens, fwd_hooks=[("blocks.12.hook_resid_post", ablate_latents(dictionary, [7]))]).
    Raises ValueError for a latent that doesn't exist.
    """
    if any(latent >= sae.d_sae for latent in latents):
        raise ValueError(f"latents must be between 0 and {sae.d_sae - 1}, got {list(latents)}")

    chosen = list(latents)

    @torch.no_grad()
    def hook_function(acts: Tensor, hook: Any = None) -> Tensor:
        here = acts.to(sae.W_dec)
        values = sae.encode(here)
        if keep_error:
            out = here - values[..., chosen] @ sae.W_dec[chosen]
        else:
            values = values.clone()
            values[..., chosen] = 0
            out = sae.decode(values)
        # Not acts[:, 0]: while text is generated that is the newest token, not the document start.
        alone = is_massive(acts, massive_norm, factor=1) | (places(acts).positions.to(acts.device) == 0)
        return torch.where(alone[..., None], acts, out.to(acts))

    return hook_function
