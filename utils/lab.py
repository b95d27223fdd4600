"""The learner's desk: hand in an exercise, predict, see what was measured, take a quiz, see progress, read a card.

`check` is the course's one exercise mechanism. It always gives back a function that works (the learner's own once it
passes, the course's reference until then), so that a lesson runs from top to bottom whatever is answered.
"""

from __future__ import annotations

import csv
import html
import json
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from utils import checks, home, learner, predictions, widgets
from utils import measured as _values
from utils.checks import NOT_ATTEMPTED, NOT_YET, PASSED, handed, used
from utils.inputs import Count, NonNegative, Number, Text, Texts, checked
from utils.statistics import Interval

_MARK = {PASSED: "✔", NOT_ATTEMPTED: "○", NOT_YET: "✘"}
_WORD = {PASSED: "Passed", NOT_ATTEMPTED: "Not attempted", NOT_YET: "Not yet"}
_EDGE = {PASSED: "#009E73", NOT_ATTEMPTED: "#767676", NOT_YET: "#D55E00"}


class _Shown:
    """A message with a plain-text and an HTML form, for notebooks, terminals and screen readers alike."""

    def __init__(self, text: str, markup: str):
        self._text, self._markup = text, markup

    def __repr__(self) -> str:
        return self._text

    def _repr_html_(self) -> str:
        return self._markup


@checked
def check(number: Text, attempt: Any) -> Any:
    """Check an exercise, say how it went, and return what the lesson goes on with.

    number: the exercise, "3.1". attempt: the learner's function (itself, not its result: that is told), or their answer
    where one is asked for (a letter, a list of texts; None: not attempted). Says *not attempted*, *not yet* (naming the
    mistake) or *passed*. Returns the learner's own if it passed and the course's otherwise. Raises ValueError for a
    number that does not exist.
    """
    exercise = checks.find(number)
    verdict = checks.mark(exercise, attempt)
    handed.keep(number, attempt)
    _record(number, verdict.status, handed.without_the_learners(verdict.message, attempt))
    _display(_verdict_box(verdict))
    return used.watched(number, verdict.answer if verdict.status == PASSED else exercise.reference)


@checked
def passed(number: Text) -> None:
    """Go on only if what was handed in for an exercise ("3.1") passes; what `check` handed back doesn't count.

    For cells that are graded. Raises `NotPassed`, an AssertionError, with the check's message otherwise, and ValueError
    for a number that does not exist.
    """
    verdict = checks.mark(checks.find(number), handed.kept(number, _nothing))
    if verdict.status != PASSED:
        raise handed.NotPassed(repr(_verdict_box(verdict)))


def _nothing(*_: Any, **__: Any) -> None:
    """In the place of what was never handed in."""
    raise checks.NotAttempted


@checked
def quiz(lesson: Text) -> None:
    """Show a lesson's quiz ("03"): every option answers back. Without widgets, each option unfolds its feedback."""
    widgets.quiz(checks.quiz(lesson), lesson)


@checked
def measured(
    name: Text,
    value: Number | Interval,
    *,
    unit: Text,
    tolerance: NonNegative,
    interval: tuple[Number, Number] | None = None,
    n: Count | None = None,
    predicted: Text | None = None,
) -> None:
    """Show a measured number with the digits its interval deserves, and keep it for `say`.

    name: what was measured, once in a lesson. value: a number, or an Interval, which brings its interval and n.
    unit: what it is counted in. interval: its 95 % interval, if value is a number. n: how many independent things.
    tolerance: how far another CPU's value may be off; the course's tests hold a new run to it, and without an interval
    it sets the digits (0.01: two decimals). predicted: the key of the prediction that this answers; if there is one, it
    is shown beside. Raises ValueError for NaN, for an interval or n given twice or in the wrong order, and for a name
    that this cell has used already.
    """
    one = _values.entry(name, value, unit, tolerance, interval, n)
    _keep([one], _Shown(_values.one_as_text(one), _values.one_as_html(one)))
    if predicted is not None:
        _tell(predictions.shown(predicted, one.value, _values.sure_text(one)))


@checked
def predict(
    key: Text,
    question: Text,
    *,
    unit: Text | None = None,
    low: Number | None = None,
    high: Number | None = None,
    options: Texts | None = None,
    x: Sequence[Any] | None = None,
    x_label: Text | None = None,
    answer: Any = None,
) -> None:
    """Ask for a prediction before a result is shown, and keep it.

    key: the lesson and a word, "03.length". A number: unit, and low and high that bound what may be said; the learner
    gives a guess and a range they are 80 % sure of. A choice: options. A rough curve: a value at each of x (at most 8
    places), with x_label, unit, low and high. answer: the plain-code way: 0.3 or (0.3, 0.1, 0.6); "an option" or
    ("an option", 0.7), how sure; [values]. One that can't be read costs a sentence.
    It may be changed until `measured` (predicted=) or `reveal` shows the result. Raises ValueError for a question that
    isn't whole.
    """
    predictions.show(predictions.question(key, question, unit, low, high, options, x, x_label), answer)


@checked
def reveal(key: Text, truth: Any) -> None:
    """Show what was predicted beside what is true, if anything was: the true option, a number, or a curve's values.

    Raises TypeError or ValueError for a truth that can't answer the question.
    """
    _tell(predictions.shown(key, truth))


@checked
def prediction(key: Text) -> float | str | list[float] | None:
    """What the learner predicted (a number, an option, a curve's values), or None; for a figure to show beside."""
    entry = predictions.all_kept().get(key)
    return None if entry is None else entry["said"]


def _tell(sentence: str) -> None:
    """Show a sentence about the learner's own prediction; nothing, where there is none."""
    if sentence:
        style = "border-left:5px solid #0072B2;padding:4px 12px;margin:4px 0;max-width:760px"
        _display(_Shown(sentence, f'<div style="{style}">{html.escape(sentence)}</div>'))


@checked
def measured_table(
    title: Text,
    rows: Mapping[str, Any],
    *,
    unit: Text | Mapping[str, Text],
    tolerance: NonNegative | Mapping[str, NonNegative],
    n: Count | None = None,
) -> None:
    """Show measured numbers as a table, and keep each for `say` as "title · row · column".

    rows: {row: {column: value}}, or {row: value} for one column ("title · row"); values as in `measured`.
    unit, tolerance: for the whole table, or {column: its own}. n: of the values that are plain numbers.
    Raises as `measured` does.
    """
    found = _values.table(title, rows, unit, tolerance, n)
    _keep(list(found.cells.values()), _Shown(_values.table_as_text(found), _values.table_as_html(found)))


def _keep(values: list[_values.Measured], shown: _Shown) -> None:
    """Remember values, show them, and hold them against the stored ones where the suite asks for it."""
    _values.remember(values)
    _display(shown)
    _values.hold(values)


@checked
def say(markdown: Text) -> None:
    """Show a sentence (Markdown) made from measured numbers, so that no number in the text is typed by hand.

    Braces hold names of values that `measured` has shown: "reads {accuracy}" becomes "reads 0.803, 95 % [0.781, 0.824],
    n = 300"; {accuracy:value} is the number alone, {accuracy:interval} the number and its interval, {{ a brace.
    HTML and pictures in it are shown as they are written, never acted on: a sentence may quote a model.
    Raises ValueError for a brace that names nothing.
    """
    from IPython.display import Markdown

    _display(Markdown(_tame(_values.fill(markdown))))


_CODE = re.compile(r"((?<!`)(`+)(?!`)[^\n]+?(?<!`)\2(?!`))")


def _tame(markdown: str) -> str:
    """Markdown whose HTML tags and pictures are plain text. Code between backticks is text already."""
    parts = _CODE.split(markdown)  # text, code, its backticks, text, …
    for i in range(0, len(parts), 3):
        parts[i] = re.sub(r"<(?=[A-Za-z/!?])", "&lt;", parts[i]).replace("![", "!\\[")
    return "".join(part for i, part in enumerate(parts) if i % 3 < 2)


@checked
def replication_card(
    paper: str,
    arxiv: str,
    claim: str,
    there: Mapping[str, Any],
    here: Mapping[str, Any],
    why: Texts,
) -> None:
    """Show what a paper found beside what this notebook measured, and why they differ.

    there, here: the same rows for both ("model", "result", "n", "interval" …); a row missing on one side shows a dash.
    arxiv: the identifier alone, "2310.06824", or "" for work that has none. Braces in `here` and `why` hold names of
    measured values, as in `say`. Raises ValueError without `here`'s "result", without a reason in `why`, or for a brace
    that names nothing.
    """
    if "result" not in here:
        raise ValueError(f"here must have a 'result', got {', '.join(map(str, here)) or 'nothing'}")
    here = {row: _values.fill(told) if isinstance(told, str) else told for row, told in here.items()}
    why = [_values.fill(reason) for reason in why]
    rows = list(dict.fromkeys([*there, *here]))
    source = f"{paper} (arXiv {arxiv})" if arxiv else paper
    lines = [f"Replication card: {source}", f"Claim: {claim}"]
    lines += [f"  {row}: there {there.get(row, '–')} | here {here.get(row, '–')}" for row in rows]
    lines += ["Why they differ:", *(f"  - {reason}" for reason in why)]
    e = html.escape
    cell = 'style="text-align:left;vertical-align:top;padding:4px 12px 4px 0"'
    link = f'<a href="https://arxiv.org/abs/{e(arxiv)}">arXiv {e(arxiv)}</a>' if arxiv else "no arXiv number"
    body = "".join(
        f'<tr><th scope="row" {cell}>{e(row)}</th><td {cell}>{e(str(there.get(row, "–")))}</td>'
        f"<td {cell}>{e(str(here.get(row, '–')))}</td></tr>"
        for row in rows
    )
    _display(
        _Shown(
            "\n".join(lines),
            '<section style="border:1px solid #767676;border-radius:6px;padding:8px 14px;max-width:760px">'
            f"<strong>Replication card</strong> · {e(paper)} · {link}<br><em>{e(claim)}</em>"
            f'<table style="margin:6px 0"><thead><tr><td></td><th scope="col" {cell}>paper</th>'
            f'<th scope="col" {cell}>here</th></tr></thead><tbody>{body}</tbody></table>'
            f"Why they differ:<ul style='margin:2px 0'>{''.join(f'<li>{e(r)}</li>' for r in why)}</ul></section>",
        )
    )


# ----------------------------------------------------------------------------------------------------------- progress


def progress() -> None:
    """Show how many exercises of each lesson have been passed, and how well calibrated predictions were, if any."""
    entries = learner.record_or_none()
    rows = []
    for lesson in checks.lessons():
        numbers = list(checks.exercises(lesson))
        passed = [n for n in numbers if _entry(entries.get(n, {}))["status"] == PASSED]
        left = [n for n in numbers if n not in passed]
        rows.append((lesson, len(passed), len(numbers), ", ".join(left) or "none"))
    text = [f"Lesson {lesson}: {done} of {all_} passed. Open: {left}" for lesson, done, all_, left in rows]
    body = "".join(
        f'<tr><th scope="row">Lesson {lesson}</th><td><meter min="0" max="{max(all_, 1)}" value="{done}" '
        f'aria-label="passed in lesson {lesson}"></meter> {done} of {all_} passed</td>'
        f"<td style='text-align:left'>open: {left}</td></tr>"
        for lesson, done, all_, left in rows
    )
    found = predictions.calibration()
    listed = "".join(f"<li>{html.escape(line)}</li>" for line in found)
    told = f"<p><strong>Your predictions</strong></p><ul>{listed}</ul>" if found else ""
    _display(_Shown("\n".join([*text, *found]) or "No lessons found.", f"<table>{body}</table>{told}"))


_COLUMNS = (
    *("learner", "exercise", "title", "status", "attempts", "last", "said", "low", "high", "sure", "truth"),
    "messages",
)


@checked
def export_progress(path: Text | Path = "progress.csv", called: Text | None = None) -> Path:
    """Write progress as CSV for an instructor; return its path.

    called: what the instructor's page is to call you, "otter"; the file's name if left out. No name that the computer
    knows you by is written, and nothing of your code.
    A row for every exercise (learner, exercise, title, status, attempts, last, and messages: what its check said of
    answers that did not pass, how often, as JSON), then one for every prediction: its key under "exercise", its
    question under "title", "predicted", "shown" or "late" under "status", and what was said and measured (said, low,
    high, sure, truth). Raises ValueError if the path is a folder, and OSError if it can't be written.
    """
    if Path(path).is_dir():
        raise ValueError(f"path must be a file to write, got the folder {str(path)!r}")
    entries, path = learner.record_or_none(), Path(path)
    name = called or path.stem
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, _COLUMNS, restval="")
        writer.writeheader()
        for lesson in checks.lessons():
            for number, exercise in checks.exercises(lesson).items():
                about = {"learner": name, "exercise": number, "title": exercise.title}
                entry = _entry(entries.get(number, {}))
                kept = entry.pop("messages")
                writer.writerow(about | entry | {"messages": json.dumps(kept, ensure_ascii=False) if kept else ""})
        for key, said in sorted(predictions.all_kept().items()):
            status = "late" if said["late"] else "shown" if "truth" in said else "predicted"
            about = {
                "learner": name,
                "exercise": key,
                "title": said["question"],
                "status": status,
                "last": said["when"],
            }
            writer.writerow(about | {part: said.get(part) for part in ("said", "low", "high", "sure", "truth")})
    return path


_MOST = 8  # messages of an exercise that are kept


def _record(number: str, status: str, message: str = "") -> None:
    """Note an attempt in the learner's record. A disk that can't be written costs a warning, not the lesson.

    message: what the check said of an answer that did not pass, without anything the learner wrote.
    """
    if status == NOT_ATTEMPTED:
        return

    def note(entries: dict[str, dict]) -> None:
        before = _entry(entries.get(number, {}))
        # A pass is kept: trying something else afterwards does not take it away.
        kept = PASSED if PASSED in (status, before["status"]) else status
        entries[number] = {"status": kept, "attempts": before["attempts"] + 1, "last": learner.now()}
        messages = before["messages"]
        if status == NOT_YET and message:
            # Two that differ in numbers alone are one; its newest wording stays, last.
            times = sum(count for said, count in messages if _alike(said) == _alike(message))
            messages = [[said, count] for said, count in messages if _alike(said) != _alike(message)]
            messages = [*messages, [message, times + 1]][-_MOST:]
        if messages:
            entries[number]["messages"] = messages

    if problem := learner.change(note):
        warnings.warn(problem, stacklevel=4)


def _alike(message: str) -> str:
    return re.sub(r"\d+(\.\d+)?", "#", message)


def _entry(saved: dict[str, Any]) -> dict[str, Any]:
    """One exercise's record, with what makes no sense in it set to nothing."""
    status, attempts, last = saved.get("status"), saved.get("attempts"), saved.get("last")
    messages = saved.get("messages")
    return {
        "status": status if status in (PASSED, NOT_YET) else NOT_ATTEMPTED,
        "attempts": attempts if _is_count(attempts) else 0,
        "last": last if isinstance(last, str) else "",
        "messages": [list(pair) for pair in messages if _is_message(pair)] if isinstance(messages, list) else [],
    }


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_message(pair: Any) -> bool:
    return isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) and _is_count(pair[1])


def _verdict_box(verdict: checks.Verdict) -> _Shown:
    mark, word, edge = _MARK[verdict.status], _WORD[verdict.status], _EDGE[verdict.status]
    message = verdict.message.removeprefix(f"{word}. ").removeprefix(f"{word} yet. ")
    return _Shown(
        f"{mark} Exercise {verdict.number} · {word}. {message}",
        f'<div role="status" style="border-left:5px solid {edge};padding:4px 12px;margin:4px 0;max-width:760px">'
        f"{mark} <strong>Exercise {verdict.number} · {word}.</strong> {widgets.inline_markdown(message)}</div>",
    )


def _display(shown: Any) -> None:
    from IPython.display import display

    try:
        display(shown)
    except UnicodeEncodeError:  # outside a notebook, on a terminal or pipe of few signs
        home.say(repr(shown))
