"""The learner's own record: who they are, which exercises they have passed, what they predicted.

One small JSON file a person. An exercise's entry stands under its number ("3.1"), predictions stand together under
"predictions". Two kernels may write at once; a damaged file is put aside, never thrown away; a disk that can't be
written costs a sentence, not the lesson. `LAB_PROGRESS=off` keeps it in this kernel's memory alone (for grading).
"""

from __future__ import annotations

import contextlib
import copy
import datetime
import getpass
import hashlib
import json
import os
import re
import warnings
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout

from utils import home

PREDICTIONS = "predictions"
_memory: dict[str, dict] = {}  # the record of a kernel that writes none


def writes_nothing() -> bool:
    """Whether ``LAB_PROGRESS`` is "off": the record is this kernel's alone, and no file of anybody's is touched."""
    return os.environ.get("LAB_PROGRESS", "").strip().lower() == "off"


def learner() -> str:
    """Whose record this is: ``LAB_LEARNER``, or the name of the user the system knows."""
    named = os.environ.get("LAB_LEARNER", "").strip()
    if named:
        return named
    try:
        import pwd

        return pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):  # Windows; a container's user without an entry
        try:
            return getpass.getuser()
        except (ImportError, KeyError, OSError):
            return f"user-{os.getuid()}"


def record_file() -> Path:
    """``LAB_PROGRESS`` if it is set, else a file a person in the lab's home, which several people may share.

    Meaningless where `writes_nothing`.
    """
    named = os.environ.get("LAB_PROGRESS", "").strip()
    if named:
        return home.place(named)
    name = learner()
    plain = re.sub(r"[^a-z0-9.@_-]", "_", name.lower())
    if plain != name:  # "A b" and "a_b" are two people, on disks that don't tell A from a as well
        plain += f"-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return home.lab_home() / f"progress-{plain}.json"


def record() -> dict[str, dict]:
    """The learner's record so far; the one file that earlier versions kept, if this user wrote it, before there is one.

    Raises OSError if the file can't be read.
    """
    if writes_nothing():
        return copy.deepcopy(_memory)
    path, old = record_file(), home.lab_home() / "progress.json"
    named = os.environ.get("LAB_PROGRESS") or os.environ.get("LAB_LEARNER")
    if named or path.exists() or not old.is_file():
        return _read(path)
    own = not hasattr(os, "getuid") or old.stat().st_uid == os.getuid()
    return _read(old) if own else {}


def record_or_none() -> dict[str, dict]:
    """As `record`; a file that can't be read costs a warning."""
    try:
        return record()
    except OSError as error:
        message = f"Your progress in {record_file()} could not be read ({error.strerror or error})."
        warnings.warn(f"{message} Set LAB_HOME or LAB_PROGRESS to a place of your own.", stacklevel=3)
        return {}


def change(edit: Callable[[dict[str, dict]], None]) -> str:
    """Read the record, let `edit` change it, and save it, with nobody else in between.

    Returns "", or the sentence that says why it could not be saved.
    """
    if writes_nothing():
        edit(_memory)
        return ""
    path = record_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock", timeout=5):
            entries = record()
            edit(entries)
            home.write_whole(path, json.dumps(entries, indent=1))
    except (OSError, NotImplementedError, Timeout) as error:
        return f"Your progress could not be saved in {path} ({error}). Set LAB_HOME to a folder you can write to."
    return ""


def now() -> str:
    """The time, as the record writes it."""
    return datetime.datetime.now().isoformat(timespec="seconds")


def _read(path: Path) -> dict[str, dict]:
    """The saved record; a damaged file is put aside under another name, so that nothing is lost.

    Raises OSError if there is a file that can't be read.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8-sig"))  # some editors put a mark in front
        if isinstance(entries, dict) and all(isinstance(entry, dict) for entry in entries.values()):
            return entries
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError):
        pass
    aside = path.with_suffix(f".damaged-{datetime.datetime.now():%Y%m%d-%H%M%S}.json")
    with contextlib.suppress(OSError):
        os.replace(path, aside)
    warnings.warn(f"The progress file {path} was damaged. It was kept as {aside.name}; a new one starts.", stacklevel=2)
    return {}
