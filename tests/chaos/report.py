"""Writes the table into docs/reliability.md, between its markers; what stands around it is written by people."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from pathlib import Path

import confluent_kafka

from chaos.table import Result, markdown
from streambg import __version__
from streambg.servers.kafka_config import KAFKA_VERSION

BEGIN, END = "<!-- generated: faults -->", "<!-- end of generated -->"


def write(page: Path, results: list[Result], size: str, seed: int) -> None:
    """Raises ValueError where the page has no markers."""
    text = page.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} needs the lines {BEGIN!r} and {END!r}")
    page.write_text(f"{before}{BEGIN}\n\n{heading(size, seed)}\n\n{markdown(results)}\n{END}{after}")


def heading(size: str, seed: int) -> str:
    client = confluent_kafka.version()
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, size `{size}`, seed {seed}; streambg {__version__}, "
        f"Apache Kafka {KAFKA_VERSION}, confluent-kafka {client},\nPython {platform.python_version()}, two cores."
    )
