"""Steered generation beside TransformerBridge's own `generate`, and beside reading the same texts.

32 prompts of unequal length, a vector added after block 12 at every step, 32 new tokens each, drawn at temperature 1.
Both benchmarks first check that what is compared says the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from utils.authoring.benchmarks import benchmark, compare

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

ROWS, NEW_TOKENS = 32, 32
HOOK = "blocks.12.hook_resid_post"
_OPENINGS = (
    "The",
    "Once upon a time",
    "The bridge over the river was built in",
    "My favourite recipe for pancakes needs flour, milk and",
    "In the spring of that year the people of the city",
    "She opened the door, saw a very large room and",
    "Water boils at",
    "It was late. The last train had gone, nobody was at the station, and so",
)


def _prompts(rows: int) -> list[str]:
    """So many prompts of 3 to 20 tokens, no two of them equal: nothing is shared between them."""
    return [f"{i + 1}. {_OPENINGS[i % len(_OPENINGS)]}" for i in range(rows)]


def _setting() -> tuple[Any, list[tuple[str, Callable]]]:
    import torch

    from utils.models import load_model

    model = load_model(device="cpu")
    generator = torch.Generator().manual_seed(0)
    direction = 4 * torch.randn(model.cfg.d_model, generator=generator)
    return model, [(HOOK, lambda acts, hook: acts + direction)]


def _ours(model: TransformerBridge, hooks: Any, rows: int, **settings: Any) -> list[list[int]]:
    from utils.writing.generation import generate_ids

    return generate_ids(model, _prompts(rows), NEW_TOKENS, hooks=hooks, stop=None, **settings)


def _bridge(model: TransformerBridge, hooks: Any, **settings: Any) -> list[list[int]]:
    with model.hooks(fwd_hooks=hooks):
        out: Any = model.generate(
            _prompts(ROWS),
            max_new_tokens=NEW_TOKENS,
            stop_at_eos=False,
            verbose=False,
            return_type="tokens",
            **settings,
        )
    return out[:, -NEW_TOKENS:].tolist()


def _with_one_thread(ours: Callable[[], Any], peer: Callable[[], Any], work: int) -> str:
    """The same comparison with one thread each, in words: on a busy machine threads wait for one another."""
    import torch

    n = torch.get_num_threads()
    if n == 1:
        return "1 thread on both sides"
    torch.set_num_threads(1)
    try:
        single = compare(ours, peer, work=work, unit="tokens/s", note="", n=3)
    finally:
        torch.set_num_threads(n)
    return (
        f"{n} threads on both sides, with one {single['ours']:.0f} against {single['peer']:.0f}, "
        f"{single['ratio']:.2f} times (n = 3)"
    )


def _cost_of_bfloat16(model: TransformerBridge) -> str:
    """How far next-token distributions move when products are rounded, on texts the model wrote, in words."""
    import torch

    from utils.writing import decoding

    texts = torch.tensor(_ours(model, (), 16, seed=1))
    copies = (decoding._plain_copy(model)[0], decoding.in_bfloat16(model, ()))
    with torch.no_grad():
        exact, rounded = (torch.log_softmax(copy(input_ids=texts).logits, -1) for copy in copies)
    kl = (exact.exp() * (exact - rounded)).sum(-1)
    same = (exact.argmax(-1) == rounded.argmax(-1)).float().mean()
    return f"mean KL {kl.mean():.4f} nats, largest {kl.max():.2f}, same likeliest token in {same:.0%} of {kl.numel()}"


@benchmark("steered_generation_vs_bridge")
def steered_generation_vs_bridge() -> dict[str, Any]:
    """`generate_ids` with a hook against `TransformerBridge.generate` with the same hook, 32 texts at once."""
    model, hooks = _setting()
    greedy = _bridge(model, hooks, do_sample=False)
    if _ours(model, hooks, ROWS, temperature=0) != greedy:
        raise AssertionError("the two engines do not write the same greedy texts")

    def ours() -> Any:
        return _ours(model, hooks, ROWS)

    def peer() -> Any:
        return _bridge(model, hooks, do_sample=True, temperature=1.0)

    work = ROWS * NEW_TOKENS
    result = compare(ours, peer, work=work, unit="tokens/s", note="", n=5)
    half = compare(lambda: _ours(model, hooks, ROWS, precision="bfloat16"), peer, work=work, unit="", note="", n=3)
    result["note"] = (
        f"{ROWS} different prompts, {NEW_TOKENS} new tokens each at temperature 1, a vector added at {HOOK}; peer: "
        f"TransformerBridge.generate with the same hook; same greedy texts; {_with_one_thread(ours, peer, work)}. "
        f"With precision='bfloat16' {half['ours']:.0f} against {half['peer']:.0f}, {half['ratio']:.2f} times (n = 3); "
        f"its cost: {_cost_of_bfloat16(model)}"
    )
    return result


@benchmark("steered_generation_vs_reading")
def steered_generation_vs_reading() -> dict[str, Any]:
    """Writing against reading as many tokens by a plain transformers model: what is left to win."""
    import statistics

    import torch
    from transformers import AutoModelForCausalLM

    from utils.authoring.benchmarks import _seconds
    from utils.specimen import specimen_folder

    model, hooks = _setting()
    plain = AutoModelForCausalLM.from_pretrained(
        str(specimen_folder()), dtype=torch.float32, local_files_only=True, attn_implementation="sdpa"
    ).eval()
    texts = torch.tensor(_ours(model, hooks, ROWS, temperature=0))

    def read(run: Callable = plain.model) -> Any:
        with torch.no_grad():
            return run(input_ids=texts, use_cache=False)

    with torch.no_grad():  # the peer reads what the engine reads
        expected = model(texts[:2], return_type="logits")
        torch.testing.assert_close(plain(input_ids=texts[:2]).logits, expected, atol=1e-3, rtol=1e-4)

    def ours() -> Any:
        return _ours(model, hooks, ROWS)

    work = ROWS * NEW_TOKENS
    result = compare(ours, read, work=work, unit="tokens/s", note="", n=5)
    with_logits = work / statistics.median(_seconds(lambda: read(plain)) for _ in range(3))
    many = 4 * ROWS
    at_128 = many * NEW_TOKENS / statistics.median(_seconds(lambda: _ours(model, hooks, many)) for _ in range(3))
    result["note"] = (
        f"as above; peer: bare transformers (sdpa) reads {ROWS} texts of {NEW_TOKENS} tokens at once, without logits "
        f"(with a logit for every token, as writing needs: {with_logits:.0f} tokens/s, n = 3). Ours with {many} texts "
        f"at once: {at_128:.0f} tokens/s (n = 3)"
    )
    return result
