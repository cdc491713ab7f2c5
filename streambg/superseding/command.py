"""The `supersede` command as people and programs use it, and how far the publishers have come with it (P36)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from streambg.config import Pipeline
from streambg.control import verbs
from streambg.control.sender import ControlClient, Sent
from streambg.control.state import Deployment, SupersededRange, Supersession
from streambg.control.verbs import Said
from streambg.errors import StreambgError
from streambg.kafka import profiles
from streambg.publishing.tail import read_settlements
from streambg.superseding.plan import Carried, carried

LOOK_AGAIN_S = 0.2
# A publisher commits every 50 ms; one that was killed is back within its session timeout of 6 s and an assignment.
STALLED_S = 60.0


def request(
    control: ControlClient,
    deployment: Deployment,
    ranges: Sequence[SupersededRange],
    said: Said,
    *,
    expected_epoch: int | None = None,
) -> Sent:
    """Record it. Raises OutcomeUnknown, Unreachable."""
    state = control.state()
    expected = state.epoch if expected_epoch is None else expected_epoch
    args = {
        "color": deployment.color,
        "deployment": deployment.id,
        "ranges": [
            {
                "partition": each.partition,
                "first": each.first,
                "end": each.end,
                "answers_first": each.answers_first,
                "answers_end": each.answers_end,
                "covered": each.covered,
            }
            for each in ranges
        ],
    }
    return control.send("supersede", args, actor=said.actor, reason=said.reason, expected_epoch=expected)


def look(pipeline: Pipeline, command: Supersession) -> Carried:
    """How far it is carried out now. Raises Unreachable."""
    reader: dict[str, Any] = {**profiles.reader(pipeline, verbs.CLIENT), **verbs.QUIET}
    return carried(command, read_settlements(reader, pipeline.topics.cutovers).superseded)


def wait(pipeline: Pipeline, command: Supersession, progress: Callable[[Carried], None]) -> Carried:
    """Until publishers have carried it out. Raises StreambgError where nothing happens for STALLED_S, Unreachable."""
    moved, last = time.monotonic(), -1
    while True:
        now = look(pipeline, command)
        progress(now)
        if now.done:
            return now
        if now.passed > last:
            moved, last = time.monotonic(), now.passed
        if time.monotonic() - moved > STALLED_S:
            raise StreambgError(
                f"supersede at epoch {command.epoch}: {now.passed:,} of {now.total:,} offsets, and nothing more for "
                f"{STALLED_S:g} s; it is recorded, and goes on where a publisher has the partitions",
                way_out="is a publisher running? `streambg status`; the same request again waits for the rest",
            )
        time.sleep(LOOK_AGAIN_S)
