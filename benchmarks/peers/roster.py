"""The peers, each with the settings it was given and what its documentation promises and does not."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from benchmarks.peers import environments
from benchmarks.peers.peer import Job, Launchable, Pace, Peer
from streambg.errors import StreambgError

PROGRAMS = environments.HERE / "programs"
# Making a recovery folder takes a third of a second.
FOLDER_S = 30.0


def _raw_client(_: Path) -> Launchable:
    return Launchable(lambda _: [sys.executable, str(PROGRAMS / "raw_client.py")])


def _kafka_streams(build: Path) -> Launchable:
    command = environments.java_program(build)
    return Launchable(lambda _: command)


def _quix_streams(build: Path) -> Launchable:
    python = environments.python("quix-streams", build)
    return Launchable(lambda _: [str(python), str(PROGRAMS / "quix_streams.py")])


def _bytewax(build: Path) -> Launchable:
    python = environments.python("bytewax", build)

    def folder(job: Job) -> None:
        command = [str(python), "-m", "bytewax.recovery", str(job.state), "1"]
        made = subprocess.run(command, capture_output=True, text=True, timeout=FOLDER_S, check=False)
        if made.returncode != 0:
            raise StreambgError(f"bytewax.recovery ended with code {made.returncode}: {made.stderr[-500:]}")

    def argv(job: Job) -> list[str]:
        flow = f"{PROGRAMS / 'bytewax_flow.py'}:flow"
        return [str(python), "-m", "bytewax.run", "-r", str(job.state), "-s", "1", "-b", "0", flow]

    return Launchable(argv, folder)


def _faststream(build: Path) -> Launchable:
    python = environments.python("faststream", build)
    return Launchable(lambda _: [str(python), str(PROGRAMS / "faststream_app.py")])


def _faust(build: Path) -> Launchable:
    python = environments.python("faust", build)
    run = [str(python), "-m", "faust", "--loop", "uvloop", "--workdir", str(PROGRAMS), "-A", "faust_app"]
    return Launchable(lambda _: [*run, "worker", "--loglevel", "warn", "--without-web"])


PEERS: tuple[Peer, ...] = (
    Peer(
        name="raw-client",
        title="confluent-kafka by hand",
        make=_raw_client,
        version=lambda: version("confluent-kafka"),
        pace=Pace(warm=200_000, hop=250_000, join=300_000, join_warm=200_000),
        settings="poll, then consume(2,000); msgspec; a commit or a transaction every 100 ms; linger 5 ms, fetch wait "
        "10 ms, static membership; the join is a dictionary in memory",
        guarantees={
            "at-least-once": "flush, then commit",
            "exactly-once": "send_offsets_to_transaction",
        },
        cannot=(
            "the join's dictionary is gone after a crash, while the positions behind it are committed",
            "no colors, no cutover, no way back: it is a loop",
        ),
    ),
    Peer(
        name="kafka-streams",
        title="Kafka Streams",
        make=_kafka_streams,
        version=environments.streams_version,
        # the first million events cost twice as much, until the JVM has compiled the way
        pace=Pace(warm=1_000_000, hop=250_000, join=100_000, join_warm=300_000),
        settings="one thread; exactly_once_v2 with its default commit of 100 ms, at_least_once with 1 s; linger 5 ms, "
        "batches of 128 KiB, static membership, 1 GiB heap; Jackson; KStream-KStream join on RocksDB with its "
        "changelog; the publisher's merge is a processor by hand that keeps what waits in memory",
        guarantees={"at-least-once": "at_least_once", "exactly-once": "exactly_once_v2"},
        cannot=(
            "the publisher's merge is not crash safe: what waits for the other color is lost with the process",
            "a model in Python is out of its reach: Java, or a call to another process for each event",
        ),
        works=("hop", "join", "publish"),
    ),
    Peer(
        name="quix-streams",
        title="Quix Streams",
        make=_quix_streams,
        version=lambda: environments.pinned("quix-streams", "quixstreams"),
        pace=Pace(warm=20_000, hop=70_000, join=10_000, join_warm=3_000),
        settings="processing_guarantee as named, commit_interval 100 ms exactly-once and 1 s at-least-once, its own "
        "orjson codec, linger 5 ms, a fixed transactional.id, static membership; join_interval of 0 ms on RocksDB "
        "with its changelog",
        guarantees={"at-least-once": "at-least-once", "exactly-once": "exactly-once"},
        cannot=("an answer's partition cannot be chosen: it is the key's hash",),
    ),
    Peer(
        name="bytewax",
        title="Bytewax",
        make=_bytewax,
        version=lambda: environments.pinned("bytewax", "bytewax"),
        pace=Pace(warm=50_000, hop=150_000, join=80_000),
        settings="one worker, batches of 1,000, recovery partitions with a snapshot every second, idempotent "
        "producer, msgspec; the operator `join`",
        guarantees={"at-least-once": "recovery partitions"},
        cannot=(
            "exactly-once: its Kafka sink has no transactions",
            "no consumer group: positions live in its recovery files, and Kafka's tools see no lag",
        ),
    ),
    Peer(
        name="faststream",
        title="FastStream",
        make=_faststream,
        version=lambda: environments.pinned("faststream", "faststream"),
        pace=Pace(warm=30_000, hop=120_000, join=200_000),
        settings="aiokafka broker on uvloop, batches of 2,000, AckPolicy.ACK (after the answers' delivery), one "
        "publish_batch for each partition, apply_types off, msgspec; the join is a dictionary in memory",
        guarantees={"at-least-once": "AckPolicy.ACK"},
        cannot=(
            "exactly-once: a transactional_id can be given, but nothing begins a transaction",
            "no join: the dictionary is by hand, and gone after a crash while the positions behind it are committed",
        ),
    ),
    Peer(
        name="faust",
        title="Faust",
        make=_faust,
        version=lambda: environments.pinned("faust", "faust-streaming"),
        pace=Pace(warm=5_000, hop=10_000, join=10_000, join_warm=3_000, crash=500),
        settings="take_events(1,000) and sends gathered before the acknowledgement, uvloop, linger 5 ms, commit "
        "every 0.5 s, static membership, session 10 s, msgspec; processing_guarantee as named; the join is a "
        "dictionary in memory",
        guarantees={"at-least-once": "at_least_once", "exactly-once": "exactly_once"},
        cannot=(
            "a join of two streams is not implemented: the dictionary is by hand",
            "at-least-once it reads uncommitted records",
        ),
    ),
)
