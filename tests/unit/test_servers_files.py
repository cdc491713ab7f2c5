"""What local servers keep on disk: jars, cache, configuration, state; no server is started."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from streambg.errors import ConfigError, StreambgError, Unreachable
from streambg.servers import detached, jars, ports, processes
from streambg.servers.cache import RUN_GRACE, RunDirectory, cache_dir, exclusive
from streambg.servers.containers import kafka_environment, variable
from streambg.servers.installation import cluster_id, new_cluster_id, renew_cluster_id
from streambg.servers.java import Java
from streambg.servers.kafka_config import KAFKA_VERSION, Launch, archive_using, java_command, server_properties
from streambg.servers.launching import RunningServer, Servers, Wanted

ONE, TWO = b"first jar", b"second jar"


def lock_of(**files: bytes) -> tuple[jars.Jar, ...]:
    lines = [f"{hashlib.sha256(data).hexdigest()}  org/x/{name}.jar" for name, data in files.items()]
    return jars.read_lock("\n".join(lines))


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder served as a Maven repository: (folder, address)."""
    root = tmp_path / "repository"
    (root / "org/x").mkdir(parents=True)

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer((ports.HOST, 0), partial(Quiet, directory=str(root))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield root, f"http://{ports.HOST}:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_lock_pins_the_versions_of_the_pom() -> None:
    pom = jars.POM_FILE.read_text()
    named = re.findall(r"<artifactId>(\S+)</artifactId>\s*<version>([\d.]+)</version>\s*</dependency>", pom)
    names = {jar.name for jar in jars.read_lock()}
    assert dict(named) == {"kafka_2.13": KAFKA_VERSION, "slf4j-simple": "1.7.36"}
    assert {f"{artifact}-{version}.jar" for artifact, version in named} <= names
    assert len(names) == len(jars.read_lock())  # no name twice: they share one folder


def test_jars_come_from_the_repository_once_and_in_one_order(tmp_path: Path, repository: tuple[Path, str]) -> None:
    root, address = repository
    (root / "org/x/one.jar").write_bytes(ONE)
    (root / "org/x/two.jar").write_bytes(TWO)
    said: list[str] = []
    environ = {jars.REPOSITORY: address, "PATH": ""}
    wanted = lock_of(two=TWO, one=ONE)
    found = jars.class_path(tmp_path, said.append, environ, wanted)
    assert [(file.name, file.read_bytes()) for file in found] == [("one.jar", ONE), ("two.jar", TWO)]
    assert len(said) == 1
    (root / "org/x/one.jar").unlink()
    assert jars.class_path(tmp_path, said.append, {}, wanted) == found
    found[0].unlink()  # a damaged cache is mended, not believed
    (root / "org/x/one.jar").write_bytes(ONE)
    assert jars.class_path(tmp_path, said.append, environ, wanted)[0].read_bytes() == ONE
    assert len(said) == 2


def test_a_jar_with_another_digest_is_refused_and_nothing_is_kept(tmp_path: Path, repository: tuple[Path, str]) -> None:
    root, address = repository
    (root / "org/x/one.jar").write_bytes(b"altered")
    environ = {jars.REPOSITORY: address}
    with pytest.raises(StreambgError, match=r"1 of 1 jars are not what jars\.lock pins .*org/x/one\.jar"):
        jars.class_path(tmp_path, environ=environ, jars=lock_of(one=ONE))
    with pytest.raises(StreambgError, match="pins"):
        jars.class_path(tmp_path, environ=environ, jars=lock_of(one=ONE))


def test_a_repository_that_lacks_a_jar_is_named_by_its_variable(tmp_path: Path, repository: tuple[Path, str]) -> None:
    with pytest.raises(Unreachable, match=r"org/x/one\.jar could not be fetched: HTTP Error 404") as caught:
        jars.class_path(tmp_path, environ={jars.REPOSITORY: repository[1]}, jars=lock_of(one=ONE))
    assert jars.REPOSITORY in caught.value.way_out


@pytest.mark.parametrize("address", ["http://example.org/maven", "ftp://127.0.0.1/x", "example.org"])
def test_a_repository_must_be_https(tmp_path: Path, address: str) -> None:
    with pytest.raises(ConfigError, match="https"):
        jars.class_path(tmp_path, environ={jars.REPOSITORY: address}, jars=lock_of(one=ONE))


def test_without_maven_and_repository_the_ways_out_are_listed(tmp_path: Path) -> None:
    with pytest.raises(Unreachable) as caught:
        jars.class_path(tmp_path, environ={"PATH": "/nowhere"}, jars=lock_of(one=ONE))
    assert "Maven" in caught.value.way_out
    assert jars.REPOSITORY in caught.value.way_out


def test_what_maven_says_is_shown_and_what_it_does_not_deliver_named(tmp_path: Path) -> None:
    mvn = tmp_path / "mvn"
    mvn.write_text("#!/bin/sh\necho '[ERROR] no route to the repository'\nexit 1\n")
    mvn.chmod(0o755)
    environ = {"PATH": str(tmp_path)}
    with pytest.raises(Unreachable, match=r"exit code 1.*\n.*no route to the repository"):
        jars.class_path(tmp_path, environ=environ, jars=lock_of(one=ONE))
    mvn.write_text("#!/bin/sh\nexit 0\n")
    with pytest.raises(StreambgError, match=r"1 of 1 jars were not delivered: one\.jar"):
        jars.class_path(tmp_path, environ=environ, jars=lock_of(one=ONE))


def test_the_cache_is_where_the_environment_says() -> None:
    home = Path.home() / ".cache" / "streambg"
    assert cache_dir({"STREAMBG_CACHE": "/a/b", "XDG_CACHE_HOME": "/c"}) == Path("/a/b")
    assert cache_dir({"XDG_CACHE_HOME": "/c"}) == Path("/c/streambg")
    assert cache_dir({}) == cache_dir({"STREAMBG_CACHE": ""}) == home


def test_who_waits_for_a_lock_says_so_and_gives_up_with_a_way_out(tmp_path: Path) -> None:
    said: list[str] = []
    with (
        exclusive(tmp_path / "lock"),
        pytest.raises(StreambgError, match=r"has held .* for 0\.1 s") as caught,
        exclusive(tmp_path / "lock", said.append, deadline=0.1),
    ):
        pass
    assert len(said) == 1
    assert "fuser" in caught.value.way_out
    with exclusive(tmp_path / "lock", said.append, deadline=0.1):
        assert len(said) == 1


def test_abandoned_data_is_swept_and_data_in_use_is_not(tmp_path: Path) -> None:
    used, abandoned, young = (RunDirectory(tmp_path) for _ in range(3))
    for directory in (abandoned, young):
        fcntl.flock(directory._lock.fileno(), fcntl.LOCK_UN)  # what the kernel does when the owner is killed
    past = time.time() - RUN_GRACE - 1
    for directory in (used, abandoned):
        os.utime(directory.path, (past, past))
    new = RunDirectory(tmp_path)
    assert set(tmp_path.iterdir()) == {used.path, young.path, new.path}
    for directory in (used, abandoned, young, new):
        directory.remove()
    assert not list(tmp_path.iterdir())


def test_overrides_win_and_values_are_escaped() -> None:
    text = server_properties(Path("/d"), 1, 2, {"num.io.threads": "9", "x": "a\\b\nc"})
    assert "num.io.threads=9\n" in text
    assert text.count("num.io.threads") == 1
    assert "x=a\\\\b\\nc\n" in text
    assert "listeners=PLAINTEXT://127.0.0.1:1,CONTROLLER://127.0.0.1:2\n" in text


def test_a_container_is_told_the_same_settings_in_its_images_spelling() -> None:
    assert variable("log.a_b-c") == "KAFKA_LOG_A__B___C"
    told = kafka_environment("127.0.0.1", 17_000, {"num.io.threads": "9"})
    assert told["KAFKA_ADVERTISED_LISTENERS"] == "PLAINTEXT://127.0.0.1:17000"
    assert told["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    assert told["KAFKA_NUM_IO_THREADS"] == "9"


def test_benchmarks_get_the_second_compiler(tmp_path: Path) -> None:
    java = Java("java", 25, "")
    fast = java_command(java, [Path("a.jar"), Path("b.jar")], Launch(), ["Main"])
    full = java_command(java, [Path("a.jar"), Path("b.jar")], Launch(fast_start=False, jvm=["-Dx=1"]), ["Main"])
    assert "-XX:TieredStopAtLevel=1" in fast
    assert "-XX:TieredStopAtLevel=1" not in full
    assert full[-4:] == ["-Dx=1", "-cp", "a.jar:b.jar", "Main"]
    assert archive_using(java, tmp_path / "none") == []


def test_each_copy_of_the_template_becomes_a_cluster_of_its_own(tmp_path: Path) -> None:
    """P27: positions of another cluster must not be taken for this one's."""
    (tmp_path / "meta.properties").write_text("node.id=1\ndirectory.id=dir\ncluster.id=old\n")
    renew_cluster_id(tmp_path)
    lines = (tmp_path / "meta.properties").read_text().splitlines()
    assert lines[:2] == ["node.id=1", "directory.id=dir"]
    assert cluster_id(tmp_path) not in {"", "old"}
    assert all(len(one) == 22 and one[0] != "-" for one in (new_cluster_id() for _ in range(500)))


def recorded(server: RunningServer, directory: Path) -> None:
    detached._write_state(directory, detached.State((server,)))


def test_a_state_file_survives_the_reuse_of_its_pid(tmp_path: Path) -> None:
    other = subprocess.Popen(["sleep", "300"])
    try:
        server = RunningServer("redis", "redis://127.0.0.1:1/0", "local", 1, pid=other.pid, started="old boot/77")
        recorded(server, tmp_path)
        assert detached.read_state(tmp_path).servers == (server,)
        assert [(one.running, one.answers) for one in detached.status(tmp_path)] == [(False, False)]
        assert detached.stop(tmp_path) == ()
        assert other.poll() is None  # not ours: left alone
        assert detached.read_state(tmp_path).servers == ()
        mine = RunningServer(
            "redis", "redis://127.0.0.1:1/0", "local", 1, pid=other.pid, started=processes.identity(other.pid)
        )
        recorded(mine, tmp_path)
        assert detached.runs(mine)
        assert detached.stop(tmp_path) == (mine,)
    finally:
        other.kill()
        other.wait()


def test_a_state_file_that_cannot_be_understood_is_not_overwritten(tmp_path: Path) -> None:
    file = tmp_path / detached.STATE
    for content, reason in (("garbage", "cannot be understood"), ('{"servers": [], "format": 2}', "format 2")):
        file.write_text(content)
        for ask in (detached.read_state, detached.status, detached.stop, detached.start):
            with pytest.raises(StreambgError, match=reason) as caught:
                ask(tmp_path)
            assert caught.value.way_out
        assert file.read_text() == content


def test_stopping_what_never_started_changes_nothing(tmp_path: Path) -> None:
    assert detached.stop(tmp_path / "none") == ()
    assert not (tmp_path / "none").exists()


def test_a_usual_port_that_is_taken_meanwhile_is_left_to_its_taker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at the port and its use; one that was asked for is not replaced by another."""
    usual = ports.free_port()
    monkeypatch.setattr(detached, "USUAL_PORT", usual)
    wanted: list[int | None] = []
    with socket.socket() as other:

        def bring_up(what: Wanted, _: object) -> Servers:
            wanted.append(what.port)
            if what.port is None:
                return Servers("127.0.0.1:1", None, None, None)
            if len(wanted) == 1:
                other.bind((ports.HOST, usual))
                other.listen()
            raise StreambgError(f"port {usual} was taken")

        monkeypatch.setattr(detached, "bring_up", bring_up)
        detached.start(tmp_path)
        assert wanted == [usual, None]
        with pytest.raises(StreambgError, match=f"port {usual} was taken"):
            detached.start(tmp_path, port=usual)
        assert wanted == [usual, None, usual]
