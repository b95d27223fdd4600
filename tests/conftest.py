"""What every test shares: fixed seeds, a lab home of their own, the specimen, and tiny models.

Tests never touch the user's progress or caches: `LAB_HOME` points to a temporary folder for the
whole session. Only the unpacked specimen is borrowed from the user's own home, so that it is
fetched and unpacked once, not once a session.
"""

from __future__ import annotations

import json
import os
import random
import socket
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

ARCHITECTURES = ("gpt2", "gpt_neox", "qwen2", "gemma2", "llama")
TINY_TEXT = [
    "the cat sat on the mat and the dog sat on the log",
    "a bridge in the city of San Francisco is painted red",
    "bananas are yellow , roses are red , 1 2 3 4 5 6 7 8 9 0",
]


@pytest.fixture(scope="session", autouse=True)
def _own_lab_home(tmp_path_factory):
    from utils import home as places
    from utils import specimen

    real = places.lab_home() / "models"
    home = tmp_path_factory.mktemp("lab-home")
    patch = pytest.MonkeyPatch()
    try:
        real.mkdir(parents=True, exist_ok=True)
        (home / "models").symlink_to(real, target_is_directory=True)
    except OSError:  # Windows without the right to make links, or a read-only home
        if (real / specimen.SPECIMEN.folder).is_dir() and not os.environ.get("LAB_MODEL_DIR"):
            patch.setenv("LAB_MODEL_DIR", str(real / specimen.SPECIMEN.folder))
    patch.setenv("LAB_HOME", str(home))
    yield home
    patch.undo()


@pytest.fixture(scope="session", autouse=True)
def _witness():
    """Good calls of public functions are kept, and their signatures held to (tests/doors)."""
    from tests.doors.witness import SEEN
    from utils import inputs

    inputs.witness = SEEN
    yield
    inputs.witness = None


def pytest_collection_modifyitems(items):
    """The trials of tests/test_doors.py start from what the other tests called: they come last.

    And two workers of pytest-xdist must give every test the same name: none may hold an address in memory.
    """
    items.sort(key=lambda item: item.path.name == "test_doors.py")
    nameless = [item.nodeid for item in items if " at 0x" in item.nodeid]
    if nameless:
        raise pytest.UsageError(f"give these parameters ids= that are the same in every run: {nameless}")


@pytest.fixture(autouse=True)
def _same_seeds():
    """Every test starts from the same random state, in whatever order the tests run."""
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(scope="session")
def specimen():
    """The real specimen, loaded once a session. Mark its tests with `@pytest.mark.specimen`.

    Tests must leave it as they found it: no hooks left on, no weights changed.
    """
    from utils import models

    return models.load_model()


def tiny_tokenizer():
    """A byte-level tokenizer of 320 tokens with start, end and padding tokens, made on the spot."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TINY_TEXT, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|endoftext|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        unk_token="<|endoftext|>",
    )


def save_tiny_model(folder, architecture: str = "llama", seed: int = 0):
    """Save a random model of two layers and its tokenizer in `folder`, as any Hub model is saved."""
    import torch
    import transformers

    tokenizer = tiny_tokenizer()
    common = {"vocab_size": len(tokenizer), "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 2}
    sizes = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 64,
    }
    grouped = {**sizes, "num_key_value_heads": 2}
    config = {
        "gpt2": lambda: transformers.GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=64, **common),
        "gpt_neox": lambda: transformers.GPTNeoXConfig(**sizes, **common),
        "qwen2": lambda: transformers.Qwen2Config(**grouped, **common),
        "gemma2": lambda: transformers.Gemma2Config(**grouped, head_dim=8, **common),
        "llama": lambda: transformers.LlamaConfig(**grouped, **common),
    }[architecture]()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Path(folder)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    """Folder of a tiny random Llama: the specimen's architecture, without its weights."""
    return save_tiny_model(tmp_path_factory.mktemp("tiny") / "llama", "llama")


@pytest.fixture(scope="module", params=ARCHITECTURES)
def any_model(request, tmp_path_factory):
    """A tiny random model of each supported architecture, with weights (gains among them) large enough to matter."""
    import torch

    from utils import models

    folder = save_tiny_model(tmp_path_factory.mktemp("any") / request.param, request.param)
    model = models.load_model(folder, device="cpu")
    draw = torch.Generator().manual_seed(1)
    for parameter in model.original_model.parameters():
        parameter.data += 0.2 * torch.randn(parameter.shape, generator=draw)
    return model


@pytest.fixture()
def tiny_model(tiny_folder):
    """The tiny random Llama, loaded afresh: 2 layers, d_model 32, 4 heads with 2 KV heads."""
    from utils import models

    return models.load_model(tiny_folder, device="cpu")


@pytest.fixture()
def no_network(monkeypatch):
    """Any attempt to open a connection or to look up a name fails the test."""

    def refuse(*args, **kwargs):
        raise AssertionError(f"a network call was made: {args}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(scope="session")
def startless_folder(tmp_path_factory):
    """Folder of a tiny random Qwen2 whose tokenizer is published without a start token, as that family's is."""
    folder = save_tiny_model(tmp_path_factory.mktemp("startless") / "qwen2", "qwen2")
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    del config["bos_token"]
    path.write_text(json.dumps(config), encoding="utf-8")
    return folder


@pytest.fixture()
def startless_model(startless_folder):
    """The tiny random Qwen2 without a start token, loaded afresh."""
    from utils import models

    return models.load_model(startless_folder, device="cpu")
