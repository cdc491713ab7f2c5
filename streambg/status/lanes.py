"""Each partition as the status shows it; for one that waits the publisher's core is asked what for."""

from __future__ import annotations

import time
from collections.abc import Mapping

from confluent_kafka import Message

from streambg.config import Pipeline
from streambg.control.follower import Snapshot
from streambg.kafka.looking import Look, Spot
from streambg.publishing.answers import Fetch
from streambg.publishing.outcomes import Home
from streambg.records.coverage import Coverage
from streambg.records.cutover import Cutover
from streambg.records.source import COLORS, Color
from streambg.status.places import Places, batch_of, predictions
from streambg.status.report import PUBLISHER, STANDS_MS, Lane
from streambg.status.waiting import Wait, waiting

# Batches of each color that are read to ask what a partition waits for: the first accepted one decides (P26); repeats
# and batches of a replaced deployment may stand before it.
PROBED_BATCHES = 64


def lanes(
    pipeline: Pipeline, look: Look, control: Snapshot, places: Places, cutovers: Mapping[int, list[Cutover]]
) -> list[Lane]:
    """One a partition of the input. Raises Unreachable."""
    state, seen = control.state, places.seen
    starts = {n: settled + 1 if settled is not None else state.start_of(n) for n, settled in seen.settled.items()}
    waiting_since = _first_events(
        pipeline, look, {n: max(at, places.begins[n]) for n, at in starts.items() if at < seen.ends[n]}
    )
    found = []
    for number, end in seen.ends.items():
        position, cutover = places.settling.get(number), cutovers.get(number, [])
        age = max(0, _now_ms() - waiting_since[number]) if number in waiting_since else 0
        wait = None
        if age > STANDS_MS and state.live is not None:
            wait = _wait(pipeline, look, control, places, number, starts[number])
        if wait is not None and wait.answered_ms is not None:
            age = max(0, _now_ms() - wait.answered_ms)
        found.append(
            Lane(
                number,
                places.begins[number],
                end,
                {color: seen.covered[color][number] for color in COLORS},
                seen.settled[number],
                starts[number],
                position.epoch if position else None,
                (cutover[-1].first, cutover[-1].epoch) if cutover else None,
                position.transactional_id if position else None,
                age,
                (wait.colors or (PUBLISHER,)) if wait else (),
                wait is not None and wait.answered_ms is not None,
            )
        )
    return found


def _first_events(pipeline: Pipeline, look: Look, starts: Mapping[int, int]) -> dict[int, int]:
    """Partition -> time (ms since 1970) of the first event at or above its start, where there is one."""
    read = look.read_on({(pipeline.topics.input, number): at for number, at in starts.items()}, limit=1)
    return {number: messages[0].timestamp()[1] for (_, number), messages in read.items() if messages}


def _wait(pipeline: Pipeline, look: Look, control: Snapshot, places: Places, number: int, unsettled: int) -> Wait:
    """What the publisher would say, from the positions it committed and what stands in the log there."""
    topics = predictions(pipeline)
    starts: dict[Color, tuple[int, Coverage | None]] = {}
    spots: dict[Spot, int] = {}
    for color, topic in topics.items():
        first = places.logs[topic, number][0]
        offset, position = places.published.get((topic, number), (first, None))
        starts[color] = max(first, offset), position.coverage if position else None
        spots[topic, number] = starts[color][0]
    read = look.read_on(spots, limit=PROBED_BATCHES)
    batches = {color: [fetch for m in read[topic, number] if (fetch := _fetch(m))] for color, topic in topics.items()}
    epoch = places.settling[number].epoch if number in places.settling else -1
    home = Home(pipeline.topics.input, number, topic_id="", cluster_id="")
    return waiting(home, control.state, control.folded, unsettled - 1, epoch, starts, batches)


def _fetch(message: Message) -> Fetch | None:
    value = message.value() or b""
    batch = batch_of(value)
    return Fetch(message.offset() or 0, len(value), message.timestamp()[1] / 1_000, batch) if batch else None


def _now_ms() -> int:
    return int(time.time() * 1_000)
