"""Public functions that need no door, each with its reason."""

EXEMPT: dict[str, str] = {
    "utils.reading.massive.is_massive": "hooks call it for every block and token: it holds its arguments itself",
    "utils.sae.sparse.batch_top_k": "the arithmetic inside a training step, which checks its batch",
    "utils.sae.sparse.decode_selected": "the arithmetic inside a training step, which checks its batch",
    "utils.sae.sparse.encode_selected": "the arithmetic inside a training step, which checks its batch",
    "utils.sae.sparse.row_top_k": "the arithmetic inside a training step, which checks its batch",
}

# What the pre-flight check and the set-up cell stand on runs on a bare Python: it can't import the doors.
_BARE = "runs before numpy can be there: it holds its arguments itself (tests/test_home.py)"
EXEMPT |= {
    f"utils.{name}": _BARE
    for name in (
        *("home.as_path", "home.fsync", "home.new_file", "home.only_one", "home.place", "home.remembered", "home.say"),
        *("home.sha256_of", "home.write_whole", "weights.of_folder", "weights.of_module", "weights.weight_files"),
        *("specimen.discard", "specimen.fingerprint_of", "specimen.folder_problem", "specimen.specimen_folder"),
        *("specimen.verify", "preflight.check_packages", "preflight.main", "preflight.read_requirements"),
        "preflight.run",
    )
}
