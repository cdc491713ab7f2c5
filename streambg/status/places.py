"""One look at where every partition stands: committed positions, ends, and each color's last answers."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from streambg.config import Pipeline
from streambg.control.state import ControlState
from streambg.kafka.looking import LAST_BATCHES, Look, Spot
from streambg.kafka.positions import read_positions, read_scorer_positions
from streambg.records.batch import BadBatch, Batch, decode
from streambg.records.cutover import PublisherPosition, ScorerPosition
from streambg.records.source import COLORS, Color
from streambg.status.figures import Recent, Seen, recent


@dataclass(frozen=True, slots=True)
class Places:
    """What one look found.

    published: a publisher's (log offset, metadata) by predictions topic and partition; settling: of the two of a
    partition the one that says most. scored: a scorer's (next source offset, metadata) by color and partition;
    logs: (first, end) of each predictions partition; begins: the input's first offsets.
    """

    seen: Seen
    published: Mapping[Spot, tuple[int, PublisherPosition]]
    settling: Mapping[int, PublisherPosition]
    scored: Mapping[Color, Mapping[int, tuple[int, ScorerPosition]]]
    logs: Mapping[Spot, tuple[int, int]]
    begins: Mapping[int, int]
    recent: Mapping[Color, Recent]


def predictions(pipeline: Pipeline) -> dict[Color, str]:
    """Each color's predictions topic."""
    return {color: pipeline.topics.predictions(color) for color in COLORS}


def read_places(
    pipeline: Pipeline, reader: Mapping[str, Any], look: Look, state: ControlState, numbers: range
) -> Places:
    """Settled is read first and the input's ends last: so nobody seems to be behind settled or ahead of the input.

    Raises Unreachable.
    """
    topics, groups = pipeline.topics, pipeline.groups
    published = read_positions(reader, groups.publisher, predictions(pipeline).values(), numbers)
    settled_at = time.monotonic()
    settling = _settling(published)
    scored = {color: read_scorer_positions(reader, groups.scorer(color), topics.input, numbers) for color in COLORS}
    logs = {(topic, n): look.ends(topic, n) for topic in predictions(pipeline).values() for n in numbers}
    last = _last_batches(pipeline, look, state, logs)
    covered_at = time.monotonic()
    covered = {
        color: {n: _covered(state, color, last[color][n], scored[color].get(n)) for n in numbers} for color in COLORS
    }
    input_logs = {n: look.ends(topics.input, n) for n in numbers}
    ends = {n: end for n, (_, end) in input_logs.items()}
    settled = {n: settling[n].settled if n in settling else None for n in numbers}
    return Places(
        Seen(settled_at, covered_at, time.monotonic(), ends, covered, settled),
        published,
        settling,
        scored,
        logs,
        {n: begin for n, (begin, _) in input_logs.items()},
        {color: recent([batch for batches in last[color].values() for batch in batches]) for color in COLORS},
    )


def _settling(published: Mapping[Spot, tuple[int, PublisherPosition]]) -> dict[int, PublisherPosition]:
    """Both colors' positions are committed together, but one of them may be gone or not there yet."""
    best: dict[int, PublisherPosition] = {}
    for (_, number), (_, position) in published.items():
        if number not in best or position.settled > best[number].settled:
            best[number] = position
    return best


def _last_batches(
    pipeline: Pipeline, look: Look, state: ControlState, logs: Mapping[Spot, tuple[int, int]]
) -> dict[Color, dict[int, list[Batch]]]:
    """Of the deployments in the slots; what else stands there is left out."""
    found: dict[Color, dict[int, list[Batch]]] = {color: {} for color in COLORS}
    read = look.read_on({spot: max(low, end - LAST_BATCHES) for spot, (low, end) in logs.items()})
    for color, topic in predictions(pipeline).items():
        deployment = state.slots[color]
        for (of, number), messages in read.items():
            if of == topic:
                batches = (batch_of(message.value()) for message in messages)
                found[color][number] = [
                    batch for batch in batches if batch and deployment and batch.deployment == deployment.id
                ]
    return found


def batch_of(value: bytes | None) -> Batch | None:
    """None where it is none: what reads predictions passes such a record."""
    try:
        return decode(value or b"")
    except BadBatch:
        return None


def _covered(
    state: ControlState, color: Color, batches: list[Batch], scored: tuple[int, ScorerPosition] | None
) -> int | None:
    """How far the last batches reach; a committed position counts too: a seed covers up to it (P11)."""
    reaches, deployment = [batch.upto for batch in batches], state.slots[color]
    if scored is not None and deployment is not None and scored[1].deployment == deployment.id:
        reaches.append(scored[0] - 1)
    return max(reaches, default=None)
