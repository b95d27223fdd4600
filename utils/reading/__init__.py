"""Reading: texts to token ids, ids to activations, and how likely the model finds what follows.

tokens         one check of texts and ids, one decision about the start token
batches        texts of many lengths in one pass
activations    recording over as many texts as you like, kept on disk (`cache`)
recording      one run of a few texts, and the activations you name from it
massive        which tokens are massive: one rule
likelihood     log-probabilities of tokens and continuations, surprisal, the logits of what comes next
continuation   many edits after one block: what comes before it is read once
asking         three ways of asking one model the same thing: its likelihood, its activations, its words
"""

from utils.reading.activations import Activations, Chunk, collect, stream
from utils.reading.likelihood import (
    ContinuationLikelihood,
    TextSurprisal,
    continuation_log_likelihood,
    next_token_logits,
    surprisal,
    token_log_probs,
    token_losses,
    token_losses_from,
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
    "token_losses_from",
    "token_row",
    "token_rows",
    "token_strings",
    "typical_norm",
]
