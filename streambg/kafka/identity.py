"""Whether the topics are still those that a process began with: one that was made again has another id (D4, X4).

Offsets mean the same records only as long as the topic lives. A client goes on by itself in a topic that was deleted
and made again, wherever the offset it wants next happens to stand in the new one; so the ids are asked for again and
again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from streambg.errors import Denied, Gap, SessionEnded, Unreachable
from streambg.kafka.errors import translate
from streambg.process.watch import WATCH

ASK_S = 5.0
# One small request a process, as often as the control log's end is asked for. What is read in between is believed, but
# for commands: a publisher asks before it acts on them.
EVERY_S = 2.0
# A broker that has just started may not know a topic yet; one that nobody knows for so long was deleted. With EVERY_S
# and a broker that is slow to answer, a process halts within 30 s.
GONE_S = 10.0
# How a person goes on where a topic was deleted and made again under a running pipeline.
NEW_PIPELINE = "start a new pipeline name for the new topic"
RESTORE = "restore the control log, or start a new pipeline name"
ANSWER_AGAIN = (
    "start the processes again, then `streambg deploy` the candidate anew, or `--rescore` the live model (P29)"
)
GO_ON = (
    "start the processes again: they go on behind the last settled offset; what was published before is gone with the "
    "topic, and the audit says so"
)
JUDGE_ANEW = (
    "start the comparators again, then `streambg deploy` the candidate anew: its evidence begins with the new topic"
)

_UNKNOWN = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC)

log = structlog.get_logger("streambg.process")


class Identity:
    """The topics of one process. `ways_out`: topic -> how a person goes on where it was made again."""

    def __init__(self, config: Mapping[str, Any], ways_out: Mapping[str, str]) -> None:
        self._config = config
        self._ways_out = ways_out
        self._admin: AdminClient | None = None
        self._ids: dict[str, str] = {}
        self._partitions: dict[str, int] = {}
        self._gone_since: dict[str, float] = {}
        self._asked: dict[str, Future[Any]] = {}
        self._due = 0.0

    def look(self) -> None:
        """Costs next to nothing and waits for nobody: call it at every turn. Raises Gap."""
        now = time.monotonic()
        if self._asked:
            if all(answer.done() for answer in self._asked.values()):
                self._judge(now)
        elif now >= self._due:
            self._ask(now)

    def require(self) -> None:
        """Before a session: waits for the answer, but for the first one's, which has nothing to compare with.

        Raises Gap; a broker that does not answer is the session's matter.
        """
        now = time.monotonic()
        if not self._asked:
            self._ask(now)
        if not self._ids:
            return
        with WATCH.call("describe_topics", ASK_S):
            self._judge(now)

    def require_still(self, topic: str) -> None:
        """The topic is the one that it was at the first such question: asks now, and waits for the answer.

        Raises Gap where it is another one; where nobody says it, SessionEnded, or Denied.
        """
        asked = self._describe([topic])[topic]
        with WATCH.call("describe_topics", ASK_S):
            error = self._hear(topic, asked, time.monotonic())
        if error is None:
            return
        self._lost(error)
        meant = translate(error, f"asking whether {topic} is still the one that was read")
        raise meant if isinstance(meant, Denied) else SessionEnded(meant.what)

    def partitions(self, *topics: str) -> int | None:
        """How many each of these has, as they said last (P13); None where one has not said it."""
        counts = [self._partitions.get(topic) for topic in topics]
        return None if None in counts else min(count for count in counts if count is not None)

    def _ask(self, now: float) -> None:
        self._due = now + EVERY_S
        self._asked = self._describe(list(self._ways_out))

    def _describe(self, topics: list[str]) -> dict[str, Future[Any]]:
        if self._admin is None:  # by identity: a client with nothing in its queue is as false as an empty list
            self._admin = AdminClient(dict(self._config))
        return self._admin.describe_topics(TopicCollection(topics), request_timeout=ASK_S)

    def _judge(self, now: float) -> None:
        asked, self._asked = self._asked, {}
        for error in [self._hear(topic, answer, now) for topic, answer in asked.items()]:
            self._lost(error)

    def _hear(self, topic: str, answer: Future[Any], now: float) -> KafkaError | None:
        """Raises Gap; returns the error that came in the place of an answer."""
        try:
            described = answer.result()
        except KafkaException as error:
            why: KafkaError = error.args[0]
            self._missing(topic, why, now)
            return why
        found = str(described.topic_id)
        self._partitions[topic] = len(described.partitions)
        self._gone_since.pop(topic, None)
        begun = self._ids.setdefault(topic, found)
        if begun != found:
            raise self._gap(
                topic, f"it was deleted and made again, or this is another cluster: its id is {found}, was {begun}"
            )
        return None

    def _lost(self, error: KafkaError | None) -> None:
        """A client that lost its broker may time out for ever: the next question goes through a new one, and what the
        old one was asked is never answered.
        """
        if error is not None and isinstance(translate(error), Unreachable):
            self._admin, self._asked = None, {}

    def _missing(self, topic: str, error: KafkaError, now: float) -> None:
        """Only what was there can be gone; a right that is missing, or a broker that is away, says nothing."""
        if topic not in self._ids or error.code() not in _UNKNOWN:
            log.debug("topic_id_unknown", topic=topic, why=error.str())
            return
        since = self._gone_since.setdefault(topic, now)
        if now - since >= GONE_S:
            raise self._gap(topic, f"it was deleted: no broker has known it for {now - since:.0f} s")

    def _gap(self, topic: str, what: str) -> Gap:
        return Gap(f"{topic}: {what}; offsets no longer mean the same records", way_out=self._ways_out[topic])
