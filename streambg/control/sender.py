"""Appends commands to the control log and says what became of them, by folding up to the own record (P1, P5)."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from pydantic import ValidationError

from streambg.control.commands import EXPIRES_MS, Envelope, format_of
from streambg.control.fold import Entry
from streambg.control.follower import ControlFollower
from streambg.control.instead import instead, over
from streambg.control.rollouts import Rollout, taken_over
from streambg.control.state import ControlState
from streambg.errors import ConfigError, OutcomeUnknown, Refused

# How long a sender waits to read the log's end, and then its own record.
FOLD_TIMEOUT_S = 15.0
# A command is worth nothing once it has expired, so the client gives up delivering it before.
DELIVERY_TIMEOUT_MS = EXPIRES_MS // 2
# Clocks of sender and broker differ; a command not seen this long after its expiry will not count any more.
CLOCK_MARGIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a command: `refusal` is None where it was accepted, then `offset` is the new epoch.

    known: what a person should know beside it, of what was looked at before it was sent.
    """

    verb: str
    offset: int
    appended_ms: int
    refusal: str | None
    state: ControlState
    known: tuple[str, ...] = ()

    @property
    def accepted(self) -> bool:
        return self.refusal is None

    @property
    def epoch(self) -> int:
        """In force after this command."""
        return self.state.epoch

    @property
    def ended(self) -> Rollout | None:
        """The rollout that it took over; None where it ended none."""
        return taken_over(self.state.rollout, self.offset)

    @property
    def notes(self) -> tuple[str, ...]:
        """For people, where it was accepted: what to know beside it, and what it ended."""
        if not self.accepted:
            return ()
        return self.known if self.ended is None else (*self.known, over(self.ended, self.state))

    def or_raise(self) -> Sent:
        """Itself, or Refused with what is in force."""
        if self.refusal is not None:
            raise Refused(
                f"{self.verb} was refused: {self.refusal}",
                way_out=f"{instead(self.verb, self.refusal, self.state)} (nothing changed; {self.state.summary()})",
            )
        return self


class ControlClient:
    """Sends commands and follows the log: `with ControlClient(...) as control: control.send(...)`.

    on_entry: is told of every record that is folded, on the follower's thread.
    """

    def __init__(
        self,
        reader: Mapping[str, Any],
        producer: Mapping[str, Any],
        topic: str,
        on_entry: Callable[[Entry], None] | None = None,
        ignore_records: Collection[int] = (),
    ) -> None:
        self._entries: dict[str, Entry] = {}
        self._on_entry = on_entry
        self.follower = ControlFollower(reader, topic, ignore_records, on_entry=self._remember)
        self._producer = Producer({**producer, "message.timeout.ms": DELIVERY_TIMEOUT_MS})
        self._topic = topic

    def __enter__(self) -> ControlClient:
        self.follower.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.follower.stop()
        self._producer.close()

    def _remember(self, entry: Entry) -> None:
        if entry.envelope is not None:
            self._entries.setdefault(entry.envelope.id, entry)
        if self._on_entry is not None:
            self._on_entry(entry)

    def state(self) -> ControlState:
        """In force now, by the log's end as read now. Raises Unreachable."""
        return self.follower.wait_caught_up(FOLD_TIMEOUT_S).state

    def send(
        self,
        verb: str,
        args: Mapping[str, Any],
        *,
        actor: str,
        reason: str = "",
        expected_epoch: int,
        command_id: str | None = None,
    ) -> Sent:
        """Append one command and fold up to it. Raises OutcomeUnknown where it may or may not have landed, ConfigError
        for what no reader would accept: that is not worth a record.
        """
        try:
            envelope = Envelope(
                format=format_of(verb, args),
                id=command_id or str(uuid.uuid4()),
                verb=verb,
                actor=actor,
                reason=reason,
                time=int(time.time() * 1_000),
                expected_epoch=expected_epoch,
                args=dict(args),
            )
            envelope.parsed()
        except ValueError as error:
            raise ConfigError(f"{verb} was not sent: {_words(error)}", way_out="give it a value within that") from None
        offset = self._append(envelope)
        if offset is None:
            return self._look_for(envelope)
        self.follower.wait_folded(offset, FOLD_TIMEOUT_S)
        return _sent(self._entries[envelope.id])

    def _append(self, envelope: Envelope) -> int | None:
        """The record's offset; None where the client cannot say whether it was written."""
        delivered: list[tuple[KafkaError | None, int]] = []

        def report(error: KafkaError | None, message: Message) -> None:
            delivered.append((error, message.offset() or 0))

        value = envelope.model_dump_json().encode()
        self._producer.produce(self._topic, value, envelope.verb.encode(), 0, on_delivery=report)
        self._producer.flush(DELIVERY_TIMEOUT_MS / 1_000 + 1)
        if not delivered:
            return None
        error, offset = delivered[0]
        if error is None:
            return offset
        if error.code() in (KafkaError._MSG_TIMED_OUT, KafkaError._TIMED_OUT, KafkaError.REQUEST_TIMED_OUT):
            return None
        raise KafkaException(error)

    def _look_for(self, envelope: Envelope) -> Sent:
        """P5: unknown until the fold is past the time in which the command could still be accepted."""
        deadline = time.monotonic() + EXPIRES_MS / 1_000 + CLOCK_MARGIN_S
        while time.monotonic() < deadline:
            try:
                self.follower.wait_caught_up(1.0)
            except Exception as error:
                unknown: Exception | None = error
            else:
                unknown = None
            if envelope.id in self._entries:
                return _sent(self._entries[envelope.id])
            time.sleep(0.2)
        if unknown is not None:
            raise OutcomeUnknown(
                f"{envelope.verb} (id {envelope.id}) was sent, and the control log cannot be read: {unknown}",
                way_out="streambg history shows whether it counts, as soon as the broker answers",
            ) from unknown
        raise Refused(
            f"{envelope.verb} (id {envelope.id}) did not reach the control log within {EXPIRES_MS // 1_000} s; "
            "should it still arrive, it is expired",
            way_out="send it again",
        )


def _sent(entry: Entry) -> Sent:
    assert entry.envelope is not None
    return Sent(entry.envelope.verb, entry.offset, entry.appended_ms, entry.refusal, entry.state)


def _words(error: ValueError) -> str:
    """The first thing that is wrong, in a line."""
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
