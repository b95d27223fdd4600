"""The logistic solver: preconditioned conjugate gradients on a whole stack of layers, and Newton's method for the rest.

When to stop. The penalised loss is curved by at least `l2` in every direction of the weights, so the weights can't be
further from the minimum than |slope| / l2. A fit is done once that is below `tolerance` times the length of the
weights: a bound on the relative error of what is returned, and not a small number whose meaning changes with the data.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float

CHUNK_BYTES = 8 * 2**20  # layers fitted together on a CPU: as many as stay in its cache


def logistic_stack(
    acts: Float[torch.Tensor, "layer n d_model"],
    labels: Bool[torch.Tensor, " n"],
    l2: float,
    bias: bool,
    scale: str,
    shift: Float[torch.Tensor, "layer d_model"],
    max_iterations: int,
    tolerance: float,
) -> tuple[Float[torch.Tensor, "layer d_model"], Float[torch.Tensor, " layer"], list[int]]:
    """Logistic fits of all layers about `shift`, in chunks that stay in the processor's cache.

    Returns weights, biases, and the layers that even Newton's method left short of the tolerance.
    """
    n_layers, n, d = acts.shape
    chunk = max(1, CHUNK_BYTES // (n * d * acts.element_size())) if acts.device.type == "cpu" else n_layers
    chunk = min(chunk, n_layers)
    # One buffer for all chunks: fresh memory from the operating system costs more than the arithmetic.
    buffer, scratch = acts.new_empty(chunk, n, d), acts.new_empty(n, d)
    sign = torch.where(labels, 1.0, -1.0).to(acts)
    weights, offsets, unfinished = [], [], []
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
        weight, offset, done = _conjugate_gradient(features, total, sign, l2, bias, max_iterations, tolerance)
        for k in torch.nonzero(~done).flatten().tolist():
            found = _newton(features[k], sign, weight[k], offset[k], l2, bias, tolerance)
            weight[k], offset[k] = found[0].to(weight), found[1].to(offset)
            if not found[2]:
                unfinished.append(i + k)
        weights.append(weight / width)
        offsets.append(offset)
    return torch.cat(weights), torch.cat(offsets), unfinished


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
    sign: Float[torch.Tensor, " n"],
    l2: float,
    bias: bool,
    max_iterations: int,
    tolerance: float,
    rank: int = 48,
) -> tuple[Float[torch.Tensor, "layer d_model"], Float[torch.Tensor, " layer"], Bool[torch.Tensor, " layer"]]:
    """Minimise sum softplus(-s (Xw + b)) + l2/2 |w|² for each layer, by preconditioned conjugate gradients.

    The logistic curvature never exceeds XᵀX / 4 + l2 (Böhning & Lindsay 1988). Its `rank` largest directions, which are
    what makes residual streams hard to fit, are divided out. The margins are linear in the step, so the line search
    costs no pass over the features. total: the sum of squares of each layer's features. sign: 1 for True labels, -1 for
    False ones. Overwrites features: rows of False labels change their sign. Returns weights, biases, and which layers
    are done.
    """
    n_layers, n, d = features.shape
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
    start = float(torch.logit((sign > 0).double().mean())) if bias else 0.0
    offset = features.new_full((n_layers,), start)
    margin = (start * sign).expand(n_layers, n)
    wrong = torch.sigmoid(-margin)  # the probability given to the wrong label
    step, step_bias = torch.zeros_like(weight), torch.zeros_like(offset)
    old_slope, old_slope_bias, old_size = step, step_bias, step_bias
    for k in range(max_iterations + 1):
        slope = l2 * weight - _times(features_t, wrong)
        slope_bias = -(wrong @ sign) if bias else torch.zeros_like(offset)
        done = _close_enough(slope, slope_bias, weight, margin, wrong, l2, tolerance)
        if k == max_iterations or bool(done.all()):
            break
        z, z_bias = precondition(slope), slope_bias * (4 / n)
        size = dot(z, slope) + z_bias * slope_bias
        if k == 0:
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
    return weight, offset, done


def _close_enough(
    slope: Float[torch.Tensor, "*layer d_model"],
    slope_bias: Float[torch.Tensor, "*layer"],
    weight: Float[torch.Tensor, "*layer d_model"],
    margin: Float[torch.Tensor, "*layer n"],
    wrong: Float[torch.Tensor, "*layer n"],
    l2: float,
    tolerance: float,
) -> Bool[torch.Tensor, "*layer"]:
    """Whether a fit is within `tolerance` of the exact one: the weights by the bound in this module's docstring.

    The bias is not penalised; its own curvature is the sum of p (1 - p), and its error is held against the margins.
    """
    close = slope.norm(dim=-1) <= tolerance * l2 * weight.norm(dim=-1)
    curvature = (wrong * (1 - wrong)).sum(-1)
    return close & (slope_bias.abs() <= tolerance * curvature * margin.square().mean(-1).sqrt())


def _newton(
    features: Float[torch.Tensor, "n d_model"],
    sign: Float[torch.Tensor, " n"],
    weight: Float[torch.Tensor, " d_model"],
    offset: Float[torch.Tensor, ""],
    l2: float,
    bias: bool,
    tolerance: float,
    max_steps: int = 100,
) -> tuple[Float[torch.Tensor, " d_model"], Float[torch.Tensor, ""], bool]:
    """Finish one layer in float64 with Newton's method, where single precision or patience didn't suffice.

    A weak penalty on classes that can be separated leaves a valley so flat that gradients need thousands of steps; with
    the exact curvature some ten will do. It is solved in the smaller of (n, d_model) dimensions. features: rows of
    False labels have their sign changed, as after `_conjugate_gradient`. Returns weight, bias, whether it is done.
    """
    features, sign, weight, offset = (x.double() for x in (features, sign, weight, offset))
    n, d = features.shape

    def loss(w: torch.Tensor, b: torch.Tensor) -> float:
        return float(torch.nn.functional.softplus(-(features @ w + b * sign)).sum() + l2 / 2 * w @ w)

    for _ in range(max_steps):
        margin = features @ weight + offset * sign
        wrong = torch.sigmoid(-margin)
        slope, slope_bias = l2 * weight - features.mT @ wrong, -(wrong @ sign) * bias
        if bool(_close_enough(slope, slope_bias, weight, margin, wrong, l2, tolerance)):
            return weight, offset, True
        curve = wrong * (1 - wrong)
        half = features * curve.sqrt().unsqueeze(-1)
        mixed = features.mT @ (curve * sign)  # how weights and bias pull on each other
        sides = torch.stack([slope, mixed], dim=1)
        if d <= n:
            system = half.mT @ half
            system.diagonal().add_(l2)
            solved = torch.cholesky_solve(sides, torch.linalg.cholesky(system))
        else:  # Woodbury's identity: the same solution from an n by n system
            system = half @ half.mT
            system.diagonal().add_(l2)
            solved = (sides - half.mT @ torch.cholesky_solve(half @ sides, torch.linalg.cholesky(system))) / l2
        rest = (curve.sum() - mixed @ solved[:, 1]).clamp_min(1e-300)
        step_bias = (slope_bias - mixed @ solved[:, 0]) / rest if bias else torch.zeros_like(offset)
        step = solved[:, 0] - step_bias * solved[:, 1]
        before, descent, far = loss(weight, offset), float(slope @ step + slope_bias * step_bias), 1.0
        allowed = before + 1e-13 * abs(before)  # rounding alone must not shorten the last steps
        while far > 1e-6 and loss(weight - far * step, offset - far * step_bias) > allowed - 1e-4 * far * descent:
            far /= 2
        weight, offset = weight - far * step, offset - far * step_bias
    return weight, offset, False
