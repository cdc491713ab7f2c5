"""Sends the stream at its rate, never past the gate, and knows where every odd event came to stand."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from streambg.demo.data import Kind, Stream
from streambg.errors import StreambgError
from streambg.kafka.errors import translate
from streambg.records.source import Source

# Each turn sends what the clock owes; short against anything that is measured here, long against the cost of a turn.
TURN_S = 0.01
# A turn that came late (the machine was busy) catches up with at most this much of a second's events.
MOST_OWED_S = 0.25
FLUSH_S = 30.0
# How long the first record waits in the client's queue for room: it is 64 MiB, this stream's rate 0.3 MiB/s.
FULL_S = 0.05


@dataclass(frozen=True, slots=True)
class Planted:
    """An odd event that was delivered, and where."""

    kind: Kind
    source: Source


class Sender(threading.Thread):
    """A thread that owns the producer. `sent` counts up to the stream's end; `allow` moves the gate."""

    def __init__(self, config: Mapping[str, Any], topic: str, stream: Stream, rate: int, gate: int) -> None:
        super().__init__(name="sender", daemon=True)
        self._producer = Producer({**config, "partitioner": "murmur2_random"})  # as Java's clients place keys
        self._topic, self._stream, self._rate = topic, stream, rate
        self._gate = gate
        self._moved = threading.Condition()
        self._stopped = False
        self.sent = 0
        self.delivered = 0
        self.held_s = 0.0
        self.planted: list[Planted] = []
        self.ends: dict[int, int] = {}
        self.lasted_s = 0.0
        self.failure: StreambgError | None = None

    @property
    def events(self) -> int:
        """Length of the stream."""
        return self._stream.events

    @property
    def left_s(self) -> float:
        """What the rest of the stream takes at its rate."""
        return (self._stream.events - self.sent) / self._rate

    def allow(self, gate: int) -> None:
        """Events below this number may be sent."""
        with self._moved:
            self._gate = gate
            self._moved.notify_all()

    def stop(self) -> None:
        """Send no more; what was sent is still delivered."""
        with self._moved:
            self._stopped = True
            self._moved.notify_all()

    def run(self) -> None:
        """The thread. A failed delivery is kept in `failure`."""
        began = time.monotonic()
        try:
            self._send_all()
            self.lasted_s = time.monotonic() - began
            if self._producer.flush(FLUSH_S) and self.failure is None:
                self.failure = StreambgError(f"{self.sent - self.delivered} events were not delivered in {FLUSH_S:g} s")
        except KafkaException as error:
            self.failure = translate(error, f"writing {self._topic}")
        finally:
            self._producer.close()

    def _send_all(self) -> None:
        began, base = time.monotonic(), 0
        while self.sent < self._stream.events and not self._stopped and self.failure is None:
            now = time.monotonic()
            owed = int((now - began) * self._rate) + base
            if owed - self.sent > self._rate * MOST_OWED_S:
                began, base = now, self.sent
            upto = min(owed, self._gate, self._stream.events)
            while self.sent < upto:
                self._send(self.sent)
                self.sent += 1
            self._producer.poll(0)
            if self.sent >= self._gate and self._hold():
                began, base = time.monotonic(), self.sent
            else:
                time.sleep(TURN_S)

    def _hold(self) -> bool:
        """Wait at the gate; True where that took time, which is then no debt."""
        began = time.monotonic()
        with self._moved:
            while self.sent >= self._gate and self.sent < self._stream.events and not self._stopped:
                self._moved.wait(TURN_S)
                self._producer.poll(0)
        held = time.monotonic() - began
        self.held_s += held
        return held > TURN_S

    def _send(self, number: int) -> None:
        event = self._stream.event(number)

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                self.failure = self.failure or translate(error, f"writing event {number} into {self._topic}")
                return
            self.delivered += 1
            partition, offset = message.partition() or 0, message.offset() or 0
            self.ends[partition] = max(offset + 1, self.ends.get(partition, 0))
            if event.planted is not None:
                self.planted.append(Planted(event.planted, Source(self._topic, partition, offset)))

        while True:
            try:
                self._producer.produce(self._topic, event.value, event.key, on_delivery=delivered)
                return
            except BufferError:
                self._producer.poll(FULL_S)
