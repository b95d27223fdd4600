"""Linear probes on activations, and the controls without which their accuracy means little.

A probe asks one question: can a linear function of these activations separate these labels, on entities it has not
met? A high score is easy to get and easy to misread, so three quarters of this module are controls:

- *was it the entity?* splits by group (`group_folds`, used everywhere), never by row;
- *was it the probe?* control tasks and `selectivity` (Hewitt & Liang 2019), `shuffled_labels`, an `MLP` of any width;
- *was it the words?* `text_baseline`, which never sees an activation;
- *was it the architecture?* the same sweep on `utils.models.random_like`;
- *was the number lucky?* intervals over groups (`metrics`), and paired comparison (`compare`);
- *does it travel?* `transfer`, as a share of what the other set's own probe reads;
- *does the model use it?* `intervention` and `causal_test`, against random directions (`covariance_directions`).

Shapes. Activations are floating tensors (n, d_model), or (layer, n, d_model) for a stack of layers; every `fit_*`
takes either and fits the whole stack in one batched solve. Labels are booleans (n,): of several classes, ask about one
at a time, ``[tag == "PAST" for tag in tags]``. Groups are n names. Lists, numpy arrays and tensors mean the same. What
is computed from activations is where they are; float16 and bfloat16 are computed in float32, float64 stays float64.
"""

from __future__ import annotations

from utils.inputs import Groups
from utils.probing.cause import (
    CausalTest,
    Choice,
    causal_test,
    choices,
    completion_gap,
    gap_scorer,
    gaps_of_edits,
    intervention,
)
from utils.probing.controls import (
    Selectivity,
    control_labels,
    covariance_directions,
    random_directions,
    selectivity,
    shuffled_labels,
    text_baseline,
)
from utils.probing.inputs import Acts, Labels
from utils.probing.mlp import MLPProbe, fit_mlp
from utils.probing.prepare import clip_norms, pool_mean
from utils.probing.probes import LinearProbe, Method, Probe, fit, fit_lda, fit_logistic, fit_mean_difference
from utils.probing.scores import (
    Calibration,
    Recall,
    accuracy,
    auroc,
    calibration,
    compare,
    interval,
    metrics,
    recall_at_fpr,
)
from utils.probing.splits import Nested, cross_validate, group_folds, nested
from utils.probing.transfer import Transfer, transfer

__all__ = [
    "Acts",
    "Calibration",
    "CausalTest",
    "Choice",
    "Groups",
    "Labels",
    "LinearProbe",
    "MLPProbe",
    "Method",
    "Nested",
    "Probe",
    "Recall",
    "Selectivity",
    "Transfer",
    "accuracy",
    "auroc",
    "calibration",
    "causal_test",
    "choices",
    "clip_norms",
    "compare",
    "completion_gap",
    "control_labels",
    "covariance_directions",
    "cross_validate",
    "fit",
    "fit_lda",
    "fit_logistic",
    "fit_mean_difference",
    "fit_mlp",
    "gap_scorer",
    "gaps_of_edits",
    "group_folds",
    "interval",
    "intervention",
    "metrics",
    "nested",
    "pool_mean",
    "random_directions",
    "recall_at_fpr",
    "selectivity",
    "shuffled_labels",
    "text_baseline",
    "transfer",
]
