"""Lesson 00's first minute at the microscope: read a prompt, find where its answer sits, push, and watch the text.

Each function takes a model and what a learner may change, and returns HTML for `widgets.explore`. What is shown is made
by the rooms that later lessons open: `reading.likelihood`, `anatomy`, `tracing`, `interventions`.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import torch

from utils import plots
from utils.anatomy import logit_lens
from utils.datasets.concepts import concept
from utils.datasets.landmarks import Landmark, landmarks
from utils.inputs import Count, Index, Range, Text, checked
from utils.interventions import Direction, add
from utils.reading.likelihood import surprisal
from utils.reading.tokens import text_tokens, token_strings
from utils.steering import contrast, random_like, typical_norms
from utils.tracing import Pair, endpoints, make_pairs, patch, recovery
from utils.writing import generation

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

STOPS = (5, 10, 15, 20, 25, 28, 30)  # after how many blocks the specimen is made to answer early
EVERY = 3  # blocks between two rows of the map: ten rows are drawn in a second or two
PUSHED_AT, WRITTEN = 14, 20  # the block after which a push is given; tokens written under it
CONTROL = "a random direction (control)"
_BITS = (0.0, 16.0)  # from no surprise to that of a blind guess among the specimen's 49,152 tokens
_Strength = Annotated[float, Range(low=-3, high=3)]


@checked
def read(model: TransformerBridge, prompt: Text) -> str:
    """What a prompt's tokens cost the model (bits), and what it would say next if it had to answer after few blocks.

    Raises ValueError for an empty prompt and for one beyond the model's context.
    """
    (found,) = surprisal(model, [prompt])
    peak = int(found.bits.argmax())
    strip = plots.tokens_html(
        found.tokens,
        found.bits.numpy(),
        unit="surprise (bits)",
        alt=f"The biggest surprise of {len(found.tokens)} pieces is {found.tokens[peak]!r}.",
        limits=_BITS,
    )
    return (
        "<p><strong>How surprised it was at each piece of your text</strong> (0: it saw that coming; 16: no idea)</p>"
        f"{strip}<p><strong>What it would say next</strong>, if it had to answer early and at the end</p>"
        f"{early_answers(model, prompt)}"
    )


@checked
def early_answers(model: TransformerBridge, prompt: Text) -> str:
    """A table of the logit lens at the prompt's last token: what it would say after some blocks."""
    stops = [stop for stop in STOPS if stop < model.cfg.n_layers] + [model.cfg.n_layers]
    probs = logit_lens(model, text_tokens(model, prompt))[stops, 0].softmax(-1)
    cells = []
    for row in probs:
        best = int(row.argmax())
        share = float(row[best])
        word = html.escape(model.tokenizer.decode([best]).replace(" ", "·").replace("\n", "⏎"))
        weight = "bold" if share >= 0.5 else "normal"
        cells.append(f'<td style="padding:2px 10px;font-weight:{weight}"><code>{word}</code><br>{share:.0%}</td>')
    heads = "".join(f'<th scope="col" style="padding:2px 10px">{stop}</th>' for stop in stops)
    return (
        '<div style="overflow-x:auto" tabindex="0" role="region" aria-label="early answers"><table><thead><tr>'
        f'<th scope="row">blocks done</th>{heads}</tr></thead>'
        f'<tbody><tr><th scope="row">it would say</th>{"".join(cells)}</tr></tbody></table></div>'
    )


# ------------------------------------------------------------------------------------------------ where the answer sits


@checked
def known_pairs(model: TransformerBridge, places: Sequence[Landmark] | None = None) -> dict[str, Pair]:
    """Landmarks the model knows, in pairs of equally long names: "Golden Gate Bridge / Eiffel Tower" -> Pair.

    places: the first forty of the course's landmarks if not given. Raises ValueError where no pair is found.
    """
    pairs = {pair.name: pair for pair in make_pairs(model, list(landmarks()[:40] if places is None else places))}
    if not pairs:
        raise ValueError("places hold no two landmarks that the model knows and whose names are equally long")
    return pairs


@checked
def answer_map(model: TransformerBridge, pair: Pair, every: Count = EVERY) -> torch.Tensor:
    """How much of the answer one state carries: (block, pos) from the subject on, 0 none of it, 1 all.

    The state of the clean prompt at one block's entry and one token is put into the run on the other prompt; what is
    told is how far that moves the other answer to the clean one (`tracing.recovery`).
    """
    positions = torch.eye(len(pair.clean), dtype=torch.bool)[pair.subject[0] :]
    blocks = list(range(0, model.cfg.n_layers, every))
    return recovery(patch(model, pair, where=positions, layers=blocks), *endpoints(model, pair).tolist())


@checked
def where(model: TransformerBridge, pair: Pair) -> str:
    """The map of `answer_map` as a picture, with the two sentences it compares."""
    shares = answer_map(model, pair)
    tokens = token_strings(model, pair.clean)
    blocks = [str(block) for block in range(0, model.cfg.n_layers, EVERY)]
    answers = [model.tokenizer.decode([token]).strip() for token in (pair.answer, pair.other)]
    seen = [token.replace(" ", "·") for token in tokens[pair.subject[0] :]]
    picture = plots.grid(
        shares,
        blocks,
        seen,
        title=f"Where “{answers[0]}” sits",
        label="share of the answer moved",
        x_label="piece of the text",
        y_label="at the entry of block",
        limits=(0, 1),
        show=False,
    )
    texts = [html.escape(model.tokenizer.decode(ids[1:].tolist())) for ids in (pair.clean, pair.corrupt)]
    return (
        f"<p>Two runs: <em>{texts[0]} …</em> <strong>{html.escape(answers[0])}</strong>, and <em>{texts[1]} …</em> "
        f"<strong>{html.escape(answers[1])}</strong>. One state of the first run is put into the second, at one place "
        f"at a time. Bright: that alone turns {html.escape(answers[1])} into {html.escape(answers[0])}.</p>{picture}"
    )


# -------------------------------------------------------------------------------------------------------------- a push


@checked
def directions(
    model: TransformerBridge, names: Sequence[str] = ("Golden Gate", "formal", "French"), layer: Index = PUSHED_AT
) -> dict[str, Direction]:
    """Directions to push along: the mean state of texts with a concept minus that of texts without, and a random one.

    names: concepts of `datasets.concepts`. layer: the block after which to push. Raises ValueError for no names, a name
    that isn't a concept, and a block the model doesn't have.
    """
    if not names:
        raise ValueError("names must hold at least one concept, got none")
    typical = typical_norms(model, [layer], list(concept(names[0]).negative))[layer]  # ordinary texts, and few
    found = {}
    for name in names:
        texts = concept(name)
        found[name] = contrast(model, texts.positive, texts.negative, layer, name=name, typical=typical)
    found[CONTROL] = random_like(next(iter(found.values())), n=1)[0]
    return found


@checked
def push(model: TransformerBridge, along: Mapping[str, Direction], name: str, strength: _Strength, prompt: Text) -> str:
    """What the model writes after a prompt, left alone and pushed: every state moved a little along one direction.

    along: as `directions` gives them. strength: 0.4 is a push four tenths as long as a state is. Always the likeliest
    token, so that nothing but the push differs. Raises ValueError for a name that isn't in `along`.
    """
    if name not in along:
        raise ValueError(f"name must be one of {', '.join(along)}, got {name!r}")
    (alone,) = generation.generate(model, [prompt], WRITTEN, temperature=0)
    (pushed,) = generation.generate(model, [prompt], WRITTEN, temperature=0, hooks=add(along[name], strength))
    shown = "".join(
        f'<p style="margin:6px 0"><strong>{label}</strong><br>{html.escape(prompt)}<mark>{html.escape(text)}</mark></p>'
        for label, text in (("left alone", alone), (f"pushed {strength:g} along “{html.escape(name)}”", pushed))
    )
    return f'<div style="max-width:760px">{shown}</div>'
