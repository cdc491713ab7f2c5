"""The hop and a join by hand in Faust: `faust -A faust_app worker`."""

import asyncio
import math
import os

import faust
import msgspec

WORK, GUARANTEE = os.environ["PEER_WORK"], os.environ["PEER_GUARANTEE"]
EVERY = 1_000


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

app = faust.App(
    os.environ["PEER_GROUP"],
    broker=f"kafka://{os.environ['PEER_BOOTSTRAP']}",
    datadir=os.environ["PEER_STATE"],
    processing_guarantee="exactly_once" if GUARANTEE == "exactly-once" else "at_least_once",
    topic_partitions=8,
    topic_disable_leader=True,
    broker_session_timeout=10,  # without these two a restart after kill -9 waits for a minute
    consumer_group_instance_id="member-0",
    broker_heartbeat_interval=1,
    broker_max_poll_records=2_000,
    broker_commit_interval=0.5,
    consumer_auto_offset_reset="earliest",
    consumer_metadata_max_age_ms=2_000,
    producer_acks=-1,
    producer_linger_ms=5,
    producer_max_batch_size=262_144,
    stream_buffer_maxsize=16_384,
    stream_wait_empty=False,
    web_enabled=False,
)
output = app.topic(
    os.environ["PEER_OUTPUT"], key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
)


def source(name):
    return app.topic(name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")


async def hop(stream):
    # take() acknowledges what it gave after the body, so answers are delivered before their events are acknowledged
    async for events in stream.take_events(1_000, within=0.01):
        sent = []
        for message in events:
            event = decode_event(message.value)
            p = 1 / (1 + math.exp(-(0.002 * event.amount + 0.1 * event.n24 - event.device)))
            sent.append(await output.send(key=message.key, value=encode(Answer(event.id, event.ts, p))))
        await asyncio.gather(*sent)


waiting = {}
pairs = agreed = 0


async def join(stream):
    global pairs, agreed  # noqa: PLW0603 - one process, one thread
    async for values in stream.take(1_000, within=0.01):
        for value in values:
            answer = decode_answer(value)
            other = waiting.pop(answer.id, None)
            if other is None:
                waiting[answer.id] = answer
                continue
            pairs += 1
            agreed += (other.p >= 0.5) == (answer.p >= 0.5)
            if pairs % EVERY == 0:
                await output.send(value=b"%d %d" % (pairs, agreed))


if WORK == "hop":
    app.agent(source(os.environ["PEER_INPUT"]))(hop)
else:
    # streams of two topics cannot be joined (`stream & stream` is not implemented): a dictionary in the process
    app.agent(source(os.environ["PEER_INPUT"]), name="blue")(join)
    app.agent(source(os.environ["PEER_RIGHT"]), name="green")(join)
