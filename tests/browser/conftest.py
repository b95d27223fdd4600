"""A real browser, and a real JupyterLab with a lesson in it. `make browser` runs what is here."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from utils.authoring import notebooks
from utils.authoring.notebooks import browser as found

LESSON = "00"
START_SECONDS = 90
# Cells out of sight are left out of the page otherwise, and a test would see only the first few.
WHOLE = {"windowingMode": "none"}


@pytest.fixture(scope="session")
def chromium():
    """A browser without a window; skips where there is none."""
    if reason := found.missing():
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found.executable(), args=list(found.FLAGS))
        yield started
        started.close()


@pytest.fixture
def tab(chromium):
    """A page of 1280 × 720 pixels that fails the test if the browser's console tells an error."""
    page, errors = chromium.new_page(viewport={"width": 1280, "height": 720}), []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    page.close()
    assert errors == []


@pytest.fixture(scope="session")
def lesson(tmp_path_factory):
    """A lesson of the course, copied to where a learner might have it."""
    (path,) = notebooks.paths(notebooks.LESSONS, [LESSON])
    return shutil.copy(path, tmp_path_factory.mktemp("course"))


@pytest.fixture(scope="session")
def jupyterlab(chromium, lesson, tmp_path_factory):
    """The address of a JupyterLab that serves the copied lesson, with settings and folders of its own."""
    own = tmp_path_factory.mktemp("jupyter")
    settings = own / "settings" / "@jupyterlab" / "notebook-extension"
    settings.mkdir(parents=True)
    (settings / "tracker.jupyterlab-settings").write_text(json.dumps(WHOLE), encoding="utf-8")
    folders = {"SETTINGS": "settings", "WORKSPACES": "workspaces"}
    environment = {**os.environ, **{f"JUPYTERLAB_{name}_DIR": str(own / place) for name, place in folders.items()}}
    environment |= {f"JUPYTER_{name}_DIR": str(own / name.lower()) for name in ("CONFIG", "RUNTIME", "DATA")}
    address = f"http://127.0.0.1:{free_port()}"
    options = [f"--ServerApp.port={address.rsplit(':', 1)[1]}", f"--ServerApp.root_dir={os.path.dirname(lesson)}"]
    options += ["--no-browser", "--allow-root", "--IdentityProvider.token=", "--ServerApp.port_retries=0"]
    with (own / "log").open("w", encoding="utf-8") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyter", "lab", *options], env=environment, stdout=log, stderr=log
        )
    try:
        wait_for(f"{address}/api", server)
        yield address
    finally:
        server.terminate()
        server.wait(timeout=30)


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return opened.getsockname()[1]


def wait_for(address: str, server: subprocess.Popen) -> None:
    """Wait until a server answers. Raises RuntimeError if it ends, or says nothing for START_SECONDS."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and server.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except urllib.error.URLError:
            time.sleep(0.2)
    raise RuntimeError(f"JupyterLab did not answer at {address}; exit code {server.poll()}")
