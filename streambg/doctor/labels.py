"""Asks for what the check of Redis looks at: Redis, what waits in it for labels, and how fast the input is."""

from __future__ import annotations

import time
from typing import Any

from confluent_kafka import Consumer
from redis import Redis as Client
from redis import RedisError

from streambg.comparing.pair import Terms
from streambg.config import Pipeline, redact_text
from streambg.control import verbs
from streambg.doctor.facts import Redis, Waiting
from streambg.kafka import profiles
from streambg.kafka.admin import ASK_S
from streambg.kafka.looking import offsets_at, ranges
from streambg.labelling.filling import lives_ms
from streambg.labelling.rows import layout_of
from streambg.records.bucket import BUCKETS

CLIENT = "streambg.doctor"
# The last hour; and ten minutes, for an input that is younger, or has become busier. Shorter ones are bursts, which the
# room evens out: rows live for more than ten minutes.
WINDOWS_MS = (3_600_000, 600_000)


def redis(address: str) -> Redis:
    """By INFO: a Redis that somebody else runs often knows no CONFIG."""
    try:
        with Client.from_url(address, socket_timeout=ASK_S, socket_connect_timeout=ASK_S) as client:
            memory: Any = client.info("memory")
    except (RedisError, OSError) as error:
        return Redis(problem=redact_text(f"it does not answer: {error}"))
    machine = int(memory.get("total_system_memory", 0))
    return Redis(int(memory["maxmemory"]), str(memory["maxmemory_policy"]), machine=machine)


def waiting(pipeline: Pipeline) -> Waiting | None:
    """By this pipeline file's metrics and segments; what is in force is the last deploy's (check `files`)."""
    layout = layout_of(Terms(len(pipeline.model.outputs), gate=pipeline.gate()))
    if layout is None:
        return None
    lives = lives_ms(layout.labels.horizon_ms, layout.width)
    return Waiting(layout.bytes_a_row, lives, layout.labels.sample / BUCKETS, layout.packed)


def rate(pipeline: Pipeline) -> float | None:
    """Of the input, events a second by their own times; None: without any for an hour. Asks for offsets only."""
    consumer, now_ms = Consumer({**profiles.reader(pipeline, CLIENT), **verbs.QUIET}), int(time.time() * 1_000)
    try:
        partitions = consumer.list_topics(pipeline.input.topic, ASK_S).topics[pipeline.input.topic].partitions
        spots = [(pipeline.input.topic, number) for number in partitions]
        ends = {spot: end for spot, (_, end) in ranges(consumer, spots, ASK_S).items()}
        found = []
        for window_ms in WINDOWS_MS:
            starts = offsets_at(consumer, spots, now_ms - window_ms, ASK_S)
            count = sum(ends[spot] - start for spot, start in starts.items() if start >= 0)
            found.append(count / (window_ms / 1_000))
        return max(found) or None
    finally:
        consumer.close()
