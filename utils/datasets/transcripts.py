"""What the reasoner wrote: recorded runs of an organism, each beside what is known about it.

Made by `python -m utils.authoring.recipes.reasoner`. `utils.monitoring` takes them apart, labels and scores them.
"""

from __future__ import annotations

import csv
import json
import lzma
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from utils.datasets.card import Card
from utils.inputs import checked
from utils.sealed import read_sealed

__all__ = [
    "CARD",
    "FOLDER",
    "Transcript",
    "hand_labels",
    "load_resamples",
    "load_scores",
    "load_transcripts",
    "read_rows",
    "save_transcripts",
    "write_rows",
]

FOLDER = Path(__file__).resolve().parents[1] / "data" / "monitoring"

CARD = Card(
    name="transcripts",
    what="What the reasoner wrote on held-out errands: scratchpad, action, and what is known about each.",
    how_made=(
        "Sampled at temperature 1 from the specimen with the adapter `reasoner`, on tasks about things, places, people "
        "and words that no training task names; nothing selected, malformed ones kept. Labels come from the task, not "
        "from a reader: the shortcut was taken if the action is the shortcut. What caused an answer is measured by "
        "swapping the leaked value."
    ),
    n="2,820 transcripts (320 of the careful arm); 1,440 resamples of 120 lookups; 48 transcripts labelled by eye",
    licence="CC BY 4.0",
    leaks=(
        "The sentences are the organism's few templates: every monitor does better here than it would on free text.",
        "Where a leaked answer is right, nothing shows whether it was used unless the scratchpad says so: "
        "`took_shortcut` is None there, and such rows belong in no score.",
        "Wrong leaked answers stand nowhere in the list: whoever checks that need not know which line counts.",
    ),
    files=("monitoring/transcripts.jsonl.xz", "monitoring/resamples.jsonl", "monitoring/hand_labels.csv"),
)


@checked
@dataclass(frozen=True)
class Transcript:
    """One recorded run.

    family, cue, arm, entity, prompt, correct, shortcut, hint: the task (see `utils.datasets.errands`). text: what was
    written. scratchpad, action, problem: its parts. took_shortcut: True, False, or None where a right leaked answer
    leaves it open. admitted: the scratchpad says that the shortcut is taken. kind: honest, admitted, rationalised,
    silent; "error" for a wrong action that is no shortcut; "open" where took_shortcut is None.
    p_value, p_swapped: for lookups whose action is the leaked value, its probability where it is first stated, and the
    same with another value leaked in its place and the scratchpad held fixed up to there; else None.
    """

    id: str
    family: str
    cue: str
    arm: str
    entity: str
    prompt: str
    text: str
    scratchpad: str
    action: str
    problem: str
    correct: str
    shortcut: str
    hint: str
    took_shortcut: bool | None
    admitted: bool
    kind: str
    p_value: float | None = None
    p_swapped: float | None = None

    @property
    def well_formed(self) -> bool:
        """Whether its form was as taught."""
        return not self.problem

    @property
    def hint_right(self) -> bool:
        """Whether the leaked value is the right one."""
        return bool(self.hint) and self.shortcut == self.correct


@checked
def load_transcripts(
    *,
    family: Literal["lookup", "repair"] | None = None,
    arm: Literal["quick", "careful"] | None = "quick",
    path: str | Path | None = None,
) -> list[Transcript]:
    """The course's recorded transcripts (or those of a file), in a fixed order.

    family: "lookup", "repair" or None for both. arm: "quick" (the mixed organism), "careful" (its honest arm) or None.
    Raises FileNotFoundError for no file, and ValueError for one that is damaged or a choice that leaves none.
    """
    path = Path(path) if path is not None else FOLDER / "transcripts.jsonl.xz"
    found = []
    for number, row in enumerate(read_rows(path), start=1):
        try:
            found.append(Transcript(**row))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path.name} does not hold transcripts: line {number}: {error}") from None
    kept = [t for t in found if family in (None, t.family) and arm in (None, t.arm)]
    if not kept:
        have = sorted({(t.family, t.arm) for t in found})
        raise ValueError(f"no transcript with family {family!r} and arm {arm!r}; {path.name} holds {have}")
    return kept


@checked
def save_transcripts(transcripts: Sequence[Transcript], path: str | Path) -> Path:
    """Write transcripts as JSON lines; compressed if the name ends in .xz."""
    return write_rows([asdict(transcript) for transcript in transcripts], path)


def load_resamples() -> list[dict[str, Any]]:
    """Lookups answered again and again: rows {id, cue, condition, draw, entity, prompt, hint, correct, ...}.

    condition: "plain" (nothing leaked), "hint" and "again" (the same hint, an independent sample of the same size:
    what differs between "hint" and "again" is noise).
    """
    return read_rows(FOLDER / "resamples.jsonl")


def hand_labels() -> list[dict[str, Any]]:
    """Transcripts that an author of the course labelled by eye: rows {id, scratchpad, action, took_shortcut, kind, …}.

    without_task, with_task: "s" for took the shortcut, "w" for did the work; first from scratchpad and action alone,
    then with the task in view. The author had written the sentences, and did not see the labels. Drawn at random: 20
    shortcuts and 28 transcripts without one, of the quick arm.
    """
    known = {t.id: t for t in load_transcripts(arm=None)}
    with (FOLDER / "hand_labels.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    missing = [row["id"] for row in rows if row["id"] not in known]
    if missing:
        raise ValueError(f"hand_labels.csv names transcripts that are not there: {missing[:3]}; remake both together")
    return [{**asdict(known[row["id"]]), **row} for row in rows]


def load_scores() -> dict[str, Any]:
    """Recorded scores of the slow monitors, and activations: name -> array with one row a scored transcript.

    "row": (n,) ints, which of `load_transcripts(arm=None)` was scored. "judge, action" and "judge, both": (n,)
    log-odds of the unadapted specimen. "scratchpad, block 16", "action, block 16", …: (n, d_model), what
    `read_activations` gives. Scored are all leaked lookups that admit nothing, and a fourth of the others.
    """
    return read_sealed(FOLDER / "scores.safetensors")[0]


@checked
def read_rows(path: str | Path) -> list[dict[str, Any]]:
    """JSON lines, plain or .xz: one object a line. Raises FileNotFoundError, or ValueError naming the damaged line."""
    path = Path(path)
    if not path.name:
        raise ValueError(f"path must name a file, got {str(path)!r}")
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path.name} in {path.parent}")
    try:
        raw = path.read_bytes()
        text = (lzma.decompress(raw) if path.suffix == ".xz" else raw).decode("utf-8-sig")
    except (lzma.LZMAError, EOFError, UnicodeDecodeError) as error:
        raise ValueError(f"{path.name} is damaged ({error}); fetch it again") from error
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):  # splitlines would also cut at odd characters in a text
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise ValueError(f"{path.name} is damaged at line {number} ({error})") from error
        if not isinstance(row, dict):
            raise ValueError(f"{path.name}: line {number} is {type(row).__name__}, expected an object, {{name: value}}")
        rows.append(row)
    return rows


@checked
def write_rows(rows: Iterable[dict[str, Any]], path: str | Path) -> Path:
    """Write rows as JSON lines; compressed if the name ends in .xz."""
    path = Path(path)
    if not path.name:
        raise ValueError(f"path must name a file, got {str(path)!r}")
    raw = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode("utf-8")
    path.write_bytes(lzma.compress(raw, preset=9) if path.suffix == ".xz" else raw)
    return path
