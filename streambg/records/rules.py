"""The sections of a pipeline file that decide what is published, as `deploy` carries them (P4).

Folded from the control log by every reader; nobody reads them from a file, so no two processes decide differently.
"""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import msgspec

from streambg.records.foreign import shallow
from streambg.records.gate import Gate
from streambg.records.outcome import DIGEST_DIGITS


class _Decision(msgspec.Struct, frozen=True):
    output: str
    threshold: float


class Rules(msgspec.Struct, frozen=True):
    """What decides, parsed. Unknown keys of the text are kept in its digest and ignored here.

    decode: the hook that makes rows of input values, `module:function`; None: JSON.
    bucket_field: the carried field that buckets hash; None: the record key (P13).
    late_live_ms, late_candidate_ms: how long an answer is waited for; None: for ever (P18).
    live_failed: may the candidate answer where live cannot, at weight > 0 (P16)?
    gate: what decides about a candidate, as plain values (`Gate.from_data`); None: nothing was declared.
    drift: carried fields whose drift is watched.
    """

    outputs: tuple[str, ...]
    decode: str | None = None
    bucket_field: str | None = None
    late_live_ms: int | None = None
    late_candidate_ms: int | None = 2_000
    live_failed: Literal["dead-letter", "candidate"] = "dead-letter"
    decision: _Decision | None = None
    gate: dict[str, Any] | None = None
    drift: tuple[str, ...] = ()

    @property
    def decision_output(self) -> int | None:
        """Column of the scores that the decision is made on."""
        return self.outputs.index(self.decision.output) if self.decision else None

    @property
    def decision_threshold(self) -> float | None:
        return self.decision.threshold if self.decision else None

    @staticmethod
    def from_text(text: str) -> Rules:
        """Raises ValueError with what is wrong."""
        rules = _decoder.decode(shallow(text))
        if rules.decision and rules.decision.output not in rules.outputs:
            raise ValueError(f"decision.output {rules.decision.output!r} is none of the outputs {list(rules.outputs)}")
        if rules.gate is not None:
            Gate.from_data(rules.gate)
        return rules

    @staticmethod
    def digest_of(text: str) -> str:
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()

    @staticmethod
    def short(digest: str) -> str:
        """Its first hex digits: what a committed position says of its writer's pipeline file (P4)."""
        return digest.removeprefix("sha256:")[:DIGEST_DIGITS]


_decoder = msgspec.json.Decoder(Rules)
