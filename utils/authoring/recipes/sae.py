"""Make `utils/data/sae/`: a sparse autoencoder of the specimen, and a second seed's decoder to compare it with.

    python -m utils.authoring.recipes.sae read        the training corpus's activations (an hour on one thread, 2.4 GB)
    python -m utils.authoring.recipes.sae train       the shipped dictionary              (about a quarter of an hour)
    python -m utils.authoring.recipes.sae evaluate    on held-out works -> block12_record.json
    python -m utils.authoring.recipes.sae second      the same from another seed, decoder only
    python -m utils.authoring.recipes.sae compare     how alike the two are -> block12_record.json

Each step can be interrupted and started again. Activations are kept in build/sae/.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from utils import datasets
from utils.datasets.corpus import PATH as CORPUS
from utils.sae import evaluation, files, models, training
from utils.sae.store import open_store, write_store

ROOT = Path(__file__).resolve().parents[3]
STORE = ROOT / "build" / "sae" / "store"
OUTPUT = ROOT / "utils" / "data" / "sae"
NAME = "block12"
RECORD = OUTPUT / f"{NAME}_record.json"

HOOK = "blocks.12.hook_resid_post"
D_SAE, K = 4096, 32
BATCH, EPOCHS, LEARNING_RATE = 2048, 3, 3e-3
SEED, SECOND_SEED, NOISE_SEED = 0, 1, 2
N_TEXTS = 120  # held-out excerpts whose next-token loss is measured, spread over the sources


def training_texts() -> list[str]:
    """The training excerpts in the order they are read: shuffled, the specimen's own answers last."""
    rows = datasets.corpus("train")
    written = [row.text for row in rows if row.source != "specimen"]
    sampled = [row.text for row in rows if row.source == "specimen"]
    random.Random(0).shuffle(written)
    random.Random(0).shuffle(sampled)
    return written + sampled


def read() -> None:
    from utils.models import load_model

    store = write_store(load_model(), training_texts(), HOOK, STORE)
    print(store.card)


def trained(seed: int, checkpoint: str) -> tuple[models.SparseAutoencoder, list[training.Record]]:
    """An SAE trained on the whole store, EPOCHS times over."""
    store = open_store(STORE)
    if store.card.texts_done < store.card.texts_total:
        raise SystemExit(
            f"only {store.card.texts_done} of {store.card.texts_total} texts were read: finish `read` first"
        )
    steps = EPOCHS * (len(store) // BATCH)
    sae = models.TopKSAE(store.card.d_model, D_SAE, k=K, seed=seed)

    def show(log: list[training.Record]) -> None:
        if log[-1].step % 100 == 0:
            print(log[-1], flush=True)

    log = training.train(
        sae,
        store.batches(BATCH, seed=seed, epochs=EPOCHS),
        training.Settings(steps, learning_rate=LEARNING_RATE, warm_up=100),
        checkpoint=STORE.parent / checkpoint,
        on_record=show,
        progress=False,
    )
    return sae, log


def train() -> None:
    from utils.models import load_model

    sae, log = trained(SEED, "first.safetensors")
    files.save(
        sae,
        OUTPUT / NAME,
        hook=HOOK,
        model_name="SmolLM2-135M-Instruct (Q4_1, dequantised)",
        massive_norm=open_store(STORE).card.massive_norm,
        model=load_model(),
        dtype=torch.float16,
        metadata={"context_size": 256},
    )
    shown = [asdict(record) for record in log if record.step % 50 == 0 or record is log[-1]]
    (OUTPUT / f"{NAME}_log.json").write_text(json.dumps(shown, indent=0) + "\n", encoding="utf-8")


def second() -> None:
    """Only directions are needed to compare seeds, and a byte a number is enough for a cosine."""
    sae, _ = trained(SECOND_SEED, "second.safetensors")
    rows = sae.W_dec.detach()
    scale = rows.abs().amax(1, keepdim=True) / 127
    tensors = {"decoder": (rows / scale).round().to(torch.int8), "scale": scale.to(torch.float16)}
    save_file(tensors, OUTPUT / f"{NAME}_second_seed.safetensors")


def held_out_sample(n: int) -> list[datasets.Excerpt]:
    """n held-out excerpts, as evenly over the sources as they allow, in a fixed order."""
    by_source: dict[str, list[datasets.Excerpt]] = defaultdict(list)
    for row in datasets.corpus("held_out"):
        by_source[row.source].append(row)
    for rows in by_source.values():
        random.Random(0).shuffle(rows)
    chosen: list[datasets.Excerpt] = []
    while len(chosen) < n and any(by_source.values()):
        chosen += [rows.pop() for rows in by_source.values() if rows]
    return chosen[:n]


def evaluate() -> None:
    from utils.models import load_model
    from utils.reading.activations import stream
    from utils.reading.massive import is_massive
    from utils.statistics import bootstrap

    model, sae, store = load_model(), files.load(OUTPUT / NAME), open_store(STORE)
    bound = store.card.massive_norm
    rows = datasets.corpus("held_out")
    acts: dict[str, list[torch.Tensor]] = defaultdict(list)
    n_massive = 0
    for chunk in stream(model, [row.text for row in rows], [HOOK], positions=lambda ids: torch.arange(len(ids)) > 0):
        ordinary = ~is_massive(chunk.acts[HOOK], bound, factor=1)
        n_massive += int((~ordinary).sum())
        for i in chunk.text_index.unique():
            acts[rows[int(i)].source].append(chunk.acts[HOOK][ordinary & (chunk.text_index == i)])
    by_source = {source: torch.cat(parts) for source, parts in acts.items()}
    everything = torch.cat(list(by_source.values()))
    mean = torch.from_numpy(store.rows[:: max(1, len(store) // 50_000)].astype("float32")).mean(0)
    sample = held_out_sample(N_TEXTS)
    loss = evaluation.loss_recovered(
        model, sae, HOOK, [row.text for row in sample], mean, massive_norm=bound, progress=False
    )

    def share(ablated: int) -> Callable[[np.ndarray], float]:
        def statistic(rows: np.ndarray) -> float:
            weight = rows[:, 0]
            clean, spliced, worst = ((rows[:, i] * weight).sum() / weight.sum() for i in (1, 2, ablated))
            return (worst - spliced) / (worst - clean)

        return statistic

    table = np.array(loss.per_text)
    record = {
        "hook": HOOK,
        "d_sae": D_SAE,
        "k": K,
        "settings": {"batch": BATCH, "epochs": EPOCHS, "learning_rate": LEARNING_RATE, "seed": SEED},
        "corpus_sha256": hashlib.sha256(CORPUS.read_bytes()).hexdigest(),
        "store": asdict(store.card),
        "tokens_of_training": EPOCHS * (len(store) // BATCH) * BATCH,
        "held_out": {
            "tokens": len(everything),
            "massive_left_out": n_massive,
            "fit": asdict(evaluation.fit(sae, everything)),
            "by_source": {source: asdict(evaluation.fit(sae, x)) for source, x in sorted(by_source.items())},
        },
        "loss": {
            "texts": len(sample),
            "tokens": loss.n,
            "left_alone": loss.n_left,
            "clean": loss.clean,
            "spliced": loss.spliced,
            "mean_ablation": loss.mean,
            "zero_ablation": loss.zero,
            "recovered_against_mean": str(bootstrap(table, share(3))),
            "recovered_against_zero": str(bootstrap(table, share(4))),
        },
    }
    write_record(record)


def write_record(record: dict[str, Any]) -> None:
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(record, indent=1))


def compare() -> None:
    """Add to the record how many directions of the first seed the second found too, and how many noise "finds"."""
    mine = files.load(OUTPUT / NAME).W_dec.detach()
    stored = load_file(OUTPUT / f"{NAME}_second_seed.safetensors")
    other = stored["decoder"].float() * stored["scale"].float()
    # Not one of the two seeds: their random starts are drawn in the same way, and dead latents stay where they began.
    noise = torch.randn(other.shape, generator=torch.Generator().manual_seed(NOISE_SEED))
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    record["stability"] = {}
    for name, directions in (("second seed", other), ("random directions", noise)):
        cosines = evaluation.matched_cosines(mine, directions)
        record["stability"][name] = {"mean": float(cosines.mean()), "above_0.7": float((cosines > 0.7).float().mean())}
    write_record(record)


def main() -> int:
    steps = {"read": read, "train": train, "second": second, "evaluate": evaluate, "compare": compare}
    if len(sys.argv) != 2 or sys.argv[1] not in steps:
        print(__doc__)
        return 2
    steps[sys.argv[1]]()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
