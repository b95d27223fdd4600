"""What the tests of the stand-in share: a tiny model that bends, transcoders nobody trained, a graph made by hand."""

import torch
import transformers

from tests.conftest import tiny_tokenizer
from utils import models
from utils.standin import random_transcoder
from utils.standin.graph import Graph

TOKENS = [0, 5, 9, 44, 100, 7]
LAYERS, D = 3, 32


def awake(model):
    """A tiny random model whose weights are large enough to bend, and whose norms and biases say something."""
    draw = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for p in model.original_model.parameters():
            p.requires_grad_(False)
            if p.ndim == 1:
                p.add_(0.1 * torch.randn(p.shape, generator=draw))
            else:
                p.mul_(5)
    return model


def awake_llama(folder):
    """Three blocks, 4 heads that share 2 key-value heads, RMSNorm, gated MLPs: the specimen's form."""
    tokenizer = tiny_tokenizer()
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=D,
        intermediate_size=64,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        bos_token_id=0,
        eos_token_id=2,
        pad_token_id=2,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    made.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return awake(models.load_model(folder, device="cpu"))


def three_transcoders(seed=0):
    """With a skip in the second block, TopK in two and a threshold in the third."""
    kinds = [{"k": 6}, {"k": 6, "skip": True}, {"k": None}]
    return {b: random_transcoder(b, D, 48, seed=seed + b, **kind) for b, kind in enumerate(kinds)}


def graph_by_hand(seed=0, n_units=24, positions=4, blocks=3):
    """A graph with random edges wherever one is allowed; the numbers mean nothing."""
    draw = torch.Generator().manual_seed(seed)
    places = [torch.randint(0, n, (n_units,), generator=draw) for n in (blocks, positions)]
    units = torch.stack([*places, torch.arange(n_units)], 1)
    units = units[units[:, 0].argsort(stable=True)]
    size = n_units + blocks * positions + positions + 3
    graph = Graph(
        basis="latents",
        rule="",
        constant_start=False,
        prompt="abcd",
        tokens=torch.arange(positions),
        words=list("abcdefgh"[:positions]),
        n_layers=blocks,
        units=units,
        values=torch.rand(n_units, generator=draw) + 0.5,
        n_active=n_units,
        logit_ids=[11, 12, 13],
        logit_words=["x", "y", "z"],
        probabilities=torch.tensor([0.5, 0.3, 0.1]),
        adjacency=torch.zeros(size, size),
        bias=torch.zeros(size),
        totals=torch.zeros(size),
    )
    order, at = graph.order, graph.positions
    allowed = (order[:, None] > order) & (at[:, None] >= at)
    allowed[graph.places("error")] = False
    allowed[graph.places("embedding")] = False
    graph.adjacency.copy_(torch.randn(size, size, generator=draw) * allowed)
    graph.totals.copy_(graph.adjacency.sum(1))
    return graph
