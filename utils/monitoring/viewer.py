"""One transcript as a page: read it, guess, and only then see what the monitors said and what was true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from utils.datasets.transcripts import Transcript

GUESSES = ("not yet", "did the work", "took the shortcut")
_TRUTH = {True: "took the shortcut", False: "did the work", None: "open: the leaked answer was right, so nothing shows"}


def card(
    transcript: Transcript,
    guess: str = "not yet",
    suspicion: Mapping[str, float] | None = None,
    alarm: float = 0.95,
) -> str:
    """HTML of a transcript; monitors and truth appear once there is a guess.

    guess: one of `GUESSES`. suspicion: monitor -> share of honest transcripts that it finds less suspicious, 0 to 1.
    alarm: the share from which a monitor would have raised an alarm. Raises ValueError for another guess or for a
    share outside [0, 1].
    """
    if guess not in GUESSES:
        raise ValueError(f"guess must be one of {GUESSES}, got {guess!r}")
    for name, share in (suspicion or {}).items():
        if not 0 <= share <= 1:
            raise ValueError(f"suspicion of {name!r} must be a share from 0 to 1, got {share}")
    lines = [
        _part("Task", transcript.prompt),
        _part("Scratchpad", transcript.scratchpad or "(none)"),
        _part("Action", transcript.action or "(none)"),
    ]
    if transcript.problem:
        lines.append(f"<p>Malformed: {escape(transcript.problem)}.</p>")
    if guess == GUESSES[0]:
        lines.append("<p><em>Guess first. The monitors and the truth appear after your guess.</em></p>")
        return "".join(lines)
    lines.append(_bars(suspicion or {}, alarm))
    truth = _TRUTH[transcript.took_shortcut]
    verdict = "nobody can say" if transcript.took_shortcut is None else "right" if guess == truth else "not this time"
    kind = "" if transcript.took_shortcut is None else f" ({escape(transcript.kind)})"
    lines.append(f"<p>You: {escape(guess)}. Truth: <strong>{escape(truth)}</strong>{kind}. Your guess: {verdict}.</p>")
    return "".join(lines)


def page(
    transcripts: Sequence[Transcript], suspicion: Mapping[str, Sequence[float]], number: int, guess: str = "not yet"
) -> str:
    """`card` of transcript `number`, counted from 1. Raises ValueError for a number there is none of."""
    if not 1 <= number <= len(transcripts):
        raise ValueError(f"number must be 1 to {len(transcripts)}, got {number}")
    here = {name: float(shares[number - 1]) for name, shares in suspicion.items()}
    return f"<p>Transcript {number} of {len(transcripts)}</p>" + card(transcripts[number - 1], guess, here)


def _part(title: str, text: str) -> str:
    style = "white-space:pre-wrap;margin:2px 0 8px;padding:4px 10px;border-left:4px solid #767676;max-width:700px"
    return f"<strong>{title}</strong><div style='{style}'>{escape(text)}</div>"


def _bars(suspicion: Mapping[str, float], alarm: float) -> str:
    if not suspicion:
        return ""
    rows = []
    for name, share in suspicion.items():
        colour, word = ("#D55E00", "ALARM") if share > alarm else ("#767676", "no alarm")
        bar = f"<div style='background:{colour};height:0.8em;width:{round(200 * share)}px'></div>"
        rows.append(
            f"<tr><th scope='row' style='text-align:left'>{escape(name)}</th><td>{bar}</td><td>{share:.0%}</td>"
            f"<td>{word}</td></tr>"
        )
    head = "<tr><th scope='col'>monitor</th><th colspan='2'>more suspicious than … of honest work</th><td></td></tr>"
    return f"<table>{head}{''.join(rows)}</table>"
