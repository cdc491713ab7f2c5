"""What waits for a label, as bytes: one matched event with both colors' answers. Pure.

A value has the fixed part below, then, only where a function of the team's looks at labels, the carried fields as
MessagePack. With one output and a segment that is 32 bytes: Redis packs hashes of at most 512 values of at most 64
bytes each without a pointer between them (docs/operations.md has the arithmetic).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import xxhash

from streambg.comparing.measuring import answers_of, carried
from streambg.comparing.pair import Terms
from streambg.comparing.pairing import Rows
from streambg.deciding.kinds import Answers, Seen
from streambg.deciding.tallies import grouped
from streambg.labelling.cohorts import Awaited, Ints, width_of
from streambg.records.batch import Carried
from streambg.records.bucket import BUCKETS, field_bytes
from streambg.records.gate import KINDS, Gate, LabelTerms

# 27 rows a hash with 7.2 million waiting in four cohorts, 55 with their marks; Redis packs up to 512 values.
SLOTS = 1 << 16
# Of the fixed part: which of two events with one key was first.
ORDER_BYTES = 14
# Rows of one partition that wait to be written: some seconds at 2,000 a second in one partition, and 3 MiB.
MOST_ROWS = 16_384
# What a row takes in Redis beside its fixed part (its digest, and its share of the hash), and the mark of its first
# label: measured by `make bench-labels`, where the fixed part was 32 bytes. Redis packs values of up to 64 so.
ROW_BYTES, MARK_BYTES, PACKED_BYTES = 19, 31, 64
ANSWERED_BLUE, FAILED_BLUE, ANSWERED_GREEN, FAILED_GREEN = 1, 2, 4, 8


class Place(NamedTuple):
    """Where a key's row waits: digest is the field, slot (with the cohort) the hash."""

    digest: bytes
    slot: int


def place_of(key: bytes) -> Place:
    """64 bits: among 7.2 million keys two are alike with a chance of one in 700,000."""
    digest = xxhash.xxh3_64_digest(key)
    return Place(digest, digest[0] << 8 | digest[1])


def in_sample(key: bytes, share: int) -> bool:
    """`share` in hundredths of a percent of all keys. Another hash than the place's: a sample fills all slots."""
    return share >= BUCKETS or xxhash.xxh3_64_intdigest(key, 1) % BUCKETS < share


class Waiting(NamedTuple):
    """One row for the room."""

    cohort: int
    place: Place
    value: bytes


@dataclass(frozen=True, slots=True)
class Packed:
    """The rows of the source offsets (low, high]. dated: the latest time up to there, -1 where there was none."""

    low: int
    high: int
    dated: int
    rows: Sequence[Waiting]


@dataclass(frozen=True, slots=True)
class Layout:
    """Of one gate. fields: the segments, each as the number of its value. full: all outputs and carried fields."""

    labels: LabelTerms
    width: int
    fields: tuple[str, ...]
    full: bool
    fixed: np.dtype[Any]

    @property
    def bytes_a_row(self) -> int:
        """In Redis, with the mark of its label. At least so many where it is not `packed`."""
        return self.fixed.itemsize + ROW_BYTES + MARK_BYTES

    @property
    def packed(self) -> bool:
        """Does Redis pack them? Carried fields, of any length, stand beside the fixed part where `full`."""
        return not self.full and self.fixed.itemsize <= PACKED_BYTES


def layout_of(terms: Terms) -> Layout | None:
    """None where no labels are declared."""
    gate = terms.gate
    if gate is None or gate.labels is None:
        return None
    full = any(metric.needs_label and metric.kind not in KINDS for metric in gate.metrics)
    fields = tuple(gate.segments)
    outputs = terms.outputs if full else 1
    fixed = np.dtype(
        [
            ("time", ">u4"),
            ("partition", ">u2"),
            ("offset", ">u8"),
            ("flags", "u1"),
            ("blue", "<f8", (outputs,)),
            ("green", "<f8", (outputs,)),
            *((f"segment{number}", "u1") for number in range(len(fields))),
        ]
    )
    return Layout(gate.labels, width_of(gate.labels.horizon_ms), fields, full, fixed)


def pack(awaited: Awaited, layout: Layout, partition: int, rows: Rows, terms: Terms) -> Packed:
    """The matched rows that wait for a label; `awaited` follows."""
    if terms.gate is None:
        raise ValueError("labels without a gate")
    times = awaited.dated(_times(rows))
    numbers, offsets = times // layout.width, rows.blue.offsets[rows.at_blue]
    keys = [field_bytes(value) for value in carried(rows, layout.labels.key)]
    awaited.keyless += sum(not key for key in keys)
    owed = np.fromiter((bool(key) and in_sample(key, layout.labels.sample) for key in keys), np.bool_, len(keys))  # type: ignore[arg-type] # a key that is true is no None
    awaited.add(numbers, offsets, owed)
    which = np.flatnonzero(owed)
    values = _values(layout, partition, rows, terms, times - numbers * layout.width, which)
    waiting = [
        Waiting(number, place_of(keys[at]), value)  # type: ignore[arg-type] # as above
        for number, at, value in zip(numbers[which].tolist(), which.tolist(), values, strict=True)
    ]
    return Packed(rows.low, rows.high, awaited.high, waiting)


def _times(rows: Rows) -> Ints:
    """Event times of the matched rows, none after blue's answer. int64 ms (n,)."""
    scored = [np.full(last - first, batch.scored_at, np.int64) for batch, first, last in rows.blue.pieces]
    if not scored:
        return np.empty(0, np.int64)
    times: Ints = np.minimum(rows.blue.times, np.concatenate(scored))[rows.at_blue]
    return np.maximum(times, 0)


def _values(
    layout: Layout, partition: int, rows: Rows, terms: Terms, times: Ints, which: npt.NDArray[np.intp]
) -> list[bytes]:
    gate = terms.gate
    if gate is None or len(which) == 0:
        return []
    table = np.zeros(len(which), layout.fixed)
    table["time"], table["partition"] = times[which], partition
    table["offset"] = rows.blue.offsets[rows.at_blue[which]]
    for color, answered, failed in (
        ("blue", ANSWERED_BLUE, FAILED_BLUE),
        ("green", ANSWERED_GREEN, FAILED_GREEN),
    ):
        answers = answers_of(rows, color, terms)  # type: ignore[arg-type] # a literal of the tuple above
        scores = answers.scores if layout.full else answers.decided[:, None]
        table[color] = scores[which]
        table["flags"] |= (answers.answered[which] * answered + answers.failed[which] * failed).astype(np.uint8)
    columns = {
        name: carried(rows, name) for name in ({*layout.fields, *gate.carried} if layout.full else layout.fields)
    }
    for number, name in enumerate(layout.fields):
        table[f"segment{number}"] = grouped(columns[name], gate.segments[name], len(rows))[which]
    size, flat = layout.fixed.itemsize, table.tobytes()
    values = [flat[at : at + size] for at in range(0, len(flat), size)]
    if layout.full:
        rest = [{name: column[at] for name, column in columns.items()} for at in which.tolist()]
        values = [value + msgspec.msgpack.encode(fields) for value, fields in zip(values, rest, strict=True)]
    return values


def time_of(layout: Layout, cohort: int, value: bytes) -> int:
    """ms since 1970."""
    return cohort * layout.width + int.from_bytes(value[:4], "big")


def seen_of(layout: Layout, terms: Terms, values: Sequence[bytes], outcomes: Sequence[float]) -> Seen:
    """Rows with their labels, as the gate's arithmetic takes them."""
    gate = terms.gate
    if gate is None:
        raise ValueError("labels without a gate")
    size = layout.fixed.itemsize
    table = np.frombuffer(b"".join(value[:size] for value in values), layout.fixed)
    carry = _carry(layout, gate, table, values)
    blue = _answers(layout, terms, table["blue"], table["flags"], ANSWERED_BLUE, FAILED_BLUE)
    green = _answers(layout, terms, table["green"], table["flags"], ANSWERED_GREEN, FAILED_GREEN)
    return Seen(blue, green, np.array(outcomes, np.float64), carry)


def _answers(
    layout: Layout, terms: Terms, scores: npt.NDArray[Any], flags: npt.NDArray[Any], answered: int, failed: int
) -> Answers:
    scores = scores.astype(np.float64)
    decided = scores[:, terms.column if layout.full else 0]
    return Answers(
        flags & answered != 0,
        flags & failed != 0,
        scores,
        decided,
        None if terms.threshold is None else decided >= terms.threshold,
        np.zeros(len(scores), np.int64),
    )


def _carry(
    layout: Layout, gate: Gate, table: npt.NDArray[Any], values: Sequence[bytes]
) -> Mapping[str, Sequence[Carried]]:
    """Segments by their declared values; None stands for all others: it is none of the declared texts."""
    if layout.full:
        rest = [msgspec.msgpack.decode(value[layout.fixed.itemsize :]) for value in values]
        return {name: [fields[name] for fields in rest] for name in (rest[0] if rest else ())}
    carry: dict[str, Sequence[Carried]] = {}
    for number, name in enumerate(layout.fields):
        known: list[Carried] = [*gate.segments[name], None]
        carry[name] = [known[code] for code in table[f"segment{number}"].tolist()]
    return carry
