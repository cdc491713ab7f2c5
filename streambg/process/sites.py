"""From a pipeline file to what each process needs: names and complete client configurations."""

from __future__ import annotations

from functools import partial

from streambg.comparing.site import member
from streambg.config import Pipeline
from streambg.control.follower import ControlFollower
from streambg.errors import ConfigError
from streambg.kafka import profiles
from streambg.kafka.identity import ANSWER_AGAIN, GO_ON, NEW_PIPELINE, RESTORE
from streambg.process.slots import Slots
from streambg.publishing.site import Site as PublisherSite
from streambg.records.rules import Rules
from streambg.records.source import COLORS, Color
from streambg.scoring.site import Site as ScorerSite
from streambg.topicplan import Role


def slots(pipeline: Pipeline, role: Role) -> Slots:
    """The places in the group of a role; a member's name is its instance id."""
    if role == "publisher":
        return Slots(pipeline.groups.publisher, pipeline.transactional_id, pipeline.publish.slots)
    if role == "comparator":
        return Slots(pipeline.groups.comparator, partial(member, pipeline))
    color: Color = "blue" if role == "scorer.blue" else "green"
    return Slots(pipeline.groups.scorer(color), partial(_scorer_name, pipeline, color))


def _scorer_name(pipeline: Pipeline, color: Color, slot: int) -> str:
    return f"{pipeline.groups.scorer(color)}.{slot}"


def publisher(pipeline: Pipeline, slot: int) -> PublisherSite:
    """Raises ConfigError for a slot beyond `publish.slots`: the others would not fence it (P24)."""
    if not 0 <= slot < pipeline.publish.slots:
        raise ConfigError(
            f"slot {slot}, but publish.slots is {pipeline.publish.slots}",
            way_out=f"a slot from 0 to {pipeline.publish.slots - 1}, or raise publish.slots in every process's file",
        )
    name = pipeline.transactional_id(slot)
    topics = pipeline.topics
    return PublisherSite(
        pipeline=pipeline.name,
        input=topics.input,
        output=topics.output,
        dead_letters=topics.dead_letters,
        cutovers=topics.cutovers,
        predictions={color: topics.predictions(color) for color in COLORS},
        group=pipeline.groups.publisher,
        transactional_id=name,
        all_transactional_ids=frozenset(pipeline.transactional_ids),
        consumer=profiles.co_reader(pipeline, pipeline.groups.publisher, name, name, connection_log=True),
        reader=profiles.reader(pipeline, f"{name}.reader"),
        producer=profiles.transactional_producer(pipeline, name, max_message_bytes=profiles.MAX_OUTCOME_BYTES),
        admin=profiles.admin(pipeline, f"{name}.admin"),
        trusted_s=profiles.trusted_ms(pipeline) / 1_000,
        every_s=pipeline.publish.transaction.every_ms / 1_000,
        records=pipeline.publish.transaction.records,
        input_timestamps=pipeline.output.timestamp == "input",
        rules=Rules.short(pipeline.deciding_digest()),
        ways_out={
            topics.input: NEW_PIPELINE,
            topics.control: RESTORE,
            **{topics.predictions(color): ANSWER_AGAIN for color in COLORS},
            **dict.fromkeys((topics.output, topics.dead_letters, topics.cutovers), GO_ON),
        },
    )


def scorer(pipeline: Pipeline, color: Color, slot: int) -> ScorerSite:
    """One member of the color's group; the slot names it, so that a restart takes its place (static membership)."""
    group, name = pipeline.groups.scorer(color), _scorer_name(pipeline, color, slot)
    topics = pipeline.topics
    return ScorerSite(
        pipeline=pipeline.name,
        color=color,
        input=topics.input,
        predictions=topics.predictions(color),
        all_predictions=tuple(topics.predictions(each) for each in COLORS),
        publisher_group=pipeline.groups.publisher,
        forward_headers=frozenset(pipeline.input.forward_headers),
        consumer=profiles.consumer(pipeline, group, name, name),
        reader=profiles.reader(pipeline, f"{name}.reader"),
        producer=profiles.idempotent_producer(pipeline, name, max_message_bytes=profiles.MAX_OUTCOME_BYTES),
        admin=profiles.admin(pipeline, f"{name}.admin"),
        rules=Rules.short(pipeline.deciding_digest()),
        ways_out={
            topics.input: NEW_PIPELINE,
            topics.control: RESTORE,
            topics.predictions(color): ANSWER_AGAIN,
        },
    )


def follower(pipeline: Pipeline, name: str) -> ControlFollower:
    """Follows the control log for the process `name`."""
    return ControlFollower(
        profiles.reader(pipeline, f"{name}.control", follow=True), pipeline.topics.control, pipeline.ignore_records
    )
