"""Where `utils.reading.activations` keeps what it computed: safetensors files that are checked when they are read.

One file a result, never pickle. The safetensors header gives every tensor's place, so rows can be written
in any order while the model runs, and an open file is memory-mapped: the operating system reads the parts
that are used. A checksum over the data goes into a slot kept free in the header. It is filled in last, so
a file that was cut short, or changed since, is recognised, removed and computed again.

Nothing here is needed for a result to be right. A folder that can't be written costs one warning.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import shutil
import struct
import tempfile
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Int

from utils import home
from utils.inputs import checked

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

CACHE_FORMAT = 1  # part of every cache key: raise it when what is stored changes meaning
CACHE_LIMIT_BYTES = 4 * 2**30  # the results unused for longest go when the folder grows beyond this
IN_MEMORY_BYTES = 256 * 2**20  # results larger than this are written to a file while they are computed

DTYPES = {
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float64: "F64",
}

_EMPTY_CHECKSUM = "-" * 8
_BEGUN = "llm-biology-lab-"  # unfinished files begin with this, in whatever folder


class MemorySink:
    """Rows go into tensors made beforehand; saved in one go at the end."""

    def __init__(self, shapes: dict[str, tuple[int, ...]], dtype: torch.dtype, path: Path | None):
        self.path = path
        self.acts = {name: torch.empty(shape, dtype=dtype) for name, shape in shapes.items()}

    def write(self, name: str, start: int, value: torch.Tensor) -> None:
        self.acts[name][start : start + len(value)] = value

    def finish(self) -> dict[str, torch.Tensor]:
        if self.path is not None:
            shapes = {name: tuple(value.shape) for name, value in self.acts.items()}
            file = None
            try:
                file = FileSink(shapes, next(iter(self.acts.values())).dtype, self.path)
                for name, value in self.acts.items():
                    file.write(name, 0, value)
                file.publish(self.path)
            except OSError as error:
                if file is not None:
                    file.abandon()
                _warn_no_cache(error)
        return self.acts

    def abandon(self) -> None:
        self.acts = {}


class FileSink:
    """Rows go straight to their place in a safetensors file. With no path, to a file without a name."""

    def __init__(self, shapes: dict[str, tuple[int, ...]], dtype: torch.dtype, path: Path | None):
        self.path, self.dtype, self.shapes = path, dtype, shapes
        size = torch.empty(0, dtype=dtype).element_size()
        header: dict[str, Any] = {"__metadata__": {"checksum": _EMPTY_CHECKSUM}}
        self.offset, self.row_bytes, end = {}, {}, 0
        for name, shape in shapes.items():
            row = size * math.prod(shape[1:])
            self.offset[name], self.row_bytes[name] = end, row
            place = [end, end + row * shape[0]]
            header[name] = {"dtype": DTYPES[dtype], "shape": list(shape), "data_offsets": place}
            end = place[1]
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        self.data_start, self.size = 8 + len(text), 8 + len(text) + end
        self.temporary, self.file = _begun(path.parent if path is not None else None)
        try:
            # A full disk is found out now, not after an hour of work.
            _reserve(self.file, self.temporary.parent, self.size)
            self.file.seek(0)
            self.file.write(struct.pack("<Q", len(text)) + text)
        except BaseException:
            self.abandon()
            raise

    def write(self, name: str, start: int, value: torch.Tensor) -> None:
        self.file.seek(self.data_start + self.offset[name] + start * self.row_bytes[name])
        self.file.write(value.contiguous().view(torch.uint8).numpy().data)

    def publish(self, path: Path) -> None:
        """Fill in the checksum, push the bytes to the disk, and only then give the file its name."""
        self.file.flush()
        checksum = _checksum(self.file, self.data_start)
        self.file.seek(0)
        head = self.file.read(self.data_start).replace(_EMPTY_CHECKSUM.encode(), checksum.encode(), 1)
        self.file.seek(0)
        self.file.write(head)
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        os.replace(self.temporary, path)
        _forget_oldest(path)

    def finish(self) -> dict[str, torch.Tensor]:
        if self.path is not None:
            self.publish(self.path)
            return _load(self.path)
        self.file.close()
        acts = _load(self.temporary)  # memory-mapped: on Linux and macOS the name can go at once
        with contextlib.suppress(OSError):
            self.temporary.unlink()
        return acts

    def abandon(self) -> None:
        self.file.close()
        with contextlib.suppress(OSError):
            self.temporary.unlink()


@checked
def make_sink(shapes: dict[str, tuple[int, ...]], dtype: torch.dtype, path: Path | None) -> MemorySink | FileSink:
    size = torch.empty(0, dtype=dtype).element_size()
    total = sum(size * math.prod(shape) for shape in shapes.values())
    if total <= IN_MEMORY_BYTES:
        return MemorySink(shapes, dtype, path)
    for place in dict.fromkeys([path, None]):  # the cache folder, then the system's temporary folder
        try:
            return FileSink(shapes, dtype, place)
        except OSError as error:
            _warn_no_cache(error)
    return MemorySink(shapes, dtype, None)


def _begun(folder: Path | None) -> tuple[Path, Any]:
    """A new, empty file in a folder (None: the system's temporary one), held as long as this process lives.

    What killed processes began and never finished is swept away first: nobody holds it any more.
    """
    place = Path(tempfile.gettempdir()) if folder is None else folder
    for left in place.glob(f"{_BEGUN}*.partial"):
        _sweep(left)
    while True:
        if folder is None:  # shared by all users of the system: for this one's eyes only
            descriptor, name = tempfile.mkstemp(prefix=_BEGUN, suffix=".partial")
            path = Path(name)
        else:
            descriptor, path = home.new_file(folder, _BEGUN, ".partial")
        file = os.fdopen(descriptor, "r+b")
        with contextlib.suppress(OSError):  # a disk that can't lock files
            _hold(file, wait=True)
        if path.exists():  # not swept away before it was held
            return path, file
        file.close()


def _hold(file: Any, *, wait: bool) -> None:
    """Hold an open file for this process; the system lets go if the process dies. Raises OSError if another has it."""
    if fcntl is not None:  # Windows needs none: there an open file can't be removed
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


def _sweep(path: Path) -> None:
    """Remove an unfinished file, unless somebody is still at it."""
    with contextlib.suppress(OSError):
        with open(path, "r+b") as file:
            _hold(file, wait=False)
            if os.name != "nt":
                path.unlink()
        path.unlink(missing_ok=True)


def _reserve(file: Any, folder: Path, size: int) -> None:
    """Claim the space on disk, so that a full disk is an OSError here and never a half-written result."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
    else:  # macOS, Windows
        if shutil.disk_usage(folder).free < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        file.truncate(size)


def _checksum(file: Any, start: int) -> str:
    file.seek(start)
    value = 0
    while block := file.read(2**22):
        value = zlib.crc32(block, value)
    return f"{value:08x}"


@checked
def read_cache(path: Path, hooks: list[str]) -> dict[str, torch.Tensor] | None:
    """The stored tensors, memory-mapped, or None if there are none that can be read.

    A damaged file is removed. One that can't be read here and now (another user's, too little memory) stays.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return None
    try:
        with open(path, "rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > path.stat().st_size:
                raise ValueError("cut short")
            actual = _checksum(file, 8 + length)
        with safe_open(path, framework="pt") as stored:
            expected = (stored.metadata() or {}).get("checksum")
        if actual != expected:
            raise ValueError("checksum differs")
        acts = _load(path)
        with contextlib.suppress(OSError):
            os.utime(path)  # the oldest unused results are the first to be forgotten
        return {name: acts[name] for name in hooks}
    except (ValueError, KeyError, struct.error, SafetensorError):
        with contextlib.suppress(OSError):
            path.unlink()
        return None
    except (OSError, RuntimeError, MemoryError):
        return None


def _load(path: Path) -> dict[str, torch.Tensor]:
    """A file's tensors, memory-mapped; read into memory where this disk can't map a file."""
    from safetensors import SafetensorError
    from safetensors.torch import load, load_file

    try:
        return load_file(path)
    except (OSError, RuntimeError, SafetensorError):
        return load(path.read_bytes())


# ---------------------------------------------------------------------------------------- the cache's key


def cache_folder() -> Path:
    """Where `collect` keeps its results: the folder `activations` in the lab's home."""
    return home.lab_home() / "activations"


@checked
def weights_fingerprint(model: TransformerBridge) -> str:
    """A short name for the exact weights a model holds now: any edit, however small, changes it.

    (`utils.models.fingerprint` names the weights a model was loaded with, whatever was put on it since.)

    Reads every parameter and buffer once (0.1 to 0.5 s for the specimen), so edits in place, adapters and
    ablated weights are all noticed. Returns 32 hexadecimal digits.
    """
    summary = hashlib.sha256()
    seen: set[int] = set()
    for name, value in [*model.named_parameters(), *model.named_buffers()]:
        if value.data_ptr() in seen and value.numel():  # tied weights
            continue
        seen.add(value.data_ptr())
        data = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        summary.update(f"{name} {tuple(value.shape)} {value.dtype} {zlib.crc32(data.data)};".encode())
    return summary.hexdigest()[:32]


@checked
def cache_key(
    model: TransformerBridge,
    ids: list[Int[torch.Tensor, "_"]],
    rows: list[Int[torch.Tensor, "_"]],
    hooks: list[str],
    dtype: torch.dtype,
) -> str:
    """Everything the result depends on. Tokens rather than texts, so a changed tokenizer or BOS counts."""
    config = getattr(getattr(model, "original_model", None), "config", None)
    described = type(model).__name__ if config is None else config.to_json_string()
    parts = hashlib.sha256()
    for part in (CACHE_FORMAT, described, weights_fingerprint(model), sorted(hooks), dtype):
        parts.update(f"{part}\n".encode())
    for text, row in zip(ids, rows):
        parts.update(struct.pack("<2q", len(text), len(row)))
        parts.update(text.numpy().tobytes())
        parts.update(row.numpy().tobytes())
    return parts.hexdigest()[:40]


_warned = False


def _warn_no_cache(error: BaseException) -> None:
    """Once a session: everything still works, only slower the next time."""
    global _warned
    if not _warned:
        _warned = True
        warnings.warn(
            f"activations are not kept on disk ({error}); everything works, re-running takes longer",
            stacklevel=3,
        )


@checked
def cache_path(key: str) -> Path | None:
    try:
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{key}.safetensors"
    except OSError as error:
        _warn_no_cache(error)
        return None


@checked
@contextlib.contextmanager
def lock(path: Path) -> Iterator[bool]:
    """Hold this result's lock, so that two kernels don't compute it twice. False if that can't be done."""
    from filelock import FileLock, Timeout

    held = FileLock(path.with_suffix(".lock"))
    try:
        held.acquire(timeout=900)
    except (OSError, NotImplementedError, Timeout) as error:
        _warn_no_cache(error)
        yield False
        return
    try:
        yield True
    finally:
        held.release()
        with contextlib.suppress(OSError):
            path.with_suffix(".lock").unlink()


def _forget_oldest(newest: Path) -> None:
    """Keep the cache folder under its limit, unfinished files included; least recently used results go first."""
    with contextlib.suppress(OSError):
        files = sorted(newest.parent.glob("*.safetensors"), key=lambda p: p.stat().st_mtime, reverse=True)
        total = sum(path.stat().st_size for path in newest.parent.glob("*.partial"))
        for path in files:
            total += path.stat().st_size
            if total > CACHE_LIMIT_BYTES and path != newest:
                with contextlib.suppress(OSError):
                    path.unlink()
