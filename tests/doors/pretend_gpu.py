"""A pretend CUDA device, for machines that have none: it shows where tensors of two places meet.

Tensors "on the GPU" are ordinary CPU tensors whose storage carries a mark. Every operation passes `PretendGpu`, which
raises where a marked and an unmarked tensor meet, as CUDA does, and marks what comes out. It follows storages, so
views, parameters and autograd's saved tensors keep their place. It says nothing about speed, memory or rounding.

    with pretend_gpu():
        model = load_model(device="cuda")
        ...                                   # RuntimeError: ... found at least two devices, cuda:0 and cpu!
"""

from __future__ import annotations

import concurrent.futures
import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
import transformers
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

CUDA, CPU = torch.device("cuda", 0), torch.device("cpu")
_AWAY = ("copy_", "_to_copy", "_local_scalar_dense", "set_", "is_same_size")  # these may meet tensors of both places
_INDEXING = ("index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index")  # take indices from the CPU


def on_gpu(tensor: Any) -> bool:
    """Whether this tensor is on the pretend GPU."""
    if not isinstance(tensor, torch.Tensor) or tensor.layout != torch.strided or _is_meta(tensor):
        return False
    return getattr(tensor.untyped_storage(), "on_pretend_gpu", False)


def _is_meta(tensor: torch.Tensor) -> bool:
    return _device.__get__(tensor).type == "meta"


def _mark(tensor: torch.Tensor, gpu: bool) -> torch.Tensor:
    if tensor.layout == torch.strided and not _is_meta(tensor):
        tensor.untyped_storage().on_pretend_gpu = gpu  # type: ignore[attr-defined]
    return tensor


def _wants_gpu(device: Any) -> bool | None:
    """True for a CUDA device, False for another, None where none is named."""
    if device is None:
        return None
    return isinstance(device, int) or torch.device(device).type == "cuda"


class PretendGpu(TorchDispatchMode):
    """Watches every operation; see the top of this module."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        marked = [tensor for tensor in tensors if on_gpu(tensor)]
        name = func.overloadpacket.__name__
        here = _wants_gpu(kwargs.get("device"))
        if here:
            kwargs["device"] = CPU
        elif here is False and _Calls.on_gpu and (not tensors or name.startswith("new_")):
            here = True  # made inside a call on marked tensors, "where they are", which C++ takes to be the CPU
        goes = bool(marked) if here is None else here
        if goes and kwargs.get("generator") is not None:
            raise RuntimeError("Expected a 'cuda' device type for generator but found 'cpu'")
        if name in ("copy_", "set_"):
            goes = on_gpu(args[0])
        elif name in _INDEXING:
            self._check_indices(name, args)
            goes = on_gpu(args[0])
        elif name not in _AWAY:
            self._check_places(name, tensors, marked)
        out = func(*args, **kwargs)
        return tree_map_only(torch.Tensor, lambda t: _mark(t, True) if goes else t, out)

    @staticmethod
    def _check_places(name: str, tensors: list[torch.Tensor], marked: list[torch.Tensor]) -> None:
        # A number without axes may come from the CPU; a marked number without axes may not meet the CPU's tensors.
        if marked and any(t.dim() and not on_gpu(t) and t.numel() + 1 for t in tensors):
            shapes = [("cuda" if on_gpu(t) else "cpu", tuple(t.shape)) for t in tensors]
            raise RuntimeError(
                f"Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu! "
                f"({name} of {shapes})"
            )

    @staticmethod
    def _check_indices(name: str, args: Any) -> None:
        target, indices, values = args[0], [i for i in args[1] if i is not None], args[2:3]
        if not on_gpu(target) and any(on_gpu(i) for i in indices):
            raise RuntimeError("indices should be either on cpu or on the same device as the indexed tensor (cpu)")
        if any(isinstance(v, torch.Tensor) and v.dim() and on_gpu(v) != on_gpu(target) for v in values):
            raise RuntimeError(f"{name}: expected all tensors to be on the same device")


class _Calls(TorchFunctionMode):
    """Knows, while a torch function runs, whether it was given marked tensors and named no device itself."""

    on_gpu = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        before = _Calls.on_gpu
        named = kwargs.get("device") is not None or getattr(func, "__name__", "") in ("cpu", "to", "new_tensor")
        _Calls.on_gpu = not named and any(on_gpu(leaf) for leaf in tree_leaves((args, kwargs)))
        try:
            return func(*args, **kwargs)
        finally:
            _Calls.on_gpu = before


_device = torch._C.TensorBase.device  # the real property
_to, _numpy, _array, _new = torch.Tensor.to, torch.Tensor.numpy, torch.Tensor.__array__, torch.Tensor.new_tensor


def _moved(tensor: torch.Tensor, gpu: bool) -> torch.Tensor:
    """A copy in the other place, or the tensor itself if it is there. Autograd follows."""
    if on_gpu(tensor) == gpu or _is_meta(tensor):
        return tensor
    return _mark(tensor.clone(), gpu)


def _pretend_to(self: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    """`Tensor.to` in its three forms: of a device, of a type, of another tensor's both."""
    other = next((a for a in (*args, kwargs.get("other")) if isinstance(a, torch.Tensor)), None)
    device, dtype = kwargs.get("device"), kwargs.get("dtype")
    if other is not None:
        device, dtype = other.device, other.dtype
    elif args:
        device = args[0] if isinstance(args[0], str | int | torch.device) and not isinstance(args[0], bool) else device
        dtype = next((a for a in args if isinstance(a, torch.dtype)), dtype)
    wanted = _wants_gpu(device)
    if _is_meta(self) or (wanted is False and torch.device(device).type != "cpu"):
        return _to(self, *args, **kwargs)
    moved = _moved(self, on_gpu(self) if wanted is None else wanted)
    return moved if dtype is None or dtype == moved.dtype else _to(moved, dtype)


def _made(make: Any) -> Any:
    """`torch.tensor` and its like, which would touch the device before any operation is seen."""

    def pretend(*args: Any, device: Any = None, **kwargs: Any) -> torch.Tensor:
        made = make(*args, **kwargs)
        wanted = _wants_gpu(device)
        return made if wanted is None else _moved(made, wanted)

    return pretend


def _new_tensor(self: torch.Tensor, *args: Any, device: Any = None, **kwargs: Any) -> torch.Tensor:
    return _moved(_new(self, *args, **kwargs), on_gpu(self) if device is None else bool(_wants_gpu(device)))


def _to_numpy(self: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
    if on_gpu(self):
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first.")
    return _numpy(self, *args, **kwargs)


def _to_array(self: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
    if on_gpu(self):
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first.")
    return _array(self, *args, **kwargs)


@contextlib.contextmanager
def pretend_gpu() -> Iterator[None]:
    """For the length of a `with` block there is a GPU."""
    tensor = {
        "device": property(lambda self: CUDA if on_gpu(self) else _device.__get__(self)),
        "is_cuda": property(on_gpu),
        "to": _pretend_to,
        "cpu": lambda self, *args, **kwargs: _moved(self, False),
        "cuda": lambda self, *args, **kwargs: _moved(self, True),
        "new_tensor": _new_tensor,
        "numpy": _to_numpy,
        "__array__": _to_array,
    }
    cuda = {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "_lazy_init": lambda: None,
        "get_rng_state": lambda *args: torch.zeros(16, dtype=torch.uint8),
        "set_rng_state": lambda *args: None,
        "manual_seed": lambda seed: None,
        "manual_seed_all": lambda seed: None,
        "empty_cache": lambda: None,
        "synchronize": lambda *args: None,
        "memory_allocated": lambda *args: 0,
        "is_bf16_supported": lambda *args, **kwargs: True,
        "get_device_name": lambda *args: "a pretend GPU",
        "get_device_capability": lambda *args: (8, 0),
    }
    patches = [mock.patch.object(torch.Tensor, name, value, create=True) for name, value in tensor.items()]
    patches += [
        mock.patch.object(torch, name, _made(getattr(torch, name))) for name in ("tensor", "as_tensor", "asarray")
    ]
    patches += [mock.patch.object(torch.cuda, name, value) for name, value in cuda.items()]
    loader = transformers.AutoModelForCausalLM
    load = loader.from_pretrained

    def read(*args: Any, **kwargs: Any) -> Any:
        """What is read from disk comes to the CPU, without any pretence: a thread of its own is not watched."""
        for patch in patches:
            patch.stop()
        try:
            with concurrent.futures.ThreadPoolExecutor(1) as thread:
                return thread.submit(load, *args, **kwargs).result()
        finally:
            for patch in patches:
                patch.start()

    with contextlib.ExitStack() as stack:
        for patch in patches:
            patch.start()
            stack.callback(patch.stop)
        stack.enter_context(mock.patch.object(loader, "from_pretrained", read))
        stack.enter_context(_Calls())
        stack.enter_context(PretendGpu())
        yield
