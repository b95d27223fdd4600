"""Reading over a model's shoulder: monitors of scratchpads and actions, what they are worth, and what they read.

- `transcripts`: scratchpad and action taken apart, malformed ones counted; the ground truth of recorded runs. The runs
  themselves are a data set: `utils.datasets.transcripts`.
- `monitors`: lists of words, a text classifier, the specimen as a judge, a probe of activations.
- `evaluation`: thresholds on one split, recall and false-positive rate on another, precision at a base rate,
  comparison on the same rows, agreement of two readers.
- `faithfulness`: is the scratchpad where the answer comes from? Hints with noise correction, early answering, mistakes.

>>> from utils import monitoring
>>> monitoring.parse("<think>The list says attic.</think><act>attic</act>").action
'attic'
"""

from utils.datasets.transcripts import (
    Transcript,
    hand_labels,
    load_resamples,
    load_scores,
    load_transcripts,
    save_transcripts,
)
from utils.monitoring.evaluation import (
    Report,
    compare,
    decided,
    halves,
    kappa,
    precision_at,
    report,
    set_threshold,
    took_shortcut,
)
from utils.monitoring.monitors import (
    CONFESSIONS,
    QUESTION,
    Monitor,
    fit_text,
    judge,
    keywords,
    read_activations,
    recheck,
)
from utils.monitoring.transcripts import VIEWS, Parsed, annotate, parse, problems, reword, view, views

__all__ = [
    "CONFESSIONS",
    "QUESTION",
    "VIEWS",
    "Monitor",
    "Parsed",
    "Report",
    "Transcript",
    "annotate",
    "compare",
    "decided",
    "fit_text",
    "halves",
    "hand_labels",
    "judge",
    "kappa",
    "keywords",
    "load_resamples",
    "load_scores",
    "load_transcripts",
    "parse",
    "precision_at",
    "problems",
    "read_activations",
    "recheck",
    "report",
    "reword",
    "save_transcripts",
    "set_threshold",
    "took_shortcut",
    "view",
    "views",
]
