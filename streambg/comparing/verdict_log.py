"""The verdicts topic as others read it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from streambg.comparing.site import ClientConfig
from streambg.deciding.record import VerdictRecord, decode
from streambg.kafka.newest import read_newest

# The judge writes a verdict at every change, every 30 s, and every 2 s of a rollout: these are the last minutes.
TAIL = 50


def read_verdicts(reader: ClientConfig, topic: str) -> list[VerdictRecord]:
    """The last ones, oldest first; what is no verdict is passed over. Raises Unreachable, Denied, UpgradeFirst."""
    return list(_decoded(event.value for event in read_newest(reader, topic, 1, TAIL)))


def _decoded(values: Iterable[bytes | None]) -> Iterator[VerdictRecord]:
    for value in values:
        try:
            yield decode(value or b"")
        except ValueError:  # msgspec's errors are ValueErrors
            continue
