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

Sources: Kadavath et al. 2022 (arXiv 2207.05221), asking a model about a claim; Burns et al. 2022 (2212.03827), what a
model represents against what it outputs; Zhao et al. 2021 (2102.09690), the bias of few-shot answers and their order.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from utils.reading.tokens import text_ids
from utils.tracing import Pair, next_logits

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


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
    def of(cls, text: str, ending: str) -> Claim:
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


@torch.no_grad()
def ask(
    model: TransformerBridge,
    claims: Sequence[Claim],
    questions: Mapping[str, Question] | None = None,
    *,
    shots: str = "",
    residual: bool = False,
    batch_size: int = 32,
) -> Answers:
    """Likelihood of each claim's ending, and the log-odds of the answer to each question about it.

    questions: name -> Question, default `QUESTIONS`; {} measures likelihoods only. shots: text put before every
    claim (worked examples, ending with a line break), read once for all. residual: also keep the stream at the full
    stop, from the same pass. batch_size: about how many claims run together. A stem is read once for all its endings,
    and a claim once for all questions; the numbers are those of separate passes, to rounding.
    Raises ValueError for no claims, an answer that is not one token, or a text whose tokens run together.
    """
    if not len(claims):
        raise ValueError("claims is empty; give at least one")
    questions = QUESTIONS if questions is None else questions
    tokenised = [_claim_ids(model, claim) for claim in claims]
    suffixes = {name: text_ids(model, question.suffix) for name, question in questions.items()}
    choices = {name: (_one(model, q.yes), _one(model, q.no)) for name, q in questions.items()}

    start = [model.tokenizer.bos_token_id, *(text_ids(model, shots) if shots else [])]
    shared = _common([ids[: -end - 2] for ids, end in tokenised])  # a stem's last token stays: it predicts the ending
    trees: dict[tuple[int, ...], _Tree] = defaultdict(_Tree)
    for i, (ids, end) in enumerate(tokenised):
        trees[tuple(ids[: -end - 1])].grow(i, ids[shared:], end, list(suffixes.values()))
    opening = torch.tensor([start + tokenised[0][0][:shared]], device=next(model.parameters()).device)
    opened = model.original_model(input_ids=opening, use_cache=True, logits_to_keep=1).past_key_values

    n = len(claims)
    total, odds, mass = torch.zeros(n), {q: torch.zeros(n) for q in questions}, {q: torch.zeros(n) for q in questions}
    stream = torch.zeros(model.cfg.n_layers, n, model.cfg.d_model) if residual else None
    for forest in _forests(list(trees.values()), batch_size):
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
    device, dtype = next(model.parameters()).device, model.cfg.dtype
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


def few_shots(claims: Sequence[Claim], labels: Sequence[bool], question: Question) -> str:
    """Worked examples for `ask(shots=...)`: each claim with the question and its right answer, a line each."""
    if len(claims) != len(labels) or not len(claims):
        raise ValueError(f"claims and labels must have one length, at least 1, got {len(claims)} and {len(labels)}")
    lines = [
        f"{claim.text}{question.suffix}{question.yes if label else question.no}\n"
        for claim, label in zip(claims, labels)
    ]
    return "".join(lines)


# ------------------------------------------------------------------------------------------------------- patching


SITES = ("subject", "in between", "last")


@dataclass(frozen=True)
class Form:
    """One way of asking for a fact: a text with {subject} and, where it asks about a claim, {ending}."""

    name: str
    template: str
    answers: tuple[str, str] | None = None  # None: completion, answered by the ending itself

    @property
    def judges(self) -> bool:
        """Whether it asks about a claim (True) or asks for the ending (False)."""
        return self.answers is not None


def patching_pair(model: TransformerBridge, form: Form, subjects: tuple[str, str], endings: tuple[str, str]) -> Pair:
    """The prompt about the first subject (clean) and the same about the second (corrupt), ready for `tracing.patch`.

    Completion: answered by the first tokens of the two endings. Judgement: both prompts claim the *first* ending, so
    clean is true, corrupt false, and the answers are the form's own. Raises ValueError when the two prompts have
    different lengths or the endings begin with the same token.
    """
    first, second = (form.template.format(subject=subject, ending=endings[0].strip()) for subject in subjects)
    clean, corrupt = (model.to_tokens(text)[0] for text in (first, second))
    if len(clean) != len(corrupt):
        raise ValueError(f"{subjects[0]!r} and {subjects[1]!r} take different numbers of tokens; pair equal ones")
    differs = (clean != corrupt).nonzero().flatten()
    if not len(differs):
        raise ValueError(f"subjects are the same: {subjects}")
    answers = form.answers or endings
    answer, other = (int(model.to_tokens(text, prepend_bos=False)[0, 0]) for text in answers)
    before = form.template.split("{subject}")[0].rstrip(" ")
    start = model.to_tokens(before).shape[1] if before else 1
    stop = model.to_tokens(first[: first.index(subjects[0]) + len(subjects[0])]).shape[1]
    return Pair(clean, corrupt, answer, other, (start, stop), f"{form.name}: {' / '.join(subjects)}")


class Matched(NamedTuple):
    """Two subjects, the pair each form makes of them, and each pair's (clean, corrupt) logit difference in nats."""

    first: str
    second: str
    pairs: list[Pair]
    ends: list[list[float]]


def matched_pairs(
    model: TransformerBridge, forms: Sequence[Form], entities: Sequence[tuple[str, str]], n_pairs: int, min_span: float
) -> tuple[list[Matched], int]:
    """The first `n_pairs` couples of entities that every form can be patched with, and how many couples were tried.

    entities: (subject, ending), in order of preference; each is used once. A couple is tried when `patching_pair` can
    align it in all forms, and kept when in all of them the swap moves the answer by at least `min_span` nats the right
    way. Each prompt is read once, however many couples it stands in. Raises ValueError for no forms.
    """
    if not forms:
        raise ValueError("forms is empty; give at least one")
    read: dict[tuple[int, ...], dict[int, float]] = {}
    wanted = sorted(
        {int(model.to_tokens(" " + ending, prepend_bos=False)[0, 0]) for _, ending in entities}
        | {int(model.to_tokens(word, prepend_bos=False)[0, 0]) for form in forms for word in form.answers or ()}
    )

    def read_now(prompts: Iterable[Tensor]) -> None:
        new = {tuple(ids.tolist()): ids for ids in prompts}
        new = {key: ids for key, ids in new.items() if key not in read}
        for key, logits in zip(new, next_logits(model, list(new.values()))):
            read[key] = dict(zip(wanted, logits[wanted].tolist()))

    def ends(pair: Pair) -> list[float]:
        read_now([pair.clean, pair.corrupt])
        found = [read[tuple(ids.tolist())] for ids in (pair.clean, pair.corrupt)]
        return [one[pair.answer] - one[pair.other] for one in found]

    if len(entities):  # completions name one entity only, so they are read together
        texts = [form.template.format(subject=name) for form in forms if not form.judges for name, _ in entities]
        read_now([model.to_tokens(text)[0] for text in texts])
    kept: list[Matched] = []
    tried, free = 0, list(entities)
    while free and len(kept) < n_pairs:
        one = free.pop(0)
        for other in free:
            try:
                pairs = [
                    patching_pair(model, form, (one[0], other[0]), (" " + one[1], " " + other[1])) for form in forms
                ]
            except ValueError:  # lengths or first tokens don't allow it
                continue
            tried, found = tried + 1, []
            for pair in pairs:
                found.append(ends(pair))
                if found[-1][0] - found[-1][1] < min_span:
                    break  # fails one form, fails all
            else:
                kept.append(Matched(one[0], other[0], pairs, found))
                free.remove(other)
                break
    return kept, tried


def sites(pair: Pair) -> Tensor:
    """(3, pos) mask of `SITES`: the subject's tokens, everything between them and the last token, the last token."""
    start, stop = pair.subject
    masks = torch.zeros(len(SITES), len(pair.clean), dtype=torch.bool)
    masks[0, start:stop] = True
    masks[1, stop:-1] = True
    masks[2, -1] = True
    return masks


# -------------------------------------------------------------------------------------------------------- helpers


def _one(model: Any, answer: str) -> int:
    ids = text_ids(model, answer)
    if len(ids) != 1:
        raise ValueError(f"the answer {answer!r} is {len(ids)} tokens for this model; log-odds need one each")
    return ids[0]


def _claim_ids(model: Any, claim: Claim) -> tuple[list[int], int]:
    """Token ids of a claim without a document start, and how many of them (before the full stop) are the ending's."""
    stem, whole = text_ids(model, claim.stem), text_ids(model, claim.text)
    n_end = len(whole) - len(stem) - 1
    if whole[: len(stem)] != stem or n_end < 1 or whole[-1:] != text_ids(model, "."):
        raise ValueError(f"the tokens of {claim.text!r} do not part into stem, ending and full stop")
    return whole, n_end


def _common(sequences: Sequence[Sequence[int]]) -> int:
    """How many tokens all sequences begin with together."""
    shortest, longest = min(sequences), max(sequences)
    return next((k for k, (a, b) in enumerate(zip(shortest, longest)) if a != b), min(len(shortest), len(longest)))
