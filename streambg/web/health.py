"""`/metrics` (Prometheus), `/healthz` and what else a process says in JSON; on loopback unless told otherwise."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import make_wsgi_app

from streambg.errors import Misconfigured

LOOPBACK = "127.0.0.1"
MAX_PORT = 65_535
Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Page = Callable[[], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to listen. Port 0 takes a free one. Whoever reaches it may read: nobody is asked who he is."""

    port: int = 0
    host: str = LOOPBACK


ANY_PORT = Endpoint()


# A connection that says nothing holds a thread: a probe of the port, a host that is gone.
SILENCE_S = 10.0


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Silent(WSGIRequestHandler):
    timeout = SILENCE_S

    def handle(self) -> None:
        """Silence is no news either."""
        with suppress(TimeoutError):
            super().handle()

    def log_message(self, format: str, *args: Any) -> None:
        """Requests of a scraper are no news."""


class HealthServer:
    """Serves until `stop`. `health()` returns what `/healthz` shows; its `ok` decides between 200 and 503.

    pages: the same for other paths. `port` and `address` say where it is. Raises Misconfigured where it cannot listen.
    """

    def __init__(self, endpoint: Endpoint, health: Page, pages: Mapping[str, Page] | None = None) -> None:
        metrics = make_wsgi_app()
        answers = {"/healthz": health, **(pages or {})}

        def app(environ: Environ, start: StartResponse) -> Iterable[bytes]:
            path = environ.get("PATH_INFO", "")
            if path == "/metrics":
                return metrics(environ, start)  # type: ignore[no-any-return] # the library has no types here
            if path in answers:
                return _answer(start, _asked(answers[path]))
            start("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
            return [f"here are {', '.join(['/metrics', *answers])}\n".encode()]

        six = ":" in endpoint.host
        try:
            self._server = make_server(endpoint.host, endpoint.port, app, _Server6 if six else _Server, _Silent)
        except (OSError, OverflowError) as error:  # the latter: no number of a port
            raise Misconfigured(
                f"cannot listen on {endpoint.host}:{endpoint.port} for /metrics and /healthz: {error}",
                way_out="another --metrics-port (0 takes a free one), or an address that this host has",
            ) from error
        self.port = int(self._server.server_port)
        self.address = f"http://{f'[{endpoint.host}]' if six else endpoint.host}:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


def _asked(health: Page) -> Mapping[str, Any]:
    """What it says. It looks at what other threads change, so it may fail once; twice in a row, and it is unwell."""
    try:
        return health()
    except Exception:
        try:
            return health()
        except Exception as error:
            return {"ok": False, "health": f"{type(error).__name__}: {error}"}


def _answer(start: StartResponse, health: Mapping[str, Any]) -> list[bytes]:
    body = json.dumps(health, default=str).encode() + b"\n"
    status = "200 OK" if health.get("ok") else "503 Service Unavailable"
    start(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
