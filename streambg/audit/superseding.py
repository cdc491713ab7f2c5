"""The superseding records of one partition against the commands that ask for them, by the audit's own fold (P36).

Streaming, in log order: of each command the answers are folded once, as far as its records have come.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
import numpy.typing as npt

from streambg.audit.answers import Lane, Rows
from streambg.audit.history import Deployed, History
from streambg.audit.judge import Blind, Problem, judge_value
from streambg.audit.parsing import Parsed, Says
from streambg.audit.presence import Missing
from streambg.audit.since import answers_from
from streambg.audit.sources import Chunk, Records
from streambg.audit.tally import SHOWN, Kind, Tally
from streambg.control.state import SupersededRange, Supersession
from streambg.records.outcome import short_digest

Int64 = npt.NDArray[np.int64]


@dataclass(slots=True)
class _Course:
    """One range of a command: judged up to source offset `passed`; None before the first record that is there."""

    place: SupersededRange
    lane: Lane
    passed: int | None
    missing: Missing = field(default_factory=Missing)


class Superseding:
    """`take` the records as they come, `finish` when all were read.

    reached: by epoch, the source offset up to which a publisher says that the command is carried out; it grows.
    whole: are all superseding records there that ever were? Else nobody can say that one is missing.
    """

    def __init__(
        self, records: Records, partition: int, history: History, tally: Tally, reached: Mapping[int, int], whole: bool
    ) -> None:
        self._records = records
        self._partition = partition
        self._history = history
        self._tally = tally
        self._reached = reached
        self._whole = whole
        self._courses: dict[int, list[_Course]] = {}

    def take(self, parsed: Parsed) -> None:
        """Superseding records of the output, in log order."""
        for epoch, rows in groupby(range(len(parsed)), key=lambda row: int(parsed.epochs[row])):
            command = self._history.supersessions.get(epoch)
            mine = list(rows)
            if command is None:
                for row in mine:
                    self._accuse(parsed, row, Kind.UNCOMMANDED, f"no command at epoch {epoch} that supersedes")
            else:
                self._of_command(command, parsed, mine)

    def letters(self, parsed: Parsed) -> None:
        """Dead letters that say so: there is no such thing."""
        for row in range(len(parsed)):
            self._accuse(parsed, row, Kind.UNCOMMANDED, "no dead letter supersedes", role="dead-letters")

    def finish(self) -> None:
        """All records were read: what publishers say is done has to be there."""
        for epoch, upto in self._reached.items():
            command = self._history.supersessions.get(epoch)
            if command is None or not self._whole:
                continue
            for course in self._courses_of(command):
                last = min(upto, course.place.end - 1)
                if course.passed is not None and course.passed < last:
                    self._fold(command, course, last, np.empty(0, np.int64))

    def report(self) -> None:
        """Tell the tally what is missing by now; that may also become less, where one comes late."""
        all_of_them = [course.missing for courses in self._courses.values() for course in courses]
        number = sum(missing.count for missing in all_of_them)
        first = [offset for missing in all_of_them for offset in missing.first(SHOWN)]
        self._tally.missing(Kind.NOT_SUPERSEDED, number, first[:SHOWN], "a superseding record, as commanded")

    # -- one command ---------------------------------------------------------------------------------------------

    def _courses_of(self, command: Supersession) -> list[_Course]:
        if command.epoch not in self._courses:
            self._courses[command.epoch] = [
                _Course(place, self._lane(command, place), place.first - 1 if self._whole else None)
                for place in command.of(self._partition)
            ]
        return self._courses[command.epoch]

    def _lane(self, command: Supersession, place: SupersededRange) -> Lane:
        """The deployment's batches below the log offset that the command names, as if there were no other's (P8)."""
        color, number = command.deployment.color, command.deployment.id
        begin = answers_from(self._records, color, self._partition, number, place.first)
        chunks = _below(self._records.reread(color, self._partition, begin), place.answers_end)
        own = Deployed(color, number)
        return Lane(color, chunks, begin, {own: self._history.deployments[own]})

    def _of_command(self, command: Supersession, parsed: Parsed, rows: list[int]) -> None:
        courses = self._courses_of(command)

        def place(row: int) -> int:
            """Which of its ranges a record stands in; -1: none."""
            offset = int(parsed.offsets[row])
            return next((at for at, c in enumerate(courses) if c.place.first <= offset < c.place.end), -1)

        for at, part in groupby(rows, key=place):
            if at >= 0:
                self._run(command, courses[at], parsed, list(part))
                continue
            for row in part:
                self._accuse(parsed, row, Kind.UNCOMMANDED, f"the command at epoch {command.epoch} asks for others")

    def _run(self, command: Supersession, course: _Course, parsed: Parsed, rows: list[int]) -> None:
        """Records of one range, one behind the other."""
        if course.passed is None:
            course.passed = int(parsed.offsets[rows[0]]) - 1  # the first that is left
        ahead: list[int] = []
        high = course.passed
        for row in rows:
            offset = int(parsed.offsets[row])
            if offset > high:
                ahead.append(row)
                high = offset
        if ahead:
            answers = self._fold(command, course, high, parsed.offsets[ahead])
            for row in ahead:
                self._judge(command, answers, parsed, row)
        for row in sorted(set(rows) - set(ahead)):
            self._behind(course, parsed, row)

    def _fold(self, command: Supersession, course: _Course, upto: int, have: Int64) -> Rows:
        """The answers up to a source offset; those that none of the records at `have` publishes are missing."""
        assert course.passed is not None
        answers = course.lane.rows(command.deployment.id, course.passed, upto, None)
        course.missing.add(np.setdiff1d(answers.offsets[answers.ok], have))
        course.passed = upto
        if upto == course.place.end - 1:
            course.lane.close()  # nothing of it is asked for any more
        return answers

    def _behind(self, course: _Course, parsed: Parsed, row: int) -> None:
        if course.missing.rescue(int(parsed.offsets[row])):
            self._accuse(parsed, row, Kind.OUT_OF_ORDER, "in source order", "behind that of a later event")
        else:
            self._accuse(parsed, row, Kind.DOUBLED, "one superseding record of a command", "another one")

    def _judge(self, command: Supersession, answers: Rows, parsed: Parsed, row: int) -> None:
        said, deployment, offset = parsed.says[row], command.deployment, int(parsed.offsets[row])
        asked = Says(deployment.color, command.epoch, "supersedes", deployment.model, short_digest(deployment.digest))
        if said != asked:
            self._accuse(parsed, row, Kind.WRONG_COLOR, _named(asked), _named(said))
            return
        key, value = parsed.chunk.keys[row], parsed.chunk.values[row] or b""
        at = answers.row(offset)
        judgement = judge_value(answers.at(offset), deployment.color, value)
        if judgement is None and at is not None and answers.keys[at] != key:
            judgement = Problem(Kind.WRONG_VALUE, f"key {answers.keys[at]!r}", f"key {key!r}")
        if isinstance(judgement, Blind):
            self._tally.blind(judgement.check, offset)
        elif judgement is not None:
            self._accuse(parsed, row, judgement.kind, judgement.expected, judgement.found)

    def _accuse(
        self, parsed: Parsed, row: int, kind: Kind, expected: str, found: str = "a superseding record", role: str = ""
    ) -> None:
        record = f"{role or 'output'}/{self._partition}@{parsed.chunk.offsets[row]}"
        self._tally.add(kind, int(parsed.offsets[row]), expected, found, record)


def _below(chunks: Iterator[Chunk], end: int) -> Iterator[Chunk]:
    """What stands below a log offset; nothing behind it is read."""
    for chunk in chunks:
        upto = bisect.bisect_left(chunk.offsets, end)
        if upto:
            yield chunk.cut(0, upto)
        if upto < len(chunk) or chunk.offsets[-1] + 1 >= end:
            return


def _named(says: Says) -> str:
    return f"{says.color} {says.model} {says.digest}"
