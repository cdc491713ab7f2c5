"""P6, P8, P10, P21-P24: what ends a session, how one begins, what it may commit; on clients of the test's own."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from control_log import Follower, Log
from partition_bench import Bench
from pipeline_files import loaded, small
from predictions import answers
from waiting import until

from streambg.comparing import session as comparing
from streambg.control import follower as following
from streambg.control import verbs
from streambg.control.follower import LEASE_S, ControlFollower
from streambg.errors import Fenced, Gap, SessionEnded, StreambgError, Unreachable
from streambg.publishing import session as publishing
from streambg.records.batch import encode
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


class Reader:
    """A co-partitioned reader that is never assigned anything."""

    paused: frozenset[Any] = frozenset()
    partitions: frozenset[int] = frozenset()

    def __init__(self, *_: object) -> None: ...

    def poll(self, _timeout: float, _limit: int) -> list[Any]:
        return []

    def next_offset(self, _color: str, _partition: int) -> int:
        return 0

    def close(self) -> None: ...


Publisher = Callable[[float], publishing.Session]


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch) -> Publisher:
    """A session that is never assigned anything; its view of the control log is so many seconds old."""
    monkeypatch.setattr(publishing, "CoReader", Reader)
    clients = type("Clients", (), {"admin": dict, "now": time.monotonic})
    names = {"transactional_id": "t", "consumer": {}, "admin": {}, "records": 1, "every_s": 60.0}
    names |= {"predictions": {"blue": "b", "green": "g"}}
    names |= {"all_transactional_ids": frozenset({"t"}), "reader": {}, "producer": {}, "group": "g"}
    site: Any = type("Site", (), {**names, "clients": clients})()
    meter: Any = type("Meter", (), {"alarm": None})

    def made(age: float) -> publishing.Session:
        follower: Any = Follower(age)
        return publishing.Session(site, follower, meter, lambda: None)

    return made


def test_P28_without_a_route_nothing_is_committed(publisher: Publisher) -> None:
    """Not even for the claim of its positions; a producer to open it with there is none here."""
    session = publisher(0.0)
    session._claim = True
    session.step()
    assert session._claim, "once there is a route"


def test_P19_a_command_waits_for_the_end_of_the_transaction_that_is_open(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = publisher(0.0)
    committed: list[int] = []

    def commit() -> None:
        committed.append(session._folded)
        session._transaction._open_since, session._hurry = None, False

    monkeypatch.setattr(session, "_commit", commit)
    session._transaction._open_since = time.monotonic()
    before = session._folded
    session.step()
    assert committed == [before], "and is not made to wait for the interval"
    session.step()
    assert session._folded == -1, "what the follower has folded"


def test_P21_a_revoke_with_an_open_transaction_ends_the_session(publisher: Publisher) -> None:
    """What it had written would be committed by nobody; without one a revoke is an ordinary thing."""
    session = publisher(0.0)
    session._drop()
    session._transaction._open_since = time.monotonic()
    with pytest.raises(SessionEnded, match=r"revoked with a transaction open \(P21\)"):
        session._drop()
    assert not session._transaction.open, "nothing is committed, and nothing aborted by hand"


def test_P24_an_assignment_is_taken_up_in_this_order(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    """P22 and P25, too: the group's metadata is the assignment's, and the log is folded before the tails are read."""
    said: list[str] = []

    def says(what: str, gives: Any = None) -> Callable[..., Any]:
        def say(*_: object, **__: object) -> Any:
            said.append(what)
            return gives

        return say

    session = publisher(0.0)
    monkeypatch.setattr(publishing, "writers", says("ask who wrote the positions", {"dead", "alive"}))
    monkeypatch.setattr(publishing, "members", says("ask who lives", {"t", "alive"}))
    monkeypatch.setattr(publishing, "fence_the_dead", lambda _site, ids: said.append(f"fence {sorted(ids)}"))
    monkeypatch.setattr(session._transaction, "start", says("init_transactions"))
    monkeypatch.setattr(publishing, "read_facts", says("read positions and tails", []))
    follower: Any = session._follower
    follower.wait_caught_up = says("fold", follower.snapshot())
    reader: Any = session._reader
    reader.consumer = type("Consumer", (), {"consumer_group_metadata": says("group metadata", "generation 7")})()
    session._believe = says("is it the same log")
    assert session._assume(frozenset({0})) == {}
    assert said == [
        "ask who wrote the positions",
        "ask who lives",
        "fence ['dead']",
        "init_transactions",
        "group metadata",
        "fold",
        "read positions and tails",
        "fold",
        "is it the same log",
    ]
    assert session._claim, "the first transaction is a claim"


def test_P6_commands_of_a_log_that_was_made_again_move_nothing(publisher: Publisher) -> None:
    """X4: they may stand exactly where the next ones were expected."""

    def other_log() -> None:
        raise Gap("it was deleted and made again", way_out="restore it")

    session = publisher(0.0)
    session._believe = other_log
    with pytest.raises(Gap):
        session._look()
    assert session._folded == -2, "nothing of it is in force"


def test_P6_an_answer_that_took_too_long_is_none(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lease is judged again behind it: what was folded before may be too old by then."""
    session = publisher(LEASE_S - 1.0)
    later = time.monotonic() + 2.0
    session._believe = lambda: monkeypatch.setattr(session._clients, "now", lambda: later)
    with pytest.raises(SessionEnded, match="the lease is"):
        session._look()
    assert session._folded == -2, "nothing of it is in force"


def test_P22_a_commit_carries_the_groups_metadata_of_the_assignment(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked for later it names the next generation, and a stale member could commit."""
    session = publisher(0.0)
    reader: Any = session._reader
    reader.consumer = type("Consumer", (), {"consumer_group_metadata": lambda _self: "generation 8"})()
    session._group_metadata = "generation 7"
    committed: list[object] = []
    monkeypatch.setattr(session._transaction, "deliver", lambda: None)
    monkeypatch.setattr(session._transaction, "commit", lambda _positions, metadata: committed.append(metadata))
    session._commit()
    assert committed == ["generation 7"]


def test_P26_what_is_read_below_settled_moves_a_position_though_nothing_is_published(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it stays where it is until those predictions are gone, and a later session says that answers are missing."""
    bench = Bench()
    bench.say("promote", candidate=1)
    bench.offer("green", answers(1, -1, 1))
    bench.everything()
    session, committed = publisher(0.0), list[list[int]]()

    def commit() -> None:
        committed.append(sorted(session._dirty))
        session._dirty.clear()
        session._committed_at = time.monotonic()

    monkeypatch.setattr(session, "_commit", commit)
    monkeypatch.setattr(session._transaction, "begin", lambda: None)
    session.partitions, session._state = {3: bench.partition}, bench.log.fold.state
    assert session._offer("blue", 3, 0, encode(answers(0, -1, 1))) == 2
    session._publish()
    assert committed == [], "a transaction for it may wait"
    session._transaction.trouble.signs.append("FAIL: the coordinator's connection")
    session._committed_at -= publishing.TIDY_S
    session._publish()
    session._publish()
    assert committed == [[3]]
    assert session._transaction.trouble.signs, "what speaks against the session's transactions is not forgotten (P21)"
    assert session.partitions[3].positions("t", "")["blue"][0] == 1
    session.site.predictions["blue"] = "p.blue"  # type: ignore[index] # a stand-in's
    session._meter = SimpleNamespace(alarm=lambda _words: None)  # type: ignore[assignment] # nobody is told
    assert session._offer("blue", 3, 1, b"no batch") == 0
    session._committed_at -= publishing.TIDY_S
    session._publish()
    assert session.partitions[3].positions("t", "")["blue"][0] == 2, "nor does junk hold a position back"
    assert committed == [[3], [3]]


@pytest.mark.parametrize(("age", "ends"), [(LEASE_S - 5, False), (LEASE_S + 1, True)])
def test_P6_a_publisher_without_the_control_log_ends_its_session(age: float, ends: bool, publisher: Publisher) -> None:
    session = publisher(age)
    session._folded = session._follower.snapshot().folded  # nothing new is folded: nobody can say whether there is
    if ends:
        with pytest.raises(SessionEnded, match=r"the lease is 10 s \(P6\)"):
            session.step()
    else:
        session.step()


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


@pytest.mark.parametrize(
    ("code", "becomes"),
    [
        (KafkaError._FENCED, Fenced),
        (KafkaError.FENCED_INSTANCE_ID, Fenced),
        (KafkaError.INVALID_PRODUCER_EPOCH, Fenced),
        (KafkaError.COORDINATOR_NOT_AVAILABLE, SessionEnded),
    ],
)
def test_P21_a_fenced_publisher_exits_and_whatever_else_happens_ends_the_session(
    code: int, becomes: type[StreambgError], publisher: Publisher
) -> None:
    """A new session would take the slot back from its successor."""
    assert type(publisher(0.0)._translated(KafkaException(KafkaError(code)))) is becomes
