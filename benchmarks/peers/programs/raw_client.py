"""The hop and the join by hand with confluent-kafka: what a careful person writes, without colors and cutovers."""

import gc
import math
import os
import time

import msgspec
from confluent_kafka import Consumer, Producer

WORK, TRANSACTIONS = os.environ["PEER_WORK"], os.environ["PEER_GUARANTEE"] == "exactly-once"
OUTPUT = os.environ["PEER_OUTPUT"]
EVERY = 1_000
COMMIT_S = 0.1


class Event(msgspec.Struct, gc=False):
    id: int
    ts: int
    amount: float
    n24: float
    device: float


class Answer(msgspec.Struct, gc=False):
    id: int
    ts: int
    p: float


decode_event, decode_answer = msgspec.json.Decoder(Event).decode, msgspec.json.Decoder(Answer).decode
encode = msgspec.json.Encoder().encode

consumer = Consumer(
    {
        "bootstrap.servers": os.environ["PEER_BOOTSTRAP"],
        "group.id": os.environ["PEER_GROUP"],
        "group.instance.id": "member-0",
        "session.timeout.ms": 6_000,
        "heartbeat.interval.ms": 500,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "isolation.level": "read_committed",
        "fetch.wait.max.ms": 10,
        "fetch.min.bytes": 100_000,
    }
)
producer = Producer(
    {
        "bootstrap.servers": os.environ["PEER_BOOTSTRAP"],
        "acks": "all",
        "enable.idempotence": True,
        "linger.ms": 5,
        **({"transactional.id": os.environ["PEER_GROUP"], "transaction.timeout.ms": 10_000} if TRANSACTIONS else {}),
    }
)


def produce(value, key):
    while True:
        try:
            producer.produce(OUTPUT, value, key)
            return
        except BufferError:
            producer.poll(0.05)


def hop(messages):
    for message in messages:
        event = decode_event(message.value())
        p = 1 / (1 + math.exp(-(0.002 * event.amount + 0.1 * event.n24 - event.device)))
        produce(encode(Answer(event.id, event.ts, p)), message.key())


waiting = {}
pairs = agreed = 0


def join(messages):
    global pairs, agreed  # noqa: PLW0603 - one process, one thread
    for message in messages:
        answer = decode_answer(message.value())
        other = waiting.pop(answer.id, None)
        if other is None:
            waiting[answer.id] = answer
            continue
        pairs += 1
        agreed += (other.p >= 0.5) == (answer.p >= 0.5)
        if pairs % EVERY == 0:
            produce(b"%d %d" % (pairs, agreed), None)


def commit():
    if TRANSACTIONS:
        producer.send_offsets_to_transaction(
            consumer.position(consumer.assignment()), consumer.consumer_group_metadata(), 30
        )
        producer.commit_transaction(30)
    else:
        producer.flush(30)
        consumer.commit(asynchronous=False)


def main():
    gc.set_threshold(100_000, 50, 100)
    work = hop if WORK == "hop" else join
    if TRANSACTIONS:
        producer.init_transactions(30)
    consumer.subscribe([os.environ["PEER_INPUT"]] + ([os.environ["PEER_RIGHT"]] if WORK == "join" else []))
    begun = None
    while True:
        first = consumer.poll(0.005 if begun else 0.1)
        if first is not None:
            messages = [first, *consumer.consume(2_000, 0)]
            if broken := next((m.error() for m in messages if m.error()), None):
                raise SystemExit(str(broken))  # crash-only: whoever started it starts it again
            if begun is None:
                begun = time.monotonic()
                if TRANSACTIONS:
                    producer.begin_transaction()
            work(messages)
            producer.poll(0)
        if begun is not None and time.monotonic() - begun >= COMMIT_S:
            commit()
            begun = None


if __name__ == "__main__":
    main()
