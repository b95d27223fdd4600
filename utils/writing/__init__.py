"""Writing: from the distribution over the next token to text, with or without hooks."""

from utils.writing.decoding import Places, places
from utils.writing.generation import (
    Written,
    chat_prompts,
    draw,
    draw_rows,
    generate,
    generate_ids,
    next_token_logits,
    probabilities,
    repeated_share,
    stream,
    write_in_ways,
)

__all__ = [
    "Places",
    "Written",
    "chat_prompts",
    "draw",
    "draw_rows",
    "generate",
    "generate_ids",
    "next_token_logits",
    "places",
    "probabilities",
    "repeated_share",
    "stream",
    "write_in_ways",
]
