"""How `utils.writing.generation` reads: prompts once, then one token a step, with interventions at every step.

A TransformerBridge runs every activation through a Python object that a hook could sit on, and its cache copies all
keys and values at each step. Generating text pays for both thousands of times. So a plain copy of the model is built
around the very same weights (nothing is held twice), interventions go on the few modules that were asked for, and
keys and values are written into memory set aside beforehand. Where this cannot be done faithfully the bridge itself
does the reading, more slowly and with the same result; `why_not_direct` says why. No hook name is ever passed over.
"""

from __future__ import annotations

import contextlib
import copy
import re
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float, Int

from utils.devices import device_of
from utils.reading.hooks import HookFunction, Hooks

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

# Architectures whose attention is plain: causal, no windows, no capped scores. Others go through the bridge.
PLAIN = ("llama", "qwen2", "gpt2", "gpt_neox")
_LIBRARIES = ("transformer_lens", "transformers")
# Hook points (by their own name in the bridge) that are the input or output of one module.
_DIRECT = re.compile(r"(embed|blocks\.\d+|blocks\.\d+\.attn|blocks\.\d+\.mlp)\.hook_out|blocks\.\d+\.hook_in")


# ---------------------------------------------------------------------------------------------- where a hook is


@dataclass(frozen=True)
class Places:
    """Where the entries of an activation of shape (batch, pos, ...) stand in their texts.

    positions: (batch, pos), the token's place in its own text counted from 0 (the start token, if there is one),
    whatever padding stands before it; -1 for padding. prompt_lengths: (batch,), so that `positions >=
    prompt_lengths[:, None]` are the generated tokens, and `positions == prompt_lengths[:, None] - 1` the prompt's last.
    """

    positions: Int[torch.Tensor, "batch pos"]
    prompt_lengths: Int[torch.Tensor, "batch"]
    _rows: Int[torch.Tensor, "batch"] | None

    @property
    def real(self) -> Bool[torch.Tensor, "batch pos"]:
        """True for tokens, False for padding."""
        return self.positions >= 0

    @property
    def rows(self) -> Int[torch.Tensor, "batch"]:
        """Which prompt of the list each row is: (batch,). Rows leave the batch when their text has ended."""
        if self._rows is None:
            raise RowsWanted
        return self._rows


class RowsWanted(Exception):
    """A hook treats the rows differently, so equal prompts cannot be read as one."""


_HERE: ContextVar[Places | None] = ContextVar("_HERE", default=None)


def places(acts: Float[torch.Tensor, "batch pos *rest"]) -> Places:
    """Call this inside a hook to learn where its activations stand: positions, padding, prompt lengths, rows.

    While text is generated with kept keys and values, `acts` holds the whole prompt once and then one new token at a
    time, so acts[:, 0] is not the start of the text. This is. Outside generation (model.run_with_hooks on a batch) it
    counts columns from 0: texts padded on the right, as everywhere else in the lab. acts: (batch, pos, ...).
    """
    here = _HERE.get()
    if here is None:
        batch, pos = acts.shape[:2]
        columns = torch.arange(pos, device=acts.device).expand(batch, pos)
        whole = torch.full((batch,), pos, device=acts.device)
        return Places(columns, whole, torch.arange(batch, device=acts.device))
    if acts.shape[:2] != here.positions.shape:
        raise ValueError(
            f"acts has shape {tuple(acts.shape)}, expected (batch, pos) = {tuple(here.positions.shape)} first"
        )
    return here


@contextlib.contextmanager
def standing(here: Places) -> Iterator[None]:
    """Inside the `with`, `places` answers this."""
    token = _HERE.set(here)
    try:
        yield
    finally:
        _HERE.reset(token)


def _intervene(name: str, function: HookFunction, acts: torch.Tensor, hook: Any) -> torch.Tensor:
    """Call a hook as TransformerLens does (None: unchanged), and refuse an answer of another shape or type."""
    result = function(acts, hook=hook)
    if result is None:
        return acts
    if not isinstance(result, torch.Tensor):
        raise TypeError(f"the hook on {name} returned {type(result).__name__}, expected a tensor or None")
    if result.shape != acts.shape or result.dtype != acts.dtype:
        raise ValueError(
            f"the hook on {name} returned {tuple(result.shape)} {result.dtype}, expected {tuple(acts.shape)} "
            f"{acts.dtype}. Rows come and go during generation: a hook that treats them differently "
            "takes them from utils.writing.generation.places(acts).rows"
        )
    return result


# ------------------------------------------------------------------------------------------------ the plain copy

_COPIES: weakref.WeakKeyDictionary[Any, tuple[list[torch.Tensor], Any, str]] = weakref.WeakKeyDictionary()


def why_not_direct(model: TransformerBridge, hooks: Hooks = ()) -> str:
    """Why this model with these hooks must be read through the bridge, in words; "" if it need not."""
    for name, _ in hooks:
        if not _DIRECT.fullmatch(model.hook_dict[name].name or ""):
            return f"{name} is inside a module"
    if any(point.fwd_hooks for point in model.hook_dict.values()):
        return "hooks were attached to the model"
    if any(_foreign(module) for module in model.modules()):
        return "torch hooks were attached to the model"
    if getattr(model, "compatibility_mode", False):
        return "the model is in compatibility mode"
    if any(module.training for module in model.modules()):
        return "the model is in training mode"
    return _plain_copy(model)[1]


def _foreign(module: torch.nn.Module) -> list[Callable]:
    """The torch hooks on a module that somebody put there: both libraries keep some of their own, which only record."""
    hooks = [*module._forward_hooks.values(), *module._forward_pre_hooks.values()]
    return [hook for hook in hooks if (getattr(hook, "__module__", "") or "").split(".")[0] not in _LIBRARIES]


def _plain_copy(model: TransformerBridge) -> tuple[Any, str]:
    """A model of plain modules that uses the bridge's own parameters, or why there is none."""
    weights = [tensor for _, tensor in _parameters(model.original_model)]
    kept = _COPIES.get(model)
    if kept is None or len(kept[0]) != len(weights) or any(a is not b for a, b in zip(kept[0], weights)):
        kept = (weights, *_build_copy(model))
        _COPIES[model] = kept
    return kept[1], kept[2]


def _parameters(module: torch.nn.Module) -> list[tuple[str, torch.Tensor]]:
    """Every parameter by the name it has in transformers: the bridge's wrappers leave a part in the name."""
    return [(_bare_name(name), tensor) for name, tensor in module.named_parameters(remove_duplicate=False)]


def _bare_name(name: str) -> str:
    return ".".join(part for part in name.split(".") if part != "_original_component")


def _build_copy(model: TransformerBridge) -> tuple[Any, str]:
    original: Any = model.original_model
    kind = original.config.model_type
    if kind not in PLAIN or getattr(original.config, "use_sliding_window", False):
        return None, f"{kind} models are read through the bridge"
    from transformers import AttentionInterface

    AttentionInterface.register("lab_grouped", _attend)
    try:
        bare = sharing_weights(original, "lab_grouped")
        # A strided last column makes the unembedding several times slower than a contiguous one.
        bare.get_output_embeddings().register_forward_pre_hook(lambda _, given: (given[0].contiguous(), *given[1:]))
        worst = _disagreement(model, bare)
    except Exception as error:  # another version of transformers, say: slower is better than not at all
        reason = f"no plain copy could be built ({type(error).__name__}: {str(error).splitlines()[:1]})"
    else:
        if worst < 1e-3:
            return bare, ""
        reason = f"the plain copy's logits differ by {worst:.2g}"
    warnings.warn(f"generation runs through the bridge, several times slower: {reason}", stacklevel=2)
    return None, reason


def sharing_weights(original: Any, attention: str) -> Any:
    """A transformers model of plain modules around the original's own weights. attention: which implementation."""
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        bare = AutoModelForCausalLM.from_config(copy.deepcopy(original.config), attn_implementation=attention)
    _share(original, bare)
    return bare.eval()


def _share(original: Any, bare: Any) -> None:
    """Give the copy the original's own parameters and buffers (not copies of them)."""
    theirs = dict(_parameters(original))
    for name, _ in _parameters(bare):
        where, _, last = name.rpartition(".")
        bare.get_submodule(where)._parameters[last] = theirs[name]
    buffers = {_bare_name(name): tensor for name, tensor in original.named_buffers(remove_duplicate=False)}
    for name, _ in list(bare.named_buffers(remove_duplicate=False)):
        where, _, last = name.rpartition(".")
        bare.get_submodule(where)._buffers[last] = buffers[name]


def _disagreement(model: TransformerBridge, bare: Any) -> float:
    """Largest difference of logits between bridge and copy on two short rows, one padded, read in two steps."""
    device = device_of(model)
    ids = torch.arange(3, 15, device=device).view(2, 6) % model.cfg.d_vocab
    mask = torch.ones_like(ids)
    mask[1, :2] = 0
    with torch.no_grad():
        expected = model(ids, attention_mask=mask, return_type="logits")[:, -1]
        direct = _Direct(bare, [])
        direct.read(ids[:, :5], mask[:, :5])
        direct.select(torch.arange(2, device=device), room=6)
        found = direct.read(ids[:, 5:], mask)
    scale = float(expected.abs().max().clamp(min=1.0))
    return float((found - expected).abs().max()) / scale


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention for one new token: query heads that share a key head stand in one matrix, and no key is copied.

    query (batch, n_heads, pos, d_head); key, value (batch, n_kv_heads, all_pos, d_head). The signature is that of
    transformers' AttentionInterface; returns (batch, pos, n_heads, d_head).
    """
    attention = torch.nn.functional.scaled_dot_product_attention
    batch, heads, pos, d_head = query.shape
    groups = heads // key.shape[1]
    if pos == 1:
        grouped = query.reshape(batch, key.shape[1], groups, d_head)
        out = attention(grouped, key, value, attn_mask=attention_mask, scale=scaling)
        return out.reshape(batch, 1, heads, d_head), None
    if groups > 1:
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    out = attention(query, key, value, attn_mask=attention_mask, is_causal=attention_mask is None, scale=scaling)
    return out.transpose(1, 2).contiguous(), None


class _Slabs:
    """Keys and values of every layer, in memory set aside beforehand: a step writes its column and copies nothing.

    Has the methods transformers calls on a cache. `select` chooses rows (repeats allowed) and sets the memory aside.
    """

    def __init__(self) -> None:
        self._slabs: list[list[torch.Tensor]] = []
        self._filled: list[int] = []

    def update(self, keys: torch.Tensor, values: torch.Tensor, layer_idx: int, *_: Any, **__: Any) -> Any:
        if layer_idx == len(self._slabs):  # the prompt
            self._slabs.append([keys, values])
            self._filled.append(keys.shape[2])
            return keys, values
        start = self._filled[layer_idx]
        end = self._filled[layer_idx] = start + keys.shape[2]
        slabs = self._slabs[layer_idx]
        for slab, new in zip(slabs, (keys, values)):
            slab[:, :, start:end] = new
        return slabs[0][:, :, :end], slabs[1][:, :, :end]

    def select(self, rows: torch.Tensor, room: int) -> None:
        for layer, slabs in enumerate(self._slabs):
            filled = self._filled[layer]
            for i, slab in enumerate(slabs):
                _, heads, _, width = slab.shape
                fresh = slab.new_empty(len(rows), heads, room, width)
                fresh[:, :, :filled] = slab[rows, :, :filled]
                slabs[i] = fresh

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self._filled[layer_idx] if layer_idx < len(self._filled) else 0

    def __len__(self) -> int:
        return len(self._slabs)


# --------------------------------------------------------------------------------------------------- the readers


class Reader:
    """Reads token ids step by step and gives the logits of the last column. Hooks are on only while it reads."""

    def read(
        self, ids: Int[torch.Tensor, "batch pos"], mask: Int[torch.Tensor, "batch all_pos"]
    ) -> Float[torch.Tensor, "batch d_vocab"]:
        """ids: the new tokens only. mask: 1 for tokens and 0 for (left) padding, of everything read so far."""
        raise NotImplementedError

    def select(self, rows: Int[torch.Tensor, "kept"], room: int) -> None:
        """Go on with these rows only (an index may repeat), with room for `room` positions in all."""
        raise NotImplementedError


def reader(model: TransformerBridge, hooks: Hooks, bare: Any = None) -> Reader:
    """The fastest reader that is faithful for this model and these hooks. bare: a copy to use (`in_bfloat16`)."""
    if bare is None:
        if why_not_direct(model, hooks):
            return _Bridge(model, hooks)
        bare = _plain_copy(model)[0]
    paths = {module: _bare_name(path) for path, module in model.original_model.named_modules()}
    return _Direct(bare, [(*_site(model, bare, paths, name), name, function) for name, function in hooks])


def in_bfloat16(model: TransformerBridge, hooks: Hooks) -> Any:
    """The plain copy with its matrix products in bfloat16 and everything between them (and every hook) as it was.

    Takes half the weights' memory while it lives. Made anew for every call, so that it never lags behind an adapter.
    Raises ValueError where the plain copy cannot be used.
    """
    reason = why_not_direct(model, hooks)
    if reason:
        raise ValueError(f"precision='bfloat16' needs the plain copy, which is not possible here: {reason}")
    bare = _plain_copy(model)[0]
    tensors = [*bare.parameters(), *bare.buffers()]
    lighter = copy.deepcopy(bare, {id(tensor): tensor for tensor in tensors})  # new modules, the same weights
    for name, module in list(lighter.named_modules()):
        if isinstance(module, torch.nn.Linear):
            where, _, last = name.rpartition(".")
            setattr(lighter.get_submodule(where), last, _Bfloat16Product(module))
    return lighter


class _Bfloat16Product(torch.nn.Module):
    def __init__(self, linear: torch.nn.Linear) -> None:
        super().__init__()
        self._weight = linear.weight.detach().to(torch.bfloat16)
        self._bias = linear.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = torch.nn.functional.linear(x.contiguous().to(torch.bfloat16), self._weight).to(x.dtype)
        return out if self._bias is None else out + self._bias


def _site(model: TransformerBridge, bare: Any, paths: dict[Any, str], name: str) -> tuple[Any, torch.nn.Module, bool]:
    """The bridge's hook point of this name, the plain module that it belongs to, and whether it is its input."""
    point: Any = model.hook_dict[name]
    where, _, end = point.name.rpartition(".")
    component: Any = model
    for part in where.split("."):
        component = component[int(part)] if part.isdigit() else getattr(component, part)
    return point, bare.get_submodule(paths[component]), end == "hook_in"


class _Direct(Reader):
    def __init__(self, bare: Any, sites: list[tuple[Any, torch.nn.Module, bool, str, HookFunction]]) -> None:
        self._bare, self._sites, self._cache = bare, sites, _Slabs()

    def read(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        pos = ids.shape[1]
        positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -pos:]
        with self._hooked():
            out = self._bare(
                input_ids=ids,
                attention_mask=self._pairs(mask.bool(), pos),
                position_ids=positions,
                past_key_values=self._cache,
                use_cache=True,
                logits_to_keep=1,
            )
        return out.logits[:, -1]

    def select(self, rows: torch.Tensor, room: int) -> None:
        self._cache.select(rows, room)

    @staticmethod
    def _pairs(real: torch.Tensor, pos: int) -> torch.Tensor | None:
        """Which column may look at which: (batch, 1, pos, all_pos), or None when nothing is padded."""
        if bool(real.all()):
            return None
        if pos == 1:
            return real[:, None, None, :]
        causal = torch.ones(pos, pos, dtype=torch.bool, device=real.device).tril()
        # Padding looks at itself: a row of the mask without any entry would give NaN, and NaN spreads.
        itself = torch.eye(pos, dtype=torch.bool, device=real.device)
        return (causal & real[:, None, None, :]) | itself

    @contextlib.contextmanager
    def _hooked(self) -> Iterator[None]:
        handles = []
        try:
            for point, module, is_input, name, function in self._sites:
                act = partial(_intervene, name, function, hook=point)
                if is_input:
                    handles.append(module.register_forward_pre_hook(lambda _, g, act=act: (act(g[0]), *g[1:])))
                else:
                    handles.append(module.register_forward_hook(lambda _, __, out, act=act: _replace(out, act)))
            yield
        finally:
            for handle in handles:
                handle.remove()


def _replace(out: Any, act: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """A module's output with its activations replaced: some modules give (activations, something else)."""
    return (act(out[0]), *out[1:]) if isinstance(out, tuple) else act(out)


class _Bridge(Reader):
    def __init__(self, model: TransformerBridge, hooks: Hooks) -> None:
        self._model = model
        self._cache: Any = None
        self._hooks: list[Any] = [(name, partial(_intervene, name, function)) for name, function in hooks]

    def read(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        logits, self._cache = self._model.run_with_hooks(
            ids,
            fwd_hooks=self._hooks,
            attention_mask=mask,
            past_key_values=self._cache,
            use_cache=True,
            return_type="logits_and_cache",
        )
        return logits[:, -1]

    def select(self, rows: torch.Tensor, room: int) -> None:
        self._cache.batch_select_indices(rows)
