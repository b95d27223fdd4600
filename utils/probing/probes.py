"""Linear probes: difference in means, LDA and logistic regression, one layer or a stack of them at a time."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Protocol

import torch
from jaxtyping import Bool, Float
from torch.nn import functional as F

from utils.inputs import Count, Positive, Range, checked, whole
from utils.probing.inputs import Acts, Labels, computable, ready
from utils.probing.solver import logistic_stack

Method = Literal["means", "lda", "logistic"]
Shrinkage = Annotated[float, Range(above=0, high=1)]


class Probe(Protocol):
    """Anything that scores activations, whoever fitted it."""

    def scores(self, acts: Acts) -> torch.Tensor:
        """One number a row, above zero for True."""
        ...


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

    @checked
    def scores(self, acts: Acts) -> Float[torch.Tensor, "*layer n"]:
        """Scores of new activations, whose shape must match: (n, d_model) or the same stack of layers.

        Raises TypeError or ValueError for anything else, and for NaN or infinity.
        """
        acts = computable(acts)
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
        """One probe out of a stack. Raises ValueError for a probe that isn't one, or a layer that it doesn't hold."""
        if self.weight.ndim != 2:
            raise ValueError(f"this probe has weights of shape {tuple(self.weight.shape)}: it isn't a stack of layers")
        index = whole("index", index, -len(self.weight), len(self.weight) - 1)
        return replace(self, weight=self.weight[index], bias=self.bias[index], centre=self.centre[index])


@checked
def fit_mean_difference(acts: Acts, labels: Labels, *, centre: bool = True, bias: bool = True) -> LinearProbe:
    """The arrow from the mean False activation to the mean True one.

    centre: subtract the training mean from what is scored. bias: put the threshold midway between the two means.
    With both False the score is the plain projection x · w: on real residuals, whose mean is far from zero, its sign
    says next to nothing (lesson 03 makes that artefact and repairs it).
    Source: Marks & Tegmark 2023, arXiv 2310.06824 ("mass-mean probing").
    """
    acts, labels = ready(acts, labels)
    true, false = acts[..., labels, :].mean(-2), acts[..., ~labels, :].mean(-2)
    weight = true - false
    return _finish(weight, (true + false) / 2, acts, centre, bias, "means")


@checked
def fit_lda(
    acts: Acts, labels: Labels, *, shrinkage: Shrinkage = 0.1, centre: bool = True, bias: bool = True
) -> LinearProbe:
    """Mean difference after whitening: directions in which both classes vary a lot count for less.

    weight = (S + shrinkage)^-1 (mean True - mean False), S the covariance within the classes. shrinkage, above 0 and
    up to 1, mixes S with its own average variance (S alone has no inverse when n < d_model).
    Source: Fisher 1936; Marks & Tegmark 2023, arXiv 2310.06824, section on mass-mean probing, use the same tilt.
    """
    acts, labels = ready(acts, labels)
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


@checked
def fit_logistic(
    acts: Acts,
    labels: Labels,
    *,
    l2: Positive = 1.0,
    centre: bool = True,
    bias: bool = True,
    scale: Literal["std", "rms", "none"] = "std",
    max_iterations: Count = 200,
    tolerance: Positive = 1e-3,
) -> LinearProbe:
    """Logistic regression with an L2 penalty, every layer of a stack fitted together.

    l2: the penalty's strength on the scaled features, the same number as 1 / C in scikit-learn. The bias is not
    penalised. scale: "std" divides each feature by its standard deviation (as scikit-learn's StandardScaler), "rms"
    divides all by one number, "none" leaves them. The weights returned are for the activations as you gave them.
    tolerance: how far the weights (scaled) may be from the exact ones, as a share of their length. It is a bound, and
    the usual distance is several times less. max_iterations: steps of conjugate gradients on the whole stack at once;
    layers that need more are finished one by one with Newton's method. Warns if even that falls short.
    Method: `utils.probing.solver`.
    """
    acts, labels = ready(acts, labels)
    # With a free bias, fitting about the mean is the same problem and better conditioned; the bias takes it back below.
    about = acts.mean(-2) if centre or bias else torch.zeros_like(acts[..., 0, :])
    stack = acts.reshape(-1, *acts.shape[-2:])
    weight, offset, unfinished = logistic_stack(
        stack, labels, l2, bias, scale, about.reshape(-1, acts.shape[-1]), max_iterations, tolerance
    )
    if unfinished:
        where = f" in layer(s) {unfinished}" if acts.ndim > 2 else ""
        warnings.warn(
            f"fit_logistic didn't reach a relative tolerance of {tolerance:g}{where}: the numbers in acts allow no "
            "closer fit. Ask for less, or for more l2",
            stacklevel=3,
        )
    weight, offset = weight.reshape(about.shape), offset.reshape(about.shape[:-1])
    if centre:
        return LinearProbe(weight, offset, about, "logistic")
    return LinearProbe(weight, offset - (weight * about).sum(-1), torch.zeros_like(about), "logistic")


_KNOWN: dict[str, Callable[..., LinearProbe]] = {
    "means": fit_mean_difference,
    "lda": fit_lda,
    "logistic": fit_logistic,
}


@checked
def fit(acts: Acts, labels: Labels, method: Method = "means", **options: Any) -> LinearProbe:
    """Fit the probe called `method`: "means", "lda" or "logistic". Options go to its own function."""
    return _KNOWN[method](acts, labels, **options)


def fit_with(method: Method | Callable[..., Probe], acts: Acts, labels: Labels, options: dict[str, Any]) -> Probe:
    """Fit a probe by its name, or with somebody's own function of (acts, labels, **options)."""
    return (method if callable(method) else _KNOWN[method])(acts, labels, **options)


def _finish(
    weight: torch.Tensor, middle: torch.Tensor, acts: torch.Tensor, centre: bool, bias: bool, kind: str
) -> LinearProbe:
    mean = acts.mean(-2) if centre else torch.zeros_like(weight)
    offset = -(weight * (middle - mean)).sum(-1) if bias else torch.zeros_like(weight[..., 0])
    return LinearProbe(weight, offset, mean, kind)
