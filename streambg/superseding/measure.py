"""What a `supersede` would change in one range: what was published there against what is stored. Nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from confluent_kafka import Message
from xxhash import xxh3_64_intdigest

from streambg.control.state import Deployment, SupersededRange
from streambg.kafka.reading import LogReader, record_of
from streambg.looking.collect import Scenery
from streambg.looking.event import Letter, Published
from streambg.looking.finding import first_reaching
from streambg.publishing.republishing import take
from streambg.publishing.superseding import Errand, Stored
from streambg.records.batch import MAX_ROWS
from streambg.superseding.plan import Place, answers_place, keys

# No command has it yet: the errand is looked at, not carried out.
NO_EPOCH = -1
# Rows looked at together: some batches.
ROWS = 16 * MAX_ROWS

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Counted:
    """One range. outcomes: events with one; written: records that would be; differ: those with other bytes than what
    is published now; revived: dead-lettered events among the written.

    Left as they are: errors, events that the color has an error row for; expired, whose answers retention took;
    unanswered, that it never answered.
    """

    place: Place
    outcomes: int
    written: int
    differ: int
    revived: int
    errors: int
    expired: int
    unanswered: int


class _Published:
    """By source offset of the range: is there an outcome, a dead letter; and a digest of the bytes that count now."""

    def __init__(self, place: Place) -> None:
        size = place.end - place.first
        self.place = place
        self.answered: npt.NDArray[np.bool_] = np.zeros(size, np.bool_)
        self.dead: npt.NDArray[np.bool_] = np.zeros(size, np.bool_)
        self.digests: npt.NDArray[np.uint64] = np.zeros(size, np.uint64)

    def take(self, found: Published | Letter) -> None:
        source = found.outcome.source if isinstance(found, Published) else found.letter.source
        at = source.offset - self.place.first
        if not 0 <= at < len(self.dead):
            return
        if isinstance(found, Published):
            self.answered[at] = True
            self.digests[at] = xxh3_64_intdigest(found.value or b"")
        else:
            self.dead[at] = True


def measure(
    scenery: Scenery, log: LogReader, deployment: Deployment, place: Place, progress: Progress
) -> tuple[SupersededRange, Counted]:
    """The range as the command names it, and what it would change. `progress`: records read. Raises Unreachable, Gap.

    Memory: ten bytes a source offset, and some batches.
    """
    answers = scenery.predictions(deployment.color, place.partition)
    at, covered = answers_place(answers, deployment.id, place.first)
    named = SupersededRange(*place.key, at, answers.high, covered)
    published = _Published(place)
    for letters in (False, True):
        for found in _outcomes(scenery, log, place, letters, progress):
            published.take(found)
    written = differ = revived = errors = 0
    answered = np.zeros(place.end - place.first, np.bool_)
    errand = Errand(NO_EPOCH, deployment, named)
    stored, after, topic = Stored(errand, answers.low), place.first - 1, scenery.pipeline.topics
    batches = _batches(log, topic.predictions(deployment.color), place.partition, stored, progress)
    while after < place.end - 1:
        read = next(batches, None)
        taken = stored.take(after, ROWS)
        errors += taken.errors
        for row in taken.rows:
            spot = int(taken.view.offsets[row]) - place.first
            answered[spot] = True
            same = published.digests[spot] == xxh3_64_intdigest(taken.view.values[row])
            differ += not (published.answered[spot] and same)
            revived += bool(published.dead[spot] and not published.answered[spot])
        written += len(taken.rows)
        after = taken.upto
        if read is None and not stored.complete:
            break  # the log ends before the place that was named: it was cut meanwhile
    there = published.answered | published.dead
    left = there & ~answered
    expired = int(left[: max(0, covered + 1 - place.first)].sum()) if answers.low > 0 else 0
    counted = Counted(
        place, int(there.sum()), written, differ, revived, errors, expired, int(left.sum()) - expired - errors
    )
    return named, counted


def _outcomes(
    scenery: Scenery, log: LogReader, place: Place, letters: bool, progress: Progress
) -> Iterator[Published | Letter]:
    """Those of the range, and what superseded it since; in log order."""
    outcomes, topics = scenery.outcomes(place.partition)[letters], scenery.pipeline.topics
    mark = first_reaching(outcomes, place.first)
    again = scenery.state.superseded_by(keys([place])) is not None and not letters
    topic = topics.dead_letters if letters else topics.output
    if mark is None and not again:
        return
    for messages in log.read(topic, place.partition, mark.offset if mark else outcomes.low, outcomes.high):
        progress(len(messages))
        for message in messages:
            found = outcomes.parse(record_of(message))
            if found is None:
                continue
            yield found
            if not again and _passes(found, place):
                return


def _passes(found: Published | Letter, place: Place) -> bool:
    """Is it of an event behind the range? Then so is all that follows; superseding records stand where they stand."""
    if isinstance(found, Letter):
        return found.letter.source.offset >= place.end
    return found.outcome.why != "supersedes" and found.outcome.source.offset >= place.end


def _batches(log: LogReader, topic: str, partition: int, stored: Stored, progress: Progress) -> Iterator[list[Message]]:
    for messages in log.read(topic, partition, stored.next_offset, stored.errand.place.answers_end):
        progress(len(messages))
        for message in messages:
            take(stored, message)
        yield messages
