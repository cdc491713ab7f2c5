"""Who was to answer, recomputed from the control log with the audit's own code (P34: P13, P15, P16, P18)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np
import numpy.typing as npt
from xxhash import xxh3_64_intdigest

from streambg.control.state import ControlState, Deployment, Phase, Standing
from streambg.records.batch import Carried
from streambg.records.source import Color

ALL = 10_000  # buckets, and the weight that takes them all


@dataclass(frozen=True, slots=True)
class Route:
    """What one epoch decides. Deadlines in ms, None: waited for without end."""

    epoch: int
    live: Deployment
    other: Deployment | None  # whatever stands in the other slot
    weight: int  # of the other: 0 unless it is a candidate
    live_falls_back: bool
    late_live_ms: int | None
    late_candidate_ms: int | None
    bucket_field: str | None

    def deployment(self, color: Color) -> Deployment | None:
        return self.live if color == self.live.color else self.other

    def may_stand_in(self, chosen: Color) -> bool:
        """P16: may the other color answer where `chosen` cannot?"""
        return self.live_falls_back if chosen == self.live.color else True

    def deadline(self, chosen: Color) -> int | None:
        """P18: how long the chosen color's answer is waited for."""
        return self.late_live_ms if chosen == self.live.color else self.late_candidate_ms

    def patience(self, stand_in: Color) -> int | None:
        """P17: how long an error row of the chosen color waits for the other's; live's `wait` does not count here."""
        if stand_in == self.live.color and self.late_live_ms is not None:
            return self.late_live_ms
        return self.late_candidate_ms


def route_of(state: ControlState) -> Route | None:
    """None while nothing is live."""
    live, other, rules = state.live_deployment, state.other_deployment, state.rules
    if live is None or rules is None:
        return None
    candidate = state.phase is Phase.CANDIDATE
    falls_back = False
    if other is not None and other.standing is Standing.SCORING:
        warm = state.phase is Phase.WARM and other.id == state.rollback_to
        asked = candidate and state.weight > 0 and rules.live_failed == "candidate"
        falls_back = warm or asked
    return Route(
        state.epoch,
        live,
        other,
        state.weight if candidate else 0,
        falls_back,
        rules.late_live_ms,
        rules.late_candidate_ms,
        rules.bucket_field,
    )


def hashed_bytes(key: bytes | None, carried: Carried, by_field: bool, source: bytes) -> bytes:
    """P13: the declared field, or the key; the source position where that is missing."""
    if not by_field:
        return source if key is None else key
    if carried is None:
        return source
    if carried is True:
        return b"true"
    if carried is False:
        return b"false"
    return str(carried).encode()


def bucket_of(hashed: bytes, salt: int) -> int:
    """0..9999; the salt is the candidate's deployment."""
    return int(xxh3_64_intdigest(hashed, salt) % ALL)


def buckets_of(hashed: Sequence[bytes], salt: int) -> npt.NDArray[np.int64]:
    """int64 (n,), each 0..9999."""
    digests = np.fromiter(map(xxh3_64_intdigest, hashed, repeat(salt)), np.uint64, len(hashed))
    return (digests % ALL).astype(np.int64)


def hashed_column(
    keys: Sequence[bytes | None], carried: Sequence[Carried] | None, prefix: bytes, offsets: Iterable[int]
) -> list[bytes]:
    """`hashed_bytes` for n rows; `prefix` is the source position without its offset, e.g. `payments/3@`."""
    if carried is None:
        if None not in keys:
            return list(keys)  # type: ignore[arg-type] # None is not in it
        return [prefix + b"%d" % offset if key is None else key for key, offset in zip(keys, offsets, strict=True)]
    return [
        hashed_bytes(None, value, True, prefix + b"%d" % offset) for value, offset in zip(carried, offsets, strict=True)
    ]
