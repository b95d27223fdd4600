"""A mistake that any exercise can see: an argument that isn't used."""

import pytest
import torch

from utils.checks import naming
from utils.checks.calling import Mistake


def scaled(numbers, factor, words=()):
    return {"numbers": numbers * factor, "words": list(words)}


ARGS = torch.tensor([1.0, 2.0]), 3.0, ("a", "b")
OTHERS = {"numbers": torch.tensor([2.0, 1.0]), "factor": 4.0, "words": ("a", "c")}


@pytest.mark.parametrize(
    ("attempt", "name"),
    [
        (lambda n, f, w: scaled(n * 0, f, w), "numbers"),
        (lambda n, f, w: scaled(n, 3, w), "factor"),
        (lambda n, f, w: scaled(n, f, ["a", "b"]), "words"),
    ],
)
def test_an_argument_that_is_not_used_is_named(attempt, name):
    with pytest.raises(Mistake, match=f"`{name}` isn't used"):
        naming.reject_unused(attempt, scaled, ARGS, OTHERS)


def test_a_function_that_uses_all_it_is_given_passes():
    naming.reject_unused(scaled, scaled, ARGS, OTHERS)
