"""Heads that carry a rule from examples in the prompt to the place where it is applied: function-vector heads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from utils.devices import device_of
from utils.inputs import checked
from utils.interventions.ablations import Head
from utils.reading.recording import Hook, record_named
from utils.reading.tokens import TokenBatch, token_batch

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

# scoring the whole vocabulary is the dearest step: only the last position is scored
_LAST: Hook = ("unembed.hook_in", lambda value, hook: value[:, -1:].contiguous())

_AT_ONCE = 3  # prompts whose graph is kept at one time


@checked
def answer_log_probs(
    model: TransformerBridge, tokens: TokenBatch, answers: Int[Tensor, " n"], hooks: Sequence[Hook] = ()
) -> Float[Tensor, " n"]:
    """log P(answer) in nats right after each prompt. tokens: (n, pos) ids of one length. answers: (n,) ids."""
    given = _with_answers(model, tokens, answers)
    with torch.no_grad():
        logits = model.run_with_hooks(given, fwd_hooks=[*hooks, _LAST], return_type="logits")[:, -1].float()
    return logits.log_softmax(-1).cpu().gather(-1, answers[:, None])[:, 0]


@checked
def rule_scores(
    model: TransformerBridge, shown: TokenBatch, hidden: TokenBatch, answers: Int[Tensor, " n"]
) -> Float[Tensor, "layer head"]:
    """How much each head alone would bring back the answer, if it wrote what it writes when the rule can be seen.

    shown: (m, pos) prompts whose examples follow a rule. hidden: (n, pos) prompts whose examples were mixed up,
    answers: (n,) their right ones. Each head's mean output at the last position of `shown` takes the place of its
    output there in `hidden`; the score is the mean rise of log P(answer), in nats, to first order (one backward pass
    for all heads). Heads that score high are called function-vector heads.
    Source: Todd et al. 2023 (arXiv 2310.15213), who patch each head in turn; the linear estimate: Nanda 2023,
    "Attribution Patching".
    """
    given = _with_answers(model, hidden, answers)
    names = [f"blocks.{layer}.attn.hook_z" for layer in range(model.cfg.n_layers)]
    seen = record_named(model, shown, names)
    where, steps, was = device_of(model), {}, {}
    mean = {name: z[:, -1].mean(0).to(where) for name, z in seen.items()}
    total = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)

    def watch(name: str) -> Callable:
        def hook_function(z: Tensor, hook: Any) -> Tensor:
            was[name] = z[:, -1].detach()
            steps[name] = torch.zeros_like(was[name]).requires_grad_()
            return torch.cat([z[:, :-1], (z[:, -1] + steps[name])[:, None]], dim=1)

        return hook_function

    frozen = [weight for weight in model.parameters() if weight.requires_grad]
    for weight in frozen:
        weight.requires_grad_(False)
    try:
        with torch.enable_grad():
            hooks = [(name, watch(name)) for name in names]
            for ids, right in zip(given.split(_AT_ONCE), answers.to(where).split(_AT_ONCE)):
                logits = model.run_with_hooks(ids, fwd_hooks=[*hooks, _LAST], return_type="logits")[:, -1].float()
                wanted = logits.log_softmax(-1).gather(-1, right[:, None]).sum()
                slopes = torch.autograd.grad(wanted, [steps[name] for name in names])
                for layer, (name, slope) in enumerate(zip(names, slopes)):
                    total[layer] += (slope * (mean[name] - was[name])).sum((0, -1)).float().cpu()
    finally:
        for weight in frozen:
            weight.requires_grad_(True)
    return total / len(given)


@checked
def strongest(scores: Float[Tensor, "layer head"], n: int, without: Sequence[Head] = ()) -> list[Head]:
    """The n heads of the highest score, strongest first, some left out. Raises ValueError where so many don't exist."""
    left = scores.numel() - len(set(map(tuple, without)))
    if not 1 <= n <= left:
        raise ValueError(f"n must be from 1 to {left}, the heads that are left, got {n}")
    order = scores.flatten().argsort(descending=True).tolist()
    heads = [divmod(index, scores.shape[1]) for index in order]
    return [head for head in heads if head not in set(map(tuple, without))][:n]


def _with_answers(model: TransformerBridge, tokens: TokenBatch, answers: Tensor) -> Tensor:
    """Checked ids, on the model's device, one answer a row."""
    given = token_batch(model, tokens)
    if len(answers) != len(given):
        raise ValueError(f"answers must hold one id a prompt, got {len(answers)} for {len(given)}")
    if len(answers) and not 0 <= int(answers.min()) <= int(answers.max()) < model.cfg.d_vocab:
        raise ValueError(f"answers must be ids below {model.cfg.d_vocab}, got {answers.tolist()}")
    return given
