"""The prediction batch: a scorer's answers for one partition and one poll (docs/design.md, section 4).

On the wire it is one MessagePack array: the head first, so that a reader who only folds coverage
(`decode_head`) skips the columns unread. What a missing row means is exact: see P9.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from streambg.errors import UpgradeFirst
from streambg.records.foreign import decoded

FORMAT = 1
HEADER_NAME = "streambg"
OK = 0
ERROR = 1

# One record stays far below the 1 MiB that brokers accept by default, and one poll of a busy
# partition fits one record: at 144 byte events 1,000 rows are about 200 KiB.
MAX_ROWS = 1_000
MAX_BYTES = 512 * 1024
# One answer may fill a batch alone; what is larger becomes an error row (P13 leaves 64 KiB for the envelope).
MAX_VALUE_BYTES = MAX_BYTES
MAX_CARRY_FIELDS = 8
MAX_CARRY_BYTES = 256

Carried = str | int | float | bool | None
Headers = list[tuple[str, bytes]]


class _Head(msgspec.Struct, array_like=True, gc=False):
    format: int
    deployment: int
    after: int
    upto: int
    sample: bool


class _Numbers(_Head, array_like=True, gc=False):
    scored_at: int
    spent_us: int
    offsets: bytes
    times: bytes
    statuses: bytes
    scores: bytes


class _Wire(_Numbers, array_like=True, gc=False):
    keys: list[bytes | None] | None
    values: list[bytes]
    carry: dict[str, list[Carried]]
    forwarded: list[Headers] | None


W = TypeVar("W", bound=_Numbers)


class BadBatch(ValueError):
    """Bytes in a predictions topic that are no prediction batch."""


@dataclass(frozen=True, slots=True)
class Head:
    """The interval (after, upto] that a batch of one deployment answers for, and whether it is a sample (P7)."""

    deployment: int
    after: int
    upto: int
    sample: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """Answers for the source offsets (after, upto] of one partition, n rows in ascending order.

    offsets int64 (n,), times int64 ms (n,), statuses uint8 (n,) OK or ERROR, scores float64 (n, outputs),
    keys and values n each; the value of an error row is its reason. `scored_at` is ms since 1970,
    `spent_us` what the model took for the whole batch.
    """

    deployment: int
    after: int
    upto: int
    sample: bool
    scored_at: int
    spent_us: int
    offsets: npt.NDArray[np.int64]
    times: npt.NDArray[np.int64]
    statuses: npt.NDArray[np.uint8]
    scores: npt.NDArray[np.float64]
    keys: Sequence[bytes | None]
    values: Sequence[bytes]
    carry: Mapping[str, Sequence[Carried]] = field(default_factory=dict)
    forwarded: Sequence[Headers] | None = None

    @property
    def head(self) -> Head:
        return Head(self.deployment, self.after, self.upto, self.sample)

    def __len__(self) -> int:
        return len(self.values)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Wire)
_numbers_decoder = msgspec.msgpack.Decoder(_Numbers)
_head_decoder = msgspec.msgpack.Decoder(_Head)


def encode(batch: Batch) -> bytes:
    """The bytes of one Kafka record value."""
    return _encoder.encode(
        _Wire(
            FORMAT,
            batch.deployment,
            batch.after,
            batch.upto,
            batch.sample,
            batch.scored_at,
            batch.spent_us,
            batch.offsets.astype("<i8", copy=False).tobytes(),
            batch.times.astype("<i8", copy=False).tobytes(),
            batch.statuses.tobytes(),
            batch.scores.astype("<f8", copy=False).tobytes(),
            list(batch.keys) if any(key is not None for key in batch.keys) else None,
            list(batch.values),
            {name: list(column) for name, column in batch.carry.items()},
            list(batch.forwarded) if batch.forwarded is not None else None,
        )
    )


def describe(batch: Batch, source_topic: str, partition: int) -> bytes:
    """The text header for people who read the topic with kcat."""
    sample = " sample" if batch.sample else ""
    return (
        f"{source_topic}/{partition}({batch.after},{batch.upto}] "
        f"deployment={batch.deployment} rows={len(batch)}{sample}"
    ).encode()


def source_topic(header: bytes) -> str | None:
    """The input topic that such a header names; None where it is none."""
    place, opened, _ = header.partition(b"(")
    topic, slash, partition = place.rpartition(b"/")
    return topic.decode(errors="replace") if opened and slash and topic and partition.isdigit() else None


def _check_format(data: bytes, format_: int) -> None:
    if format_ > FORMAT:
        raise UpgradeFirst(
            f"a prediction batch has format {format_}, this process knows {FORMAT}",
            way_out="upgrade this process first",
        )
    if format_ < 1:
        raise BadBatch(f"format {format_} in {data[:16]!r}")


def decode_head(data: bytes) -> Head:
    """Only the interval: what a fold of coverage needs. Raises BadBatch, UpgradeFirst."""
    try:
        wire = decoded(_head_decoder.decode, data)
    except ValueError as error:
        raise BadBatch(str(error)) from error
    _check_format(data, wire.format)
    return Head(wire.deployment, wire.after, wire.upto, wire.sample)


def decode(data: bytes) -> Batch:
    """One record value as a batch. Raises BadBatch where the columns contradict each other, UpgradeFirst."""
    wire = _decoded(data, _decoder)
    rows = len(wire.values)
    if wire.keys is not None and len(wire.keys) != rows:
        raise BadBatch(f"{len(wire.keys)} keys for {rows} rows")
    if any(len(column) != rows for column in wire.carry.values()):
        raise BadBatch(f"a carried column has not {rows} rows")
    if wire.forwarded is not None and len(wire.forwarded) != rows:
        raise BadBatch(f"{len(wire.forwarded)} forwarded headers for {rows} rows")
    keys = wire.keys if wire.keys is not None else [None] * rows
    return _batch(wire, keys, wire.values, wire.carry, wire.forwarded)


def decode_numbers(data: bytes) -> Batch:
    """A batch without keys, values and what else is text, of which nothing is looked at: a third of the cost.

    For whoever has the published values and lacks their scores. Raises as `decode`, for the numbers.
    """
    wire = _decoded(data, _numbers_decoder)
    rows = len(wire.statuses)
    return _batch(wire, (None,) * rows, (b"",) * rows, {}, None)


def _decoded(data: bytes, decoder: msgspec.msgpack.Decoder[W]) -> W:
    try:
        wire = decoded(decoder.decode, data)
    except ValueError as error:
        _check_newer(data)
        raise BadBatch(str(error)) from error
    _check_format(data, wire.format)
    return wire


def _batch(
    wire: _Numbers,
    keys: Sequence[bytes | None],
    values: Sequence[bytes],
    carry: Mapping[str, Sequence[Carried]],
    forwarded: Sequence[Headers] | None,
) -> Batch:
    rows = len(values)
    if len(wire.offsets) != 8 * rows or len(wire.times) != 8 * rows or len(wire.statuses) != rows:
        raise BadBatch(f"{rows} values, but columns of other lengths")
    scores = np.frombuffer(wire.scores, "<f8") if len(wire.scores) % 8 == 0 else None
    if scores is None or (rows == 0 and len(scores)) or (rows and len(scores) % rows):
        raise BadBatch(f"{len(wire.scores)} bytes of scores for {rows} rows")
    offsets = np.frombuffer(wire.offsets, "<i8")
    if wire.after > wire.upto or wire.after < -1:
        raise BadBatch(f"interval ({wire.after}, {wire.upto}]")
    if rows and (offsets[0] <= wire.after or offsets[-1] > wire.upto or not (np.diff(offsets) > 0).all()):
        raise BadBatch(f"offsets {offsets[0]}..{offsets[-1]} do not ascend within ({wire.after}, {wire.upto}]")
    return Batch(
        wire.deployment,
        wire.after,
        wire.upto,
        wire.sample,
        wire.scored_at,
        wire.spent_us,
        offsets,
        np.frombuffer(wire.times, "<i8"),
        np.frombuffer(wire.statuses, np.uint8),
        scores.reshape(rows, -1) if rows else scores.reshape(0, 0),
        keys,
        values,
        carry,
        forwarded,
    )


def _check_newer(data: bytes) -> None:
    """A newer format may not fit the columns known here: say 'upgrade', not 'bad'."""
    try:
        format_ = decoded(_head_decoder.decode, data).format
    except ValueError:
        return
    _check_format(data, format_)
