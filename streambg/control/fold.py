"""The fold over the control log's records: bytes in, state and what became of each record out (P1, P4, P5)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from pydantic import ValidationError

from streambg.control.commands import NEWEST_FORMAT, Envelope, one_line
from streambg.control.machine import apply
from streambg.control.moves import Rejected
from streambg.control.state import ControlState
from streambg.errors import UpgradeFirst
from streambg.records.foreign import shallow


@dataclass(frozen=True, slots=True)
class Entry:
    """One record and what became of it. `refusal` is None where the command was accepted."""

    offset: int
    appended_ms: int
    envelope: Envelope | None
    refusal: str | None
    state: ControlState  # in force after this record

    @property
    def accepted(self) -> bool:
        return self.refusal is None


def why_aborted(entries: Iterable[Entry]) -> str:
    """Of a candidate that is aborted: by whom and why, `aborted by mara@ops: too many errors`.

    entries: the last ones of the log, oldest first; where the abort is older than all of them it is not named.
    """
    for entry in reversed(tuple(entries)):
        envelope = entry.envelope
        if entry.accepted and envelope is not None and envelope.verb in ("abort", "rollout-abort"):
            return f"aborted by {envelope.actor}" + (f": {envelope.reason}" if envelope.reason else "")
    return "aborted: streambg history says by whom and why"


class ControlFold:
    """Folds the log in order. Every process gives the same states for the same records (I8)."""

    def __init__(self, ignore_records: Collection[int] = ()) -> None:
        self.state = ControlState()
        self.folded = -1  # the last offset folded
        self.refusals: Counter[str] = Counter()  # kind -> records, for metrics
        self._ids: set[str] = set()
        self._ignored = frozenset(ignore_records)

    def step(self, offset: int, appended_ms: int, value: bytes | None) -> Entry:
        """Fold one record. Raises UpgradeFirst for a newer format (P5): old and new code must not fold differently."""
        envelope: Envelope | None = None
        if offset in self._ignored:
            kind, refusal = "ignored", "ignored by --ignore-record"
        else:
            envelope, kind, refusal = self._judge(offset, appended_ms, value)
        self.folded = offset
        if refusal:
            self.refusals[kind] += 1
        return Entry(offset, appended_ms, envelope, refusal or None, self.state)

    def _judge(self, offset: int, appended_ms: int, value: bytes | None) -> tuple[Envelope | None, str, str]:
        envelope = _envelope(offset, value)
        if isinstance(envelope, str):
            return None, "no envelope", envelope
        if envelope.id in self._ids:
            return envelope, "repeated", f"a command with id {envelope.id} was folded already"
        self._ids.add(envelope.id)
        if not envelope.known:
            return envelope, "unknown verb", f"unknown verb {envelope.verb!r} of format {envelope.format}"
        if appended_ms > envelope.time + envelope.expires_ms:
            return (
                envelope,
                "expired",
                f"expired: sent at {envelope.time} ms, appended at {appended_ms} ms, allowed {envelope.expires_ms}",
            )
        try:
            args = envelope.parsed()
        except ValueError as error:
            return envelope, "bad arguments", f"{envelope.verb}: {error}"
        verdict = apply(self.state, offset, envelope.verb, envelope.expected_epoch, args)
        if isinstance(verdict, Rejected):
            return envelope, "refused", verdict.reason
        self.state = verdict
        return envelope, "", ""


def _envelope(offset: int, value: bytes | None) -> Envelope | str:
    try:
        text = (value or b"").decode(json.detect_encoding(value or b""), "surrogatepass")  # as json reads bytes
        data = json.loads(shallow(text))
    except ValueError:
        return "no envelope: not JSON"
    format_ = data.get("format") if isinstance(data, dict) else None
    if not isinstance(format_, int) or isinstance(format_, bool):
        return "no envelope: no `format`"
    if format_ > NEWEST_FORMAT:
        raise UpgradeFirst(
            f"control record {offset} has format {format_}, this process knows {NEWEST_FORMAT}",
            way_out=f"upgrade this process first; past a forged record: --ignore-record {offset}, given to all "
            f"processes, or STREAMBG_IGNORE_RECORDS={offset} for everything, verbs too (docs/operations.md)",
        )
    try:
        return Envelope.model_validate(data)
    except ValidationError as error:
        return f"no envelope: {one_line(error)}"
