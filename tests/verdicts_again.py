"""Every verdict given a second time, without interruption, from the same topics: what it must say (P30, P32, P33).

A verdict names the source positions of its evidence and the offsets of its labels. So whoever reads the topics in one
go, in a process that nobody kills, comes by these positions and must find the same there, bit for bit: digest, drift
alarms, e-values, word and reasons. What depends on the moment (who is behind, for how long) is taken from the verdict.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
from label_room import Room, advance

from streambg.comparing.comparison import Comparison
from streambg.comparing.evidence import Evidence
from streambg.comparing.evidence_log import EvidenceReader
from streambg.comparing.judging import Case, case_of, judge, material_of
from streambg.comparing.locate import Start, locate
from streambg.comparing.pair import Pair, Terms, pair_of, terms_of
from streambg.comparing.probe import Probe
from streambg.comparing.site import site_of
from streambg.comparing.snapshot import decode, encode
from streambg.comparing.told import Told
from streambg.config import Pipeline
from streambg.control import verbs
from streambg.control.fold import Entry
from streambg.deciding.record import VerdictRecord
from streambg.deciding.record import decode as decode_verdict
from streambg.kafka import profiles
from streambg.kafka.reading import LogReader
from streambg.labelling import evidence as labelling
from streambg.labelling.evidence import LabelEvidence
from streambg.labelling.rows import Layout, Waiting, layout_of
from streambg.labelling.stream import Fetched, Stream
from streambg.records import batch as batches
from streambg.records.source import COLORS, Color, other
from streambg.rollout.controller import ACTOR
from streambg.rollout.decide import Act, decide
from streambg.rollout.look import Facts, look_of

FOR_EVER = 10**9


@dataclass(frozen=True, slots=True)
class Seen:
    """What was found at the positions that verdicts name, by partition and position."""

    evidence: Mapping[int, Mapping[int, Evidence]]
    labels: Mapping[int, Mapping[int, LabelEvidence]]


def verdicts(pipeline: Pipeline) -> list[VerdictRecord]:
    """All that stand in their topic."""
    with LogReader(profiles.reader(pipeline, "test")) as log:
        messages = [m for some in log.read(pipeline.topics.verdicts, 0, 0, FOR_EVER) for m in some]
    return [decode_verdict(message.value() or b"") for message in messages]


def again(pipeline: Pipeline, entries: Sequence[Entry], records: Sequence[VerdictRecord]) -> list[VerdictRecord]:
    """Each verdict anew. All must be about one pair of deployments."""
    states = {entry.offset: entry.state for entry in entries if entry.accepted}
    cases = {epoch: case_of(states[epoch]) for epoch in {record.epoch for record in records}}
    last = states[max(cases)]
    pair, terms = pair_of(last), terms_of(last)
    assert pair is not None
    seen = walked(pipeline, pair, terms, records)
    return [_judged(record, cases[record.epoch], seen, pipeline.name) for record in records]


def _judged(record: VerdictRecord, case: Case | None, seen: Seen, pipeline: str) -> VerdictRecord:
    assert case is not None, f"nobody was to be judged at epoch {record.epoch}"
    parts = [seen.evidence[int(partition)][at] for partition, at in record.compared.items()]
    labelled = [seen.labels[int(partition)][at] for partition, at in record.labels.items()]
    horizon_ms = case.gate.labels.horizon_ms if case.gate.labels else 0

    def judged(obstacles: Sequence[str]) -> VerdictRecord:
        return judge(case, material_of(parts, obstacles, labelled, horizon_ms), pipeline, record.at_ms)

    # who was behind at that moment, and by how long, nobody can compute again: those words are taken over
    bare = judged(())
    return judged(record.blocked[: len(record.blocked) - len(bare.blocked)])


# -- the topics in one go -------------------------------------------------------------------------------------------


def walked(pipeline: Pipeline, pair: Pair, terms: Terms, records: Sequence[VerdictRecord]) -> Seen:
    """Both predictions and the labels, from where evidence begins, with a copy at each position."""
    compared = _named(record.compared for record in records)
    found, rows = dict[int, dict[int, Evidence]](), list[Waiting]()
    with LogReader(profiles.reader(pipeline, "test")) as log:
        for partition, positions in compared.items():
            found[partition], more = _compared(pipeline, log, pair, terms, partition, positions)
            rows += more
        labelled = {
            partition: _labelled(pipeline, log, pair, terms, partition, positions, rows)
            for partition, positions in _named(record.labels for record in records).items()
        }
    return Seen(found, labelled)


def _named(places: Iterable[Mapping[str, int]]) -> dict[int, set[int]]:
    named: dict[int, set[int]] = {}
    for each in places:
        for partition, at in each.items():
            named.setdefault(int(partition), set()).add(at)
    return named


def _compared(
    pipeline: Pipeline, log: LogReader, pair: Pair, terms: Terms, partition: int, positions: Collection[int]
) -> tuple[dict[int, Evidence], list[Waiting]]:
    comparison = _begun(pipeline, pair, terms, partition)
    logs = {color: _Log(pipeline, log, comparison, color) for color in COLORS}
    found, rows = dict[int, Evidence](), list[Waiting]()
    for at in sorted(positions):
        # evidence stands where a batch of one color ends; of the other color whatever reaches there
        border = next((color for color in COLORS if at in logs[color].borders), None)
        if border is not None:
            logs[border].offer_to(at)
            logs[other(border)].offer_to(at)
        while comparison.advance():
            rows += [row for packed in comparison.take_packed() for row in packed.rows]
        assert comparison.evidence.compared == at, f"{comparison.evidence.compared} of {partition}, a verdict says {at}"
        found[at] = decode(encode(comparison.snapshot())).evidence
    for color in COLORS:
        logs[color].offer_to(FOR_EVER)  # labels may be of events that no verdict had seen
    while comparison.advance():
        rows += [row for packed in comparison.take_packed() for row in packed.rows]
    return found, rows


class _Log:
    """One color's predictions from where the comparison begins, offered as far as is asked."""

    def __init__(self, pipeline: Pipeline, log: LogReader, comparison: Comparison, color: Color) -> None:
        self._comparison, self._color, self._next = comparison, color, 0
        topic, first = pipeline.topics.predictions(color), comparison.side(color).next_offset
        messages = [m for some in log.read(topic, comparison.partition, first, FOR_EVER) for m in some]
        self._records = [(m.offset() or 0, len(m.value() or b""), batches.decode(m.value() or b"")) for m in messages]
        self.borders = {batch.upto for _, _, batch in self._records}

    def offer_to(self, at: int) -> None:
        """Until this color covers the source offset, and no further than the batch that reaches there."""
        side = self._comparison.side(self._color)
        while self._next < len(self._records) and (side.covered is None or side.covered < at):
            self._comparison.offer(self._color, *self._records[self._next])
            self._next += 1


def _begun(pipeline: Pipeline, pair: Pair, terms: Terms, partition: int) -> Comparison:
    probe = Probe(site_of(pipeline, 9).reader)
    try:
        logs = {color: probe.log(pipeline.topics.predictions(color), partition) for color in COLORS}
        start = locate(pair, logs)
    finally:
        probe.close()
    assert isinstance(start, Start)
    comparison = Comparison.begin(partition, pair, terms, dict(start.places), start.compared)
    comparison.control(FOR_EVER)
    return comparison


def _labelled(
    pipeline: Pipeline,
    log: LogReader,
    pair: Pair,
    terms: Terms,
    partition: int,
    positions: Collection[int],
    rows: Sequence[Waiting],
) -> dict[int, LabelEvidence]:
    layout, gate = layout_of(terms), terms.gate
    assert isinstance(layout, Layout)
    assert gate is not None
    start = _label_start(pipeline, pair, partition)
    stream, room = Stream(LabelEvidence(partition, pair, start, gate), layout), Room(rows)
    found = {start: labelling.decode(labelling.encode(stream.evidence))}
    for message in (m for some in log.read(layout.labels.topic, partition, start, FOR_EVER) for m in some):
        stream.offer(Fetched(partition, message.offset() or 0, message.timestamp()[1], message.value()))
        if (message.offset() or 0) + 1 in positions:
            advance(stream, room, terms)
            found[stream.evidence.position] = labelling.decode(labelling.encode(stream.evidence))
    return found


def _label_start(pipeline: Pipeline, pair: Pair, partition: int) -> int:
    reader = EvidenceReader(profiles.reader(pipeline, "test"), pipeline.topics.evidence)
    try:
        reader.catch_up()
        value = reader.value(pair.label_key(partition))
    finally:
        reader.close()
    assert value is not None, f"no evidence of labels was kept of partition {partition}"
    return labelling.decode(value).start


# -- the decisions --------------------------------------------------------------------------------------------------


def differences(pipeline: Pipeline) -> tuple[int, list[str]]:
    """How many verdicts and decisions were looked at; and those that an uninterrupted reader comes to otherwise.

    A verdict that was not given is put among them: one that says of some positions what is true of others.
    """
    entries, records = verbs.entries(pipeline), verdicts(pipeline)
    planted = _of_other_positions(records)
    *computed, found = again(pipeline, entries, [*records, planted])
    wrong = [
        f"verdict of {record.at_ms}: {_unlike(record, anew)}"
        for record, anew in zip(records, computed, strict=True)
        if record != anew
    ]
    wrong += ["the planted verdict was not noticed"] if found == planted else []
    acts = [entry for entry in entries if entry.accepted and entry.envelope and entry.envelope.actor == ACTOR]
    wrong += [why for entry in acts if (why := _decided_otherwise(entry, entries, computed))]
    return len(records) + len(acts), wrong


def _of_other_positions(records: Sequence[VerdictRecord]) -> VerdictRecord:
    last = records[-1]
    # where every verdict is of the same positions: of none
    other = next((each.compared for each in records if each.compared != last.compared), {})
    return msgspec.structs.replace(last, compared=other)


def _unlike(record: VerdictRecord, anew: VerdictRecord) -> str:
    told, found = msgspec.structs.asdict(record), msgspec.structs.asdict(anew)
    return "; ".join(f"{name}: {told[name]} and {found[name]}" for name in told if told[name] != found[name])[:500]


def _decided_otherwise(entry: Entry, entries: Sequence[Entry], computed: Sequence[VerdictRecord]) -> str | None:
    """The controller's decision, made again on the verdict whose evidence it names."""
    assert entry.envelope is not None
    before = [each for each in entries if each.accepted and each.offset < entry.offset]
    rollout, digest = before[-1].state.rollout, entry.envelope.args["evidence"]
    assert rollout is not None
    entered_ms = next(each.appended_ms for each in before if each.offset == rollout.entered)
    found = []
    for record in (each for each in computed if each.digest == digest):
        facts = Facts(entry.appended_ms, entered_ms, Told(record.word, record.reasons, record), paused=False)
        found.append(decide(rollout, look_of(rollout, facts)))
    if any(isinstance(each, Act) and each.verb == entry.envelope.verb for each in found):
        return None
    return f"{entry.envelope.verb} at epoch {entry.offset} on {digest}: from the topics {found or 'nothing'}"
