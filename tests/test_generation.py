"""utils.generation: known distributions, reproducible draws, and batches that change nothing."""

import pytest
import torch

from utils import generation

PROMPTS = ["the cat sat", "a", "bananas are yellow , roses"]


def test_temperature_sharpens_and_flattens():
    logits = torch.tensor([2.0, 1.0, 0.0])
    expected = torch.exp(logits / 0.5) / torch.exp(logits / 0.5).sum()
    torch.testing.assert_close(generation.probabilities(logits, 0.5), expected)
    assert generation.probabilities(logits, 0).tolist() == [1, 0, 0]
    torch.testing.assert_close(generation.probabilities(logits, 1e6), torch.full((3,), 1 / 3), atol=1e-5, rtol=0)
    assert torch.isfinite(generation.probabilities(torch.tensor([3e4, -3e4]))).all()


def test_top_k_and_top_p_keep_what_they_should():
    logits = torch.tensor([0.1, 0.5, 0.15, 0.25]).log()
    torch.testing.assert_close(generation.probabilities(logits, top_k=2), torch.tensor([0, 2 / 3, 0, 1 / 3]))
    torch.testing.assert_close(generation.probabilities(logits, top_p=0.6), torch.tensor([0, 2 / 3, 0, 1 / 3]))
    assert generation.probabilities(logits, top_p=0.01).tolist() == [0, 1, 0, 0]  # at least one always stays
    torch.testing.assert_close(generation.probabilities(logits, top_k=99, top_p=1.0), logits.exp())
    both = generation.probabilities(torch.stack([logits, logits.flip(0)]), top_k=1)
    assert both.argmax(-1).tolist() == [1, 2] and both.sum(-1).tolist() == [1, 1]


def test_draws_follow_the_distribution_and_the_seed():
    probs = torch.tensor([0.0, 0.7, 0.0, 0.3])
    generator = torch.Generator().manual_seed(0)
    counts = torch.bincount(torch.tensor([generation.draw(probs, generator) for _ in range(4000)]), minlength=4)
    assert counts[0] == counts[2] == 0 and abs(counts[1] / 4000 - 0.7) < 0.03
    again = [generation.draw(probs, torch.Generator().manual_seed(7)) for _ in range(3)]
    assert len(set(again)) == 1
    with pytest.raises(ValueError, match="sum to 1"):
        generation.draw(torch.tensor([0.5, 0.2]), generator)


@pytest.mark.parametrize("settings", [{"temperature": 0}, {"temperature": 0.9, "top_k": 20, "top_p": 0.9}])
def test_a_batch_gives_what_one_prompt_alone_gives(tiny_model, settings):
    """Left padding, the mask and the kept keys and values must change nothing."""
    together = generation.generate_ids(tiny_model, PROMPTS, 8, seed=3, **settings)
    for i, prompt in enumerate(PROMPTS):
        ids = tiny_model.to_tokens(prompt)
        generator = torch.Generator().manual_seed(3 * 100_003 + i)
        slow = []
        for _ in range(8):  # the slow and plain way: the whole text again for every token
            probs = generation.probabilities(tiny_model(ids)[0, -1], **settings)
            token = generation.draw(probs, generator)
            if token == tiny_model.tokenizer.eos_token_id:
                break
            slow.append(token)
            ids = torch.cat([ids, torch.tensor([[token]])], dim=1)
        assert together[i] == slow


def test_seeds_matter_and_the_end_token_ends(tiny_model):
    first = generation.generate(tiny_model, PROMPTS, 8, seed=1)
    assert first == generation.generate(tiny_model, PROMPTS, 8, seed=1)
    assert first != generation.generate(tiny_model, PROMPTS, 8, seed=2)
    tiny_model.tokenizer.eos_token_id = generation.generate_ids(tiny_model, ["a"], 3, temperature=0)[0][1]
    assert len(generation.generate_ids(tiny_model, ["a"], 3, temperature=0)[0]) <= 1


def test_next_token_logits(tiny_model):
    expected = [tiny_model(tiny_model.to_tokens(prompt))[0, -1] for prompt in PROMPTS]
    torch.testing.assert_close(generation.next_token_logits(tiny_model, PROMPTS[0]), expected[0])
    together = generation.next_token_logits(tiny_model, PROMPTS)
    torch.testing.assert_close(together, torch.stack(expected), atol=1e-5, rtol=1e-5)
    ids = [tiny_model.to_tokens(prompt)[0].tolist() for prompt in PROMPTS]
    torch.testing.assert_close(generation.next_token_logits(tiny_model, ids), together)


@pytest.mark.parametrize("prompts", ["", [], ["a", ""], ["a", 3], [[1, 2], []], [[1.5]], 7])
def test_next_token_logits_refuses_bad_prompts(tiny_model, prompts):
    with pytest.raises((TypeError, ValueError), match="prompts"):
        generation.next_token_logits(tiny_model, prompts)


def test_repeated_share():
    assert generation.repeated_share([1, 2, 3, 4, 5]) == 0
    assert generation.repeated_share([1] * 10, n=4) == pytest.approx(6 / 7)
    with pytest.raises(ValueError, match="at least n = 4"):
        generation.repeated_share([1, 2, 3])


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"prompts": []}, ValueError, "prompts is empty"),
        ({"prompts": "the cat"}, TypeError, "list of strings"),
        ({"prompts": ["the", 3]}, TypeError, r"prompts\[1\]"),
        ({"prompts": ["the", ""]}, ValueError, r"prompts\[1\] is an empty string"),
        ({"new_tokens": 0}, ValueError, "new_tokens"),
        ({"new_tokens": 500}, ValueError, "exceed the context"),
        ({"temperature": -1}, ValueError, "temperature"),
        ({"temperature": float("nan")}, ValueError, "temperature"),
        ({"top_k": 0}, ValueError, "top_k"),
        ({"top_p": 1.5}, ValueError, "top_p"),
    ],
)
def test_bad_input_is_named(tiny_model, change, error, says):
    with pytest.raises(error, match=says):
        generation.generate(tiny_model, **({"prompts": PROMPTS, "new_tokens": 3} | change))


def test_bad_logits_are_named():
    with pytest.raises(ValueError, match="NaN"):
        generation.probabilities(torch.tensor([1.0, float("nan")]))
    with pytest.raises(TypeError, match="floating-point"):
        generation.probabilities([1.0, 2.0])
