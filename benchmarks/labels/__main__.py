"""`python -m benchmarks.labels`: memory and time of the labels' waiting room, on a Redis of its own.

Fills hashes as densely as `--waiting` labels of an hour would, with fewer of them (`--rows`): one costs the same.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import redis.asyncio

from streambg.comparing.pair import Pair, Terms
from streambg.labelling.cohorts import CUTS, width_of
from streambg.labelling.filling import Filled
from streambg.labelling.matching import Mark
from streambg.labelling.room import Room
from streambg.labelling.rows import SLOTS, Layout, Place, Waiting, layout_of
from streambg.records.gate import Gate, LabelTerms
from streambg.servers.local_redis import LocalRedis

HORIZON_MS = 3_600_000
AT_ONCE = 8_192


def layout() -> Layout:
    """One output and one segment, as the reference pipeline has them."""
    labels = LabelTerms("labels", "event_id", "label", HORIZON_MS, 10_000, False)
    made = layout_of(Terms(1, 0, 0.5, Gate((), {"machine": ("m1",)}, 0.05, 0.01, 0.999, 0.95, labels=labels)))
    assert made is not None
    return made


def rows(count: int, slots: int, size: int) -> Iterator[list[Waiting]]:
    """Of one cohort, with random answers and keys."""
    for first in range(0, count, AT_ONCE):
        drawn = [os.urandom(8 + size) for _ in range(first, min(count, first + AT_ONCE))]
        yield [Waiting(471_111, Place(each[:8], (first + at) % slots), each[8:]) for at, each in enumerate(drawn)]


async def measure(url: str, count: int, waiting: int) -> None:
    client = redis.asyncio.Redis.from_url(url)
    where = layout()
    room = Room(client, "bench", Pair(3, 7), HORIZON_MS, width_of(HORIZON_MS))
    slots = max(1, round(count * SLOTS * CUTS / waiting))

    async def used() -> int:
        return int((await client.info("memory"))["used_memory"])

    before, written, marked, raw = await used(), 0.0, 0.0, b""
    for part in rows(count, slots, where.fixed.itemsize):
        began = time.perf_counter()
        raw = await room.fill(0, raw, Filled(0), part)
        written += time.perf_counter() - began
    waits, mark = await used() - before, b""
    for cursor in range(slots):
        key = f"streambg:bench:labels:3.7:471111.{cursor}"
        digests = [each for each in await client.hkeys(key) if isinstance(each, bytes)]
        began = time.perf_counter()
        marks = [(471_111, Place(digest, cursor), Mark(3, 10**9, 1.0)) for digest in digests]
        mark = await room.mark(0, mark, cursor, marks)
        marked += time.perf_counter() - began
    both = await used() - before
    encoding = await client.object("ENCODING", f"streambg:bench:labels:3.7:471111.{slots // 2}")
    await client.aclose()
    lives = room.lives_ms / HORIZON_MS
    within, labelled = waiting * waits / count / 1e9, waiting * both / count / 1e9
    report = [
        f"{count:,} rows of {where.fixed.itemsize} bytes in {slots:,} hashes ({encoding.decode()})",
        f"waiting: {waits / count:.1f} bytes a row; with its label's mark: {both / count:.1f}",
        f"writing: {written / count * 1e6:.1f} us a row; marking: {marked / count * 1e6:.1f}",
        f"{waiting:,} within the horizon: {within:.2f} GB; all labelled: {labelled:.2f} GB",
        f"rows live for {lives:.2f} horizons: at most {labelled * lives:.2f} GB",
    ]
    sys.stdout.write("\n".join(report) + "\n")


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m benchmarks.labels", description=__doc__)
    options.add_argument("--rows", type=int, default=100_000, help="how many are really written (100000)")
    options.add_argument("--waiting", type=int, default=7_200_000, help="labels within an hour (7200000)")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        server = LocalRedis(Path(directory) / "redis")
        server.start()
        try:
            asyncio.run(measure(server.url, chosen.rows, chosen.waiting))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
