"""The comparator's process, apart from Faust: the reader thread, snapshots, the live view, health.

Threads: the reader thread runs sessions; everything else runs on the event loop, where the desk is. The loop's
methods are called by the Faust app (app.py): `compare` by its agent, `show` and `keep` by its timers.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast

import redis.asyncio
import structlog

from streambg.comparing import liveview, metrics
from streambg.comparing.desk import Desk, Work
from streambg.comparing.evidence_log import FLUSH_TIMEOUT_S, EvidenceReader, RecordWriter, encoded
from streambg.comparing.handover import hand_over
from streambg.comparing.holes import Holes
from streambg.comparing.judge import Judge
from streambg.comparing.session import Session
from streambg.comparing.site import Site
from streambg.control.follower import ControlFollower
from streambg.errors import SessionEnded, StreambgError, Unreachable
from streambg.kafka.coreader import Position
from streambg.kafka.identity import Identity
from streambg.kafka.membership import Place
from streambg.labelling.desk import Work as LabelWork
from streambg.labelling.process import Labels
from streambg.process.frame import GC_THRESHOLDS, leave
from streambg.process.pauses import Pauses
from streambg.process.pulse import Pulse
from streambg.records.source import COLORS
from streambg.web.health import Endpoint, HealthServer

# Redis is on the way of nothing: what takes longer is not worth showing.
REDIS_TIMEOUT_S = 1.0
# Stopping: the reader thread ends within a poll, the group is left, the last snapshots are delivered.
STOP_READER_S = 1.5
STOP_FLUSH_S = 1.0

log = structlog.get_logger("streambg.comparator")


def give_up(error: StreambgError) -> None:
    """End the process at once, with the exit code of what went wrong: no session can mend it."""
    log.error("stopped", why=error.what, way_out=error.way_out, exit_code=error.exit_code)
    leave(error.exit_code)


Send = Callable[[Any], Awaitable[Any]]


class Comparator:
    """One member of the comparator's group. `start` and `stop` once each, on the event loop."""

    def __init__(self, site: Site, follower: Callable[[], ControlFollower], metrics: Endpoint) -> None:
        self.site = site
        self.desk = Desk()
        self._make_follower = follower
        self._metrics = metrics
        self._stopping = threading.Event()
        self._ready = False
        self._pulse = Pulse()
        self._session: Session | None = None
        self._written: dict[bytes, bytes] = {}
        self._redis_problem: str | None = None
        self._holes = Holes()

    async def start(self, send: Send, send_labels: Send) -> None:
        """`send` puts work on the way to `compare`, `send_labels` to `label`.

        Raises Misconfigured where the metrics port is taken.
        """
        gc.set_threshold(*GC_THRESHOLDS)
        self._loop = asyncio.get_running_loop()
        self._send = send
        self._server = HealthServer(self._metrics, self.health, {"/verdict": self.verdict})
        self._redis = redis.asyncio.Redis.from_url(
            self.site.redis, socket_timeout=REDIS_TIMEOUT_S, socket_connect_timeout=REDIS_TIMEOUT_S
        )
        self._follower = self._make_follower().start()
        self._reader = EvidenceReader(self.site.reader, self.site.evidence)
        self._writer = RecordWriter(self.site.producer)
        self.labels = Labels(self.site, self._follower, self._reader, self.desk, lambda: self._session, give_up)
        self.labels.start(send_labels)
        self._judge = Judge(self.site, self.desk, self.labels.desk, self._writer)
        context = contextvars.copy_context()  # what log lines say of the process
        self._thread = threading.Thread(target=context.run, args=(self._run,), name="comparator-reader", daemon=True)
        self._thread.start()
        self._ready = True
        log.info("started", name=self.site.member, health=f"{self._server.address}/healthz")

    async def stop(self) -> None:
        """The last snapshots are delivered; takes less than 3 s whatever the servers do."""
        if not self._ready:
            return
        self._stopping.set()
        self.labels.ask_to_stop()
        await asyncio.to_thread(self._thread.join, STOP_READER_S)
        await self.labels.stop(STOP_READER_S)
        await self.keep(STOP_FLUSH_S)
        self._judge.close()
        await self._redis.aclose()
        # beside the second that the event loop takes to close
        threading.Thread(target=self._writer.close, name="comparator-writer", daemon=True).start()
        self._server.stop()
        log.info("stopped", name=self.site.member)

    # -- on the event loop ---------------------------------------------------------------------------------------

    async def compare(self, work: Work) -> None:
        """All of one poll. What goes wrong ends the reader's session: the events come again from the last snapshot."""
        try:
            for _ in self.desk.steps(work):
                await asyncio.sleep(0)  # timers and signals have their turn between two pieces
        except StreambgError as error:
            self.desk.clear()
            work.answer.set_exception(error)
        except Exception as error:
            self.desk.clear()
            log.exception("comparing_failed")
            work.answer.set_exception(SessionEnded(f"comparing failed: {type(error).__name__}: {error}"))

    async def label(self, work: LabelWork) -> None:
        """All of one poll of the labels' topic."""
        await self.labels.process(work)

    async def tend(self) -> None:
        """What was compared since the last call goes where it waits for labels."""
        if self._ready:
            await self.labels.tend()

    async def show(self) -> None:
        """The live view, the gauges, the alarms. Redis may be down: that is said once, and nothing waits for it."""
        if not self._ready:
            return
        session = self._session
        lags = session.lags if session else {}
        metrics.show(self.desk.comparisons, lags, self.desk.not_batches)
        metrics.show_labels(self.labels.desk.streams)
        for alarm in self._holes.look(self.desk.holes(), time.monotonic()):
            metrics.ALARMS.inc()
            log.warning("alarm", what=alarm)
        key, fields = liveview.key(self.site.pipeline), self._fields(lags)
        try:
            if fields:
                async with self._redis.pipeline(transaction=True) as pipe:
                    pipe.hset(key, mapping=cast("dict[Any, Any]", fields))
                    pipe.expire(key, liveview.TTL_S)
                    await pipe.execute()
            else:
                await self._redis.ping()
        except (redis.RedisError, OSError) as error:
            if self._redis_problem is None:
                log.warning("redis_down", why=str(error))
            self._redis_problem = str(error) or type(error).__name__
        else:
            if self._redis_problem is not None:
                log.info("redis_up")
            self._redis_problem = None
        metrics.REDIS_UP.set(self._redis_problem is None)

    def _fields(self, lags: dict[Position, int]) -> dict[str, bytes]:
        state = self._follower.fold.state
        now = int(time.time() * 1_000)
        return {
            str(partition): liveview.encode_field(
                comparison,
                now,
                self.site.input,
                state.live,
                {color: lags.get((color, partition)) for color in COLORS},
                self.site.rules,
            )
            for partition, comparison in self.desk.comparisons.items()
        }

    async def keep(self, timeout: float = FLUSH_TIMEOUT_S) -> None:
        """Write the snapshots that changed; only what is delivered counts."""
        if not self._ready:
            return
        snapshots = [*(encoded(snapshot) for snapshot in self.desk.snapshots()), *self.labels.snapshots()]
        records = [(key, value) for key, value in snapshots if self._written.get(key) != value]
        if not records:
            return
        try:
            await asyncio.to_thread(self._writer.write, self.site.evidence, records, timeout)
        except Unreachable as error:
            metrics.SNAPSHOT_FAILURES.inc()
            log.warning("snapshots_not_delivered", why=error.what)
            return
        metrics.SNAPSHOTS.inc(len(records))
        for key, value in records:
            self._reader.put(key, value)
        self._written = dict(snapshots)

    async def judge(self) -> None:
        """A verdict of the evidence as it is now; written where it is news."""
        if self._ready:
            try:
                await self._judge.look(self._follower.fold.state, self._session)
            except StreambgError as error:
                give_up(error)

    # -- the reader thread ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._sessions_until_stopped()
        except StreambgError as error:
            give_up(error)
        except BaseException:
            log.exception("reader_failed")
            leave(1)
        finally:
            self._follower.stop()
            self._reader.close()

    def _sessions_until_stopped(self) -> None:
        """SessionEnded and Unreachable start over, other errors end the process."""
        place, topics = Place(self.site.consumer, self.site.admin), Identity(self.site.admin, self.site.ways_out)
        pauses = Pauses()
        while not self._stopping.is_set():
            began = time.monotonic()
            self._pulse.begins(began)
            metrics.SESSIONS.inc()
            try:
                topics.require()
                place.look()
                self._session = session = Session(self.site, self._follower, self._reader, self._hand_over)
                with place.kept(session):
                    session.run(partial(self._turn, topics, place, session), self._stopping.wait)
                return
            except (SessionEnded, Unreachable) as error:
                now = time.monotonic()
                self._pulse.ends(error.what, now)
                pause = pauses.after(now - began)
                log.warning("session_ended", why=error.what, next_in_s=pause)
            finally:
                self._session = None
            self._stopping.wait(pause)

    def _turn(self, topics: Identity, place: Place, session: Session) -> bool:
        """Between two polls; is it to stop?"""
        topics.look()
        place.share_out(topics.partitions(*self.site.predictions.values()), session)
        return self._stopping.is_set()

    def _hand_over(self, work: Work) -> frozenset[Position]:
        """Blocks until the desk is done: one poll is under way at a time. Raises what comparing raised."""
        full = hand_over(work, self._send, self._loop, self._stopping.is_set)
        self._pulse.turns(time.monotonic())
        return full

    # -- what others see -----------------------------------------------------------------------------------------

    def verdict(self) -> dict[str, Any]:
        """The last verdict; `ok` where it says promote. From any thread."""
        if not self._ready:
            return {"ok": False, "reasons": ["the comparator is starting"]}
        follower = self._follower
        return self._judge.page(follower.fold.state, follower.entries, int(time.time() * 1_000))

    def health(self) -> dict[str, Any]:
        """As the other processes' (process/pulse.py). From any thread."""
        session = self._session
        return {
            "name": self.site.member,
            **self._pulse.report(time.monotonic()),
            "epoch": self._follower.fold.state.epoch,
            "redis": self._redis_problem or "ok",
            "unplaced": session.unplaced if session else [],
            "partitions": {
                partition: {
                    "start": comparison.evidence.start,
                    "compared": comparison.evidence.compared,
                    "matched": comparison.evidence.figures.counts["matched"],
                    "covered": {color: comparison.side(color).covered for color in COLORS},
                }
                for partition, comparison in sorted(dict(self.desk.comparisons).items())
            },
            "holes": [hole.words(batches) for hole, batches in self.desk.holes().items()],
            "labels": self.labels.health() if self._ready else {},
        }
