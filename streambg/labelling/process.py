"""The labels' part of the comparator's process: the reader thread, the desk and the room, apart from Faust.

`process` is called by the Faust app's agent, `tend` by its timer (comparing/app.py); both on the event loop.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import redis.asyncio
import structlog

from streambg.comparing.desk import Desk
from streambg.comparing.evidence_log import EvidenceReader
from streambg.comparing.handover import hand_over
from streambg.comparing.pair import Pair
from streambg.comparing.session import Session
from streambg.comparing.site import Site
from streambg.control.follower import ControlFollower
from streambg.errors import Gap, SessionEnded, StreambgError, Unreachable
from streambg.labelling.depositing import Depositor
from streambg.labelling.desk import Answer, LabelDesk, Work
from streambg.labelling.evidence import COUNTS
from streambg.labelling.rows import layout_of
from streambg.labelling.session import LabelSession
from streambg.process.pauses import Pauses

# A script of 512 lookups takes milliseconds; a Redis that needs longer than this is taken for one that is down.
REDIS_TIMEOUT_S = 2.0

log = structlog.get_logger("streambg.comparator")

Send = Callable[[Work], Awaitable[Any]]


class Labels:
    """`start` and `stop` once each, on the event loop; `give_up` ends the process."""

    def __init__(
        self,
        site: Site,
        follower: ControlFollower,
        evidence: EvidenceReader,
        desk: Desk,
        session: Callable[[], Session | None],
        give_up: Callable[[StreambgError], None],
    ) -> None:
        self._site = site
        self._follower = follower
        self._evidence = evidence
        self._comparing = desk
        self._session = session
        self._give_up = give_up
        self._stopping = threading.Event()
        self._redis = redis.asyncio.Redis.from_url(
            site.redis, socket_timeout=REDIS_TIMEOUT_S, socket_connect_timeout=REDIS_TIMEOUT_S
        )
        self.desk = LabelDesk(self._redis, site.pipeline)
        self._depositor: Depositor | None = None
        self._work: Work | None = None
        self._ended: str | None = None

    def start(self, send: Send) -> None:
        """`send` puts work on the way to `process`."""
        self._loop = asyncio.get_running_loop()
        self._send = send
        context = contextvars.copy_context()  # what log lines say of the process
        self._thread = threading.Thread(target=context.run, args=(self._run,), name="label-reader", daemon=True)
        self._thread.start()

    def ask_to_stop(self) -> None:
        self._stopping.set()

    async def stop(self, timeout: float) -> None:
        """After `ask_to_stop`."""
        await asyncio.to_thread(self._thread.join, timeout)
        if self._depositor is not None:
            self._depositor.close()
        await self._redis.aclose()

    # -- on the event loop ---------------------------------------------------------------------------------------

    async def process(self, work: Work) -> None:
        """All of one poll. What goes wrong ends the reader's session: labels come again from the last snapshot."""
        try:
            await self.desk.process(work)
            self._work = work
        except Exception as error:
            log.exception("labels_failed")
            work.answer.set_exception(SessionEnded(f"labels failed: {type(error).__name__}: {error}"))

    async def tend(self) -> None:
        """What was compared goes into the room."""
        comparisons = dict(self._comparing.comparisons)
        pair = next((each.pair for each in comparisons.values()), None)
        depositor = self._depositor_of(pair)
        if depositor is None:
            return
        work = self._work
        ends, idle = (work.ends, work.idle) if work is not None and work.pair == pair else ({}, {})
        try:
            await depositor.tend(comparisons, ends, idle)
        except (redis.RedisError, OSError) as error:
            log.debug("waiting_room_down", why=str(error))  # the desk says it once, for people
            depositor.rest()
        except (SessionEnded, Unreachable, Gap) as error:
            log.warning("waiting_rows_not_read", why=error.what)
            depositor.rest()

    def _depositor_of(self, pair: Pair | None) -> Depositor | None:
        if pair is None:
            return None
        if self._depositor is not None and self._depositor.pair == pair:
            return self._depositor
        if self._depositor is not None:
            self._depositor.close()
        layout = layout_of(next(each.terms for each in self._comparing.comparisons.values()))
        self._depositor = None
        if layout is not None:
            self._depositor = Depositor(self._site, self.desk.room(pair, layout), pair, layout)
        return self._depositor

    def snapshots(self) -> list[tuple[bytes, bytes]]:
        return self.desk.snapshots()

    # -- the reader thread ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        pauses = Pauses()
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                LabelSession(self._site, self._follower, self._evidence, self._assigned, self._hand_over).run(
                    self._stopping.is_set, self._stopping.wait
                )
                return
            except (SessionEnded, Unreachable, Gap) as error:
                self._ended = error.what
                pause = pauses.after(time.monotonic() - began)
                if not self._stopping.is_set():
                    log.warning("label_session_ended", why=error.what, next_in_s=pause)
                self._stopping.wait(pause)
            except StreambgError as error:
                self._give_up(error)
            except BaseException as error:
                log.exception("label_reader_failed")
                self._give_up(StreambgError(f"reading labels failed: {type(error).__name__}: {error}"))

    def _assigned(self) -> tuple[frozenset[int], frozenset[int], int]:
        session = self._session()
        if session is None:
            return frozenset(), frozenset(), 0
        return session.partitions, frozenset(self._comparing.comparisons), session.total

    def _hand_over(self, work: Work) -> Answer:
        return hand_over(work, self._send, self._loop, self._stopping.is_set)

    # -- what others see -----------------------------------------------------------------------------------------

    def health(self) -> dict[str, Any]:
        """From any thread."""
        depositor = self._depositor
        return {
            "session_ended": self._ended,
            "redis": self.desk.problem or "ok",
            "waits_for": self.desk.waits_for,
            "reading_again": depositor.refilling if depositor else [],
            "partitions": {
                partition: {
                    "position": stream.evidence.position,
                    "waiting": stream.waiting,
                    **{name: stream.evidence.counts[name] for name in COUNTS if stream.evidence.counts[name]},
                }
                for partition, stream in sorted(dict(self.desk.streams).items())
            },
        }
