"""The decision: which rows may be settled now, by whose answer, and what the rest waits for (P14-P18).

Arrays in, a run out. A run is a maximal interval from settled + 1 with one epoch in which every event has its
outcome. Nothing here knows a clock: that a deadline passed comes in as `late`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt

from streambg.publishing import table
from streambg.publishing.answers import EMPTY, View
from streambg.publishing.table import WHY_NAMES, Act, Bool, Side
from streambg.records.batch import Carried
from streambg.records.bucket import BUCKETS, bucket_keys, buckets
from streambg.records.outcome import Why


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
    """Outcomes for the source offsets up to `settled`: acts, whys and row numbers (n,), -1 where a side has no row.

    `waiting` is None where the run ends for no reason but to stay plain: ask again from its `settled`.
    """

    settled: int
    offsets: npt.NDArray[np.int64]
    acts: npt.NDArray[np.int8]
    whys: list[Why]
    live_rows: npt.NDArray[np.int64]
    other_rows: npt.NDArray[np.int64]
    chosen_other: Bool
    waiting: Waiting | None
    plain: bool = False  # every row is published as routed: nothing absent, wrong, late or missing

    @property
    def outcomes(self) -> int:
        return int((self.acts != Act.SKIP).sum())


ROUTE: Why = "route"
# Rows looked at together for the first that the candidate owes: at a weight of 1 % it stands among the first hundred.
LOOKED_AT = 128


def settle(live: View, other: View | None, settled: int, route: Route) -> Run:
    """The longest run from settled + 1. `other` is None where its answers play no part (P15, P16)."""
    if other is None and live.sample_upto <= settled:
        return _live_only(live, settled)
    if other is not None and live.sample_upto <= settled:
        common = _common(live, other)
        if common:
            return _as_routed(live, other, common, route)
        if not len(other.offsets) and other.covered <= settled and not route.late and live.ok.all():
            return _until_candidate(live, settled, route)
        if not len(live.offsets) and live.covered <= settled and len(other.offsets):
            if other.offsets[0] != settled + 1:
                return _nothing(settled, None)  # late or not: what lies before it may be events (P14)
            if not route.late and _first_is_lives(other, route):
                return _nothing(settled, "other")
    return _both(live, other if other is not None else EMPTY, settled, route, other is not None)


def _common(live: View, other: View) -> int:
    """How many first rows both sides have alike and without an error; 0 where they do not begin so."""
    n = min(len(live.offsets), len(other.offsets))
    if n and (live.offsets[:n] == other.offsets[:n]).all() and live.ok[:n].all() and other.ok[:n].all():
        return n
    return 0


def _as_routed(live: View, other: View, n: int, route: Route) -> Run:
    """The usual case, cheaply: both sides answered the same events, so the route alone decides.

    The run ends with the rows both have; what one side has beyond is the next run's.
    """
    offsets, rows = live.offsets[:n], np.arange(n)
    wants = _routed_to_other(route, partial(_keys_of, live, slice(n)), offsets)
    acts = np.where(wants, np.int8(Act.OTHER), np.int8(Act.LIVE))
    return Run(int(offsets[-1]), offsets, acts, [ROUTE] * n, rows, rows, wants, None, plain=True)


def _until_candidate(live: View, settled: int, route: Route) -> Run:
    """The other usual case: the candidate has not answered yet. Live's rows up to the first that the route gives it."""
    n = first = len(live.offsets)
    for start in range(0, n, LOOKED_AT):
        part = slice(start, start + LOOKED_AT)
        wants = _routed_to_other(route, partial(_keys_of, live, part), live.offsets[part])
        if wants.any():
            first = start + int(wants.argmax())
            break
    owed = first < n
    reach = int(live.offsets[first]) - 1 if owed else max(settled, live.covered)
    waiting = Waiting(reach + 1, "other", "answer", "live") if owed else Waiting(reach + 1, "live", "answer", None)
    acts, nobody, none = np.full(first, np.int8(Act.LIVE)), np.full(first, -1), np.zeros(first, np.bool_)
    return Run(reach, live.offsets[:first], acts, [ROUTE] * first, np.arange(first), nobody, none, waiting, plain=True)


def _first_is_lives(other: View, route: Route) -> bool:
    """Whether the route gives the first event that the other color has answered to live."""
    first = slice(0, 1)
    return not _routed_to_other(route, partial(_keys_of, other, first), other.offsets[first]).any()


def _nothing(settled: int, holder: Side | None) -> Run:
    """And the third: the other color is ahead, and live owes the next answer."""
    none, flags = np.empty(0, np.int64), np.empty(0, np.bool_)
    waiting = Waiting(settled + 1, "live", "answer", holder)
    return Run(settled, none, np.empty(0, np.int8), [], none, none, flags, waiting, plain=True)


def _live_only(live: View, settled: int) -> Run:
    """Weight 0 without fallback: live's ok rows are published, its error rows are dead letters."""
    n = len(live.offsets)
    acts = np.where(live.ok, Act.LIVE, Act.DEAD).astype(np.int8)
    reach = max(settled, live.covered)
    rows = np.arange(n)
    nobody = np.full(n, -1)
    waiting = Waiting(reach + 1, "live", "answer", None)
    plain = bool(live.ok.all())
    whys: list[Why] = [ROUTE] * n if plain else [ROUTE if ok else "error" for ok in live.ok.tolist()]
    return Run(reach, live.offsets, acts, whys, rows, nobody, np.zeros(n, np.bool_), waiting, plain)


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


Keys = tuple[list[bytes | None], list[Carried] | None]  # record keys, and the `bucket_by` column where there is one


def _routed_to_other(route: Route, keys: Callable[[], Keys], offsets: npt.NDArray[np.int64]) -> Bool:
    """Which rows the weight gives to the candidate; keys are asked for only where buckets decide."""
    n = len(offsets)
    if route.candidate_weight == 0:
        return np.zeros(n, np.bool_)
    if route.candidate_weight >= BUCKETS:
        return np.ones(n, np.bool_)
    hashed = bucket_keys(*keys(), route.source_topic, route.partition, offsets.tolist())
    return buckets(route.salt, hashed) < route.candidate_weight


def _keys_of(view: View, rows: slice) -> Keys:
    return view.keys[rows], view.bucket_column[rows] if view.bucket_column is not None else None


def _wants_other(rows: _Rows, live: View, other: View, route: Route) -> Bool:
    if not len(live.offsets):
        return _routed_to_other(route, partial(_keys_of, other, slice(None)), rows.offsets)
    return _routed_to_other(route, lambda: _mixed_keys(rows, live, other), rows.offsets)


def _mixed_keys(rows: _Rows, live: View, other: View) -> Keys:
    """Each event's key from live's row, or the other's where live has none; both carry the same."""
    keys: list[bytes | None] = []
    column: list[Carried] = []
    for live_row, other_row in zip(rows.live_rows.tolist(), rows.other_rows.tolist(), strict=True):
        view, row = (live, live_row) if live_row >= 0 else (other, other_row)
        keys.append(view.keys[row])
        column.append(view.bucket_column[row] if view.bucket_column is not None else None)
    by_field = live.bucket_column is not None or other.bucket_column is not None
    return keys, column if by_field else None


def _decide(
    rows: _Rows, wants: Bool, sample_upto: int, route: Route, other_counts: bool
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int8]]:
    """Each row's act, and its reason as an index into WHY_NAMES: one look into the table of P14-P17."""
    missing = np.where(rows.offsets <= sample_upto, table.SAMPLED, table.MISSING)
    live_state = np.where(rows.live_known, missing, table.UNKNOWN)
    live_state = np.where(rows.live_ok, table.OK, np.where(rows.live_error, table.ERROR, live_state))
    other_state = np.where(rows.other_known | (not other_counts), table.MISSING, table.UNKNOWN)
    other_state = np.where(rows.other_ok, table.OK, np.where(rows.other_error, table.ERROR, other_state))
    acts, whys = table.lookup(route.live_falls_back and other_counts, route.late)
    code = table.case(wants, live_state, other_state)
    return acts[code], whys[code]


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
