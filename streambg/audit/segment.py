"""One epoch's outcomes in a window against the rows of both colors: arrays where all is plain, else one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from streambg.audit.answers import Answer, Rows, State
from streambg.audit.columns import Column
from streambg.audit.judge import Blind, Case, Judgement, Problem, judge_letter, judge_output, may_be_letter
from streambg.audit.parsing import Says, distinct
from streambg.audit.route import ALL, Route, bucket_of, buckets_of, hashed_bytes, hashed_column
from streambg.audit.tally import Check, Kind, Tally
from streambg.control.state import AcceptedGap, Deployment
from streambg.records.outcome import GIVEN_UP, short_digest
from streambg.records.source import COLORS, other

Int64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]
T = TypeVar("T")

# what a header says, seen from the route: the live deployment's `route`, the other's, or anything to look at closely
BY_LIVE, BY_OTHER, CLOSELY = 0, 1, 2
LIVE, OTHER, NOBODY_KNOWS = 0, 1, -1
# the reasons of a dead letter in an accepted gap
NOBODYS = dict.fromkeys(COLORS, GIVEN_UP)


@dataclass(frozen=True, slots=True)
class Window:
    """Source offsets (after, upto]. offsets int64 (n,) and keys of the input's records; None where they are gone."""

    after: int
    upto: int
    offsets: Int64 | None
    keys: Sequence[bytes | None]


class Segment:
    """One epoch's part of a window.

    `fetch(deployment)` reads the accepted rows of that part; `gaps` were given up by then.
    """

    def __init__(
        self,
        route: Route,
        window: Window,
        prefix: bytes,
        fetch: Callable[[Deployment], Rows],
        tally: Tally,
        times_say: bool,
        gaps: Sequence[AcceptedGap],
    ) -> None:
        self.route = route
        self._window = window
        self._prefix = prefix
        self._fetch = fetch
        self._tally = tally
        self._times_say = times_say
        self._gaps = gaps

    @cached_property
    def _live(self) -> Rows:
        return self._fetch(self.route.live)

    @cached_property
    def _other(self) -> Rows | None:
        return self._fetch(self.route.other) if self.route.other else None

    # -- who was to answer ---------------------------------------------------------------------------------------

    def _chosen(self, offsets: Int64) -> npt.NDArray[np.int8]:
        """LIVE, OTHER or NOBODY_KNOWS for each offset."""
        weight, candidate = self.route.weight, self.route.other
        if weight == 0 or candidate is None:
            return np.full(len(offsets), LIVE, np.int8)
        if weight >= ALL:
            return np.full(len(offsets), OTHER, np.int8)
        at, found = _locate(self._live.offsets, offsets)
        if found.all():
            keys = _pick(self._live.keys, at)
            carried = None if self._live.carried is None else _pick(self._live.carried, at)
            hashed = hashed_column(keys, carried, self._prefix, offsets.tolist())
            return (buckets_of(hashed, candidate.id) < weight).astype(np.int8)
        return np.array([self._chosen_one(offset) for offset in offsets.tolist()], np.int8)

    def _chosen_one(self, offset: int) -> int:
        hashed = self._hashed(offset)
        if hashed is None or self.route.other is None:
            return NOBODY_KNOWS
        return OTHER if bucket_of(hashed, self.route.other.id) < self.route.weight else LIVE

    def _hashed(self, offset: int) -> bytes | None:
        """What the bucket hashes: from live's row, else from the other's, else from the input's key."""
        by_field, source = self.route.bucket_field is not None, self._prefix + b"%d" % offset
        for rows in (self._live, self._other):
            if rows is not None and (row := rows.row(offset)) is not None:
                return hashed_bytes(rows.keys[row], rows.carried[row] if rows.carried else None, by_field, source)
        if by_field or self._window.offsets is None:
            return None
        at, found = _locate(self._window.offsets, np.array([offset], np.int64))
        return hashed_bytes(self._window.keys[at[0]], None, False, source) if found[0] else None

    def _case(self, offset: int, chosen: int, time_ms: int | None) -> Case:
        live_color = self.route.live.color
        color = other(live_color) if chosen == OTHER else live_color
        theirs = self._other.at(offset) if self._other is not None else Answer(State.NEVER)
        answers = {live_color: self._live.at(offset), other(live_color): theirs}
        return Case(self.route, color, self._why_chosen(offset), answers, time_ms)

    def _why_chosen(self, offset: int) -> str:
        route = self.route
        if route.other is None or not 0 < route.weight < ALL:
            return f"{route.live.color} is live at epoch {route.epoch}, weight {route.weight}"
        hashed = self._hashed(offset)
        bucket = "unknown" if hashed is None else bucket_of(hashed, route.other.id)
        return f"bucket {bucket}, {route.other.color} gets those below weight {route.weight} at epoch {route.epoch}"

    # -- output records ------------------------------------------------------------------------------------------

    def outputs(self, column: Column) -> None:
        """Judge the published records of this epoch."""
        if not len(column):
            return
        chosen = self._chosen(column.offsets)
        marks = self._marks(column.says)
        live_at, live_ok = _usable(self._live, column.offsets)
        plain = (chosen == LIVE) & (marks == BY_LIVE) & live_ok
        pool, at = self._live.values, live_at
        if (chosen == OTHER).any() and self._other is not None:
            other_at, other_ok = _usable(self._other, column.offsets)
            plain |= (chosen == OTHER) & (marks == BY_OTHER) & other_ok
            pool, at = [*pool, *self._other.values], np.where(chosen == OTHER, other_at + len(pool), at)
        self._compare(column, np.flatnonzero(plain), pool, at)
        for row in np.flatnonzero(~plain).tolist():
            self._closely(column, row, int(chosen[row]))
        self._keys(column, "output")

    def _marks(self, says: list[Says]) -> npt.NDArray[np.int8]:
        marks = {id(said): self._mark(said) for said, _ in distinct(says)}
        if len(marks) == 1:
            return np.full(len(says), marks[id(says[0])], np.int8)
        return np.fromiter(map(marks.__getitem__, map(id, says)), np.int8, len(says))

    def _mark(self, said: Says) -> int:
        if said.why != "route" or self._other_model(said) is not None:
            return CLOSELY
        return BY_LIVE if said.color == self.route.live.color else BY_OTHER

    def _other_model(self, said: Says) -> str | None:
        """The deployment that the color had at this epoch, where the header names another one."""
        deployment = self.route.deployment(said.color)
        if deployment is None:
            return f"nothing in {said.color}"
        named = f"{deployment.model} {short_digest(deployment.digest)}"
        return None if named == f"{said.model} {said.digest}" else f"{said.color} {named}"

    def _compare(self, column: Column, plain: Int64, pool: list[bytes], at: Int64) -> None:
        expected = _pick(pool, at[plain])
        values: Sequence[bytes | None] = column.values if len(plain) == len(column) else _pick(column.values, plain)
        if values == expected:
            return
        for row, (value, right) in zip(plain.tolist(), zip(values, expected, strict=True), strict=True):
            if value != right:
                self._closely(column, row, OTHER if at[row] >= len(self._live.values) else LIVE)

    def _closely(self, column: Column, row: int, chosen: int) -> None:
        offset, said = int(column.offsets[row]), column.says[row]
        deployed = self._other_model(said)
        judgement: Judgement
        if deployed is not None:
            expected = f"{deployed} at epoch {self.route.epoch}"
            judgement = Problem(Kind.WRONG_COLOR, expected, f"{said.color} {said.model} {said.digest}")
        elif chosen == NOBODY_KNOWS or said.why is None:
            judgement = Blind(Check.ANSWER)
        else:
            case = self._case(offset, chosen, column.times[row] if self._times_say else None)
            judgement = judge_output(case, said.color, said.why, column.values[row] or b"")
        self._take(judgement, "output", column, row)

    # -- dead letters --------------------------------------------------------------------------------------------

    def letters(self, column: Column) -> None:
        """Judge the dead letters of this epoch."""
        chosen = self._chosen(column.offsets)
        for row, offset in enumerate(column.offsets.tolist()):
            judgement: Judgement = Blind(Check.ANSWER)
            said = column.says[row]
            if said.reasons == NOBODYS and self._given_up(offset):
                judgement = None  # no color was asked
            elif chosen[row] != NOBODY_KNOWS:
                case = self._case(offset, int(chosen[row]), column.times[row])
                judgement = judge_letter(case, said.color, said.reasons)
            self._take(judgement, "dead-letters", column, row)
        self._keys(column, "dead-letters")

    def may_be_letter(self, offset: int) -> bool:
        """Could this event, which has no outcome, have ended as a dead letter?"""
        if self._given_up(offset):
            return True
        chosen = self._chosen_one(offset) if 0 < self.route.weight < ALL else int(self.route.weight > 0)
        return chosen == NOBODY_KNOWS or may_be_letter(self._case(offset, chosen, None))

    def _given_up(self, offset: int) -> bool:
        """P29: was it part of a gap that a command accepted?"""
        return any(gap.first <= offset < gap.end for gap in self._gaps)

    # -- both ----------------------------------------------------------------------------------------------------

    def _keys(self, column: Column, role: str) -> None:
        """The key is the event's."""
        if not len(column):
            return
        have = self._window.offsets
        at, found = _locate(have if have is not None else self._live.offsets, column.offsets)
        keys = self._window.keys if have is not None else self._live.keys
        if found.all() and _pick(keys, at) == column.keys:
            return
        for row in np.flatnonzero(found).tolist():
            if keys[at[row]] != column.keys[row]:
                problem = Problem(Kind.WRONG_VALUE, f"key {keys[at[row]]!r}", f"key {column.keys[row]!r}")
                self._take(problem, role, column, row)

    def _take(self, judgement: Judgement, role: str, column: Column, row: int) -> None:
        offset = int(column.offsets[row])
        if isinstance(judgement, Blind):
            self._tally.blind(judgement.check, offset)
        elif judgement is not None:
            record = f"{role}/{self._tally.partition}@{column.log_offsets[row]}"
            self._tally.add(judgement.kind, offset, judgement.expected, judgement.found, record)


def _locate(have: Int64, wanted: Int64) -> tuple[Int64, Bool]:
    """Row number of each wanted offset, and whether it is there."""
    if not len(have):
        return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), np.bool_)
    at = np.minimum(np.searchsorted(have, wanted), len(have) - 1)
    return at, have[at] == wanted


def _usable(rows: Rows, wanted: Int64) -> tuple[Int64, Bool]:
    """Row number of each wanted offset, and whether an ok row stands there."""
    at, found = _locate(rows.offsets, wanted)
    return at, found & rows.ok[at] if len(rows.offsets) else found


def _pick(items: Sequence[T], at: Int64) -> list[T]:
    if len(at) and at[-1] - at[0] + 1 == len(at) and (np.diff(at) == 1).all():
        return list(items[int(at[0]) : int(at[-1]) + 1])
    return [items[index] for index in at.tolist()]
