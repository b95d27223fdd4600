"""Load a model with hooks at every step of its computation, and its untrained twin.

`load_model` gives the specimen (`utils.specimen`), or any other model that TransformerLens supports; `random_like` the
same architecture with random weights; `fingerprint` says which weights a model holds.
"""

from __future__ import annotations

import copy
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

from utils import specimen, weights
from utils.devices import device_of
from utils.inputs import Count, Seed, Text, checked
from utils.specimen import SPECIMEN, SpecimenError

if TYPE_CHECKING:
    import torch
    from transformer_lens.model_bridge import TransformerBridge

__all__ = ["DEFAULT", "PINNED", "SPECIMEN", "SpecimenError", "fingerprint", "load_model", "random_like"]

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

_FINGERPRINTS: WeakKeyDictionary[Any, str] = WeakKeyDictionary()


@checked
def load_model(
    name: Text | Path = DEFAULT,
    device: str | torch.device = "auto",
    *,
    revision: str | None = None,
    dtype: Literal["float32", "bfloat16", "float16"] = "float32",
) -> TransformerBridge:
    """Load a model with hooks at every step of its computation, ready to be studied.

    name: `DEFAULT` (the specimen), a local folder, or a Hub name for "Scale up" sections.
    device: "auto" (a CUDA GPU if there is one, else the CPU), or any torch device. Apple's "mps" has
        to be asked for by name: TransformerLens warns that it can give silently wrong results there.
    revision: for Hub names only, and required there unless `PINNED` names it: the commit to load,
        so that the numbers you get next year are the numbers of the same weights.
    dtype: "float32" (default), "bfloat16" or "float16". On most CPUs only float32 is fast.

    Returns a TransformerLens `TransformerBridge` in evaluation mode. Its parameters take no
    gradients; activations still do, which is what tracing needs.

    Raises TypeError or ValueError for arguments that cannot be right, and `SpecimenError` when
    the model cannot be fetched or read, or is another than it should be.

    API: TransformerLens 4, `TransformerBridge.boot_transformers`.
    """
    if str(name) == DEFAULT:
        if revision is not None:
            raise ValueError(f"revision: {DEFAULT} is pinned by its SHA-256; leave revision out")
        return _load_folder(specimen.specimen_folder(), DEFAULT, device, dtype)
    if _looks_like_folder(name):
        folder = Path(name).expanduser()
        problem = specimen.folder_problem(folder)
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


@checked
def random_like(
    model: TransformerBridge, seed: Seed = 0, *, keep_embedding: bool = False, n_layers: Count | None = None
) -> TransformerBridge:
    """The same architecture and tokenizer with untrained random weights: a control organism.

    What a probe or an SAE still finds in it cannot have been learned in training. Weights are drawn
    as the architecture's makers do before training, on the CPU and then moved to where `model` is. The same seed gives
    the same weights; torch's global random state is left as it was.
    keep_embedding: the token embedding (and with it a tied unembedding) is the trained one and only the blocks are
    random. That is the harder control: what is found here needs no learned computation, only learned words.
    n_layers: build only so many blocks, when nothing behind them is read: less memory. Raises ValueError if there are
    fewer. Source of the distinction: Heap et al. 2025, arXiv 2501.17727.
    """
    import torch
    from transformers import AutoModelForCausalLM

    original: Any = model.original_model
    config = copy.deepcopy(original.config)
    if n_layers is not None:
        if n_layers > model.cfg.n_layers:
            raise ValueError(f"n_layers must be a whole number from 1 to {model.cfg.n_layers}, got {n_layers!r}")
        config.num_hidden_layers = n_layers
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())), specimen.quiet():
        torch.manual_seed(seed)
        fresh = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    if keep_embedding:
        with torch.no_grad():
            fresh.get_input_embeddings().weight.copy_(model.W_E.detach().cpu())
    dtype = next(original.parameters()).dtype
    return _wrapped(fresh.to(dtype), model.cfg.model_name, model.tokenizer, device_of(model))


@checked
def fingerprint(model: TransformerBridge | Text | Path) -> str:
    """Which weights a model has: 64 hex digits (SHA-256 over its tensors), the same whatever name or path it came by.

    model: a model, or the folder of one. For a model that `load_model` made these are the weights it was loaded with:
    hooks, adapters and edits since then change nothing, nor does the dtype it was loaded as. For any other model they
    are those it holds at the first call. The answer is kept, so asking again costs nothing; a folder is read once as
    long as it doesn't change. Raises ValueError for a folder without safetensors files.
    """
    if isinstance(model, str | Path):
        folder = Path(model).expanduser()
        if not folder.is_dir():
            raise ValueError(f"model must be a model or the folder of one; there is no folder {str(model)!r}")
        return specimen.fingerprint_of(folder)
    if model not in _FINGERPRINTS:
        _FINGERPRINTS[model] = weights.of_module(model.original_model)
    return _FINGERPRINTS[model]


# --------------------------------------------------------------------------- folders, devices, wrapping


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
            if specimen.folder_problem(Path(found)) is None:
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
    problem = specimen.folder_problem(folder)
    if problem:
        raise SpecimenError(f"{name!r} cannot be used: {problem}")
    return folder


def _pick_device(device: Any) -> str:
    import torch

    if str(device) == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"device: {str(device)!r} is not usable here ({str(error).splitlines()[0]}); use 'auto' or 'cpu'"
        ) from error
    return str(device)


def _load_folder(folder: Path, name: str, device: Any, dtype: str) -> TransformerBridge:
    """Load a folder with transformers, wrap it for TransformerLens, and make it ready."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    place, kind = _pick_device(device), getattr(torch, dtype)
    try:
        identity = specimen.fingerprint_of(folder)
        with specimen.quiet():
            tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
            if tokenizer.bos_token == specimen.CHAT_START and specimen.DOCUMENT_START in tokenizer.get_vocab():
                # The other SmolLM2 models name the wrong start token too (see the top of utils/specimen.py).
                # With add_bos_token set, TransformerLens keeps this tokenizer instead of reloading it.
                tokenizer = AutoTokenizer.from_pretrained(
                    str(folder), local_files_only=True, bos_token=specimen.DOCUMENT_START, add_bos_token=True
                )
            hf_model = AutoModelForCausalLM.from_pretrained(
                str(folder), dtype=kind, attn_implementation="eager", local_files_only=True, use_safetensors=True
            )
            model = _wrapped(hf_model, name, tokenizer, place)
    except Exception as error:
        reason = (str(error).strip() or "no reason given").splitlines()[0]
        raise SpecimenError(
            f"The model in {folder} could not be loaded ({type(error).__name__}: {reason}). For the specimen, "
            "run: python -m utils.preflight. For another model, check that TransformerLens supports it and that "
            "this computer has the memory for it."
        ) from error
    _FINGERPRINTS[model] = identity
    return model


def _wrapped(hf_model: Any, name: str, tokenizer: Any, place: torch.device | str) -> TransformerBridge:
    """A transformers model as a TransformerBridge on a device, in evaluation mode, its weights without gradients."""
    # transformer-lens installs wandb and can import it. The lab sends nothing anywhere.
    os.environ.setdefault("WANDB_MODE", "disabled")
    from transformer_lens.model_bridge import TransformerBridge

    hf_model = hf_model.to(place)
    model = TransformerBridge.boot_transformers(
        name, hf_model=hf_model, tokenizer=tokenizer, device=str(place), dtype=next(hf_model.parameters()).dtype
    )
    model.eval()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return model
