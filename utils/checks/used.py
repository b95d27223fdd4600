"""Whether a lesson uses what was handed in: with LAB_USED, each exercise that is called after its check is noted.

The suite sets LAB_USED while it runs the lessons (`utils/authoring/notebooks/used.py` reads the file); a learner's
lesson never comes here. One line an exercise is appended, so that several kernels may write at once.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

FILE = "LAB_USED"


def watched(number: str, function: Callable) -> Callable:
    """The function as it is; where LAB_USED names a file, one that notes there that it was called, and is no other."""
    path = os.environ.get(FILE, "")
    if not path or not callable(function):
        return function
    noted: list[bool] = []

    @functools.wraps(function)
    def noting(*args: Any, **kwargs: Any) -> Any:
        if not noted:
            noted.append(True)
            with open(path, "a", encoding="utf-8") as file:
                file.write(f"{number}\n")
        return function(*args, **kwargs)

    return noting
