"""The load of a scenario: events at a rate, or, pressed, as many as the pipeline takes."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from pipelines import Running

# Events go out in slices of this long, so that a rate is kept without a call an event.
SLICE_S = 0.02
# Pressed, each partition has so many events without an outcome: half a second of what six take on two cores (20,000 a
# second), so that none runs dry between two slices. Per partition, so that one that stands still stops no other.
WINDOW = 2_000
SESSION_ENDS = 0.01


@dataclass(frozen=True, slots=True)
class Load:
    """`events` at `rate` a second on `partitions`; a command every `cutover_s`."""

    events: int = 100_000
    rate: float = 2_000.0
    partitions: int = 6
    cutover_s: float = 15.0
    publishers: int = 1
    publish: dict[str, object] = field(default_factory=dict)
    session_ends: float = SESSION_ENDS  # share of transactions behind which a session ends on purpose


class Feeder:
    """Feeds a pipeline in a thread of its own. `reached`: the largest source offset with an outcome, by partition."""

    def __init__(self, run: Running, rate: float, reached: Mapping[int, int]) -> None:
        self._run = run
        self._rate = rate
        self._reached = reached
        self.fed: list[tuple[float, int]] = []  # (monotonic second, the number of its first event) of each slice
        self._upto = float("inf")  # while faults go on nobody knows how many events that will be
        self._pressed = False
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._feed, name="feeder", daemon=True)
        self._thread.start()

    def press(self) -> None:
        """From here on as much as the pipeline takes."""
        self._pressed = True

    def put(self, value: bytes | None, key: bytes | None) -> None:
        """One event between the others."""
        with self._lock:
            self._run.put(value, key)

    def grow(self, partitions: int) -> None:
        with self._lock:
            self._run.grow(partitions)

    def finish(self, events: float, timeout: float) -> None:
        """Go on to so many events; returns when all are out, at the latest after `timeout` seconds."""
        self._upto = events
        self._thread.join(timeout)
        self.stop()

    def stop(self) -> None:
        self._over.set()
        self._thread.join(30)

    def _feed(self) -> None:
        looked, due = time.monotonic(), 0.0
        while self._run.sent < self._upto and not self._over.is_set():
            now = time.monotonic()
            due += (now - looked) * self._rate
            looked = now
            with self._lock:
                if self._pressed:
                    self._top_up()
                else:
                    self.fed.append((now, self._run.sent))
                    self._run.feed(int(due), flush=False)
            due -= int(due)
            self._over.wait(SLICE_S)
        self._run.flush()

    def _top_up(self) -> None:
        for number, end in list(self._run.ends.items()):
            waiting = end - 1 - self._reached.get(number, -1)
            self._run.feed(max(0, WINDOW - waiting), flush=False, partition=number)
