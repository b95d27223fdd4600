"""Where this computer's browser is, for the trials in tests/browser (`make browser`)."""

from __future__ import annotations

import importlib.util
import shutil

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking")


def executable() -> str | None:
    """The path of a Chromium or Chrome, or None where there is none."""
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


def missing() -> str:
    """What the trials in a browser lack here, in words; "" if nothing."""
    if executable() is None:
        return "no browser here: install Chromium or Chrome"
    packages = [name for name in ("playwright", "axe_playwright_python") if importlib.util.find_spec(name) is None]
    return f"no {' and '.join(packages)} here: `make browser` installs what is missing" if packages else ""
