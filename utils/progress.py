"""Progress bars: tqdm's own, in the notebook form where there is a notebook, and silent where outputs are compared."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from tqdm.auto import tqdm as _auto

from utils.inputs import checked


@checked
def tqdm(items: Iterable | None = None, **options: Any) -> _auto:
    """`tqdm.auto.tqdm`, with `leave=False` unless said otherwise. Silent when TQDM_DISABLE is set.

    tqdm's terminal bar heeds that variable by itself; its notebook bar does not (tqdm 4.70).
    """
    silent = os.environ.get("TQDM_DISABLE", "").strip().lower() not in ("", "0", "false")
    return _auto(items, **{"leave": False, **options, "disable": silent or options.get("disable", False)})


@checked
def slow(items: Iterable, what: str) -> Iterable:
    """Go through items with a bar that appears only once it has taken two seconds, so that no cell is silent for long.

    what: the word beside the bar, such as "patching". Items are listed first, so that the bar knows how many there are.
    """
    return tqdm(list(items), desc=what, delay=2)
