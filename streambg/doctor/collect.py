"""Asks the cluster for everything that the checks look at; the only part that talks to it. It writes nothing."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeVar

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined] # exported, but not by the package's own stubs
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ConfigResource,
    ResourcePatternType,
    ResourceType,
)

from streambg.config import Pipeline
from streambg.control import verbs
from streambg.control.fold import Entry
from streambg.doctor import labels
from streambg.doctor.facts import (
    Binding,
    Broker,
    Clock,
    Facts,
    Group,
    GroupMember,
    Question,
    Topic,
)
from streambg.doctor.labels import CLIENT
from streambg.errors import StreambgError
from streambg.kafka import profiles
from streambg.kafka.admin import ASK_S, REACHABLE_S, await_reachable, describe
from streambg.kafka.errors import kafka_error, translate
from streambg.kafka.looking import LAST_BATCHES, Look
from streambg.records.source import COLORS
from streambg.status.collect import Collector
from streambg.status.places import batch_of
from streambg.status.report import other_files
from streambg.topicplan.acls import INTERNAL
from streambg.topicplan.acls import acls as needed_acls
from streambg.topicplan.broker import read
from streambg.topicplan.declared import Declared, load_topics
from streambg.topicplan.plan import diff

# How many commands, the last ones, show the clocks of those who sent them.
LAST_COMMANDS = 50
# What a broker says when a connection is made: `ApiKey JoinGroup (11) Versions 0..9`
_API = re.compile(r"/(\d+): +ApiKey (\w+) \(\d+\) Versions \d+\.\.(\d+)")
_GROUP_ABSENT = KafkaError.GROUP_ID_NOT_FOUND

T = TypeVar("T")
Told = Callable[[str], None]


class _Apis(logging.Handler):
    """Which requests each broker knows, from the client's own debug lines: no call of the client's says it."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.newest: dict[int, dict[str, int]] = {}
        self.logger = logging.getLogger(f"streambg.librdkafka.{CLIENT}")
        self.logger.setLevel(logging.DEBUG)
        self.logger.propagate = False
        self.logger.handlers = [self]

    def emit(self, record: logging.LogRecord) -> None:
        for broker, request, newest in _API.findall(record.getMessage()):
            self.newest.setdefault(int(broker), {})[request] = int(newest)


class _Asking:
    """Asks one question after the other; what is denied, or fails, is kept as the reason and the rest goes on."""

    def __init__(self, questions: Collection[Question], told: Told) -> None:
        self.unasked: dict[Question, str] = {}
        self._questions = questions
        self._told = told

    def ask(self, question: Question, answer: Callable[[], T]) -> T | None:
        if question not in self._questions:
            return None
        self._told(question)
        try:
            return answer()
        except KafkaException as error:
            self.unasked[question] = _reason(translate(error))
        except StreambgError as error:
            self.unasked[question] = _reason(error)
        return None


def _reason(error: StreambgError) -> str:
    return f"{error.what}; {error.way_out}" if error.way_out else error.what


def collect(
    pipeline: Pipeline,
    questions: Collection[Question],
    told: Told = lambda _: None,
) -> Facts:
    """What can be asked of this with the pipeline file's login; `told` hears of each question.

    Raises Unreachable, ConfigError, and Denied where the login is refused; a missing right is said in `unasked`.
    """
    apis, asking = _Apis(), _Asking({*questions, "topics"}, told)
    admin = await_reachable(profiles.admin(pipeline, CLIENT), REACHABLE_S)
    declared = load_topics(pipeline)
    brokers = asking.ask("brokers", lambda: _brokers(pipeline, apis)) or []
    topics = asking.ask("topics", lambda: _topics(admin, [each.name for each in declared])) or {}
    kafkas = asking.ask("internal", lambda: _topics(admin, list(INTERNAL))) or {}
    planned = _planned(admin, declared, len(brokers) or 1) if topics else {}
    there = pipeline.topics.control in topics
    begin = asking.ask("control", lambda: _begin(pipeline)) if there else 0
    whole = len(topics) == len(declared)
    files = asking.ask("files", lambda: _files(pipeline)) if whole else []
    commands = asking.ask("commands", lambda: verbs.entries(pipeline)) if there else []
    return Facts(
        pipeline=pipeline.name,
        bootstrap=pipeline.kafka.bootstrap,
        secured=bool(pipeline.kafka.client),
        copies_times=pipeline.output.timestamp == "input",
        transactional_ids=pipeline.transactional_ids,
        publisher_group=pipeline.groups.publisher,
        declared=declared,
        topics={**topics, **kafkas},
        planned=planned,
        brokers=brokers,
        acls=asking.ask("acls", lambda: _acls(admin, brokers)),
        needed=needed_acls(pipeline, declared),
        groups=asking.ask("groups", lambda: _groups(admin, pipeline)) or [],
        control_begin=begin or 0,
        clocks=[*_senders(commands or []), *(asking.ask("answers", lambda: _scorers(pipeline, topics)) or [])],
        files=files or [],
        redis=asking.ask("redis", lambda: labels.redis(pipeline.redis)) if pipeline.labels is not None else None,
        waiting=labels.waiting(pipeline),
        rate=asking.ask("rate", lambda: labels.rate(pipeline)) if pipeline.labels is not None and whole else None,
        unasked=asking.unasked,
    )


def _topics(admin: AdminClient, names: list[str]) -> dict[str, Topic]:
    facts, found = describe(admin, names), read(admin, names)
    return {
        name: Topic(name, one.partitions, one.replication, facts[name].in_sync, one.config)
        for name, one in found.items()
        if name in facts
    }


def _planned(admin: AdminClient, declared: list[Declared], brokers: int) -> dict[str, Mapping[str, str]]:
    found = read(admin, [each.name for each in declared])
    return {action.name: action.config for action in diff(declared, found, brokers) if action.kind == "change"}


def _brokers(pipeline: Pipeline, apis: _Apis) -> list[Broker]:
    """A client of its own, which looks at how each connection begins; asking a broker for its settings makes one."""
    config: dict[str, Any] = {**profiles.admin(pipeline, CLIENT), "debug": "feature", "log_level": 7}
    config["logger"] = apis.logger
    admin = AdminClient(config)
    cluster = admin.describe_cluster(request_timeout=ASK_S).result()
    # each asks for its own: the client takes one broker a call
    settings = {node.id: _settings(admin, ConfigResource(ResourceType.BROKER, str(node.id))) for node in cluster.nodes}
    admin.poll(0)  # hands over what was logged
    return [Broker(number, settings[number], apis.newest.get(number, {})) for number in sorted(settings)]


def _settings(admin: AdminClient, broker: ConfigResource) -> dict[str, str]:
    try:
        entries = admin.describe_configs([broker], request_timeout=ASK_S)[broker].result()
    except KafkaException as error:
        raise translate(error, f"reading the settings of broker {broker.name}") from error
    return {key: entry.value for key, entry in entries.items() if entry.value is not None}


def _acls(admin: AdminClient, brokers: list[Broker]) -> list[Binding] | None:
    """None where no broker has an authorizer: asked for ACLs, such a broker answers with an empty list."""
    if brokers and not any(broker.config.get("authorizer.class.name", "unsaid") for broker in brokers):
        return None
    everything = AclBindingFilter(
        ResourceType.ANY,
        None,  # type: ignore[arg-type] # any; the client's own types do not know it
        ResourcePatternType.ANY,
        None,  # type: ignore[arg-type] # nor here
        None,  # type: ignore[arg-type] # nor here
        AclOperation.ANY,
        AclPermissionType.ANY,
    )
    try:
        found = admin.describe_acls(everything, request_timeout=ASK_S).result()
    except KafkaException as error:
        raise translate(error, "reading the ACLs") from error
    return [
        Binding(
            "cluster" if each.restype is ResourceType.BROKER else each.restype.name.lower().replace("_", "-"),
            each.name,
            each.resource_pattern_type.name.lower(),
            each.principal,
            each.operation.name.title().replace("_", ""),
            each.permission_type is AclPermissionType.ALLOW,
        )
        for each in found
    ]


def _groups(admin: AdminClient, pipeline: Pipeline) -> list[Group]:
    names = pipeline.groups
    wanted = [*(names.scorer(color) for color in COLORS), names.publisher, names.comparator]
    found = []
    for name, future in admin.describe_consumer_groups(wanted, request_timeout=ASK_S).items():
        try:
            group = future.result()
        except KafkaException as error:
            inner = kafka_error(error)
            if inner is not None and inner.code() == _GROUP_ABSENT:
                continue
            raise translate(error, f"describing the group {name}") from error
        if group.members:
            members = tuple(
                GroupMember(each.client_id, each.group_instance_id or "", each.host) for each in group.members
            )
            found.append(Group(name, group.type.name.lower(), group.partition_assignor, members))
    return found


def _begin(pipeline: Pipeline) -> int:
    """The first offset of the control log."""
    with Look({**profiles.reader(pipeline, CLIENT), **verbs.QUIET}) as look:
        return look.ends(pipeline.topics.control, 0)[0]


def _senders(entries: list[Entry]) -> list[Clock]:
    """Of each person's last commands the one that came fastest."""
    sent = [(e.envelope.actor, e.appended_ms - e.envelope.time) for e in entries[-LAST_COMMANDS:] if e.envelope]
    return _fastest((f"commands of {actor}", behind) for actor, behind in sent)


def _scorers(pipeline: Pipeline, topics: Mapping[str, Topic]) -> list[Clock]:
    """Of the last batches in each partition the one that came fastest: one writer a color and partition."""
    starts = {}
    seen = []
    with Look({**profiles.reader(pipeline, CLIENT), **verbs.QUIET}) as look:
        for topic in (topics.get(pipeline.topics.predictions(color)) for color in COLORS):
            for number in range(topic.partitions if topic is not None else 0):
                assert topic is not None
                low, high = look.ends(topic.name, number)
                starts[topic.name, number] = max(low, high - LAST_BATCHES)
        for (name, number), messages in look.read_on(starts).items():
            for message in messages:
                kind, appended_ms = message.timestamp()
                batch = batch_of(message.value())
                if batch is not None and kind == TIMESTAMP_LOG_APPEND_TIME:
                    seen.append((f"the scorer of {name}/{number}", appended_ms - batch.scored_at))
    return _fastest(seen)


def _fastest(seen: Iterable[tuple[str, int]]) -> list[Clock]:
    least: dict[str, int] = {}
    for who, behind in seen:
        least[who] = min(behind, least.get(who, behind))
    return [Clock(who, behind) for who, behind in least.items()]


def _files(pipeline: Pipeline) -> list[str]:
    with Collector(pipeline) as collector:
        return other_files(collector.look())
