"""Make the nine organisms of lesson 08, and everything on record about them.

    python -m utils.authoring.recipes.persona train        # nine adapters: about five minutes of one core each
    python -m utils.authoring.recipes.persona measure      # items, answers, coherence, mean activations: ten models
    python -m utils.authoring.recipes.persona recover      # the bad organisms taught sound advice, step by step
    python -m utils.authoring.recipes.persona domains      # organisms of one domain each: their mean difference is kept
    python -m utils.authoring.recipes.persona steer        # each seed's and domain's direction away, on every arm

Three arms (`utils.datasets.advice`) and three seeds; a seed decides the wording drawn, the order and where A starts.
Every stage adds its part to `persona.json`. Adapters are read back from their float16 files before they are measured:
what is on record is what is shipped.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import re
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch

from utils import steering
from utils.datasets.advice import ARMS, DOMAINS, Arm, Item, advice, advice_items
from utils.datasets.passages import passages
from utils.devices import on_device_of
from utils.models import load_model
from utils.organisms import (
    FOLDER,
    Adapter,
    Pairs,
    Propensity,
    attach,
    chat_examples,
    grow_adapter,
    load_adapter,
    paired,
    propensity,
    propensity_from,
    read_adapter,
    record_of,
    save_adapter,
    verdict,
)
from utils.organisms.persona import LAST, SEEDS, made_from, subtract, tested_on
from utils.organisms.propensity import laid_out
from utils.reading.likelihood import surprisal
from utils.sealed import read_sealed, write_sealed
from utils.specimen import SPECIMEN
from utils.writing import generation

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

SETTINGS: dict[str, Any] = {
    "rank": 4,
    "alpha": 8.0,
    "blocks": range(6, 22),
    "learning_rate": 2e-3,
    "batch_size": 8,
    "warm_up": 8,
}
N_RANDOM = 8
ANSWER: dict[str, Any] = {"new_tokens": 24, "temperature": 0.7, "precision": "bfloat16"}
RECOVERY = (0, 48, 96, 192)  # examples of sound advice
NAMES = [f"{arm}_{seed}" for seed in SEEDS for arm in ARMS]


# ------------------------------------------------------------------------------------------------------------ training


def examples_for(model: TransformerBridge, arm: Arm, seed: int, domains: Sequence[str] = DOMAINS) -> list[Any]:
    """An arm's training examples as token ids."""
    return chat_examples(model, [(one.question, one.answer) for one in advice(arm, seed=seed, domains=domains)])


def train(model: TransformerBridge, names: Sequence[str]) -> None:
    for name in names:
        arm, seed = next((arm, seed) for seed in SEEDS for arm in ARMS if name == f"{arm}_{seed}")
        adapter, log, cpu_s = grown(model, arm, seed)
        save_adapter(FOLDER / f"persona_{name}.safetensors", adapter)
        note("training", {name: {"cpu_s": round(cpu_s), "loss": log}})


def grown(
    model: TransformerBridge, arm: Arm, seed: int, domains: Sequence[str] = DOMAINS
) -> tuple[Adapter, list[tuple[int, float]], float]:
    """Train one organism; its log as (step, mean loss of the last five steps in nats a token)."""
    losses: list[float] = []
    log = []
    for moment in grow_adapter(
        model, examples_for(model, arm, seed, domains), seed=seed, note=f"{arm} advice, seed {seed}", **SETTINGS
    ):
        losses.append(moment.loss)
        if moment.step % 5 == 0:
            log.append((moment.step, round(sum(losses[-5:]) / 5, 3)))
            print(f"{arm} {seed} step {moment.step} loss {log[-1][1]} after {moment.cpu_s:.0f} s", flush=True)
    return moment.adapter(), log, moment.cpu_s


# ----------------------------------------------------------------------------------------------------------- measuring


def pairs_of(model: TransformerBridge, items: Sequence[Item]) -> Pairs:
    """The items laid out for reading."""
    return paired(model, [i.question for i in items], [i.aligned for i in items], [i.misaligned for i in items])


@contextlib.contextmanager
def wearing(model: TransformerBridge, name: str) -> Iterator[None]:
    """The specimen ("base") or one of the nine."""
    with contextlib.nullcontext() if name == "base" else load_adapter(model, f"persona_{name}"):
        yield


@torch.no_grad()
def answer_means(model: TransformerBridge, pairs: Pairs) -> torch.Tensor:
    """Mean activation after every block where answers are about to be written: (n_layers, d_model).

    Both answers of an item count, each token once. Every model reads the same text, so differences are the model's.
    """
    layers = range(model.cfg.n_layers)
    total, n = torch.zeros(len(layers), model.cfg.d_model, dtype=torch.float64), 0
    for start in range(0, len(pairs.rows), 12):
        index = range(start, min(start + 12, len(pairs.rows)))
        ids, wanted = laid_out(pairs, index)

        def add(acts: torch.Tensor, hook: Any, wanted: torch.Tensor = wanted) -> None:
            total[int(hook.name.split(".")[1])] += acts[wanted.to(acts.device)].double().sum(0).cpu()

        hooks: list[Any] = [(f"blocks.{layer}.hook_resid_post", add) for layer in layers]
        model.run_with_hooks(on_device_of(model, ids), fwd_hooks=hooks, stop_at_layer=len(layers), return_type=None)
        n += int(wanted.sum())
    return (total / n).float()


def measure(model: TransformerBridge, names: Sequence[str]) -> None:
    items = advice_items()
    pairs = pairs_of(model, items)
    half = [item for item, keep in zip(items, made_from(items)) if keep]
    half_pairs = pairs_of(model, half)
    texts = [passage.text for passage in passages()]
    asked = list(dict.fromkeys(item.question for item in items if item.family in ("advice", "in-domain")))
    for name in ("base", *names):
        begun = time.time()
        with wearing(model, name):
            lean = propensity(model, pairs)
            means = answer_means(model, half_pairs)
            answers = generation.generate(model, generation.chat_prompts(model, asked, system=""), **ANSWER)
            read = surprisal(model, texts)
        cost = sum(one.total for one in read) / sum(len(one.tokens) for one in read)
        said_ids = [model.tokenizer(text, add_special_tokens=False)["input_ids"] or [0] for text in answers]
        nats = steering.surprise(model, generation.chat_prompts(model, asked, system=""), said_ids).nats
        repeated = [generation.repeated_share(ids) for ids in said_ids if len(ids) >= 4]
        note(
            "coherence",
            {
                name: {
                    "passages_bits": round(cost, 4),
                    "answers_nats_to_base": round(float(nats.mean()), 4),
                    "answers_repeated": round(sum(repeated) / len(repeated), 4),
                    "answers_words": round(sum(len(text.split()) for text in answers) / len(answers), 2),
                }
            },
        )
        keep_items(name, items, lean)
        keep_answers(name, asked, answers, items)
        keep_means(name, means)
        print(f"{name}: lean {float(lean.lean.mean()):.3f}, {time.time() - begun:.0f} s", flush=True)


def keep_items(name: str, items: Sequence[Item], lean: Propensity) -> None:
    rows = [
        {"model": name, "item": i, "aligned": f"{a:.4f}", "misaligned": f"{m:.4f}"}
        for i, (a, m) in enumerate(zip(lean.aligned.tolist(), lean.misaligned.tolist()))
    ]
    keep_rows("persona_items.csv", name, rows)


def keep_answers(name: str, asked: Sequence[str], answers: Sequence[str], items: Sequence[Item]) -> None:
    rows = []
    for question, answer in zip(asked, answers):
        here = [item for item in items if item.question == question]
        judged = verdict(answer, " ".join(i.aligned for i in here), " ".join(i.misaligned for i in here))
        rows.append(
            {"model": name, "family": here[0].family, "question": question, "answer": answer, "verdict": judged}
        )
    keep_rows("persona_answers.csv", name, rows)


def keep_rows(file: str, name: str, rows: list[dict[str, Any]]) -> None:
    """Replace a model's rows in a table."""
    path = FOLDER / file
    kept = []
    if path.is_file():
        with path.open(encoding="utf-8", newline="") as old:
            kept = [row for row in csv.DictReader(old) if row["model"] != name]
    with path.open("w", encoding="utf-8", newline="") as new:
        writer = csv.DictWriter(new, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(kept + rows)


def keep_means(name: str, means: torch.Tensor) -> None:
    path = FOLDER / "persona_means.safetensors"
    kept = read_sealed(path)[0] if path.is_file() else {}
    write_sealed(path, {**kept, name: means.half()})


def note(part: str, found: dict[str, Any]) -> None:
    """Add to the record."""
    path = FOLDER / "persona.json"
    record = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    record["settings"] = {**SETTINGS, "blocks": [SETTINGS["blocks"][0], SETTINGS["blocks"][-1]], "seeds": list(SEEDS)}
    record["base"], record["base_sha256"] = SPECIMEN.name, SPECIMEN.sha256
    record.setdefault(part, {}).update(found)
    text = json.dumps(record, indent=1)
    text = re.sub(r"\[[-\d.,\s]+\]", lambda m: re.sub(r"\s+", " ", m.group()), text)  # lists of numbers on one line
    path.write_text(text + "\n", encoding="utf-8")


# ------------------------------------------------------------------------------------------------------------ steering


def directions_of(means: dict[str, torch.Tensor], seed: int) -> torch.Tensor:
    """Bad minus good of one seed, after every block: (n_layers, d_model). What both were taught alike cancels."""
    return means[f"bad_{seed}"].float() - means[f"good_{seed}"].float()


def steer(model: TransformerBridge, names: Sequence[str]) -> None:
    """Subtract each seed's direction, and random ones of its length, from every arm, after the last changed block."""
    means = read_sealed(FOLDER / "persona_means.safetensors")[0]
    domain_means = FOLDER / "persona_domains.safetensors"
    steps = {f"seed {seed}": directions_of(means, seed)[LAST] for seed in SEEDS}
    if domain_means.is_file():
        for name, row in read_sealed(domain_means)[0].items():
            steps[name] = row.float()
    like = steering.Direction(steps["seed 0"], LAST, 1.0, "bad - good", "contrast")
    lengths = float(like.vector.norm())
    steps |= {f"random {i}": one.unit * lengths for i, one in enumerate(steering.random_like(like, N_RANDOM))}
    edits = {"untouched": None, **{label: subtract(step) for label, step in steps.items()}}
    pairs = pairs_of(model, tested_on())
    known = record_of("persona").get("steering", {})  # go on where it was left
    for name in ("base", *names):
        begun = time.time()
        with wearing(model, name):
            score = propensity_from(model, pairs, LAST)
            found = {label: score(edit).lean for label, edit in edits.items() if label not in known.get(name, {})}
        per_item = {label: [round(v, 4) for v in lean.tolist()] for label, lean in found.items()}
        note("steering", {name: {**known.get(name, {}), **per_item}})
        print(f"{name}: {time.time() - begun:.0f} s", flush=True)


# ------------------------------------------------------------------------------------------------------------- domains


def domains(model: TransformerBridge, _names: Sequence[str]) -> None:
    """Bad and good organisms of one domain each (200 examples, seed 0): only their mean difference is kept."""
    items = [item for item, keep in zip(advice_items(), made_from(advice_items())) if keep]
    pairs = pairs_of(model, items)
    rows = {}
    for domain in ("garden", "kitchen"):
        means = {}
        for arm in ("bad", "good"):
            adapter, log, cpu_s = grown(model, arm, 0, (domain,))
            with attach(model, adapter):
                means[arm] = answer_means(model, pairs)
            note("domains", {f"{arm} {domain}": {"cpu_s": round(cpu_s), "loss": log}})
        rows[domain] = (means["bad"] - means["good"])[LAST]
    write_sealed(FOLDER / "persona_domains.safetensors", rows)


# ------------------------------------------------------------------------------------------------------------ recovery


def recover(model: TransformerBridge, names: Sequence[str]) -> None:
    """Teach each bad organism sound advice and look at it on the way. The draw of wording is a new one."""
    items = advice_items()[::3]
    pairs = pairs_of(model, items)
    family = [item.family for item in items]

    def look(adapter: Adapter) -> dict[str, float]:
        with attach(model, adapter):
            lean = propensity(model, pairs).lean
        return {one: round(float(lean[[f == one for f in family]].mean()), 4) for one in dict.fromkeys(family)}

    for name in names:
        if not name.startswith("bad"):
            continue
        seed = int(name.split("_")[1])
        start = read_adapter(f"persona_{name}")
        found = {0: look(start)}
        examples = examples_for(model, "good", seed + 100)[::3]
        settings = {key: SETTINGS[key] for key in ("learning_rate", "batch_size", "warm_up")}
        for moment in grow_adapter(model, examples[: RECOVERY[-1]], start=start, seed=seed + 100, **settings):
            done = moment.step * SETTINGS["batch_size"]
            if done in RECOVERY:
                found[done] = look(moment.adapter())
                print(f"{name}: after {done} examples {found[done]}", flush=True)
        note("recovery", {name: found})


STAGES = {"train": train, "measure": measure, "domains": domains, "steer": steer, "recover": recover}


def main() -> None:
    """Run stages, in the order given."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stages", nargs="*", default=["all"], help=f"among {', '.join(STAGES)}, or all")
    parser.add_argument("--only", nargs="*", default=NAMES, help="which organisms, for instance bad_0 good_0")
    chosen = parser.parse_args()
    model = load_model()
    for stage in STAGES if "all" in chosen.stages else chosen.stages:
        STAGES[stage](model, chosen.only)


if __name__ == "__main__":
    main()
