"""A small transformer without MLPs, grown from nothing on rows that say themselves twice: a second body for anatomy.

Nothing but the repetition can be learnt: tokens are drawn at random, and the length of a copy changes from batch to
batch, so no fixed distance helps. One layer hardly gets anywhere. Two learn it within a few hundred steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import nn
from torch.nn import functional

from utils.inputs import Count, Index, Positive, Seed, checked
from utils.progress import tqdm

SHORTEST, LONGEST = 8, 20  # tokens in a copy


class Copyist(nn.Module):
    """Attention layers with rotated positions, each reading a normalised stream and adding to it. No MLPs."""

    @checked
    def __init__(
        self, n_layers: Count = 2, d_model: Count = 64, n_heads: Count = 4, d_vocab: Count = 64, seed: Seed = 0
    ):
        super().__init__()
        if d_model % (2 * n_heads):
            raise ValueError(f"d_model must be a multiple of {2 * n_heads}, twice the heads, got {d_model}")
        self.n_layers, self.n_heads, self.d_vocab = n_layers, n_heads, d_vocab
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.embed = nn.Embedding(d_vocab, d_model)
            self.norms = nn.ModuleList(nn.RMSNorm(d_model) for _ in range(n_layers))
            self.qkv = nn.ModuleList(nn.Linear(d_model, 3 * d_model, bias=False) for _ in range(n_layers))
            self.out = nn.ModuleList(nn.Linear(d_model, d_model, bias=False) for _ in range(n_layers))
            self.norm, self.unembed = nn.RMSNorm(d_model), nn.Linear(d_model, d_vocab, bias=False)

    def forward(self, ids: Int[torch.Tensor, "batch pos"]) -> Float[torch.Tensor, "batch pos d_vocab"]:
        """Logits for the token after each token."""
        return self._run(ids, [])[0]

    @checked
    @torch.no_grad()
    def patterns(self, ids: Int[torch.Tensor, "batch pos"]) -> Float[torch.Tensor, "layer batch head query key"]:
        """Where each head looks."""
        return torch.stack(self._run(ids, [])[1])

    @checked
    @torch.no_grad()
    def losses(
        self, ids: Int[torch.Tensor, "batch pos"], silent: Sequence[tuple[Index, Index]] = ()
    ) -> Float[torch.Tensor, "batch later"]:
        """Surprisal of each token after the first, in nats. silent: (layer, head) pairs at their mean over `ids`."""
        logits = self._run(ids, silent)[0][:, :-1]
        return functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")

    def _run(self, ids: torch.Tensor, silent: Sequence[tuple[int, int]]) -> tuple[torch.Tensor, list[torch.Tensor]]:
        batch, pos = ids.shape
        x, patterns = self.embed(ids), []
        turn = _turn(pos, x.shape[-1] // self.n_heads)
        later = torch.full((pos, pos), -1e4).triu(1)
        for layer in range(self.n_layers):
            read = self.qkv[layer](self.norms[layer](x)).view(batch, pos, 3, self.n_heads, -1)
            q, k, v = read.permute(2, 0, 3, 1, 4)
            scores = _turned(q, turn) @ _turned(k, turn).transpose(-1, -2) / math.sqrt(q.shape[-1])
            pattern = (scores + later).softmax(-1)
            z = pattern @ v
            for head in [head for of, head in silent if of == layer]:
                z = z.clone()
                z[:, head] = z[:, head].mean((0, 1))
            x = x + self.out[layer](z.transpose(1, 2).reshape(batch, pos, -1))
            patterns.append(pattern)
        return self.unembed(self.norm(x)), patterns


def _turn(pos: int, d_head: int) -> tuple[torch.Tensor, torch.Tensor]:
    speed = 100.0 ** (-torch.arange(0, d_head, 2) / d_head)
    angle = torch.arange(pos)[:, None] * speed
    return angle.cos(), angle.sin()


def _turned(x: torch.Tensor, turn: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Queries or keys, rotated by their position (RoPE)."""
    (cos, sin), (first, second) = turn, x.chunk(2, -1)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], -1)


@checked
def said_twice(n: Count, period: Count, generator: torch.Generator, d_vocab: Count = 64) -> Int[torch.Tensor, "n pos"]:
    """Rows of random tokens, each said twice: (n, 2 * period), without a start token."""
    first = torch.randint(d_vocab, (n, period), generator=generator)
    return torch.cat([first, first], dim=1)


@checked
def grow(copyist: Copyist, steps: Count = 400, batch: Count = 32, rate: Positive = 5e-3, seed: Seed = 0) -> list[float]:
    """Train a copyist, in place, on fresh rows; returns the second copies' loss at each step, in nats a token.

    One copy has SHORTEST to LONGEST tokens, another number in each step. A few CPU seconds for two layers.
    """
    generator, losses = torch.Generator().manual_seed(seed), []
    optimiser = torch.optim.AdamW(copyist.parameters(), lr=rate, betas=(0.9, 0.98), weight_decay=0.01)
    with torch.enable_grad():
        for _ in tqdm(range(steps), desc="growing", leave=False):
            period = int(torch.randint(SHORTEST, LONGEST + 1, (1,), generator=generator))
            ids = said_twice(batch, period, generator, copyist.d_vocab)
            logits = copyist(ids)[:, :-1]
            each = functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
            optimiser.zero_grad()
            each.mean().backward()
            optimiser.step()
            losses.append(float(each.detach()[:, period:].mean()))
    return losses
