"""Output records and dead letters as columns: the source offset, and what the outcome says of itself.

Headers of one run differ only in the offset, so the rest is parsed once and looked up from then on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from streambg.audit.history import LARGEST, NO_EPOCH
from streambg.audit.sources import Chunk
from streambg.records.foreign import decoded
from streambg.records.outcome import Outcome, Why, parse_header
from streambg.records.source import Color, parse_source


class Status(IntEnum):
    """What a record is, before anybody looks at what it answers."""

    OUTCOME = 0
    FOREIGN = 1  # not of this pipeline, or unreadable
    WRONG_PARTITION = 2  # the event stands in another partition
    SUPERSEDES = 3  # republished on purpose, counted apart


@dataclass(frozen=True, slots=True)
class Says:
    """What a header says beside the offset. For a dead letter `color` is the chosen one and `reasons` both colors'."""

    color: Color
    epoch: int
    why: Why | None
    model: str = ""
    digest: str = ""
    reasons: dict[str, str] = field(default_factory=dict)


NOTHING = Says("blue", NO_EPOCH, None)  # stands for what a foreign record does not say


def distinct(says: list[Says]) -> list[tuple[Says, int]]:
    """Each of them once, with how often it is there. By identity: runs share one object, and hashing costs more."""
    ids = list(map(id, says))
    return [(says[ids.index(which)], number) for which, number in Counter(ids).items()]


def distinct_rows(says: list[Says]) -> tuple[list[Says], npt.NDArray[np.int64]]:
    """Each of them once, and for each row which of these it is, int64 (n,). By identity, too."""
    ids = np.fromiter(map(id, says), np.int64, len(says))
    _, first, which = np.unique(ids, return_index=True, return_inverse=True)
    return [says[at] for at in first.tolist()], which


@dataclass(frozen=True, slots=True)
class Parsed:
    """n records of one partition: statuses uint8 (n,), offsets int64 (n,), epochs int64 (n,), says n."""

    chunk: Chunk
    statuses: npt.NDArray[np.uint8]
    offsets: npt.NDArray[np.int64]
    epochs: npt.NDArray[np.int64]
    says: list[Says]  # NOTHING where a record is foreign

    def __len__(self) -> int:
        return len(self.says)

    def only(self, rows: npt.NDArray[np.int64]) -> Parsed:
        """These rows."""
        at, chunk = rows.tolist(), self.chunk
        kept = Chunk(
            [chunk.offsets[row] for row in at],
            [chunk.keys[row] for row in at],
            [chunk.times[row] for row in at],
            [chunk.values[row] for row in at],
            [chunk.headers[row] for row in at] if chunk.headers else [],
            chunk.log_append,
        )
        return Parsed(kept, self.statuses[rows], self.offsets[rows], self.epochs[rows], [self.says[row] for row in at])


# A thousand epochs, both colors, all reasons: 8,000, some hundred bytes each. Forged headers must not fill the memory.
KNOWN = 10_000
# Of one chunk: rests, and numbers of digits. For so many a table each costs what parsing them one by one does.
MOST_RESTS = 32
# The longest names of a topic and a model, and what stands beside them, several times; a forged one may be anything.
MOST_BYTES = 1_024
# Of a number that int64 holds whatever its digits.
MOST_DIGITS = 18
Parser = Callable[[Chunk], Parsed]


class HeaderParser:
    """Parses output records of one partition."""

    def __init__(self, input_topic: str, partition: int) -> None:
        self._topic = input_topic
        self._partition = partition
        self._prefix = b"%s/%d@" % (input_topic.encode(), partition)
        self._known: dict[bytes, Says] = {}

    def __call__(self, chunk: Chunk) -> Parsed:
        return self._at_once(chunk) or self._one_by_one(chunk)

    def _at_once(self, chunk: Chunk) -> Parsed | None:
        """All of this partition and plain; None where one is not."""
        headers = chunk.headers
        if not headers or None in headers:
            return None
        found = _read(headers, self._prefix)  # type: ignore[arg-type] # none of them is None
        if found is None or not self._learn(set(found.rests)):
            return None
        said = [self._known[rest] for rest in found.rests]
        epochs = np.array([each.epoch for each in said], np.int64)[found.which]
        says = list(map(said.__getitem__, found.which.tolist()))
        return Parsed(chunk, np.zeros(len(chunk), np.uint8), found.offsets, epochs, says)

    def _learn(self, rests: set[bytes]) -> bool:
        """Are all of these plain? Then they are known from now on."""
        if len(self._known) > KNOWN:
            self._known.clear()
        for rest in rests - self._known.keys():
            outcome = _outcome(self._prefix + b"0 " + rest)
            if outcome is None or outcome.why == "supersedes" or not _fits(0, outcome.epoch):
                return False
            self._known[rest] = _says(outcome)
        return True

    def _one_by_one(self, chunk: Chunk) -> Parsed:
        rows: list[tuple[Status, int, int, Says]] = []
        for header in chunk.headers:
            outcome = _outcome(header or b"")
            if (
                outcome is None
                or outcome.source.topic != self._topic
                or not _fits(outcome.source.offset, outcome.epoch)
            ):
                rows.append((Status.FOREIGN, 0, NO_EPOCH, NOTHING))
                continue
            status = Status.OUTCOME
            if outcome.source.partition != self._partition:
                status = Status.WRONG_PARTITION
            elif outcome.why == "supersedes":
                status = Status.SUPERSEDES
            rest = (header or b"").partition(b" ")[2]
            rows.append((status, outcome.source.offset, outcome.epoch, self._known.get(rest) or _says(outcome)))
        return _columns(chunk, rows)


class _Read(NamedTuple):
    """offsets int64 (n,); which int64 (n,): the row of `rests`, what each header says behind its source position."""

    offsets: npt.NDArray[np.int64]
    which: npt.NDArray[np.int64]
    rests: list[bytes]


def _read(headers: Sequence[bytes], prefix: bytes) -> _Read | None:
    """`prefix`, digits, a space, and one of a few rests: without a line of Python for each header; None for others.

    Headers of one length that say the same differ in their digits only, so they are compared as a table of bytes.
    """
    count, begin = len(headers), len(prefix)
    lengths = np.fromiter(map(len, headers), np.int64, count)
    width = int(lengths.max())
    if not begin < width <= MOST_BYTES:
        return None
    table = np.array(headers, f"S{width}").view(np.uint8).reshape(count, width)  # filled up with zeros
    if not (_cut(table, 0, begin) == prefix).all():
        return None
    read = _Read(np.empty(count, np.int64), np.empty(count, np.int64), [])
    left = np.ones(count, np.bool_)
    while (at := int(left.argmax())) or left[0]:
        header = headers[at]
        end = header.find(b" ")
        if not begin < end <= begin + MOST_DIGITS or len(read.rests) == MOST_RESTS:
            return None
        digits = table[:, begin:end] - ord("0")
        same = left & (lengths == len(header)) & (_cut(table, end, width) == header[end:])
        same &= (digits <= 9).all(1)  # what is below a zero has become large
        if not same[at]:
            return None
        read.offsets[same] = digits[same] @ 10 ** np.arange(end - begin - 1, -1, -1)
        read.which[same] = len(read.rests)
        read.rests.append(header[end + 1 :])
        left &= ~same
    return read if read.offsets.max() < LARGEST else None


def _cut(table: npt.NDArray[np.uint8], low: int, high: int) -> npt.NDArray[np.bytes_]:
    """Each row's bytes low <= b < high, without zeros at their end."""
    return np.ascontiguousarray(table[:, low:high]).view(f"S{high - low}")[:, 0]


def _fits(offset: int, epoch: int) -> bool:
    return 0 <= offset < LARGEST and -LARGEST < epoch < LARGEST


def _outcome(header: bytes) -> Outcome | None:
    try:
        return parse_header(header)
    except ValueError:
        return None


def _says(outcome: Outcome) -> Says:
    return Says(outcome.color, outcome.epoch, outcome.why, outcome.model, outcome.digest)


class _Letter(msgspec.Struct):
    """A dead letter's own words; `supersedes` as in an output header."""

    source: str
    epoch: int
    chosen: Color
    reasons: dict[str, str]
    supersedes: bool = False


_letters = msgspec.json.Decoder(_Letter)


class LetterParser:
    """Parses dead letters of one partition."""

    def __init__(self, input_topic: str, partition: int) -> None:
        self._topic = input_topic
        self._partition = partition

    def __call__(self, chunk: Chunk) -> Parsed:
        rows: list[tuple[Status, int, int, Says]] = []
        for value in chunk.values:
            try:
                letter = decoded(_letters.decode, value or b"")
                source = parse_source(letter.source)
            except ValueError:
                rows.append((Status.FOREIGN, 0, NO_EPOCH, NOTHING))
                continue
            if source.topic != self._topic or not _fits(source.offset, letter.epoch):
                rows.append((Status.FOREIGN, 0, NO_EPOCH, NOTHING))
                continue
            status = Status.SUPERSEDES if letter.supersedes else Status.OUTCOME
            if source.partition != self._partition:
                status = Status.WRONG_PARTITION
            rows.append(
                (status, source.offset, letter.epoch, Says(letter.chosen, letter.epoch, None, reasons=letter.reasons))
            )
        return _columns(chunk, rows)


def _columns(chunk: Chunk, rows: list[tuple[Status, int, int, Says]]) -> Parsed:
    return Parsed(
        chunk,
        np.array([row[0] for row in rows], np.uint8),
        np.array([row[1] for row in rows], np.int64),
        np.array([row[2] for row in rows], np.int64),
        [row[3] for row in rows],
    )
