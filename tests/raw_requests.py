"""Requests that no client sends: parts of transactions that their coordinator knows nothing of.

The broker must not verify (`transaction.partition.verification.enable=false`, KIP-890). What is written so stays open
for ever, as what a broker forgot to end does.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass

PRODUCE, INIT_PRODUCER_ID, TXN_OFFSET_COMMIT = 0, 22, 28
TRANSACTIONAL = 0x10  # of a batch's attributes
CRC32C = 0x82F63B78


@dataclass(frozen=True, slots=True)
class ProducerId:
    """Who writes."""

    transactional_id: str
    id: int
    epoch: int


def init_producer(bootstrap: str, transactional_id: str) -> ProducerId:
    """InitProducerId, version 1."""
    said = _ask(bootstrap, INIT_PRODUCER_ID, 1, _text(transactional_id) + struct.pack(">i", 10_000))
    _, error, number, epoch = struct.unpack(">ihqh", said)
    assert error == 0, f"InitProducerId: error {error}"
    return ProducerId(transactional_id, number, epoch)


def pending_position(
    bootstrap: str, who: ProducerId, group: str, topic: str, partition: int, offset: int, metadata: str
) -> None:
    """TxnOffsetCommit, version 2."""
    spot = struct.pack(">iqi", partition, offset, -1) + _text(metadata)
    body = _text(who.transactional_id) + _text(group) + struct.pack(">qh", who.id, who.epoch)
    said = _ask(bootstrap, TXN_OFFSET_COMMIT, 2, body + _array([_text(topic) + _array([spot])]))
    (error,) = struct.unpack(">h", said[-2:])
    assert error == 0, f"TxnOffsetCommit: error {error}"


def hidden_record(
    bootstrap: str, who: ProducerId, topic: str, partition: int, value: bytes, header: tuple[str, bytes]
) -> None:
    """Produce, version 3: one record."""
    name, text = header
    record = b"\0" + _varint(0) * 2 + _varint(-1) + _varint(len(value)) + value + _varint(1)
    record += _varint(len(name)) + name.encode() + _varint(len(text)) + text
    now = int(time.time() * 1_000)
    rest = struct.pack(">hiqqqhii", TRANSACTIONAL, 0, now, now, who.id, who.epoch, 0, 1)
    rest += _varint(len(record)) + record
    batch = struct.pack(">qiibI", 0, len(rest) + 9, -1, 2, _crc32c(rest)) + rest
    spot = struct.pack(">ii", partition, len(batch)) + batch
    body = _text(who.transactional_id) + struct.pack(">hi", -1, 10_000) + _array([_text(topic) + _array([spot])])
    said = _ask(bootstrap, PRODUCE, 3, body)
    # [topics] name [partitions] number error offset time, throttle: of one topic and one partition
    (error,) = struct.unpack(">h", said[-22:-20])
    assert error == 0, f"Produce: error {error}"


def _ask(bootstrap: str, key: int, version: int, body: bytes) -> bytes:
    host, _, port = bootstrap.rpartition(":")
    request = struct.pack(">hhi", key, version, 1) + _text("raw") + body
    with socket.create_connection((host, int(port)), 10) as end:
        end.sendall(struct.pack(">i", len(request)) + request)
        with end.makefile("rb") as answer:
            (size,) = struct.unpack(">i", answer.read(4))
            return answer.read(size)[4:]


def _text(text: str) -> bytes:
    return struct.pack(">h", len(text.encode())) + text.encode()


def _array(items: Sequence[bytes]) -> bytes:
    return struct.pack(">i", len(items)) + b"".join(items)


def _varint(number: int) -> bytes:
    """Zigzag, seven bits a byte."""
    left, found = (number << 1) ^ (number >> 63), bytearray()
    while True:
        byte, left = left & 0x7F, left >> 7
        found.append(byte | (0x80 if left else 0))
        if not left:
            return bytes(found)


def _crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (CRC32C if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
