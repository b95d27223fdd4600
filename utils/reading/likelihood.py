"""How surprised a model is by a text, token by token, in bits.

The surprisal of a token is -log2 of the probability the model gave it before seeing it: 1 bit for a fair
coin, 10 bits for one chance in about a thousand. Summed over a text and divided by its characters it is an
upper bound on the entropy of the text's language, in the sense of Shannon 1951 ("Prediction and Entropy of
Printed English"): it can be compared between models that cut text into different tokens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float

from utils.models import text_ids
from utils.reading.activations import length_sorted_batches

TOKENS_PER_BATCH = 256  # logits of (256, d_vocab) in float32 take 50 MB for the specimen


@dataclass(frozen=True)
class TextSurprisal:
    """One text's tokens with their surprisal. The document start is given, not predicted, and isn't listed.

    text: the string. tokens: its tokens as strings. bits: (pos,) surprisal of each.
    """

    text: str
    tokens: list[str]
    bits: Float[torch.Tensor, "pos"]

    @property
    def total(self) -> float:
        """Bits the whole text costs."""
        return float(self.bits.double().sum())

    @property
    def per_token(self) -> float:
        return self.total / len(self.tokens)

    @property
    def per_character(self) -> float:
        """Bits per character of the text, spaces and punctuation included."""
        return self.total / len(self.text)


def surprisal(model: Any, texts: Sequence[str]) -> list[TextSurprisal]:
    """Surprisal of every token of every text, each text read from a document start.

    Texts of similar length run together. Returns one TextSurprisal a text, in order. Raises TypeError or
    ValueError for a list that is empty or holds anything but non-empty strings, a text beyond the context,
    or a model whose tokenizer has no document start.
    """
    if isinstance(texts, str) or not isinstance(texts, Sequence):
        raise TypeError(f"texts must be a list of strings, got {type(texts).__name__}")
    if not texts:
        raise ValueError("texts is empty; give at least one")
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"texts[{i}] must be a string, got {type(text).__name__}")
        if not text:
            raise ValueError(f"texts[{i}] is an empty string")
    start = model.tokenizer.bos_token_id
    if start is None:
        raise ValueError("this model's tokenizer has no document start, so the first token can't be predicted")
    rows = [torch.tensor([start, *text_ids(model, text)]) for text in texts]
    longest = max(rows, key=len)
    if len(longest) > model.cfg.n_ctx:
        raise ValueError(f"a text has {len(longest)} tokens; this model reads at most {model.cfg.n_ctx}")
    found: list[TextSurprisal | None] = [None] * len(texts)
    device = next(model.parameters()).device
    for batch in length_sorted_batches([len(row) for row in rows], TOKENS_PER_BATCH):
        tokens = torch.nn.utils.rnn.pad_sequence([rows[i] for i in batch], batch_first=True)
        with torch.no_grad():
            logits = model(tokens.to(device)).cpu()
        for row, i in enumerate(batch):
            n = len(rows[i])
            log_probs = torch.log_softmax(logits[row, : n - 1].float(), dim=-1)
            nats = -log_probs[torch.arange(n - 1), rows[i][1:]]
            pieces = [model.tokenizer.decode([t]) for t in rows[i][1:].tolist()]
            found[i] = TextSurprisal(texts[i], pieces, nats / math.log(2))
    return found
