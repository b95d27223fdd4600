"""The pre-flight check behind ``python -m utils.preflight``: is this computer ready for the lessons?

Each line says [OK], or [FIX] and what to do. It needs nothing but Python itself to run, so that it
can also say what is missing. The exit code is 0 when everything is ready and 1 when something is to fix.
"""

from __future__ import annotations

import dataclasses
import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from utils import home, specimen

OLDEST, NEWEST = (3, 11), (3, 14)
MEMORY_NEEDED = 2_000_000_000  # the most a lesson uses, free at the moment of the check
DISK_NEEDED = 500_000_000  # activation caches of a few lessons
PROMPT, ANSWER = "The Golden Gate Bridge is located in the city of", " San"


@dataclasses.dataclass(frozen=True)
class Result:
    """One line of the report: what was found, and what to do about it (empty if nothing)."""

    what: str
    found: str
    fix: str = ""

    def __str__(self) -> str:
        line = f"[{'FIX' if self.fix else 'OK'}]".ljust(6) + f"{self.what}: {self.found}"
        return line + (f"\n       -> {self.fix}" if self.fix else "")


def on_colab() -> bool:
    """Whether this runs on Google Colab, which brings its own versions of most packages."""
    try:
        import google.colab  # noqa: F401
    except ImportError:
        return False
    return True


def read_requirements(path: Path) -> dict[str, str]:
    """Names and pinned versions in a requirements file: lines like ``numpy==2.2.6  # why``.

    Raises ValueError, naming the line, if one is not a plain pin.
    """
    path = home.as_path("path", path)
    pins = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        line = line.split("#")[0].strip()
        if not line:
            continue
        match = re.fullmatch(r"([A-Za-z0-9][\w.-]*)==([\w.+!]+)", line)
        if not match:
            raise ValueError(f"{path.name}, line {number}: {line!r} is not of the form name==version")
        pins[match[1]] = match[2]
    return pins


def check_python() -> list[Result]:
    version, found = sys.version_info[:2], f"{platform.python_version()} on {platform.system()}"
    fix = ""
    if not OLDEST <= version <= NEWEST:
        fix = "install Python 3.11, 3.12, 3.13 or 3.14; the pinned packages are made for those"
    elif sys.maxsize < 2**32:
        fix = "this is a 32-bit Python; install a 64-bit one"
    return [Result("Python", found, fix)]


def check_packages(requirements: Path | None = None) -> list[Result]:
    """Compare what is installed with the requirements file (Colab: only what Colab lacks)."""
    colab = requirements is None and on_colab()
    if requirements is None:
        root = Path(__file__).resolve().parent.parent
        requirements = root / ("requirements-colab.txt" if colab else "requirements.txt")
    pins = read_requirements(requirements)
    install = f"{Path(sys.executable).name} -m pip install {'--no-deps ' if colab else ''}-r {requirements.name}"
    missing, other = [], []
    for name, wanted in pins.items():
        try:
            found = metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(name)
            continue
        if found.split("+")[0] != wanted:  # "2.13.0+cpu" is 2.13.0 built for the CPU
            other.append(f"{name} {found} (tested: {wanted})")
    results = []
    if missing:
        found = f"{len(missing)} of {len(pins)} not installed: {', '.join(missing)}"
        results.append(Result("Packages", found, install))
    if other:
        results.append(Result("Packages", f"other versions than tested: {', '.join(other)}", install))
    return results or [Result("Packages", f"all {len(pins)} are as in {requirements.name}")]


def check_memory() -> list[Result]:
    try:
        import psutil

        memory = psutil.virtual_memory()
        total, free = memory.total, memory.available
    except ImportError:
        try:
            page = os.sysconf("SC_PAGE_SIZE")
            total, free = page * os.sysconf("SC_PHYS_PAGES"), page * os.sysconf("SC_AVPHYS_PAGES")
        except (AttributeError, ValueError, OSError):
            return [Result("Memory", "not measured (psutil is not installed)")]
    found = f"{free / 1e9:.1f} GB free of {total / 1e9:.1f} GB; a lesson uses at most {MEMORY_NEEDED / 1e9:.0f} GB"
    fix = "close other programs or other notebooks" if free < MEMORY_NEEDED else ""
    return [Result("Memory", found, fix)]


def check_disk() -> list[Result]:
    folder = home.lab_home()
    here = next(place for place in (folder, *folder.parents) if place.exists())
    free = shutil.disk_usage(here).free
    needed = DISK_NEEDED + (0 if specimen.specimen_is_here() else specimen.SPACE_NEEDED)
    fix = ""
    if free < needed:
        fix = "free some space, or set the environment variable LAB_HOME to a folder on a larger disk"
    elif not home.has_home():
        fix = "this account has no home folder, so this one is temporary: set LAB_HOME to a folder of your own"
    elif not os.access(here, os.W_OK):
        fix = f"you cannot write to {here}: set LAB_HOME to a folder where you can"
    found = f"{free / 1e9:.1f} GB free in {folder}; the lab needs {needed / 1e9:.1f} GB"
    return [Result("Disk", found, fix)]


def check_threads() -> list[Result]:
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        cores = os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "")
    found = f"{cores} core{'s' * (cores != 1)}"
    if limit.isdigit() and int(limit) > cores:
        fix = f"OMP_NUM_THREADS is {limit}, more than there are cores, which is slow: unset it"
        return [Result("Threads", found, fix)]
    return [Result("Threads", found + (f", OMP_NUM_THREADS={limit}" if limit else ""))]


def check_specimen() -> list[Result]:
    """Fetch the specimen if need be, and compare each of its files with its SHA-256."""
    folder, note = specimen.specimen_folder(), ""
    problem = specimen.verify(folder)
    if problem and not os.environ.get("LAB_MODEL_DIR", "").strip():
        specimen.discard(folder)
        folder, note = specimen.specimen_folder(), " (a damaged copy was replaced)"
        problem = specimen.verify(folder)
    if problem:
        return [Result("Specimen", problem, "replace the folder LAB_MODEL_DIR names by a sound copy")]
    if not (folder / specimen.CARD).is_file():
        return [Result("Specimen", f"{specimen.SPECIMEN.name}, weights as they should be, in {folder}")]
    size = sum(path.stat().st_size for path in folder.iterdir())
    return [Result("Specimen", f"{specimen.SPECIMEN.name}, {size / 1e6:.0f} MB, every SHA-256 as it should be{note}")]


def check_forward_pass() -> list[Result]:
    import torch

    from utils.models import load_model

    started = time.perf_counter()
    model = load_model()
    loaded = time.perf_counter()
    with torch.no_grad():
        next_token = model(model.to_tokens(PROMPT))[0, -1].argmax()
    seconds = time.perf_counter() - loaded
    answer = model.to_string(next_token)
    found = f"loaded in {loaded - started:.0f} s, {seconds:.1f} s to read a sentence; after it, {answer!r}"
    if answer != ANSWER:
        return [Result("One forward pass", found, f"it should be {ANSWER!r}: is this the lab's specimen?")]
    return [Result("One forward pass", found)]


def run(say: Callable[[str], None] = home.say) -> list[Result]:
    """Make every check, say each result as it comes, and return them all. No check stops another."""
    results: list[Result] = []

    def go(what: str, check: Callable[[], list[Result]]) -> None:
        try:
            found = check()
        except Exception as error:  # whatever happened, a beginner gets a line to read
            message = str(error).strip() or type(error).__name__
            fix = "see above; if it is unclear, install the packages again and run this check once more"
            if isinstance(error, specimen.SpecimenError):
                message, _, rest = message.partition(": ")
                fix = rest or message
            elif isinstance(error, ImportError):
                fix = f"{Path(sys.executable).name} -m pip install -r requirements.txt"
            found = [Result(what, message, fix)]
        for result in found:
            say(str(result))
        results.extend(found)

    go("Python", check_python)
    go("Packages", check_packages)
    go("Memory", check_memory)
    go("Disk", check_disk)
    go("Threads", check_threads)
    go("Specimen", check_specimen)
    go("One forward pass", check_forward_pass)
    return results


def main(arguments: list[str] | None = None) -> int:
    """Command line: no argument for the whole check, ``--fetch`` to fetch the specimen and no more."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments == ["--fetch"]:
        try:
            specimen.specimen_folder()
        except specimen.SpecimenError as error:
            home.say(str(error), sys.stderr)
            return 1
        return 0
    if arguments:
        print("usage: python -m utils.preflight [--fetch]", file=sys.stderr)
        return 2
    print("LLM Biology Lab: pre-flight check")
    fixes = sum(bool(result.fix) for result in run())
    if fixes:
        print(f"\n{fixes} thing{'s' * (fixes != 1)} to fix, from the top. Then run this again.")
        return 1
    print("\nEverything is ready. Start with:  make lab   (or:  jupyter lab lessons/00_orientation.ipynb)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
