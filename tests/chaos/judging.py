"""What a row under load is judged by beside the audit's findings and the reader's counts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from pipelines import Running
from raw_topics import visible

from streambg.audit.report import Report
from streambg.audit.tally import Check
from streambg.control import verbs

EXPIRES_MS = 30_000
MOVES_LIVE = ("promote", "rollback")


def wrongly_accepted(run: Running) -> Iterator[str]:
    """P1, P5: publisher and audit fold with the same code, so neither would notice what it accepts against the rules.

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


def not_judged(report: Report, ends: Mapping[int, int]) -> Iterator[str]:
    """What the audit did not look at is not audited: its `ok` says that something was, and nothing was wrong."""
    there = {each.partition: each for each in report.partitions}
    for number, end in ends.items():
        each = there.get(number)
        if each is None or each.unanchored or each.events != end or each.origin != 0:
            yield f"partition {number}: not all of its {end} events were audited"
            continue
        for found in each.ranges:
            if found.check is not Check.LATE and (found.first, found.last, found.not_auditable) != (0, end - 1, 0):
                yield f"partition {number}: {found.check.value} judged from {found.first} to {found.last} of {end}"
