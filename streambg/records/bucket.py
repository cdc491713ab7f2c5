"""Buckets: which events a weight moves (docs/design.md, section 2; P13).

A bucket is a salted hash of the record key, 0..9999; the candidate gets the buckets below its weight, so
raising a weight never moves a key back. The salt is the candidate's deployment: the next candidate meets
other keys first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import repeat

import numpy as np
import numpy.typing as npt
import xxhash

from streambg.records.batch import Carried

BUCKETS = 10_000


def bucket(salt: int, key: bytes) -> int:
    return int(xxhash.xxh3_64_intdigest(key, salt) % BUCKETS)


def identity(source_topic: str, partition: int, offset: int) -> bytes:
    """What stands in for a missing key: the source position (P13)."""
    return b"%s/%d@%d" % (source_topic.encode(), partition, offset)


def field_bytes(value: Carried) -> bytes | None:
    """A carried field as the bytes that are hashed; None where the event has no such field."""
    if value is None:
        return None
    if isinstance(value, bool):
        return b"true" if value else b"false"
    return str(value).encode()


def bucket_keys(
    keys: Sequence[bytes | None],
    column: Sequence[Carried] | None,
    source_topic: str,
    partition: int,
    offsets: Iterable[int],
) -> list[bytes]:
    """The bytes each row is hashed by: its key, or the `bucket_by` column; its source position where that is null.

    A null key is not the empty key (P13).
    """
    chosen = keys if column is None else [field_bytes(value) for value in column]
    if None not in chosen:
        return list(chosen)  # type: ignore[arg-type] # None is not in it
    return [
        key if key is not None else identity(source_topic, partition, offset)
        for key, offset in zip(chosen, offsets, strict=True)
    ]


def buckets(salt: int, keys: Sequence[bytes]) -> npt.NDArray[np.int64]:
    """int64 (n,), each 0..9999."""
    digests = np.fromiter(map(xxhash.xxh3_64_intdigest, keys, repeat(salt)), np.uint64, len(keys))
    return (digests % BUCKETS).astype(np.int64)
