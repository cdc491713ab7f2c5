"""The work everybody does: an event of 144 bytes in, a score of three features out. Pure."""

from __future__ import annotations

import math

import msgspec

BYTES = 144
PARTITIONS = 8
# Each user's events come this many apart, so that one key is always in one partition (a multiple of PARTITIONS).
USERS = 10_000


class Answer(msgspec.Struct, gc=False):
    """What is published for an event: its number, its stamp (microseconds since 1970), the score."""

    id: int
    ts: int
    p: float


_answer_decoder = msgspec.json.Decoder(Answer)


def event(number: int, stamp: int) -> bytes:
    """Event `number` made at `stamp` (microseconds since 1970): 144 bytes of JSON with ten fields."""
    text = (
        f'{{"id":{number},"ts":{stamp},"user":"u{number % USERS:04d}","merchant":"m{number % 500:03d}",'
        f'"amount":{number % 1000}.25,"n24":{number % 7},"device":0.{number % 90 + 10},'
        '"chan":"web","new":false,"note":"'
    )
    return f'{text}{"x" * (BYTES - len(text) - 2)}"}}'.encode()


def key(number: int) -> bytes:
    """The record key: the user."""
    return b"u%04d" % (number % USERS)


def partition(number: int) -> int:
    """Where event `number` stands; one user's events stand in one partition."""
    return number % PARTITIONS


def score(amount: float, n24: float, device: float) -> float:
    """The model: logistic in three features. Every program has it in its own language."""
    return 1 / (1 + math.exp(-(0.002 * amount + 0.1 * n24 - device)))


def answer(number: int, stamp: int, color: str) -> bytes:
    """A prediction as one record, as a color would write it without batches; green differs a little."""
    p = score(number % 1000 + 0.25, number % 7, (number % 90 + 10) / 100)
    return b'{"id":%d,"ts":%d,"p":%.6f}' % (number, stamp, p if color == "blue" else p * 0.99)


def decode_answer(value: bytes) -> Answer:
    """Raises ValueError (msgspec's errors are) where it is none."""
    return _answer_decoder.decode(value)
