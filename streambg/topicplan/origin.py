"""Is the input that the file names the one that this pipeline reads? What it has answered so far says which that is.

A typing error in `input.topic` would otherwise look like data that is gone, and the way out of that gives data up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streambg.config import Pipeline
from streambg.errors import ConfigError, Misconfigured
from streambg.kafka import profiles
from streambg.kafka.admin import TopicFacts
from streambg.kafka.looking import Look
from streambg.kafka.reading import record_of
from streambg.records.batch import source_topic
from streambg.records.outcome import find_header
from streambg.topicplan.declared import Declared, Role

CLIENT = "streambg.origin"
# Each batch carries a header that names its source; those of a process that a user runs.
PREDICTIONS = ("predictions.blue", "predictions.green")


def refuse_other_input(
    pipeline: Pipeline, declared: Sequence[Declared], found: Mapping[str, TopicFacts], role: Role | None = None
) -> None:
    """Raises ConfigError where every newest prediction batch names another input topic than the file does.

    found: the topics that exist; role: whose rights must do, None: all of them.
    """
    kept = [
        each.name
        for each in declared
        if each.part in PREDICTIONS and each.name in found and (role is None or role in (*each.writers, *each.readers))
    ]
    named = sources(pipeline, [(topic, number) for topic in kept for number in range(found[topic].partitions)])
    if named and pipeline.input.topic not in named:
        reads = " and ".join(f"`{topic}`" for topic in sorted(named))
        raise ConfigError(
            f"{pipeline.file}: this pipeline, {pipeline.name}, reads {reads}, the file says `{pipeline.input.topic}`",
            way_out=f"input: {{topic: {min(named)}}} in the file; another input is another pipeline, by another name",
        )


def refuse_new_input(pipeline: Pipeline, found: Mapping[str, object]) -> None:
    """Raises Misconfigured where the input is missing although the pipeline has a history: who made it may say more."""
    topics = pipeline.topics
    if topics.input in found or topics.control not in found:
        return
    with Look(_reader(pipeline)) as look:
        _, commands = look.ends(topics.control, 0)
    if commands:
        raise Misconfigured(
            f"the input topic `{topics.input}` does not exist, and {pipeline.name} has a history: its control log "
            f"holds {commands} records",
            way_out=f"is input.topic in {pipeline.file} right? Where the topic was deleted, start a new pipeline name: "
            "offsets of a new one mean other events",
        )


def sources(pipeline: Pipeline, spots: Sequence[tuple[str, int]]) -> set[str]:
    """The input topics that the newest batch of each predictions partition names. Raises Unreachable, Denied."""
    with Look(_reader(pipeline)) as look:
        newest = {spot: high - 1 for spot, (low, high) in look.ranges(spots).items() if high > low}
        read = look.read_on(newest, limit=1)
    records = [record_of(message) for messages in read.values() for message in messages]
    said = (source_topic(find_header(record.headers) or b"") for record in records)
    return {topic for topic in said if topic is not None}


def _reader(pipeline: Pipeline) -> dict[str, object]:
    return {**profiles.reader(pipeline, CLIENT), "log_level": 0}
