"""The Docker engine: is there one, how is a container, remove it (needs the extra `local`).

python -m streambg.servers.engine NAME     removes a container: what a guardian runs when its owner is gone
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import docker
import docker.errors
from docker.utils import parse_host
from testcontainers.core.docker_client import get_docker_host

from streambg.errors import Unreachable

PROBE_TIMEOUT = 2  # seconds for an engine's answer, a few ms when it is there
REMOVE_TIMEOUT = 60  # seconds for the engine to kill and remove a container
LOG_TAIL = 12  # lines of a container's log that an error shows


@contextmanager
def engine(timeout: int) -> Iterator[docker.DockerClient]:
    """A client of the engine that testcontainers would use, too: its properties, DOCKER_HOST, the current context.

    Raises OSError where its socket does not exist, docker.errors.DockerException where it does not answer.
    """
    host = get_docker_host()
    _require_socket(host)
    environment = dict(os.environ)
    if host:
        environment["DOCKER_HOST"] = host
    client = docker.from_env(timeout=timeout, environment=environment, use_ssh_client=bool(host and "ssh:" in host))
    try:
        yield client
    finally:
        client.close()


def _require_socket(host: str | None) -> None:
    """Raise OSError early: docker-py leaves the socket of a refused connection open."""
    path = urlsplit(parse_host(host)).path if host is None or host.startswith("unix:") else ""
    if path:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(PROBE_TIMEOUT)
            try:
                probe.connect(path)
            except OSError as error:
                raise OSError(f"{path}: {error.strerror or error}") from error


def engine_missing() -> str | None:
    """Why there is no Docker engine to use; None if there is one."""
    try:
        with engine(PROBE_TIMEOUT) as client:
            client.ping()
    except Exception as error:
        # docker-py lets its own errors through, requests', urllib3's and OSErrors; each means: not usable
        return f"no Docker engine answers ({first_line(error)})"
    return None


def look(container: str) -> tuple[str, str]:
    """Its state as the engine calls it (`gone` if there is none of the name) and the end of its log."""
    with engine(REMOVE_TIMEOUT) as client:
        try:
            found = client.containers.get(container)
            log = found.logs(tail=LOG_TAIL).decode(errors="replace").strip()
        except docker.errors.NotFound:
            return "gone", ""
        return str(found.status), log.replace("\n", "\n    ")


def remove(container: str) -> bool:
    """Kill and remove a container with what it holds; False if there was none. Raises Unreachable."""
    try:
        with engine(REMOVE_TIMEOUT) as client:
            client.containers.get(container).remove(force=True, v=True)
    except docker.errors.NotFound:
        return False
    except (docker.errors.DockerException, OSError) as error:
        raise Unreachable(
            f"the container {container} could not be removed: {first_line(error)}",
            way_out=f"start the Docker engine, then `docker rm -f {container}`",
        ) from error
    return True


def first_line(error: Exception) -> str:
    """An error in one line that fits a sentence."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


if __name__ == "__main__":
    remove(sys.argv[1])
