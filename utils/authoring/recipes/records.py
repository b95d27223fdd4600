"""What recipes write beside their weights: records in JSON, all in one form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from utils.organisms import Adapter
from utils.specimen import SPECIMEN
from utils.statistics import Interval

__all__ = ["about", "rounded", "write_record"]


def about(adapter: Adapter) -> dict[str, Any]:
    """An adapter's entry in its record: what it does, the source and the weights it was made for, its size."""
    return {
        "note": adapter.note,
        "base": adapter.base,
        "base_sha256": SPECIMEN.sha256,
        "base_weights": adapter.base_id,
        "parameters": adapter.parameters,
    }


def rounded(found: Interval) -> dict[str, Any]:
    """An interval for a record, to three digits."""
    ends = {name: round(getattr(found, name), 3) for name in ("estimate", "low", "high")}
    return {**ends, "n": found.n}


def write_record(path: str | Path, record: Any) -> None:
    """Write a record, ending in a line break."""
    Path(path).write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
