"""P4, P6-P10: what a scorer's session may commit, how it begins, what ends it; on clients of the test's own."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition
from control_log import Follower, Log

from streambg.control.follower import LEASE_S, Snapshot
from streambg.errors import Denied, Gap, SessionEnded, StreambgError, Unreachable
from streambg.records.batch import Batch, encode
from streambg.scoring import positions
from streambg.scoring import session as scoring
from streambg.scoring.own_topic import Checked, OwnTopic
from streambg.scoring.site import Site


class Deliveries:
    """A producer that delivers when told to."""

    def __init__(self) -> None:
        self.waiting: deque[Callable[[Any, Any], None]] = deque()
        self.said: list[str] = []

    def produce(self, *_: object, on_delivery: Callable[[Any, Any], None], headers: object) -> None:
        self.said.append("produce")
        self.waiting.append(on_delivery)

    def deliver(self, error: KafkaError | None = None) -> None:
        self.waiting.popleft()(error, None)

    def poll(self, _timeout: float) -> None: ...

    def flush(self, _timeout: float) -> int:
        self.said.append("flush")
        while self.waiting:
            self.deliver()
        return 0


class Commits:
    """A consumer that remembers what was committed."""

    def __init__(self) -> None:
        self.offsets: list[int] = []
        self.acknowledged: list[int] = []  # of them those that were waited for
        self.before: dict[int, str] = {}  # partition -> metadata of its position at 10
        self.ends = 0, 0  # where the input begins and ends

    def subscribe(self, *_: object, **__: object) -> None: ...

    def committed(self, partitions: list[TopicPartition], _timeout: float) -> list[TopicPartition]:
        return [TopicPartition(each.topic, each.partition, 10, self.before[each.partition]) for each in partitions]

    def poll(self, _timeout: float) -> None: ...

    def get_watermark_offsets(self, _partition: TopicPartition, _timeout: float) -> tuple[int, int]:
        return self.ends

    def commit(self, offsets: list[Any], asynchronous: bool) -> None:
        self.offsets += [position.offset for position in offsets]
        if not asynchronous:
            self.acknowledged += [position.offset for position in offsets]


class Own:
    """The color's own topic without a hole."""

    def __init__(self, *_: object) -> None: ...

    def check(self) -> None: ...

    def states(self) -> dict[int, Checked]:
        return {0: Checked(0, -1)}

    def end(self, _partition: int) -> int:
        return 3

    def scan(self, _partition: int, _deployment: int, since: Checked) -> tuple[int | None, int]:
        return since.covered, 3

    def follow(self, _deployment: int, starts: dict[int, Checked]) -> None: ...


@pytest.fixture
def scorer(monkeypatch: pytest.MonkeyPatch) -> tuple[scoring.Session, Deliveries, Commits]:
    """A session with partition 0 assigned at source offset 0."""
    producer, consumer = Deliveries(), Commits()
    monkeypatch.setattr(scoring, "OwnTopic", Own)
    clients: Any = type(
        "Clients",
        (),
        {"producer": lambda _config: producer, "consumer": lambda _config: consumer, "now": time.monotonic},
    )
    site = Site(
        "p", "blue", "in", "p.blue", ("p.blue",), "p.publisher", frozenset(), {}, {}, {}, {}, "ab12cd34", {}, clients
    )
    answerer: Any = type("Scoring", (), {"deployment": 4})()
    follower: Any = None
    session = scoring.Session(site, follower, answerer, follower)
    session._lanes = {0: scoring._Lane(-1, -1, -1)}
    return session, producer, consumer


def with_deployment_4(session: scoring.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control log's view, while nothing is settled."""
    log = Log()
    for number in range(5):
        log.deploy("blue", "m:1", rescore=number > 0)
    follower: Any = type("Follower", (), {"wait_caught_up": lambda _self, _timeout: Snapshot(log.fold.state, 4, 0.0)})()
    session._positions._follower = follower
    monkeypatch.setattr(positions, "read_settled", lambda *_: {})


def batch_of(after: int, upto: int, deployment: int = 4) -> Batch:
    offsets = np.arange(after + 1, upto + 1)
    n = len(offsets)
    keys, statuses = [None] * n, np.zeros(n, np.uint8)
    return Batch(
        deployment, after, upto, False, 0, 0, offsets, 0 * offsets, statuses, np.zeros((n, 1)), keys, [b"v"] * n
    )


def send(session: scoring.Session, after: int, upto: int) -> None:
    session._send(0, session._lanes[0], batch_of(after, upto))


Scorer = tuple[scoring.Session, Deliveries, Commits]


@pytest.mark.parametrize(("age", "ends"), [(LEASE_S - 5, False), (LEASE_S + 1, True)])
def test_P6_a_scorer_without_the_control_log_ends_its_session(age: float, ends: bool, scorer: Scorer) -> None:
    session, _, _ = scorer
    follower: Any = Follower(age)
    session._follower = follower
    if ends:
        with pytest.raises(SessionEnded, match=r"the lease is 10 s \(P6\)"):
            session.step()
    else:
        session.step()


def test_P10_the_first_batch_is_delivered_before_the_second_is_handed_over(scorer: Scorer) -> None:
    session, producer, _ = scorer
    for first in (0, 5, 10):
        send(session, first - 1, first + 4)
    assert producer.said == ["produce", "flush", "produce", "produce"]


def test_P10_a_commit_never_passes_an_undelivered_batch(scorer: Scorer) -> None:
    session, producer, consumer = scorer
    for first in (0, 5, 10):
        send(session, first - 1, first + 4)
    session._commit(asynchronous=True)
    assert consumer.offsets == [5], "only the first is delivered"
    producer.deliver()
    session._commit(asynchronous=True)
    assert consumer.offsets == [5, 10]
    session._commit(asynchronous=True)
    assert consumer.offsets == [5, 10], "nothing new is nothing to commit"
    session._settle_accounts()
    assert consumer.offsets == [5, 10, 15], "before a swap all of them are delivered and committed"


def test_P10_a_failed_delivery_ends_the_session_and_nothing_behind_it_is_committed(scorer: Scorer) -> None:
    session, producer, consumer = scorer
    for first in (0, 5, 10):
        send(session, first - 1, first + 4)
    producer.deliver(KafkaError(KafkaError._MSG_TIMED_OUT))
    producer.deliver()  # librdkafka lets later messages go on
    with pytest.raises(SessionEnded, match="_MSG_TIMED_OUT"):
        session._settle_accounts()
    session._commit(asynchronous=True)
    assert consumer.offsets == [5], "not the batch behind the failed one"


def test_P4_a_scorer_that_loaded_another_file_says_so_at_its_assignment(
    scorer: Scorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not only when the next event comes; one that loaded the same file commits nothing."""
    session, _, consumer = scorer
    with_deployment_4(session, monkeypatch)
    consumer.before = {0: '[4,3,9,"ab12cd34"]', 1: '[4,3,9,"00000000"]', 2: "[4,3,9]"}
    assert session._take_up([0]) == {0: 10}
    assert consumer.offsets == []
    assert session._take_up([0, 1, 2]) == {0: 10, 1: 10, 2: 10}
    assert consumer.offsets == [10, 10]


def test_P7_a_restart_commits_what_its_own_topic_has_and_goes_on_behind_it(
    scorer: Scorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that takes longer than the group waits for a poll never commits, and must get on all the same."""
    session, _, consumer = scorer
    with_deployment_4(session, monkeypatch)
    monkeypatch.setattr(Own, "scan", lambda _self, partition, _deployment, _since: ((14, 9, 5)[partition], 3))
    consumer.before = dict.fromkeys(range(3), '[4,3,9,"ab12cd34"]')
    assert session._take_up([0, 1, 2]) == {0: 15, 1: 10, 2: 6}
    assert consumer.acknowledged == [15], "before the first batch (P11)"
    assert consumer.offsets == [15], "partition 2 has a hole, which is answered again from its beginning (P8)"


def test_P29_retention_that_overtook_a_scorer_is_named_for_its_own_partitions_only(scorer: Scorer) -> None:
    """What the client still says of a partition that was revoked is no end of this process: another one has it."""
    session, _, consumer = scorer
    consumer.ends = (1_899, 3_719)
    session._lanes[0].scored = 513

    def said(partition: int) -> StreambgError:
        gone = KafkaError(KafkaError._AUTO_OFFSET_RESET)
        return session._failed([Message(topic="in", partition=partition, offset=514, error=gone)])

    found = said(0)
    assert isinstance(found, Gap)
    assert "in/0: offset 514 comes next, and the input holds 1899 to 3718 only" in found.what
    assert isinstance(said(1), SessionEnded)


class OwnTopicReader:
    """A consumer of a color's own topic that hands out what is `ready`; `low` and `high` are the log's."""

    def __init__(self, _config: object) -> None:
        self.ready: list[Message] = []
        self.low, self.high = 0, 0
        self.assigned: list[int] = []

    def assign(self, partitions: list[TopicPartition]) -> None:
        self.assigned += [each.offset for each in partitions]

    def get_watermark_offsets(self, _partition: TopicPartition, _timeout: float) -> tuple[int, int]:
        return self.low, self.high

    def consume(self, _count: int, _timeout: float) -> list[Message]:
        found, self.ready = self.ready, []
        return found


def test_P8_a_hole_in_its_own_topic_ends_a_scorers_session() -> None:
    """What readers will see counts, not what was sent: a zombie may have written between two batches."""
    clients: Any = type("Clients", (), {"consumer": OwnTopicReader})
    own = OwnTopic({}, "p.blue", clients)
    reader: Any = own._consumer

    def stands_there(*batches: Batch) -> None:
        reader.ready = [
            Message(topic="p.blue", partition=0, offset=offset, value=encode(batch))
            for offset, batch in enumerate(batches, own.states()[0].next_offset)
        ]

    own.follow(4, {0: Checked(3, 9)})
    stands_there(batch_of(9, 14), batch_of(11, 14), batch_of(0, 99, deployment=3), batch_of(14, 17))
    own.check()
    assert own.states() == {0: Checked(7, 17)}, "a repeat and another deployment's batch are none of it"
    stands_there(batch_of(19, 25))
    with pytest.raises(SessionEnded, match=r"p\.blue/0@7 answers from 20, covered is 17: a hole"):
        own.check()


def test_P8_what_expired_of_the_own_topic_behind_the_last_commit_is_not_waited_for() -> None:
    """A partition without events for as long as predictions are kept: the last commit had not seen the last batch."""
    clients: Any = type("Clients", (), {"consumer": OwnTopicReader, "now": time.monotonic})
    own = OwnTopic({}, "p.blue", clients)
    reader: Any = own._consumer
    reader.low, reader.high = 8, 8
    assert own.scan(0, 4, Checked(7, 17)) == (17, 8)
    assert reader.assigned == [8], "from 7 on the broker has nothing to give, and says so with an error"


def test_P8_what_a_revoke_finds_wrong_does_not_pass_through_the_clients_callback(scorer: Scorer) -> None:
    session, _producer, consumer = scorer
    send(session, -1, 9)
    session._failure = Unreachable("the control log's end was not folded", way_out="wait")
    session._revoked(consumer, [])  # type: ignore[arg-type] # a stand-in
    assert session._lanes == {}


def _by(cause: BaseException | None) -> SystemError:
    error = SystemError("<built-in method flush> returned NULL without setting an exception")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("cause", "becomes"),
    [
        (KafkaException(KafkaError(KafkaError.CLUSTER_AUTHORIZATION_FAILED)), Denied),
        (None, SessionEnded),  # more callbacks came behind it; the next session's client meets it again
        (KeyboardInterrupt(), SystemError),
    ],
    ids=["of the client", "lost", "anything else"],
)
def test_P21_what_the_client_makes_of_its_fatal_error_ends_the_session_and_is_no_traceback(
    cause: BaseException | None, becomes: type[BaseException], scorer: Scorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, _, _ = scorer

    def step() -> None:
        raise _by(cause)

    monkeypatch.setattr(session, "step", step)
    monkeypatch.setattr(session, "_end", lambda: None)
    with pytest.raises(becomes):
        session.run(lambda: False)
