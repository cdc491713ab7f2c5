"""The events on which both sides differ most, with what may be shown of them. Pure but for the look at each event."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from streambg.comparing.evidence import merged
from streambg.comparing.worst import Example as Kept
from streambg.config.masks import Masks
from streambg.models.contract import Row
from streambg.records.source import Source
from streambg.replaying.found import Answer, Example
from streambg.replaying.state import Shown, State

# What of a field, a key or an answer stands in a row of a table.
SHOWN_CHARACTERS = 200

# The decoded event at a partition's offset, or why there is none.
Look = Callable[[int, int], Row | str]


def examples_of(
    states: Sequence[State],
    number: int,
    threshold: float | None,
    topic: str,
    names: Sequence[str],
    look: Look,
    masks: Masks,
) -> tuple[Example, ...]:
    """Of the model of this number. names: the fields that are shown: what is declared, and nothing else."""
    worst = merged([state.models[number].evidence for state in states]).worst
    said = {(state.partition, shown.offset): shown for state in states for shown in state.models[number].shown}
    return tuple(
        _example(
            kept, said[kept.partition, kept.offset], threshold, topic, names, look(kept.partition, kept.offset), masks
        )
        for kept in worst
    )


def _example(
    kept: Kept, said: Shown, threshold: float | None, topic: str, names: Sequence[str], event: Row | str, masks: Masks
) -> Example:
    whole = None if isinstance(event, str) else event
    return Example(
        str(Source(topic, kept.partition, kept.offset)),
        said.time_ms,
        None if kept.key is None else masks.key_of(kept.key, whole)[:SHOWN_CHARACTERS],
        _answer(kept.blue, threshold, masks.value_of(said.against)),
        _answer(kept.green, threshold, masks.value_of(said.model)),
        kept.green - kept.blue,
        kept.flip,
        _fields(event, names, masks),
    )


def _answer(score: float, threshold: float | None, value: str) -> Answer:
    return Answer(score, None if threshold is None else score >= threshold, value[:SHOWN_CHARACTERS])


def _fields(event: Row | str, names: Sequence[str], masks: Masks) -> dict[str, str]:
    if isinstance(event, str):
        return {"": event}
    declared: Mapping[str, object] = {name: event[name] for name in names if name in event}
    return {name: str(value)[:SHOWN_CHARACTERS] for name, value in masks.fields(declared).items()}
