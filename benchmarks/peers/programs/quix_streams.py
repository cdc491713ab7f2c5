"""The hop and the join in Quix Streams. Settings: exactly-once or at-least-once as asked, the rest below."""

import math
import os

from quixstreams import Application

WORK, GUARANTEE = os.environ["PEER_WORK"], os.environ["PEER_GUARANTEE"]
EVERY = 1_000

app = Application(
    broker_address=os.environ["PEER_BOOTSTRAP"],
    consumer_group=os.environ["PEER_GROUP"],
    auto_offset_reset="earliest",
    processing_guarantee=GUARANTEE,
    # a transaction of 100 ms as Kafka Streams; without transactions a commit is a synchronous call
    commit_interval=0.1 if GUARANTEE == "exactly-once" else 1.0,
    consumer_poll_timeout=0.05,
    loglevel="WARNING",
    state_dir=os.environ["PEER_STATE"],
    consumer_extra_config={
        "group.instance.id": "member-0",  # a restart after kill -9 does not wait for the session to end
        "session.timeout.ms": 6_000,
        "heartbeat.interval.ms": 500,
        "isolation.level": "read_committed",
        "fetch.wait.max.ms": 10,
    },
    producer_extra_config={
        "linger.ms": 5,
        "acks": "all",
        "enable.idempotence": True,
        # a fixed id, so that a restart ends what its former life left open (the default is a random one)
        **(
            {"transactional.id": os.environ["PEER_GROUP"], "transaction.timeout.ms": 10_000}
            if GUARANTEE == "exactly-once"
            else {}
        ),
    },
)


def score(event):
    z = 0.002 * event["amount"] + 0.1 * event["n24"] - event["device"]
    return {"id": event["id"], "ts": event["ts"], "p": 1 / (1 + math.exp(-z))}


pairs = agreed = 0


def compare(blue, green):
    global pairs, agreed  # noqa: PLW0603 - one process, one thread
    pairs += 1
    agreed += (blue["p"] >= 0.5) == (green["p"] >= 0.5)
    return {"pairs": pairs, "agreed": agreed}


events = app.topic(os.environ["PEER_INPUT"])
output = app.topic(os.environ["PEER_OUTPUT"])
if WORK == "hop":
    app.dataframe(events).apply(score).to_topic(output)
else:
    left, right = app.dataframe(events), app.dataframe(app.topic(os.environ["PEER_RIGHT"]))
    # both colors' answers carry the event's time: an interval of nothing finds the pair
    joined = left.join_interval(right, how="inner", on_merge=compare, grace_ms=1_000)
    joined.filter(lambda tally: tally["pairs"] % EVERY == 0).to_topic(output)

if __name__ == "__main__":
    app.run()
