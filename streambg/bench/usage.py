"""CPU time and memory of processes over a stretch of time, looked at from outside."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

import numpy as np

from streambg.process.usage import cpu_seconds, peak_bytes

# The kernel counts in hundredths of a second; looking more often tells no more.
LOOK_S = 0.02
# Peak memory never falls: now and then is enough.
MEMORY_EVERY = 10


class Usage(threading.Thread):
    """Looks at processes by group (`client`, `broker`) while entered."""

    def __init__(self, pids: Mapping[str, Sequence[int]]) -> None:
        super().__init__(name="usage", daemon=True)
        self._pids = {group: list(members) for group, members in pids.items()}
        self._times: list[float] = []
        self._cpu: dict[str, list[float]] = {group: [] for group in pids}
        self._last: dict[int, float] = {}
        self._peaks: dict[int, int] = {}
        self._stopped = threading.Event()

    def look(self, memory: bool = True) -> None:
        """One look at all of them; what has ended keeps what it had."""
        self._times.append(time.time())
        for group, members in self._pids.items():
            for pid in members:
                if (seconds := cpu_seconds(pid)) is not None:
                    self._last[pid] = seconds
                if memory and (peak := peak_bytes(pid)) is not None:
                    self._peaks[pid] = peak
            self._cpu[group].append(sum(self._last.get(pid, 0.0) for pid in members))

    def run(self) -> None:
        """The thread."""
        turn = 0
        while not self._stopped.wait(LOOK_S):
            self.look(memory=turn % MEMORY_EVERY == 0)
            turn += 1

    def __enter__(self) -> Self:
        self.look()
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self.join()
        self.look()

    def cpu(self, group: str, began: float, ended: float) -> float:
        """CPU seconds of a group between two times (seconds since 1970)."""
        at = np.interp([began, ended], self._times, self._cpu[group])
        return float(at[1] - at[0])

    def peak(self, group: str) -> int:
        """Bytes of its largest process."""
        return max((self._peaks.get(pid, 0) for pid in self._pids[group]), default=0)
