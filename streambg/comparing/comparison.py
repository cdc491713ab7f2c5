"""One pair in one partition: the join, the evidence, and the snapshot that holds both together (P30)."""

from __future__ import annotations

from streambg.comparing.evidence import Evidence
from streambg.comparing.pair import Pair, Terms
from streambg.comparing.pairing import CHUNK_ROWS, Pairing
from streambg.comparing.side import Place, Side
from streambg.comparing.snapshot import Snapshot
from streambg.labelling.filling import bounded
from streambg.labelling.rows import Packed, layout_of, pack
from streambg.records.batch import Batch
from streambg.records.source import COLORS, Color


class Comparison:
    """`offer` batches of both colors, `advance`, look at `evidence`, keep a `snapshot`."""

    def __init__(self, evidence: Evidence, places: dict[Color, Place], terms: Terms) -> None:
        self.evidence = evidence
        self.terms = terms
        self.pairing = Pairing(evidence.pair, terms, places, evidence.compared)
        self._layout = layout_of(terms)
        self._packed: list[Packed] = []

    @staticmethod
    def begin(partition: int, pair: Pair, terms: Terms, places: dict[Color, Place], start: int) -> Comparison:
        """New evidence: for the source offsets above `start`, the first `after` of the younger deployment (P31)."""
        return Comparison(Evidence(partition, pair, start, terms.gate), places, terms)

    @staticmethod
    def resume(snapshot: Snapshot, terms: Terms) -> Comparison:
        return Comparison(snapshot.evidence, snapshot.places, terms)

    @property
    def pair(self) -> Pair:
        return self.evidence.pair

    @property
    def partition(self) -> int:
        return self.evidence.partition

    def side(self, color: Color) -> Side:
        return self.pairing.sides[color]

    def control(self, folded: int) -> None:
        for color in COLORS:
            self.side(color).control(folded)

    def offer(self, color: Color, log_offset: int, size: int, batch: Batch | None) -> None:
        """The record at `log_offset` of a color's predictions; None: it is no prediction batch."""
        self.side(color).offer(log_offset, size, batch)

    def advance(self, limit: int = CHUNK_ROWS) -> int:
        """Compare about `limit` rows; how many source offsets further the evidence reaches now, 0: nothing to do."""
        before = self.evidence.compared
        rows = self.pairing.take(limit)
        if rows is None:
            return 0
        self.evidence.add(rows, self.terms)
        if self._layout is not None:
            packed = pack(self.evidence.awaited, self._layout, self.partition, rows, self.terms)
            self._packed = bounded([*self._packed, packed])
        self.evidence.dropped(self.pairing.retire(rows.high, before, self.evidence.start))
        return rows.high - before

    def take_packed(self) -> list[Packed]:
        """What was compared since the last call and waits for labels now."""
        packed, self._packed = self._packed, []
        return packed

    def snapshot(self) -> Snapshot:
        """Of the evidence as it is now: encode it before the next `advance`."""
        return Snapshot(self.evidence, self.pairing.places())
