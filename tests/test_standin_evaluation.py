"""utils.standin.evaluation: measures by their definitions, and MLPs that are really replaced."""

from dataclasses import replace

import pytest
import torch

from utils.standin import (
    Transcoder,
    block_fits,
    harvest,
    hooks_of,
    output_means,
    random_transcoder,
    replaced_loss,
)

D, N = 32, 64
QUIET = {"progress": False}


def texts(n=5, length=20, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [[0, *torch.randint(3, 300, (length + i,), generator=generator).tolist()] for i in range(n)]


def a_set(**kwargs):
    return {block: random_transcoder(block, D, N, seed=block, **kwargs) for block in (0, 1)}


def constant(layer, value):
    """A transcoder that writes the same at every position."""
    one = random_transcoder(layer, D, N, k=1)
    return replace(one, W_dec=torch.zeros(N, D), b_dec=value)


def read(model, rows, block):
    parts = [found[block] for found in harvest(model, rows, [block])]
    return tuple(torch.cat(each) for each in zip(*parts))


# ------------------------------------------------------------------------------------------- unexplained variance


@pytest.mark.parametrize("skip", [False, True])
def test_measures_by_their_definitions(tiny_model, skip):
    made = a_set(skip=skip)
    fits = block_fits(tiny_model, made, texts())
    for block, one in made.items():
        x, y = read(tiny_model, texts(), block)
        latents = one.encode(x)
        error = (y - one(x)).double().square().sum()
        assert fits[block].unexplained == pytest.approx(
            float(error / (y - y.mean(0)).double().square().sum()), rel=1e-4
        )
        assert fits[block].l0 == pytest.approx(float((latents > 0).sum(1).float().mean()))
        share = (latents > 0).float().mean(0)
        assert fits[block].dead == pytest.approx(float((share == 0).float().mean()))
        assert fits[block].dense == pytest.approx(float((share > 0.1).float().mean()))
        assert (fits[block].n, fits[block].n_massive, fits[block].layer) == (len(y), 0, block)


def test_the_mean_explains_nothing(tiny_model):
    _, y = read(tiny_model, texts(), 0)
    assert block_fits(tiny_model, {0: constant(0, y.mean(0))}, texts())[0].unexplained == pytest.approx(1, abs=1e-4)


def test_massive_outputs_are_not_counted(tiny_model):
    one = random_transcoder(0, D, N)
    _, y = read(tiny_model, texts(), 0)
    bound = float(y.norm(dim=1).median())
    fit = block_fits(tiny_model, {0: replace(one, massive_norm=bound)}, texts())[0]
    assert fit.n_massive == int((y.norm(dim=1) > bound).sum()) and fit.n == len(y) - fit.n_massive
    with pytest.raises(ValueError, match="texts hold 0 ordinary token"):
        block_fits(tiny_model, {0: replace(one, massive_norm=1e-9)}, texts())


# ------------------------------------------------------------------------------------------------ replaced MLPs


def losses(model, rows, hooks):
    """Token-weighted next-token loss, the start's own prediction left out."""
    total, n = 0.0, 0
    for row in rows:
        ids = torch.tensor([row])
        logits = model.run_with_hooks(ids, fwd_hooks=hooks)
        total += float(torch.nn.functional.cross_entropy(logits[0, 1:-1], ids[0, 2:], reduction="sum"))
        n += len(row) - 2
    return total / n


def writing(block, make):
    """Hooks that put make(x) in place of what an MLP writes, but at the document start."""
    read_at, written_at = hooks_of(block)
    seen = {}

    def remember(x, hook):
        seen["x"] = x

    def put(y, hook):
        return torch.cat([y[:, :1], make(seen["x"])[:, 1:].expand_as(y[:, 1:])], dim=1)

    return [(read_at, remember), (written_at, put)]


@pytest.mark.parametrize("blocks", [[0], [1], [0, 1]])
def test_the_four_losses_are_those_of_four_models(tiny_model, blocks):
    made = {block: one for block, one in a_set(skip=True).items() if block in blocks}
    means = output_means(tiny_model, texts(seed=3), [0, 1])
    found = replaced_loss(tiny_model, made, texts(), means, **QUIET)
    rows = texts()
    for wanted, make in {
        "clean": None,
        "spliced": lambda block: made[block],
        "mean": lambda block: lambda x: means[block].expand_as(x),
        "zero": lambda block: torch.zeros_like,
    }.items():
        hooks = [] if make is None else [hook for block in blocks for hook in writing(block, make(block))]
        assert getattr(found, wanted) == pytest.approx(losses(tiny_model, rows, hooks), abs=1e-5), wanted
    assert found.n == sum(len(row) - 2 for row in rows)
    assert found.n_left == len(rows) * len(blocks)
    assert len(found.per_text) == len(rows)


def test_the_mlp_itself_recovers_everything_and_the_mean_nothing(tiny_model):
    means = output_means(tiny_model, texts(), [0])
    found = replaced_loss(tiny_model, {0: constant(0, means[0])}, texts(), means, **QUIET)
    assert found.against_mean == pytest.approx(0, abs=1e-3)

    class Itself(Transcoder):
        def __call__(self, x):
            return tiny_model.blocks[0].mlp.original_component(x)

    one = random_transcoder(0, D, N)
    itself = Itself(**{name: getattr(one, name) for name in ("layer", "W_enc", "b_enc", "W_dec", "b_dec", "k")})
    found = replaced_loss(tiny_model, {0: itself}, texts(), means, **QUIET)
    assert found.against_zero == pytest.approx(1, abs=1e-3)


def test_massive_tokens_keep_what_the_mlp_writes(tiny_model):
    made = {0: replace(random_transcoder(0, D, N), massive_norm=1e-9)}
    means = output_means(tiny_model, texts(), [0])
    found = replaced_loss(tiny_model, made, texts(), means, **QUIET)
    assert found.spliced == found.zero == pytest.approx(found.clean, abs=1e-6)
    assert found.n_left == sum(map(len, texts()))


def test_means_by_their_definition(tiny_model):
    means = output_means(tiny_model, texts(), [0, 1])
    for block in (0, 1):
        torch.testing.assert_close(means[block], read(tiny_model, texts(), block)[1].mean(0), atol=1e-6, rtol=1e-4)
    _, y = read(tiny_model, texts(), 0)
    bound = float(y.norm(dim=1).median())
    kept = y[y.norm(dim=1) <= bound].mean(0)
    torch.testing.assert_close(output_means(tiny_model, texts(), [0], bounds={0: bound})[0], kept, atol=1e-6, rtol=1e-4)


# ------------------------------------------------------------------------------------------------------ bad input


def test_bad_input_is_named(tiny_model):
    made = a_set()
    means = output_means(tiny_model, texts(), [0, 1])
    with pytest.raises(ValueError, match=r"texts\[0\].*has 2 tokens, at least 3 are needed"):
        replaced_loss(tiny_model, made, [[0, 5]], means, **QUIET)
    with pytest.raises(ValueError, match=r"texts\[0\].*has 1 token, at least 2 are needed"):
        block_fits(tiny_model, made, [[0]])
    with pytest.raises(ValueError, match=r"means: none for block 1; there are \[0\]"):
        replaced_loss(tiny_model, made, texts(), {0: means[0]}, **QUIET)
    with pytest.raises(ValueError, match=r"means\[1\] must have shape \(32,\)"):
        replaced_loss(tiny_model, made, texts(), means | {1: torch.zeros(4)}, **QUIET)
    with pytest.raises(ValueError, match=r"transcoders\[1\] was made for block 0"):
        block_fits(tiny_model, {1: made[0]}, texts())
    with pytest.raises(ValueError, match="blocks is empty"):
        block_fits(tiny_model, {}, texts())
    with pytest.raises(ValueError, match="transcoders: .*none|no transcoders"):
        replaced_loss(tiny_model, {}, texts(), means, **QUIET)
    with pytest.raises(ValueError, match="texts hold no ordinary token for block 0"):
        output_means(tiny_model, texts(), [0], bounds={0: 1e-9})
