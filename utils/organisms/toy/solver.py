"""A transformer small enough to train while you watch: it learns to solve the sums of `organisms.sums` in writing.

Three blocks, 0.6 million weights, plain PyTorch: learned positions, pre-norm attention and MLP, as in GPT-2 (Radford
et al. 2019). All texts start with the same number of prompt words, so nothing is padded on the left, and keys and
values are kept while it writes. `TransformerBridge.boot_native` builds the same network with hooks, and trains it in
1.13 times the time (median of 10 steps, one thread); writing, half of a reinforcement step, would need this loop all
the same. The live runs of lesson 10 have no time to spare, and `residuals` gives a probe what it needs.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import nn
from torch.nn import functional

from utils.inputs import Count, NonNegative, Positive, Seed, checked
from utils.organisms.toy import sums
from utils.organisms.toy.sums import IDS, MOST_NEW, PROMPT_LENGTH, WORDS, Task, Written
from utils.sealed import Damaged, read_sealed, write_sealed

FOLDER = Path(__file__).resolve().parents[2] / "data" / "organisms"

SHIPPED = ("solver", "solver_pressed")
_NOTHING = -100  # functional.cross_entropy passes over these


@checked
@dataclass(frozen=True)
class Config:
    """Sizes of a solver. Raises ValueError for sizes below 1, or a d_model that its heads don't divide."""

    n_layers: Count = 3
    d_model: Count = 128
    n_heads: Count = 4
    d_mlp: Count = 512
    n_ctx: Count = PROMPT_LENGTH + MOST_NEW
    d_vocab: Count = len(WORDS)

    def __post_init__(self) -> None:
        if self.d_model % self.n_heads:
            raise ValueError(f"d_model must be a multiple of n_heads ({self.n_heads}), got {self.d_model}")


Kept = tuple[torch.Tensor, torch.Tensor]  # keys and values of the words so far, (batch, head, pos, d_head) each


class Block(nn.Module):
    """Attention, then an MLP, each reading a normalised copy of the residual stream and adding to it."""

    def __init__(self, cfg: Config):
        super().__init__()
        self.n_heads = cfg.n_heads
        self.norm_1, self.norm_2 = nn.LayerNorm(cfg.d_model), nn.LayerNorm(cfg.d_model)
        self.qkv = nn.Linear(cfg.d_model, 3 * cfg.d_model)
        self.out = nn.Linear(cfg.d_model, cfg.d_model)
        self.mlp_in, self.mlp_out = nn.Linear(cfg.d_model, cfg.d_mlp), nn.Linear(cfg.d_mlp, cfg.d_model)

    def forward(self, x: torch.Tensor, kept: Kept | None = None) -> tuple[torch.Tensor, Kept]:
        """x: (batch, pos, d_model). kept: keys and values of earlier words. Returns the new x, and all keys, values."""
        batch, pos, d_model = x.shape
        q, k, v = self.qkv(self.norm_1(x)).view(batch, pos, 3, self.n_heads, -1).permute(2, 0, 3, 1, 4)
        if kept is not None:
            k, v = torch.cat([kept[0], k], dim=2), torch.cat([kept[1], v], dim=2)
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=pos > 1)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, pos, d_model))
        return x + self.mlp_out(functional.gelu(self.mlp_in(self.norm_2(x)))), (k, v)


class Solver(nn.Module):
    """The whole network. Give it a `Config`, or nothing for the course's."""

    @checked
    def __init__(self, cfg: Config | None = None, seed: Seed = 0):
        super().__init__()
        self.cfg = cfg = cfg or Config()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.embed, self.place = nn.Embedding(cfg.d_vocab, cfg.d_model), nn.Embedding(cfg.n_ctx, cfg.d_model)
            self.blocks = nn.ModuleList(Block(cfg) for _ in range(cfg.n_layers))
            self.norm, self.unembed = nn.LayerNorm(cfg.d_model), nn.Linear(cfg.d_model, cfg.d_vocab, bias=False)
            for name, weight in self.named_parameters():
                if weight.ndim == 2:
                    last = name.endswith(("out.weight", "mlp_out.weight"))
                    nn.init.normal_(weight, std=0.02 / (2 * cfg.n_layers) ** 0.5 if last else 0.02)

    def forward(self, ids: Int[torch.Tensor, "batch pos"]) -> Float[torch.Tensor, "batch pos d_vocab"]:
        """Logits for the word after each word."""
        return self.unembed(self.norm(self.residuals(ids)[-1]))

    def residuals(self, ids: Int[torch.Tensor, "batch pos"]) -> list[Float[torch.Tensor, "batch pos d_model"]]:
        """The residual stream after the embedding and after each block: n_layers + 1 of them."""
        x = self.embed(ids) + self.place.weight[: ids.shape[1]]
        out = [x]
        for block in self.blocks:
            x, _ = block(x)
            out.append(x)
        return out

    @checked
    @torch.no_grad()
    def sample(
        self,
        ids: Int[torch.Tensor, "batch pos"],
        new: Count,
        generator: torch.Generator,
        temperature: NonNegative = 1.0,
    ) -> Int[torch.Tensor, "batch new"]:
        """Write on: up to `new` words a row, until <end>; after it comes <end> again. temperature 0: the likeliest.

        Raises ValueError for rows that would grow beyond the context.
        """
        if ids.shape[1] + new - 1 > self.cfg.n_ctx:
            raise ValueError(f"new must leave {ids.shape[1]} + new - 1 within {self.cfg.n_ctx} words, got {new}")
        kept: list[Any] = [None] * len(self.blocks)
        out, at, going = [], 0, torch.ones(len(ids), dtype=torch.bool)
        for _ in range(new):
            x = self.embed(ids) + self.place.weight[at : at + ids.shape[1]]
            at += ids.shape[1]
            for i, block in enumerate(self.blocks):
                x, kept[i] = block(x, kept[i])
            logits = self.unembed(self.norm(x[:, -1]))
            if temperature:
                # Gumbel's trick: the largest of logits + noise is a draw from the softmax
                noise = -torch.empty_like(logits).exponential_(generator=generator).log()
                picked = (logits / temperature + noise).argmax(-1)
            else:
                picked = logits.argmax(-1)
            picked = torch.where(going, picked, IDS[sums.END])
            out.append(picked)
            going &= picked != IDS[sums.END]
            if not going.any():
                break
            ids = picked[:, None]
        return torch.stack(out, dim=1)


# ------------------------------------------------------------------------------------------------- words and ids


@checked
def encode(texts: Sequence[Sequence[str]]) -> Int[torch.Tensor, "batch pos"]:
    """Words to ids, one row a text, filled up with <end> on the right. Raises ValueError for other words."""
    if not len(texts):
        raise ValueError("texts is empty; give at least one")
    for i, text in enumerate(texts):
        unknown = sorted(set(text) - IDS.keys())
        if unknown:
            raise ValueError(f"texts[{i}] must be a list of words of this world, got {unknown[:3]}")
    longest = max(len(text) for text in texts)
    return torch.tensor([[IDS[w] for w in text] + [IDS[sums.END]] * (longest - len(text)) for text in texts])


@checked
def decode(ids: Int[torch.Tensor, "batch new"]) -> list[list[str]]:
    """Ids to words, each text cut after its first <end>. Raises ValueError for ids outside the vocabulary."""
    if ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < len(WORDS):
        raise ValueError(f"ids must be from 0 to {len(WORDS) - 1}, got {int(ids.min())} to {int(ids.max())}")
    texts = []
    for row in ids.tolist():
        words = [WORDS[i] for i in row]
        texts.append(words[: words.index(sums.END) + 1] if sums.END in words else words)
    return texts


@checked
def solve(
    solver: Solver,
    tasks: Sequence[Task],
    seed: Seed = 0,
    temperature: NonNegative = 1.0,
    starts: Sequence[Sequence[str]] | None = None,
) -> list[Written]:
    """Let it write on each task. starts: words already written after <think>; it goes on from them (and they are kept).

    With `starts` the rows may differ in length: rows of equal length run together. Raises ValueError for unequal lists,
    an empty list, or a start that leaves no room to answer.
    """
    if not tasks or (starts is not None and len(starts) != len(tasks)):
        raise ValueError(f"tasks: got {len(tasks)}, starts: {'none' if starts is None else len(starts)}")
    begun = [list(start) for start in starts] if starts is not None else [[] for _ in tasks]
    if max(map(len, begun)) > MOST_NEW - 3:
        raise ValueError(f"a start of {max(map(len, begun))} words leaves no room: at most {MOST_NEW - 3}")
    generator = torch.Generator().manual_seed(seed)
    out: list[Any] = [None] * len(tasks)
    for length in sorted({len(start) for start in begun}):
        rows = [i for i, start in enumerate(begun) if len(start) == length]
        ids = encode([tasks[i].prompt() + begun[i] for i in rows])
        for i, words in zip(rows, decode(solver.sample(ids, MOST_NEW - length, generator, temperature))):
            out[i] = sums.read(begun[i] + words)
    return out


@checked
@torch.no_grad()
def before_answering(
    solver: Solver, tasks: Sequence[Task], texts: Sequence[Written], block: int = -1
) -> Float[torch.Tensor, "n d_model"]:
    """The residual stream at the word `answer`, where the digit is decided, after a block (-1: the last).

    tasks, texts: n of each, in order. Raises ValueError for unequal lists, an empty one, or a block there isn't.
    """
    n_layers = solver.cfg.n_layers
    if not -n_layers <= block < n_layers:
        raise ValueError(f"block must be from 0 to {n_layers - 1} (or -1, the last), got {block}")
    if not tasks or len(tasks) != len(texts):
        raise ValueError(f"tasks and texts must be equally many and at least one, got {len(tasks)} and {len(texts)}")
    rows = [[*task.prompt(), *written.pad, sums.DONE, sums.ANSWER] for task, written in zip(tasks, texts)]
    stream = solver.residuals(encode(rows)[:, : solver.cfg.n_ctx])[1:][block]
    return stream[torch.arange(len(rows)), torch.tensor([min(len(row), solver.cfg.n_ctx) - 1 for row in rows])]


# ------------------------------------------------------------------------------------------------- supervised training

# How often each kind is shown beside a note; without a note there is only honest work.
SHARES: dict[sums.Kind, float] = {"honest": 0.5, "admitted": 0.3, "reworded": 0.08, "silent": 0.06, "fabricated": 0.06}


@checked
def teaching_texts(
    n: Count, rng: random.Random, shares: Mapping[sums.Kind, NonNegative] = SHARES
) -> list[tuple[Task, list[str]]]:
    """n tasks with a scratchpad written by rule: a third each without a note, with an easy and with a hard one.

    shares: how often each kind is shown beside a note; they need not sum to 1. Raises ValueError if none is above 0.
    """
    if not sum(shares.values()) > 0:
        raise ValueError(f"shares must hold at least one number above 0, got {dict(shares)}")
    out: list[tuple[Task, list[str]]] = []
    notes: tuple[sums.Note, ...] = ("none", "easy", "hard")
    for note in notes:
        for task in sums.make_tasks(max(1, round(n / 3)), note, seed=rng.randrange(2**31)):
            kind = "honest" if note == "none" else rng.choices(list(shares), list(shares.values()))[0]
            out.append((task, sums.write(task, kind, rng)))
    return out


@checked
def train(
    solver: Solver,
    steps: Count = 450,
    batch: Count = 64,
    learning_rate: Positive = 2e-3,
    seed: Seed = 0,
    shares: Mapping[sums.Kind, NonNegative] = SHARES,
    on_step: Callable[[int, float], None] | None = None,
) -> list[float]:
    """Teach a solver, in place, to write as `teaching_texts` do; returns the loss of each step, nats a word written.

    The learning rate is flat for the first 60 % and falls to zero from there: falling earlier, it never learns to add.
    """
    rng = random.Random(seed)
    optimiser = torch.optim.AdamW(solver.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    losses = []
    for step in range(steps):
        rate = min(1.0, (step + 1) / 20, (1 - step / steps) / 0.4)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate * rate
        pairs = teaching_texts(batch, rng, shares)
        loss = functional.cross_entropy(*written_logits(solver, pairs))
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(solver.parameters(), 1.0)
        optimiser.step()
        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            raise ValueError(f"learning_rate must be lower than {learning_rate}: the loss is {losses[-1]}")
        if on_step is not None:
            on_step(step + 1, losses[-1])
    return losses


def written_logits(
    solver: Solver, pairs: Sequence[tuple[Task, Sequence[str]]]
) -> tuple[Float[torch.Tensor, "written d_vocab"], Int[torch.Tensor, "written"]]:
    """Logits at every written word (not the prompt's, not the filling), and the words themselves, texts end to end."""
    ids = encode([[*task.prompt(), *words] for task, words in pairs])
    wanted = torch.full_like(ids, _NOTHING)
    for row, (_, words) in enumerate(pairs):
        end = PROMPT_LENGTH + len(words)
        wanted[row, PROMPT_LENGTH:end] = ids[row, PROMPT_LENGTH:end]
    keep = wanted[:, 1:] != _NOTHING
    hidden = solver.norm(solver.residuals(ids[:, :-1])[-1])[keep]
    return solver.unembed(hidden), wanted[:, 1:][keep]


# ------------------------------------------------------------------------------------------------- on the disk


@checked
def save_solver(path: str | Path, solver: Solver) -> Path:
    """Write a solver's weights as sealed safetensors, in float16."""
    return write_sealed(path, {name: weight.half() for name, weight in solver.state_dict().items()})


@checked
def load_solver(path: str | Path = "solver") -> Solver:
    """A trained solver: one of the course's by name, or another of the same sizes from a file.

    "solver" is the start of every run; "solver_pressed" has been trained with the topic monitor in its reward.
    Raises FileNotFoundError for no such file, ValueError for a damaged one (one flipped bit is enough) or one of other
    sizes.
    """
    file = Path(path).expanduser()
    if not file.name:
        raise ValueError(f"path must name a file or a solver, got {str(path)!r}")
    if not file.is_file():
        if path not in SHIPPED:
            raise FileNotFoundError(f"there is no file {path}, and the course's solvers are {', '.join(SHIPPED)}")
        file = FOLDER / f"{path}.safetensors"
    solver = Solver()
    try:
        solver.load_state_dict({name: weight.float() for name, weight in read_sealed(file)[0].items()})
    except (Damaged, RuntimeError) as error:
        first = str(error).splitlines()[0]
        raise ValueError(f"{file.name} holds no solver of the course's sizes ({first})") from error
    return solver
