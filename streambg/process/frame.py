"""Runs sessions until somebody says stop: signals, health, restarts with a growing pause, exit codes."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

import structlog
from confluent_kafka import KafkaException

from streambg.errors import Fenced, SessionEnded, StreambgError, Unreachable
from streambg.kafka.errors import translate
from streambg.kafka.membership import LEASED
from streambg.notifying.alarms import ALARMS
from streambg.process.pauses import Pauses
from streambg.process.pulse import Pulse
from streambg.web.health import Endpoint, HealthServer

# Batches make few long-lived objects and many short-lived ones; fewer collections saved 1.2-1.5 us an event.
GC_THRESHOLDS = (100_000, 50, 100)

log = structlog.get_logger("streambg.process")


class Frame:
    """One process. `health` is what `/healthz` shows beside the frame's own words; its `ok` False: unwell all the same.

    Sessions call `turned` as they go.
    """

    def __init__(self, name: str, metrics: Endpoint, health: Callable[[], Mapping[str, Any]]) -> None:
        self.name = name
        self._stopping = threading.Event()
        self._pulse = Pulse()
        self._health = health
        self._server = HealthServer(metrics, self._report)
        self.port = self._server.port

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    def stop(self) -> None:
        self._stopping.set()

    def turned(self) -> None:
        """Call it at every turn of a session: one that takes none for 30 s is unwell (process/pulse.py)."""
        self._pulse.turns(time.monotonic())

    def wait(self, seconds: float) -> None:
        """Ends early on a stop."""
        self._stopping.wait(seconds)

    def run(self, session: Callable[[], None]) -> int:
        """Run `session` until `stopping`; returns the exit code.

        SessionEnded and Unreachable start over, other errors end the process; a client's error is what it means.
        """
        gc.set_threshold(*GC_THRESHOLDS)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        log.info("started", name=self.name, pid=os.getpid(), health=f"{self._server.address}/healthz")
        pauses = Pauses()
        try:
            while not self.stopping:
                began = time.monotonic()
                self._pulse.begins(began)
                try:
                    _played(session)
                    self._pulse.ends(None, time.monotonic())
                    pauses = Pauses()
                except (SessionEnded, Unreachable) as error:
                    now = time.monotonic()
                    self._pulse.ends(error.what, now)
                    pause = pauses.after(now - began)
                    log.warning("session_ended", why=error.what, next_in_s=pause)
                    self._stopping.wait(pause)
        except StreambgError as error:
            log.error("stopped", why=error.what, way_out=error.way_out, exit_code=error.exit_code)
            return error.exit_code
        finally:
            self._server.stop()
        log.info("stopped", name=self.name)
        return 0

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._stopping.set()

    def _report(self) -> Mapping[str, Any]:
        """Well is who takes turns, and has nothing of its own to say against it."""
        pulse, own = self._pulse.report(time.monotonic()), self._health()
        return {"name": self.name, **pulse, **own, "ok": pulse["ok"] and own.get("ok", True)}


def _played(session: Callable[[], None]) -> None:
    """What a session let through as it came from the client would end the process over a broker that is away."""
    try:
        session()
    except KafkaException as error:
        raise translate(error) from error


def leave(code: int) -> None:
    """End the process without waiting for client destructors: one with an open transaction can hang there.

    What it has to tell is told before, in two seconds at most.

    One that was fenced in a leased slot begins anew, from its first line and under its own pid: with nothing of what it
    knew, it takes another slot.
    """
    ALARMS.finish()
    sys.stdout.flush()
    sys.stderr.flush()
    if code == Fenced.exit_code and LEASED in os.environ:
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    os._exit(code)
