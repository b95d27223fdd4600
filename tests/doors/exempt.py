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

# What the doors themselves are made of: they say what is wrong, and are tried by tests/test_inputs.py.
EXEMPT |= {
    f"utils.{name}": "a door itself"
    for name in (
        *(
            "devices.device_of",
            "devices.on_device_of",
            "sae.models.finite_rows",
            "sae.models.where_asked",
            "devices.release_memory",
            "devices.to_cpu",
            "inputs.checked",
            "inputs.resolved",
        ),
        *("inputs.numbers_or_bools", "validators.what", "validators.scalar", "validators.whole", "validators.number"),
        *("validators.limit", "validators.flag", "validators.text", "validators.one_of", "validators.function"),
        *("validators.check_instance", "validators.is_model", "validators.model", "validators.sequence"),
        *("validators.texts", "validators.boolean_labels", "validators.group_names", "validators.numbers"),
        *("validators.same_length", "interventions.pushes.steered"),
    )
}

# Shared between files of the library, and handed on by no package: what comes in has passed a door already.
_INNER = "inner: the functions that call it have doors"
EXEMPT |= {
    f"utils.{room}.{name}": _INNER
    for room, names in {
        "datasets.labelled": ("partner_names", "check_templates"),
        "measured": (
            *("entry", "table", "value_text", "interval_text", "full_text", "sure_text", "one_as_text", "one_as_html"),
            *("table_as_text", "table_as_html", "stored_in", "remember", "known", "hold", "fill"),
        ),
        "predictions": ("question", "read", "keep", "valid", "shown", "spoken", "show"),
        "organisms.adapters": ("check_base", "linear_at"),
        "organisms.lowrank": ("low_rank",),
        "organisms.propensity": ("laid_out",),
        "organisms.toy.solver": ("written_logits",),
        "organisms.training": ("dress", "answer_loss"),
        "learner": ("change",),
        "plots.base": ("tokens", "plain", "escaped", "luminance", "rendered"),
        "plots.grammar": ("displayed",),
        "probing.inputs": ("computable", "both_classes", "ready", "members"),
        "probing.probes": ("fit_with",),
        "probing.solver": ("logistic_stack",),
        "standin.frozen": ("plain_weight", "words_of"),
        "reading.batches": ("padded", "padded_left"),
        "reading.likelihood": ("logits_at",),
        "reading.recording": ("plain",),
        "sae.saelens": ("refuse_unknown",),
        "sae.training": ("record_of", "take_step"),
        "sealed": ("seal_of", "write_sealed", "read_sealed", "read_unsealed"),
        "statistics.intervals": (
            *("unit_index", "mean_over_units", "normal_quantile", "student_quantile", "mean_bounds", "share_bounds"),
            *("difference_bounds", "correlation_of"),
        ),
        "statistics.resampling": ("resampled",),
        "tracing.attribution": ("answer_couples",),
        "tracing.pairs": ("pair_list",),
        "tracing.patching": ("difference",),
        "tracing.running": (
            *("prompt_rows", "record_batch", "stack_layers", "base_run", "branch", "run", "hook_names", "by_head"),
            "chosen_layers",
        ),
        "writing.decoding": (*("places", "standing", "why_not_direct", "sharing_weights", "reader", "in_bfloat16"),),
    }.items()
    for name in names
}

# Their answers go into the model next, so they stay where it is.
FOR_THE_MODEL = {
    "utils.reading.continuation.continue_from",
    *(f"utils.reading.tokens.{name}" for name in ("chat_tokens", "text_tokens", "token_batch", "token_row")),
}

# Their tests put something else in place of what they return.
REPLACED = {"utils.monitoring.monitors.judge_prompts"}
