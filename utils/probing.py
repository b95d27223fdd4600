"""Linear probes on activations, and the controls without which their accuracy means little.

A probe asks one question: can a linear function of these activations separate these labels, on entities it has not
met? A high score is easy to get and easy to misread, so three quarters of this module are controls:

- *was it the entity?* splits by group (`group_folds`, used everywhere), never by row;
- *was it the probe?* control tasks and `selectivity` (Hewitt & Liang 2019), `shuffled_labels`, an `MLP` of any width;
- *was it the words?* `text_baseline`, which never sees an activation;
- *was it the architecture?* the same sweep on `utils.models.random_like`;
- *was the number lucky?* intervals that resample groups (`metrics`), and paired comparison (`compare`);
- *does the model use it?* `intervention` and `causal_test`, against random directions of the same length.

Shapes. Activations are floating tensors (n, d_model), or (layer, n, d_model) for a stack of layers; every `fit_*`
takes either and fits the whole stack in one batched solve. Labels are booleans (n,). Groups are n names. Any device;
float16 and bfloat16 are computed in float32, float64 stays float64.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch.nn import functional as F

from utils.statistics import Interval

Acts = Float[torch.Tensor, "*layer n d_model"]
Labels = Bool[torch.Tensor, " n"]
Groups = Sequence[Hashable]
Method = Literal["means", "lda", "logistic"]

CHUNK_BYTES = 8 * 2**20  # layers fitted together on a CPU: as many as stay in its cache


# ------------------------------------------------------------------------------------------------- the probe itself


@dataclass(frozen=True)
class LinearProbe:
    """One linear probe, or a stack of them (one a layer): score = (x - centre) · weight + bias.

    weight: (*layer, d_model). centre: (*layer, d_model), zeros if the fit did not centre. bias: (*layer,).
    A score above zero means True. Scores of a logistic probe are log-odds; those of the other two are not.
    """

    weight: Float[torch.Tensor, "*layer d_model"]
    bias: Float[torch.Tensor, "*layer"]
    centre: Float[torch.Tensor, "*layer d_model"]
    kind: str

    def scores(self, acts: Acts) -> Float[torch.Tensor, "*layer n"]:
        """Scores of new activations, whose shape must match: (n, d_model) or the same stack of layers."""
        acts = _floating("acts", acts)
        wanted = (*self.weight.shape[:-1], acts.shape[-2] if acts.ndim > 1 else -1, self.weight.shape[-1])
        if acts.ndim < 2 or tuple(acts.shape) != wanted:
            shape = tuple(self.weight.shape)
            raise ValueError(f"acts has shape {tuple(acts.shape)}; this probe, with weights {shape}, expects {wanted}")
        acts = acts.to(self.weight)
        if acts.ndim == 2:
            return (acts - self.centre) @ self.weight + self.bias
        # A layer at a time: the centred copy then stays in the processor's cache.
        return torch.stack([self.layer(i).scores(layer) for i, layer in enumerate(acts)])

    def predict(self, acts: Acts) -> Bool[torch.Tensor, "*layer n"]:
        """True where the score is above zero."""
        return self.scores(acts) > 0

    def probabilities(self, acts: Acts) -> Float[torch.Tensor, "*layer n"]:
        """Probability of True. Only a logistic probe claims one; for the others raises ValueError."""
        if self.kind != "logistic":
            raise ValueError(f"a {self.kind} probe has no probabilities; fit a logistic one, or use scores")
        return torch.sigmoid(self.scores(acts))

    def direction(self, unit: bool = True) -> Float[torch.Tensor, "*layer d_model"]:
        """The probe's direction in activation space, pointing from False to True; of length 1 unless `unit=False`."""
        return F.normalize(self.weight, dim=-1) if unit else self.weight.clone()

    def layer(self, index: int) -> LinearProbe:
        """One probe out of a stack."""
        if self.weight.ndim != 2:
            raise ValueError(f"this probe has weights of shape {tuple(self.weight.shape)}: it isn't a stack of layers")
        return replace(self, weight=self.weight[index], bias=self.bias[index], centre=self.centre[index])


def fit_mean_difference(acts: Acts, labels: Any, *, centre: bool = True, bias: bool = True) -> LinearProbe:
    """The arrow from the mean False activation to the mean True one.

    centre: subtract the training mean from what is scored. bias: put the threshold midway between the two means.
    With both False the score is the plain projection x · w: on real residuals, whose mean is far from zero, its sign
    says next to nothing (lesson 03 makes that artefact and repairs it).
    Source: Marks & Tegmark 2023, arXiv 2310.06824 ("mass-mean probing").
    """
    acts, labels = _checked(acts, labels)
    true, false = acts[..., labels, :].mean(-2), acts[..., ~labels, :].mean(-2)
    weight = true - false
    return _finish(weight, (true + false) / 2, acts, centre, bias, "means")


def fit_lda(acts: Acts, labels: Any, *, shrinkage: float = 0.1, centre: bool = True, bias: bool = True) -> LinearProbe:
    """Mean difference after whitening: directions in which both classes vary a lot count for less.

    weight = (S + shrinkage)^-1 (mean True - mean False), S the covariance within the classes. shrinkage, above 0 and
    up to 1, mixes S with its own average variance (S alone has no inverse when n < d_model).
    Source: Fisher 1936; Marks & Tegmark 2023, arXiv 2310.06824, section on mass-mean probing, use the same tilt.
    """
    acts, labels = _checked(acts, labels)
    if not 0 < shrinkage <= 1:
        raise ValueError(f"shrinkage is {shrinkage}; expected a number above 0 and up to 1")
    true, false = acts[..., labels, :].mean(-2), acts[..., ~labels, :].mean(-2)
    within = acts - torch.where(labels[:, None], true.unsqueeze(-2), false.unsqueeze(-2))
    d_model = acts.shape[-1]
    cov = within.mT @ within / acts.shape[-2]
    variance = cov.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None, None]
    eye = torch.eye(d_model, dtype=acts.dtype, device=acts.device)
    cov = (1 - shrinkage) * cov + shrinkage * variance * eye
    cov = cov + 1e-6 * variance.clamp_min(torch.finfo(acts.dtype).tiny) * eye
    weight = torch.linalg.solve(cov, (true - false).unsqueeze(-1)).squeeze(-1)
    return _finish(weight, (true + false) / 2, acts, centre, bias, "lda")


def fit_logistic(
    acts: Acts,
    labels: Any,
    *,
    l2: float = 1.0,
    centre: bool = True,
    bias: bool = True,
    scale: Literal["std", "rms", "none"] = "std",
    max_iterations: int = 200,
    tolerance: float = 3e-3,
) -> LinearProbe:
    """Logistic regression with an L2 penalty, every layer of a stack fitted together.

    l2: the penalty's strength on the scaled features, the same number as 1 / C in scikit-learn. The bias is not
    penalised. scale: "std" divides each feature by its standard deviation (as scikit-learn's StandardScaler), "rms"
    divides all by one number, "none" leaves them. The weights returned are for the activations as you gave them.
    tolerance: stops when no entry of the mean loss's gradient exceeds it.
    Method: preconditioned conjugate gradients on the whole stack at once; see `_conjugate_gradient`.
    """
    acts, labels = _checked(acts, labels)
    if not (math.isfinite(l2) and l2 > 0):
        raise ValueError(f"l2 is {l2}; expected a number above 0")
    if scale not in {"std", "rms", "none"}:
        raise ValueError(f"scale is {scale!r}; expected 'std', 'rms' or 'none'")
    # With a free bias, fitting about the mean is the same problem and better conditioned; the bias takes it back below.
    about = acts.mean(-2) if centre or bias else torch.zeros_like(acts[..., 0, :])
    stack = acts.reshape(-1, *acts.shape[-2:])
    weight, offset = _logistic_stack(
        stack, labels, l2, bias, scale, about.reshape(-1, acts.shape[-1]), max_iterations, tolerance
    )
    weight, offset = weight.reshape(about.shape), offset.reshape(about.shape[:-1])
    if centre:
        return LinearProbe(weight, offset, about, "logistic")
    return LinearProbe(weight, offset - (weight * about).sum(-1), torch.zeros_like(about), "logistic")


def fit(acts: Acts, labels: Any, method: Method = "means", **options: Any) -> LinearProbe:
    """Fit the probe called `method`: "means", "lda" or "logistic". Options go to its own function."""
    known = {"means": fit_mean_difference, "lda": fit_lda, "logistic": fit_logistic}
    if method not in known:
        raise ValueError(f"method is {method!r}; expected one of {sorted(known)}")
    return known[method](acts, labels, **options)


def _finish(
    weight: torch.Tensor, middle: torch.Tensor, acts: torch.Tensor, centre: bool, bias: bool, kind: str
) -> LinearProbe:
    mean = acts.mean(-2) if centre else torch.zeros_like(weight)
    offset = -(weight * (middle - mean)).sum(-1) if bias else torch.zeros_like(weight[..., 0])
    return LinearProbe(weight, offset, mean, kind)


def _logistic_stack(
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


# ------------------------------------------------------------------------------------------ probes over many tokens


def pool_mean(
    acts: Float[torch.Tensor, "*layer n pos d_model"], mask: Bool[torch.Tensor, "n pos"]
) -> Float[torch.Tensor, "*layer n d_model"]:
    """Mean activation over each text's own tokens, ready for any `fit_*`. mask: True where a token is real."""
    acts, mask = _floating("acts", acts), torch.as_tensor(mask, dtype=torch.bool)
    if acts.ndim < 3 or acts.shape[-3:-1] != mask.shape:
        raise ValueError(
            f"mask has shape {tuple(mask.shape)}; expected {tuple(acts.shape[-3:-1])}, the (n, pos) of acts"
        )
    if not bool(mask.any(-1).all()):
        raise ValueError("mask leaves a text without any token")
    weights = mask.to(acts) / mask.sum(-1, keepdim=True).to(acts)
    return (acts * weights.unsqueeze(-1)).sum(-2)


@dataclass(frozen=True)
class AttentionProbe:
    """A probe that chooses where to look: softmax(x · query) over a text's tokens, then a linear read-out."""

    query: Float[torch.Tensor, " d_model"]
    weight: Float[torch.Tensor, " d_model"]
    bias: Float[torch.Tensor, ""]
    centre: Float[torch.Tensor, " d_model"]
    width: Float[torch.Tensor, ""]

    def attention(self, acts: Float[torch.Tensor, "n pos d_model"], mask: Bool[torch.Tensor, "n pos"]) -> torch.Tensor:
        """(n, pos) weights that sum to 1 over each text's tokens."""
        x = (acts.to(self.query) - self.centre) / self.width
        return (x @ self.query).masked_fill(~mask, -torch.inf).softmax(-1)

    def scores(self, acts: Float[torch.Tensor, "n pos d_model"], mask: Bool[torch.Tensor, "n pos"]) -> torch.Tensor:
        """(n,) log-odds."""
        x = (acts.to(self.query) - self.centre) / self.width
        return (self.attention(acts, mask) * (x @ self.weight)).sum(-1) + self.bias

    def direction(self) -> Float[torch.Tensor, " d_model"]:
        """The read-out's direction, of length 1."""
        return F.normalize(self.weight, dim=-1)


def fit_attention(
    acts: Float[torch.Tensor, "n pos d_model"],
    mask: Bool[torch.Tensor, "n pos"],
    labels: Any,
    *,
    l2: float = 1e-2,
    steps: int = 200,
    learning_rate: float = 0.02,
    seed: int = 0,
) -> AttentionProbe:
    """A logistic probe on an attention-weighted mean of each text's tokens, trained with Adam.

    l2: penalty on the mean loss. It starts as mean pooling (a query of zeros), so it can only gain by looking closer.
    """
    pooled = pool_mean(acts, mask)
    pooled, labels = _checked(pooled, labels)
    mask = torch.as_tensor(mask, dtype=torch.bool, device=pooled.device)
    x = acts.to(pooled)
    real = x[mask]
    centre, width = real.mean(0), (real - real.mean(0)).norm(dim=-1).median().clamp_min(1e-12)
    x = ((x - centre) / width).masked_fill(~mask.unsqueeze(-1), 0)
    generator = torch.Generator().manual_seed(seed)
    d_model = x.shape[-1]
    query = torch.zeros(d_model).to(x).requires_grad_()
    weight = (torch.randn(d_model, generator=generator) * 1e-3).to(x).requires_grad_()
    offset = x.new_zeros(()).requires_grad_()
    target = labels.to(x)
    optimiser = torch.optim.Adam([query, weight, offset], lr=learning_rate)
    with torch.enable_grad():
        for _ in range(steps):
            attention = (x @ query).masked_fill(~mask, -torch.inf).softmax(-1)
            logits = (attention * (x @ weight)).sum(-1) + offset
            penalty = 0.5 * l2 * (weight.square().sum() + query.square().sum()) / d_model
            loss = F.binary_cross_entropy_with_logits(logits, target) + penalty
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return AttentionProbe(query.detach(), weight.detach(), offset.detach(), centre, width)


@dataclass(frozen=True)
class MLPProbe:
    """A probe with one hidden layer: more able than a line, and so less able to say what the activations hold."""

    hidden: torch.Tensor
    hidden_bias: torch.Tensor
    out: torch.Tensor
    bias: torch.Tensor
    centre: torch.Tensor
    width: torch.Tensor

    def scores(self, acts: Float[torch.Tensor, "n d_model"]) -> Float[torch.Tensor, " n"]:
        """(n,) log-odds."""
        x = (_floating("acts", acts).to(self.hidden) - self.centre) / self.width
        return F.relu(x @ self.hidden + self.hidden_bias) @ self.out + self.bias

    def predict(self, acts: Float[torch.Tensor, "n d_model"]) -> Bool[torch.Tensor, " n"]:
        """True where the score is above zero."""
        return self.scores(acts) > 0


def fit_mlp(
    acts: Float[torch.Tensor, "n d_model"],
    labels: Any,
    *,
    width: int = 64,
    weight_decay: float = 1e-3,
    steps: int = 300,
    learning_rate: float = 0.01,
    seed: int = 0,
) -> MLPProbe:
    """A one-hidden-layer probe, for showing what a wider probe can memorise (see `selectivity`).

    Full-batch AdamW on standardised features. Raises ValueError for a width below 1.
    """
    acts, labels = _checked(acts, labels)
    if acts.ndim != 2:
        raise ValueError(f"acts has shape {tuple(acts.shape)}; an MLP probe is fitted on one layer, (n, d_model)")
    if not isinstance(width, int) or width < 1:
        raise ValueError(f"width is {width!r}; expected a whole number above 0")
    centre, spread = acts.mean(0), acts.std(0)
    spread = torch.where(spread > 1e-6 * spread.max(), spread, torch.ones_like(spread))
    x, target = (acts - centre) / spread, labels.to(acts)
    generator = torch.Generator().manual_seed(seed)
    d = x.shape[-1]
    hidden = (torch.randn(d, width, generator=generator) * math.sqrt(1 / d)).to(x).requires_grad_()
    out = (torch.randn(width, generator=generator) * math.sqrt(1 / width)).to(x).requires_grad_()
    hidden_bias, offset = x.new_zeros(width).requires_grad_(), x.new_zeros(()).requires_grad_()
    optimiser = torch.optim.AdamW([hidden, hidden_bias, out, offset], lr=learning_rate, weight_decay=weight_decay)
    with torch.enable_grad():
        for _ in range(steps):
            logits = F.relu(x @ hidden + hidden_bias) @ out + offset
            loss = F.binary_cross_entropy_with_logits(logits, target)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return MLPProbe(*(t.detach() for t in (hidden, hidden_bias, out, offset)), centre, spread)


# ----------------------------------------------------------------------------------------------------------- metrics


def accuracy(scores: torch.Tensor, labels: Any, threshold: float = 0.0) -> Float[torch.Tensor, "*layer"]:
    """Share of rows on the right side of the threshold. scores: (*layer, n). Returns one number a layer."""
    scores, labels = _scores(scores, labels)
    return ((scores > threshold) == labels).double().mean(-1)


def auroc(scores: torch.Tensor, labels: Any) -> Float[torch.Tensor, "*layer"]:
    """Chance that a random True row scores above a random False one, ties counting half. scores: (*layer, n)."""
    scores, labels = _scores(scores, labels)
    _both_classes(labels)
    ordered = scores.sort(-1).values.contiguous()
    below = torch.searchsorted(ordered, scores.contiguous(), right=False)
    upto = torch.searchsorted(ordered, scores.contiguous(), right=True)
    rank = (below + upto + 1).double() / 2  # mean rank among ties, counted from 1
    n_true = int(labels.sum())
    n_false = len(labels) - n_true
    return (rank[..., labels].sum(-1) - n_true * (n_true + 1) / 2) / (n_true * n_false)


@dataclass(frozen=True)
class Recall:
    """Share of True rows caught when at most `fpr` of the False rows may be flagged, and the threshold that does it."""

    recall: float
    threshold: float
    fpr: float
    n_false: int


def recall_at_fpr(scores: torch.Tensor, labels: Any, fpr: float = 0.01) -> Recall:
    """Recall at a fixed false-positive rate: how a probe used as an alarm would do. scores: (n,).

    The threshold is the lowest with which no more than `fpr` of the False rows score strictly above it. Below
    1 / fpr False rows, that means none at all: say so when you report it (`n_false` is in the result).
    """
    scores, labels = _scores(scores, labels)
    if scores.ndim != 1:
        raise ValueError(f"scores has shape {tuple(scores.shape)}; expected one row of scores, (n,)")
    if not 0 <= fpr < 1:
        raise ValueError(f"fpr is {fpr}; expected a number from 0 up to 1")
    _both_classes(labels)
    false = scores[~labels].sort(descending=True).values
    threshold = float(false[int(fpr * len(false) + 1e-9)])
    caught = (scores[labels] > threshold).double().mean()
    flagged = (scores[~labels] > threshold).double().mean()
    return Recall(float(caught), threshold, float(flagged), len(false))


@dataclass(frozen=True)
class Calibration:
    """How far said probabilities lie from what happens. Bins that hold no row are left out."""

    ece: float
    brier: float
    said: np.ndarray
    happened: np.ndarray
    count: np.ndarray


def calibration(probabilities: torch.Tensor, labels: Any, bins: int = 10) -> Calibration:
    """Expected calibration error and Brier score of probabilities of True, (n,).

    Source: Guo et al. 2017, arXiv 1706.04599 (ECE, equal-width bins); Brier 1950.
    """
    said, labels = _scores(probabilities, labels)
    if said.ndim != 1 or bool((said < 0).any() | (said > 1).any()):
        raise ValueError("probabilities must be one row of numbers from 0 to 1, shape (n,)")
    if not isinstance(bins, int) or bins < 1:
        raise ValueError(f"bins is {bins!r}; expected a whole number above 0")
    said_np, true = said.cpu().double().numpy(), labels.cpu().numpy().astype(float)
    which = np.minimum((said_np * bins).astype(int), bins - 1)
    filled = np.unique(which)
    count = np.array([(which == b).sum() for b in filled])
    mean_said = np.array([said_np[which == b].mean() for b in filled])
    happened = np.array([true[which == b].mean() for b in filled])
    ece = float((count / count.sum() * np.abs(mean_said - happened)).sum())
    return Calibration(ece, float(((said_np - true) ** 2).mean()), mean_said, happened, count)


def metrics(
    scores: torch.Tensor,
    labels: Any,
    groups: Groups | None = None,
    *,
    fpr: float = 0.01,
    n_resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Interval]:
    """Accuracy, AUROC and recall at a fixed false-positive rate, each with an interval that resamples groups.

    scores: (n,) held-out scores. groups: n names; without them every row is its own group.
    """
    return {
        "accuracy": interval(accuracy, scores, labels, groups, n_resamples=n_resamples, seed=seed),
        "auroc": interval(auroc, scores, labels, groups, n_resamples=n_resamples, seed=seed),
        "recall": interval(
            lambda s, y: recall_at_fpr(s, y, fpr).recall, scores, labels, groups, n_resamples=n_resamples, seed=seed
        ),
    }


def interval(
    metric: Callable[[torch.Tensor, torch.Tensor], Any],
    scores: torch.Tensor,
    labels: Any,
    groups: Groups | None = None,
    *,
    n_resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval | list[Interval]:
    """Bootstrap interval of `metric(scores, labels)`, whole groups resampled together.

    scores: (n,), or (layer, n) for a list of intervals, one a layer, from the same resamples.
    Resamples that hold one class only are drawn again. Raises ValueError for fewer than two groups.
    """
    scores, labels = _scores(scores, labels)
    rows = _rows_by_group(groups, len(labels))
    rng = np.random.default_rng(seed)
    draws = []
    while len(draws) < n_resamples:
        index = torch.from_numpy(np.concatenate([rows[i] for i in rng.integers(len(rows), size=len(rows))]))
        index = index.to(scores.device)
        picked = labels[index]
        if bool(picked.all()) or not bool(picked.any()):
            continue
        draws.append(torch.as_tensor(metric(scores[..., index], picked), dtype=torch.float64).cpu())
    estimate = torch.as_tensor(metric(scores, labels), dtype=torch.float64).cpu()
    tail = (1 - confidence) / 2
    low, high = torch.stack(draws).quantile(torch.tensor([tail, 1 - tail], dtype=torch.float64), dim=0)
    if estimate.ndim == 0:
        return Interval(float(estimate), float(low), float(high), len(rows), confidence)
    return [Interval(*map(float, three), len(rows), confidence) for three in zip(estimate, low, high)]


def compare(
    first: torch.Tensor,
    second: torch.Tensor,
    labels: Any,
    groups: Groups | None = None,
    *,
    metric: Callable[[torch.Tensor, torch.Tensor], Any] = accuracy,
    n_resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """How much better the first probe is than the second on the same rows: the paired difference of a metric.

    first, second: (n,) held-out scores of the two. Both are scored on each resample of groups, so what is hard for
    both cancels. An interval that excludes 0 is evidence of a difference.
    """
    first, labels = _scores(first, labels)
    second, _ = _scores(second, labels)
    if first.shape != second.shape:
        raise ValueError(
            f"first and second have shapes {tuple(first.shape)} and {tuple(second.shape)}; expected the same"
        )

    def difference(both: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(metric(both[0], y)) - torch.as_tensor(metric(both[1], y))

    return interval(
        difference, torch.stack([first.double(), second.double()]), labels, groups, n_resamples=n_resamples, seed=seed
    )


# ------------------------------------------------------------------------------------------------ splits and sweeps


def group_folds(groups: Groups, n_folds: int = 5, seed: int = 0) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """(train, test) row numbers, fold after fold; a group is never on both sides, and every row is tested once.

    Raises ValueError when there are fewer groups than folds.
    """
    names = sorted(set(groups), key=str)
    if not isinstance(n_folds, int) or n_folds < 2:
        raise ValueError(f"n_folds is {n_folds!r}; expected a whole number of at least 2")
    if len(names) < n_folds:
        raise ValueError(f"groups holds {len(names)} distinct group(s); {n_folds} folds need at least {n_folds}")
    random.Random(seed).shuffle(names)
    fold_of = {name: i % n_folds for i, name in enumerate(names)}
    fold = torch.tensor([fold_of[group] for group in groups])
    for k in range(n_folds):
        yield torch.nonzero(fold != k).squeeze(-1), torch.nonzero(fold == k).squeeze(-1)


def cross_validate(
    acts: Acts,
    labels: Any,
    groups: Groups,
    method: Method | Callable[..., Any] = "means",
    *,
    n_folds: int = 5,
    seed: int = 0,
    **options: Any,
) -> Float[torch.Tensor, "*layer n"]:
    """Held-out scores for every row: each is scored by a probe that never met its group.

    acts: (n, d_model) or a stack. method: "means", "lda", "logistic", or your own `f(acts, labels, **options)` that
    returns something with `scores`. Scores of different folds are put on one scale: each fold's probe is divided by
    the spread of its training scores, with zero kept as the threshold.
    """
    acts, labels = _checked(acts, labels)
    _same_length("groups", groups, len(labels))
    out = torch.zeros(acts.shape[:-1], dtype=acts.dtype, device=acts.device)
    for train, test in group_folds(groups, n_folds, seed):
        train, test = train.to(acts.device), test.to(acts.device)
        _both_classes(labels[train], "the training part of a fold")
        fitter = method if callable(method) else lambda a, y, **kw: fit(a, y, method, **kw)
        probe = fitter(acts[..., train, :], labels[train], **options)
        spread = probe.scores(acts[..., train, :]).std(-1, keepdim=True).clamp_min(1e-12)
        out[..., test] = probe.scores(acts[..., test, :]) / spread
    return out


@dataclass(frozen=True)
class Nested:
    """Honest scores of a probe whose layer and penalty were chosen without looking at the rows it is tested on."""

    scores: Float[torch.Tensor, " n"]
    layers: list[int]
    penalties: list[float]


def nested(
    acts: Float[torch.Tensor, "layer n d_model"],
    labels: Any,
    groups: Groups,
    method: Method = "logistic",
    *,
    penalties: Sequence[float] = (1.0, 10.0, 100.0),
    n_folds: int = 5,
    inner_folds: int = 3,
    seed: int = 0,
) -> Nested:
    """Cross-validation inside cross-validation: choose layer and penalty on training groups only, test on the rest.

    The best layer of a curve, reported with that curve's own score, is a number chosen for being high. Here each outer
    fold chooses by AUROC over inner folds. penalties is used by "logistic" (as `l2`); "means" has none to choose.
    Returns held-out scores (n,), and each fold's chosen layer and penalty.
    """
    acts, labels = _checked(acts, labels)
    if acts.ndim != 3:
        raise ValueError(f"acts has shape {tuple(acts.shape)}; expected a stack of layers, (layer, n, d_model)")
    _same_length("groups", groups, len(labels))
    settings = [{"l2": p} for p in penalties] if method == "logistic" else [{}]
    if not settings:
        raise ValueError("penalties is empty; give at least one number")
    out, layers, chosen = torch.zeros(len(labels), dtype=acts.dtype, device=acts.device), [], []
    for train, test in group_folds(groups, n_folds, seed):
        train, test = train.to(acts.device), test.to(acts.device)
        inner_groups = [groups[i] for i in train.tolist()]
        inner = torch.stack(
            [
                auroc(
                    cross_validate(
                        acts[:, train],
                        labels[train],
                        inner_groups,
                        method,
                        n_folds=inner_folds,
                        seed=seed + 1,
                        **options,
                    ),
                    labels[train],
                )
                for options in settings
            ]
        )
        which, layer = divmod(int(inner.argmax()), acts.shape[0])
        probe = fit(acts[layer, train], labels[train], method, **settings[which])
        spread = probe.scores(acts[layer, train]).std().clamp_min(1e-12)
        out[test] = probe.scores(acts[layer, test]) / spread
        layers.append(layer)
        chosen.append(settings[which].get("l2", math.nan))
    return Nested(out, layers, chosen)


# ---------------------------------------------------------------------------------------------------------- controls


def control_labels(groups: Groups, seed: int = 0) -> Labels:
    """Labels of a control task: one coin flip a group, the same for all its rows, heads and tails even.

    There is nothing to find in them: a probe that scores well has memorised which group is which.
    Source: Hewitt & Liang 2019, arXiv 1909.03368.
    """
    names = sorted(set(groups), key=str)
    if len(names) < 2:
        raise ValueError(f"groups holds {len(names)} distinct group; a control task needs at least 2")
    random.Random(seed).shuffle(names)
    heads = set(names[: len(names) // 2])
    return torch.tensor([group in heads for group in groups])


@dataclass(frozen=True)
class Selectivity:
    """Accuracy on the task, on the control task with the same words, and the gap between them."""

    task: float
    control: float
    n_test: int

    @property
    def selectivity(self) -> float:
        """Task accuracy minus control accuracy."""
        return self.task - self.control


def selectivity(
    acts: Float[torch.Tensor, "n d_model"],
    labels: Any,
    groups: Groups,
    method: Method | Callable[..., Any] = "means",
    *,
    seed: int = 0,
    **options: Any,
) -> Selectivity:
    """How much of a probe's accuracy a probe of the same kind reaches on meaningless labels.

    Half of each group's rows train and the other half test, for the task and for the control alike: a control task can
    only be learnt on groups met in training (Hewitt & Liang 2019, arXiv 1909.03368, give each word type a random
    label). So the task's accuracy here is *not* the one to report for new groups. Groups of one row are left out;
    raises ValueError when fewer than four rows remain on a side.
    """
    acts, labels = _checked(acts, labels)
    _same_length("groups", groups, len(labels))
    rng, members = random.Random(seed), defaultdict(list)
    for row, group in enumerate(groups):
        members[group].append(row)
    train, test = [], []
    for rows in members.values():
        if len(rows) > 1:
            rng.shuffle(rows)
            train += rows[: len(rows) // 2]
            test += rows[len(rows) // 2 :]
    if len(train) < 4 or len(test) < 4:
        raise ValueError("groups has too few groups with two rows or more: a control task needs rows on both sides")
    train_, test_ = torch.tensor(train, device=acts.device), torch.tensor(test, device=acts.device)
    control = control_labels(groups, seed).to(acts.device)
    fitter = method if callable(method) else lambda a, y, **kw: fit(a, y, method, **kw)
    found = []
    for target in (labels, control):
        probe = fitter(acts[train_], target[train_], **options)
        found.append(float(accuracy(probe.scores(acts[test_]), target[test_])))
    return Selectivity(*found, len(test))


def shuffled_labels(labels: Any, groups: Groups | None = None, seed: int = 0) -> Labels:
    """The labels in another order. With groups, whole groups trade their labels (groups must be of one size)."""
    labels = _booleans(labels)
    rng = random.Random(seed)
    if groups is None:
        order = list(range(len(labels)))
        rng.shuffle(order)
        return labels[order]
    _same_length("groups", groups, len(labels))
    members: dict[Hashable, list[int]] = defaultdict(list)
    for row, group in enumerate(groups):
        members[group].append(row)
    if len({len(rows) for rows in members.values()}) > 1:
        raise ValueError("groups differ in size: their labels can't be traded; shuffle without groups instead")
    blocks = list(members.values())
    source = [rows.copy() for rows in blocks]
    rng.shuffle(source)
    out = labels.clone()
    for to, come in zip(blocks, source):
        rng.shuffle(come)
        out[to] = labels[come]
    return out


def text_baseline(
    texts: Sequence[str],
    labels: Any,
    groups: Groups,
    *,
    kind: Literal["words", "characters"] = "words",
    n_folds: int = 5,
    seed: int = 0,
) -> Float[torch.Tensor, " n"]:
    """Held-out scores of a classifier that sees the text alone: a bag of words, or character 2- to 4-grams.

    The folds are those of `cross_validate` with the same seed. What it reaches is there to be read without any model;
    only what a probe reaches beyond it says something about activations.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    labels = _booleans(labels)
    _same_length("texts", texts, len(labels))
    _same_length("groups", groups, len(labels))
    _both_classes(labels)
    if kind not in {"words", "characters"}:
        raise ValueError(f"kind is {kind!r}; expected 'words' or 'characters'")
    target, out = labels.cpu().numpy(), torch.zeros(len(labels))
    for train, test in group_folds(groups, n_folds, seed):
        _both_classes(labels[train], "the training part of a fold")
        see = (
            TfidfVectorizer(token_pattern=r"\w+|[^\w\s]")
            if kind == "words"
            else TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4))
        )
        model = make_pipeline(see, LogisticRegression(C=10.0, max_iter=500))
        model.fit([texts[i] for i in train], target[train.numpy()])
        out[test] = torch.tensor(model.decision_function([texts[i] for i in test]), dtype=torch.float32)
    return out


def random_directions(
    like: Float[torch.Tensor, " d_model"], n: int = 20, seed: int = 0
) -> Float[torch.Tensor, "n d_model"]:
    """`n` directions drawn evenly from the sphere, each as long as `like`."""
    like = _floating("like", like)
    if like.ndim != 1:
        raise ValueError(f"like has shape {tuple(like.shape)}; expected one direction, (d_model,)")
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(n, like.shape[0], generator=generator, dtype=torch.float64)
    return (F.normalize(drawn, dim=-1).to(like) * like.norm()).to(like)


def clip_norms(acts: Acts, factor: float = 4.0) -> Acts:
    """Shorten massive activations: rows longer than `factor` times the layer's median norm get exactly that length.

    A few tokens carry a residual a hundred times longer than the rest (Sun et al. 2024, arXiv 2402.17762); one of them
    in a training set decides where an unscaled probe points. Clip before fitting, or leave such rows out
    (`utils.activations.massive_tokens` finds them), and say which.
    """
    acts = _floating("acts", acts)
    if not factor > 0:
        raise ValueError(f"factor is {factor}; expected a number above 0")
    norms = acts.norm(dim=-1, keepdim=True)
    limit = factor * norms.median(dim=-2, keepdim=True).values
    return acts * torch.where(norms > limit, limit / norms.clamp_min(1e-12), torch.ones_like(norms))


# --------------------------------------------------------------------------------------------------- the causal test


def intervention(
    direction: Float[torch.Tensor, " d_model"],
    mode: Literal["add", "subtract", "project_out"] = "add",
    *,
    strength: float = 1.0,
    mask: Bool[torch.Tensor, "batch pos"] | None = None,
) -> Callable[..., torch.Tensor]:
    """A hook function that edits the residual stream along a direction. Use it in `model.run_with_hooks`.

    "add" and "subtract" move by `strength` times the direction as given (its length counts); "project_out" removes
    the part of each activation that lies along it. mask: (batch, pos), True where to edit; everywhere without it.
    """
    if mode not in {"add", "subtract", "project_out"}:
        raise ValueError(f"mode is {mode!r}; expected 'add', 'subtract' or 'project_out'")
    direction = _floating("direction", direction)
    if direction.ndim != 1:
        raise ValueError(f"direction has shape {tuple(direction.shape)}; expected (d_model,)")
    if not bool(torch.isfinite(direction).all()) or not bool(direction.any()):
        raise ValueError("direction must hold finite numbers that aren't all zero")

    def hook(value: torch.Tensor, hook: Any = None) -> torch.Tensor:
        step = direction.to(value)
        if mode == "project_out":
            unit = F.normalize(step, dim=-1)
            edited = value - (value @ unit).unsqueeze(-1) * unit
        else:
            edited = value + (strength if mode == "add" else -strength) * step
        if mask is None:
            return edited
        return torch.where(mask.to(value.device).unsqueeze(-1), edited, value)

    return hook


@dataclass(frozen=True)
class CausalTest:
    """What pushing along a direction did to a score, beside what random directions of the same length did.

    effect: (n,) change of each item's score. random: (n_random, n). share_as_large: the share of random directions
    whose mean effect is at least as large in size, counting the direction itself (so never 0): a permutation p-value.
    """

    effect: Float[torch.Tensor, " n"]
    random: Float[torch.Tensor, "n_random n"]
    share_as_large: float

    def interval(self, groups: Groups | None = None, seed: int = 0) -> Interval:
        """The direction's mean effect, with an interval over items (or groups of items)."""
        from utils.statistics import bootstrap

        return bootstrap(self.effect.cpu().numpy(), groups=groups, n_resamples=1000, seed=seed)


def causal_test(
    score: Callable[[Callable[..., torch.Tensor] | None], Float[torch.Tensor, " n"]],
    direction: Float[torch.Tensor, " d_model"],
    mode: Literal["add", "subtract", "project_out"] = "add",
    *,
    strength: float = 1.0,
    n_random: int = 20,
    seed: int = 0,
    mask: Bool[torch.Tensor, "batch pos"] | None = None,
) -> CausalTest:
    """Does moving the activations along a direction change what the model does, more than a random push would?

    score: takes a hook function (or None for the untouched model) and returns one number an item, for instance the
    log-likelihood of the true completion minus that of the false one; `completion_gap` makes one. At least 20 random
    directions are required: fewer can't tell one in twenty. Raises ValueError otherwise.
    """
    if n_random < 20:
        raise ValueError(f"n_random is {n_random}; at least 20 random directions are needed")
    base = score(None)
    effect = score(intervention(direction, mode, strength=strength, mask=mask)) - base
    others = torch.stack(
        [
            score(intervention(other, mode, strength=strength, mask=mask)) - base
            for other in random_directions(direction, n_random, seed)
        ]
    )
    as_large = int((others.mean(-1).abs() >= effect.mean().abs()).sum())
    return CausalTest(effect, others, (as_large + 1) / (n_random + 1))


@dataclass(frozen=True)
class Choice:
    """Prompts and two continuations of each, tokenised and padded once, ready to be scored many times.

    tokens: (rows, pos), padded on the right. If all continuations are single tokens there is one row a prompt and
    `ends`, (2, n), holds the two token ids; otherwise rows 0 … n-1 hold the first continuations, n … 2n-1 the second.
    prompt_mask, last_prompt: (rows, pos), True on the prompt's own tokens (the document start left out), and on its
    last token: use them as the `mask` of an intervention.
    """

    tokens: torch.Tensor
    prompt_mask: torch.Tensor
    last_prompt: torch.Tensor
    n: int
    weight: torch.Tensor
    ends: torch.Tensor | None


def choices(model: Any, prompts: Sequence[str], first: Sequence[str] | str, second: Sequence[str] | str) -> Choice:
    """Tokenise each prompt with its first and its second continuation (give the leading space yourself).

    Raises ValueError for lists of different lengths, or where a continuation changes the prompt's own tokens.
    """
    first = [first] * len(prompts) if isinstance(first, str) else list(first)
    second = [second] * len(prompts) if isinstance(second, str) else list(second)
    if not len(prompts) == len(first) == len(second) or not prompts:
        raise ValueError(f"got {len(prompts)} prompts, {len(first)} first and {len(second)} second continuations")
    rows, starts = [], []
    for ends in (first, second):
        for prompt, end in zip(prompts, ends):
            head = model.to_tokens(prompt)[0].tolist()
            whole = model.to_tokens(prompt + end)[0].tolist()
            if whole[: len(head)] != head or len(whole) == len(head):
                raise ValueError(f"tokens of {prompt!r} change, or nothing is added, when {end!r} follows")
            rows.append(whole)
            starts.append(len(head))
    single = None
    if all(len(whole) == start + 1 for whole, start in zip(rows, starts)):
        single = torch.tensor([whole[-1] for whole in rows]).view(2, -1)
        rows, starts = [whole[:-1] for whole in rows[: len(prompts)]], starts[: len(prompts)]
    longest = max(map(len, rows))
    tokens = torch.zeros(len(rows), longest, dtype=torch.long)
    weight = torch.zeros(len(rows), longest - 1)
    prompt_mask, last = (torch.zeros(len(rows), longest, dtype=torch.bool) for _ in range(2))
    for i, (ids, start) in enumerate(zip(rows, starts)):
        tokens[i, : len(ids)] = torch.tensor(ids)
        weight[i, start - 1 : len(ids) - 1] = 1
        prompt_mask[i, 1:start] = True
        last[i, start - 1] = True
    return Choice(tokens, prompt_mask, last, len(prompts), weight, single)


@torch.no_grad()
def completion_gap(
    model: Any, choice: Choice, hook: Callable[..., torch.Tensor] | None = None, at: str | None = None
) -> Float[torch.Tensor, " n"]:
    """Log-likelihood of each prompt's first continuation minus that of its second, in nats.

    Padding is on the right, where a causal model can't see it. hook: a function such as `intervention` returns, run at
    the hook point `at`. For `causal_test`:
    ``causal_test(lambda hook: completion_gap(model, choice, hook, "blocks.13.hook_resid_post"), direction)``.
    """
    if hook is not None and at is None:
        raise ValueError("at is None; name the hook point where the hook function should run")
    device = next(model.parameters()).device
    hooks = [] if hook is None else [(at, hook)]
    logits = model.run_with_hooks(choice.tokens.to(device), fwd_hooks=hooks).float()
    if choice.ends is not None:
        logp = logits[choice.last_prompt.to(device)].log_softmax(-1)  # (n, d_vocab)
        picked = logp.gather(-1, choice.ends.T.to(device))
        return (picked[:, 0] - picked[:, 1]).cpu()
    logp = F.log_softmax(logits[:, :-1], dim=-1)
    picked = logp.gather(-1, choice.tokens[:, 1:].to(device).unsqueeze(-1)).squeeze(-1)
    total = (picked * choice.weight.to(device)).sum(-1).cpu()
    return total[: choice.n] - total[choice.n :]


@torch.no_grad()
def gap_scorer(
    model: Any, choice: Choice, block: int
) -> Callable[[Callable[..., torch.Tensor] | None], Float[torch.Tensor, " n"]]:
    """`completion_gap` with edits at the output of `block`, for many edits: the blocks up to there run once only.

    Returns a function for `causal_test`: it takes a hook function (or None) and returns (n,) gaps in nats. Equal to
    ``completion_gap(model, choice, hook, f"blocks.{block}.hook_resid_post")`` to rounding, in about half the time.
    Raises ValueError for a block the model doesn't have, or the last one.
    """
    blocks = list(model.blocks)
    if not 0 <= block < len(blocks) - 1:
        raise ValueError(f"block is {block}; expected 0 to {len(blocks) - 2} (a block must follow it)")
    tokens = choice.tokens.to(next(model.parameters()).device)
    entry: dict[str, Any] = {}

    def remember(_module: Any, args: tuple, kwargs: dict) -> None:
        entry["args"], entry["kwargs"] = args, kwargs

    handle = blocks[block + 1].register_forward_pre_hook(remember, with_kwargs=True)
    try:
        model.run_with_hooks(tokens, fwd_hooks=[], stop_at_layer=block + 2, return_type=None)
    finally:
        handle.remove()
    args, kwargs = entry["args"], dict(entry["kwargs"])
    for name in ("past_key_values", "past_key_value", "cache_position"):  # a cache would grow with every call
        if name in kwargs:
            kwargs[name] = None
    if "use_cache" in kwargs:
        kwargs["use_cache"] = False
    start = args[0] if args else kwargs.pop("hidden_states")
    if choice.ends is None:
        wanted = choice.weight.to(tokens.device) > 0  # (rows, pos - 1): positions whose next token is scored
        wanted = F.pad(wanted, (0, 1))
        after = tokens[:, 1:][wanted[:, :-1]]
    else:
        wanted = choice.last_prompt.to(tokens.device)

    @torch.no_grad()
    def score(hook: Callable[..., torch.Tensor] | None) -> Float[torch.Tensor, " n"]:
        value = start if hook is None else hook(start)
        for later in blocks[block + 1 :]:
            value = later(value, *args[1:], **kwargs)
            value = value[0] if isinstance(value, tuple) else value
        logp = model.unembed(model.ln_final(value[wanted].unsqueeze(0)))[0].float().log_softmax(-1)
        if choice.ends is not None:
            picked = logp.gather(-1, choice.ends.T.to(logp.device))
            return (picked[:, 0] - picked[:, 1]).cpu()
        total = torch.zeros(len(tokens), device=logp.device)
        total.index_add_(0, wanted.nonzero()[:, 0], logp.gather(-1, after.unsqueeze(-1)).squeeze(-1))
        return (total[: choice.n] - total[choice.n :]).cpu()

    return score


# ------------------------------------------------------------------------------------------------- checking the input


def _floating(name: str, value: Any) -> torch.Tensor:
    if isinstance(value, np.ndarray):
        value = torch.from_numpy(value)
    if not isinstance(value, torch.Tensor):
        raise TypeError(f"{name} is a {type(value).__name__}; expected a floating-point tensor")
    if not value.is_floating_point():
        raise TypeError(f"{name} has dtype {value.dtype}; expected a floating-point tensor")
    return value.float() if value.dtype in (torch.float16, torch.bfloat16) else value


def _booleans(labels: Any, device: torch.device | None = None) -> Labels:
    labels = torch.as_tensor(np.asarray(labels) if not isinstance(labels, torch.Tensor) else labels)
    if labels.ndim != 1:
        raise ValueError(f"labels has shape {tuple(labels.shape)}; expected (n,)")
    if labels.dtype != torch.bool:
        if not bool(((labels == 0) | (labels == 1)).all()):
            raise ValueError("labels holds something other than True and False (or 1 and 0)")
        labels = labels.bool()
    return labels.to(device) if device is not None else labels


def _both_classes(labels: torch.Tensor, where: str = "labels") -> None:
    n_true = int(labels.sum())
    if n_true in (0, len(labels)):
        raise ValueError(f"{where} holds {n_true} True and {len(labels) - n_true} False; both classes are needed")


def _same_length(name: str, values: Sequence, n: int) -> None:
    if len(values) != n:
        raise ValueError(f"{name} has {len(values)} entries; expected {n}, one for each label")


def _scores(scores: Any, labels: Any) -> tuple[torch.Tensor, torch.Tensor]:
    scores = _floating("scores", scores).detach()
    labels = _booleans(labels, scores.device)
    if scores.ndim < 1 or scores.shape[-1] != len(labels):
        raise ValueError(f"scores has shape {tuple(scores.shape)} and labels {len(labels)} entries: lengths differ")
    if not bool(torch.isfinite(scores).all()):
        raise ValueError("scores holds NaN or infinity")
    return scores, labels


def _checked(acts: Any, labels: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Activations in a type to compute in, and boolean labels on the same device; or a clear error."""
    acts = _floating("acts", acts).detach()
    if acts.ndim < 2:
        raise ValueError(f"acts has shape {tuple(acts.shape)}; expected (n, d_model) or (layer, n, d_model)")
    labels = _booleans(labels, acts.device)
    if acts.shape[-2] != len(labels):
        raise ValueError(f"acts has {acts.shape[-2]} rows (shape {tuple(acts.shape)}) but labels has {len(labels)}")
    if not bool(torch.isfinite(acts.sum())) and not bool(torch.isfinite(acts).all()):  # the sum is the quick look
        bad = int((~torch.isfinite(acts)).any(-1).sum())
        raise ValueError(f"acts holds NaN or infinity in {bad} row(s); float16 overflows above 65,504")
    _both_classes(labels)
    first = acts[..., :1, :]
    if not bool((acts[..., 1:2, :] != first).any(-1).all()):  # the quick look didn't settle it
        varies = (acts != first).flatten(-2).any(-1)
        if not bool(varies.all()):
            where = (
                ""
                if acts.ndim == 2
                else f" in layer(s) {torch.nonzero(~varies.flatten()).flatten().tolist()} of the stack"
            )
            raise ValueError(f"acts is constant{where}: every row is the same, so no direction can separate the labels")
    return acts, labels


def _rows_by_group(groups: Groups | None, n: int) -> list[np.ndarray]:
    if groups is None:
        return [np.array([i]) for i in range(n)]
    _same_length("groups", groups, n)
    members: dict[Hashable, list[int]] = defaultdict(list)
    for row, group in enumerate(groups):
        members[group].append(row)
    if len(members) < 2:
        raise ValueError(f"groups holds {len(members)} distinct group; an interval over groups needs at least 2")
    return [np.array(rows) for rows in members.values()]
