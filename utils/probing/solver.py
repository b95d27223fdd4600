"""The logistic solver: preconditioned conjugate gradients on a whole stack of layers."""

from __future__ import annotations

import torch
from jaxtyping import Float

from utils.probing.inputs import Labels

CHUNK_BYTES = 8 * 2**20  # layers fitted together on a CPU: as many as stay in its cache


def logistic_stack(
    acts: Float[torch.Tensor, "layer n d_model"],
    labels: Labels,
    l2: float,
    bias: bool,
    scale: str,
    shift: Float[torch.Tensor, "layer d_model"],
    max_iterations: int,
    tolerance: float,
) -> tuple[Float[torch.Tensor, "layer d_model"], Float[torch.Tensor, " layer"]]:
    """Logistic fits of all layers about `shift`, in chunks that stay in the processor's cache."""
    n_layers, n, d = acts.shape
    chunk = max(1, CHUNK_BYTES // (n * d * acts.element_size())) if acts.device.type == "cpu" else n_layers
    chunk = min(chunk, n_layers)
    # One buffer for all chunks: fresh memory from the operating system costs more than the arithmetic.
    buffer, scratch = acts.new_empty(chunk, n, d), acts.new_empty(n, d)
    weights, offsets = [], []
    for i in range(0, n_layers, chunk):
        part = acts[i : i + chunk]
        features = torch.sub(part, shift[i : i + chunk].unsqueeze(-2), out=buffer[: len(part)])
        squares = torch.stack([torch.mul(layer, layer, out=scratch).sum(0) for layer in features])
        if scale == "none":
            width = torch.ones_like(squares)
        else:
            width = (squares / n).sqrt().clamp_min(1e-30)
            if scale == "rms":
                width = width.square().mean(-1, keepdim=True).sqrt().expand(-1, d)
            width = torch.where(width > 1e-6 * width.amax(-1, keepdim=True), width, torch.ones_like(width))
            features.mul_(1 / width.unsqueeze(-2))
        total = (squares / width.square()).sum(-1)
        weight, offset = _conjugate_gradient(features, total, labels, l2, bias, max_iterations, tolerance)
        weights.append(weight / width)
        offsets.append(offset)
    return torch.cat(weights), torch.cat(offsets)


def _times(matrix: Float[torch.Tensor, "layer n d"], vector: Float[torch.Tensor, "layer d"]) -> torch.Tensor:
    """Matrix-vector products of a stack. On a CPU a loop reads memory three times faster than `bmm` does."""
    if matrix.device.type == "cpu":
        out = vector.new_empty(matrix.shape[:2])
        for m, v, row in zip(matrix, vector, out):
            torch.mv(m, v, out=row)
        return out
    return torch.bmm(matrix, vector.unsqueeze(-1)).squeeze(-1)


def _strongest(
    features: Float[torch.Tensor, "layer n d_model"], rank: int
) -> tuple[Float[torch.Tensor, "layer d_model rank"], Float[torch.Tensor, "layer rank"]]:
    """About the `rank` strongest orthonormal directions of XᵀX and its size along each, from a random sketch.

    Nyström's approximation: two products with the features, or with half of their rows where there are many (this is
    for a preconditioner, which need not be exact). Directions that aren't there come out as zeros.
    Source: Halko et al. 2011, arXiv 0909.4061, section 5.5; Frangella et al. 2021, arXiv 2110.02820 (for solvers).
    """
    n, d = features.shape[-2:]
    features = features[:, :: 2 if n >= 8 * rank else 1]
    sketch = torch.randn(d, rank, generator=torch.Generator().manual_seed(0)).to(features)
    seen = features @ sketch  # (layer, n, rank)
    image = (features.mT @ seen).double()  # XᵀX times the sketch
    core = seen.mT.double() @ seen.double()
    jitter = 1e-9 * core.diagonal(dim1=-2, dim2=-1).sum(-1).clamp_min(1e-30)
    core = core + jitter[:, None, None] * torch.eye(rank, dtype=core.dtype, device=core.device)
    root = torch.linalg.cholesky(core)
    half = torch.linalg.solve_triangular(root, image.mT, upper=False).mT  # half halfᵀ approximates XᵀX
    values, vectors = torch.linalg.eigh(half.mT @ half)
    there = values > 1e-7 * values.amax(-1, keepdim=True)
    inverse = torch.where(there, values.clamp_min(1e-30).rsqrt(), torch.zeros_like(values))
    basis = half @ (vectors * inverse.unsqueeze(-2))
    values = values * (n / features.shape[-2])
    return basis.to(features), torch.where(there, values, torch.zeros_like(values)).to(features)


def _conjugate_gradient(
    features: Float[torch.Tensor, "layer n d_model"],
    total: Float[torch.Tensor, " layer"],
    labels: Labels,
    l2: float,
    bias: bool,
    max_iterations: int,
    tolerance: float,
    rank: int = 48,
) -> tuple[Float[torch.Tensor, "layer d_model"], Float[torch.Tensor, " layer"]]:
    """Minimise sum softplus(-s (Xw + b)) + l2/2 |w|² for each layer, by preconditioned conjugate gradients.

    The logistic curvature never exceeds XᵀX / 4 + l2 (Böhning & Lindsay 1988). Its `rank` largest directions, which are
    what makes residual streams hard to fit, are divided out. The margins are linear in the step, so the line search
    costs no pass over the features. total: the sum of squares of each layer's features. Overwrites features: rows of
    False labels change their sign.
    """
    n_layers, n, d = features.shape
    sign = torch.where(labels, 1.0, -1.0).to(features)
    rank = min(rank, d, n)
    basis, values = _strongest(features, rank)
    rest = ((total - values.sum(-1)) / max(1, d - rank)).clamp_min(0) / 4 + l2
    gain = 1 / (values / 4 + l2) - 1 / rest.unsqueeze(-1)
    basis_t = basis.mT.contiguous()
    features.mul_(sign.unsqueeze(-1))
    features_t = features.mT

    def precondition(slope: torch.Tensor) -> torch.Tensor:
        return slope / rest.unsqueeze(-1) + _times(basis, gain * _times(basis_t, slope))

    dot = torch.linalg.vecdot
    weight = features.new_zeros(n_layers, d)
    # The best constant guess to begin with: features are centred, so bias and weights hardly interact.
    start = float(torch.logit(labels.double().mean())) if bias else 0.0
    offset = features.new_full((n_layers,), start)
    margin = (start * sign).expand(n_layers, n)
    wrong = torch.sigmoid(-margin)  # the probability given to the wrong label
    step = step_bias = old_slope = old_slope_bias = old_size = None
    for _ in range(max_iterations):
        slope = l2 * weight - _times(features_t, wrong)
        slope_bias = -(wrong @ sign) if bias else torch.zeros_like(offset)
        largest = torch.maximum(slope.abs().amax(-1), slope_bias.abs()) / n
        if bool((largest <= tolerance).all()):
            break
        z, z_bias = precondition(slope), slope_bias * (4 / n)
        size = dot(z, slope) + z_bias * slope_bias
        if step is None:
            step, step_bias = -z, -z_bias
        else:  # Polak & Ribière, restarted when it would not descend
            overlap = dot(z, old_slope) + z_bias * old_slope_bias
            beta = ((size - overlap) / old_size.clamp_min(1e-30)).clamp_min(0)
            step, step_bias = beta.unsqueeze(-1) * step - z, beta * step_bias - z_bias
            uphill = dot(step, slope) + step_bias * slope_bias >= 0
            if bool(uphill.any()):
                step = torch.where(uphill.unsqueeze(-1), -z, step)
                step_bias = torch.where(uphill, -z_bias, step_bias)
        old_slope, old_slope_bias, old_size = slope, slope_bias, size
        moved = _times(features, step) + step_bias.unsqueeze(-1) * sign
        along, curve, squared = l2 * dot(weight, step), l2 * dot(step, step), moved.square()
        descent = along - dot(wrong, moved)
        far, trial, slant = torch.zeros_like(offset), wrong, descent
        for _ in range(2):  # Newton's method on one number a layer
            bend = dot(trial - trial.square(), squared) + curve
            far = far - slant / bend.clamp_min(1e-30)
            trial = torch.sigmoid(-margin - far.unsqueeze(-1) * moved)
            slant = along + far * curve - dot(trial, moved)
        overshot = (slant.abs() > 0.5 * descent.abs()) | ~torch.isfinite(far)
        if bool(overshot.any()):
            sure = -descent / (squared.sum(-1) / 4 + curve).clamp_min(1e-30)  # the bound's step: it never overshoots
            far = torch.where(overshot, sure, far)
            trial = torch.sigmoid(-margin - far.unsqueeze(-1) * moved)
        weight = weight + far.unsqueeze(-1) * step
        offset = offset + far * step_bias
        margin = margin + far.unsqueeze(-1) * moved
        wrong = trial
    return weight, offset
