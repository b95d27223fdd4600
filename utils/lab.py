"""The learner's desk: hand in an exercise, take a quiz, see progress, read a replication card.

`check` is the course's one exercise mechanism. It always gives back a function that works (the learner's own once it
passes, the course's reference until then), so that a lesson runs from top to bottom whatever is answered.
"""

from __future__ import annotations

import contextlib
import csv
import datetime
import getpass
import hashlib
import html
import json
import os
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from utils import checks, home, widgets
from utils import measured as _values
from utils.checks import NOT_ATTEMPTED, NOT_YET, PASSED
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
def check(number: Text, attempt: Any) -> Callable:
    """Check an exercise, say how it went, and return the function the lesson goes on with.

    number: the exercise, "3.1". attempt: the learner's function (the function itself, not its result: that is told).
    Says *not attempted*, *not yet* (naming the mistake) or *passed*. Returns the learner's function if it passed and
    the course's reference otherwise. Raises ValueError for a number that does not exist.
    """
    exercise = checks.find(number)
    verdict = checks.mark(exercise, attempt)
    _record(number, verdict.status)
    _display(_verdict_box(verdict))
    return attempt if verdict.status == PASSED else exercise.reference


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
) -> None:
    """Show a measured number with the digits its interval deserves, and keep it for `say`.

    name: what was measured, once in a lesson. value: a number, or an Interval, which brings its interval and n.
    unit: what it is counted in. interval: its 95 % interval, if value is a number. n: how many independent things.
    tolerance: how far another CPU's value may be off; the course's tests hold a new run to it, and without an interval
    it sets the digits (0.01: two decimals). Raises ValueError for NaN, for an interval or n given twice or in the wrong
    order, and for a name that this cell has used already.
    """
    one = _values.entry(name, value, unit, tolerance, interval, n)
    _keep([one], _Shown(_values.one_as_text(one), _values.one_as_html(one)))


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
    arxiv: the identifier alone, "2310.06824", or "" for work that has none. Raises ValueError without `here`'s
    "result" or without a reason in `why`.
    """
    if "result" not in here:
        raise ValueError(f"here must have a 'result', got {', '.join(map(str, here)) or 'nothing'}")
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
    """Show how many exercises of each lesson have been passed."""
    statuses = _mine_or_none()
    rows = []
    for lesson in checks.lessons():
        numbers = list(checks.exercises(lesson))
        passed = [n for n in numbers if statuses.get(n, {}).get("status") == PASSED]
        left = [n for n in numbers if n not in passed]
        rows.append((lesson, len(passed), len(numbers), ", ".join(left) or "none"))
    text = "\n".join(f"Lesson {lesson}: {done} of {all_} passed. Open: {left}" for lesson, done, all_, left in rows)
    body = "".join(
        f'<tr><th scope="row">Lesson {lesson}</th><td><meter min="0" max="{max(all_, 1)}" value="{done}">'
        f"</meter> {done} of {all_} passed</td><td style='text-align:left'>open: {left}</td></tr>"
        for lesson, done, all_, left in rows
    )
    _display(_Shown(text or "No lessons found.", f"<table>{body}</table>"))


@checked
def export_progress(path: Text | Path = "progress.csv") -> Path:
    """Write progress as CSV (learner, exercise, title, status, attempts, last) for an instructor; return its path.

    Raises ValueError if the path is a folder, and OSError if it can't be written.
    """
    if Path(path).is_dir():
        raise ValueError(f"path must be a file to write, got the folder {str(path)!r}")
    statuses, path, learner = _mine_or_none(), Path(path), _learner()
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["learner", "exercise", "title", "status", "attempts", "last"])
        for lesson in checks.lessons():
            for number, exercise in checks.exercises(lesson).items():
                entry = statuses.get(number, {})
                status, attempts = entry.get("status", NOT_ATTEMPTED), entry.get("attempts", 0)
                writer.writerow([learner, number, exercise.title, status, attempts, entry.get("last", "")])
    return path


def _learner() -> str:
    """Whose progress this is: ``LAB_LEARNER``, or the name of the user the system knows."""
    named = os.environ.get("LAB_LEARNER", "").strip()
    if named:
        return named
    try:
        import pwd

        return pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):  # Windows; a container's user without an entry
        try:
            return getpass.getuser()
        except (ImportError, KeyError, OSError):
            return f"user-{os.getuid()}"


def _progress_file() -> Path:
    """``LAB_PROGRESS`` if it is set, else a file a person in the lab's home, which several people may share."""
    named = os.environ.get("LAB_PROGRESS", "").strip()
    if named:
        return home.place(named)
    learner = _learner()
    plain = re.sub(r"[^a-z0-9.@_-]", "_", learner.lower())
    if plain != learner:  # "A b" and "a_b" are two people, on disks that don't tell A from a as well
        plain += f"-{hashlib.sha256(learner.encode()).hexdigest()[:8]}"
    return home.lab_home() / f"progress-{plain}.json"


def _mine() -> dict[str, dict]:
    """The learner's record so far; the one file that earlier versions kept, if this user wrote it, before there is one.

    Raises OSError if the file can't be read.
    """
    path, old = _progress_file(), home.lab_home() / "progress.json"
    named = os.environ.get("LAB_PROGRESS") or os.environ.get("LAB_LEARNER")
    if named or path.exists() or not old.is_file():
        return _read(path)
    own = not hasattr(os, "getuid") or old.stat().st_uid == os.getuid()
    return _read(old) if own else {}


def _mine_or_none() -> dict[str, dict]:
    """As `_mine`; a file that can't be read costs a warning."""
    try:
        return _mine()
    except OSError as error:
        message = f"Your progress in {_progress_file()} could not be read ({error.strerror or error})."
        warnings.warn(f"{message} Set LAB_HOME or LAB_PROGRESS to a place of your own.", stacklevel=3)
        return {}


def _record(number: str, status: str) -> None:
    """Note an attempt in the progress file. A disk that can't be written costs a warning, not the lesson."""
    if status == NOT_ATTEMPTED:
        return
    path = _progress_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock", timeout=5):
            statuses = _mine()
            before = statuses.get(number, {})
            # A pass is kept: trying something else afterwards does not take it away.
            kept = PASSED if PASSED in (status, before.get("status")) else status
            now = datetime.datetime.now().isoformat(timespec="seconds")
            statuses[number] = {"status": kept, "attempts": before.get("attempts", 0) + 1, "last": now}
            home.write_whole(path, json.dumps(statuses, indent=1))
    except (OSError, NotImplementedError, Timeout) as error:
        message = f"Your progress could not be saved in {path} ({error}). Set LAB_HOME to a folder you can write to."
        warnings.warn(message, stacklevel=4)


def _read(path: Path) -> dict[str, dict]:
    """The saved progress; a damaged file is put aside under another name, so that nothing is lost.

    Raises OSError if there is a file that can't be read.
    """
    try:
        statuses = json.loads(path.read_text(encoding="utf-8-sig"))  # some editors put a mark in front
        if isinstance(statuses, dict) and all(isinstance(entry, dict) for entry in statuses.values()):
            return {number: _entry(entry) for number, entry in statuses.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError):
        pass
    aside = path.with_suffix(f".damaged-{datetime.datetime.now():%Y%m%d-%H%M%S}.json")
    with contextlib.suppress(OSError):
        os.replace(path, aside)
    warnings.warn(f"The progress file {path} was damaged. It was kept as {aside.name}; a new one starts.", stacklevel=2)
    return {}


def _entry(saved: dict[str, Any]) -> dict[str, Any]:
    """One exercise's record, with what makes no sense in it set to nothing."""
    status, attempts, last = saved.get("status"), saved.get("attempts"), saved.get("last")
    whole = isinstance(attempts, int) and not isinstance(attempts, bool) and attempts >= 0
    return {
        **saved,
        "status": status if status in (PASSED, NOT_YET) else NOT_ATTEMPTED,
        "attempts": attempts if whole else 0,
        "last": last if isinstance(last, str) else "",
    }


def _verdict_box(verdict: checks.Verdict) -> _Shown:
    mark, word, edge = _MARK[verdict.status], _WORD[verdict.status], _EDGE[verdict.status]
    message = verdict.message.removeprefix(f"{word}. ").removeprefix(f"{word} yet. ")
    return _Shown(
        f"{mark} Exercise {verdict.number} · {word}. {message}",
        f'<div role="status" style="border-left:5px solid {edge};padding:4px 12px;margin:4px 0;max-width:760px">'
        f"{mark} <strong>Exercise {verdict.number} · {word}.</strong> {widgets.inline_code(message)}</div>",
    )


def _display(shown: Any) -> None:
    from IPython.display import display

    try:
        display(shown)
    except UnicodeEncodeError:  # outside a notebook, on a terminal or pipe of few signs
        home.say(repr(shown))
