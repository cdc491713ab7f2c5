"""What a scorer's session needs to know and to be given, and what the client's errors mean to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from confluent_kafka import KafkaError

from streambg.control.state import ControlState, Deployment, Standing
from streambg.errors import Fenced, SessionEnded, StreambgError
from streambg.kafka.clients import KAFKA, Clients
from streambg.kafka.errors import is_denied, is_fenced, translate
from streambg.records.batch import Batch
from streambg.records.source import Color
from streambg.scoring.batching import Polled, Scored


@dataclass(frozen=True, slots=True)
class Site:
    """What a scorer needs to know of its pipeline; client configurations are complete librdkafka ones."""

    pipeline: str
    color: Color
    input: str
    predictions: str
    all_predictions: tuple[str, ...]
    publisher_group: str
    forward_headers: frozenset[str]
    consumer: Mapping[str, Any]
    reader: Mapping[str, Any]
    producer: Mapping[str, Any]
    admin: Mapping[str, Any]
    rules: str  # `Rules.short` of its own pipeline file, said in every position (P4)
    ways_out: Mapping[str, str]  # topic -> how a person goes on where it was made again
    clients: Clients = KAFKA


class Scoring(Protocol):
    """A loaded model with its decoding and checks: one poll in, answers out."""

    deployment: int

    def score(self, polled: Polled, partition: int, sample: int | None) -> Scored: ...


class Meter(Protocol):
    """What the session reports; the process turns it into metrics."""

    def scored(self, batch: Batch) -> None: ...
    def alarm(self, text: str) -> None: ...


def in_force(state: ControlState, color: Color) -> Deployment | None:
    """The deployment that this color scores with; None where there is none, or it is retired."""
    deployment = state.slots[color]
    return deployment if deployment is not None and deployment.standing is not Standing.RETIRED else None


def ended(error: KafkaError) -> StreambgError:
    """What ends the session; or, where no new one would mend it, the process."""
    if is_denied(error):
        return translate(error, "scoring")
    if is_fenced(error):
        return Fenced(f"another scorer runs under this name: {error.str()}", way_out="give each scorer its own --slot")
    return SessionEnded(f"{error.name()}: {error.str()}")
