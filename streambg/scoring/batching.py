"""Events of one partition and one poll, with their answers, as prediction batches (P7). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from streambg.models.answering import Answered
from streambg.records.batch import (
    ERROR,
    MAX_BYTES,
    MAX_CARRY_BYTES,
    MAX_ROWS,
    Batch,
    Carried,
    Headers,
)
from streambg.records.bucket import bucket, field_bytes, identity

Row = Mapping[str, object]
T = TypeVar("T")

# Columns cost about this per row besides key, value and carried fields: offset, time, score 8 bytes each, framing.
ROW_OVERHEAD = 48
# The integers of MessagePack; those of JSON may be longer: ids of 128 bits, say.
LEAST, MOST = -(2**63), 2**64 - 1
# Digits of more are over MAX_CARRY_BYTES anyway, and Python refuses to write those of 14,000 bits at all.
MAX_INT_BITS = 1_024
UTF8_BYTES = 4  # of one character, at most
# Answer, key and forwarded headers of one row: what takes an event of Kafka's default size takes it, with 64 KiB for
# the carried fields and the envelope (P13). Key and headers alone may be more where the input allows more, and so may
# the topics behind it.
MAX_ROW_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Polled:
    """What one poll brought of one partition: columns of n records in source order.

    forwarded: the headers that go along with each; None where no record has any.
    """

    offsets: list[int]
    keys: list[bytes | None]
    times: list[int]
    values: list[bytes | None]
    forwarded: list[Headers] | None


def sampled(
    rows: Sequence[Row | str],
    polled: Polled,
    share: int,
    salt: int,
    bucket_field: str | None,
    topic: str,
    partition: int,
) -> list[int]:
    """Row numbers of the lowest buckets: the sampled keys are the first that a weight would serve (P9).

    `share` in hundredths of a percent, like a weight.
    """
    chosen = []
    for index, row in enumerate(rows):
        key = polled.keys[index] if bucket_field is None else field_bytes(carried(row, bucket_field))
        if key is None:
            key = identity(topic, partition, polled.offsets[index])
        if bucket(salt, key) < share:
            chosen.append(index)
    return chosen


def carried(row: Row | str, name: str) -> Carried:
    """A declared field as it travels; None where the event has none, or holds no plain value there.

    What a batch cannot hold as it is would stop the partition at this event for ever: an integer of more than 64 bits
    travels as its digits, by which buckets and labels go in any case, and what a decode hook makes of an array's
    element (a subclass, a numpy scalar) as the plain value.
    """
    value = row.get(name) if not isinstance(row, str) else None
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        whole = int(value)
        if LEAST <= whole <= MOST:
            return whole
        return str(whole) if whole.bit_length() <= MAX_INT_BITS else None
    if isinstance(value, float):
        return float(value)
    return _text(value) if isinstance(value, str) else None


def _text(value: str) -> str | None:
    plain = str.__str__(value)  # of a subclass too
    try:
        plain.encode()
    except UnicodeEncodeError:  # a decode hook may make half of a surrogate pair
        return None
    return plain


_NUMBERS = {int, float, bool, type(None)}


def _column(rows: Sequence[Row | str], name: str) -> list[Carried]:
    """`carried` of every row; looked at one by one only where one of them may not be plain."""
    values: list[Any] = [None if isinstance(row, str) else row.get(name) for row in rows]
    types = set(map(type, values))
    if types <= {str, type(None)} and "".join(filter(None, values)).isascii():
        return values
    if types <= _NUMBERS and (int not in types or _within([value for value in values if value is not None])):
        return values
    return [carried(row, name) for row in rows]


def _within(numbers: Sequence[float]) -> bool:
    return min(numbers) >= LEAST and max(numbers) <= MOST


def carry_columns(rows: Sequence[Row | str], names: Sequence[str]) -> dict[str, list[Carried]]:
    """The declared fields, n each. A row whose fields are over the limit carries none of them: never a cut value."""
    columns: dict[str, list[Carried]] = {name: _column(rows, name) for name in names}
    longest = [
        max((len(value) for value in column if isinstance(value, str)), default=0) for column in columns.values()
    ]
    if sum(longest) <= MAX_CARRY_BYTES:
        return columns
    for index in range(len(rows)):
        size = sum(len(value) for column in columns.values() if isinstance(value := column[index], str))
        if size > MAX_CARRY_BYTES:
            for column in columns.values():
                column[index] = None
    return columns


def of_kept(column: list[T], kept: Sequence[int] | None) -> list[T]:
    """The rows of a column that a sample chose; the column itself where there is none."""
    return column if kept is None else [column[i] for i in kept]


@dataclass(frozen=True, slots=True)
class Scored:
    """A poll with its answers. `kept` are the row numbers a sample chose, None for all; `answered` and `carry` have
    one for each of them. `scored_at` ms since 1970, `spent_us` for all of them.
    """

    polled: Polled
    answered: Answered
    carry: Mapping[str, list[Carried]]
    kept: Sequence[int] | None
    scored_at: int
    spent_us: int


def batches(deployment: int, after: int, scored: Scored) -> Iterator[Batch]:
    """The poll as one batch, or as several where it would be too large: each goes on where the last one ended.

    The last batch reaches to the poll's last offset, so that what was not sampled is said to be unanswered.
    """
    polled, answered, kept = scored.polled, scored.answered, scored.kept
    offsets = np.array(of_kept(polled.offsets, kept), np.int64)
    times = np.array(of_kept(polled.times, kept), np.int64)
    keys = of_kept(polled.keys, kept)
    forwarded = of_kept(polled.forwarded, kept) if polled.forwarded is not None else None
    values, statuses, scores = _bounded(answered, keys, forwarded)
    for first, last in _slices(keys, values, forwarded, _most_carried(scored.carry)):
        upto = polled.offsets[-1] if last == len(values) else int(offsets[last - 1])
        part = slice(first, last)
        yield Batch(
            deployment,
            after,
            upto,
            kept is not None,
            scored.scored_at,
            scored.spent_us * (last - first) // max(1, len(values)),
            offsets[part],
            times[part],
            statuses[part],
            scores[part],
            keys[part],
            values[part],
            {name: column[part] for name, column in scored.carry.items()},
            forwarded[part] if forwarded is not None else None,
        )
        after = upto


def _bounded(
    answered: Answered, keys: Sequence[bytes | None], forwarded: Sequence[Headers] | None
) -> tuple[list[bytes], npt.NDArray[np.uint8], npt.NDArray[np.float64]]:
    """An answer that would not fit a batch, or not with its key and headers, becomes an error row: one stub, and the
    partition goes on.
    """
    values, statuses, scores = answered.values, answered.statuses, answered.scores
    alone = MAX_BYTES - ROW_OVERHEAD
    if max(map(len, values), default=0) <= min(alone, MAX_ROW_BYTES - _largest_beside(keys, forwarded)):
        return values, statuses, scores
    for index, value in enumerate(values):
        beside = len(keys[index] or b"") + (_weight(forwarded[index]) if forwarded is not None else 0)
        limit = min(alone, max(0, MAX_ROW_BYTES - beside))
        if len(value) > limit and statuses[index] != ERROR:
            if values is answered.values:
                values, statuses, scores = list(values), statuses.copy(), scores.copy()
            values[index] = b"answer over the size limit: %d bytes, limit %d" % (len(value), limit)
            statuses[index] = ERROR
            scores[index] = np.nan
    return values, statuses, scores


def _largest_beside(keys: Sequence[bytes | None], forwarded: Sequence[Headers] | None) -> int:
    """At most so many bytes are beside any row's answer."""
    return max(map(len, filter(None, keys)), default=0) + max(map(_weight, forwarded or ()), default=0)


def _weight(headers: Headers) -> int:
    return sum(len(name) + len(content) for name, content in headers)


def _most_carried(carry: Mapping[str, list[Carried]]) -> int:
    """The bytes that the carried fields of a row are at most: the limit is one of characters."""
    texts = [value for column in carry.values() for value in column if isinstance(value, str)]
    return MAX_CARRY_BYTES * (1 if "".join(texts).isascii() else UTF8_BYTES)


def _slices(
    keys: Sequence[bytes | None], values: Sequence[bytes], forwarded: Sequence[Headers] | None, carry: int
) -> Iterator[tuple[int, int]]:
    """[first, last) of each batch: at most MAX_ROWS rows and, but for a single larger row, MAX_BYTES.

    carry: what the carried fields of a row weigh at most.
    """
    if forwarded is None and len(values) <= MAX_ROWS:
        # nearly always one batch: a look at all of it costs a tenth of one at each row
        whole = len(values) * (ROW_OVERHEAD + carry) + sum(map(len, values)) + sum(map(len, filter(None, keys)))
        if whole <= MAX_BYTES:
            yield 0, len(values)
            return
    first, size = 0, 0
    for index, value in enumerate(values):
        row = ROW_OVERHEAD + carry + len(value) + len(keys[index] or b"")
        if forwarded is not None:
            row += _weight(forwarded[index])
        if index > first and (size + row > MAX_BYTES or index - first >= MAX_ROWS):
            yield first, index
            first, size = index, 0
        size += row
    yield first, len(values)
