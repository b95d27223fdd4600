"""Sparse autoencoders: build them, train them, measure them, read them.

>>> import torch
>>> from utils import sae
>>> dictionary = sae.TopKSAE(d_model=8, d_sae=32, k=4)
>>> latents = dictionary.encode(torch.randn(5, 8, generator=torch.Generator().manual_seed(0)))
>>> latents.shape, int((latents > 0).sum(-1).max()) <= 4
(torch.Size([5, 32]), True)

models         the six kinds, one interface
sparse         the arithmetic that skips the zeros
training       the training loop
checkpoints    a run on disk, and whether it is the same run
store          activations on disk, shuffled
files          saving and loading, as SAELens does
saelens        what its configurations mean, of every version
gemma_scope    loading the open dictionaries of the Gemma models
layout         from a file's tensors to a dictionary
evaluation     variance explained, loss recovered, dead latents, stability
features       what a latent responds to, and whether a label for it holds up
interventions  switching latents off inside the model
shipped        the dictionary that comes with the course
browser        a latent on a page, a widget to search and click through
"""

from utils.sae.browser import browse, dashboard_html, find_latents
from utils.sae.evaluation import Fit, LossRecovered, density, fit, loss_recovered, matched_cosines, variance_explained
from utils.sae.features import (
    Context,
    Detection,
    Reading,
    detection,
    logit_effects,
    matching,
    rank_latents,
    read_activations,
    read_texts,
)
from utils.sae.files import load, save
from utils.sae.gemma_scope import load_gemma_scope
from utils.sae.interventions import ablate_latents
from utils.sae.models import (
    BatchTopKSAE,
    GatedSAE,
    JumpReLUSAE,
    Losses,
    MatryoshkaSAE,
    ReLUSAE,
    SparseAutoencoder,
    TopKSAE,
)
from utils.sae.shipped import Shipped, load_shipped
from utils.sae.store import ActivationStore, open_store, write_store
from utils.sae.training import Record, Settings, input_scale, learning_rate_at, shuffled, train

__all__ = [
    "ActivationStore",
    "BatchTopKSAE",
    "Context",
    "Detection",
    "Fit",
    "GatedSAE",
    "JumpReLUSAE",
    "LossRecovered",
    "Losses",
    "MatryoshkaSAE",
    "ReLUSAE",
    "Reading",
    "Record",
    "Settings",
    "Shipped",
    "SparseAutoencoder",
    "TopKSAE",
    "ablate_latents",
    "browse",
    "dashboard_html",
    "density",
    "detection",
    "find_latents",
    "fit",
    "input_scale",
    "learning_rate_at",
    "load",
    "load_gemma_scope",
    "load_shipped",
    "logit_effects",
    "loss_recovered",
    "matched_cosines",
    "matching",
    "open_store",
    "rank_latents",
    "read_activations",
    "read_texts",
    "save",
    "shuffled",
    "train",
    "variance_explained",
    "write_store",
]
