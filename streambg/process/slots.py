"""Which slot a member takes: the one it is given, its ordinal in a StatefulSet, or one that nobody has.

A leased slot needs no lock of its own, for a slot's name is the member's instance id and the group gives that to one
member at a time. Whoever is given none asks the group who is there and takes the lowest slot that nobody has. Two may
take the same one at once; then the one that joined last has it, the group fences the other (P21), and that one starts
over: it asks again, sees the slot taken, and takes another. Nothing is lost by it: what a fenced member wrote is not
visible, and its partitions are the other's.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from streambg.errors import ConfigError
from streambg.kafka.errors import translate
from streambg.kafka.membership import LEASED, instances

ORDINAL, FREE = "ordinal", "free"
# A member that has left without a word keeps its slot for a session, 6 s.
LOOK_AGAIN_S = 1.0
# That a slot is taken is in the way of nobody for this long: a restart of the member that had it last.
SAY_AFTER_S = 10.0

_ORDINAL = re.compile(r"-(\d{1,6})$")

log = structlog.get_logger("streambg.process")


@dataclass(frozen=True, slots=True)
class Slots:
    """The places of one group: `name(slot)` is a member's instance id; `count` None: as many as one likes."""

    group: str
    name: Callable[[int], str]
    count: int | None = None

    def free(self, taken: set[str]) -> int | None:
        """The lowest that nobody has."""
        slot = 0
        while self.count is None or slot < self.count:
            if self.name(slot) not in taken:
                return slot
            slot += 1
        return None


def said(word: str, host: str | None = None) -> int | None:
    """`3` is 3, `ordinal` the number at the end of the host's name, `free` None: any. Raises ConfigError."""
    if word == FREE:
        return None
    if word == ORDINAL:
        host = socket.gethostname() if host is None else host
        found = _ORDINAL.search(host)
        if found is None:
            raise ConfigError(
                f"--slot {ORDINAL}: the host's name, {host}, does not end in a number as a StatefulSet's pods do",
                way_out=f"give the number itself, or --slot {FREE}",
            )
        return int(found[1])
    if not word.isdecimal():
        raise ConfigError(f"--slot {word} is no slot", way_out=f"a number from 0 on, {ORDINAL}, or {FREE}")
    return int(word)


def lease(slots: Slots, admin: Mapping[str, Any]) -> int:
    """A slot that nobody has; waits for one. Raises Unreachable, Denied."""
    client = AdminClient(dict(admin))
    since, told = time.monotonic(), False
    while True:
        try:
            taken = instances(client, slots.group)
        except KafkaException as error:
            raise translate(error, f"asking who is in {slots.group}") from error
        slot = slots.free(taken)
        if slot is not None:
            log.info("slot", slot=slot, group=slots.group, taken=sorted(taken))
            return slot
        if not told and time.monotonic() - since > SAY_AFTER_S:
            told = True
            log.warning("no_free_slot", group=slots.group, taken=sorted(taken), slots=slots.count)
        time.sleep(LOOK_AGAIN_S)


def chosen(word: str, slots: Slots, admin: Mapping[str, Any]) -> int:
    """The slot that `--slot WORD` means; a leased one is given up again where another member joins with it."""
    slot = said(word)
    if slot is None:
        os.environ[LEASED] = "1"
        slot = lease(slots, admin)
    return slot
