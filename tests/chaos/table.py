"""What a scenario came to, as a row; and the table that is printed and written into docs/reliability.md."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

SIZES = ("short", "scaled", "full")


@dataclass(frozen=True, slots=True)
class Result:
    """One scenario. Counts are the audit's and the concurrent reader's together; times in seconds.

    gap_s: the longest time without an outcome; recover_s: 95th percentile from a fault, or its end, to the next
    outcome of every partition. met: was the figure to beat reached? note: what else was seen. planted: the product was
    broken on purpose, and what is counted was to be found. took_s: of the whole run. size, commit and day: what was
    run, of which code, and when.
    """

    row: str
    fault: str
    injections: int
    events: int
    lost: int
    doubled: int
    out_of_order: int
    wrong: int
    gap_s: float
    recover_s: float | None
    figure: str
    met: bool
    note: str = ""
    planted: bool = False
    took_s: float = 0.0
    size: str = ""
    commit: str = ""
    day: str = ""

    @property
    def ok(self) -> bool:
        """A fault that never happened shows nothing."""
        return self.met and self.clean and self.injections > 0

    @property
    def clean(self) -> bool:
        """Nothing lost, doubled, out of order or wrong; where it was planted: found."""
        found = self.lost or self.doubled or self.out_of_order or self.wrong
        return bool(found) == self.planted

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "ok": self.ok}


def broken_off(row: str, fault: str, why: str) -> Result:
    """Of a row that could not be run: nothing was counted, and that is no success."""
    return Result(row, fault, 0, 0, 0, 0, 0, 0, 0.0, None, "", False, f"not run: {why}")


HEAD = (
    "row",
    "fault",
    "injections",
    "events",
    "lost",
    "doubled",
    "out of order",
    "wrong",
    "longest gap",
    "recovery p95",
    "figure to beat",
    "",
    "run",
)


def cells(result: Result) -> list[str]:
    recover = "-" if result.recover_s is None else f"{result.recover_s:.1f} s"
    verdict = ("found" if result.planted else "ok") if result.ok else "FAILED"
    return [
        result.row,
        result.fault,
        str(result.injections),
        f"{result.events:,}",
        str(result.lost),
        str(result.doubled),
        str(result.out_of_order),
        str(result.wrong),
        f"{result.gap_s:.1f} s",
        recover,
        result.figure,
        f"{verdict}{': ' + result.note if result.note else ''}",
        f"{result.size}, {result.took_s:.0f} s, {result.commit}, {result.day}",
    ]


def line(values: Iterable[str]) -> str:
    return f"| {' | '.join(values)} |"


def rows_of(text: str) -> dict[str, str]:
    """The rows of a table that `markdown` wrote, by their names; none of a table with another head."""
    rows = [each for each in text.splitlines() if each.startswith("|")]
    if rows[:1] != [line(HEAD)]:
        return {}
    return {each.split("|")[1].strip(): each for each in rows[2:]}


def markdown(rows: Mapping[str, str], order: Collection[str]) -> str:
    """The table of docs/reliability.md."""
    return "\n".join([line(HEAD), line("---" for _ in HEAD), *(rows[name] for name in order if name in rows)]) + "\n"


def best(results: Iterable[Result]) -> dict[str, Result]:
    """Of each row the newest of its largest size; `results` are in the order in which they came."""
    found: dict[str, Result] = {}
    for result in results:
        before = found.get(result.row)
        if before is None or SIZES.index(result.size) >= SIZES.index(before.size):
            found[result.row] = result
    return found


def percentile(values: list[float], share: float) -> float | None:
    """The value that `share` of them do not exceed; None of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None
