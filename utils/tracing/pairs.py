"""Counterfactual pairs: two prompts that differ in one subject only, how they are made, and which positions matter.

`make_pairs` takes places that a model knows and pairs those whose names are equally long. `matched_pairs` does the same
for several ways of asking for one fact (`Form`): completing a sentence, and judging a claim in words.
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, overload

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from utils.datasets.landmarks import Landmark
from utils.inputs import Count, Index, NonNegative, checked
from utils.reading.likelihood import next_token_logits
from utils.reading.tokens import start_token, text_ids, text_tokens, token_row

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

CLASSES = ("subject, earlier", "subject, last", "in between", "last")
SITES = ("subject", "in between", "last")


@checked
@dataclass(frozen=True, eq=False)  # tensors have no single truth value to compare by
class Pair:
    """Two prompts that differ in one subject only, and the first token of each one's answer.

    clean, corrupt: (pos,) token ids of one length, beginning-of-text token included. subject: (start, stop) positions
    outside which the prompts are identical. answer, other: token ids that follow the clean and the corrupt prompt.
    Raises ValueError when the prompts are not aligned: a patch copies position for position, and would otherwise
    mix up words. Unequal subjects must be paired with others of their own length.
    """

    clean: Int[Tensor, " pos"]
    corrupt: Int[Tensor, " pos"]
    answer: Index
    other: Index
    subject: tuple[Index, Index]
    name: str = ""

    def __post_init__(self) -> None:
        for field in ("clean", "corrupt"):
            object.__setattr__(self, field, getattr(self, field).detach().cpu().long())
        if self.answer == self.other:
            raise ValueError(f"answer and other are both token {self.answer}: their logit difference is always 0")
        start, stop = self.subject
        if not 0 <= start < stop < len(self.clean):
            raise ValueError(f"subject must be (start, stop) before the last position, got {self.subject}")
        differs = (self.clean != self.corrupt).nonzero().flatten()
        if not len(differs):
            raise ValueError("clean and corrupt are the same prompt: there is nothing to patch")
        if int(differs.min()) < start or int(differs.max()) >= stop:
            raise ValueError(f"the prompts differ at positions {differs.tolist()}, outside the subject {self.subject}")

    def swapped(self) -> Pair:
        """The same pair read the other way: the corrupt prompt becomes the clean one."""
        name = " / ".join(reversed(self.name.split(" / ")))
        return Pair(self.corrupt, self.clean, self.other, self.answer, self.subject, name)


def pair_list(model: TransformerBridge, pairs: Pair | Sequence[Pair]) -> list[Pair]:
    """One pair or many as a list. Raises ValueError for none, and for ids that the model doesn't have."""
    many = [pairs] if isinstance(pairs, Pair) else list(pairs)
    if not many:
        raise ValueError("pairs must hold at least one pair, got none")
    for i, pair in enumerate(many):
        for side in ("clean", "corrupt"):
            token_row(model, getattr(pair, side), name=f"pairs.{side}" if many[0] is pairs else f"pairs[{i}].{side}")
    return many


class Known(NamedTuple):
    """A place that the model knows: its prompt (pos,), its city's first token, where its name stands (start, stop)."""

    name: str
    tokens: Int[Tensor, " pos"]
    answer: int
    subject: tuple[int, int]


@dataclass(frozen=True)
class PairSet(Sequence[Pair]):
    """Counterfactual pairs with the rule that made them and what the rule threw away.

    `dropped` maps a reason to the names it removed, so that kept and total can always be reported. `known` holds every
    place that the model knows, in a pair or not: strangers for a control are found there.
    """

    pairs: tuple[Pair, ...]
    rule: str
    n_candidates: int
    dropped: dict[str, tuple[str, ...]]
    known: tuple[Known, ...] = ()

    def __len__(self) -> int:
        return len(self.pairs)

    @overload
    def __getitem__(self, index: int) -> Pair: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Pair, ...]: ...
    def __getitem__(self, index: int | slice) -> Pair | tuple[Pair, ...]:
        return self.pairs[index]

    def __str__(self) -> str:
        reasons = ", ".join(f"{len(names)} {reason}" for reason, names in self.dropped.items())
        return (
            f"{len(self)} pairs from {self.n_candidates} candidates (left out: {reasons or 'none'})\nRule: {self.rule}"
        )


@checked
def make_pairs(
    model: TransformerBridge,
    places: Sequence[Landmark],
    template: str | None = None,
    min_margin: NonNegative = 0.1,
    each_city_once: bool = False,
) -> PairSet:
    """Keep the places the model knows and pair those whose names are equally long.

    A place is kept when (1) its name does not contain its city, (2) the model's top next token is the first token of
    the city, by at least `min_margin` nats over the runner-up (so that no rounding can change the set). Kept
    places are taken in order; each is paired with the first later one of the same number of subject tokens whose
    city begins with another token. Each place is used once at most. each_city_once: and each city's first token, too,
    so that no two pairs share an answer: only then are they independent of one another in what they ask about.
    template: a text with {landmark} in it, default the dataset's own. Raises ValueError for an empty list, a template
    without {landmark}, or a negative margin.
    """
    if not len(places):
        raise ValueError("places must hold at least one landmark, got none")
    if template is not None:
        _check_fields("template", template, needed="landmark")
    dropped: dict[str, list[str]] = {"name holds the city": [], "not known": [], "no partner": [], "city used": []}
    asked = []
    for place in places:
        if place.names_its_city:
            dropped["name holds the city"].append(place.name)
        else:
            prompt = place.prompt(template) if template else place.prompt()
            answer = text_ids(model, " " + place.city)[0]
            subject = _span(model, prompt, prompt.index(place.name), place.name)
            asked.append((place, _read(model, prompt), answer, subject))
    known: list[Known] = []
    if asked:
        for item, logits in zip(asked, next_token_logits(model, [tokens for _, tokens, _, _ in asked])):
            top = logits.topk(2)
            if int(top.indices[0]) == item[2] and float(top.values[0] - top.values[1]) >= min_margin:
                known.append(Known(item[0].name, item[1], item[2], item[3]))
            else:
                dropped["not known"].append(item[0].name)

    pairs, free = [], list(known)
    while free:
        first = free.pop(0)
        fits = [k for k in free if k.subject == first.subject and len(k.tokens) == len(first.tokens)]
        partner = next((k for k in fits if k.answer != first.answer), None)
        if partner is None:
            dropped["no partner"].append(first.name)
            continue
        used = {first.answer, partner.answer}
        for other in [k for k in free if each_city_once and k is not partner and k.answer in used]:
            dropped["city used"].append(other.name)
            free.remove(other)
        free.remove(partner)
        name = f"{first.name} / {partner.name}"
        pairs.append(Pair(first.tokens, partner.tokens, first.answer, partner.answer, first.subject, name))
    rule = (
        "the name does not contain the city; the top next token is the city's first token by at least "
        f"{min_margin} nats; partners have equally many subject tokens and other first tokens; each place once"
        + (", each city once" if each_city_once else "")
    )
    return PairSet(tuple(pairs), rule, len(places), {k: tuple(v) for k, v in dropped.items() if v}, tuple(known))


def _read(model: TransformerBridge, text: str) -> Int[Tensor, " pos"]:
    return text_tokens(model, text)[0].cpu()


def _span(model: TransformerBridge, prompt: str, at: int, subject: str) -> tuple[int, int]:
    """Positions (start, stop) of the tokens of the subject at a place in the text; the space before it is its own."""
    first = int(start_token(model) is not None)
    before = prompt[:at].rstrip(" ")
    return first + len(text_ids(model, before)), first + len(text_ids(model, prompt[: at + len(subject)]))


def _check_fields(name: str, template: str, needed: str, allowed: Sequence[str] = ()) -> None:
    """Raise ValueError unless a template has the field it needs, and no other than these."""
    try:
        fields = {field for _, field, _, _ in string.Formatter().parse(template) if field is not None}
    except ValueError as error:
        raise ValueError(f"{name} must be a text with {{{needed}}} in it, got {template!r}: {error}") from None
    if needed not in fields or not fields <= {needed, *allowed}:
        raise ValueError(f"{name} must be a text with {{{needed}}} in it, got {template!r}")


# ------------------------------------------------------------------------------------------------- classes of positions


@checked
def position_classes(pair: Pair) -> Bool[Tensor, "site pos"]:
    """Which positions belong to each of `CLASSES`: a (4, pos) mask.

    Pairs of different lengths have no common positions, but they have these in common: the subject's tokens before
    its last one, its last one, the words in between, the last position. The positions before the subject are in
    no class: up to the subject the two prompts are identical, and so is everything computed there.
    """
    start, stop = pair.subject
    masks = torch.zeros(len(CLASSES), len(pair.clean), dtype=torch.bool)
    masks[0, start : stop - 1] = True
    masks[1, stop - 1] = True
    masks[2, stop:-1] = True
    masks[3, -1] = True
    return masks


@checked
def sites(pair: Pair) -> Bool[Tensor, "site pos"]:
    """`position_classes` with the subject as one, a (3, pos) mask of `SITES`: subject, in between, last."""
    classes = position_classes(pair)
    return torch.cat([classes[:2].any(0, keepdim=True), classes[2:]])


# ---------------------------------------------------------------------------------- one fact, asked for in several ways


@checked
@dataclass(frozen=True)
class Form:
    """One way of asking for a fact: a text with {subject} and, where it asks about a claim, {ending}.

    answers: what a judgement is answered by, first for a true claim; None: a completion, answered by the ending itself.
    """

    name: str
    template: str
    answers: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        _check_fields("template", self.template, needed="subject", allowed=["ending"])

    @property
    def judges(self) -> bool:
        """Whether it asks about a claim (True) or asks for the ending (False)."""
        return self.answers is not None


@checked
def patching_pair(model: TransformerBridge, form: Form, subjects: tuple[str, str], endings: tuple[str, str]) -> Pair:
    """The prompt about the first subject (clean) and the same about the second (corrupt), ready for `patch`.

    Completion: answered by the first tokens of the two endings. Judgement: both prompts claim the *first* ending, so
    clean is true, corrupt false, and the answers are the form's own. Raises ValueError when the two prompts have
    different lengths or the endings begin with the same token.
    """
    first, second = (form.template.format(subject=subject, ending=endings[0].strip()) for subject in subjects)
    clean, corrupt = _read(model, first), _read(model, second)
    if len(clean) != len(corrupt):
        raise ValueError(f"subjects: {subjects[0]!r} and {subjects[1]!r} take different numbers of tokens; pair equals")
    if bool((clean == corrupt).all()):
        raise ValueError(f"subjects are the same: {subjects}")
    answers = form.answers or endings
    answer, other = (_first_token(model, text) for text in answers)
    at = len(form.template.split("{subject}")[0].format(ending=endings[0].strip()))
    span = _span(model, first, at, subjects[0])
    return Pair(clean, corrupt, answer, other, span, f"{form.name}: {' / '.join(subjects)}")


def _first_token(model: TransformerBridge, text: str) -> int:
    ids = text_ids(model, text)
    if not ids:
        raise ValueError("endings must hold some text, got an empty one")
    return ids[0]


class Matched(NamedTuple):
    """Two subjects, the pair each form makes of them, and each pair's (clean, corrupt) logit difference in nats."""

    first: str
    second: str
    pairs: list[Pair]
    ends: list[list[float]]


@checked
def matched_pairs(
    model: TransformerBridge,
    forms: Sequence[Form],
    entities: Sequence[tuple[str, str]],
    n_pairs: Count,
    min_span: float,
) -> tuple[list[Matched], int]:
    """The first `n_pairs` couples of entities that every form can be patched with, and how many couples were tried.

    entities: (subject, ending), in order of preference; each is used once. A couple is tried when `patching_pair` can
    align it in all forms, and kept when in all of them the swap moves the answer by at least `min_span` nats the right
    way. Each prompt is read once, however many couples it stands in. Raises ValueError for no forms.
    """
    if not len(forms):
        raise ValueError("forms must hold at least one form, got none")
    read: dict[tuple[int, ...], dict[int, float]] = {}
    wanted = sorted(
        {_first_token(model, " " + ending) for _, ending in entities}
        | {_first_token(model, word) for form in forms for word in form.answers or ()}
    )

    def read_now(prompts: Iterable[Tensor]) -> None:
        new = {tuple(ids.tolist()): ids for ids in prompts}
        new = {key: ids for key, ids in new.items() if key not in read}
        if new:
            for key, logits in zip(new, next_token_logits(model, list(new.values()))):
                read[key] = dict(zip(wanted, logits[wanted].tolist()))

    def ends(pair: Pair) -> list[float]:
        read_now([pair.clean, pair.corrupt])
        found = [read[tuple(ids.tolist())] for ids in (pair.clean, pair.corrupt)]
        return [one[pair.answer] - one[pair.other] for one in found]

    if len(entities):  # completions name one entity only, so they are read together
        completions = [form.template for form in forms if not form.judges]
        texts = [template.format(subject=name, ending="") for template in completions for name, _ in entities]
        read_now([_read(model, text) for text in texts])
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
