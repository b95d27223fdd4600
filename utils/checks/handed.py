"""What was handed in while this kernel lives, for whoever marks it once more; and what of a verdict may be kept.

`lab.check` hands the course's own function back where an answer is open or wrong, so that the lesson goes on: the name
in the notebook no longer says what the learner wrote. It is kept here.
"""

from __future__ import annotations

import re
from typing import Any

from utils import checks

_HANDED: dict[str, Any] = {}
_STOPPED = re.compile(r"^Your code stopped with (\w+)")
_ODD = re.compile(r"^Your result could not be compared \((\w+)")
_LONGEST = 400  # characters of a message


class NotPassed(AssertionError):
    """An exercise that is graded did not pass. A notebook shows the sentence alone, whole, without the way it came."""

    def _render_traceback_(self) -> list[str]:
        return [f"Not passed: {self}"]


def keep(number: str, attempt: Any) -> None:
    """Remember an attempt. The course's own function, which an earlier check handed back, is none."""
    if not (callable(attempt) and attempt is checks.find(number).reference):
        _HANDED[number] = attempt


def kept(number: str, default: Any = None) -> Any:
    """What was last handed in for an exercise ("3.1") in this kernel."""
    return _HANDED.get(number, default)


def without_the_learners(message: str, attempt: Any) -> str:
    """A check's message with nothing in it that the learner wrote: no line of code, no text of theirs, no path.

    Of an error in their code its type stays.
    """
    if found := _STOPPED.match(message):
        return f"Your code stopped with {found[1]}."
    if found := _ODD.match(message):
        return f"Your result could not be compared ({found[1]})."
    items = attempt if isinstance(attempt, (list, tuple)) else [attempt]
    for text in sorted((item for item in items if isinstance(item, str) and item.strip()), key=len, reverse=True):
        # A letter stands in many a word: of short answers only the quoted form is one.
        for form in {repr(text), f'"{text}"', f"“{text}”", f"`{text}`", *([text] if len(text) > 3 else [])}:
            message = message.replace(form, "…")
    return message if len(message) <= _LONGEST else message[: _LONGEST - 1] + "…"
