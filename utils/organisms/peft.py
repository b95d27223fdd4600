"""Adapters in the layout of the package PEFT: a folder with `adapter_config.json` and `adapter_model.safetensors`.

Read is plain LoRA on a block's linear layers: rank and alpha (with patterns for single layers), the scale of rank
stabilised LoRA (Kalajdzievski 2023, arXiv 2312.03732), target modules, chosen layers. A setting that changes what the
adapter computes and isn't one of these is refused by its name; none is passed over. The package itself isn't needed.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from utils.inputs import checked
from utils.organisms.lowrank import TARGETS, Adapter, AdapterError, low_rank
from utils.sealed import Damaged, read_unsealed

__all__ = ["CONFIG", "WEIGHTS", "read_peft"]

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"

_PLACES = {theirs: ours for ours, theirs in TARGETS.items()}
_TENSOR = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<end>[AB])(?:\.default)?\.weight")
_MODULE = re.compile(r"model\.layers\.(?P<block>\d+)\.(?P<layer>.+)")

_READ = {"base_model_name_or_path", "r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern", "peft_type"}
_READ |= {"target_modules", "exclude_modules", "layers_to_transform", "bias", "init_lora_weights"}
# They say how it was trained, or where it comes from; a trained adapter computes the same whatever they are.
_WITHOUT_EFFECT = {"task_type", "inference_mode", "lora_dropout", "revision", "auto_mapping", "peft_version"}
_WITHOUT_EFFECT |= {"eva_config", "runtime_config", "ephemeral_gpu_offload", "megatron_core", "layers_pattern"}
_WITHOUT_EFFECT |= {"qalora_group_size"}  # it takes use_qalora to have one
_STARTS = (True, False, "gaussian", "eva", "orthogonal")  # starts that leave the base model's own weights alone


@checked
def read_peft(folder: str | Path) -> Adapter:
    """An adapter from a PEFT folder. The scale of each layer is multiplied into its B; the adapter's own is 1.

    PEFT names the base model and holds no fingerprint of it: `attach` can compare the names only.
    Raises FileNotFoundError for a missing file, AdapterError for one that is damaged, and for what can't be read: DoRA,
    biases, saved modules, starts that change the base's weights, layers other than a Llama-like block's, and any
    setting that this function doesn't know.
    """
    folder = Path(folder).expanduser()
    if not folder.name:
        raise ValueError(f"folder must name a folder, got {str(folder)!r}")
    config = _config(folder)
    _refuse_what_is_not_plain(folder, config)
    if not (folder / WEIGHTS).is_file():
        pickled = (folder / "adapter_model.bin").is_file()
        why = " (adapter_model.bin is a pickle, which is never loaded)" if pickled else ""
        raise FileNotFoundError(f"{folder} holds no {WEIGHTS}{why}")
    try:
        tensors, _ = read_unsealed(folder / WEIGHTS)
    except Damaged as error:
        raise AdapterError(str(error)) from error
    ends: dict[str, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        found = _TENSOR.fullmatch(name)
        if not found:
            raise AdapterError(f"{folder.name}: {name!r} is no part of a plain LoRA, and can't be left out")
        ends.setdefault(found["module"], {})[found["end"]] = tensor
    if not ends:
        raise AdapterError(f"{folder.name}: {WEIGHTS} holds no tensor")
    parts = {}
    for module, pair in ends.items():
        if set(pair) != {"A", "B"}:
            raise AdapterError(f"{folder.name}: {module} has a lora_{next(iter(pair))} only")
        where = _place(folder, config, module)
        part = low_rank(where, pair["A"].float(), pair["B"].float())
        rank = _by_pattern(config, "rank_pattern", module, config.get("r", 8))
        alpha = _by_pattern(config, "alpha_pattern", module, config.get("lora_alpha", 8))
        if part.rank != rank:
            raise AdapterError(f"{folder.name}: {module} has rank {part.rank}, but {CONFIG} says {rank}")
        scale = alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
        parts[where] = low_rank(where, part.a, scale * part.b)
    return Adapter(str(config.get("base_model_name_or_path") or ""), parts, note=f"read from {folder.name}")


# ------------------------------------------------------------------------------------------------------------ helpers


def _config(folder: Path) -> Mapping[str, Any]:
    path = folder / CONFIG
    if not path.is_file():
        raise FileNotFoundError(f"{folder} holds no {CONFIG}: it is no adapter in PEFT's layout")
    try:
        config = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise AdapterError(f"{path.name} of {folder.name} can't be read ({error})") from error
    if not isinstance(config, Mapping):
        raise AdapterError(f"{path.name} of {folder.name} must hold an object, got {type(config).__name__}")
    return config


def _refuse_what_is_not_plain(folder: Path, config: Mapping[str, Any]) -> None:
    """Raise AdapterError for every setting that changes what is computed and that `read_peft` doesn't apply."""

    def refuse(key: str) -> None:
        raise AdapterError(f"{folder.name}: {key} is {config[key]!r} in {CONFIG}, which this lab can't read")

    if str(config.get("peft_type", "LORA")).upper() != "LORA":
        refuse("peft_type")
    if config.get("bias", "none") != "none":
        refuse("bias")
    if "init_lora_weights" in config and config["init_lora_weights"] not in _STARTS:
        refuse("init_lora_weights")
    for key in config.keys() - _READ - _WITHOUT_EFFECT:
        if config[key]:  # None, False, {} and [] leave a setting off
            refuse(key)
    for key in ("r", "lora_alpha"):
        if key in config:
            _positive(folder, key, config[key], whole=key == "r")
    for pattern in ("rank_pattern", "alpha_pattern"):
        if not isinstance(config.get(pattern) or {}, Mapping):
            refuse(pattern)
        for key, value in (config.get(pattern) or {}).items():
            _positive(folder, f"{pattern}[{key!r}]", value, whole=pattern == "rank_pattern")
            _compiled(folder, pattern, key)
    for key in ("target_modules", "exclude_modules"):
        if isinstance(config.get(key), str):
            _compiled(folder, key, config[key])
        elif not all(isinstance(name, str) for name in _listed(config.get(key))):
            refuse(key)
    if not all(isinstance(layer, int) for layer in _listed(config.get("layers_to_transform"))):
        refuse("layers_to_transform")


def _listed(value: Any) -> list[Any]:
    """A setting that may be left out, or be one value or several, as a list."""
    return [] if value is None else list(value) if isinstance(value, list) else [value]


def _positive(folder: Path, key: str, value: Any, whole: bool) -> None:
    kinds = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not 0 < value < math.inf:
        kind = "whole number" if whole else "number"
        raise AdapterError(f"{folder.name}: {key} must be a {kind} above 0 in {CONFIG}, got {value!r}")


def _compiled(folder: Path, key: str, pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise AdapterError(f"{folder.name}: {key} holds {pattern!r}, which is no pattern: {error}") from None


def _place(folder: Path, config: Mapping[str, Any], module: str) -> str:
    """Our name of a module, if the settings say that it is one of those that change."""
    found = _MODULE.fullmatch(module)
    if not found or found["layer"] not in _PLACES:
        raise AdapterError(f"{folder.name}: {module!r} is none of a block's linear layers ({', '.join(_PLACES)})")
    chosen = _listed(config.get("layers_to_transform"))
    targets = config.get("target_modules")
    meant = targets in (None, "all-linear") or _names(targets, module)
    if not meant or _names(config.get("exclude_modules"), module) or (chosen and int(found["block"]) not in chosen):
        raise AdapterError(f"{folder.name}: {WEIGHTS} changes {module!r}, which {CONFIG} doesn't")
    return f"blocks.{int(found['block'])}.{_PLACES[found['layer']]}"


def _names(names: Any, module: str) -> bool:
    """Whether a list of endings, or one pattern for the whole name, names a module."""
    if not names:
        return False
    if isinstance(names, str):
        return re.fullmatch(names, module) is not None
    return any(module == name or module.endswith(f".{name}") for name in names)


def _by_pattern(config: Mapping[str, Any], patterns: str, module: str, otherwise: Any) -> Any:
    """A single layer's value: that of the first pattern which the end of its name matches."""
    for pattern, value in (config.get(patterns) or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return otherwise
