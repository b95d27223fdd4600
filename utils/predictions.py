"""Predictions: what a learner said before a result was shown, kept, and held beside what was measured.

A question asks for a number (a guess and an 80 % range), a choice (and how sure), or a rough curve (a value at each of
a few places). The answer may be changed until the lab has shown the result; after that it stands, and an answer first
given then is marked late and doesn't count. Unanswered, nothing is said. `utils.lab` is where lessons call this.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from utils import learner, statistics, widgets
from utils.validators import number, sequence, texts, what

MOST_PLACES = 8  # sliders of a curve
RANGE = 0.8  # how sure a learner is meant to be of a range
_SURE = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
_KEY = re.compile(r"\d\d\.[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Question:
    """What is asked: kind "number" or "curve" (low and high bound what may be said), or "choice" (options)."""

    key: str
    text: str
    kind: str
    unit: str = ""
    low: float = 0.0
    high: float = 1.0
    options: tuple[str, ...] = ()
    places: tuple[Any, ...] = ()
    place_label: str = ""


def question(
    key: str,
    text: str,
    unit: str | None,
    low: float | None,
    high: float | None,
    options: Sequence[str] | None,
    x: Sequence[Any] | None,
    x_label: str | None,
) -> Question:
    """A question out of what `lab.predict` was given. Raises ValueError for parts that are missing or don't fit."""
    if not _KEY.fullmatch(key):
        raise ValueError(f'key must be the lesson and a word, such as "03.length", got {key!r}')
    if options is not None:
        if low is not None or high is not None or x is not None:
            raise ValueError("options must stand alone: a choice has no low, high or x")
        options = texts("options", options, least=2)
        if len(set(options)) < len(options):
            raise ValueError(f"options must differ, got {list(options)}")
        return Question(key, text, "choice", options=tuple(options))
    if low is None or high is None or not low < high:
        raise ValueError(f"low and high must bound the answer, the lower first (or give options), got {low} and {high}")
    if not (unit or "").strip():
        raise ValueError("unit must say what the number is counted in")
    if x is None:
        return Question(key, text, "number", unit or "", low, high)
    places = tuple(sequence("x", x, "a list of places"))
    if not 2 <= len(places) <= MOST_PLACES or len(set(places)) < len(places):
        raise ValueError(f"x must hold 2 to {MOST_PLACES} places that differ, got {list(places)}")
    if not (x_label or "").strip():
        raise ValueError("x_label must say what x is")
    return Question(key, text, "curve", unit or "", low, high, places=places, place_label=x_label or "")


# ------------------------------------------------------------------------------------------------------- an answer


def read(asked: Question, answer: Any) -> dict[str, Any]:
    """An answer as the record keeps it.

    answer: a number, or (guess, low, high); an option, or (option, how sure); a list of numbers for a curve.
    Raises ValueError or TypeError in words for the learner.
    """
    return {"number": _read_number, "choice": _read_choice, "curve": _read_curve}[asked.kind](asked, answer)


def _read_number(asked: Question, answer: Any) -> dict[str, Any]:
    parts = list(answer) if isinstance(answer, list | tuple) else [answer]
    if len(parts) not in (1, 3):
        raise ValueError("answer must be a number, or a guess and the two ends of a range: (0.3, 0.1, 0.6)")
    names = ("your guess", "the low end", "the high end")
    said, *ends = (_bounded(asked, name, part) for name, part in zip(names, parts))
    if not ends:
        return {"kind": "number", "said": said, "low": None, "high": None}
    low, high = ends
    if not low <= said <= high:
        raise ValueError(f"your guess must lie inside your range, and {said:g} isn't between {low:g} and {high:g}")
    if low == high:
        raise ValueError("your range must have some width: how far off could you be?")
    return {"kind": "number", "said": said, "low": low, "high": high}


def _read_choice(asked: Question, answer: Any) -> dict[str, Any]:
    said, sure = (answer[0], answer[1]) if isinstance(answer, list | tuple) and len(answer) == 2 else (answer, None)
    if said not in asked.options:
        listed = ", ".join(f'"{option}"' for option in asked.options)
        raise ValueError(f"choose one of {listed}" + ("" if said is None else f", not {said!r}"))
    if sure is not None:
        sure = number("how sure you are", sure)
        if not 0 <= sure <= 1:
            raise ValueError(f"how sure you are must lie between 0 and 1 (0.7 is 70 %), got {sure:g}")
    return {"kind": "choice", "said": said, "sure": sure}


def _read_curve(asked: Question, answer: Any) -> dict[str, Any]:
    values = sequence("answer", answer, "a list of numbers")
    if len(values) != len(asked.places):
        raise ValueError(f"answer must hold {len(asked.places)} numbers, one for each {asked.place_label}")
    said = [_bounded(asked, f"{asked.place_label} {place}", value) for place, value in zip(asked.places, values)]
    return {"kind": "curve", "said": said, "places": [f"{asked.place_label} {place}" for place in asked.places]}


def _bounded(asked: Question, name: str, value: Any) -> float:
    found = float(number(name, _typed(name, value) if isinstance(value, str) else value))
    if not asked.low <= found <= asked.high:
        raise ValueError(f"{name} must lie between {asked.low:g} and {asked.high:g} ({asked.unit}), got {found:g}")
    return found


def _typed(name: str, text: str) -> float:
    """A number that was typed: "0.3", "0,3", "1e-3". Raises ValueError for anything else, saying what would do."""
    plain = text.strip().replace("−", "-")
    if re.fullmatch(r"[+-]?\d*,\d{3}", plain):
        raise ValueError(f"{name}: does {text.strip()!r} mean {plain.replace(',', '.')} or {plain.replace(',', '')}?")
    try:
        return float(plain.replace(",", "."))
    except ValueError:
        said = f", got {text.strip()!r}" if plain else ""
        raise ValueError(f"{name} must be a number, such as 0.3{said}") from None


# -------------------------------------------------------------------------------------------------------- the record

_shown: set[str] = set()  # results that this kernel has shown
_unsaved: dict[str, dict] = {}  # what a disk that can't be written left in this kernel's hands


def keep(asked: Question, said: Mapping[str, Any]) -> str:
    """Keep an answer; return the sentence that tells what came of it."""
    outcome = ""

    def edit(predictions: dict[str, dict]) -> None:
        nonlocal outcome
        old = valid(predictions.get(asked.key))
        if old is not None and ("truth" in old or asked.key in _shown):
            same = all(old.get(part) == value for part, value in said.items())
            outcome = f"Your prediction stands: {spoken(old)}." + (
                "" if same else " The result has been shown, so it can't be changed."
            )
            return
        late = asked.key in _shown
        entry = {**said, "question": asked.text, "unit": asked.unit, "late": late, "when": learner.now()}
        predictions[asked.key] = entry
        outcome = f"Kept: {spoken(entry)}."
        outcome += (
            " The result has been shown already, so it doesn't count."
            if late
            else " You may change it until the result is shown."
        )
        if entry["kind"] == "number" and entry["low"] is None:
            outcome += " With an 80 % range it would count for your calibration."

    problem = _change(edit)
    return f"{outcome} {problem}".strip()


def _change(edit: Callable[[dict[str, dict]], None]) -> str:
    """Change the predictions in the record, or, if that can't be saved, in this kernel's memory. Says what failed."""
    problem = learner.change(lambda entries: edit(entries.setdefault(learner.PREDICTIONS, {})))
    if problem:
        held = {**_saved(), **_unsaved}
        edit(held)
        _unsaved.update(held)
    return problem


def _saved() -> dict[str, dict]:
    try:
        return dict(learner.record().get(learner.PREDICTIONS, {}))
    except OSError:
        return {}


def all_kept() -> dict[str, dict[str, Any]]:
    """Every prediction of this learner by key; entries that make no sense are left out."""
    entries = {**_saved(), **_unsaved}
    return {key: entry for key, saved in entries.items() if (entry := valid(saved)) is not None}


def valid(saved: Any) -> dict[str, Any] | None:
    """A prediction as it was read from the file, or None if it is none; a truth that makes no sense is dropped."""
    if not isinstance(saved, dict) or not _sensible(saved.get("kind"), saved.get("said")):
        return None
    entry = {**saved, "late": saved.get("late") is not False}
    for part in ("question", "unit", "when"):
        entry[part] = saved[part] if isinstance(saved.get(part), str) else ""
    for part in ("low", "high", "sure"):
        entry[part] = saved[part] if _is_number(saved.get(part)) else None
    if entry["low"] is None or entry["high"] is None:
        entry["low"] = entry["high"] = None
    if entry["kind"] == "curve" and len(entry["said"]) != len(entry.get("places") or ()):
        entry["places"] = [str(i) for i in range(len(entry["said"]))]
    if not _sensible(entry["kind"], entry.get("truth")) or (
        entry["kind"] == "curve" and len(entry["truth"]) != len(entry["said"])
    ):
        entry.pop("truth", None)
    return entry


def _sensible(kind: Any, said: Any) -> bool:
    if kind == "curve":
        return isinstance(said, list) and bool(said) and all(map(_is_number, said))
    return kind == "number" and _is_number(said) or kind == "choice" and isinstance(said, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


# ------------------------------------------------------------------------------------------------------- the result


def shown(key: str, truth: float | str | Sequence[float], told: str = "") -> str:
    """Note that a result has been shown, and return the sentence about the prediction: "" if there is none.

    truth: a number, the option that is true, or a curve's values. told: the number as the lesson shows it.
    Raises ValueError for a truth that can't answer the question that was kept.
    """
    entry = all_kept().get(key)
    if entry is None:
        _shown.add(key)
        return ""
    given = _truth(entry, truth)

    def edit(predictions: dict[str, dict]) -> None:
        if key in predictions:
            predictions[key].setdefault("truth", given)

    if "truth" not in entry:
        _change(edit)
    _shown.add(key)
    late = " You said so after the result had been shown, so it doesn't count." if entry["late"] else ""
    return _beside(entry, given, told) + late


def _truth(entry: Mapping[str, Any], truth: Any) -> Any:
    if entry["kind"] == "choice":
        if not isinstance(truth, str):
            raise TypeError(f"truth must be the option that is true, got {what(truth)}")
        return truth
    if entry["kind"] == "number":
        return float(number("truth", truth))
    values = [float(number("truth", value)) for value in sequence("truth", truth, "a list of numbers")]
    if len(values) != len(entry["said"]):
        raise ValueError(f"truth must hold {len(entry['said'])} numbers, as the prediction does, got {len(values)}")
    return values


def _beside(entry: Mapping[str, Any], truth: Any, told: str) -> str:
    if entry["kind"] == "number":
        where = ""
        if entry["low"] is not None:
            inside = entry["low"] <= truth <= entry["high"]
            where = "inside" if inside else "below" if truth < entry["low"] else "above"
            where = f", {where} your range"
        return f"You said {spoken(entry)}; it is {told or f'{truth:.3g}'}{where}."
    if entry["kind"] == "choice":
        return (
            f"You said {spoken(entry)}; it is “{truth}”."
            if entry["said"] != truth
            else f"You said {spoken(entry)}: right."
        )
    gaps = [abs(said - true) for said, true in zip(entry["said"], truth)]
    worst = gaps.index(max(gaps))
    most = f"you said {entry['said'][worst]:.3g}, it is {truth[worst]:.3g}"
    mean = sum(gaps) / len(gaps)
    return f"Your curve is {mean:.2g} {entry['unit']} off on average, and most at {entry['places'][worst]} ({most})."


def spoken(entry: Mapping[str, Any]) -> str:
    """An answer in words: "0.3, 80 % [0.1, 0.6]", "“after block 12”, 70 % sure", "1, 2, 3"."""
    if entry["kind"] == "number":
        ends = "" if entry["low"] is None else f", {100 * RANGE:g} % [{entry['low']:g}, {entry['high']:g}]"
        return f"{entry['said']:g}{ends}"
    if entry["kind"] == "choice":
        return f"“{entry['said']}”" + ("" if entry["sure"] is None else f", {100 * entry['sure']:g} % sure")
    return ", ".join(f"{value:g}" for value in entry["said"])


# ------------------------------------------------------------------------------------------------------ calibration


def calibration() -> list[str]:
    """How well calibrated the learner is, in sentences that say how few predictions they rest on; [] for none."""
    entries = [entry for entry in all_kept().values() if "truth" in entry and not entry["late"]]
    ranges = [e["low"] <= e["truth"] <= e["high"] for e in entries if e["kind"] == "number" and e["low"] is not None]
    sure = [(e["sure"], e["said"] == e["truth"]) for e in entries if e["kind"] == "choice" and e["sure"] is not None]
    lines = []
    if ranges:
        lines.append(
            f"Your 80 % ranges: {sum(ranges)} of {len(ranges)} held the value, "
            + _against(RANGE, ranges, "your ranges are too narrow", "your ranges could be narrower")
        )
    if sure:
        mean, right = sum(given for given, _ in sure) / len(sure), [hit for _, hit in sure]
        lines.append(
            f"Your choices: {sum(right)} of {len(right)} were right, and you were {100 * mean:.0f} % sure on average; "
            + _against(mean, right, "you are surer than you are right", "you are right more often than you think")
        )
    if lines:
        lines.append(f"Number of predictions that this rests on: {len(ranges) + len(sure)}.")
    return lines


def _against(claimed: float, hits: list[bool], over: str, under: str) -> str:
    """The share of hits with its interval, and what it says about the share that was claimed."""
    found = statistics.proportion(sum(hits), len(hits))
    share = f"a share of {found.estimate:.2f}, 95 % [{found.low:.2f}, {found.high:.2f}]."
    if not found.excludes(claimed):
        return f"{share} So few can't tell that from {100 * claimed:.0f} %."
    return f"{share} That differs from {100 * claimed:.0f} %: {over if found.high < claimed else under}."


# ------------------------------------------------------------------------------------------------------ the controls


def show(asked: Question, answer: Any = None) -> None:
    """Show a question with controls for its answer, and the plain-code way to give one.

    answer: given in plain code, it is kept at once; one that can't be read costs a sentence.
    """
    import ipywidgets as w

    said = "" if answer is None else _kept_or_told(asked, answer)
    entry = all_kept().get(asked.key)
    if entry is not None and entry["kind"] != asked.kind:
        entry = None
    boxes, value = _CONTROLS[asked.kind](w, asked, entry)
    status = w.HTML(_status(said or (f"Your prediction: {spoken(entry)}." if entry else "")))
    how = w.HTML(_how(asked, entry))
    button = w.Button(description="Keep my prediction", layout=w.Layout(width="max-content"))

    def press(_button: Any) -> None:
        status.value = _status(_kept_or_told(asked, value()))
        how.value = _how(asked, all_kept().get(asked.key))

    def changed(_change: Any) -> None:
        status.value = _status("Changed, and not kept yet: press the button.")

    button.on_click(press)
    for box in boxes:
        box.observe(changed, names="value")
    shell = w.VBox([w.HTML(widgets.CSS + _heading(asked)), *boxes, button, status, how])
    shell.add_class("lab-widget")
    still = f"<section>{_heading(asked)}<p>{html.escape(_form(asked))}</p>{_status(said)}{_how(asked, None)}</section>"
    widgets.show(shell, still, _as_text(asked, said))


def _kept_or_told(asked: Question, answer: Any) -> str:
    try:
        return keep(asked, read(asked, answer))
    except (TypeError, ValueError) as error:
        return f"✘ Not kept: {error}" + ("" if str(error).endswith("?") else ".")


def _number_controls(w: Any, asked: Question, entry: Mapping[str, Any] | None) -> tuple[list[Any], Callable[[], Any]]:
    hint = f"{asked.low:g} to {asked.high:g}"
    labels = {
        "said": f"Your guess ({asked.unit})",
        "low": "Low end of your 80 % range",
        "high": "High end of your 80 % range",
    }
    boxes = []
    # A box tells its text when the focus leaves it: told at every letter, a quick press would overtake the last one.
    for part, label in labels.items():
        start = "" if entry is None or entry[part] is None else f"{entry[part]:g}"
        boxes.append(w.Text(value=start, placeholder=hint, description=label, continuous_update=False, **_wide(w)))

    def value() -> Any:
        typed = [box.value for box in boxes]
        return typed if any(text.strip() for text in typed[1:]) else typed[0]

    return boxes, value


def _choice_controls(w: Any, asked: Question, entry: Mapping[str, Any] | None) -> tuple[list[Any], Callable[[], Any]]:
    said = entry["said"] if entry is not None and entry["said"] in asked.options else None
    radio = w.RadioButtons(options=list(asked.options), value=said, layout=w.Layout(width="auto"))
    steps = [("not said", 0.0), (f"a guess among {len(asked.options)}", 1 / len(asked.options))]
    steps += [(f"{100 * sure:g} %", sure) for sure in _SURE if sure > 1 / len(asked.options) + 0.01]
    kept = entry["sure"] if entry is not None else None
    sure = w.Dropdown(options=steps, description="How sure are you?", **_wide(w))
    if kept in [step for _, step in steps[1:]]:
        sure.value = kept
    return [radio, sure], lambda: (radio.value, sure.value or None)


def _curve_controls(w: Any, asked: Question, entry: Mapping[str, Any] | None) -> tuple[list[Any], Callable[[], Any]]:
    middle = (asked.low + asked.high) / 2
    starts = [middle] * len(asked.places)
    if entry is not None and len(entry["said"]) == len(starts):
        starts = [min(max(value, asked.low), asked.high) for value in entry["said"]]
    step = (asked.high - asked.low) / 100
    sliders = [
        w.FloatSlider(
            value=start,
            min=asked.low,
            max=asked.high,
            step=step,
            description=f"{asked.place_label} {place}",
            readout_format=".3g",
            continuous_update=False,
            **_wide(w),
        )
        for place, start in zip(asked.places, starts)
    ]
    return sliders, lambda: [slider.value for slider in sliders]


_CONTROLS = {"number": _number_controls, "choice": _choice_controls, "curve": _curve_controls}


def _wide(w: Any) -> dict[str, Any]:
    return {"style": {"description_width": "initial"}, "layout": w.Layout(width="min(640px, 95%)")}


def _heading(asked: Question) -> str:
    unit = f" ({html.escape(asked.unit)})" if asked.unit else ""
    return f"<strong>Predict first:</strong> {widgets.inline_markdown(asked.text)}{unit}"


def _form(asked: Question) -> str:
    """What an answer looks like, in words."""
    if asked.kind == "choice":
        return "One of: " + " · ".join(asked.options)
    bounds = f"from {asked.low:g} to {asked.high:g} ({asked.unit})"
    if asked.kind == "number":
        return f"A guess, and a range that you are 80 % sure of, {bounds}."
    return f"A value for each {asked.place_label} ({', '.join(map(str, asked.places))}), {bounds}."


def _code(asked: Question, entry: Mapping[str, Any] | None) -> str:
    """The plain-code way: the call with an answer, the learner's own or the form of one."""
    if entry is None:
        answer = {"number": "(guess, low, high)", "choice": "(option, how_sure)", "curve": "[…]"}[asked.kind]
    elif entry["kind"] == "number":
        answer = (
            f"{entry['said']:g}"
            if entry["low"] is None
            else f"({entry['said']:g}, {entry['low']:g}, {entry['high']:g})"
        )
    elif entry["kind"] == "choice":
        answer = repr(entry["said"]) if entry["sure"] is None else f"({entry['said']!r}, {entry['sure']:.2g})"
    else:
        answer = f"[{', '.join(f'{value:g}' for value in entry['said'])}]"
    return f'lab.predict("{asked.key}", …, answer={answer})'


def _how(asked: Question, entry: Mapping[str, Any] | None) -> str:
    return f"<p style='font-size:0.9em'>The same in plain code: <code>{html.escape(_code(asked, entry))}</code></p>"


def _status(text: str) -> str:
    return f'<span role="status" aria-live="polite">{html.escape(text)}</span>'


def _as_text(asked: Question, said: str) -> str:
    unit = f" ({asked.unit})" if asked.unit else ""
    lines = [f"Predict first: {asked.text}{unit}", _form(asked), said, f"In plain code: {_code(asked, None)}"]
    return "\n".join(line for line in lines if line)
