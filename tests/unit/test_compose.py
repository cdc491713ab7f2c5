"""docker-compose.yml, Dockerfile and what they copy: read here without an engine, their health checks really run."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import socket
import struct
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest
from ruamel.yaml import YAML

from consumers.options import endpoint, parser
from streambg.config import load
from streambg.config.environment import expand
from streambg.errors import Misconfigured
from streambg.running import plan
from streambg.servers.kafka_config import KAFKA_VERSION
from streambg.servers.ports import free_port
from streambg.web import health
from streambg.web.health import LOOPBACK, Endpoint, HealthServer

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "docker.md"
PORT = "9100"
ONE_SHOT = {"topics", "cli"}
SERVERS = {"kafka", "redis"}


def compose(**env: str) -> dict[str, Any]:
    """The file as `docker compose` reads it with this environment."""
    text = (ROOT / "docker-compose.yml").read_text()
    found: dict[str, Any] = YAML(typ="safe").load(expand(text.replace("$$", "\0"), env).replace("\0", "$"))
    return found


def services(**env: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose(**env)["services"]
    return found


def processes() -> dict[str, dict[str, Any]]:
    return {name: one for name, one in services().items() if name not in ONE_SHOT | SERVERS}


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's, one each: (RUN, its text)."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines if line)]


def only(name: str) -> str:
    (text,) = (rest for word, rest in instructions() if word == name)
    return text


# -- the processes ----------------------------------------------------------------------------------------------------


def test_every_process_of_the_pipeline_is_a_service() -> None:
    def started(command: list[str]) -> tuple[str, frozenset[str]]:
        """The module, and the arguments that say which process it is; slot 0 is what they start with."""
        assert command[:2] == ["python", "-m"]
        return command[2], frozenset(command[3:]) & {"blue", "green"}

    ours = [started(one["command"]) for one in processes().values()]
    whole = [
        started(["python", *each.argv(ROOT / "pipeline.yaml")[1:]])
        for each in plan.processes(1, 1, [0] * len(plan.names(1, 1)))
    ]
    assert sorted(ours, key=str) == sorted(whole, key=str)


@pytest.mark.parametrize("name", sorted(processes()))
def test_a_process_takes_the_options_it_is_given(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, module, *arguments = processes()[name]["command"]
    consumer = importlib.import_module(module)
    chosen: list[Any] = []
    monkeypatch.setattr(sys, "argv", [module, *arguments])
    monkeypatch.setattr(consumer, "run", lambda _name, options, _process: chosen.append(options))
    consumer.main()
    (options,) = chosen
    assert (endpoint(options), options.log) == (Endpoint(int(PORT)), "json")
    assert getattr(options, "slot", None) == ("0" if name != "controller" else None), "it is a member of no group"
    assert name in {"publisher", "comparator", "controller", f"scorer-{getattr(options, 'color', None)}"}


def test_each_process_waits_for_the_topics_and_starts_again() -> None:
    for name, one in processes().items():
        assert one["depends_on"]["topics"] == {"condition": "service_completed_successfully"}, name
        assert one["restart"] == "unless-stopped", name
    assert services()["topics"]["depends_on"] == {"kafka": {"condition": "service_healthy"}}
    assert "restart" not in services()["topics"]
    assert services()["comparator"]["depends_on"]["redis"] == {"condition": "service_healthy"}


def test_the_topics_are_applied_with_as_many_partitions_as_asked_for() -> None:
    assert services()["topics"]["command"][-2:] == ["6", "--yes"]
    assert services(STREAMBG_PARTITIONS="12")["topics"]["command"][-2:] == ["12", "--yes"]


def test_the_pipeline_file_takes_the_addresses_from_the_environment() -> None:
    for name, one in services().items():
        if name not in SERVERS:
            pipeline = load(ROOT / "pipeline.yaml", one["environment"])
            assert (pipeline.kafka.bootstrap, pipeline.redis) == ("kafka:9092", "redis://redis:6379/0"), name


def test_scorers_only_read_the_registry() -> None:
    for name, one in services().items():
        if name not in SERVERS:
            (volume,) = one["volumes"]
            assert volume == ("models:/pipeline/models" if name in ONE_SHOT else "models:/pipeline/models:ro"), name
    assert services(STREAMBG_MODELS="./models")["scorer-blue"]["volumes"] == ["./models:/pipeline/models:ro"]
    assert load(ROOT / "pipeline.yaml", {}).registry == ROOT / "models"
    assert set(compose()["volumes"]) == {"kafka", "models"}


# -- the outside ------------------------------------------------------------------------------------------------------


def test_ports_are_open_on_loopback_only() -> None:
    ports = [port for one in services().values() for port in one.get("ports", [])]
    assert len(ports) == 2
    assert [port.split(":")[0] for port in ports] == ["127.0.0.1"] * 2
    assert not any("network_mode" in one for one in services().values())


def test_kafka_announces_the_port_that_is_open_on_this_machine() -> None:
    for env in ({}, {"STREAMBG_KAFKA_PORT": "9999"}):
        kafka = services(**env)["kafka"]
        _, outside, inside = kafka["ports"][0].split(":")
        listeners = dict(each.split("://") for each in kafka["environment"]["KAFKA_LISTENERS"].split(","))
        announced = dict(each.split("://") for each in kafka["environment"]["KAFKA_ADVERTISED_LISTENERS"].split(","))
        assert listeners["HOST"] == f":{inside}"
        assert announced == {"HOST": f"127.0.0.1:{outside}", "INSIDE": "kafka:9092"}
        assert outside == env.get("STREAMBG_KAFKA_PORT", "9092")


def test_kafka_creates_no_topic_by_itself_and_keeps_its_data() -> None:
    kafka = services()["kafka"]
    assert kafka["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    assert kafka["volumes"] == [f"kafka:{kafka['environment']['KAFKA_LOG_DIRS']}"]


def test_images_are_pinned_and_those_of_the_local_servers() -> None:
    containers = pytest.importorskip("streambg.servers.containers", reason="the extra `local` is not installed")
    assert services()["kafka"]["image"] == containers.KAFKA_IMAGE == f"apache/kafka:{KAFKA_VERSION}"
    assert services()["redis"]["image"] == containers.REDIS_IMAGE
    assert only("FROM") == "python:3.11-slim"
    built = [name for name, one in services().items() if "build" in one]
    assert built == ["topics", "cli"]  # what everyone waits for builds the image that everyone names
    assert {one["image"] for name, one in services().items() if name not in SERVERS} == {"streambg:local"}


def test_nothing_runs_as_root_or_with_a_privilege() -> None:
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", only("USER"))
    after_user = [word for word, _ in instructions()][[word for word, _ in instructions()].index("USER") :]
    assert "RUN" not in after_user
    for name, one in services().items():
        assert not {"user", "privileged", "cap_add", "pid"} & one.keys(), name
        if name not in SERVERS:
            assert one["read_only"] is True
            assert one["cap_drop"] == ["ALL"]
            assert one["security_opt"] == ["no-new-privileges:true"]


# -- the image --------------------------------------------------------------------------------------------------------


def test_the_image_installs_hash_pinned_wheels_only() -> None:
    installs = [text for word, text in instructions() if word == "RUN" and "pip install" in text]
    assert installs == [
        "pip install --only-binary :all: --require-hashes -r /build/requirements-run.lock",
        "pip install --no-deps --no-build-isolation /build",
    ]


def pins(lock: str) -> dict[str, set[str]]:
    """Each name with its versions (several where they depend on the Python)."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / lock).read_text(), re.MULTILINE):
        found.setdefault(name, set()).add(version)
    return found


def test_the_run_time_lock_is_a_part_of_the_whole_one_and_holds_every_dependency() -> None:
    run_time, whole = pins("requirements-run.lock"), pins("requirements.lock")
    assert {name: whole[name] for name in run_time} == run_time, "`make lock` writes both"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {re.split(r"[>=\[]", each)[0] for each in project["dependencies"]}
    assert wanted <= run_time.keys()
    assert "hatchling" in run_time  # builds the wheel without asking an index
    development = {re.split(r"[>=\[]", each)[0] for each in project["optional-dependencies"]["dev"]}
    assert (development - {"streambg"}) & run_time.keys() == set()


def test_the_run_time_lock_has_a_hash_for_everything_and_names_no_index() -> None:
    text = (ROOT / "requirements-run.lock").read_text()
    entries = re.findall(r"^[a-z0-9-]+==.*\\\n +--hash=sha256:[0-9a-f]{64}", text, re.MULTILINE)
    assert len(entries) == len(re.findall(r"^[a-z0-9-]+==", text, re.MULTILINE)) > 0
    assert "://" not in text


def test_what_is_copied_is_let_through_and_nothing_else() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    let_through = {rule[1:] for rule in rules if rule.startswith("!")}
    copied = {source for word, text in instructions() if word == "COPY" for source in text.split()[:-1]}
    assert copied == let_through
    assert all((ROOT / name).exists() for name in copied)


# -- health checks, run -----------------------------------------------------------------------------------------------


def test_every_service_that_stays_has_a_health_check() -> None:
    for name, one in services().items():
        if name in ONE_SHOT:
            assert one["healthcheck"] == {"disable": True}, name
        elif name in SERVERS:
            assert one["healthcheck"]["test"], name
        else:
            assert "healthcheck" not in one, name  # the image's
            assert one["command"][one["command"].index("--metrics-port") + 1] == PORT, name
    assert f"127.0.0.1:{PORT}/healthz" in only("HEALTHCHECK")


@pytest.mark.parametrize("ok", [True, False])
def test_the_image_is_as_healthy_as_its_process_says(ok: bool) -> None:
    server = HealthServer(Endpoint(), lambda: {"ok": ok})
    try:
        assert (image_check(server.port) == 0) is ok
    finally:
        server.stop()


def test_it_listens_where_it_is_told_to() -> None:
    """A pod's own address in Kubernetes; another one of loopback here."""
    server = HealthServer(Endpoint(host="127.0.0.2"), lambda: {"ok": True})
    try:
        with urlopen(f"{server.address}/healthz") as well:
            assert json.load(well) == {"ok": True}
        with pytest.raises(URLError, match="refused"):
            urlopen(f"http://{LOOPBACK}:{server.port}/healthz")
    finally:
        server.stop()
    with pytest.raises(Misconfigured, match=r"cannot listen on 192\.0\.2\.1:0 for /metrics"):
        HealthServer(Endpoint(host="192.0.2.1"), lambda: {"ok": True})


@pytest.mark.parametrize("port", [-4, 65_536])
def test_what_is_no_port_is_said(port: int) -> None:
    with pytest.raises(Misconfigured, match=rf"cannot listen on 127\.0\.0\.1:{port} for /metrics"):
        HealthServer(Endpoint(port), lambda: {"ok": True})


@pytest.mark.parametrize(("text", "port"), [("0", 0), ("65535", 65_535)])
def test_a_process_takes_a_port(text: str, port: int) -> None:
    assert endpoint(parser("", "").parse_args(["--metrics-port", text])) == Endpoint(port)


@pytest.mark.parametrize("text", ["-4", "65536", "99999", "1e3", "\u00b2", ""])
def test_a_process_refuses_what_is_no_port(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser("", "").parse_args([f"--metrics-port={text}"])
    assert f"{text!r} is no port; write 1 to 65535, or 0 for a free one" in capsys.readouterr().err


def test_it_listens_on_ipv6_too_and_nobody_holds_it_by_saying_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(health._Silent, "timeout", 0.05)
    server = HealthServer(Endpoint(host="::1"), lambda: {"ok": True})
    try:
        with socket.create_connection(("::1", server.port)) as silent:
            silent.settimeout(20)
            assert silent.recv(1) == b"", "it was hung up on"
        assert capsys.readouterr().err == "", "without a word among the lines of the log"
        with urlopen(f"{server.address}/healthz") as well:
            assert json.load(well) == {"ok": True}
    finally:
        server.stop()


def test_a_health_that_fails_once_is_asked_again_and_twice_is_unwell() -> None:
    """It reads what other threads change: a dict may change its size meanwhile."""
    answers: list[object] = [RuntimeError("changed size"), {"ok": True}, RuntimeError("one"), KeyError("two")]

    def health() -> Mapping[str, Any]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, dict)
        return answer

    server = HealthServer(Endpoint(), health)
    try:
        with urlopen(f"http://127.0.0.1:{server.port}/healthz") as well:
            assert json.load(well) == {"ok": True}
        with pytest.raises(HTTPError, match="503") as unwell:
            urlopen(f"http://127.0.0.1:{server.port}/healthz")
        with unwell.value as answer:
            assert json.load(answer) == {"ok": False, "health": "KeyError: 'two'"}
    finally:
        server.stop()


def test_a_process_that_does_not_listen_is_not_healthy() -> None:
    assert image_check(free_port()) != 0


def image_check(port: int) -> int:
    command = json.loads(only("HEALTHCHECK").partition("CMD ")[2])
    assert command[0] == "python"
    script = [each.replace(PORT, str(port)) for each in command[1:]]
    return subprocess.run([sys.executable, *script], capture_output=True, check=False, timeout=30).returncode


def test_kafka_is_healthy_when_it_answers_a_request_and_not_when_a_port_is_open() -> None:
    def answer(connection: socket.socket) -> None:
        request = connection.recv(14, socket.MSG_WAITALL)
        # length of the rest, api key 18 (versions), version 0, correlation id, no client id
        assert struct.unpack(">ihhih", request) == (10, 18, 0, 1, -1)
        connection.sendall(struct.pack(">iih", 6, 1, 0))

    with listening(answer) as port:
        assert kafka_check(port) == 0
    with listening(lambda _: None) as port:
        assert kafka_check(port) != 0
    assert kafka_check(free_port()) != 0


@contextmanager
def listening(answer: Any) -> Iterator[int]:
    """A server for one connection, which `answer` gets; then it is closed."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        wrong: list[BaseException] = []

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                try:
                    answer(connection)
                except BaseException as error:
                    wrong.append(error)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join(10)
        assert wrong == []


def kafka_check(port: int) -> int:
    form, script = services()["kafka"]["healthcheck"]["test"]
    assert form == "CMD-SHELL"
    command = script.replace("9092", str(port))
    return subprocess.run(["sh", "-c", command], capture_output=True, check=False, timeout=30).returncode


# -- the page ---------------------------------------------------------------------------------------------------------


def test_the_page_names_services_that_exist() -> None:
    commands = re.findall(r"^docker compose ((?:run|exec|logs) .*)$", PAGE.read_text(), re.MULTILINE)
    assert len(commands) > 5
    for command in commands:
        assert set(shlex.split(command)) & services().keys(), command


def test_the_pages_second_members_have_slots_of_their_own() -> None:
    block = PAGE.read_text().partition("<!-- example: override -->\n```yaml\n")[2].partition("```")[0]
    more: dict[str, dict[str, Any]] = YAML(typ="safe").load(block)["services"]
    slots = load(ROOT / "pipeline.yaml", {}).publish.slots
    for name, one in more.items():
        assert one["extends"]["file"] == "docker-compose.yml"
        first = services()[one["extends"]["service"]]["command"]
        at = one["command"].index("--slot") + 1
        assert first[at] == "0"
        assert [*one["command"][:at], "0", *one["command"][at + 1 :]] == first, name
        assert 0 < int(one["command"][at]) < slots, name


def test_every_variable_of_the_file_stands_on_the_page() -> None:
    page = PAGE.read_text()
    variables = set(re.findall(r"\$\{(STREAMBG_\w+)", (ROOT / "docker-compose.yml").read_text()))
    assert {name for name in variables if f"`{name}`" not in page} == set()
