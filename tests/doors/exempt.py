"""Public functions that need no door, each with its reason."""

EXEMPT: dict[str, str] = {}
