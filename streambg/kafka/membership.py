"""Who is a member of a group, and whether the one that fenced us is ourselves (P21).

A static member whose join was answered by a broker that died before the answer arrived joins again under its old member
id, and is told that its instance id belongs to somebody else: to the member that the lost answer had made. Nothing is
wrong then, and nobody else is there. So a process signs its client id, and who was fenced looks whose signature the
member has that holds its instance id now.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import structlog
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from streambg.errors import Fenced, SessionEnded
from streambg.kafka.clients import KAFKA, Clients

TIMEOUT_S = 10
# Tells the processes of one slot apart; eight digits do not collide among a handful.
SIGNATURE = secrets.token_hex(4)
_MARK = "~"

log = structlog.get_logger("streambg.membership")


def signed(name: str) -> str:
    """The client id of this process as the member `name`."""
    return f"{name}{_MARK}{SIGNATURE}"


def name_of(client_id: str) -> str:
    """The member's name, without its process's signature."""
    return client_id.partition(_MARK)[0]


def members(admin: AdminClient, group: str) -> set[str]:
    """Names of the group's living members; a publisher's is its transactional id (P24)."""
    description = admin.describe_consumer_groups([group], request_timeout=TIMEOUT_S)[group].result()
    return {name_of(member.client_id) for member in description.members}


@contextmanager
def own_joins_forgiven(member: Mapping[str, Any], admin: Mapping[str, Any], clients: Clients = KAFKA) -> Iterator[None]:
    """Around a session: where it was fenced by a join of its own, it is over, and the process goes on.

    `member`: the configuration of its consumer; `admin`: of a client that may describe its group.
    """
    try:
        yield
    except Fenced as error:
        if not _ourselves(member, admin, clients):
            raise
        raise SessionEnded(f"an answered join of our own was lost, and the next one fenced: {error.what}") from error


def _ourselves(member: Mapping[str, Any], admin: Mapping[str, Any], clients: Clients) -> bool:
    """Does a member with our instance id and our signature stand in the group? Where nobody can say: no."""
    group, instance = member["group.id"], member["group.instance.id"]
    try:
        described = clients.admin(admin).describe_consumer_groups([group], request_timeout=TIMEOUT_S)[group].result()
    except KafkaException as error:
        log.warning("who_fenced_is_unknown", group=group, why=str(error))
        return False
    holders = {each.client_id for each in described.members if each.group_instance_id == instance}
    return holders == {member["client.id"]}
