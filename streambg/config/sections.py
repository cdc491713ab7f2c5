"""pipeline.yaml as values: one frozen model a section. A field's alias is its key in the file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    PrivateAttr,
    ValidationInfo,
    field_validator,
)

from streambg.config import names
from streambg.config.addresses import kafka_addresses, redis_address
from streambg.config.base import Name, Section, TopicName
from streambg.config.decided import gate_of, plan_of
from streambg.config.deciding import AA, HOOK, Labels, Metrics, Rollout, Segments
from streambg.config.masks import Masks
from streambg.config.notify import Notify
from streambg.config.redaction import Settings, redact, redact_text
from streambg.config.values import Millis, Number, Wait, Whole
from streambg.records.batch import MAX_CARRY_FIELDS
from streambg.records.gate import Gate, canonical
from streambg.records.rules import Rules
from streambg.rollout.plan import Plan

# A promote takes effect at the next transaction: above a second nobody would call it "now" any more. A transaction
# shorter than its commit (4-9 ms measured) does nothing but commit.
MIN_TRANSACTION_MS, MAX_TRANSACTION_MS = 5, 1_000
# What one transaction holds stands in memory (some 400 bytes a record: 20 MB), and a restart repeats it.
MAX_TRANSACTION_RECORDS = 50_000
# More than 50 ms bring at the highest rate measured (300,000 a second): time ends a transaction, not its size. At 5,000
# a publisher that caught up spent most of its time on commits.
TRANSACTION_RECORDS = 20_000
# Each assignment fences every slot that nobody lives in (P24), at about 10 ms a slot.
MAX_SLOTS = 16
# Each header is copied from every event into every batch and every answer (0.3 us each).
MAX_FORWARDED_HEADERS = 8

Kind = Literal["number", "string", "boolean"]


def _as_text(value: object) -> object:
    """YAML's true, 1 and x as librdkafka takes them: `true`, `1`, `x`."""
    if not isinstance(value, Mapping):
        return value
    return {key: _setting(item) for key, item in value.items()}


def _setting(value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


Client = Annotated[
    Mapping[str, str], BeforeValidator(_as_text), AfterValidator(Settings), PlainSerializer(redact, return_type=dict)
]
Url = Annotated[str, PlainSerializer(redact_text, return_type=str)]


class Kafka(Section):
    """`client` holds real secrets; its repr and its dump are masked."""

    bootstrap: str
    client: Client = Field(default_factory=lambda: Settings({}))

    @field_validator("bootstrap")
    @classmethod
    def _addresses(cls, value: str) -> str:
        return kafka_addresses(value)


class Input(Section):
    topic: TopicName
    format: Literal["json"] | None = None
    decode: Annotated[str, Field(pattern=f"^{HOOK}$")] | None = None
    bucket_by: str = "key"
    carry_declared: tuple[Name, ...] = Field(default=(), alias="carry")
    forward_headers: tuple[Name, ...] = Field(default=("traceparent",), max_length=MAX_FORWARDED_HEADERS)

    @field_validator("bucket_by")
    @classmethod
    def _bucket(cls, value: str) -> str:
        if value != "key" and not re.fullmatch(r"field:.{1,200}", value):
            raise ValueError(f"{value!r} is neither `key` nor `field:NAME`")
        return value

    @property
    def bucket_field(self) -> str | None:
        """The event field that buckets hash; None: the record key (P13)."""
        return None if self.bucket_by == "key" else self.bucket_by.removeprefix("field:")

    @property
    def carry(self) -> tuple[str, ...]:
        """Event fields that predictions carry: the declared ones, and the bucket's, which the publisher needs."""
        field = self.bucket_field
        extra = (field,) if field is not None and field not in self.carry_declared else ()
        return (*self.carry_declared, *extra)


class Output(Section):
    topic: TopicName
    timestamp: Literal["now", "input"] = "now"


class Decision(Section):
    output: str
    threshold: Number


class Contract(Section):
    """What every version of the model must fit: its features by name and type, its outputs in column order."""

    features: dict[Name, Kind] = Field(min_length=1)
    outputs: tuple[Name, ...] = Field(min_length=1)
    decision: Decision


class Drift(Section):
    """Carried fields that are watched for drift, beside scores and disagreement."""

    features: tuple[Name, ...] = Field(default=(), max_length=MAX_CARRY_FIELDS)


class Replay(Section):
    """What the reports of replays show of events. mask: declared fields; show: those that only look like secrets.

    key, values: the record's key, and what both sides published.
    """

    mask: tuple[Name, ...] = ()
    show: tuple[Name, ...] = ()
    key: Literal["show", "mask"] = "show"
    values: Literal["show", "mask"] = "show"


class Transaction(Section):
    every_ms: Millis = Field(default=50, alias="every", ge=MIN_TRANSACTION_MS, le=MAX_TRANSACTION_MS)
    records: Whole = Field(default=TRANSACTION_RECORDS, ge=1, le=MAX_TRANSACTION_RECORDS)


class Late(Section):
    """How long the publisher waits for the chosen color's answer; None: for ever (P18)."""

    live_ms: Wait = Field(default=None, alias="live", ge=1)
    candidate_ms: Wait = Field(default=2_000, alias="candidate", ge=1)


class Publish(Section):
    """`slow_link`: ordinary commits take longer than 2 s here, and are no reason for suspicion (P21)."""

    transaction: Transaction = Field(default_factory=Transaction)
    late: Late = Field(default_factory=Late)
    live_failed: Literal["dead-letter", "candidate"] = "dead-letter"
    slots: Whole = Field(default=2, ge=1, le=MAX_SLOTS)
    slow_link: bool = False


class Pipeline(Section):
    """A whole pipeline file. Made by `streambg.config.load`; its repr and its dump show no secret."""

    name: Annotated[str, Field(pattern=names.PIPELINE_NAME)] = Field(alias="pipeline")
    kafka: Kafka
    redis: Url
    input: Input
    output: Output
    registry: Path = Field(default=Path("models"), validate_default=True)
    model: Contract
    publish: Publish = Field(default_factory=Publish)
    labels: Labels | None = None
    segments: Segments = Field(default_factory=dict)
    metrics: Metrics = Field(default_factory=dict)
    aa: AA | None = None
    drift: Drift = Field(default_factory=Drift)
    rollout: Rollout = Field(default_factory=Rollout)
    replay: Replay = Field(default_factory=Replay)
    notify: Notify = Field(default_factory=Notify)
    _file: Path = PrivateAttr(default=Path("pipeline.yaml"))
    _ignore_records: frozenset[int] = PrivateAttr(default=frozenset())

    @field_validator("redis")
    @classmethod
    def _redis_url(cls, value: str) -> str:
        return redis_address(value)

    @field_validator("registry")
    @classmethod
    def _beside_the_file(cls, value: Path, info: ValidationInfo) -> Path:
        """A relative registry stands beside the pipeline file, wherever a process was started."""
        return Path((info.context or {}).get("directory", "."), value)

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        for key, value in super().__repr_args__():
            yield key, redact_text(value) if key == "redis" else value

    @property
    def file(self) -> Path:
        return self._file

    @property
    def ignore_records(self) -> frozenset[int]:
        """Offsets of control records that are passed: of every process and verb the same ones (P5)."""
        return self._ignore_records

    @property
    def topics(self) -> names.Topics:
        return names.Topics(self.name, self.input.topic, self.output.topic)

    @property
    def groups(self) -> names.Groups:
        return names.Groups(self.name)

    def transactional_id(self, slot: int) -> str:
        return names.transactional_id(self.name, slot)

    @property
    def transactional_ids(self) -> tuple[str, ...]:
        """One a slot: everything that may ever have a transaction of this pipeline open (P24)."""
        return tuple(self.transactional_id(slot) for slot in range(self.publish.slots))

    def gate(self) -> Gate | None:
        """What decides about a candidate; None where no metrics are declared."""
        return gate_of(self.metrics, self.segments, self.labels, self.rollout, self.input.carry)

    def plan(self) -> Plan | None:
        """The rollout plan, for the `rollout-start` command; None where no steps are declared."""
        gate = self.gate()
        return plan_of(self.rollout, gate) if gate and self.rollout.steps else None

    def masks(self) -> Masks:
        """What reports must not show of events."""
        section = self.replay
        return Masks(section.mask, section.show, section.key == "mask", section.values == "mask")

    def deciding_text(self) -> str:
        """The sections that decide answers, their publication and their judgement, as `deploy` carries them (P4).

        Canonical JSON: the same decisions give the same bytes, however the file is laid out. `Rules.from_text`
        reads it back.
        """
        gate = self.gate()
        deciding = {
            "format": self.input.format,
            "decode": self.input.decode,
            "bucket_field": self.input.bucket_field,
            "carry": sorted(self.input.carry),
            "features": self.model.features,
            "outputs": self.model.outputs,
            "decision": {"output": self.model.decision.output, "threshold": self.model.decision.threshold},
            "late_live_ms": self.publish.late.live_ms,
            "late_candidate_ms": self.publish.late.candidate_ms,
            "live_failed": self.publish.live_failed,
            "gate": gate and gate.data(),
        }
        if self.drift.features:  # without them as older versions write it
            deciding["drift"] = self.drift.features
        return canonical(deciding)

    def deciding_digest(self) -> str:
        """`sha256:...` of `deciding_text`; `status` shows processes that run another one (P4)."""
        return Rules.digest_of(self.deciding_text())
