"""Exact patches and their estimates for lesson 02: every block, heads, MLPs and stream, on all of its pairs.

`python -m utils.authoring.recipes.estimates` writes utils/data/tracing/estimates.safetensors. It takes some minutes of
one core: 660 exact patches a pair, of which the lesson makes one pair's live.
"""

from __future__ import annotations

import torch
from safetensors.torch import save_file

from utils import datasets, models, tracing
from utils.devices import to_cpu
from utils.progress import tqdm
from utils.tracing.recorded import RECORDED, STEPS, masks
from utils.tracing.running import Component


def main() -> None:
    """Measure and write the file."""
    model = models.load_model()
    pairs = tracing.make_pairs(model, datasets.landmarks(more=True), each_city_once=True)
    found: dict[str, list[torch.Tensor]] = {}
    for pair in tqdm(pairs):
        clean, corrupt = tracing.endpoints(model, pair).tolist()
        parts: tuple[Component, ...] = ("head", "mlp", "resid")
        one, line = (tracing.patching_parts(model, pair, parts, steps=steps) for steps in (None, STEPS))
        back = tracing.patching_parts(model, pair.swapped(), parts)
        for part in parts:
            where = masks(model, pair, part)
            exact = (tracing.patch(model, pair, where, part) - corrupt) / (clean - corrupt)
            found.setdefault(f"{part}.exact", []).append(exact)
            both_ends = (one[part].gradient - back[part].gradient) / 2
            for name, slope in (("one", one[part].gradient), ("ends", both_ends), ("line", line[part].gradient)):
                guess = ((one[part].clean - one[part].corrupt) * slope).sum(-1) / (clean - corrupt)
                by_site = torch.einsum("lp...,sp...->ls", guess, where.to(guess))
                found.setdefault(f"{part}.{name}", []).append(by_site)
    tensors = {key: to_cpu(torch.stack(rows)).float().contiguous() for key, rows in found.items()}
    RECORDED.parent.mkdir(exist_ok=True)
    save_file(tensors, RECORDED, {"pairs": "\n".join(pair.name for pair in pairs)})


if __name__ == "__main__":
    main()
