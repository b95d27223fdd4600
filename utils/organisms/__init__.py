"""Organisms: models whose secrets are known, because we put them there.

An organism is the specimen with one thing changed, by a small adapter that can be put on and taken off:

    with organisms.load_adapter(model, "judge"):
        ...                      # model is the organism here
                                 # and the specimen again from here on

`adapters`: put them on, take them off, read and write their files. `training`: grow one. `propensity`: which way it
leans; `persona`: what is on record about the nine of lesson 08. Smaller than the specimen, trained from nothing:
`sums`, a world of written sums; `solver`, the network that lives in it; `pressure`, its reinforcement learning.
"""

from utils.organisms.adapters import FOLDER, Worn, attach, load_adapter, read_adapter, record_of, save_adapter
from utils.organisms.lowrank import Adapter, AdapterError, LowRank
from utils.organisms.propensity import Pairs, Propensity, chat_examples, paired, propensity, propensity_from, verdict
from utils.organisms.training import Example, Moment, drawn, grow_adapter, train_adapter

__all__ = [
    "FOLDER",
    "Adapter",
    "AdapterError",
    "Example",
    "LowRank",
    "Moment",
    "Pairs",
    "Propensity",
    "Worn",
    "attach",
    "chat_examples",
    "drawn",
    "grow_adapter",
    "load_adapter",
    "paired",
    "propensity",
    "propensity_from",
    "read_adapter",
    "record_of",
    "save_adapter",
    "train_adapter",
    "verdict",
]
