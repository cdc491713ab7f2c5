"""May the candidate get weight now? Covered, settled and lag per partition, and the verdict, as the topics say (P1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from streambg.comparing.told import Told
from streambg.config import Pipeline
from streambg.control.state import Deployment
from streambg.kafka.looking import Look
from streambg.kafka.positions import read_scored, read_settled
from streambg.records.source import COLORS


@dataclass(frozen=True, slots=True)
class Lane:
    """One partition as measured: source offsets, and how old the first unanswered event is in ms (0: none waits)."""

    partition: int
    settled: int
    covered: int | None
    input_end: int
    lag_ms: int


def objections(lanes: list[Lane], max_lag_ms: int) -> list[str]:
    """Why the candidate should not get weight; empty where nothing speaks against it. Pure."""
    found = []
    for lane in lanes:
        if lane.covered is None:
            if lane.input_end > lane.settled + 1 or lane.settled >= 0:
                found.append(f"partition {lane.partition}: it has not answered anything yet")
        elif lane.covered < lane.settled:
            found.append(f"partition {lane.partition}: it covers {lane.covered}, settled is {lane.settled}")
        elif lane.lag_ms > max_lag_ms:
            found.append(f"partition {lane.partition}: it lags {lane.lag_ms} ms, max_lag is {max_lag_ms} ms")
    return found


def harm(found: Told) -> str | None:
    """Why a person should not move traffic to the candidate: a fresh verdict that says abort; no other word. Pure."""
    return f"the verdict is abort: {'; '.join(found.reasons)}" if found.word == "abort" else None


def nothing(found: Told) -> str | None:
    """What a person should know who moves traffic all the same: that there is no evidence, neither way. Pure."""
    if found.record is None:
        return "no verdict was published yet"
    return "nothing was compared yet" if found.record.events == 0 else None


def measure(pipeline: Pipeline, reader: Mapping[str, Any], candidate: Deployment, partitions: int) -> list[Lane]:
    """Every partition's lane. `settled` is read first, so a candidate that keeps up covers it."""
    topics, groups = pipeline.topics, pipeline.groups
    predictions = [topics.predictions(color) for color in COLORS]
    settled = read_settled(reader, groups.publisher, predictions, range(partitions))
    scored = read_scored(reader, groups.scorer(candidate.color), topics.input, range(partitions), candidate.id)
    with Look(reader) as look:
        lanes = []
        for number in range(partitions):
            # a committed seed counts as covered up to it: where no event came since, there is nothing to answer (P11)
            reaches = (look.covered(topics.predictions(candidate.color), number, candidate.id), scored.get(number))
            covered = max((reach for reach in reaches if reach is not None), default=None)
            _, end = look.ends(topics.input, number)
            lag = look.age_ms(topics.input, number, covered + 1, end) if covered is not None else 0
            lanes.append(Lane(number, settled.get(number, -1), covered, end, lag))
    return lanes
