"""What steering did and what it cost: two sides that are only worth reading together.

Effect: how often a text speaks of the concept (`mention_share`), or, with no text written at all, how far the odds of
one continuation against another move (`gap`, `gap_from`). Cost: how surprising the steered text is to the *untouched*
model (`surprise`), how much it repeats (`utils.writing.repeated_share`), how much worse the steered model reads
ordinary text (`reading_from`), and which facts it still gets right (`facts`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import torch
from jaxtyping import Float, Int

from utils.inputs import Index, Range, Texts, checked
from utils.interventions import Hooks, steered
from utils.interventions.pushes import Edit
from utils.probing import Choice, choices, completion_gap, gap_scorer
from utils.progress import slow
from utils.reading.batches import length_sorted_batches, padded
from utils.reading.continuation import continue_from
from utils.reading.hooks import check_hooks
from utils.reading.likelihood import continuation_log_likelihood, token_log_probs
from utils.reading.tokens import TokenTexts, start_token, text_ids, token_rows
from utils.statistics import Interval, proportion

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

TOKENS_PER_BATCH = 512
Facts = Annotated[int, Range(low=2)]

# --------------------------------------------------------------------------------------------------- what it speaks of


@checked
def mentions(texts: Texts, lexicon: Texts) -> list[bool]:
    """For each text, whether it holds one of the lexicon's words or phrases, as whole words, in any case.

    State the lexicon with the result, and choose it before looking at texts. Raises TypeError or ValueError for no
    texts, an empty lexicon, or an empty word in it.

    >>> mentions(["The Bridge is red.", "A bridgehead."], ["bridge"])
    [True, False]
    """
    words = [word.strip() for word in lexicon]
    if not all(words):
        raise ValueError(f"lexicon must hold at least one word and no empty ones, got {list(lexicon)!r}")
    pattern = re.compile(r"(?<!\w)(?:" + "|".join(map(re.escape, words)) + r")(?!\w)", re.IGNORECASE)
    return [bool(pattern.search(text)) for text in texts]


@checked
def mention_share(texts: Texts, lexicon: Texts) -> Interval:
    """Share of texts that hold a word of the lexicon, with Wilson's interval. Raises as `mentions` does."""
    return proportion(sum(mentions(texts, lexicon)), len(texts))


# ------------------------------------------------------------------------------------------------------- odds, no text


@checked
@torch.no_grad()
def gap(model: TransformerBridge, choice: Choice, hooks: Hooks | None = None) -> Float[torch.Tensor, " n"]:
    """Log-likelihood of each prompt's first continuation minus that of its second, in nats, with any hooks on.

    choice: `utils.probing.choices(model, prompts, first, second)`. The change of this number is steering's effect on
    one prompt, without sampling noise. For many edits at one block, `gap_from` runs only what comes after it.
    """
    with steered(model, hooks or []):
        return completion_gap(model, choice)


@checked
def gap_from(model: TransformerBridge, choice: Choice, layer: Index) -> Callable[..., Float[torch.Tensor, " n"]]:
    """`gap` for many interventions after one block: what comes before it runs once only.

    Returns a function of hooks, all of which must sit after this block. Raises ValueError otherwise.
    """
    score = gap_scorer(model, choice, layer)
    return lambda hooks=None: score(_one_edit(model, hooks, layer))


@checked
def odds_from(
    model: TransformerBridge, prompts: TokenTexts, words: Texts, layer: Index
) -> Callable[..., Float[torch.Tensor, " n"]]:
    """Log-odds that the next token is one of some words, while the model is steered after one block.

    words: single tokens, with their leading space (" bridge"). Returns a function of hooks (all after this block) that
    gives one number a prompt in nats, (n,): 0 means even odds. One short pass for all prompts, and no sampling noise.
    Raises ValueError for a word of several tokens or for no words, and as `reading_from` does.
    """
    ids = [text_ids(model, word) for word in words]
    long = [word for word, one in zip(words, ids) if len(one) != 1]
    if long:
        raise ValueError(f"words must be a list of single tokens; not so: {long!r}")
    inside_ids = torch.tensor(sorted({one[0] for one in ids}))
    rows = token_rows(model, prompts, name="prompts")
    rest = continue_from(model, padded(rows), layer)
    last = torch.nn.functional.one_hot(torch.tensor([len(row) - 1 for row in rows]), rest.start.shape[1]).bool()

    @torch.no_grad()
    def score(hooks: Hooks | None = None) -> Float[torch.Tensor, " n"]:
        edit = _one_edit(model, hooks, layer)
        logits = rest.logits(rest.start if edit is None else edit(rest.start), last).cpu()
        inside = logits[:, inside_ids].logsumexp(-1)
        return inside - logits.index_fill(-1, inside_ids, -torch.inf).logsumexp(-1)

    return score


@checked
@torch.no_grad()
def reading_from(model: TransformerBridge, texts: TokenTexts, layer: Index) -> Callable[..., Float[torch.Tensor, " n"]]:
    """How surprised the model is by ordinary text while it is steered after one block: a cost with no sampling noise.

    Returns a function of hooks (all after this block) that gives each text's mean surprisal in nats a token, (n,).
    The text's first token, of which nothing is known, is left out. Raises TypeError or ValueError for no texts or texts
    of one token.
    """
    rows = token_rows(model, texts)
    begin = start_token(model)
    first = [int(row[0] == begin) for row in rows]  # where a text's own first token stands
    for i, row in enumerate(rows):
        if len(row) < first[i] + 2:
            raise ValueError(f"texts[{i}] is too short to be read: it needs at least two tokens")
    batches = []
    for index in slow(length_sorted_batches([len(row) for row in rows], TOKENS_PER_BATCH), "reading"):
        ids = padded([rows[i] for i in index])
        wanted = torch.zeros_like(ids, dtype=torch.bool)
        for k, i in enumerate(index):
            wanted[k, first[i] : len(rows[i]) - 1] = True
        batches.append((index, wanted, ids.roll(-1, 1)[wanted], continue_from(model, ids, layer)))

    @torch.no_grad()
    def read(hooks: Hooks | None = None) -> Float[torch.Tensor, " n"]:
        edit = _one_edit(model, hooks, layer)
        result = torch.empty(len(rows))
        for index, wanted, following, rest in slow(batches, "reading"):
            logits = rest.logits(rest.start if edit is None else edit(rest.start), wanted)
            found = token_log_probs(logits, following).cpu()
            for i, of_text in zip(index, found.split(wanted.sum(1).tolist())):
                result[i] = -of_text.mean()
        return result

    return read


# ------------------------------------------------------------------------------------------------- what the text costs


@dataclass(frozen=True)
class Surprise:
    """How surprising each continuation is to the untouched model: nats a token, (n,), and how many tokens it has."""

    nats: Float[torch.Tensor, " n"]
    tokens: Int[torch.Tensor, " n"]

    @property
    def perplexity(self) -> float:
        """exp of the mean over all tokens."""
        return float(((self.nats * self.tokens).sum() / self.tokens.sum()).exp())


@checked
@torch.no_grad()
def surprise(model: TransformerBridge, prompts: TokenTexts, continuations: TokenTexts) -> Surprise:
    """How surprising steered text is to the unsteered model, given its prompt.

    prompts: texts, or token ids used as they are (`utils.writing.chat_prompts`). continuations: token ids, as
    `utils.writing.generate_ids` returns. Raises TypeError or ValueError for an empty one, for lists
    of different lengths, and while hooks are on the model: a steered model finds its own text likely.
    """
    if any(point.fwd_hooks for point in model.hook_dict.values()):
        raise ValueError("model has hooks on it, so it would judge as the steered one; call surprise outside `with`")
    found = continuation_log_likelihood(model, prompts, continuations)
    return Surprise(-found.per_token, found.n_tokens)


@checked
def facts(model: TransformerBridge, hooks: Hooks | None = None, n: Facts = 40) -> list[bool]:
    """Which of n landmarks the model still puts in the right city rather than a wrong one. Chance is one half."""
    return (gap(model, fact_choice(model, n), hooks) > 0).tolist()


@checked
def fact_choice(model: TransformerBridge, n: Facts = 40) -> Choice:
    """A small test of what steering breaks, for `gap` and `gap_from`: landmarks, the right city and a wrong one.

    The first n landmarks of lesson 02 that don't name their city; the wrong city is that of the next landmark in the
    list whose city begins with another token. Only the cities' first tokens are compared.
    """
    from utils.datasets.landmarks import landmarks

    places = [place for place in landmarks() if not place.names_its_city]
    if n > len(places):
        raise ValueError(f"n must be a whole number from 2 to {len(places)}, got {n!r}")
    first = [model.tokenizer.decode(text_ids(model, " " + place.city)[:1]) for place in places]
    other = []
    for i in range(n):
        j = next(j for j in range(1, len(places)) if first[(i + j) % len(places)] != first[i])
        other.append(first[(i + j) % len(places)])
    return choices(model, [place.prompt() for place in places[:n]], first[:n], other)


# ------------------------------------------------------------------------------------------------------------- helpers


def _one_edit(model: TransformerBridge, hooks: Hooks | None, layer: int) -> Edit | None:
    """The hooks after one block as a single function, in order."""
    if not hooks:
        return None
    check_hooks(model, hooks)
    place = f"blocks.{layer}.hook_resid_post"
    elsewhere = [name for name, _ in hooks if name != place]
    if elsewhere:
        raise ValueError(f"hooks: this measure starts after block {layer}; it can't take a hook at {elsewhere[0]!r}")

    def edit(acts: torch.Tensor) -> torch.Tensor:
        for _, function in hooks:
            acts = function(acts)
        return acts

    return edit
