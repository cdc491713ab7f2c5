"""An ordinary scoring service, as a team has one before streambg: it reads, answers, and commits behind its answers.

    python old_service.py BOOTSTRAP INPUT OUTPUT GROUP [--hang-before-commit N]

With `--hang-before-commit N` it answers N events in all and then stands still before it commits the last of them.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys

from confluent_kafka import Consumer, KafkaException, Producer

POLL_S = 0.05
RECORDS = 40


def main() -> None:
    options = argparse.ArgumentParser()
    for name in ("bootstrap", "input", "output", "group"):
        options.add_argument(name)
    options.add_argument("--hang-before-commit", type=int, default=0)
    given = options.parse_args()
    stops: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: stops.append(number))
    producer = Producer({"bootstrap.servers": given.bootstrap, "acks": "all"})
    consumer = Consumer(
        {
            "bootstrap.servers": given.bootstrap,
            "group.id": given.group,
            "client.id": "old-service",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "session.timeout.ms": 6_000,  # the smallest that brokers accept by default
            "heartbeat.interval.ms": 500,
        }
    )
    consumer.subscribe([given.input])
    answered = 0
    while not stops:
        messages = consumer.consume(RECORDS, POLL_S)
        for message in messages:
            error = message.error()
            if error is not None:
                raise KafkaException(error)
            event = json.loads(message.value() or b"")
            producer.produce(given.output, json.dumps({"id": event["id"], "p": 0.5}), message.key())
        producer.flush()
        answered += len(messages)
        if 0 < given.hang_before_commit <= answered:
            sys.stdout.write(f"answered {answered}\n")
            sys.stdout.flush()
            signal.pause()
        if messages:
            consumer.commit(asynchronous=False)
    consumer.close()


if __name__ == "__main__":
    main()
