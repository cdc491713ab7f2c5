"""Whether the member that fenced us is another process, or a join of our own whose answer was lost (P21).

A static member whose join was answered by a broker that died before the answer arrived joins again under its old member
id, and is told that its instance id belongs to another member: the one that the lost answer had made. Nobody is behind
that one, so nobody sends its heartbeats, and the group expels it after a session. The group says nothing else of who it
is: a static member that takes another's place keeps that one's client id and host.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from streambg.errors import Fenced, SessionEnded

TIMEOUT_S = 10
LOOK_EVERY_S = 0.5
# The group looks for silent members about once a second, and heartbeats come twice as often.
MARGIN_S = 2.0

log = structlog.get_logger("streambg.membership")


def members(admin: AdminClient, group: str) -> set[str]:
    """Client ids of the group's living members; a publisher's is its transactional id (P24)."""
    description = admin.describe_consumer_groups([group], request_timeout=TIMEOUT_S)[group].result()
    return {member.client_id for member in description.members}


@dataclass(slots=True)
class Pulse:
    """When the process's loop turned last: one that stood still for long was replaced rightly."""

    turned_at: float = field(default_factory=time.monotonic)

    def around(self, stopping: Callable[[], bool]) -> Callable[[], bool]:
        """What the loop asks at each turn, noticed here."""

        def turn() -> bool:
            self.turned_at = time.monotonic()
            return stopping()

        return turn


@contextmanager
def own_joins_forgiven(member: Mapping[str, Any], admin: Mapping[str, Any]) -> Iterator[Pulse]:
    """Around a session: where it was fenced by a lost join of its own it is only over, and the process goes on.

    `member`: the configuration of its consumer; `admin`: of a client that may describe its group. Takes up to a session
    timeout and 2 s to tell. A loop that did not turn for `max.poll.interval.ms` is not given the time.
    """
    pulse = Pulse()
    try:
        yield pulse
    except Fenced as error:
        silent_s = time.monotonic() - pulse.turned_at
        if silent_s * 1_000 > member["max.poll.interval.ms"] or not _expelled(member, admin):
            raise
        raise SessionEnded(
            f"the answer to a join of our own was lost, and the next one fenced: {error.what}"
        ) from error


def _expelled(member: Mapping[str, Any], admin: Mapping[str, Any]) -> bool:
    """Does the group expel the member that holds our instance id? Where nobody can say: no."""
    group, instance = member["group.id"], member["group.instance.id"]
    client = AdminClient(dict(admin))
    deadline = time.monotonic() + member["session.timeout.ms"] / 1_000 + MARGIN_S
    log.warning("fenced", group=group, instance=instance, what="is somebody there?")
    while True:
        try:
            described = client.describe_consumer_groups([group], request_timeout=TIMEOUT_S)[group].result()
        except KafkaException as error:
            log.warning("who_fenced_is_unknown", group=group, why=str(error))
            return False
        if all(each.group_instance_id != instance for each in described.members):
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_EVERY_S)
