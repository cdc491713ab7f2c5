"""A webhook's server for tests: it keeps what it gets, and answers as it is told."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any


class Hook:
    """A webhook on loopback that answers what it is told to, and keeps what it got."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.codes: list[int] = []
        self.answers = threading.Event()  # as long as it is not set, the webhook hangs
        self.answers.set()
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                hook.got.append(({key.lower(): value for key, value in self.headers.items()}, body))
                hook.answers.wait(10)
                with suppress(OSError):  # who asked has not waited
                    self.send_response(hook.codes.pop(0) if hook.codes else 204)
                    self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}/hook"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    @property
    def told(self) -> list[dict[str, Any]]:
        """The notices, in their order."""
        return [json.loads(body) for _, body in self.got]


@contextmanager
def listening() -> Iterator[Hook]:
    made = Hook()
    try:
        yield made
    finally:
        made.close()
