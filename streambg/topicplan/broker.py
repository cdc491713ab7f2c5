"""Reads the topics that exist and does what the plan says; the only part that talks to a broker."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from typing import Literal

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined] # exported, but not by the package's own stubs
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)
from confluent_kafka.cimpl import NewPartitions, NewTopic

from streambg.config import Pipeline
from streambg.errors import Denied, Gap, Misconfigured, Unreachable
from streambg.kafka import profiles
from streambg.kafka.admin import ASK_S, REACHABLE_S, await_reachable, broker_count, describe
from streambg.kafka.errors import translate
from streambg.topicplan.declared import Declared, Role, load_topics
from streambg.topicplan.origin import refuse_new_input, refuse_other_input
from streambg.topicplan.plan import UNSAID, Action, Found, diff, faults

CLIENT = "streambg.topics"
# Creating a topic takes a broker some 50 ms; a loaded controller with many brokers must have time.
CREATE_S = 30.0
# How soon every broker shows what the controller accepted: milliseconds here; what takes longer than this is stuck.
SETTLED_S = 10.0
LOOK_S = 0.05
# `up` and the demo on an empty broker: enough partitions for several members a color on one machine.
LOCAL_PARTITIONS = 6
# Who reads or writes by the input's offsets: a wrong name is refused where these start.
PROCESSES: tuple[Role, ...] = ("scorer.blue", "scorer.green", "publisher", "comparator", "controller")

Told = Callable[[Action], None]


def connect(pipeline: Pipeline) -> AdminClient:
    """Raises Unreachable, Denied, ConfigError."""
    return await_reachable(profiles.admin(pipeline, CLIENT), REACHABLE_S)


def read(admin: AdminClient, names: Collection[str]) -> dict[str, Found]:
    """The topics that exist among `names`, with the configuration in effect. Raises Unreachable, Denied."""
    topics = describe(admin, names)
    if not topics:
        return {}
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in topics]
    found: dict[str, Found] = {}
    for resource, future in admin.describe_configs(resources, request_timeout=ASK_S).items():
        try:
            entries = future.result()
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                continue  # made or deleted a moment ago: this broker answers otherwise than the one that described it
            raise translate(error, f"reading the settings of {resource.name}") from error
        config = {key: entry.value for key, entry in entries.items() if entry.value is not None}
        topic = topics[resource.name]
        found[topic.name] = Found(topic.name, topic.partitions, topic.replication, config)
    return found


def plan(admin: AdminClient, declared: Sequence[Declared], partitions: int | None = None) -> list[Action]:
    """What `apply` would do. Raises Unreachable, Denied."""
    found = read(admin, [each.name for each in declared])
    return diff(declared, found, broker_count(admin), partitions)


def refuse_impossible(actions: Sequence[Action], verb: Literal["plan", "apply"] = "apply") -> None:
    """Raises Misconfigured with every impossible action; a plan with one is not begun. verb: what was asked for."""
    # what becomes of the input decides what becomes of the others: it is the cause
    causes_first = sorted(actions, key=lambda action: action.part != "input")
    wrong = [says for action in causes_first if action.kind == "impossible" for says in action.says]
    if wrong:
        again = f"streambg topics {verb}"
        way_out = f"{again} --partitions N" if UNSAID in wrong[0] else f"correct this first, then {again} again"
        # what several topics wait for is said once
        raise Misconfigured(
            "\n".join(dict.fromkeys(wrong)),
            way_out=way_out if verb == "plan" else f"nothing was changed; {way_out}",
        )


def apply(admin: AdminClient, actions: Sequence[Action], told: Told = lambda _: None) -> None:
    """Do it one topic after another, in the order of P13; `told` hears of each when every broker shows it.

    Raises Misconfigured where something is impossible (then nothing is done) or the broker does not do it, Denied,
    Unreachable. What was done before an error stays; applying again goes on from there.
    """
    refuse_impossible(actions)
    for action in actions:
        if action.kind == "unchanged":
            continue
        _perform(admin, action)
        _await_shown(admin, action)
        told(action)


def _perform(admin: AdminClient, action: Action) -> None:
    try:
        if action.kind == "create":
            topic = NewTopic(
                action.name,
                num_partitions=action.partitions or 1,
                replication_factor=action.replication,
                config=dict(action.config),
            )
            admin.create_topics([topic], operation_timeout=CREATE_S, request_timeout=CREATE_S)[action.name].result()
            return
        if action.partitions is not None:
            grown = [NewPartitions(action.name, action.partitions)]
            admin.create_partitions(grown, operation_timeout=CREATE_S, request_timeout=CREATE_S)[action.name].result()
        if action.config:
            entries = [
                ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
                for key, value in action.config.items()
            ]
            resource = ConfigResource(ResourceType.TOPIC, action.name, incremental_configs=entries)
            for future in admin.incremental_alter_configs([resource], request_timeout=CREATE_S).values():
                future.result()
    except KafkaException as error:
        raise translate(error, f"{action.kind} {action.name}") from error


def _await_shown(admin: AdminClient, action: Action) -> None:
    """The controller accepts before brokers show: a process that starts right after must see what was done."""
    deadline = time.monotonic() + SETTLED_S
    while missing := list(_not_shown(admin, action)):
        if time.monotonic() > deadline:
            raise Misconfigured(
                f"{action.name}: {SETTLED_S:g} s after it was accepted the broker still shows {', '.join(missing)}",
                way_out="apply again; if it stays so, the broker's log says why",
            )
        time.sleep(LOOK_S)


def _not_shown(admin: AdminClient, action: Action) -> Iterator[str]:
    found = read(admin, [action.name]).get(action.name)
    if found is None:
        yield "no such topic"
        return
    if action.partitions is not None and found.partitions != action.partitions:
        yield f"{found.partitions} partitions instead of {action.partitions}"
    for key, value in action.config.items():
        if found.config.get(key) != value:
            yield f"{key} {found.config.get(key)} instead of {value}"


def check(pipeline: Pipeline, admin: AdminClient, role: Role | None = None, *, by_offsets: bool = False) -> None:
    """Raises Misconfigured where nobody may go on: topics missing, or partitions unequal (both numbers); ConfigError
    where the file names another input than the one that this pipeline reads.

    role: look only at the topics that this role writes or reads; it may not be allowed to see others. by_offsets: look
    also at the input's name. Processes always do, and wait for the answer; a verb goes on where nobody gives one.
    """
    declared = [each for each in load_topics(pipeline) if role is None or role in (*each.writers, *each.readers)]
    found = describe(admin, [each.name for each in declared])
    if role in PROCESSES:
        refuse_other_input(pipeline, declared, found, role)
    elif by_offsets:
        with suppress(Denied, Gap, Unreachable):
            refuse_other_input(pipeline, declared, found, role)
    missing = [each for each in declared if each.name not in found]
    if missing:
        own = any(each.part == "input" for each in missing)
        if own:
            refuse_new_input(pipeline, found)
        raise Misconfigured(
            f"{'this topic does' if len(missing) == 1 else 'these topics do'} not exist at {pipeline.kafka.bootstrap}: "
            + ", ".join(f"`{each.name}`" for each in missing),
            way_out=f"streambg topics apply{' --partitions N' if own else ''}",
        )
    wrong = faults(declared, {each.part: found[each.name].partitions for each in declared})
    if wrong:
        raise Misconfigured("\n".join(wrong), way_out="streambg topics plan shows what can be done")


def refuse_wrong_input(pipeline: Pipeline, admin: AdminClient, declared: Sequence[Declared]) -> None:
    """Before topics are made: raises ConfigError and Misconfigured where the input would be another one than so far."""
    found = describe(admin, [each.name for each in declared])
    # who makes topics need not be allowed to read them: processes look again
    with suppress(Denied, Gap, Unreachable):
        refuse_other_input(pipeline, declared, found)
    refuse_new_input(pipeline, found)


def ensure(pipeline: Pipeline, partitions: int = LOCAL_PARTITIONS) -> list[str]:
    """For a local start: create the topics that are missing, change none; what was done, in words.

    partitions: of a missing input, which a pipeline with a history never gets. Raises as `check` and `apply`.
    """
    admin = connect(pipeline)
    declared = load_topics(pipeline)
    refuse_wrong_input(pipeline, admin, declared)
    there = read(admin, [each.name for each in declared])
    asked = None if pipeline.topics.input in there else partitions
    actions = diff(declared, there, broker_count(admin), asked)
    done: list[str] = []
    apply(
        admin,
        [action for action in actions if action.kind in ("create", "impossible")],
        lambda action: done.append(f"created {action.name}: {', '.join(action.says)}"),
    )
    check(pipeline, admin)
    return done
