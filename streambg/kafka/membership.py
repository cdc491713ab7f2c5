"""A process's place in its group, its instance id: who holds it, before each join and when it was lost (P21).

A join takes the place that it names, whoever holds it. That is what a restart needs, and what must not happen between
two processes that live: each would fence the other, again and again. So a process that has been a member looks before
it joins once more, and ends where somebody else is there by now.

Somebody else, or a join of its own: a static member whose join was answered by a broker that died before the answer
arrived joins again under its old member id, and is told that its instance id belongs to another member: the one that
the lost answer had made. Nobody is behind that one, so nobody sends its heartbeats, and the group expels it after a
session. The group says nothing else of who it is: a static member that takes another's place keeps that one's client id
and host. Only a process that stood still need not wait: what it began before was expelled meanwhile.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Protocol

import structlog
from confluent_kafka import ConsumerGroupState, KafkaException
from confluent_kafka.admin import AdminClient

from streambg.errors import Fenced, SessionEnded
from streambg.kafka.errors import is_denied
from streambg.process.watch import WATCH, Watch

# In a process's own environment: its slot is leased (process/slots.py), and it may as well take another one.
LEASED = "STREAMBG_LEASED"

TIMEOUT_S = 10
LOOK_EVERY_S = 0.5
# Whoever fenced us was there before: a silent one is expelled within a session from now, and a busy broker is late.
MARGIN_S = 1.0
# How often it is looked whether every partition is somebody's, until it is.
SHARE_EVERY_S = 5.0
# From waking up to the next join: the session ends, its clients close, the next one may wait 2 s (process/frame.py).
LATELY_S = 5.0

log = structlog.get_logger("streambg.membership")


def members(admin: AdminClient, group: str) -> set[str]:
    """Client ids of the group's living members; a publisher's is its transactional id (P24)."""
    return {member.client_id for member in _described(admin, group)}


def instances(admin: AdminClient, group: str) -> set[str]:
    """Instance ids of the group's living members. Raises KafkaException."""
    return {str(member.group_instance_id) for member in _described(admin, group) if member.group_instance_id}


def lives(admin: AdminClient, group: str) -> dict[str, str]:
    """Instance id -> member id of the group's static members: another one with every start. Raises KafkaException."""
    found = [member for member in _described(admin, group) if member.group_instance_id]
    return {str(member.group_instance_id): member.member_id for member in found}


def hosts(admin: AdminClient, group: str) -> dict[str, str]:
    """Instance id -> host of the group's living static members. Raises KafkaException."""
    found = [member for member in _described(admin, group) if member.group_instance_id]
    return {str(member.group_instance_id): str(member.host) for member in found}


class Session(Protocol):
    """A session as its group sees it."""

    @property
    def member_id(self) -> str:
        """By which it is a member, or was one; "" where it never was."""

    def rejoin(self) -> None:
        """Join again as the member that it is; who leads the group shares the partitions out anew."""


class Place:
    """One process's, from session to session.

    `member`: the configuration of its consumers; `admin`: of a client that may describe its group.
    """

    def __init__(self, member: Mapping[str, Any], admin: Mapping[str, Any], watch: Watch = WATCH) -> None:
        self._group, self._instance = str(member["group.id"]), str(member["group.instance.id"])
        self._session_s = member["session.timeout.ms"] / 1_000
        self._config = dict(admin)
        self._admin: AdminClient | None = None
        self._watch = watch
        self._own = ""  # the member id of the last session that had one
        self._shared: tuple[str, int | None] = ("", None)  # (member id, partitions) that were found shared out
        self._asked: Future[Any] | None = None
        self._due = 0.0

    def look(self) -> None:
        """Before a session joins: raises Fenced where another process has the place, SessionEnded where nobody can say.

        The first one joins without a look: whoever is started takes its slot.
        """
        if not self._own:
            return
        try:
            holder = self._holder()
        except KafkaException as error:
            if not is_denied(error.args[0]):
                raise SessionEnded(f"who is in {self._group} is unknown: {error.args[0].str()}") from error
            log.warning("who_fenced_is_unknown", group=self._group, why=error.args[0].str())
            return
        if holder not in ("", self._own) and self._taken():
            raise Fenced(
                f"another process has joined {self._group} as {self._instance}",
                way_out="give each process its own --slot; this one stops",
            )

    @contextmanager
    def kept(self, session: Session) -> Iterator[None]:
        """Around a session: where it was fenced by a lost join of its own it is only over, and the process goes on.

        Takes up to a session timeout and a second to tell.
        """
        try:
            yield
        except Fenced as error:
            if self._taken():
                raise
            raise SessionEnded(
                f"the answer to a join of our own was lost, and the next one fenced: {error.what}"
            ) from error
        finally:
            self._own = session.member_id or self._own

    def share_out(self, partitions: int | None, session: Session) -> None:
        """Call it at every turn: has somebody each of so many partitions? Where not, the session joins again (P13).

        A static member that comes back is given what it had before, without anybody looking at the topics; and its new
        client knows only the new count, so partitions that were added meanwhile would be nobody's for ever.
        """
        seen, now = (session.member_id, partitions), time.monotonic()
        if partitions is None or not session.member_id or seen == self._shared:
            return
        if self._asked is None and now >= self._due:
            self._due = now + SHARE_EVERY_S
            if self._admin is None:  # a client with nothing in its queue is false
                self._admin = AdminClient(self._config)
            self._asked = self._admin.describe_consumer_groups([self._group], request_timeout=TIMEOUT_S)[self._group]
        if self._asked is None or not self._asked.done():
            return
        group, self._asked = _known(self._asked), None
        if group is None:
            self._admin = None  # as in _holder
            return  # they are being shared out right now, or nobody says
        shared = {spot.partition for member in group.members for spot in member.assignment.topic_partitions}
        missing = sorted(set(range(partitions)) - shared)
        if missing:
            log.warning("nobodys_partitions", group=self._group, partitions=missing)
            session.rejoin()
        else:
            self._shared = seen

    def _taken(self) -> bool:
        """Somebody has our place; another process? Whoever may take another place does not wait for the answer."""
        return LEASED in os.environ or self._watch.stood_still(LATELY_S) or not self._expelled()

    def _expelled(self) -> bool:
        """Does the group expel the member that holds our instance id? Where nobody can say: no."""
        deadline = time.monotonic() + self._session_s + MARGIN_S
        log.warning("fenced", group=self._group, instance=self._instance, what="is somebody there?")
        while True:
            try:
                if not self._holder():
                    return True
            except KafkaException as error:
                log.warning("who_fenced_is_unknown", group=self._group, why=str(error))
                return False
            if time.monotonic() > deadline:
                return False
            time.sleep(LOOK_EVERY_S)

    def _holder(self) -> str:
        """The member id of whoever has our instance id; "" where nobody has.

        A client of its own each time: one that has lost its broker may go on asking the coordinator that it knew, and
        time out for ever (librdkafka issue 5511; seen after a kill -9 of the broker).
        """
        members = _described(AdminClient(self._config), self._group)
        found = (each.member_id for each in members if each.group_instance_id == self._instance)
        return next(found, "")


def _described(admin: AdminClient, group: str) -> list[Any]:
    with WATCH.call("describe_consumer_groups", TIMEOUT_S):
        return list(admin.describe_consumer_groups([group], request_timeout=TIMEOUT_S)[group].result().members)


def _known(answer: Future[Any]) -> Any:
    """The description of a group whose members all know what they have; else None."""
    try:
        group = answer.result()
    except KafkaException as error:
        log.debug("shares_unknown", why=str(error))
        return None
    return group if group.state == ConsumerGroupState.STABLE else None
