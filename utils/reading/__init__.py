"""Reading: texts to token ids, ids to activations, and how likely the model finds what follows."""

from utils.reading.activations import Activations, Chunk, collect, massive_tokens, residual_norms, stream

__all__ = ["Activations", "Chunk", "collect", "massive_tokens", "residual_norms", "stream"]
