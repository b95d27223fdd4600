"""Public functions that need no door, each with its reason."""

EXEMPT: dict[str, str] = {
    "utils.reading.massive.is_massive": "hooks call it for every block and token: it holds its arguments itself",
}
