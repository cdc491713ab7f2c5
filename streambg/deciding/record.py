"""A verdict as it is written: one JSON record of `<p>.verdicts`, and what `streambg verdict` and HTTP say."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec

from streambg.deciding.tallies import Merged
from streambg.deciding.verdict import Test, Verdict, Word
from streambg.errors import UpgradeFirst
from streambg.records.foreign import decoded
from streambg.records.source import Color

FORMAT = 1


class Drifted(msgspec.Struct, frozen=True):
    """A stream's mean changed from `before` to `after`; source offsets: about `since`, noticed `at`.

    measure: `mean` (ADWIN), or `psi` of a window against the stream's first events; value reached the limit. alike:
    the other color's stream did the same: it is the input that drifts.
    """

    partition: int
    stream: str
    since: int
    at: int
    before: float
    after: float
    measure: str = "mean"
    value: float = 0.0
    limit: float = 0.0
    alike: bool = False

    @property
    def key(self) -> str:
        return f"{self.partition}/{self.stream}/{self.measure}/{self.at}"


class Distance(msgspec.Struct, frozen=True):
    """How far the last window of a stream, source offsets [since, upto], lies from the stream's first events.

    In the partition where that is furthest; expected_*: what chance alone makes of it (deciding/divergence.py).
    """

    partition: int
    stream: str
    since: int
    upto: int
    psi: float
    expected_psi: float
    limit: float
    js: float
    expected_js: float


class VerdictRecord(msgspec.Struct, frozen=True):
    """candidate: the color that is judged; after its promote (`watched`) it is live, and `abort` means roll back.

    deployment, against: the ids of both, epoch: of the control log when it was judged. digest: of the evidence.
    compared: source offset by partition; events: matched in all, coverage: of what was owed. ready: all is there to
    promote, even where only a person may. noise: of two deployments with one digest (A/A), by metric that lies between
    the colors: its mean is at most this share of the range, which may be declared as its `floor`. at_ms: ms since 1970.
    drifted: the last drift alarms, distances: how far each stream is from its beginning; both decide nothing. labels:
    by partition of their topic, the offset counted next.
    """

    format: int
    at_ms: int
    pipeline: str
    word: Word
    ready: bool
    watched: bool
    reasons: tuple[str, ...]
    candidate: Color
    model: str
    deployment: int
    against: int
    epoch: int
    digest: str
    compared: dict[str, int]
    events: int
    coverage: float
    tests: tuple[Test, ...]
    noise: dict[str, float] = {}
    blocked: tuple[str, ...] = ()
    blocked_labels: tuple[str, ...] = ()
    only_a_person: str = ""
    drifted: tuple[Drifted, ...] = ()
    labels: dict[str, int] = {}
    distances: tuple[Distance, ...] = ()

    @property
    def verdict(self) -> Verdict:
        return Verdict(
            self.word, self.reasons, self.tests, self.ready, self.blocked, self.blocked_labels, self.only_a_person
        )

    @property
    def decision(self) -> tuple[object, ...]:
        """What is news when it changes; e-values and event counts change with every look."""
        good = frozenset(test.name for test in self.tests if test.good)
        free = not self.blocked, not self.blocked_labels
        drifts = tuple(each.key for each in self.drifted)
        return self.deployment, self.against, self.watched, self.word, self.ready, good, free, drifts


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(VerdictRecord).decode


class _Format(msgspec.Struct):
    format: int


_decode_format = msgspec.json.Decoder(_Format).decode


def encode(record: VerdictRecord) -> bytes:
    return _encode(record)


def decode(data: bytes) -> VerdictRecord:
    """Raises ValueError for what is no verdict, UpgradeFirst for a newer format."""
    if decoded(_decode_format, data).format > FORMAT:
        raise UpgradeFirst("a verdict has a newer format than this process knows", way_out="upgrade this process first")
    return _decode(data)


def digest_of(compared: Mapping[int, tuple[int, int]], counts: Mapping[str, int], merged: Mapping[str, Merged]) -> str:
    """`sha256:...` of what a verdict was made from: compared is (start, compared) by partition; no float is in it."""
    hasher = hashlib.sha256()
    hasher.update(msgspec.json.encode([sorted(compared.items()), sorted(counts.items())]))
    for name, each in sorted(merged.items()):
        hasher.update(name.encode() + b"\0" + each.counts.astype("<i8").tobytes() + each.failed.to_bytes(8, "little"))
    return "sha256:" + hasher.hexdigest()
