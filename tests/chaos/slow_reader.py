"""A reader of the output in a process of its own, so that it can be stopped: `slow_reader.py BOOTSTRAP TOPIC FILE`.

Writes into the file how many records it has read.
"""

from __future__ import annotations

import sys
from pathlib import Path

from confluent_kafka import Consumer

POLL_S = 0.2


def main(bootstrap: str, topic: str, file: str) -> None:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "chaos.slow-reader",
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "log_level": 0,
        }
    )
    consumer.subscribe([topic])
    count, there = 0, Path(file)
    part = there.with_suffix(".part")
    while True:
        count += sum(message.error() is None for message in consumer.consume(2_000, POLL_S))
        part.write_text(str(count))
        part.replace(there)


if __name__ == "__main__":
    main(*sys.argv[1:])
