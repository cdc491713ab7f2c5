"""What the publisher writes about an event: the output record's header, or a dead letter (P15, P17).

The header is one text: `payments/3@1234 green fraud:7 sha256:ab12cd34 epoch=42 route`. One header, because the
first costs 2 us on every event.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec

from streambg.records.foreign import decoded
from streambg.records.source import COLORS, Color, Source, parse_source

HEADER = "streambg"
Why = Literal["route", "absent", "error", "late", "supersedes"]
WHYS: tuple[Why, ...] = ("route", "absent", "error", "late", "supersedes")
# 8 hex digits tell deployments of one model apart for a reader; the control log holds the whole digest
DIGEST_DIGITS = 8
# both reasons of a dead letter in a gap that `accept-gap` gave up: nobody was asked (P29)
GIVEN_UP = "gap"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an output record's header says: whose answer, of which deployment's model, under which epoch, and why."""

    source: Source
    color: Color
    model: str
    digest: str
    epoch: int
    why: Why


def short_digest(digest: str) -> str:
    """`sha256:` and the first digits: the form headers and tables show."""
    algorithm, _, hexdigits = digest.partition(":")
    return f"{algorithm}:{hexdigits[:DIGEST_DIGITS]}"


def header_template(source_topic: str, partition: int, color: Color, model: str, digest: str, epoch: int) -> bytes:
    """The header of a run with holes for the offset and the reason: `template % (offset, why)`."""
    text = f"{source_topic}/{partition}@\0 {color} {model} {short_digest(digest)} epoch={epoch} \1"
    return text.replace("%", "%%").replace("\0", "%d").replace("\1", "%b").encode()


def parse_header(value: bytes) -> Outcome:
    """The header as a value. Raises ValueError with what is wrong."""
    words = value.decode("utf-8", "replace").split(" ")
    if len(words) != 6:
        raise ValueError(f"{len(words)} words where a streambg header has 6: {value[:120]!r}")
    source, color, model, digest, epoch, why = words
    if color not in COLORS or why not in WHYS or not epoch.startswith("epoch="):
        raise ValueError(f"not a streambg header: {value[:120]!r}")
    return Outcome(
        parse_source(source),
        color,
        model,
        digest,
        int(epoch.removeprefix("epoch=")),
        why,
    )


def find_header(headers: list[tuple[str, bytes]] | None) -> bytes | None:
    """streambg's header among an output record's."""
    for name, value in headers or ():
        if name == HEADER:
            return value
    return None


class _DeadLetterWire(msgspec.Struct):
    source: str
    epoch: int
    chosen: Color
    reasons: dict[str, str]
    format: int = 1
    supersedes: bool = False


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event nobody could answer: the reasons of both colors; the bytes stay in the input (P17).

    `reasons[other]` is the other color's own reason, or `none` (not allowed or unanswered), or `late`; both are `gap`
    where a command gave the event up (P29).
    """

    source: Source
    epoch: int
    chosen: Color
    reasons: Mapping[str, str]
    supersedes: bool = False  # republished on a recorded command (P15); the tail ignores it (P25)


def encode_dead_letter(letter: DeadLetter) -> bytes:
    return msgspec.json.encode(
        _DeadLetterWire(
            str(letter.source), letter.epoch, letter.chosen, dict(letter.reasons), supersedes=letter.supersedes
        )
    )


_dead_letter_decoder = msgspec.json.Decoder(_DeadLetterWire)


def decode_dead_letter(data: bytes) -> DeadLetter:
    """Raises ValueError where the bytes are no dead letter."""
    wire = decoded(_dead_letter_decoder.decode, data)
    return DeadLetter(parse_source(wire.source), wire.epoch, wire.chosen, wire.reasons, wire.supersedes)
