"""The outcome of every event, a moment later: what the demo's labels topic gets."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import KafkaException, Producer

from streambg.errors import StreambgError
from streambg.kafka.errors import translate

# A label follows its event by this; far less than any horizon, and more than an answer takes.
AFTER_S = 1.0
TURN_S = 0.05
FLUSH_S = 30.0
FULL_S = 0.05

# Event number -> the label's key and value; None: it has none.
Label = Callable[[int], tuple[bytes, bytes] | None]


class Labeller(threading.Thread):
    """A thread that owns a producer. `sent()` says how many events have been sent."""

    def __init__(self, config: Mapping[str, Any], topic: str, sent: Callable[[], int], label: Label) -> None:
        super().__init__(name="labeller", daemon=True)
        self._producer = Producer(dict(config))
        self._topic, self._sent, self._label = topic, sent, label
        self._stopped = threading.Event()
        self.labelled = 0
        self.failure: StreambgError | None = None

    def stop(self) -> None:
        """Label no more."""
        self._stopped.set()
        self.join(FLUSH_S)

    def run(self) -> None:
        """The thread. What goes wrong is kept in `failure`."""
        seen: deque[tuple[float, int]] = deque()  # (when, how many were sent then)
        try:
            while not self._stopped.wait(TURN_S):
                now = time.monotonic()
                seen.append((now, self._sent()))
                while seen and seen[0][0] <= now - AFTER_S:
                    self._upto(seen.popleft()[1])
                self._producer.poll(0)
            if self._producer.flush(FLUSH_S):
                self.failure = StreambgError(f"labels were not delivered in {FLUSH_S:g} s")
        except KafkaException as error:
            self.failure = translate(error, f"writing {self._topic}")
        finally:
            self._producer.close()

    def _upto(self, events: int) -> None:
        while self.labelled < events:
            found = self._label(self.labelled)
            self.labelled += 1
            while found is not None:
                try:
                    self._producer.produce(self._topic, found[1], found[0])
                    break
                except BufferError:
                    self._producer.poll(FULL_S)
