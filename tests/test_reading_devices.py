"""Reading and writing with a model on a (pretend) GPU: the same numbers, handed back on the CPU."""

import pytest
import torch

from tests.doors.pretend_gpu import on_gpu, pretend_gpu
from utils import reading
from utils.reading.continuation import continue_from
from utils.writing import generation

HOOK = "blocks.0.hook_resid_post"
PROMPTS = ["the cat", "a bridge in the city of", "the cat"]
HALF = [(HOOK, lambda acts, hook: acts * 0.5)]
IDS = torch.tensor([[0, 5, 6, 7], [0, 8, 9, 4]])

CALLS = {
    "collect": lambda model: reading.collect(model, PROMPTS, [HOOK], "all", cache=False).acts[HOOK],
    "collect a mask": lambda model: reading.collect(model, IDS.tolist(), [HOOK], IDS > 5, cache=False).acts[HOOK],
    "stream": lambda model: torch.cat([chunk.acts[HOOK] for chunk in reading.stream(model, PROMPTS, [HOOK])]),
    "surprisal": lambda model: torch.cat([found.bits for found in reading.surprisal(model, PROMPTS)]),
    "token_losses": lambda model: reading.token_losses(model, IDS, HALF),
    "continuation": lambda model: (
        reading.continuation_log_likelihood(model, PROMPTS, [" sat", " San", " on the"], hooks=HALF).per_token
    ),
    "next_token_logits": lambda model: reading.next_token_logits(model, PROMPTS, hooks=HALF),
    "generate": lambda model: generation.generate_ids(model, PROMPTS, 6, seed=1, top_p=0.9, batch_size=2, stop=[40]),
    "generate with hooks": lambda model: generation.generate_ids(model, PROMPTS, 6, temperature=0, hooks=HALF),
    "generate inside a module": lambda model: generation.generate_ids(
        model, PROMPTS, 4, hooks=[("blocks.1.attn.hook_z", lambda acts, hook: acts * 0.5)]
    ),
    "generate in bfloat16": lambda model: generation.generate_ids(model, PROMPTS, 4, precision="bfloat16"),
    "generate where a hook asks": lambda model: generation.generate_ids(
        model, PROMPTS, 4, hooks=[(HOOK, lambda acts, hook: acts * (generation.places(acts).rows == 0)[:, None, None])]
    ),
    "a stream of text": lambda model: list(generation.stream(model, PROMPTS, 4, seed=2)),
    "massive in a hook": lambda model: reading.next_token_logits(
        model,
        PROMPTS,
        hooks=[(HOOK, lambda acts, hook: acts * (~reading.is_massive(acts, 0.1, 2)).unsqueeze(-1))],
    ),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_the_same_numbers_back_on_the_cpu(tiny_model, call):
    here = call(tiny_model)
    with pretend_gpu():
        there = call(tiny_model.to("cuda"))
        if isinstance(here, torch.Tensor):
            assert not on_gpu(there)
            torch.testing.assert_close(there, here)
        else:
            assert there == here


def test_ids_go_to_the_model_and_rows_stay(tiny_model):
    with pretend_gpu():
        model = tiny_model.to("cuda")
        assert on_gpu(reading.text_tokens(model, "the cat")) and on_gpu(reading.token_batch(model, IDS))
        assert not any(on_gpu(row) for row in reading.token_rows(model, PROMPTS))
        assert on_gpu(reading.token_batch(model, IDS.to("cuda")))
        rest = continue_from(model, IDS, 0)  # edits work where the activations are, as hooks do
        assert on_gpu(rest.start) and on_gpu(rest.logits(rest.start, IDS > 5))


def test_drawing_is_done_on_the_cpu():
    with pretend_gpu():
        probs = torch.tensor([0.2, 0.3, 0.5], device="cuda")
        assert generation.draw(probs, torch.Generator().manual_seed(1)) in (0, 1, 2)
        assert on_gpu(generation.probabilities(probs.log(), 0.5, top_k=2, top_p=0.9))
