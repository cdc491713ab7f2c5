"""One color's answers in one partition, folded with the audit's own code (P8, P9, P12, P34).

The lane reads batches in log order, one deployment after the other: behind the first batch of a newer deployment an
older one's are a zombie's, and no publisher can have used them (P12). It keeps only what the window under judgement
needs.
"""

from __future__ import annotations

import bisect
import itertools
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto

import numpy as np
import numpy.typing as npt

from streambg.audit.history import Deployed
from streambg.audit.sources import Chunk
from streambg.records.batch import OK, BadBatch, Batch, Carried, decode
from streambg.records.source import Color

EVERYTHING = 2**62  # above every source offset


class State(Enum):
    """What the fold says of one color's answer to one event."""

    OK = auto()
    ERROR = auto()
    NO_ROW = auto()  # covered by a complete batch that has no row: live says "not in the input" (P9)
    UNANSWERED = auto()  # covered by a sample, or before the deployment's first batch (P9)
    NEVER = auto()  # not covered while the deployment was in force
    UNKNOWN = auto()  # the batches that say so are gone: not auditable (P35)


@dataclass(frozen=True, slots=True)
class Answer:
    """`value`: bytes to publish, or an error row's reason; `since_ms`: when the broker appended the batch."""

    state: State
    value: bytes = b""
    since_ms: int | None = None


@dataclass(frozen=True, slots=True)
class _Piece:
    """What an accepted batch adds: rows [lo, hi) for the source offsets (after, upto]."""

    after: int
    upto: int
    sample: bool
    since_ms: int | None
    batch: Batch
    lo: int


@dataclass(frozen=True, slots=True)
class Rows:
    """The accepted rows of one deployment for the source offsets (after, upto].

    offsets int64 (n,) ascending, ok bool (n,), values and keys n each; carried: the bucket field's column, None where
    buckets hash the key. known_from: what lies at or below cannot be judged. first_after: the deployment's answers
    begin above it, None where no batch of it stands in the log.
    """

    offsets: npt.NDArray[np.int64]
    ok: npt.NDArray[np.bool_]
    values: list[bytes]
    keys: list[bytes | None]
    carried: list[Carried] | None
    covered: int | None
    first_after: int | None
    first_since_ms: int | None
    known_from: int
    pieces: list[_Piece]

    def row(self, offset: int) -> int | None:
        """Its row number, where there is one."""
        row = int(np.searchsorted(self.offsets, offset))
        return row if row < len(self.offsets) and self.offsets[row] == offset else None

    def at(self, offset: int) -> Answer:
        """The answer to one event, with what a missing row means."""
        if offset <= self.known_from:
            return Answer(State.UNKNOWN)
        if self.covered is None or self.first_after is None:
            return Answer(State.NEVER)
        if offset <= self.first_after:
            return Answer(State.UNANSWERED, since_ms=self.first_since_ms)
        if offset > self.covered:
            return Answer(State.NEVER)
        at = bisect.bisect_left(self.pieces, offset, key=lambda piece: piece.upto)
        piece = self.pieces[at]
        if (row := self.row(offset)) is not None:
            return Answer(State.OK if self.ok[row] else State.ERROR, self.values[row], piece.since_ms)
        return Answer(State.UNANSWERED if piece.sample else State.NO_ROW, since_ms=piece.since_ms)


def no_rows(known_from: int = -1) -> Rows:
    """Of a deployment that has no batch; `known_from` EVERYTHING where nobody can say."""
    return Rows(np.empty(0, np.int64), np.empty(0, np.bool_), [], [], None, None, None, None, known_from, [])


@dataclass(frozen=True, slots=True)
class _Next:
    """A batch that was read and not folded yet; `since_ms` None where no broker dated it."""

    batch: Batch
    since_ms: int | None
    log_offset: int


class Lane:
    """The predictions of one color in one partition. Ask with deployments and offsets that never go back.

    chunks: from log offset `begin` on; where they end they may go on later. deployments: may grow meanwhile.
    """

    def __init__(
        self,
        color: Color,
        chunks: Iterator[Chunk],
        begin: int,
        deployments: Mapping[Deployed, int],
    ) -> None:
        self._color: Color = color
        self._chunks = chunks
        self._raw: deque[tuple[int, bytes | None, int | None]] = deque()  # read, not decoded yet
        self._held: _Next | None = None
        self._deployments = deployments  # when the command of each was appended
        self._truncated = begin > 0
        self._oldest_ms: int | None = None  # when the oldest record that is still there was appended
        self._deployment = -1
        self._covered: int | None = None
        self._first_after: int | None = None
        self._first_since_ms: int | None = None
        self._known_from = -1
        self._pieces: deque[_Piece] = deque()

    def rows(self, deployment: int, after: int, upto: int, bucket_field: str | None) -> Rows:
        """The accepted rows for (after, upto]; reads as far as needed."""
        if deployment < self._deployment:
            return no_rows(EVERYTHING)  # the log has passed it: only an epoch that goes back asks for it
        if deployment > self._deployment:
            self._begin(deployment)
        while self._pieces and self._pieces[0].upto <= after:
            self._pieces.popleft()
        self._fold_to(after, upto)
        return self._window(after, upto, bucket_field)

    def close(self) -> None:
        """Forget what was read and not asked for; the reader behind it is a cycle that would keep it for a while."""
        self._pieces.clear()
        self.pause()

    def pause(self) -> int | None:
        """Forget what was read and not folded; the log offset to go on from, None where nothing was forgotten."""
        waiting = [self._held.log_offset] if self._held else [offset for offset, _, _ in itertools.islice(self._raw, 1)]
        self._held = None
        self._raw.clear()
        return waiting[0] if waiting else None

    def _begin(self, deployment: int) -> None:
        self._deployment = deployment
        self._covered = self._first_after = self._first_since_ms = None
        self._pieces.clear()
        self._peek()
        # its batches came after its command: if an older record is still there, none of them is gone
        complete = not self._truncated or (
            self._oldest_ms is not None and self._oldest_ms < self._deployments[Deployed(self._color, deployment)]
        )
        self._known_from = -1 if complete else EVERYTHING

    def _fold_to(self, after: int, upto: int) -> None:
        while self._covered is None or self._covered < upto:
            following = self._peek()
            if following is None or following.batch.deployment > self._deployment:
                return
            self._held = None
            if following.batch.deployment == self._deployment:
                self._fold(following, after)

    def _fold(self, following: _Next, needed_after: int) -> None:
        """P8: the first batch says where the answers begin; a repeat adds nothing; a hole is not accepted."""
        batch, since = following.batch, following.since_ms
        reached = self._covered
        if reached is None:
            reached = self._first_after = batch.after
            self._first_since_ms = since
            if self._known_from == EVERYTHING:
                # Its older batches are gone, and this one may repeat them. (A scorer that fell back by several batches
                # exactly here is not seen; its answers are the same, unless its model broke its contract.)
                self._known_from = batch.upto
        if batch.after > reached or batch.upto <= reached:
            self._covered = reached
            return
        self._covered = batch.upto
        if batch.upto > max(needed_after, self._known_from):
            lo = int(np.searchsorted(batch.offsets, reached, "right")) if batch.after < reached else 0
            self._pieces.append(_Piece(reached, batch.upto, batch.sample, since, batch, lo))

    def _window(self, after: int, upto: int, bucket_field: str | None) -> Rows:
        parts: list[tuple[Batch, int, int]] = []
        for piece in self._pieces:
            lo, hi = piece.lo, len(piece.batch)
            if piece.after < after:
                lo = max(lo, int(np.searchsorted(piece.batch.offsets, after, "right")))
            if piece.upto > upto:
                hi = int(np.searchsorted(piece.batch.offsets, upto, "right"))
            if lo < hi:
                parts.append((piece.batch, lo, hi))
        empty = no_rows()
        return Rows(
            np.concatenate([batch.offsets[lo:hi] for batch, lo, hi in parts]) if parts else empty.offsets,
            np.concatenate([batch.statuses[lo:hi] for batch, lo, hi in parts]) == OK if parts else empty.ok,
            [value for batch, lo, hi in parts for value in batch.values[lo:hi]],
            [key for batch, lo, hi in parts for key in batch.keys[lo:hi]],
            _carried(parts, bucket_field),
            self._covered,
            self._first_after,
            self._first_since_ms,
            self._known_from,
            list(self._pieces),
        )

    def _peek(self) -> _Next | None:
        """The next batch of this color's deployments; what is none, or of a deployment nobody made, counts for nothing.

        One at a time is decoded: a chunk of them would be millions of answers.
        """
        while self._held is None:
            while not self._raw:
                if not self._fetch():
                    return None
            offset, value, time = self._raw.popleft()
            try:
                batch = decode(value or b"")
            except BadBatch:
                continue
            if Deployed(self._color, batch.deployment) in self._deployments:
                self._held = _Next(batch, time, offset)
        return self._held

    def _fetch(self) -> bool:
        chunk = next(self._chunks, None)
        if chunk is None:
            return False
        if self._oldest_ms is None and chunk.times:
            self._oldest_ms = chunk.times[0]
        times = chunk.times if chunk.log_append else [None] * len(chunk)
        self._raw.extend(zip(chunk.offsets, chunk.values, times, strict=True))
        return True


def _carried(parts: list[tuple[Batch, int, int]], name: str | None) -> list[Carried] | None:
    if name is None:
        return None
    column: list[Carried] = []
    for batch, lo, hi in parts:
        values = batch.carry.get(name)
        column.extend(values[lo:hi] if values is not None else [None] * (hi - lo))
    return column
