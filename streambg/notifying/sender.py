"""The thread that tells: never in anybody's way, once for each notice, again while it fails, and not for ever."""

from __future__ import annotations

import queue
import subprocess
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import httpx2
import stamina
import structlog
from prometheus_client import Counter

from streambg.notifying.notice import Notice, Severity, at_least, signature

# What waits while the other side is down: an hour of a pipeline that changes its state every few seconds.
WAITING = 1_000
# An address that does not answer within this is tried again; after all of them the notice is given up.
CALL_S, TRIES, ALL_TRIES_S = 5.0, 5, 60.0
# What was told is remembered by id; far more than a rollout's news.
REMEMBERED = 10_000
STOP_S = 2.0

TOLD = Counter("streambg_notices_total", "Notices told, given up or dropped", ["result"])

log = structlog.get_logger("streambg.notify")

# Says whether this process is the first to tell it; others are told by Redis (never in the way where it is down).
Claim = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Where:
    """Whom to tell. `secret` signs what the webhook gets; the command gets the notice on its standard input."""

    webhook: str | None = None
    secret: str | None = None
    command: tuple[str, ...] = ()
    lowest: Severity = "info"

    def __repr__(self) -> str:
        return f"Where(webhook={bool(self.webhook)}, command={self.command[:1]}, lowest={self.lowest})"


class Sender:
    """`tell` returns at once. `stop` gives what waits two seconds."""

    def __init__(self, where: Where, claim: Claim = lambda _id: True) -> None:
        self._where = where
        ways: tuple[tuple[str, object, Callable[[Notice], None]], ...] = (
            ("webhook", where.webhook, self._post),
            ("command", where.command, self._execute),
        )
        self._ways = [(name, tell) for name, wanted, tell in ways if wanted]
        self._claim = claim
        self._waiting: queue.Queue[Notice | None] = queue.Queue(WAITING)
        self._told: OrderedDict[str, None] = OrderedDict()
        self._ends: float | None = None  # of the monotonic clock: from then on nothing is told or tried again
        self._thread = threading.Thread(target=self._run, name="notify", daemon=True)

    def start(self) -> Sender:
        if self._ways:
            self._thread.start()
        return self

    def stop(self) -> None:
        if not self._thread.is_alive():
            return
        self._ends = time.monotonic() + STOP_S
        with suppress(queue.Full):  # then there is something to wake up for already
            self._waiting.put_nowait(None)
        self._thread.join(STOP_S)

    @property
    def _ended(self) -> bool:
        return self._ends is not None and time.monotonic() >= self._ends

    def tell(self, notice: Notice) -> None:
        """Once: what was told before, or is below the severity that is asked for, is passed."""
        if notice.id in self._told or not at_least(notice.severity, self._where.lowest):
            return
        self._told[notice.id] = None
        if len(self._told) > REMEMBERED:
            self._told.popitem(last=False)
        if not self._thread.is_alive():
            return
        try:
            self._waiting.put_nowait(notice)
        except queue.Full:
            TOLD.labels("dropped").inc()
            log.warning("notice_dropped", text=notice.text, waiting=WAITING)

    def _run(self) -> None:
        while (notice := self._next()) is not None:
            if not self._claim(notice.id):
                continue
            for way, tell in self._ways:
                try:
                    tell(notice)
                except Exception as error:  # whatever a webhook or a command does, the next notice is told
                    TOLD.labels("given up").inc()
                    log.warning("notice_not_told", way=way, text=notice.text, why=f"{type(error).__name__}: {error}")
                else:
                    TOLD.labels("told").inc()

    def _next(self) -> Notice | None:
        """None: the end, that `stop` has put there or, where there was no place for it, that has come."""
        while not self._ended:
            with suppress(queue.Empty):
                return self._waiting.get(timeout=STOP_S)
        return None

    def _post(self, notice: Notice) -> None:
        assert self._where.webhook
        body = notice.body()
        headers = {"content-type": "application/json", "x-streambg-id": notice.id}
        if self._where.secret:
            headers["x-streambg-signature"] = signature(self._where.secret, body)
        for attempt in stamina.retry_context(on=self._again, attempts=TRIES, timeout=ALL_TRIES_S):
            with attempt:
                httpx2.post(self._where.webhook, content=body, headers=headers, timeout=CALL_S).raise_for_status()

    def _again(self, error: Exception) -> bool:
        return not self._ended and _worth_trying_again(error)

    def _execute(self, notice: Notice) -> None:
        """The notice on its standard input; killed after CALL_S."""
        subprocess.run(self._where.command, input=notice.body(), timeout=CALL_S, check=True, stdout=subprocess.DEVNULL)


def _worth_trying_again(error: Exception) -> bool:
    """A request that was refused (4xx) is refused again; but for "too many" (429) and "too slow" (408)."""
    if isinstance(error, httpx2.HTTPStatusError):
        return error.response.status_code >= 500 or error.response.status_code in (408, 429)
    return isinstance(error, httpx2.HTTPError)
