"""Live views for notebooks: thin shells over pure functions that return HTML.

Each shell shows the same thing three ways: a widget where widgets run (ipywidgets 7.7 and 8), plain HTML where they
don't (a stored notebook, a web page), and readable text in a terminal. Everything works from the keyboard, and
nothing is loaded from the network.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from utils.checks import Question

_WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
# Long options and labels must wrap instead of being cut; ipywidgets 7 and 8 both clip them otherwise.
_CSS = (
    "<style>.lab-widget .widget-radio-box label{display:flex;align-items:flex-start;height:auto;white-space:normal;"
    "line-height:1.35;margin:3px 0}.lab-widget .widget-radio-box input{order:-1;flex:none;margin:1px 8px 0 0}"
    ".lab-widget .widget-radio-box{max-width:760px;height:auto}.lab-widget .widget-html-content{line-height:1.4}"
    ".lab-widget{overflow:visible}</style>"
)


@dataclass(frozen=True)
class Text:
    """A line of text the learner types. label: shown beside it."""

    label: str
    value: str


@dataclass(frozen=True)
class Slider:
    """A number on a slider, from low to high (both included) in steps. Whole numbers if all four are."""

    label: str
    value: float
    low: float
    high: float
    step: float = 1


@dataclass(frozen=True)
class Choice:
    """One of several options, from a drop-down list."""

    label: str
    value: str
    options: Sequence[str]


Control = Text | Slider | Choice


def explore(render: Callable[..., str], controls: Mapping[str, Control], title: str, code: str) -> None:
    """Show controls above what `render` makes of them, and redraw when a control changes.

    render: called with one keyword argument a control, returns HTML (`plots.html`, `plots.tokens_html`, a table). An
    error it raises is shown as a sentence, and the last good view is gone, not left to mislead.
    controls: keyword name -> control. code: the plain-code way to do the same, shown below ("logit_lens(model, …)").
    Raises ValueError for no controls, a value outside its range, or a missing title or code.
    """
    import ipywidgets as w

    if not controls or not title or not code:
        raise ValueError(
            f"explore needs a title, code and controls, got {title!r}, {code!r} and {len(controls)} controls"
        )
    inputs = {name: _input(name, control) for name, control in controls.items()}
    first = _rendered(render, {name: control.value for name, control in controls.items()})
    view = w.HTML(first)
    status = w.HTML(_status("Ready. Change a control to redraw."))

    def redraw(_change: Any) -> None:
        status.value = _status("Working …")
        view.value = _rendered(render, {name: box.value for name, box in inputs.items()})
        status.value = _status("Redrawn.")

    for box in inputs.values():
        box.observe(redraw, names="value")
    how = f"<p style='font-size:0.9em'>The same in plain code: <code>{html.escape(code)}</code></p>"
    heading = f"<strong>{html.escape(title)}</strong>"
    shell = w.VBox([w.HTML(_CSS + heading), *inputs.values(), status, view, w.HTML(how)])
    shell.add_class("lab-widget")
    settings = "".join(
        f"<li>{html.escape(control.label)}: <code>{html.escape(str(control.value))}</code></li>"
        for control in controls.values()
    )
    still = f"<section>{heading}<ul>{settings}</ul>{first}{how}</section>"
    _display(shell, still, f"{title}\n{_as_text(first)}\nThe same in plain code: {code}")


def search(
    find: Callable[[str], Sequence[tuple[str, Any]]],
    render: Callable[[Any], str],
    query: str,
    label: str,
    title: str,
    code: str,
) -> None:
    """A search box, the list of what it finds, and a page on the entry that is chosen.

    find: takes what was typed, gives (text of the entry, key), best first. render: takes a key, gives HTML.
    query: searched for at the start; label: what to type, shown beside the box. An error in either is shown as a
    sentence. Arrow keys walk through the list. code: the plain-code way to do the same.
    Raises ValueError for a missing query, title, label or code.
    """
    import ipywidgets as w

    if not (query and label and title and code):
        raise ValueError(f"search needs a query, label, title and code, got {query!r}, {label!r}, {title!r}, {code!r}")
    box = _input("query", Text(label, query))
    found = w.Select(
        options=[],
        description="Found",
        rows=6,
        style={"description_width": "initial"},
        layout=w.Layout(width="min(640px, 95%)"),
    )
    status, view = w.HTML(), w.HTML()
    searching = False  # while the list is filled its value changes by itself; that is nobody's choice

    def look(_change: Any = None) -> None:
        nonlocal searching
        status.value = _status("Searching …")
        searching = True
        try:
            entries = list(find(box.value))
            problem = "" if entries else "<p>Nothing found. Try a shorter or commoner word.</p>"
        except Exception as error:  # an odd pattern must get a sentence, not a dead widget
            entries, problem = [], _sentence(error)
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
    how = f"<p style='font-size:0.9em'>The same in plain code: <code>{html.escape(code)}</code></p>"
    heading = f"<strong>{html.escape(title)}</strong>"
    shell = w.VBox([w.HTML(_CSS + heading), box, found, status, view, w.HTML(how)])
    shell.add_class("lab-widget")
    entries = "".join(f"<li>{html.escape(text)}</li>" for text, _ in found.options)
    still = f"<section>{heading}<p>{html.escape(label)}: <code>{html.escape(query)}</code></p><ol>{entries}</ol>"
    still += f"{view.value}{how}</section>"
    _display(shell, still, f"{title}\n{_as_text(still)}")


def quiz(questions: Sequence[Question], lesson: str) -> None:
    """Show multiple-choice questions; choosing an option shows its feedback. Raises ValueError for an empty quiz."""
    import ipywidgets as w

    if not questions:
        raise ValueError(f"lesson {lesson} has no quiz questions")
    boxes = [_question_box(number, question) for number, question in enumerate(questions, start=1)]
    shell = w.VBox([w.HTML(_CSS), *boxes])
    shell.add_class("lab-widget")
    still, plain = [], []
    for number, question in enumerate(questions, start=1):
        unfold = "".join(
            f"<details><summary>{inline_code(option.text)}</summary><p>{_feedback(option)}</p></details>"
            for option in question.options
        )
        still.append(f"<section><p><strong>{number}. {inline_code(question.prompt)}</strong></p>{unfold}</section>")
        answers = "\n".join(f"   - {option.text}" for option in question.options)
        plain.append(f"{number}. {question.prompt}\n{answers}")
    _display(shell, "".join(still), "\n".join(plain))


def _question_box(number: int, question: Question) -> Any:
    import ipywidgets as w

    options = {option.text: option for option in question.options}
    radio = w.RadioButtons(options=list(options), value=None, layout=w.Layout(width="auto"))
    feedback = w.HTML('<div role="status" aria-live="polite"></div>')

    def answer(change: Mapping[str, Any]) -> None:
        chosen = options.get(change["new"])
        text = _feedback(chosen) if chosen else ""
        feedback.value = f'<div role="status" aria-live="polite">{text}</div>'

    radio.observe(answer, names="value")
    prompt = w.HTML(f"<p style='margin:10px 0 2px'><strong>{number}. {inline_code(question.prompt)}</strong></p>")
    return w.VBox([prompt, radio, feedback])


def _feedback(option: Any) -> str:
    mark, edge = ("✔ Yes.", "#009E73") if option.right else ("✘ Not this one.", "#D55E00")
    style = f"border-left:5px solid {edge};padding-left:8px"
    return f'<span style="{style}"><strong>{mark}</strong> {inline_code(option.feedback)}</span>'


def _input(name: str, control: Control) -> Any:
    import ipywidgets as w

    wide = {"style": {"description_width": "initial"}, "layout": w.Layout(width="min(640px, 95%)")}
    if isinstance(control, Text):
        # A text box redraws on Enter or when the focus leaves it, not at every letter.
        return w.Text(value=control.value, description=control.label, continuous_update=False, **wide)
    if isinstance(control, Slider):
        if not control.low <= control.value <= control.high:
            raise ValueError(f"{name}: value must lie in [{control.low}, {control.high}], got {control.value}")
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
    if isinstance(control, Choice):
        if control.value not in control.options:
            raise ValueError(f"{name}: value must be one of {list(control.options)}, got {control.value!r}")
        return w.Dropdown(options=list(control.options), value=control.value, description=control.label, **wide)
    raise TypeError(f"{name} must be a Text, Slider or Choice, got {type(control).__name__}")


def _rendered(render: Callable[..., str], values: Mapping[str, Any] | tuple[Any, ...]) -> str:
    try:
        return render(**values) if isinstance(values, Mapping) else render(*values)
    except Exception as error:  # a learner's odd prompt must get a sentence, not a dead widget
        return _sentence(error)


def _sentence(error: Exception) -> str:
    return f'<p role="alert">✘ {html.escape(type(error).__name__)}: {html.escape(str(error))}</p>'


def _status(text: str) -> str:
    return f'<span role="status" aria-live="polite" style="font-size:0.85em">{text}</span>'


def inline_code(text: str) -> str:
    """Text as HTML, with what stands between backticks set as code."""
    parts = html.escape(text).split("`")
    return "".join(f"<code>{p}</code>" if i % 2 and i < len(parts) - 1 else p for i, p in enumerate(parts))


def _as_text(markup: str) -> str:
    """What a terminal shows of some HTML: alt texts and words, no tags."""
    markup = re.sub(r'<img[^>]*?alt="([^"]*)"[^>]*>', r"[figure: \1] ", markup)
    lines = re.sub(r"<(?:br|/p|/tr|/li|/figure|/figcaption|/details|/summary)[^>]*>", "\n", markup)
    words = html.unescape(re.sub(r"<[^>]+>", " ", lines))
    return "\n".join(" ".join(line.split()) for line in words.splitlines() if line.strip())


def _display(shell: Any, still: str, plain: str) -> None:
    """Display a widget together with what stands in for it where widgets don't run."""
    from IPython.display import display

    view = {"version_major": 2, "version_minor": 0, "model_id": shell.model_id}
    display({_WIDGET_VIEW: view, "text/html": still, "text/plain": plain}, raw=True)
