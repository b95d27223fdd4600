"""Lesson 00's live minute on a tiny random model: what is drawn follows from what was asked."""

import pytest
import torch

from utils import first_look
from utils.datasets.concepts import Concept
from utils.interventions import Direction
from utils.tracing import Pair, endpoints


def test_read_shows_every_token_and_ends_with_the_models_own_answer(tiny_model):
    text = "the cat sat on the mat"
    shown = first_look.read(tiny_model, text)
    assert "surprise (bits)" in shown and "blocks done" in shown
    ids = tiny_model.to_tokens(text)
    best = tiny_model.tokenizer.decode([int(tiny_model(ids)[0, -1].argmax())]).strip()
    assert best in first_look.early_answers(tiny_model, text).rsplit("<code>", 1)[1]


@pytest.fixture(autouse=True)
def short_concept(monkeypatch):
    """A concept whose texts fit the tiny model's context."""
    made = Concept(
        "formal", ("the board thanks you", "kindly reply"), ("hey thanks", "text me"), " a", " b", ("kindly",)
    )
    monkeypatch.setattr(first_look, "concept", lambda name: made)


def test_what_is_typed_is_shown_as_text(tiny_model):
    along = first_look.directions(tiny_model, ["formal"], layer=1)
    shown = first_look.push(tiny_model, along, "formal", 0.5, "<b>bold</b> the cat")
    assert "&lt;b&gt;" in shown and "<b>" not in shown


def test_the_control_is_another_direction_at_the_same_place(tiny_model):
    along = first_look.directions(tiny_model, ["formal"], layer=1)
    formal, control = along["formal"], along[first_look.CONTROL]
    assert (formal.layer, formal.typical) == (control.layer, control.typical)
    assert abs(formal.cosine(control)) < 0.9
    with pytest.raises(ValueError, match="names must hold at least one concept"):
        first_look.directions(tiny_model, [], layer=1)


def test_the_map_is_of_every_token_from_the_subject_on(tiny_model):
    with torch.no_grad():
        tiny_model.original_model.lm_head.weight.mul_(100)  # so that random weights tell the two prompts apart
    clean, corrupt = torch.tensor([0, 5, 6, 7, 8]), torch.tensor([0, 5, 9, 7, 8])
    last = tiny_model(clean[None])[0, -1] - tiny_model(corrupt[None])[0, -1]
    pair = Pair(clean, corrupt, int(last.argmax()), int(last.argmin()), (2, 3), "a / b")
    assert abs(float(endpoints(tiny_model, pair).diff())) > 0.5
    shares = first_look.answer_map(tiny_model, pair, every=1)
    assert shares.shape == (2, 3)
    torch.testing.assert_close(
        shares[0], torch.tensor([1.0, 0.0, 0.0]), atol=1e-3, rtol=0
    )  # the embedding is all there is
    assert "Where “" in first_look.where(tiny_model, pair)


def test_a_push_of_nothing_changes_nothing_and_an_unknown_direction_is_named(tiny_model):
    along = {"up": Direction(torch.ones(tiny_model.cfg.d_model), 0, 1.0, "up", "random")}
    shown = first_look.push(tiny_model, along, "up", 0.0, "the cat")
    alone, pushed = [part.split("</mark>")[0] for part in shown.split("<mark>")[1:]]
    assert alone == pushed
    with pytest.raises(ValueError, match="name must be one of up, got 'down'"):
        first_look.push(tiny_model, along, "down", 0.5, "the cat")
