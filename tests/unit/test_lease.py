"""P6: whose view of the control log is older than the lease ends its session; on clients of the test's own."""

from __future__ import annotations

import queue
import time
from contextlib import nullcontext, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from control_log import Follower, Log
from idle import Reader
from pipeline_files import loaded, small
from waiting import until

from streambg.comparing import session as comparing
from streambg.control import follower as following
from streambg.control import verbs
from streambg.control.follower import LEASE_S, ControlFollower
from streambg.errors import SessionEnded, Unreachable
from streambg.rollout import controller as rollout
from streambg.web.health import Endpoint


class Record:
    """A consumed message."""

    def __init__(self, offset: int, appended_ms: int, value: bytes) -> None:
        self._all = offset, appended_ms, value

    def error(self) -> None:
        return None

    def offset(self) -> int:
        return self._all[0]

    def timestamp(self) -> tuple[int, int]:
        return 2, self._all[1]

    def value(self) -> bytes:
        return self._all[2]


class ControlTopic:
    """A consumer of a control topic that ends at `end`; it delivers what was `put`."""

    end = 0

    def __init__(self, _config: dict[str, Any]) -> None:
        self._ready: queue.Queue[Record] = queue.Queue()
        self._fetches = False

    def put(self, record: Record) -> None:
        self._ready.put(record)

    def assign(self, _partitions: list[Any]) -> None:
        self._fetches = True

    def get_watermark_offsets(self, _partition: Any, _timeout: float) -> tuple[int, int]:
        assert not self._fetches, "the question waits behind a fetch"
        return 0, self.end

    def poll(self, timeout: float) -> Record | None:
        with suppress(queue.Empty):
            return self._ready.get(timeout=timeout)
        return None

    def consume(self, _count: int, _timeout: float) -> list[Record]:
        return []

    def close(self) -> None: ...


def test_P6_the_view_is_fresh_only_when_folded_to_an_end_read_since(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading the end is not enough, and folding some records is not enough: the end must be folded to."""
    log = Log()
    log.deploy("blue", "m:1")
    log.deploy("green", "m:2")
    monkeypatch.setattr(following, "ASK_END_S", 0.0)
    monkeypatch.setattr(ControlTopic, "end", 2)
    clients: Any = type("Clients", (), {"consumer": ControlTopic, "now": time.monotonic})
    follower = ControlFollower({}, "p.control", clients=clients)
    topic: Any = follower._consumer
    try:
        follower.start()
        topic.put(Record(0, *log.records[0]))
        until(lambda: follower.snapshot().folded == 0, what="the first record is folded")
        assert follower.snapshot().age(time.monotonic()) == float("inf")
        with pytest.raises(Unreachable, match="folded is 0"):
            follower.wait_caught_up(0.05)
        asked = time.monotonic()
        topic.put(Record(1, *log.records[1]))
        assert follower.wait_caught_up(20).fresh_at >= asked
        assert follower.snapshot().folded == 1
    finally:
        follower.stop()


class Mute(ControlTopic):
    """The second that is made, the one that asks, hears nothing any more; those made later do."""

    made = 0

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        Mute.made += 1
        self._mute = Mute.made == 2

    def get_watermark_offsets(self, partition: Any, timeout: float) -> tuple[int, int]:
        if self._mute:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        return super().get_watermark_offsets(partition, timeout)


def test_P6_who_hears_nothing_about_the_logs_end_asks_with_a_new_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client whose broker was killed and came back timed out for ever, and its process with it."""
    monkeypatch.setattr(following, "ASK_END_S", 0.0)
    monkeypatch.setattr(following, "LEASE_S", 0.05)
    monkeypatch.setattr(Mute, "made", 0)
    clients: Any = type("Clients", (), {"consumer": Mute, "now": time.monotonic})
    follower = ControlFollower({}, "p.control", clients=clients)
    try:
        follower.start()
        follower.wait_caught_up(20)
        assert Mute.made == 3
    finally:
        follower.stop()


@pytest.mark.parametrize(("age", "ends"), [(LEASE_S - 5, False), (LEASE_S + 1, True)])
def test_P6_a_comparator_without_the_control_log_ends_its_session(
    age: float, ends: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparing, "CoReader", Reader)
    monkeypatch.setattr(comparing, "Probe", Reader)
    site: Any = type("Site", (), {"reader": {}, "consumer": {}, "predictions": {}})()
    follower: Any = Follower(age)
    evidence: Any = None
    turns: list[object] = []

    def hand_over(work: object) -> frozenset[Any]:
        turns.append(work)
        return frozenset()

    session = comparing.Session(site, follower, evidence, hand_over)
    if ends:
        with pytest.raises(SessionEnded, match=r"the lease is 10 s \(P6\)"):
            session.step()
    else:
        session.step()
    assert len(turns) == (not ends)


class OneTurn:
    """A process whose session may take one turn."""

    def __init__(self, *_: object) -> None:
        self.stopping = False

    def turned(self) -> None: ...

    def wait(self, _seconds: float) -> None:
        self.stopping = True


@pytest.mark.parametrize(("age", "ends"), [(LEASE_S - 5, False), (LEASE_S + 1, True)])
def test_P6_a_rollout_controller_without_the_control_log_ends_its_session(
    age: float, ends: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would go on deciding on what was in force before."""
    follower: Any = Follower(age)
    follower.wait_caught_up = lambda _timeout: follower.snapshot()
    control = SimpleNamespace(follower=follower)
    verdicts = SimpleNamespace(read=lambda _timeout: None)
    monkeypatch.setattr(rollout, "Frame", OneTurn)
    monkeypatch.setattr(rollout, "Broken", Reader)
    monkeypatch.setattr(rollout, "Verdicts", lambda *_: nullcontext(verdicts))
    monkeypatch.setattr(verbs, "client", lambda *_: nullcontext(control))
    turns: list[object] = []
    monkeypatch.setattr(rollout.Controller, "_turn", lambda *given: turns.append(given))
    sender: Any = None
    controller = rollout.Controller(loaded(tmp_path, small()), sender, Endpoint())
    if ends:
        with pytest.raises(SessionEnded, match=r"the lease is 10 s \(P6\)"):
            controller._session()
    else:
        controller._session()
    assert len(turns) == (not ends)
