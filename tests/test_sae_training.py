"""utils.sae.training: it learns, it can be stopped and started, and it says what is wrong with its input."""

import math

import pytest
import torch

from utils.sae import (
    BatchTopKSAE,
    GatedSAE,
    JumpReLUSAE,
    MatryoshkaSAE,
    Record,
    ReLUSAE,
    Settings,
    TopKSAE,
    input_scale,
    learning_rate_at,
    shuffled,
    train,
)

D, N = 8, 12  # width, number of latents
QUIET = {"progress": False}


def toy(n_batches=60, batch=64, seed=0, offset=0.0, size=1.0):
    """Sums of a few of 6 orthogonal directions in 8 dimensions; returns the batches and the directions."""
    generator = torch.Generator().manual_seed(seed)
    directions = torch.linalg.qr(torch.randn(D, D, generator=torch.Generator().manual_seed(99)))[0][:6]
    on = torch.rand(n_batches, batch, 6, generator=generator) < 0.15
    amounts = on * (0.5 + torch.rand(n_batches, batch, 6, generator=generator))
    return list(size * (amounts @ directions + offset)), directions


MAKE = {
    "relu": lambda **kw: ReLUSAE(D, N, l1=0.5, **kw),
    "topk": lambda **kw: TopKSAE(D, N, k=2, **kw),
    "batchtopk": lambda **kw: BatchTopKSAE(D, N, k=1, **kw),
    "matryoshka": lambda **kw: MatryoshkaSAE(D, N, k=1, groups=(6, N), **kw),
    "jumprelu": lambda **kw: JumpReLUSAE(D, N, l0=1.0, bandwidth=1.0, threshold=0.5, **kw),
    "gated": lambda **kw: GatedSAE(D, N, l1=2.0, **kw),
}
every_kind = pytest.mark.parametrize("kind", MAKE)


def make(kind, **kwargs):
    return MAKE[kind](**kwargs)


# ------------------------------------------------------------------------------------------ it learns


@pytest.mark.slow
@every_kind
def test_training_recovers_known_directions(kind):
    """Every kind: the loss falls, all six true directions are found, rows keep length 1, and it holds on new data."""
    batches, directions = toy(300)
    sae = make(kind)
    log = train(sae, batches, Settings(300, learning_rate=3e-2, warm_up=10), **QUIET)
    assert log[-1].loss < 0.4 * log[0].loss and log[-1].unexplained < 0.1
    cosines = (directions @ sae.W_dec.detach().t()).max(1).values
    assert cosines.min() > 0.98, cosines
    torch.testing.assert_close(sae.W_dec.norm(dim=1), torch.ones(N))
    assert not sae.training
    x = torch.cat(toy(5, seed=1)[0])  # in the model's own units, as training was given them
    assert (x - sae(x)).square().sum() / (x - x.mean(0)).square().sum() < 0.15


@every_kind
def test_the_scale_of_the_data_changes_nothing(kind):
    """Inputs 128 times as large, and off centre: the same dictionary, latents 128 times as large."""
    settings = Settings(40, learning_rate=1e-2, warm_up=5)
    small, large = make(kind), make(kind)
    train(small, toy(40, offset=0.3)[0], settings, **QUIET)
    train(large, toy(40, offset=0.3, size=128.0)[0], settings, **QUIET)
    torch.testing.assert_close(large.W_dec, small.W_dec)  # a power of two: every step is the same to the bit
    x = toy(1, seed=5, offset=0.3)[0][0]
    torch.testing.assert_close(large(128 * x), 128 * small(x))


def test_the_bias_starts_at_the_mean_of_the_first_batch():
    batches, _ = toy(1, offset=5.0)
    sae = TopKSAE(D, N, k=2)
    train(sae, batches, Settings(1, learning_rate=1e-9), scale=1.0, **QUIET)
    torch.testing.assert_close(sae.b_dec.detach(), batches[0].mean(0))


def test_input_scale():
    assert input_scale(torch.tensor([[3.0, 4.0], [0.0, 5.0]])) == pytest.approx(math.sqrt(2) / 5)
    x = 7 * torch.randn(100, 16)
    assert (input_scale(x) * x).square().sum(-1).mean().item() == pytest.approx(16, rel=1e-4)
    for bad, match in (
        (torch.zeros(0, 4), "x must have at least one row"),
        (torch.zeros(4), "x has shape"),
        (torch.zeros(3, 4), "x must have a mean squared length that is a positive number, got 0"),
        (torch.full((3, 4), math.nan), "x holds 12 NaN"),
    ):
        with pytest.raises(ValueError, match=match):
            input_scale(bad)


def test_learning_rate_rises_stays_and_falls():
    settings = Settings(steps=100, learning_rate=2.0, warm_up=10, decay=0.2)
    rates = [learning_rate_at(step, settings) for step in range(100)]
    assert rates[0] == pytest.approx(0.2) and rates[9] == 2.0 == rates[79]
    assert all(a < b for a, b in zip(rates[:9], rates[1:10]))
    assert rates[90] == pytest.approx(1.0) and 0 < rates[99] < 0.11
    flat = Settings(steps=5, learning_rate=1.0, warm_up=0, decay=0.0)
    assert [learning_rate_at(step, flat) for step in range(5)] == [1.0] * 5


def test_the_log():
    seen = []
    sae = TopKSAE(D, N, k=2, dead_after=64)
    log = train(sae, toy(25)[0], Settings(25), log_every=10, on_record=lambda log: seen.append(len(log)), **QUIET)
    assert [record.step for record in log] == [0, 10, 20, 24] and seen == [1, 2, 3, 4]
    assert [record.tokens for record in log] == [64, 704, 1344, 1600]
    assert all(0 <= r.dead <= 1 and 0 < r.l0 <= 2 and r.seconds >= 0 and r.loss > 0 for r in log)
    assert [r.seconds for r in log] == sorted(r.seconds for r in log)
    assert log[-1].learning_rate < log[-2].learning_rate < 1e-3


def test_the_auxiliary_loss_brings_dead_latents_back():
    def log(auxiliary):
        sae = TopKSAE(D, 16, k=1, dead_after=500, auxiliary=auxiliary)
        with torch.no_grad():  # weak ones, that are never the first
            sae.W_enc[:, 6:] *= 0.01
        return train(sae, toy(150)[0], Settings(150, learning_rate=1e-2, decay=0.0), **QUIET)

    with_it, without = log(True), log(False)
    assert without[-1].dead == max(record.dead for record in without) > 0.5  # nothing ever comes back
    assert with_it[-1].dead < max(record.dead for record in with_it)


# ----------------------------------------------------------------------------- stopped and started


class Stop(Exception):
    pass


def stopped(batches, at, error=KeyboardInterrupt):
    for i, batch in enumerate(batches):
        if i == at:
            raise error
        yield batch


@every_kind
@pytest.mark.parametrize("error", [KeyboardInterrupt, Stop])
def test_resumed_equals_uninterrupted(kind, error, tmp_path):
    """Weights to the last bit, and the log but for its clock."""
    batches, _ = toy(40)
    settings = Settings(40, learning_rate=1e-2, warm_up=5)
    whole = make(kind, dead_after=500)
    expected = train(whole, batches, settings, log_every=4, **QUIET)

    path = tmp_path / "run" / "checkpoint.safetensors"
    options = dict(log_every=4, checkpoint=path, checkpoint_every=10, **QUIET)
    with pytest.raises(error):
        train(make(kind, dead_after=500), stopped(batches, 27, error), settings, **options)
    assert path.exists() and [p.name for p in path.parent.iterdir()] == ["checkpoint.safetensors"]
    with pytest.raises(error):  # stopped again before the next checkpoint
        train(make(kind, dead_after=500), stopped(batches, 29, error), settings, **options)
    resumed = make(kind, seed=7, dead_after=500)  # whatever it starts from is replaced
    log = train(resumed, batches, settings, **options)
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name
    assert torch.equal(resumed.tokens_since_fired, whole.tokens_since_fired)
    assert [r.step for r in log] == [r.step for r in expected]
    assert [r.loss for r in log] == [r.loss for r in expected] and [r.dead for r in log] == [r.dead for r in expected]
    assert [r.seconds for r in log] == sorted(r.seconds for r in log)
    assert not path.exists()  # a finished run leaves nothing to go on from


def test_a_checkpoint_keeps_the_scale_it_began_with(tmp_path):
    batches, _ = toy(20, size=9.0)
    path = tmp_path / "c.safetensors"
    options = dict(checkpoint=path, checkpoint_every=5, **QUIET)
    with pytest.raises(KeyboardInterrupt):
        train(make("topk"), stopped(batches, 8), Settings(20), scale=0.25, **options)
    with pytest.raises(ValueError, match="scale"):
        train(make("topk"), batches, Settings(20), scale=0.5, **options)
    a, b = make("topk"), make("topk")
    train(a, batches, Settings(20), **options)
    train(b, batches, Settings(20), scale=0.25, **QUIET)
    assert torch.equal(a.W_enc, b.W_enc) and torch.equal(a.b_dec, b.b_dec)


def interrupted(tmp_path, kind="topk"):
    path = tmp_path / "c.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train(make(kind), stopped(toy(20)[0], 8), Settings(20), checkpoint=path, checkpoint_every=5, **QUIET)
    return path


@pytest.mark.parametrize("how", ["cut", "empty", "foreign", "no note", "text"])
def test_corrupt_checkpoints_are_named(how, tmp_path):
    path = interrupted(tmp_path)
    if how == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "text":
        path.write_text("not a checkpoint at all, but long enough to look like one")
    else:
        from safetensors.torch import save_file

        save_file({"x": torch.zeros(3)}, path, metadata={"note": "{}"} if how == "foreign" else None)
    with pytest.raises(ValueError, match=r"c\.safetensors can't be read .*: delete it to start again"):
        train(make("topk"), toy(20)[0], Settings(20), checkpoint=path, **QUIET)


def test_a_checkpoint_of_another_run_is_named(tmp_path):
    path = interrupted(tmp_path)
    with pytest.raises(ValueError, match="settings: .* is of another run: steps is 20 there, 21 here"):
        train(make("topk"), toy(21)[0], Settings(21), checkpoint=path, **QUIET)
    for other, words in (
        (make("gated"), "kind is 'TopKSAE' there, 'GatedSAE' here"),
        (TopKSAE(D, N + 1, k=2), "d_sae is 12 there, 13 here"),
        (TopKSAE(D, N, k=4), "k is 2 there, 4 here"),
        (BatchTopKSAE(D, N, k=2), "kind is"),
        (TopKSAE(D, N, k=2, auxiliary=False), "auxiliary is True there, False here"),
        (make("topk", dead_after=7), "dead_after is 200000 there, 7 here"),
    ):
        before = {name: value.clone() for name, value in other.state_dict().items()}
        with pytest.raises(ValueError, match=f"is of another SAE: .*{words}"):
            train(other, toy(20)[0], Settings(20), checkpoint=path, **QUIET)
        assert all(torch.equal(value, before[name]) for name, value in other.state_dict().items())
    train(make("topk"), toy(20)[0], Settings(20), checkpoint=path, **QUIET)


@pytest.mark.parametrize("how", ["another seed", "another order", "another size", "half precision"])
def test_a_checkpoint_of_other_batches_is_named(how, tmp_path):
    """The docstring promised it, and went on with any batches: the weights were then of neither run."""
    path, good = interrupted(tmp_path), toy(20)[0]
    other = {
        "another seed": toy(20, seed=1)[0],
        "another order": [good[1], good[0], *good[2:]],
        "another size": [good[0][:-1], *good[1:]],
        "half precision": [good[0].half(), *good[1:]],
    }[how]
    sae = make("topk", seed=3)
    before = {name: value.clone() for name, value in sae.state_dict().items()}
    with pytest.raises(ValueError, match=r"batches: the checkpoint .* was made with others"):
        train(sae, other, Settings(20), checkpoint=path, **QUIET)
    assert all(torch.equal(value, before[name]) for name, value in sae.state_dict().items()) and path.exists()
    train(make("topk"), good, Settings(20), checkpoint=path, **QUIET)


@pytest.mark.parametrize("tensor", range(3))
def test_one_flipped_bit_is_named(tensor, tmp_path):
    """Anywhere: weights, moments or the note."""
    path = interrupted(tmp_path)
    raw = bytearray(path.read_bytes())
    header = 8 + int.from_bytes(raw[:8], "little")
    place = (raw.index(b"learning_rate"), header + 40, len(raw) - 40)[tensor]
    raw[place] ^= 1
    path.write_bytes(raw)
    with pytest.raises(ValueError, match=r"c\.safetensors (is damaged|can't be read).*: delete it to start again"):
        train(make("topk"), toy(20)[0], Settings(20), checkpoint=path, **QUIET)


# ----------------------------------------------------------------------------- however it ends


@every_kind
@pytest.mark.parametrize("error", [KeyboardInterrupt, Stop])
def test_a_stopped_run_leaves_the_models_units(kind, error):
    """As good as a run of so many steps: rows of length 1, biases and thresholds in units of the data, eval mode."""
    batches, _ = toy(40, offset=2.0, size=16.0)
    settings = {"learning_rate": 1e-2, "warm_up": 5, "decay": 0.0}
    sae, whole = make(kind), make(kind)
    with pytest.raises(error):
        train(sae, stopped(batches, 30, error), Settings(40, **settings), **QUIET)
    train(whole, batches, Settings(30, **settings), **QUIET)
    assert not sae.training
    torch.testing.assert_close(sae.W_dec.norm(dim=1), torch.ones(N))
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(sae.state_dict()[name], value, atol=1e-4, rtol=1e-5)


def test_interrupted_between_the_parts_of_a_step(monkeypatch):
    sae = make("topk")
    monkeypatch.setattr(sae, "count", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    batches, _ = toy(3, offset=5.0)
    with pytest.raises(KeyboardInterrupt):
        train(sae, batches, Settings(3, learning_rate=1e-9), **QUIET)
    assert not sae.training
    torch.testing.assert_close(sae.b_dec.detach(), batches[0].mean(0), atol=1e-3, rtol=1e-3)


def test_a_run_that_never_began_changes_nothing():
    sae = make("jumprelu")
    before = {name: value.clone() for name, value in sae.state_dict().items()}
    for batches in ([], [torch.zeros(4, D)], [torch.full((4, D), math.nan)]):
        with pytest.raises(ValueError):
            train(sae, batches, Settings(3), **QUIET)
        assert not sae.training
        assert all(torch.equal(value, before[name]) for name, value in sae.state_dict().items())


def test_the_same_object_goes_on_after_an_interrupt(tmp_path):
    """A learner stops the cell and runs it again: the same result as without the stop."""
    batches, _ = toy(40)
    whole, sae = make("topk"), make("topk")
    train(whole, batches, Settings(40), **QUIET)
    options = {"checkpoint": tmp_path / "c.safetensors", "checkpoint_every": 10, **QUIET}
    with pytest.raises(KeyboardInterrupt):
        train(sae, stopped(batches, 17), Settings(40), **options)
    train(sae, batches, Settings(40), **options)
    assert all(torch.equal(value, whole.state_dict()[name]) for name, value in sae.state_dict().items())


# ---------------------------------------------------------------------------------------- bad input


def test_bad_batches_are_named():
    good = toy(5)[0]

    def run(batches, steps=5):
        train(make("topk"), batches, Settings(steps), **QUIET)

    bad = good[2].clone()
    bad[0, 0] = math.nan
    with pytest.raises(ValueError, match=r"batches\[2\] holds NaN or infinite"):
        run([*good[:2], bad, *good[3:]])
    with pytest.raises(ValueError, match=r"batches\[1\] must have shape \(batch, 8\), .*got \(64, 5\)"):
        run([good[0], good[1][:, :5]])
    with pytest.raises(ValueError, match=r"batches\[0\] must have shape \(batch, 8\), .*got \(8,\)"):
        run([good[0][0]])
    with pytest.raises(ValueError, match=r"batches\[1\] must have shape .* at least one row, got \(0, 8\)"):
        run([good[0], good[0][:0]])
    with pytest.raises(ValueError, match=r"batches\[0\] must have shape .*, got list"):
        run([good[0].tolist()])
    with pytest.raises(TypeError, match=r"batches\[0\] must hold floating-point numbers, got torch.int64"):
        run([good[0].long()])
    with pytest.raises(ValueError, match="batches ended after 5 steps, expected 6"):
        run(good, steps=6)
    with pytest.raises(ValueError, match="batches ended after 0 steps"):
        run([])
    with pytest.raises(ValueError, match="x must have a mean squared length"):
        run([torch.zeros(4, D)])


def test_half_precision_batches_are_scaled_in_full_precision():
    """Activations of length 20,000 are fine in float16; their scaled squares are not."""
    batches = [(1000 * batch).half() for batch in toy(3)[0]]
    a, b = make("topk"), make("topk")
    train(a, batches, Settings(3), **QUIET)
    train(b, [batch.float() for batch in batches], Settings(3), **QUIET)
    assert torch.equal(a.W_enc, b.W_enc)


def test_a_loss_that_runs_away_is_named():
    sae = make("topk")
    sae.loss = lambda x: TopKSAE.loss(sae, x)._replace(total=torch.tensor(math.inf))
    with pytest.raises(ValueError, match="the loss is inf at step 0: lower settings.learning_rate"):
        train(sae, toy(3)[0], Settings(3), **QUIET)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"steps": 2.5}, "steps must be a whole number"),
        ({"steps": 5, "decay": 1.5}, "decay must be at most 1, got 1.5"),
        ({"steps": 5, "decay": math.nan}, "decay must be a finite number"),
        ({"steps": 5, "learning_rate": 0.0}, "learning_rate must be above 0, got 0.0"),
        ({"steps": 5, "learning_rate": math.inf}, "learning_rate must be a finite number"),
        ({"steps": 5, "warm_up": -1}, "warm_up must be at least 0"),
        ({"steps": 5, "clip": 0}, "clip must be above 0"),
    ],
)
def test_bad_settings_are_named(settings, match):
    with pytest.raises((TypeError, ValueError), match=match):
        Settings(**settings)


@pytest.mark.parametrize("name", ["log_every", "checkpoint_every"])
def test_bad_intervals_are_named(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        train(make("topk"), toy(3)[0], Settings(3), **{name: 0}, **QUIET)


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan])
def test_bad_scale_is_named(scale):
    with pytest.raises(ValueError, match="scale must be"):
        train(make("topk"), toy(3)[0], Settings(3), scale=scale, **QUIET)


# ------------------------------------------------------------------------------------- mixing a stream


def rows(n, start=0):
    return torch.arange(start, start + n).float()[:, None].repeat(1, 2)


def test_shuffled_gives_each_row_once_mixed():
    chunks = [rows(n, start) for n, start in ((7, 0), (50, 7), (1, 57), (100, 58), (42, 158))]
    batches = list(shuffled(iter(chunks), batch=10, buffer=40))
    assert all(batch.shape == (10, 2) for batch in batches) and len(batches) == 20
    seen = torch.cat(batches)[:, 0]
    assert sorted(seen.tolist()) == list(range(200))
    inside = [batch[:, 0].sort().values.diff().max() for batch in batches]
    assert max(inside) > 5 and not torch.equal(seen, seen.sort().values)


def test_shuffled_drops_less_than_a_batch():
    batches = list(shuffled([rows(33)], batch=10, buffer=20))
    assert len(batches) == 3 and len(set(torch.cat(batches)[:, 0].tolist())) == 30
    assert list(shuffled([rows(9)], batch=10, buffer=20)) == [] == list(shuffled([], batch=10, buffer=20))


def test_shuffled_keeps_the_buffer_half_full():
    """Each batch is drawn from at least half a buffer, until the stream ends: neighbours are really mixed."""
    read = []

    def chunks():
        for i in range(50):
            read.append(i)
            yield rows(10, 10 * i)

    stream = shuffled(chunks(), batch=5, buffer=100)
    given = 0
    for batch in stream:
        given += len(batch)
        if len(read) < 50:
            assert 50 <= 10 * len(read) - given + len(batch) <= 110
    assert given == 500


def test_shuffled_seeds():
    chunks = [rows(10, 10 * i) for i in range(20)]
    a, b, c = (torch.cat(list(shuffled(chunks, 10, 50, seed=seed))) for seed in (0, 0, 1))
    assert torch.equal(a, b) and not torch.equal(a, c)


def test_shuffled_bad_sizes():
    with pytest.raises(ValueError, match=r"buffer must hold at least two batches \(20 rows\), got 19"):
        next(shuffled([rows(50)], batch=10, buffer=19))
    with pytest.raises(ValueError, match="batch must be at least 1, got 0"):
        next(shuffled([rows(50)], batch=0, buffer=19))


def test_record_is_plain_numbers():
    log = train(make("batchtopk"), toy(2)[0], Settings(2), **QUIET)
    assert all(type(value) in (int, float) for value in vars(log[0]).values()) and isinstance(log[0], Record)
