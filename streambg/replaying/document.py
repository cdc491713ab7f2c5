"""The report of a replay as a document: `report.json`. Pure. Its parts: `recorded`, `found`, `plotted`.

The same replay (`Identity.id`) gives the same bytes: no clock and no duration is in it; those stand in `timing.json`.
Two sides are compared: `against` (what was published, a color's stored predictions, or another model) and the model.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from streambg.deciding.verdict import Word
from streambg.errors import UpgradeFirst
from streambg.replaying.found import Agreement, AsIf, Changes, Example, Judged, Labelled, MetricRow, Proof, Side
from streambg.replaying.plotted import Charts
from streambg.replaying.recorded import Counts, Identity, ModelVersion

FORMAT = 1
REPORT_FILE, TIMING_FILE, PAGE_FILE = "report.json", "timing.json", "report.html"


@dataclass(frozen=True, slots=True)
class Scored:
    """One model against the other side. reasons: of its error rows, and how many, the most frequent first."""

    model: ModelVersion
    verdict: Judged
    proof: Proof
    agreement: Agreement
    against: Side
    scores: Side
    metrics: tuple[MetricRow, ...]
    flips: tuple[Changes, ...]
    as_if: AsIf | None
    examples: tuple[Example, ...]
    reasons: tuple[tuple[str, int], ...]
    charts: Charts
    labels: Labelled | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """format: of this document. models: one or more, in the order they were asked for.

    decision, threshold: the output that the decision is made on, and from where on it is yes.
    """

    format: int
    identity: Identity
    decision: str
    threshold: float | None
    counts: Counts
    models: tuple[Scored, ...]

    @property
    def id(self) -> str:
        return self.identity.id

    @property
    def exit_code(self) -> int:
        """Of the least good verdict: abort, then inconclusive, then continue, then promote."""
        return max((scored.verdict for scored in self.models), key=lambda each: SEVERITY.index(each.word)).exit_code


SEVERITY: tuple[Word, ...] = ("promote", "continue", "inconclusive", "abort")


@dataclass(frozen=True, slots=True)
class Latency:
    """Of the model alone: what `predict_many` with its checks took an event, microseconds."""

    model: str
    mean_us: float
    p50_us: float
    p99_us: float


@dataclass(frozen=True, slots=True)
class Timing:
    """`timing.json`: what differs from run to run. started_ms: since 1970; seconds: of all of it, resumed ones too."""

    id: str
    started_ms: int
    seconds: float
    events: int
    events_per_second: float
    workers: int
    models: tuple[Latency, ...]


def encode(document: Report | Timing) -> bytes:
    """The same document gives the same bytes, indented for people, with a newline at the end."""
    return msgspec.json.format(msgspec.json.encode(document, order="sorted"), indent=2) + b"\n"


class _Format(msgspec.Struct):
    format: int


def decode(data: bytes) -> Report:
    """Raises ValueError for what is no report, UpgradeFirst for a newer format."""
    if msgspec.json.decode(data, type=_Format).format > FORMAT:
        raise UpgradeFirst("the report has a newer format than this process knows", way_out="upgrade streambg first")
    return msgspec.json.decode(data, type=Report)


def decode_timing(data: bytes) -> Timing:
    """Raises ValueError."""
    return msgspec.json.decode(data, type=Timing)
