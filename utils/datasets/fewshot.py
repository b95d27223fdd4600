"""Four word games, to be learnt from examples in the prompt: opposites, plurals, past tenses, comparatives."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal, get_args

from utils.datasets.card import Card
from utils.inputs import Count, Seed, checked

__all__ = ["CARD", "FewShot", "few_shot"]

Game = Literal["opposite", "plural", "past", "comparative"]
_PAIRS: dict[str, str] = {
    "opposite": (
        "hot cold,big small,tall short,fast slow,old young,hard soft,light dark,rich poor,high low,early late,"
        "open closed,strong weak,full empty,happy sad,clean dirty,wet dry,before after,above below,inside outside,"
        "true false,good bad,first last,north south,left right,up down,buy sell,push pull,day night,black white,"
        "war peace,more less,love hate,question answer"
    ),
    "plural": (
        "cat cats,dog dogs,book books,car cars,tree trees,house houses,bird birds,hand hands,girl girls,river rivers,"
        "king kings,door doors,star stars,road roads,friend friends,window windows,word words,line lines,"
        "animal animals,name names,place places,number numbers,student students,color colors,table tables,wall walls,"
        "game games,song songs,letter letters,son sons"
    ),
    "past": (
        "go went,see saw,take took,give gave,come came,know knew,write wrote,eat ate,run ran,find found,"
        "think thought,buy bought,begin began,fall fell,break broke,get got,make made,hold held,sit sat,stand stood,"
        "win won,send sent,build built,draw drew,grow grew,feel felt,sell sold,tell told,keep kept,leave left,"
        "wear wore,drive drove,sing sang"
    ),
    "comparative": (
        "big bigger,small smaller,tall taller,fast faster,old older,hard harder,light lighter,rich richer,high higher,"
        "strong stronger,long longer,young younger,great greater,soft softer,dark darker,warm warmer,cold colder,"
        "deep deeper,wide wider,weak weaker,short shorter,slow slower,clean cleaner,clear clearer,near nearer,"
        "safe safer,thin thinner,poor poorer,quick quicker,bright brighter,sharp sharper,kind kinder,low lower,"
        "large larger,close closer,late later,new newer"
    ),
}
CARD = Card(
    name="fewshot",
    what="Can a rule be picked up from a few examples in the prompt, and which heads carry it?",
    how_made=(
        "Written for this course: pairs of common English words, each one token in the specimen's tokenizer (the "
        "second with its space), so that all prompts with as many examples have one length. Examples are drawn afresh "
        "for every prompt; a prompt's own pair is never among them."
    ),
    n=f"{len(_PAIRS)} games, {', '.join(str(len(pairs.split(','))) for pairs in _PAIRS.values())} pairs",
    licence="CC BY 4.0",
    leaks=(
        "The model has met all these words; the examples tell which rule is asked for, they don't teach it.",
        "Plurals and comparatives can be had by an ending alone.",
        "Some words stand in two games (big is opposite of small, and bigger than it).",
    ),
)


@dataclass(frozen=True)
class FewShot:
    """One prompt, and what should come next, with its space. query: the word that is asked for."""

    prompt: str
    answer: str
    query: str


@checked
def few_shot(game: Game, n: Count, shots: Count = 5, shuffled: bool = False, seed: Seed = 0) -> list[FewShot]:
    """Prompts such as "hot: cold\\nbig: small\\ntall:", each of another query word.

    shuffled: the examples' answers change places, each pair being wrong: the rule can't be seen any more, the words
    stay. Raises ValueError for more prompts than the game has pairs, or one example (nothing to change places with).
    """
    pairs = [tuple(pair.split()) for pair in _PAIRS[game].split(",")]
    if n > len(pairs):
        raise ValueError(f"n must be at most {len(pairs)}, the pairs of {game}, got {n}")
    if not 2 <= shots < len(pairs):
        raise ValueError(f"shots must be from 2 to {len(pairs) - 1}, got {shots}")
    rng = random.Random(f"{game} {seed}")
    made = []
    for query, answer in rng.sample(pairs, n):
        shown = rng.sample([pair for pair in pairs if pair[0] != query], shots)
        said = [second for _, second in shown]
        if shuffled:
            said = said[1:] + said[:1]
        lines = "".join(f"{first}: {second}\n" for (first, _), second in zip(shown, said))
        made.append(FewShot(f"{lines}{query}:", f" {answer}", query))
    return made


GAMES: tuple[str, ...] = get_args(Game)
