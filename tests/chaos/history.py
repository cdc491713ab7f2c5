"""What the control log says of itself: commands that the fold accepted against its rules (P1, P5)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from pipelines import Running
from raw_topics import visible

from streambg.control import verbs

EXPIRES_MS = 30_000
MOVES_LIVE = ("promote", "rollback")


def wrongly_accepted(run: Running) -> Iterator[str]:
    """Publisher and audit fold with the same code: what it accepts against the rules, neither of them would notice.

    By id, expiry and epoch alone, in the raw records; what else a command must be is not looked at.
    """
    accepted = {entry.offset for entry in verbs.entries(run.pipeline) if entry.accepted}
    ids, epoch = set[str](), -1
    for message in visible(run.pipeline.kafka.bootstrap, run.pipeline.topics.control, 1):
        offset, appended_ms = message.offset() or 0, message.timestamp()[1]
        told = _told(message.value())
        if offset in accepted:
            if told.get("id") in ids:
                yield f"control record {offset}: its id was there before"
            if appended_ms > told["time"] + told.get("expires_ms", EXPIRES_MS):
                yield f"control record {offset}: expired {appended_ms - told['time']} ms after it was sent"
            if told["expected_epoch"] != epoch:
                yield f"control record {offset}: it expected epoch {told['expected_epoch']}, in force was {epoch}"
            epoch = offset
        ids.add(str(told.get("id")))


def _told(value: bytes | None) -> dict[str, Any]:
    try:
        told = json.loads(value or b"")
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def spoken(run: Running) -> tuple[int, Counter[str]]:
    """The last epoch, and how often each verb was accepted."""
    accepted = [entry for entry in verbs.entries(run.pipeline) if entry.accepted]
    return accepted[-1].offset, Counter(entry.envelope.verb for entry in accepted if entry.envelope is not None)
