"""Corruptions of a recorded pipeline, one at a time; each returns the source offset, in partition 0, of its event."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import msgspec
from control_log import digest
from recorded import TOPIC, Rec, Recording

from streambg.records import batch as batches
from streambg.records.cutover import decode_cutover, encode_cutover
from streambg.records.outcome import header_template, parse_header
from streambg.records.source import Color, other

Corruption = Callable[[Recording], int]  # returns the source offset, in partition 0, where it was planted


def said(record: Rec) -> tuple[int, Color, int, str]:
    """(source offset, color, epoch, why) of an output record."""
    outcome = parse_header(record.header or b"")
    return outcome.source.offset, outcome.color, outcome.epoch, outcome.why


def pick(recording: Recording, nth: float = 0.5, **wanted: object) -> int:
    """Where a record stands that says so; `nth` of the way through those that do."""
    names = ("offset", "color", "epoch", "why")
    fits = [
        at
        for at, record in enumerate(recording.log("output"))
        if all(dict(zip(names, said(record), strict=True))[name] == value for name, value in wanted.items())
    ]
    assert fits, f"the recording has no outcome with {wanted}"
    return fits[int(nth * (len(fits) - 1))]


def change(recording: Recording, at: int, **fields: object) -> int:
    log = recording.log("output")
    log[at] = replace(log[at], **fields)  # type: ignore[arg-type] # the fields of Rec
    return said(log[at])[0]


def restamp(record: Rec, old: str, new: str) -> bytes:
    assert record.header is not None
    assert old.encode() in record.header
    return record.header.replace(old.encode(), new.encode())


def answer_of(recording: Recording, color: Color, offset: int) -> bytes | None:
    """The color's ok row for an event, by the last batch that has one; zombies and holes apart."""
    for record in reversed(recording.log(color)):
        batch = batches.decode(record.value or b"")
        for row, at in enumerate(batch.offsets.tolist()):
            if at == offset and batch.statuses[row] == batches.OK and batch.values[row].startswith(color.encode()):
                return batch.values[row]
    return None


def by_other(recording: Recording, at: int, why: str) -> int:
    """The other color's own answer in its place, marked `why`."""
    record = recording.log("output")[at]
    offset, color, epoch, _ = said(record)
    value = answer_of(recording, other(color), offset)
    assert value is not None
    model = "fraud:2" if color == "blue" else "fraud:1"
    header = header_template(TOPIC, 0, other(color), model, digest(model), epoch) % (offset, why.encode())
    return change(recording, at, header=header, value=value)


def drop(at: int, number: int = 1) -> Corruption:
    def corrupt(recording: Recording) -> int:
        log = recording.log("output")
        first = at if at >= 0 else len(log) + at
        offset = said(log[first])[0]
        del log[first : first + number]
        return offset

    return corrupt


def double(distance: int) -> Corruption:
    def corrupt(recording: Recording) -> int:
        log = recording.log("output")
        log.insert(30 + distance, log[30])
        recording.renumber("output")
        return said(log[30])[0]

    return corrupt


def swap(recording: Recording) -> int:
    log = recording.log("output")
    log[40], log[41] = log[41], log[40]
    recording.renumber("output")
    return said(log[41])[0]


def swap_far(recording: Recording) -> int:
    log = recording.log("output")
    log[3], log[90] = log[90], log[3]
    recording.renumber("output")
    return said(log[90])[0]


def wrong_color(recording: Recording) -> int:
    """At epoch 2 the candidate has no weight."""
    return by_other(recording, pick(recording, epoch=2, color="blue", why="route"), "route")


def wrong_bucket(recording: Recording) -> int:
    """At 30 % some keys are green's: one of them answered by blue."""
    return by_other(recording, pick(recording, epoch=3, color="green", why="route"), "route")


def epoch_back(recording: Recording) -> int:
    at = pick(recording, epoch=5, color="blue", why="route")
    return change(recording, at, header=restamp(recording.log("output")[at], "epoch=5", "epoch=3"))


def aborted(recording: Recording) -> int:
    """A transaction's records that a session end took back, and the same events again by the next session."""
    log = recording.log("output")
    begin = pick(recording, epoch=5, color="blue", why="route")
    log[begin:begin] = [replace(record, value=b"an attempt") for record in log[begin : begin + 3]]
    recording.renumber("output")
    return said(log[begin])[0]


def wrong_value(recording: Recording) -> int:
    return change(recording, pick(recording, why="route"), value=b"something else")


def repeats_value(recording: Recording) -> int:
    """A repeated batch's other answer was published: the first in the log counts (P8)."""
    accepted = {said(record)[0]: at for at, record in enumerate(recording.log("output"))}
    for record in recording.log("blue"):
        batch = batches.decode(record.value or b"")
        for row, offset in enumerate(batch.offsets.tolist()):
            at = accepted.get(offset)
            if batch.values[row] == b"zombie" and at and said(recording.log("output")[at])[1] == "blue":
                return change(recording, at, value=b"zombie")
    raise AssertionError("the recording has no repeated batch")


def wrong_key(recording: Recording) -> int:
    return change(recording, pick(recording, why="route"), key=b"another key")


def moved(recording: Recording) -> int:
    record = recording.log("output").pop(50)
    recording.log("output", 1).insert(50, record)
    recording.renumber("output", 1)
    return said(record)[0]


def extra(recording: Recording) -> int:
    log = recording.log("output")
    offset = recording.span("input", 0).end + 5
    header = restamp(log[-1], f"@{said(log[-1])[0]} ", f"@{offset} ")
    log.append(replace(log[-1], offset=log[-1].offset + 1, header=header))
    return offset


def extra_within(recording: Recording) -> int:
    """An outcome of an offset that the input does not have."""
    there = {record.offset for record in recording.log("input")}
    log = recording.log("output")
    at = next(at for at, record in enumerate(log) if at > 30 and said(record)[0] + 1 not in there)
    offset = said(log[at])[0] + 1
    log.insert(at + 1, replace(log[at], header=restamp(log[at], f"@{offset - 1} ", f"@{offset} ")))
    recording.renumber("output")
    return offset


def marked(why: str) -> Corruption:
    """Green's key answered by blue although green's row is good."""

    def corrupt(recording: Recording) -> int:
        return by_other(recording, pick(recording, epoch=3, color="green", why="route"), why)

    return corrupt


def cutover(change_of: int) -> Corruption:
    """Epoch 5's cutover record says another first offset than the output."""

    def corrupt(recording: Recording) -> int:
        log = recording.log("cutovers")
        for at, record in enumerate(log):
            found = decode_cutover(record.value or b"")
            if (found.partition, found.epoch) == (0, 5):
                first = found.first + change_of
                log[at] = replace(record, value=encode_cutover(msgspec.structs.replace(found, first=first)))
                return min(first, found.first)
        raise AssertionError("no such cutover")

    return corrupt


def second_cutover(recording: Recording) -> int:
    """Epoch 5's record again, with another first offset."""
    log = recording.log("cutovers")
    found = [decode_cutover(record.value or b"") for record in log]
    one = next(one for one in found if (one.partition, one.epoch) == (0, 5))
    value = encode_cutover(msgspec.structs.replace(one, first=one.first + 20))
    log.append(replace(log[-1], offset=log[-1].offset + 1, value=value))
    return one.first + 20


def no_cutover(recording: Recording) -> int:
    log = recording.log("cutovers")
    found = [decode_cutover(record.value or b"") for record in log]
    at = next(at for at, one in enumerate(found) if (one.partition, one.epoch) == (0, 5))
    del log[at]
    return found[at].first


def other_model(recording: Recording) -> int:
    at = pick(recording, epoch=5, color="blue", why="route")
    return change(recording, at, header=restamp(recording.log("output")[at], "fraud:1", "fraud:9"))


def unknown_epoch(recording: Recording) -> int:
    """Stamped with a command that was refused."""
    at = pick(recording, nth=1, epoch=3, color="blue", why="route")
    return change(recording, at, header=restamp(recording.log("output")[at], "epoch=3", "epoch=4"))


def foreign(recording: Recording) -> int:
    log = recording.log("output")
    log.insert(60, replace(log[60], header=None))
    recording.renumber("output")
    return 0


def of_another_topic(recording: Recording) -> int:
    log = recording.log("output")
    log.insert(60, replace(log[60], header=restamp(log[60], TOPIC, "orders")))
    recording.renumber("output")
    return 0


def of_the_deployment_before(recording: Recording) -> int:
    """A color that was deployed anew, answered as its former deployment would have, under the new one's name (P12)."""
    log = recording.log("output")
    at = next(at for at in reversed(range(len(log))) if (log[at].value or b"").startswith(b"blue:"))
    color, deployment, offset = (log[at].value or b"").split(b":")
    assert int(deployment) > 0, "the recording does not end with a second deployment of blue"
    return change(recording, at, value=b":".join([color, b"0", offset]))
