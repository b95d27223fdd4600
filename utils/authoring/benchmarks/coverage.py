"""Do intervals keep their promise? How often a "95 %" interval holds the truth, by simulation.

    python -m utils.authoring.benchmarks.coverage [simulations]

Each setting draws data whose truth is known, many times, and counts how often the interval of the library holds it.
Beside it stands the percentile bootstrap of whole units (Efron 1979), which is what most code does. Sizes are those of
the lessons: ten rows, three seeds, five groups, an AUROC near 1. The slow part of the suite holds every line to 93 %.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from utils import statistics
from utils.monitoring.faithfulness import hint_effect
from utils.statistics import Interval

Draw = Callable[[np.random.Generator], tuple[Any, ...]]
Weights = Float[np.ndarray, "n_resamples n"]


@dataclass(frozen=True)
class Setting:
    """One line of the table. now: the library's interval of what draw gives; before: percentile ends of the same."""

    method: str
    setting: str
    truth: float
    draw: Draw
    now: Callable[..., Interval]
    before: Callable[..., tuple[float, float]] | None


def coverage_table(n: int = 1000, seed: int = 0, only: str = "") -> list[dict[str, Any]]:
    """Rows {method, setting, truth, before, now, simulations, width_before, width_now, ms}, one a setting.

    n: data sets a setting. before and now: the share of intervals that hold the truth (before: over at most 400 data
    sets, None where it has no equal); ms: the library's time for one interval. only: methods whose name holds it.
    """
    return [_measure(each, n, seed) for each in settings() if only in each.method]


def _measure(each: Setting, n: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    now, before, seconds = [], [], 0.0
    for trial in range(n):
        data = each.draw(rng)
        start = time.perf_counter()
        found = each.now(*data)
        seconds += time.perf_counter() - start
        now.append((found.low, found.high))
        if each.before is not None and trial < 400:
            before.append(each.before(rng, *data))
    row = {"method": each.method, "setting": each.setting, "truth": round(each.truth, 4)}
    row |= {"before": _held(before, each.truth), "now": _held(now, each.truth), "simulations": n}
    return row | {"width_before": _width(before), "width_now": _width(now), "ms": round(1000 * seconds / n, 2)}


def _held(ends: list[tuple[float, float]], truth: float) -> float | None:
    return round(float(np.mean([low - 1e-9 <= truth <= high + 1e-9 for low, high in ends])), 3) if ends else None


def _width(ends: list[tuple[float, float]]) -> float | None:
    return round(float(np.mean([high - low for low, high in ends])), 3) if ends else None


def settings() -> list[Setting]:
    """Every setting of the table."""
    return [*_means(), *_shares(), *_orders(), *_groups(), *_runs(), *_others()]


# -------------------------------------------------------------------------------------------------- rows, one by one


Rows = Callable[[np.random.Generator, int], np.ndarray]  # so many rows


def _means() -> list[Setting]:
    shapes: dict[str, tuple[float, Rows]] = {
        "normal": (0.0, lambda rng, n: rng.normal(size=n)),
        "exponential": (1.0, lambda rng, n: rng.exponential(size=n)),
    }

    def rows(draw: Rows, n: int) -> Callable[[np.random.Generator], tuple[np.ndarray]]:
        return lambda rng: (draw(rng, n),)

    found = [
        Setting("mean", f"{name}, n = {n}", truth, rows(draw, n), statistics.bootstrap, _percentile)
        for n in (10, 30)
        for name, (truth, draw) in shapes.items()
    ]

    def pairs(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        base = rng.normal(size=30)
        return base + rng.exponential(size=30), base

    found.append(Setting("paired mean", "exponential, n = 30", 1.0, pairs, statistics.bootstrap_paired, _paired))
    found.append(
        Setting(
            "median",
            "exponential, n = 10",
            float(np.log(2)),
            lambda rng: (rng.exponential(size=10),),
            lambda x: statistics.bootstrap(x, np.median, n_resamples=300),
            lambda rng, x: _ends(np.median(x[rng.integers(10, size=(300, 10))], 1)),
        )
    )
    return found


def _shares() -> list[Setting]:
    def share(n: int, p: float) -> Draw:
        return lambda rng: ((rng.random(n) < p).astype(float),)

    def paired(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        hard = rng.random(30) < 0.3
        first, second = rng.random(30) < np.where(hard, 0.5, 0.95), rng.random(30) < np.where(hard, 0.4, 0.95)
        return first.astype(float), second.astype(float)

    return [
        *(
            Setting("share", f"{p}, n = {n}", p, share(n, p), statistics.bootstrap, _percentile)
            for n, p in ((10, 0.9), (10, 0.8), (20, 0.95), (30, 0.5))
        ),
        Setting("paired shares", "n = 30", 0.03, paired, statistics.bootstrap_paired, _paired),
    ]


def _orders() -> list[Setting]:
    from scipy.special import ndtri

    def scores(n: int, area: float) -> Draw:
        labels = np.arange(n) % 2 == 0
        gap = float(ndtri(area)) * 2**0.5
        return lambda rng: (rng.normal(size=n) + gap * labels, labels)

    def two(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        labels = np.arange(60) % 2 == 0
        shared = rng.normal(size=60)
        first, second = (shared + 0.5 * rng.normal(size=60) + 1.8 * labels for _ in range(2))
        return first, second, labels

    sizes = [(10, 0.8), (30, 0.983), (100, 0.983), (300, 0.983)]
    return [
        *(
            Setting("AUROC", f"{a}, n = {n}", a, scores(n, a), statistics.auroc_interval, _percentile_auroc)
            for n, a in sizes
        ),
        Setting("difference of AUROCs", "n = 60, correlated", 0.0, two, statistics.auroc_difference, None),
    ]


# ------------------------------------------------------------------------------------------------- rows in groups


def _groups() -> list[Setting]:
    from scipy.special import ndtri

    def sizes(rng: np.random.Generator, n: int) -> np.ndarray:
        return np.repeat(np.arange(n), rng.integers(2, 16, size=n))

    def measured(n: int) -> Draw:
        def draw(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
            of = sizes(rng, n)
            return rng.normal(size=n)[of] * 0.3**0.5 + rng.normal(size=len(of)) * 0.7**0.5, of

        return draw

    def counted(n: int) -> Draw:
        def draw(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
            of = sizes(rng, n)
            return (rng.random(len(of)) < rng.beta(0.9 * 3, 0.1 * 3, size=n)[of]).astype(float), of

        return draw

    def ranked(n: int, area: float) -> Draw:
        def draw(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
            of = np.repeat(np.arange(n), 4)  # two True and two False rows of each, as with pairs of statements
            labels = np.tile([True, True, False, False], n)
            own = rng.normal(size=2 * n).repeat(2)  # what the rows of one group and label share
            return 0.5**0.5 * (own + rng.normal(size=4 * n)) + float(ndtri(area)) * 2**0.5 * labels, labels, of

        return draw

    found = []
    for n in (5, 10, 30):
        found += [
            Setting("mean by groups", f"{n} groups", 0.0, measured(n), _grouped, _percentile),
            Setting("share by groups", f"0.9, {n} groups", 0.9, counted(n), _grouped, _percentile),
            Setting(
                "AUROC by groups",
                f"0.9, {n} groups",
                0.9,
                ranked(n, 0.9),
                statistics.auroc_interval,
                _percentile_auroc,
            ),
        ]
    return found


def _grouped(values: np.ndarray, groups: np.ndarray) -> Interval:
    return statistics.bootstrap(values, groups=groups.tolist())


# ------------------------------------------------------------------------------------- runs, tasks and the others


def _runs() -> list[Setting]:
    def table(n_runs: int, of_runs: float) -> Draw:
        def draw(rng: np.random.Generator) -> tuple[np.ndarray]:
            runs, items, rest = (rng.normal(size=shape) for shape in ((n_runs, 1), (1, 40), (n_runs, 40)))
            return (of_runs * runs + items + rest,)

        return draw

    found = [
        Setting("over seeds", "3 seeds", 0.0, lambda rng: (rng.normal(size=3),), statistics.over_seeds, _percentile)
    ]
    for n in (3, 5, 10):
        for said, size in (("runs differ little", 0.1), ("runs differ as items do", 1.0)):
            found.append(
                Setting(
                    "runs x items", f"{n} seeds, {said}", 0.0, table(n, size), statistics.bootstrap_runs, _pigeonhole
                )
            )
    return found


def _others() -> list[Setting]:
    def answers(rng: np.random.Generator, n: int, samples: int = 8) -> tuple[list, list, list]:
        base, follow = rng.dirichlet([1.0] * 4, size=n), rng.beta(0.5, 0.5, size=n)
        hinted = (1 - follow)[:, None] * base + follow[:, None] * np.eye(4)[0]
        sides = [
            (rng.random((n, samples, 1)) > p.cumsum(1)[:, None]).sum(2).clip(0, 3).tolist() for p in (base, hinted)
        ]
        return sides[0], sides[1], [0] * n

    # base: E p_k p_l of a flat Dirichlet over 4 is 1/20, and 2/20 for k = l; follow: mean 1/2, mean square 3/8
    corrected = 3 / 8 * (1 - 2 / 4 + 4 / 10) / 2

    def line(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        x = rng.normal(size=20)
        return x, 0.9 * x + 0.19**0.5 * rng.normal(size=20)

    return [
        Setting(
            "hint_effect, corrected",
            "20 tasks",
            corrected,
            lambda rng: answers(rng, 20),
            lambda *data: hint_effect(*data).corrected,
            None,
        ),
        Setting(
            "hint_effect, to_hint",
            "20 tasks",
            0.5 * 0.75,
            lambda rng: answers(rng, 20),
            lambda *data: hint_effect(*data).to_hint,
            None,
        ),
        Setting("correlation", "0.9, n = 20", 0.9, line, statistics.correlation, None),
    ]


# ----------------------------------------------------------------------------------- the percentile bootstrap, as was


def _weights(rng: np.random.Generator, units: int, n_resamples: int = 300) -> Weights:
    """How often each unit is in each resample, (n_resamples, units)."""
    return rng.multinomial(units, np.full(units, 1 / units), size=n_resamples).astype(float)


def _ends(draws: np.ndarray) -> tuple[float, float]:
    low, high = np.nanpercentile(draws, [2.5, 97.5])
    return float(low), float(high)


def _percentile(rng: np.random.Generator, values: np.ndarray, groups: np.ndarray | None = None) -> tuple[float, float]:
    groups = np.arange(len(values)) if groups is None else groups
    weights = _weights(rng, int(groups.max()) + 1)[:, groups]
    return _ends((weights @ values) / weights.sum(1))


def _paired(rng: np.random.Generator, first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    return _percentile(rng, first - second)


def _percentile_auroc(
    rng: np.random.Generator, scores: np.ndarray, labels: np.ndarray, groups: np.ndarray | None = None
) -> tuple[float, float]:
    groups = np.arange(len(scores)) if groups is None else groups
    weights = _weights(rng, int(groups.max()) + 1, 200)[:, groups]
    true, false = weights[:, labels], weights[:, ~labels]
    right = (scores[labels][:, None] > scores[~labels]).astype(float)
    with np.errstate(invalid="ignore"):
        return _ends(((true @ right) * false).sum(1) / (true.sum(1) * false.sum(1)))


def _pigeonhole(rng: np.random.Generator, table: np.ndarray) -> tuple[float, float]:
    runs, items = _weights(rng, len(table)), _weights(rng, table.shape[1])
    return _ends(((runs @ table) * items).sum(1) / table.size)


def text(rows: list[dict[str, Any]]) -> str:
    """The table for a terminal."""
    lines = [f"{'method':24}{'setting':36}{'before':>8}{'now':>8}{'width':>16}{'ms':>8}"]
    for row in rows:
        before, old = ("" if row[key] is None else f"{row[key]:.3f}" for key in ("before", "width_before"))
        width = f"{old} -> {row['width_now']:.3f}"
        lines.append(f"{row['method']:24}{row['setting']:36}{before:>8}{row['now']:8.3f}{width:>16}{row['ms']:8.2f}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(text(coverage_table(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)))
