"""What an audit counts: findings that fail it, facts that do not, and what could not be verified."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

# How many findings a report shows: enough to see the pattern, few enough to read.
SHOWN = 20


class Kind(StrEnum):
    """Each of these fails the audit; MEANING says what it is."""

    LOST = "lost"
    DOUBLED = "doubled"
    OUT_OF_ORDER = "out_of_order"
    WRONG_COLOR = "wrong_color"
    WRONG_EPOCH = "wrong_epoch"
    EPOCH_BACK = "epoch_back"
    WRONG_VALUE = "wrong_value"
    WRONG_PARTITION = "wrong_partition"
    EXTRA = "extra"
    UNJUSTIFIED = "unjustified"
    CUTOVER = "cutover"
    FOREIGN = "foreign"
    UNCOMMANDED = "uncommanded"
    NOT_SUPERSEDED = "not_superseded"

    @property
    def words(self) -> str:
        return self.value.replace("_", " ")


MEANING: Mapping[Kind, str] = {
    Kind.LOST: "an owed event without an outcome",
    Kind.DOUBLED: "a second outcome of one event",
    Kind.OUT_OF_ORDER: "comes after the outcome of a later event",
    Kind.WRONG_COLOR: "not the color, or not its deployment, that the stamped epoch names",
    Kind.WRONG_EPOCH: "stamped with another epoch than the cutovers say",
    Kind.EPOCH_BACK: "a smaller epoch than the outcome before",
    Kind.WRONG_VALUE: "other bytes than the accepted row's, or another key than the event's",
    Kind.WRONG_PARTITION: "stands in another partition than its event",
    Kind.EXTRA: "an outcome of no event",
    Kind.UNJUSTIFIED: "absent, error, late or a dead letter without the reason in the logs",
    Kind.CUTOVER: "a cutover record and the outcomes contradict each other",
    Kind.FOREIGN: "somebody else's record among the outcomes",
    Kind.UNCOMMANDED: "a superseding record that no command asks for",
    Kind.NOT_SUPERSEDED: "a command is carried out, and a record that it asks for is not there",
}


class Check(StrEnum):
    """What is verified over a range of source offsets (P35)."""

    PRESENCE = "presence"  # lost, extra
    ORDER = "order"  # doubled, out of order, epochs that go back
    ANSWER = "answer"  # color, value, justification
    LATE = "late"  # was the answer really not there in time?


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. `source`: `payments/3@1234`; `record`: where it was found, or "" where it is missing."""

    kind: Kind
    partition: int
    offset: int
    source: str
    record: str
    expected: str
    found: str


class Tally:
    """Counts for one partition; memory does not grow with the number of findings."""

    def __init__(self, input_topic: str, partition: int) -> None:
        self.partition = partition
        self.counts: Counter[Kind] = Counter()
        self.by_color: Counter[str] = Counter()
        self.by_why: Counter[str] = Counter()
        self.events = 0
        self.outcomes = 0
        self.supersedes = 0
        self.unsettled = 0  # outcomes beyond the settled position: not judged yet
        self.gone = 0  # outcomes whose input record expired or was compacted
        self.skipped = 0  # outcomes from before the place where the audit was told to begin
        self.earlier = 0  # records from before this pipeline's first outcome, or of an earlier input topic
        self.unaudited: Counter[Check] = Counter()  # outcomes and events that a check could not judge
        self.blind_upto: dict[Check, int] = {}  # the last source offset a check could not judge
        self._findings: dict[Kind, list[Finding]] = {kind: [] for kind in Kind}
        self._input_topic = input_topic

    def shows(self, kind: Kind) -> bool:
        """Is another finding of this kind worth its words?"""
        return len(self._findings[kind]) < SHOWN

    def add(self, kind: Kind, offset: int, expected: str, found: str, record: str = "") -> None:
        self.counts[kind] += 1
        self.show(kind, offset, expected, found, record)

    def show(self, kind: Kind, offset: int, expected: str, found: str, record: str = "") -> None:
        """A finding that was counted elsewhere."""
        if self.shows(kind):
            source = f"{self._input_topic}/{self.partition}@{offset}"
            self._findings[kind].append(Finding(kind, self.partition, offset, source, record, expected, found))

    def missing(self, kind: Kind, number: int, first: list[int], expected: str) -> None:
        """So many records are not there; their number may also fall, where one comes late."""
        self.counts[kind] = number
        self._findings[kind].clear()
        for offset in first:
            self.show(kind, offset, expected, "none")

    def blind(self, check: Check, offset: int, number: int = 1) -> None:
        """`check` could not judge `number` outcomes or events up to `offset`."""
        self.unaudited[check] += number
        self.blind_upto[check] = max(offset, self.blind_upto.get(check, offset))

    def findings(self) -> list[Finding]:
        return [finding for findings in self._findings.values() for finding in findings]


def choose(findings: list[Finding]) -> list[Finding]:
    """The first SHOWN by source position, but each kind gets its turn: a flood of one hides no other."""
    queues = [[f for f in findings if f.kind is kind] for kind in Kind]
    for queue in queues:
        queue.sort(key=lambda f: (f.partition, f.offset), reverse=True)
    chosen: list[Finding] = []
    while len(chosen) < SHOWN and any(queues):
        for queue in queues:
            if queue and len(chosen) < SHOWN:
                chosen.append(queue.pop())
    return sorted(chosen, key=lambda f: (f.partition, f.offset, f.kind))
