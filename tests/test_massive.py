"""utils.reading.massive: one rule, with its three references."""

import numpy as np
import pytest
import torch

from utils.reading import MASSIVE, is_massive, massive_tokens, residual_norms, typical_norm


def vectors(*lengths):
    """One vector of each length, in four dimensions."""
    return torch.tensor(lengths)[:, None] * torch.tensor([0.5, -0.5, 0.5, 0.5])


def test_massive_tokens_are_those_far_above_the_typical_one():
    acts = torch.ones(10, 4)
    acts[3] *= 5
    acts[7] *= 3.9
    assert massive_tokens(acts).tolist() == [i == 3 for i in range(10)]
    assert massive_tokens(acts, factor=3).sum() == 2
    torch.testing.assert_close(residual_norms(acts)[:4], torch.tensor([2.0, 2.0, 2.0, 10.0]))
    assert massive_tokens(acts.reshape(2, 5, 4)).shape == (2, 5)
    # long vectors in half precision overflow when squared; the norm is taken in float32
    assert torch.isfinite(residual_norms(torch.full((2, 4), 3e4, dtype=torch.float16))).all()


def test_the_typical_length_is_that_of_ordinary_tokens():
    acts = vectors(1.0, 2.0, 3.0, 100.0, 100.0)
    assert typical_norm(acts) == pytest.approx(2.0)  # the median of all five would be 3
    assert typical_norm(vectors(7.0)) == pytest.approx(7.0)
    assert massive_tokens(acts).tolist() == is_massive(acts, 2.0).tolist() == [False] * 3 + [True] * 2


def test_the_rule_does_not_move_with_the_batch():
    """What is made from one set and used on others keeps the length it was made with."""
    acts = vectors(1.0, 1.1, 30.0, 31.0, 32.0)
    assert not massive_tokens(acts).any()  # a batch of mostly massive tokens finds itself ordinary
    assert is_massive(acts, typical=1.0).tolist() == [False, False, True, True, True]


def test_a_recorded_threshold_is_used_as_it_stands():
    acts = vectors(3.9, 4.1)
    assert is_massive(acts, MASSIVE * 1.0, factor=1).tolist() == is_massive(acts, 1.0).tolist() == [False, True]
    assert not is_massive(acts, float("inf"), factor=1).any()


def test_numbers_come_in_any_form():
    acts = vectors(1.0, 1.0, 1.0, 9.0)
    for form in (acts, acts.numpy(), acts.double(), acts.half(), acts.tolist(), np.asarray(acts, dtype=np.float64)):
        assert is_massive(form, 1.0).tolist() == massive_tokens(form).tolist() == [False] * 3 + [True]


def test_it_works_on_what_needs_gradients_and_on_nothing_at_all():
    assert not massive_tokens(torch.zeros(5, 4)).any() and typical_norm(torch.zeros(5, 4)) == 0
    assert is_massive(vectors(1.0, 9.0).requires_grad_(), 1.0).tolist() == [False, True]


@pytest.mark.parametrize(
    ("acts", "factor", "error"),
    [
        (["a"], 4.0, TypeError),
        (None, 4.0, TypeError),
        (torch.ones(0, 2), 4.0, ValueError),
        (torch.tensor(1.0), 4.0, ValueError),
        (torch.tensor([[float("nan"), 1.0]]), 4.0, ValueError),
        (torch.tensor([[float("inf"), 1.0]]), 4.0, ValueError),
        (torch.ones(3, 2), 0.0, ValueError),
        (torch.ones(3, 2), float("nan"), ValueError),
        (torch.ones(3, 2), "4", TypeError),
    ],
)
def test_bad_input_is_named(acts, factor, error):
    for call in (massive_tokens, typical_norm, lambda acts, factor: is_massive(acts, 1.0, factor)):
        with pytest.raises(error, match="^(acts|factor)"):
            call(acts, factor)


@pytest.mark.parametrize("typical", [0.0, -1.0, float("nan"), True, None, "1"])
def test_a_typical_length_is_above_0(typical):
    with pytest.raises((TypeError, ValueError), match="^typical"):
        is_massive(torch.ones(3, 2), typical)
