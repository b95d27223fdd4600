"""Let the specimen write about places, bridges and everyday things: one part of the corpus that `recipes.corpus` makes.

    python -m utils.authoring.recipes.sample_topics build/corpus/sampled.jsonl     (about half an hour on one thread)

The other sources say little about landmarks, so the specimen is asked about them on purpose. It runs in bfloat16
here, which is faster on the machine this was made on and changes the text, not the activations later read from it.
What it says is often wrong: the corpus is for finding features of text, never for facts.
"""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path

SEED = 20261122
N_PROMPTS = 1536
BATCH = 128
NEW_TOKENS = 120
TEMPERATURE, TOP_P = 0.8, 0.95


def listed(names: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in names.split(","))


BRIDGES = listed(
    "Golden Gate Bridge, Brooklyn Bridge, Tower Bridge, Sydney Harbour Bridge, Rialto Bridge, Charles "
    "Bridge, London Bridge, Millau Viaduct, Forth Bridge, Humber Bridge, Oresund Bridge, Bay Bridge, "
    "Manhattan Bridge, Ponte Vecchio, Akashi Kaikyo Bridge, Mackinac Bridge, Clifton Suspension Bridge, "
    "Menai Bridge, Chain Bridge, Howrah Bridge, George Washington Bridge, Bridge of Sighs, Galata Bridge, "
    "Iron Bridge"
)
BRIDGE_ASKS = (
    "Describe {x} to a friend who has never seen it.",
    "Write a short news report about repairs to {x}.",
    "Write the opening of a story that begins on {x} in the fog.",
    "Who designed {x}, and what is it made of?",
    "Write a postcard from a visitor to {x}.",
    "What can you see from {x}?",
    "Compare {x} with another famous bridge.",
    "Explain to a child how {x} stays up.",
)
PLACE_ASKS = (
    "Write a paragraph of a travel guide about {x}.",
    "Describe a morning in {x}.",
    "What is {x} known for?",
    "Write a short letter home from {x}.",
    "How do people travel around in {x}?",
    "Write a few sentences about the history of {x}.",
)
THING_ASKS = (
    "Explain {x} to a beginner.",
    "Write a short story about {x}.",
    "Give five tips about {x}.",
    "Write a dialogue between two neighbours about {x}.",
    "Write a newspaper article about {x}.",
    "What do people get wrong about {x}?",
    "Write an email to a colleague about {x}.",
    "Describe {x} as a scientist would.",
)
THINGS = listed(
    "growing tomatoes, baking bread, riding a bicycle, the weather in spring, keeping bees, learning the "
    "violin, fixing a tap, the moon, volcanoes, the water cycle, photosynthesis, gravity, magnets, the "
    "human heart, sleep, vaccines, a football match, a chess game, swimming, a train journey, a lost dog, "
    "an old lighthouse, a school play, a birthday party, a village market, a library, a rainy holiday, "
    "saving money, taxes, a job interview, an election, the supreme court, a trade union, the stock "
    "market, a software bug, a Python function, sorting a list, a database, passwords, the internet, a "
    "bar chart, fractions, prime numbers, probability, a triangle, the French language, learning Spanish, "
    "translating a poem, grammar, a dictionary, Roman roads, the Middle Ages, the steam engine, the "
    "printing press, a museum of art, a symphony, a film review, jazz, the theatre, a wedding, a funeral, "
    "forgiveness, friendship, courage, a quarrel, honesty, a river in flood, a desert, a glacier, a coral "
    "reef, whales, owls, spiders, oak trees, mushrooms, roses, wheat, cheese, coffee, soup, chocolate, a "
    "kitchen knife, woollen socks, a wristwatch, a camera, a ship, an aeroplane, a tunnel, a skyscraper, "
    "a harbour, an island, a mountain path, a farm, a city park, traffic, recycling, electric cars, wind "
    "power, a power cut, a telescope, DNA, bacteria, a dentist, a nurse, a carpenter, a firefighter"
)


def questions() -> list[str]:
    """N_PROMPTS different questions in a fixed, shuffled order: about a third bridges and landmarks, a third cities."""
    from utils import datasets
    from utils.datasets.cities import city_table

    rng = random.Random(SEED)
    bridges = [ask.format(x=f"the {name}") for name in BRIDGES for ask in BRIDGE_ASKS]
    landmarks = [ask.format(x=f"the {place.name}") for place in datasets.landmarks() for ask in PLACE_ASKS]
    cities = [ask.format(x=city.name) for city in city_table() for ask in PLACE_ASKS]
    things = [ask.format(x=thing) for thing in THINGS for ask in THING_ASKS]
    rng.shuffle(landmarks)
    rng.shuffle(cities)
    rng.shuffle(things)
    chosen = bridges + landmarks[:300] + cities[:450] + things
    chosen = chosen[:N_PROMPTS]
    rng.shuffle(chosen)
    return chosen


def main() -> int:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from utils.specimen import specimen_folder

    output = Path(sys.argv[1])
    output.parent.mkdir(parents=True, exist_ok=True)
    folder = specimen_folder()
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left", clean_up_tokenization_spaces=False)
    tokenizer.pad_token = "<|im_end|>"
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).eval()
    torch.manual_seed(SEED)
    asked, start, written = questions(), time.time(), 0
    with output.open("w", encoding="utf-8") as file:
        for i in range(0, len(asked), BATCH):
            group = asked[i : i + BATCH]
            chats = [
                tokenizer.apply_chat_template(
                    [{"role": "user", "content": q}], tokenize=False, add_generation_prompt=True
                )
                for q in group
            ]
            inputs = tokenizer(chats, return_tensors="pt", padding=True, add_special_tokens=False)
            with torch.inference_mode():
                out = model.generate(
                    **inputs, max_new_tokens=NEW_TOKENS, do_sample=True, temperature=TEMPERATURE, top_p=TOP_P, top_k=0
                )
            for question, row in zip(group, out[:, inputs.input_ids.shape[1] :], strict=True):
                text = str(tokenizer.decode(row, skip_special_tokens=True)).strip()
                written += len(row)
                file.write(json.dumps({"question": question, "text": text}, ensure_ascii=False) + "\n")
            file.flush()
            print(
                f"{i + len(group)} of {len(asked)} answers, {written / (time.time() - start):.0f} tokens/s", flush=True
            )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
