"""Every shipped file is described, unchanged, and of a kind we ship."""

import json

from utils.authoring.notebooks import manifest


def test_shipped_data_is_described():
    assert manifest.problems() == []


def test_a_changed_an_unlisted_and_a_forbidden_file_are_named(tmp_path):
    (tmp_path / "a.csv").write_text("1,2")
    (tmp_path / "b.csv").write_text("3")
    (tmp_path / "weights.pt").write_text("4")
    sha, size = manifest.fingerprint(tmp_path / "a.csv")
    entry = {"file": "a.csv", "what": "w", "licence": "CC0-1.0", "command": "make it", "sha256": sha, "bytes": size}
    gone = {**entry, "file": "gone.csv"}
    (tmp_path / "MANIFEST.json").write_text(json.dumps({"files": [entry, gone]}))
    (tmp_path / "a.csv").write_text("1,3")
    found = "\n".join(manifest.problems(tmp_path))
    assert "a.csv: differs from the manifest; remake it with `make it`" in found
    assert "b.csv: not in MANIFEST.json" in found
    assert "gone.csv: in MANIFEST.json, but not on disk" in found
    assert "weights.pt: weights are safetensors only" in found


def test_an_entry_without_a_licence_is_named(tmp_path):
    (tmp_path / "a.csv").write_text("1")
    sha, size = manifest.fingerprint(tmp_path / "a.csv")
    (tmp_path / "MANIFEST.json").write_text(json.dumps({"files": [{"file": "a.csv", "sha256": sha, "bytes": size}]}))
    assert "a.csv: the manifest gives no licence" in manifest.problems(tmp_path)
