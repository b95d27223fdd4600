"""Interventions as every reader and writer in the lab takes them: pairs of a place and a function.

Exactly what `model.run_with_hooks(fwd_hooks=...)` takes: the function gets the activations and the hook point, and
returns what shall go on in their place, or None to look without changing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from utils.inputs import checked

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

__all__ = ["HookFunction", "Hooks", "check_hooks"]

HookFunction = Callable[..., Any]
Hooks = Sequence[tuple[str, HookFunction]]


@checked
def check_hooks(model: TransformerBridge, hooks: Hooks) -> list[tuple[str, HookFunction]]:
    """The hooks as a list of (name, function).

    Raises TypeError for anything else, ValueError for a name that the model doesn't have.
    """
    known = model.hook_dict if len(hooks) else {}
    for i, (name, _) in enumerate(hooks):
        if name not in known:
            raise ValueError(
                f"hooks[{i}]: unknown hook {name!r}; blocks are counted from 0 to {model.cfg.n_layers - 1}, "
                "as in 'blocks.0.hook_resid_post'"
            )
    return [(name, function) for name, function in hooks]
