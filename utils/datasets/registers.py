"""Short passages of three kinds, and forty openings to be continued: text for anatomy, not for training."""

from __future__ import annotations

from utils.datasets.card import Card

CARD = Card(
    name="registers",
    what="How hard is each kind of text for the model (English prose, Spanish prose, Python code)? What comes next?",
    how_made=(
        "Written for this course: eight passages of each kind, at least 18 tokens long in the specimen's tokenizer, "
        "and forty openings (facts, idioms, lists, everyday sentences, code) that stop in mid-sentence."
    ),
    n="24 passages, 40 openings",
    licence="CC BY 4.0",
    leaks=(
        "Four Spanish passages translate English ones of the same set, so the two kinds share topics, not words.",
        "Spanish takes more tokens a word: 18 tokens of it say less than 18 tokens of English.",
        "Many openings are set phrases the model has surely seen.",
    ),
)

_PROSE = (
    "The old house stood at the end of the street, and nobody had lived there for many years. Its windows",
    "After breakfast the children walked down to the beach, where their father was already waiting with a bucket",
    "Scientists believe that the climate of the planet has changed many times during its long history, and that",
    "She put the kettle on the stove, sat down at the kitchen table and began to read the letter that",
    "The company announced on Monday that it would open a new factory in the north of the country next year",
    "When the rain finally stopped, the farmers went out into the fields to see how much of the harvest was left",
    "He had always wanted to travel, but he never had enough money, so he read books about far away places",
    "Plants need light, water and air to grow, and most of them take the water from the soil through their roots",
)
_SPANISH = (
    "La casa vieja estaba al final de la calle y nadie había vivido allí desde hacía muchos años.",
    "Después del desayuno los niños fueron a la playa, donde su padre ya los esperaba con un cubo",
    "El agua es una sustancia muy importante para la vida de todos los seres vivos de este planeta",
    "Mi hermana vive en una ciudad muy grande y trabaja en un hospital cerca del centro de la ciudad",
    "El presidente del gobierno dijo el lunes que el nuevo plan económico será presentado la próxima semana",
    "Cuando por fin dejó de llover, los hombres salieron al campo para ver cuánto trigo se había perdido",
    "Siempre quiso viajar, pero nunca tuvo dinero, así que leía libros sobre países lejanos y soñaba",
    "Las plantas necesitan luz, agua y aire para crecer, y la mayoría toma el agua del suelo por sus raíces",
)
_CODE = (
    "def add(a, b):\n    return a + b\n\ndef multiply(a, b):\n    return a * b\n\ndef subtract(a, b):",
    "for i in range(10):\n    if i % 2 == 0:\n        print(i)\n    else:\n        print(-i)\n",
    "import os\nimport sys\n\ndef main():\n    path = sys.argv[1]\n    for name in os.listdir(path):",
    "class Dog:\n    def __init__(self, name):\n        self.name = name\n\n    def bark(self):\n        print(",
    "total = 0\nfor x in numbers:\n    total += x\nmean = total / len(numbers)\nprint(mean)\nif",
    'try:\n    with open(filename) as f:\n        data = f.read()\nexcept FileNotFoundError:\n    print("File',
    "x = [1, 2, 3]\ny = [a * 2 for a in x]\nprint(len(y))\nz = dict(zip(x, y))\nfor k, v in",
    'while True:\n    line = input()\n    if line == "quit":\n        break\n    words = line.split()\n    print(',
)
_OPENINGS = (
    "The Golden Gate Bridge is located in the city of",
    "The Eiffel Tower is located in the city of",
    "The capital of France is the city of",
    "The capital of Japan is the city of",
    "The opposite of hot is",
    "Water is made of hydrogen and",
    "The first president of the United States was George",
    "One, two, three, four,",
    "Monday, Tuesday, Wednesday,",
    "January, February, March,",
    "Roses are red, violets are",
    "She opened the door and walked into the",
    "The cat sat on the",
    "Once upon a time, there was a little",
    "import numpy as",
    "def add(a, b): return a +",
    "for (int i = 0; i < n;",
    "The color of the sky is usually",
    "He was born in London and died in",
    "El perro corre por la",
    "La capital de España es",
    "Thank you very",
    "I would like a cup of",
    "The sun rises in the",
    "Shakespeare wrote Romeo and",
    "The largest planet in the solar system is",
    "To be or not to",
    "A group of wolves is called a",
    "The chemical symbol for gold is",
    "In 1492, Columbus sailed the ocean",
    "The United States of",
    "Photosynthesis takes place in the",
    "The mitochondria is the powerhouse of the",
    "A B C D E F",
    "The teacher told the students to open their",
    "The book was written by",
    "Please let me know if you have any",
    "It was raining, so she took her",
    "The doctor said that the patient should",
    "On the other hand, it is important to",
)


def registers() -> dict[str, tuple[str, ...]]:
    """Eight passages of each kind, by kind: "prose" (English), "Spanish" and "code" (Python)."""
    return {"prose": _PROSE, "Spanish": _SPANISH, "code": _CODE}


def openings() -> tuple[str, ...]:
    """Forty beginnings of sentences, lists and lines of code, to see what the model puts next."""
    return _OPENINGS
