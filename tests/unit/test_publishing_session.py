"""P6, P21-P28: what ends a publisher's session, how one begins, what it may commit; on clients of the test's own."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from control_log import Follower
from idle import Reader
from partition_bench import Bench
from predictions import answers

from streambg.control.follower import LEASE_S
from streambg.errors import Fenced, Gap, SessionEnded, StreambgError
from streambg.publishing import assignment
from streambg.publishing import session as publishing
from streambg.records.batch import encode

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
    monkeypatch.setattr(assignment, "writers", says("ask who wrote the positions", {"dead", "alive"}))
    monkeypatch.setattr(assignment, "members", says("ask who lives", {"t", "alive"}))
    monkeypatch.setattr(assignment, "fence_the_dead", lambda _site, ids: said.append(f"fence {sorted(ids)}"))
    monkeypatch.setattr(session._transaction, "start", says("init_transactions"))
    monkeypatch.setattr(assignment, "read_facts", says("read positions and tails", []))
    follower: Any = session._follower
    follower.wait_caught_up = says("fold", follower.snapshot())
    reader: Any = session._reader
    reader.consumer = type("Consumer", (), {"consumer_group_metadata": says("group metadata", "generation 7")})()
    session._assignment._believe = says("is it the same log")
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


def test_P24_who_is_assigned_nothing_ends_what_it_had_open_and_does_no_more(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would hide the tail from whoever has the partition by now, until the broker ends it, 10 to 20 s later."""
    session, started = publisher(0.0), list[TopicPartition]()
    monkeypatch.setattr(session._transaction, "start", started.append)
    assert session._assume(frozenset()) == {}
    assert [each.topic for each in started] == ["b"]
    assert not session._claim, "there are no positions to claim"


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
