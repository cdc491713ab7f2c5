"""What a comparator needs to know of its pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from streambg.config.sections import Pipeline
from streambg.kafka import profiles
from streambg.kafka.identity import ANSWER_AGAIN, JUDGE_ANEW, RESTORE
from streambg.records.rules import Rules
from streambg.records.source import COLORS, Color

ClientConfig = Mapping[str, str | int | float | bool]


@dataclass(frozen=True, slots=True)
class Site:
    """Names and complete librdkafka configurations, one a role. `member` is this process's name in its group.

    registry: whose policy says what code of the team may be imported.
    """

    pipeline: str
    input: str
    predictions: Mapping[Color, str]
    control: str
    evidence: str
    verdicts: str
    registry: Path
    redis: str
    member: str
    consumer: ClientConfig
    reader: ClientConfig
    producer: ClientConfig
    admin: ClientConfig
    rules: str  # `Rules.short` of its own pipeline file, said in the live view (P4)
    ways_out: Mapping[str, str]  # topic -> how a person goes on where it was made again


def member(pipeline: Pipeline, slot: int) -> str:
    """Name and group instance id of the comparator in this slot."""
    return f"{pipeline.groups.comparator}.{slot}"


def site_of(pipeline: Pipeline, slot: int) -> Site:
    """Of the comparator in this slot; the slot names it, so that a restart takes its place (static membership)."""
    name = member(pipeline, slot)
    return Site(
        pipeline.name,
        pipeline.input.topic,
        {color: pipeline.topics.predictions(color) for color in COLORS},
        pipeline.topics.control,
        pipeline.topics.evidence,
        pipeline.topics.verdicts,
        pipeline.registry,
        pipeline.redis,
        name,
        profiles.co_reader(pipeline, pipeline.groups.comparator, name, name),
        profiles.reader(pipeline, f"{name}.reader"),
        # histograms are mostly small numbers in 8 bytes each: a snapshot shrinks to a third
        {**profiles.idempotent_producer(pipeline, name), "compression.type": "lz4"},
        profiles.admin(pipeline, f"{name}.admin"),
        Rules.short(pipeline.deciding_digest()),
        {
            pipeline.topics.control: RESTORE,
            **{pipeline.topics.predictions(color): ANSWER_AGAIN for color in COLORS},
            **({} if pipeline.labels is None else {pipeline.labels.topic: JUDGE_ANEW}),
        },
    )
