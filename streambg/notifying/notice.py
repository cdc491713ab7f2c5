"""What people are told: one notice for each change of state, verdict and alarm. Pure.

A notice is known by its `id`: the same news has the same id in every controller, so that it is told once.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import msgspec

from streambg.control.fold import Entry
from streambg.control.rollouts import taken_over
from streambg.deciding.record import Drifted

Severity = Literal["info", "warning", "critical"]
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "critical")

# What a person should look at soon, and what took a model out of use. All else is for the record.
_BY_VERB: Mapping[str, Severity] = {
    "abort": "critical",
    "rollback": "critical",
    "rollout-abort": "critical",
    "rollout-rollback": "critical",
    "rollout-hold": "warning",
    "pause": "warning",
    "accept-gap": "critical",
    "supersede": "warning",
}
# An alarm that lasts is told again so often: it was seen, and may have been forgotten.
AGAIN_MS = 3_600_000
_NUMBER = re.compile(r"\d+")
_BY_WORD: Mapping[str, Severity] = {"abort": "critical", "inconclusive": "warning"}


@dataclass(frozen=True, slots=True)
class Notice:
    """One piece of news. time_ms: since 1970. data: what a program wants to know beside the text.

    epoch: in force then; None where a process tells of itself.
    """

    pipeline: str
    kind: Literal["command", "verdict", "alarm"]
    severity: Severity
    text: str
    time_ms: int
    epoch: int | None
    key: str
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The same for the same news, whoever sees it."""
        return hashlib.sha256(f"{self.pipeline}\0{self.kind}\0{self.key}".encode()).hexdigest()[:32]

    def body(self) -> bytes:
        """JSON as it is sent: sorted keys, so that a signature can be computed again."""
        told = {name: value for name, value in asdict(self).items() if name != "key"}
        return json.dumps({**told, "id": self.id}, sort_keys=True, separators=(",", ":"), default=str).encode()


def signature(secret: str, body: bytes) -> str:
    """HMAC-SHA256 of the body, as the header `X-Streambg-Signature` carries it (RFC 2104)."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def at_least(severity: Severity, lowest: Severity) -> bool:
    return SEVERITIES.index(severity) >= SEVERITIES.index(lowest)


def of_command(pipeline: str, entry: Entry) -> Notice | None:
    """An accepted command; None for a refused one, which changed nothing."""
    envelope = entry.envelope
    if envelope is None or not entry.accepted:
        return None
    words = [f"{envelope.verb} by {envelope.actor}"]
    if envelope.reason:
        words.append(envelope.reason)
    ended = taken_over(entry.state.rollout, entry.offset) is not None
    if ended:
        words.append("the rollout ends with it")
    return Notice(
        pipeline,
        "command",
        "warning" if ended and envelope.verb not in _BY_VERB else _BY_VERB.get(envelope.verb, "info"),
        f"{pipeline}: {'; '.join(words)}. In force: {entry.state.summary()}",
        entry.appended_ms,
        entry.offset,
        str(entry.offset),
        {"verb": envelope.verb, "actor": envelope.actor, "reason": envelope.reason},
    )


def of_verdict(pipeline: str, word: str, reasons: tuple[str, ...], pair: str, epoch: int, time_ms: int) -> Notice:
    """A verdict that differs from the one before; `pair` names both deployments."""
    return Notice(
        pipeline,
        "verdict",
        _BY_WORD.get(word, "info"),
        f"{pipeline}: the verdict is {word}: {'; '.join(reasons)}",
        time_ms,
        epoch,
        f"{pair}/{epoch}/{word}",
        {"word": word, "reasons": list(reasons), "pair": pair},
    )


def of_drift(pipeline: str, drifted: Drifted, pair: str, epoch: int, time_ms: int) -> Notice:
    """A drift alarm: what changed, since which source offset, from what to what. It decides nothing."""
    what = f"input ({drifted.stream}, and the other color alike)" if drifted.alike else drifted.stream
    where = f"{what} in partition {drifted.partition} since offset {drifted.since}"
    reached = f"{drifted.measure} {drifted.value:.3g}, the limit is {drifted.limit:.3g}"
    return Notice(
        pipeline,
        "alarm",
        "warning",
        f"{pipeline}: drift of the {where}: mean {drifted.before:.4g}, now {drifted.after:.4g} ({reached})",
        time_ms,
        epoch,
        f"{pair}/{drifted.key}",
        msgspec.structs.asdict(drifted),
    )


def of_line(pipeline: str, process: str, name: str, line: Mapping[str, Any], time_ms: int) -> Notice | None:
    """A line of a process's log that a person should see: an `alarm`, or an error; None for all others.

    process: its role, name: which member it is. Alike but for their numbers (offsets, partitions, seconds), and of the
    same role, lines are one piece of news: once an hour.
    """
    event = str(line.get("event"))
    if event != "alarm" and line.get("level") not in ("error", "critical"):
        return None
    trace = str(line.get("exception", "")).splitlines()[-1:]  # its last line says what was raised
    said = [str(line[word]) for word in ("what", "why", "way_out") if line.get(word)]
    text = "; ".join([*([] if event == "alarm" else [event.replace("_", " ")]), *said, *trace])
    return Notice(
        pipeline,
        "alarm",
        "warning" if event == "alarm" else "critical",
        f"{pipeline}: {name}: {text}",
        time_ms,
        None,
        f"{process}/{_NUMBER.sub('#', text)}/{time_ms // AGAIN_MS}",
        {"process": name, "event": event},
    )
