"""Contexts, search and label scores, on a reading whose latents are known."""

import re
from types import SimpleNamespace

import pytest
import regex
import torch

from utils import sae
from utils.reading import activations, massive
from utils.reading.activations import Activations
from utils.sae import features

WORDS = ["<s>", "The", " Golden", " Gate", " Bridge", " is", " red", ".", " A", " gate"]


def reading() -> features.Reading:
    """Two texts, three latents: 0 is on for " Gate", 1 for every second token, 2 never."""
    texts = [[0, 1, 2, 3, 4, 5, 6, 7], [0, 8, 9, 5, 6, 3, 7]]
    token = torch.tensor([i for text in texts for i in text])
    text = torch.tensor([0] * len(texts[0]) + [1] * len(texts[1]))
    ordinary = token != 0
    gates = (token == 3).nonzero().squeeze(1)
    seconds = torch.arange(1, len(token), 2)
    seconds = seconds[ordinary[seconds]]
    return features.Reading(
        d_sae=3,
        token=token,
        text=text,
        ordinary=ordinary,
        entry_token=torch.cat([gates, seconds]),
        latent=torch.cat([torch.zeros(len(gates)), torch.ones(len(seconds))]).long(),
        value=torch.cat([torch.tensor([2.0, 5.0]), torch.linspace(1, 2, len(seconds))]),
        strings=dict(enumerate(WORDS)),
    )


def test_on_gives_the_strongest_token_first():
    tokens, values = reading().on(0)
    assert values.tolist() == [5.0, 2.0] and tokens.tolist() == [13, 3]
    assert len(reading().on(2)[0]) == 0
    with pytest.raises(ValueError, match="latent must be between 0 and 2, got 3"):
        reading().on(3)
    for wrong in (1.5, -1, True, "0", None):
        for method in (reading().on, reading().values, reading().top, reading().spread):
            with pytest.raises((TypeError, ValueError), match="^latent must be"):
                method(wrong)


def test_density_counts_ordinary_tokens_only():
    found = reading()
    assert found.density()[0] == pytest.approx(2 / 13) and found.density()[2] == 0
    assert found.values(0).nonzero().squeeze(1).tolist() == [3, 13]


def test_a_context_stays_inside_its_text():
    context = reading().context(0, 8 + 5, before=20, after=20)
    assert context.text == 1 and len(context.tokens) == 7
    assert context.tokens[context.at] == " Gate" and context.value == 5.0
    assert "[ Gate]" in str(context)
    with pytest.raises(ValueError, match="between 0 and 14"):
        reading().context(0, 15)


def test_top_takes_one_context_a_text_and_spread_covers_the_range():
    assert [c.text for c in reading().top(0)] == [1, 0]
    assert len(reading().top(1, 5)) == 2 and len(reading().top(1, 5, one_per_text=False)) == 5
    values = [c.value for c in reading().spread(1, 3, seed=1)]
    assert values == sorted(values, reverse=True) and len(values) == 3
    assert reading().spread(2) == []


def test_matching_marks_every_token_of_a_phrase_and_not_its_neighbours():
    marked = features.matching(reading(), r"golden gate")
    assert marked.nonzero().squeeze(1).tolist() == [2, 3]
    assert features.matching(reading(), r"\bgate\b").nonzero().squeeze(1).tolist() == [3, 10, 13]
    assert not features.matching(reading(), r"<s>").any(), "the document start is never ordinary"
    with pytest.raises(ValueError, match="not a regular expression"):
        features.matching(reading(), "(")


def test_a_pattern_that_would_search_forever_is_stopped(monkeypatch):
    """One that makes `re` hang, and one that also defeats the cleverer matcher."""
    monkeypatch.setattr(features, "PATIENCE", 0.3)
    long = reading()
    long.strings[1] = "a" * 200
    features.matching(long, "(a+)+c")
    with pytest.raises(ValueError, match=r"pattern '\(a\|aa\|a\)\+\$c' was still searching after 0.3 s"):
        features.matching(long, "(a|aa|a)+$c")


def test_patterns_mean_what_they_mean_to_re():
    """The rules that lesson 06 is built on, among others."""
    text = "The Friend (my hon. one) said Spain and france wouldn't. \nHe can go; THE end, Ümlaut."
    for pattern in (
        r"\bhe\b",
        r"(?<=\bthe )\w+",
        r"\([^)]{3,100}\)",
        r"(?-i:\b(Spain|France)\b)",
        "ü",
        r"^he",
        r"(?m)^he",
    ):
        compiled = regex.compile(pattern, regex.IGNORECASE)
        assert [m.span() for m in compiled.finditer(text)] == [
            m.span() for m in re.finditer(pattern, text, re.IGNORECASE)
        ]


def test_search_puts_the_right_latent_first():
    found = reading()
    ranked = features.rank_latents(found, features.matching(found, " Gate"), n=3)
    assert ranked[0][0] == 0 and ranked[0][1] == pytest.approx(0.5 * (2 / 3 + 1))
    with pytest.raises(ValueError, match="wanted must leave ordinary tokens on both sides"):
        features.rank_latents(found, torch.zeros(15, dtype=torch.bool))
    with pytest.raises(ValueError, match="wanted has 14 entries, expected one for each of the 15 tokens"):
        features.rank_latents(found, [True] * 14)
    assert features.rank_latents(found, features.matching(found, " Gate").tolist()) == features.rank_latents(
        found, features.matching(found, " Gate").numpy()
    )


def test_detection_scores_a_rule_on_both_kinds():
    score = features.detection([0.0, 1.0, 2.0, 3.0], [0.0, 0.0, 0.5, 0.0])
    assert (score.hits, score.false_alarms) == (0.75, 0.25) and score.balanced_accuracy == 0.75
    assert features.detection([0.0, 1.0], [0.0, 1.0]).balanced_accuracy == 0.5
    assert features.detection([1.0], [0.6], threshold=0.8).balanced_accuracy == 1.0
    for bad in ([], [float("nan")]):
        with pytest.raises(ValueError, match="on_negative"):
            features.detection([1.0], bad)


def test_logit_effects_are_the_unembedding_read_along_the_direction(tiny_model):
    direction = torch.randn(32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        tiny_model.ln_final.weight.copy_(torch.linspace(0.5, 2, 32))
    expected = (direction / direction.norm() * torch.linspace(0.5, 2, 32)) @ tiny_model.W_U.detach()
    expected -= expected.mean()
    up, down = features.logit_effects(tiny_model, direction, n=3)
    assert [score for _, score in up] == pytest.approx(expected.sort(descending=True).values[:3].tolist(), abs=1e-5)
    assert [score for _, score in down] == pytest.approx(expected.sort().values[:3].tolist(), abs=1e-5)
    assert up[0][0] == tiny_model.tokenizer.decode([int(expected.argmax())])
    assert features.logit_effects(tiny_model, (7 * direction).tolist(), n=3)[0][0][1] == pytest.approx(
        up[0][1], abs=1e-5
    )
    with pytest.raises(ValueError, match=r"direction must have shape \(32,\)"):
        features.logit_effects(tiny_model, torch.zeros(3))
    with pytest.raises(ValueError, match="n must be at most"):
        features.logit_effects(tiny_model, direction, n=10_000)


def test_the_dashboard_carries_numbers_as_well_as_colour_and_escapes_text():
    found = reading()
    found.strings[5] = "<b>"
    page = sae.dashboard_html(found, 0, lambda latent: ([("<i>", 1.0)], [("x", -1.0)]))
    assert "5.0" in page and "<b>" not in page and "<i>" not in page and "&lt;b&gt;" in page
    assert page.count("<figure aria-label=") == 4
    assert "never on" in sae.dashboard_html(found, 2)


def test_read_texts_agrees_with_encoding_each_token(tiny_model):
    made = sae.TopKSAE(tiny_model.cfg.d_model, 24, k=3).eval()
    hook = "blocks.0.hook_resid_post"
    found = features.read_texts(tiny_model, made, hook, ["the cat sat", "a dog"])
    _, cache = tiny_model.run_with_cache(tiny_model.to_tokens("the cat sat"), names_filter=hook)
    latents = made.encode(cache[hook][0])
    latents[0] = 0  # the document start is left out
    for latent in range(24):
        torch.testing.assert_close(found.values(latent)[: len(latents)], latents[:, latent], atol=1e-5, rtol=1e-4)
    assert not found.ordinary[0] and found.text.unique().tolist() == [0, 1]
    with pytest.raises(ValueError, match="^texts"):
        features.read_texts(tiny_model, made, hook, [])


def test_read_texts_leaves_massive_activations_out(tiny_model):
    made = sae.TopKSAE(tiny_model.cfg.d_model, 24, k=3).eval()
    found = features.read_texts(tiny_model, made, "blocks.0.hook_resid_post", ["the cat"], massive_norm=1e-6)
    assert not found.ordinary.any() and len(found.value) == 0 and len(found) > 1


def test_search_by_word_phrase_and_number():
    found = reading()
    assert sae.find_latents(found, "gate")[0][1] == 0
    phrase = sae.find_latents(found, " golden gate ")[0]  # on for one of its two tokens, and for 1 of 11 others
    assert phrase == (f"latent 0: balanced accuracy {(0.5 + 10 / 11) / 2:.2f} here", 0)
    assert sae.find_latents(found, "2") == [("latent 2: on for 0 tokens", 2)]
    for query, words in (
        ("  ", "^query"),
        ("[", "doesn't occur"),
        ("(a+)+c", "doesn't occur"),
        ("giraffe", "doesn't occur"),
        ("7", "between"),
    ):
        with pytest.raises(ValueError, match=words):
            sae.find_latents(found, query)


def test_massive_is_what_the_one_rule_says(tiny_model):
    """A recorded length is used as it stands, here as in `utils.reading.massive`."""
    hook, made = "blocks.0.hook_resid_post", sae.TopKSAE(tiny_model.cfg.d_model, 24, k=3).eval()
    found = activations.collect(tiny_model, ["the cat sat on a mat"], [hook], positions="all", cache=False)
    bound = float(massive.residual_norms(found[hook]).median())
    read = features.read_activations(found, made, hook, tiny_model.tokenizer, massive_norm=bound)
    assert torch.equal(read.ordinary, ~massive.is_massive(found[hook], bound, factor=1) & (found.position > 0))
    assert 0 < read.ordinary.sum() < len(read) - 1
    for wrong in (0.0, -1.0, float("nan"), "5"):
        with pytest.raises((TypeError, ValueError), match="^massive_norm must be"):
            features.read_activations(found, made, hook, tiny_model.tokenizer, massive_norm=wrong)


def test_activations_with_holes_are_refused():
    dictionary = sae.TopKSAE(8, 16, k=2)
    x = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
    text, position = torch.tensor([0, 0, 0, 1, 1]), torch.tensor([0, 1, 2, 0, 1])
    tokenizer = SimpleNamespace(decode=lambda ids: WORDS[ids[0]])
    whole = Activations({"h": x}, text, position, torch.arange(5))
    found = sae.read_activations(whole, dictionary, "h", tokenizer)
    assert found.ordinary.tolist() == [False, True, True, False, True] and found.words() == WORDS[:5]
    for keep in ([0, 2, 3, 4], [1, 2, 3, 4], [0, 1, 2, 4]):
        some = Activations({"h": x[keep]}, text[keep], position[keep], torch.arange(5)[keep])
        with pytest.raises(ValueError, match="holes"):
            sae.read_activations(some, dictionary, "h", tokenizer)
