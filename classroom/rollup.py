"""A class at a glance: `python -m classroom.rollup FOLDER` makes a page and a table from exported progress.

Learners hand in the file that `lab.export_progress("otter.csv", called="otter")` writes: pseudonyms, counts, and the
checks' own messages, never code. The page says who is where, which exercise stops most, and which wrong answers are
common, with what the check says about each. It is one HTML file without scripts that fetches nothing; rollup.csv has a
row for every learner and exercise. Whatever can't be read is named on the page, and no file handed in is changed.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import html
import io
import json
import re
import statistics
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from classroom import lessons
from utils import checks, home, widgets
from utils.authoring.notebooks import bank
from utils.checks import NOT_ATTEMPTED, NOT_YET, PASSED

PAGE, TABLE = "rollup.html", "rollup.csv"
_NEEDED = {"learner", "exercise", "status", "attempts"}
_COLUMNS = ("learner", "exercise", "title", "status", "attempts", "last", "message", "times")


@dataclass
class Entry:
    """How one learner stands with one exercise. messages: what the check said of wrong answers, and how often."""

    status: str
    attempts: int
    last: str
    messages: list[tuple[str, int]] = field(default_factory=list)


@dataclass
class Learner:
    """A learner by the name they chose, the file it came from, and their entries by exercise number."""

    name: str
    file: str
    entries: dict[str, Entry]

    def passed(self, lesson: str) -> int:
        return sum(e.status == PASSED for n, e in self.entries.items() if checks.find(n).lesson == lesson)

    def open(self, lesson: str) -> list[str]:
        """Exercises tried and not passed, most attempts first."""
        tried = [n for n, e in self.entries.items() if e.status == NOT_YET and checks.find(n).lesson == lesson]
        return sorted(tried, key=lambda n: -self.entries[n].attempts)


@dataclass
class Class:
    """All that was read. notes: a sentence for everything that is odd, left out, or told apart."""

    learners: list[Learner] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


# --------------------------------------------------------------------------------------------------------- reading


def read(folder: Path) -> Class:
    """Read every exported file in a folder and the folders in it. Raises ValueError for what is no folder."""
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder: name the one with the files your learners handed in")
    found = Class()
    seen: dict[bytes, str] = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and not _ours(p)):
        name = path.relative_to(folder).as_posix()
        if name.startswith(".") or "/." in name:  # Jupyter's checkpoints, and the system's own
            continue
        if path.suffix.lower() != ".csv":
            if path.suffix.lower() == ".json":
                found.notes.append(
                    f"{name}: not an exported file. lab.export_progress() in a notebook writes one (.csv)."
                )
            continue
        try:
            raw = path.read_bytes()
        except OSError as error:
            found.notes.append(f"{name}: could not be read ({error.strerror or error}); left out.")
            continue
        if raw in seen:
            found.notes.append(f"{name}: the same as {seen[raw]}, to the byte; counted once.")
            continue
        seen[raw] = name
        try:
            learner, odd = _learner(raw, name)
        except ValueError as error:
            found.notes.append(f"{name}: {error}; left out. Ask for it once more.")
            continue
        found.learners.append(learner)
        if odd:
            found.notes.append(f"{name}: {odd} of its rows make no sense and were left out; the others count.")
        if missing := sum(len(checks.exercises(lesson)) for lesson in checks.lessons()) - len(learner.entries) - odd:
            found.notes.append(f"{name}: {_count(missing, 'exercise')} missing. It was cut off, or another version's.")
    _tell_apart(found)
    if not found.learners:
        found.notes.append(f"No progress to show in {folder}: learners write it with lab.export_progress('otter.csv').")
    return found


def _ours(path: Path) -> bool:
    """Whether a file is the table that this module wrote the last time."""
    with contextlib.suppress(OSError):
        return path.name == TABLE and path.read_bytes().startswith(",".join(_COLUMNS).encode())
    return False


def _learner(raw: bytes, name: str) -> tuple[Learner, int]:
    """One file's learner, and how many rows make no sense. Raises ValueError for a file that is none of ours."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("damaged, or not a text file") from None
    if not text.strip():
        raise ValueError("empty")
    if "\0" in text:
        raise ValueError("damaged")
    first = text.split("\n", 1)[0]
    delimiter = ";" if first.count(";") > first.count(",") else ","  # some spreadsheets save it so
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
        if not set(reader.fieldnames or ()) >= _NEEDED:
            raise ValueError("damaged, or not written by lab.export_progress()")
        rows = list(reader)
    except csv.Error as error:
        raise ValueError(f"damaged ({error})") from None
    entries: dict[str, Entry] = {}
    odd, chosen = 0, ""
    for row in rows:
        number = row["exercise"] or ""
        if row["status"] in ("predicted", "shown", "late"):  # a prediction
            continue
        entry = _entry(row)
        if entry is None or not _known(number) or number in entries:
            odd += 1
            continue
        chosen = chosen or (row["learner"] or "").strip()
        entries[number] = entry
    if not entries:
        raise ValueError("it has no row of an exercise")
    return Learner(chosen or Path(name).stem, name, entries), odd


def _entry(row: dict[str, str | None]) -> Entry | None:
    attempts = row["attempts"] or ""
    if row["status"] not in (PASSED, NOT_YET, NOT_ATTEMPTED) or not re.fullmatch(r"\d{1,6}", attempts):
        return None
    return Entry(row["status"] or "", int(attempts), row.get("last") or "", _messages(row.get("messages") or ""))


def _messages(told: str) -> list[tuple[str, int]]:
    try:
        pairs = json.loads(told) if told else []
        return [(str(said), times) for said, times in pairs if isinstance(times, int) and times > 0]
    except (ValueError, TypeError, RecursionError):
        return []


def _known(number: str) -> bool:
    try:
        checks.find(number)
    except ValueError:
        return False
    return True


def _tell_apart(found: Class) -> None:
    """Two files with one name stay two learners: each gets its file behind the name."""
    by_name: dict[str, list[Learner]] = defaultdict(list)
    for learner in found.learners:
        by_name[learner.name.casefold()].append(learner)
    for same in by_name.values():
        if len(same) > 1:
            files = ", ".join(one.file for one in same)
            found.notes.append(
                f"{len(same)} files say {same[0].name!r}: {files}. They are kept apart; if they are one learner's, "
                "remove the older and run this again."
            )
            for one in same:
                one.name = f"{one.name} ({one.file})"


# -------------------------------------------------------------------------------------------------------- counting


@dataclass(frozen=True)
class Stop:
    """How a class stands with one exercise. median: attempts of those who passed. said: message, learners, times."""

    number: str
    title: str
    tried: int
    passed: int
    median: float | None
    said: list[tuple[str, int, int]]

    @property
    def stuck(self) -> int:
        return self.tried - self.passed


def stops(found: Class) -> list[Stop]:
    """Every exercise that somebody tried: the one where most are stuck first, then the one that took most attempts."""
    numbers = {n for one in found.learners for n, e in one.entries.items() if e.status != NOT_ATTEMPTED}
    made = []
    for number in numbers:
        entries = [one.entries[number] for one in found.learners if number in one.entries]
        tried = [entry for entry in entries if entry.status != NOT_ATTEMPTED]
        passed = [entry.attempts for entry in tried if entry.status == PASSED]
        said: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        wording: dict[str, str] = {}
        for entry in tried:
            own: Counter[str] = Counter()
            for message, times in entry.messages:
                alike = re.sub(r"\d+(\.\d+)?", "#", message)
                wording.setdefault(alike, message)
                own[alike] += times
            for alike, times in own.items():
                said[alike][0] += 1
                said[alike][1] += times
        listed = sorted(
            ((wording[a], who, times) for a, (who, times) in said.items()), key=lambda s: (-s[1], -s[2], s[0])
        )
        median = statistics.median(passed) if passed else None
        made.append(Stop(number, checks.find(number).title, len(tried), len(passed), median, listed))
    return sorted(made, key=lambda s: (-s.stuck, -(s.median or 0), [int(part) for part in s.number.split(".")]))


def mistake_named(number: str, message: str) -> str:
    """What the bank of wrong answers calls a mistake with this message; "" if it knows none."""
    try:
        known = bank.load(checks.find(number).lesson).WRONG.get(number, [])
    except (ValueError, OSError, ImportError):
        return ""
    names = [name for name, _, words in known if words and words in message]
    return names[0] if len(names) == 1 else ""


# --------------------------------------------------------------------------------------------------------- writing

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 1rem auto; padding: 0 1rem; }
table { border-collapse: collapse; } caption { text-align: left; padding: .3rem 0; }
th, td { border: 1px solid #888; padding: .25rem .6rem; text-align: left; vertical-align: top; }
.wide { overflow-x: auto; } .note { border-left: 5px solid #D55E00; padding-left: .8rem; }
"""


def page(found: Class) -> str:
    """The page, whole: who is where, what stops most, and what goes wrong there."""
    e = html.escape
    tried = stops(found)
    parts = [
        f"<h1>The class at a glance</h1><p>{_count(len(found.learners), 'learner')}. Names are those they chose.</p>"
    ]
    if found.notes:
        listed = "".join(f"<li>{e(note)}</li>" for note in found.notes)
        parts.append(f'<h2>To look at first</h2><ul class="note">{listed}</ul>')
    if found.learners:
        parts.append("<h2>Who is where</h2>" + _where(found))
    if tried:
        parts.append("<h2>What stops most</h2>" + _stops_table(tried))
        parts.append("<h2>What goes wrong, and what the check says</h2>" + _said(tried))
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>The class at a glance</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body><main>{''.join(parts)}</main></body></html>\n"
    )


def _where(found: Class) -> str:
    met = {checks.find(n).lesson for one in found.learners for n, x in one.entries.items() if x.status != NOT_ATTEMPTED}
    shown = sorted(met) or checks.lessons()[:1]
    rows = []
    for one in sorted(found.learners, key=lambda one: one.name.casefold()):
        cells = []
        for lesson in shown:
            left = one.open(lesson)
            at = f"; stuck at {left[0]} ({_count(one.entries[left[0]].attempts, 'attempt')})" if left else ""
            more = f" and {len(left) - 1} more" if len(left) > 1 else ""
            cells.append(f"{one.passed(lesson)} passed{at}{more}")
        last = max((entry.last for entry in one.entries.values()), default="")
        rows.append([one.name, *cells, last.replace("T", " ")[:16] or "–"])
    heads = [f"Lesson {lesson}: {_count(len(checks.exercises(lesson)), 'exercise')}" for lesson in shown]
    return _table("Exercises passed, and where each is stuck", ["Learner", *heads, "Last attempt"], rows)


def _stops_table(tried: list[Stop]) -> str:
    rows = [
        [f"{s.number} {s.title}", s.tried, s.passed, s.stuck, "–" if s.median is None else f"{s.median:g}"]
        for s in tried
    ]
    heads = ["Exercise", "Learners who tried", "Passed", "Not yet", "Attempts until passed (median)"]
    return _table("Most learners stuck first", heads, rows)


def _said(tried: list[Stop]) -> str:
    parts = []
    for stop in tried:
        if not stop.said:
            continue
        items = []
        for message, who, times in stop.said[:5]:
            name = mistake_named(stop.number, message)
            called = f" <em>Known mistake: {html.escape(name)}.</em>" if name else ""
            who_said = f"{_count(who, 'learner')}, {_count(times, 'time')}"
            items.append(f"<li><strong>{who_said}:</strong> {widgets.inline_markdown(message)}{called}</li>")
        hint = _nudge(stop.number)
        if hint:
            items.append(f"<li>To the whole room, if many are here (the lesson's first hint): {hint}</li>")
        parts.append(f"<h3>{html.escape(f'{stop.number} · {stop.title}')}</h3><ul>{''.join(items)}</ul>")
    return (
        "".join(parts) or "<p>No wrong answer was kept: the files come from an earlier version, or all went well.</p>"
    )


def _nudge(number: str) -> str:
    told = lessons.exercises(lessons.read(checks.find(number).lesson)[1]).get(number)
    return widgets.inline_markdown(told.hints[0]) if told is not None and told.hints else ""


def _table(caption: str, heads: list[str], rows: Iterable[Sequence[object]]) -> str:
    e = html.escape
    head = "".join(f'<th scope="col">{e(text)}</th>' for text in heads)
    body = "".join(
        f'<tr><th scope="row">{e(str(first))}</th>{"".join(f"<td>{e(str(cell))}</td>" for cell in rest)}</tr>'
        for first, *rest in rows
    )
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{e(caption)}"><table><caption>{e(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def table(found: Class) -> str:
    """The CSV: a row for every learner and exercise that was tried, with the message seen most often."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, _COLUMNS)
    writer.writeheader()
    for one in found.learners:
        for number, entry in one.entries.items():
            if entry.status == NOT_ATTEMPTED:
                continue
            message, times = max(entry.messages, key=lambda pair: pair[1], default=("", ""))
            row = (
                one.name,
                number,
                checks.find(number).title,
                entry.status,
                entry.attempts,
                entry.last,
                message,
                times,
            )
            writer.writerow({column: _plain(value) for column, value in zip(_COLUMNS, row)})
    return text.getvalue()


def _plain(value: object) -> object:
    """No cell is a formula to a spreadsheet, whatever a learner chose to be called."""
    return f"'{value}" if isinstance(value, str) and value[:1] in tuple("=+-@\t\r") and value else value


def main(arguments: list[str] | None = None) -> int:
    """Command line. Returns the exit code: 1 if there was nothing to show, or it could not be written."""
    parser = argparse.ArgumentParser(prog="python -m classroom.rollup", description="A class at a glance.")
    parser.add_argument("folder", type=Path, help="the folder with what learners handed in")
    parser.add_argument("--out", type=Path, help="where the page and the table go (the same folder)")
    options = parser.parse_args(arguments)
    out = options.out or options.folder
    try:
        found = read(options.folder)
        if not found.learners:
            print(*found.notes, sep="\n", file=sys.stderr)
            return 1
        out.mkdir(parents=True, exist_ok=True)
        if (out / TABLE).exists() and not _ours(out / TABLE):
            raise ValueError(f"{out / TABLE} is not this program's, and stays: name another folder with --out")
        home.write_whole(out / PAGE, page(found))
        home.write_whole(out / TABLE, table(found))
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    for note in found.notes:
        print(note, file=sys.stderr)
    print(f"{_count(len(found.learners), 'learner')}: {out / PAGE} and {out / TABLE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
