"""The decision: which rows may be settled now, by whose answer, and what the rest waits for (P14-P18).

Arrays in, a run out. A run is a maximal interval from settled + 1 with one epoch in which every event has its
outcome. Nothing here knows a clock: that a deadline passed comes in as `late`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

import numpy as np
import numpy.typing as npt

from streambg.publishing.answers import EMPTY, View
from streambg.records.bucket import bucket_keys, buckets
from streambg.records.outcome import Why

Side = Literal["live", "other"]
Bool = npt.NDArray[np.bool_]


class Act(IntEnum):
    """What happens to one row; the order is of no meaning."""

    WAIT_LIVE = 0
    WAIT_OTHER = 1
    LIVE = 2
    OTHER = 3
    DEAD = 4
    SKIP = 5  # not in the input (P9)


@dataclass(frozen=True, slots=True)
class Route:
    """Who is chosen, and who may stand in. `candidate_weight` 0..10000; `salt` is the candidate's deployment.

    live_falls_back: P16, may the other color answer where live cannot?
    late: (side, what) whose deadline has fired: what is "answer" or "error", because an error row waits for the
    other color at most its own deadline even where live's answers are waited for without end (P17).
    """

    source_topic: str
    partition: int
    candidate_weight: int
    salt: int
    live_falls_back: bool
    late: frozenset[tuple[Side, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why the run ends where it ends: `side` owes an answer for `offset`.

    `holder` is the side whose row waits there (the deadline runs from its fetch, P18); None where nobody has one.
    """

    offset: int
    side: Side
    what: Literal["answer", "error"]
    holder: Side | None


@dataclass(frozen=True, slots=True)
class Run:
    """Outcomes for the source offsets up to `settled`: acts, whys and row numbers (n,), -1 where a side has no row."""

    settled: int
    offsets: npt.NDArray[np.int64]
    acts: npt.NDArray[np.int8]
    whys: list[Why]
    live_rows: npt.NDArray[np.int64]
    other_rows: npt.NDArray[np.int64]
    chosen_other: Bool
    waiting: Waiting | None

    @property
    def outcomes(self) -> int:
        return int((self.acts != Act.SKIP).sum())


ROUTE: Why = "route"


def settle(live: View, other: View | None, settled: int, route: Route) -> Run:
    """The longest run from settled + 1. `other` is None where its answers play no part (P15, P16)."""
    if other is None and live.sample_upto <= settled:
        return _live_only(live, settled)
    return _both(live, other if other is not None else EMPTY, settled, route, other is not None)


def _live_only(live: View, settled: int) -> Run:
    """Weight 0 without fallback: live's ok rows are published, its error rows are dead letters."""
    n = len(live.offsets)
    acts = np.where(live.ok, Act.LIVE, Act.DEAD).astype(np.int8)
    reach = max(settled, live.covered)
    rows = np.arange(n)
    nobody = np.full(n, -1)
    waiting = Waiting(reach + 1, "live", "answer", None)
    whys: list[Why] = [ROUTE] * n if live.ok.all() else [ROUTE if ok else "error" for ok in live.ok.tolist()]
    return Run(reach, live.offsets, acts, whys, rows, nobody, np.zeros(n, np.bool_), waiting)


@dataclass(frozen=True, slots=True)
class _Rows:
    """Both sides aligned on the union of their offsets."""

    offsets: npt.NDArray[np.int64]
    live_rows: npt.NDArray[np.int64]
    other_rows: npt.NDArray[np.int64]
    live_known: Bool  # covered: a missing row is a fact
    other_known: Bool
    live_ok: Bool
    live_error: Bool
    other_ok: Bool
    other_error: Bool


def _align(live: View, other: View) -> _Rows:
    offsets = np.union1d(live.offsets, other.offsets)
    live_rows, other_rows = _find(offsets, live.offsets), _find(offsets, other.offsets)
    has_live, has_other = live_rows >= 0, other_rows >= 0
    live_ok = _taken(live.ok, live_rows)
    other_ok = _taken(other.ok, other_rows)
    return _Rows(
        offsets,
        live_rows,
        other_rows,
        offsets <= live.covered,
        offsets <= other.covered,
        live_ok,
        has_live & ~live_ok,
        other_ok,
        has_other & ~other_ok,
    )


def _find(wanted: npt.NDArray[np.int64], have: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Row number of each wanted offset, -1 where there is none."""
    if not len(have):
        return np.full(len(wanted), -1)
    at = np.minimum(np.searchsorted(have, wanted), len(have) - 1)
    return np.where(have[at] == wanted, at, -1)


def _taken(flags: Bool, rows: npt.NDArray[np.int64]) -> Bool:
    if not len(flags):
        return np.zeros(len(rows), np.bool_)
    return flags[rows] & (rows >= 0)


def _both(live: View, other: View, settled: int, route: Route, other_counts: bool) -> Run:
    rows = _align(live, other)
    wants = _wants_other(rows, live, other, route)
    acts, whys = _decide(rows, wants, live.sample_upto, route, other_counts)
    return _cut(rows, wants, acts, whys, live, other, settled, other_counts)


def _wants_other(rows: _Rows, live: View, other: View, route: Route) -> Bool:
    n = len(rows.offsets)
    if route.candidate_weight == 0:
        return np.zeros(n, np.bool_)
    if route.candidate_weight >= 10_000:
        return np.ones(n, np.bool_)
    keys: list[bytes] = []
    for view, index in ((live, rows.live_rows), (other, rows.other_rows)):
        if len(view.offsets) == n and index[0:1].tolist() == [0] and (index >= 0).all():
            keys = bucket_keys(
                view.keys, view.bucket_column, route.source_topic, route.partition, rows.offsets.tolist()
            )
            break
    else:
        keys = _mixed_keys(rows, live, other, route)
    return buckets(route.salt, keys) < route.candidate_weight


def _mixed_keys(rows: _Rows, live: View, other: View, route: Route) -> list[bytes]:
    """Each event's key from live's row, or the other's where live has none; both carry the same."""
    picked_keys: list[bytes | None] = []
    picked_column: list[object] = []
    column = live.bucket_column is not None or other.bucket_column is not None
    for live_row, other_row in zip(rows.live_rows.tolist(), rows.other_rows.tolist(), strict=True):
        view, row = (live, live_row) if live_row >= 0 else (other, other_row)
        picked_keys.append(view.keys[row])
        picked_column.append(view.bucket_column[row] if view.bucket_column is not None else None)
    return bucket_keys(
        picked_keys,
        picked_column if column else None,  # type: ignore[arg-type] # they are carried values
        route.source_topic,
        route.partition,
        rows.offsets.tolist(),
    )


def _decide(
    rows: _Rows, wants: Bool, sample_upto: int, route: Route, other_counts: bool
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int8]]:
    """Each row's act, and its reason as an index into WHY_NAMES. The table of P14-P17, line by line."""
    r = rows
    has_live, has_other = r.live_rows >= 0, r.other_rows >= 0
    live_missing = r.live_known & ~has_live
    sampled = live_missing & (r.offsets <= sample_upto)
    other_missing = r.other_known & ~has_other if other_counts else ~has_other
    may_fall_back = route.live_falls_back and other_counts
    late_live = ("live", "answer") in route.late
    late_live_error = late_live or ("live", "error") in route.late
    late_other = ("other", "answer") in route.late
    late_other_error = late_other or ("other", "error") in route.late
    yes, no = np.ones(len(wants), np.bool_), np.zeros(len(wants), np.bool_)

    def when(flag: bool) -> Bool:
        return yes if flag else no

    chosen_live = ~wants
    table: list[tuple[Bool, Act, int]] = [
        # in no row of a non-sample batch of live: not in the input (P9, P14)
        (live_missing & ~sampled, Act.SKIP, 0),
        # the chosen color answered
        (wants & r.other_ok, Act.OTHER, 0),
        (chosen_live & r.live_ok, Act.LIVE, 0),
        # candidate chosen, without an answer: live stands in, always (P16)
        (wants & other_missing & r.live_ok, Act.LIVE, 1),
        (wants & other_missing & r.live_error, Act.DEAD, 1),
        # candidate chosen, an error row (P17)
        (wants & r.other_error & r.live_ok, Act.LIVE, 2),
        (wants & r.other_error & (r.live_error | sampled), Act.DEAD, 2),
        (wants & r.other_error & ~r.live_known & when(late_live_error), Act.DEAD, 2),
        (wants & r.other_error & ~r.live_known, Act.WAIT_LIVE, 2),
        # candidate chosen, late (P18)
        (wants & ~r.other_known & when(late_other) & r.live_ok, Act.LIVE, 3),
        (wants & ~r.other_known & when(late_other) & r.live_error, Act.DEAD, 3),
        (wants & ~r.other_known & r.live_known, Act.WAIT_OTHER, 3),
        # live chosen, unanswered because it scored a sample then (P9)
        (chosen_live & sampled & when(not may_fall_back), Act.DEAD, 1),
        (chosen_live & sampled & r.other_ok, Act.OTHER, 1),
        (chosen_live & sampled & r.other_error, Act.DEAD, 1),
        (chosen_live & sampled, Act.WAIT_OTHER, 1),
        # live chosen, an error row: the other color only where P16 allows it
        (chosen_live & r.live_error & when(not may_fall_back), Act.DEAD, 2),
        (chosen_live & r.live_error & r.other_ok, Act.OTHER, 2),
        (chosen_live & r.live_error & (r.other_error | other_missing), Act.DEAD, 2),
        (chosen_live & r.live_error & when(late_other_error), Act.DEAD, 2),
        (chosen_live & r.live_error, Act.WAIT_OTHER, 2),
        # live chosen, late: only where a deadline is declared and P16 allows it
        (chosen_live & ~r.live_known & when(late_live and may_fall_back) & r.other_ok, Act.OTHER, 3),
        (chosen_live & ~r.live_known & when(late_live and may_fall_back) & r.other_error, Act.DEAD, 3),
    ]
    acts = np.full(len(wants), Act.WAIT_LIVE, np.int8)
    whys = np.zeros(len(wants), np.int8)
    conditions = [condition for condition, _, _ in table]
    if len(wants):
        acts = np.select(conditions, [np.int8(act) for _, act, _ in table], np.int8(Act.WAIT_LIVE)).astype(np.int8)
        whys = np.select(conditions, [np.int8(why) for _, _, why in table], np.int8(0)).astype(np.int8)
    return acts, whys


WHY_NAMES: tuple[Why, ...] = ("route", "absent", "error", "late")


def _cut(
    rows: _Rows,
    wants: Bool,
    acts: npt.NDArray[np.int8],
    whys: npt.NDArray[np.int8],
    live: View,
    other: View,
    settled: int,
    other_counts: bool,
) -> Run:
    """End the run at the first row that waits, or at the first offset nobody can account for."""
    # up to `known` an offset without any row is no event (P14); where live itself has not answered, only the other
    # color's complete batches can say so
    known = live.covered
    if live.sample_upto > settled:
        complete = other_counts and other.sample_upto <= settled
        known = min(known, max(other.covered, settled) if complete else settled)
    floor = max(known, settled)
    n = len(rows.offsets)
    beyond = np.flatnonzero(rows.offsets > floor)
    # above `floor` every single offset must have a row, else it may be an event nobody has answered yet
    broken = beyond[rows.offsets[beyond] != floor + 1 + np.arange(len(beyond))]
    waits = np.flatnonzero((acts == Act.WAIT_LIVE) | (acts == Act.WAIT_OTHER))
    gap_at = int(broken[0]) if len(broken) else n
    wait_at = int(waits[0]) if len(waits) else n
    end = min(gap_at, wait_at)
    waiting: Waiting | None
    if end == n:
        reach = max(floor, int(rows.offsets[-1]) if n else floor)
        waiting = Waiting(reach + 1, "live", "answer", None)
    elif wait_at < gap_at:
        offset = int(rows.offsets[end])
        reach = offset - 1
        waiting = _why_waiting(rows, acts, whys, end)
    else:
        reach = max(floor, int(rows.offsets[end - 1]) if end else floor)
        waiting = Waiting(reach + 1, "live", "answer", None)
    keep = slice(0, end)
    return Run(
        reach,
        rows.offsets[keep],
        acts[keep],
        [WHY_NAMES[why] for why in whys[keep].tolist()],
        rows.live_rows[keep],
        rows.other_rows[keep],
        wants[keep],
        waiting,
    )


def _why_waiting(rows: _Rows, acts: npt.NDArray[np.int8], whys: npt.NDArray[np.int8], at: int) -> Waiting:
    side: Side = "live" if acts[at] == Act.WAIT_LIVE else "other"
    holder: Side = "other" if side == "live" else "live"
    has_row = (rows.other_rows if holder == "other" else rows.live_rows)[at] >= 0
    what: Literal["answer", "error"] = "error" if whys[at] == WHY_NAMES.index("error") else "answer"
    return Waiting(int(rows.offsets[at]), side, what, holder if has_row else None)
