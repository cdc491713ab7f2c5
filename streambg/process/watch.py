"""Calls that must return, and work that should: looked at from a thread of its own.

Some calls into librdkafka never return, whatever their timeout (transactional ones after a broker's restart did,
measured). Nothing can end a thread, so the process ends: every thread's stack goes to stderr, the exit code is its own,
and whoever keeps processes up starts a new one. That is what crash-only means (P21).

The thread knows something else that no other can: whether the whole process stood still, for then it did not tick.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

import structlog

from streambg.errors import Hung
from streambg.notifying.alarms import ALARMS

# How often it looks: an alarm is said within twice this time.
TICK_S = 0.25
# However short its timeout, a call may wait for one connection to be given up (socket.timeout.ms, profiles.py): a
# `send_offsets` with 5 s took 10.04 s. What has not returned three seconds later never comes back: after a connection
# that was reset, or a coordinator that died, it stood for minutes (librdkafka issues 5456, 5511).
CONNECTION_S = 10.0
OVERRUN_S = 3.0
# After so long the group has expelled every member that this process had made before: a session, 6 s (profiles.py), and
# the broker's own pace of looking.
STILL_S = 8.0

log = structlog.get_logger("streambg.process")

Say = Callable[[float], None]


class _Entry:
    """One call or piece of work under way; a context manager that is used once."""

    __slots__ = ("_stacks", "late", "limit_s", "name", "said", "spent_s")

    def __init__(self, stacks: dict[int, list[_Entry]], name: str, limit_s: float, late: Say | None) -> None:
        self._stacks = stacks
        self.name = name
        self.limit_s = limit_s
        self.late = late  # what is done about it; None: the process ends
        self.said = False
        self.spent_s = 0.0

    def __enter__(self) -> Self:
        self._stacks.setdefault(threading.get_ident(), []).append(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        stack = self._stacks[threading.get_ident()]
        stack.pop()
        if stack:
            stack[-1].spent_s = 0.0  # what ran inside was looked at for itself


class Watch:
    """What each thread is at. Nothing is looked at before `start`."""

    def __init__(self) -> None:
        # thread -> its entries, the innermost last; each list is changed by its own thread only
        self._stacks: dict[int, list[_Entry]] = {}
        self._ticked_at = float("inf")
        self._woke_at = float("-inf")

    def start(self) -> None:
        """Once a process, before it makes clients."""
        self._ticked_at = time.monotonic()
        threading.Thread(target=self._run, name="watch", daemon=True).start()

    def call(self, name: str, timeout_s: float) -> _Entry:
        """`with` it around a call that returns within its timeout; where it does not, the process ends.

        A negative timeout is none, as for the client.
        """
        limit_s = max(timeout_s, CONNECTION_S) + OVERRUN_S if timeout_s >= 0 else float("inf")
        return _Entry(self._stacks, name, limit_s, None)

    def work(self, name: str, limit_s: float, late: Say) -> _Entry:
        """`with` it around work that should not take longer; else `late(seconds)` is called, once, by the watch."""
        return _Entry(self._stacks, name, limit_s, late)

    def callback(self) -> _Entry:
        """`with` it inside a callback: the call that it runs in waits for it."""
        return _Entry(self._stacks, "callback", float("inf"), None)

    def stood_still(self, within_s: float) -> bool:
        """Did the process stand still (SIGSTOP, a paused machine), until now or until at most so long ago?"""
        now = time.monotonic()
        return now - self._ticked_at > STILL_S or now - self._woke_at < within_s

    def tick(self, now: float) -> list[_Entry]:
        """The innermost entry of each thread grows older; those over their limit for the first time.

        Time in which the process stood still counts for nobody.
        """
        passed, self._ticked_at = now - self._ticked_at, now
        if passed > STILL_S:
            self._woke_at = now
        overdue = []
        for stack in list(self._stacks.values()):
            for entry in stack[-1:]:
                entry.spent_s += min(passed, 2 * TICK_S)
                if entry.spent_s > entry.limit_s and not entry.said:
                    entry.said = True
                    overdue.append(entry)
        return overdue

    def _run(self) -> None:
        while True:
            time.sleep(TICK_S)
            for entry in self.tick(time.monotonic()):
                if entry.late is not None:
                    entry.late(entry.spent_s)
                else:
                    _give_up(entry)


def _give_up(entry: _Entry) -> None:
    log.error(
        "hung",
        what=f"{entry.name} has not returned for {entry.spent_s:.0f} s, the limit is {entry.limit_s:g} s",
        way_out="the process ends; start it again, and report its stacks",
        exit_code=Hung.exit_code,
    )
    faulthandler.dump_traceback(sys.stderr, all_threads=True)
    sys.stderr.flush()
    ALARMS.finish()
    os._exit(Hung.exit_code)


WATCH = Watch()
