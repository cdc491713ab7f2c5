"""What was measured, as values: rows, medians, ratios, and what must be reached. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Literal

Figures = Mapping[str, float]
"""One run of a row. events_per_s; client_us and broker_us an event; peak_mb of the largest process; p50_ms, ..."""


@dataclass(frozen=True, slots=True)
class Row:
    """What a row measures. base, plain: the keys of the rows it is divided by, mostly raw loops: tuned, and plain."""

    key: str
    what: str
    base: str | None = None
    plain: str | None = None

    @property
    def ratios(self) -> dict[str, str]:
        """The row's ratios by name, with the key of the row that each is to."""
        named = {"ratio": self.base, "plain_ratio": self.plain}
        return {name: key for name, key in named.items() if key is not None}

    @property
    def group(self) -> str:
        """The letter that `--only` takes."""
        return self.key[0]


PARTITIONS = (1, 8, 64)
MEMBERS = (1, 2)
RATES = (500, 2_000, 10_000)

ROWS: tuple[Row, ...] = (
    Row("a", "raw consume"),
    Row("b", "raw copy loop, tuned: 2,000 events a call"),
    Row("b0", "raw copy loop, plain: one poll an event"),
    Row("c", "raw transactional copy loop, 50 ms, tuned"),
    Row("c0", "raw transactional copy loop, 50 ms, plain"),
    Row("d", "scorer, logistic model in numpy", "b", "b0"),
    Row("e", "scorer, river model", "b", "b0"),
    Row("f", "publisher, weight 10 %, with the header", "c", "c0"),
    Row("g1", "comparator: merge and agreement alone", "a"),
    Row("g2", "comparator: the same with three ADWINs", "a"),
    Row("g3", "comparator: the running app, three ADWINs", "a"),
    Row("h1", "raw consume of the audit's records"),
    Row("h2", "audit", "h1"),
    *(Row(f"i{rate}", f"latency at {rate:,} events/s") for rate in RATES),
    Row("j", "command to effect"),
    Row("k1", "demo: start to first published event"),
    Row("k2", "publisher killed -9 and restarted: next output"),
    Row("k3", "publisher killed -9: a second member publishes all of it"),
    *(Row(f"l-scorer-p{number}", f"scorer, partitions: {number}") for number in PARTITIONS),
    *(Row(f"l-publisher-p{number}", f"publisher, partitions: {number}") for number in PARTITIONS),
    *(Row(f"l-scorer-m{number}", f"scorers of one color, not pinned: {number}") for number in MEMBERS),
    *(Row(f"l-publisher-m{number}", f"publishers, not pinned: {number}") for number in MEMBERS),
    Row("m", "replay against what was published", "d"),
    Row("m1", "the same, not pinned: 1 worker"),
    Row("m2", "the same, not pinned: 2 workers", "m1"),
    Row("n", "latency at 2,000 events/s beside a replay of as many"),
    Row("o", "join and evidence of a pair, five metrics in ten segments each"),
)
BY_KEY: Mapping[str, Row] = {row.key: row for row in ROWS}
GROUPS: tuple[str, ...] = tuple(dict.fromkeys(row.group for row in ROWS))


@dataclass(frozen=True, slots=True)
class Goal:
    """What must be reached: a row's figure is at least, or at most, `limit`. aim: what would be better still."""

    row: str
    figure: str
    side: Literal["at least", "at most"]
    limit: float
    aim: float | None = None

    def met(self, value: float) -> bool:
        """Is it?"""
        return value >= self.limit if self.side == "at least" else value <= self.limit


# The publisher's transaction interval (the default of publish.transaction.every) and 100 ms.
EFFECT_MS = 50 + 100
MOST_MB = 250
GOALS: tuple[Goal, ...] = (
    *(Goal("d", ratio, "at least", 0.65, 0.85) for ratio in ("plain_ratio", "ratio")),
    *(Goal("f", ratio, "at least", 1.3, 1.8) for ratio in ("plain_ratio", "ratio")),
    Goal("g1", "events_per_s", "at least", 1_000_000),
    Goal("g3", "events_per_s", "at least", 250_000),
    Goal("h2", "ratio", "at least", 0.4),
    Goal("i2000", "p50_ms", "at most", 100),
    Goal("i2000", "p99_ms", "at most", 200),
    Goal("j", "p99_ms", "at most", EFFECT_MS),
    Goal("k1", "p50_s", "at most", 8),
    Goal("k2", "p95_s", "at most", 3),
    Goal("k3", "p95_s", "at most", 8),
    Goal("m", "ratio", "at least", 0.6),
    Goal("m2", "ratio", "at least", 1.4),
    Goal("n", "p50_grown", "at most", 1.2),
    Goal("o", "with_us", "at most", 1.5),
    *(Goal(row, "peak_mb", "at most", MOST_MB) for row in ("d", "e", "f", "g3", "h2")),
    Goal("m", "peak_mb", "at most", 400),
)


@dataclass(frozen=True, slots=True)
class Result:
    """One run of the benchmark: every row's runs in the order of the rounds, and what it ran on."""

    date: str
    settings: Mapping[str, Any]
    machine: Mapping[str, Any]
    runs: Mapping[str, Sequence[Figures]] = field(default_factory=dict)

    def figure(self, key: str, name: str) -> float | None:
        """The median over the rounds; a ratio is that of the rounds' ratios. None: not measured."""
        base = BY_KEY[key].ratios.get(name)
        values = self._ratios(key, base) if base else [run[name] for run in self.runs.get(key, ()) if name in run]
        return median(values) if values else None

    def _ratios(self, key: str, base: str) -> list[float]:
        """To the other row of the same round: a machine that is slow for a while is slow for both."""
        pairs = zip(self.runs.get(key, ()), self.runs.get(base, ()), strict=False)
        return [run["events_per_s"] / raw["events_per_s"] for run, raw in pairs]

    def figures(self, key: str) -> dict[str, float]:
        """Every median of a row."""
        names = dict.fromkeys(name for run in self.runs.get(key, ()) for name in run)
        found = {name: self.figure(key, name) for name in (*names, *BY_KEY[key].ratios)}
        return {name: value for name, value in found.items() if value is not None}

    def judged(self) -> list[tuple[Goal, float]]:
        """Every goal whose row was measured, with the value."""
        found = ((goal, self.figure(goal.row, goal.figure)) for goal in GOALS)
        return [(goal, value) for goal, value in found if value is not None]

    def as_json(self) -> dict[str, Any]:
        """One document."""
        return {
            "date": self.date,
            "settings": dict(self.settings),
            "machine": dict(self.machine),
            "rows": [
                {
                    "row": row.key,
                    "what": row.what,
                    "ratio_to": row.base,
                    "plain_ratio_to": row.plain,
                    "median": self.figures(row.key),
                    "runs": [dict(run) for run in self.runs[row.key]],
                }
                for row in ROWS
                if row.key in self.runs
            ],
            "goals": [
                {
                    "row": goal.row,
                    "figure": goal.figure,
                    goal.side.replace(" ", "_"): goal.limit,
                    "aim": goal.aim,
                    "measured": value,
                    "reached": goal.met(value),
                }
                for goal, value in self.judged()
            ],
        }


def chosen(only: Sequence[str]) -> frozenset[str]:
    """The groups to run for `--only`: those, and the rows that they are divided by. Raises ValueError."""
    wrong = [group for group in only if group not in GROUPS]
    if wrong:
        raise ValueError(f"{', '.join(wrong)}: the rows are {', '.join(GROUPS)}")
    wanted = set(only or GROUPS)
    loops = {base for row in ROWS if row.group in wanted for base in row.ratios.values()}
    return frozenset(wanted | {BY_KEY[loop].group for loop in loops})


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of them do not exceed. Raises ValueError where there are none."""
    if not values:
        raise ValueError("a quantile of nothing")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]
