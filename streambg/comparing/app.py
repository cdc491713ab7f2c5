"""The Faust app: agent, channel, timers, lifecycle (docs/design.md, section 8).

Faust opens no connection to Kafka here. Its own consumer costs 300-430 us a message, reads uncommitted data and acks
what a failing agent dropped; so the agent is fed through a channel by our reader, and the boot strategy leaves consumer
and producer out altogether. With them go their traps: no second group to join (a lone worker waited 58 s for its dead
self), no leader, no second place for security settings, no end of the process when a broker restarts.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import AsyncIterable, Callable
from pathlib import Path
from typing import Any

import faust
import structlog
from faust.app.base import BootStrategy

from streambg.comparing.desk import Work
from streambg.comparing.process import Comparator, give_up
from streambg.comparing.site import Site
from streambg.control.follower import ControlFollower
from streambg.errors import StreambgError
from streambg.labelling.desk import Work as LabelWork
from streambg.web.health import ANY_PORT, Endpoint

# A person who looks at the view twice in a second is rare; writing it costs a few hundred microseconds a partition.
SHOW_EVERY_S = 1.0
# What a crash makes the next reader compare again.
KEEP_EVERY_S = 5.0
# A verdict takes milliseconds, and a rollout waits for it.
JUDGE_EVERY_S = 1.0
# The reader hands over one work at a time; a second place lets a new session's first work in behind a late one.
CHANNEL_SIZE = 2
# What was compared is worth nothing to a label before it waits in Redis; a call without news costs some microseconds.
TEND_EVERY_S = 0.25


class ToStructlog(logging.Handler):
    """Faust's and mode's own lines, in the form of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        exc_info = record.exc_info if record.exc_info and record.exc_info[0] else None
        structlog.get_logger(record.name).log(record.levelno, record.getMessage(), exc_info=exc_info)


# warnings and up; the worker's --loglevel would otherwise set it
_LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"structlog": {"class": f"{__name__}.ToStructlog"}},
    "root": {"handlers": ["structlog"], "level": "WARNING"},
}


class _Boot(BootStrategy):
    """Agents and timers; no Kafka client, and no web server: /metrics and /healthz are ours, on loopback."""

    enable_kafka = False
    enable_web = False


class ComparatorApp(faust.App):
    BootStrategy = _Boot

    def _create_directories(self) -> None:
        """There are no tables: nothing is kept on disk."""


def create_app(site: Site, follower: Callable[[], ControlFollower], metrics: Endpoint = ANY_PORT) -> ComparatorApp:
    """The app of one comparator. Nothing is connected before it starts.

    `follower` makes the follower of the control log. Run it with `faust -A consumers.comparator worker`, or `run`.
    """
    app = ComparatorApp(
        site.member,
        broker="kafka://",  # named because Faust wants one; never connected
        store="memory://",
        datadir=Path(tempfile.gettempdir()) / "streambg-faust",  # never made
        autodiscover=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        web_enabled=False,
        worker_redirect_stdouts=False,
        logging_config=_LOGGING,
    )
    comparator = Comparator(site, follower, metrics)
    channel = app.channel(maxsize=CHANNEL_SIZE)

    @app.agent(channel)
    async def compare(works: AsyncIterable[Work]) -> None:
        async for work in works:
            await comparator.compare(work)

    labels = app.channel(maxsize=CHANNEL_SIZE)

    @app.agent(labels)
    async def label(works: AsyncIterable[LabelWork]) -> None:
        async for work in works:
            await comparator.label(work)

    @app.timer(TEND_EVERY_S)  # type: ignore[untyped-decorator]  # as below
    async def tend() -> None:
        await comparator.tend()

    @app.timer(SHOW_EVERY_S)  # type: ignore[untyped-decorator]  # faust's own @no_type_check
    async def show() -> None:
        await comparator.show()

    @app.timer(KEEP_EVERY_S)  # type: ignore[untyped-decorator]  # as above
    async def keep() -> None:
        await comparator.keep()

    @app.timer(JUDGE_EVERY_S)  # type: ignore[untyped-decorator]  # as above
    async def judge() -> None:
        await comparator.judge()

    @app.service
    class Reader(faust.Service):
        async def on_started(self) -> None:
            app.flow_control.resume()  # what an assignment of Faust's own consumer would do
            try:
                await comparator.start(lambda work: channel.send(value=work), lambda work: labels.send(value=work))
            except StreambgError as error:
                give_up(error)

        async def on_stop(self) -> None:
            await comparator.stop()

    return app


def work(app: ComparatorApp) -> int:
    """Run the app until SIGTERM or Ctrl-C; the exit code. What no new session mends ends the process (process.py)."""
    worker = faust.Worker(app, quiet=True, loglevel="WARNING")
    worker.spinner = None  # it writes to stdout, quiet or not
    try:
        worker.execute_from_commandline()
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else 1
