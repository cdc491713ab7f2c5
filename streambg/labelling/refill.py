"""Reads rows again that the room has lost: the same join of both predictions topics, from a cohort's beginning on."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass

import structlog
from confluent_kafka import Message

from streambg.comparing.locate import covering, first_of
from streambg.comparing.pair import Pair, Terms
from streambg.comparing.pairing import Pairing
from streambg.comparing.probe import Probe
from streambg.comparing.side import Place
from streambg.comparing.site import Site
from streambg.kafka.reading import LogReader
from streambg.labelling.cohorts import Awaited, Cohort
from streambg.labelling.rows import Layout, Packed, pack
from streambg.records.batch import BadBatch, Batch, decode
from streambg.records.coverage import Coverage
from streambg.records.source import COLORS, Color

# Every deployment of the pair is known to the control log, or nothing would have been compared (P12).
_FOLDED = 1 << 62

log = structlog.get_logger("streambg.comparator")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Rows of one partition from a cohort's beginning up to this source offset at least."""

    partition: int
    pair: Pair
    cohort: Cohort
    upto: int


def read_again(site: Site, wanted: Wanted, layout: Layout, terms: Terms) -> Generator[Packed, None, None]:
    """Some rows at a time, as they were packed the first time. Raises what reading raises.

    Where the topics no longer hold all of it, the rest: labels of what is gone find nothing, and that is said.
    """
    with LogReader(site.reader) as blue, LogReader(site.reader) as green:
        readers = {"blue": blue, "green": green}
        places = _places(site, wanted)
        logs = {
            color: readers[color].read(
                site.predictions[color],
                wanted.partition,
                places[color].log_offset,
                readers[color].ends(site.predictions[color], wanted.partition)[1],
            )
            for color in COLORS
        }
        yield from _joined(wanted, Pairing(wanted.pair, terms, places, wanted.cohort.after), logs, layout, terms)


def _places(site: Site, wanted: Wanted) -> dict[Color, Place]:
    """Where both logs cover the beginning; as new evidence is placed (P31)."""
    probe = Probe(site.reader)
    try:
        places: dict[Color, Place] = {}
        for color in COLORS:
            deployment, after = wanted.pair.of(color), wanted.cohort.after
            found = probe.log(site.predictions[color], wanted.partition)
            first = first_of(found, deployment)
            if first is None or first[1].after > after:
                log.warning("waiting_rows_expired", color=color, partition=wanted.partition, after=after)
                places[color] = Place(found.low if first is None else first[0], Coverage(deployment))
            else:
                places[color] = Place(covering(found, first[0], deployment, after), Coverage(deployment, after))
        return places
    finally:
        probe.close()


def _joined(
    wanted: Wanted,
    pairing: Pairing,
    logs: Mapping[Color, Iterator[list[Message]]],
    layout: Layout,
    terms: Terms,
) -> Iterator[Packed]:
    awaited, left = Awaited(), set(COLORS)
    for side in pairing.sides.values():
        side.control(_FOLDED)
    while left and pairing.compared < wanted.upto:
        # the one that is behind, so that few rows wait for the other
        color = min(left, key=lambda each: (pairing.sides[each].covered or -1, each))
        messages = next(logs[color], None)
        if messages is None:
            left.discard(color)
            continue
        for message in messages:
            value = message.value() or b""
            pairing.sides[color].offer(message.offset() or 0, len(value), _decoded(value))
        while (rows := pairing.take()) is not None:
            before = pairing.compared
            yield pack(awaited, layout, wanted.partition, rows, terms)
            pairing.retire(rows.high, before, wanted.cohort.after)


def _decoded(value: bytes) -> Batch | None:
    try:
        return decode(value)
    except BadBatch:
        return None
