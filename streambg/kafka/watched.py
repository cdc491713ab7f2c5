"""Clients whose calls are watched (process/watch.py): every one that asks a broker, and none of the per-event path."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from confluent_kafka import Consumer, Message, Producer, TopicPartition

from streambg.kafka.beside import beside
from streambg.process.watch import WATCH

# Calls without a timeout of their own end within the client's: connections are given up after 10 s (profiles.py).
UNTIMED_S = 30.0

Rebalanced = Callable[[Consumer, list[TopicPartition]], None]


class WatchedConsumer(Consumer):
    """A consumer. Its callbacks run inside `poll` and `close`, and may take their time."""

    def subscribe(
        self,
        topics: list[str],
        on_assign: Rebalanced | None = None,
        on_revoke: Rebalanced | None = None,
        on_lost: Rebalanced | None = None,
    ) -> None:
        callbacks = {"on_assign": on_assign, "on_revoke": on_revoke, "on_lost": on_lost}
        super().subscribe(topics, **{name: _apart(one) for name, one in callbacks.items() if one is not None})

    def unsubscribe(self) -> None:
        with WATCH.call("unsubscribe", UNTIMED_S):
            super().unsubscribe()

    def poll(self, timeout: float = -1) -> Message | None:
        with WATCH.call("poll", timeout):
            return super().poll(timeout)

    def consume(self, num_messages: int = 1, timeout: float = -1) -> list[Message]:
        with WATCH.call("consume", timeout):
            return super().consume(num_messages, timeout)

    def committed(self, partitions: list[TopicPartition], timeout: float = -1) -> list[TopicPartition]:
        with WATCH.call("committed", timeout):
            return super().committed(partitions, timeout)

    def commit(self, **what: Any) -> Any:
        with WATCH.call("commit", UNTIMED_S):
            return super().commit(**what)

    def get_watermark_offsets(
        self, partition: TopicPartition, timeout: float = -1, cached: bool = False
    ) -> tuple[int, int]:
        with WATCH.call("get_watermark_offsets", timeout):
            return super().get_watermark_offsets(partition, timeout, cached)

    def offsets_for_times(self, partitions: list[TopicPartition], timeout: float = -1) -> list[TopicPartition]:
        with WATCH.call("offsets_for_times", timeout):
            return super().offsets_for_times(partitions, timeout)

    def close(self) -> None:
        with WATCH.call("close", UNTIMED_S):
            super().close()


class WatchedProducer(Producer):
    """A producer; `produce` and `poll` are the client's own.

    `left_behind`: a call into it has not returned, so nothing else may be asked of it.
    """

    left_behind = False

    def init_transactions(self, timeout: float = -1) -> None:
        with WATCH.call("init_transactions", timeout):
            super().init_transactions(timeout)

    def send_offsets_to_transaction(
        self, positions: list[TopicPartition], group_metadata: Any, timeout: float = -1
    ) -> None:
        call = partial(super().send_offsets_to_transaction, positions, group_metadata, timeout)
        beside("send_offsets_to_transaction", timeout, call, self._leave)

    def commit_transaction(self, timeout: float = -1) -> None:
        beside("commit_transaction", timeout, partial(super().commit_transaction, timeout), self._leave)

    def abort_transaction(self, timeout: float = -1) -> None:
        with WATCH.call("abort_transaction", timeout):
            super().abort_transaction(timeout)

    def flush(self, timeout: float = -1) -> int:
        with WATCH.call("flush", timeout):
            return super().flush(timeout)

    def purge(self, in_queue: bool = True, in_flight: bool = True, blocking: bool = True) -> None:
        if self.left_behind:
            return
        with WATCH.call("purge", UNTIMED_S):
            super().purge(in_queue, in_flight, blocking)

    def _leave(self) -> None:
        self.left_behind = True

    def close(self) -> bool:
        with WATCH.call("close", UNTIMED_S):
            return super().close()


def _apart(callback: Rebalanced) -> Rebalanced:
    """The callback, whose time is not the call's in which it runs."""

    def run(consumer: Consumer, partitions: list[TopicPartition]) -> None:
        with WATCH.callback():
            callback(consumer, partitions)

    return run
