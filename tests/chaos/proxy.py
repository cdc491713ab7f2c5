"""A TCP proxy between clients and a broker that knows Kafka's requests: faults are aimed at one kind of them.

Each request begins with its length (4 bytes), API key (2), version (2) and correlation id (4); a response with its
length and the correlation id. The proxy forwards whole requests and responses, each connection's in order. What
happens to them is said by `Fault`s, which may be set and lifted at any time.
"""

from __future__ import annotations

import contextlib
import queue
import random
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

PRODUCE, FETCH, LIST_OFFSETS, END_TXN, TXN_OFFSET_COMMIT = 0, 1, 2, 26, 28
# What goes to a coordinator: OffsetCommit, OffsetFetch, JoinGroup, Heartbeat, LeaveGroup, SyncGroup; InitProducerId,
# AddPartitionsToTxn, AddOffsetsToTxn, EndTxn, TxnOffsetCommit.
COORDINATORS = frozenset({8, 9, 11, 12, 13, 14, 22, 24, 25, END_TXN, TXN_OFFSET_COMMIT})
# Larger than any request of the tests; a length above it is no Kafka request.
MAX_FRAME = 64 * 1024 * 1024
CONNECT_TIMEOUT_S = 5.0
CHUNK = 64 * 1024


@dataclass
class Fault:
    """What happens to requests with one of these API keys (None: all) of clients whose id has `client` in it.

    hold: keep each request back until `release`d (or `Proxy.lift`ed), and those behind it. delay_s: how long it
    travels; it overtakes none. drop_response: the broker gets the request, the client never hears of it. reset: close
    the connection instead. share: of the requests it is meant for. stop: forward nothing in either direction.
    bytes_per_s: of each connection, each way.
    `limit`: how many requests it may hit; None: all. `hits` counts.
    """

    keys: frozenset[int] | None = None
    client: str = ""
    hold: bool = False
    delay_s: Callable[[], float] | None = None
    drop_response: bool = False
    reset: bool = False
    stop: bool = False
    share: float = 1.0
    bytes_per_s: float | None = None
    limit: int | None = None
    hits: int = 0
    held: int = 0
    _released: threading.Event = field(default_factory=threading.Event)

    def release(self) -> None:
        """Let go what is held; later requests pass."""
        self._released.set()

    def wait_released(self, given_up: threading.Event) -> None:
        self.held += 1
        while not self._released.wait(0.01):
            if given_up.is_set():
                return


class Proxy:
    """Listens on a port of loopback and forwards to `upstream`; use it as a context manager."""

    def __init__(self, port: int, upstream: tuple[str, int], seed: int = 0) -> None:
        self._upstream = upstream
        self._random = random.Random(seed)
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._connections: set[_Connection] = set()
        self._listener = socket.create_server(("127.0.0.1", port), reuse_port=False)
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._accept, name=f"proxy-{self.port}", daemon=True)
        self._thread.start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._closing.set()
        self._listener.close()
        for connection in self.connections():
            connection.close()

    def set(self, fault: Fault) -> Fault:
        with self._lock:
            self._faults.append(fault)
        return fault

    def lift(self, fault: Fault) -> None:
        """It is over: what it holds goes on."""
        with self._lock:
            if fault in self._faults:
                self._faults.remove(fault)
        fault.release()

    def calm(self) -> None:
        """All faults are over."""
        for fault in list(self._faults):
            self.lift(fault)
        for connection in self.connections():
            connection.paused.clear()

    def connections(self) -> list[_Connection]:
        with self._lock:
            return list(self._connections)

    def faults_for(self, key: int, client: str) -> list[Fault]:
        """Those that hit this request, counted."""
        with self._lock:
            found = []
            for fault in self._faults:
                meant = (fault.keys is None or key in fault.keys) and fault.client in client
                left = fault.limit is None or fault.hits < fault.limit
                if meant and left and (fault.share >= 1 or self._random.random() < fault.share):
                    fault.hits += 1
                    found.append(fault)
            return found

    def stopped(self) -> bool:
        return any(fault.stop for fault in self._faults)

    def bytes_per_s(self) -> float | None:
        return min((fault.bytes_per_s for fault in self._faults if fault.bytes_per_s is not None), default=None)

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            try:
                server = socket.create_connection(self._upstream, CONNECT_TIMEOUT_S)
            except OSError:
                client.close()  # the broker is down: so it looks to the client
                continue
            server.settimeout(None)
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as clients and broker do
            connection = _Connection(self, client, server)
            with self._lock:
                self._connections.add(connection)
            connection.start()

    def forget(self, connection: _Connection) -> None:
        with self._lock:
            self._connections.discard(connection)


class _Connection:
    """One client's connection: requests one way, responses the other."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client, self._server = client, server
        self._silenced: set[int] = set()  # correlation ids whose responses are dropped
        self._travelling: queue.SimpleQueue[tuple[float, bytes] | None] = queue.SimpleQueue()  # (due, request)
        self._over = threading.Event()
        self.paused = threading.Event()

    def start(self) -> None:
        for run in (self._requests, self._arrivals, self._responses):
            threading.Thread(target=run, name="proxy-connection", daemon=True).start()

    def close(self) -> None:
        self._over.set()
        for end in (self._client, self._server):
            with contextlib.suppress(OSError):  # closed already
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._proxy.forget(self)

    def reset(self) -> None:
        """RST to the client, as of a broken network: nobody waits at its end, and nothing is shut down before."""
        self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._client.close()
        self.close()

    def _requests(self) -> None:
        due = 0.0
        try:
            while (frame := _frame(self._client)) is not None:
                key, _, correlation = struct.unpack_from(">hhi", frame, 0)
                delay = self._suffer(key, correlation, _client_id(frame))
                due = max(due, time.monotonic() + delay)
                self._travelling.put((due, frame))
        except OSError:
            pass  # an end was closed
        finally:
            self._travelling.put(None)  # what is on its way arrives before the end does

    def _suffer(self, key: int, correlation: int, client: str) -> float:
        """What the faults do to a request, and how long it travels; raises OSError where the connection ends by it."""
        delay = 0.0
        for fault in self._proxy.faults_for(key, client):
            if fault.reset:
                self.reset()
                raise ConnectionResetError
            if fault.drop_response:
                self._silenced.add(correlation)
            if fault.hold:
                fault.wait_released(self._over)
            if fault.delay_s is not None:
                delay += fault.delay_s()
        return delay

    def _arrivals(self) -> None:
        try:
            while (request := self._travelling.get()) is not None:
                due, frame = request
                self._over.wait(max(0.0, due - time.monotonic()))
                self._forward(self._server, frame)
        except OSError:
            pass
        finally:
            self.close()

    def _responses(self) -> None:
        try:
            while (frame := _frame(self._server)) is not None:
                (correlation,) = struct.unpack_from(">i", frame, 0)
                if correlation in self._silenced:
                    self._silenced.discard(correlation)
                    continue
                self._forward(self._client, frame)
        except OSError:
            pass
        finally:
            self.close()

    def _forward(self, to: socket.socket, frame: bytes) -> None:
        while (self._proxy.stopped() or self.paused.is_set()) and not self._over.is_set():
            time.sleep(0.01)
        rate = self._proxy.bytes_per_s()
        if rate is not None:
            self._over.wait(len(frame) / rate)
        to.sendall(struct.pack(">i", len(frame)) + frame)


def _client_id(request: bytes) -> str:
    """Who sends it: a length and as many bytes behind the correlation id, in every version that clients still use."""
    (length,) = struct.unpack_from(">h", request, 8)
    return request[10 : 10 + length].decode("utf-8", "replace") if length > 0 else ""


def _frame(end: socket.socket) -> bytes | None:
    """The next whole request or response; None at the end. Raises OSError where it is none of Kafka's."""
    head = _exactly(end, 4)
    if head is None:
        return None
    (length,) = struct.unpack(">i", head)
    if not 4 <= length <= MAX_FRAME:
        raise OSError(f"a frame of {length} bytes is no Kafka request")
    return _exactly(end, length)


def _exactly(end: socket.socket, count: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < count:
        part = end.recv(min(CHUNK, count - len(parts)))
        if not part:
            return None
        parts += part
    return bytes(parts)
