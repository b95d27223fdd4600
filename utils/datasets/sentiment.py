"""One-line reviews, glad or disappointed, plain and negated."""

# ruff: noqa: SIM905  (word lists read better as one string)
from __future__ import annotations

from collections.abc import Sequence

from utils.datasets.card import Card
from utils.datasets.labelled import Labelled, check_templates, true_false
from utils.inputs import checked

TEMPLATES = {
    "was": "The {subject} was {adjective}.",
    "found": "I found the {subject} {adjective}, to be honest.",
    "was not": "The {subject} was not {adjective}.",
}
NEGATED = {"was not"}
SUBJECTS = ("film", "meal", "hotel", "concert", "novel", "service")
GLAD = (
    "wonderful excellent delightful superb brilliant charming lovely fantastic marvellous splendid enjoyable "
    "impressive beautiful outstanding terrific perfect pleasant magnificent remarkable refreshing gorgeous "
    "captivating satisfying exquisite amazing heartwarming inspiring fabulous stunning memorable"
).split()
SORRY = (
    "awful dreadful terrible boring horrible disappointing dull lousy mediocre tedious unpleasant atrocious "
    "pathetic appalling miserable disgusting annoying depressing tasteless rubbish ugly shoddy frustrating abysmal "
    "poor bland insulting unbearable hideous forgettable"
).split()

CARD = Card(
    name="sentiment",
    what="Is the writer glad or sorry?",
    how_made=(
        "Written for this course: 30 glad and 30 sorry adjectives, each with two of six subjects in each template. "
        "In the negated template the label is the opposite of the adjective's own tone."
    ),
    n=120,
    licence="CC BY 4.0",
    leaks=(
        "One word carries the label. A split by adjectives hides the very words met in training, not their spelling: "
        "un-, dis- and -ful are left for character n-grams to find.",
        "Templates are short: this is sentiment of a word in a frame, not of real reviews.",
        "'Not awful' is faint praise: the negated labels are less certain than the plain ones.",
    ),
)


@checked
def sentiment(templates: Sequence[str] = ("was",)) -> Labelled:
    """120 sentences a template, label True when the tone is glad. The group is two adjectives of
    opposite tone with the same subjects.

    Sentences of one `pair` share subject and place in the list; their adjectives differ in tone.
    Notes: subject, adjective, negated. Raises ValueError for an unknown template.
    """
    check_templates(templates, TEMPLATES)
    rows = []
    for t, template in enumerate(templates):
        for i, words in enumerate(zip(GLAD, SORRY, strict=True)):
            for k in range(2):
                subject = SUBJECTS[(2 * i + k + t) % len(SUBJECTS)]
                for adjective in words:
                    rows.append(
                        {
                            "text": TEMPLATES[template].format(subject=subject, adjective=adjective),
                            "label": (adjective in GLAD) != (template in NEGATED),
                            "group": " or ".join(words),
                            "template": template,
                            "pair": (t * len(GLAD) + i) * 2 + k,
                            "subject": subject,
                            "adjective": adjective,
                            "negated": template in NEGATED,
                        }
                    )
    return true_false(rows, "sentiment", CARD)
