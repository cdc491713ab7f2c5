"""What a scenario came to, as a row; and the table that is printed and written into docs/reliability.md."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Result:
    """One scenario. Counts are the audit's and the concurrent reader's together; times in seconds.

    gap_s: the longest time without an outcome; recover_s: 95th percentile from a fault, or its end, to the next
    outcome of every partition. met: was the figure to beat reached? note: what else was seen. planted: the product was
    broken on purpose, and what is counted was to be found. took_s: of the whole run. size and commit: what was run, and
    of which code.
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

    @property
    def ok(self) -> bool:
        return self.met and self.clean

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
    ]


def markdown(results: list[Result]) -> str:
    """The table of docs/reliability.md."""
    lines = [" | ".join(HEAD), " | ".join("---" for _ in HEAD)]
    lines += [" | ".join(cells(result)) for result in results]
    return "\n".join(f"| {line} |" for line in lines) + "\n"


def percentile(values: list[float], share: float) -> float | None:
    """The value that `share` of them do not exceed; None of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None
