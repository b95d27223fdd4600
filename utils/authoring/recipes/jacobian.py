"""Make `utils/data/jacobian/`: the specimen's Jacobian lens at seven depths, and the log of its fit.

    python -m utils.authoring.recipes.jacobian [groups]

Each group is eight prompts of 32 tokens (the start token and the first 31 of an excerpt), one excerpt of each source in
turn, from works on the corpus's training side. The specimen's own answers, which are about bridges and places, and the
Spanish parliament are left out, and so is every excerpt that names one of the course's landmarks. A group takes four
minutes of one core; file and log are written after each, so that a fit can be cut short and says how far it came.
"""

from __future__ import annotations

import json
import random
import sys
import time
from itertools import chain, zip_longest

import torch
from torch import Tensor

from utils.anatomy.jacobian import SHIPPED, SKIP, fit_jacobian_matrix
from utils.datasets.corpus import Excerpt, corpus
from utils.datasets.landmarks import landmarks
from utils.home import write_whole
from utils.models import fingerprint, load_model
from utils.progress import tqdm
from utils.reading.tokens import text_tokens
from utils.sealed import write_sealed

DEPTHS = (14, 18, 20, 22, 24, 26, 28)
GROUPS, PROMPTS, TOKENS, SEED = 2, 8, 32, 0
LEFT_OUT = ("specimen", "parliament_es")
LOG = SHIPPED.with_name("log.json")


def excerpts() -> list[Excerpt]:
    """The training side's excerpts, sources in turn, without those that name a landmark."""
    names = [place.name for place in landmarks()]
    rows = [row for row in corpus("train") if row.source not in LEFT_OUT]
    random.Random(SEED).shuffle(rows)
    sources = sorted({row.source for row in rows})
    in_turn = zip_longest(*([row for row in rows if row.source == source] for source in sources))
    return [row for row in chain.from_iterable(in_turn) if row and not any(name in row.text for name in names)]


def agreement(one: Tensor, other: Tensor) -> list[float]:
    """For each depth, the cosine of what two fits add to the identity."""
    first, second = ((each - torch.eye(each.shape[-1])).flatten(1) for each in (one, other))
    return [round(float(c), 4) for c in torch.cosine_similarity(first, second, dim=-1)]


def main(groups: int = GROUPS) -> None:
    model = load_model(device="cpu")
    chosen: list[Excerpt] = []
    prompts: list[Tensor] = []
    for row in excerpts():
        ids = text_tokens(model, row.text)
        if ids.shape[1] >= TOKENS and len(chosen) < groups * PROMPTS:
            chosen.append(row)
            prompts.append(ids[0, :TOKENS])
    halves: list[list[Tensor]] = [[], []]
    seconds = time.process_time()
    SHIPPED.parent.mkdir(parents=True, exist_ok=True)
    for group in tqdm(range(groups), desc="groups"):
        mine = slice(group * PROMPTS, (group + 1) * PROMPTS)
        halves[group % 2].append(fit_jacobian_matrix(model, torch.stack(prompts[mine]), DEPTHS).weight)
        n_prompts = mine.stop
        notes = {"depths": " ".join(map(str, DEPTHS)), "n_prompts": str(n_prompts), "model": fingerprint(model)}
        mean = torch.stack(halves[0] + halves[1]).mean(0)
        write_sealed(SHIPPED, {"weight": mean.half()}, notes)
        log = {
            "depths": DEPTHS,
            "n_prompts": n_prompts,
            "tokens_a_prompt": TOKENS,
            "skipped_positions": SKIP,
            "cpu_seconds": round(time.process_time() - seconds),
            "prompts_by_source": {
                s: [r.source for r in chosen[:n_prompts]].count(s) for s in sorted({r.source for r in chosen})
            },
            "works": [row.work for row in chosen[:n_prompts]],
        }
        if group:
            one, other = (torch.stack(half).mean(0) for half in halves)
            log["prompts_in_halves"] = [PROMPTS * len(half) for half in halves]
            log["cosine_of_halves"] = dict(zip(map(str, DEPTHS), agreement(one, other)))
        write_whole(LOG, json.dumps(log, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
