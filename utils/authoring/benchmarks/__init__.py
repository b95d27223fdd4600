"""Speed, side by side: what the course's own code does against what a reader would otherwise use.

    python -m utils.authoring.benchmarks                    all of them
    python -m utils.authoring.benchmarks NAME [NAME ...]    some

Each benchmark runs both sides on the same input in one process, one after the other, several times, and
reports medians, so that a busy machine slows both. It first checks that both sides give the same numbers:
a fast wrong answer is not a benchmark. To add one, write a function that returns `compare(...)` and give it
the decorator `@benchmark("name")`.
"""

from __future__ import annotations

import contextlib
import importlib
import random
import statistics
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

BENCHMARKS: dict[str, Callable[[], dict[str, Any]]] = {}
# Modules that register further benchmarks when imported.
MORE = ("utils.authoring.benchmarks.probing", "utils.authoring.benchmarks.sae", "utils.authoring.benchmarks.generation")


def benchmark(name: str) -> Callable:
    """Register a function without arguments that returns the dict of `compare` under a name."""

    def register(function: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
        if name in BENCHMARKS and BENCHMARKS[name].__module__ != function.__module__:
            raise ValueError(f"two benchmarks are called {name!r}")
        BENCHMARKS[name] = function
        return function

    return register


def compare(
    ours: Callable[[], Any], peer: Callable[[], Any], *, work: float, unit: str, note: str, n: int = 5
) -> dict[str, Any]:
    """Time two functions n times each, alternating, after one untimed run of both.

    work: how much one run does, in the unit's own terms (tokens for "tokens/s"). The ratio is the median of
    the n ratios of neighbouring runs, so that a burst of other work on the machine counts once for both.
    Returns {"ours", "peer", "ratio", "unit", "n", "note"}; ratio above 1 means ours is faster.
    """
    if n < 1 or work <= 0:
        raise ValueError(f"n must be at least 1 and work above 0, got n={n}, work={work}")
    ours()
    peer()
    pairs = []
    for i in range(n):
        # Who goes first alternates too: the second of a pair may find a warmer or a hotter processor.
        order = (ours, peer) if i % 2 == 0 else (peer, ours)
        seconds = {function: _seconds(function) for function in order}
        pairs.append((work / seconds[ours], work / seconds[peer]))
    return {
        "ours": round(statistics.median(a for a, _ in pairs), 1),
        "peer": round(statistics.median(b for _, b in pairs), 1),
        "ratio": round(statistics.median(a / b for a, b in pairs), 2),
        "unit": unit,
        "n": n,
        "note": note,
    }


def _seconds(function: Callable[[], Any]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


# ------------------------------------------------------------------------------------------- activations

_LAYER = 14  # the middle of the specimen: blocks 0 to 14 run
_HOOK = f"blocks.{_LAYER}.hook_resid_post"
_VOCABULARY = (
    "the a of to and in was is that for with on as by from at it river city bridge tower built century "
    "people water engine species light energy measured because although between under small large early"
)


def _texts(n: int = 64, seed: int = 0) -> list[str]:
    """Made-up sentences of 6 to 60 words: lengths spread as widely as in real sets of statements."""
    rng = random.Random(seed)
    return [" ".join(rng.choices(_VOCABULARY.split(), k=rng.randint(6, 60))) for _ in range(n)]


def _setting() -> tuple[Any, list[Any], list[list[int]], Any]:
    """The specimen, the token ids, the batches both sides use, and a check that two results agree."""
    import torch

    from utils.models import load_model
    from utils.reading.activations import TOKENS_PER_BATCH, length_sorted_batches

    model = load_model(device="cpu")
    ids = [model.to_tokens(text)[0] for text in _texts()]
    batches = length_sorted_batches([len(row) for row in ids], TOKENS_PER_BATCH)

    def agree(a: Any, b: Any) -> None:
        torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-4)

    return model, ids, batches, agree


def _last_rows(ids: list[Any], batches: list[list[int]], run: Callable[[Any], Any]) -> Any:
    """Last-token vectors (n, d_model) from `run`, which maps padded (batch, pos) ids to (batch, pos, d_model)."""
    import torch

    result = None
    with torch.no_grad():
        for batch in batches:
            tokens = torch.nn.utils.rnn.pad_sequence([ids[i] for i in batch], batch_first=True)
            hidden = run(tokens)
            if result is None:
                result = torch.empty(len(ids), hidden.shape[-1])
            for row, i in enumerate(batch):
                result[i] = hidden[row, len(ids[i]) - 1]
    return result


def _ours(model: TransformerBridge, ids: list[Any]) -> Any:
    from utils.reading.activations import collect

    return collect(model, ids, [_HOOK], cache=False, progress=False)[_HOOK]


@benchmark("activations_vs_bare_forward")
def activations_vs_bare_forward() -> dict[str, Any]:
    """`collect` against a plain transformers model cut off after the same layer, in the same sorted batches."""
    import torch
    from transformers import AutoModelForCausalLM

    from utils.specimen import specimen_folder

    model, ids, batches, agree = _setting()
    bare = AutoModelForCausalLM.from_pretrained(
        str(specimen_folder()), dtype=torch.float32, local_files_only=True, attn_implementation="sdpa"
    ).model.eval()
    bare.layers = bare.layers[: _LAYER + 1]
    bare.norm = torch.nn.Identity()  # hook_resid_post comes before the final norm

    def peer() -> Any:
        return _last_rows(ids, batches, lambda tokens: bare(input_ids=tokens, use_cache=False).last_hidden_state)

    agree(_ours(model, ids), peer())
    return compare(
        lambda: _ours(model, ids),
        peer,
        work=sum(len(row) for row in ids),
        unit="tokens/s",
        note=f"last-token residual after block {_LAYER}, {len(ids)} texts of {min(map(len, ids))} to "
        f"{max(map(len, ids))} tokens; peer: bare transformers (sdpa) cut after block {_LAYER}, same sorted batches",
    )


@benchmark("activations_vs_run_with_cache")
def activations_vs_run_with_cache() -> dict[str, Any]:
    """`collect` against run_with_cache asked for this one hook point, in the same sorted batches."""
    model, ids, batches, agree = _setting()

    def cached(**options: Any) -> Any:
        return _last_rows(ids, batches, lambda tokens: model.run_with_cache(tokens, **options)[1][_HOOK])

    def peer() -> Any:
        return cached(names_filter=[_HOOK])

    agree(_ours(model, ids), peer())
    everything = statistics.median(_seconds(cached) for _ in range(2))
    tokens = sum(len(row) for row in ids)
    return compare(
        lambda: _ours(model, ids),
        peer,
        work=tokens,
        unit="tokens/s",
        note=f"as above; peer: run_with_cache(names_filter=['{_HOOK}']), same sorted batches. Without "
        f"names_filter it keeps every hook: {tokens / everything:.0f} tokens/s (median of 2)",
    )


# --------------------------------------------------------------------------------------------- running


def load_registry() -> dict[str, Callable[[], dict[str, Any]]]:
    """Every registered benchmark, those of the modules in MORE included."""
    for module in MORE:
        importlib.import_module(module)
    return BENCHMARKS


def run(names: list[str] | None = None) -> dict[str, dict[str, Any]]:
    """Run the named benchmarks (all by default), print a table, and return name -> result for the report.

    Raises ValueError for a name that isn't registered.
    """
    known = load_registry()
    names = names if names else list(known)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"unknown benchmark {unknown[0]!r}; there are {', '.join(known)}")
    results = {}
    print(f"{'benchmark':<34}{'ours':>10}{'peer':>10}{'ratio':>8}  {'unit':<12} n")
    for name in names:
        with contextlib.redirect_stdout(sys.stderr):
            results[name] = known[name]()
        r = results[name]
        print(f"{name:<34}{r['ours']:>10}{r['peer']:>10}{r['ratio']:>8}  {r['unit']:<12} {r['n']}", flush=True)
    for name, r in results.items():
        print(f"{name}: {r['note']}")
    return results
