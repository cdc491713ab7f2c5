"""Structured logs: JSON lines for machines, a console form on a terminal."""

from __future__ import annotations

import logging
import sys

# structlog imports rich, where that is installed, to print exceptions; ours are text by then (format_exc_info). A fifth
# of the time in which a killed process is back.
_RICH = sys.modules.get("rich")
sys.modules["rich"] = None  # type: ignore[assignment] # "not installed", while structlog looks
import structlog  # noqa: E402 - behind that

del sys.modules["rich"]
if _RICH is not None:
    sys.modules["rich"] = _RICH


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
