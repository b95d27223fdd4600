"""Every public function has a door, its signature is true, and a spoiled argument is refused in clear words.

These tests come last, and start from the good calls that the other tests made (tests/doors/witness.py). Run alone they
have nothing to start from, and skip. `python -m tests.doors` runs everything first, and tries every spoiled value.
"""

from __future__ import annotations

import hashlib
import inspect

import pytest

from tests.doors import fuzz, replay
from tests.doors.exempt import EXEMPT, FOR_THE_MODEL, REPLACED
from tests.doors.witness import SEEN, public_functions

SAMPLE = 3  # one trial in so many; `python -m tests.doors` makes them all


def test_every_public_function_has_a_door():
    functions = {n: f for n, f in public_functions().items() if inspect.signature(f).parameters}
    bare = {n for n, f in functions.items() if not hasattr(f, "__checked__") and n not in EXEMPT}
    assert not bare, f"{len(bare)} without @checked: {', '.join(sorted(bare)[:20])}"


def test_no_exemption_is_left_over():
    functions = public_functions()
    assert not {n for n in EXEMPT if n not in functions or hasattr(functions[n], "__checked__")}


def test_signatures_are_true():
    liars = {name: problem for name, problem in sorted(SEEN.liars.items()) if name not in REPLACED}
    assert not liars, "\n".join(f"{name}: {problem}" for name, problem in liars.items())


def test_a_spoiled_argument_is_refused_in_clear_words():
    if len(SEEN.calls) < 20:
        pytest.skip("no calls of other tests to start from")

    def keep(key: str) -> bool:
        return int(hashlib.sha256(key.encode()).hexdigest(), 16) % SAMPLE == 0

    found = [trial for name, call in sorted(SEEN.calls.items()) for trial in fuzz.trials(name, call, keep)]
    bad = [trial for trial in found if trial.outcome in ("hang", "nan")]
    assert not bad, bad
    assert fuzz.clear_share(found) >= 0.98, [t for t in found if t.outcome in ("unnamed", "foreign")]


def test_with_the_model_on_a_gpu_a_function_says_the_same():
    calls = {n: call for n, call in SEEN.calls.items() if replay.models_in(call) and n not in FOR_THE_MODEL}
    if len(calls) < 10:
        pytest.skip("no calls of other tests to start from")
    found = {name: replay.difference(call) for name, call in sorted(calls.items())}
    bad = {name: problem for name, problem in found.items() if problem}
    assert not bad, "\n".join(f"{name}: {problem}" for name, problem in bad.items())
    assert sum(problem == "" for problem in found.values()) >= 0.8 * len(found)
