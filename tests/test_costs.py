"""utils.costs: the formula against torch's own counter, and energies against arithmetic done by hand."""

import pytest

from tests.conftest import save_tiny_model
from utils import costs
from utils.models import load_model


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "gpt2"])
@pytest.mark.parametrize("n_tokens", [1, 17])
def test_formula_equals_torchs_counter(tmp_path, architecture, n_tokens):
    model = load_model(save_tiny_model(tmp_path, architecture), device="cpu")
    exact = sum(costs.matmul_flops(costs.Architecture.of(model), n_tokens).values())
    counted = costs.counted_flops(model, n_tokens)
    # The counter also sees the product that makes the rotary angles: 2 x d_head / 2 operations a token.
    assert 0 <= counted - exact <= n_tokens * model.cfg.d_head


@pytest.mark.specimen
def test_specimen(specimen):
    parts = costs.matmul_flops(costs.Architecture.of(specimen), 32)
    assert sum(parts.values()) == pytest.approx(costs.counted_flops(specimen, 32), rel=1e-5)
    rule = costs.rule_of_thumb(134_515_008, 32)
    assert sum(parts.values()) == pytest.approx(rule, rel=0.02)


def test_energy():
    machine = costs.Machine("toy", low=10, high=100, why="")
    assert costs.energy_range(1000, machine) == (10, 100)
    assert all(machine.low < machine.high and machine.why for machine in costs.MACHINES)
    assert pytest.approx(83_680) == costs.MUG_OF_TEA_JOULES
    assert costs.in_words(0) == "0.0 mJ" and costs.in_words(999.7) == "1000 J"


@pytest.mark.parametrize(
    "call",
    [
        lambda: costs.matmul_flops(costs.Architecture(1, 2, 1, 1, 2, 3, 4), 0),
        lambda: costs.rule_of_thumb(0, 3),
        lambda: costs.energy_range(-1, costs.MACHINES[0]),
        lambda: costs.energy_range(float("nan"), costs.MACHINES[0]),
        lambda: costs.in_words(-1),
        lambda: costs.in_words(float("inf")),
        lambda: costs.matmul_flops(costs.Architecture(1, 2, 1, 1, 2, 3, 4), True),
    ],
)
def test_bad_numbers_are_refused(call):
    with pytest.raises((TypeError, ValueError), match="^(n_tokens|parameters|flops|joules) must"):
        call()


def test_more_tokens_than_fit_are_refused(tiny_model):
    with pytest.raises(ValueError, match="n_tokens must be at most 64"):
        costs.counted_flops(tiny_model, 65)
    assert costs.rule_of_thumb(10**9, 2 * 10**12) == 4 * 10**21


def test_a_model_without_sizes_is_refused():
    with pytest.raises(TypeError, match="TransformerBridge"):
        costs.Architecture.of("gpt2")
