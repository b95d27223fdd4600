"""Exercises that are not about writing a function: choose one of several, design something, attack something.

*choose* hands in a letter; every option answers back, the right one too. *design* and *attack* hand in a function or a
list of texts, which is scored on data that the learner hasn't seen; a check returns the `Score`, and it is shown.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from utils.checks import forms
from utils.checks.calling import Mistake

KINDS = ("write", "choose", "design", "attack")


@dataclass(frozen=True)
class Score:
    """How a design or an attack did on data the learner hasn't seen: value of n units, where `needed` passes.

    hint: what to look at while it isn't reached, such as one case that was missed.
    """

    value: float
    needed: float
    n: int
    unit: str
    hint: str = ""

    @property
    def reached(self) -> bool:
        return self.value >= self.needed

    def sentence(self) -> str:
        """Score on 40 sentences you have not seen: 0.85; needed 0.75."""
        digits = next((d for d in range(2, 5) if self.reached or f"{self.value:.{d}f}" != f"{self.needed:.{d}f}"), 5)
        said = f"Score on {self.n:,} {self.unit} you have not seen: {self.value:.{digits}f}; needed {self.needed:.2f}."
        return said if self.reached or not self.hint else f"{said} {self.hint}"


def choosing(right: Sequence[str], feedback: Mapping[str, str]) -> Callable[[Any], str]:
    """The check of a *choose* exercise: it raises `Mistake` with the feedback of a wrong option.

    Returns the feedback of a right one. right: the letters that pass. feedback: a sentence for every letter.
    """

    def check(letter: str) -> str:
        if letter not in right:
            raise Mistake(feedback[letter])
        return feedback[letter]

    return check


def chosen(answer: Any, options: Sequence[str]) -> str:
    """The letter that was meant by "b", "B" or " b) ". Raises `Mistake`, naming the letters, for anything else."""
    letter = answer.strip().strip("().").strip().lower() if isinstance(answer, str) else ""
    if letter not in options:
        came = repr(answer) if isinstance(answer, (str, int, float, bool)) else _a(answer)
        raise Mistake(f"Hand in one letter, {letters(options)}; got {came}.")
    return letter


def letters(options: Sequence[str]) -> str:
    """ "a", "b" or "c"."""
    names = [f'"{letter}"' for letter in options]
    return " or ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]


def handed_in(answer: Any, reference: Any) -> Any:
    """A copy of a value that was handed in, in the form of the course's own. Raises `Mistake` for another kind."""
    form = forms.form_of(reference)
    value = forms.converted(copy.deepcopy(answer), form)
    if callable(value) or forms.form_of(value).kind != form.kind:
        came = "a function" if callable(answer) else _a(answer)
        raise Mistake(f"Hand in {words(reference)}; got {came}.")
    if form.kind == "list" and isinstance(reference[0], str) and not all(isinstance(item, str) for item in value):
        raise Mistake(f"Hand in {words(reference)}; not all that is in your list is text.")
    return value


def _a(answer: Any) -> str:
    """ "a list", "an int": what came, in words."""
    name = type(answer).__name__
    return f"{'an' if name[0] in 'aeio' else 'a'} {name}"


def words(reference: Any) -> str:
    """What is handed in, for a stub and for messages: "a list of texts"."""
    if isinstance(reference, list) and reference and isinstance(reference[0], str):
        return "a list of texts"
    return "a text" if isinstance(reference, str) else forms.form_of(reference).words()
