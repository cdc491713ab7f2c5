"""Whether the places that `up` is about to fill are somebody's: a second `up` would take them from the first."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from streambg.config import Pipeline
from streambg.errors import Refused
from streambg.kafka import profiles
from streambg.kafka.errors import translate
from streambg.kafka.membership import hosts
from streambg.process import sites
from streambg.topicplan import Role

# The group expels a member that is gone within a session of its last word, and a busy broker is late.
MARGIN_S = 1.0
GONE_S = profiles.SESSION_TIMEOUT_MS / 1_000 + MARGIN_S
LOOK_EVERY_S = 0.5

Holders = Mapping[str, str]  # place, in words -> the host of the member that has it


def require_free(pipeline: Pipeline, scorers: int, publishers: int, note: Callable[[str], None]) -> None:
    """Raises Refused where living members have these places, Unreachable, Denied.

    A member that has ended, in whatever way, keeps its place for a session: that long it is waited for.
    """
    admin = AdminClient({**profiles.admin(pipeline), "log_level": 0})
    places = places_of(pipeline, scorers, publishers)
    await_free(lambda: holders(admin, places), note)


def places_of(pipeline: Pipeline, scorers: int, publishers: int) -> dict[str, tuple[str, str]]:
    """In words -> (group, instance id), of every member that `up` starts."""
    counts: dict[Role, int] = {
        "scorer.blue": scorers,
        "scorer.green": scorers,
        "publisher": publishers,
        "comparator": 1,
    }
    named = ((role, count, sites.slots(pipeline, role)) for role, count in counts.items())
    return {
        f"{role} slot {slot}": (slots.group, slots.name(slot)) for role, count, slots in named for slot in range(count)
    }


def holders(admin: AdminClient, places: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    """Those of the places that members have. Raises Unreachable, Denied."""
    members: dict[str, dict[str, str]] = {}
    for group in {group for group, _ in places.values()}:
        try:
            members[group] = hosts(admin, group)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.GROUP_ID_NOT_FOUND:  # a group that never was has no members
                raise translate(error, f"asking who is in {group}") from error
            members[group] = {}
    return {
        place: members[group][instance] for place, (group, instance) in places.items() if instance in members[group]
    }


def await_free(look: Callable[[], Holders], note: Callable[[str], None], wait_s: float = GONE_S) -> None:
    """Until nobody has the places. Raises Refused after `wait_s` seconds: who is still there then is alive."""
    deadline = time.monotonic() + wait_s
    if not (held := look()):
        return
    note(
        f"{_named(held)}: taken; whoever has just ended keeps them for {wait_s:g} s at most, which is waited for "
        "(--take-over does not)"
    )
    while held := look():
        if time.monotonic() > deadline:
            raise Refused(
                f"this pipeline runs already: {_named(held)} answered their groups for {wait_s:g} s",
                way_out="end that `up`, or those processes; or streambg up --take-over: then they end with exit code 7",
            )
        time.sleep(LOOK_EVERY_S)


def _named(held: Holders) -> str:
    where = ", ".join(sorted({host.lstrip("/") for host in held.values()}))
    return f"{', '.join(held)} (at {where})"
