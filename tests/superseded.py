"""A recorded pipeline in which a command was carried out that supersedes, and what can be wrong with that (P36)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
from control_log import envelope
from recorded import TOPIC, Rec, Recording, standard

from streambg.audit.tally import Kind
from streambg.control.fold import ControlFold
from streambg.control.state import Deployment
from streambg.records import batch as batches
from streambg.records.cutover import Superseded, encode_cutover
from streambg.records.outcome import DeadLetter, encode_dead_letter, header_template
from streambg.records.source import Color, Source

Corruption = Callable[[Recording], int]
# of the first partition, under two epochs: both colors have error rows in there, and blue a repeat and a hole
FIRST, END = 40, 100


def folded(recording: Recording) -> ControlFold:
    fold = ControlFold()
    for record in recording.log("control"):
        fold.step(record.offset, record.time, record.value)
    return fold


def stored(recording: Recording, color: Color, deployment: int, partition: int = 0) -> dict[int, tuple[Any, bytes]]:
    """Source offset -> (key, value) of every answer, by a fold of the whole log (P8)."""
    covered: int | None = None
    found: dict[int, tuple[Any, bytes]] = {}
    for record in recording.log(color, partition):
        try:
            batch = batches.decode(record.value or b"")
        except batches.BadBatch:
            continue
        if batch.deployment != deployment:
            continue
        covered = batch.after if covered is None else covered
        if batch.after > covered or batch.upto <= covered:
            continue
        for row, offset in enumerate(batch.offsets.tolist()):
            if offset > covered and batch.statuses[row] == batches.OK:
                found[offset] = (batch.keys[row], batch.values[row])
        covered = batch.upto
    return found


def supersede(recording: Recording, first: int = FIRST, end: int = END, color: Color = "blue") -> int:
    """Says the command for the color's first deployment and carries it out; its epoch."""
    fold = folded(recording)
    state, control = fold.state, recording.log("control")
    deployment = next(
        each for each in (*state.replaced, *state.slots.values()) if each is not None and each.color == color
    )
    time = max(record.time for record in (*control, *recording.log("output"), *recording.log("cutovers"))) + 1_000
    one = {"partition": 0, "first": first, "end": end, "answers_first": 0, "covered": -1}
    ranges = [{**one, "answers_end": recording.span(color, 0).end}]
    args: dict[str, Any] = {"color": color, "deployment": deployment.id, "ranges": ranges}
    epoch = len(control)
    control.append(Rec(epoch, time, None, envelope("supersede", state.epoch, f"s{epoch}", time=time, **args)))
    assert folded(recording).state.epoch == epoch, "the command was refused"
    log, written = recording.log("output"), 0
    for offset, (key, value) in sorted(stored(recording, color, deployment.id).items()):
        if first <= offset < end:
            written += 1
            log.append(Rec(log[-1].offset + 1, time + written, key, value, header(deployment, epoch, offset)))
    note = Superseded(0, epoch, end - 1, written)
    cutovers = recording.log("cutovers")
    cutovers.append(Rec(len(cutovers), time + written, note.key, encode_cutover(note)))
    return epoch


def header(deployment: Deployment, epoch: int, offset: int, partition: int = 0) -> bytes:
    template = header_template(TOPIC, partition, deployment.color, deployment.model, deployment.digest, epoch)
    return template % (offset, b"supersedes")


def superseding(recording: Recording) -> list[int]:
    """Where the superseding records stand in the output."""
    log = recording.log("output")
    return [at for at, record in enumerate(log) if (record.header or b"").endswith(b" supersedes")]


def _offset(record: Rec) -> int:
    return int((record.header or b"").partition(b"@")[2].partition(b" ")[0])


def _at(recording: Recording, nth: float) -> tuple[list[Rec], int]:
    places = superseding(recording)
    return recording.log("output"), places[int(nth * (len(places) - 1))]


def dropped(nth: float) -> Corruption:
    def corrupt(recording: Recording) -> int:
        log, at = _at(recording, nth)
        offset = _offset(log.pop(at))
        recording.renumber("output")
        return offset

    return corrupt


def doubled(recording: Recording) -> int:
    log, at = _at(recording, 0.5)
    log.append(log[at])
    recording.renumber("output")
    return _offset(log[at])


def swapped(recording: Recording) -> int:
    log, at = _at(recording, 0.5)
    log[at], log[at + 1] = log[at + 1], log[at]
    recording.renumber("output")
    return _offset(recording.log("output")[at + 1])


def changed(**fields: Any) -> Corruption:
    def corrupt(recording: Recording) -> int:
        log, at = _at(recording, 0.5)
        log[at] = replace(log[at], **fields)
        return _offset(log[at])

    return corrupt


def renamed(old: bytes, new: bytes) -> Corruption:
    """Another color, model or epoch in the header."""

    def corrupt(recording: Recording) -> int:
        log, at = _at(recording, 0.5)
        before = log[at].header or b""
        assert old in before
        log[at] = replace(log[at], header=before.replace(old, new))
        return _offset(log[at])

    return corrupt


def beyond(recording: Recording) -> int:
    """One behind the range, with the answer that is stored for it."""
    log, at = _at(recording, 1.0)
    deployment = folded(recording).state.supersessions[-1].deployment
    rows = stored(recording, deployment.color, deployment.id)
    offset = min(offset for offset in rows if offset >= END)
    key, value = rows[offset]
    epoch = folded(recording).state.epoch
    log.append(
        replace(log[at], offset=log[-1].offset + 1, key=key, value=value, header=header(deployment, epoch, offset))
    )
    return offset


def without_answer(recording: Recording) -> int:
    """One for an event that the color has no answer to."""
    log, at = _at(recording, 1.0)
    deployment = folded(recording).state.supersessions[-1].deployment
    rows = stored(recording, deployment.color, deployment.id)
    offset = max(offset for offset in range(FIRST, END) if offset not in rows and offset < _offset(log[at]))
    after = next(i for i in superseding(recording) if _offset(log[i]) > offset)
    epoch = folded(recording).state.epoch
    log.insert(after, replace(log[after], header=header(deployment, epoch, offset)))
    recording.renumber("output")
    return offset


def letter(recording: Recording) -> int:
    log = recording.log("dead-letters")
    said = DeadLetter(Source(TOPIC, 0, FIRST), folded(recording).state.epoch, "blue", {"blue": "x", "green": "y"}, True)
    log.append(replace(log[-1], offset=log[-1].offset + 1, value=encode_dead_letter(said)))
    return FIRST


def no_command(recording: Recording) -> int:
    """The records stay, and nobody had asked for them."""
    recording.log("control").pop()
    recording.logs["cutovers", 0] = [
        record for record in recording.log("cutovers") if b"superseded" not in (record.value or b"")
    ]
    return _offset(_at(recording, 0.0)[0][superseding(recording)[0]])


def said_too_far(recording: Recording) -> int:
    """Nothing was written, and a publisher says that all of it was."""
    log = recording.log("output")
    places = set(superseding(recording))
    first = _offset(log[min(places)])
    recording.logs["output", 0] = [record for at, record in enumerate(log) if at not in places]
    return first


PLANTED: list[tuple[str, Corruption, dict[Kind, int] | None]] = [
    ("drop the first", dropped(0.0), {Kind.NOT_SUPERSEDED: 1}),
    ("drop a middle one", dropped(0.5), {Kind.NOT_SUPERSEDED: 1}),
    ("drop the last", dropped(1.0), {Kind.NOT_SUPERSEDED: 1}),
    ("none was written", said_too_far, None),
    ("double one", doubled, {Kind.DOUBLED: 1}),
    ("swap two", swapped, {Kind.OUT_OF_ORDER: 1}),
    ("wrong value", changed(value=b"corrected"), {Kind.WRONG_VALUE: 1}),
    ("wrong key", changed(key=b"another"), {Kind.WRONG_VALUE: 1}),
    ("the other color", renamed(b" blue ", b" green "), {Kind.WRONG_COLOR: 1}),
    ("another model", renamed(b" fraud:1 ", b" fraud:9 "), {Kind.WRONG_COLOR: 1}),
    ("behind the range", beyond, {Kind.UNCOMMANDED: 1}),
    ("of an event without an answer", without_answer, {Kind.WRONG_VALUE: 1}),
    ("a dead letter", letter, {Kind.UNCOMMANDED: 1}),
    ("no command", no_command, None),
]


def done() -> Recording:
    """The standard recording, with a command carried out."""
    recording = standard()
    supersede(recording)
    return recording


def replaced_note(recording: Recording, upto: int) -> None:
    """A publisher has come so far only."""
    log = recording.log("cutovers")
    note = msgspec.json.decode(log[-1].value or b"", type=Superseded)
    log[-1] = replace(log[-1], value=encode_cutover(msgspec.structs.replace(note, superseded=upto)))
