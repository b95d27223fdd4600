"""The stand-in: a simpler model that does what the real one does on a prompt, and the graph of how.

transcoders   what stands in for one MLP, and a set of them
"""

from utils.standin.transcoders import Transcoder, check_set, hooks_of, random_transcoder

__all__ = ["Transcoder", "check_set", "hooks_of", "random_transcoder"]
