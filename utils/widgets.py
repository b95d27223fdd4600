"""Live views for notebooks: thin shells over pure functions that return HTML.

Each shell shows the same thing three ways: a widget where widgets run (ipywidgets 7.7 and 8), plain HTML where they
don't (a stored notebook, a web page), and readable text in a terminal. Everything works from the keyboard, and
nothing is loaded from the network.
"""

from __future__ import annotations

import html
import itertools
import random
import re
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from utils import inputs
from utils.inputs import checked

if TYPE_CHECKING:  # widgets lie below the checks, whose questions they only show
    from utils.checks import Option, Question

_WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
# Long options and labels must wrap instead of being cut; ipywidgets 7 and 8 both clip them otherwise.
CSS = (
    "<style>.lab-widget .widget-radio-box label{display:flex;align-items:flex-start;height:auto;white-space:normal;"
    "line-height:1.35;margin:3px 0}.lab-widget .widget-radio-box input{order:-1;flex:none;margin:1px 8px 0 0}"
    ".lab-widget .widget-radio-box{max-width:760px;height:auto}.lab-widget .widget-html-content{line-height:1.4}"
    ".lab-widget{overflow:visible}</style>"
)


@checked
@dataclass(frozen=True)
class Text:
    """A line of text the learner types. label: shown beside it. may_be_empty: an empty line means something, too."""

    label: inputs.Text
    value: str
    may_be_empty: bool = False


@checked
@dataclass(frozen=True)
class Slider:
    """A number on a slider, from low to high (both included) in steps. Whole numbers if all four are.

    Raises ValueError for a value outside or a step that isn't above 0.
    """

    label: inputs.Text
    value: float
    low: float
    high: float
    step: inputs.Positive = 1

    def __post_init__(self) -> None:
        if not self.low <= self.value <= self.high:
            raise ValueError(f"value must lie between low and high, {self.low} and {self.high}, got {self.value}")


@checked
@dataclass(frozen=True)
class Choice:
    """One of several options, from a drop-down list. Raises ValueError for a value that isn't one of them."""

    label: inputs.Text
    value: str
    options: inputs.Texts

    def __post_init__(self) -> None:
        if self.value not in self.options:
            raise ValueError(f"value must be one of {', '.join(map(repr, self.options))}, got {self.value!r}")


Control = Text | Slider | Choice


@checked
def explore(
    render: Callable[..., str],
    controls: Mapping[str, Control],
    title: inputs.Text,
    code: inputs.Text,
    examples: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Show controls above what `render` makes of them, and redraw when a control changes.

    render: called with one keyword argument a control, returns HTML (`plots.html`, `plots.tokens_html`, a table). An
    error it raises is shown as a sentence, and the last good view is gone, not left to mislead. It isn't called while
    a text is empty that may not be. controls: keyword name -> control.
    code: the plain-code way to do the same, shown below with the controls' present values where their names stand in
    braces, as Python writes them: "logit_lens(model, {prompt}, depth={depth})"; {depth!s} is the bare text.
    examples: settings, {control: value} each, that a button "Show me a random one" takes in a shuffled order, all of
    them before one comes again.
    Raises ValueError for no controls, code that leaves one of them out, or an example that a control can't take.
    """
    import ipywidgets as w

    if not controls:
        raise ValueError("controls must hold at least one control, got none")
    start = {name: control.value for name, control in controls.items()}
    _check_code(code, start)
    boxes = {name: _input(control) for name, control in controls.items()}
    for number, example in enumerate(examples):
        _check_example(f"examples[{number}]", example, controls)

    def drawn(values: Mapping[str, Any]) -> str:
        missing = [c for name, c in controls.items() if isinstance(c, Text) and _is_missing(c, values[name])]
        return _ask_for(missing[0].label) if missing else _rendered(render, values)

    first = drawn(start)
    view, status, how = w.HTML(first), w.HTML(_status("Ready. Change a control to redraw.")), w.HTML(_how(code, start))

    several = False  # while an example sets control after control, nothing is drawn before the last

    def redraw(_change: Any = None) -> None:
        if several:
            return
        status.value = _status("Working …")
        values = {name: box.value for name, box in boxes.items()}
        view.value, how.value = drawn(values), _how(code, values)
        status.value = _status("Redrawn.")

    order = itertools.cycle(random.Random(0).sample(list(examples), len(examples)))

    def surprise(_button: Any) -> None:
        nonlocal several
        several = True
        try:
            for name, value in next(order).items():
                boxes[name].value = value
        finally:
            several = False
        redraw()

    for box in boxes.values():
        box.observe(redraw, names="value")
    button = w.Button(description="Show me a random one", layout=w.Layout(width="max-content"))
    button.on_click(surprise)
    heading = f"<strong>{html.escape(title)}</strong>"
    buttons = [button] if examples else []
    shell = w.VBox([w.HTML(CSS + heading), *boxes.values(), *buttons, status, view, how])
    shell.add_class("lab-widget")
    settings = "".join(
        f"<li>{html.escape(control.label)}: <code>{html.escape(str(control.value))}</code></li>"
        for control in controls.values()
    )
    still = f"<section>{heading}<ul>{settings}</ul>{first}{_how(code, start)}</section>"
    show(shell, still, f"{title}\n{_as_text(first)}\nThe same in plain code: {_spelled(code, start)}")


@checked
def search(
    find: Callable[[str], Sequence[tuple[str, Any]]],
    render: Callable[[Any], str],
    query: inputs.Text,
    label: inputs.Text,
    title: inputs.Text,
    code: inputs.Text,
) -> None:
    """A search box, the list of what it finds, and a page on the entry that is chosen.

    find: takes what was typed, gives (text of the entry, key), best first. render: takes a key, gives HTML.
    query: searched for at the start; label: what to type, shown beside the box. An error in either is shown as a
    sentence. Arrow keys walk through the list. code: the plain-code way to do the same, with {query} where what was
    typed stands. Raises ValueError for code without it.
    """
    import ipywidgets as w

    _check_code(code, {"query": query})
    box = _input(Text(label, query))
    found = w.Select(
        options=[],
        description="Found",
        rows=6,
        style={"description_width": "initial"},
        layout=w.Layout(width="min(640px, 95%)"),
    )
    status, view, how = w.HTML(), w.HTML(), w.HTML()
    searching = False  # while the list is filled its value changes by itself; that is nobody's choice

    def look(_change: Any = None) -> None:
        nonlocal searching
        status.value, how.value = _status("Searching …"), _how(code, {"query": box.value})
        searching = True
        entries, problem = _looked_up(find, box.value, label)
        found.options = entries
        found.index = 0 if entries else None
        searching = False
        view.value = _rendered(render, (entries[0][1],)) if entries else problem
        status.value = _status(f"{len(entries)} found. Choose one to read it.")

    def choose(change: Mapping[str, Any]) -> None:
        if not searching and change["new"] is not None:
            view.value = _rendered(render, (found.value,))
            status.value = _status(f"Showing {found.label}.")

    box.observe(look, names="value")
    found.observe(choose, names="index")
    look()
    heading = f"<strong>{html.escape(title)}</strong>"
    shell = w.VBox([w.HTML(CSS + heading), box, found, status, view, how])
    shell.add_class("lab-widget")
    listed = "".join(f"<li>{html.escape(text)}</li>" for text, _ in found.options)
    still = f"<section>{heading}<p>{html.escape(label)}: <code>{html.escape(query)}</code></p><ol>{listed}</ol>"
    still += f"{view.value}{how.value}</section>"
    show(shell, still, f"{title}\n{_as_text(still)}")


def _looked_up(find: Callable, typed: str, label: str) -> tuple[list[tuple[str, Any]], str]:
    """What was found, or else a sentence that says why nothing was."""
    if not typed.strip():
        return [], _ask_for(label)
    try:
        entries = list(find(typed))
    except Exception as error:  # an odd pattern must get a sentence, not a dead widget
        return [], _sentence(error)
    return entries, "" if entries else "<p>Nothing found. Try a shorter or commoner word.</p>"


@checked
def quiz(questions: Sequence[Question], lesson: inputs.Text) -> None:
    """Show multiple-choice questions; choosing an option shows its feedback. Raises ValueError for an empty quiz."""
    import ipywidgets as w

    for i, question in enumerate(questions):
        if not (hasattr(question, "prompt") and hasattr(question, "options")):
            raise TypeError(f"questions[{i}] must be a Question, got {inputs.what(question)}")
    if not questions:
        raise ValueError(f"questions must hold at least one: lesson {lesson} has no quiz questions")
    boxes = [_question_box(number, question) for number, question in enumerate(questions, start=1)]
    shell = w.VBox([w.HTML(CSS), *boxes])
    shell.add_class("lab-widget")
    still, plain = [], []
    for number, question in enumerate(questions, start=1):
        unfold = "".join(
            f"<details><summary>{inline_markdown(option.text)}</summary><p>{_feedback(option)}</p></details>"
            for option in question.options
        )
        still.append(f"<section><p><strong>{number}. {inline_markdown(question.prompt)}</strong></p>{unfold}</section>")
        answers = "\n".join(f"   - {option.text}" for option in question.options)
        plain.append(f"{number}. {question.prompt}\n{answers}")
    show(shell, "".join(still), "\n".join(plain))


def _question_box(number: int, question: Question) -> Any:
    import ipywidgets as w

    options = {_unmarked(option.text): option for option in question.options}
    radio = w.RadioButtons(options=list(options), value=None, layout=w.Layout(width="auto"))
    feedback = w.HTML('<div role="status" aria-live="polite"></div>')

    def answer(change: Mapping[str, Any]) -> None:
        chosen = options.get(change["new"])
        text = _feedback(chosen) if chosen else ""
        feedback.value = f'<div role="status" aria-live="polite">{text}</div>'

    radio.observe(answer, names="value")
    prompt = w.HTML(f"<p style='margin:10px 0 2px'><strong>{number}. {inline_markdown(question.prompt)}</strong></p>")
    return w.VBox([prompt, radio, feedback])


def _feedback(option: Option) -> str:
    mark, edge = ("✔ Yes.", "#009E73") if option.right else ("✘ Not this one.", "#D55E00")
    style = f"border-left:5px solid {edge};padding-left:8px"
    return f'<span style="{style}"><strong>{mark}</strong> {inline_markdown(option.feedback)}</span>'


def _input(control: Control) -> Any:
    import ipywidgets as w

    wide = {"style": {"description_width": "initial"}, "layout": w.Layout(width="min(640px, 95%)")}
    if isinstance(control, Text):
        # A text box redraws on Enter or when the focus leaves it, not at every letter.
        return w.Text(value=control.value, description=control.label, continuous_update=False, **wide)
    if isinstance(control, Choice):
        return w.Dropdown(options=list(control.options), value=control.value, description=control.label, **wide)
    whole = all(float(v).is_integer() for v in (control.value, control.low, control.high, control.step))
    kind = w.IntSlider if whole else w.FloatSlider
    number = int if whole else float
    return kind(
        value=number(control.value),
        min=number(control.low),
        max=number(control.high),
        step=number(control.step),
        description=control.label,
        continuous_update=False,
        **wide,
    )


class _Spelled:
    """A value that a format string writes as Python does; with !s, as its bare text."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __format__(self, spec: str) -> str:
        return repr(self.value)

    def __str__(self) -> str:
        return str(self.value)


def _spelled(code: str, values: Mapping[str, Any]) -> str:
    tidy = {name: round(value, 10) if isinstance(value, float) else value for name, value in values.items()}
    return code.format(**{name: _Spelled(value) for name, value in tidy.items()})


def _check_code(code: str, values: Mapping[str, Any]) -> None:
    """Raise ValueError unless the code says where each control's value goes."""
    try:
        _spelled(code, values)
        named = {field for _, field, _, _ in string.Formatter().parse(code) if field is not None}
    except (KeyError, IndexError, ValueError) as error:
        raise ValueError(f"code holds braces that name no control ({error}); write {{{{ for a brace itself") from None
    if missing := [f"{{{name}}}" for name in values if name not in named]:
        raise ValueError(f"code must hold {', '.join(missing)}, where the value goes, got {code!r}")


def _check_example(name: str, example: Mapping[str, Any], controls: Mapping[str, Control]) -> None:
    """Raise ValueError unless an example gives controls that there are values which they can take."""
    for key, value in example.items():
        if key not in controls:
            raise ValueError(f"{name} names {key!r}, which is no control; there are {', '.join(controls)}")
        try:
            replace(controls[key], value=value)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name}[{key!r}]: {error}") from None


def _how(code: str, values: Mapping[str, Any]) -> str:
    shown = html.escape(_spelled(code, values))
    return f"<p style='font-size:0.9em'>The same in plain code: <code>{shown}</code></p>"


def _is_missing(control: Text, typed: str) -> bool:
    return not control.may_be_empty and not typed.strip()


def _ask_for(label: str) -> str:
    return f'<p role="alert">Nothing to read yet: type something into “{html.escape(label)}” and press Enter.</p>'


def _rendered(render: Callable[..., str], values: Mapping[str, Any] | tuple[Any, ...]) -> str:
    try:
        return render(**values) if isinstance(values, Mapping) else render(*values)
    except Exception as error:  # a learner's odd prompt must get a sentence, not a dead widget
        return _sentence(error)


def _sentence(error: Exception) -> str:
    return f'<p role="alert">✘ {html.escape(type(error).__name__)}: {html.escape(str(error))}</p>'


def _status(text: str) -> str:
    return f'<span role="status" aria-live="polite" style="font-size:0.85em">{text}</span>'


@checked
def inline_markdown(text: str) -> str:
    """Text as HTML: what stands between backticks is code, between stars *emphasis* or **bold**."""
    parts = html.escape(text).split("`")
    if len(parts) % 2 == 0:  # a backtick without a partner is a backtick
        parts[-2:] = ["`".join(parts[-2:])]
    return "".join(f"<code>{part}</code>" if i % 2 else _emphasised(part) for i, part in enumerate(parts))


def _emphasised(markup: str) -> str:
    """Stars that hug words become emphasis; those of a product (2 * 3) stay."""
    strong = re.sub(r"(?<![\w*])\*\*(?=\S)([^*]+)(?<=\S)\*\*(?![\w*])", r"<strong>\1</strong>", markup)
    return re.sub(r"(?<![\w*])\*(?=\S)([^*]+)(?<=\S)\*(?![\w*])", r"<em>\1</em>", strong)


def _unmarked(text: str) -> str:
    """Text for a place that shows no Markdown, such as the label of a button: without its backticks and stars."""
    return html.unescape(re.sub(r"</?(?:code|em|strong)>", "", inline_markdown(text)))


def _as_text(markup: str) -> str:
    """What a terminal shows of some HTML: alt texts and words, no tags."""
    markup = re.sub(r'<img[^>]*?alt="([^"]*)"[^>]*>', r"[figure: \1] ", markup)
    lines = re.sub(r"<(?:br|/p|/tr|/li|/figure|/figcaption|/details|/summary)[^>]*>", "\n", markup)
    words = html.unescape(re.sub(r"<[^>]+>", " ", lines))
    return "\n".join(" ".join(line.split()) for line in words.splitlines() if line.strip())


@checked
def show(shell: Any, still: str, plain: str) -> None:
    """Display a widget together with what stands in for it where widgets don't run."""
    from IPython.display import display

    view = {"version_major": 2, "version_minor": 0, "model_id": shell.model_id}
    display({_WIDGET_VIEW: view, "text/html": still, "text/plain": plain}, raw=True)
