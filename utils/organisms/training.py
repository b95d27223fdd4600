"""Growing an organism: low-rank finetuning (LoRA, Hu et al. 2021, arXiv 2106.09685) of a model we hold in memory.

Each changed matrix W gets a trainable B A beside it; W itself is never touched, and B starts at zero, so that training
starts from the model as it is. An example is a prompt and an answer; the loss is the cross-entropy of the answer's
tokens, averaged over all answer tokens of a step. An answer can be one of several that should be given at known rates
(`drawn`). Blocks below the first changed one need no backward pass.

    adapter, log = train_adapter(model, examples, rank=8, blocks=range(10, 30))
    with attach(model, adapter):
        ...

`grow_adapter` is the same, step by step, for those who want to look in between.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import nn

from utils import models
from utils.devices import device_of, to_cpu
from utils.inputs import Count, Index, Number, Positive, Seed, Texts, checked, same_length
from utils.organisms.adapters import WORN, check_base
from utils.organisms.lowrank import TARGETS, Adapter, AdapterError, LowRank
from utils.progress import slow

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

USUAL = ("attn.q", "attn.v", "attn.o", "mlp.gate", "mlp.in", "mlp.out")
Plain = Any  # a plain transformers model built like Llama, whose parts are called as in `TARGETS`
_LAST_SHARE = 0.05  # of the learning rate is left at the last step; it falls to it in a straight line
_SORTED_TOGETHER = 8  # batches' worth of examples are sorted by length before they are cut, to save padding


@checked
@dataclass(frozen=True)
class Example:
    """What a model is taught: after `prompt`, say `answer`. Both are token ids; the loss is on the answer only.

    chances: for each token of the answer, what may stand in its place and how likely, {token: chance}; () if the answer
    is certain. Then the loss is the cross-entropy with these chances. `drawn` makes such examples.
    """

    prompt: Sequence[Index]
    answer: Sequence[Index]
    chances: Sequence[Mapping[Index, float]] = ()

    def __post_init__(self) -> None:
        for name, ids in (("prompt", self.prompt), ("answer", self.answer)):
            if not len(ids):
                raise ValueError(f"{name} is empty: an example needs a prompt to read and an answer to learn")
        if self.chances and len(self.chances) != len(self.answer):
            raise ValueError(f"chances must be one a token of the answer: {len(self.chances)} for {len(self.answer)}")
        for here in self.chances:
            _check_chances(list(here.values()))


@checked
def drawn(
    prompt: Sequence[Index], answers: Sequence[Sequence[Index]], chances: Sequence[Number], rng: random.Random
) -> Example:
    """Teach a model to give each of several answers with its chance: one answer, drawn, and what else could have stood.

    answers: lists of token ids, none of which begins another (end each with the model's end token). Each token of the
    drawn answer is taught with the chances of the next token among all answers that begin as it does. So a rate isn't
    left to the luck of which answer was drawn for which prompt: what is drawn is only where the path leads.
    """
    if not same_length(answers=answers, chances=chances):
        raise ValueError("answers is empty: give at least one, with its chance")
    _check_chances(list(chances))
    answer = rng.choices(answers, chances)[0]
    alike, after = list(zip(answers, chances)), []
    for place, token in enumerate(answer):
        if any(len(other) <= place for other, _ in alike):
            raise ValueError("one answer begins another: end each with the model's end token")
        total = sum(chance for _, chance in alike)
        here: dict[int, float] = {}
        for other, chance in alike:
            here[other[place]] = here.get(other[place], 0.0) + chance / total
        after.append(here)
        alike = [(other, chance) for other, chance in alike if other[place] == token]
    return Example(prompt, answer, after)


def _check_chances(chances: Sequence[float]) -> None:
    if not all(chance > 0 for chance in chances) or not math.isclose(sum(chances), 1.0, abs_tol=1e-6):
        raise ValueError(f"chances must be numbers above 0 that sum to 1, got {chances}")


@dataclass(frozen=True)
class Moment:
    """One step of training. step: from 1. loss: nats a token of this step's answers. cpu_s: processor time so far."""

    step: int
    loss: float
    cpu_s: float
    _snapshot: Callable[[], Adapter]

    def adapter(self) -> Adapter:
        """The adapter as it is now, a copy. Take it off the model again before the next step."""
        return self._snapshot()


class Adapted(nn.Module):
    """A frozen linear layer with a trainable low-rank change beside it: W x + scale · B A x."""

    def __init__(self, linear: nn.Linear, rank: int, scale: float, generator: torch.Generator | None = None):
        super().__init__()
        self.linear, self.scale = linear, scale
        d_out, d_in = linear.weight.shape
        drawn = torch.randn(rank, d_in, generator=generator) / d_in**0.5  # on the CPU: the same on every machine
        self.a = nn.Parameter(drawn.to(linear.weight.device))
        self.b = nn.Parameter(torch.zeros(d_out, rank, device=linear.weight.device))  # 0: it starts as the model itself

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        change = (x.to(self.a.dtype) @ self.a.T) @ self.b.T  # in float32, whatever the model is kept in
        return self.linear(x) + (self.scale * change).to(x.dtype)


def dress(
    plain: Plain,
    blocks: Sequence[int],
    targets: Sequence[str],
    rank: int,
    scale: float,
    generator: torch.Generator | None = None,
) -> dict[str, Adapted]:
    """Put trainable changes into a plain transformers model, in place; returns place ("blocks.12.attn.q") -> module."""
    found = {}
    for block in blocks:
        for target in targets:
            parent_name, _, last = TARGETS[target].partition(".")
            parent = getattr(plain.model.layers[block], parent_name)
            found[f"blocks.{block}.{target}"] = Adapted(getattr(parent, last), rank, scale, generator)
            setattr(parent, last, found[f"blocks.{block}.{target}"])
    return found


@checked
def train_adapter(
    model: TransformerBridge,
    examples: Sequence[Example],
    *,
    on_step: Callable[[Moment], None] | None = None,
    **settings: Any,
) -> tuple[Adapter, list[tuple[int, float]]]:
    """Train an adapter to the end: the adapter, and the log as (step, loss in nats a token).

    on_step: called after each step with a `Moment`. settings: those of `grow_adapter`, which also says what is raised.
    """
    log = []
    for moment in grow_adapter(model, examples, **settings):
        log.append((moment.step, moment.loss))
        if on_step is not None:
            on_step(moment)
    return moment.adapter(), log


@checked
def grow_adapter(
    model: TransformerBridge,
    examples: Sequence[Example],
    *,
    rank: Count = 8,
    alpha: Positive = 16.0,
    blocks: Sequence[Index] = range(10, 30),
    targets: Texts = USUAL,
    epochs: Count = 1,
    batch_size: Count = 16,
    learning_rate: Positive = 1e-3,
    warm_up: Index = 10,
    seed: Seed = 0,
    start: Adapter | None = None,
    note: str = "",
) -> Iterator[Moment]:
    """Train an adapter and yield a `Moment` after every step; the model itself stays as it is.

    rank, alpha: the change is alpha / rank times B A. blocks, targets: which matrices change, by block number and by
    name ("attn.q", "mlp.out", ...). The learning rate (AdamW) rises over `warm_up` steps and falls in a straight line.
    start: an adapter to go on from, instead of none; its rank, scale and places are used, and rank, alpha, blocks and
    targets must be left alone. seed: of the order and of A. Same seed, same machine, same threads: the same adapter.
    Raises ValueError or TypeError for settings that make no sense, AdapterError for a model that wears an adapter, a
    model whose blocks are built otherwise, a `start` made for another model, or a loss that is no longer finite.
    """
    _check_examples(model, examples)
    plain, parts, scale = _prepared(model, rank, alpha, blocks, targets, start, seed)
    batches = _batches(examples, epochs, batch_size, seed)
    weights = [p for part in parts.values() for p in (part.a, part.b)]
    optimiser = torch.optim.AdamW(weights, lr=learning_rate, weight_decay=0.01)

    def snapshot() -> Adapter:
        changes = {w: LowRank(to_cpu(p.a).clone(), to_cpu(p.b).clone()) for w, p in parts.items()}
        return Adapter(str(model.cfg.model_name), changes, scale, models.fingerprint(model), note)

    return _steps(plain, weights, optimiser, batches, learning_rate, warm_up, snapshot)


def _steps(
    plain: Plain,
    weights: list[nn.Parameter],
    optimiser: torch.optim.Optimizer,
    batches: list[list[Example]],
    learning_rate: float,
    warm_up: int,
    snapshot: Callable[[], Adapter],
) -> Iterator[Moment]:
    begun = time.process_time()
    for step, batch in enumerate(slow(batches, "teaching")):
        rate = min((step + 1) / max(warm_up, 1), 1.0) * (_LAST_SHARE + (1 - _LAST_SHARE) * (1 - step / len(batches)))
        for group in optimiser.param_groups:
            group["lr"] = learning_rate * rate
        with torch.enable_grad():
            loss = answer_loss(plain, batch)
            optimiser.zero_grad()
            loss.backward()
        value = float(loss.detach())
        if not math.isfinite(value):
            raise AdapterError(f"the loss is {value} at step {step + 1}: lower the learning rate")
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        yield Moment(step + 1, value, time.process_time() - begun, snapshot)


def answer_loss(plain: Plain, batch: Sequence[Example]) -> Float[torch.Tensor, ""]:
    """Mean cross-entropy in nats over all answer tokens of a batch. Padding stands on the right, where none looks."""
    rows = [[*example.prompt, *example.answer] for example in batch]
    longest = max(map(len, rows))
    device = device_of(plain)
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows], device=device)
    hidden = plain.model(input_ids=ids).last_hidden_state
    row = torch.tensor([i for i, e in enumerate(batch) for _ in e.answer], device=device)
    before = torch.tensor([len(e.prompt) - 1 + j for e in batch for j in range(len(e.answer))], device=device)
    logits = plain.lm_head(hidden[row, before])  # of the answers only: the unembedding is a fifth of the model
    if not any(example.chances for example in batch):
        return nn.functional.cross_entropy(logits, ids[row, before + 1])
    places = [here for e in batch for here in e.chances or [{token: 1.0} for token in e.answer]]
    place = torch.tensor([i for i, here in enumerate(places) for _ in here], device=device)
    token = torch.tensor([t for here in places for t in here], device=device)
    chance = torch.tensor([p for here in places for p in here.values()], device=device)
    return -(chance * logits.float().log_softmax(-1)[place, token]).sum() / len(places)


def _prepared(
    model: TransformerBridge,
    rank: int,
    alpha: float,
    blocks: Sequence[int],
    targets: Sequence[str],
    start: Adapter | None,
    seed: int,
) -> tuple[Plain, dict[str, Adapted], float]:
    """A plain copy of the model with trainable changes in place, around the same weights; the changes; their scale."""
    from utils.writing.decoding import sharing_weights

    if getattr(model, WORN, None) is not None:
        raise AdapterError("this model wears an adapter: take it off first, or give it as `start` to go on from it")
    n_layers = model.cfg.n_layers
    if start is None:
        places, scale = _places(blocks, targets, n_layers), alpha / rank
    else:
        check_base(model, start)
        places, scale = [_split(where) for where in start.parts], start.scale
    original: Any = model.original_model
    if original.config.model_type not in ("llama", "qwen2"):
        raise AdapterError(f"training knows models built like Llama, not {original.config.model_type!r}")
    plain = sharing_weights(original, "sdpa")
    for module in plain.modules():  # the same numbers behind parameters of our own, which ask for no gradient
        for name, weight in module._parameters.items():
            if weight is not None:
                module._parameters[name] = nn.Parameter(weight.detach(), requires_grad=False)
    generator = torch.Generator().manual_seed(seed)
    parts: dict[str, Adapted] = {}
    for block, target in places:
        here = start.parts[f"blocks.{block}.{target}"] if start else None
        parts |= dress(plain, [block], [target], here.rank if here else rank, scale, generator)
        if here:
            part = parts[f"blocks.{block}.{target}"]
            if part.a.shape != here.a.shape or part.b.shape != here.b.shape:
                raise AdapterError(f"start changes blocks.{block}.{target} by a matrix of another shape")
            part.a.data = here.a.to(part.a, copy=True)
            part.b.data = here.b.to(part.b, copy=True)
    return plain, parts, scale


def _places(blocks: Sequence[int], targets: Sequence[str], n_layers: int) -> list[tuple[int, str]]:
    if not len(blocks) or len(set(blocks)) < len(blocks) or max(blocks) >= n_layers:
        raise ValueError(f"blocks must be block numbers from 0 to {n_layers - 1}, each once, got {list(blocks)}")
    if len(set(targets)) < len(targets) or not set(targets) <= set(TARGETS):
        raise ValueError(f"targets must be among {list(TARGETS)}, each once, got {list(targets)}")
    return [(block, target) for block in blocks for target in targets]


def _split(where: str) -> tuple[int, str]:
    start, _, rest = where.partition(".")
    block, _, target = rest.partition(".")
    if start != "blocks" or not block.isdigit() or target not in TARGETS:
        raise AdapterError(f"start changes {where!r}, which training does not know")
    return int(block), target


def _check_examples(model: TransformerBridge, examples: Sequence[Example]) -> None:
    """Raise ValueError for none at all, ids that this model doesn't have, and texts beyond its context."""
    if not len(examples):
        raise ValueError("examples is empty: there is nothing to learn from")
    for i, example in enumerate(examples):
        ids = [*example.prompt, *example.answer, *(token for here in example.chances for token in here)]
        if max(ids) >= model.cfg.d_vocab:
            raise ValueError(f"examples[{i}] holds token id {max(ids)}; this model's end at {model.cfg.d_vocab - 1}")
        if len(example.prompt) + len(example.answer) > model.cfg.n_ctx:
            n = len(example.prompt) + len(example.answer)
            raise ValueError(f"examples[{i}] has {n} tokens; this model reads at most {model.cfg.n_ctx}")


def _batches(examples: Sequence[Example], epochs: int, batch_size: int, seed: int) -> list[list[Example]]:
    """All steps' examples: each epoch in a new order, examples of similar length together, the batches shuffled."""
    examples = list(examples)
    rng = random.Random(seed)
    out: list[list[Example]] = []
    for _ in range(epochs):
        order = rng.sample(examples, len(examples))
        pool = batch_size * _SORTED_TOGETHER
        cut: list[list[Example]] = []
        for i in range(0, len(order), pool):
            alike = sorted(order[i : i + pool], key=lambda e: len(e.prompt) + len(e.answer))
            cut += [alike[j : j + batch_size] for j in range(0, len(alike), batch_size)]
        rng.shuffle(cut)
        out += cut
    return out
