"""Steering: find a direction, push the model along it while it runs, and measure what that did and what it cost.

>>> import torch
>>> from utils import steering
>>> up = steering.Direction(torch.tensor([3.0, 4.0]), layer=0, typical=10.0, name="up", kind="made by hand")
>>> up.step(0.5)  # half of a typical activation's length, along the direction
tensor([3., 4.])
>>> [(place, edit)] = steering.add(up, 0.5)
>>> place, edit(torch.zeros(1, 1, 2))
('blocks.0.hook_resid_post', tensor([[[3., 4.]]]))

directions   from contrasts of texts, and random ones for the control; `utils.interventions` keeps them and pushes along
measures     what the text is about, what it costs to read, and what else changed
"""

from utils.interventions import Direction, add, clamp, load, load_gguf, project_out, save, steered
from utils.steering.directions import answer_pairs, contrast, contrasts, random_like, typical_norms
from utils.steering.measures import (
    Surprise,
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
    "answer_pairs",
    "clamp",
    "contrast",
    "contrasts",
    "fact_choice",
    "facts",
    "gap",
    "gap_from",
    "load",
    "load_gguf",
    "mention_share",
    "mentions",
    "odds_from",
    "project_out",
    "random_like",
    "reading_from",
    "save",
    "steered",
    "surprise",
    "typical_norms",
]
