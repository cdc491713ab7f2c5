"""What a comparator tells Prometheus. Figures of evidence are gauges: they are restored with it after a restart."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import Counter, Gauge

from streambg.comparing.comparison import Comparison
from streambg.comparing.evidence import COUNTS, divergences, drifts
from streambg.deciding.verdict import Word
from streambg.kafka.coreader import Position
from streambg.labelling.evidence import COUNTS as LABEL_COUNTS
from streambg.labelling.stream import Stream
from streambg.records.source import COLORS

SESSIONS = Counter("streambg_comparator_sessions_total", "Reader sessions begun")
ALARMS = Counter("streambg_comparator_alarms_total", "Things a person should look at; the log has their texts")
SNAPSHOTS = Counter("streambg_comparator_snapshots_total", "Snapshots of evidence delivered")
SNAPSHOT_FAILURES = Counter("streambg_comparator_snapshot_failures_total", "Rounds of snapshots not delivered")
NOT_BATCHES = Gauge("streambg_comparator_not_batches", "Records read that are no prediction batch", ["color"])
REDIS_UP = Gauge("streambg_comparator_redis_up", "1 while the live view can be written")
EVENTS = Gauge("streambg_evidence_events", "Counts of the pair in force; see docs", ["partition", "what"])
COMPARED = Gauge("streambg_evidence_compared", "Source offset compared to", ["partition"])
COVERED = Gauge("streambg_evidence_covered", "Source offset that a color's answers reach to", ["partition", "color"])
DROPPED = Gauge("streambg_evidence_dropped_batches", "Batches the fold dropped", ["partition", "color", "why"])
WAITING = Gauge("streambg_comparator_waiting_rows", "Rows that wait for the other color", ["partition", "color"])
LAG = Gauge("streambg_comparator_lag_records", "Prediction batches in the log, not read yet", ["partition", "color"])
DRIFT = Gauge("streambg_evidence_drift_alarms", "ADWIN alarms of the pair in force", ["partition"])
DISTANCE = Gauge(
    "streambg_evidence_drift_distance",
    "The last window of a stream against the stream's first events: psi, js, and what chance makes of psi",
    ["partition", "stream", "measure"],
)
LABELS = Gauge("streambg_labels", "Labels of the pair in force by what became of them", ["partition", "what"])
LABELS_WAITING = Gauge("streambg_labels_waiting", "Labels read that wait for their events", ["partition"])
LABELS_POSITION = Gauge("streambg_labels_position", "Offset that is counted next", ["partition"])
VERDICT = Gauge("streambg_verdict", "1 for the verdict in force", ["word"])
BY_PARTITION = (EVENTS, COMPARED, COVERED, DROPPED, WAITING, LAG, DRIFT, DISTANCE)


def show(comparisons: Mapping[int, Comparison], lags: Mapping[Position, int], not_batches: Mapping[str, int]) -> None:
    """Set every gauge; partitions that went elsewhere are no longer shown."""
    for gauge in BY_PARTITION:
        gauge.clear()
    for partition, comparison in comparisons.items():
        evidence = comparison.evidence
        figures = evidence.figures
        for what in COUNTS:
            EVENTS.labels(partition, what).set(figures.counts[what])
        COMPARED.labels(partition).set(evidence.compared)
        DRIFT.labels(partition).set(sum(drift.alarm_count for drift in drifts(evidence)))
        for each in divergences(evidence):
            DISTANCE.labels(partition, each.stream, "psi").set(each.divergence.psi)
            DISTANCE.labels(partition, each.stream, "expected psi").set(each.divergence.expected_psi)
            DISTANCE.labels(partition, each.stream, "js").set(each.divergence.js)
        for color in COLORS:
            side = comparison.side(color)
            WAITING.labels(partition, color).set(side.rows)
            if side.covered is not None:
                COVERED.labels(partition, color).set(side.covered)
            for why, batches in (figures.colors[color].dropped + side.open_drops).items():
                DROPPED.labels(partition, color, why).set(batches)
            lag = lags.get((color, partition))
            if lag is not None:
                LAG.labels(partition, color).set(lag)
    for name, records in not_batches.items():
        NOT_BATCHES.labels(name).set(records)


def show_labels(streams: Mapping[int, Stream]) -> None:
    """Set the labels' gauges, by label partition."""
    for gauge in (LABELS, LABELS_WAITING, LABELS_POSITION):
        gauge.clear()
    for partition, stream in streams.items():
        LABELS_WAITING.labels(partition).set(stream.waiting)
        LABELS_POSITION.labels(partition).set(stream.evidence.position)
        for what in LABEL_COUNTS:
            LABELS.labels(partition, what).set(stream.evidence.counts[what])


def show_verdict(word: Word | None) -> None:
    """None: nobody is judged."""
    VERDICT.clear()
    if word is not None:
        VERDICT.labels(word).set(1)
