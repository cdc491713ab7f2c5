"""Output records and dead letters as columns: the source offset, and what the outcome says of itself.

Headers of one run differ only in the offset, so the rest is parsed once and looked up from then on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import msgspec
import numpy as np
import numpy.typing as npt

from streambg.audit.history import LARGEST, NO_EPOCH
from streambg.audit.sources import Chunk
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
        sources, _, rests = zip(*[header.partition(b" ") for header in headers if header is not None], strict=True)
        offsets = _numbers(sources, self._prefix)
        if offsets is None:
            return None
        if len(self._known) > KNOWN:
            self._known.clear()
        different = set(rests)
        for rest in different - self._known.keys():
            outcome = _outcome(self._prefix + b"0 " + rest)
            if outcome is None or outcome.why == "supersedes" or not _fits(0, outcome.epoch):
                return None
            self._known[rest] = _says(outcome)
        says = list(map(self._known.__getitem__, rests))
        epochs = {id(self._known[rest]): self._known[rest].epoch for rest in different}
        if len(set(epochs.values())) == 1:  # nearly always: an epoch lasts longer than a chunk
            every = np.full(len(says), says[0].epoch, np.int64)
        else:
            every = np.fromiter(map(epochs.__getitem__, map(id, says)), np.int64, len(says))
        return Parsed(chunk, np.zeros(len(chunk), np.uint8), offsets, every, says)

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


def _numbers(sources: Sequence[bytes], prefix: bytes) -> npt.NDArray[np.int64] | None:
    """int64 (n,): what follows `prefix` in each, read in one go; None where one is not `prefix` and digits only."""
    line = b"\n" + b"\n".join(sources)
    if line.count(b"\n") != len(sources) or line.count(b"\n" + prefix) != len(sources):
        return None
    digits = line.replace(b"\n" + prefix, b"\n")
    # a number between two line ends each, else two would have become one, or one none
    if not digits.replace(b"\n", b"").isdigit() or b"\n\n" in digits or digits.endswith(b"\n"):
        return None
    numbers = np.fromstring(digits, np.int64, sep="\n")
    return numbers if numbers.max() < LARGEST else None


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
                letter = _letters.decode(value or b"")
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
