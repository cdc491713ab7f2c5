"""A label: what really happened to one event, a JSON object in a topic of the user's (docs/design.md, section 8)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from streambg.records.bucket import field_bytes
from streambg.records.foreign import decoded

# Why a record of the labels' topic is no label; counted, and the next one is read.
Bad = Literal["empty", "no_json", "no_object", "no_key", "bad_key", "no_value", "bad_value"]
BAD: tuple[Bad, ...] = ("empty", "no_json", "no_object", "no_key", "bad_key", "no_value", "bad_value")

# As much as a prediction carries (records/batch.py, MAX_CARRY_BYTES): a longer key is no event's.
MAX_KEY_BYTES = 256

_decoder = msgspec.json.Decoder()


@dataclass(frozen=True, slots=True)
class Label:
    """key: as the bytes of the carried field it shares with its event. value: the outcome; 0 or 1 for a decision."""

    key: bytes
    value: float


def parse(data: bytes | None, key_field: str, value_field: str) -> Label | Bad:
    """The label in a record's value, or why it is none. Other fields of the object are the user's own."""
    if not data:
        return "empty"
    try:
        found: Any = decoded(_decoder.decode, data)
    except ValueError:
        return "no_json"
    if not isinstance(found, dict):
        return "no_object"
    key, value = found.get(key_field), found.get(value_field)
    if key is None:
        return "no_key"
    named = field_bytes(key) if isinstance(key, str | int | float | bool) else None
    if named is None or not 0 < len(named) <= MAX_KEY_BYTES:
        return "bad_key"
    if value is None:
        return "no_value"
    number = _number(value)
    return "bad_value" if number is None else Label(named, number)


def _number(value: object) -> float | None:
    """A number or a boolean; text is neither, whatever it looks like."""
    if not isinstance(value, bool | int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
