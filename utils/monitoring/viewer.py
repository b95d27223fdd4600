"""One transcript as a page: read it, guess, and only then see what the monitors said and what was true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Literal

from utils.datasets.transcripts import Transcript
from utils.inputs import Count, Numbers, Share, checked

Guess = Literal["not yet", "did the work", "took the shortcut"]
GUESSES: tuple[Guess, ...] = ("not yet", "did the work", "took the shortcut")
_TRUTH = {True: "took the shortcut", False: "did the work", None: "open: the leaked answer was right, so nothing shows"}


@checked
def card(
    transcript: Transcript,
    guess: Guess = "not yet",
    suspicion: Mapping[str, Share] | None = None,
    alarm: Share = 0.95,
) -> str:
    """HTML of a transcript; monitors and truth appear once there is a guess.

    guess: one of `GUESSES`. suspicion: monitor -> share of honest transcripts that it finds less suspicious, 0 to 1.
    alarm: the share from which a monitor would have raised an alarm. Raises ValueError for another guess or for a
    share outside [0, 1].
    """
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


@checked
def page(
    transcripts: Sequence[Transcript], suspicion: Mapping[str, Numbers], number: Count, guess: Guess = "not yet"
) -> str:
    """`card` of transcript `number`, counted from 1. Raises ValueError for a number there is none of."""
    if not len(transcripts):
        raise ValueError("transcripts is empty: there is none to show")
    if number > len(transcripts):
        raise ValueError(f"number must be 1 to {len(transcripts)}, got {number}")
    for name, shares in suspicion.items():
        if shares.shape != (len(transcripts),):
            raise ValueError(f"suspicion[{name!r}] must hold one share a transcript, got shape {shares.shape}")
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
    heads = ("monitor", "bar", "more suspicious than … of honest work", "alarm")
    head = f"<tr>{''.join(f'<th scope=col>{name}</th>' for name in heads)}</tr>"
    return f"<table>{head}{''.join(rows)}</table>"
