"""A topic that is deleted, or made again, ends whoever began with it; nothing else does."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from streambg.errors import Denied, Gap, SessionEnded, StreambgError
from streambg.kafka import identity
from streambg.kafka.identity import EVERY_S, GONE_S, Identity


class Cluster:
    """An admin client whose answers the test gives; `now` is the clock's."""

    def __init__(self) -> None:
        self.now = 100.0
        self.answers: dict[str, str | int] = {"in": "a", "out": "b"}
        self.asked = 0
        self.silent = False

    def __len__(self) -> int:
        """As the real one's: what its queue holds, and so it is false."""
        return 0

    def describe_topics(self, topics: Any, request_timeout: float) -> dict[str, Future[Any]]:
        self.asked += 1
        return {topic: self._answer(topic) for topic in topics.topic_names}

    def _answer(self, topic: str) -> Future[Any]:
        future: Future[Any] = Future()
        answer = self.answers[topic]
        if self.silent:
            return future
        if isinstance(answer, int):
            future.set_exception(KafkaException(KafkaError(answer)))
        else:
            future.set_result(type("Topic", (), {"topic_id": answer, "partitions": [None] * 3}))
        return future


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made = Cluster()
    monkeypatch.setattr(identity, "AdminClient", lambda _config: made)
    monkeypatch.setattr(identity, "time", type("Clock", (), {"monotonic": staticmethod(lambda: made.now)}))
    return made


def looks(topics: Identity, cluster: Cluster, seconds: float) -> None:
    end = cluster.now + seconds
    while cluster.now < end:
        cluster.now += 0.5
        topics.look()


def test_D4_a_topic_that_was_made_again_ends_the_process(cluster: Cluster) -> None:
    topics = Identity({}, {"in": "a new pipeline", "out": "start again"})
    looks(topics, cluster, 60.0)
    assert cluster.asked == pytest.approx(60.0 / EVERY_S, abs=2)
    cluster.answers["in"] = "c"
    with pytest.raises(Gap, match="in: it was deleted and made again") as raised:
        looks(topics, cluster, 2 * EVERY_S)
    assert raised.value.way_out == "a new pipeline"


def test_D4_a_session_begins_in_no_other_topic(cluster: Cluster) -> None:
    topics = Identity({}, {"in": "a new pipeline", "out": "start again"})
    topics.require()
    topics.look()
    cluster.answers["out"] = "c"
    with pytest.raises(Gap, match="out: it was deleted and made again"):
        topics.require()


def test_X4_what_was_read_is_of_the_same_topic_only_if_a_question_asked_now_says_so(cluster: Cluster) -> None:
    topics = Identity({}, {"in": "a new pipeline", "out": "start again"})
    topics.require_still("out")
    topics.look()  # asks, or has asked: an answer of before says nothing
    cluster.answers["out"] = "c"
    topics.require_still("in")  # asks for the one topic: a command waits for the answer
    with pytest.raises(Gap, match="out: it was deleted and made again"):
        topics.require_still("out")


@pytest.mark.parametrize(
    ("says", "raised"),
    [
        (KafkaError._TIMED_OUT, SessionEnded),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, SessionEnded),  # a broker that knows of the old one's end only
        (KafkaError.UNKNOWN, SessionEnded),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, Denied),
    ],
)
def test_P6_who_does_not_say_that_it_is_the_same_topic_has_not_said_it(
    cluster: Cluster, says: int, raised: type[StreambgError]
) -> None:
    topics = Identity({}, {"in": "a new pipeline", "out": "start again"})
    topics.require_still("out")
    cluster.answers["out"] = says
    with pytest.raises(raised, match="asking whether out is still the one that was read"):
        topics.require_still("out")


@pytest.mark.parametrize(("says", "made"), [(KafkaError._TIMED_OUT, 2), (KafkaError.UNKNOWN_TOPIC_OR_PART, 1)])
def test_a_client_that_lost_its_broker_is_asked_no_more(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, says: int, made: int
) -> None:
    clients: list[Cluster] = []
    monkeypatch.setattr(identity, "AdminClient", lambda _config: clients.append(cluster) or cluster)
    topics = Identity({}, {"in": "a new pipeline", "out": "start again"})
    cluster.answers["out"] = says
    looks(topics, cluster, EVERY_S)
    cluster.answers["out"] = "b"
    looks(topics, cluster, 3 * EVERY_S)
    assert len(clients) == made


def test_a_question_that_is_under_way_keeps_its_client(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its client it would be gone, and the next session waited for its answer until the watch ended the process
    (D4c, D7).
    """
    clients: list[Cluster] = []
    monkeypatch.setattr(identity, "AdminClient", lambda _config: clients.append(cluster) or cluster)
    topics = Identity({}, {"in": "a new pipeline", "out": "start again"})
    topics.look()
    topics.require_still("out")
    looks(topics, cluster, 3 * EVERY_S)
    assert len(clients) == 1


def test_D4_questions_for_one_topic_put_off_none_of_those_for_all(cluster: Cluster) -> None:
    topics = Identity({}, {"in": "a new pipeline", "out": "start again"})
    looks(topics, cluster, 60.0)
    before = cluster.asked
    for _ in range(20):
        topics.require_still("out")
        looks(topics, cluster, EVERY_S / 2)
    assert cluster.asked - before == pytest.approx(20 + 10, abs=2)
    cluster.answers["in"] = "c"
    with pytest.raises(Gap, match="in: it was deleted and made again"):
        looks(topics, cluster, 2 * EVERY_S)


def test_a_topic_that_nobody_knows_for_long_was_deleted_and_a_broker_that_starts_is_no_proof(cluster: Cluster) -> None:
    topics = Identity({}, {"in": "a new pipeline", "out": "start again"})
    topics.require()
    topics.look()
    cluster.answers["in"] = KafkaError.UNKNOWN_TOPIC_OR_PART
    looks(topics, cluster, GONE_S / 2)
    cluster.answers["in"] = "a"
    looks(topics, cluster, 2 * EVERY_S)
    cluster.answers["in"] = KafkaError.UNKNOWN_TOPIC_OR_PART
    with pytest.raises(Gap, match="in: it was deleted: no broker has known it"):
        looks(topics, cluster, GONE_S + 3 * EVERY_S)


@pytest.mark.parametrize("says", [KafkaError._TRANSPORT, KafkaError.TOPIC_AUTHORIZATION_FAILED])
def test_whoever_may_not_ask_or_gets_no_answer_goes_on(cluster: Cluster, says: int) -> None:
    topics = Identity({}, {"in": "a new pipeline", "out": "start again"})
    topics.require()
    topics.look()
    cluster.answers["in"] = says
    looks(topics, cluster, 60.0)


def test_P13_it_knows_how_many_partitions_all_of_them_have(cluster: Cluster) -> None:
    topics = Identity({}, {"in": "a new pipeline", "out": "start again"})
    assert topics.partitions("in", "out") is None
    topics.require()
    topics.look()
    assert topics.partitions("in", "out") == 3
    assert topics.partitions("in", "other") is None


def test_a_look_waits_for_nobody(cluster: Cluster) -> None:
    cluster.silent = True
    topics = Identity({}, {"in": "a new pipeline", "out": "start again"})
    looks(topics, cluster, 60.0)
    assert cluster.asked == 1
