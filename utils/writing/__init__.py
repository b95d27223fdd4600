"""Writing: from the distribution over the next token to text, with or without hooks."""

from utils.writing.generation import chat_prompts, draw, generate, generate_ids, probabilities, repeated_share, stream

__all__ = ["chat_prompts", "draw", "generate", "generate_ids", "probabilities", "repeated_share", "stream"]
