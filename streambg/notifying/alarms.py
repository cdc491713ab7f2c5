"""A process tells its own alarms: what its log says as `alarm`, and the errors that it logs.

Every part of a process, on whatever thread, says such things in the log already, so that is where they are heard. Only
where the pipeline file has `notify`; elsewhere nothing of it is imported: a killed process is back sooner.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import structlog

from streambg.errors import Fenced

if TYPE_CHECKING:
    from streambg.config import Pipeline
    from streambg.notifying.sender import Sender


class Alarms:
    """`begin` once a process, behind logs.configure; `finish` before it ends."""

    def __init__(self) -> None:
        self._sender: Sender | None = None

    def begin(self, pipeline: Pipeline, process: str, slot: int | None = None) -> None:
        """process: the role, alike for all members; slot: which of them this is, None where there are no slots."""
        if not (pipeline.notify.webhook or pipeline.notify.command):
            return
        from streambg.kafka.membership import LEASED  # noqa: PLC0415 - see above, as the next two
        from streambg.notifying.claims import sender  # noqa: PLC0415
        from streambg.notifying.notice import of_line  # noqa: PLC0415

        told = self._sender = sender(pipeline).start()
        name = process if slot is None else f"{process}.{slot}"
        leased = LEASED in os.environ

        def hear(_logger: object, _method: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
            """Changes nothing, and waits for nobody."""
            notice = of_line(pipeline.name, process, name, line, int(time.time() * 1_000))
            # one that was fenced in a leased slot takes another one (process/frame.py): that is no news
            if notice is not None and not (leased and line.get("exit_code") == Fenced.exit_code):
                told.tell(notice)
            return line

        *others, renderer = structlog.get_config()["processors"]
        structlog.configure(processors=[*others, hear, renderer])

    def finish(self) -> None:
        """What waits is given two seconds."""
        if self._sender is not None:
            self._sender.stop()


ALARMS = Alarms()
