"""The Jacobian lens against TransformerLens's, on cases worked by hand, and as it is shipped."""

from __future__ import annotations

import json

import conftest
import pytest
import torch
from transformer_lens.tools.analysis import JacobianLens as Theirs

from utils import anatomy
from utils.anatomy import jacobian
from utils.authoring.recipes import jacobian as recipe
from utils.datasets.corpus import corpus
from utils.datasets.landmarks import landmarks
from utils.reading.tokens import text_tokens

LENGTH, SKIP = 12, 3


@pytest.fixture()
def tokens():
    return torch.randint(3, 300, (5, LENGTH), generator=torch.Generator().manual_seed(0))


@pytest.fixture()
def fit(tiny_model, tokens):
    return anatomy.fit_jacobian_lens(tiny_model, tokens, [" the", 17, 200], skip=SKIP)


def test_it_is_the_lens_of_transformerlens(any_model, monkeypatch):
    """Their depths count the outputs of blocks, ours the blocks before: their layer 0 is our depth 1."""
    texts = [text + text for text in conftest.TINY_TEXT]
    theirs = Theirs.fit(
        any_model,
        texts,
        corpus="tiny",
        source_layers=[0],
        max_seq_len=LENGTH,
        skip_first_positions=SKIP,
        show_progress=False,
    )
    tokens = torch.cat([any_model.to_tokens(text)[:, :LENGTH] for text in texts])
    monkeypatch.setattr(jacobian, "TOKENS_AT_ONCE", 2 * LENGTH)  # batches of two: the mean is over all three
    ours = anatomy.fit_jacobian_matrix(any_model, tokens, [1], skip=SKIP)
    expected = theirs.jacobians[0]
    assert (ours.weight[0] - expected).norm() < 1e-4 * expected.norm()
    assert not torch.allclose(expected, torch.eye(len(expected)), atol=0.1)
    words = anatomy.fit_jacobian_lens(any_model, tokens, [5, 70], [1], skip=SKIP)
    gain = anatomy.read_rows(any_model, [5, 70])
    assert torch.allclose(words.vectors[0], gain @ expected, rtol=1e-4, atol=1e-4 * float(words.vectors.abs().max()))
    assert torch.allclose(ours.vectors(any_model, [5, 70]).vectors, words.vectors, rtol=1e-3, atol=1e-3)
    stream = anatomy.residual_stream(any_model, tokens)[[1]]
    assert torch.allclose(ours(stream), theirs.transport(stream, 0), rtol=1e-3, atol=1e-3)


def test_the_rows_are_what_the_output_layer_reads(any_model):
    random = torch.Generator().manual_seed(0)
    state = torch.randn(any_model.cfg.d_model, generator=random)
    state = state - state.mean()
    state = state / state.square().mean().sqrt()  # neither kind of norm changes it
    logits = anatomy.read_out(any_model, torch.stack([state, -state]))[:, [5, 70]]
    cap = float(getattr(any_model.cfg, "output_logits_soft_cap", -1.0) or -1.0)
    if cap > 0:
        logits = cap * torch.atanh(logits / cap)
    rows = anatomy.read_rows(any_model, [5, 70])
    assert torch.allclose(rows @ state, (logits[0] - logits[1]) / 2, rtol=1e-3, atol=1e-3)


def test_the_order_of_the_words_is_that_of_the_whole_lens(tiny_model, tokens):
    words = list(range(40, 60))
    whole = anatomy.fit_jacobian_matrix(tiny_model, tokens, skip=SKIP)
    fit = anatomy.fit_jacobian_lens(tiny_model, tokens, words, skip=SKIP)
    stream = anatomy.residual_stream(tiny_model, tokens)[list(fit.depths)]
    scores = anatomy.jacobian_lens(fit, stream)
    assert scores.shape == (2, 5, LENGTH, 20)
    read = anatomy.read_out(tiny_model, whole(stream))[..., words]
    assert (scores.argmax(-1) == read.argmax(-1)).all()
    assert torch.allclose(scores[0, 1], stream[0, 1] @ fit.at(0).T, atol=1e-4)


def test_a_fit_says_what_it_holds(fit, tiny_model, tokens):
    assert fit.vectors.shape == (2, 3, tiny_model.cfg.d_model)
    assert fit.depths == (0, 1) and fit.ids[1:] == (17, 200) and fit.words[0] == " the" and fit.n_prompts == 5
    assert fit.of(" the") == 0 and fit.of(200) == 2
    again = anatomy.fit_jacobian_lens(tiny_model, tokens, [17], [1], skip=SKIP)
    assert torch.allclose(again.at(1)[0], fit.at(1)[1], atol=1e-5)
    assert not torch.is_grad_enabled() or all(p.grad is None for p in tiny_model.parameters())


def test_prompts_are_averaged_one_for_one(tiny_model, tokens):
    each = [anatomy.fit_jacobian_lens(tiny_model, row[None], [17], skip=SKIP).vectors for row in tokens]
    together = anatomy.fit_jacobian_lens(tiny_model, tokens, [17], skip=SKIP).vectors
    assert torch.allclose(torch.stack(each).mean(0), together, atol=1e-5)


# ---------------------------------------------------------------------------------------------------------------- swap


def worked():
    """Two words along the first two axes (lengths 2 and 1) and a third between them."""
    vectors = torch.tensor([[[2.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 0.0]]])
    return anatomy.JacobianVectors(vectors, (4, 5, 6), (" a", " b", " c"), (7,), 1)


def test_a_swap_on_a_case_worked_by_hand():
    fit, state = worked(), torch.tensor([6.0, 5.0, 9.0])  # 3 times the first word, 5 times the second
    assert anatomy.swap(state, fit, 7, " a", " b").tolist() == pytest.approx([10.0, 3.0, 9.0])
    assert anatomy.swap(state, fit, 7, 5, 4).tolist() == pytest.approx([10.0, 3.0, 9.0])
    assert anatomy.swap(state, fit, 7, " a", " b", scale=0.5).tolist() == pytest.approx([8.0, 4.0, 9.0])
    slanted = anatomy.swap(
        state, fit, 7, " a", " c"
    )  # 0.5 times the first and 5 times the third: (6, 5) = .5(2, 0)+5(1, 1)
    assert slanted.tolist() == pytest.approx([10.5, 0.5, 9.0])


def test_a_swap_twice_is_none_and_leaves_the_rest(fit):
    random = torch.Generator().manual_seed(0)
    streams = torch.randn(4, 6, fit.vectors.shape[-1], generator=random)
    once = anatomy.swap(streams, fit, 1, 17, 200)
    assert torch.allclose(anatomy.swap(once, fit, 1, 17, 200), streams, atol=1e-4)
    basis = torch.linalg.qr(fit.at(1)[[1, 2]].T).Q
    assert torch.allclose(once - once @ basis @ basis.T, streams - streams @ basis @ basis.T, atol=1e-4)


def test_the_random_swap_is_as_long_and_differs_by_seed(fit):
    streams = torch.randn(4, fit.vectors.shape[-1], generator=torch.Generator().manual_seed(0))
    step = anatomy.swap(streams, fit, 0, 17, 200, scale=2) - streams
    first, second = (anatomy.random_swap(streams, fit, 0, 17, 200, scale=2, seed=s) - streams for s in (0, 1))
    assert torch.allclose(first.norm(dim=-1), step.norm(dim=-1), rtol=1e-4)
    assert float(torch.cosine_similarity(first, second, dim=-1).abs().max()) < 0.9
    again = anatomy.random_swap(streams, fit, 0, 17, 200, scale=2, seed=0) - streams
    assert torch.equal(again, first)


# -------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"words": []}, "words must hold at least one word"),
        ({"words": ["the cat sat"]}, "words must be one token each"),
        ({"words": [17, 17]}, "words must be different"),
        ({"words": [10**6]}, "ids must be below"),
        ({"depths": [2]}, "depths must be different numbers from 0 to 1"),
        ({"depths": [0, 0]}, "depths must be different numbers from 0 to 1"),
        ({"depths": []}, "depths must be different numbers from 0 to 1"),
        ({"skip": LENGTH - 1}, "tokens must hold at least 13 positions"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_fit_that_makes_no_sense_is_refused(tiny_model, tokens, bad, message):
    given = {"words": [17], "depths": [1], "skip": SKIP, **bad}
    with pytest.raises(ValueError, match=message):
        anatomy.fit_jacobian_lens(tiny_model, tokens, **given)


def test_what_does_not_fit_together_is_refused(fit):
    stream, state = torch.zeros(2, 3, fit.vectors.shape[-1]), torch.zeros(fit.vectors.shape[-1])
    for bad in (stream[:1], stream[..., :4]):
        with pytest.raises(ValueError, match="stream has shape"):
            anatomy.jacobian_lens(fit, bad)
        with pytest.raises(ValueError, match="stream has shape"):
            anatomy.JacobianLens(torch.zeros(2, state.shape[0], state.shape[0]), (0, 1), 1)(bad)
    with pytest.raises(ValueError, match="depth must be one of the fitted ones, 0, 1, got 5"):
        anatomy.swap(state, fit, 5, 17, 200)
    with pytest.raises(ValueError, match="word must be one of the 3 fitted ones"):
        anatomy.swap(state, fit, 1, 17, 18)
    with pytest.raises(ValueError, match="old and new must be two words"):
        anatomy.swap(state, fit, 1, 17, 17)
    with pytest.raises(ValueError, match="residual has shape"):
        anatomy.random_swap(state[:4], fit, 1, 17, 200)
    parallel = anatomy.JacobianVectors(torch.ones(1, 2, 3), (1, 2), ("a", "b"), (0,), 1)
    with pytest.raises(ValueError, match="parallel"):
        anatomy.swap(torch.ones(3), parallel, 0, 1, 2)
    with pytest.raises(ValueError, match="vectors has shape"):
        anatomy.JacobianVectors(torch.ones(1, 2, 3), (1,), ("a",), (0,), 1)


# ---------------------------------------------------------------------------------------------------------- as shipped


def test_the_shipped_lens_is_small_and_made_as_its_log_says():
    lens, log = anatomy.shipped_jacobian_lens(), json.loads(recipe.LOG.read_text(encoding="utf-8"))
    assert jacobian.SHIPPED.stat().st_size <= 5_000_000
    assert list(lens.depths) == log["depths"] == list(recipe.DEPTHS)
    assert lens.n_prompts == log["n_prompts"] == recipe.GROUPS * recipe.PROMPTS == len(log["works"])
    assert log["tokens_a_prompt"] == recipe.TOKENS and log["skipped_positions"] == recipe.SKIP
    assert not set(log["prompts_by_source"]) & set(recipe.LEFT_OUT)
    assert all(cosine > 0.5 for cosine in log["cosine_of_halves"].values())


def test_its_texts_name_no_landmark():
    names = [place.name for place in landmarks()]
    rows = recipe.excerpts()[:200]
    assert {row.split for row in rows} == {"train"} and not any(name in row.text for row in rows for name in names)


def test_a_flipped_bit_is_named(tmp_path, monkeypatch):
    spoiled = bytearray(jacobian.SHIPPED.read_bytes())
    spoiled[-1000] ^= 1
    copy = tmp_path / "lens.safetensors"
    copy.write_bytes(spoiled)
    monkeypatch.setattr(jacobian, "SHIPPED", copy)
    with pytest.raises(ValueError, match="altered or damaged"):
        anatomy.shipped_jacobian_lens()


def test_it_belongs_to_the_specimen_alone(tiny_model):
    with pytest.raises(ValueError, match="other weights"):
        anatomy.shipped_jacobian_lens(tiny_model)


@pytest.mark.specimen
def test_a_few_prompts_of_other_text_give_nearly_the_same_vectors(specimen):
    lens = anatomy.shipped_jacobian_lens(specimen)
    texts = [text_tokens(specimen, row.text) for row in corpus("held_out", "wikipedia")[:40]]
    prompts = torch.cat([ids[:, : recipe.TOKENS] for ids in texts if ids.shape[1] >= recipe.TOKENS][:4])
    fit = anatomy.fit_jacobian_lens(specimen, prompts, [" Paris", " London"], [26])
    theirs = lens.vectors(specimen, [" Paris", " London"]).at(26)
    assert float(torch.cosine_similarity(fit.at(26), theirs, dim=-1).min()) > 0.9
