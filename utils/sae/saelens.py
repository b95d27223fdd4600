"""What a configuration of SAELens means: `cfg.json`, of version 6 and of before.

A dictionary that is read but for one setting is a wrong dictionary. So each key of a configuration is one of three:
understood here, known to say nothing about latents (how it was trained, where its activations came from), or refused
by name unless it is at its neutral value.

Layouts and defaults: SAELens 1 to 6 (github.com/decoderesearch/SAELens, sae_lens/loading/pretrained_sae_loaders.py).
"""

from __future__ import annotations

import warnings
from collections.abc import Collection
from pathlib import Path
from typing import Any

from utils.inputs import checked
from utils.sae.layout import KINDS, Layout
from utils.validators import whole

__all__ = ["understand"]

_UNDERSTOOD = set(
    """architecture d_in d_sae k activation_fn activation_fn_str activation_fn_kwargs apply_b_dec_to_input
    rescale_acts_by_decoder_norm normalize_activations reshape_activations finetuning_scaling_factor finetuning_method
    model_from_pretrained_kwargs metadata weights_sha256""".split()  # noqa: SIM905
)
_WHERE_FROM = set(
    """model_name model_class_name model_kwargs hook_name hook_point hook_layer hook_point_layer hook_head_index
    hook_point_head_index hook_eval hook_point_eval seqpos_slice prepend_bos exclude_special_tokens context_size
    dataset_path dataset_trust_remote_code is_dataset_tokenized streaming neuronpedia_id hf_hook_name dtype
    device sae_lens_version sae_lens_training_version""".split()  # noqa: SIM905
)
_HOW_TRAINED = set(
    """act_store_device adam_beta1 adam_beta2 autocast autocast_lm aux_loss_coefficient b_dec_init_method
    cached_activations_path checkpoint_path compile_llm compile_sae dead_feature_threshold dead_feature_window
    decoder_heuristic_init decoder_heuristic_init_norm decoder_init_norm decoder_orthogonal_init
    disable_concat_sequences eval_batch_size_prompts eval_every_n_wandb_logs expansion_factor feature_sampling_window
    finetuning_tokens from_pretrained_path init_encoder_as_decoder_transpose jumprelu_bandwidth jumprelu_init_threshold
    jumprelu_sparsity_loss_mode jumprelu_tanh_scale l0_coefficient l0_warm_up_steps l1_coefficient l1_warm_up_steps
    llm_compilation_mode log_activations_store_to_wandb log_optimizer_state_to_wandb log_to_wandb logger lp_norm lr
    lr_decay_steps lr_end lr_scheduler_name lr_warm_up_steps mse_loss_normalization n_batches_in_buffer n_checkpoints
    n_eval_batches n_restart_cycles noise_scale normalize_sae_decoder pre_act_loss_coefficient resume
    resume_from_checkpoint run_name sae_compilation_mode save_final_checkpoint scale_sparsity_penalty_by_decoder_norm
    seed sequence_separator_token store_batch_size store_batch_size_prompts tokens_per_buffer topk_threshold_lr
    total_training_steps total_training_tokens train_batch_size train_batch_size_tokens training_tokens
    use_cached_activations use_ghost_grads use_sparse_activations verbose wandb_entity wandb_id wandb_log_frequency
    wandb_project""".split()  # noqa: SIM905
)
_NEUTRAL: tuple[Any, ...] = (None, False, 0, "", "none", [], {})


@checked
def understand(config: dict[str, Any], source: Path) -> Layout:
    """What a configuration asks for. source: its file, for messages.

    A configuration of before version 6 may leave settings out: SAELens' own defaults apply.
    Raises ValueError, naming the key, for what isn't understood; warns where a model must be loaded in a certain way.
    """
    refuse_unknown(config, source)
    d_model, d_sae = (whole(f"{source}: {name}", config[name], 1) for name in ("d_in", "d_sae"))
    kind, k = _kind(config, source)
    normalise = config.get("normalize_activations")
    if normalise not in (None, False, "none"):
        raise ValueError(
            f"{source} asks for normalize_activations={normalise!r}: fold the scaling into the weights first "
            "(SAELens's fold_activation_norm_scaling_factor does it)"
        )
    if config.get("reshape_activations") not in (None, "none", "hook_z"):  # hook_z: heads side by side, in d_in numbers
        raise ValueError(
            f"{source} asks for reshape_activations={config['reshape_activations']!r}, which isn't known here"
        )
    in_decoder_units = _flag(config, "rescale_acts_by_decoder_norm", False, source)
    if in_decoder_units and kind != "topk":
        raise ValueError(f"{source} asks for rescale_acts_by_decoder_norm of a {kind} SAE, which isn't known here")
    _warn_of_model_options(config, source)
    return Layout(
        kind=kind,
        d_model=d_model,
        d_sae=d_sae,
        k=k,
        takes_b_dec_off=_flag(config, "apply_b_dec_to_input", True, source),
        in_decoder_units=in_decoder_units,
        rescaled=_flag(config, "finetuning_scaling_factor", False, source) or bool(config.get("finetuning_method")),
    )


def refuse_unknown(config: dict[str, Any], source: Path, known: Collection[str] = ()) -> None:
    """Raise ValueError for a key that isn't known, here or to the caller, unless it is at its neutral value."""
    for key, value in config.items():
        if (
            key in known
            or key in _UNDERSTOOD | _WHERE_FROM | _HOW_TRAINED
            or any(value == neutral for neutral in _NEUTRAL)
        ):
            continue
        raise ValueError(
            f"{source} sets {key}={value!r}, a key that isn't known here and may change what latents are: nothing was "
            "read; take it out if it changes nothing"
        )


def _kind(config: dict[str, Any], source: Path) -> tuple[str, int | None]:
    """The kind, and k for a TopK. Before version 6 a TopK was a standard SAE with another activation function."""
    kind = config.get("architecture", "standard" if _before_version_6(config) else None)
    if kind not in KINDS:
        raise ValueError(f"{source} names the architecture {kind!r}; known: {', '.join(KINDS)}")
    function = config.get("activation_fn", config.get("activation_fn_str"))
    options = config.get("activation_fn_kwargs") or {}
    if function not in (None, "relu", "topk"):
        raise ValueError(f"{source} asks for the activation function {function!r}; known: relu, topk")
    if function == "topk" and kind not in ("standard", "topk") or function == "relu" and kind == "topk":
        raise ValueError(
            f"{source} asks for the activation function {function!r} in a {kind} SAE, which isn't known here"
        )
    if function != "topk" and kind != "topk":
        return kind, None
    if options.get("postact_fn") not in (None, "relu") or set(options) - {"k", "postact_fn"}:
        raise ValueError(f"{source} sets activation_fn_kwargs={options!r}; known: k, and relu as postact_fn")
    k = config["k"] if config.get("k") is not None else options.get("k")
    return "topk", whole(f"{source}: k", k, 1, config["d_sae"], context="a whole number, how many latents are on")


def _before_version_6(config: dict[str, Any]) -> bool:
    version = config.get("sae_lens_version") or (config.get("metadata") or {}).get("sae_lens_version")
    head = str(version).split(".")[0]
    return not head.isdecimal() or int(head) < 6


def _flag(config: dict[str, Any], key: str, default: bool, source: Path) -> bool:
    value = config.get(key, default)
    if not isinstance(value, bool | None):
        raise ValueError(f"{source} sets {key}={value!r}, expected true or false")
    return default if value is None else value


def _warn_of_model_options(config: dict[str, Any], source: Path) -> None:
    key = "model_from_pretrained_kwargs"
    options = config.get(key) or (config.get("metadata") or {}).get(key)
    if options:
        warnings.warn(
            f"{source}: its model was loaded with {options}: latents mean the same only on activations of a model that "
            "was changed in the same way",
            stacklevel=4,
        )
