"""What steering did and what it cost: two sides that are only worth reading together.

Effect: how often a text speaks of the concept (`mention_share`), or, with no text written at all, how far the odds of
one continuation against another move (`gap`, `gap_from`). Cost: how surprising the steered text is to the *untouched*
model (`surprise`), how much it repeats (`utils.writing.repeated_share`, `distinct_share`), how much worse the
steered model reads ordinary text (`reading_from`), and which facts it still gets right (`facts`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch.nn import functional as F

from utils.interventions import Hooks, steered
from utils.probing import Choice, choices, completion_gap, gap_scorer
from utils.reading.activations import length_sorted_batches
from utils.reading.continuation import continue_from
from utils.reading.tokens import text_ids
from utils.statistics import Interval, proportion

TOKENS_PER_BATCH = 512

# --------------------------------------------------------------------------------------------------- what it speaks of


def mentions(texts: Sequence[str], lexicon: Sequence[str]) -> list[bool]:
    """For each text, whether it holds one of the lexicon's words or phrases, as whole words, in any case.

    State the lexicon with the result, and choose it before looking at texts. Raises ValueError for an empty lexicon.

    >>> mentions(["The Bridge is red.", "A bridgehead."], ["bridge"])
    [True, False]
    """
    if isinstance(texts, str) or isinstance(lexicon, str):
        raise TypeError("texts and lexicon must be lists of strings")
    words = [word.strip() for word in lexicon]
    if not words or not all(words):
        raise ValueError(f"lexicon must hold at least one word and no empty ones, got {list(lexicon)!r}")
    pattern = re.compile(r"(?<!\w)(?:" + "|".join(map(re.escape, words)) + r")(?!\w)", re.IGNORECASE)
    return [bool(pattern.search(text)) for text in texts]


def mention_share(texts: Sequence[str], lexicon: Sequence[str]) -> Interval:
    """Share of texts that hold a word of the lexicon, with Wilson's interval. Raises ValueError for no texts."""
    if not texts:
        raise ValueError("texts is empty; give at least one")
    return proportion(sum(mentions(texts, lexicon)), len(texts))


def distinct_share(ids: Sequence[int], n: int = 2) -> float:
    """Different n-grams over all n-grams of a text: 1 never repeats itself. Li et al. 2015, arXiv 1510.03055.

    Raises ValueError if the text has fewer than n tokens.

    >>> distinct_share([1, 2, 1, 2, 1], 2)
    0.5
    """
    grams = [tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)]
    if n < 1 or not grams:
        raise ValueError(f"ids must hold at least n = {n} tokens, got {len(ids)}")
    return len(set(grams)) / len(grams)


# ------------------------------------------------------------------------------------------------------- odds, no text


@torch.no_grad()
def gap(model: Any, choice: Choice, hooks: Hooks | None = None) -> Float[torch.Tensor, " n"]:
    """Log-likelihood of each prompt's first continuation minus that of its second, in nats, with any hooks on.

    choice: `utils.probing.choices(model, prompts, first, second)`. The change of this number is steering's effect on
    one prompt, without sampling noise. For many edits at one block, `gap_from` runs only what comes after it.
    """
    with steered(model, hooks or []):
        return completion_gap(model, choice)


def gap_from(model: Any, choice: Choice, layer: int) -> Callable[[Hooks | None], Float[torch.Tensor, " n"]]:
    """`gap` for many interventions after one block: what comes before it runs once only.

    Returns a function of hooks, all of which must sit after this block. Raises ValueError otherwise.
    """
    score = gap_scorer(model, choice, layer)
    return lambda hooks=None: score(_one_edit(hooks, layer))


def odds_from(
    model: Any, prompts: Sequence[str], words: Sequence[str], layer: int
) -> Callable[[Hooks | None], Float[torch.Tensor, " n"]]:
    """Log-odds that the next token is one of some words, while the model is steered after one block.

    words: single tokens, with their leading space (" bridge"). Returns a function of hooks (all after this block) that
    gives one number a prompt in nats, (n,): 0 means even odds. One short pass for all prompts, and no sampling noise.
    Raises ValueError for a word of several tokens or for no words, and as `reading_from` does.
    """
    ids = [text_ids(model, word) for word in words]
    long = [word for word, one in zip(words, ids) if len(one) != 1]
    if isinstance(words, str) or not ids or long:
        raise ValueError(f"words must be a list of single tokens; not so: {long or words!r}")
    wanted = torch.tensor(sorted({one[0] for one in ids}))
    rows = _token_rows(model, prompts, shortest=2)
    rest = continue_from(model, torch.nn.utils.rnn.pad_sequence(rows, batch_first=True), layer)
    last = torch.nn.functional.one_hot(torch.tensor([len(row) - 1 for row in rows]), rest.start.shape[1]).bool()

    @torch.no_grad()
    def score(hooks: Hooks | None = None) -> Float[torch.Tensor, " n"]:
        edit = _one_edit(hooks, layer)
        logits = rest.logits(rest.start if edit is None else edit(rest.start), last).cpu()
        inside = logits[:, wanted].logsumexp(-1)
        return inside - logits.index_fill(-1, wanted, -torch.inf).logsumexp(-1)

    return score


@torch.no_grad()
def reading_from(model: Any, texts: Sequence[str], layer: int) -> Callable[[Hooks | None], Float[torch.Tensor, " n"]]:
    """How surprised the model is by ordinary text while it is steered after one block: a cost with no sampling noise.

    Returns a function of hooks (all after this block) that gives each text's mean surprisal in nats a token, (n,).
    The text's first token, of which nothing is known, is left out. Raises ValueError for no texts or texts of one
    token.
    """
    rows = _token_rows(model, texts)
    batches = []
    for index in length_sorted_batches([len(row) for row in rows], TOKENS_PER_BATCH):
        ids = torch.nn.utils.rnn.pad_sequence([rows[i] for i in index], batch_first=True)
        wanted = torch.zeros_like(ids, dtype=torch.bool)
        for row, i in enumerate(index):
            wanted[row, 1 : len(rows[i]) - 1] = True
        batches.append((index, wanted, continue_from(model, ids, layer)))

    @torch.no_grad()
    def read(hooks: Hooks | None = None) -> Float[torch.Tensor, " n"]:
        edit = _one_edit(hooks, layer)
        result = torch.empty(len(rows))
        for index, wanted, rest in batches:
            logits = rest.logits(rest.start if edit is None else edit(rest.start), wanted)
            for i, of_text in zip(index, logits.split([len(rows[i]) - 2 for i in index])):
                result[i] = F.cross_entropy(of_text, rows[i][2:].to(of_text.device))
        return result

    return read


# ------------------------------------------------------------------------------------------------- what the text costs


@dataclass(frozen=True)
class Surprise:
    """How surprising each continuation is to the untouched model: nats a token, (n,), and how many tokens it has."""

    nats: Float[torch.Tensor, " n"]
    tokens: torch.Tensor

    @property
    def perplexity(self) -> float:
        """exp of the mean over all tokens."""
        return float(((self.nats * self.tokens).sum() / self.tokens.sum()).exp())


@torch.no_grad()
def surprise(
    model: Any, prompts: Sequence[str] | Sequence[Sequence[int]], continuations: Sequence[Sequence[int]]
) -> Surprise:
    """How surprising steered text is to the unsteered model, given its prompt.

    prompts: texts, or token ids used as they are (`utils.writing.chat_prompts`). continuations: token ids, as
    `utils.writing.generate_ids` returns. Raises ValueError for an empty one, for lists
    of different lengths, and while hooks are on the model: the judge must not be the steered one.
    """
    if any(point.fwd_hooks for point in model.hook_dict.values()):
        raise ValueError("hooks are on this model, so it would judge as the steered one; call surprise outside `with`")
    if len(prompts) != len(continuations) or not len(prompts):
        raise ValueError(f"got {len(prompts)} prompts and {len(continuations)} continuations; one of each is needed")
    empty = [i for i, ids in enumerate(continuations) if not len(ids)]
    if empty:
        raise ValueError(f"continuations[{empty[0]}] is empty; there is nothing to be surprised by")
    heads = _token_rows(model, prompts, shortest=2)
    rows = [torch.cat([head, torch.as_tensor(list(tail))]) for head, tail in zip(heads, continuations)]
    device = next(model.parameters()).device
    nats = torch.empty(len(rows))
    for index in length_sorted_batches([len(row) for row in rows], TOKENS_PER_BATCH):
        ids = torch.nn.utils.rnn.pad_sequence([rows[i] for i in index], batch_first=True).to(device)
        picked = _log_probs(model(ids)[:, :-1].float(), ids[:, 1:])
        for row, i in enumerate(index):
            nats[i] = -picked[row, len(heads[i]) - 1 : len(rows[i]) - 1].mean()
    return Surprise(nats, torch.tensor([len(ids) for ids in continuations]))


def facts(model: Any, hooks: Hooks | None = None, n: int = 40) -> list[bool]:
    """Which of n landmarks the model still puts in the right city rather than a wrong one. Chance is one half."""
    return (gap(model, fact_choice(model, n), hooks) > 0).tolist()


def fact_choice(model: Any, n: int = 40) -> Choice:
    """A small test of what steering breaks, for `gap` and `gap_from`: landmarks, the right city and a wrong one.

    The first n landmarks of lesson 02 that don't name their city; the wrong city is that of the next landmark in the
    list whose city begins with another token. Only the cities' first tokens are compared.
    """
    from utils.datasets.landmarks import landmarks

    places = [place for place in landmarks() if not place.names_its_city]
    if not isinstance(n, int) or isinstance(n, bool) or not 2 <= n <= len(places):
        raise ValueError(f"n must be a whole number from 2 to {len(places)}, got {n!r}")
    first = [model.tokenizer.decode(model.to_tokens(" " + place.city, prepend_bos=False)[0, :1]) for place in places]
    other = []
    for i in range(n):
        j = next(j for j in range(1, len(places)) if first[(i + j) % len(places)] != first[i])
        other.append(first[(i + j) % len(places)])
    return choices(model, [place.prompt() for place in places[:n]], first[:n], other)


# ------------------------------------------------------------------------------------------------------------- helpers


def _one_edit(hooks: Hooks | None, layer: int) -> Callable[..., torch.Tensor] | None:
    """The hooks after one block as a single function, in order."""
    if not hooks:
        return None
    place = f"blocks.{layer}.hook_resid_post"
    elsewhere = [name for name, _ in hooks if name != place]
    if elsewhere:
        raise ValueError(f"this measure starts after block {layer}; it can't take a hook at {elsewhere[0]!r}")

    def edit(acts: torch.Tensor) -> torch.Tensor:
        for _, function in hooks:
            acts = function(acts)
        return acts

    return edit


def _token_rows(model: Any, texts: Any, shortest: int = 3) -> list[torch.Tensor]:
    """Each text as a row of ids, from a document start. Texts may be lists of ids, which are used as they are."""
    if isinstance(texts, str) or not isinstance(texts, Sequence):
        raise TypeError(f"texts must be a list of strings, got {type(texts).__name__}")
    if not texts:
        raise ValueError("texts is empty; give at least one")
    # Not model.to_tokens: it cuts what is too long without a word.
    start = [] if model.tokenizer.bos_token_id is None else [model.tokenizer.bos_token_id]
    rows = []
    for i, text in enumerate(texts):
        ids = [*start, *text_ids(model, text)] if isinstance(text, str) else text
        if len(ids) < shortest:
            raise ValueError(f"texts[{i}] is too short to be read: {text!r}")
        if len(ids) > model.cfg.n_ctx:
            raise ValueError(f"texts[{i}] has {len(ids)} tokens; this model reads at most {model.cfg.n_ctx}")
        rows.append(torch.as_tensor(list(ids)))
    return rows


def _log_probs(logits: Float[torch.Tensor, "batch pos d_vocab"], ids: torch.Tensor) -> Float[torch.Tensor, "batch pos"]:
    """Log-probability of each token. A text at a time: the whole batch's would double the memory of its logits."""
    return torch.stack([-F.cross_entropy(one, row, reduction="none") for one, row in zip(logits, ids)]).cpu()
