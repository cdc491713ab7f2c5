"""What `doctor` knows of a cluster and a pipeline, as values. Pure; collect.py fills it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from streambg.topicplan.acls import INTERNAL, Acl, AclRole
from streambg.topicplan.declared import Declared, Part

# What is asked of the cluster and of Redis; each may be denied on its own, and then only the checks that need it stay
# open.
Question = Literal[
    "topics", "internal", "brokers", "acls", "groups", "control", "commands", "answers", "files", "redis", "rate"
]

# Kafka's own topics that positions and transactions live in.
OFFSETS, TRANSACTIONS = INTERNAL


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as the cluster has it.

    replication, in_sync: of its weakest partition. config: in effect, defaults included.
    """

    name: str
    partitions: int
    replication: int
    in_sync: int
    config: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Broker:
    """config: in effect. apis: the newest version of each request that it answers; empty where nobody could see."""

    id: int
    config: Mapping[str, str]
    apis: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Binding:
    """One ACL of the cluster, in the words of kafka-acls.sh (`Read`, `topic`, `prefixed`)."""

    kind: str
    name: str
    pattern: str
    principal: str
    operation: str
    allow: bool


@dataclass(frozen=True, slots=True)
class GroupMember:
    """instance: its `group.instance.id`, "" where it has none."""

    client: str
    instance: str
    host: str


@dataclass(frozen=True, slots=True)
class Group:
    """A consumer group with members. assignor: "" while it has not been agreed upon."""

    name: str
    protocol: str
    assignor: str
    members: tuple[GroupMember, ...]


@dataclass(frozen=True, slots=True)
class Clock:
    """behind_ms: how far a writer's clock was behind the broker's append time, the least of its last records.

    Delivery takes some of it; negative: ahead.
    """

    who: str
    behind_ms: int


@dataclass(frozen=True, slots=True)
class Redis:
    """limit: its `maxmemory` in bytes, 0 for none; machine: all memory where it runs. problem: why it did not say."""

    limit: int = 0
    policy: str = ""
    problem: str = ""
    machine: int = 0


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits in Redis for labels: of each event in the sample a row of so many bytes, for so long.

    sample: a share of the keys. packed: where Redis does not pack rows they take more than `row_bytes`.
    """

    row_bytes: int
    lives_ms: int
    sample: float
    packed: bool

    def needs(self, rate: float) -> int:
        """Bytes at so many events a second."""
        return round(rate * self.lives_ms / 1_000 * self.sample * self.row_bytes)


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that the checks look at.

    secured: Kafka's own tools need a login. topics: by name, only those that exist. planned: what `streambg topics
    apply` would set, by topic. acls: None where the cluster has no authorizer; needed: each role's rights.
    control_begin: the control log's first offset. files: who runs another pipeline file, in words. redis, waiting: None
    where the pipeline has no labels. rate: of the input, events a second in the last hour, or in its last ten minutes
    where those are more. unasked: why a question has no answer.
    """

    pipeline: str
    bootstrap: str
    secured: bool
    copies_times: bool
    transactional_ids: Sequence[str]
    publisher_group: str
    declared: Sequence[Declared]
    topics: Mapping[str, Topic] = field(default_factory=dict)
    planned: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    brokers: Sequence[Broker] = ()
    acls: Sequence[Binding] | None = None
    needed: Sequence[Acl] = ()
    groups: Sequence[Group] = ()
    control_begin: int = 0
    clocks: Sequence[Clock] = ()
    files: Sequence[str] = ()
    redis: Redis | None = None
    waiting: Waiting | None = None
    rate: float | None = None
    unasked: Mapping[Question, str] = field(default_factory=dict)

    @property
    def single(self) -> bool:
        """One broker, so that nothing has a second copy."""
        return len(self.brokers) == 1

    def name(self, part: Part) -> str:
        return next(each.name for each in self.declared if each.part == part)

    def topic(self, part: Part) -> Topic | None:
        """None where it does not exist, or is not declared."""
        return next((self.topics.get(each.name) for each in self.declared if each.part == part), None)

    def ours(self) -> list[Topic]:
        """The pipeline's topics that exist, in the order of P13."""
        return [self.topics[each.name] for each in self.declared if each.name in self.topics]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the guarantee shall withstand.

    outage_ms: the longest time that processes stand still; horizon_ms: how long after its event a label may come, 0
    where the pipeline has no labels. rate: events a second to reckon with; None: what was measured.
    local: a single broker is meant. principals: whose login each role uses.
    """

    outage_ms: int
    horizon_ms: int = 0
    rate: float | None = None
    local: bool = False
    principals: Mapping[AclRole, str] = field(default_factory=dict)
