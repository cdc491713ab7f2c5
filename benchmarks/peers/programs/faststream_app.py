"""The hop and a join by hand in FastStream on aiokafka: batches, acknowledged after their answers are delivered."""

import asyncio
import logging
import math
import os

import msgspec
import uvloop
from faststream import AckPolicy, FastStream
from faststream.kafka import KafkaBroker, KafkaPublishMessage

EVERY = 1_000
OUTPUT = os.environ["PEER_OUTPUT"]


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

broker = KafkaBroker(
    os.environ["PEER_BOOTSTRAP"],
    acks="all",
    enable_idempotence=True,
    linger_ms=5,
    max_batch_size=1_000_000,  # a batch of answers is one record batch, and must fit
    apply_types=False,  # no validation by pydantic on the way of each event
    log_level=logging.WARNING,  # of each batch's two lines; failures stay
)
app = FastStream(broker)


async def records(message):
    """In place of the usual decoding: the handler gets the records as they came."""
    return message.raw_message


TOPICS = [os.environ["PEER_INPUT"]] + ([os.environ["PEER_RIGHT"]] if os.environ["PEER_WORK"] == "join" else [])
subscriber = broker.subscriber(
    *TOPICS,
    batch=True,
    group_id=os.environ["PEER_GROUP"],
    group_instance_id="member-0",
    session_timeout_ms=6_000,
    heartbeat_interval_ms=500,
    auto_offset_reset="earliest",
    isolation_level="read_committed",
    ack_policy=AckPolicy.ACK,
    max_records=2_000,
    batch_timeout_ms=10,
    fetch_max_wait_ms=10,
    decoder=records,
)


async def hop(batch):
    by_partition = {}
    for record in batch:
        event = decode_event(record.value)
        p = 1 / (1 + math.exp(-(0.002 * event.amount + 0.1 * event.n24 - event.device)))
        answer = KafkaPublishMessage(encode(Answer(event.id, event.ts, p)), key=record.key)
        by_partition.setdefault(record.partition, []).append(answer)
    await asyncio.gather(
        *(broker.publish_batch(*answers, topic=OUTPUT, partition=number) for number, answers in by_partition.items())
    )


waiting = {}
pairs = agreed = 0


async def join(batch):
    global pairs, agreed  # noqa: PLW0603 - one process, one thread
    tallies = []
    for record in batch:
        answer = decode_answer(record.value)
        other = waiting.pop(answer.id, None)
        if other is None:
            waiting[answer.id] = answer
            continue
        pairs += 1
        agreed += (other.p >= 0.5) == (answer.p >= 0.5)
        if pairs % EVERY == 0:
            tallies.append(b"%d %d" % (pairs, agreed))
    if tallies:
        await broker.publish_batch(*tallies, topic=OUTPUT)


subscriber(hop if os.environ["PEER_WORK"] == "hop" else join)


if __name__ == "__main__":
    uvloop.run(app.run())
