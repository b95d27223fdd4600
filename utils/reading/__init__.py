"""Reading: texts to token ids, ids to activations, and how likely the model finds what follows."""

from utils.reading.activations import Activations, Chunk, collect, stream
from utils.reading.likelihood import (
    ContinuationLikelihood,
    TextSurprisal,
    continuation_log_likelihood,
    next_token_logits,
    surprisal,
    token_log_probs,
    token_losses,
)
from utils.reading.massive import MASSIVE, is_massive, massive_tokens, residual_norms, typical_norm
from utils.reading.tokens import (
    chat_tokens,
    start_token,
    text_ids,
    text_tokens,
    token_batch,
    token_row,
    token_rows,
    token_strings,
)

__all__ = [
    "MASSIVE",
    "Activations",
    "Chunk",
    "ContinuationLikelihood",
    "TextSurprisal",
    "chat_tokens",
    "collect",
    "continuation_log_likelihood",
    "is_massive",
    "massive_tokens",
    "next_token_logits",
    "residual_norms",
    "start_token",
    "stream",
    "surprisal",
    "text_ids",
    "text_tokens",
    "token_batch",
    "token_log_probs",
    "token_losses",
    "token_row",
    "token_rows",
    "token_strings",
    "typical_norm",
]
