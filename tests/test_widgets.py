"""Widgets: they answer to every option, survive bad input, and leave readable HTML where widgets don't run."""

import pytest
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell

from utils import checks, widgets
from utils.checks import Option, Question

QUESTIONS = [
    Question(
        "What does `x` <mean>?",
        [
            Option("One", True, "Right, because."),
            Option("Two", False, "No, since."),
            Option("Three", False, "Nor this."),
        ],
    )
]

SLIDER = {"n": widgets.Slider("Number", 3, 0, 9)}


@pytest.fixture
def shown(monkeypatch):
    """The mime bundles that display() was given."""
    shell = InteractiveShell.instance()
    publisher = CapturingDisplayPublisher()
    monkeypatch.setattr(shell, "display_pub", publisher)
    yield publisher.outputs
    InteractiveShell.clear_instance()


def descendants(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from descendants(child)


def live(bundle):
    from ipywidgets import Widget

    registry = getattr(Widget, "_active_widgets", None) or getattr(Widget, "widgets", None)
    if registry is None:
        import ipywidgets.widgets.widget as module

        registry = module._instances
    return registry[bundle["data"]["application/vnd.jupyter.widget-view+json"]["model_id"]]


def test_quiz_answers_every_option_and_has_a_still_form(shown):
    widgets.quiz(QUESTIONS, "01")
    bundle = shown[0]
    still, plain = bundle["data"]["text/html"], bundle["data"]["text/plain"]
    assert still.count("<details>") == 3 and "Right, because." in still and "No, since." in still
    assert "<code>x</code> &lt;mean&gt;" in still and "One" in plain
    parts = list(descendants(live(bundle)))
    radio = next(p for p in parts if type(p).__name__ == "RadioButtons")
    feedback = parts[parts.index(radio) + 1]
    assert radio.value is None, "no answer is chosen for the learner"
    for option in QUESTIONS[0].options:
        radio.value = option.text
        assert option.feedback in feedback.value and ("✔" in feedback.value) == option.right


def test_explore_redraws_and_turns_errors_into_sentences(shown):
    def render(word, layer):
        if word == "cow":
            raise ValueError("no cows")
        return f"<p>{word} at {layer}</p>"

    controls = {"word": widgets.Text("Word", "cat"), "layer": widgets.Slider("Layer", 3, 0, 9)}
    widgets.explore(render, controls, "Title", "render({word}, layer={layer})")
    bundle = shown[0]
    assert "cat at 3" in bundle["data"]["text/html"] and "cat at 3" in bundle["data"]["text/plain"]
    parts = list(descendants(live(bundle)))
    text = next(p for p in parts if type(p).__name__ == "Text")
    slider = next(p for p in parts if type(p).__name__ == "IntSlider")
    views = [p for p in parts if type(p).__name__ == "HTML"]
    text.value, slider.value = "dog", 5
    assert any("dog at 5" in view.value for view in views)
    code = "render(&#x27;dog&#x27;, layer=5)"
    assert any(code in view.value for view in views), "the plain code follows the controls"
    text.value = "cow"
    assert any("ValueError: no cows" in view.value for view in views)
    for nothing in ("", "  "):
        text.value = nothing
        assert any("type something into “Word”" in view.value for view in views), "not the renderer's own complaint"
    assert text.description == "Word" and slider.description == "Layer"


def test_a_button_shows_one_example_after_the_other_and_draws_each_once(shown):
    drawn = []

    def render(word, layer):
        drawn.append((word, layer))
        return f"<p>{word} at {layer}</p>"

    controls = {"word": widgets.Text("Word", "cat"), "layer": widgets.Slider("Layer", 3, 0, 9)}
    examples = [{"word": "cow", "layer": 1}, {"word": "dog", "layer": 2}, {"word": "eel"}]
    widgets.explore(render, controls, "Title", "render({word}, {layer})", examples)
    button = next(p for p in descendants(live(shown[0])) if type(p).__name__ == "Button")
    assert button.description == "Show me a random one"
    for _ in range(3):
        button.click()
    assert sorted(word for word, _ in drawn[1:]) == ["cow", "dog", "eel"] and drawn[0] == ("cat", 3)
    button.click()
    assert drawn[4][0] == drawn[1][0], "after the last the first comes again"
    widgets.explore(render, controls, "Title", "render({word}, {layer})")
    assert not [p for p in descendants(live(shown[1])) if type(p).__name__ == "Button"]


def test_search_lists_what_it_finds_and_shows_the_entry_chosen(shown):
    animals = {"cat": "says miaow", "cow": "says moo", "dog": "says woof"}

    def find(typed):
        if typed == "[":
            raise ValueError("not a pattern")
        return [(f"animal {name}", name) for name in animals if name.startswith(typed)]

    widgets.search(find, lambda name: f"<p>{animals[name]}</p>", "c", "Animal", "Zoo", "find({query})")
    bundle = shown[0]
    still, plain = bundle["data"]["text/html"], bundle["data"]["text/plain"]
    assert "animal cat" in still and "animal cow" in still and "animal dog" not in still and "miaow" in plain
    parts = list(descendants(live(bundle)))
    text = next(p for p in parts if type(p).__name__ == "Text")
    found = next(p for p in parts if type(p).__name__ == "Select")

    def says(words):
        return any(words in part.value for part in parts if type(part).__name__ == "HTML")

    assert says("miaow") and says("2 found")
    found.index = 1
    assert says("says moo") and says("Showing animal cow") and not says("miaow")
    text.value = " "
    assert says("type something into “Animal”") and len(found.options) == 0
    text.value = "d"
    assert list(found.options) == [("animal dog", "dog")] and says("woof") and says("find(&#x27;d&#x27;)")
    text.value = "x"
    assert len(found.options) == 0 and says("Nothing found") and not says("woof")
    text.value = "["
    assert says("ValueError: not a pattern") and len(found.options) == 0
    text.value = "c"
    assert says("miaow") and found.index == 0
    with pytest.raises(ValueError, match="query must hold some text"):
        widgets.search(find, str, "", "Animal", "Zoo", "code")
    with pytest.raises(ValueError, match=r"code must hold \{query\}"):
        widgets.search(find, str, "c", "Animal", "Zoo", "find('c')")


def test_an_empty_text_may_mean_something(shown):
    controls = {"note": widgets.Text("Note", "", may_be_empty=True)}
    widgets.explore(lambda note: f"<p>note: [{note}]</p>", controls, "Title", "f({note}, {{}}, {note!s})")
    assert "note: []" in shown[0]["data"]["text/html"]
    assert "f(&#x27;&#x27;, {}, )" in shown[0]["data"]["text/html"]


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: widgets.explore(str, {}, "t", "c"), ValueError, "controls must hold at least one"),
        (lambda: widgets.explore("f", SLIDER, "t", "{n}"), TypeError, "render must be a function"),
        (lambda: widgets.explore(str, SLIDER, "", "{n}"), ValueError, "title must hold some text"),
        (lambda: widgets.explore(str, SLIDER, "t", "f(3)"), ValueError, r"code must hold \{n\}"),
        (lambda: widgets.explore(str, SLIDER, "t", "f({m}, {n})"), ValueError, "braces that name no control"),
        (lambda: widgets.explore(str, SLIDER, "t", "f({n}, {)"), ValueError, "braces that name no control"),
        (lambda: widgets.explore(str, {"kind": "text"}, "t", "c"), TypeError, r"controls\['kind'\] must be a Text or"),
        (lambda: widgets.explore(str, SLIDER, "t", "{n}", [{"m": 1}]), ValueError, "'m', which is no control"),
        (
            lambda: widgets.explore(str, SLIDER, "t", "{n}", [{"n": 10}]),
            ValueError,
            r"examples\[0\]\['n'\]: value must lie",
        ),
        (lambda: widgets.Slider("Layer", 30, 0, 9), ValueError, "value must lie between low and high, 0 and 9, got 30"),
        (lambda: widgets.Slider("Layer", 3, 0, 9, 0), ValueError, "step must be above 0"),
        (lambda: widgets.Slider("Layer", float("nan"), 0, 9), ValueError, "value must be a finite number"),
        (lambda: widgets.Choice("Kind", "c", ["a", "b"]), ValueError, "value must be one of 'a', 'b', got 'c'"),
        (lambda: widgets.Choice("Kind", "a", "abc"), TypeError, "options must be a list of texts"),
        (lambda: widgets.Text("", "a"), ValueError, "label must hold some text"),
        (lambda: widgets.quiz([], "01"), ValueError, "no quiz questions"),
        (lambda: widgets.quiz(["what?"], "01"), TypeError, r"questions\[0\] must be a Question"),
    ],
)
def test_bad_controls_are_named(call, error, words):
    with pytest.raises(error, match=words):
        call()


@pytest.mark.parametrize("lesson", checks.lessons())
def test_every_quiz_of_the_course_can_be_shown(shown, lesson):
    widgets.quiz(checks.quiz(lesson), lesson)
    options = sum(len(question.options) for question in checks.quiz(lesson))
    assert shown[0]["data"]["text/html"].count("<details>") == options


@pytest.mark.parametrize(
    ("text", "shown_as"),
    [
        ("in the *same layers*?", "in the <em>same layers</em>?"),
        ("(*mean* of **squares**)", "(<em>mean</em> of <strong>squares</strong>)"),
        ("`a * b` is 2 * 3 * 4, x*y*z", "<code>a * b</code> is 2 * 3 * 4, x*y*z"),
        ("one ` alone, *so* <b>", "one ` alone, <em>so</em> &lt;b&gt;"),
        ("*a", "*a"),
    ],
)
def test_small_markdown_is_shown_as_it_is_meant(text, shown_as):
    assert widgets.inline_markdown(text) == shown_as


def test_labels_of_options_hold_no_markdown(shown):
    options = [Option("Cut out of `acts`, *not* <b>", True, "y"), Option("2 * 3", False, "n")]
    widgets.quiz([Question("Why *that*?", options)], "01")
    (radio,) = [w for w in descendants(live(shown[0])) if type(w).__name__ == "RadioButtons"]
    assert radio.options == ("Cut out of acts, not <b>", "2 * 3")
