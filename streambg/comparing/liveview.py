"""The live view: the evidence of this moment in Redis, for `streambg status` and whoever wants to look.

The key `streambg:<pipeline>:live` is a hash with one field a partition, so that several comparators share it. Each
field is JSON (`Field` below: who is live, how far both colors cover, and the whole snapshot); the key expires
30 s after the last write. Nothing is ever read back into evidence: Redis may be down, slow or emptied at any time, and
the next write makes the view again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from streambg.comparing.comparison import Comparison
from streambg.comparing.evidence import alarms_of, diverged, drifts, merged
from streambg.comparing.pair import Pair
from streambg.comparing.snapshot import Snapshot, SnapshotWire, from_wire, to_wire
from streambg.comparing.summary import Summary, summarize
from streambg.errors import Unreachable
from streambg.records.source import COLORS, Color

FORMAT = 1
# Long enough to survive a restart of the comparator, short enough that an old view is not taken for the present.
TTL_S = 30
TIMEOUT_S = 2.0


def key(pipeline: str) -> str:
    return f"streambg:{pipeline}:live"


class Field(msgspec.Struct):
    """One partition. at_ms: when it was written; covered: source offsets; lag: records not read yet, None: unknown.

    rules: `Rules.short` of the writer's own pipeline file, for `status` to compare (P4).
    """

    format: int
    at_ms: int
    input: str
    live: Color | None
    covered: dict[Color, int | None]
    lag: dict[Color, int | None]
    snapshot: SnapshotWire
    rules: str = ""


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Field)


def encode_field(
    comparison: Comparison,
    at_ms: int,
    source: str,
    live: Color | None,
    lag: Mapping[Color, int | None],
    rules: str = "",
) -> bytes:
    """As of now: call it between two pieces of work."""
    covered = {color: comparison.side(color).covered for color in COLORS}
    snapshot = to_wire(comparison.snapshot())
    return _encoder.encode(Field(FORMAT, at_ms, source, live, covered, dict(lag), snapshot, rules))


@dataclass(frozen=True, slots=True)
class LiveView:
    """Every partition of the pair in force that was seen within the last 30 s."""

    at_ms: int
    input: str
    live: Color
    pair: Pair
    summary: Summary
    compared: Mapping[int, int]
    covered: Mapping[int, Mapping[Color, int | None]]
    lag: Mapping[int, Mapping[Color, int | None]]
    rules: Mapping[int, str]

    def as_json(self) -> dict[str, Any]:
        """Plain values for `--output json`."""
        plain: dict[str, Any] = msgspec.to_builtins(self, str_keys=True)
        return plain


def view_of(fields: Sequence[Field]) -> LiveView | None:
    """The fields that are fresh and of the youngest pair, put together; None where there are none."""
    known = [field for field in fields if field.format == FORMAT and field.live is not None]
    newest = max((field.at_ms for field in known), default=0)
    fresh = [field for field in known if field.at_ms > newest - TTL_S * 1_000]
    pair = max((_pair(field) for field in fresh), key=_age, default=None)
    used = sorted((field for field in fresh if _pair(field) == pair), key=lambda field: field.snapshot.partition)
    latest = max(used, key=lambda field: field.at_ms, default=None)
    if latest is None or latest.live is None or pair is None:
        return None
    return LiveView(
        latest.at_ms,
        latest.input,
        latest.live,
        pair,
        summary_of([from_wire(field.snapshot, detectors=False) for field in used], latest.live),
        {field.snapshot.partition: field.snapshot.compared for field in used},
        {field.snapshot.partition: field.covered for field in used},
        {field.snapshot.partition: field.lag for field in used},
        {field.snapshot.partition: field.rules for field in used},
    )


def _pair(field: Field) -> Pair:
    return Pair(field.snapshot.blue, field.snapshot.green)


def _age(pair: Pair) -> tuple[int, int]:
    """Deployments only grow: of two pairs the one with the larger youngest is the later."""
    return max(pair.blue, pair.green), min(pair.blue, pair.green)


def summary_of(snapshots: Sequence[Snapshot], live: Color) -> Summary:
    """Over partitions of one pair, e.g. of `read_evidence` where Redis is down."""
    parts = [snapshot.evidence for snapshot in snapshots]
    count = sum(drift.alarm_count for part in parts for drift in drifts(part))
    return summarize(merged(parts), live, tuple(alarms_of(parts)), count, tuple(diverged(parts)))


def read_live_view(redis_url: str, pipeline: str) -> LiveView | None:
    """The view; None where no comparator has written one lately. Raises Unreachable."""
    import redis  # noqa: PLC0415 - a quarter of a second of each verb's start, and few ask it

    try:
        client = redis.Redis.from_url(redis_url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S)
        try:
            stored = client.hgetall(key(pipeline))
        finally:
            client.close()
    except (redis.RedisError, OSError) as error:
        raise Unreachable(
            f"Redis does not answer: {error}", way_out="is it up, and `redis` in the pipeline file its address?"
        ) from error
    return view_of(decode_fields(stored))


def decode_fields(stored: Any) -> list[Field]:
    """The readable fields of the hash; what another version wrote is left out."""
    fields = []
    for value in stored.values():
        try:
            field = _decoder.decode(value)
            from_wire(field.snapshot, detectors=False)
        except ValueError:  # msgspec's errors are ValueErrors
            continue
        fields.append(field)
    return fields
