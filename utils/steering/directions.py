"""Directions to steer along: where they come from, how long they are, and how they are kept.

A direction is a vector in the residual stream at the output of one block. How hard a push is depends on how long the
activations there are (about 110 after block 5 of the specimen, about 240 after block 20), so strengths are given as
multiples of the *typical* length at that place: the median over ordinary tokens. `Direction.raw` says what that is in
the model's own units.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float

from utils.reading.activations import collect, massive_tokens, residual_norms

FORMAT = "llm-biology-lab direction 1"
Tokens = Literal["all", "last"]


@dataclass(frozen=True)
class Direction:
    """A vector at the output of one block, with where it came from.

    vector: (d_model,), as it was found: its own length says how far apart the two sides lie, and steering ignores it.
    layer: the block after which it lives. typical: median length of an ordinary activation there.
    kind: how it was made ("contrast", "prompt pair", "latent", "probe", "random", …). source: what it was made from.
    Raises TypeError or ValueError for a vector that isn't one, holds NaN or infinity, or is all zero.
    """

    vector: Float[torch.Tensor, "d_model"]
    layer: int
    typical: float
    name: str
    kind: str
    source: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        vector = self.vector
        if not isinstance(vector, torch.Tensor) or not vector.is_floating_point():
            kind = vector.dtype if isinstance(vector, torch.Tensor) else type(vector).__name__
            raise TypeError(f"vector must be a floating-point tensor, got {kind}")
        if vector.ndim != 1 or not len(vector):
            raise ValueError(f"vector must have shape (d_model,), got {tuple(vector.shape)}")
        if not bool(torch.isfinite(vector).all()):
            raise ValueError("vector holds NaN or infinity; look for the text that made them first")
        if not bool(vector.any()):
            raise ValueError("vector is all zero, so it points nowhere: are the two sides the same?")
        if not isinstance(self.layer, int) or isinstance(self.layer, bool) or self.layer < 0:
            raise ValueError(f"layer must be a block number from 0, got {self.layer!r}")
        check_positive("typical", self.typical)
        object.__setattr__(self, "vector", vector.detach().float().cpu().clone())

    @property
    def unit(self) -> Float[torch.Tensor, "d_model"]:
        """The direction with length 1."""
        return self.vector / self.vector.norm()

    @property
    def hook(self) -> str:
        """Where it lives, as a hook name."""
        return f"blocks.{self.layer}.hook_resid_post"

    def raw(self, strength: float) -> float:
        """How long a push of this strength is, in the model's own units. Raises ValueError unless it is finite."""
        check_finite("strength", strength)
        return float(strength) * self.typical

    def step(self, strength: float) -> Float[torch.Tensor, "d_model"]:
        """What a push of this strength adds to an activation. Negative strengths push the other way."""
        return self.unit * self.raw(strength)

    def cosine(self, other: Direction) -> float:
        """Cosine of the angle between two directions: 1 the same, 0 unrelated, -1 opposite."""
        if self.vector.shape != other.vector.shape:
            raise ValueError(f"directions have {len(self.vector)} and {len(other.vector)} numbers: not one model's")
        return float(self.unit @ other.unit)

    def describe(self, strength: float) -> str:
        """A strength in both units, for captions."""
        return f"{strength:g} of a typical activation ({self.raw(strength):.0f} raw) after block {self.layer}"


def typical_norms(model: Any, layers: Sequence[int], texts: Sequence[str] | None = None) -> dict[int, float]:
    """The median length of ordinary activations after each of these blocks.

    texts: what to read; the course's twelve passages if not given. Document starts and massive activations (above four
    times the median) are left out. Raises ValueError for a block the model doesn't have.
    """
    if texts is None:
        from utils.datasets.passages import passages

        texts = [passage.text for passage in passages()]
    hooks = _hooks(model, layers)
    found = collect(model, list(texts), hooks, positions="all", progress=False)
    result = {}
    for layer, hook in zip(layers, hooks):
        acts = found[hook][found.position > 0]
        result[layer] = float(residual_norms(acts)[~massive_tokens(acts)].median())
    return result


def contrasts(
    model: Any,
    positive: Sequence[str],
    negative: Sequence[str],
    layers: Sequence[int],
    *,
    name: str,
    tokens: Tokens = "all",
    typical: Mapping[int, float] | None = None,
) -> dict[int, Direction]:
    """`contrast` at several blocks, reading the texts once: block -> Direction."""
    if tokens not in ("all", "last"):
        raise ValueError(f'tokens must be "all" or "last", got {tokens!r}')
    for side, texts in (("positive", positive), ("negative", negative)):
        if isinstance(texts, str) or not isinstance(texts, Sequence):
            raise TypeError(f"{side} must be a list of texts, got {type(texts).__name__}")
        if not texts:
            raise ValueError(f"{side} is empty; give at least one text")
    hooks = _hooks(model, layers)
    found = collect(model, [*positive, *negative], hooks, positions=tokens, progress=False)
    typical = typical_norms(model, layers) if typical is None else typical
    source = {
        "model": _model_name(model),
        "tokens": tokens,
        "n_positive": len(positive),
        "n_negative": len(negative),
        "first_positive": positive[0],
        "first_negative": negative[0],
    }
    result = {}
    for layer, hook in zip(layers, hooks):
        acts = found[hook]
        keep = (found.position > 0) & ~massive_tokens(acts)
        means = _text_means(acts[keep], found.text_index[keep], len(positive) + len(negative))
        vector = means[: len(positive)].mean(0) - means[len(positive) :].mean(0)
        result[layer] = Direction(vector, layer, typical[layer], name, "contrast", source)
    return result


def contrast(
    model: Any,
    positive: Sequence[str],
    negative: Sequence[str],
    layer: int,
    *,
    name: str,
    tokens: Tokens = "all",
    typical: float | None = None,
) -> Direction:
    """The mean activation of texts that have a property minus that of texts that don't.

    tokens: average over all of a text's ordinary tokens ("all"), or take its last one ("last"). Each text counts once,
    however long. Document starts and massive activations are left out.
    Source: Rimsky et al. 2023, "Steering Llama 2 via Contrastive Activation Addition", arXiv 2312.06681 (last token
    of pairs that differ in an answer letter); Zou et al. 2023, "Representation Engineering", arXiv 2310.01405.
    Raises TypeError or ValueError for bad texts, a block the model doesn't have, or two sides that are the same.
    """
    known = None if typical is None else {layer: typical}
    return contrasts(model, positive, negative, [layer], name=name, tokens=tokens, typical=known)[layer]


def prompt_pair(
    model: Any, plus: str, minus: str, layer: int, *, name: str = "", typical: float | None = None
) -> Direction:
    """The activation at the last token of one prompt minus that of another ("I love", "I hate").

    Two prompts instead of a data set, as in activation addition: Turner et al. 2023, arXiv 2308.10248. There the
    difference is taken token by token and added to the first tokens of the prompt only; here it is one vector.
    """
    made = contrast(model, [plus], [minus], layer, name=name or f"{plus!r} - {minus!r}", tokens="last", typical=typical)
    return replace(made, kind="prompt pair")


def from_latent(
    dictionary: Any,
    latent: int,
    layer: int,
    typical: float,
    *,
    side: Literal["decoder", "encoder"] = "decoder",
    name: str = "",
) -> Direction:
    """A direction out of a sparse autoencoder.

    side: "decoder" is what the latent writes when it is on, and the one to steer with. "encoder" is what it looks for:
    it is tuned to tell its own case from all others, and points partly away from what they share.
    Raises ValueError for a latent that doesn't exist or another side.
    """
    if side not in ("decoder", "encoder"):
        raise ValueError(f'side must be "decoder" or "encoder", got {side!r}')
    if not isinstance(latent, int) or isinstance(latent, bool) or not 0 <= latent < dictionary.d_sae:
        raise ValueError(f"latent must be a number between 0 and {dictionary.d_sae - 1}, got {latent!r}")
    row = dictionary.W_dec[latent] if side == "decoder" else dictionary.W_enc[:, latent]
    kind = "latent" if side == "decoder" else "latent's encoder"
    return Direction(row, layer, typical, name or f"latent {latent}", kind, {"latent": latent, "side": side})


def from_probe(probe: Any, layer: int, typical: float, *, name: str) -> Direction:
    """The direction of a linear probe (`utils.probing`), from False to True. Raises ValueError for a stack of them."""
    vector = probe.direction(unit=False)
    if vector.ndim != 1:
        raise ValueError(f"probe holds {len(vector)} layers; pick one with probe.layer(i)")
    return Direction(vector, layer, typical, name, "probe", {"probe": probe.kind})


def random_like(direction: Direction, n: int = 20, seed: int = 0) -> list[Direction]:
    """n directions drawn evenly from the sphere, at the same place: the same strength is a push of the same length."""
    from utils.probing.controls import random_directions

    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        raise ValueError(f"n must be a whole number from 1, got {n!r}")
    drawn = random_directions(direction.vector, n, seed)
    return [
        replace(direction, vector=row, name=f"random {i}", kind="random", source={"seed": seed, "number": i})
        for i, row in enumerate(drawn)
    ]


# ------------------------------------------------------------------------------------------------------------- on disk


def save(direction: Direction, path: str | Path) -> Path:
    """Write `<path>.safetensors` (the vector) and `<path>.json` (all the rest, readable). Returns the first path."""
    from safetensors.torch import save_file

    weights, card = _files(path)
    weights.parent.mkdir(parents=True, exist_ok=True)
    save_file({"vector": direction.vector.contiguous()}, weights)
    weights.chmod(0o644)  # safetensors writes 0600, which would lock a classroom out
    facts = {
        "format": FORMAT,
        "name": direction.name,
        "kind": direction.kind,
        "layer": direction.layer,
        "typical": direction.typical,
        "d_model": len(direction.vector),
        "source": dict(direction.source),
    }
    card.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return weights


def load(path: str | Path) -> Direction:
    """Read a direction that `save` wrote; nothing is unpickled.

    Raises FileNotFoundError if one of the two files is missing, ValueError if one is damaged or they don't belong
    together.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    weights, card = _files(path)
    for file in (weights, card):
        if not file.is_file():
            raise FileNotFoundError(f"there is no {file}; a direction is two files, .safetensors and .json")
    try:
        facts = json.loads(card.read_text(encoding="utf-8"))
        vector = load_file(weights)["vector"]
    except (ValueError, KeyError, SafetensorError) as error:
        raise ValueError(f"{weights.stem}: not a readable direction ({error}); it may have been cut short") from error
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise ValueError(f"{card.name} is not a direction's card: its format is not {FORMAT!r}")
    missing = sorted({"name", "kind", "layer", "typical", "d_model", "source"} - set(facts))
    if missing:
        raise ValueError(f"{card.name} lacks {', '.join(missing)}")
    if facts["d_model"] != vector.numel():
        raise ValueError(f"{card.name} speaks of {facts['d_model']} numbers, {weights.name} holds {vector.numel()}")
    return Direction(vector, facts["layer"], facts["typical"], facts["name"], facts["kind"], facts["source"])


# ------------------------------------------------------------------------------------------------------------- helpers


def _files(path: str | Path) -> tuple[Path, Path]:
    if not isinstance(path, str | Path):
        raise TypeError(f"path must be a string or a path, got {type(path).__name__}")
    path = Path(path)
    stem = path.with_suffix("") if path.suffix in (".safetensors", ".json") else path
    return stem.with_name(stem.name + ".safetensors"), stem.with_name(stem.name + ".json")


def _hooks(model: Any, layers: Sequence[int]) -> list[str]:
    last = model.cfg.n_layers - 1
    for layer in layers:
        if not isinstance(layer, int) or isinstance(layer, bool) or not 0 <= layer <= last:
            raise ValueError(f"layer must be a block number from 0 to {last}, got {layer!r}")
    return [f"blocks.{layer}.hook_resid_post" for layer in layers]


def _text_means(
    acts: Float[torch.Tensor, "n d_model"], text: torch.Tensor, n_texts: int
) -> Float[torch.Tensor, "texts d_model"]:
    """The mean activation of each text."""
    counts = torch.bincount(text, minlength=n_texts)
    if not bool(counts.all()):
        empty = int((counts == 0).nonzero()[0])
        raise ValueError(f"text {empty} has no ordinary token to average (document start or massive ones only)")
    sums = torch.zeros(n_texts, acts.shape[1]).index_add_(0, text, acts.float())
    return sums / counts[:, None]


def _model_name(model: Any) -> str:
    return str(getattr(model.cfg, "model_name", "")).rstrip("/").rsplit("/", 1)[-1]


def check_finite(name: str, value: Any) -> None:
    """Raise ValueError unless the value is an ordinary number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number, got {value!r}")


def check_positive(name: str, value: Any) -> None:
    """Raise ValueError unless the value is a number above 0."""
    check_finite(name, value)
    if not value > 0:
        raise ValueError(f"{name} must be above 0, got {value!r}")
