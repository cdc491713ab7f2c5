"""The owed events of one partition in source order, about a window at a time. Pure."""

from __future__ import annotations

import bisect
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from streambg.audit.sources import Chunk

Int64 = npt.NDArray[np.int64]


class Events:
    """chunks: of the input, offsets and keys; where they end they may go on later. first: the first event owed."""

    def __init__(self, chunks: Iterator[Chunk], first: int) -> None:
        self._chunks = chunks
        self._first = first
        self._later: Chunk | None = None  # read, and not settled yet

    def take(self, settled: int, window: int) -> Iterator[tuple[Int64, list[bytes | None]]]:
        """Offsets int64 (n,) and n keys, `window` or some more at a time, up to `settled`; never none of them."""
        offsets: list[int] = []
        keys: list[bytes | None] = []
        while settled >= self._first and (chunk := self._next()) is not None:
            lo = bisect.bisect_left(chunk.offsets, self._first)
            hi = bisect.bisect_right(chunk.offsets, settled)
            offsets += chunk.offsets[lo:hi]
            keys += chunk.keys[lo:hi]
            if hi < len(chunk):
                self._later = chunk.since(hi)
            if len(offsets) >= window:
                yield np.array(offsets, np.int64), keys
                offsets, keys = [], []
            if chunk.offsets[-1] >= settled:
                break
        if offsets:
            yield np.array(offsets, np.int64), keys

    def pause(self) -> int | None:
        """Forget what was read and not settled; the log offset to go on from, None where nothing was forgotten."""
        later, self._later = self._later, None
        return later.offsets[0] if later is not None else None

    def _next(self) -> Chunk | None:
        if self._later is not None:
            chunk, self._later = self._later, None
            return chunk
        return next(self._chunks, None)
