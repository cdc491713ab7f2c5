"""The proxy of the fault tests, before a server that answers each request with its correlation id and nothing else."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from chaos.proxy import END_TXN, PRODUCE, Fault, Proxy
from chaos.table import Result
from waiting import until


class Server:
    """Remembers what came; answers at once."""

    def __init__(self) -> None:
        self.came: list[int] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(client,), daemon=True).start()

    def _answer(self, client: socket.socket) -> None:
        with client, client.makefile("rb") as stream:
            while head := stream.read(4):
                request = stream.read(struct.unpack(">i", head)[0])
                (correlation,) = struct.unpack_from(">i", request, 4)
                self.came.append(correlation)
                client.sendall(struct.pack(">ii", 4, correlation))


class Client:
    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 5)
        self._stream = self._socket.makefile("rb")

    def ask(self, key: int, correlation: int, padding: int = 0) -> None:
        request = struct.pack(">hhi", key, 0, correlation) + struct.pack(">h", 2) + b"me" + b"x" * padding
        self._socket.sendall(struct.pack(">i", len(request)) + request)

    def answers(self, count: int) -> list[int]:
        return [struct.unpack(">ii", self._stream.read(8))[1] for _ in range(count)]

    def close(self) -> None:
        self._stream.close()
        self._socket.close()


@contextmanager
def between() -> Iterator[tuple[Server, Proxy, Client]]:
    server = Server()
    with Proxy(0, ("127.0.0.1", server.port)) as proxy:
        client = Client(proxy.port)
        try:
            yield server, proxy, client
        finally:
            client.close()
            server.close()


def test_requests_that_travel_do_not_wait_for_each_other_and_keep_their_order() -> None:
    delays = iter([0.4, 0.1, 0.4, 0.1, 0.4])
    with between() as (server, proxy, client):
        proxy.set(Fault(delay_s=lambda: next(delays)))
        began = time.monotonic()
        for number in range(5):
            client.ask(PRODUCE, number)
        assert client.answers(5) == [0, 1, 2, 3, 4]
        assert 0.4 <= time.monotonic() - began < 1.2, "0.4 s for all, not 1.4 s one after the other"
        assert server.came == [0, 1, 2, 3, 4]


def test_what_is_held_arrives_when_it_is_let_go_though_its_sender_is_gone() -> None:
    with between() as (server, proxy, client):
        fault = proxy.set(Fault(frozenset({END_TXN}), client="me", hold=True, limit=1))
        client.ask(PRODUCE, 1)
        assert client.answers(1) == [1]
        client.ask(END_TXN, 2)
        until(lambda: fault.held, 5, "the request is held")
        client.close()
        other = Client(proxy.port)
        other.ask(END_TXN, 3)
        assert other.answers(1) == [3], "one was to be held"
        assert server.came == [1, 3]
        proxy.lift(fault)
        until(lambda: server.came == [1, 3, 2], 5, "the late one")
        other.close()


def test_a_dropped_answer_was_given() -> None:
    with between() as (server, proxy, client):
        proxy.set(Fault(drop_response=True, limit=1))
        client.ask(PRODUCE, 1)
        client.ask(PRODUCE, 2)
        assert client.answers(1) == [2]
        assert server.came == [1, 2]


def test_a_reset_ends_the_connection_and_the_request_with_it() -> None:
    with between() as (server, proxy, client):
        fault = proxy.set(Fault(reset=True))
        client.ask(PRODUCE, 1)
        with pytest.raises(ConnectionResetError):
            client.answers(1)
        assert (fault.hits, server.came) == (1, [])


def test_a_slow_line_takes_its_time() -> None:
    with between() as (_, proxy, client):
        proxy.set(Fault(bytes_per_s=100_000))
        began = time.monotonic()
        client.ask(PRODUCE, 1, 20_000)
        client.ask(PRODUCE, 2, 20_000)
        assert client.answers(2) == [1, 2]
        assert time.monotonic() - began >= 0.4


@pytest.mark.parametrize(
    ("doubled", "met", "planted", "ok"),
    [
        (0, True, False, True),
        (0, False, False, False),
        (1, True, False, False),
        (1, True, True, True),
        (0, True, True, False),
        (1, False, True, False),
    ],
)
def test_a_row_is_ok_only_if_all_is_right_or_what_was_planted_is_found(
    doubled: int, met: bool, planted: bool, ok: bool
) -> None:
    row = Result("Z4", "a fault", 1, 10, 0, doubled, 0, 0, 0.1, None, "0/0", met, planted=planted)
    assert row.ok is ok
