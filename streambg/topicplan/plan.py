"""What must be done so that the broker has what topics/*.yaml declare: a pure comparison.

Nothing is ever deleted and nothing shrinks: what would need it is `impossible`, with both numbers and the way out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from streambg.topicplan.declared import FOREVER, AsInput, Auto, Declared, Part, Value

Kind = Literal["create", "change", "impossible", "unchanged"]

# P13 and DESIGN: three copies where there are three brokers; a write counts when two have it.
REPLICAS = 3
REPLICAS_IN_SYNC = 2
UNSAID = "nobody said how many partitions it shall have: `--partitions N`"
# Kafka's defaults, for an input that exists without saying otherwise.
_KAFKA_DEFAULTS = {"max.message.bytes": "1048588", "retention.ms": "604800000"}
# More is harmless: what the broker keeps or accepts beyond the declaration stays as it is.
_AT_LEAST = frozenset({"retention.ms", "retention.bytes", "max.message.bytes", "min.insync.replicas"})


@dataclass(frozen=True, slots=True)
class Found:
    """A topic as the broker has it; `config` in effect, defaults included."""

    name: str
    partitions: int
    replication: int
    config: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Action:
    """What happens to one topic, and why, in words.

    partitions: how many it will have, None where that stays; replication: of a topic to create; config: what is
    set; notes: what differs and is left alone.
    """

    kind: Kind
    part: Part
    name: str
    says: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    partitions: int | None = None
    replication: int = 0
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Goal:
    """The input that everything else follows, as it will be."""

    name: str
    partitions: int | None
    config: Mapping[str, str]
    asked: int | None  # by --partitions


def diff(
    declared: Sequence[Declared], found: Mapping[str, Found], brokers: int, partitions: int | None = None
) -> list[Action]:
    """One action a topic, in the order of `declared` (P13).

    found: by name, only topics that exist. partitions: what `--partitions` asks for, of the input and all that
    follows it.
    """
    goal = _goal(declared, found, partitions)
    return [_action(each, found.get(each.name), brokers, goal) for each in declared]


def _goal(declared: Sequence[Declared], found: Mapping[str, Found], partitions: int | None) -> _Goal:
    wanted = next(each for each in declared if each.part == "input")
    there = found.get(wanted.name)
    given = {key: value for key, value in wanted.config.items() if isinstance(value, str)}
    if there is None:
        return _Goal(wanted.name, partitions, {**_KAFKA_DEFAULTS, **given}, partitions)
    count = max(partitions or 0, there.partitions)
    return _Goal(wanted.name, count, {**_KAFKA_DEFAULTS, **there.config}, partitions)


def _action(declared: Declared, there: Found | None, brokers: int, goal: _Goal) -> Action:
    count = declared.partitions if isinstance(declared.partitions, int) else goal.partitions
    if there is None:
        return _creation(declared, count, brokers, goal)
    replication = there.replication
    config, notes = _changes(
        declared, there, {key: _resolve(key, value, goal, replication) for key, value in declared.config.items()}
    )
    wanted = REPLICAS if declared.replication == "auto" else declared.replication
    if replication < min(wanted, brokers):
        notes.append(
            f"replication {replication}, declared {min(wanted, brokers)}: kafka-reassign-partitions moves replicas"
        )
    impossible = _cannot_have(declared, there, count, goal)
    if impossible:
        return Action("impossible", declared.part, declared.name, (impossible,), tuple(notes))
    grows = count is not None and there.partitions < count and declared.partitions != "any"
    more = count if grows else None
    moved = " (its keys then move to other partitions)" if declared.part == "input" else ""
    says = [f"partitions {there.partitions} -> {more}{moved}"] if more else []
    says += [f"{key} {there.config.get(key, 'not set')} -> {value}" for key, value in config.items()]
    kind: Kind = "change" if says else "unchanged"
    return Action(kind, declared.part, declared.name, tuple(says), tuple(notes), more, 0, config)


def _creation(declared: Declared, count: int | None, brokers: int, goal: _Goal) -> Action:
    if count is None:
        says = (
            f"`{declared.name}` does not exist, and {UNSAID}"
            if declared.part == "input"
            else f"as many partitions are needed as the input `{goal.name}` has, which does not exist"
        )
        return Action("impossible", declared.part, declared.name, (says,))
    replication = min(REPLICAS, brokers) if declared.replication == "auto" else declared.replication
    if replication > brokers:
        says = f"`{declared.name}` declares replication {replication}, the cluster has {brokers} brokers"
        return Action("impossible", declared.part, declared.name, (says,))
    config = {key: _resolve(key, value, goal, replication) for key, value in declared.config.items()}
    says = f"{count} partition{'s' * (count != 1)}, replication {replication}"
    return Action("create", declared.part, declared.name, (says,), (), count, replication, config)


def _cannot_have(declared: Declared, there: Found, count: int | None, goal: _Goal) -> str | None:
    """Why the partitions cannot become `count`; None where they can, or are."""
    has, name = there.partitions, declared.name
    if declared.part == "input" and goal.asked is not None and goal.asked < has:
        return f"`{name}` has {has} partitions, {goal.asked} are asked for: no topic ever shrinks"
    if count is None or has == count or declared.partitions == "any":
        return None
    if isinstance(declared.partitions, int):
        return f"`{name}` has {has} partitions and must have {count}: its order decides"
    if has > count:
        return (
            f"`{name}` has {has} partitions, the input `{goal.name}` {count}: they must be equal, and no topic ever "
            f"shrinks; `--partitions {has}` gives the input {has} too (its keys then move to other partitions)"
        )
    if declared.yours and goal.asked is None:
        return (
            f"`{name}` has {has} partitions, the input `{goal.name}` {count}: they must be equal; it is yours, so "
            f"say `--partitions {count}`"
        )
    return None


def _resolve(key: str, value: Value, goal: _Goal, replication: int) -> str:
    if isinstance(value, Auto):
        return str(REPLICAS_IN_SYNC if replication >= REPLICAS else 1)
    if isinstance(value, AsInput):
        # a compacted input without `delete` keeps its records whatever its retention says
        if key == "retention.ms" and "delete" not in goal.config.get("cleanup.policy", "delete"):
            return FOREVER
        base = goal.config.get(key, FOREVER)
        return str(int(base) + value.plus) if value.plus else base
    return value


def _changes(declared: Declared, there: Found, wanted: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """(what to set, what differs and stays)."""
    config: dict[str, str] = {}
    notes: list[str] = []
    for key, value in wanted.items():
        has = there.config.get(key)
        if has == value:
            continue
        if has is not None and key in _AT_LEAST and _more(has, value):
            notes.append(f"{key} is {has}, more than the declared {value}")
        elif declared.yours:
            notes.append(f"{key} is {has}, declared {value}; the topic is yours, so it stays")
        else:
            config[key] = value
    return config, notes


def _more(has: str, wanted: str) -> bool:
    infinite: Callable[[str], float] = lambda text: float("inf") if text == FOREVER else float(text)  # noqa: E731
    return infinite(has) > infinite(wanted)


def faults(declared: Sequence[Declared], partitions: Mapping[Part, int]) -> list[str]:
    """Why a process that needs these topics must not start, in words; empty where it may.

    partitions: of the topics that exist. While partitions are added, in the order of P13, counts differ and a process
    may start: each partition of the input has its partition everywhere. In every other case of unequal counts one
    partition could not be scored or published.
    """
    wrong: list[str] = []
    names = {each.part: each.name for each in declared}
    for each in declared:
        count = partitions.get(each.part)
        if isinstance(each.partitions, int) and count not in (None, each.partitions):
            wrong.append(f"`{each.name}` has {count} partitions and must have {each.partitions}: its order decides")
    chain: list[tuple[Part, Part]] = [
        ("predictions.blue", "input"),
        ("predictions.green", "input"),
        ("output", "predictions.blue"),
        ("output", "predictions.green"),
        ("output", "input"),
        ("dead-letters", "output"),
    ]
    for first, then in chain:
        if first in partitions and then in partitions and partitions[first] < partitions[then]:
            wrong.append(
                f"`{names[first]}` has {partitions[first]} partitions, `{names[then]}` has {partitions[then]}: "
                f"they must be equal"
            )
    blue, green = partitions.get("predictions.blue"), partitions.get("predictions.green")
    if blue is not None and green is not None and blue != green:
        pair = f"`{names['predictions.blue']}` has {blue} partitions, `{names['predictions.green']}` has {green}"
        wrong.append(f"{pair}: they must be equal")
    return wrong
