"""The product's own publisher core writes what the audit passes: two codes, one protocol (P14-P19, P34)."""

from __future__ import annotations

import random
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from recorded import RULES, Rec, Recording, Shape, record
from recorded_scoring import START_MS

from streambg.audit import audit_records
from streambg.control.fold import ControlFold, Entry
from streambg.publishing.answers import Fetch
from streambg.publishing.outcomes import Home, Records
from streambg.publishing.partition import Partition
from streambg.records import batch as batches
from streambg.records.cutover import encode_cutover
from streambg.records.source import COLORS, Color

Script = list[tuple[str, dict[str, object]]]
Commands = tuple[tuple[float, str, dict[str, object]], ...]
PROMOTE: tuple[str, dict[str, object]] = ("promote", {})
SCRIPTS: list[Script] = [
    [("shift", {"weight": 4_000}), PROMOTE, ("rollback", {}), PROMOTE],
    [("shift", {"weight": 10_000}), ("abort", {}), ("deploy", {"color": "green", "model": "fraud:5"})],
    [("shift", {"weight": 500}), ("shift", {"weight": 9_000}), PROMOTE, ("retire", {"color": "blue"})],
    [
        PROMOTE,
        ("deploy", {"color": "blue", "model": "fraud:3", "gives_up_rollback": True}),
        ("shift", {"weight": 5_000}),
    ],
    [
        ("shift", {"weight": 7_000}),
        ("deploy", {"color": "blue", "model": "fraud:1", "rescore": True}),
        ("shift", {"weight": 7_000}),
    ],
]


class Run:
    """Arrivals and commands in time order drive one partition's core; a deadline passes when nothing comes before."""

    def __init__(self, recording: Recording, partition: int, entries: list[Entry], chance: random.Random) -> None:
        self.recording, self.partition, self.random = recording, partition, chance
        home = Home(recording.input_topic, partition, recording.input_topic_id or "", "cluster")
        self.core = Partition(home, -1, -1, dict.fromkeys(COLORS, (0, None)), 0)
        self.now = START_MS
        self.times: list[int] = []
        arrivals: list[tuple[int, Color, Rec]] = [
            (one.time, color, one) for color in COLORS for one in recording.log(color, partition)
        ]
        self.arrivals = sorted(arrivals, key=lambda item: item[0])
        self.entries = list(entries)
        recording.logs["output", partition] = []
        recording.logs["dead-letters", partition] = []

    def run(self) -> None:
        while self.arrivals or self.entries or self.core.deadline():
            arrival = self.arrivals[0][0] if self.arrivals else 10**15
            command = self.entries[0].appended_ms if self.entries else 10**15
            due = self.core.deadline()
            fires = int(due[2] * 1_000) if due else 10**15
            self.now = max(self.now, min(arrival, command, fires))
            if command <= min(arrival, fires):
                entry = self.entries.pop(0)
                self.core.control(entry.state, entry.offset)
            elif arrival <= fires:
                time, color, one = self.arrivals.pop(0)
                batch = batches.decode(one.value or b"")
                self.core.offer(color, Fetch(one.offset, len(one.value or b""), time / 1_000, batch))
            elif due is not None:
                self.core.fire(due[0])
            while (records := self.core.advance(self.random.choice([1, 5, 1_000]))) is not None:
                self.write(records)
        self.recording.positions[self.partition] = self.core.settled

    def write(self, records: Records) -> None:
        self.now += 1
        output = self.recording.log("output", self.partition)
        for key, value, headers in zip(records.keys, records.values, records.headers, strict=True):
            header = headers[0][1]
            assert isinstance(header, bytes)
            output.append(Rec(len(output), self.now, key, value, header))
        letters = self.recording.log("dead-letters", self.partition)
        for key, value in records.dead_letters:
            letters.append(Rec(len(letters), self.now, key, value))
        for cutover in records.cutovers:
            log = self.recording.log("cutovers")
            log.append(Rec(len(log), self.now, cutover.key, encode_cutover(cutover)))


def published(shape: Shape) -> Recording:
    """The recording of honest scorers, published by the core instead of the model."""
    recording = record(shape)
    recording.logs["cutovers", 0] = []
    fold = ControlFold()
    entries = [fold.step(one.offset, one.time, one.value) for one in recording.log("control")]
    for partition in range(recording.width):
        Run(recording, partition, entries, random.Random(shape.seed)).run()
    return recording


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from(SCRIPTS),
    st.builds(
        Shape,
        commands=st.just(()),
        rules=st.fixed_dictionaries(
            {
                **{name: st.just(value) for name, value in RULES.items()},
                "late_live_ms": st.sampled_from([None, 500]),
                "late_candidate_ms": st.sampled_from([None, 500, 2_000]),
                "live_failed": st.sampled_from(["candidate", "dead-letter"]),
                "bucket_field": st.sampled_from([None, "machine"]),
            }
        ),
        partitions=st.just(1),
        events=st.just(120),
        batch=st.sampled_from([1, 9, 40]),
        errors=st.sampled_from([0.0, 0.1]),
        silent=st.sampled_from([0.0, 0.1]),
        repeats=st.sampled_from([0.0, 0.3]),
        outages=st.sampled_from([(), ((0.3, 0.5),), ((0.2, 0.25), (0.7, 0.9))]),
        wobbles=st.just((-200,)),  # seeded before settled, whatever the publisher has to wait for
        seed=st.integers(0, 10**6),
    ),
)
def test_P34_what_the_publishers_core_writes_passes(script: Script, shape: Shape) -> None:
    recording = published(replace(shape, commands=said(script)))
    report = audit_records(recording)
    assert report.ok, report.findings
    assert report.events == sum(1 for one in recording.log("input") if one.offset <= recording.positions[0])
    waits_for_ever = shape.rules["late_candidate_ms"] is None or shape.rules["late_live_ms"] is None
    assert waits_for_ever or report.events == shape.events


def test_P15_the_publishers_core_gives_every_reason() -> None:
    """So that the property above is about all of them."""
    weighted: Commands = ((0.1, "shift", {"weight": 9_000}), (0.8, "abort", {}))
    commands = (*said([]), *weighted)
    shape = Shape(commands, partitions=1, outages=((0.4, 0.5),), errors=0.1, silent=0.1, wobbles=(-200,))
    report = audit_records(published(shape))
    assert report.ok, report.findings
    assert report.by_why.keys() == {"route", "absent", "error", "late", "dead-letter"}
    assert report.cutover_delay.cutovers == 3


def said(script: Script) -> Commands:
    """Two deploys, then the script, spread over the events."""
    deploys: list[tuple[float, str, dict[str, object]]] = [
        (0.0, "deploy", {"color": "blue", "model": "fraud:1"}),
        (0.05, "deploy", {"color": "green", "model": "fraud:2"}),
    ]
    return (*deploys, *((0.15 * number + 0.2, verb, args) for number, (verb, args) in enumerate(script)))
