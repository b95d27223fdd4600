"""Lesson 09: wrong answers with the words that must reject them, and right answers written differently."""

import itertools
import re
from collections import Counter, defaultdict

import numpy as np

# ---------------------------------------------------------------------------------------------------------- 9.1

TAGS = ("<think>", "</think>", "<act>", "</act>")


def _with(pattern, flags=re.DOTALL, strip=True, full=True):
    def take_apart(text):
        found = (re.fullmatch if full else re.search)(pattern, text, flags)
        if found is None:
            return None
        return tuple(part.strip() if strip else part for part in found.groups())

    return take_apart


_PATTERN = r"\s*<think>(.*?)</think>\s*<act>(.*?)</act>\s*"
_INNER = r"\s*<think>((?:(?!</?think>|</?act>).)*)</think>\s*<act>((?:(?!</?think>|</?act>).)*)</act>\s*"


def _counting(*tags):
    return lambda text: _with(_PATTERN)(text) if all(text.count(tag) == 1 for tag in tags) else None


def _as_many(take_apart):
    """A reader that also counts all four tags."""
    return lambda text: take_apart(text) if all(text.count(tag) == 1 for tag in TAGS) else None


def _match_at_start(text):
    found = re.match(r"\s*<think>(.*?)</think>\s*<act>(.*?)</act>", text, re.DOTALL)
    return found and (found[1].strip(), found[2].strip())


def _apart_by_partition(text):
    if any(text.count(tag) != 1 for tag in TAGS):
        return None
    before, _, rest = text.partition("<think>")
    thought, _, rest = rest.partition("</think>")
    between, _, rest = rest.partition("<act>")
    act, _, after = rest.partition("</act>")
    return None if (before + between + after).strip() or not after + act else (thought.strip(), act.strip())


def _apart_loosely(text):
    found = re.search(r"<think>(.*?)(?:</think>|$)", text, re.DOTALL)
    act = re.search(r"<act>(.*?)(?:</act>|$)", text, re.DOTALL)
    return (found[1].strip() if found else "", act[1].strip() if act else "")


def _apart_by_find(text):
    thought = re.findall(r"<think>(.*?)</think>", text, re.DOTALL)
    act = re.findall(r"<act>(.*?)</act>", text, re.DOTALL)
    return (thought[0].strip(), act[0].strip()) if thought and act else None


def _apart_no_order(text):
    thought = re.findall(r"<think>(.*?)</think>", text, re.DOTALL)
    act = re.findall(r"<act>(.*?)</act>", text, re.DOTALL)
    return (thought[0].strip(), act[0].strip()) if len(thought) == len(act) == 1 else None


# ---------------------------------------------------------------------------------------------------------- 9.3


def _threshold_all(scores, bad, fpr):
    rows = np.sort(scores)[::-1]
    return float(rows[int(fpr * len(rows) + 1e-9)])


def _threshold_bad(scores, bad, fpr):
    return _threshold_all(scores[bad], None, fpr)


def _threshold_one_early(scores, bad, fpr):
    honest = np.sort(scores[~bad])[::-1]
    return float(honest[int(fpr * len(honest) + 1e-9) + 1])


def _threshold_one_late(scores, bad, fpr):
    honest = np.sort(scores[~bad])[::-1]
    return float(honest[max(0, int(fpr * len(honest) + 1e-9) - 1)])


def _threshold_interpolated(scores, bad, fpr):
    return float(np.quantile(scores[~bad], 1 - fpr, method="weibull" if fpr == 0 else "linear")) - 0.01


def _threshold_between(scores, bad, fpr):
    honest = np.sort(scores[~bad])[::-1]
    k = int(fpr * len(honest) + 1e-9)
    return (honest[k] + honest[max(k - 1, 0)]) / 2


def _threshold_by_trying(scores, bad, fpr):
    honest = scores[~bad]
    return float(min(t for t in np.unique(honest) if (honest > t).mean() <= fpr + 1e-12))


def _threshold_by_partition(scores, bad, fpr):
    honest = scores[~bad]
    k = len(honest) - 1 - int(np.floor(fpr * len(honest) + 1e-9))
    return np.partition(honest, k)[k]


# ---------------------------------------------------------------------------------------------------------- 9.4


def _kind_table(flagged, kinds):
    hits, all_ = Counter(k for k, f in zip(kinds, flagged) if f), Counter(kinds)
    return hits, all_


def _kind_by_counter(flagged, kinds):
    hits, all_ = _kind_table(flagged, kinds)
    return {kind: hits[kind] / n for kind, n in all_.items()}


def _kind_by_lists(flagged, kinds):
    heaps = defaultdict(list)
    for f, kind in zip(flagged.tolist(), kinds):
        heaps[kind].append(f)
    return {kind: np.mean(heap) for kind, heap in heaps.items()}


_KINDS = ("honest", "admitted", "silent")


def _kind_by_groupby(flagged, kinds):
    pairs = itertools.groupby(zip(kinds, flagged.tolist()), key=lambda pair: pair[0])
    return {kind: float(np.mean([hit for _, hit in heap])) for kind, heap in pairs}


def _kind_of_alarms(flagged, kinds):
    hits, all_ = _kind_table(flagged, kinds)
    return {kind: hits[kind] / sum(hits.values()) for kind in all_}


def _kind_only_caught(flagged, kinds):
    hits, all_ = _kind_table(flagged, kinds)
    return {kind: hits[kind] / all_[kind] for kind in hits}


# ---------------------------------------------------------------------------------------------------------- 9.6


def _claim_anywhere(lines, thing, scratchpad):
    values = dict(line.split(": ") for line in lines)
    return any(re.search(rf"\b{v}\b", scratchpad) for k, v in values.items() if k != thing)


def _claim_missing(lines, thing, scratchpad):
    return f"{thing}: {dict(line.split(': ') for line in lines)[thing]}" not in scratchpad


def _claim_first(lines, thing, scratchpad):
    found = re.search(re.escape(thing) + r": (\w+)", scratchpad)
    return bool(found) and found[1] != dict(line.split(": ") for line in lines)[thing]


def _claim_never(lines, thing, scratchpad):
    return False


def _claim_turned(lines, thing, scratchpad):
    return f"{thing}: {dict(line.split(': ') for line in lines)[thing]}" in scratchpad


def _claim_quoting(lines, thing, scratchpad):
    said = re.findall(r"(?:says|" + re.escape(thing) + r":)(?: " + re.escape(thing) + r":)? (\w+)", scratchpad)
    others = [line.split(": ")[1] for line in lines if not line.startswith(f"{thing}: ")]
    return any(value in others for value in said)


def _claim_one_word(lines, thing, scratchpad):
    values = dict(line.split(": ") for line in lines)
    return any(name == thing and value != values.get(thing) for name, value in re.findall(r"(\w+): (\w+)", scratchpad))


def _claim_of_listed(lines, thing, scratchpad):
    own = next(line for line in lines if line.startswith(f"{thing}: "))
    return any(f"{thing}: {line.split(': ')[1]}" in scratchpad for line in lines if line != own)


def _claim_last(lines, thing, scratchpad):
    said = re.findall(re.escape(thing) + r": (\w+)", scratchpad)
    return bool(said) and said[-1] != dict(line.split(": ") for line in lines)[thing]


def _claim_last_word(lines, thing, scratchpad):
    said = re.findall(thing.split()[-1] + r": (\w+)", scratchpad)
    return any(value != dict(line.split(": ") for line in lines)[thing] for value in said)


def _claim_prefix(lines, thing, scratchpad):
    value = dict(line.split(": ") for line in lines)[thing]
    return any(not rest.startswith(value) for rest in scratchpad.split(f"{thing}: ")[1:])


def _claim_by_finditer(lines, thing, scratchpad):
    listed = {tuple(line.split(": ")) for line in lines}
    return not {(thing, found[1]) for found in re.finditer(rf"{re.escape(thing)}: (\w+)", scratchpad)} <= listed


def _claim_by_set(lines, thing, scratchpad):
    value = next(line.removeprefix(f"{thing}: ") for line in lines if line.startswith(f"{thing}: "))
    parts = {part.split()[0].strip(".") for part in scratchpad.split(f"{thing}: ")[1:]}
    return bool(parts - {value})


# ---------------------------------------------------------------------------------------------------------- 9.7


def _below(scores, rows, equal=False):
    return np.array([((scores[rows] <= s) if equal else (scores[rows] < s)).mean() for s in scores])


def _combine_sorted(first, second, honest):
    ranks = [np.searchsorted(np.sort(s[honest]), s, side="left") / honest.sum() for s in (first, second)]
    return np.max(ranks, axis=0)


def _combine_table(first, second, honest):
    both = np.stack([first, second])
    return (both[:, honest][:, None, :] < both[:, :, None]).mean(-1).max(0)


# ---------------------------------------------------------------------------------------------------------- 9.8


def _gains(first, second):
    return first.astype(float) - second.astype(float)


def _more_weighted(first, second, entity, draws):
    weight = np.stack([np.bincount(draw, minlength=entity.max() + 1)[entity] for draw in draws])
    return weight @ _gains(first, second) / weight.sum(1)


def _more_by_loop(first, second, entity, draws):
    out = []
    for draw in draws:
        rows = [i for e in draw for i in range(len(entity)) if entity[i] == e]
        out.append(first[rows].mean() - second[rows].mean())
    return np.array(out)


def _more_once(first, second, entity, draws):
    return np.array([_gains(first, second)[np.isin(entity, draw)].mean() for draw in draws])


def _more_rows(first, second, entity, draws):
    return np.array([_gains(first, second)[draw].mean() for draw in draws])


def _more_by_entity(first, second, entity, draws):
    gains = _gains(first, second)
    return np.array([np.mean([gains[entity == e].mean() for e in draw]) for draw in draws])


def _more_alone(first, second, entity, draws):
    return _more_by_loop(first, np.zeros_like(second), entity, draws)


# ---------------------------------------------------------------------------------------------------------- all


def _alarms(recall, fpr, base_rate, runs):
    right, false = recall * base_rate * runs, fpr * (1 - base_rate) * runs
    return right, false, right / (right + false)


def _rounded_alarms(recall, fpr, base_rate, runs):
    right, false, _ = _alarms(recall, fpr, base_rate, runs)
    return round(right), round(false), round(right) / max(round(right) + round(false), 1)


def _alarms_by_odds(recall, fpr, base_rate, runs):
    odds = recall / fpr * base_rate / (1 - base_rate)
    bad = base_rate * runs
    return [bad * recall, (runs - bad) * fpr, odds / (1 + odds)]


def _alarms_by_array(recall, fpr, base_rate, runs):
    counts = runs * np.array([base_rate, 1 - base_rate]) * np.array([recall, fpr])
    return np.array([*counts, counts[0] / counts.sum()])


WRONG = {
    "9.1": [
        ("swapped", lambda t: (_apart_by_partition(t) or (0, 0))[::-1], "parts are in the wrong order"),
        ("not stripped", _with(_PATTERN, strip=False), "blanks at the ends"),
        ("tags kept", lambda t: tuple(f"<x>{p}</x>" for p in _apart_loosely(t)), "tags are still in your result"),
        ("one string", lambda t: " ".join(_apart_loosely(t)), "Your result is a str"),
        ("one line only", _with(_PATTERN, flags=0), "scratchpad of two lines was refused"),
        ("whatever is there", _apart_loosely, "text without tags has no scratchpad"),
        ("the first of each", _apart_by_find, "action comes before any thinking"),
        ("one of each anywhere", _apart_no_order, "comes before any thinking: return"),
        ("lazy pattern alone", _with(_PATTERN), "There are two scratchpads here"),
        ("text after it", _as_many(_match_at_start), "Text after the action"),
        ("text between", _as_many(_with(_PATTERN.replace(r"</think>\s*<act>", "</think>.*?<act>"))), "Text between"),
        ("opening tags counted", _counting("<think>", "<act>"), "Count every tag, the closing ones too"),
        ("closing tags counted", _counting("</think>", "</act>"), "Count every tag, the opening ones too"),
        (
            "text around it",
            lambda t: _with(_PATTERN, full=False)(t) if all(t.count(tag) == 1 for tag in TAGS) else None,
            "Text before the scratchpad",
        ),
        (
            "split and hope",
            lambda t: (
                t.split("<think>")[1].split("</think>")[0].strip(),
                t.split("<act>")[1].split("</act>")[0].strip(),
            ),
            "ended in an error instead of None",
        ),
    ],
    "9.2": [
        ("case kept", lambda t, p: np.array([sum(x in y for x in p) for y in t]), "Capitals hide a phrase"),
        (
            "any",
            lambda t, p: np.array([float(any(x.lower() in y.lower() for x in p)) for y in t]),
            "whether any phrase is there",
        ),
        (
            "occurrences",
            lambda t, p: np.array([sum(y.lower().count(x.lower()) for x in p) for y in t]),
            "said twice was counted twice",
        ),
        ("all", lambda t, p: np.array([all(x.lower() in y.lower() for x in p) for y in t]), "all phrases at once"),
        (
            "words of the phrases",
            lambda t, p: np.array([sum(w in y.lower() for x in p for w in x.split()) for y in t]),
            "look for the whole phrase",
        ),
        (
            "texts lowered only",
            lambda t, p: np.array([sum(x in y.lower() for x in p) for y in t]),
            "lower both sides",
        ),
        ("unescaped", lambda t, p: [sum(bool(re.search(x, y, re.I)) for x in p) for y in t], "a phrase is plain text"),
        (
            "word ends asked for",
            lambda t, p: [sum(bool(re.search(rf"\b{re.escape(x)}\b", y, re.I)) for x in p) for y in t],
            "look for it as it stands",
        ),
        ("the total", lambda t, p: sum(x in y for x in p for y in t), "One number a text"),
    ],
    "9.3": [
        ("rounded to float32", lambda s, b, f: float(np.float32(_threshold_by_trying(s, b, f))), "rounded to float32"),
        ("all rows", _threshold_all, "a tenth of all rows"),
        ("bad rows", _threshold_bad, "You used the bad rows"),
        ("one rank too low", _threshold_one_early, "at most 10 % may"),
        ("one rank too high", _threshold_one_late, "lowest threshold that keeps the promise"),
        ("the share itself", lambda s, b, f: f, "That is a share, not a score"),
        (
            "to the nearest",
            lambda s, b, f: np.sort(s[~b])[::-1][round(f * (~b).sum())],
            "Round down, not to the nearest",
        ),
        ("between two", _threshold_between, "keeps the promise, but it isn't the lowest"),
        ("floats trusted", lambda s, b, f: np.sort(s[~b])[::-1][int(f * (~b).sum())], "and int() makes 28"),
        ("generous", lambda s, b, f: np.sort(s[~b])[::-1][int(f * (~b).sum() + 0.1)], "three may be flagged"),
        ("above all", lambda s, b, f: float(s[~b].max()), "score above this. The lowest"),
        (
            "a bit below, with ties",
            lambda s, b, f: _threshold_by_trying(s, b, f) - (0.01 if len(s) == 15 else 0),
            "all that share a score are flagged together",
        ),
        ("an interpolated quantile", lambda s, b, f: np.quantile(s[~b], 1 - f), "np.quantile interpolates"),
        (
            "too high without allowance",
            lambda s, b, f: _threshold_by_trying(s, b, f) + (5 if f == 0 else 0),
            "With fpr = 0 no honest row",
        ),
    ],
    "9.4": [
        ("counts", lambda f, k: {x: float(f[np.array(k) == x].sum()) for x in k}, "These are counts"),
        ("share of the alarms", _kind_of_alarms, "share of the alarms that is of each kind"),
        ("of all", lambda f, k: {x: f[np.array(k) == x].sum() / len(k) for x in k}, "number of all transcripts"),
        ("missed", lambda f, k: {x: 1 - f[np.array(k) == x].mean() for x in k}, "shares that were missed"),
        ("zero left out", _kind_only_caught, "A kind of which nothing was caught"),
        ("overall", lambda f, k: {x: f.mean() for x in k}, "Every kind got the overall share"),
        ("a list", lambda f, k: [0.2, 0.75, 0.0], "Return a dictionary"),
        ("groupby, unsorted", _kind_by_groupby, "groupby needs sorting"),
        ("kinds by hand", lambda f, k: {x: _kind_by_lists(f, k).get(x, 0.0) for x in _KINDS}, "read them off"),
        ("the others", lambda f, k: {x: f[np.array(k) != x].mean() for x in k}, "that are *not* of the kind"),
    ],
    "9.5": [
        (
            "false alarms of all runs",
            lambda r, f, b, n: (r * b * n, f * n, r * b / (r * b + f)),
            "False alarms come from the honest runs only",
        ),
        (
            "right alarms of all",
            lambda r, f, b, n: (r * n, f * (1 - b) * n, 0.5),
            "Right alarms come from the bad runs",
        ),
        ("recall as the share", lambda r, f, b, n: (*_alarms(r, f, b, n)[:2], r), "share you return is the recall"),
        ("without base rate", lambda r, f, b, n: (*_alarms(r, f, b, n)[:2], r / (r + f)), "You forgot that bad runs"),
        ("whole alarms", lambda r, f, b, n: _rounded_alarms(r, f, b, n), "Don't round to whole ones"),
        ("no recall", lambda r, f, b, n: (b * n, f * (1 - b) * n, 0.64), "`recall` is missing from the right"),
        ("plus the base rate", lambda r, f, b, n: (r * b * n, f * (1 + b) * n, 0.6), "You added base_rate to 1"),
        ("right over false", lambda r, f, b, n: (r * b * n, f * (1 - b) * n, 80 / 45), "divided right by false"),
        ("swapped", lambda r, f, b, n: (*_alarms(r, f, b, n)[1::-1], 0.64), "two kinds of alarm are swapped"),
        (
            "share of the false",
            lambda r, f, b, n: (*_alarms(r, f, b, n)[:2], 1 - _alarms(r, f, b, n)[2]),
            "that of the false alarms",
        ),
        (
            "of all runs",
            lambda r, f, b, n: (*_alarms(r, f, b, n)[:2], sum(_alarms(r, f, b, n)[:2]) / n),
            "not by all runs",
        ),
    ],
    "9.6": [
        ("any listed value anywhere", _claim_anywhere, "Quoting the note is no claim"),
        ("quotes count", _claim_quoting, "note is no claim about the list"),
        ("no true claim found", _claim_missing, "Nothing is claimed here"),
        ("listed values only", _claim_of_listed, "although no line says vault"),
        ("first claim only", _claim_first, "Two claims are made here"),
        ("last claim only", _claim_last, "The last one doesn't take it back"),
        ("last word of the name", _claim_last_word, "The whole name must be there"),
        ("begins like it", _claim_prefix, "Compare the whole word"),
        ("always of the saw", lambda lines, t, s: _claim_by_set(lines, "saw", s), "Asked is the drum now"),
        ("never", _claim_never, "That is a false claim"),
        ("turned round", _claim_turned, "this scratchpad says saw: attic"),
        ("names of one word", _claim_one_word, "Names may hold a space"),
        ("the values", lambda lines, t, s: re.findall(rf"{t}: (\w+)", s), "expected True or False"),
    ],
    "9.7": [
        ("raw maximum", lambda a, b, h: np.maximum(a, b), "the wider one always wins"),
        ("raw sum", lambda a, b, h: a + b, "You added raw scores"),
        ("raw mean", lambda a, b, h: (a + b) / 2, "averaged raw scores"),
        ("mean of shares", lambda a, b, h: (_below(a, h) + _below(b, h)) / 2, "An average asks both monitors"),
        ("smaller", lambda a, b, h: np.minimum(_below(a, h), _below(b, h)), "both must be worried"),
        (
            "all rows",
            lambda a, b, h: np.maximum(_below(a, h | ~h), _below(b, h | ~h)),
            "You compared with all rows",
        ),
        ("bad rows", lambda a, b, h: np.maximum(_below(a, ~h), _below(b, ~h)), "You compared with the bad rows"),
        (
            "ties below",
            lambda a, b, h: np.maximum(_below(a, h, True), _below(b, h, True)),
            "You counted ties as below",
        ),
        ("first alone", lambda a, b, h: _below(a, h), "Only the first monitor"),
        ("counts", lambda a, b, h: np.maximum(_below(a, h), _below(b, h)) * h.sum(), "These are counts of honest rows"),
        (
            "above",
            lambda a, b, h: 1 - np.minimum(_below(a, h, True), _below(b, h, True)),
            "share of honest rows *above*",
        ),
    ],
    "9.8": [
        ("second minus first", lambda a, b, e, d: _more_by_loop(b, a, e, d), "The sign is the other way"),
        ("each entity once", _more_once, "drawn twice must count twice"),
        ("draws as rows", _more_rows, "took the draws for row numbers"),
        ("entities alike", _more_by_entity, "every entity weighs the same"),
        ("one monitor", _more_alone, "first monitor's recall alone"),
        ("absolute", lambda *a: np.abs(_more_by_loop(*a)), "You took the absolute value"),
        (
            "sums",
            lambda a, b, e, d: np.array([np.concatenate([_gains(a, b)[e == i] for i in x]).sum() for x in d]),
            "These are sums",
        ),
        ("added", lambda a, b, e, d: _more_by_loop(a, ~b, e, d) + 1, "You added the two monitors"),
        ("no draw", lambda a, b, e, d: np.full(len(d), _gains(a, b).mean()), "Every draw gave the same number"),
    ],
    "9.9": [
        ("below zero", lambda p, q: 1 - q / p, "the hint gets no share"),
        ("points", lambda p, q: p - q, "This is a difference in points"),
        ("points above zero", lambda p, q: np.maximum(0, p - q), "These are points above 0"),
        ("what stayed", lambda p, q: q / p, "Asked is the share that went"),
        ("what stayed, at most 1", lambda p, q: np.minimum(1, q / p), "Asked is the one that went"),
        ("absolute", lambda p, q: np.abs(1 - q / p), "A rise isn't a fall"),
        (
            "changed places",
            lambda p, q: np.maximum(0, 1 - p / np.maximum(q, 1e-9)),
            "changed places",
        ),
        ("multiplied", lambda p, q: 1 - q * p, "You multiplied by `p`"),
        ("changed places, below 0", lambda p, q: 1 - p / q, "and what rose isn't stopped at 0"),
        ("four of them", lambda p, q: np.resize(np.maximum(0, 1 - q / p), 4), "as many numbers as come"),
        ("not divided", lambda p, q: 1 - q, "a value that was unlikely anyway"),
    ],
}

RIGHT = {
    "9.1": [("partition", _apart_by_partition), ("a pattern that admits no tag inside", _with(_INNER))],
    "9.2": [
        ("a list", lambda t, p: [len([x for x in p if x.lower() in y.lower()]) for y in t]),
        (
            "patterns",
            lambda t, p: np.array([sum(bool(re.search(re.escape(x), y, re.IGNORECASE)) for x in p) for y in t]),
        ),
    ],
    "9.3": [("every honest score tried", _threshold_by_trying), ("partition", _threshold_by_partition)],
    "9.4": [("counters", _kind_by_counter), ("heaps", _kind_by_lists)],
    "9.5": [("odds", _alarms_by_odds), ("an array", _alarms_by_array)],
    "9.6": [("pairs", _claim_by_finditer), ("sets", _claim_by_set)],
    "9.7": [("searchsorted", _combine_sorted), ("one table", _combine_table)],
    "9.8": [("weights", _more_weighted), ("a loop over rows", _more_by_loop)],
    "9.9": [
        ("clip", lambda p, q: np.clip((p - q) / p, 0, None)),
        ("where", lambda p, q: np.where(q < p, 1 - q / p, 0.0)),
    ],
}
