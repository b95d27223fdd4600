"""The stand-in: a simpler model that does what the real one does on a prompt, and the graph of how.

transcoders   what stands in for one MLP, and a set of them
frozen        a prompt's run with attention patterns and norm scales held
replacement   the local replacement model: each MLP a sum over latents or neurons
graph         which node puts how much into which: the attribution graph
pruning       influence, what to keep of a graph, its scores, nodes put together by hand
testing       graphs held against interventions, nulls, and other graphs
export        graphs on disk, and as other people's viewers read them
"""

from utils.standin.export import load_graph, read_viewer, save_graph, viewer_json, write_viewer
from utils.standin.frozen import Frozen, freeze
from utils.standin.graph import Graph, Node, attribute, attribute_in, top_logits
from utils.standin.pruning import Grouped, Pruned, Scores, group, influence, prune, scores
from utils.standin.replacement import RULES, Replacement, latent_replacement, neuron_replacement
from utils.standin.testing import (
    Agreement,
    Stability,
    agreement,
    changes,
    predicted_changes,
    profile,
    random_encoders,
    rewired,
    shuffled_decoders,
    stability,
)
from utils.standin.transcoders import Transcoder, check_set, hooks_of, random_transcoder

__all__ = [
    "RULES",
    "Agreement",
    "Frozen",
    "Graph",
    "Grouped",
    "Node",
    "Pruned",
    "Replacement",
    "Scores",
    "Stability",
    "Transcoder",
    "agreement",
    "attribute",
    "attribute_in",
    "changes",
    "check_set",
    "freeze",
    "group",
    "hooks_of",
    "influence",
    "latent_replacement",
    "load_graph",
    "neuron_replacement",
    "predicted_changes",
    "profile",
    "prune",
    "random_encoders",
    "random_transcoder",
    "read_viewer",
    "rewired",
    "save_graph",
    "scores",
    "shuffled_decoders",
    "stability",
    "top_logits",
    "viewer_json",
    "write_viewer",
]
