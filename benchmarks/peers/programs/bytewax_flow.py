"""The hop and the join in Bytewax, at-least-once by its recovery partitions: its Kafka sink has no transactions."""

import math
import os

import bytewax.operators as op
import msgspec
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource
from bytewax.dataflow import Dataflow

BROKERS = [os.environ["PEER_BOOTSTRAP"]]
EVERY = 1_000
# a consumer for each partition: each may hold this much
CONSUMER = {"isolation.level": "read_committed", "fetch.wait.max.ms": "10", "queued.max.messages.kbytes": "16384"}
PRODUCER = {"acks": "all", "enable.idempotence": "true"}


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


def score(messages):
    for message in messages:
        event = decode_event(message.value)
        p = 1 / (1 + math.exp(-(0.002 * event.amount + 0.1 * event.n24 - event.device)))
        yield KafkaSinkMessage(message.key, encode(Answer(event.id, event.ts, p)))


class Tally:
    """Counts; emits one record for every thousand pairs."""

    pairs = agreed = 0

    def take(self, joined):
        for _, (blue, green) in joined:
            self.pairs += 1
            self.agreed += (blue.p >= 0.5) == (green.p >= 0.5)
            if self.pairs % EVERY == 0:
                yield KafkaSinkMessage(None, b"%d %d" % (self.pairs, self.agreed))


def source(topic):
    return KafkaSource(BROKERS, [topic], add_config=dict(CONSUMER), batch_size=1_000)


def side(name, topic):
    answers = op.map(f"decode-{name}", op.input(name, flow, source(topic)), lambda m: decode_answer(m.value))
    return op.key_on(f"key-{name}", answers, lambda answer: str(answer.id))


flow = Dataflow(os.environ["PEER_WORK"])
if os.environ["PEER_WORK"] == "hop":
    answers = op.flat_map_batch("score", op.input("in", flow, source(os.environ["PEER_INPUT"])), score)
else:
    joined = op.join("join", side("blue", os.environ["PEER_INPUT"]), side("green", os.environ["PEER_RIGHT"]))
    answers = op.flat_map_batch("tally", joined, Tally().take)
op.output("out", answers, KafkaSink(BROKERS, os.environ["PEER_OUTPUT"], add_config=dict(PRODUCER)))
