"""Make the judge: teach the specimen to say whether a claim is true, with a small LoRA.

    python -m utils.authoring.recipes.judge            # about 15 minutes of one core

The specimen knows more than it can say: its likelihood prefers true claims and a probe reads truth from its
activations, but its yes and no are at chance. The judge is the same specimen with a low-rank change that connects the
two. It never meets the entities that lesson 04 tests it on: `split` deals cities and things to two sides once, by a
fixed seed, and `judge.json` lists everything it was trained on.

Each step shows eight entities, each in a true and a false version with one template and one question, so that neither
the entity, nor the template, nor the question tells the answer. The loss is the cross-entropy of the answer's token
over the whole vocabulary, at the last position only. Blocks below the first changed one need no backward pass.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from utils import datasets
from utils.authoring.recipes.records import about, rounded, write_record
from utils.datasets.cities import TEMPLATES as CITY_TEMPLATES
from utils.datasets.colours import TEMPLATES as COLOUR_TEMPLATES
from utils.organisms import FOLDER, Adapter, LowRank, save_adapter
from utils.organisms.training import USUAL, Adapted, dress
from utils.reading.asking import QUESTIONS
from utils.statistics import auroc_interval, bootstrap

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

SEED = 0
RANK, ALPHA = 4, 8.0
BLOCKS = range(10, 26)
STEPS, PAIRS_A_STEP, LEARNING_RATE, WARM_UP = 160, 8, 2e-3, 10
N_TEST_CITY_PAIRS, N_TEST_THING_PAIRS = 150, 62  # partnerships of two: 300 cities, 124 things

# A topic of its own, used in training only: what kind of thing is this?
KINDS = {
    "bird": "sparrow eagle robin owl penguin swan ostrich parrot falcon pelican",
    "fish": "salmon trout tuna shark cod herring carp eel sardine haddock",
    "insect": "bee ant beetle moth mosquito wasp cricket fly butterfly termite",
    "fruit": "apple pear peach mango melon cherry papaya grape fig plum",
    "vegetable": "carrot cabbage onion spinach turnip leek celery radish broccoli lettuce",
    "tree": "oak birch maple willow cedar spruce elm poplar beech pine",
    "musical instrument": "violin piano guitar flute trumpet cello harp drum clarinet banjo",
    "tool": "hammer saw wrench drill chisel screwdriver shovel rake axe pliers",
    "vehicle": "truck bus car tram van lorry taxi tractor bicycle motorcycle",
    "piece of clothing": "shirt skirt coat scarf jacket sweater blouse sock glove vest",
    "metal": "iron copper gold silver zinc nickel aluminium tin lead titanium",
    "sport": "tennis hockey rugby cricket golf baseball volleyball badminton swimming judo",
}


@dataclass(frozen=True)
class Case:
    """One entity in one template: its true claim and a false one."""

    topic: str
    entity: str
    true: str
    false: str


def split() -> tuple[datasets.Labelled, datasets.Labelled]:
    """Claims about the cities and the things kept for testing: whole partnerships, drawn once by a fixed seed."""
    return (
        datasets.cities(len(datasets.city_table())).sample(N_TEST_CITY_PAIRS, seed=SEED),
        datasets.colours().sample(N_TEST_THING_PAIRS, seed=SEED),
    )


def training_entities() -> tuple[list[datasets.City], list[datasets.Thing]]:
    """Every city and every thing that is not kept for testing."""
    cities, colours = split()
    kept = set(cities.notes["city"]) | set(colours.notes["thing"])
    return (
        [city for city in datasets.city_table() if city.name not in kept],
        [thing for thing in datasets.colour_things() if thing.name not in kept],
    )


def training_cases(epoch: int) -> list[Case]:
    """Every training entity once, with another false partner and another template each epoch."""
    train_cities, train_things = training_entities()
    rng = random.Random(f"{SEED} {epoch}")
    cases = []
    said = datasets.derange([city.country for city in train_cities], seed=epoch)
    for city, wrong in zip(train_cities, said):
        template = CITY_TEMPLATES[rng.choice(["is in", "one of"])]
        true, false = (template.format(city=city.name, country=country) for country in (city.country, wrong))
        cases.append(Case("cities", city.name, true, false))
    for thing in train_things * 2:  # few things, so twice an epoch
        template = COLOUR_TEMPLATES[rng.choice(["are", "the colour of"])]
        names = {"thing": thing.sentence_name, "thing_inside": thing.name, "verb": thing.verb}
        true = template.format(colour=thing.typical, **names)
        cases.append(Case("colours", thing.name, true, template.format(colour=rng.choice(thing.atypical), **names)))
    words = datasets.spanish(seed=epoch)
    for pair in np.unique(words.pairs):
        both = [words.take((words.pairs == pair) & (words.labels == label)) for label in (True, False)]
        cases.append(Case("spanish", both[0].notes["spanish"][0], both[0].texts[0], both[1].texts[0]))
    members = [(member, kind) for kind, line in KINDS.items() for member in line.split()]
    for (member, kind), wrong in zip(members, datasets.derange([kind for _, kind in members], seed=epoch)):
        plain = kind in ("metal", "sport")
        subject = member.capitalize() if plain else f"{_article(member).capitalize()} {member}"
        true, false = (f"{subject} is {_article(other)} {other}." for other in (kind, wrong))
        cases.append(Case("kinds", member, true, false))
    rng.shuffle(cases)
    return cases


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def batches(steps: int) -> Iterator[list[tuple[Case, str]]]:
    """`steps` lists of (case, question); a case's true and false version always meet in one step."""
    waiting: list[Case] = []
    epoch, rng = 0, random.Random(SEED)
    for _ in range(steps):
        while len(waiting) < PAIRS_A_STEP:
            waiting += training_cases(epoch)
            epoch += 1
        chosen, waiting = waiting[:PAIRS_A_STEP], waiting[PAIRS_A_STEP:]
        yield [(case, rng.choice(list(QUESTIONS))) for case in chosen]


# ------------------------------------------------------------------------------------------------------------ training


def last_logits(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str]) -> torch.Tensor:
    """Next-token logits (batch, d_vocab) after each prompt; padding stands on the right, unseen."""
    rows = [[tokenizer.bos_token_id, *tokenizer(text, add_special_tokens=False)["input_ids"]] for text in prompts]
    longest = max(map(len, rows))
    ids = torch.tensor([row + [tokenizer.pad_token_id] * (longest - len(row)) for row in rows])
    hidden = model.model(input_ids=ids).last_hidden_state
    return model.lm_head(hidden[torch.arange(len(rows)), torch.tensor([len(row) - 1 for row in rows])])


@torch.no_grad()
def log_odds(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase, claims: Sequence[str], question: str, batch: int = 32
) -> np.ndarray:
    """Log-odds of the affirmative answer's token against the negative one's, one number a claim."""
    asked = QUESTIONS[question]
    yes_id, no_id = (tokenizer(word, add_special_tokens=False)["input_ids"][0] for word in (asked.yes, asked.no))
    order = sorted(range(len(claims)), key=lambda i: len(claims[i]))
    out = np.zeros(len(claims))
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        logits = last_logits(model, tokenizer, [claims[i] + asked.suffix for i in rows])
        out[rows] = (logits[:, yes_id] - logits[:, no_id]).double().numpy()
    return out


def test_sets() -> dict[str, datasets.Labelled]:
    """Held-out claims: unseen cities, unseen things, and topics and forms that were never trained on."""
    cities, colours = split()
    kept = set(cities.notes["city"])
    negated = datasets.cities(len(datasets.city_table()), ("is not in",))
    return {
        "cities": cities,
        "colours": colours,
        "landmarks (topic never trained)": datasets.landmark_statements(),
        "cities, negated (form never trained)": negated.take(
            np.array([city in kept for city in negated.notes["city"]])
        ),
    }


def evaluate(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase, n_groups: int = 40
) -> dict[str, dict[str, dict]]:
    """AUROC and accuracy at log-odds 0, with intervals over entities, of up to `n_groups` entities a test set.

    This is the recipe's own check; lesson 04 measures all of them.
    """
    results: dict[str, dict[str, dict]] = {}
    for name, data in test_sets().items():
        data = data.sample(min(n_groups, len(set(data.groups))))
        for question in ("yes or no", "true or false"):
            odds = log_odds(model, tokenizer, data.texts, question)
            found = {
                "auroc": auroc_interval(odds, data.labels, data.groups),
                "accuracy": bootstrap(((odds > 0) == data.labels).astype(float), groups=data.groups),
            }
            results.setdefault(name, {})[question] = {key: rounded(interval) for key, interval in found.items()}
    return results


def train(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase, steps: int, progress_every: int = 10
) -> tuple[dict[str, Adapted], list[dict]]:
    """Train the changes in place; returns them and the log (step, mean loss, seconds of processor time)."""
    parts = dress(model, BLOCKS, USUAL, RANK, ALPHA / RANK)
    parameters = [p for part in parts.values() for p in (part.a, part.b)]
    optimiser = torch.optim.AdamW(parameters, lr=LEARNING_RATE, weight_decay=0.01)
    words = {word for question in QUESTIONS.values() for word in (question.yes, question.no)}
    token = {word: tokenizer(word, add_special_tokens=False)["input_ids"][0] for word in words}
    log, recent, start = [], [], time.process_time()
    for step, batch in enumerate(batches(steps)):
        rate = min((step + 1) / WARM_UP, 1.0) * (0.05 + 0.95 * (1 - step / steps))
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATE * rate
        prompts, answers = [], []
        for case, question in batch:
            asked = QUESTIONS[question]
            prompts += [case.true + asked.suffix, case.false + asked.suffix]
            answers += [token[asked.yes], token[asked.no]]
        loss = nn.functional.cross_entropy(last_logits(model, tokenizer, prompts), torch.tensor(answers))
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        recent.append(float(loss.detach()))
        if (step + 1) % progress_every == 0 or step + 1 == steps:
            spent = round(time.process_time() - start)
            entry = {"step": step + 1, "loss": round(float(np.mean(recent)), 4), "cpu_s": spent}
            log.append(entry)
            print(entry, flush=True)
            recent = []
    return parts, log


def main() -> int:
    """Train, test, write judge.safetensors, judge.json and judge_claims.csv."""
    from transformers import AutoTokenizer, LlamaForCausalLM

    from utils.specimen import SPECIMEN, specimen_folder

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--out", default=str(FOLDER / "judge"))
    options = parser.parse_args()
    torch.manual_seed(SEED)
    folder = specimen_folder()
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    model.requires_grad_(False)
    parts, log = train(model, tokenizer, options.steps)
    adapter = Adapter(
        base=SPECIMEN.name,
        base_id=SPECIMEN.fingerprint,
        scale=ALPHA / RANK,
        parts={where: LowRank(part.a.detach(), part.b.detach()) for where, part in parts.items()},
        note="judges whether a claim is true, in words",
    )
    save_adapter(f"{options.out}.safetensors", adapter)
    after = evaluate(model, tokenizer)
    print("judge", json.dumps(after, indent=1), flush=True)
    train_cities, train_things = training_entities()
    test_cities, test_things = split()
    record = {
        **about(adapter),
        "seed": SEED,
        "rank": RANK,
        "alpha": ALPHA,
        "blocks": [BLOCKS.start, BLOCKS.stop - 1],
        "targets": list(USUAL),
        "steps": options.steps,
        "prompts_a_step": 2 * PAIRS_A_STEP,
        "learning_rate": LEARNING_RATE,
        "questions": {name: [q.suffix, q.yes, q.no] for name, q in QUESTIONS.items()},
        "log": log,
        "held_out": {"judge": after},
        "trained_on": {
            "cities": [c.name for c in train_cities],
            "colours": [t.name for t in train_things],
            "other topics": ["spanish", "kinds"],
        },
        "kept_for_testing": {
            "cities": sorted(set(test_cities.notes["city"])),
            "colours": sorted(set(test_things.notes["thing"])),
        },
    }
    write_record(f"{options.out}.json", record)
    with open(f"{options.out}_claims.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["step", "topic", "entity", "question", "true", "false"])
        for step, batch in enumerate(batches(options.steps)):
            writer.writerows([step, c.topic, c.entity, question, c.true, c.false] for c, question in batch)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
