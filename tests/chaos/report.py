"""Writes the table into docs/reliability.md, between its markers; what stands around it is written by people."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from pathlib import Path

import confluent_kafka

from chaos.scenario import ALL
from chaos.table import Result, best, cells, line, markdown, rows_of
from streambg import __version__
from streambg.servers.kafka_config import KAFKA_VERSION

# Kills, zombies, connections, brokers, rebalances, control, data, memory, time, verifier, liveness, a rollout's story.
GROUPS = "KZCBRXDMTVLY"
BEGIN, END = "<!-- generated: faults -->", "<!-- end of generated -->"


def write(page: Path, results: Iterable[Result]) -> None:
    """A row that is not among the results stays as it is. Raises ValueError where the page has no markers."""
    text = page.read_text()
    before, begin, rest = text.partition(BEGIN)
    table, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} needs the lines {BEGIN!r} and {END!r}")
    rows = rows_of(table) | {row: line(cells(result)) for row, result in best(results).items()}
    order = sorted(ALL, key=lambda row: (GROUPS.index(row[0]), row))
    page.write_text(f"{before}{BEGIN}\n\n{heading(len(rows))}\n\n{markdown(rows, order)}\n{END}{after}")


def heading(rows: int) -> str:
    return (
        f"{rows} of {len(ALL)} rows. The newest are of streambg {__version__}, Apache Kafka {KAFKA_VERSION}, "
        f"confluent-kafka {confluent_kafka.version()},\nPython {platform.python_version()}, two cores; "
        "the last column has the size, the seconds that the row took, the commit and the day."
    )
