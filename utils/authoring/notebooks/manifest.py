"""The list of shipped data and weights: what each file is, its licence, its checksum, and how to make it again.

`utils/data/MANIFEST.json` is written by hand but for the checksums: `python -m utils.authoring.notebooks.manifest`
fills in `sha256` and `bytes`. A file without an entry, or an entry without licence or command, is an error.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

from utils.authoring.notebooks import ROOT

DATA = ROOT / "utils" / "data"
MANIFEST = DATA / "MANIFEST.json"
_WANTED = ("file", "what", "licence", "command", "sha256", "bytes")
_FORBIDDEN = {".pkl", ".pickle", ".pt", ".pth", ".bin", ".ckpt", ".joblib"}


def problems(folder: Path = DATA) -> list[str]:
    """What is wrong with a data folder's manifest, one sentence each; an empty list when all is well."""
    found = []
    entries = json.loads((folder / "MANIFEST.json").read_text(encoding="utf-8"))["files"]
    named = {entry.get("file"): entry for entry in entries}
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "MANIFEST.json"):
        if "__pycache__" in path.parts or path.suffix == ".py":
            continue
        name = path.relative_to(folder).as_posix()
        entry = named.pop(name, None)
        if path.suffix in _FORBIDDEN:
            found.append(f"{name}: weights are safetensors only, never {path.suffix}")
        if entry is None:
            found.append(f"{name}: not in MANIFEST.json")
            continue
        found += [f"{name}: the manifest gives no {key}" for key in _WANTED if not entry.get(key)]
        if (entry.get("sha256"), entry.get("bytes")) != fingerprint(path):
            found.append(f"{name}: differs from the manifest; remake it with `{entry.get('command')}`")
    return found + [f"{name}: in MANIFEST.json, but not on disk" for name in named]


def fingerprint(path: Path) -> tuple[str, int]:
    """SHA-256 and size in bytes of a file."""
    data = path.read_bytes()
    return hashlib.sha256(data).hexdigest(), len(data)


def main() -> int:
    """Fill in checksums and sizes, then report what is still missing. Returns the exit code."""
    manifest = json.loads(MANIFEST.read_text(encoding="utf-8"))
    for entry in manifest["files"]:
        path = DATA / entry["file"]
        if path.exists():
            entry["sha256"], entry["bytes"] = fingerprint(path)
    MANIFEST.write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    found = problems()
    print("\n".join(found) or f"{len(manifest['files'])} files, all described")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
