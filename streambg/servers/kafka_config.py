"""What a local broker is told: its properties and its command line. Nothing here touches a file or a process."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from streambg.servers.java import Java
from streambg.servers.ports import HOST

KAFKA_VERSION = "4.3.1"  # as in pom.xml and jars.lock; a test compares them
MAIN = "kafka.Kafka"
NO_CHECKS = 24  # from this Java on, what Kafka's libraries do with memory must be allowed explicitly
ONE_STEP_CACHE = 25  # from this Java on a class archive is made with AOTCacheOutput and needs no archive below it


@dataclass(frozen=True, slots=True)
class Launch:
    """How one start of a broker differs from the usual.

    `overrides`: server properties. `jvm`: arguments before the main class. `environment`: added to the process's.
    `limits`: {RLIMIT_*: bytes}; RLIMIT_FSIZE stands for a full disk (the JVM gets EFBIG on writes), from 11 MiB on: the
    broker makes each index at its full 10 MiB. `fast_start` stops at the first compiler: half the start, but not for
    benchmarks. `heap` as -Xmx takes it.
    """

    overrides: Mapping[str, str] = field(default_factory=dict)
    jvm: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[int, int] = field(default_factory=dict)
    fast_start: bool = True
    heap: str = "512m"


def server_properties(data: Path, port: int, controller_port: int, overrides: Mapping[str, str]) -> str:
    """One node that is broker and controller, on loopback, for a few pipelines. Overrides win."""
    settings = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.bootstrap.servers": f"{HOST}:{controller_port}",
        "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "log.dirs": str(data),
        **shared_settings(),
        **overrides,
    }
    return "".join(f"{key}={_escaped(value)}\n" for key, value in settings.items())


def shared_settings() -> dict[str, str]:
    """What a broker for a few pipelines on one machine is told, wherever it runs."""
    return {
        # streambg applies its topics itself, with the right partition counts
        "auto.create.topics.enable": "false",
        # one node; and each partition of an internal topic costs start-up time
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        # members of a group join at once instead of after 3 s; tests want short sessions
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",
        # A broker that was killed may register again only when the session of its former life has ended (9 s by
        # default). Six missed heartbeats still tell a dead broker from a slow one.
        "broker.heartbeat.interval.ms": "500",
        "broker.session.timeout.ms": "3000",
        # the cleaner takes this from the heap at start; the least it accepts is 1 MiB and a byte
        "log.cleaner.dedupe.buffer.size": "1048577",
        "num.network.threads": "2",
        "num.io.threads": "4",
    }


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n")


def java_command(
    java: Java, jars: Sequence[Path], launch: Launch, main: Sequence[str], archive: Sequence[str] = ()
) -> list[str]:
    """The command line that runs `main` (class and arguments) from the jars."""
    speed = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"] if launch.fast_start else []
    allow = ["--sun-misc-unsafe-memory-access=allow", "--enable-native-access=ALL-UNNAMED"]
    return [
        java.path,
        f"-Xmx{launch.heap}",
        *speed,
        *(allow if java.version >= NO_CHECKS else []),
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-Dorg.slf4j.simpleLogger.showDateTime=true",
        *archive,
        *launch.jvm,
        "-cp",
        os.pathsep.join(map(str, jars)),
        *main,
    ]


def archive_name(java: Java) -> str:
    """The file name of a class archive for this Java."""
    return "classes.aot" if java.version >= ONE_STEP_CACHE else "classes.jsa"


def archive_making(java: Java, file: Path) -> list[str]:
    """Arguments of the run that writes the archive when it ends."""
    return [f"-XX:AOTCacheOutput={file}" if java.version >= ONE_STEP_CACHE else f"-XX:ArchiveClassesAtExit={file}"]


def archive_using(java: Java, file: Path) -> list[str]:
    """Arguments of a run that uses the archive; none where it does not exist. An archive that does not fit is
    passed over by the JVM with a line in the log.
    """
    if not file.is_file():
        return []
    return [f"-XX:AOTCache={file}" if java.version >= ONE_STEP_CACHE else f"-XX:SharedArchiveFile={file}"]
