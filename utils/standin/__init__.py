"""The stand-in: a simpler model that does what the real one does on a prompt, and the graph of how.

transcoders   what stands in for one MLP, and a set of them
training      transcoders of several blocks at once, on activations that are read and forgotten
files         sealed files, in floats or as a byte a number
layouts       SAELens' and circuit-tracer's layouts, written and read
evaluation    unexplained variance, dead latents, the loss when MLPs are replaced
frozen        a prompt's run with attention patterns and norm scales held
replacement   the local replacement model: each MLP a sum over latents or neurons
graph         which node puts how much into which: the attribution graph
pruning       influence, what to keep of a graph, its scores, nodes put together by hand
testing       graphs held against interventions, nulls, and other graphs
export        graphs on disk, and as other people's viewers read them
"""

from utils.standin.evaluation import BlockFit, block_fits, output_means, replaced_loss
from utils.standin.export import load_graph, read_viewer, save_graph, viewer_json, write_viewer
from utils.standin.files import block_file, load_transcoders, notes_of, save_transcoders
from utils.standin.frozen import Frozen, freeze
from utils.standin.graph import Graph, Node, attribute, attribute_in, top_logits
from utils.standin.layouts import (
    as_jumprelu,
    read_circuit_tracer,
    read_saelens,
    write_circuit_tracer,
    write_saelens,
)
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
from utils.standin.training import Plan, Trained, harvest, linear_map, massive_bounds, train_transcoders
from utils.standin.transcoders import Transcoder, check_set, hooks_of, random_transcoder

__all__ = [
    "RULES",
    "Agreement",
    "BlockFit",
    "Frozen",
    "Graph",
    "Grouped",
    "Node",
    "Plan",
    "Pruned",
    "Replacement",
    "Scores",
    "Stability",
    "Trained",
    "Transcoder",
    "agreement",
    "as_jumprelu",
    "attribute",
    "attribute_in",
    "block_file",
    "block_fits",
    "changes",
    "check_set",
    "freeze",
    "group",
    "harvest",
    "hooks_of",
    "influence",
    "latent_replacement",
    "linear_map",
    "load_graph",
    "load_transcoders",
    "massive_bounds",
    "neuron_replacement",
    "notes_of",
    "output_means",
    "predicted_changes",
    "profile",
    "prune",
    "random_encoders",
    "random_transcoder",
    "read_circuit_tracer",
    "read_saelens",
    "read_viewer",
    "replaced_loss",
    "rewired",
    "save_graph",
    "save_transcoders",
    "scores",
    "shuffled_decoders",
    "stability",
    "top_logits",
    "train_transcoders",
    "viewer_json",
    "write_circuit_tracer",
    "write_saelens",
    "write_viewer",
]
