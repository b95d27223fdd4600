"""The causal test: does the model's behaviour follow the direction a probe has found?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import torch
from jaxtyping import Bool, Float, Int

from utils.inputs import MOST, Groups, Index, Number, Positive, Range, Seed, Texts, checked, same_length
from utils.interventions import Edit, adding, clamping
from utils.probing.controls import random_directions
from utils.progress import slow
from utils.reading.batches import padded
from utils.reading.continuation import continue_from
from utils.reading.likelihood import logits_at, token_log_probs
from utils.reading.tokens import start_token, token_rows
from utils.statistics import Interval, bootstrap

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

Mode = Literal["add", "subtract", "project_out"]
Mask = Bool[torch.Tensor, "batch pos"]
Draws = Annotated[int, Range(low=20, high=MOST)]
_EDITS_AT_ONCE = 10  # of `gaps_of_edits`: the logits of 26 prompts under ten edits take 50 MB for the specimen
Score = Callable[[Edit | None], Float[torch.Tensor, " n"]]


@checked
def intervention(
    direction: Float[torch.Tensor, " d_model"],
    mode: Mode = "add",
    *,
    strength: Number = 1.0,
    mask: Mask | None = None,
    typical: Positive | None = None,
) -> Edit:
    """A hook function that edits the residual stream along a direction. Use it in `model.run_with_hooks`.

    "add" and "subtract" move by `strength` times the direction as given (its length counts); "project_out" removes
    the part of each activation that lies along it. mask: (batch, pos), True where to edit; everywhere without it.
    Massive activations keep their value (`utils.interventions`, whose edits these are). typical: how long an ordinary
    activation is there; without it, those that the edit meets say so.
    Raises TypeError or ValueError for a direction that isn't finite numbers or is all zero, and another mode.
    """
    if not bool(direction.any()):
        raise ValueError("direction must hold finite numbers that aren't all zero")
    where: Literal["all"] | Mask = "all" if mask is None else mask
    if mode == "project_out":
        return clamping(direction, 0.0, typical=typical, where=where)
    return adding(direction * (strength if mode == "add" else -strength), typical=typical, where=where)


@dataclass(frozen=True)
class CausalTest:
    """What pushing along a direction did to a score, beside what random directions of the same length did.

    effect: (n,) change of each item's score. random: (n_random, n). share_as_large: the share of random directions
    whose mean effect is at least as large in size, counting the direction itself (so never 0): a permutation p-value.
    """

    effect: Float[torch.Tensor, " n"]
    random: Float[torch.Tensor, "n_random n"]
    share_as_large: float

    @checked
    def interval(self, groups: Groups | None = None, seed: Seed = 0) -> Interval:
        """The direction's mean effect, with an interval over items (or groups of items)."""
        return bootstrap(self.effect.cpu().numpy(), groups=groups, n_resamples=1000, seed=seed)


@checked
def causal_test(
    score: Score,
    direction: Float[torch.Tensor, " d_model"],
    mode: Mode = "add",
    *,
    strength: Number = 1.0,
    n_random: Draws = 20,
    seed: Seed = 0,
    mask: Mask | None = None,
    typical: Positive | None = None,
) -> CausalTest:
    """Does moving the activations along a direction change what the model does, more than a random push would?

    score: takes a hook function (or None for the untouched model) and returns one number an item, for instance the
    log-likelihood of the true completion minus that of the false one; `gap_scorer` makes one. At least 20 random
    directions are required: fewer can't tell one in twenty. mode, strength, mask, typical: as in `intervention`.
    Raises ValueError for anything else, and for a score that isn't a finite number for every item.
    """

    def effect_of(one: torch.Tensor) -> torch.Tensor:
        edit = intervention(one, mode, strength=strength, mask=mask, typical=typical)
        return _scored(score, edit, "a push") - base

    base = _scored(score, None, "no push")
    effect = effect_of(direction)
    if effect.shape != base.shape:
        raise ValueError(f"score gave {tuple(base.shape)} numbers without a push and {tuple(effect.shape)} with one")
    others = torch.stack([effect_of(other) for other in random_directions(direction, n_random, seed)])
    as_large = int((others.mean(-1).abs() >= effect.mean().abs()).sum())
    return CausalTest(effect, others, (as_large + 1) / (n_random + 1))


def _scored(score: Score, edit: Edit | None, when: str) -> Float[torch.Tensor, " n"]:
    """One finite number an item. NaN would make the comparison with random directions come out as significance."""
    found = torch.as_tensor(score(edit)).detach().cpu()
    if found.ndim != 1 or not len(found):
        raise ValueError(f"score must return one number an item, (n,); with {when} it gave shape {tuple(found.shape)}")
    bad = torch.nonzero(~torch.isfinite(found)).flatten().tolist()
    if bad:
        raise ValueError(
            f"score must return finite numbers; with {when} it gave {float(found[bad[0]])} for item {bad[0]}"
        )
    return found


@dataclass(frozen=True)
class Choice:
    """Prompts and two continuations of each, tokenised and padded once, ready to be scored many times.

    tokens: (rows, pos), padded on the right. If all continuations are single tokens there is one row a prompt and
    `ends`, (2, n), holds the two token ids; otherwise rows 0 … n-1 hold the first continuations, n … 2n-1 the second.
    prompt_mask, last_prompt: (rows, pos), True on the prompt's own tokens (the document start left out), and on its
    last token: use them as the `mask` of an intervention. wanted: (rows, pos), True where the next token is scored.
    """

    tokens: Int[torch.Tensor, "rows pos"]
    prompt_mask: Mask
    last_prompt: Mask
    n: int
    wanted: Mask
    ends: Int[torch.Tensor, "2 n"] | None

    def gap(self, logits: Float[torch.Tensor, "wanted d_vocab"]) -> Float[torch.Tensor, " n"]:
        """Log-likelihood of the first continuations minus that of the second, from logits at the wanted positions."""
        if self.ends is not None:
            first, second = (token_log_probs(logits, one) for one in self.ends)
            return (first - second).cpu()
        found = token_log_probs(logits, self.tokens.roll(-1, 1)[self.wanted]).cpu()
        total = torch.zeros(len(self.tokens)).index_add_(0, self.wanted.nonzero()[:, 0], found)
        return total[: self.n] - total[self.n :]


@checked
def choices(model: TransformerBridge, prompts: Texts, first: str | Texts, second: str | Texts) -> Choice:
    """Tokenise each prompt with its first and its second continuation (give the leading space yourself).

    first, second: one continuation a prompt, or a single one for all. Raises TypeError or ValueError for lists of
    different lengths, or where a continuation changes the prompt's own tokens.
    """
    ends = [[each] * len(prompts) if isinstance(each, str) else list(each) for each in (first, second)]
    same_length(prompts=prompts, first=ends[0], second=ends[1])
    heads = token_rows(model, prompts, name="prompts")
    rows = []
    for name, each in zip(("first", "second"), ends):
        whole = token_rows(model, [prompt + end for prompt, end in zip(prompts, each)], name="prompts")
        for i, (head, row) in enumerate(zip(heads, whole)):
            if len(row) == len(head) or not torch.equal(row[: len(head)], head):
                raise ValueError(
                    f"{name}: tokens of {prompts[i]!r} change, or nothing is added, when {each[i]!r} follows"
                )
        rows += whole
    starts = [len(head) for head in heads] * 2
    single = None
    if all(len(row) == start + 1 for row, start in zip(rows, starts)):
        single = torch.stack([row[-1] for row in rows]).view(2, -1)
        rows, starts = heads, starts[: len(heads)]
    tokens = padded(rows)
    prompt_mask, last, wanted = (torch.zeros_like(tokens, dtype=torch.bool) for _ in range(3))
    before = start_token(model)
    for i, (row, start) in enumerate(zip(rows, starts)):
        prompt_mask[i, int(row[0] == before) : start] = True
        last[i, start - 1] = True
        wanted[i, start - 1 : max(start, len(row) - 1)] = True
    return Choice(tokens, prompt_mask, last, len(prompts), wanted, single)


@checked
@torch.no_grad()
def completion_gap(
    model: TransformerBridge, choice: Choice, hook: Edit | None = None, at: str | None = None
) -> Float[torch.Tensor, " n"]:
    """Log-likelihood of each prompt's first continuation minus that of its second, in nats.

    Padding is on the right, where a causal model can't see it. hook: a function such as `intervention` returns, run at
    the hook point `at`. For `causal_test`:
    ``causal_test(lambda hook: completion_gap(model, choice, hook, "blocks.13.hook_resid_post"), direction)``.
    Raises ValueError for a hook without a place, or a place that the model doesn't have.
    """
    if hook is not None and at is None:
        raise ValueError("at is None; name the hook point where the hook function should run")
    if at is not None and at not in model.hook_dict:
        raise ValueError(f"at must be one of the model's hook points, such as 'blocks.0.hook_resid_post'; got {at!r}")
    hooks = [] if hook is None or at is None else [(at, hook)]
    return choice.gap(logits_at(model, choice.tokens, choice.wanted, hooks))


@checked
@torch.no_grad()
def gap_scorer(model: TransformerBridge, choice: Choice, block: Index) -> Score:
    """`completion_gap` with edits at the output of `block`, for many edits: the blocks up to there run once only.

    Returns a function for `causal_test`: it takes a hook function (or None) and returns (n,) gaps in nats. Equal to
    ``completion_gap(model, choice, hook, f"blocks.{block}.hook_resid_post")`` to rounding, in about half the time.
    A hook is given the stream on the CPU, wherever the model is, and may hold tensors of its own there.
    Raises ValueError for a block the model doesn't have, or the last one.
    """
    rest = continue_from(model, choice.tokens, block)

    @torch.no_grad()
    def score(hook: Edit | None) -> Float[torch.Tensor, " n"]:
        edited = rest.start if hook is None else hook(rest.start.cpu()).to(rest.start)
        return choice.gap(rest.logits(edited, choice.wanted))

    return score


@checked
@torch.no_grad()
def gaps_of_edits(
    model: TransformerBridge, choice: Choice, block: Index, edits: Sequence[Edit], *, where: Mask | None = None
) -> Float[torch.Tensor, "n_edits n"]:
    """`gap_scorer` of many edits at once: one row an edit, (n_edits, n) gaps in nats.

    where: (rows, pos), True where the edits change anything, if that is the same few neighbouring places at the end of
    every prompt. Then what stands before is read once for all edits, in about a third of the time; an edit that changes
    another place is refused. Edits are given the stream on the CPU.
    Raises ValueError for no edits, one that changes something outside `where`, and a block the model doesn't have.
    """
    if not edits:
        raise ValueError("edits must hold at least one hook function, got none")
    rest = continue_from(model, choice.tokens, block)
    start = rest.start.cpu()
    places = None if where is None or choice.ends is None else _places_at_the_end(where, choice.last_prompt)
    found = []
    for first in slow(range(0, len(edits), _EDITS_AT_ONCE), "edits"):
        streams = [edit(start) for edit in edits[first : first + _EDITS_AT_ONCE]]
        if where is not None and any(not torch.equal(stream[~where], start[~where]) for stream in streams):
            raise ValueError("edits must change nothing outside `where`; at least one does")
        if places is None or not rest.branches_off:
            found += [choice.gap(rest.logits(stream.to(rest.start), choice.wanted)) for stream in streams]
            continue
        rows = torch.arange(len(places))[:, None]
        logits = rest.last_logits(torch.stack([stream[rows, places] for stream in streams]), places)
        found += [choice.gap(of_edit) for of_edit in logits]
    return torch.stack(found)


def _places_at_the_end(where: Mask, last: Mask) -> Int[torch.Tensor, "rows width"] | None:
    """The columns of `where`, (rows, width), or None if they aren't equally many neighbours up to the last token."""
    width = int(where[0].sum())
    ends = last.float().argmax(-1, keepdim=True)
    places = ends - width + 1 + torch.arange(width)
    if not width or int(places.min()) < 0:
        return None
    expected = torch.zeros_like(where).scatter(1, places, True)
    return places if torch.equal(expected, where) else None
