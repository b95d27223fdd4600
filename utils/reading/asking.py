"""Three ways of asking one organism the same thing: by its likelihood, by its activations, in words.

A claim is a stem and an ending ("The city of Paris is in" + " France" + "."). Read once, it answers twice: the tokens
of the ending have a likelihood, and what stands in the residual stream at the full stop can be probed. A question put
after it (" Is this true, yes or no? Answer:") lets the model say. A causal model computes a beginning in the same way
whatever comes after it, so `ask` reads each beginning once: claims of one stem, and the questions about a claim, are
branches of one tree, and a mask keeps them from seeing one another.

What to compare, and how. *Likelihood*: the true against the false ending of the same stem, never endings of different
stems (a rare city makes any sentence unlikely). A country of four tokens is less likely than one of one token for no
reason of truth, so the sum over tokens and the mean per token are both given; say which is used. *Words*: the log-odds
of two answer tokens. A model that always says Yes has a bias, not an opinion: turn the order of the options round, and
judge by ranks (AUROC) as well as by the sign. *Activations*: `utils.probing`, on entities that were not trained on.

A *judge*, in all of this library, is a model that says in words whether something holds: that a claim is true (lesson
04), that a text is suspicious (`utils.monitoring.judge`). Asking is wider: any model can be asked, and what it says may
not be what its likelihoods or its activations show.

Sources: Kadavath et al. 2022 (arXiv 2207.05221), asking a model about a claim; Burns et al. 2022 (2212.03827), what a
model represents against what it outputs; Zhao et al. 2021 (2102.09690), the bias of few-shot answers and their order.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from utils.devices import device_of
from utils.inputs import Count, Text, checked
from utils.progress import slow
from utils.reading.tokens import start_token, text_ids

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


@checked
@dataclass(frozen=True)
class Question:
    """What is put after a claim, and the first tokens of the affirmative and the negative answer."""

    suffix: str
    yes: str
    no: str


QUESTIONS: Mapping[str, Question] = {
    "yes or no": Question(" Is this true, yes or no? Answer:", " Yes", " No"),
    "no or yes": Question(" Is this true, no or yes? Answer:", " Yes", " No"),
    "true or false": Question(" True or false? Answer:", " True", " False"),
    "false or true": Question(" False or true? Answer:", " True", " False"),
}


@checked
@dataclass(frozen=True)
class Claim:
    """A claim in two parts: the stem, and the ending that makes it true or false (with its leading space)."""

    stem: str
    ending: str

    @property
    def text(self) -> str:
        """The whole sentence, with its full stop."""
        return f"{self.stem}{self.ending}."

    @classmethod
    @checked
    def of(cls, text: str, ending: Text) -> Claim:
        """Split a sentence before its last words. Raises ValueError when it does not end with them and a full stop."""
        tail = f" {ending}."
        if not text.endswith(tail) or len(text) == len(tail):
            raise ValueError(f"text must end with {tail!r} after some words, got {text!r}")
        return cls(text[: -len(tail)], f" {ending}")


@dataclass(frozen=True)
class Answers:
    """What `ask` found, one entry a claim.

    log_likelihood: (n,) nats, of the ending's tokens together. length: (n,) how many tokens the ending has.
    log_odds: question name -> (n,) nats, affirmative against negative answer. mass: question name -> (n,) probability
    of the two answer tokens together: where it is small, the model would rather have said something else.
    residual: (layer, n, d_model) stream entering each block at the claim's full stop, if it was asked for, else None.
    """

    log_likelihood: Float[Tensor, " n"]
    length: Int[Tensor, " n"]
    log_odds: dict[str, Float[Tensor, " n"]]
    mass: dict[str, Float[Tensor, " n"]]
    residual: Float[Tensor, "layer n d_model"] | None = None

    @property
    def per_token(self) -> Float[Tensor, " n"]:
        """Mean log-likelihood of a token of the ending, nats."""
        return self.log_likelihood / self.length


@checked
@torch.no_grad()
def ask(
    model: TransformerBridge,
    claims: Sequence[Claim],
    questions: Mapping[str, Question] | None = None,
    *,
    shots: str = "",
    residual: bool = False,
    batch_size: Count = 32,
) -> Answers:
    """Likelihood of each claim's ending, and the log-odds of the answer to each question about it.

    questions: name -> Question, default `QUESTIONS`; {} measures likelihoods only. shots: text put before every
    claim (worked examples, ending with a line break), read once for all. residual: also keep the stream at the full
    stop, from the same pass. batch_size: about how many claims run together. A stem is read once for all its endings,
    and a claim once for all questions; the numbers are those of separate passes, to rounding.
    Raises ValueError for no claims, an answer that is not one token, or a text whose tokens run together.
    """
    if not len(claims):
        raise ValueError("claims must hold at least one claim, got none")
    questions = QUESTIONS if questions is None else questions
    tokenised = [_claim_ids(model, claim) for claim in claims]
    suffixes = {name: text_ids(model, question.suffix) for name, question in questions.items()}
    choices = {name: (_one(model, q.yes), _one(model, q.no)) for name, q in questions.items()}

    first = start_token(model)
    start = [*([] if first is None else [first]), *text_ids(model, shots)]
    longest = len(start) + max(len(ids) for ids, _ in tokenised) + max(map(len, suffixes.values()), default=0)
    if longest > model.cfg.n_ctx:
        raise ValueError(f"claims: one takes {longest} tokens with its question; this model reads {model.cfg.n_ctx}")
    shared = _common([ids[: -end - 2] for ids, end in tokenised])  # a stem's last token stays: it predicts the ending
    trees: dict[tuple[int, ...], _Tree] = defaultdict(_Tree)
    for i, (ids, end) in enumerate(tokenised):
        trees[tuple(ids[: -end - 1])].grow(i, ids[shared:], end, list(suffixes.values()))
    opening = torch.tensor([start + tokenised[0][0][:shared]], dtype=torch.long, device=device_of(model))
    opened = None  # nothing is shared: a model without a start token, and claims that begin differently
    if opening.shape[1]:
        opened = model.original_model(input_ids=opening, use_cache=True, logits_to_keep=1).past_key_values

    n = len(claims)
    total, odds, mass = torch.zeros(n), {q: torch.zeros(n) for q in questions}, {q: torch.zeros(n) for q in questions}
    stream = torch.zeros(model.cfg.n_layers, n, model.cfg.d_model) if residual else None
    for forest in slow(_forests(list(trees.values()), batch_size), "asking"):
        logp, hidden = _read(model, forest, opened, opening.shape[1], residual)
        lines = iter(logp)
        for row, tree in enumerate(forest):
            for branch in tree.branches:
                total[branch.claim] = sum(next(lines)[token] for token in branch.ending)
                for name, (yes, no) in choices.items():
                    said = next(lines)
                    odds[name][branch.claim] = said[yes] - said[no]
                    mass[name][branch.claim] = said[yes].exp() + said[no].exp()
                if stream is not None:  # entry i stands before block i; the last one is normalised, and left out
                    stream[:, branch.claim] = torch.stack([h[row, branch.stop].float().cpu() for h in hidden[:-1]])
    return Answers(total, torch.tensor([end for _, end in tokenised]), odds, mass, stream)


@dataclass(frozen=True)
class _Branch:
    """One claim in a tree: its number, its ending's tokens, and the places whose next tokens are asked for."""

    claim: int
    ending: list[int]
    stop: int  # place of the full stop
    places: list[int]  # those before the ending's tokens, then the last one of each question


class _Tree:
    """Claims of one stem and the questions about them: a row of tokens in which every shared beginning stands once."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.parent: list[int] = []  # the place read before this one; -1 is what all trees have in common
        self.branches: list[_Branch] = []
        self._children: dict[tuple[int, int], int] = {}

    def grow(self, claim: int, ids: list[int], n_end: int, suffixes: Sequence[list[int]]) -> None:
        """Add a claim (its last n_end tokens before the full stop are the ending) and the questions after it."""
        path = self._path(ids, -1)
        asked = [self._path(suffix, path[-1])[-1] for suffix in suffixes]
        self.branches.append(_Branch(claim, ids[-n_end - 1 : -1], path[-1], path[-n_end - 2 : -2] + asked))

    def _path(self, ids: Sequence[int], at: int) -> list[int]:
        path = []
        for token in ids:
            if (at, token) not in self._children:
                self._children[at, token] = len(self.ids)
                self.ids.append(token)
                self.parent.append(at)
            at = self._children[at, token]
            path.append(at)
        return path

    def sees(self) -> Bool[Tensor, "place place"]:
        """Each place sees itself and what was read before it, and no other branch."""
        seen = torch.eye(len(self.ids), dtype=torch.bool)
        for place, parent in enumerate(self.parent):
            if parent >= 0:
                seen[place] |= seen[parent]
        return seen


def _forests(trees: list[_Tree], batch_size: int) -> Iterator[list[_Tree]]:
    """Trees of similar size together, about `batch_size` claims at a time, so that little is padded."""
    forest: list[_Tree] = []
    for tree in sorted(trees, key=lambda tree: len(tree.ids)):
        if forest and sum(len(one.branches) for one in [*forest, tree]) > batch_size:
            yield forest
            forest = []
        forest.append(tree)
    yield forest


def _read(
    model: TransformerBridge, forest: list[_Tree], opened: Any, n_opened: int, residual: bool
) -> tuple[Float[Tensor, "asked d_vocab"], Sequence[Tensor]]:
    """Log-probabilities of the next token at every place the trees ask about, in order, and the stream if wanted."""
    device, dtype = device_of(model), model.cfg.dtype
    longest = max(len(tree.ids) for tree in forest)
    ids, position = torch.zeros(2, len(forest), longest, dtype=torch.long)
    seen = torch.eye(longest, dtype=torch.bool).repeat(len(forest), 1, 1)
    for row, tree in enumerate(forest):
        size = len(tree.ids)
        ids[row, :size] = torch.tensor(tree.ids)
        seen[row, :size, :size] = tree.sees()
        position[row, :size] = seen[row, :size].sum(-1) - 1
    mask = torch.zeros(len(forest), 1, longest, n_opened + longest, dtype=dtype)
    mask[:, 0, :, n_opened:].masked_fill_(~seen, torch.finfo(dtype).min)
    rows = torch.tensor([row for row, tree in enumerate(forest) for branch in tree.branches for _ in branch.places])
    places = torch.tensor([place for tree in forest for branch in tree.branches for place in branch.places])

    def pick(x: Tensor, hook: Any) -> Tensor:  # the unembedding is the dearest product: only where it is asked for
        return x[rows.to(x.device), places.to(x.device)][None]

    past = copy.deepcopy(opened)
    if past is not None:
        past.batch_repeat_interleave(len(forest))
    with model.hooks(fwd_hooks=[("unembed.hook_in", pick)]):
        read = model.original_model(
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            position_ids=(position + n_opened).to(device),
            past_key_values=past,
            use_cache=True,
            output_hidden_states=residual,
        )
    return read.logits[0].float().log_softmax(-1).cpu(), read.hidden_states if residual else ()


@checked
def few_shots(claims: Sequence[Claim], labels: Sequence[bool], question: Question) -> str:
    """Worked examples for `ask(shots=...)`: each claim with the question and its right answer, a line each."""
    if len(claims) != len(labels) or not len(claims):
        raise ValueError(f"claims and labels must have one length, at least 1, got {len(claims)} and {len(labels)}")
    lines = [
        f"{claim.text}{question.suffix}{question.yes if label else question.no}\n"
        for claim, label in zip(claims, labels)
    ]
    return "".join(lines)


# -------------------------------------------------------------------------------------------------------- helpers


def _one(model: TransformerBridge, answer: str) -> int:
    ids = text_ids(model, answer)
    if len(ids) != 1:
        raise ValueError(
            f"questions: the answer {answer!r} is {len(ids)} tokens for this model; log-odds need one each"
        )
    return ids[0]


def _claim_ids(model: TransformerBridge, claim: Claim) -> tuple[list[int], int]:
    """Token ids of a claim without a document start, and how many of them (before the full stop) are the ending's."""
    stem, whole = text_ids(model, claim.stem), text_ids(model, claim.text)
    n_end = len(whole) - len(stem) - 1
    if whole[: len(stem)] != stem or n_end < 1 or whole[-1:] != text_ids(model, "."):
        raise ValueError(f"claims: the tokens of {claim.text!r} do not part into stem, ending and full stop")
    return whole, n_end


def _common(sequences: Sequence[Sequence[int]]) -> int:
    """How many tokens all sequences begin with together."""
    shortest, longest = min(map(list, sequences)), max(map(list, sequences))
    return next((k for k, (a, b) in enumerate(zip(shortest, longest)) if a != b), min(len(shortest), len(longest)))
