"""Bytes and times as people type and read them. Pure."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from streambg.config.redaction import redact
from streambg.config.values import parse_duration
from streambg.records.outcome import DeadLetter

# What of an event fits a terminal beside everything else; `--full` shows the rest.
SHOWN_CHARACTERS = 200


def reasons(letter: DeadLetter) -> dict[str, str]:
    """Each color's reason as people read it: a color beside the chosen one without a reason was not asked (P17)."""
    return {
        color: "not asked" if reason == "none" and color != letter.chosen else reason
        for color, reason in letter.reasons.items()
    }


def parse_since(text: str, now_ms: int) -> int:
    """`90s`, `2h`, `7d` before now, or a time like 2026-11-27T14:30 (this machine's zone): ms since 1970.

    Raises ValueError with what is wrong.
    """
    try:
        return max(0, now_ms - parse_duration(text))
    except ValueError:
        pass
    try:
        return max(0, int(datetime.fromisoformat(text).timestamp() * 1_000))
    except ValueError:
        raise ValueError(f"{text!r} is neither a duration (90s, 2h, 7d) nor a time (2026-11-27T14:30)") from None


def show_time(time_ms: int) -> str:
    """UTC, to the millisecond: `2026-11-27T14:30:00.123+00:00`."""
    return datetime.fromtimestamp(time_ms / 1_000, UTC).isoformat(timespec="milliseconds")


def as_fields(name: str, data: bytes | None) -> dict[str, str | None]:
    """Bytes in JSON without loss: `{name: text}`, or `{name_base64: ...}` where they are no UTF-8; null stays null."""
    if data is None:
        return {name: None}
    try:
        return {name: data.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(data).decode()}


def show(data: bytes | None, *, full: bool = False) -> str:
    """Bytes on one line: text where it is text, else its first bytes in hex; secrets of a JSON object masked, cut.

    full: nothing masked and nothing cut.
    """
    if data is None:
        return "null"
    text = _text(data)
    if text is None:
        shown = data if full else data[: SHOWN_CHARACTERS // 2]
        return f"0x{shown.hex()}" + ("" if len(shown) == len(data) else f"... ({len(data):,} bytes)")
    if full:
        return text
    text = _masked(text)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}... ({len(data):,} bytes)"


def _text(data: bytes) -> str | None:
    """None where control characters would disturb a terminal."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return text if all(character.isprintable() or character in "\n\t" for character in text) else None


def _masked(text: str) -> str:
    """Fields of a JSON object whose name says that they hold a secret."""
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if not isinstance(value, Mapping):
        return text
    safe = redact(value)
    return text if safe == value else json.dumps(safe, ensure_ascii=False)
