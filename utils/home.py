"""Where the lab keeps things on this computer, and how: one folder, whole files, one writer at a time.

Everything lies in `lab_home()`. A file that others may read while it is written gets its final name in the last step
(`write_whole`), two kernels that make the same thing wait for each other (`only_one`), and a check that takes time is
made once for a file's content (`remembered`). Nothing here needs more than Python itself.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, TextIO

LAB = Path(__file__).resolve().parent.parent  # the lab's own folder: utils/ beside lessons/
SMALL_BYTES = 16_000_000  # a file of this size is hashed faster than anything could be looked up about it
_BLOCK, _BLOCKS = 65_536, 64  # the sample of a large file: 64 blocks spread evenly over it


def lab_home() -> Path:
    """Folder for everything the lab keeps on this computer: models, caches, progress. Always absolute.

    It is ``LAB_HOME`` if that environment variable is set (a relative one is meant from the lab's own folder, so that
    every kernel finds the same, wherever it started), else ``.llm-biology-lab`` in the user's home folder. An account
    without a home folder gets a temporary one, with a warning. It is not created here.
    """
    named = os.environ.get("LAB_HOME", "").strip()
    if named:
        return place(named)
    if not has_home():  # no HOME, and the system doesn't know this user
        return _temporary_home()
    return Path.home().absolute() / ".llm-biology-lab"


def has_home() -> bool:
    """Whether the lab's home lasts: false for an account without a home folder that sets no ``LAB_HOME`` either."""
    if os.environ.get("LAB_HOME", "").strip():
        return True
    try:
        Path.home()
    except (RuntimeError, KeyError):
        return False
    return True


def place(named: str) -> Path:
    """An absolute path from a setting: ``~`` is the user's home, a relative path starts at the lab's own folder."""
    as_path("named", named)
    try:
        return Path(os.path.abspath(LAB / Path(named).expanduser()))
    except RuntimeError:  # "~" of a user without a home
        return Path(os.path.abspath(LAB / named))


@cache
def _temporary_home() -> Path:
    """A private temporary folder, the same one in every process of this user where that is safe; warns once."""
    user = os.getuid() if hasattr(os, "getuid") else "user"
    folder = Path(tempfile.gettempdir()).absolute() / f"llm-biology-lab-{user}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        mine = not folder.is_symlink() and folder.stat().st_uid == user and os.access(folder, os.W_OK)
    except OSError:
        mine = False
    if not mine:  # somebody else's folder of that name: never write into it
        folder = Path(tempfile.mkdtemp(prefix="llm-biology-lab-"))
    warnings.warn(
        f"This account has no home folder, so the lab keeps its files in {folder}, which the system may empty: "
        "set LAB_HOME to a folder of your own.",
        stacklevel=3,
    )
    return folder


def as_path(name: str, value: Any) -> Path:
    """A path from a string or a path. Raises TypeError, naming the argument, for anything else."""
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"{name} must be a string or a path, got {type(value).__name__}")
    return Path(value)


# ---------------------------------------------------------------------------------------------------- whole files


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file as 64 hex digits, read in pieces of 1 MB. Raises OSError if it can't be read."""
    digest = hashlib.sha256()
    with open(as_path("path", path), "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def fsync(path: Path) -> None:
    """Make sure a file (or, where the system allows it, a folder) has reached the disk."""
    path = as_path("path", path)
    if path.is_dir() and os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() or os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def new_file(folder: Path, prefix: str = "", suffix: str = "") -> tuple[int, Path]:
    """Create a file of a name nobody has, open for reading and writing: its descriptor and its path.

    Unlike `tempfile.mkstemp`, which lets only its maker read, it has the rights that this user gives to new files: in
    a shared folder the others may read what is kept there.
    """
    folder = as_path("folder", folder)
    while True:
        path = folder / f"{prefix}{secrets.token_hex(6)}{suffix}"
        with contextlib.suppress(FileExistsError):
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666), path


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file (text as UTF-8) so that a reader finds the old one or the new one, and never half of it."""
    path = as_path("path", path)
    descriptor, temporary = new_file(path.parent, f".{path.name}.", ".tmp")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode("utf-8") if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


@contextlib.contextmanager
def only_one(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Let one process at a time work on `path`; the system frees the lock if that process dies.

    waiting: called once if somebody else is at it. Raises OSError where the disk can't lock files.
    """
    import filelock

    path = as_path("path", path)
    lock = filelock.FileLock(str(path.parent / f".{path.name}.lock"))
    try:
        lock.acquire(timeout=1)
    except filelock.Timeout:
        waiting()
        lock.acquire()
    except NotImplementedError as error:  # some network disks
        raise OSError(errno.ENOLCK, "this disk cannot lock files") from error
    try:
        yield
    finally:
        lock.release()


# ------------------------------------------------------------------------------------- a check that is made once


def remembered(path: Path, what: str, compute: Callable[[Path], Any]) -> Any:
    """`compute(path)`, made once for this content of the file and kept in `lab_home()`, for files that are large.

    what: the name of the result, which must be what JSON can hold. A change of the file is seen by its size, its
    times (the one of the last change can't be set back by hand) and a sample of its content. Where the lab's home
    can't be written, or the system keeps no time of change (Windows), it is computed each time.
    """
    path = as_path("path", path)
    size = path.stat().st_size
    if size < SMALL_BYTES or os.name == "nt":
        return compute(path)
    identity, note = _identity(path), _note_of(path)
    known: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError, RecursionError):
        read = json.loads(note.read_text(encoding="utf-8"))
        if isinstance(read, dict) and read.get("identity") == identity:
            known = read
    if what in known:
        return known[what]
    result = compute(path)
    if _identity(path) == identity:  # nobody changed it meanwhile
        with contextlib.suppress(OSError):
            note.parent.mkdir(parents=True, exist_ok=True)
            write_whole(note, json.dumps({**known, "path": str(path), "identity": identity, what: result}))
    return result


def _note_of(path: Path) -> Path:
    return lab_home() / "checked" / f"{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:24]}.json"


def _identity(path: Path) -> str:
    """What tells whether a file is still the one that was checked: stat and a sample of its content, hashed."""
    stat = path.stat()
    summary = hashlib.sha256(f"{stat.st_ino} {stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}".encode())
    last = max(0, stat.st_size - _BLOCK)
    with open(path, "rb") as file:
        for number in range(_BLOCKS):
            file.seek(last * number // (_BLOCKS - 1))
            summary.update(file.read(_BLOCK))
    return summary.hexdigest()


# --------------------------------------------------------------------------------------------------------- words

_PLAIN = {"✔": "+", "○": "o", "✘": "x", "–": "-", "—": "-", "·": "-", "…": "...", "→": "->", "×": "x", "\u2060": ""}


def say(message: str, stream: TextIO | None = None) -> None:
    """Print a line on a stream (stdout), in plainer signs where its encoding lacks some: no "✔" stops a lesson."""
    stream = sys.stdout if stream is None else stream
    encoding = getattr(stream, "encoding", None) or "utf-8"
    print("".join(_sign(sign, encoding) for sign in message), file=stream, flush=True)


def _sign(sign: str, encoding: str) -> str:
    try:
        sign.encode(encoding)
    except UnicodeEncodeError:
        return _PLAIN.get(sign, "?")
    return sign
