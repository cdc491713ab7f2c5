"""Corruptions of a recorded pipeline's dead letters, one at a time (P17)."""

from __future__ import annotations

from dataclasses import replace

import msgspec
from control_log import digest
from corruptions import Corruption, answer_of, pick, said
from recorded import TOPIC, Rec, Recording

from streambg.records import batch as batches
from streambg.records.outcome import DeadLetter, encode_dead_letter, header_template
from streambg.records.source import Color, Source, other


def letter_for(recording: Recording, at: int, reasons: dict[str, str], chosen: Color) -> int:
    """The output record becomes a dead letter."""
    record = recording.log("output").pop(at)
    offset, _, epoch, _ = said(record)
    letters = recording.log("dead-letters")
    value = encode_dead_letter(DeadLetter(Source(TOPIC, 0, offset), epoch, chosen, reasons))
    letters.append(replace(record, value=value, header=None))
    letters.sort(key=lambda one: int(msgspec.json.decode(one.value or b"")["source"].split("@")[1]))
    recording.renumber("dead-letters")
    return offset


def unjustified_letter(recording: Recording) -> int:
    at = pick(recording, epoch=2, color="blue", why="route")
    return letter_for(recording, at, {"blue": "blue cannot", "green": "none"}, "blue")


def letter_as_well(recording: Recording) -> int:
    """The same event published and dead-lettered."""
    log = recording.log("output")
    record = log[pick(recording, epoch=2, color="blue", why="route")]
    at = log.index(record)
    offset = letter_for(recording, at, {"blue": "blue cannot", "green": "none"}, "blue")
    log.insert(at, record)
    return offset


def forbidden_fallback(recording: Recording) -> int:
    """Live's error row, answered by the candidate although the rules say dead letter (P16)."""
    letters = recording.log("dead-letters")
    for at, record in enumerate(letters):
        data = msgspec.json.decode(record.value or b"")
        offset = int(data["source"].split("@")[1])
        value = answer_of(recording, "green", offset)
        if data["chosen"] == "blue" and value is not None:
            del letters[at]
            log = recording.log("output")
            header = header_template(TOPIC, 0, "green", "fraud:2", digest("fraud:2"), data["epoch"])
            header %= (offset, b"error")
            log.append(Rec(0, record.time, record.key, value, header))
            log.sort(key=lambda one: said(one)[0])
            recording.renumber("output")
            return offset
    raise AssertionError("the recording has no dead letter of live's that green answered")


def refused_stand_in(recording: Recording) -> int:
    """Green's error row, and a dead letter although blue may stand in and answered."""
    at = pick(recording, color="blue", why="error")
    offset = said(recording.log("output")[at])[0]
    reason = next(
        batch.values[row].decode()
        for batch in (batches.decode(record.value or b"") for record in recording.log("green"))
        for row, there in enumerate(batch.offsets.tolist())
        if there == offset and batch.statuses[row] == batches.ERROR
    )
    return letter_for(recording, at, {"green": reason, "blue": "none"}, "green")


def edit_letter(**fields: object) -> Corruption:
    def corrupt(recording: Recording) -> int:
        letters = recording.log("dead-letters")
        assert letters, "the recording has no dead letter in partition 0"
        data = msgspec.json.decode(letters[0].value or b"")
        letters[0] = replace(letters[0], value=msgspec.json.encode({**data, **fields}))
        return int(data["source"].split("@")[1])

    return corrupt


def other_chosen(recording: Recording) -> int:
    chosen: Color = msgspec.json.decode(recording.log("dead-letters")[0].value or b"")["chosen"]
    return edit_letter(chosen=other(chosen))(recording)


def lost_letter(recording: Recording) -> int:
    record = recording.log("dead-letters").pop(0)
    return int(msgspec.json.decode(record.value or b"")["source"].split("@")[1])


def letter_twice(recording: Recording) -> int:
    """A dead letter of an aborted transaction made visible: the next session wrote it again."""
    letters = recording.log("dead-letters")
    letters.insert(1, letters[0])
    recording.renumber("dead-letters")
    return int(msgspec.json.decode(letters[0].value or b"")["source"].split("@")[1])
