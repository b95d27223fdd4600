"""utils.standin.training: transcoders learn what an MLP does, several blocks at once, and say what is wrong."""

import json
import math

import pytest
import torch

from tests.conftest import save_tiny_model
from utils import models
from utils.sae import Settings
from utils.standin import Plan, block_fits, harvest, hooks_of, linear_map, massive_bounds, train_transcoders
from utils.standin.training import _JumpReLU, _TopK

QUIET = {"progress": False}
SMALL = {"width": 64, "k": 8, "batch": 64, "buffer": 256, "warm_up": 5, "learning_rate": 1e-2}


def texts(n=12, length=40, seed=0):
    """Rows of random ids, the start token first."""
    generator = torch.Generator().manual_seed(seed)
    return [[0, *torch.randint(3, 300, (length,), generator=generator).tolist()] for _ in range(n)]


# --------------------------------------------------------------------------------------------- what is learnt from


def test_harvest_gives_what_each_mlp_reads_and_writes_without_the_start(tiny_model):
    rows = [[0, 5, 9, 40], [0, 7, 7]]
    (found,) = harvest(tiny_model, rows, [1, 0])
    assert list(found) == [1, 0]
    for block, (x, y) in found.items():
        wanted_in, wanted_out = [], []
        for row in (rows[1], rows[0]):  # by length
            _, cache = tiny_model.run_with_cache(torch.tensor([row]))
            wanted_in.append(cache[hooks_of(block)[0]][0, 1:])
            wanted_out.append(cache[hooks_of(block)[1]][0, 1:])
        torch.testing.assert_close(x, torch.cat(wanted_in))
        torch.testing.assert_close(y, torch.cat(wanted_out))


def test_harvest_stops_at_the_last_block_it_needs(tiny_model):
    ran = []
    tiny_model.blocks[1].mlp.hook_in.add_hook(lambda value, hook: ran.append(1))
    list(harvest(tiny_model, texts(2), [0]))
    assert not ran


def test_bounds_are_four_typical_lengths(tiny_model):
    rows = texts(4)
    outputs = torch.cat([found[1][1] for found in harvest(tiny_model, rows, [1])])
    bound = massive_bounds(tiny_model, rows, [1])[1]
    lengths = outputs.norm(dim=1)
    assert bound == pytest.approx(4 * float(lengths[lengths <= 4 * lengths.median()].median()), rel=1e-5)
    assert massive_bounds(tiny_model, rows, [1], factor=2)[1] < bound


def test_the_linear_map_is_the_one_that_made_the_data():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(400, 6, generator=generator)
    weight, bias = torch.randn(6, 3, generator=generator), torch.randn(3, generator=generator)
    found, shift = linear_map(x, x @ weight + bias)
    torch.testing.assert_close(found, weight, atol=1e-3, rtol=0)
    torch.testing.assert_close(shift, bias, atol=1e-3, rtol=0)


def test_the_linear_map_shrinks_where_there_is_little_to_learn():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(40, 20, generator=generator), torch.randn(40, 1, generator=generator)
    plain = torch.linalg.lstsq(x - x.mean(0), y - y.mean(0)).solution
    assert linear_map(x, y)[0].norm() < plain.norm()


def test_a_linear_map_needs_something_to_learn_from():
    with pytest.raises(ValueError, match="x must have at least eight rows"):
        linear_map(torch.zeros(3, 4), torch.zeros(3, 4))
    with pytest.raises(ValueError, match="all are the same"):
        linear_map(torch.ones(30, 4), torch.zeros(30, 4))
    with pytest.raises(ValueError, match="x holds"):
        linear_map(torch.full((30, 4), math.nan), torch.zeros(30, 4))


# -------------------------------------------------------------------------------------------------- what comes out


@pytest.fixture
def loud_model(tmp_path):
    """The tiny model with an MLP whose gate is far from linear, so that there is something to learn."""
    model = models.load_model(save_tiny_model(tmp_path / "loud"), device="cpu")
    with torch.no_grad():
        for block in model.blocks:
            for name, weight in block.mlp.original_component.named_parameters():
                weight.mul_(30 if "gate" in name else 5)
    return model


@pytest.mark.parametrize("change", [{}, {"skip": True}, {"k": None, "l0": 0.05}])
def test_both_blocks_learn_on_the_same_passes_and_hold_on_new_text(loud_model, change):
    plan = Plan(**{**SMALL, "tokens": 64 * 150, **change})
    made = train_transcoders(loud_model, texts(30), [0, 1], plan, **QUIET)
    assert list(made) == [0, 1]
    fits = block_fits(loud_model, {block: one.transcoder for block, one in made.items()}, texts(8, seed=1))
    for block, one in made.items():
        assert len(one.log) == 16 and one.log[-1].step == 149
        assert one.log[-1].learning_rate < one.log[7].learning_rate
        assert one.log[-1].unexplained < 0.8 * one.log[0].unexplained
        assert fits[block].unexplained < 0.8, fits
        assert one.transcoder.layer == block
        if plan.k is not None:
            assert 0 < fits[block].l0 <= 8 + 1e-6
        torch.testing.assert_close(one.transcoder.W_dec.norm(dim=1), torch.ones(64))
        assert (one.transcoder.W_skip is not None) == plan.skip
        assert (one.transcoder.threshold is not None) == (plan.k is None)


def test_the_skip_starts_at_the_ridge_solution(loud_model):
    (found,) = harvest(loud_model, texts(12), [0])
    x, y = found[0]
    trainee = _TopK(32, 64, k=8, skip=True)
    trainee.start_at(torch.cat([x, y], dim=1))
    weight, bias = linear_map(x, y)
    torch.testing.assert_close(trainee.W_skip.detach(), weight)
    torch.testing.assert_close(trainee.b_dec.detach(), bias)


@pytest.mark.parametrize("kind", ["topk", "jumprelu"])
def test_freezing_undoes_both_scales(kind):
    """On scaled inputs it wrote scaled outputs; frozen, it writes the same in the model's units."""
    trainee = _TopK(6, 20, k=3, skip=True, seed=1) if kind == "topk" else _JumpReLU(6, 20, skip=True, seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for value in trainee.parameters():
            value.add_(0.1 * torch.randn(value.shape, generator=generator))
    x = torch.randn(50, 6, generator=generator)
    frozen = trainee.frozen(4, 0.3, 7.0, 12.0)
    latents = trainee.encode(0.3 * x)
    scaled = trainee.decode(latents) + 0.3 * x @ trainee.W_skip
    torch.testing.assert_close(frozen.encode(x), latents.detach() / 7, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(frozen(x), scaled.detach() / 7, atol=1e-5, rtol=1e-4)
    assert (frozen.layer, frozen.massive_norm) == (4, 12.0)
    assert all(not value.requires_grad for value in frozen.tensors().values())


def test_the_auxiliary_loss_reaches_dead_latents():
    trainee = _TopK(6, 20, k=3, skip=False, dead_after=10)
    trainee.tokens_since_fired[5] = 10
    pairs = torch.randn(32, 12, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        trainee.b_enc[5] = -3.0  # off for every input, and yet near enough for the auxiliary loss
        trainee.W_enc[:, 5] *= 3
    losses = trainee.loss(pairs)
    losses.total.backward()
    assert losses.auxiliary > 0 and trainee.W_dec.grad[5].norm() > 0


def test_the_same_seed_gives_the_same_and_another_block_other_directions(tiny_model):
    plan = Plan(**SMALL, tokens=64 * 4)
    first, again = (train_transcoders(tiny_model, texts(), [0, 1], plan, **QUIET) for _ in range(2))
    for block in (0, 1):
        assert torch.equal(first[block].transcoder.W_enc, again[block].transcoder.W_enc)
    alone = train_transcoders(tiny_model, texts(), [1], plan, **QUIET)
    assert torch.equal(first[1].transcoder.W_enc, alone[1].transcoder.W_enc), "the group makes no difference"
    assert not torch.allclose(first[0].transcoder.W_dec, first[1].transcoder.W_dec, atol=0.5)


def test_massive_outputs_are_left_out_and_counted(tiny_model):
    """A token whose MLP output is made enormous must not be learnt from."""

    def shout(value, hook):
        value[:, 3] *= 1000
        return value

    tiny_model.blocks[0].mlp.hook_out.add_hook(shout)
    made = train_transcoders(tiny_model, texts(), [0], Plan(**SMALL, tokens=64 * 6), **QUIET)[0]
    assert made.n_massive == pytest.approx(made.n_read / 40, rel=0.1)
    assert made.transcoder.massive_norm < 1000


def test_the_log_is_handed_out_while_it_trains(tiny_model):
    lines = []
    plan = Plan(**SMALL, tokens=64 * 11)
    made = train_transcoders(tiny_model, texts(), [0], plan, on_record=lambda *line: lines.append(line), **QUIET)
    assert [(block, record.step) for block, record in lines] == [(0, 0), (0, 10)]
    assert tuple(record for _, record in lines) == made[0].log
    json.dumps([record.__dict__ for record in made[0].log], allow_nan=False)


def test_a_buffer_never_holds_more_than_a_chunk_above_its_size(tiny_model, monkeypatch):
    from utils.standin import training

    held = []

    class Watched(training.Mixer):
        def add(self, chunk):
            yield from super().add(chunk)
            held.append(self.n_held)

    monkeypatch.setattr(training, "Mixer", Watched)
    train_transcoders(tiny_model, texts(60), [0], Plan(**SMALL, tokens=64 * 60), **QUIET)
    assert len(held) > 4 and max(held) < 256 + 512


# ------------------------------------------------------------------------------------------------------ bad input


def test_bad_input_is_named(tiny_model):
    plan = Plan(**SMALL, tokens=64 * 2)
    with pytest.raises(ValueError, match=r"texts\[1\].*has 1 token, at least 2 are needed"):
        train_transcoders(tiny_model, [[0, 5, 6], [0]], [0], plan, **QUIET)
    with pytest.raises(ValueError, match="blocks: the model has blocks 0 to 1, got 2"):
        train_transcoders(tiny_model, texts(), [0, 2], plan, **QUIET)
    with pytest.raises(ValueError, match="blocks is empty"):
        train_transcoders(tiny_model, texts(), [], plan, **QUIET)
    with torch.no_grad():
        tiny_model.blocks[1].mlp.original_component.down_proj.weight.fill_(math.nan)
    with pytest.raises(ValueError, match=r"blocks.1.mlp.hook_out holds NaN or infinity for texts\[0\]"):
        train_transcoders(tiny_model, texts(1), [1], plan, **QUIET)


def test_a_learning_rate_that_is_too_high_is_told_with_its_block(tiny_model):
    plan = Plan(**{**SMALL, "learning_rate": 1e30, "tokens": 64 * 20})
    with pytest.raises(ValueError, match="block 0: the loss is .* lower settings.learning_rate"):
        train_transcoders(tiny_model, texts(), [0], plan, **QUIET)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"buffer": 100}, "buffer must hold at least two batches"),
        ({"tokens": 10}, "tokens must be at least one batch"),
        ({"k": 65}, "k must be at most the width"),
        ({"width": 0}, "width must be"),
        ({"decay": 2.0}, "decay must be"),
        ({"l0": -1.0}, "l0 must"),
    ],
)
def test_a_plan_that_cant_be_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Plan(**{**SMALL, "tokens": 6400, **change})


def test_a_plan_says_how_it_is_trained():
    assert Plan(**SMALL, tokens=6400).settings == Settings(100, 1e-2, 5, 0.3)
