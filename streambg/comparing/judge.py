"""Gives verdicts while evidence grows, and writes them: the loop around judging.py, on the event loop.

One comparator judges for the pipeline: the one that partition 0 came to. Of partitions that came to others it reads
what they keep in the evidence topic, some seconds old: a verdict is then of less, never of other, evidence.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import structlog

from streambg.comparing import metrics
from streambg.comparing.desk import Desk
from streambg.comparing.evidence import Evidence
from streambg.comparing.evidence_log import EvidenceReader, RecordWriter
from streambg.comparing.judging import (
    Case,
    Material,
    aborted_case,
    behind_ms,
    case_of,
    judge,
    material_of,
    obstacles_of,
)
from streambg.comparing.pair import Pair
from streambg.comparing.session import Session
from streambg.comparing.site import Site
from streambg.comparing.told import AGAIN_S, told
from streambg.control.fold import Entry, why_aborted
from streambg.control.state import ControlState
from streambg.deciding.record import VerdictRecord, encode
from streambg.errors import SessionEnded, Unreachable
from streambg.labelling.desk import LabelDesk
from streambg.labelling.evidence import LabelEvidence, readable

# While a rollout is under way: its steps wait for numbers of events.
ROLLING_S = 2.0

log = structlog.get_logger("streambg.comparator")


class Judge:
    """`look` again and again; `latest` is the last verdict of the case that is in force, None where there is none."""

    def __init__(self, site: Site, desk: Desk, labels: LabelDesk, writer: RecordWriter) -> None:
        self.latest: VerdictRecord | None = None
        self.why_not = "nothing was judged yet"
        self._site = site
        self._desk = desk
        self._labels = labels
        self._writer = writer
        self._others: EvidenceReader | None = None
        self._since_ms = int(time.time() * 1_000)
        self._written: tuple[object, ...] | None = None
        self._written_at = float("-inf")
        self._judged: tuple[object, ...] | None = None

    def close(self) -> None:
        if self._others is not None:
            self._others.close()

    def page(self, state: ControlState, entries: Iterable[Entry], now_ms: int) -> dict[str, Any]:
        """What the last verdict says now, as `/verdict` shows it; `ok` where that is promote. From any thread.

        entries: the last ones of the control log; of a candidate that was aborted they say why. A verdict that nobody
        has renewed, or of another pair than the one in force, is `continue`, as for everybody else: the event loop, on
        which `look` runs, may stand still while this is asked.
        """
        if aborted_case(state) is not None:
            return {"ok": False, "word": "abort", "reasons": [why_aborted(entries)]}
        record, case = self.latest, case_of(state)
        if record is None or case is None:
            return {"ok": False, "reasons": [self.why_not]}
        found = told([record], case, now_ms)
        plain: dict[str, Any] = msgspec.to_builtins(record)
        return {"ok": found.word == "promote", **plain, "word": found.word, "reasons": list(found.reasons)}

    async def look(self, state: ControlState, session: Session | None) -> None:
        """Judge what there is now, and write it where it is news. Raises UpgradeFirst for a newer gate."""
        case = case_of(state)
        if case is None or session is None or 0 not in session.partitions:
            self.latest, self._written = None, None
            self.why_not = _why_not(case, session)
            metrics.show_verdict(None)
            return
        pair = Pair(
            *(each.id for each in sorted((case.candidate, case.against), key=lambda each: each.color == "green"))
        )
        material = await self._material(case, pair, session)
        again_s = ROLLING_S if state.rollout is not None and state.rollout.active else AGAIN_S
        seen = (
            case.epoch,
            pair,
            case.watched,
            tuple(material.compared.items()),
            tuple(material.labels.items()),
            material.obstacles,
        )
        now = time.monotonic()
        if seen == self._judged and self.latest is not None and now - self._written_at < again_s:
            return
        # some milliseconds a test: apart from the event loop, on values of its own
        record = await asyncio.to_thread(judge, case, material, self._site.pipeline, int(time.time() * 1_000))
        self._judged, self.latest = seen, record
        metrics.show_verdict(record.word)
        if record.decision != self._written or now - self._written_at >= again_s:
            await self._write(record, now)

    async def _material(self, case: Case, pair: Pair, session: Session) -> Material:
        elsewhere = [number for number in range(session.total) if number not in session.partitions]
        others, labelled = await asyncio.to_thread(self._read, pair, elsewhere) if elsewhere else ([], [])
        # from here on without a pause: what the desk holds is consistent only until the next piece of work
        own = {number: comparison for number, comparison in self._desk.comparisons.items() if comparison.pair == pair}
        candidate, now_ms = case.candidate.color, int(time.time() * 1_000)
        behind = {number: behind_ms(each, candidate, now_ms, self._since_ms) for number, each in own.items()}
        missing = sorted(set(elsewhere) - {part.partition for part in others})
        obstacles = obstacles_of(candidate, case.gate, behind, session.unanswered, missing)
        labels = case.gate.labels
        if labels is None:
            return material_of([*(each.evidence for each in own.values()), *others], obstacles)
        read = {each.partition: each for each in labelled}
        read |= {each.partition: each for each in self._labels.evidence() if each.pair == pair}
        by_partition = [each for _, each in sorted(read.items())]
        parts = [*(each.evidence for each in own.values()), *others]
        return material_of(parts, obstacles, by_partition, labels.horizon_ms)

    def _read(self, pair: Pair, partitions: Sequence[int]) -> tuple[list[Evidence], list[LabelEvidence]]:
        """Of partitions that others compare, and of every partition of labels."""
        if self._others is None:
            self._others = EvidenceReader(self._site.reader, self._site.evidence)
        try:
            self._others.catch_up()
        except SessionEnded as error:
            log.warning("evidence_of_others_not_read", why=error.what)
            return [], []
        kept = [self._others.best(pair, number) for number in partitions]
        labelled = readable(self._others.labels(pair))
        return [snapshot.evidence for snapshot in kept if snapshot is not None], labelled

    async def _write(self, record: VerdictRecord, now: float) -> None:
        key = f"{record.deployment}/{record.against}".encode()
        try:
            await asyncio.to_thread(self._writer.write, self._site.verdicts, [(key, encode(record))])
        except Unreachable as error:
            log.warning("verdict_not_delivered", why=error.what)
            return
        if record.decision != self._written:
            log.info("verdict", word=record.word, candidate=record.candidate, reasons=record.reasons[:3])
        self._written, self._written_at = record.decision, now


def _why_not(case: Case | None, session: Session | None) -> str:
    if case is None:
        return "no candidate is under test, or its deploy declared no metrics"
    if session is None:
        return "the comparator is between two sessions"
    return "the comparator that has partition 0 judges"
