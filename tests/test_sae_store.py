"""utils.sae.store: which tokens are kept, in what order they come back, and what an interruption leaves."""

import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from utils.reading import activations
from utils.sae import open_store, store, write_store

HOOK = "blocks.1.hook_resid_post"
TEXTS = [f"{'the cat sat on the mat ' * (i % 3 + 1)}and {'dog' * (i % 4)} {i}" for i in range(22)]
QUIET = {"progress": False}


@pytest.fixture(scope="module")
def model(tiny_folder):
    from utils import models

    return models.load_model(tiny_folder, device="cpu")


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    """Shards of 4 texts, and a bound from the first 8, so that a few short texts make several of each."""
    monkeypatch.setattr(store, "SHARD", 4)
    monkeypatch.setattr(store, "SAMPLE", 8)


def all_rows(model, texts=TEXTS, hook=HOOK):
    """Every token but the document start, as `collect` has them: (n, d_model)."""
    found = activations.collect(model, texts, [hook], positions="all", cache=False, progress=False)
    return found[hook][found.position > 0]


def as_set(rows):
    return sorted(map(tuple, np.asarray(rows, dtype=np.float16).tolist()))


@pytest.fixture(scope="module")
def whole(model, tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setattr(store, "SHARD", 4)
    patch.setattr(store, "SAMPLE", 8)
    yield write_store(model, TEXTS, HOOK, tmp_path_factory.mktemp("whole"), massive_factor=1e6, **QUIET)
    patch.undo()


# -------------------------------------------------------------------------------------- what is kept


def test_every_ordinary_token_is_kept_but_the_document_start(model, whole):
    rows = all_rows(model)
    card = whole.card
    assert (card.n, card.n_read, card.n_massive) == (len(rows), len(rows), 0) and len(whole) == len(rows)
    assert (card.hook, card.d_model, card.texts_done, card.texts_total) == (HOOK, 32, 22, 22)
    assert whole.rows.dtype == np.float16 and whole.rows.shape == (len(rows), 32)
    found, expected = torch.tensor(whole.rows.astype(np.float32)), rows
    # the same rows to half precision, in another order: texts are read sorted by length
    distance = torch.cdist(found, expected, compute_mode="donot_use_mm_for_euclid_dist")
    assert distance.min(1).values.max() < 0.01 and distance.min(0).values.max() < 0.01
    assert sorted(path.name for path in whole.rows.filename.parent.iterdir()) == ["rows.f16", "store.json"]


def test_massive_tokens_are_left_out_and_counted(model, tmp_path):
    """One token's embedding is made fifty times as long: it is gone from the store, and nothing else is."""
    hook = "blocks.0.hook_resid_pre"
    weight = next(p for name, p in model.named_parameters() if "embed" in name and p.shape[-1] == 32)
    token = model.tokenizer("7", add_special_tokens=False)["input_ids"][-1]
    with torch.no_grad():
        before = weight[token].clone()
        weight[token] *= 50
    try:
        rows = all_rows(model, hook=hook)
        found = write_store(model, TEXTS, hook, tmp_path, **QUIET)
    finally:
        with torch.no_grad():
            weight[token] = before
    norms = rows.norm(dim=1)
    massive = norms > 20 * norms.median()
    assert 0 < massive.sum() < 10
    assert (found.card.n_massive, found.card.n_read) == (int(massive.sum()), len(rows))
    assert found.card.n == len(rows) - massive.sum() == len(found)
    assert as_set(found.rows) == as_set(rows[~massive].half().numpy())
    assert 3 < found.card.massive_norm / float(norms.median()) < 5


def test_the_factor_moves_the_bound(model, tmp_path):
    low = write_store(model, TEXTS, HOOK, tmp_path / "a", massive_factor=1.0, **QUIET)
    high = write_store(model, TEXTS, HOOK, tmp_path / "b", massive_factor=2.0, **QUIET)
    assert high.card.massive_norm == pytest.approx(2 * low.card.massive_norm)
    assert 0.3 < low.card.n_massive / low.card.n_read < 0.7  # the bound is the median itself
    assert low.card.n + low.card.n_massive == low.card.n_read == high.card.n_read


# ---------------------------------------------------------------------------------- in random order


def test_batches_are_a_permutation(whole):
    batches = list(whole.batches(7))
    assert len(batches) == len(whole) // 7
    assert all(batch.shape == (7, 32) and batch.dtype == torch.float32 for batch in batches)
    given, kept = as_set(torch.cat(batches)), as_set(whole.rows)
    assert len(given) == len(batches) * 7 and set(given) <= set(kept)
    exact = list(whole.batches(len(whole)))
    assert len(exact) == 1 and as_set(exact[0]) == kept


def test_seeds_and_epochs_differ_and_repeat(whole):
    a, b, c = (torch.cat(list(whole.batches(16, seed=seed))) for seed in (0, 0, 1))
    assert torch.equal(a, b) and not torch.equal(a, c)
    two = list(whole.batches(16, epochs=2))
    half = len(two) // 2
    assert torch.equal(torch.cat(two[:half]), a) and not torch.equal(torch.cat(two[half:]), a)


@pytest.mark.parametrize("skip", [0, 1, 5])
def test_skipping_resumes(whole, skip):
    every = list(whole.batches(16, epochs=3))
    per_epoch = len(every) // 3
    for start in (skip, per_epoch + skip, 3 * per_epoch - 1, 3 * per_epoch, 3 * per_epoch + 4):
        rest = list(whole.batches(16, epochs=3, skip=start))
        assert len(rest) == max(0, len(every) - start)
        assert all(torch.equal(x, y) for x, y in zip(rest, every[start:]))


def test_a_batch_is_a_copy(whole):
    batch = next(whole.batches(4))
    batch.zero_()
    assert np.abs(whole.rows).sum() > 0 and next(whole.batches(4)).abs().sum() > 0


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"batch": 0}, "batch must be at least 1, got 0"),
        ({"batch": 2.0}, "batch must be a whole number"),
        ({"batch": 10**6}, "batch must be between 1 and the number of rows"),
        ({"batch": 4, "epochs": 0}, "epochs must be at least 1"),
        ({"batch": 4, "skip": -1}, "skip must be at least 0"),
    ],
)
def test_bad_sizes_are_named(whole, options, match):
    with pytest.raises((TypeError, ValueError), match=match):
        next(whole.batches(**options))


# ----------------------------------------------------------------------------- stopped and started


def stop_at(monkeypatch, n_chunks, error):
    """Make the n-th chunk of activations fail, wherever in a shard that is."""
    real, seen = activations.stream, []

    def failing(*args, **kwargs):
        chunks = real(*args, **kwargs)

        def one_by_one():
            for chunk in chunks:
                seen.append(len(chunk))
                if len(seen) == n_chunks:
                    raise error
                yield chunk

        return one_by_one()

    monkeypatch.setattr(activations, "stream", failing)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("n_chunks", [1, 2, 4])
def test_resumed_equals_uninterrupted(model, whole, tmp_path, monkeypatch, error, n_chunks):
    with monkeypatch.context() as patch:
        stop_at(patch, n_chunks, error)
        with pytest.raises(error):
            write_store(model, TEXTS, HOOK, tmp_path, massive_factor=1e6, **QUIET)
    done = json.loads((tmp_path / "store.json").read_text())["texts_done"]
    assert done == 4 * (n_chunks - 1)  # a chunk is a shard here
    # rows of a shard that wasn't finished are on disk, and not counted: they are read again
    with (tmp_path / "rows.f16").open("ab") as file:
        file.write(b"\x00" * 333)
    found = write_store(model, TEXTS, HOOK, tmp_path, massive_factor=1e6, **QUIET)
    assert found.card == whole.card and np.array_equal(found.rows, whole.rows)


def test_a_half_finished_store_can_be_read(model, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_at(patch, 3, KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt):
            write_store(model, TEXTS, HOOK, tmp_path, **QUIET)
    half = open_store(tmp_path)
    assert half.card.texts_done == 8 and 0 < len(half) == half.card.n
    assert next(half.batches(5)).shape == (5, 32)


def test_a_finished_store_is_not_read_again(model, whole, monkeypatch):
    folder = whole.rows.filename.parent
    stop_at(monkeypatch, 1, AssertionError("the model was run"))
    again = write_store(model, TEXTS, HOOK, folder, massive_factor=1e6, **QUIET)
    assert again.card == whole.card and np.array_equal(again.rows, whole.rows)


# ---------------------------------------------------------------------------------------- bad input


@pytest.fixture()
def small(model, tmp_path):
    return write_store(model, TEXTS[:4], HOOK, tmp_path, **QUIET), tmp_path


def test_other_texts_and_other_hooks_are_named(model, small):
    _, folder = small
    with pytest.raises(ValueError, match="holds blocks.1.hook_resid_post of 4 texts, not .* of 5"):
        write_store(model, TEXTS[:5], HOOK, folder, **QUIET)
    with pytest.raises(ValueError, match="not blocks.0.hook_resid_post of 4: give another folder"):
        write_store(model, TEXTS[:4], "blocks.0.hook_resid_post", folder, **QUIET)
    with pytest.raises(ValueError, match="holds other texts than these: give another folder, or delete this one"):
        write_store(model, TEXTS[1:5], HOOK, folder, **QUIET)
    write_store(model, tuple(TEXTS[:4]), HOOK, folder, **QUIET)


def test_another_model_and_another_rule_are_named(model, small, tiny_folder):
    """Both were taken, and a store of two models, or of two bounds, was the result."""
    from utils import models

    opened, folder = small
    with pytest.raises(ValueError, match="^model: .* holds activations of another model"):
        write_store(models.random_like(model, seed=3), TEXTS[:4], HOOK, folder, **QUIET)
    edited = models.load_model(tiny_folder, device="cpu")
    with torch.no_grad():
        next(edited.parameters())[0, 0] += 1e-3
    with pytest.raises(ValueError, match="^model: "):
        write_store(edited, TEXTS[:4], HOOK, folder, **QUIET)
    with pytest.raises(ValueError, match="^massive_factor is 2.0, .* was begun with 4.0"):
        write_store(model, TEXTS[:4], HOOK, folder, massive_factor=2.0, **QUIET)
    assert open_store(folder).card == opened.card
    write_store(models.load_model(tiny_folder, device="cpu"), TEXTS[:4], HOOK, folder, massive_factor=4, **QUIET)


def test_the_bound_is_the_labs_rule(model, small):
    """Factor times the typical length of the first texts, recorded with the store."""
    from utils.reading import massive

    opened, _ = small
    assert opened.card.massive_norm == pytest.approx(massive.MASSIVE * massive.typical_norm(all_rows(model, TEXTS[:4])))
    assert opened.card.massive_factor == massive.MASSIVE


def test_a_store_from_before_texts_were_noted_still_opens(model, small):
    opened, folder = small
    later = ("texts_sha256", "model_weights", "massive_factor")
    card = {name: value for name, value in asdict(opened.card).items() if name not in later}
    (folder / "store.json").write_text(json.dumps(card))
    assert open_store(folder).card == replace(opened.card, texts_sha256="", model_weights="", massive_factor=0.0)
    assert len(write_store(model, TEXTS[:4], HOOK, folder, **QUIET)) == len(opened)


def test_a_cut_file_is_named_and_never_filled_with_zeros(model, small):
    _, folder = small
    path = folder / "rows.f16"
    path.write_bytes(path.read_bytes()[:-64])
    for f in (lambda: open_store(folder), lambda: write_store(model, TEXTS[:4], HOOK, folder, **QUIET)):
        with pytest.raises(ValueError, match=r"rows\.f16 has \d+ bytes, expected \d+: it was cut"):
            f()
    path.unlink()
    for f in (lambda: open_store(folder), lambda: write_store(model, TEXTS[:4], HOOK, folder, **QUIET)):
        with pytest.raises(ValueError, match=r"rows\.f16 has 0 bytes"):
            f()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"n": 3}'])
def test_a_corrupt_card_is_named(model, small, text):
    _, folder = small
    (folder / "store.json").write_text(text)
    for f in (lambda: open_store(folder), lambda: write_store(model, TEXTS[:4], HOOK, folder, **QUIET)):
        with pytest.raises(ValueError, match=r"store\.json can't be read .*: delete the folder"):
            f()


def test_no_store_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no activation store in .*: write one with write_store"):
        open_store(tmp_path)


def test_bad_texts_are_named_before_anything_is_read(model, tmp_path):
    folder = tmp_path / "new"
    for texts, error, match in (
        ([], ValueError, "^texts"),
        ("one text", TypeError, "texts must be a list"),
        ([*TEXTS[:9], ""], ValueError, r"^texts\[9\]"),
        ([*TEXTS[:9], "dog " * 200], ValueError, r"^texts\[9\] has \d+ tokens"),
    ):
        with pytest.raises(error, match=match):
            write_store(model, texts, HOOK, folder, **QUIET)
    with pytest.raises(ValueError, match="unknown hook 'blocks.9.hook_resid_post'"):
        write_store(model, TEXTS, "blocks.9.hook_resid_post", folder, **QUIET)
    for factor in (0, -1.0, math.nan, "4"):
        with pytest.raises((TypeError, ValueError), match="^massive_factor must be"):
            write_store(model, TEXTS, HOOK, folder, massive_factor=factor, **QUIET)
    assert not folder.exists() or not list(folder.iterdir())


def test_what_float16_cannot_hold_is_named(model, tmp_path, monkeypatch):
    real = activations.stream

    def huge(*args, **kwargs):
        for chunk in real(*args, **kwargs):
            chunk.acts[HOOK].mul_(1e9)
            yield chunk

    monkeypatch.setattr(activations, "stream", huge)
    with pytest.raises(ValueError, match="holds values above 65,504"):
        write_store(model, TEXTS, HOOK, tmp_path, massive_factor=1e15, **QUIET)


def test_no_rows_at_all(model, tmp_path):
    with pytest.raises(ValueError, match="holds no rows"):
        write_store(model, TEXTS[:2], HOOK, tmp_path, massive_factor=1e-9, **QUIET)
