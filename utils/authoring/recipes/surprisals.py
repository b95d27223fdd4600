"""Make `utils/data/surprisals.jsonl`: what people's lines, and the specimen's, cost it after the same openings.

    python -m utils.authoring.recipes.surprisals

Lesson 00 lets learners design a rule that tells the two apart; these texts, which no cell shows, score it.
"""

from __future__ import annotations

import json
import math

import torch

from utils.datasets.tales import PATH, tales
from utils.home import write_whole
from utils.models import load_model
from utils.reading.likelihood import token_losses
from utils.reading.tokens import text_tokens
from utils.writing import generation

OPENING, WRITTEN, SEED = 25, 40, 2  # tokens, the start token among the first


def main() -> None:
    model = load_model(device="cpu")
    excerpts = tales(which=1)
    ids = torch.cat([text_tokens(model, excerpt.text)[:, : OPENING + WRITTEN] for excerpt in excerpts])
    openings = ids[:, :OPENING]
    written = generation.generate_ids(model, openings.tolist(), WRITTEN, top_p=0.9, seed=SEED, stop=None)
    of_model = torch.cat([openings, torch.tensor(written)], dim=1)
    sides = {}
    for side, rows in (("human", ids), ("nucleus", of_model)):
        losses = torch.cat([token_losses(model, four)[:, -WRITTEN:] for four in rows.split(4)])
        sides[side] = [[round(bits, 2) for bits in row] for row in (losses / math.log(2)).tolist()]
    lines = [
        {"work": excerpt.work, "human": human, "nucleus": nucleus}
        for excerpt, human, nucleus in zip(excerpts, sides["human"], sides["nucleus"])
    ]
    write_whole(PATH, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in lines))


if __name__ == "__main__":
    main()
