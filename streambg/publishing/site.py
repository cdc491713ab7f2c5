"""What a publisher needs to know of its pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from streambg.kafka.clients import KAFKA, Clients
from streambg.records.source import Color

ClientConfig = Mapping[str, str | int | float | bool]


@dataclass(frozen=True, slots=True)
class Site:
    """Of one slot. Client configurations are complete librdkafka ones."""

    pipeline: str
    input: str
    output: str
    dead_letters: str
    cutovers: str
    predictions: Mapping[Color, str]
    group: str
    transactional_id: str
    all_transactional_ids: frozenset[str]
    consumer: ClientConfig
    reader: ClientConfig
    producer: ClientConfig
    admin: ClientConfig
    trusted_s: float  # a transactional call that takes longer ends the session (P21)
    every_s: float
    records: int
    input_timestamps: bool  # output.timestamp: input
    rules: str  # `Rules.short` of its own pipeline file, said in every position (P4)
    ways_out: Mapping[str, str]  # topic -> how a person goes on where it was made again
    clients: Clients = KAFKA
