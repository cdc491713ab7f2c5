"""Ports on the loopback address."""

from __future__ import annotations

import secrets
import socket
from pathlib import Path

from streambg.errors import ConfigError, StreambgError

HOST = "127.0.0.1"
LOWEST = 10_000  # below live the well-known ports of other people's servers
EPHEMERAL_LOW = 32_768  # Linux's own default, where /proc does not say
TRIES = 200  # of ~22,000 ports; that all of them are taken means something else is wrong


def free_port() -> int:
    """A port that nothing listens on, below the range from which the kernel takes ports for outgoing connections.

    A server that is killed and restarted must find its port free. A port of the ephemeral range would not do: while
    the server is down its reconnecting clients draw from that very range and sooner or later connect to themselves.
    """
    high = _ephemeral_low()
    for _ in range(TRIES):
        port = LOWEST + secrets.randbelow(high - LOWEST)
        if is_free(port):
            return port
    raise StreambgError(
        f"no free port among {TRIES} tried between {LOWEST} and {high} on {HOST}",
        way_out="name one with --port; `ss -ltn` shows what listens",
    )


def _ephemeral_low() -> int:
    try:
        low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return EPHEMERAL_LOW
    return low if low > LOWEST + TRIES else EPHEMERAL_LOW


def is_free(port: int) -> bool:
    """Whether a server could listen there now. Connections in TIME_WAIT do not count, as for the server itself."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def require_free(port: int, server: str, flag: str) -> None:
    """Raise ConfigError if something listens on the port that a person asked for."""
    if not is_free(port):
        raise ConfigError(
            f"port {port} on {HOST}, asked for {server}, is in use by another process",
            way_out=f"{flag} with another number, or end that process (`ss -ltnp 'sport = :{port}'` names it)",
        )


def listening(port: int, host: str = HOST, timeout: float = 0.2) -> bool:
    """Whether something accepts connections there."""
    try:
        socket.create_connection((host, port), timeout).close()
    except OSError:
        return False
    return True
