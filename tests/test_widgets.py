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
        if not word:
            raise ValueError("word must not be empty")
        return f"<p>{word} at {layer}</p>"

    controls = {"word": widgets.Text("Word", "cat"), "layer": widgets.Slider("Layer", 3, 0, 9)}
    widgets.explore(render, controls, "Title", "render(word, layer)")
    bundle = shown[0]
    assert "cat at 3" in bundle["data"]["text/html"] and "cat at 3" in bundle["data"]["text/plain"]
    parts = list(descendants(live(bundle)))
    text = next(p for p in parts if type(p).__name__ == "Text")
    slider = next(p for p in parts if type(p).__name__ == "IntSlider")
    views = [p for p in parts if type(p).__name__ == "HTML"]
    text.value, slider.value = "dog", 5
    assert any("dog at 5" in view.value for view in views)
    text.value = ""
    assert any("ValueError: word must not be empty" in view.value for view in views)
    assert text.description == "Word" and slider.description == "Layer"


def test_search_lists_what_it_finds_and_shows_the_entry_chosen(shown):
    animals = {"cat": "says miaow", "cow": "says moo", "dog": "says woof"}

    def find(typed):
        if typed == "[":
            raise ValueError("not a pattern")
        return [(f"animal {name}", name) for name in animals if name.startswith(typed)]

    widgets.search(find, lambda name: f"<p>{animals[name]}</p>", "c", "Animal", "Zoo", "find('c')")
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
    text.value = "d"
    assert list(found.options) == [("animal dog", "dog")] and says("woof")
    text.value = "x"
    assert len(found.options) == 0 and says("Nothing found") and not says("woof")
    text.value = "["
    assert says("ValueError: not a pattern") and len(found.options) == 0
    text.value = "c"
    assert says("miaow") and found.index == 0
    with pytest.raises(ValueError, match="search needs"):
        widgets.search(find, str, "", "Animal", "Zoo", "code")


def test_bad_controls_are_named():
    with pytest.raises(ValueError, match="controls"):
        widgets.explore(str, {}, "t", "c")
    with pytest.raises(ValueError, match="layer: value must lie in"):
        widgets.explore(str, {"layer": widgets.Slider("Layer", 30, 0, 9)}, "t", "c")
    with pytest.raises(ValueError, match="must be one of"):
        widgets.explore(str, {"kind": widgets.Choice("Kind", "c", ["a", "b"])}, "t", "c")
    with pytest.raises(TypeError, match="Text, Slider or Choice"):
        widgets.explore(str, {"kind": "text"}, "t", "c")
    with pytest.raises(ValueError, match="no quiz questions"):
        widgets.quiz([], "01")


@pytest.mark.parametrize("lesson", checks.lessons())
def test_every_quiz_of_the_course_can_be_shown(shown, lesson):
    widgets.quiz(checks.quiz(lesson), lesson)
    options = sum(len(question.options) for question in checks.quiz(lesson))
    assert shown[0]["data"]["text/html"].count("<details>") == options
