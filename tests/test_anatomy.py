"""Anatomy on cases whose answer is known, and against TransformerLens where it offers the same."""

from __future__ import annotations

import pytest
import torch

from utils import anatomy
from utils.anatomy import lens as lens_room
from utils.interventions import ablate_heads, into_readers
from utils.reading.likelihood import token_losses, token_losses_from
from utils.reading.recording import record_named


@pytest.fixture()
def tokens():
    return torch.randint(3, 300, (2, 9), generator=torch.Generator().manual_seed(0))


# ------------------------------------------------------------------------------------- residual stream and lens


def test_components_add_up_to_the_stream_and_the_logits(any_model, tokens):
    parts = anatomy.residual_components(any_model, tokens)
    assert parts.gap() < 1e-4
    expected = any_model(tokens)
    assert torch.allclose(anatomy.read_out(any_model, parts.values.sum(0)), expected, atol=1e-4)
    positions = ["pos_embed"] if any_model.cfg.positional_embedding_type == "standard" else []
    assert parts.labels[: 1 + len(positions)] == ["embed", *positions]
    assert parts.labels[-2:] == ["1 attn", "1 mlp"]


def test_the_stream_and_the_lens_equal_run_with_cache(any_model, tokens):
    logits, cache = any_model.run_with_cache(tokens)
    stream = anatomy.residual_stream(any_model, tokens)
    assert torch.equal(stream[0], cache["blocks.0.hook_resid_pre"])
    assert torch.allclose(stream[1], cache["blocks.0.hook_resid_post"], atol=1e-6)
    lens = anatomy.logit_lens(any_model, tokens, position=None)
    assert lens.shape == (3, 2, 9, logits.shape[-1])
    assert torch.allclose(lens[-1], logits, atol=1e-5)
    assert torch.allclose(anatomy.logit_lens(any_model, tokens, 4), lens[:, :, 4], atol=1e-5)
    assert not torch.allclose(lens[0], lens[-1], atol=1e-2)


def test_running_twice_leaves_no_hook_behind(any_model, tokens):
    before = any_model(tokens)
    anatomy.residual_stream(any_model, tokens, ablate_heads([(0, 1)]))
    token_losses(any_model, tokens, ablate_heads([(0, 1)]))
    assert torch.equal(any_model(tokens), before)


def test_token_losses_are_the_cross_entropy(any_model, tokens):
    logits = any_model(tokens)
    expected = torch.nn.functional.cross_entropy(
        logits[:, :-1].reshape(-1, logits.shape[-1]), tokens[:, 1:].reshape(-1), reduction="none"
    )
    assert torch.allclose(token_losses(any_model, tokens).reshape(-1), expected, atol=1e-5)


def test_the_lens_table_is_a_table_and_escapes_what_it_shows(tiny_model):
    page = anatomy.lens_html(tiny_model, "the cat <b> sat", every=2)
    assert page.count('scope="row"') == 2 and "&lt;" in page and "<b>" not in page
    top = int(anatomy.logit_lens(tiny_model, tiny_model.to_tokens("the cat"))[-1, 0].argmax())
    last = anatomy.lens_html(tiny_model, "the cat").split("<tr>")[-1].split("<td")[-1]
    assert lens_room._visible(tiny_model.tokenizer.decode([top])) in last
    assert "Only the first 3 tokens" in anatomy.lens_html(tiny_model, "the cat sat on the mat", most=3)
    for bad in ({"text": " "}, {"text": "the", "every": 0}):
        with pytest.raises(ValueError, match="text must hold some text|every must be at least 1"):
            anatomy.lens_html(tiny_model, **bad)


def test_the_lens_table_shows_the_first_word_of_a_model_without_a_start_token(startless_model):
    """The first column was dropped as if it were a start token."""
    page = anatomy.lens_html(startless_model, "the cat sat")
    shown = startless_model.tokenizer("the cat sat", add_special_tokens=False)["input_ids"]
    assert page.count('scope="col"') == 1 + len(shown)  # one for the depths
    assert page.count("<td") == len(shown) * page.count('scope="row"')


def test_lens_scores_on_a_case_worked_by_hand():
    final = torch.tensor([[2.0, 1.0, 0.0]])
    lens = torch.stack([torch.tensor([[0.0, 1.0, 2.0]]), final + 5.0])
    scores = anatomy.lens_scores(lens, final)
    assert scores.rank.tolist() == [[2], [0]] and scores.top.tolist() == [[2], [0]]
    p, q = final.softmax(-1), lens[0].softmax(-1)
    assert scores.kl[0].item() == pytest.approx(float((p * (p / q).log()).sum()), abs=1e-6)
    assert scores.kl[1].item() == pytest.approx(0.0, abs=1e-6)
    other = anatomy.lens_scores(lens, final, torch.tensor([1]))
    assert other.rank.tolist() == [[1], [1]]


def test_the_affine_lens_recovers_an_affine_map():
    random = torch.Generator().manual_seed(0)
    early = torch.randn(400, 6, generator=random)
    final = early @ torch.randn(6, 6, generator=random) + torch.randn(6, generator=random)
    lens = anatomy.fit_affine_lens(torch.stack([early, final]), ridge=1e-6)
    fresh = torch.randn(20, 6, generator=random)
    truth = (fresh - early.mean(0)) @ torch.linalg.lstsq(early - early.mean(0), final - final.mean(0)).solution
    guess = lens(torch.stack([fresh, truth + final.mean(0)]))
    assert torch.allclose(guess[0], truth + final.mean(0), atol=1e-3)
    assert torch.allclose(guess[1], truth + final.mean(0), atol=1e-3)


# ------------------------------------------------------------------------------------------------ heads


def test_offset_score_on_patterns_drawn_by_hand():
    length, period = 9, 4  # a start token and two copies of four
    induction = torch.zeros(length, length)
    for query in range(length):
        induction[query, max(0, query - period + 1)] = 1.0
    previous = torch.diag(torch.ones(length - 1), -1)
    both = torch.stack([induction, previous])
    assert anatomy.offset_score(both, period - 1, 5).tolist() == [1.0, 0.0]
    assert anatomy.offset_score(both, 1).tolist() == [0.125, 1.0]  # query 1 has only the start token to look at
    assert anatomy.offset_score(both, period, 5).tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match="pattern must have as many keys as queries"):
        anatomy.offset_score(torch.zeros(3, 4), 1)
    with pytest.raises(ValueError, match="offset must be below 9"):
        anatomy.offset_score(induction, 9)


def test_offset_score_counts_every_query_it_should():
    pattern = torch.arange(25.0).reshape(5, 5)
    assert anatomy.offset_score(pattern, 2).item() == pytest.approx((10 + 16 + 22) / 3)
    assert anatomy.offset_score(pattern, 2, 3).item() == pytest.approx((16 + 22) / 2)
    assert anatomy.offset_score(pattern, 0).item() == pytest.approx((0 + 6 + 12 + 18 + 24) / 5)


@pytest.mark.parametrize("start", [0, None])
def test_head_scores_equal_scores_from_the_cache(any_model, start):
    period = 5
    rows = anatomy.repeated_tokens(3, period, low=3, high=300, start=start, seed=2)
    scores = anatomy.head_scores(any_model, rows, period)
    _, cache = any_model.run_with_cache(rows)
    pattern = cache["blocks.1.attn.hook_pattern"]
    length = rows.shape[1]
    queries = range(length - period, length)
    for kind, offset in (("induction", period - 1), ("duplicate", period), ("previous", 1)):
        expected = torch.stack([pattern[:, :, q, q - offset] for q in queries]).mean(0).T
        assert torch.allclose(getattr(scores, kind)[1], expected, atol=1e-6), kind
    expected = pattern[:, :, list(queries), 0].mean(-1).T
    assert torch.allclose(scores.first[1], expected, atol=1e-6)
    assert scores.induction.shape == (2, 4, 3)


def test_heads_come_strongest_first():
    score = torch.tensor([[[0.5, 0.7], [0.1, 0.1]], [[0.9, 0.9], [0.4, 0.3]]])
    found = anatomy.HeadScores(score, score, score, score)
    assert found.heads(above=0.3) == [(1, 0), (0, 0), (1, 1)]
    assert found.heads("previous", above=0.95) == []


def test_repeated_tokens_repeat_and_the_control_does_not():
    rows = anatomy.repeated_tokens(4, 6, low=10, high=1000, start=0)
    assert rows.shape == (4, 13) and (rows[:, 0] == 0).all() and rows[:, 1:].min() >= 10
    assert torch.equal(rows[:, 1:7], rows[:, 7:])
    control = anatomy.repeated_tokens(4, 6, low=10, high=1000, start=0, repeat=False)
    assert torch.equal(control[:, :7], rows[:, :7]) and not torch.equal(control[:, 1:7], control[:, 7:])
    for bad in ({"n": 0}, {"period": 0}, {"low": 5, "high": 5}):
        with pytest.raises(ValueError, match="must be"):
            anatomy.repeated_tokens(**{"n": 1, "period": 3, "low": 1, "high": 9, "start": None, **bad})


# ---------------------------------------------------------------------------------------- circuits and paths


def test_composition_is_the_norm_of_the_product(any_model):
    gain = any_model.blocks[1].ln1.weight
    for part, weights in (("q", any_model.W_Q), ("k", any_model.W_K), ("v", any_model.W_V)):
        found = anatomy.composition(any_model, [(0, 0), (0, 2)], 1, part)
        assert found.shape == (2, len(weights[1]))
        for row, head in enumerate((0, 2)):
            values = any_model.W_V[0][head * len(any_model.W_V[0]) // any_model.cfg.n_heads]
            ov = values @ any_model.W_O[0, head]
            for reader, one in enumerate(weights[1]):
                read = gain[:, None] * one
                expected = (ov @ read).norm() / ov.norm() / read.norm()
                assert torch.isclose(found[row, reader], expected.detach().cpu(), rtol=1e-3)
    with pytest.raises(ValueError, match="senders must stand below layer 0"):
        anatomy.composition(any_model, [(0, 0)], 0)
    with pytest.raises(ValueError, match="senders must hold at least one"):
        anatomy.composition(any_model, [], 1)
    with pytest.raises(ValueError, match="senders: the model has 2 layers"):
        anatomy.composition(any_model, [(0, 99)], 1)


def test_what_a_head_writes_is_what_it_adds_when_it_looks_at_one_token(tiny_model):
    """At the first position of a text a head can only look at itself."""
    ids = torch.randint(3, 300, (5, 1), generator=torch.Generator().manual_seed(3))
    seen = record_named(tiny_model, ids, ["blocks.1.hook_resid_pre", "blocks.1.hook_attn_out"])
    stream = seen["blocks.1.hook_resid_pre"][:, 0]
    written = sum(anatomy.head_writes(tiny_model, stream, (1, head)) for head in range(tiny_model.cfg.n_heads))
    assert torch.allclose(written, seen["blocks.1.hook_attn_out"][:, 0], atol=1e-5)
    with pytest.raises(ValueError, match="head: the model has"):
        anatomy.head_writes(tiny_model, stream, (9, 0))


def test_after_earlier_on_paper():
    assert anatomy.after_earlier(torch.tensor([0, 5, 6, 7, 5, 6, 6, 5])).tolist() == [-1, -1, -1, -1, 2, 3, -1, 5]
    assert anatomy.after_earlier(torch.tensor([4, 4, 4])).tolist() == [-1, -1, -1]


def test_a_change_that_reaches_all_readers_is_a_change_of_the_stream(any_model, tokens):
    """Queries, keys and values of the last layer read a changed stream: attention adds what it adds in such a run."""
    stream, last = anatomy.residual_stream(any_model, tokens), any_model.cfg.n_layers - 1
    change = 0.3 * torch.randn(stream.shape[1:], generator=torch.Generator().manual_seed(5))
    site = f"blocks.{last}.hook_attn_out"
    door = (f"blocks.{last}.hook_resid_pre", lambda value, hook: value + change.to(value))
    expected = record_named(any_model, tokens, [site], [door])[site]
    hooks = [hook for part in ("q", "k", "v") for hook in into_readers(any_model, stream, change, [last], part)]
    assert torch.allclose(record_named(any_model, tokens, [site], hooks)[site], expected, atol=1e-4)
    still = into_readers(any_model, stream, None, [0, last])
    assert torch.allclose(
        record_named(any_model, tokens, [site], still)[site], record_named(any_model, tokens, [site])[site], atol=1e-5
    )
    with pytest.raises(ValueError, match="layers must name"):
        into_readers(any_model, stream, None, [99])
    with pytest.raises(ValueError, match="change has shape"):
        into_readers(any_model, stream, change[:1], [last])


def test_a_run_from_a_door_is_the_run(any_model, tokens):
    stream, whole = anatomy.residual_stream(any_model, tokens), token_losses(any_model, tokens)
    for layer in range(any_model.cfg.n_layers):
        assert torch.allclose(token_losses_from(any_model, tokens, stream[layer], layer), whole, atol=1e-4)
    assert torch.allclose(token_losses_from(any_model, tokens, stream[1], 1, first=3), whole[:, 3:], atol=1e-4)
    for bad, words in (({"layer": 9}, "layer must be below"), ({"first": 8}, "first must be below")):
        with pytest.raises(ValueError, match=words):
            token_losses_from(any_model, tokens, stream[1], **{"layer": 1, **bad})
    with pytest.raises(ValueError, match="entering has shape"):
        token_losses_from(any_model, tokens, stream[1, :1], 1)


# -------------------------------------------------------------------------------------------- rules from examples


def test_rule_scores_are_the_slope_of_a_patch(tiny_model):
    """A hundredth of the way to the mean of `shown` changes log P by a hundredth of the score."""
    random = torch.Generator().manual_seed(0)
    shown, hidden = torch.randint(3, 300, (3, 7), generator=random), torch.randint(3, 300, (2, 7), generator=random)
    answers = torch.tensor([5, 60])
    needed = [weight.requires_grad for weight in tiny_model.parameters()]
    scores = anatomy.rule_scores(tiny_model, shown, hidden, answers)
    assert scores.shape == (tiny_model.cfg.n_layers, tiny_model.cfg.n_heads)
    before = anatomy.answer_log_probs(tiny_model, hidden, answers)
    assert torch.allclose(before, tiny_model(hidden)[:, -1].log_softmax(-1)[[0, 1], answers].detach(), atol=1e-5)
    site = "blocks.0.attn.hook_z"
    mean = record_named(tiny_model, shown, [site])[site][:, -1, 2].mean(0)

    def step(z, hook):
        z = z.clone()
        z[:, -1, 2] += 0.01 * (mean - z[:, -1, 2])
        return z

    after = anatomy.answer_log_probs(tiny_model, hidden, answers, [(site, step)])
    assert float((after - before).mean()) == pytest.approx(0.01 * float(scores[0, 2]), rel=0.1, abs=1e-6)
    assert [weight.requires_grad for weight in tiny_model.parameters()] == needed
    with pytest.raises(ValueError, match="answers must hold one id a prompt"):
        anatomy.rule_scores(tiny_model, shown, hidden, answers[:1])


def test_strongest_heads():
    scores = torch.tensor([[0.1, 0.9], [0.5, -1.0]])
    assert anatomy.strongest(scores, 2) == [(0, 1), (1, 0)]
    assert anatomy.strongest(scores, 2, without=[(0, 1)]) == [(1, 0), (0, 0)]
    with pytest.raises(ValueError, match="n must be from 1 to 3"):
        anatomy.strongest(scores, 4, without=[(0, 1)])


# --------------------------------------------------------------------------------------------------- bad input


def test_bad_input_is_named(tiny_model, tokens):
    with pytest.raises(TypeError, match="model must be a TransformerBridge"):
        anatomy.residual_stream(torch.nn.Linear(2, 2), tokens)
    with pytest.raises(TypeError, match="tokens must hold token ids"):
        anatomy.residual_components(tiny_model, "The cat")
    with pytest.raises(TypeError, match="tokens must hold token ids"):
        token_losses(tiny_model, tokens.float())
    with pytest.raises(ValueError, match=r"tokens must have shape \(batch, pos\)"):
        anatomy.logit_lens(tiny_model, tokens[0])
    with pytest.raises(ValueError, match="tokens holds ids outside 0..319"):
        anatomy.logit_lens(tiny_model, tokens + 10_000)
    with pytest.raises(ValueError, match="position must be from -9 to 8"):
        anatomy.logit_lens(tiny_model, tokens, 9)
    with pytest.raises(ValueError, match=r"residual has shape \(3, 7\)"):
        anatomy.read_out(tiny_model, torch.zeros(3, 7))
    with pytest.raises(ValueError, match="period must be from 2 to 4"):
        anatomy.head_scores(tiny_model, tokens, 5)
    with pytest.raises(ValueError, match="final_logits has shape"):
        anatomy.lens_scores(torch.zeros(2, 3, 4), torch.zeros(2, 4))
    with pytest.raises(ValueError, match="answers has shape"):
        anatomy.lens_scores(torch.zeros(2, 3, 4), torch.zeros(3, 4), torch.zeros(2, dtype=torch.long))
    for bad in (torch.zeros(2, 1, 4), torch.zeros(2, 4)):
        with pytest.raises(ValueError, match="stream has shape"):
            anatomy.fit_affine_lens(bad)
    with pytest.raises(ValueError, match="ridge must be above 0"):
        anatomy.fit_affine_lens(torch.zeros(2, 5, 4), ridge=0)
    lens = anatomy.fit_affine_lens(torch.randn(2, 5, 4))
    with pytest.raises(ValueError, match="stream has shape"):
        lens(torch.zeros(3, 5, 4))


def test_a_model_that_hides_an_activation_is_named(tiny_model, tokens, monkeypatch):
    with pytest.raises(ValueError, match="Hook name 'blocks.7.hook_mlp_out' does not exist"):
        record_named(tiny_model, tokens, ["hook_embed", "blocks.7.hook_mlp_out"])
    monkeypatch.setattr(type(tiny_model), "run_with_hooks", lambda *args, **kwargs: None)
    with pytest.raises(ValueError, match="model has no activations called hook_embed"):
        anatomy.residual_components(tiny_model, tokens)
    with pytest.raises(ValueError, match="gave no attention patterns"):
        anatomy.head_scores(tiny_model, tokens, 4)


# ------------------------------------------------------------------------------------- faults that came from outside


def test_numbers_that_are_not_finite_are_refused(tiny_model):
    """A lens of NaN used to come out finite, or as NaN without a word."""
    stream = torch.randn(2, 4, 3, 5)
    stream[1, 2, 1, 3] = float("nan")
    with pytest.raises(ValueError, match="stream holds 1 NaN"):
        anatomy.fit_affine_lens(stream[:, :, 1])
    with pytest.raises(ValueError, match="residual holds 32 NaN"):
        anatomy.read_out(tiny_model, torch.full((1, 32), float("inf")))
    with pytest.raises(ValueError, match="lens_logits holds 1 NaN"):
        anatomy.lens_scores(stream[1:, 2], torch.zeros(3, 5))
    with pytest.raises(ValueError, match="pattern holds 4 NaN"):
        anatomy.offset_score(torch.full((2, 2), float("nan")), 0)


def test_what_cannot_be_fitted_or_read_is_named():
    with pytest.raises(ValueError, match="the same vector for every token at index 0"):
        anatomy.fit_affine_lens(torch.stack([torch.ones(5, 4), torch.randn(5, 4)]))
    with pytest.raises(ValueError, match="answers must be ids from 0 to 3"):
        anatomy.lens_scores(torch.zeros(2, 1, 4), torch.zeros(1, 4), torch.tensor([4]))
    with pytest.raises(ValueError, match="n must be at most 10 rows"):
        anatomy.repeated_tokens(11, 1_000_000, low=0, high=9, start=None)


def test_tensors_arrays_and_lists_give_the_same(tiny_model, tokens):
    stream = anatomy.residual_stream(tiny_model, tokens)
    assert torch.equal(anatomy.residual_stream(tiny_model, tokens.tolist()), stream)
    assert torch.equal(anatomy.residual_stream(tiny_model, tokens.numpy()), stream)


# ---------------------------------------------------------------------------------- held against TransformerLens' tools


def test_the_lens_is_that_of_transformer_lens(any_model, tokens):
    """`tools.analysis.logit_lens` reads the same stack; both apply the soft cap on logits."""
    from transformer_lens.tools import analysis

    theirs = analysis.logit_lens(any_model, tokens)
    ours = anatomy.logit_lens(any_model, tokens)
    assert theirs.labels[0] == "0_pre" and theirs.labels[-1] == "final_post"
    torch.testing.assert_close(ours, theirs.values, atol=1e-4, rtol=1e-4)
