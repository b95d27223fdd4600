"""Which of two numbers is larger? Two templates whose labels are opposite, so that no number gives the answer alone."""

from __future__ import annotations

import random
from collections.abc import Sequence

from utils.datasets.card import Card
from utils.datasets.labelled import Labelled, check_templates, true_false
from utils.inputs import Count, Seed, checked

TEMPLATES = {"larger": "{a} is larger than {b}.", "smaller": "{a} is smaller than {b}."}

CARD = Card(
    name="numbers",
    what="Is this number larger (or smaller) than that one?",
    how_made="Pairs of different two-digit numbers drawn with a fixed seed; each pair is said in both orders.",
    n=150,
    licence="CC BY 4.0",
    leaks=(
        (
            "Within one template the first number's size gives the label away: a probe can read it from the digits at "
            "the first layers and know nothing of truth. Over both templates together it can't."
        ),
        "A split by pair meets the same numbers on both sides, in other pairs.",
    ),
)


@checked
def numbers(n: Count = 150, templates: Sequence[str] = ("larger",), seed: Seed = 0) -> Labelled:
    """`n` pairs of two-digit numbers, each in both orders, for each template. The unordered pair is the group.

    Notes: first, second, difference (absolute). Raises ValueError for an unknown template or n above 4,005.
    """
    check_templates(templates, TEMPLATES)
    every = [(a, b) for a in range(10, 100) for b in range(a + 1, 100)]
    if not 2 <= n <= len(every):
        raise ValueError(f"n must be 2 to {len(every)} pairs, got {n}")
    rows = []
    for t, template in enumerate(templates):
        for i, (low, high) in enumerate(random.Random(seed).sample(every, n)):
            for a, b in ((low, high), (high, low)):
                rows.append(
                    {
                        "text": TEMPLATES[template].format(a=a, b=b),
                        "label": (a > b) == (template == "larger"),
                        "group": f"{low} and {high}",
                        "template": template,
                        "pair": t * n + i,
                        "first": a,
                        "second": b,
                        "difference": high - low,
                    }
                )
    return true_false(rows, "numbers", CARD)
