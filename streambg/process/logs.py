"""Structured logs: JSON lines for machines, a console form on a terminal."""

from __future__ import annotations

import logging
import sys

import structlog


def configure(process: str, *, console: bool | None = None, level: str = "info") -> None:
    """Once at the start. `console` None asks whether stderr is a terminal. Logs go to stderr, data to stdout."""
    on_terminal = sys.stderr.isatty() if console is None else console
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if on_terminal else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.bind_contextvars(process=process)
