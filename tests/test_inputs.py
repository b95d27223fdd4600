"""The doors: what a signature says is what a call is held to, and every message names its argument."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import pytest
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from utils import inputs
from utils.inputs import Count, Fraction, Groups, Labels, Numbers, Seed, Text, Texts, checked

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


@checked
def study(
    acts: Float[Tensor, "n d_model"],
    labels: Bool[Tensor, "n"] | None = None,
    *,
    groups: Groups | None = None,
    mode: Literal["add", "clamp"] = "add",
    n_random: Count = 20,
    share: Fraction = 0.5,
    seed: Seed = 0,
    score: Callable[..., Any] | None = None,
    weights: Mapping[str, float] | None = None,
    normalise: bool = False,
    where: str | Int[Tensor, "n"] = "all",
) -> dict[str, Any]:
    return dict(locals())


@checked
def read(model: TransformerBridge, texts: Texts, name: Text = "a", pair: tuple[int, int] = (0, 1)) -> Sequence[str]:
    return texts


ACTS = torch.randn(4, 3)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: study("text"), TypeError, "acts must be numbers of shape .n, d_model., got the string 'text'"),
        (lambda: study(torch.randn(4)), ValueError, r"acts has shape \(4,\), expected \(n, d_model\)"),
        (lambda: study(ACTS * torch.nan), ValueError, "acts holds 12 NaN or infinite value"),
        (lambda: study(ACTS, [True] * 3), ValueError, r"labels has shape \(3,\), .* with n = 4, as in acts"),
        (lambda: study(ACTS, [0, 1, 2, 0]), ValueError, r"labels.2. must be True or False"),
        (lambda: study(ACTS.to("meta")), TypeError, "acts must be .* got a tensor without ordinary numbers"),
        (lambda: study(ACTS, groups="city"), TypeError, "groups must be a list of group names"),
        (lambda: study(ACTS, mode="push"), ValueError, "mode must be one of 'add', 'clamp', got the string 'push'"),
        (lambda: study(ACTS, mode=3), TypeError, "mode must be one of"),
        (lambda: study(ACTS, n_random=0), ValueError, "n_random must be at least 1, got 0"),
        (lambda: study(ACTS, n_random=10**12), ValueError, "n_random must be at most 10,000,000"),
        (lambda: study(ACTS, n_random=2.0), TypeError, "n_random must be a whole number, got 2.0"),
        (lambda: study(ACTS, n_random=True), TypeError, "n_random must be a whole number, got True"),
        (lambda: study(ACTS, share=1.5), ValueError, "share must be below 1, got 1.5"),
        (lambda: study(ACTS, share=float("nan")), ValueError, "share must be a finite number, got nan"),
        (lambda: study(ACTS, score=3), TypeError, "score must be a function, got 3"),
        (lambda: study(ACTS, weights={"a": "b"}), TypeError, r"weights\['a'\] must be a number"),
        (lambda: study(ACTS, normalise=1), TypeError, "normalise must be True or False, got 1"),
        (lambda: study(ACTS, where=[0.5] * 4), TypeError, "where must be a string or whole numbers of shape"),
        (lambda: study(ACTS, wherever=1), TypeError, "study: got an unexpected keyword argument 'wherever'"),
        (lambda: read("gpt2", ["a"]), TypeError, "model must be a TransformerBridge .*got the string 'gpt2'"),
    ],
)
def test_a_bad_argument_is_named(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


@pytest.mark.parametrize("form", [list, np.array, torch.tensor, pd.Series, tuple], ids=lambda f: f.__name__)
def test_lists_arrays_tensors_and_columns_mean_the_same(form):
    found = study(ACTS, form([True, False, True, True]), groups=form([1, 1, 2, 2]), where=form([0, 1, 2, 3]))
    assert found["labels"].tolist() == [True, False, True, True] and found["labels"].dtype == torch.bool
    assert found["groups"] == [1, 1, 2, 2] and len(set(found["groups"])) == 2
    assert found["where"].tolist() == [0, 1, 2, 3]
    assert torch.equal(study(form(ACTS.tolist()) if form is not pd.Series else ACTS)["acts"].float(), ACTS)


@pytest.mark.parametrize(
    "rows",
    [
        ["0", "1", "1"],
        ["False", "true", "TRUE"],
        [0.0, 1.0, 1.0],
        np.array([0, 1, 1]),
        torch.tensor([0.0, 1.0, 1.0]),
        pd.Series([False, True, True]),
        pd.Series(["0", "1", "1"]),
        [np.bool_(False), np.int64(1), torch.tensor(1)],
    ],
    ids=str,
)
def test_labels_are_never_judged_by_pythons_truth(rows):
    assert inputs.boolean_labels("labels", rows).tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["PAST", "PRES"], r"labels\[0\] must be true or false \(or 1 or 0\), got 'PAST'"),
        ([0, 1, 2], r"labels\[2\] must be True or False"),
        ([0.0, float("nan")], r"labels\[1\] must be"),
        ([True, None], r"labels\[1\] must be .* got None"),
        ([[True], [False]], "labels must have one axis"),
        ("0101", "labels must be a list of labels"),
    ],
)
def test_a_label_that_is_none_is_named_with_its_row(rows, message):
    with pytest.raises((TypeError, ValueError), match=message):
        inputs.boolean_labels("labels", rows)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("one", "texts must be a list of texts, got the string 'one'; for a single one write .texts."),
        (["a", float("nan")], r"texts\[1\] must be a string, got nan"),
        ([], "texts must hold at least 1 text"),
        ({"a": 1}, "texts must be a list of texts, got a dict"),
    ],
)
def test_the_text_that_is_none_is_named(rows, message):
    with pytest.raises((TypeError, ValueError), match=message):
        inputs.texts("texts", rows)


@pytest.mark.parametrize("bad", ["ab", None, [], ["a"], {"a": 1}, [[1], [2, 3]], [1.0, float("inf")], 3.0, object()])
def test_numbers_refuse_what_are_none(bad):
    with pytest.raises((TypeError, ValueError), match="^values"):
        inputs.numbers("values", bad)


def test_axes_that_vary_are_held_against_each_other():
    @checked
    def f(x: Float[Tensor, "*layer n d"], y: Float[Tensor, "*layer n"], z: Float[Tensor, "... 2"]) -> None: ...

    f(torch.zeros(5, 4, 3), torch.zeros(5, 4), torch.zeros(7, 2))
    f(torch.zeros(4, 3), torch.zeros(4), torch.zeros(2))
    with pytest.raises(ValueError, match=r"y has shape \(6, 4\), .*as in x"):
        f(torch.zeros(5, 4, 3), torch.zeros(6, 4), torch.zeros(2))
    with pytest.raises(ValueError, match=r"z has shape \(3,\)"):
        f(torch.zeros(4, 3), torch.zeros(4), torch.zeros(3))


def test_a_dataclass_has_the_same_door():
    @checked
    @dataclass(frozen=True)
    class Point:
        x: float
        names: Sequence[Hashable] = ()

    assert Point(1).x == 1
    with pytest.raises(TypeError, match="x must be a number, got the string 'one'"):
        Point("one")


def test_numbers_keep_their_kind_and_their_content():
    double = np.array([[1.0, 2.0]])
    assert study(double)["acts"].dtype == torch.float64
    assert study(ACTS.half())["acts"].dtype == torch.float16
    assert study(ACTS)["acts"] is ACTS  # nothing is copied that is right already
    assert inputs.numbers("values", torch.tensor([1, 2])).dtype == np.float64
    assert Numbers is not None and Labels is not None


def test_shares_the_docstring_and_the_signature():
    import inspect

    assert "n_random" in inspect.signature(study).parameters and study.__name__ == "study"
