"""Steering: find a direction, push the model along it while it runs, and measure what that did and what it cost.

>>> import torch
>>> from utils import steering
>>> up = steering.Direction(torch.tensor([3.0, 4.0]), layer=0, typical=10.0, name="up", kind="made by hand")
>>> up.step(0.5)  # half of a typical activation's length, along the direction
tensor([3., 4.])
>>> [(place, edit)] = steering.add(up, 0.5)
>>> place, edit(torch.zeros(1, 1, 2))
('blocks.0.hook_resid_post', tensor([[[3., 4.]]]))

directions     from contrasts, prompts, dictionary rows and probes; saved with where they came from
interventions  add, clamp, project out: lists of hooks that can be joined, put on and taken off
measures       what the text is about, what it costs to read, and what else changed
"""

from utils.interventions import add, clamp, project_out, steered
from utils.steering.directions import (
    Direction,
    contrast,
    contrasts,
    from_latent,
    from_probe,
    load,
    prompt_pair,
    random_like,
    save,
    typical_norms,
)
from utils.steering.measures import (
    Surprise,
    distinct_share,
    fact_choice,
    facts,
    gap,
    gap_from,
    mention_share,
    mentions,
    odds_from,
    reading_from,
    surprise,
)

__all__ = [
    "Direction",
    "Surprise",
    "add",
    "clamp",
    "contrast",
    "contrasts",
    "distinct_share",
    "fact_choice",
    "facts",
    "from_latent",
    "from_probe",
    "gap",
    "gap_from",
    "load",
    "mention_share",
    "mentions",
    "odds_from",
    "project_out",
    "prompt_pair",
    "random_like",
    "reading_from",
    "save",
    "steered",
    "surprise",
    "typical_norms",
]
