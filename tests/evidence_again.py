"""Evidence computed a second time, without interruption, from the same topics: what a comparator must come to (P30)."""

from __future__ import annotations

from pipelines import Running

from streambg.comparing.comparison import Comparison
from streambg.comparing.evidence_log import read_evidence
from streambg.comparing.locate import Start, locate
from streambg.comparing.pair import Pair, terms_of
from streambg.comparing.probe import Probe
from streambg.comparing.site import site_of
from streambg.comparing.snapshot import Snapshot
from streambg.kafka import profiles
from streambg.records.batch import decode
from streambg.records.source import COLORS


def evidence(run: Running) -> dict[int, Snapshot]:
    """What stands in the evidence topic, by partition."""
    found = read_evidence(profiles.reader(run.pipeline, "test"), run.pipeline.topics.evidence)
    return {snapshot.evidence.partition: snapshot for snapshot in found}


def uninterrupted(run: Running, pair: Pair) -> dict[int, Snapshot]:
    """The same logs through the same core in one go, in this process."""
    with run.control() as client:
        terms = terms_of(client.state())
    probe = Probe(site_of(run.pipeline, 9).reader)
    found = {}
    try:
        for partition in range(run.partitions):
            logs = {color: probe.log(run.pipeline.topics.predictions(color), partition) for color in COLORS}
            start = locate(pair, logs)
            assert isinstance(start, Start)
            comparison = Comparison.begin(partition, pair, terms, dict(start.places), start.compared)
            comparison.control(10**9)
            for color in COLORS:
                topic = run.pipeline.topics.predictions(color)
                for at in range(start.places[color].log_offset, logs[color].high):
                    value = probe.record(topic, partition, at)
                    comparison.offer(color, at, len(value), decode(value))
            while comparison.advance():
                pass
            found[partition] = comparison.snapshot()
    finally:
        probe.close()
    return found
