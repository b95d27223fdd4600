"""The causal test: does the model's behaviour follow the direction a probe has found?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch.nn import functional as F

from utils.probing.controls import random_directions
from utils.probing.inputs import Groups, floating
from utils.reading.continuation import continue_from
from utils.statistics import Interval


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
    direction = floating("direction", direction)
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
    rest = continue_from(model, choice.tokens, block)
    tokens = choice.tokens.to(rest.start.device)
    if choice.ends is None:
        wanted = choice.weight.to(tokens.device) > 0  # (rows, pos - 1): positions whose next token is scored
        wanted = F.pad(wanted, (0, 1))
        after = tokens[:, 1:][wanted[:, :-1]]
    else:
        wanted = choice.last_prompt.to(tokens.device)

    @torch.no_grad()
    def score(hook: Callable[..., torch.Tensor] | None) -> Float[torch.Tensor, " n"]:
        value = rest.start if hook is None else hook(rest.start)
        logp = rest.logits(value, wanted).log_softmax(-1)
        if choice.ends is not None:
            picked = logp.gather(-1, choice.ends.T.to(logp.device))
            return (picked[:, 0] - picked[:, 1]).cpu()
        total = torch.zeros(len(tokens), device=logp.device)
        total.index_add_(0, wanted.nonzero()[:, 0], logp.gather(-1, after.unsqueeze(-1)).squeeze(-1))
        return (total[: choice.n] - total[choice.n :]).cpu()

    return score
