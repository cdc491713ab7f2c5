"""Calls that never return end the process; what took too long is said once; standing still is nobody's fault."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from confluent_kafka import OFFSET_END, KafkaException, TopicPartition

from streambg.errors import Hung
from streambg.kafka.clients import KAFKA
from streambg.process.watch import STILL_S, TICK_S, WATCH, Watch

NEVER = """
import threading
from streambg.process import logs, watch
logs.configure("test")
watch.CONNECTION_S, watch.OVERRUN_S, watch.TICK_S = 0.1, 0.1, 0.02
watch.WATCH.start()
with watch.WATCH.call("commit_transaction", 0.1):
    threading.Event().wait()
"""


def ticks(watch: Watch, now: float, seconds: float) -> tuple[float, list[str]]:
    """(the time then, the names of what was over its limit)."""
    found: list[str] = []
    for _ in range(round(seconds / TICK_S)):
        now += TICK_S
        found += [entry.name for entry in watch.tick(now)]
    return now, found


def begun(now: float = 100.0) -> Watch:
    watch = Watch()
    watch.tick(now)
    return watch


def test_a_call_that_never_returns_ends_the_process_with_its_own_code_and_every_stack() -> None:
    ended = subprocess.run([sys.executable, "-c", NEVER], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == Hung.exit_code
    assert "commit_transaction has not returned" in ended.stderr
    assert "threading.py" in ended.stderr, "where it hangs"


@pytest.mark.parametrize(("timeout", "limit"), [(5.0, 13.0), (0.0, 13.0), (30.0, 33.0)])
def test_a_call_has_its_timeout_and_what_calls_overrun_it_by(timeout: float, limit: float) -> None:
    watch = begun()
    with watch.call("flush", timeout):
        now, found = ticks(watch, 100.0, limit)
        assert found == []
        now, found = ticks(watch, now, 1.0)
        assert found == ["flush"], "said once"
    with watch.call("poll", -1):
        assert ticks(watch, now, 1_000.0)[1] == [], "without a timeout there is none to overrun"


def test_the_innermost_call_of_each_thread_counts_and_a_callback_takes_its_time() -> None:
    watch = begun()
    with watch.call("poll", 0.05):
        now, found = ticks(watch, 100.0, 12.0)
        with watch.callback():
            now, more = ticks(watch, now, 100.0)
            with watch.call("committed", 20.0):
                now, inside = ticks(watch, now, 24.0)
        now, after = ticks(watch, now, 12.0)
        assert (found, more, inside, after) == ([], [], ["committed"], [])
        now, found = ticks(watch, now, 2.0)
        assert found == ["poll"], "counted anew since the callback returned"
    with watch.work("the model", 15.0, lambda _seconds: None):
        assert ticks(watch, now, 16.0)[1] == ["the model"]


def test_time_in_which_the_process_stood_still_counts_for_nobody() -> None:
    watch = begun()
    with watch.call("poll", 0.05):
        now, _ = ticks(watch, 100.0, 1.0)
        assert watch.tick(now + 1_000.0) == []
        assert ticks(watch, now + 1_000.0, 11.0)[1] == []


def test_P21_a_process_knows_that_it_stood_still() -> None:
    watch = Watch()
    assert not watch.stood_still(5.0), "nobody looks yet"
    watch.start()
    assert not watch.stood_still(5.0)
    watch._ticked_at -= STILL_S + 1.0
    assert watch.stood_still(0.0), "it woke up this moment"


def test_clients_are_watched_where_they_ask_a_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody answers there: each call comes back by its own timeout, and leaves nothing behind."""
    asked: list[str] = []
    call = WATCH.call
    monkeypatch.setattr(WATCH, "call", lambda name, timeout: asked.append(name) or call(name, timeout))
    nowhere = {"bootstrap.servers": "127.0.0.1:1", "log_level": 0}
    consumer = KAFKA.consumer({**nowhere, "group.id": "g"})
    consumer.subscribe(["t"], on_assign=lambda *_: None)
    assert consumer.poll(0.0) is None
    assert consumer.consume(10, 0.0) == []
    consumer.unsubscribe()
    where = TopicPartition("t", 0, OFFSET_END)
    for ask in (
        lambda: consumer.committed([where], 0.01),
        lambda: consumer.get_watermark_offsets(where, 0.01),
        lambda: consumer.offsets_for_times([where], 0.01),
        lambda: consumer.commit(offsets=[where], asynchronous=False),
    ):
        with pytest.raises(KafkaException):
            ask()
    consumer.close()
    producer = KAFKA.producer({**nowhere, "transactional.id": "t"})
    with pytest.raises(KafkaException):
        producer.init_transactions(0.01)
    producer.flush(0.01)
    producer.purge()
    assert asked == [
        *("poll", "consume", "unsubscribe", "committed", "get_watermark_offsets", "offsets_for_times", "commit"),
        *("close", "init_transactions", "flush", "purge"),
    ]
    assert WATCH.tick(time.monotonic()) == []
    assert not any(WATCH._stacks.values())
