"""utils.reading.tokens: what is read as which ids, and what can't be read at all."""

import shutil
import warnings

import numpy as np
import pytest
import torch

from utils import models
from utils.reading import (
    chat_tokens,
    collect,
    continuation_log_likelihood,
    next_token_logits,
    start_token,
    text_ids,
    text_tokens,
    token_batch,
    token_row,
    token_rows,
    token_strings,
)
from utils.reading.batches import length_sorted_batches, padded, padded_left, same_length_batches
from utils.reading.tokens import _published_start
from utils.writing import generate_ids

HOOK = "blocks.1.hook_resid_post"


# ---------------------------------------------------------------------------------------------------- the start token


def test_a_tokenizer_with_a_start_token(tiny_model):
    assert start_token(tiny_model) == 0
    assert text_tokens(tiny_model, "the cat").tolist() == tiny_model.to_tokens("the cat").tolist()
    assert text_tokens(tiny_model, "the cat", start=False)[0].tolist() == text_ids(tiny_model, "the cat")


def test_a_stand_in_is_no_start_token(startless_model):
    """TransformerLens fills in the end token. The tokenizer as published has none, so no reader may put one."""
    assert startless_model.tokenizer.bos_token_id == startless_model.tokenizer.eos_token_id == 2
    assert start_token(startless_model) is None
    assert text_tokens(startless_model, "the cat")[0].tolist() == text_ids(startless_model, "the cat")


def test_a_published_start_token_may_be_the_end_token_too(tiny_folder, tmp_path):
    """As GPT-2's: one token that ends a document and begins the next."""
    shutil.copytree(tiny_folder, tmp_path / "one")
    path = tmp_path / "one" / "tokenizer_config.json"
    path.write_text(path.read_text().replace('"eos_token": "<|im_end|>"', '"eos_token": "<|endoftext|>"'))
    model = models.load_model(tmp_path / "one")
    assert model.tokenizer.bos_token_id == model.tokenizer.eos_token_id == 0 == start_token(model)
    model.tokenizer.init_kwargs.pop("bos_token")  # a class may name it instead of a file
    assert start_token(model) is None
    with_default = type("WithDefault", (), {"__init__": lambda self, bos_token="<|endoftext|>": None})()
    assert _published_start(with_default)


def positions_read(model, text):
    """How many positions `generate` reads as its prompt."""
    seen = []
    generate_ids(model, [text], 1, hooks=[("blocks.0.hook_resid_pre", lambda acts, hook: seen.append(acts.shape[1]))])
    return seen[0]


@pytest.mark.parametrize("which", ["tiny_model", "startless_model"])
def test_every_reader_reads_the_same_ids(request, which):
    model, text = request.getfixturevalue(which), "the cat sat"
    ids = text_tokens(model, text)[0].tolist()
    assert collect(model, [text], [HOOK], "all", cache=False).token.tolist() == ids
    assert token_rows(model, [text])[0].tolist() == ids
    assert positions_read(model, text) == len(ids)
    torch.testing.assert_close(next_token_logits(model, text), next_token_logits(model, [ids])[0])
    likely = [continuation_log_likelihood(model, [head], [" on"]).total for head in (text, ids)]
    torch.testing.assert_close(*likely)


def test_two_start_tokens_are_told(tiny_model):
    with pytest.warns(UserWarning, match=r"texts\[1\] already begins with the start token .* second one") as caught:
        rows = token_rows(tiny_model, ["the cat", "<|endoftext|>the cat"])
    assert caught[0].filename == __file__
    assert rows[1].tolist() == [0, *rows[0].tolist()]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        token_rows(tiny_model, ["the cat", "the<|endoftext|>"])
        token_rows(tiny_model, ["<|endoftext|>the cat"], start=False)


# -------------------------------------------------------------------------------------------------- what can be read


def test_rows_come_in_many_forms(tiny_model):
    ids = [[3, 4, 5], [6, 7]]
    forms = [
        ids,
        tuple(map(tuple, ids)),
        [torch.tensor(row) for row in ids],
        [np.array(row) for row in ids],
        [[np.int32(token) for token in row] for row in ids],
        [[torch.tensor(token) for token in row] for row in ids],
        [torch.tensor(row, dtype=torch.int32) for row in ids],
        np.array([torch.tensor(row).numpy() for row in ids], dtype=object),
    ]
    for form in forms:
        rows = token_rows(tiny_model, form)
        assert [row.tolist() for row in rows] == ids and all(row.dtype == torch.int64 for row in rows)
    texts = ["the cat", "a red bus"]
    expected = [row.tolist() for row in token_rows(tiny_model, texts)]
    pandas = pytest.importorskip("pandas")
    for form in (tuple(texts), np.array(texts), np.array(texts, dtype=object), pandas.Series(texts)):
        assert [row.tolist() for row in token_rows(tiny_model, form)] == expected


@pytest.mark.parametrize(
    ("texts", "error", "says"),
    [
        ("the cat", TypeError, r"texts must be a list; for a single text write \[text\]"),
        (b"the cat", TypeError, "texts must be a list"),
        ({"the": 1}, TypeError, "texts must be a list"),
        (None, TypeError, "texts must be a list.* got None"),
        (np.array("the cat"), TypeError, "single value"),
        ([], ValueError, "texts is empty"),
        (["a", float("nan")], TypeError, r"texts\[1\] must be a string, as the first is, got nan"),
        ([float("nan"), "a"], TypeError, r"texts\[0\] must be a string or a list of token ids, got nan"),
        (["a", "b", None], TypeError, r"texts\[2\]"),
        (["a", "b", "c\ud83d"], ValueError, r"texts\[2\] holds half a character \('\\ud83d' at place 1"),
        (["a", ""], ValueError, r"texts\[1\] is an empty string"),
        ([3, 4, 5], TypeError, r"texts\[0\] .* a single row of ids goes into a list"),
        ([[3, 4], "a"], TypeError, r"texts\[1\] must be a list of token ids, as the first is"),
        ([[3, 4], []], ValueError, r"texts\[1\] is an empty list"),
        ([[3, 4], [3, 320]], ValueError, r"texts\[1\] holds ids outside 0\.\.319: 3\.\.320"),
        ([[3, -1]], ValueError, r"texts\[0\] holds ids outside"),
        ([[3, 2**70]], ValueError, r"texts\[0\]"),
        ([[3, 1.0]], TypeError, r"texts\[0\] must hold token ids \(whole numbers\), got 1.0"),
        ([[3, True]], TypeError, r"texts\[0\] must hold token ids"),
        ([np.array([3.0])], TypeError, r"texts\[0\] must hold token ids"),
        ([torch.ones(2, dtype=torch.bool)], TypeError, r"texts\[0\] must hold token ids"),
        ([torch.ones(1, 2, dtype=torch.long)], TypeError, r"texts\[0\] must hold ids in 1-d"),
        ([torch.zeros(3, dtype=torch.long, device="meta")], ValueError, r"texts\[0\] is on the device 'meta'"),
        (torch.ones(2, 3, dtype=torch.long), TypeError, "not a padded tensor"),
        (["a", "red " * 200], ValueError, r"texts\[1\] has \d+ tokens; this model reads at most 64"),
        ([[3], [3] * 65], ValueError, r"texts\[1\] has 65 tokens"),
    ],
)
def test_the_row_that_is_wrong_is_named(tiny_model, texts, error, says):
    with pytest.raises(error, match=says):
        token_rows(tiny_model, texts)
    with pytest.raises(error, match=says):
        collect(tiny_model, texts, [HOOK], cache=False)


def test_the_argument_is_called_as_the_caller_calls_it(tiny_model):
    with pytest.raises(ValueError, match=r"stems\[0\] has 2 tokens, at least 3 are needed"):
        token_rows(tiny_model, ["e"], name="stems", shortest=3)
    with pytest.raises(ValueError, match="text is an empty string"):
        text_tokens(tiny_model, "")
    with pytest.raises(TypeError, match="text must be a string"):
        text_ids(tiny_model, ["the cat"])
    tiny_model.tokenizer = None
    with pytest.raises(TypeError, match="no tokenizer"):
        token_rows(tiny_model, ["the cat"])
    assert token_rows(tiny_model, [[3, 4]])[0].tolist() == [3, 4]


def test_batches_and_rows_of_ids(tiny_model):
    ids = [[3, 4, 5], [6, 7, 8]]
    for form in (torch.tensor(ids), torch.tensor(ids, dtype=torch.int32), np.array(ids), ids):
        assert token_batch(tiny_model, form).tolist() == ids
        assert token_row(tiny_model, form[0]).tolist() == ids[0]
    wrong = [
        (torch.tensor([1, 2]), ValueError, "batch, pos"),
        (torch.zeros(0, 3).long(), ValueError, "neither of them 0"),
        (torch.ones(1, 2), TypeError, "whole numbers"),
        (torch.ones(1, 2).bool(), TypeError, "whole numbers"),
        ([[1, 2], [3]], ValueError, "one length"),
        ("the cat", TypeError, "token ids"),
        (None, TypeError, "token ids"),
        (torch.tensor([[1, 320]]), ValueError, r"outside 0\.\.319"),
        (torch.zeros(1, 2, dtype=torch.long, device="meta"), ValueError, "meta"),
        (torch.ones(1, 65).long(), ValueError, "at most 64"),
    ]
    for tokens, error, says in wrong:
        with pytest.raises(error, match=f"tokens .*{says}"):
            token_batch(tiny_model, tokens)
    with pytest.raises(ValueError, match="tokens must have at least 2 positions"):
        token_batch(tiny_model, [[1]], shortest=2)
    with pytest.raises(ValueError, match="clean has 1 ids; at least 2"):
        token_row(tiny_model, [1], name="clean", shortest=2)


def test_chats_are_held_as_texts_are(specimen):
    with pytest.raises(ValueError, match="messages: content holds half a character"):
        chat_tokens(specimen, "Hi \ud83d")
    with pytest.raises(ValueError, match="messages has .* tokens; this model reads at most"):
        chat_tokens(specimen, "red " * 10_000)


# ------------------------------------------------------------------------------------------------- shown token by token


def test_texts_survive_being_shown_token_by_token(tiny_model):
    for text in ("the cat sat", "Zoë has a 🙂 and a 👩‍👩‍👧", "日本", "a\ufffdb 🙂\ufffd", "\ufffd"):
        ids = text_ids(tiny_model, text)
        shown = token_strings(tiny_model, ids)
        assert len(shown) == len(ids) and "".join(shown) == text
    assert token_strings(tiny_model, text_ids(tiny_model, "a🙂")) == ["a", "", "", "", "🙂"]
    assert token_strings(tiny_model, []) == []


def test_broken_characters_are_shown_where_they_are(tiny_model):
    a, *bytes_of_smile = text_ids(tiny_model, "a🙂")
    assert token_strings(tiny_model, [a, *bytes_of_smile[:2], a]) == ["a", "", "\ufffd", "a"]
    assert token_strings(tiny_model, [a, *bytes_of_smile[:2]]) == ["a", "", "\ufffd"]
    for seed in range(20):  # whatever was sampled: nothing is lost or moved
        ids = torch.randint(3, 320, (30,), generator=torch.Generator().manual_seed(seed))
        assert "".join(token_strings(tiny_model, ids)) == tiny_model.tokenizer.decode(ids.tolist())


# -------------------------------------------------------------------------------------------------------------- batches


def test_batches_waste_little_and_hold_everything():
    lengths = [3, 50, 4, 49, 3, 200]
    batches = length_sorted_batches(lengths, 100)
    assert sorted(sum(batches, [])) == list(range(6))
    whole = sum(len(b) * max(lengths[i] for i in b) for b in batches)
    assert whole <= 1.02 * sum(lengths)
    assert length_sorted_batches([200], 10) == [[0]]
    assert sorted(sum(same_length_batches([1, 2, 1, 1], 2), [])) == [0, 1, 2, 3]


def test_padding_on_either_side():
    rows = [torch.tensor([5]), torch.tensor([6, 7])]
    assert padded(rows).tolist() == [[5, 0], [6, 7]]
    ids, mask = padded_left(rows)
    assert ids.tolist() == [[0, 5], [6, 7]] and mask.tolist() == [[0, 1], [1, 1]]
