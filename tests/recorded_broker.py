"""A recorded pipeline written to a real broker: with aborted transactions, and gaps where the recording has them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from recorded import Rec, Recording, standard
from waiting import until

from streambg.audit.sources import PARTITIONED, SINGLE, Role
from streambg.config import Pipeline, load
from streambg.kafka.admin import describe
from streambg.records.cutover import PublisherPosition, encode_position
from streambg.records.outcome import HEADER

TIMEOUT_S = 20

FILE = """
pipeline: {name}
kafka: {{bootstrap: "{bootstrap}"}}
redis: redis://127.0.0.1:6379/0
input: {{topic: {input}, format: json}}
output: {{topic: {output}}}
model:
  features: {{f1: number}}
  outputs: [anomaly]
  decision: {{output: anomaly, threshold: 0.5}}
"""


@dataclass(frozen=True)
class Written:
    """A recording on a broker."""

    recording: Recording
    pipeline: Pipeline
    file: Path
    bootstrap: str

    def topic(self, role: Role) -> str:
        return name_of(self.pipeline, role)


def pipeline_file(file: Path, bootstrap: str, name: str, source: str = "", output: str = "") -> Path:
    """`source`, `output`: the user's topics, else names derived from the pipeline's."""
    source, output = source or f"{name}.payments", output or f"{name}.answers"
    file.write_text(FILE.format(name=name, bootstrap=bootstrap, input=source, output=output))
    return file


def write_recording(file: Path, bootstrap: str, partitions: int) -> Written:
    """An honest recording, its input with aborted transactions, its outcomes in transactions, some of them aborted."""
    pipeline = load(file, {})
    admin = AdminClient({"bootstrap.servers": bootstrap})
    roles: tuple[Role, ...] = (*PARTITIONED, *SINGLE)
    create(admin, pipeline, roles, partitions)
    # the controller accepts before the broker shows
    shown = until(lambda: describe(admin, [pipeline.topics.input]), what="the input's topic")
    facts = shown[pipeline.topics.input]
    recording = standard(partitions=partitions, topic=facts.name, topic_id=facts.topic_id)
    written = Written(recording, pipeline, file, bootstrap)
    for partition in range(partitions):
        _write_input(written, partition)
    for role in roles:
        if role != "input":
            write(written, role)
    _commit(written)
    return written


def name_of(pipeline: Pipeline, role: Role) -> str:
    if role in ("blue", "green"):
        return pipeline.topics.predictions(role)
    return str(getattr(pipeline.topics, role.replace("-", "_")))


def create(admin: AdminClient, pipeline: Pipeline, roles: Iterable[Role], partitions: int) -> None:
    topics = []
    for role in roles:
        config = {"retention.ms": "-1"}  # the recording's times are old
        if role in ("blue", "green"):
            config["message.timestamp.type"] = "LogAppendTime"
        count = partitions if role in PARTITIONED else 1
        topics.append(NewTopic(name_of(pipeline, role), count, 1, config=config))
    for future in admin.create_topics(topics).values():
        future.result(TIMEOUT_S)


def _write_input(written: Written, partition: int) -> None:
    """Each event at its offset: a gap of one is a commit's marker, a wider one an aborted transaction."""
    topic = written.topic("input")
    plain = Producer({"bootstrap.servers": written.bootstrap})
    fancy = Producer({"bootstrap.servers": written.bootstrap, "transactional.id": f"{topic}.{partition}"})
    fancy.init_transactions(TIMEOUT_S)
    reader = Consumer(
        {"bootstrap.servers": written.bootstrap, "group.id": "nobody", "isolation.level": "read_committed"}
    )
    there, reached = TopicPartition(topic, partition), 0
    for run, gap in _runs(written.recording.log("input", partition)):
        producer = fancy if gap == 1 else plain
        if gap == 1:
            fancy.begin_transaction()
        for record in run:
            producer.produce(topic, record.value, record.key, partition)
        if gap == 1:
            fancy.commit_transaction(TIMEOUT_S)
        assert plain.flush(TIMEOUT_S) == 0
        if gap > 1:
            fancy.begin_transaction()
            for _ in range(gap - 1):
                fancy.produce(topic, b"never was", b"key", partition)
            assert fancy.flush(TIMEOUT_S) == 0
            fancy.abort_transaction(TIMEOUT_S)
        reached = (run[-1].offset + 1 if run else 0) + gap
        # a commit is answered before its marker stands in the log
        until(partial(_ends_at, reader, there, reached), what=f"offset {reached}")
    reader.close()


def _ends_at(reader: Consumer, partition: TopicPartition, offset: int) -> bool:
    return bool(reader.get_watermark_offsets(partition, TIMEOUT_S)[1] == offset)


def _runs(records: list[Rec]) -> Iterator[tuple[list[Rec], int]]:
    """Consecutive events, and the width of the gap behind them."""
    run: list[Rec] = []
    reached = 0
    for record in records:
        if record.offset > reached:
            yield run, record.offset - reached
            run = []
        run.append(record)
        reached = record.offset + 1
    yield run, 0


def write(written: Written, role: Role, *, taken_back: bool = True) -> None:
    """The records of a topic that is not the input's, outcomes in transactions.

    taken_back: fifty outcomes a transaction, and each before it in one that is aborted; else all of a partition in one.
    """
    topic, transactional = written.topic(role), role in ("output", "dead-letters")
    settings: dict[str, str] = {"bootstrap.servers": written.bootstrap, "linger.ms": "5"}
    producer = Producer({**settings, "transactional.id": topic} if transactional else settings)
    if transactional:
        producer.init_transactions(TIMEOUT_S)
    for partition in range(written.recording.partitions if role in PARTITIONED else 1):
        log = written.recording.log(role, partition)
        size = 50 if taken_back else max(1, len(log))
        for at in range(0, len(log), size):
            # what a session that ended had written: the same outcomes, taken back
            for keep in (False, True) if transactional and taken_back else (True,):
                if transactional:
                    producer.begin_transaction()
                for record in log[at : at + size]:
                    headers: list[tuple[str, str | bytes | None]] = [("traceparent", b"00-1")]
                    headers += [(HEADER, record.header)] if record.header else []
                    producer.produce(topic, record.value, record.key, partition, headers=headers, timestamp=record.time)
                assert producer.flush(TIMEOUT_S) == 0
                if transactional:
                    (producer.commit_transaction if keep else producer.abort_transaction)(TIMEOUT_S)


def _commit(written: Written) -> None:
    group = written.pipeline.groups.publisher
    consumer = Consumer({"bootstrap.servers": written.bootstrap, "group.id": group, "enable.auto.commit": False})
    colors: tuple[tuple[Role, int], ...] = (("blue", 7), ("green", 0))  # the larger of both counts
    offsets = [
        TopicPartition(
            written.topic(color),
            partition,
            1,
            encode_position(PublisherPosition(settled - lag, 0, "streambg.x.publisher.0", 0, None, -1)),
        )
        for partition, settled in written.recording.positions.items()
        for color, lag in colors
    ]
    consumer.commit(offsets=offsets, asynchronous=False)
    consumer.close()
