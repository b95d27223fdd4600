"""utils.reading.likelihood against a plain loop, and on a model that knows nothing."""

import math

import pytest
import torch

from utils.reading.likelihood import surprisal

TEXTS = ["the cat sat on the mat", "red", "a bridge in the city of San Francisco"]


def test_equals_a_plain_loop(tiny_model):
    for text, found in zip(TEXTS, surprisal(tiny_model, TEXTS)):
        ids = tiny_model.to_tokens(text)
        with torch.no_grad():
            probs = tiny_model(ids)[0].softmax(-1)
        expected = [-math.log2(probs[i - 1, ids[0, i]]) for i in range(1, ids.shape[1])]
        assert found.bits.tolist() == pytest.approx(expected, abs=1e-4)
        assert "".join(found.tokens) == found.text == text
        assert found.total == pytest.approx(sum(expected), abs=1e-3)
        assert found.per_character == pytest.approx(found.total / len(text))
        assert found.per_token == pytest.approx(found.total / len(expected))


def test_a_model_that_knows_nothing_pays_the_full_price(tiny_model):
    tiny_model.original_model.get_output_embeddings().weight.zero_()
    found = surprisal(tiny_model, TEXTS)
    assert all(text.per_token == pytest.approx(math.log2(tiny_model.cfg.d_vocab), abs=1e-4) for text in found)


@pytest.mark.parametrize(
    ("texts", "error", "says"),
    [
        ([], ValueError, "texts is empty"),
        ("red", TypeError, "list of texts"),
        (["red", 3], TypeError, r"texts\[1\]"),
        (["red", ""], ValueError, r"texts\[1\] is an empty string"),
        (["red " * 200], ValueError, "reads at most 64"),
    ],
)
def test_bad_input_is_named(tiny_model, texts, error, says):
    with pytest.raises(error, match=says):
        surprisal(tiny_model, texts)


def test_no_document_start(tiny_model):
    tiny_model.tokenizer.bos_token = None
    with pytest.raises(ValueError, match="document start"):
        surprisal(tiny_model, TEXTS)
