"""The habits of the project: hooks run what CI runs, files that other sites read are well-formed, types are told."""

from __future__ import annotations

import re
import sys
import tomllib

import pytest
import yaml
from conftest import ROOT

from utils.authoring.notebooks import browser, suite


def load(name: str):
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def test_hooks_run_what_ci_checks_and_fetch_nothing():
    (repository,) = load(".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    entries = {hook["entry"]: hook for hook in repository["hooks"]}
    assert set(entries) == {"make lint", "make check"}
    for entry, hook in entries.items():
        assert entry.split()[1] in make_targets() and hook["language"] == "system" and not hook["pass_filenames"]


def test_the_whole_suite_has_all_that_check_has_and_check_all_that_lint_has():
    names = {which: [step.name for step in suite.steps(which)] for which in ("lint", "fast", "all")}
    assert names["lint"] == ["lint", "format", "types", "lessons in step with solutions"]
    assert names["fast"][:4] == names["lint"] and names["all"][:5] == names["fast"] and len(names["all"]) == 10
    assert "not slow" in suite.steps("fast")[-1].command and "not slow" not in suite.steps("all")[4].command


def test_a_step_that_cannot_run_here_is_told_and_does_not_fail(monkeypatch, capsys):
    steps = [
        suite.Step("a", [sys.executable, "-c", "1 / 0"], lacking="no browser here"),
        suite.Step("b", [sys.executable, "-c", ""]),
    ]
    monkeypatch.setattr(suite, "steps", lambda which: steps)
    assert suite.main(["--lint"]) == 0
    said = capsys.readouterr().out
    assert "    skip      0 s  a: no browser here" in said and "steps: 1 passed, 1 skipped, 0 failed" in said


def test_what_the_trials_in_a_browser_lack_is_said(monkeypatch):
    monkeypatch.setattr(browser.shutil, "which", lambda name: None)
    assert browser.missing() == "no browser here: install Chromium or Chrome"
    monkeypatch.setattr(browser.shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(browser.importlib.util, "find_spec", lambda name: None if name == "playwright" else name)
    assert "no playwright here" in browser.missing() and browser.executable() == "/bin/chromium"


def test_the_citation_names_the_project_as_pyproject_does():
    citation = load("CITATION.cff")
    assert {"cff-version", "message", "title", "authors", "license", "repository-code"} <= set(citation)
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["llm-biology-lab"]["repository"]
    assert citation["repository-code"].endswith(f"/{ours}")
    assert all(author.get("name") for author in citation["authors"])


@pytest.mark.parametrize("path", sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("[0-9]*.yml")), ids=lambda p: p.name)
def test_issue_forms_are_what_the_site_can_show(path):
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert form["name"] and form["description"] and form["body"]
    names = [field["id"] for field in form["body"]]
    assert len(set(names)) == len(names)
    for field in form["body"]:
        assert field["type"] in ("input", "textarea", "dropdown", "markdown", "checkboxes")
        assert field["attributes"]["label"]
        assert field["type"] != "dropdown" or len(field["attributes"]["options"]) > 1


def test_the_changelog_begins_with_what_is_not_released():
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] == "Unreleased" and all(re.fullmatch(r"(v\d\S+ · )?\d{4}-\d\d-\d\d", h) for h in headings[1:])


def test_what_is_promised_of_nbgrader_has_its_command_and_its_trial():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert "python -m classroom.nbgrader make" in text and "make nbgrader" in text
    assert "nbgrader" in make_targets() and (ROOT / "tests" / "test_nbgrader.py").exists()
    assert (ROOT / "requirements-nbgrader.txt").read_text(encoding="utf-8").count("nbgrader==") == 1


def test_a_model_has_a_type():
    """`model: Any` told nobody what a function needs; `TransformerBridge` does."""
    told = [
        f"{path.relative_to(ROOT)}: {line}"
        for path in sorted((ROOT / "utils").rglob("*.py"))
        for line in re.findall(r"\bmodel: (?:typing\.)?Any\b.*", path.read_text(encoding="utf-8"))
    ]
    assert not told, told


def test_the_tree_in_the_readme_is_there():
    block = re.search(r"^## Where things are\n+```\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.M | re.S)[1]
    assert len(block.splitlines()) <= 20, "one screen"
    for line in block.splitlines():
        inside = ROOT / "utils" if line.startswith("  ") else ROOT
        for name in line.strip().split("  ")[0].split():
            assert (inside / name).exists(), f"{line!r} names {name}"
