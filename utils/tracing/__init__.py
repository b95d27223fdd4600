"""Follow an answer through the model: which parts write it, which parts it would change if they changed.

Four instruments, from cheap and indirect to dear and causal:

- *Direct logit attribution* (`attribution`) splits the final logit difference into what each layer and head wrote. It
  sees only the last step: a part that works through later parts gets no credit.
- *Attribution to the input* (`gradients`: gradient x input, integrated gradients) shares the output out over the input
  tokens. It depends on a baseline that somebody has to choose.
- *Activation patching* (`patching`, `knockouts`) copies one activation from a run on another prompt, or takes one away,
  and reads what changes. It is causal, and it is about this pair of prompts: what the two share is invisible to it.
- *Attribution patching* (`gradients`; `edges` for paths between parts) estimates every patch at once from one gradient.
  It is a straight-line guess, and worst where the model bends: early layers, saturated attention, large patches.

Every tool takes one prompt or pair, or a list of them (those of one length run together, nothing is padded); what comes
back for a list has one more axis in front, or is a list. Pairs are made in `pairs`, runs in `running`.

What misleads. *Redundancy*: with a backup in place, removing a part changes little though the part was working.
*Off-distribution*: a patched run mixes two prompts, and no real prompt may look like that. *Normalisation*: a recovery
of 0.5 can mean that half of the answer arrived, or that the old answer was destroyed; patch from an unrelated prompt
to tell these apart (`tests/test_tracing.py` and lesson 02 both do). *Saturation*: where the output is flat, the
gradient is zero although the part matters.

All runs use TransformerLens hooks (`run_with_hooks`) and work on any causal model that TransformerBridge wraps.
Positions, axes: `batch pos d_model head d_head d_vocab`; logits and their differences are in nats.
"""

from utils.tracing.attribution import Attribution, direct_logit_attribution
from utils.tracing.edges import Edges, edge_attribution
from utils.tracing.gradients import (
    InputAttribution,
    PatchingParts,
    input_gradient,
    input_residual,
    integrated_gradients,
    patching_parts,
)
from utils.tracing.hiding import Hidden, hide_subject
from utils.tracing.knockouts import MEASURES, cut_views
from utils.tracing.pairs import (
    CLASSES,
    SITES,
    Form,
    Known,
    Matched,
    Pair,
    PairSet,
    make_pairs,
    matched_pairs,
    patching_pair,
    position_classes,
    sites,
)
from utils.tracing.patching import endpoints, logit_difference, matched_noise, patch, recovery, trace
from utils.tracing.recorded import RecordedPatches, recorded_patches
from utils.tracing.running import record

__all__ = [
    "CLASSES",
    "MEASURES",
    "SITES",
    "Attribution",
    "Edges",
    "Form",
    "Hidden",
    "InputAttribution",
    "Known",
    "Matched",
    "Pair",
    "PairSet",
    "PatchingParts",
    "RecordedPatches",
    "cut_views",
    "direct_logit_attribution",
    "edge_attribution",
    "endpoints",
    "hide_subject",
    "input_gradient",
    "input_residual",
    "integrated_gradients",
    "logit_difference",
    "make_pairs",
    "matched_noise",
    "matched_pairs",
    "patch",
    "patching_pair",
    "patching_parts",
    "position_classes",
    "record",
    "recorded_patches",
    "recovery",
    "sites",
    "trace",
]
