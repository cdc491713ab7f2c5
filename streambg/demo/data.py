"""The demo's events: the Shuttle data of river's wheel, looped, a few bad ones planted. Same numbers, same bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import xxhash

Row = tuple[dict[str, float], bool]

FEATURES = tuple(f"f{number}" for number in range(1, 10))
# The models learn from these, the stream begins after them: what is scored first was never seen before.
TRAINING_ROWS = 8_000
# Synthetic (the data names no machines): enough keys that a weight of 10 % moves about that share of the events.
MACHINES = 40
# Far outside of what the first sensor reads in the data, 27 to 126.
SHIFT = 1_000.0
# Close to what a topic takes by default (1,048,588 bytes with key, headers and the batch around them).
BIG_BYTES = 900_000


class Kind(StrEnum):
    """What is wrong with a planted event; the last two are odd, but can be answered."""

    NOT_JSON = "not JSON"
    EMPTY = "no value"
    MISSING = "lacks f4"
    NAN = "f7 is NaN"
    TEXT = "f2 is text"
    NULL_KEY = "null key"
    BIG = "900 kB"

    @property
    def answerable(self) -> bool:
        return self in (Kind.NULL_KEY, Kind.BIG)


# Where in the stream, as fractions of it: while blue is alone, in the shadow, at 10 %, at 50 %, after each promote.
PLANTED: tuple[tuple[float, Kind], ...] = (
    (0.04, Kind.NOT_JSON),
    (0.16, Kind.NULL_KEY),
    (0.20, Kind.EMPTY),
    (0.33, Kind.MISSING),
    (0.38, Kind.BIG),
    (0.46, Kind.NAN),
    (0.66, Kind.TEXT),
    (0.78, Kind.NOT_JSON),
    (0.90, Kind.NULL_KEY),
)


@dataclass(frozen=True, slots=True)
class Event:
    """A record of the input; `planted` says what is odd about it."""

    key: bytes | None
    value: bytes | None
    planted: Kind | None = None


def load_rows() -> list[Row]:
    """All 49,097 rows, label apart (0.2 s)."""
    from river import datasets  # noqa: PLC0415 - river takes a second to import, and only the demo needs it

    return [(features, bool(label)) for features, label in datasets.Shuttle()]


def plant(events: int) -> dict[int, Kind]:
    """Which events of the stream are odd, by number; in a stream too short for all of them the later ones win."""
    return {int(fraction * events): kind for fraction, kind in PLANTED}


def shifted(features: Mapping[str, float]) -> dict[str, float]:
    """As the first sensor reads after it was exchanged: far outside of what it read before."""
    return {**features, "f1": features["f1"] + SHIFT}


class Stream:
    """Event number `i` of `events`, 0 <= i < events; a function of the rows and the numbers alone.

    shift_from: from this event on the first sensor is shifted; None: never.
    """

    def __init__(self, rows: Sequence[Row], events: int, shift_from: int | None = None) -> None:
        self._bodies = [_body(features) for features, _ in rows]
        self._shifted = [_body(shifted(features)) for features, _ in rows] if shift_from is not None else []
        self._labels = [label for _, label in rows]
        self._planted = plant(events)
        self._shift_from = events if shift_from is None else shift_from
        self.events = events

    @property
    def planted(self) -> Mapping[int, Kind]:
        return self._planted

    def event(self, number: int) -> Event:
        bodies = self._bodies if number < self._shift_from else self._shifted
        body = bodies[(TRAINING_ROWS + number) % len(bodies)]
        machine = f"m{1 + xxhash.xxh32_intdigest(b'%d' % number) % MACHINES}"
        value = f'{{"event_id":"e{number:08d}","machine":"{machine}",{body}}}'.encode()
        kind = self._planted.get(number)
        return Event(machine.encode(), value) if kind is None else _odd(machine.encode(), value, kind)

    def label(self, number: int, key: str, value: str) -> tuple[bytes, bytes]:
        """Key and value of the record that says what event number `i` really was; under these names."""
        name, label = f"e{number:08d}", self._labels[(TRAINING_ROWS + number) % len(self._labels)]
        return name.encode(), f'{{"{key}":"{name}","{value}":{str(label).lower()}}}'.encode()


def _body(features: Mapping[str, float]) -> str:
    return ",".join(f'"{name}":{features[name]}' for name in FEATURES)


def _odd(key: bytes, value: bytes, kind: Kind) -> Event:
    fields = value[1:-1].split(b",")
    match kind:
        case Kind.NOT_JSON:
            return Event(key, value[: len(value) // 2], kind)
        case Kind.EMPTY:
            return Event(key, None, kind)
        case Kind.MISSING:
            return Event(key, b"{" + b",".join(f for f in fields if not f.startswith(b'"f4"')) + b"}", kind)
        case Kind.NAN:
            return Event(key, _with(fields, b'"f7"', b"NaN"), kind)
        case Kind.TEXT:
            return Event(key, _with(fields, b'"f2"', b'"hot"'), kind)
        case Kind.NULL_KEY:
            return Event(None, value, kind)
        case Kind.BIG:
            return Event(key, value[:-1] + b',"note":"' + b"x" * (BIG_BYTES - len(value)) + b'"}', kind)


def _with(fields: Sequence[bytes], name: bytes, value: bytes) -> bytes:
    return b"{" + b",".join(name + b":" + value if f.startswith(name) else f for f in fields) + b"}"
