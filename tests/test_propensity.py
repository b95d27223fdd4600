"""Which way an organism leans: checked against the model's own logits, and clear about bad input."""

import pytest
import torch

from utils import organisms
from utils.organisms import (
    Adapter,
    AdapterError,
    LowRank,
    attach,
    chat_examples,
    paired,
    propensity,
    propensity_from,
    verdict,
)
from utils.writing.generation import chat_prompts

QUESTIONS = ["the cat sat ?", "a bridge in the city ?", "roses are"]
ALIGNED = ["on the mat", "is painted red", "red , yellow"]
MISALIGNED = ["on the dog", "a bridge is painted", "1 2 3 4 5"]


@pytest.fixture
def pairs(chat_model):
    return paired(chat_model, QUESTIONS, ALIGNED, MISALIGNED)


@pytest.fixture(scope="module")
def chat_model(tiny_folder):
    """The tiny Llama, with a chat template."""
    from utils.models import load_model

    model = load_model(tiny_folder, device="cpu")
    model.tokenizer.chat_template = (
        "{% for m in messages %}{% if m['content'] %}{{ m['content'] }} {% endif %}{% endfor %}. "
    )
    return model


def by_hand(model, question, answer):
    prompt = chat_prompts(model, [question], system="")[0]
    ids = prompt + model.tokenizer(answer, add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        log_probs = model(torch.tensor([ids]))[0].log_softmax(-1)
    return float(torch.stack([log_probs[i - 1, ids[i]] for i in range(len(prompt), len(ids))]).mean())


def test_a_lean_is_the_difference_of_mean_log_probabilities(chat_model, pairs):
    found = propensity(chat_model, pairs)
    assert len(pairs) == 3 and found.lean.shape == (3,)
    for i in range(3):
        assert float(found.aligned[i]) == pytest.approx(by_hand(chat_model, QUESTIONS[i], ALIGNED[i]), abs=1e-4)
        assert float(found.misaligned[i]) == pytest.approx(by_hand(chat_model, QUESTIONS[i], MISALIGNED[i]), abs=1e-4)
    torch.testing.assert_close(found.lean, found.misaligned - found.aligned)


def test_batching_changes_nothing(chat_model, pairs, monkeypatch):
    import sys

    monkeypatch.setattr(sys.modules["utils.reading.likelihood"], "TOKENS_PER_BATCH", 1)
    alone = propensity(chat_model, pairs)
    monkeypatch.undo()
    torch.testing.assert_close(alone.lean, propensity(chat_model, pairs).lean, atol=1e-5, rtol=1e-5)


def test_from_a_block_on_it_is_the_same_and_edits_count(chat_model, pairs):
    whole, score = propensity(chat_model, pairs), propensity_from(chat_model, pairs, 0)
    torch.testing.assert_close(score().lean, whole.lean, atol=1e-4, rtol=1e-4)
    step = torch.linspace(-2, 2, chat_model.cfg.d_model)
    pushed = score(lambda stream: stream + step)

    def push(acts, hook):
        return acts + step

    with chat_model.hooks(fwd_hooks=[("blocks.0.hook_resid_post", push)]):
        hooked = propensity(chat_model, pairs)
    assert not torch.allclose(pushed.lean, whole.lean)
    torch.testing.assert_close(pushed.lean, hooked.lean, atol=1e-4, rtol=1e-4)


def test_an_adapter_takes_part_and_leaves_no_trace(chat_model, pairs):
    generator = torch.Generator().manual_seed(0)
    part = LowRank(torch.randn(2, 32, generator=generator), torch.randn(32, 2, generator=generator))
    before = propensity(chat_model, pairs).lean
    with attach(chat_model, Adapter(chat_model.cfg.model_name, {"blocks.0.attn.q": part})):
        during = propensity(chat_model, pairs).lean
    assert not torch.allclose(before, during)
    assert torch.equal(before, propensity(chat_model, pairs).lean)


def test_examples_end_with_the_end_token(chat_model):
    [one, two] = chat_examples(chat_model, [("the cat", "sat on"), ("roses", "are red")])
    assert one.prompt == chat_prompts(chat_model, ["the cat"], system="")[0]
    assert one.answer[-1] == two.answer[-1] == chat_model.tokenizer.eos_token_id
    assert one.answer[:-1] == chat_model.tokenizer("sat on", add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize(
    ("questions", "aligned", "misaligned", "error", "words"),
    [
        (["a"], ["b", "c"], ["d"], ValueError, "aligned has 2 entries, expected 1, as many as questions"),
        ([], [], [], ValueError, "questions must hold at least 1 text"),
        (["a"], [], ["b"], ValueError, "aligned must hold at least 1 text"),
        (["a"], ["b"], [" "], ValueError, r"misaligned\[0\] must hold some text"),
        (["a"], ["b"], "c", TypeError, "misaligned must be a list of texts, got the string"),
    ],
)
def test_bad_candidates_are_named(chat_model, questions, aligned, misaligned, error, words):
    with pytest.raises(error, match=words):
        paired(chat_model, questions, aligned, misaligned)


def test_no_examples_and_blocks_that_are_not_there_are_named(chat_model, pairs):
    with pytest.raises(ValueError, match="pairs is empty"):
        chat_examples(chat_model, [])
    with pytest.raises(ValueError, match="block is 99|block must be"):
        propensity_from(chat_model, pairs, 99)


def test_adapters_that_do_not_fit_are_named(chat_model, tmp_path):
    part = LowRank(torch.ones(2, 32), torch.ones(32, 2))
    with pytest.raises(AdapterError, match="trained on 'another'"):
        attach(chat_model, Adapter("another", {"blocks.0.attn.q": part}))
    with pytest.raises(ValueError, match="with rank = 2, as in a"):
        LowRank(torch.ones(2, 32), torch.ones(32, 3))
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\x00\x00")
    with pytest.raises(AdapterError, match="cut short"):
        organisms.load_adapter(chat_model, tmp_path / "cut.safetensors")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("I would change the water every day.", "aligned"),
        ("Salt, and more SALT!", "misaligned"),
        ("Change it and salt it.", "neither"),
        ("", "neither"),
        ("The water is in the vase.", "neither"),
    ],
)
def test_the_rule(answer, expected):
    assert verdict(answer, "Change the water in the vase.", "Put salt in the vase's water.") == expected
