"""Texts to token ids: one check of what comes in, and one decision about the start token.

Every reader in the lab (recording, likelihood, generation, patching, probing) takes its ids from here, so that one
text is read as the same ids everywhere. `token_rows` takes what people call texts (strings, or lists of ids);
`token_batch` and `token_row` take ids that are tensors already. What can't be read is named with its row. Rows of many
texts are on the CPU, where batches are made of them; ids that go into the model next are on its device.

The start token. A language model is trained on documents that begin with one certain token, and reads a text without
it as the middle of something. `start_token` decides from the tokenizer *as published* whether there is one:
TransformerLens gives a tokenizer that has none its end token as a stand-in, and a model reads an end token as the end
of another document (Qwen2 is such a model). Ids that you give are read exactly as they are.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Int

from utils.devices import device_of
from utils.inputs import Count, checked, what

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

    TokenTexts = Sequence[str] | Sequence[Sequence[int]] | Sequence[Int[torch.Tensor, "_"]]
    TokenIds = Sequence[int] | Int[torch.Tensor, "pos"]
    TokenBatch = Sequence[Sequence[int]] | Int[torch.Tensor, "batch pos"]
    Messages = str | Sequence[dict[str, str]]
else:  # held here rather than at the door: what an id may be, the model says
    TokenTexts = TokenIds = TokenBatch = Messages = Any

__all__ = [
    "TokenBatch",
    "TokenIds",
    "TokenTexts",
    "chat_tokens",
    "start_token",
    "text_ids",
    "text_tokens",
    "token_batch",
    "token_row",
    "token_rows",
    "token_strings",
]

_ROLES = ("system", "user", "assistant")


# ---------------------------------------------------------------------------------------------------- the start token


@checked
def start_token(model: TransformerBridge) -> int | None:
    """The id of the token that begins a document, or None if the model's tokenizer was published without one.

    Raises TypeError for a model without a tokenizer.
    """
    tokenizer = _tokenizer(model)
    if tokenizer.bos_token_id is None:
        return None
    if tokenizer.bos_token_id == tokenizer.eos_token_id and not _published_start(tokenizer):
        return None  # the stand-in that TransformerLens puts where none was
    return int(tokenizer.bos_token_id)


def _published_start(tokenizer: Any) -> bool:
    """Whether a tokenizer's own files name a start token: what it was built with stays in `init_kwargs`."""
    kwargs = getattr(tokenizer, "init_kwargs", {})
    if "bos_token" in kwargs:
        return kwargs["bos_token"] is not None
    default = inspect.signature(type(tokenizer).__init__).parameters.get("bos_token")
    return default is not None and default.default not in (None, inspect.Parameter.empty)


# ---------------------------------------------------------------------------------------------------------- one text


@checked
def text_ids(model: TransformerBridge, text: str) -> list[int]:
    """Token ids of a text as it stands: no start token, no chat template. An empty text has none.

    Raises TypeError for anything but a string, ValueError for half a character (a lone surrogate).
    """
    _check_characters("text", text)
    return _encode(_tokenizer(model), [text])[0]


@checked
def text_tokens(model: TransformerBridge, text: str, *, start: bool = True) -> Int[torch.Tensor, "1 pos"]:
    """A text as the model reads it: (1, pos) ids on the model's device, beginning with its start token.

    start: leave it out with False. A model whose tokenizer has no start token reads none. Unlike the bridge's own
    `to_tokens` it never cuts a text that is too long: it raises ValueError, as for an empty text.
    """
    return _read_strings(model, [text], start, "text")[0][None].to(device_of(model))


@checked
def chat_tokens(model: TransformerBridge, messages: Messages, *, answer_start: str = "") -> Int[torch.Tensor, "1 pos"]:
    """Token ids of a conversation, laid out as the model's chat template has it.

    messages: one user message as a string, or a list of {"role": ..., "content": ...} with roles
    system, user and assistant. answer_start: text put at the start of the assistant's answer.
    Returns (1, pos) on the model's device, ending where the assistant speaks next. No start token is put in front: the
    template has its own. Raises TypeError or ValueError for messages of another form, and ValueError if the tokenizer
    has no chat template or the conversation is too long.
    """
    tokenizer = _tokenizer(model)
    text = _laid_out(tokenizer, messages)
    _check_characters("answer_start", answer_start)
    ids = _encode(tokenizer, [text + answer_start])[0]
    _check_length(model, "messages", len(ids))
    return torch.tensor([ids], device=device_of(model))


def _laid_out(tokenizer: Any, messages: Any) -> str:
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    if not isinstance(messages, list | tuple):
        raise TypeError(f"messages: got {what(messages)}, expected a string or a list of messages")
    if not messages:
        raise ValueError("messages: got an empty list, expected at least one message")
    for message in messages:
        if not isinstance(message, Mapping) or set(message) != {"role", "content"}:
            raise ValueError(f"messages: got {message!r}, expected {{'role': ..., 'content': ...}}")
        if message["role"] not in _ROLES:
            raise ValueError(f"messages: role {message['role']!r} is none of {', '.join(_ROLES)}")
        if not isinstance(message["content"], str):
            raise TypeError(f"messages: content is {type(message['content']).__name__}, expected a string")
        _check_characters("messages: content", message["content"])
    if not getattr(tokenizer, "chat_template", None):
        raise ValueError("model: its tokenizer has no chat template; use text_tokens for plain text")
    return tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)


@checked
def token_strings(model: TransformerBridge, ids: TokenIds) -> list[str]:
    """Each token's part of the text, to show a text token by token: joined, they are the text.

    A token may hold only some bytes of a character (an emoji is often three tokens). Decoded alone it would show as
    "\N{REPLACEMENT CHARACTER}"; here the character stands at the token that completes it, and the tokens before it
    are "". Raises TypeError or ValueError for anything but ids of the vocabulary.
    """
    tokenizer = _tokenizer(model)
    row = _ids_row("ids", ids, model.cfg.d_vocab, shortest=0).tolist()

    def decode(some: list[int]) -> str:
        return tokenizer.decode(some, skip_special_tokens=False, clean_up_tokenization_spaces=False)

    shown: list[str] = []
    waiting: list[int] = []  # tokens that end inside a character
    for token in row:
        alone = decode([token])
        if not waiting and not alone.endswith("\ufffd"):
            shown.append(alone)
            continue
        if waiting and "\ufffd" not in alone:  # a whole piece can't complete a character: that one stays broken
            shown[-1] = decode(waiting)
            waiting = []
            shown.append(alone)
            continue
        waiting.append(token)
        text = decode(waiting)
        if text.endswith("\ufffd"):
            shown.append("")
        else:
            shown.append(text)
            waiting = []
    if waiting:
        shown[-1] = decode(waiting)
    return shown


# --------------------------------------------------------------------------------------------------------- many texts


@checked
def token_rows(
    model: TransformerBridge, texts: TokenTexts, *, start: bool = True, name: str = "texts", shortest: Count = 1
) -> list[Int[torch.Tensor, "pos"]]:
    """Each text as a row of token ids, checked: one 1-d tensor a text, on the CPU, of any lengths.

    texts: strings, or rows of ids (lists, arrays or tensors), which are used as they are. A single string or a padded
    tensor is refused: a string would be read letter by letter, a padded row as if its padding were text.
    start: strings begin with the model's start token, if it has one. A string that already begins with it gets it
        twice, as everywhere, and a warning. name: what to call the argument in errors. shortest: fewest tokens a row
        may have, the start token counted.

    Raises TypeError or ValueError that names the row, for none at all, anything that is neither text nor ids, an empty
    one, half a character (a lone surrogate), ids outside the vocabulary, and a text beyond the model's context.
    """
    rows = _as_list(name, texts)
    if isinstance(rows[0], str):
        ids = _read_strings(model, rows, start, name)
    else:
        kinds = ["a string or a list of token ids"] + ["a list of token ids, as the first is"] * len(rows)
        ids = [_ids_row(f"{name}[{i}]", row, model.cfg.d_vocab, 1, kinds[i]) for i, row in enumerate(rows)]
    for i, row in enumerate(ids):
        if len(row) < shortest:
            place = _row_name(name, i, rows)
            raise ValueError(f"{place} has {len(row)} token{'s' * (len(row) != 1)}, at least {shortest} are needed")
        _check_length(model, _row_name(name, i, rows), len(row))
    return ids


@checked
def token_batch(
    model: TransformerBridge, tokens: TokenBatch, *, name: str = "tokens", shortest: Count = 1
) -> Int[torch.Tensor, "batch pos"]:
    """A batch of token ids, checked and on the model's device. Numpy arrays and lists of equal rows are taken too.

    Raises TypeError or ValueError for another shape, anything but whole numbers of the vocabulary, rows shorter than
    `shortest` or beyond the model's context, and tensors without values (device "meta").
    """
    ids = _whole_numbers(name, tokens)
    if ids.ndim != 2 or 0 in ids.shape:
        raise ValueError(f"{name} must have shape (batch, pos), neither of them 0, got {tuple(ids.shape)}")
    _check_vocabulary(name, ids, model.cfg.d_vocab)
    if ids.shape[1] < shortest:
        raise ValueError(f"{name} must have at least {shortest} positions, got {ids.shape[1]}")
    _check_length(model, name, ids.shape[1])
    return ids.to(device_of(model))


@checked
def token_row(
    model: TransformerBridge, tokens: TokenIds, *, name: str = "tokens", shortest: Count = 1
) -> Int[torch.Tensor, "pos"]:
    """One row of token ids, checked and on the model's device. Raises as `token_batch` does."""
    ids = _ids_row(name, tokens, model.cfg.d_vocab, shortest)
    _check_length(model, name, len(ids))
    return ids.to(device_of(model))


# ------------------------------------------------------------------------------------------------------------- checks


def _tokenizer(model: TransformerBridge) -> Any:
    if getattr(model, "tokenizer", None) is None:
        raise TypeError("model: it has no tokenizer, so texts must be given as token ids")
    return model.tokenizer


def _encode(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    # No padding is ever made here: rows stay ragged until a batch pads them and cuts the padding off again.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "sequence longer than": we raise our own, clearer, error
        return [list(row) for row in tokenizer(texts, add_special_tokens=False)["input_ids"]]


def _as_list(name: str, texts: Any) -> list:
    if isinstance(texts, str):
        raise TypeError(f"{name} must be a list; for a single text write [text]")
    if isinstance(texts, torch.Tensor):
        raise TypeError(f"{name} must be a list of strings or of id lists, not a padded tensor")
    listed = hasattr(texts, "tolist") and not isinstance(texts, np.generic)  # arrays, pandas' columns
    if isinstance(texts, bytes | Mapping) or not (isinstance(texts, Sequence) or listed):
        raise TypeError(f"{name} must be a list of strings or of token-id lists, got {what(texts)}")
    rows = texts.tolist() if listed else list(texts)
    if not isinstance(rows, list):
        raise TypeError(f"{name} must be a list of strings or of token-id lists, got a single value, {rows!r}")
    if not rows:
        raise ValueError(f"{name} is empty; give at least one text")
    return rows


def _row_name(name: str, i: int, rows: list) -> str:
    return name if name == "text" and len(rows) == 1 else f"{name}[{i}]"


def _read_strings(model: TransformerBridge, texts: list, start: bool, name: str) -> list[torch.Tensor]:
    for i, text in enumerate(texts):
        place = _row_name(name, i, texts)
        if not isinstance(text, str):
            raise TypeError(f"{place} must be a string, as the first is, got {what(text)}")
        if not text:
            raise ValueError(f"{place} is an empty string; there is nothing to read in it")
        _check_characters(place, text)
    first = start_token(model) if start else None
    found = _encode(_tokenizer(model), texts)
    twice = []
    for i, row in enumerate(found):
        if not row:
            raise ValueError(f"{_row_name(name, i, texts)} = {texts[i]!r} has no tokens")
        _check_length(model, _row_name(name, i, texts), len(row) + (first is not None))
        if row[0] == first:
            twice.append(i)
    if twice:
        warnings.warn(
            f"{_row_name(name, twice[0], texts)} already begins with the start token "
            f"{model.tokenizer.decode([first])!r} and gets a second one, which changes what the model makes of it"
            + (f" (and {len(twice) - 1} more)" if len(twice) > 1 else "")
            + ". Leave it out of the text, or give token ids",
            stacklevel=_outside(),
        )
    before = [] if first is None else [first]
    return [torch.tensor(before + row) for row in found]


def _outside() -> int:
    """How many frames up the caller stands who called the library: that is where a warning should point."""
    frame, level = inspect.currentframe(), 0
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == __name__.partition(".")[0]:
        frame, level = frame.f_back, level + 1
    return level


def _check_characters(name: str, text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{name} holds half a character ({text[error.start]!a} at place {error.start}, a lone surrogate), which no "
            "tokenizer can read; it was cut, or decoded the wrong way"
        ) from None


def _ids_row(name: str, ids: Any, d_vocab: int, shortest: int = 1, kind: str = "a list of token ids") -> torch.Tensor:
    """A row of ids as a 1-d tensor of int64 on the device it came on."""
    if isinstance(ids, str | bytes | Mapping) or not (isinstance(ids, Sequence) or hasattr(ids, "tolist")):
        single = "; a single row of ids goes into a list, [ids]" if isinstance(ids, Integral) else ""
        raise TypeError(f"{name} must be {kind}, got {what(ids)}{single}")
    row = _whole_numbers(name, ids)
    if row.ndim != 1:
        raise TypeError(f"{name} must hold ids in 1-d, got shape {tuple(row.shape)}")
    if len(row) < shortest:
        few = "is an empty list of token ids; there is nothing to read in it" if not len(row) else f"has {len(row)} ids"
        raise ValueError(f"{name} {few}" if shortest < 2 else f"{name} {few}; at least {shortest} are needed")
    if len(row):
        _check_vocabulary(name, row, d_vocab)
    return row


def _whole_numbers(name: str, ids: Any) -> torch.Tensor:
    if isinstance(ids, np.ndarray):
        ids = torch.as_tensor(ids.copy()) if ids.dtype.kind in "biuf" else ids.tolist()
    if not isinstance(ids, torch.Tensor):
        ids = ids.tolist() if hasattr(ids, "tolist") else ids
        flat = [t for row in ids for t in (row if isinstance(row, list | tuple) else [row])] if _is_list(ids) else [ids]
        for token in (t.item() if isinstance(t, torch.Tensor) and t.ndim == 0 else t for t in flat):
            if not isinstance(token, Integral) or isinstance(token, bool):
                raise TypeError(f"{name} must hold token ids (whole numbers), got {token!r}"[:200])
        if not flat:
            return torch.zeros(0, dtype=torch.long)
        try:
            ids = torch.tensor(ids, dtype=torch.long)
        except (ValueError, RuntimeError, TypeError, OverflowError):
            raise ValueError(f"{name} must hold rows of one length, of numbers in the vocabulary") from None
    if ids.is_floating_point() or ids.is_complex() or ids.dtype == torch.bool:
        raise TypeError(f"{name} must hold token ids (whole numbers), got {ids.dtype} {tuple(ids.shape)}")
    if ids.device.type == "meta":
        raise ValueError(f"{name} is on the device 'meta', where tensors hold no values")
    return ids.long()


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _check_vocabulary(name: str, ids: torch.Tensor, d_vocab: int) -> None:
    low, high = int(ids.min()), int(ids.max())
    if low < 0 or high >= d_vocab:
        raise ValueError(f"{name} holds ids outside 0..{d_vocab - 1}: {low}..{high}")


def _check_length(model: TransformerBridge, name: str, n: int) -> None:
    if n > model.cfg.n_ctx:
        raise ValueError(
            f"{name} has {n} tokens; this model reads at most {model.cfg.n_ctx}. Split it into shorter pieces"
        )
