"""Judges what a pipeline published, from its topics alone, with code of its own (P34, P35)."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TYPE_CHECKING

from streambg.audit.conduct import Progress, audit_records
from streambg.audit.report import Report
from streambg.audit.show import render
from streambg.audit.since import Asked

if TYPE_CHECKING:
    from streambg.config import Pipeline

__all__ = ["Asked", "Progress", "Report", "audit_records", "render", "run"]

# Millions of short-lived objects and no cycles: at the defaults the collector costs 1.2 us an event.
GC_THRESHOLDS = (100_000, 50, 100)


def run(
    pipeline: Pipeline,
    *,
    progress: Callable[[Progress], None] | None = None,
    stable: bool = True,
    asked: Asked | None = None,
) -> Report:
    """Audit a pipeline's topics on its broker, up to what is settled now; it may go on running meanwhile.

    stable=False judges what a read_uncommitted reader sees. asked: where to begin, else at each partition's origin.
    Raises Unreachable, Denied, Misconfigured, Gap, UpgradeFirst, ConfigError.
    """
    from streambg.audit.kafka_source import KafkaRecords  # noqa: PLC0415 # the pure part needs no client

    before = gc.get_threshold()
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        with KafkaRecords(pipeline, stable=stable) as records:
            return audit_records(records, progress=progress, ignore_records=pipeline.ignore_records, asked=asked)
    finally:
        gc.set_threshold(*before)
