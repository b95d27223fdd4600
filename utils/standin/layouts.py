"""Transcoders in other people's layouts: SAELens' folders and circuit-tracer's sets, written and read.

    SAELens (6)             a folder a block: cfg.json, sae_weights.safetensors. W_enc (d_model, d_sae); W_skip maps
                            (d_out, d_in), so it is ours turned over; b_dec is never taken off the input.
    circuit-tracer (0.5)    a folder a set: config.yaml, layer_0.safetensors and so on for every block from 0. W_enc is
                            (d_sae, d_model), W_skip turned over too; the threshold, if there is one, is called
                            activation_function.threshold, and without one it is a ReLU.

Neither can say TopK in a file: both read ReLU and JumpReLU. `as_jumprelu` makes a TopK transcoder into one with a
threshold; which latents are on then changes a little, so that is never done silently.

The layouts were taken from the packages' own code (sae-lens 6.54.12, saes/transcoder.py; circuit-tracer 0.5.0,
transcoder/single_layer_transcoder.py). The tests hold what is written here against the formulas of that code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor

from utils.inputs import Index, Text, checked
from utils.sae.layout import shapes_in
from utils.sae.saelens import refuse_unknown
from utils.standin.transcoders import Transcoder, hooks_of

__all__ = ["as_jumprelu", "read_circuit_tracer", "read_saelens", "write_circuit_tracer", "write_saelens"]

CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
VERSION = "6.0.0"  # of SAELens, whose layout it is
KINDS = ("transcoder", "skip_transcoder", "jumprelu_transcoder", "jumprelu_skip_transcoder")
THRESHOLD = "activation_function.threshold"
READ_AT, WRITTEN_AT = ("mlp.hook_in",), ("mlp.hook_out", "hook_mlp_out")
ROWS = 2048  # inputs that a threshold is found on, at most


@checked
@torch.no_grad()
def as_jumprelu(one: Transcoder, x: Float[Tensor, "n d_model"]) -> Transcoder:
    """A TopK transcoder with one threshold for all latents in place of k: as many are on, on average over x.

    x: (n, d_model) what the MLP reads, training text; of more than 2,048 rows an even sample is taken. Positions that
    are hard to describe now use more latents than k, and easy ones fewer. A JumpReLU transcoder comes back as it is.
    Raises ValueError for an x without rows or of another width.
    """
    if one.k is None:
        return one
    if len(x) == 0:
        raise ValueError("x must have at least one row, or there is nothing to find a threshold on")
    pre = one.pre_activations(x[:: max(1, len(x) // ROWS)])
    positive = pre[pre > 0]
    wanted = min(one.k * len(pre), len(positive))
    if wanted == len(positive):
        threshold = 0.0
    else:
        threshold = float(positive.kthvalue(len(positive) - wanted).values)
    return replace(one, k=None, threshold=torch.full_like(one.b_enc, threshold))


# ------------------------------------------------------------------------------------------------------- SAELens


@checked
def write_saelens(one: Transcoder, folder: Text | Path, *, model_name: Text) -> Path:
    """Write one transcoder as SAELens reads it (SAE.load_from_disk). Returns the folder.

    Raises ValueError for a TopK transcoder, which that layout hasn't got: see `as_jumprelu`.
    """
    threshold = _no_top_k(one)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: getattr(one, name) for name in ("W_enc", "b_enc", "W_dec", "b_dec")}
    jumps, skips = bool((threshold != 0).any()), one.W_skip is not None
    if jumps:
        tensors["threshold"] = threshold
    if one.W_skip is not None:
        tensors["W_skip"] = one.W_skip.T
    hook_in, hook_out = hooks_of(one.layer)
    config = {
        "architecture": "jumprelu_" * jumps + "skip_" * skips + "transcoder",
        **{"d_in": one.d_model, "d_sae": one.d_sae, "d_out": one.d_model},
        **{"dtype": "float32", "device": "cpu", "apply_b_dec_to_input": False},
        **{"normalize_activations": "none", "reshape_activations": "none"},
        "metadata": {
            **{"sae_lens_version": VERSION, "sae_lens_training_version": None, "model_name": model_name},
            **{"hook_name": hook_in, "hook_name_out": hook_out, "prepend_bos": True},
        },
    }
    _write_tensors(folder / WEIGHTS, tensors)
    _write_text(folder / CONFIG, json.dumps(config, indent=1) + "\n")
    return folder


@checked
def read_saelens(folder: Text | Path, *, layer: Index | None = None) -> Transcoder:
    """Read a transcoder that SAELens (6) or `write_saelens` wrote.

    layer: its block; None to take it from the configuration's hook point.
    Raises FileNotFoundError for a missing file; ValueError for a file that is cut, an architecture that isn't a
    transcoder, a setting that isn't known here and may change what latents are, and tensors of other shapes or names.
    """
    folder = Path(folder)
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"folder: {folder} has no {name}: a transcoder is a folder with {CONFIG} and {WEIGHTS}"
            )
    source = folder / CONFIG
    try:
        config = json.loads(source.read_text(encoding="utf-8"))
        kind, d_in, d_sae, d_out = (config[name] for name in ("architecture", "d_in", "d_sae", "d_out"))
        notes = dict(config.get("metadata") or {})
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{source} is not the configuration of a transcoder ({error!r})") from None
    if kind not in KINDS:
        raise ValueError(f"{source} names the architecture {kind!r}; known: {', '.join(KINDS)}")
    refuse_unknown(config, source, known=("d_out", "hook_name_out", "hook_layer_out", "hook_head_index_out"))
    if config.get("apply_b_dec_to_input") or config.get("normalize_activations") not in (None, False, "none"):
        raise ValueError(
            f"{source} asks for apply_b_dec_to_input or normalize_activations, which a transcoder here doesn't know"
        )
    if d_in != d_out:
        raise ValueError(f"{source} maps {d_in} numbers to {d_out}: it doesn't stand in for an MLP")
    if layer is None:
        layer = _layer_in(notes.get("hook_name") or config.get("hook_name"), source)
    shapes = {"W_enc": (d_in, d_sae), "b_enc": (d_sae,), "W_dec": (d_sae, d_out), "b_dec": (d_out,)}
    shapes |= {"W_skip": (d_out, d_in)} if "skip" in kind else {}
    shapes |= {"threshold": (d_sae,)} if kind.startswith("jumprelu") else {}
    tensors = _read_tensors(folder / WEIGHTS, shapes)
    return _made(layer, tensors, folder / WEIGHTS, threshold=tensors.pop("threshold", None))


def _layer_in(hook: Any, source: Path) -> int:
    found = re.match(r"blocks\.(\d+)\.", str(hook))
    if not found:
        raise ValueError(f"layer: {source} doesn't say which block it is of (hook_name is {hook!r}): give layer")
    if str(hook).split(".", 2)[2] not in READ_AT:
        raise ValueError(f"{source} reads {hook!r}, not what an MLP reads ({READ_AT[0]}): it stands at another place")
    return int(found[1])


# ------------------------------------------------------------------------------------------------- circuit-tracer


@checked
def write_circuit_tracer(transcoders: Mapping[int, Transcoder], folder: Text | Path, *, model_name: Text) -> Path:
    """Write a set as circuit-tracer reads it: config.yaml and a file for every block from 0. Returns the folder.

    Load it there with load_transcoder_set({0: ".../layer_0.safetensors", ...}, scan, "mlp.hook_in", "mlp.hook_out").
    Raises ValueError for missing blocks, widths that differ, some with a skip and some without, and TopK: see
    `as_jumprelu`.
    """
    blocks = sorted(transcoders)
    if blocks != list(range(len(blocks))) or not blocks:
        raise ValueError(f"transcoders must be of every block from 0 on, in that layout; these are of {blocks}")
    for what in ("d_sae", "d_model"):
        sizes = {getattr(one, what) for one in transcoders.values()}
        if len(sizes) > 1:
            raise ValueError(f"transcoders must have one {what} in that layout, these have {sorted(sizes)}")
    if len({one.W_skip is None for one in transcoders.values()}) > 1:
        raise ValueError("transcoders must all have a skip, or none, in that layout")
    thresholds = {block: _no_top_k(transcoders[block]) for block in blocks}
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for block in blocks:
        one = transcoders[block]
        tensors = {"W_enc": one.W_enc.T, "W_dec": one.W_dec, "b_enc": one.b_enc, "b_dec": one.b_dec}
        if bool((thresholds[block] != 0).any()):
            tensors[THRESHOLD] = thresholds[block]
        if one.W_skip is not None:
            tensors["W_skip"] = one.W_skip.T
        _write_tensors(folder / f"layer_{block}.safetensors", tensors)
    said = {"model_name": model_name, "model_kind": "transcoder_set", "scan": model_name}
    said |= {"feature_input_hook": READ_AT[0], "feature_output_hook": WRITTEN_AT[0]}
    _write_text(folder / "config.yaml", "".join(f"{name}: {json.dumps(value)}\n" for name, value in said.items()))
    return folder


@checked
def read_circuit_tracer(folder: Text | Path) -> dict[int, Transcoder]:
    """Read a set of per-layer transcoders in circuit-tracer's layout: block -> Transcoder.

    Raises FileNotFoundError for a missing file; ValueError for a gap between the blocks, a file that is cut, tensors of
    other shapes or names, and a set that reads or writes at other places than an MLP does.
    """
    folder = Path(folder)
    if not (folder / "config.yaml").is_file():
        raise FileNotFoundError(f"folder: {folder} has no config.yaml: a set is that and layer_0.safetensors and so on")
    said = dict(
        re.findall(r"(?m)^(\w+):[ \t]*[\"']?([^\"'\n]*?)[\"']?[ \t]*$", (folder / "config.yaml").read_text("utf-8"))
    )
    if said.get("model_kind") != "transcoder_set":
        raise ValueError(f"{folder / 'config.yaml'} is of a {said.get('model_kind')!r}, not of a 'transcoder_set'")
    for name, known in (("feature_input_hook", READ_AT), ("feature_output_hook", WRITTEN_AT)):
        if said.get(name) not in known:
            raise ValueError(f"{folder / 'config.yaml'}: {name} is {said.get(name)!r}, expected {' or '.join(known)}")
    numbers = sorted(
        int(found[1]) for path in folder.glob("*") if (found := re.fullmatch(r"layer_(\d+)\.safetensors", path.name))
    )
    missing = sorted(set(range(max(numbers, default=0) + 1)) - set(numbers))
    if missing:
        raise FileNotFoundError(
            f"folder: {folder} has no layer_{missing[0]}.safetensors; it must have every block from 0"
        )
    made: dict[int, Transcoder] = {}
    for block in numbers:
        path = folder / f"layer_{block}.safetensors"
        there = shapes_in(path)
        if len(there.get("W_enc", ())) != 2:
            raise ValueError(f"{path} has no W_enc of shape (d_sae, d_model); it holds {', '.join(sorted(there))}")
        d_sae, d_model = there["W_enc"]
        shapes: dict[str, tuple[int, ...]] = {"W_enc": (d_sae, d_model), "W_dec": (d_sae, d_model)}
        shapes |= {"b_enc": (d_sae,), "b_dec": (d_model,)}
        shapes |= {
            name: shape for name, shape in {"W_skip": (d_model, d_model), THRESHOLD: (d_sae,)}.items() if name in there
        }
        tensors = _read_tensors(path, shapes)
        tensors["W_enc"] = tensors["W_enc"].T.contiguous()
        made[block] = _made(block, tensors, path, threshold=tensors.pop(THRESHOLD, None))
    return made


# ---------------------------------------------------------------------------------------------------- both layouts


def _no_top_k(one: Transcoder) -> Tensor:
    if one.threshold is None:
        raise ValueError(
            f"the transcoder of block {one.layer} is a TopK, which that layout can't say: make it one with a threshold "
            "first (as_jumprelu), and measure what that changes"
        )
    return one.threshold


def _made(layer: int, tensors: dict[str, Tensor], path: Path, *, threshold: Tensor | None) -> Transcoder:
    """From tensors of both layouts, whose skip is turned over. Without a threshold it is a ReLU."""
    if "W_skip" in tensors:
        tensors["W_skip"] = tensors["W_skip"].T.contiguous()
    # Below zero a threshold does what zero does: a ReLU comes before it in SAELens; circuit-tracer has none.
    if threshold is not None and bool((threshold < 0).any()):
        raise ValueError(f"{path}: the threshold has values below 0, which would let negative latents through")
    if threshold is None:
        threshold = torch.zeros_like(tensors["b_enc"])
    try:
        weights: dict[str, Any] = dict(tensors)
        return Transcoder(layer=layer, threshold=threshold, **weights)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from None


def _read_tensors(path: Path, wanted: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    there = shapes_in(path)
    for name, shape in wanted.items():
        if name not in there:
            raise ValueError(f"{path} has no {name}; it holds {', '.join(sorted(there))}")
        if there[name] != shape:
            raise ValueError(f"{path}: {name} has shape {there[name]}, expected {shape}")
    unknown = sorted(set(there) - set(wanted))
    if unknown:
        raise ValueError(f"{path} holds {unknown[0]}, which isn't part of such a transcoder: nothing was read")
    return {name: value.float() for name, value in load_file(path).items()}


def _write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    ready = {name: value.detach().float().cpu().contiguous().clone() for name, value in tensors.items()}
    part = path.with_name(path.name + ".new")
    save_file(ready, part)
    part.chmod(0o644)
    part.replace(path)


def _write_text(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".new")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
