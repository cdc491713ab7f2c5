"""The other side of a comparison, window by window: what was published, or a color's stored predictions. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from streambg.audit.columns import Column
from streambg.audit.parsing import Says, distinct_rows
from streambg.audit.stream import Stream
from streambg.comparing.side import Part, part_of
from streambg.deciding.grid import Floats, Ints
from streambg.records.batch import ERROR, OK, Batch
from streambg.records.foreign import decoded
from streambg.records.outcome import GIVEN_UP
from streambg.records.source import Color
from streambg.replaying.contender import Contender
from streambg.replaying.plan import AGAINST_ID, Deployed, Lane
from streambg.replaying.proof import Published
from streambg.replaying.stored import Stored
from streambg.scoring.batching import Polled

NOBODY = -1
# Rows that are no answer of their side's: scores that nobody can read (a value of the team's own whose prediction has
# expired, a prediction of other outputs than today's), and dead letters of a gap that was given up (P29).
UNREADABLE, GIVEN_UP_GAP = "unreadable", "given-up"
MUTE = (UNREADABLE, GIVEN_UP_GAP)


@dataclass(frozen=True, slots=True)
class Baseline:
    """The other side's rows of (low, high]. came: events of the input, by what they came to (`recorded.Counts`).

    silent: events that the other side owes and has nothing comparable for; the others say nothing.
    missing: by why, the source offsets of the events without a row, or with one that says nothing of its side
    (`MUTE`): published, so the proof looks at it, and no evidence.
    """

    part: Part
    published: Published
    came: Counter[str] = field(default_factory=Counter)
    answering: Counter[tuple[str, int]] = field(default_factory=Counter)
    silent: int = 0
    missing: Mapping[str, Ints] = field(default_factory=dict)

    def comparable(self) -> Part:
        """The rows that say something: all of `part` but the mute ones."""
        mute = [self.missing[why] for why in MUTE if why in self.missing]
        if not mute:
            return self.part
        return _only(self.part, ~np.isin(self.part.offsets, np.concatenate(mute)))


class Against(Protocol):
    """`take` in ascending windows. events: the window's, model: the model's rows of them, whose carry is theirs."""

    def take(self, low: int, high: int, events: Polled, model: Part) -> Baseline: ...


class AgainstColor:
    """A color's stored predictions: of its deployment that began last below each event.

    begins: (source offset that its answers begin above, deployment), ascending.
    """

    def __init__(self, color: Color, stored: Stored, begins: Sequence[tuple[int, int]], outputs: int) -> None:
        self._color = color
        self._stored = stored
        self._begins = list(begins)
        self._outputs = outputs

    def take(self, low: int, high: int, events: Polled, model: Part) -> Baseline:
        pieces: list[tuple[Batch, int, int]] = []
        whose: list[Ints] = [np.empty(0, np.int64)]
        stored: dict[int, Part] = {}
        for number, (after, deployment) in enumerate(self._begins):
            upto = self._begins[number + 1][0] if number + 1 < len(self._begins) else high
            first, last = max(low, after), min(high, upto)
            if first >= last:
                continue
            part = self._stored.part(self._color, deployment, first, last)
            pieces += part.pieces
            whose.append(np.full(len(part), deployment, np.int64))
            stored[deployment] = part
        deployments = np.concatenate(whose)
        part = part_of(pieces, self._outputs)
        missing = _without(model.offsets, part.offsets)
        answering = Counter[tuple[str, int]]({(self._color, each): int((deployments == each).sum()) for each in stored})
        unreadable = _unreadable(part, model)
        silent = sum(map(len, unreadable.values()))
        missing_by = {"unanswered": missing, **unreadable}
        return Baseline(part, Published(deployments, stored), Counter(), answering, silent, missing_by)


class AgainstPublished:
    """What production published: output records and dead letters, with the scores that belong to them."""

    def __init__(
        self,
        outputs: Stream,
        letters: Stream,
        stored: Stored,
        lane: Lane,
        deployed: Mapping[int, Sequence[Deployed]],
        names: tuple[str, ...],
    ) -> None:
        self._outputs, self._letters = outputs, letters
        self._stored = stored
        self._lane = lane
        self._deployed = deployed
        self._names = names
        self._scores = _Scores(names)

    def take(self, low: int, high: int, events: Polled, model: Part) -> Baseline:
        outputs, _ = self._outputs.take(high)
        letters, _ = self._letters.take(high)
        outputs, letters = outputs.between(low, high), letters.between(low, high)
        came, answering = Counter[str](), Counter[tuple[str, int]]()
        said, which = distinct_rows(outputs.says)
        deployments = [self._deployment(each) for each in said]
        for each, deployment, number in zip(said, deployments, np.bincount(which).tolist(), strict=True):
            came[each.why or ""] += number
            answering[each.color, deployment] += number
        whose = np.array(deployments, np.int64)[which]
        came["dead-letter"] += len(letters)
        stored = self._stored_rows(answering, low, high)
        scores = self._scored(outputs, whose, stored)
        joined = _joined(outputs, whose, scores, letters, self._letters_whose(letters))
        part = _with_events(joined, events, model, len(self._names))
        missing = self._missing(_without(model.offsets, part.offsets))
        given_up = letters.offsets[[said.reasons.get(said.color) == GIVEN_UP for said in letters.says]]
        if len(given_up):
            missing[GIVEN_UP_GAP] = given_up
            came["dead-letter"] -= len(given_up)
        for why, offsets in missing.items():
            came[why] += len(offsets)
        missing |= _unreadable(part, model)  # these came to an answer
        silent = sum(len(missing.get(why, ())) for why in ("lost", UNREADABLE))
        by_id = {deployment: rows for (_, deployment), rows in stored.items()}
        return Baseline(part, Published(joined.whose, by_id), +came, answering, silent, missing)

    def _deployment(self, said: Says) -> int:
        slots = self._deployed.get(said.epoch, ())
        return next((each.id for each in slots if each.color == said.color), NOBODY)

    def _letters_whose(self, column: Column) -> Ints:
        """A dead letter is its chosen color's answer, unless it stands for an event that was given up (P29)."""
        found = [NOBODY if said.reasons.get(said.color) == GIVEN_UP else self._deployment(said) for said in column.says]
        return np.array(found, np.int64)

    def _stored_rows(self, answering: Counter[tuple[str, int]], low: int, high: int) -> dict[tuple[str, int], Part]:
        return {
            (color, deployment): self._stored.part(color, deployment, low, high)  # type: ignore[arg-type] # as parsed
            for color, deployment in sorted(answering)
            if deployment != NOBODY
        }

    def _scored(self, column: Column, whose: Ints, stored: Mapping[tuple[str, int], Part]) -> Floats:
        """From the predictions; where they have expired, from the published value, if that has them."""
        scores = np.full((len(column), len(self._names)), np.nan)
        known = np.zeros(len(column), np.bool_)
        for (_, deployment), part in stored.items():
            if len(part) == 0:
                continue
            mine = np.flatnonzero(whose == deployment)
            at = np.searchsorted(part.offsets, column.offsets[mine])
            inside = at < len(part)
            hit = np.zeros(len(mine), np.bool_)
            hit[inside] = part.offsets[at[inside]] == column.offsets[mine[inside]]
            scores[mine[hit]] = part.scores[at[hit]]
            known[mine[hit]] = True
        left = np.flatnonzero(~known)
        if len(left):
            scores[left] = self._scores.read([column.values[row] for row in left.tolist()])
        return scores

    def _missing(self, offsets: Ints) -> dict[str, Ints]:
        lane = self._lane
        before = offsets < lane.origin
        unsettled = ~before & (offsets > lane.settled)
        expired = ~before & ~unsettled & (offsets < lane.outcomes_from)
        kinds = {"before-origin": before, "unsettled": unsettled, "expired": expired}
        kinds["lost"] = ~before & ~unsettled & ~expired
        return {why: offsets[which] for why, which in kinds.items() if which.any()}


class _Scores:
    """Reads scores back from the default JSON of an answer; a float's shortest text is the float, to the last bit."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._fields = [f"o{at}" for at in range(len(names))]
        line = msgspec.defstruct(
            "Line",
            [(name, float) for name in self._fields],
            rename=dict(zip(self._fields, names, strict=True)),
            gc=False,
        )
        self._decode = msgspec.json.Decoder(line).decode

    def read(self, values: Sequence[bytes | None]) -> Floats:
        """float64 (n, outputs); NaN where a value is none."""
        rows = [self._row(value) for value in values]
        return np.array(rows, np.float64).reshape(len(rows), len(self._fields))

    def _row(self, value: bytes | None) -> list[float]:
        try:
            line: Any = decoded(self._decode, value or b"")
        except ValueError:
            return [np.nan] * len(self._fields)
        return [getattr(line, name) for name in self._fields]


@dataclass(frozen=True, slots=True)
class _Joined:
    """Outputs and dead letters in source order, n of them. values: a dead letter's is its chosen color's reason."""

    offsets: Ints
    whose: Ints
    statuses: npt.NDArray[np.uint8]
    scores: Floats
    values: list[bytes]


def _joined(outputs: Column, whose: Ints, scores: Floats, letters: Column, letters_whose: Ints) -> _Joined:
    values = [value or b"" for value in outputs.values]
    statuses: npt.NDArray[np.uint8] = np.full(len(outputs), OK, np.uint8)
    if len(letters) == 0:
        return _Joined(outputs.offsets, whose, statuses, scores, values)
    reasons = [said.reasons.get(said.color, "").encode() for said in letters.says]
    order = np.argsort(np.concatenate((outputs.offsets, letters.offsets)), kind="stable")
    both = [*values, *reasons]
    return _Joined(
        np.concatenate((outputs.offsets, letters.offsets))[order],
        np.concatenate((whose, letters_whose))[order],
        np.concatenate((statuses, np.full(len(letters), ERROR, np.uint8)))[order],
        np.concatenate((scores, np.full((len(letters), scores.shape[1]), np.nan)))[order],
        [both[at] for at in order.tolist()],
    )


def _with_events(joined: _Joined, events: Polled, model: Part, outputs: int) -> Part:
    """As one color's rows. Times, keys and carried fields are those of the events: an outcome's key is its event's.

    0 and None where an outcome has no event any more.
    """
    offsets = joined.offsets
    if len(offsets) == 0:
        return part_of([], outputs)
    times, keys = model.times, events.keys
    carry = {name: model.column(name) for name in (model.pieces[0][0].carry if model.pieces else ())}
    if not np.array_equal(offsets, model.offsets):
        at = np.searchsorted(model.offsets, offsets)
        inside = at < len(model)
        hit = np.zeros(len(offsets), np.bool_)
        hit[inside] = model.offsets[at[inside]] == offsets[inside]
        times = np.zeros(len(offsets), np.int64)
        times[hit] = model.times[at[hit]]
        rows = [row if there else None for row, there in zip(at.tolist(), hit.tolist(), strict=True)]
        keys = [None if row is None else events.keys[row] for row in rows]
        carry = {name: [None if row is None else column[row] for row in rows] for name, column in carry.items()}
    low, high = int(offsets[0]) - 1, int(offsets[-1])
    batch = Batch(
        AGAINST_ID, low, high, False, 0, 0, offsets, times, joined.statuses, joined.scores, keys, joined.values, carry
    )
    return part_of([(batch, 0, len(batch))], outputs)


def _without(offsets: Ints, found: Ints) -> Ints:
    """Those of ascending `offsets` that are not among `found`."""
    return offsets[:0] if np.array_equal(offsets, found) else np.setdiff1d(offsets, found, assume_unique=True)


def _unreadable(part: Part, model: Part) -> dict[str, Ints]:
    """Of the events, those whose answer has no score for each output."""
    mute = part.ok & ~np.isfinite(part.scores).all(axis=1)
    return {UNREADABLE: np.intersect1d(part.offsets[mute], model.offsets, assume_unique=True)} if mute.any() else {}


def _only(part: Part, kept: npt.NDArray[np.bool_]) -> Part:
    """These rows of a part."""
    pieces: list[tuple[Batch, int, int]] = []
    first = 0
    for batch, begin, end in part.pieces:
        # where runs of kept rows begin, and end
        edges = np.flatnonzero(np.diff(kept[first : first + end - begin], prepend=False, append=False)) + begin
        pieces += [(batch, low, high) for low, high in edges.reshape(-1, 2).tolist()]
        first += end - begin
    return part_of(pieces, part.scores.shape[1])


class AgainstModel:
    """Another model's answers to the same events."""

    def __init__(self, contender: Contender) -> None:
        self._contender = contender

    def take(self, low: int, high: int, events: Polled, model: Part) -> Baseline:
        part = self._contender.part(low, events)
        return Baseline(part, Published(np.full(len(part), NOBODY, np.int64), {}))
