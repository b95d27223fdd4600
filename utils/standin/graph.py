"""The attribution graph of one prompt: which embedding, unit or error put how much into which unit or logit.

In the frozen model (`replacement`) everything between two MLPs is a straight line, so what a source puts into a target
*directly*, past all other units, is one product: the source's value, times its write row, carried along that line, dot
the direction in which the target reads. One walk from a target back through the blocks, stopped at every MLP's units,
gives all its edges; many targets walk together.

    adjacency[target, source]    what the source puts into the target's value, at its value on this prompt
    bias[target]                 what constants put in (encoder, norms, attention)

A row and its bias add up to the target's value: a latent's pre-activation, a neuron's value, a logit minus the mean
over the vocabulary. (Under the rule "gradient" they don't, and that is its fault.)

Source: Ameisen et al. 2025 ("Circuit Tracing", transformer-circuits.pub/2025/attribution-graphs/methods.html); order of
the nodes as in circuit-tracer 0.5 (github.com/safety-research/circuit-tracer), so that matrices can be compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from utils.inputs import Count, Fraction, Index, checked
from utils.progress import tqdm
from utils.reading.tokens import TokenIds, start_token, text_ids
from utils.standin.frozen import Block, words_of
from utils.standin.replacement import Replacement, Rule, latent_replacement, neuron_replacement
from utils.standin.transcoders import Transcoder
from utils.validators import what, whole

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

__all__ = ["KINDS", "Graph", "Kind", "Node", "attribute", "attribute_in", "top_logits", "unit_effects"]

Kind = Literal["unit", "error", "embedding", "logit"]
KINDS: tuple[Kind, ...] = ("unit", "error", "embedding", "logit")


@dataclass(frozen=True)
class Node:
    """One node. layer: block, -1 for embeddings, the number of blocks for logits. index: unit, token id, or 0.

    value: a unit's value, a logit minus the mean; 1 for errors and embeddings, which are present or not.
    """

    kind: Kind
    layer: int
    position: int
    index: int
    value: float
    word: str

    def __str__(self) -> str:
        """In a few words, such as "block 3, 'the': unit 210"."""
        where = f"block {self.layer}, {self.word!r}"
        return {
            "unit": f"{where}: unit {self.index}",
            "error": f"{where}: error",
            "embedding": f"embedding {self.word!r}",
            "logit": f"logit {self.word!r}",
        }[self.kind]


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes and direct effects. Nodes in order: units, errors (block by block), embeddings, logits.

    basis: "latents" or "neurons"; rule: how neurons were made straight, "" for latents. constant_start: whether what
    the MLPs write at position 0 counts as constant. units: (unit, 3) of block, position, number; values: theirs.
    n_active: how many units were on and could be nodes; what those left out write counts as error.
    logit_ids, logit_words, probabilities: the logits' tokens, and the model's probability of each.
    adjacency: (node, node), row: target, column: source. bias: (node,), what constants put in. totals: (node,), each
    target's value, which row and bias add up to; 0 for errors and embeddings, which are no targets.
    """

    basis: str
    rule: str
    constant_start: bool
    prompt: str
    tokens: Int[Tensor, " pos"]
    words: list[str]
    n_layers: int
    units: Int[Tensor, "unit 3"]
    values: Float[Tensor, " unit"]
    n_active: int
    logit_ids: list[int]
    logit_words: list[str]
    probabilities: Float[Tensor, " logit"]
    adjacency: Float[Tensor, "node node"]
    bias: Float[Tensor, " node"]
    totals: Float[Tensor, " node"]

    def __len__(self) -> int:
        """How many nodes there are."""
        return len(self.adjacency)

    def places(self, kind: Kind) -> slice:
        """Where the nodes of a kind stand."""
        n, pos = len(self.units), len(self.tokens)
        ends = [0, n, n + pos * self.n_layers, n + pos * self.n_layers + pos, len(self)]
        k = KINDS.index(kind)
        return slice(ends[k], ends[k + 1])

    def kind(self, i: int) -> Kind:
        """The kind of node i."""
        return next(kind for kind in KINDS if self.places(kind).start <= i < self.places(kind).stop)

    def node(self, i: int) -> Node:
        """Node i. Raises ValueError if there are fewer."""
        i = whole("node", i, 0, len(self) - 1)
        kind, last = self.kind(i), len(self.tokens) - 1
        k = i - self.places(kind).start
        if kind == "unit":
            layer, position, index = self.units[k].tolist()
            return Node(kind, layer, position, index, float(self.values[k]), self.words[position])
        if kind == "error":
            layer, position = divmod(k, len(self.tokens))
            return Node(kind, layer, position, 0, 1.0, self.words[position])
        if kind == "embedding":
            return Node(kind, -1, k, int(self.tokens[k]), 1.0, self.words[k])
        return Node(kind, self.n_layers, last, self.logit_ids[k], float(self.totals[i]), self.logit_words[k])

    def find(self, layer: int, position: int, index: int) -> int:
        """The number of a unit's node. Raises ValueError if that unit is none of the graph's."""
        at = (self.units == torch.tensor([layer, position, index])).all(1).nonzero()
        if not len(at):
            raise ValueError(f"unit {index} of block {layer} at position {position} is no node of this graph")
        return int(at[0])

    @property
    def order(self) -> Int[Tensor, " node"]:
        """Each node's floor: edges lead from lower to higher ones. Embeddings 0; units and errors of block b: b + 1."""
        floors = torch.zeros(len(self), dtype=torch.long)
        floors[self.places("unit")] = self.units[:, 0] + 1
        floors[self.places("error")] = torch.arange(self.n_layers).repeat_interleave(len(self.tokens)) + 1
        floors[self.places("logit")] = self.n_layers + 1
        return floors

    @property
    def positions(self) -> Int[Tensor, " node"]:
        """Each node's position in the prompt; that of logits is the last."""
        n = len(self.tokens)
        spread = torch.arange(n)
        logits = torch.full((len(self.logit_ids),), n - 1)
        return torch.cat([self.units[:, 1], spread.repeat(self.n_layers), spread, logits])

    @property
    def missing(self) -> Float[Tensor, " node"]:
        """Per target, its value minus what sources and constants put in: rounding only, except under "gradient"."""
        return self.totals - self.adjacency.sum(1) - self.bias

    def total_effects(self, targets: Sequence[Index] | None = None) -> Float[Tensor, "target node"]:
        """What each source puts into targets over *all* ways through the graph, direct ones included.

        targets: node numbers; None for the logits. Scaling a source by s changes a target by (s - 1) times this, as far
        as the frozen lines are right. A unit hands on what comes in by the share of its value: value and edges grow
        together.
        """
        rows = list(range(len(self)))[self.places("logit")] if targets is None else list(targets)
        totals = self.totals[: len(self.units)]
        relative = self.adjacency.clone()
        relative[: len(self.units)] /= torch.where(totals == 0, 1.0, totals)[:, None]
        relative[: len(self.units)][totals == 0] = 0
        relative[len(self.units) :] = 0
        # All ways are A (I - relative)^-1; in the order of the floors that matrix is a triangle with ones.
        by_floor = self.order.argsort(stable=True)
        triangle = torch.eye(len(self)) - relative[by_floor][:, by_floor]
        direct = self.adjacency[rows][:, by_floor]
        solved = torch.linalg.solve_triangular(triangle, direct, upper=False, left=False, unitriangular=True)
        found = torch.empty_like(solved)
        found[:, by_floor] = solved
        return found


# ----------------------------------------------------------------------------------------------------------- making one


@checked
def attribute(
    model: TransformerBridge,
    tokens: TokenIds,
    transcoders: Mapping[int, Transcoder] | None = None,
    *,
    targets: Sequence[str | int] | None = None,
    max_nodes: Count | None = 500,
    rule: Rule = "half",
    constant_start: bool | None = None,
    batch_size: Count = 64,
) -> Graph:
    """The attribution graph of a prompt, in a set of transcoders' latents or in the MLPs' own neurons.

    tokens: (pos,) ids, two at least. transcoders: block -> transcoder, one for every block; None takes the neurons,
    made straight by `rule` (see `Neurons`; "half" for gated MLPs as published). targets: tokens (as text or id) whose
    logits are explained; None takes the likeliest, see `top_logits`. constant_start: None means yes where the prompt
    begins with the model's start token; this, max_nodes and batch_size: see `attribute_in`.
    Raises ValueError for a prompt of one token, transcoders that are missing or of another model, a target that isn't
    one token of the vocabulary, and NaN.
    """
    if transcoders is None:
        replacement = neuron_replacement(model, tokens, rule)
    else:
        replacement = latent_replacement(model, tokens, transcoders)
    ids = top_logits(replacement.frozen.logits) if targets is None else _target_ids(model, targets)
    if constant_start is None:
        first = None if model.tokenizer is None else start_token(model)
        constant_start = int(replacement.frozen.tokens[0]) == first
    return attribute_in(
        replacement,
        ids,
        words_of(model, ids),
        max_nodes=max_nodes,
        constant_start=constant_start,
        batch_size=batch_size,
    )


def _target_ids(model: TransformerBridge, targets: Sequence[str | int]) -> list[int]:
    ids = []
    for i, target in enumerate(targets):
        if isinstance(target, str):
            if model.tokenizer is None:
                raise ValueError(f"targets[{i}] must be a token id: the model has no tokenizer to read {target!r}")
            found = text_ids(model, target)
            if len(found) != 1:
                raise ValueError(
                    f"targets[{i}] {target!r} is {len(found)} tokens, not one of the vocabulary: mind a space in front"
                )
            ids.append(found[0])
        elif isinstance(target, int) and not isinstance(target, bool):
            if not 0 <= target < model.cfg.d_vocab:
                raise ValueError(f"targets[{i}] must be an id from 0 to {model.cfg.d_vocab - 1}, got {target}")
            ids.append(target)
        else:
            raise TypeError(f"targets[{i}] must be a token's text or its id, got {what(target)}")
    return ids


@checked
def top_logits(logits: Float[Tensor, " d_vocab"], most: Count = 10, probability: Fraction = 0.95) -> list[int]:
    """The likeliest tokens, as few as hold that much probability together, and at most `most`; likeliest first.

    The published defaults. Returns their ids.
    """
    found, ids = logits.softmax(-1).topk(min(most, len(logits)))
    return ids[: int((found.cumsum(0) < probability).sum()) + 1].tolist()


@checked
@torch.no_grad()
def attribute_in(
    replacement: Replacement,
    targets: Sequence[Index],
    words: Sequence[str],
    *,
    max_nodes: Count | None = 500,
    constant_start: bool = False,
    batch_size: Count = 64,
) -> Graph:
    """The graph of a local replacement model that is there already. targets: token ids; words: their texts.

    max_nodes: how many units become nodes, at most; None for all that are on (latents only: neurons always are). Those
    with the largest total effect on the targets (absolute, by the targets' probabilities, through all units made
    straight) are taken; what the others write goes into the errors, so rows still add up.
    constant_start: count what MLPs write at position 0 as a constant: no unit there is a node, no error either (nor is
    it in circuit-tracer). A start token sees only itself, so this is the same in every prompt, and it is large: massive
    activations are made there. batch_size: targets that walk together. Raises ValueError for no targets, one given
    twice or outside the vocabulary, and neurons without limit.
    """
    frozen = replacement.frozen
    if not len(targets):
        raise ValueError("targets must hold at least one token, got none")
    if len(set(targets)) != len(targets):
        raise ValueError(f"targets holds a token twice: {list(targets)}")
    outside = [t for t in targets if t >= len(frozen.logits)]
    if outside:
        raise ValueError(f"targets: {outside[0]} is outside the vocabulary of {len(frozen.logits)} tokens")
    if len(words) != len(targets):
        raise ValueError(f"words must hold one text a target, got {len(words)} for {len(targets)}")
    if max_nodes is None and replacement.basis == "neurons":
        raise ValueError("max_nodes must be given for neurons: all of them are on")
    chance = frozen.logits.softmax(-1)[list(targets)]
    readout, readout_bias = _readout(frozen.W_U, frozen.b_U, targets)
    units, n_active = _chosen(replacement, readout, chance, max_nodes, int(constant_start))
    values = torch.tensor([float(replacement.units[b].values[p, u]) for b, p, u in units.tolist()])
    n, pos, n_layers = len(units), len(frozen), len(frozen.blocks)
    size = n + pos * n_layers + pos + len(targets)
    adjacency, bias, totals = torch.zeros(size, size), torch.zeros(size), torch.zeros(size)
    walk = _Walk(replacement, units, values, size, constant_start)
    first = size - len(targets)
    adjacency[first:], bias[first:] = walk.from_logits(readout)
    bias[first:] += readout_bias
    centred = frozen.logits - frozen.logits.mean()
    totals[first:], totals[:n] = centred[list(targets)], values
    for rows in tqdm(list(torch.arange(n).split(batch_size)), desc="edges", leave=False):
        adjacency[rows], bias[rows] = walk.from_units(units[rows])
    return Graph(
        basis=replacement.basis,
        rule=getattr(replacement.units[0], "rule", ""),
        constant_start=constant_start,
        prompt="".join(frozen.words),
        tokens=frozen.tokens,
        words=list(frozen.words),
        n_layers=n_layers,
        units=units,
        values=values,
        n_active=n_active,
        logit_ids=list(targets),
        logit_words=list(words),
        probabilities=chance,
        adjacency=adjacency,
        bias=bias,
        totals=totals,
    )


def _readout(W_U: Tensor, b_U: Tensor, targets: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Directions and constants that give logits minus the mean over the vocabulary: (target, d_model), (target,)."""
    ids = list(targets)
    return W_U[:, ids].T - W_U.mean(1), b_U[ids] - b_U.mean()


def _chosen(
    replacement: Replacement, readout: Tensor, chance: Tensor, max_nodes: int | None, first: int
) -> tuple[Int[Tensor, "unit 3"], int]:
    """The units that become nodes, as (block, position, number) in order; and how many were on. first: position."""
    on = [(units.values != 0).nonzero() for units in replacement.units]
    on = [places[places[:, 0] >= first] for places in on]
    n_active = sum(map(len, on))
    if max_nodes is None or n_active <= max_nodes:
        return torch.cat([torch.nn.functional.pad(places, (1, 0), value=b) for b, places in enumerate(on)]), n_active
    scores = [(chance[:, None, None] * effect.abs()).sum(0) for effect in unit_effects(replacement, readout)]
    for score in scores:
        score[:first] = 0
    flat = torch.cat([score.flatten() for score in scores])
    best = flat.topk(min(max_nodes, int((flat > 0).sum()))).indices.sort().values.tolist()  # those that are off have 0
    places, start, block = [], 0, 0
    for i in best:
        while i >= start + scores[block].numel():
            start, block = start + scores[block].numel(), block + 1
        places.append((block, *divmod(i - start, scores[block].shape[1])))
    return torch.tensor(places, dtype=torch.long).reshape(-1, 3), n_active


@checked
@torch.no_grad()
def unit_effects(
    replacement: Replacement, readout: Float[Tensor, "target d_model"]
) -> list[Float[Tensor, "target pos unit"]]:
    """What every unit of every block puts into readouts of the last stream over all ways, units made straight.

    One walk back through the whole model. readout: directions at the final norm's output, last position
    (columns of W_U, say). Returns a list, one tensor a block. Raises ValueError for readouts of another width.
    """
    frozen = replacement.frozen
    if readout.shape[1] != len(frozen.W_U):
        raise ValueError(f"readout must have d_model = {len(frozen.W_U)} columns, got {readout.shape[1]}")
    v = frozen.final.back(_at_last(readout, len(frozen)))
    found = []
    for block, units in zip(reversed(frozen.blocks), reversed(replacement.units)):
        h = v @ units.write.T
        found.append(h * units.values)
        g = units.back(h)
        v, _ = _through_block(block, v, g if units.skip is None else g + v @ units.skip.T)
    return found[::-1]


def _at_last(directions: Tensor, pos: int) -> Float[Tensor, "batch pos d_model"]:
    v = torch.zeros(len(directions), pos, directions.shape[1])
    v[:, -1] = directions
    return v


def _through_block(block: Block, v: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient at the stream a block reads, and what the block's constants put in.

    v: gradient at the stream that leaves it; g: gradient at its MLP's input. Both (batch, pos, d_model).
    """
    into = block.norm2.back(g)
    middle = v if block.parallel else v + into
    constants = (middle * block.constants()).sum((1, 2)) + (g.sum(1) @ block.norm2.bias)
    below = middle + block.attention_back(middle)
    return (below + into if block.parallel else below), constants


class _Walk:
    """From targets back to the embeddings, stopped at every MLP's units: rows of the adjacency."""

    def __init__(
        self, replacement: Replacement, units: Tensor, values: Tensor, size: int, constant_start: bool
    ) -> None:
        self.replacement, self.size = replacement, size
        self.n, self.pos = len(units), len(replacement.frozen)
        self.at: list[Tensor] = []  # per block: which nodes are its units
        self.writes: list[Tensor] = []  # what each of them writes, at its value
        self.rest: list[Tensor] = []  # what of the MLP's output is no node, constant or skip: the error nodes
        self.start: list[Tensor | None] = []  # what it writes at position 0, where that counts as constant
        for block, one in enumerate(replacement.units):
            here = (units[:, 0] == block).nonzero()[:, 0]
            write = values[here, None] * one.write[units[here, 2]]
            rest = (one.values @ one.write + one.error).index_add(0, units[here, 1], -write)
            self.start.append(rest[0].clone() if constant_start else None)
            if constant_start:
                rest[0] = 0
            self.at.append(here)
            self.writes.append(write)
            self.rest.append(rest)
        self.positions = units[:, 1]

    def from_logits(self, readout: Tensor) -> tuple[Tensor, Tensor]:
        """Rows and constants of centred logits."""
        frozen = self.replacement.frozen
        constant = readout @ frozen.final.bias
        rows, bias = self._down(frozen.final.back(_at_last(readout, self.pos)), len(frozen.blocks) - 1)
        return rows, bias + constant

    def from_units(self, places: Int[Tensor, "batch 3"]) -> tuple[Tensor, Tensor]:
        """Rows and constants of units at (block, position, number)."""
        directions = torch.zeros(len(places), self.rest[0].shape[1])
        constants = torch.zeros(len(places))
        for block in places[:, 0].unique().tolist():
            mine = places[:, 0] == block
            _, positions, numbers = places[mine].T
            directions[mine], constants[mine] = self.replacement.units[block].read(positions, numbers)
        v = torch.zeros(len(places), self.pos, directions.shape[1])
        rows, bias = self._down(v, int(places[:, 0].max()), places, directions)
        return rows, bias + constants

    def _down(
        self, v: Tensor, top: int, places: Tensor | None = None, directions: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        frozen = self.replacement.frozen
        rows, bias = torch.zeros(len(v), self.size), torch.zeros(len(v))
        for layer in range(top, -1, -1):
            units, here = self.replacement.units[layer], self.at[layer]
            rows[:, here] = torch.einsum("bnd,nd->bn", v[:, self.positions[here]], self.writes[layer])
            first = self.n + layer * self.pos
            rows[:, first : first + self.pos] = (v * self.rest[layer]).sum(-1)
            bias += v.sum(1) @ units.constant
            start = self.start[layer]
            if start is not None:
                bias += v[:, 0] @ start
            g = torch.zeros_like(v) if units.skip is None else v @ units.skip.T
            if places is not None and directions is not None:
                mine = (places[:, 0] == layer).nonzero()[:, 0]
                g[mine, places[mine, 1]] += directions[mine]
            v, constants = _through_block(frozen.blocks[layer], v, g)
            bias += constants
        first = self.n + self.pos * len(frozen.blocks)
        rows[:, first : first + self.pos] = (v * frozen.embedding).sum(-1)
        return rows, bias
