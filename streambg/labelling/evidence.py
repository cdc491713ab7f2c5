"""What labels have taught about a pair: of one partition of the labels' topic, a pure fold of its records (P33).

Labels are counted in their order, each with the event it belongs to; which that is follows from the two logs. So
evidence at a position is the same bits whenever it is computed (P32), and a snapshot with its position is all that a
restart needs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress

import msgspec

from streambg.comparing.pair import Pair, Terms
from streambg.comparing.tallywire import TallyWire, fit, tallies_of, tally_wires
from streambg.deciding import tallies
from streambg.deciding.tallies import Tallies
from streambg.errors import UpgradeFirst
from streambg.labelling.cohorts import Labelled
from streambg.labelling.matching import Candidate
from streambg.labelling.rows import Layout, seen_of
from streambg.records.gate import Gate
from streambg.records.label import BAD

FORMAT = 1

# What became of the records of the topic; each is one of these, but for `early` and `error_*`, which are matched ones.
COUNTS = (
    "matched",  # the first label of an event, within the horizon: evidence
    "repeated",  # another label of that event, with the same value
    "corrected",  # ... with another value: told, and not counted
    "late",  # its event is older than the horizon
    "orphan",  # no event with its key
    "elsewhere",  # its event has a label from another partition of the topic: labels must be keyed
    "unsampled",  # its key is not in the declared sample
    "early",  # dated before its event
    "error_blue",  # a labelled event that blue could not answer
    "error_green",
    *BAD,
    "gone",  # expired before they were read
)


class LabelEvidence:
    """Of one pair and label partition: the records of the offsets [start, position)."""

    def __init__(self, partition: int, pair: Pair, start: int, gate: Gate | None) -> None:
        self.partition = partition
        self.pair = pair
        self.start = start
        self.position = start
        self.high = -1  # the latest time of a label, ms
        self.counts: Counter[str] = Counter()
        self.labelled = Labelled()
        self.tallies: Tallies = tallies.begun(gate, labelled=True)

    def add(self, layout: Layout, terms: Terms, matched: Sequence[tuple[Candidate, float]]) -> None:
        """The next labels that are evidence, with their events: what `position` and `counts` say is the caller's."""
        if not matched or terms.gate is None:
            return
        seen = seen_of(layout, terms, [each.value for each, _ in matched], [outcome for _, outcome in matched])
        tallies.add(self.tallies, terms.gate, seen, terms.hooks)
        self.counts["error_blue"] += int((~seen.blue.answered).sum())
        self.counts["error_green"] += int((~seen.green.answered).sum())
        for candidate, _ in matched:
            self.labelled.add(candidate.cohort)

    @property
    def key(self) -> bytes:
        return self.pair.label_key(self.partition)


class LabelWire(msgspec.Struct):
    """start and compared are named as in a snapshot of comparing: the topic's reader ranks both by them."""

    format: int
    partition: int
    blue: int
    green: int
    start: int
    compared: int
    high: int
    counts: dict[str, int]
    cohorts: list[tuple[int, int]]
    older: int
    tallies: dict[str, TallyWire]


class _Format(msgspec.Struct):
    format: int


_pack = msgspec.msgpack.Encoder()
_unpack = msgspec.msgpack.Decoder(LabelWire)
_unpack_format = msgspec.msgpack.Decoder(_Format)


class BadLabelEvidence(ValueError):
    """Bytes that are no evidence of labels."""


def encode(evidence: LabelEvidence) -> bytes:
    """The same evidence gives the same bytes."""
    return _pack.encode(
        LabelWire(
            FORMAT,
            evidence.partition,
            evidence.pair.blue,
            evidence.pair.green,
            evidence.start,
            evidence.position,
            evidence.high,
            {name: evidence.counts[name] for name in COUNTS},
            sorted(evidence.labelled.cohorts.items()),
            evidence.labelled.older,
            tally_wires(evidence.tallies),
        )
    )


def decode(data: bytes) -> LabelEvidence:
    """Raises BadLabelEvidence; UpgradeFirst for a newer format."""
    try:
        format_ = _unpack_format.decode(data).format
        if format_ > FORMAT:
            raise UpgradeFirst(
                f"evidence of labels has format {format_}, this process knows {FORMAT}",
                way_out="upgrade this process first",
            )
        return _from_wire(_unpack.decode(data))
    except ValueError as error:  # msgspec's errors are ValueErrors
        raise BadLabelEvidence(str(error)) from error


def readable(values: Iterable[bytes]) -> list[LabelEvidence]:
    """What is evidence of labels among them. Raises UpgradeFirst."""
    found = []
    for value in values:
        with suppress(BadLabelEvidence):
            found.append(decode(value))
    return found


def _from_wire(wire: LabelWire) -> LabelEvidence:
    if not 0 <= wire.start <= wire.compared:
        raise ValueError(f"labels [{wire.start}, {wire.compared})")
    evidence = LabelEvidence(wire.partition, Pair(wire.blue, wire.green), wire.start, None)
    evidence.position, evidence.high = wire.compared, wire.high
    evidence.counts = Counter({name: wire.counts[name] for name in COUNTS if name in wire.counts})
    evidence.labelled = Labelled(dict(wire.cohorts), wire.older)
    evidence.tallies = tallies_of(wire.tallies)
    return evidence


def fits(evidence: LabelEvidence, gate: Gate) -> bool:
    """Was it counted by this gate?"""
    return fit(evidence.tallies, tallies.begun(gate, labelled=True))
