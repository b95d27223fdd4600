"""What a gradient says about an effect: attribution patching, and the shares of the input tokens.

A gradient is a straight-line guess. It is worst where the model bends: early layers, saturated attention, large steps;
where the output is flat the gradient is zero although the part matters. Integrated gradients walk along the line
instead, and can check themselves: their shares have to add up.

Sources: Nanda 2023 ("Attribution Patching", neelnanda.io); Syed et al. 2023 (arXiv 2310.10348); Kramar et al. 2024
(2403.00745, AtP*); Hanna et al. 2024 (2403.17806, EAP-IG); Simonyan et al. 2013 (1312.6034) for the gradient; Shrikumar
et al. 2016 (1605.01713) for gradient x input; Sundararajan et al. 2017 (1703.01365, integrated gradients).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import torch
from jaxtyping import Float, Int
from torch import Tensor

from utils.devices import on_device_of, to_cpu
from utils.inputs import Count, Index, checked
from utils.progress import slow
from utils.reading.batches import same_length_batches
from utils.reading.recording import plain
from utils.tracing.attribution import answer_couples
from utils.tracing.pairs import Pair, pair_list
from utils.tracing.patching import difference
from utils.tracing.running import Component, hook_names, prompt_rows, record_batch, run, stack_layers

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

    Baseline = Float[Tensor, "pos d_model"] | Sequence[Float[Tensor, "pos d_model"]]
else:  # one tensor or one a prompt: which of the two is said by `prompts`, so it is held in `_baselines`
    Baseline = Any

# ------------------------------------------------------------------------------------------------- attribution patching


class PatchingParts(NamedTuple):
    """What attribution patching multiplies, each shaped as in `record`: the gradient is that of the corrupt run."""

    clean: Float[Tensor, "layer pos *d"]
    corrupt: Float[Tensor, "layer pos *d"]
    gradient: Float[Tensor, "layer pos *d"]

    @property
    def estimate(self) -> Float[Tensor, "layer pos *head"]:
        """What patching each place alone would change, in nats, to first order; add up the places of a site.

        Compare with `patch(...)` minus the corrupt prompt's own logit difference.
        """
        return ((self.clean - self.corrupt) * self.gradient).sum(-1)


@overload
def patching_parts(
    model: TransformerBridge,
    pairs: Pair,
    components: Sequence[Component] = ...,
    batch_size: int = ...,
    steps: int | None = ...,
) -> dict[str, PatchingParts]: ...
@overload
def patching_parts(
    model: TransformerBridge,
    pairs: Sequence[Pair],
    components: Sequence[Component] = ...,
    batch_size: int = ...,
    steps: int | None = ...,
) -> list[dict[str, PatchingParts]]: ...
@checked
def patching_parts(
    model: TransformerBridge,
    pairs: Pair | Sequence[Pair],
    components: Sequence[Component] = ("resid",),
    batch_size: Count = 4,
    steps: Count | None = None,
) -> dict[str, PatchingParts] | list[dict[str, PatchingParts]]:
    """Attribution patching: what estimates every patch at once from one gradient on the corrupt run.

    To first order a patch changes the output by (clean - corrupt) . gradient, summed over the patched positions. The
    guess is poor for large patches through curved parts: the residual stream of early layers above all. steps: average
    the gradient instead over so many points of the line that leads from the corrupt prompt's embeddings to the clean
    one's (midpoint rule; EAP-IG, Hanna et al. 2024, arXiv 2403.17806): as many backward passes.

    Returns component -> `PatchingParts` for one pair, a list of such dicts for many. Two runs and one backward pass
    serve all components and all pairs of one length, `batch_size` of them at a time; no gradient is kept on the
    weights. Raises TypeError or ValueError for no pairs and for an unknown component.
    """
    many = pair_list(model, pairs)
    if not len(components):
        raise ValueError("components must hold at least one component, got none")
    parts: list[dict[str, PatchingParts]] = [{} for _ in many]
    for rows in slow(same_length_batches([len(pair.corrupt) for pair in many], batch_size), "gradients"):
        chosen = [many[i] for i in rows]
        clean = record_batch(model, torch.stack([pair.clean for pair in chosen]), components)
        base, gradient = _gradients(model, chosen, components)
        if steps is not None:
            clean_ends, corrupt_ends = (
                torch.stack([_input_residual(model, getattr(pair, side)) for pair in chosen])
                for side in ("clean", "corrupt")
            )
            gradient = {key: torch.zeros_like(slope) for key, slope in gradient.items()}
            for k in range(steps):
                point = corrupt_ends + (k + 0.5) / steps * (clean_ends - corrupt_ends)
                for key, slope in _gradients(model, chosen, components, point)[1].items():
                    gradient[key] = gradient[key] + slope / steps
        for key in components:
            for k, i in enumerate(rows):
                parts[i][key] = PatchingParts(clean[key][k], base[key][k], gradient[key][k])
    return parts[0] if isinstance(pairs, Pair) else parts


def _gradients(
    model: TransformerBridge,
    pairs: Sequence[Pair],
    components: Sequence[Component],
    point: Float[Tensor, "pair pos d_model"] | None = None,
) -> tuple[dict[str, Float[Tensor, "pair layer pos *d"]], dict[str, Float[Tensor, "pair layer pos *d"]]]:
    """Activations on the corrupt runs and the gradient of each pair's logit difference, for pairs of one length.

    point: what the first block is given in place of the corrupt prompts' embeddings.
    """
    kept: dict[str, list[Tensor]] = {component: [] for component in components}

    def leaf(x: Tensor, hook: Any) -> Tensor:  # cut the graph here: gradients stop, and no weight needs one
        return (x if point is None else on_device_of(model, point).to(x.dtype)).detach().requires_grad_()

    def keep(x: Tensor, hook: Any, key: str) -> Tensor:  # handed back: what a hook sees may be a reshaped view
        kept[key].append(x)
        return x

    hooks: list[tuple[str, Any]] = [("blocks.0.hook_resid_pre", leaf)]
    hooks += [(name, partial(keep, key=key)) for key in kept for name in hook_names(model, key)]
    with torch.enable_grad():
        logits = run(model, torch.stack([pair.corrupt for pair in pairs]), hooks)
        # No prompt of the batch sees another, so the gradient of the sum is each pair's own.
        total = torch.stack([difference(row, p.answer, p.other) for row, p in zip(logits, pairs)]).sum()
        flat = iter(torch.autograd.grad(total, [x for layers in kept.values() for x in layers]))
    slopes = {key: stack_layers(model, key, [plain(next(flat)) for _ in layers]) for key, layers in kept.items()}
    return {key: stack_layers(model, key, [plain(x) for x in layers]) for key, layers in kept.items()}, slopes


# ------------------------------------------------------------------------------------------- shares of the input tokens


@overload
def input_residual(model: TransformerBridge, prompts: Int[Tensor, " pos"]) -> Float[Tensor, "pos d_model"]: ...
@overload
def input_residual(
    model: TransformerBridge, prompts: Sequence[Int[Tensor, " pos"]]
) -> list[Float[Tensor, "pos d_model"]]: ...
@checked
def input_residual(
    model: TransformerBridge, prompts: Int[Tensor, " pos"] | Sequence[Int[Tensor, " pos"]]
) -> Float[Tensor, "pos d_model"] | list[Float[Tensor, "pos d_model"]]:
    """What enters the first block: token embeddings, plus position embeddings where the model adds them.

    (pos, d_model) for one prompt, a list of them for many; on the CPU.
    """
    found = [_input_residual(model, row) for row in prompt_rows(model, prompts)]
    return found[0] if isinstance(prompts, Tensor) else found


@torch.no_grad()
def _input_residual(model: TransformerBridge, tokens: Int[Tensor, " pos"]) -> Float[Tensor, "pos d_model"]:
    kept: list[Tensor] = []
    hooks: list[Any] = [("blocks.0.hook_resid_pre", lambda x, hook: kept.append(plain(x)))]
    given = on_device_of(model, tokens[None])
    model.run_with_hooks(given, fwd_hooks=hooks, stop_at_layer=1, return_type=None)
    return kept[0][0]


@checked
def input_gradient(
    model: TransformerBridge,
    tokens: Int[Tensor, " pos"],
    point: Float[Tensor, "pos d_model"],
    answer: Index,
    other: Index,
) -> Float[Tensor, "pos d_model"]:
    """Gradient of the logit difference when the first block is given `point` in place of the embeddings.

    Raises TypeError or ValueError for a point of another shape, and for ids outside the vocabulary.
    """
    (row,) = prompt_rows(model, tokens, name="tokens")
    _check_width(model, "point", point)
    return _slopes(model, row[None], point[None], [(answer, other)])[0][0]


@dataclass(frozen=True)
class InputAttribution:
    """Each input token's share of the logit difference, in nats, when its embedding grows out of the baseline's.

    shares: (pos,) integrated gradients. gradient_times_input: (pos,) the straight-line guess for the same, from the
    gradient at the prompt alone; it does not add up to anything. effect: f(prompt) - f(baseline), what the shares
    should add up to. gap: their sum minus that: 0 is perfect. steps: how many points of the line were averaged.
    """

    shares: Float[Tensor, " pos"]
    gradient_times_input: Float[Tensor, " pos"]
    effect: float
    gap: float
    steps: int

    @property
    def complete(self) -> bool:
        """Whether the shares add up to the effect, within a twentieth of it (or .05 nats): if not, don't read them."""
        return abs(self.gap) <= TOLERANCE * max(1.0, abs(self.effect))


TOLERANCE = 0.05
FEWEST_STEPS, MOST_STEPS = 8, 128  # tried by default: doubled until the shares add up


@overload
def integrated_gradients(
    model: TransformerBridge,
    prompts: Int[Tensor, " pos"],
    answer: int,
    other: int,
    baseline: Float[Tensor, "pos d_model"],
    steps: int | None = ...,
    batch_size: int = ...,
) -> InputAttribution: ...
@overload
def integrated_gradients(
    model: TransformerBridge,
    prompts: Sequence[Int[Tensor, " pos"]],
    answer: Sequence[int],
    other: Sequence[int],
    baseline: Sequence[Float[Tensor, "pos d_model"]],
    steps: int | None = ...,
    batch_size: int = ...,
) -> list[InputAttribution]: ...
@checked
def integrated_gradients(
    model: TransformerBridge,
    prompts: Int[Tensor, " pos"] | Sequence[Int[Tensor, " pos"]],
    answer: Index | Sequence[Index],
    other: Index | Sequence[Index],
    baseline: Baseline,
    steps: Count | None = None,
    batch_size: Count = 16,
) -> InputAttribution | list[InputAttribution]:
    """Each input token's share of the logit difference by integrated gradients, and how well the shares add up.

    The gradient is averaged along the straight line from the baseline's embeddings to the prompt's (midpoint rule,
    `steps` points) and multiplied by their difference. In the limit the shares add up to f(prompt) - f(baseline). The
    points in between are no prompt that ever was: the answer is about that line, and another baseline is another
    question, so there is no default. `input_residual` of the prompt with another word is a good one. Zeros are a bad
    one for a model with RMSNorm: near zero the norm blows everything up, and the sum may never close.

    prompts: (pos,) token ids, with two token ids and a baseline (pos, d_model); or a list of prompts, with lists of
        answers, others and baselines.
    steps: points of the line. Default: 8, doubled until the shares add up (`InputAttribution.complete`) twice running,
        for once may be luck; 128 at most. Where that isn't enough there is a warning: don't read the shares.
    batch_size: how many points, of one prompt or of several of one length, run together.

    Raises TypeError or ValueError for lists of different lengths, a baseline of another shape, and less than one step.
    """
    rows = prompt_rows(model, prompts)
    single = isinstance(prompts, Tensor)
    couples = answer_couples(answer, other, None if single else len(rows))
    origins = _baselines(model, baseline, rows, single)
    found: dict[int, InputAttribution] = {}
    settled: set[int] = set()
    n_steps = steps or FEWEST_STEPS
    while waiting := [i for i in range(len(rows)) if i not in settled]:
        at_once = max(1, batch_size // (n_steps + 2))
        for group in same_length_batches([len(rows[i]) for i in waiting], at_once):
            some = [waiting[k] for k in group]
            tokens, starts = torch.stack([rows[i] for i in some]), torch.stack([origins[i] for i in some])
            lines = _along_lines(model, tokens, starts, [couples[i] for i in some], n_steps, batch_size)
            settled |= {i for i, one in zip(some, lines) if one.complete and i in found and found[i].complete}
            found.update(zip(some, lines))
        if steps is not None or n_steps >= MOST_STEPS:
            break
        n_steps *= 2
    for i, one in found.items():
        if steps is None and i not in settled:
            warnings.warn(
                f"{'prompts' if single else f'prompts[{i}]'}: after {one.steps} steps the shares still miss the effect "
                f"of {one.effect:.2f} nats by {one.gap:.2f}; don't read them, choose a baseline nearer to real text",
                stacklevel=3,
            )
    return found[0] if single else [found[i] for i in range(len(rows))]


def _along_lines(
    model: TransformerBridge,
    tokens: Int[Tensor, "batch pos"],
    starts: Float[Tensor, "batch pos d_model"],
    couples: Sequence[tuple[int, int]],
    steps: int,
    batch_size: int,
) -> list[InputAttribution]:
    """Integrated gradients of prompts of one length: the midpoints of their lines, and both ends."""
    inputs = torch.stack([_input_residual(model, row) for row in tokens])
    way = inputs - starts  # (prompt, pos, d_model)
    places = torch.cat([(torch.arange(steps) + 0.5) / steps, torch.tensor([1.0, 0.0])]).to(way)
    slopes, values = [], []
    for some in places.split(max(1, batch_size // len(tokens))):
        points = starts[:, None] + some[:, None, None] * way[:, None]  # (prompt, place, pos, d_model)
        slope, value = _slopes(
            model,
            tokens.repeat_interleave(len(some), 0),
            points.flatten(0, 1),
            [couple for couple in couples for _ in some],
        )
        slopes.append(slope.unflatten(0, (len(tokens), -1)))
        values.append(value.unflatten(0, (len(tokens), -1)))
    slope, value = torch.cat(slopes, 1), torch.cat(values, 1)
    shares = (way * slope[:, :steps].mean(1)).sum(-1)
    simple = (way * slope[:, steps]).sum(-1)
    effects = (value[:, steps] - value[:, steps + 1]).tolist()
    gaps = [float(share.sum()) - effect for share, effect in zip(shares, effects)]
    return [InputAttribution(*one, steps) for one in zip(shares, simple, effects, gaps)]


def _slopes(
    model: TransformerBridge,
    tokens: Int[Tensor, "batch pos"],
    points: Float[Tensor, "batch pos d_model"],
    couples: Sequence[tuple[int, int]],
) -> tuple[Float[Tensor, "batch pos d_model"], Float[Tensor, " batch"]]:
    """Gradient and value of each row's logit difference when the first block is given these embeddings."""
    given = on_device_of(model, points).to(model.cfg.dtype).detach().requires_grad_()
    with torch.enable_grad():
        logits = run(model, tokens, [("blocks.0.hook_resid_pre", lambda x, hook: given)])
        values = torch.stack([difference(row, *couple) for row, couple in zip(logits, couples)])
        (gradient,) = torch.autograd.grad(values.sum(), given)
    return plain(gradient), plain(values)


def _baselines(
    model: TransformerBridge, baseline: Any, rows: Sequence[Tensor], single: bool
) -> list[Float[Tensor, "pos d_model"]]:
    each = [baseline] if single else baseline
    if not hasattr(each, "__len__") or len(each) != len(rows):
        got = len(each) if hasattr(each, "__len__") else type(each).__name__
        raise ValueError(f"baseline must hold one tensor a prompt, got {got} for {len(rows)} prompts")
    found = [_as_baseline(one) for one in each]
    for one, row in zip(found, rows):
        if len(one) != len(row):
            raise ValueError(f"baseline must have shape ({len(row)}, {model.cfg.d_model}), got {tuple(one.shape)}")
        _check_width(model, "baseline", one)
    return found


@checked
def _as_baseline(baseline: Float[Tensor, "pos d_model"]) -> Float[Tensor, "pos d_model"]:
    return to_cpu(baseline)


def _check_width(model: TransformerBridge, name: str, point: Tensor) -> None:
    if point.shape[-1] != model.cfg.d_model:
        raise ValueError(f"{name} must have shape (pos, {model.cfg.d_model}), got {tuple(point.shape)}")
