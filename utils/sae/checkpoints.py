"""A training run on disk: what is needed to go on to the last bit, and what tells whether this is the same run.

A checkpoint goes on only where everything that decides the result is as it was: the kind of dictionary and what it was
made with, the settings, the scale, the batches that were used, and the file's own content.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from utils.inputs import Count, Positive, checked
from utils.sae.models import SparseAutoencoder

__all__ = ["Checkpoint", "read", "seen", "write"]


@dataclass(frozen=True)
class Checkpoint:
    """A run as it stood after `step` steps.

    scale: of its inputs; data: the digest of the batches it used (see `seen`); log: its records, as plain dicts;
    tensors: weights and both of Adam's moments.
    """

    path: Path
    step: int
    scale: float
    data: str
    log: list[dict[str, Any]]
    tensors: dict[str, Tensor]

    def restore(self, sae: SparseAutoencoder, optimiser: torch.optim.Optimizer, data: str) -> None:
        """Put weights and moments where they were. data: the digest of the batches given this time, so far.

        Raises ValueError, with nothing changed, if those were other batches.
        """
        if data != self.data:
            raise ValueError(
                f"batches: the checkpoint {self.path} was made with others, or in another order: give the same ones "
                "from the start, or delete it to start again"
            )
        weights = {name[4:]: value for name, value in self.tensors.items() if name.startswith("sae.")}
        sae.load_state_dict(weights)
        sae.tokens_since_fired.copy_(self.tensors["tokens_since_fired"])
        parameters = list(sae.parameters())
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in self.tensors.items():
            if name.startswith("adam."):
                _, i, key = name.split(".")
                if value.shape == parameters[int(i)].shape:
                    # Fused Adam walks through memory: a moment must lie there as its weight does (W_enc is transposed).
                    value = torch.empty_like(parameters[int(i)], requires_grad=False).copy_(value)
                state.setdefault(int(i), {})[key] = value
        optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


@checked
def seen(digest: str, batch: Float[Tensor, "batch d_model"]) -> str:
    """The digest of a row of batches, from the digest of those before ("" at first) and the next one."""
    raw = batch.detach().cpu().contiguous()
    made = hashlib.sha256(f"{digest} {raw.dtype} {tuple(raw.shape)}".encode())
    made.update(raw.view(torch.uint8).numpy().data)
    return made.hexdigest()


@checked
def write(
    path: Path,
    sae: SparseAutoencoder,
    optimiser: torch.optim.Optimizer,
    settings: dict[str, Any],
    scale: Positive,
    step: Count,
    data: str,
    log: list[dict[str, Any]],
) -> None:
    """Everything in one safetensors file, written beside and then renamed. settings, log: as plain values."""
    tensors = {f"sae.{name}": value.detach().cpu().contiguous() for name, value in sae.state_dict().items()}
    tensors["tokens_since_fired"] = sae.tokens_since_fired.cpu()
    for i, state in optimiser.state_dict()["state"].items():
        for name, value in state.items():
            tensors[f"adam.{i}.{name}"] = torch.as_tensor(value).cpu().contiguous()
    note = json.dumps(
        {
            "step": step,
            "scale": scale,
            "settings": settings,
            "dictionary": sae.description(),
            "data": data,
            "log": log,
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".new")
    save_file(tensors, temporary, metadata={"note": note, "content": _content(tensors, note)})
    temporary.replace(path)


@checked
def read(path: Path, sae: SparseAutoencoder, settings: dict[str, Any], scale: Positive | None) -> Checkpoint | None:
    """The checkpoint in this file, or None if there is no file.

    Raises ValueError if it can't be read, if its content isn't what was written, or if it is of another dictionary,
    other settings or another scale.
    """
    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as file:
            kept = file.metadata()
            names = file.keys()
            tensors = {name: file.get_tensor(name) for name in names}
        note = json.loads(kept["note"])
        found = Checkpoint(path, note["step"], note["scale"], note["data"], note["log"], tensors)
        begun, dictionary, content = note["settings"], note["dictionary"], kept["content"]
    except Exception as error:
        raise ValueError(f"the checkpoint {path} can't be read ({error!r}): delete it to start again") from None
    if content != _content(tensors, kept["note"]):
        raise ValueError(f"the checkpoint {path} is damaged, its content has changed: delete it to start again")
    if begun != settings:
        raise ValueError(f"settings: the checkpoint {path} is of another run: {_differences(begun, settings)}")
    ours = json.loads(json.dumps(sae.description()))  # tuples become lists, as they did in the file
    if dictionary != ours:
        raise ValueError(f"sae: the checkpoint {path} is of another SAE: {_differences(dictionary, ours)}")
    if scale is not None and scale != found.scale:
        raise ValueError(f"scale: the checkpoint {path} is of a run with another scale: {found.scale}, not {scale}")
    return found


def _content(tensors: dict[str, Tensor], note: str) -> str:
    made = hashlib.sha256(note.encode())
    for name in sorted(tensors):
        value = tensors[name]
        made.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        made.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return made.hexdigest()


def _differences(there: dict[str, Any], here: dict[str, Any]) -> str:
    names = [name for name in {**there, **here} if there.get(name) != here.get(name)]
    return ", ".join(f"{name} is {there.get(name)!r} there, {here.get(name)!r} here" for name in names)
