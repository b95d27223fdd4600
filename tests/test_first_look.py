"""Lesson 00's live minute on a tiny random model: what is drawn follows from what was asked."""

import pytest
import torch

from utils import first_look
from utils.interventions import Direction


def test_read_shows_every_token_and_ends_with_the_models_own_answer(tiny_model):
    text = "the cat sat on the mat"
    shown = first_look.read(tiny_model, text)
    assert "surprise (bits)" in shown and "blocks done" in shown
    ids = tiny_model.to_tokens(text)
    best = tiny_model.tokenizer.decode([int(tiny_model(ids)[0, -1].argmax())]).strip()
    assert best in first_look.early_answers(tiny_model, text).rsplit("<code>", 1)[1]


def test_what_is_typed_is_shown_as_text(tiny_model):
    along = (
        first_look.directions(tiny_model, ["formal"])
        if tiny_model.cfg.n_layers > first_look.PUSHED_AT
        else {"up": Direction(torch.ones(tiny_model.cfg.d_model), 0, 1.0, "up", "random")}
    )
    shown = first_look.push(tiny_model, along, next(iter(along)), 0.5, "<b>bold</b> the cat")
    assert "&lt;b&gt;" in shown and "<b>" not in shown


def test_a_push_of_nothing_changes_nothing_and_an_unknown_direction_is_named(tiny_model):
    along = {"up": Direction(torch.ones(tiny_model.cfg.d_model), 0, 1.0, "up", "random")}
    shown = first_look.push(tiny_model, along, "up", 0.0, "the cat")
    alone, pushed = [part.split("</mark>")[0] for part in shown.split("<mark>")[1:]]
    assert alone == pushed
    with pytest.raises(ValueError, match="name must be one of up, got 'down'"):
        first_look.push(tiny_model, along, "down", 0.5, "the cat")
